/* SPDX-License-Identifier: Apache-2.0 */

/* See store_internal.h. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/file.h"
#include "config/config.h"
#include "image/store_internal.h"

#define CLEARING_MAX 2 /* removals at once: they only compete for the disk */
/* Bytes: a file system frees this much in milliseconds. What is larger, a child deletes. */
#define LARGE_ARCHIVE (INT64_C(64) << 20)

/* There are far more uids than children at once: one comes back only long after its end. */
static uid_t next_uid(Store *store) {
        return store->uid_base + CONFIG_UID_IMPORTS + store->n_uids++ % CONFIG_IMPORT_UIDS;
}

Import *import_find(const Store *store, uint32_t id) {
        for (Import *import = store->imports; import; import = import->next)
                if (id != 0 && import->id == id && import->state != IMPORT_CLEARING)
                        return import;
        return NULL;
}

unsigned import_count(const Store *store, bool clearing) {
        unsigned n = 0;

        for (const Import *import = store->imports; import; import = import->next)
                n += clearing || import->state != IMPORT_CLEARING;
        return n;
}

static Import *import_free(Import *import) {
        if (!import)
                return NULL;
        safe_close(import->dir_fd);
        safe_close(import->record_fd);
        free(import);
        return NULL;
}
DEFINE_CLEANUP(Import, import_free)

void import_unlink(Store *store, Import *import) {
        for (Import **p = &store->imports; *p; p = &(*p)->next)
                if (*p == import) {
                        *p = import->next;
                        break;
                }
        import_free(import);
}

/* A folder below tmp/ that exists becomes an import. */
static int adopt_folder(Store *store, const char *name, Import **ret) {
        _cleanup_(import_freep) Import *import = calloc(1, sizeof(*import));

        if (!import)
                return -ENOMEM;
        import->record_fd = -EBADF;
        import->dir_fd =
                openat(store->place.tmp_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (import->dir_fd < 0)
                return -errno;
        (void)snprintf(import->name, sizeof(import->name), "%s", name);
        import->next = store->imports;
        store->imports = import;
        *ret = TAKE_PTR(import);
        return 0;
}

int import_new(Store *store, Import **ret) {
        char name[48];
        int r;

        /* Unlike any that an earlier dynod may have left behind. */
        (void)snprintf(
                name,
                sizeof(name),
                "%llx-%llu",
                (unsigned long long)clock_realtime_usec(),
                (unsigned long long)store->n_names++);
        if (mkdirat(store->place.tmp_fd, name, 0700) < 0)
                return -errno;
        r = adopt_folder(store, name, ret);
        if (r < 0)
                (void)unlinkat(store->place.tmp_fd, name, AT_REMOVEDIR);
        return r;
}

/* --- children --- */

static int watch_child(Store *store, ChildRole role, Import *import, UnpackChild *process) {
        struct epoll_event event = {.events = EPOLLIN};
        Child *child = calloc(1, sizeof(*child));

        if (child) {
                *child = (Child){.role = role, .process = *process, .import = import};
                event.data.ptr = child;
        }
        if (!child || epoll_ctl(store->epoll_fd, EPOLL_CTL_ADD, process->pidfd, &event) < 0) {
                int r = child ? -errno : -ENOMEM;

                free(child);
                unpack_child_kill(process);
                return r;
        }
        child->next = store->children;
        store->children = child;
        if (import)
                import->n_children++;
        *process = (UnpackChild)UNPACK_CHILD_INIT;
        return 0;
}

int store_child_spawn(Store *store, ChildRole role, Import *import, UnpackJob *job) {
        UnpackChild process = UNPACK_CHILD_INIT;
        int r;

        job->tree_uid = store->uid_base + CONFIG_UID_TREES;
        job->uid = next_uid(store);
        r = unpack_spawn(store->program_fd, store->profile, job, &process);
        return r < 0 ? r : watch_child(store, role, import, &process);
}

/* In the child: waits for the disk, with nothing of the launcher's kept open meanwhile. */
static _Noreturn void run_sync(int fd, bool whole) {
        int r;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (dup2(fd, 0) < 0 || syscall(SYS_close_range, 1U, ~0U, 0) < 0)
                _exit(EIO);
        r = whole ? syncfs(0) : fsync(0);
        _exit(r < 0 ? errno : 0);
}

/*
 * In the child: nothing but this one name, in a folder of root's own. Killed or not, the
 * kernel ends what it has begun; what it has not is found by the next start.
 */
static _Noreturn void run_unlink(int dir_fd) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (dup2(dir_fd, 0) < 0 || syscall(SYS_close_range, 1U, ~0U, 0) < 0)
                _exit(EIO);
        _exit(unlinkat(0, "archive", 0) < 0 && errno != ENOENT ? errno : 0);
}

int store_child_spawn_own(Store *store, ChildRole role, Import *import, int fd) {
        int pidfd = -EBADF;
        struct clone_args args = {
                .flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
                .pidfd = (uint64_t)(uintptr_t)&pidfd,
                .exit_signal = SIGCHLD,
        };
        UnpackChild process;
        pid_t pid;

        pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0)
                return -errno;
        if (pid == 0 && role == CHILD_UNLINK)
                run_unlink(fd);
        if (pid == 0)
                run_sync(fd, role == CHILD_SYNC_TREES);
        process = (UnpackChild){.pid = pid, .pidfd = pidfd};
        return watch_child(store, role, import, &process);
}

static void signal_children(const Store *store, const Import *import) {
        for (const Child *child = store->children; child; child = child->next)
                if (child->import == import)
                        (void)syscall(
                                SYS_pidfd_send_signal, child->process.pidfd, SIGKILL, NULL, 0);
}

/* --- clearing --- */

static int spawn_removal(Store *store, Import *import) {
        _cleanup_close_ int object_fd = -EBADF;
        UnpackJob job = {
                .mode = UNPACK_REMOVE,
                .archive_fd = -EBADF,
                .report_fd = -EBADF,
                .record_fd = -EBADF,
        };

        object_fd = openat(import->dir_fd, "object", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (object_fd < 0)
                return -errno;
        job.out_fd = object_fd;
        return store_child_spawn(store, CHILD_REMOVE, import, &job);
}

static bool has_large_archive(const Import *import) {
        struct stat st;

        return fstatat(import->dir_fd, "archive", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
               st.st_size > LARGE_ARCHIVE;
}

/* Opens the folder again. False: not now, or @import is no more. */
static bool can_clear(Store *store, Import *import) {
        if (import->dir_fd >= 0)
                return true;
        if (store->n_removing >= CLEARING_MAX)
                return false; /* clear_next() comes back to it */
        import->dir_fd = openat(
                store->place.tmp_fd, import->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (import->dir_fd >= 0)
                return true;
        import_unlink(store, import); /* left for the next start */
        return false;
}

/* Goes on with @import as far as it can; frees it at its end. */
void import_clear(Store *store, Import *import) {
        bool is_large;
        int r;

        if (import->n_children > 0 || import->removing || !can_clear(store, import))
                return;

        is_large = has_large_archive(import);
        if (!is_large)
                (void)unlinkat(import->dir_fd, "archive", 0);
        if (is_large || (unlinkat(import->dir_fd, "object", AT_REMOVEDIR) < 0 && errno != ENOENT)) {
                if (store->n_removing >= CLEARING_MAX) {
                        import->dir_fd = safe_close(import->dir_fd); /* many may wait */
                        return;
                }
                r = is_large ? store_child_spawn_own(store, CHILD_UNLINK, import, import->dir_fd)
                             : spawn_removal(store, import);
                if (r == 0) {
                        import->removing = true;
                        store->n_removing++;
                        return;
                }
                /* It stays in tmp/ for the next start. */
        }
        (void)unlinkat(store->place.tmp_fd, import->name, AT_REMOVEDIR);
        import_unlink(store, import);
}

void import_discard(Store *store, Import *import) {
        import->state = IMPORT_CLEARING;
        signal_children(store, import);
        import->record_fd = safe_close(import->record_fd);
        if (import->n_children > 0)
                import->dir_fd = safe_close(import->dir_fd); /* they may take their time to end */
        import_clear(store, import);
}

static void clear_next(Store *store) {
        Import *next;

        for (Import *import = store->imports; import; import = next) {
                next = import->next;
                if (import->state == IMPORT_CLEARING)
                        import_clear(store, import);
        }
}

void import_removal_ended(Store *store, Import *import, int result) {
        import->removing = false;
        store->n_removing--;
        /* What cannot be removed now is left for the next start, not tried again for ever. */
        if (result < 0)
                import_unlink(store, import);
        clear_next(store);
}

/* Every name in @dir_fd, through @found, which may take it away. */
static int for_each_name(
        Store *store,
        int dir_fd,
        int (*found)(Store *, const char *name, unsigned arg),
        unsigned arg) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r;

        r = dir_open_at(dir_fd, ".", &dir);
        if (r < 0)
                return r;
        assert(dir);
        while (r == 0 && (errno = 0, entry = readdir(dir))) // NOLINT(concurrency-mt-unsafe)
                if (entry->d_name[0] != '.')
                        r = found(store, entry->d_name, arg);
        return r < 0 ? r : -errno;
}

static int found_leftover(Store *store, const char *name, unsigned arg) {
        Import *import = NULL;
        int r;

        (void)arg;
        r = adopt_folder(store, name, &import);
        if (r == -ENOTDIR)
                return unlinkat(store->place.tmp_fd, name, 0) < 0 ? -errno : 0;
        if (r < 0)
                return r;
        assert(import);
        import->state = IMPORT_CLEARING;
        import->dir_fd = safe_close(import->dir_fd);
        return 0;
}

/* An object without its archive: the commit that moved it there was cut off. */
static int found_object(Store *store, const char *name, unsigned kind) {
        struct stat st;
        Import *import = NULL;
        int r;

        if (fstatat(store->place.archives_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return 0;
        r = import_new(store, &import);
        if (r < 0)
                return r;
        assert(import);
        import->state = IMPORT_CLEARING;
        if (renameat(store->place.kind_fd[kind], name, import->dir_fd, "object") < 0)
                return -errno;
        import->dir_fd = safe_close(import->dir_fd);
        return 0;
}

int store_clear_leftovers(Store *store) {
        int r;

        r = for_each_name(store, store->place.tmp_fd, found_leftover, 0);
        for (unsigned kind = 0; kind < _OBJECT_KIND_MAX && r == 0; kind++)
                r = for_each_name(store, store->place.kind_fd[kind], found_object, kind);
        if (r == 0)
                clear_next(store);
        return r;
}
