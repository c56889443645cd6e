/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text as people read it: times, sizes, counts, widths; and cleaning what tenants wrote. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define TEXT_TIME_SIZE 64
#define TEXT_NUMBER_SIZE 48

/**
 * text_clean() - make a tenant's text harmless for a terminal
 * @text:  bytes, not necessarily UTF-8
 * @size:  how many
 *
 * Escape sequences are dropped; other control characters (C0 but tab, DEL, C1), those that
 * reorder text (UAX #9: embeddings, overrides, isolates) or end a line, and what is not UTF-8
 * become '?'.
 *
 * Return: NUL-terminated text, owned by the caller, or NULL for lack of memory.
 */
char *text_clean(const char *text, size_t size) _must_check_;

/* The same bytes with what is not UTF-8 (and NUL) replaced by U+FFFD: what JSON takes. */
char *text_to_utf8(const char *text, size_t size) _must_check_;

/* "2026/11/23 19:22:41 +0000 (~ 4m ago)", local time; without the age beyond 25 hours. */
void text_time_ago(char ret[TEXT_TIME_SIZE], uint64_t usec, uint64_t now_usec);

/* "19:40:02", local time. */
void text_time_of_day(char ret[TEXT_TIME_SIZE], uint64_t usec);

/* "2026-11-23T19:19:31.204118+00:00" (logs) or "...204118Z" (JSON). */
void text_time_log(char ret[TEXT_TIME_SIZE], uint64_t usec, bool json);

/* Parses RFC 3339 in UTC ("2026-11-23T19:22:41[.frac]Z" or +00:00). Return: 0 or -EINVAL. */
int text_parse_time(const char *text, uint64_t *ret_usec) _must_check_;

void text_bytes(char ret[TEXT_NUMBER_SIZE], uint64_t bytes);      /* "93.1 MB" */
void text_count(char ret[TEXT_NUMBER_SIZE], uint64_t n);          /* "7,960" */
void text_seconds(char ret[TEXT_NUMBER_SIZE], uint64_t usec);     /* "0.4 s" */
void text_age(char ret[TEXT_NUMBER_SIZE], uint64_t usec);         /* "4m", "13m", "2h" */
const char *text_ordinal(char ret[TEXT_NUMBER_SIZE], uint64_t n); /* "2nd" */

/* Columns of a terminal that UTF-8 @text takes, counting every character as one. */
size_t text_width(const char *text);

/* A copy that takes at most @width columns, the last one "…"; 0: all of it. NULL: no memory. */
char *text_cut(const char *text, size_t width) _must_check_;

/* Edits between two names; what is far apart is not worth a hint. */
size_t text_distance(const char *a, const char *b);

/* The nearest of @names (NULL-terminated), or NULL if none is near. Borrowed. */
const char *text_nearest(const char *name, const char *const *names);

/* Stable over runs and machines (FNV-1a). */
uint32_t text_hash(const char *text);

/* Appends @word to @*line, single-quoted if a shell would not take it as one word. */
int text_append_quoted(char **line, const char *word) _must_check_;
