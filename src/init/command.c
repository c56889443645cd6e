/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Between fork and exec the child has the caller's memory and is the app's to look into
 * as soon as it is dumpable. So it first gives up every descriptor that is not the app's.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "init/command.h"
#include "init/log_lines.h"

#define APP_DIR "/app"
#define CHILD_ERROR_FD 3

enum {
        CHILD_STATUS_NOT_EXECUTABLE = 126,
        CHILD_STATUS_NOT_FOUND = 127,
};

/*
 * Heroku's start sequence. A script that fails does not stop the boot, and what it
 * switched on for itself (set -a, -e, -u) must not outlive it: allexport would put our
 * variables into the app's environment.
 */
static char shell_script[] = /* execve(2) takes its strings as not const */
        "__command=$1; shift\n"
        "for __file in " APP_DIR "/.profile.d/*.sh " APP_DIR "/.profile; do\n"
        "        [ -f \"$__file\" ] && [ -r \"$__file\" ] || continue\n"
        "        . \"$__file\"\n"
        "        set +aeu\n"
        "done\n"
        "exec bash -c -- \"$__command\"\n";

static int reset_signals(void) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigset_t none;

        /* Fails for SIGKILL, SIGSTOP and the two that libc keeps: those are as they must be. */
        for (int sig = 1; sig < NSIG; sig++)
                (void)sigaction(sig, &action, NULL);

        (void)sigemptyset(&none);
        return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

static int take_streams(const Streams *streams, int error_fd) {
        for (int i = 0; i < 3; i++)
                if (dup2(streams->command[i], i) < 0) /* the copy is not close-on-exec */
                        return -errno;

        if (error_fd != CHILD_ERROR_FD && dup3(error_fd, CHILD_ERROR_FD, O_CLOEXEC) < 0)
                return -errno;
        /* Safe to ask for: the kernel is 6.1 or newer, and a failure ends the child. */
        if (close_range(CHILD_ERROR_FD + 1, ~0U, 0) < 0)
                return -errno;

        if (streams->terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
                return -errno;
        return 0;
}

/*
 * The dyno-init that is PID 1 may be exempt from the OOM killer, its command must not be. A
 * process that is not dumpable does not own its files in /proc, hence the switch: safe, because
 * nothing else runs in the dyno yet. Who joins is not exempt, and so never dumpable before its exec.
 */
static int reset_oom_score(void) {
        char text[16];
        ssize_t n;

        n = read_text_at(AT_FDCWD, "/proc/self/oom_score_adj", text, sizeof(text));
        if (n < 0)
                return (int)n;
        if (text[0] != '-')
                return 0;

        if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
                return -errno;
        return write_text_at(AT_FDCWD, "/proc/self/oom_score_adj", "0");
}

static int exec_command(const DynoSpec *spec) {
        static char bash[] = "bash", dash_c[] = "-c";

        environ = spec->env; /* execvp() searches the PATH of the app, not of dynod */

        if ((spec->header.flags & DYNO_SPEC_SHELL) != 0) {
                char *const argv[] = {bash, dash_c, shell_script, bash, spec->args[0], NULL};

                (void)execvp("bash", argv);
        } else {
                (void)execvp(spec->args[0], spec->args);
        }

        return -errno;
}

/* One line for the app's own log; an attached client is told by a message instead. */
static void complain(const DynoSpec *spec, int error) {
        const char *name = (spec->header.flags & DYNO_SPEC_SHELL) != 0 ? "bash" : spec->args[0];
        const char *reason = strerrordesc_np(error);
        const char *const parts[] = {"cannot run ", name, ": ", reason ? reason : "error", NULL};
        char line[LOG_LINE_SIZE];

        (void)!write(STDERR_FILENO, line, log_line_format(line, parts));
}

static _Noreturn void
run_child(const DynoSpec *spec, const Streams *streams, bool die_with_us, pid_t us, int error_fd) {
        int r = 0;

        if (die_with_us && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
                r = -errno;
        if (die_with_us && getppid() != us)
                _exit(CHILD_STATUS_NOT_EXECUTABLE); /* it died before the call above */
        if (r == 0 && setsid() < 0)
                r = -errno;
        if (r == 0) {
                r = take_streams(streams, error_fd);
                error_fd = CHILD_ERROR_FD;
        }
        if (r == 0)
                r = reset_oom_score();
        (void)umask(022);
        if (r == 0 && chdir(APP_DIR) < 0)
                r = -errno;
        if (r == 0)
                r = reset_signals();
        if (r == 0)
                r = exec_command(spec);

        r = -r;
        (void)!write(error_fd, &r, sizeof(r));
        if ((spec->header.flags & DYNO_SPEC_ATTACH) == 0)
                complain(spec, r);
        _exit(command_error_status(r));
}

int command_start(Command *ret, const DynoSpec *spec, const Streams *streams, bool die_with_us) {
        pid_t us = getpid();
        int error_pipe[2];
        pid_t pid;

        assert(ret && spec && streams);

        if (pipe2(error_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;

        pid = _Fork();
        if (pid < 0) {
                int r = -errno;

                (void)safe_close(error_pipe[0]);
                (void)safe_close(error_pipe[1]);
                return r;
        }
        if (pid == 0)
                run_child(spec, streams, die_with_us, us, error_pipe[1]);

        (void)safe_close(error_pipe[1]);
        ret->pid = pid;
        ret->error_fd = error_pipe[0];
        return 0;
}

int command_error(Command *command) {
        int error = 0;
        ssize_t n;

        n = read(command->error_fd, &error, sizeof(error));
        command->error_fd = safe_close(command->error_fd);
        return n == (ssize_t)sizeof(error) && error > 0 ? error : 0;
}

int command_error_status(int error) {
        return error == ENOENT || error == ENOTDIR ? CHILD_STATUS_NOT_FOUND
                                                   : CHILD_STATUS_NOT_EXECUTABLE;
}
