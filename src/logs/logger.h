/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The logger process: one epoll loop over the dynos' FIFOs, the folder in which dynos
 * appear, the supervisor's channel and the clients' streams.
 */

#include "base/cleanup.h"

typedef struct Logger Logger;

/**
 * logger_new() - open what is needed, read nothing yet
 * @ret:         owned by the caller
 * @logs_dir:    the logger's own folder, absolute; exists
 * @dynos_dir:   the folder in which dynos appear, absolute; exists
 * @channel_fd:  channel from the supervisor; owned by the logger from success on
 *
 * Blocks SIGTERM and SIGINT, which end logger_run() from then on.
 *
 * Return: 0 or a negative errno.
 */
int logger_new(Logger **ret, const char *logs_dir, const char *dynos_dir, int channel_fd)
        _must_check_;

/* Answers root's questions (ipc/watchdog.h) there; owned by the logger from success on. */
int logger_set_watchdog(Logger *logger, int watchdog_fd) _must_check_;

Logger *logger_free(Logger *logger);
DEFINE_CLEANUP(Logger, logger_free)

/* The folders, for Landlock; borrowed. */
int logger_logs_fd(const Logger *logger);
int logger_dynos_fd(const Logger *logger);

/**
 * logger_run() - take over what an earlier logger left, then serve until told to stop
 *
 * Return: 0 (SIGTERM, or the supervisor is gone), or a negative errno: it cannot go on.
 */
int logger_run(Logger *logger) _must_check_;
