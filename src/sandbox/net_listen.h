/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether something on the host listens on a port. */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct mnl_socket NetListen;

/*
 * Opens a socket in the current network namespace; the launcher's seccomp filter, later,
 * allows no new one. 0 or a negative errno.
 */
int net_listen_open(NetListen **ret) _must_check_;
NetListen *net_listen_free(NetListen *sock);

/* Of one that the host's distribution has for its services: root's, or below login.defs(5) UID_MIN. */
typedef enum NetListenerOwner {
        NET_LISTENER_NONE,
        NET_LISTENER_OF_USER,
        NET_LISTENER_OF_SYSTEM,
} NetListenerOwner;

/* Who listens on TCP @port? A NetListenerOwner, the last that fits, or a negative errno. */
int net_listen_check(NetListen *sock, uint16_t port) _must_check_;

/* TCP ports that something listens on at an address that others can reach, or at any. */
typedef struct NetListeners {
        uint64_t ports[(UINT16_MAX + 1) / 64]; /* a bit each */
} NetListeners;

/* One look at all of them. @ret: zeroed by the caller. 0 or a negative errno. */
int net_listen_all(NetListen *sock, NetListeners *ret) _must_check_;

static inline bool net_listeners_have(const NetListeners *listeners, uint16_t port) {
        return (listeners->ports[port / 64] >> (port % 64) & 1) != 0;
}
