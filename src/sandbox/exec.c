/* SPDX-License-Identifier: Apache-2.0 */

/*
 * ps:exec and the taking over of running dynos.
 *
 * A middle process joins the dyno's namespaces, where nobody sees it: it has no pid inside.
 * It makes the joining process, a sibling of its own, and ends. That one is born in the
 * dyno's pid namespace and cgroup, and takes the way of a launch.
 *
 * From birth on it can be seen from inside as a process of the host's root: it is not
 * dumpable, so nothing inside can look into it or use its /proc/PID/exe (CVE-2019-5736);
 * and its mounts and its network, which the kernel shows to everybody, are the dyno's.
 * When it takes the dyno's uid, the dyno can stop and kill it; memory and CPU are the
 * dyno's all the way. So nobody waits for it: its reports are an event like others.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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

/* The dyno may end on the way: everything that is needed of it is a copy. */
struct SandboxJoin {
        SandboxHost *host;
        LaunchStart start; /* of the dyno */
        uid_t uid;
        int userns_fd; /* of the dyno */
        LaunchPipes pipes;
        bool ready;
        SandboxDyno process; /* its pidfd is the caller's */
};

/* Child: returns only on failure. */
static int child_run(const SandboxJoin *j, const SandboxExec *exec, ChildReport *report) {
        Confinement c = {
                .host = j->host,
                /* Above the app's: one at its limit can still be looked into. */
                .process_limit = j->start.process_limit + CGROUP_EXTRA_PIDS,
                .userns_fd = j->userns_fd,
                .fds =
                        {
                                [STDIN_FILENO] = -EBADF,
                                [STDOUT_FILENO] = -EBADF,
                                [STDERR_FILENO] = -EBADF,
                                [INIT_FD_SPEC] = exec->spec_fd,
                                [INIT_FD_GO] = j->pipes.go_read,
                                [INIT_FD_STATUS] = -EBADF,
                                [INIT_FD_APP_FIFO] = -EBADF,
                                [INIT_FD_LOG_FIFO] = -EBADF,
                                [INIT_FD_ATTACH] = exec->attach_fd,
                                [INIT_FD_DEATH] = exec->death_fd,
                        },
                .init_fd = j->host->init_fd,
                .report_fd = j->pipes.report_write,
                /* Its command would have to be dumpable to leave that, in the sight of the app. */
                .spared = false,
        };
        int r;

        /* Only now: clone3 takes no group from outside of the own namespace. */
        if (setns(exec->dyno->pidfd, CLONE_NEWCGROUP) < 0)
                return sandbox_fail(
                        &report->error, LAYER_NAMESPACES, -errno, "cannot join the cgroup one");

        /* A procfs of its own, never attached: the dyno's is not trusted with the label. */
        c.proc_fd = mount_new("proc", NULL, 0, MOUNT_STRICT);
        if (c.proc_fd < 0)
                return sandbox_fail(&report->error, LAYER_ROOTFS, c.proc_fd, "cannot mount proc");
        if (chdir("/app") < 0)
                return sandbox_fail(&report->error, LAYER_ROOTFS, -errno, "cannot enter /app");

        r = confinement_enter(&c, &report->error);
        if (r == 0) {
                report->type = CHILD_READY;
                child_report_send(c.report_fd, report);
                r = confinement_exec(&c, &report->error);
        }
        report->type = CHILD_FAILED;
        child_report_send(c.report_fd, report);
        return r;
}

/* The middle process. Return: the pid of the joining one, on the host, or a negative errno. */
static pid_t middle_run(const SandboxJoin *j, const SandboxExec *exec) {
        struct clone_args args = {
                .flags = CLONE_PARENT | CLONE_INTO_CGROUP,
                .cgroup = (uint64_t)j->process.cgroup_fd,
        };
        pid_t pid;
        int r;

        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return -errno;
        r = namespaces_join(exec->dyno->pidfd);
        if (r < 0)
                return r;

        /* Safe: as in launch.c. */
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        if (pid == 0) {
                ChildReport report = {.type = 0};

                (void)child_run(j, exec, &report);
                _exit(1);
        }
        return pid < 0 ? -errno : pid;
}

/* Waits for the middle process alone: it is in no group of the dyno's, which holds up nothing. */
static pid_t run_middle(const SandboxJoin *j, const SandboxExec *exec) {
        _cleanup_close_ int read_fd = -EBADF, write_fd = -EBADF;
        pid_t middle, pid = -ECHILD;
        int fds[2];

        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        read_fd = fds[0];
        write_fd = fds[1];

        middle = fork();
        if (middle < 0)
                return -errno;
        if (middle == 0) {
                pid = middle_run(j, exec);
                _exit(write(write_fd, &pid, sizeof(pid)) == sizeof(pid) ? 0 : 1);
        }
        while (waitpid(middle, NULL, 0) < 0 && errno == EINTR)
                ;

        return read(read_fd, &pid, sizeof(pid)) == sizeof(pid) ? pid : -ECHILD;
}

static int spawn(SandboxJoin *j, const SandboxExec *exec, SandboxError *reterr) {
        pid_t pid = run_middle(j, exec);

        if (pid < 0)
                return sandbox_fail(reterr, LAYER_NAMESPACES, pid, "cannot join the dyno");

        /* The number is still its own: it is our child, and nobody has waited for it. */
        j->process.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (j->process.pidfd < 0) {
                int r = -errno;

                /* Safe: as above. Left alone it would keep the dyno's pid namespace from ending. */
                (void)kill(pid, SIGKILL);
                while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                        ;
                return sandbox_fail(reterr, LAYER_PROCESS, r, "cannot watch the new process");
        }
        j->process.pid = pid;
        return 0;
}

static int open_dyno(SandboxJoin *j, const SandboxDyno *dyno, SandboxError *reterr) {
        char path[32];

        (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", dyno->pid);
        j->userns_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (j->userns_fd < 0)
                return sandbox_fail(reterr, LAYER_USER, -errno, "cannot open the user namespace");
        j->process.cgroup_fd = fcntl(dyno->cgroup_fd, F_DUPFD_CLOEXEC, 3);
        if (j->process.cgroup_fd < 0)
                return sandbox_fail(reterr, LAYER_CGROUP, -errno, "cannot open the group");

        return 0;
}

/*
 * "1" is for debugging (proc(5)): dyno-init, which its uid cannot read, would be open to
 * that uid from its exec to its first call, and the dyno could take the client's socket.
 */
static int check_dumpable(SandboxError *reterr) {
        char text[16];
        ssize_t n;

        n = read_text_at(AT_FDCWD, "/proc/sys/fs/suid_dumpable", text, sizeof(text));
        if (n < 0)
                return sandbox_fail(reterr, LAYER_PROCESS, (int)n, "fs.suid_dumpable is unknown");
        if (text[0] != '0' && text[0] != '2')
                return sandbox_fail(
                        reterr,
                        LAYER_PROCESS,
                        -EPERM,
                        "fs.suid_dumpable of the host opens what joins a dyno to it: set it to 0 "
                        "or 2");
        return 0;
}

int sandbox_exec_begin(
        SandboxHost *host,
        const SandboxExec *exec,
        SandboxJoin **ret,
        int *ret_pidfd,
        SandboxError *reterr) {
        _cleanup_(sandbox_join_freep) SandboxJoin *j = NULL;
        int r;

        assert(host && exec && ret && ret_pidfd && reterr);
        assert(exec->dyno && exec->start);

        r = sandbox_host_check(host, reterr);
        if (r == 0)
                r = check_dumpable(reterr);
        if (r < 0)
                return r;
        j = calloc(1, sizeof(*j));
        if (!j)
                return sandbox_fail(reterr, LAYER_PROCESS, -ENOMEM, "cannot prepare");
        *j = (SandboxJoin){
                .host = host,
                .start = *exec->start,
                .uid = exec->uid,
                .userns_fd = -EBADF,
                .pipes = LAUNCH_PIPES_INIT,
                .process = SANDBOX_DYNO_INIT,
        };

        r = launch_pipes_open(&j->pipes);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_PROCESS, r, "cannot prepare");
        r = open_dyno(j, exec->dyno, reterr);
        if (r == 0)
                r = spawn(j, exec, reterr);
        if (r < 0)
                return r;
        launch_pipes_close_child(&j->pipes);

        *ret_pidfd = j->process.pidfd;
        *ret = TAKE_PTR(j);
        return 0;
}

int sandbox_join_fd(const SandboxJoin *join) {
        return join->pipes.report_read;
}

int sandbox_join_continue(SandboxJoin *join, SandboxError *reterr) {
        const SandboxExpect expect = {
                .start = &join->start,
                .uid = join->uid,
                .netns_fd = -EBADF,
                .userns_fd = join->userns_fd,
        };
        LaunchLayerReport reports[_LAYER_MAX];
        ChildReport report;
        int r;

        r = launch_take_report(&join->pipes, &join->ready, &report, reterr);
        if (r != 0)
                return r == -EAGAIN ? SANDBOX_E_AGAIN : r;

        r = inspect_process(join->host, &join->process, &expect, INSPECT_EXEC, reports);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_PROCESS, r, "the layers cannot be read back");
        r = inspect_verdict(reports, reterr);
        if (r < 0)
                return r;

        return launch_go(&join->pipes, reterr);
}

SandboxJoin *sandbox_join_free(SandboxJoin *join) {
        if (!join)
                return NULL;

        launch_pipes_close(&join->pipes);
        (void)safe_close(join->userns_fd);
        (void)safe_close(join->process.cgroup_fd);
        free(join);
        return NULL;
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
