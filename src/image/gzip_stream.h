/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inflating gzip with ISA-L, several members after one another as gzip(1) reads them.
 * No system calls.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct GzipStream GzipStream;

int gzip_stream_new(GzipStream **ret) _must_check_; /* 0 or -ENOMEM */
GzipStream *gzip_stream_free(GzipStream *stream);
DEFINE_CLEANUP(GzipStream, gzip_stream_free)

/**
 * gzip_stream_inflate() - inflate what fits
 * @stream:  stream
 * @in:      moved behind what was used
 * @n_in:    bytes at *@in, lowered by what was used
 * @out:     filled
 * @n_out:   size of @out
 * @ret_n:   bytes written; 0 with *@n_in 0 means that more input is needed
 *
 * Zeroes behind the last member are padding, as of a tape; anything else there is
 * damage (gzip and GNU tar end with an error too).
 *
 * Return: 0 or -EBADMSG.
 */
int gzip_stream_inflate(
        GzipStream *stream, uint8_t **in, size_t *n_in, uint8_t *out, size_t n_out, size_t *ret_n)
        _must_check_;

/* True if the input may end here: at the end of a member. */
bool gzip_stream_is_complete(const GzipStream *stream);
