/* SPDX-License-Identifier: Apache-2.0 */

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "control/utf8.h"

/* Bytes of the character at @p, 0 if it is none (RFC 3629: shortest form, no surrogates). */
static size_t utf8_length(const unsigned char *p) {
        size_t n = p[0] < 0x80                    ? 1
                   : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
                   : (p[0] & 0xf0) == 0xe0        ? 3
                   : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                                  : 0;

        for (size_t i = 1; i < n; i++)
                if ((p[i] & 0xc0) != 0x80) /* the NUL at the end is none either */
                        return 0;
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
            (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
                return 0;
        return n;
}

char *utf8_make_valid(const char *text) {
        static const char replacement[] = "\xef\xbf\xbd";
        const unsigned char *p = (const unsigned char *)text;
        char *out = malloc(3 * strlen(text) + 1);
        size_t used = 0;

        if (!out)
                return NULL;
        while (*p) {
                size_t n = utf8_length(p);

                memcpy(out + used, n > 0 ? (const char *)p : replacement, n > 0 ? n : 3);
                used += n > 0 ? n : 3;
                p += n > 0 ? n : 1;
        }
        out[used] = '\0';

        return out;
}
