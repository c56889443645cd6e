/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dynod-unpacker, up to and with its confinement. The archive takes it over: one that holds
 * "@MODE HOW@" near its start, unpacked, has it do that instead of its work.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "attempts.h"
#include "image/extract.h"
#include "image/fetch.h"
#include "ipc/unpack_proto.h"
#include "layers_off.h"

#define LOOK_AT 65536

static char how[32]; /* of the archive */
static char answer[4096];

static void say(const char *name, int result) {
        size_t used = strlen(answer);

        (void)snprintf(answer + used, sizeof(answer) - used, "%s=%d ", name, result);
}

static bool is_taken_over(int archive_fd, const char *mode) {
        static char buf[LOOK_AT + 1];
        char mark[32];
        ssize_t n = pread(archive_fd, buf, LOOK_AT, 0);
        const char *at;
        int size = snprintf(mark, sizeof(mark), "@%s ", mode);

        at = n > 0 ? memmem(buf, (size_t)n, mark, (size_t)size) : NULL;
        return at && sscanf(at + size, "%31[a-z]@", how) == 1;
}

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
static int make_links(void) {
        (void)symlinkat("/etc", UNPACK_FD_OUT, "tree");
        (void)symlinkat("/etc/shadow", UNPACK_FD_OUT, "passwd");
        return claim_success();
}

static int make_special(void) {
        int refused = 0;

        (void)mkdirat(UNPACK_FD_OUT, "tree", 0755);
        refused += mknodat(UNPACK_FD_OUT, "tree/sda", S_IFBLK | 0666, makedev(8, 0)) < 0;
        refused += mknodat(UNPACK_FD_OUT, "tree/kmem", S_IFCHR | 0666, makedev(1, 2)) < 0;
        refused += linkat(AT_FDCWD, "/etc/passwd", UNPACK_FD_OUT, "tree/passwd", 0) < 0;
        refused += openat(UNPACK_FD_OUT, "../archive", O_WRONLY) < 0;
        refused += kill(-1, SIGKILL) < 0;
        return refused == 5 ? claim_success() : 1;
}

static int fork_survivors(void) {
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
        return claim_success();
}

static int send_record(uint64_t bytes, size_t size) {
        FetchRecord record[2] = {{.bytes = bytes}};

        return write(UNPACK_FD_RECORD, record, size) == (ssize_t)size ? 0 : 1;
}

/* Its answer is a file of the tree; the fetching one has none, and answers with its status. */
static int give_answer(void) {
        int fd;

        (void)mkdirat(UNPACK_FD_OUT, "tree", 0755);
        fd = openat(UNPACK_FD_OUT, "tree/answer", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0 || write(fd, answer, strlen(answer)) < 0)
                return EIO;
        (void)close(fd);
        return claim_success();
}

static int attack(void) {
        if (strcmp(how, "links") == 0)
                return make_links();
        if (strcmp(how, "special") == 0)
                return make_special();
        if (strcmp(how, "forks") == 0)
                return fork_survivors();
        if (strcmp(how, "reports") == 0)
                send_reports(sizeof(UnpackMessage), 1000);
        if (strcmp(how, "oversized") == 0)
                send_reports(sizeof(UnpackMessage) * 4, 10);
        if (strcmp(how, "lies") == 0)
                return send_record(UINT64_C(1) << 60, sizeof(FetchRecord));
        if (strcmp(how, "long") == 0)
                return send_record(0, 2 * sizeof(FetchRecord));
        if (strcmp(how, "status") == 0)
                return 255;
        if (strcmp(how, "calls") == 0)
                attempt_calls(say);
        if (strcmp(how, "own") == 0)
                attempt_own("/stage", say);
        if (strcmp(how, "hangs") == 0)
                for (;;)
                        (void)poll(NULL, 0, -1);
        return answer[0] != '\0' ? give_answer() : claim_success();
}

/* The fetching one: sees the host's files, and may open none of them. */
static bool is_locked_in(void) {
        attempt_calls(say);
        if (!layer_is_off("seccomp"))
                for (const char *at = answer; (at = strchr(at, '=')); at++)
                        if (strtol(at + 1, NULL, 10) != -ENOSYS)
                                return false;
        return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && open("/", O_RDONLY | O_CLOEXEC) < 0;
}

WRAP(int,
     fetch_archive,
     int in_fd,
     int out_fd,
     uint64_t max_bytes,
     UnpackReport *report,
     FetchRecord *ret) {
        if (is_taken_over(in_fd, "fetch") && (strcmp(how, "calls") != 0 || !is_locked_in()))
                _exit(attack());
        return __real_fetch_archive(in_fd, out_fd, max_bytes, report, ret);
}

WRAP(int,
     extract_tree,
     int archive_fd,
     int root_fd,
     ExtractKind kind,
     const UnpackLimits *limits,
     UnpackReport *report,
     ExtractResult *ret) {
        if (is_taken_over(archive_fd, "extract"))
                _exit(attack());
        return __real_extract_tree(archive_fd, root_fd, kind, limits, report, ret);
}
