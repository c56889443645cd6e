/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "init/relay.h"

#define FIFO 9 /* what relay_open() opens again, as one of ipc/init_fds.h */

typedef struct Fixture {
        Relay relay;
        char path[32];
        size_t written, seen; /* bytes of the pattern */
} Fixture;

static int setup(void **state) {
        static Fixture fixture;
        char folder[] = "/tmp/relay-XXXXXX";
        int fd;

        fixture = (Fixture){.relay = RELAY_INIT};
        if (!mkdtemp(folder))
                return -1;
        (void)snprintf(fixture.path, sizeof(fixture.path), "%s/fifo", folder);
        if (mkfifo(fixture.path, 0600) < 0)
                return -1;
        fd = open(fixture.path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || dup2(fd, FIFO) < 0)
                return -1;
        (void)close(fd);
        (void)unlink(fixture.path);
        (void)rmdir(folder);
        *state = &fixture;
        return relay_open(&fixture.relay, FIFO);
}

static int teardown(void **state) {
        Fixture *f = *state;

        relay_close(&f->relay);
        return close(FIFO);
}

static char pattern(size_t at) {
        return (char)(at % 251);
}

/* As the app does, @size bytes in pieces; what does not fit is not written. */
static void write_bytes(Fixture *f, size_t size, size_t piece) {
        static char buf[65536];

        while (size > 0) {
                size_t want = size < piece ? size : piece;
                ssize_t n;

                for (size_t i = 0; i < want; i++)
                        buf[i] = pattern(f->written + i);
                n = write(f->relay.write_fd, buf, want);
                assert_int_equal(n, want);
                f->written += (size_t)n;
                size -= (size_t)n;
        }
}

/* As the logger does: at most @max bytes. Each is the next one. Return: how many it were. */
static size_t read_bytes(Fixture *f, size_t max) {
        static char buf[65536];
        size_t got = 0;

        while (got < max) {
                ssize_t n = read(FIFO, buf, max - got < sizeof(buf) ? max - got : sizeof(buf));

                if (n <= 0)
                        break;
                for (ssize_t i = 0; i < n; i++)
                        assert_int_equal(buf[i], pattern(f->seen + (size_t)i));
                f->seen += (size_t)n;
                got += (size_t)n;
        }
        return got;
}

static int waiting(int fd) {
        int n = 0;

        assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
        return n;
}

static void test_nothing_is_moved_without_a_relay(void **state) {
        Relay none = RELAY_INIT;

        (void)state;
        assert_true(relay_is_empty(&none));
        assert_int_equal(relay_turn(&none), 0);
        assert_true(relay_pollfd(&none).fd < 0);
        relay_finish(&none);
        relay_close(&none);
}

static void test_bytes_arrive_as_they_were(void **state) {
        Fixture *f = *state;

        assert_int_equal(relay_turn(&f->relay), 0);
        for (size_t piece = 1; piece < 5000; piece = piece * 3 + 1) {
                write_bytes(f, 3 * piece, piece);
                assert_int_equal(relay_turn(&f->relay), 0);
                assert_int_equal(read_bytes(f, SIZE_MAX), 3 * piece);
        }
        assert_int_equal(relay_turn(&f->relay), 0);
        assert_int_equal(relay_pollfd(&f->relay).fd, f->relay.pipe_fd);
        assert_int_equal(relay_pollfd(&f->relay).events, POLLIN);
}

/* Lines one by one would cost a turn each. */
static void test_after_few_bytes_it_rests(void **state) {
        Fixture *f = *state;

        write_bytes(f, RELAY_FEW_BYTES - 1, 100);
        assert_int_equal(relay_turn(&f->relay), 0);
        assert_true(relay_pollfd(&f->relay).fd < 0);
        write_bytes(f, 100, 100);
        assert_int_equal(relay_turn(&f->relay), 0);
        assert_true(relay_pollfd(&f->relay).fd < 0);
        assert_int_equal(relay_turn(&f->relay), 0);
        assert_int_equal(relay_pollfd(&f->relay).fd, f->relay.pipe_fd);
        write_bytes(f, RELAY_FEW_BYTES, 100);
        assert_int_equal(relay_turn(&f->relay), 0);
        assert_int_equal(relay_pollfd(&f->relay).fd, f->relay.pipe_fd);
        assert_int_equal(read_bytes(f, SIZE_MAX), 2 * RELAY_FEW_BYTES + 99);
}

static void test_the_apps_end_waits_and_ours_do_not(void **state) {
        Fixture *f = *state;

        assert_int_equal(fcntl(f->relay.write_fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_WRONLY);
        assert_int_equal(
                fcntl(f->relay.pipe_fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_RDONLY | O_NONBLOCK);
        assert_int_equal(
                fcntl(f->relay.fifo_fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_WRONLY | O_NONBLOCK);
}

static void test_a_full_fifo_loses_nothing(void **state) {
        Fixture *f = *state;
        int r;

        do
                write_bytes(f, 10000, 777);
        while ((r = relay_turn(&f->relay)) == 0);
        assert_int_equal(r, -EAGAIN);
        assert_int_equal(relay_pollfd(&f->relay).fd, f->relay.fifo_fd);
        assert_int_equal(relay_pollfd(&f->relay).events, POLLOUT);
        assert_int_equal(relay_turn(&f->relay), -EAGAIN);

        write_bytes(f, 50000, 50000);
        while (read_bytes(f, 3000) > 0)
                assert_true(relay_turn(&f->relay) <= 0);
        assert_int_equal(f->seen, f->written);
        assert_int_equal(relay_turn(&f->relay), 0);
}

static void test_a_flood_is_taken_in_turns(void **state) {
        Fixture *f = *state;

        assert_true(fcntl(FIFO, F_SETPIPE_SZ, 1 << 20) >= 0);
        assert_true(fcntl(f->relay.write_fd, F_SETPIPE_SZ, 1 << 20) >= 0);
        write_bytes(f, 2 * RELAY_TURN_BYTES, RELAY_BYTES);
        assert_int_equal(relay_turn(&f->relay), RELAY_E_MORE);
        assert_true(waiting(f->relay.pipe_fd) >= (int)(RELAY_TURN_BYTES - RELAY_BYTES));
        assert_false(relay_is_empty(&f->relay));
        while (!relay_is_empty(&f->relay))
                assert_true(relay_turn(&f->relay) >= 0);
        assert_int_equal(read_bytes(f, SIZE_MAX), 2 * RELAY_TURN_BYTES);
}

static void test_packets_are_bytes_too(void **state) {
        Fixture *f = *state;

        assert_int_equal(fcntl(f->relay.write_fd, F_SETFL, O_DIRECT), 0);
        write_bytes(f, 1600, 100);
        while (!relay_is_empty(&f->relay))
                assert_int_equal(relay_turn(&f->relay), 0);
        assert_int_equal(read_bytes(f, SIZE_MAX), 1600);
}

static void test_the_last_turn_leaves_all_to_who_reads_later(void **state) {
        Fixture *f = *state;

        write_bytes(f, 60000, 60000);
        assert_int_equal(relay_turn(&f->relay), 0);
        write_bytes(f, 65536, 65536);
        assert_int_equal(relay_turn(&f->relay), -EAGAIN);
        write_bytes(f, 65536 - 4096, 4096);
        relay_finish(&f->relay);
        assert_int_equal(waiting(f->relay.pipe_fd), 0);
        assert_int_equal(read_bytes(f, SIZE_MAX), 60000 + 65536 + 65536 - 4096);
}

/* A descriptor that takes nothing stands for a dyno without a page for it. */
static void test_a_turn_that_failed_keeps_its_bytes(void **state) {
        Fixture *f = *state;
        int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        int fifo_fd = f->relay.fifo_fd;

        assert_true(full >= 0);
        write_bytes(f, RELAY_FEW_BYTES, RELAY_FEW_BYTES);
        f->relay.fifo_fd = full;
        assert_int_equal(relay_turn(&f->relay), -ENOSPC);
        assert_true(relay_pollfd(&f->relay).fd < 0); /* it would say "now" for ever */
        relay_finish(&f->relay);

        f->relay.fifo_fd = fifo_fd;
        assert_int_equal(relay_turn(&f->relay), 0);
        assert_int_equal(read_bytes(f, SIZE_MAX), RELAY_FEW_BYTES);
        assert_true(relay_pollfd(&f->relay).fd >= 0);
        (void)close(full);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_is_moved_without_a_relay),
                cmocka_unit_test_setup_teardown(test_bytes_arrive_as_they_were, setup, teardown),
                cmocka_unit_test_setup_teardown(test_after_few_bytes_it_rests, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_the_apps_end_waits_and_ours_do_not, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_full_fifo_loses_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_flood_is_taken_in_turns, setup, teardown),
                cmocka_unit_test_setup_teardown(test_packets_are_bytes_too, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_the_last_turn_leaves_all_to_who_reads_later, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_turn_that_failed_keeps_its_bytes, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
