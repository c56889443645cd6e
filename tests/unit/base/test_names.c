/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/names.h"

typedef struct Case {
        const char *text;
        bool valid;
} Case;

static void check(bool (*is_valid)(const char *), const Case *cases, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (is_valid(cases[i].text) != cases[i].valid)
                        fail_msg(
                                "\"%s\" must be %s",
                                cases[i].text,
                                cases[i].valid ? "valid" : "refused");
}

static void test_app_names_are_herokus(void **state) {
        static const Case cases[] = {
                {"shop", true},
                {"a-1", true},
                {"abcdefghijklmnopqrstuvwxyzabcd", true},
                {"abcdefghijklmnopqrstuvwxyzabcde", false},
                {"ab", false},
                {"", false},
                {"1shop", false},
                {"Shop", false},
                {"sh_op", false},
                {"sh/op", false},
                {"shop\n", false},
        };

        check(app_name_is_valid, cases, ARRAY_SIZE(cases));
}

static void test_dyno_ids_have_type_number_and_tail(void **state) {
        static const Case cases[] = {
                {"web.1-7f3a9c", true},
                {"a-b.12-000000", true},
                {"web-7f3a9c.1-7f3a9c", true},
                {"web.1-7F3A9C", false},
                {"web.0-7f3a9c", false},
                {"web.01-7f3a9c", false},
                {"web.100000-7f3a9c", false},
                {"web.1-7f3a9", false},
                {"web.1", false},
                {".1-7f3a9c", false},
                {"../x.1-7f3a9c", false},
                {"web.1x-7f3a9c", false},
                {"web.-7f3a9c", false},
                {"-7f3a9c", false},
                {"", false},
        };

        check(dyno_id_is_valid, cases, ARRAY_SIZE(cases));
}

static void test_dyno_names_have_type_and_number(void **state) {
        static const Case cases[] = {
                {"web.1", true},
                {"run.99999", true},
                {"web", false},
                {"web.", false},
                {"web.1.2", false},
                {"web.1 ", false},
        };

        check(dyno_name_is_valid, cases, ARRAY_SIZE(cases));
}

static void test_config_names_leave_the_platform_its_own(void **state) {
        static const Case cases[] = {
                {"REDIS_URL", true},
                {"_x1", true},
                {"__x", false},
                {"HEROKU_APP_NAME", false},
                {"1X", false},
                {"A-B", false},
                {"A=B", false},
                {"", false},
        };

        check(config_name_is_valid, cases, ARRAY_SIZE(cases));
}

static void test_instance_names_leave_room_in_link_names(void **state) {
        static const Case cases[] = {
                {"dynod", true},
                {"quick", true},
                {"ninechars", true},
                {"tencharss0", false},
                {"a-b", false},
                {"", false},
        };

        check(instance_name_is_valid, cases, ARRAY_SIZE(cases));
}

static void test_fields_are_clean_to_the_last_byte(void **state) {
        char field[8];

        field_set(field, sizeof(field), "web");
        assert_true(field_is_clean(field, sizeof(field)));
        field[7] = 'x';
        assert_false(field_is_clean(field, sizeof(field)));
        memset(field, 'x', sizeof(field));
        assert_false(field_is_clean(field, sizeof(field)));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_app_names_are_herokus),
                cmocka_unit_test(test_dyno_ids_have_type_number_and_tail),
                cmocka_unit_test(test_dyno_names_have_type_and_number),
                cmocka_unit_test(test_config_names_leave_the_platform_its_own),
                cmocka_unit_test(test_instance_names_leave_room_in_link_names),
                cmocka_unit_test(test_fields_are_clean_to_the_last_byte),
        };

        return cmocka_run_group_tests_name("base/names", tests, NULL, NULL);
}
