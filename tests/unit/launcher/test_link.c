/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include <cmocka.h>

#include "ipc/channel.h"
#include "launcher/dynos_internal.h"

/* In the way of what needs a store, or a process. NOLINTBEGIN(bugprone-reserved-identifier) */
void __wrap_store_abandon_all(Store *store);
void __wrap_store_abandon_all(Store *store) {
}

int __wrap_discard_socket(Loop *loop, int fd);
int __wrap_discard_socket(Loop *loop, int fd) {
        return safe_close(fd);
}
/* NOLINTEND(bugprone-reserved-identifier) */

typedef struct Fixture {
        Config config;
        Launcher launcher;
        Source *reader;
        int fd; /* the supervisor's end */
        unsigned dynos, exits, ready;
} Fixture;

static int setup(void **state) {
        static Fixture fixture;
        Fixture *f = &fixture;
        int ours;

        *f = (Fixture){.config = {.max_dynos = CONFIG_DYNOS_MAX}};
        f->launcher = (Launcher){
                .config = &f->config,
                .supervisor = {.pidfd = -EBADF},
                .inotify_fd = -EBADF,
        };
        *state = f;
        if (loop_new(&f->launcher.loop) < 0 || channel_pair(&ours, &f->fd) < 0)
                return -1;
        return link_open(&f->launcher, ours);
}

static int teardown(void **state) {
        Fixture *f = *state;

        link_close(&f->launcher);
        dynos_clear(&f->launcher);
        f->reader = source_free(f->reader);
        f->launcher.loop = loop_free(f->launcher.loop);
        (void)safe_close(f->fd);
        return 0;
}

/* As an earlier dynod would leave them: half of them have ended meanwhile. */
static void add_dynos(Fixture *f, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                Dyno *dyno = dyno_new(&f->launcher);

                assert_non_null(dyno);
                (void)snprintf(
                        dyno->facts.start.id, sizeof(dyno->facts.start.id), "w.%u-000000", i + 1);
                dyno->exit_usec = i % 2;
                dyno_link(dyno);
        }
}

static int on_message(void *userdata, uint32_t events) {
        ChannelFds fds = CHANNEL_FDS_INIT;
        Fixture *f = userdata;
        LaunchMessage msg;
        size_t size;

        while (channel_recv(f->fd, &msg, sizeof(msg), &size, &fds) == 0) {
                f->dynos += msg.header.type == LAUNCH_DYNO;
                f->exits += msg.header.type == LAUNCH_EXITED;
                f->ready += msg.header.type == LAUNCH_READY;
        }
        if (f->ready > 0)
                loop_quit(f->launcher.loop);
        return 0;
}

static bool end_of_patience(void *userdata) {
        Fixture *f = userdata;

        if (!f->launcher.link)
                loop_quit(f->launcher.loop);
        return false;
}

/* All that there can be is told to a supervisor that reads nothing before it was said. */
static void test_as_many_dynos_as_there_may_be_are_announced(void **state) {
        const LaunchHeader ready = {.type = LAUNCH_READY};
        Fixture *f = *state;

        add_dynos(f, CONFIG_DYNOS_MAX);
        dynos_announce(&f->launcher);
        link_send(&f->launcher, &ready, sizeof(ready), NULL, 0);
        assert_int_equal(loop_add(f->launcher.loop, &f->reader, f->fd, EPOLLIN, on_message, f), 0);
        loop_set_idle(f->launcher.loop, end_of_patience, f);
        assert_int_equal(loop_run(f->launcher.loop), 0);
        assert_int_equal(f->dynos, CONFIG_DYNOS_MAX);
        assert_int_equal(f->exits, CONFIG_DYNOS_MAX / 2);
        assert_int_equal(f->ready, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_as_many_dynos_as_there_may_be_are_announced, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
