/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image/tar_records.h"
#include "ipc/unpack_proto.h"

#define NSEC_DIGITS 9
#define NSEC_PER_SEC 1000000000L

typedef struct Record {
        const char *key, *value;
        size_t key_size, size;
} Record;

void tar_records_clear(TarRecords *records) {
        free(records->name);
        free(records->link);
        free(records->sparse_name);
        *records = (TarRecords){0};
}

static bool is_key(const Record *record, const char *name) {
        return strlen(name) == record->key_size && memcmp(record->key, name, record->key_size) == 0;
}

static bool is_one_of(const Record *record, const char *const *names) {
        for (; *names; names++)
                if (is_key(record, *names))
                        return true;
        return false;
}

/* Return: true and what is behind it if the key begins with @prefix. */
static bool
has_prefix(const Record *record, const char *prefix, const char **ret, size_t *ret_size) {
        size_t n = strlen(prefix);

        if (record->key_size < n || memcmp(record->key, prefix, n) != 0)
                return false;
        *ret = record->key + n;
        *ret_size = record->key_size - n;
        return true;
}

/* The last one holds. An empty one GNU tar takes, and libarchive passes over. */
static int take_name(TarRecords *records, char **name, const char *value, size_t size) {
        char *copy;

        if (memchr(value, '\0', size)) {
                records->nul_name = value;
                records->nul_size = size;
                return UNPACK_NAME_NUL;
        }
        if (size == 0)
                records->broken = true;
        copy = strndup(value, size);
        if (!copy)
                return -ENOMEM;
        free(*name);
        *name = copy;
        return 0;
}

/* What stands behind the point, rounded up if @up. Return: characters taken. */
static size_t take_fraction(const char *value, size_t size, bool up, long *ret_nsec) {
        bool rest = false;
        size_t n = 0;

        *ret_nsec = 0;
        for (; n < size && isdigit((unsigned char)value[n]); n++)
                if (n < NSEC_DIGITS)
                        *ret_nsec = *ret_nsec * 10 + (value[n] - '0');
                else
                        rest = rest || value[n] != '0';
        for (size_t i = n; i < NSEC_DIGITS; i++)
                *ret_nsec *= 10;
        if (up && rest)
                ++*ret_nsec;
        return n;
}

/* Seconds, perhaps negative or with a fraction; what is finer than a nanosecond goes to the past. */
static bool take_time(const char *value, size_t size, struct timespec *ret) {
        bool negative = size > 0 && value[0] == '-';
        uint64_t seconds;
        long nsec = 0;
        size_t n;

        value += negative;
        size -= negative;
        n = tar_take_digits(value, size, &seconds);
        if (n == 0)
                return false;
        if (n < size && value[n] == '.') {
                n++;
                n += take_fraction(value + n, size - n, negative, &nsec);
        }
        ret->tv_sec = negative ? -(time_t)seconds : (time_t)seconds;
        if (negative && nsec > 0) {
                ret->tv_sec--;
                nsec = NSEC_PER_SEC - nsec;
        }
        ret->tv_nsec = nsec;
        return n == size;
}

static int take_record(TarRecords *records, const Record *record) {
        /* libarchive takes sizes and holes from them, GNU tar does not know them. */
        static const char *const foreign[] = {"SCHILY.realsize", "SUN.holesdata", NULL};
        const char *key;
        size_t key_size;

        if (is_key(record, "path"))
                return take_name(records, &records->name, record->value, record->size);
        if (is_key(record, "linkpath"))
                return take_name(records, &records->link, record->value, record->size);
        if (has_prefix(record, "GNU.sparse.", &key, &key_size)) {
                if (!tar_sparse_take(&records->sparse, key, key_size, record->value, record->size))
                        records->broken = true;
                if (is_key(record, "GNU.sparse.name"))
                        return take_name(
                                records, &records->sparse_name, record->value, record->size);
                return 0;
        }
        if (is_key(record, "size")) {
                records->has_size = true;
                if (record->size == 0 ||
                    tar_take_digits(record->value, record->size, &records->size) != record->size)
                        records->broken = true;
        } else if (is_key(record, "mtime")) {
                records->has_mtime = true;
                if (!take_time(record->value, record->size, &records->mtime))
                        records->broken = true;
        } else if (is_one_of(record, foreign))
                records->broken = true;
        return 0;
}

/* What a global record says of all entries, libarchive passes over. */
static int take_global(TarRecords *records, const Record *record) {
        static const char *const telling[] = {
                "path", "linkpath", "size", "mtime", "SCHILY.acl.access", NULL};
        const char *key;
        size_t key_size;

        /* tar -V writes it, and nobody obeys it. */
        if (is_key(record, "GNU.volume.label"))
                return 0;
        if (is_one_of(record, telling) || has_prefix(record, "GNU.", &key, &key_size))
                records->broken = true;
        return 0;
}

/* One record is "LENGTH key=value\n", LENGTH counting all of it. Return: its bytes, 0 if it is none. */
static size_t next_record(const char *body, size_t size, Record *ret) {
        const char *equals;
        uint64_t length;
        size_t digits = tar_take_digits(body, size, &length);

        if (digits == 0 || digits >= size || body[digits] != ' ' || length > size ||
            length < digits + 3 || body[length - 1] != '\n')
                return 0;
        ret->key = body + digits + 1;
        equals = memchr(ret->key, '=', length - digits - 2);
        if (!equals)
                return 0;
        ret->key_size = (size_t)(equals - ret->key);
        ret->value = equals + 1;
        ret->size = (size_t)(body + length - 1 - ret->value);
        /* A key ends at its first NUL, and there is no '=' then. */
        if (ret->key_size == 0 || memchr(ret->key, '\0', ret->key_size))
                return 0;
        return length;
}

static int take_all(
        TarRecords *records,
        const char *body,
        size_t size,
        int (*take)(TarRecords *records, const Record *record)) {
        while (size > 0) {
                Record record;
                size_t n = next_record(body, size, &record);
                int r;

                if (n == 0) {
                        records->broken = true;
                        return 0;
                }
                r = take(records, &record);
                if (r != 0)
                        return r;
                body += n;
                size -= n;
        }
        return 0;
}

int tar_records_pax(TarRecords *records, const char *body, size_t size) {
        return take_all(records, body, size, take_record);
}

int tar_records_global(TarRecords *records, const char *body, size_t size) {
        return take_all(records, body, size, take_global);
}

int tar_records_long(
        TarRecords *records, char type, const char *body, size_t size, size_t in_blocks) {
        /* GNU tar reads on until a NUL, libarchive as far as the size says. */
        for (size_t i = size; i < in_blocks; i++)
                if (body[i] != '\0')
                        records->broken = true;
        while (size > 0 && body[size - 1] == '\0')
                size--;
        return take_name(records, type == 'L' ? &records->name : &records->link, body, size);
}
