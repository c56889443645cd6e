/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The child works in a staging tmpfs that it mounts over its copy of the templates:
 *
 *   stack/    the stack's object: tree/, passwd, group, idmapped
 *   image/    the same through an overlay of the dyno's own
 *   root/     image/tree, with everything below: the new root
 *   slug/     the slug, idmapped. overlayfs of Linux 6.1 wants it attached
 *   scratch/  app-upper app-work tmp var-tmp: what the dyno may write
 *   files/    small files, the folders of /sys and the two masks, made here
 *   ro/       files/ again, read-only: everything bound from it is read-only, too
 *   proc-ro/  the dyno's /proc again, read-only
 *
 * No file that two dynos see may have one inode: it would tell each of them by inotify(7)
 * what the other opens, and let each hold locks against the other. Hence the overlay,
 * whose files have inodes of their own and share the pages below.
 *
 * pivot_root(2) then makes root/ the root, and everything else goes with the old one;
 * the file systems live on as long as something is bound from them.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/mount.h"
#include "sandbox/rootfs.h"
#include "sandbox/rootfs_plan.h"

#define STACK_ATTRIBUTES (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
/*
 * Terminals of one dyno. What is written to one is taken in by a worker of the kernel that
 * belongs to no cgroup; all dynos together have 3072, see pty(7).
 */
#define PTS_MAX "16"

#define SHM_SIZE "64m"      /* Heroku's */
#define SHM_FILES "16384"   /* as many as pages; an inode is a kilobyte of the dyno's memory */
#define STAGING_SIZE "256k" /* seven small files */
#define STAGING_FILES "64"  /* those, and folders to mount on */
#define MASK_FILE_NAME "nothing"
#define MASK_DIR_NAME "empty"

/* One build: what its steps hand on. */
typedef struct Build {
        const SandboxHost *host;
        const SandboxLaunch *launch;
        RootfsParts *parts;
        const char *hostname;
        int staging_fd, root_fd, proc_fd; /* owned */
        int scratch_fd;                   /* of @parts */
        SandboxError *reterr;
} Build;

void rootfs_parts_clear(RootfsParts *parts) {
        parts->stack_fd = safe_close(parts->stack_fd);
        parts->slug_fd = safe_close(parts->slug_fd);
        parts->cpu_fd = safe_close(parts->cpu_fd);
        parts->scratch_fd = safe_close(parts->scratch_fd);
}

/* A read-only copy of a tree of the store, its owner mapped by @idmap_fd. */
static int take_tree(int dir_fd, int idmap_fd, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = mount_clone(dir_fd, "");
        if (fd < 0)
                return fd;
        r = mount_restrict(fd, STACK_ATTRIBUTES, idmap_fd);
        if (r < 0)
                return r;

        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* The dyno's folder, as a mount of its own: nothing beside it can be reached through it. */
static int
take_scratch(const SandboxHost *host, const LaunchStart *start, int *ret_fd, SandboxError *reterr) {
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        int r;

        if (!scratch_is_shared(host->config))
                return 0;

        r = scratch_make(&host->scratch, start, &dir_fd);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_ROOTFS, r, "cannot make a folder in scratch");
        fd = mount_clone(dir_fd, "");
        r = fd < 0 ? fd : mount_restrict(fd, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, -EBADF);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_ROOTFS, r, "cannot mount scratch");

        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* It may be a module, and nobody below the dynos' cgroup gets one: see guards.h. */
static int have_overlay(void) {
        _cleanup_close_ int fd = fsopen("overlay", FSOPEN_CLOEXEC);

        return fd < 0 ? -errno : 0;
}

int rootfs_take_parts(
        const SandboxHost *host,
        const SandboxLaunch *launch,
        RootfsParts *ret,
        SandboxError *reterr) {
        _cleanup_rootfs_parts_ RootfsParts parts = ROOTFS_PARTS_INIT;
        int r;

        r = take_tree(launch->stack_fd, host->stack_idmap_fd, &parts.stack_fd);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_ROOTFS, r, "cannot mount the stack");
        r = take_tree(launch->slug_fd, launch->slot->slug_idmap_fd, &parts.slug_fd);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_ROOTFS, r, "cannot mount the slug");
        parts.cpu_fd = mount_clone(host->templates_fd, ROOTFS_CPU);
        if (parts.cpu_fd < 0)
                return sandbox_fail(
                        reterr, LAYER_ROOTFS, parts.cpu_fd, "cannot copy the processors of /sys");

        r = have_overlay();
        if (r < 0)
                return sandbox_fail(reterr, LAYER_ROOTFS, r, "the kernel has no overlayfs");

        r = take_scratch(host, launch->start, &parts.scratch_fd, reterr);
        if (r < 0)
                return r;

        *ret = parts;
        /* Taken over. NOLINTNEXTLINE(clang-analyzer-deadcode.DeadStores): the cleanup reads it */
        parts = (RootfsParts)ROOTFS_PARTS_INIT;
        return 0;
}

static int fail(Build *b, int r, const char *what) {
        return sandbox_fail(b->reterr, LAYER_ROOTFS, r, "cannot make %s", what);
}

static int make_file(int dir_fd, const char *path, const char *text) {
        _cleanup_close_ int fd = -EBADF;

        fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
        if (fd < 0)
                return -errno;

        return write_all(fd, text, strlen(text));
}

static int make_files(Build *b) {
        char address[INET_ADDRSTRLEN], text[256];
        int r;

        const uint8_t *a = (const uint8_t *)&b->launch->slot->address.s_addr;
        (void)snprintf(address, sizeof(address), "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);

        r = make_file(b->staging_fd, "files/" MASK_FILE_NAME, "");
        if (r == 0)
                r = make_file(b->staging_fd, "files/resolv.conf", b->host->resolv_conf);
        (void)snprintf(text, sizeof(text), "%s\n", b->hostname);
        if (r == 0)
                r = make_file(b->staging_fd, "files/hostname", text);
        (void)snprintf(
                text,
                sizeof(text),
                "127.0.0.1 localhost localhost.localdomain\n::1 localhost ip6-localhost\n%s %s\n",
                address,
                b->hostname);
        if (r == 0)
                r = make_file(b->staging_fd, "files/hosts", text);
        (void)snprintf(text, sizeof(text), "%" PRIu64 "\n", b->launch->start->memory_quota);
        if (r == 0)
                r = make_file(b->staging_fd, "files/memory/memory.limit_in_bytes", text);

        return r;
}

/* Absolute, in the child's copy of the launcher's mount namespace. */
static void staging_path(const Build *b, const char *name, char ret[PATH_MAX]) {
        (void)snprintf(ret, PATH_MAX, "%s/" ROOTFS_TEMPLATES "/%s", b->host->config->run_dir, name);
}

static int make_staging(Build *b) {
        static const MountOption options[] = {
                {"mode", "0755"}, {"size", STAGING_SIZE}, {"nr_inodes", STAGING_FILES}};
        static const char *const dirs[] = {
                "stack",
                "image",
                "root",
                "slug",
                "scratch",
                "ro",
                "proc-ro",
                "files",
                "files/memory",
                "files/sys",
                "files/sys/devices",
                "files/sys/devices/system",
                "files/sys/devices/system/cpu",
                "files/sys/fs",
                "files/sys/fs/cgroup",
                ("files/" MASK_DIR_NAME)};
        _cleanup_close_ int ro_fd = -EBADF;
        char path[PATH_MAX];
        int r;

        /* Nothing of this namespace may reach the host's, whatever the host shares. */
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return fail(b, -errno, "mounts private");

        b->staging_fd = mount_new("tmpfs", options, ARRAY_SIZE(options), MOUNT_STRICT);
        if (b->staging_fd < 0)
                return fail(b, b->staging_fd, "the staging folder");
        staging_path(b, "", path);
        if (move_mount(b->staging_fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
            fchdir(b->staging_fd) < 0)
                return fail(b, -errno, "the staging folder");

        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
                if (mkdirat(b->staging_fd, dirs[i], 0755) < 0)
                        return fail(b, -errno, "the staging folder");
        r = make_files(b);
        if (r < 0)
                return fail(b, r, "files of /etc");

        ro_fd = mount_clone(b->staging_fd, "files");
        if (ro_fd < 0)
                return fail(b, ro_fd, "files read-only");
        r = mount_restrict(ro_fd, MOUNT_ATTR_RDONLY, -EBADF);
        if (r == 0)
                r = mount_attach(ro_fd, b->staging_fd, "ro");
        return r < 0 ? fail(b, r, "files read-only") : 0;
}

/* Without a folder to write to, an overlay wants two to read: the second is empty. */
static int make_root(Build *b) {
        static const MountOption options[] = {
                {"lowerdir", "stack:files/" MASK_DIR_NAME},
                {"redirect_dir", "nofollow"}, /* the stack leads nowhere */
        };
        _cleanup_close_ int image_fd = -EBADF;
        int r;

        r = mount_attach(b->parts->stack_fd, b->staging_fd, "stack");
        if (r < 0)
                return fail(b, r, "/: the stack");
        image_fd = mount_new("overlay", options, ARRAY_SIZE(options), STACK_ATTRIBUTES);
        if (image_fd < 0)
                return fail(b, image_fd, "/");
        r = mount_attach(image_fd, b->staging_fd, "image");
        if (r < 0)
                return fail(b, r, "/");
        b->root_fd = mount_clone(image_fd, "tree");
        if (b->root_fd == -ENOENT)
                return sandbox_fail(b->reterr, LAYER_STORE, b->root_fd, "cannot mount the stack");
        r = b->root_fd < 0 ? b->root_fd : mount_attach(b->root_fd, b->staging_fd, "root");

        return r < 0 ? fail(b, r, "/") : 0;
}

static int mount_scratch(Build *b) {
        const LaunchStart *start = b->launch->start;
        char size[24], files[24];
        const MountOption options[] = {{"mode", "0755"}, {"size", size}, {"nr_inodes", files}};
        int r;

        b->scratch_fd = b->parts->scratch_fd;
        if (b->scratch_fd < 0) {
                (void)snprintf(size, sizeof(size), "%" PRIu64, start->disk);
                (void)snprintf(files, sizeof(files), "%" PRIu64, start->disk_files);
                r = b->parts->scratch_fd = b->scratch_fd = mount_new(
                        "tmpfs",
                        options,
                        ARRAY_SIZE(options),
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
                if (r < 0)
                        return r;
        }

        return mount_attach(b->scratch_fd, b->staging_fd, "scratch");
}

static int make_scratch(Build *b) {
        static const struct {
                const char *name;
                mode_t mode;
        } dirs[] = {
                {"app-upper", 0755},
                {"app-work", 0755},
                {"tmp", 01777},
                {"var-tmp", 01777},
        };
        uid_t uid = b->launch->slot->uid;
        int r;

        r = mount_scratch(b);
        if (r < 0)
                return fail(b, r, "scratch space");

        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
                /* Safe: our own empty folder where nobody else can reach. */
                if (mkdirat(b->scratch_fd, dirs[i].name, dirs[i].mode) < 0 ||
                    fchownat(b->scratch_fd, dirs[i].name, uid, uid, AT_SYMLINK_NOFOLLOW) < 0 ||
                    fchmodat(b->scratch_fd, dirs[i].name, dirs[i].mode, 0) < 0)
                        return fail(b, -errno, "scratch space");

        return 0;
}

/* The overlay is mounted by root, whose rights it uses for copying up; paths are relative. */
static int make_app(Build *b) {
        static const MountOption options[] = {
                {"lowerdir", "slug"},
                {"upperdir", "scratch/app-upper"},
                {"workdir", "scratch/app-work"},
                {"redirect_dir", "on"}, /* or folders of the slug could not be renamed */
                {"volatile", NULL},     /* its end would write out what all other dynos have */
        };
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = mount_attach(b->parts->slug_fd, b->staging_fd, "slug");
        if (r < 0)
                return fail(b, r, "/app: the slug");
        fd = mount_new(
                "overlay", options, ARRAY_SIZE(options), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        if (fd < 0)
                return fail(b, fd, "/app");
        r = mount_attach(fd, b->root_fd, "app");

        return r < 0 ? fail(b, r, "/app") : 0;
}

static int bind_files(Build *b) {
        static const struct {
                const char *from, *to;
        } binds[] = {
                {"image/passwd", "etc/passwd"},
                {"image/group", "etc/group"},
                {"ro/hosts", "etc/hosts"},
                {"ro/hostname", "etc/hostname"},
                {"ro/resolv.conf", "etc/resolv.conf"},
                {"scratch/tmp", "tmp"},
                {"scratch/var-tmp", "var/tmp"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(binds); i++) {
                int r = mount_bind(b->staging_fd, binds[i].from, b->root_fd, binds[i].to);

                if (r < 0)
                        return fail(b, r, binds[i].to);
        }

        return 0;
}

static int make_dev(Build *b) {
        static const MountOption shm_options[] = {
                {"mode", "1777"}, {"size", SHM_SIZE}, {"nr_inodes", SHM_FILES}};
        char gid[16];
        MountOption pts_options[] = {
                {"newinstance", NULL},
                {"ptmxmode", "0666"},
                {"mode", "0620"},
                {"gid", gid},
                {"max", PTS_MAX},
        };
        _cleanup_close_ int dev_fd = -EBADF, pts_fd = -EBADF, shm_fd = -EBADF;
        int r;

        r = rootfs_make_dev(&dev_fd);
        if (r == 0)
                r = mount_attach(dev_fd, b->root_fd, "dev");
        if (r < 0)
                return fail(b, r, "/dev");

        (void)snprintf(gid, sizeof(gid), "%u", b->launch->slot->uid);
        pts_fd = mount_new(
                "devpts",
                pts_options,
                ARRAY_SIZE(pts_options),
                MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
        if (pts_fd < 0)
                return fail(b, pts_fd, "/dev/pts");
        r = mount_attach(pts_fd, dev_fd, "pts");
        if (r < 0)
                return fail(b, r, "/dev/pts");

        shm_fd = mount_new("tmpfs", shm_options, ARRAY_SIZE(shm_options), MOUNT_STRICT);
        if (shm_fd < 0)
                return fail(b, shm_fd, "/dev/shm");
        r = mount_attach(shm_fd, dev_fd, "shm");

        return r < 0 ? fail(b, r, "/dev/shm") : 0;
}

/* cgroup2 shows the dyno's group as the top: this process is in its own cgroup namespace. */
static int make_sys(Build *b) {
        _cleanup_close_ int cgroup_fd = -EBADF;
        int r;

        r = mount_bind(b->staging_fd, "ro/sys", b->root_fd, "sys");
        if (r == 0)
                r = mount_attach(b->parts->cpu_fd, b->root_fd, "sys/devices/system/cpu");
        if (r < 0)
                return fail(b, r, "/sys");

        cgroup_fd = mount_new("cgroup2", NULL, 0, MOUNT_ATTR_RDONLY | MOUNT_STRICT);
        if (cgroup_fd < 0)
                return fail(b, cgroup_fd, "/sys/fs/cgroup");
        r = mount_attach(cgroup_fd, b->root_fd, "sys/fs/cgroup");
        if (r == 0)
                r = mount_bind(b->staging_fd, "ro/memory", cgroup_fd, "memory");

        return r < 0 ? fail(b, r, "/sys/fs/cgroup") : 0;
}

static int make_proc(Build *b) {
        _cleanup_close_ int ro_fd = -EBADF;
        int r;

        b->proc_fd = mount_new("proc", NULL, 0, MOUNT_STRICT);
        if (b->proc_fd < 0)
                return fail(b, b->proc_fd, "/proc");
        r = mount_attach(b->proc_fd, b->root_fd, "proc");
        if (r < 0)
                return fail(b, r, "/proc");

        ro_fd = mount_clone(b->proc_fd, "");
        if (ro_fd < 0)
                return fail(b, ro_fd, "/proc read-only");
        r = mount_restrict(ro_fd, MOUNT_ATTR_RDONLY, -EBADF);
        if (r == 0)
                r = mount_attach(ro_fd, b->staging_fd, "proc-ro");
        if (r == 0)
                r = mount_bind(b->staging_fd, "proc-ro/sys", b->proc_fd, "sys");

        return r < 0 ? fail(b, r, "/proc read-only") : 0;
}

/*
 * Some forty masks: one call each with mount(2), five with descriptors. Its target is
 * relative to the new /proc, where every name is the kernel's own.
 */
static int mask_proc(Build *b) {
        char file[PATH_MAX], dir[PATH_MAX];

        staging_path(b, "ro/" MASK_FILE_NAME, file);
        staging_path(b, "ro/" MASK_DIR_NAME, dir);
        if (fchdir(b->proc_fd) < 0)
                return fail(b, -errno, "masks of /proc");

        for (size_t i = 0; i < n_rootfs_mounts; i++) {
                const RootfsMount *m = &rootfs_mounts[i];

                if (m->mask == ROOTFS_NO_MASK)
                        continue;
                /* Not every kernel has each of them; what a module brings later AppArmor refuses. */
                if (mount(m->mask == ROOTFS_MASK_DIR ? dir : file,
                          m->point + strlen("/proc/"),
                          NULL,
                          MS_BIND,
                          NULL) < 0 &&
                    errno != ENOENT)
                        return fail(b, -errno, m->point);
        }

        return 0;
}

static int change_root(Build *b) {
        char cwd[16];

        /* With both names ".", the old root ends up on top of the new one, and goes. */
        if (fchdir(b->root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
            umount2(".", MNT_DETACH) < 0 || chdir("/app") < 0)
                return fail(b, -errno, "it the root");

        /* A working folder outside the new root would show as "(unreachable)…". */
        if (!getcwd(cwd, sizeof(cwd)) || strcmp(cwd, "/app") != 0)
                return fail(b, -EXDEV, "it the root");

        return 0;
}

int rootfs_enter(
        const SandboxHost *host,
        const SandboxLaunch *launch,
        RootfsParts *parts,
        const char *hostname,
        SandboxError *reterr) {
        static int (*const steps[])(Build *) = {
                make_staging,
                make_root,
                make_scratch,
                make_app,
                bind_files,
                make_dev,
                make_sys,
                make_proc,
                mask_proc,
                change_root,
        };
        Build b = {
                .host = host,
                .launch = launch,
                .parts = parts,
                .hostname = hostname,
                .staging_fd = -EBADF,
                .root_fd = -EBADF,
                .scratch_fd = -EBADF,
                .proc_fd = -EBADF,
                .reterr = reterr,
        };
        int r = 0;

        (void)umask(0); /* modes are given in full here */
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
                r = steps[i](&b);

        (void)safe_close(b.staging_fd);
        (void)safe_close(b.root_fd);
        if (r < 0) {
                (void)safe_close(b.proc_fd);
                return r;
        }

        return b.proc_fd;
}
