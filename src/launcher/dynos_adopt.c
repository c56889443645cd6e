/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a new dynod finds of an older one: folders in run_dir/dynos, and cgroups.
 *
 *   folder  cgroup with processes   then
 *   ID      yes                     adopted
 *   ID      no                      it ended: told to the supervisor, drained, removed
 *   .ID     either                  a start that was not completed: killed, removed
 *   none    either                  nobody's: killed, removed
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "ipc/dyno_state.h"
#include "launcher/dynos_internal.h"
#include "launcher/slots.h"
#include "launcher/sweep.h"
#include "sandbox/cgroup.h"

/* What was killed is gone within milliseconds, unless it waits for a device. */
#define END_TRIES 20
#define END_PAUSE_NSEC 5000000 /* ns between them */

static void end_group(const Launcher *launcher, const char *id) {
        _cleanup_close_ int fd = cgroup_open(launcher->cgroup_fd, id);
        int r = dyno_group_end(launcher, id, fd);

        for (int i = 0; r == -EBUSY && i < END_TRIES; i++) {
                const struct timespec pause = {.tv_nsec = END_PAUSE_NSEC};

                (void)nanosleep(&pause, NULL);
                r = dyno_group_end(launcher, id, fd);
        }
        if (r < 0) /* swept at the next start */
                (void)log_warning_errno(r, "%s: cannot remove its cgroup: %m", id);
}

static int adopt_one(Launcher *launcher, const char *id) {
        _cleanup_(dyno_freep) Dyno *dyno = dyno_new(launcher);
        const Config *config = launcher->config;
        uint32_t slot;
        int r;

        if (!dyno)
                return -ENOMEM;
        r = dyno_folder_read_facts(launcher, id, &dyno->facts);
        if (r != 0)
                return r;

        slot = dyno->facts.uid - (config->uid_base + CONFIG_UID_DYNOS);
        if (slot >= CONFIG_DYNOS_MAX ||
            net_plan_address(config->network, slot).dyno.s_addr != dyno->facts.address)
                return -ERANGE; /* uid_base or network were changed under a running dyno */
        r = slots_mark_used(launcher->slots, slot);
        if (r < 0)
                return r; /* the same: the network became smaller */

        dyno->slot.index = slot;
        dyno->slot.uid = dyno->facts.uid;
        dyno->slot.address.s_addr = dyno->facts.address;
        r = dyno_folder_open(dyno);
        if (r < 0)
                return r;

        r = sandbox_adopt(
                launcher->host, id, dyno->facts.uid, (pid_t)dyno->facts.pid, &dyno->process);
        if (r < 0 && r != -ESRCH)
                return r;
        dyno_link(dyno);
        if (r == -ESRCH) {
                /* Tells of the OOM killer, and what may still be in it is killed. */
                dyno->process.cgroup_fd = cgroup_open(launcher->cgroup_fd, id);
                dyno_ended(TAKE_PTR(dyno));
                return 0;
        }

        r = dyno_folder_watch(dyno);
        if (r == 0)
                r = dyno_watch_exit(dyno);
        if (r < 0)
                return r;
        dyno_take_status(TAKE_PTR(dyno));
        return 0;
}

static void remove_leftover(Launcher *launcher, const char *folder, const char *id) {
        end_group(launcher, id);
        dyno_folder_remove(launcher, folder);
}

/* Groups below ours that belong to no dyno that we know. */
static int sweep_groups(Launcher *launcher) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r;

        r = dir_open_at(launcher->cgroup_fd, ".", &dir);
        if (r < 0)
                return r;
        assert(dir);
        while ((entry = readdir(dir))) {
                if (entry->d_type != DT_DIR || !dyno_id_is_valid(entry->d_name) ||
                    dyno_find(launcher, entry->d_name))
                        continue;
                log_warning("Removing cgroup %s, which belongs to no dyno.", entry->d_name);
                end_group(launcher, entry->d_name);
        }

        return 0;
}

static bool is_known(void *userdata, const char *id) {
        return dyno_find(userdata, id) != NULL;
}

int dynos_adopt(Launcher *launcher) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r;

        r = dir_open_at(launcher->dynos_dir_fd, ".", &dir);
        if (r < 0)
                return r;
        assert(dir);
        while ((entry = readdir(dir))) {
                const char *name = entry->d_name;

                if (name[0] == '.' && dyno_id_is_valid(name + 1))
                        remove_leftover(launcher, name, name + 1);
                if (!dyno_id_is_valid(name))
                        continue;
                r = adopt_one(launcher, name);
                if (r == DYNO_STATE_E_NEWER) {
                        log_error(
                                "%s was started by a newer dynod, which it needs to be kept "
                                "under. Install that again, or stop all dynos: dynod --purge",
                                name);
                        return -EPROTONOSUPPORT;
                }
                if (r < 0) {
                        (void)log_error_errno(r, "Cannot adopt %s, stopping it: %m", name);
                        remove_leftover(launcher, name, name);
                }
        }

        r = scratch_discard_others(sandbox_host_scratch(launcher->host), is_known, launcher);
        if (r < 0)
                (void)log_warning_errno(r, "Cannot discard what earlier dynos left: %m");
        sweep_start(launcher);
        return sweep_groups(launcher);
}

static int netns_of(const Dyno *dyno) {
        struct pollfd end = {.fd = dyno->process.pidfd, .events = POLLIN};
        _cleanup_close_ int fd = -EBADF;
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", dyno->process.pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        /* Had it ended before, the number could be another's by now, even the host's. */
        if (fd < 0 || poll(&end, 1, 0) != 0)
                return -ESRCH;
        return TAKE_FD(fd);
}

size_t dynos_list_links(Launcher *launcher, NetKeep *ret) {
        size_t n = 0;

        for (Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next) {
                if (!dyno_is_alive(dyno))
                        continue;
                if (dyno->slot.netns_fd < 0) /* adopted */
                        dyno->slot.netns_fd = netns_of(dyno);
                ret[n++] = (NetKeep){
                        .slot = dyno->slot.index,
                        .web_port = dyno->start ? 0 : dyno->facts.start.web_port, /* not yet */
                        .listens = dyno->facts.bound != 0,
                        .dyno = dyno_network(&dyno->facts.start),
                        .netns_fd = dyno->slot.netns_fd,
                };
        }
        return n;
}

void dynos_remove_folders(Launcher *launcher) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;

        if (dir_open_at(launcher->dynos_dir_fd, ".", &dir) < 0)
                return;
        assert(dir);
        while ((entry = readdir(dir)))
                if (dyno_id_is_valid(entry->d_name + (entry->d_name[0] == '.')))
                        dyno_folder_remove(launcher, entry->d_name);
}
