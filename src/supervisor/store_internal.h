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

/* ---- store_statement.c ---- */

/* The negative errno of an SQLite result. */
int store_errno(int rc);

#define _cleanup_statement_ _cleanup_(statementp)

static inline void statementp(sqlite3_stmt **statement) {
        sqlite3_finalize(*statement); /* repeats the error of the last step, which was seen */
}

/* Prepares @sql and binds what @types names: i int64_t, s text, d digest (NULL allowed). */
int statement_prepare(Store *store, sqlite3_stmt **ret, const char *sql, const char *types, ...)
        _must_check_;
/* @r: of statement_prepare(). Runs a statement that returns no rows. Takes it over. */
int statement_finish(int r, sqlite3_stmt *statement) _must_check_;
/* Return: 1 for a row, 0 at the end, or a negative errno. */
int statement_next(sqlite3_stmt *statement) _must_check_;

/* Columns of the row. Text is never NULL and valid until the next step. */
const char *statement_text(sqlite3_stmt *statement, int column);
uint64_t statement_u64(sqlite3_stmt *statement, int column);
/* The store is ours, yet a file can be edited: what does not fit is cut. */
void statement_field(sqlite3_stmt *statement, int column, char *field, size_t size);
/* Return: whether there is a digest. */
bool statement_digest(sqlite3_stmt *statement, int column, uint8_t ret[DIGEST_SIZE]);
