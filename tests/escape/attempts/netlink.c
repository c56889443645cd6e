/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Netlink. In a dyno NETLINK_ROUTE alone opens, for programs that list their addresses;
 * what changes anything wants a capability over the network namespace, which belongs to
 * the host's user namespace and not to the dyno's.
 */

#include <linux/audit.h>
#include <linux/genetlink.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/inet_diag.h>
#include <linux/net_namespace.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "escape.h"

#define REQUEST_SIZE 512
#define NETLINK_FAMILIES_MAX 32 /* MAX_LINKS of the kernel */
#define TEST_NETWORK 0xc0000200 /* 192.0.2.0 */

/* A request under construction. */
typedef struct Request {
        union {
                struct nlmsghdr header;
                char bytes[REQUEST_SIZE];
        } u;
} Request;

static Request request(int type, int flags, const void *body, size_t size) {
        Request req = {
                .u.header = {
                        .nlmsg_len = NLMSG_LENGTH(size),
                        .nlmsg_type = (unsigned short)type,
                        .nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags),
                        .nlmsg_seq = 1,
                }};

        memcpy(NLMSG_DATA(&req.u.header), body, size);
        return req;
}

static void add_attribute(Request *req, int type, const void *data, size_t size) {
        struct rtattr *at = (struct rtattr *)(req->u.bytes + NLMSG_ALIGN(req->u.header.nlmsg_len));

        at->rta_type = (unsigned short)type;
        at->rta_len = (unsigned short)RTA_LENGTH(size);
        memcpy(RTA_DATA(at), data, size);
        req->u.header.nlmsg_len = NLMSG_ALIGN(req->u.header.nlmsg_len) + RTA_ALIGN(at->rta_len);
}

/* The kernel's answer: 0 or -errno. With @fd not closed: the socket stays the caller's. */
static int exchange(int fd, const void *data, size_t size) {
        struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
        union {
                struct nlmsghdr header;
                char bytes[8192];
        } answer;
        ssize_t n;

        if (sendto(fd, data, size, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
                return -errno;
        n = recv(fd, &answer, sizeof(answer), 0);
        if (n < 0)
                return -errno;
        if (n < (ssize_t)sizeof(answer.header))
                return ATTEMPT_BROKEN;
        if (answer.header.nlmsg_type == NLMSG_ERROR)
                return ((struct nlmsgerr *)NLMSG_DATA(&answer.header))->error;
        if (answer.header.nlmsg_type == NLMSG_DONE) /* of a list that ends as it begins */
                return *(int *)NLMSG_DATA(&answer.header);
        return 0;
}

static int ask(int family, const Request *req) {
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);
        int r;

        if (fd < 0)
                return -errno;
        r = exchange(fd, req, req->u.header.nlmsg_len);
        (void)close(fd);
        return r;
}

static int index_of(const char *name) {
        struct ifreq ifr = {.ifr_name = ""};
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        int r;

        strcpy(ifr.ifr_name, name);
        r = ioctl(fd, SIOCGIFINDEX, &ifr) < 0 ? -errno : ifr.ifr_ifindex;
        (void)close(fd);
        return r;
}

/* The link that the attempt is about: the dyno's only real one, and lo in a control. */
static int link_index(void) {
        int index = escape_is_control ? -ENODEV : index_of("eth0");

        return index > 0 ? index : index_of("lo");
}

static int lo_up(void) {
        struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        int r;

        if (fd < 0)
                return -errno;
        r = attempt_result(ioctl(fd, SIOCSIFFLAGS, &ifr));
        (void)close(fd);
        return r;
}

/* ---- NETLINK_ROUTE ---- */

static int change_route(int type, int flags) {
        const struct rtmsg route = {
                .rtm_family = AF_INET,
                .rtm_dst_len = 24,
                .rtm_table = RT_TABLE_MAIN,
                .rtm_protocol = RTPROT_STATIC,
                .rtm_scope = RT_SCOPE_LINK,
                .rtm_type = RTN_UNICAST,
        };
        Request req = request(type, flags | NLM_F_ACK, &route, sizeof(route));
        uint32_t network = htonl(TEST_NETWORK);
        int index = link_index();

        if (index < 0)
                return ATTEMPT_BROKEN;
        add_attribute(&req, RTA_DST, &network, sizeof(network));
        add_attribute(&req, RTA_OIF, &index, sizeof(index));
        return ask(NETLINK_ROUTE, &req);
}

static int route_add(void) {
        return change_route(RTM_NEWROUTE, NLM_F_CREATE);
}

static int route_delete(void) {
        return change_route(RTM_DELROUTE, 0);
}

static int route_delete_set_up(void) {
        int r = lo_up();

        return r < 0 ? r : change_route(RTM_NEWROUTE, NLM_F_CREATE);
}

static int address_add(void) {
        const struct ifaddrmsg address = {
                .ifa_family = AF_INET,
                .ifa_prefixlen = 30,
                .ifa_index = (unsigned)link_index(),
        };
        Request req = request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_ACK, &address, sizeof(address));
        uint32_t value = htonl(TEST_NETWORK + 1);

        add_attribute(&req, IFA_LOCAL, &value, sizeof(value));
        add_attribute(&req, IFA_ADDRESS, &value, sizeof(value));
        return ask(NETLINK_ROUTE, &req);
}

static int change_link(int attribute, const void *data, size_t size) {
        const struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = link_index()};
        Request req = request(RTM_NEWLINK, NLM_F_ACK, &link, sizeof(link));

        add_attribute(&req, attribute, data, size);
        return ask(NETLINK_ROUTE, &req);
}

static int link_mtu(void) {
        const uint32_t mtu = 1280;

        return change_link(IFLA_MTU, &mtu, sizeof(mtu));
}

static int link_to_other_namespace(void) {
        const uint32_t pid = 1;
        int r = change_link(IFLA_NET_NS_PID, &pid, sizeof(pid));

        /* lo may not be moved: the capability was there. */
        return escape_is_control && r == -EINVAL ? 0 : r;
}

static int link_new(void) {
        const struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
        Request req =
                request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &link, sizeof(link));
        struct {
                struct rtattr header;
                char kind[4];
        } info = {{sizeof(struct rtattr) + 4, IFLA_INFO_KIND}, {'v', 'e', 't', 'h'}};

        add_attribute(&req, IFLA_LINKINFO, &info, sizeof(info));
        return ask(NETLINK_ROUTE, &req);
}

static int neighbour_add(void) {
        const struct ndmsg neighbour = {
                .ndm_family = AF_INET, .ndm_ifindex = link_index(), .ndm_state = NUD_PERMANENT};
        Request req =
                request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, &neighbour, sizeof(neighbour));
        uint32_t address = htonl(TEST_NETWORK + 2);

        add_attribute(&req, NDA_DST, &address, sizeof(address));
        add_attribute(&req, NDA_LLADDR, "\2\0\0\0\0\1", 6);
        return ask(NETLINK_ROUTE, &req);
}

static int rule_add(void) {
        const struct rtmsg rule = {
                .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST};
        Request req =
                request(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &rule, sizeof(rule));

        return ask(NETLINK_ROUTE, &req);
}

static int qdisc_add(void) {
        const struct tcmsg qdisc = {
                .tcm_family = AF_UNSPEC,
                .tcm_ifindex = link_index(),
                .tcm_handle = 0xffff0000,
                .tcm_parent = 0xfffffff1, /* TC_H_CLSACT */
        };
        Request req = request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_ACK, &qdisc, sizeof(qdisc));

        add_attribute(&req, TCA_KIND, "clsact", sizeof("clsact"));
        return ask(NETLINK_ROUTE, &req);
}

/* ---- other network namespaces through NETLINK_ROUTE ---- */

/*
 * A dyno's eth0 carries the number under which its namespace knows the one of its other
 * end: the host's. Links there can be listed by that number.
 */
static int links_of_the_host(void) {
        const struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
        Request req = request(RTM_GETLINK, NLM_F_DUMP, &link, sizeof(link));
        int id = 0;

        add_attribute(&req, IFLA_TARGET_NETNSID, &id, sizeof(id));
        return ask(NETLINK_ROUTE, &req);
}

static int name_own_namespace(void) {
        const struct rtgenmsg message = {.rtgen_family = AF_UNSPEC};
        Request req = request(RTM_NEWNSID, NLM_F_ACK, &message, sizeof(message));
        int id = 0, pid = (int)getpid();

        req.u.header.nlmsg_len = NLMSG_ALIGN(req.u.header.nlmsg_len);
        add_attribute(&req, NETNSA_NSID, &id, sizeof(id));
        add_attribute(&req, NETNSA_PID, &pid, sizeof(pid));
        return ask(NETLINK_ROUTE, &req);
}

static int listen_to_all(void) {
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        int one = 1, r;

        if (fd < 0)
                return -errno;
        r = attempt_result(setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &one, sizeof(one)));
        (void)close(fd);
        return r;
}

/* ---- other families ---- */

static int all_families(void) {
        for (int family = 1; family < NETLINK_FAMILIES_MAX; family++) {
                int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);

                if (fd >= 0) {
                        (void)close(fd);
                        return 0;
                }
                if (errno != EPROTONOSUPPORT)
                        return -errno;
        }
        return -EPROTONOSUPPORT;
}

static int audit(void) {
        Request req = request(AUDIT_GET, NLM_F_ACK, "", 0);

        return ask(NETLINK_AUDIT, &req);
}

/* A batch of three messages: begin, a table, end. */
static int nfnetlink(void) {
        struct {
                struct nlmsghdr begin;
                struct nfgenmsg begin_body;
                struct nlmsghdr table;
                struct nfgenmsg table_body;
                struct rtattr name;
                char text[8];
                struct nlmsghdr end;
                struct nfgenmsg end_body;
        } batch = {
                .begin =
                        {NLMSG_LENGTH(sizeof(struct nfgenmsg)),
                         NFNL_MSG_BATCH_BEGIN,
                         NLM_F_REQUEST,
                         1,
                         0},
                .begin_body = {AF_UNSPEC, NFNETLINK_V0, htons(NFNL_SUBSYS_NFTABLES)},
                .table =
                        {NLMSG_LENGTH(sizeof(struct nfgenmsg)) + RTA_LENGTH(8),
                         NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE,
                         NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE,
                         2,
                         0},
                .table_body = {AF_INET, NFNETLINK_V0, 0},
                .name = {RTA_LENGTH(8), NFTA_TABLE_NAME},
                .text = "escaped",
                .end = {NLMSG_LENGTH(sizeof(struct nfgenmsg)),
                        NFNL_MSG_BATCH_END,
                        NLM_F_REQUEST,
                        3,
                        0},
                .end_body = {AF_UNSPEC, NFNETLINK_V0, htons(NFNL_SUBSYS_NFTABLES)},
        };
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
        int r;

        if (fd < 0)
                return -errno;
        r = exchange(fd, &batch, sizeof(batch));
        (void)close(fd);
        return r;
}

/* Nothing answers an event; sending it is what takes the privilege. */
static int uevent(void) {
        static const char event[] = "add@/escape\0ACTION=add\0DEVPATH=/escape\0SUBSYSTEM=escape";
        Request req = request(NLMSG_MIN_TYPE, NLM_F_ACK, event, sizeof(event));

        return ask(NETLINK_KOBJECT_UEVENT, &req);
}

static int xfrm(void) {
        Request req = request(XFRM_MSG_FLUSHPOLICY, NLM_F_ACK, "", 0);

        return ask(NETLINK_XFRM, &req);
}

static int generic(void) {
        const struct genlmsghdr header = {.cmd = CTRL_CMD_GETFAMILY, .version = 1};
        Request req = request(GENL_ID_CTRL, NLM_F_DUMP, &header, sizeof(header));

        return ask(NETLINK_GENERIC, &req);
}

static int sock_diag(void) {
        const struct inet_diag_req_v2 diag = {
                .sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0U};
        Request req = request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &diag, sizeof(diag));

        return ask(NETLINK_SOCK_DIAG, &req);
}

#define ROUTE(name_, tries_, run_, set_up_)                                                        \
        {                                                                                          \
                .name = "netlink/" name_, .tries = tries_,                                         \
                .stopped_by = "capabilities user apparmor", .error = EPERM,                        \
                .control = CONTROL_ROOT, .run = run_, .set_up = set_up_,                           \
        }

#define FAMILY(name_, tries_, stopped_by_, control_, run_)                                         \
        {                                                                                          \
                .name = "netlink/" name_, .tries = tries_, .stopped_by = stopped_by_,              \
                .error = EPROTONOSUPPORT, .control = control_, .run = run_,                        \
        }

const Attempt attempts_netlink[] = {
        ROUTE("route-add", "send a network of the host's another way", route_add, lo_up),
        ROUTE("route-delete", "take a route away", route_delete, route_delete_set_up),
        ROUTE("address-add", "take a neighbour's address", address_add, NULL),
        ROUTE("link-mtu", "change its link", link_mtu, NULL),
        ROUTE("link-move",
              "move its link, and with it its address, into another namespace",
              link_to_other_namespace,
              NULL),
        ROUTE("link-new", "make links of its own", link_new, NULL),
        ROUTE("neighbour-add", "pretend to be where a neighbour is", neighbour_add, lo_up),
        ROUTE("rule-add", "choose another routing table", rule_add, NULL),
        ROUTE("qdisc-add", "put packet filters on its link", qdisc_add, NULL),
        {
                .name = "netlink/links-of-the-host",
                .tries = "list the links of the namespace at the other end of its own",
                .stopped_by = "capabilities user",
                .error = EACCES,
                .control = CONTROL_ROOT,
                .run = links_of_the_host,
                .set_up = name_own_namespace,
        },
        {
                .name = "netlink/listen-all",
                .tries = "hear of the links of every namespace that has a number here",
                .stopped_by = "capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = listen_to_all,
        },
        FAMILY("all-families",
               "open any family but NETLINK_ROUTE",
               "seccomp",
               CONTROL_USER,
               all_families),
        FAMILY("audit",
               "read and change what the host audits",
               "seccomp capabilities user apparmor",
               CONTROL_ROOT | CONTROL_VM,
               audit),
        FAMILY("nfnetlink",
               "make firewall tables",
               "seccomp capabilities user apparmor",
               CONTROL_ROOT,
               nfnetlink),
        FAMILY("uevent",
               "make the host believe in a new device",
               "seccomp capabilities user apparmor",
               CONTROL_ROOT,
               uevent),
        FAMILY("xfrm",
               "change IPsec policies",
               "seccomp capabilities user apparmor",
               CONTROL_ROOT | CONTROL_VM,
               xfrm),
        FAMILY("generic",
               "reach the dozens of families behind generic netlink",
               "seccomp",
               CONTROL_USER,
               generic),
        FAMILY("sock-diag",
               "have modules loaded that list sockets",
               "seccomp",
               CONTROL_USER,
               sock_diag),
        {.name = NULL},
};
