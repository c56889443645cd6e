/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds how much of an interrupt, or of a time with interrupts off, it is to wake a dyno's epolls
 * (epoll(7)). Whoever writes to an eventfd, or to anything that can be waited for, wakes all that
 * watch it, 50 to 150 ns each, and one process can have thousands of epolls watch one file under
 * thousands of numbers, as many as fs.epoll.max_user_watches says: a twenty-fifth of the host's memory.
 * Each watch wakes again whoever polls its epoll (poll(2) and its like), which a process may do
 * under as many numbers.
 *
 * The kernel has lists of both, so nothing is counted here. But it asks nobody before it adds to
 * them: a process that does so is killed. The call ends as ever, and so a dyno in which that
 * happened starts no process or thread any more, to add another one.
 */

#include <errno.h>

#include "launcher/guards.h"

/* Of a file: one for each process that watches it, as workers do a listener that they share. */
#define WATCHES_MAX 1024
#define POLLERS_MAX 4 /* of an epoll, those epolls included that watch it */
#define WALKS_MAX 8   /* along a list of those */

/* Fields and maps of the guard. */
enum {
        FILE_WATCHES,
        LIST_FIRST,
        NODE_NEXT,
        FILE_EPOLL,
        EPOLL_POLLERS,
        POLLERS_HEAD,
        TABLE_ADDS,
        ENTRY_WAIT,
        ENTRY_WHOM,
        WAIT_NODE,
};
enum {
        KILLED,
};

enum {
        HEAD = BPF_REG_6,
        POLLER = BPF_REG_7,
        WALKS = BPF_REG_8,

        WATCH = BPF_REG_7,
        LEFT = BPF_REG_8,

        STACK_WORD = -8,
        STACK_DYNO = -16,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_AGAIN,
        LABEL_TOO_MANY,
        LABEL_HAS_MARK,
        LABEL_KILL,
};

static void kill_or_leave(Assembler *a, const GuardRefs *refs) {
        place(a, LABEL_TOO_MANY);
        guard_store_dyno(a, STACK_DYNO);
        guard_kill(a, refs->maps[KILLED], STACK_DYNO, STACK_WORD, LABEL_HAS_MARK, LABEL_KILL);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* task_alloc(task, clone_flags) */
static void forked(Assembler *a, const GuardRefs *refs) {
        guard_store_dyno(a, STACK_DYNO);
        look_up(a, refs->maps[KILLED], STACK_DYNO);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        load(a, BPF_DW, BPF_REG_0, BPF_REG_0, 0);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        leave(a, -EAGAIN);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/*
 * ep_ptable_queue_proc(file, whead, pt), while an epoll adds its watch of @file, which is in the list
 * already. The list goes on even from what was just taken out: that is freed after a grace period.
 */
static void watched(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 0);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        load(a, BPF_DW, WATCH, BPF_REG_6, refs->fields[FILE_WATCHES]);
        jump_if(a, BPF_JEQ, WATCH, 0, LABEL_OUT);
        load(a, BPF_DW, WATCH, WATCH, refs->fields[LIST_FIRST]);
        set(a, LEFT, WATCHES_MAX);
        place(a, LABEL_AGAIN);
        jump_if(a, BPF_JEQ, WATCH, 0, LABEL_OUT);
        jump_if(a, BPF_JEQ, LEFT, 0, LABEL_TOO_MANY);
        alu(a, BPF_SUB, LEFT, 1);
        load(a, BPF_DW, WATCH, WATCH, refs->fields[NODE_NEXT]);
        jump(a, LABEL_AGAIN);
        kill_or_leave(a, refs);
}

/*
 * POLLER = the next one of the list; out, if that was the last. Not known yet to be one: whoever was
 * taken off meanwhile may be on another list now, or on none.
 */
static void next_poller(Assembler *a) {
        guard_peek(a, POLLER, POLLER, 0, STACK_WORD);
        jump_if(a, BPF_JEQ, POLLER, 0, LABEL_AGAIN);
        jump_if_reg(a, BPF_JEQ, POLLER, HEAD, LABEL_OUT);
}

/* Each says behind its wait_queue_entry whom it waits for, be it poll(2)'s or another epoll's. */
static void only_of_this_list(Assembler *a, const GuardRefs *refs) {
        int whom = refs->fields[ENTRY_WHOM] - refs->fields[ENTRY_WAIT] - refs->fields[WAIT_NODE];

        guard_peek(a, BPF_REG_1, POLLER, whom, STACK_WORD);
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
        jump_if(a, BPF_JEQ, WALKS, 0, LABEL_TOO_MANY);
        alu(a, BPF_SUB, WALKS, 1);
        move(a, POLLER, HEAD);
        for (unsigned i = 0; i < POLLERS_MAX; i++) {
                next_poller(a);
                only_of_this_list(a, refs);
        }
        kill_or_leave(a, refs);
}

static const GuardField fields[] = {
        [FILE_WATCHES] = {"file", "f_ep"},
        [LIST_FIRST] = {"hlist_head", "first"},
        [NODE_NEXT] = {"hlist_node", "next"},
        [FILE_EPOLL] = {"file", "private_data"},
        [EPOLL_POLLERS] = {"eventpoll", "poll_wait"},
        [POLLERS_HEAD] = {"wait_queue_head", "head"},
        [TABLE_ADDS] = {"poll_table_struct", "_qproc"},
        /* As in struct eppoll_entry, with "whead" behind it. */
        [ENTRY_WAIT] = {"poll_table_entry", "wait"},
        [ENTRY_WHOM] = {"poll_table_entry", "wait_address"},
        [WAIT_NODE] = {"wait_queue_entry", "entry"},
};

static const GuardMap maps[] = {
        [KILLED] = GUARD_KILLED,
};

static const GuardProgram programs[] = {
        {PIN_INTERRUPTS_WATCHED, "dynod_watched", "ep_ptable_queue_proc", GUARD_BEFORE, watched},
        {PIN_INTERRUPTS_POLLED, "dynod_polled", "ep_eventpoll_poll", GUARD_BEFORE, polled},
        {PIN_INTERRUPTS_FORKED, "dynod_forked", "task_alloc", GUARD_ASKED, forked},
};

GUARD_TABLE(guard_watches, "limit the watches of dynos");
