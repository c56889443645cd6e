/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Messages of the launcher's channel: good ones of each type in which the input changes bytes,
 * or all of them. What passes the check must be safe to use: names end, numbers are in range,
 * and nothing of it can name a path. Each good one passes, so that none is out of date.
 *
 * Covers: ipc/launch_proto.c
 */

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "fuzz_input.h"
#include "ipc/launch_proto.h"

static void use_id(const char *id) {
        assert(strnlen(id, DYNO_ID_SIZE) < DYNO_ID_SIZE);
        assert(!strchr(id, '/') && id[0] != '.' && id[0] != '\0');
}

static void use_start(const LaunchStart *start) {
        use_id(start->id);
        assert(strnlen(start->app, APP_NAME_SIZE) < APP_NAME_SIZE && !strchr(start->app, '/'));
        assert(strnlen(start->type, PROCESS_TYPE_SIZE) < PROCESS_TYPE_SIZE);
        assert(start->memory_kill >= start->memory_quota && start->process_limit > 0);
}

static void use(const LaunchMessage *msg) {
        if (msg->header.type == LAUNCH_START)
                use_start(&msg->start);
        if (msg->header.type == LAUNCH_DYNO)
                use_start(&msg->facts.start);
        if (msg->header.type == LAUNCH_STARTED && msg->started.result == 0)
                use_start(&msg->started.facts.start);
        if (msg->header.type == LAUNCH_SIGNAL || msg->header.type == LAUNCH_KILL)
                use_id(msg->header.type == LAUNCH_KILL ? msg->dyno.id : msg->signal.id);
        if (msg->header.type == LAUNCH_EXTRACT)
                assert(msg->extract.kind < _OBJECT_KIND_MAX);
        if (msg->header.type == LAUNCH_HOSTED)
                assert(msg->inspected.n_blockers <= BLOCKERS_MAX &&
                       msg->inspected.n_shadowed <= SHADOWED_MAX);
        if (msg->header.type == LAUNCH_POLICY)
                assert(msg->policy.n_rules <= NETWORK_RULES_MAX &&
                       msg->policy.n_trusted <= NETWORK_TRUSTED_MAX &&
                       msg->policy.n_services <= NETWORK_SERVICES_MAX &&
                       msg->policy.n_published <= NETWORK_PUBLISHED_MAX);
}

static void fill_start(LaunchStart *start) {
        start->number = start->release = start->app_number = 1;
        start->cpu_weight = 100;
        start->process_limit = 256;
        start->memory_quota = start->memory_kill = DYNO_MEMORY_MIN;
        strcpy(start->id, "web.1-7f3a9c");
        strcpy(start->app, "shop");
        strcpy(start->type, "web");
        strcpy(start->size, "Standard-1X");
}

static void fill_policy(LaunchPolicy *policy) {
        policy->serial = policy->app_number = 1;
        policy->n_rules = policy->n_trusted = policy->n_services = policy->n_published = 2;
        for (uint8_t i = 0; i < 2; i++) {
                policy->rules[i] = (NetworkRule){
                        .network = 10, .prefix = 8, .protocol = 6, .port_first = 1, .port_last = 9};
                policy->trusted[i] = (NetworkRange){.network = 10 + i, .prefix = 8};
                policy->services[i] = (NetworkPort){53 + i, 17, 0};
                policy->published[i] = (NetworkPort){80 + i, 6, 0};
        }
}

static void fill_inspected(LaunchInspected *inspected) {
        inspected->n_blockers = inspected->n_shadowed = 1;
        inspected->shadowed[0] = 80;
        strcpy(inspected->blockers[0].table, "filter");
        strcpy(inspected->blockers[0].chain, "FORWARD");
        strcpy(inspected->layers[0].detail, "is not there");
}

/* One that passes the check. */
static void fill(LaunchMessage *msg, LaunchType type) {
        static const char id[] = "web.1-7f3a9c";

        memset(msg, 0, sizeof(*msg));
        msg->header.type = type;
        switch ((unsigned)type) {
        case LAUNCH_START:
                fill_start(&msg->start);
                break;
        case LAUNCH_SIGNAL:
                msg->signal.signo = 15;
                memcpy(msg->signal.id, id, sizeof(id));
                break;
        case LAUNCH_KILL:
        case LAUNCH_EXEC:
        case LAUNCH_INSPECT:
        case LAUNCH_BOUND:
                memcpy(msg->dyno.id, id, sizeof(id));
                break;
        case LAUNCH_FETCH:
                msg->fetch.import = 1;
                break;
        case LAUNCH_EXTRACT:
                msg->extract.max_bytes = msg->extract.max_entries = msg->extract.max_ratio = 1;
                break;
        case LAUNCH_COMMIT:
        case LAUNCH_ABANDON:
                msg->import.import = 1;
                break;
        case LAUNCH_POLICY:
                fill_policy(&msg->policy);
                break;
        case LAUNCH_HELLO:
                strcpy(msg->hello.instance, "dynod");
                break;
        case LAUNCH_DYNO:
                fill_start(&msg->facts.start);
                msg->facts.pid = 2;
                break;
        case LAUNCH_STARTED:
                fill_start(&msg->started.facts.start);
                msg->started.facts.pid = 2;
                break;
        case LAUNCH_INSPECTED:
        case LAUNCH_HOSTED:
                fill_inspected(&msg->inspected);
                break;
        case LAUNCH_EXITED:
                memcpy(msg->exited.id, id, sizeof(id));
                break;
        case LAUNCH_FETCHED:
                msg->fetched.import = 1;
                break;
        case LAUNCH_SOURCE:
                msg->source.app_number = 1;
                break;
        default:
                break;
        }
}

/* Return: how many descriptors it comes with; it passes with no other type's number. */
static size_t check_good(const LaunchMessage *msg, LaunchSide side) {
        size_t size = launch_message_size(msg->header.type), n = 0;

        while (n <= 4 && launch_message_check(msg, size, n, side) < 0)
                n++;
        assert(n <= 4);
        return n;
}

/* The first byte: the type; then pairs of a place, two bytes, and what is put there. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Input in = {data, size};
        uint8_t what = input_byte(&in), how;
        LaunchType type = 1 + what % (_LAUNCH_TYPE_MAX - 1);
        LaunchSide side = type < LAUNCH_HELLO ? LAUNCH_FROM_SUPERVISOR : LAUNCH_FROM_LAUNCHER;
        LaunchMessage msg;
        size_t n_fds, whole, n;
        const uint8_t *raw;

        fill(&msg, type);
        n_fds = check_good(&msg, side);
        use(&msg);
        whole = launch_message_size(type);
        how = input_byte(&in);
        if (how >= 0xe0) { /* any bytes instead */
                raw = input_bytes(&in, 16, sizeof(msg), &n);
                memcpy(&msg, raw, n);
        }
        while (in.size >= 3) {
                n = input_byte(&in) | (size_t)input_byte(&in) << 8;
                ((uint8_t *)&msg)[n % (whole + 4 < sizeof(msg) ? whole + 4 : sizeof(msg))] =
                        input_byte(&in);
        }
        if ((how & 7) == 7) { /* another size, other descriptors, the other side */
                n_fds = how / 8 % 5;
                whole -= how / 64 % 2;
                side = how >= 0x80 ? LAUNCH_FROM_SUPERVISOR : LAUNCH_FROM_LAUNCHER;
        }
        if (launch_message_check(&msg, whole, n_fds, side) == 0)
                use(&msg);
        (void)launch_layer_to_string(what % (_LAYER_ANY_MAX + 2));
        (void)launch_phase_to_string(what % (_PHASE_MAX + 1));
        (void)layer_verdict_to_string(what % (_VERDICT_MAX + 1));
        return 0;
}
