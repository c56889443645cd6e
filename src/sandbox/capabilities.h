/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Capability sets, for good: all five empty, and securebits locked so that no uid brings any back. */

#include "base/cleanup.h"

/*
 * No uid means anything, setuid(2) changes no set, none can be kept or made ambient; each
 * bit with its lock but KEEP_CAPS, whose lock alone is set.
 */
#define DYNO_SECUREBITS 0xef

/* Makes one permitted capability effective. Return: 0 or a negative errno. */
int capabilities_raise(int capability) _must_check_;

/**
 * capabilities_lock() - empty the bounding and ambient sets, lock securebits
 *
 * Needs CAP_SETPCAP in the own user namespace. Comes after setns(2) into a user
 * namespace, which fills the sets again.
 */
int capabilities_lock(void) _must_check_;

/* Empties effective, permitted and inheritable; the last step. */
int capabilities_drop_all(void) _must_check_;
