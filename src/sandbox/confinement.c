/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The order is not a matter of taste:
 *
 *   1. what needs root of the host: OOM score, limits, groups (denied inside)
 *   2. setns(2) into the user namespace, which fills all capability sets again
 *   3. bounding set, securebits, ids, the other sets: nothing is left to come back
 *   4. session keyring: without the dyno's own it would reach root's
 *   5. AppArmor, which refuses any change after no_new_privs
 *   6. no_new_privs, then seccomp, which allows the little that is left to do
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/apparmor.h"
#include "sandbox/capabilities.h"
#include "sandbox/confinement.h"
#include "sandbox/limits.h"

/* Sources are moved above this first, so that no target overwrites a later source. */
#define CONFINEMENT_FD_BASE 64

static int reset_signals(void) {
        const struct sigaction action = {.sa_handler = SIG_DFL};
        sigset_t set;

        for (int signo = 1; signo < NSIG; signo++)
                if (sigaction(signo, &action, NULL) < 0 && errno != EINVAL)
                        return -errno;
        if (sigemptyset(&set) < 0 || sigprocmask(SIG_SETMASK, &set, NULL) < 0)
                return -errno;

        return 0;
}

static int move_up(int *fd) {
        int high;

        high = fcntl(*fd, F_DUPFD_CLOEXEC, CONFINEMENT_FD_BASE);
        if (high < 0)
                return -errno;
        *fd = high;
        return 0;
}

/* Closes all but those in @keep, which it sorts. */
static int close_others(int *keep, size_t n) {
        unsigned next = 0;

        for (size_t i = 1; i < n; i++)
                for (size_t k = i; k > 0 && keep[k - 1] > keep[k]; k--) {
                        int fd = keep[k];

                        keep[k] = keep[k - 1];
                        keep[k - 1] = fd;
                }
        for (size_t i = 0; i < n; i++) {
                unsigned fd = (unsigned)keep[i];

                if (fd > next && close_range(next, fd - 1, 0) < 0)
                        return -errno;
                next = fd + 1;
        }
        return close_range(next, ~0U, 0) < 0 ? -errno : 0;
}

/*
 * Moves what is needed out of the way of 0 to INIT_FD_MAX, and closes the launcher's own:
 * from when this process has the dyno's uid, until the exec, the app may get to see it.
 */
static int arrange_fds(Confinement *c) {
        int keep[CONFINEMENT_FDS + 4];
        int null_fd, r;

        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (null_fd < 0)
                return -errno;

        for (int i = 0; i < CONFINEMENT_FDS; i++) {
                if (c->fds[i] < 0)
                        c->fds[i] = null_fd;
                r = move_up(&c->fds[i]);
                if (r < 0)
                        return r;
        }
        r = move_up(&c->report_fd);
        if (r == 0)
                r = move_up(&c->proc_fd);
        if (r == 0)
                r = move_up(&c->userns_fd);
        if (r == 0)
                r = move_up(&c->init_fd);
        if (r < 0)
                return r;

        memcpy(keep, c->fds, sizeof(c->fds));
        keep[CONFINEMENT_FDS] = c->report_fd;
        keep[CONFINEMENT_FDS + 1] = c->proc_fd;
        keep[CONFINEMENT_FDS + 2] = c->userns_fd;
        keep[CONFINEMENT_FDS + 3] = c->init_fd;
        return close_others(keep, ARRAY_SIZE(keep));
}

static int place_fds(const Confinement *c) {
        for (int i = 0; i < CONFINEMENT_FDS; i++)
                if (dup2(c->fds[i], i) < 0)
                        return -errno;

        return close_range(CONFINEMENT_FDS, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

static int apply_limits(const Confinement *c, SandboxError *reterr) {
        int r;

        r = limits_set_oom_score(c->proc_fd, c->spared);
        /* Without a memory limit the score matters little, and a quickstart goes on. */
        if (r < 0 && !sandbox_host_lacks(c->host, MISSING_CGROUP_MEMORY))
                return sandbox_fail(reterr, LAYER_CGROUP, r, "cannot set the OOM killer's score");

        r = limits_apply(c->process_limit);
        return r < 0 ? sandbox_fail(reterr, LAYER_LIMITS, r, "cannot set resource limits") : 0;
}

static int become_dyno_user(const Confinement *c, SandboxError *reterr) {
        int r;

        if (setgroups(0, NULL) < 0)
                return sandbox_fail(reterr, LAYER_USER, -errno, "cannot drop groups");

        /* Safe: from here on every capability is one of the dyno's own namespace only. */
        if (setns(c->userns_fd, CLONE_NEWUSER) < 0)
                return sandbox_fail(reterr, LAYER_USER, -errno, "cannot enter the user namespace");

        r = capabilities_lock();
        if (r < 0)
                return sandbox_fail(reterr, LAYER_CAPABILITIES, r, "cannot lock capabilities");
        if (setresgid(SANDBOX_DYNO_UID, SANDBOX_DYNO_UID, SANDBOX_DYNO_UID) < 0 ||
            setresuid(SANDBOX_DYNO_UID, SANDBOX_DYNO_UID, SANDBOX_DYNO_UID) < 0)
                return sandbox_fail(reterr, LAYER_USER, -errno, "cannot become the dyno's user");
        /* Another uid makes a process as dumpable as fs.suid_dumpable of the host says. */
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return sandbox_fail(reterr, LAYER_USER, -errno, "cannot hide");
        r = capabilities_drop_all();
        if (r < 0)
                return sandbox_fail(reterr, LAYER_CAPABILITIES, r, "cannot drop capabilities");

        /* ENOSYS: a kernel without keys has none to protect. */
        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
                return sandbox_fail(reterr, LAYER_USER, -errno, "cannot make a session keyring");

        return 0;
}

int confinement_enter(Confinement *c, SandboxError *reterr) {
        int r;

        assert(c);
        assert(reterr);

        (void)umask(022);
        r = reset_signals();
        if (r == 0)
                r = arrange_fds(c);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_PROCESS, r, "cannot arrange descriptors");

        r = apply_limits(c, reterr);
        if (r == 0)
                r = become_dyno_user(c, reterr);
        if (r < 0)
                return r;

        if (!sandbox_host_lacks(c->host, MISSING_APPARMOR)) {
                r = apparmor_change_profile(c->proc_fd, c->host->label);
                if (r < 0)
                        return sandbox_fail(
                                reterr, LAYER_APPARMOR, r, "cannot change to %s", c->host->label);
        }

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return sandbox_fail(reterr, LAYER_NO_NEW_PRIVS, -errno, "cannot be set");

        r = place_fds(c);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_PROCESS, r, "cannot arrange descriptors");

        r = seccomp_filter_load(&c->host->filter);
        return r < 0 ? sandbox_fail(reterr, LAYER_SECCOMP, r, "cannot load the filter") : 0;
}

int confinement_exec(const Confinement *c, SandboxError *reterr) {
        char name[] = "dyno-init";
        char *const argv[] = {name, NULL}, *const envp[] = {NULL};

        (void)execveat(c->init_fd, "", argv, envp, AT_EMPTY_PATH);
        return sandbox_fail(reterr, LAYER_PROCESS, -errno, "cannot execute dyno-init");
}
