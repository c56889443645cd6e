/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a dyno-init that was taken over says on an attach socket. */

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuzz_input.h"
#include "ipc/attach_proto.h"
#include "ipc/channel.h"

/* A pipe or a null device that has something to say. */
static inline int attach_output(Input *in, bool is_stderr) {
        uint8_t what = input_byte(in);
        const void *data = "output\n";
        size_t size = what % 8;
        int fds[2];

        if (what >= 0xf0)
                return open("/dev/null", O_RDWR | O_CLOEXEC);
        if (what >= 0xe0)
                data = input_bytes(in, 1, 255, &size);
        if (pipe2(fds, O_CLOEXEC) < 0)
                abort();
        if (!is_stderr) /* ours is libFuzzer's */
                (void)!write(fds[1], data, size);
        (void)close(fds[1]);
        return fds[0];
}

static inline int attach_input(void) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                abort();
        (void)close(fds[0]); /* nobody reads it */
        return fds[1];
}

/* The outer end of a terminal on which something was written. */
static inline int attach_terminal(Input *in) {
        int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), inner;
        size_t size;
        const uint8_t *data = input_bytes(in, 1, 255, &size);

        if (fd < 0 || unlockpt(fd) < 0)
                abort();
        inner = open(
                ptsname(fd), O_RDWR | O_NOCTTY | O_CLOEXEC); /* NOLINT(concurrency-mt-unsafe) */
        if (inner < 0)
                abort();
        (void)!write(inner, data, size);
        (void)close(inner);
        return fd;
}

/* One message, likely one that fits in its place. */
static inline void attach_send(Input *in, int fd, bool tty) {
        AttachMessage msg = {.magic = ATTACH_MAGIC, .type = 1 + input_byte(in) % 4U};
        uint8_t how = input_byte(in);
        size_t n_fds = msg.type == ATTACH_OPEN ? (tty ? 1 : 3) : 0, size = sizeof(msg);
        int fds[CHANNEL_FDS_MAX];

        msg.status = how < 0xf0 ? input_byte(in) : input_u32(in);
        if (how >= 0xe0) {
                ((uint8_t *)&msg)[input_byte(in) % sizeof(msg)] ^= input_byte(in);
                size -= how & 1;
                n_fds = input_byte(in) % (CHANNEL_FDS_MAX + 1U);
        }
        for (size_t i = 0; i < n_fds; i++)
                fds[i] = i == 0 && tty ? attach_terminal(in)
                         : i == 0      ? attach_input()
                                       : attach_output(in, i == 2);
        (void)!channel_send(fd, &msg, size, fds, n_fds);
        for (size_t i = 0; i < n_fds; i++)
                (void)close(fds[i]);
}
