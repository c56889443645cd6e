/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "base/log.h"
#include "launcher/child.h"
#include "launcher/scope.h"
#include "launcher/sizes.h"
#include "sandbox/cgroup.h"

/* systemd has seen the end of the old one by then, or it is tried again. */
#define RENEW_FIRST_USEC (100 * USEC_PER_MSEC)
#define RENEW_AGAIN_USEC (1 * USEC_PER_SEC)

int scope_ask(const Launcher *launcher, char *ret, size_t size) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int read_fd = -EBADF, write_fd = -EBADF, pidfd = -EBADF;
        char program[] = "dynod-scope", instance[INSTANCE_NAME_SIZE], timeout[24], keeper[24],
             tasks[24];
        char *argv[] = {program, instance, timeout, keeper, tasks, NULL};
        ChildSpec child = {.argv = argv, .fds = &write_fd, .n_fds = 1, .outlives_us = true};
        int pipe_fds[2], r;
        ssize_t n;
        pid_t pid;

        if (asprintf(&path, "%s/dynod-scope", launcher->config->libexec_dir) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return -errno;
        read_fd = pipe_fds[0];
        write_fd = pipe_fds[1];
        field_set(instance, sizeof(instance), launcher->config->instance);
        /* At shutdown systemd waits for the scope: longer than any dyno's grace. */
        (void)snprintf(
                timeout,
                sizeof(timeout),
                "%" PRIu64,
                launcher->config->stop_grace_usec / USEC_PER_SEC + 30);
        (void)snprintf(
                keeper, sizeof(keeper), "%" PRIu32, launcher->config->uid_base + CONFIG_UID_KEEPER);
        (void)snprintf(tasks, sizeof(tasks), "%" PRIu64, sizes_all_dynos(sizes_host_tasks()));
        child.path = path;
        r = child_spawn(&child, &pid, &pidfd);
        if (r < 0)
                return r;
        write_fd = safe_close(write_fd);

        n = read(read_fd, ret, size - 1);
        r = child_wait(pidfd);
        if (r != 0 || n <= 0 || ret[0] != '/')
                return -EIO; /* it has said why */
        ret[n] = '\0';
        return 0;
}

static void forget_keeper(Launcher *launcher) {
        launcher->keeper_source = source_free(launcher->keeper_source);
        launcher->keeper_events_fd = safe_close(launcher->keeper_events_fd);
}

static int on_keeper(void *userdata, uint32_t events) {
        Launcher *launcher = userdata;

        if (cgroup_is_populated(launcher->keeper_events_fd) > 0)
                return 0;
        log_warning("The keeper of %s-dynos.scope is gone.", launcher->config->instance);
        forget_keeper(launcher);
        source_set_time(launcher->keeper_timer, clock_boottime_usec() + RENEW_FIRST_USEC);
        return 0;
}

static int watch_keeper(Launcher *launcher) {
        _cleanup_close_ int keeper_fd = cgroup_open(launcher->cgroup_fd, "keeper");
        int r;

        if (keeper_fd < 0)
                return keeper_fd;
        launcher->keeper_events_fd = cgroup_open_events(keeper_fd);
        if (launcher->keeper_events_fd < 0)
                return launcher->keeper_events_fd;
        r = loop_add(
                launcher->loop,
                &launcher->keeper_source,
                launcher->keeper_events_fd,
                EPOLLPRI,
                on_keeper,
                launcher);
        return r < 0 ? r : on_keeper(launcher, 0); /* it may have ended meanwhile */
}

static bool is_same(int a_fd, int b_fd) {
        struct stat a, b;

        return fstat(a_fd, &a) == 0 && fstat(b_fd, &b) == 0 && a.st_ino == b.st_ino;
}

static int renew(Launcher *launcher) {
        _cleanup_close_ int fd = -EBADF;
        char path[SCOPE_PATH_SIZE];
        int r;

        r = scope_ask(launcher, path, sizeof(path));
        if (r < 0)
                return r;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (!is_same(fd, launcher->cgroup_fd)) {
                /* Under the old number: whoever of us borrowed it goes on with the new one. */
                if (dup3(fd, launcher->cgroup_fd, O_CLOEXEC) < 0)
                        return -errno;
                r = sandbox_host_regroup(launcher->host);
                if (r < 0)
                        return r;
                host_guard(launcher);
                services_restart_supervisor(launcher); /* it has the old one */
        }
        return watch_keeper(launcher);
}

static int on_timer(void *userdata, uint32_t events) {
        Launcher *launcher = userdata;
        int r = renew(launcher);

        if (r < 0) {
                (void)log_warning_errno(
                        r, "Cannot make %s-dynos.scope again yet: %m", launcher->config->instance);
                forget_keeper(launcher);
                source_set_time(launcher->keeper_timer, clock_boottime_usec() + RENEW_AGAIN_USEC);
        }
        return 0;
}

int scope_watch(Launcher *launcher) {
        int r;

        if (launcher->config->cgroup_root)
                return 0;
        r = loop_add_timer(
                launcher->loop, &launcher->keeper_timer, USEC_INFINITY, on_timer, launcher);
        return r < 0 ? r : watch_keeper(launcher);
}

void scope_unwatch(Launcher *launcher) {
        launcher->keeper_timer = source_free(launcher->keeper_timer);
        forget_keeper(launcher);
}
