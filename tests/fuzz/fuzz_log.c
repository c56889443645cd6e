/* SPDX-License-Identifier: Apache-2.0 */

/* In place of base/log.c: lines are made, so that their making is fuzzed too, and dropped. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

static void format(const char *fmt, va_list ap) _printf_(1, 0);
static void format(const char *fmt, va_list ap) {
        static char line[2048];

        (void)vsnprintf(line, sizeof(line), fmt, ap);
        if (getenv("FUZZ_LOG")) /* to look at one input */
                (void)fprintf(stderr, "log: %s\n", line);
}

void log_open(const char *program, bool debug) {
        (void)program;
}

#define FORMAT(error)                                                                              \
        do {                                                                                       \
                va_list ap;                                                                        \
                                                                                                   \
                errno = (error);                                                                   \
                va_start(ap, fmt);                                                                 \
                format(fmt, ap);                                                                   \
                va_end(ap);                                                                        \
        } while (0)

void log_message(int priority, const char *fmt, ...) {
        FORMAT(errno);
}

int log_error_errno(int r, const char *fmt, ...) {
        FORMAT(r < 0 ? -r : r);
        return r;
}

int log_warning_errno(int r, const char *fmt, ...) {
        FORMAT(r < 0 ? -r : r);
        return r;
}
