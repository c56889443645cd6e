/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Looks for names with a NUL in a tar that passes by.
 *
 * libarchive ends a name at its first NUL and so makes another name of it, silently. Only
 * the long forms can hold one: pax records, and GNU's long names. Everything else about
 * the tar is libarchive's to judge: where the watch loses its way, it stops looking.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct TarWatch TarWatch;

int tar_watch_new(TarWatch **ret) _must_check_; /* 0 or -ENOMEM */
TarWatch *tar_watch_free(TarWatch *watch);
DEFINE_CLEANUP(TarWatch, tar_watch_free)

/* Takes the next bytes. Return: 0, -EBADMSG if a name has a NUL, or -ENOMEM. */
int tar_watch_feed(TarWatch *watch, const void *data, size_t size) _must_check_;

/* After -EBADMSG: the name, borrowed; *ret_size bytes. */
const char *tar_watch_name(const TarWatch *watch, size_t *ret_size);
