/* SPDX-License-Identifier: Apache-2.0 */

/* The shared file system of scratch.h: its folders, projects and trash. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/scratch.h"

#define SCRATCH_MOUNT "scratch/fs" /* below state_dir: where dynod-scratch mounts */
#define SCRATCH_TRASH ".trash"
#define SCRATCH_UNIT 65536       /* bytes: XFS rounds up to its blocks, 64 KB at most */
#define PROJECT_MASK 0x7fffffffU /* XFS and older tools take no more */
#define PROJECT_TRIES 16         /* a number in use is a chance of one in millions */

/* Of a file system, one part in eight is not promised: it is for what waits in the trash. */
#define SHARE_PARTS 8

/* What overlayfs makes for itself belongs to root, and is of no more use to anybody. */
#define WORK_FILE "app-work/work/incompat/volatile/dirty"
static const char *const work_folders[] = {
        "app-work/work/incompat/volatile", "app-work/work/incompat", "app-work/work"};

/* ---- quota ---- */

static int quota_call(int fd, unsigned command, uint32_t project, void *data) {
        return syscall(SYS_quotactl_fd, fd, QCMD(command, PRJQUOTA), project, data) < 0 ? -errno
                                                                                        : 0;
}

static bool quota_is_enforced(int fd) {
        struct fs_quota_stat state = {.qs_version = FS_QSTAT_VERSION};

        return quota_call(fd, Q_XGETQSTAT, 0, &state) == 0 &&
               (state.qs_flags & FS_QUOTA_PDQ_ENFD) != 0;
}

/* 0 is no limit. CAP_SYS_ADMIN: of a project that is a dyno's, in dynod's own file system. */
static int quota_set(int fd, uint32_t project, uint64_t bytes, uint64_t files) {
        struct if_dqblk limits = {.dqb_valid = QIF_LIMITS, .dqb_ihardlimit = files};

        limits.dqb_bhardlimit = (bytes + SCRATCH_BLOCK - 1) / SCRATCH_BLOCK;
        return quota_call(fd, Q_SETQUOTA, project, &limits);
}

static int find_unused_project(int fd, uint32_t *ret) {
        for (int i = 0; i < PROJECT_TRIES; i++) {
                struct if_dqblk used = {0};
                uint32_t project;
                int r;

                if (getrandom(&project, sizeof(project), 0) != (ssize_t)sizeof(project))
                        return -EIO;
                project &= PROJECT_MASK;
                if (project == 0)
                        continue;
                r = quota_call(fd, Q_GETQUOTA, project, &used);
                if (r < 0 && r != -ENOENT) /* of what XFS does not know nothing is used */
                        return r;
                if (used.dqb_curspace == 0 && used.dqb_curinodes == 0 && used.dqb_bhardlimit == 0 &&
                    used.dqb_ihardlimit == 0) {
                        *ret = project;
                        return 0;
                }
        }

        return -EUSERS;
}

static int set_project(int dir_fd, uint32_t project) {
        struct fsxattr attr;

        if (ioctl(dir_fd, FS_IOC_FSGETXATTR, &attr) < 0)
                return -errno;
        attr.fsx_projid = project;
        attr.fsx_xflags |= FS_XFLAG_PROJINHERIT;
        /* Safe: our own new and empty folder. In a user namespace the kernel refuses this. */
        return ioctl(dir_fd, FS_IOC_FSSETXATTR, &attr) < 0 ? -errno : 0;
}

int scratch_read_project(int dir_fd, ScratchUse *ret) {
        struct fsxattr attr;

        if (ioctl(dir_fd, FS_IOC_FSGETXATTR, &attr) < 0)
                return -errno;
        *ret = (ScratchUse){
                .project = attr.fsx_projid,
                .inherited = (attr.fsx_xflags & FS_XFLAG_PROJINHERIT) != 0,
        };
        return 0;
}

int scratch_read_use(int dir_fd, ScratchUse *use) {
        struct if_dqblk quota = {0};
        int r;

        r = quota_call(dir_fd, Q_GETQUOTA, use->project, &quota);
        if (r < 0)
                return r;
        use->bytes = quota.dqb_curspace;
        use->bytes_max = quota.dqb_bhardlimit * SCRATCH_BLOCK;
        use->files = quota.dqb_curinodes;
        use->files_max = quota.dqb_ihardlimit;
        return 0;
}

/* ---- the file system ---- */

static int refuse(Scratch *scratch, int r, const char *fmt, ...) _printf_(3, 4);
static int refuse(Scratch *scratch, int r, const char *fmt, ...) {
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(scratch->error, sizeof(scratch->error), fmt, ap);
        va_end(ap);
        return r;
}

/* Where it must be mounted: a device and the image have one place, a mount point is its own. */
static int find_mount(const Config *config, char *ret, size_t size) {
        struct stat st = {.st_mode = 0};

        if (config->scratch == SCRATCH_PLACE && stat(config->scratch_place, &st) < 0)
                return -errno;
        if (config->scratch == SCRATCH_PLACE && !S_ISBLK(st.st_mode))
                (void)snprintf(ret, size, "%s", config->scratch_place);
        else
                (void)snprintf(ret, size, "%s/" SCRATCH_MOUNT, config->state_dir);
        return 0;
}

/* True if only root can make and rename things in @fd. */
static bool is_roots_own(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 && st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int open_mount(Scratch *scratch, int *ret_fd) {
        const char *fix =
                scratch->config->scratch == SCRATCH_IMAGE ? "; see dynod-scratch.service" : "";
        _cleanup_close_ int fd = -EBADF;
        struct statx sx;
        char path[256];
        int r;

        r = find_mount(scratch->config, path, sizeof(path));
        if (r < 0)
                return refuse(scratch, r, "scratch: no %.90s", scratch->config->scratch_place);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return refuse(scratch, -errno, "scratch: cannot open %.70s%s", path, fix);
        if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &sx) < 0)
                return refuse(scratch, -errno, "scratch: cannot open %.70s", path);
        if ((sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0)
                return refuse(
                        scratch, -ENODEV, "scratch: nothing is mounted on %.60s%s", path, fix);
        if (!is_roots_own(fd))
                return refuse(
                        scratch, -EPERM, "scratch: others than root may write to %.70s", path);

        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int open_own_folder(int dir_fd, const char *name, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;

        if (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
                return -errno;
        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        if (!is_roots_own(fd))
                return -EPERM;
        /* Safe: our own; dynos reach what is in it through mounts alone. */
        if (fchmod(fd, 0700) < 0)
                return -errno;

        *ret_fd = TAKE_FD(fd);
        return 0;
}

int scratch_open(Scratch *scratch, const Config *config) {
        _cleanup_close_ int mount_fd = -EBADF, root_fd = -EBADF, trash_fd = -EBADF;
        struct statfs sfs = {0};
        int r;

        scratch->config = config;
        if (!scratch_is_shared(config) || scratch->root_fd >= 0)
                return 0;

        r = open_mount(scratch, &mount_fd);
        if (r < 0)
                return r;
        r = open_own_folder(mount_fd, config->instance, &root_fd);
        if (r == 0)
                r = open_own_folder(root_fd, SCRATCH_TRASH, &trash_fd);
        if (r == 0 && fstatfs(mount_fd, &sfs) < 0)
                r = -errno;
        if (r == -EROFS)
                return refuse(scratch, r, "scratch: read-only here; see scratch in dynod.conf(5)");
        if (r < 0)
                return refuse(scratch, r, "scratch: cannot make its folders");

        scratch->bytes = (uint64_t)sfs.f_blocks * (uint64_t)sfs.f_bsize;
        scratch->files = sfs.f_files;
        scratch->quota = quota_is_enforced(mount_fd);
        scratch->root_fd = TAKE_FD(root_fd);
        scratch->trash_fd = TAKE_FD(trash_fd);
        scratch->error[0] = '\0';
        return 0;
}

void scratch_close(Scratch *scratch) {
        scratch->root_fd = safe_close(scratch->root_fd);
        scratch->trash_fd = safe_close(scratch->trash_fd);
}

/* ---- limits ---- */

static uint64_t share_of(uint64_t whole, uint64_t part, uint64_t total) {
        double share = part < total ? (double)part / (double)total : 1.0;
        uint64_t shared = whole - whole / SHARE_PARTS;

        return (uint64_t)((double)shared * share);
}

static void limit(uint64_t *value, uint64_t most) {
        if (most == 0)
                most = 1; /* 0 would be no limit at all */
        if (*value == 0 || *value > most)
                *value = most;
}

void scratch_limit(const Scratch *scratch, uint64_t memory_total, LaunchStart *start) {
        const Config *config = scratch->config;

        if (!scratch_is_shared(config)) {
                uint64_t size = config->scratch_size ? config->scratch_size : SCRATCH_TMPFS_SIZE;

                limit(&start->disk, size);
                limit(&start->disk_files, size / SCRATCH_TMPFS_FILE);
        } else if (scratch->quota) {
                limit(&start->disk, share_of(scratch->bytes, start->memory_quota, memory_total));
                limit(&start->disk_files,
                      share_of(scratch->files, start->memory_quota, memory_total));
                if (start->disk > SCRATCH_UNIT)
                        start->disk -= start->disk % SCRATCH_UNIT;
        } else {
                start->disk = start->disk_files = 0;
        }
}

/* ---- room ---- */

/* Round and round: the one that is listed behind @after, else the first. */
static int find_trash(const Scratch *scratch, const char *after, char ret_id[DYNO_ID_SIZE]) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        bool found = false, passed = false;
        int r;

        r = dir_open_at(scratch->trash_fd, ".", &dir);
        if (r < 0)
                return r;
        assert(dir);
        while ((entry = readdir(dir))) {
                if (!dyno_id_is_valid(entry->d_name))
                        continue;
                if (!found || passed)
                        field_set(ret_id, DYNO_ID_SIZE, entry->d_name);
                found = true;
                if (passed)
                        break;
                passed = strcmp(entry->d_name, after) == 0;
        }

        return found;
}

/* What a dyno that runs may still write is added to @promised. */
static int add_promise(const Scratch *scratch, const char *id, ScratchUse *promised) {
        _cleanup_close_ int fd = -EBADF;
        ScratchUse use = {0};
        int r;

        fd = openat(scratch->root_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        r = scratch_read_project(fd, &use);
        if (r == 0)
                r = scratch_read_use(fd, &use);
        if (r < 0)
                return r;

        if (use.bytes_max > use.bytes)
                promised->bytes += use.bytes_max - use.bytes;
        if (use.files_max > use.files)
                promised->files += use.files_max - use.files;
        return 0;
}

int scratch_check_room(const Scratch *scratch, const LaunchStart *start) {
        ScratchUse promised = {.bytes = start->disk, .files = start->disk_files};
        _cleanup_closedir_ DIR *dir = NULL;
        char in_trash[DYNO_ID_SIZE];
        struct dirent *entry;
        struct statfs sfs;
        int r;

        if (!scratch->quota || scratch->root_fd < 0)
                return 0;
        r = find_trash(scratch, "", in_trash);
        if (r <= 0)
                return r;

        r = dir_open_at(scratch->root_fd, ".", &dir);
        if (r < 0)
                return r;
        assert(dir);
        while (r == 0 && (entry = readdir(dir)))
                if (dyno_id_is_valid(entry->d_name))
                        r = add_promise(scratch, entry->d_name, &promised);
        if (r < 0)
                return r;
        if (fstatfs(scratch->root_fd, &sfs) < 0)
                return -errno;

        return promised.bytes <= (uint64_t)sfs.f_bavail * (uint64_t)sfs.f_bsize &&
                               promised.files <= sfs.f_ffree
                       ? 0
                       : -EDQUOT;
}

/* ---- folders ---- */

int scratch_make(const Scratch *scratch, const LaunchStart *start, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;
        uint32_t project = 0;
        int r = 0;

        assert(scratch->root_fd >= 0);
        assert(!scratch->quota || (start->disk > 0 && start->disk_files > 0));

        if (mkdirat(scratch->root_fd, start->id, 0700) < 0)
                return -errno;
        fd = openat(scratch->root_fd, start->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                r = -errno;
        if (r == 0 && scratch->quota)
                r = find_unused_project(fd, &project);
        if (r == 0 && scratch->quota)
                r = quota_set(fd, project, start->disk, start->disk_files);
        if (r == 0 && scratch->quota)
                r = set_project(fd, project);
        if (r < 0) {
                (void)unlinkat(scratch->root_fd, start->id, AT_REMOVEDIR);
                if (project != 0)
                        (void)!quota_set(scratch->root_fd, project, 0, 0);
                return r;
        }

        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Removes an emptied folder and, now that nothing is counted for it, its project's limits. */
static int remove_folder(const Scratch *scratch, int parent_fd, const char *id) {
        _cleanup_close_ int fd = -EBADF;
        struct fsxattr attr = {.fsx_projid = 0};

        fd = openat(parent_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        if (scratch->quota && ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0)
                return -errno;
        if (unlinkat(parent_fd, id, AT_REMOVEDIR) < 0)
                return -errno;

        return attr.fsx_projid != 0 ? quota_set(fd, attr.fsx_projid, 0, 0) : 0;
}

static const char *const dyno_folders[] = {"app-work", "app-upper", "tmp", "var-tmp"};

/* Most dynos write nothing: then no process has to be started to remove that. */
static bool remove_unused(const Scratch *scratch, const char *id) {
        _cleanup_close_ int fd = -EBADF;

        fd = openat(scratch->root_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return errno == ENOENT;
        (void)unlinkat(fd, WORK_FILE, 0);
        for (size_t i = 0; i < ARRAY_SIZE(work_folders); i++)
                (void)unlinkat(fd, work_folders[i], AT_REMOVEDIR);
        for (size_t i = 0; i < ARRAY_SIZE(dyno_folders); i++)
                if (unlinkat(fd, dyno_folders[i], AT_REMOVEDIR) < 0 && errno != ENOENT)
                        return false;

        return remove_folder(scratch, scratch->root_fd, id) == 0;
}

/*
 * Whoever empties it has no privilege: root's own folders in it are given to the owner of
 * the rest. Safe: no dyno was ever able to name app-work or what is above.
 */
static int give_away(int dir_fd) {
        struct stat st = {.st_uid = 0};

        /* Those in which nothing was written may be gone. */
        for (size_t i = 0; st.st_uid == 0 && i < ARRAY_SIZE(dyno_folders); i++)
                if (fstatat(dir_fd, dyno_folders[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
                        st.st_uid = 0;
        if (st.st_uid == 0)
                return -EBADMSG; /* nothing that a dyno wrote in */
        for (size_t i = ARRAY_SIZE(work_folders); i-- > 0;)
                if (fchmodat(dir_fd, work_folders[i], 0700, 0) < 0 ||
                    fchownat(dir_fd, work_folders[i], st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) <
                            0)
                        if (errno != ENOENT)
                                return -errno;

        return fchown(dir_fd, st.st_uid, st.st_gid) < 0 ? -errno : 0;
}

int scratch_discard(const Scratch *scratch, const char *id) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (scratch->root_fd < 0 || remove_unused(scratch, id))
                return 0;

        fd = openat(scratch->root_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        r = give_away(fd);
        if (r == 0 && renameat(scratch->root_fd, id, scratch->trash_fd, id) < 0)
                r = -errno;
        return r;
}

/* What an earlier dynod could not remove is tried again. */
static int retry_trash(const Scratch *scratch) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r;

        r = dir_open_at(scratch->trash_fd, ".", &dir);
        if (r < 0)
                return r;
        assert(dir);
        while ((entry = readdir(dir)))
                if (entry->d_name[0] == '.' && dyno_id_is_valid(entry->d_name + 1))
                        (void)renameat(
                                scratch->trash_fd,
                                entry->d_name,
                                scratch->trash_fd,
                                entry->d_name + 1);

        return 0;
}

int scratch_discard_others(
        const Scratch *scratch, bool (*is_known)(void *, const char *), void *userdata) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r = 0;

        if (scratch->root_fd < 0)
                return 0;
        r = retry_trash(scratch);
        if (r == 0)
                r = dir_open_at(scratch->root_fd, ".", &dir);
        if (r < 0)
                return r;
        assert(dir);
        while ((entry = readdir(dir)))
                if (dyno_id_is_valid(entry->d_name) && !is_known(userdata, entry->d_name)) {
                        int q = scratch_discard(scratch, entry->d_name);

                        if (r == 0)
                                r = q;
                }

        return r;
}

/* ---- trash ---- */

int scratch_next_trash(
        const Scratch *scratch, const char *after, char ret_id[DYNO_ID_SIZE], int *ret_fd) {
        char id[DYNO_ID_SIZE];
        int r;

        if (scratch->trash_fd < 0)
                return 0;
        r = find_trash(scratch, after, id);
        if (r <= 0)
                return r;
        *ret_fd = openat(scratch->trash_fd, id, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (*ret_fd < 0)
                return -errno;

        field_set(ret_id, DYNO_ID_SIZE, id);
        return 1;
}

int scratch_end_trash(const Scratch *scratch, const char *id) {
        char aside[DYNO_ID_SIZE + 1];
        int r;

        r = remove_folder(scratch, scratch->trash_fd, id);
        if (r < 0) {
                (void)snprintf(aside, sizeof(aside), ".%s", id);
                (void)renameat(scratch->trash_fd, id, scratch->trash_fd, aside);
        }
        return r;
}

int scratch_remove(const Scratch *scratch) {
        _cleanup_close_ int fd = -EBADF;
        char path[256];
        int r;

        r = find_mount(scratch->config, path, sizeof(path));
        if (r < 0)
                return r;
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        if (unlinkat(scratch->root_fd, SCRATCH_TRASH, AT_REMOVEDIR) < 0 ||
            unlinkat(fd, scratch->config->instance, AT_REMOVEDIR) < 0)
                return -errno;
        return 0;
}
