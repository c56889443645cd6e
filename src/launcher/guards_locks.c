/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Counts the record locks of each dyno. Linux has no limit of its own: RLIMIT_LOCKS counts
 * nothing since 2.4, and no cgroup is charged (CVE-2022-0480 was taken back).
 *
 * Whatever makes or ends locks of a file is followed by a count of all that the file has now
 * (inode->i_flctx->flc_posix, which the kernel itself walks as well, for each lock). Locks end
 * by F_UNLCK, by close(2) of any descriptor of the file, and by the end of a description. The
 * difference to the count before goes to the dyno's sum, and the sum is what the hook before a
 * lock looks at. No inode is in two dynos. A flock(2) is one for each description, which is
 * charged, and is not counted.
 *
 * Programs run on all processors at once. A file's count is exchanged, never read and then
 * written, so that the sum is always that of the counts; who finds the mark of a count that is
 * being removed leaves it alone, and the next lock or close of that file counts it anew. So does
 * the next one after dynod-guards put an empty map in place of another.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

#include "launcher/guards.h"

/*
 * A dyno's locks and eight for each file that has some: 400 KB of the host's memory, and at
 * most 227 files. What locks most, SQLite, has up to three for each process and database.
 */
#define LOCKS_MAX 2048
#define FILE_WEIGHT 8
#define FILES_MAX 256 /* of a dyno: LOCKS_MAX / (FILE_WEIGHT + 1), and what races past */
/* F_UNLCK in the middle of a range makes a lock more. It ends later, so that who is at the
 * limit can unlock. */
#define UNLOCKS_MAX (LOCKS_MAX + 1024)
/* Of one file: more than the limits let there be, for as many threads as a dyno has. The
 * kernel's verifier takes 8192 turns. */
#define WALK_MAX (UNLOCKS_MAX + 1024)

#define BEING_REMOVED (-1)

/* For each file with locks. The key is its inode's address. */
typedef struct FileEntry {
        int64_t count;
        uint64_t dyno;
} FileEntry;

/* Fields and maps of the guard. */
enum {
        FILE_INODE,
        INODE_CONTEXT,
        CONTEXT_LIST,
};
enum {
        FILES, /* inode -> FileEntry */
        SUMS,  /* id of a dyno's cgroup -> int64_t */
};

enum {
        FILE_ = BPF_REG_6,
        INODE = BPF_REG_7,
        LIST = BPF_REG_8,
        COUNT = BPF_REG_9,

        STACK_INODE = -8,
        STACK_ENTRY = -24, /* FileEntry */
        STACK_DYNO = -32,
        STACK_SUM = -40,
        STACK_COUNT = -48,
        STACK_READ = -56,
};

enum {
        LABEL_OUT = BPF_LABEL_FIRST,
        LABEL_WALK,
        LABEL_COUNTED,
        LABEL_FOUND,
        LABEL_NONE_LEFT,
        LABEL_EXCHANGE,
        LABEL_NOT_REMOVED,
        LABEL_SUM_DONE,
        LABEL_IS_THERE,
        LABEL_REFUSE,
};

#define ENTRY(field) ((int)offsetof(FileEntry, field))

/* COUNT = how many locks the file has; out, where it never had any. */
static void count_locks(Assembler *a, const GuardRefs *refs, int argument) {
        guard_load_argument(a, FILE_, argument);
        load(a, BPF_DW, INODE, FILE_, refs->fields[FILE_INODE]);
        load(a, BPF_DW, LIST, INODE, refs->fields[INODE_CONTEXT]);
        jump_if(a, BPF_JEQ, LIST, 0, LABEL_OUT);
        /* The list changes meanwhile. Safe: the kernel makes a load of a bad address a zero. */
        load(a, BPF_DW, BPF_REG_1, LIST, refs->fields[CONTEXT_LIST]);
        alu(a, BPF_ADD, LIST, refs->fields[CONTEXT_LIST]);
        set(a, COUNT, 0);
        place(a, LABEL_WALK);
        jump_if_reg(a, BPF_JEQ, BPF_REG_1, LIST, LABEL_COUNTED);
        /* It leads in a circle: whoever removed what we stood on counts next. */
        jump_if(a, BPF_JGE, COUNT, WALK_MAX, LABEL_OUT);
        alu(a, BPF_ADD, COUNT, 1);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_1, 0); /* list_head.next */
        jump(a, LABEL_WALK);
        place(a, LABEL_COUNTED);
        /* By way of a helper, after which the verifier knows the number no more: it would look
         * at all that follows once for each turn. */
        store(a, BPF_DW, BPF_REG_10, STACK_COUNT, COUNT);
        guard_peek(a, COUNT, BPF_REG_10, STACK_COUNT, STACK_READ);
}

/* r0 = the file's entry, made if @makes and there is none and the process is a dyno's. */
static void find_entry(Assembler *a, const GuardRefs *refs, bool makes) {
        store(a, BPF_DW, BPF_REG_10, STACK_INODE, INODE);
        look_up(a, refs->maps[FILES], STACK_INODE);
        if (!makes) {
                jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
                return;
        }
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_FOUND);
        jump_if(a, BPF_JEQ, COUNT, 0, LABEL_OUT);
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        guard_store_dyno(a, STACK_ENTRY + ENTRY(dyno));
        store_value(a, BPF_DW, BPF_REG_10, STACK_ENTRY + ENTRY(count), 0);
        add_new(a, refs->maps[FILES], STACK_INODE, STACK_ENTRY);
        look_up(a, refs->maps[FILES], STACK_INODE);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        place(a, LABEL_FOUND);
}

/* The file's new count in place of the old one, and the difference to the dyno's sum. */
static void exchange_count(Assembler *a, const GuardRefs *refs) {
        move(a, BPF_REG_6, BPF_REG_0); /* the entry; the file is not needed any more */
        load(a, BPF_DW, BPF_REG_1, BPF_REG_6, ENTRY(dyno));
        store(a, BPF_DW, BPF_REG_10, STACK_DYNO, BPF_REG_1);
        move(a, BPF_REG_7, COUNT);
        set(a, BPF_REG_1, BEING_REMOVED);
        jump_if(a, BPF_JEQ, COUNT, 0, LABEL_EXCHANGE);
        alu(a, BPF_ADD, BPF_REG_7, FILE_WEIGHT);
        move(a, BPF_REG_1, BPF_REG_7);
        place(a, LABEL_EXCHANGE);
        exchange(a, BPF_REG_6, ENTRY(count), BPF_REG_1);
        jump_if(a, BPF_JNE, BPF_REG_1, BEING_REMOVED, LABEL_NOT_REMOVED);
        exchange(a, BPF_REG_6, ENTRY(count), BPF_REG_1);
        jump(a, LABEL_OUT);
        place(a, LABEL_NOT_REMOVED);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_7, BPF_REG_1, 0, 0);
        guard_add_to_sum(a, refs->maps[SUMS], STACK_DYNO, BPF_REG_7, LABEL_SUM_DONE);
        place(a, LABEL_SUM_DONE);
        jump_if(a, BPF_JNE, COUNT, 0, LABEL_OUT);
        take_out(a, refs->maps[FILES], STACK_INODE);
}

/* @argument: which argument of the function is the struct file. */
static void count(Assembler *a, const GuardRefs *refs, int argument, bool makes) {
        count_locks(a, refs, argument);
        find_entry(a, refs, makes);
        exchange_count(a, refs);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* fcntl_setlk(fd, file, command, lock) */
static void taken(Assembler *a, const GuardRefs *refs) {
        count(a, refs, 1, true);
}

/* locks_remove_posix(file, owner) and locks_remove_file(file) */
static void released(Assembler *a, const GuardRefs *refs) {
        count(a, refs, 0, false);
}

/* file_lock(file, type): before any lock. */
static void asked(Assembler *a, const GuardRefs *refs) {
        guard_load_argument(a, BPF_REG_6, 1); /* its type */
        guard_only_dynos(a, refs->dynos_fd, LABEL_OUT);
        guard_store_dyno(a, STACK_DYNO);
        look_up(a, refs->maps[SUMS], STACK_DYNO);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, LABEL_IS_THERE);
        store_value(a, BPF_DW, BPF_REG_10, STACK_SUM, 0);
        add_new(a, refs->maps[SUMS], STACK_DYNO, STACK_SUM);
        jump(a, LABEL_OUT);
        place(a, LABEL_IS_THERE);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, 0);
        jump_if(a, BPF_JSLT, BPF_REG_1, LOCKS_MAX, LABEL_OUT);
        jump_if_word(a, BPF_JNE, BPF_REG_6, F_UNLCK, LABEL_REFUSE);
        jump_if(a, BPF_JSLT, BPF_REG_1, UNLOCKS_MAX, LABEL_OUT);
        place(a, LABEL_REFUSE);
        leave(a, -ENOLCK);
        place(a, LABEL_OUT);
        leave(a, 0);
}

static const GuardField fields[] = {
        [FILE_INODE] = {"file", "f_inode"},
        [INODE_CONTEXT] = {"inode", "i_flctx"},
        [CONTEXT_LIST] = {"file_lock_context", "flc_posix"},
};

static const GuardMap maps[] = {
        [FILES] = GUARD_HASH("dynod_lock_file", PIN_NONE, FileEntry, FILES_MAX),
        [SUMS] = GUARD_SUMS("dynod_lock_sums", PIN_NONE),
};

/* What only takes off comes first: nothing is left counted. */
static const GuardProgram programs[] = {
        {PIN_LOCKS_CLOSED, "dynod_locks_c", "locks_remove_posix", GUARD_AFTER, released},
        {PIN_LOCKS_RELEASED, "dynod_locks_r", "locks_remove_file", GUARD_AFTER, released},
        {PIN_LOCKS_TAKEN, "dynod_locks_t", "fcntl_setlk", GUARD_AFTER, taken},
        {PIN_LOCKS, "dynod_locks", "file_lock", GUARD_ASKED, asked},
};

GUARD_TABLE(guard_locks, "limit the file locks of dynos");
