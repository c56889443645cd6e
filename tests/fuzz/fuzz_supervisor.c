/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The whole supervisor, with its database, between clients, launcher, unpackers and logger
 * that say anything in any order: calls with every method's arguments, raw bytes on the
 * control socket, answers and events of the launcher, reports of an unpacker, a clock that
 * jumps, state files that a crash has damaged, a database of another version, with rows that
 * nobody wrote, or torn.
 *
 * The input is a list of steps. Whatever they are: what the supervisor sends passes the
 * checks of its readers, a dyno's spec can be parsed, and no descriptor is left open.
 *
 * Covers: control/bus_manager.c control/connection.c control/facts.c control/facts_host.c
 *          control/facts_manager.c control/framing.c control/methods.c control/methods_apps.c
 *          control/methods_dynos.c control/methods_host.c control/quota.c control/relay.c
 *          control/server.c control/strings.c control/methods_network.c control/call_header.c
 *          supervisor/network.c supervisor/policy.c supervisor/policy_parse.c
 *          supervisor/policy_change.c:48 supervisor/store_policy.c supervisor/launch_client.c
 *          supervisor/log_client.c supervisor/manager.c supervisor/import.c
 *          supervisor/import_error.c supervisor/dyno.c supervisor/dyno_launch.c
 *          supervisor/dyno_file.c supervisor/dyno_env.c supervisor/apps.c supervisor/deploy.c
 *          supervisor/formation.c supervisor/releases.c supervisor/run.c supervisor/stacks.c
 *          supervisor/job.c supervisor/pairs.c supervisor/store.c supervisor/reconcile.c
 *          supervisor/store_schema.c supervisor/store_statement.c supervisor/host.c
 *          supervisor/lookup.c supervisor/suggest.c supervisor/refusal.c supervisor/dyno_memory.c
 *          supervisor/dyno_fsm.c supervisor/app.c supervisor/doctor_network.c
 * Options: -max_len=4096
 */

#include <assert.h>
#include <errno.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "control/quota.h"
#include "control/relay.h"
#include "control/server.h"
#include "fuzz_database.h"
#include "fuzz_dbus.h"
#include "fuzz_folder.h"
#include "ipc/channel.h"
#include "ipc/dyno_spec.h"
#include "supervisor/manager_internal.h"

#define STEPS_MAX 120
#define REQUESTS_MAX 32 /* of the supervisor, that wait for an answer */
#define KNOWN_MAX 16
#define CLIENTS_MAX 2
#define CROWD 72 /* clients at once */
#define FDS_MAX 512

typedef struct World {
        char folder[FUZZ_PATH_SIZE];
        sd_event *event;
        Manager *manager;
        Server *server;
        int launcher, logger; /* our ends */
        int clients[CLIENTS_MAX];
        uint32_t serial;
        LaunchMessage requests[REQUESTS_MAX]; /* a ring */
        unsigned n_requests;
        int reports[4]; /* the unpackers' ends */
        unsigned n_reports;
        LaunchStart known[KNOWN_MAX]; /* dynos that were asked for */
        unsigned n_known;
        /* Of these, a bit each: what the launcher names to the next one; higher: of a lost app. */
        uint32_t living;
} World;

static uint64_t now_usec;
static uint8_t *database; /* one that has a stack, an app and a release */
static size_t database_size;

static uint64_t fuzz_clock(void) {
        return now_usec;
}

ssize_t __wrap_getrandom(void *buf, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t size, unsigned flags) {
        static uint8_t next;

        memset(buf, ++next, size);
        return (ssize_t)size;
}

/* ---- what the supervisor says ---- */

static void check_spec(int fd) {
        _cleanup_free_ char *data = malloc(DYNO_SPEC_MAX);
        DynoSpec spec = {0};
        ssize_t n;

        assert(data && dyno_spec_check_fd(fd) == 0);
        n = pread(fd, data, DYNO_SPEC_MAX, 0);
        assert(n > 0 && dyno_spec_parse(&spec, data, (size_t)n) == 0);
        dyno_spec_clear(&spec);
}

static void note_request(World *w, const LaunchMessage *msg, ChannelFds *fds) {
        int *report = &w->reports[w->n_reports % ARRAY_SIZE(w->reports)];

        w->requests[w->n_requests++ % REQUESTS_MAX] = *msg;
        if (msg->header.type == LAUNCH_START || msg->header.type == LAUNCH_EXEC)
                check_spec(fds->fd[0]);
        if (msg->header.type == LAUNCH_START)
                w->known[w->n_known++ % KNOWN_MAX] = msg->start;
        if (msg->header.type == LAUNCH_FETCH || msg->header.type == LAUNCH_EXTRACT) {
                (void)safe_close(*report);
                *report = TAKE_FD(fds->fd[fds->n - 1]);
                w->n_reports++;
        }
}

static void hear_launcher(World *w) {
        for (;;) {
                _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
                LaunchMessage msg;
                size_t size;

                memset(&msg, 0, sizeof(msg));
                if (w->launcher < 0 ||
                    channel_recv(w->launcher, &msg, sizeof(msg), &size, &fds) != 0)
                        return;
                assert(launch_message_check(&msg, size, fds.n, LAUNCH_FROM_SUPERVISOR) == 0);
                note_request(w, &msg, &fds);
        }
}

static void hear_logger(World *w) {
        for (;;) {
                _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
                static LogLine line;
                size_t size;

                if (w->logger < 0 || channel_recv(w->logger, &line, sizeof(line), &size, &fds) != 0)
                        return;
                assert(log_message_check(&line, size, fds.n) == 0);
        }
}

static void hear_client(int *fd) {
        for (;;) {
                _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
                static char buf[65536];
                size_t size;
                int r = channel_recv(*fd, buf, sizeof(buf), &size, &fds);

                if (r == CHANNEL_E_AGAIN)
                        return;
                if (r != 0) { /* it was dropped: the next call connects anew */
                        *fd = safe_close(*fd);
                        return;
                }
        }
}

/* ---- life ---- */

static int on_ready(Manager *manager, int listen_fd, void *userdata) {
        World *w = userdata;

        if (server_new(&w->server, w->event, listen_fd, manager) < 0)
                abort();
        return 0;
}

static int make_config(const World *w) {
        _cleanup_(config_freep) Config *config = NULL;
        char text[512], path[2 * FUZZ_PATH_SIZE];
        ConfigError error;
        int n, fd;

        n = snprintf(
                text,
                sizeof(text),
                "state_dir = %s/state\nrun_dir = %s/run\nsupervisor_user = 1\nlogger_user = 2\n"
                "control_group = 3\nstart_parallel = 2\nresolvers = 9.9.9.9\nmax_dynos = 20\n",
                w->folder,
                w->folder);
        fuzz_write(w->folder, "dynod.conf", text, (size_t)n);
        fuzz_path(path, w->folder, "dynod.conf");
        if (config_read(&config, "fuzz", path, &error) < 0 || config_to_memfd(config, &fd) < 0)
                abort();
        return fd;
}

static int listen_socket(const World *w) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/sock", w->folder);
        (void)unlink(address.sun_path);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(fd, 8) < 0)
                abort();
        return fd;
}

static int connect_client(const World *w) {
        static const char auth[] = "\0AUTH ANONYMOUS 66757a7a\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/sock", w->folder);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return safe_close(fd);
        (void)!write(fd, auth, sizeof(auth) - 1);
        return fd;
}

static bool is_over(const World *w) {
        return !w->event || sd_event_get_state(w->event) == SD_EVENT_FINISHED;
}

static void run(World *w) {
        for (int i = 0; i < 200 && !is_over(w) && sd_event_run(w->event, 0) > 0; i++)
                ;
        hear_launcher(w);
        hear_logger(w);
}

static void tell(World *w, const void *msg, size_t size, const int *fds, size_t n_fds) {
        if (w->launcher >= 0 && size > 0)
                (void)!channel_send(w->launcher, msg, size, fds, n_fds);
}

static void connect_logger(World *w) {
        LaunchHeader logger = {.type = LAUNCH_LOGGER};
        int pair[2];

        w->logger = safe_close(w->logger);
        if (channel_pair(&w->logger, &pair[1]) < 0)
                abort();
        tell(w, &logger, sizeof(logger), &pair[1], 1);
        (void)close(pair[1]);
}

static void fill_facts(LaunchDynoFacts *facts, const LaunchStart *start) {
        *facts = (LaunchDynoFacts){
                .header.type = LAUNCH_DYNO,
                .start = *start,
                .pid = 4711,
                .uid = 200000,
                .address = 0x1e0010ac,
                .started_usec = now_usec,
        };
}

/* Between HELLO and READY. */
static void name_living(World *w) {
        LaunchDynoFacts facts;

        for (unsigned i = 0; i < KNOWN_MAX; i++)
                if ((w->living & 1U << i) != 0 && i < w->n_known) {
                        fill_facts(&facts, &w->known[i]);
                        facts.bound = i & 1;
                        facts.started_usec -= i;
                        if ((w->living & 1U << (KNOWN_MAX + i)) != 0)
                                strcpy(facts.start.app, "lost");
                        tell(w, &facts, sizeof(facts), NULL, 0);
                }
        w->living = 0;
}

static void start_supervisor(World *w) {
        LaunchHello hello = {
                .header.type = LAUNCH_HELLO, .memory_total = UINT64_C(8) << 30, .instance = "fuzz"};
        LaunchHeader ready = {.type = LAUNCH_READY};
        const ManagerHooks hooks = {on_ready, w};
        int fds[4], pair[2];

        if (sd_event_new(&w->event) < 0 || channel_pair(&pair[0], &w->launcher) < 0 ||
            manager_new(&w->manager, w->event, pair[0], &hooks) < 0)
                abort();
        w->manager->clock = (ManagerClock){fuzz_clock, fuzz_clock};
        fds[0] = make_config(w);
        fds[1] = listen_socket(w);
        fds[2] = fuzz_open(w->folder, "cgroup", O_RDONLY | O_DIRECTORY);
        fds[3] = fuzz_open(w->folder, "run", O_RDONLY | O_DIRECTORY);
        tell(w, &hello, sizeof(hello), fds, ARRAY_SIZE(fds));
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
                (void)close(fds[i]);
        connect_logger(w);
        name_living(w);
        tell(w, &ready, sizeof(ready), NULL, 0);
        run(w);
}

static void stop_supervisor(World *w) {
        w->server = server_free(w->server);
        w->manager = manager_free(w->manager);
        w->event = sd_event_unref(w->event);
        hear_launcher(w);
        w->launcher = safe_close(w->launcher);
        w->logger = safe_close(w->logger);
        for (size_t i = 0; i < CLIENTS_MAX; i++)
                w->clients[i] = safe_close(w->clients[i]);
}

/* ---- steps: clients ---- */

static int some_fd(Input *in) {
        int pair[2];

        switch (input_pick(in, 4)) {
        case 0:
                if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                        abort();
                (void)close(pair[1]);
                return pair[0];
        case 1:
                return open("/", O_RDONLY | O_CLOEXEC);
        case 2:
                return open("/dev/null", O_WRONLY | O_CLOEXEC);
        default:
                return fuzz_memfd("archive", 7);
        }
}

static void send_bytes(int fd, const uint8_t *data, size_t size, const int *fds, uint32_t n_fds) {
        /* a stream socket, and channel_send() does what sendmsg() would */
        if (size > 0)
                (void)!channel_send(fd, data, size, fds, n_fds);
}

static void step_call(World *w, Input *in) {
        int *client = &w->clients[input_pick(in, CLIENTS_MAX)], fds[DBUS_FDS_MAX];
        size_t method = input_pick(in, ARRAY_SIZE(dbus_methods)), cut;
        uint8_t how = input_byte(in);
        static DbusCall call;

        if (*client < 0) {
                *client = connect_client(w);
                run(w); /* sd-bus takes no descriptor before it has answered AUTH */
        }
        if (*client < 0)
                return;
        dbus_call(&call, &dbus_methods[method], ++w->serial, in);
        for (uint32_t i = 0; i < call.n_fds; i++)
                fds[i] = some_fd(in);
        if (how >= 0xf8) /* damaged */
                call.data[input_u32(in) % call.size] = input_byte(in);
        cut = how >= 0xe0 && how < 0xf0 ? call.size / 2 : call.size; /* in two pieces */
        send_bytes(*client, call.data, cut, fds, call.n_fds);
        if (cut < call.size) {
                run(w);
                send_bytes(*client, call.data + cut, call.size - cut, NULL, 0);
        }
        for (uint32_t i = 0; i < call.n_fds; i++)
                (void)safe_close(fds[i]);
        run(w);
        if (how < 0xf0) /* else it does not read its answers */
                hear_client(client);
}

static void step_raw(World *w, Input *in) {
        int *client = &w->clients[input_pick(in, CLIENTS_MAX)];
        size_t size;
        const uint8_t *data = input_bytes(in, 4, 1024, &size);

        if (*client < 0)
                *client = connect_client(w);
        if (*client >= 0)
                send_bytes(*client, data, size, NULL, 0);
}

static void step_hang_up(World *w, Input *in) {
        uint8_t how = input_byte(in);
        int *client = &w->clients[how % CLIENTS_MAX], crowd[CROWD];

        *client = safe_close(*client);
        if (how < 0xf0)
                return;
        for (size_t i = 0; i < CROWD; i++) { /* more than a uid may have */
                crowd[i] = connect_client(w);
                if (i % 8 == 7) /* as many as listen(2) lets wait */
                        run(w);
        }
        for (size_t i = 0; i < CROWD; i++)
                (void)safe_close(crowd[i]);
}

/* ---- steps: the launcher ---- */

static int some_result(Input *in) {
        static const int results[] = {
                0,
                0,
                0,
                0,
                -ENOENT,
                -EBADMSG,
                -EEXIST,
                -ENOPROTOOPT,
                -ENOSPC,
                -EPROTO,
                -ENOMEM,
                -ESRCH,
                -EALREADY,
                -EBUSY,
        };

        return results[input_pick(in, ARRAY_SIZE(results))];
}

static LaunchType answer_to(const LaunchMessage *request, int result) {
        switch (request->header.type) {
        case LAUNCH_START:
                return LAUNCH_STARTED;
        case LAUNCH_INSPECT:
                return LAUNCH_INSPECTED;
        case LAUNCH_HOST:
                return LAUNCH_HOSTED;
        case LAUNCH_FETCH:
                return LAUNCH_FETCHED;
        case LAUNCH_EXTRACT:
                return result == -ENOENT ? LAUNCH_REPLY : LAUNCH_EXTRACTED;
        default:
                return LAUNCH_REPLY;
        }
}

/* Of a host whose firewalls and listeners are in the way, the more the greater @how is. */
static void fill_inspected(LaunchInspected *inspected, uint8_t how) {
        static const char *const chains[] = {"FORWARD", "ufw-user-forward", "DOCKER-USER", "input"};

        for (size_t i = 0; i < _LAYER_MAX; i++) {
                inspected->layers[i].verdict = how % _VERDICT_MAX;
                strcpy(inspected->layers[i].detail, how & 1 ? "is not there" : "");
        }
        if (inspected->header.type != LAUNCH_HOSTED || how < 0x40)
                return;
        for (size_t i = 0; i < _GUARD_MAX; i++)
                inspected->guards[i] = how % _GUARD_STATE_MAX;
        inspected->n_blockers = how / 32 % (BLOCKERS_MAX + 1);
        for (uint8_t i = 0; i < inspected->n_blockers; i++) {
                LaunchBlocker *blocker = &inspected->blockers[i];

                blocker->hook = (uint8_t)(how + i) % _FILTER_HOOK_MAX;
                blocker->kind = (uint8_t)(how + i) % _FILTER_KIND_MAX;
                blocker->owner = (uint8_t)(how / 3 + i) % _FILTER_OWNER_MAX;
                strcpy(blocker->table, how & 2 ? "filter" : "firewalld");
                strcpy(blocker->chain, chains[(how + i) % ARRAY_SIZE(chains)]);
        }
        inspected->n_shadowed = how / 64;
        for (uint8_t i = 0; i < inspected->n_shadowed; i++)
                inspected->shadowed[i] = i == 0 ? 8080 : how;
}

/* Some are no end of it: the dyno waits, or its files are unpacked again. */
static void fill_refused(LaunchStarted *started, uint8_t how) {
        static const struct {
                uint32_t layer;
                int32_t result;
        } passing[] = {
                {LAYER_STORE, -ENOENT},
                {LAYER_MEMORY, -ENOMEM},
                {_LAYER_ANY_MAX, -EDQUOT},
                {LAYER_NETWORK, -ESTALE},
        };

        started->layer = how % (_LAYER_ANY_MAX + 1U);
        if (how >= 0x80) {
                started->layer = passing[how % ARRAY_SIZE(passing)].layer;
                started->result = passing[how % ARRAY_SIZE(passing)].result;
        }
        strcpy(started->detail, "is unconfined");
}

static void step_answer(World *w, Input *in) {
        unsigned n = w->n_requests < REQUESTS_MAX ? w->n_requests : REQUESTS_MAX;
        const LaunchMessage *request;
        LaunchMessage msg = {0};
        size_t size;
        uint8_t how;

        if (n == 0)
                return;
        /* the newest is the likeliest */
        request = &w->requests[(w->n_requests - 1 - input_pick(in, n)) % REQUESTS_MAX];
        how = input_byte(in);
        msg.reply.result = some_result(in);
        msg.header.type = answer_to(request, msg.reply.result);
        msg.header.seq = request->header.seq;
        switch (msg.header.type) {
        case LAUNCH_FETCHED:
                msg.fetched.result = msg.reply.result;
                msg.fetched.import = request->fetch.import;
                msg.fetched.bytes = how;
                memset(msg.fetched.digest, how & 3, DIGEST_SIZE);
                break;
        case LAUNCH_STARTED:
                if (msg.started.result == 0)
                        fill_facts(&msg.started.facts, &request->start);
                else
                        fill_refused(&msg.started, how);
                break;
        case LAUNCH_EXTRACTED:
                memset(msg.extracted.digest, how & 3, DIGEST_SIZE);
                break;
        case LAUNCH_INSPECTED:
        case LAUNCH_HOSTED:
                fill_inspected(&msg.inspected, how);
                break;
        default:
                msg.reply.layer = how % (_LAYER_ANY_MAX + 1U);
        }
        size = launch_message_size(msg.header.type);
        if (how == 0xff)
                ((uint8_t *)&msg)[input_u32(in) % size] = input_byte(in);
        tell(w, &msg, size, NULL, 0);
}

static void step_event(World *w, Input *in) {
        static const uint32_t types[] = {
                LAUNCH_BOUND,
                LAUNCH_EXITED,
                LAUNCH_DYNO,
                LAUNCH_RELOADED,
                LAUNCH_HELLO,
                LAUNCH_READY};
        unsigned n = w->n_known < KNOWN_MAX ? w->n_known : KNOWN_MAX;
        uint8_t what = input_byte(in);
        LaunchMessage msg = {
                .header.type = what < 0xf6 ? types[what % ARRAY_SIZE(types)] : LAUNCH_SOURCE};
        LaunchStart start = {.id = "web.1-abcdef", .app = "shop", .type = "web"};
        int fd = -EBADF;

        if (n > 0)
                start = w->known[input_pick(in, n)];
        switch (msg.header.type) {
        case LAUNCH_BOUND:
                memcpy(msg.dyno.id, start.id, sizeof(start.id));
                break;
        case LAUNCH_EXITED:
                memcpy(msg.exited.id, start.id, sizeof(start.id));
                msg.exited.status = input_byte(in);
                msg.exited.flags = input_byte(in) % 8;
                msg.exited.usec = now_usec;
                break;
        case LAUNCH_DYNO:
                fill_facts(&msg.facts, &start);
                break;
        case LAUNCH_SOURCE:
                msg.source.app_number = 1 + input_byte(in) % 3;
                msg.source.gone = what & 1;
                break;
        case LAUNCH_RELOADED:
                fd = what < 0xc0 ? make_config(w) : fuzz_memfd("max_dynos = x", 13);
                break;
        default:
                if (input_byte(in) < 0xf0) /* these end the supervisor: now and then */
                        return;
        }
        tell(w, &msg, launch_message_size(msg.header.type), &fd, fd >= 0);
        (void)safe_close(fd);
}

/* ---- steps: an unpacker, which has seen a hostile archive ---- */

static void step_report(World *w, Input *in) {
        static UnpackMessage msg;
        int fd = w->reports[input_pick(in, ARRAY_SIZE(w->reports))];
        size_t size, send = sizeof(msg);
        const uint8_t *text;
        uint8_t how;

        if (fd < 0)
                return;
        memset(&msg, 0, sizeof(msg));
        how = input_byte(in);
        msg.type = 1 + how % 4U;
        msg.reason = input_byte(in) % (_UNPACK_REASON_MAX + 1U);
        msg.error = input_byte(in);
        msg.line = input_byte(in);
        memset(&msg.counts, input_byte(in), sizeof(msg.counts) / 2);
        strcpy(msg.process, (how & 0x10) != 0 ? "web" : "worker");
        text = input_bytes(in, 1, sizeof(msg.text), &size);
        memcpy(msg.text, text, size);
        if (how >= 0xf0) {
                ((uint8_t *)&msg)[input_u32(in) % sizeof(msg)] = input_byte(in);
                memset(msg.text, how, (how & 1) != 0 ? sizeof(msg.text) : 0);
                send -= how & 2;
        }
        (void)!channel_send(fd, &msg, send, NULL, 0);
        if (how == 0xef) {
                for (size_t i = 0; i < ARRAY_SIZE(w->reports); i++)
                        w->reports[i] = safe_close(w->reports[i]);
        }
}

/* ---- steps: the rest ---- */

static void step_time(World *w, Input *in) {
        now_usec += (uint64_t)input_byte(in) << input_byte(in) % 34;
        if (!is_over(w))
                manager_tick(w->manager);
}

#define DATABASE "state/supervisor/dynod.db"

static void write_database(const World *w) {
        fuzz_unlink(w->folder, DATABASE "-wal");
        fuzz_unlink(w->folder, DATABASE "-shm");
        fuzz_write(w->folder, DATABASE, database, database_size);
}

static void step_restart(World *w, Input *in, bool with_database, bool with_living) {
        unsigned n = w->n_known < KNOWN_MAX ? w->n_known : KNOWN_MAX;
        char name[DYNO_ID_SIZE + 32];
        size_t size;
        const uint8_t *data = input_bytes(in, 4, 1024, &size);

        stop_supervisor(w);
        if (size > 0) {
                (void)snprintf(
                        name,
                        sizeof(name),
                        "run/supervisor/%s",
                        n > 0 ? w->known[input_pick(in, n)].id : "web.1-abcdef");
                if (size > 4)
                        fuzz_write(w->folder, name, data, size);
                else
                        fuzz_unlink(w->folder, name);
        }
        if (with_database)
                database_damage(w->folder, DATABASE, in);
        w->living = with_living ? input_u32(in) : 0;
        start_supervisor(w);
        if (with_database && is_over(w)) { /* refused: somebody puts a good one there */
                stop_supervisor(w);
                write_database(w);
                start_supervisor(w);
        }
}

static void step(World *w, Input *in) {
        uint8_t how;

        switch (input_pick(in, 16)) {
        case 0 ... 4:
                step_call(w, in);
                break;
        case 5 ... 8:
                step_answer(w, in);
                break;
        case 9:
        case 10:
                step_event(w, in);
                break;
        case 11:
                step_report(w, in);
                break;
        case 12:
                step_time(w, in);
                break;
        case 13:
                step_raw(w, in);
                break;
        case 14:
                step_hang_up(w, in);
                break;
        case 15:
                how = input_byte(in);
                if ((how & 3) == 0)
                        step_restart(w, in, (how & 12) == 12, (how & 16) != 0);
                else
                        connect_logger(w);
                break;
        }
        run(w);
        if (is_over(w)) {
                stop_supervisor(w);
                start_supervisor(w);
        }
}

/* ---- a world, its database a copy of one that has a stack, an app and a release ---- */

static void make_world(World *w, const char *base, const char *name) {
        static const char *const folders[] = {
                "state", "state/supervisor", "run", "run/supervisor", "cgroup"};

        (void)snprintf(w->folder, sizeof(w->folder), "%.60s/%s", base, name);
        (void)mkdir(w->folder, 0700);
        for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
                fuzz_mkdir(w->folder, folders[i]);
        w->launcher = w->logger = -EBADF;
        memset(w->clients, 0xff, sizeof(w->clients));
        memset(w->reports, 0xff, sizeof(w->reports));
        now_usec = UINT64_C(1795000000000000);
}

static void free_world(World *w) {
        stop_supervisor(w);
        for (size_t i = 0; i < ARRAY_SIZE(w->reports); i++)
                w->reports[i] = safe_close(w->reports[i]);
        free(w);
}

/* Steps as an input would have them: import, create, deploy with two types. */
static void make_template(const char *base) {
        /* clang-format off */
        static const uint8_t steps[] = {
                0, 0, 5, 0, 3, 0, 10, 3,                             /* ImportStack debian-12 */
                5, 0, 1, 0, 11, 1, 2, 0, 0, 0, 0, 0,                 /* FETCHED, DONE */
                5, 0, 0, 0, 5, 0, 0, 0,                              /* EXTRACTED, committed */
                0, 0, 8, 0, 0, 3,                                    /* CreateApp shop */
                0, 0, 13, 0, 0, 0, 10, 2, 0, 5, 13, 6, 13, 10, 3,    /* Deploy shop */
                5, 0, 2, 0, 11, 3, 2, 0, 0, 0, 0, 0, 5, 0, 0, 0, 5, 0, 0, 0,
        };
        /* clang-format on */
        Input in = {steps, sizeof(steps)};
        World *w = calloc(1, sizeof(*w));
        struct stat st;
        int fd;

        if (!w)
                abort();
        make_world(w, base, "template");
        start_supervisor(w);
        while (in.size > 0)
                step(w, &in);
        assert(w->manager->apps && w->manager->apps->release); /* the steps fit the methods */
        stop_supervisor(w);
        fd = fuzz_open(w->folder, DATABASE, O_RDONLY);
        if (fstat(fd, &st) < 0)
                abort();
        database_size = (size_t)st.st_size;
        database = malloc(database_size);
        if (!database || read(fd, database, database_size) != st.st_size)
                abort();
        (void)close(fd);
        free_world(w);
}

/* Files of clients that no close(2) is risked on stay open, see control/relay.c. */
static void close_foreign(const bool *before) {
        struct stat st;

        for (int fd = 0; fd < FDS_MAX; fd++)
                if (!before[fd] && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode))
                        (void)close(fd);
}

/* Who sent such a file is remembered as long as the process lives; here, as long as the input. */
static QuotaUser *held[STEPS_MAX + 1];
static size_t n_held;
static bool keeps; /* the next one */

bool __real_relay_keeps(const Relay *relay);
bool __wrap_relay_keeps(const Relay *relay);
bool __wrap_relay_keeps(const Relay *relay) {
        keeps = __real_relay_keeps(relay);
        return keeps;
}

QuotaUser *__real_quota_user_hold(QuotaUser *user);
QuotaUser *__wrap_quota_user_hold(QuotaUser *user);
QuotaUser *__wrap_quota_user_hold(QuotaUser *user) {
        assert(n_held < ARRAY_SIZE(held));
        if (keeps)
                held[n_held++] = user;
        keeps = false;
        return __real_quota_user_hold(user);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static char base[FUZZ_PATH_SIZE];
        static unsigned n;
        Input in = {data, size};
        bool is_open[FDS_MAX];
        unsigned before;
        char name[16];
        World *w;

        if (!database) {
                fuzz_folder(base);
                make_template(base);
        }
        w = calloc(1, sizeof(*w));
        if (!w)
                return 0;
        before = fuzz_count_fds();
        for (int fd = 0; fd < FDS_MAX; fd++)
                is_open[fd] = fcntl(fd, F_GETFD) >= 0;
        (void)snprintf(name, sizeof(name), "%u", n++);
        make_world(w, base, name);
        write_database(w);
        start_supervisor(w);
        for (int i = 0; i < STEPS_MAX && in.size > 0; i++)
                step(w, &in);
        stop_supervisor(w);
        fuzz_remove_tree(w->folder);
        free_world(w);
        while (n_held > 0)
                (void)quota_user_unref(held[--n_held]);
        close_foreign(is_open);
        assert(fuzz_count_fds() == before);
        return 0;
}
