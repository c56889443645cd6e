/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A folder for one test, removed with the files in it. */

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct TempDir {
        char path[64];
        int fd;
} TempDir;

static inline int temp_dir_setup(void **state) {
        TempDir *temp = calloc(1, sizeof(*temp));

        assert_non_null(temp);
        strcpy(temp->path, "/tmp/test-logs-XXXXXX");
        assert_non_null(mkdtemp(temp->path));
        temp->fd = open(temp->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(temp->fd >= 0);
        *state = temp;
        return 0;
}

/* Removes the files of a folder; folders in it only if they are empty by then. */
static inline void temp_dir_empty(int dir_fd) {
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fdopendir(fd);
        struct dirent *entry;

        assert_non_null(dir);
        while ((entry = readdir(dir)))
                if (unlinkat(dir_fd, entry->d_name, 0) < 0 && entry->d_name[0] != '.') {
                        int sub = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY);

                        temp_dir_empty(sub);
                        (void)close(sub);
                        (void)unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR);
                }
        (void)closedir(dir);
}

static inline int temp_dir_teardown(void **state) {
        TempDir *temp = *state;

        temp_dir_empty(temp->fd);
        (void)close(temp->fd);
        assert_int_equal(rmdir(temp->path), 0);
        free(temp);
        return 0;
}
