/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds how many threads wait for several of a set's System V semaphores at once (semop(2)). After each change
 * the kernel asks anew of each of them whether he has all of his, and begins at the first again after each who
 * has: their number squared, with a lock and without a pause (update_queue() in ipc/sem.c, which says so).
 * The filter leaves each seven operations.
 *
 * The list is walked without its lock: where it changes meanwhile some more are let in.
 */

#include <errno.h>

#include "launcher/guards.h"

/* Of a set: less than a millisecond. */
#define WAITERS_MAX 256

/* Fields of the guard. */
enum {
        SET_WAITERS,
};

enum {
        HEAD = BPF_REG_6,
        WAITER = BPF_REG_7,
        LEFT = BPF_REG_8,

        STACK_WORD = -8,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_AGAIN,
        LABEL_REFUSE,
};

/* sem_semop(perm, …), where a struct sem_array begins. */
static void operates(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, HEAD, 0);
        alu(a, BPF_ADD, HEAD, refs->fields[SET_WAITERS]);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        move(a, WAITER, HEAD);
        set(a, LEFT, WAITERS_MAX);
        place(a, LABEL_AGAIN);
        jump_if(a, BPF_JEQ, LEFT, 0, LABEL_REFUSE);
        alu(a, BPF_SUB, LEFT, 1);
        stack_address(a, BPF_REG_1, STACK_WORD);
        set(a, BPF_REG_2, sizeof(uint64_t));
        move(a, BPF_REG_3, WAITER);
        call(a, BPF_FUNC_probe_read_kernel);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_OUT);
        load(a, BPF_DW, WAITER, BPF_REG_10, STACK_WORD);
        jump_if_reg(a, BPF_JNE, WAITER, HEAD, LABEL_AGAIN);
        place(a, LABEL_OUT);
        leave(a, 0);
        place(a, LABEL_REFUSE);
        leave(a, -ENOMEM);
}

static const GuardField fields[] = {
        [SET_WAITERS] = {"sem_array", "pending_alter"},
};

static const GuardProgram programs[] = {
        {PIN_INTERRUPTS_OPERATES, "dynod_semop", "sem_semop", GUARD_ASKED, operates},
};

const GuardTable guard_sysv = {
        .purpose = "limit who waits for semaphores of dynos",
        .fields = fields,
        .n_fields = ARRAY_SIZE(fields),
        .programs = programs,
        .n_programs = ARRAY_SIZE(programs),
};
