/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "control/call_header.h"
#include "control/framing.h"
#include "dynod/bus.h"

/* Codes and types of the D-Bus specification, "Header Fields". */
typedef enum HeaderField {
        FIELD_PATH = 1,
        FIELD_INTERFACE = 2,
        FIELD_MEMBER = 3,
        FIELD_DESTINATION = 6,
        FIELD_SIGNATURE = 8,
        FIELD_UNIX_FDS = 9,
        _FIELD_MAX,
} HeaderField;

#define METHOD_CALL 1
#define DEPTH_MAX 8 /* of containers in a signature; ours have two */
#define NAME_MAX_BYTES 255
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"

typedef struct Reader {
        const uint8_t *data;
        size_t at, end;
} Reader;

/* Skips to a multiple of @to, over zeroes. */
static bool align(Reader *r, size_t to) {
        for (; r->at % to != 0; r->at++)
                if (r->at >= r->end || r->data[r->at] != 0)
                        return false;
        return true;
}

static bool take_u32(Reader *r, uint32_t *ret) {
        const uint8_t *p;

        if (!align(r, 4) || r->end - r->at < 4)
                return false;
        p = r->data + r->at;
        *ret = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        r->at += 4;
        return true;
}

/* A text of @size bytes and its NUL. NULL: it is none. */
static const char *take_text(Reader *r, size_t size) {
        const char *text = (const char *)r->data + r->at;

        if (size >= r->end - r->at || strnlen(text, size + 1) != size)
                return NULL;
        r->at += size + 1;
        return text;
}

static bool is_member(const char *text) {
        return strlen(text) <= NAME_MAX_BYTES && *text != '\0' && strchr(LETTERS, *text) &&
               text[strspn(text, LETTERS "0123456789")] == '\0';
}

/* Two parts or more, as of a well-known name. */
static bool is_bus_name(const char *text) {
        size_t n_parts = 0;

        if (strlen(text) > NAME_MAX_BYTES)
                return false;
        for (;; n_parts++) {
                if (*text == '\0' || !strchr(LETTERS, *text))
                        return false;
                text += strspn(text, LETTERS "0123456789");
                if (*text == '\0')
                        return n_parts > 0;
                if (*text++ != '.')
                        return false;
        }
}

/* Moves behind one complete type. */
static bool skip_type(const char **at, unsigned depth) {
        char type = *(*at)++;
        unsigned n = 0;

        if (type == 'a' && depth < DEPTH_MAX) {
                if (**at != '{')
                        return skip_type(at, depth + 1);
                (*at)++;
                /* a dictionary has a basic key */
                if (**at == '\0' || !strchr("ybnqiuxtdsogh", **at))
                        return false;
                (*at)++;
                return skip_type(at, depth + 1) && *(*at)++ == '}';
        }
        if (type == '(' && depth < DEPTH_MAX) {
                for (; **at != ')'; n++)
                        if (!skip_type(at, depth + 1))
                                return false;
                (*at)++;
                return n > 0;
        }
        return type != '\0' && strchr("ybnqiuxtdsoghv", type) != NULL;
}

static bool is_signature(const char *text) {
        while (*text)
                if (!skip_type(&text, 0))
                        return false;
        return true;
}

static bool take_field(Reader *r, HeaderField field, size_t n_fds) {
        const char *text;
        uint32_t n;

        if (field == FIELD_SIGNATURE) {
                if (r->at >= r->end)
                        return false;
                n = r->data[r->at++];
                text = take_text(r, n);
                return text && is_signature(text);
        }
        if (!take_u32(r, &n))
                return false;
        if (field == FIELD_UNIX_FDS)
                return n == n_fds;
        text = take_text(r, n);
        if (!text)
                return false;

        switch (field) {
        case FIELD_PATH:
                return strcmp(text, DYNOD_BUS_PATH) == 0;
        case FIELD_INTERFACE:
                return strcmp(text, DYNOD_BUS_INTERFACE) == 0;
        case FIELD_MEMBER:
                return is_member(text);
        case FIELD_DESTINATION:
                return is_bus_name(text);
        case FIELD_SIGNATURE:
        case FIELD_UNIX_FDS:
        case _FIELD_MAX:
                break;
        }
        return false;
}

/* The type that each field has; 0: not in a call of ours. */
static const uint8_t field_types[_FIELD_MAX] = {
        [FIELD_PATH] = 'o',
        [FIELD_INTERFACE] = 's',
        [FIELD_MEMBER] = 's',
        [FIELD_DESTINATION] = 's',
        [FIELD_SIGNATURE] = 'g',
        [FIELD_UNIX_FDS] = 'u',
};

bool call_header_is_plain(const uint8_t *data, size_t size, size_t n_fds) {
        const uint32_t needed = 1U << FIELD_PATH | 1U << FIELD_MEMBER | 1U << FIELD_UNIX_FDS;
        Reader r = {.data = data, .at = 8, .end = FRAMING_HEADER_SIZE};
        uint32_t serial = 0, fields = 0, seen = 0;

        if (size < FRAMING_HEADER_SIZE || data[0] != 'l' || data[1] != METHOD_CALL || data[3] != 1)
                return false;
        if (!take_u32(&r, &serial) || !take_u32(&r, &fields) || serial == 0 ||
            fields > size - FRAMING_HEADER_SIZE)
                return false;

        r.end += fields;
        while (r.at < r.end) {
                const uint8_t *p;

                if (!align(&r, 8) || r.end - r.at < 4)
                        return false;
                p = r.data + r.at;
                if (p[0] == 0 || p[0] >= _FIELD_MAX || (seen & 1U << p[0]) != 0 || p[1] != 1 ||
                    p[2] != field_types[p[0]] || p[2] == 0 || p[3] != 0)
                        return false;
                seen |= 1U << p[0];
                r.at += 4;
                if (!take_field(&r, (HeaderField)p[0], n_fds))
                        return false;
        }
        return (seen & needed) == needed;
}
