/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One client of the control socket. Used by the methods of the bus object. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "control/quota.h"
#include "supervisor/manager.h"

typedef struct Connection Connection;

typedef struct ConnectionOwner {
        /* The client is gone; the callee frees the connection, outside of its callbacks. */
        void (*closed)(Connection *connection, void *userdata);
        void *userdata;
} ConnectionOwner;

/**
 * connection_new() - serve one client
 * @ret:      owned by the caller, release with connection_free()
 * @event:    the loop
 * @fd:       connected socket; borrowed, the connection uses duplicates of it
 * @manager:  borrowed
 * @quota:    of all uids; borrowed
 * @owner:    copied
 *
 * Return: 0, QUOTA_E_EXCEEDED (this uid has too many), or a negative errno.
 */
int connection_new(
        Connection **ret,
        sd_event *event,
        int fd,
        Manager *manager,
        QuotaSet *quota,
        const ConnectionOwner *owner) _must_check_;
Connection *connection_free(Connection *connection);
DEFINE_CLEANUP(Connection, connection_free)

Manager *connection_manager(Connection *connection);
const ManagerClient *connection_client(Connection *connection);
QuotaUser *connection_user(Connection *connection);

/*
 * Takes one of @slot for this client, or fills @reterr.
 *
 * A job's is given back when it is done; a stream's when the connection closes.
 *
 * Return: 0, or a negative errno as sd_bus_error_setf() returns it.
 */
int connection_charge(Connection *connection, QuotaSlot slot, sd_bus_error *reterr) _must_check_;
void connection_discharge(Connection *connection, QuotaSlot slot);
