/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "launcher/dynos_internal.h"
#include "launcher/policies.h"

/* One checked request. Its descriptors are the caller's, who knows how to close them. */
typedef int (*RequestHandler)(
        Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds);

static int on_start(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds) {
        dyno_start(launcher, &msg->start, fds[0], n_fds > 1 ? fds[1] : -EBADF);
        return 0; /* answered there, or when it runs */
}

static void answer(Launcher *launcher, const LaunchMessage *msg, int result) {
        link_reply(launcher, msg->header.seq, LAUNCH_REPLY, result, _LAYER_ANY_MAX);
}

static int on_signal(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds) {
        answer(launcher, msg, dyno_signal(launcher, &msg->signal));
        return 0;
}

static int on_kill(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds) {
        answer(launcher, msg, dyno_kill(launcher, msg->dyno.id));
        return 0;
}

static int on_exec(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds) {
        SandboxError error;
        int r;

        r = dyno_exec(launcher, &msg->dyno, fds[0], fds[1], &error);
        if (r == 0)
                return 0; /* answered when it has joined the dyno */
        if (r != -ESRCH)
                log_warning(
                        "%s: ps:exec failed, %s: %s",
                        msg->dyno.id,
                        launch_layer_to_string(error.layer),
                        error.detail);
        link_reply(launcher, msg->header.seq, LAUNCH_REPLY, r, error.layer);
        return 0;
}

static int on_inspect(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds) {
        LaunchInspected inspected = {
                .header = {.type = LAUNCH_INSPECTED, .seq = msg->header.seq},
        };

        dyno_inspect(launcher, msg->dyno.id, &inspected);
        link_send(launcher, &inspected, sizeof(inspected), NULL, 0);
        return 0;
}

static int on_host(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds) {
        LaunchInspected hosted = {.header = {.type = LAUNCH_HOSTED, .seq = msg->header.seq}};

        host_report(launcher, &hosted);
        link_send(launcher, &hosted, sizeof(hosted), NULL, 0);
        return 0;
}

/* What the configuration allows at most, whatever the supervisor asks for. */
static uint64_t at_most(uint64_t wanted, uint64_t allowed) {
        return wanted < allowed ? wanted : allowed;
}

static int on_fetch(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds) {
        const Config *config = launcher->config;
        const LaunchFetch *fetch = &msg->fetch;
        uint64_t allowed = config->stack_max_bytes;
        LaunchFetched fetched = {
                .header = {.type = LAUNCH_FETCHED, .seq = msg->header.seq},
                .import = fetch->import,
        };

        if (config->slug_max_bytes > allowed)
                allowed = config->slug_max_bytes; /* which of them it is to be, EXTRACT says */
        fetched.result = store_fetch(
                launcher->store,
                msg->header.seq,
                fetch->import,
                fds[0],
                at_most(fetch->max_bytes, allowed));
        if (fetched.result < 0)
                link_send(launcher, &fetched, sizeof(fetched), NULL, 0);
        return 0; /* else the store's event answers */
}

static int on_extract(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds) {
        const LaunchExtract *extract = &msg->extract;
        const Config *config = launcher->config;
        uint64_t max_bytes =
                extract->kind == OBJECT_STACK ? config->stack_max_bytes : config->slug_max_bytes;
        StoreExtract request = {
                .seq = msg->header.seq,
                .import = extract->import,
                .kind = extract->kind,
                .limits =
                        {
                                .max_bytes = at_most(extract->max_bytes, max_bytes),
                                .max_entries =
                                        at_most(extract->max_entries, config->import_max_entries),
                                .max_ratio = at_most(extract->max_ratio, config->import_max_ratio),
                        },
        };
        LaunchExtracted refused = {
                .header = {.type = LAUNCH_EXTRACTED, .seq = msg->header.seq},
                .layer = LAYER_STORE,
        };

        memcpy(request.digest, extract->digest, sizeof(request.digest));
        refused.result = store_extract(launcher->store, &request, fds[0]);
        if (refused.result < 0)
                link_send(launcher, &refused, sizeof(refused), NULL, 0);
        return 0; /* else the store's event answers */
}

static int on_commit(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds) {
        int r = store_commit(launcher->store, msg->header.seq, msg->import.import);

        if (r < 0)
                link_reply(launcher, msg->header.seq, LAUNCH_REPLY, r, LAYER_STORE);
        return 0;
}

static int on_abandon(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds) {
        store_abandon(launcher->store, msg->import.import);
        answer(launcher, msg, 0);
        return 0;
}

static int on_remove(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds) {
        const LaunchObject *object = &msg->object;
        int r = -EBUSY;

        if (!dynos_use(launcher, object->kind, object->digest))
                r = store_remove(launcher->store, object->kind, object->digest);
        answer(launcher, msg, r);
        return 0;
}

static int on_policy(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds) {
        LaunchReply reply = {.header = {.type = LAUNCH_REPLY, .seq = msg->header.seq}};
        uint16_t taken = 0;

        reply.result = policies_set(launcher, &msg->policy, &taken);
        reply.layer = reply.result < 0 ? LAYER_NETWORK : _LAYER_ANY_MAX;
        reply.port = taken;
        if (msg->policy.fixed_source != 0)
                policies_say_source(launcher, msg->policy.app_number);
        link_send(launcher, &reply, sizeof(reply), NULL, 0);
        /* A loader that hung and was killed left damage that nothing else tells of. */
        if (reply.result < 0)
                network_look(launcher);
        return 0;
}

static const RequestHandler request_handlers[_LAUNCH_TYPE_MAX] = {
        [LAUNCH_START] = on_start,
        [LAUNCH_SIGNAL] = on_signal,
        [LAUNCH_KILL] = on_kill,
        [LAUNCH_EXEC] = on_exec,
        [LAUNCH_INSPECT] = on_inspect,
        [LAUNCH_FETCH] = on_fetch,
        [LAUNCH_EXTRACT] = on_extract,
        [LAUNCH_COMMIT] = on_commit,
        [LAUNCH_ABANDON] = on_abandon,
        [LAUNCH_REMOVE] = on_remove,
        [LAUNCH_HOST] = on_host,
        [LAUNCH_POLICY] = on_policy,
};

int request_dispatch(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds) {
        RequestHandler handler = request_handlers[msg->header.type];

        return handler ? handler(launcher, msg, fds, n_fds) : -EBADMSG;
}

/* Entries of a folder: the 1,000 apps that an instance may have, and what is left of others. */
#define NAMES_MAX 16384

/* Names alone, and so many of them: the logger's folder is its own. Enough numbers are left, too. */
static int raise_to_names(int dir_fd, const char *name, uint32_t *last) {
        _cleanup_closedir_ DIR *dir = NULL;
        size_t budget = NAMES_MAX;
        uint32_t number;
        int r;

        r = dir_open_at(dir_fd, name, &dir);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        assert(dir);
        while (dir_next_number(dir, "", &budget, &number))
                if (number > *last && number <= INT32_MAX)
                        *last = number;
        return 0;
}

/*
 * Numbers of apps that something here goes by. The supervisor's database may be older than
 * that, put back or begun anew: no app must get what another one left.
 */
static int find_last_app(const Launcher *launcher, uint32_t *ret) {
        int r;

        *ret = 0;
        for (const Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next)
                if (dyno->facts.start.app_number > *ret)
                        *ret = dyno->facts.start.app_number;
        r = raise_to_names(launcher->instance.state_dir_fd, "logs", ret);
        if (r == 0)
                r = raise_to_names(launcher->policies_dir_fd, ".", ret);
        return r < 0 ? log_error_errno(r, "Cannot list the numbers of apps: %m") : 0;
}

int request_greet(Launcher *launcher) {
        LaunchHello hello = {
                .header = {.type = LAUNCH_HELLO},
                .allow_missing = host_missing(launcher),
                .memory_total = launcher->memory_total,
        };
        LaunchHeader ready = {.type = LAUNCH_READY};
        int fds[4], r;

        r = find_last_app(launcher, &hello.last_app);
        if (r < 0)
                return r;
        field_set(hello.instance, sizeof(hello.instance), launcher->config->instance);
        fds[0] = launcher->config_fd;
        fds[1] = launcher->listen_fd;
        fds[2] = launcher->cgroup_fd;
        fds[3] = launcher->instance.run_dir_fd;

        link_send(launcher, &hello, sizeof(hello), fds, ARRAY_SIZE(fds));
        dynos_announce(launcher);
        link_send(launcher, &ready, sizeof(ready), NULL, 0);
        return 0;
}
