/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Lets dynos sendfile(2) from files that have a page cache, and from nothing else. What is read of
 * others, as of /proc, comes in a new page for each call, however little it is, and that of a
 * socket in the page that it was sent in: they stay for as long as nobody takes them from the
 * socket or pipe that they were sent to, and no cgroup is charged for them.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "launcher/guards.h"

#define MAY_READ 4 /* include/linux/fs.h */

#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202 /* ipc/mqueue.c */
#endif

/* Fields of the guard. */
enum {
        FILE_INODE,
        FILE_FLAGS,
        INODE_MODE,
        INODE_SUPER,
        SUPER_MAGIC,
        REGS_CALL,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_REFUSE,
};

/* file_permission(file, mask), once for each of the two files */
static void asked(Assembler *a, const GuardRefs *refs) {
        static const uint32_t without_cache[] = {
                PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP2_SUPER_MAGIC, MQUEUE_MAGIC};

        guard_load_argument(a, BPF_REG_6, 0);
        guard_load_argument(a, BPF_REG_0, 1);
        alu(a, BPF_AND, BPF_REG_0, MAY_READ);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        /* Most are in no such call. */
        guard_only_in_call(a, refs->fields[REGS_CALL], SYS_sendfile, LABEL_OUT);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);

        load(a, BPF_W, BPF_REG_0, BPF_REG_6, refs->fields[FILE_FLAGS]);
        alu(a, BPF_AND, BPF_REG_0, O_DIRECT);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_REFUSE);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_6, refs->fields[FILE_INODE]);
        load(a, BPF_H, BPF_REG_0, BPF_REG_1, refs->fields[INODE_MODE]);
        alu(a, BPF_AND, BPF_REG_0, S_IFMT);
        jump_if(a, BPF_JNE, BPF_REG_0, S_IFREG, LABEL_REFUSE);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, refs->fields[INODE_SUPER]);
        load(a, BPF_DW, BPF_REG_0, BPF_REG_1, refs->fields[SUPER_MAGIC]);
        for (size_t i = 0; i < ARRAY_SIZE(without_cache); i++)
                jump_if_word(a, BPF_JEQ, BPF_REG_0, without_cache[i], LABEL_REFUSE);
        place(a, LABEL_OUT);
        leave(a, 0);
        place(a, LABEL_REFUSE);
        leave(a, -EINVAL); /* as from a file that cannot be sent so: programs read and write then */
}

static const GuardField fields[] = {
        [FILE_INODE] = {"file", "f_inode"},
        [FILE_FLAGS] = {"file", "f_flags"},
        [INODE_MODE] = {"inode", "i_mode"},
        [INODE_SUPER] = {"inode", "i_sb"},
        [SUPER_MAGIC] = {"super_block", "s_magic"},
        [REGS_CALL] = {"pt_regs", GUARD_REGS_CALL},
};

static const GuardProgram programs[] = {
        {PIN_SENDS_FILES, "dynod_sendfile", "file_permission", GUARD_ASKED, asked},
};

const GuardTable guard_files = {
        .purpose = "limit what dynos send by sendfile",
        .fields = fields,
        .n_fields = ARRAY_SIZE(fields),
        .programs = programs,
        .n_programs = ARRAY_SIZE(programs),
};
