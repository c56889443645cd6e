/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/parse.h"
#include "config/config.h"
#include "sandbox/net_plan.h"

static struct in_addr ip(const char *text) {
        struct in_addr a;

        assert_int_equal(parse_ipv4(text, &a), 0);
        return a;
}

static void test_first_slot_is_heroku_s(void **state) {
        NetSlotAddress a = net_plan_address(ip("172.16.0.0"), 0);

        (void)state;
        assert_int_equal(a.network.s_addr, ip("172.16.0.28").s_addr);
        assert_int_equal(a.gateway.s_addr, ip("172.16.0.29").s_addr);
        assert_int_equal(a.dyno.s_addr, ip("172.16.0.30").s_addr);
}

static void test_slot_and_address_are_one_to_one(void **state) {
        struct in_addr network = ip("10.8.0.0");
        uint32_t last = 0;

        (void)state;
        for (uint32_t slot = 0; slot < CONFIG_DYNOS_MAX; slot++) {
                NetSlotAddress a = net_plan_address(network, slot);
                uint32_t found = UINT32_MAX;

                assert_true(slot == 0 || ntohl(a.network.s_addr) == last + 4);
                last = ntohl(a.network.s_addr);
                assert_int_equal(net_plan_slot_of(network, a.dyno, &found), 0);
                assert_int_equal(found, slot);
        }
}

static void test_addresses_outside_have_no_slot(void **state) {
        uint32_t slot;

        (void)state;
        assert_int_equal(net_plan_slot_of(ip("10.8.0.0"), ip("10.8.0.27"), &slot), -ENOENT);
        assert_int_equal(net_plan_slot_of(ip("10.8.0.0"), ip("10.7.255.255"), &slot), -ENOENT);
        assert_int_equal(net_plan_slot_of(ip("10.8.0.0"), ip("10.9.0.28"), &slot), -ENOENT);
}

static void test_small_networks_have_few_slots(void **state) {
        (void)state;
        assert_int_equal(net_plan_slots(ip("172.16.0.0"), 12), CONFIG_DYNOS_MAX);
        assert_int_equal(net_plan_slots(ip("10.0.0.0"), 24), 57);
        assert_int_equal(net_plan_slots(ip("10.0.0.0"), 27), 1);
        assert_int_equal(net_plan_slots(ip("10.0.0.0"), 28), 0);
        assert_int_equal(net_plan_slots(ip("10.0.0.1"), 32), 0);
}

static void test_link_names_are_read_as_written(void **state) {
        static const char *const foreign[] = {
                "t1",
                "t1-",
                "t1-x",
                "t1-01",
                "t1-+1",
                "t1-16384",
                "t12-1",
                "xt1-1",
                "t1-1 ",
        };
        char name[IFNAMSIZ];
        uint32_t slot;

        (void)state;
        net_plan_link_name("abcdefghi", CONFIG_DYNOS_MAX - 1, name);
        assert_string_equal(name, "abcdefghi-16383");
        assert_int_equal(net_plan_link_slot("abcdefghi", name, &slot), 0);
        assert_int_equal(slot, CONFIG_DYNOS_MAX - 1);
        for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
                assert_int_equal(net_plan_link_slot("t1", foreign[i], &slot), -ENOENT);
}

static void test_macs_differ_by_slot_and_end(void **state) {
        uint8_t a[NET_MAC_SIZE], b[NET_MAC_SIZE];

        (void)state;
        net_plan_mac(NET_END_HOST, 0x1234, a);
        assert_int_equal(a[0] & 3, 2); /* local, unicast */
        net_plan_mac(NET_END_DYNO, 0x1234, b);
        assert_memory_not_equal(a, b, NET_MAC_SIZE);
        net_plan_mac(NET_END_HOST, 0x1235, b);
        assert_memory_not_equal(a, b, NET_MAC_SIZE);
        net_plan_mac(NET_END_HOST, 0x1334, b);
        assert_memory_not_equal(a, b, NET_MAC_SIZE);
}

static void test_overlap_is_symmetric(void **state) {
        static const struct {
                const char *a;
                uint8_t a_prefix;
                const char *b;
                uint8_t b_prefix;
                bool overlap;
        } cases[] = {
                {"172.16.0.28", 30, "172.16.0.0", 12, true},
                {"172.16.0.28", 30, "172.16.0.31", 32, true},
                {"172.16.0.28", 30, "172.16.0.32", 32, false},
                {"172.17.0.0", 16, "172.16.0.0", 16, false},
                {"0.0.0.0", 0, "172.16.0.0", 16, true},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct in_addr a = ip(cases[i].a), b = ip(cases[i].b);

                assert_int_equal(
                        net_plan_overlap(a, cases[i].a_prefix, b, cases[i].b_prefix),
                        cases[i].overlap);
                assert_int_equal(
                        net_plan_overlap(b, cases[i].b_prefix, a, cases[i].a_prefix),
                        cases[i].overlap);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_first_slot_is_heroku_s),
                cmocka_unit_test(test_slot_and_address_are_one_to_one),
                cmocka_unit_test(test_addresses_outside_have_no_slot),
                cmocka_unit_test(test_small_networks_have_few_slots),
                cmocka_unit_test(test_link_names_are_read_as_written),
                cmocka_unit_test(test_macs_differ_by_slot_and_end),
                cmocka_unit_test(test_overlap_is_symmetric),
        };

        return cmocka_run_group_tests_name("sandbox/net_plan", tests, NULL, NULL);
}
