/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Store: the desired state on disk (SQLite, WAL, synchronous=FULL). The supervisor's
 * alone. Whoever changes something writes here first and changes its memory only when
 * that went well.
 */

#include <stdint.h>

#include "base/cleanup.h"
#include "supervisor/model.h"
#include "supervisor/policy.h"

typedef struct Store Store;

enum {
        _STORE_E_OK,

        STORE_E_UNUSABLE,  /* damaged or of a newer version; *reterr says what to do */
        STORE_E_NOT_FOUND, /* no such row */
};

typedef struct StoreError {
        char text[512];
} StoreError;

/**
 * store_open() - open or create, and bring the schema up to date
 * @ret:     owned by the caller
 * @path:    the database; "PATH.vN" beside it is the copy made before version N was left
 * @reterr:  filled on STORE_E_UNUSABLE
 *
 * Return: 0, STORE_E_UNUSABLE, or a negative errno. Nothing is changed unless it is 0.
 */
int store_open(Store **ret, const char *path, StoreError *reterr) _must_check_;
Store *store_close(Store *store);
DEFINE_CLEANUP(Store, store_close)

/*
 * Changes of more than one call: all or none. A failed commit rolls back. Without a
 * transaction each call is one of its own. All return 0 or a negative errno, -ENOSPC
 * among them; visitors return 0 to go on, anything else stops and is returned.
 */
int store_begin(Store *store) _must_check_;
int store_commit(Store *store) _must_check_;
void store_rollback(Store *store);

int store_load_stacks(
        Store *store,
        int (*visit)(const Stack *stack, void *userdata),
        void *userdata) _must_check_;
int store_add_stack(Store *store, const Stack *stack) _must_check_;
int store_remove_stack(Store *store, const Stack *stack) _must_check_;

/* Adds or replaces. */
int store_add_slug(Store *store, const Slug *slug) _must_check_;
/* Return: 0, STORE_E_NOT_FOUND or a negative errno. @ret: release with slug_clear(). */
int store_read_slug(Store *store, const uint8_t digest[DIGEST_SIZE], Slug *ret) _must_check_;
int store_remove_slug(Store *store, const uint8_t digest[DIGEST_SIZE]) _must_check_;
/* The slugs that no release uses. */
int store_unused_slugs(
        Store *store,
        int (*visit)(const uint8_t *digest, uint64_t bytes, void *userdata),
        void *userdata) _must_check_;

typedef struct AppRow {
        int64_t id;
        char name[APP_NAME_SIZE];
        char stack[STACK_NAME_SIZE];
        char user[USER_NAME_SIZE];
        uint64_t created_usec;
} AppRow;

int store_load_apps(Store *store, int (*visit)(const AppRow *row, void *userdata), void *userdata)
        _must_check_;
int store_add_app(Store *store, AppRow *row) _must_check_; /* sets row->id */
int store_rename_app(Store *store, int64_t app, const char *name) _must_check_;
int store_set_app_stack(Store *store, int64_t app, const char *stack) _must_check_;
int store_remove_app(Store *store, int64_t app) _must_check_;
/* The highest number that an app ever had; none is used again. 0 without any. */
int store_last_app(Store *store, uint32_t *ret) _must_check_;
/* No app gets a number up to @last any more. */
int store_keep_off_apps(Store *store, uint32_t last) _must_check_;

int store_add_release(Store *store, int64_t app, const Release *release) _must_check_;
/* @number: 0 for the newest. Return: 0, STORE_E_NOT_FOUND or a negative errno. */
int store_read_release(Store *store, int64_t app, uint32_t number, Release **ret) _must_check_;
/* Newest first, without processes and config. */
int store_list_releases(
        Store *store,
        int64_t app,
        int (*visit)(const Release *release, void *userdata),
        void *userdata) _must_check_;
int store_count_releases(Store *store, int64_t app, uint32_t *ret) _must_check_;

int store_set_formation(Store *store, int64_t app, const Formation *formation) _must_check_;
int store_load_formation(
        Store *store,
        int64_t app,
        int (*visit)(const Formation *row, void *userdata),
        void *userdata) _must_check_;

/* The whole policy, in one transaction of its own. -EEXIST: another app publishes that port. */
int store_set_policy(Store *store, int64_t app, const Policy *policy) _must_check_;
/* All zero if the app has none. -EINVAL: somebody else wrote there. */
int store_read_policy(Store *store, int64_t app, Policy *ret) _must_check_;
