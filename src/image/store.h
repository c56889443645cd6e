/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The content-addressed store of stacks and slugs, as root keeps it.
 *
 * Root makes folders, renames, and starts dynod-unpacker; it reads no byte of an archive
 * and neither walks nor changes a tree. The archive is durable and the truth. A tree is a
 * cache of it: trusted if it was extracted since boot, or if everything was synced after
 * it was extracted; otherwise it does not exist and is extracted again.
 *
 *   archives/DIGEST           as received
 *   stacks/DIGEST/            tree/, passwd, group
 *   slugs/DIGEST/             tree/
 *   boot/KIND-DIGEST          why the tree of that object is trusted
 *   tmp/NAME/                 archive, object/: one import, or one removal, under way
 *
 * All work is done by children. The store has one epoll descriptor: when it is readable,
 * call store_dispatch(), which calls the handler for every request that ended. One thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "image/unpack_spawn.h"
#include "ipc/launch_proto.h"

typedef struct Store Store;

typedef enum StoreEventType {
        STORE_FETCHED,   /* @bytes and @digest are set if @result is 0 */
        STORE_EXTRACTED, /* @result: -EBADMSG: refused, or the store's archive is damaged */
        STORE_COMMITTED,
} StoreEventType;

typedef struct StoreEvent {
        StoreEventType type;
        uint32_t seq;    /* as given with the request, or 0: nobody waits for it any more */
        uint32_t import; /* 0: extracted from the store's own archive, and committed */
        int result;      /* 0 or a negative errno */
        uint64_t bytes;
        uint8_t digest[DIGEST_SIZE]; /* EXTRACTED of import 0: of the archive as it is, or zeroes */
} StoreEvent;

/* Called from store_dispatch(), never from within a request. May call any request. */
typedef void (*StoreHandler)(void *userdata, const StoreEvent *event);

typedef struct StoreOptions {
        int state_fd;         /* the state folder; borrowed during store_open() */
        const char *unpacker; /* path of dynod-unpacker; opened by store_open() */
        const char *profile;  /* its AppArmor profile, or NULL; copied */
        uint32_t uid_base;    /* see CONFIG_UID_* */
        StoreHandler handler;
        void *userdata;
} StoreOptions;

/**
 * store_open() - open the store and begin to clear away what was under way when it ended
 * @ret:      owned by the caller, store_close() it
 * @options:  see there
 *
 * Return: 0 or a negative errno.
 */
int store_open(Store **ret, const StoreOptions *options) _must_check_;

/* Kills every child and releases @store; what was under way is cleared by the next store_open(). */
Store *store_close(Store *store);
DEFINE_CLEANUP(Store, store_close)

int store_fd(const Store *store); /* for EPOLLIN; borrowed */

/* Handles what is ready, without waiting. Return: 0 or a negative errno of the loop itself. */
int store_dispatch(Store *store) _must_check_;

/* True if no child runs: for tests, and for a clean end. */
bool store_is_idle(const Store *store);

/**
 * store_tree_open() - open a trusted object for a start; the only call on the start path
 * @store:   the store
 * @kind:    stack or slug
 * @digest:  of its archive
 * @ret_fd:  O_PATH descriptor of the object's folder, owned by the caller; its parts are
 *           opened by store_part_open()
 *
 * Return: 0, -ENOENT if there is no tree to be trusted (extract it with import 0; if that is
 * -ENOENT too, there is no such object), or a negative errno.
 */
int store_tree_open(Store *store, ObjectKind kind, const uint8_t digest[DIGEST_SIZE], int *ret_fd)
        _must_check_;

typedef enum StorePart {
        STORE_PART_TREE,   /* folder */
        STORE_PART_PASSWD, /* file, stacks only: to be mounted over /etc/passwd */
        STORE_PART_GROUP,  /* file, stacks only */
} StorePart;

/**
 * store_part_open() - open a part of an object
 * @object_fd:  from store_tree_open(); borrowed
 * @part:       which
 * @ret_fd:     O_PATH descriptor, owned by the caller
 *
 * The object was written by a process that has seen a hostile archive. No link is followed,
 * and a part that is not of its kind of file is -EBADMSG.
 */
int store_part_open(int object_fd, StorePart part, int *ret_fd) _must_check_;

/**
 * store_fetch() - LAUNCH_FETCH: copy an archive into a temporary place
 * @store:       the store
 * @seq:         comes back in STORE_FETCHED
 * @import:      chosen by the supervisor, not 0; -EEXIST if it is taken
 * @report_fd:   borrowed; UnpackArchive waits in it
 * @max_bytes:   of the archive; 0 is -EINVAL
 *
 * Return: 0 (STORE_FETCHED follows), -EEXIST, -EBUSY if too many are under way, or a
 * negative errno.
 */
int store_fetch(Store *store, uint32_t seq, uint32_t import, int report_fd, uint64_t max_bytes)
        _must_check_;

typedef struct StoreExtract {
        uint32_t seq;    /* comes back in STORE_EXTRACTED */
        uint32_t import; /* or 0: from the store's archive; committed at once when it is done */
        ObjectKind kind;
        UnpackLimits limits;
        uint8_t digest[DIGEST_SIZE]; /* must be what STORE_FETCHED said */
} StoreExtract;

/**
 * store_extract() - LAUNCH_EXTRACT: make the tree of an archive
 * @store:      the store
 * @request:    see there
 * @report_fd:  borrowed
 *
 * Return: 0 (STORE_EXTRACTED follows), -EEXIST if the tree is there and trusted (the import
 * may still be committed), -EALREADY if it is being rebuilt, -ENOENT if there is no such
 * import or archive, -EBADMSG if the digest is not the import's, -EBUSY, or a negative errno.
 */
int store_extract(Store *store, const StoreExtract *request, int report_fd) _must_check_;

/**
 * store_commit() - LAUNCH_COMMIT: make an extracted import part of the store
 *
 * Return: 0 (STORE_COMMITTED follows when the archive is durable), -ENOENT, -EBUSY if it is
 * not yet extracted or was refused, or a negative errno.
 */
int store_commit(Store *store, uint32_t seq, uint32_t import) _must_check_;

/* LAUNCH_ABANDON: stop and forget an import, and clear away what it made. No event follows. */
void store_abandon(Store *store, uint32_t import);

/*
 * Whoever asked for them is gone: all but those that are being committed and those from the
 * store's own archives, which go on. Their events have the seq 0.
 */
void store_abandon_all(Store *store);

/**
 * store_remove() - LAUNCH_REMOVE: take an object out of the store
 *
 * Whoever calls knows that nothing uses it. The tree is deleted in the background.
 *
 * Return: 0, also if it was not there, -EBUSY if too much is being deleted, or a negative errno.
 */
int store_remove(Store *store, ObjectKind kind, const uint8_t digest[DIGEST_SIZE]) _must_check_;
