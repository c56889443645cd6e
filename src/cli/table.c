/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "cli/render.h"
#include "cli/table.h"
#include "cli/text.h"

#define TABLE_COLUMNS_MAX 12
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

/* ---- under construction ---- */

void table_begin(Table *table) {
        *table = (Table){};
        table->stream = open_memstream(&table->text, &table->size);
}

void table_cell(Table *table, const char *fmt, ...) {
        _cleanup_free_ char *raw = NULL, *clean = NULL;
        va_list ap;
        int n;

        if (!table->stream)
                return;
        va_start(ap, fmt);
        n = vasprintf(&raw, fmt, ap);
        va_end(ap);
        if (n < 0)
                raw = NULL;
        clean = raw ? text_clean(raw, strlen(raw)) : NULL;
        for (char *p = clean; p && *p; p++)
                if (*p == '\t')
                        *p = ' '; /* a tab separates cells */
        (void)fprintf(table->stream, "%s\t", clean ?: "");
}

void table_end_line(Table *table) {
        /* the tab behind the last cell becomes the end of the line */
        if (table->stream && fflush(table->stream) == 0 && table->size > 0) {
                (void)fseeko(table->stream, -1, SEEK_CUR);
                (void)fputc('\n', table->stream);
        }
}

int table_print(Table *table, const Output *output) {
        int r = -ENOMEM;

        if (table->stream && fclose(table->stream) == 0)
                r = render_table(output, table->text);
        free(table->text);
        return r;
}

void table_heading(const Output *output, const char *fmt, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&text, fmt, ap);
        va_end(ap);
        if (n < 0)
                text = NULL;
        (void)fprintf(
                output->out,
                "=== %s%s%s\n\n",
                output_color(output, COLOR_BOLD),
                text ?: "",
                output_plain(output));
}

void table_info(Table *table, const char *name, const char *fmt, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&text, fmt, ap);
        va_end(ap);
        if (n < 0)
                text = NULL;
        table_cell(table, "%s%s", name, *name ? ":" : "");
        table_cell(table, "%s", text ?: "");
        table_end_line(table);
}
