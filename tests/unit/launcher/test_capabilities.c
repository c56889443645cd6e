/* SPDX-License-Identifier: Apache-2.0 */

/* What root keeps of its capabilities, in a child that begins with all that we have. */

#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "../child.h"
#include "launcher/capabilities.h"

#define BIT(cap) (UINT64_C(1) << (cap))

/* As the unit has them: the list stands here once more, so that no change of it goes unseen. */
#define KEPT                                                                                       \
        (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_KILL) |                \
         BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETPCAP) | BIT(CAP_NET_ADMIN) |               \
         BIT(CAP_SYS_CHROOT) | BIT(CAP_SYS_PTRACE) | BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_RESOURCE) |  \
         BIT(CAP_MKNOD) | BIT(CAP_SETFCAP) | BIT(CAP_PERFMON) | BIT(CAP_BPF))

typedef struct Sets {
        uint64_t inheritable, permitted, effective, bounding;
} Sets;

static struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

static Sets read_sets(void) {
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
        Sets sets = {0};
        int r;

        CHECK(syscall(SYS_capget, &header, data) == 0);
        sets.inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
        sets.permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
        sets.effective = data[0].effective | (uint64_t)data[1].effective << 32;
        for (unsigned cap = 0; (r = prctl(PR_CAPBSET_READ, cap, 0, 0, 0)) >= 0; cap++)
                sets.bounding |= (uint64_t)r << cap;
        return sets;
}

/* One that is kept and one that is not would be handed on. */
static void make_inheritable(void) {
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        CHECK(syscall(SYS_capget, &header, data) == 0);
        data[0].inheritable = CAP_TO_MASK(CAP_CHOWN) | CAP_TO_MASK(CAP_NET_RAW);
        data[1].inheritable = CAP_TO_MASK(CAP_BPF);
        CHECK(syscall(SYS_capset, &header, data) == 0);
}

static void child_is_bound(void) {
        Sets before, after;

        if (geteuid() != 0)
                _exit(SKIPPED);
        before = read_sets();
        CHECK((before.permitted & ~KEPT) != 0);
        make_inheritable();
        CHECK(capabilities_bound() == 0);
        after = read_sets();
        CHECK(after.bounding == (before.bounding & KEPT));
        CHECK(after.permitted == (before.permitted & KEPT));
        CHECK(after.effective == (before.effective & KEPT));
        CHECK(after.inheritable == 0);
}

/* What we were not started with stays missing; without CAP_SETPCAP nothing can be bound. */
static void child_has_less(void) {
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
        Sets before, after;

        if (geteuid() != 0)
                _exit(SKIPPED);
        before = read_sets();
        CHECK(syscall(SYS_capget, &header, data) == 0);
        data[0].effective &= ~CAP_TO_MASK(CAP_CHOWN);
        data[0].permitted &= ~CAP_TO_MASK(CAP_CHOWN);
        CHECK(syscall(SYS_capset, &header, data) == 0);
        CHECK(capabilities_bound() == 0);
        after = read_sets();
        CHECK(after.permitted == (before.permitted & KEPT & ~BIT(CAP_CHOWN)));
        CHECK(after.effective == after.permitted);

        CHECK(syscall(SYS_capget, &header, data) == 0);
        data[0].effective &= ~CAP_TO_MASK(CAP_SETPCAP);
        CHECK(syscall(SYS_capset, &header, data) == 0);
        CHECK(capabilities_bound() == -EPERM);
}

static void test_only_what_making_dynos_needs_stays(void **state) {
        expect_success(child_is_bound);
}

static void test_what_is_missing_stays_missing(void **state) {
        expect_success(child_has_less);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_only_what_making_dynos_needs_stays),
                cmocka_unit_test(test_what_is_missing_stays_missing),
        };

        return cmocka_run_group_tests_name("launcher/capabilities", tests, NULL, NULL);
}
