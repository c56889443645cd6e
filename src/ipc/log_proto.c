/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "ipc/log_proto.h"

/* Offset of the text behind a LogLine's record. */
#define LINE_TEXT_OFFSET offsetof(LogLine, text)

static bool procid_is_valid(const char *procid) {
        size_t len = strlen(procid);

        return len > 0 && strspn(procid,
                                 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789._-") == len;
}

int log_record_check(const LogRecord *record) {
        assert(record);

        if (record->magic != LOG_RECORD_MAGIC)
                return -EBADMSG;
        if (record->source == 0 || record->source >= _LOG_SOURCE_MAX)
                return -EBADMSG;
        if (record->text_size > LOG_TEXT_MAX)
                return -EBADMSG;
        if (!field_is_clean(record->app, sizeof(record->app)) ||
            !field_is_clean(record->procid, sizeof(record->procid)))
                return -EBADMSG;
        /* Empty: a record of the stream itself, such as the live mark of all apps' stream. */
        if (record->app[0] != '\0' && !app_name_is_valid(record->app))
                return -EBADMSG;
        if (!procid_is_valid(record->procid))
                return -EBADMSG;

        return 0;
}

static int line_check(const void *msg, size_t size) {
        LogRecord record;

        if (size < LINE_TEXT_OFFSET || size > sizeof(LogLine))
                return -EBADMSG;
        memcpy(&record, (const char *)msg + offsetof(LogLine, record), sizeof(record));

        if (log_record_check(&record) < 0 || size != LINE_TEXT_OFFSET + record.text_size)
                return -EBADMSG;
        /* A line belongs to an app, and must not be taken for the mark or for two lines. */
        if (record.app[0] == '\0' || strcmp(record.procid, LOG_PROCID_LIVE) == 0)
                return -EBADMSG;
        if (memchr((const char *)msg + LINE_TEXT_OFFSET, '\n', record.text_size))
                return -EBADMSG;

        return 0;
}

static int stream_check(const void *msg, size_t size) {
        LogStream stream;

        if (size != sizeof(stream))
                return -EBADMSG;
        memcpy(&stream, msg, sizeof(stream));

        if (stream.follow > 1 || !field_is_clean(stream.app, sizeof(stream.app)))
                return -EBADMSG;
        if (stream.app_number == 0)
                return stream.app[0] == '\0' ? 0 : -EBADMSG;
        return app_name_is_valid(stream.app) ? 0 : -EBADMSG;
}

static int app_check(const void *msg, size_t size) {
        LogApp app;

        if (size != sizeof(app))
                return -EBADMSG;
        memcpy(&app, msg, sizeof(app));

        if (app.app_number == 0 || !field_is_clean(app.app, sizeof(app.app)))
                return -EBADMSG;
        return app_name_is_valid(app.app) ? 0 : -EBADMSG;
}

int log_message_check(const void *msg, size_t size, size_t n_fds) {
        uint32_t head[2]; /* type, and a number */

        assert(msg);

        if (size < sizeof(head))
                return -EBADMSG;
        memcpy(head, msg, sizeof(head));

        if (n_fds != (head[0] == LOG_STREAM ? 1 : 0))
                return -EBADMSG;

        switch (head[0]) {
        case LOG_LINE:
                return head[1] != 0 ? line_check(msg, size) : -EBADMSG;
        case LOG_STREAM:
                return stream_check(msg, size);
        case LOG_APP:
        case LOG_FORGET:
                return app_check(msg, size);
        case LOG_APPS:
        case LOG_APPS_END:
                return size == sizeof(LogApps) ? 0 : -EBADMSG;
        default:
                return -EBADMSG;
        }
}

const char *log_source_to_string(LogSource source) {
        switch (source) {
        case LOG_FROM_APP:
                return "app";
        case LOG_FROM_HEROKU:
                return "heroku";
        case _LOG_SOURCE_MAX:
                break;
        }
        return "?";
}
