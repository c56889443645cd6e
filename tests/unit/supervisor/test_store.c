/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "supervisor/store_internal.h"

typedef struct Fixture {
        char dir[64];
        char path[128];
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        if (!f)
                return -1;
        strcpy(f->dir, "/tmp/dynod-test-store-XXXXXX");
        if (!mkdtemp(f->dir))
                return -1;
        snprintf(f->path, sizeof(f->path), "%s/dynod.db", f->dir);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        static const char *const suffixes[] = {"", "-wal", "-shm", ".v1", ".v2", ".v1.tmp"};
        Fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
                char path[160];

                snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
                (void)unlink(path);
        }
        assert_int_equal(rmdir(f->dir), 0);
        free(f);
        return 0;
}

static Store *open_store(const Fixture *f) {
        StoreError error = {0};
        Store *store = NULL;

        assert_int_equal(store_open(&store, f->path, &error), 0);
        return store;
}

static AppRow add_app(Store *store, const char *name) {
        AppRow row = {.created_usec = 5};

        field_set(row.name, sizeof(row.name), name);
        strcpy(row.stack, "debian-12");
        strcpy(row.user, "alice");
        assert_int_equal(store_add_app(store, &row), 0);
        assert_true(row.id > 0);
        return row;
}

static Slug add_slug(Store *store, uint8_t byte) {
        Slug slug = {.bytes = 100, .files = 7, .imported_usec = 9};

        memset(slug.digest, byte, sizeof(slug.digest));
        assert_int_equal(pairs_set(&slug.processes, "web", "run web"), 0);
        assert_int_equal(store_add_slug(store, &slug), 0);
        return slug;
}

static void add_release(Store *store, int64_t app, uint32_t number, const Slug *slug) {
        Release *release = calloc(1, sizeof(*release));

        release->number = number;
        release->description = strdup("Deploy");
        strcpy(release->user, "alice");
        release->created_usec = 1000 + number;
        if (slug) {
                release->has_slug = true;
                memcpy(release->slug, slug->digest, DIGEST_SIZE);
        }
        strcpy(release->stack, "debian-12");
        release->stack_version = 1;
        assert_int_equal(pairs_set(&release->processes, "web", "run web"), 0);
        assert_int_equal(pairs_set(&release->config, "KEY", number == 1 ? "one" : "two"), 0);
        assert_int_equal(store_add_release(store, app, release), 0);
        release_free(release);
}

static int count(const void *row, void *userdata) {
        ++*(unsigned *)userdata;
        return 0;
}

static int count_apps(const AppRow *row, void *userdata) {
        return count(row, userdata);
}

static int count_slugs(const uint8_t *digest, uint64_t bytes, void *userdata) {
        return count(digest, userdata);
}

static int take_stack(const Stack *stack, void *userdata) {
        *(Stack *)userdata = *stack;
        return 0;
}

static void test_new_store_is_private_and_empty(void **state) {
        const Fixture *f = *state;
        Store *store = open_store(f);
        struct stat st;
        unsigned n = 0;

        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(store_load_apps(store, count_apps, &n), 0);
        assert_int_equal(n, 0);
        store_close(store);
}

static void test_what_was_written_is_there_after_reopening(void **state) {
        const Fixture *f = *state;
        Store *store = open_store(f);
        AppRow app = add_app(store, "shop");
        Slug slug = add_slug(store, 0x11);
        Stack stack = {.version = 3, .bytes = 10, .files = 2, .imported_usec = 4}, found = {0};
        Slug read = {0};
        Release *release = NULL;
        unsigned n = 0;

        strcpy(stack.name, "debian-12");
        memset(stack.digest, 0x22, DIGEST_SIZE);
        assert_int_equal(store_add_stack(store, &stack), 0);
        add_release(store, app.id, 1, NULL);
        add_release(store, app.id, 2, &slug);
        store_close(store);

        store = open_store(f);
        assert_int_equal(store_load_apps(store, count_apps, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(store_load_stacks(store, take_stack, &found), 0);
        assert_int_equal(found.version, 3);
        assert_memory_equal(found.digest, stack.digest, DIGEST_SIZE);

        assert_int_equal(store_read_release(store, app.id, 0, &release), 0);
        assert_int_equal(release->number, 2);
        assert_true(release->has_slug);
        assert_int_equal(release->slug_bytes, 100);
        assert_string_equal(pairs_get(&release->config, "KEY"), "two");
        assert_string_equal(pairs_get(&release->processes, "web"), "run web");
        release_free(release);
        release = NULL;

        assert_int_equal(store_read_release(store, app.id, 1, &release), 0);
        assert_false(release->has_slug);
        assert_string_equal(pairs_get(&release->config, "KEY"), "one");
        release_free(release);
        release = NULL;
        assert_int_equal(store_read_release(store, app.id, 3, &release), STORE_E_NOT_FOUND);

        assert_int_equal(store_read_slug(store, slug.digest, &read), 0);
        assert_string_equal(pairs_get(&read.processes, "web"), "run web");
        slug_clear(&read);
        slug_clear(&slug);
        store_close(store);
}

static void test_rollback_of_a_transaction_leaves_nothing(void **state) {
        const Fixture *f = *state;
        Store *store = open_store(f);
        unsigned n = 0;

        assert_int_equal(store_begin(store), 0);
        (void)add_app(store, "shop");
        store_rollback(store);
        assert_int_equal(store_load_apps(store, count_apps, &n), 0);
        assert_int_equal(n, 0);
        store_close(store);
}

static void test_same_name_twice_is_refused(void **state) {
        Store *store = open_store(*state);
        AppRow row = add_app(store, "shop");

        assert_int_equal(store_add_app(store, &row), -EEXIST);
        store_close(store);
}

static void test_removing_an_app_frees_its_slugs(void **state) {
        Store *store = open_store(*state);
        AppRow app = add_app(store, "shop");
        Slug slug = add_slug(store, 0x33);
        uint32_t releases = 0;
        unsigned n = 0;

        add_release(store, app.id, 1, &slug);
        assert_int_equal(store_unused_slugs(store, count_slugs, &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(store_remove_slug(store, slug.digest), -EEXIST); /* in use */

        assert_int_equal(store_remove_app(store, app.id), 0);
        assert_int_equal(store_count_releases(store, app.id, &releases), 0);
        assert_int_equal(releases, 0);
        assert_int_equal(store_unused_slugs(store, count_slugs, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(store_remove_slug(store, slug.digest), 0);
        slug_clear(&slug);
        store_close(store);
}

static void test_migration_keeps_the_data_and_a_copy(void **state) {
        const char *const migrations[] = {
                store_migrations[0],
                "ALTER TABLE apps ADD COLUMN extra TEXT NOT NULL DEFAULT 'x';"};
        const Fixture *f = *state;
        Store *store = open_store(f);
        StoreError error = {0};
        struct stat st;
        char copy[160];
        unsigned n = 0;

        (void)add_app(store, "shop");
        store_close(store);

        assert_int_equal(store_open_schema(&store, f->path, migrations, 2, &error), 0);
        assert_int_equal(store_load_apps(store, count_apps, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(
                sqlite3_exec(store->db, "SELECT extra FROM apps", NULL, NULL, NULL), SQLITE_OK);
        store_close(store);

        snprintf(copy, sizeof(copy), "%s.v1", f->path);
        assert_int_equal(stat(copy, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);

        /* The copy is a whole store of the older version. */
        assert_int_equal(rename(copy, f->path), 0);
        store = open_store(f);
        n = 0;
        assert_int_equal(store_load_apps(store, count_apps, &n), 0);
        assert_int_equal(n, 1);
        store_close(store);
}

static void test_newer_version_is_refused_naming_the_copy(void **state) {
        const char *const migrations[] = {
                store_migrations[0],
                "ALTER TABLE apps ADD COLUMN extra TEXT NOT NULL DEFAULT 'x';"};
        const Fixture *f = *state;
        Store *store = open_store(f);
        StoreError error = {0};
        char copy[160];

        store_close(store);
        assert_int_equal(store_open_schema(&store, f->path, migrations, 2, &error), 0);
        store_close(store);

        store = NULL;
        assert_int_equal(store_open(&store, f->path, &error), STORE_E_UNUSABLE);
        assert_null(store);
        snprintf(copy, sizeof(copy), "%s.v1", f->path);
        assert_non_null(strstr(error.text, "newer dynod"));
        assert_non_null(strstr(error.text, copy));
}

static void test_failed_migration_leaves_the_old_schema(void **state) {
        const char *const migrations[] = {
                store_migrations[0],
                "ALTER TABLE apps ADD COLUMN extra TEXT NOT NULL DEFAULT 'x'; SELECT nonsense;"};
        const Fixture *f = *state;
        Store *store = open_store(f);
        StoreError error = {0};
        Store *failed = NULL;

        (void)add_app(store, "shop");
        store_close(store);
        assert_true(store_open_schema(&failed, f->path, migrations, 2, &error) < 0);
        store = open_store(f); /* still version 1 */
        store_close(store);
}

static void test_damaged_file_is_refused_and_kept(void **state) {
        static const char garbage[] = "this is no database, but somebody's file of 42 words";
        const Fixture *f = *state;
        StoreError error = {0};
        Store *store = NULL;
        char buf[256];
        int fd;

        fd = open(f->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write_all(fd, garbage, sizeof(garbage)), 0);
        close(fd);

        assert_int_equal(store_open(&store, f->path, &error), STORE_E_UNUSABLE);
        assert_non_null(strstr(error.text, "damaged"));
        assert_null(strchr(error.text, '\n'));
        assert_int_equal(read_text_at(AT_FDCWD, f->path, buf, sizeof(buf)), sizeof(garbage));
        assert_memory_equal(buf, garbage, sizeof(garbage));
}

static void test_torn_page_is_found_at_the_start(void **state) {
        const Fixture *f = *state;
        Store *store = open_store(f);
        StoreError error = {0};
        char junk[4096];
        int fd;

        for (unsigned i = 0; i < 50; i++) {
                char name[APP_NAME_SIZE];

                snprintf(name, sizeof(name), "app-%u", i);
                (void)add_app(store, name);
        }
        store_close(store);

        memset(junk, 0x5a, sizeof(junk));
        fd = open(f->path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        for (off_t at = 4096; at < 4096 * 12; at += 4096)
                assert_int_equal(pwrite(fd, junk, sizeof(junk), at), sizeof(junk));
        close(fd);

        store = NULL;
        assert_int_equal(store_open(&store, f->path, &error), STORE_E_UNUSABLE);
}

static void test_full_disk_is_no_room_and_loses_nothing(void **state) {
        Store *store = open_store(*state);
        static char large[128 * 1024];
        AppRow app = add_app(store, "shop");
        Release release = {.number = 1, .description = large};
        unsigned n = 0;

        memset(large, 'x', sizeof(large) - 1);
        assert_int_equal(
                sqlite3_exec(store->db, "PRAGMA max_page_count = 80", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(store_begin(store), 0);
        assert_int_equal(store_add_release(store, app.id, &release), 0);
        release.number = 2;
        assert_int_equal(store_add_release(store, app.id, &release), -ENOSPC);
        store_rollback(store);

        assert_int_equal(store_load_apps(store, count_apps, &n), 0);
        assert_int_equal(n, 1);
        (void)add_app(store, "blog"); /* a small change still fits */
        store_close(store);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_new_store_is_private_and_empty),
                TEST(test_what_was_written_is_there_after_reopening),
                TEST(test_rollback_of_a_transaction_leaves_nothing),
                TEST(test_same_name_twice_is_refused),
                TEST(test_removing_an_app_frees_its_slugs),
                TEST(test_migration_keeps_the_data_and_a_copy),
                TEST(test_newer_version_is_refused_naming_the_copy),
                TEST(test_failed_migration_leaves_the_old_schema),
                TEST(test_damaged_file_is_refused_and_kept),
                TEST(test_full_disk_is_no_room_and_loses_nothing),
                TEST(test_torn_page_is_found_at_the_start),
        };

        return cmocka_run_group_tests_name("supervisor/store", tests, NULL, NULL);
}
