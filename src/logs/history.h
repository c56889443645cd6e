/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The last lines of one app, on disk: HISTORY_LINES of them, and at most HISTORY_BYTES.
 *
 * Files history.N hold batches and are only appended to. A batch is what one write(2)
 * puts down: a head, and records. The head of a batch that came out of a spool says how
 * far that spool has been read with it (HistoryCommit), so that lines and offset are
 * written in one step: a logger that is killed finds both or neither. Half a batch at
 * the end of the last file is cut off when the history is opened.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/names.h"
#include "logs/records.h"

#define HISTORY_LINES 1500                      /* contract: 1,500 lines … */
#define HISTORY_BYTES ((size_t)4 * 1024 * 1024) /* … and at most 4 MB per app, files as they are */
#define HISTORY_BATCH_BYTES ((size_t)512 * 1024) /* of records, in one batch */

typedef struct History History;

/* How far a spool was read. The spool's name: ID and which of its two. */
typedef struct HistoryCommit {
        char id[DYNO_ID_SIZE]; /* empty: the batch is not from a spool */
        uint32_t source;       /* LogSource of the spool */
        uint64_t done;         /* offset since the spool was made */
} HistoryCommit;

/**
 * history_open() - open or begin the history in a folder
 * @ret:     owned by the caller
 * @dir_fd:  the app's folder; borrowed, outlives the history
 *
 * Return: 0 or a negative errno.
 */
int history_open(History **ret, int dir_fd) _must_check_;

/* Closes it. Return: NULL. */
History *history_free(History *history);
DEFINE_CLEANUP(History, history_free)

/* What the last batch says; with an empty id if there is none. Borrowed. */
const HistoryCommit *history_last_commit(const History *history);

/* Time of the newest record, µs of CLOCK_REALTIME; 0 if there is none. */
uint64_t history_last_usec(const History *history);

/**
 * history_append() - write one batch
 * @history:  the history
 * @commit:   how far the spool was read with these; NULL: not from a spool
 * @records:  at most HISTORY_BATCH_BYTES + one record; may be empty
 *
 * Return: 0, or a negative errno (-ENOSPC): nothing was written then.
 */
int history_append(History *history, const HistoryCommit *commit, const RecordBuffer *records)
        _must_check_;

/**
 * history_read() - the newest lines
 * @history:    the history
 * @max_lines:  at most so many
 * @app:        the app's name now, put into each record: it may have been renamed
 * @buffer:     they are appended to it, oldest first
 *
 * Return: 0 or a negative errno.
 */
int history_read(History *history, size_t max_lines, const char *app, RecordBuffer *buffer)
        _must_check_;
