/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the command reads from and writes to: the pipe of a relay, or for `run` and `ps:exec`
 * a terminal or three pipes, made inside the dyno, whose outer ends go to the client.
 *
 * Everything here is opened by dyno-init itself, as the dyno's user: no descriptor that
 * came from outside is the command's.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "ipc/dyno_spec.h"

typedef struct Streams {
        int command[3]; /* what becomes descriptors 0 to 2 */
        int outer[3];   /* for the client */
        size_t n_outer; /* 0: not attached, 1: a terminal, 3: pipes */
        bool terminal;  /* command[] are one terminal, to be the controlling one */
} Streams;

#define STREAMS_INIT                                                                               \
        {                                                                                          \
                .command = {-EBADF, -EBADF, -EBADF}, .outer = { -EBADF, -EBADF, -EBADF }           \
        }
#define _cleanup_streams_ _cleanup_(streams_close)

/**
 * streams_open() - make what @header asks for
 * @ret:        filled; owned by the caller
 * @header:     flags, rows and columns
 * @output_fd:  what output and error become copies of, for a command without a client
 *
 * Return: 0 or a negative errno.
 */
int streams_open(Streams *ret, const DynoSpecHeader *header, int output_fd) _must_check_;
void streams_close(Streams *streams);
