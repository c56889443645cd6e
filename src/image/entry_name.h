/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names of archive entries: checked and brought to one form. No system calls. */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "ipc/unpack_proto.h"

typedef struct EntryName {
        char path[PATH_MAX]; /* no leading, trailing or double '/', no "." part; "" is the top */
        bool absolute;       /* a leading '/' was dropped */
} EntryName;

/**
 * entry_name_parse() - check and normalise a name
 * @ret:  filled on success
 * @raw:  as it stands in the archive
 *
 * Return: UNPACK_OK, UNPACK_NAME_DOTDOT, UNPACK_NAME_TOO_LONG (the whole or a part), or
 * UNPACK_CORRUPT for an empty name.
 */
UnpackReason entry_name_parse(EntryName *ret, const char *raw);

/* True if the last part of @raw is ".", as that of a folder may be and of nothing else. */
bool entry_name_ends_with_dot(const char *raw);

/* True if @path is @folder or below it; both normalised. */
bool entry_name_is_below(const char *path, const char *folder);

/* Copies @raw as clean UTF-8: bytes that are none become '?', and so does a NUL inside. */
void entry_name_to_text(char *ret, size_t size, const char *raw, size_t raw_size);

/* Length of the UTF-8 sequence that @s starts with, 0 if it is none. Looks at @size bytes at most. */
size_t utf8_sequence(const char *s, size_t size);
