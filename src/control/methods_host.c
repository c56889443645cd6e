/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>

#include "control/methods.h"

METHOD(method_version) {
        Connection *connection = userdata;
        HostInfo host;

        manager_host_info(connection_manager(connection), &host);
        return sd_bus_reply_method_return(m, "a{sv}", 1, "version", "s", host.version);
}

METHOD(method_host_info) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Connection *connection = userdata;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = facts_open(reply);
        if (r >= 0)
                r = facts_of_host(reply, connection_manager(connection));
        if (r >= 0)
                r = facts_close(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

METHOD(method_list_sizes) {
        Connection *connection = userdata;
        const Config *config = manager_config(connection_manager(connection));
        ListReply reply;
        int r;

        r = list_reply_begin(&reply, m);
        if (r < 0)
                return r;
        for (size_t i = 0; r >= 0 && i < config->n_sizes; i++) {
                r = facts_open(reply.message);
                if (r >= 0)
                        r = facts_of_size(reply.message, &config->sizes[i]);
                if (r >= 0)
                        r = facts_close(reply.message);
        }
        return list_reply_end(&reply, r < 0 ? r : 0, NULL, reterr);
}

/* Names of the layers with that verdict, as a fact. */
static int
fact_layers_with(sd_bus_message *m, const char *key, const DoctorInfo *info, const char *verdict) {
        const char *names[_LAYER_MAX + 1] = {};
        size_t n = 0;

        for (size_t i = 0; i < _LAYER_MAX; i++)
                if (strcmp(info->layers[i].verdict, verdict) == 0)
                        names[n++] = info->layers[i].layer;
        return fact_list(m, key, names);
}

static int append_layers(sd_bus_message *m, const DoctorInfo *info) {
        int r = fact_open(m, "layers", "aa{sv}");

        for (size_t i = 0; r >= 0 && i < _LAYER_MAX; i++) {
                r = facts_open(m);
                if (r >= 0)
                        r = facts_of_layer(m, "layer", &info->layers[i]);
                if (r >= 0)
                        r = facts_close(m);
        }
        return r < 0 ? r : fact_close(m);
}

static int append_checks(sd_bus_message *m, const DoctorInfo *info) {
        int r = fact_open(m, "checks", "aa{sv}");

        for (size_t i = 0; r >= 0 && i < info->n_checks; i++) {
                const CheckInfo *check = &info->checks[i];
                const LayerInfo layer = {
                        .layer = check->check,
                        .verdict = check->verdict,
                        .detail = check->detail,
                        .fix = check->fix,
                };

                r = facts_open(m);
                if (r >= 0)
                        r = facts_of_layer(m, "check", &layer);
                if (r >= 0)
                        r = facts_close(m);
        }
        return r < 0 ? r : fact_close(m);
}

typedef struct DoctorQuery {
        Query *query;
        Manager *manager;
} DoctorQuery;

static int append_doctor(sd_bus_message *m, const DoctorInfo *info, Manager *manager) {
        int r = facts_open(m);

        if (r >= 0)
                r = fact_open(m, "host", "a{sv}");
        if (r >= 0)
                r = facts_of_host(m, manager);
        if (r >= 0)
                r = fact_close(m);
        if (r >= 0)
                r = append_layers(m, info);
        if (r >= 0)
                r = append_checks(m, info);
        if (r >= 0)
                r = fact_bool(m, "can_start", info->can_start);
        if (r >= 0)
                r = fact_layers_with(m, "missing", info, "failed");
        if (r >= 0)
                r = fact_layers_with(m, "allowed", info, "allowed");
        return r < 0 ? r : facts_close(m);
}

static void on_doctor(const ManagerError *error, const DoctorInfo *info, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        DoctorQuery *doctor = userdata;

        if (error)
                query_fail(doctor->query, error);
        else if (
                sd_bus_message_new_method_return(doctor->query->call, &reply) >= 0 &&
                append_doctor(reply, info, doctor->manager) >= 0)
                (void)sd_bus_send(NULL, reply, NULL);
        (void)query_free(doctor->query);
        free(doctor);
}

METHOD(method_doctor) {
        Connection *connection = userdata;
        DoctorQuery *doctor = calloc(1, sizeof(*doctor));

        if (!doctor)
                return -ENOMEM;
        doctor->manager = connection_manager(connection);
        doctor->query = query_new(m, connection, reterr);
        if (!doctor->query) {
                free(doctor);
                return -EBUSY;
        }
        manager_doctor_query(doctor->manager, on_doctor, doctor);
        return 1; /* answered by on_doctor() */
}
