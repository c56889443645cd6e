/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A dyno's control group: <root>/ID, cgroup v2, with one empty child "memory" that
 * carries memory.limit_in_bytes inside the dyno.
 *
 * Processes are born in it (CLONE_INTO_CGROUP), never moved there. All functions are
 * synchronous; none waits for anything but the kernel.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

/* What a dyno may use. A controller that is not enabled below @root_fd is passed over. */
typedef struct CgroupLimits {
        uint64_t memory_quota; /* bytes */
        uint64_t memory_kill;  /* bytes, at least memory_quota */
        uint32_t cpu_weight;   /* 1 to 10000; of io too */
        uint32_t pids_max;     /* processes and threads, dyno-init and ps:exec included */
        bool swap;             /* the host has swap */
} CgroupLimits;

/*
 * pids.max for Heroku's process limit: dyno-init comes on top, and what a few ps:exec at
 * once need, so that a dyno at its limit can still be looked into.
 */
#define CGROUP_EXTRA_PIDS 65
static inline uint32_t cgroup_pids_max(uint32_t process_limit) {
        return process_limit + CGROUP_EXTRA_PIDS;
}

#define CGROUP_CPU (UINT32_C(1) << 0)
#define CGROUP_MEMORY (UINT32_C(1) << 1)
#define CGROUP_PIDS (UINT32_C(1) << 2)
#define CGROUP_IO (UINT32_C(1) << 3)
#define CGROUP_ALL (CGROUP_CPU | CGROUP_MEMORY | CGROUP_PIDS | CGROUP_IO)

/* Counters that only grow. */
typedef struct CgroupCounters {
        uint64_t oom_kill; /* processes killed for lack of memory */
        uint64_t pids_max; /* forks refused */
} CgroupCounters;

/**
 * cgroup_enable_controllers() - enable cpu, memory, pids and io for the children of a group
 * @root_fd:      folder of the group; holds no process itself
 * @ret_enabled:  set of CGROUP_*: what its children have now
 *
 * Return: 0, whatever is missing, or a negative errno if @root_fd is no cgroup v2.
 */
int cgroup_enable_controllers(int root_fd, uint32_t *ret_enabled) _must_check_;

/**
 * cgroup_create() - make a dyno's group with its limits
 * @root_fd:      parent group
 * @name:         the dyno's id
 * @controllers:  set of CGROUP_* that are enabled
 * @limits:       limits, written before anything can enter
 * @ret_fd:       the folder, owned by the caller
 *
 * Return: 0, -EEXIST, or a negative errno; nothing is left on failure.
 */
int cgroup_create(
        int root_fd,
        const char *name,
        uint32_t controllers,
        const CgroupLimits *limits,
        int *ret_fd) _must_check_;

/* Opens an existing group's folder. Return: a descriptor or a negative errno (-ENOENT). */
int cgroup_open(int root_fd, const char *name) _must_check_;

/* SIGKILL to every process of the group and below, forks under way included (cgroup.kill). */
int cgroup_kill(int cgroup_fd) _must_check_;

/* Removes an empty group. Return: 0, -EBUSY if a process is left, -ENOENT, negative errno. */
int cgroup_remove(int root_fd, const char *name) _must_check_;

/**
 * cgroup_open_events() - descriptor that tells when the group empties
 * @cgroup_fd:  folder of the group
 *
 * Wait for EPOLLPRI on it and then call cgroup_is_populated().
 *
 * Return: a descriptor owned by the caller, or a negative errno.
 */
int cgroup_open_events(int cgroup_fd) _must_check_;

/* @events_fd is from cgroup_open_events(). Return: 1, 0, or a negative errno. */
int cgroup_is_populated(int events_fd) _must_check_;

/* Return: 1 if @pid is in the very group, 0 if not, or a negative errno. */
int cgroup_has_process(int cgroup_fd, pid_t pid) _must_check_;

/* Counters of the group; zero where the controller is missing. Return: 0 or a negative errno. */
int cgroup_read_counters(int cgroup_fd, CgroupCounters *ret) _must_check_;
