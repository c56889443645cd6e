/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "ipc/channel.h"
#include "launcher/child.h"
#include "launcher/discard.h"
#include "launcher/launcher.h"
#include "launcher/watchdog.h"

/*
 * A service that ends is started again at once: whoever killed it does not notice. One
 * that ends SERVICE_EARLY_MAX times in a row sooner than SERVICE_STEADY_USEC after its
 * start is broken, and tried again every SERVICE_PAUSE_USEC only.
 */
#define SERVICE_STEADY_USEC (5 * USEC_PER_SEC)
#define SERVICE_EARLY_MAX 3
#define SERVICE_PAUSE_USEC (1 * USEC_PER_SEC)
#define SERVICE_DOUBLINGS_MAX 5
#define SERVICE_STOP_MSEC 5000
#define SERVICE_KILL_MSEC 1000

/* Descriptors that root cannot close again. A supervisor as it should be never sends one. */
#define FOREIGN_MAX 16

typedef struct ServiceSpec {
        const char *program, *own_dir, *profile_suffix;
        uid_t uid;
        gid_t gid;
        const int *fds;
        size_t n_fds;
        bool no_network;
} ServiceSpec;

/* Its own folder, which only it can enter. */
static int make_own_dir(const Launcher *launcher, int parent_fd, const ServiceSpec *spec) {
        _cleanup_close_ int fd = -EBADF;

        if (mkdirat(parent_fd, spec->own_dir, 0700) < 0 && errno != EEXIST)
                return -errno;
        fd = openat(parent_fd, spec->own_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        /* Safe: root's folder of that name; no link is followed. */
        if (fd < 0 || fchown(fd, spec->uid, spec->gid) < 0 || fchmod(fd, 0700) < 0)
                return -errno;
        return 0;
}

static int spawn(Launcher *launcher, Service *service, const ServiceSpec *spec) {
        const Config *config = launcher->config;
        _cleanup_free_ char *path = NULL, *profile = NULL;
        char instance[INSTANCE_NAME_SIZE], program[32], instance_option[] = "--instance",
                                                        debug[] = "--debug";
        char *argv[] = {program, instance_option, instance, launcher->debug ? debug : NULL, NULL};
        ChildSpec child = {
                .argv = argv,
                .fds = spec->fds,
                .n_fds = spec->n_fds,
                .uid = spec->uid,
                .gid = spec->gid,
                .state_dir = config->state_dir,
                .own_dir = spec->own_dir,
                .no_network = spec->no_network,
        };
        int r;

        field_set(instance, sizeof(instance), config->instance);
        field_set(program, sizeof(program), spec->program);
        if (asprintf(&path, "%s/%s", config->libexec_dir, spec->program) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (asprintf(&profile, "%s-%s", config->instance, spec->profile_suffix) < 0) {
                profile = NULL;
                return -ENOMEM;
        }
        child.path = path;
        if ((host_missing(launcher) & UINT32_C(1) << MISSING_APPARMOR) == 0)
                child.profile = profile;

        r = make_own_dir(launcher, launcher->instance.state_dir_fd, spec);
        if (r == 0)
                r = child_spawn(&child, &service->pid, &service->pidfd);
        if (r < 0)
                return log_error_errno(r, "Cannot start %s: %m", path);

        service->started_usec = clock_boottime_usec();
        return 0;
}

/* Whoever ended may have shut it down, or worse, for all who hold a copy. True if so. */
static bool drop_broken_channel(Launcher *launcher) {
        int *fds = launcher->logger_channel_fd;

        if (fds[0] < 0 || (socket_restore(fds[0]) == 0 && socket_restore(fds[1]) == 0))
                return false;
        for (int i = 0; i < 2; i++)
                fds[i] = discard_socket(fds[i]);
        return true;
}

/* What the next supervisor shares with the last one works. Return: 0 or a negative errno. */
static int renew_sockets(Launcher *launcher) {
        int r;

        /* Safe: by pidfd, our own child. Its exit starts it again, with another channel. */
        if (drop_broken_channel(launcher) && launcher->logger.pidfd >= 0)
                (void)syscall(SYS_pidfd_send_signal, launcher->logger.pidfd, SIGKILL, NULL, 0);
        if (socket_restore(launcher->listen_fd) == 0)
                return 0;
        log_warning("The control socket does not work any more; making it anew.");
        launcher->listen_fd = discard_socket(launcher->listen_fd);
        r = host_listen(launcher);
        return r < 0 ? log_error_errno(r, "Cannot make the control socket: %m") : 0;
}

static int start_supervisor(Launcher *launcher) {
        const Config *config = launcher->config;
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
        int fds[2];
        ServiceSpec spec = {
                .program = "dynod-supervisor",
                .own_dir = "supervisor",
                .profile_suffix = "supervisor",
                .uid = config->supervisor_uid,
                .gid = config->supervisor_gid,
                .fds = fds,
                .n_fds = ARRAY_SIZE(fds),
        };
        int r;

        r = renew_sockets(launcher);
        if (r == 0)
                r = channel_pair(&ours, &theirs);
        if (r == 0)
                r = watchdog_open(launcher, &launcher->supervisor, &fds[1]);
        if (r < 0)
                return r;
        fds[0] = theirs;
        r = make_own_dir(launcher, launcher->instance.run_dir_fd, &spec);
        if (r == 0)
                r = spawn(launcher, &launcher->supervisor, &spec);
        if (r == 0)
                r = link_open(launcher, ours);
        if (r < 0)
                return r;
        (void)TAKE_FD(ours); /* the link's now */

        return request_greet(launcher);
}

/*
 * The supervisor talks to the logger directly. Both ends stay open here, so that no line on
 * its way is lost when one of the two is replaced. The supervisor is told of a new logger,
 * which may lack what the last one had just read.
 */
static void introduce_logger(Launcher *launcher) {
        LaunchHeader hello = {.type = LAUNCH_LOGGER};

        if (launcher->logger_channel_fd[0] >= 0)
                link_send(launcher, &hello, sizeof(hello), &launcher->logger_channel_fd[0], 1);
}

static int start_logger(Launcher *launcher) {
        const Config *config = launcher->config;
        int fds[3], r = 0;
        ServiceSpec spec = {
                .program = "dynod-logger",
                .own_dir = "logs",
                .profile_suffix = "logger",
                .uid = config->logger_uid,
                .gid = config->logger_gid,
                .fds = fds,
                .n_fds = ARRAY_SIZE(fds),
                .no_network = true,
        };

        (void)drop_broken_channel(launcher);
        if (launcher->logger_channel_fd[0] < 0)
                r = channel_pair(&launcher->logger_channel_fd[0], &launcher->logger_channel_fd[1]);
        if (r < 0)
                return r;
        introduce_logger(launcher);
        r = watchdog_open(launcher, &launcher->logger, &fds[2]);
        if (r < 0)
                return r;
        fds[0] = launcher->logger_channel_fd[1];
        fds[1] = launcher->config_fd;
        return spawn(launcher, &launcher->logger, &spec);
}

static int start(Launcher *launcher, Service *service);

static int on_supervisor_timer(void *userdata, uint32_t events) {
        Launcher *launcher = userdata;

        if (launcher->supervisor.pidfd < 0 && !launcher->stopping)
                (void)start(launcher, &launcher->supervisor); /* else tried again later */
        return 0;
}

static int on_logger_timer(void *userdata, uint32_t events) {
        Launcher *launcher = userdata;

        if (launcher->logger.pidfd < 0 && !launcher->stopping)
                (void)start(launcher, &launcher->logger); /* as above */
        return 0;
}

static uint64_t pause_usec(const Service *service) {
        unsigned doublings = service->early_ends - SERVICE_EARLY_MAX - 1;

        return SERVICE_PAUSE_USEC
               << (doublings < SERVICE_DOUBLINGS_MAX ? doublings : SERVICE_DOUBLINGS_MAX);
}

static int on_service_exit(Launcher *launcher, Service *service) {
        uint64_t now = clock_boottime_usec();
        int status = child_wait(service->pidfd);

        service->exit_source = source_free(service->exit_source);
        service->pidfd = safe_close(service->pidfd);
        watchdog_close(service);
        if (service == &launcher->supervisor)
                link_close(launcher);
        if (launcher->stopping)
                return 0;
        if (service == &launcher->supervisor && launcher->n_foreign >= FOREIGN_MAX) {
                log_error(
                        "%s sent what it may not too often, and is not started again. Find out "
                        "why, then restart dynod.",
                        service->name);
                return 0;
        }

        if (now - service->started_usec < SERVICE_STEADY_USEC)
                service->early_ends++;
        else
                service->early_ends = 0;
        log_warning("%s ended with status %d; starting it again.", service->name, status);
        source_set_time(
                service->restart_timer,
                service->early_ends > SERVICE_EARLY_MAX ? now + pause_usec(service) : now);
        return 0;
}

static int on_supervisor_exit(void *userdata, uint32_t events) {
        Launcher *launcher = userdata;

        return on_service_exit(launcher, &launcher->supervisor);
}

static int on_logger_exit(void *userdata, uint32_t events) {
        Launcher *launcher = userdata;

        return on_service_exit(launcher, &launcher->logger);
}

static int start(Launcher *launcher, Service *service) {
        bool is_supervisor = service == &launcher->supervisor;
        int r;

        r = is_supervisor ? start_supervisor(launcher) : start_logger(launcher);
        if (service->pidfd < 0) {
                watchdog_close(service);
                source_set_time(service->restart_timer, clock_boottime_usec() + SERVICE_PAUSE_USEC);
                return r;
        }
        if (loop_add(
                    launcher->loop,
                    &service->exit_source,
                    service->pidfd,
                    EPOLLIN,
                    is_supervisor ? on_supervisor_exit : on_logger_exit,
                    launcher) < 0)
                return -ENOMEM;
        if (r < 0) {
                services_restart_supervisor(launcher);
                return r;
        }

        if (is_supervisor)
                introduce_logger(launcher);
        return 0;
}

int services_start(Launcher *launcher) {
        int r;

        launcher->supervisor = (Service){
                .name = "dynod-supervisor", .pidfd = -EBADF, .watchdog_fds = {-EBADF, -EBADF}};
        launcher->logger = (Service){
                .name = "dynod-logger", .pidfd = -EBADF, .watchdog_fds = {-EBADF, -EBADF}};
        for (int i = 0; i < 2; i++) {
                Service *service = i == 0 ? &launcher->supervisor : &launcher->logger;

                r = loop_add_timer(
                        launcher->loop,
                        &service->restart_timer,
                        USEC_INFINITY,
                        i == 0 ? on_supervisor_timer : on_logger_timer,
                        launcher);
                if (r < 0)
                        return r;
                r = start(launcher, service);
                if (r < 0)
                        return r;
        }

        return 0;
}

void services_restart_supervisor(Launcher *launcher) {
        /* Safe: by pidfd, our own child. Its exit starts it again. */
        if (launcher->supervisor.pidfd >= 0)
                (void)syscall(SYS_pidfd_send_signal, launcher->supervisor.pidfd, SIGKILL, NULL, 0);
}

static void stop_service(Service *service) {
        struct pollfd poll_fd = {.fd = service->pidfd, .events = POLLIN};

        service->exit_source = source_free(service->exit_source);
        service->restart_timer = source_free(service->restart_timer);
        watchdog_close(service);
        if (service->pidfd < 0)
                return;

        (void)syscall(SYS_pidfd_send_signal, service->pidfd, SIGTERM, NULL, 0);
        if (poll(&poll_fd, 1, SERVICE_STOP_MSEC) <= 0) {
                (void)syscall(SYS_pidfd_send_signal, service->pidfd, SIGKILL, NULL, 0);
                /* One that waits for a client's file system (discard.h) does not even die. */
                (void)poll(&poll_fd, 1, SERVICE_KILL_MSEC);
        }
        (void)waitid(P_PIDFD, (id_t)service->pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
        service->pidfd = safe_close(service->pidfd);
}

void services_stop(Launcher *launcher) {
        launcher->stopping = true;
        link_close(launcher);
        if (launcher->supervisor.name)
                stop_service(&launcher->supervisor);
        if (launcher->logger.name)
                stop_service(&launcher->logger);
        for (int i = 0; i < 2; i++)
                launcher->logger_channel_fd[i] = discard_socket(launcher->logger_channel_fd[i]);
}
