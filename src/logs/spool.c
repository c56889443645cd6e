/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a spool is emptied, so that a kill between any two steps is harmless:
 *  - all done: truncate to the head, then write the head with base = done. In between
 *    the file is shorter than done says, which nothing else can bring about.
 *  - a part of a line is left: write a new file with a head and that part, and rename
 *    it over the old one.
 * Nothing is taken from the FIFO meanwhile.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "logs/spool.h"

#define OFFSET_MAX (UINT64_MAX / 2)         /* bytes; no dyno writes so much, and sums stay sums */
#define SPOOL_MAGIC UINT32_C(0x44594c53)    /* "DYLS" */
#define EMPTY_BYTES ((size_t)64 * 1024)     /* a file that is all done is emptied from here on */
#define REPLACE_BYTES ((size_t)1024 * 1024) /* one that is not is replaced from here on … */
#define REPLACE_LEFT ((size_t)16 * 1024)    /* … when no more than this is left: part of a line */

typedef struct SpoolHead {
        uint32_t magic;
        uint32_t reserved;
        uint64_t base; /* offset of the byte behind the head */
        uint64_t done; /* all before it is in the history */
} SpoolHead;

struct Spool {
        int dir_fd;
        int fd;
        char *name;
        uint64_t base, done, end; /* offsets: first byte in the file, first not done, next taken */
        bool stale;               /* the head could not be written: nothing may be taken */
};

static off_t file_offset(const Spool *spool, uint64_t offset) {
        return (off_t)(sizeof(SpoolHead) + (offset - spool->base));
}

/* 24 bytes in one page: a kill leaves the old head or the new one. */
static int write_head(Spool *spool) {
        SpoolHead head = {.magic = SPOOL_MAGIC, .base = spool->base, .done = spool->done};
        ssize_t n;

        spool->stale = true;
        do
                n = pwrite(spool->fd, &head, sizeof(head), 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        if (n != sizeof(head))
                return -ENOSPC;
        spool->stale = false;
        return 0;
}

static int read_head(Spool *spool) {
        SpoolHead head;
        struct stat st;
        uint64_t size;
        ssize_t n;

        if (fstat(spool->fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADMSG;

        /* New, or we were killed while its first head was written: nothing was taken yet. */
        if (st.st_size < (off_t)sizeof(head)) {
                if (ftruncate(spool->fd, 0) < 0)
                        return -errno;
                return write_head(spool);
        }

        n = pread(spool->fd, &head, sizeof(head), 0);
        if (n < 0)
                return -errno;
        if (n != sizeof(head) || head.magic != SPOOL_MAGIC || head.done < head.base ||
            head.done > OFFSET_MAX)
                return -EBADMSG;

        size = (uint64_t)st.st_size - sizeof(head);
        spool->base = head.base;
        spool->done = head.done;
        spool->end = head.base + size;
        if (spool->done > spool->end) {
                /* Emptied, but its head not yet written: only done by an emptied file. */
                if (size != 0)
                        return -EBADMSG;
                spool->base = spool->end = spool->done;
                return write_head(spool);
        }
        return 0;
}

int spool_open(Spool **ret, int dir_fd, const char *name) {
        _cleanup_(spool_freep) Spool *spool = NULL;
        int r;

        assert(ret);
        assert(dir_fd >= 0);
        assert(name);

        spool = calloc(1, sizeof(*spool));
        if (!spool)
                return -ENOMEM;
        spool->fd = -EBADF;
        spool->dir_fd = dir_fd;
        spool->name = strdup(name);
        if (!spool->name)
                return -ENOMEM;

        spool->fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (spool->fd < 0)
                return -errno;
        r = read_head(spool);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(spool);
        return 0;
}

Spool *spool_free(Spool *spool) {
        if (!spool)
                return NULL;

        spool->fd = safe_close(spool->fd);
        free(spool->name);
        free(spool);
        return NULL;
}

void spool_remove(Spool *spool) {
        (void)unlinkat(spool->dir_fd, spool->name, 0); /* left behind, it is all done */
}

int spool_take(Spool *spool, int fifo, size_t max, size_t *ret_size) {
        off_t offset = file_offset(spool, spool->end);
        ssize_t n;

        assert(max > 0);

        if (spool_pending(spool) >= SPOOL_BYTES)
                return SPOOL_E_FULL;
        if (spool->stale) {
                int r = write_head(spool);

                if (r < 0)
                        return r;
        }

        do
                n = splice(fifo, NULL, spool->fd, &offset, max, SPLICE_F_NONBLOCK);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? SPOOL_E_EMPTY : -errno;
        if (n == 0)
                return SPOOL_E_END;

        spool->end += (uint64_t)n;
        *ret_size = (size_t)n;
        return 0;
}

uint64_t spool_done(const Spool *spool) {
        return spool->done;
}

uint64_t spool_pending(const Spool *spool) {
        return spool->end - spool->done;
}

ssize_t spool_read(const Spool *spool, char *buf, size_t size) {
        uint64_t pending = spool_pending(spool);
        ssize_t n;

        if (size > pending)
                size = (size_t)pending;
        if (size == 0)
                return 0;

        do
                n = pread(spool->fd, buf, size, file_offset(spool, spool->done));
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

static int empty(Spool *spool) {
        if (ftruncate(spool->fd, sizeof(SpoolHead)) < 0)
                return -errno;
        spool->base = spool->done;
        return write_head(spool);
}

static int replace(Spool *spool) {
        SpoolHead head = {.magic = SPOOL_MAGIC, .base = spool->done, .done = spool->done};
        char data[sizeof(head) + REPLACE_LEFT];
        _cleanup_close_ int fd = -EBADF;
        uint64_t left = spool_pending(spool);
        ssize_t n;
        int r;

        assert(left <= REPLACE_LEFT);

        memcpy(data, &head, sizeof(head));
        n = spool_read(spool, data + sizeof(head), REPLACE_LEFT);
        if (n < 0)
                return (int)n;
        if ((uint64_t)n != left)
                return -EIO;

        r = file_replace_at(
                spool->dir_fd,
                spool->name,
                data,
                sizeof(head) + (size_t)left,
                0600,
                FILE_SYNC_NONE);
        if (r < 0)
                return r;

        fd = openat(spool->dir_fd, spool->name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        (void)safe_close(spool->fd);
        spool->fd = TAKE_FD(fd);
        spool->base = spool->done;
        return 0;
}

static int reclaim(Spool *spool) {
        uint64_t size = spool->end - spool->base;

        if (spool->done == spool->end && size >= EMPTY_BYTES)
                return empty(spool);
        if (size >= REPLACE_BYTES && spool_pending(spool) <= REPLACE_LEFT)
                return replace(spool);
        return 0;
}

int spool_commit(Spool *spool, uint64_t done) {
        int r;

        assert(done >= spool->done && done <= spool->end);

        if (done == spool->done)
                return 0;
        spool->done = done;
        r = write_head(spool);
        return r < 0 ? r : reclaim(spool);
}

int spool_redo(Spool *spool, uint64_t done) {
        if (done <= spool->done)
                return 0;
        if (done <= spool->end)
                return spool_commit(spool, done);
        if (done > OFFSET_MAX) /* not to be believed: the dyno's lines go on */
                return 0;

        /*
         * The history knows more than the file: a dyno that was over was found again, or
         * a power failure kept the one and not the other. All that is here is stored.
         */
        spool->done = spool->end = done;
        return empty(spool);
}
