/* SPDX-License-Identifier: Apache-2.0 */

/* The tests send real packets through the programs. */

#include <assert.h>
#include <errno.h>
#include <linux/icmp.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "config/config.h"
#include "ipc/launch_proto.h"
#include "sandbox/bpf_call.h"
#include "sandbox/bpf_code.h"
#include "sandbox/tc_program.h"

/* Open ports of all dynos together: 1024 with all the services that a policy can have. */
#define PORTS_MAX (1024 * NETWORK_SERVICES_MAX)

/*
 * Bytes. A packet of TCP is up to 17 pieces of pages that stay for as long as one of them is not
 * read, and of which only the pieces are charged. Up to this size it is copied into memory of its
 * own, with what it needs beside 32 kB; beyond, 17 pages of 4 kB are hardly twice of what it has.
 */
#define COPIED_MAX (30 * 1024)

/*
 * More than 16 kB in one piece a host may not have at once: who has to send the same again would
 * wait for long. Then it stays as it is, with five times of what it has at most.
 */
#define COPIED_IF_POSSIBLE (14 * 1024)

/* A link's element of the map. All in network byte order, as the packet has it. */
typedef struct LinkEntry {
        uint32_t dyno;
        uint32_t web_port; /* 16 bits used */
} LinkEntry;

/* A port of the host that is open: the key, as the packet has it, of a second map. */
typedef struct PortKey {
        uint32_t ifindex; /* of the one link that may, 0: of all */
        uint32_t address;
        uint16_t port;
        uint16_t protocol; /* a byte in the packet */
} PortKey;

typedef enum Label {
        LABEL_DROP = BPF_LABEL_FIRST,
        LABEL_SPOKEN,
        LABEL_FORWARD,
        LABEL_STRANGER,
        LABEL_LOCAL,
        LABEL_PASS,
        LABEL_GUARDED,
        LABEL_RESOLVER,
        LABEL_PORT,
        LABEL_CLASSIFIED,
        LABEL_HOST_PORT,
        LABEL_OWN,
} Label;

/*
 * Registers and stack of both programs. r6: the packet's context, r7: the link's entry.
 * The helpers keep r6 to r9.
 */
enum {
        CTX = BPF_REG_6,
        LINK = BPF_REG_7,

        STACK_KEY = -8,
        STACK_IP = -32,    /* 20 bytes */
        STACK_TCP = -48,   /* 14 bytes, also of UDP or ICMP */
        STACK_FIB = -112,  /* struct bpf_fib_lookup, 64 bytes */
        STACK_PORT = -128, /* PortKey */

        IP_SIZE = 20,
        IP_PLAIN = 0x45, /* version 4, and nothing behind these 20 bytes */
        IP_FRAGMENT = STACK_IP + 6,
        IP_TIME_TO_LIVE = STACK_IP + 8,
        IP_PROTOCOL = STACK_IP + 9,
        IP_SOURCE = STACK_IP + 12,
        IP_DESTINATION = STACK_IP + 16,

        TCP_SIZE = 14, /* up to the flags */
        TCP_SOURCE_PORT = STACK_TCP,
        DESTINATION_PORT = STACK_TCP + 2, /* UDP has it there too */
        PORTS_SIZE = 4,
        DNS_PORT = 53,
        TCP_FLAGS = STACK_TCP + 13,

        TCP_RST = 0x04,
        TCP_ACK = 0x10,
};

#define CONTEXT(field) ((int)offsetof(struct __sk_buff, field))
#define FIB(field) (STACK_FIB + (int)offsetof(struct bpf_fib_lookup, field))

/* Nothing but untagged IPv4 on a known link. The header is on the stack behind this. */
static void begin(Assembler *a, int map_fd) {
        move(a, CTX, BPF_REG_1);
        load(a, BPF_W, BPF_REG_0, CTX, CONTEXT(protocol));
        jump_if(a, BPF_JNE, BPF_REG_0, htons(ETH_P_IP), LABEL_DROP);
        load(a, BPF_W, BPF_REG_0, CTX, CONTEXT(vlan_present));
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_DROP);

        load(a, BPF_W, BPF_REG_0, CTX, CONTEXT(ifindex));
        store(a, BPF_W, BPF_REG_10, STACK_KEY, BPF_REG_0);
        look_up(a, map_fd, STACK_KEY);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_DROP);
        move(a, LINK, BPF_REG_0);

        move(a, BPF_REG_1, CTX);
        set(a, BPF_REG_2, ETH_HLEN);
        stack_address(a, BPF_REG_3, STACK_IP);
        set(a, BPF_REG_4, IP_SIZE);
        call(a, BPF_FUNC_skb_load_bytes);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_DROP);
}

static void end(Assembler *a) {
        load(a, BPF_W, BPF_REG_2, CTX, CONTEXT(len));
        jump_if(a, BPF_JGT, BPF_REG_2, COPIED_MAX, LABEL_OWN);
        move(a, BPF_REG_1, CTX);
        call(a, BPF_FUNC_skb_pull_data);
        jump_if_word(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OWN);
        load(a, BPF_W, BPF_REG_2, CTX, CONTEXT(len));
        jump_if(a, BPF_JLE, BPF_REG_2, COPIED_IF_POSSIBLE, LABEL_DROP);
        place(a, LABEL_OWN);
        leave(a, TC_ACT_OK);
        place(a, LABEL_DROP);
        leave(a, TC_ACT_SHOT);
        link_labels(a);
}

/*
 * Connection tracking collects fragments, of the host and of all dynos in the same 4 MB, where
 * what stays incomplete takes its place for 30 s. A share of that for each of 1024 dynos would
 * be less than one datagram, so a dyno has none.
 */
static void refuse_fragments(Assembler *a) {
        load(a, BPF_H, BPF_REG_0, BPF_REG_10, IP_FRAGMENT);
        alu(a, BPF_AND, BPF_REG_0, htons(0x3fff)); /* more fragments, or an offset */
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_DROP);
}

/*
 * A router tells the sender what went no further. The host tells that a thousand times a second,
 * whoever it is (icmp_msgs_per_sec); after a dyno's packets it could tell nobody else anything.
 */
static void refuse_short_lived(Assembler *a) {
        load(a, BPF_B, BPF_REG_0, BPF_REG_10, IP_TIME_TO_LIVE);
        jump_if(a, BPF_JLE, BPF_REG_0, 1, LABEL_DROP);
}

/* The first @size bytes behind the IP header. */
static void load_transport(Assembler *a, int size) {
        move(a, BPF_REG_1, CTX);
        set(a, BPF_REG_2, ETH_HLEN + IP_SIZE);
        stack_address(a, BPF_REG_3, STACK_TCP);
        set(a, BPF_REG_4, size);
        call(a, BPF_FUNC_skb_load_bytes);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_DROP);
}

/*
 * What a dyno's programs can send. Any other protocol, message or option is its kernel's: an
 * error about what others have open, a tunnel of the host's to the same machine, the address
 * that a router writes into an option.
 */
static void refuse_unspoken(Assembler *a) {
        load(a, BPF_B, BPF_REG_0, BPF_REG_10, STACK_IP);
        jump_if(a, BPF_JNE, BPF_REG_0, IP_PLAIN, LABEL_DROP);
        load(a, BPF_B, BPF_REG_0, BPF_REG_10, IP_PROTOCOL);
        jump_if(a, BPF_JEQ, BPF_REG_0, IPPROTO_TCP, LABEL_SPOKEN);
        jump_if(a, BPF_JEQ, BPF_REG_0, IPPROTO_UDP, LABEL_SPOKEN);
        jump_if(a, BPF_JNE, BPF_REG_0, IPPROTO_ICMP, LABEL_DROP);
        load_transport(a, 1);
        load(a, BPF_B, BPF_REG_0, BPF_REG_10, STACK_TCP);
        jump_if(a, BPF_JNE, BPF_REG_0, ICMP_ECHO, LABEL_DROP);
        place(a, LABEL_SPOKEN);
}

/* Metadata of clouds that put it elsewhere than at a link-local address; in the ruleset, too. */
static const uint32_t metadata[] = {
        0x646464c8, /* 100.100.100.200 */
        0x64505050, /* 100.80.80.80 */
        0xc00000c0, /* 192.0.0.192 */
        0xa83f8110, /* 168.63.129.16 */
};

static bool is_guarded(struct in_addr address) {
        for (size_t i = 0; i < ARRAY_SIZE(metadata); i++)
                if (ntohl(address.s_addr) == metadata[i])
                        return true;
        return (ntohl(address.s_addr) >> 16) == 0xa9fe;
}

/* Link-local and the clouds' metadata: nothing but port 53 of a name server. */
static void check_guarded(Assembler *a, const struct in_addr *resolvers, size_t n) {
        size_t n_guarded = 0;

        load(a, BPF_W, BPF_REG_1, BPF_REG_10, IP_DESTINATION);
        for (size_t i = 0; i < n; i++)
                if (is_guarded(resolvers[i])) {
                        jump_if_word(a, BPF_JEQ, BPF_REG_1, resolvers[i].s_addr, LABEL_RESOLVER);
                        n_guarded++;
                }
        jump(a, LABEL_DROP);
        if (n_guarded == 0)
                return; /* the kernel refuses instructions that nothing leads to */

        place(a, LABEL_RESOLVER);
        load(a, BPF_B, BPF_REG_0, BPF_REG_10, IP_PROTOCOL);
        jump_if(a, BPF_JEQ, BPF_REG_0, IPPROTO_UDP, LABEL_PORT);
        jump_if(a, BPF_JNE, BPF_REG_0, IPPROTO_TCP, LABEL_DROP);
        place(a, LABEL_PORT);
        load_transport(a, PORTS_SIZE);
        load(a, BPF_H, BPF_REG_0, BPF_REG_10, DESTINATION_PORT);
        jump_if(a, BPF_JNE, BPF_REG_0, htons(DNS_PORT), LABEL_DROP);
}

static void check_addresses(Assembler *a, const struct in_addr *resolvers, size_t n) {
        load(a, BPF_W, BPF_REG_1, BPF_REG_10, IP_SOURCE);
        load(a, BPF_W, BPF_REG_2, LINK, offsetof(LinkEntry, dyno));
        jump_if_reg(a, BPF_JNE, BPF_REG_1, BPF_REG_2, LABEL_DROP);

        /* "this network", loopback, multicast and all above it */
        load(a, BPF_B, BPF_REG_1, BPF_REG_10, IP_DESTINATION);
        jump_if(a, BPF_JEQ, BPF_REG_1, 0, LABEL_DROP);
        jump_if(a, BPF_JEQ, BPF_REG_1, 127, LABEL_DROP);
        jump_if(a, BPF_JGE, BPF_REG_1, 224, LABEL_DROP);
        load(a, BPF_W, BPF_REG_1, BPF_REG_10, IP_DESTINATION);
        for (size_t i = 0; i < ARRAY_SIZE(metadata); i++)
                jump_if_word(a, BPF_JEQ, BPF_REG_1, htonl(metadata[i]), LABEL_GUARDED);
        load(a, BPF_B, BPF_REG_1, BPF_REG_10, IP_DESTINATION);
        jump_if(a, BPF_JNE, BPF_REG_1, 169, LABEL_CLASSIFIED);
        load(a, BPF_B, BPF_REG_1, BPF_REG_10, IP_DESTINATION + 1);
        jump_if(a, BPF_JNE, BPF_REG_1, 254, LABEL_CLASSIFIED);
        place(a, LABEL_GUARDED);
        check_guarded(a, resolvers, n);
        place(a, LABEL_CLASSIFIED);
}

/*
 * Ask the kernel where the packet would go. Its answer knows every address of the host,
 * also those that appear later, so that no list of them has to be kept.
 */
static void look_up_route(Assembler *a) {
        static_assert(sizeof(struct bpf_fib_lookup) == 64, "the kernel's ABI");

        for (int off = 0; off < 64; off += 8)
                store_value(a, BPF_DW, BPF_REG_10, STACK_FIB + off, 0);
        store_value(a, BPF_B, BPF_REG_10, FIB(family), AF_INET);
        load(a, BPF_B, BPF_REG_0, BPF_REG_10, IP_PROTOCOL);
        store(a, BPF_B, BPF_REG_10, FIB(l4_protocol), BPF_REG_0);
        load(a, BPF_W, BPF_REG_0, CTX, CONTEXT(ifindex));
        store(a, BPF_W, BPF_REG_10, FIB(ifindex), BPF_REG_0);
        load(a, BPF_W, BPF_REG_0, BPF_REG_10, IP_SOURCE);
        store(a, BPF_W, BPF_REG_10, FIB(ipv4_src), BPF_REG_0);
        load(a, BPF_W, BPF_REG_0, BPF_REG_10, IP_DESTINATION);
        store(a, BPF_W, BPF_REG_10, FIB(ipv4_dst), BPF_REG_0);

        move(a, BPF_REG_1, CTX);
        stack_address(a, BPF_REG_2, STACK_FIB);
        set(a, BPF_REG_3, sizeof(struct bpf_fib_lookup));
        set(a, BPF_REG_4, 0);
        call(a, BPF_FUNC_fib_lookup);

        /* Too big is for the kernel to say, and neighbours for it to find. */
        jump_if(a, BPF_JEQ, BPF_REG_0, BPF_FIB_LKUP_RET_SUCCESS, LABEL_FORWARD);
        jump_if(a, BPF_JEQ, BPF_REG_0, BPF_FIB_LKUP_RET_NO_NEIGH, LABEL_STRANGER);
        jump_if(a, BPF_JEQ, BPF_REG_0, BPF_FIB_LKUP_RET_FRAG_NEEDED, LABEL_FORWARD);
        jump_if(a, BPF_JEQ, BPF_REG_0, BPF_FIB_LKUP_RET_NOT_FWDED, LABEL_LOCAL);
        jump(a, LABEL_DROP);
}

/* Jumps to LABEL_PASS if the PortKey on the stack is in the map. */
static void pass_if_open(Assembler *a, int ports_fd) {
        look_up(a, ports_fd, STACK_PORT);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_PASS);
}

/* To a port of the host that is open for this link or for all. */
static void check_host_port(Assembler *a, int ports_fd) {
        static_assert(sizeof(PortKey) == 12, "no hole, for the map compares bytes");

        place(a, LABEL_LOCAL);
        load(a, BPF_B, BPF_REG_0, BPF_REG_10, IP_PROTOCOL);
        jump_if(a, BPF_JEQ, BPF_REG_0, IPPROTO_UDP, LABEL_HOST_PORT);
        jump_if(a, BPF_JNE, BPF_REG_0, IPPROTO_TCP, LABEL_DROP);
        place(a, LABEL_HOST_PORT);
        store(a, BPF_H, BPF_REG_10, STACK_PORT + (int)offsetof(PortKey, protocol), BPF_REG_0);
        load_transport(a, PORTS_SIZE);
        load(a, BPF_H, BPF_REG_0, BPF_REG_10, DESTINATION_PORT);
        store(a, BPF_H, BPF_REG_10, STACK_PORT + (int)offsetof(PortKey, port), BPF_REG_0);
        load(a, BPF_W, BPF_REG_0, BPF_REG_10, IP_DESTINATION);
        store(a, BPF_W, BPF_REG_10, STACK_PORT + (int)offsetof(PortKey, address), BPF_REG_0);
        load(a, BPF_W, BPF_REG_0, CTX, CONTEXT(ifindex));
        store(a, BPF_W, BPF_REG_10, STACK_PORT + (int)offsetof(PortKey, ifindex), BPF_REG_0);
        pass_if_open(a, ports_fd);
        store_value(a, BPF_W, BPF_REG_10, STACK_PORT + (int)offsetof(PortKey, ifindex), 0);
        pass_if_open(a, ports_fd);
}

/*
 * To the host itself else: only a web dyno's answers. A segment that can open a connection has
 * neither ACK nor RST, so none is opened, whatever listens on the host.
 */
static void check_web_answer(Assembler *a) {
        load(a, BPF_B, BPF_REG_0, BPF_REG_10, IP_PROTOCOL);
        jump_if(a, BPF_JNE, BPF_REG_0, IPPROTO_TCP, LABEL_DROP);
        load_transport(a, TCP_SIZE);

        load(a, BPF_W, BPF_REG_1, LINK, offsetof(LinkEntry, web_port));
        jump_if(a, BPF_JEQ, BPF_REG_1, 0, LABEL_DROP);
        load(a, BPF_H, BPF_REG_0, BPF_REG_10, TCP_SOURCE_PORT);
        jump_if_reg(a, BPF_JNE, BPF_REG_0, BPF_REG_1, LABEL_DROP);
        load(a, BPF_B, BPF_REG_0, BPF_REG_10, TCP_FLAGS);
        alu(a, BPF_AND, BPF_REG_0, TCP_ACK | TCP_RST);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_DROP);
        jump(a, LABEL_PASS);
}

static void assemble_ingress(
        Assembler *a,
        const TcProgram *maps,
        uint32_t mark,
        const struct in_addr *resolvers,
        size_t n) {
        begin(a, maps->map_fd);
        refuse_fragments(a);
        refuse_short_lived(a);
        refuse_unspoken(a);
        check_addresses(a, resolvers, n);
        look_up_route(a);
        check_host_port(a, maps->ports_fd);
        check_web_answer(a);

        /* Whom the host has to ask for first: the table lets few of them through. */
        place(a, LABEL_STRANGER);
        set(a, BPF_REG_0, TC_PRIORITY_STRANGER);
        store(a, BPF_W, CTX, CONTEXT(priority), BPF_REG_0);

        /* To somebody else: not over another link of ours. */
        place(a, LABEL_FORWARD);
        load(a, BPF_W, BPF_REG_0, BPF_REG_10, FIB(ifindex));
        store(a, BPF_W, BPF_REG_10, STACK_KEY, BPF_REG_0);
        look_up(a, maps->map_fd, STACK_KEY);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_DROP);

        place(a, LABEL_PASS);
        emit(a, BPF_ALU | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, (int32_t)mark);
        store(a, BPF_W, CTX, CONTEXT(mark), BPF_REG_0);
        end(a);
}

static void assemble_egress(Assembler *a, int map_fd, uint32_t mark) {
        begin(a, map_fd);
        load(a, BPF_W, BPF_REG_0, CTX, CONTEXT(mark));
        jump_if_word(a, BPF_JNE, BPF_REG_0, mark, LABEL_DROP);
        load(a, BPF_W, BPF_REG_1, BPF_REG_10, IP_DESTINATION);
        load(a, BPF_W, BPF_REG_2, LINK, offsetof(LinkEntry, dyno));
        jump_if_reg(a, BPF_JNE, BPF_REG_1, BPF_REG_2, LABEL_DROP);
        end(a);
}

/*
 * Inside a dyno, for what it sends itself. The kernel copies a datagram for a group to every
 * socket that has the port, without a pause for anybody else on that processor: as many as there
 * is memory for. Every link is in the group of all hosts, and no dyno hears of any other.
 */
static void assemble_inside(Assembler *a) {
        enum { DESTINATION = 16, GROUPS = 224 };

        move(a, CTX, BPF_REG_1);
        load(a, BPF_W, BPF_REG_0, CTX, CONTEXT(protocol));
        jump_if(a, BPF_JNE, BPF_REG_0, htons(ETH_P_IP), LABEL_PASS); /* IPv6 has no route there */
        set(a, BPF_REG_2, DESTINATION);
        stack_address(a, BPF_REG_3, STACK_IP);
        set(a, BPF_REG_4, 1);
        set(a, BPF_REG_5, BPF_HDR_START_NET); /* the kernel's own copies have no Ethernet header */
        call(a, BPF_FUNC_skb_load_bytes_relative);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_DROP);
        load(a, BPF_B, BPF_REG_0, BPF_REG_10, STACK_IP);
        jump_if(a, BPF_JGE, BPF_REG_0, GROUPS, LABEL_DROP); /* all above, too, as 255.255.255.255 */
        place(a, LABEL_PASS);
        end(a);
}

static int make_map(const char *name, uint32_t key_size, uint32_t value_size, uint32_t entries) {
        union bpf_attr attr = {
                .map_type = BPF_MAP_TYPE_HASH,
                .key_size = key_size,
                .value_size = value_size,
                .max_entries = entries,
                .map_flags = BPF_F_NO_PREALLOC,
        };

        strncpy(attr.map_name, name, sizeof(attr.map_name) - 1);
        return bpf_call(BPF_MAP_CREATE, &attr);
}

static int load_program(const Assembler *a, const char *name, uint32_t *ret_id) {
        _cleanup_close_ int fd = -EBADF;
        struct bpf_prog_info info = {0};
        union bpf_attr attr = {
                .prog_type = BPF_PROG_TYPE_SCHED_CLS,
                .insn_cnt = (uint32_t)a->n,
                .insns = bpf_pointer(a->code),
                /* bpf_fib_lookup() is for programs that may be taken under the GPL. */
                .license = bpf_pointer("Dual MIT/GPL"),
        };
        union bpf_attr query = {
                .info = {.info_len = sizeof(info), .info = bpf_pointer(&info)},
        };
        int r;

        strncpy(attr.prog_name, name, sizeof(attr.prog_name) - 1);
        fd = bpf_call(BPF_PROG_LOAD, &attr);
        if (fd < 0)
                return fd;

        query.info.bpf_fd = (uint32_t)fd;
        r = bpf_call(BPF_OBJ_GET_INFO_BY_FD, &query);
        if (r < 0)
                return r;

        *ret_id = info.id;
        return TAKE_FD(fd);
}

int tc_program_load(
        TcProgram *ret, TcMarks marks, const struct in_addr *resolvers, size_t n_resolvers) {
        Assembler ingress = {0}, egress = {0}, inside = {0};
        TcProgram p = TC_PROGRAM_EMPTY;
        int r;

        assert(ret);
        assert(marks.from_dyno != 0 && marks.to_dyno != 0);
        assert(n_resolvers <= CONFIG_RESOLVERS_MAX);

        r = p.map_fd =
                make_map("dynod_links", sizeof(uint32_t), sizeof(LinkEntry), CONFIG_DYNOS_MAX);
        if (r >= 0)
                r = p.ports_fd =
                        make_map("dynod_ports", sizeof(PortKey), sizeof(uint32_t), PORTS_MAX);
        if (r >= 0) {
                assemble_ingress(&ingress, &p, marks.from_dyno, resolvers, n_resolvers);
                r = p.ingress_fd = load_program(&ingress, "dynod_from", &p.ingress_id);
        }
        if (r >= 0) {
                assemble_egress(&egress, p.map_fd, marks.to_dyno);
                r = p.egress_fd = load_program(&egress, "dynod_to", &p.egress_id);
        }
        if (r >= 0) {
                assemble_inside(&inside);
                r = p.inside_fd = load_program(&inside, "dynod_inside", &p.inside_id);
        }
        if (r < 0) {
                tc_program_close(&p);
                return r;
        }

        *ret = p;
        return 0;
}

void tc_program_close(TcProgram *program) {
        assert(program);

        program->map_fd = safe_close(program->map_fd);
        program->ports_fd = safe_close(program->ports_fd);
        program->ingress_fd = safe_close(program->ingress_fd);
        program->egress_fd = safe_close(program->egress_fd);
        program->inside_fd = safe_close(program->inside_fd);
}

int tc_program_set(const TcProgram *program, int ifindex, struct in_addr dyno, uint32_t web_port) {
        const LinkEntry entry = {.dyno = dyno.s_addr, .web_port = htons((uint16_t)web_port)};
        union bpf_attr attr = {
                .map_fd = (uint32_t)program->map_fd,
                .key = bpf_pointer(&ifindex),
                .value = bpf_pointer(&entry),
        };

        assert(ifindex > 0);
        assert(web_port <= UINT16_MAX);

        return bpf_call(BPF_MAP_UPDATE_ELEM, &attr);
}

int tc_program_forget(const TcProgram *program, int ifindex) {
        union bpf_attr attr = {.map_fd = (uint32_t)program->map_fd, .key = bpf_pointer(&ifindex)};

        return bpf_call(BPF_MAP_DELETE_ELEM, &attr);
}

int tc_program_get(
        const TcProgram *program, int ifindex, struct in_addr *ret_dyno, uint32_t *ret_web_port) {
        LinkEntry entry = {0};
        union bpf_attr attr = {
                .map_fd = (uint32_t)program->map_fd,
                .key = bpf_pointer(&ifindex),
                .value = bpf_pointer(&entry),
        };
        int r;

        r = bpf_call(BPF_MAP_LOOKUP_ELEM, &attr);
        if (r < 0)
                return r;

        ret_dyno->s_addr = entry.dyno;
        *ret_web_port = ntohs((uint16_t)entry.web_port);
        return 0;
}

static PortKey port_key(const TcPort *port) {
        return (PortKey){
                .ifindex = (uint32_t)port->ifindex,
                .address = port->address.s_addr,
                .port = htons(port->port),
                .protocol = port->protocol,
        };
}

static int port_command(const TcProgram *program, int command, const TcPort *port) {
        const PortKey key = port_key(port);
        uint32_t value = 1;
        union bpf_attr attr = {
                .map_fd = (uint32_t)program->ports_fd,
                .key = bpf_pointer(&key),
                .value = command == BPF_MAP_DELETE_ELEM ? 0 : bpf_pointer(&value),
        };

        assert(port->ifindex >= 0);
        return bpf_call(command, &attr);
}

int tc_program_open_port(const TcProgram *program, const TcPort *port) {
        return port_command(program, BPF_MAP_UPDATE_ELEM, port);
}

int tc_program_close_port(const TcProgram *program, const TcPort *port) {
        return port_command(program, BPF_MAP_DELETE_ELEM, port);
}

int tc_program_check_port(const TcProgram *program, const TcPort *port) {
        return port_command(program, BPF_MAP_LOOKUP_ELEM, port);
}
