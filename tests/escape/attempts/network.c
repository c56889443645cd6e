/* SPDX-License-Identifier: Apache-2.0 */

/* Options and controls of ordinary sockets that reach beyond them. */

#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/sockios.h>
#include <net/route.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "escape.h"

#define OPTION_IPT_REPLACE 64 /* IPT_SO_SET_REPLACE of x_tables */
#define IPT_REPLACE_SIZE 96   /* bytes of struct ipt_replace without counters and entries */
#define BRIDGE_GET_VERSION 0
#define VLAN_SET_NAME_TYPE 6
#define WIRELESS_NAME 0x8b01 /* SIOCGIWNAME; an odd number only asks */
#define WIRELESS_LAST 0x8bff /* SIOCIWLASTPRIV */

static int option(int family, int type, int level, int name, const void *value, size_t size) {
        int fd = socket(family, type | SOCK_CLOEXEC, 0);
        int r;

        if (fd < 0)
                return ATTEMPT_BROKEN;
        r = attempt_result(setsockopt(fd, level, name, value, (socklen_t)size));
        (void)close(fd);
        return r;
}

static int mark(void) {
        const int value = 1;

        return option(AF_INET, SOCK_DGRAM, SOL_SOCKET, SO_MARK, &value, sizeof(value));
}

static int priority(void) {
        const int value = 7; /* up to 6 is everybody's */

        return option(AF_INET, SOCK_DGRAM, SOL_SOCKET, SO_PRIORITY, &value, sizeof(value));
}

static int receive_buffer(void) {
        const int value = 1 << 30;

        return option(AF_INET, SOCK_DGRAM, SOL_SOCKET, SO_RCVBUFFORCE, &value, sizeof(value));
}

static int debug(void) {
        const int value = 1;

        return option(AF_INET, SOCK_STREAM, SOL_SOCKET, SO_DEBUG, &value, sizeof(value));
}

static int transparent(void) {
        const int value = 1;

        return option(AF_INET, SOCK_DGRAM, IPPROTO_IP, IP_TRANSPARENT, &value, sizeof(value));
}

static int transparent6(void) {
        const int value = 1;

        return option(AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_TRANSPARENT, &value, sizeof(value));
}

static int repair(void) {
        const int value = 1;

        return option(AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_REPAIR, &value, sizeof(value));
}

/* x_tables: CVE-2021-22555 and many before it. The kernel's answer to a broken table will do. */
static int iptables(void) {
        const char replace[IPT_REPLACE_SIZE] = "filter";
        int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
        int r;

        if (fd < 0)
                fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return ATTEMPT_BROKEN;
        r = attempt_result(
                setsockopt(fd, IPPROTO_IP, OPTION_IPT_REPLACE, replace, sizeof(replace)));
        (void)close(fd);
        return r == -EINVAL ? 0 : r;
}

/* ---- groups of receivers: one lock of the whole host, held while a list is searched ---- */

#define ETHTOOL_GET_LINK 0xa /* ETHTOOL_GLINK */
#define LOOPBACK 1           /* its number in every network namespace */

#ifndef IPV6_FLOWLABEL_MGR
#define IPV6_FLOWLABEL_MGR 32
#endif

#define A_GROUP ((struct in_addr){htonl(0xefff0001)}) /* 239.255.0.1 */

static int join_group(void) {
        const struct ip_mreqn request = {.imr_multiaddr = A_GROUP, .imr_ifindex = LOOPBACK};

        return option(
                AF_INET, SOCK_DGRAM, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request));
}

static int join_source(void) {
        const struct ip_mreq_source request = {
                .imr_multiaddr = A_GROUP,
                .imr_interface = {htonl(INADDR_LOOPBACK)},
                .imr_sourceaddr = {htonl(0xc0000201)}};

        return option(
                AF_INET,
                SOCK_DGRAM,
                IPPROTO_IP,
                IP_ADD_SOURCE_MEMBERSHIP,
                &request,
                sizeof(request));
}

static int join_any_group(void) {
        struct group_req request = {.gr_interface = LOOPBACK};
        struct sockaddr_in *group = (struct sockaddr_in *)&request.gr_group;

        *group = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = A_GROUP};
        return option(AF_INET, SOCK_DGRAM, IPPROTO_IP, MCAST_JOIN_GROUP, &request, sizeof(request));
}

static int join_group6(void) {
        const struct ipv6_mreq request = {
                .ipv6mr_multiaddr = {{{0xff, 1, [15] = 77}}}, .ipv6mr_interface = LOOPBACK};

        return option(
                AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof(request));
}

static int join_any_group6(void) {
        struct group_req request = {.gr_interface = LOOPBACK};
        struct sockaddr_in6 *group = (struct sockaddr_in6 *)&request.gr_group;

        *group = (struct sockaddr_in6){
                .sin6_family = AF_INET6, .sin6_addr = {{{0xff, 1, [15] = 77}}}};
        return option(
                AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, MCAST_JOIN_GROUP, &request, sizeof(request));
}

static int join_anycast6(void) {
        const struct ipv6_mreq request = {
                .ipv6mr_multiaddr = {{{0xfd, [15] = 77}}}, .ipv6mr_interface = LOOPBACK};
        int r = option(
                AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_JOIN_ANYCAST, &request, sizeof(request));

        return r == -EADDRNOTAVAIL ? 0 : r; /* it looked, with the lock held */
}

/* What a socket hears of a group that it is not in: the kernel says so with the lock held. */
static int ask_for_filter(int family, int level, int name, void *request, socklen_t size) {
        int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

        if (fd < 0)
                return ATTEMPT_BROKEN;
        r = attempt_result(getsockopt(fd, level, name, request, &size));
        (void)close(fd);
        return r == -EADDRNOTAVAIL || r == -ENODEV ? 0 : r;
}

static int filter_of_group(void) {
        struct ip_msfilter request = {
                .imsf_multiaddr = A_GROUP, .imsf_interface = {htonl(INADDR_LOOPBACK)}};

        return ask_for_filter(AF_INET, IPPROTO_IP, IP_MSFILTER, &request, sizeof(request));
}

static int filter_of_any_group(void) {
        struct group_filter request = {.gf_interface = LOOPBACK};
        struct sockaddr_in *group = (struct sockaddr_in *)&request.gf_group;

        *group = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = A_GROUP};
        return ask_for_filter(AF_INET, IPPROTO_IP, MCAST_MSFILTER, &request, sizeof(request));
}

static int filter_of_any_group6(void) {
        struct group_filter request = {.gf_interface = LOOPBACK};
        struct sockaddr_in6 *group = (struct sockaddr_in6 *)&request.gf_group;

        *group = (struct sockaddr_in6){
                .sin6_family = AF_INET6, .sin6_addr = {{{0xff, 1, [15] = 77}}}};
        return ask_for_filter(AF_INET6, IPPROTO_IPV6, MCAST_MSFILTER, &request, sizeof(request));
}

/* ---- labels of IPv6 flows: 4096 for all network namespaces ---- */

static int flow_label(void) {
        /* struct in6_flowlabel_req, whose header does not go with the C library's. */
        const struct {
                struct in6_addr destination;
                uint32_t label; /* 0: any */
                uint8_t action, share;
                uint16_t flags, expires, linger; /* seconds */
                uint32_t pad;
        } request = {.destination = IN6ADDR_LOOPBACK_INIT, .share = 1, .flags = 1, .expires = 6};

        return option(
                AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, &request, sizeof(request));
}

/* ---- ioctl ---- */

static int control_socket(unsigned long number, void *argument) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        int r;

        if (fd < 0)
                return ATTEMPT_BROKEN;
        r = ioctl(fd, number, argument);
        r = r < 0 ? -errno : 0;
        (void)close(fd);
        return r;
}

static void set_name(struct ifreq *ifr) {
        strcpy(ifr->ifr_name, escape_is_control ? "lo" : "eth0");
}

static int link_down(void) {
        struct ifreq ifr = {.ifr_flags = 0};

        set_name(&ifr);
        return control_socket(SIOCSIFFLAGS, &ifr);
}

static int link_address(void) {
        struct ifreq ifr = {.ifr_name = ""};
        struct sockaddr_in address = {
                .sin_family = AF_INET, .sin_addr = {htonl(0xc0000201)}}; /* 192.0.2.1 */

        set_name(&ifr);
        memcpy(&ifr.ifr_addr, &address, sizeof(address));
        return control_socket(SIOCSIFADDR, &ifr);
}

static int link_mac(void) {
        struct ifreq ifr = {
                .ifr_hwaddr = {escape_is_control ? ARPHRD_LOOPBACK : ARPHRD_ETHER, "\2\0\0\0\0\1"}};
        int r;

        set_name(&ifr);
        r = control_socket(SIOCSIFHWADDR, &ifr);
        return escape_is_control && r == -EOPNOTSUPP
                       ? 0
                       : r; /* lo has none: the capability was there */
}

static int link_name(void) {
        struct ifreq ifr = {.ifr_newname = "escaped"};

        set_name(&ifr);
        return control_socket(SIOCSIFNAME, &ifr);
}

static int route(void) {
        struct rtentry entry = {
                .rt_dst = {.sa_family = AF_INET},
                .rt_genmask = {.sa_family = AF_INET},
                .rt_flags = RTF_UP,
                .rt_dev = (char[]){"lo"},
        };

        return control_socket(SIOCADDRT, &entry);
}

static int bring_lo_up(void) {
        struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};

        return control_socket(SIOCSIFFLAGS, &ifr);
}

static int arp(void) {
        struct arpreq entry = {
                .arp_pa = {.sa_family = AF_INET},
                .arp_ha = {.sa_family = ARPHRD_ETHER, .sa_data = "\2\0\0\0\0\1"},
                .arp_flags = ATF_PERM | ATF_PUBL, /* answer in its place */
        };

        memcpy(entry.arp_pa.sa_data + 2, "\300\0\2\1", 4);
        return control_socket(SIOCSARP, &entry);
}

/* Drivers are asked with the lock of every link held. */
static int ask_driver(void) {
        uint32_t question[2] = {ETHTOOL_GET_LINK};
        struct ifreq ifr = {.ifr_name = "lo", .ifr_data = (void *)question};

        return control_socket(SIOCETHTOOL, &ifr);
}

/* So is who has none: for a name that no link has. */
static int ask_for_nothing(unsigned long number) {
        struct ifreq ifr = {.ifr_name = "none"};
        int r = control_socket(number, &ifr);

        return r == -ENODEV ? 0 : r;
}

static int ask_for_times(void) {
        return ask_for_nothing(SIOCGHWTSTAMP);
}

static int ask_for_wan(void) {
        return ask_for_nothing(SIOCWANDEV);
}

static int ask_for_bond(void) {
        return ask_for_nothing(SIOCBONDINFOQUERY);
}

static int ask_for_part_of_bond(void) {
        return ask_for_nothing(SIOCBONDSLAVEINFOQUERY);
}

static int ask_in_private(void) {
        return ask_for_nothing(SIOCDEVPRIVATE);
}

static int ask_in_private_last(void) {
        return ask_for_nothing(SIOCDEVPRIVATE + 15);
}

/* struct iwreq, whose header does not go with the C library's, begins with the link's name, too. */
static int ask_wireless(void) {
        return ask_for_nothing(WIRELESS_NAME);
}

static int ask_wireless_last(void) {
        return ask_for_nothing(WIRELESS_LAST);
}

/* ---- what listens in the network of others ---- */

#define PORT_OF_OTHERS 47110 /* layers.c listens there, too */

static int loopback(int (*call)(int fd, const struct sockaddr *address, socklen_t size), int *ret) {
        const struct sockaddr_in address = {
                .sin_family = AF_INET,
                .sin_port = htons(PORT_OF_OTHERS),
                .sin_addr = {htonl(INADDR_LOOPBACK)}};

        *ret = socket(AF_INET, SOCK_STREAM, 0);
        if (*ret < 0)
                return -errno;
        return attempt_result(call(*ret, (const struct sockaddr *)&address, sizeof(address)));
}

static int listener(void) {
        int fd, r = loopback(connect, &fd);

        (void)close(fd);
        return r;
}

static int listener_set_up(void) {
        int fd, r = bring_lo_up();

        if (r == 0)
                r = loopback(bind, &fd);
        return r == 0 ? attempt_result(listen(fd, 1)) : r;
}

/* Descriptor of the network namespace that a socket is in. */
static int namespace_of_socket(void) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        return attempt_result(ioctl(fd, SIOCGSKNS));
}

/* The kernel loads a module for these before it looks at anybody's rights. */
static int load_bridge(void) {
        unsigned long arguments[3] = {BRIDGE_GET_VERSION};

        return control_socket(SIOCGIFBR, arguments);
}

static int load_vlan(void) {
        struct {
                int command;
                char device[24];
                union {
                        char device[24];
                        unsigned value;
                } u;
                short qos;
        } arguments = {.command = VLAN_SET_NAME_TYPE};
        int r = control_socket(SIOCSIFVLAN, &arguments);

        return r == -EPERM && escape_is_control ? 0 : r; /* the module's own answer */
}

#define BY_FILTER(name_, tries_, run_, set_up_)                                                    \
        {                                                                                          \
                .name = "network/" name_, .tries = tries_, .stopped_by = "seccomp",                \
                .error = ENOPROTOOPT, .control = CONTROL_USER, .run = run_, .set_up = set_up_,     \
        }

#define OF_DRIVER(name_, tries_, run_)                                                             \
        {                                                                                          \
                .name = "network/" name_, .tries = tries_, .stopped_by = "seccomp",                \
                .error = EOPNOTSUPP, .control = CONTROL_USER, .run = run_,                         \
        }

/* Of kernels that know wireless links. */
#define OF_WIRELESS(name_, tries_, run_)                                                           \
        {                                                                                          \
                .name = "network/" name_, .tries = tries_, .stopped_by = "seccomp",                \
                .error = EOPNOTSUPP, .control = CONTROL_USER | CONTROL_VM, .run = run_,            \
        }

#define BY_CAPABILITY(name_, tries_, run_, set_up_)                                                \
        {                                                                                          \
                .name = "network/" name_, .tries = tries_,                                         \
                .stopped_by = "capabilities user apparmor", .error = EPERM,                        \
                .control = CONTROL_ROOT, .run = run_, .set_up = set_up_,                           \
        }

const Attempt attempts_network[] = {
        BY_CAPABILITY("mark", "choose its own firewall mark", mark, NULL),
        BY_CAPABILITY("priority", "be sent before all others", priority, NULL),
        BY_CAPABILITY("buffer", "have as much kernel memory as it likes", receive_buffer, NULL),
        {
                .name = "network/debug",
                .tries = "have the kernel print what its socket does",
                .stopped_by = "capabilities user apparmor",
                .error = EACCES,
                .control = CONTROL_ROOT,
                .run = debug,
        },
        BY_CAPABILITY("transparent", "send from any address", transparent, NULL),
        BY_CAPABILITY("transparent6", "send from any IPv6 address", transparent6, NULL),
        BY_CAPABILITY("repair", "forge the state of a connection", repair, NULL),
        {
                .name = "network/iptables",
                .tries = "replace a table of x_tables",
                .stopped_by = "capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT | CONTROL_VM,
                .run = iptables,
        },
        BY_CAPABILITY("link-down", "switch its link off", link_down, NULL),
        BY_CAPABILITY("link-address", "take a neighbour's address", link_address, NULL),
        BY_CAPABILITY("link-mac", "take a neighbour's MAC address", link_mac, NULL),
        BY_CAPABILITY("link-name", "rename its link", link_name, NULL),
        BY_CAPABILITY("route", "send everything another way", route, bring_lo_up),
        BY_CAPABILITY("arp", "answer in a neighbour's place", arp, NULL),
        BY_CAPABILITY(
                "namespace-of-socket",
                "get hold of the network namespace of a socket",
                namespace_of_socket,
                NULL),
        {
                .name = "network/load-bridge",
                .tries = "have the host load the bridge module",
                .stopped_by = "seccomp",
                .error = EPERM,
                .control = CONTROL_USER | CONTROL_VM,
                .run = load_bridge,
        },
        {
                .name = "network/load-vlan",
                .tries = "have the host load the VLAN module",
                .stopped_by = "seccomp capabilities",
                .error = EPERM,
                .control = CONTROL_USER | CONTROL_VM,
                .run = load_vlan,
        },
        {
                .name = "network/listener-of-others",
                .tries = "connect to what listens on the host's loopback alone",
                .stopped_by = "net",
                .error = ECONNREFUSED,
                .control = CONTROL_USER,
                .run = listener,
                .set_up = listener_set_up,
        },
        BY_FILTER(
                "join-group",
                "hold the lock of every link of the host, group by group",
                join_group,
                NULL),
        BY_FILTER("join-source", "the same by the sources of a group", join_source, bring_lo_up),
        BY_FILTER("join-any", "the same by the option of all protocols", join_any_group, NULL),
        BY_FILTER("join-group6", "the same by IPv6", join_group6, NULL),
        BY_FILTER("join-any6", "the same by both", join_any_group6, NULL),
        BY_FILTER("filter-of-group", "the same by asking about one", filter_of_group, bring_lo_up),
        BY_FILTER("filter-of-any", "the same for all protocols", filter_of_any_group, NULL),
        BY_FILTER("filter-of-any6", "the same by IPv6", filter_of_any_group6, NULL),
        OF_DRIVER("ethtool", "hold that lock while a driver is asked", ask_driver),
        OF_DRIVER("hardware-times", "the same for times of packets", ask_for_times),
        OF_DRIVER("wan", "the same for what serial lines have", ask_for_wan),
        OF_DRIVER("bond", "the same for links that are one", ask_for_bond),
        OF_DRIVER("bond-part", "the same for one of them", ask_for_part_of_bond),
        OF_DRIVER("driver", "the same for what a driver alone knows", ask_in_private),
        OF_DRIVER("driver-last", "the same by its last number", ask_in_private_last),
        OF_WIRELESS("wireless", "the same for wireless links", ask_wireless),
        OF_WIRELESS("wireless-last", "the same by the last of their numbers", ask_wireless_last),
        BY_FILTER(
                "flow-label", "take the labels of everybody's IPv6 flows", flow_label, bring_lo_up),
        {
                .name = "network/join-anycast6",
                .tries = "the same by an anycast address of IPv6",
                .stopped_by = "seccomp capabilities user",
                .error = ENOPROTOOPT,
                .control = CONTROL_ROOT,
                .run = join_anycast6,
        },
        {.name = NULL},
};
