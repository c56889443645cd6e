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

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "launcher/guards.h"

/* Of a dyno: as many as a backlog of Node.js or nginx (511) and its listener; 200 MB. */
#define HELD_MAX 512

/* Offsets in the kernel's own types, in bytes. */
typedef struct Fields {
        int socket_sk, socket_type;
        int sk_family;
        int message_name, message_flags, message_control;
        int request_listener;
} Fields;

typedef struct Maps {
        int dynos_fd; /* the cgroup of all */
        int held_fd;  /* struct sock -> id of its dyno's cgroup */
        int sums_fd;  /* that -> int64_t */
} Maps;

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

static int find_fields(Fields *ret) {
        struct btf *btf = btf__load_vmlinux_btf();

        if (!btf)
                return -ENOENT;
        *ret = (Fields){
                .socket_sk = guard_field(btf, "socket", "sk"),
                .socket_type = guard_field(btf, "socket", "type"),
                .sk_family =
                        guard_field(btf, "sock_common", "skc_family"), /* sock begins with it */
                .message_name = guard_field(btf, "msghdr", "msg_name"),
                .message_flags = guard_field(btf, "msghdr", "msg_flags"),
                .message_control = guard_field(btf, "msghdr", "msg_controllen"),
                .request_listener =
                        guard_field(btf, "sock_common", "skc_listener"), /* so does request_sock */
        };
        btf__free(btf);
        return ret->socket_sk < 0 || ret->socket_type < 0 || ret->sk_family < 0 ||
                               ret->message_name < 0 || ret->message_flags < 0 ||
                               ret->message_control < 0 || ret->request_listener < 0
                       ? -ENOENT
                       : 0;
}

static void load_argument(Assembler *a, uint8_t dst, int argument) {
        load(a, BPF_DW, dst, BPF_REG_1, argument * (int)sizeof(uint64_t));
}

/* What counts ends here: SK is one of the process's dyno. Refuses what is beyond its share. */
static void hold(Assembler *a, const Maps *maps) {
        guard_only_dynos(a, maps->dynos_fd, LABEL_OUT);
        store(a, BPF_DW, BPF_REG_10, STACK_SK, SK);
        look_up(a, maps->held_fd, STACK_SK);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_OUT);
        call(a, BPF_FUNC_get_current_cgroup_id);
        store(a, BPF_DW, BPF_REG_10, STACK_DYNO, BPF_REG_0);
        guard_find_sum(a, maps->sums_fd, STACK_DYNO, STACK_SUM, LABEL_HAS_SUM, LABEL_REFUSE);
        move(a, BPF_REG_8, BPF_REG_0);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_8, 0);
        jump_if(a, BPF_JSGE, BPF_REG_1, HELD_MAX, LABEL_REFUSE);
        add_new(a, maps->held_fd, STACK_SK, STACK_DYNO);
        jump_if_word(a, BPF_JEQ, BPF_REG_0, (uint32_t)-EEXIST, LABEL_OUT);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_REFUSE);
        set(a, BPF_REG_1, 1);
        add_atomically(a, BPF_REG_8, 0, BPF_REG_1);
        place(a, LABEL_OUT);
        leave(a, 0);
        place(a, LABEL_REFUSE);
        leave(a, -ENOBUFS);
}

/* Whose it is that the socket SK counts for; out, if it counts for nobody. */
static void look_up_dyno(Assembler *a, const Maps *maps) {
        store(a, BPF_DW, BPF_REG_10, STACK_SK, SK);
        look_up(a, maps->held_fd, STACK_SK);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, 0);
        store(a, BPF_DW, BPF_REG_10, STACK_DYNO, BPF_REG_1);
}

/* r0 = that dyno's sum */
static void look_up_sum(Assembler *a, const Maps *maps) {
        look_up(a, maps->sums_fd, STACK_DYNO);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
}

static void add_to_sum(Assembler *a, const Maps *maps, int32_t value) {
        look_up_sum(a, maps);
        set(a, BPF_REG_1, value);
        add_atomically(a, BPF_REG_0, 0, BPF_REG_1);
}

/* socket_listen(sock, backlog) */
static void listening(Assembler *a, const Maps *maps, const Fields *fields) {
        load_argument(a, BPF_REG_6, 0);
        load(a, BPF_DW, SK, BPF_REG_6, fields->socket_sk);
        hold(a, maps);
}

/* socket_post_create(sock, family, type, protocol, kern) */
static void netlink(Assembler *a, const Maps *maps, const Fields *fields) {
        load_argument(a, BPF_REG_6, 0);
        load_argument(a, BPF_REG_8, 1);
        load_argument(a, BPF_REG_9, 4);
        jump_if_word(a, BPF_JNE, BPF_REG_8, AF_NETLINK, LABEL_OUT);
        jump_if_word(a, BPF_JNE, BPF_REG_9, 0, LABEL_OUT);
        load(a, BPF_DW, SK, BPF_REG_6, fields->socket_sk);
        hold(a, maps);
}

/*
 * socket_setsockopt(sock, level, optname): copies of what is sent, word that it was, and waiting
 * with it. Errors are not kept for anybody: seccomp-dyno.policy.
 */
static void option(Assembler *a, const Maps *maps, const Fields *fields) {
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

        load_argument(a, BPF_REG_6, 0);
        load_argument(a, BPF_REG_8, 1);
        load_argument(a, BPF_REG_9, 2);
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
        load(a, BPF_DW, SK, BPF_REG_6, fields->socket_sk);
        hold(a, maps);
}

/*
 * socket_sendmsg(sock, msg, size): of IP, a datagram that is not finished, and any that has
 * control data, in which it can ask for a copy. Of the messages of one sendmmsg(2) to one address
 * the kernel asks about the first alone, whatever the others have.
 */
static void sent(Assembler *a, const Maps *maps, const Fields *fields) {
        load_argument(a, BPF_REG_6, 0);
        load_argument(a, BPF_REG_8, 1);
        load(a, BPF_DW, SK, BPF_REG_6, fields->socket_sk);
        load(a, BPF_H, BPF_REG_0, SK, fields->sk_family);
        jump_if(a, BPF_JEQ, BPF_REG_0, AF_INET, LABEL_INET);
        jump_if(a, BPF_JNE, BPF_REG_0, AF_INET6, LABEL_OUT);
        place(a, LABEL_INET);
        load(a, BPF_DW, BPF_REG_0, BPF_REG_8, fields->message_control);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_COUNTS);
        load(a, BPF_W, BPF_REG_0, BPF_REG_8, fields->message_flags);
        move(a, BPF_REG_1, BPF_REG_0);
        alu(a, BPF_AND, BPF_REG_1, MESSAGE_OF_MANY);
        jump_if(a, BPF_JEQ, BPF_REG_1, 0, LABEL_ALONE);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_8, fields->message_name);
        jump_if(a, BPF_JNE, BPF_REG_1, 0, LABEL_COUNTS);
        place(a, LABEL_ALONE);
        alu(a, BPF_AND, BPF_REG_0, MSG_MORE);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        load(a, BPF_H, BPF_REG_0, BPF_REG_6, fields->socket_type);
        jump_if(a, BPF_JEQ, BPF_REG_0, SOCK_STREAM, LABEL_OUT);
        place(a, LABEL_COUNTS);
        hold(a, maps);
}

/* inet_conn_request(sk, skb, req): not on behalf of a process */
static void asked(Assembler *a, const Maps *maps, const Fields *fields) {
        (void)fields;
        load_argument(a, SK, 0);
        look_up_dyno(a, maps);
        look_up_sum(a, maps);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, 0);
        jump_if(a, BPF_JSGE, BPF_REG_1, HELD_MAX, LABEL_REFUSE);
        place(a, LABEL_OUT);
        leave(a, 0);
        place(a, LABEL_REFUSE);
        leave(a, -ENOBUFS);
}

/* inet_csk_clone(newsk, req): counts for whom its listener counts */
static void cloned(Assembler *a, const Maps *maps, const Fields *fields) {
        load_argument(a, BPF_REG_6, 0);
        load_argument(a, BPF_REG_8, 1);
        store(a, BPF_DW, BPF_REG_10, STACK_CHILD, BPF_REG_6);
        load(a, BPF_DW, SK, BPF_REG_8, fields->request_listener);
        look_up_dyno(a, maps);
        add_new(a, maps->held_fd, STACK_CHILD, STACK_DYNO);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_OUT);
        add_to_sum(a, maps, 1);
        place(a, LABEL_OUT);
        leave(a, 0);
}

static void release(Assembler *a, const Maps *maps) {
        look_up_dyno(a, maps);
        take_out(a, maps->held_fd, STACK_SK);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_OUT);
        add_to_sum(a, maps, -1);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* sock_graft(sk, parent), which is an accept, and sk_free_security(sk) */
static void released(Assembler *a, const Maps *maps, const Fields *fields) {
        (void)fields;
        load_argument(a, SK, 0);
        release(a, maps);
}

/*
 * netlink_release(sock): getaddrinfo(3) opens and closes one for each name, and they are freed
 * a while later (RCU) than they are closed.
 */
static void closed(Assembler *a, const Maps *maps, const Fields *fields) {
        load_argument(a, BPF_REG_6, 0);
        load(a, BPF_DW, SK, BPF_REG_6, fields->socket_sk);
        release(a, maps);
}

static int install(const char *instance, const Maps *maps, const Fields *fields) {
        /* What only takes off comes first: nothing is left counted. */
        static const struct {
                GuardProgram program;
                void (*write)(Assembler *a, const Maps *maps, const Fields *fields);
        } programs[] = {
                {{PIN_SOCKETS_FREED, "dynod_sock_free", "sk_free_security", GUARD_ASKED}, released},
                {{PIN_SOCKETS_CLOSED, "dynod_sock_end", "netlink_release", GUARD_BEFORE}, closed},
                {{PIN_SOCKETS_ACCEPTED, "dynod_sock_acc", "sock_graft", GUARD_ASKED}, released},
                {{PIN_SOCKETS_CLONED, "dynod_sock_new", "inet_csk_clone", GUARD_ASKED}, cloned},
                {{PIN_SOCKETS_ASKED, "dynod_sock_ask", "inet_conn_request", GUARD_ASKED}, asked},
                {{PIN_SOCKETS_LISTEN, "dynod_sock_lis", "socket_listen", GUARD_ASKED}, listening},
                {{PIN_SOCKETS_NETLINK, "dynod_sock_nl", "socket_post_create", GUARD_ASKED},
                 netlink},
                {{PIN_SOCKETS_OPTION, "dynod_sock_opt", "socket_setsockopt", GUARD_ASKED}, option},
                {{PIN_SOCKETS_SENT, "dynod_sock_msg", "socket_sendmsg", GUARD_ASKED}, sent},
        };

        for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
                Assembler code = {.n = 0};
                int r;

                programs[i].write(&code, maps, fields);
                r = guard_install(&programs[i].program, &code, instance);
                if (r < 0)
                        return r;
        }
        return 0;
}

int guard_sockets(const char *instance, int dynos_fd, uint32_t max_dynos) {
        const GuardMap held = {
                .name = "dynod_sock_held",
                .type = BPF_MAP_TYPE_HASH,
                .flags = BPF_F_NO_PREALLOC,
                .key_size = sizeof(uint64_t),
                .value_size = sizeof(uint64_t),
                .entries = max_dynos * HELD_MAX, /* it is never full */
        };
        const GuardMap sums = guard_sums("dynod_sock_sums", max_dynos);
        _cleanup_close_ int held_fd = -EBADF, sums_fd = -EBADF;
        Fields fields;
        int r;

        r = find_fields(&fields);
        if (r < 0)
                return r;
        held_fd = guard_pinned_map(&held, instance, PIN_SOCKETS_HELD);
        if (held_fd < 0)
                return held_fd;
        sums_fd = guard_pinned_map(&sums, instance, PIN_SOCKETS_SUMS);
        if (sums_fd < 0)
                return sums_fd;
        return install(
                instance,
                &(Maps){.dynos_fd = dynos_fd, .held_fd = held_fd, .sums_fd = sums_fd},
                &fields);
}
