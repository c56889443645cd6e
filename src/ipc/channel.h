/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One datagram of one fixed-size message, with descriptors, over a SOCK_SEQPACKET
 * pair between two of dynod's processes (unix(7), SCM_RIGHTS).
 *
 * The receiver treats its peer as hostile. The order is always: origin (one socket
 * per peer), exact length (channel_recv() and the protocol's size table), range of
 * every field, and only then the action.
 */

#include <stddef.h>
#include <stdint.h>

#include <stdbool.h>

#include "base/cleanup.h"

#define CHANNEL_FDS_MAX 4

enum {
        _CHANNEL_E_OK,

        CHANNEL_E_AGAIN,  /* nothing to read, or no room to write */
        CHANNEL_E_CLOSED, /* the peer is gone */
};

typedef struct ChannelFds {
        int fd[CHANNEL_FDS_MAX]; /* owned by the struct, -EBADF where empty */
        size_t n;
} ChannelFds;

#define CHANNEL_FDS_INIT                                                                           \
        { .fd = {-EBADF, -EBADF, -EBADF, -EBADF}, .n = 0 }
#define _cleanup_channel_fds_ _cleanup_(channel_fds_clear)

/* Closes what is left in @fds. Take one out with TAKE_FD(fds.fd[i]). */
void channel_fds_clear(ChannelFds *fds);

/* True for a Unix socket; asks nobody but the kernel, whatever @fd is. */
bool fd_is_unix_socket(int fd);

/**
 * channel_pair() - make both ends, non-blocking and close-on-exec
 * @ret_a, @ret_b:  owned by the caller
 *
 * Return: 0 or a negative errno.
 */
int channel_pair(int *ret_a, int *ret_b) _must_check_;

/**
 * socket_restore() - undo what a process that had a copy may have done to a Unix socket
 * @fd:  end of a channel, or a listening socket; it is to be handed to another process
 *
 * Return: 0, or a negative errno if it is of no use any more: it was shut down (-EPIPE), or
 * has dropped messages.
 */
int socket_restore(int fd) _must_check_;

/**
 * channel_send() - send one message, never wait
 * @fd:     channel
 * @msg:    the message
 * @size:   its exact size
 * @fds:    descriptors to pass, borrowed; may be NULL if @n_fds is 0
 * @n_fds:  at most CHANNEL_FDS_MAX
 *
 * Return: 0, CHANNEL_E_AGAIN, CHANNEL_E_CLOSED, or a negative errno.
 */
int channel_send(int fd, const void *msg, size_t size, const int *fds, size_t n_fds) _must_check_;

/**
 * channel_recv() - receive one message, never wait
 * @fd:        channel
 * @buf:       filled
 * @size:      size of @buf; a longer datagram is -EBADMSG, as are too many descriptors
 * @ret_size:  bytes received, at least 1
 * @ret_fds:   descriptors received, close-on-exec, owned by the caller whatever the result is
 *
 * Return: 0, CHANNEL_E_AGAIN, CHANNEL_E_CLOSED, or a negative errno.
 */
int channel_recv(int fd, void *buf, size_t size, size_t *ret_size, ChannelFds *ret_fds)
        _must_check_;
