/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * utf8_make_valid() - what D-Bus takes as a string
 * @text:  any bytes: commands, file names and log lines are tenants' text
 *
 * Return: a copy with every byte that is not UTF-8 replaced by U+FFFD, owned by the
 * caller, or NULL for lack of memory.
 */
char *utf8_make_valid(const char *text);
