/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "control/framing.h"

#define LINES "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"
#define LINES_SIZE (sizeof(LINES) - 1)

/* Feeds @data in pieces of @step at most, as the relay does. Return: 0 or -EBADMSG. */
static int feed(Framing *framing, const char *data, size_t size, size_t step) {
        while (size > 0) {
                size_t n = size < step ? size : step, want = framing_want(framing);
                int r;

                if (want == 0)
                        n = framing_peek(framing, data, n);
                else if (n > want)
                        n = want;
                r = framing_take(framing, data, n);
                if (r < 0)
                        return r;
                data += n;
                size -= n;
        }
        return 0;
}

/* A message with 5 bytes of fields (padded to 8) and 3 of body. */
static const char message[27] = {'l', 1, 0, 1, 3, 0, 0, 0, 1, 0, 0, 0, 5};

static void test_messages_end_where_they_say(void **state) {
        (void)state;
        for (size_t step = 1; step < 64; step++) {
                Framing framing = {};
                char stream[LINES_SIZE + 2 * sizeof(message)];

                memcpy(stream, LINES, LINES_SIZE);
                memcpy(stream + LINES_SIZE, message, sizeof(message));
                memcpy(stream + LINES_SIZE + sizeof(message), message, sizeof(message));
                assert_int_equal(feed(&framing, stream, sizeof(stream), step), 0);
                assert_int_equal(framing_want(&framing), FRAMING_HEADER_SIZE);
        }
}

static void test_lines_are_not_read_beyond_begin(void **state) {
        Framing framing = {};
        char stream[LINES_SIZE + sizeof(message)];

        (void)state;
        memcpy(stream, LINES, LINES_SIZE);
        memcpy(stream + LINES_SIZE, message, sizeof(message));
        assert_int_equal(framing_peek(&framing, stream, sizeof(stream)), LINES_SIZE);
}

static void test_big_endian_is_read_as_such(void **state) {
        Framing framing = {};
        static const char big[16] = {'B', 1, 0, 1, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 5};

        (void)state;
        assert_int_equal(feed(&framing, LINES, LINES_SIZE, 64), 0);
        assert_int_equal(framing_take(&framing, big, sizeof(big)), 0);
        assert_int_equal(framing_want(&framing), 11);
}

static void test_bad_headers_are_refused(void **state) {
        static const char headers[][16] = {
                {'x', 1, 0, 1, 3, 0, 0, 0, 1, 0, 0, 0, 5},
                {'l', 1, 0, 1, 0, 0, 16, 0, 1, 0, 0, 0, 5},                 /* body of 1 MB */
                {'l', 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, -1, -1, -1, -1},     /* fields of 4 GB */
                {'l', 1, 0, 1, -1, -1, -1, -1, 1, 0, 0, 0, -1, -1, -1, -1}, /* both */
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
                Framing framing = {};

                assert_int_equal(feed(&framing, LINES, LINES_SIZE, 64), 0);
                assert_true(framing_take(&framing, headers[i], FRAMING_HEADER_SIZE) < 0);
        }
}

static void test_endless_lines_are_refused(void **state) {
        Framing framing = {};
        char text[FRAMING_LINES_MAX + 1];

        (void)state;
        memset(text, 'A', sizeof(text));
        assert_true(feed(&framing, text, sizeof(text), 100) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_messages_end_where_they_say),
                cmocka_unit_test(test_lines_are_not_read_beyond_begin),
                cmocka_unit_test(test_big_endian_is_read_as_such),
                cmocka_unit_test(test_bad_headers_are_refused),
                cmocka_unit_test(test_endless_lines_are_refused),
        };

        return cmocka_run_group_tests_name("control/framing", tests, NULL, NULL);
}
