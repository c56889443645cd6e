/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A link's bandwidth: a token bucket (tbf) as its root qdisc, which holds back what the
 * host sends into the link that it is on. It stands beside clsact, whose filters come first.
 */

#include <stdint.h>

#include "base/cleanup.h"
#include "sandbox/net_rtnl.h"

/* @bytes_per_second: 0 takes the limit away. 0 or a negative errno. */
int tc_shaper_set(NetRtnl *rtnl, int ifindex, uint64_t bytes_per_second) _must_check_;

/* The limit in force, 0: none. 0 or a negative errno. */
int tc_shaper_get(NetRtnl *rtnl, int ifindex, uint64_t *ret) _must_check_;
