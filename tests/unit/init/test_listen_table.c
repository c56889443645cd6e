/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "init/listen_table.h"

#define HEADING                                                                                    \
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "      \
        "timeout inode\n"

#define STATE_ESTABLISHED 1
#define STATE_LISTEN 10

/* Appends a line as the kernel prints it on this machine, whatever its byte order is. */
static void add_line(char *text, const char *address, unsigned port, unsigned state) {
        char *p = text + strlen(text);
        uint32_t words[4];
        int n = 1;

        if (inet_pton(AF_INET, address, words) != 1) {
                assert_int_equal(inet_pton(AF_INET6, address, words), 1);
                n = 4;
        }

        p += sprintf(p, "   0: ");
        for (int i = 0; i < n; i++)
                p += sprintf(p, "%08X", words[i]);
        p += sprintf(p, ":%04X ", port);
        for (int i = 0; i < n; i++)
                p += sprintf(p, "%08X", 0U);
        (void)sprintf(
                p,
                ":0000 %02X 00000000:00000000 00:00000000 00000000 10000        0 12345 1 "
                "0000000000000000 100 0 0 10 0                     \n",
                state);
}

/* Scans an exact copy, so that the sanitizer sees a step beyond the end. */
static ListenVerdict scan(const char *text, size_t size, uint16_t port, size_t *ret_used) {
        _cleanup_free_ char *copy = malloc(size > 0 ? size : 1);

        assert_non_null(copy);
        memcpy(copy, text, size);
        return listen_table_scan(copy, size, port, ret_used);
}

static ListenVerdict scan_one(const char *address, unsigned port, unsigned state) {
        char text[1024] = HEADING;
        size_t used;

        add_line(text, address, port, state);
        return scan(text, strlen(text), 5000, &used);
}

static void test_listener_on_any_address_is_found(void **state) {
        (void)state;
        assert_int_equal(scan_one("0.0.0.0", 5000, STATE_LISTEN), LISTEN_FOUND);
        assert_int_equal(scan_one("172.16.0.30", 5000, STATE_LISTEN), LISTEN_FOUND);
        assert_int_equal(scan_one("::", 5000, STATE_LISTEN), LISTEN_FOUND);
        assert_int_equal(scan_one("::ffff:172.16.0.30", 5000, STATE_LISTEN), LISTEN_FOUND);
        assert_int_equal(scan_one("fd00::1", 5000, STATE_LISTEN), LISTEN_FOUND);
        assert_int_equal(scan_one("::7f00:1", 5000, STATE_LISTEN), LISTEN_FOUND);
}

static void test_listener_on_loopback_does_not_count(void **state) {
        (void)state;
        assert_int_equal(scan_one("127.0.0.1", 5000, STATE_LISTEN), LISTEN_MORE);
        assert_int_equal(scan_one("127.255.1.2", 5000, STATE_LISTEN), LISTEN_MORE);
        assert_int_equal(scan_one("::1", 5000, STATE_LISTEN), LISTEN_MORE);
        assert_int_equal(scan_one("::ffff:127.0.0.1", 5000, STATE_LISTEN), LISTEN_MORE);
}

static void test_other_port_does_not_count(void **state) {
        (void)state;
        assert_int_equal(scan_one("0.0.0.0", 5001, STATE_LISTEN), LISTEN_MORE);
        assert_int_equal(scan_one("0.0.0.0", 0x8813, STATE_LISTEN), LISTEN_MORE); /* swapped */
}

static void test_first_connection_ends_the_search(void **state) {
        char text[1024] = HEADING;
        size_t used;

        (void)state;
        assert_int_equal(scan_one("0.0.0.0", 5000, STATE_ESTABLISHED), LISTEN_NONE);
        add_line(text, "10.0.0.1", 80, STATE_ESTABLISHED);
        add_line(text, "0.0.0.0", 5000, STATE_LISTEN);
        assert_int_equal(scan(text, strlen(text), 5000, &used), LISTEN_NONE);
}

static void test_cut_line_is_left_for_the_next_read(void **state) {
        char text[1024] = HEADING;
        size_t heading = strlen(HEADING);
        size_t used;

        (void)state;
        add_line(text, "0.0.0.0", 5000, STATE_LISTEN);
        for (size_t size = 0; size < strlen(text); size++) {
                assert_int_equal(scan(text, size, 5000, &used), LISTEN_MORE);
                assert_int_equal(used, size < heading ? 0 : heading);
        }
        assert_int_equal(scan(text + heading, strlen(text) - heading, 5000, &used), LISTEN_FOUND);
}

static void test_line_of_another_form_is_passed_over(void **state) {
        static const char *const odd[] = {
                "\n",
                "   0: 00000000:13880 00000000:0000 0A\n",
                "   0: 0000000:1388 00000000:0000 0A \n",
                "   0: 000000000000000000000000:1388 00000000:0000 0A \n",
                "   0: 00000000000000000000000000000000000000:1388 00000000:0000 0A \n",
                "   0: 00000000:1388 00000000:0000 0\n",
                "   0: 00000000:1388\n",
                ":",
                "   0: 0000000g:1388 00000000:0000 0A \n",
        };
        size_t used;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
                assert_int_equal(scan(odd[i], strlen(odd[i]), 5000, &used), LISTEN_MORE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_listener_on_any_address_is_found),
                cmocka_unit_test(test_listener_on_loopback_does_not_count),
                cmocka_unit_test(test_other_port_does_not_count),
                cmocka_unit_test(test_first_connection_ends_the_search),
                cmocka_unit_test(test_cut_line_is_left_for_the_next_read),
                cmocka_unit_test(test_line_of_another_form_is_passed_over),
        };

        return cmocka_run_group_tests_name("init/listen_table", tests, NULL, NULL);
}
