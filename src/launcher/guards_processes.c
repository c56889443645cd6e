/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds how many processes each dyno has, those that nobody has waited for included; threads have bounds of
 * their own. When a parent ends whose children are in another process group than itself, the kernel goes
 * through that group for each child, to see whether it is orphaned: their number squared, with interrupts off
 * and the lock held that every fork and exit on the host takes (exit_notify() and forget_original_parent() in
 * kernel/exit.c). That is 5 ms for 500, 20 ms for 1,000, and 1.4 s for 4,000, on 6.18.
 *
 * A process counts for the dyno that it was begun in. It is its first thread, and if another thread calls
 * execve(2) that takes its place (de_thread() in fs/exec.c). What has no such parent, as who is attached,
 * is not known here; its children are.
 */

#include <errno.h>
#include <linux/sched.h>

#include "launcher/guards.h"

/* Of a dyno. Large sizes have more threads. */
#define PROCESSES_MAX 1024

/* Fields and maps of the guard. */
enum {
        TASK_SIGNAL,
};
enum {
        PROCESSES, /* task -> id of a dyno's cgroup */
        SUMS,      /* id of a dyno's cgroup -> int64_t */
};

enum {
        TASK = BPF_REG_6,
        SUM = BPF_REG_7,

        STACK_TASK = -8,
        STACK_DYNO = -16,
        STACK_SUM = -24,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_HAS_SUM,
        LABEL_GONE,
        LABEL_REFUSE,
};

/* task_alloc(task, clone_flags). While the programs are made anew both are asked, and the second knows it. */
static void begun(Assembler *a, const GuardRefs *refs) {
        const GuardHeld process = {
                .held_fd = refs->maps[PROCESSES],
                .sums_fd = refs->maps[SUMS],
                .most = PROCESSES_MAX,
                .stack_key = STACK_TASK,
                .stack_dyno = STACK_DYNO,
                .stack_sum = STACK_SUM,
        };

        guard_load_argument(a, TASK, 0);
        guard_load_argument(a, BPF_REG_1, 1);
        alu(a, BPF_AND, BPF_REG_1, CLONE_THREAD);
        jump_if(a, BPF_JNE, BPF_REG_1, 0, LABEL_OUT);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        store(a, BPF_DW, BPF_REG_10, STACK_TASK, TASK);
        guard_hold(a, &process, SUM, LABEL_HAS_SUM, LABEL_OUT, LABEL_REFUSE);
        place(a, LABEL_OUT);
        leave(a, 0);
        place(a, LABEL_REFUSE);
        leave(a, -EAGAIN);
}

/* TASK, the argument, counts no more; out, if it did not. */
static void take_off(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, TASK, 0);
        store(a, BPF_DW, BPF_REG_10, STACK_TASK, TASK);
        guard_let_go(a, refs->maps[PROCESSES], STACK_TASK, STACK_DYNO, LABEL_OUT);
}

static void subtract(Assembler *a, const GuardRefs *refs) {
        set(a, SUM, -1);
        guard_add_to_sum(a, refs->maps[SUMS], STACK_DYNO, SUM, LABEL_OUT);
}

/* release_task(task): somebody waited for it; or another thread of the process, this one, is its first now. */
static void waited_for(Assembler *a, const GuardRefs *refs) {
        take_off(a, refs);
        call(a, BPF_FUNC_get_current_task_btf);
        jump_if_reg(a, BPF_JEQ, BPF_REG_0, TASK, LABEL_GONE);
        load(a, BPF_DW, BPF_REG_1, TASK, refs->fields[TASK_SIGNAL]);
        load(a, BPF_DW, BPF_REG_2, BPF_REG_0, refs->fields[TASK_SIGNAL]);
        jump_if_reg(a, BPF_JNE, BPF_REG_1, BPF_REG_2, LABEL_GONE);
        store(a, BPF_DW, BPF_REG_10, STACK_TASK, BPF_REG_0);
        add_new(a, refs->maps[PROCESSES], STACK_TASK, STACK_DYNO);
        jump_if_word(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        place(a, LABEL_GONE);
        subtract(a, refs);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* task_free(task): the fork failed, or nobody had to wait. */
static void freed(Assembler *a, const GuardRefs *refs) {
        take_off(a, refs);
        subtract(a, refs);
        place(a, LABEL_OUT);
        leave(a, 0);
}

static const GuardField fields[] = {
        [TASK_SIGNAL] = {"task_struct", "signal"},
};

static const GuardMap maps[] = {
        [PROCESSES] =
                GUARD_HASH("dynod_processes", PIN_INTERRUPTS_PROCESSES, uint64_t, PROCESSES_MAX),
        [SUMS] = GUARD_SUMS("dynod_proc_sums", PIN_INTERRUPTS_COUNT),
};

/* What only takes off comes first: nothing is left counted. */
static const GuardProgram programs[] = {
        {PIN_INTERRUPTS_REAPED, "dynod_proc_wait", "release_task", GUARD_BEFORE, waited_for},
        {PIN_INTERRUPTS_ENDED, "dynod_proc_free", "task_free", GUARD_ASKED, freed},
        {PIN_INTERRUPTS_BEGUN, "dynod_proc_fork", "task_alloc", GUARD_ASKED, begun},
};

GUARD_TABLE(guard_processes, "limit the processes of dynos");
