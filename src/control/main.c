/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dynod-supervisor --instance NAME [--debug]
 *
 * fd 3: channel to the launcher (ipc/launch_proto.h), which brings everything else; fd 4:
 * whether we hang (ipc/watchdog.h).
 * Started by the launcher as the supervisor's user, without capabilities, in a mount
 * namespace in which its own folder is all there is of the state folder.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#include "base/log.h"
#include "base/patience.h"
#include "confine/confine.h"
#include "control/server.h"
#include "ipc/watchdog.h"
#include "supervisor/manager.h"

#define FD_LAUNCHER 3

typedef struct Arguments {
        bool debug;
        bool allow_root; /* for tests without a user of their own */
} Arguments;

typedef struct Supervisor {
        Manager *manager;
        Server *server;
        sd_event *event;
} Supervisor;

/*
 * Beyond CONFINE_BASE: the control socket and its clients; SQLite's files and locks; the
 * state files of dynos; resolv.conf and the like for `doctor`.
 */
static const char *const supervisor_syscalls[] = {
        "accept4",
        "fchmod",
        "fallocate",
        "fdatasync",
        "flock",
        "fstatfs",
        "fsync",
        "ftruncate",
        "getcwd",
        "getdents64",
        "getpeername",
        "getrandom",
        "getsockname",
        "getsockopt",
        "inotify_add_watch",
        "inotify_init1",
        "inotify_rm_watch",
        "lstat",
        "memfd_create",
        "mkdirat",
        "mkdir",
        "newfstatat",
        "openat",
        "pread64",
        "pwrite64",
        "pwritev",
        "readlink",
        "readlinkat",
        "rename",
        "renameat",
        "renameat2",
        "rmdir",
        "setsockopt",
        "shutdown",
        "stat",
        "statfs",
        "statx",
        "sysinfo",
        "timer_settime", /* base/patience.h */
        "uname",
        "unlink",
        "unlinkat",
        /* confine_files(): they can only take rights from us */
        "landlock_add_rule",
        "landlock_create_ruleset",
        "landlock_restrict_self",
};

static int parse_arguments(int argc, char **argv, Arguments *ret) {
        *ret = (Arguments){};
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--instance") == 0 && i + 1 < argc)
                        i++; /* for whoever reads ps(1): HELLO names it, too */
                else if (strcmp(argv[i], "--debug") == 0)
                        ret->debug = true;
                else if (strcmp(argv[i], "--allow-root") == 0)
                        ret->allow_root = true;
                else
                        return -EINVAL;
        }
        return 0;
}

/*
 * First thing in main(). HELLO, which names our files, is still unread: until then Landlock
 * leaves reading and writing to the mount namespace and the file modes, and takes the rest
 * (execution, links, special files).
 */
static int confine(const Arguments *arguments) {
        const ConfinePath root = {.path = "/", .access = CONFINE_FS_READ | CONFINE_FS_WRITE};
        const ConfinePlan plan = {
                .syscalls = supervisor_syscalls,
                .n_syscalls = ARRAY_SIZE(supervisor_syscalls),
                .paths = &root,
                .n_paths = 1,
                .flags = CONFINE_BASE | CONFINE_UNIX_PAIRS |
                         (arguments->allow_root ? CONFINE_ALLOW_ROOT : 0),
        };
        const char *step = NULL;
        int r = confine_process(&plan, &step);

        if (r < 0)
                return log_error_errno(r, "The supervisor %s: %m", step);
        if (r == CONFINE_E_NO_LANDLOCK) {
                log_error("The supervisor cannot restrict itself: this kernel has no Landlock.");
                return -EOPNOTSUPP;
        }
        return 0;
}

/*
 * Before the first client: our two folders, and what says how the host is (resolv.conf,
 * passwd, meminfo, the dynos' cgroups).
 */
static int confine_files(const Config *config) {
        _cleanup_free_ char *store = NULL;
        int r;

        if (asprintf(&store, "%s/supervisor", config->state_dir) < 0) {
                store = NULL;
                return -ENOMEM;
        }
        const ConfinePath paths[] = {
                {.path = store, .access = CONFINE_FS_READ | CONFINE_FS_WRITE},
                {.path = config->run_dir, .access = CONFINE_FS_READ | CONFINE_FS_WRITE},
                {.path = "/etc", .access = CONFINE_FS_READ},
                {.path = "/proc", .access = CONFINE_FS_READ},
                {.path = "/sys", .access = CONFINE_FS_READ},
                {.path = "/run", .access = CONFINE_FS_READ}, /* where resolv.conf may point */
                {.path = "/usr/lib", .access = CONFINE_FS_READ},
        };

        r = confine_landlock(paths, ARRAY_SIZE(paths));
        return r == CONFINE_E_NO_LANDLOCK ? -EOPNOTSUPP : r;
}

/* Clients, log streams and attached commands: a few descriptors each. */
static void raise_file_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
}

static int on_ready(Manager *manager, int listen_fd, void *userdata) {
        Supervisor *supervisor = userdata;
        int r = confine_files(manager_config(manager));

        if (r < 0) {
                (void)safe_close(listen_fd);
                return log_error_errno(r, "Cannot restrict the supervisor to its files: %m");
        }
        r = server_new(&supervisor->server, supervisor->event, listen_fd, manager);
        if (r < 0) {
                (void)safe_close(listen_fd);
                return log_error_errno(r, "Cannot serve the control socket: %m");
        }
        log_debug("Ready for clients.");
        return 0;
}

static int on_question(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        watchdog_answer(fd);
        return 0;
}

/*
 * As sd_event_loop(), but that nothing of a turn waits for long: whatever sd-bus and the rest
 * close may be a client's socket, with more of its sockets unread in it.
 */
static int run_loop(sd_event *event) {
        int r = 0, code = 0;

        while (r >= 0 && sd_event_get_state(event) != SD_EVENT_FINISHED) {
                r = sd_event_prepare(event);
                if (r == 0)
                        r = sd_event_wait(event, UINT64_MAX);
                if (r > 0) {
                        patience_begin();
                        r = sd_event_dispatch(event);
                        patience_end();
                }
        }
        return r < 0 || sd_event_get_exit_code(event, &code) < 0 ? r : code;
}

/* SIGTERM ends the loop in order. */
static int run(Supervisor *supervisor) {
        const ManagerHooks hooks = {.ready = on_ready, .userdata = supervisor};
        sigset_t mask;
        int r;

        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGTERM);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;

        r = sd_event_new(&supervisor->event);
        if (r >= 0)
                r = sd_event_add_signal(supervisor->event, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_io(
                        supervisor->event,
                        NULL,
                        WATCHDOG_FD_SUPERVISOR,
                        EPOLLIN,
                        on_question,
                        NULL);
        if (r >= 0)
                r = manager_new(&supervisor->manager, supervisor->event, FD_LAUNCHER, &hooks);
        if (r >= 0)
                r = run_loop(supervisor->event);

        patience_begin();
        supervisor->server = server_free(supervisor->server);
        supervisor->manager = manager_free(supervisor->manager);
        supervisor->event = sd_event_unref(supervisor->event);
        patience_end();
        return r;
}

int main(int argc, char **argv) {
        Supervisor supervisor = {};
        Arguments arguments;
        int r;

        r = parse_arguments(argc, argv, &arguments);
        log_open("dynod-supervisor", arguments.debug);
        if (r < 0) {
                log_error("Usage: dynod-supervisor --instance NAME [--debug]");
                return 2;
        }
        if (fcntl(FD_LAUNCHER, F_SETFD, FD_CLOEXEC) < 0 ||
            fcntl(WATCHDOG_FD_SUPERVISOR, F_SETFD, FD_CLOEXEC) < 0) {
                log_error("dynod-supervisor is started by dynod.");
                return 1;
        }
        (void)signal(SIGPIPE, SIG_IGN);
        tzset();
        raise_file_limit();

        r = patience_open();
        if (r < 0) {
                log_error_errno(r, "Cannot make a timer: %m");
                return 1;
        }
        r = confine(&arguments);
        if (r < 0)
                return 1;
        r = run(&supervisor);
        if (r < 0)
                log_error_errno(r, "The supervisor ends: %m");
        return r < 0 ? 1 : 0;
}
