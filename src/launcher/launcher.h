/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Launcher: the root process. It makes, watches and removes dynos, and keeps the other
 * processes of dynod running. One thread, one Loop; everything hangs off one Launcher
 * that main() owns.
 *
 * Nothing here trusts the supervisor: each request passes launch_message_check(), names
 * only what the launcher has made itself, and is answered once.
 */

#include "config/config.h"
#include "image/store.h"
#include "ipc/launch_proto.h"
#include "launcher/instance.h"
#include "launcher/loop.h"
#include "launcher/repair.h"
#include "launcher/sizes.h"
#include "sandbox/net.h"
#include "sandbox/sandbox.h"

typedef struct Dyno Dyno;
typedef struct Exec Exec;
typedef struct Link Link;
typedef struct Slots Slots;
typedef struct Sweep Sweep;

/* One of the processes that are started again whenever they end. */
typedef struct Service {
        const char *name;
        pid_t pid;
        int pidfd; /* -EBADF: not running */
        Source *exit_source, *restart_timer;
        uint64_t started_usec; /* CLOCK_BOOTTIME */
        unsigned early_ends;   /* in a row: it ended soon after its start */

        /* watchdog.c */
        int watchdog_fds[2]; /* a pipe; the service has the first */
        Source *watchdog_timer;
        uint64_t watchdog_usec;
        unsigned unanswered; /* in a row */
} Service;

/* What was taken from us on the host's network is put back, see network.c. */
typedef struct NetRepair {
        Source *source, *timer;
        bool waiting; /* for the timer */
        RepairPace pace;
} NetRepair;

typedef struct Launcher {
        Config *config; /* as read at start: what dynos are made of does not change under them */
        int config_fd;  /* sealed memfd of the newest one, for supervisor and logger */
        const char *config_path; /* NULL: the usual place */
        Instance instance;
        Loop *loop;
        bool debug;
        bool stopping; /* services are not started again */

        int cgroup_fd;       /* below it, every dyno has its own group */
        int listen_fd;       /* the control socket, for the supervisor */
        int dynos_dir_fd;    /* run_dir/dynos */
        int policies_dir_fd; /* run_dir/policies */
        int signal_fd, inotify_fd;
        Source *signal_source, *inotify_source;
        NetRepair repair;
        int keeper_events_fd; /* scope.c */
        Source *keeper_source, *keeper_timer;

        SandboxHost *host;
        Net *net;
        Store *store;
        Slots *slots;
        Sweep *sweep;
        Dyno *dynos;
        Exec *execs;

        Link *link;       /* to the supervisor; NULL while it does not run */
        size_t n_foreign; /* descriptors of supervisors' that stay open for ever: discard.h */
        /* Supervisor's and logger's end: whoever of them ends, what is under way waits here. */
        int logger_channel_fd[2];
        Service supervisor, logger;
        uint64_t memory_total; /* bytes that dynos may be promised */
        SizeBounds bounds;     /* what each may have */
} Launcher;

/* ---- services.c ---- */

/* Start each and watch it. Return: 0 or a negative errno. */
int services_start(Launcher *launcher) _must_check_;
/* Ends both and forgets them; they get SIGTERM, and after 5 s SIGKILL. */
void services_stop(Launcher *launcher);
/* The supervisor broke the protocol: it is killed and started anew. */
void services_restart_supervisor(Launcher *launcher);

/* ---- link.c: the channel to the supervisor ---- */

int link_open(Launcher *launcher, int fd) _must_check_;
void link_close(Launcher *launcher);
/* Sends, or queues. Without a link the message is lost, as it would be with a dead peer. */
void link_send(Launcher *launcher, const void *msg, size_t size, const int *fds, size_t n_fds);
/* True if the supervisor has received all that was sent. */
bool link_is_read(const Launcher *launcher);
void link_reply(Launcher *launcher, uint32_t seq, uint32_t type, int result, uint32_t layer);

/* ---- requests.c ---- */

/* Carries out one checked message. @fds: borrowed. */
int request_dispatch(Launcher *launcher, const LaunchMessage *msg, const int *fds, size_t n_fds)
        _must_check_;
/* Tells a new supervisor all there is: HELLO, the dynos, READY. */
int request_greet(Launcher *launcher) _must_check_;

/* ---- network.c ---- */

/* Starts the network with the links of all dynos and ready slots. 0 or a negative errno. */
int network_start(Launcher *launcher) _must_check_;
/* Follows what others do to the host's network, from the loop. 0 or a negative errno. */
int network_watch(Launcher *launcher) _must_check_;
void network_unwatch(Launcher *launcher);
/* Reads what happened by now, before somebody relies on net_damage(). */
void network_look(Launcher *launcher);
/* Before a dyno starts: what is damaged is restored now, pause or not. */
void network_make_whole(Launcher *launcher);

/* ---- host.c ---- */

/* Opens or makes cgroup root, run folder, control socket. Return: 0 or a negative errno, logged. */
int host_prepare(Launcher *launcher) _must_check_;
/* Makes the control socket, in place of any that is there. Return: 0 or a negative errno. */
int host_listen(Launcher *launcher) _must_check_;
/* From here on the programs of sandbox/guards.h hold dynos, where the kernel lets them. */
void host_guard(Launcher *launcher);
/* As sandbox/socket_pools.h has it, where memory cgroups bound dynos instead. */
void host_prepare_sockets(const Launcher *launcher);
uint32_t host_missing(const Launcher *launcher);
void host_report(Launcher *launcher, LaunchInspected *ret);
/* `dynod --purge`: stops every dyno and removes all that is the instance's own in the kernel. */
int host_purge(Launcher *launcher) _must_check_;
