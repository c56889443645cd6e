/* SPDX-License-Identifier: Apache-2.0 */

/* Records of a process that has the dyno's uid already: the dyno may have a hand in them. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox/child_report.h"

static int receive(const void *data, size_t size) {
        ChildReport report;
        int fds[2], r;

        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        assert_int_equal(write(fds[1], data, size), size);
        r = child_report_receive(fds[0], &report);
        (void)close(fds[0]);
        (void)close(fds[1]);
        return r;
}

static void test_records_that_are_none_are_refused(void **state) {
        const ChildReport good = {
                .type = CHILD_FAILED, .error = {.layer = LAYER_USER, .error = EPERM}};
        ChildReport bad = good;

        (void)state;
        assert_int_equal(receive(&good, sizeof(good)), 1);
        assert_int_equal(receive(&good, sizeof(good) - 1), -EPROTO);
        bad.type = 0;
        assert_int_equal(receive(&bad, sizeof(bad)), -EPROTO);
        bad.type = CHILD_FAILED + 1;
        assert_int_equal(receive(&bad, sizeof(bad)), -EPROTO);
        bad = good;
        bad.error.layer = _LAYER_ANY_MAX + 1;
        assert_int_equal(receive(&bad, sizeof(bad)), -EPROTO);
        bad = good;
        bad.error.error = -1;
        assert_int_equal(receive(&bad, sizeof(bad)), -EPROTO);
        bad = good;
        memset(bad.error.detail, 'x', sizeof(bad.error.detail)); /* without an end */
        assert_int_equal(receive(&bad, sizeof(bad)), -EPROTO);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_records_that_are_none_are_refused),
        };

        return cmocka_run_group_tests_name("sandbox/child_report", tests, NULL, NULL);
}
