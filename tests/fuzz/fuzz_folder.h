/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Files for the targets that read them: a folder in memory, removed when the process ends. */

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define FUZZ_PATH_SIZE 96

static char fuzz_folder_path[FUZZ_PATH_SIZE];

static inline int fuzz_remove(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static inline void fuzz_remove_tree(const char *path) {
        (void)nftw(path, fuzz_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void fuzz_folder_end(void) {
        fuzz_remove_tree(fuzz_folder_path);
}

/* A new folder; one per process. */
static inline void fuzz_folder(char ret[FUZZ_PATH_SIZE]) {
        const char *base = getenv("DYNOD_FUZZ_FOLDER"); /* removed by whoever sets it */

        if (!base)
                base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

        (void)snprintf(ret, FUZZ_PATH_SIZE, "%s/dynod-fuzz.XXXXXX", base);
        if (!mkdtemp(ret))
                abort();
        (void)snprintf(fuzz_folder_path, sizeof(fuzz_folder_path), "%s", ret);
        (void)atexit(fuzz_folder_end);
}

static inline void fuzz_path(char ret[2 * FUZZ_PATH_SIZE], const char *folder, const char *name) {
        (void)snprintf(ret, 2 * FUZZ_PATH_SIZE, "%s/%s", folder, name);
}

static inline void fuzz_mkdir(const char *folder, const char *name) {
        char path[2 * FUZZ_PATH_SIZE];

        fuzz_path(path, folder, name);
        if (mkdir(path, 0700) < 0)
                abort();
}

static inline void fuzz_write(const char *folder, const char *name, const void *data, size_t size) {
        char path[2 * FUZZ_PATH_SIZE];
        int fd;

        fuzz_path(path, folder, name);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || write_all(fd, data, size) < 0 || close(fd) < 0)
                abort();
}

static inline void fuzz_unlink(const char *folder, const char *name) {
        char path[2 * FUZZ_PATH_SIZE];

        fuzz_path(path, folder, name);
        (void)unlink(path);
}

static inline int fuzz_open(const char *folder, const char *name, int flags) {
        char path[2 * FUZZ_PATH_SIZE];
        int fd;

        fuzz_path(path, folder, name);
        fd = open(path, flags | O_CLOEXEC);
        if (fd < 0)
                abort();
        return fd;
}

/* A descriptor that is left open is a leak that no sanitizer sees. */
static inline unsigned fuzz_count_fds(void) {
        DIR *dir = opendir("/proc/self/fd");
        struct dirent *entry;
        unsigned n = 0;

        if (!dir)
                abort();
        while ((entry = readdir(dir))) {
                char target[128] = "";

                n++;
                if (getenv("FUZZ_LOG") && readlinkat(dirfd(dir), entry->d_name, target, 127) > 0)
                        (void)fprintf(stderr, "descriptor %s: %s\n", entry->d_name, target);
        }
        (void)closedir(dir);
        return n;
}

static inline int fuzz_memfd(const void *data, size_t size) {
        int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0 || write_all(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
                abort();
        return fd;
}
