/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The apps' network policies: asked for by clients, applied by root, kept in the store.
 *
 * Root applies first; what it took is stored. So the store holds only what could be
 * applied, and a client that saw no answer finds the old policy: whatever root had
 * meanwhile, the next supervisor tells it what is stored before it asks for any START.
 * A START names the policy that must be in force, and waits while one is under way, or while
 * root cannot take it: that is no fault of the dyno.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "supervisor/dyno.h"
#include "supervisor/job.h"

#define CALLS_MAX 64 /* changes of one app that wait: nobody types that fast */
#define RETRY_USEC (10 * USEC_PER_SEC)

struct PolicyCall {
        PolicyCall *next;
        PolicyChange change;
        Policy policy; /* that it makes */
        bool sent;
        char user[USER_NAME_SIZE];
        NetworkDone done;
        void *userdata;
};

static void run_calls(App *app);

/* ---- for people ---- */

typedef struct InfoTexts {
        char service_address[INET_ADDRSTRLEN], problem[200];
} InfoTexts;

void network_problem(const App *app, char *buf, size_t size) {
        const AppNetwork *network = &app->network;
        char source[INET_ADDRSTRLEN] = "";

        (void)snprintf(buf, size, "%s", network->problem);
        if (buf[0] || !network->source_is_gone || network->policy.source == 0)
                return;
        (void)inet_ntop(AF_INET, &network->policy.source, source, sizeof(source));
        (void)snprintf(
                buf,
                size,
                "%s, its fixed source, is no address of this host: its dynos reach nothing "
                "until it is",
                source);
}

static void fill_info(App *app, NetworkInfo *ret, InfoTexts *texts) {
        const AppNetwork *network = &app->network;

        *texts = (InfoTexts){.problem = ""};
        (void)inet_ntop(
                AF_INET,
                &app->manager->config->service_address,
                texts->service_address,
                sizeof(texts->service_address));
        network_problem(app, texts->problem, sizeof(texts->problem));
        *ret = (NetworkInfo){
                .app = app->row.name,
                .policy = &network->policy,
                .service_address = texts->service_address,
                .in_force = network->in_force == policy_serial(&network->policy),
                .problem = texts->problem,
                .text = "",
        };
        for (const Dyno *dyno = app->manager->dynos; dyno; dyno = dyno->next)
                ret->dynos += dyno->app == app && dyno->place == DYNO_PLACE_RUNNING;
}

int manager_network(
        Manager *manager,
        const char *app,
        NetworkVisitor visit,
        void *userdata,
        ManagerError *reterr) {
        NetworkInfo info;
        InfoTexts texts;
        App *found = NULL;
        int r;

        r = manager_find_app(manager, app, &found, reterr);
        if (r != 0)
                return r;

        fill_info(found, &info, &texts);
        return visit(&info, userdata);
}

/* Why root did not take @policy, one sentence. */
static void explain(const Policy *policy, int result, uint32_t port, char *buf, size_t size) {
        char source[INET_ADDRSTRLEN] = "";

        switch (result) {
        case -EADDRNOTAVAIL:
                (void)inet_ntop(AF_INET, &policy->source, source, sizeof(source));
                (void)snprintf(
                        buf,
                        size,
                        "%s, its fixed source, is no address at which others reach this host",
                        source);
                return;
        case -EADDRINUSE:
                (void)snprintf(
                        buf, size, "port %u, which it publishes, is taken on this host", port);
                return;
        default:
                (void)snprintf(
                        buf,
                        size,
                        "its network policy cannot be applied: %s",
                        strerrordesc_np(-result));
                return;
        }
}

/* ---- telling root ---- */

/* @asked: somebody wants a port or a source that is new; see LaunchPolicy */
static int send_policy(App *app, const Policy *policy, bool asked, LaunchDone done) {
        LaunchMessage msg;
        int r;

        memset(&msg, 0, sizeof(msg));
        policy_to_message(policy, (uint32_t)app->row.id, &msg.policy);
        msg.policy.asked = asked;
        r = launch_client_send(app->manager->launch, &msg, NULL, done, app);
        if (r == 0)
                app->network.under_way = true;
        return r;
}

static int result_of(const LaunchMessage *msg) {
        return msg->header.type == LAUNCH_REPLY ? msg->reply.result : -EPROTO;
}

static uint32_t port_of(const LaunchMessage *msg) {
        return msg->header.type == LAUNCH_REPLY ? msg->reply.port : 0;
}

static void note_in_force(App *app) {
        AppNetwork *network = &app->network;

        network->in_force = policy_serial(&network->policy);
        network->problem[0] = '\0';
        network->retry_usec = 0;
}

/* Its dynos wait, and say why. But for one-offs: somebody sits before them. */
static void hold_queued(App *app) {
        for (Dyno *dyno = app->manager->dynos, *next; dyno; dyno = next) {
                next = dyno->next;
                if (dyno->app != app || dyno->place != DYNO_PLACE_QUEUED)
                        continue;
                if (dyno->one_off)
                        dyno_start_failed(dyno, DYNOD_ERROR_LAYER_MISSING, app->network.problem);
                else
                        (void)snprintf(
                                dyno->reason, sizeof(dyno->reason), "%s", app->network.problem);
        }
}

/* @problem: why root did not take what is stored */
static void note_problem(App *app, const char *problem) {
        AppNetwork *network = &app->network;

        if (strcmp(network->problem, problem) != 0)
                log_error("%s: %s; its dynos wait", app->row.name, problem);
        (void)snprintf(network->problem, sizeof(network->problem), "%s", problem);
        network->retry_usec = manager_now(app->manager) + RETRY_USEC;
        hold_queued(app);
}

static void on_told(const LaunchMessage *msg, void *userdata) {
        App *app = userdata;
        AppNetwork *network = &app->network;
        char problem[sizeof(network->problem)];
        int result = result_of(msg);

        network->under_way = false;
        if (result == 0) {
                note_in_force(app);
        } else {
                explain(&network->policy, result, port_of(msg), problem, sizeof(problem));
                note_problem(app, problem);
        }
        if (result == 0 && port_of(msg) != 0)
                log_warning(
                        "%s: something on this host listens at port %u, too, which it publishes: "
                        "from outside only the app is reached there",
                        app->row.name,
                        port_of(msg));
        run_calls(app);
        manager_poke(app->manager);
}

/* What is stored, once more. */
static void tell(App *app) {
        if (!app->network.under_way && send_policy(app, &app->network.policy, false, on_told) < 0)
                log_error("%s: no memory to send its network policy", app->row.name);
}

bool network_is_in_force(App *app) {
        AppNetwork *network = &app->network;

        if (network->under_way || network->retry_usec != 0)
                return false;
        if (network->in_force == policy_serial(&network->policy))
                return true;

        tell(app);
        return false;
}

uint64_t network_deadline(const Manager *manager) {
        uint64_t next = UINT64_MAX;

        for (const App *app = manager->apps; app; app = app->next)
                if (app->network.retry_usec != 0 && app->network.retry_usec < next)
                        next = app->network.retry_usec;
        return next;
}

void network_retry(Manager *manager, uint64_t now) {
        for (App *app = manager->apps; app; app = app->next) {
                AppNetwork *network = &app->network;

                if (network->retry_usec == 0 || network->retry_usec > now)
                        continue;
                network->retry_usec = 0;
                tell(app);
        }
}

void network_on_source(Manager *manager, const LaunchSource *source) {
        App *app = manager_app_by_number(manager, source->app_number);
        char problem[200];

        if (!app || app->network.source_is_gone == (source->gone != 0))
                return;
        app->network.source_is_gone = source->gone != 0;
        network_problem(app, problem, sizeof(problem));
        if (problem[0])
                log_warning("%s: %s", app->row.name, problem);
        else
                log_notice("%s: its fixed source is an address of this host again", app->row.name);
}

void network_was_stale(App *app) {
        app->network.in_force = POLICY_UNKNOWN;
}

void network_tell_all(Manager *manager) {
        for (App *app = manager->apps; app; app = app->next)
                if (app->network.policy.serial != 0)
                        tell(app);
}

/* ---- changes ---- */

void policy_calls_free(PolicyCall *calls) {
        ManagerError error = {0};

        (void)refuse(&error, DYNOD_ERROR_FAILED, "The supervisor ended meanwhile. Ask again.");
        while (calls) {
                PolicyCall *next = calls->next;

                calls->done(&error, NULL, calls->userdata);
                free(calls);
                calls = next;
        }
}

/* Answers the first call of @app and forgets it. */
static void finish_call(App *app, const ManagerError *error, bool changed) {
        PolicyCall *call = app->network.calls;
        NetworkInfo info;
        InfoTexts texts;

        app->network.calls = call->next;
        fill_info(app, &info, &texts);
        info.changed = changed;
        info.text = call->change.text;
        call->done(error, error ? NULL : &info, call->userdata);
        free(call);
}

/* It has the port, or will have it if root does not refuse. */
static bool has_port(const App *app, uint16_t port) {
        const PolicyCall *call = app->network.calls;

        return policy_publishes(&app->network.policy, port) ||
               (call && call->sent && policy_publishes(&call->policy, port));
}

static int check_port(const App *app, uint16_t port, ManagerError *reterr) {
        for (const App *other = app->manager->apps; other; other = other->next) {
                if (other == app || !has_port(other, port))
                        continue;
                (void)refuse(
                        reterr,
                        DYNOD_ERROR_IN_USE,
                        "Port %u is published for %s already. Nothing was changed.",
                        port,
                        other->row.name);
                return refuse_hint(
                        reterr, "herokuctl ps:unpublish %u -a %s", port, other->row.name);
        }

        return 0;
}

/* Root did not take it: everything is as before. */
static void
refuse_by_root(const PolicyCall *call, int result, uint32_t port, ManagerError *reterr) {
        char why[200];

        if (result == -EADDRINUSE && call->change.kind == POLICY_PUBLISH) {
                (void)refuse(
                        reterr,
                        DYNOD_ERROR_IN_USE,
                        "Port %u is taken on this host: something listens there. Nothing was "
                        "changed.",
                        call->change.number);
                (void)refuse_hint(reterr, "See: ss -ltnp 'sport = :%u'", call->change.number);
                return;
        }

        explain(&call->policy, result, port, why, sizeof(why));
        (void)refuse(
                reterr,
                result == -EADDRNOTAVAIL ? DYNOD_ERROR_INVALID_ARGUMENT : DYNOD_ERROR_FAILED,
                "Not possible: %s. Nothing was changed.",
                why);
        if (result == -EADDRNOTAVAIL)
                (void)refuse_hint(reterr, "See: ip -4 -brief address");
}

static void on_applied(const LaunchMessage *msg, void *userdata) {
        App *app = userdata;
        AppNetwork *network = &app->network;
        PolicyCall *call = network->calls;
        int result = result_of(msg), r;
        ManagerError error = {0};

        assert(call && call->sent);

        network->under_way = false;
        if (result < 0) {
                refuse_by_root(call, result, port_of(msg), &error);
                if (network->in_force != policy_serial(&network->policy))
                        network->retry_usec = manager_now(app->manager) + RETRY_USEC;
                finish_call(app, &error, false);
                run_calls(app);
                manager_poke(app->manager);
                return;
        }

        r = store_set_policy(app->manager->store, app->row.id, &call->policy);
        if (r < 0) {
                /* Root has what the store has not: back to that. */
                network->in_force = POLICY_UNKNOWN;
                tell(app);
                (void)refuse_errno(&error, r, "the network policy cannot be stored");
                finish_call(app, &error, false);
                run_calls(app);
                return;
        }

        network->policy = call->policy;
        note_in_force(app);
        manager_log_api(app->manager, app, "Network: %s by user %s", call->change.text, call->user);
        finish_call(app, NULL, true);
        run_calls(app);
        manager_poke(app->manager);
}

/*
 * Before root hears of a first policy: should we die before it is stored, the next supervisor
 * knows from this that root may have one, and tells it that there is none.
 */
static int note_first(App *app) {
        Policy policy = {.serial = 1};
        int r;

        if (app->network.policy.serial != 0)
                return 0;
        r = store_set_policy(app->manager->store, app->row.id, &policy);
        if (r == 0)
                app->network.policy.serial = policy.serial;
        return r;
}

/* @changed: the policy is another one than before */
static int send_call(App *app, PolicyCall *call, bool changed) {
        PolicyChangeKind kind = call->change.kind;
        bool asked = changed && (kind == POLICY_PUBLISH || kind == POLICY_SOURCE);
        int r = note_first(app);

        if (r < 0)
                return r;
        call->policy.serial = app->network.policy.serial + 1;
        r = send_policy(app, &call->policy, asked, on_applied);
        call->sent = r == 0;
        return r;
}

/* Begins the first call. Return: whether it is under way, else it was answered. */
static bool begin_call(App *app) {
        PolicyCall *call = app->network.calls;
        bool changed = false, in_force;
        ManagerError error = {0};
        int r;

        /* One that root has not is no policy yet: then it is told all of it. */
        call->policy = app->network.policy;
        in_force = app->network.in_force == policy_serial(&app->network.policy);
        r = policy_apply(&call->policy, &call->change, app->row.name, &changed, &error);
        if (r == 0 && changed && call->change.kind == POLICY_PUBLISH)
                r = check_port(app, (uint16_t)call->change.number, &error);
        if (r == 0 && (changed || !in_force)) {
                r = send_call(app, call, changed);
                if (r == 0)
                        return true;
                (void)refuse_errno(&error, r, "the network policy cannot be changed");
        }

        finish_call(app, r == 0 ? NULL : &error, false);
        return false;
}

static void run_calls(App *app) {
        while (app->network.calls && !app->network.under_way)
                if (begin_call(app))
                        return;
}

static int make_call(
        Manager *manager,
        const ManagerClient *client,
        const NetworkRequest *request,
        PolicyCall *call,
        ManagerError *reterr) {
        PolicyCall **end;
        App *app = NULL;
        unsigned n = 0;
        int r;

        r = manager_find_app(manager, request->app, &app, reterr);
        if (r == 0)
                r = policy_change_parse(request->change, request->arguments, &call->change, reterr);
        if (r != 0)
                return r;

        for (end = &app->network.calls; *end; end = &(*end)->next)
                n++;
        if (n >= CALLS_MAX)
                return refuse(
                        reterr,
                        DYNOD_ERROR_LIMIT,
                        "%u changes of %s are under way already. Nothing was changed.",
                        n,
                        app->row.name);

        (void)snprintf(call->user, sizeof(call->user), "%s", client->user ? client->user : "");
        *end = call;
        run_calls(app);
        return 0;
}

void manager_change_network_query(
        Manager *manager,
        const ManagerClient *client,
        const NetworkRequest *request,
        NetworkDone done,
        void *userdata) {
        PolicyCall *call = calloc(1, sizeof(*call));
        ManagerError error = {0};
        int r = -ENOMEM;

        if (call) {
                call->done = done;
                call->userdata = userdata;
                r = make_call(manager, client, request, call, &error);
        }
        if (r == 0)
                return; /* finish_call() answers, or has done so */
        if (r < 0)
                (void)refuse_errno(&error, r, "the network policy cannot be changed");
        free(call);
        done(&error, NULL, userdata);
}

void network_forget(App *app) {
        Policy none = {0};
        LaunchMessage msg;
        ManagerError error = {0};

        launch_client_forget(app->manager->launch, app);
        (void)refuse(&error, DYNOD_ERROR_NO_SUCH_APP, "%s was destroyed meanwhile.", app->row.name);
        while (app->network.calls)
                finish_call(app, &error, false);

        app->network.under_way = false;
        app->network.retry_usec = 0;
        if (app->network.policy.serial == 0)
                return;
        app->network.in_force = POLICY_UNKNOWN;
        memset(&msg, 0, sizeof(msg));
        policy_to_message(&none, (uint32_t)app->row.id, &msg.policy);
        if (launch_client_send(app->manager->launch, &msg, NULL, NULL, NULL) < 0)
                log_error("%s: no memory to take its network policy back", app->row.name);
}
