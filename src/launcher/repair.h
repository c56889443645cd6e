/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * When what others took away of our network may be put back: at once, and again after
 * a pause, if they keep taking it.
 *
 * Dynos are cut off meanwhile, so that a pause is never longer than some seconds; a
 * restoration is milliseconds of work for a few dynos, and where it takes long the
 * pause is as long, so that somebody who fights with us costs half of one processor.
 */

#include <stdint.h>

typedef struct RepairPace {
        uint64_t last_usec;  /* CLOCK_BOOTTIME, end of the last restoration; 0: there was none */
        uint64_t pause_usec; /* from then on */
} RepairPace;

/* The time from which on it may be put back; 0: at once. */
uint64_t repair_due(const RepairPace *pace);

/* It was put back, or that failed. */
void repair_note(RepairPace *pace, uint64_t begin_usec, uint64_t end_usec);
