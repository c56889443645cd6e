/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One app's folder in the logger's: its history, and the spools of its dynos.
 *
 * The folder's name is the app's number, which is never another app's: a rename moves
 * nothing, and who gets an app's name later gets nothing of its lines. Without lines there
 * is no folder.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "logs/history.h"
#include "logs/records.h"

typedef struct AppLog AppLog;

/**
 * app_log_new() - an app, with its folder if it has one
 * @ret:      owned by the caller
 * @logs_fd:  the logger's folder; borrowed, outlives the app
 * @number:   of the app
 * @serial:   number that grows from AppLog to AppLog
 *
 * Return: 0 or -ENOMEM.
 */
int app_log_new(AppLog **ret, int logs_fd, uint32_t number, uint64_t serial) _must_check_;

AppLog *app_log_free(AppLog *app);
DEFINE_CLEANUP(AppLog, app_log_free)

uint32_t app_log_number(const AppLog *app);
uint64_t app_log_serial(const AppLog *app);
const char *app_log_name(const AppLog *app); /* borrowed; "" if nobody has told it yet */

void app_log_set_name(AppLog *app, const char *name);

/* What the logger notes about it: whether it was named, and whether lines of it are held back. */
typedef struct AppLogNotes {
        bool named, held;
} AppLogNotes;

AppLogNotes *app_log_notes(AppLog *app);

/* The folder, made if there is none. Return: a borrowed descriptor or a negative errno. */
int app_log_folder(AppLog *app) _must_check_;

/**
 * app_log_time() - the time to store lines under
 * @app:       the app
 * @usec:      when they were written, µs of CLOCK_REALTIME; UINT64_MAX for now
 * @ret_usec:  that, but never before a line already stored, and never in the future
 *
 * Return: 0 or a negative errno.
 */
int app_log_time(AppLog *app, uint64_t usec, uint64_t *ret_usec) _must_check_;

/* As the functions of the history. An app without a folder has none to read. */
int app_log_append(AppLog *app, const HistoryCommit *commit, const RecordBuffer *records)
        _must_check_;
int app_log_read(AppLog *app, size_t max_lines, RecordBuffer *buffer) _must_check_;

/* How far the history says that a spool was read; 0 if its last batch is of another. */
int app_log_committed(AppLog *app, const char *id, LogSource source, uint64_t *ret_done)
        _must_check_;

/**
 * app_log_remove() - remove an app's folder
 * @logs_fd:  the logger's folder
 * @number:   of the app, which has no AppLog any more
 *
 * It is renamed first, so that a kill leaves all or nothing under that number.
 *
 * Return: 0 (also if there is none) or a negative errno.
 */
int app_log_remove(int logs_fd, uint32_t number) _must_check_;

/* Removes what a killed app_log_remove() left. */
void app_log_clean(int logs_fd);
