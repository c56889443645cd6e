/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds for how long the kernel's workers are busy with what a dyno writes to its terminals (pty(7)).
 * What goes in at one end is taken in at the other by a worker that is in no cgroup: weighs as much as all
 * of the dynos' scope, and is charged to nobody. One byte may be a lot of work for it: it shows the line
 * again (VREPRINT), 10 us for 4,000 characters (reckoned), signals each process of a group, with a lock held for which
 * every fork on the host waits, or wakes as many entries of poll(2) as a dyno may have.
 *
 * Of each call of the worker's is counted what it takes longer than output does that a program prints, less the
 * time for which it was ready and others ran, of which a busy host has much. A worker cannot be refused nor
 * killed: the next one who writes to a terminal is, as in guards_watches.c. What a worker shows of what it takes
 * in goes to the other end, where another one takes it in for the same dyno.
 */

#include <errno.h>
#include <stddef.h>

#include "launcher/guards.h"

/*
 * Of a dyno: 0.25 s at once, and a sixteenth of the time after that. Answers of a web server beside 16 terminals
 * that show a long line again came 15 ms late (p99) after one write of 4 kB to each, 41 ms when that went on for a
 * quarter of a second, and 222 ms for half a second (1 ms otherwise; on 6.18, without this).
 */
#define SAVED_SEC 4
#define NSEC_FOR_ONE 16

/* For nothing: what it takes to copy it, as who writes does. */
#define NSEC_OF_CALL 2000
#define NSEC_OF_BYTE 2

/* Terminals of a dyno (PTS_MAX in sandbox/rootfs.c), with both ends. */
#define ENDS_OF_DYNO 32

/* Fields and maps of the guard. */
enum {
        END_OTHER,
        LINE_END,
        TASK_SCHED,
        SCHED_READY,
};
enum {
        WRITERS, /* end of a terminal that is written to -> id of a dyno's cgroup, of who wrote last */
        WORKS,  /* id of a thread that takes in -> Work */
        PAID,   /* id of a dyno's cgroup -> int64_t: until when its work is paid for, guard_pay() */
        KILLED, /* as in guards_watches.c */
};

typedef struct Work {
        int64_t since; /* ns, load_worked() */
        uint64_t dyno; /* id of its cgroup */
} Work;

#define WORK(field) ((int)offsetof(Work, field))

enum {
        CONTEXT = BPF_REG_6,
        SPAN = BPF_REG_7,
        NOW = BPF_REG_8,
        SUM = BPF_REG_9,

        STACK_WORD = -8,
        STACK_DYNO = -16,
        STACK_END = -24,
        STACK_THREAD = -32,
        STACK_WORK = STACK_THREAD - (int)sizeof(Work),
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_HOST,
        LABEL_NOBODY,
        LABEL_HAS_SUM,
        LABEL_HAS_LESS,
        LABEL_HAS_MARK,
        LABEL_KILL,
};

static void store_thread(Assembler *a) {
        call(a, BPF_FUNC_get_current_pid_tgid);
        store(a, BPF_DW, BPF_REG_10, STACK_THREAD, BPF_REG_0);
}

/* r0 = what this thread takes in for a dyno; goes to @unless. */
static void look_up_work(Assembler *a, const GuardRefs *refs, int unless) {
        store_thread(a);
        look_up(a, refs->maps[WORKS], STACK_THREAD);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, unless);
}

/* @dst = NOW, less all the time for which this thread was ready to run and did not. Uses r0 to r5. */
static void load_worked(Assembler *a, const GuardRefs *refs, uint8_t dst) {
        call(a, BPF_FUNC_get_current_task_btf);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, refs->fields[TASK_SCHED] + refs->fields[SCHED_READY]);
        move(a, dst, NOW);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, dst, BPF_REG_1, 0, 0);
}

/* pty_write(tty, …): to the other end, tty->link. */
static void written(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_1, 0);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, refs->fields[END_OTHER]);
        store(a, BPF_DW, BPF_REG_10, STACK_END, BPF_REG_1);
        guard_only_dynos(a, refs->dynos_fd, LABEL_HOST);
        guard_store_dyno(a, STACK_DYNO);
        put(a, refs->maps[WRITERS], STACK_END, STACK_DYNO);
        look_up(a, refs->maps[PAID], STACK_DYNO);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        load(a, BPF_DW, SUM, BPF_REG_0, 0);
        guard_load_now(a, NOW);
        jump_if_reg(a, BPF_JSLE, SUM, NOW, LABEL_OUT);
        guard_kill(a, refs->maps[KILLED], STACK_DYNO, STACK_WORD, LABEL_HAS_MARK, LABEL_KILL);
        leave(a, 0);
        place(a, LABEL_HOST);
        look_up_work(a, refs, LABEL_NOBODY);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, WORK(dyno));
        store(a, BPF_DW, BPF_REG_10, STACK_DYNO, BPF_REG_1);
        put(a, refs->maps[WRITERS], STACK_END, STACK_DYNO);
        leave(a, 0);
        /* Who is attached to a dyno types, or the host has a terminal where a dyno had one. */
        place(a, LABEL_NOBODY);
        take_out(a, refs->maps[WRITERS], STACK_END);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* The thread takes in what was written to the end at r1. */
static void begin_work(Assembler *a, const GuardRefs *refs) {
        store(a, BPF_DW, BPF_REG_10, STACK_END, BPF_REG_1);
        store_thread(a);
        look_up(a, refs->maps[WRITERS], STACK_END);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_NOBODY);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, 0);
        store(a, BPF_DW, BPF_REG_10, STACK_WORK + WORK(dyno), BPF_REG_1);
        guard_load_now(a, NOW);
        load_worked(a, refs, SPAN);
        store(a, BPF_DW, BPF_REG_10, STACK_WORK + WORK(since), SPAN);
        put(a, refs->maps[WORKS], STACK_THREAD, STACK_WORK);
        leave(a, 0);
        place(a,
              LABEL_NOBODY); /* nor for whom the thread did before, if a preemptible kernel left that */
        take_out(a, refs->maps[WORKS], STACK_THREAD);
        leave(a, 0);
}

/* tty_ldisc_receive_buf(ld, p, f, count) */
static void works(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_1, 0);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, refs->fields[LINE_END]);
        begin_work(a, refs);
}

/* n_tty_lookahead_flow_ctrl(tty, p, f, count), where that had no room for all: each ^S and ^Q is obeyed at once. */
static void looks(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_1, 0);
        begin_work(a, refs);
}

/* Either returns. */
static void worked(Assembler *a, const GuardRefs *refs) {
        static const GuardPayment payment = {
                .paid = SUM, .cost = SPAN, .now = NOW, .saved_sec = SAVED_SEC};

        move(a, CONTEXT, BPF_REG_1);
        look_up_work(a, refs, LABEL_OUT);
        load(a, BPF_DW, SUM, BPF_REG_0, WORK(since));
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, WORK(dyno));
        store(a, BPF_DW, BPF_REG_10, STACK_DYNO, BPF_REG_1);
        take_out(a, refs->maps[WORKS], STACK_THREAD);
        guard_load_now(a, NOW);
        load_worked(a, refs, SPAN);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, SPAN, SUM, 0, 0);
        load(a, BPF_W, BPF_REG_1, CONTEXT, 3 * (int)sizeof(uint64_t)); /* an int, up to Linux 6.5 */
        alu(a, BPF_MUL, BPF_REG_1, NSEC_OF_BYTE);
        alu(a, BPF_ADD, BPF_REG_1, NSEC_OF_CALL);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, SPAN, BPF_REG_1, 0, 0);
        jump_if(a, BPF_JSLT, SPAN, 1, LABEL_OUT);
        alu(a, BPF_MUL, SPAN, NSEC_FOR_ONE);
        guard_find_sum(a, refs->maps[PAID], STACK_DYNO, STACK_WORD, LABEL_HAS_SUM, LABEL_OUT);
        move(a, SUM, BPF_REG_0);
        guard_pay(a, &payment, LABEL_HAS_LESS, LABEL_OUT);
        place(a, LABEL_OUT);
        leave(a, 0);
}

static const GuardField fields[] = {
        [END_OTHER] = {"tty_struct", "link"},
        [LINE_END] = {"tty_ldisc", "tty"},
        [TASK_SCHED] = {"task_struct", "sched_info"},
        [SCHED_READY] = {"sched_info", "run_delay"},
};

static const GuardMap maps[] = {
        /* Of a terminal that is gone it is until the room is needed. */
        [WRITERS] =
                {.name = "dynod_tty_ends",
                 .pin = PIN_NONE,
                 .type = BPF_MAP_TYPE_LRU_HASH,
                 .key_size = sizeof(uint64_t),
                 .value_size = sizeof(uint64_t),
                 .entries_of_dyno = ENDS_OF_DYNO},
        [WORKS] = GUARD_HASH("dynod_tty_works", PIN_NONE, Work, ENDS_OF_DYNO),
        [PAID] = GUARD_SUMS("dynod_tty_paid", PIN_TERMINALS_PAID),
        [KILLED] = GUARD_KILLED,
};

static const GuardProgram programs[] = {
        {PIN_TERMINALS_WORKED, "dynod_tty_done", "tty_ldisc_receive_buf", GUARD_AFTER, worked},
        {PIN_TERMINALS_WORKS, "dynod_tty_work", "tty_ldisc_receive_buf", GUARD_BEFORE, works},
        {PIN_TERMINALS_LOOKED, "dynod_tty_saw", "n_tty_lookahead_flow_ctrl", GUARD_AFTER, worked},
        {PIN_TERMINALS_LOOKS, "dynod_tty_look", "n_tty_lookahead_flow_ctrl", GUARD_BEFORE, looks},
        {PIN_TERMINALS_WRITTEN, "dynod_tty_write", "pty_write", GUARD_BEFORE, written},
};

GUARD_TABLE(guard_typing, "limit for how long the kernel works on what dynos write to terminals");
