/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/parse.h"

static void test_numbers_are_taken_whole_or_not_at_all(void **state) {
        static const char *const bad[] = {"", " 1", "1 ", "+1", "-1", "0x10", "1.5", "one"};
        uint64_t value;

        assert_int_equal(parse_u64("18446744073709551615", &value), 0);
        assert_true(value == UINT64_MAX);
        assert_int_equal(parse_u64("18446744073709551616", &value), -ERANGE);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(parse_u64(bad[i], &value), -EINVAL);
}

static void test_sizes_are_powers_of_1024(void **state) {
        static const struct {
                const char *text;
                int result;
                uint64_t bytes;
        } cases[] = {
                {"0", 0, 0},
                {"512M", 0, UINT64_C(512) << 20},
                {"4GB", 0, UINT64_C(4) << 30},
                {"1T", 0, UINT64_C(1) << 40},
                {"16777216T", -ERANGE, 0},
                {"1m", -EINVAL, 0},
                {"1MM", -EINVAL, 0},
                {"M", -EINVAL, 0},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                uint64_t bytes = 0;

                assert_int_equal(parse_size(cases[i].text, &bytes), cases[i].result);
                assert_true(bytes == cases[i].bytes);
        }
}

static void test_durations_add_up(void **state) {
        static const struct {
                const char *text;
                int result;
                uint64_t usec;
        } cases[] = {
                {"30", 0, 30 * USEC_PER_SEC},
                {"90s", 0, 90 * USEC_PER_SEC},
                {"1h30m", 0, 5400 * USEC_PER_SEC},
                {"500ms", 0, 500 * USEC_PER_MSEC},
                {"2d", 0, 172800 * USEC_PER_SEC},
                {"0", 0, 0},
                {"1h30", -EINVAL, 0},
                {"s", -EINVAL, 0},
                {"1w", -EINVAL, 0},
                {"99999999999d", -ERANGE, 0},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                uint64_t usec = 0;

                assert_int_equal(parse_duration(cases[i].text, &usec), cases[i].result);
                assert_true(usec == cases[i].usec);
        }
}

static void test_networks_have_no_host_bits(void **state) {
        struct in_addr address;
        uint8_t prefix;

        assert_int_equal(parse_ipv4_net("172.16.0.0/12", &address, &prefix), 0);
        assert_int_equal(prefix, 12);
        assert_int_equal(ntohl(address.s_addr), 0xac100000);
        assert_int_equal(parse_ipv4_net("9.9.9.9", &address, &prefix), 0);
        assert_int_equal(prefix, 32);
        assert_int_equal(parse_ipv4_net("0.0.0.0/0", &address, &prefix), 0);
        assert_int_equal(parse_ipv4_net("10.0.0.1/8", &address, &prefix), -EINVAL);
        assert_int_equal(parse_ipv4_net("10.0.0.0/33", &address, &prefix), -ERANGE);
        assert_int_equal(parse_ipv4_net("10.0.0.0/", &address, &prefix), -EINVAL);
        assert_int_equal(parse_ipv4_net("10.0.0/8", &address, &prefix), -EINVAL);
}

static void test_digests_survive_a_round_trip(void **state) {
        static const char hex[] =
                "9c1f0a7b00112233445566778899aabbccddeeff00112233445566778899aabb";
        uint8_t digest[DIGEST_SIZE];
        char text[DIGEST_TEXT_SIZE], upper[80];

        (void)snprintf(upper, sizeof(upper), "SHA256:%s", hex);
        upper[7] = '9';
        upper[8] = 'C';
        assert_int_equal(parse_digest(upper, digest), 0);
        format_digest(digest, text);
        assert_string_equal(text, hex);
        assert_int_equal(parse_digest(hex + 1, digest), -EINVAL);
        upper[70] = 'g';
        assert_int_equal(parse_digest(upper, digest), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers_are_taken_whole_or_not_at_all),
                cmocka_unit_test(test_sizes_are_powers_of_1024),
                cmocka_unit_test(test_durations_add_up),
                cmocka_unit_test(test_networks_have_no_host_bits),
                cmocka_unit_test(test_digests_survive_a_round_trip),
        };

        return cmocka_run_group_tests_name("base/parse", tests, NULL, NULL);
}
