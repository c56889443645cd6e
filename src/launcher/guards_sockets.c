/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Counts the sockets of each dyno that may hold what no cgroup is charged for: those that nobody
 * has accepted yet, with all that was sent to them; those of netlink, with its answers; those
 * that asked for copies of what they send; datagrams that are not finished. A listener counts as
 * well, because by it the ones behind it are known as the dyno's.
 *
 * A socket is in the map once, from the first reason on until it is freed, one of netlink until it
 * is closed, a connection until it is accepted, which charges it. Who adds an element or takes one out changes the sum, so that
 * two programs at one hook, while one takes the other's place, count once.
 */

#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "launcher/guards.h"

/* Of a dyno: as many as a backlog of Node.js or nginx (511) and its listener; 200 MB. */
#define HELD_MAX 512

/* Fields and maps of the guard. */
enum {
        SOCKET_SK,
        SOCKET_TYPE,
        SK_FAMILY,
        MESSAGE_NAME,
        MESSAGE_FLAGS,
        MESSAGE_CONTROL,
        REQUEST_LISTENER,
};
enum {
        HELD, /* struct sock -> id of its dyno's cgroup */
        SUMS, /* that -> int64_t */
};

enum {
        SK = BPF_REG_7,

        STACK_SK = -8,
        STACK_DYNO = -16,
        STACK_SUM = -24,
        STACK_CHILD = -32,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_COUNTS,
        LABEL_INET,
        LABEL_ALONE,
        LABEL_REFUSE,
        LABEL_HAS_SUM,
};

/* What counts ends here: SK is one of the process's dyno. Refuses what is beyond its share. */
static void hold(Assembler *a, const GuardRefs *refs) {
        const GuardHeld socket = {
                .held_fd = refs->maps[HELD],
                .sums_fd = refs->maps[SUMS],
                .most = HELD_MAX,
                .stack_key = STACK_SK,
                .stack_dyno = STACK_DYNO,
                .stack_sum = STACK_SUM,
        };

        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        store(a, BPF_DW, BPF_REG_10, STACK_SK, SK);
        guard_hold(a, &socket, BPF_REG_8, LABEL_HAS_SUM, LABEL_OUT, LABEL_REFUSE);
        place(a, LABEL_OUT);
        leave(a, 0);
        place(a, LABEL_REFUSE);
        leave(a, -ENOBUFS);
}

/* Whose it is that the socket SK counts for; out, if it counts for nobody. */
static void look_up_dyno(Assembler *a, const GuardRefs *refs) {
        store(a, BPF_DW, BPF_REG_10, STACK_SK, SK);
        look_up(a, refs->maps[HELD], STACK_SK);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, 0);
        store(a, BPF_DW, BPF_REG_10, STACK_DYNO, BPF_REG_1);
}

/* r0 = that dyno's sum */
static void look_up_sum(Assembler *a, const GuardRefs *refs) {
        look_up(a, refs->maps[SUMS], STACK_DYNO);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
}

static void add_to_sum(Assembler *a, const GuardRefs *refs, int32_t value) {
        look_up_sum(a, refs);
        set(a, BPF_REG_1, value);
        add_atomically(a, BPF_REG_0, 0, BPF_REG_1);
}

/* socket_listen(sock, backlog) */
static void listening(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 0);
        load(a, BPF_DW, SK, BPF_REG_6, refs->fields[SOCKET_SK]);
        hold(a, refs);
}

/* socket_post_create(sock, family, type, protocol, kern) */
static void netlink(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 0);
        guard_load_argument(a, BPF_REG_8, 1);
        guard_load_argument(a, BPF_REG_9, 4);
        jump_if_word(a, BPF_JNE, BPF_REG_8, AF_NETLINK, LABEL_OUT);
        jump_if_word(a, BPF_JNE, BPF_REG_9, 0, LABEL_OUT);
        load(a, BPF_DW, SK, BPF_REG_6, refs->fields[SOCKET_SK]);
        hold(a, refs);
}

/*
 * socket_setsockopt(sock, level, optname): copies of what is sent, word that it was, and waiting
 * with it. Errors are not kept for anybody: seccomp-dyno.policy.
 */
static void option(Assembler *a, const GuardRefs *refs) {
        static const struct {
                uint16_t level, name;
        } options[] = {
                {SOL_SOCKET, SO_TIMESTAMPING_OLD},
                {SOL_SOCKET, SO_TIMESTAMPING_NEW},
                {SOL_SOCKET, SO_TXTIME},
                {SOL_SOCKET, SO_ZEROCOPY},
                {IPPROTO_UDP, UDP_CORK},
                {IPPROTO_UDPLITE, UDP_CORK}, /* the same sockets */
        };

        guard_load_argument(a, BPF_REG_6, 0);
        guard_load_argument(a, BPF_REG_8, 1);
        guard_load_argument(a, BPF_REG_9, 2);
        alu(a, BPF_AND, BPF_REG_8, 0xffff);
        alu(a, BPF_AND, BPF_REG_9, 0xffff);
        alu(a, BPF_LSH, BPF_REG_8, 16);
        emit(a, BPF_ALU64 | BPF_OR | BPF_X, BPF_REG_8, BPF_REG_9, 0, 0);
        for (size_t i = 0; i < ARRAY_SIZE(options); i++)
                jump_if_word(
                        a,
                        BPF_JEQ,
                        BPF_REG_8,
                        (uint32_t)options[i].level << 16 | options[i].name,
                        LABEL_COUNTS);
        jump(a, LABEL_OUT);
        place(a, LABEL_COUNTS);
        load(a, BPF_DW, SK, BPF_REG_6, refs->fields[SOCKET_SK]);
        hold(a, refs);
}

/*
 * socket_sendmsg(sock, msg, size): of IP, a datagram that is not finished, and any that has
 * control data, in which it can ask for a copy. Of the messages of one sendmmsg(2) to one address
 * the kernel asks about the first alone, whatever the others have.
 */
static void sent(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 0);
        guard_load_argument(a, BPF_REG_8, 1);
        load(a, BPF_DW, SK, BPF_REG_6, refs->fields[SOCKET_SK]);
        load(a, BPF_H, BPF_REG_0, SK, refs->fields[SK_FAMILY]);
        jump_if(a, BPF_JEQ, BPF_REG_0, AF_INET, LABEL_INET);
        jump_if(a, BPF_JNE, BPF_REG_0, AF_INET6, LABEL_OUT);
        place(a, LABEL_INET);
        load(a, BPF_DW, BPF_REG_0, BPF_REG_8, refs->fields[MESSAGE_CONTROL]);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_COUNTS);
        load(a, BPF_W, BPF_REG_0, BPF_REG_8, refs->fields[MESSAGE_FLAGS]);
        move(a, BPF_REG_1, BPF_REG_0);
        alu(a, BPF_AND, BPF_REG_1, MESSAGE_OF_MANY);
        jump_if(a, BPF_JEQ, BPF_REG_1, 0, LABEL_ALONE);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_8, refs->fields[MESSAGE_NAME]);
        jump_if(a, BPF_JNE, BPF_REG_1, 0, LABEL_COUNTS);
        place(a, LABEL_ALONE);
        alu(a, BPF_AND, BPF_REG_0, MSG_MORE);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        load(a, BPF_H, BPF_REG_0, BPF_REG_6, refs->fields[SOCKET_TYPE]);
        jump_if(a, BPF_JEQ, BPF_REG_0, SOCK_STREAM, LABEL_OUT);
        place(a, LABEL_COUNTS);
        hold(a, refs);
}

/* inet_conn_request(sk, skb, req): not on behalf of a process */
static void asked(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, SK, 0);
        look_up_dyno(a, refs);
        look_up_sum(a, refs);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, 0);
        jump_if(a, BPF_JSGE, BPF_REG_1, HELD_MAX, LABEL_REFUSE);
        place(a, LABEL_OUT);
        leave(a, 0);
        place(a, LABEL_REFUSE);
        leave(a, -ENOBUFS);
}

/* inet_csk_clone(newsk, req): counts for whom its listener counts */
static void cloned(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 0);
        guard_load_argument(a, BPF_REG_8, 1);
        store(a, BPF_DW, BPF_REG_10, STACK_CHILD, BPF_REG_6);
        load(a, BPF_DW, SK, BPF_REG_8, refs->fields[REQUEST_LISTENER]);
        look_up_dyno(a, refs);
        add_new(a, refs->maps[HELD], STACK_CHILD, STACK_DYNO);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_OUT);
        add_to_sum(a, refs, 1);
        place(a, LABEL_OUT);
        leave(a, 0);
}

static void release(Assembler *a, const GuardRefs *refs) {
        store(a, BPF_DW, BPF_REG_10, STACK_SK, SK);
        guard_let_go(a, refs->maps[HELD], STACK_SK, STACK_DYNO, LABEL_OUT);
        add_to_sum(a, refs, -1);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* sock_graft(sk, parent), which is an accept, and sk_free_security(sk) */
static void released(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, SK, 0);
        release(a, refs);
}

/*
 * netlink_release(sock): getaddrinfo(3) opens and closes one for each name, and they are freed
 * a while later (RCU) than they are closed.
 */
static void closed(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 0);
        load(a, BPF_DW, SK, BPF_REG_6, refs->fields[SOCKET_SK]);
        release(a, refs);
}

static const GuardField fields[] = {
        [SOCKET_SK] = {"socket", "sk"},
        [SOCKET_TYPE] = {"socket", "type"},
        [SK_FAMILY] = {"sock_common", "skc_family"}, /* sock begins with it */
        [MESSAGE_NAME] = {"msghdr", "msg_name"},
        [MESSAGE_FLAGS] = {"msghdr", "msg_flags"},
        [MESSAGE_CONTROL] = {"msghdr", "msg_controllen"},
        [REQUEST_LISTENER] = {"sock_common", "skc_listener"}, /* request_sock, too */
};

static const GuardMap maps[] = {
        /* It is never full. */
        [HELD] = GUARD_HASH("dynod_sock_held", PIN_SOCKETS_HELD, uint64_t, HELD_MAX),
        [SUMS] = GUARD_SUMS("dynod_sock_sums", PIN_SOCKETS_SUMS),
};

/* What only takes off comes first: nothing is left counted. */
static const GuardProgram programs[] = {
        {PIN_SOCKETS_FREED, "dynod_sock_free", "sk_free_security", GUARD_ASKED, released},
        {PIN_SOCKETS_CLOSED, "dynod_sock_end", "netlink_release", GUARD_BEFORE, closed},
        {PIN_SOCKETS_ACCEPTED, "dynod_sock_acc", "sock_graft", GUARD_ASKED, released},
        {PIN_SOCKETS_CLONED, "dynod_sock_new", "inet_csk_clone", GUARD_ASKED, cloned},
        {PIN_SOCKETS_ASKED, "dynod_sock_ask", "inet_conn_request", GUARD_ASKED, asked},
        {PIN_SOCKETS_LISTEN, "dynod_sock_lis", "socket_listen", GUARD_ASKED, listening},
        {PIN_SOCKETS_NETLINK, "dynod_sock_nl", "socket_post_create", GUARD_ASKED, netlink},
        {PIN_SOCKETS_OPTION, "dynod_sock_opt", "socket_setsockopt", GUARD_ASKED, option},
        {PIN_SOCKETS_SENT, "dynod_sock_msg", "socket_sendmsg", GUARD_ASKED, sent},
};

GUARD_TABLE(guard_sockets, "limit what dynos' sockets hold uncharged");
