/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the kernel keeps for the sockets of the whole host: buffers of TCP and UDP
 * (net.ipv4.tcp_mem, udp_mem), and connections that a process has closed before all was
 * said (tcp_max_orphans). Each is memory of the cgroup that has the socket. The limits are a
 * fraction of the host's memory, so that one dyno could have all of it, within its own.
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
