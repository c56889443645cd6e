/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The output of one dyno: two FIFOs, `app` (what the app writes, source app) and `log`
 * (dyno-init's, source heroku), a spool for each, and the order between them. dyno-init alone
 * writes to either: see init/relay.h.
 *
 * What is taken in one turn is always taken from `app` first: whatever the app had
 * written then, dyno-init had announced before in `log`, which is taken next. And
 * dyno-init says "Process exited" only when `app` is empty, so all that the app wrote is
 * taken by then. Lines are made accordingly: dyno-init's first line, then the app's,
 * then the rest of dyno-init's.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "logs/app_log.h"
#include "logs/stream.h"

/* Taken from one FIFO per turn of the loop: what a flood can keep the others waiting. */
#define CAPTURE_TURN_BYTES ((size_t)1024 * 1024)

typedef struct Capture Capture;

/* What all captures of a logger share. */
typedef struct CaptureContext {
        int epoll_fd;
        StreamSet *streams; /* borrowed; NULL: nobody listens */
        char *buf;          /* CAPTURE_TURN_BYTES; owned */
        RecordBuffer batch;
} CaptureContext;

int capture_context_init(CaptureContext *context, int epoll_fd, StreamSet *streams) _must_check_;
void capture_context_clear(CaptureContext *context);

/**
 * capture_new() - open or make the spools of a dyno
 * @ret:      owned by the caller
 * @context:  borrowed, outlives it
 * @app:      whose dyno it is; borrowed, outlives it or is taken away by capture_forget(),
 *            NULL: that was done already
 * @id:       valid ID of a dyno; copied
 *
 * Return: 0 or a negative errno.
 */
int capture_new(Capture **ret, CaptureContext *context, AppLog *app, const char *id) _must_check_;

/* Closes everything; the spools stay for the next logger unless it is over. */
Capture *capture_free(Capture *capture);
DEFINE_CLEANUP(Capture, capture_free)

/**
 * capture_attach() - open the FIFOs
 * @capture:  not attached so far
 * @dir_fd:   the dyno's folder below /run; borrowed for this call
 *
 * Return: 0 or a negative errno (-ENOTSUP: what is there is no FIFO); it may be tried again.
 */
int capture_attach(Capture *capture, int dir_fd) _must_check_;

bool capture_is_attached(const Capture *capture);
const char *capture_id(const Capture *capture);
const AppLog *capture_app(const Capture *capture); /* NULL: forgotten */

/* Notes an event of the `app` FIFO (or of the `log` FIFO) for the next turn. */
void capture_note(Capture *capture, bool is_app, uint32_t epoll_events);

/* The dyno's folder is gone: whatever is left is all. */
void capture_note_gone(Capture *capture);

/**
 * capture_turn() - take bytes, make lines
 * @capture:  the capture
 *
 * Return: 0, or a negative errno (-ENOSPC): nothing is lost, call again later. Until
 * then its FIFOs are not watched.
 */
int capture_turn(Capture *capture) _must_check_;

/* Makes lines of what is taken already, so that a line written next comes behind them. */
int capture_settle(Capture *capture) _must_check_;

bool capture_has_failed(const Capture *capture); /* the last turn returned an error */
bool capture_is_over(const Capture *capture);    /* all is read: free it */

/* The app is gone: what the dyno still writes is read and thrown away. */
void capture_forget(Capture *capture);
