/* SPDX-License-Identifier: Apache-2.0 */

/* Changes of a policy, one function per kind. */

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/manager_internal.h"
#include "supervisor/policy.h"

typedef struct Applying {
        Policy *policy;
        PolicyChange *change;
        const char *app;
        bool changed;
        ManagerError *reterr;
} Applying;

/* ---- egress ---- */

static bool same_target(const NetworkRule *a, const NetworkRule *b) {
        return a->network == b->network && a->prefix == b->prefix && a->protocol == b->protocol &&
               a->port_first == b->port_first && a->port_last == b->port_last;
}

/* Whether a packet can fit both. */
static bool overlap(const NetworkRule *a, const NetworkRule *b) {
        uint32_t prefix = a->prefix < b->prefix ? a->prefix : b->prefix;
        uint32_t mask = prefix > 0 ? htonl(UINT32_MAX << (32 - prefix)) : 0;

        if ((a->network & mask) != (b->network & mask))
                return false;
        if (a->protocol != 0 && b->protocol != 0 && a->protocol != b->protocol)
                return false;

        return a->port_first == 0 || b->port_first == 0 ||
               (a->port_first <= b->port_last && b->port_first <= a->port_last);
}

/* Nothing that is tried before rule @i says otherwise about any of its packets. */
static bool already_decides(const Policy *policy, size_t i) {
        for (size_t j = 0; j < i; j++)
                if (policy->rules[j].allow != policy->rules[i].allow &&
                    overlap(&policy->rules[j], &policy->rules[i]))
                        return false;

        return true;
}

static void remove_rule(Policy *policy, size_t i) {
        policy->n_rules--;
        memmove(&policy->rules[i],
                &policy->rules[i + 1],
                (policy->n_rules - i) * sizeof(policy->rules[0]));
        memset(&policy->rules[policy->n_rules], 0, sizeof(policy->rules[0]));
}

/* Return: its index, or n_rules. */
static size_t find_rule(const Policy *policy, const NetworkRule *rule) {
        size_t i = 0;

        while (i < policy->n_rules && !same_target(&policy->rules[i], rule))
                i++;
        return i;
}

static int put_first(Applying *a, const NetworkRule *rule) {
        Policy *policy = a->policy;
        size_t i = find_rule(policy, rule);

        if (i < policy->n_rules) {
                if (policy->rules[i].allow == rule->allow && already_decides(policy, i))
                        return 0;
                remove_rule(policy, i);
        }
        if (policy->n_rules == NETWORK_RULES_MAX) {
                (void)refuse(
                        a->reterr,
                        DYNOD_ERROR_LIMIT,
                        "%s has %d rules, which is the limit. Nothing was changed. Remove one, or "
                        "name larger networks.",
                        a->app,
                        NETWORK_RULES_MAX);
                return refuse_hint(a->reterr, "herokuctl firewall -a %s", a->app);
        }

        memmove(&policy->rules[1], &policy->rules[0], policy->n_rules * sizeof(policy->rules[0]));
        policy->rules[0] = *rule;
        policy->n_rules++;
        a->changed = true;
        return 0;
}

static int apply_rules(Applying *a) {
        const PolicyChange *change = a->change;
        bool closed = change->kind == POLICY_DENY;
        int r = 0;

        for (size_t i = change->n_rules; i > 0 && r == 0; i--)
                r = put_first(a, &change->rules[i - 1]);
        if (r == 0 && change->everything && a->policy->closed != closed) {
                a->policy->closed = closed;
                a->changed = true;
        }
        return r;
}

static int refuse_rule(Applying *a, const char *what) {
        (void)refuse(
                a->reterr,
                DYNOD_ERROR_NO_SUCH_RULE,
                "%s has no rule %s: it has %zu. Nothing was changed.",
                a->app,
                what,
                a->policy->n_rules);
        return refuse_hint(a->reterr, "herokuctl firewall -a %s", a->app);
}

/* "remove deny any:443/tcp, deny any:443/udp": @first makes the text anew. */
static void note_removed(PolicyChange *change, const NetworkRule *rule, bool first) {
        char target[RULE_TEXT_SIZE];
        size_t used = first ? 0 : strlen(change->text);

        policy_format_rule(rule, target);
        (void)snprintf(
                change->text + used,
                sizeof(change->text) - used,
                "%s%s %s",
                first ? "remove " : ", ",
                rule->allow ? "allow" : "deny",
                target);
}

static int apply_remove(Applying *a) {
        PolicyChange *change = a->change;
        Policy *policy = a->policy;
        char number[16], target[RULE_TEXT_SIZE];

        if (change->number > 0) {
                (void)snprintf(number, sizeof(number), "%" PRIu32, change->number);
                if (change->number > policy->n_rules)
                        return refuse_rule(a, number);
                note_removed(change, &policy->rules[change->number - 1], true);
                remove_rule(policy, change->number - 1);
                a->changed = true;
                return 0;
        }

        for (size_t i = 0; i < change->n_rules; i++) {
                size_t at = find_rule(policy, &change->rules[i]);

                if (at == policy->n_rules)
                        continue;
                note_removed(change, &policy->rules[at], !a->changed);
                remove_rule(policy, at);
                a->changed = true;
        }
        if (a->changed)
                return 0;

        policy_format_rule(&change->rules[0], target);
        return refuse_rule(a, target);
}

static int apply_reset(Applying *a) {
        a->changed = a->policy->closed || a->policy->n_rules > 0;
        a->policy->closed = false;
        a->policy->n_rules = 0;
        memset(a->policy->rules, 0, sizeof(a->policy->rules));
        return 0;
}

static int apply_source(Applying *a) {
        a->changed = a->policy->source != a->change->number;
        a->policy->source = a->change->number;
        return 0;
}

/* ---- who may connect ---- */

static size_t find_trusted(const Policy *policy, const NetworkRange *range) {
        size_t i = 0;

        while (i < policy->n_trusted && (policy->trusted[i].network != range->network ||
                                         policy->trusted[i].prefix != range->prefix))
                i++;
        return i;
}

static void set_everybody(Applying *a, bool restricted) {
        a->changed = a->policy->restricted != restricted;
        a->policy->restricted = restricted;
        a->policy->n_trusted = 0;
        memset(a->policy->trusted, 0, sizeof(a->policy->trusted));
}

static int apply_trust(Applying *a) {
        Policy *policy = a->policy;

        if (a->change->everything) {
                set_everybody(a, false);
                return 0;
        }
        if (!policy->restricted)
                set_everybody(a, true); /* from now on only those that are named */

        for (size_t i = 0; i < a->change->n_ranges; i++) {
                if (find_trusted(policy, &a->change->ranges[i]) < policy->n_trusted)
                        continue;
                if (policy->n_trusted == NETWORK_TRUSTED_MAX)
                        return refuse(
                                a->reterr,
                                DYNOD_ERROR_LIMIT,
                                "%s trusts %d networks, which is the limit. Nothing was changed.",
                                a->app,
                                NETWORK_TRUSTED_MAX);
                policy->trusted[policy->n_trusted++] = a->change->ranges[i];
                a->changed = true;
        }

        return 0;
}

static int apply_distrust(Applying *a) {
        Policy *policy = a->policy;

        if (a->change->everything && !policy->restricted)
                set_everybody(a, true);

        for (size_t i = 0; i < a->change->n_ranges; i++) {
                size_t at = find_trusted(policy, &a->change->ranges[i]);
                char text[NETWORK_TEXT_SIZE];

                if (at == policy->n_trusted) {
                        policy_format_range(&a->change->ranges[i], text);
                        (void)refuse(
                                a->reterr,
                                DYNOD_ERROR_NO_SUCH_RULE,
                                "%s is not on the list of trusted IP ranges of %s. Nothing was "
                                "changed.",
                                text,
                                a->app);
                        return refuse_hint(a->reterr, "herokuctl trusted-ips -a %s", a->app);
                }
                policy->n_trusted--;
                memmove(&policy->trusted[at],
                        &policy->trusted[at + 1],
                        (policy->n_trusted - at) * sizeof(policy->trusted[0]));
                memset(&policy->trusted[policy->n_trusted], 0, sizeof(policy->trusted[0]));
                a->changed = true;
        }

        return 0;
}

static int apply_publish(Applying *a) {
        Policy *policy = a->policy;
        uint16_t port = (uint16_t)a->change->number;
        size_t at = 0;

        if (policy_publishes(policy, port))
                return 0;
        if (policy->n_published == NETWORK_PUBLISHED_MAX)
                return refuse(
                        a->reterr,
                        DYNOD_ERROR_LIMIT,
                        "%s has %d published ports, which is the limit. Nothing was changed.",
                        a->app,
                        NETWORK_PUBLISHED_MAX);

        while (at < policy->n_published && policy->published[at] < port)
                at++;
        memmove(&policy->published[at + 1],
                &policy->published[at],
                (policy->n_published - at) * sizeof(policy->published[0]));
        policy->published[at] = port;
        policy->n_published++;
        a->changed = true;
        return 0;
}

static int apply_unpublish(Applying *a) {
        Policy *policy = a->policy;
        size_t at = 0;

        while (at < policy->n_published && policy->published[at] != a->change->number)
                at++;
        if (at == policy->n_published) {
                (void)refuse(
                        a->reterr,
                        DYNOD_ERROR_NO_SUCH_PORT,
                        "Port %" PRIu32 " is not published for %s. Nothing was changed.",
                        a->change->number,
                        a->app);
                return refuse_hint(a->reterr, "herokuctl ps:publish -a %s", a->app);
        }

        policy->n_published--;
        memmove(&policy->published[at],
                &policy->published[at + 1],
                (policy->n_published - at) * sizeof(policy->published[0]));
        policy->published[policy->n_published] = 0;
        a->changed = true;
        return 0;
}

/* ---- services ---- */

static int refuse_service(Applying *a, const Service *there) {
        return refuse(
                a->reterr,
                DYNOD_ERROR_EXISTS,
                "Service %s of %s is %u/%s already. Nothing was changed. Remove it first.",
                there->name,
                a->app,
                there->port.port,
                policy_protocol_to_string(there->port.protocol));
}

/* Sorted by name. */
static int apply_add_service(Applying *a) {
        const Service *service = &a->change->service;
        Policy *policy = a->policy;
        size_t at = 0;

        for (size_t i = 0; i < policy->n_services; i++) {
                const Service *there = &policy->services[i];
                bool same_name = strcmp(there->name, service->name) == 0;
                bool same_port = there->port.port == service->port.port &&
                                 there->port.protocol == service->port.protocol;

                if (same_name && same_port)
                        return 0;
                if (same_name || same_port)
                        return refuse_service(a, there);
                at += strcmp(there->name, service->name) < 0;
        }
        if (policy->n_services == NETWORK_SERVICES_MAX)
                return refuse(
                        a->reterr,
                        DYNOD_ERROR_LIMIT,
                        "%s has %d services, which is the limit. Nothing was changed.",
                        a->app,
                        NETWORK_SERVICES_MAX);

        memmove(&policy->services[at + 1],
                &policy->services[at],
                (policy->n_services - at) * sizeof(policy->services[0]));
        policy->services[at] = *service;
        policy->n_services++;
        a->changed = true;
        return 0;
}

static int apply_remove_service(Applying *a) {
        Policy *policy = a->policy;
        size_t at = 0;

        while (at < policy->n_services &&
               strcmp(policy->services[at].name, a->change->service.name) != 0)
                at++;
        if (at == policy->n_services) {
                (void)refuse(
                        a->reterr,
                        DYNOD_ERROR_NO_SUCH_SERVICE,
                        "%s has no service \"%s\". Nothing was changed.",
                        a->app,
                        a->change->service.name);
                return refuse_hint(a->reterr, "herokuctl services -a %s", a->app);
        }

        policy->n_services--;
        memmove(&policy->services[at],
                &policy->services[at + 1],
                (policy->n_services - at) * sizeof(policy->services[0]));
        memset(&policy->services[policy->n_services], 0, sizeof(policy->services[0]));
        a->changed = true;
        return 0;
}

int policy_apply(
        Policy *policy,
        PolicyChange *change,
        const char *app,
        bool *ret_changed,
        ManagerError *reterr) {
        static int (*const apply[_POLICY_CHANGE_MAX])(Applying * a) = {
                [POLICY_ALLOW] = apply_rules,
                [POLICY_DENY] = apply_rules,
                [POLICY_REMOVE] = apply_remove,
                [POLICY_RESET] = apply_reset,
                [POLICY_SOURCE] = apply_source,
                [POLICY_TRUST] = apply_trust,
                [POLICY_DISTRUST] = apply_distrust,
                [POLICY_ADD_SERVICE] = apply_add_service,
                [POLICY_REMOVE_SERVICE] = apply_remove_service,
                [POLICY_PUBLISH] = apply_publish,
                [POLICY_UNPUBLISH] = apply_unpublish,
        };
        Applying a = {.policy = policy, .change = change, .app = app, .reterr = reterr};
        int r = apply[change->kind](&a);

        *ret_changed = a.changed;
        return r;
}
