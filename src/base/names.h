/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The names that users and tenants choose, and their limits. Every process checks a
 * name with these before it uses it, whoever sent it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define APP_NAME_SIZE 32      /* [a-z][a-z0-9-]{2,29}: Heroku's limit of 30 characters */
#define STACK_NAME_SIZE 32    /* as an app's name, with dots */
#define PROCESS_TYPE_SIZE 64  /* [A-Za-z0-9_-]{1,63}, as procfile-util reads Procfiles */
#define DYNO_NAME_SIZE 80     /* TYPE.N: "web.1" */
#define DYNO_ID_SIZE 88       /* TYPE.N-HHHHHH: "web.1-7f3a9c" */
#define INSTANCE_NAME_SIZE 10 /* [a-z][a-z0-9]{0,8}: with -NNNNN it must fit IFNAMSIZ */
#define SIZE_NAME_SIZE 32     /* "Standard-1X" */
/*
 * Bytes of memory for a dyno at least: its first process lives on them while it makes the dyno,
 * and for a part of that nothing may kill it. Measured with memory.max on Linux 6.1, x86-64: it
 * gets as far as dyno-init with 224 KiB, with less it fails on its way. The rest is for kernels
 * that charge more and for larger pages.
 */
#define DYNO_MEMORY_MIN (UINT64_C(8) << 20)
#define CONFIG_NAME_MAX 255 /* characters of a config var's name */

bool app_name_is_valid(const char *name);
bool stack_name_is_valid(const char *name);
bool process_type_is_valid(const char *type);
bool dyno_name_is_valid(const char *name); /* TYPE.N, N from 1 to 99999 without leading zeroes */
bool dyno_id_is_valid(const char *id);     /* TYPE.N-HHHHHH, six lower-case hex digits */
bool instance_name_is_valid(const char *name);

/* [A-Za-z_][A-Za-z0-9_]*, at most CONFIG_NAME_MAX, neither "__..." nor "HEROKU_...". */
bool config_name_is_valid(const char *name);

/*
 * True if the fixed-size array @field of @size bytes holds a NUL-terminated string and
 * nothing but zeroes behind it. The first check of every name in a message.
 */
bool field_is_clean(const char *field, size_t size);

/* Copies @text into @field, padding with zeroes. Asserts that it fits. */
void field_set(char *field, size_t size, const char *text);
