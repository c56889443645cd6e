/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Clients that read logs: history first, then the mark, then live lines.
 *
 * A stream is loading while apps' histories are merged into it, one app per turn of the
 * loop so that no client holds up the dynos; lines of apps that are merged already
 * queue behind. Apps are merged in the order of their serial numbers, so that
 * "is it merged already" is one comparison. Nothing here ever waits for a client: one
 * that reads too slowly loses lines and is told how many.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "logs/records.h"

#define STREAMS_MAX 64                                   /* clients at once */
#define STREAM_LIVE_BYTES ((size_t)1024 * 1024)          /* queued live lines of one client */
#define STREAMS_HISTORY_BYTES ((size_t)64 * 1024 * 1024) /* queued history of all clients */

typedef struct StreamSet StreamSet;
typedef struct Stream Stream;

/**
 * streams_new() - an empty set
 * @ret:       owned by the caller
 * @epoll_fd:  streams register themselves there with an EventSource; borrowed
 *
 * Return: 0 or -ENOMEM.
 */
int streams_new(StreamSet **ret, int epoll_fd) _must_check_;

StreamSet *streams_free(StreamSet *set);
DEFINE_CLEANUP(StreamSet, streams_free)

/**
 * streams_add() - take on a client
 * @set:     the set
 * @fd:      stream socket or pipe; owned by the set from success on
 * @app_number:  whose lines; 0 for all apps
 * @app:     its name, for what the stream itself says; "" for all apps
 * @follow:  go on with live lines; else it ends behind the mark
 *
 * Return: 0, -EMFILE (STREAMS_MAX, or too much history queued), -EBADF (neither a
 * stream socket nor a pipe), or another negative errno.
 */
int streams_add(StreamSet *set, int fd, uint32_t app_number, const char *app, bool follow)
        _must_check_;

/* Whether a line of that app would be queued by streams_publish(). */
bool streams_want(const StreamSet *set, uint32_t app_number, uint64_t serial);

/* Queues live lines of that app to whoever follows it. */
void streams_publish(
        StreamSet *set, uint32_t app_number, uint64_t serial, const RecordBuffer *records);

/* The first stream that still loads, or NULL; borrowed. */
Stream *streams_first_loading(StreamSet *set);
uint32_t stream_app_number(const Stream *stream);    /* 0 for all apps */
uint64_t stream_merged_serial(const Stream *stream); /* serial of the last app that was merged */

/* Merges the history of the app with that serial number. Return: 0 or -ENOMEM. */
int stream_merge(Stream *stream, const RecordBuffer *history, uint64_t serial) _must_check_;

/* All histories are merged: appends the mark and starts to send. */
void stream_loaded(Stream *stream);

/* Ends a stream that cannot be served; its client sees the end without the mark. */
void stream_fail(Stream *stream);

/* For the epoll event of a stream: it can be written to, or the client is gone. */
void stream_on_event(Stream *stream, uint32_t events);

/* Sends what can be sent, and ends what is done or broken. Once per turn of the loop. */
void streams_flush(StreamSet *set);

void streams_rename(StreamSet *set, uint32_t app_number, const char *app);
void streams_forget(StreamSet *set, uint32_t app_number); /* ends those of that app alone */
