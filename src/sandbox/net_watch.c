/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What others do to the host's network, and to what is ours of it.
 *
 * Two kinds of news. The host has another route, address or forwarding switch: then
 * net_refresh() follows. Or something of ours is gone or changed: the table, the routing
 * rule, a link, its filters or its neighbour entry, or the forwarding that we turned on.
 * That is damage, which net_start() makes good. Messages only say where to look, except
 * those about the table, whose contents are not compared with anything: whatever somebody
 * else did to it is damage.
 *
 * No packet of a dyno and nothing that a dyno is allowed to do makes such a message.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netconf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/parse.h"
#include "sandbox/net_internal.h"

/*
 * Bytes that wait for us at most. A message counts with its whole buffer, 8 kB for one
 * of nftables; when some are lost we look for ourselves, at the price of a restoration.
 */
#define QUEUE_SIZE (8 << 20)

#define COMM_SIZE 17 /* bytes: TASK_COMM_LEN and one */

/*
 * Of neighbour entries only those of our network: dynos have the kernel make others, by what they
 * send to machines that are not there. Of IPv6 only ff00::/8, the first route that a link gets
 * when IPv6 is turned on there, about which there is no other message. Later dynod's own seccomp
 * filter refuses this call.
 */
static int filter_routing(int fd, struct in_addr network, uint8_t prefix) {
        const uint32_t mask = UINT32_MAX << (32 - prefix);
        /* Loads make network byte order the host's; NDA_DST is the first attribute. */
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 6, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 5, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWNEIGH), 1, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELNEIGH), 0, 7),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NLMSG_SPACE(sizeof(struct ndmsg)) + NLA_HDRLEN),
                BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(network.s_addr) & mask, 4, 5),
                BPF_STMT(
                        BPF_LD | BPF_B | BPF_ABS,
                        NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_family)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 2),
                BPF_STMT(
                        BPF_LD | BPF_B | BPF_ABS,
                        NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_dst_len)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 8, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
                BPF_STMT(BPF_RET | BPF_K, 0),
        };
        const struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

        assert(prefix > 0 && prefix <= 32);

        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
                                                                                           : 0;
}

static int join_groups(int fd, const int *groups) {
        for (; *groups; groups++)
                if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, groups, sizeof(*groups)) <
                    0)
                        return -errno;
        return 0;
}

static int open_socket(int family, int *ret) {
        const struct sockaddr_nl address = {.nl_family = AF_NETLINK};
        const int size = QUEUE_SIZE;
        _cleanup_close_ int fd = -EBADF;

        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, family);
        if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        /* A smaller queue is no reason not to start. */
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));

        *ret = TAKE_FD(fd);
        return 0;
}

int net_watch_open(NetWatch *ret, struct in_addr network, uint8_t prefix) {
        static const int routing[] = {
                RTNLGRP_LINK,
                RTNLGRP_NEIGH,
                RTNLGRP_IPV4_ROUTE,
                RTNLGRP_IPV6_ROUTE,
                RTNLGRP_IPV4_IFADDR,
                RTNLGRP_IPV4_NETCONF,
                RTNLGRP_IPV4_RULE,
                RTNLGRP_TC,
                0,
        };
        static const int filters[] = {NFNLGRP_NFTABLES, 0};
        struct epoll_event event = {.events = EPOLLIN};
        NetWatch watch = NET_WATCH_INIT;
        int r;

        assert(ret);

        r = open_socket(NETLINK_ROUTE, &watch.routing_fd);
        if (r >= 0)
                r = filter_routing(watch.routing_fd, network, prefix);
        if (r >= 0)
                r = join_groups(watch.routing_fd, routing);
        if (r >= 0)
                r = open_socket(NETLINK_NETFILTER, &watch.filter_fd);
        if (r >= 0)
                r = join_groups(watch.filter_fd, filters);
        if (r >= 0) {
                watch.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
                if (watch.epoll_fd < 0 ||
                    epoll_ctl(watch.epoll_fd, EPOLL_CTL_ADD, watch.routing_fd, &event) < 0 ||
                    epoll_ctl(watch.epoll_fd, EPOLL_CTL_ADD, watch.filter_fd, &event) < 0)
                        r = -errno;
        }
        if (r < 0) {
                net_watch_close(&watch);
                return r;
        }

        *ret = watch;
        return 0;
}

void net_watch_close(NetWatch *watch) {
        watch->epoll_fd = safe_close(watch->epoll_fd);
        watch->routing_fd = safe_close(watch->routing_fd);
        watch->filter_fd = safe_close(watch->filter_fd);
}

int net_watch_fd(const Net *net) {
        return net->watch.epoll_fd;
}

const char *net_damage(const Net *net) {
        if (net->watch.table_damage[0] != '\0')
                return net->watch.table_damage;
        return net->watch.link_damage[0] != '\0' ? net->watch.link_damage : NULL;
}

typedef void (*MessageHandler)(Net *net, struct nlmsghdr *h, void *userdata);

/* Hands over all that waits. Return: 1 if some were lost, 0, or a negative errno. */
static int read_messages(Net *net, int fd, MessageHandler handler, void *userdata) {
        _Alignas(struct nlmsghdr) char buffer[32768];
        int lost = 0;

        for (;;) {
                struct nlmsghdr *h = (struct nlmsghdr *)buffer;
                ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
                int left;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return lost;
                if (n < 0 && errno == ENOBUFS) {
                        lost = 1;
                        continue;
                }
                if (n < 0)
                        return -errno;
                for (left = (int)n; nlmsg_ok(h, left); h = nlmsg_next(h, &left))
                        handler(net, h, userdata);
        }
}

/* ---- the table ---- */

static void take_comm(char comm[COMM_SIZE], const struct nlattr *attr) {
        const char *name = attr ? nla_data(attr) : "?";
        size_t n = 0, max = attr ? (size_t)nla_len(attr) : 1;

        /* Any process may call itself anything; this goes to people's terminals. */
        for (; n < COMM_SIZE - 1 && n < max && name[n] != '\0'; n++)
                comm[n] = (char)(name[n] > ' ' && name[n] < 0x7f ? name[n] : '?');
        comm[n] = '\0';
}

static void describe_author(struct nlmsghdr *h, char *text, size_t size) {
        struct nlattr *attrs[NFTA_GEN_MAX + 1] = {0};
        char comm[COMM_SIZE];

        if (nlmsg_parse(h, sizeof(struct nfgenmsg), attrs, NFTA_GEN_MAX, NULL) < 0 ||
            !attrs[NFTA_GEN_PROC_PID]) {
                (void)snprintf(text, size, "the nftables table was changed");
                return;
        }
        take_comm(comm, attrs[NFTA_GEN_PROC_NAME]);
        (void)snprintf(
                text,
                size,
                "the nftables table was changed by %s (PID %u)",
                comm,
                ntohl(nla_get_u32(attrs[NFTA_GEN_PROC_PID])));
}

/* Messages about tables, chains, rules, sets and elements all have the table's name first. */
static bool is_about_our_table(const Net *net, struct nlmsghdr *h) {
        static_assert(
                NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
                        NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1 &&
                        NFTA_OBJ_TABLE == 1 && NFTA_FLOWTABLE_TABLE == 1,
                "the kernel's ABI");
        const struct nfgenmsg *message = nlmsg_data(h);
        struct nlattr *attrs[NFTA_TABLE_NAME + 1] = {0};

        return nlmsg_parse(h, sizeof(*message), attrs, NFTA_TABLE_NAME, NULL) >= 0 &&
               message->nfgen_family == NFPROTO_INET && attrs[NFTA_TABLE_NAME] &&
               nla_strcmp(attrs[NFTA_TABLE_NAME], net->instance) == 0;
}

/* A child of ours, the loader of rules. */
typedef struct Loader {
        pid_t pid;  /* 0: none */
        bool whole; /* it made the table anew */
} Loader;

/* A transaction's messages come in one piece, and at its end who it was. */
static void take_filter_message(Net *net, struct nlmsghdr *h, void *userdata) {
        const Loader *loader = userdata;
        NetWatch *watch = &net->watch;

        if (NFNL_SUBSYS_ID(h->nlmsg_type) != NFNL_SUBSYS_NFTABLES)
                return;
        if (NFNL_MSG_TYPE(h->nlmsg_type) != NFT_MSG_NEWGEN) {
                watch->touched |= is_about_our_table(net, h);
                return;
        }

        /* A process's first netlink socket has its PID for a port. */
        if (loader->pid > 0 && h->nlmsg_pid == (uint32_t)loader->pid) {
                if (loader->whole)
                        watch->table_damage[0] = '\0';
        } else if (watch->touched && h->nlmsg_pid != firewall_port(net->firewall)) {
                describe_author(h, watch->table_damage, sizeof(watch->table_damage));
        }
        watch->touched = false;
}

int net_watch_tables(Net *net, pid_t loader, bool whole) {
        Loader ours = {.pid = loader, .whole = whole};
        int r = read_messages(net, net->watch.filter_fd, take_filter_message, &ours);

        if (r <= 0)
                return r;
        net->watch.touched = false;
        (void)snprintf(
                net->watch.table_damage,
                sizeof(net->watch.table_damage),
                "the nftables table may have changed: the kernel reported more than it keeps");
        return 0;
}

/* ---- routes, addresses, links, neighbours, filters, rules ---- */

typedef struct RoutingNews {
        bool host; /* something that net_refresh() is about */
        bool rule;
        bool links;   /* slots are marked suspect */
        bool uplinks; /* a link of others does not forward any more */
} RoutingNews;

/* Return: is it one of ours? */
static bool suspect_link(Net *net, int ifindex, RoutingNews *news) {
        for (uint32_t slot = 0; ifindex > 0 && slot < net->n_slots; slot++)
                if (net->slots[slot].ifindex == ifindex) {
                        net->slots[slot].suspect = true;
                        news->links = true;
                        return true;
                }
        return false;
}

/* Is @attr an address of a slot? */
static bool is_own_address(const Net *net, const struct nlattr *attr, uint32_t *ret_slot) {
        struct in_addr a;

        if (!attr || nla_len(attr) != (int)sizeof(a))
                return false;
        memcpy(&a, nla_data(attr), sizeof(a));
        return net_plan_slot_of(net->network, a, ret_slot) >= 0 && *ret_slot < net->n_slots;
}

/*
 * Our own links come and go all the time; that is no news. Of a slot that is gone, the
 * link is not known any more.
 */
static void
take_address(Net *net, const struct nlattr *address, int ifindex, bool gone, RoutingNews *news) {
        uint32_t slot;

        if (!is_own_address(net, address, &slot) || (!gone && net->slots[slot].ifindex != ifindex))
                news->host = true;
        else if (gone)
                (void)suspect_link(net, ifindex, news);
}

static void take_netconf(Net *net, struct nlmsghdr *h, RoutingNews *news) {
        struct nlattr *attrs[NETCONFA_MAX + 1] = {0};
        int ifindex;

        if (nlmsg_parse(h, sizeof(struct netconfmsg), attrs, NETCONFA_MAX, NULL) < 0 ||
            !attrs[NETCONFA_IFINDEX])
                return;
        ifindex = (int)nla_get_u32(attrs[NETCONFA_IFINDEX]);
        if (ifindex == NETCONFA_IFINDEX_ALL) {
                news->host = true;
        } else if (
                !suspect_link(net, ifindex, news) && ifindex > 0 && attrs[NETCONFA_FORWARDING] &&
                nla_get_u32(attrs[NETCONFA_FORWARDING]) == 0 && !attrs[NETCONFA_RP_FILTER]) {
                /* Not of a link that is new, which tells of all its switches. */
                news->host = true;
                news->uplinks = true;
        }
}

/* Does the message say of one of our links what it should? Made or restored, all end with such. */
static bool is_as_made(const Net *net, struct nlmsghdr *h) {
        const unsigned flags = IFF_UP | IFF_NOARP;
        const struct ifinfomsg *info = nlmsg_data(h);
        struct nlattr *attrs[IFLA_MAX + 1] = {0};
        uint8_t mac[NET_MAC_SIZE];
        char name[IFNAMSIZ];
        uint32_t slot;

        if (h->nlmsg_type != RTM_NEWLINK ||
            nlmsg_parse(h, sizeof(*info), attrs, IFLA_MAX, NULL) < 0 || !attrs[IFLA_IFNAME] ||
            !attrs[IFLA_ADDRESS] || nla_len(attrs[IFLA_ADDRESS]) != NET_MAC_SIZE)
                return false;
        (void)nla_strlcpy(name, attrs[IFLA_IFNAME], sizeof(name));
        if (net_plan_link_slot(net->instance, name, &slot) < 0 || slot >= net->n_slots ||
            net->slots[slot].ifindex != info->ifi_index)
                return false;
        net_plan_mac(NET_END_HOST, slot, mac);
        return (info->ifi_flags & flags) == flags &&
               memcmp(nla_data(attrs[IFLA_ADDRESS]), mac, sizeof(mac)) == 0;
}

/* What all that is about one link has in the same place. */
static_assert(
        offsetof(struct ndmsg, ndm_ifindex) == offsetof(struct ifinfomsg, ifi_index) &&
                offsetof(struct ndmsg, ndm_ifindex) == offsetof(struct tcmsg, tcm_ifindex),
        "the kernel's ABI");

static void take_routing_message(Net *net, struct nlmsghdr *h, void *userdata) {
        bool gone = h->nlmsg_type == RTM_DELROUTE || h->nlmsg_type == RTM_DELADDR;
        struct nlattr *attrs[RTA_MAX + 1] = {0};
        RoutingNews *news = userdata;
        const struct rtmsg *route = nlmsg_data(h);
        const struct ifaddrmsg *address = nlmsg_data(h);
        const struct ndmsg *neighbour = nlmsg_data(h);
        int ifindex;

        switch (h->nlmsg_type) {
        case RTM_NEWROUTE:
        case RTM_DELROUTE:
                if (nlmsg_parse(h, sizeof(*route), attrs, RTA_MAX, NULL) < 0)
                        break;
                ifindex = attrs[RTA_OIF] ? (int)nla_get_u32(attrs[RTA_OIF]) : 0;
                if (route->rtm_family == AF_INET6)
                        (void)suspect_link(net, ifindex, news);
                else
                        take_address(net, attrs[RTA_DST], ifindex, gone, news);
                break;
        case RTM_NEWADDR:
        case RTM_DELADDR:
                if (nlmsg_parse(h, sizeof(*address), attrs, IFA_MAX, NULL) >= 0)
                        take_address(net, attrs[IFA_LOCAL], (int)address->ifa_index, gone, news);
                break;
        case RTM_NEWNETCONF:
        case RTM_DELNETCONF:
                take_netconf(net, h, news);
                break;
        case RTM_NEWRULE:
        case RTM_DELRULE:
                news->rule = true;
                break;
        case RTM_NEWLINK:
        case RTM_DELLINK:
        case RTM_NEWNEIGH:
        case RTM_DELNEIGH:
        case RTM_NEWQDISC:
        case RTM_DELQDISC:
        case RTM_NEWTFILTER:
        case RTM_DELTFILTER:
        case RTM_DELCHAIN:
                if (h->nlmsg_pid != net_rtnl_port(net->host) &&
                    h->nlmsg_len >= (uint32_t)nlmsg_size((int)sizeof(*neighbour)) &&
                    !is_as_made(net, h))
                        (void)suspect_link(net, neighbour->ndm_ifindex, news);
                break;
        default:
                break;
        }
}

static void check_suspects(Net *net) {
        for (uint32_t slot = 0; slot < net->n_slots; slot++) {
                char detail[NET_DETAIL_SIZE];

                if (!net->slots[slot].suspect)
                        continue;
                net->slots[slot].suspect = false;
                if (net->slots[slot].ifindex > 0 &&
                    net_probe_slot(net, slot, detail, sizeof(detail)) != 0)
                        memcpy(net->watch.link_damage, detail, sizeof(detail));
        }
}

/* Those that forwarded by themselves are left to net_refresh(). */
static void check_uplinks(Net *net) {
        for (size_t i = 0; i < net->own_uplinks.n; i++) {
                bool on;

                if (net_host_forwarding(net->own_uplinks.name[i], &on) < 0 || on)
                        continue;
                (void)snprintf(
                        net->watch.link_damage,
                        sizeof(net->watch.link_damage),
                        "%s does not forward any more",
                        net->own_uplinks.name[i]);
                launch_line_clean(net->watch.link_damage);
        }
}

static int read_routing(Net *net, RoutingNews *news) {
        int r = read_messages(net, net->watch.routing_fd, take_routing_message, news);

        if (r <= 0)
                return r;
        /* Some were lost: look everywhere. */
        *news = (RoutingNews){.host = true, .rule = true, .links = true, .uplinks = true};
        for (uint32_t slot = 0; slot < net->n_slots; slot++)
                net->slots[slot].suspect = true;
        return 0;
}

int net_handle_watch(Net *net) {
        RoutingNews news = {.host = false};
        int r;

        assert(net);

        r = read_routing(net, &news);
        if (r >= 0)
                r = net_watch_tables(net, 0, false);
        if (r < 0)
                return r;

        /* With what is damaged already everything is made good: nobody keeps us busy meanwhile. */
        if (news.links && !net_damage(net))
                check_suspects(net);
        if (news.uplinks)
                check_uplinks(net);
        if (news.rule && net_host_check_rule(net->host, net->marks.from_dyno) == -ENOENT)
                (void)snprintf(
                        net->watch.link_damage,
                        sizeof(net->watch.link_damage),
                        "the routing rule with priority %u is gone",
                        NET_RULE_PRIORITY);
        if (news.host)
                net->watch.host_changed = true;
        /* What is damaged will be made anew, from what the host is then. */
        if (!net->watch.host_changed || net_damage(net))
                return 0;

        net->watch.host_changed = false;
        return net_refresh(net);
}
