/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "one_by_one.h"
#include "sandbox/cgroup.h"
#include "sandbox/inspect.h"
#include "sandbox/inspect_parse.h"
#include "sandbox/limits.h"

/* What is looked at. */
typedef struct Look {
        SandboxHost *host;
        SandboxDyno dyno;
        SandboxExpect expect;
        InspectScope scope;
} Look;

static void or_die(bool ok, const char *what) {
        if (ok)
                return;
        (void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(2);
}

static void say(const Look *look, const char *name, LaunchLayer layer) {
        LaunchLayerReport reports[_LAYER_MAX];
        int r = inspect_process(look->host, &look->dyno, &look->expect, look->scope, reports);

        if (r < 0)
                printf("%s=%s\n", name, strerrorname_np(-r));
        else
                printf("%s=%s %s\n",
                       name,
                       layer_verdict_to_string((LayerVerdict)reports[layer].verdict),
                       reports[layer].detail);
}

/* A child that has become what @become makes of it, and stops. */
static void begin(Look *look, void (*become)(const Look *, const void *), const void *argument) {
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
                become(look, argument);
                (void)kill(getpid(), SIGSTOP);
                _exit(0);
        }
        or_die(pid > 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status), "a child");
        look->dyno.pid = pid;
        look->dyno.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        or_die(look->dyno.pidfd >= 0, "pidfd_open");
}

static void finish(const Look *look) {
        (void)kill(look->dyno.pid, SIGKILL);
        (void)waitpid(look->dyno.pid, NULL, 0);
        (void)close(look->dyno.pidfd);
}

/* Its pidfd says that it has ended; its number is still there. */
static void say_ended(Look look) {
        siginfo_t si;

        or_die(kill(look.dyno.pid, SIGKILL) == 0 &&
                       waitid(P_PID, (id_t)look.dyno.pid, &si, WEXITED | WNOWAIT) == 0,
               "the end of a child");
        say(&look, "ended", LAYER_USER);
}

/* ---- namespaces ---- */

static void look_at_namespaces(Look look) {
        ino_t of_dyno[_NAMESPACE_MAX];
        char path[64];
        int proc_fd;

        (void)snprintf(path, sizeof(path), "/proc/%d", look.dyno.pid);
        proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        or_die(proc_fd >= 0 && namespaces_read(proc_fd, of_dyno) == 0, path);
        (void)close(proc_fd);
        for (size_t i = 0; i < _NAMESPACE_MAX; i++) {
                ino_t before = look.host->namespaces[i];

                (void)snprintf(path, sizeof(path), "host_%s", namespace_names[i]);
                look.host->namespaces[i] = of_dyno[i];
                say(&look, path, LAYER_NAMESPACES);
                look.host->namespaces[i] = before;
        }

        look.expect.netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        say(&look, "other_netns", LAYER_NETWORK);
        (void)close(look.expect.netns_fd);
}

/* ---- ids ---- */

enum { ID_REAL, ID_EFFECTIVE, ID_SAVED, ID_FILES, _ID_MAX };

/* All ids are the dyno's, but for the one of number @argument: the groups come behind the users. */
static void become_other(const Look *look, const void *argument) {
        uid_t id[2 * _ID_MAX], *gid = id + _ID_MAX;

        for (size_t i = 0; i < ARRAY_SIZE(id); i++)
                id[i] = look->expect.uid + (i == *(const size_t *)argument);
        /* Or the last of these would not be allowed any more. */
        or_die(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0 &&
                       setgroups(0, NULL) == 0 &&
                       setresgid(gid[ID_REAL], gid[ID_EFFECTIVE], gid[ID_SAVED]) == 0 &&
                       setresuid(id[ID_REAL], id[ID_EFFECTIVE], id[ID_SAVED]) == 0,
               "ids");
        (void)setfsgid(gid[ID_FILES]);
        (void)setfsuid(id[ID_FILES]);
}

static void look_at_ids(Look look) {
        char name[32];

        for (size_t i = 0; i < 2 * _ID_MAX; i++) {
                (void)snprintf(name, sizeof(name), "id_%zu", i);
                begin(&look, become_other, &i);
                say(&look, name, LAYER_USER);
                finish(&look);
        }
}

/* In a user namespace of its own, where it waits for its ids. */
static void become_mapped(const Look *look, const void *argument) {
        or_die(setgroups(0, NULL) == 0 && unshare(CLONE_NEWUSER) == 0 &&
                       kill(getpid(), SIGSTOP) == 0 &&
                       setresgid(SANDBOX_DYNO_UID, SANDBOX_DYNO_UID, SANDBOX_DYNO_UID) == 0 &&
                       setresuid(SANDBOX_DYNO_UID, SANDBOX_DYNO_UID, SANDBOX_DYNO_UID) == 0,
               "a user namespace");
}

static void write_map(pid_t pid, const char *name, uint32_t root, uid_t uid) {
        char path[64], map[96];

        (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
        (void)snprintf(map, sizeof(map), "0 %u 1\n%u %u 1\n", root, SANDBOX_DYNO_UID, uid);
        or_die(write_text_at(AT_FDCWD, path, map) == 0, path);
}

/* One of the two maps has another owner of the stack. */
static void look_at_maps(Look look) {
        uint32_t root = look.host->config->uid_base + CONFIG_UID_STACK_ROOT;
        int status = -1;

        for (unsigned other = 0; other < 2; other++) {
                begin(&look, become_mapped, NULL);
                write_map(look.dyno.pid, "uid_map", root + (other == 0), look.expect.uid);
                write_map(look.dyno.pid, "gid_map", root + (other == 1), look.expect.uid);
                or_die(kill(look.dyno.pid, SIGCONT) == 0 &&
                               waitpid(look.dyno.pid, &status, WUNTRACED) > 0 && WIFSTOPPED(status),
                       "a user namespace");
                say(&look, other == 0 ? "other_uid_map" : "other_gid_map", LAYER_USER);
                finish(&look);
        }
}

/* ---- the group ---- */

static void put(int dir_fd, const char *name, uint64_t value) {
        char text[32];
        int r;

        (void)snprintf(text, sizeof(text), "%" PRIu64 "\n", value);
        r = file_replace_at(dir_fd, name, text, strlen(text), 0600, FILE_SYNC_NONE);
        errno = -r;
        or_die(r == 0, name);
}

static void put_io_weight(int dir_fd, unsigned weight) {
        char text[32];

        (void)snprintf(text, sizeof(text), "default %u\n8:0 %u\n", weight, weight + 1);
        or_die(file_replace_at(dir_fd, "io.weight", text, strlen(text), 0600, FILE_SYNC_NONE) == 0,
               "io.weight");
}

static void put_limits(const Look *look, int dir_fd) {
        const LaunchStart *start = look->expect.start;

        put(dir_fd, "cgroup.procs", (uint64_t)look->dyno.pid);
        put(dir_fd, "memory.max", look->host->swap ? start->memory_quota : start->memory_kill);
        put(dir_fd, "memory.swap.max", start->memory_kill - start->memory_quota);
        put(dir_fd, "memory.oom.group", 1);
        put(dir_fd, "cpu.weight", start->cpu_weight);
        put(dir_fd, "pids.max", cgroup_pids_max(start->process_limit));
        put_io_weight(dir_fd, start->cpu_weight);
}

/* Of a folder that says what a group with all controllers would, whatever this kernel has. */
static void look_at_group(Look look, const char *work) {
        static const char *const files[] = {
                "memory.max", "memory.swap.max", "memory.oom.group", "cpu.weight", "pids.max"};
        const SandboxHost before = *look.host;
        char path[512];
        int dir_fd;

        (void)snprintf(path, sizeof(path), "%s/group", work);
        (void)mkdir(path, 0700);
        dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        or_die(dir_fd >= 0, path);
        look.dyno.cgroup_fd = dir_fd;
        look.host->controllers = CGROUP_MEMORY | CGROUP_CPU | CGROUP_PIDS | CGROUP_IO;
        look.host->missing = UINT32_C(1) << MISSING_APPARMOR;
        for (unsigned swap = 0; swap < 2; swap++) {
                look.host->swap = swap != 0;
                put_limits(&look, dir_fd);
                say(&look, swap ? "group_swap" : "group", LAYER_CGROUP);
                for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                        (void)snprintf(path, sizeof(path), "group_%u_%s", swap, files[i]);
                        put(dir_fd, files[i], 1000);
                        say(&look, path, LAYER_CGROUP);
                        put_limits(&look, dir_fd);
                }
        }
        put_io_weight(dir_fd, look.expect.start->cpu_weight * 10);
        say(&look, "group_io.weight", LAYER_CGROUP);
        put_limits(&look, dir_fd);
        look.host->missing |= UINT32_C(1) << MISSING_CGROUP_PIDS;
        say(&look, "group_missing", LAYER_CGROUP);
        look.dyno.cgroup_fd = -EBADF;
        say(&look, "group_unread", LAYER_CGROUP);
        *look.host = before;
        (void)close(dir_fd);
}

/* ---- what a process may ---- */

static void look_at_filters(Look look) {
        unsigned before = look.host->seccomp_levels;
        int userns_fd = look.expect.userns_fd;

        look.host->seccomp_levels = before + 1;
        say(&look, "less_filters", LAYER_SECCOMP);
        look.expect.userns_fd = -EBADF;
        say(&look, "adopted_filters", LAYER_SECCOMP);
        look.expect.userns_fd = userns_fd;
        look.host->seccomp_levels = before - 1;
        say(&look, "more_filters", LAYER_SECCOMP);
        look.host->seccomp_levels = before;
}

/* Has what @argument says in its sets; the bounding set is what is left where it says nothing. */
static void become_capable(const Look *look, const void *argument) {
        static const struct __user_cap_data_struct nothing[_LINUX_CAPABILITY_U32S_3];
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct all[_LINUX_CAPABILITY_U32S_3];
        const struct __user_cap_data_struct *data = argument;

        /* What is inheritable is no more than what the bounding set has, to begin with. */
        or_die(syscall(SYS_capget, &header, all) == 0, "capget");
        all[0].inheritable = data ? data[0].inheritable : 0;
        or_die(syscall(SYS_capset, &header, all) == 0, "capset");
        for (unsigned long cap = 0; data && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
                or_die(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0, "the bounding set");
        or_die(syscall(SYS_capset, &header, data ? data : nothing) == 0, "capset");
}

static void look_at_capabilities(Look look) {
        static const struct __user_cap_data_struct inheritable[] = {{.inheritable = 1}, {0}};
        static const struct __user_cap_data_struct permitted[] = {{.permitted = 1}, {0}};
        static const struct __user_cap_data_struct *const sets[] = {inheritable, permitted, NULL};
        static const char *const names[] = {"inheritable", "permitted", "bounding"};

        for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
                begin(&look, become_capable, sets[i]);
                say(&look, names[i], LAYER_CAPABILITIES);
                if (i == 0) {
                        say(&look, "no_filter", LAYER_SECCOMP);
                        say(&look, "privileges", LAYER_NO_NEW_PRIVS);
                }
                if (i + 1 == ARRAY_SIZE(sets))
                        say_ended(look);
                finish(&look);
        }
}

/* ---- limits ---- */

typedef struct Limit {
        const char *name;
        __rlimit_resource_t resource;
        rlim_t wanted, soft, hard;
} Limit;

static const Limit *limits_of(const Look *look, size_t *ret_n) {
        static Limit table[8];
        const Limit wanted[] = {
                {"processes", RLIMIT_NPROC, look->expect.start->process_limit, 0, 0},
                {"files", RLIMIT_NOFILE, limits_files(), 0, 0},
                {"core", RLIMIT_CORE, LIMITS_CORE, 0, 0},
                {"memlock", RLIMIT_MEMLOCK, LIMITS_MEMLOCK, 0, 0},
                {"signals", RLIMIT_SIGPENDING, LIMITS_SIGNALS, 0, 0},
                {"queues", RLIMIT_MSGQUEUE, LIMITS_QUEUES, 0, 0},
                {"nice", RLIMIT_NICE, 0, 0, 0},
                {"realtime", RLIMIT_RTPRIO, 0, 0, 0},
        };

        memcpy(table, wanted, sizeof(table));
        *ret_n = ARRAY_SIZE(table);
        return table;
}

/* All limits are the dyno's, but for one. Exits with 3 if that one may not be set here. */
static void become_limited(const Look *look, const void *argument) {
        const Limit *other = argument, *all;
        struct rlimit limit = {other->soft, other->hard};
        size_t n;

        if (setrlimit(other->resource, &limit) < 0)
                _exit(3);
        all = limits_of(look, &n);
        for (size_t i = 0; i < n; i++) {
                limit = (struct rlimit){all[i].wanted, all[i].wanted};
                or_die(all[i].resource == other->resource ||
                               setrlimit(all[i].resource, &limit) == 0,
                       all[i].name);
        }
}

static bool may_limit(const Limit *limit) {
        const struct rlimit new = {limit->soft, limit->hard};
        int status = -1;
        pid_t pid = fork();

        if (pid == 0)
                _exit(setrlimit(limit->resource, &new) < 0);
        or_die(pid > 0 && waitpid(pid, &status, 0) == pid, "a child");
        return status == 0;
}

static void say_limit(Look look, const char *prefix, Limit limit, rlim_t soft, rlim_t hard) {
        char name[64];

        limit.soft = soft;
        limit.hard = hard;
        (void)snprintf(name, sizeof(name), "%s_%s", prefix, limit.name);
        if (!may_limit(&limit)) {
                printf("%s=refused\n", name);
                return;
        }
        begin(&look, become_limited, &limit);
        say(&look, name, LAYER_LIMITS);
        finish(&look);
}

static void look_at_limits(Look look) {
        size_t n;
        const Limit *all = limits_of(&look, &n);

        look.scope = INSPECT_DYNO;
        for (size_t i = 0; i < n; i++) {
                say_limit(look, "hard", all[i], all[i].wanted, all[i].wanted + 1);
                say_limit(look, "soft", all[i], all[i].wanted + 1, all[i].wanted + 1);
        }
        say_limit(look, "none", all[2], 0, LIMITS_CORE);

        /* As many more as a process has that joins a dyno, and no scratch of its own. */
        look.scope = INSPECT_EXEC;
        say_limit(look, "exec", all[0], all[0].wanted, all[0].wanted + CGROUP_EXTRA_PIDS);
        say_limit(look, "exec_more", all[0], all[0].wanted, all[0].wanted + CGROUP_EXTRA_PIDS + 1);
}

/* ---- mounts ---- */

typedef struct MountChange {
        const char *name, *source, *point, *fstype;
        unsigned long flags;
        const char *undo; /* NULL: it is unmounted; what is mounted again with @flags otherwise */
        unsigned long undo_flags;
} MountChange;

/* In the dyno's mounts, as only root of the host can. */
static void change(const Look *look, const MountChange *change, bool undo) {
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
                bool unmount = undo ? change->undo == NULL : change->source == NULL;

                or_die(setns(look->dyno.pidfd, CLONE_NEWNS) == 0, "setns");
                (void)mkdir(change->point, 0755);
                if (unmount)
                        or_die(umount2(change->point, MNT_DETACH) == 0, change->point);
                else
                        or_die(mount(undo ? change->undo : change->source,
                                     change->point,
                                     undo ? NULL : change->fstype,
                                     undo ? change->undo_flags : change->flags,
                                     NULL) == 0,
                               change->point);
                _exit(0);
        }
        or_die(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "a change of mounts");
}

static void look_at_mounts(Look look) {
        static char too_long[MOUNT_POINT_SIZE + 16] = "/app/dir/";
        static const unsigned long tight = MS_NOSUID | MS_NODEV | MS_NOEXEC;
        const MountChange changes[] = {
                {"new", "tmpfs", "/app/dir", "tmpfs", 0, NULL, 0},
                {"unreadable", "tmpfs", too_long, "tmpfs", 0, NULL, 0},
                {"twice", "tmpfs", "/dev/shm", "tmpfs", tight, NULL, 0},
                {"writable",
                 "",
                 "/etc/hosts",
                 NULL,
                 MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV,
                 "",
                 MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_RDONLY},
                {"suid",
                 "",
                 "/tmp",
                 NULL,
                 MS_REMOUNT | MS_BIND | MS_NODEV,
                 "",
                 MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV},
                {"shared", "", "/app", NULL, MS_SHARED, "", MS_PRIVATE},
                /* From here on something is missing, and comes back no more. */
                {"masked", NULL, "/proc/cmdline", NULL, 0, NULL, 0},
                {"gone", NULL, "/dev/shm", NULL, 0, NULL, 0},
                {"other_type", "ramfs", "/dev/shm", "ramfs", tight, NULL, 0},
        };

        memset(too_long + strlen(too_long), 'x', MOUNT_POINT_SIZE - strlen(too_long));
        say(&look, "mounts", LAYER_ROOTFS);
        for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
                char name[64];

                change(&look, &changes[i], false);
                (void)snprintf(name, sizeof(name), "mount_%s", changes[i].name);
                say(&look, name, LAYER_ROOTFS);
                look.scope = INSPECT_EXEC;
                (void)snprintf(name, sizeof(name), "exec_mount_%s", changes[i].name);
                say(&look, name, LAYER_ROOTFS);
                look.scope = INSPECT_DYNO;
                if (changes[i].source)
                        change(&look, &changes[i], true);
        }
}

void inspect_one_by_one(
        SandboxHost *host, const SandboxDyno *dyno, const SandboxExpect *expect, const char *work) {
        const Look look = {.host = host, .dyno = *dyno, .expect = *expect, .scope = INSPECT_DYNO};

        look_at_namespaces(look);
        look_at_ids(look);
        look_at_maps(look);
        look_at_group(look, work);
        look_at_filters(look);
        look_at_capabilities(look);
        look_at_limits(look);
        look_at_mounts(look);
}
