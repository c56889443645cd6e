/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Making dynos: what the launcher uses of this room, besides cgroup.h and net.h.
 *
 * Everything runs in the launcher's one thread and returns within milliseconds. A dyno
 * that cannot be isolated completely is never started: the functions fail closed and
 * name the layer that is to blame.
 *
 * Order in the launcher's life: sandbox_isolate_mounts() before any folder is opened,
 * sandbox_host_new(), sandbox_confine_self() when everything that it refuses is done,
 * then slots, launches and execs.
 */

#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "config/config.h"
#include "ipc/launch_proto.h"
#include "sandbox/scratch.h"

#define SANDBOX_DYNO_UID 10000U /* uid and gid of the user inside every dyno */

/* What went wrong, for people: "LAYER: DETAIL". */
typedef struct SandboxError {
        LaunchLayer layer; /* to blame; LAYER_PROCESS if it is none of isolation */
        int error;         /* positive errno, or 0 where @detail says it all */
        char detail[128];  /* one line, ASCII */
} SandboxError;

typedef struct SandboxHost SandboxHost;

/*
 * What can be made before a start is asked for. One dyno at a time uses a slot, and no
 * slot is used twice without sandbox_slot_release() in between.
 */
typedef struct SandboxSlot {
        uint32_t index;         /* 0 to config->max_dynos - 1 */
        uid_t uid;              /* the dyno's uid and gid on the host */
        struct in_addr address; /* of eth0, for /etc/hosts and reports; filled by the launcher */
        int netns_fd;           /* from net_slot_create(); owned by the slot from then on */
        int userns_fd;          /* the dyno's user namespace */
        int slug_idmap_fd;      /* user namespace whose mapping the slug is mounted with */
} SandboxSlot;

#define SANDBOX_SLOT_INIT                                                                          \
        { .netns_fd = -EBADF, .userns_fd = -EBADF, .slug_idmap_fd = -EBADF }

/* All descriptors are borrowed. */
typedef struct SandboxLaunch {
        const SandboxSlot *slot;
        const LaunchStart *start; /* after sandbox_host_limit() */
        uint64_t received_usec;   /* CLOCK_BOOTTIME: phases are counted from here */
        int stack_fd;             /* folder of the stack's object: tree/, passwd, group */
        int slug_fd;              /* the slug's tree */
        int spec_fd;              /* checked with dyno_spec_check_fd() */
        int attach_fd;            /* attach socket, or negative */
        int status_fd;            /* StatusRecord file, read-write */
        int app_fifo_fd;          /* read-write */
        int log_fifo_fd;          /* read-write */
} SandboxLaunch;

/* A running dyno. */
typedef struct SandboxDyno {
        pid_t pid;                       /* of dyno-init */
        int pidfd;                       /* owned */
        int cgroup_fd;                   /* folder of its cgroup, owned */
        uint32_t phase_usec[_PHASE_MAX]; /* PHASE_SLOT is the launcher's to fill */
} SandboxDyno;

#define SANDBOX_DYNO_INIT                                                                          \
        { .pidfd = -EBADF, .cgroup_fd = -EBADF }

typedef struct SandboxExec {
        const SandboxDyno *dyno;
        const LaunchStart *start; /* as the dyno was started with */
        uid_t uid;                /* the dyno's, on the host */
        int spec_fd;              /* checked with dyno_spec_check_fd() */
        int attach_fd;
        int death_fd; /* read end of a pipe whose write end the launcher keeps, or negative */
} SandboxExec;

/* What a dyno is compared with. A descriptor that is not known any more is negative. */
typedef struct SandboxExpect {
        const LaunchStart *start;
        uid_t uid;
        struct in_addr address;
        int netns_fd;
        int userns_fd;
} SandboxExpect;

/**
 * sandbox_isolate_mounts() - move this process to a mount namespace of its own
 *
 * Mounts of the host keep arriving here, ours never leave (PID 1 would read all of
 * them again at each). A folder that was opened before cannot be mounted from any more,
 * so this comes first in main(). Needs CAP_SYS_ADMIN.
 *
 * Return: 0 or a negative errno.
 */
int sandbox_isolate_mounts(void) _must_check_;

/**
 * sandbox_host_new() - make ready what all dynos share
 * @ret:             owned by the caller, release with sandbox_host_free()
 * @config:          borrowed, outlives the host
 * @cgroup_root_fd:  cgroup v2 folder below which dynos get theirs; borrowed, outlives the
 *                   host; holds no process itself
 * @reterr:          filled on failure
 *
 * config->run_dir must exist. Opens dyno-init, compiles the seccomp policy, enables
 * cgroup controllers, mounts /dev and /sys templates. A layer that the kernel lacks is no
 * failure here, so that `doctor` can answer: sandbox_launch_begin() refuses then.
 *
 * Return: 0 or a negative errno.
 */
int sandbox_host_new(
        SandboxHost **ret, const Config *config, int cgroup_root_fd, SandboxError *reterr)
        _must_check_;
SandboxHost *sandbox_host_free(SandboxHost *host);
DEFINE_CLEANUP(SandboxHost, sandbox_host_free)

/* The group of all dynos is a new one, under the old descriptor. 0 or a negative errno. */
int sandbox_host_regroup(SandboxHost *host) _must_check_;

/* Layers of MissingLayer that are missing here, allowed or not. TC is not ours. */
uint32_t sandbox_host_missing(const SandboxHost *host);

/* Borrowed. Whoever reaps a dyno discards what it left there. */
const Scratch *sandbox_host_scratch(const SandboxHost *host);

/* scratch_limit(), after a look for scratch if it was not there. */
void sandbox_host_limit(SandboxHost *host, uint64_t memory_total, LaunchStart *start);

/* The host's side of each layer, for `doctor`. LAYER_NETWORK is left to net.h. */
void sandbox_host_report(const SandboxHost *host, LaunchLayerReport ret[_LAYER_MAX]);

/**
 * sandbox_confine_self() - load dynod's own seccomp filter into this process
 * @host:  updated: dynos inherit the filter, and its level is counted at read-back
 *
 * Refuses with an errno, for good, what neither root nor any dyno may call. All
 * children started later inherit it. Needs CAP_SYS_ADMIN (no_new_privs stays off).
 *
 * Return: 0 or a negative errno.
 */
int sandbox_confine_self(SandboxHost *host) _must_check_;

/**
 * sandbox_slot_prepare() - make a slot's user namespaces
 * @host:    host
 * @index:   of the slot
 * @ret:     uid, userns_fd and slug_idmap_fd are filled; release with sandbox_slot_release()
 * @reterr:  filled on failure
 *
 * About 1 ms, off the start path. Needs CAP_SETUID, CAP_SETGID, CAP_SYS_ADMIN and
 * CAP_SYS_PTRACE.
 *
 * Return: 0 or a negative errno.
 */
int sandbox_slot_prepare(SandboxHost *host, uint32_t index, SandboxSlot *ret, SandboxError *reterr)
        _must_check_;

/* Closes the slot's namespaces, netns_fd too. The kernel frees them with their last user. */
void sandbox_slot_release(SandboxSlot *slot);

enum {
        _SANDBOX_E_OK,

        SANDBOX_E_AGAIN, /* its descriptor is readable when it can go on */
};

/* A dyno on its way through its layers. */
typedef struct SandboxStart SandboxStart;

/**
 * sandbox_launch_begin() - begin to start a dyno
 * @host:    host; outlives the start
 * @launch:  what to start; borrowed during this call, but for the slot's descriptors
 * @ret:     its way through the layers; release with sandbox_start_free()
 * @reterr:  filled on failure
 *
 * Makes the cgroup named after start->id with its limits, and in it a process that takes on
 * all layers and becomes dyno-init. On failure nothing is left.
 *
 * Return: 0 or a negative errno: -ENOPROTOOPT if a layer is missing here and not allowed.
 */
int sandbox_launch_begin(
        SandboxHost *host, const SandboxLaunch *launch, SandboxStart **ret, SandboxError *reterr)
        _must_check_;

int sandbox_start_fd(const SandboxStart *start); /* for EPOLLIN; borrowed */

/**
 * sandbox_start_continue() - see how far it got, without waiting
 * @start:   the start
 * @reterr:  filled on failure
 *
 * The process runs our own code alone, but with the share of the CPU and the memory that the
 * supervisor gave it, and may be late: the caller sets a limit.
 *
 * Return: 0 when every layer was read back from the kernel and dyno-init was told to go on,
 * SANDBOX_E_AGAIN, or a negative errno, -EPROTO if a layer differs from what was asked for:
 * kill the group then.
 */
int sandbox_start_continue(SandboxStart *start, SandboxError *reterr) _must_check_;

/* Hands the process over, whatever became of it; release with sandbox_dyno_clear(). */
void sandbox_start_take(SandboxStart *start, SandboxDyno *ret);

/* The process goes on, or ends if it was not told to go on. */
SandboxStart *sandbox_start_free(SandboxStart *start);
DEFINE_CLEANUP(SandboxStart, sandbox_start_free)

/* A ps:exec on its way into its dyno. */
typedef struct SandboxJoin SandboxJoin;

/**
 * sandbox_exec_begin() - start a further dyno-init inside a running dyno
 * @host:       host; outlives the join
 * @exec:       where and what; borrowed during this call
 * @ret:        its way through the layers; release with sandbox_join_free()
 * @ret_pidfd:  the process, our child; owned by the caller, outlives @ret
 * @reterr:     filled on failure
 *
 * Joins the dyno's namespaces and cgroup, then takes the same way through the layers as
 * a launch, read-back included. The dyno can hold its process up for as long as it
 * likes: the caller sets a limit and kills it.
 *
 * Return: as sandbox_launch_begin(); -ESRCH if the dyno is gone.
 */
int sandbox_exec_begin(
        SandboxHost *host,
        const SandboxExec *exec,
        SandboxJoin **ret,
        int *ret_pidfd,
        SandboxError *reterr) _must_check_;

int sandbox_join_fd(const SandboxJoin *join); /* for EPOLLIN; borrowed */

/**
 * sandbox_join_continue() - see how far it got, without waiting
 * @join:    the join
 * @reterr:  filled on failure
 *
 * Return: 0 when every layer was read back and dyno-init was told to go on,
 * SANDBOX_E_AGAIN, or a negative errno: kill the process then.
 */
int sandbox_join_continue(SandboxJoin *join, SandboxError *reterr) _must_check_;

/* The process itself goes on, or dies if it was not told to go on. */
SandboxJoin *sandbox_join_free(SandboxJoin *join);
DEFINE_CLEANUP(SandboxJoin, sandbox_join_free)

/**
 * sandbox_adopt() - take over a dyno that an earlier dynod started
 * @host:    host
 * @id:      of the dyno
 * @uid:     the dyno's on the host
 * @pid:     of its dyno-init, from the state file
 * @ret:     pid, pidfd and cgroup_fd are filled
 *
 * Verifies that @pid is in the cgroup of @id, is PID 1 of its namespace and has @uid.
 *
 * Return: 0, -ESRCH if it is gone, or a negative errno.
 */
int sandbox_adopt(SandboxHost *host, const char *id, uid_t uid, pid_t pid, SandboxDyno *ret)
        _must_check_;

/**
 * sandbox_inspect() - read every layer of a running dyno back from the kernel
 * @host:    host
 * @dyno:    dyno
 * @expect:  what it is compared with
 * @ret:     one report per layer
 *
 * Return: 0 whatever the verdicts are, -ESRCH if the dyno ended meanwhile, or a negative
 * errno.
 */
int sandbox_inspect(
        SandboxHost *host,
        const SandboxDyno *dyno,
        const SandboxExpect *expect,
        LaunchLayerReport ret[_LAYER_MAX]) _must_check_;

/* Closes the descriptors. The dyno itself goes on. */
void sandbox_dyno_clear(SandboxDyno *dyno);
