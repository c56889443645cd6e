/* SPDX-License-Identifier: Apache-2.0 */

/*
 * /sys is the same in every dyno: devices/system/cpu (the real one) and an empty folder
 * fs/cgroup, in one tmpfs that a launch copies with one call. /dev is made for each, or
 * dynos would see each other open its files.
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

static int fill_sys(int sys_fd) {
        static const char *const dirs[] = {
                "devices", "devices/system", "devices/system/cpu", "fs", "fs/cgroup"};
        _cleanup_close_ int cpu_fd = -EBADF;
        int r;

        r = make_dirs(sys_fd, dirs, ARRAY_SIZE(dirs));
        if (r < 0)
                return r;

        cpu_fd = mount_clone(AT_FDCWD, CPU_FOLDER, /* recursive= */ false);
        if (cpu_fd < 0)
                return cpu_fd;
        r = mount_restrict(cpu_fd, MOUNT_ATTR_RDONLY | MOUNT_STRICT, -EBADF);
        if (r < 0)
                return r;

        return mount_attach(cpu_fd, sys_fd, "devices/system/cpu");
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

/* Makes one template in the folder @name of the templates' tmpfs, read-only when filled. */
static int
make_template(int templates_fd, const char *name, uint64_t attributes, int (*fill)(int fd)) {
        static const MountOption options[] = {{"mode", "0755"}, {"size", "64k"}};
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = mount_new("tmpfs", options, ARRAY_SIZE(options), attributes);
        if (fd < 0)
                return fd;
        if (mkdirat(templates_fd, name, 0755) < 0)
                return -errno;
        r = mount_attach(fd, templates_fd, name);
        if (r == 0)
                r = fill(fd);
        if (r == 0)
                r = mount_restrict(fd, MOUNT_ATTR_RDONLY, -EBADF);

        return r;
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
                r = make_template(fd, "sys", MOUNT_STRICT, fill_sys);
        (void)umask(old_umask);
        if (r < 0)
                return r; /* what is attached goes with this process's mount namespace */

        *ret_fd = TAKE_FD(fd);
        return 0;
}
