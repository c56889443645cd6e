/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "control/call_header.h"
#include "dynod/bus.h"

typedef struct Message {
        uint8_t data[1024];
        size_t size;
} Message;

static void put(Message *m, const void *data, size_t size) {
        assert_true(m->size + size <= sizeof(m->data));
        memcpy(m->data + m->size, data, size);
        m->size += size;
}

static void pad(Message *m, size_t to) {
        while (m->size % to != 0)
                put(m, "", 1);
}

static void put_u32(Message *m, uint32_t value) {
        put(m, &value, sizeof(value));
}

static void field(Message *m, uint8_t code, char type, const char *text) {
        const uint8_t head[] = {code, 1, (uint8_t)type, 0};

        pad(m, 8);
        put(m, head, sizeof(head));
        if (type == 'g')
                put(m, &(uint8_t){(uint8_t)strlen(text)}, 1);
        else
                put_u32(m, (uint32_t)strlen(text));
        put(m, text, strlen(text) + 1);
}

static void number(Message *m, uint8_t code, uint32_t value) {
        const uint8_t head[] = {code, 1, 'u', 0};

        pad(m, 8);
        put(m, head, sizeof(head));
        put_u32(m, value);
}

static void begin(Message *m) {
        static const uint8_t head[] = {'l', 1, 0, 1, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0};

        m->size = 0;
        put(m, head, sizeof(head));
        field(m, 1, 'o', DYNOD_BUS_PATH);
        field(m, 3, 's', "ImportStack");
}

static bool is_plain(Message *m, size_t n_fds) {
        uint32_t fields = (uint32_t)m->size - 16;

        memcpy(m->data + 12, &fields, sizeof(fields));
        pad(m, 8);
        return call_header_is_plain(m->data, m->size, n_fds);
}

static void test_our_calls_pass(void **state) {
        static const char *const signatures[] = {
                "shts", "shtsa{ss}s", "sasa{ss}sbbbqqh", "ssasa{ss}bqqh", "a(sbis)h", "aah", ""};
        Message m;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
                begin(&m);
                field(&m, 2, 's', DYNOD_BUS_INTERFACE);
                field(&m, 6, 's', "org.dynod.Manager1");
                field(&m, 8, 'g', signatures[i]);
                number(&m, 9, 2);
                assert_true(is_plain(&m, 2));
                assert_false(call_header_is_plain(m.data, m.size, 1));
                for (size_t cut = 0; cut + 8 < m.size; cut++)
                        assert_false(call_header_is_plain(m.data, cut, 2));
        }
}

static void test_bad_signatures_are_refused(void **state) {
        static const char *const signatures[] = {
                "a",
                "(",
                ")",
                "()",
                "a{}",
                "a{s}",
                "a{sss}",
                "a{as}",
                "{ss}",
                "a{vs}",
                "z",
                "a(s",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaas"};
        Message m;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
                begin(&m);
                number(&m, 9, 1);
                field(&m, 8, 'g', signatures[i]);
                assert_false(is_plain(&m, 1));
        }
}

static void test_other_fields_are_refused(void **state) {
        static const struct {
                uint8_t code;
                char type;
                const char *text;
        } fields[] = {
                {0, 's', "x"},
                {4, 's', "a.b"},
                {7, 's', ":1.1"},
                {10, 's', "x"},
                {255, 's', "x"},
                {3, 's', "Twice"},
                {1, 'o', DYNOD_BUS_PATH},
                {6, 's', "nodot"},
                {6, 's', "a..b"},
                {6, 's', "a.1b"},
                {6, 's', ""},
                {2, 's', "org.other"},
                {2, 'o', DYNOD_BUS_INTERFACE},
                {8, 's', "s"},
        };
        Message m;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
                begin(&m);
                number(&m, 9, 1);
                field(&m, fields[i].code, fields[i].type, fields[i].text);
                assert_false(is_plain(&m, 1));
        }
        begin(&m);
        number(&m, 9, 1);
        number(&m, 9, 1);
        assert_false(is_plain(&m, 1));
        begin(&m);
        assert_false(is_plain(&m, 1));
}

/* One bit at a time: the header says what it is for, or it is refused. */
static void test_changed_bits_are_refused(void **state) {
        Message m, changed;

        (void)state;
        begin(&m);
        number(&m, 9, 1);
        assert_true(is_plain(&m, 1));
        for (size_t i = 0; i < 8 * m.size; i++) {
                size_t at = i / 8;

                /* flags, length of the body, serial, and letters of the member's name */
                if (at == 2 || (at >= 4 && at < 12) || (at >= 56 && at < 67))
                        continue;
                changed = m;
                changed.data[at] ^= (uint8_t)(1 << i % 8);
                if (call_header_is_plain(changed.data, changed.size, 1))
                        fail_msg("bit %zu of byte %zu", i % 8, at);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_our_calls_pass),
                cmocka_unit_test(test_bad_signatures_are_refused),
                cmocka_unit_test(test_other_fields_are_refused),
                cmocka_unit_test(test_changed_bits_are_refused),
        };

        return cmocka_run_group_tests_name("control/call_header", tests, NULL, NULL);
}
