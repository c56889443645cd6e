/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "image/procfile.h"

#define X63 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

typedef struct GoodCase {
        const char *text;
        const char *expected; /* "TYPE=COMMAND|…" */
} GoodCase;

static const GoodCase good_cases[] = {
        {"", ""},
        {"web: x", "web=x"},
        {"web: x\n", "web=x"},
        {"web:x\n", "web=x"},
        {"web: x\r\nworker: y\r\n", "web=x|worker=y"},
        {"\xef\xbb\xbfweb: x\n", "web=x"},
        {"\n\n  \t\nweb: x\n\n", "web=x"},
        {"  web: \t x y  \t\n", "web=x y"},
        {"# c\n// c\n  # c\nweb: x\n", "web=x"},
        {"web: x # c\n", "web=x"},
        {"web: x\t#c\n", "web=x"},
        {"web: x#y\n", "web=x#y"},
        {"web: echo \"a # b\" # c\n", "web=echo \"a # b\""},
        {"web: echo 'a # b' 'c\n", "web=echo 'a # b' 'c"},
        {"web: echo 'a\\' # c\n", "web=echo 'a\\'"},
        {"web: echo \"\\\" # in\" # c\n", "web=echo \"\\\" # in\""},
        {"web: echo \\# no\n", "web=echo \\# no"},
        {"web: http://x//y\n", "web=http://x//y"},
        {"web: a: b: c\n", "web=a: b: c"},
        {"web: bundle exec puma -p $PORT\n", "web=bundle exec puma -p $PORT"},
        {"web-2_B: x\nrelease: y\n", "web-2_B=x|release=y"},
        {"web: h\xc3\xa9\n", "web=h\xc3\xa9"},
        {X63 ": x\n", X63 "=x"},
};

typedef struct BadCase {
        const char *text;
        size_t size; /* 0: strlen */
        uint32_t line;
        const char *quoted;
        const char *why;
} BadCase;

static const BadCase bad_cases[] = {
        {"web", 0, 1, "web", "is not TYPE: COMMAND"},
        {"web: x\nnonsense\nalso\n", 0, 2, "nonsense", "is not TYPE: COMMAND"},
        {"web: x\r\n<<<<<<< HEAD\r\n", 0, 2, "<<<<<<< HEAD", "is not TYPE: COMMAND"},
        {"web: x\n=======\n", 0, 2, "=======", "is not TYPE: COMMAND"},
        {"web:\n", 0, 1, "web:", "has no command"},
        {"web:   \n", 0, 1, "web:   ", "has no command"},
        {"web: # c\n", 0, 1, "web: # c", "has no command"},
        {": x\n", 0, 1, ": x", "has no process type"},
        {"web : x\n", 0, 1, "web : x", "has no process type"},
        {"w eb: x\n", 0, 1, "w eb: x", "has no process type"},
        {"w\xc3\xa9: x\n", 0, 1, "w\xc3\xa9: x", "has no process type"},
        {"../x: x\n", 0, 1, "../x: x", "has no process type"},
        {X63 "x: x\n", 0, 1, X63 "x: x", "has no process type"},
        {"web: x\n\nweb: y\n", 0, 3, "web: y", "was there before"},
        {"web: \xff\n", 0, 1, "web: \xff", "is not UTF-8 text"},
        {"# \xc0\x80\n", 0, 1, "# \xc0\x80", "is not UTF-8 text"},
        {"web: \xed\xa0\x80\n", 0, 1, "web: \xed\xa0\x80", "is not UTF-8 text"},
        {"web: a\rworker: b\n", 0, 1, "web: a\rworker: b", "is not UTF-8 text"},
        {"web: a\x1b[2J\n", 0, 1, "web: a\x1b[2J", "is not UTF-8 text"},
        {"web: a\0b\n", 9, 1, "web: a\0b", "is not UTF-8 text"},
};

static void join(const Procfile *procfile, char *ret, size_t size) {
        size_t used = 0;

        ret[0] = '\0';
        for (size_t i = 0; i < procfile->n_processes; i++)
                used += (size_t)snprintf(
                        ret + used,
                        size - used,
                        "%s%s=%s",
                        i > 0 ? "|" : "",
                        procfile->processes[i].type,
                        procfile->processes[i].command);
}

static void test_good_files_are_parsed(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(good_cases); i++) {
                ProcfileError error = {0};
                Procfile procfile;
                char found[1024];
                int r = procfile_parse(
                        &procfile, good_cases[i].text, strlen(good_cases[i].text), &error);

                if (r != 0)
                        print_error("case %zu: %s\n", i, error.why);
                assert_int_equal(r, 0);
                join(&procfile, found, sizeof(found));
                assert_string_equal(found, good_cases[i].expected);
                procfile_clear(&procfile);
        }
}

static void test_bad_line_is_named(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad_cases); i++) {
                const BadCase *c = &bad_cases[i];
                size_t size = c->size > 0 ? c->size : strlen(c->text);
                ProcfileError error = {0};
                Procfile procfile;

                print_message("case %zu\n", i);
                assert_int_equal(procfile_parse(&procfile, c->text, size, &error), -EINVAL);
                assert_int_equal(error.line, c->line);
                assert_memory_equal(error.text, c->quoted, error.text_size);
                assert_non_null(strstr(error.why, c->why));
        }
}

static void test_command_fits_or_is_refused(void **state) {
        char text[PROCFILE_COMMAND_SIZE + 16];
        ProcfileError error;
        Procfile procfile;

        (void)state;
        memcpy(text, "web: ", 5);
        memset(text + 5, 'c', PROCFILE_COMMAND_SIZE);
        assert_int_equal(procfile_parse(&procfile, text, 5 + PROCFILE_COMMAND_SIZE - 1, &error), 0);
        assert_int_equal(strlen(procfile.processes[0].command), PROCFILE_COMMAND_SIZE - 1);
        procfile_clear(&procfile);
        assert_int_equal(
                procfile_parse(&procfile, text, 5 + PROCFILE_COMMAND_SIZE, &error), -EINVAL);
        assert_string_equal(error.why, "has too long a command");
}

static void test_too_many_types_are_refused(void **state) {
        static char text[(PROCFILE_TYPES_MAX + 1) * 16];
        ProcfileError error;
        Procfile procfile;
        size_t used = 0;

        (void)state;
        for (unsigned i = 0; i < PROCFILE_TYPES_MAX; i++)
                used += (size_t)snprintf(text + used, sizeof(text) - used, "t%u: x\n", i);
        assert_int_equal(procfile_parse(&procfile, text, used, &error), 0);
        procfile_clear(&procfile);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "last: x\n");
        assert_int_equal(procfile_parse(&procfile, text, used, &error), -EINVAL);
        assert_int_equal(error.line, PROCFILE_TYPES_MAX + 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good_files_are_parsed),
                cmocka_unit_test(test_bad_line_is_named),
                cmocka_unit_test(test_command_fits_or_is_refused),
                cmocka_unit_test(test_too_many_types_are_refused),
        };

        return cmocka_run_group_tests_name("image/procfile", tests, NULL, NULL);
}
