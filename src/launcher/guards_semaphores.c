/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds for how long a dyno keeps writers waiting at semaphores that the kernel has once for the
 * whole host (struct rw_semaphore): that of all cgroups' folders, which every path below /sys/fs/cgroup
 * is looked up with (kernfs_rwsem), that of all mounts (namespace_sem, /proc/self/mountinfo), and that of
 * host names (uts_sem, uname(2)). When a writer is done with one, all readers that came meanwhile have it
 * at once, those included that have no processor yet; and the next writer waits for the last of them. With
 * 200 busy processes in its dyno that one has its turn a third of a second later, and to make a cgroup is
 * sixty times to write: it took 14 s, with the lock of all cgroups held (1.4 ms otherwise; in an emulated
 * guest).
 *
 * What is counted is how long a thread that waited for such a semaphore was ready to run and did not;
 * instants at which several were count once. Nobody can be refused, for that is known when it is over: who
 * has too much is killed, as in guards_watches.c. To find that others write is no fault of a dyno's, and
 * waiting for them is not counted.
 */

#include <errno.h>

#include "launcher/guards.h"

/* Of a dyno: so much at once, and a sixteenth of the time after that. */
#define NSEC_FOR_ONE 16
#define NSEC_AT_ONCE_SHIFT 32 /* 2^32 ns, 4.3 s */

/* What is within so many bytes of a variable of the kernel's is one, too: no image is larger. */
#define IMAGE_SIZE (64 << 20)
/* sizeof(struct kernfs_root), or somewhat more: newer kernels have several semaphores in it. */
#define KERNFS_ROOT_SIZE 512

/* Fields and maps of the guard. */
enum {
        TASK_CGROUPS,
        CGROUPS_DEFAULT,
        CGROUP_ROOT,
        ROOT_KERNFS,
        TASK_SCHED,
        SCHED_READY,
};
enum {
        WAITING, /* id of a thread that waits for a semaphore -> for how long it was ready before, ns */
        ENDS, /* id of a dyno's cgroup -> int64_t: the end of what is counted last, ns of uptime */
        PAID, /* id of a dyno's cgroup -> int64_t: until when that is paid for, ns of uptime */
        KILLED, /* as in guards_watches.c */
};

enum {
        SEMAPHORE = BPF_REG_6,
        ROOT = BPF_REG_7,

        NOW = BPF_REG_6,
        SPAN = BPF_REG_7,
        SUM = BPF_REG_8,

        STACK_WORD = -8,
        STACK_DYNO = -16,
        STACK_THREAD = -24,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_OF_HOST,
        LABEL_HAS_END,
        LABEL_ALL_NEW,
        LABEL_HAS_SUM,
        LABEL_RECENT,
        LABEL_HAS_MARK,
        LABEL_KILL,
};

/* r0 = the process. */
static void store_thread(Assembler *a) {
        call(a, BPF_FUNC_get_current_pid_tgid);
        store(a, BPF_DW, BPF_REG_10, STACK_THREAD, BPF_REG_0);
        call(a, BPF_FUNC_get_current_task_btf);
}

/* rwsem_down_read_slowpath(sem, count, state): it was not to be had at once. */
static void waits(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, SEMAPHORE, 0);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        store_thread(a);
        load(a, BPF_DW, ROOT, BPF_REG_0, refs->fields[TASK_CGROUPS]);
        load(a, BPF_DW, ROOT, ROOT, refs->fields[CGROUPS_DEFAULT]);
        load(a, BPF_DW, ROOT, ROOT, refs->fields[CGROUP_ROOT]);
        /* That root is a variable of the kernel's, and what it points to is not. */
        load(a, BPF_DW, BPF_REG_2, ROOT, refs->fields[ROOT_KERNFS]);
        move(a, BPF_REG_1, SEMAPHORE);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_1, BPF_REG_2, 0, 0);
        jump_if(a, BPF_JLT, BPF_REG_1, KERNFS_ROOT_SIZE, LABEL_OF_HOST);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, SEMAPHORE, ROOT, 0, 0);
        alu(a, BPF_ADD, SEMAPHORE, IMAGE_SIZE);
        jump_if(a, BPF_JGE, SEMAPHORE, 2 * IMAGE_SIZE, LABEL_OUT);
        place(a, LABEL_OF_HOST);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, refs->fields[TASK_SCHED] + refs->fields[SCHED_READY]);
        store(a, BPF_DW, BPF_REG_10, STACK_WORD, BPF_REG_1);
        put(a, refs->maps[WAITING], STACK_THREAD, STACK_WORD);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* SPAN = of the SPAN that ends NOW, what is after the end of the last one. */
static void only_what_is_new(Assembler *a, const GuardRefs *refs) {
        guard_find_sum(a, refs->maps[ENDS], STACK_DYNO, STACK_WORD, LABEL_HAS_END, LABEL_OUT);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, 0);
        store(a, BPF_DW, BPF_REG_0, 0, NOW);
        move(a, BPF_REG_2, NOW);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_2, BPF_REG_1, 0, 0);
        jump_if_reg(a, BPF_JSGE, BPF_REG_2, SPAN, LABEL_ALL_NEW);
        move(a, SPAN, BPF_REG_2);
        jump_if(a, BPF_JSLT, SPAN, 1, LABEL_OUT); /* another processor was here meanwhile */
        place(a, LABEL_ALL_NEW);
}

/* The same returns: it was had. What races here is off by the waits of that instant. */
static void had(Assembler *a, const GuardRefs *refs) {
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        store_thread(a);
        load(a, BPF_DW, SPAN, BPF_REG_0, refs->fields[TASK_SCHED] + refs->fields[SCHED_READY]);
        look_up(a, refs->maps[WAITING], STACK_THREAD);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, 0);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, SPAN, BPF_REG_1, 0, 0);
        take_out(a, refs->maps[WAITING], STACK_THREAD);
        jump_if(a, BPF_JSLT, SPAN, 1, LABEL_OUT);
        guard_store_dyno(a, STACK_DYNO);
        call(a, BPF_FUNC_ktime_get_boot_ns);
        move(a, NOW, BPF_REG_0);
        only_what_is_new(a, refs);
        guard_find_sum(a, refs->maps[PAID], STACK_DYNO, STACK_WORD, LABEL_HAS_SUM, LABEL_OUT);
        move(a, SUM, BPF_REG_0);
        alu(a, BPF_MUL, SPAN, NSEC_FOR_ONE);
        /* Nobody saves up more than so much. */
        set(a, BPF_REG_1, NSEC_FOR_ONE);
        alu(a, BPF_LSH, BPF_REG_1, NSEC_AT_ONCE_SHIFT);
        move(a, BPF_REG_0, NOW);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_0, BPF_REG_1, 0, 0);
        load(a, BPF_DW, BPF_REG_1, SUM, 0);
        jump_if_reg(a, BPF_JSGE, BPF_REG_1, BPF_REG_0, LABEL_RECENT);
        store(a, BPF_DW, SUM, 0, BPF_REG_0);
        place(a, LABEL_RECENT);
        move(a, BPF_REG_1, SPAN);
        fetch_and_add(a, SUM, 0, BPF_REG_1);
        emit(a, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_1, SPAN, 0, 0);
        jump_if_reg(a, BPF_JSLE, BPF_REG_1, NOW, LABEL_OUT);
        guard_kill(a, refs->maps[KILLED], STACK_DYNO, STACK_WORD, LABEL_HAS_MARK, LABEL_KILL);
        place(a, LABEL_OUT);
        leave(a, 0);
}

static const GuardField fields[] = {
        [TASK_CGROUPS] = {"task_struct", "cgroups"},
        [CGROUPS_DEFAULT] = {"css_set", "dfl_cgrp"},
        [CGROUP_ROOT] = {"cgroup", "root"},
        [ROOT_KERNFS] = {"cgroup_root", "kf_root"},
        [TASK_SCHED] = {"task_struct", "sched_info"},
        [SCHED_READY] = {"sched_info", "run_delay"},
};

static const GuardMap maps[] = {
        [WAITING] = GUARD_HASH("dynod_waiting", PIN_NONE, uint64_t, 512),
        [ENDS] = GUARD_SUMS("dynod_sem_ends", PIN_SEMAPHORES_ENDS),
        [PAID] = GUARD_SUMS("dynod_sem_paid", PIN_SEMAPHORES_PAID),
        [KILLED] = GUARD_KILLED,
};

static const GuardProgram programs[] = {
        {PIN_SEMAPHORES_HAD, "dynod_sem_had", "rwsem_down_read_slowpath", GUARD_AFTER, had},
        {PIN_SEMAPHORES_WAITS, "dynod_sem_wait", "rwsem_down_read_slowpath", GUARD_BEFORE, waits},
};

GUARD_TABLE(guard_semaphores, "limit for how long dynos keep the kernel's semaphores");
