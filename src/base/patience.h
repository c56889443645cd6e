/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An end to what holds a process up in the kernel for others.
 *
 * close(2) of the last copy of a TCP socket waits as SO_LINGER says, which is for whoever sent
 * the socket to say; also if it only lies unread in the queue of a Unix socket that is closed,
 * or in one that lies there, or comes with a message that has room for fewer. A signal ends
 * that wait for all of them. Between patience_begin() and patience_end() one comes every
 * PATIENCE_USEC: so it cannot come too early.
 *
 * What no signal ends is not helped: close(2) of a file asks its file system, and one in user
 * space (FUSE) need not answer. Such files must not be received, or not be closed.
 */

#include "base/cleanup.h"

#define PATIENCE_USEC 2000

/* Once in the life of a process, before the rest. Return: 0 or a negative errno. */
int patience_open(void) _must_check_;

/* Without patience_open() they do nothing. Neither nests, and nothing is forked in between. */
void patience_begin(void);
void patience_end(void);
