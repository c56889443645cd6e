/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Is somebody at home? Root asks each of its services now and then through an eventfd that
 * both have: it counts up, and the service's loop takes that back. One that does not is killed
 * and started anew, which loses nothing.
 */

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#define WATCHDOG_FD_SUPERVISOR 4
#define WATCHDOG_FD_LOGGER 5

/* The service: there is something to read. */
static inline void watchdog_answer(int fd) {
        uint64_t asked;

        (void)!read(fd, &asked, sizeof(asked));
}

/* Root. A counter that is full was never answered. */
static inline void watchdog_ask(int fd) {
        const uint64_t one = 1;

        (void)!write(fd, &one, sizeof(one));
}

/* Root: true if the service has answered whatever it was asked. */
static inline bool watchdog_is_answered(int fd) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        return poll(&p, 1, 0) == 0;
}
