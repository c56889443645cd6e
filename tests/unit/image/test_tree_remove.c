/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "image/tree_remove.h"

#define HALF 24 /* folders of 255 bytes each: a name that is longer than AppArmor takes */

static int set_up(void **state) {
        static char path[] = "/var/tmp/dynod-tree.XXXXXX";

        strcpy(path, "/var/tmp/dynod-tree.XXXXXX");
        *state = mkdtemp(path);
        return *state ? 0 : -1;
}

static int tear_down(void **state) {
        return rmdir(*state);
}

/* @n folders with the longest names, one in another; a descriptor of the last. */
static int make_chain(int dir_fd, const char *first, int n) {
        char name[NAME_MAX + 1];
        int fd = dir_fd;

        memset(name, 'n', NAME_MAX);
        name[NAME_MAX] = '\0';
        for (int i = 0; i < n; i++) {
                const char *next = i == 0 ? first : name;
                int below;

                assert_return_code(mkdirat(fd, next, 0700), errno);
                below = openat(fd, next, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_return_code(below, errno);
                if (fd != dir_fd)
                        (void)safe_close(fd);
                fd = below;
        }
        return fd;
}

static void test_deeper_than_any_name(void **state) {
        _cleanup_close_ int root_fd = open(*state, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int upper_fd = make_chain(root_fd, "a", HALF);

        (void)safe_close(make_chain(root_fd, "b", HALF));
        /* What is moved up has names that are taken, by all that can be there. */
        assert_return_code(mkdirat(root_fd, ".removed-0", 0700), errno);
        assert_return_code(mkdirat(root_fd, ".removed-0/in", 0), errno);
        assert_return_code(symlinkat("/", root_fd, ".removed-1"), errno);
        assert_return_code(renameat(root_fd, "b", upper_fd, "b"), errno);
        assert_return_code(fchmod(upper_fd, 0), errno);
        assert_int_equal(tree_remove(root_fd), 0);
}

static int set_flags(int fd, int flags) {
        return ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? -errno : 0;
}

/* As root alone, on a file system that has the flag. */
static void test_what_stays_keeps_nothing_else(void **state) {
        _cleanup_close_ int root_fd = open(*state, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int kept_fd = -EBADF;
        char name[8];
        int r;

        assert_return_code(mkdirat(root_fd, "d", 0700), errno);
        kept_fd = openat(root_fd, "d/kept", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_return_code(kept_fd, errno);
        for (int i = 0; i < 100; i++) {
                (void)snprintf(name, sizeof(name), "d/%d", i);
                assert_return_code(mkdirat(root_fd, name, 0700), errno);
        }
        r = set_flags(kept_fd, FS_IMMUTABLE_FL);
        if (r == 0) {
                assert_int_equal(tree_remove(root_fd), -EPERM);
                for (int i = 0; i < 100; i++) {
                        (void)snprintf(name, sizeof(name), "d/%d", i);
                        assert_int_equal(faccessat(root_fd, name, F_OK, 0), -1);
                }
                assert_int_equal(set_flags(kept_fd, 0), 0);
        }
        assert_int_equal(tree_remove(root_fd), 0);
        if (r < 0)
                skip();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_deeper_than_any_name, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_what_stays_keeps_nothing_else, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
