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
 * touching the file. They are closed as base/patience.h says, also when a child was given
 * copies: it may have ended before. Anything else breaks the protocol, and stays open for
 * ever: its sender is killed for it, and after 16 of them not started again.
 */

#include "ipc/channel.h"

/* Leaves what is neither memfd nor Unix socket open, and takes it out of @fds. Returns how many. */
size_t discard_foreign(ChannelFds *fds);

/* Closes what is left in @fds, memfds and Unix sockets. */
void discard_fds(ChannelFds *fds);

/* The same for a Unix socket of our own that others can write to. Return: -EBADF. */
int discard_socket(int fd);
