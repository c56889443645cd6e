/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The sequence of a start. Privileges that its steps need:
 *
 *   cgroup                write access to the delegated group (DAC_OVERRIDE where it is not root's)
 *   copies of trees       SYS_ADMIN; mapping ids: a user namespace of ours
 *   clone3 with           SYS_ADMIN for new namespaces and CLONE_INTO_CGROUP
 *   rootfs                SYS_ADMIN, CHOWN and FOWNER for scratch, DAC_OVERRIDE for overlay's copies
 *   setns, hostname       SYS_ADMIN
 *   oom_score_adj         SYS_RESOURCE
 *   groups, ids           SETGID, SETUID (the ids: of the user namespace itself)
 *   AppArmor, seccomp     none, once no_new_privs is set
 *   read-back             SYS_PTRACE for links of /proc/PID/ns
 *   kill                  none: cgroup.kill is a file
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/init_fds.h"
#include "sandbox/cgroup.h"
#include "sandbox/child_report.h"
#include "sandbox/confinement.h"
#include "sandbox/inspect.h"
#include "sandbox/launch_internal.h"
#include "sandbox/rootfs.h"

/* A start under way: what must be undone if it fails. */
struct SandboxStart {
        SandboxHost *host;
        LaunchStart start;
        SandboxSlot slot; /* its descriptors are the caller's */
        uint64_t received_usec;
        SandboxDyno dyno;
        LaunchPipes pipes;
        ChildReport report;
        bool ready; /* the child has taken on all layers */
};

/* What the child needs, and nobody after the clone. */
typedef struct ChildParts {
        const SandboxLaunch *launch;
        RootfsParts rootfs;
        char hostname[ROOTFS_HOSTNAME_SIZE];
} ChildParts;

int launch_pipes_open(LaunchPipes *ret) {
        int report[2], go[2];

        if (pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        if (pipe2(go, O_CLOEXEC) < 0) {
                int r = -errno;

                (void)safe_close(report[0]);
                (void)safe_close(report[1]);
                return r;
        }

        *ret = (LaunchPipes){
                .report_read = report[0],
                .report_write = report[1],
                .go_read = go[0],
                .go_write = go[1],
        };
        return 0;
}

void launch_pipes_close(LaunchPipes *pipes) {
        pipes->report_read = safe_close(pipes->report_read);
        pipes->report_write = safe_close(pipes->report_write);
        pipes->go_read = safe_close(pipes->go_read);
        pipes->go_write = safe_close(pipes->go_write);
}

void launch_pipes_close_child(LaunchPipes *pipes) {
        pipes->report_write = safe_close(pipes->report_write);
        pipes->go_read = safe_close(pipes->go_read);
}

int launch_take_report(LaunchPipes *pipes, bool *ready, ChildReport *ret, SandboxError *reterr) {
        ChildReport report;
        int r;

        while ((r = child_report_receive(pipes->report_read, &report)) > 0) {
                if (report.type == CHILD_FAILED) {
                        *reterr = report.error;
                        /* EAGAIN is for who may go on waiting; a dyno at its limits gets it, too. */
                        return report.error.error > 0 && report.error.error != EAGAIN
                                       ? -report.error.error
                                       : -EPROTO;
                }
                if (report.type == CHILD_READY)
                        *ready = true;
                *ret = report;
        }
        if (r == -EAGAIN)
                return r;
        if (r < 0)
                return sandbox_fail(reterr, LAYER_PROCESS, r, "its report cannot be read");
        /* The end of the pipe is the exec, or a death. */
        if (!*ready)
                return sandbox_fail(
                        reterr, LAYER_PROCESS, -ECHILD, "the new process died on its way");

        return 0;
}

int launch_go(const LaunchPipes *pipes, SandboxError *reterr) {
        const char go = INIT_GO;

        if (write(pipes->go_write, &go, 1) != 1)
                return sandbox_fail(reterr, LAYER_PROCESS, -EPIPE, "dyno-init is gone");

        return 0;
}

/* A version 4 UUID (RFC 4122), Heroku's form of a dyno's host name. */
static int make_hostname(char ret[ROOTFS_HOSTNAME_SIZE]) {
        uint8_t b[16];
        size_t n = 0;

        if (getrandom(b, sizeof(b), 0) != sizeof(b))
                return -EIO;
        b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
        b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
        for (size_t i = 0; i < sizeof(b); i++)
                n += (size_t)snprintf(
                        ret + n,
                        ROOTFS_HOSTNAME_SIZE - n,
                        i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
                        b[i]);

        return 0;
}

/* Child: the namespaces that clone3 could not make, and the name. */
static int enter_namespaces(const ChildParts *parts, SandboxError *reterr) {
        /* Only now: clone3 would take the launcher's group as the top. */
        if (unshare(CLONE_NEWCGROUP) < 0)
                return sandbox_fail(reterr, LAYER_NAMESPACES, -errno, "cannot make a cgroup one");
        if (setns(parts->launch->slot->netns_fd, CLONE_NEWNET) < 0)
                return sandbox_fail(reterr, LAYER_NETWORK, -errno, "cannot enter the namespace");
        if (sethostname(parts->hostname, strlen(parts->hostname)) < 0)
                return sandbox_fail(reterr, LAYER_NAMESPACES, -errno, "cannot set the host name");
        /* The kernel's word for none: the new namespace has the host's. */
        if (setdomainname("(none)", strlen("(none)")) < 0)
                return sandbox_fail(reterr, LAYER_NAMESPACES, -errno, "cannot set the domain name");

        return 0;
}

/* Child: returns only on failure. */
static int child_run(SandboxStart *s, ChildParts *parts, ChildReport *report) {
        const SandboxLaunch *launch = parts->launch;
        Confinement c = {
                .host = s->host,
                .process_limit = launch->start->process_limit,
                .userns_fd = launch->slot->userns_fd,
                .proc_fd = -EBADF,
                .fds =
                        {
                                [STDIN_FILENO] = -EBADF,
                                [STDOUT_FILENO] = launch->log_fifo_fd,
                                [STDERR_FILENO] = launch->log_fifo_fd,
                                [INIT_FD_SPEC] = launch->spec_fd,
                                [INIT_FD_GO] = s->pipes.go_read,
                                [INIT_FD_STATUS] = launch->status_fd,
                                [INIT_FD_APP_FIFO] = launch->app_fifo_fd,
                                [INIT_FD_LOG_FIFO] = launch->log_fifo_fd,
                                [INIT_FD_ATTACH] = launch->attach_fd,
                                [INIT_FD_DEATH] = -EBADF,
                        },
                .init_fd = s->host->init_fd,
                .report_fd = s->pipes.report_write,
                .spared = true,
        };
        int r;

        report->clone_usec = clock_boottime_usec();
        r = enter_namespaces(parts, &report->error);
        if (r < 0)
                return r;
        c.proc_fd = rootfs_enter(s->host, launch, &parts->rootfs, parts->hostname, &report->error);
        if (c.proc_fd < 0)
                return c.proc_fd;
        report->rootfs_usec = clock_boottime_usec();

        r = confinement_enter(&c, &report->error);
        s->pipes.report_write = c.report_fd;
        if (r < 0)
                return r;
        report->confine_usec = clock_boottime_usec();

        report->type = CHILD_READY;
        child_report_send(c.report_fd, report);
        return confinement_exec(&c, &report->error);
}

static int spawn(SandboxStart *s, ChildParts *parts, SandboxError *reterr) {
        struct clone_args args = {
                .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                         CLONE_INTO_CGROUP | CLONE_PIDFD,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t)s->dyno.cgroup_fd,
                .pidfd = (uint64_t)(uintptr_t)&s->dyno.pidfd,
        };
        pid_t pid;

        /*
         * Safe: the child is this program, single-threaded, and does nothing but the
         * steps of child_run() before it is somebody else. Its pages are copied on write.
         */
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0)
                return sandbox_fail(reterr, LAYER_PROCESS, -errno, "cannot clone");
        if (pid == 0) {
                ChildReport report = {.type = 0};

                (void)child_run(s, parts, &report);
                report.type = CHILD_FAILED;
                child_report_send(s->pipes.report_write, &report);
                _exit(1);
        }

        s->dyno.pid = pid;
        return 0;
}

static int make_cgroup(SandboxStart *s, SandboxError *reterr) {
        const LaunchStart *start = &s->start;
        const CgroupLimits limits = {
                .memory_quota = start->memory_quota,
                .memory_kill = start->memory_kill,
                .cpu_weight = start->cpu_weight,
                .pids_max = cgroup_pids_max(start->process_limit),
                .swap = s->host->swap,
        };
        int r;

        r = cgroup_create(
                s->host->cgroup_root_fd,
                start->id,
                s->host->controllers,
                &limits,
                &s->dyno.cgroup_fd);
        return r < 0 ? sandbox_fail(reterr, LAYER_CGROUP, r, "cannot make %.88s", start->id) : 0;
}

/* Rule 2: nothing of the app has run, and nothing will if a layer reads otherwise. */
static int verify(const SandboxStart *s, SandboxError *reterr) {
        const SandboxExpect expect = {
                .start = &s->start,
                .uid = s->slot.uid,
                .address = s->slot.address,
                .netns_fd = s->slot.netns_fd,
                .userns_fd = s->slot.userns_fd,
        };
        LaunchLayerReport reports[_LAYER_MAX];
        int r;

        r = inspect_process(s->host, &s->dyno, &expect, INSPECT_DYNO, reports);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_PROCESS, r, "the layers cannot be read back");

        return inspect_verdict(reports, reterr);
}

static uint32_t since(const SandboxStart *s, uint64_t usec) {
        return usec > s->received_usec ? (uint32_t)(usec - s->received_usec) : 0;
}

static int begin(SandboxStart *s, ChildParts *parts, SandboxError *reterr) {
        int r;

        r = make_cgroup(s, reterr);
        if (r < 0)
                return r;
        s->dyno.phase_usec[PHASE_CGROUP] = since(s, clock_boottime_usec());

        r = rootfs_take_parts(s->host, parts->launch, &parts->rootfs, reterr);
        if (r < 0)
                return r;
        r = launch_pipes_open(&s->pipes);
        if (r == 0)
                r = make_hostname(parts->hostname);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_PROCESS, r, "cannot prepare");

        r = spawn(s, parts, reterr);
        launch_pipes_close_child(&s->pipes);
        return r;
}

int sandbox_launch_begin(
        SandboxHost *host, const SandboxLaunch *launch, SandboxStart **ret, SandboxError *reterr) {
        _cleanup_(sandbox_start_freep) SandboxStart *s = NULL;
        ChildParts parts = {.launch = launch, .rootfs = ROOTFS_PARTS_INIT};
        int r;

        assert(host && launch && ret && reterr);
        assert(launch->slot && launch->start);

        r = sandbox_host_check(host, reterr);
        if (r < 0)
                return r;
        s = calloc(1, sizeof(*s));
        if (!s)
                return sandbox_fail(reterr, LAYER_PROCESS, -ENOMEM, "cannot prepare");
        *s = (SandboxStart){
                .host = host,
                .start = *launch->start,
                .slot = *launch->slot,
                .received_usec = launch->received_usec,
                .dyno = SANDBOX_DYNO_INIT,
                .pipes = LAUNCH_PIPES_INIT,
        };

        r = begin(s, &parts, reterr);
        rootfs_parts_clear(&parts.rootfs);
        if (r < 0) {
                /* Nothing has run. What cannot be removed now will be at the next start of dynod. */
                if (s->dyno.cgroup_fd >= 0)
                        (void)!cgroup_remove(host->cgroup_root_fd, s->start.id);
                (void)!scratch_discard(&host->scratch, s->start.id);
                return r;
        }

        *ret = TAKE_PTR(s);
        return 0;
}

int sandbox_start_fd(const SandboxStart *start) {
        return start->pipes.report_read;
}

int sandbox_start_continue(SandboxStart *s, SandboxError *reterr) {
        uint32_t *phase = s->dyno.phase_usec;
        int r;

        assert(reterr);

        r = launch_take_report(&s->pipes, &s->ready, &s->report, reterr);
        if (r == -EAGAIN)
                return SANDBOX_E_AGAIN;
        if (r < 0)
                return r;
        phase[PHASE_CLONE] = since(s, s->report.clone_usec);
        phase[PHASE_ROOTFS] = since(s, s->report.rootfs_usec);
        phase[PHASE_CONFINE] = since(s, s->report.confine_usec);
        phase[PHASE_EXEC] = since(s, clock_boottime_usec());

        r = verify(s, reterr);
        if (r == 0)
                r = launch_go(&s->pipes, reterr);
        phase[PHASE_VERIFY] = since(s, clock_boottime_usec());
        return r;
}

void sandbox_start_take(SandboxStart *start, SandboxDyno *ret) {
        *ret = start->dyno;
        start->dyno = (SandboxDyno)SANDBOX_DYNO_INIT;
}

SandboxStart *sandbox_start_free(SandboxStart *start) {
        if (!start)
                return NULL;

        launch_pipes_close(&start->pipes);
        sandbox_dyno_clear(&start->dyno);
        free(start);
        return NULL;
}
