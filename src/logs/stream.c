/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/parse.h"
#include "logs/event_source.h"
#include "logs/history.h"
#include "logs/stream.h"

/* Bytes that one client gets per turn of the loop. */
#define SEND_BYTES ((size_t)256 * 1024)

typedef struct Queue {
        RecordBuffer records;
        size_t sent; /* bytes of it */
} Queue;

struct Stream {
        StreamSet *set;
        EventSource source;
        int fd;
        bool is_socket, follow, loading, waiting, dead;
        uint32_t app_number; /* 0: all apps */
        char app[APP_NAME_SIZE];
        uint64_t merged_serial;
        Queue history, live;
        uint64_t dropped, dropped_usec; /* live lines that did not fit, and since when */
};

struct StreamSet {
        int epoll_fd;
        Stream *streams[STREAMS_MAX];
        size_t n;
};

static size_t queue_left(const Queue *queue) {
        return queue->records.size - queue->sent;
}

static Stream *stream_free(Stream *stream) {
        if (!stream)
                return NULL;

        stream->fd = safe_close(stream->fd); /* the kernel takes it out of epoll's set … */
        record_buffer_clear(&stream->history.records);
        record_buffer_clear(&stream->live.records);
        free(stream);
        return NULL;
}
DEFINE_CLEANUP(Stream, stream_free)

int streams_new(StreamSet **ret, int epoll_fd) {
        StreamSet *set = calloc(1, sizeof(*set));

        if (!set)
                return -ENOMEM;
        set->epoll_fd = epoll_fd;
        *ret = set;
        return 0;
}

/* … unless the client has a copy, as it always does: so it is taken out by hand. */
static void stream_end(Stream *stream) {
        if (!stream->dead && stream->fd >= 0)
                (void)epoll_ctl(stream->set->epoll_fd, EPOLL_CTL_DEL, stream->fd, NULL);
        stream->dead = true;
}

StreamSet *streams_free(StreamSet *set) {
        if (!set)
                return NULL;

        for (size_t i = 0; i < set->n; i++) {
                stream_end(set->streams[i]);
                (void)stream_free(set->streams[i]);
        }
        free(set);
        return NULL;
}

/* Only what cannot make us wait, and cannot be a file: a pipe or a connected stream socket. */
static int prepare_fd(int fd, bool *ret_is_socket) {
        socklen_t size = sizeof(int);
        struct stat st;
        int flags, type;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISSOCK(st.st_mode) && !S_ISFIFO(st.st_mode))
                return -EBADF;
        if (S_ISSOCK(st.st_mode)) {
                if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
                        return -errno;
                if (type != SOCK_STREAM)
                        return -EBADF;
        }

        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        if ((flags & O_ACCMODE) == O_RDONLY)
                return -EBADF;
        *ret_is_socket = S_ISSOCK(st.st_mode);
        return 0;
}

static size_t queued_history(const StreamSet *set) {
        size_t total = 0;

        for (size_t i = 0; i < set->n; i++)
                total += set->streams[i]->history.records.allocated;
        return total;
}

int streams_add(StreamSet *set, int fd, uint32_t app_number, const char *app, bool follow) {
        _cleanup_(stream_freep) Stream *stream = NULL;
        struct epoll_event event = {.events = 0};
        int r;

        assert(set && app);

        if (set->n == STREAMS_MAX || queued_history(set) > STREAMS_HISTORY_BYTES)
                return -EMFILE;

        stream = calloc(1, sizeof(*stream));
        if (!stream)
                return -ENOMEM;
        stream->set = set;
        stream->source = (EventSource){.kind = EVENT_STREAM, .owner = stream};
        stream->fd = -EBADF;
        stream->follow = follow;
        stream->loading = true;
        stream->app_number = app_number;
        field_set(stream->app, sizeof(stream->app), app);

        r = prepare_fd(fd, &stream->is_socket);
        if (r < 0)
                return r;
        /* No event wanted yet: errors and hang-ups are always reported. */
        event.data.ptr = &stream->source;
        if (epoll_ctl(set->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                return -errno;

        stream->fd = fd;
        set->streams[set->n++] = TAKE_PTR(stream);
        return 0;
}

static bool stream_wants(const Stream *stream, uint32_t app_number, uint64_t serial) {
        if (stream->dead || !stream->follow)
                return false;
        if (stream->loading && serial > stream->merged_serial)
                return false; /* it will be in the history that is merged later */
        return stream->app_number == 0 || stream->app_number == app_number;
}

bool streams_want(const StreamSet *set, uint32_t app_number, uint64_t serial) {
        for (size_t i = 0; i < set->n; i++)
                if (stream_wants(set->streams[i], app_number, serial))
                        return true;
        return false;
}

/* Drops what was sent from the front of the queue, once it is worth it. */
static void queue_trim(Queue *queue) {
        if (queue->sent == queue->records.size) {
                record_buffer_reset(&queue->records);
                queue->sent = 0;
        } else if (queue->sent > STREAM_LIVE_BYTES / 2) {
                queue->records.size -= queue->sent;
                memmove(queue->records.data,
                        queue->records.data + queue->sent,
                        queue->records.size);
                queue->sent = 0;
        }
}

/* The L11 line, as soon as half of the queue is free again. */
static void report_dropped(Stream *stream) {
        LogRecord record = {.magic = LOG_RECORD_MAGIC, .source = LOG_FROM_HEROKU};
        time_t seconds = (time_t)(stream->dropped_usec / USEC_PER_SEC);
        char since[32], text[160];
        struct tm tm;

        if (stream->dropped == 0 || queue_left(&stream->live) > STREAM_LIVE_BYTES / 2)
                return;
        if (!gmtime_r(&seconds, &tm) ||
            strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%S+00:00", &tm) == 0)
                return;

        record.usec = clock_realtime_usec();
        field_set(record.app, sizeof(record.app), stream->app);
        field_set(record.procid, sizeof(record.procid), "logplex");
        record.text_size = (uint16_t)snprintf(
                text,
                sizeof(text),
                "Error L11 (Tail buffer overflow) -> This tail session dropped %" PRIu64
                " messages since %s.",
                stream->dropped,
                since);
        if (record_buffer_add(&stream->live.records, &record, text) == 0)
                stream->dropped = 0;
}

static void publish_one(Stream *stream, const LogRecord *record, const char *data, size_t size) {
        report_dropped(stream);
        if (stream->dropped == 0 && queue_left(&stream->live) + size <= STREAM_LIVE_BYTES &&
            record_buffer_append(&stream->live.records, data, size, 1) == 0)
                return;
        if (stream->dropped++ == 0)
                stream->dropped_usec = record->usec;
}

void streams_publish(
        StreamSet *set, uint32_t app_number, uint64_t serial, const RecordBuffer *records) {
        for (size_t i = 0; i < set->n; i++) {
                Stream *stream = set->streams[i];

                if (!stream_wants(stream, app_number, serial))
                        continue;
                queue_trim(&stream->live);
                for (size_t pos = 0; pos < records->size;) {
                        LogRecord record;
                        size_t size;

                        memcpy(&record, records->data + pos, sizeof(record));
                        size = sizeof(record) + record.text_size;
                        publish_one(stream, &record, records->data + pos, size);
                        pos += size;
                }
        }
}

Stream *streams_first_loading(StreamSet *set) {
        for (size_t i = 0; i < set->n; i++)
                if (set->streams[i]->loading && !set->streams[i]->dead)
                        return set->streams[i];
        return NULL;
}

uint32_t stream_app_number(const Stream *stream) {
        return stream->app_number;
}

uint64_t stream_merged_serial(const Stream *stream) {
        return stream->merged_serial;
}

int stream_merge(Stream *stream, const RecordBuffer *history, uint64_t serial) {
        int r;

        assert(stream->loading);
        assert(serial > stream->merged_serial);

        r = record_buffer_merge(&stream->history.records, history, HISTORY_LINES, HISTORY_BYTES);
        if (r < 0)
                return r;
        stream->merged_serial = serial;
        return 0;
}

void stream_loaded(Stream *stream) {
        LogRecord mark = {.magic = LOG_RECORD_MAGIC, .source = LOG_FROM_HEROKU};

        mark.usec = clock_realtime_usec();
        field_set(mark.app, sizeof(mark.app), stream->app);
        field_set(mark.procid, sizeof(mark.procid), LOG_PROCID_LIVE);

        stream->loading = false;
        if (record_buffer_add(&stream->history.records, &mark, NULL) < 0)
                stream_end(stream);
}

/* Sends of one queue. Return: bytes sent, 0 if the client must read first, or -errno. */
static ssize_t send_some(const Stream *stream, const Queue *queue, size_t max) {
        size_t size = queue_left(queue);
        const char *data = queue->records.data + queue->sent;
        ssize_t n;

        if (size > max)
                size = max;
        if (!stream->is_socket) {
                int flags = fcntl(stream->fd, F_GETFL);

                /* The client shares this setting and may have changed it. */
                if (flags < 0 || fcntl(stream->fd, F_SETFL, flags | O_NONBLOCK) < 0)
                        return -errno;
        }

        do
                n = stream->is_socket ? send(stream->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                      : write(stream->fd, data, size);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        return n;
}

static void stream_wait(Stream *stream, bool wait) {
        struct epoll_event event = {
                .events = wait ? EPOLLOUT : 0,
                .data.ptr = &stream->source,
        };

        if (stream->waiting == wait)
                return;
        if (epoll_ctl(stream->set->epoll_fd, EPOLL_CTL_MOD, stream->fd, &event) < 0)
                stream_end(stream);
        stream->waiting = wait;
}

static void stream_flush(Stream *stream) {
        size_t budget = SEND_BYTES;

        if (stream->loading)
                return;

        while (budget > 0) {
                Queue *queue = queue_left(&stream->history) > 0 ? &stream->history : &stream->live;
                ssize_t n;

                if (queue_left(queue) == 0)
                        break;
                n = send_some(stream, queue, budget);
                if (n < 0) {
                        stream_end(stream);
                        return;
                }
                if (n == 0)
                        break;
                queue->sent += (size_t)n;
                budget -= (size_t)n;
                report_dropped(stream);
        }

        if (queue_left(&stream->history) == 0) {
                record_buffer_clear(&stream->history.records); /* up to 4 MB, sent once */
                stream->history.sent = 0;
        }
        stream_wait(stream, queue_left(&stream->history) > 0 || queue_left(&stream->live) > 0);
        if (!stream->follow && queue_left(&stream->history) == 0)
                stream_end(stream);
}

void stream_fail(Stream *stream) {
        stream_end(stream);
}

void stream_on_event(Stream *stream, uint32_t events) {
        if (events & (EPOLLERR | EPOLLHUP))
                stream_end(stream);
}

void streams_flush(StreamSet *set) {
        size_t kept = 0;

        for (size_t i = 0; i < set->n; i++) {
                Stream *stream = set->streams[i];

                if (!stream->dead)
                        stream_flush(stream);
                if (stream->dead)
                        (void)stream_free(stream);
                else
                        set->streams[kept++] = stream;
        }
        set->n = kept;
}

void streams_rename(StreamSet *set, uint32_t app_number, const char *app) {
        for (size_t i = 0; i < set->n; i++)
                if (set->streams[i]->app_number == app_number)
                        field_set(set->streams[i]->app, sizeof(set->streams[i]->app), app);
}

void streams_forget(StreamSet *set, uint32_t app_number) {
        for (size_t i = 0; i < set->n; i++)
                if (set->streams[i]->app_number == app_number)
                        stream_end(set->streams[i]);
}
