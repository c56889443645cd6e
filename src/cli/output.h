/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where herokuctl writes: results on stdout, what is being done on stderr.
 *
 * Everything that depends on the terminal is decided once and kept here, so that tests
 * render to memory with and without one.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cleanup.h"

typedef enum Color {
        COLOR_NONE,
        COLOR_BOLD,
        COLOR_DIM,
        COLOR_RED,
        COLOR_GREEN,
        COLOR_YELLOW,
        _COLOR_MAX,
} Color;

typedef struct Output {
        FILE *out, *err; /* borrowed */
        bool out_terminal, err_terminal;
        bool color; /* on stdout */
        bool quiet; /* no progress */
        bool json;
        unsigned width;    /* columns of stdout, 0: nothing is cut */
        uint64_t now_usec; /* CLOCK_REALTIME when the program started; tests set it */
} Output;

/* An error on its way to the user. Texts are owned. */
typedef struct Failure {
        char *name; /* org.dynod.Error.* */
        char *message;
        char *hint; /* or NULL */
} Failure;

#define FAILURE_INIT                                                                               \
        { .name = NULL }
#define _cleanup_failure_ _cleanup_(failure_clear)

void failure_clear(Failure *failure);

/* Fills @failure, replacing what was there. @message of the form "text\nhint" is split. */
void failure_set(Failure *failure, const char *name, const char *message);
void failure_setf(Failure *failure, const char *name, const char *fmt, ...) _printf_(3, 4);

/* The exit status that stands for an error of that name. */
int failure_exit_status(const Failure *failure);

void output_init(Output *output); /* of this process: terminal, NO_COLOR, width, clock */

/* Start and end of a colour on stdout: empty strings where there is none. */
const char *output_color(const Output *output, Color color);
const char *output_plain(const Output *output);

/* " !    message hint" or the JSON object on stderr. */
void output_failure(Output *output, const Failure *failure);

/* A line on stderr for whoever reads along; not for programs, and not with -q. */
void output_note(Output *output, const char *fmt, ...) _printf_(2, 3);

/*
 * An action: "Scaling dynos... done, now running web at 2:Standard-1X".
 *
 * Its line is begun at once on a terminal and written whole elsewhere, so that lines of
 * several writers do not mix in a file.
 */
typedef struct Action {
        Output *output;
        char *title; /* NULL: nothing under way */
        uint64_t started_usec, drawn_usec;
} Action;

#define ACTION_INIT(_output)                                                                       \
        { .output = (_output) }
#define _cleanup_action_ _cleanup_(action_clear)

void action_begin(Action *action, const char *fmt, ...) _printf_(2, 3);
/* Redraws the line of a terminal with @text, at most ten times a second, from 0.5 s on. */
void action_progress(Action *action, const char *text);
/* Ends the line: "done, v16". */
void action_end(Action *action, const char *fmt, ...) _printf_(2, 3);
void action_clear(Action *action); /* an action that is still open ends with "failed" */
uint64_t action_duration(const Action *action);
