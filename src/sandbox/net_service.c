/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Ports of the host that are open to dynos: services at an address of their own, and
 * public_ports at the host's public addresses.
 *
 * The service address is on lo while an app has a service: every kernel has that link,
 * and no program has to live for it. Its label says that it is ours. The table keeps it
 * from everybody but dynos and the host, for a host answers to all its addresses on
 * all its links.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/net_internal.h"
#include "sandbox/net_link.h"

#define LOOPBACK_INDEX 1
#define LABEL_SIZE IFNAMSIZ /* "lo:" and an instance's name */

/* Routes as wide as this lead to everybody: VPNs halve the Internet. */
#define WIDE_PREFIX 7

static void own_label(const Net *net, char ret[LABEL_SIZE]) {
        static_assert(INSTANCE_NAME_SIZE + 3 <= LABEL_SIZE, "it fits");
        (void)snprintf(ret, LABEL_SIZE, "lo:%s", net->instance);
}

static int change_address(Net *net, int type, int flags) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
        struct ifaddrmsg address = {
                .ifa_family = AF_INET,
                .ifa_prefixlen = 32,
                .ifa_scope = RT_SCOPE_HOST, /* never the source of what leaves the host */
                .ifa_index = LOOPBACK_INDEX,
        };
        char label[LABEL_SIZE];

        own_label(net, label);
        if (!msg || nlmsg_append(msg, &address, sizeof(address), NLMSG_ALIGNTO) < 0 ||
            nla_put(msg, IFA_LOCAL, sizeof(net->service_address), &net->service_address) < 0 ||
            nla_put_string(msg, IFA_LABEL, label) < 0)
                return -ENOMEM;
        return net_rtnl_request(net->host, msg);
}

static bool has_services(const Net *net) {
        for (size_t i = 0; i < net->n_policies; i++)
                if (net->policies[i].said.n_services > 0)
                        return true;
        return false;
}

typedef struct AddressWalk {
        const Net *net;
        NetUplinks wide; /* links that a default route leaves by */
        struct in_addr public[NET_PUBLIC_MAX];
        size_t n_public, n_left_out;
        bool service_is_ours;
} AddressWalk;

static bool is_public(const AddressWalk *walk, const struct ifaddrmsg *message, struct in_addr a) {
        char link[IFNAMSIZ];

        return message->ifa_scope == RT_SCOPE_UNIVERSE && (ntohl(a.s_addr) >> 16) != 0xa9fe &&
               a.s_addr != walk->net->service_address.s_addr &&
               if_indextoname(message->ifa_index, link) && net_uplinks_contain(&walk->wide, link);
}

static int take_address(struct nlmsghdr *answer, void *userdata) {
        const struct ifaddrmsg *message = nlmsg_data(answer);
        struct nlattr *attrs[IFA_MAX + 1] = {0};
        AddressWalk *walk = userdata;
        char label[LABEL_SIZE];
        struct in_addr a;

        if (answer->nlmsg_type != RTM_NEWADDR || message->ifa_family != AF_INET ||
            nlmsg_parse(answer, sizeof(*message), attrs, IFA_MAX, NULL) < 0 || !attrs[IFA_LOCAL] ||
            nla_len(attrs[IFA_LOCAL]) != (int)sizeof(a))
                return 0;

        memcpy(&a, nla_data(attrs[IFA_LOCAL]), sizeof(a));
        own_label(walk->net, label);
        if (a.s_addr == walk->net->service_address.s_addr && attrs[IFA_LABEL] &&
            nla_strcmp(attrs[IFA_LABEL], label) == 0)
                walk->service_is_ours = true;
        if (!is_public(walk, message, a))
                return 0;
        if (walk->n_public < NET_PUBLIC_MAX)
                walk->public[walk->n_public++] = a;
        else
                walk->n_left_out++;
        return 0;
}

static void take_wide(const NetRoute *route, void *userdata) {
        NetUplinks *wide = userdata;

        if (route->type == RTN_UNICAST && route->prefix <= WIDE_PREFIX && route->link[0] != '\0' &&
            wide->n < NET_UPLINKS_MAX && !net_uplinks_contain(wide, route->link))
                memcpy(wide->name[wide->n++], route->link, IFNAMSIZ);
}

static int walk_addresses(Net *net, AddressWalk *ret) {
        int r;

        *ret = (AddressWalk){.net = net};
        r = net_host_routes(net->host, net->instance, take_wide, &ret->wide);
        if (r < 0)
                return r;
        do {
                _cleanup_(nlmsg_freep) struct nl_msg *msg =
                        nlmsg_alloc_simple(RTM_GETADDR, NLM_F_DUMP);
                struct ifaddrmsg all = {.ifa_family = AF_INET};

                ret->n_public = ret->n_left_out = 0;
                ret->service_is_ours = false;
                if (!msg || nlmsg_append(msg, &all, sizeof(all), NLMSG_ALIGNTO) < 0)
                        return -ENOMEM;
                r = net_rtnl_query(net->host, msg, take_address, ret);
        } while (r == -EINTR);
        return r;
}

int net_look_at_addresses(Net *net) {
        bool local = false;
        AddressWalk walk;
        int r;

        r = walk_addresses(net, &walk);
        if (r >= 0 && !walk.service_is_ours)
                r = net_host_is_local(net->host, net->service_address, &local);
        if (r < 0)
                return r;

        net->service_is_foreign = local;
        memcpy(net->public, walk.public, sizeof(net->public));
        net->n_public = walk.n_public;
        net->n_public_left_out = walk.n_left_out;
        return walk.service_is_ours;
}

int net_update_service_address(Net *net) {
        int r = net_look_at_addresses(net);

        if (r < 0)
                return r;
        if (has_services(net) && r == 0 && !net->service_is_foreign)
                r = change_address(net, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
        else if (!has_services(net) && r > 0)
                r = net_remove_service_address(net);
        return r == -EEXIST || r > 0 ? 0 : r;
}

int net_remove_service_address(Net *net) {
        AddressWalk walk;
        int r;

        r = walk_addresses(net, &walk);
        if (r < 0 || !walk.service_is_ours)
                return r;
        r = change_address(net, RTM_DELADDR, 0);
        return r == -EADDRNOTAVAIL ? 0 : r;
}

/* ---- public_ports ---- */

static size_t list_public(const Net *net, FirewallElement *ret) {
        size_t n = 0;

        for (size_t i = 0; i < net->n_public; i++) {
                struct in_addr address = net->public[i];

                for (size_t k = 0; k < net->n_public_ports; k++) {
                        const ConfigPort *port = &net->public_ports[k];

                        ret[n++] = (FirewallElement){
                                .set = FIREWALL_SET_PUBLIC,
                                .key = firewall_key_port(address, port->protocol, port->port),
                        };
                }
        }
        return n;
}

/* The tc half: opens what is new, closes what an address that is gone had open. */
static int open_public(Net *net, const struct in_addr *before, size_t n_before) {
        for (size_t k = 0; k < net->n_public_ports && net->tc_error >= 0; k++) {
                TcPort port = {
                        .protocol = net->public_ports[k].protocol,
                        .port = net->public_ports[k].port,
                };

                for (size_t i = 0; i < n_before; i++) {
                        port.address = before[i];
                        (void)tc_program_close_port(&net->tc, &port);
                }
                for (size_t i = 0; i < net->n_public; i++) {
                        int r;

                        port.address = net->public[i];
                        r = tc_program_open_port(&net->tc, &port);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int net_open_public(Net *net) {
        return open_public(net, NULL, 0);
}

int net_refresh_services(Net *net) {
        FirewallElement elements[NET_PUBLIC_MAX * CONFIG_PUBLIC_PORTS_MAX];
        struct in_addr before[NET_PUBLIC_MAX];
        size_t n_before = net->n_public;
        int r;

        memcpy(before, net->public, sizeof(before));
        r = net_update_service_address(net);
        if (r < 0)
                return r;
        if (net->n_public_ports == 0 ||
            (n_before == net->n_public &&
             memcmp(before, net->public, n_before * sizeof(before[0])) == 0))
                return 0;

        r = open_public(net, before, n_before);
        if (r < 0)
                return r;
        return firewall_refill(
                net->firewall, FIREWALL_SET_PUBLIC, elements, list_public(net, elements));
}

void net_write_public(FILE *out, void *userdata) {
        const Net *net = userdata;
        const char *before = "elements = {";

        for (size_t i = 0; i < net->n_public; i++)
                for (size_t k = 0; k < net->n_public_ports; k++) {
                        char address[INET_ADDRSTRLEN];

                        (void)inet_ntop(AF_INET, &net->public[i], address, sizeof(address));
                        (void)fprintf(
                                out,
                                "%s %s . %s . %u",
                                before,
                                address,
                                net->public_ports[k].protocol == IPPROTO_UDP ? "udp" : "tcp",
                                net->public_ports[k].port);
                        before = ",";
                }
        if (before[0] == ',')
                (void)fputs(" }", out);
}

/* The address of others stays open to whomever it was; that is then for them to restrict. */
void net_write_service_guard(FILE *out, void *userdata) {
        const Net *net = userdata;
        char address[INET_ADDRSTRLEN];

        if (net->service_is_foreign)
                return;
        (void)inet_ntop(AF_INET, &net->service_address, address, sizeof(address));
        (void)fprintf(out, "iifname != \"lo\" ip daddr %s drop", address);
}
