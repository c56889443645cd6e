/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The supervisor's database with rows that no version of dynod wrote, of another version, damaged. */

#include <sqlite3.h>

#include "base/cleanup.h"
#include "fuzz_folder.h"
#include "fuzz_input.h"

/* Columns: i(nteger), s (text), b(lob), as in supervisor/store_schema.c. */
static const struct {
        const char *name, *columns;
} database_tables[] = {
        {"stacks", "sibiii"},
        {"slugs", "biii"},
        {"slug_processes", "bss"},
        {"apps", "isssi"},
        {"releases", "iissibsib"},
        {"release_processes", "iiss"},
        {"release_config", "iiss"},
        {"formation", "isis"},
        {"settings", "isss"},
        {"services", "issi"},
        {"network_rules", "iissssii"},
        {"network", "iiiis"},
        {"trusted_networks", "iis"},
        {"published_ports", "iis"},
};

static inline void database_bind(sqlite3_stmt *s, int at, char type, Input *in) {
        static const int64_t numbers[] = {
                1,
                1,
                0,
                2,
                3,
                -1,
                80,
                5000,
                65535,
                65536,
                INT32_MAX,
                UINT32_MAX,
                INT64_MAX,
                INT64_MIN};
        static const char *const texts[] = {
                "shop",       "web",       "worker",     "debian-12",   "standard-1x", "",
                "egress",     "allow",     "deny",       "tcp",         "udp",         "icmp",
                "10.0.0.0/8", "0.0.0.0/0", "10.0.0.1/8", "10.0.0.0/33", "192.0.2.1",   "postgres",
                "../x",       "a\nb",      "PATH",       "serve $PORT", "other",       "\377"};
        static uint8_t digest[32];
        uint8_t which = input_byte(in);
        const uint8_t *own;
        size_t size;

        if (which >= 0xf0 && type != 'i') {
                own = input_bytes(in, which < 0xfc ? 1 : 64, 16384, &size);
                if (type == 's')
                        (void)sqlite3_bind_text(
                                s, at, (const char *)own, (int)size, SQLITE_TRANSIENT);
                else
                        (void)sqlite3_bind_blob(s, at, own, (int)size, SQLITE_TRANSIENT);
        } else if (type == 'i') {
                (void)sqlite3_bind_int64(
                        s, at, which < 0x80 ? numbers[which % ARRAY_SIZE(numbers)] : which % 16);
        } else if (type == 's') {
                (void)sqlite3_bind_text(s, at, texts[which % ARRAY_SIZE(texts)], -1, SQLITE_STATIC);
        } else {
                memset(digest, which % 4, sizeof(digest));
                (void)sqlite3_bind_blob(
                        s, at, digest, which < 0xe0 ? sizeof(digest) : 7, SQLITE_TRANSIENT);
        }
}

/* A row put in or in place of another, or a column of all rows changed. */
static inline void database_row(sqlite3 *db, Input *in) {
        size_t which = input_pick(in, ARRAY_SIZE(database_tables));
        const char *columns = database_tables[which].columns;
        int n = (int)strlen(columns);
        sqlite3_stmt *s = NULL;
        char sql[160];

        (void)snprintf(
                sql,
                sizeof(sql),
                "INSERT OR REPLACE INTO %s VALUES (%.*s)",
                database_tables[which].name,
                2 * n - 1,
                "?,?,?,?,?,?,?,?,?,?");
        if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
                return;
        for (int i = 0; i < n; i++)
                database_bind(s, i + 1, columns[i], in);
        (void)sqlite3_step(s);
        (void)sqlite3_finalize(s);
}

static inline void database_version(sqlite3 *db, Input *in) {
        static const char *const statements[] = {
                "PRAGMA user_version = 3",
                "PRAGMA user_version = -1",
                "PRAGMA user_version = 0",
                "PRAGMA user_version = 1",
                /* as version 1 was */
                ("DROP TABLE network; DROP TABLE trusted_networks; DROP TABLE published_ports;"
                 "PRAGMA user_version = 1"),
                "DROP TABLE releases",
                "ALTER TABLE apps DROP COLUMN user",
                "DELETE FROM releases",
                "DELETE FROM stacks",
                "UPDATE releases SET number = number + 4294967295",
                "UPDATE apps SET name = name || char(10)",
                "UPDATE formation SET quantity = 2147483648",
        };

        (void)sqlite3_exec(
                db, statements[input_pick(in, ARRAY_SIZE(statements))], NULL, NULL, NULL);
}

/* Bytes of the file, its end, or something that is none. */
static inline void database_bytes(const char *path, Input *in) {
        uint8_t how = input_byte(in);
        const uint8_t *data;
        size_t size;
        int fd;

        if (how >= 0xf0)
                (void)!truncate(path, (off_t)input_byte(in) * 512);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        data = input_bytes(in, 1, 255, &size);
        (void)!pwrite(fd, data, size, (off_t)(input_u32(in) % (how & 1 ? 262144 : 128)));
        (void)close(fd);
}

/* While nobody has it open. */
static inline void database_damage(const char *folder, const char *name, Input *in) {
        char path[2 * FUZZ_PATH_SIZE];
        uint8_t how = input_byte(in);
        sqlite3 *db = NULL;

        fuzz_path(path, folder, name);
        if (how >= 0xe0) {
                database_bytes(path, in);
                return;
        }
        if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK) {
                for (unsigned i = 0; i < 1U + how % 8; i++)
                        database_row(db, in);
                if (how >= 0xa0)
                        database_version(db, in);
        }
        (void)sqlite3_close(db);
}
