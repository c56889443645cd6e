/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a slot has because of the dyno in it: its app's policy, limits of bandwidth and of
 * connections, its share of published ports. All of it is an element of a set or a number
 * on a link; slots are made ready before anybody knows whose they will be.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/parse.h"
#include "sandbox/net_internal.h"
#include "sandbox/net_link.h"
#include "sandbox/net_policy.h"
#include "sandbox/tc_filter.h"
#include "sandbox/tc_shaper.h"

static void
add(const Net *net,
    uint32_t slot,
    const char *set,
    FirewallElement value,
    FirewallElement *ret,
    size_t *n) {
        char name[IFNAMSIZ];

        assert(*n < NET_SLOT_ELEMENTS);

        net_plan_link_name(net->instance, slot, name);
        value.set = set;
        value.key = firewall_key_uplink(name);
        ret[(*n)++] = value;
}

/*
 * Tracked connections are counted in classes, powers of two: a set's element cannot have
 * a number of its own here, for the kernel removes it as soon as it counts none.
 */
#define COUNT_CLASSES 21 /* 1 to 1048576, more than a size can have */

static uint32_t count_class(uint32_t connections) {
        uint32_t class = 1;

        while (class <= connections / 2 && class < UINT32_C(1) << (COUNT_CLASSES - 1))
                class *= 2;
        return class;
}

static void count_chain(uint32_t connections, const char *way, char ret[FIREWALL_CHAIN_SIZE]) {
        (void)snprintf(
                ret, FIREWALL_CHAIN_SIZE, "count-%" PRIu32 "-%s", count_class(connections), way);
}

static FirewallElement to_chain(FirewallData how, uint32_t app_number, PolicyPart part) {
        FirewallElement e = {.data = how};

        static_assert(FIREWALL_CHAIN_SIZE >= POLICY_NAME_SIZE, "the names fit");
        policy_part_name(app_number, part, e.chain);
        return e;
}

size_t net_slot_elements(const Net *net, uint32_t slot, FirewallElement *ret) {
        const NetSlot *s = &net->slots[slot];
        uint32_t app = s->dyno.app_number;
        size_t n = 0;

        if (s->ruled) {
                add(net,
                    slot,
                    FIREWALL_MAP_POLICIES,
                    to_chain(FIREWALL_DATA_GOTO, app, POLICY_OUT),
                    ret,
                    &n);
                add(net,
                    slot,
                    FIREWALL_MAP_SERVICES,
                    to_chain(FIREWALL_DATA_JUMP, app, POLICY_HOST),
                    ret,
                    &n);
                add(net,
                    slot,
                    FIREWALL_MAP_SOURCES,
                    to_chain(FIREWALL_DATA_JUMP, app, POLICY_SOURCE),
                    ret,
                    &n);
                add(net,
                    slot,
                    FIREWALL_MAP_SEEN,
                    to_chain(FIREWALL_DATA_JUMP, app, POLICY_SEEN),
                    ret,
                    &n);
                add(net,
                    slot,
                    FIREWALL_MAP_CLIENTS,
                    to_chain(FIREWALL_DATA_GOTO, app, POLICY_IN),
                    ret,
                    &n);
        }
        if (s->dyno.connection_rate > 0) {
                FirewallElement rate = {
                        .data = FIREWALL_DATA_RATE, .limit = s->dyno.connection_rate};

                add(net, slot, FIREWALL_SET_RATES_FROM, rate, ret, &n);
                add(net, slot, FIREWALL_SET_RATES_TO, rate, ret, &n);
        }
        if (s->dyno.connections > 0) {
                FirewallElement from = {.data = FIREWALL_DATA_GOTO}, to = from;

                count_chain(s->dyno.connections, "from", from.chain);
                count_chain(s->dyno.connections, "to", to.chain);
                add(net, slot, FIREWALL_MAP_COUNTS_FROM, from, ret, &n);
                add(net, slot, FIREWALL_MAP_COUNTS_TO, to, ret, &n);
        }
        return n;
}

void net_write_rates(FILE *out, void *userdata) {
        const char *before = "elements = {";
        const Net *net = userdata;

        for (uint32_t slot = 0; slot < net->n_slots; slot++) {
                uint32_t rate = net->slots[slot].dyno.connection_rate;
                char link[IFNAMSIZ];

                if (net->slots[slot].ifindex == 0 || rate == 0)
                        continue;
                net_plan_link_name(net->instance, slot, link);
                (void)fprintf(
                        out,
                        "%s \"%s\" limit rate over %" PRIu32 "/second burst %" PRIu32 " packets",
                        before,
                        link,
                        rate,
                        rate);
                before = ",";
        }
        if (before[0] == ',')
                (void)fputs(" }", out);
}

static void write_counts(FILE *out, const Net *net, const char *way) {
        const char *before = "elements = {";

        for (uint32_t slot = 0; slot < net->n_slots; slot++) {
                char link[IFNAMSIZ], chain[FIREWALL_CHAIN_SIZE];

                if (net->slots[slot].ifindex == 0 || net->slots[slot].dyno.connections == 0)
                        continue;
                net_plan_link_name(net->instance, slot, link);
                count_chain(net->slots[slot].dyno.connections, way, chain);
                (void)fprintf(out, "%s \"%s\" : goto %s", before, link, chain);
                before = ",";
        }
        if (before[0] == ',')
                (void)fputs(" }", out);
}

void net_write_counts_from(FILE *out, void *userdata) {
        write_counts(out, userdata, "from");
}

void net_write_counts_to(FILE *out, void *userdata) {
        write_counts(out, userdata, "to");
}

/*
 * TCP's new connections a second in a class. What has closed is not counted; of that, with what
 * comes in NET_CLOSED_SEC and a burst of one second more, there is no more than the class.
 */
static uint32_t class_rate(uint32_t class) {
        return class > NET_CLOSED_SEC ? class / (NET_CLOSED_SEC + 1) : 1;
}

static void write_opened(FILE *out, uint32_t class, const char *way, const char *link) {
        (void)fprintf(
                out,
                "set opened-%" PRIu32 "-%s {\ntype ifname\nsize %d\nflags dynamic\n}\n",
                class,
                way,
                CONFIG_DYNOS_MAX);
        (void)fprintf(
                out,
                "chain open-%" PRIu32 "-%s {\nmeta l4proto tcp add @opened-%" PRIu32
                "-%s { %s limit rate over %" PRIu32 "/second burst %" PRIu32 " packets } drop\n}\n",
                class,
                way,
                class,
                way,
                link,
                class_rate(class),
                class_rate(class));
}

/*
 * The kernel looks through all that an element counts when it is to count one more, with
 * softirqs off: 6 ms for 16384. So a large class is counted in parts, at random: who has four
 * fifths of it is refused one now and then, and gets it when he tries again.
 */
#define PARTS 16 /* of classes that have many for each */
#define PART_MIN 128

static void write_counted(FILE *out, uint32_t class, const char *way, const char *link) {
        uint32_t parts = class >= PARTS * PART_MIN ? PARTS : 1;
        char key[64];

        (void)snprintf(key, sizeof(key), "%s . numgen random mod %" PRIu32, link, parts);
        (void)fprintf(
                out,
                "set counted-%" PRIu32 "-%s {\ntypeof %s\nsize %" PRIu32 "\nflags dynamic\n}\n",
                class,
                way,
                key,
                CONFIG_DYNOS_MAX * parts);
        (void)fprintf(
                out,
                "chain count-%" PRIu32 "-%s {\njump open-%" PRIu32 "-%s\nadd @counted-%" PRIu32
                "-%s { %s ct count over %" PRIu32 " } drop\n}\n",
                class,
                way,
                class,
                way,
                class,
                way,
                key,
                class / parts);
}

/* The elements of their sets come with the first packet. */
void net_write_count_classes(FILE *out, void *userdata) {
        static const char *const ways[][2] = {{"from", "iifname"}, {"to", "oifname"}};

        for (unsigned i = 0; i < COUNT_CLASSES; i++)
                for (unsigned way = 0; way < ARRAY_SIZE(ways); way++) {
                        write_opened(out, UINT32_C(1) << i, ways[way][0], ways[way][1]);
                        write_counted(out, UINT32_C(1) << i, ways[way][0], ways[way][1]);
                }
}

/* ---- bandwidth ---- */

/*
 * Opens a socket in a dyno's network namespace.
 *
 * Safe as in net_slot.c: one thread, nothing runs in between, and no way back is the end.
 */
static int open_inside(Net *net, int netns_fd, NetRtnl **ret) {
        int r;

        if (setns(netns_fd, CLONE_NEWNET) < 0)
                return -errno;
        r = net_rtnl_open(ret);
        if (setns(net->host_netns_fd, CLONE_NEWNET) < 0)
                abort();
        return r;
}

static int
find_inside(Net *net, int netns_fd, NetRtnl **ret, int *ret_ifindex, unsigned *ret_flags) {
        int r;

        if (netns_fd < 0)
                return -ENODEV;
        r = open_inside(net, netns_fd, ret);
        return r < 0 ? r : net_link_find(*ret, NET_DYNO_LINK, ret_ifindex, ret_flags);
}

/*
 * Each end holds back what is sent into it: the host's what goes to the dyno, the dyno's
 * what comes from it. The dyno cannot change its own: its network namespace belongs to the
 * host's user namespace, in which it has no capability.
 */
static int shape(Net *net, uint32_t slot, int netns_fd) {
        _cleanup_(net_rtnl_freep) NetRtnl *inside = NULL;
        uint64_t bandwidth = net->slots[slot].dyno.bandwidth;
        int ifindex, r;

        r = tc_shaper_set(net->host, net->slots[slot].ifindex, bandwidth);
        if (r < 0)
                return r;
        r = find_inside(net, netns_fd, &inside, &ifindex, NULL);
        return r < 0 ? r : tc_shaper_set(inside, ifindex, bandwidth);
}

/* ---- groups ---- */

int net_filter_inside(Net *net, NetRtnl *inside, int ifindex) {
        int r;

        if (net->tc_error < 0)
                return 0; /* as on the host's end */

        r = tc_filter_attach_inside(inside, ifindex, &net->tc);
        return r < 0 ? r : tc_filter_attach_inside(inside, LOOPBACK_INDEX, &net->tc);
}

/* 0 or -ENOENT. */
static int check_filter_inside(Net *net, NetRtnl *inside, int ifindex) {
        int r;

        if (net->tc_error < 0)
                return 0;

        r = tc_filter_check_inside(inside, ifindex, &net->tc);
        return r < 0 ? r : tc_filter_check_inside(inside, LOOPBACK_INDEX, &net->tc);
}

/* ---- published ports ---- */

size_t net_spread_elements(const Net *net, uint32_t app_number, FirewallElement *ret) {
        const NetSlot *listening[POLICY_BUCKETS];
        uint32_t slots[POLICY_BUCKETS];
        size_t n = 0;

        for (uint32_t slot = 0; slot < net->n_slots && n < POLICY_BUCKETS; slot++) {
                const NetSlot *s = &net->slots[slot];

                if (s->ifindex > 0 && s->listens && s->web_port > 0 &&
                    s->dyno.app_number == app_number) {
                        listening[n] = s;
                        slots[n++] = slot;
                }
        }
        for (uint32_t i = 0; i < POLICY_BUCKETS && n > 0; i++)
                ret[i] = (FirewallElement){
                        .key = firewall_key_number(i),
                        .data = FIREWALL_DATA_VALUE,
                        .value = firewall_key_web(
                                net_plan_address(net->network, slots[i % n]).dyno,
                                listening[i % n]->web_port),
                };
        return n > 0 ? POLICY_BUCKETS : 0;
}

int net_spread(Net *net, uint32_t app_number) {
        const LaunchPolicy *policy = net_policy_find(net, app_number);
        FirewallElement elements[POLICY_BUCKETS];
        char name[POLICY_NAME_SIZE];
        size_t n;

        if (!policy || policy->n_published == 0)
                return 0;
        policy_part_name(app_number, POLICY_WEB, name);
        n = net_spread_elements(net, app_number, elements);
        return firewall_refill(net->firewall, name, elements, n);
}

int net_slot_listens(Net *net, uint32_t slot, bool listens) {
        assert(net);
        assert(slot < net->n_slots);

        if (net->slots[slot].listens == listens)
                return 0;
        net->slots[slot].listens = listens;
        return net_spread(net, net->slots[slot].dyno.app_number);
}

/* ---- life ---- */

#define HOST_CONNECTIONS_PATH "/proc/sys/net/netfilter/nf_conntrack_max"
/* Of the host's table one dyno gets an eighth at most: this part for each way. */
#define HOST_SHARE 16

void net_take_dyno(NetSlot *slot, const NetDyno *dyno) {
        char text[16];
        uint32_t host;

        slot->dyno = *dyno;
        if (dyno->app_number == 0) /* a slot made ahead: nobody is in there */
                return;
        /* Its module may not be loaded yet: then the size's limit holds alone. */
        if (read_text_at(AT_FDCWD, HOST_CONNECTIONS_PATH, text, sizeof(text)) < 0)
                return;
        text[strcspn(text, "\n")] = '\0';
        if (parse_u32(text, &host) < 0 || host < HOST_SHARE)
                return;
        if (dyno->connections == 0 || dyno->connections > host / HOST_SHARE)
                slot->dyno.connections = host / HOST_SHARE;
}

int net_slot_begin(Net *net, uint32_t slot, int netns_fd, const NetDyno *dyno) {
        FirewallElement elements[NET_SLOT_ELEMENTS];
        const LaunchPolicy *policy;
        NetSlot *s;
        int r;

        assert(net);
        assert(slot < net->n_slots && net->slots[slot].ifindex > 0);
        assert(dyno && dyno->app_number > 0);

        s = &net->slots[slot];
        net_take_dyno(s, dyno);
        s->listens = false;
        policy = net_policy_find(net, dyno->app_number);
        s->ruled = policy;
        r = firewall_add_elements(net->firewall, elements, net_slot_elements(net, slot, elements));
        if (r >= 0 && policy)
                r = net_open_services(net, slot, policy);
        if (r >= 0)
                r = shape(net, slot, netns_fd);
        return r;
}

int net_dyno_converge(Net *net, uint32_t slot, int netns_fd) {
        const LaunchPolicy *policy = net_policy_find(net, net->slots[slot].dyno.app_number);
        _cleanup_(net_rtnl_freep) NetRtnl *inside = NULL;
        int ifindex, r = 0;

        if (policy)
                r = net_open_services(net, slot, policy);
        if (r >= 0)
                r = shape(net, slot, netns_fd);
        if (r >= 0)
                r = find_inside(net, netns_fd, &inside, &ifindex, NULL);
        return r < 0 ? r : net_filter_inside(net, inside, ifindex);
}

int net_dyno_end(Net *net, uint32_t slot) {
        NetSlot *s = &net->slots[slot];
        const LaunchPolicy *policy;
        int result;

        result = net_slot_listens(net, slot, false);
        policy = net_policy_find(net, s->dyno.app_number);
        if (policy)
                net_close_services(net, slot, policy);
        s->dyno = (NetDyno){0};
        s->ruled = false;
        return result;
}

/* ---- read-back ---- */

/* Nothing of another dyno, in any of the sets that go by the link. */
static bool is_clean(Net *net, const FirewallElement *own, size_t n, uint32_t slot) {
        static const char *const sets[] = {
                FIREWALL_MAP_POLICIES,
                FIREWALL_MAP_SERVICES,
                FIREWALL_MAP_SOURCES,
                FIREWALL_MAP_SEEN,
                FIREWALL_MAP_CLIENTS,
                FIREWALL_SET_RATES_FROM,
                FIREWALL_SET_RATES_TO,
                FIREWALL_MAP_COUNTS_FROM,
                FIREWALL_MAP_COUNTS_TO,
        };
        FirewallKey key;
        char name[IFNAMSIZ];

        net_plan_link_name(net->instance, slot, name);
        key = firewall_key_uplink(name);
        for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
                bool wanted = false;

                for (size_t k = 0; k < n; k++)
                        wanted |= strcmp(own[k].set, sets[i]) == 0;
                if (!wanted && firewall_check(net->firewall, sets[i], &key) != -ENOENT)
                        return false;
        }
        return true;
}

static const char *service_fault(Net *net, uint32_t slot, const LaunchPolicy *policy) {
        for (size_t i = 0; i < policy->n_services; i++) {
                const TcPort port = {
                        .ifindex = net->slots[slot].ifindex,
                        .address = net->service_address,
                        .protocol = policy->services[i].protocol,
                        .port = policy->services[i].port,
                };

                if (net->tc_error >= 0 && tc_program_check_port(&net->tc, &port) < 0)
                        return "a service is not open in the tc filter";
        }
        return NULL;
}

static bool is_limit(const FirewallElement *element) {
        return element->data == FIREWALL_DATA_RATE ||
               strcmp(element->set, FIREWALL_MAP_COUNTS_FROM) == 0 ||
               strcmp(element->set, FIREWALL_MAP_COUNTS_TO) == 0;
}

/* Is the link end of that namespace held back to what the dyno may send or get? 0 or -ENOENT. */
static int check_shape(NetRtnl *rtnl, int ifindex, const NetDyno *dyno) {
        uint64_t bandwidth;
        int r = tc_shaper_get(rtnl, ifindex, &bandwidth);

        return r < 0 || bandwidth == dyno->bandwidth ? r : -ENOENT;
}

int net_check_inside(Net *net, uint32_t slot, int netns_fd, char *detail, size_t size) {
        _cleanup_(net_rtnl_freep) NetRtnl *inside = NULL;
        const char *fault = "the dyno's end of the link cannot be read";
        unsigned flags = 0;
        int ifindex, r;

        r = find_inside(net, netns_fd, &inside, &ifindex, &flags);
        if (r >= 0) {
                r = check_shape(inside, ifindex, &net->slots[slot].dyno);
                if (r == -ENOENT)
                        fault = "bandwidth is not limited as it must be at the dyno's end";
        }
        if (r >= 0) {
                r = check_filter_inside(net, inside, ifindex);
                if (r == -ENOENT)
                        fault = "tc filter is gone at the dyno's end";
        }
        if (r >= 0 && !(flags & IFF_NOARP)) {
                r = -ENOENT;
                fault = "the dyno's end of the link speaks ARP";
        }
        if (r >= 0)
                return 0;
        (void)snprintf(detail, size, "%s", fault);
        return r == -ENOENT ? NET_E_MISSING : r;
}

const char *net_dyno_fault(Net *net, uint32_t slot, int *r) {
        const NetSlot *s = &net->slots[slot];
        const LaunchPolicy *policy = net_policy_find(net, s->dyno.app_number);
        FirewallElement elements[NET_SLOT_ELEMENTS];
        size_t n;

        n = net_slot_elements(net, slot, elements);
        for (size_t i = 0; i < n; i++) {
                *r = firewall_check_element(net->firewall, &elements[i]);
                if (*r == -ENOENT)
                        return is_limit(&elements[i])
                                       ? "a limit of connections is not in the nftables table"
                                       : "network policy is not in the nftables table";
                if (*r < 0)
                        return NULL;
        }
        if (!is_clean(net, elements, n, slot))
                return "the nftables table has rules of another dyno for it";
        *r = check_shape(net->host, s->ifindex, &s->dyno);
        if (*r < 0)
                return *r == -ENOENT ? "bandwidth is not limited as it must be" : NULL;
        return policy ? service_fault(net, slot, policy) : NULL;
}
