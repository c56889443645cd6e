/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/unpack_spawn.h"

#define STILL_RUNS 256 /* no exit status */

/* What is made of a child that ends with @status, as one that was taken over may choose. */
static int reap(int status) {
        UnpackChild child = {.pid = fork()};
        struct pollfd end = {.events = POLLIN};
        int r;

        if (child.pid == 0 && status != STILL_RUNS)
                _exit(status);
        while (child.pid == 0)
                (void)pause();
        assert_true(child.pid > 0);
        end.fd = child.pidfd = (int)syscall(SYS_pidfd_open, child.pid, 0);
        assert_return_code(child.pidfd, errno);
        if (status != STILL_RUNS)
                assert_int_equal(poll(&end, 1, 10000), 1);

        r = unpack_reap(&child);
        /* Who is told that it still runs waits for a descriptor that must be there. */
        assert_true((r == -EAGAIN) == (child.pidfd >= 0));
        unpack_child_kill(&child);
        assert_true(child.pidfd < 0);
        assert_int_equal(waitpid(-1, NULL, 0), -1);
        return r;
}

static void test_reap(void **state) {
        assert_int_equal(reap(0), 0);
        assert_int_equal(reap(1), -EBADMSG);
        assert_int_equal(reap(ENOSPC), -ENOSPC);
        assert_int_equal(reap(STILL_RUNS), -EAGAIN);
        for (int status = 2; status < 256; status++)
                assert_int_not_equal(reap(status), -EAGAIN);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_reap)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
