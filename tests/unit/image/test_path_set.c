/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/path_set.h"

static void test_what_was_added_is_in_it(void **state) {
        PathSet set = {.bytes_left = 10000};

        (void)state;
        assert_false(path_set_has(&set, "dev/a"));
        assert_int_equal(path_set_add(&set, "dev/a"), 0);
        assert_int_equal(path_set_add(&set, "dev/b"), 0);
        assert_true(path_set_has(&set, "dev/a"));
        assert_true(path_set_has(&set, "dev/b"));
        assert_false(path_set_has(&set, "dev/"));
        path_set_clear(&set);
        assert_false(path_set_has(&set, "dev/a"));
}

static void test_it_is_bounded(void **state) {
        PathSet set = {.bytes_left = 200};

        (void)state;
        assert_int_equal(path_set_add(&set, "dev/a"), 0);
        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(path_set_add(&set, "dev/a"), 0);
        assert_int_equal(path_set_add(&set, "dev/b"), 0);
        assert_int_equal(path_set_add(&set, "dev/c"), -E2BIG);
        assert_false(path_set_has(&set, "dev/c"));
        path_set_clear(&set);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_was_added_is_in_it),
                cmocka_unit_test(test_it_is_bounded),
        };

        return cmocka_run_group_tests_name("image/path_set", tests, NULL, NULL);
}
