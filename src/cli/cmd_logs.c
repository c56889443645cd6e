/* SPDX-License-Identifier: Apache-2.0 */

/*
 * `logs`: a stream of LogRecords, history first, then (with -t) what happens now.
 *
 * All filters are here: the logger sends what it has. The last -n lines that match are
 * kept until history ends; from then on a line is printed as it comes.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/names.h"
#include "base/parse.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/log_filter.h"
#include "cli/logs.h"
#include "cli/text.h"
#include "dynod/bus.h"
#include "ipc/log_proto.h"

#define LINES_DEFAULT 100            /* as `heroku logs` */
#define REOPEN_EVERY_NSEC 200000000L /* dynod starts a logger again within a second */
#define REOPEN_TRIES 50
#define LINES_MAX 1000000 /* lines that are kept at most: the history of a host has fewer */

typedef struct Logs {
        Output *output;
        FILE *out;
        LogFilter filter;
        bool all_apps;
        bool bare;     /* the text alone, without time and name */
        bool live;     /* history has ended */
        bool keep_all; /* history was shown before: what comes now is new */
        char **kept;   /* ring of the last n formatted lines */
        size_t n_kept, next, keep;
        uint64_t printed;
        uint64_t last_usec; /* of the newest line that was shown */
        size_t n_last;      /* lines of that time that were shown: a batch has one time */
        size_t skip;        /* … and come again, first of all, in a stream opened anew */
} Logs;

/* A palette that is readable on dark and on light. One colour per procid, stable over runs. */
static const char *procid_color(const Output *output, const char *procid) {
        static const char *const colors[] = {
                "\033[36m",
                "\033[33m",
                "\033[32m",
                "\033[35m",
                "\033[34m",
                "\033[96m",
                "\033[93m",
                "\033[92m",
                "\033[95m",
                "\033[94m",
        };

        return output->color ? colors[text_hash(procid) % ARRAY_SIZE(colors)] : "";
}

static char *format_json(const LogRecord *record, const char *text) {
        _cleanup_free_ char *utf8 = text_to_utf8(text, record->text_size);
        _cleanup_json_ struct json_object *line = json_object_new_object();
        char when[TEXT_TIME_SIZE];
        struct {
                const char *key, *value;
        } fields[] = {
                {"time", when},
                {"app", record->app},
                {"source", log_source_to_string(record->source)},
                {"procid", record->procid},
                {"message", utf8},
        };

        if (!utf8 || !line)
                return NULL;
        text_time_log(when, record->usec, /* json= */ true);
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                if (json_object_object_add(
                            line, fields[i].key, json_object_new_string(fields[i].value)) < 0)
                        return NULL;
        return json_format(line, /* line= */ true);
}

/* As it is, but for NUL, which would hide what is behind it. */
static char *copy_text(const char *text, size_t size) {
        char *copy = malloc(size + 1);

        if (!copy)
                return NULL;
        memcpy(copy, text, size);
        for (size_t i = 0; i < size; i++)
                if (copy[i] == '\0')
                        copy[i] = '?';
        copy[size] = '\0';
        return copy;
}

/* Bytes as they are for a pipe or a file, harmless ones for a terminal. */
static char *format_line(const Logs *logs, const LogRecord *record, const char *text) {
        _cleanup_free_ char *clean = NULL;
        char when[TEXT_TIME_SIZE];
        char *line = NULL;
        bool terminal = logs->output->out_terminal || logs->out == logs->output->err;

        if (logs->bare)
                return text_clean(text, record->text_size);
        if (logs->output->json)
                return format_json(record, text);

        clean = terminal ? text_clean(text, record->text_size) : copy_text(text, record->text_size);
        if (!clean)
                return NULL;
        text_time_log(when, record->usec, /* json= */ false);
        if (asprintf(
                    &line,
                    "%s%s %s%s%s[%s]:%s %s",
                    procid_color(logs->output, record->procid),
                    when,
                    logs->all_apps ? record->app : "",
                    logs->all_apps ? " " : "",
                    log_source_to_string(record->source),
                    record->procid,
                    output_plain(logs->output),
                    clean) < 0)
                return NULL;
        return line;
}

static void print_line(Logs *logs, const char *line) {
        (void)fputs(line, logs->out);
        (void)fputc('\n', logs->out);
        logs->printed++;
}

static void flush_kept(Logs *logs) {
        size_t n = logs->n_kept < logs->keep ? logs->n_kept : logs->keep;
        size_t first = logs->n_kept < logs->keep ? 0 : logs->next;

        for (size_t i = 0; i < n; i++) {
                char **slot = &logs->kept[(first + i) % logs->keep];

                print_line(logs, *slot);
                free(TAKE_PTR(*slot));
        }
        logs->n_kept = logs->next = 0;
}

/* Counts the line. Return: whether it was shown from a stream before. */
static bool is_repeated(Logs *logs, const LogRecord *record) {
        if (record->usec > logs->last_usec) {
                logs->last_usec = record->usec;
                logs->n_last = logs->skip = 0;
        }
        if (record->usec == logs->last_usec && logs->skip > 0) {
                logs->skip--;
                return true;
        }
        logs->n_last += record->usec == logs->last_usec;
        return false;
}

static int take_record(Logs *logs, const LogRecord *record, const char *text) {
        _cleanup_free_ char *line = NULL;

        if (strcmp(record->procid, LOG_PROCID_LIVE) == 0 && record->text_size == 0) {
                if (!logs->bare)
                        flush_kept(logs);
                logs->live = true;
                return 0;
        }
        if (!log_filter_matches(&logs->filter, record, text))
                return 0;
        if (is_repeated(logs, record))
                return 0;
        line = format_line(logs, record, text);
        if (!line)
                return -ENOMEM;
        if (logs->live || logs->keep_all) {
                print_line(logs, line);
                return 0;
        }
        if (logs->keep == 0)
                return 0;
        free(logs->kept[logs->next]);
        logs->kept[logs->next] = TAKE_PTR(line);
        logs->next = (logs->next + 1) % logs->keep;
        logs->n_kept++;
        return 0;
}

/* Return: 1, 0 at the end of the stream before the first byte, or a negative errno. */
static int read_fully(int fd, void *buf, size_t size) {
        size_t have = 0;

        while (have < size) {
                ssize_t n = read(fd, (char *)buf + have, size - have);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return have == 0 ? 0 : -EPIPE;
                have += (size_t)n;
        }
        return 1;
}

/* A buffered reader would hold live lines back; records are small and reads are cheap. */
static int read_stream(Logs *logs, int fd) {
        for (;;) {
                char text[LOG_TEXT_MAX + 1];
                LogRecord record;
                int r;

                r = read_fully(fd, &record, sizeof(record));
                if (r <= 0)
                        return r;
                r = log_record_check(&record);
                if (r < 0)
                        return r;
                r = record.text_size > 0 ? read_fully(fd, text, record.text_size) : 1;
                if (r <= 0)
                        return r < 0 ? r : -EPIPE;
                text[record.text_size] = '\0';
                r = take_record(logs, &record, text);
                if (r < 0)
                        return r;
                if (logs->live && fflush(logs->out) != 0)
                        return -EPIPE;
        }
}

static int
open_stream(Invocation *invocation, const char *app, bool follow, int *ret_fd, Failure *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        int fd, r;

        r = client_message(invocation->client, &m, "Logs");
        if (r >= 0)
                r = sd_bus_message_append(m, "sb", app ?: "", follow);
        if (r < 0)
                return cli_internal_error(reterr, r);
        if (client_send(invocation->client, m, &reply, reterr) < 0)
                return -1;
        r = sd_bus_message_read(reply, "h", &fd);
        if (r < 0)
                return cli_internal_error(reterr, r);
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return cli_internal_error(reterr, -errno);
        *ret_fd = fd;
        return 0;
}

static int logs_begin(Logs *logs, size_t keep) {
        logs->keep = keep > LINES_MAX ? LINES_MAX : keep;
        logs->kept = calloc(logs->keep + 1, sizeof(char *));
        return logs->kept ? 0 : -ENOMEM;
}

static void logs_end(Logs *logs) {
        for (size_t i = 0; logs->kept && i < logs->keep; i++)
                free(logs->kept[i]);
        free(logs->kept);
        log_filter_clear(&logs->filter);
}

int logs_print_last(Invocation *invocation, const char *dyno, size_t n, FILE *out) {
        Logs logs = {.output = invocation->output, .out = out};
        _cleanup_failure_ Failure ignored = FAILURE_INIT;
        _cleanup_close_ int fd = -EBADF;
        int r;

        logs.filter.ps = dyno;
        r = logs_begin(&logs, n);
        if (r == 0 &&
            open_stream(invocation, invocation->app, /* follow= */ false, &fd, &ignored) < 0)
                r = -EIO;
        if (r == 0)
                r = read_stream(&logs, fd);
        if (r == 0)
                flush_kept(&logs);
        logs_end(&logs);
        return r;
}

char *logs_last_words(Invocation *invocation, const char *app, const char *dyno) {
        Logs logs = {.output = invocation->output, .out = invocation->output->out, .bare = true};
        _cleanup_failure_ Failure ignored = FAILURE_INIT;
        _cleanup_close_ int fd = -EBADF;
        char *words = NULL;

        logs.filter.ps = dyno;
        logs.filter.source = LOG_FROM_APP;
        if (logs_begin(&logs, 1) == 0 &&
            open_stream(invocation, app, /* follow= */ false, &fd, &ignored) == 0 &&
            read_stream(&logs, fd) == 0)
                words = TAKE_PTR(logs.kept[0]);
        logs_end(&logs);
        return words;
}

/* The app is silent: say so, and how long it has been up. */
static void explain_silence(Invocation *invocation) {
        _cleanup_json_ struct json_object *dynos = NULL;
        _cleanup_failure_ Failure ignored = FAILURE_INIT;
        uint64_t since;

        if (invocation->output->quiet || invocation->output->json || !invocation->app ||
            client_call(invocation->client, &dynos, &ignored, "ListDynos", "s", invocation->app) <
                    0)
                return;
        for (size_t i = 0; i < json_length(dynos); i++) {
                struct json_object *dyno = json_at(dynos, i);
                char age[TEXT_NUMBER_SIZE];

                if (strcmp(json_text(dyno, "state"), "up") != 0 ||
                    text_parse_time(json_text(dyno, "since"), &since) < 0)
                        continue;
                text_age(
                        age,
                        invocation->output->now_usec > since ? invocation->output->now_usec - since
                                                             : 0);
                output_note(
                        invocation->output,
                        "No log lines. %s has been up for %s and wrote nothing to stdout or "
                        "stderr.",
                        json_text(dyno, "name"),
                        age);
                return;
        }
        output_note(
                invocation->output, "No log lines yet, and no dyno of %s is up.", invocation->app);
}

/*
 * The stream ends with the logger, which dynod starts again within a second; nothing was
 * lost meanwhile, so it goes on behind the last line that was shown.
 */
static int reopen_stream(Invocation *invocation, Logs *logs, int *ret_fd) {
        const struct timespec pause = {.tv_nsec = REOPEN_EVERY_NSEC};

        logs->filter.since_usec =
                logs->last_usec > 0 ? logs->last_usec : invocation->output->now_usec;
        logs->skip = logs->n_last;
        logs->keep_all = true;
        logs->live = false;
        for (unsigned i = 0; i < REOPEN_TRIES; i++) {
                _cleanup_failure_ Failure ignored = FAILURE_INIT;

                (void)nanosleep(&pause, NULL);
                invocation->client = client_free(invocation->client);
                if (client_connect(
                            &invocation->client, invocation->options[OPT_SOCKET].text, &ignored) ==
                            0 &&
                    open_stream(
                            invocation, invocation->app, /* follow= */ true, ret_fd, &ignored) == 0)
                        return 0;
        }
        return -ECONNREFUSED;
}

static int follow_stream(Invocation *invocation, Logs *logs, int *fd) {
        int r;

        do {
                r = read_stream(logs, *fd);
                if (r < 0 && r != -EPIPE && r != -ECONNRESET)
                        return r;
                if (ferror(logs->out))
                        return 0; /* whoever read our output is gone */
                *fd = safe_close(*fd);
        } while (reopen_stream(invocation, logs, fd) == 0);

        return -ECONNRESET;
}

static int show_logs(Invocation *invocation, Logs *logs, bool follow, int *fd) {
        int r = follow ? follow_stream(invocation, logs, fd) : read_stream(logs, *fd);

        if (r < 0)
                return r;
        flush_kept(logs);
        if (logs->printed == 0 && logs->keep > 0 && !follow && !log_filter_is_set(&logs->filter))
                explain_silence(invocation);
        return 0;
}

int cmd_logs(Invocation *invocation, Failure *reterr) {
        const OptionValue *num = &invocation->options[OPT_NUM];
        Logs logs = {
                .output = invocation->output,
                .out = invocation->output->out,
                .all_apps = !invocation->app,
        };
        bool follow = option_is_set(invocation, OPT_TAIL);
        uint64_t keep = LINES_DEFAULT;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (num->set)
                keep = num->number;
        else if (option_is_set(invocation, OPT_SINCE))
                keep = LINES_MAX;
        if (log_filter_init(&logs.filter, invocation, reterr) < 0)
                return -1;
        if (open_stream(invocation, invocation->app, follow, &fd, reterr) < 0) {
                logs_end(&logs);
                return -1;
        }
        r = logs_begin(&logs, keep);
        if (r == 0)
                r = show_logs(invocation, &logs, follow, &fd);
        logs_end(&logs);
        if (r == -EBADMSG || r == -EPIPE || r == -ECONNRESET) {
                failure_set(
                        reterr,
                        DYNOD_ERROR_UNREACHABLE,
                        "The log stream broke off.\nTry again: herokuctl logs");
                return -1;
        }
        return r < 0 ? cli_internal_error(reterr, r) : 0;
}
