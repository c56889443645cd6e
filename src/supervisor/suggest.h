/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* "Did you mean web?": the nearest of some names, by optimal string alignment. */

#include <stddef.h>

typedef struct Suggestion {
        const char *wanted; /* what was typed; borrowed */
        const char *best;   /* borrowed; NULL: nothing is near */
        size_t distance;
} Suggestion;

/* Offers one more name, which must outlive @s. */
void suggestion_offer(Suggestion *s, const char *name);
