/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <isa-l/igzip_lib.h>

#include "image/gzip_stream.h"

#define RESERVED_FLAGS 0xe0 /* RFC 1952: must be zero */

typedef enum GzipPlace {
        GZIP_IN_MEMBER,
        GZIP_BEHIND_MEMBER, /* another member, padding, or the end */
        GZIP_IN_PADDING,
} GzipPlace;

struct GzipStream {
        struct inflate_state state;
        /* isal_inflate() would read the header too, but forgets half of it between two pieces. */
        struct isal_gzip_header header;
        GzipPlace place;
};

static void begin_member(GzipStream *stream) {
        stream->state.crc_flag = ISAL_GZIP; /* checks CRC and length behind */
        /* Its flags are looked at before all of the header has come; ISA-L sets them with it. */
        stream->header = (struct isal_gzip_header){0};
        isal_gzip_header_init(&stream->header);
        stream->place = GZIP_IN_MEMBER;
}

int gzip_stream_new(GzipStream **ret) {
        GzipStream *stream = calloc(1, sizeof(*stream));

        if (!stream)
                return -ENOMEM;

        isal_inflate_init(&stream->state);
        begin_member(stream);
        *ret = stream;
        return 0;
}

GzipStream *gzip_stream_free(GzipStream *stream) {
        free(stream);
        return NULL;
}

/* Decides by the next byte. Return: 0 or -EBADMSG. */
static int leave_member(GzipStream *stream, uint8_t next) {
        if (next == 0) {
                stream->place = GZIP_IN_PADDING;
                return 0;
        }
        if (next != 0x1f || stream->place == GZIP_IN_PADDING)
                return -EBADMSG;

        isal_inflate_reset(&stream->state);
        begin_member(stream);
        return 0;
}

int gzip_stream_inflate(
        GzipStream *stream, uint8_t **in, size_t *n_in, uint8_t *out, size_t n_out, size_t *ret_n) {
        struct inflate_state *state = &stream->state;
        size_t before = *n_in;

        assert(before <= UINT32_MAX && n_out <= UINT32_MAX);

        *ret_n = 0;
        while (stream->place != GZIP_IN_MEMBER) {
                if (*n_in == 0)
                        return 0;
                if (leave_member(stream, **in) < 0)
                        return -EBADMSG;
                if (stream->place == GZIP_IN_PADDING) {
                        (*in)++;
                        (*n_in)--;
                }
        }

        before = *n_in;
        state->next_in = *in;
        state->avail_in = (uint32_t)before;
        state->next_out = out;
        state->avail_out = (uint32_t)n_out;
        /* Above zero they only say how far they came, such as ISAL_END_INPUT. */
        if (!state->wrapper_flag && (isal_read_gzip_header(state, &stream->header) < 0 ||
                                     (stream->header.flags & RESERVED_FLAGS) != 0))
                return -EBADMSG;
        if (state->wrapper_flag && isal_inflate(state) < 0)
                return -EBADMSG;

        /* It takes all input that it can, so standing still is damage that it did not name. */
        if (state->avail_in == before && state->avail_out == n_out && before > 0 &&
            state->block_state != ISAL_BLOCK_FINISH)
                return -EBADMSG;

        *in += before - state->avail_in;
        *n_in = state->avail_in;
        *ret_n = n_out - state->avail_out;
        if (state->block_state == ISAL_BLOCK_FINISH)
                stream->place = GZIP_BEHIND_MEMBER;
        return 0;
}

bool gzip_stream_is_complete(const GzipStream *stream) {
        return stream->place != GZIP_IN_MEMBER;
}
