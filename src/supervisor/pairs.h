/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names with values, sorted by name: config vars, process types. */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

typedef struct Pair {
        char *name, *value;
} Pair;

typedef struct Pairs {
        Pair *items; /* sorted by name, no name twice */
        size_t n;
} Pairs;

#define _cleanup_pairs_ _cleanup_(pairs_clear)

void pairs_clear(Pairs *pairs);

/* The value of @name, borrowed; NULL if there is none. */
const char *pairs_get(const Pairs *pairs, const char *name);

/* Adds or replaces; both strings are copied. Return: 0 or -ENOMEM, then nothing has changed. */
int pairs_set(Pairs *pairs, const char *name, const char *value) _must_check_;

/* Return: whether it was there. */
bool pairs_unset(Pairs *pairs, const char *name);

/* @to must be empty. Return: 0 or -ENOMEM, then @to is empty. */
int pairs_copy(Pairs *to, const Pairs *from) _must_check_;

/* Bytes of all names and values. */
size_t pairs_bytes(const Pairs *pairs);

/* A growing NULL-terminated list of strings. */
typedef struct Strings {
        char **items; /* NULL-terminated; NULL while nothing was added */
        size_t n;
} Strings;

#define _cleanup_strings_ _cleanup_(strings_clear)

void strings_clear(Strings *strings);
/* Adds a copy. Return: 0 or -ENOMEM. */
int strings_add(Strings *strings, const char *text) _must_check_;
int strings_addf(Strings *strings, const char *fmt, ...) _printf_(2, 3) _must_check_;
/* Adds "NAME=VALUE". */
int strings_add_variable(Strings *strings, const char *name, const char *value) _must_check_;
bool strings_contain(const Strings *strings, const char *text);
/* All of them with @separator between. Return: owned by the caller, NULL without memory. */
char *strings_join(const char *const *list, const char *separator);
