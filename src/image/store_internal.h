/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What store.c and store_import.c share: the imports of a store and the children that work
 * on them.
 *
 * An import is a folder in tmp/ and the children that work on it:
 *
 *   fetch ── sync of the archive ─────────────┐
 *        └── extract ── (request to commit) ──┴── rename, sync of archives/ ── clearing
 *
 * A rebuild is one without a fetch: it extracts the store's own archive and at the same
 * time hashes it anew, so that a damaged archive is noticed. Whatever fails or is
 * abandoned ends in clearing: remove mode deletes the object's contents, root the archive and
 * the folders that it made itself; a large archive a child of root's, since that takes time.
 */

#include "image/store.h"
#include "image/store_place.h"

typedef enum ImportState {
        IMPORT_FETCHING,
        IMPORT_FETCHED,
        IMPORT_EXTRACTING,
        IMPORT_EXTRACTED,
        IMPORT_COMMITTING,
        IMPORT_FAILED, /* waits to be abandoned */
        IMPORT_CLEARING,
} ImportState;

typedef struct Import {
        struct Import *next;
        ImportState state;
        uint32_t id; /* 0 for rebuilds, and for what is only cleared */
        uint32_t seq;
        char name[48]; /* below tmp/ */
        int dir_fd;
        int record_fd; /* pipe from the fetching process */
        ObjectKind kind;
        bool has_digest; /* of a fetched archive, or of the one to be rebuilt */
        uint8_t digest[DIGEST_SIZE];
        uint8_t found[DIGEST_SIZE]; /* rebuild: what its archive really has */
        uint64_t bytes;
        bool tree_is_there; /* EXTRACT answered -EEXIST */
        bool archive_synced;
        int result; /* first failure of several children */
        unsigned n_children;
        bool removing; /* a child clears it: CHILD_UNLINK, then CHILD_REMOVE */
} Import;

typedef enum ChildRole {
        CHILD_FETCH,
        CHILD_VERIFY,
        CHILD_EXTRACT,
        CHILD_SYNC_ARCHIVE,
        CHILD_SYNC_FOLDER,
        CHILD_SYNC_TREES, /* has no import */
        CHILD_REMOVE,
        CHILD_UNLINK, /* of a large archive, before CHILD_REMOVE */
} ChildRole;

typedef struct Child {
        struct Child *next;
        ChildRole role;
        UnpackChild process;
        Import *import;
        /* CHILD_SYNC_TREES */
        ObjectKind kind;
        uint8_t digest[DIGEST_SIZE];
        char marker[MARKER_SIZE];
} Child;

struct Store {
        StorePlace place;
        int epoll_fd;
        int program_fd;
        char *profile;
        uint32_t uid_base;
        uint32_t n_uids; /* handed out so far */
        uint64_t n_names;
        StoreHandler handler;
        void *userdata;
        Import *imports;
        Child *children;
        unsigned n_removing;
};

/* The import of that number that is not being cleared, or NULL. */
Import *import_find(const Store *store, uint32_t id);
/* @clearing: with those that are being cleared away. */
unsigned import_count(const Store *store, bool clearing);

/* Makes a folder in tmp/. Return: 0 or a negative errno. */
int import_new(Store *store, Import **ret) _must_check_;

/* Kills its children, deletes what it made, and frees it in the end: not to be used after. */
void import_discard(Store *store, Import *import);
/* Goes on with that when a child has ended. */
void import_clear(Store *store, Import *import);
void import_removal_ended(Store *store, Import *import, int result);
void import_unlink(Store *store, Import *import); /* frees it and leaves its folder */

/* Start a child for @import, which is then in front of store->children. 0 or a negative errno. */
int store_child_spawn(Store *store, ChildRole role, Import *import, UnpackJob *job) _must_check_;
/* A child that only waits for the disk, for us. */
int store_child_spawn_own(Store *store, ChildRole role, Import *import, int fd) _must_check_;

/* Begins to clear what an earlier dynod left under way. Return: 0 or a negative errno. */
int store_clear_leftovers(Store *store) _must_check_;
