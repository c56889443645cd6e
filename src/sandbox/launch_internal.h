/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a launch and a ps:exec do alike around their child. */

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "sandbox/child_report.h"
#include "sandbox/sandbox_internal.h"

typedef struct LaunchPipes {
        int report_read, report_write; /* the child's records */
        int go_read, go_write;         /* INIT_FD_GO */
} LaunchPipes;

#define LAUNCH_PIPES_INIT                                                                          \
        { .report_read = -EBADF, .report_write = -EBADF, .go_read = -EBADF, .go_write = -EBADF }

int launch_pipes_open(LaunchPipes *ret) _must_check_;
void launch_pipes_close(LaunchPipes *pipes);
/* After the fork: only the child holds its ends then, so that the pipe ends with it. */
void launch_pipes_close_child(LaunchPipes *pipes);

/**
 * launch_take_report() - read what the child reports, without waiting
 * @pipes:    report_read is used
 * @ready:    false before the first call; then what is known so far
 * @ret:      the last report
 * @reterr:   filled on failure
 *
 * Return: 0 when it has executed dyno-init, -EAGAIN, or another negative errno.
 */
int launch_take_report(LaunchPipes *pipes, bool *ready, ChildReport *ret, SandboxError *reterr)
        _must_check_;

/* Tells dyno-init to go on. */
int launch_go(const LaunchPipes *pipes, SandboxError *reterr) _must_check_;
