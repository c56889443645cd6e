/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json.h"
#include "cli/text.h"

#define JSON_DEPTH_MAX 16 /* nested values of one answer; ours have four */

static bool texts_are_cleaned;

static int read_value(struct json_object **ret, sd_bus_message *m, unsigned depth);

void json_clean_texts(bool on) {
        texts_are_cleaned = on;
}

static char *copy_text(const char *text) {
        return texts_are_cleaned ? text_clean(text, strlen(text)) : strdup(text);
}

static struct json_object *new_text(const char *text) {
        _cleanup_free_ char *copy = copy_text(text);

        return copy ? json_object_new_string(copy) : NULL;
}

static int read_basic(struct json_object **ret, sd_bus_message *m, char type) {
        union {
                uint8_t y;
                int b;
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
                double d;
                const char *s;
                int h;
        } v;
        int r;

        r = sd_bus_message_read_basic(m, type, &v);
        if (r < 0)
                return r;

        switch (type) {
        case SD_BUS_TYPE_BYTE:
                *ret = json_object_new_int(v.y);
                break;
        case SD_BUS_TYPE_BOOLEAN:
                *ret = json_object_new_boolean(v.b);
                break;
        case SD_BUS_TYPE_INT16:
                *ret = json_object_new_int(v.n);
                break;
        case SD_BUS_TYPE_UINT16:
                *ret = json_object_new_int(v.q);
                break;
        case SD_BUS_TYPE_INT32:
                *ret = json_object_new_int(v.i);
                break;
        case SD_BUS_TYPE_UINT32:
                *ret = json_object_new_int64(v.u);
                break;
        case SD_BUS_TYPE_INT64:
                *ret = json_object_new_int64(v.x);
                break;
        case SD_BUS_TYPE_UINT64:
                *ret = json_object_new_uint64(v.t);
                break;
        case SD_BUS_TYPE_DOUBLE:
                *ret = json_object_new_double(v.d);
                break;
        case SD_BUS_TYPE_STRING:
        case SD_BUS_TYPE_OBJECT_PATH:
        case SD_BUS_TYPE_SIGNATURE:
                *ret = new_text(v.s);
                break;
        default: /* a descriptor */
                *ret = NULL;
                return 0;
        }
        return *ret ? 0 : -ENOMEM;
}

static int read_entry(struct json_object *object, sd_bus_message *m, unsigned depth) {
        _cleanup_free_ char *copy = NULL;
        struct json_object *value = NULL;
        const char *key, *contents;
        char type;
        int r;

        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_DICT_ENTRY, contents);
        if (r < 0)
                return r;
        r = sd_bus_message_read_basic(m, SD_BUS_TYPE_STRING, &key);
        if (r < 0)
                return r;
        r = read_value(&value, m, depth);
        if (r < 0)
                return r;
        copy = copy_text(key);
        if (!copy || json_object_object_add(object, copy, value) < 0) {
                (void)json_object_put(value);
                return -ENOMEM;
        }
        return sd_bus_message_exit_container(m);
}

static int read_items(struct json_object *list, sd_bus_message *m, bool dict, unsigned depth) {
        for (;;) {
                struct json_object *value = NULL;
                int r = sd_bus_message_at_end(m, /* complete= */ false);

                if (r != 0)
                        return r < 0 ? r : 0;
                if (dict) {
                        r = read_entry(list, m, depth);
                        if (r < 0)
                                return r;
                        continue;
                }
                r = read_value(&value, m, depth);
                if (r < 0)
                        return r;
                if (json_object_array_add(list, value) < 0) {
                        (void)json_object_put(value);
                        return -ENOMEM;
                }
        }
}

static int read_container(
        struct json_object **ret,
        sd_bus_message *m,
        char type,
        const char *contents,
        unsigned depth) {
        bool dict = type == SD_BUS_TYPE_ARRAY && contents[0] == SD_BUS_TYPE_DICT_ENTRY_BEGIN &&
                    contents[1] == SD_BUS_TYPE_STRING;
        _cleanup_json_ struct json_object *value = NULL;
        int r;

        r = sd_bus_message_enter_container(m, type, contents);
        if (r < 0)
                return r;
        if (type == SD_BUS_TYPE_VARIANT) {
                r = read_value(&value, m, depth);
        } else {
                value = dict ? json_object_new_object() : json_object_new_array();
                r = value ? read_items(value, m, dict, depth) : -ENOMEM;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(value);
        return 0;
}

static int read_value(struct json_object **ret, sd_bus_message *m, unsigned depth) {
        const char *contents;
        char type;
        int r;

        if (depth == 0)
                return -ELOOP;
        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r < 0)
                return r;
        if (r == 0)
                return -ENXIO;
        if (contents)
                return read_container(ret, m, type, contents, depth - 1);
        return read_basic(ret, m, type);
}

int json_from_message(struct json_object **ret, sd_bus_message *message) {
        assert(ret && message);

        return read_value(ret, message, JSON_DEPTH_MAX);
}

struct json_object *json_get(struct json_object *object, const char *key) {
        struct json_object *value = NULL;

        if (!json_object_is_type(object, json_type_object))
                return NULL;
        return json_object_object_get_ex(object, key, &value) ? value : NULL;
}

const char *json_text(struct json_object *object, const char *key) {
        struct json_object *value = json_get(object, key);

        return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

uint64_t json_number(struct json_object *object, const char *key) {
        struct json_object *value = json_get(object, key);

        return json_object_is_type(value, json_type_int) ? json_object_get_uint64(value) : 0;
}

double json_real(struct json_object *object, const char *key) {
        return json_object_get_double(json_get(object, key));
}

bool json_flag(struct json_object *object, const char *key) {
        struct json_object *value = json_get(object, key);

        return json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

bool json_has(struct json_object *object, const char *key) {
        struct json_object *value = json_get(object, key);

        return value && !(json_object_is_type(value, json_type_string) &&
                          json_object_get_string(value)[0] == '\0');
}

size_t json_length(struct json_object *list) {
        return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

size_t json_members(struct json_object *object) {
        return json_object_is_type(object, json_type_object)
                       ? (size_t)json_object_object_length(object)
                       : 0;
}

struct json_object *json_at(struct json_object *list, size_t i) {
        return json_object_is_type(list, json_type_array) ? json_object_array_get_idx(list, i)
                                                          : NULL;
}

char *json_join(struct json_object *list, const char *separator) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        for (size_t i = 0; i < json_length(list); i++)
                (void)fprintf(
                        f,
                        "%s%s",
                        i > 0 ? separator : "",
                        json_object_get_string(json_at(list, i)));
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

void json_complete(struct json_object *object, const char *const *keys, size_t n) {
        if (!json_object_is_type(object, json_type_object))
                return;
        for (size_t i = 0; i < n; i++)
                if (!json_has(object, keys[i]))
                        (void)json_object_object_add(object, keys[i], NULL);
}

/* DEL and the C1 controls of UTF-8: 0xc2 0x80 to 0xc2 0x9f. Return: bytes of it, or 0. */
static size_t control_size(const char *text) {
        if (*text == 0x7f)
                return 1;
        return (uint8_t)text[0] == 0xc2 && (uint8_t)text[1] >= 0x80 && (uint8_t)text[1] <= 0x9f ? 2
                                                                                                : 0;
}

char *json_format(struct json_object *object, bool line) {
        int flags = JSON_C_TO_STRING_NOSLASHESCAPE;
        const char *text;
        char *safe, *p;

        if (!line)
                flags |= JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
        text = json_object_to_json_string_ext(object, flags);
        safe = text ? malloc(strlen(text) * 6 + 1) : NULL; /* "\u007f" has six bytes */
        if (!safe)
                return NULL;
        for (p = safe; *text;) {
                size_t n = control_size(text);

                if (n > 0)
                        p += sprintf(p, "\\u%04x", (unsigned)(uint8_t)text[n - 1]);
                else
                        *p++ = *text;
                text += n > 0 ? n : 1;
        }
        *p = '\0';
        return safe;
}

void json_print(struct json_object *object, FILE *out, bool line) {
        _cleanup_free_ char *text = json_format(object, line);

        (void)fprintf(out, "%s\n", text ?: "null");
}
