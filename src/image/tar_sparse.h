/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The map of a sparse file: where in it the bytes of the entry's body belong.
 *
 * There are four ways to write it (GNU's old one, and 0.0, 0.1 and 1.0 of pax), and readers
 * differ as soon as one is mixed with another, or a map leaves anything open. So only whole
 * maps pass: sorted, of the body's size together, and ending where the file ends.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define TAR_DIGITS_MAX 18 /* of a decimal number: less than 63 bits */

typedef enum TarSparseForm {
        TAR_SPARSE_NONE,
        TAR_SPARSE_IN_RECORDS, /* 0.0 and 0.1: the map is complete */
        TAR_SPARSE_IN_BODY,    /* 1.0: the map comes first in the body */
        TAR_SPARSE_BROKEN,
} TarSparseForm;

typedef struct TarSparse {
        unsigned keys;      /* SparseKey bits that were seen */
        uint64_t real_size; /* bytes of the file */
        uint64_t n_promised;
        uint64_t n_chunks;
        uint64_t end;    /* of the last chunk */
        uint64_t bytes;  /* of all chunks */
        uint64_t offset; /* 0.0: of the chunk whose size comes next */
        bool has_offset;
        bool is_ragged; /* the last chunk ends within a block */

        bool has_count; /* 1.0: the number of chunks is read */
        uint64_t n_numbers;
        uint64_t number;
        unsigned n_digits;
        uint64_t map_size;
} TarSparse;

/* Return: digits taken, up to TAR_DIGITS_MAX. */
size_t tar_take_digits(const char *value, size_t size, uint64_t *ret);

/* @key: behind "GNU.sparse.". False: it does not fit what came before. */
bool tar_sparse_take(
        TarSparse *sparse, const char *key, size_t key_size, const char *value, size_t size);

/* What the records make together. */
TarSparseForm tar_sparse_form(const TarSparse *sparse);

/* False: it is not one more of a map that all read alike. */
bool tar_sparse_add(TarSparse *sparse, uint64_t offset, uint64_t size);

/**
 * tar_sparse_read_map() - the next bytes of a map in the body
 * @sparse:    map
 * @data:      bytes
 * @size:      how many
 * @ret_done:  true: the map ends with what was taken
 *
 * Return: bytes taken, 0 if it is no map.
 */
size_t tar_sparse_read_map(TarSparse *sparse, const uint8_t *data, size_t size, bool *ret_done);

/* True if the map is that of a body of @body bytes. */
bool tar_sparse_is_whole(const TarSparse *sparse, uint64_t body);
