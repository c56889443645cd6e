/* SPDX-License-Identifier: Apache-2.0 */

/* Stacks, apps and releases. */

#include <errno.h>
#include <fcntl.h>

#include "control/methods.h"
#include "control/strings.h"
#include "dynod/bus.h"

static int visit_stack(const StackInfo *info, void *userdata) {
        ListReply *reply = userdata;
        int r = facts_open(reply->message);

        if (r >= 0)
                r = facts_of_stack(reply->message, info);
        if (r >= 0)
                r = facts_close(reply->message);
        return r < 0 ? r : 0;
}

METHOD(method_list_stacks) {
        Connection *connection = userdata;
        ListReply reply;
        int r;

        r = list_reply_begin(&reply, m);
        if (r < 0)
                return r;
        r = manager_list_stacks(connection_manager(connection), visit_stack, &reply);
        return list_reply_end(&reply, r, NULL, reterr);
}

/* A descriptor of the message, as one of our own. */
static int take_fd(int fd) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        return copy < 0 ? -errno : copy;
}

METHOD(method_import_stack) {
        Connection *connection = userdata;
        ImportRequest request = {};
        ManagerError error = {};
        uint32_t job = 0;
        int fd, r;

        r = sd_bus_message_read(m, "shts", &request.name, &fd, &request.size, &request.checksum);
        if (r < 0)
                return r;
        r = connection_charge(connection, QUOTA_JOBS, reterr);
        if (r < 0)
                return r;
        request.file = "";
        request.fd = take_fd(fd);
        r = request.fd < 0 ? request.fd
                           : manager_import_stack(
                                     connection_manager(connection),
                                     connection_client(connection),
                                     &request,
                                     &job,
                                     &error);
        return method_reply_job(m, connection, job, r, &error, reterr);
}

METHOD(method_remove_stack) {
        Connection *connection = userdata;
        ManagerError error = {};
        uint32_t versions = 0;
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        r = manager_remove_stack(connection_manager(connection), name, &versions, &error);
        if (r != 0)
                return method_error(r, &error, reterr);
        return sd_bus_reply_method_return(m, "a{sv}", 1, "versions", "u", versions);
}

static int visit_app(const AppInfo *info, void *userdata) {
        ListReply *reply = userdata;
        int r = facts_open(reply->message);

        if (r >= 0)
                r = facts_of_app(reply->message, info);
        if (r >= 0)
                r = facts_close(reply->message);
        return r < 0 ? r : 0;
}

METHOD(method_list_apps) {
        Connection *connection = userdata;
        ListReply reply;
        int r;

        r = list_reply_begin(&reply, m);
        if (r < 0)
                return r;
        r = manager_list_apps(connection_manager(connection), visit_app, &reply);
        return list_reply_end(&reply, r, NULL, reterr);
}

typedef struct AppReply {
        sd_bus_message *message;
        Manager *manager;
} AppReply;

static int visit_app_formation(const FormationInfo *info, void *userdata) {
        sd_bus_message *m = userdata;
        int r = facts_open(m);

        if (r >= 0)
                r = facts_of_formation(m, info);
        if (r >= 0)
                r = facts_close(m);
        return r < 0 ? r : 0;
}

static int visit_app_info(const AppInfo *info, void *userdata) {
        AppReply *reply = userdata;
        ManagerError ignored = {};
        int r = facts_of_app(reply->message, info);

        if (r >= 0)
                r = fact_open(reply->message, "formation", "aa{sv}");
        if (r >= 0)
                r = manager_formation(
                        reply->manager, info->name, visit_app_formation, reply->message, &ignored);
        if (r >= 0)
                r = fact_close(reply->message);
        return r < 0 ? r : 0;
}

/* AppInfo, CreateApp, RenameApp and SetStack all answer with the app as it is now. */
static int
reply_app(sd_bus_message *m, Connection *connection, const char *app, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        Manager *manager = connection_manager(connection);
        ManagerError error = {};
        AppReply reply;
        int r;

        r = sd_bus_message_new_method_return(m, &message);
        if (r >= 0)
                r = facts_open(message);
        if (r < 0)
                return r;
        reply = (AppReply){.message = message, .manager = manager};
        r = manager_app_info(manager, app, visit_app_info, &reply, &error);
        if (r != 0)
                return method_error(r, &error, reterr);
        r = facts_close(message);
        if (r < 0)
                return r;
        return sd_bus_send(NULL, message, NULL);
}

METHOD(method_app_info) {
        const char *app;
        int r;

        r = sd_bus_message_read(m, "s", &app);
        if (r < 0)
                return r;
        return reply_app(m, userdata, app, reterr);
}

METHOD(method_create_app) {
        Connection *connection = userdata;
        ManagerError error = {};
        const char *app, *stack;
        int r;

        r = sd_bus_message_read(m, "ss", &app, &stack);
        if (r < 0)
                return r;
        r = manager_create_app(
                connection_manager(connection), connection_client(connection), app, stack, &error);
        if (r != 0)
                return method_error(r, &error, reterr);
        return reply_app(m, connection, app, reterr);
}

METHOD(method_rename_app) {
        Connection *connection = userdata;
        ManagerError error = {};
        const char *app, *new_name;
        int r;

        r = sd_bus_message_read(m, "ss", &app, &new_name);
        if (r < 0)
                return r;
        r = manager_rename_app(connection_manager(connection), app, new_name, &error);
        if (r != 0)
                return method_error(r, &error, reterr);
        return reply_app(m, connection, new_name, reterr);
}

METHOD(method_destroy_app) {
        Connection *connection = userdata;
        ManagerError error = {};
        uint32_t job = 0;
        const char *app;
        int r;

        r = sd_bus_message_read(m, "s", &app);
        if (r < 0)
                return r;
        r = connection_charge(connection, QUOTA_JOBS, reterr);
        if (r < 0)
                return r;
        r = manager_destroy_app(
                connection_manager(connection), connection_client(connection), app, &job, &error);
        return method_reply_job(m, connection, job, r, &error, reterr);
}

METHOD(method_set_stack) {
        Connection *connection = userdata;
        ManagerError error = {};
        const char *app, *stack;
        int r;

        r = sd_bus_message_read(m, "ss", &app, &stack);
        if (r < 0)
                return r;
        r = manager_set_stack(connection_manager(connection), app, stack, &error);
        if (r != 0)
                return method_error(r, &error, reterr);
        return reply_app(m, connection, app, reterr);
}

METHOD(method_deploy) {
        _cleanup_strings_ Strings processes = {};
        Connection *connection = userdata;
        ImportRequest request = {};
        ManagerError error = {};
        uint32_t job = 0;
        int fd, r;

        r = sd_bus_message_read(m, "shts", &request.name, &fd, &request.size, &request.checksum);
        if (r >= 0)
                r = strings_read_pairs(&processes, m);
        if (r >= 0)
                r = sd_bus_message_read(m, "s", &request.file);
        if (r < 0)
                return r;
        r = connection_charge(connection, QUOTA_JOBS, reterr);
        if (r < 0)
                return r;
        request.processes = strings_list(&processes);
        request.fd = take_fd(fd);
        r = request.fd < 0 ? request.fd
                           : manager_deploy(
                                     connection_manager(connection),
                                     connection_client(connection),
                                     &request,
                                     &job,
                                     &error);
        return method_reply_job(m, connection, job, r, &error, reterr);
}

static int visit_release(const ReleaseInfo *info, void *userdata) {
        ListReply *reply = userdata;
        int r = facts_open(reply->message);

        if (r >= 0)
                r = facts_of_release(reply->message, info);
        if (r >= 0)
                r = facts_close(reply->message);
        return r < 0 ? r : 0;
}

METHOD(method_list_releases) {
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
        r = manager_list_releases(
                connection_manager(connection), app, visit_release, &reply, &error);
        return list_reply_end(&reply, r, &error, reterr);
}

static int visit_release_info(const ReleaseInfo *info, void *userdata) {
        int r = facts_of_release(userdata, info);

        return r < 0 ? r : 0;
}

METHOD(method_release_info) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Connection *connection = userdata;
        ManagerError error = {};
        uint32_t release;
        const char *app;
        int r;

        r = sd_bus_message_read(m, "su", &app, &release);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = facts_open(reply);
        if (r < 0)
                return r;
        r = manager_release_info(
                connection_manager(connection), app, release, visit_release_info, reply, &error);
        if (r != 0)
                return method_error(r, &error, reterr);
        r = fact_text(reply, "app", app);
        if (r >= 0)
                r = facts_close(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

METHOD(method_rollback) {
        Connection *connection = userdata;
        ManagerError error = {};
        uint32_t release, job = 0;
        const char *app;
        int r;

        r = sd_bus_message_read(m, "su", &app, &release);
        if (r < 0)
                return r;
        r = connection_charge(connection, QUOTA_JOBS, reterr);
        if (r < 0)
                return r;
        r = manager_rollback(
                connection_manager(connection),
                connection_client(connection),
                app,
                release,
                &job,
                &error);
        return method_reply_job(m, connection, job, r, &error, reterr);
}
