/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The life of one command: as PID 1 of a dyno, or beside one for `ps:exec`.
 *
 * One process, one loop, no thread, nothing allocated after the command was forked.
 * Everything in the dyno has our uid, so whatever comes from there is the app's word:
 * signals (even a queued one that says si_pid 0), resource limits set from outside, and
 * its pipe, by which it can keep us waiting (relay.h). All that the app gains by these is to
 * lose its own last lines or to end sooner, or to be killed by its cgroup instead of told to end.
 */

#include "base/cleanup.h"

/* What init_run() returns when the command never got as far as a fork. */
#define INIT_STATUS_FAILED 125

/**
 * init_run() - wait for dynod's word, run the command of INIT_FD_SPEC, see it to its end
 *
 * Expects the descriptors of ipc/init_fds.h, no thread, and not to be dumpable.
 *
 * Return: the exit status for this process, 0 to 255: the command's, as a shell, or
 * INIT_STATUS_FAILED.
 */
int init_run(void) _must_check_;
