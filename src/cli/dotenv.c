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
                        *out++ = (char)(*p == 'n' ? '\n' : *p);
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

/* Skips empty lines and comments. Return: the begin of a variable, or the end of the text. */
static char *skip_lines(char *p, unsigned *line) {
        for (;;) {
                p = skip_blank(p);
                if (*p == '#')
                        p += strcspn(p, "\n");
                if (*p != '\n')
                        return p;
                (*line)++;
                p++;
        }
}

typedef struct Variable {
        char *name, *value;
        char *end;     /* of its line */
        char end_char; /* what stood there: newline or NUL */
        unsigned lines;
} Variable;

/* Reads NAME=value at @p. Return: 0 or -EINVAL. */
static int take_variable(char *p, Variable *ret) {
        if (strncmp(p, "export", 6) == 0 && is_blank(p[6]))
                p = skip_blank(p + 6);
        ret->name = p;
        while (isalnum((unsigned char)*p) || *p == '_')
                p++;
        if (p == ret->name || *p != '=')
                return -EINVAL;
        *p++ = '\0';

        ret->lines = 1;
        if (*p != '"' && *p != '\'') {
                ret->end = take_bare(p, &ret->value, &ret->end_char);
                return 0;
        }
        for (const char *q = p + 1; *q && *q != *p; q++)
                ret->lines += *q == '\n';
        ret->end = unquote(p, &ret->value);
        ret->end = ret->end ? end_of_line(ret->end) : NULL;
        if (!ret->end)
                return -EINVAL;
        ret->end_char = *ret->end;
        return 0;
}

int dotenv_parse(char *text, DotenvVisitor visit, void *userdata, unsigned *ret_line) {
        unsigned line = 1;
        Variable variable;

        assert(text && visit && ret_line);

        for (char *p = skip_lines(text, &line); *p != '\0';
             p = skip_lines(variable.end + 1, &line)) {
                int r;

                *ret_line = line;
                r = take_variable(p, &variable);
                if (r < 0)
                        return r;
                r = visit(variable.name, variable.value, userdata);
                if (r < 0)
                        return r;
                if (variable.end_char == '\0')
                        return 0;
                line += variable.lines;
        }
        return 0;
}
