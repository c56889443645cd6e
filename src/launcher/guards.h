/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Within dynod-guards: the guards of sandbox/guards.h, each a table of what its programs need and
 * of the programs, and what they share.
 */

#include <assert.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "sandbox/bpf_code.h"
#include "sandbox/guards.h"

/* MSG_BATCH in include/linux/socket.h: of one sendmmsg(2), and not the last. */
#define MESSAGE_OF_MANY 0x40000

/* Where the kernel keeps the number of the call that a process is in. */
#ifdef __aarch64__
#define GUARD_REGS_CALL "syscallno"
#define GUARD_REGS_CALL_SIZE BPF_W
#else
#define GUARD_REGS_CALL "orig_ax"
#define GUARD_REGS_CALL_SIZE BPF_DW
#endif

#define GUARD_FIELDS_MAX 16
#define GUARD_MAPS_MAX 4

/* Seconds: nobody saves up more, see guard_pay(). */
#define GUARD_SAVED_MAX_SEC 64

/* A member of one of the kernel's own types, wherever this kernel has it. */
typedef struct GuardField {
        const char *type, *name;
} GuardField;

typedef struct GuardMap {
        const char *name; /* up to 15 characters */
        GuardPin pin;     /* or PIN_NONE: each start makes an empty one */
        uint32_t type, flags;
        uint32_t key_size, value_size; /* bytes */
        uint32_t entries;              /* for the host */
        uint32_t entries_of_dyno;      /* and for each dyno there can be */
} GuardMap;

/* By an address or an id of the kernel's. */
#define GUARD_HASH(of_name, at_pin, of_value, of_dyno)                                             \
        {                                                                                          \
                .name = (of_name), .pin = (at_pin), .type = BPF_MAP_TYPE_HASH,                     \
                .flags = BPF_F_NO_PREALLOC, .key_size = sizeof(uint64_t),                          \
                .value_size = sizeof(of_value), .entries_of_dyno = (of_dyno),                      \
        }

/*
 * What each dyno has, by the id of its cgroup. A dyno that ended has its sum until the room is
 * needed.
 */
#define GUARD_SUMS(of_name, at_pin)                                                                \
        {                                                                                          \
                .name = (of_name), .pin = (at_pin), .type = BPF_MAP_TYPE_LRU_HASH,                 \
                .key_size = sizeof(uint64_t), .value_size = sizeof(int64_t), .entries_of_dyno = 2, \
        }

/* Dynos of which a process was killed: not 0 by the id of their cgroup, for as long as they run. */
#define GUARD_KILLED GUARD_SUMS("dynod_killed", PIN_INTERRUPTS_KILLED)

/* What the code of the programs refers to. */
typedef struct GuardRefs {
        int dynos_fd;                 /* map whose element 0 is the cgroup of all dynos */
        int maps[GUARD_MAPS_MAX];     /* descriptors, as in GuardTable */
        int fields[GUARD_FIELDS_MAX]; /* where they are, in bytes, as in GuardTable */
} GuardRefs;

typedef enum GuardWhen {
        GUARD_ASKED, /* by the security modules' hook */
        GUARD_BEFORE,
        GUARD_AFTER,
} GuardWhen;

typedef struct GuardProgram {
        GuardPin pin;
        const char *name; /* up to 15 characters: how bpftool(8) lists it */
        const char *hook; /* of the security modules, or a function of the kernel */
        GuardWhen when;
        void (*write)(Assembler *a, const GuardRefs *refs);
} GuardProgram;

/*
 * That a function which is left out of no call is there to be attached to: a compiler may put its
 * text into its callers, and leave it there for others.
 */
typedef struct GuardProof {
        const char *function;
        void (*call_it)(void); /* has the kernel call it */
        uint64_t times;        /* that often at least */
} GuardProof;

typedef struct GuardTable {
        const char *purpose;
        const GuardProof *proof;      /* or NULL */
        const GuardField *fields;     /* up to GUARD_FIELDS_MAX */
        const GuardMap *maps;         /* up to GUARD_MAPS_MAX */
        const GuardProgram *programs; /* as they are attached */
        size_t n_fields, n_maps, n_programs;
} GuardTable;

/* Of a file's own fields[], maps[] and programs[]. */
#define GUARD_TABLE(table, for_purpose, ...)                                                       \
        static_assert(ARRAY_SIZE(fields) <= GUARD_FIELDS_MAX, "of GuardRefs");                     \
        static_assert(ARRAY_SIZE(maps) <= GUARD_MAPS_MAX, "of GuardRefs");                         \
        const GuardTable table = {                                                                 \
                .purpose = (for_purpose),                                                          \
                .fields = fields,                                                                  \
                .n_fields = ARRAY_SIZE(fields),                                                    \
                .maps = maps,                                                                      \
                .n_maps = ARRAY_SIZE(maps),                                                        \
                .programs = programs,                                                              \
                .n_programs = ARRAY_SIZE(programs),                                                \
                __VA_ARGS__}

/* No dyno has more record locks than 2048, less 8 for each file that they are in. */
extern const GuardTable guard_locks;

/* No dyno has more than 512 sockets that hold what nobody is charged for. */
extern const GuardTable guard_sockets;

/* No dyno has more than 12288 sockets of TCP and UDP. */
extern const GuardTable guard_inet;

/* No dyno has sent more than 32768 times by TCP what is not acknowledged, and twice for each socket. */
extern const GuardTable guard_sends;

/* No dyno has sendfile(2) read what has no page cache. */
extern const GuardTable guard_files;

/* No dyno has overlayfs keep more than 64 lists of folders, of 4 MB together. */
extern const GuardTable guard_folders;

/* No dyno has more than 512 descriptors in flight. */
extern const GuardTable guard_flight;

/* No dyno has more than 256 timers that are descriptors. */
extern const GuardTable guard_timers;

/* No file of a dyno has more than 1024 watches of epolls, and few poll an epoll. */
extern const GuardTable guard_watches;

/* No dyno opens more than 64 terminals at once, and one a second after that. */
extern const GuardTable guard_terminals;

/* No dyno has more than 1024 processes. */
extern const GuardTable guard_processes;

/* No set of System V semaphores has more than 256 that wait to change several of it, and for zeroes. */
extern const GuardTable guard_sysv;

/* No dyno keeps the workers of terminals busy for more than 0.25 s, and a sixteenth of the time after that. */
extern const GuardTable guard_typing;

/* No dyno has poll(2) keep more than 512 pages, or more than about 1024 entries for one thing. */
extern const GuardTable guard_polls;

/* No dyno keeps the kernel's semaphores for more than 4 s, and a sixteenth of the time after that. */
extern const GuardTable guard_semaphores;

/* @dst = that argument of the hook, which are behind r1 as the program begins. */
static inline void guard_load_argument(Assembler *a, uint8_t dst, int argument) {
        load(a, BPF_DW, dst, BPF_REG_1, argument * (int)sizeof(uint64_t));
}

/* 8 bytes at @stack_dyno = the id of the process's dyno. Uses r0 to r5. */
void guard_store_dyno(Assembler *a, int stack_dyno);

/*
 * Adds register @value, one of those that calls leave alone, to the sum of the dyno whose id is at @stack_dyno;
 * goes to @unless, if it has none. Uses r0 to r5.
 */
void guard_add_to_sum(Assembler *a, int sums_fd, int stack_dyno, uint8_t value, int unless);

/*
 * r0 = the sum of the dyno whose id is at @stack_dyno, made if there is none; goes to @unless.
 * Uses r1 to r5 and 8 bytes at @stack_sum.
 */
void guard_find_sum(
        Assembler *a, int sums_fd, int stack_dyno, int stack_sum, int found, int unless);

/* What counts one by one for the dyno of who made it, until it is gone. */
typedef struct GuardHeld {
        int held_fd;   /* map by what it is known by: the id of a dyno's cgroup */
        int sums_fd;   /* map by that id: how many there are */
        int32_t most;  /* of a dyno */
        int stack_key; /* 8 bytes: what it is known by */
        int stack_dyno, stack_sum;
} GuardHeld;

/*
 * Has one more count for the process's dyno, unless it does so already; goes to @known then, and to @refuse if that
 * has as many as it may. Uses r0 to r5, and @sum, a register that calls leave alone.
 */
void guard_hold(
        Assembler *a, const GuardHeld *held, uint8_t sum, int has_sum, int known, int refuse);

/* Has what is known by @stack_key count no more: its dyno to @stack_dyno, or goes to @unless. Uses r0 to r5. */
void guard_let_go(Assembler *a, int held_fd, int stack_key, int stack_dyno, int unless);

/*
 * @dst = the 8 bytes at register @base and @offset, which may lead anywhere; 0, if nothing is there. A number,
 * whatever they were. Uses r0 to r5 and 8 bytes at @stack_word.
 */
void guard_peek(Assembler *a, uint8_t dst, uint8_t base, int offset, int stack_word);

/*
 * Kills the process (SIGKILL), whose dyno's id is at @stack_dyno, and says so in map @killed_fd (GUARD_KILLED):
 * its dyno starts no process any more. Uses r0 to r5 and 8 bytes at @stack_word.
 */
void guard_kill(
        Assembler *a, int killed_fd, int stack_dyno, int stack_word, int has_mark, int kill);

/* @dst = a clock that goes on in suspension, ns, and is past what can be saved up. Uses r0 to r5. */
void guard_load_now(Assembler *a, uint8_t dst);

/* What a dyno pays out of what it saves up as time goes by, by the clock of guard_load_now(). */
typedef struct GuardPayment {
        uint8_t paid;      /* register: the address of its int64_t, until when all is paid for */
        uint8_t cost, now; /* registers: ns */
        int32_t saved_sec; /* at most, up to GUARD_SAVED_MAX_SEC */
} GuardPayment;

/* Has it pay; goes to @enough, if it has that. What races here is off by the payments of that instant. Uses r0 and r1. */
void guard_pay(Assembler *a, const GuardPayment *payment, int has_less, int enough);

/* goes to @unless, if the process is not in call @number. Uses r0 to r5. */
void guard_only_in_call(Assembler *a, int regs_call, uint32_t number, int unless);

/* goes to @unless_below, if the process is not below the cgroup of map @dynos_fd. Uses r0 to r5. */
void guard_only_dynos(Assembler *a, int dynos_fd, int unless_below);
