/* SPDX-License-Identifier: Apache-2.0 */

#include "sandbox/firewall_others.h"

#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
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
        chain->knows_us |= rule->knows_us;
        chain->jumps_far |= rule->jumps_far;
        chain->drops |= rule->drops && !rule->conditional;
}

/* ---- nftables ---- */

typedef struct NftWalk {
        Foreign *foreign;
        const char *own_table;
        size_t last; /* where the last rule was found: the kernel tells them chain by chain */
} NftWalk;

static bool take_family(uint32_t family, uint8_t *ret) {
        *ret = family == NFPROTO_INET ? FILTER_NFT_INET : FILTER_NFT_IP;
        return family == NFPROTO_INET || family == NFPROTO_IPV4; /* others see none of ours */
}

static void cut(char name[FILTER_NAME_SIZE], const char *text) {
        (void)snprintf(name, FILTER_NAME_SIZE, "%s", text ? text : "");
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
                if (strcmp(found.table, walk->own_table) != 0)
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

static bool names_our_links(const struct nftnl_expr *expr, const char *prefix) {
        uint32_t len = 0;
        const void *data = nftnl_expr_get(expr, NFTNL_EXPR_CMP_DATA, &len);

        return data && len >= strlen(prefix) && memcmp(data, prefix, strlen(prefix)) == 0;
}

/* Return: the chain that it leads to, or NULL. */
static const char *sum_up(const struct nftnl_rule *rule, const char *prefix, ForeignRule *ret) {
        struct nftnl_expr_iter *iter = nftnl_expr_iter_create(rule);
        const char *target = NULL;
        struct nftnl_expr *expr;

        while (iter && (expr = nftnl_expr_iter_next(iter))) {
                const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);

                if (strcmp(name, "reject") == 0) {
                        ret->drops = true;
                } else if (
                        strcmp(name, "immediate") == 0 &&
                        nftnl_expr_is_set(expr, NFTNL_EXPR_IMM_VERDICT)) {
                        ret->drops |= (int32_t)nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_VERDICT) ==
                                      NF_DROP;
                        if (nftnl_expr_is_set(expr, NFTNL_EXPR_IMM_CHAIN))
                                target = nftnl_expr_get_str(expr, NFTNL_EXPR_IMM_CHAIN);
                } else if (strcmp(name, "counter") != 0 && strcmp(name, "log") != 0) {
                        ret->conditional = true;
                        ret->knows_us |= strcmp(name, "cmp") == 0 && names_our_links(expr, prefix);
                        ret->jumps_far |= strcmp(name, "lookup") == 0 &&
                                          nftnl_expr_is_set(expr, NFTNL_EXPR_LOOKUP_DREG);
                }
        }
        if (iter)
                nftnl_expr_iter_destroy(iter);
        return target;
}

static int take_rule(NftWalk *walk, const struct nftnl_rule *rule) {
        const char *table = nftnl_rule_get_str(rule, NFTNL_RULE_TABLE);
        const char *chain = nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN), *target;
        ForeignRule sum = {.drops = false};
        size_t from, to;
        uint8_t kind;

        if (!table || !chain || !take_family(nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY), &kind) ||
            !find_chain(walk, kind, table, chain, &from))
                return 0;
        walk->last = from;
        target = sum_up(rule, walk->foreign->prefix, &sum);
        foreign_add_rule(&walk->foreign->chains[from], &sum);
        if (!target || !find_chain(walk, kind, table, target, &to))
                return 0;
        return foreign_add_jump(walk->foreign, from, to, !sum.conditional);
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

static int read_nftables(Firewall *firewall, const char *instance, Foreign *foreign) {
        NftWalk walk = {.foreign = foreign, .own_table = instance};
        int r;

        r = firewall_list(firewall, FIREWALL_LIST_CHAINS, collect_chain, &walk);
        if (r < 0 || foreign->n_chains == 0)
                return r;
        return firewall_list(firewall, FIREWALL_LIST_RULES, look_at_rule, &walk);
}

/* ---- judging ---- */

static bool same_table(const ForeignChain *a, const ForeignChain *b) {
        return a->kind == b->kind && strcmp(a->table, b->table) == 0;
}

static bool table_knows_us(const Foreign *foreign, const ForeignChain *chain) {
        for (size_t i = 0; i < foreign->n_chains; i++)
                if (foreign->chains[i].knows_us && same_table(&foreign->chains[i], chain))
                        return true;
        return false;
}

/* @always: every packet that the base chain sees gets here, but for what left it before. */
static void
walk_from(Foreign *foreign, size_t at, bool always, unsigned depth, ForeignChain *verdict) {
        ForeignChain *chain = &foreign->chains[at];

        if (depth == JUMP_DEPTH || chain->walked > always)
                return;
        chain->walked = (uint8_t)(always ? 2 : 1);
        verdict->drops |= always && chain->drops;
        verdict->knows_us |= chain->knows_us;
        if (chain->jumps_far)
                verdict->knows_us |= table_knows_us(foreign, chain);
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
                if (!verdict.drops || verdict.knows_us)
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
