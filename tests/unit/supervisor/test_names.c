/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "supervisor/pairs.h"
#include "supervisor/suggest.h"

static const char *nearest(const char *wanted, const char *const *names) {
        Suggestion s = {.wanted = wanted};

        for (size_t i = 0; names[i]; i++)
                suggestion_offer(&s, names[i]);
        return s.best;
}

static void test_nearest_name_is_suggested_and_no_stranger(void **state) {
        static const char *const names[] = {"web", "worker", "release", NULL};

        assert_string_equal(nearest("wbe", names), "web");      /* swapped */
        assert_string_equal(nearest("weeb", names), "web");     /* one too many */
        assert_string_equal(nearest("wrker", names), "worker"); /* one missing */
        assert_null(nearest("clock", names));
        assert_null(nearest("foo", (const char *const[]){"Eco", NULL})); /* two of three */
        assert_null(nearest("", names));
        assert_null(nearest("web", (const char *const[]){NULL}));
}

static void test_long_names_are_compared_by_their_beginnings(void **state) {
        char a[300], b[300];

        memset(a, 'x', sizeof(a) - 1);
        memset(b, 'x', sizeof(b) - 1);
        a[sizeof(a) - 1] = b[sizeof(b) - 1] = '\0';
        b[200] = 'y';
        assert_ptr_equal(nearest(a, (const char *const[]){b, NULL}), b);
}

static void test_pairs_stay_sorted_and_unique(void **state) {
        _cleanup_pairs_ Pairs pairs = {0}, copy = {0};

        assert_int_equal(pairs_set(&pairs, "B", "2"), 0);
        assert_int_equal(pairs_set(&pairs, "A", "1"), 0);
        assert_int_equal(pairs_set(&pairs, "C", "3"), 0);
        assert_int_equal(pairs_set(&pairs, "B", "two"), 0);
        assert_int_equal(pairs.n, 3);
        assert_string_equal(pairs.items[0].name, "A");
        assert_string_equal(pairs.items[1].value, "two");
        assert_string_equal(pairs.items[2].name, "C");
        assert_int_equal(pairs_bytes(&pairs), 3 + 5);

        assert_int_equal(pairs_copy(&copy, &pairs), 0);
        assert_true(pairs_unset(&pairs, "A"));
        assert_false(pairs_unset(&pairs, "A"));
        assert_null(pairs_get(&pairs, "A"));
        assert_string_equal(pairs_get(&pairs, "C"), "3");
        assert_string_equal(pairs_get(&copy, "A"), "1");
}

static void test_strings_join(void **state) {
        _cleanup_strings_ Strings strings = {0};
        _cleanup_free_ char *empty = strings_join(NULL, ", ");
        _cleanup_free_ char *joined = NULL;

        assert_string_equal(empty, "");
        assert_int_equal(strings_add(&strings, "a"), 0);
        assert_int_equal(strings_add_variable(&strings, "K", "v=w"), 0);
        assert_true(strings_contain(&strings, "K=v=w"));
        joined = strings_join((const char *const *)strings.items, ", ");
        assert_string_equal(joined, "a, K=v=w");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nearest_name_is_suggested_and_no_stranger),
                cmocka_unit_test(test_long_names_are_compared_by_their_beginnings),
                cmocka_unit_test(test_pairs_stay_sorted_and_unique),
                cmocka_unit_test(test_strings_join),
        };

        return cmocka_run_group_tests_name("supervisor/names", tests, NULL, NULL);
}
