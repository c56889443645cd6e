/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bytes are read up to the end of the current message and never beyond: descriptors
 * belong to the message with whose bytes they were sent, and the kernel hands out bytes
 * of an earlier message together with them if it is asked for more. They are held until
 * their message is whole and its header is found to be one that sd-bus will take.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "control/call_header.h"
#include "control/framing.h"
#include "control/relay.h"
#include "ipc/channel.h"

#define RELAY_BUFFER_BYTES 16384

struct Relay {
        int client_fd; /* the client's socket */
        int inner_fd;  /* our end towards sd-bus */
        sd_event_source *client_source, *inner_source;
        RelayClosed closed;
        void *userdata;
        Framing framing;
        ChannelFds fds; /* that came with the current message; they go on with its last byte */
        bool over;
        bool keeps;

        /* read from the client, not yet taken by sd-bus */
        char buffer[RELAY_BUFFER_BYTES];
        size_t have, sent;
};

static void end(Relay *relay, const char *why) {
        if (relay->over)
                return;
        relay->over = true;
        (void)sd_event_source_set_enabled(relay->client_source, SD_EVENT_OFF);
        (void)sd_event_source_set_enabled(relay->inner_source, SD_EVENT_OFF);
        relay->closed(why, relay->userdata);
}

/* The client hung up: sd-bus sees the end of the stream behind what is still on its way. */
static void hang_up(Relay *relay) {
        relay->over = true;
        (void)sd_event_source_set_enabled(relay->client_source, SD_EVENT_OFF);
        (void)sd_event_source_set_enabled(relay->inner_source, SD_EVENT_OFF);
        (void)shutdown(relay->inner_fd, SHUT_WR);
}

/*
 * close(2) of a file asks its file system, and one in user space (FUSE) need not answer; of
 * some sockets it waits, too (SO_LINGER). What is none of these: memfds, pipes and Unix
 * sockets, which can be told without touching the file, and files of a block device. Of all
 * others herokuctl copies the content into a pipe.
 */
static bool closes_at_once(int fd) {
        struct statx st;

        if (fcntl(fd, F_GET_SEALS) >= 0 || fcntl(fd, F_GETPIPE_SZ) >= 0 || fd_is_unix_socket(fd))
                return true;
        /* DONT_SYNC: what the kernel knows without asking anybody */
        return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) == 0 &&
               st.stx_dev_major != 0;
}

/* Moves descriptors of @mh to the relay. Return: 0, -EMFILE: too many; -EPERM: one may not be. */
static int take_fds(Relay *relay, struct msghdr *mh) {
        bool fit = (mh->msg_flags & MSG_CTRUNC) == 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
                size_t n;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
                        if (!closes_at_once(fd))
                                relay->keeps = true; /* open for ever: see relay_keeps() */
                        else if (relay->fds.n < CHANNEL_FDS_MAX) {
                                relay->fds.fd[relay->fds.n++] = fd;
                        } else {
                                (void)safe_close(fd);
                                fit = false;
                        }
                }
        }
        return relay->keeps ? -EPERM : fit ? 0 : -EMFILE;
}

/* Return: bytes read, 0 at the end, or a negative errno. */
static ssize_t receive(Relay *relay, size_t size) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
        } control;
        struct iovec iov = {.iov_base = relay->buffer, .iov_len = size};
        struct msghdr mh = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        ssize_t n;
        int r;

        do
                n = recvmsg(relay->client_fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        r = take_fds(relay, &mh);
        return r < 0 ? r : n;
}

/* Return: 0, 1 if sd-bus takes no more for now, or a negative errno. */
static int forward(Relay *relay) {
        while (relay->sent < relay->have) {
                union {
                        struct cmsghdr header;
                        char space[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
                } control = {};
                struct iovec iov = {
                        .iov_base = relay->buffer + relay->sent,
                        .iov_len = relay->have - relay->sent,
                };
                struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
                ssize_t n;

                if (relay->fds.n > 0 && framing_is_between(&relay->framing)) {
                        mh.msg_control = &control;
                        mh.msg_controllen = CMSG_SPACE(sizeof(int) * relay->fds.n);
                        control.header.cmsg_level = SOL_SOCKET;
                        control.header.cmsg_type = SCM_RIGHTS;
                        control.header.cmsg_len = CMSG_LEN(sizeof(int) * relay->fds.n);
                        memcpy(CMSG_DATA(&control.header),
                               relay->fds.fd,
                               sizeof(int) * relay->fds.n);
                }
                n = sendmsg(relay->inner_fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 1 : -errno;
                if (framing_is_between(&relay->framing))
                        channel_fds_clear(&relay->fds);
                relay->sent += (size_t)n;
        }
        relay->have = relay->sent = 0;
        return 0;
}

/* How many bytes belong to the current message. Return: as framing_want(), or a negative errno. */
static ssize_t wanted(Relay *relay) {
        size_t want = framing_want(&relay->framing);
        ssize_t n;

        if (want > 0)
                return (ssize_t)(want < sizeof(relay->buffer) ? want : sizeof(relay->buffer));

        /* the line protocol says its length only when it has been seen */
        n = recv(relay->client_fd, relay->buffer, FRAMING_LINES_MAX, MSG_PEEK | MSG_DONTWAIT);
        if (n <= 0)
                return n < 0 ? -errno : 0;
        return (ssize_t)framing_peek(&relay->framing, relay->buffer, (size_t)n);
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Relay *relay = userdata;
        ssize_t n;
        int r;

        assert(relay->have == 0);

        n = wanted(relay);
        if (n > 0)
                n = receive(relay, (size_t)n);
        if (n == -EAGAIN)
                return 0;
        if (n == -EMFILE || n == -EPERM) {
                end(relay,
                    n == -EMFILE ? "it sent too many descriptors"
                                 : "it sent a file whose file system may hold us up");
                return 0;
        }
        if (n <= 0) {
                hang_up(relay);
                return 0;
        }
        if (framing_take(&relay->framing, relay->buffer, (size_t)n) < 0) {
                end(relay, "its message is too long or none of D-Bus");
                return 0;
        }

        if (framing_is_between(&relay->framing) && relay->fds.n > 0 &&
            !call_header_is_plain(relay->framing.start, relay->framing.start_have, relay->fds.n)) {
                end(relay, "it sent descriptors with what is no call");
                return 0;
        }
        relay->have = (size_t)n;
        r = forward(relay);
        if (r < 0) {
                end(relay, NULL); /* sd-bus has closed its end */
                return 0;
        }
        if (r > 0) {
                (void)sd_event_source_set_enabled(relay->client_source, SD_EVENT_OFF);
                (void)sd_event_source_set_enabled(relay->inner_source, SD_EVENT_ON);
        }
        return 0;
}

static int on_inner(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Relay *relay = userdata;
        int r = forward(relay);

        if (r < 0) {
                end(relay, NULL);
        } else if (r == 0) {
                (void)sd_event_source_set_enabled(relay->inner_source, SD_EVENT_OFF);
                (void)sd_event_source_set_enabled(relay->client_source, SD_EVENT_ON);
        }
        return 0;
}

static int attach(Relay *relay, sd_event *event) {
        int r;

        r = sd_event_add_io(
                event, &relay->client_source, relay->client_fd, EPOLLIN, on_client, relay);
        if (r >= 0)
                r = sd_event_add_io(
                        event, &relay->inner_source, relay->inner_fd, EPOLLOUT, on_inner, relay);
        if (r >= 0)
                r = sd_event_source_set_enabled(relay->inner_source, SD_EVENT_OFF);
        return r;
}

int relay_new(
        Relay **ret,
        sd_event *event,
        int fd,
        RelayClosed closed,
        void *userdata,
        RelayEnds *ret_ends) {
        _cleanup_(relay_freep) Relay *relay = NULL;
        _cleanup_close_ int input = -EBADF, output = -EBADF;
        int pair[2] = {-EBADF, -EBADF}, r;

        relay = calloc(1, sizeof(*relay));
        if (!relay)
                return -ENOMEM;
        relay->client_fd = relay->inner_fd = -EBADF;
        relay->fds = (ChannelFds)CHANNEL_FDS_INIT;
        relay->closed = closed;
        relay->userdata = userdata;

        relay->client_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        output = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (relay->client_fd < 0 || output < 0)
                return -errno;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        relay->inner_fd = pair[0];
        input = pair[1];

        r = attach(relay, event);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(relay);
        ret_ends->input = TAKE_FD(input);
        ret_ends->output = TAKE_FD(output);
        return 0;
}

bool relay_keeps(const Relay *relay) {
        return relay && relay->keeps;
}

Relay *relay_free(Relay *relay) {
        if (!relay)
                return NULL;

        (void)sd_event_source_disable_unref(relay->client_source);
        (void)sd_event_source_disable_unref(relay->inner_source);
        (void)safe_close(relay->client_fd);
        (void)safe_close(relay->inner_fd);
        channel_fds_clear(&relay->fds);
        free(relay);
        return NULL;
}
