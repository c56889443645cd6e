/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds the descriptors that each dyno has in flight: sent over a Unix socket (SCM_RIGHTS) and
 * not received yet. All of the host are searched for circles by one worker of the kernel's, under
 * one lock, which whoever sends or receives a descriptor takes too. From 16,000 on any message of
 * anybody starts a search, and before Linux 6.9 waits for it.
 *
 * The kernel counts them for each user, which is the dyno's own, and so does this: but they count
 * only when there is room in the receiver's queue. Who waits for that with descriptors in hand is
 * therefore counted here, until the send ends, however it does.
 */

#include <errno.h>
#include <sys/socket.h>

#include "launcher/guards.h"

/* RLIMIT_NOFILE alone would be 10,000. Two messages of as many as there can be. */
#define FLIGHT_MAX 512
#define WEIGHT_MAX 256  /* of a message; at least SCM_MAX_FD in include/net/scm.h, 253 */
#define SENDER_WEIGHT 4 /* so that there are only so many in the map, whatever they send */
#define SENDERS_MAX (FLIGHT_MAX / SENDER_WEIGHT)

/* One that may be waiting for room. The key is its thread. */
typedef struct Sender {
        uint64_t weight, dyno;
} Sender;

/* Fields and maps of the guard. */
enum {
        SOCKET_SK,
        SK_FAMILY,
        MESSAGE_NAME,
        MESSAGE_FLAGS,
        MESSAGE_CONTROL,
        TASK_CRED,
        CRED_USER,
        USER_FLIGHT,
};
enum {
        SENDERS, /* thread -> Sender */
        SUMS,    /* id of a dyno's cgroup -> int64_t */
};

enum {
        MESSAGE = BPF_REG_7,
        WEIGHT = BPF_REG_8,
        SUM = BPF_REG_9,

        STACK_THREAD = -8,
        STACK_SENDER = -24, /* Sender */
        STACK_SUM = -32,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_ALONE,
        LABEL_SETTLED,
        LABEL_WEIGHED,
        LABEL_HAS_SUM,
        LABEL_REFUSE,
};

#define SENDER(field) (STACK_SENDER + (int)offsetof(Sender, field))

static void only_with_control(Assembler *a, const GuardRefs *refs) {
        load(a, BPF_DW, BPF_REG_0, MESSAGE, refs->fields[MESSAGE_CONTROL]);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
}

/* WEIGHT = as many descriptors as the control data of MESSAGE has room for, and some. */
static void weigh(Assembler *a, const GuardRefs *refs) {
        load(a, BPF_DW, WEIGHT, MESSAGE, refs->fields[MESSAGE_CONTROL]);
        alu(a, BPF_RSH, WEIGHT, 2);
        jump_if(a, BPF_JLE, WEIGHT, WEIGHT_MAX - SENDER_WEIGHT, LABEL_WEIGHED);
        set(a, WEIGHT, WEIGHT_MAX - SENDER_WEIGHT);
        place(a, LABEL_WEIGHED);
        alu(a, BPF_ADD, WEIGHT, SENDER_WEIGHT);
        store(a, BPF_DW, BPF_REG_10, SENDER(weight), WEIGHT);
}

/* SUM = where the process's dyno has the weight of those that are sending. */
static void find_sum(Assembler *a, const GuardRefs *refs) {
        guard_store_dyno(a, SENDER(dyno));
        guard_find_sum(a, refs->maps[SUMS], SENDER(dyno), STACK_SUM, LABEL_HAS_SUM, LABEL_REFUSE);
        move(a, SUM, BPF_REG_0);
}

/* Refuses what would be over the bound with all that is in flight and all that is being sent. */
static void compare(Assembler *a, const GuardRefs *refs) {
        call(a, BPF_FUNC_get_current_task_btf);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, refs->fields[TASK_CRED]);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, refs->fields[CRED_USER]);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, refs->fields[USER_FLIGHT]);
        load(a, BPF_DW, BPF_REG_2, SUM, 0);
        emit(a, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_1, BPF_REG_2, 0, 0);
        emit(a, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_1, WEIGHT, 0, 0);
        jump_if(a, BPF_JSGT, BPF_REG_1, FLIGHT_MAX, LABEL_REFUSE);
}

/* The thread sends no more: what its last message had counts for the user now, or for nobody. */
static void settle(Assembler *a, const GuardRefs *refs) {
        call(a, BPF_FUNC_get_current_pid_tgid);
        store(a, BPF_DW, BPF_REG_10, STACK_THREAD, BPF_REG_0);
        look_up(a, refs->maps[SENDERS], STACK_THREAD);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_SETTLED);
        load(a, BPF_DW, WEIGHT, BPF_REG_0, offsetof(Sender, weight));
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, offsetof(Sender, dyno));
        store(a, BPF_DW, BPF_REG_10, SENDER(dyno), BPF_REG_1);
        take_out(a, refs->maps[SENDERS], STACK_THREAD);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_SETTLED);
        emit(a, BPF_ALU64 | BPF_NEG, WEIGHT, 0, 0, 0);
        guard_add_to_sum(a, refs->maps[SUMS], SENDER(dyno), WEIGHT, LABEL_SETTLED);
        place(a, LABEL_SETTLED);
}

/*
 * socket_sendmsg(sock, msg, size). Of the messages of one sendmmsg(2) to one address the kernel
 * asks about the first alone: there is none to an address. A send that another security module
 * refused after this has no end, but for the thread's next one.
 */
static void ask(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, MESSAGE, 1);
        guard_load_argument(a, BPF_REG_6, 0);
        load(a, BPF_DW, BPF_REG_6, BPF_REG_6, refs->fields[SOCKET_SK]);
        load(a, BPF_H, BPF_REG_0, BPF_REG_6, refs->fields[SK_FAMILY]);
        jump_if(a, BPF_JNE, BPF_REG_0, AF_UNIX, LABEL_OUT);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        load(a, BPF_W, BPF_REG_0, MESSAGE, refs->fields[MESSAGE_FLAGS]);
        alu(a, BPF_AND, BPF_REG_0, MESSAGE_OF_MANY);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_ALONE);
        load(a, BPF_DW, BPF_REG_0, MESSAGE, refs->fields[MESSAGE_NAME]);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_REFUSE);
        place(a, LABEL_ALONE);
        only_with_control(a, refs);
        settle(a, refs);
        weigh(a, refs);
        find_sum(a, refs);
        compare(a, refs);
        add_new(a, refs->maps[SENDERS], STACK_THREAD, STACK_SENDER);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_REFUSE);
        add_atomically(a, SUM, 0, WEIGHT);
        place(a, LABEL_OUT);
        leave(a, 0);
        place(a, LABEL_REFUSE);
        leave(a, -ETOOMANYREFS);
}

/* After unix_*_sendmsg(sock, msg, size) */
static void end(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, MESSAGE, 1);
        only_with_control(a, refs);
        settle(a, refs);
        place(a, LABEL_OUT);
        leave(a, 0);
}

static const GuardField fields[] = {
        [SOCKET_SK] = {"socket", "sk"},
        [SK_FAMILY] = {"sock_common", "skc_family"}, /* sock begins with it */
        [MESSAGE_NAME] = {"msghdr", "msg_name"},
        [MESSAGE_FLAGS] = {"msghdr", "msg_flags"},
        [MESSAGE_CONTROL] = {"msghdr", "msg_controllen"},
        [TASK_CRED] = {"task_struct", "cred"},
        [CRED_USER] = {"cred", "user"},
        [USER_FLIGHT] = {"user_struct", "unix_inflight"},
};

static const GuardMap maps[] = {
        [SENDERS] = GUARD_HASH("dynod_senders", PIN_NONE, Sender, SENDERS_MAX),
        [SUMS] = GUARD_SUMS("dynod_fly_sums", PIN_NONE),
};

/* What only takes off comes first: nothing is left counted. */
static const GuardProgram programs[] = {
        {PIN_FLIGHT_STREAM, "dynod_fly_str", "unix_stream_sendmsg", GUARD_AFTER, end},
        {PIN_FLIGHT_DATAGRAM, "dynod_fly_dgr", "unix_dgram_sendmsg", GUARD_AFTER, end},
        {PIN_FLIGHT_PACKET, "dynod_fly_seq", "unix_seqpacket_sendmsg", GUARD_AFTER, end},
        {PIN_FLIGHT, "dynod_flight", "socket_sendmsg", GUARD_ASKED, ask},
};

GUARD_TABLE(guard_flight, "limit the descriptors that dynos have in flight");
