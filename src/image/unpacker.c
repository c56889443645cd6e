/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dynod-unpacker: archives in, files out.
 *
 *   dynod-unpacker fetch|extract-stack|extract-slug|remove MAX_BYTES MAX_ENTRIES MAX_RATIO
 *
 * Started by unpack_spawn() alone, with the descriptors of ipc/unpack_proto.h. It locks
 * itself in before it reads the first byte, does one job and ends.
 *
 * Exit status: 0 done; 1 refused, and said so; else a negative errno of trouble, made
 * positive and at least 2 (see unpack_reap()).
 */

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "image/extract.h"
#include "image/fetch.h"
#include "image/slug_finish.h"
#include "image/stack_finish.h"
#include "image/tree_remove.h"
#include "image/tree_writer.h"
#include "image/unpack_confine.h"
#include "image/unpack_report.h"

#define EXIT_REFUSED 1

static const char *const mode_names[_UNPACK_MODE_MAX] = {
        [UNPACK_FETCH] = "fetch",
        [UNPACK_EXTRACT_STACK] = "extract-stack",
        [UNPACK_EXTRACT_SLUG] = "extract-slug",
        [UNPACK_REMOVE] = "remove",
};

static int parse_arguments(int argc, char **argv, UnpackMode *ret_mode, UnpackLimits *ret) {
        if (argc != 5)
                return -EINVAL;
        if (parse_u64(argv[2], &ret->max_bytes) < 0 || parse_u64(argv[3], &ret->max_entries) < 0 ||
            parse_u64(argv[4], &ret->max_ratio) < 0)
                return -EINVAL;

        for (UnpackMode mode = 0; mode < _UNPACK_MODE_MAX; mode++)
                if (strcmp(argv[1], mode_names[mode]) == 0) {
                        *ret_mode = mode;
                        return 0;
                }
        return -EINVAL;
}

static int run_fetch(const UnpackLimits *limits, UnpackReport *report) {
        _cleanup_close_ int archive_fd = -EBADF;
        FetchRecord record = {0};
        int r = 0;

        if (fcntl(UNPACK_FD_ARCHIVE, F_GETFD) >= 0)
                archive_fd = UNPACK_FD_ARCHIVE;
        else
                r = report_receive_archive(report, &archive_fd);
        if (r < 0)
                return r;
        r = fetch_archive(archive_fd, UNPACK_FD_OUT, limits->max_bytes, report, &record);
        if (r < 0)
                return r;
        return write_all(UNPACK_FD_RECORD, &record, sizeof(record));
}

static int make_root(const char *name, int *ret_fd) {
        int fd;

        if (mkdirat(UNPACK_FD_OUT, name, 0755) < 0)
                return -errno;
        fd = tree_open_folder(UNPACK_FD_OUT, name, O_PATH);
        if (fd < 0)
                return fd;
        *ret_fd = fd;
        return 0;
}

static int run_extract(ExtractKind kind, const UnpackLimits *limits, UnpackReport *report) {
        bool is_stack = kind == EXTRACT_STACK;
        _cleanup_close_ int root_fd = -EBADF;
        ExtractResult result = {0};
        int r;

        r = make_root(is_stack ? "tree" : "stage", &root_fd);
        if (r < 0)
                return r;
        r = extract_tree(UNPACK_FD_ARCHIVE, root_fd, kind, limits, report, &result);
        if (r < 0)
                return r;
        return is_stack ? stack_finish(UNPACK_FD_OUT, root_fd, report)
                        : slug_finish(UNPACK_FD_OUT, result.outside_app, report);
}

static int run(UnpackMode mode, const UnpackLimits *limits, UnpackReport *report) {
        switch (mode) {
        case UNPACK_FETCH:
                return run_fetch(limits, report);
        case UNPACK_EXTRACT_STACK:
                return run_extract(EXTRACT_STACK, limits, report);
        case UNPACK_EXTRACT_SLUG:
                return run_extract(EXTRACT_SLUG, limits, report);
        case UNPACK_REMOVE:
                return tree_remove(UNPACK_FD_OUT);
        case _UNPACK_MODE_MAX:
                break;
        }
        return -EINVAL;
}

static int exit_status(int r) {
        return r == 0 ? 0 : -r > 1 && -r < 256 ? -r : EIO;
}

int main(int argc, char **argv) {
        UnpackLimits limits = {0};
        UnpackMode mode = 0;
        UnpackReport report;
        int r;

        r = parse_arguments(argc, argv, &mode, &limits);
        if (r < 0)
                return exit_status(r);

        /* Names of pax headers are UTF-8. Built into libc, so it needs no file later. */
        (void)setlocale(LC_CTYPE, "C.UTF-8");
        (void)umask(0);
        report_init(&report, fcntl(UNPACK_FD_REPORT, F_GETFD) < 0 ? -EBADF : UNPACK_FD_REPORT);

        r = unpack_confine(mode, UNPACK_FD_OUT);
        if (r < 0) {
                /* Nothing was read yet, so this is still our own word. */
                r = report_refused(&report, r);
                return exit_status(r < 0 ? r : -EPROTO);
        }

        r = run(mode, &limits, &report);
        if (mode == UNPACK_REMOVE)
                return exit_status(r);
        if (r == 0)
                return exit_status(report_done(&report));
        if (report_refused(&report, r) < 0)
                return exit_status(-EPROTO);
        return r == -EBADMSG ? EXIT_REFUSED : exit_status(r);
}
