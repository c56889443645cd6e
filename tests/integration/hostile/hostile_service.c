/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Takes the place of one of dynod's own processes, under its name, so it has the
 * descriptors, uid and namespaces that a taken-over one has. It does not load the seccomp
 * filter and the Landlock rules that the real one gives itself: it can do more than that.
 *
 * What logger and unpacker do is in a file, whose path the test patches in: taken_over.py.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/parse.h"
#include "hostile_service.h"
#include "ipc/channel.h"
#include "ipc/log_proto.h"
#include "ipc/unpack_proto.h"

#define LOGGER_CHANNEL 3

static const volatile char patched[512] = "@behaviour@";
/* "BEHAVIOUR MODE PATH": MODE, PATH of the real one, are the unpacker's */
static char behaviour[512];

static void read_behaviour(void) {
        char path[sizeof(patched)];
        ssize_t n;
        int fd;

        for (size_t i = 0; i < sizeof(path); i++)
                path[i] = patched[i];
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, behaviour, sizeof(behaviour) - 1);
        behaviour[n > 0 ? n : 0] = '\0';
        (void)close(fd);
}

static _Noreturn void wait_for_ever(void) {
        for (;;)
                (void)pause();
}

/* ---- logger ---- */

static int hostile_logger(void) {
        char junk[sizeof(LogLine) * 2];

        memset(junk, 0xff, sizeof(junk));
        if (strcmp(behaviour, "close") == 0)
                for (int fd = 0; fd < 8; fd++)
                        (void)close(fd);
        if (strcmp(behaviour, "shutdown") == 0)
                (void)shutdown(LOGGER_CHANNEL, SHUT_RDWR);
        if (strcmp(behaviour, "junk") == 0)
                for (size_t i = 0; i < 20000; i++)
                        if (send(LOGGER_CHANNEL, junk, 1 + i % sizeof(junk), MSG_NOSIGNAL) < 0)
                                (void)usleep(1000); /* us: the other side reads, or does not */
        wait_for_ever();                            /* and never reads */
}

/* ---- unpacker ---- */

static void send_reports(size_t size, unsigned n) {
        static char report[sizeof(UnpackMessage) * 4];

        memset(report, 0xff, sizeof(report));
        for (unsigned i = 0; i < n; i++)
                (void)send(UNPACK_FD_REPORT, report, size, MSG_NOSIGNAL);
}

static int claim_success(void) {
        UnpackMessage msg = {.type = UNPACK_PROCESS};

        (void)snprintf(msg.process, sizeof(msg.process), "idle");
        (void)snprintf(msg.text, sizeof(msg.text), "true");
        (void)send(UNPACK_FD_REPORT, &msg, sizeof(msg), MSG_NOSIGNAL);
        msg = (UnpackMessage){.type = UNPACK_DONE};
        (void)send(UNPACK_FD_REPORT, &msg, sizeof(msg), MSG_NOSIGNAL);
        return 0;
}

/* Ends with success, having made in its target what is no tree. */
static void make_links(void) {
        (void)symlinkat("/etc", UNPACK_FD_OUT, "tree");
        (void)symlinkat("/etc/shadow", UNPACK_FD_OUT, "passwd");
}

static int make_special(void) {
        int refused = 0;

        (void)mkdirat(UNPACK_FD_OUT, "tree", 0755);
        refused += mknodat(UNPACK_FD_OUT, "tree/sda", S_IFBLK | 0666, makedev(8, 0)) < 0;
        refused += mknodat(UNPACK_FD_OUT, "tree/kmem", S_IFCHR | 0666, makedev(1, 2)) < 0;
        refused += linkat(AT_FDCWD, "/etc/passwd", UNPACK_FD_OUT, "tree/passwd", 0) < 0;
        refused += openat(UNPACK_FD_OUT, "../archive", O_WRONLY) < 0;
        refused += kill(-1, SIGKILL) < 0; /* its pid namespace has nobody else */
        return refused == 5 ? claim_success() : 1;
}

static void fork_survivors(void) {
        for (int i = 0; i < 8; i++)
                if (fork() == 0) {
                        (void)setsid();
                        for (int fd = 0; fd < 3; fd++)
                                (void)close(fd);
                        for (unsigned n = 0;; n++) {
                                char name[32];

                                (void)snprintf(name, sizeof(name), "late.%d.%u", i, n % 100);
                                (void)mkdirat(UNPACK_FD_OUT, name, 0700);
                                (void)renameat(UNPACK_FD_OUT, "tree", UNPACK_FD_OUT, "moved");
                                (void)renameat(UNPACK_FD_OUT, "moved", UNPACK_FD_OUT, "tree");
                        }
                }
}

static int send_record(uint64_t bytes, size_t size) {
        FetchRecord record[2] = {{.bytes = bytes}};

        return write(UNPACK_FD_RECORD, record, size) == (ssize_t)size ? 0 : 1;
}

static int attack_as_unpacker(void) {
        if (strcmp(behaviour, "links") == 0)
                make_links();
        if (strcmp(behaviour, "special") == 0)
                return make_special();
        if (strcmp(behaviour, "forks") == 0)
                fork_survivors();
        if (strcmp(behaviour, "reports") == 0)
                send_reports(sizeof(UnpackMessage), 1000);
        if (strcmp(behaviour, "oversized") == 0)
                send_reports(sizeof(UnpackMessage) * 4, 10);
        if (strcmp(behaviour, "hangs") == 0)
                wait_for_ever();
        if (strcmp(behaviour, "lies") == 0)
                return send_record(UINT64_C(1) << 60, sizeof(FetchRecord));
        if (strcmp(behaviour, "long") == 0)
                return send_record(0, 2 * sizeof(FetchRecord));
        if (strcmp(behaviour, "status") == 0)
                return 255;
        return claim_success();
}

static int hostile_unpacker(char **argv, const char *mode, const char *real) {
        if (strncmp(argv[1], mode, strlen(mode)) == 0)
                return attack_as_unpacker();
        (void)execv(real, argv);
        return errno;
}

int main(int argc, char **argv) {
        const char *name = strrchr(argv[0], '/'), *mode, *real;
        char *rest = NULL;

        read_behaviour();
        (void)strtok_r(behaviour, " ", &rest);
        mode = strtok_r(NULL, " ", &rest);
        real = strtok_r(NULL, " ", &rest);
        name = name ? name + 1 : argv[0];
        if (argc > 1 && mode && real && strcmp(name, "dynod-unpacker") == 0)
                return hostile_unpacker(argv, mode, real);
        if (strcmp(name, "dynod-logger") == 0)
                return hostile_logger();
        return hostile_supervisor();
}
