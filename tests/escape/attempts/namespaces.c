/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Namespaces: making each kind by unshare(2), clone(2) and clone3(2), joining each kind by
 * setns(2), and finding those of others.
 */

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "escape.h"

static int by_unshare(unsigned long flag) {
        return attempt_result(syscall(SYS_unshare, flag));
}

static int end_child(long pid) {
        if (pid < 0)
                return -errno;
        if (pid == 0)
                _exit(0);
        return attempt_wait((pid_t)pid);
}

static int by_clone(unsigned long flag) {
        return end_child(syscall(SYS_clone, flag | SIGCHLD, NULL, NULL, NULL, NULL));
}

static int by_clone3(unsigned long flag) {
        struct clone_args args = {.flags = flag, .exit_signal = SIGCHLD};

        return end_child(syscall(SYS_clone3, &args, sizeof(args)));
}

/* In a dyno PID 1 is its dyno-init; in a control it is the host's, as it would be for a dyno
 * that sees the host's processes. */
static int by_setns(const char *kind) {
        char path[32];
        int fd;

        (void)snprintf(path, sizeof(path), "/proc/1/ns/%s", kind);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
                /* Not dumpable: its links are not for us. The own one must be refused, too. */
                (void)snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
                fd = open(path, O_RDONLY | O_CLOEXEC);
        }
        return fd < 0 ? -errno : attempt_result(setns(fd, 0));
}

/* In a control, where the own one is nothing to join: one of a child's. */
static int by_setns_of_child(void) {
        char path[48];
        int ready[2], fd;
        pid_t pid;

        if (pipe2(ready, O_CLOEXEC) < 0)
                return ATTEMPT_BROKEN;
        pid = fork();
        if (pid == 0) {
                if (unshare(CLONE_NEWUSER) < 0 || write(ready[1], "", 1) != 1)
                        _exit(1);
                for (;;)
                        (void)pause();
        }
        (void)close(ready[1]);
        if (pid < 0 || read(ready[0], path, 1) != 1)
                return ATTEMPT_BROKEN;
        (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : attempt_result(setns(fd, CLONE_NEWUSER));
}

#define KIND(lower, flag)                                                                          \
        static int unshare_##lower(void) {                                                         \
                return by_unshare(flag);                                                           \
        }                                                                                          \
        static int clone3_##lower(void) {                                                          \
                return by_clone3(flag);                                                            \
        }                                                                                          \
        static int setns_##lower(void) {                                                           \
                return by_setns(#lower);                                                           \
        }
#define KIND_CLONE(lower, flag)                                                                    \
        static int clone_##lower(void) {                                                           \
                return by_clone(flag);                                                             \
        }

KIND(mnt, CLONE_NEWNS)
KIND(pid, CLONE_NEWPID)
KIND(net, CLONE_NEWNET)
KIND(ipc, CLONE_NEWIPC)
KIND(uts, CLONE_NEWUTS)
KIND(cgroup, CLONE_NEWCGROUP)
KIND(user, CLONE_NEWUSER)

static int setns_any_user(void) {
        return escape_is_control ? by_setns_of_child() : setns_user();
}

KIND(time, CLONE_NEWTIME)
/* A time namespace has no flag of clone(2): its bit is part of the signal there. */
KIND_CLONE(mnt, CLONE_NEWNS)
KIND_CLONE(pid, CLONE_NEWPID)
KIND_CLONE(net, CLONE_NEWNET)
KIND_CLONE(ipc, CLONE_NEWIPC)
KIND_CLONE(uts, CLONE_NEWUTS)
KIND_CLONE(cgroup, CLONE_NEWCGROUP)
KIND_CLONE(user, CLONE_NEWUSER)

static int setns_pidfd(void) {
        long fd = syscall(SYS_pidfd_open, escape_victim, 0);

        return fd < 0 ? -errno : attempt_result(setns((int)fd, CLONE_NEWNS | CLONE_NEWUTS));
}

/* All in one, and a user namespace first: what exploits of the kernel begin with. */
static int unshare_user_and_all(void) {
        return attempt_result(
                unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC |
                        CLONE_NEWUTS | CLONE_NEWCGROUP));
}

/* A namespace tells who owns it, and gives a descriptor of that user namespace. */
static int ask_owner(void) {
        int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : attempt_result(ioctl(fd, NS_GET_USERNS));
}

#define BY_ALL "seccomp capabilities user apparmor"
#define THREE(lower, what)                                                                         \
        {.name = "namespaces/unshare-" #lower,                                                     \
         .tries = "make " what " by unshare",                                                      \
         .stopped_by = "seccomp capabilities namespace-limits user apparmor",                      \
         .error = EPERM,                                                                           \
         .control = CONTROL_ROOT,                                                                  \
         .run = unshare_##lower},                                                                  \
                {.name = "namespaces/clone3-" #lower,                                              \
                 .tries = "make " what " by clone3, whose flags no filter sees",                   \
                 .stopped_by = "seccomp capabilities namespace-limits user apparmor",              \
                 .error = ENOSYS,                                                                  \
                 .control = CONTROL_ROOT,                                                          \
                 .run = clone3_##lower},                                                           \
        {                                                                                          \
                .name = "namespaces/setns-" #lower, .tries = "join " what " of another process",   \
                .stopped_by = BY_ALL, .error = EPERM, .control = CONTROL_ROOT,                     \
                .run = setns_##lower                                                               \
        }
#define FOUR(lower, what)                                                                          \
        THREE(lower, what), {                                                                      \
                .name = "namespaces/clone-" #lower, .tries = "make " what " by clone",             \
                .stopped_by = "seccomp capabilities namespace-limits user apparmor",               \
                .error = EPERM, .control = CONTROL_ROOT, .run = clone_##lower                      \
        }

const Attempt attempts_namespaces[] = {
        FOUR(mnt, "a mount namespace"),
        FOUR(pid, "a pid namespace"),
        FOUR(net, "a network namespace"),
        FOUR(ipc, "an ipc namespace"),
        FOUR(uts, "a uts namespace"),
        FOUR(cgroup, "a cgroup namespace"),
        {
                .name = "namespaces/unshare-user",
                .tries = "make a user namespace by unshare, and be root in it",
                .stopped_by = "seccomp namespace-limits",
                .error = EPERM,
                .control = CONTROL_USER,
                .run = unshare_user,
        },
        {
                .name = "namespaces/clone-user",
                .tries = "make a user namespace by clone, and be root in it",
                .stopped_by = "seccomp namespace-limits",
                .error = EPERM,
                .control = CONTROL_USER,
                .run = clone_user,
        },
        {
                .name = "namespaces/clone3-user",
                .tries = "make a user namespace by clone3, whose flags no filter sees",
                .stopped_by = "seccomp namespace-limits",
                .error = ENOSYS,
                .control = CONTROL_USER,
                .run = clone3_user,
        },
        {
                .name = "namespaces/unshare-user-and-all",
                .tries = "be root in a new user namespace that owns all others",
                .stopped_by = "seccomp namespace-limits",
                .error = EPERM,
                .control = CONTROL_USER,
                .run = unshare_user_and_all,
        },
        {
                .name = "namespaces/setns-user",
                .tries = "join a user namespace again, to have all capabilities in it",
                .stopped_by = BY_ALL,
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = setns_any_user,
        },
        THREE(time, "a time namespace"),
        {
                .name = "namespaces/setns-pidfd",
                .tries = "join several namespaces of a process by its pidfd",
                .stopped_by = BY_ALL,
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = setns_pidfd,
        },
        {
                .name = "namespaces/owner",
                .tries = "get a descriptor of the host's user namespace",
                .stopped_by = "user",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = ask_owner,
        },
        {.name = NULL},
};
