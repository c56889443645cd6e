/* SPDX-License-Identifier: Apache-2.0 */

/* Config vars, formation, dynos, logs. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "control/methods.h"
#include "control/strings.h"
#include "control/utf8.h"
#include "dynod/bus.h"

#define SCALE_CHANGES_MAX 64 /* process types of one call; a Procfile has a handful */

static int visit_pair(const char *name, const char *value, void *userdata) {
        _cleanup_free_ char *text = utf8_make_valid(value);
        int r;

        if (!text)
                return -ENOMEM;
        r = sd_bus_message_append(userdata, "{ss}", name, text);
        return r < 0 ? r : 0;
}

METHOD(method_get_config) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Connection *connection = userdata;
        ManagerError error = {};
        const char *app;
        int r;

        r = sd_bus_message_read(m, "s", &app);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, SD_BUS_TYPE_ARRAY, "{ss}");
        if (r < 0)
                return r;
        r = manager_get_config(connection_manager(connection), app, visit_pair, reply, &error);
        if (r != 0)
                return method_error(r, &error, reterr);
        r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

METHOD(method_change_config) {
        _cleanup_strings_ Strings set = {}, unset = {};
        Connection *connection = userdata;
        ManagerError error = {};
        ConfigChange change;
        uint32_t job = 0;
        const char *app;
        int r;

        r = sd_bus_message_read(m, "s", &app);
        if (r >= 0)
                r = strings_read_pairs(&set, m);
        if (r >= 0)
                r = strings_read(&unset, m);
        if (r < 0)
                return r;
        r = connection_charge(connection, QUOTA_JOBS, reterr);
        if (r < 0)
                return r;
        change = (ConfigChange){.set = strings_list(&set), .unset = strings_list(&unset)};
        r = manager_change_config(
                connection_manager(connection),
                connection_client(connection),
                app,
                &change,
                &job,
                &error);
        return method_reply_job(m, connection, job, r, &error, reterr);
}

static int visit_formation(const FormationInfo *info, void *userdata) {
        ListReply *reply = userdata;
        int r = facts_open(reply->message);

        if (r >= 0)
                r = facts_of_formation(reply->message, info);
        if (r >= 0)
                r = facts_close(reply->message);
        return r < 0 ? r : 0;
}

METHOD(method_formation) {
        Connection *connection = userdata;
        ManagerError error = {};
        ListReply reply;
        const char *app;
        int r;

        r = sd_bus_message_read(m, "s", &app);
        if (r >= 0)
                r = list_reply_begin(&reply, m);
        if (r < 0)
                return r;
        r = manager_formation(connection_manager(connection), app, visit_formation, &reply, &error);
        return list_reply_end(&reply, r, &error, reterr);
}

static int read_changes(sd_bus_message *m, ScaleChange *changes, size_t *ret_n) {
        size_t n = 0;
        int r;

        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "(sbis)");
        for (;;) {
                const char *type, *size;
                int relative;
                int32_t quantity;

                if (r < 0)
                        return r;
                r = sd_bus_message_read(m, "(sbis)", &type, &relative, &quantity, &size);
                if (r == 0)
                        break;
                if (r < 0)
                        return r;
                if (n == SCALE_CHANGES_MAX)
                        return -E2BIG;
                changes[n++] = (ScaleChange){
                        .type = type,
                        .relative = relative != 0,
                        .quantity = quantity,
                        .size = size,
                };
        }
        *ret_n = n;
        return sd_bus_message_exit_container(m);
}

METHOD(method_scale) {
        ScaleChange changes[SCALE_CHANGES_MAX];
        ScaleRequest request = {.changes = changes};
        Connection *connection = userdata;
        ManagerError error = {};
        uint32_t job = 0;
        int r;

        r = sd_bus_message_read(m, "s", &request.app);
        if (r >= 0)
                r = read_changes(m, changes, &request.n_changes);
        if (r < 0)
                return r;
        r = connection_charge(connection, QUOTA_JOBS, reterr);
        if (r < 0)
                return r;
        r = manager_scale(
                connection_manager(connection),
                connection_client(connection),
                &request,
                &job,
                &error);
        return method_reply_job(m, connection, job, r, &error, reterr);
}

static int visit_dyno(const DynoInfo *info, void *userdata) {
        ListReply *reply = userdata;
        int r = facts_open(reply->message);

        if (r >= 0)
                r = facts_of_dyno(reply->message, info);
        if (r >= 0)
                r = facts_close(reply->message);
        return r < 0 ? r : 0;
}

METHOD(method_list_dynos) {
        Connection *connection = userdata;
        ManagerError error = {};
        ListReply reply;
        const char *app;
        int r;

        r = sd_bus_message_read(m, "s", &app);
        if (r >= 0)
                r = list_reply_begin(&reply, m);
        if (r < 0)
                return r;
        r = manager_list_dynos(connection_manager(connection), app, visit_dyno, &reply, &error);
        return list_reply_end(&reply, r, &error, reterr);
}

typedef int (*TargetAction)(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        const char *target,
        uint32_t *ret_job,
        ManagerError *reterr);

static int
act_on_target(sd_bus_message *m, Connection *connection, TargetAction act, sd_bus_error *reterr) {
        const char *app, *target;
        ManagerError error = {};
        uint32_t job = 0;
        int r;

        r = sd_bus_message_read(m, "ss", &app, &target);
        if (r < 0)
                return r;
        r = connection_charge(connection, QUOTA_JOBS, reterr);
        if (r < 0)
                return r;
        r = act(connection_manager(connection),
                connection_client(connection),
                app,
                target,
                &job,
                &error);
        return method_reply_job(m, connection, job, r, &error, reterr);
}

METHOD(method_restart_dynos) {
        return act_on_target(m, userdata, manager_restart_dynos, reterr);
}

METHOD(method_stop_dynos) {
        return act_on_target(m, userdata, manager_stop_dynos, reterr);
}

METHOD(method_wait_dynos) {
        Connection *connection = userdata;
        ManagerError error = {};
        uint64_t timeout_usec;
        uint32_t job = 0;
        const char *app;
        int r;

        r = sd_bus_message_read(m, "st", &app, &timeout_usec);
        if (r < 0)
                return r;
        r = connection_charge(connection, QUOTA_JOBS, reterr);
        if (r < 0)
                return r;
        r = manager_wait_dynos(
                connection_manager(connection),
                connection_client(connection),
                app,
                timeout_usec,
                &job,
                &error);
        return method_reply_job(m, connection, job, r, &error, reterr);
}

static int append_inspection(sd_bus_message *reply, const InspectInfo *info) {
        int r = facts_open(reply);

        if (r >= 0)
                r = fact_open(reply, "dyno", "a{sv}");
        if (r >= 0)
                r = facts_of_dyno(reply, &info->dyno);
        if (r >= 0)
                r = fact_close(reply);
        if (r >= 0)
                r = fact_open(reply, "layers", "aa{sv}");
        for (size_t i = 0; r >= 0 && i < _LAYER_MAX; i++) {
                r = facts_open(reply);
                if (r >= 0)
                        r = facts_of_layer(reply, "layer", &info->layers[i]);
                if (r >= 0)
                        r = facts_close(reply);
        }
        if (r >= 0)
                r = fact_close(reply);
        if (r >= 0)
                r = fact_open(reply, "timing", "a{sv}");
        for (LaunchPhase p = 0; r >= 0 && p < _PHASE_MAX; p++)
                if (info->phase_usec[_PHASE_MAX - 1] > 0)
                        r = fact_u32(reply, launch_phase_to_string(p), info->phase_usec[p]);
        if (r >= 0)
                r = fact_close(reply);
        if (r >= 0)
                r = fact_u64(reply, "duration_usec", info->duration_usec);
        return r < 0 ? r : facts_close(reply);
}

static void on_inspected(const ManagerError *error, const InspectInfo *info, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Query *query = userdata;

        if (error)
                query_fail(query, error);
        else if (
                sd_bus_message_new_method_return(query->call, &reply) >= 0 &&
                append_inspection(reply, info) >= 0)
                (void)sd_bus_send(NULL, reply, NULL);
        (void)query_free(query);
}

/* query_new() has filled @error. */
static int query_failed(const sd_bus_error *error) {
        int r = sd_bus_error_get_errno(error);

        return r > 0 ? -r : -EBUSY;
}

METHOD(method_inspect) {
        Connection *connection = userdata;
        const char *app, *dyno;
        Query *query;
        int r;

        r = sd_bus_message_read(m, "ss", &app, &dyno);
        if (r < 0)
                return r;
        query = query_new(m, connection, reterr);
        if (!query)
                return query_failed(reterr);
        manager_inspect_query(connection_manager(connection), app, dyno, on_inspected, query);
        return 1; /* answered by on_inspected() */
}

static void on_running(const ManagerError *error, const DynoInfo *info, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Query *query = userdata;
        int r;

        if (error) {
                query_fail(query, error);
                (void)query_free(query);
                return;
        }
        r = sd_bus_message_new_method_return(query->call, &reply);
        if (r >= 0)
                r = facts_open(reply);
        if (r >= 0)
                r = fact_text(reply, "dyno", info->name);
        if (r >= 0)
                r = fact_text(reply, "id", info->id);
        if (r >= 0)
                r = fact_text(reply, "size", info->size);
        if (r >= 0)
                r = facts_close(reply);
        if (r >= 0)
                (void)sd_bus_send(NULL, reply, NULL);
        (void)query_free(query);
}

METHOD(method_run) {
        _cleanup_strings_ Strings command = {}, env = {};
        Connection *connection = userdata;
        int shell, attached, tty, fd, r;
        RunRequest request = {};
        Query *query;

        r = sd_bus_message_read(m, "s", &request.app);
        if (r >= 0)
                r = strings_read(&command, m);
        if (r >= 0)
                r = strings_read_pairs(&env, m);
        if (r >= 0)
                r = sd_bus_message_read(
                        m,
                        "sbbbqqh",
                        &request.size,
                        &shell,
                        &attached,
                        &tty,
                        &request.rows,
                        &request.columns,
                        &fd);
        if (r < 0)
                return r;
        if (command.n == 0)
                return sd_bus_error_set(
                        reterr, DYNOD_ERROR_INVALID_ARGUMENT, "A command is needed.");
        query = query_new(m, connection, reterr);
        if (!query)
                return query_failed(reterr);

        request.command = strings_list(&command);
        request.env = strings_list(&env);
        request.shell = shell != 0;
        request.attached = attached != 0;
        request.tty = tty != 0;
        request.attach_fd = request.attached ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -EBADF;
        manager_run_query(
                connection_manager(connection),
                connection_client(connection),
                &request,
                on_running,
                query);
        return 1; /* answered by on_running() */
}

METHOD(method_exec) {
        _cleanup_strings_ Strings command = {}, env = {};
        Connection *connection = userdata;
        RunRequest request = {.attached = true, .size = ""};
        Query *query;
        int tty, fd, r;

        r = sd_bus_message_read(m, "ss", &request.app, &request.dyno);
        if (r >= 0)
                r = strings_read(&command, m);
        if (r >= 0)
                r = strings_read_pairs(&env, m);
        if (r >= 0)
                r = sd_bus_message_read(m, "bqqh", &tty, &request.rows, &request.columns, &fd);
        if (r < 0)
                return r;
        if (command.n == 0)
                return sd_bus_error_set(
                        reterr, DYNOD_ERROR_INVALID_ARGUMENT, "A command is needed.");
        query = query_new(m, connection, reterr);
        if (!query)
                return query_failed(reterr);

        request.command = strings_list(&command);
        request.env = strings_list(&env);
        request.tty = tty != 0;
        request.attach_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        manager_exec_query(
                connection_manager(connection),
                connection_client(connection),
                &request,
                on_running,
                query);
        return 1; /* answered by on_running() */
}

METHOD(method_logs) {
        Connection *connection = userdata;
        _cleanup_close_ int fd = -EBADF;
        ManagerError error = {};
        const char *app;
        int follow, r;

        r = sd_bus_message_read(m, "sb", &app, &follow);
        if (r < 0)
                return r;
        r = connection_charge(connection, QUOTA_STREAMS, reterr);
        if (r < 0)
                return r;
        r = manager_logs(connection_manager(connection), app, follow != 0, &fd, &error);
        if (r != 0) {
                connection_discharge(connection, QUOTA_STREAMS);
                return method_error(r, &error, reterr);
        }
        return sd_bus_reply_method_return(m, "h", fd);
}
