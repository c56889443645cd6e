/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A dyno on its way: it has a slot, a folder with a leading dot and a process that takes on
 * its layers, and nobody knows of it. That process has the share of the processor that the
 * supervisor asked for and may be late; the loop goes on meanwhile. The request is answered
 * when dyno-init was told to go on, or has died, or START_TIMEOUT_USEC is over.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "ipc/dyno_spec.h"
#include "launcher/dynos_internal.h"
#include "launcher/policies.h"
#include "launcher/slots.h"
#include "launcher/sweep.h"

#define START_TIMEOUT_USEC (10 * USEC_PER_SEC) /* it takes milliseconds */
#define STARTS_MAX 64                          /* the most that start_parallel may be */

/* A start that would promise more memory than there is, is refused with the numbers. */
static int check_memory(const Launcher *launcher, const LaunchStart *start, SandboxError *reterr) {
        uint64_t promised = 0;

        for (const Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next)
                if (dyno_is_alive(dyno))
                        promised += dyno->facts.start.memory_quota;
        if (start->memory_quota <= launcher->memory_total &&
            promised <= launcher->memory_total - start->memory_quota)
                return 0;

        reterr->layer = LAYER_MEMORY;
        reterr->error = ENOMEM;
        (void)snprintf(
                reterr->detail,
                sizeof(reterr->detail),
                "%llu MB wanted, %llu of %llu MB are promised to other dynos",
                (unsigned long long)(start->memory_quota >> 20),
                (unsigned long long)(promised >> 20),
                (unsigned long long)(launcher->memory_total >> 20));
        return -ENOMEM;
}

/* The sandbox refuses for want of its own layers; the network's is judged here. */
static int check_network(Launcher *launcher, SandboxError *reterr) {
        const uint32_t tc = UINT32_C(1) << MISSING_TC;

        if ((host_missing(launcher) & ~launcher->config->allow_missing & tc) != 0) {
                *reterr = (SandboxError){
                        .layer = LAYER_NETWORK,
                        .error = ENOPROTOOPT,
                        .detail = "tc is missing on this host",
                };
                return -ENOPROTOOPT;
        }

        network_make_whole(launcher);
        if (!net_damage(launcher->net))
                return 0;
        *reterr = (SandboxError){.layer = LAYER_NETWORK, .error = EIO};
        (void)snprintf(reterr->detail, sizeof(reterr->detail), "%s", net_damage(launcher->net));
        return -EIO;
}

NetDyno dyno_network(const LaunchStart *start) {
        return (NetDyno){
                .app_number = start->app_number,
                .bandwidth = start->bandwidth,
                .connections = start->connections,
                .connection_rate = start->connection_rate,
        };
}

/* Policy and limits are in force, and read back, before anything of the dyno runs. */
static int begin_network(const Dyno *dyno, SandboxError *reterr) {
        NetDyno network = dyno_network(&dyno->facts.start);
        Net *net = dyno->launcher->net;
        char detail[NET_DETAIL_SIZE];
        int r;

        reterr->layer = LAYER_NETWORK;
        r = net_slot_begin(net, dyno->slot.index, dyno->slot.netns_fd, &network);
        if (r < 0) {
                reterr->error = -r;
                (void)snprintf(
                        reterr->detail,
                        sizeof(reterr->detail),
                        "policy and limits cannot be put in force");
                return r;
        }
        r = net_check_slot(net, dyno->slot.index, dyno->slot.netns_fd, detail, sizeof(detail));
        if (r == 0)
                return 0;
        reterr->error = r < 0 ? -r : ENETDOWN;
        (void)snprintf(
                reterr->detail,
                sizeof(reterr->detail),
                "%.*s",
                (int)sizeof(reterr->detail) - 1,
                detail);
        return -reterr->error;
}

typedef struct Trees {
        int stack_fd, slug_fd, slug_tree_fd;
} Trees;

static void trees_close(Trees *trees) {
        trees->stack_fd = safe_close(trees->stack_fd);
        trees->slug_fd = safe_close(trees->slug_fd);
        trees->slug_tree_fd = safe_close(trees->slug_tree_fd);
}

static int
open_trees(Launcher *launcher, const LaunchStart *start, Trees *ret, SandboxError *reterr) {
        const char *what = "stack";
        int r;

        r = store_tree_open(launcher->store, OBJECT_STACK, start->stack, &ret->stack_fd);
        if (r == 0) {
                what = "slug";
                r = store_tree_open(launcher->store, OBJECT_SLUG, start->slug, &ret->slug_fd);
        }
        if (r == 0)
                r = store_part_open(ret->slug_fd, STORE_PART_TREE, &ret->slug_tree_fd);
        if (r < 0) {
                reterr->layer = LAYER_STORE;
                reterr->error = -r;
                (void)snprintf(reterr->detail, sizeof(reterr->detail), "the %s", what);
        }

        return r;
}

/*
 * What is left of a start that failed: slot and folder, and its process while that dies.
 * Takes @dyno over.
 */
static void undo_start(Dyno *dyno) {
        char name[DYNO_ID_SIZE + 1];

        (void)snprintf(name, sizeof(name), ".%s", dyno->facts.start.id);
        dyno_folder_remove(dyno->launcher, name);
        dyno_folder_remove(dyno->launcher, dyno->facts.start.id);
        if (dyno->process.pidfd < 0) {
                slots_give_back(dyno->launcher, &dyno->slot);
                (void)dyno_free(dyno);
                return;
        }

        dyno->start_failed = true;
        dyno_tear_down(dyno);
}

/* The dyno runs: make it known. */
static int make_known(Dyno *dyno) {
        int r;

        r = dyno_folder_publish(dyno, true);
        if (r == 0)
                r = dyno_watch_exit(dyno);
        if (r == 0 && dyno->facts.start.web_port != 0)
                r = net_web_allow(
                        dyno->launcher->net, dyno->slot.index, dyno->facts.start.web_port);
        if (r < 0)
                dyno->exit_source = source_free(dyno->exit_source);

        return r;
}

/* It may have words of the configuration and of the host in it. */
static void set_detail(LaunchStarted *started, const SandboxError *error) {
        (void)snprintf(started->detail, sizeof(started->detail), "%s", error->detail);
        launch_line_clean(started->detail);
}

/* It runs, or never will: then all of it is undone, and @dyno gone. */
static void end_start(Dyno *dyno, int result, const SandboxError *error) {
        Launcher *launcher = dyno->launcher;
        LaunchStarted started = {
                .header = {.type = LAUNCH_STARTED, .seq = dyno->facts.header.seq},
        };

        dyno->start_source = source_free(dyno->start_source);
        dyno->start_timer = source_free(dyno->start_timer);
        sandbox_start_take(dyno->start, &dyno->process);
        dyno->start = sandbox_start_free(dyno->start);
        dyno->facts.header = (LaunchHeader){.type = LAUNCH_DYNO};

        if (result == 0) {
                dyno->facts.pid = (uint32_t)dyno->process.pid;
                dyno->process.phase_usec[PHASE_SLOT] = dyno->phase_usec[PHASE_SLOT];
                memcpy(dyno->phase_usec, dyno->process.phase_usec, sizeof(dyno->phase_usec));
                result = make_known(dyno);
        }
        started.result = result;
        started.layer = result == 0 ? _LAYER_ANY_MAX : error->layer;
        if (result == 0) {
                started.facts = dyno->facts;
                memcpy(started.phase_usec, dyno->phase_usec, sizeof(started.phase_usec));
                if (host_missing(launcher) != 0)
                        log_notice(
                                "%s started without a layer, as allow_missing says.",
                                dyno->facts.start.id);
        } else {
                set_detail(&started, error);
                undo_start(dyno);
        }
        link_send(launcher, &started, sizeof(started), NULL, 0);
}

static int on_start_event(void *userdata, uint32_t events) {
        SandboxError error = {.layer = LAYER_PROCESS};
        Dyno *dyno = userdata;
        int r = sandbox_start_continue(dyno->start, &error);

        if (r != SANDBOX_E_AGAIN)
                end_start(dyno, r, &error);
        return 0;
}

static int on_start_timer(void *userdata, uint32_t events) {
        const SandboxError error = {
                .layer = LAYER_PROCESS,
                .error = ETIMEDOUT,
                .detail = "the new process is stuck",
        };

        end_start(userdata, -ETIMEDOUT, &error);
        return 0;
}

/* From here on it ends by end_start(). */
static int watch_start(Dyno *dyno) {
        Loop *loop = dyno->launcher->loop;
        int r;

        r = loop_add(
                loop,
                &dyno->start_source,
                sandbox_start_fd(dyno->start),
                EPOLLIN,
                on_start_event,
                dyno);
        if (r == 0)
                r = loop_add_timer(
                        loop,
                        &dyno->start_timer,
                        clock_boottime_usec() + START_TIMEOUT_USEC,
                        on_start_timer,
                        dyno);
        return r;
}

static int
launch(Dyno *dyno, const SandboxLaunch *launch_template, const Trees *trees, SandboxError *reterr) {
        SandboxLaunch request = *launch_template;
        int r;

        request.slot = &dyno->slot;
        request.start = &dyno->facts.start;
        request.stack_fd = trees->stack_fd;
        request.slug_fd = trees->slug_tree_fd;
        request.status_fd = dyno->status_fd;
        request.app_fifo_fd = dyno->app_fifo_fd;
        request.log_fifo_fd = dyno->log_fifo_fd;

        r = sandbox_launch_begin(dyno->launcher->host, &request, &dyno->start, reterr);
        if (r < 0)
                return r;
        r = watch_start(dyno);
        if (r < 0) {
                reterr->layer = LAYER_PROCESS;
                sandbox_start_take(dyno->start, &dyno->process);
                dyno->start = sandbox_start_free(dyno->start);
        }
        return r;
}

static int start_in_slot(
        Launcher *launcher,
        const LaunchStart *start,
        SandboxLaunch *request,
        SandboxError *reterr) {
        _cleanup_(trees_close) Trees trees = {-EBADF, -EBADF, -EBADF};
        _cleanup_(dyno_freep) Dyno *dyno = dyno_new(launcher);
        int r;

        if (!dyno)
                return -ENOMEM;
        r = open_trees(launcher, start, &trees, reterr);
        if (r < 0)
                return r;
        r = slots_take(launcher, &dyno->slot, reterr);
        if (r == -EUSERS && dynos_forget_oldest(launcher))
                r = slots_take(launcher, &dyno->slot, reterr);
        if (r < 0)
                return r;

        dyno->facts = (LaunchDynoFacts){
                .header = {.type = LAUNCH_DYNO, .seq = start->header.seq},
                .start = *start,
                .uid = dyno->slot.uid,
                .address = dyno->slot.address.s_addr,
                .started_usec = clock_realtime_usec(),
        };
        sandbox_host_limit(launcher->host, launcher->memory_total, &dyno->facts.start);
        sizes_limit(&launcher->bounds, &dyno->facts.start);
        dyno->phase_usec[PHASE_SLOT] = (uint32_t)(clock_boottime_usec() - request->received_usec);

        r = begin_network(dyno, reterr);
        if (r == 0) {
                reterr->layer = LAYER_PROCESS;
                r = dyno_folder_make(dyno);
        }
        if (r == 0)
                /* Before anything runs: the first word of dyno-init may be its last. */
                r = dyno_folder_watch(dyno);
        if (r == 0)
                r = launch(dyno, request, &trees, reterr);
        dyno_link(dyno);
        if (r < 0)
                undo_start(dyno);
        (void)TAKE_PTR(dyno);
        return r;
}

/* Each has ten descriptors of root's. */
static bool too_many(const Launcher *launcher) {
        unsigned n = 0;

        for (const Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next)
                n += dyno->start != NULL;
        return n >= STARTS_MAX;
}

void dyno_start(Launcher *launcher, const LaunchStart *start, int spec_fd, int attach_fd) {
        SandboxLaunch request = {
                .received_usec = clock_boottime_usec(),
                .spec_fd = spec_fd,
                .attach_fd = attach_fd,
        };
        SandboxError error = {.layer = LAYER_PROCESS};
        LaunchStarted refused;
        int r;

        r = dyno_find(launcher, start->id) ? -EEXIST : dyno_spec_check_fd(spec_fd);
        if (r == 0 && too_many(launcher))
                r = -EBUSY;
        if (r == 0)
                r = check_network(launcher, &error);
        if (r == 0)
                r = policies_check_start(launcher, start, &error);
        if (r == 0)
                r = sizes_check_start(&launcher->bounds, start, &error);
        if (r == 0)
                r = check_memory(launcher, start, &error);
        if (r == 0)
                r = sweep_check_room(launcher, start, &error);
        if (r == 0)
                r = start_in_slot(launcher, start, &request, &error);
        if (r == 0)
                return; /* answered when it runs, or could not be started */

        refused = (LaunchStarted){
                .header = {.type = LAUNCH_STARTED, .seq = start->header.seq},
                .result = r,
                .layer = error.layer,
        };
        set_detail(&refused, &error);
        link_send(launcher, &refused, sizeof(refused), NULL, 0);
}

static Dyno *find_start(const Launcher *launcher) {
        for (Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next)
                if (dyno->start)
                        return dyno;
        return NULL;
}

void starts_abort(Launcher *launcher) {
        const SandboxError error = {.layer = LAYER_PROCESS};
        Dyno *dyno;

        while ((dyno = find_start(launcher)))
                end_start(dyno, -ECANCELED, &error);
}
