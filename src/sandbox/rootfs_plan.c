/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "sandbox/rootfs_plan.h"

/*
 * Of /proc, what tells of the host or of other dynos is masked, and what changes the
 * kernel is read-only. Most of it belongs to a root that does not exist in a dyno; the
 * masks hold where a file's mode does not.
 */
#define MASK_FILE(name)                                                                            \
        { "/proc/" name, "tmpfs", ROOTFS_RO | ROOTFS_STRICT | ROOTFS_OPTIONAL, ROOTFS_MASK_FILE }
#define MASK_DIR(name)                                                                             \
        { "/proc/" name, "tmpfs", ROOTFS_RO | ROOTFS_STRICT | ROOTFS_OPTIONAL, ROOTFS_MASK_DIR }
#define ETC_FILE(name, fstype)                                                                     \
        { "/etc/" name, fstype, ROOTFS_RO | ROOTFS_NOSUID | ROOTFS_NODEV, ROOTFS_NO_MASK }

const RootfsMount rootfs_mounts[] = {
        {"/", NULL, ROOTFS_RO | ROOTFS_NOSUID | ROOTFS_NODEV, ROOTFS_NO_MASK},
        {"/app", "overlay", ROOTFS_NOSUID | ROOTFS_NODEV, ROOTFS_NO_MASK},
        {"/tmp", NULL, ROOTFS_NOSUID | ROOTFS_NODEV, ROOTFS_NO_MASK}, /* see scratch_check.c */
        {"/var/tmp", NULL, ROOTFS_NOSUID | ROOTFS_NODEV, ROOTFS_NO_MASK},

        ETC_FILE("passwd", NULL),
        ETC_FILE("group", NULL),
        ETC_FILE("hosts", "tmpfs"),
        ETC_FILE("hostname", "tmpfs"),
        ETC_FILE("resolv.conf", "tmpfs"),

        {"/dev", "tmpfs", ROOTFS_RO | ROOTFS_NOSUID | ROOTFS_NOEXEC, ROOTFS_NO_MASK},
        {"/dev/pts", "devpts", ROOTFS_NOSUID | ROOTFS_NOEXEC, ROOTFS_NO_MASK},
        {"/dev/shm", "tmpfs", ROOTFS_STRICT, ROOTFS_NO_MASK},

        {"/sys", "tmpfs", ROOTFS_RO | ROOTFS_STRICT, ROOTFS_NO_MASK},
        {"/sys/devices/system/cpu", "sysfs", ROOTFS_RO | ROOTFS_STRICT, ROOTFS_NO_MASK},
        {"/sys/fs/cgroup", "cgroup2", ROOTFS_RO | ROOTFS_STRICT, ROOTFS_NO_MASK},
        {"/sys/fs/cgroup/memory", "tmpfs", ROOTFS_RO | ROOTFS_STRICT, ROOTFS_NO_MASK},

        {"/proc", "proc", ROOTFS_STRICT, ROOTFS_NO_MASK},
        {"/proc/sys", "proc", ROOTFS_RO | ROOTFS_STRICT, ROOTFS_NO_MASK},
        MASK_FILE("bootconfig"), /* as cmdline */
        MASK_FILE("buddyinfo"),
        MASK_FILE("cmdline"), /* may hold secrets that the host was booted with */
        MASK_FILE("config.gz"),
        MASK_FILE("consoles"),
        MASK_FILE("crypto"),     /* what modules there are */
        MASK_FILE("diskstats"),  /* disk accesses of others, by counting */
        MASK_FILE("interrupts"), /* keystrokes and network traffic of others, by counting */
        MASK_FILE("kallsyms"),
        MASK_FILE("kcore"),
        MASK_FILE("key-users"),
        MASK_FILE("keys"),
        MASK_FILE("kmsg"),
        MASK_FILE("kpagecgroup"),
        MASK_FILE("kpagecount"),
        MASK_FILE("kpageflags"),
        MASK_FILE("latency_stats"),
        MASK_FILE("locks"), /* open-file-description locks show in every pid namespace */
        MASK_FILE("mdstat"),
        MASK_FILE("misc"), /* what modules there are */
        MASK_FILE("modules"),
        MASK_FILE("pagetypeinfo"),
        MASK_FILE("partitions"),
        MASK_FILE("sched_debug"),
        MASK_FILE("schedstat"),
        MASK_FILE("slabinfo"),
        MASK_FILE("softirqs"), /* as interrupts */
        MASK_FILE("swaps"),
        MASK_FILE("sysrq-trigger"),
        MASK_FILE("timer_list"),
        MASK_FILE("vmallocinfo"),
        MASK_FILE("vmstat"), /* disk accesses and page faults of others, by counting */
        MASK_FILE("zoneinfo"),
        MASK_DIR("acpi"),
        MASK_DIR("asound"),
        MASK_DIR("bus"),
        MASK_DIR("driver"),
        MASK_DIR("dynamic_debug"), /* every line that a module can print, with its name */
        MASK_DIR("fs"),
        MASK_DIR("irq"),
        MASK_DIR("pressure"), /* of the whole host; a dyno's own is in its cgroup */
        MASK_DIR("scsi"),
        /* Counters of the whole host: what others open, look up, log in to. */
        MASK_FILE("sys/fs/aio-nr"),
        MASK_FILE("sys/fs/dentry-state"),
        MASK_FILE("sys/fs/file-nr"),
        MASK_FILE("sys/fs/inode-nr"),
        MASK_FILE("sys/fs/inode-state"),
        MASK_FILE("sys/kernel/pty/nr"),
        MASK_DIR("sys/fs/quota"),
};

_Static_assert(
        sizeof(rootfs_mounts) / sizeof(rootfs_mounts[0]) <= ROOTFS_MOUNTS_MAX, "see rootfs_plan.h");

const size_t n_rootfs_mounts = sizeof(rootfs_mounts) / sizeof(rootfs_mounts[0]);

const RootfsMount *rootfs_find(const char *point) {
        for (size_t i = 0; i < n_rootfs_mounts; i++)
                if (strcmp(rootfs_mounts[i].point, point) == 0)
                        return &rootfs_mounts[i];

        return NULL;
}
