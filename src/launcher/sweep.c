/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "image/unpack_spawn.h"
#include "launcher/sweep.h"

/* Who left millions of names does not keep the others' trash waiting behind them. */
#define SLICE_USEC (2 * USEC_PER_SEC)

struct Sweep {
        Launcher *launcher;
        int program_fd;
        char profile[INSTANCE_NAME_SIZE + 16]; /* "": the host has no AppArmor */
        UnpackChild child;                     /* empties the folder @id */
        char id[DYNO_ID_SIZE];                 /* after its end: the last one */
        Source *source, *slice_timer;          /* NULL: nothing is being emptied */
        bool interrupted;                      /* for others; the rest of it comes later */
};

int sweep_new(Launcher *launcher) {
        const Config *config = launcher->config;
        _cleanup_free_ char *path = NULL;
        Sweep *sweep;

        if (asprintf(&path, "%s/dynod-unpacker", config->libexec_dir) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        sweep = calloc(1, sizeof(*sweep));
        if (!sweep)
                return -ENOMEM;
        sweep->launcher = launcher;
        sweep->child = (UnpackChild)UNPACK_CHILD_INIT;
        if ((sandbox_host_missing(launcher->host) & UINT32_C(1) << MISSING_APPARMOR) == 0)
                (void)snprintf(
                        sweep->profile, sizeof(sweep->profile), "%s-unpacker", config->instance);
        sweep->program_fd = open(path, O_PATH | O_CLOEXEC);
        if (sweep->program_fd < 0) {
                int r = -errno;

                free(sweep);
                return r;
        }

        launcher->sweep = sweep;
        return 0;
}

Sweep *sweep_free(Sweep *sweep) {
        if (!sweep)
                return NULL;

        sweep->source = source_free(sweep->source);
        sweep->slice_timer = source_free(sweep->slice_timer);
        unpack_child_kill(&sweep->child);
        (void)safe_close(sweep->program_fd);
        free(sweep);
        return NULL;
}

/* The child is gone, and says @r. Whether it did its job shows by whether the folder is empty. */
static void end_one(Sweep *sweep, int r) {
        int q;

        q = scratch_end_trash(sandbox_host_scratch(sweep->launcher->host), sweep->id);
        if (q < 0)
                (void)log_error_errno(
                        r < 0 ? r : q,
                        "%s: what it left in scratch cannot be removed: %m",
                        sweep->id);
}

/* Starts to empty the next folder. Return: 1, 0 if there is none, or a negative errno. */
static int spawn_next(Sweep *sweep) {
        const Launcher *launcher = sweep->launcher;
        UnpackJob job = {
                .mode = UNPACK_REMOVE,
                .archive_fd = -EBADF,
                .report_fd = -EBADF,
                .record_fd = -EBADF,
                .uid = launcher->config->uid_base + CONFIG_UID_SWEEPER,
                /* Overlayfs makes whiteouts as root. */
                .root_uid = launcher->config->uid_base + CONFIG_UID_SWEPT,
        };
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        r = scratch_next_trash(sandbox_host_scratch(launcher->host), sweep->id, sweep->id, &fd);
        if (r <= 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;
        job.out_fd = fd;
        job.tree_uid = st.st_uid;
        r = unpack_spawn(
                sweep->program_fd, sweep->profile[0] ? sweep->profile : NULL, &job, &sweep->child);
        if (r < 0)
                end_one(sweep, r); /* aside with it: others must not wait for this one */
        return r < 0 ? r : 1;
}

static int on_child_exit(void *userdata, uint32_t events) {
        Sweep *sweep = userdata;

        int r = unpack_reap(&sweep->child);

        if (r == -EAGAIN)
                return 0;
        sweep->source = source_free(sweep->source);
        sweep->slice_timer = source_free(sweep->slice_timer);
        if (!sweep->interrupted)
                end_one(sweep, r);
        sweep->interrupted = false;
        sweep_start(sweep->launcher);
        return 0;
}

static int on_slice_end(void *userdata, uint32_t events) {
        Sweep *sweep = userdata;
        _cleanup_close_ int fd = -EBADF;
        char id[DYNO_ID_SIZE];
        int r;

        r = scratch_next_trash(sandbox_host_scratch(sweep->launcher->host), sweep->id, id, &fd);
        if (r > 0 && strcmp(id, sweep->id) != 0) {
                /* Safe: by pidfd, our own child. What it removed stays removed. */
                sweep->interrupted =
                        syscall(SYS_pidfd_send_signal, sweep->child.pidfd, SIGKILL, NULL, 0) == 0;
                return 0;
        }

        source_set_time(sweep->slice_timer, clock_boottime_usec() + SLICE_USEC);
        return 0;
}

static int watch_child(Sweep *sweep) {
        Loop *loop = sweep->launcher->loop;
        int r;

        r = loop_add(loop, &sweep->source, sweep->child.pidfd, EPOLLIN, on_child_exit, sweep);
        if (r == 0)
                r = loop_add_timer(
                        loop,
                        &sweep->slice_timer,
                        clock_boottime_usec() + SLICE_USEC,
                        on_slice_end,
                        sweep);
        if (r < 0)
                sweep->source = source_free(sweep->source);
        return r;
}

void sweep_start(Launcher *launcher) {
        Sweep *sweep = launcher->sweep;
        int r;

        if (!sweep || sweep->source)
                return;
        r = spawn_next(sweep);
        if (r == 0)
                return;
        if (r > 0)
                r = watch_child(sweep);
        if (r < 0) {
                /* The next dyno that ends tries again. */
                (void)log_warning_errno(r, "Cannot empty the trash of scratch: %m");
                unpack_child_kill(&sweep->child);
        }
}

int sweep_check_room(Launcher *launcher, const LaunchStart *start, SandboxError *reterr) {
        LaunchStart limited = *start;
        int r;

        sandbox_host_limit(launcher->host, launcher->memory_total, &limited);
        r = scratch_check_room(sandbox_host_scratch(launcher->host), &limited);
        if (r == 0)
                return 0;

        sweep_start(launcher);
        *reterr = (SandboxError){.layer = LAYER_ROOTFS, .error = -r};
        (void)snprintf(
                reterr->detail,
                sizeof(reterr->detail),
                r == -EDQUOT ? "scratch has no room before what earlier dynos left is removed"
                             : "cannot see how much of scratch is used");
        return r;
}

void sweep_discard(Launcher *launcher, const char *id) {
        int r;

        r = scratch_discard(sandbox_host_scratch(launcher->host), id);
        if (r < 0) /* met again at the next start */
                (void)log_warning_errno(r, "%s: cannot discard its scratch: %m", id);
        sweep_start(launcher);
}

static bool is_known_to_nobody(void *userdata, const char *id) {
        return false;
}

int sweep_purge(Launcher *launcher) {
        const Scratch *scratch = sandbox_host_scratch(launcher->host);
        struct pollfd end = {.events = POLLIN};
        int r;

        /* An image goes as a whole, and so does what is on a device of our own. */
        if (launcher->config->scratch != SCRATCH_PLACE || scratch->root_fd < 0)
                return 0;
        r = sweep_new(launcher);
        if (r == 0)
                r = scratch_discard_others(scratch, is_known_to_nobody, NULL);
        while (r == 0 && (r = spawn_next(launcher->sweep)) > 0) {
                end.fd = launcher->sweep->child.pidfd;
                while ((r = unpack_reap(&launcher->sweep->child)) == -EAGAIN)
                        (void)poll(&end, 1, -1);
                end_one(launcher->sweep, r);
                r = 0;
        }

        return r < 0 ? r : scratch_remove(scratch);
}
