/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where a dyno's bytes are cut into lines: at each newline, and after LOG_TEXT_MAX
 * bytes without one. Pure functions over a buffer; the bytes themselves stay as they
 * are, only a newline can never be part of a line.
 */

#include <stdbool.h>
#include <stddef.h>

typedef struct LogFrame {
        size_t text_size; /* bytes of the line, at most LOG_TEXT_MAX */
        size_t used;      /* bytes to go on behind: the line, and its newline if it had one */
} LogFrame;

/**
 * log_frame_next() - find the first line
 * @buf:   bytes
 * @size:  how many
 * @last:  nothing will follow them: what has no newline is a line, too
 * @ret:   set if there is a line
 *
 * Return: true if there is one. False: more bytes are needed, at most
 * LOG_TEXT_MAX + 1 altogether.
 */
bool log_frame_next(const char *buf, size_t size, bool last, LogFrame *ret);

/* The number of lines that log_frame_next() finds, one after the other. */
size_t log_frame_count(const char *buf, size_t size, bool last);
