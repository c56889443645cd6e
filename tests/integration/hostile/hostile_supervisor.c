/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dynod-supervisor, up to and with its confinement. Orders come as lines through the control
 * socket; each is answered by a line of words NAME=RESULT, results being those of root's
 * replies.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attempts.h"
#include "base/patience.h"
#include "control/server.h"
#include "ipc/channel.h"
#include "ipc/launch_proto.h"
#include "ipc/unpack_proto.h"
#include "ipc/watchdog.h"
#include "layers_off.h"

#define LINK 3
#define REPLY_MSEC 60000 /* emulated guests are slow */
#define UNANSWERED 1     /* no result of root's is above 0 */

static Config *config;
static LaunchDynoFacts live; /* of a dyno that runs, if header.type is set */
static uint32_t last_seq;
static unsigned n_stale;                 /* answers to what we never asked */
static int listen_fd = -EBADF;           /* the control socket */
static int logger_fd = -EBADF;           /* our channel to the logger */
static int given_fd = -EBADF;            /* came with an order before */
static uint8_t last_digest[DIGEST_SIZE]; /* of the last import */
static char answer[4096];

static void say(const char *name, int result) {
        size_t used = strlen(answer);

        (void)snprintf(answer + used, sizeof(answer) - used, "%s=%d ", name, result);
}

/* ---- talking to root ---- */

static void send_raw(const void *msg, size_t size, const int *fds, size_t n_fds) {
        while (channel_send(LINK, msg, size, fds, n_fds) == CHANNEL_E_AGAIN)
                (void)wait_for(LINK, POLLOUT, -1);
}

static uint32_t send_msg(LaunchType type, LaunchMessage *msg, const int *fds, size_t n_fds) {
        msg->header = (LaunchHeader){.type = type, .seq = ++last_seq};
        send_raw(msg, launch_message_size(type), fds, n_fds);
        return last_seq;
}

static bool receive_with(LaunchMessage *ret, ChannelFds *ret_fds) {
        size_t size;
        int r;

        while ((r = channel_recv(LINK, ret, sizeof(*ret), &size, ret_fds)) == CHANNEL_E_AGAIN)
                if (wait_for(LINK, POLLIN, REPLY_MSEC) <= 0)
                        return false;
        if (r != 0)
                return false;
        n_stale += ret->header.seq > last_seq;
        if (ret->header.type == LAUNCH_LOGGER)
                logger_fd = TAKE_FD(ret_fds->fd[0]);
        return true;
}

static bool receive(LaunchMessage *ret) {
        ChannelFds fds = CHANNEL_FDS_INIT;
        bool received = receive_with(ret, &fds);

        channel_fds_clear(&fds);
        return received;
}

static int result_of(const LaunchMessage *msg) {
        switch (msg->header.type) {
        case LAUNCH_STARTED:
                return msg->started.result;
        case LAUNCH_INSPECTED:
        case LAUNCH_HOSTED:
                return msg->inspected.result;
        case LAUNCH_FETCHED:
                return msg->fetched.result;
        case LAUNCH_EXTRACTED:
                return msg->extracted.result;
        default:
                return msg->reply.result;
        }
}

static int wait_reply(uint32_t seq, LaunchMessage *ret) {
        while (receive(ret))
                if (ret->header.seq == seq)
                        return result_of(ret);
        return UNANSWERED;
}

static int request(LaunchType type, LaunchMessage *msg, const int *fds, size_t n_fds) {
        uint32_t seq = send_msg(type, msg, fds, n_fds);

        return wait_reply(seq, msg);
}

static void read_greeting(void) {
        ConfigError error;
        ChannelFds fds = CHANNEL_FDS_INIT;
        LaunchMessage msg;

        if (!receive_with(&msg, &fds) || msg.header.type != LAUNCH_HELLO ||
            config_read_fd(&config, fds.fd[0], &error) != 0)
                abort();
        listen_fd = TAKE_FD(fds.fd[1]);
        channel_fds_clear(&fds);
        while (receive(&msg) && msg.header.type != LAUNCH_READY)
                if (msg.header.type == LAUNCH_DYNO && live.header.type == 0)
                        live = msg.facts;
}

/* ---- pieces ---- */

static int make_spec(bool sealed) {
        static const char junk[200] = "\xff\xff\xff\xff junk";
        int fd = memfd_create("spec", MFD_ALLOW_SEALING | MFD_CLOEXEC);

        if (fd < 0 || write(fd, junk, sizeof(junk)) != (ssize_t)sizeof(junk))
                abort();
        if (sealed &&
            fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                abort();
        return fd;
}

static void make_pair(int fd[2]) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
                abort();
}

static void close_pair(const int fd[2]) {
        (void)close(fd[0]);
        (void)close(fd[1]);
}

static void set_id(char id[static DYNO_ID_SIZE], unsigned n) {
        memset(id, 0, DYNO_ID_SIZE);
        (void)snprintf(id, DYNO_ID_SIZE, "web.7-%06x", n & 0xffffff);
}

/* ---- attacks that root answers ---- */

static void attack_unknown(void) {
        LaunchMessage msg = {0};
        int fds[2], spec = make_spec(true);

        make_pair(fds);
        set_id(msg.signal.id, 1);
        msg.signal.signo = 9;
        say("signal", request(LAUNCH_SIGNAL, &msg, NULL, 0));
        for (unsigned i = 0; i < 3; i++) {
                static const LaunchType types[] = {LAUNCH_KILL, LAUNCH_INSPECT, LAUNCH_EXEC};
                static const char *const names[] = {"kill", "inspect", "exec"};
                const int sent[] = {spec, fds[0]};

                msg = (LaunchMessage){0};
                set_id(msg.dyno.id, 1);
                say(names[i], request(types[i], &msg, sent, types[i] == LAUNCH_EXEC ? 2 : 0));
        }
        for (uint32_t import = 0; import < 2; import++) {
                msg = (LaunchMessage){
                        .extract = {
                                .import = import,
                                .kind = OBJECT_SLUG,
                                .max_entries = 1,
                                .max_bytes = 1,
                                .max_ratio = 1}};
                say(import ? "extract" : "rebuild", request(LAUNCH_EXTRACT, &msg, fds, 1));
        }
        msg = (LaunchMessage){.import = {.import = 1}};
        say("commit", request(LAUNCH_COMMIT, &msg, NULL, 0));
        msg = (LaunchMessage){.import = {.import = 1}};
        say("abandon", request(LAUNCH_ABANDON, &msg, NULL, 0));
        msg = (LaunchMessage){0};
        say("remove", request(LAUNCH_REMOVE, &msg, NULL, 0));
        close_pair(fds);
        (void)close(spec);
}

/* A START like that of the live dyno, under another id. */
static LaunchMessage like_live(unsigned n) {
        LaunchMessage msg = {.start = live.start};

        memset(msg.start.type, 0, sizeof(msg.start.type));
        memcpy(msg.start.type, "web", 3);
        msg.start.number = 7;
        msg.start.flags = 0;
        set_id(msg.start.id, n);
        return msg;
}

static void attack_start(void) {
        int spec = make_spec(true), open_spec = make_spec(false), fds[2];
        LaunchMessage msg;

        make_pair(fds);
        msg = (LaunchMessage){.start = live.start};
        msg.start.flags = 0;
        say("replayed", request(LAUNCH_START, &msg, &spec, 1));
        msg = like_live(2);
        memcpy(msg.start.stack, live.start.slug, DIGEST_SIZE);
        memcpy(msg.start.slug, live.start.stack, DIGEST_SIZE);
        say("swapped", request(LAUNCH_START, &msg, &spec, 1));
        msg = like_live(3);
        memset(msg.start.slug, 0, DIGEST_SIZE);
        say("no-slug", request(LAUNCH_START, &msg, &spec, 1));
        msg = like_live(4);
        msg.start.memory_quota = msg.start.memory_kill = INT64_MAX;
        say("memory", request(LAUNCH_START, &msg, &spec, 1));
        msg = like_live(8);
        msg.start.memory_quota = DYNO_MEMORY_MIN;
        msg.start.memory_kill = INT64_MAX;
        say("kill", request(LAUNCH_START, &msg, &spec, 1));
        msg = like_live(9);
        msg.start.process_limit = 4194304;
        say("processes", request(LAUNCH_START, &msg, &spec, 1));
        for (unsigned i = 0; i < 2; i++) {
                msg = like_live(10 + i);
                msg.start.cpu_weight = i ? 10000 : 1;
                say(i ? "heaviest" : "lightest", request(LAUNCH_START, &msg, &spec, 1));
        }
        msg = like_live(5);
        msg.start.policy = UINT64_MAX;
        say("policy", request(LAUNCH_START, &msg, &spec, 1));
        msg = like_live(6);
        say("unsealed", request(LAUNCH_START, &msg, &open_spec, 1));
        msg = like_live(7);
        say("socket", request(LAUNCH_START, &msg, fds, 1));
        close_pair(fds);
        (void)close(spec);
        (void)close(open_spec);
}

/* Starts @n times what no dyno-init can read. */
static void attack_junk_specs(unsigned n) {
        int spec = make_spec(true), result = 0;
        unsigned n_results[2] = {0};

        for (unsigned i = 0; i < n; i++) {
                LaunchMessage msg = like_live(0x100 + i);

                result = request(LAUNCH_START, &msg, &spec, 1);
                n_results[result == 0]++;
        }
        say("started", (int)n_results[1]);
        say("refused", (int)n_results[0]);
        say("result", result);
        (void)close(spec);
}

/* Starts @n without waiting for any; says how many were refused as too many. */
static void attack_starts_at_once(unsigned n) {
        int spec = make_spec(true);
        unsigned n_answers = 0, n_busy = 0;
        uint32_t first = last_seq + 1;
        LaunchMessage msg;

        for (unsigned i = 0; i < n; i++) {
                msg = like_live(0x400 + i);
                msg.start.memory_quota = msg.start.memory_kill = DYNO_MEMORY_MIN;
                msg.start.disk = msg.start.disk_files = 1;
                (void)send_msg(LAUNCH_START, &msg, &spec, 1);
        }
        while (n_answers < n && receive(&msg))
                if (msg.header.seq >= first && msg.header.seq < first + n) {
                        n_answers++;
                        n_busy += result_of(&msg) == -EBUSY;
                }
        say("answers", (int)n_answers);
        say("busy", (int)n_busy);
        (void)close(spec);
}

/*
 * Starts what ends at once, with a socket to attach to of which root may have the last copy. In
 * its queue lies the descriptor that came with the order.
 */
static void attack_attached(void) {
        LaunchMessage msg = like_live(0x300 + last_seq);
        int spec = make_spec(true), fds[2];

        make_pair(fds);
        if (channel_send(fds[1], &msg, sizeof(msg.header), &given_fd, 1) != 0)
                abort();
        given_fd = safe_close(given_fd);
        (void)close(fds[1]);
        fds[1] = fds[0];
        fds[0] = spec;
        msg.start.flags = LAUNCH_FLAG_ATTACHED;
        (void)send_msg(LAUNCH_START, &msg, fds, 2);
        patience_begin(); /* ours may be the last copy after all */
        (void)close(fds[1]);
        patience_end();
        (void)close(spec);
        say("start", wait_reply(last_seq, &msg));
}

static void attack_remove(void) {
        LaunchMessage msg = {.object = {.kind = OBJECT_SLUG}};

        memcpy(msg.object.digest, live.start.slug, DIGEST_SIZE);
        say("slug", request(LAUNCH_REMOVE, &msg, NULL, 0));
        msg = (LaunchMessage){.object = {.kind = OBJECT_STACK}};
        memcpy(msg.object.digest, live.start.stack, DIGEST_SIZE);
        say("stack", request(LAUNCH_REMOVE, &msg, NULL, 0));
}

static uint32_t begin_fetch(uint32_t import, uint64_t max_bytes, int fd, int *ret_report) {
        const UnpackArchive archive = {.magic = UNPACK_ARCHIVE_MAGIC};
        LaunchMessage msg = {.fetch = {.import = import, .max_bytes = max_bytes}};
        int fds[2];
        uint32_t seq;

        make_pair(fds);
        if (fd >= 0 && channel_send(fds[1], &archive, sizeof(archive), &fd, 1) != 0)
                abort();
        seq = send_msg(LAUNCH_FETCH, &msg, fds, 1);
        (void)close(fds[0]);
        *ret_report = fds[1];
        return seq;
}

static int simple(LaunchType type, uint32_t import) {
        LaunchMessage msg = {.import = {.import = import}};

        return request(type, &msg, NULL, 0);
}

static int
extract(uint32_t import, ObjectKind kind, uint64_t limit, const uint8_t digest[DIGEST_SIZE]) {
        LaunchMessage msg = {
                .extract = {
                        .import = import,
                        .kind = kind,
                        .max_entries = limit,
                        .max_bytes = limit,
                        .max_ratio = limit}};
        int fds[2], r;

        memcpy(msg.extract.digest, digest, DIGEST_SIZE);
        make_pair(fds);
        r = request(LAUNCH_EXTRACT, &msg, fds, 1);
        close_pair(fds);
        return r;
}

/* Fetches that never get an archive, until root wants no more; then everything in a wrong order. */
static void attack_imports(void) {
        static const uint8_t zero[DIGEST_SIZE];
        LaunchMessage msg;
        int report[256];
        unsigned n = 0, busy = 0;

        for (uint32_t seqs[256]; n < 200; n++) {
                seqs[n] = begin_fetch(n + 1, 1, -1, &report[n]);
                msg = (LaunchMessage){.import = {.import = 999}};
                /* What was refused is answered before this is. */
                seqs[n] = send_msg(LAUNCH_ABANDON, &msg, NULL, 0) - 1;
                for (;;) {
                        if (!receive(&msg))
                                break;
                        if (msg.header.seq == seqs[n] && result_of(&msg) == -EBUSY)
                                busy++;
                        if (msg.header.seq == seqs[n] + 1)
                                break;
                }
        }
        say("busy", (int)busy);
        say("again", wait_reply(begin_fetch(1, 1, -1, &report[n]), &msg));
        (void)close(report[n]);
        say("extract", extract(1, OBJECT_SLUG, 1, zero));
        say("commit", simple(LAUNCH_COMMIT, 1));
        for (unsigned i = 0; i < n; i++) {
                (void)close(report[i]);
                if (simple(LAUNCH_ABANDON, i + 1) != 0)
                        say("abandon", (int)i);
        }
}

/* "fetch" and "extract" of the file at @path, with limits as high as may be said. */
static void attack_limits(const char *path) {
        static const uint8_t zero[DIGEST_SIZE];
        LaunchMessage msg;
        int report, fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                abort();
        say("none", wait_reply(begin_fetch(1, 0, fd, &report), &msg));
        (void)close(report);
        say("fetch", wait_reply(begin_fetch(2, UINT64_MAX, fd, &report), &msg));
        say("digest", extract(2, OBJECT_SLUG, 1, zero));
        say("extract", extract(2, OBJECT_SLUG, INT64_MAX, msg.fetched.digest));
        say("commit", simple(LAUNCH_COMMIT, 2));
        say("abandon", simple(LAUNCH_ABANDON, 2));
        say("late", simple(LAUNCH_COMMIT, 2));
        (void)close(report);
        (void)close(fd);
}

/* Makes the slug at @path an object of the store. Return: 0 or root's first refusal. */
static int import_slug(uint32_t import, const char *path) {
        LaunchMessage msg;
        int report, r, fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        r = wait_reply(begin_fetch(import, UINT64_MAX, fd, &report), &msg);
        if (r == 0) {
                memcpy(last_digest, msg.fetched.digest, sizeof(last_digest));
                r = extract(import, OBJECT_SLUG, INT64_MAX, last_digest);
        }
        if (r == 0)
                r = simple(LAUNCH_COMMIT, import);
        (void)close(report);
        (void)close(fd);
        return r;
}

/* Imports @n slugs, FOLDER/0 and so on, and has all of them removed at once. */
static void attack_removals(const char *arguments) {
        static uint8_t digests[256][DIGEST_SIZE];
        char folder[256], path[300];
        unsigned n = 0, failed = 0;

        if (sscanf(arguments, "%255s %u", folder, &n) != 2 || n > ARRAY_SIZE(digests))
                return;
        for (unsigned i = 0; i < n; i++) {
                (void)snprintf(path, sizeof(path), "%s/%u", folder, i);
                failed += import_slug(i + 1, path) != 0;
                memcpy(digests[i], last_digest, DIGEST_SIZE);
        }
        say("import", (int)failed);
        for (unsigned i = 0; i < n; i++) {
                LaunchMessage msg = {.object = {.kind = OBJECT_SLUG}};

                memcpy(msg.object.digest, digests[i], DIGEST_SIZE);
                (void)send_msg(LAUNCH_REMOVE, &msg, NULL, 0);
        }
        for (LaunchMessage msg; n > 0 && receive(&msg);)
                if (msg.header.seq > last_seq - n && msg.header.type == LAUNCH_REPLY) {
                        failed += msg.reply.result != 0;
                        n -= msg.header.seq == last_seq ? n : 0;
                }
        say("remove", (int)failed);
}

/* A slug by its digest in hexadecimal. */
static void order_forget(const char *digest) {
        LaunchMessage msg = {.object = {.kind = OBJECT_SLUG}};

        for (size_t i = 0; i < DIGEST_SIZE; i++) {
                const char byte[3] = {digest[2 * i], digest[2 * i + 1]};

                msg.object.digest[i] = (uint8_t)strtoul(byte, NULL, 16);
        }
        say("remove", request(LAUNCH_REMOVE, &msg, NULL, 0));
}

/* The last import is made anew, and meanwhile we are no more. */
static void attack_leave_rebuild(void) {
        LaunchMessage msg = {
                .extract = {
                        .kind = OBJECT_SLUG,
                        .max_entries = INT64_MAX,
                        .max_bytes = INT64_MAX,
                        .max_ratio = INT64_MAX}};
        int fds[2];

        memcpy(msg.extract.digest, last_digest, sizeof(last_digest));
        make_pair(fds);
        last_seq = 1000000; /* no successor comes that far */
        (void)send_msg(LAUNCH_EXTRACT, &msg, fds, 1);
        (void)shutdown(LINK, SHUT_RDWR);
}

/* Leaves as many imports behind as it may have. */
static void attack_leave_imports(void) {
        LaunchMessage msg = {.import = {.import = 999}};
        int report;

        for (uint32_t i = 1; i <= 64; i++)
                (void)begin_fetch(i, 1, -1, &report);
        say("left", request(LAUNCH_ABANDON, &msg, NULL, 0));
}

static void attack_fetch_abandon(unsigned n) {
        int report;

        for (unsigned i = 0; i < n; i++) {
                (void)begin_fetch(i + 1, 1, -1, &report);
                if (simple(LAUNCH_ABANDON, i + 1) != 0)
                        say("abandon", (int)i);
                (void)close(report);
        }
        say("done", 0);
}

static void attack_exec(unsigned n) {
        unsigned joined = 0, busy = 0, other = 0;
        int spec = make_spec(true), fds[2];
        uint32_t first = last_seq + 1;

        make_pair(fds);
        for (unsigned i = 0; i < n; i++) {
                LaunchMessage msg = {0};
                const int sent[] = {spec, fds[0]};

                memcpy(msg.dyno.id, live.start.id, sizeof(msg.dyno.id));
                (void)send_msg(LAUNCH_EXEC, &msg, sent, 2);
        }
        for (unsigned i = 0; i < n;) {
                LaunchMessage msg;

                if (!receive(&msg))
                        break;
                if (msg.header.seq < first)
                        continue;
                i++;
                joined += msg.reply.result == 0;
                busy += msg.reply.result == -EBUSY;
                other += msg.reply.result != 0 && msg.reply.result != -EBUSY;
        }
        say("joined", (int)joined);
        say("busy", (int)busy);
        say("other", (int)other);
        close_pair(fds);
        (void)close(spec);
}

static void attack_policies(unsigned n) {
        unsigned kept = 0;
        int refused = 0;

        for (unsigned i = 0; i < n && refused == 0; i++) {
                LaunchMessage msg = {
                        .policy = {.app_number = 1000000 + i, .serial = 1, .egress_closed = 1}};

                refused = request(LAUNCH_POLICY, &msg, NULL, 0);
                kept += refused == 0;
        }
        say("kept", (int)kept);
        say("refused", refused);
        for (unsigned i = 0; i < kept; i++) {
                LaunchMessage msg = {.policy = {.app_number = 1000000 + i}};

                if (request(LAUNCH_POLICY, &msg, NULL, 0) != 0)
                        say("removal", (int)i);
        }
}

/* ---- attacks that cost it its life ---- */

/* Asks and never reads. Root must end it, not wait for it. */
static void attack_flood(void) {
        LaunchMessage msg = {0};

        for (;;)
                (void)send_msg(LAUNCH_HOST, &msg, NULL, 0);
}

/* More descriptors than channel_send() sends. */
static void send_many(const int *fds, size_t n_fds) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * 16)];
        } control = {0};
        char text[] = "x";
        struct iovec iov = {.iov_base = text, .iov_len = 1};
        struct msghdr mh = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = CMSG_SPACE(sizeof(int) * n_fds),
        };

        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
        if (sendmsg(LINK, &mh, MSG_NOSIGNAL) < 0)
                abort();
}

static void attack_break(const char *how) {
        static LaunchMessage two[2];
        LaunchMessage msg = {.dyno.header = {.type = LAUNCH_KILL, .seq = 1}};
        const int own[4] = {LINK, LINK, LINK, LINK};
        int fds[2], dir = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), spec = make_spec(true);
        size_t size = sizeof(msg.dyno);

        make_pair(fds);
        set_id(msg.dyno.id, 1);
        if (strcmp(how, "short") == 0) {
                send_raw(&msg, 3, NULL, 0);
        } else if (strcmp(how, "size") == 0) {
                send_raw(&msg, size + 1, NULL, 0);
        } else if (strcmp(how, "huge") == 0) {
                two[0] = msg;
                send_raw(two, sizeof(two), NULL, 0);
        } else if (strcmp(how, "type") == 0) {
                msg.header.type = UINT32_MAX;
                send_raw(&msg, size, NULL, 0);
        } else if (strcmp(how, "side") == 0) {
                msg.header.type = LAUNCH_HELLO;
                send_raw(&msg, sizeof(msg.hello), own, 4);
        } else if (strcmp(how, "id") == 0) {
                memcpy(msg.dyno.id, "../../etc", 9);
                send_raw(&msg, size, NULL, 0);
        } else if (strcmp(how, "fds") == 0) {
                send_raw(&msg, size, own, 4);
        } else if (strcmp(how, "folder") == 0) {
                const int sent[] = {spec, dir};

                msg.header.type = LAUNCH_EXEC;
                send_raw(&msg, size, sent, 2);
        } else if (strcmp(how, "eventfd") == 0) {
                const int sent[] = {eventfd(0, EFD_CLOEXEC), fds[0]};

                msg.header.type = LAUNCH_EXEC;
                send_raw(&msg, size, sent, 2);
        } else if (strcmp(how, "crowded") == 0) {
                /* Root has room for four; the kernel closes the fifth. */
                send_many((const int[]){spec, spec, spec, spec, given_fd}, 5);
                patience_begin();
                given_fd = safe_close(given_fd);
                patience_end();
        } else if (strcmp(how, "foreign") == 0) {
                const int fd = eventfd(0, EFD_CLOEXEC), sent[] = {fd, fd, fd, fd};

                send_raw(&msg, size, sent, 4);
        } else if (strcmp(how, "closed") == 0) {
                (void)shutdown(LINK, SHUT_RDWR);
        } else if (strcmp(how, "full") == 0) {
                /* Its own channel, and what can never be read, lie in it when root closes it. */
                for (int i = 0; i < 100; i++)
                        if (channel_send(fds[0], &msg, size, own, 4) != 0)
                                break;
                msg.header.type = LAUNCH_EXEC;
                for (int i = 0; i < 50; i++)
                        send_raw(&msg, size, fds, 2);
                send_raw(&msg, 3, NULL, 0);
        }
}

/* Starts a dyno with limits of the test's: "MEMORY KILL PROCESSES DISK FILES". */
static void attack_limits_start(const char *limits) {
        LaunchMessage msg = like_live(0x200 + last_seq);
        LaunchStart *start = &msg.start;
        int spec = make_spec(true);

        if (sscanf(limits,
                   "%" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu64 " %" SCNu64,
                   &start->memory_quota,
                   &start->memory_kill,
                   &start->process_limit,
                   &start->disk,
                   &start->disk_files) == 5)
                say("start", request(LAUNCH_START, &msg, &spec, 1));
        (void)close(spec);
}

/* Says how many answers came to what it never asked. */
static void attack_stale(void) {
        LaunchMessage msg = {0};

        set_id(msg.dyno.id, 1);
        say("inspect", request(LAUNCH_INSPECT, &msg, NULL, 0));
        say("stale", (int)n_stale);
}

/* Harms what its successors will share with it. */
static void attack_shared(const char *how) {
        LaunchMessage msg;

        while (logger_fd < 0 && receive(&msg))
                ;
        say("shutdown", shutdown(strcmp(how, "listener") == 0 ? listen_fd : logger_fd, SHUT_RDWR));
}

static void order_files(const char *arguments) {
        char own[256], outside[256];
        int pid;

        if (sscanf(arguments, "%255s %255s %d", own, outside, &pid) == 3)
                attempt_files(own, outside, pid, say);
}

/* ---- orders ---- */

static void obey(char *line) {
        char *argument = strchr(line, ' ');
        unsigned n = 0;

        answer[0] = '\0';
        if (argument) {
                *argument++ = '\0';
                n = (unsigned)strtoul(argument, NULL, 10);
        }
        if (strcmp(line, "unknown") == 0)
                attack_unknown();
        else if (strcmp(line, "start") == 0)
                attack_start();
        else if (strcmp(line, "junk-specs") == 0)
                attack_junk_specs(n);
        else if (strcmp(line, "starts-at-once") == 0)
                attack_starts_at_once(n);
        else if (strcmp(line, "remove") == 0)
                attack_remove();
        else if (strcmp(line, "imports") == 0)
                attack_imports();
        else if (strcmp(line, "limits") == 0 && argument)
                attack_limits(argument);
        else if (strcmp(line, "leave-imports") == 0)
                attack_leave_imports();
        else if (strcmp(line, "fetch-abandon") == 0)
                attack_fetch_abandon(n);
        else if (strcmp(line, "exec") == 0)
                attack_exec(n);
        else if (strcmp(line, "policies") == 0)
                attack_policies(n);
        else if (strcmp(line, "flood") == 0)
                attack_flood();
        else if (strcmp(line, "break") == 0 && argument)
                attack_break(argument);
        else if (strcmp(line, "limits-start") == 0 && argument)
                attack_limits_start(argument);
        else if (strcmp(line, "calls") == 0)
                attempt_calls(say);
        else if (strcmp(line, "attached") == 0)
                attack_attached();
        else if (strcmp(line, "import") == 0 && argument)
                say("import", import_slug(1, argument));
        else if (strcmp(line, "removals") == 0 && argument)
                attack_removals(argument);
        else if (strcmp(line, "forget") == 0 && argument && strlen(argument) == 2 * DIGEST_SIZE)
                order_forget(argument);
        else if (strcmp(line, "leave-rebuild") == 0)
                attack_leave_rebuild();
        else if (strcmp(line, "stale") == 0)
                attack_stale();
        else if (strcmp(line, "shared") == 0 && argument)
                attack_shared(argument);
        else if (strcmp(line, "files") == 0 && argument)
                order_files(argument);
        else if (strcmp(line, "hello") == 0)
                say("live", live.header.type == LAUNCH_DYNO);
}

/* One order at a time, each in one piece; a descriptor may come with it. */
static void serve(int fd) {
        ChannelFds fds = CHANNEL_FDS_INIT;
        char line[1024];
        size_t size = 0;

        while (wait_for(fd, POLLIN, -1) > 0 &&
               channel_recv(fd, line, sizeof(line) - 1, &size, &fds) == 0) {
                line[size] = '\0';
                line[strcspn(line, "\r\n")] = '\0';
                if (fds.n > 0)
                        given_fd = TAKE_FD(fds.fd[0]);
                obey(line);
                channel_fds_clear(&fds);
                /* A client that takes us for the real one is left alone. */
                if (answer[0] == '\0' || dprintf(fd, "%s\n", answer) < 0)
                        break;
        }
        channel_fds_clear(&fds);
        (void)close(fd);
}

__attribute__((constructor)) static void stay_alive(void) {
        answer_watchdog(WATCHDOG_FD_SUPERVISOR);
}

/* ---- in place of the real one, which has locked itself in to the end ---- */

WRAP(int, manager_new, Manager **ret, sd_event *event, int launch_fd, const ManagerHooks *hooks) {
        read_greeting();
        return hooks->ready(NULL, listen_fd, hooks->userdata);
}

WRAP(const Config *, manager_config, const Manager *manager) {
        return config;
}

WRAP(int, server_new, Server **ret, sd_event *event, int fd, Manager *manager) {
        int client;

        while (wait_for(fd, POLLIN, -1) >= 0)
                if ((client = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
                        serve(client);
        return -EIO;
}
