/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files are switched at SEGMENT_BYTES or SEGMENT_LINES, and the oldest goes when the
 * others still hold HISTORY_LINES, or when HISTORY_BYTES would be exceeded. The file with
 * the last batch is never removed: spools are recovered from it.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/file.h"
#include "base/parse.h"
#include "logs/history.h"

#define SEGMENT_BYTES ((size_t)256 * 1024)
#define SEGMENT_LINES 1500
/* 4 MB of files of 256 KB, and room for files that were switched early by lines. */
#define SEGMENTS_MAX 64
#define SEGMENT_PREFIX "history."
#define SEGMENT_NAME_SIZE 32

#define BATCH_MAGIC UINT32_C(0x44594c42) /* "DYLB" */

typedef struct Batch {
        uint32_t magic;
        uint32_t size; /* bytes of records behind the head */
        uint32_t n_records;
        uint32_t source;
        uint64_t done;
        char id[DYNO_ID_SIZE];
} Batch;

typedef struct Segment {
        uint64_t number;
        size_t size;  /* bytes */
        size_t lines; /* SIZE_MAX: not counted yet */
} Segment;

struct History {
        int dir_fd;
        int fd;                         /* the newest segment, or -EBADF if there is none */
        Segment segments[SEGMENTS_MAX]; /* oldest first */
        size_t n_segments;
        HistoryCommit last;
        uint64_t last_usec;
};

static void segment_name(uint64_t number, char ret[SEGMENT_NAME_SIZE]) {
        (void)snprintf(ret, SEGMENT_NAME_SIZE, SEGMENT_PREFIX "%" PRIu64, number);
}

static int segment_open(const History *history, uint64_t number, int flags) {
        char name[SEGMENT_NAME_SIZE];
        int fd;

        segment_name(number, name);
        fd = openat(history->dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
        return fd < 0 ? -errno : fd;
}

/* Reads a whole segment; 0 bytes of it are an empty buffer, not NULL. */
static int segment_read(int fd, char **ret, size_t *ret_size) {
        _cleanup_free_ char *data = NULL;
        struct stat st;
        size_t have = 0;

        if (fstat(fd, &st) < 0)
                return -errno;
        if ((uint64_t)st.st_size > HISTORY_BYTES)
                return -EFBIG; /* none of ours is so large */
        data = malloc((size_t)st.st_size + 1);
        if (!data)
                return -ENOMEM;

        while (have < (size_t)st.st_size) {
                ssize_t n = pread(fd, data + have, (size_t)st.st_size - have, (off_t)have);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                have += (size_t)n;
        }

        *ret = TAKE_PTR(data);
        *ret_size = have;
        return 0;
}

/* Size of the batch at @data with its records; 0 if there is no whole and valid one. */
static size_t batch_next(const char *data, size_t size, Batch *ret, uint64_t *ret_usec) {
        size_t pos = sizeof(*ret);

        if (size < sizeof(*ret))
                return 0;
        memcpy(ret, data, sizeof(*ret));
        if (ret->magic != BATCH_MAGIC || ret->size > size - sizeof(*ret) ||
            !field_is_clean(ret->id, sizeof(ret->id)))
                return 0;

        for (uint32_t i = 0; i < ret->n_records; i++) {
                LogRecord record;
                size_t n = record_next(data + pos, sizeof(*ret) + ret->size - pos, &record);

                if (n == 0)
                        return 0;
                *ret_usec = record.usec;
                pos += n;
        }
        return pos == sizeof(*ret) + ret->size ? pos : 0;
}

/* Goes through a segment. @history: also learn its last commit and time, NULL for not. */
static size_t segment_scan(History *history, const char *data, size_t size, size_t *ret_lines) {
        uint64_t usec = 0;
        size_t pos = 0;

        *ret_lines = 0;
        while (pos < size) {
                Batch batch;
                size_t n = batch_next(data + pos, size - pos, &batch, &usec);

                if (n == 0)
                        break;
                pos += n;
                *ret_lines += batch.n_records;
                if (history && batch.id[0] != '\0') {
                        field_set(history->last.id, sizeof(history->last.id), batch.id);
                        history->last.source = batch.source;
                        history->last.done = batch.done;
                }
        }
        if (history && usec > history->last_usec)
                history->last_usec = usec;
        return pos;
}

static int compare_segments(const void *a, const void *b) {
        const Segment *x = a, *y = b;

        return x->number < y->number ? -1 : x->number > y->number;
}

static void remove_segment(const History *history, uint64_t number) {
        char name[SEGMENT_NAME_SIZE];

        /* If it fails the file is counted again at the next start, and goes then. */
        segment_name(number, name);
        (void)unlinkat(history->dir_fd, name, 0);
}

static void drop_oldest(History *history) {
        remove_segment(history, history->segments[0].number);
        history->n_segments--;
        memmove(history->segments,
                history->segments + 1,
                history->n_segments * sizeof(history->segments[0]));
}

static int find_segments(History *history) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r;

        r = dir_open_at(history->dir_fd, ".", &dir);
        if (r < 0)
                return r;
        assert(dir);

        while ((entry = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): one thread */
                Segment segment = {.lines = SIZE_MAX};
                struct stat st;

                if (strncmp(entry->d_name, SEGMENT_PREFIX, strlen(SEGMENT_PREFIX)) != 0 ||
                    parse_u64(entry->d_name + strlen(SEGMENT_PREFIX), &segment.number) < 0)
                        continue;
                if (fstatat(history->dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return -errno;
                segment.size = (size_t)st.st_size;

                if (history->n_segments == SEGMENTS_MAX)
                        return -E2BIG;
                history->segments[history->n_segments++] = segment;
        }

        qsort(history->segments,
              history->n_segments,
              sizeof(history->segments[0]),
              compare_segments);
        return 0;
}

/* Reads segment @i, learns from it, and cuts it behind its last whole batch if asked to. */
static int learn_segment(History *history, size_t i, bool newest) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *data = NULL;
        Segment *segment = &history->segments[i];
        size_t size, good;
        int r;

        fd = segment_open(history, segment->number, newest ? O_RDWR : O_RDONLY);
        if (fd < 0)
                return fd;
        r = segment_read(fd, &data, &size);
        if (r < 0)
                return r;

        good = segment_scan(history, data, size, &segment->lines);
        if (newest) {
                if (good < size && ftruncate(fd, (off_t)good) < 0)
                        return -errno;
                segment->size = good;
                history->fd = TAKE_FD(fd);
        }
        return 0;
}

int history_open(History **ret, int dir_fd) {
        _cleanup_(history_freep) History *history = NULL;
        int r;

        assert(ret);
        assert(dir_fd >= 0);

        history = calloc(1, sizeof(*history));
        if (!history)
                return -ENOMEM;
        history->dir_fd = dir_fd;
        history->fd = -EBADF;

        r = find_segments(history);
        if (r < 0)
                return r;

        /* The newest may be empty, if we were killed between its making and its first batch. */
        for (size_t i = history->n_segments; i > 0; i--) {
                r = learn_segment(history, i - 1, i == history->n_segments);
                if (r < 0)
                        return r;
                if (history->segments[i - 1].lines > 0)
                        break;
        }

        *ret = TAKE_PTR(history);
        return 0;
}

History *history_free(History *history) {
        if (!history)
                return NULL;

        history->fd = safe_close(history->fd);
        free(history);
        return NULL;
}

const HistoryCommit *history_last_commit(const History *history) {
        return &history->last;
}

uint64_t history_last_usec(const History *history) {
        return history->last_usec;
}

/* Lines of all segments but the oldest; those never looked at are counted now. */
static int count_younger(History *history, size_t *ret_lines) {
        *ret_lines = 0;
        for (size_t i = 1; i < history->n_segments; i++) {
                Segment *segment = &history->segments[i];

                if (segment->lines == SIZE_MAX) {
                        _cleanup_close_ int fd = -EBADF;
                        _cleanup_free_ char *data = NULL;
                        size_t size;
                        int r;

                        fd = segment_open(history, segment->number, O_RDONLY);
                        if (fd < 0)
                                return fd;
                        r = segment_read(fd, &data, &size);
                        if (r < 0)
                                return r;
                        (void)segment_scan(NULL, data, size, &segment->lines);
                }
                *ret_lines += segment->lines;
        }
        return 0;
}

static int begin_segment(History *history) {
        uint64_t number = 1;
        size_t lines;
        int fd, r;

        if (history->n_segments > 0)
                number = history->segments[history->n_segments - 1].number + 1;

        while (history->n_segments > 1) {
                r = count_younger(history, &lines);
                if (r < 0)
                        return r;
                if (lines < HISTORY_LINES && history->n_segments < SEGMENTS_MAX)
                        break;
                drop_oldest(history);
        }

        fd = segment_open(history, number, O_RDWR | O_CREAT | O_TRUNC);
        if (fd < 0)
                return fd;
        history->fd = safe_close(history->fd);
        history->fd = fd;
        history->segments[history->n_segments++] = (Segment){.number = number};
        return 0;
}

/* Room for @size bytes more, at the end of a segment that is not full. */
static int make_room(History *history, size_t size) {
        Segment *newest = NULL;
        size_t total = 0;
        int r;

        if (history->n_segments > 0)
                newest = &history->segments[history->n_segments - 1];
        if (!newest || newest->size >= SEGMENT_BYTES || newest->lines >= SEGMENT_LINES) {
                r = begin_segment(history);
                if (r < 0)
                        return r;
        }

        for (size_t i = 0; i < history->n_segments; i++)
                total += history->segments[i].size;
        while (total + size > HISTORY_BYTES && history->n_segments > 2) {
                total -= history->segments[0].size;
                drop_oldest(history);
        }
        return 0;
}

int history_append(History *history, const HistoryCommit *commit, const RecordBuffer *records) {
        Batch batch = {.magic = BATCH_MAGIC};
        struct iovec iov[2] = {{&batch, sizeof(batch)}, {records->data, records->size}};
        size_t total = sizeof(batch) + records->size;
        Segment *newest;
        ssize_t n;
        int r;

        assert(history);
        assert(records->size <= HISTORY_BATCH_BYTES + sizeof(LogRecord) + LOG_TEXT_MAX);

        batch.size = (uint32_t)records->size;
        batch.n_records = (uint32_t)records->n;
        if (commit) {
                field_set(batch.id, sizeof(batch.id), commit->id);
                batch.source = commit->source;
                batch.done = commit->done;
        }

        r = make_room(history, total);
        if (r < 0)
                return r;
        newest = &history->segments[history->n_segments - 1];

        do
                n = pwritev(history->fd, iov, records->size > 0 ? 2 : 1, (off_t)newest->size);
        while (n < 0 && errno == EINTR);
        if (n != (ssize_t)total) {
                r = n < 0 ? -errno : -ENOSPC;
                /* If this fails, too, the next batch overwrites what is there. */
                (void)!ftruncate(history->fd, (off_t)newest->size);
                return r;
        }

        newest->size += total;
        newest->lines += records->n;
        if (commit)
                history->last = *commit;
        if (records->n > 0) {
                LogRecord record; /* all of a batch were read at one time */

                memcpy(&record, records->data, sizeof(record));
                history->last_usec = record.usec;
        }
        return 0;
}

/* Appends the records of one segment to @buffer, under the app's present name. */
static int
collect_segment(const History *history, uint64_t number, const char *app, RecordBuffer *buffer) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *data = NULL;
        size_t size = 0, pos = 0;
        int r;

        fd = segment_open(history, number, O_RDONLY);
        if (fd < 0)
                return fd;
        r = segment_read(fd, &data, &size);
        if (r < 0)
                return r;

        while (pos < size) {
                uint64_t usec;
                Batch batch;
                size_t n = batch_next(data + pos, size - pos, &batch, &usec);

                if (n == 0)
                        break;
                for (size_t at = pos + sizeof(batch); at < pos + n;) {
                        LogRecord record;
                        size_t step = record_next(data + at, pos + n - at, &record);

                        field_set(record.app, sizeof(record.app), app);
                        r = record_buffer_add(buffer, &record, data + at + sizeof(record));
                        if (r < 0)
                                return r;
                        at += step;
                }
                pos += n;
        }
        return 0;
}

int history_read(History *history, size_t max_lines, const char *app, RecordBuffer *buffer) {
        _cleanup_records_ RecordBuffer all = {0};
        size_t first = 0;
        int r;

        assert(history);
        assert(app && buffer);

        /* Segments that were counted need not be read if younger ones hold enough. */
        for (size_t lines = 0, i = history->n_segments; i > 0; i--) {
                if (lines >= max_lines) {
                        first = i;
                        break;
                }
                if (history->segments[i - 1].lines != SIZE_MAX)
                        lines += history->segments[i - 1].lines;
        }

        for (size_t i = first; i < history->n_segments; i++) {
                r = collect_segment(history, history->segments[i].number, app, &all);
                if (r < 0)
                        return r;
        }

        if (all.n > max_lines)
                record_buffer_drop_first(&all, all.n - max_lines);
        return record_buffer_append(buffer, all.data, all.size, all.n);
}
