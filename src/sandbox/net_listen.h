/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether something on the host listens on a port. */

#include <stdint.h>

#include "base/cleanup.h"

typedef struct mnl_socket NetListen;

/*
 * Opens a socket in the current network namespace; the launcher's seccomp filter, later,
 * allows no new one. 0 or a negative errno.
 */
int net_listen_open(NetListen **ret) _must_check_;
NetListen *net_listen_free(NetListen *sock);

/* Does something listen on TCP @port? 1, 0, or a negative errno. */
int net_listen_check(NetListen *sock, uint16_t port) _must_check_;
