/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What config.c (files) and config_keys.c (the table of keys) share. */

#include "config/config.h"

/* One value as it was read, and its place. A list, in the order of reading. */
typedef struct ConfigText ConfigText;
struct ConfigText {
        ConfigText *next;
        char *section; /* "" or the name of a size */
        char *key, *value, *file;
        unsigned line;
};

typedef struct ConfigPlace {
        const char *file;
        unsigned line;
        char section[SIZE_NAME_SIZE];
} ConfigPlace;

/* Fills reterr->text; returns -EINVAL. */
int config_refuse(ConfigError *reterr, const char *fmt, ...) _printf_(2, 3);

/* Sets a key outside of sections. Return: 0, -EINVAL with reterr->text, or -ENOMEM. */
int config_set(Config *config, const char *name, const char *value, ConfigError *reterr)
        _must_check_;
/* Sets a key of [size NAME], making the size if it is new. Same results. */
int config_set_size(
        Config *config, const char *name, const char *key, const char *value, ConfigError *reterr)
        _must_check_;

int config_set_defaults(Config *config) _must_check_;

/* After all files: checks what involves several keys, finds resolvers. Same results. */
int config_finish(Config *config, ConfigError *reterr) _must_check_;

/* Every key and size as lines that config_parse_text() reads back. */
void config_write_values(const Config *config, FILE *out);

/* Reads lines; @text is taken apart. Return: 0, -EINVAL with @reterr filled, or -ENOMEM. */
int config_parse_text(Config *config, const char *file, char *text, ConfigError *reterr)
        _must_check_;
