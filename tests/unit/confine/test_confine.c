/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/securebits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

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
        /* And not EINVAL, as for a thread with signal handlers of its own. */
        CHECK(syscall(SYS_clone, (long)CLONE_THREAD, 0, 0, 0, 0) < 0 && errno == ENOSYS);
        free(malloc(1 << 20));
}

/* What names a file, a process, an address or a privilege stands in no list that all have. */
static void child_refuses_what_others_have(void) {
        static const long calls[] = {
                SYS_openat,      SYS_openat2,       SYS_execve,      SYS_execveat,
                SYS_unlinkat,    SYS_renameat2,     SYS_fchmodat,    SYS_fchownat,
                SYS_mknodat,     SYS_linkat,        SYS_newfstatat,  SYS_statx,
                SYS_socket,      SYS_socketpair,    SYS_connect,     SYS_bind,
                SYS_listen,      SYS_accept4,       SYS_kill,        SYS_tkill,
                SYS_ptrace,      SYS_pidfd_open,    SYS_pidfd_getfd, SYS_process_vm_readv,
                SYS_setresuid,   SYS_setgroups,     SYS_capset,      SYS_prctl,
                SYS_mount,       SYS_umount2,       SYS_unshare,     SYS_setns,
                SYS_chroot,      SYS_pivot_root,    SYS_bpf,         SYS_perf_event_open,
                SYS_keyctl,      SYS_add_key,       SYS_userfaultfd, SYS_io_uring_setup,
                SYS_init_module, SYS_kexec_load,    SYS_reboot,      SYS_memfd_create,
                SYS_seccomp,     SYS_wait4,         SYS_clone,       SYS_clone3,
                SYS_personality, SYS_setrlimit,     SYS_umask,       SYS_shmget,
                SYS_setpriority, SYS_sched_setattr, SYS_mlock,       SYS_sethostname,
        };

        CHECK(confine_seccomp(NULL, 0, CONFINE_BASE) == 0);
        if (!CONFINE_LOADS_FILTER)
                _exit(SKIPPED);

        for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
                CHECK(syscall(calls[i], -1L, -1L, -1L, -1L, -1L, -1L) < 0 && errno == ENOSYS);
}

/* Where the arguments decide, only those that are harmless are let through. */
static void child_decides_by_arguments(void) {
        static const char *const more[] = {"prctl"};
        struct rlimit limit;
        int fd[2], n = 0;

        if (pipe(fd) < 0)
                _exit(1);
        CHECK(confine_seccomp(more, 1, CONFINE_BASE) == 0);
        if (!CONFINE_LOADS_FILTER)
                _exit(SKIPPED);

        CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
        CHECK(syscall(SYS_tgkill, getpid(), gettid(), 0) == 0);
        CHECK(syscall(SYS_tgkill, getppid(), getppid(), 0) < 0 && errno == ENOSYS);
        CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) < 0 && errno == ENOSYS);
        CHECK(prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit) < 0 && errno == ENOSYS);
        CHECK(prlimit(getpid(), RLIMIT_NOFILE, NULL, &limit) < 0 && errno == ENOSYS);
        CHECK(ioctl(fd[0], FIONREAD, &n) == 0);
        CHECK(ioctl(fd[0], FIONBIO, &n) < 0 && errno == ENOSYS);
        CHECK(ioctl(fd[0], TIOCSTI, "x") < 0 && errno == ENOSYS);
}

/* Without CONFINE_BASE the list is all there is. */
static void child_has_its_list_alone(void) {
        static const char *const more[] = {"exit_group", "getuid", "write"};

        CHECK(confine_seccomp(more, 3, 0) == 0);
        if (!CONFINE_LOADS_FILTER)
                _exit(SKIPPED);

        CHECK(syscall(SYS_getuid) >= 0);
        CHECK(syscall(SYS_getgid) < 0 && errno == ENOSYS);
        CHECK(syscall(SYS_read, 0, NULL, 0) < 0 && errno == ENOSYS);
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

static void child_maps_code(void) {
        void *p;

        CHECK(confine_seccomp(NULL, 0, CONFINE_BASE | CONFINE_EXEC_MAPS) == 0);
        if (!CONFINE_LOADS_FILTER)
                _exit(SKIPPED);

        p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(p != MAP_FAILED);
        CHECK(mprotect(p, 4096, PROT_EXEC) == 0);
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
        CHECK(socketpair(AF_INET, SOCK_STREAM, 0, fd) < 0 && errno == ENOSYS);
        CHECK(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == ENOSYS);
        CHECK(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == ENOSYS);
        CHECK(socket(AF_NETLINK, SOCK_RAW, 0) < 0 && errno == ENOSYS);
}

static void child_forks(void) {
        static const long namespaces[] = {
                CLONE_NEWNS,
                CLONE_NEWCGROUP,
                CLONE_NEWUTS,
                CLONE_NEWIPC,
                CLONE_NEWUSER,
                CLONE_NEWPID,
                CLONE_NEWNET,
        };
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
        for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
                CHECK(syscall(SYS_clone, namespaces[i] | SIGCHLD, 0, 0, 0, 0) < 0);
                CHECK(errno == ENOSYS);
        }
}

static void *thread(void *argument) {
        *(int *)argument = 1;
        return NULL;
}

static void child_has_threads(void) {
        pthread_t id;
        int ran = 0;

        CHECK(confine_seccomp(NULL, 0, CONFINE_BASE | CONFINE_THREADS) == 0);
        if (!CONFINE_LOADS_FILTER)
                _exit(SKIPPED);

        CHECK(pthread_create(&id, NULL, thread, &ran) == 0);
        CHECK(pthread_join(id, NULL) == 0 && ran == 1);
        CHECK(fork() < 0 && errno == ENOSYS);
        CHECK(syscall(SYS_clone, (long)SIGCHLD, 0, 0, 0, 0) < 0 && errno == ENOSYS);
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
        (void)signal(SIGSEGV, SIG_DFL); /* cmocka's would go on in the child */
        CHECK(confine_seccomp(NULL, 0, CONFINE_BASE) == 0);
        if (!CONFINE_LOADS_FILTER)
                _exit(SKIPPED);
        __asm__ volatile("int $0x80" ::"a"(20) : "memory"); /* getpid of i386 */
}
#endif

static void test_unlisted_call_fails_with_enosys(void **state) {
        expect_success(child_filters);
}

static void test_what_others_have_is_refused(void **state) {
        expect_success(child_refuses_what_others_have);
}

static void test_arguments_decide(void **state) {
        expect_success(child_decides_by_arguments);
}

static void test_base_is_not_there_unasked(void **state) {
        expect_success(child_has_its_list_alone);
}

static void test_new_code_is_refused(void **state) {
        expect_success(child_refuses_code);
}

static void test_new_code_is_allowed_where_asked_for(void **state) {
        expect_success(child_maps_code);
}

static void test_threads_are_no_processes(void **state) {
        expect_success(child_has_threads);
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

/* For the next mkdtemp(3). */
static void fresh_names(void) {
        memset(dir_read + strlen(dir_read) - 6, 'X', 6);
        memset(dir_write + strlen(dir_write) - 6, 'X', 6);
}

static void child_landlock(void) {
        const ConfinePath paths[] = {
                {.path = dir_read, .access = CONFINE_FS_READ},
                {.path = dir_write, .access = CONFINE_FS_READ | CONFINE_FS_WRITE},
                {.path = "/dev/null", .access = CONFINE_FS_READ},
        };
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        char name[64], other[64], below[96];
        struct termios mode;
        int fd, r;

        r = confine_landlock(paths, ARRAY_SIZE(paths));
        if (r == CONFINE_E_NO_LANDLOCK)
                _exit(SKIPPED);
        CHECK(r == 0);

        path_in(name, sizeof(name), dir_read, "old");
        CHECK(open(name, O_RDONLY) >= 0);
        CHECK(open(name, O_WRONLY) < 0 && errno == EACCES);
        CHECK(truncate(name, 1) < 0 && errno == EACCES);
        CHECK(execl(name, name, NULL) < 0 && errno == EACCES); /* and not ENOEXEC */
        path_in(other, sizeof(other), dir_read, "new");
        CHECK(open(other, O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);

        path_in(other, sizeof(other), dir_write, "new");
        CHECK(open(other, O_WRONLY | O_CREAT | O_TRUNC, 0600) >= 0);
        CHECK(rename(name, other) < 0);
        path_in(name, sizeof(name), dir_write, "renamed");
        CHECK(rename(other, name) == 0);
        CHECK(symlink("/", other) < 0 && errno == EACCES);
        CHECK(mkfifo(other, 0600) < 0 && errno == EACCES);
        CHECK(mknod(other, S_IFSOCK | 0600, 0) < 0 && errno == EACCES);
        CHECK(mknod(other, S_IFCHR | 0600, 0) < 0 && errno == EACCES);
        CHECK(mknod(other, S_IFBLK | 0600, 0) < 0 && (errno == EACCES || geteuid() != 0));
        CHECK(mkdir(other, 0700) == 0);
        path_in(below, sizeof(below), other, "renamed");
        CHECK(rename(name, below) < 0 && errno == EXDEV);
        CHECK(rmdir(other) == 0);
        CHECK(unlink(name) == 0);

        fd = open("/dev/null", O_RDONLY);
        CHECK(fd >= 0);
        if (abi >= 5)
                CHECK(ioctl(fd, TCGETS, &mode) < 0 && errno == EACCES); /* and not ENOTTY */
        CHECK(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
        CHECK(execl("/bin/true", "true", NULL) < 0 && errno == EACCES);
}

/* By descriptors, which keep what they were opened for, and with the rights that few have. */
static void child_landlock_more(void) {
        const ConfinePath paths[] = {
                {.fd = open(dir_write, O_PATH | O_CLOEXEC),
                 .access =
                         CONFINE_FS_READ | CONFINE_FS_WRITE | CONFINE_FS_LINK | CONFINE_FS_SOCKET},
        };
        char name[64], other[64], below[96];
        int r;

        r = confine_landlock(paths, ARRAY_SIZE(paths));
        if (r == CONFINE_E_NO_LANDLOCK)
                _exit(SKIPPED);
        CHECK(r == 0);

        path_in(name, sizeof(name), dir_write, "name");
        path_in(other, sizeof(other), dir_write, "other");
        path_in(below, sizeof(below), other, "below");
        CHECK(symlink("/", name) == 0 && mkdir(other, 0700) == 0);
        CHECK(rename(name, below) == 0 && unlink(below) == 0);
        CHECK(mkfifo(name, 0600) == 0 && unlink(name) == 0);
        CHECK(mknod(name, S_IFSOCK | 0600, 0) == 0 && unlink(name) == 0);
        CHECK(mknod(name, S_IFCHR | 0600, 0) < 0 && errno == EACCES);
        CHECK(rmdir(other) == 0);
        CHECK(open(dir_read, O_RDONLY | O_DIRECTORY) < 0 && errno == EACCES);
}

/* What no path is: TCP, abstract sockets of others, and processes of others. */
static void child_landlock_scopes(void) {
        struct sockaddr_un abstract = {.sun_family = AF_UNIX};
        struct sockaddr_in inet = {
                .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof(inet), abstract_size = sizeof(sa_family_t);
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
            named = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

        CHECK(bind(server, (struct sockaddr *)&inet, sizeof(inet)) == 0 && listen(server, 1) == 0);
        CHECK(getsockname(server, (struct sockaddr *)&inet, &size) == 0);
        size = sizeof(abstract);
        CHECK(bind(named, (struct sockaddr *)&abstract, abstract_size) == 0 &&
              listen(named, 1) == 0);
        CHECK(getsockname(named, (struct sockaddr *)&abstract, &size) == 0);

        r = confine_landlock(NULL, 0);
        if (r == CONFINE_E_NO_LANDLOCK || abi < 4)
                _exit(SKIPPED);
        CHECK(r == 0);
        CHECK(connect(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                      (struct sockaddr *)&inet,
                      sizeof(inet)) < 0);
        CHECK(errno == EACCES);
        inet.sin_port = 0;
        CHECK(bind(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                   (struct sockaddr *)&inet,
                   sizeof(inet)) < 0);
        CHECK(errno == EACCES);
        if (abi < 6)
                return;
        CHECK(kill(getppid(), 0) < 0 && errno == EPERM);
        CHECK(connect(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
                      (struct sockaddr *)&abstract,
                      size) < 0);
        CHECK(errno == EPERM);
}

static void test_landlock_gives_what_is_asked_for(void **state) {
        assert_non_null(mkdtemp(dir_read));
        assert_non_null(mkdtemp(dir_write));

        int status = run_child(child_landlock_more);

        (void)rmdir(dir_read);
        assert_int_equal(rmdir(dir_write), 0);
        fresh_names();
        if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
                skip();
        assert_int_equal(status, 0);
}

static void test_landlock_holds_beyond_files(void **state) {
        expect_success(child_landlock_scopes);
}

static void test_landlock_opens_only_its_paths(void **state) {
        char name[64];
        int fd;

        assert_non_null(mkdtemp(dir_read));
        assert_non_null(mkdtemp(dir_write));
        path_in(name, sizeof(name), dir_read, "old");
        fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
        assert_int_equal(write(fd, "no program\n", 11), 11);
        assert_true(fd >= 0);
        (void)close(fd);

        int status = run_child(child_landlock);

        (void)unlink(name);
        (void)rmdir(dir_read);
        assert_int_equal(rmdir(dir_write), 0); /* nothing was left in it */
        fresh_names();
        if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
                skip();
        assert_int_equal(status, 0);
}

/* A rule that would grant nothing is a mistake. */
static void test_landlock_refuses_a_rule_without_rights(void **state) {
        const ConfinePath none = {.path = "/dev/null"};
        const ConfinePath none_of_a_file = {.path = "/dev/null", .access = CONFINE_FS_LINK};
        int r = confine_landlock(&none, 1);

        if (r == CONFINE_E_NO_LANDLOCK)
                skip();
        assert_int_equal(r, -EINVAL);
        assert_int_equal(confine_landlock(&none_of_a_file, 1), -EINVAL);
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

#define UIDS(a, b, c, d) "Uid:\t" #a "\t" #b "\t" #c "\t" #d "\n"
#define STATUS(uids, inherit, permit, effect, bound, ambient, privs, seccomp)                      \
        "Name:\tx\n" uids "CapInh:\t" inherit "\nCapPrm:\t" permit "\nCapEff:\t" effect            \
        "\nCapBnd:\t" bound "\nCapAmb:\t" ambient "\nNoNewPrivs:\t" privs "\nSeccomp:\t" seccomp   \
        "\nSeccomp_filters:\t1\n"
#define NONE "0000000000000000"
#define ONE "0000000000000001"

/* What the kernel may say of us, each time with one thing that is not as it must be. */
static void test_check_believes_what_the_kernel_says(void **state) {
        static const char as_root[] = "runs as root", *const nothing = NULL;
        const struct {
                const char *status, *gap;
        } cases[] = {
                {STATUS(UIDS(1, 2, 3, 4), NONE, NONE, NONE, NONE, NONE, "1", "2"), nothing},
                {STATUS(UIDS(0, 2, 3, 4), NONE, NONE, NONE, NONE, NONE, "1", "2"), as_root},
                {STATUS(UIDS(1, 0, 3, 4), NONE, NONE, NONE, NONE, NONE, "1", "2"), as_root},
                {STATUS(UIDS(1, 2, 0, 4), NONE, NONE, NONE, NONE, NONE, "1", "2"), as_root},
                {STATUS(UIDS(1, 2, 3, 0), NONE, NONE, NONE, NONE, NONE, "1", "2"), as_root},
                {STATUS("Uid:\t1\t2\t3\n", NONE, NONE, NONE, NONE, NONE, "1", "2"), as_root},
                {STATUS("", NONE, NONE, NONE, NONE, NONE, "1", "2"), as_root},
                {STATUS(UIDS(1, 2, 3, 4), ONE, NONE, NONE, NONE, NONE, "1", "2"),
                 "holds inheritable capabilities"},
                {STATUS(UIDS(1, 2, 3, 4), NONE, ONE, NONE, NONE, NONE, "1", "2"),
                 "holds permitted capabilities"},
                {STATUS(UIDS(1, 2, 3, 4), NONE, NONE, ONE, NONE, NONE, "1", "2"),
                 "holds effective capabilities"},
                {STATUS(UIDS(1, 2, 3, 4), NONE, NONE, NONE, ONE, NONE, "1", "2"),
                 "has capabilities left in its bounding set"},
                {STATUS(UIDS(1, 2, 3, 4), NONE, NONE, NONE, NONE, ONE, "1", "2"),
                 "holds ambient capabilities"},
                {STATUS(UIDS(1, 2, 3, 4), NONE, NONE, NONE, NONE, NONE "1", "1", "2"),
                 "holds ambient capabilities"},
                {STATUS(UIDS(1, 2, 3, 4), NONE, NONE, NONE, NONE, NONE, "0", "2"),
                 "has no_new_privs off"},
                {STATUS(UIDS(1, 2, 3, 4), NONE, NONE, NONE, NONE, NONE, "10", "2"),
                 "has no_new_privs off"},
                {STATUS(UIDS(1, 2, 3, 4), NONE, NONE, NONE, NONE, NONE, "1\nX:\t1", "1"),
                 CONFINE_LOADS_FILTER ? "has no seccomp filter" : nothing},
                {UIDS(1, 2, 3, 4), "holds inheritable capabilities"},
                {"", "holds inheritable capabilities"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const char *gap = NULL;
                int fd = memfd_create("status", MFD_CLOEXEC), r;

                assert_true(fd >= 0);
                assert_true(
                        write(fd, cases[i].status, strlen(cases[i].status)) ==
                        (ssize_t)strlen(cases[i].status));
                r = confine_check(fd, 0, &gap);
                (void)close(fd);
                assert_int_equal(r, cases[i].gap ? -EPERM : 0);
                if (cases[i].gap)
                        assert_string_equal(gap, cases[i].gap);
        }
}

static void child_confines(void) {
        static const char *const looks[] = {"prctl", "openat"};
        const ConfinePlan plan = {
                .syscalls = looks,
                .n_syscalls = 2,
                .flags = CONFINE_BASE | CONFINE_ALLOW_ROOT | CONFINE_LANDLOCK_OPTIONAL,
        };
        const bool landlocked =
                syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
        const char *step = NULL;
        struct rlimit core = {1, 1};

        CHECK(confine_process(&plan, &step) == 0);
        CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
        CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
        if (CONFINE_LOADS_FILTER)
                CHECK(setuid(0) < 0);
        if (landlocked)
                CHECK(open("/dev/null", O_RDONLY) < 0 && errno == EACCES);
}

/* On a kernel that has none: a filter answers as it would. */
static void child_has_no_landlock(void) {
        ConfinePlan plan = {.flags = CONFINE_BASE | CONFINE_ALLOW_ROOT};
        scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
        const char *step = NULL;

        CHECK(ctx &&
              seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(landlock_create_ruleset), 0) ==
                      0);
        CHECK(seccomp_load(ctx) == 0);
        CHECK(confine_process(&plan, &step) == CONFINE_E_NO_LANDLOCK);
        CHECK(strcmp(step, "cannot restrict itself with Landlock") == 0);
        plan.flags |= CONFINE_LANDLOCK_OPTIONAL;
        CHECK(confine_process(&plan, &step) == 0);
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

/* Another user, but what root could do came along. */
static void child_refuses_capabilities(void) {
        const ConfinePlan plan = {.flags = CONFINE_BASE | CONFINE_LANDLOCK_OPTIONAL};
        const char *step = NULL;

        if (geteuid() != 0)
                _exit(SKIPPED);
        CHECK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0);
        CHECK(setresuid(65534, 65534, 65534) == 0);
        CHECK(confine_process(&plan, &step) == -EPERM);
        CHECK(strcmp(step, "was started with capabilities") == 0);
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
        for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
                CHECK(prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 0);
        CHECK(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == 0xef);
        CHECK(chroot("/") < 0 && errno == EPERM);
        CHECK(setuid(0) == 0);
        CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0) < 0);
}

/* One of either half, and no program that is executed has them. */
static void child_keeps_two(void) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        if (geteuid() != 0)
                _exit(SKIPPED);
        CHECK(syscall(SYS_capget, &header, data) == 0);
        data[0].inheritable = CAP_TO_MASK(CAP_CHOWN);
        CHECK(syscall(SYS_capset, &header, data) == 0);
        CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) == 0);
        CHECK(confine_keep_capabilities(UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_BPF) == 0);
        CHECK(syscall(SYS_capget, &header, data) == 0);
        for (unsigned i = 0; i < 2; i++) {
                uint32_t kept = i == 0 ? CAP_TO_MASK(CAP_CHOWN) : CAP_TO_MASK(CAP_BPF);

                CHECK(data[i].effective == kept && data[i].permitted == kept);
                CHECK(data[i].inheritable == 0);
        }
        CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0) == 0);
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

static void test_without_landlock_only_who_may_goes_on(void **state) {
        expect_success(child_has_no_landlock);
}

static void test_start_with_capabilities_is_refused(void **state) {
        expect_success(child_refuses_capabilities);
}

static void test_what_is_kept_is_kept_in_both_halves(void **state) {
        expect_success(child_keeps_two);
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
                cmocka_unit_test(test_what_others_have_is_refused),
                cmocka_unit_test(test_arguments_decide),
                cmocka_unit_test(test_base_is_not_there_unasked),
                cmocka_unit_test(test_new_code_is_refused),
                cmocka_unit_test(test_new_code_is_allowed_where_asked_for),
                cmocka_unit_test(test_only_unix_sockets_are_allowed),
                cmocka_unit_test(test_fork_without_namespaces_is_allowed),
                cmocka_unit_test(test_threads_are_no_processes),
                cmocka_unit_test(test_unknown_name_is_refused),
                cmocka_unit_test(test_abort_still_aborts),
                cmocka_unit_test(test_other_architectures_are_killed),
                cmocka_unit_test(test_landlock_opens_only_its_paths),
                cmocka_unit_test(test_landlock_gives_what_is_asked_for),
                cmocka_unit_test(test_landlock_holds_beyond_files),
                cmocka_unit_test(test_landlock_refuses_a_rule_without_rights),
                cmocka_unit_test(test_landlock_names_a_missing_path),
                cmocka_unit_test(test_check_believes_what_the_kernel_says),
                cmocka_unit_test(test_check_refuses_an_unconfined_process),
                cmocka_unit_test(test_confined_process_passes_its_check),
                cmocka_unit_test(test_without_landlock_only_who_may_goes_on),
                cmocka_unit_test(test_start_with_capabilities_is_refused),
                cmocka_unit_test(test_start_as_root_or_with_bounding_set_is_refused),
                cmocka_unit_test(test_start_as_the_launcher_does_it_passes),
                cmocka_unit_test(test_dropped_root_cannot_regain),
                cmocka_unit_test(test_what_is_kept_is_all_there_is),
                cmocka_unit_test(test_what_is_kept_is_kept_in_both_halves),
        };

        return cmocka_run_group_tests_name("confine/confine", tests, NULL, NULL);
}
