/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/cleanup.h"

/**
 * capabilities_bound() - give up all capabilities but those that making dynos needs
 *
 * The list with its reasons stands in capabilities.c; dynod.service has the same one.
 * A capability of the list that we were not started with stays missing.
 *
 * Return: 0 or a negative errno.
 */
int capabilities_bound(void) _must_check_;
