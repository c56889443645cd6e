/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the kernel keeps for the sockets of the whole host: buffers of TCP and UDP
 * (net.ipv4.tcp_mem, udp_mem), and connections that a process has closed before all was
 * said (tcp_max_orphans). Each is memory of the cgroup that has the socket. The limits are a
 * fraction of the host's memory, so that one dyno could have all of it, within its own.
 *
 * And the pages that TCP sends from, which are memory of nobody's: a cgroup is charged for the
 * bytes in them, and a page stays for as long as somebody has one of its bytes.
 */

#include "base/cleanup.h"

/**
 * socket_pools_raise() - no limit for the whole host ends before a dyno's memory does
 *
 * Nothing is ever lowered, and the values stay when dynod ends. Another network namespace
 * than the host's first has no such limits to set.
 *
 * Return: 1 if a limit was raised, 0, or a negative errno.
 */
int socket_pools_raise(void) _must_check_;

/**
 * socket_pages_shrink() - pages of 4 kB, and no longer of 32
 *
 * net.core.high_order_alloc_disable, which stays when dynod ends, and which another network
 * namespace than the host's first does not have. Large pages save servers with fast links some
 * work, and less since Linux sends 64 kB at once.
 *
 * Return: 1 if it was set, 0, or a negative errno.
 */
int socket_pages_shrink(void) _must_check_;
