/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/parse.h"
#include "logs/app_log.h"

/* Before the number of a folder that is being removed. */
#define GONE_PREFIX "."

#define NUMBER_TEXT_SIZE 13 /* decimal, of 32 bits, and a dot */

struct AppLog {
        int logs_fd; /* borrowed */
        uint32_t number;
        uint64_t serial;
        char name[APP_NAME_SIZE];
        AppLogNotes notes;
        int dir_fd;       /* -EBADF: no folder */
        History *history; /* NULL: not needed yet */
        uint64_t last_usec;
};

static const char *number_text(const char *prefix, uint32_t number, char text[NUMBER_TEXT_SIZE]) {
        (void)snprintf(text, NUMBER_TEXT_SIZE, "%s%" PRIu32, prefix, number);
        return text;
}

/* Return: 0, -ENOENT if there is none, or another negative errno. */
static int open_folder(AppLog *app) {
        char text[NUMBER_TEXT_SIZE];

        if (app->dir_fd >= 0)
                return 0;
        app->dir_fd =
                openat(app->logs_fd,
                       number_text("", app->number, text),
                       O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return app->dir_fd < 0 ? -errno : 0;
}

int app_log_new(AppLog **ret, int logs_fd, uint32_t number, uint64_t serial) {
        AppLog *app;

        assert(number > 0);

        app = calloc(1, sizeof(*app));
        if (!app)
                return -ENOMEM;
        app->logs_fd = logs_fd;
        app->dir_fd = -EBADF;
        app->number = number;
        app->serial = serial;
        (void)!open_folder(app); /* tried again when it is needed */
        *ret = app;
        return 0;
}

AppLog *app_log_free(AppLog *app) {
        if (!app)
                return NULL;

        app->history = history_free(app->history);
        app->dir_fd = safe_close(app->dir_fd);
        free(app);
        return NULL;
}

uint32_t app_log_number(const AppLog *app) {
        return app->number;
}

uint64_t app_log_serial(const AppLog *app) {
        return app->serial;
}

const char *app_log_name(const AppLog *app) {
        return app->name;
}

void app_log_set_name(AppLog *app, const char *name) {
        assert(app_name_is_valid(name));

        field_set(app->name, sizeof(app->name), name);
}

AppLogNotes *app_log_notes(AppLog *app) {
        return &app->notes;
}

int app_log_folder(AppLog *app) {
        char text[NUMBER_TEXT_SIZE];
        int r = open_folder(app);

        if (r == -ENOENT) {
                if (mkdirat(app->logs_fd, number_text("", app->number, text), 0700) < 0)
                        return -errno;
                r = open_folder(app);
        }
        return r < 0 ? r : app->dir_fd;
}

/* Most apps of a host are idle: their history is opened when it is first asked for. */
static int need_history(AppLog *app) {
        int dir_fd, r;

        if (app->history)
                return 0;
        dir_fd = app_log_folder(app);
        if (dir_fd < 0)
                return dir_fd;
        r = history_open(&app->history, dir_fd);
        if (r < 0)
                return r;
        app->last_usec = history_last_usec(app->history);
        return 0;
}

int app_log_time(AppLog *app, uint64_t usec, uint64_t *ret_usec) {
        uint64_t now = clock_realtime_usec();
        int r;

        r = need_history(app);
        if (r < 0)
                return r;

        /* The clock may be set back; lines stay in their order, which merging relies on. */
        if (usec > now)
                usec = now;
        if (usec > app->last_usec)
                app->last_usec = usec;
        *ret_usec = app->last_usec;
        return 0;
}

int app_log_append(AppLog *app, const HistoryCommit *commit, const RecordBuffer *records) {
        int r = need_history(app);

        return r < 0 ? r : history_append(app->history, commit, records);
}

int app_log_read(AppLog *app, size_t max_lines, RecordBuffer *buffer) {
        int r = open_folder(app);

        if (r == -ENOENT)
                return 0;
        if (r == 0)
                r = need_history(app);
        return r < 0 ? r : history_read(app->history, max_lines, app->name, buffer);
}

int app_log_committed(AppLog *app, const char *id, LogSource source, uint64_t *ret_done) {
        const HistoryCommit *last;
        int r;

        r = need_history(app);
        if (r < 0)
                return r;

        last = history_last_commit(app->history);
        *ret_done = last->source == source && strcmp(last->id, id) == 0 ? last->done : 0;
        return 0;
}

/* A folder of ours holds files only. As many of them as can be. */
static int remove_folder(int logs_fd, const char *name) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r;

        r = dir_open_at(logs_fd, name, &dir);
        if (r < 0)
                return r;
        assert(dir);

        while ((entry = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): one thread */
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                if (unlinkat(dirfd(dir), entry->d_name, 0) < 0 && errno != ENOENT)
                        r = -errno;
        }

        if (r == 0 && unlinkat(logs_fd, name, AT_REMOVEDIR) < 0)
                r = -errno;
        return r;
}

int app_log_remove(int logs_fd, uint32_t number) {
        char text[NUMBER_TEXT_SIZE], gone[NUMBER_TEXT_SIZE];

        (void)number_text(GONE_PREFIX, number, gone);
        if (renameat(logs_fd, number_text("", number, text), logs_fd, gone) < 0)
                return errno == ENOENT ? 0 : -errno;
        return remove_folder(logs_fd, gone);
}

void app_log_clean(int logs_fd) {
        _cleanup_closedir_ DIR *dir = NULL;
        char text[NUMBER_TEXT_SIZE];
        uint32_t number;

        if (dir_open_at(logs_fd, ".", &dir) < 0)
                return;
        assert(dir);
        while (dir_next_number(dir, GONE_PREFIX, NULL, &number))
                (void)!remove_folder(logs_fd, number_text(GONE_PREFIX, number, text));
}
