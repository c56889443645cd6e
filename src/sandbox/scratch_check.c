/* SPDX-License-Identifier: Apache-2.0 */

/* The read-back of scratch: what the kernel says of the folders that a dyno sees. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "sandbox/scratch.h"

#define MB 20 /* shift */

typedef struct Check {
        const LaunchStart *start;
        char *detail;
        size_t size;
} Check;

static LayerVerdict tell(const Check *check, LayerVerdict verdict, const char *fmt, ...)
        _printf_(3, 4);
static LayerVerdict tell(const Check *check, LayerVerdict verdict, const char *fmt, ...) {
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(check->detail, check->size, fmt, ap);
        va_end(ap);
        return verdict;
}

/* A folder that dynod mounted in the dyno. Its own names, which are the dyno's, lead nowhere. */
static int open_folder(int root_fd, const char *path, int *ret_fd) {
        struct open_how how = {
                .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };

        *ret_fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
        return *ret_fd < 0 ? -errno : 0;
}

static LayerVerdict check_tmpfs(const Check *check, int tmp_fd, int var_tmp_fd) {
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        uint64_t wanted = (check->start->disk + page - 1) / page;
        struct stat tmp, var_tmp;
        struct statfs sfs;

        if (fstatfs(tmp_fd, &sfs) < 0 || fstat(tmp_fd, &tmp) < 0 || fstat(var_tmp_fd, &var_tmp) < 0)
                return tell(check, VERDICT_FAILED, "scratch cannot be read");
        if (tmp.st_dev != var_tmp.st_dev)
                return tell(check, VERDICT_FAILED, "scratch is not one file system");
        if ((uint64_t)sfs.f_blocks != wanted || (uint64_t)sfs.f_files != check->start->disk_files)
                return tell(
                        check,
                        VERDICT_FAILED,
                        "scratch has %" PRIu64 " MB and %" PRIu64 " files, must have %" PRIu64
                        " MB and %" PRIu64,
                        ((uint64_t)sfs.f_blocks * page) >> MB,
                        (uint64_t)sfs.f_files,
                        check->start->disk >> MB,
                        check->start->disk_files);

        return tell(
                check,
                VERDICT_OK,
                "scratch %" PRIu64 " of %" PRIu64 " MB",
                ((uint64_t)(sfs.f_blocks - sfs.f_bfree) * page) >> MB,
                check->start->disk >> MB);
}

static LayerVerdict check_quota(const Check *check, const int *fds, size_t n) {
        ScratchUse use = {0};

        for (size_t i = 0; i < n; i++) {
                ScratchUse other;
                int r = scratch_read_project(fds[i], &other);

                if (r < 0)
                        return tell(check, VERDICT_FAILED, "the project of scratch cannot be read");
                if (i == 0)
                        use = other;
                if (other.project == 0 || other.project != use.project || !other.inherited)
                        return tell(
                                check,
                                VERDICT_FAILED,
                                "scratch is in project %" PRIu32 ", must be in one of its own",
                                other.project);
        }

        if (scratch_read_use(fds[0], &use) < 0)
                return tell(check, VERDICT_FAILED, "the quota of scratch cannot be read");
        if (use.bytes_max == 0 || use.files_max == 0 ||
            use.bytes_max >= check->start->disk + SCRATCH_BLOCK ||
            use.files_max > check->start->disk_files)
                return tell(
                        check,
                        VERDICT_FAILED,
                        "scratch may have %" PRIu64 " MB and %" PRIu64 " files, must have %" PRIu64
                        " MB and %" PRIu64,
                        use.bytes_max >> MB,
                        use.files_max,
                        check->start->disk >> MB,
                        check->start->disk_files);

        return tell(
                check,
                VERDICT_OK,
                "scratch %" PRIu64 " of %" PRIu64 " MB, %" PRIu64 " of %" PRIu64 " files",
                use.bytes >> MB,
                use.bytes_max >> MB,
                use.files,
                use.files_max);
}

LayerVerdict scratch_check(
        const Scratch *scratch,
        const LaunchStart *start,
        int root_fd,
        bool adopted,
        char *ret,
        size_t size) {
        const Check check = {.start = start, .detail = ret, .size = size};
        _cleanup_close_ int app_fd = -EBADF, tmp_fd = -EBADF, var_tmp_fd = -EBADF;
        struct statfs sfs;
        bool is_tmpfs;
        int r;

        assert(scratch->config && size > 0);

        ret[0] = '\0';

        r = open_folder(root_fd, "tmp", &tmp_fd);
        if (r == 0)
                r = open_folder(root_fd, "var/tmp", &var_tmp_fd);
        if (r == 0)
                r = open_folder(root_fd, "app", &app_fd);
        if (r < 0 || fstatfs(tmp_fd, &sfs) < 0)
                return tell(&check, VERDICT_FAILED, "scratch cannot be opened");

        is_tmpfs = sfs.f_type == TMPFS_MAGIC;
        /* An earlier dynod may have had another kind of scratch; its dynos keep theirs. */
        if (adopted ? is_tmpfs && start->disk != 0 : !scratch_is_shared(scratch->config))
                return is_tmpfs ? check_tmpfs(&check, tmp_fd, var_tmp_fd)
                                : tell(&check, VERDICT_FAILED, "scratch is no tmpfs");
        if (start->disk == 0)
                return tell(&check, VERDICT_ALLOWED, "scratch without quota");

        return check_quota(&check, (const int[]){tmp_fd, var_tmp_fd, app_fd}, 3);
}
