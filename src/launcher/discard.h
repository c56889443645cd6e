/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Getting rid of descriptors that another process has sent, or may have sent something
 * through: close(2) can wait.
 *
 *   file of a FUSE file system    each close(2) asks its daemon, which need not answer,
 *                                 and not even SIGKILL ends that
 *   the last copy of a TCP        waits as SO_LINGER says; also if the socket only lies
 *   socket                        unread in a Unix socket of which we close the last copy
 *
 * What root may be sent is memfds and Unix sockets, which can be told from all else without
 * touching the file. A memfd is closed. A Unix socket is closed while a child holds a copy,
 * whose end then does the rest. Anything else breaks the protocol, and stays open for ever:
 * its sender is killed for it, so they cannot become many.
 */

#include "ipc/channel.h"
#include "launcher/loop.h"

/* Leaves what is neither memfd nor Unix socket open, and takes it out of @fds. True if so. */
bool discard_foreign(ChannelFds *fds);

/* Closes what is left in @fds, memfds and Unix sockets. */
void discard_fds(Loop *loop, ChannelFds *fds);

/* The same for a Unix socket of our own that others can write to. Return: -EBADF. */
int discard_socket(Loop *loop, int fd);
