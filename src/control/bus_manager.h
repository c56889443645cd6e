/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * org.dynod.Manager1, see include/dynod/bus.h. Every method keeps one order: decode, look
 * up, authorise, act, reply; looking up and authorising are the manager's, since whoever
 * may open the socket may do everything.
 */

#include <systemd/sd-bus.h>

#include "control/connection.h"

/* Adds the object to the connection's bus. Return: 0 or a negative errno. */
int bus_manager_attach(sd_bus *bus, Connection *connection) _must_check_;

/* The first three arguments of JobDone behind the number: "", "", "" if @error is NULL. */
int bus_append_job_end(sd_bus_message *m, uint32_t job, const ManagerError *error) _must_check_;
