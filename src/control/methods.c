/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "control/bus_manager.h"
#include "control/methods.h"
#include "control/utf8.h"
#include "dynod/bus.h"

int method_set_error(sd_bus_error *reterr, const ManagerError *error) {
        _cleanup_free_ char *message = utf8_make_valid(error->message);
        _cleanup_free_ char *hint = utf8_make_valid(error->hint);

        if (!message || !hint)
                return -ENOMEM;
        return sd_bus_error_setf(
                reterr,
                error->name ?: DYNOD_ERROR_FAILED,
                "%s%s%s",
                message,
                *hint ? "\n" : "",
                hint);
}

int method_error(int r, const ManagerError *error, sd_bus_error *reterr) {
        assert(r != 0);

        if (r == MANAGER_E_REFUSED)
                return method_set_error(reterr, error);
        log_error_errno(r, "A request failed: %m");
        errno = -r;
        return sd_bus_error_setf(
                reterr, DYNOD_ERROR_FAILED, "dynod failed: %m.\nSee: journalctl -u dynod");
}

int bus_append_job_end(sd_bus_message *m, uint32_t job, const ManagerError *error) {
        _cleanup_free_ char *message = utf8_make_valid(error ? error->message : "");
        _cleanup_free_ char *hint = utf8_make_valid(error ? error->hint : "");

        if (!message || !hint)
                return -ENOMEM;
        return sd_bus_message_append(
                m, "usss", job, error ? error->name ?: DYNOD_ERROR_FAILED : "", message, hint);
}

int method_reply_job(
        sd_bus_message *m,
        Connection *connection,
        uint32_t job,
        int r,
        const ManagerError *error,
        sd_bus_error *reterr) {
        if (r != 0) {
                connection_discharge(connection, QUOTA_JOBS);
                return method_error(r, error, reterr);
        }
        return sd_bus_reply_method_return(m, "u", job);
}

int list_reply_begin(ListReply *reply, sd_bus_message *call) {
        int r;

        reply->message = NULL;
        r = sd_bus_message_new_method_return(call, &reply->message);
        if (r >= 0)
                r = sd_bus_message_open_container(reply->message, SD_BUS_TYPE_ARRAY, "a{sv}");
        if (r < 0)
                reply->message = sd_bus_message_unref(reply->message);
        return r;
}

int list_reply_end(ListReply *reply, int r, const ManagerError *error, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = TAKE_PTR(reply->message);

        if (r != 0)
                return method_error(r, error, reterr);
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        return sd_bus_send(NULL, m, NULL);
}

int method_reply_done(sd_bus_message *m) {
        return sd_bus_reply_method_return(m, "a{sv}", 0);
}

Query *query_new(sd_bus_message *call, Connection *connection, sd_bus_error *reterr) {
        QuotaUser *user = connection_user(connection);
        Query *query;

        if (quota_take(user, QUOTA_QUERIES) == QUOTA_E_EXCEEDED) {
                (void)sd_bus_error_setf(
                        reterr,
                        DYNOD_ERROR_LIMIT,
                        "You have %u %s under way, which is the limit.\nWait for one to end.",
                        quota_limit(QUOTA_QUERIES),
                        quota_slot_to_string(QUOTA_QUERIES));
                return NULL;
        }
        query = calloc(1, sizeof(*query));
        if (!query) {
                quota_give(user, QUOTA_QUERIES, 1);
                (void)sd_bus_error_set_errno(reterr, -ENOMEM);
                return NULL;
        }
        query->call = sd_bus_message_ref(call);
        query->user = quota_user_hold(user);
        return query;
}

Query *query_free(Query *query) {
        if (!query)
                return NULL;

        quota_give(query->user, QUOTA_QUERIES, 1);
        (void)quota_user_unref(query->user);
        (void)sd_bus_message_unref(query->call);
        free(query);
        return NULL;
}

void query_fail(Query *query, const ManagerError *error) {
        sd_bus_error bus_error = SD_BUS_ERROR_NULL;

        (void)method_set_error(&bus_error, error);
        /* -ENOTCONN: the client is gone meanwhile */
        (void)sd_bus_reply_method_error(query->call, &bus_error);
        sd_bus_error_free(&bus_error);
}
