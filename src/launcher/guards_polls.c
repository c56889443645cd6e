/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds what poll(2), select(2) and their like keep for a dyno's threads while they wait: 64 bytes
 * for each entry, in pages that no cgroup is charged for, and the time for which whoever makes ready
 * what they wait for has interrupts off, 130 ns for each entry. The filter leaves a thread 1024 of
 * them, and a large dyno has thousands of threads.
 *
 * What is counted is pages; a thread's first entries are on its stack. And of those who wait for the same
 * thing how many are of the dyno: who makes it ready may be a machine outside, each packet of which wakes
 * them all, at nobody's expense. Nobody is asked before there is one more: whose dyno has too many is killed,
 * as in guards_watches.c.
 *
 * While the programs are made anew both the old and the new one count: a sum is then off by what began
 * or ended in that millisecond, for as long as the dyno runs.
 */

#include <errno.h>
#include <poll.h>
#include <sys/select.h>

#include "launcher/guards.h"

#define PAGES_MAX 512 /* 2 MB */

/* Of one thing, 0.1 ms, and some more by LOOKS_ONE_IN; and those of others that are looked at with them. */
#define ENTRIES_MAX 1024
#define LOOKS_MAX (ENTRIES_MAX + 512)

/* One entry in so many, at random, looks: or a call with 1024 of one thing would do nothing else. */
#define LOOKS_ONE_IN 32

/* Of one call: 1024 entries that wait for two things each, 63 in a page. */
#define PAGES_OF_CALL 64

/* Fields and maps of the guard. */
enum {
        CALL_PAGES,
        PAGE_NEXT,
        PAGE_FREE,
        PAGE_ENTRIES,
        ENTRY_LAST, /* whom it waits for */
        ENTRY_WAIT,
        WAIT_NODE,
        WAIT_CALL,
        QUEUE_HEAD,
        CALL_TASK,
        TASK_CGROUPS,
};
enum {
        SUMS,   /* id of a dyno's cgroup -> int64_t: pages */
        KILLED, /* as in guards_watches.c */
};

enum {
        PAGE = BPF_REG_6,
        PAGES = BPF_REG_7,
        NODE = BPF_REG_7,
        LEFT = BPF_REG_8,
        OTHERS = BPF_REG_9,

        STACK_WORD = -8,
        STACK_DYNO = -16,
        STACK_QUEUE = -24,
        STACK_CGROUPS = -32,
        STACK_OTHER = -40,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_AGAIN,
        LABEL_LOOKED,
        LABEL_NO_LOOK,
        LABEL_TOO_MANY,
        LABEL_COUNTED,
        LABEL_HAS_SUM,
        LABEL_HAS_MARK,
        LABEL_KILL,
};

static void peek(Assembler *a, uint8_t dst, uint8_t base, int offset) {
        guard_peek(a, dst, base, offset, STACK_WORD);
}

/* The word at @stack as a number: what it is an address of does not matter. */
static void forget_type(Assembler *a, int stack) {
        peek(a, BPF_REG_1, BPF_REG_10, stack);
        store(a, BPF_DW, BPF_REG_10, stack, BPF_REG_1);
}

/* OTHERS += 1, if NODE is not what somebody of this dyno waits for the queue with. Without a branch: for the verifier. */
static void count_others(Assembler *a, const GuardRefs *refs) {
        int wait = -refs->fields[WAIT_NODE];

        peek(a, BPF_REG_0, NODE, wait + refs->fields[WAIT_CALL]);
        peek(a, BPF_REG_0, BPF_REG_0, refs->fields[CALL_TASK]);
        peek(a, BPF_REG_0, BPF_REG_0, refs->fields[TASK_CGROUPS]);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_10, STACK_CGROUPS);
        emit(a, BPF_ALU64 | BPF_XOR | BPF_X, BPF_REG_0, BPF_REG_1, 0, 0);
        store(a, BPF_DW, BPF_REG_10, STACK_OTHER, BPF_REG_0);
        peek(a, BPF_REG_0, NODE, wait - refs->fields[ENTRY_WAIT] + refs->fields[ENTRY_LAST]);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_10, STACK_QUEUE);
        emit(a, BPF_ALU64 | BPF_XOR | BPF_X, BPF_REG_0, BPF_REG_1, 0, 0);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_10, STACK_OTHER);
        emit(a, BPF_ALU64 | BPF_OR | BPF_X, BPF_REG_0, BPF_REG_1, 0, 0);
        move(a, BPF_REG_1, BPF_REG_0); /* not 0: it or its negative has the highest bit */
        emit(a, BPF_ALU64 | BPF_NEG, BPF_REG_1, 0, 0, 0);
        emit(a, BPF_ALU64 | BPF_OR | BPF_X, BPF_REG_0, BPF_REG_1, 0, 0);
        alu(a, BPF_RSH, BPF_REG_0, 63);
        emit(a, BPF_ALU64 | BPF_ADD | BPF_X, OTHERS, BPF_REG_0, 0, 0);
}

/*
 * Goes to LABEL_TOO_MANY, if more of the dyno wait for the queue at STACK_QUEUE than may. The list is walked
 * without its lock: who is taken off meanwhile may be on another one, and then nobody of that is counted.
 */
static void look_through(Assembler *a, const GuardRefs *refs) {
        call(a, BPF_FUNC_get_current_task_btf);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, refs->fields[TASK_CGROUPS]);
        store(a, BPF_DW, BPF_REG_10, STACK_CGROUPS, BPF_REG_1);
        forget_type(a, STACK_CGROUPS);
        forget_type(a, STACK_QUEUE);
        load(a, BPF_DW, NODE, BPF_REG_10, STACK_QUEUE);
        alu(a, BPF_ADD, NODE, refs->fields[QUEUE_HEAD]);
        set(a, LEFT, LOOKS_MAX);
        set(a, OTHERS, 0);
        place(a, LABEL_AGAIN);
        jump_if(a, BPF_JEQ, LEFT, 0, LABEL_LOOKED);
        alu(a, BPF_SUB, LEFT, 1);
        peek(a, NODE, NODE, 0);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_10, STACK_QUEUE);
        alu(a, BPF_ADD, BPF_REG_1, refs->fields[QUEUE_HEAD]);
        jump_if_reg(a, BPF_JEQ, NODE, BPF_REG_1, LABEL_LOOKED);
        count_others(a, refs);
        jump(a, LABEL_AGAIN);
        place(a, LABEL_LOOKED);
        emit(a, BPF_ALU64 | BPF_ADD | BPF_X, LEFT, OTHERS, 0, 0);
        jump_if(a, BPF_JSLT, LEFT, LOOKS_MAX - ENTRIES_MAX - 1, LABEL_TOO_MANY);
}

/*
 * __pollwait(file, wait_address, p) has added an entry that is in a page: was it a page's first? @p is where a struct
 * poll_wqueues begins, whose newest page is the first of its list.
 */
static void added(Assembler *a, const GuardRefs *refs) {
        int first_end = refs->fields[PAGE_ENTRIES] + refs->fields[ENTRY_LAST] + (int)sizeof(void *);

        guard_load_argument(a, PAGE, 2);
        guard_load_argument(a, BPF_REG_2, 1);
        store(a, BPF_DW, BPF_REG_10, STACK_QUEUE, BPF_REG_2);
        peek(a, PAGE, PAGE, refs->fields[CALL_PAGES]);
        jump_if(a, BPF_JEQ, PAGE, 0, LABEL_OUT);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        call(a, BPF_FUNC_get_prandom_u32);
        alu(a, BPF_AND, BPF_REG_0, LOOKS_ONE_IN - 1);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_NO_LOOK);
        look_through(a, refs);
        place(a, LABEL_NO_LOOK);
        peek(a, BPF_REG_1, PAGE, refs->fields[PAGE_FREE]);
        alu(a, BPF_ADD, PAGE, first_end);
        jump_if_reg(a, BPF_JNE, BPF_REG_1, PAGE, LABEL_OUT);
        guard_store_dyno(a, STACK_DYNO);
        guard_find_sum(a, refs->maps[SUMS], STACK_DYNO, STACK_WORD, LABEL_HAS_SUM, LABEL_OUT);
        set(a, PAGES, 1);
        fetch_and_add(a, BPF_REG_0, 0, PAGES);
        jump_if(a, BPF_JSLT, PAGES, PAGES_MAX, LABEL_OUT);
        place(a, LABEL_TOO_MANY);
        guard_store_dyno(a, STACK_DYNO);
        guard_kill(a, refs->maps[KILLED], STACK_DYNO, STACK_WORD, LABEL_HAS_MARK, LABEL_KILL);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* poll_freewait(pwq), at the end of each call. */
static void freed(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, PAGE, 0);
        load(a, BPF_DW, PAGE, PAGE, refs->fields[CALL_PAGES]);
        jump_if(a, BPF_JEQ, PAGE, 0, LABEL_OUT);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        set(a, PAGES, 0);
        place(a, LABEL_AGAIN);
        jump_if(a, BPF_JEQ, PAGE, 0, LABEL_COUNTED);
        jump_if(a, BPF_JEQ, PAGES, -PAGES_OF_CALL, LABEL_COUNTED);
        alu(a, BPF_SUB, PAGES, 1);
        load(a, BPF_DW, PAGE, PAGE, refs->fields[PAGE_NEXT]);
        jump(a, LABEL_AGAIN);
        place(a, LABEL_COUNTED);
        guard_store_dyno(a, STACK_DYNO);
        guard_add_to_sum(a, refs->maps[SUMS], STACK_DYNO, PAGES, LABEL_OUT);
        place(a, LABEL_OUT);
        leave(a, 0);
}

static const GuardField fields[] = {
        [CALL_PAGES] = {"poll_wqueues", "table"},
        [PAGE_NEXT] = {"poll_table_page", "next"},
        [PAGE_FREE] = {"poll_table_page", "entry"},
        [PAGE_ENTRIES] = {"poll_table_page", "entries"},
        [ENTRY_LAST] = {"poll_table_entry", "wait_address"},
        [ENTRY_WAIT] = {"poll_table_entry", "wait"},
        [WAIT_NODE] = {"wait_queue_entry", "entry"},
        [WAIT_CALL] = {"wait_queue_entry", "private"},
        [QUEUE_HEAD] = {"wait_queue_head", "head"},
        [CALL_TASK] = {"poll_wqueues", "polling_task"},
        [TASK_CGROUPS] = {"task_struct", "cgroups"},
};

static const GuardMap maps[] = {
        [SUMS] = GUARD_SUMS("dynod_poll_sums", PIN_INTERRUPTS_PAGES),
        [KILLED] = GUARD_KILLED,
};

/* What only takes off comes first: nothing is left counted. */
static const GuardProgram programs[] = {
        {PIN_INTERRUPTS_UNPOLLED, "dynod_poll_free", "poll_freewait", GUARD_BEFORE, freed},
        {PIN_INTERRUPTS_ADDED, "dynod_poll_add", "__pollwait", GUARD_AFTER, added},
};

static void poll_and_select(void) {
        struct timeval now = {.tv_sec = 0};

        (void)poll(NULL, 0, 0);
        (void)select(0, NULL, NULL, NULL, &now);
}

/* The compiler of the kernel may have put its text into both of its callers: nothing would be taken off. */
static const GuardProof proof = {
        .function = "poll_freewait",
        .call_it = poll_and_select,
        .times = 2,
};

GUARD_TABLE(guard_polls, "limit what the polls of dynos keep", .proof = &proof);
