/* SPDX-License-Identifier: Apache-2.0 */

/*
 * ps:exec and the taking over of running dynos.
 *
 * Entering a pid namespace holds for children only, so there are two processes: the
 * first joins the dyno's namespaces, the second is born inside them as the launcher's
 * own child (CLONE_PARENT), so that the launcher can wait for it. Both are born in the
 * dyno's cgroup.
 *
 * The first one could be seen from inside as a process of the host's root: it is not
 * dumpable, so nothing inside can look into it or use its /proc/PID/exe (CVE-2019-5736).
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/cgroup.h"
#include "sandbox/confinement.h"
#include "sandbox/inspect.h"
#include "sandbox/inspect_parse.h"
#include "sandbox/launch_internal.h"
#include "sandbox/mount.h"
#include "sandbox/namespaces.h"

typedef struct Joining {
        SandboxHost *host;
        const SandboxExec *exec;
        int userns_fd; /* of the dyno */
        LaunchPipes pipes;
        SandboxDyno process;
        pid_t *shared_pid; /* page shared with the first process: pid of the second */
} Joining;

/* The second process: returns only on failure. */
static int inner_run(Joining *j, ChildReport *report) {
        Confinement c = {
                .host = j->host,
                .process_limit = j->exec->start->process_limit,
                .userns_fd = j->userns_fd,
                .fds =
                        {
                                [STDIN_FILENO] = -EBADF,
                                [STDOUT_FILENO] = -EBADF,
                                [STDERR_FILENO] = -EBADF,
                                [INIT_FD_SPEC] = j->exec->spec_fd,
                                [INIT_FD_GO] = j->pipes.go_read,
                                [INIT_FD_STATUS] = -EBADF,
                                [INIT_FD_APP_FIFO] = -EBADF,
                                [INIT_FD_LOG_FIFO] = -EBADF,
                                [INIT_FD_ATTACH] = j->exec->attach_fd,
                                [INIT_FD_DEATH] = j->exec->death_fd,
                        },
                .init_fd = j->host->init_fd,
                .report_fd = j->pipes.report_write,
        };
        int r;

        /* A procfs of its own, never attached: the dyno's is not trusted with the label. */
        c.proc_fd = mount_new("proc", NULL, 0, MOUNT_STRICT);
        if (c.proc_fd < 0)
                return sandbox_fail(&report->error, LAYER_ROOTFS, c.proc_fd, "cannot mount proc");
        if (chdir("/app") < 0)
                return sandbox_fail(&report->error, LAYER_ROOTFS, -errno, "cannot enter /app");

        r = confinement_enter(&c, &report->error);
        j->pipes.report_write = c.report_fd;
        if (r < 0)
                return r;

        report->type = CHILD_READY;
        child_report_send(c.report_fd, report);
        return confinement_exec(&c, &report->error);
}

/* The first process: joins, makes the second one, and ends. */
static int outer_run(Joining *j, ChildReport *report) {
        /* The kernel writes the pid down before the new process can run: a kill loses nothing. */
        struct clone_args args = {
                .flags = CLONE_PARENT | CLONE_PARENT_SETTID,
                .parent_tid = (uint64_t)(uintptr_t)j->shared_pid,
        };
        pid_t pid;
        int r;

        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return sandbox_fail(&report->error, LAYER_PROCESS, -errno, "cannot hide");
        r = namespaces_join(j->exec->dyno->pidfd);
        if (r < 0)
                return sandbox_fail(&report->error, LAYER_NAMESPACES, r, "cannot join the dyno");

        pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0)
                return sandbox_fail(&report->error, LAYER_PROCESS, -errno, "cannot clone");
        if (pid == 0)
                return inner_run(j, report);

        _exit(0);
}

static int spawn(Joining *j, SandboxError *reterr) {
        struct clone_args args = {
                .flags = CLONE_INTO_CGROUP,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t)j->exec->dyno->cgroup_fd,
        };
        pid_t pid;

        /* Safe: as in launch.c. */
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0)
                return sandbox_fail(reterr, LAYER_PROCESS, -errno, "cannot clone");
        if (pid == 0) {
                ChildReport report = {.type = 0};

                (void)outer_run(j, &report);
                report.type = CHILD_FAILED;
                child_report_send(j->pipes.report_write, &report);
                _exit(1);
        }

        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;

        /* The second process is ours to reap, so its number cannot be anybody else's. */
        j->process.pid = *j->shared_pid;
        if (j->process.pid > 0) {
                j->process.pidfd = (int)syscall(SYS_pidfd_open, j->process.pid, 0);
                if (j->process.pidfd < 0)
                        return sandbox_fail(reterr, LAYER_PROCESS, -errno, "cannot be watched");
        }
        return 0;
}

static int open_userns(Joining *j, SandboxError *reterr) {
        char path[32];

        (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", j->exec->dyno->pid);
        j->userns_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (j->userns_fd < 0)
                return sandbox_fail(reterr, LAYER_USER, -errno, "cannot open the user namespace");

        return 0;
}

static int run(Joining *j, SandboxError *reterr) {
        const SandboxDyno *dyno = j->exec->dyno;
        const SandboxExpect expect = {
                .start = j->exec->start,
                .uid = j->exec->uid,
                .netns_fd = -EBADF,
                .userns_fd = j->userns_fd,
        };
        LaunchLayerReport reports[_LAYER_MAX];
        SandboxDyno process;
        ChildReport report;
        int r;

        r = launch_pipes_open(&j->pipes);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_PROCESS, r, "cannot prepare");
        r = spawn(j, reterr);
        if (r < 0)
                return r;
        r = launch_await_exec(&j->pipes, &report, reterr);
        if (r < 0)
                return r;

        process = j->process;
        process.cgroup_fd = dyno->cgroup_fd;
        r = inspect_process(j->host, &process, &expect, INSPECT_EXEC, reports);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_PROCESS, r, "the layers cannot be read back");
        r = inspect_verdict(reports, reterr);
        if (r < 0)
                return r;

        return launch_go(&j->pipes, reterr);
}

int sandbox_exec(
        SandboxHost *host, const SandboxExec *exec, SandboxDyno *ret, SandboxError *reterr) {
        Joining j = {
                .host = host,
                .exec = exec,
                .userns_fd = -EBADF,
                .pipes = LAUNCH_PIPES_INIT,
                .process = SANDBOX_DYNO_INIT,
        };
        int r;

        assert(host && exec && ret && reterr);
        assert(exec->dyno && exec->start);

        r = sandbox_host_check(host, reterr);
        if (r < 0)
                return r;
        j.shared_pid =
                mmap(NULL,
                     sizeof(*j.shared_pid),
                     PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS,
                     /* cppcheck-suppress invalidFunctionArg; MAP_ANONYMOUS asks for it */
                     -1,
                     0);
        if (j.shared_pid == MAP_FAILED)
                return sandbox_fail(reterr, LAYER_PROCESS, -errno, "cannot prepare");

        r = open_userns(&j, reterr);
        if (r == 0)
                r = run(&j, reterr);
        launch_pipes_close(&j.pipes);
        (void)safe_close(j.userns_fd);
        (void)munmap(j.shared_pid, sizeof(*j.shared_pid));
        if (r < 0) {
                launch_kill(&j.process);
                sandbox_dyno_clear(&j.process);
                return r;
        }

        *ret = j.process;
        return 0;
}

/* True if the process is PID 1 of its namespace, with that uid. */
static int check_init(pid_t pid, uid_t uid) {
        char path[32], text[PROC_STATUS_SIZE];
        ProcStatus status;
        ssize_t n;
        int r;

        (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
        n = read_text_at(AT_FDCWD, path, text, sizeof(text));
        if (n < 0)
                return n == -ENOENT ? -ESRCH : (int)n;
        r = proc_status_parse(text, &status);
        if (r < 0)
                return r;

        return status.innermost_pid == 1 && status.uid[0] == uid ? 0 : -ESRCH;
}

int sandbox_adopt(SandboxHost *host, const char *id, uid_t uid, pid_t pid, SandboxDyno *ret) {
        SandboxDyno dyno = SANDBOX_DYNO_INIT;
        int r = 0;

        assert(host && id && ret);

        dyno.pid = pid;
        dyno.pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
        if (dyno.pidfd < 0)
                return pid > 0 && errno != ESRCH ? -errno : -ESRCH;
        dyno.cgroup_fd = cgroup_open(host->cgroup_root_fd, id);
        if (dyno.cgroup_fd < 0)
                r = dyno.cgroup_fd == -ENOENT ? -ESRCH : dyno.cgroup_fd;
        if (r == 0)
                r = check_init(pid, uid);
        /* Last, by number: had it ended since pidfd_open(2), it would not be listed. */
        if (r == 0) {
                r = cgroup_has_process(dyno.cgroup_fd, pid);
                r = r == 0 ? -ESRCH : r < 0 ? r : 0;
        }
        if (r < 0) {
                sandbox_dyno_clear(&dyno);
                return r;
        }

        *ret = dyno;
        return 0;
}
