/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reading the layers of a process back from the kernel, for the check before a dyno's
 * first instruction and for `ps:inspect`.
 */

#include "base/cleanup.h"
#include "sandbox/sandbox_internal.h"

typedef enum InspectScope {
        INSPECT_DYNO, /* dyno-init as PID 1 */
        INSPECT_EXEC, /* a further process inside */
} InspectScope;

/**
 * inspect_process() - read all layers of a process
 * @host:    host
 * @dyno:    pid, pidfd and cgroup_fd of the dyno, or of the exec with the dyno's cgroup_fd
 * @expect:  what is compared with
 * @scope:   which process it is
 * @ret:     one report per layer
 *
 * Return: 0, -ESRCH if the process is gone, or a negative errno.
 */
int inspect_process(
        const SandboxHost *host,
        const SandboxDyno *dyno,
        const SandboxExpect *expect,
        InspectScope scope,
        LaunchLayerReport ret[_LAYER_MAX]) _must_check_;

/* Fails with the first failed layer of @reports: -EPROTO and @reterr; 0 if there is none. */
int inspect_verdict(const LaunchLayerReport reports[_LAYER_MAX], SandboxError *reterr) _must_check_;
