/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include <cmocka.h>

#include "base/parse.h"
#include "launcher/loop.h"

typedef struct Fixture {
        Loop *loop;
        Source *source[3];
        int fd[2];
        int calls[3];
        int n_idle;
} Fixture;

static int setup(void **state) {
        static Fixture fixture;

        fixture = (Fixture){0};
        if (pipe2(fixture.fd, O_CLOEXEC | O_NONBLOCK) < 0)
                return -1;
        *state = &fixture;
        return loop_new(&fixture.loop);
}

static int teardown(void **state) {
        Fixture *f = *state;

        for (int i = 0; i < 3; i++)
                f->source[i] = source_free(f->source[i]);
        f->loop = loop_free(f->loop);
        (void)safe_close(f->fd[0]);
        (void)safe_close(f->fd[1]);
        return 0;
}

static int on_timer_free_all(void *userdata, uint32_t events) {
        Fixture *f = userdata;

        f->calls[0]++;
        for (int i = 0; i < 3; i++)
                f->source[i] = source_free(f->source[i]);
        loop_quit(f->loop);
        return 0;
}

static int on_readable_free_all(void *userdata, uint32_t events) {
        assert_true((events & EPOLLIN) != 0);
        return on_timer_free_all(userdata, events);
}

/* Freed sources, the running one too, are never called again. */
static void test_callback_may_free_every_source(void **state) {
        Fixture *f = *state;
        int other = dup(f->fd[0]);

        assert_int_equal(write(f->fd[1], "x", 1), 1);
        assert_int_equal(
                loop_add(f->loop, &f->source[0], f->fd[0], EPOLLIN, on_readable_free_all, f), 0);
        assert_int_equal(
                loop_add(f->loop, &f->source[1], other, EPOLLIN, on_readable_free_all, f), 0);
        assert_int_equal(loop_add_timer(f->loop, &f->source[2], 0, on_timer_free_all, f), 0);
        assert_int_equal(loop_run(f->loop), 0);
        assert_int_equal(f->calls[0], 1);
        (void)safe_close(other);
}

static int on_timer_rearm(void *userdata, uint32_t events) {
        Fixture *f = userdata;

        assert_int_equal(events, 0);
        if (++f->calls[0] == 3)
                loop_quit(f->loop);
        else
                source_set_time(f->source[0], clock_boottime_usec() + 1000);
        return 0;
}

static void test_timer_fires_once_per_arming(void **state) {
        Fixture *f = *state;
        uint64_t begin = clock_boottime_usec();

        assert_int_equal(loop_add_timer(f->loop, &f->source[0], begin, on_timer_rearm, f), 0);
        assert_int_equal(
                loop_add_timer(f->loop, &f->source[1], USEC_INFINITY, on_timer_rearm, f), 0);
        assert_int_equal(loop_run(f->loop), 0);
        assert_int_equal(f->calls[0], 3);
        assert_true(clock_boottime_usec() >= begin + 2000); /* never early */
}

static bool on_idle(void *userdata) {
        Fixture *f = userdata;

        if (++f->n_idle == 3)
                assert_int_equal(write(f->fd[1], "x", 1), 1);
        return f->n_idle < 3;
}

static void test_idle_work_runs_until_there_is_none(void **state) {
        Fixture *f = *state;

        loop_set_idle(f->loop, on_idle, f);
        assert_int_equal(
                loop_add(f->loop, &f->source[0], f->fd[0], EPOLLIN, on_readable_free_all, f), 0);
        assert_int_equal(loop_run(f->loop), 0);
        assert_int_equal(f->n_idle, 3);
        assert_int_equal(f->calls[0], 1);
}

static int on_readable_fail(void *userdata, uint32_t events) {
        return -EIO;
}

static void test_error_of_a_callback_ends_the_loop(void **state) {
        Fixture *f = *state;

        assert_int_equal(write(f->fd[1], "x", 1), 1);
        assert_int_equal(
                loop_add(f->loop, &f->source[0], f->fd[0], EPOLLIN, on_readable_fail, f), 0);
        assert_int_equal(loop_run(f->loop), -EIO);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_callback_may_free_every_source, setup, teardown),
                cmocka_unit_test_setup_teardown(test_timer_fires_once_per_arming, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_idle_work_runs_until_there_is_none, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_error_of_a_callback_ends_the_loop, setup, teardown),
        };

        return cmocka_run_group_tests_name("launcher/loop", tests, NULL, NULL);
}
