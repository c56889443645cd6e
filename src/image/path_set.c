/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <search.h>
#include <string.h>

#include "image/path_set.h"

#define NODE_BYTES 64 /* of tsearch(3) and malloc(3) for each, rounded up */

static int compare(const void *a, const void *b) {
        return strcmp(a, b);
}

bool path_set_has(const PathSet *set, const char *path) {
        return tfind(path, &set->root, compare) != NULL;
}

int path_set_add(PathSet *set, const char *path) {
        size_t size = strlen(path) + 1 + NODE_BYTES;
        char *copy;

        if (path_set_has(set, path))
                return 0;
        if (size > set->bytes_left)
                return -E2BIG;
        copy = strdup(path);
        if (!copy || !tsearch(copy, &set->root, compare)) {
                free(copy);
                return -ENOMEM;
        }
        set->bytes_left -= size;
        return 0;
}

void path_set_clear(PathSet *set) {
        tdestroy(set->root, free);
        set->root = NULL;
}
