/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/command.h"

/* Prints the last @n lines of @dyno (TYPE.N) of the invocation's app. Return: 0 or a negative errno. */
int logs_print_last(Invocation *invocation, const char *dyno, size_t n, FILE *out);
