/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <poll.h>
#include <sys/wait.h>

#include "launch_wait.h"
#include "sandbox/cgroup.h"
#include "sandbox/sandbox_internal.h"

#define START_MSEC 10000
#define END_MSEC 200 /* a killed one dies in less than one */

static bool undo(SandboxHost *host, const char *id, SandboxDyno *dyno) {
        struct pollfd p = {.fd = dyno->pidfd, .events = POLLIN};

        (void)!cgroup_kill(dyno->cgroup_fd);
        if (poll(&p, 1, END_MSEC) <= 0 ||
            waitid(P_PIDFD, (id_t)dyno->pidfd, &(siginfo_t){0}, WEXITED | WNOHANG) < 0 ||
            cgroup_remove(host->cgroup_root_fd, id) == -EBUSY)
                return false;
        (void)!scratch_discard(&host->scratch, id);
        sandbox_dyno_clear(dyno);
        return true;
}

int sandbox_launch(
        SandboxHost *host, const SandboxLaunch *launch, SandboxDyno *ret, SandboxError *reterr) {
        _cleanup_(sandbox_start_freep) SandboxStart *start = NULL;
        SandboxDyno dyno;
        int r;

        r = sandbox_launch_begin(host, launch, &start, reterr);
        if (r < 0)
                return r;
        while ((r = sandbox_start_continue(start, reterr)) == SANDBOX_E_AGAIN) {
                struct pollfd p = {.fd = sandbox_start_fd(start), .events = POLLIN};

                if (poll(&p, 1, START_MSEC) == 0) {
                        *reterr = (SandboxError){.layer = LAYER_PROCESS, .error = ETIMEDOUT};
                        r = -ETIMEDOUT;
                        break;
                }
        }
        sandbox_start_take(start, &dyno);
        if (r < 0 && undo(host, launch->start->id, &dyno))
                return r;

        *ret = dyno;
        return r;
}
