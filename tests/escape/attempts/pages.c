/* SPDX-License-Identifier: Apache-2.0 */

/* Pages that go from one file into another, and those that are given back. */

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "escape.h"

#define PAGE 4096
#define NOTIFICATION_PIPE O_EXCL /* O_NOTIFICATION_PIPE of linux/watch_queue.h */

struct range { /* struct space_resv of the kernel's linux/falloc.h */
        int16_t type, whence;
        int64_t start, length;
        int32_t sysid;
        uint32_t pid;
        int32_t reserved[4];
};
#define GIVE_BACK _IOW('X', 41, struct range)    /* FS_IOC_UNRESVSP */
#define GIVE_BACK_64 _IOW('X', 43, struct range) /* FS_IOC_UNRESVSP64 */

/* ---- pipes ---- */

/* A byte that came by a socket is a piece of a page that nobody is charged for. */
static int from_socket(void) {
        int sockets[2], fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0 ||
            pipe2(fds, O_CLOEXEC) < 0 || write(sockets[0], "x", 1) != 1)
                return ATTEMPT_BROKEN;
        return attempt_result(splice(sockets[1], NULL, fds[1], NULL, 1, 0));
}

/* The beginning of a datagram whose end never comes. */
static int into_datagram(void) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), fds[2], r;

        if (fd < 0 || pipe2(fds, O_CLOEXEC) < 0 || write(fds[1], "x", 1) != 1)
                return ATTEMPT_BROKEN;
        r = attempt_result(splice(fds[0], NULL, fd, NULL, 1, SPLICE_F_MORE));
        return r == -EDESTADDRREQ ? 0 : r; /* the socket's own answer, to what it was handed */
}

static int from_pipe(void) {
        int from[2], to[2];

        if (pipe2(from, O_CLOEXEC) < 0 || pipe2(to, O_CLOEXEC) < 0 || write(from[1], "x", 1) != 1)
                return ATTEMPT_BROKEN;
        return attempt_result(tee(from[0], to[1], 1, 0));
}

static int from_memory(void) {
        char byte = 1;
        struct iovec bytes = {&byte, 1};
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return ATTEMPT_BROKEN;
        return attempt_result(vmsplice(fds[1], &bytes, 1, 0));
}

/* Its pages are nobody's memory. A kernel that is built without says so when it is asked. */
static int pipe_for_notes(void) {
        int fds[2], r = attempt_result(pipe2(fds, O_CLOEXEC | NOTIFICATION_PIPE));

        return r == -ENOPKG ? 0 : r;
}

/* ---- holes: whoever touches such a page waits, and cannot be interrupted ---- */

/* In memory: of no name, or of /dev/shm. */
static int make_pages(const char *folder) {
        char path[64];
        int fd;

        if (!folder)
                fd = memfd_create("pages", MFD_CLOEXEC);
        else {
                (void)snprintf(path, sizeof(path), "%s/pages-%d", folder, (int)getpid());
                fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                if (fd >= 0)
                        (void)unlink(path);
        }
        return fd < 0 || ftruncate(fd, PAGE) < 0 ? -1 : fd;
}

static int punch(int fd) {
        if (fd < 0)
                return ATTEMPT_BROKEN;
        return attempt_result(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
}

static int hole_in_memory(void) {
        return punch(make_pages(NULL));
}

static int hole_in_folder(void) {
        return punch(make_pages(escape_is_control ? "/tmp" : "/dev/shm"));
}

static int give_back(unsigned long request) {
        struct range range = {.length = PAGE};
        int fd = make_pages(NULL);

        return fd < 0 ? ATTEMPT_BROKEN : attempt_result(ioctl(fd, request, &range));
}

static int give_range_back(void) {
        return give_back(GIVE_BACK);
}

static int give_range_back_64(void) {
        return give_back(GIVE_BACK_64);
}

static int take_out_of_mapping(void) {
        int fd = make_pages(NULL);
        void *p = fd < 0 ? MAP_FAILED : mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (p == MAP_FAILED)
                return ATTEMPT_BROKEN;
        return attempt_result(madvise(p, PAGE, MADV_REMOVE));
}

/* ---- sockets ---- */

/* What came over TCP, in memory that is the host's. Whether there is some is asked for here. */
static int map_what_came(void) {
        struct {
                uint64_t address;
                uint32_t length, skipped;
        } receive = {0};
        socklen_t size = sizeof(receive);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return ATTEMPT_BROKEN;
        return attempt_result(getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &receive, &size));
}

#define ATTEMPT(n, what, wanted, call)                                                             \
        {                                                                                          \
                .name = "pages/" n, .tries = what, .stopped_by = "seccomp", .error = wanted,       \
                .control = CONTROL_USER, .run = call                                               \
        }

const Attempt attempts_pages[] = {
        ATTEMPT("splice",
                "keep pages that no cgroup is charged for, a byte of each in a pipe",
                EINVAL,
                from_socket),
        ATTEMPT("splice-more",
                "begin a datagram that nobody counts, out of a pipe",
                EINVAL,
                into_datagram),
        ATTEMPT("tee", "have a page in any number of pipes", EINVAL, from_pipe),
        ATTEMPT("vmsplice", "have a page of its own in a pipe", EINVAL, from_memory),
        ATTEMPT("notification-pipe",
                "fill memory that no cgroup counts with pipes for the kernel's notes",
                EINVAL,
                pipe_for_notes),
        ATTEMPT("punch-hole",
                "let the kernel wait for a page, with its locks held, while it is given back",
                EOPNOTSUPP,
                hole_in_memory),
        ATTEMPT("punch-hole-of-shm", "the same in /dev/shm", EOPNOTSUPP, hole_in_folder),
        ATTEMPT("unreserve", "the same by an ioctl", ENOTTY, give_range_back),
        ATTEMPT("unreserve-64", "the same by the newer number", ENOTTY, give_range_back_64),
        ATTEMPT("remove", "the same by advice about memory", EINVAL, take_out_of_mapping),
        ATTEMPT("receive",
                "map what came over TCP, pages that no cgroup is charged for",
                ENOPROTOOPT,
                map_what_came),
        {.name = NULL},
};
