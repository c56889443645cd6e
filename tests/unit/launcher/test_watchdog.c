/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "ipc/watchdog.h"
#include "launcher/watchdog.h"

#define ANSWERS 20 /* many more than may stay away */

typedef struct Fixture {
        Config config;
        Launcher launcher;
        Service service;
        Source *exit_source, *service_source;
        int service_fd;
        unsigned answered;
        bool ended;
} Fixture;

static int setup(void **state) {
        static Fixture fixture;
        Fixture *f = &fixture;
        pid_t pid = fork();

        if (pid == 0)
                for (;;)
                        (void)pause();
        *f = (Fixture){
                .config = {.watchdog_usec = 4 * USEC_PER_MSEC},
                .service = {.name = "service", .pid = pid, .watchdog_fds = {-EBADF, -EBADF}},
        };
        f->launcher.config = &f->config;
        f->service.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        *state = f;
        return pid < 0 || f->service.pidfd < 0 ? -1 : loop_new(&f->launcher.loop);
}

static int teardown(void **state) {
        Fixture *f = *state;

        watchdog_close(&f->service);
        f->exit_source = source_free(f->exit_source);
        f->service_source = source_free(f->service_source);
        f->launcher.loop = loop_free(f->launcher.loop);
        (void)kill(f->service.pid, SIGKILL);
        (void)waitpid(f->service.pid, NULL, 0);
        (void)safe_close(f->service.pidfd);
        return 0;
}

static int on_exit_event(void *userdata, uint32_t events) {
        Fixture *f = userdata;

        f->ended = true;
        loop_quit(f->launcher.loop);
        return 0;
}

static int on_question(void *userdata, uint32_t events) {
        Fixture *f = userdata;

        watchdog_answer(f->service_fd);
        if (++f->answered == ANSWERS)
                loop_quit(f->launcher.loop);
        return 0;
}

static void begin(Fixture *f) {
        assert_int_equal(watchdog_open(&f->launcher, &f->service, &f->service_fd), 0);
        assert_int_equal(
                loop_add(
                        f->launcher.loop,
                        &f->exit_source,
                        f->service.pidfd,
                        EPOLLIN,
                        on_exit_event,
                        f),
                0);
}

static void test_one_that_hangs_is_killed(void **state) {
        Fixture *f = *state;

        begin(f);
        assert_int_equal(loop_run(f->launcher.loop), 0);
        assert_true(f->ended);
}

static void test_one_that_answers_is_left_alone(void **state) {
        Fixture *f = *state;

        begin(f);
        assert_int_equal(
                loop_add(
                        f->launcher.loop,
                        &f->service_source,
                        f->service_fd,
                        EPOLLIN,
                        on_question,
                        f),
                0);
        assert_int_equal(loop_run(f->launcher.loop), 0);
        assert_int_equal(f->answered, ANSWERS);
        assert_false(f->ended);
}

/* One that was taken over does what it can with its end, so that we wait for it. */
static void test_nobody_waits_for_one_that_was_taken_over(void **state) {
        const uint64_t most = UINT64_MAX - 1;
        Fixture *f = *state;

        begin(f);
        (void)!write(f->service_fd, &most, sizeof(most));
        assert_int_equal(fcntl(f->service_fd, F_SETFL, 0), 0);
        assert_int_equal(loop_run(f->launcher.loop), 0);
        assert_true(f->ended);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_one_that_hangs_is_killed, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_one_that_answers_is_left_alone, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_nobody_waits_for_one_that_was_taken_over, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
