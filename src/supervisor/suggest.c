/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <string.h>

#include "supervisor/suggest.h"

#define SUGGEST_MAX 64 /* characters: longer names are compared by their beginnings */

static size_t min3(size_t a, size_t b, size_t c) {
        if (b < a)
                a = b;
        return c < a ? c : a;
}

/* Insertions, deletions, substitutions and swaps of neighbours that turn @a into @b. */
static size_t edit_distance(const char *a, const char *b) {
        size_t rows[3][SUGGEST_MAX + 1];
        size_t *before = rows[0], *last = rows[1], *now = rows[2], *spare;
        size_t len_a = strnlen(a, SUGGEST_MAX), len_b = strnlen(b, SUGGEST_MAX);

        for (size_t j = 0; j <= len_b; j++) {
                before[j] = 0;
                last[j] = j;
        }

        for (size_t i = 1; i <= len_a; i++) {
                now[0] = i;
                for (size_t j = 1; j <= len_b; j++) {
                        size_t cost = a[i - 1] != b[j - 1];

                        now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + cost);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                            before[j - 2] + 1 < now[j])
                                now[j] = before[j - 2] + 1;
                }
                spare = before;
                before = last;
                last = now;
                now = spare;
        }

        return last[len_b];
}

void suggestion_offer(Suggestion *s, const char *name) {
        size_t distance, limit;

        assert(s && s->wanted && name);

        distance = edit_distance(s->wanted, name);

        /* A third of the letters may be wrong: more is another word. */
        limit = (strlen(s->wanted) + 2) / 3;
        if (distance > limit || (s->best && distance >= s->distance))
                return;

        s->best = name;
        s->distance = distance;
}
