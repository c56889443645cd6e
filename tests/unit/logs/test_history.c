/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "logs/history.h"
#include "temp_dir.h"

#define ID "web.1-7f3a9c"

static void add(RecordBuffer *buffer, unsigned number, size_t text_size) {
        char text[LOG_TEXT_MAX] = {0};
        LogRecord record = {
                .magic = LOG_RECORD_MAGIC,
                .source = LOG_FROM_APP,
                .text_size = (uint16_t)text_size,
                .usec = number,
                .app = "old-name",
                .procid = "web.1",
        };

        (void)snprintf(text, sizeof(text), "%u", number);
        assert_int_equal(record_buffer_add(buffer, &record, text), 0);
}

static void append(History *history, unsigned first, unsigned n, size_t text_size) {
        _cleanup_records_ RecordBuffer buffer = {0};
        HistoryCommit commit = {.id = ID, .source = LOG_FROM_APP, .done = first + n};

        for (unsigned i = first; i < first + n; i++)
                add(&buffer, i, text_size);
        assert_int_equal(history_append(history, &commit, &buffer), 0);
}

/* Asserts that the history holds exactly the numbers first to last. */
static void expect(History *history, unsigned first, unsigned last) {
        _cleanup_records_ RecordBuffer buffer = {0};
        size_t pos = 0;

        assert_int_equal(history_read(history, HISTORY_LINES, "new-name", &buffer), 0);
        assert_int_equal(buffer.n, last - first + 1);
        for (unsigned i = first; i <= last; i++) {
                LogRecord record;
                size_t size = record_next(buffer.data + pos, buffer.size - pos, &record);

                assert_true(size > 0);
                assert_int_equal(record.usec, i);
                assert_string_equal(record.app, "new-name");
                pos += size;
        }
        assert_int_equal(pos, buffer.size);
}

static size_t bytes_on_disk(int dir_fd) {
        DIR *dir = fdopendir(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        struct dirent *entry;
        size_t total = 0;

        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                struct stat st;

                assert_int_equal(fstatat(dir_fd, entry->d_name, &st, 0), 0);
                if (S_ISREG(st.st_mode))
                        total += (size_t)st.st_size;
        }
        (void)closedir(dir);
        return total;
}

static void test_empty_history_is_empty(void **state) {
        _cleanup_(history_freep) History *history = NULL;
        _cleanup_records_ RecordBuffer buffer = {0};
        TempDir *temp = *state;

        assert_int_equal(history_open(&history, temp->fd), 0);
        assert_string_equal(history_last_commit(history)->id, "");
        assert_int_equal(history_read(history, HISTORY_LINES, "shop", &buffer), 0);
        assert_int_equal(buffer.n, 0);
}

static void test_reopened_history_knows_lines_commit_and_time(void **state) {
        _cleanup_(history_freep) History *history = NULL;
        _cleanup_records_ RecordBuffer line = {0};
        TempDir *temp = *state;

        assert_int_equal(history_open(&history, temp->fd), 0);
        append(history, 1, 3, 10);
        append(history, 4, 2, 10);
        add(&line, 6, 10);
        assert_int_equal(history_append(history, NULL, &line), 0);
        history = history_free(history);

        assert_int_equal(history_open(&history, temp->fd), 0);
        expect(history, 1, 6);
        /* A line that is not from a spool does not hide the commit before it. */
        assert_string_equal(history_last_commit(history)->id, ID);
        assert_int_equal(history_last_commit(history)->done, 6);
        assert_int_equal(history_last_usec(history), 6);
}

static void test_1500_lines_stay(void **state) {
        _cleanup_(history_freep) History *history = NULL;
        TempDir *temp = *state;

        assert_int_equal(history_open(&history, temp->fd), 0);
        for (unsigned i = 0; i < 10000; i += 7)
                append(history, i, 7, 20);
        expect(history, 10003 - 1500, 10002);
        history = history_free(history);
        assert_int_equal(history_open(&history, temp->fd), 0);
        expect(history, 10003 - 1500, 10002);
        for (unsigned i = 10003; i < 12003; i += 100)
                append(history, i, 100, 20);
        expect(history, 12003 - 1500, 12002);
}

static void test_4_mb_are_never_exceeded(void **state) {
        _cleanup_(history_freep) History *history = NULL;
        _cleanup_records_ RecordBuffer buffer = {0};
        TempDir *temp = *state;

        assert_int_equal(history_open(&history, temp->fd), 0);
        for (unsigned i = 0; i < 1200; i += 30) {
                append(history, i, 30, LOG_TEXT_MAX);
                assert_true(bytes_on_disk(temp->fd) <= HISTORY_BYTES);
        }
        assert_int_equal(history_read(history, HISTORY_LINES, "new-name", &buffer), 0);
        assert_true(buffer.size > HISTORY_BYTES / 8 * 7);
}

/* Whatever part of the last batch was written when we were killed, it is cut off. */
static void test_torn_batch_is_cut_off_wherever_it_ends(void **state) {
        TempDir *temp = *state;
        struct stat whole, torn;

        for (size_t cut = 1;; cut += 61) {
                _cleanup_(history_freep) History *history = NULL;

                assert_int_equal(history_open(&history, temp->fd), 0);
                append(history, 1, 2, 10);
                assert_int_equal(fstatat(temp->fd, "history.1", &whole, 0), 0);
                append(history, 3, 2, 10);
                assert_int_equal(fstatat(temp->fd, "history.1", &torn, 0), 0);
                history = history_free(history);
                if (torn.st_size - (off_t)cut <= whole.st_size)
                        break;

                int fd = openat(temp->fd, "history.1", O_RDWR | O_CLOEXEC);
                assert_int_equal(ftruncate(fd, torn.st_size - (off_t)cut), 0);
                (void)close(fd);

                assert_int_equal(history_open(&history, temp->fd), 0);
                expect(history, 1, 2);
                assert_int_equal(history_last_commit(history)->done, 3);
                append(history, 3, 1, 10);
                expect(history, 1, 3);
                assert_int_equal(unlinkat(temp->fd, "history.1", 0), 0);
        }
}

static void test_commit_is_found_behind_an_empty_newest_file(void **state) {
        _cleanup_(history_freep) History *history = NULL;
        TempDir *temp = *state;
        int fd;

        assert_int_equal(history_open(&history, temp->fd), 0);
        append(history, 1, 2, 10);
        history = history_free(history);
        fd = openat(temp->fd, "history.2", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void)close(fd);

        assert_int_equal(history_open(&history, temp->fd), 0);
        assert_int_equal(history_last_commit(history)->done, 3);
        append(history, 3, 2, 10);
        expect(history, 1, 4);
}

static void test_damaged_file_is_read_up_to_the_damage(void **state) {
        _cleanup_(history_freep) History *history = NULL;
        TempDir *temp = *state;
        int fd;

        assert_int_equal(history_open(&history, temp->fd), 0);
        append(history, 1, 2, 10);
        append(history, 3, 2, 10);
        history = history_free(history);
        fd = openat(temp->fd, "history.1", O_RDWR | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "xxxx", 4, lseek(fd, 0, SEEK_END) - 138), 4);
        (void)close(fd);

        assert_int_equal(history_open(&history, temp->fd), 0);
        expect(history, 1, 2);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, temp_dir_setup, temp_dir_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_empty_history_is_empty),
                CASE(test_reopened_history_knows_lines_commit_and_time),
                CASE(test_1500_lines_stay),
                CASE(test_4_mb_are_never_exceeded),
                CASE(test_torn_batch_is_cut_off_wherever_it_ends),
                CASE(test_commit_is_found_behind_an_empty_newest_file),
                CASE(test_damaged_file_is_read_up_to_the_damage),
        };

        return cmocka_run_group_tests_name("logs/history", tests, NULL, NULL);
}
