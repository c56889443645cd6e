/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <netlink/addr.h>
#include <netlink/attr.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <string.h>

#include "sandbox/net_link.h"

static void rtnl_link_putp(struct rtnl_link **link) {
        if (*link)
                rtnl_link_put(*link);
}

static void nl_addr_putp(struct nl_addr **addr) {
        if (*addr)
                nl_addr_put(*addr);
}

static void rtnl_addr_putp(struct rtnl_addr **addr) {
        if (*addr)
                rtnl_addr_put(*addr);
}

static void rtnl_neigh_putp(struct rtnl_neigh **neigh) {
        if (*neigh)
                rtnl_neigh_put(*neigh);
}

static void rtnl_route_putp(struct rtnl_route **route) {
        if (*route)
                rtnl_route_put(*route);
}

static struct nl_addr *ipv4_addr(struct in_addr address, uint8_t prefix) {
        struct nl_addr *addr = nl_addr_build(AF_INET, &address, sizeof(address));

        if (addr)
                nl_addr_set_prefixlen(addr, prefix);
        return addr;
}

static int set_mac(struct rtnl_link *link, NetEnd end, uint32_t slot) {
        _cleanup_(nl_addr_putp) struct nl_addr *addr = NULL;
        uint8_t mac[NET_MAC_SIZE];

        net_plan_mac(end, slot, mac);
        addr = nl_addr_build(AF_LLC, mac, sizeof(mac));
        if (!addr)
                return -ENOMEM;

        rtnl_link_set_addr(link, addr);
        return 0;
}

int net_link_make_pair(NetRtnl *host, const char *name, uint32_t slot, int netns_fd) {
        _cleanup_(rtnl_link_putp) struct rtnl_link *link = NULL;
        _cleanup_(nlmsg_freep) struct nl_msg *msg = NULL;
        struct rtnl_link *peer;

        assert(host);
        assert(name);
        assert(netns_fd >= 0);

        link = rtnl_link_veth_alloc();
        if (!link)
                return -ENOMEM;
        peer = rtnl_link_veth_get_peer(link);
        rtnl_link_put(peer); /* the reference that get_peer took; @link holds its own */

        rtnl_link_set_name(link, name);
        rtnl_link_set_name(peer, NET_DYNO_LINK);
        if (set_mac(link, NET_END_HOST, slot) < 0 || set_mac(peer, NET_END_DYNO, slot) < 0)
                return -ENOMEM;
        rtnl_link_set_num_tx_queues(link, 1);
        rtnl_link_set_num_rx_queues(link, 1);
        rtnl_link_set_num_tx_queues(peer, 1);
        rtnl_link_set_num_rx_queues(peer, 1);
        /* Born there: moving a link between namespaces waits for RCU under the rtnl lock. */
        rtnl_link_set_ns_fd(peer, netns_fd);

        if (rtnl_link_build_add_request(link, NLM_F_CREATE | NLM_F_EXCL, &msg) < 0)
                return -ENOMEM;

        return net_rtnl_request(host, msg);
}

static struct nl_msg *link_message(int type, int ifindex, unsigned flags) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = nlmsg_alloc_simple(type, 0);
        struct ifinfomsg info = {
                .ifi_family = AF_UNSPEC,
                .ifi_index = ifindex,
                .ifi_flags = flags,
                .ifi_change = flags,
        };

        if (!msg || nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO) < 0)
                return NULL;
        return TAKE_PTR(msg);
}

int net_link_remove(NetRtnl *rtnl, int ifindex) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = link_message(RTM_DELLINK, ifindex, 0);

        assert(ifindex > 0);
        return net_rtnl_request(rtnl, msg);
}

/* Sets *@userdata, a group, to 0 if a link has it. */
static int find_group(struct nlmsghdr *answer, void *userdata) {
        struct nlattr *attrs[IFLA_MAX + 1] = {0};
        uint32_t *group = userdata;

        if (answer->nlmsg_type == RTM_NEWLINK &&
            nlmsg_parse(answer, sizeof(struct ifinfomsg), attrs, IFLA_MAX, NULL) >= 0 &&
            attrs[IFLA_GROUP] && nla_get_u32(attrs[IFLA_GROUP]) == *group)
                *group = 0;
        return 0;
}

static int remove_group(NetRtnl *host, const int *ifindex, size_t n, uint32_t group) {
        _cleanup_(nlmsg_freep) struct nl_msg *remove = link_message(RTM_DELLINK, 0, 0);

        for (size_t i = 0; i < n; i++) {
                _cleanup_(nlmsg_freep) struct nl_msg *msg = NULL;
                int r;

                msg = link_message(RTM_SETLINK, ifindex[i], 0);
                if (!msg || nla_put_u32(msg, IFLA_GROUP, group) < 0)
                        return -ENOMEM;
                r = net_rtnl_request(host, msg);
                if (r < 0 && r != -ENODEV)
                        return r;
        }

        if (!remove || nla_put_u32(remove, IFLA_GROUP, group) < 0)
                return -ENOMEM;
        return net_rtnl_request(host, remove);
}

int net_link_remove_all(NetRtnl *host, const int *ifindex, size_t n, uint32_t group) {
        _cleanup_(nlmsg_freep) struct nl_msg *list = link_message(RTM_GETLINK, 0, 0);
        uint32_t free_group = group;
        int r;

        assert(group != 0); /* everybody's */

        if (n > 1) {
                if (list)
                        nlmsg_hdr(list)->nlmsg_flags |= NLM_F_DUMP;
                r = net_rtnl_query(host, list, find_group, &free_group);
                if (r >= 0 && free_group == group) {
                        r = remove_group(host, ifindex, n, group);
                        return r == -ENODEV ? 0 : r;
                }
        }

        for (size_t i = 0; i < n; i++) {
                r = net_link_remove(host, ifindex[i]);
                if (r < 0 && r != -ENODEV)
                        return r;
        }
        return 0;
}

static int take_info(struct nlmsghdr *answer, void *userdata) {
        if (answer->nlmsg_type == RTM_NEWLINK)
                *(struct ifinfomsg *)userdata = *(const struct ifinfomsg *)nlmsg_data(answer);
        return 0;
}

int net_link_find(NetRtnl *rtnl, const char *name, int *ret_ifindex, unsigned *ret_flags) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = link_message(RTM_GETLINK, 0, 0);
        struct ifinfomsg info = {0};
        int r;

        assert(name);
        assert(ret_ifindex);

        if (!msg || nla_put_string(msg, IFLA_IFNAME, name) < 0)
                return -ENOMEM;

        r = net_rtnl_query(rtnl, msg, take_info, &info);
        if (r < 0)
                return r;
        if (info.ifi_index <= 0)
                return -ENODEV;

        *ret_ifindex = info.ifi_index;
        if (ret_flags)
                *ret_flags = info.ifi_flags;
        return 0;
}

static int put_inet_conf(struct nl_msg *msg) {
        struct nlattr *inet, *conf;

        inet = nla_nest_start(msg, AF_INET);
        conf = inet ? nla_nest_start(msg, IFLA_INET_CONF) : NULL;
        if (!conf || nla_put_u32(msg, IPV4_DEVCONF_FORWARDING, 1) < 0 ||
            nla_put_u32(msg, IPV4_DEVCONF_RP_FILTER, 1) < 0 ||
            nla_put_u32(msg, IPV4_DEVCONF_ACCEPT_REDIRECTS, 0) < 0 ||
            nla_put_u32(msg, IPV4_DEVCONF_SEND_REDIRECTS, 0) < 0 ||
            nla_put_u32(msg, IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, 0) < 0 ||
            nla_put_u32(msg, IPV4_DEVCONF_ROUTE_LOCALNET, 0) < 0)
                return -ENOMEM;
        nla_nest_end(msg, conf);
        nla_nest_end(msg, inet);
        return 0;
}

static int put_inet6_conf(struct nl_msg *msg) {
        struct nlattr *inet6 = nla_nest_start(msg, AF_INET6);

        if (!inet6 || nla_put_u8(msg, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE) < 0)
                return -ENOMEM;
        nla_nest_end(msg, inet6);
        return 0;
}

int net_link_configure(NetRtnl *host, int ifindex, bool ipv6) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = link_message(RTM_SETLINK, ifindex, 0);
        struct nlattr *spec;

        assert(ifindex > 0);

        /* Forwarding on this link alone: the host's own setting is not touched. */
        spec = msg ? nla_nest_start(msg, IFLA_AF_SPEC) : NULL;
        if (!spec || put_inet_conf(msg) < 0 || (ipv6 && put_inet6_conf(msg) < 0))
                return -ENOMEM;
        nla_nest_end(msg, spec);

        return net_rtnl_request(host, msg);
}

int net_link_up(NetRtnl *rtnl, int ifindex) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = link_message(RTM_SETLINK, ifindex, IFF_UP);

        assert(ifindex > 0);
        return net_rtnl_request(rtnl, msg);
}

static struct rtnl_addr *address_of(int ifindex, struct in_addr address, uint8_t prefix) {
        _cleanup_(nl_addr_putp) struct nl_addr *local = ipv4_addr(address, prefix);
        struct rtnl_addr *addr = rtnl_addr_alloc();

        assert(ifindex > 0);

        if (!addr || !local || rtnl_addr_set_local(addr, local) < 0) {
                rtnl_addr_putp(&addr);
                return NULL;
        }
        rtnl_addr_set_ifindex(addr, ifindex);
        return addr;
}

int net_link_up_without_arp(NetRtnl *rtnl, int ifindex) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg =
                link_message(RTM_SETLINK, ifindex, IFF_UP | IFF_NOARP);

        assert(ifindex > 0);
        return net_rtnl_request(rtnl, msg);
}

int net_link_add_address(NetRtnl *rtnl, int ifindex, struct in_addr address, uint8_t prefix) {
        _cleanup_(rtnl_addr_putp) struct rtnl_addr *addr = address_of(ifindex, address, prefix);
        _cleanup_(nlmsg_freep) struct nl_msg *msg = NULL;

        if (!addr || rtnl_addr_build_add_request(addr, NLM_F_CREATE | NLM_F_REPLACE, &msg) < 0)
                return -ENOMEM;
        return net_rtnl_request(rtnl, msg);
}

int net_link_remove_address(NetRtnl *rtnl, int ifindex, struct in_addr address, uint8_t prefix) {
        _cleanup_(rtnl_addr_putp) struct rtnl_addr *addr = address_of(ifindex, address, prefix);
        _cleanup_(nlmsg_freep) struct nl_msg *msg = NULL;
        int r;

        if (!addr || rtnl_addr_build_delete_request(addr, 0, &msg) < 0)
                return -ENOMEM;
        r = net_rtnl_request(rtnl, msg);
        return r == -EADDRNOTAVAIL ? 0 : r;
}

int net_link_add_neighbour(
        NetRtnl *rtnl, int ifindex, struct in_addr address, const uint8_t mac[NET_MAC_SIZE]) {
        _cleanup_(rtnl_neigh_putp) struct rtnl_neigh *neigh = rtnl_neigh_alloc();
        _cleanup_(nl_addr_putp) struct nl_addr *dst = ipv4_addr(address, 32);
        _cleanup_(nl_addr_putp) struct nl_addr *lladdr = NULL;
        _cleanup_(nlmsg_freep) struct nl_msg *msg = NULL;

        assert(ifindex > 0);

        lladdr = nl_addr_build(AF_LLC, mac, NET_MAC_SIZE);
        if (!neigh || !dst || !lladdr)
                return -ENOMEM;
        rtnl_neigh_set_ifindex(neigh, ifindex);
        rtnl_neigh_set_lladdr(neigh, lladdr);
        rtnl_neigh_set_state(neigh, NUD_PERMANENT);
        if (rtnl_neigh_set_dst(neigh, dst) < 0 ||
            rtnl_neigh_build_add_request(neigh, NLM_F_CREATE | NLM_F_REPLACE, &msg) < 0)
                return -ENOMEM;

        return net_rtnl_request(rtnl, msg);
}

typedef struct NeighbourSearch {
        const uint8_t *mac;
        bool found;
} NeighbourSearch;

static int match_neighbour(struct nlmsghdr *answer, void *userdata) {
        const struct ndmsg *neighbour = nlmsg_data(answer);
        struct nlattr *attrs[NDA_MAX + 1] = {0};
        NeighbourSearch *search = userdata;

        if (answer->nlmsg_type == RTM_NEWNEIGH &&
            nlmsg_parse(answer, sizeof(*neighbour), attrs, NDA_MAX, NULL) >= 0 &&
            (neighbour->ndm_state & NUD_PERMANENT) != 0 && attrs[NDA_LLADDR] &&
            nla_len(attrs[NDA_LLADDR]) == NET_MAC_SIZE &&
            memcmp(nla_data(attrs[NDA_LLADDR]), search->mac, NET_MAC_SIZE) == 0)
                search->found = true;
        return 0;
}

int net_link_check_neighbour(
        NetRtnl *rtnl, int ifindex, struct in_addr address, const uint8_t mac[NET_MAC_SIZE]) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETNEIGH, 0);
        struct ndmsg neighbour = {.ndm_family = AF_INET, .ndm_ifindex = ifindex};
        NeighbourSearch search = {.mac = mac};
        int r;

        assert(ifindex > 0);

        if (!msg || nlmsg_append(msg, &neighbour, sizeof(neighbour), NLMSG_ALIGNTO) < 0 ||
            nla_put(msg, NDA_DST, sizeof(address), &address) < 0)
                return -ENOMEM;
        r = net_rtnl_query(rtnl, msg, match_neighbour, &search);
        if (r < 0)
                return r;
        return search.found ? 0 : -ENOENT;
}

int net_link_add_default_route(NetRtnl *rtnl, int ifindex, struct in_addr gateway) {
        _cleanup_(rtnl_route_putp) struct rtnl_route *route = rtnl_route_alloc();
        _cleanup_(nl_addr_putp) struct nl_addr *dst = ipv4_addr((struct in_addr){0}, 0);
        _cleanup_(nl_addr_putp) struct nl_addr *via = ipv4_addr(gateway, 32);
        _cleanup_(nlmsg_freep) struct nl_msg *msg = NULL;
        struct rtnl_nexthop *hop;

        assert(ifindex > 0);

        hop = rtnl_route_nh_alloc();
        if (!route || !dst || !via || !hop) {
                if (hop)
                        rtnl_route_nh_free(hop);
                return -ENOMEM;
        }
        rtnl_route_nh_set_ifindex(hop, ifindex);
        rtnl_route_nh_set_gateway(hop, via);
        rtnl_route_add_nexthop(route, hop); /* takes it over */
        rtnl_route_set_family(route, AF_INET);
        rtnl_route_set_scope(route, RT_SCOPE_UNIVERSE);
        if (rtnl_route_set_dst(route, dst) < 0 ||
            rtnl_route_build_add_request(route, NLM_F_CREATE | NLM_F_REPLACE, &msg) < 0)
                return -ENOMEM;

        return net_rtnl_request(rtnl, msg);
}

typedef struct OwnLinks {
        const char *instance;
        NetOwnLink *links;
        size_t n;
} OwnLinks;

static bool is_own(struct nlattr **attrs, uint32_t slot) {
        struct nlattr *info[IFLA_INFO_MAX + 1] = {0};
        uint8_t mac[NET_MAC_SIZE];

        net_plan_mac(NET_END_HOST, slot, mac);
        if (!attrs[IFLA_ADDRESS] || nla_len(attrs[IFLA_ADDRESS]) != NET_MAC_SIZE ||
            memcmp(nla_data(attrs[IFLA_ADDRESS]), mac, NET_MAC_SIZE) != 0)
                return false;

        return attrs[IFLA_LINKINFO] &&
               nla_parse_nested(info, IFLA_INFO_MAX, attrs[IFLA_LINKINFO], NULL) >= 0 &&
               info[IFLA_INFO_KIND] && nla_strcmp(info[IFLA_INFO_KIND], "veth") == 0;
}

static int collect_own(struct nlmsghdr *answer, void *userdata) {
        struct nlattr *attrs[IFLA_MAX + 1] = {0};
        const struct ifinfomsg *info = nlmsg_data(answer);
        OwnLinks *own = userdata;
        NetOwnLink *links;
        uint32_t slot;

        if (answer->nlmsg_type != RTM_NEWLINK ||
            nlmsg_parse(answer, sizeof(*info), attrs, IFLA_MAX, NULL) < 0)
                return 0;
        if (!attrs[IFLA_IFNAME] ||
            net_plan_link_slot(own->instance, nla_get_string(attrs[IFLA_IFNAME]), &slot) < 0 ||
            !is_own(attrs, slot))
                return 0;

        links = reallocarray(own->links, own->n + 1, sizeof(*links));
        if (!links)
                return -ENOMEM;
        own->links = links;
        own->links[own->n++] = (NetOwnLink){
                .slot = slot,
                .ifindex = info->ifi_index,
                .up = info->ifi_flags & IFF_UP,
                .arp = !(info->ifi_flags & IFF_NOARP),
        };
        return 0;
}

int net_link_get_own(NetRtnl *host, const char *instance, uint32_t slot, NetOwnLink *ret) {
        _cleanup_(nlmsg_freep) struct nl_msg *msg = link_message(RTM_GETLINK, 0, 0);
        _cleanup_free_ NetOwnLink *links = NULL;
        OwnLinks own = {.instance = instance};
        char name[IFNAMSIZ];
        int r;

        assert(ret);

        net_plan_link_name(instance, slot, name);
        if (!msg || nla_put_string(msg, IFLA_IFNAME, name) < 0)
                return -ENOMEM;
        r = net_rtnl_query(host, msg, collect_own, &own);
        links = own.links;
        if (r < 0)
                return r;
        if (own.n == 0)
                return -ENODEV; /* the name is somebody else's */

        *ret = links[0];
        return 0;
}

int net_link_list_own(NetRtnl *host, const char *instance, NetOwnLink **ret, size_t *ret_n) {
        OwnLinks own = {.instance = instance};
        int r;

        assert(ret);
        assert(ret_n);

        do {
                _cleanup_(nlmsg_freep) struct nl_msg *msg = NULL;

                own.n = 0;
                msg = nlmsg_alloc_simple(RTM_GETLINK, NLM_F_DUMP);
                if (msg &&
                    nlmsg_append(msg, &(struct ifinfomsg){0}, sizeof(struct ifinfomsg), 0) < 0)
                        return -ENOMEM;
                r = net_rtnl_query(host, msg, collect_own, &own);
        } while (r == -EINTR);
        if (r < 0) {
                free(own.links);
                return r;
        }

        *ret = own.links;
        *ret_n = own.n;
        return 0;
}
