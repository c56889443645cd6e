/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sandbox/inspect.h"

/* All layers hold; every other one is missing where it may be. */
static void fill(LaunchLayerReport reports[_LAYER_MAX]) {
        for (LaunchLayer layer = 0; layer < _LAYER_MAX; layer++) {
                reports[layer] = (LaunchLayerReport){
                        .verdict = layer % 2 == 0 ? VERDICT_OK : VERDICT_ALLOWED,
                };
                (void)snprintf(
                        reports[layer].detail,
                        sizeof(reports[layer].detail),
                        "detail of %u",
                        (unsigned)layer);
        }
}

static void test_what_holds_and_what_may_be_missing_passes(void **state) {
        LaunchLayerReport reports[_LAYER_MAX];
        SandboxError error = {.error = 0};

        fill(reports);
        assert_int_equal(inspect_verdict(reports, &error), 0);
        assert_int_equal(error.error, 0);
}

/* A report that nobody has filled is no better than one that says that a layer failed. */
static void test_any_layer_that_does_not_hold_is_named(void **state) {
        static const uint8_t verdicts[] = {VERDICT_FAILED, _VERDICT_MAX, UINT8_MAX};

        for (LaunchLayer layer = 0; layer < _LAYER_MAX; layer++)
                for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++) {
                        LaunchLayerReport reports[_LAYER_MAX];
                        SandboxError error = {.error = 0};
                        char detail[32];

                        fill(reports);
                        reports[layer].verdict = verdicts[i];
                        (void)snprintf(detail, sizeof(detail), "detail of %u", (unsigned)layer);
                        assert_int_equal(inspect_verdict(reports, &error), -EPROTO);
                        assert_int_equal(error.layer, layer);
                        assert_int_equal(error.error, EPROTO);
                        assert_string_equal(error.detail, detail);
                }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_holds_and_what_may_be_missing_passes),
                cmocka_unit_test(test_any_layer_that_does_not_hold_is_named),
        };

        return cmocka_run_group_tests_name("sandbox/inspect", tests, NULL, NULL);
}
