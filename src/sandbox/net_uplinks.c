/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Uplinks: the links of others by which dynos' packets leave, and how we hear of new ones.
 *
 * The kernel forwards what comes in by a link only if that link's switch is on, answers
 * included. Where it was off, the table's set of uplinks restricts what we turned on.
 */

#include <assert.h>
#include <errno.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <string.h>
#include <sys/socket.h>

#include "sandbox/net_internal.h"

/*
 * Ours if the table says so, which survives a restart. Instances share an uplink that one
 * of them turned on: each lists it, and the last one turns it off.
 */
static bool is_own_uplink(Net *net, const char *link) {
        FirewallKey key = firewall_key_uplink(link);

        return net_uplinks_contain(&net->own_uplinks, link) ||
               firewall_check(net->firewall, FIREWALL_SET_UPLINKS, &key) == 0 ||
               firewall_others_have(net->firewall, FIREWALL_SET_UPLINKS, &key);
}

int net_find_uplinks(Net *net) {
        NetUplinks all, own = {.n = 0};
        bool host_forwards;
        int r;

        r = net_host_uplinks(net->host, net->instance, &all);
        if (r < 0)
                return r;
        r = net_host_forwarding("all", &host_forwards);
        if (r < 0)
                return r;

        for (size_t i = 0; i < all.n && !host_forwards; i++) {
                bool on;

                /* A link that vanished meanwhile is no uplink. */
                if (net_host_forwarding(all.name[i], &on) < 0)
                        continue;
                if (!on || is_own_uplink(net, all.name[i]))
                        memcpy(own.name[own.n++], all.name[i], IFNAMSIZ);
        }

        net->own_uplinks = own;
        return 0;
}

int net_enable_uplinks(Net *net) {
        for (size_t i = 0; i < net->own_uplinks.n; i++) {
                int r = net_host_set_forwarding(net->own_uplinks.name[i], true);

                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return 0;
}

int net_refresh(Net *net) {
        NetUplinks before;
        int r;

        assert(net);

        r = net_find_overlaps(net);
        if (r < 0)
                return r;
        before = net->own_uplinks;
        r = net_find_uplinks(net);
        if (r < 0)
                return r;

        for (size_t i = 0; i < net->own_uplinks.n; i++) {
                FirewallKey key = firewall_key_uplink(net->own_uplinks.name[i]);

                r = firewall_add(net->firewall, FIREWALL_SET_UPLINKS, &key);
                if (r < 0)
                        return r;
        }
        /* Somebody made the host a router: then it is not for us to restrict. */
        for (size_t i = 0; i < before.n; i++) {
                FirewallKey key = firewall_key_uplink(before.name[i]);

                if (net_uplinks_contain(&net->own_uplinks, before.name[i]))
                        continue;
                r = firewall_remove(net->firewall, FIREWALL_SET_UPLINKS, &key);
                if (r < 0)
                        return r;
        }

        return net_enable_uplinks(net);
}

int net_disable_uplinks(Net *net) {
        int r;

        r = net_find_uplinks(net);
        if (r < 0)
                return r;

        for (size_t i = 0; i < net->own_uplinks.n; i++) {
                const char *link = net->own_uplinks.name[i];
                FirewallKey key = firewall_key_uplink(link);

                if (firewall_others_have(net->firewall, FIREWALL_SET_UPLINKS, &key))
                        continue;
                r = net_host_set_forwarding(link, false);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        net->own_uplinks.n = 0;
        return 0;
}

int net_watch_open(int *ret_fd) {
        const struct sockaddr_nl address = {
                .nl_family = AF_NETLINK,
                .nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_IFADDR,
        };
        const int group = RTNLGRP_IPV4_NETCONF; /* beyond the 32 that bind() can name */
        int fd, r;

        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
        if (fd < 0)
                return -errno;
        if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0) {
                r = -errno;
                (void)close(fd);
                return r;
        }

        *ret_fd = fd;
        return 0;
}

int net_watch_fd(const Net *net) {
        return net->watch_fd;
}

/* Is @ifindex the link of the slot that @attr, an address, belongs to? */
static bool is_own(const Net *net, const struct nlattr *attr, uint32_t ifindex, bool gone) {
        struct in_addr a;
        uint32_t slot;

        if (!attr || nla_len(attr) != (int)sizeof(a))
                return false;
        memcpy(&a, nla_data(attr), sizeof(a));
        if (net_plan_slot_of(net->network, a, &slot) < 0 || slot >= net->n_slots)
                return false;

        /* Of a slot that is gone, the link is not known any more. */
        return gone || (uint32_t)net->slots[slot].ifindex == ifindex;
}

/* Our own links come and go all the time; that is no news. */
static bool is_news(const Net *net, struct nlmsghdr *h) {
        bool gone = h->nlmsg_type == RTM_DELROUTE || h->nlmsg_type == RTM_DELADDR;
        struct nlattr *attrs[RTA_MAX + 1] = {0};
        const struct ifaddrmsg *address;

        switch (h->nlmsg_type) {
        case RTM_NEWROUTE:
        case RTM_DELROUTE:
                if (nlmsg_parse(h, sizeof(struct rtmsg), attrs, RTA_MAX, NULL) < 0)
                        return true;
                return !is_own(
                        net,
                        attrs[RTA_DST],
                        attrs[RTA_OIF] ? nla_get_u32(attrs[RTA_OIF]) : 0,
                        gone);
        case RTM_NEWADDR:
        case RTM_DELADDR:
                address = nlmsg_data(h);
                if (nlmsg_parse(h, sizeof(*address), attrs, RTA_MAX, NULL) < 0)
                        return true;
                return !is_own(net, attrs[IFA_LOCAL], address->ifa_index, gone);
        case RTM_NEWNETCONF:
                return nlmsg_parse(h, sizeof(struct netconfmsg), attrs, RTA_MAX, NULL) < 0 ||
                       !attrs[NETCONFA_IFINDEX] ||
                       (int)nla_get_u32(attrs[NETCONFA_IFINDEX]) == NETCONFA_IFINDEX_ALL;
        default:
                return false;
        }
}

int net_handle_watch(Net *net) {
        _Alignas(struct nlmsghdr) char buffer[8192];
        bool news = false;

        assert(net);

        for (;;) {
                struct nlmsghdr *h = (struct nlmsghdr *)buffer;
                ssize_t n = recv(net->watch_fd, buffer, sizeof(buffer), MSG_DONTWAIT);
                int left;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0 && errno == ENOBUFS) { /* some were lost: look for ourselves */
                        news = true;
                        continue;
                }
                if (n < 0)
                        return -errno;
                for (left = (int)n; nlmsg_ok(h, left); h = nlmsg_next(h, &left))
                        news |= is_news(net, h);
        }

        return news ? net_refresh(net) : 0;
}
