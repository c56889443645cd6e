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
        static const char *const suffixes[] = {"", "-wal", "-shm", ".v1", ".v2", ".v3", ".v1.tmp"};
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

/* One more than this dynod knows. */
#define NEWER(extra) store_migrations[0], store_migrations[1], (extra)
#define N_NEWER 3

/* As the first release left it: no row and no file of it is lost, and the policy can be had. */
static void test_store_of_the_first_release_is_brought_up_to_date(void **state) {
        const Fixture *f = *state;
        StoreError error = {0};
        Store *store = NULL;
        Policy policy;
        struct stat st;
        char copy[160];
        AppRow app;
        Slug slug;

        assert_int_equal(store_open_schema(&store, f->path, store_migrations, 1, &error), 0);
        app = add_app(store, "shop");
        slug = add_slug(store, 0x11);
        add_release(store, app.id, 1, &slug);
        slug_clear(&slug);
        store_close(store);

        store = open_store(f);
        assert_int_equal(store_read_policy(store, app.id, &policy), 0);
        assert_int_equal(policy.serial, 0);
        policy.serial = 1;
        policy.closed = true;
        assert_int_equal(store_set_policy(store, app.id, &policy), 0);
        store_close(store);
        snprintf(copy, sizeof(copy), "%s.v1", f->path);
        assert_int_equal(stat(copy, &st), 0);

        /* The copy is what the first release can read. */
        assert_int_equal(rename(copy, f->path), 0);
        assert_int_equal(store_open_schema(&store, f->path, store_migrations, 1, &error), 0);
        assert_int_equal(store_read_slug(store, slug.digest, &slug), 0);
        slug_clear(&slug);
        store_close(store);
}

static Policy full_policy(void) {
        Policy policy = {
                .serial = 9,
                .closed = true,
                .restricted = true,
                .source = 0x057100cb,
                .n_rules = NETWORK_RULES_MAX,
                .n_trusted = 2,
                .trusted =
                        {{.network = 0x006433c6, .prefix = 24},
                         {.network = 0x076433c6, .prefix = 32}},
                .n_services = 2,
                .services =
                        {{.name = "dns", .port = {.port = 53, .protocol = IPPROTO_UDP}},
                         {.name = "postgres", .port = {.port = 5432, .protocol = IPPROTO_TCP}}},
                .n_published = 2,
                .published = {80, 65535},
        };

        for (unsigned i = 0; i < NETWORK_RULES_MAX; i++)
                policy.rules[i] = (NetworkRule){
                        .network = 10 | i << 8,
                        .prefix = 16,
                        .allow = i & 1,
                        .protocol = i & 2 ? IPPROTO_TCP : IPPROTO_ICMP,
                        .port_first = i & 2 ? (uint16_t)(i + 1) : 0,
                        .port_last = i & 2 ? 65535 : 0,
                };
        return policy;
}

static void test_policy_is_there_after_reopening(void **state) {
        const Fixture *f = *state;
        Store *store = open_store(f);
        AppRow app = add_app(store, "shop"), other = add_app(store, "blog");
        Policy policy = full_policy(), read;

        assert_int_equal(store_set_policy(store, app.id, &policy), 0);
        assert_int_equal(store_set_policy(store, app.id, &policy), 0); /* replaced, not added */
        store_close(store);

        store = open_store(f);
        assert_int_equal(store_read_policy(store, app.id, &read), 0);
        assert_memory_equal(&read, &policy, sizeof(policy));
        assert_int_equal(store_read_policy(store, other.id, &read), 0);
        assert_int_equal(read.serial, 0);

        /* a port leads to one app; a failure leaves what was there */
        policy.n_rules = 0;
        assert_int_equal(store_set_policy(store, other.id, &policy), -EEXIST);
        assert_int_equal(store_read_policy(store, other.id, &read), 0);
        assert_int_equal(read.serial, 0);
        assert_int_equal(store_remove_app(store, app.id), 0);
        assert_int_equal(store_set_policy(store, other.id, &policy), 0);
        store_close(store);
}

static void test_policy_that_somebody_else_wrote_is_refused(void **state) {
        static const char *const edits[] = {
                "UPDATE network_rules SET network = '10.1.2.3/8'",
                "UPDATE network_rules SET protocol = 'sctp'",
                "UPDATE network_rules SET port_from = 9, port_to = 8",
                "UPDATE network SET source = 'nowhere'",
                "UPDATE trusted_networks SET network = 'fd00::/8'",
                "UPDATE services SET name = '../x' WHERE port = 53",
                "UPDATE services SET port = 0",
                "UPDATE services SET protocol = 'icmp'",
                ("INSERT INTO published_ports SELECT value, 1, 'web' FROM json_each("
                 "  '[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]')"),
        };
        Store *store = open_store(*state);
        AppRow app = add_app(store, "shop");
        Policy policy = full_policy(), read;

        for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
                assert_int_equal(store_set_policy(store, app.id, &policy), 0);
                assert_int_equal(sqlite3_exec(store->db, edits[i], NULL, NULL, NULL), SQLITE_OK);
                if (store_read_policy(store, app.id, &read) != -EINVAL)
                        fail_msg("%s: was taken", edits[i]);
        }
        store_close(store);
}

static void test_migration_keeps_the_data_and_a_copy(void **state) {
        const char *const migrations[] = {
                NEWER("ALTER TABLE apps ADD COLUMN extra TEXT NOT NULL DEFAULT 'x';")};
        const Fixture *f = *state;
        Store *store = open_store(f);
        StoreError error = {0};
        struct stat st;
        char copy[160];
        unsigned n = 0;

        (void)add_app(store, "shop");
        store_close(store);

        assert_int_equal(store_open_schema(&store, f->path, migrations, N_NEWER, &error), 0);
        assert_int_equal(store_load_apps(store, count_apps, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(
                sqlite3_exec(store->db, "SELECT extra FROM apps", NULL, NULL, NULL), SQLITE_OK);
        store_close(store);

        snprintf(copy, sizeof(copy), "%s.v2", f->path);
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
                NEWER("ALTER TABLE apps ADD COLUMN extra TEXT NOT NULL DEFAULT 'x';")};
        const Fixture *f = *state;
        Store *store = open_store(f);
        StoreError error = {0};
        char copy[160];

        store_close(store);
        assert_int_equal(store_open_schema(&store, f->path, migrations, N_NEWER, &error), 0);
        store_close(store);

        store = NULL;
        assert_int_equal(store_open(&store, f->path, &error), STORE_E_UNUSABLE);
        assert_null(store);
        snprintf(copy, sizeof(copy), "%s.v2", f->path);
        assert_non_null(strstr(error.text, "newer dynod"));
        assert_non_null(strstr(error.text, copy));
}

static void test_failed_migration_leaves_the_old_schema(void **state) {
        const char *const migrations[] = {NEWER(
                "ALTER TABLE apps ADD COLUMN extra TEXT NOT NULL DEFAULT 'x'; SELECT nonsense;")};
        const Fixture *f = *state;
        Store *store = open_store(f);
        StoreError error = {0};
        Store *failed = NULL;

        (void)add_app(store, "shop");
        store_close(store);
        assert_true(store_open_schema(&failed, f->path, migrations, N_NEWER, &error) < 0);
        store = open_store(f); /* still the version of this dynod */
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
                TEST(test_store_of_the_first_release_is_brought_up_to_date),
                TEST(test_policy_is_there_after_reopening),
                TEST(test_policy_that_somebody_else_wrote_is_refused),
                TEST(test_migration_keeps_the_data_and_a_copy),
                TEST(test_newer_version_is_refused_naming_the_copy),
                TEST(test_failed_migration_leaves_the_old_schema),
                TEST(test_damaged_file_is_refused_and_kept),
                TEST(test_full_disk_is_no_room_and_loses_nothing),
                TEST(test_torn_page_is_found_at_the_start),
        };

        return cmocka_run_group_tests_name("supervisor/store", tests, NULL, NULL);
}
