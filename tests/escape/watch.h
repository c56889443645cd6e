/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Both print "ready" and go on until the end of standard input. @paths ends with NULL.
 *
 * watch_files() prints "saw PATH" for whatever happens to one; at an "o" from standard input
 * it opens all of them itself, behind a line "own".
 *
 * lock_files() locks them, and prints "busy PATH" for each that another one has locked and
 * "refused PATH" for each that it may not lock.
 */
int watch_files(char *const *paths);
int lock_files(char *const *paths);
