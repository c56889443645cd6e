/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Calls of the control socket as bytes: well-formed ones with arguments that an input chooses. */

#include <stdbool.h>
#include <stdlib.h>

#include "dynod/bus.h"
#include "fuzz_input.h"

#define DBUS_CALL_MAX 16384
#define DBUS_FDS_MAX 4

typedef struct DbusCall {
        uint8_t data[DBUS_CALL_MAX];
        size_t size;
        uint32_t n_fds; /* that its arguments name: 0, 1, … */
} DbusCall;

typedef struct DbusMethod {
        const char *member, *signature;
} DbusMethod;

static const DbusMethod dbus_methods[] = {
        {"Version", ""},
        {"HostInfo", ""},
        {"Doctor", ""},
        {"ListSizes", ""},
        {"ListStacks", ""},
        {"ImportStack", "shts"},
        {"RemoveStack", "s"},
        {"ListApps", ""},
        {"CreateApp", "ss"},
        {"AppInfo", "s"},
        {"RenameApp", "ss"},
        {"DestroyApp", "s"},
        {"SetStack", "ss"},
        {"Deploy", "shtsa{ss}s"},
        {"ListReleases", "s"},
        {"ReleaseInfo", "su"},
        {"Rollback", "su"},
        {"GetConfig", "s"},
        {"ChangeConfig", "sa{ss}as"},
        {"Formation", "s"},
        {"Scale", "sa(sbis)"},
        {"ListDynos", "s"},
        {"RestartDynos", "ss"},
        {"StopDynos", "ss"},
        {"WaitDynos", "st"},
        {"Inspect", "ss"},
        {"Run", "sasa{ss}sbbbqqh"},
        {"Exec", "ssasa{ss}bqqh"},
        {"Logs", "sb"},
        {"Network", "s"},
        {"ChangeNetwork", "ssas"},
};

/* What an argument is likely to be; the rest of the choices are text of the input's own. */
static const char *const dbus_words[] = {
        "shop",
        "shop",
        "other",
        "debian-12",
        "debian-12@1",
        "web",
        "worker",
        "web.1",
        "run.1",
        "Standard-2X",
        "",
        "standard-1x",
        "PATH",
        "serve $PORT",
        "a\nb\tc",
        "RAILS_ENV",
        "HEROKU_X",
        "debian-13",
        "SHA256:1212121212121212121212121212121212121212121212121212121212121212",
        "allow",
        "deny",
        "remove",
        "reset",
        "source",
        "trust",
        "distrust",
        "add-service",
        "remove-service",
        "publish",
        "unpublish",
        "10.0.0.0/8:5432/tcp",
        "any",
        "192.0.2.0/24",
        "postgres",
        "5432/udp",
        "8080",
        "auto",
};

static inline void dbus_put(DbusCall *call, const void *data, size_t size) {
        if (call->size + size > sizeof(call->data))
                size = sizeof(call->data) - call->size;
        memcpy(call->data + call->size, data, size);
        call->size += size;
}

static inline void dbus_align(DbusCall *call, size_t to) {
        static const uint8_t zeroes[8];

        dbus_put(call, zeroes, (to - call->size % to) % to);
}

static inline void dbus_u32(DbusCall *call, uint32_t value) {
        dbus_align(call, 4);
        dbus_put(call, &value, sizeof(value));
}

static inline void dbus_text(DbusCall *call, const char *text, size_t size) {
        dbus_u32(call, (uint32_t)size);
        dbus_put(call, text, size);
        dbus_put(call, "", 1);
}

static inline void dbus_patch(DbusCall *call, size_t at, size_t value) {
        uint32_t v = (uint32_t)value;

        if (at + 4 <= sizeof(call->data))
                memcpy(call->data + at, &v, 4);
}

static inline void dbus_string(DbusCall *call, Input *in) {
        uint8_t which = input_byte(in);
        size_t size;
        const uint8_t *own;

        if (which < 0xc0) {
                const char *word = dbus_words[which % (sizeof(dbus_words) / sizeof(char *))];

                dbus_text(call, word, strlen(word));
                return;
        }
        own = input_bytes(in, which < 0xf0 ? 1 : 16, 4096, &size);
        dbus_text(call, (const char *)own, size);
}

static inline size_t dbus_alignment(char type) {
        return strchr("{(xtd", type) ? 8 : type == 'q' || type == 'n' ? 2 : type == 'y' ? 1 : 4;
}

static inline const char *dbus_type_end(const char *type) {
        int depth = 0;

        while (*type == 'a')
                type++;
        do {
                depth += *type == '(' || *type == '{';
                depth -= *type == ')' || *type == '}';
                type++;
        } while (depth > 0);
        return type;
}

/* One complete type. Return: behind it. */
static inline const char *dbus_value(DbusCall *call, const char *type, Input *in) {
        const char *end = dbus_type_end(type);
        uint64_t number = 0;

        dbus_align(call, dbus_alignment(*type));
        switch (*type) {
        case 's':
                dbus_string(call, in);
                break;
        case 'h':
                dbus_u32(call, call->n_fds < DBUS_FDS_MAX ? call->n_fds++ : 0);
                break;
        case 'b':
                dbus_u32(call, input_byte(in) & 1);
                break;
        case 'a': {
                size_t at = call->size, begin, n = input_byte(in);

                dbus_u32(call, 0);
                dbus_align(call, dbus_alignment(type[1]));
                begin = call->size;
                n %= input_byte(in) == 0xff ? 80 : 4;
                for (; n > 0; n--)
                        (void)dbus_value(call, type + 1, in);
                dbus_patch(call, at, call->size - begin);
                break;
        }
        case '(':
        case '{':
                for (type++; type < end - 1;)
                        type = dbus_value(call, type, in);
                break;
        default:
                number = (uint64_t)(int64_t)(int8_t)input_byte(in);
                if (number > 0x70)
                        number = (uint64_t)input_u32(in) << 16;
                dbus_put(call, &number, dbus_alignment(*type));
        }
        return end;
}

static inline void dbus_field(DbusCall *call, uint8_t code, const char *type, const char *text) {
        const uint8_t head[] = {code, 1, (uint8_t)*type, 0};
        uint8_t length = (uint8_t)strlen(text);

        dbus_align(call, 8);
        dbus_put(call, head, sizeof(head));
        if (*type == 'g') {
                dbus_put(call, &length, 1);
                dbus_put(call, text, length + 1U);
        } else
                dbus_text(call, text, length);
}

static inline void dbus_call(DbusCall *call, const DbusMethod *method, uint32_t serial, Input *in) {
        static const uint8_t head[] = {'l', 1, 0, 1};
        const uint8_t fds_head[] = {9, 1, 'u', 0};
        size_t begin, at_fds;

        call->size = call->n_fds = 0;
        dbus_put(call, head, sizeof(head));
        dbus_u32(call, 0);
        dbus_u32(call, serial);
        dbus_u32(call, 0);
        dbus_field(call, 1, "o", DYNOD_BUS_PATH);
        dbus_field(call, 2, "s", DYNOD_BUS_INTERFACE);
        dbus_field(call, 3, "s", method->member);
        dbus_align(call, 8);
        dbus_put(call, fds_head, sizeof(fds_head));
        at_fds = call->size;
        dbus_u32(call, 0);
        if (*method->signature)
                dbus_field(call, 8, "g", method->signature);
        dbus_patch(call, 12, call->size - 16);
        dbus_align(call, 8);
        begin = call->size;
        for (const char *type = method->signature; *type;)
                type = dbus_value(call, type, in);
        dbus_patch(call, 4, call->size - begin);
        dbus_patch(call, at_fds, call->n_fds);
}
