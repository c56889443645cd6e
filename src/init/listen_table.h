/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The parser of /proc/net/tcp and /proc/net/tcp6: pure, no system call.
 *
 * The kernel lists the listening sockets first, so that the table of a busy dyno need
 * not be read to its end.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef enum ListenVerdict {
        LISTEN_MORE,  /* not among the whole lines of the text; go on behind them */
        LISTEN_FOUND, /* a socket listens on the port and can be reached from outside */
        LISTEN_NONE,  /* past the last listening socket */
} ListenVerdict;

/**
 * listen_table_scan() - look for a listener in a part of a table
 * @text:      as read, from the start of a line; need not end with a line
 * @size:      bytes in @text
 * @port:      in host byte order
 * @ret_used:  bytes of the whole lines in @text; to be read past if LISTEN_MORE
 *
 * A socket bound to 127.0.0.0/8, ::1 or ::ffff:127.0.0.0/104 does not count; one bound
 * to [::] does, even if IPV6_V6ONLY is set, which the table does not say.
 */
ListenVerdict
listen_table_scan(const char *text, size_t size, uint16_t port, size_t *ret_used) _must_check_;
