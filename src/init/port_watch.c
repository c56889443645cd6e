/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "init/listen_table.h"
#include "init/port_watch.h"

/* About 27 lines of 150 bytes at a time, 1,700 listeners all together: an app with more waits. */
#define TABLE_READ_SIZE 4096
#define TABLE_READS_MAX 64

int port_watch_open(PortWatch *watch, uint16_t port) {
        static const char *const paths[2] = {"/proc/self/net/tcp", "/proc/self/net/tcp6"};
        int r = 0;

        for (int i = 0; i < 2; i++) {
                watch->fd[i] = open(paths[i], O_RDONLY | O_CLOEXEC | O_NOCTTY);
                if (watch->fd[i] < 0)
                        r = -errno; /* a kernel without IPv6 has one of them */
        }

        watch->port = port;
        return watch->fd[0] < 0 && watch->fd[1] < 0 ? r : 0;
}

void port_watch_close(PortWatch *watch) {
        for (int i = 0; i < 2; i++)
                watch->fd[i] = safe_close(watch->fd[i]);
}

static bool table_has_listener(int fd, uint16_t port) {
        char buf[TABLE_READ_SIZE];
        size_t have = 0;
        off_t offset = 0;

        for (int i = 0; i < TABLE_READS_MAX; i++) {
                ListenVerdict verdict;
                size_t used = 0;
                ssize_t n;

                n = pread(fd, buf + have, sizeof(buf) - have, offset);
                if (n <= 0)
                        return false;
                offset += n;
                have += (size_t)n;

                verdict = listen_table_scan(buf, have, port, &used);
                if (verdict != LISTEN_MORE)
                        return verdict == LISTEN_FOUND;
                if (used == 0 && have == sizeof(buf))
                        return false; /* no line of the kernel's is that long */
                memmove(buf, buf + used, have - used);
                have -= used;
        }

        return false;
}

bool port_watch_is_bound(const PortWatch *watch) {
        for (int i = 0; i < 2; i++)
                if (watch->fd[i] >= 0 && table_has_listener(watch->fd[i], watch->port))
                        return true;
        return false;
}
