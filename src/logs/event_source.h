/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an epoll event of the logger points to: part of the object that it is about. */

typedef enum EventKind {
        EVENT_SIGNAL,
        EVENT_WATCHDOG,
        EVENT_CHANNEL,
        EVENT_FOLDER,
        EVENT_APP_FIFO,
        EVENT_LOG_FIFO,
        EVENT_STREAM,
} EventKind;

typedef struct EventSource {
        EventKind kind;
        void *owner; /* Capture or Stream; NULL for the others */
} EventSource;
