/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The manager's life: HELLO brings configuration and folders, the store is read, state
 * files and the launcher's DYNO messages are matched, READY ends the adoption and lets
 * the formation and the clients go on.
 */

#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "supervisor/dyno.h"
#include "supervisor/job.h"

const Config *manager_config(const Manager *manager) {
        return manager->config;
}

void manager_fail(Manager *manager, int r, const char *what) {
        (void)log_error_errno(r, "%s: %m", what);
        (void)sd_event_exit(manager->event, r);
}

void manager_log_api(Manager *manager, const App *app, const char *fmt, ...) {
        LogPlace place = {
                .source = LOG_FROM_APP,
                .app = app->row.name,
                .app_number = (uint32_t)app->row.id,
                .procid = "api",
                .usec = manager_realtime(manager),
        };
        va_list ap;

        va_start(ap, fmt);
        log_client_line(manager->log, &place, fmt, ap);
        va_end(ap);
}

/* ---- timers ---- */

static uint64_t next_deadline(const Manager *manager) {
        uint64_t next = jobs_deadline(manager);

        if (manager->next_sample_usec < next)
                next = manager->next_sample_usec;
        if (network_deadline(manager) < next)
                next = network_deadline(manager);
        for (const Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                if (dyno->deadline_usec != 0 && dyno->deadline_usec < next)
                        next = dyno->deadline_usec;

        return next;
}

/* One whose timer is due; its timer is off then. */
static Dyno *take_due(const Manager *manager, uint64_t now) {
        for (Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                if (dyno->deadline_usec != 0 && dyno->deadline_usec <= now) {
                        dyno->deadline_usec = 0;
                        return dyno;
                }

        return NULL;
}

void manager_tick(Manager *manager) {
        uint64_t now;
        Dyno *dyno;

        if (!manager->ready)
                return;

        now = manager_now(manager);
        while ((dyno = take_due(manager, now)) != NULL)
                if (dyno->place == DYNO_PLACE_DELAYED)
                        dyno->place = DYNO_PLACE_QUEUED;
                else
                        dyno_handle_event(dyno, DYNO_EV_TIMEOUT);

        if (manager->next_sample_usec <= now) {
                manager->next_sample_usec = now + DYNO_SAMPLE_USEC;
                dyno_sample_all(manager);
        }
        if (jobs_deadline(manager) <= now)
                jobs_poke(manager);

        network_retry(manager, now);
        dyno_launch_queued(manager);
        if (manager->timer &&
            (sd_event_source_set_time(manager->timer, next_deadline(manager)) < 0 ||
             sd_event_source_set_enabled(manager->timer, SD_EVENT_ONESHOT) < 0))
                manager_fail(manager, -EIO, "cannot arm the timer");
}

void manager_poke(Manager *manager) {
        if (!manager->timer || !manager->ready)
                return;
        (void)sd_event_source_set_time(manager->timer, 0); /* it is due now */
        (void)sd_event_source_set_enabled(manager->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        manager_tick(userdata);
        return 0;
}

/* ---- reading the store ---- */

static int load_stack(const Stack *row, void *userdata) {
        Manager *manager = userdata;
        Stack **end = &manager->stacks;
        Stack *stack;

        if (!stack_name_is_valid(row->name))
                return -EINVAL;
        stack = malloc(sizeof(*stack));
        if (!stack)
                return -ENOMEM;
        *stack = *row;
        stack->next = NULL;
        while (*end)
                end = &(*end)->next;
        *end = stack;
        return 0;
}

/* What no command sets was not written by us; as many dynos would never be made. */
static int load_formation(const Formation *row, void *userdata) {
        if (!process_type_is_valid(row->type) || row->quantity > APP_DYNOS_MAX)
                return -EINVAL;
        return app_set_formation(userdata, row);
}

static int load_app(const AppRow *row, void *userdata) {
        Manager *manager = userdata;
        App **end = &manager->apps;
        App *app;
        int r;

        if (!app_name_is_valid(row->name))
                return -EINVAL;
        app = calloc(1, sizeof(*app));
        if (!app)
                return -ENOMEM;
        app->manager = manager;
        app->row = *row;
        while (*end)
                end = &(*end)->next;
        *end = app;

        r = store_read_release(manager->store, row->id, 0, &app->release);
        if (r >= 0)
                r = store_read_policy(manager->store, row->id, &app->network.policy);
        if (r < 0)
                return r;
        if (app->network.policy.serial != 0)
                app->network.in_force = POLICY_UNKNOWN;
        return store_load_formation(manager->store, row->id, load_formation, app);
}

static int open_store(Manager *manager) {
        _cleanup_free_ char *path = NULL;
        StoreError error;
        int r;

        assert(manager->config);

        if (asprintf(&path, "%s/supervisor/dynod.db", manager->config->state_dir) < 0) {
                path = NULL; /* asprintf() leaves it undefined */
                return -ENOMEM;
        }

        r = store_open(&manager->store, path, &error);
        if (r == STORE_E_UNUSABLE) {
                log_error("%s", error.text);
                return -EUCLEAN;
        }
        if (r == 0)
                r = store_load_stacks(manager->store, load_stack, manager);
        if (r == 0)
                r = store_load_apps(manager->store, load_app, manager);
        if (r < 0)
                return log_error_errno(r, "cannot read %s: %m", path);

        return 0;
}

/* ---- what the launcher says ---- */

static int read_config(Manager *manager, int fd) {
        ConfigError error = {0};
        Config *config = NULL;
        int r;

        r = config_read_fd(&config, fd, &error);
        if (r == -EINVAL)
                log_error("%s line %u: %s", error.file, error.line, error.text);
        if (r < 0)
                return log_error_errno(r, "cannot read the configuration: %m");

        (void)config_free(manager->config);
        manager->config = config;
        return 0;
}

static int on_hello(Manager *manager, const LaunchHello *hello, ChannelFds *fds) {
        int r;

        if (manager->config)
                return -EBADMSG; /* twice */

        r = read_config(manager, fds->fd[0]);
        if (r < 0)
                return r;
        assert(manager->config);
        manager->listen_fd = TAKE_FD(fds->fd[1]);
        manager->cgroup_fd = TAKE_FD(fds->fd[2]);
        manager->memory_total = hello->memory_total;
        manager->allow_missing = hello->allow_missing;
        manager->state_fd =
                openat(fds->fd[3], "supervisor", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (manager->state_fd < 0)
                return log_error_errno(
                        -errno, "cannot open %s/supervisor: %m", manager->config->run_dir);

        r = open_store(manager);
        if (r < 0)
                return r;
        r = store_keep_off_apps(manager->store, hello->last_app);
        if (r < 0)
                return log_error_errno(r, "cannot reserve the numbers of apps: %m");
        r = dyno_files_load(manager);
        if (r < 0)
                return log_error_errno(r, "cannot read the dynos' state files: %m");

        return 0;
}

static void kill_unknown(Manager *manager, const char *id) {
        LaunchMessage msg;

        log_warning("%s belongs to no app of the store, it is killed", id);
        memset(&msg, 0, sizeof(msg));
        msg.dyno.header.type = LAUNCH_KILL;
        field_set(msg.dyno.id, sizeof(msg.dyno.id), id);
        if (launch_client_send(manager->launch, &msg, NULL, NULL, NULL) < 0)
                log_error("no memory to kill %s", id);
}

/* A living dyno whose state file is lost: what root knows is enough to go on. */
static int
adopt_without_file(Manager *manager, App *app, const LaunchDynoFacts *facts, Dyno **ret) {
        const LaunchStart *start = &facts->start;
        const DynoSize *size = config_find_size(manager->config, start->size);
        const char *command = NULL;
        Dyno *dyno;
        int r;

        r = dyno_new(&dyno, manager, app, start->type, start->number);
        if (r < 0)
                return r;
        field_set(dyno->id, sizeof(dyno->id), start->id);
        dyno->one_off = (start->flags & LAUNCH_FLAG_ONE_OFF) != 0;
        dyno->release = start->release;
        dyno->web_port = start->web_port;
        dyno->size = size ? *size : *manager_default_size(manager);
        memcpy(dyno->stack_digest, start->stack, DIGEST_SIZE);
        memcpy(dyno->slug, start->slug, DIGEST_SIZE);
        for (const Stack *stack = manager->stacks; stack; stack = stack->next)
                if (memcmp(stack->digest, start->stack, DIGEST_SIZE) == 0) {
                        memcpy(dyno->stack, stack->name, sizeof(dyno->stack));
                        dyno->stack_version = stack->version;
                }
        if (app->release && app->release->number == start->release)
                command = pairs_get(&app->release->processes, start->type);
        dyno->command = strdup(command ? command : "");
        dyno->state = DYNO_STARTING;
        dyno->since_usec = facts->started_usec;
        dyno->deadline_usec = manager_now(manager) + manager->config->boot_timeout_usec;

        *ret = dyno;
        return 0;
}

static int on_dyno(Manager *manager, const LaunchDynoFacts *facts) {
        App *app = manager_app_by_number(manager, facts->start.app_number);
        Dyno *dyno = manager_dyno_by_id(manager, facts->start.id);
        int r;

        /* With another database, its app's name may be another app's. */
        if (!app || (dyno && dyno->app != app)) {
                kill_unknown(manager, facts->start.id);
                return 0;
        }
        if (!dyno) {
                r = adopt_without_file(manager, app, facts, &dyno);
                if (r < 0)
                        return r;
        }
        dyno_adopt(dyno, facts);
        dyno_file_write(dyno);
        return 0;
}

/* Any that the launcher did not name has ended while nobody looked. */
static Dyno *next_lost(const Manager *manager) {
        for (Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                if (dyno->place == DYNO_PLACE_ADOPTING)
                        return dyno;

        return NULL;
}

/*
 * Two living dynos of one name: the supervisor before us died between the start of the
 * new one and the word that the old one has an heir. The older one goes.
 */
static Dyno *next_double(const Manager *manager) {
        for (Dyno *a = manager->dynos; a; a = a->next)
                for (Dyno *b = a->next; b; b = b->next)
                        if (a->app == b->app && !a->one_off && !dyno_is_leaving(a) &&
                            !dyno_is_leaving(b) && strcmp(a->name, b->name) == 0)
                                return a->started_usec < b->started_usec ? a : b;

        return NULL;
}

static int on_ready(Manager *manager) {
        LaunchExited lost = {.flags = EXITED_UNKNOWN};
        Dyno *dyno, *next;
        unsigned n = 0;

        if (manager->ready || !manager->config)
                return -EBADMSG;
        manager->ready = true;

        while ((dyno = next_lost(manager)) != NULL)
                dyno_on_exited(dyno, &lost);
        while ((dyno = next_double(manager)) != NULL) {
                dyno->has_heir = true;
                dyno_stop(dyno, true);
        }
        for (dyno = manager->dynos; dyno; dyno = next) {
                next = dyno->next;
                n += dyno->place == DYNO_PLACE_RUNNING;
                /* One that has no process and no future is a left-over of a crash of ours. */
                if (dyno->place == DYNO_PLACE_NONE && (dyno_is_leaving(dyno) || dyno->one_off)) {
                        dyno_file_remove(manager, dyno->id);
                        (void)dyno_free(dyno);
                }
        }
        if (n > 0)
                log_notice("%u dynos kept running, adopted", n);

        network_tell_all(manager);
        for (App *app = manager->apps; app; app = app->next)
                manager_reconcile(manager, app);
        manager->next_sample_usec = manager_now(manager) + DYNO_SAMPLE_USEC;
        manager_poke(manager);

        return manager->hooks.ready(manager, TAKE_FD(manager->listen_fd), manager->hooks.userdata);
}

static int on_reloaded(Manager *manager, ChannelFds *fds) {
        int r;

        if (!manager->config)
                return -EBADMSG;
        r = read_config(manager, fds->fd[0]);
        if (r == -EINVAL)
                return 0; /* logged; the launcher has checked it, so the old one goes on */
        if (r < 0)
                return r;

        log_info("the configuration was reloaded");
        for (App *app = manager->apps; app; app = app->next)
                manager_reconcile(manager, app);
        manager_poke(manager);
        return 0;
}

static int on_logger(Manager *manager, ChannelFds *fds) {
        _cleanup_free_ LogApp *apps = NULL;
        uint32_t last_number;
        size_t n = 0;
        int r;

        if (!manager->config)
                return -EBADMSG; /* it would be told that there is no app */

        r = store_last_app(manager->store, &last_number);
        if (r < 0)
                return log_error_errno(r, "cannot read which numbers apps have had: %m");
        for (const App *app = manager->apps; app; app = app->next)
                n++;
        apps = calloc(n + 1, sizeof(*apps));
        if (!apps)
                return -ENOMEM;
        n = 0;
        for (const App *app = manager->apps; app; app = app->next, n++) {
                apps[n].app_number = (uint32_t)app->row.id;
                field_set(apps[n].app, sizeof(apps[n].app), app->row.name);
        }
        return log_client_connect(manager->log, TAKE_FD(fds->fd[0]), apps, n, last_number);
}

static int on_launch_event(const LaunchMessage *msg, ChannelFds *fds, void *userdata) {
        Manager *manager = userdata;
        Dyno *dyno;

        switch (msg->header.type) {
        case LAUNCH_HELLO:
                return on_hello(manager, &msg->hello, fds);
        case LAUNCH_LOGGER:
                return on_logger(manager, fds);
        case LAUNCH_DYNO:
                /* Later, nothing would ask whether its app still wants it. */
                return manager->config && !manager->ready ? on_dyno(manager, &msg->facts)
                                                          : -EBADMSG;
        case LAUNCH_READY:
                return on_ready(manager);
        case LAUNCH_RELOADED:
                return on_reloaded(manager, fds);
        case LAUNCH_SOURCE:
                network_on_source(manager, &msg->source);
                return 0;
        case LAUNCH_BOUND:
                dyno = manager_dyno_by_id(manager, msg->dyno.id);
                if (dyno)
                        dyno_on_bound(dyno);
                return 0;
        case LAUNCH_EXITED:
                dyno = manager_dyno_by_id(manager, msg->exited.id);
                if (dyno)
                        dyno_on_exited(dyno, &msg->exited);
                return 0;
        default:
                return -EBADMSG;
        }
}

static void on_launch_closed(void *userdata) {
        Manager *manager = userdata;

        log_notice("the launcher is gone, ending; dynos go on");
        (void)sd_event_exit(manager->event, 0);
}

/* ---- new and free ---- */

static int make_sources(Manager *manager) {
        int r;

        r = sd_event_add_time(
                manager->event,
                &manager->timer,
                CLOCK_BOOTTIME,
                0,
                USEC_PER_MSEC,
                on_timer,
                manager);
        if (r == 0)
                r = sd_event_source_set_enabled(manager->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(
                        manager->event, &manager->jobs_source, jobs_dispatch, manager);
        if (r >= 0)
                r = sd_event_source_set_enabled(manager->jobs_source, SD_EVENT_OFF);
        return r < 0 ? r : 0;
}

int manager_new(Manager **ret, sd_event *event, int launch_fd, const ManagerHooks *hooks) {
        _cleanup_(manager_freep) Manager *manager = NULL;
        LaunchHandler handler = {.event = on_launch_event, .closed = on_launch_closed};
        int r;

        assert(ret && event && launch_fd >= 0 && hooks && hooks->ready);

        manager = calloc(1, sizeof(*manager));
        if (!manager)
                return -ENOMEM;
        manager->event = sd_event_ref(event);
        manager->hooks = *hooks;
        manager->clock = (ManagerClock){clock_boottime_usec, clock_realtime_usec};
        manager->listen_fd = manager->cgroup_fd = manager->state_fd = -EBADF;
        manager->started_usec = manager_realtime(manager);
        manager->next_sample_usec = UINT64_MAX;

        /* The launcher may still clear away imports of the supervisor before us. */
        if (getrandom(&manager->last_import, sizeof(manager->last_import), 0) < 0)
                return -errno;

        r = make_sources(manager);
        if (r == 0)
                r = log_client_new(&manager->log, event);
        if (r == 0) {
                handler.userdata = manager;
                r = launch_client_new(&manager->launch, event, launch_fd, &handler);
        }
        if (r < 0)
                return r;

        *ret = TAKE_PTR(manager);
        return 0;
}

Manager *manager_free(Manager *manager) {
        if (!manager)
                return NULL;

        /* First: whatever ends now has nobody to ask any more. */
        manager->launch = launch_client_free(manager->launch);
        manager->jobs_source = sd_event_source_disable_unref(manager->jobs_source);
        manager->timer = sd_event_source_disable_unref(manager->timer);
        while (manager->jobs)
                (void)job_free(manager->jobs);
        while (manager->dynos)
                (void)dyno_free(manager->dynos);
        while (manager->imports)
                (void)import_free(manager->imports);
        while (manager->apps) {
                App *next = manager->apps->next;

                (void)app_free(manager->apps);
                manager->apps = next;
        }
        while (manager->stacks) {
                Stack *next = manager->stacks->next;

                free(manager->stacks);
                manager->stacks = next;
        }
        manager->store = store_close(manager->store);
        manager->log = log_client_free(manager->log);
        manager->listen_fd = safe_close(manager->listen_fd);
        manager->cgroup_fd = safe_close(manager->cgroup_fd);
        manager->state_fd = safe_close(manager->state_fd);
        manager->config = config_free(manager->config);
        manager->event = sd_event_unref(manager->event);
        free(manager);
        return NULL;
}
