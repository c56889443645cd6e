/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A slug of Heroku's has its tree in ./app, and what lies beside it is ignored. Other
 * archives are the tree itself, and may well have a folder of that name (every Rails
 * application has): there the Procfile lies beside it.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "image/procfile.h"
#include "image/slug_finish.h"
#include "image/tree_remove.h"
#include "image/tree_writer.h"

static bool exists(int dir_fd, const char *name) {
        struct stat st;

        return dir_fd >= 0 && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Return: 1 if ./app is the tree, 0 if the whole is, -EBADMSG (refused), or a negative errno. */
static int app_is_inside(int stage_fd, UnpackReport *report) {
        _cleanup_close_ int app_fd = -EBADF;
        struct stat st;

        if (fstatat(stage_fd, "app", &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        /* As an entry it was refused; a hard link to a link comes this far. */
        if (S_ISLNK(st.st_mode))
                return report_refuse(report, UNPACK_SLUG_APP_IS_LINK, 0, "app", 3);
        if (!S_ISDIR(st.st_mode))
                return 0;

        app_fd = tree_open_folder(stage_fd, "app", O_PATH);
        return exists(app_fd, "Procfile") || !exists(stage_fd, "Procfile");
}

static int take_app(int object_fd, int stage_fd) {
        struct stat st;
        int r;

        /* It gets another parent, for which its owner must be able to write to both. */
        if (fstatat(stage_fd, "app", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            fchmodat(object_fd, "stage", 0700, 0) < 0 ||
            fchmodat(stage_fd, "app", (st.st_mode & 0777) | 0700, 0) < 0)
                return -errno;
        if (renameat(stage_fd, "app", object_fd, "tree") < 0)
                return -errno;
        /* Of an app whose owner cannot look into it, the dyno could not start. */
        if ((st.st_mode & 0500) == 0500 && fchmodat(object_fd, "tree", st.st_mode & 0777, 0) < 0)
                return -errno;
        r = tree_remove(stage_fd);
        if (r < 0)
                return r;
        return unlinkat(object_fd, "stage", AT_REMOVEDIR) < 0 ? -errno : 0;
}

/*
 * Opens the Procfile, and one that is a link within the app. RESOLVE_IN_ROOT: whatever
 * the link says, it ends inside the tree.
 */
static int open_procfile(int tree_fd) {
        const struct open_how how = {
                .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
        };
        int fd = (int)syscall(SYS_openat2, tree_fd, "Procfile", &how, sizeof(how));

        return fd < 0 ? -errno : fd;
}

static int refuse_whole(UnpackReport *report, const char *why) {
        return report_refuse(report, UNPACK_PROCFILE, 0, why, strlen(why));
}

/* Reads it whole. Return: its size, -EBADMSG (refused), or a negative errno. */
static ssize_t read_procfile(int fd, char *buf, size_t size, UnpackReport *report) {
        size_t used = 0;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return refuse_whole(report, "it is not a regular file");

        while (used < size) {
                ssize_t n = read(fd, buf + used, size - used);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return (ssize_t)used;
                used += n > 0 ? (size_t)n : 0;
        }
        return refuse_whole(report, "it is larger than 256 KiB");
}

static int parse_procfile(const char *buf, size_t size, UnpackReport *report) {
        _cleanup_(procfile_clear) Procfile procfile = {0};
        ProcfileError error;
        int r;

        r = procfile_parse(&procfile, buf, size, &error);
        if (r == -EINVAL) {
                r = report_refuse(report, UNPACK_PROCFILE, 0, error.text, error.text_size);
                report->refusal.line = error.line;
        }
        for (size_t i = 0; r == 0 && i < procfile.n_processes; i++)
                r = report_process(
                        report, procfile.processes[i].type, procfile.processes[i].command);
        return r;
}

static int report_processes(int tree_fd, UnpackReport *report) {
        _cleanup_free_ char *buf = NULL;
        _cleanup_close_ int fd = open_procfile(tree_fd);
        ssize_t n;

        if (fd == -ENOENT && !exists(tree_fd, "Procfile"))
                return 0; /* the process types come with the request, or not at all */
        if (fd == -ENOENT || fd == -ELOOP || fd == -ENOTDIR || fd == -EXDEV)
                return refuse_whole(report, "it is a link that leads nowhere");
        if (fd == -EACCES)
                return refuse_whole(report, "its owner may not read it");
        if (fd < 0)
                return fd;

        buf = malloc(PROCFILE_SIZE_MAX + 1);
        if (!buf)
                return -ENOMEM;
        n = read_procfile(fd, buf, PROCFILE_SIZE_MAX + 1, report);
        return n < 0 ? (int)n : parse_procfile(buf, (size_t)n, report);
}

int slug_finish(int object_fd, uint64_t outside_app, UnpackReport *report) {
        _cleanup_close_ int stage_fd = tree_open_folder(object_fd, "stage", O_PATH);
        _cleanup_close_ int tree_fd = -EBADF;
        int inside, r;

        if (stage_fd < 0)
                return stage_fd;
        inside = app_is_inside(stage_fd, report);
        if (inside < 0)
                return inside;

        if (inside) {
                report->counts.outside_app = outside_app;
                r = take_app(object_fd, stage_fd);
        } else
                r = renameat(object_fd, "stage", object_fd, "tree") < 0 ? -errno : 0;
        if (r < 0)
                return r;

        tree_fd = tree_open_folder(object_fd, "tree", O_PATH);
        if (tree_fd < 0)
                return tree_fd;
        return report_processes(tree_fd, report);
}
