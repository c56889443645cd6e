/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "image/tree_remove.h"
#include "image/tree_writer.h"

typedef struct Fixture {
        char path[32];
        int root_fd;
        TreeBudget budget;
        TreeWriter *writer;
} Fixture;

static int set_up(void **state) {
        static Fixture fixture;

        strcpy(fixture.path, "/tmp/dynod-tree.XXXXXX");
        if (!mkdtemp(fixture.path))
                return -1;
        fixture.root_fd = open(fixture.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        fixture.budget = (TreeBudget){.folders = 100, .folder_bytes = 10000};
        if (fixture.root_fd < 0 ||
            tree_writer_new(&fixture.writer, fixture.root_fd, &fixture.budget) < 0)
                return -1;
        *state = &fixture;
        return 0;
}

static int tear_down(void **state) {
        Fixture *fixture = *state;
        int r;

        fixture->writer = tree_writer_free(fixture->writer);
        r = tree_remove(fixture->root_fd);
        fixture->root_fd = safe_close(fixture->root_fd);
        return r < 0 || rmdir(fixture->path) < 0 ? -1 : 0;
}

static TreeEntry entry(const char *path, mode_t mode) {
        return (TreeEntry){.path = path, .mode = mode, .mtime = {.tv_sec = 1000, .tv_nsec = 7}};
}

static int add_file(Fixture *fixture, const char *path, const char *text) {
        TreeEntry what = entry(path, 0644);
        _cleanup_close_ int fd = -EBADF;
        int r = tree_writer_file(fixture->writer, &what, &fd);

        if (r == 0 && write(fd, text, strlen(text)) < 0)
                return -errno;
        return r;
}

static int add_folder(Fixture *fixture, const char *path, mode_t mode) {
        TreeEntry what = entry(path, mode);

        return tree_writer_folder(fixture->writer, &what);
}

static int add_symlink(Fixture *fixture, const char *path, const char *target) {
        TreeEntry what = entry(path, 0777);

        return tree_writer_symlink(fixture->writer, &what, target);
}

static int add_hardlink(Fixture *fixture, const char *path, const char *target) {
        TreeEntry what = entry(path, 0644);

        return tree_writer_hardlink(fixture->writer, &what, target);
}

static mode_t mode_of(const Fixture *fixture, const char *path) {
        struct stat st;

        assert_int_equal(fstatat(fixture->root_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
        return st.st_mode;
}

static void test_missing_parents_are_made(void **state) {
        Fixture *fixture = *state;

        assert_int_equal(add_file(fixture, "a/b/c/f", "x"), 0);
        assert_int_equal(mode_of(fixture, "a/b"), S_IFDIR | 0755);
        assert_int_equal(mode_of(fixture, "a/b/c/f"), S_IFREG | 0644);
}

static void test_no_path_leads_through_a_link(void **state) {
        Fixture *fixture = *state;
        struct stat st;

        assert_int_equal(add_folder(fixture, "d", 0755), 0);
        assert_int_equal(add_file(fixture, "d/f", "x"), 0);
        assert_int_equal(add_symlink(fixture, "in", "d"), 0);
        assert_int_equal(add_symlink(fixture, "out", "/tmp"), 0);
        assert_int_equal(add_file(fixture, "in/x", "x"), UNPACK_THROUGH_LINK);
        assert_int_equal(add_file(fixture, "out/dynod-x", "x"), UNPACK_THROUGH_LINK);
        assert_int_equal(add_folder(fixture, "in/x", 0755), UNPACK_THROUGH_LINK);
        assert_int_equal(add_folder(fixture, "out/a/b", 0755), UNPACK_THROUGH_LINK);
        assert_int_equal(add_symlink(fixture, "in/x", "y"), UNPACK_THROUGH_LINK);
        assert_int_equal(add_hardlink(fixture, "in/x", "d/f"), UNPACK_THROUGH_LINK);
        assert_int_equal(add_hardlink(fixture, "h", "in/f"), UNPACK_THROUGH_LINK);
        assert_int_equal(add_file(fixture, "d/f/x", "x"), UNPACK_CORRUPT);
        assert_int_equal(fstatat(fixture->root_fd, "d/x", &st, 0), -1);
        assert_int_equal(stat("/tmp/dynod-x", &st), -1);
}

static void test_later_entry_replaces_earlier(void **state) {
        Fixture *fixture = *state;

        assert_int_equal(add_symlink(fixture, "x", "/etc/passwd"), 0);
        assert_int_equal(add_file(fixture, "x", "file"), 0);
        assert_int_equal(mode_of(fixture, "x"), S_IFREG | 0644);
        assert_int_equal(add_folder(fixture, "x", 0755), UNPACK_CORRUPT); /* as to GNU tar */
        assert_int_equal(add_symlink(fixture, "x", "y"), 0);
        assert_true(S_ISLNK(mode_of(fixture, "x")));
        assert_int_equal(add_folder(fixture, "x", 0755), 0);
        assert_int_equal(add_file(fixture, "x/f", "x"), 0);
        assert_int_equal(add_file(fixture, "x", "no"), UNPACK_CORRUPT);
        assert_int_equal(add_folder(fixture, "x", 0700), 0);
        assert_int_equal(mode_of(fixture, "x/f"), S_IFREG | 0644);
}

static void test_hardlink_needs_an_earlier_file(void **state) {
        Fixture *fixture = *state;
        struct stat a, b;

        assert_int_equal(add_file(fixture, "d/f", "x"), 0);
        assert_int_equal(add_hardlink(fixture, "h", "d/f"), 0);
        assert_int_equal(fstatat(fixture->root_fd, "h", &a, 0), 0);
        assert_int_equal(fstatat(fixture->root_fd, "d/f", &b, 0), 0);
        assert_int_equal(a.st_ino, b.st_ino);
        assert_int_equal(add_hardlink(fixture, "h", "d/f"), 0);
        assert_int_equal(add_hardlink(fixture, "h", "h"), 0);
        assert_int_equal(add_hardlink(fixture, "i", "later"), UNPACK_HARDLINK_OUTSIDE);
        assert_int_equal(add_hardlink(fixture, "i", "no/later"), UNPACK_HARDLINK_OUTSIDE);
        assert_int_equal(add_hardlink(fixture, "i", "d"), UNPACK_HARDLINK_OUTSIDE);
        assert_int_equal(add_hardlink(fixture, "i", ""), UNPACK_HARDLINK_OUTSIDE);
}

static void test_folders_get_mode_and_time_at_the_end(void **state) {
        Fixture *fixture = *state;
        struct stat st;

        assert_int_equal(add_folder(fixture, "d", 0555), 0);
        assert_int_equal(add_folder(fixture, "d/e", 0), 0);
        assert_int_equal(add_file(fixture, "d/e/f", "x"), 0);
        assert_int_equal(add_folder(fixture, "gone", 0755), 0);
        assert_int_equal(add_symlink(fixture, "gone", "d"), 0);
        assert_int_equal(mode_of(fixture, "d"), S_IFDIR | 0755);
        assert_int_equal(tree_writer_finish(fixture->writer), 0);
        assert_int_equal(mode_of(fixture, "d"), S_IFDIR | 0555);
        assert_int_equal(fstatat(fixture->root_fd, "d", &st, 0), 0);
        assert_int_equal(st.st_mtim.tv_sec, 1000);
        assert_int_equal(st.st_mtim.tv_nsec, 7);
        /* The link that took a folder's place was not followed. */
        assert_true(S_ISLNK(mode_of(fixture, "gone")));
}

static void test_last_entry_of_a_folder_holds(void **state) {
        Fixture *fixture = *state;
        struct stat st;

        assert_int_equal(add_folder(fixture, "a", 0), 0);
        assert_int_equal(add_folder(fixture, "a/b", 0), 0);
        assert_int_equal(add_folder(fixture, "a/b", 0755), 0);
        assert_int_equal(add_folder(fixture, "a/c", 0500), 0);
        assert_int_equal(add_folder(fixture, "a", 0500), 0);
        assert_int_equal(tree_writer_finish(fixture->writer), 0);
        assert_int_equal(fstatat(fixture->root_fd, "a/b", &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0755);
        assert_int_equal(fstatat(fixture->root_fd, "a/c", &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0500);
        assert_int_equal(fstatat(fixture->root_fd, "a", &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0500);
}

static void test_folders_on_the_way_are_counted(void **state) {
        Fixture *fixture = *state;

        fixture->budget.folders = 3;
        assert_int_equal(add_file(fixture, "a/b/f", "x"), 0);
        assert_int_equal(add_file(fixture, "a/b/g", "x"), 0);
        assert_int_equal(fixture->budget.folders, 1);
        assert_int_equal(add_file(fixture, "a/c/d/f", "x"), UNPACK_TOO_MANY_ENTRIES);
        assert_int_equal(add_file(fixture, "a/c/f", "x"), 0);
}

static void test_paths_of_folders_are_counted(void **state) {
        Fixture *fixture = *state;
        char path[200] = {0};

        memset(path, 'd', sizeof(path) - 1);
        fixture->budget.folder_bytes = 3 * sizeof(path);
        assert_int_equal(add_folder(fixture, path, 0755), 0);
        assert_int_equal(add_folder(fixture, path, 0755), 0);
        assert_int_equal(add_folder(fixture, path, 0755), UNPACK_TOO_MANY_ENTRIES);
}

/* More than there is room for at first. */
static void test_as_many_folders_as_there_are_get_their_mode(void **state) {
        Fixture *fixture = *state;
        char name[16];

        fixture->budget.folder_bytes = 1 << 20;
        for (unsigned i = 0; i < 600; i++) {
                (void)snprintf(name, sizeof(name), "d%u", i);
                assert_int_equal(add_folder(fixture, name, 0700 | (i & 077)), 0);
        }
        assert_int_equal(tree_writer_finish(fixture->writer), 0);
        for (unsigned i = 0; i < 600; i++) {
                (void)snprintf(name, sizeof(name), "d%u", i);
                assert_int_equal(mode_of(fixture, name), S_IFDIR | 0700 | (i & 077));
        }
}

static void assert_link(const Fixture *fixture, const char *path, const char *target) {
        char found[64] = "";

        assert_true(readlinkat(fixture->root_fd, path, found, sizeof(found) - 1) > 0);
        assert_string_equal(found, target);
}

/* As GNU tar, which makes such a link last: what comes behind it does not take its place. */
static void test_a_link_that_leaves_the_tree_is_the_last_of_its_name(void **state) {
        static const char *const targets[] = {"/etc", "..", "a/../../b", "a/.."};
        Fixture *fixture = *state;

        assert_int_equal(add_symlink(fixture, "inside", "a/..b"), 0);
        assert_int_equal(add_file(fixture, "file", "x"), 0);
        for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
                char name[] = "link0";

                name[4] = (char)('0' + i);
                assert_int_equal(add_symlink(fixture, name, targets[i]), 0);
                assert_int_equal(add_symlink(fixture, name, targets[i]), 0);
                assert_int_equal(add_symlink(fixture, name, "other"), UNPACK_CORRUPT);
                assert_int_equal(add_hardlink(fixture, name, "inside"), UNPACK_CORRUPT);
                assert_link(fixture, name, targets[i]);
                assert_int_equal(add_hardlink(fixture, name, "file"), 0);
                assert_int_equal(mode_of(fixture, name), S_IFREG | 0644);
        }
        /* One that stays inside gives way. */
        assert_int_equal(add_symlink(fixture, "inside", "other"), 0);
        assert_link(fixture, "inside", "other");
}

static void test_a_hard_link_to_a_link_is_that_link(void **state) {
        Fixture *fixture = *state;

        assert_int_equal(add_file(fixture, "file", "x"), 0);
        assert_int_equal(add_symlink(fixture, "link", "file"), 0);
        assert_int_equal(add_hardlink(fixture, "again", "link"), 0);
        assert_link(fixture, "again", "file");
}

/* A folder takes a link's place, but what is said of its inside does not lead there. */
static void test_a_folder_over_a_link(void **state) {
        Fixture *fixture = *state;
        TreeEntry inside = entry("link", 0755);

        assert_int_equal(add_folder(fixture, "d", 0755), 0);
        assert_int_equal(add_symlink(fixture, "link", "d"), 0);
        inside.is_inside = true;
        assert_int_equal(tree_writer_folder(fixture->writer, &inside), UNPACK_THROUGH_LINK);
        assert_link(fixture, "link", "d");
        assert_int_equal(add_folder(fixture, "link", 0750), 0);
        assert_int_equal(mode_of(fixture, "link"), S_IFDIR | 0750);
}

static void test_no_folder_is_opened_outside(void **state) {
        Fixture *fixture = *state;

        assert_int_equal(add_folder(fixture, "d", 0755), 0);
        assert_int_equal(tree_open_folder(fixture->root_fd, "..", O_PATH), -EXDEV);
        assert_int_equal(tree_open_folder(fixture->root_fd, "d/../..", O_PATH), -EXDEV);
        assert_int_equal(tree_open_folder(fixture->root_fd, "/", O_PATH), -EXDEV);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_missing_parents_are_made, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_no_path_leads_through_a_link, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_later_entry_replaces_earlier, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_hardlink_needs_an_earlier_file, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_folders_get_mode_and_time_at_the_end, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_last_entry_of_a_folder_holds, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_folders_on_the_way_are_counted, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_paths_of_folders_are_counted, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_as_many_folders_as_there_are_get_their_mode, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_a_link_that_leaves_the_tree_is_the_last_of_its_name,
                        set_up,
                        tear_down),
                cmocka_unit_test_setup_teardown(
                        test_a_hard_link_to_a_link_is_that_link, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_folder_over_a_link, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_no_folder_is_opened_outside, set_up, tear_down),
        };

        (void)umask(0);
        return cmocka_run_group_tests_name("image/tree_writer", tests, NULL, NULL);
}
