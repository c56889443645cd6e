/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/net_internal.h"
#include "sandbox/net_policy.h"

static NetPolicy *find(const Net *net, uint32_t app_number) {
        for (size_t i = 0; i < net->n_policies; i++)
                if (net->policies[i].said.app_number == app_number)
                        return &net->policies[i];
        return NULL;
}

const LaunchPolicy *net_policy_find(const Net *net, uint32_t app_number) {
        const NetPolicy *policy;

        assert(net);
        policy = find(net, app_number);
        return policy ? &policy->said : NULL;
}

size_t net_policy_count(const Net *net) {
        return net->n_policies;
}

bool net_policy_source_is_gone(const Net *net, uint32_t app_number) {
        const NetPolicy *policy = find(net, app_number);

        return policy && policy->source_is_gone;
}

bool net_policy_source_news(Net *net, uint32_t *ret_app_number) {
        assert(net);
        assert(ret_app_number);

        for (size_t i = 0; i < net->n_policies; i++) {
                NetPolicy *policy = &net->policies[i];

                if (policy->said_gone == policy->source_is_gone)
                        continue;
                policy->said_gone = policy->source_is_gone;
                *ret_app_number = policy->said.app_number;
                return true;
        }
        return false;
}

bool net_policy_equal(const LaunchPolicy *a, const LaunchPolicy *b) {
        LaunchPolicy left = *a;

        left.header = b->header;
        left.asked = b->asked;
        return memcmp(&left, b, sizeof(left)) == 0;
}

static int reserve(Net *net) {
        NetPolicy *policies = reallocarray(net->policies, net->n_policies + 1, sizeof(*policies));

        if (!policies)
                return -ENOMEM;
        net->policies = policies;
        return 0;
}

/* Nobody outside can answer to those that are only within the host. */
static bool is_inner_address(const Net *net, struct in_addr address) {
        uint32_t slot;

        return ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET ||
               address.s_addr == net->service_address.s_addr ||
               (net_plan_slot_of(net->network, address, &slot) >= 0 && slot < net->n_slots &&
                !net->slots[slot].overlaps);
}

static int has_source(Net *net, const LaunchPolicy *policy, bool *ret) {
        struct in_addr source = {.s_addr = policy->fixed_source};

        *ret = policy->fixed_source == 0;
        if (*ret || is_inner_address(net, source))
                return 0;
        return net_host_is_local(net->host, source, ret);
}

/* Not known is as good as gone. */
static void note_source(Net *net, NetPolicy *policy) {
        bool local = false;

        policy->source_is_gone = has_source(net, &policy->said, &local) < 0 || !local;
}

/* There is room for one more. */
static void keep(Net *net, const LaunchPolicy *policy) {
        NetPolicy *known = find(net, policy->app_number);

        if (!known && policy->serial != 0) {
                known = &net->policies[net->n_policies++];
                *known = (NetPolicy){.said_gone = false};
        }
        if (known && policy->serial != 0) {
                known->said = *policy;
                note_source(net, known);
        } else if (known)
                *known = net->policies[--net->n_policies];
}

int net_policy_restore(Net *net, const LaunchPolicy *policy) {
        int r;

        assert(net);
        assert(policy && policy->serial != 0);

        r = reserve(net);
        if (r < 0)
                return r;
        keep(net, policy);
        return 0;
}

static bool is_published(const LaunchPolicy *policy, uint16_t port) {
        for (size_t i = 0; i < policy->n_published; i++)
                if (policy->published[i].port == port)
                        return true;
        return false;
}

/* Only ports that the app does not have already: nothing else can listen on those. */
static int check_published(Net *net, const LaunchPolicy *policy, uint16_t *ret_taken) {
        const LaunchPolicy *before = net_policy_find(net, policy->app_number);
        uint16_t taken = 0;

        for (size_t i = 0; i < policy->n_published; i++) {
                uint16_t port = policy->published[i].port;
                int r;

                *ret_taken = port;
                for (size_t k = 0; k < net->n_policies; k++)
                        if (net->policies[k].said.app_number != policy->app_number &&
                            is_published(&net->policies[k].said, port))
                                return -EADDRINUSE;
                if (before && is_published(before, port))
                        continue;
                r = net_listen_check(net->listen, port);
                if (r < 0)
                        return r;
                /* The supervisor alone says that it was published before; the host's services stay. */
                if (r == NET_LISTENER_OF_SYSTEM || (r == NET_LISTENER_OF_USER && policy->asked))
                        return -EADDRINUSE;
                if (r == NET_LISTENER_OF_USER)
                        taken = port;
        }
        *ret_taken = taken;
        return 0;
}

static int check_source(Net *net, const LaunchPolicy *policy) {
        const LaunchPolicy *before = net_policy_find(net, policy->app_number);
        bool local;
        int r;

        if (!policy->asked || (before && before->fixed_source == policy->fixed_source))
                return 0;
        r = has_source(net, policy, &local);
        return r < 0 ? r : local ? 0 : -EADDRNOTAVAIL;
}

int net_policy_check(Net *net, const LaunchPolicy *policy, uint16_t *ret_taken) {
        int r;

        assert(net);
        assert(policy);
        assert(ret_taken);

        *ret_taken = 0;
        r = check_source(net, policy);
        return r < 0 ? r : check_published(net, policy, ret_taken);
}

/* ---- rules ---- */

static void write_map(FILE *out, const Net *net, const char *how, PolicyPart part) {
        const char *before = "elements = {";

        for (uint32_t slot = 0; slot < net->n_slots; slot++) {
                const NetSlot *s = &net->slots[slot];
                char link[IFNAMSIZ], chain[POLICY_NAME_SIZE];

                if (s->ifindex == 0 || !s->ruled)
                        continue;
                net_plan_link_name(net->instance, slot, link);
                policy_part_name(s->dyno.app_number, part, chain);
                (void)fprintf(out, "%s \"%s\" : %s %s", before, link, how, chain);
                before = ",";
        }
        if (before[0] == ',')
                (void)fputs(" }", out);
}

void net_write_policies(FILE *out, void *userdata) {
        write_map(out, userdata, "goto", POLICY_OUT);
}

void net_write_services(FILE *out, void *userdata) {
        write_map(out, userdata, "jump", POLICY_HOST);
}

void net_write_sources(FILE *out, void *userdata) {
        write_map(out, userdata, "jump", POLICY_SOURCE);
}

void net_write_seen(FILE *out, void *userdata) {
        write_map(out, userdata, "jump", POLICY_SEEN);
}

void net_write_clients(FILE *out, void *userdata) {
        write_map(out, userdata, "goto", POLICY_IN);
}

static void write_published(FILE *out, const Net *net) {
        const char *before = "elements = {";

        for (size_t i = 0; i < net->n_policies; i++) {
                const LaunchPolicy *policy = &net->policies[i].said;
                char chain[POLICY_NAME_SIZE];

                policy_part_name(policy->app_number, POLICY_PUBLISH, chain);
                for (size_t k = 0; k < policy->n_published; k++) {
                        (void)fprintf(
                                out, "%s %u : goto %s", before, policy->published[k].port, chain);
                        before = ",";
                }
        }
        if (before[0] == ',')
                (void)fputs(" }", out);
}

static void write_published_ports(FILE *out, const Net *net) {
        const char *before = "elements = {";

        for (size_t i = 0; i < net->n_policies; i++) {
                const LaunchPolicy *policy = &net->policies[i].said;

                for (size_t k = 0; k < policy->n_published; k++) {
                        (void)fprintf(out, "%s %u", before, policy->published[k].port);
                        before = ",";
                }
        }
        if (before[0] == ',')
                (void)fputs(" }", out);
}

void net_write_published(FILE *out, void *userdata) {
        write_published(out, userdata);
}

void net_write_published_ports(FILE *out, void *userdata) {
        write_published_ports(out, userdata);
}

/* The dynos that a published port leads to. */
static void write_spread(FILE *out, const Net *net, const LaunchPolicy *policy) {
        FirewallElement elements[POLICY_BUCKETS];
        char name[POLICY_NAME_SIZE];
        size_t n = 0;

        if (policy->n_published > 0)
                n = net_spread_elements(net, policy->app_number, elements);
        if (n == 0)
                return;
        policy_part_name(policy->app_number, POLICY_WEB, name);
        (void)fprintf(
                out,
                "map %s {\ntypeof numgen inc mod %d : ip daddr . tcp dport\n",
                name,
                POLICY_BUCKETS);
        for (size_t i = 0; i < n; i++) {
                const uint8_t *value = elements[i].value.bytes;
                char address[INET_ADDRSTRLEN];

                (void)inet_ntop(AF_INET, value, address, sizeof(address));
                (void)fprintf(
                        out,
                        "%s %zu : %s . %u",
                        i == 0 ? "elements = {" : ",",
                        i,
                        address,
                        (unsigned)(value[4] << 8 | value[5]));
        }
        (void)fputs(" }\n}\n", out);
}

static void write_app(FILE *out, const Net *net, const LaunchPolicy *policy) {
        const PolicyHost host = {
                .service_address = net->service_address,
                .source_is_gone = net_policy_source_is_gone(net, policy->app_number),
        };

        policy_rules_write(out, policy, &host);
        write_spread(out, net, policy);
}

void net_write_apps(FILE *out, void *userdata) {
        const Net *net = userdata;

        for (size_t i = 0; i < net->n_policies; i++)
                write_app(out, net, &net->policies[i].said);
}

void net_note_rules(Net *net) {
        for (size_t i = 0; i < net->n_policies; i++)
                note_source(net, &net->policies[i]);
        for (uint32_t slot = 0; slot < net->n_slots; slot++)
                net->slots[slot].ruled =
                        net->slots[slot].ifindex > 0 && find(net, net->slots[slot].dyno.app_number);
}

/*
 * One transaction: the app's parts are emptied and written anew. Links of its dynos that
 * began without a policy come into the maps; they stay there when the policy goes, for its
 * chains then restrict nothing.
 */
static int write_change(FILE *out, const Net *net, const LaunchPolicy *policy) {
        FirewallElement elements[NET_SLOT_ELEMENTS];

        (void)fprintf(out, "table inet %s {\n", net->instance);
        policy_rules_declare(out, policy->app_number);
        (void)fputs("}\n", out);
        policy_rules_flush(out, net->instance, policy->app_number);
        (void)fprintf(out, "flush map inet %s published\n", net->instance);
        (void)fprintf(out, "flush set inet %s published_ports\n", net->instance);

        (void)fprintf(out, "table inet %s {\n", net->instance);
        write_app(out, net, policy);
        (void)fputs("map published {\ntype inet_service : verdict\n", out);
        write_published(out, net);
        (void)fputs("\n}\nset published_ports {\ntype inet_service\n", out);
        write_published_ports(out, net);
        (void)fputs("\n}\n}\n", out);

        for (uint32_t slot = 0; slot < net->n_slots; slot++) {
                size_t n;

                if (net->slots[slot].ifindex == 0 ||
                    net->slots[slot].dyno.app_number != policy->app_number)
                        continue;
                n = net_slot_elements(net, slot, elements);
                for (size_t i = 0; i < n; i++) {
                        char link[IFNAMSIZ];

                        if (elements[i].data != FIREWALL_DATA_GOTO &&
                            elements[i].data != FIREWALL_DATA_JUMP)
                                continue;
                        net_plan_link_name(net->instance, slot, link);
                        (void)fprintf(
                                out,
                                "add element inet %s %s { \"%s\" : %s %s }\n",
                                net->instance,
                                elements[i].set,
                                link,
                                elements[i].data == FIREWALL_DATA_GOTO ? "goto" : "jump",
                                elements[i].chain);
                }
        }
        return ferror(out) ? -EIO : 0;
}

static int load_change(Net *net, const LaunchPolicy *policy) {
        _cleanup_fclose_ FILE *out = NULL;
        int r;

        r = net_rules_open(&out);
        if (r >= 0)
                r = write_change(out, net, policy);
        return r < 0 ? r : net_rules_load(net, out, false);
}

/*
 * Without its address the app's packets would leave with one that may be another host's
 * by now. Its dynos reach nothing until it is back.
 */
int net_refresh_policies(Net *net) {
        for (size_t i = 0; i < net->n_policies; i++) {
                NetPolicy *policy = &net->policies[i];
                bool before = policy->source_is_gone, local;
                int r;

                r = has_source(net, &policy->said, &local);
                if (r < 0)
                        return r;
                if (before == !local)
                        continue;
                policy->source_is_gone = !local;
                r = load_change(net, &policy->said);
                if (r != 0) {
                        policy->source_is_gone = before;
                        return r < 0 ? r : -EIO;
                }
        }
        return 0;
}

/* ---- services: the tc half ---- */

static TcPort service_port(const Net *net, uint32_t slot, const NetworkPort *service) {
        return (TcPort){
                .ifindex = net->slots[slot].ifindex,
                .address = net->service_address,
                .protocol = service->protocol,
                .port = service->port,
        };
}

int net_open_services(Net *net, uint32_t slot, const LaunchPolicy *policy) {
        for (size_t i = 0; i < policy->n_services && net->tc_error >= 0; i++) {
                const TcPort port = service_port(net, slot, &policy->services[i]);
                int r = tc_program_open_port(&net->tc, &port);

                if (r < 0)
                        return r;
        }
        return 0;
}

void net_close_services(Net *net, uint32_t slot, const LaunchPolicy *policy) {
        for (size_t i = 0; i < policy->n_services && net->tc_error >= 0; i++) {
                const TcPort port = service_port(net, slot, &policy->services[i]);

                (void)tc_program_close_port(&net->tc, &port);
        }
}

/* ---- change ---- */

static bool is_dyno_of(const Net *net, uint32_t slot, uint32_t app_number) {
        return net->slots[slot].ifindex > 0 && net->slots[slot].dyno.app_number == app_number;
}

static void set_ruled(Net *net, uint32_t app_number, bool ruled) {
        for (uint32_t slot = 0; slot < net->n_slots; slot++)
                if (is_dyno_of(net, slot, app_number))
                        net->slots[slot].ruled = ruled;
}

static bool has_service(const LaunchPolicy *policy, const NetworkPort *service) {
        for (size_t i = 0; i < policy->n_services; i++)
                if (policy->services[i].port == service->port &&
                    policy->services[i].protocol == service->protocol)
                        return true;
        return false;
}

/* What @opens does and @known does not. */
static LaunchPolicy services_beyond(const LaunchPolicy *opens, const LaunchPolicy *known) {
        LaunchPolicy beyond = {.app_number = opens->app_number};

        for (size_t i = 0; i < opens->n_services; i++)
                if (!has_service(known, &opens->services[i]))
                        beyond.services[beyond.n_services++] = opens->services[i];
        return beyond;
}

static int open_services(Net *net, const LaunchPolicy *policy) {
        for (uint32_t slot = 0; slot < net->n_slots; slot++) {
                int r = 0;

                if (is_dyno_of(net, slot, policy->app_number))
                        r = net_open_services(net, slot, policy);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void close_services(Net *net, const LaunchPolicy *policy) {
        for (uint32_t slot = 0; slot < net->n_slots; slot++)
                if (is_dyno_of(net, slot, policy->app_number))
                        net_close_services(net, slot, policy);
}

/* What is added opens when the table has it too, what goes is closed by the table at once. */
static int put_in_force(Net *net, const LaunchPolicy *before, const LaunchPolicy *policy) {
        LaunchPolicy added = services_beyond(policy, before);
        LaunchPolicy gone = services_beyond(before, policy);
        int r;

        r = open_services(net, &added);
        if (r == 0)
                r = load_change(net, policy);
        close_services(net, r == 0 ? &gone : &added);
        return r;
}

typedef struct AppWalk {
        const Net *net;
        uint32_t app_number;
} AppWalk;

static bool is_of_app(struct in_addr address, void *userdata) {
        const AppWalk *walk = userdata;
        uint32_t slot;

        return net_plan_slot_of(walk->net->network, address, &slot) >= 0 &&
               slot < walk->net->n_slots && is_dyno_of(walk->net, slot, walk->app_number);
}

/*
 * A connection keeps the address that it began with, and what has the wrong one is dropped.
 * Forgotten, what has no connection of its own (UDP) goes on with the new one.
 */
static void forget_source(Net *net, uint32_t app_number) {
        AppWalk walk = {.net = net, .app_number = app_number};

        (void)!conntrack_forget_opened(net->conntrack, is_of_app, &walk);
}

int net_policy_set(Net *net, const LaunchPolicy *policy) {
        LaunchPolicy before = {.app_number = policy->app_number};
        const LaunchPolicy *known;
        bool is_new;
        int r;

        assert(net);
        assert(policy);

        r = reserve(net);
        if (r < 0)
                return r;
        known = net_policy_find(net, policy->app_number);
        if (!known && policy->serial == 0)
                return 0;
        is_new = !known;
        if (known)
                before = *known;

        keep(net, policy);
        if (is_new)
                set_ruled(net, policy->app_number, true);
        r = net_update_service_address(net);
        if (r == 0)
                r = put_in_force(net, &before, policy);
        if (r == 0) {
                if (policy->fixed_source != before.fixed_source)
                        forget_source(net, policy->app_number);
                return 0;
        }

        keep(net, &before);
        (void)!net_update_service_address(net); /* as it was */
        if (is_new)
                set_ruled(net, policy->app_number, false);
        return r;
}

/* ---- for people ---- */

static void say_egress(FILE *out, const LaunchPolicy *policy) {
        const char *s = policy->n_rules == 1 ? "" : "s";

        if (policy->egress_closed && policy->n_rules > 0)
                (void)fprintf(out, "closed but for %u rule%s", policy->n_rules, s);
        else if (policy->egress_closed)
                (void)fputs("closed", out);
        else if (policy->n_rules > 0)
                (void)fprintf(out, "reaches the Internet but for %u rule%s", policy->n_rules, s);
        else
                (void)fputs("reaches the Internet", out);
}

static void say_ports(FILE *out, const char *what, const NetworkPort *ports, size_t n) {
        enum { SAID_MAX = 5 }; /* of a line */

        for (size_t i = 0; i < n && i < SAID_MAX; i++)
                (void)fprintf(
                        out,
                        "%s%u%s",
                        i == 0 ? what : " ",
                        ports[i].port,
                        ports[i].protocol == IPPROTO_UDP ? "/udp" : "");
        if (n > SAID_MAX)
                (void)fprintf(out, " and %zu more", n - SAID_MAX);
}

void net_policy_describe(const Net *net, uint32_t app_number, char *text, size_t size) {
        static const LaunchPolicy none = {.serial = 0};
        const LaunchPolicy *policy = net_policy_find(net, app_number);
        _cleanup_fclose_ FILE *out = NULL;
        char source[INET_ADDRSTRLEN];

        assert(size > 0);

        text[0] = '\0';
        out = fmemopen(text, size, "w");
        if (!out)
                return;
        if (!policy)
                policy = &none;
        (void)inet_ntop(AF_INET, &policy->fixed_source, source, sizeof(source));
        if (net_policy_source_is_gone(net, app_number))
                (void)fprintf(out, "reaches nothing, no address of the host: %s", source);
        else
                say_egress(out, policy);
        if (policy->fixed_source != 0 && !net_policy_source_is_gone(net, app_number))
                (void)fprintf(out, " as %s", source);
        say_ports(out, ", services ", policy->services, policy->n_services);
        say_ports(out, ", published ", policy->published, policy->n_published);
        (void)fflush(out);
        text[size - 1] = '\0'; /* what does not fit is left out */
}
