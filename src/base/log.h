/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * dynod's own log: one line per call on stderr, as sd-daemon(3) wants it.
 *
 * Under systemd (JOURNAL_STREAM is set) a line starts with its priority, "<4>";
 * elsewhere with the program's name. Only the edges of a process log (its main
 * loop, its event callbacks); everything below returns an error instead.
 */

#include <stdbool.h>
#include <syslog.h>

#include "base/cleanup.h"

/**
 * log_open() - name this process in its log lines
 * @program:  e.g. "dynod-logger"; borrowed for the life of the process
 * @debug:    also write LOG_DEBUG lines
 */
void log_open(const char *program, bool debug);

/* Writes one line at @priority (LOG_ERR, …), control characters replaced. %m is errno. */
void log_message(int priority, const char *fmt, ...) _printf_(2, 3);

/* Logs @r (a negative errno) as %m and returns it: `return log_error_errno(r, "…: %m");` */
int log_error_errno(int r, const char *fmt, ...) _printf_(2, 3);
int log_warning_errno(int r, const char *fmt, ...) _printf_(2, 3);

#define log_error(...) log_message(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_message(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_message(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_DEBUG, __VA_ARGS__)
