/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The mount calls by descriptor (fsopen(2) and relatives), with errors as negative errno.
 *
 * A path is only ever resolved below a descriptor, and never through a link: what stands
 * in a stack cannot lead a mount astray.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define MOUNT_STRICT (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

typedef struct MountOption {
        const char *key;
        const char *value; /* NULL: a flag */
} MountOption;

/**
 * mount_new() - make a new file system, attached nowhere
 * @type:       "tmpfs", "proc", …
 * @options:    options, may be NULL
 * @n_options:  how many
 * @attributes: MOUNT_ATTR_*
 *
 * Return: a descriptor owned by the caller, or a negative errno.
 */
int mount_new(const char *type, const MountOption *options, size_t n_options, uint64_t attributes)
        _must_check_;

/**
 * mount_clone() - a detached copy of a mount, or of a folder or file in it, without mounts below
 * @dir_fd:  folder of a mount that is attached in this mount namespace (6.1 wants that)
 * @path:    below @dir_fd, or "" for itself; links are not followed
 *
 * Return: a descriptor owned by the caller, or a negative errno.
 */
int mount_clone(int dir_fd, const char *path) _must_check_;

/**
 * mount_restrict() - add attributes and a mapping of ids to a mount, make it private
 * @mount_fd:    detached or own mount
 * @attributes:  MOUNT_ATTR_* to set
 * @idmap_fd:    user namespace, or negative; only for a mount that was never attached
 */
int mount_restrict(int mount_fd, uint64_t attributes, int idmap_fd) _must_check_;

/* Attaches a detached mount at @path below @dir_fd. Links are refused: -ELOOP. */
int mount_attach(int mount_fd, int dir_fd, const char *path) _must_check_;

/* mount_clone(@from_fd, @from) attached at @path below @dir_fd. Attributes are inherited. */
int mount_bind(int from_fd, const char *from, int dir_fd, const char *path) _must_check_;
