/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every system call by number, with nothing but zeros and with nothing but ones in its
 * arguments: which of them exist in here?
 */

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"

#define CALLS_MAX 600
#define X32_BIT 0x40000000L
#define NOT_RETURNED INT_MIN /* it ended the process, waits, or came back on another stack */

/* 0, an errno, NOT_RETURNED, or -1 for SIGSYS. */
static int make_call(long number, long argument, int *shared) {
        int status;
        pid_t pid;

        *shared = NOT_RETURNED;
        pid = fork();
        if (pid < 0)
                return errno;
        if (pid == 0) {
                pid_t us = getpid();
                long r;

                (void)alarm(1); /* for those that wait: pause(2), select(2) of nothing */
                r = syscall(number, argument, argument, argument, argument, argument, argument);
                if (getpid() == us) /* not what fork(2) and its relatives made */
                        *shared = r < 0 ? errno : 0;
                _exit(0);
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return errno;
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? -1 : *shared;
}

static const char *text_of(int answer) {
        const char *name;

        if (answer == 0)
                return "0";
        if (answer == -1)
                return "killed";
        name = answer == NOT_RETURNED ? NULL : strerrorname_np(answer);
        return name ? name : "other";
}

int calls_print(void) {
        static const long tables[] = {0, X32_BIT};
        int *shared =
                mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (shared == MAP_FAILED)
                return 1;
        for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
                for (long number = 0; number <= CALLS_MAX; number++) {
                        int zeros = make_call(tables[i] | number, 0, shared);
                        int ones = tables[i] != 0 ? zeros : make_call(number, -1, shared);

                        (void)printf(
                                "{\"call\": %ld, \"zeros\": \"%s\", \"ones\": \"%s\"}\n",
                                tables[i] | number,
                                text_of(zeros),
                                text_of(ones));
                }
        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
        return 0;
}
