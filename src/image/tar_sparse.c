/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include <string.h>

#include "image/tar_sparse.h"

#define BLOCK 512
#define CHUNKS_MAX ((uint64_t)1 << 20) /* of one file: libarchive keeps 48 bytes for each */

typedef enum SparseKey {
        KEY_MAJOR = 1 << 0,
        KEY_MINOR = 1 << 1,
        KEY_REALSIZE = 1 << 2,
        KEY_SIZE = 1 << 3,
        KEY_NUMBLOCKS = 1 << 4,
        KEY_MAP = 1 << 5,
        KEY_OFFSET = 1 << 6,
        KEY_NUMBYTES = 1 << 7,
        KEY_NAME = 1 << 8,
} SparseKey;

static const struct {
        const char *name;
        SparseKey key;
} key_names[] = {
        {"major", KEY_MAJOR},
        {"minor", KEY_MINOR},
        {"realsize", KEY_REALSIZE},
        {"size", KEY_SIZE},
        {"numblocks", KEY_NUMBLOCKS},
        {"map", KEY_MAP},
        {"offset", KEY_OFFSET},
        {"numbytes", KEY_NUMBYTES},
        {"name", KEY_NAME},
};

size_t tar_take_digits(const char *value, size_t size, uint64_t *ret) {
        size_t i = 0;

        *ret = 0;
        for (; i < size && i < TAR_DIGITS_MAX && isdigit((unsigned char)value[i]); i++)
                *ret = *ret * 10 + (uint64_t)(value[i] - '0');
        return i;
}

bool tar_sparse_add(TarSparse *sparse, uint64_t offset, uint64_t size) {
        if (sparse->n_chunks == CHUNKS_MAX || offset < sparse->end || offset > INT64_MAX ||
            size > INT64_MAX - offset)
                return false;
        /* GNU tar begins each chunk in a block of its own, libarchive does not. */
        if (size > 0 && sparse->is_ragged)
                return false;
        if (size > 0)
                sparse->is_ragged = size % BLOCK != 0;
        sparse->n_chunks++;
        sparse->bytes += size;
        sparse->end = offset + size;
        return true;
}

bool tar_sparse_is_whole(const TarSparse *sparse, uint64_t body) {
        /* Where the last chunk ends, GNU tar ends the file; libarchive believes the size. */
        return sparse->n_chunks > 0 && sparse->bytes == body && sparse->end == sparse->real_size;
}

/* "offset,size,offset,size" */
static bool take_map(TarSparse *sparse, const char *value, size_t size) {
        while (size > 0) {
                uint64_t pair[2];

                for (size_t i = 0; i < ARRAY_SIZE(pair); i++) {
                        size_t n = tar_take_digits(value, size, &pair[i]);

                        if (n == 0 || (n < size && value[n] != ','))
                                return false;
                        /* A comma has something behind it. */
                        if (n < size && n + 1 == size)
                                return false;
                        if (i == 0 && n == size)
                                return false;
                        n += n < size ? 1 : 0;
                        value += n;
                        size -= n;
                }
                if (!tar_sparse_add(sparse, pair[0], pair[1]))
                        return false;
        }
        return true;
}

static bool take_number(TarSparse *sparse, SparseKey key, uint64_t number) {
        switch (key) {
        case KEY_MAJOR:
                return number == 1;
        case KEY_MINOR:
                return number == 0;
        case KEY_REALSIZE:
        case KEY_SIZE:
                sparse->real_size = number;
                return true;
        case KEY_NUMBLOCKS:
                sparse->n_promised = number;
                return true;
        case KEY_OFFSET:
                if (!(sparse->keys & KEY_NUMBLOCKS) || sparse->has_offset)
                        return false;
                sparse->offset = number;
                sparse->has_offset = true;
                return true;
        case KEY_NUMBYTES:
                if (!sparse->has_offset)
                        return false;
                sparse->has_offset = false;
                return tar_sparse_add(sparse, sparse->offset, number);
        case KEY_MAP:
        case KEY_NAME:
                break;
        }
        return false;
}

bool tar_sparse_take(
        TarSparse *sparse, const char *key, size_t key_size, const char *value, size_t size) {
        uint64_t number;

        for (size_t i = 0; i < ARRAY_SIZE(key_names); i++) {
                SparseKey which = key_names[i].key;

                if (strlen(key_names[i].name) != key_size ||
                    memcmp(key, key_names[i].name, key_size) != 0)
                        continue;
                if (sparse->keys & which & ~(unsigned)(KEY_OFFSET | KEY_NUMBYTES))
                        return false;
                sparse->keys |= which;
                if (which == KEY_NAME)
                        return true;
                if (which == KEY_MAP)
                        return sparse->keys & KEY_NUMBLOCKS && take_map(sparse, value, size);
                return size > 0 && tar_take_digits(value, size, &number) == size &&
                       take_number(sparse, which, number);
        }
        return false;
}

TarSparseForm tar_sparse_form(const TarSparse *sparse) {
        switch (sparse->keys & ~(unsigned)KEY_NAME) {
        case 0:
                return sparse->keys == 0 ? TAR_SPARSE_NONE : TAR_SPARSE_BROKEN;
        case KEY_SIZE | KEY_NUMBLOCKS | KEY_OFFSET | KEY_NUMBYTES:
        case KEY_SIZE | KEY_NUMBLOCKS | KEY_MAP:
                return sparse->n_promised == sparse->n_chunks && !sparse->has_offset
                               ? TAR_SPARSE_IN_RECORDS
                               : TAR_SPARSE_BROKEN;
        case KEY_MAJOR | KEY_MINOR | KEY_REALSIZE:
                return TAR_SPARSE_IN_BODY;
        default:
                return TAR_SPARSE_BROKEN;
        }
}

/* A line of the map is complete: first the number of chunks, then offset and size of each. */
static bool take_line(TarSparse *sparse) {
        uint64_t number = sparse->number;

        if (sparse->n_digits == 0)
                return false;
        sparse->number = sparse->n_digits = 0;
        if (!sparse->has_count) {
                sparse->has_count = true;
                sparse->n_numbers = 2 * number;
                return number > 0 && number <= CHUNKS_MAX;
        }
        sparse->n_numbers--;
        if (sparse->n_numbers % 2 == 1) {
                sparse->offset = number;
                return true;
        }
        return tar_sparse_add(sparse, sparse->offset, number);
}

size_t tar_sparse_read_map(TarSparse *sparse, const uint8_t *data, size_t size, bool *ret_done) {
        *ret_done = false;
        for (size_t i = 0; i < size; i++) {
                if (data[i] == '\n') {
                        if (!take_line(sparse))
                                return 0;
                        *ret_done = sparse->n_numbers == 0;
                } else {
                        if (!isdigit(data[i]) || ++sparse->n_digits > TAR_DIGITS_MAX)
                                return 0;
                        sparse->number = sparse->number * 10 + (uint64_t)(data[i] - '0');
                }
                sparse->map_size++;
                if (*ret_done)
                        return i + 1;
        }
        return size;
}
