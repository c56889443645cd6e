/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A marker is "BOOT-ID IDENTITY" or "synced IDENTITY", the identity being inode number and
 * birth of the object's folder. So a marker never speaks for another tree than its own, in
 * whatever order things were lost by a power failure.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "image/store_place.h"

#define SYNCED "synced"

static const char *const kind_folders[_OBJECT_KIND_MAX] = {
        [OBJECT_STACK] = "stacks",
        [OBJECT_SLUG] = "slugs",
};

static int open_folder(int root_fd, const char *name, int *ret_fd) {
        int fd;

        if (mkdirat(root_fd, name, 0700) < 0 && errno != EEXIST)
                return -errno;
        fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

int store_place_open(StorePlace *ret, int state_fd) {
        StorePlace place = {
                .root_fd = -EBADF,
                .archives_fd = -EBADF,
                .kind_fd = {-EBADF, -EBADF},
                .boot_fd = -EBADF,
                .tmp_fd = -EBADF,
        };
        ssize_t n;
        int r;

        place.root_fd = openat(state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = place.root_fd < 0 ? -errno : 0;
        if (r == 0)
                r = open_folder(place.root_fd, "archives", &place.archives_fd);
        for (unsigned kind = 0; kind < _OBJECT_KIND_MAX && r == 0; kind++)
                r = open_folder(place.root_fd, kind_folders[kind], &place.kind_fd[kind]);
        if (r == 0)
                r = open_folder(place.root_fd, "boot", &place.boot_fd);
        if (r == 0)
                r = open_folder(place.root_fd, "tmp", &place.tmp_fd);
        if (r == 0) {
                n = read_text_at(
                        AT_FDCWD,
                        "/proc/sys/kernel/random/boot_id",
                        place.boot_id,
                        sizeof(place.boot_id));
                r = n < 0 ? (int)n : 0;
        }
        if (r < 0) {
                store_place_close(&place);
                return r;
        }
        place.boot_id[strcspn(place.boot_id, "\n")] = '\0';
        *ret = place;
        return 0;
}

void store_place_close(StorePlace *place) {
        place->root_fd = safe_close(place->root_fd);
        place->archives_fd = safe_close(place->archives_fd);
        for (unsigned kind = 0; kind < _OBJECT_KIND_MAX; kind++)
                place->kind_fd[kind] = safe_close(place->kind_fd[kind]);
        place->boot_fd = safe_close(place->boot_fd);
        place->tmp_fd = safe_close(place->tmp_fd);
}

static void marker_name(ObjectKind kind, const uint8_t digest[DIGEST_SIZE], char ret[80]) {
        char hex[DIGEST_TEXT_SIZE];

        format_digest(digest, hex);
        (void)snprintf(ret, 80, "%s-%s", kind == OBJECT_STACK ? "stack" : "slug", hex);
}

static int marker_text(int object_fd, const char *why, char ret[MARKER_SIZE]) {
        struct statx st;

        if (statx(object_fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) < 0)
                return -errno;
        (void)snprintf(
                ret,
                MARKER_SIZE,
                "%s %llu %lld.%09u",
                why,
                (unsigned long long)st.stx_ino,
                (long long)st.stx_btime.tv_sec,
                st.stx_btime.tv_nsec);
        return 0;
}

static int open_object(
        const StorePlace *place, ObjectKind kind, const uint8_t digest[DIGEST_SIZE], int *ret_fd) {
        char hex[DIGEST_TEXT_SIZE];
        int fd;

        format_digest(digest, hex);
        fd = openat(place->kind_fd[kind], hex, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

int store_place_read_marker(
        const StorePlace *place,
        ObjectKind kind,
        const uint8_t digest[DIGEST_SIZE],
        char ret[MARKER_SIZE]) {
        char name[80];
        ssize_t n;

        marker_name(kind, digest, name);
        n = read_text_at(place->boot_fd, name, ret, MARKER_SIZE);
        return n < 0 ? (int)n : 0;
}

int store_place_trusted(
        const StorePlace *place, ObjectKind kind, const uint8_t digest[DIGEST_SIZE], int *ret_fd) {
        char marker[MARKER_SIZE], this_boot[MARKER_SIZE], synced[MARKER_SIZE];
        _cleanup_close_ int fd = -EBADF;
        int r;

        assert(kind < _OBJECT_KIND_MAX);

        r = store_place_read_marker(place, kind, digest, marker);
        if (r == -E2BIG)
                return -ENOENT;
        if (r < 0)
                return r;
        r = open_object(place, kind, digest, &fd);
        if (r == 0)
                r = marker_text(fd, place->boot_id, this_boot);
        if (r == 0)
                r = marker_text(fd, SYNCED, synced);
        if (r < 0)
                return r;
        if (strcmp(marker, this_boot) != 0 && strcmp(marker, synced) != 0)
                return -ENOENT;

        if (ret_fd)
                *ret_fd = TAKE_FD(fd);
        return 0;
}

static int write_marker(
        const StorePlace *place,
        ObjectKind kind,
        const uint8_t digest[DIGEST_SIZE],
        const char *text) {
        char name[80];

        marker_name(kind, digest, name);
        return file_replace_at(place->boot_fd, name, text, strlen(text), 0600, FILE_SYNC_NONE);
}

int store_place_install(
        const StorePlace *place,
        ObjectKind kind,
        const uint8_t digest[DIGEST_SIZE],
        int tmp_dir_fd) {
        char hex[DIGEST_TEXT_SIZE], marker[MARKER_SIZE];
        _cleanup_close_ int fd = -EBADF;
        int r;

        /* Another import of the same archive came first: its tree is as good. */
        r = store_place_trusted(place, kind, digest, NULL);
        if (r != -ENOENT)
                return r;

        format_digest(digest, hex);
        r = renameat2(tmp_dir_fd, "object", place->kind_fd[kind], hex, RENAME_NOREPLACE);
        if (r < 0 && errno == EEXIST)
                r = renameat2(tmp_dir_fd, "object", place->kind_fd[kind], hex, RENAME_EXCHANGE);
        if (r < 0)
                return -errno;

        r = open_object(place, kind, digest, &fd);
        if (r == 0)
                r = marker_text(fd, place->boot_id, marker);
        return r < 0 ? r : write_marker(place, kind, digest, marker);
}

int store_place_install_archive(
        const StorePlace *place, const uint8_t digest[DIGEST_SIZE], int tmp_dir_fd) {
        char hex[DIGEST_TEXT_SIZE];
        int r;

        format_digest(digest, hex);
        /*
         * In place of one that is there: ours was hashed just now, that one may have rotted
         * since. It is not deleted here, see LARGE_ARCHIVE.
         */
        r = renameat2(tmp_dir_fd, "archive", place->archives_fd, hex, RENAME_NOREPLACE);
        if (r < 0 && errno == EEXIST)
                r = renameat2(tmp_dir_fd, "archive", place->archives_fd, hex, RENAME_EXCHANGE);
        return r < 0 ? -errno : 0;
}

int store_place_mark_synced(
        const StorePlace *place,
        ObjectKind kind,
        const uint8_t digest[DIGEST_SIZE],
        const char marker[MARKER_SIZE]) {
        char now[MARKER_SIZE], synced[MARKER_SIZE];
        _cleanup_close_ int fd = -EBADF;
        int r;

        /* Removed or replaced since: nothing is known about what is there now. */
        r = store_place_read_marker(place, kind, digest, now);
        if (r < 0 || strcmp(now, marker) != 0)
                return r == -ENOENT ? 0 : r;
        r = store_place_trusted(place, kind, digest, &fd);
        if (r == 0)
                r = marker_text(fd, SYNCED, synced);
        return r < 0 ? r : write_marker(place, kind, digest, synced);
}

static int unlink_if_there(int dir_fd, const char *name) {
        return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int store_place_remove(
        const StorePlace *place,
        ObjectKind kind,
        const uint8_t digest[DIGEST_SIZE],
        int tmp_dir_fd) {
        ObjectKind other = kind == OBJECT_STACK ? OBJECT_SLUG : OBJECT_STACK;
        char hex[DIGEST_TEXT_SIZE], name[80];
        struct stat st;
        int r;

        format_digest(digest, hex);
        marker_name(kind, digest, name);
        r = unlink_if_there(place->boot_fd, name);
        if (r < 0)
                return r;
        if (renameat(place->kind_fd[kind], hex, tmp_dir_fd, "object") < 0 && errno != ENOENT)
                return -errno;

        /* One file may have been imported as a stack and deployed as a slug. */
        if (fstatat(place->kind_fd[other], hex, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return 0;
        if (renameat(place->archives_fd, hex, tmp_dir_fd, "archive") < 0 && errno != ENOENT)
                return -errno;
        return 0;
}
