/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Looks at a tar that passes by on its way to libarchive, which is lenient where we are not.
 *
 * It ends a name at its first NUL and so makes another name of it, silently; it passes over
 * pax records that it cannot read; and there are headers after which readers of tar differ
 * in where the next one begins. Whatever would leave the watch and libarchive in two minds
 * is refused, so that an archive means one thing, and the same to GNU tar.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct TarWatch TarWatch;

int tar_watch_new(TarWatch **ret) _must_check_; /* 0 or -ENOMEM */
TarWatch *tar_watch_free(TarWatch *watch);
DEFINE_CLEANUP(TarWatch, tar_watch_free)

/* Takes the next bytes. Return: 0, -EBADMSG: it is to be refused, or -ENOMEM. */
int tar_watch_feed(TarWatch *watch, const void *data, size_t size) _must_check_;

/* After -EBADMSG: the name that has a NUL, borrowed, *ret_size bytes; or NULL: it is damaged. */
const char *tar_watch_name(const TarWatch *watch, size_t *ret_size);
