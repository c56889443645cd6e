/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A manager with everything around it faked: folders in /tmp, a launcher and a logger at
 * the other ends of socket pairs, a client, and a clock that only the test moves. The
 * loop is the real one.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

#include "ipc/channel.h"
#include "supervisor/dyno.h"
#include "supervisor/job.h"

typedef struct World {
        char dir[64], path[128];
        sd_event *event;
        Manager *manager;
        int launcher, logger;
        uint32_t last_app; /* of the next HELLO */
        unsigned n_ready;

        ChannelFds fds; /* of the message that was expected last */
        char log[65536];
        size_t log_size;

        /* the last job that ended */
        uint32_t done_job;
        bool done_failed;
        ManagerError done_error;
        JobResult done_result;
        uint32_t done_stack_version;
        unsigned n_progress;
        char progress_phase[16];

        /* the last query that ended */
        bool answered;
        ManagerError answer_error;
        char answer_id[DYNO_ID_SIZE], answer_name[DYNO_NAME_SIZE];
} World;

/* Far ahead of the real clocks, so that no armed timer of the loop fires by itself. */
static uint64_t world_now_usec;

static inline uint64_t world_clock(void) {
        return world_now_usec;
}

/* ---- the loop ---- */

static inline void world_run(World *w) {
        int r;

        while ((r = sd_event_run(w->event, 0)) > 0)
                ;
        assert_int_equal(r, 0);
}

static inline void world_advance(World *w, uint64_t usec) {
        world_now_usec += usec;
        manager_tick(w->manager);
        world_run(w);
}

/* ---- the launcher ---- */

static inline void world_send(World *w, const void *msg, size_t size, const int *fds, size_t n) {
        assert_int_equal(channel_send(w->launcher, msg, size, fds, n), 0);
        world_run(w);
}

static inline bool world_receive(World *w, LaunchMessage *ret) {
        size_t size = 0;
        int r;

        channel_fds_clear(&w->fds);
        memset(ret, 0, sizeof(*ret));
        r = channel_recv(w->launcher, ret, sizeof(*ret), &size, &w->fds);
        if (r == CHANNEL_E_AGAIN)
                return false;
        assert_int_equal(r, 0);
        assert_int_equal(launch_message_check(ret, size, w->fds.n, LAUNCH_FROM_SUPERVISOR), 0);
        return true;
}

static inline LaunchMessage world_expect(World *w, LaunchType type) {
        LaunchMessage msg;

        world_run(w);
        assert_true(world_receive(w, &msg));
        assert_int_equal(msg.header.type, type);
        return msg;
}

static inline void world_expect_nothing(World *w) {
        LaunchMessage msg;

        world_run(w);
        if (world_receive(w, &msg))
                fail_msg("message %u was not expected", msg.header.type);
}

static inline void world_reply(World *w, const LaunchMessage *to, LaunchType type, int result) {
        LaunchReply reply = {
                .header = {.type = type, .seq = to->header.seq},
                .result = result,
                .layer = _LAYER_ANY_MAX,
        };

        world_send(w, &reply, sizeof(reply), NULL, 0);
}

static inline void world_extracted(World *w, const LaunchMessage *to, int result, uint8_t found) {
        LaunchExtracted extracted = {
                .header = {.type = LAUNCH_EXTRACTED, .seq = to->header.seq},
                .result = result,
                .layer = LAYER_STORE,
        };

        memset(extracted.digest, found, DIGEST_SIZE);
        world_send(w, &extracted, sizeof(extracted), NULL, 0);
}

static inline LaunchDynoFacts world_facts(const LaunchStart *start) {
        LaunchDynoFacts facts = {
                .header = {.type = LAUNCH_DYNO},
                .start = *start,
                .pid = 4711,
                .uid = 200000,
                .address = 0x1e0010ac, /* 172.16.0.30 */
                .started_usec = 1,
        };

        return facts;
}

static inline void world_started(World *w, const LaunchMessage *start) {
        LaunchStarted started = {
                .header = {.type = LAUNCH_STARTED, .seq = start->header.seq},
                .layer = _LAYER_ANY_MAX,
                .facts = world_facts(&start->start),
        };

        world_send(w, &started, sizeof(started), NULL, 0);
}

static inline void world_start_fails(
        World *w, const LaunchMessage *start, int result, LaunchLayer layer, const char *detail) {
        LaunchStarted started = {
                .header = {.type = LAUNCH_STARTED, .seq = start->header.seq},
                .result = result,
                .layer = layer,
        };

        field_set(started.detail, sizeof(started.detail), detail);
        world_send(w, &started, sizeof(started), NULL, 0);
}

static inline void world_bound(World *w, const char *id) {
        LaunchDyno bound = {.header = {.type = LAUNCH_BOUND}};

        field_set(bound.id, sizeof(bound.id), id);
        world_send(w, &bound, sizeof(bound), NULL, 0);
}

static inline void world_exited(World *w, const char *id, uint32_t status, uint32_t flags) {
        LaunchExited exited = {.header = {.type = LAUNCH_EXITED}, .status = status, .flags = flags};

        field_set(exited.id, sizeof(exited.id), id);
        world_send(w, &exited, sizeof(exited), NULL, 0);
}

/* ---- the logger ---- */

/* Lines as a reader sees them; what is said of apps as "- app ID NAME" and the like. */
static inline void world_note_message(World *w, const LogLine *line) {
        char *to = w->log + w->log_size;
        size_t left = sizeof(w->log) - w->log_size;
        LogApp app;
        int n = 0;

        memcpy(&app, line, sizeof(app));
        switch (line->type) {
        case LOG_LINE:
                n = snprintf(
                        to,
                        left,
                        "%s[%s]: %.*s\n",
                        log_source_to_string((LogSource)line->record.source),
                        line->record.procid,
                        line->record.text_size,
                        line->text);
                break;
        case LOG_APP:
        case LOG_FORGET:
                n = snprintf(
                        to,
                        left,
                        "- %s %u %s\n",
                        line->type == LOG_APP ? "app" : "forget",
                        app.app_number,
                        app.app);
                break;
        case LOG_APPS:
        case LOG_APPS_END:
                n = snprintf(
                        to,
                        left,
                        "- %s %u\n",
                        line->type == LOG_APPS ? "apps" : "end",
                        app.app_number);
                break;
        default:
                break;
        }
        assert_true(n >= 0 && (size_t)n < left);
        w->log_size += (size_t)n;
}

static inline void world_read_log(World *w) {
        LogLine line;

        world_run(w);
        for (;;) {
                _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
                size_t size = 0;
                int r = channel_recv(w->logger, &line, sizeof(line), &size, &fds);

                if (r == CHANNEL_E_AGAIN)
                        return;
                assert_int_equal(r, 0);
                assert_int_equal(log_message_check(&line, size, fds.n), 0);
                world_note_message(w, &line);
        }
}

/* The lines in this order, others between them or not. Forgets all up to the last. */
static inline void world_expect_log(World *w, const char *const *lines) {
        char *at = w->log;

        world_read_log(w);
        for (size_t i = 0; lines[i]; i++) {
                char *found = strstr(at, lines[i]);

                if (!found)
                        fail_msg("\"%s\" is not in:\n%s", lines[i], w->log);
                at = found + strlen(lines[i]);
        }
        w->log_size = 0;
        w->log[0] = '\0';
}

#define WORLD_LOG(w, ...) world_expect_log(w, (const char *const[]){__VA_ARGS__, NULL})

/* ---- the client ---- */

static inline void world_on_progress(uint32_t job, const JobProgress *progress, void *userdata) {
        World *w = userdata;

        w->n_progress++;
        snprintf(w->progress_phase, sizeof(w->progress_phase), "%s", progress->phase);
}

static inline void
world_on_done(uint32_t job, const ManagerError *error, const JobResult *result, void *userdata) {
        World *w = userdata;

        w->done_job = job;
        w->done_failed = error != NULL;
        if (error)
                w->done_error = *error;
        w->done_result = *result;
        w->done_stack_version = result->stack ? result->stack->version : 0;
}

static const JobEvents world_events = {world_on_progress, world_on_done};

static inline ManagerClient world_client(World *w) {
        return (ManagerClient){
                .uid = 1000, .user = "alice", .events = &world_events, .userdata = w};
}

static inline void world_on_run(const ManagerError *error, const DynoInfo *info, void *userdata) {
        World *w = userdata;

        w->answered = true;
        w->answer_error = error ? *error : (ManagerError){0};
        snprintf(w->answer_id, sizeof(w->answer_id), "%s", info ? info->id : "");
        snprintf(w->answer_name, sizeof(w->answer_name), "%s", info ? info->name : "");
}

/* ---- life ---- */

static inline int world_on_ready(Manager *manager, int listen_fd, void *userdata) {
        ((World *)userdata)->n_ready++;
        close(listen_fd);
        return 0;
}

static inline void world_mkdir(const World *w, const char *name) {
        char path[128];

        snprintf(path, sizeof(path), "%s/%s", w->dir, name);
        assert_int_equal(mkdir(path, 0700), 0);
}

static inline int world_open(const World *w, const char *name, int flags) {
        char path[128];
        int fd;

        snprintf(path, sizeof(path), "%s/%s", w->dir, name);
        fd = open(path, flags | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        return fd;
}

static inline int world_config(const World *w) {
        _cleanup_(config_freep) Config *config = NULL;
        ConfigError error = {0};
        FILE *f = fopen(w->path, "we");
        int fd = -1;

        assert_non_null(f);
        fprintf(f, "state_dir = %s/state\nrun_dir = %s/run\n", w->dir, w->dir);
        fputs("supervisor_user = 1\nlogger_user = 2\ncontrol_group = 3\n", f);
        fputs("start_parallel = 2\nresolvers = 9.9.9.9\n", f);
        assert_int_equal(fclose(f), 0);
        if (config_read(&config, "unit", w->path, &error) < 0)
                fail_msg("%s:%u: %s", error.file, error.line, error.text);
        assert_int_equal(config_to_memfd(config, &fd), 0);
        return fd;
}

/* A new supervisor process, as far as HELLO. */
static inline void world_hello(World *w) {
        LaunchHello hello = {
                .header = {.type = LAUNCH_HELLO},
                .memory_total = UINT64_C(4) << 30,
                .last_app = w->last_app,
                .instance = "unit",
        };
        LaunchHeader logger = {.type = LAUNCH_LOGGER};
        ManagerHooks hooks = {world_on_ready, w};
        int fds[4], pair[2];

        assert_int_equal(channel_pair(&pair[0], &w->launcher), 0);
        assert_int_equal(manager_new(&w->manager, w->event, pair[0], &hooks), 0);
        w->manager->clock = (ManagerClock){world_clock, world_clock};

        fds[0] = world_config(w);
        fds[1] = world_open(w, ".", O_RDONLY);
        fds[2] = world_open(w, "cgroup", O_RDONLY);
        fds[3] = world_open(w, "run", O_RDONLY);
        world_send(w, &hello, sizeof(hello), fds, 4);
        for (size_t i = 0; i < 4; i++)
                close(fds[i]);

        assert_int_equal(channel_pair(&w->logger, &pair[1]), 0);
        world_send(w, &logger, sizeof(logger), &pair[1], 1);
        close(pair[1]);
}

static inline void world_ready(World *w) {
        LaunchHeader ready = {.type = LAUNCH_READY};

        w->n_ready = 0;
        world_send(w, &ready, sizeof(ready), NULL, 0);
        assert_int_equal(w->n_ready, 1);
}

/* The supervisor dies; its dynos do not. */
static inline void world_kill_supervisor(World *w) {
        w->manager = manager_free(w->manager);
        w->launcher = safe_close(w->launcher);
        w->logger = safe_close(w->logger);
        w->log_size = 0;
        w->log[0] = '\0';
}

static inline int world_setup(void **state) {
        World *w = calloc(1, sizeof(*w));

        if (!w)
                return -1;
        strcpy(w->dir, "/tmp/dynod-test-world-XXXXXX");
        assert_non_null(mkdtemp(w->dir));
        snprintf(w->path, sizeof(w->path), "%s/dynod.conf", w->dir);
        world_mkdir(w, "state");
        world_mkdir(w, "state/supervisor");
        world_mkdir(w, "run");
        world_mkdir(w, "run/supervisor");
        world_mkdir(w, "cgroup");
        assert_int_equal(sd_event_new(&w->event), 0);
        w->fds = (ChannelFds)CHANNEL_FDS_INIT;
        world_now_usec = clock_realtime_usec() + UINT64_C(86400) * USEC_PER_SEC;
        world_hello(w);
        world_ready(w);
        *state = w;
        return 0;
}

static inline int world_remove(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static inline int world_teardown(void **state) {
        World *w = *state;

        channel_fds_clear(&w->fds);
        world_kill_supervisor(w);
        sd_event_unref(w->event);
        assert_int_equal(nftw(w->dir, world_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
        free(w);
        return 0;
}

/* ---- imports ---- */

static inline void world_digest(uint8_t digest[DIGEST_SIZE], uint8_t byte) {
        memset(digest, byte, DIGEST_SIZE);
}

/* Plays FETCH: "the archive has this digest". */
static inline LaunchMessage world_fetch(World *w, uint8_t byte) {
        LaunchMessage fetch = world_expect(w, LAUNCH_FETCH);
        LaunchFetched fetched = {
                .header = {.type = LAUNCH_FETCHED, .seq = fetch.header.seq},
                .import = fetch.fetch.import,
                .bytes = 1000,
        };

        world_digest(fetched.digest, byte);
        world_send(w, &fetched, sizeof(fetched), NULL, 0);
        return fetch;
}

/* Plays EXTRACT: a Procfile of type, command, …, NULL. */
static inline void world_extract(World *w, int result, const char *const *procfile) {
        LaunchMessage extract = world_expect(w, LAUNCH_EXTRACT);
        UnpackMessage msg = {.type = UNPACK_DONE};

        for (size_t i = 0; procfile && procfile[i]; i += 2) {
                UnpackMessage process = {.type = UNPACK_PROCESS};

                field_set(process.process, sizeof(process.process), procfile[i]);
                field_set(process.text, sizeof(process.text), procfile[i + 1]);
                assert_int_equal(channel_send(w->fds.fd[0], &process, sizeof(process), NULL, 0), 0);
        }
        msg.counts = (UnpackCounts){.tree_bytes = 5000, .entries = 50, .mode_bits = 2};
        assert_int_equal(channel_send(w->fds.fd[0], &msg, sizeof(msg), NULL, 0), 0);
        world_extracted(w, &extract, result, 0);
}

static inline void world_commit(World *w) {
        LaunchMessage commit = world_expect(w, LAUNCH_COMMIT);

        world_reply(w, &commit, LAUNCH_REPLY, 0);
}

static inline ImportRequest world_archive(World *w, const char *name) {
        return (ImportRequest){
                .name = name,
                .fd = world_open(w, "dynod.conf", O_RDONLY),
                .checksum = "",
                .file = "slug.tgz",
        };
}

static inline void world_import_stack(World *w, const char *name, uint8_t byte) {
        ManagerClient client = world_client(w);
        ImportRequest request = world_archive(w, name);
        ManagerError error = {0};
        uint32_t job = 0;

        assert_int_equal(manager_import_stack(w->manager, &client, &request, &job, &error), 0);
        world_fetch(w, byte);
        world_extract(w, 0, NULL);
        world_commit(w);
        assert_int_equal(w->done_job, job);
        assert_false(w->done_failed);
}

static inline void world_make_app(World *w, const char *name) {
        ManagerClient client = world_client(w);
        ManagerError error = {0};

        if (!w->manager->stacks)
                world_import_stack(w, "debian-12", 0x12);
        if (manager_create_app(w->manager, &client, name, "", &error) != 0)
                fail_msg("%s", error.message);
}

/* As far as the release; its dynos are the caller's. Return: the job. */
static inline uint32_t
world_deploy(World *w, const char *app, uint8_t byte, const char *const *procfile) {
        ManagerClient client = world_client(w);
        ImportRequest request = world_archive(w, app);
        ManagerError error = {0};
        uint32_t job = 0;

        if (manager_deploy(w->manager, &client, &request, &job, &error) != 0)
                fail_msg("%s", error.message);
        world_fetch(w, byte);
        world_extract(w, 0, procfile);
        world_commit(w);
        return job;
}

static inline Dyno *world_dyno(World *w, const char *name) {
        for (Dyno *dyno = w->manager->dynos; dyno; dyno = dyno->next)
                if (strcmp(dyno->name, name) == 0 && !dyno_is_leaving(dyno))
                        return dyno;

        fail_msg("there is no %s", name);
        return NULL;
}

/* An app with web=1 that is up on v1. Return: the START of its dyno. */
static inline LaunchMessage world_app_up(World *w, const char *name) {
        static const char *const procfile[] = {"web", "serve", "worker", "work", NULL};
        LaunchMessage start;
        uint32_t job;

        world_make_app(w, name);
        job = world_deploy(w, name, 0x51, procfile);
        start = world_expect(w, LAUNCH_START);
        world_started(w, &start);
        world_bound(w, start.start.id);
        assert_int_equal(w->done_job, job);
        assert_false(w->done_failed);
        return start;
}

static inline void world_scale(World *w, const char *app, const char *type, int quantity) {
        ManagerClient client = world_client(w);
        ScaleChange change = {.type = type, .quantity = quantity, .size = ""};
        ScaleRequest request = {.app = app, .changes = &change, .n_changes = 1};
        ManagerError error = {0};
        uint32_t job;

        if (manager_scale(w->manager, &client, &request, &job, &error) != 0)
                fail_msg("%s", error.message);
        world_run(w);
}

#define WORLD_TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
