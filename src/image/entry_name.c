/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "image/entry_name.h"

static bool is_dotdot(const char *part, size_t size) {
        return size == 2 && part[0] == '.' && part[1] == '.';
}

UnpackReason entry_name_parse(EntryName *ret, const char *raw) {
        size_t used = 0;

        assert(ret);
        assert(raw);

        if (raw[0] == '\0')
                return UNPACK_CORRUPT;
        if (strlen(raw) >= PATH_MAX)
                return UNPACK_NAME_TOO_LONG;

        ret->absolute = raw[0] == '/';
        for (const char *part = raw; *part;) {
                size_t size = strcspn(part, "/");

                if (is_dotdot(part, size))
                        return UNPACK_NAME_DOTDOT;
                if (size > NAME_MAX)
                        return UNPACK_NAME_TOO_LONG;
                if (size > 0 && !(size == 1 && part[0] == '.')) {
                        if (used > 0)
                                ret->path[used++] = '/';
                        memcpy(ret->path + used, part, size);
                        used += size;
                }
                part += size;
                part += strspn(part, "/");
        }
        ret->path[used] = '\0';
        return UNPACK_OK;
}

bool entry_name_ends_with_dot(const char *raw) {
        size_t size = strlen(raw);

        while (size > 0 && raw[size - 1] == '/')
                size--;
        return size > 0 && raw[size - 1] == '.' && (size == 1 || raw[size - 2] == '/');
}

bool entry_name_is_below(const char *path, const char *folder) {
        size_t size = strlen(folder);

        return strncmp(path, folder, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

static bool is_continuation(char c) {
        return ((uint8_t)c & 0xc0) == 0x80;
}

size_t utf8_sequence(const char *s, size_t size) {
        static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
        uint8_t first;
        uint32_t code;
        size_t n;

        if (size == 0)
                return 0;

        first = (uint8_t)s[0];
        if (first < 0x80)
                return 1;
        n = first >= 0xf8 ? 0 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;
        if (n == 0 || n > size)
                return 0;

        code = first & (0xffU >> (n + 1));
        for (size_t i = 1; i < n; i++) {
                if (!is_continuation(s[i]))
                        return 0;
                code = code << 6 | ((uint8_t)s[i] & 0x3f);
        }
        /* Neither the long form of a shorter sequence, nor a surrogate, nor past the end. */
        if (code < smallest[n] || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff)
                return 0;
        return n;
}

void entry_name_to_text(char *ret, size_t size, const char *raw, size_t raw_size) {
        size_t used = 0;

        assert(ret);
        assert(size > 0);

        for (size_t i = 0; i < raw_size;) {
                size_t n = utf8_sequence(raw + i, raw_size - i);
                bool ok = n > 0 && raw[i] != '\0';

                if (used + (ok ? n : 1) >= size)
                        break;
                if (ok)
                        memcpy(ret + used, raw + i, n);
                else
                        ret[used] = '?';
                used += ok ? n : 1;
                i += n > 0 ? n : 1;
        }
        ret[used] = '\0';
}
