/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/dyno_state.h"

#define ID "web.1-7f3a9c"

static char buf[DYNO_STATE_SIZE_MAX];
static size_t size;

static LaunchDynoFacts facts_of_a_dyno(void) {
        LaunchDynoFacts facts;

        memset(&facts, 0, sizeof(facts));
        facts.header.type = LAUNCH_DYNO;
        facts.pid = 4711;
        facts.uid = 1878982660;
        facts.address = 0x0240a8c0;
        facts.bound = 1;
        facts.started_usec = 1700000000000000;
        facts.start.number = 1;
        facts.start.release = 7;
        facts.start.web_port = 5000;
        facts.start.cpu_weight = 100;
        facts.start.process_limit = 256;
        facts.start.memory_quota = facts.start.memory_kill = 512 << 20;
        facts.start.app_number = 3;
        field_set(facts.start.id, sizeof(facts.start.id), ID);
        field_set(facts.start.app, sizeof(facts.start.app), "shop");
        field_set(facts.start.type, sizeof(facts.start.type), "web");
        field_set(facts.start.size, sizeof(facts.start.size), "Standard-1X");
        return facts;
}

static int write_one(void **state) {
        LaunchDynoFacts facts = facts_of_a_dyno();

        memset(buf, 0, sizeof(buf));
        size = dyno_state_write(buf, &facts);
        return 0;
}

static DynoStateHead *head(void) {
        return (DynoStateHead *)(void *)buf;
}

static void test_what_was_written_is_read(void **state) {
        LaunchDynoFacts facts = facts_of_a_dyno(), read;

        assert_int_equal(dyno_state_read(buf, size, ID, &read), 0);
        assert_memory_equal(&read, &facts, sizeof(facts));
}

/* The offsets that every later version finds these at. */
static void test_head_stays_where_it_is(void **state) {
        uint32_t word;

        assert_memory_equal(buf, "dyst", 4);
        memcpy(&word, buf + 12, sizeof(word));
        assert_int_equal(word, 4711);
        memcpy(&word, buf + 16, sizeof(word));
        assert_int_equal(word, 1878982660);
        assert_string_equal(buf + 40, ID);
}

static void test_longer_one_that_says_nothing_unknown_is_read(void **state) {
        LaunchDynoFacts read;

        head()->start_size += 16;
        assert_int_equal(dyno_state_read(buf, size + 16, ID, &read), 0);
        assert_int_equal(read.pid, 4711);
}

static void test_longer_one_that_says_something_unknown_is_newer(void **state) {
        LaunchDynoFacts read;

        head()->start_size += 16;
        buf[size + 9] = 1;
        assert_int_equal(dyno_state_read(buf, size + 16, ID, &read), DYNO_STATE_E_NEWER);
}

static void test_newer_version_is_told_whatever_follows(void **state) {
        LaunchDynoFacts read;

        head()->version++;
        assert_int_equal(dyno_state_read(buf, size, ID, &read), DYNO_STATE_E_NEWER);
        assert_int_equal(
                dyno_state_read(buf, sizeof(DynoStateHead), ID, &read), DYNO_STATE_E_NEWER);
}

/* A field that an older dynod did not know has zero: whether that is fine, its check says. */
static void test_shorter_one_is_filled_up_with_zeroes(void **state) {
        LaunchDynoFacts read;

        head()->start_size -= (uint32_t)sizeof(read.start.size) - 1;
        assert_int_equal(dyno_state_read(buf, size - (sizeof(read.start.size) - 1), ID, &read), 0);
        assert_string_equal(read.start.size, "S");
}

static void test_damaged_ones_are_refused(void **state) {
        LaunchDynoFacts read;

        assert_int_equal(dyno_state_read(buf, 0, ID, &read), -EBADMSG);
        assert_int_equal(dyno_state_read(buf, size - 1, ID, &read), -EBADMSG);
        assert_int_equal(dyno_state_read(buf, size, "web.1-7f3a9d", &read), -EBADMSG);
        (void)write_one(NULL);
        head()->pid = 1;
        assert_int_equal(dyno_state_read(buf, size, ID, &read), -EBADMSG);
        (void)write_one(NULL);
        head()->version = 0;
        assert_int_equal(dyno_state_read(buf, size, ID, &read), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_what_was_written_is_read, write_one),
                cmocka_unit_test_setup(test_head_stays_where_it_is, write_one),
                cmocka_unit_test_setup(
                        test_longer_one_that_says_nothing_unknown_is_read, write_one),
                cmocka_unit_test_setup(
                        test_longer_one_that_says_something_unknown_is_newer, write_one),
                cmocka_unit_test_setup(test_newer_version_is_told_whatever_follows, write_one),
                cmocka_unit_test_setup(test_shorter_one_is_filled_up_with_zeroes, write_one),
                cmocka_unit_test_setup(test_damaged_ones_are_refused, write_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
