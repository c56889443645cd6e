/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dynod-logger, up to and with its confinement. What it does then is in the file "hostile"
 * of its own folder: taken_over.py.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "attempts.h"
#include "ipc/log_proto.h"
#include "ipc/watchdog.h"
#include "layers_off.h"
#include "logs/logger.h"

#define LOGGER_CHANNEL 3
#define PAUSE_NSEC 1000000 /* the other side reads, or does not */

static char order[1024], answer[4096];

static void say(const char *name, int result) {
        size_t used = strlen(answer);

        (void)snprintf(answer + used, sizeof(answer) - used, "%s=%d ", name, result);
}

static void read_order(int logs_fd) {
        int fd = openat(logs_fd, "hostile", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, order, sizeof(order) - 1);

        order[n > 0 ? n : 0] = '\0';
        if (fd >= 0)
                (void)close(fd);
}

static void give_answer(int logs_fd) {
        int fd = openat(logs_fd, "hostile.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        if (fd < 0 || write(fd, answer, strlen(answer)) < 0)
                abort();
        (void)close(fd);
        (void)renameat(logs_fd, "hostile.new", logs_fd, "hostile.answer");
}

static void send_junk(void) {
        const struct timespec pause = {.tv_nsec = PAUSE_NSEC};
        char junk[sizeof(LogLine) * 2];

        memset(junk, 0xff, sizeof(junk));
        for (size_t i = 0; i < 20000; i++)
                if (send(LOGGER_CHANNEL, junk, 1 + i % sizeof(junk), MSG_NOSIGNAL) < 0)
                        (void)nanosleep(&pause, NULL);
}

__attribute__((constructor)) static void stay_alive(void) {
        answer_watchdog(WATCHDOG_FD_LOGGER);
}

/* What its successors get for a channel is the same socket. */
static void harm_channel(void) {
        static const int on = 1;
        struct sock_filter nothing[] = {{.code = BPF_RET | BPF_K, .k = 0}};
        const struct sock_fprog filter = {.len = 1, .filter = nothing};

        if (strcmp(order, "shutdown") == 0)
                (void)shutdown(LOGGER_CHANNEL, SHUT_RDWR);
        if (strcmp(order, "credentials") == 0)
                (void)setsockopt(LOGGER_CHANNEL, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
        if (strcmp(order, "filter") == 0) {
                (void)setsockopt(
                        LOGGER_CHANNEL, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
                (void)setsockopt(LOGGER_CHANNEL, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on));
        }
}

WRAP(int, logger_run, const Logger *logger) {
        int logs_fd = logger_logs_fd(logger), pid = 0;
        char own[256] = "", outside[256] = "";

        read_order(logs_fd);
        if (strcmp(order, "close") == 0)
                for (int fd = 0; fd < 8; fd++)
                        (void)close(fd);
        harm_channel();
        if (strcmp(order, "junk") == 0)
                send_junk();
        if (strcmp(order, "calls") == 0)
                attempt_calls(say);
        if (sscanf(order, "files %255s %255s %d", own, outside, &pid) == 3)
                attempt_files(own, outside, pid, say);
        if (answer[0] != '\0')
                give_answer(logs_fd);
        for (;;)
                (void)poll(NULL, 0, -1); /* and never reads */
}
