/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A scanner for the inside of a dyno, where nothing but sockets is allowed: connections by the
 * thousand at once, and datagrams. Static, so that it runs in any stack.
 *
 *   scan PATIENCE_MS TARGET...
 *
 *   tcp,ADDRESS,FIRST,LAST   "open ADDRESS PORT" for each that answers, and then
 *                            "tcp ADDRESS tried N open N refused N said N nowhere N silent N"
 *   udp,ADDRESS,PORT         "udp ADDRESS PORT answered|refused|said|nowhere|silent"
 *
 * ADDRESS may end in %LINK. refused: by the port; said: another error came back; nowhere: the
 * dyno itself has no way there. Nothing comes for the time of PATIENCE_MS: the rest is silent.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define AT_ONCE 9000 /* less than a dyno may open, 10000: each time it waits for the last ones */
#define PIECE 1024   /* what a dyno may wait for in one call */

typedef enum Answer {
        ANSWER_OPEN,
        ANSWER_REFUSED,
        ANSWER_SAID,
        ANSWER_NOWHERE,
        ANSWER_SILENT,
        _ANSWER_MAX,
} Answer;

static const char *const answer_names[_ANSWER_MAX] = {
        [ANSWER_OPEN] = "answered",
        [ANSWER_REFUSED] = "refused",
        [ANSWER_SAID] = "said",
        [ANSWER_NOWHERE] = "nowhere",
        [ANSWER_SILENT] = "silent",
};

typedef struct Target {
        struct sockaddr_storage address;
        socklen_t size;
        const char *text;
} Target;

static void set_port(Target *target, unsigned port) {
        if (target->address.ss_family == AF_INET6)
                ((struct sockaddr_in6 *)&target->address)->sin6_port = htons((uint16_t)port);
        else
                ((struct sockaddr_in *)&target->address)->sin_port = htons((uint16_t)port);
}

static Target parse_address(const char *text) {
        Target target = {.text = text};
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&target.address;
        struct sockaddr_in *in = (struct sockaddr_in *)&target.address;
        const char *link = strchr(text, '%');
        char address[INET6_ADDRSTRLEN];

        (void)snprintf(address, sizeof(address), "%.*s", (int)strcspn(text, "%"), text);
        if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
                in->sin_family = AF_INET;
                target.size = sizeof(*in);
        } else if (inet_pton(AF_INET6, address, &in6->sin6_addr) == 1) {
                in6->sin6_family = AF_INET6;
                in6->sin6_scope_id = link ? if_nametoindex(link + 1) : 0;
                target.size = sizeof(*in6);
        } else {
                fprintf(stderr, "scan: %s is no address\n", text);
                exit(2);
        }
        return target;
}

static Answer classify(int error) {
        switch (error) {
        case 0:
                return ANSWER_OPEN;
        case ECONNREFUSED:
                return ANSWER_REFUSED;
        default:
                return ANSWER_SAID;
        }
}

/* Whoever tries all ports of his own meets himself: at the port that he calls from. */
static bool is_connected_to_itself(int fd) {
        struct sockaddr_in here = {0}, there = {0};
        socklen_t here_size = sizeof(here), there_size = sizeof(there);

        return getsockname(fd, (struct sockaddr *)&here, &here_size) == 0 &&
               getpeername(fd, (struct sockaddr *)&there, &there_size) == 0 &&
               here.sin_family == AF_INET && here.sin_port == there.sin_port &&
               here.sin_addr.s_addr == there.sin_addr.s_addr;
}

static Answer result_of(int fd) {
        socklen_t size = sizeof(int);
        int error = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                error = errno;
        return error == 0 && is_connected_to_itself(fd) ? ANSWER_REFUSED : classify(error);
}

static int open_socket(const Target *target, int type) {
        int fd = socket(target->address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd < 0) {
                perror("scan: socket");
                exit(2);
        }
        return fd;
}

static void note(const Target *target, unsigned port, Answer answer, unsigned found[_ANSWER_MAX]) {
        found[answer]++;
        if (answer == ANSWER_OPEN)
                printf("open %s %u\n", target->text, port);
}

/* A part of the time for each piece, and then once more for all. */
static bool wait_for_some(struct pollfd *polled, unsigned n, int patience) {
        bool some = false;

        for (int round = 0; round < 2 && !some; round++)
                for (unsigned at = 0; at < n; at += PIECE) {
                        int part = some || round > 0 ? 0 : patience / (int)((n - 1) / PIECE + 1);
                        int r = poll(polled + at, n - at < PIECE ? n - at : PIECE, part);

                        if (r < 0)
                                exit(2);
                        some = some || r > 0;
                }
        return some;
}

/* Some ports, all at once. */
static void connect_some(
        Target *target, unsigned first, unsigned n, int patience, unsigned found[_ANSWER_MAX]) {
        static struct pollfd polled[AT_ONCE];
        unsigned waiting = 0;

        for (unsigned i = 0; i < n; i++) {
                int fd = open_socket(target, SOCK_STREAM);

                set_port(target, first + i);
                polled[i] = (struct pollfd){.fd = fd, .events = POLLOUT};
                if (connect(fd, (struct sockaddr *)&target->address, target->size) == 0 ||
                    errno == EINPROGRESS) {
                        waiting++;
                        continue;
                }
                note(target,
                     first + i,
                     errno == ECONNREFUSED ? ANSWER_REFUSED : ANSWER_NOWHERE,
                     found);
                close(fd);
                polled[i].fd = -1;
        }
        while (waiting > 0 && wait_for_some(polled, n, patience))
                for (unsigned i = 0; i < n; i++) {
                        if (polled[i].fd < 0 || polled[i].revents == 0)
                                continue;
                        note(target, first + i, result_of(polled[i].fd), found);
                        close(polled[i].fd);
                        polled[i].fd = -1;
                        waiting--;
                }
        for (unsigned i = 0; i < n; i++)
                if (polled[i].fd >= 0)
                        close(polled[i].fd);
        found[ANSWER_SILENT] += waiting;
}

static void scan_tcp(const char *text, unsigned first, unsigned last, int patience) {
        unsigned found[_ANSWER_MAX] = {0};
        Target target = parse_address(text);

        for (unsigned port = first; port <= last; port += AT_ONCE) {
                unsigned n = last - port + 1 < AT_ONCE ? last - port + 1 : AT_ONCE;

                connect_some(&target, port, n, patience, found);
        }
        printf("tcp %s tried %u open %u refused %u said %u nowhere %u silent %u\n",
               text,
               last - first + 1,
               found[ANSWER_OPEN],
               found[ANSWER_REFUSED],
               found[ANSWER_SAID],
               found[ANSWER_NOWHERE],
               found[ANSWER_SILENT]);
}

static bool is_for_many(const Target *target) {
        const uint8_t *bytes =
                (const void *)&((const struct sockaddr_in *)&target->address)->sin_addr;

        if (target->address.ss_family == AF_INET6)
                return ((const struct sockaddr_in6 *)&target->address)->sin6_addr.s6_addr[0] ==
                       0xff;
        return bytes[0] >= 224 || bytes[3] == 255;
}

/* An answer to many does not come from where it was sent to: then there is no peer. */
static Answer send_datagram(Target *target, int fd) {
        const int on = 1;
        ssize_t sent;

        (void)setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
        if (!is_for_many(target) &&
            connect(fd, (struct sockaddr *)&target->address, target->size) < 0)
                return ANSWER_NOWHERE;
        sent = is_for_many(target)
                       ? sendto(fd, "scan", 4, 0, (struct sockaddr *)&target->address, target->size)
                       : send(fd, "scan", 4, 0);
        if (sent < 0)
                return errno == ECONNREFUSED ? ANSWER_REFUSED : ANSWER_NOWHERE;
        return ANSWER_SILENT;
}

typedef struct Datagram {
        const char *text;
        unsigned port;
        int fd;
        Answer answer;
} Datagram;

static void wait_datagrams(Datagram *sent, unsigned n, int patience) {
        struct pollfd polled[AT_ONCE];

        for (unsigned i = 0; i < n; i++)
                polled[i] = (struct pollfd){
                        .fd = sent[i].answer == ANSWER_SILENT ? sent[i].fd : -1, .events = POLLIN};
        while (wait_for_some(polled, n, patience))
                for (unsigned i = 0; i < n; i++) {
                        char buf[16];

                        if (polled[i].fd < 0 || polled[i].revents == 0)
                                continue;
                        sent[i].answer = recv(polled[i].fd, buf, sizeof(buf), 0) >= 0
                                                 ? ANSWER_OPEN
                                                 : classify(errno);
                        polled[i].fd = -1;
                }
        for (unsigned i = 0; i < n; i++) {
                printf("udp %s %u %s\n", sent[i].text, sent[i].port, answer_names[sent[i].answer]);
                close(sent[i].fd);
        }
}

int main(int argc, char **argv) {
        const struct rlimit limit = {.rlim_cur = AT_ONCE + 100, .rlim_max = AT_ONCE + 100};
        static Datagram sent[AT_ONCE];
        unsigned n = 0;
        int patience;

        if (argc < 3 || setrlimit(RLIMIT_NOFILE, &limit) < 0)
                return 2;
        patience = (int)strtol(argv[1], NULL, 10);
        for (int i = 2; i < argc; i++) {
                char proto[4], *address = malloc(strlen(argv[i]) + 1);
                unsigned first = 0, last = 0;

                if (!address ||
                    sscanf(argv[i], "%3[a-z],%[^,],%u,%u", proto, address, &first, &last) < 3 ||
                    first == 0 || last > UINT16_MAX)
                        return 2;
                if (strcmp(proto, "tcp") == 0) {
                        scan_tcp(address, first, last, patience);
                } else if (n < AT_ONCE) {
                        Target target = parse_address(address);

                        set_port(&target, first);
                        sent[n] = (Datagram){
                                .text = address,
                                .port = first,
                                .fd = open_socket(&target, SOCK_DGRAM),
                        };
                        sent[n].answer = send_datagram(&target, sent[n].fd);
                        n++;
                }
        }
        wait_datagrams(sent, n, patience);
        return 0;
}
