/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The schema, as numbered migrations: PRAGMA user_version counts those that were run.
 * A released migration is never edited. Before an existing database is changed, a
 * copy is made beside it, so that an older dynod can be put back together with it.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "supervisor/store_internal.h"

static const char schema_1[] =
        /* one row per version of a stack: "debian-12@3" */
        "CREATE TABLE stacks ("
        "  name TEXT NOT NULL, version INTEGER NOT NULL, digest BLOB NOT NULL,"
        "  bytes INTEGER NOT NULL, files INTEGER NOT NULL, imported INTEGER NOT NULL,"
        "  PRIMARY KEY (name, version)) STRICT;"

        "CREATE TABLE slugs ("
        "  digest BLOB PRIMARY KEY NOT NULL,"
        "  bytes INTEGER NOT NULL, files INTEGER NOT NULL, imported INTEGER NOT NULL) STRICT;"
        "CREATE TABLE slug_processes ("
        "  slug BLOB NOT NULL REFERENCES slugs ON DELETE CASCADE,"
        "  type TEXT NOT NULL, command TEXT NOT NULL, PRIMARY KEY (slug, type)) STRICT;"

        "CREATE TABLE apps ("
        "  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
        "  stack TEXT NOT NULL, user TEXT NOT NULL, created INTEGER NOT NULL) STRICT;"

        /* a release keeps its stack by value: removing a stack must not rewrite history */
        "CREATE TABLE releases ("
        "  app INTEGER NOT NULL REFERENCES apps ON DELETE CASCADE, number INTEGER NOT NULL,"
        "  description TEXT NOT NULL, user TEXT NOT NULL, created INTEGER NOT NULL,"
        "  slug BLOB REFERENCES slugs,"
        "  stack TEXT NOT NULL, stack_version INTEGER NOT NULL, stack_digest BLOB NOT NULL,"
        "  PRIMARY KEY (app, number)) STRICT;"
        "CREATE INDEX releases_slug ON releases (slug);"
        "CREATE TABLE release_processes ("
        "  app INTEGER NOT NULL, number INTEGER NOT NULL, type TEXT NOT NULL, command TEXT NOT "
        "NULL,"
        "  PRIMARY KEY (app, number, type),"
        "  FOREIGN KEY (app, number) REFERENCES releases ON DELETE CASCADE) STRICT;"
        "CREATE TABLE release_config ("
        "  app INTEGER NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,"
        "  PRIMARY KEY (app, number, name),"
        "  FOREIGN KEY (app, number) REFERENCES releases ON DELETE CASCADE) STRICT;"

        "CREATE TABLE formation ("
        "  app INTEGER NOT NULL REFERENCES apps ON DELETE CASCADE, type TEXT NOT NULL,"
        "  quantity INTEGER NOT NULL, size TEXT NOT NULL, PRIMARY KEY (app, type)) STRICT;"

        /* type '' is the app as a whole */
        "CREATE TABLE settings ("
        "  app INTEGER NOT NULL REFERENCES apps ON DELETE CASCADE, type TEXT NOT NULL,"
        "  name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (app, type, name)) STRICT;"

        /* network policy: ports of the host that an app may reach, and rules of its own */
        "CREATE TABLE services ("
        "  app INTEGER NOT NULL REFERENCES apps ON DELETE CASCADE, name TEXT NOT NULL,"
        "  protocol TEXT NOT NULL, port INTEGER NOT NULL, PRIMARY KEY (app, name)) STRICT;"
        "CREATE TABLE network_rules ("
        "  app INTEGER NOT NULL REFERENCES apps ON DELETE CASCADE, position INTEGER NOT NULL,"
        "  direction TEXT NOT NULL, action TEXT NOT NULL, network TEXT NOT NULL,"
        "  protocol TEXT NOT NULL, port_from INTEGER NOT NULL, port_to INTEGER NOT NULL,"
        "  PRIMARY KEY (app, position)) STRICT;";

/* the rest of an app's network policy; no row: it has none */
static const char schema_2[] =
        "CREATE TABLE network ("
        "  app INTEGER PRIMARY KEY NOT NULL REFERENCES apps ON DELETE CASCADE,"
        "  serial INTEGER NOT NULL, closed INTEGER NOT NULL, restricted INTEGER NOT NULL,"
        "  source TEXT NOT NULL) STRICT;"
        "CREATE TABLE trusted_networks ("
        "  app INTEGER NOT NULL REFERENCES apps ON DELETE CASCADE, position INTEGER NOT NULL,"
        "  network TEXT NOT NULL, PRIMARY KEY (app, position)) STRICT;"

        /* a port of the host leads to one app */
        "CREATE TABLE published_ports ("
        "  port INTEGER PRIMARY KEY NOT NULL,"
        "  app INTEGER NOT NULL REFERENCES apps ON DELETE CASCADE, type TEXT NOT NULL) STRICT;"
        "CREATE INDEX published_ports_app ON published_ports (app);";

const char *const store_migrations[] = {schema_1, schema_2};
const size_t store_n_migrations = ARRAY_SIZE(store_migrations);

static int read_version(Store *store, int *ret) {
        sqlite3_stmt *statement = NULL;
        int rc;

        rc = sqlite3_prepare_v2(store->db, "PRAGMA user_version", -1, &statement, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW)
                *ret = sqlite3_column_int(statement, 0);
        sqlite3_finalize(statement);

        return rc == SQLITE_ROW ? 0 : store_errno(rc);
}

/* PATH.vN, complete or not there at all: written under another name first. */
static int make_copy(Store *store, int version) {
        _cleanup_free_ char *path = NULL, *tmp = NULL;
        _cleanup_close_ int fd = -EBADF;
        char *sql;
        int rc;

        if (asprintf(&path, "%s.v%i", store->path, version) < 0) {
                path = NULL; /* asprintf() leaves it undefined */
                return -ENOMEM;
        }
        if (asprintf(&tmp, "%s.tmp", path) < 0) {
                tmp = NULL;
                return -ENOMEM;
        }

        /* VACUUM INTO wants an empty file or none; this one has the right mode from birth. */
        fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;

        sql = sqlite3_mprintf("VACUUM INTO %Q", tmp);
        rc = sql ? sqlite3_exec(store->db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
        sqlite3_free(sql);
        if (rc != SQLITE_OK)
                return store_errno(rc);

        if (fsync(fd) < 0 || rename(tmp, path) < 0)
                return -errno;

        return 0;
}

/* The newest copy that an older dynod left, for the text of a refusal. */
static void find_copy(Store *store, int version, char *buf, size_t size) {
        struct stat st;

        for (int v = version - 1; v > 0; v--) {
                (void)snprintf(buf, size, "%s.v%i", store->path, v);
                if (stat(buf, &st) == 0)
                        return;
        }
        buf[0] = '\0';
}

static int refuse_newer(Store *store, int version, size_t known, StoreError *reterr) {
        char copy[200];

        find_copy(store, (int)known + 1, copy, sizeof(copy));
        (void)snprintf(
                reterr->text,
                sizeof(reterr->text),
                "%.150s was written by a newer dynod (version %i, this one knows %zu). "
                "Nothing was changed. %s%s",
                store->path,
                version,
                known,
                copy[0] ? "Install that dynod again or restore the copy "
                        : "Install that dynod again; there is no copy of before",
                copy);
        return STORE_E_UNUSABLE;
}

static int run_migration(Store *store, const char *sql, int version) {
        char set_version[64];
        int rc;

        (void)snprintf(set_version, sizeof(set_version), "PRAGMA user_version = %i", version);

        /* The version is part of the transaction: a crash leaves the old schema or the new one. */
        rc = sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(store->db, set_version, NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL);
        if (rc != SQLITE_OK)
                store_rollback(store);

        return store_errno(rc);
}

int store_migrate(Store *store, const char *const *migrations, size_t n, StoreError *reterr) {
        int version = 0;
        int r;

        r = read_version(store, &version);
        if (r < 0)
                return r;
        if (version < 0 || (size_t)version > n)
                return refuse_newer(store, version, n, reterr);
        if ((size_t)version == n)
                return 0;

        if (version > 0) {
                r = make_copy(store, version);
                if (r < 0)
                        return r;
        }

        for (size_t i = (size_t)version; i < n; i++) {
                r = run_migration(store, migrations[i], (int)i + 1);
                if (r < 0)
                        return r;
        }

        return 0;
}
