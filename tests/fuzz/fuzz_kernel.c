/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the kernel tells root about things that dynos and other programs of the host shape:
 * tracked connections, listeners, routes, addresses, rules, and the tables of other
 * firewalls. The first byte picks the reader; what it is sent are netlink messages made
 * from a likely kind of attributes, then damaged, cut, or too many. Each reader ends, and
 * what it asks to be removed is well-formed.
 *
 * Covers: sandbox/conntrack.c:90 sandbox/net_listen.c:88 sandbox/net_rtnl.c:75
 *          sandbox/net_watch.c:70 sandbox/firewall_others.c:92 sandbox/firewall_legacy.c:90
 *          sandbox/net_host.c:65 sandbox/firewall.c:52
 * Options: -max_len=4096
 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/socket.h>

/* After the C library's, which the kernel's headers then leave alone. */
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/inet_diag.h>
#include <linux/netconf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>

#include "fuzz_input.h"
#include "sandbox/firewall_others.h"
#include "sandbox/net_internal.h"

#define SOCKET ((struct mnl_socket *)&input) /* only ever handed back */
#define SOCKET_FD 1000000
#define PORT_ID 7
#define DATAGRAM_SIZE 32768
#define DATAGRAMS_MAX 12 /* of one answer */
#define SLOTS 8

typedef enum Part {
        PART_CONNTRACK,
        PART_LISTEN,
        PART_ROUTES,
        PART_WATCH,
        PART_BLOCKERS,
        PART_ELEMENTS,
        PART_LEGACY, /* a host without nftables of others */
        _PART_MAX,
} Part;

static Input input;
static unsigned part; /* Part */
static uint32_t last_seq;
static uint8_t last_type; /* of the request */
static unsigned n_datagrams;
static bool is_list; /* an answer that ends with NLMSG_DONE */

/* ---- messages ---- */

typedef struct Message {
        _Alignas(struct nlmsghdr) uint8_t data[DATAGRAM_SIZE];
        size_t size;
} Message;

static void put(Message *m, const void *data, size_t size) {
        size_t padded = (size + 3) & ~(size_t)3;

        if (m->size + padded > sizeof(m->data))
                return;
        memset(m->data + m->size, 0, padded);
        if (size > 0)
                memcpy(m->data + m->size, data, size);
        m->size += padded;
}

static size_t begin_attr(Message *m, uint16_t type) {
        const struct nlattr attr = {.nla_type = type};
        size_t at = m->size;

        put(m, &attr, sizeof(attr));
        return at;
}

static void end_attr(Message *m, size_t at) {
        struct nlattr attr;

        if (at + sizeof(attr) > m->size)
                return;
        memcpy(&attr, m->data + at, sizeof(attr));
        attr.nla_len = (uint16_t)(m->size - at);
        memcpy(m->data + at, &attr, sizeof(attr));
}

static void put_attr(Message *m, uint16_t type, const void *data, size_t size) {
        struct nlattr attr = {.nla_type = type, .nla_len = (uint16_t)(sizeof(attr) + size)};

        if (m->size + sizeof(attr) + size + 3 > sizeof(m->data))
                return;
        put(m, &attr, sizeof(attr));
        put(m, data, size);
}

static void put_text(Message *m, uint16_t type) {
        static const char *const texts[] = {
                "filter",
                "dynod",
                "INPUT",
                "FORWARD",
                "f2b-sshd",
                "ufw-user-forward",
                "firewalld",
                "DOCKER-USER",
                "dynod-1",
                "eth0",
                "",
                "a\033[2Jb",
                "nginx",
                "a-name-that-is-longer-than-what-is-kept-of-one-by-far-and-on-and-on"};
        const char *text = texts[input_pick(&input, ARRAY_SIZE(texts))];

        put_attr(m, type, text, strlen(text) + 1);
}

static void put_number(Message *m, uint16_t type, bool network_order) {
        static const uint32_t numbers[] = {0, 1, 2, 3, 4, 5, 10, 100, UINT32_MAX, INT32_MAX};
        uint32_t value = numbers[input_pick(&input, ARRAY_SIZE(numbers))];

        value = network_order ? htonl(value) : value;
        put_attr(m, type, &value, sizeof(value));
}

/* Of a dyno, of the host, or any. */
static void put_address(Message *m, uint16_t type) {
        uint32_t value = htonl(0xac1e0000 + 4 * input_byte(&input) + 2);

        if (input_byte(&input) > 0xc0)
                value = input_u32(&input);
        put_attr(m, type, &value, sizeof(value));
}

/* An attribute of any type and length, and others within it. */
static void put_any(Message *m, unsigned depth) {
        uint8_t what = input_byte(&input);
        uint16_t type = input_byte(&input) % 40;
        const uint8_t *data;
        size_t size, at;

        if (what < 0x40 && depth < 4) {
                at = begin_attr(m, (uint16_t)(type | ((what & 1) != 0 ? NLA_F_NESTED : 0)));
                for (unsigned n = what % 4; n > 0; n--)
                        put_any(m, depth + 1);
                end_attr(m, at);
        } else if (what < 0x80)
                put_number(m, type, (what & 1) != 0);
        else if (what < 0xc0)
                put_text(m, type);
        else {
                data = input_bytes(&input, 1, 128, &size);
                put_attr(m, type, data, size);
        }
}

static void put_tuple(Message *m, uint16_t type) {
        size_t tuple = begin_attr(m, type | NLA_F_NESTED), ip;

        ip = begin_attr(m, CTA_TUPLE_IP | NLA_F_NESTED);
        put_address(m, CTA_IP_V4_SRC);
        put_address(m, CTA_IP_V4_DST);
        end_attr(m, ip);
        if (input_byte(&input) > 0x80)
                put_any(m, 1);
        end_attr(m, tuple);
}

static void put_connection(Message *m) {
        put_tuple(m, CTA_TUPLE_ORIG);
        put_tuple(m, CTA_TUPLE_REPLY);
        put_number(m, CTA_ID, true);
}

/* Registers are few, so that one expression finds what another has loaded. */
static void put_register(Message *m, uint16_t type) {
        put_attr(m, type, &(uint32_t){htonl(input_byte(&input) % 4)}, sizeof(uint32_t));
}

static void put_verdict(Message *m, uint16_t type) {
        static const int32_t codes[] = {NFT_JUMP, NFT_GOTO, NF_DROP, NF_ACCEPT, NFT_RETURN};
        size_t data = begin_attr(m, type | NLA_F_NESTED), verdict;
        uint32_t code = (uint32_t)codes[input_pick(&input, ARRAY_SIZE(codes))];

        verdict = begin_attr(m, NFTA_DATA_VERDICT | NLA_F_NESTED);
        put_attr(m, NFTA_VERDICT_CODE, &(uint32_t){htonl(code)}, sizeof(uint32_t));
        put_text(m, NFTA_VERDICT_CHAIN);
        end_attr(m, verdict);
        end_attr(m, data);
}

static void put_compared(Message *m) {
        static const char *const links[] = {"dynod-", "dynod-5", "dyn", "eth0"};
        const char *link = links[input_pick(&input, ARRAY_SIZE(links))];
        size_t data = begin_attr(m, NFTA_CMP_DATA | NLA_F_NESTED);

        put_attr(m, NFTA_DATA_VALUE, link, strlen(link) + (input_byte(&input) & 1));
        end_attr(m, data);
}

static void put_limit(Message *m) {
        const uint64_t rate = htobe64(5), unit = htobe64(1);

        put_attr(m, NFTA_LIMIT_RATE, &rate, sizeof(rate));
        put_attr(m, NFTA_LIMIT_UNIT, &unit, sizeof(unit));
        put_number(m, NFTA_LIMIT_FLAGS, true);
}

static void put_expression_body(Message *m, const char *name) {
        static const uint32_t meta[] = {NFT_META_IIFNAME, NFT_META_OIFNAME, NFT_META_IIF};
        static const char *const matches[] = {"conntrack", "state", "tcp"};

        if (strcmp(name, "immediate") == 0) {
                put_register(m, NFTA_IMMEDIATE_DREG);
                put_verdict(m, NFTA_IMMEDIATE_DATA);
        } else if (strcmp(name, "cmp") == 0) {
                put_register(m, NFTA_CMP_SREG);
                put_attr(m, NFTA_CMP_OP, &(uint32_t){htonl(input_byte(&input) % 3)}, 4);
                put_compared(m);
        } else if (strcmp(name, "lookup") == 0) {
                put_text(m, NFTA_LOOKUP_SET);
                put_register(m, NFTA_LOOKUP_SREG);
                if (input_byte(&input) & 1)
                        put_register(m, NFTA_LOOKUP_DREG);
        } else if (strcmp(name, "meta") == 0) {
                put_register(m, NFTA_META_DREG);
                put_attr(m, NFTA_META_KEY, &(uint32_t){htonl(meta[input_byte(&input) % 3])}, 4);
        } else if (strcmp(name, "ct") == 0) {
                put_register(m, NFTA_CT_DREG);
                put_attr(m, NFTA_CT_KEY, &(uint32_t){htonl(input_byte(&input) % 2)}, 4);
        } else if (strcmp(name, "bitwise") == 0) {
                put_register(m, NFTA_BITWISE_SREG);
                put_register(m, NFTA_BITWISE_DREG);
        } else if (strcmp(name, "match") == 0) {
                name = matches[input_pick(&input, ARRAY_SIZE(matches))];
                put_attr(m, NFTA_MATCH_NAME, name, strlen(name) + 1);
        } else if (strcmp(name, "limit") == 0)
                put_limit(m);
}

static void put_expression(Message *m, uint16_t type) {
        static const char *const names[] = {
                "immediate",
                "cmp",
                "lookup",
                "counter",
                "reject",
                "meta",
                "ct",
                "bitwise",
                "match",
                "limit"};
        const char *name = names[input_pick(&input, ARRAY_SIZE(names))];
        size_t element = begin_attr(m, type | NLA_F_NESTED), body;

        put_attr(m, NFTA_EXPR_NAME, name, strlen(name) + 1);
        body = begin_attr(m, NFTA_EXPR_DATA | NLA_F_NESTED);
        put_expression_body(m, name);
        end_attr(m, body);
        end_attr(m, element);
}

static void put_element(Message *m) {
        size_t element = begin_attr(m, NFTA_LIST_ELEM | NLA_F_NESTED), data;
        uint8_t what = input_byte(&input);
        char link[IFNAMSIZ] = "eth0";

        if ((what & 4) != 0)
                strcpy(link, "dynod-");

        data = begin_attr(m, NFTA_SET_ELEM_KEY | NLA_F_NESTED);
        if (what < 0xc0)
                put_attr(m, NFTA_DATA_VALUE, link, sizeof(link));
        else
                put_text(m, NFTA_DATA_VALUE);
        end_attr(m, data);
        if ((what & 1) != 0) {
                if ((what & 2) != 0)
                        put_verdict(m, NFTA_SET_ELEM_DATA);
                else {
                        data = begin_attr(m, NFTA_SET_ELEM_DATA | NLA_F_NESTED);
                        put_number(m, NFTA_DATA_VALUE, false);
                        end_attr(m, data);
                }
        }
        if ((what & 8) != 0)
                put_expression(m, NFTA_SET_ELEM_EXPR);
        end_attr(m, element);
}

/* Of nftables, which all begin with the table's name. */
static void put_filter_object(Message *m, uint8_t type) {
        size_t nest;

        put_text(m, NFTA_RULE_TABLE);
        if (type == NFT_MSG_NEWCHAIN) {
                put_text(m, NFTA_CHAIN_NAME);
                if (input_byte(&input) < 0xa0) {
                        nest = begin_attr(m, NFTA_CHAIN_HOOK | NLA_F_NESTED);
                        put_number(m, NFTA_HOOK_HOOKNUM, true);
                        put_number(m, NFTA_HOOK_PRIORITY, true);
                        end_attr(m, nest);
                        put_number(m, NFTA_CHAIN_POLICY, true);
                }
        } else if (type == NFT_MSG_NEWRULE) {
                put_text(m, NFTA_RULE_CHAIN);
                nest = begin_attr(m, NFTA_RULE_EXPRESSIONS | NLA_F_NESTED);
                for (uint8_t n = input_byte(&input) % 5; n > 0; n--)
                        put_expression(m, NFTA_LIST_ELEM);
                end_attr(m, nest);
        } else if (type == NFT_MSG_NEWSETELEM) {
                put_text(m, NFTA_SET_ELEM_LIST_SET);
                nest = begin_attr(m, NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED);
                for (uint8_t n = input_byte(&input) % 4; n > 0; n--)
                        put_element(m);
                end_attr(m, nest);
        } else if (type == NFT_MSG_NEWGEN) {
                put_number(m, NFTA_GEN_PROC_PID, true);
                put_text(m, NFTA_GEN_PROC_NAME);
        }
}

/* Its switches, or something else about it. */
static void put_link_news(Message *m, uint8_t type) {
        const struct netconfmsg netconf = {.ncm_family = AF_INET};
        const struct ifinfomsg info = {.ifi_index = input_byte(&input) % 4};

        if (type != RTM_NEWNETCONF) {
                put(m, &info, sizeof(info));
                return;
        }
        put(m, &netconf, sizeof(netconf));
        put_number(m, NETCONFA_IFINDEX, false);
        put_number(m, NETCONFA_FORWARDING, false);
}

/* Headers and attributes of the messages that each reader waits for. */
static uint16_t put_payload(Message *m) {
        static const uint8_t filter[] = {
                NFT_MSG_NEWCHAIN,
                NFT_MSG_NEWRULE,
                NFT_MSG_NEWGEN,
                NFT_MSG_NEWTABLE,
                NFT_MSG_NEWSETELEM};
        static const uint8_t routing[] = {
                RTM_NEWROUTE,
                RTM_DELROUTE,
                RTM_NEWADDR,
                RTM_DELADDR,
                RTM_NEWRULE,
                RTM_DELRULE,
                RTM_NEWNETCONF, /* from here on: put_link_news() */
                RTM_NEWNEIGH,
                RTM_NEWTFILTER,
                RTM_NEWLINK};
        const struct nfgenmsg nf = {
                .nfgen_family = input_byte(&input) > 0x60 ? NFPROTO_INET : NFPROTO_IPV4};
        struct inet_diag_msg diag = {.idiag_family = AF_INET, .idiag_state = 10};
        struct rtmsg route = {.rtm_family = AF_INET, .rtm_dst_len = 30, .rtm_type = RTN_UNICAST};
        struct rtnexthop hop = {.rtnh_len = sizeof(hop), .rtnh_ifindex = 2};
        uint8_t type = input_byte(&input);

        switch (part) {
        case PART_CONNTRACK:
                put(m, &nf, sizeof(nf));
                put_connection(m);
                return NFNL_SUBSYS_CTNETLINK << 8 | (type < 0xe0 ? IPCTNL_MSG_CT_NEW : type);
        case PART_LISTEN:
                diag.id.idiag_sport = htons((uint16_t)(input_byte(&input) << 8 | type));
                diag.id.idiag_src[0] = type < 0x80 ? 0 : htonl(0x7f000001);
                put(m, &diag, sizeof(diag));
                put_attr(m, INET_DIAG_SKV6ONLY, &type, 1);
                return 20; /* SOCK_DIAG_BY_FAMILY */
        case PART_BLOCKERS:
        case PART_ELEMENTS:
                type = last_type == NFT_MSG_GETCHAIN     ? NFT_MSG_NEWCHAIN
                       : last_type == NFT_MSG_GETRULE    ? NFT_MSG_NEWRULE
                       : last_type == NFT_MSG_GETSETELEM ? NFT_MSG_NEWSETELEM
                                                         : NFT_MSG_NEWTABLE;
                put(m, &nf, sizeof(nf));
                put_filter_object(m, type);
                return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
        default:
                if (part == PART_WATCH && type >= 0xc0) {
                        type = filter[type % ARRAY_SIZE(filter)];
                        put(m, &nf, sizeof(nf));
                        put_filter_object(m, type);
                        return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
                }
                if (part == PART_WATCH && type % ARRAY_SIZE(routing) >= 6) {
                        type = routing[type % ARRAY_SIZE(routing)];
                        put_link_news(m, type);
                        return type;
                }
                route.rtm_family = type % 16 == 0 ? AF_INET6 : AF_INET;
                route.rtm_dst_len = input_byte(&input) % 33;
                route.rtm_type = input_byte(&input) % 12;
                put(m, &route, sizeof(route));
                put_address(m, RTA_DST);
                put_number(m, RTA_OIF, false);
                if (type >= 0x80)
                        put_attr(m, RTA_MULTIPATH, &hop, sizeof(hop));
                if (type >= 0x40)
                        put_number(m, FRA_PRIORITY, false);
                return routing[type % ARRAY_SIZE(routing)];
        }
}

/* libnftnl itself ends the process at an attribute of another kind than the kernel's ABI says. */
static bool is_trusted(void) {
        return part == PART_BLOCKERS || part == PART_ELEMENTS;
}

static void put_message(Message *m) {
        struct nlmsghdr h = {.nlmsg_seq = last_seq, .nlmsg_pid = PORT_ID};
        uint8_t how = input_byte(&input);
        size_t begin = m->size;
        int32_t error;

        if (begin + 2048 > sizeof(m->data))
                return;
        if (part == PART_WATCH)
                h.nlmsg_pid = how % 4; /* of whoever did it */
        if (is_list)
                h.nlmsg_flags = NLM_F_MULTI;
        put(m, &h, sizeof(h));
        if (how < 0xd0)
                h.nlmsg_type = put_payload(m);
        else if (how < 0xd8) {
                error = how == 0xd0 ? 0 : -(int32_t)(how - 0xd0);
                h.nlmsg_type = NLMSG_ERROR;
                put(m, &error, sizeof(error));
                put(m, &h, sizeof(h));
        } else if (how < 0xe0) {
                h.nlmsg_type = how < 0xdc ? NLMSG_NOOP : NLMSG_DONE;
                put(m, &h, (how & 1) * 4U);
        } else
                h.nlmsg_type = put_payload(m);
        if (!is_trusted())
                for (unsigned n = how % 3; n > 0; n--)
                        put_any(m, 0);
        h.nlmsg_len = (uint32_t)(m->size - begin);
        if (how >= 0xf8)
                h.nlmsg_flags |= NLM_F_DUMP_INTR;
        memcpy(m->data + begin, &h, sizeof(h));
        /* behind the header: libmnl takes the kernel's word for its length */
        if (how >= 0xf0 && !is_trusted() && h.nlmsg_len > sizeof(h))
                m->data[begin + sizeof(h) + input_u32(&input) % (h.nlmsg_len - sizeof(h))] =
                        input_byte(&input);
}

/* The next datagram. Return: its size, cut to @size; 0: there is none. */
static ssize_t next_datagram(void *buf, size_t size) {
        static Message m;
        const struct nlmsghdr done = {
                .nlmsg_len = sizeof(done) + 4,
                .nlmsg_type = NLMSG_DONE,
                .nlmsg_flags = NLM_F_MULTI,
                .nlmsg_seq = last_seq,
                .nlmsg_pid = PORT_ID,
        };
        uint8_t how = input_byte(&input);

        m.size = 0;
        if (input.size == 0 || n_datagrams >= DATAGRAMS_MAX || part == PART_LEGACY) {
                if (!is_list)
                        return 0;
                put(&m, &done, sizeof(done));
                put(&m, &(int32_t){0}, sizeof(int32_t));
        } else
                for (unsigned n = 1 + (how < 0xc0 ? how % 8U : how * 2U); n > 0; n--)
                        put_message(&m);
        n_datagrams++;
        if (how >= 0xf8 && m.size > 4 && !is_trusted())
                m.size -= 4;
        size = size < m.size ? size : m.size;
        memcpy(buf, m.data, size);
        return (ssize_t)size;
}

/* ---- the kernel's calls ---- */

/* A request: what root sends is well-formed, whatever it was made from. */
static ssize_t take_request(const void *data, size_t size) {
        const struct nlmsghdr *h = data;
        int left = (int)size;

        for (; left > 0; h = mnl_nlmsg_next(h, &left)) {
                assert(mnl_nlmsg_ok(h, left));
                last_seq = h->nlmsg_seq;
                last_type = (uint8_t)h->nlmsg_type;
                is_list = (h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
        }
        n_datagrams = 0;
        return (ssize_t)size;
}

struct mnl_socket *mnl_socket_open2(int bus, int flags) {
        return SOCKET;
}

int mnl_socket_bind(struct mnl_socket *socket, unsigned groups, pid_t pid) {
        return 0;
}

int mnl_socket_close(struct mnl_socket *socket) {
        return 0;
}

unsigned mnl_socket_get_portid(const struct mnl_socket *socket) {
        return PORT_ID;
}

int mnl_socket_get_fd(const struct mnl_socket *socket) {
        return SOCKET_FD;
}

ssize_t mnl_socket_sendto(const struct mnl_socket *socket, const void *data, size_t size) {
        return take_request(data, size);
}

ssize_t mnl_socket_recvfrom(const struct mnl_socket *socket, void *buf, size_t size) {
        ssize_t n = next_datagram(buf, size);

        errno = ENOBUFS;
        return n > 0 ? n : -1;
}

int nl_connect(struct nl_sock *socket, int protocol) {
        return 0;
}

ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags) {
        return take_request(data, size);
}

ssize_t __wrap_recv(int fd, void *buf, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t size, int flags) {
        static const int errors[] = {ENOBUFS, EINTR, EAGAIN, ENOMEM};
        uint8_t how = input_byte(&input);
        ssize_t n = 0;

        errno = errors[how % ARRAY_SIZE(errors)];
        if ((flags & MSG_DONTWAIT) != 0 && (input.size == 0 || n_datagrams >= DATAGRAMS_MAX))
                errno = EAGAIN;
        else if (how < 0xf0)
                n = next_datagram(buf, size);
        if (n == 0 && input.size == 0)
                errno = EAGAIN;
        return n > 0 ? n : -1;
}

char *__wrap_if_indextoname(unsigned index, char *ret);
char *__wrap_if_indextoname(unsigned index, char *ret) {
        static const char *const names[] = {"lo", "eth0", "dynod-5", "other-12", "a-b-c"};

        if (index == 0 || index > ARRAY_SIZE(names))
                return NULL;
        (void)snprintf(ret, IFNAMSIZ, "%s", names[index - 1]);
        return ret;
}

/* ---- ip_tables ---- */

#define LEGACY_ENTRIES 16 /* each of less than 256 bytes */

static struct ipt_getinfo legacy_info;
static uint8_t legacy_entries[4096];

static void put_link(char *name, unsigned char *mask) {
        uint8_t how = input_byte(&input);

        strcpy(name, (how & 1) != 0 ? "dynod-1" : "eth0");
        memset(mask, 0xff, (how & 2) != 0 ? strlen("dynod-") : strlen(name) + 1);
}

/* The chain that begins behind it. */
static void put_error(unsigned *at) {
        static const char *const chains[] = {"ERROR", "DOCKER-USER", "f2b", "ufw-user-forward"};
        struct xt_error_target end = {.target.u.user = {.target_size = sizeof(end)}};
        struct ipt_entry entry = {
                .target_offset = sizeof(entry), .next_offset = sizeof(entry) + sizeof(end)};

        strcpy(end.target.u.user.name, "ERROR");
        strcpy(end.errorname, chains[input_pick(&input, ARRAY_SIZE(chains))]);
        memcpy(legacy_entries + *at, &entry, sizeof(entry));
        memcpy(legacy_entries + *at + sizeof(entry), &end, sizeof(end));
        *at += entry.next_offset;
}

/* @starts: of the entries before it, to which it may jump. */
static void put_rule(unsigned *at, const unsigned *starts, unsigned n) {
        struct ipt_entry entry = {.target_offset = sizeof(entry)};
        struct xt_entry_match match = {.u.user = {.match_size = sizeof(match)}};
        struct xt_standard_target target = {.target.u.user.target_size = sizeof(target)};
        uint8_t how = input_byte(&input);

        if ((how & 1) != 0)
                put_link(entry.ip.iniface, entry.ip.iniface_mask);
        if ((how & 2) != 0)
                put_link(entry.ip.outiface, entry.ip.outiface_mask);
        if ((how & 4) != 0)
                entry.ip.invflags = input_byte(&input);
        if ((how & 8) != 0) {
                strcpy(match.u.user.name, (input_byte(&input) & 1) != 0 ? "conntrack" : "tcp");
                memcpy(legacy_entries + *at + entry.target_offset, &match, sizeof(match));
                entry.target_offset += sizeof(match);
        }
        if ((how & 0x10) != 0)
                strcpy(target.target.u.user.name, "REJECT");
        target.verdict = (how & 0x20) != 0 || n == 0 ? -1 - input_byte(&input) % 5
                                                     : (int)starts[input_byte(&input) % n];
        entry.next_offset = entry.target_offset + sizeof(target);
        memcpy(legacy_entries + *at + entry.target_offset, &target, sizeof(target));
        memcpy(legacy_entries + *at, &entry, sizeof(entry));
        *at += entry.next_offset;
}

static void make_legacy(void) {
        uint8_t how = input_byte(&input), n = input_byte(&input) % LEGACY_ENTRIES;
        unsigned at = 0, starts[LEGACY_ENTRIES];

        memset(legacy_entries, 0, sizeof(legacy_entries));
        legacy_info = (struct ipt_getinfo){.valid_hooks = how % 32, .num_entries = n};
        for (uint8_t i = 0; i < n; i++) {
                uint8_t what = input_byte(&input);

                if (what % 4 == 0)
                        legacy_info.hook_entry[what / 4 % NF_INET_NUMHOOKS] = at;
                starts[i] = at;
                if (what >= 0xc0)
                        put_error(&at);
                else
                        put_rule(&at, starts, i);
        }
        legacy_info.size = at;
        if (how >= 0xe0 && at > 0)
                legacy_entries[input_u32(&input) % at] = input_byte(&input);
        if (how >= 0xf0)
                ((uint8_t *)&legacy_info)[input_byte(&input) % sizeof(legacy_info)] =
                        input_byte(&input);
}

int __wrap_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol) {
        return open("/dev/null", O_RDWR | O_CLOEXEC); /* it is closed */
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size) {
        struct ipt_get_entries *entries = value;
        size_t n;

        assert(level == SOL_IP);
        if (name == IPT_SO_GET_INFO) {
                make_legacy();
                memcpy(value, &legacy_info, sizeof(legacy_info));
                return 0;
        }
        n = *size - sizeof(*entries);
        n = n < sizeof(legacy_entries) ? n : sizeof(legacy_entries);
        memcpy(entries->entrytable, legacy_entries, n);
        return 0;
}

ssize_t __wrap_read_text_at(int dir_fd, const char *path, char *buf, size_t size);
ssize_t __wrap_read_text_at(int dir_fd, const char *path, char *buf, size_t size) {
        static const char *const tables[] = {"filter\n", "nat\nfilter\n", "", "\n\nraw\n"};

        return snprintf(buf, size, "%s", tables[input_pick(&input, ARRAY_SIZE(tables))]);
}

/* ---- the readers ---- */

static unsigned n_refreshed;

/* What follows from the news is not what is read here. */
int net_refresh(Net *net) {
        n_refreshed++;
        return 0;
}

int net_probe_slot(Net *net, uint32_t slot, char *detail, size_t size) {
        assert(slot < SLOTS && net->slots[slot].ifindex > 0);
        (void)snprintf(detail, size, "link %u is gone", slot);
        return input_byte(&input) & 1;
}

static bool forgets(struct in_addr address, void *userdata) {
        return (ntohl(address.s_addr) & 4) == 0;
}

static void fuzz_conntrack(void) {
        Conntrack *conntrack;

        if (conntrack_open(&conntrack) < 0)
                abort();
        (void)!conntrack_forget(conntrack, forgets, NULL);
        (void)!conntrack_forget(conntrack, forgets, NULL);
        (void)conntrack_free(conntrack);
}

static void fuzz_listen(void) {
        NetListeners listeners = {0};
        NetListen *listen;

        if (net_listen_open(&listen) < 0)
                abort();
        (void)!net_listen_check(listen, 5000);
        (void)!net_listen_all(listen, &listeners);
        (void)net_listen_free(listen);
}

static void fuzz_routes(NetRtnl *rtnl) {
        const struct in_addr address = {htonl(0xac1e0002)};
        NetUplinks uplinks;
        bool local;
        int ifindex;

        if (net_host_uplinks(rtnl, "dynod", &uplinks) >= 0) {
                assert(uplinks.n <= NET_UPLINKS_MAX);
                for (size_t i = 0; i < uplinks.n; i++)
                        assert(memchr(uplinks.name[i], '\0', IFNAMSIZ));
        }
        (void)!net_host_way_to(rtnl, address, &ifindex);
        (void)!net_host_is_local(rtnl, address, &local);
        (void)!net_host_check_rule(rtnl, 1);
}

static void fuzz_watch(NetRtnl *rtnl) {
        NetSlot slots[SLOTS] = {{.ifindex = 1}, {.ifindex = 2}, {.ifindex = 100}};
        Net net = {
                .instance = "dynod",
                .network = {htonl(0xac1e0000)},
                .prefix = 16,
                .host = rtnl,
                .watch = {.epoll_fd = SOCKET_FD, .routing_fd = SOCKET_FD, .filter_fd = SOCKET_FD},
                .own_uplinks = {.name = {"eth0", "a\033[2Jb"}, .n = 2},
                .slots = slots,
                .n_slots = SLOTS,
        };
        const char *damage;

        if (firewall_open(&net.firewall, "dynod") < 0)
                abort();
        for (int i = 0; i < 4 && input.size > 0; i++) {
                is_list = false;
                n_datagrams = 0;
                if ((input_byte(&input) & 1) != 0)
                        (void)!net_watch_tables(&net, 3, input_byte(&input) & 1);
                else
                        (void)!net_handle_watch(&net);
                damage = net_damage(&net);
                for (const char *p = damage; p && *p; p++)
                        assert(*p >= ' ' && *p < 0x7f);
        }
        (void)firewall_free(net.firewall);
}

static void check_blockers(const LaunchBlocker *blockers, int n) {
        assert(n <= BLOCKERS_MAX);
        for (int i = 0; i < n; i++) {
                assert(field_is_clean(blockers[i].table, sizeof(blockers[i].table)));
                assert(field_is_clean(blockers[i].chain, sizeof(blockers[i].chain)));
                assert(filter_name_is_plain(blockers[i].table) && blockers[i].hook < 5);
                assert(filter_name_is_plain(blockers[i].chain));
                assert(strcmp(blockers[i].table, "dynod") != 0 ||
                       blockers[i].kind == FILTER_LEGACY);
        }
}

static void fuzz_firewall(void) {
        const FirewallKey key = firewall_key_uplink("eth0");
        FirewallElement element = {
                .set = FIREWALL_MAP_POLICIES,
                .key = key,
                .data = (FirewallData)input_pick(&input, FIREWALL_DATA_RATE + 1),
                .chain = "app-1",
                .limit = 5,
        };
        LaunchBlocker blockers[BLOCKERS_MAX] = {0};
        Firewall *firewall;

        if (firewall_open(&firewall, "dynod") < 0)
                abort();
        if (part != PART_ELEMENTS) {
                check_blockers(blockers, firewall_blockers(firewall, "dynod", blockers));
        } else {
                (void)!firewall_check_element(firewall, &element);
                (void)firewall_others_have(firewall, FIREWALL_SET_UPLINKS, &key);
                (void)!firewall_check(firewall, FIREWALL_SET_UPLINKS, &key);
        }
        (void)firewall_free(firewall);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        NetRtnl *rtnl;

        input = (Input){data, size};
        part = (unsigned)input_pick(&input, _PART_MAX);
        last_seq = 0;
        n_datagrams = 0;
        is_list = false;
        switch (part) {
        case PART_CONNTRACK:
                fuzz_conntrack();
                break;
        case PART_LISTEN:
                fuzz_listen();
                break;
        case PART_ROUTES:
        case PART_WATCH:
                if (net_rtnl_open(&rtnl) < 0)
                        abort();
                if (part == PART_ROUTES)
                        fuzz_routes(rtnl);
                else
                        fuzz_watch(rtnl);
                (void)net_rtnl_free(rtnl);
                break;
        default:
                fuzz_firewall();
        }
        return 0;
}
