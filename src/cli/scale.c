/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "cli/scale.h"

/* Where the operator stands: the first '=', or the last '+' or '-' (types may hold a '-'). */
static const char *find_operator(const char *text, const char *end) {
        const char *equals = memchr(text, '=', (size_t)(end - text));

        if (equals)
                return equals;
        for (const char *p = end - 1; p > text; p--)
                if (*p == '+' || *p == '-')
                        return p;
        return NULL;
}

int scale_parse(ScaleArgument *ret, const char *text) {
        const char *colon = strchr(text, ':');
        const char *end = colon ?: text + strlen(text);
        const char *op = find_operator(text, end);
        ScaleArgument change = {};
        char number[16];
        uint32_t quantity;

        if (!op || op == text || (size_t)(op - text) >= sizeof(change.type) ||
            (size_t)(end - op) > sizeof(number))
                return -EINVAL;
        memcpy(change.type, text, (size_t)(op - text));
        if (!process_type_is_valid(change.type))
                return -EINVAL;

        memcpy(number, op + 1, (size_t)(end - op - 1));
        number[end - op - 1] = '\0';
        if (parse_u32(number, &quantity) < 0 || quantity > INT32_MAX)
                return -EINVAL;
        change.relative = *op != '=';
        change.quantity = *op == '-' ? -(int32_t)quantity : (int32_t)quantity;

        if (colon) {
                if (colon[1] == '\0' || strlen(colon + 1) >= sizeof(change.size))
                        return -EINVAL;
                memcpy(change.size, colon + 1, strlen(colon + 1) + 1);
        }
        *ret = change;
        return 0;
}
