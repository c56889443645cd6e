/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds how often each dyno opens terminals (pty(7)). Whoever opens one, and whoever closes one as
 * the last, does so with a lock that the kernel has once for all terminals (tty_mutex in
 * drivers/tty/tty_io.c), gives way to others meanwhile, and those are the threads of its own dyno:
 * with 200 of them that do nothing else a terminal of the host took 130 ms to open on average, and
 * six seconds beside two such dynos on a busy machine. That is whoever logs in to look after them.
 *
 * A terminal that a program has as /dev/tty is opened without that lock.
 */

#include <errno.h>

#include "launcher/guards.h"

/* So many at once, for whoever comes with many windows, then one a second. */
#define SAVED_SEC 64
#define NSEC_FOR_ONE INT32_C(1000000000)

/* Numbers of devices as the kernel has them, include/linux/kdev_t.h. */
#define MINOR_BITS 20
#define DEVICE_PTMX (5 << MINOR_BITS | 2)
#define DEVICE_SLAVES (136 << MINOR_BITS) /* eight majors */
#define DEVICE_SLAVES_END (144 << MINOR_BITS)

/* Fields and maps of the guard. */
enum {
        FILE_INODE,
        INODE_DEVICE,
};
enum {
        SUMS, /* id of a dyno's cgroup -> int64_t: until when its opens are paid for, guard_pay() */
};

enum {
        NOW = BPF_REG_6,
        PAID = BPF_REG_7,
        COST = BPF_REG_8,

        STACK_WORD = -8,
        STACK_DYNO = -16,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_TERMINAL,
        LABEL_HAS_SUM,
        LABEL_HAS_LESS,
        LABEL_REFUSE,
};

/* file_open(file) */
static void opened(Assembler *a, const GuardRefs *refs) {
        static const GuardPayment payment = {
                .paid = PAID, .cost = COST, .now = NOW, .saved_sec = SAVED_SEC};

        guard_load_argument(a, BPF_REG_1, 0);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, refs->fields[FILE_INODE]);
        load(a, BPF_W, BPF_REG_1, BPF_REG_1, refs->fields[INODE_DEVICE]);
        jump_if(a, BPF_JEQ, BPF_REG_1, DEVICE_PTMX, LABEL_TERMINAL);
        jump_if(a, BPF_JLT, BPF_REG_1, DEVICE_SLAVES, LABEL_OUT);
        jump_if(a, BPF_JGE, BPF_REG_1, DEVICE_SLAVES_END, LABEL_OUT);
        place(a, LABEL_TERMINAL);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        guard_store_dyno(a, STACK_DYNO);
        guard_find_sum(a, refs->maps[SUMS], STACK_DYNO, STACK_WORD, LABEL_HAS_SUM, LABEL_REFUSE);
        move(a, PAID, BPF_REG_0);
        guard_load_now(a, NOW);
        set(a, COST, NSEC_FOR_ONE);
        guard_pay(a, &payment, LABEL_HAS_LESS, LABEL_OUT);
        set(a, BPF_REG_1, -NSEC_FOR_ONE); /* what is refused costs nothing */
        add_atomically(a, PAID, 0, BPF_REG_1);
        place(a, LABEL_REFUSE);
        leave(a, -EAGAIN);
        place(a, LABEL_OUT);
        leave(a, 0);
}

static const GuardField fields[] = {
        [FILE_INODE] = {"file", "f_inode"},
        [INODE_DEVICE] = {"inode", "i_rdev"},
};

static const GuardMap maps[] = {
        [SUMS] = GUARD_SUMS("dynod_tty_sums", PIN_TERMINALS_SUMS),
};

static const GuardProgram programs[] = {
        {PIN_TERMINALS_OPENED, "dynod_tty_open", "file_open", GUARD_ASKED, opened},
};

GUARD_TABLE(guard_terminals, "limit how often dynos open terminals");
