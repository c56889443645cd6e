/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as an archive, extracted into a folder of our own: it is refused with a reason,
 * or there is a tree, and the folder can be emptied again. Without the process's
 * confinement, so run it as nobody: what it must not do, it then cannot.
 * fuzz_tar_mutator.c knows what a tar is.
 *
 * Covers: image/extract.c image/archive_source.c image/tar_watch.c image/tree_writer.c
 *          image/entry_name.c image/slug_finish.c image/stack_finish.c image/gzip_stream.c
 *          image/procfile.c
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
#include "image/slug_finish.h"
#include "image/stack_finish.h"
#include "image/tree_remove.h"
#include "image/tree_writer.h"

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
        report_init(&report, -EBADF);
        r = extract_tree(archive_fd, root_fd, kind, &limits, &report, &result);
        if (r == 0)
                r = kind == EXTRACT_STACK ? stack_finish(target_fd, root_fd, &report)
                                          : slug_finish(target_fd, result.outside_app, &report);

        assert((r == -EBADMSG) == (report.refusal.reason != UNPACK_OK));
        assert(report.counts.tree_bytes <= limits.max_bytes);
        assert(report.counts.entries <= limits.max_entries);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static char path[FUZZ_PATH_SIZE];
        static int target_fd = -EBADF;
        _cleanup_close_ int archive_fd = -EBADF;

        if (target_fd < 0) {
                (void)setlocale(LC_CTYPE, "C.UTF-8");
                (void)umask(0);
                fuzz_folder(path);
                target_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
        archive_fd = fuzz_memfd(data, size);
        for (int kind = EXTRACT_STACK; kind <= EXTRACT_SLUG; kind++) {
                if (lseek(archive_fd, 0, SEEK_SET) < 0)
                        abort();
                extract(archive_fd, target_fd, (ExtractKind)kind);
                if (tree_remove(target_fd) < 0)
                        abort();
        }
        return 0;
}
