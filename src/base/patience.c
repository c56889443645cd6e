/* SPDX-License-Identifier: Apache-2.0 */

#include <signal.h>
#include <stdbool.h>
#include <time.h>

#include "base/patience.h"

static struct {
        timer_t timer;
        bool is_open;
} patience;

static void on_signal(int signo) {
        (void)signo; /* that it comes is all */
}

int patience_open(void) {
        /* A call that the signal meets goes on, where the kernel can have it so. */
        const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
        sigset_t set;

        if (sigemptyset(&set) < 0 || sigaddset(&set, SIGRTMIN) < 0 ||
            sigaction(SIGRTMIN, &action, NULL) < 0 || sigprocmask(SIG_UNBLOCK, &set, NULL) < 0 ||
            timer_create(CLOCK_MONOTONIC, &event, &patience.timer) < 0)
                return -errno;
        patience.is_open = true;
        return 0;
}

static void set(long usec) {
        const struct timespec each = {.tv_nsec = usec * 1000};
        const struct itimerspec spec = {.it_interval = each, .it_value = each};

        if (patience.is_open)
                (void)timer_settime(patience.timer, 0, &spec, NULL);
}

void patience_begin(void) {
        set(PATIENCE_USEC);
}

void patience_end(void) {
        set(0);
}
