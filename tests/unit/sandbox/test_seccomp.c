/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The installed policies, compiled and then run by a small interpreter of classic BPF:
 * what a filter answers to a call, without loading it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/seccomp.h"

#define PRETENDED (-2)

static SeccompFilter filter;

static uint32_t step_value(const struct sock_filter *i, const struct seccomp_data *data) {
        uint32_t value;

        assert_true(i->k + sizeof(value) <= sizeof(*data));
        memcpy(&value, (const char *)data + i->k, sizeof(value));
        return value;
}

static bool jumps(const struct sock_filter *i, uint32_t a) {
        switch (BPF_OP(i->code)) {
        case BPF_JEQ:
                return a == i->k;
        case BPF_JGT:
                return a > i->k;
        case BPF_JGE:
                return a >= i->k;
        case BPF_JSET:
                return (a & i->k) != 0;
        default:
                fail_msg("unexpected jump %#x", i->code);
                return false;
        }
}

static uint32_t run(const struct seccomp_data *data) {
        uint32_t a = 0;

        for (size_t pc = 0; pc < filter.n_code; pc++) {
                const struct sock_filter *i = &filter.code[pc];

                if (i->code == (BPF_LD | BPF_W | BPF_ABS))
                        a = step_value(i, data);
                else if (i->code == (BPF_ALU | BPF_AND | BPF_K))
                        a &= i->k;
                else if (i->code == (BPF_JMP | BPF_JA))
                        pc += i->k;
                else if (BPF_CLASS(i->code) == BPF_JMP)
                        pc += jumps(i, a) ? i->jt : i->jf;
                else if (i->code == (BPF_RET | BPF_K))
                        return i->k;
                else
                        fail_msg("unexpected instruction %#x", i->code);
        }
        fail_msg("ran off the end");
        return 0;
}

/* What the filter says to a call by name: 0 allowed, an errno, -1 killed, or PRETENDED. */
static int ask(const char *name, uint64_t a0, uint64_t a1, uint64_t a2) {
        struct seccomp_data data = {
                .nr = seccomp_syscall_resolve_name(name),
                .arch = seccomp_arch_native(),
                .args = {a0, a1, a2},
        };
        uint32_t answer = run(&data);

        if (answer == SECCOMP_RET_ALLOW)
                return 0;
        if (answer == SECCOMP_RET_KILL_PROCESS)
                return -1;
        if (answer == SECCOMP_RET_ERRNO) /* with errno 0 */
                return PRETENDED;
        assert_int_equal(answer & SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ERRNO);
        return (int)(answer & SECCOMP_RET_DATA);
}

static int load_dyno(void **state) {
        SeccompError error;

        (void)state;
        return seccomp_filter_read(POLICY_DIR, SECCOMP_DYNO_POLICY, &filter, &error);
}

static int load_dynod(void **state) {
        SeccompError error;

        (void)state;
        return seccomp_filter_read(POLICY_DIR, SECCOMP_DYNOD_POLICY, &filter, &error);
}

static int unload(void **state) {
        (void)state;
        seccomp_filter_clear(&filter);
        return 0;
}

static void test_plain_calls_of_a_dyno(void **state) {
        (void)state;
        assert_int_equal(ask("read", 0, 0, 0), 0);
        assert_int_equal(ask("execve", 0, 0, 0), 0);
        assert_int_equal(ask("futex", 0, 0, 0), 0);
        assert_int_equal(ask("mount", 0, 0, 0), EPERM);
        assert_int_equal(ask("ptrace", 0, 0, 0), EPERM);
        assert_int_equal(ask("bpf", 0, 0, 0), EPERM);
        assert_int_equal(ask("unshare", 0, 0, 0), EPERM);
        assert_int_equal(ask("clone3", 0, 0, 0), ENOSYS);
        assert_int_equal(ask("uselib", 0, 0, 0), ENOSYS);
}

static void test_arguments_of_a_dyno(void **state) {
        (void)state;
        assert_int_equal(ask("clone", 0x11, 0, 0), 0);
        assert_int_equal(ask("clone", 0x3d0f00, 0, 0), 0); /* a thread */
        for (unsigned bit = 0; bit < 32; bit++)
                assert_int_equal(
                        ask("clone", UINT64_C(1) << bit, 0, 0),
                        (UINT32_C(1) << bit & 0x7e020000) != 0 ? EPERM : 0);

        assert_int_equal(ask("ioctl", 0, 0x5401, 0), 0);
        assert_int_equal(ask("ioctl", 0, 0x5412, 0), EPERM);
        assert_int_equal(ask("ioctl", 0, 0x541c, 0), EPERM);
        assert_int_equal(ask("ioctl", 0, UINT64_C(0xff00005412), 0), EPERM); /* CVE-2019-10063 */

        assert_int_equal(ask("ioctl", 0, 0x5423, 0), EPERM); /* TIOCSETD */
        assert_int_equal(ask("ioctl", 0, 0x8940, 0), EPERM); /* SIOCGIFBR */
        assert_int_equal(ask("ioctl", 0, 0x8983, 0), EPERM); /* SIOCSIFVLAN */
        assert_int_equal(ask("ioctl", 0, 0x8912, 0), 0);     /* SIOCGIFCONF */

        assert_int_equal(ask("prctl", 62, 1, 0), EINVAL); /* PR_SCHED_CORE */
        assert_int_equal(ask("prctl", 15, 0, 0), 0);
        assert_int_equal(ask("sync", 0, 0, 0), ENOSYS);
        assert_int_equal(ask("setsockopt", 3, 6, 31), ENOENT); /* TCP_ULP */
        assert_int_equal(ask("setsockopt", 3, 6, 1), 0);       /* TCP_NODELAY */
        assert_int_equal(ask("setsockopt", 3, 1, 31), 0);
        assert_int_equal(ask("setsockopt", 3, 1, 6), PRETENDED); /* SO_BROADCAST */
        assert_int_equal(ask("setsockopt", 3, 6, 6), 0);

        assert_int_equal(ask("prlimit64", 0, 0, 0), 0);
        assert_int_equal(ask("prlimit64", 1, 0, 0), EPERM);

        assert_int_equal(ask("personality", 0xffffffff, 0, 0), 0);
        assert_int_equal(ask("personality", 0x40000, 0, 0), EPERM);
}

/* RLIMIT_CORE is 4. Reading it is a call without new values, at address 0. */
static void test_core_limit_of_a_dyno(void **state) {
        (void)state;
        assert_int_equal(ask("setrlimit", 4, 0x1000, 0), PRETENDED);
        assert_int_equal(ask("setrlimit", 7, 0x1000, 0), 0);
        assert_int_equal(ask("prlimit64", 0, 4, 0), 0);
        assert_int_equal(ask("prlimit64", 0, 4, 0x1000), PRETENDED);
        /* An address whose low half is zero: as good as any other to the kernel. */
        assert_int_equal(ask("prlimit64", 0, 4, UINT64_C(0x700000000)), PRETENDED);
        assert_int_equal(ask("prlimit64", 0, 7, UINT64_C(0x700000000)), 0);
}

static void test_sockets_of_a_dyno(void **state) {
        (void)state;
        for (uint64_t family = 0; family < 64; family++)
                assert_int_equal(
                        ask("socket", family, family == 16 ? 3 : 1, 0),
                        family == 1 || family == 2 || family == 10 || family == 16 ? 0
                                                                                   : EAFNOSUPPORT);
        assert_int_equal(ask("socket", 2, 1, 6), 0);
        assert_int_equal(ask("socket", 10, 2, 17), 0);
        assert_int_equal(ask("socket", 2, 5, 132), EPROTONOSUPPORT); /* SCTP */
        assert_int_equal(ask("socket", 16, 3, 12), EPROTONOSUPPORT); /* netfilter */
        assert_int_equal(ask("socket", 2, 5, 0), EPERM);             /* SCTP, where it is loaded */
        assert_int_equal(ask("socket", 10, 6, 0), EPERM);            /* has DCCP loaded */
        assert_int_equal(ask("socket", 2, 0x80802, 17), 0);          /* NONBLOCK, CLOEXEC */
        assert_int_equal(ask("socket", 1, 5, 0), 0);
        assert_int_equal(ask("socketpair", 1, 1, 0), 0);
        assert_int_equal(ask("socketpair", 2, 1, 0), EAFNOSUPPORT);
}

/* A type with a protocol of another has the kernel run modprobe. */
static void test_types_have_their_own_protocols(void **state) {
        static const struct {
                uint64_t family, type, protocol;
                int error;
        } cases[] = {
                {2, 1, 6, 0},
                {10, 0x80801, 0, 0},
                {2, 1, 17, EPROTONOSUPPORT},
                {2, 0x80801, 1, EPROTONOSUPPORT},
                {10, 1, 58, EPROTONOSUPPORT},
                {2, 2, 1, 0},
                {2, 2, 6, EPROTONOSUPPORT},
                {2, 0x80002, 58, EPROTONOSUPPORT},
                {10, 2, 58, 0},
                {10, 2, 1, EPROTONOSUPPORT},
                {1, 0x80805, 1, 0},
                {1, 2, 17, EPROTONOSUPPORT},
                {1, 4, 0, EPROTONOSUPPORT},
                {16, 0x80003, 0, 0},
                {16, 1, 0, EPROTONOSUPPORT},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                assert_int_equal(
                        ask("socket", cases[i].family, cases[i].type, cases[i].protocol),
                        cases[i].error);
}

/* What all dynos and the host share and no cgroup counts. */
static void test_shared_pools_are_out_of_reach(void **state) {
        static const unsigned filters[] = {26, 50, 51, 52};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
                assert_int_equal(ask("setsockopt", 3, 1, filters[i]), EPERM);
        assert_int_equal(ask("setsockopt", 3, 6, 31), ENOENT); /* TCP_ULP */
        assert_int_equal(ask("setsockopt", 3, 1, 15), 0);      /* SO_REUSEPORT */
        assert_int_equal(ask("setsockopt", 3, 6, 26), 0);      /* another level's 26 */
        assert_int_equal(ask("seccomp", 1, 0, 0), EINVAL);     /* SECCOMP_SET_MODE_FILTER */
        assert_int_equal(ask("seccomp", 2, 0, 0), 0);          /* SECCOMP_GET_ACTION_AVAIL */
        assert_int_equal(ask("prctl", 22, 2, 0), EINVAL);
        assert_int_equal(ask("prctl", 22, 1, 0), 0);
        assert_int_equal(ask("memfd_create", 0, 5, 0), EINVAL);
        assert_int_equal(ask("memfd_create", 0, 3, 0), 0);
        assert_int_equal(ask("io_setup", 1, 0, 0), ENOSYS);
}

/* Pages of sockets go neither into a pipe nor into memory; sendfile(2) has a guard of its own. */
static void test_pages_stay_where_they_are(void **state) {
        (void)state;
        assert_int_equal(ask("splice", 3, 0, 4), EINVAL);
        assert_int_equal(ask("tee", 3, 4, 1), EINVAL);
        assert_int_equal(ask("vmsplice", 3, 0, 1), EINVAL);
        assert_int_equal(ask("sendfile", 3, 4, 0), 0);
        for (unsigned name = 0; name < 128; name++)
                assert_int_equal(ask("getsockopt", 3, 6, name), name == 35 ? ENOPROTOOPT : 0);
        assert_int_equal(ask("copy_file_range", 3, 0, 4), 0);
}

static void test_file_systems_have_no_name(void **state) {
        static const unsigned questions[] = {
                0x81009431,
                0x80e8662d,
                0x80e4662d,
                0x8008662c,
                0x80111500,
                0x80811501,
                0x8100587e,
                0x80705864,
                0x8070587c,
                0x8400941f,
                0xd000941e,
                0x81f8943c,
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(questions); i++)
                assert_int_equal(ask("ioctl", 3, questions[i], 0), ENOTTY);
}

static void test_files_share_no_blocks(void **state) {
        (void)state;
        assert_int_equal(ask("ioctl", 3, 0x40049409, 4), EOPNOTSUPP); /* FICLONE */
        assert_int_equal(ask("ioctl", 3, 0x4020940d, 0), EOPNOTSUPP); /* FICLONERANGE */
        assert_int_equal(ask("ioctl", 3, 0xc0189436, 0), EOPNOTSUPP); /* FIDEDUPERANGE */
}

/* O_NOTIFICATION_PIPE is O_EXCL; with every other flag a pipe is a pipe. */
static void test_no_pipes_for_notes(void **state) {
        (void)state;
        for (unsigned bit = 0; bit < 32; bit++)
                assert_int_equal(ask("pipe2", 0, UINT64_C(1) << bit, 0), bit == 7 ? EINVAL : 0);
}

static bool is_in(unsigned value, const unsigned *list) {
        while (*list != 0 && *list != value)
                list++;
        return *list != 0;
}

/* Times of packets, lingering, groups of receivers, labels of IPv6 flows, queues of errors, what is kept in
 * memory of nobody's, and keys of TCP_AO, which no kernel of the other tests has. */
static void test_options_of_protocols(void **state) {
        static const unsigned forbidden[] = {26, 50, 51, 52, 0};
        static const struct {
                unsigned level;
                unsigned pretended[8], refused[24];
        } levels[] = {
                {0, {11}, {5, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48}},
                {1, {6, 13, 29, 35, 63, 64}, {37, 65}},
                {6, {0}, {14, 32, 38, 39, 40}},
                {17, {0}, {100, 104}},
                {41, {25}, {1, 6, 20, 21, 27, 28, 32, 42, 43, 44, 45, 46, 47, 48, 54, 55, 57, 59}},
                {136, {0}, {100, 104}},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
                for (unsigned name = 0; name < 128; name++) {
                        if (levels[i].level == 1 && is_in(name, forbidden))
                                continue;
                        if (levels[i].level == 6 && name == 31) /* TCP_ULP */
                                continue;
                        assert_int_equal(
                                ask("setsockopt", 3, levels[i].level, name),
                                is_in(name, levels[i].pretended) ? PRETENDED
                                : is_in(name, levels[i].refused) ? ENOPROTOOPT
                                                                 : 0);
                }
}

static void test_advice_about_memory(void **state) {
        static const unsigned refused[] = {9, 12, 20, 21, 25, 0};

        (void)state;
        for (unsigned advice = 0; advice < 32; advice++)
                assert_int_equal(ask("madvise", 0, 0, advice), is_in(advice, refused) ? EINVAL : 0);
}

/* With any other flag, by any size: whoever touches a page of a hole waits until it is one. */
static void test_no_holes(void **state) {
        static const unsigned calls[] = {
                0x40305828, 0x40305829, 0x4030582a, 0x4030582b, 0x40305839};

        (void)state;
        for (unsigned mode = 0; mode < 128; mode++)
                assert_int_equal(ask("fallocate", 3, mode, 0), mode & 2 ? EOPNOTSUPP : 0);
        for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
                assert_int_equal(ask("ioctl", 3, calls[i], 0), ENOTTY);
}

/* 1024 entries at most: of none, and not of the sign or of the other half, is there a gap. */
static void test_waits_are_short(void **state) {
        static const char *const polls[] = {"poll", "ppoll"}, *const sets[] = {
                                                                      "select", "pselect6"};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(polls); i++)
                for (unsigned bit = 0; bit < 32; bit++) {
                        uint64_t n = UINT64_C(1) << bit;

                        assert_int_equal(ask(polls[i], 0, n, 0), n > 1024 ? EINVAL : 0);
                        assert_int_equal(ask(sets[i], n, 0, 0), n > 1024 ? EINVAL : 0);
                        assert_int_equal(ask(polls[i], 0, n + 1, 0), n >= 1024 ? EINVAL : 0);
                        assert_int_equal(ask(sets[i], n + 1, 0, 0), n >= 1024 ? EINVAL : 0);
                        assert_int_equal(
                                ask(polls[i], 0xffffffff, n - 1, 0), n > 1025 ? EINVAL : 0);
                        assert_int_equal(ask(sets[i], n - 1, 0xffffffff, 0), n > 1025 ? EINVAL : 0);
                }
}

/* All weigh the same: SCHED_BATCH and SCHED_IDLE, with or without SCHED_RESET_ON_FORK, are not. */
static void test_priorities_stay(void **state) {
        (void)state;
        for (unsigned which = 0; which < 32; which++) {
                assert_int_equal(ask("setpriority", which, 0, 19), which < 3 ? PRETENDED : 0);
                assert_int_equal(
                        ask("ioprio_set", which, 0, 3 << 13),
                        which >= 1 && which <= 3 ? PRETENDED : 0);
                for (unsigned reset = 0; reset < 2; reset++)
                        assert_int_equal(
                                ask("sched_setscheduler", 0, which | reset << 30, 1),
                                which == 3 || which == 5 ? PRETENDED : 0);
        }
        assert_int_equal(ask("sched_setattr", 0, 1, 0), EPERM);
        assert_int_equal(ask("sched_setparam", 0, 1, 0), 0);
        assert_int_equal(ask("getpriority", 0, 0, 0), 0);
        assert_int_equal(ask("ioprio_get", 1, 0, 0), 0);
}

static void test_signals_of_descriptors(void **state) {
        (void)state;
        for (unsigned command = 0; command < 2048; command++) {
                bool refused = command == 1024 || command == 1026 || command == 1040;
                int wanted = refused                         ? EINVAL
                             : command == 8 || command == 15 ? PRETENDED /* F_SETOWN F_SETOWN_EX */
                                                             : 0;

                assert_int_equal(ask("fcntl", 3, command, 0), wanted);
                assert_int_equal(ask("fcntl", 3, command, 0x2000), command == 4 ? EINVAL : wanted);
        }
        for (unsigned request = 0x8900; request < 0x8906; request++) /* FIOSETOWN SIOCSPGRP */
                assert_int_equal(
                        ask("ioctl", 3, request, 0),
                        request == 0x8901 || request == 0x8902 ? PRETENDED : 0);
        for (unsigned bit = 0; bit < 32; bit++)
                assert_int_equal(ask("fcntl", 3, 4, UINT64_C(1) << bit), bit == 13 ? EINVAL : 0);
        assert_int_equal(ask("ioctl", 3, 0x5452, 0), PRETENDED); /* FIOASYNC */
        assert_int_equal(ask("ioctl", 3, 0x5421, 0), 0);         /* FIONBIO */
}

static void test_few_operations_at_once(void **state) {
        (void)state;
        for (unsigned bit = 0; bit < 32; bit++) {
                int wanted = bit >= 3 ? E2BIG : 0;

                assert_int_equal(ask("semop", 0, 0, UINT64_C(1) << bit), wanted);
                assert_int_equal(ask("semtimedop", 0, 0, UINT64_C(1) << bit), wanted);
        }
        assert_int_equal(ask("semop", 0, 0, 7), 0);
        assert_int_equal(ask("semtimedop", 0, 0, 9), E2BIG);
}

/*
 * What takes the lock of all links and is no more than a question: of sockets, of drivers, of
 * wireless links.
 */
static void test_questions_about_links(void **state) {
        static const unsigned of_drivers[] = {0x8946, 0x894a, 0x8993, 0x8994, 0x89b1, 0};

        (void)state;
        for (unsigned name = 0; name < 128; name++) {
                assert_int_equal(
                        ask("getsockopt", 3, 0, name), name == 41 || name == 48 ? ENOPROTOOPT : 0);
                assert_int_equal(ask("getsockopt", 3, 41, name), name == 48 ? ENOPROTOOPT : 0);
                assert_int_equal(ask("getsockopt", 3, 1, name), 0);
        }
        for (unsigned number = 0x8910; number < 0x8d00; number++) {
                int answer = ask("ioctl", 3, number, 0);

                if ((number >= 0x89f0 && number <= 0x89ff) ||
                    (number >= 0x8b00 && number <= 0x8bff) || is_in(number, of_drivers))
                        assert_int_equal(answer, EOPNOTSUPP);
                else
                        assert_int_not_equal(answer, EOPNOTSUPP);
        }
}

static void test_quotas_are_out_of_reach(void **state) {
        (void)state;
        assert_int_equal(ask("ioctl", 3, 0x401c5820, 0), EPERM); /* FS_IOC_FSSETXATTR */
        assert_int_equal(ask("ioctl", 3, 0x801c581f, 0), 0);     /* FS_IOC_FSGETXATTR */
}

static void test_other_architectures_are_killed(void **state) {
        struct seccomp_data data = {.nr = 0, .arch = AUDIT_ARCH_SPARC64};

        (void)state;
        assert_int_equal(run(&data), SECCOMP_RET_KILL_PROCESS);
        if (seccomp_arch_native() == SCMP_ARCH_X86_64) {
                data = (struct seccomp_data){.nr = 0x40000000, .arch = AUDIT_ARCH_X86_64};
                assert_int_equal(run(&data), SECCOMP_RET_KILL_PROCESS);
                data = (struct seccomp_data){.nr = 20, .arch = AUDIT_ARCH_I386};
                assert_int_equal(run(&data), SECCOMP_RET_KILL_PROCESS);
        }
}

static void test_dynods_own_filter_kills_nobody(void **state) {
        struct seccomp_data data = {.nr = 0, .arch = AUDIT_ARCH_SPARC64};

        (void)state;
        assert_int_equal(run(&data), SECCOMP_RET_ERRNO | ENOSYS);
        assert_int_equal(ask("mount", 0, 0, 0), 0);
        assert_int_equal(ask("clone3", 0, 0, 0), 0);
        assert_int_equal(ask("keyctl", 1, 0, 0), 0); /* a dyno's own session keyring */
        assert_int_equal(ask("keyctl", 0, 0, 0), EPERM);
        assert_int_equal(ask("kexec_load", 0, 0, 0), EPERM);
        assert_int_equal(ask("init_module", 0, 0, 0), EPERM);
        assert_int_equal(ask("ioctl", 0, 0x5412, 0), EPERM);
}

/* Whatever dynod refuses, no dyno may be allowed by its own policy: the same answer twice. */
static void test_dynod_refuses_nothing_that_a_dyno_may_do(void **state) {
        static const char *const calls[] = {
                "read", "mmap", "execve", "clone", "prctl", "seccomp", "personality"};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
                assert_int_equal(ask(calls[i], 0, 0, 0), 0);
        assert_int_equal(ask("socket", 1, 1, 0), 0);
        assert_int_equal(ask("socket", 2, 2, 17), 0);
        assert_int_equal(ask("socket", 16, 3, 0), 0);
}

/* Both ends are in, and the neighbours are not; there is more than one to compare. */
static void test_values_between_two(void **state) {
        static const char text[] = "default allow\n"
                                   "refuse EPERM ioctl if arg1 from 16 32 and arg2 from 7 7\n"
                                   "refuse EINVAL read if arg0h from 1 0xffffffff\n";
        static Policy policy;
        PolicyError policy_error;
        SeccompError error;

        (void)state;
        assert_int_equal(policy_parse(text, &policy, &policy_error), 0);
        assert_int_equal(seccomp_filter_compile(&policy, &filter, &error), 0);
        for (unsigned value = 0; value < 64; value++) {
                assert_int_equal(ask("ioctl", 0, value, 7), value >= 16 && value <= 32 ? EPERM : 0);
                assert_int_equal(ask("ioctl", 0, 16, value), value == 7 ? EPERM : 0);
        }
        assert_int_equal(ask("read", UINT32_MAX, 0, 0), 0);
        assert_int_equal(ask("read", UINT64_MAX, 0, 0), EINVAL);
        seccomp_filter_clear(&filter);
}

static void test_unknown_names_are_refused(void **state) {
        static Policy policy;
        SeccompError error = {.text = ""};
        PolicyError policy_error;

        (void)state;
        assert_int_equal(
                policy_parse("allow read\nallow no_such_call\n", &policy, &policy_error), 0);
        assert_int_equal(seccomp_filter_compile(&policy, &filter, &error), -EINVAL);
        assert_non_null(strstr(error.text, "no_such_call"));
        assert_non_null(strstr(error.text, "line 2"));
        assert_int_not_equal(
                seccomp_filter_read("/nonexistent", SECCOMP_DYNO_POLICY, &filter, &error), 0);
}

int main(void) {
        const struct CMUnitTest dyno[] = {
                cmocka_unit_test(test_plain_calls_of_a_dyno),
                cmocka_unit_test(test_arguments_of_a_dyno),
                cmocka_unit_test(test_core_limit_of_a_dyno),
                cmocka_unit_test(test_sockets_of_a_dyno),
                cmocka_unit_test(test_types_have_their_own_protocols),
                cmocka_unit_test(test_shared_pools_are_out_of_reach),
                cmocka_unit_test(test_pages_stay_where_they_are),
                cmocka_unit_test(test_file_systems_have_no_name),
                cmocka_unit_test(test_files_share_no_blocks),
                cmocka_unit_test(test_no_pipes_for_notes),
                cmocka_unit_test(test_options_of_protocols),
                cmocka_unit_test(test_advice_about_memory),
                cmocka_unit_test(test_no_holes),
                cmocka_unit_test(test_waits_are_short),
                cmocka_unit_test(test_priorities_stay),
                cmocka_unit_test(test_signals_of_descriptors),
                cmocka_unit_test(test_few_operations_at_once),
                cmocka_unit_test(test_questions_about_links),
                cmocka_unit_test(test_quotas_are_out_of_reach),
                cmocka_unit_test(test_other_architectures_are_killed),
        };
        const struct CMUnitTest dynod[] = {
                cmocka_unit_test(test_dynods_own_filter_kills_nobody),
                cmocka_unit_test(test_dynod_refuses_nothing_that_a_dyno_may_do),
        };
        const struct CMUnitTest plain[] = {
                cmocka_unit_test(test_values_between_two),
                cmocka_unit_test(test_unknown_names_are_refused),
        };
        int failed;

        failed = cmocka_run_group_tests_name("sandbox/seccomp dyno", dyno, load_dyno, unload);
        failed += cmocka_run_group_tests_name("sandbox/seccomp dynod", dynod, load_dynod, unload);
        failed += cmocka_run_group_tests_name("sandbox/seccomp", plain, NULL, unload);
        return failed;
}
