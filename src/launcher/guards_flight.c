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

#include <bpf/libbpf.h>
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

/* Offsets in the kernel's own types, in bytes. */
typedef struct Fields {
        int socket_sk, sk_family;
        int message_name, message_flags, message_control;
        int task_cred, cred_user, user_flight;
} Fields;

typedef struct Maps {
        int dynos_fd;   /* the cgroup of all */
        int senders_fd; /* thread -> Sender */
        int sums_fd;    /* id of a dyno's cgroup -> int64_t */
} Maps;

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

static int find_fields(Fields *ret) {
        struct btf *btf = btf__load_vmlinux_btf();

        if (!btf)
                return -ENOENT;
        *ret = (Fields){
                .socket_sk = guard_field(btf, "socket", "sk"),
                .sk_family = guard_field(btf, "sock_common", "skc_family"),
                .message_name = guard_field(btf, "msghdr", "msg_name"),
                .message_flags = guard_field(btf, "msghdr", "msg_flags"),
                .message_control = guard_field(btf, "msghdr", "msg_controllen"),
                .task_cred = guard_field(btf, "task_struct", "cred"),
                .cred_user = guard_field(btf, "cred", "user"),
                .user_flight = guard_field(btf, "user_struct", "unix_inflight"),
        };
        btf__free(btf);
        return ret->socket_sk < 0 || ret->sk_family < 0 || ret->message_name < 0 ||
                               ret->message_flags < 0 || ret->message_control < 0 ||
                               ret->task_cred < 0 || ret->cred_user < 0 || ret->user_flight < 0
                       ? -ENOENT
                       : 0;
}

static void only_with_control(Assembler *a, const Fields *fields) {
        load(a, BPF_DW, BPF_REG_0, MESSAGE, fields->message_control);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
}

/* WEIGHT = as many descriptors as the control data of MESSAGE has room for, and some. */
static void weigh(Assembler *a, const Fields *fields) {
        load(a, BPF_DW, WEIGHT, MESSAGE, fields->message_control);
        alu(a, BPF_RSH, WEIGHT, 2);
        jump_if(a, BPF_JLE, WEIGHT, WEIGHT_MAX - SENDER_WEIGHT, LABEL_WEIGHED);
        set(a, WEIGHT, WEIGHT_MAX - SENDER_WEIGHT);
        place(a, LABEL_WEIGHED);
        alu(a, BPF_ADD, WEIGHT, SENDER_WEIGHT);
        store(a, BPF_DW, BPF_REG_10, SENDER(weight), WEIGHT);
}

/* SUM = where the process's dyno has the weight of those that are sending. */
static void find_sum(Assembler *a, const Maps *maps) {
        call(a, BPF_FUNC_get_current_cgroup_id);
        store(a, BPF_DW, BPF_REG_10, SENDER(dyno), BPF_REG_0);
        guard_find_sum(a, maps->sums_fd, SENDER(dyno), STACK_SUM, LABEL_HAS_SUM, LABEL_REFUSE);
        move(a, SUM, BPF_REG_0);
}

/* Refuses what would be over the bound with all that is in flight and all that is being sent. */
static void compare(Assembler *a, const Fields *fields) {
        call(a, BPF_FUNC_get_current_task_btf);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, fields->task_cred);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, fields->cred_user);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, fields->user_flight);
        load(a, BPF_DW, BPF_REG_2, SUM, 0);
        emit(a, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_1, BPF_REG_2, 0, 0);
        emit(a, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_1, WEIGHT, 0, 0);
        jump_if(a, BPF_JSGT, BPF_REG_1, FLIGHT_MAX, LABEL_REFUSE);
}

/* The thread sends no more: what its last message had counts for the user now, or for nobody. */
static void settle(Assembler *a, const Maps *maps) {
        call(a, BPF_FUNC_get_current_pid_tgid);
        store(a, BPF_DW, BPF_REG_10, STACK_THREAD, BPF_REG_0);
        look_up(a, maps->senders_fd, STACK_THREAD);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_SETTLED);
        load(a, BPF_DW, WEIGHT, BPF_REG_0, offsetof(Sender, weight));
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, offsetof(Sender, dyno));
        store(a, BPF_DW, BPF_REG_10, SENDER(dyno), BPF_REG_1);
        take_out(a, maps->senders_fd, STACK_THREAD);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_SETTLED);
        look_up(a, maps->sums_fd, SENDER(dyno));
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_SETTLED);
        emit(a, BPF_ALU64 | BPF_NEG, WEIGHT, 0, 0, 0);
        add_atomically(a, BPF_REG_0, 0, WEIGHT);
        place(a, LABEL_SETTLED);
}

/*
 * socket_sendmsg(sock, msg, size). Of the messages of one sendmmsg(2) to one address the kernel
 * asks about the first alone: there is none to an address. A send that another security module
 * refused after this has no end, but for the thread's next one.
 */
static void ask(Assembler *a, const Maps *maps, const Fields *fields) {
        load(a, BPF_DW, MESSAGE, BPF_REG_1, sizeof(uint64_t));
        load(a, BPF_DW, BPF_REG_6, BPF_REG_1, 0);
        load(a, BPF_DW, BPF_REG_6, BPF_REG_6, fields->socket_sk);
        load(a, BPF_H, BPF_REG_0, BPF_REG_6, fields->sk_family);
        jump_if(a, BPF_JNE, BPF_REG_0, AF_UNIX, LABEL_OUT);
        guard_only_dynos(a, maps->dynos_fd, LABEL_OUT);
        load(a, BPF_W, BPF_REG_0, MESSAGE, fields->message_flags);
        alu(a, BPF_AND, BPF_REG_0, MESSAGE_OF_MANY);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_ALONE);
        load(a, BPF_DW, BPF_REG_0, MESSAGE, fields->message_name);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_REFUSE);
        place(a, LABEL_ALONE);
        only_with_control(a, fields);
        settle(a, maps);
        weigh(a, fields);
        find_sum(a, maps);
        compare(a, fields);
        add_new(a, maps->senders_fd, STACK_THREAD, STACK_SENDER);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_REFUSE);
        add_atomically(a, SUM, 0, WEIGHT);
        place(a, LABEL_OUT);
        leave(a, 0);
        place(a, LABEL_REFUSE);
        leave(a, -ETOOMANYREFS);
}

/* After unix_*_sendmsg(sock, msg, size) */
static void end(Assembler *a, const Maps *maps, const Fields *fields) {
        load(a, BPF_DW, MESSAGE, BPF_REG_1, sizeof(uint64_t));
        only_with_control(a, fields);
        settle(a, maps);
        place(a, LABEL_OUT);
        leave(a, 0);
}

static int install(const char *instance, const Maps *maps, const Fields *fields) {
        /* What only takes off comes first: nothing is left counted. */
        static const struct {
                GuardProgram program;
                void (*write)(Assembler *a, const Maps *maps, const Fields *fields);
        } programs[] = {
                {{PIN_FLIGHT_STREAM, "dynod_fly_str", "unix_stream_sendmsg", GUARD_AFTER}, end},
                {{PIN_FLIGHT_DATAGRAM, "dynod_fly_dgr", "unix_dgram_sendmsg", GUARD_AFTER}, end},
                {{PIN_FLIGHT_PACKET, "dynod_fly_seq", "unix_seqpacket_sendmsg", GUARD_AFTER}, end},
                {{PIN_FLIGHT, "dynod_flight", "socket_sendmsg", GUARD_ASKED}, ask},
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

int guard_flight(const char *instance, int dynos_fd, uint32_t max_dynos) {
        const GuardMap senders = {
                .name = "dynod_senders",
                .type = BPF_MAP_TYPE_HASH,
                .flags = BPF_F_NO_PREALLOC,
                .key_size = sizeof(uint64_t),
                .value_size = sizeof(Sender),
                .entries = max_dynos * SENDERS_MAX,
        };
        const GuardMap sums = guard_sums("dynod_fly_sums", max_dynos);
        _cleanup_close_ int senders_fd = -EBADF, sums_fd = -EBADF;
        Fields fields;
        int r;

        r = find_fields(&fields);
        if (r < 0)
                return r;
        senders_fd = guard_make_map(&senders);
        if (senders_fd < 0)
                return senders_fd;
        sums_fd = guard_make_map(&sums);
        if (sums_fd < 0)
                return sums_fd;
        return install(
                instance,
                &(Maps){.dynos_fd = dynos_fd, .senders_fd = senders_fd, .sums_fd = sums_fd},
                &fields);
}
