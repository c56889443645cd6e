/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <poll.h>

#include "base/file.h"
#include "image/fetch.h"

_Static_assert(SHA256_DIGEST_SIZE == DIGEST_SIZE, "a digest is a SHA-256");

#define CHUNK_SIZE ((size_t)256 * 1024)    /* bytes per read(2): stays in the cache for the hash */
#define WRITEBACK_SIZE (UINT64_C(8) << 20) /* bytes after which the disk is set going */

static ssize_t read_some(int fd, uint8_t *buf, size_t size) {
        for (;;) {
                struct pollfd pfd = {.fd = fd, .events = POLLIN};
                ssize_t n = read(fd, buf, size);

                if (n >= 0)
                        return n;
                if (errno == EAGAIN && poll(&pfd, 1, -1) < 0 && errno != EINTR)
                        return -errno;
                if (errno != EINTR && errno != EAGAIN)
                        return -errno;
        }
}

int fetch_archive(
        int in_fd, int out_fd, uint64_t max_bytes, UnpackReport *report, FetchRecord *ret) {
        _cleanup_free_ uint8_t *buf = malloc(CHUNK_SIZE);
        uint64_t bytes = 0, started = 0;
        struct sha256_ctx hash;
        ssize_t n;
        int r;

        assert(ret);

        if (!buf)
                return -ENOMEM;

        sha256_init(&hash);
        while ((n = read_some(in_fd, buf, CHUNK_SIZE)) > 0) {
                bytes += (uint64_t)n;
                if (max_bytes > 0 && bytes > max_bytes)
                        return report_refuse(report, UNPACK_TOO_LARGE, 0, NULL, 0);
                sha256_update(&hash, (size_t)n, buf);
                r = write_all(out_fd, buf, (size_t)n);
                if (r < 0)
                        return r;
                /* Only a hint: the fsync(2) at the end then finds most of it done. */
                if (bytes - started >= WRITEBACK_SIZE) {
                        (void)sync_file_range(
                                out_fd,
                                (off_t)started,
                                (off_t)(bytes - started),
                                SYNC_FILE_RANGE_WRITE);
                        started = bytes;
                }
                report->counts.archive_bytes = bytes;
                report_progress(report);
        }
        if (n < 0)
                return (int)n;

        ret->bytes = bytes;
        sha256_digest(&hash, sizeof(ret->digest), ret->digest);
        return 0;
}
