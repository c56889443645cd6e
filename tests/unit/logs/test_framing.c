/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/log_proto.h"
#include "logs/framing.h"

static char buf[4 * LOG_TEXT_MAX];

static void fill(size_t size, char with) {
        assert_true(size <= sizeof(buf));
        memset(buf, with, size);
}

static void test_newline_ends_a_line(void **state) {
        LogFrame frame;

        assert_true(log_frame_next("one\ntwo", 7, false, &frame));
        assert_int_equal(frame.text_size, 3);
        assert_int_equal(frame.used, 4);
        assert_true(log_frame_next("\n\n", 2, false, &frame));
        assert_int_equal(frame.text_size, 0);
        assert_int_equal(frame.used, 1);
}

static void test_part_of_a_line_waits(void **state) {
        LogFrame frame;

        assert_false(log_frame_next("two", 3, false, &frame));
        assert_false(log_frame_next("", 0, false, &frame));
        assert_false(log_frame_next("", 0, true, &frame));
        assert_true(log_frame_next("two", 3, true, &frame));
        assert_int_equal(frame.text_size, 3);
        assert_int_equal(frame.used, 3);
}

static void test_line_of_the_greatest_length_is_one(void **state) {
        LogFrame frame;

        fill(LOG_TEXT_MAX, 'x');
        buf[LOG_TEXT_MAX] = '\n';
        /* Whether a newline follows decides where the next line begins: it is waited for. */
        assert_false(log_frame_next(buf, LOG_TEXT_MAX, false, &frame));
        assert_true(log_frame_next(buf, LOG_TEXT_MAX + 1, false, &frame));
        assert_int_equal(frame.text_size, LOG_TEXT_MAX);
        assert_int_equal(frame.used, LOG_TEXT_MAX + 1);
        assert_int_equal(log_frame_count(buf, LOG_TEXT_MAX + 1, true), 1);
}

static void test_longer_line_is_split_without_an_empty_one(void **state) {
        LogFrame frame;

        fill(LOG_TEXT_MAX + 1, 'x');
        buf[LOG_TEXT_MAX + 1] = '\n';
        assert_true(log_frame_next(buf, LOG_TEXT_MAX + 2, false, &frame));
        assert_int_equal(frame.text_size, LOG_TEXT_MAX);
        assert_int_equal(frame.used, LOG_TEXT_MAX);
        assert_int_equal(log_frame_count(buf, LOG_TEXT_MAX + 2, false), 2);

        fill(2 * LOG_TEXT_MAX, 'x');
        buf[2 * LOG_TEXT_MAX] = '\n';
        assert_int_equal(log_frame_count(buf, 2 * LOG_TEXT_MAX + 1, false), 2);
}

static void test_any_byte_but_newline_is_text(void **state) {
        static const char raw[] = {'\0', '\r', '\x1b', (char)0xff, '\n'};
        LogFrame frame;

        assert_true(log_frame_next(raw, sizeof(raw), false, &frame));
        assert_int_equal(frame.text_size, 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_newline_ends_a_line),
                cmocka_unit_test(test_part_of_a_line_waits),
                cmocka_unit_test(test_line_of_the_greatest_length_is_one),
                cmocka_unit_test(test_longer_line_is_split_without_an_empty_one),
                cmocka_unit_test(test_any_byte_but_newline_is_text),
        };

        return cmocka_run_group_tests_name("logs/framing", tests, NULL, NULL);
}
