/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The life of a dyno, as a table. Pure: no clock, no descriptor, no memory.
 *
 * A formation dyno goes around: down, starting, up, crashed, starting, … A one-off
 * goes once and ends in complete. One that is replaced gets no second life: another
 * Dyno takes its name when it is told to stop.
 */

typedef enum DynoState {
        DYNO_DOWN, /* no process, and none wanted */
        DYNO_STARTING,
        DYNO_UP,
        DYNO_STOPPING, /* was told to stop, its processes may still run */
        DYNO_CRASHED,  /* no process; starts again when its timer fires */
        DYNO_COMPLETE, /* a one-off whose command ended */
        _DYNO_STATE_MAX,
} DynoState;

typedef enum DynoEvent {
        DYNO_EV_START,  /* somebody wants it up */
        DYNO_EV_READY,  /* web: it listens; others: its command was started */
        DYNO_EV_FAILED, /* it could not be started */
        DYNO_EV_STOP,
        DYNO_EV_EXIT,    /* its processes are gone */
        DYNO_EV_END,     /* the same, of a one-off */
        DYNO_EV_TIMEOUT, /* the timer of its state fired */
        _DYNO_EVENT_MAX,
} DynoEvent;

typedef enum DynoAction {
        DYNO_ACT_REFUSE, /* the event makes no sense here */
        DYNO_ACT_IGNORE,
        DYNO_ACT_LAUNCH,
        DYNO_ACT_ANNOUNCE,     /* it is up */
        DYNO_ACT_TERM,         /* SIGTERM, and arm the grace timer */
        DYNO_ACT_BOOT_TIMEOUT, /* R10, SIGKILL */
        DYNO_ACT_EXIT_TIMEOUT, /* R12, SIGKILL */
        DYNO_ACT_CRASH,        /* arm the back-off timer */
        DYNO_ACT_REAP,         /* it is gone as it should be */
        _DYNO_ACTION_MAX,
} DynoAction;

typedef struct DynoTransition {
        DynoState next;
        DynoAction action;
} DynoTransition;

/* What @event does in @state. A refused event keeps the state. */
DynoTransition dyno_fsm_next(DynoState state, DynoEvent event);

/* Heroku's words: "starting", "up", … */
const char *dyno_state_to_string(DynoState state);
/* Return: a DynoState, or -1 for none. */
int dyno_state_from_string(const char *text);
