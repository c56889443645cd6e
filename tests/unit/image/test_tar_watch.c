/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "image/tar_watch.h"
#include "ipc/unpack_proto.h"

#define BLOCK 512

typedef struct Tar {
        uint8_t data[64 * BLOCK];
        size_t size;
} Tar;

static void add_header(Tar *tar, char type, size_t size) {
        uint8_t *block = tar->data + tar->size;
        unsigned sum = 0;

        memset(block, 0, BLOCK);
        memcpy(block, "name", 4);
        (void)snprintf((char *)block + 124, 12, "%011zo", size);
        block[156] = (uint8_t)type;
        memcpy(block + 257,
               "ustar\0"
               "00",
               8);
        memset(block + 148, ' ', 8);
        for (size_t i = 0; i < BLOCK; i++)
                sum += block[i];
        (void)snprintf((char *)block + 148, 8, "%06o", sum);
        tar->size += BLOCK;
}

static void add(Tar *tar, char type, const void *body, size_t size) {
        add_header(tar, type, size);
        memset(tar->data + tar->size, 0, (size + BLOCK - 1) / BLOCK * BLOCK);
        memcpy(tar->data + tar->size, body, size);
        tar->size += (size + BLOCK - 1) / BLOCK * BLOCK;
}

static void add_record(Tar *tar, const char *key, const char *value, size_t value_size) {
        char record[256];
        size_t size = strlen(key) + value_size + 6;
        int n = snprintf(record, sizeof(record), "%03zu %s=", size, key);

        assert_true(n > 0 && (size_t)n + value_size + 1 == size);
        memcpy(record + n, value, value_size);
        record[size - 1] = '\n';
        add(tar, 'x', record, size);
}

/* Fed whole and byte by byte. */
static void expect(const Tar *tar, const char *name, size_t name_size) {
        static const size_t steps[] = {1, 100, 511, 513, sizeof(tar->data)};

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                _cleanup_(tar_watch_freep) TarWatch *watch = NULL;
                size_t step = steps[i], found_size;
                int r = 0;

                assert_int_equal(tar_watch_new(&watch), 0);
                for (size_t at = 0; at < tar->size && r == 0; at += step)
                        r = tar_watch_feed(
                                watch,
                                tar->data + at,
                                tar->size - at < step ? tar->size - at : step);
                assert_int_equal(r, name ? UNPACK_NAME_NUL : 0);
                if (!name)
                        continue;
                assert_memory_equal(tar_watch_name(watch, &found_size), name, name_size);
                assert_int_equal(found_size, name_size);
        }
}

static void test_ordinary_tar_passes(void **state) {
        Tar tar = {0};

        (void)state;
        add(&tar, '0', "content", 7);
        add_record(&tar, "path", "long", 4);
        add(&tar, '0', (uint8_t[BLOCK]){0}, BLOCK);
        add(&tar, 'L', "name\0", 5);
        add(&tar, '5', "", 0);
        tar.size += 2 * BLOCK;
        expect(&tar, NULL, 0);
}

static void test_nul_in_pax_path_is_found(void **state) {
        static const char *const keys[] = {"path", "linkpath", "GNU.sparse.name"};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                Tar tar = {0};

                add(&tar, '0', "content", 7);
                add_record(&tar, keys[i], "a\0b", 3);
                expect(&tar, "a\0b", 3);
        }
}

static void test_nul_in_other_values_is_fine(void **state) {
        Tar tar = {0};

        (void)state;
        add_record(&tar, "SCHILY.xattr.user.x", "a\0b", 3);
        add(&tar, '0', "x", 1);
        expect(&tar, NULL, 0);
}

static void test_nul_in_long_name_is_found(void **state) {
        Tar tar = {0};

        (void)state;
        add(&tar, 'K', "link\0", 5);
        add(&tar, 'L', "a\0b\0\0", 5);
        expect(&tar, "a\0b", 3);
}

static void test_content_is_not_taken_for_headers(void **state) {
        Tar inner = {0}, tar = {0};

        (void)state;
        add_record(&inner, "path", "a\0b", 3);
        add(&tar, '0', inner.data, inner.size);
        expect(&tar, NULL, 0);
}

static void test_pax_size_leads_to_the_next_header(void **state) {
        Tar inner = {0}, tar = {0};

        (void)state;
        add_record(&inner, "path", "a\0b", 3);
        add_record(&tar, "size", "1024", 4);
        add_header(&tar, '0', 0);
        memcpy(tar.data + tar.size, inner.data, inner.size);
        tar.size += 1024;
        expect(&tar, NULL, 0);
        add(&tar, 'x', inner.data + BLOCK, 14);
        expect(&tar, "a\0b", 3);
}

/* The way @tar is, @name is refused; NULL: something that has no name. */
static void expect_damage(const Tar *tar, const char *name) {
        _cleanup_(tar_watch_freep) TarWatch *watch = NULL;
        size_t size = 1;

        assert_int_equal(tar_watch_new(&watch), 0);
        assert_int_equal(tar_watch_feed(watch, tar->data, tar->size), UNPACK_CORRUPT);
        if (name)
                assert_string_equal(tar_watch_name(watch, &size), name);
        else
                assert_null(tar_watch_name(watch, &size));
        assert_int_equal(size, name ? strlen(name) : 0);
}

static void test_unreadable_records_are_damage(void **state) {
        static const char *const records[] = {
                "99 path=x\n",
                "x path=y\n",
                "0 path=x\n",
                "9 pathxyz\n",
                "10 path=xy",
                "3 =",
                "9999999999999999999999 path=x\n",
                "12 size=x1y\n",
                "13 mtime=nan\n",
                "9 mtime=\n",
                "25 GNU.sparse.map=-512,1\n"};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
                Tar tar = {0};

                add(&tar, 'x', records[i], strlen(records[i]));
                add(&tar, '0', "x", 1);
                expect_damage(&tar, "name");
        }
}

static void test_two_minds_are_damage(void **state) {
        Tar body = {0}, label = {0}, sized = {0}, twice = {0}, mixed = {0}, global = {0};

        (void)state;
        add(&body, '1', "body of a hard link", 19);
        expect_damage(&body, "name");
        add(&label, 'V', "body of a label", 15);
        expect_damage(&label, "name");
        add_record(&sized, "size", "512", 3);
        add(&sized, '5', "", 0);
        expect_damage(&sized, "name");
        add_record(&twice, "path", "a", 1);
        add_record(&twice, "path", "b", 1);
        add(&twice, '0', "x", 1);
        expect_damage(&twice, "b");
        add_record(&mixed, "path", "a", 1);
        add(&mixed, 'L', "b", 2);
        add(&mixed, '0', "x", 1);
        expect_damage(&mixed, "b");
        add(&global, 'g', "10 path=x\n", 10);
        add(&global, '0', "x", 1);
        expect_damage(&global, "name");
}

static void test_harmless_records_pass(void **state) {
        Tar tar = {0};

        (void)state;
        add(&tar, 'g', "16 comment=abcd\n", 16);
        add_record(&tar, "mtime", "12.5", 4);
        add(&tar, '0', "x", 1);
        add_record(&tar, "mtime", "-12", 3);
        add(&tar, '0', "x", 1);
        expect(&tar, NULL, 0);
}

static void test_header_out_of_place_is_damage(void **state) {
        Tar tar = {0};

        (void)state;
        add(&tar, '0', "x", 1);
        add(&tar, '0', "y", 1);
        tar.data[(size_t)2 * BLOCK] ^= 1;
        expect_damage(&tar, NULL);
}

/* Fed in steps, and each entry taken as soon as it is there. */
static void expect_entries(const Tar *tar, const TarEntry *const *wanted, size_t n) {
        static const size_t steps[] = {1, 511, 512, 1000, sizeof(tar->data)};

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                _cleanup_(tar_watch_freep) TarWatch *watch = NULL;
                size_t step = steps[i], seen = 0;
                const TarEntry *entry;

                assert_int_equal(tar_watch_new(&watch), 0);
                for (size_t at = 0; at < tar->size; at += step) {
                        size_t left = tar->size - at;

                        assert_int_equal(
                                tar_watch_feed(watch, tar->data + at, left < step ? left : step),
                                0);
                        while ((entry = tar_watch_next(watch))) {
                                assert_true(seen < n);
                                assert_int_equal(entry->at, wanted[seen]->at);
                                assert_int_equal(entry->type, wanted[seen]->type);
                                assert_int_equal(entry->size, wanted[seen]->size);
                                assert_int_equal(entry->mtime.tv_sec, wanted[seen]->mtime.tv_sec);
                                assert_int_equal(entry->mtime.tv_nsec, wanted[seen]->mtime.tv_nsec);
                                assert_string_equal(entry->name, wanted[seen]->name);
                                assert_string_equal(entry->link, wanted[seen]->link);
                                seen++;
                        }
                }
                assert_int_equal(seen, n);
                assert_true(tar_watch_is_at_end(watch));
        }
}

static void test_entries_are_told(void **state) {
        static char link[] = "target", none[] = "";
        static const TarEntry first = {.type = S_IFREG, .size = 7, .link = none, .name = "name"};
        static const TarEntry second = {
                .at = (uint64_t)2 * BLOCK,
                .type = S_IFLNK,
                .mtime = {.tv_sec = 12, .tv_nsec = 50000000},
                .link = link,
                .name = "name"};
        static const TarEntry third = {
                .at = (uint64_t)5 * BLOCK, .type = S_IFDIR, .link = none, .name = "folder/"};
        static const char sparse[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
                                     "28 GNU.sparse.realsize=1000\n";
        static const TarEntry fourth = {
                .at = (uint64_t)10 * BLOCK,
                .type = S_IFREG,
                .size = 1000,
                .link = none,
                .name = "name"};
        const TarEntry *const wanted[] = {&first, &second, &third, &fourth};
        char body[2 * BLOCK] = "1\n900\n100\n";
        Tar tar = {0};

        (void)state;
        add(&tar, '0', "content", 7);
        add(&tar, 'x', "15 mtime=12.05\n19 linkpath=target\n", 34);
        add(&tar, '2', "", 0);
        add(&tar, 'g', "16 comment=abcd\n", 16);
        add(&tar, 'L', "folder/", 8);
        add(&tar, '0', "", 0);
        add(&tar, 'x', sparse, sizeof(sparse) - 1);
        add(&tar, '0', body, BLOCK + 100);
        tar.size += BLOCK;
        expect_entries(&tar, wanted, ARRAY_SIZE(wanted));
}

static void test_what_is_no_tar_is_not_watched(void **state) {
        Tar tar = {0};

        (void)state;
        add(&tar, '0', "x", 1);
        tar.data[0] ^= 1;
        add_record(&tar, "path", "a\0b", 3);
        expect(&tar, NULL, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ordinary_tar_passes),
                cmocka_unit_test(test_nul_in_pax_path_is_found),
                cmocka_unit_test(test_nul_in_other_values_is_fine),
                cmocka_unit_test(test_nul_in_long_name_is_found),
                cmocka_unit_test(test_content_is_not_taken_for_headers),
                cmocka_unit_test(test_pax_size_leads_to_the_next_header),
                cmocka_unit_test(test_unreadable_records_are_damage),
                cmocka_unit_test(test_two_minds_are_damage),
                cmocka_unit_test(test_harmless_records_pass),
                cmocka_unit_test(test_header_out_of_place_is_damage),
                cmocka_unit_test(test_entries_are_told),
                cmocka_unit_test(test_what_is_no_tar_is_not_watched),
        };

        return cmocka_run_group_tests_name("image/tar_watch", tests, NULL, NULL);
}
