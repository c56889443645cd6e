/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox/firewall.h"
#include "sandbox/firewall_rules.h"

static void write_number(FILE *out, void *userdata) {
        (void)fprintf(out, "%d", *(int *)userdata);
}

static int render(const char *template, char **ret) {
        static const FirewallPlaceholder values[] = {
                {.name = "NAME", .text = "dynod"},
                {.name = "NUMBER", .write = write_number},
                {.name = NULL},
        };
        int number = 42, r;
        size_t size = 0;
        FILE *out;

        *ret = NULL;
        out = open_memstream(ret, &size);
        assert_non_null(out);
        r = firewall_rules_render(template, values, &number, out);
        assert_int_equal(fclose(out), 0);
        return r;
}

static void test_placeholders_are_filled_in(void **state) {
        _cleanup_free_ char *text = NULL;

        (void)state;
        assert_int_equal(render("table @@NAME@@ { set @s } # @@NUMBER@@@@NAME@@\nend", &text), 0);
        assert_string_equal(text, "table dynod { set @s } # 42dynod\nend");
}

static void test_text_without_placeholders_stays(void **state) {
        _cleanup_free_ char *text = NULL;

        (void)state;
        assert_int_equal(render("iifname @uplinks drop", &text), 0);
        assert_string_equal(text, "iifname @uplinks drop");
}

static void test_unknown_and_open_placeholders_are_refused(void **state) {
        static const char *const bad[] = {"@@NAM@@", "@@NAMES@@", "@@@@", "@@NAME", "a @@ b"};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_free_ char *text = NULL;

                assert_int_equal(render(bad[i], &text), -EINVAL);
        }
}

/* The kernel takes a key's bytes as they are: fields padded to four bytes, network order. */
static void test_keys_have_the_kernel_s_layout(void **state) {
        const struct in_addr address = {.s_addr = htonl(0xac10001e)};
        FirewallKey link = firewall_key_link("dynod-7", address);
        FirewallKey web = firewall_key_web(address, 5000);
        FirewallKey uplink = firewall_key_uplink("eth0");

        (void)state;
        assert_int_equal(link.size, 20);
        assert_memory_equal(link.bytes, "dynod-7\0\0\0\0\0\0\0\0\0\xac\x10\x00\x1e", 20);
        assert_int_equal(web.size, 8);
        assert_memory_equal(web.bytes, "\xac\x10\x00\x1e\x13\x88\0\0", 8);
        assert_int_equal(uplink.size, 16);
        assert_memory_equal(uplink.bytes, "eth0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_placeholders_are_filled_in),
                cmocka_unit_test(test_text_without_placeholders_stays),
                cmocka_unit_test(test_unknown_and_open_placeholders_are_refused),
                cmocka_unit_test(test_keys_have_the_kernel_s_layout),
        };

        return cmocka_run_group_tests_name("sandbox/firewall_rules", tests, NULL, NULL);
}
