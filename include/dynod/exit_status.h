/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Exit status of herokuctl. `run` and `ps:exec` end with the command's own instead. */

enum {
        DYNOD_EXIT_OK = 0,
        DYNOD_EXIT_FAILED = 1, /* refused or failed */
        DYNOD_EXIT_USAGE = 2,
        DYNOD_EXIT_UNREACHABLE = 3, /* the daemon does not answer */
        DYNOD_EXIT_NOT_PERMITTED = 4,
        DYNOD_EXIT_TIMED_OUT = 5,

        DYNOD_EXIT_RUN_FAILED = 125, /* run: herokuctl or dynod failed, not the command */
        DYNOD_EXIT_NOT_EXECUTABLE = 126,
        DYNOD_EXIT_NOT_FOUND = 127,
};
