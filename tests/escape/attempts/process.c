/* SPDX-License-Identifier: Apache-2.0 */

/* Other processes: their memory, descriptors, registers and place. */

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "escape.h"

/* In every process of ours at the same place: the program is not position-independent. */
static char secret[] = "escape";

static int attach(void) {
        if (ptrace(PTRACE_ATTACH, escape_victim, NULL, NULL) < 0)
                return -errno;
        (void)ptrace(PTRACE_DETACH, escape_victim, NULL, NULL);
        return 0;
}

static int seize(void) {
        return attempt_result(ptrace(PTRACE_SEIZE, escape_victim, NULL, NULL));
}

static int trace_own_child(void) {
        pid_t pid = fork();

        if (pid < 0)
                return -errno;
        if (pid == 0)
                _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? errno : 0);
        return -attempt_wait(pid);
}

static int read_memory(void) {
        char buf[sizeof(secret)];
        struct iovec to = {.iov_base = buf, .iov_len = sizeof(buf)};
        struct iovec from = {.iov_base = secret, .iov_len = sizeof(buf)};

        return attempt_result(process_vm_readv(escape_victim, &to, 1, &from, 1, 0));
}

static int write_memory(void) {
        struct iovec both = {.iov_base = secret, .iov_len = sizeof(secret)};

        return attempt_result(process_vm_writev(escape_victim, &both, 1, &both, 1, 0));
}

static int victim_pidfd(void) {
        long fd = syscall(SYS_pidfd_open, escape_victim, 0);

        return fd < 0 ? -errno : (int)fd;
}

static int advise(void) {
        static char page[8192];
        uintptr_t at = ((uintptr_t)page + 4095) & ~(uintptr_t)4095;
        struct iovec where = {.iov_base = (void *)at, .iov_len = 4096}; /* NOLINT */
        int fd = victim_pidfd();

        if (fd < 0)
                return fd;
        page[0] = 1;
        return attempt_result(syscall(SYS_process_madvise, fd, &where, 1, MADV_COLD, 0));
}

static int take_descriptor(void) {
        int fd = victim_pidfd();

        return fd < 0 ? fd : attempt_result(syscall(SYS_pidfd_getfd, fd, 0, 0));
}

static int compare(void) {
        return attempt_result(syscall(SYS_kcmp, getpid(), escape_victim, 0 /* KCMP_FILE */, 0, 0));
}

static int move_pages(void) {
        void *page = secret;
        int status;

        return attempt_result(syscall(SYS_move_pages, escape_victim, 1, &page, NULL, &status, 0));
}

static int migrate(void) {
        unsigned long node = 1;

        return attempt_result(syscall(SYS_migrate_pages, escape_victim, 8, &node, &node));
}

static int change_limit(void) {
        struct rlimit limit = {.rlim_cur = 64, .rlim_max = 64};

        return attempt_result(prlimit(escape_victim, RLIMIT_NOFILE, &limit, NULL));
}

static int bind_memory(void) {
        unsigned long node = 1;

        return attempt_result(syscall(SYS_set_mempolicy, 1 /* MPOL_PREFERRED */, &node, 8));
}

#define ATTEMPT(n, what, layers, wanted, how, call)                                                \
        {                                                                                          \
                .name = "process/" n, .tries = what, .stopped_by = layers, .error = wanted,        \
                .control = how, .run = call                                                        \
        }
#define LAYERS "seccomp dumpable apparmor"

const Attempt attempts_process[] = {
        ATTEMPT("ptrace-attach", "trace dyno-init", LAYERS, EPERM, CONTROL_ROOT, attach),
        ATTEMPT("ptrace-seize",
                "trace dyno-init without stopping it",
                LAYERS,
                EPERM,
                CONTROL_ROOT,
                seize),
        ATTEMPT("ptrace-child",
                "trace a child, and change its calls behind the filter",
                "seccomp apparmor",
                EPERM,
                CONTROL_USER,
                trace_own_child),
        ATTEMPT("vm-read", "read dyno-init's memory", LAYERS, EPERM, CONTROL_ROOT, read_memory),
        ATTEMPT("vm-write", "write dyno-init's memory", LAYERS, EPERM, CONTROL_ROOT, write_memory),
        ATTEMPT("madvise", "push out dyno-init's memory", LAYERS, EPERM, CONTROL_ROOT, advise),
        ATTEMPT("pidfd-getfd",
                "take dyno-init's descriptors",
                LAYERS,
                EPERM,
                CONTROL_ROOT,
                take_descriptor),
        ATTEMPT("kcmp",
                "compare kernel objects, to learn their addresses' order",
                LAYERS,
                EPERM,
                CONTROL_ROOT,
                compare),
        ATTEMPT("move-pages",
                "learn where dyno-init's pages are",
                LAYERS,
                EPERM,
                CONTROL_ROOT,
                move_pages),
        ATTEMPT("migrate-pages", "move dyno-init's pages", LAYERS, EPERM, CONTROL_ROOT, migrate),
        ATTEMPT("prlimit-other",
                "change dyno-init's limits",
                "seccomp",
                EPERM,
                CONTROL_ROOT,
                change_limit),
        ATTEMPT("set-mempolicy",
                "use up one memory node",
                "seccomp",
                EPERM,
                CONTROL_USER,
                bind_memory),
        {.name = NULL},
};
