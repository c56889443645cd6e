/* SPDX-License-Identifier: Apache-2.0 */

#include "world.h"

#define SECONDS(n) ((uint64_t)(n)*USEC_PER_SEC)
#define MINUTES(n) SECONDS((n)*60)

static void test_first_deploy_starts_one_web_dyno(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop");
        Dyno *dyno = world_dyno(w, "web.1");

        assert_string_equal(start.start.type, "web");
        assert_int_equal(start.start.release, 1);
        assert_int_equal(start.start.web_port, 5000);
        assert_int_equal(start.start.memory_quota, 512 << 20);
        assert_int_equal(start.start.slug[0], 0x51);
        assert_int_equal(start.start.stack[0], 0x12);
        assert_int_equal(dyno->state, DYNO_UP);
        assert_int_equal(w->done_result.release, 1);
        assert_int_equal(w->done_result.up, 1);
        assert_int_equal(w->done_result.total, 1);
        WORLD_LOG(
                w,
                "app[api]: Deploy 51515151 by user alice\n",
                "app[api]: Release v1 created by user alice\n",
                "heroku[web.1]: State changed from down to starting\n",
                "heroku[web.1]: State changed from starting to up\n");
        world_expect_nothing(w);
}

static void test_worker_is_up_once_it_was_started(void **state) {
        static const char *const procfile[] = {"worker", "work", NULL};
        World *w = *state;
        LaunchMessage start;

        world_make_app(w, "shop");
        world_deploy(w, "shop", 0x51, procfile);
        world_expect_nothing(w); /* no web type: nothing starts by itself */
        world_scale(w, "shop", "worker", 1);
        start = world_expect(w, LAUNCH_START);
        assert_int_equal(start.start.web_port, 0);
        world_started(w, &start);
        assert_int_equal(world_dyno(w, "worker.1")->state, DYNO_UP);
        assert_false(w->done_failed);
}

static void test_worker_that_ends_at_once_fails_the_deploy(void **state) {
        static const char *const procfile[] = {"web", "serve", "worker", "wrok", NULL};
        World *w = *state;
        LaunchMessage start, msg;
        uint32_t job;

        (void)world_app_up(w, "shop");
        world_scale(w, "shop", "worker", 1);
        start = world_expect(w, LAUNCH_START);
        world_started(w, &start);

        job = world_deploy(w, "shop", 0x52, procfile);
        for (unsigned i = 0; i < 4; i++) {
                world_run(w);
                assert_true(world_receive(w, &msg));
                if (msg.header.type != LAUNCH_START)
                        continue;
                world_started(w, &msg);
                if (strcmp(msg.start.type, "worker") == 0)
                        start = msg;
                else
                        world_bound(w, msg.start.id);
        }
        assert_int_equal(world_dyno(w, "worker.1")->state, DYNO_UP);
        assert_int_not_equal(w->done_job, job);
        world_advance(w, USEC_PER_SEC / 2);
        world_exited(w, start.start.id, 127, 0);
        assert_int_equal(w->done_job, job);
        assert_string_equal(w->done_error.name, DYNOD_ERROR_NOT_UP);
        assert_non_null(
                strstr(w->done_error.message, "worker.1 of shop is not up on v2: exit 127"));
        assert_non_null(strstr(w->done_error.hint, "rollback"));
}

static void test_worker_that_stays_ends_the_deploy_well(void **state) {
        static const char *const procfile[] = {"worker", "work2", NULL};
        World *w = *state;
        LaunchMessage start;
        uint32_t job;

        world_make_app(w, "shop");
        world_deploy(w, "shop", 0x51, (const char *const[]){"worker", "work", NULL});
        world_scale(w, "shop", "worker", 1);
        start = world_expect(w, LAUNCH_START);
        world_started(w, &start);
        job = world_deploy(w, "shop", 0x52, procfile);
        (void)world_expect(w, LAUNCH_SIGNAL);
        start = world_expect(w, LAUNCH_START);
        world_started(w, &start);
        assert_int_not_equal(w->done_job, job);
        world_advance(w, USEC_PER_SEC);
        assert_int_equal(w->done_job, job);
        assert_false(w->done_failed);
}

static void test_boot_timeout_is_r10(void **state) {
        static const char *const procfile[] = {"web", "serve", NULL};
        World *w = *state;
        LaunchMessage start, kill;
        uint32_t job;

        world_make_app(w, "shop");
        job = world_deploy(w, "shop", 0x51, procfile);
        start = world_expect(w, LAUNCH_START);
        world_started(w, &start);
        world_advance(w, SECONDS(59));
        world_expect_nothing(w);
        world_advance(w, SECONDS(2));
        kill = world_expect(w, LAUNCH_KILL);
        assert_string_equal(kill.dyno.id, start.start.id);
        world_exited(w, start.start.id, 137, 0);

        assert_int_equal(w->done_job, job);
        assert_true(w->done_failed);
        assert_string_equal(w->done_error.name, DYNOD_ERROR_NOT_UP);
        assert_non_null(strstr(w->done_error.message, "R10"));
        assert_non_null(strstr(w->done_error.hint, "logs -a shop --ps web.1"));
        WORLD_LOG(
                w,
                "heroku[web.1]: Error R10 (Boot timeout) -> Web process failed to bind to $PORT "
                "within 60 seconds of launch\n",
                "heroku[web.1]: Stopping process with SIGKILL\n",
                "heroku[web.1]: Process exited with status 137\n",
                "heroku[web.1]: State changed from starting to crashed\n",
                "heroku[web.1]: State changed from crashed to starting\n");
}

static void test_first_crash_restarts_at_once_second_waits(void **state) {
        World *w = *state;
        LaunchMessage first = world_app_up(w, "shop"), second;
        Dyno *dyno;

        world_exited(w, first.start.id, 1, 0);
        world_advance(w, 0);
        second = world_expect(w, LAUNCH_START);
        assert_string_not_equal(second.start.id, first.start.id);
        world_started(w, &second);
        world_exited(w, second.start.id, 1, 0);
        world_advance(w, SECONDS(1));
        world_expect_nothing(w);

        dyno = world_dyno(w, "web.1");
        assert_int_equal(dyno->state, DYNO_CRASHED);
        assert_int_equal(dyno->crashes, 2);
        assert_int_equal(dyno->exit_status, 1);
        assert_true(dyno->next_start_usec > world_now_usec);
        WORLD_LOG(
                w,
                "heroku[web.1]: State changed from up to crashed\n",
                "heroku[web.1]: State changed from crashed to starting\n",
                "heroku[web.1]: State changed from starting to crashed\n",
                "heroku[web.1]: Next start at ",
                "(2nd crash in a row; herokuctl ps:restart web.1 -a shop starts it now)\n");

        world_advance(w, MINUTES(20));
        (void)world_expect(w, LAUNCH_START);
}

static void test_crash_after_a_good_run_is_a_first_one(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop");

        for (unsigned i = 0; i < 3; i++) {
                world_advance(w, MINUTES(6));
                world_exited(w, start.start.id, 1, 0);
                world_advance(w, 0);
                start = world_expect(w, LAUNCH_START);
                world_started(w, &start);
                world_bound(w, start.start.id);
        }
        assert_int_equal(world_dyno(w, "web.1")->crashes, 1);
}

static void test_oom_is_r15(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop");

        world_exited(w, start.start.id, 137, EXITED_OOM);
        WORLD_LOG(
                w,
                "heroku[web.1]: Process running mem=1024M(200.0%)\n",
                "heroku[web.1]: Error R15 (Memory quota vastly exceeded)\n",
                "heroku[web.1]: State changed from up to crashed\n");
}

static void write_cgroup(const World *w, const char *id, const char *file, const char *text) {
        char path[256];
        FILE *f;

        snprintf(path, sizeof(path), "%s/cgroup/%s", w->dir, id);
        (void)mkdir(path, 0700);
        snprintf(path, sizeof(path), "%s/cgroup/%s/%s", w->dir, id, file);
        f = fopen(path, "we");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void test_over_quota_is_r14_every_20_seconds(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop");

        write_cgroup(w, start.start.id, "memory.current", "536870912\n");
        write_cgroup(w, start.start.id, "memory.swap.current", "18874368\n");
        world_advance(w, SECONDS(20));
        WORLD_LOG(
                w,
                "heroku[web.1]: Process running mem=530M(103.5%)\n",
                "heroku[web.1]: Error R14 (Memory quota exceeded)\n");
        world_advance(w, SECONDS(20));
        WORLD_LOG(w, "heroku[web.1]: Error R14 (Memory quota exceeded)\n");
}

static void test_stop_is_sigterm_grace_r12_kill(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop"), msg;
        ManagerClient client = world_client(w);
        ManagerError error = {0};
        uint32_t job = 0;

        assert_int_equal(manager_stop_dynos(w->manager, &client, "shop", "web.1", &job, &error), 0);
        msg = world_expect(w, LAUNCH_SIGNAL);
        assert_int_equal(msg.signal.signo, 15);
        assert_int_equal(msg.signal.target, SIGNAL_ALL);
        assert_int_not_equal(w->done_job, job);
        world_advance(w, SECONDS(29));
        world_expect_nothing(w);
        world_advance(w, SECONDS(1));
        (void)world_expect(w, LAUNCH_KILL);
        world_exited(w, start.start.id, 137, 0);

        assert_int_equal(w->done_job, job);
        assert_int_equal(world_dyno(w, "web.1")->state, DYNO_DOWN);
        WORLD_LOG(
                w,
                "heroku[web.1]: Stopping all processes with SIGTERM\n",
                "heroku[web.1]: Error R12 (Exit timeout) -> At least one process failed to exit "
                "within 30 seconds of SIGTERM\n",
                "heroku[web.1]: Stopping remaining processes with SIGKILL\n",
                "heroku[web.1]: Process exited with status 137\n",
                "heroku[web.1]: State changed from up to down\n");

        /* It stays down until somebody restarts it. */
        world_advance(w, MINUTES(60));
        world_expect_nothing(w);
        assert_int_equal(
                manager_restart_dynos(w->manager, &client, "shop", "web.1", &job, &error), 0);
        (void)world_expect(w, LAUNCH_START);
}

static void test_restart_starts_the_new_as_the_old_gets_sigterm(void **state) {
        World *w = *state;
        LaunchMessage old = world_app_up(w, "shop"), new, term;
        ManagerClient client = world_client(w);
        ManagerError error = {0};
        uint32_t job;

        w->log_size = 0;
        assert_int_equal(manager_restart_dynos(w->manager, &client, "shop", "", &job, &error), 0);
        term = world_expect(w, LAUNCH_SIGNAL);
        assert_string_equal(term.signal.id, old.start.id);
        new = world_expect(w, LAUNCH_START);
        assert_string_not_equal(new.start.id, old.start.id);
        world_started(w, &new);
        world_bound(w, new.start.id);

        /* The name is the new one's; the old is reached by its id. */
        assert_string_equal(world_dyno(w, "web.1")->id, new.start.id);
        assert_int_equal(manager_dyno_by_id(w->manager, old.start.id)->state, DYNO_STOPPING);
        world_exited(w, old.start.id, 143, 0);
        assert_null(manager_dyno_by_id(w->manager, old.start.id));
        world_expect_nothing(w);
        WORLD_LOG(
                w,
                "heroku[web.1]: Restarting\n",
                "heroku[web.1]: State changed from up to starting\n",
                "heroku[web.1]: Stopping all processes with SIGTERM\n",
                "heroku[web.1]: State changed from starting to up\n");
}

static void test_scale_starts_and_stops_the_difference(void **state) {
        World *w = *state;
        LaunchMessage one = world_app_up(w, "shop"), two, three, term;

        world_scale(w, "shop", "web", 3);
        two = world_expect(w, LAUNCH_START);
        three = world_expect(w, LAUNCH_START);
        assert_int_equal(two.start.number, 2);
        assert_int_equal(three.start.number, 3);
        world_started(w, &two);
        world_started(w, &three);

        world_scale(w, "shop", "web", 2);
        term = world_expect(w, LAUNCH_SIGNAL);
        assert_string_equal(term.signal.id, three.start.id);
        world_exited(w, three.start.id, 143, 0);
        assert_null(manager_dyno_by_id(w->manager, three.start.id));
        assert_non_null(manager_dyno_by_id(w->manager, one.start.id));
        WORLD_LOG(w, "app[api]: Scaled to web@2:Standard-1X worker@0:Standard-1X by user alice\n");
        world_expect_nothing(w);
}

static void test_starts_are_limited_and_web_goes_first(void **state) {
        static const char *const procfile[] = {"aux", "x", "web", "serve", NULL};
        World *w = *state;
        LaunchMessage a, b;

        world_make_app(w, "shop");
        world_deploy(w, "shop", 0x51, procfile);
        a = world_expect(w, LAUNCH_START);
        world_started(w, &a);
        world_scale(w, "shop", "aux", 5);
        a = world_expect(w, LAUNCH_START);
        b = world_expect(w, LAUNCH_START);
        assert_string_equal(a.start.type, "aux");
        world_expect_nothing(w); /* start_parallel = 2 */
        world_scale(w, "shop", "web", 2);
        world_expect_nothing(w);
        world_started(w, &b);
        b = world_expect(w, LAUNCH_START);
        assert_string_equal(b.start.type, "web");
        world_started(w, &a);
        a = world_expect(w, LAUNCH_START);
        assert_string_equal(a.start.type, "aux");
}

static void test_missing_layer_fails_the_deploy_by_name(void **state) {
        static const char *const procfile[] = {"web", "serve", NULL};
        World *w = *state;
        LaunchMessage start;
        uint32_t job;

        world_make_app(w, "shop");
        job = world_deploy(w, "shop", 0x51, procfile);
        start = world_expect(w, LAUNCH_START);
        world_start_fails(w, &start, -EPERM, LAYER_APPARMOR, "is unconfined");
        assert_int_equal(w->done_job, job);
        assert_string_equal(w->done_error.name, DYNOD_ERROR_LAYER_MISSING);
        assert_non_null(strstr(w->done_error.message, "apparmor: is unconfined"));
        assert_int_equal(world_dyno(w, "web.1")->crashes, 1);
}

static void test_missing_tree_is_extracted_again(void **state) {
        static const char *const procfile[] = {"web", "serve", NULL};
        World *w = *state;
        LaunchMessage start, extract;

        world_make_app(w, "shop");
        world_deploy(w, "shop", 0x51, procfile);
        start = world_expect(w, LAUNCH_START);
        world_start_fails(w, &start, -ENOENT, LAYER_STORE, "");
        extract = world_expect(w, LAUNCH_EXTRACT);
        assert_int_equal(extract.extract.import, 0);
        assert_int_equal(extract.extract.kind, OBJECT_STACK);
        world_extracted(w, &extract, -EEXIST, 0);
        extract = world_expect(w, LAUNCH_EXTRACT);
        assert_int_equal(extract.extract.kind, OBJECT_SLUG);
        world_extracted(w, &extract, 0, 0);
        start = world_expect(w, LAUNCH_START);
        world_started(w, &start);
        world_bound(w, start.start.id);
        assert_int_equal(world_dyno(w, "web.1")->state, DYNO_UP);
}

static void test_damaged_archive_is_r17(void **state) {
        static const char *const procfile[] = {"web", "serve", NULL};
        World *w = *state;
        LaunchMessage start, extract;

        world_make_app(w, "shop");
        world_deploy(w, "shop", 0x51, procfile);
        start = world_expect(w, LAUNCH_START);
        world_start_fails(w, &start, -ENOENT, LAYER_STORE, "");
        extract = world_expect(w, LAUNCH_EXTRACT);
        world_extracted(w, &extract, -EEXIST, 0);
        extract = world_expect(w, LAUNCH_EXTRACT);
        world_extracted(w, &extract, -EBADMSG, 0x66);
        WORLD_LOG(
                w,
                "heroku[web.1]: Error R17 (Checksum error) -> Checksum does match expected value. "
                "Expected: SHA256:5151515151515151515151515151515151515151515151515151515151515151 "
                "Actual: SHA256:6666666666666666666666666666666666666666666666666666666666666666\n",
                "heroku[web.1]: State changed from starting to crashed\n");
        assert_string_equal(world_dyno(w, "web.1")->code, "R17");
}

static void test_restart_on_a_full_host_waits_for_the_old(void **state) {
        World *w = *state;
        LaunchMessage old = world_app_up(w, "shop"), new;
        ManagerClient client = world_client(w);
        ManagerError error = {0};
        uint32_t job;

        assert_int_equal(manager_restart_dynos(w->manager, &client, "shop", "", &job, &error), 0);
        (void)world_expect(w, LAUNCH_SIGNAL);
        new = world_expect(w, LAUNCH_START);
        world_start_fails(w, &new, -ENOMEM, LAYER_MEMORY, "512 MB wanted");
        assert_int_equal(world_dyno(w, "web.1")->state, DYNO_STARTING);
        world_expect_nothing(w);
        world_exited(w, old.start.id, 143, 0);
        world_advance(w, SECONDS(1));
        new = world_expect(w, LAUNCH_START);

        /* Nobody leaves any more: now it is a refusal. */
        world_start_fails(w, &new, -ENOMEM, LAYER_MEMORY, "512 MB wanted");
        assert_int_equal(w->done_job, job);
        assert_string_equal(w->done_error.name, DYNOD_ERROR_NO_MEMORY);
}

static void test_start_waits_for_scratch(void **state) {
        static const char *const procfile[] = {"web", "serve", NULL};
        World *w = *state;
        LaunchMessage start;

        world_make_app(w, "shop");
        (void)world_deploy(w, "shop", 0x51, procfile);
        start = world_expect(w, LAUNCH_START);
        for (int i = 0; i < 150; i++) {
                world_start_fails(w, &start, -EDQUOT, LAYER_ROOTFS, "no room");
                assert_int_equal(world_dyno(w, "web.1")->state, DYNO_STARTING);
                world_expect_nothing(w);
                world_advance(w, SECONDS(1));
                start = world_expect(w, LAUNCH_START);
        }
        world_start_fails(w, &start, -EDQUOT, LAYER_ROOTFS, "no room");
        assert_string_equal(world_dyno(w, "web.1")->reason, "rootfs: no room");
}

static void test_one_off_runs_once_and_goes(void **state) {
        static const char *const command[] = {"worker", "--once", NULL};
        World *w = *state;
        LaunchMessage up = world_app_up(w, "shop"), start;
        ManagerClient client = world_client(w);
        RunRequest request = {
                .app = "shop", .command = command, .size = "standard-2x", .attach_fd = -EBADF};

        manager_run_query(w->manager, &client, &request, world_on_run, w);
        start = world_expect(w, LAUNCH_START);
        assert_int_equal(start.start.flags, LAUNCH_FLAG_ONE_OFF);
        assert_int_equal(start.start.web_port, 0);
        assert_string_equal(start.start.size, "Standard-2X");
        assert_false(w->answered);
        world_started(w, &start);
        assert_true(w->answered);
        assert_null(w->answer_error.name);
        assert_string_equal(w->answer_id, start.start.id);
        assert_string_equal(world_dyno(w, w->answer_name)->command, "work --once");

        world_exited(w, start.start.id, 3, 0);
        assert_null(manager_dyno_by_id(w->manager, start.start.id));
        world_advance(w, MINUTES(60));
        world_expect_nothing(w);
        WORLD_LOG(
                w,
                "]: State changed from starting to up\n",
                "]: State changed from up to complete\n");
        assert_non_null(manager_dyno_by_id(w->manager, up.start.id));
}

static void test_one_off_that_cannot_start_answers_why(void **state) {
        static const char *const command[] = {"bash", NULL};
        World *w = *state;
        ManagerClient client = world_client(w);
        RunRequest request = {.app = "shop", .command = command, .size = "", .attach_fd = -EBADF};
        LaunchMessage start;

        (void)world_app_up(w, "shop");
        manager_run_query(w->manager, &client, &request, world_on_run, w);
        start = world_expect(w, LAUNCH_START);
        world_start_fails(w, &start, -EPERM, LAYER_SECCOMP, "no filter");
        assert_true(w->answered);
        assert_string_equal(w->answer_error.name, DYNOD_ERROR_LAYER_MISSING);
        assert_non_null(strstr(w->answer_error.message, "seccomp: no filter"));
}

static void start_logger(World *w) {
        LaunchHeader logger = {.type = LAUNCH_LOGGER};
        int peer;

        w->logger = safe_close(w->logger);
        assert_int_equal(channel_pair(&w->logger, &peer), 0);
        world_send(w, &logger, sizeof(logger), &peer, 1);
        close(peer);
}

static void stop_logger(World *w) {
        world_read_log(w);
        w->log_size = 0;
        w->log[0] = '\0';
        w->logger = safe_close(w->logger);
        world_run(w);
}

static void test_lines_wait_for_the_next_logger(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop");

        stop_logger(w);
        world_exited(w, start.start.id, 1, 0);
        start_logger(w);
        WORLD_LOG(
                w,
                "- apps 1\n- app 1 shop\n- end 1\n",
                "heroku[web.1]: State changed from up to crashed\n");
}

/* Before the lines that wait, of which none is of an app that is gone. */
static void test_next_logger_is_told_of_all_apps(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ManagerError error = {0};
        const char *line;
        uint32_t job;

        world_make_app(w, "shop");
        world_make_app(w, "other");
        WORLD_LOG(w, "- app 1 shop\n", "- app 2 other\n");

        stop_logger(w);
        assert_int_equal(manager_rename_app(w->manager, "shop", "zoo", &error), 0);
        world_make_app(w, "brief");
        assert_int_equal(manager_destroy_app(w->manager, &client, "brief", &job, &error), 0);
        assert_int_equal(manager_destroy_app(w->manager, &client, "other", &job, &error), 0);
        world_run(w);
        world_make_app(w, "shop");
        start_logger(w);
        world_read_log(w);
        assert_ptr_equal(strstr(w->log, "- apps 4\n- app 4 shop\n- app 1 zoo\n- end 4\n"), w->log);
        assert_null(strstr(w->log, "forget"));
        line = strstr(w->log, "Create app by user");
        assert_non_null(line);
        assert_null(strstr(line + 1, "Create app by user"));
        assert_int_equal(manager_rename_app(w->manager, "zoo", "park", &error), 0);
        WORLD_LOG(w, "- app 1 park\n");
}

/* What has no room in the socket comes when some was read. */
static void read_all_of_log(World *w) {
        size_t before;

        do {
                before = w->log_size;
                world_read_log(w);
        } while (w->log_size > before);
}

/* A logger that stands still has the socket full: what waits behind that is not for the next one. */
static void test_what_waits_for_a_logger_that_hangs_is_told_anew(void **state) {
        World *w = *state;
        ManagerClient client = world_client(w);
        ManagerError error = {0};
        const App *app;
        uint32_t job;

        world_make_app(w, "shop");
        world_make_app(w, "other");
        world_read_log(w);
        w->log_size = 0;
        app = manager_app_by_name(w->manager, "shop");
        for (int i = 0; i < 1500; i++)
                manager_log_api(w->manager, app, "%d", i);
        assert_int_equal(manager_rename_app(w->manager, "shop", "zoo", &error), 0);
        assert_int_equal(manager_rename_app(w->manager, "zoo", "park", &error), 0);
        assert_int_equal(manager_destroy_app(w->manager, &client, "other", &job, &error), 0);
        world_run(w);

        start_logger(w); /* the one before was not read any more */
        read_all_of_log(w);
        assert_ptr_equal(strstr(w->log, "- apps 2\n- app 1 park\n- end 2\n"), w->log);
        assert_null(strstr(w->log, "zoo"));
        assert_null(strstr(w->log, "forget"));
        WORLD_LOG(w, "api]: 1499\n");

        for (int i = 0; i < 1500; i++)
                manager_log_api(w->manager, app, "%d", i);
        assert_int_equal(manager_rename_app(w->manager, "park", "garden", &error), 0);
        assert_int_equal(manager_rename_app(w->manager, "garden", "yard", &error), 0);
        read_all_of_log(w);
        assert_null(strstr(w->log, "garden")); /* the last name is enough */
        WORLD_LOG(w, "api]: 1499\n", "- app 1 yard\n");
}

static void test_reload_touches_no_dyno(void **state) {
        World *w = *state;
        LaunchHeader reloaded = {.type = LAUNCH_RELOADED};
        int fd;

        (void)world_app_up(w, "shop");
        fd = world_config(w);
        world_send(w, &reloaded, sizeof(reloaded), &fd, 1);
        close(fd);
        assert_int_equal(manager_config(w->manager)->start_parallel, 2);
        world_expect_nothing(w); /* no dyno is touched */
}

/* ---- adoption ---- */

static void test_restarted_supervisor_adopts_living_dynos(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop");
        LaunchDynoFacts facts = world_facts(&start.start);
        Dyno *dyno;

        facts.bound = 1;
        world_kill_supervisor(w);
        world_hello(w);
        world_send(w, &facts, sizeof(facts), NULL, 0);
        world_ready(w);
        world_expect_nothing(w); /* nothing is started or stopped */

        dyno = world_dyno(w, "web.1");
        assert_string_equal(dyno->id, start.start.id);
        assert_int_equal(dyno->state, DYNO_UP);
        assert_int_equal(dyno->pid, 4711);
        assert_int_equal(dyno->release, 1);
        assert_string_equal(dyno->command, "serve");
        world_read_log(w);
        assert_string_equal(w->log, "- apps 1\n- app 1 shop\n- end 1\n"); /* and no line */
}

static void test_dyno_that_ended_meanwhile_starts_again(void **state) {
        World *w = *state;
        LaunchMessage old = world_app_up(w, "shop"), new;

        world_kill_supervisor(w);
        world_hello(w);
        world_ready(w);
        new = world_expect(w, LAUNCH_START);
        assert_string_equal(new.start.app, "shop");
        assert_string_not_equal(new.start.id, old.start.id);
        assert_int_equal(world_dyno(w, "web.1")->crashes, 1);
}

static void test_exit_between_hello_and_ready_keeps_its_status(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop");

        world_kill_supervisor(w);
        world_hello(w);
        world_exited(w, start.start.id, 7, 0);
        assert_int_equal(world_dyno(w, "web.1")->exit_status, 7);
        world_ready(w);
        (void)world_expect(w, LAUNCH_START);
        world_expect_nothing(w);
}

static void test_back_off_outlives_the_supervisor(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop");

        world_exited(w, start.start.id, 1, 0);
        world_advance(w, 0);
        start = world_expect(w, LAUNCH_START);
        world_started(w, &start);
        world_exited(w, start.start.id, 1, 0);

        world_kill_supervisor(w);
        world_hello(w);
        world_ready(w);
        world_expect_nothing(w);
        assert_int_equal(world_dyno(w, "web.1")->state, DYNO_CRASHED);
        world_advance(w, MINUTES(20));
        (void)world_expect(w, LAUNCH_START);
}

static void test_stopped_dyno_stays_down_over_a_restart(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop");
        ManagerClient client = world_client(w);
        ManagerError error = {0};
        uint32_t job;

        assert_int_equal(manager_stop_dynos(w->manager, &client, "shop", "web", &job, &error), 0);
        (void)world_expect(w, LAUNCH_SIGNAL);
        world_exited(w, start.start.id, 143, 0);
        world_kill_supervisor(w);
        world_hello(w);
        world_ready(w);
        world_expect_nothing(w);
        assert_int_equal(world_dyno(w, "web.1")->state, DYNO_DOWN);
}

static void test_dyno_without_a_state_file_is_adopted_from_roots_facts(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop");
        LaunchDynoFacts facts = world_facts(&start.start);

        facts.bound = 1;
        dyno_file_remove(w->manager, start.start.id);
        world_kill_supervisor(w);
        world_hello(w);
        world_send(w, &facts, sizeof(facts), NULL, 0);
        world_ready(w);
        world_expect_nothing(w);
        assert_int_equal(world_dyno(w, "web.1")->state, DYNO_UP);
        assert_string_equal(world_dyno(w, "web.1")->stack, "debian-12");
}

static void test_of_two_dynos_of_one_name_the_older_goes(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop"), term;
        LaunchDynoFacts old = world_facts(&start.start), new = old;

        dyno_file_remove(w->manager, start.start.id);
        world_kill_supervisor(w);
        world_hello(w);
        old.bound = new.bound = 1;
        new.started_usec = old.started_usec + 1;
        field_set(new.start.id, sizeof(new.start.id), "web.1-abcdef");
        world_send(w, &new, sizeof(new), NULL, 0);
        world_send(w, &old, sizeof(old), NULL, 0);
        world_ready(w);
        term = world_expect(w, LAUNCH_SIGNAL);
        assert_string_equal(term.signal.id, old.start.id);
        world_expect_nothing(w);
        assert_string_equal(world_dyno(w, "web.1")->id, "web.1-abcdef");
}

static void test_dyno_of_an_unknown_app_is_killed(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop"), kill;
        LaunchDynoFacts facts = world_facts(&start.start);

        world_kill_supervisor(w);
        world_hello(w);
        facts.start.app_number++; /* of another database: the name is not the app */
        field_set(facts.start.id, sizeof(facts.start.id), "web.1-abcdef");
        world_send(w, &facts, sizeof(facts), NULL, 0);
        kill = world_expect(w, LAUNCH_KILL);
        assert_string_equal(kill.dyno.id, "web.1-abcdef");
}

/* As a file of the supervisor's says, it is shop's; as root says, it is not. */
static void test_dyno_that_is_of_another_app_is_killed_and_replaced(void **state) {
        World *w = *state;
        LaunchMessage start = world_app_up(w, "shop"), next;
        LaunchDynoFacts facts = world_facts(&start.start);

        world_kill_supervisor(w);
        world_hello(w);
        facts.start.app_number++;
        world_send(w, &facts, sizeof(facts), NULL, 0);
        next = world_expect(w, LAUNCH_KILL);
        assert_string_equal(next.dyno.id, start.start.id);
        world_ready(w);
        next = world_expect(w, LAUNCH_START);
        assert_string_not_equal(next.start.id, start.start.id);
}

static void test_number_that_is_in_use_on_the_host_is_no_new_apps(void **state) {
        World *w = *state;

        world_make_app(w, "shop");
        world_kill_supervisor(w);
        w->last_app = 41;
        world_hello(w);
        world_ready(w);
        world_make_app(w, "other");
        WORLD_LOG(w, "- app 1 shop\n", "- end 41\n", "- app 42 other\n");
}

static void test_launcher_that_breaks_the_protocol_ends_the_loop(void **state) {
        World *w = *state;
        LaunchDyno bound = {.header = {.type = LAUNCH_BOUND}, .id = "../../etc"};

        assert_int_equal(channel_send(w->launcher, &bound, sizeof(bound), NULL, 0), 0);
        assert_int_equal(sd_event_loop(w->event), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WORLD_TEST(test_first_deploy_starts_one_web_dyno),
                WORLD_TEST(test_worker_is_up_once_it_was_started),
                WORLD_TEST(test_worker_that_ends_at_once_fails_the_deploy),
                WORLD_TEST(test_worker_that_stays_ends_the_deploy_well),
                WORLD_TEST(test_boot_timeout_is_r10),
                WORLD_TEST(test_first_crash_restarts_at_once_second_waits),
                WORLD_TEST(test_crash_after_a_good_run_is_a_first_one),
                WORLD_TEST(test_oom_is_r15),
                WORLD_TEST(test_over_quota_is_r14_every_20_seconds),
                WORLD_TEST(test_stop_is_sigterm_grace_r12_kill),
                WORLD_TEST(test_restart_starts_the_new_as_the_old_gets_sigterm),
                WORLD_TEST(test_scale_starts_and_stops_the_difference),
                WORLD_TEST(test_starts_are_limited_and_web_goes_first),
                WORLD_TEST(test_missing_layer_fails_the_deploy_by_name),
                WORLD_TEST(test_missing_tree_is_extracted_again),
                WORLD_TEST(test_damaged_archive_is_r17),
                WORLD_TEST(test_restart_on_a_full_host_waits_for_the_old),
                WORLD_TEST(test_start_waits_for_scratch),
                WORLD_TEST(test_one_off_runs_once_and_goes),
                WORLD_TEST(test_one_off_that_cannot_start_answers_why),
                WORLD_TEST(test_lines_wait_for_the_next_logger),
                WORLD_TEST(test_next_logger_is_told_of_all_apps),
                WORLD_TEST(test_what_waits_for_a_logger_that_hangs_is_told_anew),
                WORLD_TEST(test_reload_touches_no_dyno),
                WORLD_TEST(test_restarted_supervisor_adopts_living_dynos),
                WORLD_TEST(test_dyno_that_ended_meanwhile_starts_again),
                WORLD_TEST(test_exit_between_hello_and_ready_keeps_its_status),
                WORLD_TEST(test_back_off_outlives_the_supervisor),
                WORLD_TEST(test_stopped_dyno_stays_down_over_a_restart),
                WORLD_TEST(test_dyno_without_a_state_file_is_adopted_from_roots_facts),
                WORLD_TEST(test_of_two_dynos_of_one_name_the_older_goes),
                WORLD_TEST(test_dyno_of_an_unknown_app_is_killed),
                WORLD_TEST(test_dyno_that_is_of_another_app_is_killed_and_replaced),
                WORLD_TEST(test_number_that_is_in_use_on_the_host_is_no_new_apps),
                WORLD_TEST(test_launcher_that_breaks_the_protocol_ends_the_loop),
        };

        return cmocka_run_group_tests_name("supervisor/dyno_life", tests, NULL, NULL);
}
