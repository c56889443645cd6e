/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What is mounted where in a dyno: one table that the launch works off and that the
 * read-back compares /proc/PID/mountinfo with. Nothing else may be there.
 */

#include <stdbool.h>
#include <stddef.h>

#define ROOTFS_RO (1U << 0)
#define ROOTFS_NOSUID (1U << 1)
#define ROOTFS_NODEV (1U << 2)
#define ROOTFS_NOEXEC (1U << 3)
#define ROOTFS_OPTIONAL (1U << 4) /* some kernels have no such file */
#define ROOTFS_SHARED (1U << 5)   /* never: connected with mounts elsewhere */
#define ROOTFS_STRICT (ROOTFS_NOSUID | ROOTFS_NODEV | ROOTFS_NOEXEC)

typedef enum RootfsMask {
        ROOTFS_NO_MASK,
        ROOTFS_MASK_FILE, /* an empty file lies over it */
        ROOTFS_MASK_DIR,  /* an empty folder lies over it */
} RootfsMask;

typedef struct RootfsMount {
        const char *point;  /* absolute, in the dyno */
        const char *fstype; /* NULL: whatever the store's file system is */
        unsigned flags;     /* ROOTFS_*: what it must have, at least */
        RootfsMask mask;
} RootfsMount;

#define ROOTFS_MOUNTS_MAX 80

extern const RootfsMount rootfs_mounts[];
extern const size_t n_rootfs_mounts;

/* The entry for a mount point, NULL if nothing may be mounted there. */
const RootfsMount *rootfs_find(const char *point);
