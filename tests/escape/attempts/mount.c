/* SPDX-License-Identifier: Apache-2.0 */

/* Mounts by the calls with paths, and changes of root. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "escape.h"

static int mount_and_undo(const char *source, const char *type, unsigned long flags) {
        if (mount(source, "/tmp", type, flags, NULL) < 0)
                return -errno;
        (void)umount2("/tmp", MNT_DETACH);
        return 0;
}

static int mount_tmpfs(void) {
        return mount_and_undo("none", "tmpfs", 0);
}

static int mount_bind_root(void) {
        return mount_and_undo("/", NULL, MS_BIND | MS_REC);
}

static int mount_proc(void) {
        return mount_and_undo("proc", "proc", 0);
}

static int mount_sysfs(void) {
        return mount_and_undo("sysfs", "sysfs", 0);
}

static int mount_devpts(void) {
        return mount_and_undo("devpts", "devpts", 0);
}

static int mount_cgroup2(void) {
        return mount_and_undo("cgroup2", "cgroup2", 0);
}

static int mount_mqueue(void) {
        return mount_and_undo("mqueue", "mqueue", 0);
}

static int mount_ramfs(void) {
        return mount_and_undo("ramfs", "ramfs", 0);
}

/* CVE-2022-0492: a hierarchy of version 1 has a release_agent, which the kernel runs as root. */
static int mount_cgroup1(void) {
        if (mount("cgroup", "/tmp", "cgroup", 0, "none,name=escape") < 0)
                return -errno;
        (void)umount2("/tmp", 0);
        return 0;
}

/* CVE-2023-0386 and relatives: copying up through an overlay of one's own. */
static int mount_overlay(void) {
        if (mount("overlay", "/tmp", "overlay", 0, "lowerdir=/usr:/etc") < 0)
                return -errno;
        (void)umount2("/tmp", MNT_DETACH);
        return 0;
}

static int remount_root_writable(void) {
        return attempt_result(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
}

static int remount_superblock(void) {
        return attempt_result(mount(NULL, "/tmp", NULL, MS_REMOUNT, "size=1g"));
}

static int remount_sysctl_writable(void) {
        return attempt_result(mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
}

/* Only what is a mount can be mounted anew. */
static int bind_sysctl(void) {
        return attempt_result(mount("/proc/sys", "/proc/sys", NULL, MS_BIND, NULL));
}

static int make_root_shared(void) {
        return attempt_result(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL));
}

static int unmask(void) {
        return attempt_result(umount2("/proc/sys", MNT_DETACH));
}

static int move_mount_away(void) {
        if (mkdir("/tmp/moved", 0700) < 0 && errno != EEXIST)
                return -errno;
        return attempt_result(mount("/proc/sys", "/tmp/moved", NULL, MS_MOVE, NULL));
}

static int expire_mount(void) {
        return attempt_result(umount2("/tmp", MNT_FORCE | MNT_DETACH));
}

static int pivot(void) {
        if (chdir("/tmp") < 0)
                return -errno;
        return attempt_result(syscall(SYS_pivot_root, ".", "."));
}

static int change_root(void) {
        return attempt_result(chroot("/tmp"));
}

/* The classic: a descriptor from before a chroot(2) leads out of it. */
static int leave_by_chroot(void) {
        int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        if (chroot("/tmp") < 0 || fchdir(fd) < 0 || chroot("..") < 0)
                return -errno;
        return 0;
}

/* After pivot_root(".", ".") the old root lies on top of the new one, and ".." gets there. */
static int leave_by_old_root(void) {
        struct stat root, above;

        if (stat("/", &root) < 0 || stat("/..", &above) < 0)
                return -errno;
        return root.st_dev == above.st_dev && root.st_ino == above.st_ino ? ATTEMPT_NOTHING : 0;
}

static int set_up_old_root(void) {
        if (mount("tmpfs", "/tmp", "tmpfs", 0, NULL) < 0 || chdir("/tmp") < 0 ||
            syscall(SYS_pivot_root, ".", ".") < 0)
                return -errno;
        return 0;
}

#define BY_ALL "seccomp capabilities user apparmor"
#define ROOT_ONLY(n, what, call, prepare)                                                          \
        {                                                                                          \
                .name = "mount/" n, .tries = what, .stopped_by = BY_ALL, .error = EPERM,           \
                .control = CONTROL_ROOT, .run = call, .set_up = prepare                            \
        }

const Attempt attempts_mount[] = {
        ROOT_ONLY("tmpfs", "cover a folder with a file system of its own", mount_tmpfs, NULL),
        ROOT_ONLY("bind-root", "bind the root where nothing masks it", mount_bind_root, NULL),
        ROOT_ONLY("proc", "get a /proc without masks", mount_proc, NULL),
        ROOT_ONLY("sysfs", "get a real /sys", mount_sysfs, NULL),
        ROOT_ONLY("devpts", "see the host's terminals", mount_devpts, NULL),
        ROOT_ONLY("mqueue", "see message queues by path", mount_mqueue, NULL),
        ROOT_ONLY("ramfs", "write to memory that no size bounds", mount_ramfs, NULL),
        ROOT_ONLY("cgroup2", "get writable cgroup files", mount_cgroup2, NULL),
        ROOT_ONLY("cgroup1", "get a release_agent (CVE-2022-0492)", mount_cgroup1, NULL),
        ROOT_ONLY("overlay", "copy up through an own overlay (CVE-2023-0386)", mount_overlay, NULL),
        ROOT_ONLY("remount-root", "make the stack writable", remount_root_writable, NULL),
        ROOT_ONLY("remount-size", "make scratch larger", remount_superblock, NULL),
        ROOT_ONLY(
                "remount-sysctl", "make /proc/sys writable", remount_sysctl_writable, bind_sysctl),
        ROOT_ONLY("shared-root", "let mounts flow to others", make_root_shared, NULL),
        ROOT_ONLY("unmask", "take a mask off /proc", unmask, bind_sysctl),
        ROOT_ONLY("move", "move a mask aside", move_mount_away, bind_sysctl),
        ROOT_ONLY("umount-forced", "take scratch away from under others", expire_mount, NULL),
        ROOT_ONLY("pivot-root", "change the root by pivot_root", pivot, NULL),
        ROOT_ONLY("chroot", "change the root", change_root, NULL),
        ROOT_ONLY("leave-by-chroot", "leave the root by a second chroot", leave_by_chroot, NULL),
        {
                .name = "mount/leave-by-old-root",
                .tries = "find the host's root above the own one",
                .stopped_by = "old-root",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_ROOT,
                .run = leave_by_old_root,
                .set_up = set_up_old_root,
        },
        {.name = NULL},
};
