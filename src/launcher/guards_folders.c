/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Counts the lists of folders that overlayfs keeps for each dyno. Whoever reads a folder that slug
 * and dyno both have makes the kernel read it from both and keep what it found, some eight times
 * what the names take on the disk, until the folder is closed (fs/overlayfs/readdir.c). Readers
 * share a list, but who comes after a change gets one of his own: a dyno of 512 MB has the host
 * keep gigabytes, of which it is charged for nothing.
 *
 * A thread that is in iterate_dir() for a folder of an overlay has an entry by its id, as long
 * as it is there. What is opened meanwhile are the folders that the list is made of: their sizes
 * go to the dyno's sum before they are read, or the opening is refused, and with it the reading.
 * A call that opened nothing and read nothing has the list that somebody made last, or one that
 * it had before: it counts for the longer, and is asked before whether there may be one more. Where
 * slug and dyno are not both there the kernel passes what it reads straight on and keeps nothing.
 */

#include <errno.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "launcher/guards.h"

/*
 * Of a dyno, in bytes of folders on the disk: one that has 100,000 files can be read, and the
 * host's memory keeps some 32 MB. Each list counts for 64 kB besides: no program has more than 64
 * folders of the slug that it changed open, and is reading them.
 */
#define BYTES_MAX (4 * 1024 * 1024)
#define LISTS_MAX 64
#define LIST_WEIGHT (BYTES_MAX / LISTS_MAX)
/* Of a list that others made, if nobody remembers how long it is. */
#define BYTES_UNKNOWN (BYTES_MAX / 8)

/* Threads that read a folder of an overlay in the same moment, more than a host has. */
#define READING_MAX 65536

/* By the thread's id. */
typedef struct Reading {
        uint64_t file; /* its address */
        uint64_t dyno; /* id of the cgroup */
        uint64_t bytes;
        uint64_t passed; /* nothing is kept: another folder is read for it, or it is refused */
} Reading;

/* By the address of the file that has it. */
typedef struct Held {
        uint64_t bytes;
        uint64_t dyno;
        uint64_t inode; /* its address */
} Held;

/* The list that was made last, as long as a file has one of the folder. By the inode's address. */
typedef struct List {
        uint64_t bytes;
        int64_t files;
} List;

/* Fields and maps of the guard. */
enum {
        FILE_INODE,
        INODE_MODE,
        INODE_SIZE,
        INODE_SUPER,
        SUPER_MAGIC,
};
enum {
        READINGS, /* thread -> Reading */
        HELDS,    /* struct file -> Held */
        LISTS,    /* struct inode -> List */
        SUMS,     /* id of a dyno's cgroup -> int64_t */
};

#define READING(field) ((int)offsetof(Reading, field))
#define HELD(field) ((int)offsetof(Held, field))
#define LIST(field) ((int)offsetof(List, field))

enum {
        STACK_THREAD = -8,
        STACK_DYNO = -16,
        STACK_SUM = -24,
        STACK_FILE = -32,
        STACK_INODE = -40,
        STACK_HELD = -40 - (int)sizeof(Held),
        STACK_LIST = STACK_HELD - (int)sizeof(List),
        STACK_READING = STACK_LIST - (int)sizeof(Reading),
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_OVERLAY,
        LABEL_HAS_SUM,
        LABEL_COUNTED_BEFORE,
        LABEL_REFUSE,
        LABEL_OF_OTHERS,
        LABEL_NEW,
        LABEL_NEW_SHARE,
        LABEL_UNKNOWN,
        LABEL_LISTED,
        LABEL_LISTED_SHARE,
};

/* r0 = the thread's Reading; out, if it reads no folder of an overlay. */
static void look_up_reading(Assembler *a, const GuardRefs *refs) {
        call(a, BPF_FUNC_get_current_pid_tgid);
        store(a, BPF_DW, BPF_REG_10, STACK_THREAD, BPF_REG_0);
        look_up(a, refs->maps[READINGS], STACK_THREAD);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
}

/* The file has its first list, of r8 bytes. r0 = the List, to be told so; out, if there is none. */
static void hold(Assembler *a, const GuardRefs *refs, int listed) {
        store(a, BPF_DW, BPF_REG_10, STACK_HELD + HELD(bytes), BPF_REG_8);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_10, STACK_DYNO);
        store(a, BPF_DW, BPF_REG_10, STACK_HELD + HELD(dyno), BPF_REG_1);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_10, STACK_INODE);
        store(a, BPF_DW, BPF_REG_10, STACK_HELD + HELD(inode), BPF_REG_1);
        add_new(a, refs->maps[HELDS], STACK_FILE, STACK_HELD);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_OUT);
        look_up(a, refs->maps[LISTS], STACK_INODE);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, listed);
        store(a, BPF_DW, BPF_REG_10, STACK_LIST + LIST(bytes), BPF_REG_8);
        store_value(a, BPF_DW, BPF_REG_10, STACK_LIST + LIST(files), 0);
        add_new(a, refs->maps[LISTS], STACK_INODE, STACK_LIST);
        look_up(a, refs->maps[LISTS], STACK_INODE);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        place(a, listed);
        set(a, BPF_REG_1, 1);
        add_atomically(a, BPF_REG_0, LIST(files), BPF_REG_1);
}

/* iterate_dir(file, context) begins. */
static void begun(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 0);
        load(a, BPF_DW, BPF_REG_7, BPF_REG_6, refs->fields[FILE_INODE]);
        load(a, BPF_DW, BPF_REG_7, BPF_REG_7, refs->fields[INODE_SUPER]);
        load(a, BPF_DW, BPF_REG_7, BPF_REG_7, refs->fields[SUPER_MAGIC]);
        jump_if(a, BPF_JEQ, BPF_REG_7, OVERLAYFS_SUPER_MAGIC, LABEL_OVERLAY);
        look_up_reading(a, refs);
        store_value(a, BPF_DW, BPF_REG_0, READING(passed), 1);
        jump(a, LABEL_OUT);
        place(a, LABEL_OVERLAY);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        guard_store_dyno(a, STACK_READING + READING(dyno));
        store(a, BPF_DW, BPF_REG_10, STACK_READING + READING(file), BPF_REG_6);
        store_value(a, BPF_DW, BPF_REG_10, STACK_READING + READING(bytes), 0);
        store_value(a, BPF_DW, BPF_REG_10, STACK_READING + READING(passed), 0);
        call(a, BPF_FUNC_get_current_pid_tgid);
        store(a, BPF_DW, BPF_REG_10, STACK_THREAD, BPF_REG_0);
        put(a, refs->maps[READINGS], STACK_THREAD, STACK_READING);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* r6 = the file's inode; out, if it is no folder. */
static void only_folders(Assembler *a, const GuardRefs *refs, uint8_t file) {
        load(a, BPF_DW, BPF_REG_6, file, refs->fields[FILE_INODE]);
        load(a, BPF_H, BPF_REG_0, BPF_REG_6, refs->fields[INODE_MODE]);
        alu(a, BPF_AND, BPF_REG_0, S_IFMT);
        jump_if(a, BPF_JNE, BPF_REG_0, S_IFDIR, LABEL_OUT);
}

/* r0 = the dyno's sum, r7 = the thread's Reading; to LABEL_REFUSE, if it has its share. */
static void refuse_beyond(Assembler *a, const GuardRefs *refs) {
        load(a, BPF_DW, BPF_REG_1, BPF_REG_7, READING(dyno));
        store(a, BPF_DW, BPF_REG_10, STACK_DYNO, BPF_REG_1);
        guard_find_sum(a, refs->maps[SUMS], STACK_DYNO, STACK_SUM, LABEL_HAS_SUM, LABEL_REFUSE);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, 0);
        jump_if(a, BPF_JSGE, BPF_REG_1, BYTES_MAX, LABEL_REFUSE);
}

static void refuse(Assembler *a) {
        place(a, LABEL_REFUSE);
        store_value(a, BPF_DW, BPF_REG_7, READING(passed), 1);
        leave(a, -ENOMEM);
}

/* file_permission(file, mask), of a folder within iterate_dir() alone: for the lists of others. */
static void asked(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_8, 0);
        only_folders(a, refs, BPF_REG_8);
        look_up_reading(a, refs);
        move(a, BPF_REG_7, BPF_REG_0);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_7, READING(file));
        jump_if_reg(a, BPF_JNE, BPF_REG_1, BPF_REG_8, LABEL_OUT);
        store(a, BPF_DW, BPF_REG_10, STACK_FILE, BPF_REG_8);
        look_up(a, refs->maps[HELDS], STACK_FILE);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_OUT);
        refuse_beyond(a, refs);
        place(a, LABEL_OUT);
        leave(a, 0);
        refuse(a);
}

/* file_open(file): by whoever reads a folder of an overlay, it is one that the list is made of. */
static void opened(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_8, 0);
        only_folders(a, refs, BPF_REG_8);
        look_up_reading(a, refs);
        move(a, BPF_REG_7, BPF_REG_0);
        refuse_beyond(a, refs);
        load(a, BPF_DW, BPF_REG_8, BPF_REG_6, refs->fields[INODE_SIZE]);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_7, READING(bytes));
        jump_if(a, BPF_JNE, BPF_REG_1, 0, LABEL_COUNTED_BEFORE);
        alu(a, BPF_ADD, BPF_REG_8, LIST_WEIGHT);
        place(a, LABEL_COUNTED_BEFORE);
        alu(a, BPF_AND, BPF_REG_8, INT32_MAX); /* nothing that a sum could be turned with */
        add_atomically(a, BPF_REG_0, 0, BPF_REG_8);
        emit(a, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_1, BPF_REG_8, 0, 0);
        store(a, BPF_DW, BPF_REG_7, READING(bytes), BPF_REG_1);
        place(a, LABEL_OUT);
        leave(a, 0);
        refuse(a);
}

/* A list was made: r8 bytes, which the sum has. That which the file had before is gone. */
static void hold_own(Assembler *a, const GuardRefs *refs) {
        look_up(a, refs->maps[HELDS], STACK_FILE);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_NEW);
        move(a, BPF_REG_9, BPF_REG_8);
        exchange(a, BPF_REG_0, HELD(bytes), BPF_REG_9);
        emit(a, BPF_ALU64 | BPF_NEG, BPF_REG_9, 0, 0, 0);
        guard_add_to_sum(a, refs->maps[SUMS], STACK_DYNO, BPF_REG_9, LABEL_OUT);
        look_up(a, refs->maps[LISTS], STACK_INODE);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        store(a, BPF_DW, BPF_REG_0, LIST(bytes), BPF_REG_8);
        jump(a, LABEL_OUT);
        place(a, LABEL_NEW);
        hold(a, refs, LABEL_LISTED);
        store(a, BPF_DW, BPF_REG_0, LIST(bytes), BPF_REG_8);
        jump(a, LABEL_OUT);
}

/* Nothing was read. What is shorter may be gone by now. */
static void hold_shared(Assembler *a, const GuardRefs *refs) {
        set(a, BPF_REG_8, BYTES_UNKNOWN);
        look_up(a, refs->maps[LISTS], STACK_INODE);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_UNKNOWN);
        load(a, BPF_DW, BPF_REG_8, BPF_REG_0, LIST(bytes));
        place(a, LABEL_UNKNOWN);
        look_up(a, refs->maps[HELDS], STACK_FILE);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_NEW_SHARE);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, HELD(bytes));
        jump_if_reg(a, BPF_JGE, BPF_REG_1, BPF_REG_8, LABEL_OUT);
        move(a, BPF_REG_9, BPF_REG_8);
        exchange(a, BPF_REG_0, HELD(bytes), BPF_REG_9);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_8, BPF_REG_9, 0, 0);
        guard_add_to_sum(a, refs->maps[SUMS], STACK_DYNO, BPF_REG_8, LABEL_OUT);
        jump(a, LABEL_OUT);
        place(a, LABEL_NEW_SHARE);
        hold(a, refs, LABEL_LISTED_SHARE);
        guard_add_to_sum(a, refs->maps[SUMS], STACK_DYNO, BPF_REG_8, LABEL_OUT);
}

/* iterate_dir(file, context) returns. */
static void ended(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 0);
        guard_load_argument(a, BPF_REG_7, 2); /* what it returns */
        look_up_reading(a, refs);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, READING(file));
        jump_if_reg(a, BPF_JNE, BPF_REG_1, BPF_REG_6, LABEL_OUT);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, READING(dyno));
        store(a, BPF_DW, BPF_REG_10, STACK_DYNO, BPF_REG_1);
        load(a, BPF_DW, BPF_REG_8, BPF_REG_0, READING(bytes));
        load(a, BPF_DW, BPF_REG_9, BPF_REG_0, READING(passed));
        store(a, BPF_DW, BPF_REG_10, STACK_FILE, BPF_REG_6);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_6, refs->fields[FILE_INODE]);
        store(a, BPF_DW, BPF_REG_10, STACK_INODE, BPF_REG_1);
        take_out(a, refs->maps[READINGS], STACK_THREAD);
        jump_if(a, BPF_JEQ, BPF_REG_8, 0, LABEL_OF_OTHERS);
        hold_own(a, refs);
        place(a, LABEL_OF_OTHERS);
        jump_if(a, BPF_JNE, BPF_REG_9, 0, LABEL_OUT);
        jump_if_word(a, BPF_JEQ, BPF_REG_7, (uint32_t)-ENOENT, LABEL_OUT); /* it was removed */
        hold_shared(a, refs);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* file_free_security(file) */
static void freed(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 0);
        store(a, BPF_DW, BPF_REG_10, STACK_FILE, BPF_REG_6);
        look_up(a, refs->maps[HELDS], STACK_FILE);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        load(a, BPF_DW, BPF_REG_6, BPF_REG_0, HELD(bytes));
        emit(a, BPF_ALU64 | BPF_NEG, BPF_REG_6, 0, 0, 0);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, HELD(dyno));
        store(a, BPF_DW, BPF_REG_10, STACK_DYNO, BPF_REG_1);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, HELD(inode));
        store(a, BPF_DW, BPF_REG_10, STACK_INODE, BPF_REG_1);
        take_out(a, refs->maps[HELDS], STACK_FILE);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, LABEL_OUT);
        look_up(a, refs->maps[LISTS], STACK_INODE);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_LISTED);
        set(a, BPF_REG_1, -1);
        fetch_and_add(a, BPF_REG_0, LIST(files), BPF_REG_1);
        jump_if(a, BPF_JSGT, BPF_REG_1, 1, LABEL_LISTED);
        /* Who takes it up in this moment finds none later on, and counts for BYTES_UNKNOWN. */
        take_out(a, refs->maps[LISTS], STACK_INODE);
        place(a, LABEL_LISTED);
        guard_add_to_sum(a, refs->maps[SUMS], STACK_DYNO, BPF_REG_6, LABEL_OUT);
        place(a, LABEL_OUT);
        leave(a, 0);
}

static const GuardField fields[] = {
        [FILE_INODE] = {"file", "f_inode"},
        [INODE_MODE] = {"inode", "i_mode"},
        [INODE_SIZE] = {"inode", "i_size"},
        [INODE_SUPER] = {"inode", "i_sb"},
        [SUPER_MAGIC] = {"super_block", "s_magic"},
};

static const GuardMap maps[] = {
        [READINGS] =
                {
                        .name = "dynod_dir_read",
                        .pin = PIN_FOLDERS_READING,
                        .type = BPF_MAP_TYPE_HASH,
                        .flags = BPF_F_NO_PREALLOC,
                        .key_size = sizeof(uint64_t),
                        .value_size = sizeof(Reading),
                        .entries = READING_MAX,
                },
        /* Never full: twice, for what races past. There are no more lists than files. */
        [HELDS] = GUARD_HASH("dynod_dir_held", PIN_FOLDERS_HELD, Held, 2 * LISTS_MAX),
        [LISTS] = GUARD_HASH("dynod_dir_lists", PIN_FOLDERS_LISTS, List, 2 * LISTS_MAX),
        [SUMS] = GUARD_SUMS("dynod_dir_sums", PIN_FOLDERS_SUMS),
};

/* From the end on: nothing is left counted, and what is begun has an end. */
static const GuardProgram programs[] = {
        {PIN_FOLDERS_FREED, "dynod_dir_free", "file_free_security", GUARD_ASKED, freed},
        {PIN_FOLDERS_ENDED, "dynod_dir_end", "iterate_dir", GUARD_AFTER, ended},
        {PIN_FOLDERS_OPENED, "dynod_dir_open", "file_open", GUARD_ASKED, opened},
        {PIN_FOLDERS_ASKED, "dynod_dir_ask", "file_permission", GUARD_ASKED, asked},
        {PIN_FOLDERS_BEGUN, "dynod_dir_begin", "iterate_dir", GUARD_BEFORE, begun},
};

GUARD_TABLE(guard_folders, "limit the lists of folders that dynos have the kernel keep");
