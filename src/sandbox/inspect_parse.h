/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The texts of /proc/PID that the read-back is made from, parsed. Pure.
 *
 * Strict: a line that is missing or reads otherwise is -EPROTO, because a layer that
 * cannot be read back is a layer that does not hold.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define PROC_STATUS_SIZE 8192  /* bytes; the kernel writes about 1,500 */
#define PROC_MOUNTS_SIZE 65536 /* bytes of mountinfo; about 6,000 in a dyno */
#define PROC_LIMITS_SIZE 4096  /* bytes; about 1,400 */
#define MOUNT_POINT_SIZE 256
#define MOUNT_TYPE_SIZE 32
#define ID_RANGES_MAX 8

typedef struct ProcStatus {
        uid_t uid[4]; /* real, effective, saved, file system */
        gid_t gid[4];
        unsigned n_groups;
        uint64_t cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
        unsigned no_new_privs;
        unsigned seccomp;         /* mode: 2 is filter */
        unsigned seccomp_filters; /* how many */
        pid_t innermost_pid;      /* last of NSpid */
} ProcStatus;

int proc_status_parse(const char *text, ProcStatus *ret) _must_check_;

/* True if a text of uid_map or gid_map has exactly these ranges, in this order. */
bool id_map_is(const char *text, const uint32_t (*ranges)[3], size_t n_ranges);

typedef struct MountLine {
        char point[MOUNT_POINT_SIZE];
        char fstype[MOUNT_TYPE_SIZE];
        unsigned flags; /* ROOTFS_RO, _NOSUID, _NODEV, _NOEXEC, _SHARED of rootfs_plan.h */
} MountLine;

/**
 * mount_line_parse() - parse the next line of mountinfo
 * @text:  moved behind the line
 * @ret:   the line
 *
 * Return: 1, 0 at the end of the text, or -EPROTO.
 */
int mount_line_parse(const char **text, MountLine *ret) _must_check_;

/* Soft and hard limit of the line that begins with @name in /proc/PID/limits. */
int proc_limit_parse(const char *text, const char *name, uint64_t *ret_soft, uint64_t *ret_hard)
        _must_check_;
