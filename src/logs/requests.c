/* SPDX-License-Identifier: Apache-2.0 */

/* What the supervisor asks for. */

#include <assert.h>
#include <errno.h>
#include <string.h>

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
} LogMessage;

/* Stores one line of the supervisor's, behind what the app's dynos have written. */
static int store_line(Logger *logger, const LogRecord *from, const char *text) {
        _cleanup_records_ RecordBuffer records = {0};
        LogRecord record = *from;
        AppLog *app;
        int r;

        r = logger_find_app(logger, record.app, true, &app);
        if (r < 0)
                return r;
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
        r = record_buffer_add(&records, &record, text);
        if (r < 0)
                return r;
        r = app_log_append(app, NULL, &records);
        if (r < 0)
                return r;
        streams_publish(logger->streams, app_log_name(app), app_log_serial(app), &records);
        return 0;
}

static void hold_line(Logger *logger, const LogRecord *record, const char *text) {
        if (logger->held.size + sizeof(*record) + record->text_size <= HELD_BYTES &&
            record_buffer_add(&logger->held, record, text) == 0)
                return;
        logger->held_dropped++;
}

void logger_store_held(Logger *logger) {
        while (logger->held.n > 0) {
                LogRecord record;

                memcpy(&record, logger->held.data, sizeof(record));
                if (store_line(logger, &record, logger->held.data + sizeof(record)) < 0)
                        return;
                record_buffer_drop_first(&logger->held, 1);
        }
        if (logger->held_dropped > 0)
                log_warning(
                        "%llu lines of dynod were not stored while the disk was full.",
                        (unsigned long long)logger->held_dropped);
        logger->held_dropped = 0;
}

static void on_line(Logger *logger, const LogLine *line) {
        int r;

        if (logger->held.n > 0) {
                hold_line(logger, &line->record, line->text);
                return;
        }
        r = store_line(logger, &line->record, line->text);
        if (r == 0)
                return;
        if (!logger->failing)
                log_error_errno(r, "%s: cannot store a line of its log: %m", line->record.app);
        logger_set_failing(logger);
        hold_line(logger, &line->record, line->text);
}

static void on_stream(Logger *logger, const LogStream *stream, ChannelFds *fds) {
        int r;

        r = streams_add(logger->streams, fds->fd[0], stream->app, stream->follow == 1);
        if (r < 0) {
                /* The client sees its end closed, without the mark. */
                log_warning_errno(r, "A client's log stream was refused: %m");
                return;
        }
        (void)TAKE_FD(fds->fd[0]);
}

static void on_forget(Logger *logger, const LogApp *request) {
        AppLog *app = NULL;
        int r;

        streams_forget(logger->streams, request->app);
        r = logger_find_app(logger, request->app, false, &app);
        if (r == 0 && app)
                logger_drop_app(logger, app);
        r = app_log_remove(logger->logs_fd, request->app);
        if (r < 0)
                log_error_errno(r, "%s: cannot remove its logs: %m", request->app);
}

static void on_rename(Logger *logger, const LogApp *request) {
        AppLog *app = NULL, *other = NULL;
        int r;

        if (strcmp(request->app, request->new_name) == 0)
                return;
        streams_rename(logger->streams, request->app, request->new_name);
        r = logger_find_app(logger, request->app, false, &app);
        if (r < 0 || !app)
                return; /* it has written nothing yet */

        r = logger_find_app(logger, request->new_name, false, &other);
        if (r == 0 && other)
                logger_drop_app(logger, other);
        r = app_log_rename(app, logger->logs_fd, request->new_name);
        if (r < 0)
                log_error_errno(r, "%s: cannot rename its logs: %m", request->app);
}

static int on_message(Logger *logger, const LogMessage *msg, size_t size, ChannelFds *fds) {
        int r;

        r = log_message_check(msg, size, fds->n);
        if (r < 0)
                return r;

        switch (msg->type) {
        case LOG_LINE:
                on_line(logger, &msg->line);
                break;
        case LOG_STREAM:
                on_stream(logger, &msg->stream, fds);
                break;
        case LOG_FORGET:
                on_forget(logger, &msg->app);
                break;
        case LOG_RENAME:
                on_rename(logger, &msg->app);
                break;
        default:
                assert(false);
        }
        return 0;
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
                    (stream_app(stream)[0] == '\0' ||
                     strcmp(stream_app(stream), app_log_name(app)) == 0))
                        return app;
        }
        return NULL;
}

void logger_load_streams(Logger *logger) {
        _cleanup_records_ RecordBuffer history = {0};
        Stream *stream = streams_first_loading(logger->streams);
        AppLog *app;
        int r;

        if (!stream)
                return;
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
