/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The logger between tenants who write anything, a supervisor that sends anything, clients
 * that read or do not, and a disk that is full or on which a crash has left anything. Its steps
 * are taken where it would wait for events.
 *
 * Whatever they are: what a client reads are whole records that pass its check, and no
 * descriptor is left open.
 *
 * Covers: logs/app_log.c logs/capture.c logs/dynos.c logs/framing.c logs/history.c
 *          logs/logger.c logs/records.c logs/requests.c logs/spool.c logs/stream.c
 *          ipc/log_proto.c ipc/dyno_state.c
 * Options: -max_len=4096
 * Processes: 8
 */

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "fuzz_folder.h"
#include "fuzz_input.h"
#include "ipc/channel.h"
#include "ipc/dyno_state.h"
#include "logs/logger_internal.h"

#define STEPS_MAX 150
#define STREAMS 4
#define DYNOS 3

typedef struct World {
        char folder[FUZZ_PATH_SIZE];
        Logger *logger;
        Input in;
        int steps;
        int channel; /* the supervisor's end */
        int streams[STREAMS];
        char left[STREAMS][sizeof(LogRecord) + LOG_TEXT_MAX]; /* of a record that is not whole */
        size_t n_left[STREAMS];
        int writers[DYNOS][2]; /* of each dyno's FIFOs, as root and dyno-init keep them */
} World;

static World *world;

#define NUMBERS 5 /* of apps: more than names, some are of apps that were there before */
static const char *const apps[] = {"shop", "other", "third"};
static const char *const ids[DYNOS] = {"web.1-7f3a9c", "web.2-000000", "run.7-abcdef"};

#define PATH_SIZE 256

/* FOLDER/TOP/NAME/FILE; an empty part ends it. */
static const char *path_of(const char *top, const char *name, const char *file) {
        static char path[PATH_SIZE];

        (void)snprintf(
                path,
                sizeof(path),
                "%s/%s%s%s%s%s",
                world->folder,
                top,
                *name ? "/" : "",
                name,
                *file ? "/" : "",
                file);
        return path;
}

/* ---- clients ---- */

static void check_records(size_t i, const char *data, size_t size) {
        while (size > 0) {
                LogRecord record;
                size_t want = sizeof(record), have = world->n_left[i], n;

                if (have >= sizeof(record)) {
                        memcpy(&record, world->left[i], sizeof(record));
                        assert(log_record_check(&record) == 0);
                        want += record.text_size;
                }
                n = want - have < size ? want - have : size;
                memcpy(world->left[i] + have, data, n);
                world->n_left[i] += n;
                data += n;
                size -= n;
                if (world->n_left[i] < sizeof(record))
                        return;
                memcpy(&record, world->left[i], sizeof(record));
                assert(log_record_check(&record) == 0);
                if (world->n_left[i] == sizeof(record) + record.text_size)
                        world->n_left[i] = 0;
        }
}

static void read_stream(size_t i) {
        static char buf[65536];
        ssize_t n;

        while (world->streams[i] >= 0 &&
               (n = recv(world->streams[i], buf, sizeof(buf), MSG_DONTWAIT)) > 0)
                check_records(i, buf, (size_t)n);
}

static int new_stream(size_t i) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                abort();
        (void)safe_close(world->streams[i]);
        world->streams[i] = pair[0];
        world->n_left[i] = 0;
        return pair[1];
}

/* ---- the supervisor ---- */

static void step_message(Input *in) {
        static LogLine line;
        LogStream stream = {.type = LOG_STREAM};
        static const uint32_t kinds[] = {LOG_APP, LOG_APP, LOG_FORGET, LOG_APPS, LOG_APPS_END};
        LogApp app = {0};
        uint8_t how = input_byte(in);
        size_t which = input_pick(in, ARRAY_SIZE(apps));
        const char *name = apps[which];
        size_t size;
        const uint8_t *text;
        int fd = -EBADF;

        switch (how % 4) {
        case 0:
        case 1:
                memset(&line, 0, offsetof(LogLine, text));
                line.type = LOG_LINE;
                line.app_number = 1 + (uint32_t)(which + (how >> 5)) % NUMBERS;
                line.record = (LogRecord){
                        .magic = LOG_RECORD_MAGIC,
                        .source = 1 + (how >> 4) % 2,
                        .usec = (uint64_t)input_byte(in) << 40,
                };
                strcpy(line.record.app, name);
                strcpy(line.record.procid, "api");
                text = input_bytes(in, 4, LOG_TEXT_MAX, &size);
                memcpy(line.text, text, size);
                line.record.text_size = (uint16_t)size;
                size += offsetof(LogLine, text);
                if (how >= 0xf0) /* damaged */
                        ((uint8_t *)&line)[input_u32(in) % size] = input_byte(in);
                (void)!channel_send(world->channel, &line, size, NULL, 0);
                return;
        case 2:
                if ((how & 0x10) != 0) {
                        strcpy(stream.app, name);
                        stream.app_number = 1 + (uint32_t)which;
                }
                stream.follow = (how & 0x20) != 0;
                fd = (how & 0x40) != 0 ? new_stream(input_pick(in, STREAMS))
                                       : open("/dev/null", O_RDWR | O_CLOEXEC);
                (void)!channel_send(world->channel, &stream, sizeof(stream), &fd, 1);
                (void)close(fd);
                return;
        default:
                app.type = kinds[(how >> 2) % ARRAY_SIZE(kinds)];
                app.app_number = 1 + (uint32_t)input_pick(in, NUMBERS);
                strcpy(app.app, name);
                size = app.type == LOG_APPS || app.type == LOG_APPS_END ? sizeof(LogApps)
                                                                        : sizeof(app);
                (void)!channel_send(world->channel, &app, size, NULL, 0);
        }
}

/* ---- dynos ---- */

/* What root writes down about a dyno. */
static LaunchDynoFacts make_facts(size_t which, uint32_t app_number, const char *app) {
        static const char *const types[] = {"web", "web", "run"};
        static const uint32_t numbers[] = {1, 2, 7};
        LaunchDynoFacts facts = {
                .header.type = LAUNCH_DYNO,
                .pid = 4711,
                .uid = 200000,
                .start = {
                        .number = numbers[which],
                        .release = 1,
                        .app_number = app_number,
                        .cpu_weight = 100,
                        .process_limit = 256,
                        .memory_quota = DYNO_MEMORY_MIN,
                        .memory_kill = DYNO_MEMORY_MIN,
                        .size = "Standard-1X",
                }};

        strcpy(facts.start.id, ids[which]);
        strcpy(facts.start.app, app);
        strcpy(facts.start.type, types[which]);
        return facts;
}

static void step_new_dyno(Input *in) {
        size_t which = input_pick(in, ARRAY_SIZE(ids)), size;
        uint8_t how = input_byte(in);
        LaunchDynoFacts read,
                facts = make_facts(which, 1 + how % NUMBERS, apps[how % ARRAY_SIZE(apps)]);
        char hidden[PATH_SIZE], file[PATH_SIZE], name[DYNO_ID_SIZE + 1];
        char state[DYNO_STATE_SIZE_MAX];
        int fd;

        size = dyno_state_write(state, &facts);
        assert(dyno_state_read(state, size, ids[which], &read) == 0);
        if (how >= 0xf0)
                state[input_u32(in) % size] = (char)input_byte(in);

        (void)snprintf(name, sizeof(name), ".%s", ids[which]);
        (void)snprintf(hidden, sizeof(hidden), "%s", path_of("dynos", name, ""));
        if (mkdir(hidden, 0700) < 0)
                return;
        (void)snprintf(file, sizeof(file), "%.200s/app", hidden);
        (void)mkfifo(file, 0600);
        (void)snprintf(file, sizeof(file), "%.200s/log", hidden);
        (void)mkfifo(file, 0600);
        (void)snprintf(file, sizeof(file), "%.200s/state", hidden);
        fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, state, size - (how == 0xef)) < 0)
                abort();
        (void)close(fd);
        if (rename(hidden, path_of("dynos", ids[which], "")) < 0)
                fuzz_remove_tree(hidden);
}

static void close_writers(size_t which) {
        for (size_t i = 0; i < 2; i++)
                world->writers[which][i] = safe_close(world->writers[which][i]);
}

/* Open for both, so that a write never fails for want of a reader, and its end is no EOF. */
static void step_write(Input *in, const char *name, size_t unit) {
        size_t which = input_pick(in, DYNOS);
        int *kept = &world->writers[which][*name == 'l'], fd;
        static char many[65536];
        size_t size;
        const uint8_t *data = input_bytes(in, unit, 4096, &size);

        if (*kept < 0)
                *kept = open(path_of("dynos", ids[which], name), O_RDWR | O_NONBLOCK | O_CLOEXEC);
        fd = *kept;
        if (fd < 0)
                return;
        if (size > 2 && data[0] == 0xff) { /* a flood */
                memset(many, data[1], sizeof(many));
                (void)!write(fd, many, sizeof(many) / 256 * (data[2] + 1U));
        } else
                (void)!write(fd, data, size);
}

/* dyno-init has ended, and perhaps root has removed its folder. */
static void step_end_dyno(Input *in) {
        char gone[256];
        const char *path;
        uint8_t how = input_byte(in);

        close_writers(how % DYNOS);
        if (how >= 0xc0)
                return;
        path = path_of("dynos", ids[how % DYNOS], "");
        (void)snprintf(gone, sizeof(gone), "%.240s.gone", path);
        if (rename(path, gone) == 0)
                fuzz_remove_tree(gone);
}

/* ---- the disk ---- */

static enum { DISK_FINE, DISK_FULL, DISK_FILLS_UP, _DISK_MAX } disk;

ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t offset) {
        struct iovec part = {.iov_base = iov->iov_base, .iov_len = iov->iov_len / 2};

        errno = ENOSPC;
        return disk == DISK_FULL ? -1
                                 : __real_pwritev(fd, disk ? &part : iov, disk ? 1 : n, offset);
}

ssize_t __real_splice(int in, off_t *at_in, int out, off_t *at_out, size_t size, unsigned flags);
ssize_t __wrap_splice(int in, off_t *at_in, int out, off_t *at_out, size_t size, unsigned flags);
ssize_t __wrap_splice(int in, off_t *at_in, int out, off_t *at_out, size_t size, unsigned flags) {
        errno = ENOSPC;
        return disk == DISK_FULL ? -1 : __real_splice(in, at_in, out, at_out, size, flags);
}

static bool pick_file(Input *in, const char *folder, char *ret, size_t size) {
        struct dirent **entries;
        int n = scandir(folder, &entries, NULL, alphasort), wanted;

        if (n < 0)
                return false;
        wanted = input_byte(in);
        for (int i = 0; i < n; i++) {
                if (n > 2 && i == 2 + wanted % (n - 2))
                        (void)snprintf(ret, size, "%.120s/%.100s", folder, entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        return n > 2;
}

/* Overwritten, cut, or longer: in one file of one app. */
static void damage_disk(Input *in) {
        char folder[256], path[256], number[16];
        size_t size;
        const uint8_t *data;
        uint8_t how;
        int fd;

        (void)snprintf(number, sizeof(number), "%u", 1 + (unsigned)input_pick(in, NUMBERS));
        (void)snprintf(folder, sizeof(folder), "%s", path_of("logs", number, ""));
        if (!pick_file(in, folder, path, sizeof(path)))
                return;
        how = input_byte(in);
        fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return;
        data = input_bytes(in, 1, 255, &size);
        if ((how & 1) != 0)
                (void)!ftruncate(fd, lseek(fd, 0, SEEK_END) * input_byte(in) / 255);
        if ((how & 2) != 0)
                (void)!pwrite(
                        fd,
                        data,
                        size,
                        (how & 4) != 0 ? lseek(fd, 0, SEEK_END)
                                       : input_byte(in) * (off_t)(how >> 3));
        (void)close(fd);
}

/* ---- steps ---- */

static void step(Input *in) {
        uint8_t how;

        switch (input_pick(in, 9)) {
        case 0:
                step_new_dyno(in);
                break;
        case 1:
        case 2:
                step_write(in, "app", 8);
                break;
        case 3:
                step_write(in, "log", 1);
                break;
        case 4:
        case 5:
                step_message(in);
                break;
        case 6:
                step_end_dyno(in);
                break;
        case 7:
                how = input_byte(in);
                if (how >= 0xe0)
                        disk = how % _DISK_MAX;
                else if ((how & 1) != 0)
                        read_stream(input_pick(in, STREAMS));
                else {
                        size_t i = input_pick(in, STREAMS);

                        world->streams[i] = safe_close(world->streams[i]);
                }
                break;
        default:
                world->logger->stop = true; /* it is started anew */
        }
}

/* The clock goes on only where the logger would wait until a time. */
static uint64_t now_usec = USEC_PER_SEC;

uint64_t __wrap_clock_boottime_usec(void);
uint64_t __wrap_clock_boottime_usec(void) {
        return now_usec;
}

int __real_epoll_wait(int fd, struct epoll_event *events, int n, int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int n, int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int n, int timeout) {
        int r = __real_epoll_wait(fd, events, n, 0);
        static bool waited;

        if (r != 0 || timeout == 0)
                return r;
        waited = timeout > 0 && !waited;
        if (waited) {
                now_usec += (uint64_t)timeout * USEC_PER_MSEC;
                return 0;
        }
        if (world->in.size == 0 || world->steps++ >= STEPS_MAX)
                world->logger->stop = true;
        else
                step(&world->in);
        return 0;
}

static void run_once(void) {
        char logs[256], dynos[256];
        int pair[2];

        (void)snprintf(logs, sizeof(logs), "%s", path_of("logs", "", ""));
        (void)snprintf(dynos, sizeof(dynos), "%s", path_of("dynos", "", ""));
        if (channel_pair(&pair[0], &pair[1]) < 0 ||
            logger_new(&world->logger, logs, dynos, pair[0]) < 0)
                abort();
        world->channel = pair[1];
        (void)!logger_run(world->logger);
        world->logger = logger_free(world->logger);
        world->channel = safe_close(world->channel);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static char base[FUZZ_PATH_SIZE];
        static unsigned n;
        unsigned before;

        if (base[0] == '\0')
                fuzz_folder(base);
        world = calloc(1, sizeof(*world));
        if (!world)
                return 0;
        before = fuzz_count_fds();
        world->in = (Input){data, size};
        (void)snprintf(world->folder, sizeof(world->folder), "%.60s/%u", base, n++);
        (void)mkdir(world->folder, 0700);
        fuzz_mkdir(world->folder, "logs");
        fuzz_mkdir(world->folder, "dynos");
        memset(world->streams, 0xff, sizeof(world->streams));
        memset(world->writers, 0xff, sizeof(world->writers));

        do {
                run_once();
                if (world->in.size > 0 && (input_byte(&world->in) & 1) != 0)
                        damage_disk(&world->in);
        } while (world->in.size > 0 && world->steps++ < STEPS_MAX);

        for (size_t i = 0; i < STREAMS; i++) {
                read_stream(i);
                (void)safe_close(world->streams[i]);
        }
        for (size_t i = 0; i < DYNOS; i++)
                close_writers(i);
        disk = DISK_FINE;
        fuzz_remove_tree(world->folder);
        free(world);
        assert(fuzz_count_fds() == before);
        return 0;
}
