/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bombs.h"

/* Every process makes as many more as it can; the dead are reaped so that it never ends. */
static void fork_bomb(void) {
        (void)signal(SIGCHLD, SIG_IGN);
        for (;;)
                if (fork() < 0)
                        going();
}

/* Short-lived processes as fast as they can be made: page tables, pids, RCU, cgroup locks. */
static void fork_exit(void) {
        going();
        for (;;) {
                pid_t pid = fork();

                if (pid == 0)
                        _exit(0);
                if (pid > 0)
                        (void)waitpid(pid, NULL, 0);
        }
}

static void fork_churn(void) {
        keep_spreading(8, fork_exit);
}

static void exec_self(void) {
        static char big[96 * 1024];
        static char self[] = "/proc/self/exe", list[] = "list";
        char *const argv[] = {self, list, big, NULL};
        char *const envp[] = {NULL};

        memset(big, 'x', sizeof(big) - 1);
        for (;;) {
                pid_t pid = fork();

                if (pid == 0) {
                        (void)close(STDOUT_FILENO);
                        (void)execve(self, argv, envp);
                        _exit(0);
                }
                if (pid > 0)
                        (void)waitpid(pid, NULL, 0);
        }
}

static void exec_storm(void) {
        keep_spreading(8, exec_self);
}

static void *nothing(void *arg) {
        for (;;)
                (void)pause();
        return arg;
}

static void thread_bomb(void) {
        pthread_attr_t attr;

        (void)pthread_attr_init(&attr);
        (void)pthread_attr_setstacksize(&attr, 16384);
        for (;;) {
                pthread_t thread;

                if (pthread_create(&thread, &attr, nothing, NULL) != 0)
                        going();
        }
}

static void burn(void) {
        (void)setpriority(PRIO_PROCESS, 0, -20);
        for (;;)
                ;
}

static void cpu(void) {
        keep_spreading(64, burn);
}

static void yield_cpu(void) {
        for (;;)
                (void)sched_yield();
}

static void switches(void) {
        keep_spreading(64, yield_cpu);
}

static void sleep_shortly(void) {
        for (;;)
                (void)usleep(1000);
}

/* Each is new to the processor a thousand times a second, and the kernel is fair to who slept. */
static void sleepers(void) {
        (void)prctl(PR_SET_TIMERSLACK, 1UL); /* nanosecond: no two wake up together */
        keep_spreading(200, sleep_shortly);
}

/* Zombies that nobody reaps. */
static void zombies(void) {
        for (;;) {
                pid_t pid = fork();

                if (pid == 0)
                        _exit(0);
                if (pid < 0)
                        going();
        }
}

#define CHILDREN 200

/*
 * In a group of their own, of which their parent is not. Whom the kernel asks for first as it looks for somebody's
 * parent outside of it, who came last into it, has his taken away last.
 */
static void die_before_children(void) {
        pid_t pids[CHILDREN];
        int ready[2];
        char byte;

        if (pipe(ready) < 0)
                _exit(1);
        for (unsigned n = 0; n < CHILDREN; n++) {
                pids[n] = fork();
                if (pids[n] == 0) {
                        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                        (void)!write(ready[1], "", 1);
                        nothing(NULL);
                }
                if (pids[n] < 0 || read(ready[0], &byte, 1) != 1)
                        _exit(1);
        }
        for (unsigned n = CHILDREN; n-- > 0;)
                (void)setpgid(pids[n], pids[CHILDREN - 1]);
        _exit(0);
}

/* The kernel goes through all children for each child, to see whether they are orphans now. */
static void parents(void) {
        int status;

        for (;;) {
                pid_t pid = fork();

                if (pid == 0)
                        die_before_children();
                if (pid > 0 && waitpid(pid, &status, 0) > 0 && status == 0)
                        going();
        }
}

/* Each crash makes the kernel write a line, if it lets every tenant write its log. */
static void crash(void) {
        for (;;) {
                pid_t pid = fork();

                if (pid == 0) {
                        *(volatile int *)8 = 1;
                        _exit(0);
                }
                if (pid > 0)
                        (void)waitpid(pid, NULL, 0);
        }
}

static void crashes(void) {
        keep_spreading(4, crash);
}

/* Calls of another ABI kill, and the kernel may log each kill. */
static void forbidden(void) {
        for (;;) {
                pid_t pid = fork();

                if (pid == 0) {
                        (void)syscall(0x40000000L);
                        _exit(0);
                }
                if (pid > 0)
                        (void)waitpid(pid, NULL, 0);
        }
}

static void forbidden_calls(void) {
        keep_spreading(4, forbidden);
}

const Bomb bombs_process[] = {
        {"fork", "process numbers", fork_bomb},
        {"fork-churn", "locks of process creation", fork_churn},
        {"exec", "exec with long arguments", exec_storm},
        {"threads", "threads", thread_bomb},
        {"cpu", "the processors", cpu},
        {"switches", "the scheduler", switches},
        {"sleepers", "the scheduler, and timers' interrupts", sleepers},
        {"zombies", "process numbers of the dead", zombies},
        {"parents", "the lock of all processes, as a parent ends", parents},
        {"crashes", "the kernel's log", crashes},
        {"forbidden-calls", "the audit log", forbidden_calls},
        {NULL, NULL, NULL},
};
