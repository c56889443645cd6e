/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* herokuctl but its main(): what tests call with an Output of their own. */

#include "cli/command.h"

/**
 * cli_main() - carry out one command line
 * @argc, @argv:  as main()'s
 * @output:       where to write; --json, -q and --no-color are entered there
 *
 * Return: the exit status.
 */
int cli_main(int argc, char **argv, Output *output);

/* As cli_main(), over a connected control socket, which it closes. For tests. */
int cli_main_on(int argc, char **argv, Output *output, int fd);

/* ---- for the commands ---- */

/* Prints @value if --json was asked for. Return: whether it did. */
bool cli_print_json(const Invocation *invocation, struct json_object *value);

/* The negative errno of a step without a text of its own: fills @reterr. Return: -1. */
int cli_internal_error(Failure *reterr, int r);

/* `run` as the process on the other side of -H. Returns only if ssh cannot be started. */
int remote_run(const Invocation *invocation, int argc, char **argv, Failure *reterr);

/* Help for @topic (a command, a topic, or NULL for the first page). */
int help_print(const Output *output, const char *topic, const char *host_line, Failure *reterr);

/* What --generate and the completion script ask for; NULL: not one of them. */
int generate_man(FILE *out);
int generate_completion(FILE *out);
int complete_print(int argc, char **argv, Output *output);
