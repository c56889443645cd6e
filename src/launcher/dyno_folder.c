/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "ipc/dyno_state.h"
#include "launcher/dynos_internal.h"

#define FOLDER_NAME_SIZE (DYNO_ID_SIZE + 1) /* with the dot */

static void hidden_name(const char *id, char ret[FOLDER_NAME_SIZE]) {
        (void)snprintf(ret, FOLDER_NAME_SIZE, ".%s", id);
}

/*
 * dyno-init opens what it was handed again, through /proc/self/fd (write), the logger by path
 * (read), nobody else: 0420 owner logger, group dyno. An app that got hold of it must not own it:
 * it could take the mode away and keep the logger out for ever. Safe: a new name in root's folder.
 */
static int make_fifo(const Dyno *dyno, int dir_fd, const char *name) {
        if (mkfifoat(dir_fd, name, 0) < 0 ||
            fchownat(
                    dir_fd,
                    name,
                    dyno->launcher->config->logger_uid,
                    dyno->slot.uid,
                    AT_SYMLINK_NOFOLLOW) < 0 ||
            fchmodat(dir_fd, name, 0420, 0) < 0)
                return -errno;
        return 0;
}

static int open_file(int dir_fd, const char *name, int flags, int *ret_fd) {
        *ret_fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
        return *ret_fd < 0 ? -errno : 0;
}

/*
 * A pipe's pages count for the real user who is the first to open it, also what the logger and
 * dyno-init make of its size (F_SETPIPE_SZ): where that is root, 64 dynos leave none to the host's
 * services.
 *
 * Safe: one thread, the effective and saved uids stay root's, and no way back is the end.
 */
static int open_fifos(Dyno *dyno, int dir_fd) {
        int r;

        if (setresuid(dyno->slot.uid, (uid_t)-1, (uid_t)-1) < 0)
                return -errno;
        r = open_file(dir_fd, "app", O_RDWR | O_NONBLOCK, &dyno->app_fifo_fd);
        if (r == 0)
                r = open_file(dir_fd, "log", O_RDWR | O_NONBLOCK, &dyno->log_fifo_fd);
        if (setresuid(0, (uid_t)-1, (uid_t)-1) < 0)
                abort();
        return r;
}

static int open_files(Dyno *dyno, int dir_fd, int status_flags) {
        int r;

        r = open_fifos(dyno, dir_fd);
        if (r == 0)
                r = open_file(dir_fd, "status", O_RDWR | status_flags, &dyno->status_fd);
        return r;
}

int dyno_folder_make(Dyno *dyno) {
        const Launcher *launcher = dyno->launcher;
        _cleanup_close_ int dir_fd = -EBADF;
        char name[FOLDER_NAME_SIZE];
        int r;

        hidden_name(dyno->facts.start.id, name);
        if (mkdirat(launcher->dynos_dir_fd, name, 0700) < 0)
                return -errno;

        r = open_file(launcher->dynos_dir_fd, name, O_RDONLY | O_DIRECTORY, &dir_fd);
        if (r == 0)
                r = make_fifo(dyno, dir_fd, "app");
        if (r == 0)
                r = make_fifo(dyno, dir_fd, "log");
        if (r == 0)
                r = open_files(dyno, dir_fd, O_CREAT | O_EXCL);
        /* The logger may enter and look; the dyno's uid has no way here. */
        if (r == 0 &&
            (fchown(dir_fd, 0, launcher->config->logger_gid) < 0 || fchmod(dir_fd, 0750) < 0))
                r = -errno;
        if (r < 0)
                dyno_folder_remove(launcher, name);
        return r;
}

int dyno_folder_open(Dyno *dyno) {
        _cleanup_close_ int dir_fd = -EBADF;
        int r;

        r = open_file(
                dyno->launcher->dynos_dir_fd,
                dyno->facts.start.id,
                O_RDONLY | O_DIRECTORY,
                &dir_fd);
        return r < 0 ? r : open_files(dyno, dir_fd, 0);
}

int dyno_folder_publish(Dyno *dyno, bool complete) {
        const Launcher *launcher = dyno->launcher;
        const char *id = dyno->facts.start.id;
        _cleanup_close_ int dir_fd = -EBADF;
        char name[FOLDER_NAME_SIZE], state[DYNO_STATE_SIZE_MAX];
        int r;

        hidden_name(id, name);
        r = open_file(
                launcher->dynos_dir_fd, complete ? name : id, O_RDONLY | O_DIRECTORY, &dir_fd);
        if (r == 0)
                r = file_replace_at(
                        dir_fd,
                        "state",
                        state,
                        dyno_state_write(state, &dyno->facts),
                        0444,
                        FILE_SYNC_NONE);
        if (r == 0 && complete &&
            renameat(launcher->dynos_dir_fd, name, launcher->dynos_dir_fd, id) < 0)
                r = -errno;
        return r;
}

int dyno_folder_watch(Dyno *dyno) {
        char path[64];

        /* By descriptor: the folder may just have been renamed. */
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", dyno->status_fd);
        dyno->watch = inotify_add_watch(dyno->launcher->inotify_fd, path, IN_MODIFY);
        return dyno->watch < 0 ? -errno : 0;
}

void dyno_folder_remove(const Launcher *launcher, const char *name) {
        static const char *const files[] = {"app", "log", "status", "state", ".state.tmp"};
        _cleanup_close_ int dir_fd = -EBADF;

        /* Safe: only root writes here, and no link is followed. */
        if (open_file(launcher->dynos_dir_fd, name, O_RDONLY | O_DIRECTORY, &dir_fd) < 0)
                return;
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                (void)unlinkat(dir_fd, files[i], 0);
        (void)unlinkat(launcher->dynos_dir_fd, name, AT_REMOVEDIR);
}

int dyno_folder_read_facts(const Launcher *launcher, const char *id, LaunchDynoFacts *ret) {
        _cleanup_close_ int dir_fd = -EBADF, fd = -EBADF;
        char state[DYNO_STATE_SIZE_MAX];
        ssize_t n;
        int r;

        r = open_file(launcher->dynos_dir_fd, id, O_RDONLY | O_DIRECTORY, &dir_fd);
        if (r == 0)
                r = open_file(dir_fd, "state", O_RDONLY, &fd);
        if (r < 0)
                return r;

        n = read(fd, state, sizeof(state));
        return n < 0 ? -errno : dyno_state_read(state, (size_t)n, id, ret);
}

bool dyno_read_status(const Dyno *dyno, StatusRecord *ret) {
        StatusRecord record;

        if (pread(dyno->status_fd, &record, sizeof(record), 0) != (ssize_t)sizeof(record))
                return false;
        if (record.magic != STATUS_RECORD_MAGIC || (record.flags & ~STATUS_FLAGS_ALL) != 0 ||
            record.exit_status > 255)
                return false;

        *ret = record;
        return true;
}

bool dyno_is_drained(const Dyno *dyno) {
        int app = 0, log = 0;

        return ioctl(dyno->app_fifo_fd, FIONREAD, &app) == 0 &&
               ioctl(dyno->log_fifo_fd, FIONREAD, &log) == 0 && app == 0 && log == 0;
}
