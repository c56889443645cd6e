/* SPDX-License-Identifier: Apache-2.0 */

/* SQLite's statements with negative errnos, for the files of the store. */

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/store_internal.h"

int store_errno(int rc) {
        switch (rc & 0xff) { /* the low byte of an extended code is the plain one */
        case SQLITE_OK:
        case SQLITE_DONE:
        case SQLITE_ROW:
                return 0;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_CONSTRAINT:
                return -EEXIST;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_PERM:
        case SQLITE_READONLY:
        case SQLITE_CANTOPEN:
                return -EACCES;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EUCLEAN;
        default:
                return -EIO;
        }
}

/* NOLINTBEGIN(clang-analyzer-valist.Uninitialized): clang 14 loses sight of va_start() */
static int bind_one(sqlite3_stmt *statement, int index, char type, va_list *ap) {
        const void *digest;

        switch (type) {
        case 'i':
                return sqlite3_bind_int64(statement, index, va_arg(*ap, int64_t));
        case 's':
                return sqlite3_bind_text(
                        statement, index, va_arg(*ap, const char *), -1, SQLITE_TRANSIENT);
        default:
                assert(type == 'd');
                digest = va_arg(*ap, const void *);
                return digest ? sqlite3_bind_blob(
                                        statement, index, digest, DIGEST_SIZE, SQLITE_TRANSIENT)
                              : SQLITE_OK;
        }
}
/* NOLINTEND(clang-analyzer-valist.Uninitialized) */

int statement_prepare(Store *store, sqlite3_stmt **ret, const char *sql, const char *types, ...) {
        sqlite3_stmt *statement = NULL;
        va_list ap;
        int rc;

        va_start(ap, types);
        rc = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
        for (int i = 0; types[i] && rc == SQLITE_OK; i++)
                rc = bind_one(statement, i + 1, types[i], &ap);
        va_end(ap);

        if (rc != SQLITE_OK) {
                sqlite3_finalize(statement);
                return store_errno(rc);
        }

        *ret = statement;
        return 0;
}

int statement_finish(int r, sqlite3_stmt *statement) {
        int rc;

        if (r < 0)
                return r;
        rc = sqlite3_step(statement);
        sqlite3_finalize(statement);
        return store_errno(rc);
}

int statement_next(sqlite3_stmt *statement) {
        int rc = sqlite3_step(statement);

        return rc == SQLITE_ROW ? 1 : store_errno(rc);
}

const char *statement_text(sqlite3_stmt *statement, int column) {
        const void *text = sqlite3_column_text(statement, column);

        return text ? text : "";
}

uint64_t statement_u64(sqlite3_stmt *statement, int column) {
        return (uint64_t)sqlite3_column_int64(statement, column);
}

void statement_field(sqlite3_stmt *statement, int column, char *field, size_t size) {
        (void)snprintf(field, size, "%s", statement_text(statement, column));
}

bool statement_digest(sqlite3_stmt *statement, int column, uint8_t ret[DIGEST_SIZE]) {
        const void *blob = sqlite3_column_blob(statement, column);

        memset(ret, 0, DIGEST_SIZE);
        if (!blob || sqlite3_column_bytes(statement, column) != DIGEST_SIZE)
                return false;

        memcpy(ret, blob, DIGEST_SIZE);
        return true;
}
