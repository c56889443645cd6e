/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "launcher/sizes.h"

#define MB (UINT64_C(1) << 20)

/* Two sizes: one takes twice its quota, one of more processes and weight does not. */
static void configure(Config *config) {
        *config = (Config){.n_sizes = 2};
        config->sizes[0] = (DynoSize){
                .memory_quota = 512 * MB,
                .memory_kill = 1024 * MB,
                .cpu_weight = 100,
                .process_limit = 256,
        };
        config->sizes[1] = (DynoSize){
                .memory_quota = 2560 * MB,
                .memory_kill = 2560 * MB,
                .cpu_weight = 1000,
                .process_limit = 16384,
        };
}

static LaunchStart start_like(const DynoSize *size) {
        return (LaunchStart){
                .memory_quota = size->memory_quota,
                .memory_kill = size->memory_kill,
                .cpu_weight = size->cpu_weight,
                .process_limit = size->process_limit,
        };
}

static int setup(void **state) {
        static SizeBounds bounds;
        Config config;

        configure(&config);
        bounds = (SizeBounds){0};
        sizes_allow(&bounds, &config);
        *state = &bounds;
        return 0;
}

static void assert_refused(const SizeBounds *bounds, const LaunchStart *start, const char *word) {
        SandboxError error = {.layer = LAYER_PROCESS};

        assert_int_equal(sizes_check_start(bounds, start, &error), -ERANGE);
        assert_int_equal(error.layer, LAYER_LIMITS);
        assert_non_null(strstr(error.detail, word));
}

static void test_each_size_starts(void **state) {
        SandboxError error;
        Config config;

        configure(&config);
        for (size_t i = 0; i < config.n_sizes; i++) {
                LaunchStart start = start_like(&config.sizes[i]);

                assert_int_equal(sizes_check_start(*state, &start, &error), 0);
        }
}

static void test_a_small_quota_buys_no_more_memory(void **state) {
        SandboxError error;
        Config config;
        LaunchStart start;

        configure(&config);
        start = start_like(&config.sizes[0]);
        start.memory_quota = start.memory_kill = 8 * MB;
        assert_int_equal(sizes_check_start(*state, &start, &error), 0);
        start.memory_kill = 16 * MB;
        assert_int_equal(sizes_check_start(*state, &start, &error), 0);
        start.memory_kill = 16 * MB + 1;
        assert_refused(*state, &start, "memory");
        start.memory_kill = INT64_MAX;
        assert_refused(*state, &start, "memory");
}

static void test_processes_and_weights_are_those_of_the_sizes(void **state) {
        Config config;
        LaunchStart start;

        configure(&config);
        start = start_like(&config.sizes[0]);
        start.process_limit = 16385;
        assert_refused(*state, &start, "processes");
        start = start_like(&config.sizes[0]);
        start.cpu_weight = 1001;
        assert_refused(*state, &start, "processor");
        start.cpu_weight = 99;
        assert_refused(*state, &start, "processor");
}

/* The supervisor may not have read the new configuration yet. */
static void test_a_reload_takes_nothing_back(void **state) {
        SandboxError error;
        Config config;
        LaunchStart before, after;

        configure(&config);
        before = start_like(&config.sizes[1]);
        config.n_sizes = 1;
        config.sizes[0].memory_kill = 4096 * MB;
        after = start_like(&config.sizes[0]);
        assert_refused(*state, &after, "memory");
        sizes_allow(*state, &config);
        assert_int_equal(sizes_check_start(*state, &after, &error), 0);
        assert_int_equal(sizes_check_start(*state, &before, &error), 0);
}

static void test_a_small_host_lowers_the_processes(void **state) {
        LaunchStart start = {.process_limit = 32768};

        sizes_limit(*state, &start); /* nothing is known of the host */
        assert_int_equal(start.process_limit, 32768);
        sizes_set_host(*state, 262144);
        sizes_limit(*state, &start);
        assert_int_equal(start.process_limit, 32768);
        sizes_set_host(*state, 24000);
        sizes_limit(*state, &start);
        assert_int_equal(start.process_limit, 6000);
        sizes_set_host(*state, 500);
        sizes_limit(*state, &start);
        assert_int_equal(start.process_limit, 256);
        sizes_limit(*state, &start);
        assert_int_equal(start.process_limit, 256);
        assert_true(sizes_host_tasks() > 0);
        assert_int_equal(sizes_all_dynos(1000), 750);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_each_size_starts, setup),
                cmocka_unit_test_setup(test_a_small_quota_buys_no_more_memory, setup),
                cmocka_unit_test_setup(test_processes_and_weights_are_those_of_the_sizes, setup),
                cmocka_unit_test_setup(test_a_reload_takes_nothing_back, setup),
                cmocka_unit_test_setup(test_a_small_host_lowers_the_processes, setup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
