/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Changes tars so that they stay tars: fields of headers, entries put in, moved and doubled,
 * several records at once, sparse files of every version, and every checksum right again.
 * What libFuzzer changes by itself never passes the first checksum. What is compressed with
 * gzip is changed within, and compressed again.
 */

#include <isa-l/igzip_lib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INSIDE_MAX ((size_t)2 << 20) /* of a gzip: more than tar_watch.c keeps of one body */
#define RECORDS_MAX 8                /* of one header */
#define BLOCK ((size_t)512)

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static const char types[] = "0000001122556634LLKKxxxgSVDMN7AX\0";
static const char *const names[] = {
        "app/",
        "./app/a",
        "app/d",
        "app/d/f",
        "app/l",
        "app/l/x",
        "app/Procfile",
        "../x",
        "/etc/x",
        "",
        ".",
        "dev/null",
        "app",
        "etc/passwd",
        "app/../x",
        "proc",
        "././@LongLink"};
static const char *const sizes[] = {
        "00000000000",
        "00000000001",
        "00000001000",
        "00000002000",
        "77777777777",
        "00000000777",
        " 1 "};
static const char *const keys[] = {
        "path",
        "linkpath",
        "size",
        "mtime",
        "uid",
        "GNU.sparse.major",
        "GNU.sparse.minor",
        "GNU.sparse.name",
        "GNU.sparse.realsize",
        "GNU.sparse.size",
        "GNU.sparse.map",
        "GNU.sparse.numblocks",
        "GNU.sparse.offset",
        "GNU.sparse.numbytes",
        "SCHILY.realsize",
        "SUN.holesdata",
        "SCHILY.xattr.user.a",
        "SCHILY.acl.access",
        "LIBARCHIVE.creationtime",
        "hdrcharset"};
static const char *const values[] = {
        "0",
        "1",
        "2",
        "9",
        "512",
        "600",
        "999",
        "1111",
        "1536",
        "-1",
        "9223372036854775807",
        "18446744073709551616",
        "1500000000.5",
        "0,512,600,9",
        "0,512,1024,512",
        "512,0",
        "600,9,0,512",
        "0 512 1024",
        " SPARSE 0 512 600 9",
        "user::rwx,group::r-x,other::r--,mask::rwx",
        "user::rwx,g",
        "BINARY",
        "ISO-IR 10646 2000 UTF-8",
        "../xx",
        "app/pp",
        "app/s"};

#define PICK(list) (list)[(unsigned)rand() % (sizeof(list) / sizeof((list)[0]))]

static void fix_checksum(uint8_t *block) {
        unsigned sum = 0;
        char text[8];

        memset(block + 148, ' ', 8);
        for (size_t i = 0; i < BLOCK; i++)
                sum += block[i];
        (void)snprintf(text, sizeof(text), "%06o", sum & 0777777);
        memcpy(block + 148, text, 7);
}

static void set_field(uint8_t *block, size_t at, size_t size, const char *text) {
        size_t n = strlen(text);

        memset(block + at, 0, size);
        memcpy(block + at, text, n < size ? n : size);
}

static void make_header(uint8_t *block) {
        memset(block, 0, BLOCK);
        set_field(block, 0, 100, PICK(names));
        set_field(block, 100, 8, "0000755");
        set_field(block, 124, 12, PICK(sizes));
        set_field(block, 136, 12, "13727024000");
        block[156] = (uint8_t)types[(unsigned)rand() % (sizeof(types) - 1)];
        set_field(block, 157, 100, PICK(names));
        set_field(block, 257, 8, (rand() & 1) != 0 ? "ustar" : "ustar  ");
        if ((rand() & 1) == 0)
                memcpy(block + 263, "00", 2);
}

static void change_field(uint8_t *block) {
        switch (rand() % 8) {
        case 0:
                set_field(block, 0, 100, PICK(names));
                break;
        case 1:
                set_field(block, 124, 12, PICK(sizes));
                break;
        case 2:
                block[156] = (uint8_t)types[(unsigned)rand() % (sizeof(types) - 1)];
                break;
        case 3:
                set_field(block, 157, 100, PICK(names));
                break;
        case 4:
                set_field(block, 345, 155, PICK(names));
                break;
        case 5: /* binary numbers */
                block[(rand() & 1) != 0 ? 124 : 136] = (rand() & 1) != 0 ? 0x80 : 0xff;
                break;
        case 6: /* old GNU sparse maps */
                block[386 + (unsigned)rand() % 109] = (uint8_t)('0' + rand() % 8);
                break;
        default:
                block[(unsigned)rand() % BLOCK] = (uint8_t)rand();
        }
}

/* Puts @n blocks in at @at. Return: the new size. */
static size_t
insert(uint8_t *data, size_t size, size_t max_size, size_t at, const uint8_t *what, size_t n) {
        if (size + n > max_size || at > size)
                return size;
        memmove(data + at + n, data + at, size - at);
        memcpy(data + at, what, n);
        return size + n;
}

/* "LENGTH KEY=VALUE\n", of which LENGTH is right but for now and then. */
static void add_record(char *text, size_t size, const char *key, const char *value) {
        size_t used = strlen(text), n = strlen(key) + strlen(value) + 3, digits = 1;

        while (n + digits >= (digits == 1 ? 10U : digits == 2 ? 100U : 1000U))
                digits++;
        n += digits;
        if (rand() % 64 == 0)
                n += (unsigned)rand() % 3 - 1;
        if (used + n + 2 < size)
                (void)snprintf(text + used, size - used, "%zu %s=%s\n", n, key, value);
}

static void add_records(char *text, size_t size) {
        for (int i = rand() % RECORDS_MAX; i >= 0; i--)
                add_record(text, size, PICK(keys), (rand() & 3) != 0 ? PICK(values) : PICK(names));
}

/* The records of a sparse file with two pieces, as each version of GNU tar writes them. */
static void add_sparse(char *text, size_t size, int version) {
        add_record(text, size, version < 2 ? "GNU.sparse.size" : "GNU.sparse.realsize", "2048");
        if ((rand() & 1) != 0)
                add_record(text, size, "GNU.sparse.name", PICK(names));
        if (version == 0) {
                add_record(text, size, "GNU.sparse.numblocks", PICK(values));
                for (int i = rand() % 3; i >= 0; i--) {
                        add_record(text, size, "GNU.sparse.offset", PICK(values));
                        add_record(text, size, "GNU.sparse.numbytes", PICK(values));
                }
        } else if (version == 1) {
                add_record(text, size, "GNU.sparse.numblocks", PICK(values));
                add_record(text, size, "GNU.sparse.map", PICK(values));
        } else {
                add_record(text, size, "GNU.sparse.major", "1");
                add_record(text, size, "GNU.sparse.minor", "0");
        }
        if (rand() % 4 == 0)
                add_records(text, size);
}

/* A header of records with its body. Return: its size. */
static size_t make_records(uint8_t *entry, size_t max_body, int sparse_version) {
        char text[2 * BLOCK] = "", size[16];

        if (sparse_version >= 0)
                add_sparse(text, max_body, sparse_version);
        else
                add_records(text, max_body);
        make_header(entry);
        entry[156] = rand() % 8 == 0 ? 'g' : 'x';
        memcpy(entry + BLOCK, text, strlen(text));
        (void)snprintf(size, sizeof(size), "%011zo", strlen(text));
        set_field(entry, 124, 12, size);
        fix_checksum(entry);
        return BLOCK + (strlen(text) + BLOCK - 1) / BLOCK * BLOCK;
}

/* A sparse file; one of version 1.0 has its map before its content. */
static size_t make_sparse(uint8_t *entry) {
        static const char *const maps[] = {
                "2\n0\n512\n600\n9\n",
                "1\n0\n1\n",
                "0\n",
                "2\n600\n9\n0\n512\n",
                "9\n0\n",
                "1\n0\n"};
        int version = rand() % 3;
        size_t at = make_records(entry, 2 * BLOCK, version);
        const char *map = PICK(maps);

        make_header(entry + at);
        entry[at + 156] = '0';
        set_field(entry + at, 124, 12, rand() % 4 == 0 ? PICK(sizes) : "00000002000");
        fix_checksum(entry + at);
        if (version == 2)
                memcpy(entry + at + BLOCK, map, strlen(map));
        return at + 3 * BLOCK;
}

static size_t change_blocks(uint8_t *data, size_t size, size_t max_size) {
        size_t n = size / BLOCK, at = n > 0 ? (unsigned)rand() % n * BLOCK : 0;
        uint8_t entry[8 * BLOCK] = {0};

        switch (rand() % 10) {
        case 0: /* a new entry with a block of content */
                make_header(entry);
                fix_checksum(entry);
                return insert(
                        data, size, max_size, at, entry, (rand() & 1) != 0 ? BLOCK : 2 * BLOCK);
        case 1: /* records for the next entry */
                return insert(data, size, max_size, at, entry, make_records(entry, 2 * BLOCK, -1));
        case 8:
                return insert(data, size, max_size, at, entry, make_sparse(entry));
        case 2: /* a long name */
                make_header(entry);
                entry[156] = rand() % 2 == 0 ? 'L' : 'K';
                set_field(entry, 124, 12, "00000000040");
                set_field(entry + BLOCK, 0, 32, PICK(names));
                fix_checksum(entry);
                return insert(data, size, max_size, at, entry, 2 * BLOCK);
        case 3: /* a block twice */
                memcpy(entry, data + at, BLOCK);
                return insert(
                        data, size, max_size, (unsigned)rand() % (n + 1) * BLOCK, entry, BLOCK);
        case 4: /* a block less */
                memmove(data + at, data + at + BLOCK, size - at - BLOCK);
                return size - BLOCK;
        default:
                change_field(data + at);
                fix_checksum(data + at);
                return size;
        }
}

static size_t change_tar(uint8_t *data, size_t size, size_t max_size) {
        size = size / BLOCK * BLOCK;
        for (int i = rand() % 4; i >= 0 && size >= BLOCK; i--)
                size = change_blocks(data, size, max_size);
        return size;
}

/* Return: how much came out; 0: it is damaged, or more than there is room for. */
static size_t unpack(uint8_t *data, size_t size, uint8_t *ret, size_t max_size) {
        static struct inflate_state state;

        isal_inflate_init(&state);
        state.crc_flag = ISAL_GZIP;
        state.next_in = data;
        state.avail_in = (uint32_t)size;
        state.next_out = ret;
        state.avail_out = (uint32_t)max_size;
        return isal_inflate_stateless(&state) == ISAL_DECOMP_OK ? state.total_out : 0;
}

static size_t pack(uint8_t *data, size_t size, uint8_t *ret, size_t max_size) {
        static struct isal_zstream stream;

        isal_deflate_stateless_init(&stream);
        stream.gzip_flag = IGZIP_GZIP;
        stream.end_of_stream = 1;
        stream.next_in = data;
        stream.avail_in = (uint32_t)size;
        stream.next_out = ret;
        stream.avail_out = (uint32_t)max_size;
        return isal_deflate_stateless(&stream) == COMP_OK ? stream.total_out : 0;
}

/* Return: the new size, 0 if it cannot be changed that way and is as it was. */
static size_t change_gzip(uint8_t *data, size_t size, size_t max_size) {
        static uint8_t inside[INSIDE_MAX], packed[1 << 16];
        size_t n = unpack(data, size, inside, sizeof(inside));

        if (n < BLOCK)
                return 0;
        n = change_tar(inside, n, sizeof(inside));
        n = pack(inside, n, packed, max_size < sizeof(packed) ? max_size : sizeof(packed));
        memcpy(data, packed, n);
        return n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
        static uint8_t packed[1 << 16];
        size_t n = 0;

        srand(seed);
        if (size >= 2 && data[0] == 0x1f && data[1] == 0x8b && rand() % 8 != 0) {
                n = change_gzip(data, size, max_size);
                return n > 0 ? n : LLVMFuzzerMutate(data, size, max_size);
        }
        if (size < BLOCK || data[0] == 0x1f || data[0] == 0x28 || data[0] == 0xfd ||
            rand() % 16 == 0)
                return LLVMFuzzerMutate(data, size, max_size);
        size = change_tar(data, size, max_size);
        if (rand() % 64 == 0)
                n = pack(data, size, packed, max_size < sizeof(packed) ? max_size : sizeof(packed));
        if (n > 0)
                memcpy(data, packed, n);
        return n > 0 ? n : size;
}
