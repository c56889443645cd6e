/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#include "base/names.h"
#include "sandbox/firewall.h"

#define BUFFER_SIZE 16384 /* bytes: a batch of one element, or one part of a list */

struct Firewall {
        char table[INSTANCE_NAME_SIZE];
        struct mnl_socket *sock;
        uint32_t portid;
        uint32_t seq;
        _Alignas(struct nlmsghdr) char buffer[BUFFER_SIZE];
};

static void set_putp(struct nftnl_set **set) {
        if (*set)
                nftnl_set_free(*set);
}

static void batch_stopp(struct mnl_nlmsg_batch **batch) {
        if (*batch)
                mnl_nlmsg_batch_stop(*batch);
}

static void key_append(FirewallKey *key, const void *data, size_t size) {
        assert(key->size + size <= sizeof(key->bytes));

        memcpy(key->bytes + key->size, data, size);
        key->size += (uint32_t)((size + 3) & ~(size_t)3);
}

static void key_append_link(FirewallKey *key, const char *link) {
        char name[IFNAMSIZ];

        field_set(name, sizeof(name), link);
        key_append(key, name, sizeof(name));
}

FirewallKey firewall_key_link(const char *link, struct in_addr address) {
        FirewallKey key = {0};

        key_append_link(&key, link);
        key_append(&key, &address, sizeof(address));
        return key;
}

FirewallKey firewall_key_web(struct in_addr address, uint32_t port) {
        FirewallKey key = {0};
        uint16_t service = htons((uint16_t)port);

        assert(port <= UINT16_MAX);
        key_append(&key, &address, sizeof(address));
        key_append(&key, &service, sizeof(service));
        return key;
}

FirewallKey firewall_key_uplink(const char *link) {
        FirewallKey key = {0};

        key_append_link(&key, link);
        return key;
}

static int connect_socket(Firewall *fw) {
        fw->sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
        if (!fw->sock || mnl_socket_bind(fw->sock, 0, MNL_SOCKET_AUTOPID) < 0)
                return -errno;

        fw->portid = mnl_socket_get_portid(fw->sock);
        return 0;
}

int firewall_open(Firewall **ret, const char *instance) {
        _cleanup_(firewall_freep) Firewall *fw = NULL;
        int r;

        assert(ret);
        assert(instance_name_is_valid(instance));

        fw = calloc(1, sizeof(*fw));
        if (!fw)
                return -ENOMEM;
        field_set(fw->table, sizeof(fw->table), instance);
        r = connect_socket(fw);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(fw);
        return 0;
}

Firewall *firewall_free(Firewall *firewall) {
        if (!firewall)
                return NULL;

        if (firewall->sock)
                (void)mnl_socket_close(firewall->sock);
        free(firewall);
        return NULL;
}

uint32_t firewall_port(const Firewall *firewall) {
        return firewall->portid;
}

/*
 * The kernel has worked a request off when sendto() returns, so that all answers are
 * there. Reads them all; the result is the first error among them.
 */
static int drain(Firewall *fw, mnl_cb_t handler, void *userdata) {
        int result = 0;

        for (;;) {
                ssize_t n = recv(
                        mnl_socket_get_fd(fw->sock), fw->buffer, sizeof(fw->buffer), MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return result;
                if (n < 0)
                        return -errno;

                errno = 0;
                if (mnl_cb_run(fw->buffer, (size_t)n, 0, 0, handler, userdata) < 0 && result == 0)
                        result = errno > 0 ? -errno : -EPROTO;
        }
}

/* As drain(), for a list, whose end is told: parts of it follow as it is read. */
static int receive_list(Firewall *fw, uint32_t seq, mnl_cb_t handler, void *userdata) {
        int r;

        do {
                ssize_t n = mnl_socket_recvfrom(fw->sock, fw->buffer, sizeof(fw->buffer));

                if (n < 0)
                        return -errno;
                r = mnl_cb_run(fw->buffer, (size_t)n, seq, fw->portid, handler, userdata);
                if (r < 0)
                        return errno > 0 ? -errno : -EPROTO;
        } while (r > MNL_CB_STOP);

        return 0;
}

static int query(Firewall *fw, const struct nlmsghdr *request, mnl_cb_t handler, void *userdata) {
        bool list = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;

        if (mnl_socket_sendto(fw->sock, request, request->nlmsg_len) < 0)
                return -errno;

        return list ? receive_list(fw, request->nlmsg_seq, handler, userdata)
                    : drain(fw, handler, userdata);
}

static struct nlmsghdr *begin_message(Firewall *fw, char *buf, int type, int family, int flags) {
        return nftnl_nlmsg_build_hdr(
                buf, (uint16_t)type, (uint16_t)family, (uint16_t)flags, ++fw->seq);
}

/* Changes come in batches: everything in one is done, or nothing. */
typedef struct Batch {
        char buffer[4096];
        struct mnl_nlmsg_batch *batch;
} Batch;

static int batch_begin(Firewall *fw, Batch *b) {
        b->batch = mnl_nlmsg_batch_start(b->buffer, sizeof(b->buffer));
        if (!b->batch)
                return -ENOMEM;

        (void)nftnl_batch_begin(mnl_nlmsg_batch_current(b->batch), ++fw->seq);
        (void)mnl_nlmsg_batch_next(b->batch);
        return 0;
}

static int batch_send(Firewall *fw, Batch *b) {
        if (!mnl_nlmsg_batch_next(b->batch))
                return -E2BIG;
        (void)nftnl_batch_end(mnl_nlmsg_batch_current(b->batch), ++fw->seq);
        (void)mnl_nlmsg_batch_next(b->batch);

        if (mnl_socket_sendto(
                    fw->sock, mnl_nlmsg_batch_head(b->batch), mnl_nlmsg_batch_size(b->batch)) < 0)
                return -errno;

        return drain(fw, NULL, NULL);
}

static struct nftnl_set *set_with(const char *table, const char *name, const FirewallKey *key) {
        _cleanup_(set_putp) struct nftnl_set *set = nftnl_set_alloc();
        struct nftnl_set_elem *elem;

        if (!set || nftnl_set_set_str(set, NFTNL_SET_TABLE, table) < 0 ||
            nftnl_set_set_str(set, NFTNL_SET_NAME, name) < 0)
                return NULL;

        elem = nftnl_set_elem_alloc();
        if (!elem)
                return NULL;
        nftnl_set_elem_add(set, elem); /* takes it over */
        if (nftnl_set_elem_set(elem, NFTNL_SET_ELEM_KEY, key->bytes, key->size) < 0)
                return NULL;

        return TAKE_PTR(set);
}

static int change(Firewall *fw, int type, const char *name, const FirewallKey *key) {
        _cleanup_(set_putp) struct nftnl_set *set = NULL;
        Batch b = {0};
        _cleanup_(batch_stopp) struct mnl_nlmsg_batch *batch = NULL;
        struct nlmsghdr *h;
        int r;

        assert(fw);
        assert(key);

        set = set_with(fw->table, name, key);
        if (!set)
                return -ENOMEM;
        r = batch_begin(fw, &b);
        if (r < 0)
                return r;
        batch = b.batch; /* NOLINT(clang-analyzer-deadcode.DeadStores): the cleanup reads it */

        h = begin_message(
                fw,
                mnl_nlmsg_batch_current(b.batch),
                type,
                NFPROTO_INET,
                (type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0) | NLM_F_ACK);
        nftnl_set_elems_nlmsg_build_payload(h, set);

        return batch_send(fw, &b);
}

int firewall_add(Firewall *firewall, const char *set, const FirewallKey *key) {
        return change(firewall, NFT_MSG_NEWSETELEM, set, key);
}

int firewall_remove(Firewall *firewall, const char *set, const FirewallKey *key) {
        int r = change(firewall, NFT_MSG_DELSETELEM, set, key);

        return r == -ENOENT ? 0 : r;
}

static int check_in(Firewall *fw, const char *table, const char *name, const FirewallKey *key) {
        _cleanup_(set_putp) struct nftnl_set *set = set_with(table, name, key);
        _Alignas(struct nlmsghdr) char request[1024];
        struct nlmsghdr *h;

        if (!set)
                return -ENOMEM;

        h = begin_message(fw, request, NFT_MSG_GETSETELEM, NFPROTO_INET, NLM_F_ACK);
        nftnl_set_elems_nlmsg_build_payload(h, set);
        return query(fw, h, NULL, NULL);
}

int firewall_check(Firewall *firewall, const char *set, const FirewallKey *key) {
        assert(firewall);
        return check_in(firewall, firewall->table, set, key);
}

/* The inet tables of a host: other instances have no other family. */
#define TABLES_MAX 64

typedef struct Tables {
        char name[TABLES_MAX][INSTANCE_NAME_SIZE];
        size_t n;
} Tables;

static int collect_table(const struct nlmsghdr *answer, void *userdata) {
        struct nftnl_table *table = nftnl_table_alloc();
        Tables *tables = userdata;
        const char *name;

        if (!table)
                return MNL_CB_ERROR;
        if (nftnl_table_nlmsg_parse(answer, table) >= 0) {
                name = nftnl_table_get_str(table, NFTNL_TABLE_NAME);
                if (name && instance_name_is_valid(name) && tables->n < TABLES_MAX)
                        field_set(tables->name[tables->n++], INSTANCE_NAME_SIZE, name);
        }
        nftnl_table_free(table);
        return MNL_CB_OK;
}

bool firewall_others_have(Firewall *firewall, const char *set, const FirewallKey *key) {
        _Alignas(struct nlmsghdr) char request[512];
        Tables tables = {.n = 0};
        struct nlmsghdr *h;

        assert(firewall);

        h = begin_message(firewall, request, NFT_MSG_GETTABLE, NFPROTO_INET, NLM_F_DUMP);
        if (query(firewall, h, collect_table, &tables) < 0)
                return false;

        for (size_t i = 0; i < tables.n; i++)
                if (strcmp(tables.name[i], firewall->table) != 0 &&
                    check_in(firewall, tables.name[i], set, key) == 0)
                        return true;
        return false;
}

int firewall_check_table(Firewall *firewall) {
        _Alignas(struct nlmsghdr) char request[512];
        struct nlmsghdr *h;

        assert(firewall);

        h = begin_message(firewall, request, NFT_MSG_GETTABLE, NFPROTO_INET, NLM_F_ACK);
        mnl_attr_put_strz(h, NFTA_TABLE_NAME, firewall->table);
        return query(firewall, h, NULL, NULL);
}

int firewall_remove_table(Firewall *firewall) {
        Batch b = {0};
        _cleanup_(batch_stopp) struct mnl_nlmsg_batch *batch = NULL;
        struct nlmsghdr *h;
        int r;

        assert(firewall);

        r = batch_begin(firewall, &b);
        if (r < 0)
                return r;
        batch = b.batch; /* NOLINT(clang-analyzer-deadcode.DeadStores): the cleanup reads it */

        h = begin_message(
                firewall,
                mnl_nlmsg_batch_current(b.batch),
                NFT_MSG_DELTABLE,
                NFPROTO_INET,
                NLM_F_ACK);
        mnl_attr_put_strz(h, NFTA_TABLE_NAME, firewall->table);
        r = batch_send(firewall, &b);
        return r == -ENOENT ? 0 : r;
}

static const char *family_name(uint32_t family) {
        switch (family) {
        case NFPROTO_INET:
                return "inet";
        case NFPROTO_IPV4:
                return "ip";
        default:
                return NULL; /* sees none of our packets */
        }
}

typedef struct Blockers {
        const char *table;
        char *text;
        size_t size, used;
} Blockers;

static int collect_blocker(const struct nlmsghdr *answer, void *userdata) {
        struct nftnl_chain *chain = nftnl_chain_alloc();
        Blockers *b = userdata;
        const char *family, *table;
        uint32_t hook;
        int n;

        if (!chain)
                return MNL_CB_ERROR;
        if (nftnl_chain_nlmsg_parse(answer, chain) < 0 ||
            !nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM) ||
            !nftnl_chain_is_set(chain, NFTNL_CHAIN_POLICY) ||
            nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY) != NF_DROP)
                goto out;

        hook = nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM);
        family = family_name(nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY));
        table = nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE);
        if (!family || (hook != NF_INET_FORWARD && hook != NF_INET_LOCAL_IN) ||
            strcmp(table, b->table) == 0)
                goto out;

        n = snprintf(
                b->text + b->used,
                b->size - b->used,
                "%s%s %s %s",
                b->used > 0 ? ", " : "",
                family,
                table,
                nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME));
        if (n > 0 && (size_t)n < b->size - b->used)
                b->used += (size_t)n;
        else
                b->text[b->used] = '\0';
out:
        nftnl_chain_free(chain);
        return MNL_CB_OK;
}

int firewall_blockers(Firewall *firewall, char *text, size_t size) {
        Blockers b = {.table = firewall->table, .text = text, .size = size};
        _Alignas(struct nlmsghdr) char request[512];
        struct nlmsghdr *h;

        assert(text && size > 0);

        text[0] = '\0';
        h = begin_message(firewall, request, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, NLM_F_DUMP);
        return query(firewall, h, collect_blocker, &b);
}
