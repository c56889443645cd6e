/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>

#include "base/parse.h"
#include "base/patience.h"
#include "ipc/watchdog.h"
#include "logs/logger_internal.h"

/* Events per turn of the loop; epoll hands out the others first next time. */
#define EVENTS_PER_TURN 64
static int watch_fd(const Logger *logger, int fd, EventSource *source, EventKind kind) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};

        source->kind = kind;
        return epoll_ctl(logger->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_signals(Logger *logger) {
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGTERM);
        (void)sigaddset(&set, SIGINT);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        logger->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return logger->signal_fd < 0 ? -errno : 0;
}

static int open_folders(Logger *logger, const char *logs_dir, const char *dynos_dir) {
        logger->logs_fd = open(logs_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (logger->logs_fd < 0)
                return -errno;
        logger->dynos_fd = open(dynos_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (logger->dynos_fd < 0)
                return -errno;

        /* Watched before it is scanned, so no dyno falls in between. */
        logger->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (logger->inotify_fd < 0)
                return -errno;
        if (inotify_add_watch(
                    logger->inotify_fd,
                    dynos_dir,
                    IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR) < 0)
                return -errno;
        return 0;
}

int logger_new(Logger **ret, const char *logs_dir, const char *dynos_dir, int channel_fd) {
        _cleanup_(logger_freep) Logger *logger = NULL;
        int r;

        assert(ret);
        assert(logs_dir && dynos_dir);

        logger = calloc(1, sizeof(*logger));
        if (!logger)
                return -ENOMEM;
        logger->epoll_fd = logger->signal_fd = logger->inotify_fd = logger->channel_fd = -EBADF;
        logger->watchdog_fd = -EBADF;
        logger->logs_fd = logger->dynos_fd = -EBADF;

        logger->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (logger->epoll_fd < 0)
                return -errno;
        r = open_signals(logger);
        if (r < 0)
                return r;
        r = open_folders(logger, logs_dir, dynos_dir);
        if (r < 0)
                return r;
        r = streams_new(&logger->streams, logger->epoll_fd);
        if (r < 0)
                return r;
        r = capture_context_init(&logger->context, logger->epoll_fd, logger->streams);
        if (r < 0)
                return r;

        r = watch_fd(logger, logger->signal_fd, &logger->signal_source, EVENT_SIGNAL);
        if (r < 0)
                return r;
        r = watch_fd(logger, logger->inotify_fd, &logger->folder_source, EVENT_FOLDER);
        if (r < 0)
                return r;
        r = watch_fd(logger, channel_fd, &logger->channel_source, EVENT_CHANNEL);
        if (r < 0)
                return r;

        logger->channel_fd = channel_fd;
        *ret = TAKE_PTR(logger);
        return 0;
}

int logger_set_watchdog(Logger *logger, int watchdog_fd) {
        int r = watch_fd(logger, watchdog_fd, &logger->watchdog_source, EVENT_WATCHDOG);

        if (r < 0)
                return r;
        logger->watchdog_fd = watchdog_fd;
        return 0;
}

Logger *logger_free(Logger *logger) {
        if (!logger)
                return NULL;

        for (size_t i = 0; i < logger->n_captures; i++)
                (void)capture_free(logger->captures[i]);
        free(logger->captures);
        logger->streams = streams_free(logger->streams);
        for (size_t i = 0; i < logger->n_apps; i++)
                (void)app_log_free(logger->apps[i]);
        free(logger->apps);
        capture_context_clear(&logger->context);
        logger_free_held(logger);

        logger->watchdog_fd = safe_close(logger->watchdog_fd);
        logger->channel_fd = safe_close(logger->channel_fd);
        logger->inotify_fd = safe_close(logger->inotify_fd);
        logger->dynos_fd = safe_close(logger->dynos_fd);
        logger->logs_fd = safe_close(logger->logs_fd);
        logger->signal_fd = safe_close(logger->signal_fd);
        logger->epoll_fd = safe_close(logger->epoll_fd);
        free(logger);
        return NULL;
}

int logger_logs_fd(const Logger *logger) {
        return logger->logs_fd;
}

int logger_dynos_fd(const Logger *logger) {
        return logger->dynos_fd;
}

AppLog *logger_find_app(const Logger *logger, uint32_t number) {
        for (size_t i = 0; i < logger->n_apps; i++)
                if (app_log_number(logger->apps[i]) == number)
                        return logger->apps[i];
        return NULL;
}

bool logger_app_is_gone(const Logger *logger, uint32_t number) {
        return number <= logger->last_number && !logger_find_app(logger, number);
}

int logger_need_app(Logger *logger, uint32_t number, const char *name, AppLog **ret) {
        AppLog **apps;
        int r;

        *ret = logger_find_app(logger, number);
        if (!*ret) {
                apps = reallocarray(logger->apps, logger->n_apps + 1, sizeof(AppLog *));
                if (!apps)
                        return -ENOMEM;
                logger->apps = apps;
                r = app_log_new(
                        &apps[logger->n_apps], logger->logs_fd, number, logger->last_serial + 1);
                if (r < 0)
                        return r;
                logger->last_serial++;
                *ret = apps[logger->n_apps++];
        }
        if (name && app_log_name(*ret)[0] == '\0')
                app_log_set_name(*ret, name);
        return 0;
}

void logger_drop_app(Logger *logger, AppLog *app) {
        size_t kept = 0;

        for (size_t i = 0; i < logger->n_captures; i++)
                if (capture_app(logger->captures[i]) == app)
                        capture_forget(logger->captures[i]);

        for (size_t i = 0; i < logger->n_apps; i++)
                if (logger->apps[i] != app)
                        logger->apps[kept++] = logger->apps[i];
        logger->n_apps = kept;
        (void)app_log_free(app);
}

typedef struct Turn {
        bool folder, channel;
        Capture *captures[EVENTS_PER_TURN];
        size_t n_captures;
} Turn;

static void sort_event(Logger *logger, Turn *turn, const struct epoll_event *event) {
        EventSource *source = event->data.ptr;

        switch (source->kind) {
        case EVENT_SIGNAL:
                logger->stop = true;
                break;
        case EVENT_WATCHDOG:
                watchdog_answer(logger->watchdog_fd);
                break;
        case EVENT_CHANNEL:
                turn->channel = true;
                break;
        case EVENT_FOLDER:
                turn->folder = true;
                break;
        case EVENT_APP_FIFO:
        case EVENT_LOG_FIFO:
                capture_note(source->owner, source->kind == EVENT_APP_FIFO, event->events);
                turn->captures[turn->n_captures++] = source->owner;
                break;
        case EVENT_STREAM:
                stream_on_event(source->owner, event->events);
                break;
        }
}

/*
 * The dynos' bytes come before the folder's events (a dyno that is gone was read to its
 * end), and both before the supervisor's lines, which speak of what has happened; but for
 * a dyno that is new, whose start the supervisor spoke of before.
 * Nothing is freed before all events of the turn are through.
 */
static int run_turn(Logger *logger, const struct epoll_event *events, int n_events) {
        Turn turn = {0};
        int r = 0;

        for (int i = 0; i < n_events; i++)
                sort_event(logger, &turn, &events[i]);
        for (size_t i = 0; i < turn.n_captures; i++)
                logger_turn(logger, turn.captures[i]);

        if (turn.folder)
                r = logger_on_folder(logger);
        if (r == 0 && turn.channel)
                r = logger_on_channel(logger);
        if (r < 0)
                return r;

        if (logger->failing)
                logger_retry(logger);
        logger_load_streams(logger);
        logger_reap(logger);
        streams_flush(logger->streams);
        return 0;
}

/* How long epoll may wait, ms. */
static int wait_msec(const Logger *logger) {
        uint64_t now;

        if (logger->listed && streams_first_loading(logger->streams))
                return 0;
        if (!logger->failing)
                return -1;
        now = clock_boottime_usec();
        if (now >= logger->retry_usec)
                return 0;
        return (int)((logger->retry_usec - now) / USEC_PER_MSEC) + 1;
}

int logger_run(Logger *logger) {
        struct epoll_event events[EVENTS_PER_TURN];
        int r;

        r = logger_take_over(logger);
        if (r < 0)
                return r;

        while (!logger->stop) {
                int n = epoll_wait(logger->epoll_fd, events, EVENTS_PER_TURN, wait_msec(logger));

                if (n < 0 && errno != EINTR)
                        return -errno;
                /* A client's stream may be a socket with more of its sockets unread in it. */
                patience_begin();
                r = run_turn(logger, events, n);
                patience_end();
                if (r < 0)
                        return r;
        }

        /* What is taken becomes lines; what is not waits in the FIFOs for the next of us. */
        for (size_t i = 0; i < logger->n_captures; i++)
                if (capture_settle(logger->captures[i]) < 0)
                        break; /* it stays in the spool */
        logger_store_held(logger);
        streams_flush(logger->streams);
        return 0;
}
