/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * LogClient: the supervisor's lines for the apps' logs, on their way to the logger. The
 * logger may die and come back with another channel at any time; a bounded queue
 * bridges that.
 */

#include <stdarg.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "ipc/log_proto.h"

typedef struct LogClient LogClient;

int log_client_new(LogClient **ret, sd_event *event) _must_check_;
LogClient *log_client_free(LogClient *client);
DEFINE_CLEANUP(LogClient, log_client_free)

/* A new logger. @fd is owned by the client in any case. */
int log_client_connect(LogClient *client, int fd) _must_check_;

/* Who says what about whom. */
typedef struct LogPlace {
        LogSource source;
        const char *app, *procid;
        uint64_t usec; /* CLOCK_REALTIME */
} LogPlace;

/* Queues one line; control characters are replaced. A line that finds no room is counted and lost. */
void log_client_line(LogClient *client, const LogPlace *place, const char *fmt, va_list ap)
        _printf_(3, 0);

/* @app: "" for all. @fd is owned by the client in any case. Return: 0 or -ENOBUFS. */
int log_client_stream(LogClient *client, const char *app, bool follow, int fd) _must_check_;
void log_client_forget(LogClient *client, const char *app);
void log_client_rename(LogClient *client, const char *app, const char *new_name);
