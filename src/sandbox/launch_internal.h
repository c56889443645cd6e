/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a launch and a ps:exec do alike around their child. */

#include "base/cleanup.h"
#include "base/parse.h"
#include "sandbox/child_report.h"
#include "sandbox/sandbox_internal.h"

/* A child that takes longer is stuck in the kernel: a start takes milliseconds. */
#define LAUNCH_TIMEOUT_USEC (10 * USEC_PER_SEC)

typedef struct LaunchPipes {
        int report_read, report_write; /* the child's records */
        int go_read, go_write;         /* INIT_FD_GO */
} LaunchPipes;

#define LAUNCH_PIPES_INIT                                                                          \
        { .report_read = -EBADF, .report_write = -EBADF, .go_read = -EBADF, .go_write = -EBADF }

int launch_pipes_open(LaunchPipes *ret) _must_check_;
void launch_pipes_close(LaunchPipes *pipes);

/* Waits until the child has executed dyno-init; closes the child's ends here. */
int launch_await_exec(LaunchPipes *pipes, ChildReport *ret, SandboxError *reterr) _must_check_;

/* Tells dyno-init to go on. */
int launch_go(const LaunchPipes *pipes, SandboxError *reterr) _must_check_;

/* Kills and reaps the process, if there is one. */
void launch_kill(SandboxDyno *dyno);
