/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as gzip: damage is seen, and the pieces in which input comes and output goes
 * make no difference. The first two bytes are their sizes.
 *
 * Covers: image/gzip_stream.c
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image/gzip_stream.h"

#define OUT_MAX ((size_t)1 << 20) /* a bomb is cut here, as the unpacker's limits do */

typedef struct Result {
        uint8_t *data;
        size_t size;
        bool damaged, complete;
} Result;

static void
inflate(Result *ret, const uint8_t *data, size_t size, size_t step_in, size_t step_out) {
        _cleanup_(gzip_stream_freep) GzipStream *stream = NULL;
        _cleanup_free_ uint8_t *copy = malloc(size + 1);
        uint8_t *in = copy;

        *ret = (Result){.data = malloc(OUT_MAX)};
        if (!copy || !ret->data || gzip_stream_new(&stream) < 0)
                abort();
        memcpy(copy, data, size);
        while (ret->size < OUT_MAX) {
                size_t left = size - (size_t)(in - copy), n_in = left < step_in ? left : step_in;
                size_t room = OUT_MAX - ret->size, offered = n_in, n = 0;

                if (gzip_stream_inflate(
                            stream,
                            &in,
                            &n_in,
                            ret->data + ret->size,
                            room < step_out ? room : step_out,
                            &n) < 0) {
                        ret->damaged = true;
                        return;
                }
                assert(n <= room && n <= step_out && n_in <= offered);
                ret->size += n;
                if (n == 0 && n_in == 0 && offered == left)
                        break;                   /* all was taken, and nothing more comes of it */
                assert(n > 0 || n_in < offered); /* it gets on */
        }
        ret->complete = gzip_stream_is_complete(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Result whole, pieces;

        if (size < 2)
                return 0;
        inflate(&whole, data + 2, size - 2, size, 65536);
        inflate(&pieces, data + 2, size - 2, data[0] + 1U, (data[1] + 1U) * 16);
        if (!whole.damaged && !pieces.damaged && whole.size < OUT_MAX) {
                assert(whole.size == pieces.size && whole.complete == pieces.complete);
                assert(memcmp(whole.data, pieces.data, whole.size) == 0);
        }
        /* Whether a damaged end is called damage or the want of an end depends on the pieces. */
        assert(whole.size == OUT_MAX || pieces.size == OUT_MAX ||
               (whole.damaged || !whole.complete) == (pieces.damaged || !pieces.complete));
        free(whole.data);
        free(pieces.data);
        return 0;
}
