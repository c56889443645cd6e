/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sandbox/sandbox.h"

/*
 * Says, as "name=detail" lines, what the read-back says where one thing alone is not as it must be:
 * of @dyno, which is as it must be, or of a process beside it. Below @work it may make files.
 */
void inspect_one_by_one(
        SandboxHost *host, const SandboxDyno *dyno, const SandboxExpect *expect, const char *work);
