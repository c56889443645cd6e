/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Attempts to get out of a dyno, or at anything in the host or in its neighbours.
 *
 * The program "escape" makes them: in a dyno, where each must be refused as it says here;
 * and outside of one, where each must work ("control"). An attempt that fails in both
 * places proves nothing.
 *
 * Every attempt runs in a process and process group of its own that is killed afterwards,
 * so it may fork, hang or crash. Where it gets through it undoes what it changed, for the
 * attempts after it, and whatever it changes must do no harm to the machine.
 */

#include <stddef.h>
#include <sys/types.h>

/* Beyond every errno: results of run() that are no errno, and what Attempt.error may name. */
enum {
        ATTEMPT_KILLED = 0x10000, /* SIGSYS: the filter killed the process */
        ATTEMPT_NOTHING,          /* the call worked, and reached nothing of anybody else */
        ATTEMPT_ABSENT,           /* the thing to attack does not exist in here */
        ATTEMPT_BROKEN,           /* the attempt could not be made: never right */
};

/* How an attempt is shown to work. */
enum {
        CONTROL_ROOT = 1 << 0,   /* as root, in mount, net, ipc and uts namespaces to throw away */
        CONTROL_USER = 1 << 1,   /* in the same, as an ordinary user of the host */
        CONTROL_VM = 1 << 2,     /* the control only in the guest: other kernels lack the thing */
        CONTROL_NATIVE = 1 << 3, /* the control only natively: the guest's kernel lacks it */
        ATTEMPT_VM = 1 << 4,     /* the attempt, too, only in the guest */
        ATTEMPT_NATIVE = 1 << 5, /* the attempt, too, only natively */
};

typedef struct Attempt {
        const char *name;       /* "mount/tmpfs-on-app": area/what, unique */
        const char *tries;      /* one sentence: what the attacker wants */
        const char *stopped_by; /* layers in the order in which they would stop it; see README */
        int error;           /* errno that a dyno sees, or ATTEMPT_*; 0: any ATTEMPT_* but BROKEN */
        unsigned control;    /* CONTROL_*, ATTEMPT_VM, ATTEMPT_NATIVE */
        int (*run)(void);    /* 0: got what it wanted; -errno: refused so; or ATTEMPT_* */
        int (*set_up)(void); /* before a control, as root in its namespaces; may be NULL; -errno */
} Attempt;

/*
 * The tables, one per file in attempts/, each ended by an entry without a name:
 *
 *      const Attempt attempts_mount[] = { {.name = …}, …, {.name = NULL} };
 */
/* clang-format off */
#define ESCAPE_AREAS(X) \
        X(mount) \
        X(mount_api) \
        X(namespaces) \
        X(kernel) \
        X(process) \
        X(identity) \
        X(host) \
        X(devices) \
        X(setid) \
        X(socket) \
        X(netlink) \
        X(network) \
        X(proc) \
        X(others) \
        X(cgroup) \
        X(descriptor) \
        X(ipc) \
        X(terminal) \
        X(shared) \
        X(disk) \
        X(pages) \
        /* the last */
/* clang-format on */

#define ESCAPE_DECLARE(area) extern const Attempt attempts_##area[];
ESCAPE_AREAS(ESCAPE_DECLARE)
#undef ESCAPE_DECLARE

/*
 * A process of somebody else that an attempt may aim at: in a dyno its PID 1; in a control
 * one that was started for it, of the same user.
 */
extern pid_t escape_victim;

/* What "escape identity" ends with: it has rights that its caller has not, or has none. */
enum {
        ESCAPE_GAINED = 42,
        ESCAPE_GAINED_NOT = 43,
};

/* True if this is a control: outside of any dyno. */
extern int escape_is_control;

/* Result of a system call as run() returns it: 0 or -errno. */
static inline int attempt_result(long r);

/* Calls any system call with up to six arguments; the result or -errno. */
long attempt_call(long number, long a, long b, long c, long d, long e, long f);

/* Writes @text to the existing file @path: 0 or -errno. */
int attempt_write(const char *path, const char *text);

/* Opens and closes @path: 0 or -errno. */
int attempt_open(const char *path, int flags);

/* Waits for @pid: its exit status, or -EINTR if a signal ended it. */
int attempt_wait(pid_t pid);

#include <errno.h>

static inline int attempt_result(long r) {
        return r < 0 ? -errno : 0;
}
