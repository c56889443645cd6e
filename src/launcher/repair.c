/* SPDX-License-Identifier: Apache-2.0 */

#include "launcher/repair.h"

#include <assert.h>

#include "base/parse.h"

#define PAUSE_FIRST_USEC (1 * USEC_PER_SEC)
#define PAUSE_MAX_USEC (4 * USEC_PER_SEC) /* with the work itself it is within five */

/* Whoever left us alone for this long starts again with the first pause. */
#define PEACE_USEC (600 * USEC_PER_SEC)

uint64_t repair_due(const RepairPace *pace) {
        return pace->last_usec > 0 ? pace->last_usec + pace->pause_usec : 0;
}

void repair_note(RepairPace *pace, uint64_t begin_usec, uint64_t end_usec) {
        assert(begin_usec >= pace->last_usec);
        assert(end_usec >= begin_usec);

        if (pace->last_usec == 0 || begin_usec - pace->last_usec > PEACE_USEC)
                pace->pause_usec = PAUSE_FIRST_USEC;
        else if (pace->pause_usec >= PAUSE_MAX_USEC / 2)
                pace->pause_usec = PAUSE_MAX_USEC;
        else
                pace->pause_usec *= 2;
        if (pace->pause_usec < end_usec - begin_usec)
                pace->pause_usec = end_usec - begin_usec;
        pace->last_usec = end_usec;
}
