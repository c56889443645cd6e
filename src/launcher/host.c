/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "launcher/child.h"
#include "launcher/dynos.h"
#include "launcher/policies.h"
#include "launcher/scope.h"
#include "launcher/sweep.h"
#include "sandbox/cgroup.h"
#include "sandbox/guards.h"
#include "sandbox/socket_pools.h"

/* What the host keeps for itself when memory_overcommit does not say otherwise. */
#define HOST_MEMORY_RESERVE (UINT64_C(512) << 20)

/* Clients that connect at once and are not yet accepted. */
#define LISTEN_BACKLOG 64

/* ---- cgroup root ---- */

/* Where there is a scope, dynod-scope asks systemd for the same. */
static int bound_processes(const Launcher *launcher) {
        uint64_t most = sizes_all_dynos(sizes_host_tasks());
        char text[32];
        int r;

        if (most == 0)
                return 0;
        (void)snprintf(text, sizeof(text), "%" PRIu64, most);
        r = write_text_at(launcher->cgroup_fd, "pids.max", text);
        if (r == -ENOENT) /* the controller is missing: no dyno starts unless that is allowed */
                return 0;
        return r < 0 ? log_error_errno(r, "Cannot bound the processes of all dynos: %m") : 0;
}

static int open_cgroup_root(Launcher *launcher) {
        char scope[SCOPE_PATH_SIZE];
        const char *path = launcher->config->cgroup_root;
        struct statfs fs;
        int r;

        if (!path) {
                r = scope_ask(launcher, scope, sizeof(scope));
                if (r < 0)
                        return log_error_errno(
                                r,
                                "Cannot get %s-dynos.scope from systemd (without systemd, set "
                                "cgroup_root in dynod.conf): %m",
                                launcher->config->instance);
                path = scope;
        } else if (mkdir(path, 0755) < 0 && errno != EEXIST) {
                return log_error_errno(-errno, "Cannot make cgroup %s: %m", path);
        }

        launcher->cgroup_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (launcher->cgroup_fd < 0 || fstatfs(launcher->cgroup_fd, &fs) < 0)
                return log_error_errno(-errno, "Cannot open cgroup %s: %m", path);
        if (fs.f_type != 0x63677270) { /* CGROUP2_SUPER_MAGIC of linux/magic.h */
                log_error("%s is not in a cgroup v2 file system.", path);
                return -EINVAL;
        }
        return launcher->config->cgroup_root ? bound_processes(launcher) : 0;
}

/* ---- runtime folder and control socket ---- */

static int open_dynos_dir(Launcher *launcher) {
        int fd;

        if (mkdirat(launcher->instance.run_dir_fd, "dynos", 0750) < 0 && errno != EEXIST)
                return -errno;
        fd =
                openat(launcher->instance.run_dir_fd,
                       "dynos",
                       O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        launcher->dynos_dir_fd = fd;
        /* The logger lists it to find dynos. Safe: root's own folder. */
        if (fchown(fd, 0, launcher->config->logger_gid) < 0 || fchmod(fd, 0750) < 0)
                return -errno;
        return 0;
}

int host_listen(Launcher *launcher) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd, n;
        mode_t saved;

        n = snprintf(
                address.sun_path,
                sizeof(address.sun_path),
                "%s/control.sock",
                launcher->config->run_dir);
        if (n < 0 || (size_t)n >= sizeof(address.sun_path))
                return -ENAMETOOLONG;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        launcher->listen_fd = fd;

        /* The lock says that no other dynod listens there: what is left is a dead socket. */
        (void)unlink(address.sun_path);
        saved = umask(0777); /* nobody connects before owner and mode are right */
        n = bind(fd, (const struct sockaddr *)&address, sizeof(address));
        (void)umask(saved);
        if (n < 0)
                return -errno;
        if (lchown(address.sun_path, 0, launcher->config->control_gid) < 0 ||
            chmod(address.sun_path, 0660) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
                return -errno;

        return 0;
}

static uint64_t memory_for_dynos(const Config *config) {
        struct sysinfo info;
        uint64_t total;

        if (config->memory_overcommit != 0)
                return config->memory_overcommit;
        if (sysinfo(&info) < 0)
                return 0;
        total = (uint64_t)info.totalram * info.mem_unit;
        return total > 2 * HOST_MEMORY_RESERVE ? total - HOST_MEMORY_RESERVE : total / 2;
}

int host_prepare(Launcher *launcher) {
        int r;

        r = open_cgroup_root(launcher);
        if (r < 0)
                return r;
        r = open_dynos_dir(launcher);
        if (r < 0)
                return log_error_errno(r, "Cannot make %s/dynos: %m", launcher->config->run_dir);
        r = policies_open(launcher);
        if (r < 0)
                return log_error_errno(r, "Cannot make %s/policies: %m", launcher->config->run_dir);
        r = host_listen(launcher);
        if (r < 0)
                return log_error_errno(
                        r, "Cannot listen on %s/control.sock: %m", launcher->config->run_dir);
        launcher->memory_total = memory_for_dynos(launcher->config);
        sizes_allow(&launcher->bounds, launcher->config);
        sizes_set_host(&launcher->bounds, sizes_host_tasks());
        return 0;
}

/* ---- guards ---- */

static int run_guards_child(const Launcher *launcher) {
        _cleanup_free_ char *program = NULL;
        _cleanup_close_ int pidfd = -EBADF;
        char name[] = "dynod-guards", instance[INSTANCE_NAME_SIZE], dynos[16];
        char *argv[] = {name, instance, dynos, NULL};
        ChildSpec child = {.argv = argv, .fds = &launcher->cgroup_fd, .n_fds = 1};
        pid_t pid;
        int r;

        if (asprintf(&program, "%s/dynod-guards", launcher->config->libexec_dir) < 0) {
                program = NULL;
                return -ENOMEM;
        }
        (void)snprintf(instance, sizeof(instance), "%s", launcher->config->instance);
        (void)snprintf(dynos, sizeof(dynos), "%" PRIu32, launcher->config->max_dynos);
        child.path = program;
        r = child_spawn(&child, &pid, &pidfd);
        if (r < 0)
                return r;
        (void)child_wait(pidfd); /* it says itself what went wrong */
        return 0;
}

/* No layer that a start depends on: most hosts have it, and doctor says so where not. */
void host_guard(Launcher *launcher) {
        int r = guards_check();

        if (r == 0)
                r = run_guards_child(launcher);
        if (r == -ENOPROTOOPT)
                log_info("The kernel runs without the security module bpf, see herokuctl doctor.");
        else if (r < 0)
                (void)log_warning_errno(r, "Cannot run dynod-guards, ignoring: %m");
}

/* ---- what is missing ---- */

uint32_t host_missing(const Launcher *launcher) {
        uint32_t missing = sandbox_host_missing(launcher->host);

        if (net_tc_error(launcher->net) != 0)
                missing |= UINT32_C(1) << MISSING_TC;
        return missing;
}

void host_prepare_sockets(const Launcher *launcher) {
        int r;

        /* Without a limit of its own, the host's is all that a dyno has. */
        if (host_missing(launcher) & UINT32_C(1) << MISSING_CGROUP_MEMORY)
                return;
        r = socket_pools_raise();
        if (r > 0)
                log_info("Raised the host's limits on sockets, so that dynos end at their own.");
        else if (r < 0)
                (void)log_warning_errno(r, "Cannot raise the host's limits on sockets: %m");
        r = socket_pages_shrink();
        if (r < 0)
                (void)log_warning_errno(r, "Cannot make the pages of the host's sockets small: %m");
}

void host_report(Launcher *launcher, LaunchInspected *ret) {
        LaunchLayerReport *network = &ret->layers[LAYER_NETWORK];
        uint64_t begin_usec = clock_boottime_usec();
        NetReport report = {.table = false};

        network_look(launcher);
        sandbox_host_report(launcher->host, ret->layers);
        *network = (LaunchLayerReport){.verdict = VERDICT_OK};
        if (net_report(launcher->net, &report) < 0) {
                network->verdict = VERDICT_FAILED;
                field_set(network->detail, sizeof(network->detail), "the kernel does not answer");
        } else if (net_report_text(&report, network->detail, sizeof(network->detail)) != 0) {
                network->verdict = VERDICT_FAILED;
        } else if (net_tc_error(launcher->net) != 0) {
                network->verdict =
                        (launcher->config->allow_missing & UINT32_C(1) << MISSING_TC) != 0
                                ? VERDICT_ALLOWED
                                : VERDICT_FAILED;
        }
        /* Names of links and paths of the configuration may be anything. */
        for (size_t i = 0; i < _LAYER_MAX; i++)
                launch_line_clean(ret->layers[i].detail);
        ret->n_blockers = (uint8_t)report.n_blockers;
        memcpy(ret->blockers, report.blockers, sizeof(ret->blockers));
        ret->n_shadowed = (uint8_t)report.n_shadowed;
        memcpy(ret->shadowed, report.shadowed, sizeof(ret->shadowed));
        ret->public_left_out =
                (uint8_t)(report.n_public_left_out < UINT8_MAX ? report.n_public_left_out : UINT8_MAX);
        guards_look(launcher->config->instance, ret->guards);
        ret->duration_usec = (uint32_t)(clock_boottime_usec() - begin_usec);
}

/* ---- purge ---- */

/* Waits for one group to empty, and removes it. Return: 0 or a negative errno, logged. */
static int remove_group(int root_fd, const char *name) {
        _cleanup_close_ int fd = cgroup_open(root_fd, name);
        int r;

        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        r = cgroup_kill(fd);
        if (r == 0)
                r = cgroup_remove(root_fd, name);
        /* The kernel empties it within milliseconds; a process in D state may take longer. */
        for (int i = 0; r == -EBUSY && i < 500; i++) {
                struct timespec pause = {.tv_nsec = 10000000};

                (void)nanosleep(&pause, NULL);
                r = cgroup_remove(root_fd, name);
        }
        if (r == 0 || r == -ENOENT)
                return 0;
        return log_error_errno(r, "Cannot remove cgroup %s: %m", name);
}

static int remove_groups(const Launcher *launcher) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int q, r = 0;

        dir = fdopendir(fcntl(launcher->cgroup_fd, F_DUPFD_CLOEXEC, 3));
        if (!dir)
                return -errno;
        while ((entry = readdir(dir)))
                if (entry->d_type == DT_DIR && dyno_id_is_valid(entry->d_name)) {
                        q = remove_group(launcher->cgroup_fd, entry->d_name);
                        r = r < 0 ? r : q;
                }
        return r;
}

int host_purge(Launcher *launcher) {
        int q, r;

        r = remove_groups(launcher);
        if (r < 0)
                return r; /* what holds a dyno that does not die stays */
        r = remove_group(launcher->cgroup_fd, "keeper"); /* and with it the scope */
        if (launcher->config->cgroup_root)
                (void)rmdir(launcher->config->cgroup_root);

        guards_remove(launcher->config->instance);
        q = sweep_purge(launcher);
        if (q < 0)
                (void)log_error_errno(q, "Cannot empty scratch: %m");
        r = r < 0 ? r : q;
        q = net_purge(launcher->net);
        dynos_remove_folders(launcher);
        return r < 0 ? r : q;
}
