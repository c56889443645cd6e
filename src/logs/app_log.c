/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/parse.h"
#include "logs/app_log.h"

/* Where a folder waits for its removal: no name of an app begins with a dot. */
#define GONE_NAME ".gone"

struct AppLog {
        char name[APP_NAME_SIZE];
        uint64_t serial;
        int dir_fd;
        History *history; /* NULL: not needed yet */
        uint64_t last_usec;
};

int app_log_open(AppLog **ret, int dir_fd, const char *name, uint64_t serial) {
        _cleanup_(app_log_freep) AppLog *app = NULL;

        assert(app_name_is_valid(name));

        app = calloc(1, sizeof(*app));
        if (!app)
                return -ENOMEM;
        app->dir_fd = -EBADF;
        app->serial = serial;
        field_set(app->name, sizeof(app->name), name);

        if (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
                return -errno;
        app->dir_fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (app->dir_fd < 0)
                return -errno;

        *ret = TAKE_PTR(app);
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

const char *app_log_name(const AppLog *app) {
        return app->name;
}

uint64_t app_log_serial(const AppLog *app) {
        return app->serial;
}

int app_log_dir_fd(const AppLog *app) {
        return app->dir_fd;
}

/* Most apps of a host are idle: their history is opened when it is first asked for. */
static int need_history(AppLog *app) {
        int r;

        if (app->history)
                return 0;
        r = history_open(&app->history, app->dir_fd);
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
        int r = need_history(app);

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

/* A folder of ours holds files only. */
static int remove_folder(int dir_fd, const char *name) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r;

        r = dir_open_at(dir_fd, name, &dir);
        if (r < 0)
                return r;
        assert(dir);

        while ((entry = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): one thread */
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                if (unlinkat(dirfd(dir), entry->d_name, 0) < 0 && errno != ENOENT)
                        return -errno;
        }

        return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

void app_log_clean(int dir_fd) {
        (void)remove_folder(dir_fd, GONE_NAME); /* usually there is none */
}

int app_log_remove(int dir_fd, const char *name) {
        app_log_clean(dir_fd);
        if (renameat(dir_fd, name, dir_fd, GONE_NAME) < 0)
                return errno == ENOENT ? 0 : -errno;
        return remove_folder(dir_fd, GONE_NAME);
}

int app_log_rename(AppLog *app, int dir_fd, const char *new_name) {
        int r;

        assert(app_name_is_valid(new_name));

        if (strcmp(app->name, new_name) == 0)
                return 0;
        r = app_log_remove(dir_fd, new_name);
        if (r < 0)
                return r;
        if (renameat(dir_fd, app->name, dir_fd, new_name) < 0)
                return -errno;
        field_set(app->name, sizeof(app->name), new_name);
        return 0;
}
