/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds how much each dyno has sent by TCP that the other end has not acknowledged. The kernel
 * charges the bytes and not the page that they are in, of which a thread puts one byte here and
 * the rest there: a page stays for each byte. So what counts is how often something was sent.
 *
 * A socket counts from the first send on that returns before all is acknowledged, until all is.
 * One that is never quite done has two sums: that of what was sent before its mark, a sequence
 * number, and that of what came later. When the mark is acknowledged so is the first; the second
 * takes its place, and the mark moves to the end of what was sent until then. A send counts when it
 * returns: what it sent is before the sequence number that is read then.
 */

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "launcher/guards.h"

/*
 * Of a dyno. When it has so many, only those sockets may send that have one at most, so that each of
 * its 12288 (guards_inet.c) may have two: 57,344 in all. Each keeps one page of 4 kB, or two where it
 * begins in one and ends in the next: 224 MB, or 448. A socket alone has no more than SENDS_MAX: 16
 * bits have room for that, and for as many by threads that were allowed to send in the same moment.
 */
#define SENDS_MAX 32768
#define SENDS_FREE 1

/*
 * For each dyno that there can be. One may have 16 times as many, of what all dynos have together:
 * the kernel takes 16 bytes for each beforehand.
 */
#define SENDERS_MAX 1024

/* Of a socket that has sent. */
typedef struct Sender {
        uint64_t state; /* from the top: mark (32 bits), sends before it (16), and behind it (16) */
        uint64_t dyno;  /* id of its cgroup */
} Sender;

/* Fields and maps of the guard. */
enum {
        SOCKET_SK,
        SK_FAMILY,
        SK_PROTOCOL,
        MESSAGE_NAME,
        MESSAGE_FLAGS,
        TCP_ACKNOWLEDGED,
        TCP_SENT,
};
enum {
        SENDERS, /* struct sock -> Sender */
        SUMS,    /* id of a dyno's cgroup -> int64_t */
};

enum {
        SENDER = BPF_REG_7,
        ACKNOWLEDGED = BPF_REG_8, /* sequence numbers */
        SENT = BPF_REG_9,

        STACK_SK = -8,
        STACK_SENDER = -24, /* Sender */
        STACK_DYNO = STACK_SENDER + (int)offsetof(Sender, dyno),
        STACK_SUM = -32,
        STACK_TCP = -40, /* the socket as TCP has it */
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_HAS_SUM,
        LABEL_HAS_SENDER,
        LABEL_AGAIN,
        LABEL_ALL,
        LABEL_NOT_YET,
        LABEL_SWAP,
        LABEL_ALONE,
        LABEL_INET,
        LABEL_REFUSE,
};

/* Times that others may come between; nobody does, where the socket is not sent to by many. */
#define SWAPS_MAX 8

/* r0 = the Sender of the socket that is the argument, or NULL */
static void look_up_sender(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 0);
        store(a, BPF_DW, BPF_REG_10, STACK_SK, BPF_REG_6);
        look_up(a, refs->maps[SENDERS], STACK_SK);
}

/* @before and @behind: the sums of the state that is in r0. */
static void split_state(Assembler *a, uint8_t before, uint8_t behind) {
        move(a, before, BPF_REG_0);
        alu(a, BPF_RSH, before, 16);
        alu(a, BPF_AND, before, 0xffff);
        move(a, behind, BPF_REG_0);
        alu(a, BPF_AND, behind, 0xffff);
}

/* r6 = both sums of the Sender that is in r0, whose dyno is at STACK_DYNO then. Uses SENDER. */
static void load_sender(Assembler *a) {
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, offsetof(Sender, dyno));
        store(a, BPF_DW, BPF_REG_10, STACK_DYNO, BPF_REG_1);
        load(a, BPF_DW, BPF_REG_0, BPF_REG_0, offsetof(Sender, state));
        split_state(a, BPF_REG_6, SENDER);
        emit(a, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_6, SENDER, 0, 0);
}

/* Of the socket r6; out, if it is none of TCP's. */
static void find_tcp(Assembler *a) {
        move(a, BPF_REG_1, BPF_REG_6);
        call(a, BPF_FUNC_skc_to_tcp_sock);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        store(a, BPF_DW, BPF_REG_10, STACK_TCP, BPF_REG_0);
}

/* In this order: where both are the same, all that was sent before is acknowledged. Uses r4. */
static void load_sequences(Assembler *a, const GuardRefs *refs) {
        load(a, BPF_DW, BPF_REG_4, BPF_REG_10, STACK_TCP);
        load(a, BPF_W, ACKNOWLEDGED, BPF_REG_4, refs->fields[TCP_ACKNOWLEDGED]);
        load(a, BPF_W, SENT, BPF_REG_4, refs->fields[TCP_SENT]);
}

/* Adds r6 to the sum of the dyno at STACK_DYNO; out then. */
static void add_to_sum(Assembler *a, const GuardRefs *refs) {
        guard_add_to_sum(a, refs->maps[SUMS], STACK_DYNO, BPF_REG_6, LABEL_OUT);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* SENDER's state with @sends more, and without what is acknowledged; the sum follows. */
static void update(Assembler *a, const GuardRefs *refs, int32_t sends) {
        load(a, BPF_DW, BPF_REG_1, SENDER, offsetof(Sender, dyno));
        store(a, BPF_DW, BPF_REG_10, STACK_DYNO, BPF_REG_1);

        set(a, BPF_REG_5, 0);
        place(a, LABEL_AGAIN);
        alu(a, BPF_ADD, BPF_REG_5, 1);
        jump_if(a, BPF_JGT, BPF_REG_5, SWAPS_MAX, LABEL_OUT);
        load(a, BPF_DW, BPF_REG_0, SENDER, offsetof(Sender, state));
        load_sequences(a, refs); /* after the state: what counts in it was sent before */
        split_state(a, BPF_REG_1, BPF_REG_2);
        jump_if_reg(a, BPF_JEQ, ACKNOWLEDGED, SENT, LABEL_ALL);
        move(a, BPF_REG_4, BPF_REG_0);
        alu(a, BPF_RSH, BPF_REG_4, 32);
        move(a, BPF_REG_3, ACKNOWLEDGED);
        emit(a, BPF_ALU | BPF_SUB | BPF_X, BPF_REG_3, BPF_REG_4, 0, 0);
        jump_if_word(a, BPF_JSLT, BPF_REG_3, 0, LABEL_NOT_YET);

        /* r3 = the new state, r6 = what the sum changes by */
        alu(a, BPF_LSH, BPF_REG_2, 16);
        alu(a, BPF_OR, BPF_REG_2, sends);
        move(a, BPF_REG_3, SENT);
        alu(a, BPF_LSH, BPF_REG_3, 32);
        emit(a, BPF_ALU64 | BPF_OR | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
        set(a, BPF_REG_6, sends);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0);
        jump(a, LABEL_SWAP);

        place(a, LABEL_NOT_YET);
        move(a, BPF_REG_3, BPF_REG_0);
        alu(a, BPF_ADD, BPF_REG_3, sends);
        set(a, BPF_REG_6, sends);
        jump(a, LABEL_SWAP);

        place(a, LABEL_ALL);
        move(a, BPF_REG_3, SENT);
        alu(a, BPF_LSH, BPF_REG_3, 32);
        set(a, BPF_REG_6, 0);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_6, BPF_REG_2, 0, 0);

        place(a, LABEL_SWAP);
        move(a, BPF_REG_4, BPF_REG_0);
        compare_and_exchange(a, SENDER, offsetof(Sender, state), BPF_REG_3);
        jump_if_reg(a, BPF_JNE, BPF_REG_0, BPF_REG_4, LABEL_AGAIN);
        add_to_sum(a, refs);
}

/* After tcp_sendmsg(sk, msg, size), which returned how much was sent. */
static void counted(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 3);
        jump_if_word(a, BPF_JSLE, BPF_REG_6, 0, LABEL_OUT);
        guard_load_argument(a, BPF_REG_6, 0);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        find_tcp(a);
        store(a, BPF_DW, BPF_REG_10, STACK_SK, BPF_REG_6);
        look_up(a, refs->maps[SENDERS], STACK_SK);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_HAS_SENDER);

        load_sequences(a, refs);
        jump_if_reg(a, BPF_JEQ, ACKNOWLEDGED, SENT, LABEL_OUT);
        guard_store_dyno(a, STACK_DYNO);
        guard_find_sum(a, refs->maps[SUMS], STACK_DYNO, STACK_SUM, LABEL_HAS_SUM, LABEL_OUT);
        move(a, BPF_REG_1, ACKNOWLEDGED);
        alu(a, BPF_LSH, BPF_REG_1, 32);
        store(a, BPF_DW, BPF_REG_10, STACK_SENDER + (int)offsetof(Sender, state), BPF_REG_1);
        add_new(a, refs->maps[SENDERS], STACK_SK, STACK_SENDER);
        look_up(a, refs->maps[SENDERS], STACK_SK);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);

        place(a, LABEL_HAS_SENDER);
        move(a, SENDER, BPF_REG_0);
        update(a, refs, 1);
}

/* tcp_rate_gen(sk, …): something that was sent is acknowledged. */
static void acknowledged(Assembler *a, const GuardRefs *refs) {
        look_up_sender(a, refs);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        move(a, SENDER, BPF_REG_0);
        load(a, BPF_W, BPF_REG_1, SENDER, offsetof(Sender, state)); /* both sums */
        jump_if(a, BPF_JEQ, BPF_REG_1, 0, LABEL_OUT);
        find_tcp(a);
        update(a, refs, 0);
}

/* sk_free_security(sk) */
static void freed(Assembler *a, const GuardRefs *refs) {
        look_up_sender(a, refs);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        load_sender(a);
        emit(a, BPF_ALU64 | BPF_NEG, BPF_REG_6, 0, 0, 0);
        take_out(a, refs->maps[SENDERS], STACK_SK);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_OUT);
        add_to_sum(a, refs);
}

/*
 * socket_sendmsg(sock, msg, size). Of the messages of one sendmmsg(2) to one address the kernel
 * asks about the first alone: there is none to an address.
 */
static void asked(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_8, 1);
        guard_load_argument(a, BPF_REG_6, 0);
        load(a, BPF_DW, BPF_REG_6, BPF_REG_6, refs->fields[SOCKET_SK]);
        load(a, BPF_H, BPF_REG_0, BPF_REG_6, refs->fields[SK_FAMILY]);
        jump_if(a, BPF_JEQ, BPF_REG_0, AF_INET, LABEL_INET);
        jump_if(a, BPF_JNE, BPF_REG_0, AF_INET6, LABEL_OUT);
        place(a, LABEL_INET);
        load(a, BPF_H, BPF_REG_0, BPF_REG_6, refs->fields[SK_PROTOCOL]);
        jump_if(a, BPF_JNE, BPF_REG_0, IPPROTO_TCP, LABEL_OUT);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        load(a, BPF_W, BPF_REG_0, BPF_REG_8, refs->fields[MESSAGE_FLAGS]);
        alu(a, BPF_AND, BPF_REG_0, MESSAGE_OF_MANY);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_ALONE);
        load(a, BPF_DW, BPF_REG_0, BPF_REG_8, refs->fields[MESSAGE_NAME]);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_REFUSE);

        place(a, LABEL_ALONE);
        store(a, BPF_DW, BPF_REG_10, STACK_SK, BPF_REG_6);
        look_up(a, refs->maps[SENDERS], STACK_SK);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        load_sender(a);
        jump_if(a, BPF_JLE, BPF_REG_6, SENDS_FREE, LABEL_OUT);
        jump_if(a, BPF_JGE, BPF_REG_6, SENDS_MAX, LABEL_REFUSE);
        look_up(a, refs->maps[SUMS], STACK_DYNO);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, 0);
        jump_if(a, BPF_JSGE, BPF_REG_1, SENDS_MAX, LABEL_REFUSE);
        place(a, LABEL_OUT);
        leave(a, 0);
        place(a, LABEL_REFUSE);
        leave(a, -ENOBUFS);
}

static const GuardField fields[] = {
        [SOCKET_SK] = {"socket", "sk"},
        [SK_FAMILY] = {"sock_common", "skc_family"}, /* sock begins with it */
        [SK_PROTOCOL] = {"sock", "sk_protocol"},
        [MESSAGE_NAME] = {"msghdr", "msg_name"},
        [MESSAGE_FLAGS] = {"msghdr", "msg_flags"},
        [TCP_ACKNOWLEDGED] = {"tcp_sock", "snd_una"},
        [TCP_SENT] = {"tcp_sock", "write_seq"},
};

static const GuardMap maps[] = {
        [SENDERS] = GUARD_HASH("dynod_tcp_sent", PIN_SENDS_SENDERS, Sender, SENDERS_MAX),
        [SUMS] = GUARD_SUMS("dynod_tcp_sums", PIN_SENDS_SUMS),
};

/* What only takes off comes first: nothing is left counted. */
static const GuardProgram programs[] = {
        {PIN_SENDS_FREED, "dynod_tcp_free", "sk_free_security", GUARD_ASKED, freed},
        {PIN_SENDS_ACKNOWLEDGED, "dynod_tcp_ack", "tcp_rate_gen", GUARD_BEFORE, acknowledged},
        {PIN_SENDS_COUNTED, "dynod_tcp_send", "tcp_sendmsg", GUARD_AFTER, counted},
        {PIN_SENDS_ASKED, "dynod_tcp_ask", "socket_sendmsg", GUARD_ASKED, asked},
};

GUARD_TABLE(guard_sends, "limit what dynos have sent that is not acknowledged");
