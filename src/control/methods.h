/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the methods of the bus object share, and the methods themselves, by topic. */

#include <systemd/sd-bus.h>

#include "control/connection.h"
#include "control/facts.h"

#define METHOD(name) int name(sd_bus_message *m, void *userdata, sd_bus_error *reterr)

/**
 * method_error() - turn the manager's answer into an error of the bus
 * @r:       MANAGER_E_REFUSED or a negative errno
 * @error:   the manager's, for MANAGER_E_REFUSED
 * @reterr:  filled
 *
 * Return: a negative errno, for the method to return.
 */
int method_error(int r, const ManagerError *error, sd_bus_error *reterr);

/* The error's text on the bus: "text\nhint". */
int method_set_error(sd_bus_error *reterr, const ManagerError *error);

/* Replies with the number of a job, or with the error. Gives the charge back on an error. */
int method_reply_job(
        sd_bus_message *m,
        Connection *connection,
        uint32_t job,
        int r,
        const ManagerError *error,
        sd_bus_error *reterr);

/*
 * A reply under construction: aa{sv} that visitors append to. A failed append ends the
 * visit with its errno.
 */
typedef struct ListReply {
        sd_bus_message *message;
} ListReply;

int list_reply_begin(ListReply *reply, sd_bus_message *call);
/* Sends it, or turns what the visit returned into an error. Releases the message. */
int list_reply_end(ListReply *reply, int r, const ManagerError *error, sd_bus_error *reterr);

/* Replies with an empty a{sv}: done, nothing to tell. */
int method_reply_done(sd_bus_message *m);

/* A call that is answered later, when the launcher has. */
typedef struct Query {
        sd_bus_message *call;
        QuotaUser *user; /* charged, whether its connection lives or not */
} Query;

/* NULL with @reterr filled if this uid waits for too many. */
Query *query_new(sd_bus_message *call, Connection *connection, sd_bus_error *reterr);
Query *query_free(Query *query);
void query_fail(Query *query, const ManagerError *error);

/* stacks, apps, releases */
METHOD(method_list_stacks);
METHOD(method_import_stack);
METHOD(method_remove_stack);
METHOD(method_list_apps);
METHOD(method_create_app);
METHOD(method_app_info);
METHOD(method_rename_app);
METHOD(method_destroy_app);
METHOD(method_set_stack);
METHOD(method_deploy);
METHOD(method_list_releases);
METHOD(method_release_info);
METHOD(method_rollback);

/* config vars, formation, dynos */
METHOD(method_get_config);
METHOD(method_change_config);
METHOD(method_formation);
METHOD(method_scale);
METHOD(method_list_dynos);
METHOD(method_restart_dynos);
METHOD(method_stop_dynos);
METHOD(method_wait_dynos);
METHOD(method_inspect);
METHOD(method_run);
METHOD(method_exec);
METHOD(method_logs);

/* network policy */
METHOD(method_network);
METHOD(method_change_network);

/* host */
METHOD(method_version);
METHOD(method_host_info);
METHOD(method_doctor);
METHOD(method_list_sizes);
