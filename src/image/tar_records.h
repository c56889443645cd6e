/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the headers before an entry's own say of it: pax records, and GNU's long names.
 * Names are kept byte by byte, as GNU tar takes them: no character set is looked at.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "image/tar_sparse.h"

typedef struct TarRecords {
        bool broken; /* not to be obeyed, or not read alike by all: the entry is refused */
        bool has_pax, has_long;
        bool has_size, has_mtime;
        uint64_t size;
        struct timespec mtime;
        char *name, *link, *sparse_name;
        TarSparse sparse;

        const char *nul_name; /* has a NUL inside; borrowed from the body */
        size_t nul_size;
} TarRecords;

void tar_records_clear(TarRecords *records);

/*
 * tar_records_pax(), _global(), _long() - take the body of a header of type x, g, or L or K
 * @body:  its blocks, whole; @size bytes of them are its own
 *
 * Return: 0, UNPACK_NAME_NUL with nul_name set, or -ENOMEM. All else makes the records broken.
 */
int tar_records_pax(TarRecords *records, const char *body, size_t size) _must_check_;
int tar_records_global(TarRecords *records, const char *body, size_t size) _must_check_;
int tar_records_long(
        TarRecords *records, char type, const char *body, size_t size, size_t in_blocks)
        _must_check_;
