/* SPDX-License-Identifier: Apache-2.0 */

/* What dynos may reach, and who may reach them. */

#include <errno.h>

#include "control/methods.h"
#include "control/strings.h"

static int visit_network(const NetworkInfo *info, void *userdata) {
        int r = facts_of_network(userdata, info);

        return r < 0 ? r : 0;
}

METHOD(method_network) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Connection *connection = userdata;
        ManagerError error = {};
        const char *app;
        int r;

        r = sd_bus_message_read(m, "s", &app);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = facts_open(reply);
        if (r < 0)
                return r;
        r = manager_network(connection_manager(connection), app, visit_network, reply, &error);
        if (r != 0)
                return method_error(r, &error, reterr);
        r = facts_close(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int append_change(sd_bus_message *m, const NetworkInfo *info) {
        int r = facts_open(m);

        if (r >= 0)
                r = facts_of_network(m, info);
        if (r >= 0)
                r = fact_bool(m, "changed", info->changed);
        if (r >= 0)
                r = fact_text(m, "text", info->text);
        return r < 0 ? r : facts_close(m);
}

static void on_changed(const ManagerError *error, const NetworkInfo *info, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Query *query = userdata;

        if (error)
                query_fail(query, error);
        else if (
                sd_bus_message_new_method_return(query->call, &reply) >= 0 &&
                append_change(reply, info) >= 0)
                (void)sd_bus_send(NULL, reply, NULL);
        (void)query_free(query);
}

METHOD(method_change_network) {
        _cleanup_strings_ Strings arguments = {};
        Connection *connection = userdata;
        NetworkRequest request = {};
        Query *query;
        int r;

        r = sd_bus_message_read(m, "ss", &request.app, &request.change);
        if (r >= 0)
                r = strings_read(&arguments, m);
        if (r < 0)
                return r;
        query = query_new(m, connection, reterr);
        if (!query)
                return -EBUSY;
        request.arguments = strings_list(&arguments);
        manager_change_network_query(
                connection_manager(connection),
                connection_client(connection),
                &request,
                on_changed,
                query);
        return 1; /* answered by on_changed() */
}
