/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/capabilities.h"
#include "sandbox/namespaces.h"
#include "sandbox/sandbox.h"

#define USERNS_RANGES_MAX 4

int sandbox_isolate_mounts(void) {
        /* Safe: only this process and its children see the copy, and nothing flows back. */
        if (unshare(CLONE_NEWNS) < 0)
                return -errno;
        if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
                return -errno;

        return 0;
}

/*
 * What is in the namespace makes no further ones, should it ever get past the filter: a
 * user namespace gives whoever makes it every capability in what it owns, and needs no
 * right that we could take away.
 */
static int forbid_namespaces(void) {
        static const char *const kinds[] = {
                "user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"};
        char path[64];

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                int r;

                /* Safe: the kernel shows each process the limits of its own user namespace. */
                (void)snprintf(path, sizeof(path), "/proc/sys/user/max_%s_namespaces", kinds[i]);
                r = write_text_at(AT_FDCWD, path, "0");
                if (r < 0)
                        return r;
        }

        return 0;
}

/* The child's part. Writes one byte when the namespace is there, stays until it is killed. */
static void become_owner_and_wait(uid_t owner, int ready_fd, pid_t parent) {
        /* Kept because some systems let only CAP_SYS_ADMIN make user namespaces. */
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresgid(owner, owner, owner) < 0 ||
            setresuid(owner, owner, owner) < 0)
                return;
        (void)!capabilities_raise(CAP_SYS_ADMIN);
        if (unshare(CLONE_NEWUSER) < 0 || forbid_namespaces() < 0)
                return;
        /*
         * Only now, because each change of credentials above takes it back: if dynod is
         * killed, this process must not stay with copies of its locks and sockets.
         */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
                return;
        if (write(ready_fd, "", 1) != 1)
                return;
        for (;;)
                (void)pause();
}

static int write_map(int proc_fd, const char *file, const IdRange *map, size_t n_map) {
        char text[USERNS_RANGES_MAX * 36];
        size_t n = 0;

        for (size_t i = 0; i < n_map; i++)
                n += (size_t)snprintf(
                        text + n,
                        sizeof(text) - n,
                        "%u %u %u\n",
                        map[i].inside,
                        map[i].outside,
                        map[i].count);

        return write_text_at(proc_fd, file, text);
}

/* Maps the namespace of @pid, which waits, and opens it. */
static int map_and_open(pid_t pid, const IdRange *map, size_t n_map) {
        const IdRange projects = {.inside = USERNS_PROJECT, .outside = USERNS_PROJECT, .count = 1};
        _cleanup_close_ int proc_fd = -EBADF;
        char path[32];
        int r, fd;

        (void)snprintf(path, sizeof(path), "/proc/%d", pid);
        proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (proc_fd < 0)
                return -errno;

        /* Safe: the ids are the instance's own, chosen by the launcher alone. */
        r = write_text_at(proc_fd, "setgroups", "deny");
        if (r == 0)
                r = write_map(proc_fd, "uid_map", map, n_map);
        if (r == 0)
                r = write_map(proc_fd, "gid_map", map, n_map);
        if (r == 0)
                r = write_map(proc_fd, "projid_map", &projects, 1);
        if (r < 0)
                return r;

        fd = openat(proc_fd, "ns/user", O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int userns_create(uid_t owner, const IdRange *map, size_t n_map, int *ret_fd) {
        int ready[2] = {-EBADF, -EBADF};
        pid_t pid, parent = getpid();
        int fd = -EPERM;
        char byte;
        ssize_t n;

        assert(map && n_map >= 1 && n_map <= USERNS_RANGES_MAX);
        assert(ret_fd);

        if (pipe2(ready, O_CLOEXEC) < 0)
                return -errno;
        pid = fork();
        if (pid < 0)
                fd = -errno;
        if (pid == 0) {
                become_owner_and_wait(owner, ready[1], parent);
                _exit(1);
        }
        ready[1] = safe_close(ready[1]);

        if (pid > 0) {
                do
                        n = read(ready[0], &byte, 1);
                while (n < 0 && errno == EINTR);
                if (n == 1)
                        fd = map_and_open(pid, map, n_map);
                (void)kill(pid, SIGKILL);
                while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        (void)safe_close(ready[0]);
        if (fd < 0)
                return fd;

        *ret_fd = fd;
        return 0;
}

int namespaces_join(int pidfd) {
        /* Safe: @pidfd is a dyno-init of ours, verified by its cgroup. */
        if (setns(pidfd, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) <
            0)
                return -errno;

        return 0;
}
