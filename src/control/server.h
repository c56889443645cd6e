/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The control socket's server: accepts clients, one sd_bus each, on the manager's loop.
 *
 * There is no bus daemon, so who a client is comes from SO_PEERCRED, read once when it
 * is accepted; what messages say of their sender is not looked at.
 */

#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "supervisor/manager.h"

typedef struct Server Server;

/**
 * server_new() - serve the control socket
 * @ret:        owned by the caller, release with server_free()
 * @event:      the loop; a reference is taken
 * @listen_fd:  listening AF_UNIX stream socket; owned by the server on success only
 * @manager:    borrowed, outlives the server
 *
 * Return: 0 or a negative errno.
 */
int server_new(Server **ret, sd_event *event, int listen_fd, Manager *manager) _must_check_;

/* Closes all connections. */
Server *server_free(Server *server);
DEFINE_CLEANUP(Server, server_free)

unsigned server_connections(const Server *server);
