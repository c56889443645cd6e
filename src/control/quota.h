/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What one uid may hold at once, over all its connections: whoever opens the control
 * socket shares this process with everybody else.
 */

#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef enum QuotaSlot {
        QUOTA_CONNECTIONS,
        QUOTA_JOBS,    /* jobs that report to a connection */
        QUOTA_QUERIES, /* calls that wait for the launcher */
        QUOTA_STREAMS, /* log streams, counted until their connection closes */
        _QUOTA_SLOT_MAX,
} QuotaSlot;

typedef struct QuotaSet QuotaSet;   /* all uids */
typedef struct QuotaUser QuotaUser; /* one of them */

QuotaSet *quota_set_new(void);
/* Users that a query still holds outlive it. */
QuotaSet *quota_set_free(QuotaSet *set);
DEFINE_CLEANUP(QuotaSet, quota_set_free)

enum {
        _QUOTA_E_OK,

        QUOTA_E_EXCEEDED,
};

/* Finds or makes the account of @uid; release with quota_user_unref(). NULL: no memory. */
QuotaUser *quota_user_ref(QuotaSet *set, uid_t uid);
QuotaUser *quota_user_hold(QuotaUser *user); /* one more reference */
QuotaUser *quota_user_unref(QuotaUser *user);

/* Takes one of @slot. Return: 0 or QUOTA_E_EXCEEDED. */
int quota_take(QuotaUser *user, QuotaSlot slot) _must_check_;
void quota_give(QuotaUser *user, QuotaSlot slot, unsigned n);

const char *quota_slot_to_string(QuotaSlot slot); /* "connections", … */
unsigned quota_limit(QuotaSlot slot);
