/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Of /sys the folder devices/system/cpu is the real one, which a launch copies with one call.
 * /dev is made for each dyno, or they would see each other open its files.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sandbox/mount.h"
#include "sandbox/rootfs.h"

#define CPU_FOLDER "/sys/devices/system/cpu"

static int make_dirs(int dir_fd, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (mkdirat(dir_fd, names[i], 0755) < 0)
                        return -errno;

        return 0;
}

static int fill_dev(int dev_fd) {
        static const struct {
                const char *name;
                unsigned major, minor;
        } nodes[] = {
                {"null", 1, 3},
                {"zero", 1, 5},
                {"full", 1, 7},
                {"random", 1, 8},
                {"urandom", 1, 9},
                {"tty", 5, 0},
        };
        static const struct {
                const char *name, *target;
        } links[] = {
                {"fd", "/proc/self/fd"},
                {"stdin", "/proc/self/fd/0"},
                {"stdout", "/proc/self/fd/1"},
                {"stderr", "/proc/self/fd/2"},
                {"ptmx", "pts/ptmx"},
        };
        static const char *const dirs[] = {"pts", "shm"};

        for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
                /* Safe: six devices that hold no state and that every program may use. */
                if (mknodat(dev_fd,
                            nodes[i].name,
                            S_IFCHR | 0666,
                            makedev(nodes[i].major, nodes[i].minor)) < 0)
                        return -errno;
        }
        for (size_t i = 0; i < ARRAY_SIZE(links); i++)
                if (symlinkat(links[i].target, dev_fd, links[i].name) < 0)
                        return -errno;

        return make_dirs(dev_fd, dirs, ARRAY_SIZE(dirs));
}

int rootfs_make_dev(int *ret_fd) {
        static const MountOption options[] = {{"mode", "0755"}, {"size", "64k"}};
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = mount_new(
                "tmpfs", options, ARRAY_SIZE(options), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
        if (fd < 0)
                return fd;
        r = fill_dev(fd);
        if (r == 0)
                r = mount_restrict(fd, MOUNT_ATTR_RDONLY, -EBADF);
        if (r < 0)
                return r;

        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int attach_cpu(int templates_fd) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = mount_clone(AT_FDCWD, CPU_FOLDER);
        if (fd < 0)
                return fd;
        r = mount_restrict(fd, MOUNT_ATTR_RDONLY | MOUNT_STRICT, -EBADF);
        if (r < 0)
                return r;
        if (mkdirat(templates_fd, ROOTFS_CPU, 0755) < 0)
                return -errno;

        return mount_attach(fd, templates_fd, ROOTFS_CPU);
}

int rootfs_make_templates(const char *run_dir, int *ret_fd) {
        static const MountOption options[] = {{"mode", "0700"}, {"size", "64k"}};
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        mode_t old_umask;
        int r;

        dir_fd = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        if (mkdirat(dir_fd, ROOTFS_TEMPLATES, 0700) < 0 && errno != EEXIST)
                return -errno;

        old_umask = umask(0); /* modes are given in full here, and dynos must get in */
        fd = mount_new("tmpfs", options, ARRAY_SIZE(options), MOUNT_ATTR_NOSUID);
        r = fd < 0 ? fd : mount_attach(fd, dir_fd, ROOTFS_TEMPLATES);
        if (r == 0)
                r = attach_cpu(fd);
        (void)umask(old_umask);
        if (r < 0)
                return r; /* what is attached goes with this process's mount namespace */

        *ret_fd = TAKE_FD(fd);
        return 0;
}
