/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "logs/capture.h"
#include "logs/event_source.h"
#include "logs/framing.h"
#include "logs/spool.h"

/* dyno-init's last line: part of a line that the app left before it is a line. */
#define EXIT_PREFIX "Process exited with status "

#define ID_TAIL strlen("-7f3a9c") /* what an ID has behind the dyno's name */

/*
 * Room in a FIFO, from a default of 64 KB: fewer turns in a flood, and more time for an
 * app before dyno-init, and then the app, waits while a logger starts. Within
 * pipe-user-pages-soft of 64 MB.
 */
#define FIFO_BYTES (256 * 1024)

typedef struct Source {
        EventSource event;
        LogSource source;
        int fifo;
        bool watched;  /* in epoll's set */
        bool readable; /* an event came since the last turn */
        bool hung_up;  /* … and it said that no writer is left */
        bool ended;    /* all was read behind the last writer */
        Spool *spool;
} Source;

enum {
        FROM_APP,
        FROM_INIT,
        _FROM_MAX,
};

struct Capture {
        CaptureContext *context;
        AppLog *app; /* NULL: forgotten */
        char id[DYNO_ID_SIZE];
        char procid[DYNO_NAME_SIZE];
        Source sources[_FROM_MAX];
        bool gone, failed, over;
};

int capture_context_init(CaptureContext *context, int epoll_fd, StreamSet *streams) {
        *context = (CaptureContext){.epoll_fd = epoll_fd, .streams = streams};
        context->buf = malloc(CAPTURE_TURN_BYTES);
        return context->buf ? 0 : -ENOMEM;
}

void capture_context_clear(CaptureContext *context) {
        free(context->buf);
        context->buf = NULL;
        record_buffer_clear(&context->batch);
}

static int open_spool(Capture *capture, Source *source, const char *suffix) {
        char name[DYNO_ID_SIZE + 8];
        int dir_fd = app_log_folder(capture->app), r;
        uint64_t done;

        if (dir_fd < 0)
                return dir_fd;

        (void)snprintf(name, sizeof(name), "%s.%s", capture->id, suffix);
        r = spool_open(&source->spool, dir_fd, name);
        if (r == -EBADMSG) {
                /* Not as we left it, which a power failure can do: begin anew. */
                (void)unlinkat(dir_fd, name, 0);
                r = spool_open(&source->spool, dir_fd, name);
        }
        if (r < 0)
                return r;

        /* We may have been killed between a batch and its note in the spool. */
        r = app_log_committed(capture->app, capture->id, source->source, &done);
        return r < 0 ? r : spool_redo(source->spool, done);
}

int capture_new(Capture **ret, CaptureContext *context, AppLog *app, const char *id) {
        _cleanup_(capture_freep) Capture *capture = NULL;
        int r;

        assert(context);
        assert(dyno_id_is_valid(id));

        capture = calloc(1, sizeof(*capture));
        if (!capture)
                return -ENOMEM;
        capture->context = context;
        capture->app = app;
        field_set(capture->id, sizeof(capture->id), id);
        assert(strlen(id) - ID_TAIL < sizeof(capture->procid));
        memcpy(capture->procid, id, strlen(id) - ID_TAIL);

        capture->sources[FROM_APP].event.kind = EVENT_APP_FIFO;
        capture->sources[FROM_APP].source = LOG_FROM_APP;
        capture->sources[FROM_INIT].event.kind = EVENT_LOG_FIFO;
        capture->sources[FROM_INIT].source = LOG_FROM_HEROKU;
        for (int i = 0; i < _FROM_MAX; i++) {
                capture->sources[i].event.owner = capture;
                capture->sources[i].fifo = -EBADF;
        }

        if (app) {
                r = open_spool(capture, &capture->sources[FROM_APP], "app");
                if (r < 0)
                        return r;
                r = open_spool(capture, &capture->sources[FROM_INIT], "log");
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(capture);
        return 0;
}

static void unwatch(Capture *capture, Source *source) {
        if (source->watched)
                (void)epoll_ctl(capture->context->epoll_fd, EPOLL_CTL_DEL, source->fifo, NULL);
        source->watched = false;
}

static int watch(Capture *capture, Source *source) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &source->event};

        if (source->watched || source->ended || source->fifo < 0)
                return 0;
        if (epoll_ctl(capture->context->epoll_fd, EPOLL_CTL_ADD, source->fifo, &event) < 0)
                return -errno;
        source->watched = true;
        return 0;
}

static void close_source(Capture *capture, Source *source) {
        unwatch(capture, source);
        source->fifo = safe_close(source->fifo);
        source->spool = spool_free(source->spool);
}

Capture *capture_free(Capture *capture) {
        if (!capture)
                return NULL;

        for (int i = 0; i < _FROM_MAX; i++) {
                if (capture->over && capture->sources[i].spool)
                        spool_remove(capture->sources[i].spool);
                close_source(capture, &capture->sources[i]);
        }
        free(capture);
        return NULL;
}

static int open_fifo(int dir_fd, const char *name) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        /* Non-blocking: opening a FIFO for reading waits for a writer otherwise. */
        fd = openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISFIFO(st.st_mode))
                return -ENOTSUP;
        (void)fcntl(fd, F_SETPIPE_SZ, FIFO_BYTES); /* it works with the default, too */
        return TAKE_FD(fd);
}

int capture_attach(Capture *capture, int dir_fd) {
        static const char *const names[_FROM_MAX] = {"app", "log"};
        int r;

        for (int i = 0; i < _FROM_MAX; i++) {
                Source *source = &capture->sources[i];

                /* One may be open from an attempt that failed with the other. */
                if (source->fifo < 0)
                        source->fifo = open_fifo(dir_fd, names[i]);
                if (source->fifo < 0)
                        return source->fifo;
                r = watch(capture, source);
                if (r < 0)
                        return r;
                source->readable = true; /* and what the spool holds comes first */
        }
        return 0;
}

bool capture_is_attached(const Capture *capture) {
        return capture->sources[FROM_APP].fifo >= 0 && capture->sources[FROM_INIT].fifo >= 0;
}

const char *capture_id(const Capture *capture) {
        return capture->id;
}

const AppLog *capture_app(const Capture *capture) {
        return capture->app;
}

void capture_note(Capture *capture, bool is_app, uint32_t epoll_events) {
        Source *source = &capture->sources[is_app ? FROM_APP : FROM_INIT];

        source->readable = true;
        if (epoll_events & (EPOLLHUP | EPOLLERR))
                source->hung_up = true;
}

void capture_note_gone(Capture *capture) {
        capture->gone = true;
        for (int i = 0; i < _FROM_MAX; i++)
                capture->sources[i].readable = true;
}

bool capture_has_failed(const Capture *capture) {
        return capture->failed;
}

bool capture_is_over(const Capture *capture) {
        return capture->over;
}

void capture_forget(Capture *capture) {
        capture->app = NULL;
        for (int i = 0; i < _FROM_MAX; i++)
                capture->sources[i].spool = spool_free(capture->sources[i].spool);
        capture->over = capture->over || capture->gone;
}

static void source_end(Capture *capture, Source *source) {
        source->ended = true;
        unwatch(capture, source);
}

/* Reads and throws away; the buffer is shared scratch space. */
static void discard(Capture *capture, Source *source) {
        ssize_t n;

        do
                n = read(source->fifo, capture->context->buf, CAPTURE_TURN_BYTES);
        while (n < 0 && errno == EINTR);
        if (n == 0 && (source->hung_up || capture->gone))
                source_end(capture, source);
}

/* Takes at most @max bytes; what is left causes another event. */
static int take(Capture *capture, Source *source, size_t max) {
        source->readable = false;
        if (source->fifo < 0 || source->ended)
                return 0;
        if (!capture->app) {
                discard(capture, source);
                return 0;
        }

        while (max > 0) {
                size_t n;
                int r = spool_take(source->spool, source->fifo, max, &n);

                if (r < 0)
                        return r;
                if (r == SPOOL_E_END && (source->hung_up || capture->gone))
                        source_end(capture, source);
                if (r > 0)
                        return 0;
                max -= n;
        }
        return 0;
}

/* Writes the batch that was collected, with the offset that goes with it. */
static int flush_batch(Capture *capture, const Source *source, uint64_t done) {
        CaptureContext *context = capture->context;
        HistoryCommit commit = {.source = source->source, .done = done};
        int r;

        field_set(commit.id, sizeof(commit.id), capture->id);
        r = app_log_append(capture->app, &commit, &context->batch);
        if (r < 0)
                return r;
        if (context->streams)
                streams_publish(
                        context->streams,
                        app_log_number(capture->app),
                        app_log_serial(capture->app),
                        &context->batch);
        record_buffer_reset(&context->batch);
        return spool_commit(source->spool, done);
}

typedef struct Chunk {
        const char *buf; /* bytes of the spool, from its done offset on */
        size_t size;
        bool first_only;   /* make one line */
        bool stop_at_exit; /* stop before a line that says that the command ended, if not first */
        bool last;         /* nothing will follow: what has no newline is a line */
} Chunk;

static bool is_exit_line(const char *text, size_t size) {
        const size_t prefix = strlen(EXIT_PREFIX);

        return size >= prefix && memcmp(text, EXIT_PREFIX, prefix) == 0;
}

/*
 * Makes lines of a chunk. Of a flood only the newest HISTORY_LINES can stay in the
 * history: older ones of the same chunk are counted off with the offset and, if nobody
 * listens, never written.
 */
static int make_lines(Capture *capture, const Source *source, const Chunk *chunk) {
        CaptureContext *context = capture->context;
        LogRecord record = {.magic = LOG_RECORD_MAGIC, .source = (uint16_t)source->source};
        uint64_t base = spool_done(source->spool);
        size_t pos = 0, n = 0, skip = 0;
        LogFrame frame;
        int r;

        field_set(record.app, sizeof(record.app), app_log_name(capture->app));
        field_set(record.procid, sizeof(record.procid), capture->procid);
        r = app_log_time(capture->app, UINT64_MAX, &record.usec);
        if (r < 0)
                return r;

        if (source->source == LOG_FROM_APP &&
            (!context->streams || !streams_want(
                                          context->streams,
                                          app_log_number(capture->app),
                                          app_log_serial(capture->app)))) {
                size_t lines = log_frame_count(chunk->buf, chunk->size, chunk->last);

                skip = lines > HISTORY_LINES ? lines - HISTORY_LINES : 0;
        }

        record_buffer_reset(&context->batch);
        while (log_frame_next(chunk->buf + pos, chunk->size - pos, chunk->last, &frame)) {
                if (n > 0 &&
                    (chunk->first_only ||
                     (chunk->stop_at_exit && is_exit_line(chunk->buf + pos, frame.text_size))))
                        break;
                record.text_size = (uint16_t)frame.text_size;
                if (n++ >= skip) {
                        r = record_buffer_add(&context->batch, &record, chunk->buf + pos);
                        if (r < 0)
                                return r;
                }
                pos += frame.used;
                if (context->batch.size >= HISTORY_BATCH_BYTES) {
                        r = flush_batch(capture, source, base + pos);
                        if (r < 0)
                                return r;
                }
        }

        return context->batch.n > 0 ? flush_batch(capture, source, base + pos) : 0;
}

typedef enum DrainMode {
        DRAIN_LINES,      /* whole lines */
        DRAIN_ALL,        /* and what is left behind the last newline */
        DRAIN_FIRST,      /* one line */
        DRAIN_UNTIL_EXIT, /* whole lines, up to one that says that the command ended */
        DRAIN_LAST_UNTIL_EXIT,
} DrainMode;

static int drain(Capture *capture, Source *source, DrainMode mode) {
        CaptureContext *context = capture->context;
        bool until_exit = mode == DRAIN_UNTIL_EXIT || mode == DRAIN_LAST_UNTIL_EXIT;
        bool last = mode == DRAIN_ALL || mode == DRAIN_LAST_UNTIL_EXIT;

        for (;;) {
                Chunk chunk = {.buf = context->buf, .stop_at_exit = until_exit};
                uint64_t before = spool_done(source->spool);
                ssize_t n;
                int r;

                n = spool_read(source->spool, context->buf, CAPTURE_TURN_BYTES);
                if (n <= 0)
                        return (int)n;
                chunk.size = (size_t)n;
                chunk.first_only = mode == DRAIN_FIRST;
                chunk.last = last && chunk.size == spool_pending(source->spool);

                r = make_lines(capture, source, &chunk);
                if (r < 0)
                        return r;
                if (spool_done(source->spool) == before || mode == DRAIN_FIRST || until_exit)
                        return 0;
        }
}

/* Whether dyno-init's next line says that the command ended. */
static bool exit_line_is_next(const Capture *capture) {
        char text[sizeof(EXIT_PREFIX)];
        ssize_t n = spool_read(capture->sources[FROM_INIT].spool, text, sizeof(text));

        return n > 0 && is_exit_line(text, (size_t)n);
}

static int make_all_lines(Capture *capture, bool last) {
        Source *app = &capture->sources[FROM_APP];
        Source *init = &capture->sources[FROM_INIT];
        uint64_t before;
        int r;

        /* "Starting process" is the first thing that dyno-init says. */
        if (spool_done(init->spool) == 0) {
                r = drain(capture, init, DRAIN_FIRST);
                if (r < 0)
                        return r;
        }

        /* Before a line that says so, part of a line that the app left is a line. */
        do {
                bool exited = exit_line_is_next(capture);

                r = drain(capture, app, last || exited ? DRAIN_ALL : DRAIN_LINES);
                if (r < 0)
                        return r;
                before = spool_done(init->spool);
                r = drain(capture, init, last ? DRAIN_LAST_UNTIL_EXIT : DRAIN_UNTIL_EXIT);
                if (r < 0)
                        return r;
        } while (spool_done(init->spool) != before);

        return 0;
}

static int take_and_make(Capture *capture) {
        Source *app = &capture->sources[FROM_APP];
        Source *init = &capture->sources[FROM_INIT];
        /* What is left in a folder that is gone is little, and there is no later event. */
        size_t max = capture->gone ? SPOOL_BYTES : CAPTURE_TURN_BYTES;
        bool take_init = init->readable;
        int r;

        if (!app->readable && !init->readable && !capture->failed)
                return 0;

        if (app->readable || take_init) {
                r = take(capture, app, max);
                if (r < 0)
                        return r;
        }
        if (take_init || (capture->app && spool_done(init->spool) == 0)) {
                r = take(capture, init, max);
                if (r < 0)
                        return r;
        }

        capture->over = capture->gone || (app->ended && init->ended);
        return capture->app ? make_all_lines(capture, capture->over) : 0;
}

int capture_turn(Capture *capture) {
        int r = take_and_make(capture);

        if (r < 0) {
                /* Try again later; until then an event would only turn the loop. */
                capture->failed = true;
                capture->over = false;
                for (int i = 0; i < _FROM_MAX; i++) {
                        unwatch(capture, &capture->sources[i]);
                        capture->sources[i].readable = true;
                }
                return r;
        }

        if (capture->failed && !capture->over) {
                for (int i = 0; i < _FROM_MAX; i++) {
                        r = watch(capture, &capture->sources[i]);
                        if (r < 0)
                                return r;
                }
        }
        capture->failed = false;
        return 0;
}

int capture_settle(Capture *capture) {
        return capture->app ? make_all_lines(capture, false) : 0;
}
