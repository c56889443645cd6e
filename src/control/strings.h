/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lists of strings out of a message, as the manager takes them: NULL-terminated. */

#include <stddef.h>
#include <systemd/sd-bus.h>

#include "base/cleanup.h"

typedef struct Strings {
        const char **items; /* the strings are the message's */
        size_t n;
} Strings;

#define _cleanup_strings_ _cleanup_(strings_clear)

/* Reads an as, or an a{ss} as name, value, name, value. Return: 0 or a negative errno. */
int strings_read(Strings *ret, sd_bus_message *m) _must_check_;
int strings_read_pairs(Strings *ret, sd_bus_message *m) _must_check_;

static inline const char *const *strings_list(const Strings *strings) {
        static const char *const none[] = {NULL};

        return strings->items ? strings->items : none;
}

static inline void strings_clear(Strings *strings) {
        free(strings->items);
        *strings = (Strings){};
}
