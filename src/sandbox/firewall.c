/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
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

FirewallKey firewall_key_port(struct in_addr address, uint8_t protocol, uint32_t port) {
        FirewallKey key = {0};
        uint16_t service = htons((uint16_t)port);

        assert(port <= UINT16_MAX);
        key_append(&key, &address, sizeof(address));
        key_append(&key, &protocol, sizeof(protocol));
        key_append(&key, &service, sizeof(service));
        return key;
}

FirewallKey firewall_key_number(uint32_t number) {
        FirewallKey key = {0};

        key_append(&key, &number, sizeof(number));
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

/* Bytes: a map of POLICY_BUCKETS elements. Behind it is room for a message that is too much. */
#define BATCH_SIZE 16384
#define MESSAGE_SIZE 12288

/* Changes come in batches: everything in one is done, or nothing. */
typedef struct Batch {
        _Alignas(struct nlmsghdr) char buffer[BATCH_SIZE + MESSAGE_SIZE];
        struct mnl_nlmsg_batch *batch;
} Batch;

static int batch_begin(Firewall *fw, Batch *b) {
        b->batch = mnl_nlmsg_batch_start(b->buffer, BATCH_SIZE);
        if (!b->batch)
                return -ENOMEM;

        (void)nftnl_batch_begin(mnl_nlmsg_batch_current(b->batch), ++fw->seq);
        (void)mnl_nlmsg_batch_next(b->batch);
        return 0;
}

static int batch_send(Firewall *fw, Batch *b) {
        (void)nftnl_batch_end(mnl_nlmsg_batch_current(b->batch), ++fw->seq);
        (void)mnl_nlmsg_batch_next(b->batch);

        if (mnl_socket_sendto(
                    fw->sock, mnl_nlmsg_batch_head(b->batch), mnl_nlmsg_batch_size(b->batch)) < 0)
                return -errno;

        return drain(fw, NULL, NULL);
}

/* The condition that an element's limit is: "over @limit a second". */
static struct nftnl_expr *limit_expression(const FirewallElement *e) {
        struct nftnl_expr *expr = nftnl_expr_alloc("limit");

        if (!expr)
                return NULL;
        nftnl_expr_set_u64(expr, NFTNL_EXPR_LIMIT_RATE, e->limit);
        nftnl_expr_set_u64(expr, NFTNL_EXPR_LIMIT_UNIT, 1); /* s */
        nftnl_expr_set_u32(expr, NFTNL_EXPR_LIMIT_BURST, e->limit);
        nftnl_expr_set_u32(expr, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
        nftnl_expr_set_u32(expr, NFTNL_EXPR_LIMIT_FLAGS, NFT_LIMIT_F_INV);
        return expr;
}

static int set_data(struct nftnl_set_elem *elem, const FirewallElement *e) {
        struct nftnl_expr *expr;

        switch (e->data) {
        case FIREWALL_DATA_NONE:
                return 0;
        case FIREWALL_DATA_JUMP:
        case FIREWALL_DATA_GOTO: {
                /* "uint32_t" to the library, though verdicts are negative. */
                uint32_t verdict = (uint32_t)(e->data == FIREWALL_DATA_JUMP ? NFT_JUMP : NFT_GOTO);

                if (nftnl_set_elem_set(elem, NFTNL_SET_ELEM_VERDICT, &verdict, sizeof(verdict)) <
                            0 ||
                    nftnl_set_elem_set_str(elem, NFTNL_SET_ELEM_CHAIN, e->chain) < 0)
                        return -ENOMEM;
                return 0;
        }
        case FIREWALL_DATA_VALUE:
                return nftnl_set_elem_set(
                               elem, NFTNL_SET_ELEM_DATA, e->value.bytes, e->value.size) < 0
                               ? -ENOMEM
                               : 0;
        case FIREWALL_DATA_RATE:
        default:
                expr = limit_expression(e);
                if (!expr)
                        return -ENOMEM;
                nftnl_set_elem_add_expr(elem, expr); /* takes it over */
                return 0;
        }
}

static struct nftnl_set *
set_of(const char *table, const char *name, const FirewallElement *elements, size_t n) {
        _cleanup_(set_putp) struct nftnl_set *set = nftnl_set_alloc();

        if (!set || nftnl_set_set_str(set, NFTNL_SET_TABLE, table) < 0 ||
            nftnl_set_set_str(set, NFTNL_SET_NAME, name) < 0)
                return NULL;
        for (size_t i = 0; i < n; i++) {
                struct nftnl_set_elem *elem = nftnl_set_elem_alloc();

                if (!elem)
                        return NULL;
                nftnl_set_elem_add(set, elem); /* takes it over */
                if (nftnl_set_elem_set(
                            elem, NFTNL_SET_ELEM_KEY, elements[i].key.bytes, elements[i].key.size) <
                            0 ||
                    set_data(elem, &elements[i]) < 0)
                        return NULL;
        }
        return TAKE_PTR(set);
}

/*
 * No acknowledgement is asked for: one for each message would not fit the socket's buffer,
 * and errors are told in any case.
 */
static int batch_put(Firewall *fw, Batch *b, int type, struct nftnl_set *set) {
        int flags = type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0;
        struct nlmsghdr *h;

        if (!set)
                return -ENOMEM;
        h = begin_message(fw, mnl_nlmsg_batch_current(b->batch), type, NFPROTO_INET, flags);
        nftnl_set_elems_nlmsg_build_payload(h, set);
        if (h->nlmsg_len > MESSAGE_SIZE || !mnl_nlmsg_batch_next(b->batch))
                return -E2BIG;
        return 0;
}

static int change_elements(Firewall *fw, int type, const FirewallElement *elements, size_t n) {
        Batch b = {.batch = NULL};
        _cleanup_(batch_stopp) struct mnl_nlmsg_batch *batch = NULL;
        int r;

        assert(fw);
        assert(elements || n == 0);

        if (n == 0)
                return 0;
        r = batch_begin(fw, &b);
        if (r < 0)
                return r;
        batch = b.batch; /* NOLINT(clang-analyzer-deadcode.DeadStores): the cleanup reads it */
        for (size_t i = 0; i < n; i++) {
                FirewallElement element = elements[i];
                _cleanup_(set_putp) struct nftnl_set *set = NULL;

                if (type == NFT_MSG_DELSETELEM)
                        element.data = FIREWALL_DATA_NONE;
                set = set_of(fw->table, element.set, &element, 1);
                r = batch_put(fw, &b, type, set);
                if (r < 0)
                        return r;
        }
        return batch_send(fw, &b);
}

int firewall_add_elements(Firewall *firewall, const FirewallElement *elements, size_t n) {
        return change_elements(firewall, NFT_MSG_NEWSETELEM, elements, n);
}

int firewall_remove_elements(Firewall *firewall, const FirewallElement *elements, size_t n) {
        return change_elements(firewall, NFT_MSG_DELSETELEM, elements, n);
}

int firewall_remove_all(Firewall *firewall, const FirewallElement *elements, size_t n) {
        int result = firewall_remove_elements(firewall, elements, n);

        if (result != -ENOENT)
                return result;
        result = 0;
        for (size_t i = 0; i < n; i++) {
                int r = firewall_remove_elements(firewall, &elements[i], 1);

                if (r < 0 && r != -ENOENT && result == 0)
                        result = r;
        }
        return result;
}

int firewall_add(Firewall *firewall, const char *set, const FirewallKey *key) {
        const FirewallElement element = {.set = set, .key = *key};

        return firewall_add_elements(firewall, &element, 1);
}

int firewall_remove(Firewall *firewall, const char *set, const FirewallKey *key) {
        const FirewallElement element = {.set = set, .key = *key};
        int r = firewall_remove_elements(firewall, &element, 1);

        return r == -ENOENT ? 0 : r;
}

int firewall_refill(
        Firewall *firewall, const char *set, const FirewallElement *elements, size_t n) {
        _cleanup_(set_putp) struct nftnl_set *nothing = NULL, *filled = NULL;
        Batch b = {.batch = NULL};
        _cleanup_(batch_stopp) struct mnl_nlmsg_batch *batch = NULL;
        int r;

        assert(firewall);

        r = batch_begin(firewall, &b);
        if (r < 0)
                return r;
        batch = b.batch; /* NOLINT(clang-analyzer-deadcode.DeadStores): the cleanup reads it */

        nothing = set_of(firewall->table, set, NULL, 0); /* no list of elements: all */
        r = batch_put(firewall, &b, NFT_MSG_DELSETELEM, nothing);
        if (r == 0 && n > 0) {
                filled = set_of(firewall->table, set, elements, n);
                r = batch_put(firewall, &b, NFT_MSG_NEWSETELEM, filled);
        }
        return r < 0 ? r : batch_send(firewall, &b);
}

static bool same_limit(struct nftnl_expr *expr, const FirewallElement *want) {
        return strcmp(nftnl_expr_get_str(expr, NFTNL_EXPR_NAME), "limit") == 0 &&
               nftnl_expr_get_u64(expr, NFTNL_EXPR_LIMIT_RATE) == want->limit &&
               nftnl_expr_get_u64(expr, NFTNL_EXPR_LIMIT_UNIT) == 1 &&
               nftnl_expr_get_u32(expr, NFTNL_EXPR_LIMIT_FLAGS) == NFT_LIMIT_F_INV;
}

typedef struct ExpressionSearch {
        const FirewallElement *want;
        bool found;
} ExpressionSearch;

static int match_expression(struct nftnl_expr *expr, void *userdata) {
        ExpressionSearch *search = userdata;

        search->found = same_limit(expr, search->want);
        return 0;
}

static bool same_data(struct nftnl_set_elem *elem, const FirewallElement *want) {
        ExpressionSearch search = {.want = want};
        const char *chain;
        uint32_t verdict;

        switch (want->data) {
        case FIREWALL_DATA_NONE:
        case FIREWALL_DATA_VALUE:
                return true;
        case FIREWALL_DATA_JUMP:
        case FIREWALL_DATA_GOTO:
                verdict = (uint32_t)(want->data == FIREWALL_DATA_JUMP ? NFT_JUMP : NFT_GOTO);
                chain = nftnl_set_elem_get_str(elem, NFTNL_SET_ELEM_CHAIN);
                /* Somebody may have put a map of another kind in the place of ours. */
                return nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_VERDICT) &&
                       nftnl_set_elem_get_u32(elem, NFTNL_SET_ELEM_VERDICT) == verdict && chain &&
                       strcmp(chain, want->chain) == 0;
        case FIREWALL_DATA_RATE:
        default:
                (void)nftnl_set_elem_expr_foreach(elem, match_expression, &search);
                return search.found;
        }
}

typedef struct ElementSearch {
        const FirewallElement *want;
        bool found;
} ElementSearch;

static int match_element(const struct nlmsghdr *answer, void *userdata) {
        _cleanup_(set_putp) struct nftnl_set *set = nftnl_set_alloc();
        struct nftnl_set_elems_iter *iter = NULL;
        ElementSearch *search = userdata;
        struct nftnl_set_elem *elem;

        if (!set || nftnl_set_elems_nlmsg_parse(answer, set) < 0)
                return MNL_CB_ERROR;
        iter = nftnl_set_elems_iter_create(set);
        if (!iter)
                return MNL_CB_ERROR;
        while ((elem = nftnl_set_elems_iter_next(iter)))
                search->found = same_data(elem, search->want);
        nftnl_set_elems_iter_destroy(iter);
        return MNL_CB_OK;
}

int firewall_check_element(Firewall *firewall, const FirewallElement *element) {
        ElementSearch search = {.want = element};
        _Alignas(struct nlmsghdr) char request[1024];
        _cleanup_(set_putp) struct nftnl_set *set = NULL;
        FirewallElement key;
        struct nlmsghdr *h;
        int r;

        assert(firewall);
        assert(element);

        key = *element;
        key.data = FIREWALL_DATA_NONE;
        set = set_of(firewall->table, key.set, &key, 1);
        if (!set)
                return -ENOMEM;
        h = begin_message(firewall, request, NFT_MSG_GETSETELEM, NFPROTO_INET, NLM_F_ACK);
        nftnl_set_elems_nlmsg_build_payload(h, set);
        r = query(firewall, h, match_element, &search);
        if (r < 0)
                return r;
        return search.found ? 0 : -ENOENT;
}

static int check_in(Firewall *fw, const char *table, const char *name, const FirewallKey *key) {
        const FirewallElement element = {.set = name, .key = *key};
        _cleanup_(set_putp) struct nftnl_set *set = set_of(table, name, &element, 1);
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
        (void)mnl_nlmsg_batch_next(b.batch);
        r = batch_send(firewall, &b);
        return r == -ENOENT ? 0 : r;
}

int firewall_list(Firewall *firewall, FirewallList what, FirewallListed *handler, void *userdata) {
        static const int types[] = {
                [FIREWALL_LIST_TABLES] = NFT_MSG_GETTABLE,
                [FIREWALL_LIST_CHAINS] = NFT_MSG_GETCHAIN,
                [FIREWALL_LIST_RULES] = NFT_MSG_GETRULE,
        };
        _Alignas(struct nlmsghdr) char request[512];
        struct nlmsghdr *h;

        assert(firewall);
        assert(handler);

        h = begin_message(firewall, request, types[what], NFPROTO_UNSPEC, NLM_F_DUMP);
        return query(firewall, h, handler, userdata);
}

int firewall_list_elements(
        Firewall *firewall,
        int family,
        const char *table,
        const char *set,
        FirewallListed *handler,
        void *userdata) {
        _cleanup_(set_putp) struct nftnl_set *asked = set_of(table, set, NULL, 0);
        _Alignas(struct nlmsghdr) char request[1024];
        struct nlmsghdr *h;

        assert(firewall);
        assert(handler);

        if (!asked)
                return -ENOMEM;
        h = begin_message(firewall, request, NFT_MSG_GETSETELEM, family, NLM_F_DUMP);
        nftnl_set_elems_nlmsg_build_payload(h, asked);
        return query(firewall, h, handler, userdata);
}
