/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Resource limits (setrlimit(2)) of a dyno, and its place in the eyes of the OOM killer. */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

/*
 * Bytes. A core would hold config vars. One byte is too few for any file, and, other than
 * 0, keeps the kernel from starting the host's handler ("|" in core_pattern) as root with
 * what a tenant wrote: do_coredump() in fs/coredump.c, core(5).
 */
#define LIMITS_CORE 1U

/*
 * Pending signals and POSIX timers; eight times what POSIX promises (_POSIX_TIMER_MAX). A timer
 * whose signal is ignored goes off in each of the kernel's ticks, up to Linux 6.12, in an
 * interrupt that no weight bounds: half a microsecond, 250 times a second each.
 */
#define LIMITS_SIGNALS 256U

#define LIMITS_FILES 10000U                  /* Heroku's ulimit -n */
#define LIMITS_MEMLOCK (UINT64_C(8) << 20)   /* bytes; systemd's default */
#define LIMITS_QUEUES 819200U                /* bytes of POSIX queues; the kernel's default */
#define LIMITS_STACK (8 * UINT64_C(1048576)) /* bytes, Linux's and Heroku's usual; soft only */

/**
 * limits_apply() - set this process's limits, inherited by everything in the dyno
 * @process_limit:  processes and threads of the dyno's uid: Heroku's `ulimit -u`
 *
 * Only ever lowers, but for a core limit of 0: needs no capability unless started with that.
 */
int limits_apply(uint32_t process_limit) _must_check_;

/* LIMITS_FILES, or less where this process may not have that many. */
uint64_t limits_files(void);

/**
 * limits_set_oom_score() - the score of this process and its children, and the lowest they may set
 * @proc_fd:  procfs of the own pid namespace
 * @spared:   keep the OOM killer away from this process: -1000, which its children can leave
 *            for 0 but not come back to
 *
 * Needs CAP_SYS_RESOURCE.
 */
int limits_set_oom_score(int proc_fd, bool spared) _must_check_;
