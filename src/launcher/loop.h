/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The launcher's event loop: epoll(7) and nothing else, because root links no libsystemd.
 *
 * One Loop for the whole process, one thread. A Source is owned by whoever added it and
 * may be freed at any time, also from inside its own callback.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct Loop Loop;
typedef struct Source Source;

/* @events is what epoll(7) reported. A negative return ends loop_run() with it. */
typedef int (*SourceCallback)(void *userdata, uint32_t events);

/* Called when nothing else is to do. Return: true if there is more to do at once. */
typedef bool (*IdleCallback)(void *userdata);

int loop_new(Loop **ret) _must_check_;
Loop *loop_free(Loop *loop);
DEFINE_CLEANUP(Loop, loop_free)

/**
 * loop_add() - watch a descriptor
 * @loop:      the loop; outlives the source
 * @ret:       the source, owned by the caller
 * @fd:        borrowed; outlives the source
 * @events:    EPOLLIN, …
 * @callback:  called with @userdata
 *
 * Return: 0 or a negative errno.
 */
int loop_add(
        Loop *loop, Source **ret, int fd, uint32_t events, SourceCallback callback, void *userdata)
        _must_check_;

/* Changes what is watched. Return: 0 or a negative errno. */
int source_set_events(Source *source, uint32_t events) _must_check_;

/**
 * loop_add_timer() - call back once at a time
 * @usec:  CLOCK_BOOTTIME; in the past: at the next turn
 *
 * The callback gets 0 for events. The source stays, unarmed, until it is freed or
 * armed again with source_set_time().
 *
 * Return: 0 or a negative errno.
 */
int loop_add_timer(Loop *loop, Source **ret, uint64_t usec, SourceCallback callback, void *userdata)
        _must_check_;
void source_set_time(Source *source, uint64_t usec); /* USEC_INFINITY: not armed */

Source *source_free(Source *source);
DEFINE_CLEANUP(Source, source_free)

void loop_set_idle(Loop *loop, IdleCallback callback, void *userdata);

/* Runs until loop_quit() or a callback's error. Return: 0 or that error. */
int loop_run(Loop *loop) _must_check_;
void loop_quit(Loop *loop);
