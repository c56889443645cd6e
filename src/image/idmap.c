/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A user namespace lives as long as something refers to it: a process of ours makes it,
 * waits until its maps are written and its descriptor is open, and ends.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"
#include "image/idmap.h"

/* Ends when the other end is closed, also by the death of its holder. */
static _Noreturn void wait_for_close(int read_fd, int write_fd) {
        char byte;

        (void)close(write_fd);
        while (read(read_fd, &byte, 1) < 0 && errno == EINTR)
                ;
        _exit(0);
}

static int write_maps(pid_t pid, const IdmapPair *pairs, size_t n_pairs, int *ret_fd) {
        char dir[32], map[IDMAP_PAIRS_MAX * 32];
        size_t n = 0;
        _cleanup_close_ int proc_fd = -EBADF;
        int fd, r;

        (void)snprintf(dir, sizeof(dir), "/proc/%d", pid);
        proc_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (proc_fd < 0)
                return -errno;

        /* CAP_SETUID and CAP_SETGID in our own namespace: the ids outside are dynod's. */
        for (size_t i = 0; i < n_pairs; i++)
                n += (size_t)snprintf(
                        map + n, sizeof(map) - n, "%u %u 1\n", pairs[i].disk_id, pairs[i].id);
        r = write_text_at(proc_fd, "uid_map", map);
        if (r == 0)
                r = write_text_at(proc_fd, "gid_map", map);
        if (r < 0)
                return r;

        fd = openat(proc_fd, "ns/user", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

int idmap_open(const IdmapPair *pairs, size_t n_pairs, int *ret_fd) {
        /* No exit signal: the launcher's other children are not confused with this one. */
        struct clone_args args = {.flags = CLONE_NEWUSER};
        int pipe_fds[2], fd = -EBADF, r;
        siginfo_t info;
        pid_t pid;

        assert(n_pairs > 0 && n_pairs <= IDMAP_PAIRS_MAX);

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return -errno;
        /* The namespace owns nothing, and the process in it runs these lines only. */
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        if (pid == 0)
                wait_for_close(pipe_fds[0], pipe_fds[1]);
        r = pid < 0 ? -errno : write_maps(pid, pairs, n_pairs, &fd);

        (void)close(pipe_fds[0]);
        (void)close(pipe_fds[1]);
        if (pid > 0)
                while (waitid(P_PID, (id_t)pid, &info, WEXITED | __WALL) < 0 && errno == EINTR)
                        ;
        if (r < 0)
                return r;
        *ret_fd = fd;
        return 0;
}
