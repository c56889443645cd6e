/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tables under construction: cells, lines, and then all columns aligned at once. */

#include <stdio.h>

#include "cli/output.h"

/* A failure sticks and is reported by table_print(). */
typedef struct Table {
        FILE *stream;
        char *text;
        size_t size;
} Table;

void table_begin(Table *table);
/* Tenants' text is cleaned. */
void table_cell(Table *table, const char *fmt, ...) _printf_(2, 3);
void table_end_line(Table *table);
/* Return: 0 or -ENOMEM. */
int table_print(Table *table, const Output *output) _must_check_;

/* A line of two cells, "NAME:" and text. */
void table_info(Table *table, const char *name, const char *fmt, ...) _printf_(3, 4);

/* "=== TEXT" and an empty line, at once. */
void table_heading(const Output *output, const char *fmt, ...) _printf_(2, 3);
