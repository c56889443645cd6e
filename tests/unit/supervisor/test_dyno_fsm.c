/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "supervisor/dyno_fsm.h"

static void assert_cell(DynoState state, DynoEvent event, DynoState next, DynoAction action) {
        DynoTransition t = dyno_fsm_next(state, event);

        assert_int_equal(t.next, next);
        assert_int_equal(t.action, action);
}

static void test_stop_while_starting_terms_and_waits(void **state) {
        assert_cell(DYNO_STARTING, DYNO_EV_STOP, DYNO_STOPPING, DYNO_ACT_TERM);
}

static void test_boot_timeout_kills_and_stays_starting(void **state) {
        assert_cell(DYNO_STARTING, DYNO_EV_TIMEOUT, DYNO_STARTING, DYNO_ACT_BOOT_TIMEOUT);
        assert_cell(DYNO_STARTING, DYNO_EV_EXIT, DYNO_CRASHED, DYNO_ACT_CRASH);
}

static void test_crash_starts_again_at_its_timer(void **state) {
        assert_cell(DYNO_UP, DYNO_EV_EXIT, DYNO_CRASHED, DYNO_ACT_CRASH);
        assert_cell(DYNO_CRASHED, DYNO_EV_TIMEOUT, DYNO_STARTING, DYNO_ACT_LAUNCH);
}

static void test_bound_during_stop_does_not_bring_it_up(void **state) {
        assert_cell(DYNO_STOPPING, DYNO_EV_READY, DYNO_STOPPING, DYNO_ACT_IGNORE);
}

static void test_one_off_completes_from_wherever_it_runs(void **state) {
        assert_cell(DYNO_STARTING, DYNO_EV_END, DYNO_COMPLETE, DYNO_ACT_REAP);
        assert_cell(DYNO_UP, DYNO_EV_END, DYNO_COMPLETE, DYNO_ACT_REAP);
        assert_cell(DYNO_STOPPING, DYNO_EV_END, DYNO_COMPLETE, DYNO_ACT_REAP);
}

static void test_refused_event_keeps_state(void **state) {
        assert_cell(DYNO_DOWN, DYNO_EV_READY, DYNO_DOWN, DYNO_ACT_REFUSE);
        assert_cell(DYNO_COMPLETE, DYNO_EV_START, DYNO_COMPLETE, DYNO_ACT_REFUSE);
}

/* Adding a state or an event without deciding all its cells changes this count. */
static void test_refused_cells_are_all_deliberate(void **state) {
        unsigned n_refused = 0;

        for (unsigned s = 0; s < _DYNO_STATE_MAX; s++)
                for (unsigned e = 0; e < _DYNO_EVENT_MAX; e++)
                        n_refused +=
                                dyno_fsm_next((DynoState)s, (DynoEvent)e).action == DYNO_ACT_REFUSE;

        assert_int_equal(n_refused, 18);
}

/* Whatever happens, stopping and then the exit of the processes leads to an end. */
static void test_an_end_is_reachable_from_everywhere(void **state) {
        for (unsigned s = 0; s < _DYNO_STATE_MAX; s++) {
                DynoState now = dyno_fsm_next((DynoState)s, DYNO_EV_STOP).next;

                if (now == DYNO_STOPPING)
                        now = dyno_fsm_next(now, DYNO_EV_EXIT).next;
                assert_true(now == DYNO_DOWN || now == DYNO_COMPLETE);
        }
}

static void test_every_state_has_a_name_that_reads_back(void **state) {
        for (unsigned s = 0; s < _DYNO_STATE_MAX; s++)
                assert_int_equal(dyno_state_from_string(dyno_state_to_string((DynoState)s)), s);
        assert_int_equal(dyno_state_from_string("idle"), -1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stop_while_starting_terms_and_waits),
                cmocka_unit_test(test_boot_timeout_kills_and_stays_starting),
                cmocka_unit_test(test_crash_starts_again_at_its_timer),
                cmocka_unit_test(test_bound_during_stop_does_not_bring_it_up),
                cmocka_unit_test(test_one_off_completes_from_wherever_it_runs),
                cmocka_unit_test(test_refused_event_keeps_state),
                cmocka_unit_test(test_refused_cells_are_all_deliberate),
                cmocka_unit_test(test_an_end_is_reachable_from_everywhere),
                cmocka_unit_test(test_every_state_has_a_name_that_reads_back),
        };

        return cmocka_run_group_tests_name("supervisor/dyno_fsm", tests, NULL, NULL);
}
