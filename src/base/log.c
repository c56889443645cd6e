/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* Longer lines are cut: journald's LineMax is 48K, and a line of ours is a sentence. */
#define LOG_LINE_MAX 2048

static const char *log_program = "dynod";
static bool log_debug_enabled;
static bool log_to_journal;

void log_open(const char *program, bool debug) {
        log_program = program;
        log_debug_enabled = debug;
        log_to_journal = getenv("JOURNAL_STREAM") != NULL;
}

static void log_messagev(int priority, const char *fmt, va_list ap) _printf_(2, 0);
static void log_messagev(int priority, const char *fmt, va_list ap) {
        char line[LOG_LINE_MAX];
        int saved = errno;
        int n;

        if (priority == LOG_DEBUG && !log_debug_enabled)
                return;

        if (log_to_journal)
                n = snprintf(line, sizeof(line), "<%d>", priority);
        else
                n = snprintf(line, sizeof(line), "%s: ", log_program);
        if (n < 0)
                return;

        errno = saved;
        (void)vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);

        /* Names and texts of others may stand in the line: it must stay one line. */
        for (char *p = line; *p; p++)
                if ((unsigned char)*p < ' ' || *p == 0x7f)
                        *p = '?';

        n = (int)strlen(line);
        line[n] = '\n';
        (void)!write(STDERR_FILENO, line, (size_t)n + 1);
        errno = saved;
}

void log_message(int priority, const char *fmt, ...) {
        va_list ap;

        va_start(ap, fmt);
        log_messagev(priority, fmt, ap);
        va_end(ap);
}

int log_error_errno(int r, const char *fmt, ...) {
        va_list ap;

        errno = r < 0 ? -r : r;
        va_start(ap, fmt);
        log_messagev(LOG_ERR, fmt, ap);
        va_end(ap);
        return r;
}

int log_warning_errno(int r, const char *fmt, ...) {
        va_list ap;

        errno = r < 0 ? -r : r;
        va_start(ap, fmt);
        log_messagev(LOG_WARNING, fmt, ap);
        va_end(ap);
        return r;
}
