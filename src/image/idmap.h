/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "base/cleanup.h"

/**
 * idmap_open() - make a user namespace that stands for one mapping of owners
 * @disk_id:  uid and gid on disk
 * @id:       uid and gid that such files belong to through the mount
 * @ret_fd:   for mount_setattr(2) with MOUNT_ATTR_IDMAP; owned by the caller
 *
 * Return: 0 or a negative errno.
 */
int idmap_open(uid_t disk_id, uid_t id, int *ret_fd) _must_check_;
