/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dyno-init: PID 1 of every dyno, and parent of what `ps:exec` runs in one.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/prctl.h>

#include "init/init.h"
#include "ipc/init_fds.h"

/*
 * The app has our uid: were we dumpable it could read and write our memory and take our
 * descriptors. The file mode (0711) says so from the exec on, this for other modes.
 */
static bool become_undumpable(void) {
        return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
}

/* A descriptor that we open must never be 0 to 2, and none from 3 on is for an exec. */
static bool settle_descriptors(void) {
        int fd;

        do
                fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        while (fd >= 0 && fd <= 2);
        if (fd < 0)
                return false;
        (void)safe_close(fd);

        for (int i = INIT_FD_SPEC; i <= INIT_FD_MAX; i++)
                if (fcntl(i, F_SETFD, FD_CLOEXEC) < 0)
                        return false;
        return close_range(INIT_FD_MAX + 1, ~0U, 0) == 0;
}

int main(void) {
        if (!become_undumpable() || !settle_descriptors())
                return INIT_STATUS_FAILED;

        return init_run();
}
