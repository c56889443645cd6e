/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Empties the trash of scratch, one folder after the other and by turns, in processes that
 * see nothing but that folder and hold no privilege: dynod-unpacker, which removes trees of the
 * store too. A million files of a dyno that is gone are no concern of the loop.
 */

#include "launcher/launcher.h"

int sweep_new(Launcher *launcher) _must_check_;
/* A removal that is under way ends with us, and is taken up by the next dynod. */
Sweep *sweep_free(Sweep *sweep);

/* Goes on with the trash, unless it is being emptied already. */
void sweep_start(Launcher *launcher);

/*
 * Whether scratch has what a dyno would be promised, see scratch_check_room(). Where it has not,
 * goes on with the trash. Return: 0, or a negative errno with @reterr filled; -EDQUOT: later.
 */
int sweep_check_room(Launcher *launcher, const LaunchStart *start, SandboxError *reterr)
        _must_check_;

/* The dyno runs no more: its scratch becomes trash. */
void sweep_discard(Launcher *launcher, const char *id);

/* `dynod --purge`: removes all that dynos left in a file system that stays; waits for it. */
int sweep_purge(Launcher *launcher) _must_check_;
