/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The way of the app's output: a pipe inside the dyno, a buffer of ours, the app's FIFO.
 *
 * Who writes to a pipe holds its lock while the kernel copies from the writer's memory, and
 * whoever reads, opens or closes it waits and cannot be interrupted. How long that memory takes
 * to be there is an app's to say. So the app has no descriptor of the FIFO, which the logger
 * reads and root opens: only this buffer is copied to it, and that is locked in memory. Whom an
 * app keeps waiting with its own pipe is its own dyno-init.
 */

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

/* As much as a pipe holds, pipe(7). */
#define RELAY_BYTES ((size_t)64 * 1024)

/* Per turn of the loop, so that a flood does not keep orders and zombies waiting. */
#define RELAY_TURN_BYTES (4 * RELAY_BYTES)

/* Who writes less at a time is read again a moment later: one turn for many of its lines. */
#define RELAY_FEW_BYTES ((size_t)16384)

enum {
        _RELAY_E_OK,

        RELAY_E_MORE, /* there was more than a turn takes */
};

typedef struct Relay {
        int pipe_fd;      /* what the app wrote; non-blocking. Negative: there is no relay */
        int write_fd;     /* the other end: copies of it are the app's descriptors 1 and 2 */
        int fifo_fd;      /* non-blocking */
        size_t pos, have; /* of the buffer */
        bool rests;       /* it failed, other than by a full FIFO, or there were few bytes */
} Relay;

#define RELAY_INIT                                                                                 \
        { .pipe_fd = -EBADF, .write_fd = -EBADF, .fifo_fd = -EBADF }

/**
 * relay_open() - make the pipe
 * @ret:   filled; there is one relay in a process, because there is one buffer
 * @fifo:  as inherited; its own flags belong to others too and stay. 0 to 9
 *
 * write_fd stays open here as well, so that the pipe has no end before the dyno's: a process may
 * come to write when all others have closed theirs.
 *
 * Return: 0 or a negative errno.
 */
int relay_open(Relay *ret, int fifo) _must_check_;
void relay_close(Relay *relay);

/* What to wait for before the next turn. While the relay rests it is nothing: set a timer. */
struct pollfd relay_pollfd(const Relay *relay) _must_check_;

/**
 * relay_turn() - move what can be moved without waiting
 * @relay:  open, or there is nothing to move
 *
 * It can be kept waiting all the same, by an app that writes in the way above.
 *
 * Return: 0 (all that was there at first is moved), RELAY_E_MORE, -EAGAIN (the FIFO is full),
 * -ENOMEM (the dyno has no page left for it, which only its end may change), or another negative
 * errno. Nothing is lost by any of them.
 */
int relay_turn(Relay *relay) _must_check_;

/* True if nothing is left to move. */
bool relay_is_empty(const Relay *relay) _must_check_;

/*
 * What is left goes to the FIFO, which is made larger if nobody reads it, up to 1 MB if the dyno's
 * user may have so much: who reads it later finds it there. What has no room is lost. Waits for
 * nobody.
 */
void relay_finish(Relay *relay);
