/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/seccomp_policy.h"

static Policy policy;

static void test_empty_text_allows_nothing(void **state) {
        PolicyError error;

        (void)state;
        assert_int_equal(policy_parse("", &policy, &error), 0);
        assert_int_equal(policy.n_rules, 0);
        assert_int_equal(policy.default_error, ENOSYS);
        assert_int_equal(policy.arch_error, 0);
}

static void test_statements_are_understood(void **state) {
        static const char text[] = "# a comment\n"
                                   "default EPERM\n"
                                   "arch ENOSYS  # and one behind\n"
                                   "\n"
                                   "allow read\twrite\n"
                                   "refuse ENOSYS mount\n"
                                   "refuse EPERM socket if arg0 in 16 and arg2 not-in 0 0x10\n"
                                   "refuse EPERM clone if arg0 & 0x7e020000\n"
                                   "pretend prlimit64 if arg1 in 4 and arg2h not-in 0\n"
                                   "refuse EINVAL ioctl if arg1 from 0x10 32";
        const PolicyRule *r = policy.rules;
        PolicyError error;

        (void)state;
        assert_int_equal(policy_parse(text, &policy, &error), 0);
        assert_int_equal(policy.default_error, EPERM);
        assert_int_equal(policy.arch_error, ENOSYS);
        assert_int_equal(policy.n_rules, 7);
        assert_string_equal(r[1].name, "write");
        assert_int_equal(r[1].error, 0);
        assert_int_equal(r[2].error, ENOSYS);
        assert_int_equal(r[2].line, 6);

        assert_int_equal(r[3].n_conditions, 2);
        assert_int_equal(r[3].conditions[0].op, POLICY_IN);
        assert_int_equal(r[3].conditions[1].op, POLICY_NOT_IN);
        assert_int_equal(r[3].conditions[1].arg, 2);
        assert_int_equal(r[3].conditions[1].n_values, 2);
        assert_int_equal(r[3].conditions[1].values[1], 0x10);
        assert_int_equal(r[4].conditions[0].op, POLICY_ANY_OF);
        assert_int_equal(r[4].conditions[0].values[0], 0x7e020000);
        assert_int_equal(r[5].error, 0);
        assert_int_equal(r[5].n_conditions, 2);
        assert_false(r[5].conditions[0].high);
        assert_int_equal(r[5].conditions[1].arg, 2);
        assert_true(r[5].conditions[1].high);
        assert_int_equal(r[6].conditions[0].op, POLICY_FROM);
        assert_int_equal(r[6].conditions[0].values[0], 16);
        assert_int_equal(r[6].conditions[0].values[1], 32);
}

static void test_slips_are_refused_with_their_line(void **state) {
        static const struct {
                const char *text;
                unsigned line;
        } cases[] = {
                {"allow", 1},
                {"\nallow Read", 2},
                {"permit read", 1},
                {"default", 1},
                {"default EWHAT", 1},
                {"default allow please", 1},
                {"arch maybe", 1},
                {"refuse mount", 1},
                {"refuse EPERM", 1},
                {"refuse EWHAT mount", 1},
                {"refuse EPERM ioctl if", 1},
                {"refuse EPERM ioctl if arg1 in", 1},
                {"refuse EPERM ioctl if arg6 in 1", 1},
                {"refuse EPERM ioctl if arg1x in 1", 1},
                {"refuse EPERM ioctl if arg1hh in 1", 1},
                {"pretend read", 1},
                {"pretend read write", 1},
                {"pretend ioctl if", 1},
                {"pretend ioctl if arg1", 1},
                {"refuse EPERM ioctl if arg1 is 1", 1},
                {"refuse EPERM ioctl if arg1 in one", 1},
                {"refuse EPERM ioctl if arg1 in -1", 1},
                {"refuse EPERM ioctl if arg1 in 0x100000000", 1},
                {"refuse EPERM ioctl if arg1 & 1 2", 1},
                {"refuse EPERM ioctl if arg1 from 1", 1},
                {"refuse EPERM ioctl if arg1 from 1 2 3", 1},
                {"refuse EPERM ioctl if arg1 from 2 1", 1},
                {"refuse EPERM ioctl if arg1 in 1 and", 1},
                {"refuse EPERM ioctl if arg1 in 1 2 3 4 5 6 7 8 9", 1},
                {"refuse EPERM ioctl if arg0 in 1 and arg1 in 1 and arg2 in 1 and arg3 in 1", 1},
                {"allow read\nallow write\nrefuse EPERM read", 3},
                {"allow read read", 1},
                {"allow a_name_that_is_longer_than_any_system_call", 1},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                PolicyError error = {.text = NULL};

                assert_int_equal(policy_parse(cases[i].text, &policy, &error), -EINVAL);
                assert_int_equal(error.line, cases[i].line);
                assert_non_null(error.text);
        }
}

static void test_overlong_lines_are_refused(void **state) {
        char text[4096];
        PolicyError error;

        (void)state;
        memset(text, 'a', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(policy_parse(text, &policy, &error), -EINVAL);

        memcpy(text, "allow", 5);
        for (size_t i = 5; i < 400; i += 2)
                memcpy(text + i, " r", 3);
        assert_int_equal(policy_parse(text, &policy, &error), -EINVAL);
}

static void test_too_many_rules_are_refused(void **state) {
        static char text[POLICY_RULES_MAX * 24];
        PolicyError error;
        size_t n = 0;

        (void)state;
        for (unsigned i = 0; i <= POLICY_RULES_MAX; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "allow call%u\n", i);
        assert_int_equal(policy_parse(text, &policy, &error), -EINVAL);
        assert_int_equal(error.line, POLICY_RULES_MAX + 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty_text_allows_nothing),
                cmocka_unit_test(test_statements_are_understood),
                cmocka_unit_test(test_slips_are_refused_with_their_line),
                cmocka_unit_test(test_overlong_lines_are_refused),
                cmocka_unit_test(test_too_many_rules_are_refused),
        };

        return cmocka_run_group_tests_name("sandbox/seccomp_policy", tests, NULL, NULL);
}
