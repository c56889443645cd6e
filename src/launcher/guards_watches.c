/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds how many watches of epolls (epoll_ctl(2)) each dyno has. Whoever writes to an eventfd, or
 * to anything that can be waited for, wakes all that watch it with interrupts off, 50 to 150 ns each,
 * and one process can have thousands of epolls watch one thing under thousands of numbers.
 * fs.epoll.max_user_watches is for every user of the host alike, a twenty-fifth of its memory.
 *
 * The kernel counts them for each user, which is the dyno's own; so nothing is counted here. But it
 * asks nobody before it adds one: a process that does is killed, and meanwhile the dyno starts
 * no other. Only who means to have so many has them: with 10,000 descriptors a process, and 16384
 * sockets a dyno, no server comes near.
 */

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>

#include "launcher/guards.h"

/* Of a dyno: some 5 ms with interrupts off. The kernel's count may be behind by 32 for each processor. */
#define WATCHES_MAX 65536

/* Fields of the guard. */
enum {
        REGS_ARGUMENTS,
        TASK_CRED,
        CRED_USER,
        USER_WATCHES,
        COUNTER_COUNT,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
};

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
        jump_if(a, BPF_JSLE, BPF_REG_1, WATCHES_MAX, LABEL_OUT);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
}

/* Before epoll_ctl(epfd, op, fd, event): the call comes to its end, and the process does not. */
static void watched(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 0);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_6, refs->fields[REGS_ARGUMENTS] + GUARD_SECOND_ARGUMENT);
        jump_if_word(a, BPF_JNE, BPF_REG_1, EPOLL_CTL_ADD, LABEL_OUT);
        only_with_too_many(a, refs);
        set(a, BPF_REG_1, SIGKILL);
        call(a, BPF_FUNC_send_signal);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* task_alloc(task, clone_flags): else each new process would add one and die. */
static void forked(Assembler *a, const GuardRefs *refs) {
        only_with_too_many(a, refs);
        leave(a, -EAGAIN);
        place(a, LABEL_OUT);
        leave(a, 0);
}

static const GuardField fields[] = {
        [REGS_ARGUMENTS] = {"pt_regs", GUARD_REGS_ARGUMENTS},
        [TASK_CRED] = {"task_struct", "cred"},
        [CRED_USER] = {"cred", "user"},
        [USER_WATCHES] = {"user_struct", "epoll_watches"},
        [COUNTER_COUNT] = {"percpu_counter", "count"},
};

static const GuardProgram programs[] = {
        {PIN_INTERRUPTS_WATCHED, "dynod_watched", GUARD_CALL("epoll_ctl"), GUARD_BEFORE, watched},
        {PIN_INTERRUPTS_FORKED, "dynod_forked", "task_alloc", GUARD_ASKED, forked},
};

const GuardTable guard_watches = {
        .purpose = "limit the watches of dynos",
        .fields = fields,
        .n_fields = ARRAY_SIZE(fields),
        .programs = programs,
        .n_programs = ARRAY_SIZE(programs),
};
