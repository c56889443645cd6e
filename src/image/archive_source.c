/* SPDX-License-Identifier: Apache-2.0 */

#include <archive.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "image/archive_source.h"
#include "image/gzip_stream.h"

#define INPUT_SIZE ((size_t)256 * 1024)   /* bytes per read(2): a few dozen calls for a slug */
#define OUTPUT_SIZE ((size_t)1024 * 1024) /* bytes inflated at once: fits the second-level cache */
#define MAGIC_SIZE 6                      /* of xz, the longest */

struct ArchiveSource {
        int fd;
        UnpackReport *report;
        uint64_t max_ratio;
        uint64_t size; /* of the whole archive, if it is a file: what the ratio is to */
        uint64_t position;

        uint8_t *input;
        uint8_t *next_in;
        size_t n_in;
        bool at_end;
        int read_error; /* of the input, carried through libarchive's callbacks */

        GzipStream *gzip;       /* gzip */
        uint8_t *output;        /* gzip */
        struct archive *filter; /* xz and zstd */
};

/* Reads more input behind what is there; only called when there is room. */
static int fill(ArchiveSource *source) {
        size_t offset = 0;
        ssize_t n;

        if (source->n_in > 0)
                memmove(source->input, source->next_in, source->n_in);
        source->next_in = source->input;
        offset = source->n_in;
        assert(offset < INPUT_SIZE);

        while ((n = read(source->fd, source->input + offset, INPUT_SIZE - offset)) < 0) {
                struct pollfd pfd = {.fd = source->fd, .events = POLLIN};

                if (errno == EAGAIN && poll(&pfd, 1, -1) < 0 && errno != EINTR)
                        return -errno;
                if (errno != EINTR && errno != EAGAIN)
                        return -errno;
        }
        source->at_end = n == 0;
        source->n_in += (size_t)n;
        source->report->counts.archive_bytes += (uint64_t)n;
        report_progress(source->report);
        return 0;
}

static int fill_if_empty(ArchiveSource *source) {
        return source->n_in == 0 && !source->at_end ? fill(source) : 0;
}

static la_ssize_t filter_read(struct archive *a, void *userdata, const void **ret) {
        ArchiveSource *source = userdata;
        size_t n;

        source->read_error = fill_if_empty(source);
        if (source->read_error < 0) {
                archive_set_error(a, -source->read_error, "read");
                return ARCHIVE_FATAL;
        }
        *ret = source->next_in;
        n = source->n_in;
        source->n_in = 0;
        return (la_ssize_t)n;
}

static int corrupt(ArchiveSource *source) {
        return report_refuse(source->report, UNPACK_CORRUPT, 0, NULL, 0);
}

/* libarchive's filters without its formats: "raw" gives the one unpacked stream. */
static int open_filter(ArchiveSource *source, int (*support)(struct archive *)) {
        struct archive_entry *entry;

        source->filter = archive_read_new();
        if (!source->filter)
                return -ENOMEM;
        if (support(source->filter) != ARCHIVE_OK ||
            archive_read_support_format_raw(source->filter) != ARCHIVE_OK)
                return -EOPNOTSUPP;
        if (archive_read_open(source->filter, source, NULL, filter_read, NULL) != ARCHIVE_OK ||
            archive_read_next_header(source->filter, &entry) != ARCHIVE_OK)
                return source->read_error < 0 ? source->read_error : corrupt(source);
        return 0;
}

static int open_gzip(ArchiveSource *source) {
        source->output = malloc(OUTPUT_SIZE);
        if (!source->output)
                return -ENOMEM;
        return gzip_stream_new(&source->gzip);
}

static bool starts_with(const ArchiveSource *source, const char *magic, size_t size) {
        return source->n_in >= size && memcmp(source->next_in, magic, size) == 0;
}

static int open_by_magic(ArchiveSource *source) {
        int r = 0;

        while (r == 0 && source->n_in < MAGIC_SIZE && !source->at_end)
                r = fill(source);
        if (r < 0)
                return r;

        if (starts_with(source, "\x1f\x8b", 2))
                return open_gzip(source);
        if (starts_with(source, "\xfd\x37zXZ\0", 6))
                return open_filter(source, archive_read_support_filter_xz);
        if (starts_with(source, "\x28\xb5\x2f\xfd", 4))
                return open_filter(source, archive_read_support_filter_zstd);
        return 0;
}

int archive_source_new(ArchiveSource **ret, int fd, UnpackReport *report, uint64_t max_ratio) {
        _cleanup_(archive_source_freep) ArchiveSource *source = NULL;
        struct stat st;
        int r;

        assert(ret);
        assert(report);

        source = calloc(1, sizeof(*source));
        if (!source)
                return -ENOMEM;
        source->fd = fd;
        source->report = report;
        source->max_ratio = max_ratio;
        source->input = malloc(INPUT_SIZE);
        if (!source->input)
                return -ENOMEM;
        source->next_in = source->input;
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
                source->size = (uint64_t)st.st_size;

        r = open_by_magic(source);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(source);
        return 0;
}

ArchiveSource *archive_source_free(ArchiveSource *source) {
        if (!source)
                return NULL;
        if (source->filter)
                (void)archive_read_free(source->filter);
        gzip_stream_free(source->gzip);
        free(source->output);
        free(source->input);
        free(source);
        return NULL;
}

static ssize_t read_plain(ArchiveSource *source, const void **ret) {
        size_t n;
        int r;

        r = fill_if_empty(source);
        if (r < 0)
                return r;
        *ret = source->next_in;
        n = source->n_in;
        source->n_in = 0;
        return (ssize_t)n;
}

static ssize_t read_gzip(ArchiveSource *source, const void **ret) {
        size_t n = 0;
        int r;

        while (n == 0) {
                r = fill_if_empty(source);
                if (r < 0)
                        return r;
                /* Also without input: output may be left from the input before. */
                r = gzip_stream_inflate(
                        source->gzip,
                        &source->next_in,
                        &source->n_in,
                        source->output,
                        OUTPUT_SIZE,
                        &n);
                if (r < 0)
                        return corrupt(source);
                if (n == 0 && source->n_in == 0 && source->at_end)
                        return gzip_stream_is_complete(source->gzip) ? 0 : corrupt(source);
        }
        *ret = source->output;
        return (ssize_t)n;
}

static ssize_t read_filter(ArchiveSource *source, const void **ret) {
        la_int64_t offset;
        size_t n;
        int r;

        r = archive_read_data_block(source->filter, ret, &n, &offset);
        if (r == ARCHIVE_EOF)
                return 0;
        if (r != ARCHIVE_OK)
                return source->read_error < 0 ? source->read_error : corrupt(source);
        return (ssize_t)n;
}

int archive_source_check_ratio(const ArchiveSource *source, uint64_t unpacked) {
        uint64_t read_so_far = source->report->counts.archive_bytes;
        uint64_t packed = source->size > read_so_far ? source->size : read_so_far;

        if (unpacked <= RATIO_FLOOR || unpacked / source->max_ratio <= packed)
                return 0;
        return report_refuse(source->report, UNPACK_RATIO, 0, NULL, 0);
}

ssize_t archive_source_read(ArchiveSource *source, const void **ret_data) {
        ssize_t n;
        int r;

        n = source->gzip     ? read_gzip(source, ret_data)
            : source->filter ? read_filter(source, ret_data)
                             : read_plain(source, ret_data);
        if (n < 0)
                return n;

        source->position += (uint64_t)n;
        r = archive_source_check_ratio(source, source->position);
        return r < 0 ? r : n;
}
