/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Within dynod-guards: what the programs of sandbox/guards.h share. */

#include <bpf/btf.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "sandbox/bpf_code.h"
#include "sandbox/guards.h"

/* MSG_BATCH in include/linux/socket.h: of one sendmmsg(2), and not the last. */
#define MESSAGE_OF_MANY 0x40000

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
} GuardProgram;

typedef struct GuardMap {
        const char *name; /* up to 15 characters */
        uint32_t type, flags;
        uint32_t key_size, value_size; /* bytes */
        uint32_t entries;
} GuardMap;

/* Return: a descriptor or a negative errno. */
int guard_make_map(const GuardMap *map) _must_check_;

/* The map of what each dyno has: the id of its cgroup -> int64_t. */
GuardMap guard_sums(const char *name, uint32_t max_dynos);

/*
 * As guard_make_map(), but one of an earlier dynod that is at @pin goes on, if it is like it. It
 * keeps its size, which max_dynos may have outgrown since the host was booted.
 */
int guard_pinned_map(const GuardMap *map, const char *instance, GuardPin pin) _must_check_;

/**
 * guard_install() - load, attach and pin @code. Links its labels.
 *
 * Return: 0 or a negative errno.
 */
int guard_install(const GuardProgram *program, Assembler *code, const char *instance) _must_check_;

/* Where @field is in the kernel's struct @type, in bytes. Return: that or -ENOENT. */
int guard_field(const struct btf *btf, const char *type, const char *field) _must_check_;

/*
 * r0 = the sum of the dyno whose id is at @stack_dyno, made if there is none; goes to @unless.
 * Uses r1 to r5 and 8 bytes at @stack_sum.
 */
void guard_find_sum(
        Assembler *a, int sums_fd, int stack_dyno, int stack_sum, int found, int unless);

/* goes to @unless_below, if the process is not below the cgroup of map @dynos_fd. Uses r0 to r5. */
void guard_only_dynos(Assembler *a, int dynos_fd, int unless_below);

/**
 * guard_locks() - no dyno has more record locks than 2048, less 8 for each file that they are in.
 * @dynos_fd: map whose element 0 is the cgroup of all dynos
 * @max_dynos: how many dynos there can be
 *
 * Return: 0 or a negative errno, -ENOENT if this kernel has no such functions or fields.
 */
int guard_locks(const char *instance, int dynos_fd, uint32_t max_dynos) _must_check_;

/**
 * guard_sockets() - no dyno has more than 512 sockets that hold what nobody is charged for.
 *
 * Arguments and return as of guard_locks().
 */
int guard_sockets(const char *instance, int dynos_fd, uint32_t max_dynos) _must_check_;

/**
 * guard_folders() - no dyno has overlayfs keep more than 64 lists of folders, of 4 MB together.
 *
 * Arguments and return as of guard_locks().
 */
int guard_folders(const char *instance, int dynos_fd, uint32_t max_dynos) _must_check_;

/**
 * guard_flight() - no dyno has more than 512 descriptors in flight.
 *
 * Arguments and return as of guard_locks().
 */
int guard_flight(const char *instance, int dynos_fd, uint32_t max_dynos) _must_check_;
