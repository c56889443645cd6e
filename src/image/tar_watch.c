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
#define AT_MODE 100
#define MODE_DIGITS 8
#define AT_SIZE 124
#define SIZE_DIGITS 12
#define AT_CHECKSUM 148
#define CHECKSUM_DIGITS 8
#define AT_TYPE 156
#define AT_GNU_EXTENDED 482
#define AT_SPARSE_EXTENDED 504

#define DIGITS_MAX 18 /* of a decimal number: less than 63 bits */

typedef enum WatchState {
        WATCH_HEADER,
        WATCH_SPARSE,  /* further blocks of an old GNU sparse header */
        WATCH_SPECIAL, /* a body that is kept */
        WATCH_SKIP,
        WATCH_OFF, /* behind the end, or it is no tar */
} WatchState;

typedef enum AclClass {
        ACL_OWNER = 1 << 0,
        ACL_GROUP = 1 << 1,
        ACL_OTHER = 1 << 2,
        ACL_MASK = 1 << 3, /* stands in the mode where the group would, acl(5) */
} AclClass;

struct TarWatch {
        WatchState state;
        uint8_t block[BLOCK]; /* header under way */
        char *special;        /* SPECIAL_MAX */
        size_t used;          /* of block or special */
        uint64_t size;        /* bytes of the special body, then of padding */
        uint64_t skip;
        bool begun;
        bool has_pax;  /* the next entry has records of its own */
        bool has_long; /* … or GNU's long name or link */
        bool has_size; /* a record gave the next entry's size */
        uint64_t next_size;
        unsigned acl_classes; /* a record gave the next entry's access: AclClass bits */
        mode_t acl_mode;      /* … what of its mode they must be */
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

static bool is_zero(const uint8_t block[BLOCK]) {
        for (size_t i = 0; i < BLOCK; i++)
                if (block[i] != 0)
                        return false;
        return true;
}

static uint64_t padded(uint64_t size) {
        return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static void skip_body(TarWatch *watch, uint64_t size) {
        watch->skip = padded(size);
        watch->state = watch->skip > 0 ? WATCH_SKIP : WATCH_HEADER;
}

static int begin_special(TarWatch *watch, uint64_t size) {
        if (size == 0)
                return 0;
        if (size > SPECIAL_MAX)
                return -EBADMSG;
        if (!watch->special)
                watch->special = malloc(SPECIAL_MAX + BLOCK);
        if (!watch->special)
                return -ENOMEM;
        watch->size = size;
        watch->state = WATCH_SPECIAL;
        return 0;
}

/* A header that says something of the next entry. */
static int take_special_header(TarWatch *watch, char type, uint64_t size) {
        bool is_pax = type == 'x' || type == 'X';

        /* Which of two speaks last is not the same to all. */
        if (type != 'g' && (is_pax ? watch->has_pax || watch->has_long : watch->has_pax))
                return -EBADMSG;
        if (is_pax)
                watch->has_pax = true;
        else if (type != 'g')
                watch->has_long = true;
        return begin_special(watch, size);
}

/* libarchive takes the mode from the list, GNU tar from the header: they must say the same. */
static bool acl_fits(const TarWatch *watch, uint64_t mode) {
        mode_t asked = 0;

        if (watch->acl_classes & ACL_OWNER)
                asked |= 0700;
        if (watch->acl_classes & (ACL_GROUP | ACL_MASK))
                asked |= 0070;
        if (watch->acl_classes & ACL_OTHER)
                asked |= 0007;
        return (mode & asked) == watch->acl_mode;
}

static int take_header(TarWatch *watch) {
        const uint8_t *block = watch->block;
        char type = (char)block[AT_TYPE];
        bool first = !watch->begun, has_size = watch->has_size;
        uint64_t size, mode;

        watch->begun = true;
        if (is_zero(block)) {
                watch->state = WATCH_OFF;
                return 0;
        }
        if (!checksum_is_right(block) || !parse_number(block + AT_SIZE, SIZE_DIGITS, &size) ||
            size > UINT64_MAX / 2) {
                watch->state = WATCH_OFF;
                return first ? 0 : -EBADMSG; /* libarchive says that it is no tar */
        }
        if (type == 'x' || type == 'X' || type == 'L' || type == 'K' || type == 'g')
                return take_special_header(watch, type, size);

        /* 'A' is a list of Solaris's to libarchive, a file to GNU tar. */
        if (!parse_number(block + AT_MODE, MODE_DIGITS, &mode) || !acl_fits(watch, mode) ||
            type == 'A')
                return -EBADMSG;
        watch->acl_classes = watch->acl_mode = 0;
        if (has_size)
                size = watch->next_size;
        watch->has_size = watch->has_pax = watch->has_long = false;
        /* What has no body, has it one? Archivers differ. */
        if (size > 0 && (type == '1' || type == 'V' || (has_size && type >= '2' && type <= '6')))
                return -EBADMSG;
        if (type == 'S' && block[AT_GNU_EXTENDED] != 0) {
                watch->skip = padded(size);
                watch->state = WATCH_SPARSE;
        } else if (type >= '1' && type <= '6')
                watch->state = WATCH_HEADER;
        else
                skip_body(watch, size);
        return 0;
}

static bool is_one_of(const char *key, size_t size, const char *const *names) {
        for (; *names; names++)
                if (strlen(*names) == size && memcmp(key, *names, size) == 0)
                        return true;
        return false;
}

/* Return: digits taken. */
static size_t take_digits(const char *value, size_t size, uint64_t *ret) {
        size_t i = 0;

        *ret = 0;
        for (; i < size && i < DIGITS_MAX && isdigit((unsigned char)value[i]); i++)
                *ret = *ret * 10 + (uint64_t)(value[i] - '0');
        return i;
}

/* Seconds, perhaps negative or with a fraction. Of both, libarchive takes the wrong side. */
static bool is_time(const char *value, size_t size) {
        bool negative = size > 0 && value[0] == '-';
        uint64_t seconds;
        size_t n;

        value += negative;
        size -= negative;
        n = take_digits(value, size, &seconds);
        if (n == 0)
                return false;
        if (n < size && value[n] == '.' && !negative)
                for (n++; n < size && isdigit((unsigned char)value[n]); n++)
                        ;
        return n == size;
}

static bool is_list_of_numbers(const char *value, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (!isdigit((unsigned char)value[i]) && value[i] != ',')
                        return false;
        return size > 0;
}

static bool take_acl_bits(TarWatch *watch, AclClass class, const char *rwx) {
        unsigned shift = class == ACL_OWNER ? 6 : class == ACL_OTHER ? 0 : 3;
        mode_t bits = 0;

        for (unsigned i = 0; i < 3; i++) {
                if (rwx[i] != "rwx"[i] && rwx[i] != '-')
                        return false;
                bits |= rwx[i] == '-' ? 0 : 4U >> i;
        }
        if (watch->acl_classes & class)
                return false;
        if (class == ACL_MASK)
                watch->acl_mode &= ~0070U;
        if (class != ACL_GROUP || !(watch->acl_classes & ACL_MASK))
                watch->acl_mode |= bits << shift;
        watch->acl_classes |= class;
        return true;
}

/* "user::rwx", "mask::r-x", "user:lisa:rw-:1000": of the last kind, nothing is in the mode. */
static bool take_acl_entry(TarWatch *watch, const char *entry, size_t size) {
        static const struct {
                const char *text;
                AclClass class;
        } starts[] = {
                {"user::", ACL_OWNER},
                {"group::", ACL_GROUP},
                {"other::", ACL_OTHER},
                {"mask::", ACL_MASK},
        };

        for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
                size_t n = strlen(starts[i].text);

                if (size == n + 3 && memcmp(entry, starts[i].text, n) == 0)
                        return take_acl_bits(watch, starts[i].class, entry + n);
        }
        return (size > 5 && memcmp(entry, "user:", 5) == 0 && entry[5] != ':') ||
               (size > 6 && memcmp(entry, "group:", 6) == 0 && entry[6] != ':');
}

/* As acl_to_any_text(3) writes it: entries with a comma or a line end between, and comments. */
static bool take_acl(TarWatch *watch, const char *value, size_t size) {
        watch->acl_classes = watch->acl_mode = 0;
        while (size > 0) {
                size_t n = 0, used;

                while (n < size && value[n] != ',' && value[n] != '\n')
                        n++;
                used = n < size ? n + 1 : n;
                for (size_t i = 0; i < n; i++)
                        if (value[i] == '#')
                                n = i;
                while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
                        n--;
                if (n > 0 && !take_acl_entry(watch, value, n))
                        return false;
                value += used;
                size -= used;
        }
        return true;
}

static int
take_value(TarWatch *watch, const char *key, size_t key_size, const char *value, size_t size) {
        static const char *const names[] = {"path", "linkpath", "GNU.sparse.name", NULL};
        static const char sparse[] = "GNU.sparse.";

        if (is_one_of(key, key_size, names)) {
                if (!memchr(value, '\0', size))
                        return 0;
                watch->name = value;
                watch->name_size = size;
                return -EBADMSG;
        }
        if (is_one_of(key, key_size, (const char *const[]){"size", NULL})) {
                watch->has_size = true;
                return size > 0 && take_digits(value, size, &watch->next_size) == size ? 0
                                                                                       : -EBADMSG;
        }
        if (is_one_of(key, key_size, (const char *const[]){"mtime", NULL}))
                return is_time(value, size) ? 0 : -EBADMSG;
        if (is_one_of(key, key_size, (const char *const[]){"SCHILY.acl.access", NULL}))
                return take_acl(watch, value, size) ? 0 : -EBADMSG;
        if (key_size >= sizeof(sparse) - 1 && memcmp(key, sparse, sizeof(sparse) - 1) == 0)
                return is_list_of_numbers(value, size) ? 0 : -EBADMSG;
        return 0;
}

/* What a global record says of all entries, libarchive passes over. */
static int take_global(const char *key, size_t size) {
        static const char *const telling[] = {
                "path", "linkpath", "size", "mtime", "SCHILY.acl.access", NULL};

        if (is_one_of(key, size, telling) || (size >= 4 && memcmp(key, "GNU.", 4) == 0))
                return -EBADMSG;
        return 0;
}

/* Records of the form "LENGTH key=value\n", LENGTH counting all of it. */
static int take_records(TarWatch *watch, const char *body, size_t size, bool global) {
        while (size > 0) {
                const char *key, *equals;
                uint64_t length;
                size_t digits = take_digits(body, size, &length);
                int r;

                if (digits == 0 || digits >= size || body[digits] != ' ' || length > size ||
                    length < digits + 3 || body[length - 1] != '\n')
                        return -EBADMSG;
                key = body + digits + 1;
                equals = memchr(key, '=', length - digits - 2);
                if (!equals)
                        return -EBADMSG;
                r = global ? take_global(key, (size_t)(equals - key))
                           : take_value(
                                     watch,
                                     key,
                                     (size_t)(equals - key),
                                     equals + 1,
                                     (size_t)(body + length - 1 - (equals + 1)));
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
                       : take_records(watch, watch->special, (size_t)watch->size, type == 'g');
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
