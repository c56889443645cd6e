/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A tree may be far deeper than a path is long: folders are renamed into the depths of others.
 * So descriptors, stack and names are kept bounded: what lies deeper than DEPTH_MAX is moved up
 * to the top and met there again. Names, because AppArmor refuses what it cannot name, and in
 * here a name has DEPTH_MAX + 1 parts at most: together no more than PATH_MAX.
 *
 * What cannot be removed keeps nothing else: the rest goes first, then the first error is told.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "image/tree_remove.h"
#include "image/tree_writer.h"

#define DEPTH_MAX (PATH_MAX / (NAME_MAX + 1) - 1)

typedef struct Removal {
        int root_fd;
        unsigned n_moved;
        uint64_t n_done; /* removed and moved: without any, another round is of no use */
        int error;       /* the first of this round */
} Removal;

static int remove_contents(Removal *removal, int dir_fd, const char *name, unsigned depth);

/* Moves a folder to the top under a name that the tree itself cannot have by accident. */
static int move_up(Removal *removal, int dir_fd, const char *name) {
        char moved[32];

        for (;;) {
                (void)snprintf(moved, sizeof(moved), ".removed-%u", removal->n_moved++);
                if (renameat(dir_fd, name, removal->root_fd, moved) == 0) {
                        removal->n_done++;
                        return 0;
                }
                if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR)
                        return -errno;
        }
}

static int remove_one(Removal *removal, int dir_fd, const char *name, int flags) {
        if (unlinkat(dir_fd, name, flags) < 0)
                return -errno;
        removal->n_done++;
        return 0;
}

static int remove_entry(Removal *removal, int dir_fd, const char *name, unsigned depth) {
        int r;

        r = remove_one(removal, dir_fd, name, 0);
        if (r != -EISDIR && r != -EPERM)
                return r;
        /* Also before moving it: its ".." changes, which needs write permission. */
        if (fchmodat(dir_fd, name, 0700, 0) < 0)
                return -errno;
        if (depth == DEPTH_MAX)
                return move_up(removal, dir_fd, name);

        r = remove_contents(removal, dir_fd, name, depth + 1);
        if (r < 0)
                return r;
        return remove_one(removal, dir_fd, name, AT_REMOVEDIR);
}

/* NOLINTNEXTLINE(misc-no-recursion): DEPTH_MAX bounds it */
static int remove_contents(Removal *removal, int dir_fd, const char *name, unsigned depth) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int fd, r;

        fd = tree_open_folder(dir_fd, name, O_RDONLY);
        if (fd < 0)
                return fd;
        dir = fdopendir(fd);
        if (!dir) {
                r = -errno;
                safe_close(fd);
                return r;
        }

        while ((errno = 0, entry = readdir(dir))) { // NOLINT(concurrency-mt-unsafe)
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                r = remove_entry(removal, dirfd(dir), entry->d_name, depth);
                if (r < 0 && removal->error == 0)
                        removal->error = r;
        }
        return -errno;
}

static bool is_empty(int root_fd, int *ret_error) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int fd = tree_open_folder(root_fd, "", O_RDONLY);

        *ret_error = 0;
        if (fd >= 0)
                dir = fdopendir(fd);
        if (!dir) {
                *ret_error = fd < 0 ? fd : -errno;
                safe_close(fd);
                return false;
        }
        while ((entry = readdir(dir))) // NOLINT(concurrency-mt-unsafe)
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        return false;
        return true;
}

int tree_remove(int root_fd) {
        Removal removal = {.root_fd = root_fd};
        int r;

        assert(root_fd >= 0);

        /* A name that was moved up may or may not be seen by a listing that is under way. */
        while (!is_empty(root_fd, &r)) {
                uint64_t before = removal.n_done;

                if (r < 0)
                        return r;
                removal.error = 0;
                r = remove_contents(&removal, root_fd, "", 0);
                if (r < 0)
                        return r;
                if (removal.n_done == before)
                        return removal.error < 0 ? removal.error : -ENOTEMPTY;
        }
        return 0;
}
