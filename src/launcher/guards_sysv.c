/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds how many threads wait for several of a set's System V semaphores at once (semop(2)). After each change
 * the kernel asks anew of each of them whether he has all of his, and begins at the first again after each who
 * has: their number squared, with a lock and without a pause (update_queue() in ipc/sem.c, which says so).
 * Those who wait for zeroes alone are asked as often, and have a list of their own. The filter leaves each
 * seven operations.
 *
 * The list is walked without its lock: where it changes meanwhile some more are let in.
 */

#include <errno.h>

#include "launcher/guards.h"

/* In each list of a set: a millisecond (reckoned). */
#define WAITERS_MAX 256

/* Fields of the guard. */
enum {
        SET_CHANGERS,
        SET_READERS,
};

enum {
        SET = BPF_REG_6,
        HEAD = BPF_REG_7,
        WAITER = BPF_REG_8,
        LEFT = BPF_REG_9,

        STACK_WORD = -8,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_CHANGERS,
        LABEL_READERS,
        LABEL_FEW_CHANGERS,
        LABEL_REFUSE,
};

/* Goes to @few, if the list at @offset of SET has few entries, and on to LABEL_REFUSE if not. */
static void look_through(Assembler *a, int offset, int again, int few) {
        move(a, HEAD, SET);
        alu(a, BPF_ADD, HEAD, offset);
        move(a, WAITER, HEAD);
        set(a, LEFT, WAITERS_MAX);
        place(a, again);
        jump_if(a, BPF_JEQ, LEFT, 0, LABEL_REFUSE);
        alu(a, BPF_SUB, LEFT, 1);
        guard_peek(a, WAITER, WAITER, 0, STACK_WORD);
        jump_if(a, BPF_JEQ, WAITER, 0, few);
        jump_if_reg(a, BPF_JEQ, WAITER, HEAD, few);
        jump(a, again);
}

/* sem_semop(perm, …), where a struct sem_array begins. */
static void operates(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, SET, 0);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        look_through(a, refs->fields[SET_CHANGERS], LABEL_CHANGERS, LABEL_FEW_CHANGERS);
        place(a, LABEL_FEW_CHANGERS);
        look_through(a, refs->fields[SET_READERS], LABEL_READERS, LABEL_OUT);
        place(a, LABEL_OUT);
        leave(a, 0);
        place(a, LABEL_REFUSE);
        leave(a, -ENOMEM);
}

static const GuardField fields[] = {
        [SET_CHANGERS] = {"sem_array", "pending_alter"},
        [SET_READERS] = {"sem_array", "pending_const"},
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
