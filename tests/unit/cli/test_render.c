/* SPDX-License-Identifier: Apache-2.0 */

/* Golden output: canned facts in, text out, with and without a terminal. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/parse.h"
#include "cli/json.h"
#include "cli/log_filter.h"
#include "cli/render.h"

#define NOW (UINT64_C(1795462021) * USEC_PER_SEC) /* 2026-11-23T19:27:01Z */

typedef struct Rendered {
        Output output;
        char *text;
        size_t size;
} Rendered;

static void begin(Rendered *r, bool terminal, unsigned width) {
        *r = (Rendered){};
        r->output.out = r->output.err = open_memstream(&r->text, &r->size);
        r->output.out_terminal = r->output.err_terminal = r->output.color = terminal;
        r->output.width = width;
        r->output.now_usec = NOW;
}

static void assert_text(Rendered *r, const char *expected) {
        (void)fclose(r->output.out);
        assert_string_equal(r->text, expected);
        free(r->text);
}

static struct json_object *parse(const char *text) {
        struct json_object *value = json_tokener_parse(text);

        assert_non_null(value);
        return value;
}

static const char ps_facts[] =
        "[{\"id\":\"worker.1-000001\",\"name\":\"worker.1\",\"app\":\"shop\",\"type\":\"worker\","
        "\"command\":\"celery -A shop worker\",\"size\":\"Standard-2X\",\"state\":\"crashed\","
        "\"release\":14,\"stack\":\"debian-12\",\"stack_version\":3,"
        "\"since\":\"2026-11-23T19:20:02Z\",\"crashes\":2,\"next_start\":\"2026-11-23T19:40:02Z\","
        "\"exit_status\":1,\"last_words\":\"KeyError: '\\u001b[31mREDIS_URL\\u001b[0m'\"},"
        "{\"id\":\"web.2-000002\",\"name\":\"web.2\",\"app\":\"shop\",\"type\":\"web\","
        "\"command\":\"gunicorn shop.wsgi --bind 0.0.0.0:$PORT\",\"size\":\"Standard-1X\","
        "\"state\":\"up\",\"reason\":\"R14, swapping\",\"release\":14,\"stack\":\"debian-12\","
        "\"stack_version\":3,\"since\":\"2026-11-23T19:22:41Z\",\"memory\":555745280,"
        "\"memory_limit\":536870912,\"address\":\"172.16.0.34\",\"port\":5000},"
        "{\"id\":\"web.1-000003\",\"name\":\"web.1\",\"app\":\"shop\",\"type\":\"web\","
        "\"command\":\"gunicorn shop.wsgi --bind 0.0.0.0:$PORT\",\"size\":\"Standard-1X\","
        "\"state\":\"starting\",\"release\":14,\"stack\":\"debian-12\",\"stack_version\":3,"
        "\"since\":\"2026-11-23T19:26:58Z\",\"memory\":42991616,\"memory_limit\":536870912,"
        "\"boot_deadline\":\"2026-11-23T19:27:58Z\",\"reason\":\"\"},"
        "{\"id\":\"run.4821-000004\",\"name\":\"run.4821\",\"app\":\"shop\",\"type\":\"run\","
        "\"command\":\"bash\",\"size\":\"Standard-1X\",\"state\":\"up\",\"release\":14,"
        "\"since\":\"2026-11-23T19:25:10Z\"}]";

static void test_ps_without_a_terminal(void **state) {
        _cleanup_json_ struct json_object *dynos = parse(ps_facts);
        Rendered r;

        begin(&r, false, 0);
        assert_int_equal(render_ps(&r.output, dynos, false), 0);
        assert_text(
                &r,
                "=== web (Standard-1X): gunicorn shop.wsgi --bind 0.0.0.0:$PORT (2)  v14  "
                "debian-12@3\n\n"
                "web.1: starting 2026/11/23 19:26:58 +0000 (~ 3s ago)   41 / 512 MB    "
                "                   waiting for $PORT, 57 s left\n"
                "web.2: up 2026/11/23 19:22:41 +0000 (~ 4m ago)         530 / 512 MB   "
                "172.16.0.34:5000   R14, swapping\n"
                "\n"
                "=== worker (Standard-2X): celery -A shop worker (1)  v14  debian-12@3\n\n"
                "worker.1: crashed 2026/11/23 19:20:02 +0000 (~ 6m ago)   exit 1, 2nd crash, next "
                "start 19:40:02 (in 13m)\n"
                "          KeyError: 'REDIS_URL'\n"
                "          herokuctl logs -a shop --ps worker.1   or   herokuctl ps:restart "
                "worker.1 -a shop\n"
                "\n"
                "=== run: one-off processes (1)\n\n"
                "run.4821 (Standard-1X): up 2026/11/23 19:25:10 +0000 (~ 1m ago): bash\n");
        (void)state;
}

static void test_ps_on_a_terminal_cuts_the_command_not_the_state(void **state) {
        _cleanup_json_ struct json_object *dynos = parse(
                "[{\"id\":\"web.1-000003\",\"name\":\"web.1\",\"app\":\"shop\",\"type\":\"web\","
                "\"command\":\"gunicorn shop.wsgi --bind 0.0.0.0:$PORT\","
                "\"size\":\"Standard-1X\",\"state\":\"up\",\"release\":14,\"stack\":\"debian-12\","
                "\"stack_version\":3,\"since\":\"2026-11-23T19:26:58Z\"}]");
        Rendered r;

        begin(&r, true, 64);
        assert_int_equal(render_ps(&r.output, dynos, false), 0);
        assert_text(
                &r,
                "=== \033[1mweb\033[0m (Standard-1X): gunicorn shop.wsg\xe2\x80\xa6 (1)  v14  "
                "debian-12@3\n\n"
                "web.1: \033[32mup\033[0m 2026/11/23 19:26:58 +0000 (~ 3s ago)\n");
        (void)state;
}

static const char inspect_facts[] =
        "{\"dyno\":{\"id\":\"web.1-7f3a9c\",\"name\":\"web.1\",\"pid\":41877,\"uid\":1879048203},"
        "\"layers\":[{\"layer\":\"namespaces\",\"ok\":true,\"verdict\":\"ok\",\"detail\":\"mount "
        "pid\"},{\"layer\":\"apparmor\",\"ok\":false,\"verdict\":\"failed\",\"detail\":\"is "
        "\\\"unconfined\\\", must be \\\"dynod-dyno (enforce)\\\"\"},"
        "{\"layer\":\"no_new_privs\",\"ok\":true,\"verdict\":\"ok\",\"detail\":\"\"},"
        "{\"layer\":\"cgroup\",\"ok\":true,\"verdict\":\"allowed\",\"detail\":\"no cpu\"}],"
        "\"timing\":{\"slot\":100,\"clone\":350},\"duration_usec\":800}";

static void test_inspect_puts_the_failure_first(void **state) {
        _cleanup_json_ struct json_object *facts = parse(inspect_facts);
        Rendered r;

        begin(&r, false, 0);
        assert_int_equal(render_inspect(&r.output, facts, "shop", true), 1);
        assert_text(
                &r,
                "=== web.1 of shop (web.1-7f3a9c, pid 41877, uid 1879048203)\n\n"
                "apparmor      FAILED   is \"unconfined\", must be \"dynod-dyno (enforce)\"\n"
                "namespaces    ok       mount pid\n"
                "no_new_privs  ok\n"
                "cgroup        allowed  no cpu\n"
                "\n"
                "1 of 4 layers not as asked for, read from the kernel at 19:27:01 in 0.8 ms.\n"
                "\n=== Start, from the request on\n\n"
                "slot             0.10 ms  (+0.10)\n"
                "clone            0.35 ms  (+0.25)\n");
        (void)state;
}

static void test_doctor_ends_with_a_sentence(void **state) {
        static const struct {
                const char *verdict, *missing, *allowed, *can_start, *sentence;
                int result;
        } cases[] = {
                {"failed",
                 "\"apparmor\"",
                 "",
                 "false",
                 "Dynos cannot start on this host: apparmor is missing.\n",
                 1},
                {"failed",
                 "\"apparmor\",\"tc\"",
                 "",
                 "false",
                 "Dynos cannot start on this host: apparmor, tc are missing.\n",
                 1},
                {"allowed",
                 "",
                 "\"apparmor\"",
                 "true",
                 "Dynos can start, without: apparmor (allowed by allow_missing in dynod.conf).\n",
                 2},
                {"ok", "", "", "true", "Dynos can start on this host. 0 layers missing.\n", 0},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char text[1024];
                Rendered r;
                struct json_object *facts;

                (void)snprintf(
                        text,
                        sizeof(text),
                        "{\"host\":{\"hostname\":\"runtime-17\",\"os\":\"Debian 12\","
                        "\"kernel\":\"6.1.0\",\"cores\":4,\"memory\":8160437862,\"version\":"
                        "\"0.4.0\"},\"layers\":[{\"layer\":\"apparmor\",\"verdict\":\"%s\","
                        "\"detail\":\"\",\"fix\":\"Do this\\nthen that\"}],\"checks\":[],"
                        "\"can_start\":%s,\"missing\":[%s],\"allowed\":[%s]}",
                        cases[i].verdict,
                        cases[i].can_start,
                        cases[i].missing,
                        cases[i].allowed);
                facts = parse(text);
                begin(&r, false, 0);
                assert_int_equal(render_doctor(&r.output, facts), cases[i].result);
                (void)fflush(r.output.out);
                assert_non_null(strstr(
                        r.text, "=== runtime-17: Debian 12, Linux 6.1.0, 4 cores, 7.6 GB, dynod"));
                assert_string_equal(
                        r.text + strlen(r.text) - strlen(cases[i].sentence), cases[i].sentence);
                if (cases[i].result == 1)
                        assert_non_null(
                                strstr(r.text,
                                       "apparmor      FAILED\n"
                                       "                       Do this\n"
                                       "                       then that\n"));
                else if (cases[i].result == 0)
                        assert_null(strstr(r.text, "Do this"));
                (void)fclose(r.output.out);
                free(r.text);
                (void)json_object_put(facts);
        }
}

static const char network_facts[] =
        "{\"app\":\"shop\",\"firewall\":\"closed\",\"rules\":["
        "{\"number\":1,\"action\":\"allow\",\"target\":\"10.0.0.0/8:5432/tcp\"},"
        "{\"number\":2,\"action\":\"deny\",\"target\":\"10.0.0.7:5432/tcp\",\"covered_by\":1}],"
        "\"source\":\"203.0.113.5\",\"restricted\":true,"
        "\"trusted\":[\"203.0.113.0/24\",\"198.51.100.7/32\"],\"services\":["
        "{\"name\":\"dns\",\"port\":53,\"protocol\":\"udp\"},"
        "{\"name\":\"postgres\",\"port\":5432,\"protocol\":\"tcp\"}],"
        "\"service_address\":\"172.16.0.1\",\"published\":[80,443],\"dynos\":3,\"in_force\":true}";
static const char network_nothing[] =
        "{\"app\":\"shop\",\"firewall\":\"open\",\"rules\":[],\"restricted\":false,\"trusted\":[],"
        "\"services\":[],\"service_address\":\"172.16.0.1\",\"published\":[],\"dynos\":0,"
        "\"in_force\":true}";
static const char network_nobody[] = "{\"app\":\"shop\",\"firewall\":\"open\",\"restricted\":true,"
                                     "\"in_force\":false,\"problem\":\"its network policy "
                                     "cannot be applied\"}";
static const char network_no_source[] =
        "{\"app\":\"shop\",\"firewall\":\"open\",\"in_force\":true,"
        "\"problem\":\"203.0.113.5, its fixed source, is no address of this host\"}";

static void test_firewall_shows_its_rules_in_order(void **state) {
        _cleanup_json_ struct json_object *full = parse(network_facts);
        _cleanup_json_ struct json_object *nothing = parse(network_nothing);
        _cleanup_json_ struct json_object *problem = parse(network_nobody);
        _cleanup_json_ struct json_object *no_source = parse(network_no_source);
        Rendered r;

        (void)state;
        begin(&r, false, 0);
        assert_int_equal(render_firewall(&r.output, full), 0);
        assert_text(
                &r,
                "=== Firewall of shop: closed\n\n"
                "1  allow  10.0.0.0/8:5432/tcp\n"
                "2  deny   10.0.0.7:5432/tcp    (rule 1 decides before)\n"
                "-  deny   everything else\n"
                "\nThe first that fits decides; a new rule goes first.\n"
                "\nSource address: 203.0.113.5\n"
                "Also open, by services:add: dns 172.16.0.1:53/udp, postgres "
                "172.16.0.1:5432/tcp\n");
        begin(&r, false, 0);
        assert_int_equal(render_firewall(&r.output, nothing), 0);
        assert_text(
                &r,
                "=== Firewall of shop: open\n\n"
                "-  allow  everything\n"
                "\nSource address: auto\n");
        begin(&r, true, 80);
        assert_int_equal(render_firewall(&r.output, problem), 0);
        assert_text(
                &r,
                "=== \033[1mFirewall of shop: open\033[0m\n\n"
                "-  allow  everything\n"
                "\nSource address: auto\n"
                "\n\033[31mNot in force\033[0m: its network policy cannot be applied. Dynos of "
                "shop start again when it is.\n");
        begin(&r, false, 0);
        assert_int_equal(render_firewall(&r.output, no_source), 0);
        assert_text(
                &r,
                "=== Firewall of shop: open\n\n"
                "-  allow  everything\n"
                "\nSource address: auto\n"
                "\nIncomplete: 203.0.113.5, its fixed source, is no address of this host.\n");
}

static void test_who_may_connect_and_where_in_herokus_words(void **state) {
        _cleanup_json_ struct json_object *full = parse(network_facts);
        _cleanup_json_ struct json_object *nothing = parse(network_nothing);
        _cleanup_json_ struct json_object *nobody = parse(network_nobody);
        Rendered r;

        (void)state;
        begin(&r, false, 0);
        assert_int_equal(render_trusted(&r.output, full), 0);
        assert_text(&r, "=== Trusted IP Ranges\n\n203.0.113.0/24\n198.51.100.7/32\n");
        begin(&r, false, 0);
        assert_int_equal(render_trusted(&r.output, nothing), 0);
        assert_text(
                &r,
                "=== Trusted IP Ranges\n\n0.0.0.0/0\n"
                "\nNo port is published yet: herokuctl ps:publish web 8080 -a shop\n");
        begin(&r, false, 0);
        assert_int_equal(render_trusted(&r.output, nobody), 0);
        assert_text(
                &r,
                "shop has no trusted IP ranges. All inbound web requests to dynos are blocked.\n");

        begin(&r, false, 0);
        assert_int_equal(render_published(&r.output, full), 0);
        assert_text(
                &r,
                "=== Published ports of shop\n\n80  web\n443  web\n"
                "\nFor 2 trusted networks: herokuctl trusted-ips -a shop\n");
        begin(&r, false, 0);
        assert_int_equal(render_published(&r.output, nothing), 0);
        assert_text(
                &r,
                "No ports of this host are published for shop. Publish one: herokuctl ps:publish "
                "web 8080 -a shop\n");
        begin(&r, false, 0);
        assert_int_equal(render_services(&r.output, full), 0);
        assert_text(
                &r,
                "=== Services of shop\n\n"
                "dns       53/udp    172.16.0.1:53\n"
                "postgres  5432/tcp  172.16.0.1:5432\n");
        begin(&r, false, 0);
        assert_int_equal(render_services(&r.output, nothing), 0);
        assert_text(
                &r,
                "shop reaches no port of this host. Open one: herokuctl services:add postgres 5432 "
                "-a shop\n");
}

static void test_app_info_has_its_network(void **state) {
        _cleanup_json_ struct json_object *app = parse(
                "{\"name\":\"shop\",\"stack\":\"debian-12\",\"release\":0,\"dynos\":3,\"up\":2,"
                "\"firewall\":\"closed\",\"rules\":1,\"source\":\"203.0.113.5\","
                "\"restricted\":true,\"trusted\":2,\"services\":[\"dns\",\"postgres\"],"
                "\"published\":[80,443],\"created\":\"2026-11-23T19:20:02Z\"}");
        Rendered r;

        (void)state;
        begin(&r, false, 0);
        assert_int_equal(render_app_info(&r.output, app), 0);
        assert_text(
                &r,
                "=== shop\n\n"
                "Dynos:      2 of 3 up\n"
                "Firewall:   closed, 1 rule, source 203.0.113.5\n"
                "Services:   dns, postgres\n"
                "Published:  80, 443, for 2 trusted networks\n"
                "Stack:      debian-12\n"
                "Release:    none yet: herokuctl deploy FILE -a shop\n"
                "Created:    2026/11/23 19:20:02 +0000 (~ 6m ago)\n");
}

static void test_sizes_have_their_limits(void **state) {
        _cleanup_json_ struct json_object *sizes =
                parse("[{\"name\":\"Standard-1X\",\"memory_quota\":536870912,"
                      "\"memory_kill\":1073741824,\"cpu_weight\":100,\"process_limit\":256,"
                      "\"bandwidth\":12500000,\"disk\":4294967296,\"connections\":4000,"
                      "\"connection_rate\":200},"
                      "{\"name\":\"Eco\",\"memory_quota\":536870912,\"memory_kill\":1073741824,"
                      "\"cpu_weight\":100,\"process_limit\":256}]");
        Rendered r;

        (void)state;
        begin(&r, false, 0);
        assert_int_equal(render_sizes(&r.output, sizes), 0);
        assert_text(
                &r,
                "=== Dyno sizes\n\n"
                "name         memory  killed at  cpu weight  processes  bandwidth  disk      "
                "connections\n"
                "Standard-1X  512 MB  1 GB       100         256        11.9 MB/s  4 GB      "
                "4,000, 200/s new\n"
                "Eco          512 MB  1 GB       100         256        no limit   no limit  no "
                "limit\n");
}

static void test_ps_shows_published_ports_and_cpu(void **state) {
        _cleanup_json_ struct json_object *dynos = parse(
                "[{\"id\":\"web.1-000003\",\"name\":\"web.1\",\"app\":\"shop\",\"type\":\"web\","
                "\"command\":\"serve\",\"size\":\"Standard-1X\",\"state\":\"up\",\"release\":14,"
                "\"stack\":\"debian-12\",\"stack_version\":3,\"cpu_percent\":3.4,"
                "\"since\":\"2026-11-23T19:26:58Z\",\"published\":[80,443]}]");
        Rendered r;

        (void)state;
        begin(&r, false, 0);
        assert_int_equal(render_ps(&r.output, dynos, false), 0);
        assert_text(
                &r,
                "=== web (Standard-1X): serve (1)  v14  debian-12@3  published 80, 443\n\n"
                "web.1: up 2026/11/23 19:26:58 +0000 (~ 3s ago)   cpu 3 %\n");
}

static void test_formation_is_a_valid_argument_list(void **state) {
        _cleanup_json_ struct json_object *formation =
                parse("[{\"type\":\"web\",\"quantity\":3,\"size\":\"Standard-1X\"},"
                      "{\"type\":\"worker\",\"quantity\":1,\"size\":\"Standard-2X\"}]");
        Rendered r;

        begin(&r, false, 0);
        assert_int_equal(render_formation(&r.output, formation), 0);
        assert_text(&r, "web=3:Standard-1X worker=1:Standard-2X\n");
        (void)state;
}

static void test_releases_and_config(void **state) {
        _cleanup_json_ struct json_object *releases = parse(
                "[{\"release\":2,\"description\":\"Set REDIS_URL\\u001b[31m config vars\",\"user\":"
                "\"alice\",\"created\":\"2026-11-23T19:22:41Z\",\"current\":true},{\"release\":1,"
                "\"description\":\"Deploy 9c1f0a7b\",\"user\":\"bob\",\"created\":"
                "\"2026-11-20T19:22:41Z\",\"current\":false}]");
        _cleanup_json_ struct json_object *config =
                parse("{\"A\":\"it's\",\"LONG_NAME\":\"x\\ny\"}");
        Rendered r;

        begin(&r, false, 0);
        assert_int_equal(render_releases(&r.output, releases, "shop"), 0);
        assert_text(
                &r,
                "=== shop Releases - Current: v2\n\n"
                "v2  Set REDIS_URL config vars  alice  2026/11/23 19:22:41 +0000 (~ 4m ago)\n"
                "v1  Deploy 9c1f0a7b            bob    2026/11/20 19:22:41 +0000\n");
        begin(&r, false, 0);
        assert_int_equal(render_config(&r.output, config, "shop"), 0);
        assert_text(&r, "=== shop Config Vars\n\nA:          it's\nLONG_NAME:  x?y\n");
        begin(&r, false, 0);
        assert_int_equal(render_config_shell(&r.output, config), 0);
        assert_text(&r, "A='it'\\''s'\nLONG_NAME='x\ny'\n");
        (void)state;
}

static void test_errors_have_one_line_or_one_object(void **state) {
        Failure failure = FAILURE_INIT;
        Rendered r;

        (void)state;
        failure_set(&failure, "org.dynod.Error.NoSuchApp", "No app \"x\".\nherokuctl apps");
        begin(&r, false, 0);
        output_failure(&r.output, &failure);
        assert_text(&r, " !    No app \"x\". Try: herokuctl apps\n");
        begin(&r, false, 0);
        r.output.json = true;
        output_failure(&r.output, &failure);
        assert_text(
                &r,
                "{\"error\":\"org.dynod.Error.NoSuchApp\",\"message\":\"No app \\\"x\\\".\","
                "\"hint\":\"herokuctl apps\"}\n");
        failure_set(&failure, "org.dynod.Error.Failed", "Bad \033[31mname.");
        begin(&r, true, 80);
        output_failure(&r.output, &failure);
        assert_text(&r, "\033[31m !    \033[0mBad name.\n");
        failure_clear(&failure);
}

static void test_actions_are_one_line(void **state) {
        Rendered r;
        Action action;

        (void)state;
        begin(&r, false, 0);
        action = (Action)ACTION_INIT(&r.output);
        action_begin(&action, "Scaling %s", "dynos");
        action_progress(&action, "not seen");
        action_end(&action, "done, now running %s", "web at 2:Standard-1X");
        action_begin(&action, "Again");
        action_clear(&action);
        assert_text(
                &r, "Scaling dynos... done, now running web at 2:Standard-1X\nAgain... failed\n");

        begin(&r, true, 80);
        action = (Action)ACTION_INIT(&r.output);
        action_begin(&action, "Importing x");
        action.started_usec -= USEC_PER_SEC;
        action_progress(&action, "50 %");
        action_progress(&action, "too soon");
        action_end(&action, "done");
        assert_text(&r, "Importing x... \r\033[KImporting x... 50 %\r\033[KImporting x... done\n");

        begin(&r, true, 80);
        r.output.quiet = true;
        action = (Action)ACTION_INIT(&r.output);
        action_begin(&action, "Quiet");
        action_end(&action, "done");
        assert_text(&r, "");

        /* What the daemon calls a dyno moves no cursor: only stderr may be the terminal. */
        begin(&r, false, 0);
        r.output.err_terminal = true;
        action = (Action)ACTION_INIT(&r.output);
        action_begin(&action, "Starting %s", "web\033[2J\a.1");
        action.started_usec -= USEC_PER_SEC;
        action_progress(&action, "1 of 2");
        action_end(&action, "done");
        output_note(&r.output, "See %s.", "\302\233web.1\r");
        assert_text(
                &r,
                "Starting web?.1... \r\033[KStarting web?.1... 1 of 2"
                "\r\033[KStarting web?.1... done\nSee ?web.1?.\n");
}

static LogRecord record(const char *procid, LogSource source, uint64_t usec) {
        LogRecord r = {.magic = LOG_RECORD_MAGIC, .source = (uint16_t)source, .usec = usec};

        strcpy(r.app, "shop");
        strcpy(r.procid, procid);
        return r;
}

static bool
matches(const LogFilter *filter, const LogRecord *record, const char *text, size_t size) {
        LogRecord sized = *record;

        sized.text_size = (uint16_t)size;
        return log_filter_matches(filter, &sized, text);
}

static void test_log_filters(void **state) {
        Invocation invocation = {};
        Output output = {.now_usec = NOW};
        Failure failure = FAILURE_INIT;
        LogRecord web = record("web.1", LOG_FROM_APP, NOW), worker = record("worker.1", 2, NOW);
        LogRecord website = record("website.1", LOG_FROM_APP, NOW);
        LogRecord old = record("web.1", LOG_FROM_APP, NOW - 600 * USEC_PER_SEC);
        LogFilter filter;

        (void)state;
        invocation.output = &output;
        invocation.options[OPT_PS] = (OptionValue){.set = true, .text = "web"};
        invocation.options[OPT_SINCE] = (OptionValue){.set = true, .text = "5m"};
        invocation.options[OPT_GREP] = (OptionValue){.set = true, .text = "R1[45]"};
        assert_int_equal(log_filter_init(&filter, &invocation, &failure), 0);
        assert_true(log_filter_is_set(&filter));
        assert_true(matches(&filter, &web, "Error R14", sizeof("Error R14") - 1));
        assert_true(matches(&filter, &web, "behind\0R14", 10)); /* a NUL hides nothing */
        assert_false(matches(&filter, &web, "Error R10", sizeof("Error R10") - 1));
        assert_false(matches(&filter, &worker, "Error R14", sizeof("Error R14") - 1));
        assert_false(matches(&filter, &website, "Error R14", sizeof("Error R14") - 1));
        assert_false(matches(&filter, &old, "Error R14", sizeof("Error R14") - 1));
        log_filter_clear(&filter);

        invocation.options[OPT_SOURCE] = (OptionValue){.set = true, .text = "nginx"};
        assert_true(log_filter_init(&filter, &invocation, &failure) < 0);
        assert_non_null(strstr(failure.message, "app or heroku"));
        invocation.options[OPT_SOURCE].set = false;
        invocation.options[OPT_GREP].text = "(";
        assert_true(log_filter_init(&filter, &invocation, &failure) < 0);
        failure_clear(&failure);
}

/* What a daemon that was taken over may answer. */
static void test_no_shape_of_an_answer_crashes(void **state) {
        static const char *const answers[] = {"null", "[]", "7", "\"text\"", "{\"processes\":7}"};

        for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
                _cleanup_json_ struct json_object *facts = json_tokener_parse(answers[i]);
                Rendered r;

                begin(&r, true, 80);
                assert_int_equal(render_config(&r.output, facts, "shop"), 0);
                assert_int_equal(render_config_shell(&r.output, facts), 0);
                assert_int_equal(render_release_info(&r.output, facts, "shop"), 0);
                (void)fclose(r.output.out);
                free(r.text);
        }
}

/* A bus that is not used, for messages. */
static void test_answers_for_a_terminal_are_cleaned(void **state) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_json_ struct json_object *facts = NULL, *raw = NULL;
        sd_bus *bus = NULL;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_true(sd_bus_new(&bus) >= 0);
        assert_true(sd_bus_set_fd(bus, pair[0], pair[0]) >= 0);
        assert_true(sd_bus_start(bus) >= 0);
        assert_true(sd_bus_message_new_signal(bus, &m, "/a", "a.b", "c") >= 0);
        assert_true(sd_bus_message_append(m, "a{ss}", 1, "K\033[2J", "v\033]0;t\007\tw\177") >= 0);
        assert_true(sd_bus_message_seal(m, 1, 0) >= 0);

        json_clean_texts(true);
        assert_int_equal(json_from_message(&facts, m), 0);
        json_clean_texts(false);
        assert_string_equal(json_text(facts, "K"), "v\tw?");

        assert_true(sd_bus_message_rewind(m, true) >= 0);
        assert_int_equal(json_from_message(&raw, m), 0);
        assert_string_equal(json_text(raw, "K\033[2J"), "v\033]0;t\007\tw\177");
        (void)sd_bus_close_unref(bus);
        (void)close(pair[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_shape_of_an_answer_crashes),
                cmocka_unit_test(test_answers_for_a_terminal_are_cleaned),
                cmocka_unit_test(test_ps_without_a_terminal),
                cmocka_unit_test(test_ps_on_a_terminal_cuts_the_command_not_the_state),
                cmocka_unit_test(test_inspect_puts_the_failure_first),
                cmocka_unit_test(test_doctor_ends_with_a_sentence),
                cmocka_unit_test(test_firewall_shows_its_rules_in_order),
                cmocka_unit_test(test_who_may_connect_and_where_in_herokus_words),
                cmocka_unit_test(test_app_info_has_its_network),
                cmocka_unit_test(test_sizes_have_their_limits),
                cmocka_unit_test(test_ps_shows_published_ports_and_cpu),
                cmocka_unit_test(test_formation_is_a_valid_argument_list),
                cmocka_unit_test(test_releases_and_config),
                cmocka_unit_test(test_errors_have_one_line_or_one_object),
                cmocka_unit_test(test_actions_are_one_line),
                cmocka_unit_test(test_log_filters),
        };

        (void)setenv("TZ", "UTC", 1);
        tzset();
        return cmocka_run_group_tests_name("cli/render", tests, NULL, NULL);
}
