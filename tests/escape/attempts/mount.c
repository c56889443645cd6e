/* SPDX-License-Identifier: Apache-2.0 */

/* Mounts, by the old call. */

#include <sys/mount.h>

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

const Attempt attempts_mount[] = {
        {
                .name = "mount/tmpfs",
                .tries = "cover a folder with a file system of its own",
                .stopped_by = "seccomp capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = mount_tmpfs,
        },
        {
                .name = "mount/bind-root",
                .tries = "bind the root where it is writable and not masked",
                .stopped_by = "seccomp capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = mount_bind_root,
        },
        {
                .name = "mount/proc",
                .tries = "get a /proc without masks",
                .stopped_by = "seccomp capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = mount_proc,
        },
        {.name = NULL},
};
