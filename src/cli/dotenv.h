/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * .env files: NAME=value lines, "export " before them allowed, # comments, values bare or in
 * single or double quotes (double: \n, \", \\ and \$; may span lines).
 */

#include <stdbool.h>

#include "base/cleanup.h"

typedef int (*DotenvVisitor)(const char *name, const char *value, void *userdata);

/**
 * dotenv_parse() - read a .env file's text
 * @text:      changed in place
 * @visit:     called for each variable; a negative return ends the parse
 * @userdata:  for @visit
 * @ret_line:  set on -EINVAL: the line that is not of that form, from 1
 *
 * Return: 0, -EINVAL, or what @visit returned.
 */
int dotenv_parse(char *text, DotenvVisitor visit, void *userdata, unsigned *ret_line) _must_check_;
