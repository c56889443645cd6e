/* SPDX-License-Identifier: Apache-2.0 */

/* Does something on the host listen on a TCP port? Asked of the kernel (sock_diag(7)). */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>

#include "sandbox/net_listen.h"

#define UID_OF_USERS 1000 /* UID_MIN of login.defs(5), as every distribution has it */

static int note_listener(const struct nlmsghdr *answer, void *userdata) {
        const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(answer);
        NetListenerOwner *owner = userdata;

        if (mnl_nlmsg_get_payload_len(answer) < sizeof(*msg) || msg->idiag_uid < UID_OF_USERS)
                *owner = NET_LISTENER_OF_SYSTEM;
        else if (*owner == NET_LISTENER_NONE)
                *owner = NET_LISTENER_OF_USER;
        return MNL_CB_OK;
}

/* @port: 0 for all. */
static int ask(NetListen *sock, uint8_t family, uint16_t port, mnl_cb_t handler, void *userdata) {
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
                r = mnl_cb_run(buffer, (size_t)n, family, 0, handler, userdata);
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
        NetListenerOwner owner = NET_LISTENER_NONE;
        int r;

        assert(sock);
        assert(port > 0);

        r = ask(sock, AF_INET, port, note_listener, &owner);
        if (r >= 0)
                /* Those take IPv4 as well, mostly. */
                r = ask(sock, AF_INET6, port, note_listener, &owner);
        return r < 0 ? r : (int)owner;
}

static bool is_for_others(const struct inet_diag_msg *msg) {
        const uint8_t *address = (const uint8_t *)msg->id.idiag_src;
        static const uint8_t any[16];

        /* Of IPv6 only what takes IPv4 as well: published ports are of IPv4 alone. */
        return msg->idiag_family == AF_INET ? address[0] != 127
                                            : memcmp(address, any, sizeof(any)) == 0;
}

static int find_v6only(const struct nlattr *attr, void *userdata) {
        if (mnl_attr_get_type(attr) == INET_DIAG_SKV6ONLY &&
            mnl_attr_validate(attr, MNL_TYPE_U8) == 0)
                *(bool *)userdata = mnl_attr_get_u8(attr) != 0;
        return MNL_CB_OK;
}

static int note_port(const struct nlmsghdr *answer, void *userdata) {
        const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(answer);
        NetListeners *listeners = userdata;
        bool v6only = false;
        uint16_t port;

        if (mnl_nlmsg_get_payload_len(answer) < sizeof(*msg) || !is_for_others(msg))
                return MNL_CB_OK;
        (void)mnl_attr_parse(answer, sizeof(*msg), find_v6only, &v6only);
        port = ntohs(msg->id.idiag_sport);
        if (!v6only)
                listeners->ports[port / 64] |= UINT64_C(1) << (port % 64);
        return MNL_CB_OK;
}

int net_listen_all(NetListen *sock, NetListeners *ret) {
        int r;

        assert(sock);
        assert(ret);

        r = ask(sock, AF_INET, 0, note_port, ret);
        return r < 0 ? r : ask(sock, AF_INET6, 0, note_port, ret);
}
