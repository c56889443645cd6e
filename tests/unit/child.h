/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Cases that run in a forked child, because nothing of what they do can be taken back. A child
 * reports by its exit status; SKIPPED means that what is tested cannot be had here.
 */

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED 77
#define CHECK(expr)                                                                                \
        do {                                                                                       \
                if (!(expr)) {                                                                     \
                        (void)dprintf(STDERR_FILENO, "line %d: %s\n", __LINE__, #expr);            \
                        _exit(1);                                                                  \
                }                                                                                  \
        } while (0)

/* Runs @fn in a child and returns its wait status. */
static inline int run_child(void (*fn)(void)) {
        int status = -1;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                fn();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static inline void expect_success(void (*fn)(void)) {
        int status = run_child(fn);

        if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
                skip();
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}
