/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "image/gzip_stream.h"

/* gzip -n of "hello, world\n" and of nothing. */
static const uint8_t hello[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xcb,
                                0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51, 0x28, 0xcf, 0x2f, 0xca, 0x49,
                                0xe1, 0x02, 0x00, 0x53, 0x74, 0x24, 0xf4, 0x0d, 0x00, 0x00, 0x00};
static const uint8_t nothing[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03,
                                  0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};

typedef struct Input {
        uint8_t data[256];
        size_t size;
} Input;

static void append(Input *input, const void *data, size_t size) {
        assert_true(input->size + size <= sizeof(input->data));
        memcpy(input->data + input->size, data, size);
        input->size += size;
}

/* Feeds @step bytes at a time into an output of @room bytes. Return: as the stream's last. */
static int inflate_in_steps(Input *input, size_t step, size_t room, char *ret, bool *ret_end) {
        _cleanup_(gzip_stream_freep) GzipStream *stream = NULL;
        size_t used = 0;

        assert_int_equal(gzip_stream_new(&stream), 0);
        for (size_t offset = 0; offset < input->size; offset += step) {
                uint8_t *in = input->data + offset;
                size_t n_in = input->size - offset < step ? input->size - offset : step, n;

                do {
                        int r = gzip_stream_inflate(
                                stream, &in, &n_in, (uint8_t *)ret + used, room, &n);

                        if (r < 0)
                                return r;
                        used += n;
                } while (n > 0 || n_in > 0);
        }
        ret[used] = '\0';
        *ret_end = gzip_stream_is_complete(stream);
        return 0;
}

static void expect(Input *input, const char *text, bool complete) {
        static const size_t steps[] = {1, 2, 3, 7, 33, 256};

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                for (size_t room = 1; room < 40; room += 6) {
                        char out[256];
                        bool end = false;

                        assert_int_equal(inflate_in_steps(input, steps[i], room, out, &end), 0);
                        assert_string_equal(out, text);
                        assert_int_equal(end, complete);
                }
}

static void expect_damage(Input *input) {
        char out[256];
        bool end;

        assert_int_equal(inflate_in_steps(input, 256, 200, out, &end), -EBADMSG);
        assert_int_equal(inflate_in_steps(input, 1, 200, out, &end), -EBADMSG);
}

static void test_one_member_in_any_steps(void **state) {
        Input input = {0};

        (void)state;
        append(&input, hello, sizeof(hello));
        expect(&input, "hello, world\n", true);
}

static void test_members_follow_one_another(void **state) {
        Input input = {0};

        (void)state;
        append(&input, nothing, sizeof(nothing));
        append(&input, hello, sizeof(hello));
        append(&input, nothing, sizeof(nothing));
        append(&input, hello, sizeof(hello));
        expect(&input, "hello, world\nhello, world\n", true);
}

static uint32_t crc32_of(const uint8_t *data, size_t size) {
        uint32_t crc = ~UINT32_C(0);

        for (size_t i = 0; i < size; i++) {
                crc ^= data[i];
                for (int bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
        }
        return ~crc;
}

#define FHCRC 2
#define FEXTRA 4
#define FNAME 8
#define FCOMMENT 16

/* hello with the header's optional fields. */
static void append_with_fields(Input *input, uint8_t flags) {
        static const uint8_t extra[] = {4, 0, 'X', 'Y', 0, 0};
        size_t begin = input->size;
        uint32_t crc;

        append(input, hello, 10);
        input->data[begin + 3] = flags;
        if (flags & FEXTRA)
                append(input, extra, sizeof(extra));
        if (flags & FNAME)
                append(input, "slug.tar", sizeof("slug.tar"));
        if (flags & FCOMMENT)
                append(input, "made today", sizeof("made today"));
        crc = crc32_of(input->data + begin, input->size - begin);
        if (flags & FHCRC)
                append(input, (uint8_t[]){crc & 0xff, crc >> 8 & 0xff}, 2);
        append(input, hello + 10, sizeof(hello) - 10);
}

static void test_header_fields_in_any_steps(void **state) {
        (void)state;
        for (uint8_t flags = 0; flags < 32; flags += 2) {
                Input input = {0};

                append_with_fields(&input, flags);
                append_with_fields(&input, flags ^ 30);
                expect(&input, "hello, world\nhello, world\n", true);
        }
}

static void test_damaged_header_is_seen(void **state) {
        Input input = {0};

        (void)state;
        append_with_fields(&input, FHCRC | FNAME);
        input.data[12] ^= 1;
        expect_damage(&input);
}

static void test_zeroes_behind_are_padding(void **state) {
        Input input = {0};

        (void)state;
        append(&input, hello, sizeof(hello));
        append(&input, (uint8_t[40]){0}, 40);
        expect(&input, "hello, world\n", true);
        append(&input, hello, sizeof(hello));
        expect_damage(&input);
}

static void test_cut_anywhere_is_incomplete(void **state) {
        (void)state;
        for (size_t size = 1; size < sizeof(hello); size++) {
                Input input = {0};
                char out[256];
                bool end = true;

                append(&input, hello, size);
                assert_int_equal(inflate_in_steps(&input, 256, 200, out, &end), 0);
                assert_false(end);
        }
}

static void test_damage_is_found(void **state) {
        static const size_t places[] = {0, 1, 2, 10, 12, 25, 28, 29, 31};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
                Input input = {0};

                append(&input, hello, sizeof(hello));
                input.data[places[i]] ^= 0x21;
                expect_damage(&input);
        }
}

static void test_garbage_behind_is_damage(void **state) {
        Input input = {0};

        (void)state;
        append(&input, hello, sizeof(hello));
        append(&input, "garbage", 7);
        expect_damage(&input);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_member_in_any_steps),
                cmocka_unit_test(test_members_follow_one_another),
                cmocka_unit_test(test_header_fields_in_any_steps),
                cmocka_unit_test(test_damaged_header_is_seen),
                cmocka_unit_test(test_zeroes_behind_are_padding),
                cmocka_unit_test(test_cut_anywhere_is_incomplete),
                cmocka_unit_test(test_damage_is_found),
                cmocka_unit_test(test_garbage_behind_is_damage),
        };

        return cmocka_run_group_tests_name("image/gzip_stream", tests, NULL, NULL);
}
