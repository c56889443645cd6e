/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "init/listen_table.h"

#define STATE_LISTEN 0x0a /* TCP_LISTEN of the kernel's include/net/tcp_states.h */

typedef struct ListenLine {
        uint8_t address[16]; /* network byte order */
        size_t address_size; /* 4 or 16 */
        uint16_t port;
        uint8_t state;
} ListenLine;

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* Takes exactly @digits hex digits off *p. */
static bool take_hex(const char **p, const char *end, unsigned digits, uint32_t *ret) {
        uint32_t value = 0;

        if ((size_t)(end - *p) < digits)
                return false;
        for (unsigned i = 0; i < digits; i++) {
                int v = hex_value((*p)[i]);

                if (v < 0)
                        return false;
                value = value << 4 | (uint32_t)v;
        }

        *p += digits;
        *ret = value;
        return true;
}

static bool take_char(const char **p, const char *end, char c) {
        if (*p == end || **p != c)
                return false;
        (*p)++;
        return true;
}

/* The address is printed as 32-bit words in the machine's byte order: %08X of a __be32. */
static bool take_address(const char **p, const char *end, ListenLine *line) {
        line->address_size = 0;
        while (line->address_size < sizeof(line->address)) {
                uint32_t word;

                if (!take_hex(p, end, 8, &word))
                        return false;
                memcpy(line->address + line->address_size, &word, sizeof(word));
                line->address_size += sizeof(word);
                if (take_char(p, end, ':'))
                        break;
                if (line->address_size == sizeof(line->address))
                        return false;
        }

        return line->address_size == 4 || line->address_size == 16;
}

/* "   0: 0100007F:1F90 00000000:0000 0A ..." */
static bool parse_line(const char *p, const char *end, ListenLine *ret) {
        ListenLine remote;
        uint32_t value;

        while (p < end && *p == ' ')
                p++;
        while (p < end && *p >= '0' && *p <= '9')
                p++;
        if (!take_char(&p, end, ':') || !take_char(&p, end, ' '))
                return false;
        if (!take_address(&p, end, ret) || !take_hex(&p, end, 4, &value))
                return false;
        ret->port = (uint16_t)value;
        if (!take_char(&p, end, ' ') || !take_address(&p, end, &remote) ||
            !take_hex(&p, end, 4, &value) || !take_char(&p, end, ' '))
                return false;
        if (!take_hex(&p, end, 2, &value))
                return false;
        ret->state = (uint8_t)value;
        return true;
}

static bool is_loopback(const ListenLine *line) {
        static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

        if (line->address_size == 4)
                return line->address[0] == IN_LOOPBACKNET;
        if (memcmp(line->address, mapped, sizeof(mapped)) == 0)
                return line->address[12] == IN_LOOPBACKNET;
        return memcmp(line->address, &in6addr_loopback, sizeof(in6addr_loopback)) == 0;
}

ListenVerdict listen_table_scan(const char *text, size_t size, uint16_t port, size_t *ret_used) {
        const char *p, *end, *newline;

        assert(text && ret_used);

        end = text + size;
        for (p = text; (newline = memchr(p, '\n', (size_t)(end - p))); p = newline + 1) {
                ListenLine line;

                if (!parse_line(p, newline, &line))
                        continue; /* the heading */
                if (line.state != STATE_LISTEN)
                        return LISTEN_NONE;
                if (line.port == port && !is_loopback(&line))
                        return LISTEN_FOUND;
        }

        *ret_used = (size_t)(p - text);
        return LISTEN_MORE;
}
