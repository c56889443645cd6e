/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/store_internal.h"

/* ---- life ---- */

static int unusable(const char *path, StoreError *reterr) {
        (void)snprintf(
                reterr->text,
                sizeof(reterr->text),
                "%.200s is damaged: it is not a database or not whole. Nothing was changed. "
                "Put a good copy in its place, or move it away to start without apps; "
                "running dynos go on.",
                path);
        return STORE_E_UNUSABLE;
}

static int check_whole(Store *store) {
        _cleanup_statement_ sqlite3_stmt *statement = NULL;
        int r;

        r = statement_prepare(store, &statement, "PRAGMA quick_check(1)", "");
        if (r < 0)
                return r;
        r = statement_next(statement);
        if (r < 0)
                return r;

        return r == 1 && strcmp(statement_text(statement, 0), "ok") == 0 ? 0 : -EUCLEAN;
}

int store_open_schema(
        Store **ret,
        const char *path,
        const char *const *migrations,
        size_t n,
        StoreError *reterr) {
        static const char setup[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                    "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
                                    "PRAGMA temp_store = MEMORY;" /* only our folder is ours */;
        _cleanup_(store_closep) Store *store = NULL;
        int fd, r, rc;

        assert(ret && path && reterr);

        store = calloc(1, sizeof(*store));
        if (!store)
                return -ENOMEM;
        store->path = strdup(path);
        if (!store->path)
                return -ENOMEM;

        /* Before SQLite does it by the umask; its -wal and -shm take over this mode. */
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        (void)safe_close(fd);

        rc = sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
        if (rc != SQLITE_OK)
                return store_errno(rc);

        r = check_whole(store); /* before anything is written, WAL mode included */
        if (r == 0)
                r = store_errno(sqlite3_exec(store->db, setup, NULL, NULL, NULL));
        if (r == 0)
                r = store_migrate(store, migrations, n, reterr);
        if (r == -EUCLEAN)
                return unusable(path, reterr);
        if (r != 0)
                return r;

        *ret = TAKE_PTR(store);
        return 0;
}

int store_open(Store **ret, const char *path, StoreError *reterr) {
        return store_open_schema(ret, path, store_migrations, store_n_migrations, reterr);
}

Store *store_close(Store *store) {
        if (!store)
                return NULL;

        (void)sqlite3_close(store->db); /* no statement outlives a call here */
        free(store->path);
        free(store);
        return NULL;
}

int store_begin(Store *store) {
        return store_errno(sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
}

int store_commit(Store *store) {
        int r = store_errno(sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL));

        if (r < 0)
                store_rollback(store);
        return r;
}

void store_rollback(Store *store) {
        /* SQLite may have rolled back by itself already: nothing to do then. */
        if (!sqlite3_get_autocommit(store->db))
                (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- stacks ---- */

int store_load_stacks(
        Store *store, int (*visit)(const Stack *stack, void *userdata), void *userdata) {
        _cleanup_statement_ sqlite3_stmt *s = NULL;
        int r;

        r = statement_prepare(
                store,
                &s,
                "SELECT name, version, digest, bytes, files, imported FROM stacks"
                " ORDER BY imported, name, version",
                "");
        while (r >= 0 && (r = statement_next(s)) > 0) {
                Stack stack = {0};

                statement_field(s, 0, stack.name, sizeof(stack.name));
                stack.version = (uint32_t)statement_u64(s, 1);
                (void)statement_digest(s, 2, stack.digest);
                stack.bytes = statement_u64(s, 3);
                stack.files = statement_u64(s, 4);
                stack.imported_usec = statement_u64(s, 5);
                r = visit(&stack, userdata);
                if (r != 0)
                        return r;
        }

        return r;
}

int store_add_stack(Store *store, const Stack *stack) {
        sqlite3_stmt *s = NULL;
        int r;

        r = statement_prepare(
                store,
                &s,
                "INSERT INTO stacks (name, version, digest, bytes, files, imported)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                "sidiii",
                stack->name,
                (int64_t)stack->version,
                stack->digest,
                (int64_t)stack->bytes,
                (int64_t)stack->files,
                (int64_t)stack->imported_usec);
        return statement_finish(r, s);
}

int store_remove_stack(Store *store, const Stack *stack) {
        sqlite3_stmt *s = NULL;
        int r;

        r = statement_prepare(
                store,
                &s,
                "DELETE FROM stacks WHERE name = ? AND version = ?",
                "si",
                stack->name,
                (int64_t)stack->version);
        return statement_finish(r, s);
}

/* ---- slugs ---- */

int store_add_slug(Store *store, const Slug *slug) {
        sqlite3_stmt *s = NULL;
        int r;

        r = statement_prepare(
                store,
                &s,
                "INSERT INTO slugs (digest, bytes, files, imported) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (digest) DO NOTHING",
                "diii",
                slug->digest,
                (int64_t)slug->bytes,
                (int64_t)slug->files,
                (int64_t)slug->imported_usec);
        r = statement_finish(r, s);

        for (size_t i = 0; i < slug->processes.n && r == 0; i++) {
                r = statement_prepare(
                        store,
                        &s,
                        "INSERT OR REPLACE INTO slug_processes (slug, type, command)"
                        " VALUES (?, ?, ?)",
                        "dss",
                        slug->digest,
                        slug->processes.items[i].name,
                        slug->processes.items[i].value);
                r = statement_finish(r, s);
        }

        return r;
}

static int read_pairs(sqlite3_stmt *s, Pairs *ret) {
        int r;

        while ((r = statement_next(s)) > 0) {
                r = pairs_set(ret, statement_text(s, 0), statement_text(s, 1));
                if (r < 0)
                        return r;
        }

        return r;
}

int store_read_slug(Store *store, const uint8_t digest[DIGEST_SIZE], Slug *ret) {
        _cleanup_statement_ sqlite3_stmt *s = NULL, *p = NULL;
        Slug slug = {0};
        int r;

        r = statement_prepare(
                store,
                &s,
                "SELECT bytes, files, imported FROM slugs WHERE digest = ?",
                "d",
                digest);
        if (r < 0)
                return r;
        r = statement_next(s);
        if (r < 0)
                return r;
        if (r == 0)
                return STORE_E_NOT_FOUND;

        memcpy(slug.digest, digest, DIGEST_SIZE);
        slug.bytes = statement_u64(s, 0);
        slug.files = statement_u64(s, 1);
        slug.imported_usec = statement_u64(s, 2);

        r = statement_prepare(
                store, &p, "SELECT type, command FROM slug_processes WHERE slug = ?", "d", digest);
        if (r == 0)
                r = read_pairs(p, &slug.processes);
        if (r < 0) {
                slug_clear(&slug);
                return r;
        }

        *ret = slug;
        return 0;
}

int store_remove_slug(Store *store, const uint8_t digest[DIGEST_SIZE]) {
        sqlite3_stmt *s = NULL;
        int r = statement_prepare(store, &s, "DELETE FROM slugs WHERE digest = ?", "d", digest);

        return statement_finish(r, s);
}

int store_unused_slugs(
        Store *store,
        int (*visit)(const uint8_t *digest, uint64_t bytes, void *userdata),
        void *userdata) {
        _cleanup_statement_ sqlite3_stmt *s = NULL;
        uint8_t digest[DIGEST_SIZE];
        int r;

        r = statement_prepare(
                store,
                &s,
                "SELECT digest, bytes FROM slugs"
                " WHERE NOT EXISTS (SELECT 1 FROM releases WHERE releases.slug = slugs.digest)",
                "");
        while (r >= 0 && (r = statement_next(s)) > 0) {
                (void)statement_digest(s, 0, digest);
                r = visit(digest, statement_u64(s, 1), userdata);
                if (r != 0)
                        return r;
        }

        return r;
}

/* ---- apps ---- */

int store_load_apps(Store *store, int (*visit)(const AppRow *row, void *userdata), void *userdata) {
        _cleanup_statement_ sqlite3_stmt *s = NULL;
        int r;

        r = statement_prepare(
                store, &s, "SELECT id, name, stack, user, created FROM apps ORDER BY name", "");
        while (r >= 0 && (r = statement_next(s)) > 0) {
                AppRow row = {.id = sqlite3_column_int64(s, 0)};

                statement_field(s, 1, row.name, sizeof(row.name));
                statement_field(s, 2, row.stack, sizeof(row.stack));
                statement_field(s, 3, row.user, sizeof(row.user));
                row.created_usec = statement_u64(s, 4);
                r = visit(&row, userdata);
                if (r != 0)
                        return r;
        }

        return r;
}

int store_add_app(Store *store, AppRow *row) {
        sqlite3_stmt *s = NULL;
        int r;

        r = statement_prepare(
                store,
                &s,
                "INSERT INTO apps (name, stack, user, created) VALUES (?, ?, ?, ?)",
                "sssi",
                row->name,
                row->stack,
                row->user,
                (int64_t)row->created_usec);
        r = statement_finish(r, s);
        if (r == 0)
                row->id = sqlite3_last_insert_rowid(store->db);
        return r;
}

int store_last_app(Store *store, uint32_t *ret) {
        _cleanup_statement_ sqlite3_stmt *s = NULL;
        int r;

        /* https://www.sqlite.org/autoinc.html: no row before the first app */
        r = statement_prepare(
                store, &s, "SELECT max(seq) FROM sqlite_sequence WHERE name = 'apps'", "");
        if (r == 0)
                r = statement_next(s);
        if (r < 0)
                return r;

        *ret = (uint32_t)statement_u64(s, 0);
        return 0;
}

int store_keep_off_apps(Store *store, uint32_t last) {
        sqlite3_stmt *s = NULL;
        uint32_t known;
        int r;

        r = store_last_app(store, &known);
        if (r < 0 || last <= known)
                return r;
        r = store_begin(store);
        if (r < 0)
                return r;
        r = statement_prepare(store, &s, "DELETE FROM sqlite_sequence WHERE name = 'apps'", "");
        r = statement_finish(r, s);
        if (r == 0) {
                s = NULL;
                r = statement_prepare(
                        store,
                        &s,
                        "INSERT INTO sqlite_sequence (name, seq) VALUES ('apps', ?)",
                        "i",
                        (int64_t)last);
                r = statement_finish(r, s);
        }
        if (r < 0) {
                store_rollback(store);
                return r;
        }
        return store_commit(store);
}

int store_rename_app(Store *store, int64_t app, const char *name) {
        sqlite3_stmt *s = NULL;
        int r = statement_prepare(
                store, &s, "UPDATE apps SET name = ? WHERE id = ?", "si", name, app);

        return statement_finish(r, s);
}

int store_set_app_stack(Store *store, int64_t app, const char *stack) {
        sqlite3_stmt *s = NULL;
        int r = statement_prepare(
                store, &s, "UPDATE apps SET stack = ? WHERE id = ?", "si", stack, app);

        return statement_finish(r, s);
}

int store_remove_app(Store *store, int64_t app) {
        sqlite3_stmt *s = NULL;
        int r = statement_prepare(store, &s, "DELETE FROM apps WHERE id = ?", "i", app);

        return statement_finish(r, s);
}

/* ---- releases ---- */

static int add_release_pairs(
        Store *store, const char *sql, int64_t app, const Release *release, const Pairs *pairs) {
        int r = 0;

        for (size_t i = 0; i < pairs->n && r == 0; i++) {
                sqlite3_stmt *s = NULL;

                r = statement_prepare(
                        store,
                        &s,
                        sql,
                        "iiss",
                        app,
                        (int64_t)release->number,
                        pairs->items[i].name,
                        pairs->items[i].value);
                r = statement_finish(r, s);
        }

        return r;
}

int store_add_release(Store *store, int64_t app, const Release *release) {
        sqlite3_stmt *s = NULL;
        int r;

        r = statement_prepare(
                store,
                &s,
                "INSERT INTO releases (app, number, description, user, created, slug,"
                " stack, stack_version, stack_digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                "iissidsid",
                app,
                (int64_t)release->number,
                release->description,
                release->user,
                (int64_t)release->created_usec,
                release->has_slug ? release->slug : NULL,
                release->stack,
                (int64_t)release->stack_version,
                release->stack_digest);
        r = statement_finish(r, s);
        if (r == 0)
                r = add_release_pairs(
                        store,
                        "INSERT INTO release_processes (app, number, type, command)"
                        " VALUES (?, ?, ?, ?)",
                        app,
                        release,
                        &release->processes);
        if (r == 0)
                r = add_release_pairs(
                        store,
                        "INSERT INTO release_config (app, number, name, value) VALUES (?, ?, ?, ?)",
                        app,
                        release,
                        &release->config);
        return r;
}

#define RELEASE_COLUMNS                                                                            \
        "number, description, user, created, slug, stack, stack_version, stack_digest,"            \
        " (SELECT bytes FROM slugs WHERE digest = releases.slug)"

static Release *release_from_row(sqlite3_stmt *s) {
        Release *release = calloc(1, sizeof(*release));

        if (!release)
                return NULL;

        release->number = (uint32_t)statement_u64(s, 0);
        release->description = strdup(statement_text(s, 1));
        if (!release->description)
                return release_free(release);
        statement_field(s, 2, release->user, sizeof(release->user));
        release->created_usec = statement_u64(s, 3);
        release->has_slug = statement_digest(s, 4, release->slug);
        statement_field(s, 5, release->stack, sizeof(release->stack));
        release->stack_version = (uint32_t)statement_u64(s, 6);
        (void)statement_digest(s, 7, release->stack_digest);
        release->slug_bytes = statement_u64(s, 8);
        return release;
}

static int read_release_pairs(Store *store, int64_t app, Release *release) {
        _cleanup_statement_ sqlite3_stmt *processes = NULL, *config = NULL;
        int r;

        r = statement_prepare(
                store,
                &processes,
                "SELECT type, command FROM release_processes WHERE app = ? AND number = ?",
                "ii",
                app,
                (int64_t)release->number);
        if (r == 0)
                r = read_pairs(processes, &release->processes);
        if (r == 0)
                r = statement_prepare(
                        store,
                        &config,
                        "SELECT name, value FROM release_config WHERE app = ? AND number = ?",
                        "ii",
                        app,
                        (int64_t)release->number);
        if (r == 0)
                r = read_pairs(config, &release->config);
        return r;
}

int store_read_release(Store *store, int64_t app, uint32_t number, Release **ret) {
        _cleanup_statement_ sqlite3_stmt *s = NULL;
        _cleanup_(release_freep) Release *release = NULL;
        int r;

        r = statement_prepare(
                store,
                &s,
                "SELECT " RELEASE_COLUMNS " FROM releases"
                " WHERE app = ?1 AND (number = ?2 OR ?2 = 0) ORDER BY number DESC LIMIT 1",
                "ii",
                app,
                (int64_t)number);
        if (r < 0)
                return r;
        r = statement_next(s);
        if (r < 0)
                return r;
        if (r == 0)
                return STORE_E_NOT_FOUND;

        release = release_from_row(s);
        if (!release)
                return -ENOMEM;
        r = read_release_pairs(store, app, release);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(release);
        return 0;
}

int store_list_releases(
        Store *store,
        int64_t app,
        int (*visit)(const Release *release, void *userdata),
        void *userdata) {
        _cleanup_statement_ sqlite3_stmt *s = NULL;
        int r;

        r = statement_prepare(
                store,
                &s,
                "SELECT " RELEASE_COLUMNS " FROM releases WHERE app = ? ORDER BY number DESC",
                "i",
                app);
        while (r >= 0 && (r = statement_next(s)) > 0) {
                _cleanup_(release_freep) Release *release = release_from_row(s);

                if (!release)
                        return -ENOMEM;
                r = visit(release, userdata);
                if (r != 0)
                        return r;
        }

        return r;
}

int store_count_releases(Store *store, int64_t app, uint32_t *ret) {
        _cleanup_statement_ sqlite3_stmt *s = NULL;
        int r;

        r = statement_prepare(store, &s, "SELECT count(*) FROM releases WHERE app = ?", "i", app);
        if (r == 0)
                r = statement_next(s);
        if (r < 0)
                return r;

        *ret = (uint32_t)statement_u64(s, 0);
        return 0;
}

/* ---- formation ---- */

int store_set_formation(Store *store, int64_t app, const Formation *formation) {
        sqlite3_stmt *s = NULL;
        int r;

        r = statement_prepare(
                store,
                &s,
                "INSERT OR REPLACE INTO formation (app, type, quantity, size) VALUES (?, ?, ?, ?)",
                "isis",
                app,
                formation->type,
                (int64_t)formation->quantity,
                formation->size);
        return statement_finish(r, s);
}

int store_load_formation(
        Store *store,
        int64_t app,
        int (*visit)(const Formation *row, void *userdata),
        void *userdata) {
        _cleanup_statement_ sqlite3_stmt *s = NULL;
        int r;

        r = statement_prepare(
                store,
                &s,
                "SELECT type, quantity, size FROM formation WHERE app = ? ORDER BY type",
                "i",
                app);
        while (r >= 0 && (r = statement_next(s)) > 0) {
                Formation row = {0};

                statement_field(s, 0, row.type, sizeof(row.type));
                row.quantity = (uint32_t)statement_u64(s, 1);
                statement_field(s, 2, row.size, sizeof(row.size));
                r = visit(&row, userdata);
                if (r != 0)
                        return r;
        }

        return r;
}
