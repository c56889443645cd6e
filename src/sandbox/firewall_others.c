/* SPDX-License-Identifier: Apache-2.0 */

#include "sandbox/firewall_others.h"

#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"

/* A host with thousands of services has thousands of chains; beyond this we look at no more. */
#define CHAINS_MAX 8192
#define JUMPS_MAX 32768
#define JUMP_DEPTH 16 /* the kernel's own (NFT_JUMP_STACK_SIZE) */
#define GROW_BY 64

static_assert(
        (int)HOOK_PREROUTING == NF_INET_PRE_ROUTING && (int)HOOK_INPUT == NF_INET_LOCAL_IN &&
                (int)HOOK_FORWARD == NF_INET_FORWARD && (int)HOOK_OUTPUT == NF_INET_LOCAL_OUT &&
                (int)HOOK_POSTROUTING == NF_INET_POST_ROUTING,
        "as in the kernel");

int foreign_add_chain(Foreign *foreign, const ForeignChain *chain) {
        if (foreign->n_chains == CHAINS_MAX)
                return -E2BIG;
        if (foreign->n_chains % GROW_BY == 0) {
                ForeignChain *chains =
                        reallocarray(foreign->chains, foreign->n_chains + GROW_BY, sizeof(*chains));

                if (!chains)
                        return -ENOMEM;
                foreign->chains = chains;
        }
        foreign->chains[foreign->n_chains] = *chain;
        return (int)foreign->n_chains++;
}

int foreign_add_jump(Foreign *foreign, size_t from, size_t to, bool always) {
        if (foreign->n_jumps == JUMPS_MAX)
                return -E2BIG;
        if (foreign->n_jumps % GROW_BY == 0) {
                ForeignJump *jumps =
                        reallocarray(foreign->jumps, foreign->n_jumps + GROW_BY, sizeof(*jumps));

                if (!jumps)
                        return -ENOMEM;
                foreign->jumps = jumps;
        }
        foreign->jumps[foreign->n_jumps++] =
                (ForeignJump){.from = from, .to = to, .always = always};
        return 0;
}

void foreign_add_rule(ForeignChain *chain, const ForeignRule *rule) {
        uint8_t links = rule->names & (FOREIGN_FROM | FOREIGN_TO), names = rule->names;

        /* Answers over our links, or of one protocol, are not all. */
        if (links != 0 || rule->by_other_means || !rule->lets_through)
                names &= (uint8_t)~FOREIGN_ANSWERS;
        chain->jumps_far |= rule->jumps_far;
        if (!rule->drops)
                chain->knows |= names;
        else if (
                !rule->conditional || (rule->names == links && links != 0 && !rule->by_other_means))
                chain->drops = true;
}

bool foreign_covers(const char *name, size_t len, const char *prefix) {
        return len > 0 && len <= strlen(prefix) && memcmp(name, prefix, len) == 0;
}

/* ---- nftables ---- */

/* A rule compares links with a set whose elements were not read yet. */
typedef struct NftLookup {
        char set[FILTER_NAME_SIZE];
        ForeignRule rule; /* if the set has our links */
        uint8_t names;    /* FOREIGN_FROM or _TO */
        size_t chain;
} NftLookup;

#define LOOKUPS_MAX 256 /* of links, in all chains of others */
#define ASLEEP_MAX 32   /* tables: nobody has as many */

typedef struct NftWalk {
        Foreign *foreign;
        const char *own_table;
        size_t last; /* where the last rule was found: the kernel tells them chain by chain */
        NftLookup lookups[LOOKUPS_MAX];
        size_t n_lookups;
        ForeignChain asleep[ASLEEP_MAX]; /* only kind and table */
        size_t n_asleep;
} NftWalk;

static bool take_family(uint32_t family, uint8_t *ret) {
        *ret = family == NFPROTO_INET ? FILTER_NFT_INET : FILTER_NFT_IP;
        return family == NFPROTO_INET || family == NFPROTO_IPV4; /* others see none of ours */
}

static void cut(char name[FILTER_NAME_SIZE], const char *text) {
        (void)snprintf(name, FILTER_NAME_SIZE, "%s", text ? text : "");
}

static int collect_asleep(const struct nlmsghdr *answer, void *userdata) {
        struct nftnl_table *table = nftnl_table_alloc();
        ForeignChain found = {.hook = -1};
        NftWalk *walk = userdata;

        if (!table)
                return MNL_CB_ERROR;
        if (nftnl_table_nlmsg_parse(answer, table) >= 0 &&
            take_family(nftnl_table_get_u32(table, NFTNL_TABLE_FAMILY), &found.kind) &&
            (nftnl_table_get_u32(table, NFTNL_TABLE_FLAGS) & NFT_TABLE_F_DORMANT) != 0 &&
            walk->n_asleep < ASLEEP_MAX) {
                cut(found.table, nftnl_table_get_str(table, NFTNL_TABLE_NAME));
                walk->asleep[walk->n_asleep++] = found;
        }
        nftnl_table_free(table);
        return MNL_CB_OK;
}

static bool same_table(const ForeignChain *a, const ForeignChain *b) {
        return a->kind == b->kind && strcmp(a->table, b->table) == 0;
}

static bool is_asleep(const NftWalk *walk, const ForeignChain *chain) {
        for (size_t i = 0; i < walk->n_asleep; i++)
                if (same_table(&walk->asleep[i], chain))
                        return true;
        return false;
}

static int collect_chain(const struct nlmsghdr *answer, void *userdata) {
        struct nftnl_chain *chain = nftnl_chain_alloc();
        ForeignChain found = {.hook = -1};
        NftWalk *walk = userdata;
        int r = 0;

        if (!chain)
                return MNL_CB_ERROR;
        if (nftnl_chain_nlmsg_parse(answer, chain) >= 0 &&
            take_family(nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY), &found.kind)) {
                cut(found.table, nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE));
                cut(found.chain, nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME));
                if (nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM) &&
                    nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM) < _FILTER_HOOK_MAX) {
                        found.hook = (int8_t)nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM);
                        found.drops = nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY) == NF_DROP;
                }
                if (strcmp(found.table, walk->own_table) != 0 && !is_asleep(walk, &found))
                        r = foreign_add_chain(walk->foreign, &found);
        }

        nftnl_chain_free(chain);
        return r < 0 && r != -E2BIG ? MNL_CB_ERROR : MNL_CB_OK;
}

static bool is_chain(const ForeignChain *c, uint8_t kind, const char *table, const char *chain) {
        return c->kind == kind && strncmp(c->chain, chain, FILTER_NAME_SIZE - 1) == 0 &&
               strncmp(c->table, table, FILTER_NAME_SIZE - 1) == 0;
}

static bool
find_chain(NftWalk *walk, uint8_t kind, const char *table, const char *chain, size_t *ret) {
        const Foreign *foreign = walk->foreign;

        for (size_t i = 0; i < foreign->n_chains; i++) {
                size_t at = (walk->last + i) % foreign->n_chains;

                if (is_chain(&foreign->chains[at], kind, table, chain)) {
                        *ret = at;
                        return true;
                }
        }
        return false;
}

/* A rule, expression by expression: what was loaded last is what is compared. */
typedef struct NftRule {
        const char *prefix;
        uint8_t loaded;     /* FOREIGN_*: name of a link, or the state of a connection */
        const char *target; /* chain that it leads to, or NULL */
        const char *set;    /* that it looks a link up in, or NULL */
        uint8_t set_names;
        ForeignRule sum;
} NftRule;

static uint8_t loaded_by(const struct nftnl_expr *expr, const char *name) {
        if (strcmp(name, "ct") == 0)
                return nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_KEY) == NFT_CT_STATE ? FOREIGN_ANSWERS
                                                                                   : 0;
        if (strcmp(name, "meta") != 0)
                return 0;
        switch (nftnl_expr_get_u32(expr, NFTNL_EXPR_META_KEY)) {
        case NFT_META_IIFNAME:
                return FOREIGN_FROM;
        case NFT_META_OIFNAME:
                return FOREIGN_TO;
        default:
                return 0;
        }
}

static void take_verdict(NftRule *rule, const struct nftnl_expr *expr) {
        int32_t verdict;

        if (!nftnl_expr_is_set(expr, NFTNL_EXPR_IMM_VERDICT))
                return;
        verdict = (int32_t)nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_VERDICT);
        rule->sum.drops |= verdict == NF_DROP;
        rule->sum.lets_through |= verdict == NF_ACCEPT;
        if (nftnl_expr_is_set(expr, NFTNL_EXPR_IMM_CHAIN))
                rule->target = nftnl_expr_get_str(expr, NFTNL_EXPR_IMM_CHAIN);
}

static void take_comparison(NftRule *rule, const struct nftnl_expr *expr) {
        uint32_t len = 0;
        const char *data = nftnl_expr_get(expr, NFTNL_EXPR_CMP_DATA, &len);

        if (rule->loaded == FOREIGN_ANSWERS)
                rule->sum.names |= FOREIGN_ANSWERS; /* a test of bits, in whatever form */
        else if (
                rule->loaded != 0 && data &&
                nftnl_expr_get_u32(expr, NFTNL_EXPR_CMP_OP) == NFT_CMP_EQ &&
                foreign_covers(data, len, rule->prefix))
                rule->sum.names |= rule->loaded;
        else
                rule->sum.by_other_means = true;
}

static void take_lookup(NftRule *rule, const struct nftnl_expr *expr) {
        bool map = nftnl_expr_is_set(expr, NFTNL_EXPR_LOOKUP_DREG);

        rule->sum.jumps_far |= map;
        if (rule->loaded == FOREIGN_ANSWERS) {
                rule->sum.names |= FOREIGN_ANSWERS;
                rule->sum.lets_through |= map; /* to each state its verdict */
        } else if (rule->loaded != 0 && !rule->set) {
                rule->set = nftnl_expr_get_str(expr, NFTNL_EXPR_LOOKUP_SET);
                rule->set_names = rule->loaded;
        } else {
                rule->sum.by_other_means = true;
        }
}

/* iptables-nft writes REJECT and LOG so, and what else it has no words of nftables for. */
static void take_target(NftRule *rule, const struct nftnl_expr *expr) {
        const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_TG_NAME);

        rule->sum.drops |= name && strcmp(name, "REJECT") == 0;
}

/* iptables-nft writes the states of connections so. */
static void take_match(NftRule *rule, const struct nftnl_expr *expr) {
        const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_MT_NAME);

        if (name && (strcmp(name, "conntrack") == 0 || strcmp(name, "state") == 0))
                rule->sum.names |= FOREIGN_ANSWERS;
        else
                rule->sum.by_other_means = true;
}

static void sum_up(const struct nftnl_rule *rule, NftRule *ret) {
        struct nftnl_expr_iter *iter = nftnl_expr_iter_create(rule);
        struct nftnl_expr *expr;

        while (iter && (expr = nftnl_expr_iter_next(iter))) {
                const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);

                if (strcmp(name, "reject") == 0) {
                        ret->sum.drops = true;
                        continue;
                }
                if (strcmp(name, "immediate") == 0)
                        take_verdict(ret, expr);
                if (strcmp(name, "target") == 0)
                        take_target(ret, expr);
                if (strcmp(name, "immediate") == 0 || strcmp(name, "target") == 0 ||
                    strcmp(name, "counter") == 0 || strcmp(name, "log") == 0)
                        continue;

                ret->sum.conditional = true;
                if (strcmp(name, "cmp") == 0)
                        take_comparison(ret, expr);
                else if (strcmp(name, "lookup") == 0)
                        take_lookup(ret, expr);
                else if (strcmp(name, "match") == 0)
                        take_match(ret, expr);
                else if (strcmp(name, "bitwise") != 0)
                        ret->loaded = loaded_by(expr, name);
        }
        if (iter)
                nftnl_expr_iter_destroy(iter);
}

static void remember_lookup(NftWalk *walk, const NftRule *rule, size_t chain) {
        NftLookup *lookup;

        if (walk->n_lookups == LOOKUPS_MAX || strlen(rule->set) >= FILTER_NAME_SIZE)
                return;
        lookup = &walk->lookups[walk->n_lookups++];
        *lookup = (NftLookup){.rule = rule->sum, .names = rule->set_names, .chain = chain};
        cut(lookup->set, rule->set);
}

static int take_rule(NftWalk *walk, const struct nftnl_rule *rule) {
        const char *table = nftnl_rule_get_str(rule, NFTNL_RULE_TABLE);
        const char *chain = nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN);
        NftRule found = {.prefix = walk->foreign->prefix};
        size_t from, to;
        uint8_t kind;

        if (!table || !chain || !take_family(nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY), &kind) ||
            !find_chain(walk, kind, table, chain, &from))
                return 0;
        walk->last = from;
        sum_up(rule, &found);
        if (found.set)
                remember_lookup(walk, &found, from);
        found.sum.by_other_means |= found.set != NULL;
        foreign_add_rule(&walk->foreign->chains[from], &found.sum);
        if (!found.target || !find_chain(walk, kind, table, found.target, &to))
                return 0;
        return foreign_add_jump(walk->foreign, from, to, !found.sum.conditional);
}

static int look_at_rule(const struct nlmsghdr *answer, void *userdata) {
        struct nftnl_rule *rule = nftnl_rule_alloc();
        int r = 0;

        if (!rule)
                return MNL_CB_ERROR;
        if (nftnl_rule_nlmsg_parse(answer, rule) >= 0)
                r = take_rule(userdata, rule);
        nftnl_rule_free(rule);
        return r < 0 && r != -E2BIG ? MNL_CB_ERROR : MNL_CB_OK;
}

typedef struct NftElements {
        const char *prefix;
        bool covers;
} NftElements;

/* "dynod-*" is the range that begins with "dynod-", which no link is called. */
static int look_at_elements(const struct nlmsghdr *answer, void *userdata) {
        struct nftnl_set *set = nftnl_set_alloc();
        struct nftnl_set_elems_iter *iter = NULL;
        NftElements *elements = userdata;
        struct nftnl_set_elem *elem;

        if (set && nftnl_set_elems_nlmsg_parse(answer, set) >= 0)
                iter = nftnl_set_elems_iter_create(set);
        while (iter && (elem = nftnl_set_elems_iter_next(iter))) {
                uint32_t len = 0, flags = 0;
                const char *key = nftnl_set_elem_get(elem, NFTNL_SET_ELEM_KEY, &len);

                if (nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_FLAGS))
                        flags = nftnl_set_elem_get_u32(elem, NFTNL_SET_ELEM_FLAGS);
                if (key && len == IFNAMSIZ && (flags & NFT_SET_ELEM_INTERVAL_END) == 0)
                        elements->covers |= strncmp(key, elements->prefix, IFNAMSIZ) == 0;
        }
        if (iter)
                nftnl_set_elems_iter_destroy(iter);
        if (set)
                nftnl_set_free(set);
        return MNL_CB_OK;
}

static int look_up(Firewall *firewall, NftWalk *walk, const NftLookup *lookup) {
        ForeignChain *chain = &walk->foreign->chains[lookup->chain];
        NftElements elements = {.prefix = walk->foreign->prefix};
        ForeignRule rule = lookup->rule;
        int family = chain->kind == FILTER_NFT_INET ? NFPROTO_INET : NFPROTO_IPV4, r;

        if (strlen(chain->table) == FILTER_NAME_SIZE - 1)
                return 0; /* cut */
        r = firewall_list_elements(
                firewall, family, chain->table, lookup->set, look_at_elements, &elements);
        if (r < 0 || !elements.covers)
                return r == -ENOENT ? 0 : r; /* it went meanwhile */
        rule.names |= lookup->names;
        foreign_add_rule(chain, &rule);
        return 0;
}

static int read_nftables(Firewall *firewall, const char *instance, Foreign *foreign) {
        _cleanup_free_ NftWalk *walk = calloc(1, sizeof(*walk));
        int r;

        if (!walk)
                return -ENOMEM;
        walk->foreign = foreign;
        walk->own_table = instance;
        r = firewall_list(firewall, FIREWALL_LIST_TABLES, collect_asleep, walk);
        if (r >= 0)
                r = firewall_list(firewall, FIREWALL_LIST_CHAINS, collect_chain, walk);
        if (r < 0 || foreign->n_chains == 0)
                return r;
        r = firewall_list(firewall, FIREWALL_LIST_RULES, look_at_rule, walk);
        for (size_t i = 0; r >= 0 && i < walk->n_lookups; i++)
                r = look_up(firewall, walk, &walk->lookups[i]);
        return r;
}

/* ---- judging ---- */

static uint8_t known_to_table(const Foreign *foreign, const ForeignChain *chain) {
        uint8_t knows = 0;

        for (size_t i = 0; i < foreign->n_chains; i++)
                if (same_table(&foreign->chains[i], chain))
                        knows |= foreign->chains[i].knows;
        return knows;
}

/* @always: every packet that the base chain sees gets here, but for what left it before. */
static void
walk_from(Foreign *foreign, size_t at, bool always, unsigned depth, ForeignChain *verdict) {
        ForeignChain *chain = &foreign->chains[at];

        if (depth == JUMP_DEPTH || chain->walked > always)
                return;
        chain->walked = (uint8_t)(always ? 2 : 1);
        verdict->drops |= always && chain->drops;
        verdict->knows |= chain->knows;
        if (chain->jumps_far)
                verdict->knows |= known_to_table(foreign, chain);
        for (size_t i = 0; i < foreign->n_jumps; i++)
                if (foreign->jumps[i].from == at)
                        walk_from(
                                foreign,
                                foreign->jumps[i].to,
                                always && foreign->jumps[i].always,
                                depth + 1,
                                verdict);
}

static uint8_t find_owner(const Foreign *foreign, const ForeignChain *chain) {
        FilterOwner owner = OWNER_UNKNOWN;

        if (chain->kind == FILTER_NFT_INET)
                return strcmp(chain->table, "firewalld") == 0 ? OWNER_FIREWALLD : OWNER_UNKNOWN;
        for (size_t i = 0; i < foreign->n_chains; i++) {
                const ForeignChain *it = &foreign->chains[i];

                if (!same_table(it, chain))
                        continue;
                if (strcmp(it->chain, "ufw-user-forward") == 0)
                        return OWNER_UFW; /* of the two it is the one that loads last */
                if (strcmp(it->chain, "DOCKER-USER") == 0 && chain->hook == HOOK_FORWARD)
                        owner = OWNER_DOCKER;
        }
        return (uint8_t)owner;
}

/* Has somebody thought of all that dynos send, or get, at that hook? */
static bool knows_enough(const ForeignChain *verdict) {
        switch (verdict->hook) {
        case HOOK_FORWARD:
                return (verdict->knows & FOREIGN_FROM) != 0 &&
                       (verdict->knows & (FOREIGN_TO | FOREIGN_ANSWERS)) != 0;
        case HOOK_OUTPUT:
                return (verdict->knows & FOREIGN_TO) != 0;
        case HOOK_POSTROUTING: /* where what leaves the host is mostly let through as such */
                return (verdict->knows & (FOREIGN_FROM | FOREIGN_TO)) != 0;
        default:
                return (verdict->knows & FOREIGN_FROM) != 0;
        }
}

static int judge(Foreign *foreign, LaunchBlocker ret[BLOCKERS_MAX]) {
        int n = 0;

        for (size_t i = 0; i < foreign->n_chains && n < BLOCKERS_MAX; i++) {
                ForeignChain verdict = foreign->chains[i];

                if (verdict.hook < 0 || !filter_name_is_plain(verdict.table) ||
                    !filter_name_is_plain(verdict.chain))
                        continue;
                for (size_t k = 0; k < foreign->n_chains; k++)
                        foreign->chains[k].walked = 0;
                walk_from(foreign, i, true, 0, &verdict);
                if (!verdict.drops || knows_enough(&verdict))
                        continue;
                ret[n] = (LaunchBlocker){
                        .hook = (uint8_t)verdict.hook,
                        .kind = verdict.kind,
                        .owner = find_owner(foreign, &verdict),
                };
                memcpy(ret[n].table, verdict.table, sizeof(ret[n].table));
                memcpy(ret[n].chain, verdict.chain, sizeof(ret[n].chain));
                n++;
        }
        return n;
}

int firewall_blockers(Firewall *firewall, const char *instance, LaunchBlocker ret[BLOCKERS_MAX]) {
        char prefix[IFNAMSIZ];
        Foreign foreign = {.prefix = prefix};
        int r;

        assert(firewall);
        assert(instance_name_is_valid(instance));

        (void)snprintf(prefix, sizeof(prefix), "%s-", instance);
        r = read_nftables(firewall, instance, &foreign);
        if (r >= 0)
                r = firewall_legacy_read(&foreign);
        if (r >= 0)
                r = judge(&foreign, ret);
        free(foreign.chains);
        free(foreign.jumps);
        return r;
}
