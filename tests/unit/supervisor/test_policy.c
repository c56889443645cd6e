/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "dynod/bus.h"
#include "supervisor/policy.h"

/* Words of a change, separated by spaces. */
static int try(Policy *policy, const char *line, bool *ret_changed, ManagerError *reterr) {
        const char *words[80] = {NULL};
        char text[4096], *save = NULL;
        PolicyChange change;
        size_t n = 0;
        int r;

        snprintf(text, sizeof(text), "%s", line);
        for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
                words[n++] = w;
        r = policy_change_parse(words[0], words + 1, &change, reterr);
        return r == 0 ? policy_apply(policy, &change, "shop", ret_changed, reterr) : r;
}

/* Return: whether something was changed. */
static bool say(Policy *policy, const char *line) {
        ManagerError error = {0};
        bool changed = false;

        if (try(policy, line, &changed, &error) != 0)
                fail_msg("%s: %s", line, error.message);
        return changed;
}

static void assert_refused(Policy *policy, const char *line, const char *name, const char *text) {
        ManagerError error = {0};
        bool changed = false;

        if (try(policy, line, &changed, &error) != MANAGER_E_REFUSED)
                fail_msg("%s: was not refused", line);
        assert_string_equal(error.name, name);
        if (!strstr(error.message, text))
                fail_msg("%s: \"%s\" is not in \"%s\"", line, text, error.message);
        if (!strstr(error.message, "Nothing was changed"))
                fail_msg("%s: does not say that nothing was changed: %s", line, error.message);
        assert_null(strchr(error.message, '\n'));
}

/* All rules: "allow 10.0.0.0/8, deny any:25/tcp" */
static void assert_rules(const Policy *policy, const char *expected) {
        char text[4096] = "", target[RULE_TEXT_SIZE];
        size_t used = 0;

        for (size_t i = 0; i < policy->n_rules; i++) {
                policy_format_rule(&policy->rules[i], target);
                used += (size_t)snprintf(
                        text + used,
                        sizeof(text) - used,
                        "%s%s %s",
                        i > 0 ? ", " : "",
                        policy->rules[i].allow ? "allow" : "deny",
                        target);
        }
        assert_string_equal(text, expected);
}

/* What root would say to it. */
static LaunchPolicy wire(const Policy *policy) {
        LaunchMessage msg;

        memset(&msg, 0, sizeof(msg));
        policy_to_message(policy, 7, &msg.policy);
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.policy), 0, LAUNCH_FROM_SUPERVISOR), 0);
        return msg.policy;
}

static void test_targets_are_read_and_written_the_same(void **state) {
        static const char *const targets[] = {
                "10.0.0.0/8:5432/tcp",
                "10.0.0.0/8",
                "192.0.2.7",
                "192.0.2.7:1000-2000/udp",
                "any:443/tcp",
                "any/icmp",
                "172.16.0.0/12/udp",
        };

        for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
                Policy policy = {.serial = 1};
                char line[100], expected[100];

                snprintf(line, sizeof(line), "allow %s", targets[i]);
                snprintf(expected, sizeof(expected), "allow %s", targets[i]);
                assert_true(say(&policy, line));
                assert_rules(&policy, expected);
                assert_int_equal(wire(&policy).n_rules, 1);
        }
}

static void test_fields_of_a_rule_reach_root(void **state) {
        Policy policy = {.serial = 4};
        LaunchPolicy msg;

        say(&policy, "deny any");
        say(&policy, "allow 10.0.0.0/8:5432-5433/tcp");
        say(&policy, "source 203.0.113.5");
        msg = wire(&policy);
        assert_int_equal(msg.serial, 4);
        assert_int_equal(msg.app_number, 7);
        assert_int_equal(msg.egress_closed, 1);
        assert_int_equal(msg.rules[0].network, htonl(0x0a000000));
        assert_int_equal(msg.rules[0].prefix, 8);
        assert_int_equal(msg.rules[0].protocol, IPPROTO_TCP);
        assert_int_equal(msg.rules[0].allow, 1);
        assert_int_equal(msg.rules[0].port_first, 5432);
        assert_int_equal(msg.rules[0].port_last, 5433);
        assert_int_equal(msg.fixed_source, htonl(0xcb007105));
}

static void test_port_without_protocol_is_both(void **state) {
        Policy policy = {0};

        say(&policy, "deny 10.0.0.0/8:53");
        assert_rules(&policy, "deny 10.0.0.0/8:53/tcp, deny 10.0.0.0/8:53/udp");
}

static void test_wrong_targets_are_refused_with_the_right_spelling(void **state) {
        static const char *const wrong[][2] = {
                {"allow 10.1.2.3/8", "write 10.0.0.0/8 for the network, 10.1.2.3/32 for the one"},
                {"allow 10.1.2.3/8:80/tcp", "10.0.0.0/8"},
                {"allow 1.2.3.4/0", "0.0.0.0/0"},
                {"allow fd00::/8", "IPv6"},
                {"allow [::1]:80", "IPv6"},
                {"allow 10.0.0.0/8:80/icmp", "icmp has none"},
                {"allow example.com:443", "names are not looked up"},
                {"allow 10.0.0.0/8:0/tcp", "1 to 65535"},
                {"allow 10.0.0.0/8:65536/tcp", "1 to 65535"},
                {"allow 10.0.0.0/8:90-80/tcp", "ends before it begins"},
                {"allow 10.0.0.0/8:/tcp", "1 to 65535"},
                {"allow 10.0.0.0/33", "from /0 to /32"},
                {"allow 10.0.0.0/8/sctp", "no protocol that is known"},
                {"allow 10.0.0.0/8:80/", "no protocol that is known"},
                {"allow 10.0.0", "no IPv4 network"},
                {"allow 10.0.0.0.0", "no IPv4 network"},
                {"allow -1.0.0.0", "no IPv4 network"},
                {"allow", "Say what"},
                {"allow 127.0.0.1:80/tcp", "loopback"},
                {"allow 169.254.169.254", "link-local"},
                {"allow 224.0.0.1", "multicast"},
                {"reset now", "too much"},
                {"source", "Say which"},
                {"source ::1", "neither"},
                {"source 0.0.0.0", "neither"},
                {"remove", "Say which"},
                {"remove 1 2", "Say which"},
                {"remove any", "no rule"},
                {"trust", "Say which"},
                {"trust 203.0.113.1/24", "203.0.113.0/24"},
                {"trust fd00::/8", "IPv6"},
                {"publish", "Say which"},
                {"publish worker 80", "only web"},
                {"publish web 0", "1 to 65535"},
                {"publish web 80 81", "Say which"},
                {"publish http", "1 to 65535"},
                {"add-service postgres", "a name and a port"},
                {"add-service postgres 70000", "no port"},
                {"add-service postgres 53/icmp", "no port"},
                {"add-service postgres 5432/tcp/x", "no port"},
        };
        Policy policy = {0}, untouched = {0};

        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
                assert_refused(&policy, wrong[i][0], DYNOD_ERROR_INVALID_ARGUMENT, wrong[i][1]);
        assert_memory_equal(&policy, &untouched, sizeof(policy));
        assert_refused(&policy, "add-service Post 1", DYNOD_ERROR_INVALID_NAME, "small letter");
}

static void test_a_long_argument_is_cut_in_the_error(void **state) {
        char line[2000] = "allow ";
        Policy policy = {0};

        memset(line + 6, '1', sizeof(line) - 7);
        assert_refused(&policy, line, DYNOD_ERROR_INVALID_ARGUMENT, "is not NETWORK");
}

static void test_unknown_change_is_refused(void **state) {
        ManagerError error = {0};
        PolicyChange change;
        const char *const none[] = {NULL};

        assert_int_equal(policy_change_parse("explode", none, &change, &error), MANAGER_E_REFUSED);
        assert_non_null(strstr(error.message, "herokuctl may be newer"));
}

static void test_what_is_said_last_counts(void **state) {
        Policy policy = {.serial = 1};

        say(&policy, "deny any");
        say(&policy, "allow 10.0.0.0/8");
        say(&policy, "deny 10.1.0.0/16");
        assert_rules(&policy, "deny 10.1.0.0/16, allow 10.0.0.0/8");
        assert_true(policy.closed);

        /* the opposite of a rule takes its place, in front */
        assert_true(say(&policy, "deny 10.0.0.0/8"));
        assert_rules(&policy, "deny 10.0.0.0/8, deny 10.1.0.0/16");
        assert_int_equal(policy_covered_by(&policy, 1), 1);
        assert_int_equal(policy_covered_by(&policy, 0), 0);

        assert_true(say(&policy, "allow any"));
        assert_false(policy.closed);
        assert_int_equal(policy.n_rules, 2);
        assert_true(say(&policy, "reset"));
        assert_rules(&policy, "");
        assert_false(say(&policy, "reset"));
        assert_int_equal(policy_serial(&policy), 0);
        assert_int_equal(wire(&policy).serial, 0);
}

static void test_repeated_rule_is_already_there(void **state) {
        Policy policy = {0};

        assert_true(say(&policy, "allow 10.0.0.0/8 192.0.2.7"));
        assert_false(say(&policy, "allow 192.0.2.7"));
        assert_false(say(&policy, "allow any"));
        assert_rules(&policy, "allow 10.0.0.0/8, allow 192.0.2.7");

        /* but not when another rule decides before it: then it goes to the front again */
        say(&policy, "deny 192.0.2.0/24:80/tcp");
        assert_false(say(&policy, "allow 10.0.0.0/8"));
        assert_true(say(&policy, "allow 192.0.2.7"));
        assert_rules(&policy, "allow 192.0.2.7, deny 192.0.2.0/24:80/tcp, allow 10.0.0.0/8");
        assert_false(say(&policy, "allow 192.0.2.7"));
}

static void test_rules_are_removed_by_number_or_text(void **state) {
        Policy policy = {0};

        say(&policy, "allow 10.0.0.0/8:5432");
        say(&policy, "deny 192.0.2.7");
        assert_refused(&policy, "remove 4", DYNOD_ERROR_NO_SUCH_RULE, "has no rule 4: it has 3");
        assert_refused(&policy, "remove 10.0.0.0/8", DYNOD_ERROR_NO_SUCH_RULE, "10.0.0.0/8");
        assert_true(say(&policy, "remove 1"));
        assert_rules(&policy, "allow 10.0.0.0/8:5432/tcp, allow 10.0.0.0/8:5432/udp");
        assert_true(say(&policy, "remove 10.0.0.0/8:5432"));
        assert_rules(&policy, "");
}

static void test_rules_are_bounded(void **state) {
        Policy policy = {0};
        char line[64];

        for (unsigned i = 0; i < NETWORK_RULES_MAX; i++) {
                snprintf(line, sizeof(line), "allow 10.0.%u.0/24", i);
                assert_true(say(&policy, line));
        }
        assert_int_equal(wire(&policy).n_rules, 0); /* serial 0: nothing was committed */
        policy.serial = 1;
        assert_int_equal(wire(&policy).n_rules, NETWORK_RULES_MAX);
        assert_refused(&policy, "allow 192.0.2.7", DYNOD_ERROR_LIMIT, "64 rules");
        assert_false(say(&policy, "allow 10.0.3.0/24"));
        assert_true(say(&policy, "deny 10.0.3.0/24")); /* takes the other's place */
}

static void test_first_trusted_network_shuts_out_the_rest(void **state) {
        Policy policy = {.serial = 1};

        say(&policy, "publish 8080");
        assert_int_equal(wire(&policy).n_trusted, 0);
        say(&policy, "trust 203.0.113.0/24 203.0.113.7 198.51.100.7");
        assert_true(policy.restricted);
        assert_int_equal(policy.n_trusted, 3);
        assert_int_equal(wire(&policy).n_trusted, 2); /* one is within another */
        assert_false(say(&policy, "trust 203.0.113.0/24"));
        assert_false(say(&policy, "distrust 0.0.0.0/0")); /* as a Heroku user goes about it */
        assert_refused(
                &policy, "distrust 192.0.2.0/24", DYNOD_ERROR_NO_SUCH_RULE, "is not on the list");
        say(&policy, "distrust 198.51.100.7/32");
        assert_int_equal(policy.n_trusted, 2);
        assert_true(say(&policy, "trust 0.0.0.0/0"));
        assert_false(policy.restricted);
        assert_int_equal(policy.n_trusted, 0);
}

static void test_nobody_trusted_closes_what_is_published(void **state) {
        Policy policy = {.serial = 1};

        say(&policy, "publish 8080");
        say(&policy, "trust 203.0.113.0/24");
        assert_int_equal(wire(&policy).ingress_closed, 0);
        say(&policy, "distrust 203.0.113.0/24");
        assert_true(policy.restricted);
        assert_int_equal(wire(&policy).ingress_closed, 1); /* an empty list would be everybody */
        assert_int_equal(wire(&policy).n_trusted, 0);
        assert_int_equal(wire(&policy).n_published, 1);
        assert_true(policy_publishes(&policy, 8080));

        say(&policy, "trust any");
        assert_int_equal(wire(&policy).n_published, 1);
        assert_true(say(&policy, "distrust 0.0.0.0/0"));
        assert_int_equal(wire(&policy).ingress_closed, 1);
}

static void test_trusted_networks_are_bounded(void **state) {
        Policy policy = {0};
        char line[64];

        for (unsigned i = 0; i < NETWORK_TRUSTED_MAX; i++) {
                snprintf(line, sizeof(line), "trust 10.0.%u.0/24", i);
                say(&policy, line);
        }
        assert_refused(&policy, "trust 192.0.2.0/24", DYNOD_ERROR_LIMIT, "20 networks");
}

static void test_published_ports_are_sorted_and_bounded(void **state) {
        Policy policy = {.serial = 1};
        char line[64];

        say(&policy, "publish web 443");
        say(&policy, "publish 80");
        assert_false(say(&policy, "publish 443"));
        assert_int_equal(policy.published[0], 80);
        assert_int_equal(policy.published[1], 443);
        assert_refused(&policy, "unpublish 81", DYNOD_ERROR_NO_SUCH_PORT, "is not published");
        assert_true(say(&policy, "unpublish 80"));
        for (unsigned i = 0; i < NETWORK_PUBLISHED_MAX - 1; i++) {
                snprintf(line, sizeof(line), "publish %u", 9000 - i);
                say(&policy, line);
        }
        assert_int_equal(wire(&policy).n_published, NETWORK_PUBLISHED_MAX);
        assert_refused(&policy, "publish 1", DYNOD_ERROR_LIMIT, "16 published ports");
}

static void test_services_have_a_name_and_a_port_each(void **state) {
        Policy policy = {.serial = 1};
        LaunchPolicy msg;

        say(&policy, "add-service redis 6379");
        say(&policy, "add-service dns 53/udp");
        say(&policy, "add-service dns-tcp 53/tcp");
        assert_false(say(&policy, "add-service redis 6379"));
        assert_string_equal(policy.services[0].name, "dns");
        assert_string_equal(policy.services[2].name, "redis");
        assert_refused(
                &policy, "add-service redis 6380", DYNOD_ERROR_EXISTS, "Service redis of shop");
        assert_refused(&policy, "add-service cache 6379", DYNOD_ERROR_EXISTS, "6379/tcp already");
        msg = wire(&policy);
        assert_int_equal(msg.n_services, 3);
        assert_int_equal(msg.services[0].protocol, IPPROTO_UDP);
        assert_int_equal(msg.services[2].port, 6379);
        assert_refused(&policy, "remove-service mysql", DYNOD_ERROR_NO_SUCH_SERVICE, "no service");
        assert_true(say(&policy, "remove-service dns"));
        assert_int_equal(policy.n_services, 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_targets_are_read_and_written_the_same),
                cmocka_unit_test(test_fields_of_a_rule_reach_root),
                cmocka_unit_test(test_port_without_protocol_is_both),
                cmocka_unit_test(test_wrong_targets_are_refused_with_the_right_spelling),
                cmocka_unit_test(test_a_long_argument_is_cut_in_the_error),
                cmocka_unit_test(test_unknown_change_is_refused),
                cmocka_unit_test(test_what_is_said_last_counts),
                cmocka_unit_test(test_repeated_rule_is_already_there),
                cmocka_unit_test(test_rules_are_removed_by_number_or_text),
                cmocka_unit_test(test_rules_are_bounded),
                cmocka_unit_test(test_first_trusted_network_shuts_out_the_rest),
                cmocka_unit_test(test_nobody_trusted_closes_what_is_published),
                cmocka_unit_test(test_trusted_networks_are_bounded),
                cmocka_unit_test(test_published_ports_are_sorted_and_bounded),
                cmocka_unit_test(test_services_have_a_name_and_a_port_each),
        };

        return cmocka_run_group_tests_name("supervisor/policy", tests, NULL, NULL);
}
