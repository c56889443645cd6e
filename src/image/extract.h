/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reading a tar and making its tree: the rules for entries, for stacks and for slugs alike. */

#include "image/unpack_report.h"
#include "image/unpack_spawn.h"

typedef enum ExtractKind {
        EXTRACT_STACK,
        EXTRACT_SLUG,
} ExtractKind;

typedef struct ExtractResult {
        uint64_t outside_app; /* entries that are neither ./app nor below it */
} ExtractResult;

/**
 * extract_tree() - make the tree of an archive
 * @archive_fd:  the archive; read to its end
 * @root_fd:     empty folder, O_PATH
 * @kind:        which rules
 * @limits:      see there
 * @report:      counts and refusals
 * @ret:         filled on success
 *
 * Return: 0, -EBADMSG (refused), or a negative errno.
 */
int extract_tree(
        int archive_fd,
        int root_fd,
        ExtractKind kind,
        const UnpackLimits *limits,
        UnpackReport *report,
        ExtractResult *ret) _must_check_;
