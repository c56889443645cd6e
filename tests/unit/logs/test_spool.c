/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "logs/spool.h"
#include "temp_dir.h"

#define NAME "web.1-7f3a9c.app"
#define HEAD_SIZE 24

static int fifo[2];

static int setup(void **state) {
        assert_int_equal(pipe2(fifo, O_NONBLOCK | O_CLOEXEC), 0);
        return temp_dir_setup(state);
}

static int teardown(void **state) {
        (void)close(fifo[0]);
        if (fifo[1] >= 0)
                (void)close(fifo[1]);
        return temp_dir_teardown(state);
}

static void put(const char *text) {
        assert_int_equal(write(fifo[1], text, strlen(text)), strlen(text));
}

static void expect(const Spool *spool, const char *text) {
        char buf[256];
        ssize_t n = spool_read(spool, buf, sizeof(buf));

        assert_int_equal(n, strlen(text));
        assert_memory_equal(buf, text, strlen(text));
        assert_int_equal(spool_pending(spool), strlen(text));
}

static void take(Spool *spool) {
        size_t n;

        assert_int_equal(spool_take(spool, fifo[0], 1 << 20, &n), 0);
}

static off_t size_of_file(const TempDir *temp) {
        struct stat st;

        assert_int_equal(fstatat(temp->fd, NAME, &st, 0), 0);
        return st.st_size;
}

static void test_taken_bytes_survive_without_a_commit(void **state) {
        _cleanup_(spool_freep) Spool *spool = NULL;
        TempDir *temp = *state;

        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        put("one\ntwo\npart");
        take(spool);
        expect(spool, "one\ntwo\npart");
        spool = spool_free(spool);

        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        expect(spool, "one\ntwo\npart");
        assert_int_equal(spool_commit(spool, 4), 0);
        spool = spool_free(spool);

        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        expect(spool, "two\npart");
        put(" of it\n");
        take(spool);
        expect(spool, "two\npart of it\n");
}

static void test_fifo_says_empty_and_end(void **state) {
        _cleanup_(spool_freep) Spool *spool = NULL;
        TempDir *temp = *state;
        size_t n;

        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        assert_int_equal(spool_take(spool, fifo[0], 10, &n), SPOOL_E_EMPTY);
        put("abc");
        assert_int_equal(spool_take(spool, fifo[0], 2, &n), 0);
        assert_int_equal(n, 2);
        (void)close(fifo[1]);
        fifo[1] = -1;
        take(spool);
        assert_int_equal(spool_take(spool, fifo[0], 10, &n), SPOOL_E_END);
        expect(spool, "abc");
}

static void test_redo_brings_a_spool_forward_once(void **state) {
        _cleanup_(spool_freep) Spool *spool = NULL;
        TempDir *temp = *state;

        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        put("one\ntwo\n");
        take(spool);
        assert_int_equal(spool_redo(spool, 4), 0);
        expect(spool, "two\n");
        assert_int_equal(spool_redo(spool, 4), 0);
        assert_int_equal(spool_redo(spool, 0), 0);
        expect(spool, "two\n");
}

static void test_history_that_knows_more_than_the_spool_is_believed(void **state) {
        _cleanup_(spool_freep) Spool *spool = NULL;
        TempDir *temp = *state;

        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        put("one\n");
        take(spool);
        assert_int_equal(spool_redo(spool, 1000), 0);
        assert_int_equal(spool_pending(spool), 0);
        assert_int_equal(size_of_file(temp), HEAD_SIZE);
        put("two\n");
        take(spool);
        spool = spool_free(spool);
        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        assert_int_equal(spool_redo(spool, 1000), 0);
        expect(spool, "two\n");
}

static void put_much(Spool *spool, size_t blocks) {
        char block[4096];

        memset(block, 'x', sizeof(block));
        for (size_t i = 0; i < blocks; i++) {
                assert_int_equal(write(fifo[1], block, sizeof(block)), sizeof(block));
                take(spool);
        }
}

static void test_file_that_is_done_is_emptied(void **state) {
        _cleanup_(spool_freep) Spool *spool = NULL;
        TempDir *temp = *state;

        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        put_much(spool, 16);
        assert_int_equal(spool_commit(spool, 65536), 0);
        assert_int_equal(size_of_file(temp), HEAD_SIZE);
        put("next\n");
        take(spool);
        spool = spool_free(spool);

        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        assert_int_equal(spool_done(spool), 65536);
        expect(spool, "next\n");
}

/* Killed behind the truncation and before the head: that is an emptied file, too. */
static void test_kill_while_a_file_is_emptied_is_harmless(void **state) {
        _cleanup_(spool_freep) Spool *spool = NULL;
        TempDir *temp = *state;
        int fd;

        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        put("one\n");
        take(spool);
        assert_int_equal(spool_commit(spool, 4), 0);
        spool = spool_free(spool);
        fd = openat(temp->fd, NAME, O_RDWR | O_CLOEXEC);
        assert_int_equal(ftruncate(fd, HEAD_SIZE), 0);
        (void)close(fd);

        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        assert_int_equal(spool_done(spool), 4);
        assert_int_equal(spool_pending(spool), 0);
        put("a longer line than the first\n");
        take(spool);
        spool = spool_free(spool);
        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        expect(spool, "a longer line than the first\n");
}

static void test_large_file_is_replaced_by_what_is_left(void **state) {
        _cleanup_(spool_freep) Spool *spool = NULL;
        TempDir *temp = *state;

        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        put_much(spool, 256);
        put("part");
        take(spool);
        assert_int_equal(spool_commit(spool, 256 * 4096), 0);
        assert_int_equal(size_of_file(temp), HEAD_SIZE + 4);
        put(" of a line\n");
        take(spool);
        expect(spool, "part of a line\n");
        spool = spool_free(spool);
        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        assert_int_equal(spool_done(spool), 256 * 4096);
        expect(spool, "part of a line\n");
}

static void test_full_spool_takes_no_more(void **state) {
        _cleanup_(spool_freep) Spool *spool = NULL;
        TempDir *temp = *state;
        size_t n;

        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        put_much(spool, SPOOL_BYTES / 4096);
        put("more");
        assert_int_equal(spool_take(spool, fifo[0], 100, &n), SPOOL_E_FULL);
        assert_int_equal(spool_commit(spool, SPOOL_BYTES), 0);
        take(spool);
        expect(spool, "more");
}

static void test_file_without_a_whole_head_is_new(void **state) {
        _cleanup_(spool_freep) Spool *spool = NULL;
        TempDir *temp = *state;
        int fd = openat(temp->fd, NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        assert_int_equal(write(fd, "SLYD", 4), 4);
        (void)close(fd);
        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        assert_int_equal(spool_pending(spool), 0);
        put("one\n");
        take(spool);
        expect(spool, "one\n");
}

static void test_foreign_file_is_refused(void **state) {
        _cleanup_(spool_freep) Spool *spool = NULL;
        TempDir *temp = *state;
        char junk[100];
        int fd = openat(temp->fd, NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        memset(junk, 'j', sizeof(junk));
        assert_int_equal(write(fd, junk, sizeof(junk)), sizeof(junk));
        (void)close(fd);
        assert_int_equal(spool_open(&spool, temp->fd, NAME), -EBADMSG);
        assert_int_equal(symlinkat("/etc/passwd", temp->fd, "link"), 0);
        assert_int_equal(spool_open(&spool, temp->fd, "link"), -ELOOP);
}

/* By a damaged disk: what is added to it must not begin at zero again. */
static void test_offset_near_the_end_of_numbers_is_refused(void **state) {
        const struct {
                uint32_t magic, reserved;
                uint64_t base, done;
                char text[8];
        } damaged = {UINT32_C(0x44594c53), 0, UINT64_MAX - 3, UINT64_MAX - 3, "one\ntw\n"};
        _cleanup_(spool_freep) Spool *spool = NULL;
        TempDir *temp = *state;
        int fd = openat(temp->fd, NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        assert_int_equal(write(fd, &damaged, sizeof(damaged)), sizeof(damaged));
        (void)close(fd);
        assert_int_equal(spool_open(&spool, temp->fd, NAME), -EBADMSG);
        assert_int_equal(unlinkat(temp->fd, NAME, 0), 0);
        assert_int_equal(spool_open(&spool, temp->fd, NAME), 0);
        assert_int_equal(spool_redo(spool, UINT64_MAX - 3), 0);
        put("one\n");
        take(spool);
        expect(spool, "one\n");
        assert_int_equal(spool_commit(spool, 4), 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_taken_bytes_survive_without_a_commit),
                CASE(test_fifo_says_empty_and_end),
                CASE(test_redo_brings_a_spool_forward_once),
                CASE(test_history_that_knows_more_than_the_spool_is_believed),
                CASE(test_file_that_is_done_is_emptied),
                CASE(test_kill_while_a_file_is_emptied_is_harmless),
                CASE(test_large_file_is_replaced_by_what_is_left),
                CASE(test_full_spool_takes_no_more),
                CASE(test_file_without_a_whole_head_is_new),
                CASE(test_foreign_file_is_refused),
                CASE(test_offset_near_the_end_of_numbers_is_refused),
        };

        return cmocka_run_group_tests_name("logs/spool", tests, NULL, NULL);
}
