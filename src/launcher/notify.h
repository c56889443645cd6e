/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tells the service manager how we are, see sd_notify(3): one datagram to
 * $NOTIFY_SOCKET. Without that variable nothing happens.
 */

/* @state: "READY=1\nSTATUS=…". Failures are ignored: nobody could do anything. */
void notify_service_manager(const char *state);
