/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/child_report.h"

_Static_assert(sizeof(ChildReport) <= PIPE_BUF, "a record is written in one piece");

void child_report_send(int fd, const ChildReport *report) {
        while (write(fd, report, sizeof(*report)) < 0 && errno == EINTR)
                ;
}

/* The writer is ours, but runs as the dyno: no text of it is taken to end by itself. */
static bool is_valid(const ChildReport *report) {
        return (report->type == CHILD_READY || report->type == CHILD_FAILED) &&
               report->error.layer <= _LAYER_ANY_MAX && report->error.error >= 0 &&
               memchr(report->error.detail, '\0', sizeof(report->error.detail));
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
        return n == sizeof(*ret) && is_valid(ret) ? 1 : -EPROTO;
}
