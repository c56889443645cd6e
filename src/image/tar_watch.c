/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "image/tar_records.h"
#include "image/tar_watch.h"
#include "ipc/unpack_proto.h"

#define BLOCK 512
#define SPECIAL_MAX                                                                                \
        ((size_t)1024 * 1024) /* bytes of a pax or long-name body: libarchive's own limit */

/* A header, POSIX.1-1988 and GNU: where a field begins, and its bytes. */
#define AT_NAME 0
#define NAME_BYTES 100
#define AT_MODE 100
#define MODE_DIGITS 8
#define AT_SIZE 124
#define SIZE_DIGITS 12
#define AT_MTIME 136
#define MTIME_DIGITS 12
#define AT_CHECKSUM 148
#define CHECKSUM_DIGITS 8
#define AT_TYPE 156
#define AT_LINK 157
#define LINK_BYTES 100
#define AT_MAGIC 257
#define AT_PREFIX 345
#define PREFIX_BYTES 155
#define AT_GNU_SPARSE 386
#define GNU_CHUNKS 4
#define AT_GNU_EXTENDED 482
#define AT_GNU_REAL_SIZE 483
#define AT_GNU_END 495
/* star's own header: a prefix that is shorter, then two times. */
#define AT_STAR_PREFIX_END 475
#define AT_STAR_ATIME 476
#define AT_STAR_CTIME 488
/* A further block of an old GNU sparse header. */
#define MORE_CHUNKS 21
#define AT_MORE_EXTENDED 504
#define CHUNK_BYTES ((size_t)2 * SIZE_DIGITS)

typedef enum WatchState {
        WATCH_HEADER,
        WATCH_SPARSE,  /* further blocks of an old GNU sparse header */
        WATCH_MAP,     /* a sparse file's map, which comes before its data */
        WATCH_SPECIAL, /* a body that is kept */
        WATCH_SKIP,
        WATCH_OFF, /* behind the end, or it is no tar */
} WatchState;

struct TarWatch {
        WatchState state;
        uint64_t position;    /* in the tar, of the next byte */
        uint8_t block[BLOCK]; /* header under way */
        char *special;        /* SPECIAL_MAX */
        size_t used;          /* of block or special */
        uint64_t size;        /* bytes of the body: of special, or with a map */
        uint64_t skip;
        bool begun, at_end;

        bool in_entry; /* a header about the next entry was seen, at @at */
        uint64_t at;
        TarRecords records;
        TarSparse sparse; /* of the entry whose map is read */
        bool chunks_end;  /* an empty chunk was seen: there are no more */
        char header_name[PREFIX_BYTES + 1 + NAME_BYTES + 1];

        const char *name;
        size_t name_size;

        TarEntry *first, *last; /* that were not asked for yet */
        TarEntry *current;      /* that was asked for last */
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
        while (tar_watch_next(watch))
                ;
        tar_records_clear(&watch->records);
        free(watch->special);
        free(watch);
        return NULL;
}

const char *tar_watch_name(const TarWatch *watch, size_t *ret_size) {
        *ret_size = watch->name_size;
        return watch->name;
}

bool tar_watch_is_at_end(const TarWatch *watch) {
        return watch->at_end;
}

const TarEntry *tar_watch_peek(const TarWatch *watch) {
        return watch->first;
}

const TarEntry *tar_watch_next(TarWatch *watch) {
        if (watch->current && watch->name == watch->current->name)
                watch->name = NULL;
        free(watch->current);
        watch->current = watch->first;
        if (watch->first)
                watch->first = watch->first->next;
        if (!watch->first)
                watch->last = NULL;
        return watch->current;
}

/* What a refusal is about. */
static void set_name(TarWatch *watch, const char *name, size_t size) {
        watch->name = name;
        watch->name_size = size;
}

static bool is_filled_with(const uint8_t *field, size_t size, uint8_t value) {
        for (size_t i = 0; i < size; i++)
                if (field[i] != value)
                        return false;
        return true;
}

static bool is_zero(const uint8_t *field, size_t size) {
        return is_filled_with(field, size, 0);
}

/*
 * Octal with spaces or zeroes before and a space or NUL behind, or GNU's binary form. Nothing
 * but NULs is 0. Blanks are none: to GNU tar they are an error, and -1.
 */
static bool parse_number(const uint8_t *field, size_t size, uint64_t *ret) {
        uint64_t value = 0;
        size_t i = 0, digits;

        if (field[0] == 0x80) {
                for (i = 1; i < size; i++) {
                        if (value >> 55)
                                return false;
                        value = value << 8 | field[i];
                }
                *ret = value;
                return true;
        }
        while (i < size && field[i] == ' ')
                i++;
        digits = i;
        for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
                value = value << 3 | (uint64_t)(field[i] - '0');
        if (i == digits && !is_zero(field, size))
                return false;
        if (i < size && field[i] != ' ' && field[i] != '\0')
                return false;
        *ret = value;
        return true;
}

/* The same, and GNU's negative binary form. */
static bool parse_time(const uint8_t *field, size_t size, time_t *ret) {
        uint64_t value = 0;

        if (field[0] != 0xff) {
                if (!parse_number(field, size, &value))
                        return false;
                *ret = (time_t)value;
                return true;
        }
        if (!is_filled_with(field, size - sizeof(value), 0xff))
                return false;
        for (size_t i = size - sizeof(value); i < size; i++)
                value = value << 8 | field[i];
        *ret = (time_t)(int64_t)value;
        return value >> 63;
}

/* Some old archivers have summed up signed characters. */
static bool checksum_is_right(const uint8_t block[BLOCK]) {
        uint64_t wanted;
        int64_t sum = 0, signed_sum = 0;

        if (!parse_number(block + AT_CHECKSUM, CHECKSUM_DIGITS, &wanted))
                return false;
        for (size_t i = 0; i < BLOCK; i++) {
                uint8_t byte =
                        i >= AT_CHECKSUM && i < AT_CHECKSUM + CHECKSUM_DIGITS ? ' ' : block[i];

                sum += byte;
                signed_sum += (int8_t)byte;
        }
        return (uint64_t)sum == wanted || (uint64_t)signed_sum == wanted;
}

static uint64_t padded(uint64_t size) {
        return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static void skip_bytes(TarWatch *watch, uint64_t size) {
        watch->skip = size;
        watch->state = watch->skip > 0 ? WATCH_SKIP : WATCH_HEADER;
}

static bool is_ustar(const uint8_t block[BLOCK]) {
        return memcmp(block + AT_MAGIC, "ustar\0", 6) == 0;
}

static bool is_gnu(const uint8_t block[BLOCK]) {
        return memcmp(block + AT_MAGIC, "ustar  \0", 8) == 0;
}

static bool is_star_time(const uint8_t *field) {
        return field[0] >= '0' && field[0] <= '7' && field[SIZE_DIGITS - 1] == ' ';
}

/* GNU tar then looks for star's sparse files and for no other. */
static bool is_star(const uint8_t block[BLOCK]) {
        return block[AT_STAR_PREFIX_END] == 0 && is_star_time(block + AT_STAR_ATIME) &&
               is_star_time(block + AT_STAR_CTIME);
}

/*
 * What one reader takes for a prefix or a sparse file, another passes over: libarchive is
 * content with "ustar", and looks into GNU's fields of a sparse file at any file.
 */
static bool magic_is_clear(const uint8_t block[BLOCK]) {
        if (is_gnu(block))
                return block[AT_TYPE] == 'S' ||
                       is_zero(block + AT_GNU_SPARSE, AT_GNU_END - AT_GNU_SPARSE);
        return is_ustar(block) || memcmp(block + AT_MAGIC, "ustar", 5) != 0;
}

static const char *entry_name(TarWatch *watch) {
        const char *prefix = (const char *)watch->block + AT_PREFIX;
        char *next = watch->header_name;

        if (watch->records.sparse_name)
                return watch->records.sparse_name;
        if (watch->records.name)
                return watch->records.name;
        if (is_ustar(watch->block) && *prefix != '\0') {
                size_t size = strnlen(prefix, PREFIX_BYTES);

                memcpy(next, prefix, size);
                next += size;
                *next++ = '/';
        }
        memcpy(next, watch->block + AT_NAME, NAME_BYTES);
        next[NAME_BYTES] = '\0';
        return watch->header_name;
}

static int begin_special(TarWatch *watch) {
        uint8_t type = watch->block[AT_TYPE];
        bool is_pax = type == 'x' || type == 'X';
        TarRecords *records = &watch->records;

        if (!parse_number(watch->block + AT_SIZE, SIZE_DIGITS, &watch->size) ||
            watch->size > SPECIAL_MAX)
                return UNPACK_CORRUPT;
        /* Which of two speaks last is not the same to all. */
        if (type != 'g' && (is_pax ? records->has_pax || records->has_long : records->has_pax))
                records->broken = true;
        if (is_pax)
                records->has_pax = true;
        else if (type != 'g')
                records->has_long = true;
        if (watch->size == 0) {
                if (type == 'L' || type == 'K')
                        records->broken = true; /* a name of nothing */
                return 0;
        }
        if (!watch->special)
                watch->special = malloc(SPECIAL_MAX + BLOCK);
        if (!watch->special)
                return -ENOMEM;
        watch->state = WATCH_SPECIAL;
        return 0;
}

/* What GNU tar makes of it. False: nothing that all would make of it. */
static bool entry_type(const TarWatch *watch, const char *name, mode_t *ret) {
        uint8_t type = watch->block[AT_TYPE];
        size_t size = strlen(name);
        bool has_slash = size > 0 && name[size - 1] == '/';

        *ret = S_IFREG;
        switch (type) {
        case '\0':
        case '0':
        case '7':
                *ret = has_slash ? S_IFDIR : S_IFREG;
                return true;
        case '1':
                *ret = 0;
                return true;
        case '2':
                *ret = S_IFLNK;
                return true;
        case '3':
                *ret = S_IFCHR;
                return true;
        case '4':
                *ret = S_IFBLK;
                return true;
        case '5':
        case 'D':
                *ret = S_IFDIR;
                return true;
        case '6':
                *ret = S_IFIFO;
                return true;
        case 'A': /* a list of Solaris's to libarchive, a file to GNU tar */
        case 'M': /* the rest of a file of another volume: an error to GNU tar, a file to libarchive */
                return false;
        default: /* Some take the slash for a folder's. */
                return !has_slash;
        }
}

/* @chunks: of a header. GNU tar ends at an empty size, libarchive at an empty offset. */
static bool take_chunks(TarWatch *watch, const uint8_t *chunks, size_t n, bool extended) {
        for (size_t i = 0; i < n; i++) {
                const uint8_t *chunk = chunks + i * CHUNK_BYTES;
                uint64_t offset, size;

                if (is_zero(chunk, CHUNK_BYTES)) {
                        watch->chunks_end = true;
                        continue;
                }
                if (watch->chunks_end || chunk[0] == '\0' || chunk[SIZE_DIGITS] == '\0' ||
                    !parse_number(chunk, SIZE_DIGITS, &offset) ||
                    !parse_number(chunk + SIZE_DIGITS, SIZE_DIGITS, &size) ||
                    !tar_sparse_add(&watch->sparse, offset, size))
                        return false;
        }
        if (extended)
                return !watch->chunks_end;
        return tar_sparse_is_whole(&watch->sparse, watch->size);
}

static bool begin_old_sparse(TarWatch *watch) {
        const uint8_t *block = watch->block;
        bool extended = block[AT_GNU_EXTENDED] != 0;

        watch->sparse = (TarSparse){0};
        watch->chunks_end = false;
        if (!is_gnu(block) || watch->records.has_size || block[AT_GNU_REAL_SIZE] == '\0' ||
            !parse_number(block + AT_GNU_REAL_SIZE, SIZE_DIGITS, &watch->sparse.real_size) ||
            !take_chunks(watch, block + AT_GNU_SPARSE, GNU_CHUNKS, extended))
                return false;
        if (extended)
                watch->state = WATCH_SPARSE;
        else
                skip_bytes(watch, padded(watch->size));
        return true;
}

static bool begin_sparse(TarWatch *watch) {
        watch->sparse = watch->records.sparse;
        if (watch->block[AT_TYPE] != '0' || !is_ustar(watch->block) || is_star(watch->block))
                return false;
        switch (tar_sparse_form(&watch->sparse)) {
        case TAR_SPARSE_IN_RECORDS:
                skip_bytes(watch, padded(watch->size));
                return tar_sparse_is_whole(&watch->sparse, watch->size);
        case TAR_SPARSE_IN_BODY:
                watch->state = WATCH_MAP;
                return watch->size > 0;
        case TAR_SPARSE_NONE:
        case TAR_SPARSE_BROKEN:
                break;
        }
        return false;
}

/* Sets the state for what follows, and the size of what is made. False: readers differ in it. */
static bool begin_body(TarWatch *watch, TarEntry *entry) {
        const TarRecords *records = &watch->records;
        uint8_t type = watch->block[AT_TYPE];
        bool is_sparse = type == 'S' || records->sparse.keys != 0;

        if (!parse_number(watch->block + AT_SIZE, SIZE_DIGITS, &watch->size) ||
            watch->size > INT64_MAX)
                return false;
        /* What has no body, has it one? */
        if (entry->type != S_IFREG && type != 'D') {
                watch->state = WATCH_HEADER;
                return !is_sparse && watch->size == 0 && (!records->has_size || records->size == 0);
        }
        if (records->has_size)
                watch->size = records->size;
        if (!is_sparse) {
                skip_bytes(watch, padded(watch->size));
                entry->size = watch->size;
                return true;
        }
        if (type == 'S' ? records->sparse.keys != 0 || !begin_old_sparse(watch)
                        : !begin_sparse(watch))
                return false;
        entry->size = watch->sparse.real_size;
        return true;
}

static bool fill_entry(TarWatch *watch, TarEntry *entry) {
        const TarRecords *records = &watch->records;
        const uint8_t *block = watch->block;
        bool is_link = block[AT_TYPE] == '1' || block[AT_TYPE] == '2';
        uint64_t mode;

        /* A file of which a record names a link's target: libarchive makes a link of it. */
        if (records->broken || (records->link && !is_link) || !magic_is_clear(block) ||
            !entry_type(watch, entry->name, &entry->type) ||
            !parse_number(block + AT_MODE, MODE_DIGITS, &mode) ||
            !parse_time(block + AT_MTIME, MTIME_DIGITS, &entry->mtime.tv_sec))
                return false;
        entry->mode = (mode_t)(mode & 07777);
        if (records->has_mtime)
                entry->mtime = records->mtime;
        return begin_body(watch, entry);
}

static int take_entry(TarWatch *watch) {
        const TarRecords *records = &watch->records;
        const char *name = entry_name(watch), *link = (const char *)watch->block + AT_LINK;
        size_t name_size = strlen(name), link_size = strnlen(link, LINK_BYTES);
        TarEntry *entry;

        if (records->link) {
                link = records->link;
                link_size = strlen(link);
        }
        entry = calloc(1, sizeof(*entry) + name_size + 1 + link_size + 1);
        if (!entry)
                return -ENOMEM;
        memcpy(entry->name, name, name_size);
        entry->link = entry->name + name_size + 1;
        memcpy(entry->link, link, link_size);
        entry->at = watch->at;

        if (watch->last)
                watch->last->next = entry;
        else
                watch->first = entry;
        watch->last = entry;
        set_name(watch, entry->name, name_size);
        if (!fill_entry(watch, entry))
                return UNPACK_CORRUPT;
        watch->in_entry = false;
        tar_records_clear(&watch->records);
        return 0;
}

/* Both pass over it; but what was said before it, libarchive takes for the entry behind it. */
static int take_label(TarWatch *watch) {
        const char *name = entry_name(watch);
        uint64_t size;

        set_name(watch, name, strlen(name));
        if (!parse_number(watch->block + AT_SIZE, SIZE_DIGITS, &size) || size > 0 ||
            watch->records.has_pax || watch->records.has_long)
                return UNPACK_CORRUPT;
        return 0;
}

static int take_header(TarWatch *watch) {
        const uint8_t *block = watch->block;
        bool first = !watch->begun;

        watch->begun = true;
        set_name(watch, NULL, 0);
        if (is_zero(block, BLOCK)) {
                watch->at_end = true;
                watch->state = WATCH_OFF;
                return watch->records.broken ? UNPACK_CORRUPT : 0;
        }
        if (!checksum_is_right(block)) {
                watch->state = WATCH_OFF;
                return first ? 0 : UNPACK_CORRUPT; /* libarchive says that it is no tar */
        }
        if (!watch->in_entry)
                watch->at = watch->position - BLOCK;
        watch->in_entry = true;

        switch (block[AT_TYPE]) {
        case 'x':
        case 'X':
        case 'L':
        case 'K':
        case 'g':
                return begin_special(watch);
        case 'V':
                return take_label(watch);
        default:
                return take_entry(watch);
        }
}

static int take_special(TarWatch *watch) {
        uint8_t type = watch->block[AT_TYPE];
        size_t size = (size_t)watch->size;
        TarRecords *records = &watch->records;
        int r;

        watch->state = WATCH_HEADER;
        if (type == 'L' || type == 'K')
                r = tar_records_long(records, (char)type, watch->special, size, padded(size));
        else if (type == 'g')
                r = tar_records_global(records, watch->special, size);
        else
                r = tar_records_pax(records, watch->special, size);
        if (r == UNPACK_NAME_NUL)
                set_name(watch, records->nul_name, records->nul_size);
        return r;
}

/* Copies into @to until it holds @wanted bytes. Return: bytes taken. */
static size_t collect(TarWatch *watch, void *to, size_t wanted, const uint8_t *data, size_t size) {
        size_t n = wanted - watch->used < size ? wanted - watch->used : size;

        memcpy((uint8_t *)to + watch->used, data, n);
        watch->used += n;
        watch->position += n;
        return n;
}

static int take_block(TarWatch *watch) {
        bool extended = watch->block[AT_MORE_EXTENDED] != 0;

        if (watch->state == WATCH_HEADER)
                return take_header(watch);
        if (!take_chunks(watch, watch->block, MORE_CHUNKS, extended))
                return UNPACK_CORRUPT;
        if (!extended)
                skip_bytes(watch, padded(watch->size));
        return 0;
}

/* A map may be as long as the body, and is padded to a block. */
static size_t take_map(TarWatch *watch, const uint8_t *data, size_t size, int *ret_r) {
        uint64_t left = watch->size - watch->sparse.map_size, map;
        bool done = false;
        size_t n;

        n = left > 0 ? tar_sparse_read_map(
                               &watch->sparse, data, left < size ? (size_t)left : size, &done)
                     : 0;
        watch->position += n;
        if (n == 0) {
                *ret_r = UNPACK_CORRUPT;
                return size;
        }
        if (done) {
                map = padded(watch->sparse.map_size);
                if (map > watch->size || !tar_sparse_is_whole(&watch->sparse, watch->size - map))
                        *ret_r = UNPACK_CORRUPT;
                else
                        skip_bytes(watch, padded(watch->size) - watch->sparse.map_size);
        }
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
                *ret_r = take_block(watch);
                return n;
        case WATCH_MAP:
                return take_map(watch, data, size, ret_r);
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
                watch->position += n;
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
