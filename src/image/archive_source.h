/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The bytes of a tar, whatever the archive is packed with: plain, gzip (ISA-L), xz or
 * zstd (libarchive). Counts what is read and refuses what unpacks to too much.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "image/unpack_report.h"

typedef struct ArchiveSource ArchiveSource;

/**
 * archive_source_new() - begin to read an archive
 * @ret:        owned by the caller
 * @fd:         the archive; borrowed, blocking or not
 * @report:     counts, progress and refusals; borrowed
 * @max_ratio:  unpacked to packed, from RATIO_FLOOR on
 *
 * Return: 0, -EBADMSG (refused), or a negative errno.
 */
int archive_source_new(ArchiveSource **ret, int fd, UnpackReport *report, uint64_t max_ratio)
        _must_check_;
ArchiveSource *archive_source_free(ArchiveSource *source);
DEFINE_CLEANUP(ArchiveSource, archive_source_free)

/* A short archive of a few zeroes is no bomb: bytes below which no ratio is looked at. */
#define RATIO_FLOOR (UINT64_C(1) << 20)

/**
 * archive_source_read() - the next bytes of the tar
 * @source:    source
 * @ret_data:  valid until the next call
 *
 * Return: how many, 0 at the end, -EBADMSG (refused), or a negative errno.
 */
ssize_t archive_source_read(ArchiveSource *source, const void **ret_data) _must_check_;

/* Refuses with UNPACK_RATIO if @unpacked is too much for what was read. Return: 0 or -EBADMSG. */
int archive_source_check_ratio(const ArchiveSource *source, uint64_t unpacked) _must_check_;
