/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <string.h>

#include "base/names.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool is_name(const char *name, const char *first, const char *rest, size_t min, size_t max) {
        size_t len = strnlen(name, max + 1);

        return len >= min && len <= max && strchr(first, name[0]) && strspn(name, rest) == len;
}

bool app_name_is_valid(const char *name) {
        return is_name(name, LOWER, LOWER DIGITS "-", 3, 30);
}

bool stack_name_is_valid(const char *name) {
        return is_name(name, LOWER, LOWER DIGITS ".-", 2, 30);
}

bool process_type_is_valid(const char *type) {
        return is_name(
                type, LOWER UPPER DIGITS "_-", LOWER UPPER DIGITS "_-", 1, PROCESS_TYPE_SIZE - 1);
}

bool instance_name_is_valid(const char *name) {
        return is_name(name, LOWER, LOWER DIGITS, 1, INSTANCE_NAME_SIZE - 1);
}

/* Checks "TYPE.N" in the first @len characters of @name. */
static bool type_and_number_are_valid(const char *name, size_t len) {
        char type[PROCESS_TYPE_SIZE];
        const char *dot = memchr(name, '.', len);
        const char *number;
        size_t type_len, digits;

        if (!dot)
                return false;
        type_len = (size_t)(dot - name);
        if (type_len >= sizeof(type))
                return false;
        memcpy(type, name, type_len);
        type[type_len] = '\0';
        if (!process_type_is_valid(type))
                return false;

        number = dot + 1;
        digits = len - type_len - 1;
        return digits >= 1 && digits <= 5 && number[0] != '0' && strspn(number, DIGITS) >= digits;
}

bool dyno_name_is_valid(const char *name) {
        size_t len = strnlen(name, DYNO_NAME_SIZE);

        return len < DYNO_NAME_SIZE && type_and_number_are_valid(name, len);
}

bool dyno_id_is_valid(const char *id) {
        size_t len = strnlen(id, DYNO_ID_SIZE);

        /* The tail has a fixed length, so a '-' in the type cannot be mistaken for it. */
        if (len >= DYNO_ID_SIZE || len < 7 || id[len - 7] != '-' ||
            strspn(id + len - 6, DIGITS "abcdef") != 6)
                return false;

        return type_and_number_are_valid(id, len - 7);
}

bool config_name_is_valid(const char *name) {
        return is_name(name, LOWER UPPER "_", LOWER UPPER DIGITS "_", 1, CONFIG_NAME_MAX) &&
               strncmp(name, "__", 2) != 0 && strncmp(name, "HEROKU_", 7) != 0;
}

bool field_is_clean(const char *field, size_t size) {
        size_t len = strnlen(field, size);

        if (len == size)
                return false;
        for (size_t i = len; i < size; i++)
                if (field[i] != '\0')
                        return false;

        return true;
}

void field_set(char *field, size_t size, const char *text) {
        size_t len = strlen(text);

        assert(len < size);

        /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): the zeroes follow */
        memcpy(field, text, len);
        memset(field + len, 0, size - len);
}
