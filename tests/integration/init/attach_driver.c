/* SPDX-License-Identifier: Apache-2.0 */

/* attach_run() by itself: attach_driver SOCKET TTY. Its result is the exit status, or 200 on. */

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/attach.h"

int main(int argc, char **argv) {
        int status = 0;
        int r;

        if (argc != 3)
                return 202;
        log_open("driver", false);
        r = attach_run(atoi(argv[1]), strcmp(argv[2], "1") == 0, &status); /* NOLINT */
        if (r == ATTACH_E_LOST)
                return 200;
        if (r < 0) {
                (void)log_error_errno(r, "attach: %m");
                return 201;
        }
        return status;
}
