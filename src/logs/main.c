/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dynod-logger --instance NAME [--debug]
 *
 * fd 3: channel from the supervisor (ipc/log_proto.h); fd 4: the configuration; fd 5: whether
 * we hang (ipc/watchdog.h).
 * Started by the launcher as the logger's user, without capabilities and network, in a
 * mount namespace in which its own folder is all there is of the state folder.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/patience.h"
#include "config/config.h"
#include "confine/confine.h"
#include "ipc/watchdog.h"
#include "logs/logger.h"

#define FD_CHANNEL 3
#define FD_CONFIG 4

typedef struct Arguments {
        bool debug;
        bool allow_root; /* for tests without a user of their own */
} Arguments;

/* Beyond CONFINE_BASE: files below the two folders that Landlock opens, and splice. */
static const char *const logger_syscalls[] = {
        "fchmod",
        "ftruncate",
        "getdents64",
        "mkdirat",
        "newfstatat",
        "openat",
        "pwritev",
        "renameat",
        "splice",
        "timer_settime", /* base/patience.h */
        "unlinkat",
        /* what libc may use for the same */
        "fstatfs",
        "pwritev2",
        "renameat2",
        "statx",
};

static int parse_arguments(int argc, char **argv, Arguments *ret) {
        *ret = (Arguments){0};
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--instance") == 0 && i + 1 < argc)
                        i++; /* for whoever reads ps(1): the configuration names it, too */
                else if (strcmp(argv[i], "--debug") == 0)
                        ret->debug = true;
                else if (strcmp(argv[i], "--allow-root") == 0)
                        ret->allow_root = true;
                else
                        return -EINVAL;
        }
        return 0;
}

static int confine(const Logger *logger, const Arguments *arguments) {
        const ConfinePath paths[] = {
                {.fd = logger_logs_fd(logger), .access = CONFINE_FS_READ | CONFINE_FS_WRITE},
                {.fd = logger_dynos_fd(logger), .access = CONFINE_FS_READ},
        };
        const ConfinePlan plan = {
                .syscalls = logger_syscalls,
                .n_syscalls = ARRAY_SIZE(logger_syscalls),
                .paths = paths,
                .n_paths = ARRAY_SIZE(paths),
                .flags = CONFINE_BASE | (arguments->allow_root ? CONFINE_ALLOW_ROOT : 0) |
                         (arguments->debug ? CONFINE_LOG_REFUSED : 0),
        };
        const char *step = NULL;
        int r = confine_process(&plan, &step);

        if (r < 0)
                return log_error_errno(r, "The logger %s: %m", step);
        if (r == CONFINE_E_NO_LANDLOCK) {
                log_error("The logger cannot restrict itself: this kernel has no Landlock.");
                return -EOPNOTSUPP;
        }
        return 0;
}

/* Four descriptors per dyno: the default of 1,024 would do for 250 of them. */
static void raise_file_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit); /* else the dynos beyond are named */
        }
}

static int open_logger(Logger **ret) {
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_free_ char *logs_dir = NULL, *dynos_dir = NULL;
        ConfigError error;
        int r;

        r = config_read_fd(&config, FD_CONFIG, &error);
        if (r < 0)
                return log_error_errno(r, "Cannot read the configuration: %s (%m)", error.text);
        (void)close(FD_CONFIG);

        if (asprintf(&logs_dir, "%s/logs", config->state_dir) < 0)
                logs_dir = NULL;
        if (asprintf(&dynos_dir, "%s/dynos", config->run_dir) < 0)
                dynos_dir = NULL;
        if (!logs_dir || !dynos_dir)
                return -ENOMEM;

        r = logger_new(ret, logs_dir, dynos_dir, FD_CHANNEL);
        if (r == 0)
                r = logger_set_watchdog(*ret, WATCHDOG_FD_LOGGER);
        if (r < 0)
                return log_error_errno(r, "Cannot open %s and %s: %m", logs_dir, dynos_dir);
        return 0;
}

int main(int argc, char **argv) {
        _cleanup_(logger_freep) Logger *logger = NULL;
        Arguments arguments;
        int r;

        r = parse_arguments(argc, argv, &arguments);
        log_open("dynod-logger", arguments.debug);
        if (r < 0) {
                log_error("Usage: dynod-logger --instance NAME [--debug]");
                return 2;
        }

        r = confine_no_new_privs();
        if (r < 0) {
                log_error_errno(r, "Cannot set no_new_privs: %m");
                return 1;
        }
        raise_file_limit();
        if (fcntl(FD_CHANNEL, F_SETFD, FD_CLOEXEC) < 0 ||
            fcntl(FD_CHANNEL, F_SETFL, O_RDWR | O_NONBLOCK) < 0 ||
            fcntl(WATCHDOG_FD_LOGGER, F_SETFD, FD_CLOEXEC) < 0) {
                log_error("dynod-logger is started by dynod.");
                return 1;
        }

        r = open_logger(&logger);
        if (r < 0)
                return 1;
        r = patience_open();
        if (r < 0) {
                log_error_errno(r, "Cannot make a timer: %m");
                return 1;
        }
        r = confine(logger, &arguments);
        if (r < 0)
                return 1;

        r = logger_run(logger);
        if (r < 0) {
                log_error_errno(r, "The logger cannot go on: %m");
                return 1;
        }
        return 0;
}
