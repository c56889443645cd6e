/* SPDX-License-Identifier: Apache-2.0 */

/* Policies on disk, between two dynods: what is kept, and what is believed of it. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "launcher/dynos_internal.h"
#include "launcher/policies.h"
#include "sandbox/net_policy.h"

#define APPS_MAX 4

typedef struct Fixture {
        Launcher launcher;
        char path[64];
        int fd; /* the instance's folder */

        /* The network, as far as it matters here. */
        LaunchPolicy in_force[APPS_MAX];
        size_t n, count; /* @count: what it says that it has, beside those */
        unsigned made_whole, checked, set;
        int check_result, set_result;
        bool stored_first; /* what is set was on disk by then */
} Fixture;

static Fixture fixture;

static LaunchPolicy *find(uint32_t app_number) {
        for (size_t i = 0; i < fixture.n; i++)
                if (fixture.in_force[i].app_number == app_number)
                        return &fixture.in_force[i];
        return NULL;
}

/* In the way of the network. NOLINTBEGIN(bugprone-reserved-identifier) */
const LaunchPolicy *__wrap_net_policy_find(const Net *net, uint32_t app_number);
const LaunchPolicy *__wrap_net_policy_find(const Net *net, uint32_t app_number) {
        return find(app_number);
}

size_t __wrap_net_policy_count(const Net *net);
size_t __wrap_net_policy_count(const Net *net) {
        return fixture.n + fixture.count;
}

int __wrap_net_policy_restore(Net *net, const LaunchPolicy *policy);
int __wrap_net_policy_restore(Net *net, const LaunchPolicy *policy) {
        LaunchPolicy *found = find(policy->app_number);

        if (!found) {
                assert_true(fixture.n < APPS_MAX);
                found = &fixture.in_force[fixture.n++];
        }
        *found = *policy;
        return 0;
}

int __wrap_net_policy_check(Net *net, const LaunchPolicy *policy, uint16_t *ret_taken);
int __wrap_net_policy_check(Net *net, const LaunchPolicy *policy, uint16_t *ret_taken) {
        assert_int_equal(fixture.made_whole, fixture.checked + 1);
        fixture.checked++;
        if (fixture.check_result < 0)
                *ret_taken = 8080;
        return fixture.check_result;
}

static bool is_stored(uint32_t app_number, uint64_t serial);

int __wrap_net_policy_set(Net *net, const LaunchPolicy *policy);
int __wrap_net_policy_set(Net *net, const LaunchPolicy *policy) {
        fixture.set++;
        fixture.stored_first = is_stored(policy->app_number, policy->serial);
        return fixture.set_result != 0 ? fixture.set_result
                                       : __wrap_net_policy_restore(net, policy);
}

void __wrap_network_make_whole(Launcher *launcher);
void __wrap_network_make_whole(Launcher *launcher) {
        fixture.made_whole++;
}
/* NOLINTEND(bugprone-reserved-identifier) */

static int setup(void **state) {
        fixture = (Fixture){.path = "/tmp/test-policies-XXXXXX"};
        *state = &fixture;
        if (!mkdtemp(fixture.path))
                return -1;
        fixture.fd = open(fixture.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fixture.launcher = (Launcher){
                .instance = {.run_dir_fd = fixture.fd},
                .policies_dir_fd = -EBADF,
        };
        return policies_open(&fixture.launcher);
}

static int teardown(void **state) {
        Fixture *f = *state;

        for (uint32_t app = 0; app < 10; app++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "%u", app);
                (void)unlinkat(f->launcher.policies_dir_fd, name, 0);
        }
        (void)unlinkat(f->launcher.policies_dir_fd, "x", 0);
        (void)close(f->launcher.policies_dir_fd);
        assert_int_equal(unlinkat(f->fd, "policies", AT_REMOVEDIR), 0);
        (void)close(f->fd);
        return rmdir(f->path);
}

static LaunchPolicy policy_of(uint32_t app_number, uint64_t serial) {
        return (LaunchPolicy){
                .header = {.type = LAUNCH_POLICY},
                .serial = serial,
                .app_number = app_number,
                .n_rules = serial != 0,
                .rules =
                        {{.network = serial ? htonl(0xc0000200) : 0,
                          .prefix = serial ? 24 : 0,
                          .allow = serial != 0}},
        };
}

static int set(uint32_t app_number, uint64_t serial) {
        const LaunchPolicy policy = policy_of(app_number, serial);
        uint16_t taken = 0;

        return policies_set(&fixture.launcher, &policy, &taken);
}

/* As the next dynod does. */
static void restart(void) {
        fixture.n = 0;
        assert_int_equal(policies_restore(&fixture.launcher), 0);
}

/* What the next dynod would say of the app: 0 for none. */
static uint64_t stored_serial(uint32_t app_number) {
        const Fixture before = fixture;
        const LaunchPolicy *found;
        uint64_t serial;

        restart();
        found = find(app_number);
        serial = found ? found->serial : 0;
        fixture = before;
        return serial;
}

static bool is_stored(uint32_t app_number, uint64_t serial) {
        return stored_serial(app_number) == serial;
}

static void assert_closed(uint32_t app_number) {
        const LaunchPolicy *found = find(app_number);

        assert_non_null(found);
        assert_int_equal(found->egress_closed, 1);
        assert_int_equal(found->n_rules, 0);
        assert_int_equal(found->n_published, 0);
        assert_true(found->serial == UINT64_MAX);
}

static void test_what_was_set_is_in_force_after_a_restart(void **state) {
        struct stat st;

        assert_int_equal(set(1, 7), 0);
        assert_true(fixture.stored_first);
        assert_int_equal(set(2, 8), 0);
        assert_int_equal(fstatat(fixture.launcher.policies_dir_fd, "1", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0600);

        restart();
        assert_int_equal(fixture.n, 2);
        for (uint32_t app = 1; app <= 2; app++) {
                const LaunchPolicy wanted = policy_of(app, 6 + app);
                const LaunchPolicy *found = find(app);

                assert_non_null(found);
                assert_memory_equal(found, &wanted, sizeof(wanted));
        }

        /* An app that has none any more has no file. */
        assert_int_equal(set(1, 0), 0);
        assert_int_equal(faccessat(fixture.launcher.policies_dir_fd, "1", F_OK, 0), -1);
        assert_int_equal(set(3, 0), 0);
        restart();
        assert_int_equal(fixture.n, 1);
}

/* Which request it came with is no part of it. */
static void test_the_request_is_not_kept(void **state) {
        LaunchPolicy policy = policy_of(1, 7);
        uint16_t taken = 0;

        policy.header.seq = 4711;
        assert_int_equal(policies_set(&fixture.launcher, &policy, &taken), 0);
        assert_true(is_stored(1, 7));
        restart();
        assert_int_equal(find(1)->header.seq, 0);
}

/* Nor that it was asked for: told again from the store, it is the same. */
static void test_that_it_was_asked_for_is_not_kept(void **state) {
        LaunchPolicy policy = policy_of(1, 7);
        uint16_t taken = 0;

        policy.asked = 1;
        assert_int_equal(policies_set(&fixture.launcher, &policy, &taken), 0);
        assert_int_equal(find(1)->asked, 0);
        assert_int_equal(set(1, 7), 0);
        assert_int_equal(policies_set(&fixture.launcher, &policy, &taken), 0);
        assert_int_equal(fixture.set, 1);
        restart();
        assert_int_equal(find(1)->asked, 0);
}

/* A link in the folder's place. */
static void test_the_folder_is_ours(void **state) {
        int dir_fd = fixture.launcher.policies_dir_fd;

        assert_int_equal(renameat(fixture.fd, "policies", fixture.fd, "aside"), 0);
        assert_int_equal(symlinkat("aside", fixture.fd, "policies"), 0);
        assert_int_equal(policies_open(&fixture.launcher), -ENOTDIR);
        assert_int_equal(unlinkat(fixture.fd, "policies", 0), 0);
        assert_int_equal(renameat(fixture.fd, "aside", fixture.fd, "policies"), 0);
        assert_int_equal(policies_open(&fixture.launcher), 0);
        (void)close(dir_fd);
}

static void test_what_is_in_force_is_not_set_again(void **state) {
        assert_int_equal(set(1, 7), 0);
        assert_int_equal(set(1, 7), 0);
        assert_int_equal(fixture.set, 1);
        assert_int_equal(set(1, 8), 0);
        assert_int_equal(fixture.set, 2);
        assert_true(is_stored(1, 8));
}

static void test_there_are_no_more_than_apps(void **state) {
        fixture.count = 1099;
        assert_int_equal(set(1, 7), 0);
        assert_int_equal(set(2, 7), -ENOSPC);
        assert_int_equal(fixture.set, 1);
        assert_true(is_stored(2, 0));
        /* One that is there changes and goes, and one that is not goes, too. */
        assert_int_equal(set(1, 8), 0);
        assert_int_equal(set(2, 0), 0);
        assert_int_equal(set(1, 0), 0);
}

static void test_what_is_not_allowed_is_not_stored(void **state) {
        const LaunchPolicy policy = policy_of(1, 8);
        uint16_t taken = 0;

        assert_int_equal(set(1, 7), 0);
        fixture.check_result = -EADDRINUSE;
        assert_int_equal(policies_set(&fixture.launcher, &policy, &taken), -EADDRINUSE);
        assert_int_equal(taken, 8080);
        assert_int_equal(fixture.set, 1);
        assert_true(is_stored(1, 7));
}

static void test_what_the_kernel_refuses_is_taken_back(void **state) {
        assert_int_equal(set(1, 7), 0);
        fixture.set_result = NET_E_FIREWALL;
        assert_int_equal(set(1, 8), -EIO);
        assert_true(fixture.stored_first);
        assert_true(is_stored(1, 7));
        assert_int_equal(set(2, 8), -EIO);
        assert_true(is_stored(2, 0));
        fixture.set_result = -ENOMEM;
        assert_int_equal(set(1, 8), -ENOMEM);
        assert_true(is_stored(1, 7));
        assert_int_equal(set(1, 0), -ENOMEM);
        assert_true(is_stored(1, 7));
}

/* A disk that takes no file: nothing is changed. */
static void test_what_cannot_be_stored_is_not_set(void **state) {
        int dir_fd = fixture.launcher.policies_dir_fd;

        fixture.launcher.policies_dir_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_int_equal(set(1, 7), -ENOTDIR);
        (void)close(fixture.launcher.policies_dir_fd);
        fixture.launcher.policies_dir_fd = dir_fd;
        assert_int_equal(fixture.set, 0);
}

typedef struct Damage {
        off_t at; /* of one byte that is other than it was; negative: none */
        off_t size;
        const char *name; /* the file that it becomes */
} Damage;

/* magic, version, and the policy as in a message */
#define AT(field) (8 + (off_t)offsetof(LaunchPolicy, field))
#define FILE_SIZE ((off_t)(8 + sizeof(LaunchPolicy)))

static void test_a_damaged_one_is_closed(void **state) {
        static const Damage damages[] = {
                {0, FILE_SIZE, "1"},
                {4, FILE_SIZE, "1"},
                {AT(header), FILE_SIZE, "1"},
                {AT(app_number), FILE_SIZE, "1"},
                {AT(egress_closed), FILE_SIZE, "1"},
                {AT(n_rules), FILE_SIZE, "1"},
                {AT(reserved), FILE_SIZE, "1"},
                {AT(rules) + (off_t)offsetof(NetworkRule, prefix), FILE_SIZE, "1"},
                {-1, FILE_SIZE, "2"},
                {-1, FILE_SIZE - 1, "1"},
                {-1, 0, "1"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
                const Damage *damage = &damages[i];
                int dir_fd = fixture.launcher.policies_dir_fd, fd;
                uint8_t byte = 0;

                fixture.n = 0;
                assert_int_equal(set(1, 7), 0);
                fd = openat(dir_fd, "1", O_RDWR | O_CLOEXEC);
                if (damage->at >= 0) {
                        assert_int_equal(pread(fd, &byte, 1, damage->at), 1);
                        byte ^= 0x40;
                        assert_int_equal(pwrite(fd, &byte, 1, damage->at), 1);
                }
                assert_int_equal(ftruncate(fd, damage->size), 0);
                (void)close(fd);
                assert_int_equal(renameat(dir_fd, "1", dir_fd, damage->name), 0);
                restart();
                assert_int_equal(fixture.n, 1);
                assert_closed((uint32_t)strtoul(damage->name, NULL, 10));
                assert_int_equal(unlinkat(dir_fd, damage->name, 0), 0);
        }
}

/* Of no serial there is no policy; a link leads to what somebody else wrote. */
static void test_what_we_did_not_write_is_closed(void **state) {
        int dir_fd = fixture.launcher.policies_dir_fd, fd;

        assert_int_equal(set(1, 7), 0);
        assert_int_equal(renameat(dir_fd, "1", dir_fd, "x"), 0);
        assert_int_equal(symlinkat("x", dir_fd, "1"), 0);
        restart();
        assert_int_equal(fixture.n, 1); /* "x" is none */
        assert_closed(1);

        assert_int_equal(unlinkat(dir_fd, "1", 0), 0);
        assert_int_equal(renameat(dir_fd, "x", dir_fd, "1"), 0);
        fd = openat(dir_fd, "1", O_WRONLY | O_CLOEXEC);
        for (off_t at = AT(serial); at < FILE_SIZE; at++)
                if (at < AT(app_number) || at >= AT(fixed_source))
                        assert_int_equal(pwrite(fd, "", 1, at), 1);
        (void)close(fd);
        restart();
        assert_closed(1);
}

static void add_dyno(uint32_t app_number, uint64_t serial) {
        Dyno *dyno = dyno_new(&fixture.launcher);

        assert_non_null(dyno);
        dyno->facts.start.app_number = app_number;
        dyno->facts.start.policy = serial;
        dyno_link(dyno);
}

static void test_a_dyno_that_had_one_that_is_lost_reaches_nothing(void **state) {
        fixture.launcher.inotify_fd = -EBADF;
        assert_int_equal(set(1, 7), 0);
        add_dyno(1, 7);
        add_dyno(2, 5);
        add_dyno(3, 0);
        add_dyno(2, 5);
        restart();
        assert_int_equal(fixture.n, 2);
        assert_true(find(1)->serial == 7);
        assert_closed(2);
        assert_null(find(3)); /* it never had one */
        dynos_clear(&fixture.launcher);
}

static void test_a_start_names_what_is_in_force(void **state) {
        static const struct {
                uint32_t app_number;
                uint64_t serial;
                int result;
        } starts[] = {
                {1, 7, 0},
                {1, 6, -ESTALE},
                {1, 8, -ESTALE},
                {1, 0, -ESTALE},
                {2, 0, 0},
                {2, 7, -ESTALE},
                {1, UINT64_MAX, -ESTALE},
        };

        assert_int_equal(set(1, 7), 0);
        for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
                const LaunchStart start = {
                        .app_number = starts[i].app_number, .policy = starts[i].serial};
                SandboxError error = {.error = 0};

                assert_int_equal(
                        policies_check_start(&fixture.launcher, &start, &error), starts[i].result);
                assert_int_equal(error.error, -starts[i].result);
                if (starts[i].result < 0)
                        assert_int_equal(error.layer, LAYER_NETWORK);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_what_was_set_is_in_force_after_a_restart, setup, teardown),
                cmocka_unit_test_setup_teardown(test_the_request_is_not_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_that_it_was_asked_for_is_not_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_the_folder_is_ours, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_is_in_force_is_not_set_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_there_are_no_more_than_apps, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_is_not_allowed_is_not_stored, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_the_kernel_refuses_is_taken_back, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_cannot_be_stored_is_not_set, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_damaged_one_is_closed, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_what_we_did_not_write_is_closed, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_dyno_that_had_one_that_is_lost_reaches_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_start_names_what_is_in_force, setup, teardown),
        };

        return cmocka_run_group_tests_name("launcher/policies", tests, NULL, NULL);
}
