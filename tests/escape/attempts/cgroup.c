/* SPDX-License-Identifier: Apache-2.0 */

/* The control groups: limits are only limits while the dyno cannot write them. */

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "escape.h"

#define LINE_SIZE 4096

/* Where cgroup2 is mounted: its place differs among hosts, not among dynos. */
static int find_cgroup2(char *ret, size_t size) {
        char line[LINE_SIZE], where[1024], type[64];
        int r = -ENOENT;
        FILE *f;

        if (!escape_is_control) {
                (void)snprintf(ret, size, "/sys/fs/cgroup");
                return 0;
        }
        f = fopen("/proc/self/mounts", "re");
        if (!f)
                return -errno;
        while (r < 0 && fgets(line, sizeof(line), f))
                if (sscanf(line, "%*s %1023s %63s", where, type) == 2 &&
                    strcmp(type, "cgroup2") == 0) {
                        (void)snprintf(ret, size, "%s", where);
                        r = 0;
                }
        (void)fclose(f);
        return r;
}

/* The name of the own group, "/" in a dyno: more where its cgroup namespace is missing. */
static int group_name(char *ret, size_t size) {
        FILE *f = fopen("/proc/self/cgroup", "re");
        char line[LINE_SIZE];
        int r = -ENOENT;

        if (!f)
                return -errno;
        while (r < 0 && fgets(line, sizeof(line), f))
                if (strncmp(line, "0::/", 4) == 0) {
                        line[strcspn(line, "\n")] = '\0';
                        (void)snprintf(ret, size, "%s", line + 3);
                        r = 0;
                }
        (void)fclose(f);
        return r;
}

/*
 * In a control the root of the groups has none of the limits' files: a child stands in for
 * the dyno's own group.
 */
static int own_group(char *ret, size_t size) {
        int r = find_cgroup2(ret, size);
        size_t n;

        if (r < 0)
                return r;
        n = strlen(ret);
        if (!escape_is_control)
                return group_name(ret + n, size - n);
        (void)strncat(ret, "/escape-control", size - n - 1);
        return mkdir(ret, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_file(const char *name) {
        char path[LINE_SIZE] = "";
        size_t n;
        int r;

        if (own_group(path, sizeof(path) / 2) < 0)
                return ATTEMPT_BROKEN;
        n = strlen(path);
        (void)snprintf(path + n, sizeof(path) - n, "/%s", name);
        r = attempt_open(path, O_WRONLY);
        path[n] = '\0';
        if (escape_is_control)
                (void)rmdir(path);
        return r;
}

#define OPENS(function, name)                                                                      \
        static int function(void) {                                                                \
                return open_file(name);                                                            \
        }

OPENS(processes, "cgroup.procs")
OPENS(threads, "cgroup.threads")
OPENS(kill_all, "cgroup.kill")
OPENS(freeze, "cgroup.freeze")
OPENS(subtree, "cgroup.subtree_control")
OPENS(descendants, "cgroup.max.descendants")
OPENS(memory_max, "memory.max")
OPENS(memory_reclaim, "memory.reclaim")
OPENS(swap_max, "memory.swap.max")
OPENS(oom_group, "memory.oom.group")
OPENS(pids_max, "pids.max")
OPENS(cpu_weight, "cpu.weight")

static int make_child(void) {
        char path[LINE_SIZE];
        int r;

        if (find_cgroup2(path, sizeof(path) - 16) < 0)
                return ATTEMPT_BROKEN;
        (void)strcat(path, "/escape-child");
        r = attempt_result(mkdir(path, 0755));
        (void)rmdir(path);
        return r;
}

/* The groups above the own one: the name of the process's group tells of them. */
static int groups_above(void) {
        FILE *f = fopen("/proc/self/cgroup", "re");
        char line[LINE_SIZE];
        int r = ATTEMPT_NOTHING;

        if (!f)
                return ATTEMPT_BROKEN;
        while (fgets(line, sizeof(line), f))
                if (strcmp(strrchr(line, ':'), ":/\n") != 0)
                        r = 0;
        (void)fclose(f);
        return r;
}

static int groups_above_set_up(void) {
        char path[LINE_SIZE] = "";
        int r = own_group(path, sizeof(path) / 2);

        if (r < 0)
                return r;
        (void)strcat(path, "/cgroup.procs");
        return attempt_write(path, "0");
}

/* A child that begins in a group of the caller's choice. */
static int clone_into(void) {
        struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
        char path[LINE_SIZE];
        int fd = find_cgroup2(path, sizeof(path)) < 0
                         ? -1
                         : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        long pid;

        if (fd < 0)
                return ATTEMPT_BROKEN;
        args.cgroup = (uint64_t)fd;
        pid = syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0)
                return -errno;
        if (pid == 0)
                _exit(0);
        return attempt_wait((pid_t)pid);
}

/* The classic: a program that the host runs as root when a group of version 1 empties. */
static int release_agent(void) {
        static const char *const files[] = {
                "/tmp/release_agent",
                "/sys/fs/cgroup/release_agent",
                "/sys/fs/cgroup/memory/release_agent",
                "/sys/fs/cgroup/memory/notify_on_release",
                "/sys/fs/cgroup/systemd/release_agent",
                "/sys/fs/cgroup/rdma/release_agent",
        };
        int r = -ENOENT;

        for (size_t i = 0; r < 0 && i < sizeof(files) / sizeof(files[0]); i++) {
                r = attempt_open(files[i], O_WRONLY);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return r == -ENOENT ? ATTEMPT_ABSENT : r;
}

static int release_agent_set_up(void) {
        return attempt_result(mount("none", "/tmp", "cgroup", 0, "none,name=escape-control"));
}

#define FILE_OF_GROUP(name_, tries_, control_, run_)                                               \
        {                                                                                          \
                .name = "cgroup/" name_, .tries = tries_, .stopped_by = "user readonly apparmor",  \
                .error = EACCES, .control = control_, .run = run_,                                 \
        }

#define CONTROLLER (CONTROL_ROOT | CONTROL_VM | ATTEMPT_VM)

const Attempt attempts_cgroup[] = {
        FILE_OF_GROUP("processes", "move a process out of its group", CONTROL_ROOT, processes),
        FILE_OF_GROUP("threads", "move a thread out of its group", CONTROL_ROOT, threads),
        FILE_OF_GROUP("kill", "kill a whole group", CONTROL_ROOT, kill_all),
        FILE_OF_GROUP("freeze", "freeze dyno-init along with itself", CONTROL_ROOT, freeze),
        FILE_OF_GROUP("subtree", "share its limits out as it likes", CONTROL_ROOT, subtree),
        FILE_OF_GROUP("descendants", "be allowed groups below", CONTROL_ROOT, descendants),
        FILE_OF_GROUP("memory-max", "have more memory", CONTROLLER, memory_max),
        FILE_OF_GROUP(
                "memory-reclaim", "keep the host busy with its memory", CONTROLLER, memory_reclaim),
        FILE_OF_GROUP("swap-max", "have more swap", CONTROLLER | CONTROL_ROOT, swap_max),
        FILE_OF_GROUP("oom-group", "survive its own lack of memory in part", CONTROLLER, oom_group),
        FILE_OF_GROUP("pids-max", "have more processes", CONTROLLER, pids_max),
        FILE_OF_GROUP("cpu-weight", "be served before others", CONTROLLER, cpu_weight),
        {
                .name = "cgroup/child",
                .tries = "make groups of its own",
                .stopped_by = "readonly user apparmor",
                .error = EROFS,
                .control = CONTROL_ROOT,
                .run = make_child,
        },
        {
                .name = "cgroup/clone-into",
                .tries = "have a child begin in another group",
                .stopped_by = "seccomp user",
                .error = ENOSYS,
                .control = CONTROL_ROOT,
                .run = clone_into,
        },
        {
                .name = "cgroup/above",
                .tries = "learn the groups above its own",
                .stopped_by = "cgroup",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_ROOT,
                .run = groups_above,
                .set_up = groups_above_set_up,
        },
        {
                .name = "cgroup/release-agent",
                .tries = "have the host run a program of its own as root",
                .stopped_by = "root readonly user",
                .error = ATTEMPT_ABSENT,
                .control = CONTROL_ROOT,
                .run = release_agent,
                .set_up = release_agent_set_up,
        },
        {.name = NULL},
};
