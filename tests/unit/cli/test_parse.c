/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/parse.h"
#include "cli/dotenv.h"
#include "cli/parse.h"
#include "cli/scale.h"
#include "dynod/bus.h"

typedef struct Parsed {
        Invocation invocation;
        Failure failure;
        int result;
        char *argv[24];
        char *line;
} Parsed;

/* Words are separated by single spaces. */
static void parse(Parsed *ret, const char *line) {
        int argc = 1;

        *ret = (Parsed){.line = strdup(line)};
        ret->argv[0] = ret->line; /* any */
        for (char *rest = ret->line, *word; (word = strsep(&rest, " "));)
                if (*word)
                        ret->argv[argc++] = word;
        ret->result = parse_command_line(&ret->invocation, argc, ret->argv, &ret->failure);
        if (ret->result == 0)
                invocation_find_app(&ret->invocation);
}

static void parsed_clear(Parsed *parsed) {
        invocation_clear(&parsed->invocation);
        failure_clear(&parsed->failure);
        free(parsed->line);
}
#define _cleanup_parsed_ _cleanup_(parsed_clear)

static void assert_args(const Parsed *parsed, const char *command, const char *joined) {
        char text[256] = "";

        assert_int_equal(parsed->result, 0);
        assert_string_equal(parsed->invocation.command->name, command);
        for (size_t i = 0; i < parsed->invocation.n_args; i++) {
                strcat(text, i > 0 ? "|" : "");
                strcat(text, parsed->invocation.args[i]);
        }
        assert_string_equal(text, joined);
}

static void test_app_before_and_behind_the_command(void **state) {
        static const char *const lines[] = {
                "-a shop ps web",
                "ps -a shop web",
                "ps web -a shop",
                "ps web --app=shop",
                "--app shop ps web",
                "ps -ashop web"};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                _cleanup_parsed_ Parsed p = {};

                parse(&p, lines[i]);
                assert_args(&p, "ps", "web");
                assert_string_equal(p.invocation.app, "shop");
        }
}

static void test_app_from_the_environment_comes_last(void **state) {
        _cleanup_parsed_ Parsed a = {}, b = {}, c = {};

        (void)state;
        (void)setenv("HEROKU_APP", "store", 1);
        parse(&a, "ps");
        assert_string_equal(a.invocation.app, "store");
        parse(&b, "ps -a shop");
        assert_string_equal(b.invocation.app, "shop");
        parse(&c, "ps -A");
        assert_null(c.invocation.app);
        (void)unsetenv("HEROKU_APP");
}

static void test_aliases_of_heroku_work(void **state) {
        static const char *const pairs[][2] = {
                {"rollback v3", "releases:rollback"},
                {"scale web=1", "ps:scale"},
                {"restart", "ps:restart"},
                {"create shop", "apps:create"},
                {"destroy", "apps:destroy"},
                {"info", "apps:info"},
                {"run:detached ls", "run:detached"},
                {"dyno:restart", "ps:restart"},
                {"ps:kill web.1", "ps:stop"},
                {"config:add A=b", "config:set"},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
                _cleanup_parsed_ Parsed p = {};

                parse(&p, pairs[i][0]);
                assert_int_equal(p.result, 0);
                assert_string_equal(p.invocation.command->name, pairs[i][1]);
        }
}

static void test_run_leaves_the_command_alone(void **state) {
        static const char *const lines[][2] = {
                {"run -a shop -- ls -l --json", "ls|-l|--json"},
                {"run -a shop ls -l --json", "ls|-l|--json"},
                {"run ls -l -a shop", "ls|-l"},
                {"run ls -- x --app shop", "ls|--|x"},
                {"run -a shop -s eco bash -c ls", "bash|-c|ls"},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                _cleanup_parsed_ Parsed p = {};

                parse(&p, lines[i][0]);
                assert_args(&p, "run", lines[i][1]);
                assert_string_equal(p.invocation.app, "shop");
        }
}

static void test_exec_takes_options_between_dyno_and_command(void **state) {
        _cleanup_parsed_ Parsed a = {}, b = {}, c = {};

        (void)state;
        parse(&a, "ps:exec web.1 -a shop --no-tty -- python3 -c x");
        assert_args(&a, "ps:exec", "web.1|python3|-c|x");
        assert_true(option_is_set(&a.invocation, OPT_NO_TTY));
        parse(&b, "ps:exec -a shop web.1 ls -a");
        assert_args(&b, "ps:exec", "web.1|ls|-a");
        parse(&c, "ps:exec web.1 -a shop");
        assert_args(&c, "ps:exec", "web.1");
}

static void test_log_options_have_both_letters(void **state) {
        _cleanup_parsed_ Parsed a = {}, b = {};

        (void)state;
        parse(&a, "logs -t -n 5 -p web -a shop");
        assert_args(&a, "logs", "");
        assert_true(option_is_set(&a.invocation, OPT_TAIL));
        assert_int_equal(a.invocation.options[OPT_NUM].number, 5);
        assert_string_equal(option_text(&a.invocation, OPT_PS), "web");
        parse(&b, "logs -td web.1 --dyno-name worker");
        assert_int_equal(b.result, 0);
        assert_string_equal(option_text(&b.invocation, OPT_PS), "worker");
}

static void test_usage_errors_say_what_is_wrong(void **state) {
        static const char *const lines[][2] = {
                {"ps:scal", "Did you mean ps:scale?"},
                {"logs --tial", "Did you mean --tail?"},
                {"logs -n many", "--num wants N, not \"many\"."},
                {"logs -n", "--num wants a value: N."},
                {"deploy", "Usage: herokuctl deploy FILE."},
                {"firewall:allow",
                 "Usage: herokuctl firewall:allow NETWORK[:PORT[-PORT]][/tcp|/udp|/icmp]..."},
                {"deploy a b", "not \"b\"."},
                {"apps --json=1", "--json takes no value."},
                {"-a shop stacks", "stacks takes no app."},
                {"deploy x --checksum SHA256:12", "--checksum wants SHA256:HEX"},
                {"run --env FOO ls", "--env wants NAME=VALUE"},
                {"ps:wait --timeout soon", "--timeout wants TIME"},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                _cleanup_parsed_ Parsed p = {};

                parse(&p, lines[i][0]);
                assert_true(p.result < 0);
                assert_string_equal(p.failure.name, DYNOD_ERROR_USAGE);
                assert_non_null(strstr(p.failure.message, lines[i][1]));
        }
}

/* Every row must be usable: unique names, options that do not take each other's letter. */
static void test_table_is_consistent(void **state) {
        (void)state;
        for (size_t i = 0; i < command_table_size; i++) {
                const Command *c = &command_table[i];
                bool letters[256] = {};

                assert_ptr_equal(command_find(c->name), c);
                assert_non_null(c->run);
                assert_non_null(c->examples[0]);
                assert_true(c->min_args <= c->max_args);
                for (const char *const *a = c->aliases; *a; a++)
                        assert_ptr_equal(command_find(*a), c);
                for (OptionId id = OPT_NONE + 1; id < _OPT_MAX; id++) {
                        unsigned char letter = (unsigned char)option_table[id].letter;

                        if (!command_takes(c, id) || letter == 0)
                                continue;
                        assert_false(letters[letter]);
                        letters[letter] = true;
                }
        }
}

static void test_scale_arguments(void **state) {
        static const struct {
                const char *text, *type, *size;
                bool relative;
                int quantity;
        } good[] = {
                {"web=2", "web", "", false, 2},
                {"web=2:standard-2x", "web", "standard-2x", false, 2},
                {"web+1", "web", "", true, 1},
                {"my-worker-1", "my-worker", "", true, -1},
                {"my-worker=0:eco", "my-worker", "eco", false, 0},
                {"web-1:performance-m", "web", "performance-m", true, -1},
        };
        static const char *const bad[] = {
                "web", "=1", "web=", "web=x", "web=1:", "web=-1", "web=99999999999", "", "we b=1"};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
                ScaleArgument a;

                assert_int_equal(scale_parse(&a, good[i].text), 0);
                assert_string_equal(a.type, good[i].type);
                assert_string_equal(a.size, good[i].size);
                assert_int_equal(a.relative, good[i].relative);
                assert_int_equal(a.quantity, good[i].quantity);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                ScaleArgument a;

                assert_true(scale_parse(&a, bad[i]) < 0);
        }
}

static int on_variable(const char *name, const char *value, void *userdata) {
        char *text = userdata;

        strcat(strcat(strcat(strcat(text, name), "="), value), ";");
        return 0;
}

static void test_dotenv_files(void **state) {
        static const char *const cases[][2] = {
                {"A=1\nB=two\n", "A=1;B=two;"},
                {"# note\n\nexport A=1 # one\n", "A=1;"},
                {"A=\"x\\ny\"\nB='$A'", "A=x\ny;B=$A;"},
                {"A=\"two\nlines\"\n", "A=two\nlines;"},
                {"A=a#b\nB=\n", "A=a#b;B=;"},
                {"A=1\r\nB=2\r\n", "A=1;B=2;"},
        };
        static const struct {
                const char *text;
                unsigned line;
        } bad[] = {{"A=1\nnothing\n", 2}, {"A=\"open\n", 1}, {"=1\n", 1}, {"A='x' y\n", 1}};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *text = strdup(cases[i][0]);
                char seen[256] = "";
                unsigned line;

                assert_int_equal(dotenv_parse(text, on_variable, seen, &line), 0);
                assert_string_equal(seen, cases[i][1]);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_free_ char *text = strdup(bad[i].text);
                char seen[256] = "";
                unsigned line = 0;

                assert_true(dotenv_parse(text, on_variable, seen, &line) < 0);
                assert_int_equal(line, bad[i].line);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_app_before_and_behind_the_command),
                cmocka_unit_test(test_app_from_the_environment_comes_last),
                cmocka_unit_test(test_aliases_of_heroku_work),
                cmocka_unit_test(test_run_leaves_the_command_alone),
                cmocka_unit_test(test_exec_takes_options_between_dyno_and_command),
                cmocka_unit_test(test_log_options_have_both_letters),
                cmocka_unit_test(test_usage_errors_say_what_is_wrong),
                cmocka_unit_test(test_table_is_consistent),
                cmocka_unit_test(test_scale_arguments),
                cmocka_unit_test(test_dotenv_files),
        };

        (void)unsetenv("HEROKU_APP");
        return cmocka_run_group_tests_name("cli/parse", tests, NULL, NULL);
}
