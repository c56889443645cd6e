/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What store.c, its schema and its test share. */

#include <sqlite3.h>
#include <stddef.h>

#include "supervisor/store.h"

struct Store {
        sqlite3 *db;
        char *path;
};

/* Migration i turns version i into version i + 1. */
extern const char *const store_migrations[];
extern const size_t store_n_migrations;

/* store_open() with a schema of the caller's. */
int store_open_schema(
        Store **ret, const char *path, const char *const *migrations, size_t n, StoreError *reterr)
        _must_check_;

/* Brings @store to version @n, with a copy before. As store_open(). */
int store_migrate(Store *store, const char *const *migrations, size_t n, StoreError *reterr)
        _must_check_;

/* The negative errno of an SQLite result. */
int store_errno(int rc);
