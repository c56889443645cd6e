/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>

#include "cli/render.h"
#include "cli/text.h"

#define TABLE_COLUMNS_MAX 8
#define TABLE_GAP 2

/* The width of the cell at @p, and where the next one begins (its tab, newline or end). */
static size_t cell_width(const char *p, const char **ret_end) {
        size_t n = 0;

        for (; *p && *p != '\t' && *p != '\n'; p++)
                n += ((unsigned char)*p & 0xc0) != 0x80;
        *ret_end = p;
        return n;
}

static void measure(const char *text, size_t widths[TABLE_COLUMNS_MAX]) {
        size_t column = 0;

        for (const char *p = text; *p; p++) {
                const char *end;
                size_t w = cell_width(p, &end);

                if (column < TABLE_COLUMNS_MAX && w > widths[column])
                        widths[column] = w;
                p = end;
                column = *p == '\t' ? column + 1 : 0;
                if (!*p)
                        break;
        }
}

int render_table(const Output *output, const char *text) {
        size_t widths[TABLE_COLUMNS_MAX] = {};
        size_t column = 0;

        measure(text, widths);
        for (const char *p = text; *p; p++) {
                const char *end;
                size_t w = cell_width(p, &end);

                (void)fwrite(p, 1, (size_t)(end - p), output->out);
                if (*end == '\t') {
                        size_t pad = column < TABLE_COLUMNS_MAX ? widths[column] - w : 0;

                        (void)fprintf(output->out, "%*s", (int)(pad + TABLE_GAP), "");
                        column++;
                } else {
                        (void)fputc('\n', output->out);
                        column = 0;
                }
                p = end;
                if (!*p)
                        break;
        }
        return 0;
}
