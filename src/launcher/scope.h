/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* INSTANCE-dynos.scope: the cgroup of all dynos, where systemd runs. */

#include "launcher/launcher.h"

#define SCOPE_PATH_SIZE 512 /* bytes: systemd nests it two or three deep */

/**
 * scope_ask() - have the scope and its keeper, and make what is missing
 * @launcher:  its configuration is used
 * @ret:       folder of the scope's cgroup
 * @size:      of @ret
 *
 * By the short-lived dynod-scope, for the launcher itself links no D-Bus.
 *
 * Return: 0, or a negative errno after the child has said why.
 */
int scope_ask(const Launcher *launcher, char *ret, size_t size) _must_check_;

/*
 * Has the scope made anew when its keeper ends, from the loop: systemd removes a scope that is
 * empty, and no dyno would start any more. Nothing without systemd. 0 or a negative errno.
 */
int scope_watch(Launcher *launcher) _must_check_;
void scope_unwatch(Launcher *launcher);
