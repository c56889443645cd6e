/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds for how long a dyno keeps writers waiting at semaphores that the kernel has once for the whole
 * host (struct rw_semaphore): those of all cgroups' and of all of sysfs's folders, which paths below
 * /sys/fs/cgroup and /sys/devices are looked up with (kernfs_rwsem), that of all mounts (namespace_sem,
 * /proc/self/mountinfo), that of host names (uts_sem, uname(2)), and that which forks and exits have while
 * nobody is moved to another cgroup (cgroup_threadgroup_rwsem).
 *
 * When a writer is done with one, all readers that came meanwhile have it at once, those included that have
 * no processor yet; and the next writer waits for the last of them. With 200 busy processes in its dyno that
 * one has its turn a third of a second later, and to make a cgroup is sixty times to write: it took 14 s, with
 * the lock of all cgroups held (1.4 ms otherwise), and a network link 7 s, with that of all links (24 ms; in an
 * emulated guest).
 *
 * What is counted is how long a thread that waited for such a semaphore was ready to run and did not, if
 * somebody waits behind it; instants at which several were count once. Nobody can be refused, for that is
 * known when it is over: who has too much is killed, as in guards_watches.c. To find that others write is no
 * fault of a dyno's, and waiting for them is not counted.
 */

#include <errno.h>
#include <stddef.h>

#include "launcher/guards.h"

/* Of a dyno: 4 s at once, and a sixteenth of the time after that. */
#define SAVED_SEC 64
#define NSEC_FOR_ONE 16

/* The kernel's variables are within so many bytes of each other, and nothing else is. */
#define IMAGE_SIZE (64 << 20)
/* sizeof(struct kernfs_root), or somewhat more: newer kernels have several semaphores in it. */
#define KERNFS_ROOT_SIZE 512

/* RWSEM_FLAG_WAITERS in kernel/locking/rwsem.c, of rw_semaphore's count. */
#define SOMEBODY_WAITS 2

/* Fields and maps of the guard. */
enum {
        TASK_CGROUPS,
        CGROUPS_DEFAULT,
        CGROUP_ROOT,
        ROOT_KERNFS,
        TASK_NAMESPACES,
        NAMESPACES_NET,
        NET_LOOPBACK,
        LINK_DEVICE,
        DEVICE_OBJECT,
        OBJECT_FOLDER,
        FOLDER_DIR,
        DIR_ROOT,
        TASK_SCHED,
        SCHED_READY,
        SEMAPHORE_COUNT,
        PERCPU_BLOCK,
};
enum {
        WAITING, /* id of a thread that waits for a semaphore -> Wait */
        ENDS, /* id of a dyno's cgroup -> int64_t: the end of what is counted last, guard_load_now() */
        PAID,   /* id of a dyno's cgroup -> int64_t: until when that is paid for, guard_pay() */
        KILLED, /* as in guards_watches.c */
};

typedef struct Wait {
        uint64_t semaphore; /* where it is */
        uint64_t ready;     /* for how long the thread was ready to run and did not, before: ns */
} Wait;

enum {
        SEMAPHORE = BPF_REG_6,
        ROOT = BPF_REG_7,

        NOW = BPF_REG_6,
        SPAN = BPF_REG_7,
        SUM = BPF_REG_8,

        STACK_WORD = -8,
        STACK_DYNO = -16,
        STACK_THREAD = -24,
        STACK_WAIT = STACK_THREAD - (int)sizeof(Wait),
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_OF_HOST,
        LABEL_HAS_END,
        LABEL_ALL_NEW,
        LABEL_HAS_SUM,
        LABEL_HAS_LESS,
        LABEL_HAS_MARK,
        LABEL_KILL,
};

/* r0 = the process. */
static void store_thread(Assembler *a) {
        call(a, BPF_FUNC_get_current_pid_tgid);
        store(a, BPF_DW, BPF_REG_10, STACK_THREAD, BPF_REG_0);
        call(a, BPF_FUNC_get_current_task_btf);
}

/* r0 = the process, of a dyno; ROOT = that of all cgroups, which is a variable of the kernel's. */
static void load_root(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, SEMAPHORE, 0);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        store(a, BPF_DW, BPF_REG_10, STACK_WAIT + (int)offsetof(Wait, semaphore), SEMAPHORE);
        store_thread(a);
        load(a, BPF_DW, ROOT, BPF_REG_0, refs->fields[TASK_CGROUPS]);
        load(a, BPF_DW, ROOT, ROOT, refs->fields[CGROUPS_DEFAULT]);
        load(a, BPF_DW, ROOT, ROOT, refs->fields[CGROUP_ROOT]);
}

/* Goes to @to, if SEMAPHORE is one of the struct kernfs_root at r1. Uses r2. */
static void if_of_kernfs(Assembler *a, int to) {
        move(a, BPF_REG_2, SEMAPHORE);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_2, BPF_REG_1, 0, 0);
        jump_if(a, BPF_JLT, BPF_REG_2, KERNFS_ROOT_SIZE, to);
}

/* r1 = the root of sysfs, where each network namespace has its loopback; 0 as the process ends. */
static void load_sysfs(Assembler *a, const GuardRefs *refs) {
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, refs->fields[TASK_NAMESPACES]);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, refs->fields[NAMESPACES_NET]);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, refs->fields[NET_LOOPBACK]);
        load(a,
             BPF_DW,
             BPF_REG_1,
             BPF_REG_1,
             refs->fields[LINK_DEVICE] + refs->fields[DEVICE_OBJECT] + refs->fields[OBJECT_FOLDER]);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, refs->fields[FOLDER_DIR] + refs->fields[DIR_ROOT]);
}

/* Out, if SEMAPHORE is none of the kernel's variables. */
static void only_variables(Assembler *a) {
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, SEMAPHORE, ROOT, 0, 0);
        alu(a, BPF_ADD, SEMAPHORE, IMAGE_SIZE);
        jump_if(a, BPF_JGE, SEMAPHORE, 2 * IMAGE_SIZE, LABEL_OUT);
}

/* That the thread, whose process is r0, waits. */
static void remember(Assembler *a, const GuardRefs *refs) {
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, refs->fields[TASK_SCHED] + refs->fields[SCHED_READY]);
        store(a, BPF_DW, BPF_REG_10, STACK_WAIT + (int)offsetof(Wait, ready), BPF_REG_1);
        put(a, refs->maps[WAITING], STACK_THREAD, STACK_WAIT);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* rwsem_down_read_slowpath(sem, count, state): it was not to be had at once. */
static void waits(Assembler *a, const GuardRefs *refs) {
        load_root(a, refs);
        load(a, BPF_DW, BPF_REG_1, ROOT, refs->fields[ROOT_KERNFS]);
        if_of_kernfs(a, LABEL_OF_HOST);
        load_sysfs(a, refs);
        if_of_kernfs(a, LABEL_OF_HOST);
        only_variables(a);
        place(a, LABEL_OF_HOST);
        remember(a, refs);
}

/* __percpu_down_read(sem, …): somebody writes, or is about to. */
static void fork_waits(Assembler *a, const GuardRefs *refs) {
        load_root(a, refs);
        only_variables(a);
        remember(a, refs);
}

/* SPAN = of the SPAN that ends NOW, what is after the end of the last one. */
static void only_what_is_new(Assembler *a, const GuardRefs *refs) {
        guard_find_sum(a, refs->maps[ENDS], STACK_DYNO, STACK_WORD, LABEL_HAS_END, LABEL_OUT);
        move(a, BPF_REG_1, NOW);
        exchange(a, BPF_REG_0, 0, BPF_REG_1);
        move(a, BPF_REG_2, NOW);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_2, BPF_REG_1, 0, 0);
        jump_if_reg(a, BPF_JSGE, BPF_REG_2, SPAN, LABEL_ALL_NEW);
        move(a, SPAN, BPF_REG_2);
        jump_if(a, BPF_JSLT, SPAN, 1, LABEL_OUT); /* another processor was here meanwhile */
        place(a, LABEL_ALL_NEW);
}

/* SPAN = for how long the thread was ready and did not run while it waited. */
static void load_span(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, SEMAPHORE, 0);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        store_thread(a);
        load(a, BPF_DW, SPAN, BPF_REG_0, refs->fields[TASK_SCHED] + refs->fields[SCHED_READY]);
        look_up(a, refs->maps[WAITING], STACK_THREAD);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, offsetof(Wait, ready));
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, SPAN, BPF_REG_1, 0, 0);
        load(a, BPF_DW, SUM, BPF_REG_0, offsetof(Wait, semaphore));
        take_out(a, refs->maps[WAITING], STACK_THREAD);
        /* Of another one is what a preemptible kernel left there. */
        jump_if_reg(a, BPF_JNE, SUM, SEMAPHORE, LABEL_OUT);
        jump_if(a, BPF_JSLT, SPAN, 1, LABEL_OUT);
}

/* The dyno pays for SPAN. */
static void pay_or_die(Assembler *a, const GuardRefs *refs) {
        static const GuardPayment payment = {
                .paid = SUM, .cost = SPAN, .now = NOW, .saved_sec = SAVED_SEC};

        guard_store_dyno(a, STACK_DYNO);
        guard_load_now(a, NOW);
        only_what_is_new(a, refs);
        guard_find_sum(a, refs->maps[PAID], STACK_DYNO, STACK_WORD, LABEL_HAS_SUM, LABEL_OUT);
        move(a, SUM, BPF_REG_0);
        alu(a, BPF_MUL, SPAN, NSEC_FOR_ONE);
        guard_pay(a, &payment, LABEL_HAS_LESS, LABEL_OUT);
        guard_kill(a, refs->maps[KILLED], STACK_DYNO, STACK_WORD, LABEL_HAS_MARK, LABEL_KILL);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* rwsem_down_read_slowpath() returns: it was had. */
static void had(Assembler *a, const GuardRefs *refs) {
        load_span(a, refs);
        load(a, BPF_DW, BPF_REG_1, SEMAPHORE, refs->fields[SEMAPHORE_COUNT]);
        alu(a, BPF_AND, BPF_REG_1, SOMEBODY_WAITS);
        jump_if(a, BPF_JEQ, BPF_REG_1, 0, LABEL_OUT);
        pay_or_die(a, refs);
}

/* __percpu_down_read() returns. */
static void fork_had(Assembler *a, const GuardRefs *refs) {
        load_span(a, refs);
        load(a, BPF_W, BPF_REG_1, SEMAPHORE, refs->fields[PERCPU_BLOCK]);
        jump_if(a, BPF_JEQ, BPF_REG_1, 0, LABEL_OUT);
        pay_or_die(a, refs);
}

static const GuardField fields[] = {
        [TASK_CGROUPS] = {"task_struct", "cgroups"},
        [CGROUPS_DEFAULT] = {"css_set", "dfl_cgrp"},
        [CGROUP_ROOT] = {"cgroup", "root"},
        [ROOT_KERNFS] = {"cgroup_root", "kf_root"},
        [TASK_NAMESPACES] = {"task_struct", "nsproxy"},
        [NAMESPACES_NET] = {"nsproxy", "net_ns"},
        [NET_LOOPBACK] = {"net", "loopback_dev"},
        [LINK_DEVICE] = {"net_device", "dev"},
        [DEVICE_OBJECT] = {"device", "kobj"},
        [OBJECT_FOLDER] = {"kobject", "sd"},
        [FOLDER_DIR] = {"kernfs_node", "dir"},
        [DIR_ROOT] = {"kernfs_elem_dir", "root"},
        [TASK_SCHED] = {"task_struct", "sched_info"},
        [SCHED_READY] = {"sched_info", "run_delay"},
        [SEMAPHORE_COUNT] = {"rw_semaphore", "count"},
        [PERCPU_BLOCK] = {"percpu_rw_semaphore", "block"},
};

static const GuardMap maps[] = {
        /* Instants count once, however many wait: where more do, some that are not told of change nothing. */
        [WAITING] = GUARD_HASH("dynod_waiting", PIN_NONE, Wait, 512),
        [ENDS] = GUARD_SUMS("dynod_sem_ends", PIN_SEMAPHORES_ENDS),
        [PAID] = GUARD_SUMS("dynod_sem_paid", PIN_SEMAPHORES_PAID),
        [KILLED] = GUARD_KILLED,
};

static const GuardProgram programs[] = {
        {PIN_SEMAPHORES_HAD, "dynod_sem_had", "rwsem_down_read_slowpath", GUARD_AFTER, had},
        {PIN_SEMAPHORES_WAITS, "dynod_sem_wait", "rwsem_down_read_slowpath", GUARD_BEFORE, waits},
        {PIN_SEMAPHORES_FORKED, "dynod_sem_fork", "__percpu_down_read", GUARD_AFTER, fork_had},
        {PIN_SEMAPHORES_FORKS, "dynod_sem_forks", "__percpu_down_read", GUARD_BEFORE, fork_waits},
};

GUARD_TABLE(guard_semaphores, "limit for how long dynos keep the kernel's semaphores");
