/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/log_proto.h"

static size_t make_line(LogLine *line, const char *app, const char *procid, const char *text) {
        memset(line, 0, sizeof(*line));
        line->type = LOG_LINE;
        line->app_number = 7;
        line->record.magic = LOG_RECORD_MAGIC;
        line->record.source = LOG_FROM_HEROKU;
        line->record.text_size = (uint16_t)strlen(text);
        field_set(line->record.app, sizeof(line->record.app), app);
        field_set(line->record.procid, sizeof(line->record.procid), procid);
        memcpy(line->text, text, strlen(text));
        return offsetof(LogLine, text) + strlen(text);
}

static void test_good_line_passes(void **state) {
        LogLine line;
        size_t size = make_line(&line, "shop", "web.1", "State changed from starting to up");

        assert_int_equal(log_message_check(&line, size, 0), 0);
        size = make_line(&line, "shop", "api", "");
        assert_int_equal(log_message_check(&line, size, 0), 0);
}

static void test_line_of_wrong_length_is_refused(void **state) {
        LogLine line;
        size_t size = make_line(&line, "shop", "web.1", "text");

        assert_int_equal(log_message_check(&line, size - 1, 0), -EBADMSG);
        assert_int_equal(log_message_check(&line, size + 1, 0), -EBADMSG);
        assert_int_equal(log_message_check(&line, 3, 0), -EBADMSG);
        assert_int_equal(log_message_check(&line, 8, 0), -EBADMSG);
        line.record.text_size = LOG_TEXT_MAX + 1;
        assert_int_equal(log_message_check(&line, sizeof(line), 0), -EBADMSG);
}

static void test_line_that_would_be_two_is_refused(void **state) {
        LogLine line;
        size_t size = make_line(&line, "shop", "web.1", "one\ntwo");

        assert_int_equal(log_message_check(&line, size, 0), -EBADMSG);
}

static void test_line_with_unclean_fields_is_refused(void **state) {
        LogLine line;
        size_t size = make_line(&line, "shop", "web.1", "text");

        line.record.app[APP_NAME_SIZE - 1] = 'x';
        assert_int_equal(log_message_check(&line, size, 0), -EBADMSG);

        size = make_line(&line, "../shop", "web.1", "text");
        assert_int_equal(log_message_check(&line, size, 0), -EBADMSG);
        size = make_line(&line, "", "web.1", "text");
        assert_int_equal(log_message_check(&line, size, 0), -EBADMSG);
        size = make_line(&line, "shop", "web 1", "text");
        assert_int_equal(log_message_check(&line, size, 0), -EBADMSG);
        size = make_line(&line, "shop", LOG_PROCID_LIVE, "");
        assert_int_equal(log_message_check(&line, size, 0), -EBADMSG);

        size = make_line(&line, "shop", "web.1", "text");
        line.record.source = _LOG_SOURCE_MAX;
        assert_int_equal(log_message_check(&line, size, 0), -EBADMSG);
        size = make_line(&line, "shop", "web.1", "text");
        line.record.magic++;
        assert_int_equal(log_message_check(&line, size, 0), -EBADMSG);
        size = make_line(&line, "shop", "web.1", "text");
        line.app_number = 0;
        assert_int_equal(log_message_check(&line, size, 0), -EBADMSG);
}

static void test_descriptors_belong_to_streams_only(void **state) {
        LogStream stream = {.type = LOG_STREAM, .follow = 1};
        LogLine line;
        size_t size = make_line(&line, "shop", "web.1", "text");

        assert_int_equal(log_message_check(&line, size, 1), -EBADMSG);
        assert_int_equal(log_message_check(&stream, sizeof(stream), 0), -EBADMSG);
        assert_int_equal(log_message_check(&stream, sizeof(stream), 2), -EBADMSG);
        assert_int_equal(log_message_check(&stream, sizeof(stream), 1), 0);
        field_set(stream.app, sizeof(stream.app), "shop");
        assert_int_equal(log_message_check(&stream, sizeof(stream), 1), -EBADMSG);
        stream.app_number = 7;
        assert_int_equal(log_message_check(&stream, sizeof(stream), 1), 0);
        stream.follow = 2;
        assert_int_equal(log_message_check(&stream, sizeof(stream), 1), -EBADMSG);
}

static void test_app_has_a_number_and_a_name(void **state) {
        static const uint32_t types[] = {LOG_APP, LOG_FORGET};
        LogApp app;

        for (size_t i = 0; i < 2; i++) {
                app = (LogApp){types[i], 1, "shop"};
                assert_int_equal(log_message_check(&app, sizeof(app), 0), 0);
                assert_int_equal(log_message_check(&app, sizeof(app) - 1, 0), -EBADMSG);
                app.app_number = 0;
                assert_int_equal(log_message_check(&app, sizeof(app), 0), -EBADMSG);
                app = (LogApp){types[i], 1, ""};
                assert_int_equal(log_message_check(&app, sizeof(app), 0), -EBADMSG);
                app = (LogApp){types[i], 1, "../shop"};
                assert_int_equal(log_message_check(&app, sizeof(app), 0), -EBADMSG);
        }
        app = (LogApp){_LOG_TYPE_MAX, 1, "shop"};
        assert_int_equal(log_message_check(&app, sizeof(app), 0), -EBADMSG);
        app.type = 0;
        assert_int_equal(log_message_check(&app, sizeof(app), 0), -EBADMSG);
}

static void test_list_of_apps_has_a_beginning_and_an_end(void **state) {
        LogApps apps = {LOG_APPS, 0};
        char more[sizeof(apps) + 1] = {0};

        assert_int_equal(log_message_check(&apps, sizeof(apps), 0), 0);
        apps = (LogApps){LOG_APPS_END, 1000};
        assert_int_equal(log_message_check(&apps, sizeof(apps), 0), 0);
        assert_int_equal(log_message_check(&apps, sizeof(apps), 1), -EBADMSG);
        memcpy(more, &apps, sizeof(apps));
        assert_int_equal(log_message_check(more, sizeof(more), 0), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good_line_passes),
                cmocka_unit_test(test_line_of_wrong_length_is_refused),
                cmocka_unit_test(test_line_that_would_be_two_is_refused),
                cmocka_unit_test(test_line_with_unclean_fields_is_refused),
                cmocka_unit_test(test_descriptors_belong_to_streams_only),
                cmocka_unit_test(test_app_has_a_number_and_a_name),
                cmocka_unit_test(test_list_of_apps_has_a_beginning_and_an_end),
        };

        return cmocka_run_group_tests_name("ipc/log_proto", tests, NULL, NULL);
}
