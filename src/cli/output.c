/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/parse.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/text.h"
#include "dynod/bus.h"
#include "dynod/exit_status.h"

#define PROGRESS_AFTER_USEC (USEC_PER_SEC / 2)
#define PROGRESS_EVERY_USEC (USEC_PER_SEC / 10)

void failure_clear(Failure *failure) {
        free(failure->name);
        free(failure->message);
        free(failure->hint);
        *failure = (Failure)FAILURE_INIT;
}

void failure_set(Failure *failure, const char *name, const char *message) {
        char *text = strdup(message);
        char *newline = text ? strchr(text, '\n') : NULL;

        failure_clear(failure);
        if (newline) {
                *newline = '\0';
                failure->hint = strdup(newline + 1);
        }
        failure->name = strdup(name);
        failure->message = text;
}

void failure_setf(Failure *failure, const char *name, const char *fmt, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int r;

        va_start(ap, fmt);
        r = vasprintf(&text, fmt, ap);
        va_end(ap);
        if (r < 0)
                text = NULL;
        failure_set(failure, name, text ?: "Out of memory.");
}

int failure_exit_status(const Failure *failure) {
        static const struct {
                const char *name;
                int status;
        } table[] = {
                {DYNOD_ERROR_NOT_PERMITTED, DYNOD_EXIT_NOT_PERMITTED},
                {DYNOD_ERROR_TIMED_OUT, DYNOD_EXIT_TIMED_OUT},
                {DYNOD_ERROR_UNREACHABLE, DYNOD_EXIT_UNREACHABLE},
                {DYNOD_ERROR_USAGE, DYNOD_EXIT_USAGE},
        };

        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if (failure->name && strcmp(failure->name, table[i].name) == 0)
                        return table[i].status;
        return DYNOD_EXIT_FAILED;
}

/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
#define ENV(name) getenv(name)

void output_init(Output *output) {
        const char *no_color = ENV("NO_COLOR"), *term = ENV("TERM");
        struct winsize size = {};

        *output = (Output){
                .out = stdout,
                .err = stderr,
                .out_terminal = isatty(STDOUT_FILENO) == 1,
                .err_terminal = isatty(STDERR_FILENO) == 1,
                .now_usec = clock_realtime_usec(),
        };
        output->color = output->out_terminal && !(no_color && *no_color) &&
                        !(term && strcmp(term, "dumb") == 0);
        if (output->out_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
                output->width = size.ws_col;
}

const char *output_color(const Output *output, Color color) {
        static const char *const codes[_COLOR_MAX] = {
                [COLOR_NONE] = "",
                [COLOR_BOLD] = "\033[1m",
                [COLOR_DIM] = "\033[2m",
                [COLOR_RED] = "\033[31m",
                [COLOR_GREEN] = "\033[32m",
                [COLOR_YELLOW] = "\033[33m",
        };

        assert(color < _COLOR_MAX);

        return output->color ? codes[color] : "";
}

const char *output_plain(const Output *output) {
        return output->color ? "\033[0m" : "";
}

static void failure_print_json(Output *output, const Failure *failure) {
        struct json_object *object = json_object_new_object();
        const char *texts[] = {failure->name, failure->message, failure->hint};
        static const char *const keys[] = {"error", "message", "hint"};

        for (size_t i = 0; object && i < ARRAY_SIZE(keys); i++) {
                _cleanup_free_ char *text = NULL;

                if (texts[i])
                        text = text_to_utf8(texts[i], strlen(texts[i]));
                (void)json_object_object_add(
                        object, keys[i], text ? json_object_new_string(text) : NULL);
        }
        json_print(object, output->err, /* line= */ true);
        (void)json_object_put(object);
}

void output_failure(Output *output, const Failure *failure) {
        _cleanup_free_ char *message = NULL, *hint = NULL;
        bool red = output->err_terminal && output->color;
        bool command;

        (void)fflush(output->out);
        if (output->json) {
                failure_print_json(output, failure);
                return;
        }

        /* names and lines of tenants stand in errors too */
        message = text_clean(
                failure->message ?: "Out of memory.", strlen(failure->message ?: "Out of memory."));
        hint = failure->hint ? text_clean(failure->hint, strlen(failure->hint)) : NULL;
        command = hint && (strncmp(hint, "herokuctl ", 10) == 0 || strncmp(hint, "sudo ", 5) == 0);
        (void)fprintf(
                output->err,
                "%s !    %s%s%s%s%s\n",
                red ? "\033[31m" : "",
                red ? "\033[0m" : "",
                message ?: "",
                hint && *hint ? " " : "",
                command ? "Try: " : "",
                hint ?: "");
}

static char *format_clean(const char *fmt, va_list ap) _printf_(1, 0);
static char *format_clean(const char *fmt, va_list ap) {
        _cleanup_free_ char *text = NULL;

        if (vasprintf(&text, fmt, ap) < 0) {
                text = NULL;
                return NULL;
        }
        return text_clean(text, strlen(text));
}

void output_note(Output *output, const char *fmt, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        if (output->quiet || output->json)
                return;
        va_start(ap, fmt);
        text = format_clean(fmt, ap);
        va_end(ap);
        (void)fprintf(output->err, "%s\n", text ?: "");
}

static bool action_is_silent(const Action *action) {
        return action->output->quiet || action->output->json;
}

void action_begin(Action *action, const char *fmt, ...) {
        va_list ap;

        action_clear(action);
        va_start(ap, fmt);
        action->title = format_clean(fmt, ap);
        va_end(ap);
        action->started_usec = clock_boottime_usec();
        action->drawn_usec = 0;

        if (action->title && action->output->err_terminal && !action_is_silent(action)) {
                (void)fprintf(action->output->err, "%s... ", action->title);
                (void)fflush(action->output->err);
        }
}

uint64_t action_duration(const Action *action) {
        return clock_boottime_usec() - action->started_usec;
}

void action_progress(Action *action, const char *text) {
        uint64_t now = clock_boottime_usec();
        _cleanup_free_ char *clean = NULL;

        if (!action->title || !action->output->err_terminal || action_is_silent(action))
                return;
        if (now - action->started_usec < PROGRESS_AFTER_USEC ||
            now - action->drawn_usec < PROGRESS_EVERY_USEC)
                return;

        action->drawn_usec = now;
        clean = text_clean(text, strlen(text));
        (void)fprintf(action->output->err, "\r\033[K%s... %s", action->title, clean ?: "");
        (void)fflush(action->output->err);
}

void action_end(Action *action, const char *fmt, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        if (!action->title)
                return;
        if (!action_is_silent(action)) {
                FILE *err = action->output->err;

                if (!action->output->err_terminal)
                        (void)fprintf(err, "%s... ", action->title);
                else if (action->drawn_usec > 0)
                        (void)fprintf(err, "\r\033[K%s... ", action->title);
                va_start(ap, fmt);
                text = format_clean(fmt, ap);
                va_end(ap);
                (void)fprintf(err, "%s\n", text ?: "");
                (void)fflush(err);
        }
        free(TAKE_PTR(action->title));
}

void action_clear(Action *action) {
        if (action->title)
                action_end(action, "failed");
}
