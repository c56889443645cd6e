/* SPDX-License-Identifier: Apache-2.0 */

/*
 * ps:exec: a process joins a running dyno.
 *
 * On its way it has the dyno's uid and lives on the dyno's memory and CPU, so the dyno can
 * stop it. That costs nobody but the dyno: the loop goes on, the request is answered when
 * the process is through, or has died, or JOIN_TIMEOUT_USEC is over.
 */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "ipc/dyno_spec.h"
#include "launcher/dynos_internal.h"

#define JOIN_TIMEOUT_USEC (10 * USEC_PER_SEC) /* it takes milliseconds in a dyno that lets it */
#define JOINS_MAX 4    /* on their way into one dyno at once: six descriptors of root each */
#define EXECS_MAX 1024 /* at all: a descriptor of root each */

struct Exec {
        Exec *next;
        Launcher *launcher;
        char id[DYNO_ID_SIZE]; /* of the dyno, which may be gone */
        uint32_t seq;          /* of the request; 0: nobody waits for an answer */
        int pidfd;             /* owned */
        Source *exit_source;

        /* until it was told to go on */
        SandboxJoin *join;
        Source *join_source, *timer;
};

static void exec_free(Exec *exec) {
        for (Exec **at = &exec->launcher->execs; *at; at = &(*at)->next)
                if (*at == exec) {
                        *at = exec->next;
                        break;
                }
        exec->exit_source = source_free(exec->exit_source);
        exec->join_source = source_free(exec->join_source);
        exec->timer = source_free(exec->timer);
        exec->join = sandbox_join_free(exec->join);
        exec->pidfd = safe_close(exec->pidfd);
        free(exec);
}

/* It runs, or never will. */
static void end_join(Exec *exec, int result, const SandboxError *error) {
        Launcher *launcher = exec->launcher;

        exec->join_source = source_free(exec->join_source);
        exec->timer = source_free(exec->timer);
        exec->join = sandbox_join_free(exec->join);
        if (result < 0) {
                /* Safe: by pidfd, our own child. Its end is seen by on_exit_event(). */
                (void)syscall(SYS_pidfd_send_signal, exec->pidfd, SIGKILL, NULL, 0);
                log_warning(
                        "%s: ps:exec failed, %s: %s",
                        exec->id,
                        launch_layer_to_string(error->layer),
                        error->detail);
        }
        if (exec->seq != 0)
                link_reply(
                        launcher,
                        exec->seq,
                        LAUNCH_REPLY,
                        result,
                        result < 0 ? error->layer : _LAYER_ANY_MAX);
        exec->seq = 0;
}

static int on_join(void *userdata, uint32_t events) {
        Exec *exec = userdata;
        SandboxError error = {.layer = LAYER_PROCESS};
        int r;

        r = sandbox_join_continue(exec->join, &error);
        if (r != SANDBOX_E_AGAIN)
                end_join(exec, r, &error);
        return 0;
}

static int on_timer(void *userdata, uint32_t events) {
        const SandboxError error = {
                .layer = LAYER_PROCESS,
                .detail = "the dyno does not let its process run",
        };

        end_join(userdata, -ETIMEDOUT, &error);
        return 0;
}

static int on_exit_event(void *userdata, uint32_t events) {
        const SandboxError silent = {.layer = LAYER_PROCESS, .detail = "it died without a word"};
        Exec *exec = userdata;

        if (exec->join)
                (void)on_join(exec, 0); /* why it died is in the pipe */
        if (exec->join)
                /* Whoever holds its pipe open still: the request is answered all the same. */
                end_join(exec, -ECHILD, &silent);
        (void)waitid(P_PIDFD, (id_t)exec->pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
        exec_free(exec);
        return 0;
}

static int watch(Exec *exec) {
        Loop *loop = exec->launcher->loop;
        int r;

        r = loop_add(loop, &exec->exit_source, exec->pidfd, EPOLLIN, on_exit_event, exec);
        if (r == 0)
                r = loop_add(
                        loop,
                        &exec->join_source,
                        sandbox_join_fd(exec->join),
                        EPOLLIN,
                        on_join,
                        exec);
        if (r == 0)
                r = loop_add_timer(
                        loop,
                        &exec->timer,
                        clock_boottime_usec() + JOIN_TIMEOUT_USEC,
                        on_timer,
                        exec);
        return r;
}

/* A dyno that stops all who join it, and a supervisor gone mad, do not use up root's descriptors. */
static int check_room(const Launcher *launcher, const char *id) {
        unsigned joins = 0, execs = 0;

        for (const Exec *exec = launcher->execs; exec; exec = exec->next) {
                execs++;
                joins += exec->join && strcmp(exec->id, id) == 0;
        }
        return execs >= EXECS_MAX || joins >= JOINS_MAX ? -EBUSY : 0;
}

static int begin(Exec *exec, const Dyno *dyno, int spec_fd, int attach_fd, SandboxError *reterr) {
        const SandboxExec request = {
                .dyno = &dyno->process,
                .start = &dyno->facts.start,
                .uid = dyno->slot.uid,
                .spec_fd = spec_fd,
                .attach_fd = attach_fd,
                .death_fd = -EBADF,
        };
        int r;

        r = sandbox_exec_begin(exec->launcher->host, &request, &exec->join, &exec->pidfd, reterr);
        if (r < 0)
                return r;
        r = watch(exec);
        if (r < 0) {
                /*
                 * Safe: our own child, which nobody told to go on. Waited for, since it
                 * would keep the dyno's pid namespace from ending.
                 */
                (void)syscall(SYS_pidfd_send_signal, exec->pidfd, SIGKILL, NULL, 0);
                (void)waitid(P_PIDFD, (id_t)exec->pidfd, &(siginfo_t){0}, WEXITED);
                *reterr = (SandboxError){.layer = LAYER_PROCESS, .detail = "cannot be watched"};
        }
        return r;
}

int dyno_exec(
        Launcher *launcher,
        const LaunchDyno *request,
        int spec_fd,
        int attach_fd,
        SandboxError *reterr) {
        const Dyno *dyno = dyno_find_running(launcher, request->id);
        Exec *exec;
        int r;

        *reterr = (SandboxError){.layer = LAYER_PROCESS};
        if (!dyno)
                return -ESRCH;
        r = dyno_spec_check_fd(spec_fd);
        if (r == 0)
                r = check_room(launcher, request->id);
        if (r < 0)
                return r;
        exec = calloc(1, sizeof(*exec));
        if (!exec)
                return -ENOMEM;
        exec->launcher = launcher;
        exec->seq = request->header.seq;
        exec->pidfd = -EBADF;
        memcpy(exec->id, request->id, sizeof(exec->id));

        r = begin(exec, dyno, spec_fd, attach_fd, reterr);
        if (r < 0) {
                exec_free(exec);
                return r;
        }

        exec->next = launcher->execs;
        launcher->execs = exec;
        return 0;
}

void execs_untell(Launcher *launcher) {
        for (Exec *exec = launcher->execs; exec; exec = exec->next)
                exec->seq = 0;
}

void execs_clear(Launcher *launcher) {
        while (launcher->execs)
                exec_free(launcher->execs);
}
