/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "ipc/watchdog.h"
#include "launcher/watchdog.h"

/*
 * Questions in a row that must stay unanswered. By count, not by the clock: it goes on while
 * the whole host sleeps, or root itself is held up.
 */
#define QUESTIONS 4

static int on_timer(void *userdata, uint32_t events) {
        Service *service = userdata;

        if (watchdog_is_answered(service->watchdog_fds[1]))
                service->unanswered = 0;
        else if (++service->unanswered == QUESTIONS)
                log_warning("%s does not answer; killing it.", service->name);
        if (service->unanswered >= QUESTIONS && service->pidfd >= 0)
                /* Safe: by pidfd, our own child. Its exit starts it again. */
                (void)syscall(SYS_pidfd_send_signal, service->pidfd, SIGKILL, NULL, 0);
        else
                watchdog_ask(service->watchdog_fds[1]);

        source_set_time(
                service->watchdog_timer,
                clock_boottime_usec() + service->watchdog_usec / QUESTIONS);
        return 0;
}

int watchdog_open(Launcher *launcher, Service *service, int *ret_fd) {
        uint64_t usec = launcher->config->watchdog_usec;
        int r;

        assert(!service->watchdog_timer);

        if (pipe2(service->watchdog_fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        service->unanswered = 0;
        service->watchdog_usec = usec;
        r = loop_add_timer(
                launcher->loop,
                &service->watchdog_timer,
                usec > 0 ? clock_boottime_usec() + usec / QUESTIONS : USEC_INFINITY,
                on_timer,
                service);
        if (r < 0) {
                watchdog_close(service);
                return r;
        }

        *ret_fd = service->watchdog_fds[0];
        return 0;
}

void watchdog_close(Service *service) {
        service->watchdog_timer = source_free(service->watchdog_timer);
        for (size_t i = 0; i < ARRAY_SIZE(service->watchdog_fds); i++)
                service->watchdog_fds[i] = safe_close(service->watchdog_fds[i]);
}
