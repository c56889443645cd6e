/* SPDX-License-Identifier: Apache-2.0 */

#include "world.h"

static const char *const web_only[] = {"web", "serve", NULL};

static void assert_refused(int r, const ManagerError *error, const char *name, const char *text) {
        assert_int_equal(r, MANAGER_E_REFUSED);
        assert_string_equal(error->name, name);
        if (!strstr(error->message, text))
                fail_msg("\"%s\" is not in \"%s\"", text, error->message);
}

static void assert_job_failed(const World *w, const char *name, const char *text) {
        assert_true(w->done_failed);
        assert_string_equal(w->done_error.name, name);
        if (!strstr(w->done_error.message, text))
                fail_msg("\"%s\" is not in \"%s\"", text, w->done_error.message);
}

/* ---- stacks ---- */

static void test_importing_a_name_again_adds_a_version(void **state) {
        World *w = *state;

        world_import_stack(w, "debian-12", 0x12);
        assert_int_equal(w->done_stack_version, 1);
        assert_int_equal(w->done_result.files, 50);
        world_import_stack(w, "debian-12", 0x13);
        assert_int_equal(w->done_stack_version, 2);
        assert_false(w->done_result.already);
}

static void test_identical_stack_is_already_here(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ImportRequest request = world_archive(w, "debian-12");
        ManagerError error = {0};
        uint32_t job;

        world_import_stack(w, "debian-12", 0x12);
        assert_int_equal(manager_import_stack(w->manager, &client, &request, &job, &error), 0);
        world_fetch(w, 0x12);
        world_extract(w, -EEXIST, NULL);
        world_commit(w);
        assert_false(w->done_failed);
        assert_true(w->done_result.already);
        assert_int_equal(w->done_stack_version, 1);
}

static void test_wrong_checksum_imports_nothing(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ImportRequest request = world_archive(w, "debian-12");
        ManagerError error = {0};
        LaunchMessage fetch, abandon;
        uint32_t job;

        request.checksum = "SHA256:"
                           "9c1f9c1f9c1f9c1f9c1f9c1f9c1f9c1f9c1f9c1f9c1f9c1f9c1f9c1f9c1f9c1f";
        request.file = "root.tar.zst";
        assert_int_equal(manager_import_stack(w->manager, &client, &request, &job, &error), 0);
        fetch = world_fetch(w, 0x77);
        abandon = world_expect(w, LAUNCH_ABANDON);
        assert_int_equal(abandon.import.import, fetch.fetch.import);
        assert_job_failed(w, DYNOD_ERROR_BAD_CHECKSUM, "root.tar.zst has SHA256:7777");
        assert_non_null(strstr(w->done_error.message, "not SHA256:9c1f"));
        assert_non_null(strstr(w->done_error.message, "Nothing was imported."));
        assert_null(w->manager->stacks);
        world_expect_nothing(w);
}

static void test_refused_archive_names_the_entry(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ImportRequest request = world_archive(w, "debian-12");
        UnpackMessage msg = {.type = UNPACK_REFUSED, .reason = UNPACK_NAME_DOTDOT};
        ManagerError error = {0};
        LaunchMessage extract;
        uint32_t job;

        field_set(msg.text, sizeof(msg.text), "../../etc/passwd");
        assert_int_equal(manager_import_stack(w->manager, &client, &request, &job, &error), 0);
        world_fetch(w, 0x12);
        extract = world_expect(w, LAUNCH_EXTRACT);
        assert_int_equal(channel_send(w->fds.fd[0], &msg, sizeof(msg), NULL, 0), 0);
        world_extracted(w, &extract, -EBADMSG, 0);
        assert_job_failed(
                w, DYNOD_ERROR_BAD_ARCHIVE, "\"../../etc/passwd\". Nothing was imported.");
        (void)world_expect(w, LAUNCH_ABANDON);
        assert_null(w->manager->stacks);
}

static void test_full_disk_is_no_room(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ImportRequest request = world_archive(w, "debian-12");
        ManagerError error = {0};
        LaunchMessage fetch;
        uint32_t job;

        assert_int_equal(manager_import_stack(w->manager, &client, &request, &job, &error), 0);
        fetch = world_expect(w, LAUNCH_FETCH);
        world_reply(w, &fetch, LAUNCH_REPLY, -ENOSPC);
        assert_job_failed(w, DYNOD_ERROR_NO_ROOM, "No room in ");
}

static void test_client_that_leaves_cancels_its_import(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ImportRequest request = world_archive(w, "debian-12");
        ManagerError error = {0};
        LaunchMessage fetch, abandon;
        uint32_t job;

        assert_int_equal(manager_import_stack(w->manager, &client, &request, &job, &error), 0);
        fetch = world_expect(w, LAUNCH_FETCH);
        manager_client_gone(w->manager, w);
        abandon = world_expect(w, LAUNCH_ABANDON);
        assert_int_equal(abandon.import.import, fetch.fetch.import);
        assert_int_equal(w->done_job, 0);
        assert_null(w->manager->jobs);
}

static void test_client_that_leaves_later_does_not(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ImportRequest request = world_archive(w, "debian-12");
        ManagerError error = {0};
        uint32_t job;

        assert_int_equal(manager_import_stack(w->manager, &client, &request, &job, &error), 0);
        world_fetch(w, 0x12);
        manager_client_gone(w->manager, w);
        world_extract(w, 0, NULL);
        world_commit(w);
        assert_int_equal(w->done_job, 0);
        assert_non_null(w->manager->stacks);
}

static void test_answer_of_another_type_answers_nothing(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ImportRequest request = world_archive(w, "debian-12");
        ManagerError error = {0};
        LaunchMessage commit;
        uint32_t job;

        assert_int_equal(manager_import_stack(w->manager, &client, &request, &job, &error), 0);
        world_fetch(w, 0x12);
        world_extract(w, 0, NULL);
        commit = world_expect(w, LAUNCH_COMMIT);
        world_extracted(w, &commit, 0, 0x12);
        assert_null(w->manager->stacks);
        world_reply(w, &commit, LAUNCH_REPLY, 0);
        assert_non_null(w->manager->stacks);
}

static void test_two_imports_of_one_slug_both_succeed(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ImportRequest a = world_archive(w, "shop"), b = world_archive(w, "blog");
        ManagerError error = {0};
        LaunchMessage commit_a, commit_b;
        uint32_t job_a, job_b;

        world_make_app(w, "shop");
        world_make_app(w, "blog");
        assert_int_equal(manager_deploy(w->manager, &client, &a, &job_a, &error), 0);
        assert_int_equal(manager_deploy(w->manager, &client, &b, &job_b, &error), 0);
        world_fetch(w, 0x51);
        world_fetch(w, 0x51);
        world_extract(w, 0, web_only);
        world_extract(w, 0, web_only);
        commit_a = world_expect(w, LAUNCH_COMMIT);
        commit_b = world_expect(w, LAUNCH_COMMIT);
        world_reply(w, &commit_a, LAUNCH_REPLY, 0);
        world_reply(w, &commit_b, LAUNCH_REPLY, 0);
        assert_int_equal(manager_app_by_name(w->manager, "shop")->release->number, 1);
        assert_int_equal(manager_app_by_name(w->manager, "blog")->release->number, 1);
}

static void test_stack_in_use_is_not_removed(void **state) {
        World *w = *state;
        ManagerError error = {0};
        LaunchMessage remove;
        uint32_t n = 0;
        int r;

        (void)world_app_up(w, "shop");
        r = manager_remove_stack(w->manager, "debian-12", &n, &error);
        assert_refused(
                r, &error, DYNOD_ERROR_IN_USE, "debian-12 is used by shop. Nothing was removed.");

        world_import_stack(w, "alpine", 0x77);
        assert_int_equal(manager_remove_stack(w->manager, "alpine@1", &n, &error), 0);
        assert_int_equal(n, 1);
        remove = world_expect(w, LAUNCH_REMOVE);
        assert_int_equal(remove.object.digest[0], 0x77);
        r = manager_remove_stack(w->manager, "debain-12", &n, &error);
        assert_refused(r, &error, DYNOD_ERROR_NO_SUCH_STACK, "Did you mean debian-12?");
}

/* ---- apps ---- */

static void test_app_needs_a_stack_and_a_good_name(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ManagerError error = {0};
        int r;

        r = manager_create_app(w->manager, &client, "shop", "", &error);
        assert_refused(r, &error, DYNOD_ERROR_NO_STACK, "No stack was imported yet");
        assert_non_null(strstr(error.hint, "stacks:import"));
        world_make_app(w, "shop");
        r = manager_create_app(w->manager, &client, "shop", "", &error);
        assert_refused(r, &error, DYNOD_ERROR_EXISTS, "already");
        r = manager_create_app(w->manager, &client, "Shop", "", &error);
        assert_refused(r, &error, DYNOD_ERROR_INVALID_NAME, "3 to 30");
        r = manager_create_app(
                w->manager, &client, "a-name-of-more-than-thirty-characters", "", &error);
        assert_refused(r, &error, DYNOD_ERROR_INVALID_NAME, "3 to 30");
}

static void test_wrong_app_name_suggests_the_nearest(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ManagerError error = {0};
        uint32_t job;
        int r;

        world_make_app(w, "shop");
        r = manager_restart_dynos(w->manager, &client, "shpo", "", &job, &error);
        assert_refused(r, &error, DYNOD_ERROR_NO_SUCH_APP, "Did you mean shop?");
        r = manager_restart_dynos(w->manager, &client, "shop", "", &job, &error);
        assert_refused(r, &error, DYNOD_ERROR_NO_RELEASE, "Nothing was deployed to shop yet.");
}

static void test_destroy_stops_dynos_and_clears_the_store(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop"), remove;
        ManagerClient client = world_client(w);
        ManagerError error = {0};
        uint32_t job;

        assert_int_equal(manager_destroy_app(w->manager, &client, "shop", &job, &error), 0);
        (void)world_expect(w, LAUNCH_SIGNAL);
        assert_int_not_equal(w->done_job, job);
        world_exited(w, start.start.id, 143, 0);
        assert_int_equal(w->done_job, job);
        assert_false(w->done_failed);
        assert_int_equal(w->done_result.total, 1);
        assert_int_equal(w->done_result.releases, 1);
        assert_int_equal(w->done_result.slugs, 1);
        remove = world_expect(w, LAUNCH_REMOVE);
        assert_int_equal(remove.object.kind, OBJECT_SLUG);
        assert_null(w->manager->apps);
        assert_null(w->manager->dynos);
        world_make_app(w, "shop"); /* the name is free */
}

/* Its release may be gone: the slug is not, and the next sweep finds it. */
static void test_slug_that_a_dyno_runs_is_not_swept(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop"), other = world_app_up(w, "other");
        ManagerClient client = world_client(w);
        ManagerError error = {0};
        uint32_t job;

        assert_int_equal(manager_destroy_app(w->manager, &client, "other", &job, &error), 0);
        (void)world_expect(w, LAUNCH_SIGNAL);
        /* As if shop's releases had gone while its dyno runs on. */
        assert_int_equal(store_remove_app(w->manager->store, w->manager->apps->next->row.id), 0);
        world_exited(w, other.start.id, 143, 0);
        assert_int_equal(w->done_job, job);
        assert_int_equal(w->done_result.slugs, 0);
        world_expect_nothing(w);
        assert_string_equal(world_dyno(w, "web.1")->id, start.start.id);
}

/* ---- deploy, releases ---- */

static void test_slug_without_types_is_refused(void **state) {
        World *w = *state;
        uint32_t job;

        world_make_app(w, "shop");
        job = world_deploy(w, "shop", 0x51, NULL);
        assert_int_equal(w->done_job, job);
        assert_job_failed(w, DYNOD_ERROR_NO_PROCESS_TYPES, "Nothing was changed.");
        assert_null(manager_app_by_name(w->manager, "shop")->release);
}

static void test_process_option_stands_in_for_a_procfile(void **state) {
        static const char *const processes[] = {"web", "python3 app.py", NULL};
        World *w = *state;
        ManagerClient client = world_client(w);
        ImportRequest request = world_archive(w, "shop");
        ManagerError error = {0};
        LaunchMessage start;
        uint32_t job;

        world_make_app(w, "shop");
        request.processes = processes;
        assert_int_equal(manager_deploy(w->manager, &client, &request, &job, &error), 0);
        world_fetch(w, 0x51);
        world_extract(w, 0, NULL);
        world_commit(w);
        start = world_expect(w, LAUNCH_START);
        assert_string_equal(start.start.type, "web");
        assert_string_equal(world_dyno(w, "web.1")->command, "python3 app.py");
}

static void test_broken_procfile_names_the_line(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ImportRequest request = world_archive(w, "shop");
        UnpackMessage msg = {.type = UNPACK_REFUSED, .reason = UNPACK_PROCFILE, .line = 3};
        ManagerError error = {0};
        LaunchMessage extract;
        uint32_t job;

        world_make_app(w, "shop");
        field_set(msg.text, sizeof(msg.text), "web gunicorn");
        assert_int_equal(manager_deploy(w->manager, &client, &request, &job, &error), 0);
        world_fetch(w, 0x51);
        extract = world_expect(w, LAUNCH_EXTRACT);
        assert_int_equal(channel_send(w->fds.fd[0], &msg, sizeof(msg), NULL, 0), 0);
        world_extracted(w, &extract, -EBADMSG, 0);
        assert_job_failed(
                w,
                DYNOD_ERROR_BAD_PROCFILE,
                "slug.tgz line 3 of Procfile: \"web gunicorn\" has no colon.");
}

static void test_report_that_is_no_report_fails_the_import(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ImportRequest request = world_archive(w, "shop");
        UnpackMessage msg = {.type = UNPACK_PROCESS, .process = "we b", .text = "x"};
        ManagerError error = {0};
        LaunchMessage extract;
        uint32_t job;

        world_make_app(w, "shop");
        assert_int_equal(manager_deploy(w->manager, &client, &request, &job, &error), 0);
        world_fetch(w, 0x51);
        extract = world_expect(w, LAUNCH_EXTRACT);
        assert_int_equal(channel_send(w->fds.fd[0], &msg, sizeof(msg), NULL, 0), 0);
        world_extracted(w, &extract, 0, 0);
        assert_true(w->done_failed);
        assert_null(manager_app_by_name(w->manager, "shop")->release);
}

static int first_value(const char *name, const char *value, void *userdata) {
        snprintf(userdata, 64, "%s=%s", name, value);
        return 0;
}

static uint32_t set_config(World *w, const char *name, const char *value) {
        const char *const set[] = {name, value, NULL};
        ManagerClient client = world_client(w);
        ConfigChange change = {.set = set};
        ManagerError error = {0};
        uint32_t job;

        if (manager_change_config(w->manager, &client, "shop", &change, &job, &error) != 0)
                fail_msg("%s", error.message);
        world_run(w);
        return job;
}

static void test_config_change_is_a_release_and_restarts(void **state) {
        World *w = *state;
        LaunchMessage old = world_app_up(w, "shop"), new;
        char text[64] = "";
        ManagerError error = {0};
        uint32_t job;

        job = set_config(w, "KEY", "secret");
        (void)world_expect(w, LAUNCH_SIGNAL);
        new = world_expect(w, LAUNCH_START);
        assert_int_equal(new.start.release, 2);
        assert_string_not_equal(new.start.id, old.start.id);
        world_started(w, &new);
        assert_int_equal(w->done_job, job);
        assert_int_equal(w->done_result.release, 2);
        assert_int_equal(manager_get_config(w->manager, "shop", first_value, text, &error), 0);
        assert_string_equal(text, "KEY=secret");
        world_read_log(w);
        assert_null(strstr(w->log, "secret"));
        WORLD_LOG(
                w,
                "app[api]: Set KEY config vars by user alice\n",
                "app[api]: Release v2 created by user alice\n",
                "heroku[web.1]: Restarting\n");

        /* The same value again changes nothing. */
        (void)set_config(w, "KEY", "secret");
        assert_int_equal(w->done_result.release, 0);
        world_expect_nothing(w);
}

static void test_bad_config_is_refused(void **state) {
        static const char *const dash[] = {"MY-KEY", "x", NULL}, *const ours[] = {
                                                                         "HEROKU_X", "x", NULL};
        static char large[APP_CONFIG_MAX + 10];
        const char *const much[] = {"KEY", large, NULL};
        World *w = *state;
        ManagerClient client = world_client(w);
        ConfigChange change = {.set = dash};
        ManagerError error = {0};
        uint32_t job;
        int r;

        world_make_app(w, "shop");
        r = manager_change_config(w->manager, &client, "shop", &change, &job, &error);
        assert_refused(r, &error, DYNOD_ERROR_INVALID_NAME, "\"MY-KEY\"");
        change.set = ours;
        r = manager_change_config(w->manager, &client, "shop", &change, &job, &error);
        assert_refused(r, &error, DYNOD_ERROR_INVALID_NAME, "HEROKU_");
        memset(large, 'x', sizeof(large) - 1);
        change.set = much;
        r = manager_change_config(w->manager, &client, "shop", &change, &job, &error);
        assert_refused(r, &error, DYNOD_ERROR_LIMIT, "65536");
        assert_null(manager_app_by_name(w->manager, "shop")->release);
        assert_null(w->manager->jobs);
}

static void test_rollback_restores_slug_and_config(void **state) {
        static const char *const other[] = {"web", "serve2", NULL};
        World *w = *state;
        ManagerClient client = world_client(w);
        ManagerError error = {0};
        LaunchMessage start;
        uint32_t job;
        App *app;

        (void)world_app_up(w, "shop"); /* v1 */
        (void)set_config(w, "REDIS_URL", "redis:");
        (void)world_expect(w, LAUNCH_SIGNAL);
        start = world_expect(w, LAUNCH_START); /* v2 */
        world_started(w, &start);
        (void)world_deploy(w, "shop", 0x52, other); /* v3 */
        (void)world_expect(w, LAUNCH_SIGNAL);
        start = world_expect(w, LAUNCH_START);
        assert_int_equal(start.start.slug[0], 0x52);
        world_started(w, &start);

        assert_int_equal(manager_rollback(w->manager, &client, "shop", 1, &job, &error), 0);
        world_run(w);
        (void)world_expect(w, LAUNCH_SIGNAL);
        start = world_expect(w, LAUNCH_START);
        assert_int_equal(start.start.slug[0], 0x51);
        assert_int_equal(start.start.release, 4);
        world_started(w, &start);
        assert_int_equal(w->done_job, job);
        assert_int_equal(w->done_result.release, 4);
        assert_int_equal(w->done_result.rollback_to, 1);
        app = manager_app_by_name(w->manager, "shop");
        assert_int_equal(app->release->config.n, 0);
        assert_string_equal(pairs_get(&app->release->processes, "web"), "serve");
        WORLD_LOG(w, "app[api]: Rollback to v1 by user alice\n");

        assert_refused(
                manager_rollback(w->manager, &client, "shop", 99, &job, &error),
                &error,
                DYNOD_ERROR_NO_SUCH_RELEASE,
                "No release v99 of shop.");
        assert_refused(
                manager_rollback(w->manager, &client, "shop", 4, &job, &error),
                &error,
                DYNOD_ERROR_INVALID_ARGUMENT,
                "current release");
}

static int count_releases(const ReleaseInfo *info, void *userdata) {
        ++*(unsigned *)userdata;
        return 0;
}

static void test_releases_outlive_the_supervisor(void **state) {
        World *w = *state;
        ManagerError error = {0};
        LaunchMessage start;
        unsigned n = 0;

        (void)world_app_up(w, "shop");
        (void)set_config(w, "A", "1");
        (void)world_expect(w, LAUNCH_SIGNAL);
        start = world_expect(w, LAUNCH_START);
        world_started(w, &start);
        world_kill_supervisor(w);
        world_hello(w);
        assert_int_equal(manager_list_releases(w->manager, "shop", count_releases, &n, &error), 0);
        assert_int_equal(n, 2);
        assert_int_equal(manager_app_by_name(w->manager, "shop")->release->number, 2);
        assert_int_equal(app_quantity(manager_app_by_name(w->manager, "shop"), "web"), 1);
}

/* ---- formation ---- */

static int
try_scale(World *w, const char *type, int quantity, const char *size, ManagerError *error) {
        ManagerClient client = world_client(w);
        ScaleChange change = {.type = type, .quantity = quantity, .size = size};
        ScaleRequest request = {.app = "shop", .changes = &change, .n_changes = 1};
        uint32_t job;

        return manager_scale(w->manager, &client, &request, &job, error);
}

static void test_bad_scale_is_refused_with_reasons(void **state) {
        World *w = *state;
        ManagerError error = {0};

        (void)world_app_up(w, "shop");
        assert_refused(
                try_scale(w, "wbe", 2, "", &error),
                &error,
                DYNOD_ERROR_NO_SUCH_TYPE,
                "No process type \"wbe\" in release v1 of shop. Did you mean web? It has: web, "
                "worker.");
        assert_refused(try_scale(w, "web", 101, "", &error), &error, DYNOD_ERROR_LIMIT, "0 to 100");
        assert_refused(
                try_scale(w, "web", 1, "standard-3x", &error),
                &error,
                DYNOD_ERROR_NO_SUCH_SIZE,
                "Did you mean Standard-");
        assert_refused(
                try_scale(w, "web", 10, "", &error),
                &error,
                DYNOD_ERROR_NO_MEMORY,
                "4608 MB more, 512 of 4096 MB are promised already. Nothing was changed.");
        assert_int_equal(app_quantity(manager_app_by_name(w->manager, "shop"), "web"), 1);
        world_expect_nothing(w);
}

static void test_another_size_replaces_the_dynos(void **state) {
        World *w = *state;
        ManagerError error = {0};
        LaunchMessage start;

        (void)world_app_up(w, "shop");
        assert_int_equal(try_scale(w, "web", 1, "STANDARD-2X", &error), 0);
        (void)world_expect(w, LAUNCH_SIGNAL);
        start = world_expect(w, LAUNCH_START);
        assert_string_equal(start.start.size, "Standard-2X");
        assert_int_equal(start.start.memory_quota, 1 << 30);
}

static void test_wait_ends_when_all_is_up_or_crashed_twice_or_late(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        LaunchMessage start = world_app_up(w, "shop");
        ManagerError error = {0};
        uint32_t job;

        assert_int_equal(
                manager_wait_dynos(w->manager, &client, "shop", USEC_PER_SEC, &job, &error), 0);
        assert_int_not_equal(w->done_job, job); /* never from within the call */
        world_run(w);
        assert_int_equal(w->done_job, job);
        assert_false(w->done_failed);

        world_exited(w, start.start.id, 1, 0);
        assert_int_equal(
                manager_wait_dynos(w->manager, &client, "shop", USEC_PER_SEC, &job, &error), 0);
        world_advance(w, 0);
        start = world_expect(w, LAUNCH_START);
        world_started(w, &start);
        world_advance(w, USEC_PER_SEC);
        assert_int_equal(w->done_job, job);
        assert_job_failed(w, DYNOD_ERROR_TIMED_OUT, "0 of 1 dynos of shop are up");

        assert_int_equal(
                manager_wait_dynos(w->manager, &client, "shop", USEC_PER_SEC, &job, &error), 0);
        world_exited(w, start.start.id, 1, 0);
        assert_int_equal(w->done_job, job);
        assert_job_failed(w, DYNOD_ERROR_NOT_UP, "web.1 of shop is not up on v1: exit 1.");
}

static void test_jobs_of_one_user_are_bounded(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ManagerError error = {0};
        uint32_t job;
        int r = 0;

        (void)world_app_up(w, "shop");
        for (unsigned i = 0; i < JOBS_PER_UID_MAX && r == 0; i++)
                r = manager_wait_dynos(w->manager, &client, "shop", USEC_PER_SEC, &job, &error);
        assert_int_equal(r, 0);
        r = manager_wait_dynos(w->manager, &client, "shop", USEC_PER_SEC, &job, &error);
        assert_refused(r, &error, DYNOD_ERROR_LIMIT, "which is the limit");
        client.uid++;
        assert_int_equal(
                manager_wait_dynos(w->manager, &client, "shop", USEC_PER_SEC, &job, &error), 0);
        world_run(w);
        assert_null(w->manager->jobs);
}

static void on_doctor(const ManagerError *error, const DoctorInfo *info, void *userdata) {
        World *w = userdata;

        assert_false(w->answered);
        w->answered = true;
        w->answer_error = *error;
}

/* A query is answered once, also if the supervisor ends before the launcher answers. */
static void test_the_end_answers_queries(void **state) {
        World *w = *state;

        manager_doctor_query(w->manager, on_doctor, w);
        world_expect(w, LAUNCH_HOST);
        assert_false(w->answered);
        world_kill_supervisor(w);
        assert_true(w->answered);
        assert_string_equal(w->answer_error.name, DYNOD_ERROR_FAILED);
        world_hello(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WORLD_TEST(test_importing_a_name_again_adds_a_version),
                WORLD_TEST(test_identical_stack_is_already_here),
                WORLD_TEST(test_wrong_checksum_imports_nothing),
                WORLD_TEST(test_refused_archive_names_the_entry),
                WORLD_TEST(test_full_disk_is_no_room),
                WORLD_TEST(test_client_that_leaves_cancels_its_import),
                WORLD_TEST(test_client_that_leaves_later_does_not),
                WORLD_TEST(test_answer_of_another_type_answers_nothing),
                WORLD_TEST(test_two_imports_of_one_slug_both_succeed),
                WORLD_TEST(test_stack_in_use_is_not_removed),
                WORLD_TEST(test_app_needs_a_stack_and_a_good_name),
                WORLD_TEST(test_wrong_app_name_suggests_the_nearest),
                WORLD_TEST(test_destroy_stops_dynos_and_clears_the_store),
                WORLD_TEST(test_slug_that_a_dyno_runs_is_not_swept),
                WORLD_TEST(test_slug_without_types_is_refused),
                WORLD_TEST(test_process_option_stands_in_for_a_procfile),
                WORLD_TEST(test_broken_procfile_names_the_line),
                WORLD_TEST(test_report_that_is_no_report_fails_the_import),
                WORLD_TEST(test_config_change_is_a_release_and_restarts),
                WORLD_TEST(test_bad_config_is_refused),
                WORLD_TEST(test_rollback_restores_slug_and_config),
                WORLD_TEST(test_releases_outlive_the_supervisor),
                WORLD_TEST(test_bad_scale_is_refused_with_reasons),
                WORLD_TEST(test_another_size_replaces_the_dynos),
                WORLD_TEST(test_wait_ends_when_all_is_up_or_crashed_twice_or_late),
                WORLD_TEST(test_jobs_of_one_user_are_bounded),
                WORLD_TEST(test_the_end_answers_queries),
        };

        return cmocka_run_group_tests_name("supervisor/requests", tests, NULL, NULL);
}
