/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which log lines are shown: --ps, --source, --since, --grep. */

#include <regex.h>

#include "cli/command.h"
#include "ipc/log_proto.h"

typedef struct LogFilter {
        const char *ps;   /* TYPE (matches TYPE and TYPE.N) or DYNO; NULL: all. Borrowed */
        LogSource source; /* 0: all */
        uint64_t since_usec;
        regex_t grep;
        bool grep_set;
} LogFilter;

/* Return: 0 or -1 with @reterr filled. */
int log_filter_init(LogFilter *ret, const Invocation *invocation, Failure *reterr);
void log_filter_clear(LogFilter *filter);
bool log_filter_is_set(const LogFilter *filter);

/* @text: record->text_size bytes and a NUL behind them. */
bool log_filter_matches(const LogFilter *filter, const LogRecord *record, const char *text);
