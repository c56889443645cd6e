/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A set of paths. */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct PathSet {
        void *root; /* of tsearch(3) */
        uint64_t bytes_left;
} PathSet;

/* Return: 0, -ENOMEM, or -E2BIG: it would take more than bytes_left. */
int path_set_add(PathSet *set, const char *path) _must_check_;
bool path_set_has(const PathSet *set, const char *path);
void path_set_clear(PathSet *set);
