/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "control/framing.h"

#define LINES_OVER SIZE_MAX

static const char last_line[] = "\r\nBEGIN\r\n";

size_t framing_want(const Framing *framing) {
        if (framing->lines != LINES_OVER)
                return 0;
        if (framing->header_have < FRAMING_HEADER_SIZE)
                return FRAMING_HEADER_SIZE - framing->header_have;
        return framing->left;
}

bool framing_is_between(const Framing *framing) {
        return framing->lines == LINES_OVER && framing->header_have == 0;
}

/* One byte of the line protocol. Return: whether BEGIN's line is complete with it. */
static bool step(size_t *matched, char c) {
        /* no proper prefix of last_line but its first byte occurs again within it */
        *matched = c == last_line[*matched] ? *matched + 1 : c == last_line[0];
        return *matched == sizeof(last_line) - 1;
}

size_t framing_peek(const Framing *framing, const char *data, size_t size) {
        size_t matched = framing->matched;

        assert(size > 0);

        for (size_t i = 0; i < size; i++)
                if (step(&matched, data[i]))
                        return i + 1;
        return size;
}

static uint32_t header_u32(const Framing *framing, size_t offset) {
        const uint8_t *p = framing->header + offset;

        if (framing->header[0] == 'l')
                return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                       (uint32_t)p[3] << 24;
        return (uint32_t)p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[0] << 24;
}

static int read_header(Framing *framing) {
        uint64_t body, fields;

        if (framing->header[0] != 'l' && framing->header[0] != 'B')
                return -EBADMSG;
        body = header_u32(framing, 4);
        fields = (uint64_t)header_u32(framing, 12);
        fields = (fields + 7) & ~UINT64_C(7); /* padded to eight bytes */
        if (FRAMING_HEADER_SIZE + fields + body > FRAMING_MESSAGE_MAX)
                return -EBADMSG;
        framing->left = (size_t)(fields + body);
        if (framing->left == 0)
                framing->header_have = 0;
        return 0;
}

static int take_lines(Framing *framing, const char *data, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (step(&framing->matched, data[i])) {
                        assert(i + 1 == size);
                        framing->lines = LINES_OVER;
                        return 0;
                }
        framing->lines += size;
        return framing->lines > FRAMING_LINES_MAX ? -EBADMSG : 0;
}

static void keep(Framing *framing, const char *data, size_t size) {
        size_t room;

        if (framing->header_have == 0)
                framing->start_have = 0;
        room = sizeof(framing->start) - framing->start_have;
        size = size < room ? size : room;
        memcpy(framing->start + framing->start_have, data, size);
        framing->start_have += size;
}

int framing_take(Framing *framing, const char *data, size_t size) {
        assert(framing && data);

        if (framing->lines != LINES_OVER)
                return take_lines(framing, data, size);

        keep(framing, data, size);
        if (framing->header_have < FRAMING_HEADER_SIZE) {
                assert(size <= FRAMING_HEADER_SIZE - framing->header_have);
                memcpy(framing->header + framing->header_have, data, size);
                framing->header_have += size;
                return framing->header_have == FRAMING_HEADER_SIZE ? read_header(framing) : 0;
        }
        assert(size <= framing->left);
        framing->left -= size;
        if (framing->left == 0)
                framing->header_have = 0;
        return 0;
}
