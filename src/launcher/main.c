/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dynod(8): the root process.
 *
 * Order at start: own mount namespace, lock, capabilities, what the dynos share,
 * adoption of living dynos, network, own seccomp filter, then the other processes. From
 * the first of them on, everything happens in the loop.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>

#include "base/build_config.h"
#include "base/log.h"
#include "base/patience.h"
#include "launcher/capabilities.h"
#include "launcher/discard.h"
#include "launcher/dynos.h"
#include "launcher/notify.h"
#include "launcher/policies.h"
#include "launcher/scope.h"
#include "launcher/slots.h"
#include "launcher/sweep.h"

typedef struct Options {
        const char *instance, *config_path;
        bool check, purge, debug;
} Options;

/* Exit statuses, as sysexits.h and LSB have no better ones: 2 is usage as in herokuctl. */
enum {
        EXIT_USAGE = 2,
};

static const char usage[] =
        "Usage: dynod [--instance NAME] [--config FILE] [--debug] [--check | --purge | --version]\n"
        "\n"
        "Runs dynos on this host, in the foreground. See dynod(8).\n"
        "\n"
        "  --instance NAME  prefix of all that belongs to this daemon (default: dynod)\n"
        "  --config FILE    instead of /etc/NAME/dynod.conf\n"
        "  --check          print the merged configuration and end\n"
        "  --purge          stop every dyno and remove links, table, cgroups and /run folder\n"
        "  --debug          say more\n"
        "  --version        print the version and end\n";

/* Return: 0 to go on, 1 to end well, or a negative errno for bad usage. */
static int parse_options(int argc, char **argv, Options *ret) {
        static const struct option options[] = {
                {"instance", required_argument, NULL, 'i'},
                {"config", required_argument, NULL, 'c'},
                {"check", no_argument, NULL, 'k'},
                {"purge", no_argument, NULL, 'p'},
                {"debug", no_argument, NULL, 'd'},
                {"version", no_argument, NULL, 'v'},
                {"help", no_argument, NULL, 'h'},
                {0},
        };
        int c;

        *ret = (Options){.instance = "dynod"};
        while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
                switch (c) {
                case 'i':
                        ret->instance = optarg;
                        break;
                case 'c':
                        ret->config_path = optarg;
                        break;
                case 'k':
                        ret->check = true;
                        break;
                case 'p':
                        ret->purge = true;
                        break;
                case 'd':
                        ret->debug = true;
                        break;
                case 'v':
                        (void)puts("dynod " DYNOD_VERSION);
                        return 1;
                case 'h':
                        (void)fputs(usage, stdout);
                        return 1;
                default:
                        return -EINVAL;
                }
        }
        if (optind < argc) {
                log_error("\"%s\" is too much. Try: dynod --help", argv[optind]);
                return -EINVAL;
        }
        if (!instance_name_is_valid(ret->instance)) {
                log_error(
                        "\"%s\" is no name for an instance: a letter, then up to 8 letters and "
                        "digits, all lower case.",
                        ret->instance);
                return -EINVAL;
        }

        return 0;
}

static int read_config(Config **ret, const char *instance, const char *path) {
        ConfigError error;
        int r;

        r = config_read(ret, instance, path, &error);
        if (r == -EINVAL && error.line > 0)
                log_error("%s:%u: %s", error.file, error.line, error.text);
        else if (r == -EINVAL && error.file[0])
                log_error("%s: %s", error.file, error.text);
        else if (r == -EINVAL)
                log_error("%s", error.text);
        else if (r < 0)
                (void)log_error_errno(
                        r, "Cannot read %s: %m", error.file[0] ? error.file : "dynod.conf");
        return r;
}

/* ---- signals ---- */

/* Of no running dyno, so they may change; root holds the supervisor to them. */
static void take_import_limits(Config *config, const Config *from) {
        config->import_max_entries = from->import_max_entries;
        config->import_max_ratio = from->import_max_ratio;
        config->stack_max_bytes = from->stack_max_bytes;
        config->slug_max_bytes = from->slug_max_bytes;
}

static int reload(Launcher *launcher) {
        LaunchHeader reloaded = {.type = LAUNCH_RELOADED};
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        notify_service_manager("RELOADING=1");
        r = read_config(&config, launcher->config->instance, launcher->config_path);
        if (r == 0)
                r = config_to_memfd(config, &fd);
        if (r < 0) {
                log_error("The configuration in force stays.");
        } else {
                (void)safe_close(launcher->config_fd);
                launcher->config_fd = TAKE_FD(fd);
                take_import_limits(launcher->config, config);
                sizes_allow(&launcher->bounds, config);
                link_send(launcher, &reloaded, sizeof(reloaded), &launcher->config_fd, 1);
                log_info("Configuration reloaded.");
        }
        notify_service_manager("READY=1");
        return 0;
}

static int on_signal(void *userdata, uint32_t events) {
        Launcher *launcher = userdata;
        struct signalfd_siginfo si;

        if (read(launcher->signal_fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
                return 0;
        if (si.ssi_signo == SIGHUP)
                return reload(launcher);

        log_info(
                "Stopping; %u %s kept running.",
                dynos_count(launcher),
                dynos_count(launcher) == 1 ? "dyno" : "dynos");
        loop_quit(launcher->loop);
        return 0;
}

static int watch_signals(Launcher *launcher) {
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGTERM);
        (void)sigaddset(&set, SIGINT);
        (void)sigaddset(&set, SIGHUP);
        (void)sigaddset(&set, SIGPIPE);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        (void)sigdelset(&set, SIGPIPE);
        launcher->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (launcher->signal_fd < 0)
                return -errno;
        return loop_add(
                launcher->loop,
                &launcher->signal_source,
                launcher->signal_fd,
                EPOLLIN,
                on_signal,
                launcher);
}

/* ---- the store ---- */

static void on_store_event(void *userdata, const StoreEvent *event) {
        Launcher *launcher = userdata;

        if (event->seq == 0)
                return; /* whoever asked for it is gone */
        switch (event->type) {
        case STORE_FETCHED: {
                LaunchFetched fetched = {
                        .header = {.type = LAUNCH_FETCHED, .seq = event->seq},
                        .import = event->import,
                        .result = event->result,
                        .bytes = event->bytes,
                };

                memcpy(fetched.digest, event->digest, sizeof(fetched.digest));
                link_send(launcher, &fetched, sizeof(fetched), NULL, 0);
                break;
        }
        case STORE_EXTRACTED: {
                LaunchExtracted extracted = {
                        .header = {.type = LAUNCH_EXTRACTED, .seq = event->seq},
                        .result = event->result,
                        .layer = LAYER_STORE,
                };

                memcpy(extracted.digest, event->digest, sizeof(extracted.digest));
                link_send(launcher, &extracted, sizeof(extracted), NULL, 0);
                break;
        }
        case STORE_COMMITTED:
                link_reply(launcher, event->seq, LAUNCH_REPLY, event->result, LAYER_STORE);
                break;
        }
}

static int on_store(void *userdata, uint32_t events) {
        Launcher *launcher = userdata;

        return store_dispatch(launcher->store);
}

static int open_store(Launcher *launcher, Source **ret_source) {
        _cleanup_free_ char *unpacker = NULL, *profile = NULL;
        const Config *config = launcher->config;
        StoreOptions options = {
                .state_fd = launcher->instance.state_dir_fd,
                .uid_base = config->uid_base,
                .handler = on_store_event,
                .userdata = launcher,
        };
        int r;

        if (asprintf(&unpacker, "%s/dynod-unpacker", config->libexec_dir) < 0) {
                unpacker = NULL;
                return -ENOMEM;
        }
        if (asprintf(&profile, "%s-unpacker", config->instance) < 0) {
                profile = NULL;
                return -ENOMEM;
        }
        options.unpacker = unpacker;
        if ((host_missing(launcher) & UINT32_C(1) << MISSING_APPARMOR) == 0)
                options.profile = profile;

        r = store_open(&launcher->store, &options);
        if (r < 0)
                return log_error_errno(r, "Cannot open the store in %s: %m", config->state_dir);
        return loop_add(
                launcher->loop, ret_source, store_fd(launcher->store), EPOLLIN, on_store, launcher);
}

/* ---- life ---- */

static int open_sandbox(Launcher *launcher) {
        SandboxError error;
        int r;

        r = sandbox_host_new(&launcher->host, launcher->config, launcher->cgroup_fd, &error);
        if (r < 0) {
                log_error("%s: %s", launch_layer_to_string(error.layer), error.detail);
                return r;
        }
        r = net_open(&launcher->net, launcher->config);
        if (r < 0)
                return log_error_errno(r, "Cannot look at the host's network: %m");

        return 0;
}

static int take_over(Launcher *launcher) {
        uint32_t max = launcher->config->max_dynos, room = net_slots(launcher->net);
        uint64_t begin = clock_boottime_usec();
        int r;

        if (room > CONFIG_DYNOS_MAX)
                room = CONFIG_DYNOS_MAX;
        if (room < max)
                max = room;
        if (max == 0) {
                log_error("The network in dynod.conf has no room for a dyno.");
                return -ERANGE;
        }
        r = sweep_new(launcher);
        if (r < 0)
                return log_error_errno(r, "Cannot open dynod-unpacker: %m");
        r = slots_new(&launcher->slots, room, max);
        if (r < 0)
                return r;
        r = dynos_adopt(launcher);
        if (r < 0)
                return log_error_errno(r, "Cannot look for running dynos: %m");
        r = policies_restore(launcher);
        if (r < 0)
                return log_error_errno(r, "Cannot read the network policies: %m");
        r = network_start(launcher);
        if (r < 0)
                return log_error_errno(r, "network: it cannot be set up, so no dyno can start: %m");

        log_info(
                "%u %s kept running, adopted in %.2f s.",
                dynos_count(launcher),
                dynos_count(launcher) == 1 ? "dyno" : "dynos",
                (double)(clock_boottime_usec() - begin) / (double)USEC_PER_SEC);
        return 0;
}

static int watch_status_files(Launcher *launcher) {
        launcher->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (launcher->inotify_fd < 0)
                return -errno;
        return loop_add(
                launcher->loop,
                &launcher->inotify_source,
                launcher->inotify_fd,
                EPOLLIN,
                dynos_on_inotify,
                launcher);
}

static int run(Launcher *launcher) {
        Source *store_source = NULL;
        int r;

        r = patience_open();
        if (r == 0)
                r = watch_signals(launcher);
        if (r == 0)
                r = watch_status_files(launcher);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the event loop: %m");
        r = open_store(launcher, &store_source);
        if (r == 0) {
                host_guard(launcher);
                host_prepare_sockets(launcher);
                r = take_over(launcher);
        }
        if (r == 0)
                r = network_watch(launcher);
        if (r == 0) {
                r = sandbox_confine_self(launcher->host);
                if (r < 0)
                        (void)log_error_errno(r, "Cannot load dynod's own seccomp filter: %m");
        }
        if (r == 0)
                r = services_start(launcher);
        if (r == 0) {
                r = scope_watch(launcher);
                if (r < 0)
                        (void)log_error_errno(r, "Cannot watch the keeper of the scope: %m");
        }
        if (r == 0) {
                loop_set_idle(launcher->loop, slots_refill, launcher);
                notify_service_manager("READY=1");
                log_info("Ready, dynod " DYNOD_VERSION ".");
                r = loop_run(launcher->loop);
                if (r < 0)
                        (void)log_error_errno(r, "The event loop failed: %m");
        }

        notify_service_manager("STOPPING=1");
        services_stop(launcher);
        store_source = source_free(store_source);
        return r;
}

static void launcher_clear(Launcher *launcher) {
        execs_clear(launcher);
        dynos_clear(launcher);
        network_unwatch(launcher);
        scope_unwatch(launcher);
        launcher->slots = slots_free(launcher->slots);
        launcher->sweep = sweep_free(launcher->sweep);
        launcher->store = store_close(launcher->store);
        launcher->net = net_free(launcher->net);
        launcher->host = sandbox_host_free(launcher->host);
        launcher->signal_source = source_free(launcher->signal_source);
        launcher->inotify_source = source_free(launcher->inotify_source);
        launcher->signal_fd = safe_close(launcher->signal_fd);
        launcher->inotify_fd = safe_close(launcher->inotify_fd);
        launcher->listen_fd = discard_socket(launcher->listen_fd);
        launcher->dynos_dir_fd = safe_close(launcher->dynos_dir_fd);
        launcher->policies_dir_fd = safe_close(launcher->policies_dir_fd);
        launcher->cgroup_fd = safe_close(launcher->cgroup_fd);
        instance_close(&launcher->instance);
        launcher->config_fd = safe_close(launcher->config_fd);
        launcher->config = config_free(launcher->config);
}

static int start_up(Launcher *launcher, const Options *options) {
        ConfigError error;
        int r;

        /* Before anything is opened: a folder opened in the host's namespace stays there. */
        r = sandbox_isolate_mounts();
        if (r < 0)
                return log_error_errno(
                        r, "Cannot make a mount namespace (dynod must run as root): %m");
        r = instance_open(&launcher->instance, launcher->config, &error);
        if (r < 0) {
                if (error.text[0] == '\0')
                        return log_error_errno(
                                r,
                                "Cannot open %s and %s: %m",
                                launcher->config->state_dir,
                                launcher->config->run_dir);
                log_error("%s", error.text);
                return r;
        }
        r = capabilities_bound();
        if (r < 0)
                return log_error_errno(r, "Cannot bound dynod's capabilities: %m");
        r = host_prepare(launcher);
        if (r == 0)
                r = open_sandbox(launcher);
        if (r == 0 && options->purge) {
                r = host_purge(launcher);
                if (r < 0)
                        (void)log_error_errno(r, "Not everything could be removed: %m");
        } else if (r == 0) {
                r = run(launcher);
        }
        return r;
}

/* Else the next thing that is opened would be what children are given to write to. */
static int open_standard_fds(void) {
        int fd;

        do
                fd = open(
                        "/dev/null", O_RDWR); // NOLINT(android-cloexec-open): 0 to 2 are inherited
        while (fd >= 0 && fd <= STDERR_FILENO);
        if (fd < 0)
                return -errno;
        (void)safe_close(fd);
        return 0;
}

int main(int argc, char **argv) {
        Launcher launcher = {
                .instance = INSTANCE_INIT,
                .cgroup_fd = -EBADF,
                .listen_fd = -EBADF,
                .dynos_dir_fd = -EBADF,
                .policies_dir_fd = -EBADF,
                .keeper_events_fd = -EBADF,
                .signal_fd = -EBADF,
                .inotify_fd = -EBADF,
                .logger_channel_fd = {-EBADF, -EBADF},
                .config_fd = -EBADF,
        };
        Options options;
        int r;

        if (open_standard_fds() < 0)
                return EXIT_FAILURE;
        log_open("dynod", false);
        r = parse_options(argc, argv, &options);
        if (r != 0)
                return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
        log_open("dynod", options.debug);

        r = read_config(&launcher.config, options.instance, options.config_path);
        if (r < 0)
                return EXIT_FAILURE;
        if (options.check) {
                config_print(launcher.config, stdout);
                launcher_clear(&launcher);
                return EXIT_SUCCESS;
        }

        launcher.config_path = options.config_path;
        launcher.debug = options.debug;
        r = config_to_memfd(launcher.config, &launcher.config_fd);
        if (r == 0)
                r = loop_new(&launcher.loop);
        if (r == 0)
                r = start_up(&launcher, &options);
        if (r == 0 && options.purge)
                instance_remove(launcher.config);
        launcher_clear(&launcher);
        launcher.loop = loop_free(launcher.loop);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
