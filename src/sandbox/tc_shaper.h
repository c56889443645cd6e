/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A link's bandwidth: a token bucket (tbf) as its root qdisc, which holds back what the
 * host sends into the link that it is on. It stands beside clsact, whose filters come first.
 */

#include <stdint.h>

#include "base/cleanup.h"
#include "sandbox/net_rtnl.h"

/**
 * tc_shaper_set() - limit a link's bandwidth
 * @rtnl:     of the namespace that it is in
 * @ifindex:  the link
 * @rate:     bytes a second; 0: more than any link has
 *
 * A link gets its bucket before it is up: on one that is, the kernel would wait for RCU.
 * Changing the rate of a bucket that is there is cheap.
 *
 * Return: 0 or a negative errno.
 */
int tc_shaper_set(NetRtnl *rtnl, int ifindex, uint64_t rate) _must_check_;

/* The rate as it was set. 0, -ENOENT if the link has no bucket, or a negative errno. */
int tc_shaper_get(NetRtnl *rtnl, int ifindex, uint64_t *ret) _must_check_;
