/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/mount.h"

int mount_new(const char *type, const MountOption *options, size_t n_options, uint64_t attributes) {
        _cleanup_close_ int fs = -EBADF;
        int fd;

        assert(type);
        assert(options || n_options == 0);

        fs = fsopen(type, FSOPEN_CLOEXEC);
        if (fs < 0)
                return -errno;

        for (size_t i = 0; i < n_options; i++) {
                unsigned cmd = options[i].value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

                if (fsconfig(fs, cmd, options[i].key, options[i].value, 0) < 0)
                        return -errno;
        }
        if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;

        fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
        return fd < 0 ? -errno : fd;
}

int mount_clone(int dir_fd, const char *path) {
        unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_NO_AUTOMOUNT |
                         AT_SYMLINK_NOFOLLOW;
        int fd;

        fd = open_tree(dir_fd, path, flags);
        return fd < 0 ? -errno : fd;
}

int mount_restrict(int mount_fd, uint64_t attributes, int idmap_fd) {
        /* A copy of a mount of ours would go on to receive what the host mounts there. */
        struct mount_attr attr = {.attr_set = attributes, .propagation = MS_PRIVATE};

        if (idmap_fd >= 0) {
                attr.attr_set |= MOUNT_ATTR_IDMAP;
                attr.userns_fd = (uint64_t)idmap_fd;
        }

        return mount_setattr(mount_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

int mount_attach(int mount_fd, int dir_fd, const char *path) {
        /* Without O_NOFOLLOW, which would open a last link itself instead of refusing it. */
        struct open_how how = {
                .flags = O_PATH | O_CLOEXEC,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        _cleanup_close_ int target = -EBADF;

        target = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
        if (target < 0)
                return -errno;

        if (move_mount(
                    mount_fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) <
            0)
                return -errno;
        return 0;
}

int mount_bind(int from_fd, const char *from, int dir_fd, const char *path) {
        _cleanup_close_ int fd = -EBADF;

        fd = mount_clone(from_fd, from);
        if (fd < 0)
                return fd;

        return mount_attach(fd, dir_fd, path);
}
