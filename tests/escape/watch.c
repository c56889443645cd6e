/* SPDX-License-Identifier: Apache-2.0 */

/* What another process does to files: by inotify(7), and by locks. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "escape.h"
#include "watch.h"

#define WATCH_MAX 64

static const char *watched[WATCH_MAX];

static int add_watches(int fd, char *const *paths) {
        for (; *paths; paths++) {
                int wd = inotify_add_watch(fd, *paths, IN_ALL_EVENTS);

                if (wd < 0 || wd >= WATCH_MAX) {
                        perror(*paths);
                        return -1;
                }
                watched[wd] = *paths;
        }
        return 0;
}

static void print_events(int fd) {
        char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
        ssize_t n = read(fd, buf, sizeof(buf));

        for (ssize_t i = 0; i < n;) {
                const struct inotify_event *event = (const void *)(buf + i);

                if (event->wd >= 0 && event->wd < WATCH_MAX && watched[event->wd])
                        (void)printf(
                                "saw %s%s%s\n",
                                watched[event->wd],
                                event->len > 0 ? "/" : "",
                                event->len > 0 ? event->name : "");
                i += (ssize_t)(sizeof(*event) + event->len);
        }
        (void)fflush(stdout);
}

static void touch(char *const *paths) {
        (void)printf("own\n");
        for (; *paths; paths++) {
                int fd = open(*paths, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

                if (fd >= 0)
                        (void)close(fd);
        }
}

int watch_files(char *const *paths) {
        struct pollfd p[] = {
                {.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .events = POLLIN},
                {.fd = STDIN_FILENO, .events = POLLIN},
        };
        char order;

        if (p[0].fd < 0 || add_watches(p[0].fd, paths) < 0)
                return 1;
        (void)printf("ready\n");
        (void)fflush(stdout);

        while (poll(p, 2, -1) >= 0) {
                print_events(p[0].fd);
                if (p[1].revents == 0)
                        continue;
                if (read(STDIN_FILENO, &order, 1) != 1)
                        return 0;
                if (order == 'o')
                        touch(paths);
        }
        return 1;
}

int lock_files(char *const *paths) {
        char order;

        for (; *paths; paths++) {
                int fd = open(*paths, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

                int r = fd < 0 ? -errno : attempt_result(flock(fd, LOCK_EX | LOCK_NB));

                if (r == -EWOULDBLOCK)
                        (void)printf("busy %s\n", *paths);
                else if (r < 0) /* AppArmor takes it for writing */
                        (void)printf("refused %s\n", *paths);
        }
        (void)printf("ready\n");
        (void)fflush(stdout);
        return read(STDIN_FILENO, &order, 1) < 0;
}
