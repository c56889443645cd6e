/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"

/* What belongs to @disk_id on disk, uid and gid, belongs to @id through the mount. */
typedef struct IdmapPair {
        uid_t disk_id, id;
} IdmapPair;

#define IDMAP_PAIRS_MAX 2

/**
 * idmap_open() - make a user namespace that stands for a mapping of owners
 * @pairs:    no id twice on either side
 * @n_pairs:  1 to IDMAP_PAIRS_MAX
 * @ret_fd:   for mount_setattr(2) with MOUNT_ATTR_IDMAP; owned by the caller
 *
 * Return: 0 or a negative errno.
 */
int idmap_open(const IdmapPair *pairs, size_t n_pairs, int *ret_fd) _must_check_;
