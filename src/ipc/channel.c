/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "ipc/channel.h"

/* Two messages of the largest kind in flight each way; the kernel doubles it. */
#define CHANNEL_BUFFER_BYTES (256 * 1024)

/* Kernel 6.5 and 6.16: the C library's headers may be older. */
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

void channel_fds_clear(ChannelFds *fds) {
        for (size_t i = 0; i < fds->n; i++)
                fds->fd[i] = safe_close(fds->fd[i]);
        fds->n = 0;
}

bool fd_is_unix_socket(int fd) {
        int domain = 0;
        socklen_t size = sizeof(domain);

        return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

int channel_pair(int *ret_a, int *ret_b) {
        static const int size = CHANNEL_BUFFER_BYTES;
        int fd[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) < 0)
                return -errno;

        /* More room means fewer retries; the kernel's default works too. */
        for (int i = 0; i < 2; i++)
                (void)setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));

        *ret_a = fd[0];
        *ret_b = fd[1];
        return 0;
}

int socket_restore(int fd) {
        static const struct {
                int option, value;
        } options[] = {
                /* They would take the room of descriptors, or refuse these. */
                {SO_PASSCRED, 0},
                {SO_PASSSEC, 0},
                {SO_PASSPIDFD, 0},
                {SO_PASSRIGHTS, 1},
                {SO_SNDBUF, CHANNEL_BUFFER_BYTES},
        };
        struct pollfd end = {.fd = fd, .events = POLLRDHUP};
        static const int none = 0;

        if (poll(&end, 1, 0) < 0)
                return -errno;
        if ((end.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0)
                return -EPIPE;
        /* One that was there has dropped messages, and one that is locked goes on with it. */
        if (setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)) == 0 ||
            errno != ENOENT)
                return -EPIPE;
        for (size_t i = 0; i < ARRAY_SIZE(options); i++)
                if (setsockopt(
                            fd,
                            SOL_SOCKET,
                            options[i].option,
                            &options[i].value,
                            sizeof(options[i].value)) < 0 &&
                    errno != ENOPROTOOPT && errno != EOPNOTSUPP)
                        return -errno;
        return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int channel_send(int fd, const void *msg, size_t size, const int *fds, size_t n_fds) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
        } control;
        union {
                const void *const_data;
                void *data; /* sendmsg(2) only reads it */
        } payload = {.const_data = msg};
        struct iovec iov = {.iov_base = payload.data, .iov_len = size};
        struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

        assert(msg && size > 0);
        assert(n_fds <= CHANNEL_FDS_MAX);
        assert(fds || n_fds == 0);

        if (n_fds > 0) {
                memset(&control, 0, sizeof(control));
                mh.msg_control = &control;
                mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
        }

        /* DONTWAIT: whoever has a copy of the socket can change its file's O_NONBLOCK. */
        while (sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
                if (errno == EINTR)
                        continue;
                if (errno == EAGAIN)
                        return CHANNEL_E_AGAIN;
                if (errno == EPIPE || errno == ECONNRESET)
                        return CHANNEL_E_CLOSED;
                return -errno;
        }

        return 0;
}

/* Moves all descriptors of @mh into @fds. The kernel lets in no more than we have room for. */
static void take_fds(struct msghdr *mh, ChannelFds *fds) {
        for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
                size_t n;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
                        assert(fds->n < CHANNEL_FDS_MAX);
                        fds->fd[fds->n++] = fd;
                }
        }
}

int channel_recv(int fd, void *buf, size_t size, size_t *ret_size, ChannelFds *ret_fds) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
        } control;
        struct iovec iov = {.iov_base = buf, .iov_len = size};
        struct msghdr mh = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        ssize_t n;

        assert(buf && size > 0);
        assert(ret_size && ret_fds);

        *ret_fds = (ChannelFds)CHANNEL_FDS_INIT;

        do
                n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno == EAGAIN)
                return CHANNEL_E_AGAIN;
        if (n < 0 && errno == ECONNRESET)
                return CHANNEL_E_CLOSED;
        if (n < 0)
                return -errno;

        take_fds(&mh, ret_fds);
        if (n == 0)
                return CHANNEL_E_CLOSED; /* no message of ours is empty */
        if ((mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
                return -EBADMSG;

        *ret_size = (size_t)n;
        return 0;
}
