/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/policy.h"

static const struct {
        const char *name;
        uint8_t number;
} protocols[] = {
        {"", 0},
        {"tcp", IPPROTO_TCP},
        {"udp", IPPROTO_UDP},
        {"icmp", IPPROTO_ICMP},
};

const char *policy_protocol_to_string(uint8_t protocol) {
        for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
                if (protocols[i].number == protocol)
                        return protocols[i].name;

        return "?"; /* never stored: every rule is checked when it is read */
}

int policy_protocol_from_string(const char *text) {
        for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
                if (strcmp(protocols[i].name, text) == 0)
                        return protocols[i].number;

        return -1;
}

bool service_name_is_valid(const char *name) {
        size_t len = strlen(name);

        return len > 0 && len < SERVICE_NAME_SIZE && name[0] >= 'a' && name[0] <= 'z' &&
               strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

void policy_format_range(const NetworkRange *range, char ret[NETWORK_TEXT_SIZE]) {
        char address[INET_ADDRSTRLEN] = "";

        (void)inet_ntop(AF_INET, &range->network, address, sizeof(address));
        (void)snprintf(ret, NETWORK_TEXT_SIZE, "%s/%u", address, range->prefix & 63);
}

void policy_format_rule(const NetworkRule *rule, char ret[RULE_TEXT_SIZE]) {
        char address[INET_ADDRSTRLEN] = "any", prefix[8] = "", ports[16] = "";
        const char *protocol = policy_protocol_to_string(rule->protocol);

        if (rule->prefix > 0)
                (void)inet_ntop(AF_INET, &rule->network, address, sizeof(address));
        if (rule->prefix > 0 && rule->prefix < 32)
                (void)snprintf(prefix, sizeof(prefix), "/%u", rule->prefix);
        if (rule->port_first != 0 && rule->port_first == rule->port_last)
                (void)snprintf(ports, sizeof(ports), ":%u", rule->port_first);
        else if (rule->port_first != 0)
                (void)snprintf(ports, sizeof(ports), ":%u-%u", rule->port_first, rule->port_last);

        (void)snprintf(
                ret,
                RULE_TEXT_SIZE,
                "%s%s%s%s%s",
                address,
                prefix,
                ports,
                *protocol ? "/" : "",
                protocol);
}

int policy_parse_range(const char *text, NetworkRange *ret) {
        struct in_addr address;
        uint8_t prefix;

        if (parse_ipv4_net(text, &address, &prefix) < 0)
                return -EINVAL;

        *ret = (NetworkRange){.network = address.s_addr, .prefix = prefix};
        return 0;
}

static bool range_covers(uint32_t network, uint32_t prefix, uint32_t inner, uint32_t inner_prefix) {
        uint32_t mask = prefix > 0 ? htonl(UINT32_MAX << (32 - prefix)) : 0;

        return prefix <= inner_prefix && (inner & mask) == network;
}

/* Whether all that fits @b fits @a. */
static bool rule_covers(const NetworkRule *a, const NetworkRule *b) {
        if (!range_covers(a->network, a->prefix, b->network, b->prefix))
                return false;
        if (a->protocol != 0 && a->protocol != b->protocol)
                return false;

        return a->port_first == 0 || (b->port_first != 0 && a->port_first <= b->port_first &&
                                      a->port_last >= b->port_last);
}

size_t policy_covered_by(const Policy *policy, size_t i) {
        assert(i < policy->n_rules);

        for (size_t j = 0; j < i; j++)
                if (rule_covers(&policy->rules[j], &policy->rules[i]))
                        return j + 1;

        return 0;
}

bool policy_publishes(const Policy *policy, uint16_t port) {
        for (size_t i = 0; i < policy->n_published; i++)
                if (policy->published[i] == port)
                        return true;

        return false;
}

uint64_t policy_serial(const Policy *policy) {
        bool empty = !policy->closed && !policy->restricted && policy->source == 0 &&
                     policy->n_rules == 0 && policy->n_services == 0 && policy->n_published == 0;

        return empty ? 0 : policy->serial;
}

/* Networks are nested or disjoint; without the nested ones they are plain intervals. */
static bool trusted_is_nested(const Policy *policy, size_t i) {
        const NetworkRange *inner = &policy->trusted[i];

        for (size_t j = 0; j < policy->n_trusted; j++) {
                const NetworkRange *outer = &policy->trusted[j];

                if (j != i &&
                    range_covers(outer->network, outer->prefix, inner->network, inner->prefix))
                        return true;
        }

        return false;
}

static void fill_ingress(const Policy *policy, LaunchPolicy *ret) {
        /* Published all the same: what listens on the host must not get what comes there. */
        ret->ingress_closed = policy->restricted && policy->n_trusted == 0;
        for (size_t i = 0; i < policy->n_trusted; i++)
                if (!trusted_is_nested(policy, i))
                        ret->trusted[ret->n_trusted++] = policy->trusted[i];
        for (size_t i = 0; i < policy->n_published; i++)
                ret->published[ret->n_published++] =
                        (NetworkPort){.port = policy->published[i], .protocol = IPPROTO_TCP};
}

void policy_to_message(const Policy *policy, uint32_t app_number, LaunchPolicy *ret) {
        memset(ret, 0, sizeof(*ret)); /* padding is compared, too */
        ret->header.type = LAUNCH_POLICY;
        ret->serial = policy_serial(policy);
        ret->app_number = app_number;
        if (ret->serial == 0)
                return;

        ret->fixed_source = policy->source;
        ret->egress_closed = policy->closed;
        for (size_t i = 0; i < policy->n_rules; i++)
                ret->rules[ret->n_rules++] = policy->rules[i];
        for (size_t i = 0; i < policy->n_services; i++)
                ret->services[ret->n_services++] = policy->services[i].port;
        fill_ingress(policy, ret);
}
