/* SPDX-License-Identifier: Apache-2.0 */

/* What the supervisor asks for. */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "ipc/log_proto.h"
#include "logs/logger_internal.h"

/* Messages that are handled in one turn of the loop; dynos come next. */
#define MESSAGES_PER_TURN 64

typedef union LogMessage {
        uint32_t type;
        LogLine line;
        LogStream stream;
        LogApp app;
        LogApps apps;
} LogMessage;

struct HeldLine {
        HeldLine *next;
        size_t size;
        _Alignas(LogLine) char line[]; /* LogLine, cut behind its text */
};

/* Stores one line of the supervisor's, behind what the app's dynos have written. */
static int store_line(Logger *logger, AppLog *app, const LogLine *line) {
        _cleanup_records_ RecordBuffer records = {0};
        LogRecord record = line->record;
        int r;

        for (size_t i = 0; i < logger->n_captures; i++) {
                if (capture_app(logger->captures[i]) != app)
                        continue;
                r = capture_settle(logger->captures[i]);
                if (r < 0)
                        return r;
        }

        r = app_log_time(app, record.usec, &record.usec);
        if (r < 0)
                return r;
        field_set(record.app, sizeof(record.app), app_log_name(app));
        r = record_buffer_add(&records, &record, line->text);
        if (r < 0)
                return r;
        r = app_log_append(app, NULL, &records);
        if (r < 0)
                return r;
        streams_publish(logger->streams, app_log_number(app), app_log_serial(app), &records);
        return 0;
}

/* ---- lines for which the disk has no room ---- */

static void hold_line(Logger *logger, const LogLine *line, size_t size) {
        HeldLine *held = NULL, **end = &logger->held;

        if (logger->held_bytes + sizeof(*held) + size <= HELD_BYTES)
                held = malloc(sizeof(*held) + size);
        if (!held) {
                logger->held_dropped++;
                return;
        }
        held->next = NULL;
        held->size = size;
        memcpy(held->line, line, size);
        while (*end)
                end = &(*end)->next;
        *end = held;
        logger->held_bytes += sizeof(*held) + size;
}

/* Removes the first of what *@at begins. */
static void drop_held(Logger *logger, HeldLine **at) {
        HeldLine *held = *at;

        *at = held->next;
        logger->held_bytes -= sizeof(*held) + held->size;
        free(held);
}

void logger_free_held(Logger *logger) {
        while (logger->held)
                drop_held(logger, &logger->held);
}

/* An app's lines stay in their order; one that cannot be stored does not hold up other apps. */
void logger_store_held(Logger *logger) {
        for (size_t i = 0; i < logger->n_apps; i++)
                app_log_notes(logger->apps[i])->held = false;
        for (HeldLine **at = &logger->held; *at;) {
                const LogLine *line = (const LogLine *)(*at)->line;
                AppLog *app = logger_find_app(logger, line->app_number);

                if (app && !app_log_notes(app)->held && store_line(logger, app, line) < 0)
                        app_log_notes(app)->held = true;
                if (app && app_log_notes(app)->held)
                        at = &(*at)->next;
                else
                        drop_held(logger, at);
        }
        if (!logger->held && logger->held_dropped > 0) {
                log_warning(
                        "%llu lines of dynod were not stored while the disk was full.",
                        (unsigned long long)logger->held_dropped);
                logger->held_dropped = 0;
        }
}

static int on_line(Logger *logger, const LogLine *line, size_t size) {
        AppLog *app;
        int r;

        if (logger_app_is_gone(logger, line->app_number))
                return 0;
        r = logger_need_app(logger, line->app_number, line->record.app, &app);
        if (r < 0)
                return r;
        if (!app_log_notes(app)->held) {
                r = store_line(logger, app, line);
                if (r == 0)
                        return 0;
                if (!logger->failing)
                        log_error_errno(
                                r, "%s: cannot store a line of its log: %m", app_log_name(app));
                logger_set_failing(logger);
                app_log_notes(app)->held = true;
        }
        hold_line(logger, line, size);
        return 0;
}

/* ---- which apps there are ---- */

static void begin_apps(Logger *logger) {
        for (size_t i = 0; i < logger->n_apps; i++)
                app_log_notes(logger->apps[i])->named = false;
        logger->listing = true;
}

static int on_app(Logger *logger, const LogApp *request) {
        AppLog *app;
        int r;

        r = logger_need_app(logger, request->app_number, request->app, &app);
        if (r < 0)
                return r;
        app_log_set_name(app, request->app);
        streams_rename(logger->streams, request->app_number, request->app);
        app_log_notes(app)->named = true;
        return 0;
}

/* Its lines go at once, also those that are held: on a full disk that makes room. */
static void remove_app(Logger *logger, uint32_t number) {
        AppLog *app = logger_find_app(logger, number);
        int r;

        streams_forget(logger->streams, number);
        if (app)
                logger_drop_app(logger, app);
        for (HeldLine **at = &logger->held; *at;) {
                if (((const LogLine *)(*at)->line)->app_number == number)
                        drop_held(logger, at);
                else
                        at = &(*at)->next;
        }
        r = app_log_remove(logger->logs_fd, number);
        if (r < 0)
                log_error_errno(
                        r, "The lines of app %u, which is gone, cannot be removed: %m", number);
}

/*
 * Later ones than @last_number are only on their way to us; their dynos may be here already.
 * The end of a list that the logger before us began to read says nothing: ours comes behind it.
 */
static void end_apps(Logger *logger, uint32_t last_number) {
        _cleanup_closedir_ DIR *dir = NULL;
        uint32_t number;

        if (!logger->listing)
                return;
        logger->listing = false;
        logger->listed = true;
        if (last_number > logger->last_number)
                logger->last_number = last_number;

        for (size_t i = logger->n_apps; i > 0; i--) {
                AppLog *app = logger->apps[i - 1];

                if (app_log_number(app) <= last_number && !app_log_notes(app)->named)
                        remove_app(logger, app_log_number(app));
        }

        app_log_clean(logger->logs_fd);
        if (dir_open_at(logger->logs_fd, ".", &dir) < 0) {
                log_warning("Lines of apps that are gone may be left.");
                return;
        }
        assert(dir);
        while (dir_next_number(dir, "", NULL, &number))
                if (logger_app_is_gone(logger, number))
                        remove_app(logger, number);
}

static void on_forget(Logger *logger, uint32_t number) {
        remove_app(logger, number);
        if (logger->listed && number > logger->last_number)
                logger->last_number = number;
}

static void on_stream(Logger *logger, const LogStream *stream, ChannelFds *fds) {
        int r;

        r = streams_add(
                logger->streams, fds->fd[0], stream->app_number, stream->app, stream->follow == 1);
        if (r < 0) {
                /* The client sees its end closed, without the mark. */
                log_warning_errno(r, "A client's log stream was refused: %m");
                return;
        }
        (void)TAKE_FD(fds->fd[0]);
}

static int on_message(Logger *logger, const LogMessage *msg, size_t size, ChannelFds *fds) {
        int r;

        r = log_message_check(msg, size, fds->n);
        if (r < 0)
                return r;

        switch (msg->type) {
        case LOG_LINE:
                return on_line(logger, &msg->line, size);
        case LOG_STREAM:
                on_stream(logger, &msg->stream, fds);
                return 0;
        case LOG_APPS:
                begin_apps(logger);
                return 0;
        case LOG_APP:
                return on_app(logger, &msg->app);
        case LOG_APPS_END:
                end_apps(logger, msg->apps.last_number);
                return 0;
        case LOG_FORGET:
                on_forget(logger, msg->app.app_number);
                return 0;
        default:
                assert(false);
                return -EBADMSG;
        }
}

int logger_on_channel(Logger *logger) {
        for (int i = 0; i < MESSAGES_PER_TURN; i++) {
                _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
                LogMessage msg;
                size_t size;
                int r;

                r = channel_recv(logger->channel_fd, &msg, sizeof(msg), &size, &fds);
                if (r == CHANNEL_E_AGAIN)
                        return 0;
                if (r == CHANNEL_E_CLOSED) {
                        /* Whoever starts us again hands us a channel to its successor. */
                        logger->stop = true;
                        return 0;
                }
                if (r < 0)
                        return r;

                r = on_message(logger, &msg, size, &fds);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The app that comes next into that stream, or NULL if all are in it. */
static AppLog *next_app(const Logger *logger, const Stream *stream) {
        for (size_t i = 0; i < logger->n_apps; i++) {
                AppLog *app = logger->apps[i];

                if (app_log_serial(app) > stream_merged_serial(stream) &&
                    (stream_app_number(stream) == 0 ||
                     stream_app_number(stream) == app_log_number(app)))
                        return app;
        }
        return NULL;
}

void logger_load_streams(Logger *logger) {
        _cleanup_records_ RecordBuffer history = {0};
        Stream *stream = streams_first_loading(logger->streams);
        AppLog *app;
        int r;

        if (!stream || !logger->listed) /* before, an app may have another name, or be gone */
                return;
        if (stream_app_number(stream) != 0 &&
            logger_app_is_gone(logger, stream_app_number(stream))) {
                stream_fail(stream);
                return;
        }
        app = next_app(logger, stream);
        if (!app) {
                stream_loaded(stream);
                return;
        }

        r = app_log_read(app, HISTORY_LINES, &history);
        if (r < 0) {
                log_error_errno(r, "%s: cannot read its logs: %m", app_log_name(app));
                record_buffer_reset(&history);
        }
        r = stream_merge(stream, &history, app_log_serial(app));
        if (r < 0)
                stream_fail(stream);
}
