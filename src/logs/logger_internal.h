/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the files that make up the Logger: its loop, its dynos, its requests. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "logs/app_log.h"
#include "logs/capture.h"
#include "logs/event_source.h"
#include "logs/logger.h"
#include "logs/stream.h"

/* Supervisor's lines that wait for room on a full disk, all together. */
#define HELD_BYTES ((size_t)256 * 1024)

typedef struct HeldLine HeldLine; /* requests.c */

struct Logger {
        int epoll_fd, signal_fd, inotify_fd, channel_fd, watchdog_fd;
        int logs_fd, dynos_fd;
        EventSource signal_source, folder_source, channel_source, watchdog_source;

        AppLog **apps; /* in order of their serial numbers */
        size_t n_apps;
        uint64_t last_serial;

        Capture **captures;
        size_t n_captures;
        CaptureContext context;

        StreamSet *streams;
        HeldLine *held;        /* supervisor's lines that could not be stored yet, oldest first */
        size_t held_bytes;     /* of them */
        uint64_t held_dropped; /* those that there was no room for, either */

        bool listing;         /* between the beginning and the end of the list of apps */
        bool listed;          /* it was heard to its end */
        uint32_t last_number; /* up to there, an app that is not known is gone */

        bool failing;        /* the disk is full or broken; it was said */
        bool rescan;         /* a dyno could not be attached */
        uint64_t retry_usec; /* CLOCK_BOOTTIME: when to try again */
        bool stop;
};

/* NULL: not known. */
AppLog *logger_find_app(const Logger *logger, uint32_t number);

/* The app of that number, made known if it is not; @name: unless it has one. Return: 0 or -ENOMEM. */
int logger_need_app(Logger *logger, uint32_t number, const char *name, AppLog **ret) _must_check_;

/* Whether the supervisor has said so: there was an app of that number, and is none. */
bool logger_app_is_gone(const Logger *logger, uint32_t number);

/* Forgets the app in memory: its dynos' output is thrown away from now on. */
void logger_drop_app(Logger *logger, AppLog *app);

/* dynos.c: takes over spools and dynos that are there. Return: 0 or a negative errno. */
int logger_take_over(Logger *logger) _must_check_;

/* dynos.c: reads the folder's events. Return: 0 or a negative errno. */
int logger_on_folder(Logger *logger) _must_check_;

/* dynos.c: one turn of one dyno; an error is its own and is tried again later. */
void logger_turn(Logger *logger, Capture *capture);
void logger_retry(Logger *logger); /* all that failed */
void logger_set_failing(Logger *logger);
void logger_reap(Logger *logger); /* frees those that are over */

/* requests.c: reads the supervisor's channel. Return: 0 or a negative errno. */
int logger_on_channel(Logger *logger) _must_check_;

/* requests.c: stores held lines as far as that goes, frees them, loads one more history into a stream. */
void logger_store_held(Logger *logger);
void logger_free_held(Logger *logger);
void logger_load_streams(Logger *logger);
