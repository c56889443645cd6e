/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <sys/resource.h>

#include "base/file.h"
#include "sandbox/limits.h"

static rlim_t lower(rlim_t wanted, rlim_t limit) {
        return wanted < limit ? wanted : limit;
}

/* Sets the soft limit to at most @soft and the hard one to at most @hard. */
static int set_limit(__rlimit_resource_t resource, rlim_t soft, rlim_t hard) {
        struct rlimit limit;

        if (getrlimit(resource, &limit) < 0)
                return -errno;
        limit.rlim_max = lower(hard, limit.rlim_max);
        limit.rlim_cur = lower(soft, limit.rlim_max);

        return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

int limits_apply(uint32_t process_limit) {
        const struct {
                __rlimit_resource_t resource;
                rlim_t soft, hard;
        } table[] = {
                {RLIMIT_NPROC, process_limit, process_limit},
                {RLIMIT_NOFILE, LIMITS_FILES, LIMITS_FILES},
                {RLIMIT_STACK, LIMITS_STACK, RLIM_INFINITY},
                {RLIMIT_MEMLOCK, LIMITS_MEMLOCK, LIMITS_MEMLOCK},
                {RLIMIT_SIGPENDING, LIMITS_SIGNALS, LIMITS_SIGNALS},
                {RLIMIT_MSGQUEUE, LIMITS_QUEUES, LIMITS_QUEUES},
                {RLIMIT_NICE, 0, 0},
                {RLIMIT_RTPRIO, 0, 0},
        };

        const struct rlimit core = {LIMITS_CORE, LIMITS_CORE};

        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
                int r = set_limit(table[i].resource, table[i].soft, table[i].hard);

                if (r < 0)
                        return r;
        }

        /* Exactly, also where dynod itself was started with 0. */
        return setrlimit(RLIMIT_CORE, &core) < 0 ? -errno : 0;
}

uint64_t limits_files(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return LIMITS_FILES;
        return lower(LIMITS_FILES, limit.rlim_max);
}

/*
 * Whoever writes oom_score_adj with CAP_SYS_RESOURCE also sets the lowest value that the
 * process and its children may return to without it: after -1000 an app could make
 * itself immune, and a host out of memory would kill others instead. So the lowest value
 * is set to 0 first; the older file oom_adj (-17 is -1000) then changes the score alone.
 */
int limits_set_oom_score(int proc_fd, bool spared) {
        int r;

        r = write_text_at(proc_fd, "self/oom_score_adj", "0");
        if (r < 0 || !spared)
                return r;

        return write_text_at(proc_fd, "self/oom_adj", "-17");
}
