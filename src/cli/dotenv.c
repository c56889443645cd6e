/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "cli/dotenv.h"

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\r';
}

static char *skip_blank(char *p) {
        while (is_blank(*p))
                p++;
        return p;
}

/* Behind a quoted value only a comment may stand. Return: the end of the line, or NULL. */
static char *end_of_line(char *p) {
        p = skip_blank(p);
        if (*p == '#')
                p += strcspn(p, "\n");
        return *p == '\n' || *p == '\0' ? p : NULL;
}

/* Takes the quotes off the value at @p, in place. Return: behind the value, or NULL. */
static char *unquote(char *p, char **ret_value) {
        char quote = *p++, *out = p;

        *ret_value = p;
        for (; *p && *p != quote; p++) {
                if (quote == '"' && *p == '\\' && p[1] != '\0' && strchr("n\"\\$", p[1])) {
                        p++;
                        *out++ = *p == 'n' ? '\n' : *p;
                } else {
                        *out++ = *p;
                }
        }
        if (*p != quote)
                return NULL;
        p++;
        *out = '\0'; /* at most where the closing quote was */
        return p;
}

/* A bare value ends at the line's end or at " #". Return: the end of the line. */
static char *take_bare(char *p, char **ret_value, char *ret_end_char) {
        char *end = p + strcspn(p, "\n"), *last;

        *ret_value = p;
        *ret_end_char = *end;
        for (last = p; last < end; last++)
                if (*last == '#' && (last == p || is_blank(last[-1])))
                        break;
        while (last > p && is_blank(last[-1]))
                last--;
        *last = '\0';
        return end;
}

int dotenv_parse(char *text, DotenvVisitor visit, void *userdata, unsigned *ret_line) {
        unsigned line = 1;
        char *p = text;

        assert(text && visit && ret_line);

        for (;;) {
                char *name, *value, *end, end_char;
                size_t len;
                int r;

                p = skip_blank(p);
                if (*p == '#')
                        p += strcspn(p, "\n");
                if (*p == '\0')
                        return 0;
                if (*p == '\n') {
                        line++;
                        p++;
                        continue;
                }
                *ret_line = line;
                if (strncmp(p, "export", 6) == 0 && is_blank(p[6]))
                        p = skip_blank(p + 6);
                name = p;
                while (isalnum((unsigned char)*p) || *p == '_')
                        p++;
                len = (size_t)(p - name);
                if (len == 0 || *p != '=')
                        return -EINVAL;
                *p++ = '\0';

                if (*p == '"' || *p == '\'') {
                        for (const char *q = p + 1; *q && *q != *p; q++)
                                line += *q == '\n';
                        end = unquote(p, &value);
                        end = end ? end_of_line(end) : NULL;
                        if (!end)
                                return -EINVAL;
                        end_char = *end;
                } else {
                        end = take_bare(p, &value, &end_char);
                }
                r = visit(name, value, userdata);
                if (r < 0)
                        return r;
                if (end_char == '\0')
                        return 0;
                line++;
                p = end + 1;
        }
}
