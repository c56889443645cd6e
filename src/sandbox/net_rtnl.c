/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "sandbox/net_rtnl.h"

#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif

#define ANSWER_SIZE 32768 /* bytes: what the kernel fills at most in one go (NLMSG_GOODSIZE) */

struct NetRtnl {
        struct nl_sock *sock;
        /* The answer in work; nlmsghdr needs alignment. */
        _Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];
};

static int connect_socket(NetRtnl *rtnl) {
        rtnl->sock = nl_socket_alloc();
        if (!rtnl->sock)
                return -ENOMEM;
        if (nl_connect(rtnl->sock, NETLINK_ROUTE) < 0)
                return errno > 0 ? -errno : -EPROTO;
        return 0;
}

int net_rtnl_open(NetRtnl **ret) {
        _cleanup_(net_rtnl_freep) NetRtnl *rtnl = NULL;

        int r;

        assert(ret);

        rtnl = malloc(sizeof(*rtnl)); /* not calloc(): most of it is the buffer */
        if (!rtnl)
                return -ENOMEM;
        r = connect_socket(rtnl);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(rtnl);
        return 0;
}

NetRtnl *net_rtnl_free(NetRtnl *rtnl) {
        if (!rtnl)
                return NULL;

        nl_socket_free(rtnl->sock);
        free(rtnl);
        return NULL;
}

int net_rtnl_namespace(NetRtnl *rtnl, int *ret_fd) {
        int fd;

        assert(rtnl);
        assert(ret_fd);

        fd = ioctl(nl_socket_get_fd(rtnl->sock), SIOCGSKNS); /* close-on-exec by the kernel */
        if (fd < 0)
                return -errno;

        *ret_fd = fd;
        return 0;
}

uint32_t net_rtnl_port(const NetRtnl *rtnl) {
        return nl_socket_get_local_port(rtnl->sock);
}

static int answer_error(struct nlmsghdr *h) {
        const struct nlmsgerr *err = nlmsg_data(h);

        if (h->nlmsg_len < (uint32_t)nlmsg_size((int)sizeof(*err)))
                return -EBADMSG;
        return err->error;
}

/* Return: 1 when the answer is complete, 0 when more follows, or a negative errno. */
static int handle_answer(struct nlmsghdr *h, NetRtnlHandler handler, void *userdata) {
        int r;

        if (h->nlmsg_flags & NLM_F_DUMP_INTR)
                return -EINTR;
        if (h->nlmsg_type == NLMSG_DONE)
                return 1;
        if (h->nlmsg_type == NLMSG_ERROR) {
                r = answer_error(h);
                return r < 0 ? r : 1;
        }
        if (!handler)
                return 0;

        r = handler(h, userdata);
        return r < 0 ? r : 0;
}

static int receive_answers(NetRtnl *rtnl, uint32_t seq, NetRtnlHandler handler, void *userdata) {
        int result = 0;

        for (;;) {
                struct nlmsghdr *h = (struct nlmsghdr *)rtnl->answer;
                ssize_t n;
                int left;

                n = recv(nl_socket_get_fd(rtnl->sock), rtnl->answer, sizeof(rtnl->answer), 0);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }

                for (left = (int)n; nlmsg_ok(h, left); h = nlmsg_next(h, &left)) {
                        int r;

                        /* Left over from a request that was given up half-way. */
                        if (h->nlmsg_seq != seq)
                                continue;

                        r = handle_answer(h, result < 0 ? NULL : handler, userdata);
                        if (r == 1)
                                return result;
                        if (r < 0 && h->nlmsg_type == NLMSG_ERROR)
                                return r;
                        if (r < 0 && result == 0)
                                result = r; /* read on to the end, or it stays in the socket */
                }
        }
}

static int talk(NetRtnl *rtnl, struct nl_msg *msg, NetRtnlHandler handler, void *userdata) {
        struct nlmsghdr *h;

        assert(rtnl);

        if (!msg)
                return -ENOMEM;

        h = nlmsg_hdr(msg);
        /* Every answer ends with an acknowledgement, a list's with NLMSG_DONE. */
        if ((h->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
                h->nlmsg_flags |= NLM_F_ACK;
        nl_complete_msg(rtnl->sock, msg);

        if (send(nl_socket_get_fd(rtnl->sock), h, h->nlmsg_len, MSG_NOSIGNAL) < 0)
                return -errno;

        return receive_answers(rtnl, h->nlmsg_seq, handler, userdata);
}

int net_rtnl_request(NetRtnl *rtnl, struct nl_msg *msg) {
        return talk(rtnl, msg, NULL, NULL);
}

int net_rtnl_query(NetRtnl *rtnl, struct nl_msg *msg, NetRtnlHandler handler, void *userdata) {
        assert(handler);
        return talk(rtnl, msg, handler, userdata);
}
