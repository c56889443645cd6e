/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One app's folder in the logger's: its history, and the spools of its dynos.
 *
 * The folder's name is the app's. Spools and history carry no name that counts, so a
 * rename of the folder renames everything at once, and a logger that starts later
 * finds a dyno's app by the folder that its spool is in.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "logs/history.h"
#include "logs/records.h"

typedef struct AppLog AppLog;

/**
 * app_log_open() - open or make the folder of an app
 * @ret:     owned by the caller
 * @dir_fd:  the logger's folder; borrowed for this call
 * @name:    valid name of an app; copied
 * @serial:  number that grows from app to app
 *
 * Return: 0 or a negative errno.
 */
int app_log_open(AppLog **ret, int dir_fd, const char *name, uint64_t serial) _must_check_;

AppLog *app_log_free(AppLog *app);
DEFINE_CLEANUP(AppLog, app_log_free)

const char *app_log_name(const AppLog *app); /* borrowed, until the next rename */
uint64_t app_log_serial(const AppLog *app);
int app_log_dir_fd(const AppLog *app);

/**
 * app_log_time() - the time to store lines under
 * @app:       the app
 * @usec:      when they were written, µs of CLOCK_REALTIME; UINT64_MAX for now
 * @ret_usec:  that, but never before a line already stored, and never in the future
 *
 * Return: 0 or a negative errno.
 */
int app_log_time(AppLog *app, uint64_t usec, uint64_t *ret_usec) _must_check_;

/* As the functions of the history. */
int app_log_append(AppLog *app, const HistoryCommit *commit, const RecordBuffer *records)
        _must_check_;
int app_log_read(AppLog *app, size_t max_lines, RecordBuffer *buffer) _must_check_;

/* How far the history says that a spool was read; 0 if its last batch is of another. */
int app_log_committed(AppLog *app, const char *id, LogSource source, uint64_t *ret_done)
        _must_check_;

/* Renames the folder, over what an earlier app of that name may have left. */
int app_log_rename(AppLog *app, int dir_fd, const char *new_name) _must_check_;

/**
 * app_log_remove() - remove an app's folder
 * @dir_fd:  the logger's folder
 * @name:    name of a folder in it
 *
 * It is renamed first, so that a kill leaves all or nothing under that name.
 *
 * Return: 0 (also if there is none) or a negative errno.
 */
int app_log_remove(int dir_fd, const char *name) _must_check_;

/* Removes what a killed app_log_remove() left. */
void app_log_clean(int dir_fd);
