/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "../child.h"
#include "confine/confine.h"
#include "confine/confine_internal.h"

/* A syscall that the filter knows nothing of fails with ENOSYS; one in the list works. */
static void child_filters(void) {
        static const char *const more[] = {"getpgrp"};
        int fd[2];

        CHECK(confine_seccomp(more, 1, CONFINE_BASE) == 0);
        if (!CONFINE_LOADS_FILTER)
                _exit(SKIPPED);

        CHECK(getppid() >= 0); /* 0: in another pid namespace */
        CHECK(syscall(SYS_getpgrp) >= 0);
        CHECK(open("/dev/null", O_RDONLY) < 0 && errno == ENOSYS);
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0 && errno == ENOSYS);
        CHECK(kill(getpid(), 0) < 0 && errno == ENOSYS);
        CHECK(fork() < 0);
        CHECK(execl("/bin/true", "true", NULL) < 0 && errno == ENOSYS);
        CHECK(syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS);
        free(malloc(1 << 20));
}

static void child_refuses_code(void) {
        void *p;

        CHECK(confine_seccomp(NULL, 0, CONFINE_BASE) == 0);
        if (!CONFINE_LOADS_FILTER)
                _exit(SKIPPED);

        p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(p != MAP_FAILED);
        CHECK(mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0);
        CHECK(mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
}

static void child_unix_pairs(void) {
        const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/nowhere"};
        int fd[2];

        CHECK(confine_seccomp(NULL, 0, CONFINE_BASE | CONFINE_UNIX_PAIRS) == 0);
        if (!CONFINE_LOADS_FILTER)
                _exit(SKIPPED);

        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
        CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) == 0);
        CHECK(send(fd[0], "x", 1, 0) == 1);
        /* They could be sent to any socket of the host. */
        CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd) < 0 && errno == ENOSYS);
        CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd) < 0 && errno == ENOSYS);
        CHECK(sendto(fd[0], "x", 1, 0, (const struct sockaddr *)&address, sizeof(address)) < 0);
        CHECK(errno == ENOSYS);
        CHECK(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == ENOSYS);
        CHECK(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == ENOSYS);
        CHECK(socket(AF_NETLINK, SOCK_RAW, 0) < 0 && errno == ENOSYS);
}

static void child_forks(void) {
        static const char *const more[] = {"wait4"};
        int status;
        pid_t pid;

        CHECK(confine_seccomp(more, 1, CONFINE_BASE | CONFINE_FORK) == 0);
        if (!CONFINE_LOADS_FILTER)
                _exit(SKIPPED);

        pid = fork();
        if (pid == 0)
                _exit(3);
        CHECK(pid > 0);
        CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
        CHECK(syscall(SYS_clone, (long)(CLONE_NEWUSER | SIGCHLD), 0, 0, 0, 0) < 0);
        CHECK(errno == ENOSYS);
}

static void child_aborts(void) {
        CHECK(confine_seccomp(NULL, 0, CONFINE_BASE) == 0);
        if (!CONFINE_LOADS_FILTER)
                _exit(SKIPPED);
        abort();
}

#ifdef __x86_64__
static void child_calls_x32(void) {
        CHECK(confine_seccomp(NULL, 0, CONFINE_BASE) == 0);
        if (!CONFINE_LOADS_FILTER)
                _exit(SKIPPED);
        (void)syscall(0x40000000L | SYS_getpid);
}

static void child_calls_i386(void) {
        CHECK(confine_seccomp(NULL, 0, CONFINE_BASE) == 0);
        if (!CONFINE_LOADS_FILTER)
                _exit(SKIPPED);
        __asm__ volatile("int $0x80" ::"a"(20) : "memory"); /* getpid of i386 */
}
#endif

static void test_unlisted_call_fails_with_enosys(void **state) {
        expect_success(child_filters);
}

static void test_new_code_is_refused(void **state) {
        expect_success(child_refuses_code);
}

static void test_only_unix_sockets_are_allowed(void **state) {
        expect_success(child_unix_pairs);
}

static void test_fork_without_namespaces_is_allowed(void **state) {
        expect_success(child_forks);
}

static void test_unknown_name_is_refused(void **state) {
        static const char *const more[] = {"no_such_call"};

        assert_int_equal(confine_seccomp(more, 1, CONFINE_BASE), -EINVAL);
}

static void test_abort_still_aborts(void **state) {
        int status = run_child(child_aborts);

        if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
                skip();
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_other_architectures_are_killed(void **state) {
#ifdef __x86_64__
        int x32 = run_child(child_calls_x32);
        int i386 = run_child(child_calls_i386);

        if (WIFEXITED(x32) && WEXITSTATUS(x32) == SKIPPED)
                skip();
        assert_true(WIFSIGNALED(x32));
        assert_int_equal(WTERMSIG(x32), SIGSYS);
        /* A kernel without 32-bit calls ends it with SIGSEGV, before the filter. */
        assert_true(WIFSIGNALED(i386));
#else
        skip();
#endif
}

static char dir_read[] = "/tmp/test-confine-r-XXXXXX";
static char dir_write[] = "/tmp/test-confine-w-XXXXXX";

static void path_in(char *buf, size_t size, const char *dir, const char *name) {
        (void)snprintf(buf, size, "%s/%s", dir, name);
}

static void child_landlock(void) {
        const ConfinePath paths[] = {
                {.path = dir_read, .access = CONFINE_FS_READ},
                {.path = dir_write, .access = CONFINE_FS_READ | CONFINE_FS_WRITE},
                {.path = "/dev/null", .access = CONFINE_FS_READ},
        };
        char name[64], other[64];
        int r;

        r = confine_landlock(paths, ARRAY_SIZE(paths));
        if (r == CONFINE_E_NO_LANDLOCK)
                _exit(SKIPPED);
        CHECK(r == 0);

        path_in(name, sizeof(name), dir_read, "old");
        CHECK(open(name, O_RDONLY) >= 0);
        CHECK(open(name, O_WRONLY) < 0 && errno == EACCES);
        path_in(other, sizeof(other), dir_read, "new");
        CHECK(open(other, O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);

        path_in(other, sizeof(other), dir_write, "new");
        CHECK(open(other, O_WRONLY | O_CREAT | O_TRUNC, 0600) >= 0);
        CHECK(rename(name, other) < 0);
        path_in(name, sizeof(name), dir_write, "renamed");
        CHECK(rename(other, name) == 0);
        CHECK(symlink("/", other) < 0 && errno == EACCES);
        CHECK(mkfifo(other, 0600) < 0 && errno == EACCES);
        CHECK(unlink(name) == 0);

        CHECK(open("/dev/null", O_RDONLY) >= 0);
        CHECK(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
        CHECK(execl("/bin/true", "true", NULL) < 0 && errno == EACCES);
}

static void test_landlock_opens_only_its_paths(void **state) {
        char name[64];
        int fd;

        assert_non_null(mkdtemp(dir_read));
        assert_non_null(mkdtemp(dir_write));
        path_in(name, sizeof(name), dir_read, "old");
        fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void)close(fd);

        int status = run_child(child_landlock);

        (void)unlink(name);
        (void)rmdir(dir_read);
        assert_int_equal(rmdir(dir_write), 0); /* nothing was left in it */
        if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
                skip();
        assert_int_equal(status, 0);
}

static void test_landlock_names_a_missing_path(void **state) {
        const ConfinePath path = {.path = "/nonexistent", .access = CONFINE_FS_READ};
        int r = confine_landlock(&path, 1);

        if (r == CONFINE_E_NO_LANDLOCK)
                skip();
        assert_int_equal(r, -ENOENT);
}

static void child_checks_too_early(void) {
        const char *gap = NULL;

        CHECK(confine_check(-EBADF, CONFINE_ALLOW_ROOT, &gap) == -EPERM);
        CHECK(gap);
}

static void child_confines(void) {
        static const char *const looks[] = {"prctl"};
        const ConfinePlan plan = {
                .syscalls = looks,
                .n_syscalls = 1,
                .flags = CONFINE_BASE | CONFINE_ALLOW_ROOT | CONFINE_LANDLOCK_OPTIONAL,
        };
        const char *step = NULL;
        struct rlimit core = {1, 1};

        CHECK(confine_process(&plan, &step) == 0);
        CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
        CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
        if (CONFINE_LOADS_FILTER)
                CHECK(setuid(0) < 0);
}

static void child_refuses_root(void) {
        const ConfinePlan plan = {.flags = CONFINE_BASE | CONFINE_LANDLOCK_OPTIONAL};
        const char *step = NULL;

        if (geteuid() != 0)
                _exit(SKIPPED);
        CHECK(confine_process(&plan, &step) == -EPERM);
        CHECK(strcmp(step, "was started as root") == 0);

        /* Not root any more, but root's bounding set is still there. */
        CHECK(setresuid(65534, 65534, 65534) == 0);
        CHECK(confine_process(&plan, &step) == -EPERM);
        CHECK(strcmp(step, "has capabilities left in its bounding set") == 0);
}

static void child_starts_as_it_should(void) {
        const ConfinePlan plan = {.flags = CONFINE_BASE | CONFINE_LANDLOCK_OPTIONAL};
        const char *step = NULL;

        if (geteuid() != 0)
                _exit(SKIPPED);
        for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
                CHECK(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0);
        CHECK(setresuid(65534, 65534, 65534) == 0);
        CHECK(confine_process(&plan, &step) == 0);
}

static void child_root_gains_nothing(void) {
        if (geteuid() != 0)
                _exit(SKIPPED);
        CHECK(confine_drop_capabilities() == 0);
        CHECK(prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 0);
        CHECK(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == 0xef);
        CHECK(chroot("/") < 0 && errno == EPERM);
        CHECK(setuid(0) == 0);
        CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0) < 0);
}

static void child_keeps_one(void) {
        if (geteuid() != 0)
                _exit(SKIPPED);
        CHECK(confine_keep_capabilities(UINT64_C(1) << CAP_CHOWN) == 0);
        CHECK(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0) == 1);
        CHECK(prctl(PR_CAPBSET_READ, CAP_SYS_CHROOT, 0, 0, 0) == 0);
        CHECK(chroot("/") < 0 && errno == EPERM);
        CHECK(confine_keep_capabilities(UINT64_C(1) << CAP_SYS_CHROOT) == -EPERM);
        /* A program of root's own has not even that one. */
        CHECK(execl("/bin/sh",
                    "sh",
                    "-c",
                    "grep -q '^CapEff:.0*$' /proc/self/status && exit 0; exit 99",
                    NULL) == 0);
}

static void test_check_refuses_an_unconfined_process(void **state) {
        expect_success(child_checks_too_early);
}

static void test_confined_process_passes_its_check(void **state) {
        expect_success(child_confines);
}

static void test_start_as_root_or_with_bounding_set_is_refused(void **state) {
        expect_success(child_refuses_root);
}

static void test_start_as_the_launcher_does_it_passes(void **state) {
        expect_success(child_starts_as_it_should);
}

static void test_dropped_root_cannot_regain(void **state) {
        expect_success(child_root_gains_nothing);
}

static void test_what_is_kept_is_all_there_is(void **state) {
        expect_success(child_keeps_one);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_unlisted_call_fails_with_enosys),
                cmocka_unit_test(test_new_code_is_refused),
                cmocka_unit_test(test_only_unix_sockets_are_allowed),
                cmocka_unit_test(test_fork_without_namespaces_is_allowed),
                cmocka_unit_test(test_unknown_name_is_refused),
                cmocka_unit_test(test_abort_still_aborts),
                cmocka_unit_test(test_other_architectures_are_killed),
                cmocka_unit_test(test_landlock_opens_only_its_paths),
                cmocka_unit_test(test_landlock_names_a_missing_path),
                cmocka_unit_test(test_check_refuses_an_unconfined_process),
                cmocka_unit_test(test_confined_process_passes_its_check),
                cmocka_unit_test(test_start_as_root_or_with_bounding_set_is_refused),
                cmocka_unit_test(test_start_as_the_launcher_does_it_passes),
                cmocka_unit_test(test_dropped_root_cannot_regain),
                cmocka_unit_test(test_what_is_kept_is_all_there_is),
        };

        return cmocka_run_group_tests_name("confine/confine", tests, NULL, NULL);
}
