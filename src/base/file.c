/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/parse.h"

int write_all(int fd, const void *data, size_t size) {
        const char *p = data;

        while (size > 0) {
                ssize_t n = write(fd, p, size);

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                p += n;
                size -= (size_t)n;
        }

        return 0;
}

ssize_t read_text_at(int dir_fd, const char *name, char *buf, size_t size) {
        _cleanup_close_ int fd = -EBADF;
        size_t have = 0;

        assert(name);
        assert(buf && size > 0);

        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        if (fd < 0)
                return -errno;

        while (have < size) {
                ssize_t n = read(fd, buf + have, size - have);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0) {
                        buf[have] = '\0';
                        return (ssize_t)have;
                }
                have += (size_t)n;
        }

        return -E2BIG;
}

int write_text_at(int dir_fd, const char *name, const char *text) {
        _cleanup_close_ int fd = -EBADF;
        size_t size = strlen(text);
        ssize_t n;

        fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        if (fd < 0)
                return -errno;

        n = write(fd, text, size);
        if (n < 0)
                return -errno;

        return (size_t)n == size ? 0 : -EIO;
}

int dir_open_at(int dir_fd, const char *name, DIR **ret) {
        _cleanup_close_ int fd = -EBADF;
        DIR *dir;

        assert(name);
        assert(ret);

        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        (void)TAKE_FD(fd);
        *ret = dir;
        return 0;
}

bool dir_next_number(DIR *dir, const char *prefix, size_t *budget, uint32_t *ret) {
        struct dirent *entry;
        char text[12]; /* of 32 bits */

        while ((!budget || *budget > 0) &&
               (entry = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): the caller's */
                const char *name = entry->d_name;

                if (budget)
                        (*budget)--;
                if (strncmp(name, prefix, strlen(prefix)) != 0)
                        continue;
                name += strlen(prefix);
                if (parse_u32(name, ret) < 0 || *ret == 0)
                        continue;
                (void)snprintf(text, sizeof(text), "%" PRIu32, *ret);
                if (strcmp(name, text) == 0)
                        return true;
        }
        return false;
}

/* NOLINTNEXTLINE(readability-function-cognitive-complexity): a list of steps, one if each */
int file_replace_at(
        int dir_fd, const char *name, const void *data, size_t size, mode_t mode, FileSync sync) {
        _cleanup_free_ char *tmp = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        assert(dir_fd >= 0 || dir_fd == AT_FDCWD);
        assert(name && !strchr(name, '/'));
        assert(data || size == 0);

        if (asprintf(&tmp, ".%s.tmp", name) < 0) {
                tmp = NULL; /* asprintf() leaves it undefined */
                return -ENOMEM;
        }

        fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return -errno;

        r = write_all(fd, data, size);
        if (r == 0 && fchmod(fd, mode) < 0) /* whatever the umask is */
                r = -errno;
        if (r == 0 && sync == FILE_SYNC_DISK && fsync(fd) < 0)
                r = -errno;
        if (r == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
                r = -errno;
        if (r < 0) {
                (void)unlinkat(dir_fd, tmp, 0); /* best effort: the next write truncates it */
                return r;
        }

        /* Without this a crash may undo the rename, though not tear the file. */
        if (sync == FILE_SYNC_DISK && fsync(dir_fd) < 0)
                return -errno;

        return 0;
}
