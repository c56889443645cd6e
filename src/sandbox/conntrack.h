/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The kernel's table of connections, through libmnl. A dyno's entries go when its slot
 * does: the next dyno with the address must not get what was meant for it.
 */

#include <netinet/in.h>
#include <stdbool.h>

#include "base/cleanup.h"

typedef struct Conntrack Conntrack;

/* Opens sockets in the current network namespace. 0 or a negative errno. */
int conntrack_open(Conntrack **ret) _must_check_;
Conntrack *conntrack_free(Conntrack *conntrack);
DEFINE_CLEANUP(Conntrack, conntrack_free)

/* True if connections of @address are to be forgotten. */
typedef bool (*ConntrackFilter)(struct in_addr address, void *userdata);

/**
 * conntrack_forget() - forget connections that some addresses opened or accepted
 * @conntrack:  the sockets
 * @filter:     says which addresses
 * @userdata:   for @filter
 *
 * Walks through the whole table: 5 ms for an empty one of 262,144 buckets, and 1 µs more
 * for each entry.
 *
 * Return: 0 or a negative errno.
 */
int conntrack_forget(Conntrack *conntrack, ConntrackFilter filter, void *userdata) _must_check_;

/* As conntrack_forget(), but not what the addresses accepted. */
int conntrack_forget_opened(Conntrack *conntrack, ConntrackFilter filter, void *userdata)
        _must_check_;
