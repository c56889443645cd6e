/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "supervisor/pairs.h"

void pairs_clear(Pairs *pairs) {
        for (size_t i = 0; i < pairs->n; i++) {
                free(pairs->items[i].name);
                free(pairs->items[i].value);
        }
        free(pairs->items);
        *pairs = (Pairs){0};
}

/* The place of @name, or where it would have to be. */
static size_t pairs_place(const Pairs *pairs, const char *name, bool *ret_found) {
        size_t from = 0, to = pairs->n;

        *ret_found = false;
        while (from < to) {
                size_t middle = from + (to - from) / 2;
                int order = strcmp(pairs->items[middle].name, name);

                if (order == 0) {
                        *ret_found = true;
                        return middle;
                }
                if (order < 0)
                        from = middle + 1;
                else
                        to = middle;
        }

        return from;
}

const char *pairs_get(const Pairs *pairs, const char *name) {
        bool found;
        size_t i = pairs_place(pairs, name, &found);

        return found ? pairs->items[i].value : NULL;
}

int pairs_set(Pairs *pairs, const char *name, const char *value) {
        _cleanup_free_ char *new_name = NULL, *new_value = NULL;
        Pair *items;
        bool found;
        size_t i;

        assert(name && value);

        i = pairs_place(pairs, name, &found);
        new_value = strdup(value);
        if (!new_value)
                return -ENOMEM;
        if (found) {
                free(pairs->items[i].value);
                pairs->items[i].value = TAKE_PTR(new_value);
                return 0;
        }

        new_name = strdup(name);
        items = reallocarray(pairs->items, pairs->n + 1, sizeof(*items));
        if (items)
                pairs->items = items;
        if (!new_name || !items)
                return -ENOMEM;

        memmove(items + i + 1, items + i, (pairs->n - i) * sizeof(*items));
        items[i] = (Pair){.name = TAKE_PTR(new_name), .value = TAKE_PTR(new_value)};
        pairs->n++;
        return 0;
}

bool pairs_unset(Pairs *pairs, const char *name) {
        bool found;
        size_t i = pairs_place(pairs, name, &found);

        if (!found)
                return false;

        free(pairs->items[i].name);
        free(pairs->items[i].value);
        pairs->n--;
        memmove(pairs->items + i, pairs->items + i + 1, (pairs->n - i) * sizeof(*pairs->items));
        return true;
}

int pairs_copy(Pairs *to, const Pairs *from) {
        assert(to->n == 0);

        for (size_t i = 0; i < from->n; i++)
                if (pairs_set(to, from->items[i].name, from->items[i].value) < 0) {
                        pairs_clear(to);
                        return -ENOMEM;
                }

        return 0;
}

size_t pairs_bytes(const Pairs *pairs) {
        size_t bytes = 0;

        for (size_t i = 0; i < pairs->n; i++)
                bytes += strlen(pairs->items[i].name) + strlen(pairs->items[i].value);

        return bytes;
}

void strings_clear(Strings *strings) {
        for (size_t i = 0; i < strings->n; i++)
                free(strings->items[i]);
        free(strings->items);
        *strings = (Strings){0};
}

/* Takes @text over in any case; NULL stands for "no memory". */
static int strings_take(Strings *strings, char *text) {
        char **items = NULL;

        if (text)
                items = reallocarray(strings->items, strings->n + 2, sizeof(*items));
        if (!items) {
                free(text);
                return -ENOMEM;
        }

        items[strings->n++] = text;
        items[strings->n] = NULL;
        strings->items = items;
        return 0;
}

int strings_add(Strings *strings, const char *text) {
        return strings_take(strings, strdup(text));
}

int strings_addf(Strings *strings, const char *fmt, ...) {
        char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&text, fmt, ap);
        va_end(ap);

        return strings_take(strings, n < 0 ? NULL : text);
}

int strings_add_variable(Strings *strings, const char *name, const char *value) {
        return strings_addf(strings, "%s=%s", name, value);
}

bool strings_contain(const Strings *strings, const char *text) {
        for (size_t i = 0; i < strings->n; i++)
                if (strcmp(strings->items[i], text) == 0)
                        return true;

        return false;
}

char *strings_join(const char *const *list, const char *separator) {
        size_t size = 1;
        char *text, *p;

        for (size_t i = 0; list && list[i]; i++)
                size += strlen(list[i]) + strlen(separator);
        text = malloc(size);
        if (!text)
                return NULL;

        p = text;
        *p = '\0';
        for (size_t i = 0; list && list[i]; i++) {
                if (i > 0)
                        p = stpcpy(p, separator);
                p = stpcpy(p, list[i]);
        }

        return text;
}
