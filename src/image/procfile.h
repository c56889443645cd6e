/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Procfiles. No system calls; the text is a tenant's.
 *
 *   TYPE: COMMAND
 *
 * One process type per line, [A-Za-z0-9_-]{1,63}, each once. Blank lines, lines that
 * start with # or //, and a comment behind a command (white space, #, outside quotes)
 * are passed over. Line ends may be CRLF. One bad line makes the whole file bad, so that
 * the rest of a merge conflict is never taken for process types.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/names.h"

#define PROCFILE_SIZE_MAX ((size_t)256 * 1024) /* bytes; as much as a dyno's whole environment */
#define PROCFILE_TYPES_MAX 256     /* process types in one file; Heroku's users have tens */
#define PROCFILE_COMMAND_SIZE 4096 /* as UnpackMessage.text holds it, with the NUL */

typedef struct ProcfileProcess {
        char type[PROCESS_TYPE_SIZE];
        char *command;
} ProcfileProcess;

typedef struct Procfile {
        ProcfileProcess *processes;
        size_t n_processes;
} Procfile;

typedef struct ProcfileError {
        uint32_t line;    /* from 1 */
        const char *why;  /* static */
        const char *text; /* the line, points into the buffer */
        size_t text_size;
} ProcfileError;

/**
 * procfile_parse() - parse a whole Procfile
 * @ret:     filled on success, release with procfile_clear()
 * @buf:     its contents
 * @size:    bytes in @buf
 * @reterr:  filled on -EINVAL: the first bad line
 *
 * Return: 0, -EINVAL or -ENOMEM.
 */
int procfile_parse(Procfile *ret, const char *buf, size_t size, ProcfileError *reterr) _must_check_;
void procfile_clear(Procfile *procfile);
