/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "image/stack_finish.h"
#include "image/tree_writer.h"

/* What a dyno's process is: uid and gid 10000, named as on Heroku (u and the number). */
#define DYNO_PASSWD "u10000:x:10000:10000::/app:/bin/bash\n"
#define DYNO_GROUP "u10000:x:10000:\n"
#define DYNO_NAME "u10000:"

#define ACCOUNTS_SIZE_MAX                                                                          \
        ((size_t)1024 * 1024) /* bytes of /etc/passwd or group; Debian's have 1 kB */

/* A folder that is changed here; its time and mode are put back. */
typedef struct Open {
        int fd;
        struct stat st;
} Open;

static int refuse_name(UnpackReport *report, UnpackReason reason, const char *name) {
        return report_refuse(report, reason, 0, name, strlen(name));
}

static int open_folder(int tree_fd, const char *path, Open *ret) {
        ret->fd = -EBADF;
        if (fstatat(tree_fd, *path ? path : ".", &ret->st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        /* An image may hold a folder that its owner cannot write to. We are its owner. */
        if (S_ISDIR(ret->st.st_mode) && (ret->st.st_mode & 0700) != 0700 &&
            fchmodat(tree_fd, *path ? path : ".", (ret->st.st_mode & 0777) | 0700, 0) < 0)
                return -errno;
        ret->fd = tree_open_folder(tree_fd, path, O_RDONLY);
        return ret->fd < 0 ? ret->fd : 0;
}

static int close_folder(Open *folder) {
        const struct timespec times[2] = {folder->st.st_mtim, folder->st.st_mtim};
        int r = 0;

        if (folder->fd >= 0 &&
            (futimens(folder->fd, times) < 0 || fchmod(folder->fd, folder->st.st_mode & 0777) < 0))
                r = -errno;
        folder->fd = safe_close(folder->fd);
        return r;
}

static int make_folder(int dir_fd, const char *name, UnpackReport *report) {
        struct stat st;

        if (mkdirat(dir_fd, name, 0755) == 0)
                return 0;
        if (errno != EEXIST || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return S_ISDIR(st.st_mode) ? 0 : refuse_name(report, UNPACK_STACK_DIR_IS_LINK, name);
}

/*
 * Puts an empty regular file where there is none. Debian's resolv.conf is often a link
 * into /run: a mount over it would land where the link leads.
 */
static int make_file(int dir_fd, const char *name, UnpackReport *report) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
                if (S_ISREG(st.st_mode))
                        return 0;
                if (unlinkat(dir_fd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
                        return errno == ENOTEMPTY ? refuse_name(report, UNPACK_CORRUPT, name)
                                                  : -errno;
                report->counts.replaced++;
        } else if (errno != ENOENT)
                return -errno;

        fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        return fd < 0 ? -errno : 0;
}

static int make_var_tmp(int tree_fd, UnpackReport *report) {
        Open var;
        struct stat st;
        int r, r_close;

        r = open_folder(tree_fd, "var", &var);
        if (r == 0 && fstatat(var.fd, "tmp", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISLNK(st.st_mode)) {
                r = unlinkat(var.fd, "tmp", 0) < 0 ? -errno : 0;
                report->counts.replaced++;
        }
        if (r == 0)
                r = make_folder(var.fd, "tmp", report);
        r_close = close_folder(&var);
        return r < 0 ? r : r_close;
}

static int make_mount_points(int tree_fd, UnpackReport *report) {
        static const char *const folders[] = {"app", "dev", "proc", "sys", "tmp", "var", "etc"};
        Open top;
        int r, r_close;

        r = open_folder(tree_fd, "", &top);
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(folders); i++)
                r = make_folder(top.fd, folders[i], report);
        /* A dyno's user owns nothing of the stack, and must get in. */
        top.st.st_mode |= 0755;
        r_close = close_folder(&top);
        return r < 0 ? r : r_close;
}

/* Copies line by line without those of the dyno's user, then puts @line behind. */
static int write_accounts(int fd, const char *text, const char *line) {
        int r;

        while (*text) {
                size_t size = strcspn(text, "\n");

                if (size > 0 && strncmp(text, DYNO_NAME, strlen(DYNO_NAME)) != 0) {
                        r = write_all(fd, text, size);
                        if (r == 0)
                                r = write_all(fd, "\n", 1);
                        if (r < 0)
                                return r;
                }
                text += size + (text[size] == '\n' ? 1 : 0);
        }
        return write_all(fd, line, strlen(line));
}

static int make_accounts(int object_fd, int etc_fd, const char *name, const char *line) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = malloc(ACCOUNTS_SIZE_MAX);
        ssize_t n;

        if (!text)
                return -ENOMEM;

        /* Of one that cannot be read as a text, nothing is taken over. */
        n = read_text_at(etc_fd, name, text, ACCOUNTS_SIZE_MAX);
        if (n == -E2BIG || n == -EACCES)
                text[0] = '\0';
        else if (n < 0)
                return (int)n;

        fd = openat(object_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0)
                return -errno;
        return write_accounts(fd, text, line);
}

static int make_etc(int object_fd, int tree_fd, UnpackReport *report) {
        static const char *const files[] = {"passwd", "group", "hosts", "hostname", "resolv.conf"};
        Open etc;
        int r, r_close;

        r = open_folder(tree_fd, "etc", &etc);
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++)
                r = make_file(etc.fd, files[i], report);
        if (r == 0)
                r = make_accounts(object_fd, etc.fd, "passwd", DYNO_PASSWD);
        if (r == 0)
                r = make_accounts(object_fd, etc.fd, "group", DYNO_GROUP);
        r_close = close_folder(&etc);
        return r < 0 ? r : r_close;
}

int stack_finish(int object_fd, int tree_fd, UnpackReport *report) {
        int r;

        r = make_mount_points(tree_fd, report);
        if (r == 0)
                r = make_var_tmp(tree_fd, report);
        if (r == 0)
                r = make_etc(object_fd, tree_fd, report);
        return r;
}
