/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/parse.h"
#include "cli/text.h"

#define NOW (UINT64_C(1795461961) * USEC_PER_SEC) /* 2026-11-23T19:26:01Z */

static void assert_clean(const char *text, const char *expected) {
        _cleanup_free_ char *clean = text_clean(text, strlen(text));

        assert_string_equal(clean, expected);
}

static void test_clean_drops_escapes_and_controls(void **state) {
        (void)state;
        assert_clean("plain \xc3\xa4", "plain \xc3\xa4");
        assert_clean("\033[31mred\033[0m", "red");
        assert_clean("\033]0;title\007text", "text");
        assert_clean("\033]52;c;aGk=\033\\x", "x");
        assert_clean("a\rb\bc\x7f", "a?b?c?");
        assert_clean("tab\tstays", "tab\tstays");
        assert_clean(
                "\xc2\x9b"
                "31m",
                "?31m"); /* C1: CSI as one character */
        assert_clean("\xff\xfe", "??");
        assert_clean("\xed\xa0\x80", "???");                   /* a surrogate */
        assert_clean("gnp\xe2\x80\xaelld.exe", "gnp?lld.exe"); /* right to left */
        assert_clean("\xe2\x81\xa6\xe2\x80\xa8", "??");
        assert_clean("\xd7\xa9\xe2\x80\x8f", "\xd7\xa9\xe2\x80\x8f"); /* a mark stays */
        assert_clean("\033", "");
        assert_clean("\033[", "");
}

static void test_utf8_replaces_what_is_none(void **state) {
        _cleanup_free_ char *text = text_to_utf8("a\0\xff", 3);

        (void)state;
        assert_string_equal(text, "a\xef\xbf\xbd\xef\xbf\xbd");
}

static void test_time_says_how_long_ago(void **state) {
        char text[TEXT_TIME_SIZE];

        (void)state;
        text_time_ago(text, NOW - 200 * USEC_PER_SEC, NOW);
        assert_string_equal(text, "2026/11/23 19:22:41 +0000 (~ 3m ago)");
        text_time_ago(text, NOW - 2 * USEC_PER_SEC, NOW);
        assert_string_equal(text, "2026/11/23 19:25:59 +0000 (~ 2s ago)");
        text_time_ago(text, NOW - UINT64_C(24) * 3600 * USEC_PER_SEC, NOW);
        assert_string_equal(text, "2026/11/22 19:26:01 +0000 (~ 24h ago)");
        text_time_ago(text, NOW - UINT64_C(26) * 3600 * USEC_PER_SEC, NOW);
        assert_string_equal(text, "2026/11/22 17:26:01 +0000");
        text_time_log(text, NOW + 204118, false);
        assert_string_equal(text, "2026-11-23T19:26:01.204118+00:00");
        text_time_log(text, NOW + 204118, true);
        assert_string_equal(text, "2026-11-23T19:26:01.204118Z");
}

static void test_parse_time_takes_utc_only(void **state) {
        uint64_t usec;

        (void)state;
        assert_int_equal(text_parse_time("2026-11-23T19:26:01Z", &usec), 0);
        assert_true(usec == NOW);
        assert_int_equal(text_parse_time("2026-11-23T19:26:01.5+00:00", &usec), 0);
        assert_true(usec == NOW + USEC_PER_SEC / 2);
        assert_true(text_parse_time("2026-11-23 19:26:01", &usec) < 0);
        assert_true(text_parse_time("2026-11-23T19:26:01+01:00", &usec) < 0);
        assert_true(text_parse_time("", &usec) < 0);
}

static void test_numbers_for_people(void **state) {
        char text[TEXT_NUMBER_SIZE];

        (void)state;
        text_bytes(text, 0);
        assert_string_equal(text, "0 bytes");
        text_bytes(text, UINT64_C(97622426));
        assert_string_equal(text, "93.1 MB");
        text_bytes(text, UINT64_C(512) << 20);
        assert_string_equal(text, "512 MB");
        text_count(text, 7960);
        assert_string_equal(text, "7,960");
        text_count(text, 1234567);
        assert_string_equal(text, "1,234,567");
        text_count(text, 12);
        assert_string_equal(text, "12");
        text_seconds(text, 412345);
        assert_string_equal(text, "0.4 s");
        assert_string_equal(text_ordinal(text, 2), "2nd");
        assert_string_equal(text_ordinal(text, 11), "11th");
        assert_string_equal(text_ordinal(text, 112), "112th");
        assert_string_equal(text_ordinal(text, 21), "21st");
}

static void test_cut_keeps_characters_whole(void **state) {
        _cleanup_free_ char *a = text_cut("abcdef", 4),
                            *b = text_cut("\xc3\xa4\xc3\xb6\xc3\xbc", 2);
        _cleanup_free_ char *c = text_cut("abc", 3), *d = text_cut("abc", 0);

        (void)state;
        assert_string_equal(a, "abc\xe2\x80\xa6");
        assert_string_equal(b, "\xc3\xa4\xe2\x80\xa6");
        assert_string_equal(c, "abc");
        assert_string_equal(d, "abc");
}

static void test_nearest_name_is_near(void **state) {
        static const char *const names[] = {"web", "worker", "ps:scale", NULL};

        (void)state;
        assert_string_equal(text_nearest("wbe", names), "web");
        assert_string_equal(text_nearest("ps:scal", names), "ps:scale");
        assert_null(text_nearest("unrelated", names));
}

static void test_quoting_survives_a_shell(void **state) {
        _cleanup_free_ char *line = NULL;

        (void)state;
        assert_int_equal(text_append_quoted(&line, "ls"), 0);
        assert_int_equal(text_append_quoted(&line, "a b"), 0);
        assert_int_equal(text_append_quoted(&line, "it's"), 0);
        assert_int_equal(text_append_quoted(&line, ""), 0);
        assert_int_equal(text_append_quoted(&line, "$HOME"), 0);
        assert_string_equal(line, "ls 'a b' 'it'\\''s' '' '$HOME'");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_clean_drops_escapes_and_controls),
                cmocka_unit_test(test_utf8_replaces_what_is_none),
                cmocka_unit_test(test_time_says_how_long_ago),
                cmocka_unit_test(test_parse_time_takes_utc_only),
                cmocka_unit_test(test_numbers_for_people),
                cmocka_unit_test(test_cut_keeps_characters_whole),
                cmocka_unit_test(test_nearest_name_is_near),
                cmocka_unit_test(test_quoting_survives_a_shell),
        };

        (void)setenv("TZ", "UTC", 1);
        tzset();
        return cmocka_run_group_tests_name("cli/text", tests, NULL, NULL);
}
