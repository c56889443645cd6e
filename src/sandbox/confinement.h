/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The last stretch before dyno-init, the same for a launch and for ps:exec: from root of
 * the host in the dyno's namespaces to the dyno's user behind every layer.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "ipc/init_fds.h"
#include "sandbox/sandbox_internal.h"

#define CONFINEMENT_FDS (INIT_FD_MAX + 1)

typedef struct Confinement {
        const SandboxHost *host;
        uint32_t process_limit;
        int userns_fd;            /* the dyno's user namespace */
        int proc_fd;              /* procfs of the dyno's pid namespace */
        int fds[CONFINEMENT_FDS]; /* become 0 to INIT_FD_MAX; negative: /dev/null */
        int init_fd;              /* dyno-init */
        int report_fd;            /* for the caller's report; closed by the exec */
        bool spared;              /* by the OOM killer, to tell how the dyno ended */
} Confinement;

/**
 * confinement_enter() - take every layer on, in the order that works
 * @c:       what is needed; descriptors are used up
 * @reterr:  filled on failure
 *
 * Afterwards the process may do nothing but write to @c->report_fd and call
 * confinement_exec().
 *
 * Return: 0 or a negative errno: end the process then.
 */
int confinement_enter(Confinement *c, SandboxError *reterr) _must_check_;

/* Executes dyno-init. Returns only on failure: a negative errno. */
int confinement_exec(const Confinement *c, SandboxError *reterr) _must_check_;
