/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

#include "control/quota.h"

struct QuotaUser {
        QuotaSet *set;
        QuotaUser *next;
        uid_t uid;
        unsigned n_refs;
        unsigned used[_QUOTA_SLOT_MAX];
};

struct QuotaSet {
        QuotaUser *first; /* a handful: people, and the automation of a fleet */
        bool closed;      /* goes with its last user */
};

/* Chosen so that a shell script with `xargs -P 16` works and a runaway loop is stopped. */
static const struct {
        const char *name;
        unsigned limit;
} slots[_QUOTA_SLOT_MAX] = {
        [QUOTA_CONNECTIONS] = {"connections", 64},
        [QUOTA_JOBS] = {"jobs", 64},
        [QUOTA_QUERIES] = {"queries", 64},
        [QUOTA_STREAMS] = {"log streams", 32},
};

QuotaSet *quota_set_new(void) {
        return calloc(1, sizeof(QuotaSet));
}

QuotaSet *quota_set_free(QuotaSet *set) {
        if (set && set->first)
                set->closed = true;
        else
                free(set);
        return NULL;
}

QuotaUser *quota_user_ref(QuotaSet *set, uid_t uid) {
        QuotaUser *user;

        assert(set);

        for (user = set->first; user; user = user->next)
                if (user->uid == uid) {
                        user->n_refs++;
                        return user;
                }

        user = calloc(1, sizeof(*user));
        if (!user)
                return NULL;
        *user = (QuotaUser){.set = set, .next = set->first, .uid = uid, .n_refs = 1};
        set->first = user;
        return user;
}

QuotaUser *quota_user_hold(QuotaUser *user) {
        user->n_refs++;
        return user;
}

QuotaUser *quota_user_unref(QuotaUser *user) {
        if (!user)
                return NULL;

        assert(user->n_refs > 0);
        if (--user->n_refs > 0)
                return NULL;
        for (QuotaUser **p = &user->set->first; *p; p = &(*p)->next)
                if (*p == user) {
                        *p = user->next;
                        break;
                }
        if (user->set->closed && !user->set->first)
                free(user->set);
        free(user);
        return NULL;
}

int quota_take(QuotaUser *user, QuotaSlot slot) {
        assert(user);
        assert(slot < _QUOTA_SLOT_MAX);

        if (user->used[slot] >= slots[slot].limit)
                return QUOTA_E_EXCEEDED;
        user->used[slot]++;
        return 0;
}

void quota_give(QuotaUser *user, QuotaSlot slot, unsigned n) {
        assert(user);
        assert(slot < _QUOTA_SLOT_MAX);
        assert(user->used[slot] >= n);

        user->used[slot] -= n;
}

const char *quota_slot_to_string(QuotaSlot slot) {
        assert(slot < _QUOTA_SLOT_MAX);

        return slots[slot].name;
}

unsigned quota_limit(QuotaSlot slot) {
        assert(slot < _QUOTA_SLOT_MAX);

        return slots[slot].limit;
}
