/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "image/entry_name.h"

typedef struct Case {
        const char *raw;
        UnpackReason reason;
        const char *path;
        bool absolute;
} Case;

static const Case cases[] = {
        {"a", UNPACK_OK, "a", false},
        {"./a", UNPACK_OK, "a", false},
        {"a/", UNPACK_OK, "a", false},
        {"a//b", UNPACK_OK, "a/b", false},
        {"./a/./b/.", UNPACK_OK, "a/b", false},
        {"/a/b", UNPACK_OK, "a/b", true},
        {"///a", UNPACK_OK, "a", true},
        {"./", UNPACK_OK, "", false},
        {".", UNPACK_OK, "", false},
        {"/", UNPACK_OK, "", true},
        {"...", UNPACK_OK, "...", false},
        {"..a/b..", UNPACK_OK, "..a/b..", false},
        {"a/.hidden", UNPACK_OK, "a/.hidden", false},
        {"", UNPACK_CORRUPT, NULL, false},
        {"..", UNPACK_NAME_DOTDOT, NULL, false},
        {"../a", UNPACK_NAME_DOTDOT, NULL, false},
        {"a/..", UNPACK_NAME_DOTDOT, NULL, false},
        {"a/../b", UNPACK_NAME_DOTDOT, NULL, false},
        {"/..", UNPACK_NAME_DOTDOT, NULL, false},
        {"a//..//b", UNPACK_NAME_DOTDOT, NULL, false},
};

static void test_names_are_checked_and_normalised(void **state) {
        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                EntryName name;

                print_message("%s\n", cases[i].raw);
                assert_int_equal(entry_name_parse(&name, cases[i].raw), cases[i].reason);
                if (cases[i].reason != UNPACK_OK)
                        continue;
                assert_string_equal(name.path, cases[i].path);
                assert_int_equal(name.absolute, cases[i].absolute);
        }
}

static void test_length_limits_are_the_kernels(void **state) {
        char raw[PATH_MAX + 2];
        EntryName name;

        (void)state;
        memset(raw, 'a', sizeof(raw));
        for (size_t i = 200; i < sizeof(raw); i += 200)
                raw[i] = '/';
        raw[PATH_MAX - 1] = '\0';
        assert_int_equal(entry_name_parse(&name, raw), UNPACK_OK);
        assert_int_equal(strlen(name.path), PATH_MAX - 1);
        raw[PATH_MAX - 1] = 'a';
        raw[PATH_MAX] = '\0';
        assert_int_equal(entry_name_parse(&name, raw), UNPACK_NAME_TOO_LONG);

        memset(raw, 'a', NAME_MAX + 1);
        raw[NAME_MAX] = '\0';
        assert_int_equal(entry_name_parse(&name, raw), UNPACK_OK);
        raw[NAME_MAX] = 'a';
        raw[NAME_MAX + 1] = '\0';
        assert_int_equal(entry_name_parse(&name, raw), UNPACK_NAME_TOO_LONG);
}

static void test_below_is_by_parts(void **state) {
        (void)state;
        assert_true(entry_name_is_below("app", "app"));
        assert_true(entry_name_is_below("app/x", "app"));
        assert_false(entry_name_is_below("apple", "app"));
        assert_false(entry_name_is_below("x/app", "app"));
        assert_false(entry_name_is_below("", "app"));
}

static void test_text_is_clean_utf8(void **state) {
        char text[16];

        (void)state;
        entry_name_to_text(text, sizeof(text), "h\xc3\xa9\xff", 4);
        assert_string_equal(text, "h\xc3\xa9?");
        entry_name_to_text(text, sizeof(text), "a\0b", 3);
        assert_string_equal(text, "a?b");
        entry_name_to_text(text, sizeof(text), "\xf0\x9f\x98", 3);
        assert_string_equal(text, "???");
        /* Cut between characters, never inside one. */
        entry_name_to_text(text, 5, "abc\xc3\xa9", 5);
        assert_string_equal(text, "abc");
        entry_name_to_text(text, 6, "abc\xc3\xa9", 5);
        assert_string_equal(text, "abc\xc3\xa9");
}

static void test_utf8_refuses_other_forms(void **state) {
        (void)state;
        assert_int_equal(utf8_sequence("a", 1), 1);
        assert_int_equal(utf8_sequence("\xc3\xa9", 2), 2);
        assert_int_equal(utf8_sequence("\xe2\x82\xac", 3), 3);
        assert_int_equal(utf8_sequence("\xf0\x9f\x98\x80", 4), 4);
        assert_int_equal(utf8_sequence("\xc3\xa9", 1), 0);
        assert_int_equal(utf8_sequence("\x80", 1), 0);
        assert_int_equal(utf8_sequence("\xc0\xaf", 2), 0);
        assert_int_equal(utf8_sequence("\xe0\x80\xaf", 3), 0);
        assert_int_equal(utf8_sequence("\xed\xa0\x80", 3), 0);
        assert_int_equal(utf8_sequence("\xf4\x90\x80\x80", 4), 0);
        assert_int_equal(utf8_sequence("\xf8\x88\x80\x80\x80", 5), 0);
        assert_int_equal(utf8_sequence("", 0), 0);
}

static void test_dot_at_the_end(void **state) {
        (void)state;
        assert_true(entry_name_ends_with_dot("."));
        assert_true(entry_name_ends_with_dot("./"));
        assert_true(entry_name_ends_with_dot("a/."));
        assert_true(entry_name_ends_with_dot("a/.//"));
        assert_false(entry_name_ends_with_dot("a."));
        assert_false(entry_name_ends_with_dot("a/.b"));
        assert_false(entry_name_ends_with_dot("./a/"));
        assert_false(entry_name_ends_with_dot("/"));
        assert_false(entry_name_ends_with_dot(""));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names_are_checked_and_normalised),
                cmocka_unit_test(test_length_limits_are_the_kernels),
                cmocka_unit_test(test_below_is_by_parts),
                cmocka_unit_test(test_text_is_clean_utf8),
                cmocka_unit_test(test_utf8_refuses_other_forms),
                cmocka_unit_test(test_dot_at_the_end),
        };

        return cmocka_run_group_tests_name("image/entry_name", tests, NULL, NULL);
}
