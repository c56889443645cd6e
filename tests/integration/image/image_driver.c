/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Plays the launcher and the supervisor for the store, for test_image.py.
 *
 *   image_driver STATE_DIR UNPACKER UID_BASE
 *
 * Commands on stdin, one per line; answers and events on stdout, one JSON document per
 * line, texts in hexadecimal. Runs as root.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "image/store.h"
#include "ipc/channel.h"
#include "ipc/unpack_proto.h"

#define REPORTS_MAX 16

typedef struct Report {
        int fd;
        uint32_t import;
} Report;

static Report reports[REPORTS_MAX];
static Store *store;
static off_t largest_unlinked; /* bytes, of the files that this process itself has deleted */

/* The linker's names. NOLINTBEGIN(bugprone-reserved-identifier) */
int __real_unlinkat(int dir_fd, const char *name, int flags);
int __wrap_unlinkat(int dir_fd, const char *name, int flags);
int __wrap_unlinkat(int dir_fd, const char *name, int flags) {
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            st.st_size > largest_unlinked)
                largest_unlinked = st.st_size;
        return __real_unlinkat(dir_fd, name, flags);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void print_hex(const void *data, size_t size) {
        for (size_t i = 0; i < size; i++)
                (void)printf("%02x", ((const unsigned char *)data)[i]);
}

static void on_event(void *userdata, const StoreEvent *event) {
        static const char *const names[] = {
                [STORE_FETCHED] = "fetched",
                [STORE_EXTRACTED] = "extracted",
                [STORE_COMMITTED] = "committed",
        };

        (void)userdata;
        (void)printf(
                "{\"event\":\"%s\",\"seq\":%u,\"import\":%u,\"result\":%d,\"bytes\":%" PRIu64
                ",\"digest\":\"",
                names[event->type],
                event->seq,
                event->import,
                event->result,
                event->bytes);
        print_hex(event->digest, DIGEST_SIZE);
        (void)printf("\"}\n");
}

static void print_report(uint32_t import, const UnpackMessage *msg) {
        static const char *const types[_UNPACK_TYPE_MAX] = {
                [UNPACK_PROGRESS] = "progress",
                [UNPACK_PROCESS] = "process",
                [UNPACK_DONE] = "done",
                [UNPACK_REFUSED] = "refused",
        };
        static const char *const reasons[_UNPACK_REASON_MAX] = {
                [UNPACK_OK] = "OK",
                [UNPACK_NOT_AN_ARCHIVE] = "NOT_AN_ARCHIVE",
                [UNPACK_CORRUPT] = "CORRUPT",
                [UNPACK_NAME_DOTDOT] = "NAME_DOTDOT",
                [UNPACK_NAME_NUL] = "NAME_NUL",
                [UNPACK_NAME_TOO_LONG] = "NAME_TOO_LONG",
                [UNPACK_HARDLINK_OUTSIDE] = "HARDLINK_OUTSIDE",
                [UNPACK_THROUGH_LINK] = "THROUGH_LINK",
                [UNPACK_STACK_DIR_IS_LINK] = "STACK_DIR_IS_LINK",
                [UNPACK_SLUG_APP_IS_LINK] = "SLUG_APP_IS_LINK",
                [UNPACK_SPECIAL_FILE] = "SPECIAL_FILE",
                [UNPACK_TOO_MANY_ENTRIES] = "TOO_MANY_ENTRIES",
                [UNPACK_TOO_LARGE] = "TOO_LARGE",
                [UNPACK_RATIO] = "RATIO",
                [UNPACK_PROCFILE] = "PROCFILE",
                [UNPACK_NO_ROOM] = "NO_ROOM",
                [UNPACK_INTERNAL] = "INTERNAL",
        };
        const UnpackCounts *c = &msg->counts;

        (void)printf(
                "{\"report\":\"%s\",\"import\":%u,\"reason\":\"%s\",\"error\":%u,\"line\":%u,"
                "\"process\":\"%s\",\"text\":\"",
                types[msg->type],
                import,
                msg->reason < _UNPACK_REASON_MAX ? reasons[msg->reason] : "?",
                msg->error,
                msg->line,
                msg->process);
        print_hex(msg->text, strlen(msg->text));
        (void)printf(
                "\",\"archive_bytes\":%" PRIu64 ",\"tree_bytes\":%" PRIu64 ",\"entries\":%" PRIu64
                ",\"absolute\":%" PRIu64 ",\"mode_bits\":%" PRIu64 ",\"xattrs\":%" PRIu64
                ",\"devices\":%" PRIu64 ",\"outside_app\":%" PRIu64 ",\"replaced\":%" PRIu64 "}\n",
                c->archive_bytes,
                c->tree_bytes,
                c->entries,
                c->absolute,
                c->mode_bits,
                c->xattrs,
                c->devices,
                c->outside_app,
                c->replaced);
}

/* Return: false when the other end is closed. */
static bool read_report(Report *report) {
        UnpackMessage msg;
        ChannelFds fds = CHANNEL_FDS_INIT;
        size_t size;
        int r;

        while ((r = channel_recv(report->fd, &msg, sizeof(msg), &size, &fds)) == 0)
                if (size == sizeof(msg) && msg.type < _UNPACK_TYPE_MAX)
                        print_report(report->import, &msg);
        return r == CHANNEL_E_AGAIN;
}

/* What a child has said comes before the event of its end. */
static void read_reports(void) {
        for (size_t i = 0; i < REPORTS_MAX; i++)
                if (reports[i].fd >= 0 && !read_report(&reports[i]))
                        reports[i].fd = safe_close(reports[i].fd);
}

static int new_report(uint32_t import, int *ret_other) {
        for (size_t i = 0; i < REPORTS_MAX; i++)
                if (reports[i].fd < 0) {
                        reports[i].import = import;
                        return channel_pair(&reports[i].fd, ret_other);
                }
        return -EMFILE;
}

static int send_archive(uint32_t import, int archive_fd) {
        const UnpackArchive archive = {.magic = UNPACK_ARCHIVE_MAGIC};

        for (size_t i = 0; i < REPORTS_MAX; i++)
                if (reports[i].fd >= 0 && reports[i].import == import)
                        return channel_send(
                                reports[i].fd, &archive, sizeof(archive), &archive_fd, 1);
        return -ENOENT;
}

static int run_fetch(const char *args) {
        _cleanup_close_ int archive_fd = -EBADF, report_fd = -EBADF;
        uint32_t seq, import;
        uint64_t max_bytes;
        char path[1024];
        int r;

        if (sscanf(args, "%u %u %" SCNu64 " %1023s", &seq, &import, &max_bytes, path) != 4)
                return -EINVAL;
        archive_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (archive_fd < 0)
                return -errno;
        r = new_report(import, &report_fd);
        if (r == 0)
                r = send_archive(import, archive_fd);
        return r < 0 ? r : store_fetch(store, seq, import, report_fd, max_bytes);
}

static int parse_object(const char *kind, const char *hex, ObjectKind *ret, uint8_t *ret_digest) {
        *ret = strcmp(kind, "stack") == 0 ? OBJECT_STACK : OBJECT_SLUG;
        return parse_digest(hex, ret_digest);
}

static int run_extract(const char *args) {
        _cleanup_close_ int report_fd = -EBADF;
        StoreExtract request = {0};
        char kind[16], hex[80];
        int r;

        if (sscanf(args,
                   "%u %u %15s %79s %" SCNu64 " %" SCNu64 " %" SCNu64,
                   &request.seq,
                   &request.import,
                   kind,
                   hex,
                   &request.limits.max_bytes,
                   &request.limits.max_entries,
                   &request.limits.max_ratio) != 7)
                return -EINVAL;
        r = parse_object(kind, hex, &request.kind, request.digest);
        if (r == 0)
                r = new_report(request.import, &report_fd);
        return r < 0 ? r : store_extract(store, &request, report_fd);
}

static int run_import(const char *command, const char *args) {
        uint32_t seq, import;

        if (sscanf(args, "%u %u", &seq, &import) != 2)
                return -EINVAL;
        if (strcmp(command, "commit") == 0)
                return store_commit(store, seq, import);
        store_abandon(store, import);
        return 0;
}

static int run_object(const char *command, const char *args) {
        _cleanup_close_ int fd = -EBADF, part_fd = -EBADF;
        uint8_t digest[DIGEST_SIZE];
        char kind_name[16], hex[80];
        ObjectKind kind;
        int r;

        if (sscanf(args, "%15s %79s", kind_name, hex) != 2)
                return -EINVAL;
        r = parse_object(kind_name, hex, &kind, digest);
        if (r < 0)
                return r;
        if (strcmp(command, "remove") == 0)
                return store_remove(store, kind, digest);
        r = store_tree_open(store, kind, digest, &fd);
        return r < 0 ? r : store_part_open(fd, STORE_PART_TREE, &part_fd);
}

static void run_command(char *line) {
        size_t size = strcspn(line, " \n");
        char *args = line + size + (line[size] ? 1 : 0);
        int r = -ENOSYS;

        line[size] = '\0';
        if (strcmp(line, "fetch") == 0)
                r = run_fetch(args);
        else if (strcmp(line, "extract") == 0)
                r = run_extract(args);
        else if (strcmp(line, "commit") == 0 || strcmp(line, "abandon") == 0)
                r = run_import(line, args);
        else if (strcmp(line, "remove") == 0 || strcmp(line, "open") == 0)
                r = run_object(line, args);
        else if (strcmp(line, "idle") == 0)
                r = store_is_idle(store);
        else if (strcmp(line, "largest") == 0)
                r = (int)largest_unlinked;
        (void)printf("{\"answer\":\"%s\",\"result\":%d}\n", line, r);
}

static int loop(void) {
        char line[2048];
        bool open = true;

        while (open) {
                struct pollfd pfds[2] = {
                        {.fd = STDIN_FILENO, .events = POLLIN},
                        {.fd = store_fd(store), .events = POLLIN},
                };

                /* Reports are read ten times a second, and before every event. */
                if (poll(pfds, 2, 100) < 0 && errno != EINTR)
                        return 1;
                read_reports();
                if (pfds[1].revents && store_dispatch(store) < 0)
                        return 1;
                if (pfds[0].revents) {
                        open = fgets(line, sizeof(line), stdin);
                        if (open)
                                run_command(line);
                }
        }
        return 0;
}

int main(int argc, char **argv) {
        StoreOptions options = {.handler = on_event};
        uint32_t uid_base;
        int r;

        (void)signal(SIGPIPE, SIG_IGN); /* as in dynod */
        if (argc != 4 || parse_u32(argv[3], &uid_base) < 0)
                return 2;
        for (size_t i = 0; i < REPORTS_MAX; i++)
                reports[i].fd = -EBADF;
        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        (void)setvbuf(stdin, NULL, _IONBF, 0); /* what is read is what poll(2) spoke of */

        options.state_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        options.unpacker = argv[2];
        options.uid_base = uid_base;
        r = options.state_fd < 0 ? -errno : store_open(&store, &options);
        (void)printf("{\"answer\":\"open\",\"result\":%d}\n", r);
        if (r == 0)
                r = loop();
        store_close(store);
        return r == 0 ? 0 : 1;
}
