/* SPDX-License-Identifier: Apache-2.0 */

#include "world.h"

#include "supervisor/store_internal.h"

typedef struct Answer {
        unsigned n;
        bool failed, changed, in_force;
        ManagerError error;
        char text[200];
        uint32_t dynos;
        Policy policy;
} Answer;

static void on_answer(const ManagerError *error, const NetworkInfo *info, void *userdata) {
        Answer *answer = userdata;

        answer->n++;
        answer->failed = error != NULL;
        if (error) {
                answer->error = *error;
                return;
        }
        answer->changed = info->changed;
        answer->in_force = info->in_force;
        answer->dynos = info->dynos;
        answer->policy = *info->policy;
        snprintf(answer->text, sizeof(answer->text), "%s", info->text);
}

/* @a, @b: arguments or NULL */
static void
change(World *w, Answer *answer, const char *app, const char *what, const char *a, const char *b) {
        const char *const arguments[] = {a, b, NULL};
        ManagerClient client = world_client(w);
        NetworkRequest request = {.app = app, .change = what, .arguments = arguments};

        manager_change_network_query(w->manager, &client, &request, on_answer, answer);
        world_run(w);
}

/* A change that root takes. */
static LaunchMessage change_ok(
        World *w, Answer *answer, const char *app, const char *what, const char *a, const char *b) {
        LaunchMessage msg;

        memset(answer, 0, sizeof(*answer));
        change(w, answer, app, what, a, b);
        if (answer->n != 0)
                fail_msg("%s: %s", what, answer->error.message);
        msg = world_expect(w, LAUNCH_POLICY);
        world_reply(w, &msg, LAUNCH_REPLY, 0);
        assert_int_equal(answer->n, 1);
        assert_false(answer->failed);
        return msg;
}

static Policy stored(World *w, const char *app) {
        Policy policy;

        assert_int_equal(
                store_read_policy(
                        w->manager->store, manager_app_by_name(w->manager, app)->row.id, &policy),
                0);
        return policy;
}

static void test_change_is_applied_then_stored_then_answered(void **state) {
        World *w = *state;
        LaunchMessage msg, start;
        Answer answer = {0};

        start = world_app_up(w, "shop");
        assert_int_equal(start.start.policy, 0);
        change(w, &answer, "shop", "allow", "10.0.0.0/8:5432/tcp", NULL);
        msg = world_expect(w, LAUNCH_POLICY);
        assert_int_equal(msg.policy.serial, 2);
        assert_int_equal(msg.policy.app_number, start.start.app_number);
        assert_int_equal(answer.n, 0);
        assert_int_equal(stored(w, "shop").n_rules, 0); /* root has not said yes yet */

        world_reply(w, &msg, LAUNCH_REPLY, 0);
        assert_int_equal(answer.n, 1);
        assert_true(answer.changed && answer.in_force);
        assert_int_equal(answer.dynos, 1);
        assert_string_equal(answer.text, "allow 10.0.0.0/8:5432/tcp");
        assert_int_equal(stored(w, "shop").n_rules, 1);
        WORLD_LOG(w, "app[api]: Network: allow 10.0.0.0/8:5432/tcp by user alice");
}

static void test_what_is_so_already_bothers_nobody(void **state) {
        World *w = *state;
        Answer answer = {0};

        world_make_app(w, "shop");
        change_ok(w, &answer, "shop", "deny", "any", NULL);
        answer = (Answer){0};
        change(w, &answer, "shop", "deny", "any", NULL);
        assert_int_equal(answer.n, 1);
        assert_false(answer.failed || answer.changed);
        world_expect_nothing(w);
}

static void test_refusal_of_root_changes_nothing(void **state) {
        World *w = *state;
        Answer answer = {0};
        LaunchMessage msg;

        world_make_app(w, "shop");
        change(w, &answer, "shop", "publish", "8080", NULL);
        msg = world_expect(w, LAUNCH_POLICY);
        world_reply(w, &msg, LAUNCH_REPLY, -EADDRINUSE);
        assert_true(answer.failed);
        assert_string_equal(answer.error.name, DYNOD_ERROR_IN_USE);
        assert_non_null(strstr(answer.error.message, "Port 8080 is taken on this host"));
        assert_int_equal(stored(w, "shop").n_published, 0);

        answer = (Answer){0};
        change(w, &answer, "shop", "source", "203.0.113.5", NULL);
        msg = world_expect(w, LAUNCH_POLICY);
        world_reply(w, &msg, LAUNCH_REPLY, -EADDRNOTAVAIL);
        assert_true(answer.failed);
        assert_non_null(
                strstr(answer.error.message, "203.0.113.5, its fixed source, is no address"));
        assert_int_equal(stored(w, "shop").source, 0);

        /* and the next one begins where it was */
        msg = change_ok(w, &answer, "shop", "deny", "any", NULL);
        assert_int_equal(msg.policy.n_published, 0);
        assert_int_equal(msg.policy.fixed_source, 0);
}

static void test_port_of_another_app_is_refused_naming_it(void **state) {
        World *w = *state;
        Answer answer = {0};

        world_make_app(w, "blog");
        world_make_app(w, "shop");
        change_ok(w, &answer, "blog", "publish", "web", "8080");
        answer = (Answer){0};
        change(w, &answer, "shop", "publish", "8080", NULL);
        assert_true(answer.failed);
        assert_string_equal(answer.error.name, DYNOD_ERROR_IN_USE);
        assert_non_null(strstr(answer.error.message, "published for blog already"));
        assert_string_equal(answer.error.hint, "herokuctl ps:unpublish 8080 -a blog");
        world_expect_nothing(w);
}

/* Two at once: who comes second is told of the first, and may have it if root refuses that. */
static void test_port_that_is_being_published_is_refused_naming_its_app(void **state) {
        World *w = *state;
        Answer first = {0}, second = {0};
        LaunchMessage msg;

        world_make_app(w, "blog");
        world_make_app(w, "shop");
        change(w, &first, "blog", "publish", "8080", NULL);
        msg = world_expect(w, LAUNCH_POLICY);
        change(w, &second, "shop", "publish", "8080", NULL);
        assert_true(second.failed);
        assert_non_null(strstr(second.error.message, "published for blog already"));
        world_expect_nothing(w);
        world_reply(w, &msg, LAUNCH_REPLY, -EIO);
        assert_true(first.failed);
        change_ok(w, &second, "shop", "publish", "8080", NULL);
}

static void test_changes_of_an_app_come_one_after_the_other(void **state) {
        World *w = *state;
        Answer first = {0}, second = {0};
        LaunchMessage msg;

        world_make_app(w, "shop");
        change(w, &first, "shop", "allow", "10.0.0.0/8", NULL);
        change(w, &second, "shop", "allow", "192.0.2.7", NULL);
        msg = world_expect(w, LAUNCH_POLICY);
        world_expect_nothing(w);
        world_reply(w, &msg, LAUNCH_REPLY, 0);
        assert_int_equal(first.n, 1);
        assert_int_equal(second.n, 0);
        msg = world_expect(w, LAUNCH_POLICY);
        assert_int_equal(msg.policy.serial, 3);
        assert_int_equal(msg.policy.n_rules, 2);
        world_reply(w, &msg, LAUNCH_REPLY, 0);
        assert_int_equal(second.n, 1);
}

static void test_start_names_the_policy_and_waits_while_one_is_under_way(void **state) {
        World *w = *state;
        Answer answer = {0};
        LaunchMessage msg, start;

        world_app_up(w, "shop");
        change(w, &answer, "shop", "deny", "any", NULL);
        msg = world_expect(w, LAUNCH_POLICY);
        world_scale(w, "shop", "worker", 1);
        world_expect_nothing(w);
        world_reply(w, &msg, LAUNCH_REPLY, 0);
        start = world_expect(w, LAUNCH_START);
        assert_int_equal(start.start.policy, 2);
        world_started(w, &start);
}

/* What it said before it died was not stored: what is stored is what holds. */
static void test_next_supervisor_tells_root_before_any_start(void **state) {
        World *w = *state;
        Answer answer = {0};
        LaunchMessage msg, start;

        world_app_up(w, "shop");
        change_ok(w, &answer, "shop", "allow", "10.0.0.0/8", NULL);
        change(w, &answer, "shop", "deny", "any", NULL);
        msg = world_expect(w, LAUNCH_POLICY);
        assert_int_equal(msg.policy.egress_closed, 1);

        world_kill_supervisor(w);
        world_hello(w);
        world_ready(w);
        msg = world_expect(w, LAUNCH_POLICY);
        assert_int_equal(msg.policy.serial, 2);
        assert_int_equal(msg.policy.egress_closed, 0);
        assert_int_equal(msg.policy.n_rules, 1);
        world_expect_nothing(w);
        world_reply(w, &msg, LAUNCH_REPLY, 0);
        start = world_expect(w, LAUNCH_START);
        assert_int_equal(start.start.policy, 2);
}

static void test_first_change_that_was_not_stored_is_taken_back(void **state) {
        World *w = *state;
        Answer answer = {0};
        LaunchMessage msg;

        world_make_app(w, "shop");
        change(w, &answer, "shop", "publish", "8080", NULL);
        msg = world_expect(w, LAUNCH_POLICY);
        assert_int_equal(msg.policy.n_published, 1);
        world_kill_supervisor(w);
        world_hello(w);
        world_ready(w);
        msg = world_expect(w, LAUNCH_POLICY);
        assert_int_equal(msg.policy.serial, 0);
        assert_int_equal(msg.policy.n_published, 0);
}

/* Its running dynos, which root may have lost sight of, need it without any START. */
static void test_next_supervisor_tells_the_policy_of_an_idle_app(void **state) {
        World *w = *state;
        Answer answer = {0};
        LaunchMessage msg;

        world_make_app(w, "blog");
        world_make_app(w, "shop");
        change_ok(w, &answer, "shop", "deny", "any", NULL);
        world_kill_supervisor(w);
        world_hello(w);
        world_ready(w);
        msg = world_expect(w, LAUNCH_POLICY);
        assert_int_equal(msg.policy.egress_closed, 1);
        world_expect_nothing(w); /* blog never had one */
}

static void restart_supervisor(World *w) {
        world_kill_supervisor(w);
        world_hello(w);
        world_ready(w);
}

/* That is not its fault: no crash, and no wait once root takes the policy. */
static void test_dynos_wait_for_a_policy_that_root_cannot_take(void **state) {
        World *w = *state;
        Answer answer = {0};
        LaunchMessage msg, start;

        world_app_up(w, "shop");
        change_ok(w, &answer, "shop", "deny", "any", NULL);
        restart_supervisor(w);
        for (unsigned i = 0; i < 5; i++) {
                msg = world_expect(w, LAUNCH_POLICY);
                world_reply(w, &msg, LAUNCH_REPLY, -EIO);
                assert_int_equal(world_dyno(w, "web.1")->state, DYNO_STARTING);
                assert_int_equal(world_dyno(w, "web.1")->crashes, 1); /* when root lost it */
                assert_non_null(
                        strstr(world_dyno(w, "web.1")->reason, "network policy cannot be applied"));
                world_advance(w, 9 * USEC_PER_SEC);
                world_expect_nothing(w); /* nobody is kept busy */
                world_advance(w, 1 * USEC_PER_SEC);
        }
        msg = world_expect(w, LAUNCH_POLICY);
        world_reply(w, &msg, LAUNCH_REPLY, 0);
        start = world_expect(w, LAUNCH_START);
        assert_int_equal(start.start.policy, 2);
        world_started(w, &start);
        world_advance(w, 11 * USEC_PER_SEC);
        world_expect_nothing(w);
}

/* What is so in the store and not in force is put in force. */
static void test_any_change_is_a_way_out(void **state) {
        World *w = *state;
        Answer answer = {0};
        LaunchMessage msg, start;

        world_app_up(w, "shop");
        change_ok(w, &answer, "shop", "deny", "any", NULL);
        restart_supervisor(w);
        msg = world_expect(w, LAUNCH_POLICY);
        world_reply(w, &msg, LAUNCH_REPLY, -EIO);
        answer = (Answer){0};
        change(w, &answer, "shop", "deny", "10.0.0.0/8", NULL);
        msg = world_expect(w, LAUNCH_POLICY);
        world_reply(w, &msg, LAUNCH_REPLY, -EIO);
        assert_true(answer.failed);

        msg = change_ok(w, &answer, "shop", "deny", "any", NULL);
        assert_int_equal(msg.policy.serial, 3);
        assert_int_equal(msg.policy.asked, 0);
        assert_true(answer.changed && answer.in_force);
        start = world_expect(w, LAUNCH_START);
        assert_int_equal(start.start.policy, 3);
}

/* Only what is new has to be there now; after a reboot, all the rest may come later. */
static void test_root_judges_only_what_is_asked_for(void **state) {
        LaunchReply reply = {.header = {.type = LAUNCH_REPLY}, .layer = _LAYER_ANY_MAX};
        World *w = *state;
        Answer answer = {0};
        LaunchMessage msg, start;

        world_app_up(w, "shop");
        assert_int_equal(change_ok(w, &answer, "shop", "deny", "any", NULL).policy.asked, 0);
        assert_int_equal(change_ok(w, &answer, "shop", "publish", "8080", NULL).policy.asked, 1);
        assert_int_equal(
                change_ok(w, &answer, "shop", "source", "203.0.113.5", NULL).policy.asked, 1);
        assert_int_equal(change_ok(w, &answer, "shop", "trust", "192.0.2.7", NULL).policy.asked, 0);
        restart_supervisor(w);
        msg = world_expect(w, LAUNCH_POLICY);
        assert_int_equal(msg.policy.asked, 0);
        /* Somebody listens there, too: a warning. */
        reply.header.seq = msg.header.seq;
        reply.port = 8080;
        world_send(w, &reply, sizeof(reply), NULL, 0);
        start = world_expect(w, LAUNCH_START);
        world_started(w, &start);
}

static int keep_problem(const NetworkInfo *info, void *userdata) {
        assert_true(info->in_force);
        (void)snprintf(userdata, 200, "%s", info->problem);
        return 0;
}

static void say_source(World *w, uint32_t gone, char problem[200]) {
        LaunchSource source = {
                .header = {.type = LAUNCH_SOURCE},
                .app_number = (uint32_t)manager_app_by_name(w->manager, "shop")->row.id,
                .gone = gone,
        };
        ManagerError error = {0};

        world_send(w, &source, sizeof(source), NULL, 0);
        assert_int_equal(manager_network(w->manager, "shop", keep_problem, problem, &error), 0);
}

static void test_source_that_is_gone_is_said_and_holds_nothing_up(void **state) {
        World *w = *state;
        Answer answer = {0};
        LaunchMessage start;
        char problem[200];

        world_app_up(w, "shop");
        change_ok(w, &answer, "shop", "source", "203.0.113.5", NULL);
        say_source(w, 1, problem);
        assert_string_equal(
                problem,
                "203.0.113.5, its fixed source, is no address of this host: its dynos reach "
                "nothing until it is");
        world_scale(w, "shop", "worker", 1);
        start = world_expect(w, LAUNCH_START);
        world_started(w, &start);
        change_ok(w, &answer, "shop", "deny", "any", NULL);
        say_source(w, 0, problem);
        assert_string_equal(problem, "");
        say_source(w, 1, problem);
        change_ok(w, &answer, "shop", "source", "auto", NULL);
        say_source(w, 1, problem); /* late: nobody cares any more */
        assert_string_equal(problem, "");
}

static void test_stale_start_is_sent_again_after_the_policy(void **state) {
        World *w = *state;
        Answer answer = {0};
        LaunchMessage msg, start;

        world_app_up(w, "shop");
        change_ok(w, &answer, "shop", "deny", "any", NULL);
        world_scale(w, "shop", "worker", 1);
        for (unsigned i = 0; i < 3; i++) {
                start = world_expect(w, LAUNCH_START);
                world_start_fails(w, &start, -ESTALE, LAYER_NETWORK, "another policy");
                msg = world_expect(w, LAUNCH_POLICY);
                assert_int_equal(msg.policy.serial, 2);
                world_expect_nothing(w);
                world_reply(w, &msg, LAUNCH_REPLY, 0);
        }
        /* not for ever */
        start = world_expect(w, LAUNCH_START);
        world_start_fails(w, &start, -ESTALE, LAYER_NETWORK, "another policy");
        assert_string_equal(world_dyno(w, "worker.1")->reason, "network: another policy");
}

static void test_full_disk_takes_the_change_back(void **state) {
        World *w = *state;
        Answer answer = {0};
        LaunchMessage msg;

        world_make_app(w, "shop");
        change_ok(w, &answer, "shop", "allow", "10.0.0.0/8", NULL);
        answer = (Answer){0};
        change(w, &answer, "shop", "allow", "192.0.2.7", NULL);
        msg = world_expect(w, LAUNCH_POLICY);
        assert_int_equal(msg.policy.n_rules, 2);
        assert_int_equal(
                sqlite3_exec(w->manager->store->db, "PRAGMA query_only = 1", NULL, NULL, NULL),
                SQLITE_OK);
        world_reply(w, &msg, LAUNCH_REPLY, 0);
        assert_true(answer.failed);
        assert_non_null(strstr(answer.error.message, "Nothing was changed"));
        msg = world_expect(w, LAUNCH_POLICY);
        assert_int_equal(msg.policy.n_rules, 1);
        world_reply(w, &msg, LAUNCH_REPLY, 0);
        assert_true(network_is_in_force(manager_app_by_name(w->manager, "shop")));
}

static void test_destroyed_app_is_forgotten_by_root(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ManagerError error = {0};
        Answer answer = {0}, late = {0};
        LaunchMessage msg;
        uint32_t number, job;

        world_make_app(w, "shop");
        number = (uint32_t)manager_app_by_name(w->manager, "shop")->row.id;
        change_ok(w, &answer, "shop", "allow", "10.0.0.0/8", NULL);
        change_ok(w, &answer, "shop", "publish", "8080", NULL);
        change(w, &late, "shop", "allow", "192.0.2.7", NULL);
        (void)world_expect(w, LAUNCH_POLICY);
        assert_int_equal(manager_destroy_app(w->manager, &client, "shop", &job, &error), 0);
        msg = world_expect(w, LAUNCH_POLICY);
        assert_int_equal(msg.policy.serial, 0);
        assert_int_equal(msg.policy.app_number, number);
        assert_int_equal(w->done_result.rules, 1);
        assert_int_equal(w->done_result.published, 1);
        assert_true(late.failed);
        assert_string_equal(late.error.name, DYNOD_ERROR_NO_SUCH_APP);

        /* the port is free again */
        world_make_app(w, "blog");
        change_ok(w, &answer, "blog", "publish", "8080", NULL);
}

static void test_rename_keeps_the_policy(void **state) {
        World *w = *state;
        ManagerError error = {0};
        Answer answer = {0};

        world_make_app(w, "shop");
        change_ok(w, &answer, "shop", "deny", "any", NULL);
        assert_int_equal(manager_rename_app(w->manager, "shop", "store", &error), 0);
        assert_true(stored(w, "store").closed);
        answer = (Answer){0};
        change(w, &answer, "store", "deny", "any", NULL);
        assert_false(answer.failed || answer.changed);
}

static void test_changes_that_wait_are_bounded(void **state) {
        World *w = *state;
        Answer answer = {0};
        char target[32];

        world_make_app(w, "shop");
        for (unsigned i = 0; i < 64; i++) {
                snprintf(target, sizeof(target), "10.0.%u.0/24", i);
                change(w, &answer, "shop", "allow", target, NULL);
        }
        assert_int_equal(answer.n, 0);
        change(w, &answer, "shop", "deny", "any", NULL);
        assert_int_equal(answer.n, 1);
        assert_string_equal(answer.error.name, DYNOD_ERROR_LIMIT);
}

static void test_cpu_is_measured_between_samples(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop");
        char path[200], address[DYNO_ADDRESS_SIZE];
        Dyno *dyno = world_dyno(w, "web.1");
        DynoInfo info;
        FILE *f;

        dyno_info(dyno, &info, address);
        assert_true(info.cpu_percent < 0); /* not known yet */
        snprintf(path, sizeof(path), "cgroup/%s", start.start.id);
        world_mkdir(w, path);
        snprintf(path, sizeof(path), "%s/cgroup/%s/cpu.stat", w->dir, start.start.id);
        f = fopen(path, "we");
        assert_non_null(f);
        fputs("usage_usec 2500000\nuser_usec 1\n", f);
        fclose(f);
        world_advance(w, 10 * USEC_PER_SEC);
        dyno_info(dyno, &info, address);
        assert_true(info.cpu_percent > 24.9 && info.cpu_percent < 25.1);

        /* two samples later the start is no longer what it is measured from */
        world_advance(w, 20 * USEC_PER_SEC);
        world_advance(w, 20 * USEC_PER_SEC);
        world_advance(w, 5 * USEC_PER_SEC);
        dyno_info(dyno, &info, address);
        assert_true(info.cpu_percent >= 0 && info.cpu_percent < 0.1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WORLD_TEST(test_change_is_applied_then_stored_then_answered),
                WORLD_TEST(test_what_is_so_already_bothers_nobody),
                WORLD_TEST(test_refusal_of_root_changes_nothing),
                WORLD_TEST(test_port_of_another_app_is_refused_naming_it),
                WORLD_TEST(test_port_that_is_being_published_is_refused_naming_its_app),
                WORLD_TEST(test_changes_of_an_app_come_one_after_the_other),
                WORLD_TEST(test_start_names_the_policy_and_waits_while_one_is_under_way),
                WORLD_TEST(test_next_supervisor_tells_root_before_any_start),
                WORLD_TEST(test_first_change_that_was_not_stored_is_taken_back),
                WORLD_TEST(test_next_supervisor_tells_the_policy_of_an_idle_app),
                WORLD_TEST(test_dynos_wait_for_a_policy_that_root_cannot_take),
                WORLD_TEST(test_any_change_is_a_way_out),
                WORLD_TEST(test_root_judges_only_what_is_asked_for),
                WORLD_TEST(test_source_that_is_gone_is_said_and_holds_nothing_up),
                WORLD_TEST(test_stale_start_is_sent_again_after_the_policy),
                WORLD_TEST(test_full_disk_takes_the_change_back),
                WORLD_TEST(test_destroyed_app_is_forgotten_by_root),
                WORLD_TEST(test_rename_keeps_the_policy),
                WORLD_TEST(test_changes_that_wait_are_bounded),
                WORLD_TEST(test_cpu_is_measured_between_samples),
        };

        return cmocka_run_group_tests_name("supervisor/network", tests, NULL, NULL);
}
