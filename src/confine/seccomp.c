/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Seccomp allow-lists of dynod's own processes.
 *
 * A list is names, plus a few calls whose arguments decide: those are asked for by
 * flags. A refused call fails with ENOSYS, which is what libc expects of a kernel that
 * lacks it, and falls back. A process is killed only for another architecture's calls.
 */

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "confine/confine.h"
#include "confine/confine_internal.h"

#define SOCK_TYPE_MASK 0xf /* linux/net.h, not for programs: without SOCK_CLOEXEC and the like */

/*
 * No call here names a file, a process or an address: what a process may open, listen
 * on or signal stands in its own list.
 */
static const char *const base_syscalls[] = {
        /* memory; mmap and mprotect: see allow_maps() */
        "brk",
        "madvise",
        "mremap",
        "munmap",

        /* open descriptors */
        "close",
        "dup",
        "dup3",
        "fcntl",
        "fstat",
        "lseek",
        "pread64",
        "pwrite64",
        "read",
        "readv",
        "write",
        "writev",
        "recvfrom",
        "recvmsg",
        "sendmsg",
        "shutdown",
        "getsockopt",
        "setsockopt",
        "getsockname",
        "getpeername",

        /* the event loop */
        "epoll_create1",
        "epoll_ctl",
        "epoll_pwait",
        "epoll_pwait2",
        "epoll_wait",
        "eventfd2",
        "poll",
        "ppoll",
        "signalfd4",
        "timerfd_create",
        "timerfd_settime",

        /* time */
        "clock_getres",
        "clock_gettime",
        "clock_nanosleep",
        "gettimeofday",
        "nanosleep",
        "time",

        /* signals to ourselves; tgkill: see allow_self() */
        "restart_syscall",
        "rt_sigaction",
        "rt_sigpending",
        "rt_sigprocmask",
        "rt_sigreturn",
        "sigaltstack",

        /* who we are, how we end, what libc asks */
        "exit",
        "exit_group",
        "futex",
        "getegid",
        "geteuid",
        "getgid",
        "getpid",
        "getppid",
        "getrandom",
        "gettid",
        "getuid",
        "rseq",
        "sched_getaffinity",
        "sched_yield",
        "set_robust_list",
        "sysinfo",
        "uname",
};

static int allow(scmp_filter_ctx ctx, const char *name) {
        int nr = seccomp_syscall_resolve_name(name);

        if (nr == __NR_SCMP_ERROR)
                return -EINVAL;
        /* A negative number: another architecture's call, e.g. "time" on arm64. */
        return nr < 0 ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
}

/* Memory may be written or executed, as the program was loaded; new code is refused. */
static int allow_maps(scmp_filter_ctx ctx, uint32_t flags) {
        const struct scmp_arg_cmp not_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
        unsigned n_args = flags & CONFINE_EXEC_MAPS ? 0 : 1;
        int r;

        r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), n_args, &not_exec);
        if (r < 0)
                return r;
        return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), n_args, &not_exec);
}

/* abort(3), getrlimit(2), isatty(3), FIONREAD and send(2): harmless with these arguments only. */
static int allow_self(scmp_filter_ctx ctx) {
        const struct scmp_arg_cmp own_pid = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0);
        const struct scmp_arg_cmp read_own_limit[] = {
                SCMP_A0(SCMP_CMP_EQ, 0, 0),
                SCMP_A2(SCMP_CMP_EQ, 0, 0),
        };
        const struct scmp_arg_cmp ioctls[] = {
                SCMP_A1(SCMP_CMP_EQ, FIONREAD, 0),
                SCMP_A1(SCMP_CMP_EQ, TCGETS, 0),
        };
        const struct scmp_arg_cmp to_peer = SCMP_A4(SCMP_CMP_EQ, 0, 0);
        int r;

        r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &own_pid);
        if (r == 0)
                r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 1, &to_peer);
        if (r < 0)
                return r;
        r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, read_own_limit);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ARRAY_SIZE(ioctls); i++) {
                r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, &ioctls[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* clone3 takes its flags by pointer, which no filter can look at: it stays ENOSYS. */
static int allow_clone(scmp_filter_ctx ctx, uint32_t flags) {
        const uint64_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
        const struct scmp_arg_cmp thread =
                SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces | CLONE_THREAD, CLONE_THREAD);
        const struct scmp_arg_cmp process = SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces, 0);

        if (flags & CONFINE_FORK)
                return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, &process);
        if (flags & CONFINE_THREADS)
                return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, &thread);
        return 0;
}

/* Of the kinds that send to their peer alone: a datagram may name any socket of the host. */
static int allow_unix_pairs(scmp_filter_ctx ctx) {
        static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(types) && r == 0; i++)
                r = seccomp_rule_add(
                        ctx,
                        SCMP_ACT_ALLOW,
                        SCMP_SYS(socketpair),
                        2,
                        SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0),
                        SCMP_A1(SCMP_CMP_MASKED_EQ, SOCK_TYPE_MASK, (scmp_datum_t)types[i]));
        return r;
}

static int set_attributes(scmp_filter_ctx ctx, uint32_t flags) {
        const struct {
                enum scmp_filter_attr attr;
                uint32_t value;
        } attributes[] = {
                {SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS}, /* x32 too */
                {SCMP_FLTATR_CTL_NNP, 1},
                /* Our own processes run no foreign code: no speculation brake for them. */
                {SCMP_FLTATR_CTL_SSB, 1},
                {SCMP_FLTATR_CTL_LOG, flags & CONFINE_LOG_REFUSED ? 1 : 0},
                {SCMP_FLTATR_CTL_OPTIMIZE, 2}, /* a binary tree: 100 calls are 7 compares */
        };

        for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
                int r = seccomp_attr_set(ctx, attributes[i].attr, attributes[i].value);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int fill(scmp_filter_ctx ctx, const char *const *syscalls, size_t n, uint32_t flags) {
        int r;

        r = set_attributes(ctx, flags);
        if (r < 0)
                return r;

        if (flags & CONFINE_BASE) {
                for (size_t i = 0; i < ARRAY_SIZE(base_syscalls); i++) {
                        r = allow(ctx, base_syscalls[i]);
                        if (r < 0)
                                return r;
                }
                r = allow_maps(ctx, flags);
                if (r < 0)
                        return r;
                r = allow_self(ctx);
                if (r < 0)
                        return r;
        }

        for (size_t i = 0; i < n; i++) {
                r = allow(ctx, syscalls[i]);
                if (r < 0)
                        return r;
        }

        if (flags & CONFINE_UNIX_PAIRS) {
                r = allow_unix_pairs(ctx);
                if (r < 0)
                        return r;
        }

        return allow_clone(ctx, flags);
}

static void seccomp_releasep(scmp_filter_ctx *ctx) {
        if (*ctx)
                seccomp_release(*ctx);
}

int confine_seccomp(const char *const *syscalls, size_t n, uint32_t flags) {
        _cleanup_(seccomp_releasep) scmp_filter_ctx ctx = NULL;
        int r;

        assert(syscalls || n == 0);

        ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
        if (!ctx)
                return -ENOMEM;

        r = fill(ctx, syscalls, n, flags);
        if (r < 0)
                return r;

        return CONFINE_LOADS_FILTER ? seccomp_load(ctx) : 0;
}
