/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which dynos there are: folders below /run, and spools that an earlier logger left. A
 * spool whose dyno is gone is made into lines and removed.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/file.h"
#include "base/log.h"
#include "base/parse.h"
#include "ipc/dyno_state.h"
#include "logs/logger_internal.h"

static Capture *find_capture(const Logger *logger, const char *id) {
        for (size_t i = 0; i < logger->n_captures; i++)
                if (strcmp(capture_id(logger->captures[i]), id) == 0)
                        return logger->captures[i];
        return NULL;
}

static int add_capture(Logger *logger, AppLog *app, const char *id, Capture **ret) {
        _cleanup_(capture_freep) Capture *capture = NULL;
        Capture **captures;
        int r;

        captures = reallocarray(logger->captures, logger->n_captures + 1, sizeof(Capture *));
        if (!captures)
                return -ENOMEM;
        logger->captures = captures;

        r = capture_new(&capture, &logger->context, app, id);
        if (r < 0)
                return r;
        *ret = logger->captures[logger->n_captures++] = TAKE_PTR(capture);
        return 0;
}

static void remove_capture(Logger *logger, size_t i) {
        (void)capture_free(logger->captures[i]);
        logger->captures[i] = logger->captures[--logger->n_captures];
}

/* Disks are freed by people: twice a second is often enough. */
#define RETRY_USEC (USEC_PER_SEC / 2)

void logger_set_failing(Logger *logger) {
        if (!logger->failing)
                logger->retry_usec = clock_boottime_usec() + RETRY_USEC;
        logger->failing = true;
}

void logger_turn(Logger *logger, Capture *capture) {
        int r = capture_turn(capture);

        if (r < 0) {
                if (!logger->failing)
                        log_error_errno(
                                r,
                                "%s: cannot store its output, which waits in its FIFO: %m",
                                capture_id(capture));
                logger_set_failing(logger);
        }
}

void logger_reap(Logger *logger) {
        for (size_t i = logger->n_captures; i > 0; i--)
                if (capture_is_over(logger->captures[i - 1]))
                        remove_capture(logger, i - 1);
}

/* The facts that root wrote down about a dyno, as far as they are used here. */
static int read_facts(int dir_fd, const char *id, LaunchDynoFacts *ret) {
        _cleanup_close_ int fd = -EBADF;
        char state[DYNO_STATE_SIZE_MAX];
        ssize_t n;
        int r;

        fd = openat(dir_fd, "state", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        n = pread(fd, state, sizeof(state), 0);
        if (n < 0)
                return -errno;
        r = dyno_state_read(state, (size_t)n, id, ret);
        return r > 0 ? -EBADMSG : r; /* a newer one: root does not start over that either */
}

static int attach(Logger *logger, const char *id) {
        _cleanup_close_ int dir_fd = -EBADF;
        LaunchDynoFacts facts = {0};
        Capture *capture;
        AppLog *app = NULL;
        int r;

        dir_fd = openat(logger->dynos_fd, id, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (dir_fd < 0)
                return -errno;

        capture = find_capture(logger, id);
        if (!capture) {
                r = read_facts(dir_fd, id, &facts);
                if (r < 0)
                        return r;
                /* Its app may be gone before it is drained: then its output is nobody's. */
                if (!logger_app_is_gone(logger, facts.start.app_number)) {
                        r = logger_need_app(logger, facts.start.app_number, facts.start.app, &app);
                        if (r < 0)
                                return r;
                }
                r = add_capture(logger, app, id, &capture);
                if (r < 0)
                        return r;
        } else if (capture_is_attached(capture)) {
                return 0; /* found twice: by the scan and by its event */
        }

        r = capture_attach(capture, dir_fd);
        if (r < 0)
                return r;
        logger_turn(logger, capture);
        return 0;
}

/* Whether room for a spool or a descriptor may be there later. */
static bool may_pass(int r) {
        return r == -ENOSPC || r == -EDQUOT || r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

/* One dyno that cannot be captured must not stop the others. */
static void try_attach(Logger *logger, const char *id) {
        int r;

        if (!dyno_id_is_valid(id))
                return;
        r = attach(logger, id);
        if (r == 0 || r == -ENOENT)
                return;

        if (!logger->failing || !may_pass(r))
                log_error_errno(r, "%s: cannot read its output, which waits: %m", id);
        if (may_pass(r)) {
                logger->rescan = true;
                logger_set_failing(logger);
        }
}

static int scan_dynos(Logger *logger) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r;

        r = dir_open_at(logger->dynos_fd, ".", &dir);
        if (r < 0)
                return r;
        assert(dir);

        while ((entry = readdir(dir))) /* NOLINT(concurrency-mt-unsafe): one thread */
                try_attach(logger, entry->d_name);
        return 0;
}

void logger_retry(Logger *logger) {
        bool failing = false;

        if (clock_boottime_usec() < logger->retry_usec)
                return;

        if (logger->rescan) {
                logger->rescan = false;
                (void)!scan_dynos(logger); /* says itself what fails, and sets it again */
        }
        for (size_t i = 0; i < logger->n_captures; i++) {
                if (!capture_has_failed(logger->captures[i]))
                        continue;
                logger_turn(logger, logger->captures[i]);
                failing = failing || capture_has_failed(logger->captures[i]);
        }
        logger_store_held(logger);

        failing = failing || logger->rescan || logger->held;
        if (!failing)
                log_notice("The output of dynos is stored again.");
        logger->failing = failing;
        logger->retry_usec = clock_boottime_usec() + RETRY_USEC;
}

/* Opens the spool that a file of an app's folder is, if it is one. */
static int take_over_file(Logger *logger, AppLog *app, int dir_fd, const char *name) {
        char id[DYNO_ID_SIZE] = "";
        const char *suffix = strrchr(name, '.');
        Capture *capture;

        if (name[0] == '.' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
                /* A replacement that was not finished: what it was to replace is there. */
                (void)unlinkat(dir_fd, name, 0);
                return 0;
        }
        if (!suffix || (strcmp(suffix, ".app") != 0 && strcmp(suffix, ".log") != 0) ||
            (size_t)(suffix - name) >= sizeof(id))
                return 0;
        memcpy(id, name, (size_t)(suffix - name));
        if (!dyno_id_is_valid(id) || find_capture(logger, id))
                return 0;

        return add_capture(logger, app, id, &capture);
}

static int take_over_app(Logger *logger, uint32_t number) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        AppLog *app;
        int dir_fd, r;

        r = logger_need_app(logger, number, NULL, &app);
        if (r < 0)
                return r;
        dir_fd = app_log_folder(app);
        if (dir_fd < 0)
                return dir_fd;
        r = dir_open_at(dir_fd, ".", &dir);
        if (r < 0)
                return r;
        assert(dir);

        while ((entry = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): one thread */
                r = take_over_file(logger, app, dir_fd, entry->d_name);
                if (r < 0)
                        return r;
        }
        return 0;
}

int logger_take_over(Logger *logger) {
        _cleanup_closedir_ DIR *dir = NULL;
        uint32_t number;
        int r;

        app_log_clean(logger->logs_fd);
        r = dir_open_at(logger->logs_fd, ".", &dir);
        if (r < 0)
                return r;
        assert(dir);

        while (dir_next_number(dir, "", NULL, &number)) {
                r = take_over_app(logger, number);
                if (r < 0)
                        log_error_errno(r, "App %u: cannot take over its logs: %m", number);
        }

        r = scan_dynos(logger);
        if (r < 0)
                return r;

        /* Attached or not, an earlier logger may have taken bytes that are not lines yet. */
        for (size_t i = 0; i < logger->n_captures; i++) {
                if (!capture_is_attached(logger->captures[i]))
                        capture_note_gone(logger->captures[i]);
                logger_turn(logger, logger->captures[i]);
        }
        logger_reap(logger);
        return 0;
}

static int on_folder_event(Logger *logger, const struct inotify_event *event) {
        Capture *capture;
        int r;

        if (event->mask & IN_Q_OVERFLOW) {
                /* Dynos that ended meanwhile end by their FIFOs. */
                if (scan_dynos(logger) < 0)
                        log_error("The folder of dynos cannot be read.");
                return 0;
        }
        if (event->len == 0 || !dyno_id_is_valid(event->name))
                return 0;
        if (event->mask & IN_MOVED_TO) {
                /* "Release created" was sent before the dyno was there, and stands before it. */
                r = logger_on_channel(logger);
                if (r == 0)
                        try_attach(logger, event->name);
                return r;
        }

        capture = find_capture(logger, event->name);
        if (capture) {
                capture_note_gone(capture);
                logger_turn(logger, capture);
        }
        return 0;
}

int logger_on_folder(Logger *logger) {
        _Alignas(struct inotify_event) char buf[16384];
        ssize_t n;

        do
                n = read(logger->inotify_fd, buf, sizeof(buf));
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;

        for (ssize_t pos = 0; pos < n;) {
                const struct inotify_event *event = (const struct inotify_event *)(buf + pos);
                int r = on_folder_event(logger, event);

                if (r < 0)
                        return r;
                pos += (ssize_t)(sizeof(*event) + event->len);
        }
        return 0;
}
