/* SPDX-License-Identifier: Apache-2.0 */

/* Mounts by descriptors: fsopen(2) and its relatives. */

#include <fcntl.h>
#include <linux/mount.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "escape.h"

/* A made-up descriptor where none can be had: the call itself must be refused all the same. */
#define NO_FD 9999

static int open_fs(const char *type) {
        long fd = syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);

        return fd < 0 ? -errno : (int)fd;
}

static int fs_open_tmpfs(void) {
        int fd = open_fs("tmpfs");

        return fd < 0 ? fd : 0;
}

static int fs_open_cgroup(void) {
        int fd = open_fs("cgroup2");

        return fd < 0 ? fd : 0;
}

/* CVE-2022-0185: an option longer than the kernel's buffer, to a context of one's own. */
static int fs_config(void) {
        int fd = open_fs("tmpfs");

        return attempt_result(syscall(
                SYS_fsconfig, fd < 0 ? NO_FD : fd, FSCONFIG_SET_STRING, "source", "escape", 0));
}

static int fs_mount(void) {
        int fd = open_fs("tmpfs");

        if (fd >= 0)
                (void)syscall(SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
        return attempt_result(syscall(SYS_fsmount, fd < 0 ? NO_FD : fd, FSMOUNT_CLOEXEC, 0));
}

static int clone_tree(const char *path) {
        long fd = syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

        return fd < 0 ? -errno : (int)fd;
}

static int tree_clone_root(void) {
        int fd = clone_tree("/");

        return fd < 0 ? fd : 0;
}

/* A copy of /proc alone leaves the masks behind, which lie on top of it. */
static int tree_clone_proc(void) {
        int fd = clone_tree("/proc");

        return fd < 0 ? fd : 0;
}

static int tree_attach(void) {
        int fd = clone_tree("/tmp");

        return attempt_result(
                syscall(SYS_move_mount,
                        fd < 0 ? AT_FDCWD : fd,
                        fd < 0 ? "/proc/sys" : "",
                        AT_FDCWD,
                        "/tmp",
                        fd < 0 ? 0 : MOVE_MOUNT_F_EMPTY_PATH));
}

static int change_attributes(uint64_t set, uint64_t clear, const char *path) {
        struct mount_attr attr = {.attr_set = set, .attr_clr = clear};

        return attempt_result(syscall(SYS_mount_setattr, AT_FDCWD, path, 0, &attr, sizeof(attr)));
}

static int attribute_writable(void) {
        return change_attributes(0, MOUNT_ATTR_RDONLY, "/");
}

static int attribute_suid_dev(void) {
        return change_attributes(0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, "/tmp");
}

static int pick(void) {
        return attempt_result(syscall(SYS_fspick, AT_FDCWD, "/tmp", FSPICK_CLOEXEC));
}

#define ROOT_ONLY(n, what, call)                                                                   \
        {                                                                                          \
                .name = "mount-api/" n, .tries = what,                                             \
                .stopped_by = "seccomp capabilities user apparmor", .error = EPERM,                \
                .control = CONTROL_ROOT, .run = call                                               \
        }

const Attempt attempts_mount_api[] = {
        ROOT_ONLY("fsopen", "open a file system to configure", fs_open_tmpfs),
        ROOT_ONLY("fsopen-cgroup2", "open a cgroup hierarchy", fs_open_cgroup),
        ROOT_ONLY("fsconfig", "configure a file system (CVE-2022-0185)", fs_config),
        ROOT_ONLY("fsmount", "make a mount of a file system", fs_mount),
        ROOT_ONLY("open-tree-root", "hold a copy of the root mount", tree_clone_root),
        ROOT_ONLY("open-tree-proc", "hold /proc without its masks", tree_clone_proc),
        ROOT_ONLY("move-mount", "attach a mount elsewhere", tree_attach),
        ROOT_ONLY("setattr-writable", "make the stack writable", attribute_writable),
        ROOT_ONLY("setattr-suid-dev", "let devices and set-user-id work", attribute_suid_dev),
        ROOT_ONLY("fspick", "take a mounted file system to configure it anew", pick),
        {.name = NULL},
};
