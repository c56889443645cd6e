/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/policy_rules.h"

/* The text of @policy without its layout. */
static char *text_of(const LaunchPolicy *policy, bool source_is_gone) {
        PolicyHost host = {.source_is_gone = source_is_gone};
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        assert_non_null(out);
        host.service_address.s_addr = inet_addr("172.16.0.1");
        policy_rules_write(out, policy, &host);
        (void)fclose(out);
        for (char *p = text; *p; p++)
                if (*p == '\n')
                        *p = ';';
        return text;
}

static void assert_has(const LaunchPolicy *policy, const char *want) {
        char *text = text_of(policy, false);

        if (!strstr(text, want))
                fail_msg("\"%s\" is not in: %s", want, text);
        free(text);
}

static NetworkRule
rule(const char *network,
     uint8_t prefix,
     uint8_t protocol,
     uint16_t first,
     uint16_t last,
     bool allow) {
        return (NetworkRule){
                .network = inet_addr(network),
                .prefix = prefix,
                .protocol = protocol,
                .port_first = first,
                .port_last = last,
                .allow = allow,
        };
}

static void test_rules_keep_their_order_and_end_in_the_default(void **state) {
        LaunchPolicy p = {.serial = 1, .app_number = 7, .n_rules = 5};

        p.rules[0] = rule("10.1.0.0", 16, 0, 0, 0, false);
        p.rules[1] = rule("10.0.0.0", 8, IPPROTO_TCP, 5432, 5433, true);
        p.rules[2] = rule("0.0.0.0", 0, IPPROTO_UDP, 0, 0, false);
        p.rules[3] = rule("192.0.2.1", 32, IPPROTO_ICMP, 0, 0, true);
        p.rules[4] = rule("0.0.0.0", 0, IPPROTO_UDP, 1, 65535, true);
        assert_has(
                &p,
                "chain app-7-out {;ct reply ip saddr 10.1.0.0/16 drop;"
                "ct reply ip saddr 10.0.0.0/8 meta l4proto tcp ct reply proto-src 5432-5433 accept;"
                "ct reply ip saddr 10.0.0.0/8 ct reply protocol tcp meta l4proto icmp "
                "ct state related accept;ct reply protocol udp drop;"
                "ct reply ip saddr 192.0.2.1/32 ct reply protocol icmp accept;"
                "meta l4proto udp ct reply proto-src 1-65535 accept;"
                "ct reply protocol udp meta l4proto icmp ct state related accept;accept;}");
        p.n_rules = 1;
        p.egress_closed = 1;
        assert_has(
                &p,
                "ct reply ip saddr 10.1.0.0/16 drop;ct reply ip saddr @resolvers "
                "meta l4proto { tcp, udp } ct reply proto-src 53 accept;ct reply ip saddr "
                "@resolvers meta l4proto icmp ct state related accept;drop;}");
}

static void test_a_source_that_is_gone_closes_before_all_rules(void **state) {
        LaunchPolicy p = {.serial = 1, .app_number = 7, .n_rules = 1};
        char *text;

        p.fixed_source = inet_addr("192.0.2.9");
        p.rules[0] = rule("0.0.0.0", 0, 0, 0, 0, true);
        assert_has(
                &p,
                "chain app-7-source {;meta l4proto { tcp, udp } snat ip to 192.0.2.9:32768-65535 "
                "fully-random;snat ip to 192.0.2.9;}");
        assert_has(&p, "chain app-7-seen {;ct direction reply return;ip saddr != 192.0.2.9 drop;}");
        assert_has(&p, "chain app-7-out {;accept;");
        text = text_of(&p, true);
        assert_non_null(strstr(text, "chain app-7-out {;drop;accept;"));
        free(text);
}

static void test_services_and_published_ports(void **state) {
        LaunchPolicy p = {.serial = 1, .app_number = UINT32_MAX, .n_services = 2};

        p.services[0] = (NetworkPort){.port = 5432, .protocol = IPPROTO_TCP};
        p.services[1] = (NetworkPort){.port = 53, .protocol = IPPROTO_UDP};
        assert_has(
                &p,
                "chain app-4294967295-host {;ip daddr 172.16.0.1 tcp dport 5432 accept;"
                "ip saddr 172.16.0.1 tcp sport 5432 accept;"
                "ip daddr 172.16.0.1 udp dport 53 accept;"
                "ip saddr 172.16.0.1 udp sport 53 accept;}");
        /* Nothing published: nobody comes in. */
        assert_has(&p, "chain app-4294967295-in {;drop;}");

        p.n_published = 1;
        p.published[0] = (NetworkPort){.port = 80, .protocol = IPPROTO_TCP};
        assert_has(
                &p,
                "-in {;meta l4proto tcp ct original proto-dst 80 accept;"
                "meta l4proto icmp ct state related accept;drop;}");
        p.n_trusted = 2;
        p.trusted[0] = (NetworkRange){.network = inet_addr("10.0.0.0"), .prefix = 8};
        p.trusted[1] = (NetworkRange){.network = inet_addr("10.2.0.0"), .prefix = 16};
        assert_has(
                &p,
                "-in {;meta l4proto tcp ct original proto-dst 80 ct original ip saddr 10.0.0.0/8 "
                "accept;meta l4proto tcp ct original proto-dst 80 ct original ip saddr "
                "10.2.0.0/16 accept;meta l4proto icmp ct state related ct original ip saddr "
                "10.0.0.0/8 accept;");
        p.n_trusted = 0;
        p.ingress_closed = 1;
        assert_has(&p, "-in {;drop;}");
}

static void test_no_policy_restricts_nothing_and_opens_nothing(void **state) {
        LaunchPolicy p = {.app_number = 7};

        assert_has(&p, "chain app-7-out {;accept;}");
        assert_has(&p, "chain app-7-host {;}");
        assert_has(&p, "chain app-7-source {;}");
        assert_has(&p, "chain app-7-seen {;}");
        assert_has(&p, "chain app-7-in {;drop;}");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rules_keep_their_order_and_end_in_the_default),
                cmocka_unit_test(test_a_source_that_is_gone_closes_before_all_rules),
                cmocka_unit_test(test_services_and_published_ports),
                cmocka_unit_test(test_no_policy_restricts_nothing_and_opens_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
