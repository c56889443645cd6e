/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds how much of an interrupt, or of a time with interrupts off, it is to wake a dyno's epolls
 * (epoll(7)). Whoever writes to an eventfd, or to anything that can be waited for, wakes all that
 * watch it, 50 to 150 ns each, and one process can have thousands of epolls watch one thing under
 * thousands of numbers. Each watch wakes again whoever polls its epoll (poll(2) and its like), which a
 * process may do under as many numbers. fs.epoll.max_user_watches is for every user of the host
 * alike, a twenty-fifth of its memory.
 *
 * The kernel counts watches for each user, which is the dyno's own, and has a list of who polls; so
 * nothing is counted here. But it asks nobody before it adds to either: a process that does so is
 * killed. The call ends as ever, and so a dyno with too many watches starts no process either, to
 * add one more. Only who means to have so many has them: with 10,000 descriptors a process,
 * and 16384 sockets a dyno, no server comes near, and one thread waits for an epoll by polling it.
 */

#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>

#include "launcher/guards.h"

/*
 * Of a dyno: as many as it may have sockets of TCP and UDP, and 4096. To wake all takes 1 to 3 ms, and
 * as long for those that poll.
 */
#define WATCHES_MAX 20480
#define POLLERS_MAX 4 /* of an epoll, those epolls included that watch it */
#define WALKS_MAX 8   /* along a list of those */

/* Fields of the guard. */
enum {
        REGS_ARGUMENTS,
        TASK_CRED,
        CRED_USER,
        USER_WATCHES,
        COUNTER_COUNT,
        FILE_EPOLL,
        EPOLL_POLLERS,
        POLLERS_HEAD,
        TABLE_ADDS,
        ENTRY_WAIT,
        ENTRY_WHOM,
        WAIT_NODE,
};

enum {
        HEAD = BPF_REG_6,
        POLLER = BPF_REG_7,
        WALKS = BPF_REG_8,

        STACK_WORD = -8,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_AGAIN,
        LABEL_KILL,
};

/*
 * What the kernel's count may be too high by: each processor keeps as many to itself, up or down
 * (compute_batch_value() in lib/percpu_counter.c).
 */
static int32_t slack(void) {
        int32_t processors = libbpf_num_possible_cpus();

        if (processors < 1)
                return 0;
        return processors * (processors > 16 ? 2 * processors : 32);
}

/* Out, if the process's user has no more watches than that, or is no dyno's. */
static void only_with_too_many(Assembler *a, const GuardRefs *refs) {
        call(a, BPF_FUNC_get_current_task_btf);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, refs->fields[TASK_CRED]);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, refs->fields[CRED_USER]);
        load(a,
             BPF_DW,
             BPF_REG_1,
             BPF_REG_1,
             refs->fields[USER_WATCHES] + refs->fields[COUNTER_COUNT]);
        jump_if(a, BPF_JSLE, BPF_REG_1, WATCHES_MAX + slack(), LABEL_OUT);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
}

static void kill_or_leave(Assembler *a) {
        set(a, BPF_REG_1, SIGKILL);
        call(a, BPF_FUNC_send_signal);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* Before epoll_ctl(epfd, op, fd, event) */
static void watched(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 0);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_6, refs->fields[REGS_ARGUMENTS] + GUARD_SECOND_ARGUMENT);
        jump_if_word(a, BPF_JNE, BPF_REG_1, EPOLL_CTL_ADD, LABEL_OUT);
        only_with_too_many(a, refs);
        kill_or_leave(a);
}

/* task_alloc(task, clone_flags) */
static void forked(Assembler *a, const GuardRefs *refs) {
        only_with_too_many(a, refs);
        leave(a, -EAGAIN);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/*
 * POLLER = the next one of the list; out, if that was the last. Not known yet to be one: whoever was
 * taken off meanwhile may be on another list now, or on none.
 */
static void next_poller(Assembler *a) {
        stack_address(a, BPF_REG_1, STACK_WORD);
        set(a, BPF_REG_2, sizeof(uint64_t));
        move(a, BPF_REG_3, POLLER);
        call(a, BPF_FUNC_probe_read_kernel);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_AGAIN);
        load(a, BPF_DW, POLLER, BPF_REG_10, STACK_WORD);
        jump_if_reg(a, BPF_JEQ, POLLER, HEAD, LABEL_OUT);
}

/* Each says behind its wait_queue_entry whom it waits for, be it poll(2)'s or another epoll's. */
static void only_of_this_list(Assembler *a, const GuardRefs *refs) {
        int whom = refs->fields[ENTRY_WHOM] - refs->fields[ENTRY_WAIT] - refs->fields[WAIT_NODE];

        stack_address(a, BPF_REG_1, STACK_WORD);
        set(a, BPF_REG_2, sizeof(uint64_t));
        move(a, BPF_REG_3, POLLER);
        alu(a, BPF_ADD, BPF_REG_3, whom);
        call(a, BPF_FUNC_probe_read_kernel);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_AGAIN);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_10, STACK_WORD);
        alu(a, BPF_ADD, BPF_REG_1, refs->fields[POLLERS_HEAD]);
        jump_if_reg(a, BPF_JNE, BPF_REG_1, HEAD, LABEL_AGAIN);
}

/*
 * Before ep_eventpoll_poll(file, wait), of poll(2) and its like alone: epolls in epolls come another
 * way, and have bounds of the kernel's (reverse_path_check() in fs/eventpoll.c). The list is walked
 * without its lock, and again where it changed: that often in a row only if somebody sees to it.
 */
static void polled(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, HEAD, 0);
        guard_load_argument(a, BPF_REG_1, 1);
        load(a, BPF_DW, BPF_REG_0, BPF_REG_1, refs->fields[TABLE_ADDS]);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT); /* it only looks */
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        load(a, BPF_DW, HEAD, HEAD, refs->fields[FILE_EPOLL]);
        alu(a, BPF_ADD, HEAD, refs->fields[EPOLL_POLLERS] + refs->fields[POLLERS_HEAD]);
        set(a, WALKS, WALKS_MAX);
        place(a, LABEL_AGAIN);
        jump_if(a, BPF_JEQ, WALKS, 0, LABEL_KILL);
        alu(a, BPF_SUB, WALKS, 1);
        move(a, POLLER, HEAD);
        for (unsigned i = 0; i < POLLERS_MAX; i++) {
                next_poller(a);
                only_of_this_list(a, refs);
        }
        place(a, LABEL_KILL);
        kill_or_leave(a);
}

static const GuardField fields[] = {
        [REGS_ARGUMENTS] = {"pt_regs", GUARD_REGS_ARGUMENTS},
        [TASK_CRED] = {"task_struct", "cred"},
        [CRED_USER] = {"cred", "user"},
        [USER_WATCHES] = {"user_struct", "epoll_watches"},
        [COUNTER_COUNT] = {"percpu_counter", "count"},
        [FILE_EPOLL] = {"file", "private_data"},
        [EPOLL_POLLERS] = {"eventpoll", "poll_wait"},
        [POLLERS_HEAD] = {"wait_queue_head", "head"},
        [TABLE_ADDS] = {"poll_table_struct", "_qproc"},
        [ENTRY_WAIT] =
                {"poll_table_entry",
                 "wait"}, /* as in struct eppoll_entry, with "whead" behind it */
        [ENTRY_WHOM] = {"poll_table_entry", "wait_address"},
        [WAIT_NODE] = {"wait_queue_entry", "entry"},
};

static const GuardProgram programs[] = {
        {PIN_INTERRUPTS_WATCHED, "dynod_watched", GUARD_CALL("epoll_ctl"), GUARD_BEFORE, watched},
        {PIN_INTERRUPTS_POLLED, "dynod_polled", "ep_eventpoll_poll", GUARD_BEFORE, polled},
        {PIN_INTERRUPTS_FORKED, "dynod_forked", "task_alloc", GUARD_ASKED, forked},
};

static_assert(ARRAY_SIZE(fields) <= GUARD_FIELDS_MAX, "of GuardRefs");

const GuardTable guard_watches = {
        .purpose = "limit the watches of dynos",
        .fields = fields,
        .n_fields = ARRAY_SIZE(fields),
        .programs = programs,
        .n_programs = ARRAY_SIZE(programs),
};
