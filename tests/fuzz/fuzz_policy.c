/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Lines of words as changes of a network policy, one after the other: refused in one clean
 * line, or carried out. Whatever comes out of it, root takes, what was said last counts, and
 * a rule that is written out is read back the same.
 *
 * Covers: supervisor/policy.c supervisor/policy_parse.c supervisor/policy_change.c
 */

#include <arpa/inet.h>
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/policy.h"

#define WORDS_MAX 80
#define LINES_MAX 300 /* of one input: enough to reach every limit */

static bool rule_fits(const NetworkRule *rule, uint32_t address, uint8_t protocol, uint16_t port) {
        uint32_t mask = rule->prefix > 0 ? htonl(UINT32_MAX << (32 - rule->prefix)) : 0;

        return (address & mask) == rule->network &&
               (rule->protocol == 0 || rule->protocol == protocol) &&
               (rule->port_first == 0 || (port >= rule->port_first && port <= rule->port_last));
}

/* As root decides. */
static bool is_allowed(const Policy *policy, uint32_t address, uint8_t protocol, uint16_t port) {
        for (size_t i = 0; i < policy->n_rules; i++)
                if (rule_fits(&policy->rules[i], address, protocol, port))
                        return policy->rules[i].allow;

        return !policy->closed;
}

static void check_rules(const Policy *policy) {
        for (size_t i = 0; i < policy->n_rules; i++) {
                char target[RULE_TEXT_SIZE];
                const char *const arguments[] = {target, NULL};
                const NetworkRule *rule = &policy->rules[i];
                ManagerError error = {0};
                PolicyChange change;

                policy_format_rule(rule, target);
                assert(policy_change_parse("deny", arguments, &change, &error) == 0);
                assert(change.n_rules == 1 && !change.everything);
                change.rules[0].allow = rule->allow;
                assert(memcmp(&change.rules[0], rule, sizeof(*rule)) == 0);
                assert(policy_covered_by(policy, i) <= i);
        }
}

static void check_policy(const Policy *policy) {
        LaunchMessage msg;

        memset(&msg, 0, sizeof(msg));
        policy_to_message(policy, 7, &msg.policy);
        assert(launch_message_check(&msg, sizeof(msg.policy), 0, LAUNCH_FROM_SUPERVISOR) == 0);
        assert(!policy->restricted || msg.policy.n_trusted > 0 || msg.policy.ingress_closed);
        assert(policy->n_trusted == 0 || policy->restricted);
        check_rules(policy);
}

/* Each of the rules that were asked for decides about its first packet. */
static void check_last_word(const Policy *policy, const PolicyChange *change) {
        bool allow = change->kind == POLICY_ALLOW;

        if (change->kind != POLICY_ALLOW && change->kind != POLICY_DENY)
                return;
        assert(!change->everything || policy->closed == !allow);
        for (size_t i = 0; i < change->n_rules; i++) {
                const NetworkRule *rule = &change->rules[i];
                uint8_t protocol = rule->protocol != 0 ? rule->protocol : IPPROTO_TCP;

                assert(is_allowed(policy, rule->network, protocol, rule->port_first) == allow);
        }
}

static void check_refusal(const ManagerError *error) {
        assert(error->name && error->message[0]);
        for (const char *p = error->message; *p; p++)
                assert((unsigned char)*p >= ' ' && *p != 0x7f);
}

static void run_line(Policy *policy, char *line) {
        const char *words[WORDS_MAX + 1] = {NULL};
        Policy next = *policy;
        ManagerError error = {0};
        PolicyChange change;
        bool changed = false;
        char *save = NULL;
        size_t n = 0;
        int r;

        for (char *w = strtok_r(line, " ", &save); w && n < WORDS_MAX;
             w = strtok_r(NULL, " ", &save))
                words[n++] = w;
        if (n == 0)
                return;

        r = policy_change_parse(words[0], words + 1, &change, &error);
        if (r == 0)
                r = policy_apply(&next, &change, "shop", &changed, &error);
        if (r != 0) {
                assert(r == MANAGER_E_REFUSED);
                check_refusal(&error);
                return;
        }
        if (!changed)
                assert(memcmp(&next, policy, sizeof(next)) == 0);
        next.serial++;
        check_policy(&next);
        check_last_word(&next, &change);
        *policy = next;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Policy policy = {.serial = 1};
        char *text = malloc(size + 1), *save = NULL;
        unsigned n = 0;

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        for (char *line = strtok_r(text, "\n", &save); line && n < LINES_MAX;
             line = strtok_r(NULL, "\n", &save), n++)
                run_line(&policy, line);
        free(text);
        return 0;
}
