/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <string.h>

#include "base/cleanup.h"
#include "supervisor/dyno_fsm.h"

#define GO(state, act)                                                                             \
        { DYNO_##state, DYNO_ACT_##act }

/*
 * Cells are designated by name, so inserting an enumerator cannot shift the table.
 * A cell left out is REFUSE (0); test_dyno_fsm.c counts those.
 *
 * R10 leaves the dyno in starting until its processes are gone: Heroku's order of
 * lines is Error R10, SIGKILL, Process exited, State changed from starting to crashed.
 */
/* clang-format off */
static const DynoTransition transitions[_DYNO_STATE_MAX][_DYNO_EVENT_MAX] = {
        [DYNO_DOWN]    [DYNO_EV_START]   = GO(STARTING, LAUNCH),
        [DYNO_DOWN]    [DYNO_EV_STOP]    = GO(DOWN,     IGNORE),

        [DYNO_STARTING][DYNO_EV_START]   = GO(STARTING, IGNORE),
        [DYNO_STARTING][DYNO_EV_READY]   = GO(UP,       ANNOUNCE),
        [DYNO_STARTING][DYNO_EV_FAILED]  = GO(CRASHED,  CRASH),
        [DYNO_STARTING][DYNO_EV_STOP]    = GO(STOPPING, TERM),
        [DYNO_STARTING][DYNO_EV_EXIT]    = GO(CRASHED,  CRASH),
        [DYNO_STARTING][DYNO_EV_END]     = GO(COMPLETE, REAP),
        [DYNO_STARTING][DYNO_EV_TIMEOUT] = GO(STARTING, BOOT_TIMEOUT),

        [DYNO_UP]      [DYNO_EV_START]   = GO(UP,       IGNORE),
        [DYNO_UP]      [DYNO_EV_READY]   = GO(UP,       IGNORE),
        [DYNO_UP]      [DYNO_EV_STOP]    = GO(STOPPING, TERM),
        [DYNO_UP]      [DYNO_EV_EXIT]    = GO(CRASHED,  CRASH),
        [DYNO_UP]      [DYNO_EV_END]     = GO(COMPLETE, REAP),

        [DYNO_STOPPING][DYNO_EV_READY]   = GO(STOPPING, IGNORE), /* it raced our SIGTERM */
        [DYNO_STOPPING][DYNO_EV_FAILED]  = GO(DOWN,     REAP),
        [DYNO_STOPPING][DYNO_EV_STOP]    = GO(STOPPING, IGNORE),
        [DYNO_STOPPING][DYNO_EV_EXIT]    = GO(DOWN,     REAP),
        [DYNO_STOPPING][DYNO_EV_END]     = GO(COMPLETE, REAP),
        [DYNO_STOPPING][DYNO_EV_TIMEOUT] = GO(STOPPING, EXIT_TIMEOUT),

        [DYNO_CRASHED] [DYNO_EV_START]   = GO(STARTING, LAUNCH),
        [DYNO_CRASHED] [DYNO_EV_STOP]    = GO(DOWN,     REAP),
        [DYNO_CRASHED] [DYNO_EV_TIMEOUT] = GO(STARTING, LAUNCH),

        [DYNO_COMPLETE][DYNO_EV_STOP]    = GO(COMPLETE, IGNORE),
};
/* clang-format on */

DynoTransition dyno_fsm_next(DynoState state, DynoEvent event) {
        DynoTransition t;

        assert(state < _DYNO_STATE_MAX);
        assert(event < _DYNO_EVENT_MAX);

        t = transitions[state][event];
        if (t.action == DYNO_ACT_REFUSE)
                t.next = state;

        return t;
}

static const char *const state_names[_DYNO_STATE_MAX] = {
        [DYNO_DOWN] = "down",
        [DYNO_STARTING] = "starting",
        [DYNO_UP] = "up",
        [DYNO_STOPPING] = "stopping",
        [DYNO_CRASHED] = "crashed",
        [DYNO_COMPLETE] = "complete",
};

const char *dyno_state_to_string(DynoState state) {
        assert(state < _DYNO_STATE_MAX);

        return state_names[state];
}

int dyno_state_from_string(const char *text) {
        assert(text);

        for (size_t i = 0; i < ARRAY_SIZE(state_names); i++)
                if (strcmp(state_names[i], text) == 0)
                        return (int)i;

        return -1;
}
