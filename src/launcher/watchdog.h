/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A service that hangs is killed, and started again as one that ended: ipc/watchdog.h. */

#include "launcher/launcher.h"

/**
 * watchdog_open() - make the service's end, before it is started
 * @launcher:  its loop and configuration are used
 * @service:   is asked from now on
 * @ret_fd:    for the service; borrowed, ours too
 *
 * Return: 0 or a negative errno.
 */
int watchdog_open(Launcher *launcher, Service *service, int *ret_fd) _must_check_;
void watchdog_close(Service *service);
