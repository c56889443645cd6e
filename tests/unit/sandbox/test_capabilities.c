/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A dyno's way out of its capabilities, step by step: the exec at the end takes them anyway,
 * and would hide what one of these steps left. Each case is a child that has them all, in a
 * user namespace of its own, which root can always make.
 */

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../child.h"
#include "sandbox/capabilities.h"

static struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

static void read_sets(struct __user_cap_data_struct ret[_LINUX_CAPABILITY_U32S_3]) {
        CHECK(syscall(SYS_capget, &header, ret) == 0);
}

/* All capabilities of a new user namespace, and one that would outlive a change of uid. */
static void take_capabilities(void) {
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        uid_t uid = geteuid();

        if (unshare(CLONE_NEWUSER) < 0)
                _exit(uid == 0 ? 1 : SKIPPED);
        read_sets(data);
        data[CAP_TO_INDEX(CAP_KILL)].inheritable = CAP_TO_MASK(CAP_KILL);
        CHECK(syscall(SYS_capset, &header, data) == 0);
        CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0) == 0);
}

static void child_locks(void) {
        take_capabilities();
        CHECK(capabilities_lock() == 0);
        CHECK(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == DYNO_SECUREBITS);
        CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0) == 0);
        for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
                CHECK(prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 0);
}

static void child_drops(void) {
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        take_capabilities();
        CHECK(capabilities_lock() == 0);
        CHECK(capabilities_drop_all() == 0);
        read_sets(data);
        for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
                CHECK((data[i].effective | data[i].permitted | data[i].inheritable) == 0);
}

static void child_forgets_the_lock(void) {
        take_capabilities();
        CHECK(capabilities_drop_all() == -EPROTO);
}

/* What is permitted becomes effective, and nothing else does. */
static void child_raises(void) {
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        take_capabilities();
        read_sets(data);
        for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
                data[i].effective = 0;
        data[CAP_TO_INDEX(CAP_CHOWN)].permitted &= ~CAP_TO_MASK(CAP_CHOWN);
        CHECK(syscall(SYS_capset, &header, data) == 0);
        CHECK(capabilities_raise(CAP_SYS_ADMIN) == 0);
        CHECK(capabilities_raise(CAP_BPF) == 0);
        CHECK(capabilities_raise(CAP_CHOWN) == -EPERM);
        read_sets(data);
        CHECK(data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective == CAP_TO_MASK(CAP_SYS_ADMIN));
        CHECK(data[CAP_TO_INDEX(CAP_BPF)].effective == CAP_TO_MASK(CAP_BPF));
}

/* Without the one capability that it takes. */
static void child_cannot_lock(void) {
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        take_capabilities();
        read_sets(data);
        data[CAP_TO_INDEX(CAP_SETPCAP)].effective &= ~CAP_TO_MASK(CAP_SETPCAP);
        CHECK(syscall(SYS_capset, &header, data) == 0);
        CHECK(capabilities_lock() == -EPERM);
}

static void test_raising_takes_what_is_permitted(void **state) {
        expect_success(child_raises);
}

static void test_a_bounding_set_that_stays_is_noticed(void **state) {
        expect_success(child_cannot_lock);
}

static void test_locking_empties_two_sets_and_sets_all_bits(void **state) {
        expect_success(child_locks);
}

static void test_dropping_empties_the_others(void **state) {
        expect_success(child_drops);
}

static void test_bits_that_are_not_locked_are_noticed(void **state) {
        expect_success(child_forgets_the_lock);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_raising_takes_what_is_permitted),
                cmocka_unit_test(test_a_bounding_set_that_stays_is_noticed),
                cmocka_unit_test(test_locking_empties_two_sets_and_sets_all_bits),
                cmocka_unit_test(test_dropping_empties_the_others),
                cmocka_unit_test(test_bits_that_are_not_locked_are_noticed),
        };

        return cmocka_run_group_tests_name("sandbox/capabilities", tests, NULL, NULL);
}
