/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Requests at fixed times, one connection each, whether or not earlier ones were
 * answered. Latency counts from the time that the request was due: a server that stalls is not
 * spared by a client that waits for it. Clients are on other machines: this one is real-time, and
 * waits for no processor of this host's (sched(7)), so that what it measures is the server.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bombs.h"

#define PATIENCE_USEC UINT64_C(30000000) /* after the last was due; what is open then has failed */

typedef struct Request {
        uint64_t due_usec, latency_usec; /* UINT64_MAX: failed */
        int fd;
} Request;

typedef struct Load {
        struct sockaddr_in to;
        Request *requests;
        unsigned count, sent, open;
        int epoll_fd;
} Load;

static uint64_t now_usec(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void finish(Load *l, Request *r, int ok) {
        (void)close(r->fd);
        r->fd = -1;
        r->latency_usec = ok ? now_usec() - r->due_usec : UINT64_MAX;
        l->open--;
}

static void begin(Load *l, Request *r) {
        struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = r};

        l->open++;
        r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (r->fd < 0 ||
            (connect(r->fd, (struct sockaddr *)&l->to, sizeof(l->to)) < 0 &&
             errno != EINPROGRESS) ||
            epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, r->fd, &ev) < 0)
                finish(l, r, 0);
}

static void handle(Load *l, Request *r, uint32_t events) {
        static const char get[] = "GET / HTTP/1.0\r\n\r\n";
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = r};
        char answer[512];

        if (r->fd < 0)
                return;
        if (events & EPOLLERR) {
                finish(l, r, 0);
        } else if (events & EPOLLIN) {
                finish(l, r, read(r->fd, answer, sizeof(answer)) > 0);
        } else if (events & EPOLLOUT) {
                if (write(r->fd, get, sizeof(get) - 1) != sizeof(get) - 1 ||
                    epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, r->fd, &ev) < 0)
                        finish(l, r, 0);
        } else {
                finish(l, r, 0);
        }
}

static void run(Load *l, uint64_t begin_usec, uint64_t interval_usec) {
        struct epoll_event events[128];

        while (l->sent < l->count || l->open > 0) {
                uint64_t now = now_usec(), due = begin_usec + l->sent * interval_usec;
                int wait_ms = 100, n;

                if (l->sent == l->count && now > due + PATIENCE_USEC)
                        return;
                while (l->sent < l->count && due <= now) {
                        l->requests[l->sent].due_usec = due;
                        begin(l, &l->requests[l->sent++]);
                        due += interval_usec;
                }
                if (l->sent < l->count)
                        wait_ms = (int)((due - now + 999) / 1000);
                n = epoll_wait(l->epoll_fd, events, 128, wait_ms);
                for (int i = 0; i < n; i++)
                        handle(l, events[i].data.ptr, events[i].events);
        }
}

static void print(const Request *requests, unsigned count) {
        printf("[");
        for (unsigned i = 0; i < count; i++) {
                const char *comma = i > 0 ? "," : "";

                if (requests[i].latency_usec == UINT64_MAX)
                        printf("%snull", comma);
                else
                        printf("%s%llu", comma, (unsigned long long)requests[i].latency_usec);
        }
        printf("]\n");
}

int load(const char *address, unsigned short port, unsigned count, unsigned rate) {
        const struct sched_param lowest = {.sched_priority = 1};
        Load l = {.to = {.sin_family = AF_INET, .sin_port = htons(port)}, .count = count};

        l.requests = calloc(count, sizeof(*l.requests));
        l.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (!l.requests || l.epoll_fd < 0 || count < 100 || rate == 0 ||
            inet_pton(AF_INET, address, &l.to.sin_addr) != 1)
                return 2;
        if (sched_setscheduler(0, SCHED_FIFO, &lowest) < 0) {
                perror("load: sched_setscheduler");
                return 2;
        }
        for (unsigned i = 0; i < count; i++)
                l.requests[i].latency_usec = UINT64_MAX;

        run(&l, now_usec(), 1000000 / rate);
        print(l.requests, count);
        return 0;
}

/* From one folder of scratch to another, for which a file system has one lock. */
int load_renames(unsigned count, unsigned rate) {
        static const char *const names[] = {"/tmp/renames.a/x", "/tmp/renames.b/x"};
        Request *requests = calloc(count, sizeof(*requests));
        uint64_t begin_usec = now_usec();

        if (!requests || count < 100 || rate == 0)
                return 2;
        (void)mkdir("/tmp/renames.a", 0700);
        (void)mkdir("/tmp/renames.b", 0700);
        (void)close(open(names[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        for (unsigned i = 0; i < count; i++) {
                uint64_t due_usec = begin_usec + i * UINT64_C(1000000) / rate;

                while (now_usec() < due_usec)
                        (void)usleep((useconds_t)(due_usec - now_usec()));
                requests[i].latency_usec = UINT64_MAX;
                if (rename(names[i % 2], names[1 - i % 2]) == 0)
                        requests[i].latency_usec = now_usec() - due_usec;
        }
        (void)unlink(names[count % 2]);
        print(requests, count);
        return 0;
}
