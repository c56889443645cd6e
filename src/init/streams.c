/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "init/streams.h"

void streams_close(Streams *streams) {
        for (int i = 0; i < 3; i++) {
                streams->command[i] = safe_close(streams->command[i]);
                streams->outer[i] = safe_close(streams->outer[i]);
        }
        streams->n_outer = 0;
}

/* Nothing to read, and to write what dyno-init relays: blocking, as programs expect. */
static int open_output(Streams *s, int output_fd) {
        s->command[0] = open("/dev/null", O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (s->command[0] < 0)
                return -errno;

        for (int i = 1; i < 3; i++) {
                s->command[i] = fcntl(output_fd, F_DUPFD_CLOEXEC, 0);
                if (s->command[i] < 0)
                        return -errno;
        }
        return 0;
}

/*
 * The slave comes from the master's descriptor, never by its path: /dev/pts belongs to
 * the dyno, where the app could have put another terminal in its place.
 */
static int open_terminal(Streams *s, const DynoSpecHeader *header) {
        struct winsize size = {.ws_row = header->rows, .ws_col = header->columns};
        int unlocked = 0;

        s->outer[0] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (s->outer[0] < 0)
                return -errno;
        s->n_outer = 1;

        if (ioctl(s->outer[0], TIOCSPTLCK, &unlocked) < 0)
                return -errno;
        if (size.ws_row > 0 && size.ws_col > 0 && ioctl(s->outer[0], TIOCSWINSZ, &size) < 0)
                return -errno;

        s->command[0] = ioctl(s->outer[0], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (s->command[0] < 0)
                return -errno;
        for (int i = 1; i < 3; i++) {
                s->command[i] = fcntl(s->command[0], F_DUPFD_CLOEXEC, 0);
                if (s->command[i] < 0)
                        return -errno;
        }

        s->terminal = true;
        return 0;
}

static int open_pipes(Streams *s) {
        for (int i = 0; i < 3; i++) {
                int fd[2];

                if (pipe2(fd, O_CLOEXEC) < 0)
                        return -errno;
                s->command[i] = fd[i == 0 ? 0 : 1];
                s->outer[i] = fd[i == 0 ? 1 : 0];
                s->n_outer = (size_t)i + 1;
        }
        return 0;
}

int streams_open(Streams *ret, const DynoSpecHeader *header, int output_fd) {
        _cleanup_streams_ Streams s = STREAMS_INIT;
        int r;

        assert(ret && header);

        if ((header->flags & DYNO_SPEC_ATTACH) == 0)
                r = open_output(&s, output_fd);
        else if ((header->flags & DYNO_SPEC_TTY) != 0)
                r = open_terminal(&s, header);
        else
                r = open_pipes(&s);
        if (r < 0)
                return r;

        *ret = s;
        s = (Streams)STREAMS_INIT;
        return 0;
}
