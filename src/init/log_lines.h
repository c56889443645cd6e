/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * dyno-init's own log lines, which become heroku[...]: "Starting process with command".
 *
 * A line goes out with one write(2) of at most PIPE_BUF bytes, so that it is there whole
 * or not at all. The FIFO is non-blocking: a logger that stands still never stops PID 1.
 * What does not fit waits in a short queue; beyond that, lines are dropped.
 */

#include <limits.h>
#include <stddef.h>

#include "base/cleanup.h"

#define LOG_LINE_SIZE PIPE_BUF /* bytes, the newline included */
#define LOG_LINES_QUEUED_MAX 4 /* a dyno's life has three of them, and an error */

typedef struct LogLines {
        int fd; /* -EBADF: nothing is written */
        size_t n;
        size_t sizes[LOG_LINES_QUEUED_MAX];
        char lines[LOG_LINES_QUEUED_MAX][LOG_LINE_SIZE];
} LogLines;

/**
 * log_lines_open() - open a FIFO once more, for writing, non-blocking
 * @log:  filled
 * @fd:   the FIFO as inherited; its own flags belong to others too and stay
 *
 * Return: 0 or a negative errno.
 */
int log_lines_open(LogLines *log, int fd) _must_check_;

/**
 * log_lines_add() - write one line, or queue it
 * @log:    the log
 * @parts:  NULL-terminated; put one behind the other. Control characters are escaped, and
 *          the second is cut so that the line fits with all others whole
 */
void log_lines_add(LogLines *log, const char *const *parts);

/*
 * Writes what is queued. Return: 0 if nothing is left, -EAGAIN if the FIFO is full, -ENOMEM
 * if the dyno has no page left for it, which only its end may change.
 */
int log_lines_flush(LogLines *log);

/**
 * log_line_format() - make one line of parts
 * @ret:    filled, ends with a newline, not NUL-terminated
 * @parts:  as for log_lines_add()
 *
 * Return: bytes in @ret.
 */
size_t log_line_format(char ret[LOG_LINE_SIZE], const char *const *parts);
