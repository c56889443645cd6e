/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A manager that answers from constants, in place of the supervisor's: what the tests of
 * the bus object need to see is written into its answers.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dynod/bus.h"
#include "supervisor/manager.h"
#include "supervisor/policy.h"

static struct {

        uint32_t last_job;
        unsigned clients_gone;
        ManagerClient job_client;
} fake;

static int refuse(ManagerError *reterr, const char *name, const char *message, const char *hint) {
        reterr->name = name;
        (void)snprintf(reterr->message, sizeof(reterr->message), "%s", message);
        (void)snprintf(reterr->hint, sizeof(reterr->hint), "%s", hint);
        return MANAGER_E_REFUSED;
}

const Config *manager_config(const Manager *manager) {
        static const Config config = {.n_sizes = 0};

        return &config;
}

void manager_client_gone(Manager *manager, void *userdata) {
        fake.clients_gone++;
        if (fake.job_client.userdata == userdata)
                fake.job_client = (ManagerClient){};
}

void manager_host_info(Manager *manager, HostInfo *ret) {
        *ret = (HostInfo){
                .instance = "fake", .version = "9.9.9", .apps = fake.clients_gone, .dynos = 2};
}

int manager_list_stacks(Manager *manager, StackVisitor visit, void *userdata) {
        static const char *const apps[] = {"shop", NULL};
        const StackInfo info = {
                .name = "debian-12", .digest = "9c1f", .version = 3, .bytes = 5, .apps = apps};

        return visit(&info, userdata);
}

/* Reads what it is given and ends at once with as many bytes; "stuck" never ends, "long" has steps. */
int manager_import_stack(
        Manager *manager,
        const ManagerClient *client,
        const ImportRequest *request,
        uint32_t *ret_job,
        ManagerError *reterr) {
        char text[64] = "";
        ssize_t n = read(request->fd, text, sizeof(text) - 1);
        const StackInfo stack = {
                .name = request->name, .digest = text, .version = 1, .bytes = (uint64_t)n};
        const JobResult result = {.stack = &stack, .bytes = (uint64_t)n};
        JobProgress progress = {.phase = "read", .text = "half"};
        char line[4096];
        int steps = 1;

        (void)close(request->fd);
        if (strcmp(request->name, "bad") == 0)
                return refuse(
                        reterr, DYNOD_ERROR_INVALID_NAME, "No \xff good.", "herokuctl stacks");
        *ret_job = ++fake.last_job;
        if (strcmp(request->name, "stuck") == 0)
                return 0;
        if (strcmp(request->name, "long") == 0) {
                (void)snprintf(line, sizeof(line), "%4095s", "half");
                progress.text = line; /* all together more than a socket takes */
                steps = 10000;
        }
        for (int i = 0; i < steps; i++)
                client->events->progress(*ret_job, &progress, client->userdata);
        client->events->done(*ret_job, NULL, &result, client->userdata);
        return 0;
}

int manager_remove_stack(
        Manager *manager, const char *name, uint32_t *ret_versions, ManagerError *reterr) {
        return -EIO;
}

int manager_list_apps(Manager *manager, AppVisitor visit, void *userdata) {
        static char long_name[4096];
        static const Policy none;
        const AppInfo info = {
                .name = long_name, .stack = "debian-12", .user = "", .slug = "", .policy = &none};
        int r = 0;

        memset(long_name, 'a', sizeof(long_name) - 1);
        for (int i = 0; i < 16 && r == 0; i++)
                r = visit(&info, userdata);
        return r;
}

int manager_app_info(
        Manager *manager, const char *app, AppVisitor visit, void *userdata, ManagerError *reterr) {
        return refuse(reterr, DYNOD_ERROR_NO_SUCH_APP, "No app.", "");
}

int manager_create_app(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        const char *stack,
        ManagerError *reterr) {
        return refuse(reterr, DYNOD_ERROR_EXISTS, client->user, "");
}

int manager_rename_app(
        Manager *manager, const char *app, const char *new_name, ManagerError *reterr) {
        return -EIO;
}

int manager_destroy_app(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        uint32_t *ret_job,
        ManagerError *reterr) {
        return -EIO;
}

int manager_set_stack(Manager *manager, const char *app, const char *stack, ManagerError *reterr) {
        return -EIO;
}

int manager_deploy(
        Manager *manager,
        const ManagerClient *client,
        const ImportRequest *request,
        uint32_t *ret_job,
        ManagerError *reterr) {
        (void)close(request->fd);
        return -EIO;
}

int manager_list_releases(
        Manager *manager,
        const char *app,
        ReleaseVisitor visit,
        void *userdata,
        ManagerError *reterr) {
        return -EIO;
}

int manager_release_info(
        Manager *manager,
        const char *app,
        uint32_t release,
        ReleaseVisitor visit,
        void *userdata,
        ManagerError *reterr) {
        return -EIO;
}

int manager_rollback(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        uint32_t release,
        uint32_t *ret_job,
        ManagerError *reterr) {
        return -EIO;
}

int manager_get_config(
        Manager *manager,
        const char *app,
        PairVisitor visit,
        void *userdata,
        ManagerError *reterr) {
        return visit("NAME", "va\xfflue", userdata);
}

/* Ends with the number of names that are set and unset. */
int manager_change_config(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        const ConfigChange *change,
        uint32_t *ret_job,
        ManagerError *reterr) {
        JobResult result = {};

        for (const char *const *p = change->set; *p; p += 2)
                result.release += 100;
        for (const char *const *p = change->unset; *p; p++)
                result.release++;
        *ret_job = ++fake.last_job;
        client->events->done(*ret_job, NULL, &result, client->userdata);
        return 0;
}

int manager_formation(
        Manager *manager,
        const char *app,
        FormationVisitor visit,
        void *userdata,
        ManagerError *reterr) {
        return -EIO;
}

int manager_scale(
        Manager *manager,
        const ManagerClient *client,
        const ScaleRequest *request,
        uint32_t *ret_job,
        ManagerError *reterr) {
        return -EIO;
}

int manager_list_dynos(
        Manager *manager,
        const char *app,
        DynoVisitor visit,
        void *userdata,
        ManagerError *reterr) {
        return -EIO;
}

int manager_restart_dynos(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        const char *target,
        uint32_t *ret_job,
        ManagerError *reterr) {
        return -EIO;
}

int manager_stop_dynos(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        const char *target,
        uint32_t *ret_job,
        ManagerError *reterr) {
        return -EIO;
}

int manager_wait_dynos(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        uint64_t timeout_usec,
        uint32_t *ret_job,
        ManagerError *reterr) {
        return -EIO;
}

void manager_inspect_query(
        Manager *manager, const char *app, const char *dyno, InspectDone done, void *userdata) {
        ManagerError error = {};

        (void)refuse(&error, DYNOD_ERROR_NO_SUCH_DYNO, "No dyno.", "herokuctl ps");
        done(&error, NULL, userdata);
}

void manager_doctor_query(Manager *manager, DoctorDone done, void *userdata) {
        DoctorInfo info = {.can_start = true};

        for (size_t i = 0; i < _LAYER_MAX; i++)
                info.layers[i] = (LayerInfo){
                        .layer = launch_layer_to_string(i),
                        .verdict = i == LAYER_APPARMOR ? "allowed" : "ok",
                        .detail = "",
                        .fix = ""};
        done(NULL, &info, userdata);
}

/* One of everything. */
static NetworkInfo fill_network(Policy *policy) {
        *policy = (Policy){
                .serial = 3,
                .closed = true,
                .restricted = true,
                .source = htonl(0xcb007105),
                .n_rules = 2,
                .rules =
                        {{.network = htonl(0x0a000000), .prefix = 8, .allow = 1},
                         {.network = htonl(0x0a010000),
                          .prefix = 16,
                          .protocol = IPPROTO_TCP,
                          .port_first = 80,
                          .port_last = 81}},
                .n_trusted = 1,
                .trusted = {{.network = htonl(0xc6336400), .prefix = 24}},
                .n_services = 1,
                .services = {{.name = "dns", .port = {.port = 53, .protocol = IPPROTO_UDP}}},
                .n_published = 2,
                .published = {80, 443},
        };
        return (NetworkInfo){
                .app = "shop",
                .policy = policy,
                .service_address = "172.16.0.1",
                .dynos = 3,
                .in_force = true,
                .problem = "",
                .text = "",
        };
}

int manager_network(
        Manager *manager,
        const char *app,
        NetworkVisitor visit,
        void *userdata,
        ManagerError *reterr) {
        Policy policy;
        NetworkInfo info = fill_network(&policy);

        return visit(&info, userdata);
}

/* Answers with its first argument. */
void manager_change_network_query(
        Manager *manager,
        const ManagerClient *client,
        const NetworkRequest *request,
        NetworkDone done,
        void *userdata) {
        ManagerError error = {};
        Policy policy;
        NetworkInfo info = fill_network(&policy);

        if (!request->arguments[0]) {
                (void)refuse(&error, DYNOD_ERROR_INVALID_ARGUMENT, "Say what.", "");
                done(&error, NULL, userdata);
                return;
        }
        info.changed = true;
        info.text = request->arguments[0];
        done(NULL, &info, userdata);
}

/* Says through the attach socket that it was given one. */
void manager_run_query(
        Manager *manager,
        const ManagerClient *client,
        const RunRequest *request,
        RunDone done,
        void *userdata) {
        const DynoInfo info = {.name = "run.1", .id = "run.1-000001", .size = "Eco"};

        if (request->attached) {
                (void)!write(request->attach_fd, "hello", 5);
                (void)close(request->attach_fd);
        }
        done(NULL, &info, userdata);
}

void manager_exec_query(
        Manager *manager,
        const ManagerClient *client,
        const RunRequest *request,
        RunDone done,
        void *userdata) {
        manager_run_query(manager, client, request, done, userdata);
}

int manager_logs(
        Manager *manager, const char *app, bool follow, int *ret_fd, ManagerError *reterr) {
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        (void)!write(fds[0], "lines", 5);
        (void)close(fds[0]);
        *ret_fd = fds[1];
        return 0;
}
