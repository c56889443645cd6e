/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether anything in the dyno listens on $PORT, as the kernel tells it. */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct PortWatch {
        int fd[2]; /* the tables of IPv4 and IPv6, kept open between looks */
        uint16_t port;
} PortWatch;

#define PORT_WATCH_INIT                                                                            \
        {                                                                                          \
                .fd = { -EBADF, -EBADF }                                                           \
        }

/* Opens the tables. Return: 0, or a negative errno if there is neither. */
int port_watch_open(PortWatch *watch, uint16_t port) _must_check_;
bool port_watch_is_bound(const PortWatch *watch);
void port_watch_close(PortWatch *watch);
