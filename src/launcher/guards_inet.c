/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds how many Internet sockets each dyno has, those included that it has closed and that TCP
 * still works for. Each is memory that the dyno is charged for, but what it keeps the kernel busy
 * with is not: a probe a second for each (TCP_KEEPIDLE), or of who gives no window, is sent and
 * answered by timers and softirqs, at nobody's expense. Some 70,000 fill the queue in which each
 * processor has the packets of all (net.core.netdev_max_backlog), and neighbours' packets are lost.
 * Sockets that share a port are searched one after the other, with softirqs off.
 *
 * A socket counts for the cgroup that it was made in, and one of a connection that came in for its
 * listener's; the kernel remembers it in each (sk_cgrp_data), so that no map has to. While a
 * program takes the place of an earlier dynod's both count, for some microseconds.
 */

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "launcher/guards.h"

/*
 * Of a dyno: as many as one process can have open (RLIMIT_NOFILE, 10,000), and a fifth more. With a
 * probe a second for each, the slowest of a neighbour's answers (p99) take three times as long in an
 * emulated guest with 16384, and a hundred times as long with 68,000.
 */
#define SOCKETS_MAX 12288

/* Fields and maps of the guard. */
enum {
        SOCKET_SK,
        SK_FAMILY,
        SK_PROTOCOL,
        SK_CGROUP_DATA,
        DATA_CGROUP,
        CGROUP_NODE,
        NODE_ID,
};
enum {
        SUMS, /* id of a dyno's cgroup -> int64_t */
};

enum {
        SK = BPF_REG_6,

        STACK_DYNO = -8,
        STACK_SUM = -16,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_INET,
        LABEL_COUNTS,
        LABEL_HAS_SUM,
        LABEL_REFUSE,
};

/* Out, if SK is neither TCP nor UDP. Others are made and freed without word of the one or the other. */
static void only_inet(Assembler *a, const GuardRefs *refs) {
        load(a, BPF_H, BPF_REG_0, SK, refs->fields[SK_FAMILY]);
        jump_if(a, BPF_JEQ, BPF_REG_0, AF_INET, LABEL_INET);
        jump_if(a, BPF_JNE, BPF_REG_0, AF_INET6, LABEL_OUT);
        place(a, LABEL_INET);
        load(a, BPF_H, BPF_REG_0, SK, refs->fields[SK_PROTOCOL]);
        jump_if(a, BPF_JEQ, BPF_REG_0, IPPROTO_TCP, LABEL_COUNTS);
        jump_if(a, BPF_JNE, BPF_REG_0, IPPROTO_UDP, LABEL_OUT);
        place(a, LABEL_COUNTS);
}

/* STACK_DYNO = the cgroup that SK counts for, be it a dyno's or not. */
static void store_dyno(Assembler *a, const GuardRefs *refs) {
        load(a, BPF_DW, BPF_REG_1, SK, refs->fields[SK_CGROUP_DATA] + refs->fields[DATA_CGROUP]);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, refs->fields[CGROUP_NODE]);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, refs->fields[NODE_ID]);
        store(a, BPF_DW, BPF_REG_10, STACK_DYNO, BPF_REG_1);
}

/* r0 = the sum of SK's dyno; out, if it has none. */
static void look_up_sum(Assembler *a, const GuardRefs *refs) {
        store_dyno(a, refs);
        look_up(a, refs->maps[SUMS], STACK_DYNO);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
}

static void allow_or_refuse(Assembler *a) {
        place(a, LABEL_OUT);
        leave(a, 0);
        place(a, LABEL_REFUSE);
        leave(a, -ENOBUFS);
}

/* socket_post_create(sock, family, type, protocol, kern): one that is refused is freed, and so counts. */
static void made(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, SK, 0);
        load(a, BPF_DW, SK, SK, refs->fields[SOCKET_SK]);
        only_inet(a, refs);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        store_dyno(a, refs);
        guard_find_sum(a, refs->maps[SUMS], STACK_DYNO, STACK_SUM, LABEL_HAS_SUM, LABEL_REFUSE);
        set(a, BPF_REG_1, 1);
        fetch_and_add(a, BPF_REG_0, 0, BPF_REG_1);
        jump_if(a, BPF_JSGE, BPF_REG_1, SOCKETS_MAX, LABEL_REFUSE);
        allow_or_refuse(a);
}

/* inet_conn_request(sk, skb, req): somebody wants to connect. */
static void asked(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, SK, 0);
        look_up_sum(a, refs);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, 0);
        jump_if(a, BPF_JSGE, BPF_REG_1, SOCKETS_MAX, LABEL_REFUSE);
        allow_or_refuse(a);
}

static void add(Assembler *a, const GuardRefs *refs, int32_t value) {
        look_up_sum(a, refs);
        set(a, BPF_REG_1, value);
        add_atomically(a, BPF_REG_0, 0, BPF_REG_1);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* inet_csk_clone(newsk, req): the connection is there. */
static void cloned(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, SK, 0);
        add(a, refs, 1);
}

/* sk_free_security(sk) */
static void freed(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, SK, 0);
        only_inet(a, refs);
        add(a, refs, -1);
}

static const GuardField fields[] = {
        [SOCKET_SK] = {"socket", "sk"},
        [SK_FAMILY] = {"sock_common", "skc_family"}, /* sock begins with it */
        [SK_PROTOCOL] = {"sock", "sk_protocol"},
        [SK_CGROUP_DATA] = {"sock", "sk_cgrp_data"},
        [DATA_CGROUP] = {"sock_cgroup_data", "cgroup"},
        [CGROUP_NODE] = {"cgroup", "kn"},
        [NODE_ID] = {"kernfs_node", "id"},
};

static const GuardMap maps[] = {
        [SUMS] = GUARD_SUMS("dynod_inet_sums", PIN_SOCKETS_COUNT),
};

/* What only takes off comes first: nothing is left counted. */
static const GuardProgram programs[] = {
        {PIN_SOCKETS_GONE, "dynod_inet_free", "sk_free_security", GUARD_ASKED, freed},
        {PIN_SOCKETS_BORN, "dynod_inet_new", "inet_csk_clone", GUARD_ASKED, cloned},
        {PIN_SOCKETS_FULL, "dynod_inet_ask", "inet_conn_request", GUARD_ASKED, asked},
        {PIN_SOCKETS_MADE, "dynod_inet_make", "socket_post_create", GUARD_ASKED, made},
};

GUARD_TABLE(guard_inet, "limit the Internet sockets of dynos");
