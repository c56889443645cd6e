/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "ipc/dyno_spec.h"

/* execve(2) and dyno_spec_write() take the strings as not const, and leave them alone. */
#define LITERAL(text) ((char *)(uintptr_t)(text))

static char *const one_arg[] = {LITERAL("ruby app.rb"), NULL};
static char *const no_env[] = {NULL};

/* Writes a spec and reads it back into @buf. */
static size_t
make_spec(char buf[DYNO_SPEC_MAX], DynoSpecHeader header, char *const *args, char *const *env) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        assert_int_equal(dyno_spec_write(&fd, &header, args, env), 0);
        assert_int_equal(dyno_spec_check_fd(fd), 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_size <= DYNO_SPEC_MAX);
        assert_int_equal(pread(fd, buf, DYNO_SPEC_MAX, 0), st.st_size);
        return (size_t)st.st_size;
}

static void expect_refused(const char *buf, size_t size) {
        _cleanup_free_ char *copy = malloc(size > 0 ? size : 1); /* exact: for the sanitizer */
        DynoSpec spec = {0};

        assert_non_null(copy);
        memcpy(copy, buf, size);
        assert_int_equal(dyno_spec_parse(&spec, copy, size), -EBADMSG);
        assert_null(spec.args);
}

static void test_written_spec_parses_to_the_same(void **state) {
        char *const args[] = {LITERAL("sh"), LITERAL("-c"), LITERAL(""), NULL};
        char *const env[] = {LITERAL("A=1"), LITERAL("_b2=x=y\n"), LITERAL("EMPTY="), NULL};
        DynoSpecHeader header = {
                .flags = DYNO_SPEC_TTY | DYNO_SPEC_ATTACH,
                .web_port = 5000,
                .rows = 24,
                .columns = 80};
        static char buf[DYNO_SPEC_MAX];
        DynoSpec spec = {0};
        size_t size;

        (void)state;
        size = make_spec(buf, header, args, env);
        assert_int_equal(dyno_spec_parse(&spec, buf, size), 0);
        assert_int_equal(spec.header.flags, header.flags);
        assert_int_equal(spec.header.web_port, 5000);
        assert_int_equal(spec.header.rows, 24);
        assert_int_equal(spec.header.columns, 80);
        assert_int_equal(spec.header.n_args, 3);
        assert_int_equal(spec.header.n_env, 3);
        for (int i = 0; i < 4; i++) {
                if (args[i])
                        assert_string_equal(spec.args[i], args[i]);
                else
                        assert_null(spec.args[i]);
                if (env[i])
                        assert_string_equal(spec.env[i], env[i]);
                else
                        assert_null(spec.env[i]);
        }
        dyno_spec_clear(&spec);
        assert_null(spec.args);
}

static void test_every_truncation_is_refused(void **state) {
        char *const env[] = {LITERAL("A=1"), NULL};
        static char buf[DYNO_SPEC_MAX];
        size_t size;

        (void)state;
        size = make_spec(buf, (DynoSpecHeader){.flags = DYNO_SPEC_SHELL}, one_arg, env);
        for (size_t i = 0; i < size; i++)
                expect_refused(buf, i);
        buf[size] = '\0';
        expect_refused(buf, size + 1);
}

static void test_wrong_header_field_is_refused(void **state) {
        static char buf[DYNO_SPEC_MAX];
        DynoSpecHeader good, h;
        size_t size;

        (void)state;
        size = make_spec(buf, (DynoSpecHeader){.flags = DYNO_SPEC_SHELL}, one_arg, no_env);
        memcpy(&good, buf, sizeof(good));
#define REFUSES(field, value)                                                                      \
        do {                                                                                       \
                h = good;                                                                          \
                h.field = (value);                                                                 \
                memcpy(buf, &h, sizeof(h));                                                        \
                expect_refused(buf, size);                                                         \
        } while (0)
        REFUSES(magic, good.magic + 1);
        REFUSES(reserved, 1);
        REFUSES(flags, DYNO_SPEC_FLAGS_ALL + 1);
        REFUSES(flags, DYNO_SPEC_TTY);  /* without ATTACH */
        REFUSES(flags, DYNO_SPEC_EXEC); /* without ATTACH */
        REFUSES(n_args, 0);
        REFUSES(n_args, 2); /* SHELL takes one; nor is there a second */
        REFUSES(n_args, UINT32_MAX);
        REFUSES(n_env, 1); /* none there */
        REFUSES(n_env, UINT32_MAX);
        REFUSES(web_port, 65536);
        REFUSES(rows, 1); /* without TTY */
        REFUSES(columns, 1);
        REFUSES(strings_size, good.strings_size + 1);
        REFUSES(strings_size, good.strings_size - 1);
        REFUSES(strings_size, 0);
#undef REFUSES
}

static void test_exec_with_web_port_is_refused(void **state) {
        DynoSpecHeader header = {.flags = DYNO_SPEC_EXEC | DYNO_SPEC_ATTACH, .web_port = 5000};
        int fd = -EBADF;

        (void)state;
        assert_int_equal(dyno_spec_write(&fd, &header, one_arg, no_env), -EINVAL);
        assert_int_equal(fd, -EBADF);
}

static void test_bad_variable_is_refused(void **state) {
        static const char *const bad[] = {
                "", "=", "=x", "A", "1A=x", "A-B=x", "A B=x", "\xc3\xa4=x"};
        DynoSpecHeader header = {.flags = 0};
        int fd = -EBADF;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                char *const env[] = {(char *)(uintptr_t)bad[i], NULL};

                assert_int_equal(dyno_spec_write(&fd, &header, one_arg, env), -EINVAL);
        }
}

static void test_variable_broken_in_the_file_is_refused(void **state) {
        char *const env[] = {LITERAL("AB=1"), NULL};
        static char buf[DYNO_SPEC_MAX];
        size_t size;

        (void)state;
        size = make_spec(buf, (DynoSpecHeader){.flags = 0}, one_arg, env);
        buf[size - 3] = 'C'; /* the = */
        expect_refused(buf, size);
}

/* Strings that nobody counted, and more than there may be. */
static void test_strings_are_as_many_as_the_header_says(void **state) {
        char *const env[] = {LITERAL("AB=1"), NULL};
        static char buf[DYNO_SPEC_MAX];
        DynoSpecHeader header;
        size_t size;

        (void)state;
        size = make_spec(buf, (DynoSpecHeader){.flags = 0}, one_arg, env);
        memcpy(&header, buf, sizeof(header));
        header.n_env = 0;
        memcpy(buf, &header, sizeof(header));
        expect_refused(buf, size);
        header.n_env = 2;
        memcpy(buf, &header, sizeof(header));
        expect_refused(buf, size);

        memset(buf, 'x', sizeof(buf));
        size = sizeof(header) + 2 * (DYNO_SPEC_STRINGS_MAX + 1);
        for (size_t i = sizeof(header) + 1; i < size; i += 2)
                buf[i] = '\0';
        header.n_env = 0;
        header.n_args = DYNO_SPEC_STRINGS_MAX + 1;
        header.strings_size = (uint32_t)(size - sizeof(header));
        memcpy(buf, &header, sizeof(header));
        expect_refused(buf, size);
}

static void test_empty_command_is_refused(void **state) {
        char *const args[] = {LITERAL(""), NULL};
        DynoSpecHeader header = {.flags = 0};
        int fd = -EBADF;

        (void)state;
        assert_int_equal(dyno_spec_write(&fd, &header, args, no_env), -EINVAL);
        assert_int_equal(dyno_spec_write(&fd, &header, no_env, no_env), -EINVAL);
}

static void test_spec_over_the_limit_is_too_big(void **state) {
        _cleanup_free_ char *big = malloc(DYNO_SPEC_MAX);
        char *args[] = {big, NULL};
        DynoSpecHeader header = {.flags = 0};
        _cleanup_close_ int fd = -EBADF;
        size_t fits = DYNO_SPEC_MAX - sizeof(DynoSpecHeader) - 1;

        (void)state;
        assert_non_null(big);
        memset(big, 'x', DYNO_SPEC_MAX);
        big[fits] = '\0';
        assert_int_equal(dyno_spec_write(&fd, &header, args, no_env), 0);
        assert_int_equal(dyno_spec_check_fd(fd), 0);
        fd = safe_close(fd);
        big[fits] = 'x';
        big[fits + 1] = '\0';
        assert_int_equal(dyno_spec_write(&fd, &header, args, no_env), -E2BIG);
}

static void test_too_many_strings_are_too_big(void **state) {
        _cleanup_free_ char **args = calloc(DYNO_SPEC_STRINGS_MAX + 2, sizeof(char *));
        DynoSpecHeader header = {.flags = 0};
        _cleanup_close_ int fd = -EBADF;

        (void)state;
        assert_non_null(args);
        for (size_t i = 0; i < DYNO_SPEC_STRINGS_MAX; i++)
                args[i] = LITERAL("x");
        assert_int_equal(dyno_spec_write(&fd, &header, args, no_env), 0);
        fd = safe_close(fd);
        args[DYNO_SPEC_STRINGS_MAX] = LITERAL("x");
        assert_int_equal(dyno_spec_write(&fd, &header, args, no_env), -E2BIG);
}

static void test_descriptor_without_all_seals_is_refused(void **state) {
        static const int seals[] = {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE};
        char text[sizeof(DynoSpecHeader) + 1] = {0};

        (void)state;
        for (size_t skip = 0; skip < ARRAY_SIZE(seals); skip++) {
                _cleanup_close_ int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
                int want = 0;

                assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
                for (size_t i = 0; i < ARRAY_SIZE(seals); i++)
                        if (i != skip)
                                want |= seals[i];
                assert_int_equal(fcntl(fd, F_ADD_SEALS, want), 0);
                assert_int_equal(dyno_spec_check_fd(fd), -EBADMSG);
        }
}

static void test_descriptor_of_something_else_is_refused(void **state) {
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        _cleanup_close_ int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int empty = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        _cleanup_close_ int huge = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        (void)state;
        assert_int_equal(dyno_spec_check_fd(null), -EBADMSG);
        assert_int_equal(dyno_spec_check_fd(file), -EBADMSG);
        assert_int_equal(
                fcntl(empty, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
                0);
        assert_int_equal(dyno_spec_check_fd(empty), -EBADMSG);
        assert_int_equal(ftruncate(huge, DYNO_SPEC_MAX + 1), 0);
        assert_int_equal(
                fcntl(huge, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
                0);
        assert_int_equal(dyno_spec_check_fd(huge), -EBADMSG);
        assert_int_equal(dyno_spec_check_fd(-1), -EBADF);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_written_spec_parses_to_the_same),
                cmocka_unit_test(test_every_truncation_is_refused),
                cmocka_unit_test(test_wrong_header_field_is_refused),
                cmocka_unit_test(test_exec_with_web_port_is_refused),
                cmocka_unit_test(test_bad_variable_is_refused),
                cmocka_unit_test(test_variable_broken_in_the_file_is_refused),
                cmocka_unit_test(test_strings_are_as_many_as_the_header_says),
                cmocka_unit_test(test_empty_command_is_refused),
                cmocka_unit_test(test_spec_over_the_limit_is_too_big),
                cmocka_unit_test(test_too_many_strings_are_too_big),
                cmocka_unit_test(test_descriptor_without_all_seals_is_refused),
                cmocka_unit_test(test_descriptor_of_something_else_is_refused),
        };

        return cmocka_run_group_tests_name("ipc/dyno_spec", tests, NULL, NULL);
}
