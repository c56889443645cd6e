/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The root process and those it must not trust: a supervisor that sends anything in any
 * order, unpackers and dynos that end in any way, status records that the app has forged,
 * a supervisor or a launcher that is started anew, on a disk with damaged files. Requests,
 * dynos, folders, slots, link, store, services and sweeper are the real ones; kernel mechanisms
 * and children are in fuzz_launcher_fakes.c.
 *
 * The input is a list of steps. Whatever they are: all that root says passes the checks of
 * its readers, nothing is answered twice, and no descriptor is left open.
 *
 * Covers: launcher/requests.c:95 launcher/link.c:90 launcher/dynos.c:92
 *          launcher/dynos_adopt.c:88 launcher/dyno_folder.c:92 launcher/execs.c:92
 *          launcher/starts.c:92 launcher/discard.c:90 launcher/policies.c:88
 *          launcher/network.c:90 launcher/slots.c:92 launcher/loop.c:75
 *          launcher/services.c:88 launcher/sweep.c:75 launcher/sizes.c:70
 *          ipc/launch_proto.c:80 ipc/channel.c:88 ipc/dyno_state.c:88
 *          image/store.c:85 image/store_import.c:82 image/store_place.c:85
 * Options: -max_len=4096
 */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include "fuzz_launcher_fakes.h"
#include "ipc/channel.h"
#include "ipc/status_record.h"
#include "launcher/dynos.h"
#include "launcher/policies.h"
#include "launcher/slots.h"
#include "launcher/sweep.h"

#define STEPS_MAX 200
#define SEQ_MAX 512
#define FDS_MAX 1024
#define SWEEPS_MAX 64         /* many more than there can be folders in the trash */
#define FOREIGN makedev(1, 5) /* /dev/zero: no file of root's, nor of what it may be sent */

typedef struct World {
        Launcher launcher;
        Config config;
        char folder[FUZZ_PATH_SIZE];
        Source *store_source;
        uint32_t last_seq;
        uint8_t answers[SEQ_MAX];
} World;

static const char *const ids[] = {
        "web.1-7f3a9c", "web.2-000000", "run.7-abcdef", "web.1-7f3a9d", "../web.1-7f3a9c", ""};

/* ---- the supervisor's end ---- */

static bool is_answer(uint32_t type) {
        return type == LAUNCH_REPLY || type == LAUNCH_STARTED || type == LAUNCH_INSPECTED ||
               type == LAUNCH_HOSTED || type == LAUNCH_FETCHED || type == LAUNCH_EXTRACTED;
}

/* What runs has no more than some size has, whatever was asked for. */
static void check_started(const World *w, const LaunchStart *start) {
        const DynoSize *size = &w->config.sizes[0];

        assert(start->process_limit <= size->process_limit);
        assert(start->cpu_weight == size->cpu_weight);
        assert(start->memory_kill / 2 <= start->memory_quota);
        assert(start->memory_quota <= w->launcher.memory_total);
}

static void hear(World *w) {
        while (fake_service_fd[0] >= 0) {
                _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
                LaunchMessage msg;
                size_t size;
                int r;

                r = channel_recv(fake_service_fd[0], &msg, sizeof(msg), &size, &fds);
                if (r != 0)
                        return;
                assert(launch_message_check(&msg, size, fds.n, LAUNCH_FROM_LAUNCHER) == 0);
                if (msg.header.type == LAUNCH_HELLO)
                        fake_check_listener(fds.fd[1]);
                if (msg.header.type == LAUNCH_STARTED && msg.started.result == 0)
                        check_started(w, &msg.started.facts.start);
                if (is_answer(msg.header.type) && msg.header.seq < SEQ_MAX)
                        assert(++w->answers[msg.header.seq] == 1);
        }
}

static bool on_idle(void *userdata) {
        World *w = userdata;

        if (slots_refill(&w->launcher)) /* as launcher/main.c has it */
                return true;
        loop_quit(w->launcher.loop);
        return false;
}

static void turn(World *w) {
        assert(loop_run(w->launcher.loop) == 0);
        hear(w);
}

/* One that ends soon after its start, again and again, is started after a pause only. */
static void run(World *w) {
        turn(w);
        for (int i = 0; i < 3 && w->launcher.supervisor.pidfd < 0; i++) {
                fake_now_usec += 32 * USEC_PER_SEC;
                turn(w);
        }
}

static void send_message(World *w, LaunchMessage *msg, size_t size, const int *fds, size_t n_fds) {
        if (fake_service_fd[0] >= 0 &&
            channel_send(fake_service_fd[0], msg, size, fds, n_fds) == CHANNEL_E_AGAIN)
                run(w);
}

/* ---- what it sends ---- */

static void fill_digest(Input *in, uint8_t digest[DIGEST_SIZE]) {
        memset(digest, (int)input_pick(in, 4), DIGEST_SIZE);
}

static void fill_start(Input *in, LaunchStart *start) {
        static const char *const types[] = {"web", "web", "run"};
        size_t n = input_pick(in, ARRAY_SIZE(ids));
        uint8_t how;

        start->number = n == 2 ? 7 : n == 1 ? 2 : 1;
        start->release = 1 + input_byte(in);
        start->web_port = n < 2 ? 5000 : 0;
        start->app_number = 1;
        start->cpu_weight = 100;
        start->process_limit = 256;
        start->memory_quota = (uint64_t)input_byte(in) << 24 | DYNO_MEMORY_MIN;
        start->memory_kill = start->memory_quota * 2;
        memset(start->stack, FAKE_STACK, DIGEST_SIZE);
        memset(start->slug, FAKE_SLUG, DIGEST_SIZE);
        if (input_byte(in) > 200)
                fill_digest(in, start->stack);
        memcpy(start->id, ids[n], strlen(ids[n]) + 1);
        memcpy(start->type, types[n < 3 ? n : 0], 4);
        memcpy(start->app, "shop", 5);
        memcpy(start->size, "Standard-1X", 12);
        how = input_byte(in);
        if (how > 200)
                start->flags = LAUNCH_FLAG_ATTACHED;
        else if (how > 195) /* more than any size has */
                start->process_limit = how * 10U;
        else if (how > 190)
                start->cpu_weight = how * 10U;
        else if (how > 180)
                start->memory_kill = start->memory_quota * how;
}

static void fill_policy(Input *in, LaunchPolicy *policy) {
        uint8_t closed;

        policy->serial = 1 + input_byte(in) % 4U;
        policy->app_number = 1 + input_byte(in) % 2U;
        closed = input_byte(in);
        policy->egress_closed = closed & 1;
        policy->asked = (closed & 4) != 0;
        policy->n_rules = input_byte(in) % 4;
        policy->n_trusted = input_byte(in) % 3;
        policy->ingress_closed = policy->n_trusted == 0 && (closed & 2);
        policy->n_services = input_byte(in) % 3;
        policy->n_published = input_byte(in) % 3;
        for (uint8_t i = 0; i < policy->n_rules; i++)
                policy->rules[i] = (NetworkRule){
                        .network = input_byte(in),
                        .prefix = 8,
                        .protocol = IPPROTO_TCP,
                        .allow = input_byte(in) & 1,
                        .port_first = input_byte(in),
                        .port_last = 255,
                };
        for (uint8_t i = 0; i < policy->n_trusted; i++)
                policy->trusted[i] = (NetworkRange){.network = input_byte(in), .prefix = 8};
        for (uint8_t i = 0; i < policy->n_services; i++)
                policy->services[i] = (NetworkPort){input_byte(in), IPPROTO_UDP, 0};
        for (uint8_t i = 0; i < policy->n_published; i++)
                policy->published[i] = (NetworkPort){input_byte(in), IPPROTO_TCP, 0};
}

static void fill(Input *in, LaunchMessage *msg) {
        switch (msg->header.type) {
        case LAUNCH_START:
                fill_start(in, &msg->start);
                break;
        case LAUNCH_SIGNAL:
                msg->signal.signo = input_byte(in) % 34;
                msg->signal.target = input_byte(in) % 3;
                strcpy(msg->signal.id, ids[input_pick(in, ARRAY_SIZE(ids))]);
                break;
        case LAUNCH_FETCH:
                msg->fetch.import = input_byte(in) % 8;
                msg->fetch.max_bytes = 4096;
                break;
        case LAUNCH_EXTRACT:
                msg->extract.import = input_byte(in) % 8;
                msg->extract.kind = input_byte(in) % 2;
                msg->extract.max_bytes = msg->extract.max_entries = msg->extract.max_ratio = 9;
                fill_digest(in, msg->extract.digest);
                break;
        case LAUNCH_COMMIT:
        case LAUNCH_ABANDON:
                msg->import.import = input_byte(in) % 8;
                break;
        case LAUNCH_REMOVE:
                msg->object.kind = input_byte(in) % 2;
                fill_digest(in, msg->object.digest);
                break;
        case LAUNCH_POLICY:
                fill_policy(in, &msg->policy);
                break;
        case LAUNCH_HOST:
                break;
        default:
                strcpy(msg->dyno.id, ids[input_pick(in, ARRAY_SIZE(ids))]);
        }
}

/* Root looks at its size and seals alone. */
static int spec_fd(Input *in) {
        static const char spec[256];
        int fd = fuzz_memfd(spec, sizeof(spec) - input_byte(in) % 200);

        if ((input_byte(in) & 1) == 0)
                (void)fcntl(
                        fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
        return fd;
}

static int some_socket(void) {
        int pair[2];

        if (channel_pair(&pair[0], &pair[1]) < 0)
                abort();
        (void)close(pair[1]);
        return pair[0];
}

/* No other file: root leaves that open, see launcher/discard.c, and so would we. */
static int any_fd(Input *in) {
        return (input_byte(in) & 1) != 0 ? some_socket() : spec_fd(in);
}

/* A message of the right size and with likely fields, or with all others. */
static void step_request(World *w, Input *in) {
        static const uint8_t n_fds_of[] = {0, 1, 0, 0, 2, 0, 1, 1};
        LaunchMessage msg = {.header.type = 1 + input_byte(in) % LAUNCH_HELLO};
        uint8_t how = input_byte(in);
        size_t n_fds = msg.header.type < ARRAY_SIZE(n_fds_of) ? n_fds_of[msg.header.type] : 0;
        size_t size = launch_message_size(msg.header.type);
        int fds[CHANNEL_FDS_MAX];

        msg.header.seq = ++w->last_seq;
        fill(in, &msg);
        if (how >= 0xf0) { /* damage one byte, or the size, or the descriptors */
                ((uint8_t *)&msg)[input_u32(in) % size] = input_byte(in);
                msg.header.seq = w->last_seq; /* answers are counted by it */
                size -= how & 1;
                n_fds = (how & 2) != 0 ? input_pick(in, CHANNEL_FDS_MAX + 1) : n_fds;
        } else if (msg.header.type == LAUNCH_START && msg.start.flags != 0)
                n_fds = 2;
        for (size_t i = 0; i < n_fds; i++)
                fds[i] = how >= 0xf0                                ? any_fd(in)
                         : i == 0 && msg.header.type < LAUNCH_FETCH ? spec_fd(in)
                                                                    : some_socket();
        send_message(w, &msg, size, fds, n_fds);
        for (size_t i = 0; i < n_fds; i++)
                (void)safe_close(fds[i]);
}

/* It asks, and does not read what it is told. */
static void step_deaf(World *w, Input *in) {
        LaunchMessage msg = {.header.type = LAUNCH_HOST};

        for (unsigned n = 8U * input_byte(in); n > 0 && fake_service_fd[0] >= 0; n--) {
                msg.header.seq = ++w->last_seq;
                if (channel_send(fake_service_fd[0], &msg, sizeof(msg.header), NULL, 0) != 0)
                        return;
                assert(loop_run(w->launcher.loop) == 0);
        }
}

static void step_raw(World *w, Input *in) {
        LaunchMessage msg = {0};
        size_t size;
        const uint8_t *data = input_bytes(in, 1, sizeof(msg), &size);

        memcpy(&msg, data, size);
        if (size >= sizeof(msg.header))
                msg.header.seq = ++w->last_seq;
        if (size > 0)
                send_message(w, &msg, size, NULL, 0);
}

/* ---- what services do that were taken over ---- */

/* Root leaves what it cannot close open, see launcher/discard.c; nothing else. */
static void close_foreign(World *w) {
        struct stat st;
        size_t n = 0;

        for (int fd = 0; fd < FDS_MAX && w->launcher.n_foreign > 0; fd++)
                if (fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == FOREIGN) {
                        (void)close(fd);
                        n++;
                }
        assert(n == w->launcher.n_foreign);
        w->launcher.n_foreign = 0;
}

static void send_foreign(World *w, Input *in) {
        LaunchMessage msg = {.header = {.type = LAUNCH_HOST, .seq = ++w->last_seq}};
        size_t n = 1 + input_pick(in, CHANNEL_FDS_MAX);
        int fds[CHANNEL_FDS_MAX];

        for (size_t i = 0; i < n; i++)
                fds[i] = (input_byte(in) & 1) != 0 ? some_socket()
                                                   : fuzz_open("/dev", "zero", O_RDONLY);
        send_message(w, &msg, sizeof(msg.header), fds, n);
        for (size_t i = 0; i < n; i++)
                (void)close(fds[i]);
}

/* One ends; before that it may have broken what its successor is to have. */
static void step_service(World *w, Input *in, uint8_t how) {
        switch (how / 32) {
        case 3:
                fake_service_fd[0] = safe_close(fake_service_fd[0]);
                return;
        case 4:
                send_foreign(w, in);
                return;
        case 5:
                (void)shutdown(w->launcher.listen_fd, (int)input_pick(in, 3));
                break;
        case 6:
                (void)shutdown(w->launcher.logger_channel_fd[how / 4 % 2], (int)input_pick(in, 3));
                fake_service_end(input_byte(in) % 2);
                return;
        case 7:
                fake_service_end(1);
                return;
        default:
                break;
        }
        fake_service_end(0);
}

/* ---- what dynos do ---- */

/* The app has its status file's descriptor in all but name: any bytes, any length. */
static void step_status(World *w, Input *in) {
        StatusRecord record = {.magic = STATUS_RECORD_MAGIC};
        char path[3 * FUZZ_PATH_SIZE];
        uint8_t how = input_byte(in);
        size_t size;
        const uint8_t *data;
        int fd;

        (void)snprintf(path, sizeof(path), "%s/dynos/%s/status", w->folder, ids[input_pick(in, 4)]);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        record.flags = how & 7;
        record.exit_status = input_byte(in) * (how > 0xf0 ? 3U : 1U);
        if (how == 0xff)
                (void)!ftruncate(fd, input_byte(in));
        data = input_bytes(in, 1, sizeof(record), &size);
        if ((how & 0x10) != 0)
                (void)!pwrite(fd, data, size, 0);
        else
                (void)!pwrite(fd, &record, sizeof(record), 0);
        (void)close(fd);
}

/* ---- the store ---- */

static void on_store_event(void *userdata, const StoreEvent *event) {
        Launcher *launcher = userdata;
        LaunchFetched fetched = {
                .header = {.type = LAUNCH_FETCHED, .seq = event->seq},
                .import = event->import,
                .result = event->result,
        };
        LaunchExtracted extracted = {
                .header = {.type = LAUNCH_EXTRACTED, .seq = event->seq},
                .result = event->result,
                .layer = LAYER_STORE,
        };

        if (event->seq == 0) /* who asked is gone: as launcher/main.c has it */
                return;
        if (event->type == STORE_FETCHED)
                link_send(launcher, &fetched, sizeof(fetched), NULL, 0);
        else if (event->type == STORE_EXTRACTED)
                link_send(launcher, &extracted, sizeof(extracted), NULL, 0);
        else
                link_reply(launcher, event->seq, LAUNCH_REPLY, event->result, LAYER_STORE);
}

static int on_store(void *userdata, uint32_t events) {
        return store_dispatch(((Launcher *)userdata)->store);
}

static void open_store(World *w) {
        StoreOptions options = {
                .unpacker = "/bin/true",
                .uid_base = w->config.uid_base,
                .handler = on_store_event,
                .userdata = &w->launcher,
        };

        options.state_fd = fuzz_open(w->folder, "state", O_RDONLY | O_DIRECTORY);
        if (store_open(&w->launcher.store, &options) < 0 || loop_add(
                                                                    w->launcher.loop,
                                                                    &w->store_source,
                                                                    store_fd(w->launcher.store),
                                                                    EPOLLIN,
                                                                    on_store,
                                                                    &w->launcher) < 0)
                abort();
        (void)close(options.state_fd);
}

static void close_store(World *w) {
        w->store_source = source_free(w->store_source);
        w->launcher.store = store_close(w->launcher.store);
}

/* ---- what a crash leaves, or a full disk, or an older version ---- */

#define HEX_1 "0101010101010101010101010101010101010101010101010101010101010101"
#define HEX_2 "0202020202020202020202020202020202020202020202020202020202020202"
#define HEX_3 "0303030303030303030303030303030303030303030303030303030303030303"

/* Files that the next start reads, and folders that it looks through. */
static const char *const files[] = {
        "policies/1",
        "policies/2",
        "policies/1",
        "policies/01",
        "policies/4294967295",
        "policies/.1.tmp",
        "policies/x",
        "state/boot/stack-" HEX_1,
        "state/boot/slug-" HEX_2,
        "state/boot/slug-" HEX_3,
        "state/archives/" HEX_1,
        "state/archives/" HEX_2,
        "state/tmp/1-1",
        "state/tmp/2-2",
        "state/tmp/a-name-that-is-longer-than-those-of-imports-are-made",
        "state/slugs/" HEX_3,
        "state/stacks/x",
        "dynos/.web.1-7f3a9c",
        "dynos/web.2-000000",
        "cgroup/web.1-7f3a9d",
};

/* One file is cut, overwritten somewhere, gone, or something else is in its place. */
static void damage_disk(World *w, Input *in) {
        const char *file = files[input_pick(in, ARRAY_SIZE(files))];
        uint8_t how = input_byte(in);
        char path[3 * FUZZ_PATH_SIZE];
        const uint8_t *data;
        size_t size;
        int fd;

        (void)snprintf(path, sizeof(path), "%s/%s", w->folder, file);
        data = input_bytes(in, 1, 255, &size);
        switch (how % 8) {
        case 0:
                (void)unlink(path);
                return;
        case 1:
                (void)truncate(path, input_byte(in) * 16);
                return;
        case 2:
                (void)mkdir(path, 0700);
                return;
        case 3:
                (void)!symlink(w->folder, path);
                return;
        default:
                fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
                if (fd < 0)
                        return;
                (void)!pwrite(fd, data, size, (how & 8) != 0 ? (off_t)(input_u32(in) % 8192) : 0);
                (void)close(fd);
        }
}

static void start_services(World *w) {
        w->launcher.stopping = false;
        fake_fail_next = 0; /* else dynod would end here */
        assert(services_start(&w->launcher) == 0);
}

static void stop_services(World *w) {
        hear(w);
        services_stop(&w->launcher);
        close_foreign(w);
}

static int adopt(World *w) {
        int r;

        dynos_clear(&w->launcher);
        fake_forget_policies();
        w->launcher.slots = slots_free(w->launcher.slots);
        if (slots_new(&w->launcher.slots, w->config.max_dynos, w->config.max_dynos) < 0)
                abort();
        r = dynos_adopt(&w->launcher);
        assert(r == 0 || r == -EPROTONOSUPPORT);
        return r;
}

static void step_restart(World *w, Input *in, bool with_store) {
        char path[3 * FUZZ_PATH_SIZE];
        size_t size;
        const uint8_t *data = input_bytes(in, 4, 1024, &size);
        uint8_t how = input_byte(in);
        int fd;

        if (size > 0) {
                (void)snprintf(path, sizeof(path), "%s/dynos/%s/state", w->folder, ids[how % 4]);
                (void)chmod(path, 0600); /* it is read-only */
                fd = open(path, O_WRONLY | O_CLOEXEC | ((how & 0x80) != 0 ? O_TRUNC : 0));
                if (fd >= 0) {
                        (void)!pwrite(fd, data, size, (how & 0x40) != 0 ? input_byte(in) * 4 : 0);
                        (void)close(fd);
                }
        }
        stop_services(w);
        if (with_store) {
                close_store(w);
                open_store(w);
        }
        execs_clear(&w->launcher);
        if (adopt(w) == -EPROTONOSUPPORT) { /* of a newer dynod: then all are ended */
                dynos_remove_folders(&w->launcher);
                assert(adopt(w) == 0);
        }
        assert(policies_restore(&w->launcher) == 0);
        (void)!network_start(&w->launcher);
        start_services(w);
}

static void step(World *w, Input *in) {
        uint8_t how, more;

        switch (input_pick(in, 9)) {
        case 0:
        case 1:
        case 2:
                step_request(w, in);
                break;
        case 3:
                step_raw(w, in);
                break;
        case 4:
                fake_dyno_end(input_byte(in));
                break;
        case 5:
                step_status(w, in);
                break;
        case 6:
                fake_child_end(in);
                break;
        case 7:
                how = input_byte(in);
                more = input_byte(in);
                fake_now_usec += (uint64_t)how << more % 24;
                fake_fail_next = (uint16_t)(more / 24 << 8 | input_byte(in));
                if ((fake_fail_next & 0x100) != 0)
                        fake_network_change();
                break;
        case 8:
                how = input_byte(in);
                if ((how & 2) != 0)
                        damage_disk(w, in);
                if ((how & 0x18) == 0x18)
                        step_deaf(w, in);
                else if ((how & 1) != 0)
                        step_restart(w, in, (how & 4) != 0);
                else
                        step_service(w, in, how);
                break;
        }
}

/* ---- life ---- */

static void setup(World *w) {
        static unsigned n;
        static char base[FUZZ_PATH_SIZE];

        if (base[0] == '\0') {
                (void)signal(SIGPIPE, SIG_IGN); /* our children's ends of pipes are ours, too */
                fuzz_folder(base);
        }
        (void)snprintf(w->folder, sizeof(w->folder), "%.60s/%u", base, n++);
        (void)mkdir(w->folder, 0700);
        fuzz_mkdir(w->folder, "dynos");
        fuzz_mkdir(w->folder, "cgroup");
        fuzz_mkdir(w->folder, "state");
        fuzz_write(w->folder, "dynod-unpacker", "", 0);
        w->config = (Config){
                .instance = "fuzz",
                .libexec_dir = w->folder,
                .scratch = SCRATCH_PLACE,
                .uid_base = 1000000,
                .max_dynos = 3,
                .pool = 1,
                .allow_missing = UINT32_C(1) << MISSING_QUOTA,
                .stack_max_bytes = 4096,
                .slug_max_bytes = 4096,
                .import_max_entries = 100,
                .import_max_ratio = 100,
                .network = {.s_addr = htonl(0xac1e0000)},
                .network_prefix = 16,
                .n_sizes = 1,
                .sizes =
                        {{.process_limit = 256,
                          .cpu_weight = 100,
                          .memory_quota = UINT64_C(512) << 20,
                          .memory_kill = UINT64_C(1024) << 20}},
        };
        w->launcher = (Launcher){
                .config = &w->config,
                .memory_total = UINT64_C(4) << 30,
                .host = fake_host,
                .instance = INSTANCE_INIT,
                .logger_channel_fd = {-EBADF, -EBADF},
                .config_fd = fuzz_open("/dev", "null", O_RDWR),
                .cgroup_fd = fuzz_open(w->folder, "cgroup", O_RDONLY | O_DIRECTORY),
                .dynos_dir_fd = fuzz_open(w->folder, "dynos", O_RDONLY | O_DIRECTORY),
                .inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
        };
        w->launcher.instance.run_dir_fd = fuzz_open(w->folder, ".", O_RDONLY | O_DIRECTORY);
        w->launcher.instance.state_dir_fd = fuzz_open(w->folder, "state", O_RDONLY | O_DIRECTORY);
        sizes_allow(&w->launcher.bounds, &w->config);
        sizes_set_host(&w->launcher.bounds, 4096);
        if (policies_open(&w->launcher) < 0 || loop_new(&w->launcher.loop) < 0 ||
            network_watch(&w->launcher) < 0 ||
            slots_new(&w->launcher.slots, w->config.max_dynos, w->config.max_dynos) < 0 ||
            loop_add(
                    w->launcher.loop,
                    &w->launcher.inotify_source,
                    w->launcher.inotify_fd,
                    EPOLLIN,
                    dynos_on_inotify,
                    &w->launcher) < 0)
                abort();
        loop_set_idle(w->launcher.loop, on_idle, w);
        fake_objects(w->folder);
        open_store(w);
        if (host_listen(&w->launcher) < 0 || sweep_new(&w->launcher) < 0)
                abort();
        start_services(w);
}

/* All that dynos left behind is emptied in the end, whatever came in between. */
static void finish_sweeping(World *w) {
        fake_fail_next = 0;
        sweep_start(&w->launcher);
        for (int i = 0; i < SWEEPS_MAX && fake_trash_is_left(); i++) {
                fake_sweeper_end();
                turn(w);
        }
        assert(!fake_trash_is_left());
}

static void teardown(World *w) {
        Launcher *l = &w->launcher;

        finish_sweeping(w);
        stop_services(w);
        l->sweep = sweep_free(l->sweep);
        execs_clear(l);
        dynos_clear(l);
        assert(loop_run(l->loop) == 0); /* what was closed in peace is closed now */
        network_unwatch(l);
        l->slots = slots_free(l->slots);
        close_store(w);
        l->inotify_source = source_free(l->inotify_source);
        l->loop = loop_free(l->loop);
        (void)close(l->inotify_fd);
        (void)close(l->listen_fd);
        (void)close(l->config_fd);
        (void)close(l->cgroup_fd);
        (void)close(l->dynos_dir_fd);
        (void)close(l->policies_dir_fd);
        (void)close(l->instance.run_dir_fd);
        (void)close(l->instance.state_dir_fd);
        fake_reset();
        fuzz_remove_tree(w->folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Input in = {data, size};
        unsigned before;
        World *w = calloc(1, sizeof(*w));

        if (!w)
                return 0;
        before = fuzz_count_fds();
        setup(w);
        for (int i = 0; i < STEPS_MAX && in.size > 0; i++) {
                step(w, &in);
                run(w);
        }
        teardown(w);
        free(w);
        assert(fuzz_count_fds() == before);
        return 0;
}
