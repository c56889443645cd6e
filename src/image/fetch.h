/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "image/unpack_report.h"

/**
 * fetch_archive() - copy an archive and hash it
 * @in_fd:      a client's descriptor: a file, pipe or socket
 * @out_fd:     written from its start
 * @max_bytes:  0 for no limit
 * @report:     counts and refusals
 * @ret:        filled on success
 *
 * Return: 0, -EBADMSG (refused), or a negative errno.
 */
int fetch_archive(int in_fd, int out_fd, uint64_t max_bytes, UnpackReport *report, FetchRecord *ret)
        _must_check_;
