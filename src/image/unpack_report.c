/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "image/entry_name.h"
#include "image/unpack_report.h"
#include "ipc/channel.h"

#define PROGRESS_USEC (100 * USEC_PER_MSEC) /* a terminal's bar moves smoothly at 10 Hz */

void report_init(UnpackReport *report, int fd) {
        *report = (UnpackReport){.fd = fd};
}

void report_progress(UnpackReport *report) {
        UnpackMessage msg = {.type = UNPACK_PROGRESS};
        uint64_t now = clock_boottime_usec();

        if (report->fd < 0 || now < report->next_usec)
                return;

        report->next_usec = now + PROGRESS_USEC;
        msg.counts = report->counts;
        /* Nobody depends on it: a full or closed socket only means that nobody looks. */
        if (channel_send(report->fd, &msg, sizeof(msg), NULL, 0) == CHANNEL_E_CLOSED)
                report->fd = -EBADF;
}

static int send_waiting(UnpackReport *report, UnpackMessage *msg) {
        int r;

        if (report->fd < 0)
                return 0;

        msg->counts = report->counts;
        for (;;) {
                struct pollfd pfd = {.fd = report->fd, .events = POLLOUT};

                r = channel_send(report->fd, msg, sizeof(*msg), NULL, 0);
                if (r == CHANNEL_E_CLOSED)
                        return 0;
                if (r != CHANNEL_E_AGAIN)
                        return r;
                if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
                        return -errno;
        }
}

int report_receive_archive(UnpackReport *report, int *ret_fd) {
        _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
        struct pollfd pfd = {.fd = report->fd, .events = POLLIN};
        UnpackArchive msg;
        size_t size = 0;
        int r;

        while ((r = channel_recv(report->fd, &msg, sizeof(msg), &size, &fds)) == CHANNEL_E_AGAIN)
                if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
                        return -errno;
        if (r < 0)
                return r;
        if (r != 0 || size != sizeof(msg) || msg.magic != UNPACK_ARCHIVE_MAGIC || fds.n != 1)
                return -EPROTO;

        *ret_fd = TAKE_FD(fds.fd[0]);
        return 0;
}

int report_process(UnpackReport *report, const char *type, const char *command) {
        UnpackMessage msg = {.type = UNPACK_PROCESS};

        field_set(msg.process, sizeof(msg.process), type);
        field_set(msg.text, sizeof(msg.text), command);
        return send_waiting(report, &msg);
}

int report_done(UnpackReport *report) {
        UnpackMessage msg = {.type = UNPACK_DONE};

        return send_waiting(report, &msg);
}

int report_refuse(
        UnpackReport *report, UnpackReason reason, int error, const char *text, size_t size) {
        UnpackMessage *refusal = &report->refusal;

        assert(reason != UNPACK_OK && reason < _UNPACK_REASON_MAX);
        assert(error <= 0);

        if (refusal->reason != UNPACK_OK)
                return -EBADMSG;

        refusal->type = UNPACK_REFUSED;
        refusal->reason = reason;
        refusal->error = (uint32_t)-error;
        if (text)
                entry_name_to_text(refusal->text, sizeof(refusal->text), text, size);
        return -EBADMSG;
}

int report_refused(UnpackReport *report, int r) {
        bool full = r == -ENOSPC || r == -EDQUOT;

        (void)report_refuse(report, full ? UNPACK_NO_ROOM : UNPACK_INTERNAL, r, NULL, 0);
        return send_waiting(report, &report->refusal);
}
