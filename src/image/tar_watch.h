/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reads the headers of a tar that passes by on its way to libarchive, as GNU tar would.
 *
 * libarchive is lenient where we are not: it ends a name at its first NUL, brings names into
 * another Unicode form, passes over what it cannot read, and at some headers readers of tar
 * differ in where the next one begins. So there are two readers. What GNU tar and libarchive
 * read differently is refused here; names, modes and times are those read here; and the place
 * and size of each entry must be the same to both, or it is refused.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/cleanup.h"

typedef struct TarWatch TarWatch;

typedef struct TarEntry {
        struct TarEntry *next;
        uint64_t at; /* offset of the first header that is about it */
        mode_t type; /* S_IFREG, …; 0 for a hard link */
        mode_t mode; /* 07777 at most */
        struct timespec mtime;
        uint64_t size; /* of a file, its holes included */
        char *link;    /* in the same memory, may be empty */
        char name[];
} TarEntry;

int tar_watch_new(TarWatch **ret) _must_check_; /* 0 or -ENOMEM */
TarWatch *tar_watch_free(TarWatch *watch);
DEFINE_CLEANUP(TarWatch, tar_watch_free)

/* Takes the next bytes. Return: 0, a positive UnpackReason, or -ENOMEM. */
int tar_watch_feed(TarWatch *watch, const void *data, size_t size) _must_check_;

/* After a reason: the name that goes with it, borrowed, *ret_size bytes; NULL if there is none. */
const char *tar_watch_name(const TarWatch *watch, size_t *ret_size);

/* The next entry of what was fed, valid until the next call; NULL: there is none. */
const TarEntry *tar_watch_next(TarWatch *watch);
/* The same again at the next call. */
const TarEntry *tar_watch_peek(const TarWatch *watch);

/* True if the zeroes at the end were seen. */
bool tar_watch_is_at_end(const TarWatch *watch);
