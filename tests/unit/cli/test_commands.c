/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whole commands against a peer in a child that gives canned answers: what is written
 * where, and with which status the command ends.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/cli.h"
#include "dynod/bus.h"
#include "dynod/exit_status.h"
#include "ipc/log_proto.h"

#define NOW (UINT64_C(1795462021) * USEC_PER_SEC) /* 2026-11-23T19:27:01Z */
#define JOB 7u

/* ---- the peer ---- */

static void signal_progress(sd_bus *bus, const char *phase, const char *types, ...) {
        sd_bus_message *m = NULL;
        va_list ap;

        (void)sd_bus_message_new_signal(
                bus, &m, DYNOD_BUS_PATH, DYNOD_BUS_INTERFACE, "JobProgress");
        (void)sd_bus_message_append(m, "u", JOB);
        (void)sd_bus_message_open_container(m, 'a', "{sv}");
        (void)sd_bus_message_append(m, "{sv}", "phase", "s", phase);
        va_start(ap, types);
        (void)sd_bus_message_appendv(m, types, ap);
        va_end(ap);
        (void)sd_bus_message_close_container(m);
        (void)sd_bus_send(bus, m, NULL);
        (void)sd_bus_message_unref(m);
}

static void signal_done(sd_bus *bus, const char *error, const char *text, const char *types, ...) {
        sd_bus_message *m = NULL;
        va_list ap;

        (void)sd_bus_message_new_signal(bus, &m, DYNOD_BUS_PATH, DYNOD_BUS_INTERFACE, "JobDone");
        (void)sd_bus_message_append(m, "usss", JOB, error, text, "");
        (void)sd_bus_message_open_container(m, 'a', "{sv}");
        va_start(ap, types);
        if (*types)
                (void)sd_bus_message_appendv(m, types, ap);
        va_end(ap);
        (void)sd_bus_message_close_container(m);
        (void)sd_bus_send(bus, m, NULL);
        (void)sd_bus_message_unref(m);
}

static int answer_list_apps(sd_bus_message *m) {
        return sd_bus_reply_method_return(
                m, "aa{sv}", 2, 1, "name", "s", "shop", 1, "name", "s", "blog");
}

static int answer_change_config(sd_bus_message *m) {
        (void)sd_bus_reply_method_return(m, "u", JOB);
        signal_done(sd_bus_message_get_bus(m), "", "", "{sv}", "release", "u", 16);
        return 1;
}

static int answer_scale(sd_bus_message *m) {
        sd_bus *bus = sd_bus_message_get_bus(m);
        sd_bus_message *done = NULL;

        (void)sd_bus_reply_method_return(m, "u", JOB);
        (void)sd_bus_message_new_signal(bus, &done, DYNOD_BUS_PATH, DYNOD_BUS_INTERFACE, "JobDone");
        (void)sd_bus_message_append(
                done,
                "usssa{sv}",
                JOB,
                "",
                "",
                "",
                1,
                "formation",
                "aa{sv}",
                2,
                3,
                "type",
                "s",
                "web",
                "quantity",
                "u",
                2,
                "size",
                "s",
                "Standard-1X",
                3,
                "type",
                "s",
                "worker",
                "quantity",
                "u",
                1,
                "size",
                "s",
                "Standard-2X");
        (void)sd_bus_send(bus, done, NULL);
        (void)sd_bus_message_unref(done);
        return 1;
}

/* A deploy that goes well; of app "sad" one whose dyno does not come up; "busy" never ends. */
static int answer_deploy(sd_bus_message *m) {
        sd_bus *bus = sd_bus_message_get_bus(m);
        const char *app = "";

        (void)sd_bus_message_read(m, "s", &app);
        (void)sd_bus_reply_method_return(m, "u", JOB);
        signal_progress(
                bus, "read", "{sv}{sv}", "done", "t", UINT64_C(10), "total", "t", UINT64_C(20));
        if (strcmp(app, "busy") == 0)
                return kill(getppid(), SIGINT);
        signal_progress(
                bus,
                "release",
                "{sv}{sv}{sv}{sv}{sv}",
                "release",
                "u",
                15,
                "slug",
                "s",
                "9c1f0a7b55",
                "files",
                "t",
                UINT64_C(7960),
                "bytes",
                "t",
                UINT64_C(97622426),
                "changed",
                "as",
                2,
                "web",
                "worker");
        signal_progress(
                bus,
                "start",
                "{sv}{sv}",
                "dynos",
                "as",
                2,
                "web.1",
                "worker.1",
                "total",
                "t",
                UINT64_C(2));
        if (strcmp(app, "sad") == 0)
                signal_done(
                        bus,
                        DYNOD_ERROR_NOT_UP,
                        "web.1 of sad is not up on v15: R10.",
                        "{sv}{sv}",
                        "dyno",
                        "s",
                        "web.1",
                        "code",
                        "s",
                        "R10");
        else
                signal_done(
                        bus,
                        "",
                        "",
                        "{sv}{sv}{sv}",
                        "release",
                        "u",
                        15,
                        "up",
                        "u",
                        2,
                        "total",
                        "u",
                        2);
        return 1;
}

static void write_record(int fd, const char *procid, LogSource source, const char *text) {
        LogRecord record = {
                .magic = LOG_RECORD_MAGIC,
                .source = (uint16_t)source,
                .text_size = (uint16_t)strlen(text),
                .usec = NOW - 5 * USEC_PER_SEC,
        };

        strcpy(record.app, "shop");
        strcpy(record.procid, procid);
        (void)!write(fd, &record, sizeof(record));
        (void)!write(fd, text, strlen(text));
}

static int answer_logs(sd_bus_message *m) {
        int fds[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
                return -1;
        write_record(fds[0], "web.1", LOG_FROM_APP, "one");
        write_record(fds[0], "web.1", LOG_FROM_APP, "two \033[31mred\xff");
        write_record(fds[0], "worker.1", LOG_FROM_HEROKU, "State changed from up to crashed");
        write_record(fds[0], LOG_PROCID_LIVE, LOG_FROM_HEROKU, "");
        (void)close(fds[0]);
        r = sd_bus_reply_method_return(m, "h", fds[1]);
        (void)close(fds[1]);
        return r;
}

static int answer_wait(sd_bus_message *m) {
        (void)sd_bus_reply_method_return(m, "u", JOB);
        signal_done(
                sd_bus_message_get_bus(m), DYNOD_ERROR_TIMED_OUT, "web.1 is not up after 2 s.", "");
        return 1;
}

static int answer_app_info(sd_bus_message *m) {
        return sd_bus_reply_method_errorf(
                m, DYNOD_ERROR_NO_SUCH_APP, "No app \"sop\". Did you mean shop?\nherokuctl apps");
}

/* Says that the command runs, and is gone: with @m goes the far end that came with it. */
static int answer_exec(sd_bus_message *m) {
        return sd_bus_reply_method_return(m, "a{sv}", 1, "dyno", "s", "web.1");
}

/*
 * One allowing rule, two dynos. "10.9.0.0/16" is there already, "10.1.2.3/8" is refused; a change
 * of app "idle" finds no dyno.
 */
static int answer_change_network(sd_bus_message *m) {
        const char *app = "", *change = "", *argument = "";
        char text[64];

        (void)sd_bus_message_read(m, "ss", &app, &change);
        (void)sd_bus_message_enter_container(m, 'a', "s");
        (void)sd_bus_message_read(m, "s", &argument);
        if (strcmp(argument, "10.1.2.3/8") == 0)
                return sd_bus_reply_method_errorf(
                        m, DYNOD_ERROR_INVALID_ARGUMENT, "Write 10.0.0.0/8. Nothing was changed.");
        (void)snprintf(text, sizeof(text), "%s %s", change, argument);
        return sd_bus_reply_method_return(
                m,
                "a{sv}",
                9,
                "app",
                "s",
                app,
                "firewall",
                "s",
                strcmp(change, "allow") == 0 && strcmp(app, "closed") != 0 ? "open" : "closed",
                "rules",
                "aa{sv}",
                1,
                2,
                "action",
                "s",
                "allow",
                "number",
                "u",
                1,
                "restricted",
                "b",
                strcmp(change, "trust") == 0,
                "trusted",
                "as",
                1,
                "203.0.113.0/24",
                "service_address",
                "s",
                "172.16.0.1",
                "dynos",
                "u",
                strcmp(app, "idle") == 0 ? 0 : 2,
                "text",
                "s",
                text,
                "changed",
                "b",
                strcmp(argument, "10.9.0.0/16") != 0);
}

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        static const struct {
                const char *method;
                int (*answer)(sd_bus_message *m);
        } answers[] = {
                {"ListApps", answer_list_apps},
                {"ChangeConfig", answer_change_config},
                {"Scale", answer_scale},
                {"Deploy", answer_deploy},
                {"Logs", answer_logs},
                {"WaitDynos", answer_wait},
                {"AppInfo", answer_app_info},
                {"Exec", answer_exec},
                {"ChangeNetwork", answer_change_network},
        };

        for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
                if (sd_bus_message_is_method_call(m, DYNOD_BUS_INTERFACE, answers[i].method))
                        return answers[i].answer(m);
        return 0;
}

static void serve(int fd) {
        sd_id128_t id = {};
        sd_bus *bus;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)signal(SIGINT, SIG_IGN);
        if (sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fd, fd) < 0 ||
            sd_bus_set_server(bus, true, id) < 0 || sd_bus_set_anonymous(bus, true) < 0 ||
            sd_bus_negotiate_fds(bus, true) < 0 ||
            sd_bus_add_object(bus, NULL, DYNOD_BUS_PATH, on_call, NULL) < 0 ||
            sd_bus_start(bus) < 0)
                _exit(1);
        for (;;) {
                int r = sd_bus_process(bus, NULL);

                if (r < 0)
                        _exit(0);
                if (r == 0 && sd_bus_wait(bus, UINT64_MAX) < 0)
                        _exit(0);
        }
}

/* ---- the command ---- */

typedef struct Result {
        int status;
        char *out, *err;
        size_t out_size, err_size;
} Result;

/* Words are separated by single spaces. */
static void run(Result *ret, const char *line) {
        _cleanup_free_ char *copy = strdup(line);
        char *argv[16] = {copy};
        Output output = {.now_usec = NOW};
        int argc = 1, fds[2];
        pid_t peer;

        for (char *rest = copy, *word; (word = strsep(&rest, " "));)
                argv[argc++] = word;
        *ret = (Result){};
        output.out = open_memstream(&ret->out, &ret->out_size);
        output.err = open_memstream(&ret->err, &ret->err_size);

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        peer = fork();
        if (peer == 0) {
                (void)close(fds[0]);
                serve(fds[1]);
        }
        (void)close(fds[1]);
        ret->status = cli_main_on(argc, argv, &output, fds[0]);
        (void)kill(peer, SIGKILL);
        (void)waitpid(peer, NULL, 0);
        (void)fclose(output.out);
        (void)fclose(output.err);
}

static void result_clear(Result *result) {
        free(result->out);
        free(result->err);
}
#define _cleanup_result_ _cleanup_(result_clear)

/* Times and durations differ from run to run: digits before " s" become N. */
static void blur(char *text) {
        char *p;

        while ((p = strstr(text, ".0 s")) || (p = strstr(text, ".1 s")))
                memcpy(p - 1, "N.N", 3);
}

static void test_without_an_app_they_are_listed(void **state) {
        _cleanup_result_ Result r;

        (void)state;
        run(&r, "ps");
        assert_int_equal(r.status, DYNOD_EXIT_USAGE);
        assert_string_equal(r.out, "");
        assert_string_equal(
                r.err,
                " !    Which app? Name it with -a APP, or set HEROKU_APP. There are: shop, "
                "blog.\n");
}

static void test_an_unknown_app_is_an_error_in_json_too(void **state) {
        _cleanup_result_ Result a, b;

        (void)state;
        run(&a, "info -a sop");
        assert_int_equal(a.status, DYNOD_EXIT_FAILED);
        assert_string_equal(
                a.err, " !    No app \"sop\". Did you mean shop? Try: herokuctl apps\n");
        run(&b, "info -a sop --json");
        assert_int_equal(b.status, DYNOD_EXIT_FAILED);
        assert_string_equal(b.out, "");
        assert_string_equal(
                b.err,
                "{\"error\":\"org.dynod.Error.NoSuchApp\",\"message\":\"No app \\\"sop\\\". Did "
                "you "
                "mean shop?\",\"hint\":\"herokuctl apps\"}\n");
}

static void test_config_set_names_keys_not_values(void **state) {
        _cleanup_result_ Result r, q;

        (void)state;
        run(&r, "config:set REDIS_URL=secret -a shop");
        assert_int_equal(r.status, 0);
        assert_string_equal(r.out, "");
        assert_string_equal(r.err, "Setting REDIS_URL and restarting shop... done, v16\n");
        run(&q, "config:set -q REDIS_URL=secret -a shop");
        assert_string_equal(q.err, "");
}

static void test_scale_answers_with_the_new_state(void **state) {
        _cleanup_result_ Result r, json;

        (void)state;
        run(&r, "scale web=2 -a shop");
        assert_int_equal(r.status, 0);
        assert_string_equal(r.err, "Scaling dynos... done, now running web at 2:Standard-1X\n");
        run(&json, "scale web=2 -a shop --json");
        assert_string_equal(json.err, "");
        assert_non_null(strstr(json.out, "\"quantity\": 2"));
}

static void test_network_changes_answer_with_what_they_did(void **state) {
        static const struct {
                const char *line, *answer;
        } cases[] = {
                {"firewall:allow 10.0.0.0/8:5432/tcp -a closed",
                 "Allowing 10.0.0.0/8:5432/tcp for closed... done, applied to 2 dynos\n"},
                {"firewall:allow 192.0.2.7 10.2.0.0/16 -a shop",
                 "Allowing 192.0.2.7, 10.2.0.0/16 for shop... done, applied to 2 dynos; what no "
                 "rule fits is allowed, too: firewall:deny any closes it\n"},
                {"firewall:allow 10.9.0.0/16 -a closed",
                 "Allowing 10.9.0.0/16 for closed... nothing to do, it is so already\n"},
                {"firewall:deny any -a shop",
                 "Denying any for shop... done, applied to 2 dynos; rules that allow something "
                 "stay: see herokuctl firewall\n"},
                {"firewall:deny 10.1.0.0/16 -a idle",
                 "Denying 10.1.0.0/16 for idle... done, no dyno runs\n"},
                {"firewall:remove 1 -a shop",
                 "Removing rule 1 of shop... done, \"1\" is gone, applied to 2 dynos\n"},
                {"firewall:reset -a shop",
                 "Opening the firewall of shop and removing its rules... done, applied to 2 "
                 "dynos\n"},
                {"firewall:source auto -a shop",
                 "Setting the source address of shop to auto... done, applied to 2 dynos\n"},
                {"trusted-ips:add 203.0.113.0/24 -a shop",
                 "Adding 203.0.113.0/24 to trusted IP ranges on shop... done, applied to 2 dynos; "
                 "all others are shut out\n"},
                {"trusted-ips:remove 0.0.0.0/0 -a shop",
                 "Removing 0.0.0.0/0 from trusted IP ranges on shop... done, applied to 2 dynos; "
                 "everybody may connect\n"},
                {"ps:publish web 8080 -a shop",
                 "Publishing port 8080 of this host for web dynos of shop... done, applied to 2 "
                 "dynos; everybody may connect\n"},
                {"ps:unpublish 8080 -a shop",
                 "Closing port 8080 of this host for shop... done, applied to 2 dynos\n"},
                {"services:add postgres 5432/tcp -a shop",
                 "Opening postgres (5432/tcp) to shop... done, dynos reach it at 172.16.0.1:5432, "
                 "applied to 2 dynos\n"},
                {"services:remove postgres -a shop",
                 "Closing postgres to shop... done, applied to 2 dynos\n"},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_result_ Result r;

                run(&r, cases[i].line);
                assert_int_equal(r.status, 0);
                assert_string_equal(r.out, "");
                assert_string_equal(r.err, cases[i].answer);
        }
}

static void test_network_changes_in_json_and_refused(void **state) {
        _cleanup_result_ Result json, refused, usage;

        (void)state;
        run(&json, "firewall:allow 10.0.0.0/8 -a shop --json");
        assert_int_equal(json.status, 0);
        assert_string_equal(json.err, "");
        assert_non_null(strstr(json.out, "\"changed\": true"));
        assert_non_null(strstr(json.out, "\"source\": null"));
        assert_non_null(strstr(json.out, "\"covered_by\": null"));
        run(&refused, "firewall:allow 10.1.2.3/8 -a shop");
        assert_int_equal(refused.status, DYNOD_EXIT_FAILED);
        assert_string_equal(
                refused.err,
                "Allowing 10.1.2.3/8 for shop... failed\n"
                " !    Write 10.0.0.0/8. Nothing was changed.\n");
        run(&usage, "firewall:allow -a shop");
        assert_int_equal(usage.status, DYNOD_EXIT_USAGE);
}

static void test_deploy_has_a_line_per_step(void **state) {
        _cleanup_result_ Result r;

        (void)state;
        run(&r, "deploy /dev/null -a shop");
        assert_int_equal(r.status, 0);
        blur(r.err);
        assert_string_equal(
                r.err,
                "Importing null... done, 7,960 files, 93.1 MB in N.N s "
                "(SHA256:9c1f0a7b\xe2\x80\xa6)\n"
                "Releasing v15 of shop... done, web and worker changed\n"
                "Starting web.1, worker.1... done, 2 of 2 up in N.N s\n");
}

static void test_no_wait_returns_at_the_release(void **state) {
        _cleanup_result_ Result r;

        (void)state;
        run(&r, "deploy /dev/null -a shop --no-wait");
        assert_int_equal(r.status, 0);
        assert_non_null(strstr(r.err, "Releasing v15 of shop... done, web and worker changed\n"));
        assert_null(strstr(r.err, "Starting"));
}

static void test_a_failed_release_shows_why_and_the_way_back(void **state) {
        _cleanup_result_ Result r;
        char *starting;

        (void)state;
        run(&r, "deploy /dev/null -a sad");
        assert_int_equal(r.status, DYNOD_EXIT_FAILED);
        blur(r.err);
        starting = strstr(r.err, "Starting");
        assert_non_null(starting);
        assert_string_equal(
                starting,
                "Starting web.1, worker.1... failed (R10 after N.N s)\n"
                "2026-11-23T19:26:56.000000+00:00 app[web.1]: one\n"
                "2026-11-23T19:26:56.000000+00:00 app[web.1]: two red?\n"
                " !    web.1 of sad is not up on v15: R10. Go back: herokuctl rollback -a sad\n");
}

static void test_ctrl_c_during_an_import_stops_it(void **state) {
        _cleanup_result_ Result r;

        (void)state;
        run(&r, "deploy /dev/null -a busy");
        assert_int_equal(r.status, DYNOD_EXIT_FAILED);
        assert_string_equal(
                r.err, "Importing null... failed\n !    Stopped. Nothing was imported.\n");
}

static void test_wait_ends_with_the_timeout_status(void **state) {
        _cleanup_result_ Result r;

        (void)state;
        run(&r, "ps:wait -a shop --timeout 2s");
        assert_int_equal(r.status, DYNOD_EXIT_TIMED_OUT);
        assert_string_equal(
                r.err,
                "Waiting for the dynos of shop... failed\n !    web.1 is not up after 2 s.\n");
}

static void test_logs_are_filtered_here(void **state) {
        _cleanup_result_ Result all, one, json;

        (void)state;
        run(&all, "logs -a shop");
        assert_int_equal(all.status, 0);
        assert_string_equal(
                all.out,
                "2026-11-23T19:26:56.000000+00:00 app[web.1]: one\n"
                "2026-11-23T19:26:56.000000+00:00 app[web.1]: two \033[31mred\xff\n"
                "2026-11-23T19:26:56.000000+00:00 heroku[worker.1]: State changed from up to "
                "crashed\n");
        run(&one, "logs -a shop -n 1 --ps web");
        assert_string_equal(
                one.out, "2026-11-23T19:26:56.000000+00:00 app[web.1]: two \033[31mred\xff\n");
        run(&json, "logs -A --json --source heroku");
        assert_string_equal(
                json.out,
                "{\"time\":\"2026-11-23T19:26:56.000000Z\",\"app\":\"shop\",\"source\":\"heroku\","
                "\"procid\":\"worker.1\",\"message\":\"State changed from up to crashed\"}\n");
}

static void test_an_older_daemon_is_named(void **state) {
        _cleanup_result_ Result r;

        (void)state;
        run(&r, "sizes");
        assert_int_equal(r.status, DYNOD_EXIT_FAILED);
        assert_non_null(strstr(r.err, "The running dynod does not know this command."));
}

static void test_the_command_has_its_own_status_for_failures_of_ours(void **state) {
        _cleanup_result_ Result r;

        (void)state;
        run(&r, "run -a shop ls"); /* the peer knows no Run */
        assert_int_equal(r.status, DYNOD_EXIT_RUN_FAILED);
}

/* If herokuctl held a copy of the far end it would wait for ever; then the alarm ends the test. */
static void test_the_end_of_an_attached_command_is_seen(void **state) {
        _cleanup_result_ Result r;

        (void)state;
        (void)alarm(10);
        run(&r, "ps:exec web.1 -a shop ls");
        (void)alarm(0);
        assert_int_equal(r.status, DYNOD_EXIT_RUN_FAILED);
        assert_non_null(strstr(r.err, "web.1 ended without saying how."));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_without_an_app_they_are_listed),
                cmocka_unit_test(test_an_unknown_app_is_an_error_in_json_too),
                cmocka_unit_test(test_config_set_names_keys_not_values),
                cmocka_unit_test(test_scale_answers_with_the_new_state),
                cmocka_unit_test(test_network_changes_answer_with_what_they_did),
                cmocka_unit_test(test_network_changes_in_json_and_refused),
                cmocka_unit_test(test_deploy_has_a_line_per_step),
                cmocka_unit_test(test_no_wait_returns_at_the_release),
                cmocka_unit_test(test_a_failed_release_shows_why_and_the_way_back),
                cmocka_unit_test(test_ctrl_c_during_an_import_stops_it),
                cmocka_unit_test(test_wait_ends_with_the_timeout_status),
                cmocka_unit_test(test_logs_are_filtered_here),
                cmocka_unit_test(test_an_older_daemon_is_named),
                cmocka_unit_test(test_the_command_has_its_own_status_for_failures_of_ours),
                cmocka_unit_test(test_the_end_of_an_attached_command_is_seen),
        };

        (void)setenv("TZ", "UTC", 1);
        (void)unsetenv("HEROKU_APP");
        tzset();
        return cmocka_run_group_tests_name("cli/commands", tests, NULL, NULL);
}
