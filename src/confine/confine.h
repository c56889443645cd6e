/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How a process of dynod's own locks itself in, first thing in its main().
 *
 * The launcher starts each process as its own user, without capabilities and with
 * no_new_privs. Here the process checks that this is so, tightens it (capability sets,
 * securebits, Landlock, a seccomp allow-list) and reads the result back from the
 * kernel before it looks at a byte that somebody else wrote. Single-threaded callers
 * only: a filter and a Landlock domain hold for the calling thread and its children.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

enum {
        _CONFINE_E_OK,

        CONFINE_E_NO_LANDLOCK, /* the kernel has none, or it is switched off */
};

/* What every process with an epoll or sd-event loop needs; see seccomp.c for the list. */
#define CONFINE_BASE (UINT32_C(1) << 0)
/* New threads, by clone(2) with CLONE_THREAD; without it no clone at all. clone3 is ENOSYS. */
#define CONFINE_THREADS (UINT32_C(1) << 1)
/* New processes, by clone(2) without any namespace flag; implies CONFINE_THREADS. */
#define CONFINE_FORK (UINT32_C(1) << 2)
/* socketpair(2), for AF_UNIX only, and not of datagrams. */
#define CONFINE_UNIX_PAIRS (UINT32_C(1) << 3)
/* Executable mappings (NSS modules are loaded late); without it PROT_EXEC is refused. */
#define CONFINE_EXEC_MAPS (UINT32_C(1) << 4)
/* For tests: run as uid 0, and with what could not be dropped from the bounding set. */
#define CONFINE_ALLOW_ROOT (UINT32_C(1) << 5)
/* confine_process(): go on where the kernel has no Landlock. */
#define CONFINE_LANDLOCK_OPTIONAL (UINT32_C(1) << 6)

/* For --debug: the kernel's log names each refused call (type=1326, syscall=N). */
#define CONFINE_LOG_REFUSED (UINT32_C(1) << 7)

/**
 * confine_seccomp() - allow only the named system calls, from now on
 * @syscalls:  names, e.g. "openat"; one that this architecture lacks is skipped, one
 *             that libseccomp does not know is -EINVAL. May be NULL if @n is 0
 * @n:         how many
 * @flags:     CONFINE_*
 *
 * All others fail with ENOSYS, so that libc falls back to the older call that was
 * meant; calls of another architecture (x32 too) kill the process. Sets no_new_privs.
 *
 * In a build with a sanitizer the filter is built but not loaded: the sanitizer's
 * runtime needs calls that no filter of ours allows.
 *
 * Return: 0 or a negative errno.
 */
int confine_seccomp(const char *const *syscalls, size_t n, uint32_t flags) _must_check_;

/* Rights below a path; CONFINE_FS_READ alone lets neither write nor execute. */
#define CONFINE_FS_READ (UINT32_C(1) << 0)   /* open for reading, list folders */
#define CONFINE_FS_WRITE (UINT32_C(1) << 1)  /* write, make and remove files and folders */
#define CONFINE_FS_LINK (UINT32_C(1) << 2)   /* symbolic links; link and rename across folders */
#define CONFINE_FS_SOCKET (UINT32_C(1) << 3) /* make sockets and FIFOs */

typedef struct ConfinePath {
        const char *path; /* or NULL: use @fd */
        int fd;           /* O_PATH will do; borrowed */
        uint32_t access;  /* CONFINE_FS_* */
} ConfinePath;

/**
 * confine_landlock() - allow the file system only below these paths, from now on
 * @paths:  files and folders that exist; may be NULL if @n is 0
 * @n:      how many
 *
 * Handles every right that the running kernel knows, so nothing is left open for being
 * new: TCP from ABI 4, device ioctls from 5, signals and abstract sockets from 6.
 * Descriptors that are open already are not affected. Sets no_new_privs.
 *
 * Return: 0, CONFINE_E_NO_LANDLOCK, or a negative errno (-ENOENT: a path is missing).
 */
int confine_landlock(const ConfinePath *paths, size_t n) _must_check_;

/**
 * confine_drop_capabilities() - empty all five sets and lock the securebits
 *
 * Without CAP_SETPCAP the bounding set and the securebits stay as the launcher left
 * them; with no_new_privs nothing can be gained through them.
 *
 * Return: 0 or a negative errno.
 */
int confine_drop_capabilities(void) _must_check_;

/**
 * confine_keep_capabilities() - the same, but for what a process that stays root is there for
 * @kept:  bits by the numbers of linux/capability.h; all of them must be permitted
 *
 * They stay effective, permitted and in the bounding set; no program that is executed has them.
 *
 * Return: 0 or a negative errno, -EPERM if one of @kept is not permitted.
 */
int confine_keep_capabilities(uint64_t kept) _must_check_;

/* Sets no_new_privs. Return: 0 or a negative errno. */
int confine_no_new_privs(void) _must_check_;

/**
 * confine_check() - read back from /proc/self/status what the kernel holds of us
 * @status_fd:  /proc/self/status, opened before Landlock; -EBADF: open it now
 * @flags:      CONFINE_ALLOW_ROOT is looked at
 * @reterr:     on -EPERM: what is wrong, a static text; may be NULL
 *
 * Demands: no uid of ours is 0; inheritable, permitted, effective and ambient sets
 * empty, bounding set too; no_new_privs; a seccomp filter.
 *
 * Return: 0, -EPERM (not confined), or another negative errno.
 */
int confine_check(int status_fd, uint32_t flags, const char **reterr) _must_check_;

typedef struct ConfinePlan {
        const char *const *syscalls;
        size_t n_syscalls;
        const ConfinePath *paths;
        size_t n_paths;
        uint32_t flags; /* CONFINE_* */
} ConfinePlan;

/**
 * confine_process() - all of the above, in the order that works
 * @plan:    what this process may do
 * @reterr:  on failure: the step that failed, a static text; may be NULL
 *
 * Also makes the process undumpable, so that others of its uid cannot trace it, and
 * refuses a start as root or with capabilities unless CONFINE_ALLOW_ROOT is set.
 *
 * Return: 0, CONFINE_E_NO_LANDLOCK unless CONFINE_LANDLOCK_OPTIONAL is set, or a
 * negative errno; on anything but 0 the caller must not go on.
 */
int confine_process(const ConfinePlan *plan, const char **reterr) _must_check_;
