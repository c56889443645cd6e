/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds how many timers that are descriptors (timerfd_create(2)) each dyno has. All that are due at
 * one instant go off in one interrupt, some 150 ns each: a dyno has the memory for hundreds of
 * thousands, and its neighbours on that processor wait for a tenth of a second, again and again. To
 * arm them takes the dyno more time than that, so that no weight is exceeded. What a process waits
 * with otherwise (nanosleep(2), poll(2), futex(2)) is one timer for each thread, and POSIX timers count
 * as pending signals.
 *
 * A timer counts for the cgroup in which it was made, until nobody has it open any more. One that is
 * known already is left alone: while the programs are made anew the old one knows it first, or
 * its file was never released, and whose file has that address next makes up for it.
 */

#include <errno.h>
#include <sys/syscall.h>

#include "launcher/guards.h"

/*
 * Of a dyno: 40 us in one interrupt, and whom each wakes, which may be as many as 500 epolls
 * (path_limits in fs/eventpoll.c). Event loops have one timer each, or a few.
 */
#define TIMERS_MAX 256

/* Fields and maps of the guard. */
enum {
        REGS_CALL,
};
enum {
        TIMERS, /* open file -> id of a dyno's cgroup */
        SUMS,   /* id of a dyno's cgroup -> int64_t */
};

enum {
        FILE_OF_TIMER = BPF_REG_6,
        SUM = BPF_REG_7,

        STACK_FILE = -8,
        STACK_DYNO = -16,
        STACK_SUM = -24,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_HAS_SUM,
        LABEL_REFUSE,
};

/* file_alloc_security(file), of whatever is opened. */
static void made(Assembler *a, const GuardRefs *refs) {
        const GuardHeld timer = {
                .held_fd = refs->maps[TIMERS],
                .sums_fd = refs->maps[SUMS],
                .most = TIMERS_MAX,
                .stack_key = STACK_FILE,
                .stack_dyno = STACK_DYNO,
                .stack_sum = STACK_SUM,
        };

        guard_load_argument(a, FILE_OF_TIMER, 0);
        guard_only_in_call(a, refs->fields[REGS_CALL], SYS_timerfd_create, LABEL_OUT);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        store(a, BPF_DW, BPF_REG_10, STACK_FILE, FILE_OF_TIMER);
        guard_hold(a, &timer, SUM, LABEL_HAS_SUM, LABEL_OUT, LABEL_REFUSE);
        place(a, LABEL_OUT);
        leave(a, 0);
        place(a, LABEL_REFUSE);
        leave(a, -EMFILE);
}

/* timerfd_release(inode, file): nobody has it any more. */
static void freed(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, FILE_OF_TIMER, 1);
        store(a, BPF_DW, BPF_REG_10, STACK_FILE, FILE_OF_TIMER);
        guard_let_go(a, refs->maps[TIMERS], STACK_FILE, STACK_DYNO, LABEL_OUT);
        set(a, SUM, -1);
        guard_add_to_sum(a, refs->maps[SUMS], STACK_DYNO, SUM, LABEL_OUT);
        place(a, LABEL_OUT);
        leave(a, 0);
}

static const GuardField fields[] = {
        [REGS_CALL] = {"pt_regs", GUARD_REGS_CALL},
};

static const GuardMap maps[] = {
        [TIMERS] = GUARD_HASH("dynod_timers", PIN_INTERRUPTS_TIMERS, uint64_t, TIMERS_MAX),
        [SUMS] = GUARD_SUMS("dynod_tmr_sums", PIN_INTERRUPTS_SUMS),
};

/* What only takes off comes first: nothing is left counted. */
static const GuardProgram programs[] = {
        {PIN_INTERRUPTS_FREED, "dynod_tmr_free", "timerfd_release", GUARD_BEFORE, freed},
        {PIN_INTERRUPTS_MADE, "dynod_tmr_make", "file_alloc_security", GUARD_ASKED, made},
};

GUARD_TABLE(guard_timers, "limit the timers of dynos");
