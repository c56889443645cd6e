/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a dyno may have at most, whatever the supervisor asks for: no more than the sizes of
 * the configuration give. The sum of the quotas is bounded by memory_overcommit; how far
 * beyond its quota a dyno gets, how much of the processor, and how many processes, here.
 */

#include "config/config.h"
#include "ipc/launch_proto.h"
#include "sandbox/sandbox.h"

typedef struct SizeBounds {
        double kill_per_quota; /* R15 point by R14 line */
        uint32_t process_limit;
        uint32_t cpu_weight_min, cpu_weight_max;
        uint32_t host_processes; /* no dyno gets more on this host; 0: not known */
} SizeBounds;

/* Allows what any size of @config has, too. Never takes anything back: starts may be under way. */
void sizes_allow(SizeBounds *bounds, const Config *config);

/* For @tasks threads that the kernel has at most. */
void sizes_set_host(SizeBounds *bounds, uint64_t tasks);

/* Return: 0, or -ERANGE with @reterr filled. */
int sizes_check_start(const SizeBounds *bounds, const LaunchStart *start, SandboxError *reterr)
        _must_check_;

/* Lowers what is too much for this host alone. */
void sizes_limit(const SizeBounds *bounds, LaunchStart *start);

/* Threads that this host's kernel has at most; 0 if it does not say. */
uint64_t sizes_host_tasks(void);

/* Of those, what all dynos may have together: the rest is the host's. */
static inline uint64_t sizes_all_dynos(uint64_t tasks) {
        return tasks / 4 * 3;
}
