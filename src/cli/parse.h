/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From argv to an Invocation, by the table of commands and options. */

#include "cli/command.h"

/**
 * parse_command_line() - find the command, read options and arguments
 * @ret:        filled; release with invocation_clear(), also after a failure: what was
 *              understood (--json, the command) is in it
 * @argc:       as main()'s
 * @argv:       as main()'s; borrowed for the life of @ret
 * @reterr:     filled on -EINVAL
 *
 * Options may stand before the command, behind it and among its arguments; "--" ends
 * them. Behind the first word of a command line (`run`, `ps:exec`) only a last "-a APP"
 * is still ours, as in Heroku's `run bash -a shop`. Without any command @ret->command
 * is that of `help`.
 *
 * Return: 0, -EINVAL (usage, @reterr says what), or -ENOMEM.
 */
int parse_command_line(Invocation *ret, int argc, char **argv, Failure *reterr) _must_check_;

void invocation_clear(Invocation *invocation);

/* Sets @invocation->app from -a or HEROKU_APP. @first_arg: the first argument may name it. */
void invocation_find_app(Invocation *invocation);
