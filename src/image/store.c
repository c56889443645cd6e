/* SPDX-License-Identifier: Apache-2.0 */

/* The requests, and what the end of each child leads to: see store_internal.h. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "config/config.h"
#include "image/store_internal.h"
#include "ipc/unpack_proto.h"

#define IMPORTS_MAX 64 /* at once: descriptors of root */
/* What was abandoned or removed and is not yet cleared away: 200 bytes and a folder each. */
#define CLEARING_BACKLOG_MAX 4096
#define CLOSE_WAIT_USEC (2 * USEC_PER_SEC) /* for all children together, at the end */
#define DISPATCH_MAX 64 /* events handled before the launcher's loop has its turn */

int store_open(Store **ret, const StoreOptions *options) {
        _cleanup_(store_closep) Store *store = NULL;
        int r;

        assert(ret);
        assert(options && options->unpacker && options->handler);

        store = calloc(1, sizeof(*store));
        if (!store)
                return -ENOMEM;
        store->epoll_fd = store->program_fd = -EBADF;
        store->place = (StorePlace){.root_fd = -EBADF, .archives_fd = -EBADF, .boot_fd = -EBADF};
        store->place.kind_fd[OBJECT_STACK] = store->place.kind_fd[OBJECT_SLUG] = -EBADF;
        store->place.tmp_fd = -EBADF;
        store->handler = options->handler;
        store->userdata = options->userdata;
        store->uid_base = options->uid_base;
        if (options->profile) {
                store->profile = strdup(options->profile);
                if (!store->profile)
                        return -ENOMEM;
        }

        store->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (store->epoll_fd < 0)
                return -errno;
        store->program_fd = open(options->unpacker, O_PATH | O_CLOEXEC);
        if (store->program_fd < 0)
                return -errno;
        r = store_place_open(&store->place, options->state_fd);
        if (r == 0)
                r = store_clear_leftovers(store);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(store);
        return 0;
}

/* One that waits for the disk does not even die: it is left behind, and dies of the signal. */
static void end_children(Store *store) {
        uint64_t now, deadline = clock_boottime_usec() + CLOSE_WAIT_USEC;

        for (Child *child = store->children; child; child = child->next)
                unpack_child_signal(&child->process);
        while (store->children) {
                Child *child = store->children;

                store->children = child->next;
                now = clock_boottime_usec();
                unpack_child_leave(
                        &child->process,
                        now < deadline ? (int)((deadline - now) / USEC_PER_MSEC) : 0);
                free(child);
        }
}

Store *store_close(Store *store) {
        if (!store)
                return NULL;
        end_children(store);
        while (store->imports)
                import_unlink(store, store->imports);
        store_place_close(&store->place);
        safe_close(store->epoll_fd);
        safe_close(store->program_fd);
        free(store->profile);
        free(store);
        return NULL;
}

int store_fd(const Store *store) {
        return store->epoll_fd;
}

bool store_is_idle(const Store *store) {
        return !store->children;
}

/* --- objects --- */

int store_tree_open(Store *store, ObjectKind kind, const uint8_t digest[DIGEST_SIZE], int *ret_fd) {
        return store_place_trusted(&store->place, kind, digest, ret_fd);
}

int store_part_open(int object_fd, StorePart part, int *ret_fd) {
        static const char *const names[] = {
                [STORE_PART_TREE] = "tree",
                [STORE_PART_PASSWD] = "passwd",
                [STORE_PART_GROUP] = "group",
        };
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        assert(part < ARRAY_SIZE(names));

        fd = openat(object_fd, names[part], O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (part == STORE_PART_TREE ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
                return -EBADMSG;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int store_remove(Store *store, ObjectKind kind, const uint8_t digest[DIGEST_SIZE]) {
        Import *import = NULL;
        int r;

        assert(kind < _OBJECT_KIND_MAX);

        if (import_count(store, true) >= IMPORTS_MAX + CLEARING_BACKLOG_MAX)
                return -EBUSY;
        r = import_new(store, &import);
        if (r < 0)
                return r;
        r = store_place_remove(&store->place, kind, digest, import->dir_fd);
        import_discard(store, import);
        return r;
}

/* --- requests --- */

static bool has_room(const Store *store) {
        return import_count(store, false) < IMPORTS_MAX &&
               import_count(store, true) < IMPORTS_MAX + CLEARING_BACKLOG_MAX;
}

static int start_fetch(Store *store, Import *import, UnpackJob *job) {
        _cleanup_close_ int out_fd = -EBADF, write_fd = -EBADF;
        int fds[2];

        out_fd =
                openat(import->dir_fd,
                       "archive",
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                       0600);
        if (out_fd < 0)
                return -errno;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        import->record_fd = fds[0];
        write_fd = fds[1];

        job->out_fd = out_fd;
        job->record_fd = write_fd;
        return store_child_spawn(store, CHILD_FETCH, import, job);
}

int store_fetch(Store *store, uint32_t seq, uint32_t import_id, int report_fd, uint64_t max_bytes) {
        UnpackJob job = {
                .mode = UNPACK_FETCH,
                .archive_fd = -EBADF,
                .report_fd = report_fd,
                .limits.max_bytes = max_bytes,
        };
        Import *import = NULL;
        int r;

        if (import_id == 0 || max_bytes == 0)
                return -EINVAL;
        if (import_find(store, import_id))
                return -EEXIST;
        if (!has_room(store))
                return -EBUSY;

        r = import_new(store, &import);
        if (r < 0)
                return r;
        import->id = import_id;
        import->seq = seq;
        import->state = IMPORT_FETCHING;
        r = start_fetch(store, import, &job);
        if (r < 0)
                import_discard(store, import);
        return r;
}

static int start_extract(
        Store *store, Import *import, const StoreExtract *request, int archive_fd, int report_fd) {
        _cleanup_close_ int object_fd = -EBADF;
        UnpackJob job = {
                .mode = request->kind == OBJECT_STACK ? UNPACK_EXTRACT_STACK : UNPACK_EXTRACT_SLUG,
                .archive_fd = archive_fd,
                .report_fd = report_fd,
                .record_fd = -EBADF,
                .limits = request->limits,
        };
        uid_t owner = store->uid_base + CONFIG_UID_TREES;

        if (mkdirat(import->dir_fd, "object", 0700) < 0)
                return -errno;
        object_fd =
                openat(import->dir_fd, "object", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (object_fd < 0)
                return -errno;
        /* The one file that is ever given away: a new, empty folder of our own. */
        if (fchown(object_fd, owner, owner) < 0)
                return -errno;
        job.out_fd = object_fd;
        return store_child_spawn(store, CHILD_EXTRACT, import, &job);
}

static bool is_rebuilding(const Store *store, const StoreExtract *request) {
        for (const Import *import = store->imports; import; import = import->next)
                if (import->id == 0 && import->state == IMPORT_EXTRACTING &&
                    import->kind == request->kind &&
                    memcmp(import->digest, request->digest, DIGEST_SIZE) == 0)
                        return true;
        return false;
}

static int start_verify(Store *store, Import *import, int archive_fd) {
        _cleanup_close_ int null_fd = -EBADF, write_fd = -EBADF;
        UnpackJob job = {.mode = UNPACK_FETCH, .archive_fd = archive_fd, .report_fd = -EBADF};
        int fds[2];

        null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null_fd < 0 || pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        import->record_fd = fds[0];
        write_fd = fds[1];
        job.out_fd = null_fd;
        job.record_fd = write_fd;
        return store_child_spawn(store, CHILD_VERIFY, import, &job);
}

static int open_archive(const Store *store, const uint8_t digest[DIGEST_SIZE], int *ret_fd) {
        char hex[DIGEST_TEXT_SIZE];
        int fd;

        format_digest(digest, hex);
        fd = openat(store->place.archives_fd, hex, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

/* Import 0: from the store's own archive. */
static int rebuild(Store *store, const StoreExtract *request, int report_fd) {
        /* Two descriptors, since each process reads from the start at its own speed. */
        _cleanup_close_ int extract_fd = -EBADF, verify_fd = -EBADF;
        Import *import = NULL;
        int r;

        if (is_rebuilding(store, request))
                return -EALREADY;
        if (!has_room(store))
                return -EBUSY;
        r = open_archive(store, request->digest, &extract_fd);
        if (r == 0)
                r = open_archive(store, request->digest, &verify_fd);
        if (r == 0)
                r = import_new(store, &import);
        if (r < 0)
                return r;

        assert(import);
        import->seq = request->seq;
        import->kind = request->kind;
        import->state = IMPORT_EXTRACTING;
        import->has_digest = true;
        memcpy(import->digest, request->digest, DIGEST_SIZE);
        r = start_extract(store, import, request, extract_fd, report_fd);
        if (r == 0)
                r = start_verify(store, import, verify_fd);
        if (r < 0)
                import_discard(store, import);
        return r;
}

int store_extract(Store *store, const StoreExtract *request, int report_fd) {
        _cleanup_close_ int archive_fd = -EBADF;
        Import *import = NULL;
        int r;

        if (request->kind >= _OBJECT_KIND_MAX || request->limits.max_ratio == 0)
                return -EINVAL;
        if (request->import != 0) {
                import = import_find(store, request->import);
                if (!import)
                        return -ENOENT;
                if (import->state != IMPORT_FETCHED)
                        return -EBUSY;
                if (memcmp(import->digest, request->digest, DIGEST_SIZE) != 0)
                        return -EBADMSG;
                import->kind = request->kind;
        }

        r = store_place_trusted(&store->place, request->kind, request->digest, NULL);
        if (r == 0 && import) {
                import->tree_is_there = true;
                import->state = IMPORT_EXTRACTED;
        }
        if (r != -ENOENT)
                return r == 0 ? -EEXIST : r;
        if (!import)
                return rebuild(store, request, report_fd);

        archive_fd = openat(import->dir_fd, "archive", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (archive_fd < 0)
                return -errno;
        r = start_extract(store, import, request, archive_fd, report_fd);
        import->seq = request->seq;
        import->state = r < 0 ? IMPORT_FAILED : IMPORT_EXTRACTING;
        return r;
}

void store_abandon(Store *store, uint32_t import_id) {
        Import *import = import_find(store, import_id);

        /* One that is being committed is past the point of return; its event follows. */
        if (import && import->state != IMPORT_COMMITTING)
                import_discard(store, import);
}

void store_abandon_all(Store *store) {
        Import *next;

        for (Import *import = store->imports; import; import = next) {
                next = import->next;
                if (import->state == IMPORT_CLEARING)
                        continue;
                if (import->id == 0 || import->state == IMPORT_COMMITTING) {
                        /* Goes on; whoever comes next gives out the same numbers. */
                        import->seq = 0;
                        import->id = 0;
                } else {
                        import_discard(store, import);
                }
        }
}

/* --- the end of children --- */

static void emit(Store *store, StoreEventType type, const Import *import, int result) {
        StoreEvent event = {
                .type = type,
                .seq = import->seq,
                .import = import->id,
                .result = result,
                .bytes = import->bytes,
        };

        memcpy(event.digest,
               type == STORE_EXTRACTED && import->id == 0 ? import->found : import->digest,
               DIGEST_SIZE);
        store->handler(store->userdata, &event);
}

/* The process is gone, so what it has written is in the pipe, whole or not at all. */
static int read_record(Import *import, FetchRecord *ret) {
        ssize_t n = read(import->record_fd, ret, sizeof(*ret));

        import->record_fd = safe_close(import->record_fd);
        return n < 0 ? -errno : n == sizeof(*ret) ? 0 : -EPROTO;
}

static int take_fetched(Store *store, Import *import) {
        _cleanup_close_ int fd = -EBADF;
        FetchRecord record;
        struct stat st;
        int r;

        r = read_record(import, &record);
        if (r < 0)
                return r;
        fd = openat(import->dir_fd, "archive", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if ((uint64_t)st.st_size != record.bytes)
                return -EPROTO;

        import->bytes = record.bytes;
        memcpy(import->digest, record.digest, DIGEST_SIZE);
        import->has_digest = true;
        /* Goes on while the tree is made. */
        return store_child_spawn_own(store, CHILD_SYNC_ARCHIVE, import, fd);
}

static void fetch_ended(Store *store, Import *import, int result) {
        if (result == 0)
                result = take_fetched(store, import);
        import->state = result < 0 ? IMPORT_FAILED : IMPORT_FETCHED;
        emit(store, STORE_FETCHED, import, result);
}

/* Starts to make all trees durable, so that this one is trusted after a reboot too. */
static void sync_trees(Store *store, const Import *import) {
        char marker[MARKER_SIZE];

        if (store_place_read_marker(&store->place, import->kind, import->digest, marker) < 0)
                return;
        /* If it cannot be started, the tree is made anew after a reboot: slower, not wrong. */
        if (store_child_spawn_own(store, CHILD_SYNC_TREES, NULL, store->place.root_fd) < 0)
                return;
        /* watch_child() has put it in front. */
        store->children->kind = import->kind;
        memcpy(store->children->digest, import->digest, DIGEST_SIZE);
        memcpy(store->children->marker, marker, MARKER_SIZE);
}

/* A rebuild ends with the later of its two children. */
static void rebuild_ended(Store *store, Import *import, int result) {
        if (import->result == 0)
                import->result = result;
        if (import->n_children > 0)
                return;

        result = import->result;
        if (result == 0)
                result = store_place_install(
                        &store->place, import->kind, import->digest, import->dir_fd);
        if (result == 0)
                sync_trees(store, import);
        /* Before the handler, which may ask for the same again. */
        import->state = IMPORT_CLEARING;
        emit(store, STORE_EXTRACTED, import, result);
        import_discard(store, import);
}

static void verify_ended(Store *store, Import *import, int result) {
        FetchRecord record;

        if (result == 0)
                result = read_record(import, &record);
        if (result == 0)
                memcpy(import->found, record.digest, DIGEST_SIZE);
        if (result == 0 && memcmp(record.digest, import->digest, DIGEST_SIZE) != 0)
                result = -EBADMSG;
        rebuild_ended(store, import, result);
}

static void extract_ended(Store *store, Import *import, int result) {
        if (import->id == 0) {
                rebuild_ended(store, import, result);
                return;
        }
        import->state = result < 0 ? IMPORT_FAILED : IMPORT_EXTRACTED;
        emit(store, STORE_EXTRACTED, import, result);
}

static void commit_ended(Store *store, Import *import, int result) {
        if (result == 0 && !import->tree_is_there)
                sync_trees(store, import);
        /* Out of reach of the handler, who may abandon what it has just heard of. */
        import->state = IMPORT_CLEARING;
        emit(store, STORE_COMMITTED, import, result);
        import_discard(store, import);
}

/* The tree first: an object whose archive never came is found at the next start. */
static int install(Store *store, Import *import) {
        int r = 0;

        if (!import->tree_is_there)
                r = store_place_install(
                        &store->place, import->kind, import->digest, import->dir_fd);
        if (r == 0)
                r = store_place_install_archive(&store->place, import->digest, import->dir_fd);
        if (r == 0)
                r = store_child_spawn_own(
                        store, CHILD_SYNC_FOLDER, import, store->place.archives_fd);
        return r;
}

int store_commit(Store *store, uint32_t seq, uint32_t import_id) {
        Import *import = import_find(store, import_id);
        int r;

        if (!import)
                return -ENOENT;
        if (import->state != IMPORT_EXTRACTED)
                return -EBUSY;
        if (import->result < 0)
                return import->result;

        import->seq = seq;
        import->state = IMPORT_COMMITTING;
        if (!import->archive_synced)
                return 0; /* archive_synced() goes on */
        r = install(store, import);
        if (r < 0)
                import->state = IMPORT_FAILED;
        return r;
}

static void archive_synced(Store *store, Import *import, int result) {
        import->archive_synced = true;
        if (result < 0 && import->result == 0)
                import->result = result;
        if (import->state != IMPORT_COMMITTING)
                return;
        if (result == 0)
                result = install(store, import);
        if (result < 0)
                commit_ended(store, import, result);
}

static void trees_synced(Store *store, const Child *child, int result) {
        int r = result;

        if (r == 0)
                r = store_place_mark_synced(
                        &store->place, child->kind, child->digest, child->marker);
        /* Without the marker the tree is made anew after a reboot: slower, not wrong. */
        (void)r;
}

static void child_ended(Store *store, const Child *child, int result) {
        Import *import = child->import;

        if (child->role == CHILD_SYNC_TREES) {
                trees_synced(store, child, result);
                return;
        }

        assert(import);
        import->n_children--;
        if (import->state == IMPORT_CLEARING && child->role != CHILD_REMOVE &&
            child->role != CHILD_UNLINK) {
                import_clear(store, import);
                return;
        }
        switch (child->role) {
        case CHILD_FETCH:
                fetch_ended(store, import, result);
                break;
        case CHILD_VERIFY:
                verify_ended(store, import, result);
                break;
        case CHILD_EXTRACT:
                extract_ended(store, import, result);
                break;
        case CHILD_SYNC_ARCHIVE:
                archive_synced(store, import, result);
                break;
        case CHILD_SYNC_FOLDER:
                commit_ended(store, import, result);
                break;
        case CHILD_REMOVE:
        case CHILD_UNLINK:
                import_removal_ended(store, import, result);
                break;
        case CHILD_SYNC_TREES:
                break;
        }
}

int store_dispatch(Store *store) {
        /* One at a time: a handler may end what a second event would have been about. */
        for (unsigned i = 0; i < DISPATCH_MAX; i++) {
                _cleanup_free_ Child *child = NULL;
                struct epoll_event event;
                int n, r;

                n = epoll_wait(store->epoll_fd, &event, 1, 0);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n <= 0)
                        return 0;

                /*
                 * Out of the set before the descriptor is closed: a child that was started
                 * meanwhile may still hold a copy, and would keep the entry alive.
                 */
                child = event.data.ptr;
                (void)epoll_ctl(store->epoll_fd, EPOLL_CTL_DEL, child->process.pidfd, NULL);
                r = unpack_reap(&child->process);
                if (r == -EAGAIN) /* cannot be: the descriptor is readable */
                        unpack_child_kill(&child->process);
                for (Child **p = &store->children; *p; p = &(*p)->next)
                        if (*p == child) {
                                *p = child->next;
                                break;
                        }
                child_ended(store, child, r);
        }
        return 0;
}
