/* SPDX-License-Identifier: Apache-2.0 */

/*
 * FETCH, compare, EXTRACT, COMMIT. Until COMMIT the store holds nothing of it, so that
 * giving up is one ABANDON at any point. Two imports of the same archive at once go the
 * same way: the later one finds the tree there (-EEXIST) and commits all the same.
 */

#include <assert.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "supervisor/import.h"

#define FILE_NAME_SIZE 100 /* of the archive, for texts; a longer one is cut */

#define PROCESS_TYPES_MAX 256 /* of one Procfile: as the unpacker allows */

struct Import {
        Import *next;
        Manager *manager;
        ImportEvents events;
        uint32_t id; /* 0: a restore */
        ObjectKind kind;
        char file[FILE_NAME_SIZE];
        uint64_t total; /* bytes, 0: unknown */
        bool check;
        uint8_t wanted[DIGEST_SIZE], digest[DIGEST_SIZE], found[DIGEST_SIZE];
        bool is_read, already, committed;
        int result;

        int report_fd;
        sd_event_source *report;

        /* from the unpacker: a tenant's words */
        UnpackCounts counts;
        Pairs processes;
        UnpackReason reason;
        uint32_t error, line;
        char text[UNPACK_TEXT_SIZE];
};

Import *import_next(const Import *import) {
        return import->next;
}

ObjectKind import_kind(const Import *import) {
        return import->kind;
}

int import_result(const Import *import) {
        return import->result;
}

const uint8_t *import_digest(const Import *import) {
        return import->digest;
}

const uint8_t *import_found(const Import *import) {
        return import->found;
}

bool import_already(const Import *import) {
        return import->already;
}

bool import_is_read(const Import *import) {
        return import->is_read;
}

const UnpackCounts *import_counts(const Import *import) {
        return &import->counts;
}

const Pairs *import_processes(const Import *import) {
        return &import->processes;
}

uint64_t import_total(const Import *import) {
        return import->total;
}

static void abandon(Import *import) {
        LaunchMessage msg;

        if (import->id == 0 || import->committed)
                return;
        memset(&msg, 0, sizeof(msg));
        msg.import.header.type = LAUNCH_ABANDON;
        msg.import.import = import->id;
        if (launch_client_send(import->manager->launch, &msg, NULL, NULL, NULL) < 0)
                log_warning("no memory to abandon an import, it is cleared away at the next start");
}

Import *import_free(Import *import) {
        if (!import)
                return NULL;

        for (Import **p = &import->manager->imports; *p; p = &(*p)->next)
                if (*p == import) {
                        *p = import->next;
                        break;
                }
        if (import->manager->launch) {
                launch_client_forget(import->manager->launch, import);
                abandon(import);
        }
        import->report = sd_event_source_disable_unref(import->report);
        (void)safe_close(import->report_fd);
        pairs_clear(&import->processes);
        free(import);
        return NULL;
}

/* The end of every import. Frees it. */
static void finish(Import *import, int result, const ManagerError *error) {
        import->result = result;
        import->events.done(import, error, import->events.userdata);
        (void)import_free(import);
}

/* ---- reports of the unpacker ---- */

static bool report_is_valid(const UnpackMessage *msg, size_t size, size_t n_fds) {
        if (size != sizeof(*msg) || n_fds != 0 || msg->type == 0 || msg->type >= _UNPACK_TYPE_MAX ||
            msg->reason >= _UNPACK_REASON_MAX)
                return false;
        if (!field_is_clean(msg->process, sizeof(msg->process)) ||
            strnlen(msg->text, sizeof(msg->text)) == sizeof(msg->text))
                return false;
        if (msg->type == UNPACK_PROCESS)
                return process_type_is_valid(msg->process) && msg->text[0] != '\0' &&
                       !strchr(msg->text, '\n');

        return true;
}

static int handle_report(Import *import, const UnpackMessage *msg) {
        /* The hash is the fetcher's alone; numbers of an archive are for show. */
        import->counts = msg->counts;

        switch (msg->type) {
        case UNPACK_PROGRESS:
                if (import->events.progress)
                        import->events.progress(import, import->events.userdata);
                return 0;
        case UNPACK_PROCESS:
                if (import->processes.n >= PROCESS_TYPES_MAX)
                        return -EBADMSG;
                return pairs_set(&import->processes, msg->process, msg->text);
        case UNPACK_REFUSED:
                import->reason = (UnpackReason)msg->reason;
                import->error = msg->error;
                import->line = msg->line;
                memcpy(import->text, msg->text, sizeof(import->text));
                return 0;
        default:
                return 0;
        }
}

/* Reads what is there. Return: 0, CHANNEL_E_AGAIN, CHANNEL_E_CLOSED, or a negative errno. */
static int read_reports(Import *import) {
        int r = 0;

        while (r == 0 && import->report_fd >= 0) {
                _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
                UnpackMessage msg;
                size_t size = 0;

                r = channel_recv(import->report_fd, &msg, sizeof(msg), &size, &fds);
                if (r == 0 && !report_is_valid(&msg, size, fds.n))
                        r = -EBADMSG;
                if (r == 0)
                        r = handle_report(import, &msg);
        }

        return r;
}

static void close_report(Import *import) {
        import->report = sd_event_source_disable_unref(import->report);
        import->report_fd = safe_close(import->report_fd);
}

static int on_report(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Import *import = userdata;
        int r = read_reports(import);

        /* A broken report is a broken unpacker: the launcher's word about its end decides. */
        if (r != CHANNEL_E_AGAIN && r != 0)
                close_report(import);
        return 0;
}

/* Opens the socket of one worker. @ret_peer: the end for the launcher. */
static int open_report(Import *import, int *ret_peer) {
        int r;

        close_report(import);
        r = channel_pair(&import->report_fd, ret_peer);
        if (r < 0)
                return r;
        r = sd_event_add_io(
                import->manager->event,
                &import->report,
                import->report_fd,
                EPOLLIN,
                on_report,
                import);
        if (r < 0)
                *ret_peer = safe_close(*ret_peer);
        return r;
}

/* ---- the steps ---- */

static void refuse_unpack(Import *import, ManagerError *error) {
        ImportRefusal refusal = {
                .reason = import->reason,
                .error = import->error,
                .line = import->line,
                .text = import->text,
                .file = import->file,
                .kind = import->kind,
        };

        import_refuse(import->manager->config, &refusal, error);
}

static void fail(Import *import, int result) {
        ManagerError error = {0};

        if (import->reason == UNPACK_OK) {
                import->reason = result == -ENOSPC || result == -EDQUOT ? UNPACK_NO_ROOM
                                 : result == -EFBIG                     ? UNPACK_TOO_LARGE
                                                                        : UNPACK_INTERNAL;
                import->error = (uint32_t)-result;
        }
        refuse_unpack(import, &error);
        finish(import, result, &error);
}

static void on_committed(const LaunchMessage *msg, void *userdata) {
        Import *import = userdata;

        if (msg->reply.result < 0 && msg->reply.result != -EEXIST) {
                fail(import, msg->reply.result);
                return;
        }
        import->committed = true;
        finish(import, 0, NULL);
}

static void commit(Import *import) {
        LaunchMessage msg;
        int r;

        memset(&msg, 0, sizeof(msg));
        msg.import.header.type = LAUNCH_COMMIT;
        msg.import.import = import->id;
        r = launch_client_send(import->manager->launch, &msg, NULL, on_committed, import);
        if (r < 0)
                fail(import, r);
}

static void on_extracted(const LaunchMessage *msg, void *userdata) {
        Import *import = userdata;
        int result = msg->reply.result, r;

        if (read_reports(import) < 0 && result == 0)
                result = -EBADMSG;
        if (msg->header.type == LAUNCH_EXTRACTED)
                memcpy(import->found, msg->extracted.digest, DIGEST_SIZE);
        close_report(import);

        if (result == -EEXIST)
                import->already = true;
        else if (result < 0) {
                fail(import, result);
                return;
        }

        if (import->id == 0) {
                finish(import, result, NULL);
                return;
        }
        if (import->events.extracted) {
                r = import->events.extracted(import, import->events.userdata);
                if (r < 0) {
                        fail(import, r);
                        return;
                }
        }
        commit(import);
}

static int extract(Import *import) {
        const Config *config = import->manager->config;
        LaunchFds fds = {.n = 1};
        LaunchMessage msg;
        int r;

        r = open_report(import, &fds.fd[0]);
        if (r < 0)
                return r;

        memset(&msg, 0, sizeof(msg));
        msg.extract.header.type = LAUNCH_EXTRACT;
        msg.extract.import = import->id;
        msg.extract.kind = import->kind;
        msg.extract.max_entries = config->import_max_entries;
        msg.extract.max_ratio = config->import_max_ratio;
        msg.extract.max_bytes =
                import->kind == OBJECT_STACK ? config->stack_max_bytes : config->slug_max_bytes;
        memcpy(msg.extract.digest, import->digest, DIGEST_SIZE);
        return launch_client_send(import->manager->launch, &msg, &fds, on_extracted, import);
}

static void refuse_checksum(const Import *import, ManagerError *error) {
        char actual[DIGEST_TEXT_SIZE], wanted[DIGEST_TEXT_SIZE];

        format_digest(import->digest, actual);
        format_digest(import->wanted, wanted);
        (void)refuse(
                error,
                DYNOD_ERROR_BAD_CHECKSUM,
                "%s has SHA256:%s, not SHA256:%s as asked. Nothing was %s. "
                "Fetch it again or drop --checksum.",
                import->file,
                actual,
                wanted,
                import->kind == OBJECT_STACK ? "imported" : "changed");
}

static void on_fetched(const LaunchMessage *msg, void *userdata) {
        Import *import = userdata;
        ManagerError error = {0};
        int result, r;

        (void)read_reports(import);
        close_report(import);

        /* A refusal may come as a plain reply: result lies elsewhere there. */
        result = msg->header.type == LAUNCH_FETCHED ? msg->fetched.result : msg->reply.result;
        if (result < 0) {
                fail(import, result);
                return;
        }

        import->is_read = true;
        import->total = msg->fetched.bytes;
        memcpy(import->digest, msg->fetched.digest, DIGEST_SIZE);
        if (import->check && memcmp(import->digest, import->wanted, DIGEST_SIZE) != 0) {
                refuse_checksum(import, &error);
                finish(import, -EBADMSG, &error);
                return;
        }

        r = extract(import);
        if (r < 0)
                fail(import, r);
}

static int fetch(Import *import, int archive_fd) {
        _cleanup_close_ int owned_fd = archive_fd;
        const UnpackArchive archive = {.magic = UNPACK_ARCHIVE_MAGIC};
        const Config *config = import->manager->config;
        LaunchFds fds = {.n = 1};
        LaunchMessage msg;
        int r;

        r = open_report(import, &fds.fd[0]);
        if (r < 0)
                return r;
        /* Past root, straight to the process that will read it. The socket is empty. */
        r = channel_send(import->report_fd, &archive, sizeof(archive), &owned_fd, 1);
        if (r != 0) {
                (void)safe_close(fds.fd[0]);
                return r < 0 ? r : -EPIPE;
        }

        memset(&msg, 0, sizeof(msg));
        msg.fetch.header.type = LAUNCH_FETCH;
        msg.fetch.import = import->id;
        msg.fetch.max_bytes =
                import->kind == OBJECT_STACK ? config->stack_max_bytes : config->slug_max_bytes;
        return launch_client_send(import->manager->launch, &msg, &fds, on_fetched, import);
}

/* ---- begin ---- */

static Import *import_new(Manager *manager, ObjectKind kind, const ImportEvents *events) {
        Import *import = calloc(1, sizeof(*import));

        if (!import)
                return NULL;

        import->manager = manager;
        import->kind = kind;
        import->events = *events;
        import->report_fd = -EBADF;
        import->next = manager->imports;
        manager->imports = import;
        return import;
}

/* File names are the client's: shown, so cleaned and cut. */
static void set_file(Import *import, const char *file) {
        size_t n = 0;

        if (!file || file[0] == '\0')
                file = import->kind == OBJECT_STACK ? "The archive" : "The slug";
        (void)snprintf(import->file, sizeof(import->file), "%s", file);
        for (; import->file[n]; n++)
                if ((unsigned char)import->file[n] < ' ' || import->file[n] == 0x7f)
                        import->file[n] = '?';
}

int import_start(
        Import **ret,
        Manager *manager,
        ObjectKind kind,
        const ImportRequest *request,
        const ImportEvents *events,
        ManagerError *reterr) {
        Import *import;
        int r;

        assert(ret && manager && request && events && reterr);

        import = import_new(manager, kind, events);
        if (!import) {
                (void)safe_close(request->fd);
                return -ENOMEM;
        }
        set_file(import, request->file);
        import->total = request->size;
        if (request->checksum && request->checksum[0]) {
                import->check = true;
                if (parse_digest(request->checksum, import->wanted) < 0) {
                        (void)safe_close(request->fd);
                        (void)import_free(import);
                        return refuse(
                                reterr,
                                DYNOD_ERROR_INVALID_ARGUMENT,
                                "A checksum is SHA256: and 64 hexadecimal digits. Nothing was "
                                "changed.");
                }
        }

        if (++manager->last_import == 0)
                manager->last_import = 1;
        import->id = manager->last_import;
        r = fetch(import, request->fd);
        if (r < 0) {
                (void)import_free(import);
                return r;
        }

        *ret = import;
        return 0;
}

int import_restore(
        Import **ret,
        Manager *manager,
        ObjectKind kind,
        const uint8_t digest[DIGEST_SIZE],
        ImportDone done,
        void *userdata) {
        ImportEvents events = {.done = done, .userdata = userdata};
        Import *import = import_new(manager, kind, &events);
        int r;

        if (!import)
                return -ENOMEM;

        import->is_read = true;
        set_file(import, kind == OBJECT_STACK ? "The stack's archive" : "The slug's archive");
        memcpy(import->digest, digest, DIGEST_SIZE);
        r = extract(import);
        if (r < 0) {
                (void)import_free(import);
                return r;
        }

        *ret = import;
        return 0;
}

/* ---- notes ---- */

static int note(Strings *notes, uint64_t n, const char *one, const char *many) {
        if (n == 0)
                return 0;
        return n == 1 ? strings_addf(notes, "1 %s", one)
                      : strings_addf(notes, "%llu %s", (unsigned long long)n, many);
}

int import_notes(const UnpackCounts *counts, Strings *ret) {
        int r;

        r =
                note(ret,
                     counts->absolute,
                     "name had its leading / dropped",
                     "names had their leading / dropped");
        if (r == 0)
                r =
                        note(ret,
                             counts->mode_bits,
                             "file had its setuid, setgid or sticky bit cleared",
                             "files had their setuid, setgid or sticky bits cleared");
        if (r == 0)
                r =
                        note(ret,
                             counts->xattrs,
                             "entry had its extended attributes or ACL dropped",
                             "entries had their extended attributes or ACLs dropped");
        if (r == 0)
                r =
                        note(ret,
                             counts->devices,
                             "device, socket or FIFO below /dev was skipped",
                             "devices, sockets or FIFOs below /dev were skipped");
        if (r == 0)
                r =
                        note(ret,
                             counts->outside_app,
                             "entry outside ./app was ignored",
                             "entries outside ./app were ignored");
        if (r == 0)
                r =
                        note(ret,
                             counts->replaced,
                             "link was replaced by the folder or file to mount over",
                             "links were replaced by the folders or files to mount over");
        return r;
}
