/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Is somebody at home? Root asks each of its services now and then by a byte in a pipe, and the
 * service's loop takes it out. One that does not is killed and started anew, which loses
 * nothing. A pipe, for its two ends are two open files: whatever a service does with its own,
 * neither call of root's waits.
 */

#include <stdbool.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WATCHDOG_FD_SUPERVISOR 4
#define WATCHDOG_FD_LOGGER 5

/* The service: there is something to read. */
static inline void watchdog_answer(int fd) {
        char asked[64];

        (void)!read(fd, asked, sizeof(asked));
}

/* Root. A pipe that is full was never answered. */
static inline void watchdog_ask(int fd) {
        (void)!write(fd, "?", 1);
}

/* Root: true if the service has answered whatever it was asked. */
static inline bool watchdog_is_answered(int fd) {
        int unread = 0;

        return ioctl(fd, FIONREAD, &unread) == 0 && unread == 0;
}
