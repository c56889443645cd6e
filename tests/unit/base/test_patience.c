/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/patience.h"

static int wait_msec(long msec) {
        const struct timespec time = {.tv_sec = msec / 1000, .tv_nsec = msec % 1000 * 1000000};

        return nanosleep(&time, NULL) < 0 ? -errno : 0;
}

static void test_waits_end_while_it_is_on_and_no_longer(void **state) {
        patience_begin(); /* not open: does nothing */
        assert_int_equal(wait_msec(5), 0);

        assert_int_equal(patience_open(), 0);
        assert_int_equal(wait_msec(5), 0);
        for (int i = 0; i < 3; i++) {
                patience_begin();
                /* Each of them, since what is closed may have to wait more than once. */
                assert_int_equal(wait_msec(100000), -EINTR);
                assert_int_equal(wait_msec(100000), -EINTR);
                patience_end();
                assert_int_equal(wait_msec(5), 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_waits_end_while_it_is_on_and_no_longer),
        };

        return cmocka_run_group_tests_name("base/patience", tests, NULL, NULL);
}
