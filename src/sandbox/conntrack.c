/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdint.h>
#include <string.h>

#include "sandbox/conntrack.h"

#define BUFFER_SIZE 32768 /* bytes: what the kernel fills at most in one go */
#define BATCH_SIZE 16384  /* bytes of requests that are sent together */
#define REQUEST_MAX 512   /* bytes: one of them; a tuple is a tenth of that */

struct Conntrack {
        struct mnl_socket *list, *change; /* a list is being read while entries are removed */
        uint32_t portid, seq;
        size_t batched; /* bytes in @batch */
        int error;      /* the first of a batch */
        _Alignas(struct nlmsghdr) char buffer[BUFFER_SIZE];
        _Alignas(struct nlmsghdr) char batch[BATCH_SIZE];
};

static int open_socket(struct mnl_socket **ret) {
        *ret = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
        return *ret && mnl_socket_bind(*ret, 0, MNL_SOCKET_AUTOPID) == 0 ? 0 : -errno;
}

int conntrack_open(Conntrack **ret) {
        _cleanup_(conntrack_freep) Conntrack *ct = NULL;
        int r;

        assert(ret);

        ct = calloc(1, sizeof(*ct));
        if (!ct)
                return -ENOMEM;
        r = open_socket(&ct->list);
        if (r >= 0)
                r = open_socket(&ct->change);
        if (r < 0)
                return r;
        ct->portid = mnl_socket_get_portid(ct->list);

        *ret = TAKE_PTR(ct);
        return 0;
}

Conntrack *conntrack_free(Conntrack *conntrack) {
        if (!conntrack)
                return NULL;

        if (conntrack->list)
                (void)mnl_socket_close(conntrack->list);
        if (conntrack->change)
                (void)mnl_socket_close(conntrack->change);
        free(conntrack);
        return NULL;
}

static struct nlmsghdr *begin_message(Conntrack *ct, char *buf, int type, int flags) {
        struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
        struct nfgenmsg *message;

        h->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
        h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
        h->nlmsg_seq = ++ct->seq;
        message = mnl_nlmsg_put_extra_header(h, sizeof(*message));
        *message = (struct nfgenmsg){.nfgen_family = AF_INET, .version = NFNETLINK_V0};
        return h;
}

/* Sends what is batched. Only failures are answered; an entry that is gone is none. */
static int flush(Conntrack *ct) {
        size_t size = ct->batched;

        ct->batched = 0;
        if (size > 0 && mnl_socket_sendto(ct->change, ct->batch, size) < 0)
                return -errno;

        for (;;) {
                struct nlmsghdr answer[4];
                const struct nlmsgerr *error;
                ssize_t n;

                n =
                        recv(mnl_socket_get_fd(ct->change),
                             answer,
                             sizeof(answer),
                             MSG_DONTWAIT | MSG_TRUNC);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                error = mnl_nlmsg_get_payload(answer);
                if (n >= (ssize_t)sizeof(answer[0]) && answer[0].nlmsg_type == NLMSG_ERROR &&
                    error->error < 0 && error->error != -ENOENT)
                        return error->error;
        }
}

/* The entry in @answer is removed with the next batch. */
static void remove_entry(Conntrack *ct, const struct nlmsghdr *answer) {
        struct nlattr *attr;
        struct nlmsghdr *h;

        if (ct->batched + REQUEST_MAX > sizeof(ct->batch) && ct->error == 0)
                ct->error = flush(ct);
        if (ct->error < 0)
                return;

        h = begin_message(ct, ct->batch + ct->batched, IPCTNL_MSG_CT_DELETE, 0);
        mnl_attr_for_each(attr, answer, sizeof(struct nfgenmsg)) {
                uint16_t type = mnl_attr_get_type(attr);

                /* The ID as well: a new entry with the same tuple is somebody else's. */
                if ((type == CTA_TUPLE_ORIG || type == CTA_ZONE || type == CTA_ID) &&
                    !mnl_attr_put_check(
                            h,
                            REQUEST_MAX,
                            attr->nla_type,
                            mnl_attr_get_payload_len(attr),
                            mnl_attr_get_payload(attr)))
                        ct->error = -E2BIG;
        }
        ct->batched += MNL_ALIGN(h->nlmsg_len);
}

/* The source address of a tuple. */
static bool find_source(const struct nlattr *tuple, struct in_addr *ret) {
        struct nlattr *part, *address;

        mnl_attr_for_each_nested(part, tuple) {
                if (mnl_attr_get_type(part) != CTA_TUPLE_IP)
                        continue;
                mnl_attr_for_each_nested(address, part) if (
                        mnl_attr_get_type(address) == CTA_IP_V4_SRC &&
                        mnl_attr_get_payload_len(address) == sizeof(*ret)) {
                        memcpy(ret, mnl_attr_get_payload(address), sizeof(*ret));
                        return true;
                }
        }
        return false;
}

typedef struct Walk {
        Conntrack *ct;
        ConntrackFilter filter;
        void *userdata;
        bool accepted; /* those too that an address accepted: it is the source of the answers */
} Walk;

static int visit(const struct nlmsghdr *answer, void *userdata) {
        const Walk *walk = userdata;
        struct nlattr *attr;

        if ((answer->nlmsg_type & 0xff) != IPCTNL_MSG_CT_NEW)
                return MNL_CB_OK;
        mnl_attr_for_each(attr, answer, sizeof(struct nfgenmsg)) {
                uint16_t type = mnl_attr_get_type(attr);
                struct in_addr source;

                if ((type == CTA_TUPLE_ORIG || (type == CTA_TUPLE_REPLY && walk->accepted)) &&
                    find_source(attr, &source) && walk->filter(source, walk->userdata)) {
                        remove_entry(walk->ct, answer);
                        break;
                }
        }
        return MNL_CB_OK;
}

static int walk_table(Walk *walk) {
        Conntrack *conntrack = walk->ct;
        _Alignas(struct nlmsghdr) char buf[64];
        const struct nlmsghdr *request;
        int r;

        conntrack->error = 0;
        request = begin_message(conntrack, buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP);
        if (mnl_socket_sendto(conntrack->list, request, request->nlmsg_len) < 0)
                return -errno;
        do {
                ssize_t n = mnl_socket_recvfrom(
                        conntrack->list, conntrack->buffer, sizeof(conntrack->buffer));

                if (n < 0)
                        return -errno;
                r = mnl_cb_run(
                        conntrack->buffer,
                        (size_t)n,
                        request->nlmsg_seq,
                        conntrack->portid,
                        visit,
                        walk);
                if (r < 0)
                        return errno > 0 ? -errno : -EPROTO;
        } while (r > MNL_CB_STOP);

        r = flush(conntrack);
        return conntrack->error < 0 ? conntrack->error : r;
}

int conntrack_forget(Conntrack *conntrack, ConntrackFilter filter, void *userdata) {
        Walk walk = {.ct = conntrack, .filter = filter, .userdata = userdata, .accepted = true};

        assert(conntrack);
        assert(filter);
        return walk_table(&walk);
}

int conntrack_forget_opened(Conntrack *conntrack, ConntrackFilter filter, void *userdata) {
        Walk walk = {.ct = conntrack, .filter = filter, .userdata = userdata};

        assert(conntrack);
        assert(filter);
        return walk_table(&walk);
}
