/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "sandbox/child_report.h"

_Static_assert(sizeof(ChildReport) <= PIPE_BUF, "a record is written in one piece");

void child_report_send(int fd, const ChildReport *report) {
        while (write(fd, report, sizeof(*report)) < 0 && errno == EINTR)
                ;
}

int child_report_receive(int fd, ChildReport *ret) {
        ssize_t n;

        do
                n = read(fd, ret, sizeof(*ret));
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        if (n == 0)
                return 0;
        return n == sizeof(*ret) ? 1 : -EPROTO;
}
