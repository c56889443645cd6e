/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "init/log_lines.h"

static void expect_line(const char *const *parts, const char *want) {
        char line[LOG_LINE_SIZE];
        size_t n = log_line_format(line, parts);

        assert_int_equal(n, strlen(want));
        assert_memory_equal(line, want, n);
}

static void test_parts_become_one_line(void **state) {
        const char *const parts[] = {"Starting process with command `", "ruby app.rb", "`", NULL};
        const char *const none[] = {NULL};

        (void)state;
        expect_line(parts, "Starting process with command `ruby app.rb`\n");
        expect_line(none, "\n");
}

static void test_control_characters_are_escaped(void **state) {
        const char *const parts[] = {
                "`", "a\nProcess exited\twith\r\x1b[1m\x7f \\ \xc3\xa4", "`", NULL};

        (void)state;
        expect_line(parts, "`a\\nProcess exited\\twith\\x0d\\x1b[1m\\x7f \\ \xc3\xa4`\n");
}

static void test_long_command_is_cut_and_the_rest_stays(void **state) {
        static char command[2 * LOG_LINE_SIZE];
        const char *const parts[] = {"Starting `", command, "`", NULL};
        char line[LOG_LINE_SIZE];
        size_t n;

        (void)state;
        memset(command, 'x', sizeof(command) - 1);
        n = log_line_format(line, parts);
        assert_int_equal(n, LOG_LINE_SIZE);
        assert_memory_equal(line, "Starting `xxx", 13);
        assert_memory_equal(line + n - 6, "x...`\n", 6);

        /* Escapes are never cut in half, nor are characters of several bytes. */
        for (size_t shift = 0; shift < 4; shift++) {
                memset(command, 'x', shift);
                memset(command + shift, '\x01', sizeof(command) - 1 - shift);
                n = log_line_format(line, parts);
                assert_true(n <= LOG_LINE_SIZE);
                assert_memory_equal(line + n - 9, "\\x01...`\n", 9);

                for (size_t i = shift; i + 3 < sizeof(command); i += 3)
                        memcpy(command + i, "\xe2\x82\xac", 3);
                n = log_line_format(line, parts);
                assert_true(n <= LOG_LINE_SIZE);
                assert_memory_equal(line + n - 8, "\xe2\x82\xac...`\n", 8);
        }
}

static void test_full_pipe_queues_in_order_and_never_blocks(void **state) {
        const char *const lines[][2] = {{"one", NULL}, {"two", NULL}};
        static char fill[4096];
        LogLines log = {.fd = -EBADF};
        char buf[64] = {0};
        int fd[2];

        (void)state;
        assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
        assert_true(fd[0] < 10 && fd[1] < 10);
        assert_int_equal(log_lines_open(&log, fd[1]), 0);
        while (write(fd[1], fill, sizeof(fill)) > 0)
                ;

        for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
                log_lines_add(&log, lines[i]);
        assert_int_equal(log.n, 2);
        assert_int_equal(log_lines_flush(&log), -EAGAIN);

        while (read(fd[0], fill, sizeof(fill)) > 0)
                ;
        assert_int_equal(log_lines_flush(&log), 0);
        assert_int_equal(log.n, 0);
        assert_int_equal(read(fd[0], buf, sizeof(buf)), 8);
        assert_string_equal(buf, "one\ntwo\n");

        (void)close(log.fd);
        (void)close(fd[0]);
        (void)close(fd[1]);
}

static void test_lines_beyond_the_queue_are_dropped(void **state) {
        const char *const line[] = {"line", NULL};
        static char fill[4096];
        LogLines log = {.fd = -EBADF};
        int fd[2];

        (void)state;
        assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
        assert_int_equal(log_lines_open(&log, fd[1]), 0);
        while (write(fd[1], fill, sizeof(fill)) > 0)
                ;
        for (size_t i = 0; i < LOG_LINES_QUEUED_MAX + 3; i++)
                log_lines_add(&log, line);
        assert_int_equal(log.n, LOG_LINES_QUEUED_MAX);

        (void)close(log.fd);
        (void)close(fd[0]);
        (void)close(fd[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parts_become_one_line),
                cmocka_unit_test(test_control_characters_are_escaped),
                cmocka_unit_test(test_long_command_is_cut_and_the_rest_stays),
                cmocka_unit_test(test_full_pipe_queues_in_order_and_never_blocks),
                cmocka_unit_test(test_lines_beyond_the_queue_are_dropped),
        };

        return cmocka_run_group_tests_name("init/log_lines", tests, NULL, NULL);
}
