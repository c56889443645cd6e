/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <signal.h>
#include <stdbool.h>

/*
 * The descriptors that dyno-init is started with. Those from 3 on never reach the app.
 *
 * The launcher starts dyno-init with argv {"dyno-init"} and an empty environment. Being
 * PID 1 it waits on INIT_FD_GO before it does anything: dynod reads every layer back
 * first (rule 2), then sends one INIT_GO byte. End of file there means: die.
 *
 * Orders come as signals queued by dynod, si_value holding an InitOrder
 * (pidfd_send_signal(2) with SI_QUEUE), because a dynod that was started later has no
 * socket to an older dyno. Descriptors that a mode does not use are /dev/null.
 */

#define INIT_FD_SPEC 3     /* the sealed DynoSpec */
#define INIT_FD_GO 4       /* read end of a pipe */
#define INIT_FD_STATUS 5   /* StatusRecord file, read-write */
#define INIT_FD_APP_FIFO 6 /* for what the app writes, O_RDWR: kept open and never read */
#define INIT_FD_LOG_FIFO 7 /* dyno-init's own FIFO, O_RDWR: its lines become heroku[...] */
#define INIT_FD_ATTACH 8   /* attach socket, or /dev/null */
#define INIT_FD_DEATH 9 /* ps:exec: a pipe that dynod keeps; end of file: dynod is gone, ignored */
#define INIT_FD_MAX 9

#define INIT_GO 'g'

/*
 * Carries an InitOrder. A real-time signal: the kernel would merge two pending SIGUSR1,
 * and the app, having the same uid, could keep one pending for ever. With RLIMIT_SIGPENDING
 * used up by the app, sending fails with EAGAIN: what is for all dynod then sends as a plain
 * signal, which always gets through and is understood as "that one to all"
 * (init_is_plain_order()); what is for the command alone fails. Killing goes by the cgroup.
 */
#define INIT_ORDER_SIGNAL SIGRTMIN
#define INIT_ORDER(target, signo) ((int)(target) << 8 | (int)(signo)) /* SignalTarget, 1 to 31 */
#define INIT_ORDER_END 0                                              /* end now, drained or not */

/* True for the signals by which programs are told to end, reload or dump. */
static inline bool init_is_plain_order(int signo) {
        return signo == SIGTERM || signo == SIGINT || signo == SIGQUIT || signo == SIGHUP ||
               signo == SIGUSR1 || signo == SIGUSR2;
}
