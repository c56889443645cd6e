/* SPDX-License-Identifier: Apache-2.0 */

/* /proc and /sys: switches of the kernel, and what tells of the host. */

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "escape.h"

#define LINE_SIZE 8192

/* 0 if @path can be read and holds anything. */
static int has_bytes(const char *path) {
        char bytes[8]; /* some files give whole words alone */
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        ssize_t n;

        if (fd < 0)
                return errno == ENOENT ? ATTEMPT_ABSENT : -errno;
        n = read(fd, bytes, sizeof(bytes));
        (void)close(fd);
        if (n < 0)
                return errno == EAGAIN ? 0 : -errno; /* kmsg, all read */
        return n > 0 ? 0 : ATTEMPT_ABSENT;
}

/* Refused by name (AppArmor), or masked: the profile has some names twice. */
static int has_bytes_for_us(const char *path) {
        int r = has_bytes(path);

        return r == -EACCES ? ATTEMPT_ABSENT : r;
}

#define READS_MASKED(function, path)                                                               \
        static int function(void) {                                                                \
                return has_bytes_for_us(path);                                                     \
        }

#define READS(function, path)                                                                      \
        static int function(void) {                                                                \
                return has_bytes(path);                                                            \
        }

#define OPENS(function, path, flags)                                                               \
        static int function(void) {                                                                \
                int r = attempt_open(path, flags);                                                 \
                                                                                                   \
                return r == -ENOENT ? ATTEMPT_ABSENT : r;                                          \
        }

READS_MASKED(read_kcore, "/proc/kcore")
READS_MASKED(read_kmsg, "/proc/kmsg")
READS_MASKED(read_keys, "/proc/keys")
READS_MASKED(read_key_users, "/proc/key-users")
READS_MASKED(read_timer_list, "/proc/timer_list")
READS_MASKED(read_interrupts, "/proc/interrupts")
READS_MASKED(read_softirqs, "/proc/softirqs")
READS_MASKED(read_modules, "/proc/modules")
READS_MASKED(read_config, "/proc/config.gz")
READS_MASKED(read_crypto, "/proc/crypto")
READS_MASKED(read_misc, "/proc/misc")
READS_MASKED(read_consoles, "/proc/consoles")
READS_MASKED(read_dynamic_debug, "/proc/dynamic_debug/control")
READS_MASKED(read_cmdline, "/proc/cmdline")
READS_MASKED(read_slabinfo, "/proc/slabinfo")
READS_MASKED(read_vmallocinfo, "/proc/vmallocinfo")
READS_MASKED(read_kpagecount, "/proc/kpagecount")
READS_MASKED(read_kpagecgroup, "/proc/kpagecgroup")
READS_MASKED(read_pressure, "/proc/pressure/cpu")
READS_MASKED(read_bus, "/proc/bus/pci/devices")
READS_MASKED(read_vmstat, "/proc/vmstat")
READS_MASKED(read_zoneinfo, "/proc/zoneinfo")
READS_MASKED(read_buddyinfo, "/proc/buddyinfo")
READS_MASKED(read_partitions, "/proc/partitions")
READS_MASKED(read_swaps, "/proc/swaps")
READS_MASKED(read_schedstat, "/proc/schedstat")
READS_MASKED(read_file_count, "/proc/sys/fs/file-nr")
READS_MASKED(read_inode_count, "/proc/sys/fs/inode-nr")
READS_MASKED(read_inode_state, "/proc/sys/fs/inode-state")
READS_MASKED(read_name_count, "/proc/sys/fs/dentry-state")
READS_MASKED(read_request_count, "/proc/sys/fs/aio-nr")
READS_MASKED(read_quota_count, "/proc/sys/fs/quota/lookups")
READS_MASKED(read_terminal_count, "/proc/sys/kernel/pty/nr")
READS(read_sockstat, "/proc/net/sockstat")
READS(read_softnet_stat, "/proc/net/softnet_stat")
READS(read_protocols, "/proc/thread-self/net/protocols")
READS(read_autogroup, "/proc/self/autogroup")
READS(read_numa_maps, "/proc/thread-self/numa_maps")
READS(read_sched_debug, "/sys/kernel/debug/sched/debug")
READS(read_vmcoreinfo, "/sys/kernel/vmcoreinfo")

OPENS(write_core_pattern, "/proc/sys/kernel/core_pattern", O_WRONLY)
OPENS(write_modprobe, "/proc/sys/kernel/modprobe", O_WRONLY)
OPENS(write_sysrq, "/proc/sysrq-trigger", O_WRONLY)
OPENS(write_drop_caches, "/proc/sys/vm/drop_caches", O_WRONLY)
OPENS(write_ip_forward, "/proc/sys/net/ipv4/ip_forward", O_WRONLY)
OPENS(write_hostname, "/proc/sys/kernel/hostname", O_WRONLY)
OPENS(write_last_pid, "/proc/sys/kernel/ns_last_pid", O_WRONLY)
OPENS(write_kernel_object, "/sys/class/net/lo/uevent", O_WRONLY)
OPENS(write_binfmt, "/proc/sys/fs/binfmt_misc/register", O_WRONLY)
OPENS(write_cpu_online, "/sys/devices/system/cpu/cpu1/online", O_WRONLY)
OPENS(read_debugfs, "/sys/kernel/debug", O_RDONLY)
OPENS(read_tracefs, "/sys/kernel/tracing/trace", O_RDONLY)

/* 0 if a line begins with an address; whoever may not know them reads zeroes. */
static int has_addresses(const char *path) {
        FILE *f = fopen(path, "re");
        char line[256];
        int r = ATTEMPT_NOTHING;

        if (!f)
                return -errno;
        while (r != 0 && fgets(line, sizeof(line), f))
                if (strtoull(line, NULL, 16) != 0)
                        r = 0;
        (void)fclose(f);
        return r;
}

static int read_kallsyms(void) {
        int r = has_addresses("/proc/kallsyms");

        return r == -EACCES ? ATTEMPT_NOTHING : r; /* refused by name, too */
}

static int read_iomem(void) {
        return has_addresses("/proc/iomem");
}

/* ---- everything that can be opened for writing ---- */

/* What a process may write about itself alone, or is nothing. */
static bool is_own(const char *path) {
        return strncmp(path, "/proc/self", 10) == 0 || strncmp(path, "/proc/thread-self", 17) == 0;
}

static int open_for_writing(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
        (void)ftw;
        if (kind == FTW_D && ftw->level == 1 && path[6] >= '0' && path[6] <= '9' &&
            strncmp(path, "/proc/", 6) == 0)
                return FTW_SKIP_SUBTREE;
        if (kind != FTW_F || !S_ISREG(st->st_mode) || is_own(path))
                return FTW_CONTINUE;
        return attempt_open(path, O_WRONLY) == 0 ? FTW_STOP : FTW_CONTINUE;
}

static int any_file_below(const char *path) {
        int r = nftw(path, open_for_writing, 16, FTW_PHYS | FTW_ACTIONRETVAL);

        if (r < 0)
                return -errno;
        return r == FTW_STOP ? 0 : ATTEMPT_NOTHING;
}

static int any_sysctl(void) {
        return any_file_below("/proc/sys");
}

static int any_of_proc(void) {
        return any_file_below("/proc");
}

/* uevent_helper among them, where the kernel has it. */
static int any_of_sys_kernel(void) {
        return access("/sys/kernel", F_OK) < 0 ? ATTEMPT_ABSENT : any_file_below("/sys/kernel");
}

static int any_of_sys(void) {
        return any_file_below("/sys");
}

/* ---- about itself ---- */

/* Where in memory its own pages are: what rowhammer wants to know. */
static int page_frames(void) {
        static volatile char page[8192] = {1};
        uint64_t entry;
        int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return errno == EACCES ? ATTEMPT_NOTHING : -errno; /* AppArmor: not at all */
        page[4096] = 1;
        if (pread(fd,
                  &entry,
                  sizeof(entry),
                  (off_t)((uintptr_t)&page[4096] / 4096 * sizeof(entry))) != sizeof(entry))
                return -errno;
        return (entry & ((UINT64_C(1) << 55) - 1)) != 0 ? 0 : ATTEMPT_NOTHING;
}

static int kernel_stack(void) {
        char byte;
        int fd = open("/proc/self/stack", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return read(fd, &byte, 1) < 0 ? -errno : 0;
}

static int oom_score(void) {
        return attempt_write("/proc/self/oom_score_adj", "-500");
}

static int oom_adj(void) {
        return attempt_write("/proc/self/oom_adj", "-17");
}

static int allow_setgroups(void) {
        return attempt_write("/proc/self/setgroups", "allow");
}

/* Once for a user namespace, by anybody in it, and without a capability. */
static int project_map(void) {
        if (escape_is_control && unshare(CLONE_NEWUSER) < 0)
                return ATTEMPT_BROKEN;
        return attempt_write("/proc/self/projid_map", "0 0 4294967295");
}

static int login_uid(void) {
        return attempt_write("/proc/self/loginuid", "1");
}

static int time_offset(void) {
        /* Not in set_up(): the first child that is born into it fixes the offsets. */
        if (escape_is_control && unshare(CLONE_NEWTIME) < 0)
                return ATTEMPT_BROKEN;
        return attempt_write("/proc/self/timens_offsets", "monotonic 1 0");
}

/* Any label that is not the dyno's, by any of the files that change one. */
static int change_label(void) {
        static const char *const files[] = {
                "/proc/self/attr/current",
                "/proc/self/attr/exec",
                "/proc/self/attr/apparmor/current",
                "/proc/self/attr/apparmor/exec",
                "/proc/thread-self/attr/current",
        };
        int r = ATTEMPT_ABSENT;

        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
                r = attempt_write(files[i], "exec unconfined");
                if (r < 0)
                        r = attempt_write(files[i], "changeprofile unconfined");
                if (r == 0)
                        return 0;
        }
        return r;
}

/* A session's weight, which is also set with a lock held that all of the host have together. */
static int session_weight(void) {
        int r = attempt_write("/proc/self/autogroup", "1");

        return r == -EAGAIN ? 0 : r; /* somebody did, less than a tenth of a second ago */
}

/* ---- others ---- */

static bool is_foreign(const char *pid) {
        char path[64], line[256];
        bool foreign = false;
        FILE *f;

        (void)snprintf(path, sizeof(path), "/proc/%.20s/status", pid);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
                if (strncmp(line, "Uid:", 4) == 0)
                        foreign = strtoul(line + 4, NULL, 10) != getuid();
        if (f)
                (void)fclose(f);
        return foreign;
}

static int processes_of_others(void) {
        DIR *dir = opendir("/proc");
        struct dirent *e;
        int r = ATTEMPT_NOTHING;

        if (!dir)
                return ATTEMPT_BROKEN;
        while ((e = readdir(dir)))
                if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && is_foreign(e->d_name))
                        r = 0;
        (void)closedir(dir);
        return r;
}

/*
 * A mount that hands on what the host mounts, or a file system of the host's as a whole.
 * Fields: id parent major:minor root point options [tags...] - type source options
 */
static bool is_of_the_host(char *line) {
        static const char *const kept[] = {
                "proc", "sysfs", "tmpfs", "overlay", "cgroup2", "devpts", "mqueue", "devtmpfs"};
        char *fields[6], *at = line, *type = strstr(line, " - ");

        if (!type)
                return true;
        type[1] = '\0';
        type = strtok(type + 3, " ");
        if (strstr(line, " shared:") || strstr(line, " master:"))
                return true;
        for (size_t i = 0; i < 6; i++)
                fields[i] = strsep(&at, " ");
        if (!fields[5] || !type || strcmp(fields[3], "/") != 0)
                return false;
        for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
                if (strcmp(type, kept[i]) == 0)
                        return false;
        return true;
}

static int mounts_of_the_host(void) {
        static char line[LINE_SIZE];
        FILE *f = fopen("/proc/self/mountinfo", "re");
        int r = ATTEMPT_NOTHING;

        if (!f)
                return ATTEMPT_BROKEN;
        while (fgets(line, sizeof(line), f))
                if (is_of_the_host(line))
                        r = 0;
        (void)fclose(f);
        return r;
}

#define WRITE(name_, tries_, error_, control_, run_)                                               \
        {                                                                                          \
                .name = "proc/write-" name_, .tries = tries_,                                      \
                .stopped_by = "user readonly apparmor", .error = error_, .control = control_,      \
                .run = run_,                                                                       \
        }

#define READ(name_, tries_, stopped_by_, error_, control_, run_)                                   \
        {                                                                                          \
                .name = "proc/read-" name_, .tries = tries_, .stopped_by = stopped_by_,            \
                .error = error_, .control = control_, .run = run_,                                 \
        }

const Attempt attempts_proc[] = {
        WRITE("core-pattern",
              "have the host run a program of its own as root at a crash",
              EACCES,
              CONTROL_ROOT,
              write_core_pattern),
        WRITE("modprobe",
              "have the host run a program of its own as root for a module",
              EACCES,
              CONTROL_ROOT | ATTEMPT_VM,
              write_modprobe),
        WRITE("sysrq", "restart the host", EACCES, CONTROL_ROOT | ATTEMPT_VM, write_sysrq),
        WRITE("drop-caches", "slow the host down", EACCES, CONTROL_ROOT, write_drop_caches),
        WRITE("ip-forward",
              "route for others, in its own network namespace",
              EACCES,
              CONTROL_ROOT,
              write_ip_forward),
        WRITE("hostname", "rename the host", EACCES, CONTROL_ROOT, write_hostname),
        WRITE("last-pid",
              "choose the pid of a process to come",
              EROFS,
              CONTROL_ROOT | CONTROL_VM,
              write_last_pid),
        WRITE("binfmt",
              "register an interpreter for everybody's programs",
              ATTEMPT_ABSENT,
              CONTROL_ROOT | CONTROL_VM,
              write_binfmt),
        WRITE("uevent",
              "make the host believe in a new device",
              ATTEMPT_ABSENT,
              CONTROL_ROOT,
              write_kernel_object),
        WRITE("cpu-online",
              "switch a processor of the host off",
              EACCES,
              CONTROL_ROOT | CONTROL_VM,
              write_cpu_online),
        {
                .name = "proc/write-uevent-helper",
                .tries = "have the host run a program of its own for a device",
                .stopped_by = "root user apparmor",
                .error = ATTEMPT_ABSENT,
                .control = CONTROL_ROOT,
                .run = any_of_sys_kernel,
        },
        WRITE("any-sysctl",
              "open any of the kernel's switches for writing",
              ATTEMPT_NOTHING,
              CONTROL_ROOT,
              any_sysctl),
        {
                .name = "proc/write-any-of-proc",
                .tries = "open any file of /proc that is not a process's for writing",
                .stopped_by = "user readonly masks apparmor",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_ROOT,
                .run = any_of_proc,
        },
        WRITE("any-of-sys",
              "open any file of /sys for writing",
              ATTEMPT_NOTHING,
              CONTROL_ROOT,
              any_of_sys),
        {
                .name = "proc/oom-score",
                .tries = "have the host kill others when memory runs out",
                .stopped_by = "capabilities user apparmor",
                .error = EACCES,
                .control = CONTROL_ROOT | CONTROL_VM,
                .run = oom_score,
        },
        {
                .name = "proc/oom-adj",
                .tries = "the same by the older file",
                .stopped_by = "capabilities user apparmor",
                .error = EACCES,
                .control = CONTROL_ROOT | CONTROL_VM,
                .run = oom_adj,
        },
        {
                .name = "proc/allow-setgroups",
                .tries = "drop a group that a file keeps out",
                .stopped_by = "capabilities user apparmor",
                .error = EACCES,
                .control = CONTROL_ROOT,
                .run = allow_setgroups,
        },
        {
                .name = "proc/project-map",
                .tries = "have the projects of every quota of the host as its own",
                .stopped_by = "kernel",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = project_map,
        },
        {
                .name = "proc/login-uid",
                .tries = "appear in the host's audit log as somebody else",
                .stopped_by = "user",
                .error = EINVAL,
                .control = CONTROL_ROOT | CONTROL_VM,
                .run = login_uid,
        },
        {
                .name = "proc/time-offset",
                .tries = "shift the clock of its namespace",
                .stopped_by = "capabilities user",
                .error = EPERM,
                .control = CONTROL_ROOT | CONTROL_VM,
                .run = time_offset,
        },
        {
                .name = "proc/page-frames",
                .tries = "learn where in memory its pages are",
                .stopped_by = "capabilities user apparmor",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_ROOT,
                .run = page_frames,
        },
        {
                .name = "proc/kernel-stack",
                .tries = "read addresses of the kernel from its own stack in there",
                .stopped_by = "user capabilities",
                .error = EACCES,
                .control = CONTROL_ROOT,
                .run = kernel_stack,
        },
        {
                .name = "proc/write-autogroup",
                .tries = "give way to others, with a lock held that all dynos share",
                .stopped_by = "apparmor",
                .error = EACCES,
                .control = CONTROL_USER | ATTEMPT_VM,
                .run = session_weight,
        },
        {
                .name = "proc/change-label",
                .tries = "leave its AppArmor profile",
                .stopped_by = "apparmor no_new_privs",
                .error = EACCES,
                .control = CONTROL_ROOT | ATTEMPT_VM,
                .run = change_label,
        },
        READ("kcore",
             "read the host's memory",
             "masks user capabilities",
             ATTEMPT_ABSENT,
             CONTROL_ROOT | CONTROL_VM,
             read_kcore),
        READ("kmsg",
             "read the kernel's log",
             "masks user",
             ATTEMPT_ABSENT,
             CONTROL_ROOT,
             read_kmsg),
        READ("kallsyms",
             "learn where the kernel is",
             "masks capabilities",
             ATTEMPT_NOTHING,
             CONTROL_ROOT,
             read_kallsyms),
        READ("keys",
             "list keys of others",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_ROOT,
             read_keys),
        READ("key-users",
             "list users that have keys",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_ROOT,
             read_key_users),
        READ("timer-list",
             "learn addresses and programs from timers",
             "masks user",
             ATTEMPT_ABSENT,
             CONTROL_ROOT,
             read_timer_list),
        READ("interrupts",
             "count the keystrokes and packets of others",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_interrupts),
        READ("softirqs",
             "count the packets and disk accesses of others",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_softirqs),
        READ("modules",
             "learn which modules can be attacked",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER | CONTROL_VM,
             read_modules),
        READ("config",
             "learn how the kernel was built",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER | CONTROL_NATIVE,
             read_config),
        READ("crypto",
             "learn from ciphers which modules can be attacked",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_crypto),
        READ("misc",
             "the same from small devices",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_misc),
        READ("dynamic-debug",
             "the same from what they can print",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER | CONTROL_VM,
             read_dynamic_debug),
        READ("consoles",
             "learn where the host's kernel prints",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_consoles),
        READ("cmdline",
             "read what the host was booted with, secrets among it",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_cmdline),
        READ("pressure",
             "watch the load of others",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER | CONTROL_VM,
             read_pressure),
        READ("bus",
             "list the host's devices",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER | CONTROL_VM,
             read_bus),
        READ("vmstat",
             "count the disk accesses and page faults of others",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_vmstat),
        READ("zoneinfo",
             "count the memory that others take",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER | CONTROL_VM,
             read_zoneinfo),
        READ("buddyinfo",
             "watch the pieces of memory that others leave",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER | CONTROL_VM,
             read_buddyinfo),
        READ("partitions",
             "list the host's disks",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_partitions),
        READ("swaps",
             "watch the host's swap",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_swaps),
        READ("schedstat",
             "count on each processor how often others run",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER | CONTROL_VM,
             read_schedstat),
        READ("file-count",
             "count the files that others have open",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_file_count),
        READ("inode-count",
             "count the files that others use",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_inode_count),
        READ("inode-state",
             "the same by the longer file",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_inode_state),
        READ("name-count",
             "count the names that others look up",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_name_count),
        READ("request-count",
             "count the asynchronous requests of others",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_request_count),
        READ("quota-count",
             "count what others do with files that have a quota",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_quota_count),
        READ("terminal-count",
             "see an operator log in",
             "masks apparmor",
             ATTEMPT_ABSENT,
             CONTROL_USER,
             read_terminal_count),
        READ("sockstat",
             "count the sockets of all network namespaces",
             "apparmor",
             EACCES,
             CONTROL_USER | ATTEMPT_VM,
             read_sockstat),
        READ("softnet-stat",
             "count the packets of others on each processor",
             "apparmor",
             EACCES,
             CONTROL_USER | ATTEMPT_VM,
             read_softnet_stat),
        READ("protocols",
             "count the memory of all sockets of the host",
             "apparmor",
             EACCES,
             CONTROL_USER | ATTEMPT_VM,
             read_protocols),
        READ("autogroup",
             "count the sessions that the host has had",
             "apparmor",
             EACCES,
             CONTROL_USER | ATTEMPT_VM,
             read_autogroup),
        READ("numa-maps",
             "learn how many others have a page of a file mapped",
             "apparmor",
             EACCES,
             CONTROL_USER | ATTEMPT_VM,
             read_numa_maps),
        READ("iomem",
             "learn where the kernel lies in memory",
             "capabilities user",
             ATTEMPT_NOTHING,
             CONTROL_ROOT,
             read_iomem),
        READ("slabinfo",
             "watch the kernel's memory",
             "masks user",
             ATTEMPT_ABSENT,
             CONTROL_ROOT,
             read_slabinfo),
        READ("vmallocinfo",
             "learn kernel addresses",
             "masks user",
             ATTEMPT_ABSENT,
             CONTROL_ROOT,
             read_vmallocinfo),
        READ("kpagecount",
             "learn who shares which page",
             "masks user",
             ATTEMPT_ABSENT,
             CONTROL_ROOT,
             read_kpagecount),
        READ("kpagecgroup",
             "learn whose a page is",
             "masks user",
             ATTEMPT_ABSENT,
             CONTROL_ROOT | CONTROL_VM,
             read_kpagecgroup),
        READ("sched-debug",
             "list every task of the host",
             "root",
             ATTEMPT_ABSENT,
             CONTROL_ROOT | CONTROL_VM,
             read_sched_debug),
        READ("vmcoreinfo",
             "learn the kernel's layout",
             "root",
             ATTEMPT_ABSENT,
             CONTROL_USER | CONTROL_VM,
             read_vmcoreinfo),
        READ("debugfs",
             "look into the kernel",
             "root",
             ATTEMPT_ABSENT,
             CONTROL_ROOT | CONTROL_VM,
             read_debugfs),
        READ("tracefs",
             "trace the kernel",
             "root",
             ATTEMPT_ABSENT,
             CONTROL_ROOT | CONTROL_VM,
             read_tracefs),
        {
                .name = "proc/processes-of-others",
                .tries = "see a process of another user",
                .stopped_by = "pid",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = processes_of_others,
        },
        {
                .name = "proc/mounts-of-the-host",
                .tries = "find a file system of the host, or a mount that the host's events reach",
                .stopped_by = "root old-root mount",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_ROOT,
                .run = mounts_of_the_host,
        },
        {.name = NULL},
};
