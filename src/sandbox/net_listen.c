/* SPDX-License-Identifier: Apache-2.0 */

/* Does something on the host listen on a TCP port? Asked of the kernel (sock_diag(7)). */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>

#include "sandbox/net_listen.h"

static int note_listener(const struct nlmsghdr *answer, void *userdata) {
        *(bool *)userdata = true;
        return MNL_CB_OK;
}

static int ask(NetListen *sock, uint8_t family, uint16_t port, bool *found) {
        _Alignas(struct nlmsghdr) char buffer[8192];
        struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
        struct inet_diag_req_v2 *request;
        int r = MNL_CB_OK;

        h->nlmsg_type = SOCK_DIAG_BY_FAMILY;
        h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        h->nlmsg_seq = family;
        request = mnl_nlmsg_put_extra_header(h, sizeof(*request));
        *request = (struct inet_diag_req_v2){
                .sdiag_family = family,
                .sdiag_protocol = IPPROTO_TCP,
                .idiag_states = UINT32_C(1) << TCP_LISTEN,
                .id = {.idiag_sport = htons(port)},
        };
        if (mnl_socket_sendto(sock, h, h->nlmsg_len) < 0)
                return -errno;
        while (r > MNL_CB_STOP) {
                ssize_t n = mnl_socket_recvfrom(sock, buffer, sizeof(buffer));

                if (n < 0)
                        return -errno;
                r = mnl_cb_run(buffer, (size_t)n, family, 0, note_listener, found);
        }
        if (r < 0)
                return family == AF_INET6 && errno == ENOENT ? 0 : -errno; /* no IPv6 here */
        return 0;
}

int net_listen_open(NetListen **ret) {
        struct mnl_socket *sock = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
        int r;

        assert(ret);

        if (!sock)
                return -errno;
        if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0) {
                r = -errno;
                (void)mnl_socket_close(sock);
                return r;
        }
        *ret = sock;
        return 0;
}

NetListen *net_listen_free(NetListen *sock) {
        if (sock)
                (void)mnl_socket_close(sock);
        return NULL;
}

int net_listen_check(NetListen *sock, uint16_t port) {
        bool found = false;
        int r;

        assert(sock);
        assert(port > 0);

        r = ask(sock, AF_INET, port, &found);
        if (r >= 0 && !found)
                r = ask(sock, AF_INET6, port, &found); /* those take IPv4 as well, mostly */
        return r < 0 ? r : found;
}
