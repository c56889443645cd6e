/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "image/tar_watch.h"

#define BLOCK 512
#define SPECIAL_MAX                                                                                \
        ((size_t)1024 * 1024) /* bytes of a pax or long-name body: libarchive's own limit */

/* Offsets in a header, POSIX.1-1988 and GNU. */
#define AT_SIZE 124
#define SIZE_DIGITS 12
#define AT_CHECKSUM 148
#define CHECKSUM_DIGITS 8
#define AT_TYPE 156
#define AT_GNU_EXTENDED 482
#define AT_SPARSE_EXTENDED 504

typedef enum WatchState {
        WATCH_HEADER,
        WATCH_SPARSE,  /* further blocks of an old GNU sparse header */
        WATCH_SPECIAL, /* a body that is kept */
        WATCH_SKIP,
        WATCH_OFF,
} WatchState;

struct TarWatch {
        WatchState state;
        uint8_t block[BLOCK]; /* header under way */
        char *special;        /* SPECIAL_MAX */
        size_t used;          /* of block or special */
        uint64_t size;        /* bytes of the special body, then of padding */
        uint64_t skip;
        bool has_size; /* a pax record gave the size of the next entry */
        uint64_t next_size;
        const char *name;
        size_t name_size;
};

int tar_watch_new(TarWatch **ret) {
        TarWatch *watch = calloc(1, sizeof(*watch));

        if (!watch)
                return -ENOMEM;
        *ret = watch;
        return 0;
}

TarWatch *tar_watch_free(TarWatch *watch) {
        if (!watch)
                return NULL;
        free(watch->special);
        free(watch);
        return NULL;
}

const char *tar_watch_name(const TarWatch *watch, size_t *ret_size) {
        *ret_size = watch->name_size;
        return watch->name;
}

/* Octal with spaces or zeroes before and a space or NUL behind, or GNU's binary form. */
static bool parse_number(const uint8_t *field, size_t size, uint64_t *ret) {
        uint64_t value = 0;
        size_t i = 0;

        if (field[0] & 0x80) {
                for (i = 1; i < size; i++) {
                        if (value >> 55)
                                return false;
                        value = value << 8 | field[i];
                }
                *ret = value;
                return (field[0] & 0x7f) == 0;
        }
        while (i < size && field[i] == ' ')
                i++;
        for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
                value = value << 3 | (uint64_t)(field[i] - '0');
        if (i < size && field[i] != ' ' && field[i] != '\0')
                return false;
        *ret = value;
        return true;
}

static bool checksum_is_right(const uint8_t block[BLOCK]) {
        uint64_t sum = 0, wanted;

        if (!parse_number(block + AT_CHECKSUM, CHECKSUM_DIGITS, &wanted))
                return false;
        for (size_t i = 0; i < BLOCK; i++)
                sum += i >= AT_CHECKSUM && i < AT_CHECKSUM + CHECKSUM_DIGITS ? ' ' : block[i];
        return sum == wanted;
}

static uint64_t padded(uint64_t size) {
        return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static void skip_body(TarWatch *watch, uint64_t size) {
        watch->skip = padded(size);
        watch->state = watch->skip > 0 ? WATCH_SKIP : WATCH_HEADER;
}

static int begin_special(TarWatch *watch, uint64_t size) {
        if (size == 0 || size > SPECIAL_MAX) {
                watch->state = WATCH_OFF;
                return 0;
        }
        if (!watch->special)
                watch->special = malloc(SPECIAL_MAX + BLOCK);
        if (!watch->special)
                return -ENOMEM;
        watch->size = size;
        watch->state = WATCH_SPECIAL;
        return 0;
}

static int take_header(TarWatch *watch) {
        const uint8_t *block = watch->block;
        char type = (char)block[AT_TYPE];
        uint64_t size;

        if (!checksum_is_right(block) || !parse_number(block + AT_SIZE, SIZE_DIGITS, &size) ||
            size > UINT64_MAX / 2) {
                watch->state = WATCH_OFF; /* the end, or no tar */
                return 0;
        }
        if (type == 'x' || type == 'X' || type == 'L' || type == 'K')
                return begin_special(watch, size);
        if (type == 'g') {
                skip_body(watch, size);
                return 0;
        }

        if (watch->has_size)
                size = watch->next_size;
        watch->has_size = false;
        if (type == '1' && size > 0)
                watch->state = WATCH_OFF; /* with or without a body: archivers differ */
        else if (type == 'S' && block[AT_GNU_EXTENDED] != 0) {
                watch->skip = padded(size);
                watch->state = WATCH_SPARSE;
        } else if (type >= '1' && type <= '6')
                watch->state = WATCH_HEADER;
        else
                skip_body(watch, size);
        return 0;
}

static bool is_name(const char *key, size_t size) {
        static const char *const names[] = {"path", "linkpath", "GNU.sparse.name"};

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (strlen(names[i]) == size && memcmp(key, names[i], size) == 0)
                        return true;
        return false;
}

static void take_size(TarWatch *watch, const char *value, size_t size) {
        uint64_t number = 0;

        for (size_t i = 0; i < size; i++) {
                if (!isdigit((unsigned char)value[i]) || number > UINT64_MAX / 32)
                        return;
                number = number * 10 + (uint64_t)(value[i] - '0');
        }
        watch->has_size = size > 0;
        watch->next_size = number;
}

/* One "key=value". Return: 0 or -EBADMSG. */
static int take_record(TarWatch *watch, const char *record, size_t size) {
        const char *equals = memchr(record, '=', size);
        size_t key_size;

        if (!equals)
                return 0;
        key_size = (size_t)(equals - record);
        size -= key_size + 1;
        if (key_size == 4 && memcmp(record, "size", 4) == 0)
                take_size(watch, equals + 1, size);
        if (!is_name(record, key_size) || !memchr(equals + 1, '\0', size))
                return 0;
        watch->name = equals + 1;
        watch->name_size = size;
        return -EBADMSG;
}

/* Records of the form "LENGTH key=value\n", LENGTH counting all of it. */
static int take_records(TarWatch *watch, const char *body, size_t size) {
        while (size > 0) {
                size_t length = 0, digits = 0;
                int r;

                while (digits < size && digits < 9 && isdigit((unsigned char)body[digits]))
                        length = length * 10 + (size_t)(body[digits++] - '0');
                if (digits == 0 || digits >= size || body[digits] != ' ' || length > size ||
                    length < digits + 2)
                        return 0;
                r = take_record(watch, body + digits + 1, length - digits - 2);
                if (r < 0)
                        return r;
                body += length;
                size -= length;
        }
        return 0;
}

/* A long name ends with NULs; one before other bytes is inside it. */
static int take_long_name(TarWatch *watch, const char *body, size_t size) {
        while (size > 0 && body[size - 1] == '\0')
                size--;
        if (!memchr(body, '\0', size))
                return 0;
        watch->name = body;
        watch->name_size = size;
        return -EBADMSG;
}

static int take_special(TarWatch *watch) {
        char type = (char)watch->block[AT_TYPE];

        watch->state = WATCH_HEADER;
        return type == 'L' || type == 'K'
                       ? take_long_name(watch, watch->special, (size_t)watch->size)
                       : take_records(watch, watch->special, (size_t)watch->size);
}

/* Copies into @to until it holds @wanted bytes. Return: bytes taken. */
static size_t collect(TarWatch *watch, void *to, size_t wanted, const uint8_t *data, size_t size) {
        size_t n = wanted - watch->used < size ? wanted - watch->used : size;

        memcpy((uint8_t *)to + watch->used, data, n);
        watch->used += n;
        return n;
}

/* Return: bytes taken; *ret_r is set when something was complete. */
static size_t step(TarWatch *watch, const uint8_t *data, size_t size, int *ret_r) {
        size_t wanted, n;

        switch (watch->state) {
        case WATCH_HEADER:
        case WATCH_SPARSE:
                n = collect(watch, watch->block, BLOCK, data, size);
                if (watch->used < BLOCK)
                        return n;
                watch->used = 0;
                if (watch->state == WATCH_HEADER)
                        *ret_r = take_header(watch);
                else if (watch->block[AT_SPARSE_EXTENDED] == 0)
                        skip_body(watch, watch->skip);
                return n;
        case WATCH_SPECIAL:
                wanted = (size_t)padded(watch->size);
                n = collect(watch, watch->special, wanted, data, size);
                if (watch->used < wanted)
                        return n;
                watch->used = 0;
                *ret_r = take_special(watch);
                return n;
        case WATCH_SKIP:
                n = watch->skip < size ? (size_t)watch->skip : size;
                watch->skip -= n;
                if (watch->skip == 0)
                        watch->state = WATCH_HEADER;
                return n;
        case WATCH_OFF:
                break;
        }
        return size;
}

int tar_watch_feed(TarWatch *watch, const void *data, size_t size) {
        const uint8_t *next = data;
        int r = 0;

        assert(watch);

        while (size > 0 && r == 0) {
                size_t n = step(watch, next, size, &r);

                next += n;
                size -= n;
        }
        return r;
}
