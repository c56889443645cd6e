/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "base/parse.h"
#include "cli/log_filter.h"
#include "cli/text.h"
#include "dynod/bus.h"

static int set_since(LogFilter *filter, const char *text, uint64_t now, Failure *reterr) {
        uint64_t ago;

        if (text_parse_time(text, &filter->since_usec) == 0)
                return 0;
        if (parse_duration(text, &ago) < 0) {
                failure_setf(
                        reterr,
                        DYNOD_ERROR_USAGE,
                        "--since wants a time span such as 10m or a time such as "
                        "2026-11-23T19:19:31Z, not \"%s\".",
                        text);
                return -1;
        }
        filter->since_usec = now > ago ? now - ago : 0;
        return 0;
}

int log_filter_init(LogFilter *ret, const Invocation *invocation, Failure *reterr) {
        const OptionValue *options = invocation->options;

        *ret = (LogFilter){};
        if (options[OPT_PS].set)
                ret->ps = options[OPT_PS].text;
        if (options[OPT_SOURCE].set) {
                for (LogSource s = LOG_FROM_APP; s < _LOG_SOURCE_MAX; s++)
                        if (strcmp(options[OPT_SOURCE].text, log_source_to_string(s)) == 0)
                                ret->source = s;
                if (ret->source == 0) {
                        failure_setf(
                                reterr,
                                DYNOD_ERROR_USAGE,
                                "--source is app or heroku, not \"%s\".",
                                options[OPT_SOURCE].text);
                        return -1;
                }
        }
        if (options[OPT_SINCE].set &&
            set_since(ret, options[OPT_SINCE].text, invocation->output->now_usec, reterr) < 0)
                return -1;
        if (options[OPT_GREP].set) {
                char why[128];
                int r = regcomp(&ret->grep, options[OPT_GREP].text, REG_EXTENDED | REG_NOSUB);

                if (r != 0) {
                        (void)regerror(r, &ret->grep, why, sizeof(why));
                        failure_setf(
                                reterr,
                                DYNOD_ERROR_USAGE,
                                "--grep \"%s\" is not a regular expression: %s.",
                                options[OPT_GREP].text,
                                why);
                        return -1;
                }
                ret->grep_set = true;
        }
        return 0;
}

void log_filter_clear(LogFilter *filter) {
        if (filter->grep_set)
                regfree(&filter->grep);
        filter->grep_set = false;
}

bool log_filter_is_set(const LogFilter *filter) {
        return filter->ps || filter->source != 0 || filter->since_usec > 0 || filter->grep_set;
}

static bool procid_matches(const char *procid, const char *ps) {
        size_t len = strlen(ps);

        return strncmp(procid, ps, len) == 0 && (procid[len] == '\0' || procid[len] == '.');
}

bool log_filter_matches(const LogFilter *filter, const LogRecord *record, const char *text) {
        if (filter->ps && !procid_matches(record->procid, filter->ps))
                return false;
        if (filter->source != 0 && record->source != filter->source)
                return false;
        if (record->usec < filter->since_usec)
                return false;
        if (!filter->grep_set)
                return true;

        /* By its size: nothing hides behind a NUL. */
        regmatch_t whole = {.rm_so = 0, .rm_eo = record->text_size};
        return regexec(&filter->grep, text, 1, &whole, REG_STARTEND) == 0;
}
