/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "bombs.h"

static void open_all(void) {
        for (;;) {
                if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
                        (void)usleep(1000);
        }
}

/* As many descriptors in as many processes as there can be. */
static void descriptors(void) {
        spread(64, open_all);
        for (;;)
                if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
                        going();
}

static void fill_pipes(void) {
        static char block[65536];

        for (unsigned n = 0;; n++) {
                int fds[2];

                if (n == 50)
                        going(); /* it is memory that ends this */
                if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
                        (void)usleep(1000);
                        continue;
                }
                (void)fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
                while (write(fds[1], block, sizeof(block)) > 0)
                        ;
        }
}

static void fill_sockets(void) {
        static char block[65536];

        for (unsigned n = 0;; n++) {
                const int size = 1 << 30;
                int fds[2];

                if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) {
                        (void)usleep(1000);
                        continue;
                }
                if (n == 100)
                        going(); /* it is memory that ends this */
                (void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
                while (send(fds[0], block, sizeof(block), 0) > 0)
                        ;
        }
}

static int send_fds(int socket_fd, int fd) {
        char data = 'x';
        struct iovec iov = {.iov_base = &data, .iov_len = 1};
        union {
                char bytes[CMSG_SPACE(sizeof(int) * 200)];
                struct cmsghdr align;
        } control = {0};
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes),
        };
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * 200);
        for (int i = 0; i < 200; i++)
                memcpy(CMSG_DATA(c) + sizeof(int) * (size_t)i, &fd, sizeof(fd));
        return sendmsg(socket_fd, &msg, MSG_DONTWAIT) < 0 ? -errno : 0;
}

/*
 * Sockets in flight inside each other: the kernel has to look for circles, and anew whenever one
 * more was sent.
 */
static void in_flight(void) {
        int fds[64][2];

        for (unsigned n = 0; n < 64; n++) {
                if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds[n]) < 0)
                        return;
                while (send_fds(fds[n][0], fds[n][1]) == 0)
                        ;
        }
        going();
        for (unsigned n = 0;; n = (n + 1) % 64) {
                char byte;

                /* Without room for them, the descriptors of the message are closed. */
                (void)recv(fds[n][1], &byte, 1, MSG_DONTWAIT);
                (void)send_fds(fds[n][0], fds[n][1]);
        }
}

/* 20,000 watches on few files, which are soon removed. */
static void watches(void) {
        int fds[16];
        char path[64];

        for (unsigned i = 0; i < 16; i++)
                fds[i] = inotify_init1(IN_CLOEXEC);
        for (unsigned n = 0;; n++) {
                int other = inotify_init1(IN_CLOEXEC);

                if (other < 0)
                        going();
                (void)snprintf(path, sizeof(path), "/tmp/w.%u", n % 1250);
                (void)close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
                (void)inotify_add_watch(fds[n / 1250 % 16], path, IN_ALL_EVENTS);
        }
}

static void epolls(void) {
        int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

        for (;;) {
                struct epoll_event ev = {.events = EPOLLIN};
                int fd = eventfd(0, EFD_CLOEXEC);

                if (fd < 0) {
                        going();
                        (void)usleep(1000);
                        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
                        continue;
                }
                (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
        }
}

static void mqueues(void) {
        static char message[8192];
        char name[32];

        for (unsigned n = 0;; n++) {
                mqd_t q;

                (void)snprintf(name, sizeof(name), "/bomb.%u", n % 4096);
                q = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, NULL);
                if (q < 0) {
                        going();
                        continue;
                }
                while (mq_send(q, message, sizeof(message), 0) == 0)
                        ;
                (void)mq_close(q);
        }
}

static void signals(void) {
        sigset_t all;

        (void)sigfillset(&all);
        (void)sigprocmask(SIG_BLOCK, &all, NULL);
        for (;;)
                if (sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 1}) < 0)
                        going();
}

/* Every process of the bomb's does the work on another processor than the one before. */
static void next_processor(unsigned n) {
        cpu_set_t one;

        CPU_ZERO(&one);
        CPU_SET(n % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &one);
        (void)sched_setaffinity(0, sizeof(one), &one);
}

/* Of an ignored signal: up to Linux 6.12 each goes off in every tick, for nobody. */
static void timers(void) {
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
        struct itimerspec fast = {.it_interval = {.tv_nsec = 1000}, .it_value = {.tv_nsec = 1000}};
        timer_t timer;

        (void)signal(SIGUSR1, SIG_IGN);
        for (unsigned n = 0;; n++) {
                next_processor(n);
                if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) {
                        (void)timer_settime(timer, 0, &fast, NULL);
                } else {
                        going();
                        (void)usleep(10000);
                }
        }
}

#define INSTANT_SEC 2 /* all timers of all processes go off at the same instant, every so often */

static void arm_for_an_instant(void) {
        struct itimerspec at = {0};
        int fds[10000];
        unsigned n = 0;

        while (n < sizeof(fds) / sizeof(fds[0]) &&
               (fds[n] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)) >= 0)
                n++;
        for (;;) {
                (void)clock_gettime(CLOCK_MONOTONIC, &at.it_value);
                at.it_value.tv_sec += 2 * INSTANT_SEC - at.it_value.tv_sec % INSTANT_SEC;
                at.it_value.tv_nsec = 0;
                for (unsigned i = 0; i < n; i++)
                        (void)timerfd_settime(fds[i], TFD_TIMER_ABSTIME, &at, NULL);
                (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at.it_value, NULL);
        }
}

/* No limit counts timers that are descriptors; as many as there is memory for. */
static void instants(void) {
        keep_spreading(64, arm_for_an_instant);
}

static int watched; /* an eventfd, under many numbers */
static int gate[2]; /* a pipe, whose end says that all watch it */

static void wake_all(void) {
        const uint64_t one = 1;
        char byte;

        (void)close(gate[1]);
        (void)!read(gate[0], &byte, 1);
        for (;;)
                (void)!write(watched, &one, sizeof(one));
}

static int woken[1024];
static unsigned n_woken;

/* Goes on until it is refused, or killed. What it added stays: others have the epolls as well. */
static void watch_all(const int numbers[], unsigned n_numbers) {
        for (unsigned i = 0; i < n_woken; i++)
                for (unsigned k = 0; k < n_numbers; k++) {
                        struct epoll_event ev = {.events = EPOLLIN | EPOLLET};

                        if (epoll_ctl(woken[i], EPOLL_CTL_ADD, numbers[k], &ev) < 0)
                                return;
                }
}

/* For nothing that will ever come. */
static void poll_all(void) {
        static struct pollfd fds[1024];

        (void)close(gate[1]);
        for (unsigned i = 0; i < n_woken; i++)
                fds[i] = (struct pollfd){.fd = woken[i]};
        for (;;)
                (void)poll(fds, n_woken, -1);
}

/*
 * Each write wakes all epolls that watch it, and each of those whoever polls it, with interrupts off.
 * The watcher comes last: when it has been killed its dyno starts no process any more.
 */
static void wakes(void) {
        static int numbers[8192];
        unsigned n_numbers = 0;
        pid_t watcher;

        watched = eventfd(0, EFD_CLOEXEC);
        while (n_woken < 1024 && (woken[n_woken] = epoll_create1(EPOLL_CLOEXEC)) >= 0)
                n_woken++;
        while (n_numbers < 8192 && (numbers[n_numbers] = fcntl(watched, F_DUPFD_CLOEXEC, 0)) >= 0)
                n_numbers++;
        (void)!pipe2(gate, O_CLOEXEC);
        spread(3, wake_all);
        spread(4, poll_all); /* as many as may, or the watcher could not be started */
        watcher = fork();
        if (watcher == 0) {
                watch_all(numbers, n_numbers);
                _exit(0);
        }
        (void)waitpid(watcher, NULL, 0);
        going();
        wake_all();
}

static void wake_and_take_back(void) {
        uint64_t n = 1;

        for (;;) {
                (void)!write(watched, &n, sizeof(n));
                (void)!read(watched, &n, sizeof(n));
        }
}

static void poll_one(void) {
        static struct pollfd fds[1000];

        for (unsigned i = 0; i < 1000; i++)
                fds[i] = (struct pollfd){.fd = watched, .events = POLLIN};
        for (;;)
                (void)poll(fds, 1000, -1);
}

/* Each write wakes all that poll, under many entries each. Who polls too much is killed, and that was all. */
static void polls(void) {
        watched = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        spread(3, wake_and_take_back);
        for (unsigned i = 0; i < 240; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        break;
                if (pid == 0)
                        poll_one();
        }
        going();
        wake_and_take_back();
}

static void feed_a_terminal(void) {
        static char block[4096];
        struct termios settings;
        int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

        (void)tcgetattr(fd, &settings);
        settings.c_lflag = ICANON;
        (void)tcsetattr(fd, TCSANOW, &settings);
        memset(block, 'x', sizeof(block));
        while (fd < 0)
                (void)pause();
        for (;;)
                (void)!write(fd, block, sizeof(block));
}

/* Lines without an end: a worker of the kernel's takes each character, and throws it away. */
static void ptys(void) {
        keep_spreading(64, feed_a_terminal);
}

static void open_a_terminal(void) {
        for (;;) {
                int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

                if (fd >= 0)
                        (void)close(fd);
        }
}

/* Each time with the lock of all terminals, while the others of the dyno want to run. */
static void terminals(void) {
        keep_spreading(200, open_a_terminal);
}

static void type(void) {
        static char line[4000], again[4096];
        struct termios settings;
        int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0)
                _exit(1);
        (void)tcgetattr(fd, &settings);
        settings.c_lflag = ICANON | ECHO | IEXTEN;
        settings.c_cc[VREPRINT] = 'r';
        (void)tcsetattr(fd, TCSANOW, &settings);
        memset(line, 'x', sizeof(line));
        memset(again, 'r', sizeof(again));
        (void)!write(fd, line, sizeof(line));
        for (;;) {
                if (write(fd, again, sizeof(again)) < 0)
                        (void)usleep(1000);
                while (read(fd, line, sizeof(line)) > 0)
                        ;
        }
}

/*
 * For each character a worker of the kernel's shows a long line once more. Who goes on with it is killed, and
 * what that took is over: see "What is in terminals" in docs/LIMITS.md.
 */
static void typists(void) {
        (void)alarm(600); /* seconds: nobody was killed */
        spread(16, type);
        while (wait(NULL) > 0)
                ;
        (void)alarm(0);
        going();
        for (;;)
                (void)pause();
}

static void look_around(void) {
        int cgroups = open("/sys/fs/cgroup", O_PATH | O_CLOEXEC);

        for (;;) {
                (void)faccessat(cgroups, "cgroup.type", F_OK, 0);
                for (clock_t begun = clock(); clock() - begun < CLOCKS_PER_SEC / 5000;)
                        ;
        }
}

/* Who reads has it at the latest when the others have had their turn, and who writes waits for all of them. */
static void lookups(void) {
        keep_spreading(200, look_around);
}

static void sysv(void) {
        for (unsigned n = 0;; n++) {
                int shm = shmget(IPC_PRIVATE, 1 << 20, IPC_CREAT | 0600);
                int msg = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
                int sem = semget(IPC_PRIVATE, 250, IPC_CREAT | 0600);

                if (n == 50 || (shm < 0 && msg < 0 && sem < 0))
                        going();
                if (shm >= 0) {
                        char *p = shmat(shm, NULL, 0);

                        if (p != (void *)-1) {
                                memset(p, 1, 1 << 20);
                                (void)shmdt(p);
                        }
                }
        }
}

#define SEMAPHORES 7 /* that one call may change */

static void wait_for_all(int set) {
        struct sembuf all[SEMAPHORES];

        for (unsigned short i = 0; i < SEMAPHORES; i++)
                all[i] = (struct sembuf){
                        .sem_num = i, .sem_op = (short)(i == SEMAPHORES - 1 ? -1 : 0)};
        for (;;)
                if (semop(set, all, SEMAPHORES) < 0)
                        (void)usleep(1000);
}

/* After each change the kernel asks all who wait, and all anew after each who has his. */
static void semaphores(void) {
        int set = semget(IPC_PRIVATE, SEMAPHORES, IPC_CREAT | 0600);
        struct sembuf many = {.sem_num = SEMAPHORES - 1, .sem_op = 200};

        for (unsigned i = 0; i < 240; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        break;
                if (pid == 0)
                        wait_for_all(set);
        }
        for (;;) {
                /* Who has his takes another one at once, and does not wait if there is one. */
                if (semctl(set, SEMAPHORES - 1, GETNCNT) < 200) {
                        (void)usleep(1000);
                        continue;
                }
                going();
                (void)semop(set, &many, 1);
        }
}

static char unknown_program[] = "/tmp/unknown-format";

static void start_unknown(void) {
        char *const argv[] = {unknown_program, NULL};
        char *const envp[] = {NULL};

        for (;;)
                (void)execve(unknown_program, argv, envp);
}

/* Linux up to 6.13 looks for a module for each, and has the host's root run modprobe. */
static void formats(void) {
        static const char header[128] = {0x7f, 0x01, 0x02, 0x03};
        int fd = open(unknown_program, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);

        (void)!write(fd, header, sizeof(header));
        (void)close(fd); /* else it is ETXTBSY */
        keep_spreading(64, start_unknown);
}

const Bomb bombs_kernel[] = {
        {"descriptors", "open files", descriptors},
        {"pipes", "memory in pipes", fill_pipes},
        {"sockets", "memory in sockets", fill_sockets},
        {"in-flight", "descriptors in flight", in_flight},
        {"watches", "inotify instances and watches", watches},
        {"epolls", "epoll watches", epolls},
        {"mqueues", "POSIX message queues", mqueues},
        {"signals", "pending signals", signals},
        {"timers", "timers, and the interrupts that they make", timers},
        {"instants", "the interrupt in which timers go off", instants},
        {"wakes", "the time that one write takes with interrupts off", wakes},
        {"polls", "the same with poll(2)", polls},
        {"ptys", "pseudo terminals, and workers of the kernel", ptys},
        {"terminals", "the lock of all terminals", terminals},
        {"typists", "workers of the kernel that serve terminals", typists},
        {"lookups", "the lock of all cgroups' folders", lookups},
        {"sysv", "System V IPC", sysv},
        {"semaphores", "the time that one change of a semaphore takes", semaphores},
        {"formats", "runs of the host's modprobe", formats},
        {NULL, NULL, NULL},
};
