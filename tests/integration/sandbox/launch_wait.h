/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sandbox/sandbox.h"

/*
 * A whole start, waited for. Return: 0 with @ret filled, or a negative errno: all of it was
 * killed then, and if it has not died at once, @ret is filled all the same.
 */
int sandbox_launch(
        SandboxHost *host, const SandboxLaunch *launch, SandboxDyno *ret, SandboxError *reterr);
