/* SPDX-License-Identifier: Apache-2.0 */

/* One dyno's way from FIFO to history, cut off between any two of its steps. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "logs/capture.h"
#include "logs/spool.h"
#include "temp_dir.h"

#define ID "web.1-7f3a9c"
#define APP "7"

static struct {
        int epoll_fd, dyno_fd, app_fd, log_fd;
        CaptureContext context;
        AppLog *app;
        Capture *capture;
} t;

static void open_all(TempDir *temp) {
        t.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        assert_int_equal(capture_context_init(&t.context, t.epoll_fd, NULL), 0);
        assert_int_equal(app_log_new(&t.app, temp->fd, 7, 1), 0);
        app_log_set_name(t.app, "shop");
        assert_int_equal(capture_new(&t.capture, &t.context, t.app, ID), 0);
        assert_int_equal(capture_attach(t.capture, t.dyno_fd), 0);
        assert_int_equal(capture_turn(t.capture), 0); /* as the logger does */
}

static void close_all(void) {
        t.capture = capture_free(t.capture);
        t.app = app_log_free(t.app);
        capture_context_clear(&t.context);
        (void)close(t.epoll_fd);
}

static int setup(void **state) {
        TempDir *temp;

        (void)temp_dir_setup(state);
        temp = *state;
        assert_int_equal(mkdirat(temp->fd, "dyno", 0700), 0);
        t.dyno_fd = openat(temp->fd, "dyno", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(mkfifoat(t.dyno_fd, "app", 0600), 0);
        assert_int_equal(mkfifoat(t.dyno_fd, "log", 0600), 0);
        t.app_fd = openat(t.dyno_fd, "app", O_RDWR | O_CLOEXEC);
        t.log_fd = openat(t.dyno_fd, "log", O_RDWR | O_CLOEXEC);
        open_all(temp);
        return 0;
}

static int teardown(void **state) {
        close_all();
        (void)close(t.app_fd);
        (void)close(t.log_fd);
        (void)close(t.dyno_fd);
        return temp_dir_teardown(state);
}

static void put(int fd, const char *text) {
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void turn(void) {
        capture_note(t.capture, true, EPOLLIN);
        capture_note(t.capture, false, EPOLLIN);
        assert_int_equal(capture_turn(t.capture), 0);
}

/* Lines of the history, each behind an 'a' or an 'h' for its source. */
static void expect(const char *const *lines, size_t n) {
        _cleanup_records_ RecordBuffer buffer = {0};
        size_t pos = 0;

        assert_int_equal(app_log_read(t.app, HISTORY_LINES, &buffer), 0);
        assert_int_equal(buffer.n, n);
        for (size_t i = 0; i < n; i++) {
                LogRecord record;
                size_t size = record_next(buffer.data + pos, buffer.size - pos, &record);

                assert_int_equal(record.source == LOG_FROM_APP ? 'a' : 'h', lines[i][0]);
                assert_int_equal(record.text_size, strlen(lines[i]) - 1);
                assert_memory_equal(
                        buffer.data + pos + sizeof(record), lines[i] + 1, record.text_size);
                assert_string_equal(record.procid, "web.1");
                pos += size;
        }
}

#define EXPECT(...)                                                                                \
        do {                                                                                       \
                static const char *const lines_[] = {__VA_ARGS__};                                 \
                expect(lines_, ARRAY_SIZE(lines_));                                                \
        } while (0)

static void test_both_fifos_at_once_are_put_in_order(void **state) {
        put(t.app_fd, "one\ntwo");
        put(t.log_fd, "Starting process\nsomething else\nProcess exited with status 0\nlast\n");
        turn();
        EXPECT("hStarting process",
               "aone",
               "hsomething else",
               "atwo",
               "hProcess exited with status 0",
               "hlast");
}

static void test_event_of_one_fifo_is_enough_for_the_order(void **state) {
        put(t.log_fd, "Starting process\n");
        put(t.app_fd, "one\n");
        capture_note(t.capture, true, EPOLLIN);
        assert_int_equal(capture_turn(t.capture), 0);
        EXPECT("hStarting process", "aone");

        put(t.app_fd, "two\n");
        put(t.log_fd, "Process exited with status 0\n");
        capture_note(t.capture, false, EPOLLIN);
        assert_int_equal(capture_turn(t.capture), 0);
        EXPECT("hStarting process", "aone", "atwo", "hProcess exited with status 0");
}

static void test_part_of_a_line_waits_for_its_end(void **state) {
        put(t.log_fd, "Starting process\n");
        put(t.app_fd, "one\ntw");
        turn();
        EXPECT("hStarting process", "aone");
        put(t.log_fd, "no exit\n");
        put(t.app_fd, "o\n");
        turn();
        EXPECT("hStarting process", "aone", "atwo", "hno exit");
}

static void test_logger_that_starts_anew_goes_on_where_it_was(void **state) {
        put(t.app_fd, "one\ntw");
        turn();
        close_all();
        put(t.app_fd, "o\n");
        open_all(*state);
        turn();
        EXPECT("aone", "atwo");
        close_all();
        open_all(*state);
        turn();
        EXPECT("aone", "atwo");
}

/* Killed when bytes were taken and no line was made of them. */
static void test_kill_before_the_batch_loses_nothing(void **state) {
        TempDir *temp = *state;
        Spool *spool = NULL;
        size_t n;
        int dir_fd;

        put(t.app_fd, "one\n");
        turn();
        close_all();

        dir_fd = openat(temp->fd, APP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(spool_open(&spool, dir_fd, ID ".app"), 0);
        put(t.app_fd, "two\nthr");
        int fifo = openat(t.dyno_fd, "app", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        assert_int_equal(spool_take(spool, fifo, 100, &n), 0);
        (void)close(fifo);
        spool = spool_free(spool);
        (void)close(dir_fd);

        put(t.app_fd, "ee\n");
        open_all(temp);
        turn();
        EXPECT("aone", "atwo", "athree");
}

/* Killed when the batch was written and the spool did not know it yet. */
static void test_kill_behind_the_batch_doubles_nothing(void **state) {
        TempDir *temp = *state;
        char old[24];
        int dir_fd, fd;

        put(t.app_fd, "one\n");
        turn();
        dir_fd = openat(temp->fd, APP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fd = openat(dir_fd, ID ".app", O_RDWR | O_CLOEXEC);
        assert_int_equal(pread(fd, old, sizeof(old), 0), sizeof(old));
        put(t.app_fd, "two\nthr");
        turn();
        close_all();
        assert_int_equal(pwrite(fd, old, sizeof(old), 0), sizeof(old));
        (void)close(fd);
        (void)close(dir_fd);

        open_all(temp);
        turn();
        EXPECT("aone", "atwo");
        put(t.app_fd, "ee\n");
        turn();
        EXPECT("aone", "atwo", "athree");
}

static void test_last_part_is_a_line_when_the_folder_is_gone(void **state) {
        TempDir *temp = *state;
        int dir_fd = openat(temp->fd, APP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        put(t.app_fd, "one\ntwo");
        capture_note_gone(t.capture);
        assert_int_equal(capture_turn(t.capture), 0);
        assert_true(capture_is_over(t.capture));
        EXPECT("aone", "atwo");
        t.capture = capture_free(t.capture);
        assert_int_equal(faccessat(dir_fd, ID ".app", F_OK, 0), -1);
        assert_int_equal(faccessat(dir_fd, ID ".log", F_OK, 0), -1);
        (void)close(dir_fd);
}

static void test_flood_keeps_the_newest_lines(void **state) {
        _cleanup_records_ RecordBuffer buffer = {0};
        char text[16];

        for (int i = 0; i < 8000; i++) {
                (void)snprintf(text, sizeof(text), "%d\n", i);
                put(t.app_fd, text);
        }
        turn();
        assert_int_equal(app_log_read(t.app, HISTORY_LINES, &buffer), 0);
        assert_int_equal(buffer.n, HISTORY_LINES);
        assert_memory_equal(buffer.data + sizeof(LogRecord), "6500", 4);
}

static void test_fifo_that_is_none_is_refused(void **state) {
        Capture *other = NULL;
        int fd;

        assert_int_equal(unlinkat(t.dyno_fd, "log", 0), 0);
        fd = openat(t.dyno_fd, "log", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        (void)close(fd);
        assert_int_equal(capture_new(&other, &t.context, t.app, "web.2-000001"), 0);
        assert_int_equal(capture_attach(other, t.dyno_fd), -ENOTSUP);
        other = capture_free(other);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_both_fifos_at_once_are_put_in_order),
                CASE(test_event_of_one_fifo_is_enough_for_the_order),
                CASE(test_part_of_a_line_waits_for_its_end),
                CASE(test_logger_that_starts_anew_goes_on_where_it_was),
                CASE(test_kill_before_the_batch_loses_nothing),
                CASE(test_kill_behind_the_batch_doubles_nothing),
                CASE(test_last_part_is_a_line_when_the_folder_is_gone),
                CASE(test_flood_keeps_the_newest_lines),
                CASE(test_fifo_that_is_none_is_refused),
        };

        return cmocka_run_group_tests_name("logs/capture", tests, NULL, NULL);
}
