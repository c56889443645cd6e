/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/parse.h"
#include "launcher/sizes.h"

/* Of the host's threads, for one dyno: its neighbours and the host have work, too. */
#define DYNO_PART 4
/* Heroku's smallest dyno: a host that cannot carry four of these is refused nothing. */
#define DYNO_LEAST 256

static double kill_per_quota(uint64_t memory_kill, uint64_t memory_quota) {
        return (double)memory_kill / (double)memory_quota;
}

void sizes_allow(SizeBounds *bounds, const Config *config) {
        assert(bounds);
        assert(config);

        for (size_t i = 0; i < config->n_sizes; i++) {
                const DynoSize *size = &config->sizes[i];
                double ratio = kill_per_quota(size->memory_kill, size->memory_quota);

                if (ratio > bounds->kill_per_quota)
                        bounds->kill_per_quota = ratio;
                if (size->process_limit > bounds->process_limit)
                        bounds->process_limit = size->process_limit;
                if (size->cpu_weight > bounds->cpu_weight_max)
                        bounds->cpu_weight_max = size->cpu_weight;
                if (size->cpu_weight < bounds->cpu_weight_min || bounds->cpu_weight_min == 0)
                        bounds->cpu_weight_min = size->cpu_weight;
        }
}

void sizes_set_host(SizeBounds *bounds, uint64_t tasks) {
        uint64_t part = tasks / DYNO_PART;

        if (part < DYNO_LEAST)
                part = DYNO_LEAST;
        bounds->host_processes = tasks == 0 || part > UINT32_MAX ? 0 : (uint32_t)part;
}

static int refuse(SandboxError *reterr, const char *what) {
        *reterr = (SandboxError){.layer = LAYER_LIMITS, .error = ERANGE};
        (void)snprintf(
                reterr->detail,
                sizeof(reterr->detail),
                "no size of the configuration has %s",
                what);
        return -ERANGE;
}

int sizes_check_start(const SizeBounds *bounds, const LaunchStart *start, SandboxError *reterr) {
        assert(bounds);
        assert(start->memory_quota > 0);

        if (kill_per_quota(start->memory_kill, start->memory_quota) > bounds->kill_per_quota &&
            start->memory_kill > start->memory_quota)
                return refuse(reterr, "so much memory beyond its quota");
        if (start->process_limit > bounds->process_limit)
                return refuse(reterr, "so many processes");
        if (start->cpu_weight > bounds->cpu_weight_max ||
            start->cpu_weight < bounds->cpu_weight_min)
                return refuse(reterr, "such a share of the processor");

        return 0;
}

void sizes_limit(const SizeBounds *bounds, LaunchStart *start) {
        if (bounds->host_processes != 0 && start->process_limit > bounds->host_processes)
                start->process_limit = bounds->host_processes;
}

static uint64_t read_number(const char *path) {
        char text[32];
        uint64_t number;

        if (read_text_at(AT_FDCWD, path, text, sizeof(text)) < 0)
                return UINT64_MAX;
        text[strcspn(text, "\n")] = '\0';
        return parse_u64(text, &number) < 0 ? UINT64_MAX : number;
}

uint64_t sizes_host_tasks(void) {
        uint64_t threads = read_number("/proc/sys/kernel/threads-max"),
                 pids = read_number("/proc/sys/kernel/pid_max"),
                 least = threads < pids ? threads : pids;

        return least == UINT64_MAX ? 0 : least;
}
