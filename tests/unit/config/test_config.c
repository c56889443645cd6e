/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/parse.h"
#include "config/config.h"

#define USERS "supervisor_user = 70001\nlogger_user = 70002\ncontrol_group = 70003\n"

static char dir[] = "/tmp/dynod-test-config-XXXXXX";
static char path[128];

static void write_file(const char *name, const char *text) {
        FILE *f = fopen(name, "we");

        assert_non_null(f);
        assert_int_equal(fputs(text, f) >= 0, 1);
        assert_int_equal(fclose(f), 0);
}

static int read_text(Config **ret, const char *text, ConfigError *reterr) {
        write_file(path, text);
        return config_read(ret, "unit", path, reterr);
}

static void test_defaults_follow_the_instance(void **state) {
        _cleanup_(config_freep) Config *config = NULL;
        ConfigError error;

        assert_int_equal(read_text(&config, USERS, &error), 0);
        assert_string_equal(config->state_dir, "/var/lib/unit");
        assert_string_equal(config->run_dir, "/run/unit");
        assert_null(config->cgroup_root);
        assert_int_equal(config->web_port, 5000);
        assert_int_equal(config_find_size(config, "standard-1x")->memory_quota, 512 << 20);
        assert_int_equal(config->boot_timeout_usec, 60 * USEC_PER_SEC);
}

static void test_scratch_is_a_word_or_a_path(void **state) {
        static const struct {
                const char *text, *place;
                ScratchKind kind;
        } cases[] = {
                {USERS, NULL, SCRATCH_IMAGE},
                {USERS "scratch = /dev/sdb\nscratch = tmpfs\n", NULL, SCRATCH_TMPFS},
                {USERS "scratch = image\nscratch_size = 64M\n", NULL, SCRATCH_IMAGE},
                {USERS "scratch = /srv/scratch\n", "/srv/scratch", SCRATCH_PLACE},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(config_freep) Config *config = NULL, *copy = NULL;
                _cleanup_close_ int fd = -EBADF;
                ConfigError error;

                assert_int_equal(read_text(&config, cases[i].text, &error), 0);
                assert_int_equal(config_to_memfd(config, &fd), 0);
                assert_int_equal(config_read_fd(&copy, fd, &error), 0);
                assert_int_equal(copy->scratch, cases[i].kind);
                if (cases[i].place)
                        assert_string_equal(copy->scratch_place, cases[i].place);
                else
                        assert_null(copy->scratch_place);
        }
}

static void test_scratch_has_a_size_that_works(void **state) {
        _cleanup_(config_freep) Config *config = NULL;
        ConfigError error;

        assert_int_equal(read_text(&config, USERS "scratch_size = 63M\n", &error), -EINVAL);
        assert_non_null(strstr(error.text, "64M for an image"));
        assert_int_equal(
                read_text(&config, USERS "scratch = tmpfs\nscratch_size = 1023K\n", &error),
                -EINVAL);
        assert_non_null(strstr(error.text, "at least 1M"));
}

static void test_bad_values_name_file_and_line(void **state) {
        static const struct {
                const char *text, *expected;
        } cases[] = {
                {USERS "bogus = 1\n", "There is no key \"bogus\""},
                {USERS "web_port = 70000\n", "web_port = 70000: must be a port."},
                {USERS "web_port\n", "has no \"=\""},
                {USERS "state_dir = var\n", "must be an absolute path"},
                {USERS "network = 10.0.0.1/8\n", "must be a network"},
                {USERS "allow_missing = apparmor everything\n", "must be some of"},
                {USERS "boot_timeout = 181s\n", "1s to 180s"},
                {USERS "scratch = disk\n", "image, tmpfs, or the path"},
                {USERS "scratch = /a/../b\n", "image, tmpfs, or the path"},
                {USERS "[sizes x]\n", "There is no section [sizes x]"},
                {USERS "uid_base = 1000\n", "65536"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(config_freep) Config *config = NULL;
                ConfigError error;

                assert_int_equal(read_text(&config, cases[i].text, &error), -EINVAL);
                assert_non_null(strstr(error.text, cases[i].expected));
                assert_string_equal(error.file, path);
                assert_int_equal(error.line, 4);
        }
}

static void test_size_has_memory_to_start_with(void **state) {
        _cleanup_(config_freep) Config *config = NULL;
        ConfigError error;

        assert_int_equal(
                read_text(
                        &config, USERS "[size Tiny]\nmemory = 8191K\nmemory_kill = 64M\n", &error),
                -EINVAL);
        assert_non_null(strstr(error.text, "memory = 8191K: must be at least 8M"));
        assert_int_equal(
                read_text(&config, USERS "[size Tiny]\nmemory = 8M\nmemory_kill = 1\n", &error),
                -EINVAL);
        assert_non_null(strstr(error.text, "memory_kill = 1: must be at least 8M"));
        assert_int_equal(
                read_text(&config, USERS "[size Tiny]\nmemory = 8M\nmemory_kill = 8M\n", &error),
                0);
        assert_int_equal(config_find_size(config, "tiny")->memory_quota, DYNO_MEMORY_MIN);
}

static void test_ids_of_dynos_are_nobody_elses(void **state) {
        static const char *const refused[] = {
                USERS "uid_base = 70000\n",
                USERS "uid_base = 70001\nlogger_user = 80\ncontrol_group = 80\n",
                USERS "uid_base = 200000\ncontrol_group = 217407\n",
                USERS "supervisor_user = 4294967295\n",
                USERS "control_group = 4294967295\n",
        };
        _cleanup_(config_freep) Config *config = NULL;
        ConfigError error;

        for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
                assert_int_equal(read_text(&config, refused[i], &error), -EINVAL);
        assert_int_equal(
                read_text(&config, USERS "uid_base = 200000\ncontrol_group = 217408\n", &error), 0);
}

static void test_drop_ins_win_in_order(void **state) {
        _cleanup_(config_freep) Config *config = NULL;
        char drop_in[160];
        ConfigError error;
        char *text = NULL;
        size_t size;
        FILE *out;

        (void)snprintf(drop_in, sizeof(drop_in), "%s.d", path);
        assert_int_equal(mkdir(drop_in, 0755), 0);
        (void)snprintf(drop_in, sizeof(drop_in), "%s.d/20-b.conf", path);
        write_file(drop_in, "web_port = 7000\n");
        (void)snprintf(drop_in, sizeof(drop_in), "%s.d/10-a.conf", path);
        write_file(drop_in, "web_port = 6000\nmax_dynos = 7\n");

        assert_int_equal(read_text(&config, USERS "web_port = 5500\n", &error), 0);
        assert_int_equal(config->web_port, 7000);
        assert_int_equal(config->max_dynos, 7);

        out = open_memstream(&text, &size);
        assert_non_null(out);
        config_print(config, out);
        assert_int_equal(fclose(out), 0);
        assert_non_null(strstr(text, "web_port = 7000    # "));
        assert_non_null(strstr(text, "20-b.conf:1\n"));
        assert_non_null(strstr(text, "pool = 8    # default\n"));
        free(text);

        assert_int_equal(unlink(drop_in), 0);
        (void)snprintf(drop_in, sizeof(drop_in), "%s.d/20-b.conf", path);
        assert_int_equal(unlink(drop_in), 0);
        (void)snprintf(drop_in, sizeof(drop_in), "%s.d", path);
        assert_int_equal(rmdir(drop_in), 0);
}

static void test_memfd_carries_every_value(void **state) {
        _cleanup_(config_freep) Config *config = NULL, *copy = NULL;
        _cleanup_close_ int fd = -EBADF;
        ConfigError error;

        assert_int_equal(
                read_text(
                        &config,
                        USERS "network = 10.9.0.0/16\nresolvers = 9.9.9.9, 1.1.1.1\n"
                              "public_ports = 80, 443/tcp 443/udp\n"
                              "allow_missing = tc apparmor\nstop_grace = 1500ms\n"
                              "[size Tiny]\nmemory = 64M\nmemory_kill = 96M\nprocesses = 32\n",
                        &error),
                0);
        assert_int_equal(config_to_memfd(config, &fd), 0);
        assert_int_equal(config_read_fd(&copy, fd, &error), 0);
        assert_string_equal(copy->instance, "unit");
        assert_int_equal(copy->network.s_addr, config->network.s_addr);
        assert_int_equal(copy->network_prefix, 16);
        assert_int_equal(copy->n_resolvers, 2);
        assert_int_equal(copy->n_public_ports, 3);
        assert_int_equal(copy->public_ports[0].port, 80);
        assert_int_equal(copy->public_ports[1].protocol, IPPROTO_TCP);
        assert_int_equal(copy->public_ports[2].port, 443);
        assert_int_equal(copy->public_ports[2].protocol, IPPROTO_UDP);
        assert_int_equal(copy->allow_missing, config->allow_missing);
        assert_int_equal(copy->stop_grace_usec, 1500 * USEC_PER_MSEC);
        assert_int_equal(copy->supervisor_gid, 70001);
        assert_int_equal(config_find_size(copy, "tiny")->memory_kill, 96 << 20);
        assert_int_equal(config_find_size(copy, "tiny")->cpu_weight, 100);
        assert_int_equal(copy->n_sizes, config->n_sizes);
        assert_int_equal(write(fd, "x", 1), -1); /* sealed */
}

static void test_missing_file_is_an_error_only_if_named(void **state) {
        _cleanup_(config_freep) Config *config = NULL;
        ConfigError error;

        assert_int_equal(config_read(&config, "unit", "/nonexistent/dynod.conf", &error), -ENOENT);
        assert_string_equal(error.file, "/nonexistent/dynod.conf");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults_follow_the_instance),
                cmocka_unit_test(test_scratch_is_a_word_or_a_path),
                cmocka_unit_test(test_scratch_has_a_size_that_works),
                cmocka_unit_test(test_bad_values_name_file_and_line),
                cmocka_unit_test(test_size_has_memory_to_start_with),
                cmocka_unit_test(test_ids_of_dynos_are_nobody_elses),
                cmocka_unit_test(test_drop_ins_win_in_order),
                cmocka_unit_test(test_memfd_carries_every_value),
                cmocka_unit_test(test_missing_file_is_an_error_only_if_named),
        };
        int r;

        if (!mkdtemp(dir))
                return 1;
        (void)snprintf(path, sizeof(path), "%s/dynod.conf", dir);
        r = cmocka_run_group_tests_name("config/config", tests, NULL, NULL);
        (void)unlink(path);
        (void)rmdir(dir);
        return r;
}
