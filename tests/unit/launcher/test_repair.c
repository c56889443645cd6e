/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/parse.h"
#include "launcher/repair.h"

#define NOW (1000 * USEC_PER_SEC)

/* From the damage to the end of its restoration, whatever others do. */
#define WITHIN (5 * USEC_PER_SEC)

/* Put back as soon as it may be, and taken away again @left_alone later. */
typedef struct Fight {
        RepairPace pace;
        uint64_t damaged, now; /* CLOCK_BOOTTIME, µs, as all times */
        uint64_t longest;      /* that it was damaged */
        uint64_t busy;
        unsigned restored;
} Fight;

static void put_back(Fight *f, uint64_t work, uint64_t left_alone) {
        uint64_t due = repair_due(&f->pace), begin = due > f->damaged ? due : f->damaged;

        f->now = begin + work;
        repair_note(&f->pace, begin, f->now);
        if (f->now - f->damaged > f->longest)
                f->longest = f->now - f->damaged;
        f->busy += work;
        f->restored++;
        f->damaged = f->now + left_alone;
}

static void test_the_first_time_is_at_once(void **state) {
        Fight f = {.damaged = NOW};

        put_back(&f, 0, 0);
        assert_int_equal(f.now, NOW);
}

static void
test_who_flushes_all_the_time_is_answered_within_seconds_and_not_all_the_time(void **state) {
        Fight f = {.damaged = NOW};

        while (f.now < NOW + 3600 * USEC_PER_SEC)
                put_back(&f, 20 * USEC_PER_MSEC, 1);
        assert_true(f.longest <= WITHIN);
        assert_true(f.restored > 3600 * USEC_PER_SEC / WITHIN);
        assert_true(f.busy < 3600 * USEC_PER_SEC / 100);
}

static void test_pauses_grow(void **state) {
        static const uint64_t pauses[] = {1, 2, 4, 4, 4};
        Fight f = {.damaged = NOW};

        for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
                put_back(&f, 0, 0);
                assert_int_equal(repair_due(&f.pace) - f.now, pauses[i] * USEC_PER_SEC);
        }
}

static void test_after_a_long_peace_all_begins_anew(void **state) {
        Fight f = {.damaged = NOW};

        for (unsigned i = 0; i < 5; i++)
                put_back(&f, 0, 0);
        f.damaged = f.now + 3600 * USEC_PER_SEC;
        put_back(&f, 0, 0);
        assert_int_equal(f.now, f.damaged);
        assert_int_equal(repair_due(&f.pace) - f.now, USEC_PER_SEC);
}

static void test_what_takes_long_takes_half_of_the_time_at_most(void **state) {
        Fight f = {.damaged = NOW};

        while (f.now < NOW + 3600 * USEC_PER_SEC)
                put_back(&f, 20 * USEC_PER_SEC, 1);
        assert_true(f.busy <= (f.now - NOW) / 2 + 20 * USEC_PER_SEC);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_first_time_is_at_once),
                cmocka_unit_test(
                        test_who_flushes_all_the_time_is_answered_within_seconds_and_not_all_the_time),
                cmocka_unit_test(test_pauses_grow),
                cmocka_unit_test(test_after_a_long_peace_all_begins_anew),
                cmocka_unit_test(test_what_takes_long_takes_half_of_the_time_at_most),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
