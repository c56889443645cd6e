/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/launch_proto.h"

static LaunchMessage start_message(void) {
        LaunchMessage msg;

        memset(&msg, 0, sizeof(msg));
        msg.start.header.type = LAUNCH_START;
        msg.start.number = 1;
        msg.start.release = 3;
        msg.start.web_port = 5000;
        msg.start.cpu_weight = 100;
        msg.start.process_limit = 256;
        msg.start.memory_quota = 512 << 20;
        msg.start.memory_kill = 1024 << 20;
        field_set(msg.start.id, sizeof(msg.start.id), "web.1-7f3a9c");
        field_set(msg.start.app, sizeof(msg.start.app), "shop");
        field_set(msg.start.type, sizeof(msg.start.type), "web");
        field_set(msg.start.size, sizeof(msg.start.size), "Standard-1X");
        return msg;
}

static int check_start(const LaunchMessage *msg) {
        return launch_message_check(msg, sizeof(msg->start), 1, LAUNCH_FROM_SUPERVISOR);
}

static void test_good_start_passes(void **state) {
        LaunchMessage msg = start_message();

        assert_int_equal(check_start(&msg), 0);
        msg.start.flags = LAUNCH_FLAG_ATTACHED;
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.start), 2, LAUNCH_FROM_SUPERVISOR), 0);
}

/* One change each that makes a good message a bad one. */
static void test_every_field_of_a_start_is_checked(void **state) {
        static const char dirty[APP_NAME_SIZE] = "shop\0x";
        int i = 0;

        for (;; i++) {
                LaunchMessage msg = start_message();
                LaunchStart *s = &msg.start;

                switch (i) {
                case 0:
                        s->id[0] = '.';
                        break;
                case 1:
                        memset(s->id, 'a', sizeof(s->id));
                        break;
                case 2:
                        field_set(s->id, sizeof(s->id), "web.2-7f3a9c");
                        break;
                case 3:
                        field_set(s->id, sizeof(s->id), "wes.1-7f3a9c");
                        break;
                case 4:
                        memcpy(s->app, dirty, sizeof(s->app));
                        break;
                case 5:
                        field_set(s->app, sizeof(s->app), "../x");
                        break;
                case 6:
                        field_set(s->type, sizeof(s->type), "");
                        break;
                case 7:
                        s->flags = 1U << 31;
                        break;
                case 8:
                        s->number = 0;
                        break;
                case 9:
                        s->release = 0;
                        break;
                case 10:
                        s->web_port = 65536;
                        break;
                case 11:
                        s->cpu_weight = 0;
                        break;
                case 12:
                        s->cpu_weight = 10001;
                        break;
                case 13:
                        s->process_limit = 0;
                        break;
                case 14:
                        s->memory_quota = 0;
                        break;
                case 15:
                        s->memory_kill = s->memory_quota - 1;
                        break;
                case 16:
                        s->memory_kill = UINT64_MAX;
                        break;
                case 17:
                        s->size[0] = '\0';
                        break;
                case 18:
                        s->flags = LAUNCH_FLAG_ATTACHED;
                        break; /* without its descriptor */
                case 19:
                        s->process_limit = UINT32_MAX;
                        break;
                default:
                        assert_int_equal(i, 20);
                        return;
                }
                if (check_start(&msg) != -EBADMSG)
                        fail_msg("change %d passed", i);
        }
}

static void test_length_sender_and_descriptors_must_fit(void **state) {
        LaunchMessage msg = start_message();

        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.start) - 1, 1, LAUNCH_FROM_SUPERVISOR),
                -EBADMSG);
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.start) + 1, 1, LAUNCH_FROM_SUPERVISOR),
                -EBADMSG);
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.start), 0, LAUNCH_FROM_SUPERVISOR), -EBADMSG);
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.start), 3, LAUNCH_FROM_SUPERVISOR), -EBADMSG);
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.start), 1, LAUNCH_FROM_LAUNCHER), -EBADMSG);
        assert_int_equal(launch_message_check(&msg, 3, 0, LAUNCH_FROM_SUPERVISOR), -EBADMSG);
}

static void test_unknown_types_are_refused(void **state) {
        LaunchMessage msg;

        memset(&msg, 0, sizeof(msg));
        for (size_t size = 1; size <= sizeof(msg); size++)
                assert_int_equal(
                        launch_message_check(&msg, size, 0, LAUNCH_FROM_SUPERVISOR), -EBADMSG);
        msg.header.type = _LAUNCH_TYPE_MAX;
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.header), 0, LAUNCH_FROM_SUPERVISOR),
                -EBADMSG);
        msg.header.type = UINT32_MAX;
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.header), 0, LAUNCH_FROM_LAUNCHER), -EBADMSG);
}

/* A type that was added to the enum and not to the table would be refused, silently. */
static void test_every_type_has_a_size(void **state) {
        for (LaunchType type = _LAUNCH_INVALID + 1; type < _LAUNCH_TYPE_MAX; type++)
                assert_true(launch_message_size(type) >= sizeof(LaunchHeader));
        assert_int_equal(launch_message_size(_LAUNCH_TYPE_MAX), 0);
}

static void test_details_are_one_printable_line(void **state) {
        LaunchMessage msg;

        memset(&msg, 0, sizeof(msg));
        msg.inspected.header.type = LAUNCH_INSPECTED;
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.inspected), 0, LAUNCH_FROM_LAUNCHER), 0);
        field_set(
                msg.inspected.layers[3].detail, sizeof(msg.inspected.layers[3].detail), "a\033[2J");
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.inspected), 0, LAUNCH_FROM_LAUNCHER),
                -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good_start_passes),
                cmocka_unit_test(test_every_field_of_a_start_is_checked),
                cmocka_unit_test(test_length_sender_and_descriptors_must_fit),
                cmocka_unit_test(test_unknown_types_are_refused),
                cmocka_unit_test(test_every_type_has_a_size),
                cmocka_unit_test(test_details_are_one_printable_line),
        };

        return cmocka_run_group_tests_name("ipc/launch_proto", tests, NULL, NULL);
}
