/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "image/tar_watch.h"

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
                assert_int_equal(r, name ? -EBADMSG : 0);
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

/* The way @tar is: refused without a name. */
static void expect_damage(const Tar *tar) {
        _cleanup_(tar_watch_freep) TarWatch *watch = NULL;
        size_t size = 1;

        assert_int_equal(tar_watch_new(&watch), 0);
        assert_int_equal(tar_watch_feed(watch, tar->data, tar->size), -EBADMSG);
        assert_null(tar_watch_name(watch, &size));
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
                "14 mtime=-1.5\n",
                "32 SCHILY.acl.access=user::r--\n",
                "32 SCHILY.acl.access=mask::--x\n",
                "32 SCHILY.acl.access=everybody\n",
                "9 mtime=\n",
                "25 GNU.sparse.map=-512,1\n"};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
                Tar tar = {0};

                add(&tar, 'x', records[i], strlen(records[i]));
                add(&tar, '0', "x", 1);
                expect_damage(&tar);
        }
}

static void test_two_minds_are_damage(void **state) {
        Tar body = {0}, label = {0}, sized = {0}, twice = {0}, mixed = {0}, global = {0};

        (void)state;
        add(&body, '1', "body of a hard link", 19);
        expect_damage(&body);
        add(&label, 'V', "body of a label", 15);
        expect_damage(&label);
        add_record(&sized, "size", "512", 3);
        add(&sized, '5', "", 0);
        expect_damage(&sized);
        add_record(&twice, "path", "a", 1);
        add_record(&twice, "path", "b", 1);
        expect_damage(&twice);
        add_record(&mixed, "path", "a", 1);
        add(&mixed, 'L', "b", 2);
        expect_damage(&mixed);
        add(&global, 'g', "10 path=x\n", 10);
        expect_damage(&global);
}

static void test_harmless_records_pass(void **state) {
        Tar tar = {0};

        (void)state;
        add(&tar, 'g', "16 comment=abcd\n", 16);
        add_record(&tar, "mtime", "12.5", 4);
        add(&tar, '0', "x", 1);
        add_record(&tar, "mtime", "-12", 3);
        add(&tar, '0', "x", 1);
        /* headers of this test say mode 0 */
        add_record(&tar, "SCHILY.acl.access", "user::---,user:lisa:rw-:7,mask::---", 35);
        add(&tar, '0', "x", 1);
        add_record(&tar, "GNU.sparse.map", "0,512,1024,5", 12);
        add(&tar, '0', "x", 1);
        expect(&tar, NULL, 0);
}

static void test_header_out_of_place_is_damage(void **state) {
        Tar tar = {0};

        (void)state;
        add(&tar, '0', "x", 1);
        add(&tar, '0', "y", 1);
        tar.data[(size_t)2 * BLOCK] ^= 1;
        expect_damage(&tar);
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
                cmocka_unit_test(test_what_is_no_tar_is_not_watched),
        };

        return cmocka_run_group_tests_name("image/tar_watch", tests, NULL, NULL);
}
