/* SPDX-License-Identifier: Apache-2.0 */

/* Terminals: of others, and what an own one can do to the host. */

#include <asm/termbits.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "escape.h"

#define LINE_DISCIPLINES 31    /* N_TTY is 0; the kernel's NR_LDISCS */
#define PASTE 6                /* subcode of TIOCLINUX that changes nothing: the shift state */
#define HIGH_BITS 0x700000000L /* the kernel looks at the low half of an ioctl's number alone */

/* The subordinate end of a new terminal of our own. */
static int open_terminal(void) {
        int unlocked = 0;
        int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

        if (master < 0)
                return -errno;
        if (ioctl(master, TIOCSPTLCK, &unlocked) < 0)
                return -errno;
        return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* As the controlling terminal of a new session. */
static int open_own_terminal(void) {
        int fd = open_terminal();

        if (fd < 0)
                return fd;
        (void)setpgid(0, getppid()); /* a group's leader cannot make a session */
        if (setsid() < 0 || ioctl(fd, TIOCSCTTY, 0) < 0)
                return -errno;
        return fd;
}

/* Makes the attempt in a child, which can become a session's leader. */
static int in_child(int (*call)(void)) {
        pid_t pid = fork();
        int r;

        if (pid < 0)
                return ATTEMPT_BROKEN;
        if (pid == 0)
                _exit(-call());
        r = attempt_wait(pid);
        return r < 0 ? ATTEMPT_BROKEN : -r;
}

static int push_call(long number) {
        int fd = open_own_terminal();

        return fd < 0 ? fd : (int)attempt_call(SYS_ioctl, fd, number, (long)"x", 0, 0, 0);
}

static int push_plain(void) {
        return push_call(TIOCSTI);
}

static int push_disguised_call(void) {
        return push_call(TIOCSTI | HIGH_BITS);
}

static int push(void) {
        return in_child(push_plain);
}

static int push_disguised(void) {
        return in_child(push_disguised_call);
}

static int console_paste(void) {
        char subcode = PASTE;
        int fd = escape_is_control ? open("/dev/tty1", O_RDWR | O_NOCTTY | O_CLOEXEC)
                                   : open_terminal();

        if (fd < 0)
                return ATTEMPT_BROKEN;
        return attempt_result(ioctl(fd, TIOCLINUX, &subcode));
}

static int console_take(void) {
        int fd = open_terminal();

        if (fd < 0)
                return ATTEMPT_BROKEN;
        return attempt_result(ioctl(fd, TIOCCONS));
}

/* On one made for it: it would be hung up. */
static int hang_up(void) {
        int fd = open_terminal();

        if (fd < 0)
                return ATTEMPT_BROKEN;
        return attempt_result(ioctl(fd, TIOCVHANGUP));
}

static int lock_settings(void) {
        struct termios none = {0};
        int fd = open_terminal();

        if (fd < 0)
                return ATTEMPT_BROKEN;
        return attempt_result(ioctl(fd, TIOCSLCKTRMIOS, &none));
}

/* Each is a driver with a history of holes; the kernel loads a module for it. */
static int line_discipline(void) {
        int fd = open_terminal();
        int r = -EINVAL;

        if (fd < 0)
                return ATTEMPT_BROKEN;
        for (int i = 1; i < LINE_DISCIPLINES; i++) {
                if (ioctl(fd, TIOCSETD, &i) == 0)
                        return 0;
                r = -errno;
                if (r == -EPERM)
                        return r;
        }
        return r;
}

/* Takes the terminal of another session away. */
static int steal_call(void) {
        int fd = open_terminal();
        int ready[2], r;
        char byte;
        pid_t pid;

        if (fd < 0 || pipe(ready) < 0)
                return -EIO;
        pid = fork();
        if (pid == 0) {
                bool ok = setsid() > 0 && ioctl(fd, TIOCSCTTY, 0) == 0;

                (void)!write(ready[1], "x", ok ? 1 : 0);
                (void)close(ready[1]);
                for (;;)
                        (void)pause();
        }
        (void)close(ready[1]);
        if (read(ready[0], &byte, 1) != 1 || setsid() < 0)
                r = -EIO;
        else
                r = attempt_result(ioctl(fd, TIOCSCTTY, 1));
        (void)kill(pid, SIGKILL); /* its session has left the attempt's group */
        return r;
}

static int steal(void) {
        return in_child(steal_call);
}

static bool is_any_terminal_there(void) {
        DIR *dir = opendir("/dev/pts");
        struct dirent *e;
        bool found = false;

        while (dir && (e = readdir(dir)))
                if (e->d_name[0] >= '0' && e->d_name[0] <= '9' &&
                    faccessat(dirfd(dir), e->d_name, R_OK | W_OK, 0) == 0)
                        found = true;
        if (dir)
                (void)closedir(dir);
        return found;
}

/* This process has made none; those of attempts before it go with their processes. */
static int terminals_of_others(void) {
        for (int i = 0; i < 500; i++) {
                if (!is_any_terminal_there())
                        return ATTEMPT_NOTHING;
                (void)usleep(10000);
        }
        return 0;
}

static int terminals_of_others_set_up(void) {
        return attempt_result(open("/dev/ptmx", O_RDWR | O_NOCTTY));
}

const Attempt attempts_terminal[] = {
        {
                .name = "terminal/push",
                .tries = "type into its terminal, for whoever reads there after it",
                .stopped_by = "seccomp",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = push,
        },
        {
                .name = "terminal/push-disguised",
                .tries = "the same with a number of which the kernel ignores the high half",
                .stopped_by = "seccomp",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = push_disguised,
        },
        {
                .name = "terminal/console-paste",
                .tries = "paste into the host's console",
                .stopped_by = "seccomp root",
                .error = EPERM,
                .control = CONTROL_ROOT | CONTROL_VM,
                .run = console_paste,
        },
        {
                .name = "terminal/console-take",
                .tries = "read what the host prints on its console",
                .stopped_by = "capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = console_take,
        },
        {
                .name = "terminal/hang-up",
                .tries = "hang up a terminal under whoever uses it",
                .stopped_by = "capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = hang_up,
        },
        {
                .name = "terminal/lock-settings",
                .tries = "keep others from changing a terminal's settings",
                .stopped_by = "capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = lock_settings,
        },
        {
                .name = "terminal/line-discipline",
                .tries = "reach a driver of serial lines through its terminal",
                .stopped_by = "seccomp kernel",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = line_discipline,
        },
        {
                .name = "terminal/steal",
                .tries = "take the terminal of another session",
                .stopped_by = "capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = steal,
        },
        {
                .name = "terminal/of-others",
                .tries = "open a terminal of somebody else",
                .stopped_by = "root user",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_ROOT,
                .run = terminals_of_others,
                .set_up = terminals_of_others_set_up,
        },
        {.name = NULL},
};
