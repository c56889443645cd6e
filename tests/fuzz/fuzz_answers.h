/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a daemon that was taken over says on a control socket, for the targets of herokuctl. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fuzz_dbus.h"
#include "ipc/log_proto.h"

#define ANSWER_HELLO "DATA\r\nOK 0123456789abcdef0123456789abcdef\r\nAGREE_UNIX_FD\r\n"
#define ANSWER_STREAM_MAX 32768 /* fits into a pipe, pipe(7) */
#define ANSWER_NOW_USEC (UINT64_C(1795462021) * 1000000)

static inline void answer_field_u32(DbusCall *m, uint8_t code, uint32_t value) {
        const uint8_t head[] = {code, 1, 'u', 0};

        dbus_align(m, 8);
        dbus_put(m, head, sizeof(head));
        dbus_u32(m, value);
}

static inline void answer_record(Input *in, uint8_t *stream, size_t *size) {
        static const char *const names[] = {
                "web.1", "web.10", "router", "run.1234", LOG_PROCID_LIVE};
        uint8_t how = input_byte(in);
        LogRecord record = {.magic = LOG_RECORD_MAGIC};
        const uint8_t *text;
        size_t n;

        text = input_bytes(in, how < 0xe0 ? 1 : 64, LOG_TEXT_MAX, &n);
        record.source = 1 + how % 2U;
        record.text_size = (uint32_t)n;
        record.usec = ANSWER_NOW_USEC + (uint64_t)input_byte(in) % 4;
        (void)snprintf(record.app, sizeof(record.app), "shop");
        (void)snprintf(
                record.procid, sizeof(record.procid), "%s", names[how / 2 % ARRAY_SIZE(names)]);
        if (how >= 0xf0)
                ((uint8_t *)&record)[input_byte(in) % sizeof(record)] ^= input_byte(in);
        if (*size + sizeof(record) + n > ANSWER_STREAM_MAX)
                return;
        memcpy(stream + *size, &record, sizeof(record));
        memcpy(stream + *size + sizeof(record), text, n);
        *size += sizeof(record) + n - (how == 0xff && n > 0); /* one byte short */
}

/* A pipe with log records of any content and order. */
static inline int answer_stream(Input *in) {
        static uint8_t stream[ANSWER_STREAM_MAX];
        size_t size = 0;
        int fds[2];

        for (uint8_t n = input_byte(in) % 16; n > 0; n--)
                answer_record(in, stream, &size);
        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                abort();
        if (write(fds[1], stream, size) != (ssize_t)size)
                abort();
        (void)close(fds[1]);
        return fds[0];
}

static inline void answer_send(int fd, DbusCall *m, int stream_fd) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
        struct iovec iov = {.iov_base = m->data, .iov_len = m->size};
        struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

        if (m->n_fds > 0) {
                memcpy(CMSG_DATA(&control.header), &stream_fd, sizeof(int));
                mh.msg_control = &control;
                mh.msg_controllen = sizeof(control);
        }
        (void)!sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/*
 * The end of the authentication, and a signal that nobody waits for: sd-bus reads 256 bytes
 * at once until it is authenticated, and takes descriptors among them for an attack.
 */
static inline void answer_hello(int fd) {
        static const char padding[256];
        static DbusCall m;
        const uint8_t head[] = {'l', 4, 1, 1};

        m.size = m.n_fds = 0;
        dbus_put(&m, head, sizeof(head));
        dbus_u32(&m, sizeof(padding));
        dbus_u32(&m, UINT32_MAX);
        dbus_u32(&m, 0);
        dbus_field(&m, 1, "o", DYNOD_BUS_PATH);
        dbus_field(&m, 2, "s", DYNOD_BUS_INTERFACE);
        dbus_field(&m, 3, "s", "Padding");
        dbus_field(&m, 8, "g", "tttttttttttttttttttttttttttttttt");
        dbus_patch(&m, 12, m.size - 16);
        dbus_align(&m, 8);
        dbus_put(&m, padding, sizeof(padding));
        (void)!write(fd, ANSWER_HELLO, sizeof(ANSWER_HELLO) - 1);
        answer_send(fd, &m, -EBADF);
}

/* What herokuctl wrote to a terminal: none of it moves the cursor or answers in its name. */
static inline void answer_check_terminal(const char *text, size_t size) {
        for (size_t i = 0; i + 1 < size; i++)
                assert((uint8_t)text[i] != 0xc2 || (uint8_t)text[i + 1] < 0x80 ||
                       (uint8_t)text[i + 1] > 0x9f);
        for (size_t i = 0; i < size; i++)
                assert(text[i] == '\n' || text[i] == '\t' ||
                       ((uint8_t)text[i] >= ' ' && text[i] != 0x7f));
}
