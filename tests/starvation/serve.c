/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One process, one thread, one answer: whatever makes it slower came from outside. As an app
 * does, it logs each request.
 */

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bombs.h"

static const char answer[] = "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nup\n";

static int listen_on(unsigned short port) {
        struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
        const int on = 1;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 512) < 0) {
                perror("serve");
                return -1;
        }
        return fd;
}

static void watch(int epoll_fd, int fd) {
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
                (void)close(fd);
}

int serve(unsigned short port) {
        static const char line[] = "GET / 200\n";
        int listen_fd = listen_on(port), epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event events[64];
        char request[4096];

        if (listen_fd < 0 || epoll_fd < 0)
                return 1;
        watch(epoll_fd, listen_fd);
        for (;;) {
                int n = epoll_wait(epoll_fd, events, 64, -1);

                for (int i = 0; i < n; i++) {
                        int fd = events[i].data.fd;

                        if (fd == listen_fd) {
                                while ((fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
                                        watch(epoll_fd, fd);
                                continue;
                        }
                        if (read(fd, request, sizeof(request)) > 0 &&
                            write(STDOUT_FILENO, line, sizeof(line) - 1) > 0)
                                (void)!write(fd, answer, sizeof(answer) - 1);
                        (void)close(fd);
                }
        }
}
