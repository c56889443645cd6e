/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "ipc/dyno_spec.h"
#include "ipc/init_fds.h"
#include "launcher/dynos_internal.h"
#include "launcher/policies.h"
#include "launcher/slots.h"
#include "launcher/sweep.h"
#include "sandbox/cgroup.h"

/* The FIFOs of a dyno that has ended are looked at in these intervals: nothing announces
 * that a pipe was read empty. */
#define DRAIN_FIRST_USEC (2 * USEC_PER_MSEC)
#define DRAIN_LAST_USEC (500 * USEC_PER_MSEC)

#define DRAIN_LIMIT_USEC (60 * USEC_PER_SEC) /* for watchdog = 0: its default */

/* ---- objects ---- */

Dyno *dyno_new(Launcher *launcher) {
        Dyno *dyno = calloc(1, sizeof(*dyno));

        if (!dyno)
                return NULL;
        dyno->launcher = launcher;
        dyno->slot = (SandboxSlot)SANDBOX_SLOT_INIT;
        dyno->process = (SandboxDyno)SANDBOX_DYNO_INIT;
        dyno->app_fifo_fd = dyno->log_fifo_fd = dyno->status_fd = -EBADF;
        dyno->watch = -1;
        return dyno;
}

void dyno_link(Dyno *dyno) {
        dyno->next = dyno->launcher->dynos;
        dyno->launcher->dynos = dyno;
}

Dyno *dyno_free(Dyno *dyno) {
        if (!dyno)
                return NULL;

        for (Dyno **at = &dyno->launcher->dynos; *at; at = &(*at)->next)
                if (*at == dyno) {
                        *at = dyno->next;
                        break;
                }
        dyno->exit_source = source_free(dyno->exit_source);
        dyno->drain_timer = source_free(dyno->drain_timer);
        dyno->end_timer = source_free(dyno->end_timer);
        dyno->start_source = source_free(dyno->start_source);
        dyno->start_timer = source_free(dyno->start_timer);
        dyno->start = sandbox_start_free(dyno->start);
        if (dyno->watch >= 0)
                (void)inotify_rm_watch(dyno->launcher->inotify_fd, dyno->watch);
        dyno->app_fifo_fd = safe_close(dyno->app_fifo_fd);
        dyno->log_fifo_fd = safe_close(dyno->log_fifo_fd);
        dyno->status_fd = safe_close(dyno->status_fd);
        sandbox_dyno_clear(&dyno->process);
        sandbox_slot_release(&dyno->slot);
        free(dyno);
        return NULL;
}

Dyno *dyno_find(const Launcher *launcher, const char *id) {
        for (Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next)
                if (strcmp(dyno->facts.start.id, id) == 0)
                        return dyno;

        return NULL;
}

Dyno *dyno_find_running(const Launcher *launcher, const char *id) {
        Dyno *dyno = dyno_find(launcher, id);

        return dyno && dyno->exit_source ? dyno : NULL;
}

bool dynos_use(const Launcher *launcher, ObjectKind kind, const uint8_t digest[DIGEST_SIZE]) {
        for (const Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next) {
                const LaunchStart *start = &dyno->facts.start;

                if (dyno_is_alive(dyno) && memcmp(kind == OBJECT_STACK ? start->stack : start->slug,
                                                  digest,
                                                  DIGEST_SIZE) == 0)
                        return true;
        }
        return false;
}

unsigned dynos_count(const Launcher *launcher) {
        unsigned n = 0;

        for (const Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next)
                if (dyno_is_alive(dyno))
                        n++;

        return n;
}

unsigned dynos_told(const Launcher *launcher) {
        unsigned n = 0;

        for (const Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next)
                n += !dyno->start_failed && !dyno->start;
        return n;
}

void dynos_clear(Launcher *launcher) {
        while (launcher->dynos)
                (void)dyno_free(launcher->dynos);
}

/* ---- what the supervisor is told ---- */

static void announce_exit(Dyno *dyno) {
        LaunchExited exited = {
                .header = {.type = LAUNCH_EXITED},
                .status = dyno->exit_status,
                .flags = dyno->exit_flags,
                .usec = dyno->exit_usec,
        };

        if (!dyno->launcher->link)
                return;
        field_set(exited.id, sizeof(exited.id), dyno->facts.start.id);
        link_send(dyno->launcher, &exited, sizeof(exited), NULL, 0);
        dyno->exit_told = true;
}

void dyno_announce(Dyno *dyno) {
        if (dyno->start_failed || dyno->start)
                return; /* there is no such dyno, or not yet */
        dyno->facts.header = (LaunchHeader){.type = LAUNCH_DYNO};
        link_send(dyno->launcher, &dyno->facts, sizeof(dyno->facts), NULL, 0);
        if (dyno->exit_usec != 0)
                announce_exit(dyno);
}

void dynos_untell(Launcher *launcher) {
        for (Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next)
                dyno->exit_told = false;
}

void dynos_announce(Launcher *launcher) {
        for (Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next)
                dyno_announce(dyno);
}

/* ---- the end of a dyno ---- */

/*
 * Why it ended. Our own waitid(2) comes first; the record, which the dyno's own uid could
 * have had a hand in, only where there is nothing else.
 */
static void find_exit_status(Dyno *dyno) {
        siginfo_t si = {0};
        StatusRecord record;

        if (dyno->process.pidfd >= 0 &&
            waitid(P_PIDFD, (id_t)dyno->process.pidfd, &si, WEXITED | WNOHANG) == 0 &&
            si.si_pid != 0) {
                dyno->exit_status = si.si_code == CLD_EXITED ? (uint32_t)si.si_status & 0xff
                                                             : 128 + (uint32_t)si.si_status;
                return;
        }
        if (dyno_read_status(dyno, &record) && (record.flags & STATUS_EXITED) != 0) {
                dyno->exit_status = record.exit_status;
                return;
        }
        dyno->exit_status = 128 + SIGKILL; /* dyno-init writes its record unless it is killed */
        dyno->exit_flags |= EXITED_UNKNOWN;
}

int dyno_group_end(const Launcher *launcher, const char *id, int cgroup_fd) {
        int r = cgroup_fd >= 0 ? cgroup_kill(cgroup_fd) : 0;

        if (r == 0)
                r = cgroup_remove(launcher->cgroup_fd, id);
        return r == -ENOENT || r == -ENODEV ? 0 : r; /* removed before: nothing is in it */
}

/* Until the group is gone the slot stays taken: two dynos must never share a uid. */
static bool group_is_gone(Dyno *dyno) {
        const char *id = dyno->facts.start.id;
        int r;

        if (dyno->group_gone)
                return true;
        r = dyno_group_end(dyno->launcher, id, dyno->process.cgroup_fd);
        dyno->group_gone = r == 0;
        if (r == 0)
                sweep_discard(dyno->launcher, id);
        if (r < 0 && dyno->drain_wait_usec == DRAIN_FIRST_USEC << 6) /* once, after 0.25 s */
                (void)log_warning_errno(r, "%s: cannot remove its cgroup: %m", id);
        return r == 0;
}

/* True if a supervisor has heard of it: what only lies in the channel dies with its reader. */
static bool exit_is_known(const Dyno *dyno) {
        return dyno->exit_told && link_is_read(dyno->launcher);
}

/* A process whose start failed has no event of its own: nobody waits for it but this. */
static bool is_reaped(const Dyno *dyno) {
        siginfo_t si = {0};
        int r;

        if (!dyno->start_failed)
                return true;
        r = waitid(P_PIDFD, (id_t)dyno->process.pidfd, &si, WEXITED | WNOHANG);
        return r < 0 || si.si_pid != 0; /* ECHILD: at an earlier look */
}

static bool is_done_with(Dyno *dyno) {
        if (!is_reaped(dyno) || !group_is_gone(dyno))
                return false;
        return dyno->start_failed || (dyno_is_drained(dyno) && exit_is_known(dyno));
}

static void forget(Dyno *dyno) {
        dyno_folder_remove(dyno->launcher, dyno->facts.start.id);
        slots_give_back(dyno->launcher, &dyno->slot);
        (void)dyno_free(dyno);
}

static int on_drain_timer(void *userdata, uint32_t events) {
        Dyno *dyno = userdata;

        if (!is_done_with(dyno)) {
                if (dyno->drain_wait_usec < DRAIN_LAST_USEC)
                        dyno->drain_wait_usec *= 2;
                source_set_time(dyno->drain_timer, clock_boottime_usec() + dyno->drain_wait_usec);
                return 0;
        }

        forget(dyno);
        return 0;
}

bool dynos_forget_oldest(Launcher *launcher) {
        Dyno *oldest = NULL;

        for (Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next)
                if (dyno->exit_usec != 0 && dyno->group_gone && dyno->exit_told &&
                    (!oldest || dyno->exit_usec < oldest->exit_usec))
                        oldest = dyno;
        if (!oldest)
                return false;

        log_warning(
                "%s: its last output was not read, and its slot is needed.",
                oldest->facts.start.id);
        forget(oldest);
        return true;
}

void dyno_tear_down(Dyno *dyno) {
        int r;

        dyno->drain_wait_usec = DRAIN_FIRST_USEC;
        /* PID 1 took the whole namespace along; a ps:exec that is still joining goes too. */
        (void)group_is_gone(dyno);
        r = loop_add_timer(dyno->launcher->loop, &dyno->drain_timer, 0, on_drain_timer, dyno);
        if (r < 0)
                (void)log_error_errno(
                        r, "%s: cannot wait for its output: %m", dyno->facts.start.id);
}

void dyno_ended(Dyno *dyno) {
        CgroupCounters counters = {0};

        dyno->exit_usec = clock_realtime_usec();
        find_exit_status(dyno);
        if (dyno->process.cgroup_fd >= 0 &&
            cgroup_read_counters(dyno->process.cgroup_fd, &counters) == 0) {
                if (counters.oom_kill > 0)
                        dyno->exit_flags |= EXITED_OOM;
                if (counters.pids_max > 0)
                        dyno->exit_flags |= EXITED_PIDS_MAX;
        }
        dyno->exit_source = source_free(dyno->exit_source);
        dyno->end_timer = source_free(dyno->end_timer);
        /* Published ports lead to its siblings from now on. */
        (void)net_slot_listens(dyno->launcher->net, dyno->slot.index, false);

        announce_exit(dyno);
        dyno_tear_down(dyno);
}

static int on_exit_event(void *userdata, uint32_t events) {
        dyno_ended(userdata);
        return 0;
}

int dyno_watch_exit(Dyno *dyno) {
        return loop_add(
                dyno->launcher->loop,
                &dyno->exit_source,
                dyno->process.pidfd,
                EPOLLIN,
                on_exit_event,
                dyno);
}

/* ---- what dyno-init writes down ---- */

/* Queues an order to dyno-init, see ipc/init_fds.h. */
static int send_order(const Dyno *dyno, int order) {
        siginfo_t si = {0};

        si.si_signo = INIT_ORDER_SIGNAL;
        si.si_code = SI_QUEUE;
        si.si_pid = getpid();
        si.si_uid = getuid();
        si.si_value.sival_int = order;
        /* Safe: by pidfd, so it cannot reach another process. */
        if (syscall(SYS_pidfd_send_signal, dyno->process.pidfd, INIT_ORDER_SIGNAL, &si, 0) < 0)
                return -errno;
        return 0;
}

static int on_end_timer(void *userdata, uint32_t events) {
        Dyno *dyno = userdata;

        log_warning("%s has ended, and its output is not read.", dyno->facts.start.id);
        /* It is dyno-init's own to say that it has ended: who forges that ends itself. */
        (void)send_order(dyno, INIT_ORDER_END);
        return 0;
}

/*
 * dyno-init waits until its output is read, and is told to end when no logger does, neither
 * this one nor the next. What it leaves in the FIFOs stays there: rule 3.
 */
static void limit_drain(Dyno *dyno) {
        uint64_t usec = dyno->launcher->config->watchdog_usec;

        if (usec == 0)
                usec = DRAIN_LIMIT_USEC;
        if (!dyno->end_timer && loop_add_timer(
                                        dyno->launcher->loop,
                                        &dyno->end_timer,
                                        clock_boottime_usec() + 2 * usec,
                                        on_end_timer,
                                        dyno) < 0)
                log_warning("%s: no memory to limit its end.", dyno->facts.start.id);
}

void dyno_take_status(Dyno *dyno) {
        StatusRecord record;
        int r;

        if (!dyno_read_status(dyno, &record) || !dyno->exit_source)
                return;

        if ((record.flags & STATUS_EXITED) != 0)
                limit_drain(dyno);

        if ((record.flags & STATUS_BOUND) != 0 && dyno->facts.bound == 0 &&
            dyno->facts.start.web_port != 0) {
                LaunchDyno bound = {.header = {.type = LAUNCH_BOUND}};

                dyno->facts.bound = 1;
                r = net_slot_listens(dyno->launcher->net, dyno->slot.index, true);
                if (r < 0)
                        (void)log_warning_errno(
                                r,
                                "%s: cannot give it a share of published ports: %m",
                                dyno->facts.start.id);
                r = dyno_folder_publish(dyno, false);
                if (r < 0)
                        (void)log_warning_errno(
                                r, "%s: cannot write its state: %m", dyno->facts.start.id);
                field_set(bound.id, sizeof(bound.id), dyno->facts.start.id);
                link_send(dyno->launcher, &bound, sizeof(bound), NULL, 0);
        }
}

static void on_watch(Launcher *launcher, int watch) {
        for (Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next)
                if (dyno->watch == watch) {
                        dyno_take_status(dyno);
                        return;
                }
}

int dynos_on_inotify(void *userdata, uint32_t events) {
        Launcher *launcher = userdata;
        /* A watch on a file brings events without a name. */
        struct inotify_event buf[64];
        ssize_t n = read(launcher->inotify_fd, buf, sizeof(buf));

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;

        for (size_t i = 0; i < (size_t)n / sizeof(buf[0]); i++) {
                if ((buf[i].mask & IN_Q_OVERFLOW) != 0)
                        for (Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next)
                                dyno_take_status(dyno);
                else if ((buf[i].mask & IN_MODIFY) != 0)
                        on_watch(launcher, buf[i].wd);
        }

        return 0;
}

/* ---- requests to a running dyno ---- */

int dyno_signal(Launcher *launcher, const LaunchSignal *request) {
        const Dyno *dyno = dyno_find_running(launcher, request->id);
        int r;

        if (!dyno)
                return -ESRCH;

        r = send_order(dyno, INIT_ORDER(request->target, request->signo));
        /* The app has used up RLIMIT_SIGPENDING: see ipc/init_fds.h. Safe: by pidfd, as above. */
        if (r == -EAGAIN && request->target == SIGNAL_ALL &&
            init_is_plain_order((int)request->signo) &&
            syscall(SYS_pidfd_send_signal, dyno->process.pidfd, (int)request->signo, NULL, 0) == 0)
                r = 0;

        return r;
}

int dyno_kill(Launcher *launcher, const char *id) {
        const Dyno *dyno = dyno_find_running(launcher, id);

        if (!dyno)
                return -ESRCH;
        /* Safe: the cgroup of this dyno, opened when it was made. */
        return cgroup_kill(dyno->process.cgroup_fd);
}

void dyno_inspect(Launcher *launcher, const char *id, LaunchInspected *ret) {
        uint64_t begin_usec = clock_boottime_usec();
        const Dyno *dyno = dyno_find_running(launcher, id);
        SandboxExpect expect;
        int r;

        if (!dyno) {
                ret->result = -ESRCH;
                return;
        }

        expect = (SandboxExpect){
                .start = &dyno->facts.start,
                .uid = dyno->slot.uid,
                .address = dyno->slot.address,
                .netns_fd = dyno->slot.netns_fd,
                .userns_fd = dyno->slot.userns_fd,
        };
        r = sandbox_inspect(launcher->host, &dyno->process, &expect, ret->layers);
        if (r == 0) {
                LaunchLayerReport *network = &ret->layers[LAYER_NETWORK];
                char detail[NET_DETAIL_SIZE];
                int checked;

                network_look(launcher);
                checked = net_check_slot(
                        launcher->net,
                        dyno->slot.index,
                        dyno->slot.netns_fd,
                        detail,
                        sizeof(detail));

                /* The sandbox saw the namespace; links and rules are the network's to judge. */
                if (network->verdict == VERDICT_OK || checked != 0) {
                        if (checked != 0)
                                network->verdict = VERDICT_FAILED;
                        field_set(network->detail, sizeof(network->detail), "");
                        (void)snprintf(network->detail, sizeof(network->detail), "%s", detail);
                        launch_line_clean(network->detail);
                }
        }

        ret->result = r;
        ret->duration_usec = (uint32_t)(clock_boottime_usec() - begin_usec);
        memcpy(ret->phase_usec, dyno->phase_usec, sizeof(ret->phase_usec));
}
