/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Changes tars so that they stay tars: fields of headers, entries put in, moved and doubled,
 * records, and every checksum right again. What libFuzzer changes by itself never passes
 * the first checksum.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
static const char *const records[] = {
        "14 path=../xx\n",
        "15 path=app/pp\n",
        "18 linkpath=app/a\n",
        "12 size=512\n",
        "11 size=0\n",
        "20 mtime=1500000000\n",
        "22 GNU.sparse.major=1\n",
        "22 GNU.sparse.minor=0\n",
        "25 GNU.sparse.name=app/s\n",
        "27 GNU.sparse.realsize=999\n",
        "29 GNU.sparse.map=0,512,600,9\n",
        "27 SCHILY.xattr.user.a=\0\1\2\n",
        "33 SCHILY.acl.access=user::rwx,g\n",
        "19 hdrcharset=BINARY\n"};

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

static size_t change_blocks(uint8_t *data, size_t size, size_t max_size) {
        size_t n = size / BLOCK, at = n > 0 ? (unsigned)rand() % n * BLOCK : 0;
        uint8_t entry[2 * BLOCK] = {0};
        const char *record;
        char text[16];

        switch (rand() % 8) {
        case 0: /* a new entry with a block of content */
                make_header(entry);
                fix_checksum(entry);
                return insert(
                        data, size, max_size, at, entry, (rand() & 1) != 0 ? BLOCK : 2 * BLOCK);
        case 1: /* a record for the next entry */
                make_header(entry);
                entry[156] = rand() % 8 == 0 ? 'g' : 'x';
                record = PICK(records);
                memcpy(entry + BLOCK, record, strlen(record));
                (void)snprintf(text, sizeof(text), "%011zo", strlen(record));
                set_field(entry, 124, 12, text);
                fix_checksum(entry);
                return insert(data, size, max_size, at, entry, 2 * BLOCK);
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

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
        srand(seed);
        if (size < BLOCK || data[0] == 0x1f || data[0] == 0x28 || data[0] == 0xfd ||
            rand() % 16 == 0) {
                size = LLVMFuzzerMutate(data, size, max_size);
        } else {
                size = size / BLOCK * BLOCK;
                for (int i = rand() % 4; i >= 0 && size >= BLOCK; i--)
                        size = change_blocks(data, size, max_size);
        }
        return size;
}
