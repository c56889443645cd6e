/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * LogClient: the supervisor's lines for the apps' logs, on their way to the logger. The
 * logger may die and come back with another channel at any time; a bounded queue
 * bridges that for lines and streams. Which apps there are is told to each logger anew.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "ipc/log_proto.h"

typedef struct LogClient LogClient;

int log_client_new(LogClient **ret, sd_event *event) _must_check_;
LogClient *log_client_free(LogClient *client);
DEFINE_CLEANUP(LogClient, log_client_free)

/**
 * log_client_connect() - there is a new logger
 * @client:  the client
 * @fd:      channel to it; owned by the client in any case
 * @apps:    all apps that there are; copied
 * @n_apps:  how many
 * @last_number:  the highest that an app ever had
 *
 * It is told of the apps before it gets what waits.
 *
 * Return: 0 or a negative errno.
 */
int log_client_connect(
        LogClient *client, int fd, const LogApp *apps, size_t n_apps, uint32_t last_number)
        _must_check_;

/* Who says what about whom. */
typedef struct LogPlace {
        LogSource source;
        const char *app, *procid;
        uint32_t app_number;
        uint64_t usec; /* CLOCK_REALTIME */
} LogPlace;

/* Queues one line; control characters are replaced. A line that finds no room is counted and lost. */
void log_client_line(LogClient *client, const LogPlace *place, const char *fmt, va_list ap)
        _printf_(3, 0);

/* @app_number: 0 and @app: "" for all. @fd is owned by the client in any case. Return: 0 or -ENOBUFS. */
int log_client_stream(LogClient *client, uint32_t app_number, const char *app, bool follow, int fd)
        _must_check_;

/*
 * There is this app, or it has this name from now on; it is gone. The next logger hears of it
 * anyway. Return: 0 or -ENOMEM: the one that is there would go wrong.
 */
int log_client_app(LogClient *client, uint32_t app_number, const char *app) _must_check_;
int log_client_forget(LogClient *client, uint32_t app_number, const char *app) _must_check_;
