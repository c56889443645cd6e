/* SPDX-License-Identifier: Apache-2.0 */

/* Processes that are not the app's own: dyno-init first of all, which has the same uid. */

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/nsfs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "escape.h"

#define PIDS_MAX 5000 /* a dyno has few; the host's first ones are always there */

static int open_victim(const char *name, int flags) {
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/%s", escape_victim, name);
        return attempt_open(path, flags);
}

#define OPENS(function, name, flags)                                                               \
        static int function(void) {                                                                \
                return open_victim(name, flags);                                                   \
        }

OPENS(init_memory, "mem", O_RDWR)
OPENS(init_environment, "environ", O_RDONLY)
OPENS(init_descriptors, "fd", O_RDONLY | O_DIRECTORY)
OPENS(init_root, "root/etc", O_RDONLY | O_DIRECTORY)
OPENS(init_cwd, "cwd/.", O_RDONLY | O_DIRECTORY)
OPENS(init_program, "exe", O_RDONLY)
OPENS(init_maps, "maps", O_RDONLY)
OPENS(init_map_files, "map_files", O_RDONLY | O_DIRECTORY)
OPENS(init_namespace, "ns/mnt", O_RDONLY)
OPENS(init_pagemap, "pagemap", O_RDONLY)
OPENS(init_oom_score, "oom_score_adj", O_WRONLY)
OPENS(init_coredump_filter, "coredump_filter", O_WRONLY)
OPENS(init_clear_refs, "clear_refs", O_WRONLY)

static int init_program_write(void) {
        int r = open_victim("exe", O_WRONLY);

        return r == -ETXTBSY ? 0 : r; /* it runs, and whoever waits for its end can write */
}

/* Of files that everybody may open. */
static int read_victim(const char *name) {
        char path[64], byte;
        int fd;
        ssize_t n;

        (void)snprintf(path, sizeof(path), "/proc/%d/%s", escape_victim, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, &byte, 1);
        return n < 0 ? -errno : 0;
}

static int init_stack(void) {
        return read_victim("syscall");
}

static int init_timer_slack(void) {
        return read_victim("timerslack_ns");
}

/* 'R', 'S', 'T', 'Z', … of the victim. */
static char victim_state(void) {
        char path[64], text[256];
        ssize_t n;
        int fd;
        const char *end;

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", escape_victim);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (fd >= 0)
                (void)close(fd);
        if (n < 0)
                return 'X';
        text[n] = '\0';
        end = strrchr(text, ')');
        return end && end[1] ? end[2] : 'X';
}

/* The signal is delivered on the way out of a call: a few turns of the scheduler. */
static int send_to_victim(int signo) {
        if (kill(escape_victim, signo) < 0)
                return -errno;
        for (int i = 0; i < (escape_is_control ? 10000 : 100); i++) {
                char state = victim_state();

                if (state == 'T' || state == 'Z' || state == 'X')
                        return 0;
                (void)usleep(1000);
        }
        return ATTEMPT_NOTHING;
}

static int init_kill(void) {
        return send_to_victim(SIGKILL);
}

static int init_stop(void) {
        return send_to_victim(SIGSTOP);
}

static int init_segv(void) {
        return send_to_victim(SIGSEGV);
}

static int init_robust_list(void) {
        void *head;
        size_t size;

        return attempt_result(syscall(SYS_get_robust_list, escape_victim, &head, &size));
}

/* ---- others ---- */

static int pids_of_others(void) {
        for (pid_t pid = 1; pid < PIDS_MAX; pid++)
                if (kill(pid, 0) < 0 && errno == EPERM)
                        return 0;
        return ATTEMPT_NOTHING;
}

/* ---- namespaces, by their descriptors ---- */

static int owner_of(const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return attempt_result(ioctl(fd, NS_GET_USERNS));
}

static int owner_of_network(void) {
        return owner_of("/proc/self/ns/net");
}

static int owner_of_mounts(void) {
        return owner_of("/proc/self/ns/mnt");
}

static pid_t nested;

static int parent_of_users(void) {
        char path[64];
        int fd;

        (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", nested > 0 ? nested : getpid());
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return attempt_result(ioctl(fd, NS_GET_PARENT));
}

static int parent_of_users_set_up(void) {
        nested = (pid_t)attempt_call(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0, 0);
        if (nested == 0)
                for (;;)
                        (void)pause();
        return nested < 0 ? nested : 0;
}

static int parent_of_pids(void) {
        int fd = open("/proc/self/ns/pid_for_children", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return attempt_result(ioctl(fd, NS_GET_PARENT));
}

static int parent_of_pids_set_up(void) {
        return attempt_result(unshare(CLONE_NEWPID));
}

/* NS_MNT_GET_PREV of linux/nsfs.h, Linux 6.12: one mount namespace after the other. */
static int mounts_before(void) {
        struct {
                uint32_t size, mounts;
                uint64_t id;
        } info = {.size = sizeof(info)};
        int fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return attempt_result(ioctl(fd, _IOR(0xb7, 12, info), &info));
}

/* ---- its own limits and filters ---- */

/* Where the filter only pretends that a limit was set, the limit itself tells. */
static int core_limit(void) {
        struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
        int r = attempt_result(setrlimit(RLIMIT_CORE, &limit));

        if (r < 0)
                return r;
        if (getrlimit(RLIMIT_CORE, &limit) < 0)
                return ATTEMPT_BROKEN;
        return limit.rlim_cur > 1 ? 0 : ATTEMPT_NOTHING;
}

/* With a limit of 0 the kernel starts the host's handler of core dumps all the same. */
static int core_handler(void) {
        struct rlimit limit = {0, 0};
        int r = attempt_result(setrlimit(RLIMIT_CORE, &limit));

        if (r < 0)
                return r;
        if (getrlimit(RLIMIT_CORE, &limit) < 0)
                return ATTEMPT_BROKEN;
        return limit.rlim_cur == 0 ? 0 : ATTEMPT_NOTHING;
}

static int add_filter(uint32_t action) {
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mount, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, action),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        return attempt_result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

static int mount_and_undo(void) {
        if (mount("none", "/tmp", "tmpfs", 0, NULL) < 0)
                return -errno;
        (void)umount2("/tmp", MNT_DETACH);
        return 0;
}

static int filter_that_allows(void) {
        int r = add_filter(SECCOMP_RET_ALLOW);

        return r < 0 ? r : mount_and_undo();
}

#define INIT(name_, tries_, error_, control_, run_)                                                \
        {                                                                                          \
                .name = "init/" name_, .tries = tries_, .stopped_by = "dumpable user",             \
                .error = error_, .control = control_, .run = run_,                                 \
        }

#define NAMESPACE(name_, tries_, layers_, run_, set_up_)                                           \
        {                                                                                          \
                .name = "others/" name_, .tries = tries_, .stopped_by = layers_, .error = EPERM,   \
                .control = CONTROL_ROOT, .run = run_, .set_up = set_up_,                           \
        }

const Attempt attempts_others[] = {
        INIT("memory", "change dyno-init's memory", EACCES, CONTROL_USER, init_memory),
        INIT("environment", "read dyno-init's environment", EACCES, CONTROL_USER, init_environment),
        INIT("descriptors", "take dyno-init's descriptors", EACCES, CONTROL_USER, init_descriptors),
        INIT("root", "walk through dyno-init's root", EACCES, CONTROL_USER, init_root),
        INIT("cwd", "walk through dyno-init's working folder", EACCES, CONTROL_USER, init_cwd),
        INIT("program",
             "read dyno-init's program, a file of the host",
             EACCES,
             CONTROL_USER,
             init_program),
        INIT("program-write",
             "overwrite dyno-init's program, a file of the host",
             EACCES,
             CONTROL_ROOT,
             init_program_write),
        INIT("maps", "learn dyno-init's addresses", EACCES, CONTROL_USER, init_maps),
        INIT("map-files", "open what dyno-init has mapped", EACCES, CONTROL_USER, init_map_files),
        INIT("namespace",
             "get hold of dyno-init's namespaces",
             EACCES,
             CONTROL_USER,
             init_namespace),
        INIT("pagemap", "read dyno-init's page table", EACCES, CONTROL_USER, init_pagemap),
        INIT("oom-score", "have dyno-init killed first", EACCES, CONTROL_USER, init_oom_score),
        INIT("coredump-filter",
             "have all of dyno-init dumped",
             EACCES,
             CONTROL_USER,
             init_coredump_filter),
        INIT("clear-refs", "disturb dyno-init's memory", EACCES, CONTROL_USER, init_clear_refs),
        {
                .name = "init/timer-slack",
                .tries = "learn how exactly dyno-init is woken",
                .stopped_by = "capabilities user",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = init_timer_slack,
        },
        INIT("stack", "read dyno-init's stack pointer", EACCES, CONTROL_USER, init_stack),
        INIT("robust-list", "read dyno-init's locks", EPERM, CONTROL_USER, init_robust_list),
        {
                .name = "init/kill",
                .tries = "kill dyno-init",
                .stopped_by = "pid user",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = init_kill,
        },
        {
                .name = "init/stop",
                .tries = "stop dyno-init",
                .stopped_by = "pid user",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = init_stop,
        },
        {
                .name = "init/segv",
                .tries = "crash dyno-init",
                .stopped_by = "pid user",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = init_segv,
        },
        {
                .name = "others/pids-of-others",
                .tries = "find a process of another user by its number",
                .stopped_by = "pid",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = pids_of_others,
        },
        NAMESPACE(
                "owner-of-network",
                "get the user namespace that owns the network",
                "user",
                owner_of_network,
                NULL),
        NAMESPACE(
                "owner-of-mounts",
                "get the user namespace that owns the mounts",
                "user",
                owner_of_mounts,
                NULL),
        NAMESPACE(
                "parent-of-users",
                "get the host's user namespace",
                "user kernel",
                parent_of_users,
                parent_of_users_set_up),
        NAMESPACE(
                "parent-of-pids",
                "get the host's pid namespace",
                "kernel",
                parent_of_pids,
                parent_of_pids_set_up),
        {
                .name = "others/mounts-before",
                .tries = "get hold of the mounts of others, by the namespace made before its own",
                .stopped_by = "capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT | CONTROL_NATIVE | ATTEMPT_NATIVE,
                .run = mounts_before,
        },
        {
                .name = "others/core-limit",
                .tries = "leave its memory in a file",
                .stopped_by = "seccomp limits",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_ROOT,
                .run = core_limit,
        },
        {
                .name = "others/core-handler",
                .tries = "have the host's handler of core dumps started, as root",
                .stopped_by = "seccomp limits",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = core_handler,
        },
        {
                .name = "others/filter-that-allows",
                .tries = "allow a refused call with a filter on top",
                .stopped_by = "seccomp capabilities user apparmor",
                .error = EINVAL,
                .control = CONTROL_ROOT,
                .run = filter_that_allows,
        },
        {.name = NULL},
};
