/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "base/parse.h"
#include "sandbox/child_report.h"

_Static_assert(sizeof(ChildReport) <= PIPE_BUF, "a record is written in one piece");

void child_report_send(int fd, const ChildReport *report) {
        while (write(fd, report, sizeof(*report)) < 0 && errno == EINTR)
                ;
}

int child_report_receive(int fd, uint64_t deadline_usec, ChildReport *ret) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        for (;;) {
                uint64_t now = clock_boottime_usec();
                ssize_t n;
                int r;

                if (now >= deadline_usec)
                        return -ETIMEDOUT;
                r = poll(&p, 1, (int)((deadline_usec - now) / USEC_PER_MSEC) + 1);
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r <= 0)
                        continue;

                n = read(fd, ret, sizeof(*ret));
                if (n < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;
                return n == sizeof(*ret) ? 1 : -EPROTO;
        }
}
