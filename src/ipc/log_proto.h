/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * dynod-supervisor -> dynod-logger (requests), and the log record that the logger
 * stores and streams.
 *
 * The logger finds dynos by itself: it watches /run/dynod/dynos, reads ID/state (who a
 * dyno is, ipc/launch_proto.h LaunchDynoFacts) and opens ID/app and ID/log, the FIFOs.
 *
 * It knows apps by the numbers that the supervisor gives them and never uses again: these
 * name its folders, and whose a line, a stream or a dyno is. Names are only shown.
 *
 * A logger that is killed takes with it what it was just told, and so does the end of dynod.
 * So whenever logger or supervisor is new, all apps are named again, and the logger removes
 * the lines of those that are gone.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/names.h"

#define LOG_TEXT_MAX 10000 /* bytes of a line: Heroku splits longer ones */

typedef enum LogSource {
        LOG_FROM_APP = 1, /* "app" */
        LOG_FROM_HEROKU,  /* "heroku" */
        _LOG_SOURCE_MAX,
} LogSource;

/* One line, on disk and on a stream: this header, then text_size bytes without newline. */
typedef struct LogRecord {
        uint32_t magic;
        uint16_t source; /* LogSource */
        uint16_t text_size;
        uint64_t usec; /* CLOCK_REALTIME */
        char app[APP_NAME_SIZE];
        char procid[DYNO_NAME_SIZE]; /* "web.1", "api", "router" */
} LogRecord;

#define LOG_RECORD_MAGIC UINT32_C(0x44594c52) /* "DYLR" */
/* A record with an empty text and this procid says: history ends here, live lines follow. */
#define LOG_PROCID_LIVE "-live-"

typedef enum LogType {
        LOG_LINE = 1, /* LogLine, cut behind its text */
        LOG_STREAM,   /* LogStream; fds: a stream socket or pipe to write LogRecords to */
        LOG_APPS,     /* LogApps: all apps follow */
        LOG_APP,      /* LogApp: there is this app, under this name from now on */
        LOG_APPS_END, /* LogApps: of those up to that number the ones not named are gone */
        LOG_FORGET,   /* LogApp: the app is gone, and its history */
        _LOG_TYPE_MAX,
} LogType;

typedef struct LogLine {
        uint32_t type;
        uint32_t app_number;
        LogRecord record; /* record.text_size bytes of text follow: size is exact */
        char text[LOG_TEXT_MAX];
} LogLine;

typedef struct LogStream {
        uint32_t type;
        uint32_t app_number;     /* 0: all apps */
        uint32_t follow;         /* 0 or 1: go on with live lines */
        char app[APP_NAME_SIZE]; /* for what the stream itself says; empty: all apps */
} LogStream;

typedef struct LogApp {
        uint32_t type;
        uint32_t app_number;
        char app[APP_NAME_SIZE];
} LogApp;

typedef struct LogApps {
        uint32_t type;
        uint32_t last_number; /* the highest that an app ever had */
} LogApps;

/* Checks a record as received: magic, source, text size, clean names. Return: 0 or -EBADMSG. */
int log_record_check(const LogRecord *record) _must_check_;

/* Checks a request as received. Return: 0 or -EBADMSG. */
int log_message_check(const void *msg, size_t size, size_t n_fds) _must_check_;

const char *log_source_to_string(LogSource source);
