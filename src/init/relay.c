/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "init/fd_path.h"
#include "init/relay.h"

/* What a user without privileges gets, pipe(7): of the FIFO, and of the app's own pipe. */
#define PIPE_BYTES_MAX (1024 * 1024)

/* More than a pipe has, also where that is packets, one to a page (O_DIRECT). */
#define FINISH_TURNS_MAX (2 * PIPE_BYTES_MAX / 4096)

/* Whole pages, of which a host may allow no more to be locked. */
static _Alignas(4096) char buffer[RELAY_BYTES];

void relay_close(Relay *relay) {
        relay->pipe_fd = safe_close(relay->pipe_fd);
        relay->write_fd = safe_close(relay->write_fd);
        relay->fifo_fd = safe_close(relay->fifo_fd);
}

int relay_open(Relay *ret, int fifo) {
        _cleanup_close_ int pipe_fd = -EBADF, write_fd = -EBADF, fifo_fd = -EBADF;
        char path[FD_PATH_SIZE];
        int fds[2];

        assert(ret);

        if (mlock(buffer, sizeof(buffer)) < 0)
                return -errno;

        /* Write-only, and with a flag of its own. It is there at once: the FIFO has a reader, us. */
        fd_path(path, fifo);
        fifo_fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fifo_fd < 0)
                return -errno;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        pipe_fd = fds[0];
        write_fd = fds[1];
        if (fcntl(pipe_fd, F_SETFL, O_NONBLOCK) < 0) /* the app's end stays as it is */
                return -errno;

        *ret = (Relay){
                .pipe_fd = TAKE_FD(pipe_fd),
                .write_fd = TAKE_FD(write_fd),
                .fifo_fd = TAKE_FD(fifo_fd),
        };
        return 0;
}

struct pollfd relay_pollfd(const Relay *relay) {
        if (relay->rests)
                return (struct pollfd){.fd = -1};
        if (relay->pos < relay->have)
                return (struct pollfd){.fd = relay->fifo_fd, .events = POLLOUT};
        return (struct pollfd){.fd = relay->pipe_fd, .events = POLLIN};
}

/* Reads into the empty buffer. Return: 0, also if there was nothing, or a negative errno. */
static int fill(Relay *relay) {
        ssize_t n;

        do
                n = read(relay->pipe_fd, buffer, sizeof(buffer));
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno != EAGAIN)
                return -errno;

        relay->pos = 0;
        relay->have = n > 0 ? (size_t)n : 0;
        return 0;
}

/* Writes what the buffer has. Return: 0 if it is empty then, or a negative errno. */
static int empty(Relay *relay) {
        while (relay->pos < relay->have) {
                ssize_t n = write(relay->fifo_fd, buffer + relay->pos, relay->have - relay->pos);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                relay->pos += (size_t)n;
        }
        return 0;
}

int relay_turn(Relay *relay) {
        size_t moved = 0;
        int r = 0;

        if (relay->pipe_fd < 0)
                return 0;

        do {
                r = empty(relay);
                if (r == 0)
                        r = fill(relay);
                if (r == 0)
                        r = empty(relay);
                moved += relay->have;
                /* What left room in the buffer was all: no call only to be told so. */
        } while (r == 0 && relay->have == sizeof(buffer) && moved < RELAY_TURN_BYTES);

        if (r == 0)
                relay->rests = moved > 0 && moved < RELAY_FEW_BYTES;
        else
                relay->rests = r != -EAGAIN;
        return r == 0 && relay->have == sizeof(buffer) ? RELAY_E_MORE : r;
}

bool relay_is_empty(const Relay *relay) {
        int n = 0;

        return relay->pipe_fd < 0 ||
               (relay->pos == relay->have && ioctl(relay->pipe_fd, FIONREAD, &n) == 0 && n == 0);
}

void relay_finish(Relay *relay) {
        for (size_t i = 0; i < FINISH_TURNS_MAX && !relay_is_empty(relay); i++) {
                int r = relay_turn(relay);

                if (r == -EAGAIN)
                        (void)fcntl(relay->fifo_fd, F_SETPIPE_SZ, PIPE_BYTES_MAX);
                else if (r < 0)
                        return;
        }
}
