/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One slot: made, checked, destroyed.
 *
 * Making goes from the inside out: nothing is up before its filter is on it and its
 * source address is pinned, so there is no moment in which a dyno could send more than
 * it may. Destroying goes the other way round.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "sandbox/net_internal.h"
#include "sandbox/net_link.h"
#include "sandbox/net_policy.h"
#include "sandbox/tc_filter.h"
#include "sandbox/tc_shaper.h"

/* Between walks that can wait: a hundredth of the time at most goes into them. */
#define FORGET_PAUSE 100

/*
 * Opens a dyno's network namespace (a new one if *@netns_fd is negative) and prepares
 * what can only be done from within: IPv6 stays off on what will be made there, but lo
 * keeps ::1. What comes for nobody in there has the dyno's kernel say so, which gets no further
 * than the link's filter; up to Linux 6.12 it would take from what the host itself may say.
 *
 * Safe because the process is single-threaded and nothing runs between entering and
 * leaving; if it cannot leave, it must not go on as the launcher of other dynos.
 */
static int open_dyno_side(Net *net, int *netns_fd, NetRtnl **ret) {
        _cleanup_(net_rtnl_freep) NetRtnl *rtnl = NULL;
        int r = 0;

        if (*netns_fd >= 0 ? setns(*netns_fd, CLONE_NEWNET) < 0 : unshare(CLONE_NEWNET) < 0)
                return -errno;

        r = net_rtnl_open(&rtnl);
        if (r >= 0 && net->ipv6)
                r = net_host_disable_ipv6("default");
        if (r >= 0)
                r = net_host_count_no_errors();
        if (r >= 0)
                r = net_host_remember_few_closed();

        if (setns(net->host_netns_fd, CLONE_NEWNET) < 0)
                abort();
        if (r < 0)
                return r;

        r = net_link_up(rtnl, LOOPBACK_INDEX);
        if (r >= 0 && *netns_fd < 0)
                r = net_rtnl_namespace(rtnl, netns_fd);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(rtnl);
        return 0;
}

/*
 * Removes what has the names of a slot's link: of a namespace that is just being taken down, or
 * of a dead dynod. Or the host end is not known any more by name and MAC, since somebody changed
 * them or moved it away; it goes with the dyno's end.
 */
static int clear_the_way(Net *net, uint32_t slot, NetRtnl *dyno) {
        NetOwnLink stale;
        int ifindex, r;

        r = net_link_get_own(net->host, net->instance, slot, &stale);
        if (r >= 0)
                r = net_link_remove(net->host, stale.ifindex);
        if (r < 0 && r != -ENODEV)
                return r;

        r = net_link_find(dyno, NET_DYNO_LINK, &ifindex, NULL);
        if (r >= 0)
                r = net_link_remove(dyno, ifindex);
        return r == -ENODEV ? 0 : r;
}

static int make_pair(Net *net, uint32_t slot, int netns_fd, NetRtnl *dyno, int *ret_ifindex) {
        char name[IFNAMSIZ];
        int r;

        net_plan_link_name(net->instance, slot, name);
        r = net_link_make_pair(net->host, name, slot, netns_fd);
        if (r == -EEXIST) {
                r = clear_the_way(net, slot, dyno);
                if (r < 0)
                        return r;
                r = net_link_make_pair(net->host, name, slot, netns_fd);
        }
        if (r < 0)
                return r;

        return net_link_find(net->host, name, ret_ifindex, NULL);
}

static int filter_link(Net *net, uint32_t slot, int ifindex) {
        struct in_addr dyno = net_plan_address(net->network, slot).dyno;
        int r;

        if (net->tc_error < 0)
                return 0; /* whether that is allowed, the caller of net_tc_error() decides */

        /* The map first: without its element the programs pass nothing. */
        r = tc_program_set(&net->tc, ifindex, dyno, net->slots[slot].web_port);
        if (r < 0)
                return r;

        return tc_filter_attach(net->host, ifindex, &net->tc);
}

/* Everything of the host end but its filter and elements. */
static int set_up_host_end(Net *net, uint32_t slot, int ifindex) {
        NetSlotAddress a = net_plan_address(net->network, slot);
        uint8_t mac[NET_MAC_SIZE];
        char name[IFNAMSIZ];
        int r;

        net_plan_link_name(net->instance, slot, name);
        if (net->ipv6) {
                r = net_host_disable_ipv6(name);
                if (r < 0)
                        return r;
        }

        r = net_link_configure(net->host, ifindex, net->ipv6);
        if (r >= 0)
                r = net_link_add_address(net->host, ifindex, a.gateway, NET_DYNO_PREFIX);
        if (r >= 0)
                r = net_link_up_without_arp(net->host, ifindex);
        if (r < 0)
                return r;

        net_plan_mac(NET_END_DYNO, slot, mac);
        return net_link_add_neighbour(net->host, ifindex, a.dyno, mac);
}

static int set_up_dyno_end(Net *net, uint32_t slot, NetRtnl *dyno) {
        NetSlotAddress a = net_plan_address(net->network, slot);
        uint8_t mac[NET_MAC_SIZE];
        int ifindex, r;

        r = net_link_find(dyno, NET_DYNO_LINK, &ifindex, NULL);
        if (r >= 0)
                r = net_link_add_address(dyno, ifindex, a.dyno, NET_DYNO_PREFIX);
        if (r >= 0)
                r = tc_shaper_set(dyno, ifindex, net->slots[slot].dyno.bandwidth);
        if (r >= 0)
                r = net_filter_inside(net, dyno, ifindex);
        if (r >= 0)
                r = net_link_up_without_arp(dyno, ifindex);
        if (r < 0)
                return r;

        net_plan_mac(NET_END_HOST, slot, mac);
        r = net_link_add_neighbour(dyno, ifindex, a.gateway, mac);
        if (r < 0)
                return r;

        return net_link_add_default_route(dyno, ifindex, a.gateway);
}

/* All that the table has by the slot's link, and first what nothing passes without. */
static size_t list_elements(const Net *net, uint32_t slot, FirewallElement *ret) {
        char name[IFNAMSIZ];

        net_plan_link_name(net->instance, slot, name);
        ret[0] = (FirewallElement){
                .set = FIREWALL_SET_LINKS,
                .key = firewall_key_link(name, net_plan_address(net->network, slot).dyno),
        };
        return 1 + net_slot_elements(net, slot, ret + 1);
}

/*
 * Lets the link's packets through, under the policy and the limits of the dyno that it has:
 * one that was deleted is made again while its dyno runs, and sends all the time.
 */
static int let_through(Net *net, uint32_t slot) {
        const LaunchPolicy *policy = net_policy_find(net, net->slots[slot].dyno.app_number);
        FirewallElement elements[1 + NET_SLOT_ELEMENTS];
        int r;

        net->slots[slot].ruled = policy;
        r = firewall_add_elements(net->firewall, elements, list_elements(net, slot, elements));
        return r < 0 || !policy ? r : net_open_services(net, slot, policy);
}

static int wire(Net *net, uint32_t slot, int *netns_fd) {
        _cleanup_(net_rtnl_freep) NetRtnl *dyno = NULL;
        int ifindex = 0, r;

        r = open_dyno_side(net, netns_fd, &dyno);
        if (r < 0)
                return r;
        r = make_pair(net, slot, *netns_fd, dyno, &ifindex);
        if (r < 0)
                return r;

        net->slots[slot].ifindex = ifindex;
        r = filter_link(net, slot, ifindex);
        if (r >= 0)
                r = let_through(net, slot);
        if (r >= 0)
                r = tc_shaper_set(net->host, ifindex, net->slots[slot].dyno.bandwidth);
        if (r >= 0)
                r = set_up_host_end(net, slot, ifindex);
        if (r >= 0)
                r = set_up_dyno_end(net, slot, dyno);
        if (r < 0)
                (void)net_slot_destroy(net, slot);
        return r;
}

int net_wire_slot(Net *net, uint32_t slot, int netns_fd) {
        assert(netns_fd >= 0);
        return wire(net, slot, &netns_fd);
}

int net_converge_slot(Net *net, uint32_t slot) {
        NetSlotAddress a = net_plan_address(net->network, slot);
        int ifindex = net->slots[slot].ifindex, way, r;

        assert(ifindex > 0);

        r = filter_link(net, slot, ifindex);
        if (r < 0)
                return r;

        /* The route to the dyno comes with the gateway's address, when that is new. */
        r = net_host_way_to(net->host, a.dyno, &way);
        if (r >= 0 && way != ifindex)
                r = net_link_remove_address(net->host, ifindex, a.gateway, NET_DYNO_PREFIX);
        if (r < 0)
                return r;

        return set_up_host_end(net, slot, ifindex);
}

static bool is_remembered(struct in_addr address, void *userdata) {
        const Net *net = userdata;
        uint32_t slot;

        return net_plan_slot_of(net->network, address, &slot) >= 0 && slot < net->n_slots &&
               net->slots[slot].remembered;
}

/* Takes the time of one walk through the kernel's table, some milliseconds, for all of them. */
static int forget_connections(Net *net) {
        uint64_t begin = clock_boottime_usec();
        int r;

        r = conntrack_forget(net->conntrack, is_remembered, net);
        net->forget_usec = clock_boottime_usec();
        net->forget_usec += FORGET_PAUSE * (net->forget_usec - begin);
        if (r < 0)
                return r;

        for (uint32_t slot = 0; slot < net->n_slots; slot++)
                net->slots[slot].remembered = false;
        net->n_remembered = 0;
        return 0;
}

int net_slot_create(Net *net, uint32_t slot, int *ret_netns_fd) {
        _cleanup_close_ int netns_fd = -EBADF;
        int r;

        assert(net);
        assert(slot < net->n_slots);
        assert(net->slots[slot].ifindex == 0);
        assert(ret_netns_fd);

        if (net->slots[slot].overlaps)
                return NET_E_OVERLAP;

        /* Whoever talked with the last dyno of the slot must not go on with the next. */
        r = net->slots[slot].remembered ? forget_connections(net) : 0;
        if (r < 0)
                return r;
        net->slots[slot].web_port = 0;
        r = wire(net, slot, &netns_fd);
        if (r < 0)
                return r;

        *ret_netns_fd = TAKE_FD(netns_fd);
        return 0;
}

/*
 * The link is left to the kernel: it goes with the namespace, in the background. Removing
 * it here would wait for RCU several times, tens of milliseconds on a busy host, while no
 * other dyno can be started.
 */
int net_slot_destroy(Net *net, uint32_t slot) {
        FirewallElement elements[1 + NET_SLOT_ELEMENTS];
        int ifindex, result = 0, r;

        assert(net);
        assert(slot < net->n_slots);

        /*
         * A link that the programs do not know passes nothing in either direction. What still
         * waits in its queue must not be judged by less than the policy that it was sent under.
         */
        ifindex = net->slots[slot].ifindex;
        if (ifindex > 0 && net->tc_error >= 0) {
                r = tc_program_forget(&net->tc, ifindex);
                if (r < 0 && r != -ENOENT)
                        result = r;
        }
        r = firewall_remove_all(net->firewall, elements, list_elements(net, slot, elements));
        if (r < 0 && result == 0)
                result = r;
        r = net_dyno_end(net, slot);
        if (r < 0 && result == 0)
                result = r;

        net->slots[slot].ifindex = 0; /* from here on the programs are told nothing of it */
        r = net_web_forbid(net, slot);
        if (r < 0 && result == 0)
                result = r;

        /* The connections of those before; its own last packet may still be under way. */
        if (net->n_remembered > 0 && clock_boottime_usec() >= net->forget_usec) {
                r = forget_connections(net);
                if (r < 0 && result == 0)
                        result = r;
        }
        net->n_remembered += !net->slots[slot].remembered;
        net->slots[slot].remembered = true;
        return result;
}

static int tell_filter(Net *net, uint32_t slot) {
        if (net->tc_error < 0 || net->slots[slot].ifindex <= 0)
                return 0;

        return tc_program_set(
                &net->tc,
                net->slots[slot].ifindex,
                net_plan_address(net->network, slot).dyno,
                net->slots[slot].web_port);
}

int net_web_allow(Net *net, uint32_t slot, uint32_t port) {
        FirewallKey key;
        int r;

        assert(net);
        assert(slot < net->n_slots);
        assert(port > 0 && port <= UINT16_MAX);

        r = net_web_forbid(net, slot);
        if (r < 0)
                return r;

        net->slots[slot].web_port = (uint16_t)port;
        r = tell_filter(net, slot);
        if (r < 0)
                return r;

        key = firewall_key_web(net_plan_address(net->network, slot).dyno, port);
        return firewall_add(net->firewall, FIREWALL_SET_WEB, &key);
}

int net_web_forbid(Net *net, uint32_t slot) {
        uint16_t port;
        FirewallKey key;
        int r, result;

        assert(net);
        assert(slot < net->n_slots);

        port = net->slots[slot].web_port;
        if (port == 0)
                return 0;

        key = firewall_key_web(net_plan_address(net->network, slot).dyno, port);
        result = firewall_remove(net->firewall, FIREWALL_SET_WEB, &key);

        net->slots[slot].web_port = 0;
        r = tell_filter(net, slot);
        return result < 0 ? result : r;
}

/*
 * What is missing, or NULL; a negative errno in *@r when that cannot be told. First the
 * link itself, then what the table has of it, then its filters.
 */
static const char *
find_link_fault(Net *net, uint32_t slot, const char *name, struct in_addr dyno, int *r) {
        NetOwnLink link = {.ifindex = 0};
        uint8_t mac[NET_MAC_SIZE];
        bool forwards, ipv6 = false;
        int way;

        *r = net_link_get_own(net->host, net->instance, slot, &link);
        if (*r == -ENODEV || (*r >= 0 && link.ifindex != net->slots[slot].ifindex))
                return "link is gone";
        if (*r >= 0 && !link.up)
                return "link is down";
        if (*r >= 0 && link.arp)
                return "link is not deaf to ARP";
        if (*r >= 0)
                *r = net_host_forwarding(name, &forwards);
        if (*r >= 0 && !forwards)
                return "does not forward";
        if (*r >= 0 && net->ipv6)
                *r = net_host_ipv6(name, &ipv6);
        if (*r >= 0 && ipv6)
                return "link has IPv6";
        if (*r >= 0)
                *r = net_host_way_to(net->host, dyno, &way);
        if (*r >= 0 && way != link.ifindex)
                return "no route goes there";
        net_plan_mac(NET_END_DYNO, slot, mac);
        if (*r >= 0)
                *r = net_link_check_neighbour(net->host, link.ifindex, dyno, mac);
        if (*r == -ENOENT)
                return "neighbour entry is gone";
        return NULL;
}

static const char *
find_table_fault(Net *net, uint32_t slot, const char *name, struct in_addr dyno, int *r) {
        FirewallKey key = firewall_key_link(name, dyno);

        *r = firewall_check(net->firewall, FIREWALL_SET_LINKS, &key);
        if (*r == -ENOENT)
                return "address is not in the nftables table";
        if (*r >= 0 && net->slots[slot].web_port > 0) {
                key = firewall_key_web(dyno, net->slots[slot].web_port);
                *r = firewall_check(net->firewall, FIREWALL_SET_WEB, &key);
                if (*r == -ENOENT)
                        return "web port is not in the nftables table";
        }
        return *r < 0 ? NULL : net_dyno_fault(net, slot, r);
}

static const char *find_filter_fault(Net *net, uint32_t slot, struct in_addr dyno, int *r) {
        int ifindex = net->slots[slot].ifindex;
        struct in_addr pinned;
        uint32_t web_port;

        *r = tc_filter_check(net->host, ifindex, &net->tc);
        if (*r == -ENOENT)
                return "tc filter is gone";
        if (*r >= 0)
                *r = tc_program_get(&net->tc, ifindex, &pinned, &web_port);
        if (*r == -ENOENT || (*r >= 0 && pinned.s_addr != dyno.s_addr))
                return "tc filter does not know the link";
        return NULL;
}

static const char *find_fault(Net *net, uint32_t slot, const char *name, int *r) {
        struct in_addr dyno = net_plan_address(net->network, slot).dyno;
        const char *fault = find_link_fault(net, slot, name, dyno, r);

        if (!fault && *r >= 0)
                fault = find_table_fault(net, slot, name, dyno, r);
        if (!fault && *r >= 0 && net->tc_error >= 0)
                fault = find_filter_fault(net, slot, dyno, r);
        return fault;
}

int net_probe_slot(Net *net, uint32_t slot, char *detail, size_t size) {
        char name[IFNAMSIZ], address[INET_ADDRSTRLEN], policy[NET_DETAIL_SIZE] = "";
        struct in_addr dyno;
        const char *fault;
        int r;

        dyno = net_plan_address(net->network, slot).dyno;
        net_plan_link_name(net->instance, slot, name);
        (void)inet_ntop(AF_INET, &dyno, address, sizeof(address));

        fault = find_fault(net, slot, name, &r);
        if (fault) {
                (void)snprintf(detail, size, "%s on %s: %s", address, name, fault);
                return NET_E_MISSING;
        }
        if (r < 0) {
                (void)snprintf(detail, size, "%s on %s: cannot be read", address, name);
                return r;
        }

        if (net->slots[slot].dyno.app_number > 0)
                net_policy_describe(net, net->slots[slot].dyno.app_number, policy, sizeof(policy));
        (void)snprintf(
                detail,
                size,
                "%s on %s, source pinned by nftables%s%s%s",
                address,
                name,
                net->tc_error < 0 ? ", no tc filter" : " and tc",
                policy[0] != '\0' ? "; " : "",
                policy);
        return 0;
}

int net_check_slot(Net *net, uint32_t slot, int netns_fd, char *detail, size_t size) {
        int r;

        assert(net);
        assert(slot < net->n_slots);
        assert(detail && size > 0);

        r = net_probe_slot(net, slot, detail, size);
        if (r == 0)
                r = net_check_inside(net, slot, netns_fd, detail, size);
        if (r != 0)
                return r;

        /* The slot's own elements are not all: somebody may have taken a chain away. */
        if (net->watch.table_damage[0] == '\0')
                return 0;
        (void)snprintf(detail, size, "%s", net->watch.table_damage);
        return NET_E_MISSING;
}
