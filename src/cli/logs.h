/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/command.h"

/* The log stream, for commands other than `logs`. */

/* Prints the last @n lines of @dyno (TYPE.N) of the invocation's app. Return: 0 or a negative errno. */
int logs_print_last(Invocation *invocation, const char *dyno, size_t n, FILE *out);

/* The last line that @dyno itself wrote, NULL if there is none; owned by the caller. */
char *logs_last_words(Invocation *invocation, const char *app, const char *dyno);
