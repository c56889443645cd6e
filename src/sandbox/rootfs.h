/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A dyno's file system. The launcher takes detached copies of what it owns (only the
 * mount namespace that a mount is attached in may copy it); the child, in its own
 * mount namespace, puts them together and leaves everything else behind.
 *
 * Mount flags and places are rootfs_plan.h's.
 */

#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "sandbox/sandbox_internal.h"

#define ROOTFS_TEMPLATES ".sandbox" /* mount point in config's run_dir */
#define ROOTFS_CPU "cpu"
#define ROOTFS_HOSTNAME_SIZE 37 /* a UUID and a NUL */

/* Detached mounts, owned. */
typedef struct RootfsParts {
        int stack_fd;   /* the object with tree/, passwd and group; idmapped, read-only */
        int slug_fd;    /* idmapped, read-only */
        int cpu_fd;     /* of sysfs, read-only */
        int scratch_fd; /* the dyno's folder; negative: it gets a tmpfs */
} RootfsParts;

#define ROOTFS_PARTS_INIT                                                                          \
        { .stack_fd = -EBADF, .slug_fd = -EBADF, .cpu_fd = -EBADF, .scratch_fd = -EBADF }
#define _cleanup_rootfs_parts_ _cleanup_(rootfs_parts_clear)

/**
 * rootfs_make_templates() - what all dynos share of /sys, and where their roots are made
 * @run_dir:  existing folder; ".sandbox" in it becomes the mount point
 * @ret_fd:   the mount, owned by the caller; it stays attached in this mount namespace
 *
 * In its folder ROOTFS_CPU is devices/system/cpu, read-only. Needs CAP_SYS_ADMIN.
 */
int rootfs_make_templates(const char *run_dir, int *ret_fd) _must_check_;

/**
 * rootfs_make_dev() - a new /dev: pseudo devices, links, empty folders pts and shm
 * @ret_fd:  the mount, read-only, attached nowhere; owned by the caller
 *
 * Wants a umask of 0, CAP_SYS_ADMIN and CAP_MKNOD.
 */
int rootfs_make_dev(int *ret_fd) _must_check_;

/* Fills @ret for one launch. On failure @reterr names the store, or the layer. */
int rootfs_take_parts(
        const SandboxHost *host,
        const SandboxLaunch *launch,
        RootfsParts *ret,
        SandboxError *reterr) _must_check_;
void rootfs_parts_clear(RootfsParts *parts);

/**
 * rootfs_enter() - in the child: build the dyno's root and change into it
 * @host:      host
 * @launch:    what is started
 * @parts:     used up
 * @hostname:  for /etc/hosts and /etc/hostname
 * @reterr:    filled on failure
 *
 * The caller is alone in new mount, pid and cgroup namespaces, still as root of the host.
 *
 * Return: a descriptor of the new /proc, or a negative errno.
 */
int rootfs_enter(
        const SandboxHost *host,
        const SandboxLaunch *launch,
        RootfsParts *parts,
        const char *hostname,
        SandboxError *reterr) _must_check_;
