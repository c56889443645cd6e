/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "ipc/launch_proto.h"

typedef struct LaunchTypeDef {
        size_t size;
        uint8_t min_fds, max_fds;
        LaunchSide from;
        bool (*is_valid)(const LaunchMessage *msg);
} LaunchTypeDef;

#define FIELD_OK(field) field_is_clean(field, sizeof(field))

/* Heroku's largest dyno has 65,536 processes; a kernel has pid_max 4,194,304. */
#define PROCESS_LIMIT_MAX UINT32_C(4194304)
#define RELEASE_MAX UINT32_C(1000000000)
#define DYNO_NUMBER_MAX UINT32_C(99999) /* as in dyno_name_is_valid() */

static bool is_id(const char id[static DYNO_ID_SIZE]) {
        return field_is_clean(id, DYNO_ID_SIZE) && dyno_id_is_valid(id);
}

/* A detail is text of root's own: printable and of one line. */
static bool is_line(const char *text, size_t size) {
        if (!field_is_clean(text, size))
                return false;
        for (; *text; text++)
                if (*text < ' ' || *text > '~')
                        return false;
        return true;
}

void launch_line_clean(char *text) {
        for (; *text; text++)
                if (*text < ' ' || *text > '~')
                        *text = '?';
}

bool filter_name_is_plain(const char *name) {
        return name[0] != '\0' && strlen(name) < FILTER_NAME_SIZE &&
               name[strspn(
                       name,
                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")] ==
                       '\0';
}

/* The id must say what the other fields say: "TYPE.N-HHHHHH". */
static bool id_matches(const LaunchStart *start) {
        size_t type_len = strlen(start->type);
        uint32_t number = 0;

        if (strncmp(start->id, start->type, type_len) != 0 || start->id[type_len] != '.')
                return false;
        for (const char *p = start->id + type_len + 1; *p != '-'; p++)
                number = number * 10 + (uint32_t)(*p - '0');

        return number == start->number;
}

static bool start_is_valid(const LaunchStart *s) {
        return is_id(s->id) && FIELD_OK(s->app) && app_name_is_valid(s->app) && FIELD_OK(s->type) &&
               process_type_is_valid(s->type) && FIELD_OK(s->size) && s->size[0] != '\0' &&
               (s->flags & ~LAUNCH_FLAGS_ALL) == 0 && s->number >= 1 &&
               s->number <= DYNO_NUMBER_MAX && id_matches(s) && s->release >= 1 &&
               s->release <= RELEASE_MAX && s->web_port <= UINT16_MAX && s->cpu_weight >= 1 &&
               s->cpu_weight <= 10000 && s->process_limit >= 1 &&
               s->process_limit <= PROCESS_LIMIT_MAX && s->memory_quota > 0 &&
               s->memory_kill >= s->memory_quota && s->memory_kill <= INT64_MAX &&
               s->bandwidth <= INT64_MAX && s->disk <= INT64_MAX && s->disk_files <= INT64_MAX &&
               s->app_number > 0 && s->reserved == 0;
}

/* What runs already may have less: it was launched. */
static bool check_start(const LaunchMessage *msg) {
        return start_is_valid(&msg->start) && msg->start.memory_quota >= DYNO_MEMORY_MIN;
}

static bool check_signal(const LaunchMessage *msg) {
        return is_id(msg->signal.id) && msg->signal.signo >= 1 && msg->signal.signo <= 31 &&
               msg->signal.target < _SIGNAL_TARGET_MAX;
}

static bool check_dyno(const LaunchMessage *msg) {
        return is_id(msg->dyno.id);
}

static bool check_fetch(const LaunchMessage *msg) {
        return msg->fetch.import != 0 && msg->fetch.reserved == 0;
}

static bool check_extract(const LaunchMessage *msg) {
        return msg->extract.kind < _OBJECT_KIND_MAX && msg->extract.max_entries > 0 &&
               msg->extract.max_bytes > 0 && msg->extract.max_ratio > 0;
}

static bool check_import(const LaunchMessage *msg) {
        return msg->import.import != 0 && msg->import.reserved == 0;
}

static bool check_object(const LaunchMessage *msg) {
        return msg->object.kind < _OBJECT_KIND_MAX && msg->object.reserved == 0;
}

static bool is_network(uint32_t network, uint32_t prefix) {
        uint32_t mask = prefix > 0 ? UINT32_MAX << (32 - prefix) : 0;

        return (ntohl(network) & ~mask) == 0;
}

static bool is_rule(const NetworkRule *rule) {
        bool has_ports = rule->protocol == IPPROTO_TCP || rule->protocol == IPPROTO_UDP;

        if (rule->prefix > 32 || !is_network(rule->network, rule->prefix))
                return false;
        if (!has_ports && rule->protocol != IPPROTO_ICMP && rule->protocol != 0)
                return false;
        if (rule->port_first > rule->port_last || (rule->port_first == 0 && rule->port_last > 0))
                return false;

        return (has_ports || rule->port_first == 0) && rule->allow <= 1 && rule->reserved == 0;
}

static bool is_port(const NetworkPort *port, bool tcp_only) {
        return port->port > 0 && port->reserved == 0 &&
               (port->protocol == IPPROTO_TCP || (port->protocol == IPPROTO_UDP && !tcp_only));
}

static bool is_zero(const void *data, size_t size) {
        const uint8_t *p = data;

        while (size > 0)
                if (p[--size] != 0)
                        return false;
        return true;
}

/* What is beyond the counts is zero: two policies that say the same are equal bytes. */
static bool lists_are_valid(const LaunchPolicy *p) {
        for (size_t i = 0; i < p->n_rules; i++)
                if (!is_rule(&p->rules[i]))
                        return false;
        for (size_t i = 0; i < p->n_trusted; i++)
                if (p->trusted[i].prefix > 32 ||
                    !is_network(p->trusted[i].network, p->trusted[i].prefix))
                        return false;
        for (size_t i = 0; i < p->n_services; i++)
                if (!is_port(&p->services[i], false))
                        return false;
        for (size_t i = 0; i < p->n_published; i++)
                if (!is_port(&p->published[i], true))
                        return false;

        return is_zero(&p->rules[p->n_rules],
                       sizeof(p->rules[0]) * (NETWORK_RULES_MAX - p->n_rules)) &&
               is_zero(&p->trusted[p->n_trusted],
                       sizeof(p->trusted[0]) * (NETWORK_TRUSTED_MAX - p->n_trusted)) &&
               is_zero(&p->services[p->n_services],
                       sizeof(p->services[0]) * (NETWORK_SERVICES_MAX - p->n_services)) &&
               is_zero(&p->published[p->n_published],
                       sizeof(p->published[0]) * (NETWORK_PUBLISHED_MAX - p->n_published));
}

static bool check_policy(const LaunchMessage *msg) {
        const LaunchPolicy *p = &msg->policy;

        if (p->app_number == 0 || p->egress_closed > 1 || p->ingress_closed > 1 ||
            (p->ingress_closed && p->n_trusted > 0) || p->asked > 1 || p->reserved != 0)
                return false;
        if (p->n_rules > NETWORK_RULES_MAX || p->n_trusted > NETWORK_TRUSTED_MAX ||
            p->n_services > NETWORK_SERVICES_MAX || p->n_published > NETWORK_PUBLISHED_MAX)
                return false;
        if (p->serial == 0 &&
            (p->fixed_source != 0 || p->egress_closed != 0 || p->ingress_closed != 0 ||
             p->n_rules > 0 || p->n_trusted > 0 || p->n_services > 0 || p->n_published > 0))
                return false;

        return lists_are_valid(p);
}

static bool check_nothing(const LaunchMessage *msg) {
        return true;
}

static bool check_hello(const LaunchMessage *msg) {
        return FIELD_OK(msg->hello.instance) && instance_name_is_valid(msg->hello.instance);
}

static bool facts_are_valid(const LaunchDynoFacts *facts) {
        return start_is_valid(&facts->start) && facts->pid > 1 && facts->bound <= 1;
}

static bool check_facts(const LaunchMessage *msg) {
        return facts_are_valid(&msg->facts);
}

static bool check_reply(const LaunchMessage *msg) {
        return msg->reply.result <= 0 && msg->reply.layer <= _LAYER_ANY_MAX &&
               msg->reply.port <= UINT16_MAX && msg->reply.reserved == 0;
}

static bool check_source(const LaunchMessage *msg) {
        return msg->source.app_number != 0 && msg->source.gone <= 1;
}

static bool check_extracted(const LaunchMessage *msg) {
        return msg->extracted.result <= 0 && msg->extracted.layer <= _LAYER_ANY_MAX;
}

static bool check_started(const LaunchMessage *msg) {
        const LaunchStarted *started = &msg->started;

        return started->result <= 0 && started->layer <= _LAYER_ANY_MAX &&
               is_line(started->detail, sizeof(started->detail)) &&
               (started->result < 0 || facts_are_valid(&started->facts));
}

/* They are shown as words of commands. */
static bool check_blocker(const LaunchBlocker *b) {
        return b->hook < _FILTER_HOOK_MAX && b->kind < _FILTER_KIND_MAX &&
               b->owner < _FILTER_OWNER_MAX && FIELD_OK(b->table) &&
               filter_name_is_plain(b->table) && FIELD_OK(b->chain) &&
               filter_name_is_plain(b->chain);
}

static bool check_inspected(const LaunchMessage *msg) {
        const LaunchInspected *inspected = &msg->inspected;

        if (inspected->result > 0)
                return false;
        for (size_t i = 0; i < _LAYER_MAX; i++)
                if (inspected->layers[i].verdict >= _VERDICT_MAX ||
                    !is_line(inspected->layers[i].detail, sizeof(inspected->layers[i].detail)))
                        return false;

        for (size_t i = 0; i < _GUARD_MAX; i++)
                if (inspected->guards[i] >= _GUARD_STATE_MAX)
                        return false;
        if (inspected->n_blockers > BLOCKERS_MAX || inspected->n_shadowed > SHADOWED_MAX)
                return false;
        for (size_t i = 0; i < inspected->n_blockers; i++)
                if (!check_blocker(&inspected->blockers[i]))
                        return false;
        return true;
}

static bool check_exited(const LaunchMessage *msg) {
        return is_id(msg->exited.id) && msg->exited.status <= 255 &&
               (msg->exited.flags & ~(EXITED_OOM | EXITED_UNKNOWN | EXITED_PIDS_MAX)) == 0;
}

static bool check_fetched(const LaunchMessage *msg) {
        return msg->fetched.import != 0 && msg->fetched.result <= 0;
}

#define SUPERVISOR LAUNCH_FROM_SUPERVISOR
#define LAUNCHER LAUNCH_FROM_LAUNCHER

/* clang-format off */
static const LaunchTypeDef launch_types[_LAUNCH_TYPE_MAX] = {
        [LAUNCH_START]     = {sizeof(LaunchStart),     1, 2, SUPERVISOR, check_start},
        [LAUNCH_SIGNAL]    = {sizeof(LaunchSignal),    0, 0, SUPERVISOR, check_signal},
        [LAUNCH_KILL]      = {sizeof(LaunchDyno),      0, 0, SUPERVISOR, check_dyno},
        [LAUNCH_EXEC]      = {sizeof(LaunchDyno),      2, 2, SUPERVISOR, check_dyno},
        [LAUNCH_INSPECT]   = {sizeof(LaunchDyno),      0, 0, SUPERVISOR, check_dyno},
        [LAUNCH_FETCH]     = {sizeof(LaunchFetch),     1, 1, SUPERVISOR, check_fetch},
        [LAUNCH_EXTRACT]   = {sizeof(LaunchExtract),   1, 1, SUPERVISOR, check_extract},
        [LAUNCH_COMMIT]    = {sizeof(LaunchImport),    0, 0, SUPERVISOR, check_import},
        [LAUNCH_ABANDON]   = {sizeof(LaunchImport),    0, 0, SUPERVISOR, check_import},
        [LAUNCH_REMOVE]    = {sizeof(LaunchObject),    0, 0, SUPERVISOR, check_object},
        [LAUNCH_HOST]      = {sizeof(LaunchHeader),    0, 0, SUPERVISOR, check_nothing},
        [LAUNCH_POLICY]    = {sizeof(LaunchPolicy),    0, 0, SUPERVISOR, check_policy},

        [LAUNCH_HELLO]     = {sizeof(LaunchHello),     4, 4, LAUNCHER, check_hello},
        [LAUNCH_LOGGER]    = {sizeof(LaunchHeader),    1, 1, LAUNCHER, check_nothing},
        [LAUNCH_DYNO]      = {sizeof(LaunchDynoFacts), 0, 0, LAUNCHER, check_facts},
        [LAUNCH_READY]     = {sizeof(LaunchHeader),    0, 0, LAUNCHER, check_nothing},
        [LAUNCH_REPLY]     = {sizeof(LaunchReply),     0, 0, LAUNCHER, check_reply},
        [LAUNCH_STARTED]   = {sizeof(LaunchStarted),   0, 0, LAUNCHER, check_started},
        [LAUNCH_INSPECTED] = {sizeof(LaunchInspected), 0, 0, LAUNCHER, check_inspected},
        [LAUNCH_HOSTED]    = {sizeof(LaunchInspected), 0, 0, LAUNCHER, check_inspected},
        [LAUNCH_BOUND]     = {sizeof(LaunchDyno),      0, 0, LAUNCHER, check_dyno},
        [LAUNCH_EXITED]    = {sizeof(LaunchExited),    0, 0, LAUNCHER, check_exited},
        [LAUNCH_FETCHED]   = {sizeof(LaunchFetched),   0, 0, LAUNCHER, check_fetched},
        [LAUNCH_EXTRACTED] = {sizeof(LaunchExtracted), 0, 0, LAUNCHER, check_extracted},
        [LAUNCH_RELOADED]  = {sizeof(LaunchHeader),    1, 1, LAUNCHER, check_nothing},
        [LAUNCH_SOURCE]    = {sizeof(LaunchSource),    0, 0, LAUNCHER, check_source},
};
/* clang-format on */

int launch_message_check(const LaunchMessage *msg, size_t size, size_t n_fds, LaunchSide from) {
        const LaunchTypeDef *def;

        if (size < sizeof(LaunchHeader))
                return -EBADMSG;
        if (msg->header.type == _LAUNCH_INVALID || msg->header.type >= _LAUNCH_TYPE_MAX)
                return -EBADMSG;

        def = &launch_types[msg->header.type];
        if (def->from != from || def->size != size)
                return -EBADMSG;
        if (n_fds < def->min_fds || n_fds > def->max_fds)
                return -EBADMSG;
        if (!def->is_valid(msg))
                return -EBADMSG;

        /* An attached dyno has its socket, any other has none. */
        if (msg->header.type == LAUNCH_START &&
            ((msg->start.flags & LAUNCH_FLAG_ATTACHED) != 0) != (n_fds == 2))
                return -EBADMSG;

        return 0;
}

size_t launch_message_size(LaunchType type) {
        return type < _LAUNCH_TYPE_MAX ? launch_types[type].size : 0;
}

const char *launch_layer_to_string(LaunchLayer layer) {
        static const char *const names[_LAYER_ANY_MAX] = {
                [LAYER_NAMESPACES] = "namespaces",
                [LAYER_USER] = "user",
                [LAYER_CGROUP] = "cgroup",
                [LAYER_SECCOMP] = "seccomp",
                [LAYER_APPARMOR] = "apparmor",
                [LAYER_CAPABILITIES] = "capabilities",
                [LAYER_NO_NEW_PRIVS] = "no_new_privs",
                [LAYER_ROOTFS] = "rootfs",
                [LAYER_NETWORK] = "network",
                [LAYER_LIMITS] = "limits",
                [LAYER_STORE] = "store",
                [LAYER_MEMORY] = "memory",
                [LAYER_PROCESS] = "process",
        };

        return layer < _LAYER_ANY_MAX ? names[layer] : "dynod";
}

const char *launch_phase_to_string(LaunchPhase phase) {
        static const char *const names[_PHASE_MAX] = {
                [PHASE_SLOT] = "slot",
                [PHASE_CGROUP] = "cgroup",
                [PHASE_CLONE] = "clone",
                [PHASE_ROOTFS] = "rootfs",
                [PHASE_CONFINE] = "confine",
                [PHASE_EXEC] = "exec",
                [PHASE_VERIFY] = "verify",
        };

        return phase < _PHASE_MAX ? names[phase] : "?";
}

const char *layer_verdict_to_string(LayerVerdict verdict) {
        static const char *const names[_VERDICT_MAX] = {
                [VERDICT_OK] = "ok",
                [VERDICT_ALLOWED] = "allowed",
                [VERDICT_FAILED] = "failed",
        };

        return verdict < _VERDICT_MAX ? names[verdict] : "?";
}
