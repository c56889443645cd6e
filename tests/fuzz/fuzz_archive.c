/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as an archive that comes by the unpacker's socket, is fetched, and is extracted
 * into a folder of our own: it is refused with a reason, or there is a tree, and the folder
 * can be emptied again. All that is reported passes the supervisor's check. Without the process's
 * confinement, so run it as nobody: what it must not do, it then cannot.
 * fuzz_tar_mutator.c knows what a tar is.
 *
 * Covers: image/extract.c image/archive_source.c image/tar_watch.c image/tree_writer.c
 *          image/entry_name.c image/slug_finish.c image/stack_finish.c image/gzip_stream.c
 *          image/procfile.c image/fetch.c image/unpack_report.c image/tree_remove.c
 *          image/tar_records.c image/tar_sparse.c image/path_set.c
 * Options: -max_len=32768
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fuzz_folder.h"
#include "image/extract.h"
#include "image/fetch.h"
#include "image/slug_finish.h"
#include "image/stack_finish.h"
#include "image/tree_remove.h"
#include "image/tree_writer.h"
#include "ipc/channel.h"

/* ---- reports ---- */

static int report_fd; /* of no socket: what would be sent to it is looked at */

int __real_channel_send(int fd, const void *msg, size_t size, const int *fds, size_t n_fds);
int __wrap_channel_send(int fd, const void *msg, size_t size, const int *fds, size_t n_fds);

/* As report_is_valid() of supervisor/import.c. */
int __wrap_channel_send(int fd, const void *msg, size_t size, const int *fds, size_t n_fds) {
        const UnpackMessage *report = msg;

        assert(fd == report_fd && size == sizeof(*report) && n_fds == 0);
        assert(report->type >= UNPACK_PROGRESS && report->type < _UNPACK_TYPE_MAX);
        assert(report->reason < _UNPACK_REASON_MAX);
        assert((report->type == UNPACK_REFUSED) == (report->reason != UNPACK_OK));
        assert(field_is_clean(report->process, sizeof(report->process)));
        assert(memchr(report->text, '\0', sizeof(report->text)));
        if (report->type == UNPACK_PROCESS) {
                assert(process_type_is_valid(report->process));
                assert(report->text[0] != '\0' && !strchr(report->text, '\n'));
        }
        return 0;
}

/* ---- the supervisor's archive ---- */

/* By the socket, in a message that is not always one. Return: as the unpacker gets it. */
static int receive_archive(int archive_fd, size_t how) {
        UnpackArchive msg = {.magic = UNPACK_ARCHIVE_MAGIC ^ (how == 0)};
        const int fds[] = {archive_fd, archive_fd};
        int pair[2], fd = -EBADF, r;
        UnpackReport report;

        if (channel_pair(&pair[0], &pair[1]) < 0)
                abort();
        (void)!__real_channel_send(
                pair[0],
                &msg,
                sizeof(msg) - (how == 1),
                fds,
                how == 2   ? 0
                : how == 3 ? 2
                           : 1);
        (void)close(pair[0]);
        report_init(&report, pair[1]);
        r = report_receive_archive(&report, &fd);
        assert(r == (how < 4 ? -EPROTO : 0) && (r < 0 || fd >= 0));
        if (r == 0)
                assert(report_receive_archive(&report, &fd) < 0); /* it has hung up */
        (void)close(pair[1]);
        return fd;
}

static void fetch(int archive_fd, int out_fd, const uint8_t *data, size_t size) {
        _cleanup_close_ int in_fd = receive_archive(archive_fd, size % 64);
        FetchRecord record = {0};
        UnpackReport report;
        char copy[64];

        if (in_fd < 0)
                return;
        report_init(&report, report_fd);
        assert(fetch_archive(in_fd, out_fd, 0, &report, &record) == 0);
        assert(record.bytes == size);
        assert(pread(out_fd, copy, sizeof(copy), 0) == (ssize_t)(size < 64 ? size : 64));
        assert(size == 0 || memcmp(copy, data, size < 64 ? size : 64) == 0);
        if (size == 0 || lseek(in_fd, 0, SEEK_SET) < 0)
                return;
        report_init(&report, report_fd);
        assert((fetch_archive(in_fd, out_fd, size - 1, &report, &record) == -EBADMSG) ==
               (size > 1));
        assert(size == 1 || report.refusal.reason == UNPACK_TOO_LARGE);
}

/* ---- extraction ---- */

static void extract(int archive_fd, int target_fd, ExtractKind kind) {
        const UnpackLimits limits = {.max_bytes = 1 << 20, .max_entries = 200, .max_ratio = 1000};
        const char *name = kind == EXTRACT_STACK ? "tree" : "stage";
        _cleanup_close_ int root_fd = -EBADF;
        ExtractResult result = {0};
        UnpackReport report;
        int r;

        if (mkdirat(target_fd, name, 0755) < 0)
                abort();
        root_fd = tree_open_folder(target_fd, name, O_PATH);
        report_init(&report, report_fd);
        r = extract_tree(archive_fd, root_fd, kind, &limits, &report, &result);
        if (r == 0)
                r = kind == EXTRACT_STACK ? stack_finish(target_fd, root_fd, &report)
                                          : slug_finish(target_fd, result.outside_app, &report);

        assert((r == -EBADMSG) == (report.refusal.reason != UNPACK_OK));
        if (r == 0)
                assert(report_done(&report) == 0);
        else
                assert(report_refused(&report, r) == 0);
        assert(report.counts.tree_bytes <= limits.max_bytes);
        assert(report.counts.entries <= limits.max_entries);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static char path[FUZZ_PATH_SIZE];
        static int target_fd = -EBADF;
        _cleanup_close_ int archive_fd = -EBADF, copy_fd = -EBADF;

        if (target_fd < 0) {
                report_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
                (void)setlocale(LC_CTYPE, "C.UTF-8");
                (void)umask(0);
                fuzz_folder(path);
                target_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
        archive_fd = fuzz_memfd(data, size);
        copy_fd = fuzz_memfd("", 0);
        fetch(archive_fd, copy_fd, data, size);
        for (int kind = EXTRACT_STACK; kind <= EXTRACT_SLUG; kind++) {
                if (lseek(archive_fd, 0, SEEK_SET) < 0)
                        abort();
                extract(archive_fd, target_fd, (ExtractKind)kind);
                if (tree_remove(target_fd) < 0)
                        abort();
        }
        return 0;
}
