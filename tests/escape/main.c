/* SPDX-License-Identifier: Apache-2.0 */

/*
 *      escape list                     every attempt, as JSON lines
 *      escape run NAME...|all          makes attempts here: in a dyno
 *      escape control NAME...|all      makes attempts as their controls say: outside, as root
 *      escape hold NAME... -- PROGRAM...   makes what these attempts look for, and executes PROGRAM
 *      escape calls [user]             every system call by number; as an ordinary user
 *      escape watch|lock FILE...       see watch.h
 *      escape identity CAPABILITIES    ends with ESCAPE_GAINED if its file gave it further ones
 *
 * run and control print a JSON line for each attempt: its name, "outcome" ("through",
 * "refused", "killed", "nothing", "absent", "broken", "timeout", "signal") and "error", the
 * errno's name or "". They end with 0 whatever the outcomes are: the caller judges.
 */

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "escape.h"
#include "watch.h"

#define ATTEMPT_SECONDS 30   /* far more than any needs, under emulation too */
#define CONTROL_UID 65533    /* an ordinary user without a name; not "nobody", who has processes */
#define NOT_FINISHED INT_MIN /* result of an attempt that has not returned */

#define TABLE(area) attempts_##area,
static const Attempt *const tables[] = {ESCAPE_AREAS(TABLE)};
#undef TABLE

pid_t escape_victim = 1;
int escape_is_control;

/* ---- what attempts use ---- */

long attempt_call(long number, long a, long b, long c, long d, long e, long f) {
        long r = syscall(number, a, b, c, d, e, f);

        return r < 0 ? -errno : r;
}

int attempt_open(const char *path, int flags) {
        int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0)
                return -errno;
        (void)close(fd);
        return 0;
}

int attempt_write(const char *path, const char *text) {
        size_t size = strlen(text);
        int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        int r = 0;

        if (fd < 0)
                return -errno;
        if (write(fd, text, size) != (ssize_t)size)
                r = -errno;
        (void)close(fd);
        return r;
}

int attempt_wait(pid_t pid) {
        int status;

        while (waitpid(pid, &status, __WALL) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

/* ---- one attempt ---- */

static int enter_throw_away(void) {
        if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777") < 0 || chdir("/tmp") < 0)
                return -errno;
        return 0;
}

static int become_user(void) {
        if (setgroups(0, NULL) < 0 || setresgid(CONTROL_UID, CONTROL_UID, CONTROL_UID) < 0 ||
            setresuid(CONTROL_UID, CONTROL_UID, CONTROL_UID) < 0 ||
            prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
                return -errno;
        return 0;
}

/* A process for the attempt to aim at; it ends with the attempt's group. */
static int start_victim(void) {
        escape_victim = fork();
        if (escape_victim < 0)
                return -errno;
        if (escape_victim == 0)
                for (;;)
                        (void)pause();
        return 0;
}

static int run_control(const Attempt *a) {
        int r = enter_throw_away();

        if (r == 0 && a->set_up)
                r = a->set_up();
        if (r == 0 && (a->control & CONTROL_USER) != 0)
                r = become_user();
        if (r == 0)
                r = start_victim();
        if (r < 0) {
                (void)fprintf(stderr, "%s: cannot set up: %s\n", a->name, strerror(-r));
                return ATTEMPT_BROKEN;
        }
        return a->run();
}

static _Noreturn void run_child(const Attempt *a, int *result) {
        int null_fd = open("/dev/null", O_RDWR);

        (void)setpgid(0, 0);
        /* The lines of the runner stay its own. */
        if (null_fd >= 0)
                (void)dup2(null_fd, STDOUT_FILENO);
        (void)alarm(ATTEMPT_SECONDS);
        *result = escape_is_control ? run_control(a) : a->run();
        _exit(0);
}

static void print_outcome(const Attempt *a, int result, int status) {
        static const struct {
                int result;
                const char *outcome;
        } names[] = {
                {0, "through"},
                {ATTEMPT_KILLED, "killed"},
                {ATTEMPT_NOTHING, "nothing"},
                {ATTEMPT_ABSENT, "absent"},
                {ATTEMPT_BROKEN, "broken"},
        };
        const char *outcome = "broken", *error = "";

        if (WIFSIGNALED(status))
                outcome = WTERMSIG(status) == SIGSYS    ? "killed"
                          : WTERMSIG(status) == SIGALRM ? "timeout"
                                                        : "signal";
        else if (result < 0 && result != NOT_FINISHED)
                outcome = "refused", error = strerrorname_np(-result);
        else
                for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                        if (names[i].result == result)
                                outcome = names[i].outcome;

        (void)printf(
                "{\"name\": \"%s\", \"outcome\": \"%s\", \"error\": \"%s\"}\n",
                a->name,
                outcome,
                error ? error : "?");
        (void)fflush(stdout);
}

static int make_attempt(const Attempt *a, int *result) {
        int status;
        pid_t pid;

        *result = NOT_FINISHED;
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                run_child(a, result);
        (void)setpgid(pid, pid); /* whoever comes first */
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        (void)kill(-pid, SIGKILL);
        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
        print_outcome(a, *result, status);
        return 0;
}

/* ---- the list ---- */

static const char *error_name(int error) {
        switch (error) {
        case 0:
                return "";
        case ATTEMPT_KILLED:
                return "killed";
        case ATTEMPT_NOTHING:
                return "nothing";
        case ATTEMPT_ABSENT:
                return "absent";
        default:
                return strerrorname_np(error);
        }
}

static int print_attempt(const Attempt *a, int *unused) {
        static const char *const flags[] = {
                "root", "user", "control-vm", "control-native", "vm", "native"};
        const char *comma = "";

        (void)unused;
        (void)printf(
                "{\"name\": \"%s\", \"tries\": \"%s\", \"stopped_by\": \"%s\", \"error\": \"%s\", "
                "\"control\": [",
                a->name,
                a->tries,
                a->stopped_by,
                error_name(a->error));
        for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
                if ((a->control & (1U << i)) != 0) {
                        (void)printf("%s\"%s\"", comma, flags[i]);
                        comma = ", ";
                }
        (void)printf("]}\n");
        return 0;
}

static bool is_wanted(const Attempt *a, char *const *names) {
        if (strcmp(names[0], "all") == 0)
                return true;
        for (; *names; names++)
                if (strcmp(a->name, *names) == 0)
                        return true;
        return false;
}

static int for_each(int (*call)(const Attempt *, int *), char *const *names, unsigned control) {
        int *shared = mmap(
                NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        size_t n = 0;

        if (shared == MAP_FAILED)
                return 1;
        for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
                for (const Attempt *a = tables[i]; a->name; a++) {
                        if (!is_wanted(a, names) || (control && (a->control & control) == 0))
                                continue;
                        if (call(a, shared) < 0) {
                                perror(a->name);
                                return 1;
                        }
                        n++;
                }
        return n > 0 ? 0 : 1;
}

/* Effective ids that are not the caller's, or a capability that @callers, hexadecimal, has not. */
static int identity(const char *callers) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        if (syscall(SYS_capget, &header, data) < 0)
                return 1;
        return geteuid() != getuid() || getegid() != getgid() ||
                               (data[0].permitted & ~strtoul(callers, NULL, 16)) != 0
                       ? ESCAPE_GAINED
                       : ESCAPE_GAINED_NOT;
}

static int set_up_one(const Attempt *a, int *unused) {
        (void)unused;
        return a->set_up ? a->set_up() : 0;
}

/* What is held are names in our namespaces, and descriptors that stay open. */
static int hold(char **names) {
        char **program = names;

        while (*program && strcmp(*program, "--") != 0)
                program++;
        if (!*program)
                return 2;
        *program++ = NULL;
        if (for_each(set_up_one, names, 0) != 0)
                return 1;
        (void)execv(program[0], program);
        perror(program[0]);
        return 1;
}

int main(int argc, char **argv) {
        char all[] = "all";
        char *const everything[] = {all, NULL};

        if (argc == 2 && strcmp(argv[1], "list") == 0)
                return for_each(print_attempt, everything, 0);
        if (argc == 2 && strcmp(argv[1], "calls") == 0)
                return calls_print();
        if (argc == 3 && strcmp(argv[1], "calls") == 0)
                return enter_throw_away() < 0 || become_user() < 0 ? 1 : calls_print();
        if (argc == 3 && strcmp(argv[1], "identity") == 0)
                return identity(argv[2]);
        if (argc >= 5 && strcmp(argv[1], "hold") == 0)
                return hold(argv + 2);
        if (argc >= 3 && strcmp(argv[1], "watch") == 0)
                return watch_files(argv + 2);
        if (argc >= 3 && strcmp(argv[1], "lock") == 0)
                return lock_files(argv + 2);
        if (argc >= 3 && strcmp(argv[1], "run") == 0)
                return for_each(make_attempt, argv + 2, 0);
        if (argc >= 3 && strcmp(argv[1], "control") == 0) {
                escape_is_control = 1;
                return for_each(make_attempt, argv + 2, CONTROL_ROOT | CONTROL_USER);
        }
        (void)fputs("usage: escape list | run NAME...|all | control NAME...|all\n", stderr);
        return 2;
}
