/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "sandbox/inspect_parse.h"
#include "sandbox/rootfs_plan.h"

#define STATUS_HEAD                                                                                \
        "Name:\tdyno-init\nUmask:\t0022\nState:\tS (sleeping)\nUid:\t7\t7\t7\t7\n"                 \
        "Gid:\t8\t8\t8\t8\n"
#define STATUS_TAIL                                                                                \
        "NSpid:\t4711\t1\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000001\n"                  \
        "CapEff:\t0000000000000002\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000004\n"        \
        "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n"

static void test_status_is_read(void **state) {
        ProcStatus s;

        (void)state;
        assert_int_equal(proc_status_parse(STATUS_HEAD "Groups:\t \n" STATUS_TAIL, &s), 0);
        assert_int_equal(s.uid[3], 7);
        assert_int_equal(s.gid[0], 8);
        assert_int_equal(s.n_groups, 0);
        assert_int_equal(s.innermost_pid, 1);
        assert_true(s.cap_inheritable == 0 && s.cap_permitted == 1 && s.cap_effective == 2);
        assert_true(s.cap_bounding == UINT64_C(0x1ffffffffff) && s.cap_ambient == 4);
        assert_int_equal(s.no_new_privs, 1);
        assert_int_equal(s.seccomp, 2);
        assert_int_equal(s.seccomp_filters, 3);

        assert_int_equal(proc_status_parse(STATUS_HEAD "Groups:\t4 24 27 \n" STATUS_TAIL, &s), 0);
        assert_int_equal(s.n_groups, 3);
}

/* Take any line away, and nothing is believed. */
static void test_status_without_a_line_is_refused(void **state) {
        static const char whole[] = STATUS_HEAD "Groups:\t \n" STATUS_TAIL;
        static const char *const keys[] = {
                "Uid",
                "Gid",
                "Groups",
                "NSpid",
                "CapInh",
                "CapPrm",
                "CapEff",
                "CapBnd",
                "CapAmb",
                "NoNewPrivs",
                "Seccomp",
                "Seccomp_filters"};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                char text[sizeof(whole)], key[32] = "\n";
                ProcStatus s;
                char *p;

                memcpy(text, whole, sizeof(whole));
                strcat(strcat(key, keys[i]), ":");
                p = strstr(text, key);
                assert_non_null(p);
                p[1] = 'x';
                assert_int_equal(proc_status_parse(text, &s), -EPROTO);
        }
}

static void test_status_with_other_values_is_refused(void **state) {
        ProcStatus s;

        (void)state;
        assert_int_equal(proc_status_parse("", &s), -EPROTO);
        assert_int_equal(
                proc_status_parse("Uid:\t7\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\n" STATUS_TAIL, &s),
                -EPROTO);
        assert_int_equal(
                proc_status_parse("Uid:\t7\t7\t7\tx\nGid:\t8\t8\t8\t8\nGroups:\n" STATUS_TAIL, &s),
                -EPROTO);
}

/* The first line of a name counts. */
static void test_numbers_that_are_none_are_refused(void **state) {
        static const char *const texts[] = {
                "Uid:\t7\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\n" STATUS_TAIL,
                "Uid:\t7\t7\t7\t-7\nGid:\t8\t8\t8\t8\nGroups:\n" STATUS_TAIL,
                "CapInh:\t00000000000000000 0\n" STATUS_HEAD "Groups:\n" STATUS_TAIL,
                "CapInh:\t10000000000000000\n" STATUS_HEAD "Groups:\n" STATUS_TAIL,
                "CapBnd:\t-1\n" STATUS_HEAD "Groups:\n" STATUS_TAIL,
                "NoNewPrivs:\t1 1\n" STATUS_HEAD "Groups:\n" STATUS_TAIL,
                "NoNewPrivs:\t\n" STATUS_HEAD "Groups:\n" STATUS_TAIL,
                "Seccomp:\t4294967298\n" STATUS_HEAD "Groups:\n" STATUS_TAIL,
                "NSpid:\t\n" STATUS_HEAD "Groups:\n" STATUS_TAIL,
                "Groups:\tx\n" STATUS_HEAD STATUS_TAIL,
        };
        ProcStatus s;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                assert_int_equal(proc_status_parse(texts[i], &s), -EPROTO);
}

static void test_status_is_read_by_whole_names(void **state) {
        ProcStatus s;

        (void)state;
        assert_int_equal(
                proc_status_parse(
                        "Uids:\t9\t9\t9\t9\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n"
                        "Groups_:\t1\nGroups:\nSeccomp_filters:\t9\n" STATUS_TAIL,
                        &s),
                0);
        for (unsigned i = 0; i < 4; i++) {
                assert_int_equal(s.uid[i], 1 + i);
                assert_int_equal(s.gid[i], 5 + i);
        }
        assert_int_equal(s.n_groups, 0);
        assert_int_equal(s.seccomp, 2);
        assert_int_equal(s.seccomp_filters, 9);
}

static void test_id_maps_must_match_exactly(void **state) {
        static const uint32_t ranges[][3] = {{0, 600000, 1}, {10000, 700001, 1}};

        (void)state;
        assert_true(id_map_is(
                "         0     600000          1\n     10000     700001          1\n", ranges, 2));
        assert_false(id_map_is("", ranges, 2));
        assert_false(id_map_is("0 600000 1\n", ranges, 2));
        assert_false(id_map_is("0 600000 1\n10000 700001\n", ranges, 2));
        assert_false(id_map_is("0 600000 1\n10000 700001 1 1\n", ranges, 2));
        assert_false(id_map_is("0 600000 1\n10000 700001 1\nx", ranges, 2));
        assert_false(id_map_is("0 600000 1\n10000 700001 2\n", ranges, 2));
        assert_false(id_map_is("0 0 4294967295\n", ranges, 2));
        assert_false(id_map_is("0 600000 1\n10000 700001 1\n1 1 1\n", ranges, 2));
}

static void test_mount_lines_are_read(void **state) {
        static const char text[] =
                "36 35 98:0 /tree / ro,nosuid,nodev,noatime - ext4 /dev/vda rw\n"
                "37 36 0:5 / /app rw,nosuid,nodev - overlay overlay rw,lowerdir=slug\n"
                "38 36 0:6 / /x\\040y rw,relatime shared:1 master:2 - tmpfs none rw\n";
        const char *p = text;
        MountLine line;

        (void)state;
        assert_int_equal(mount_line_parse(&p, &line), 1);
        assert_string_equal(line.point, "/");
        assert_string_equal(line.fstype, "ext4");
        assert_int_equal(line.flags, ROOTFS_RO | ROOTFS_NOSUID | ROOTFS_NODEV);
        assert_int_equal(mount_line_parse(&p, &line), 1);
        assert_string_equal(line.point, "/app");
        assert_int_equal(line.flags, ROOTFS_NOSUID | ROOTFS_NODEV);
        assert_int_equal(mount_line_parse(&p, &line), 1);
        assert_string_equal(line.point, "/x\\040y");
        assert_int_equal(line.flags, ROOTFS_SHARED);
        assert_int_equal(mount_line_parse(&p, &line), 0);
}

static void test_broken_mount_lines_are_refused(void **state) {
        static const char *const texts[] = {
                "\n",
                "36 35 98:0 /tree\n",
                "36 35 98:0 /tree / ro\n",
                "36 35 98:0 /tree / ro -\n",
                "36 35 98:0 /tree / ro -\n37 36 0:5 / /app rw - overlay overlay rw\n",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                const char *p = texts[i];
                MountLine line;

                assert_int_equal(mount_line_parse(&p, &line), -EPROTO);
        }
}

static void test_limits_are_read(void **state) {
        static const char text[] =
                "Limit                     Soft Limit           Hard Limit           Units     \n"
                "Max core file size        0                    unlimited            bytes     \n"
                "Max processes             256                  512                  processes \n"
                "Max broken                x                    1                    files     \n"
                "Max numbers               18446744073709551616 1                    files     \n"
                "Max words                 1x                   1                    files     \n"
                "Max signs                 -1                   1                    files     \n"
                "Max halves                1\n";
        uint64_t soft, hard;

        (void)state;
        assert_int_equal(proc_limit_parse(text, "Max processes", &soft, &hard), 0);
        assert_true(soft == 256 && hard == 512);
        assert_int_equal(proc_limit_parse(text, "Max core file size", &soft, &hard), 0);
        assert_true(soft == 0 && hard == UINT64_MAX);
        assert_int_equal(proc_limit_parse(text, "Max broken", &soft, &hard), -EPROTO);
        assert_int_equal(proc_limit_parse(text, "Max numbers", &soft, &hard), -EPROTO);
        assert_int_equal(proc_limit_parse(text, "Max words", &soft, &hard), -EPROTO);
        assert_int_equal(proc_limit_parse(text, "Max signs", &soft, &hard), -EPROTO);
        assert_int_equal(proc_limit_parse(text, "Max halves", &soft, &hard), -EPROTO);
        assert_int_equal(proc_limit_parse(text, "Max proc", &soft, &hard), -EPROTO);
        assert_int_equal(proc_limit_parse(text, "Max open files", &soft, &hard), -EPROTO);
}

static void test_plan_has_no_point_twice(void **state) {
        (void)state;
        for (size_t i = 0; i < n_rootfs_mounts; i++)
                assert_ptr_equal(rootfs_find(rootfs_mounts[i].point), &rootfs_mounts[i]);
        assert_null(rootfs_find("/home"));
        assert_null(rootfs_find("/proc/self"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_status_is_read),
                cmocka_unit_test(test_status_without_a_line_is_refused),
                cmocka_unit_test(test_status_with_other_values_is_refused),
                cmocka_unit_test(test_numbers_that_are_none_are_refused),
                cmocka_unit_test(test_status_is_read_by_whole_names),
                cmocka_unit_test(test_id_maps_must_match_exactly),
                cmocka_unit_test(test_mount_lines_are_read),
                cmocka_unit_test(test_broken_mount_lines_are_refused),
                cmocka_unit_test(test_limits_are_read),
                cmocka_unit_test(test_plan_has_no_point_twice),
        };

        return cmocka_run_group_tests_name("sandbox/inspect_parse", tests, NULL, NULL);
}
