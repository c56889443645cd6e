/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>

#include "base/patience.h"
#include "launcher/discard.h"

/* Answered by the kernel alone; fstat(2) would ask the file system. */
static bool is_memfd(int fd) {
        return fcntl(fd, F_GET_SEALS) >= 0;
}

size_t discard_foreign(ChannelFds *fds) {
        size_t n = 0;

        for (size_t i = 0; i < fds->n; i++)
                if (!is_memfd(fds->fd[i]) && !fd_is_unix_socket(fds->fd[i])) {
                        fds->fd[i] = -EBADF;
                        n++;
                }
        return n;
}

void discard_fds(ChannelFds *fds) {
        patience_begin();
        channel_fds_clear(fds);
        patience_end();
}

int discard_socket(int fd) {
        patience_begin();
        fd = safe_close(fd);
        patience_end();
        return fd;
}
