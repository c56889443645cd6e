/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "control/facts.h"
#include "control/utf8.h"

int fact_text(sd_bus_message *m, const char *key, const char *value) {
        _cleanup_free_ char *text = NULL;

        if (!value || !*value)
                return 0;
        text = utf8_make_valid(value);
        if (!text)
                return -ENOMEM;
        return sd_bus_message_append(m, "{sv}", key, "s", text);
}

int fact_u32(sd_bus_message *m, const char *key, uint32_t value) {
        return sd_bus_message_append(m, "{sv}", key, "u", value);
}

int fact_u64(sd_bus_message *m, const char *key, uint64_t value) {
        return sd_bus_message_append(m, "{sv}", key, "t", value);
}

int fact_bool(sd_bus_message *m, const char *key, bool value) {
        return sd_bus_message_append(m, "{sv}", key, "b", value);
}

int fact_double(sd_bus_message *m, const char *key, double value) {
        return sd_bus_message_append(m, "{sv}", key, "d", value);
}

int fact_time(sd_bus_message *m, const char *key, uint64_t usec) {
        time_t t = (time_t)(usec / USEC_PER_SEC);
        char text[40];
        struct tm tm;

        if (usec == 0 || usec == USEC_INFINITY || !gmtime_r(&t, &tm) ||
            strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                return 0;
        return fact_text(m, key, text);
}

int fact_open(sd_bus_message *m, const char *key, const char *type) {
        int r = sd_bus_message_open_container(m, SD_BUS_TYPE_DICT_ENTRY, "sv");

        if (r >= 0)
                r = sd_bus_message_append(m, "s", key);
        if (r >= 0)
                r = sd_bus_message_open_container(m, SD_BUS_TYPE_VARIANT, type);
        if (r >= 0)
                r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, type + 1);
        return r;
}

int fact_close(sd_bus_message *m) {
        int r = 0;

        for (int i = 0; i < 3 && r >= 0; i++) /* array, variant, entry */
                r = sd_bus_message_close_container(m);
        return r;
}

int fact_ports(sd_bus_message *m, const char *key, const uint16_t *ports, size_t n) {
        int r = fact_open(m, key, "au");

        for (size_t i = 0; i < n && r >= 0; i++)
                r = sd_bus_message_append(m, "u", (uint32_t)ports[i]);
        return r < 0 ? r : fact_close(m);
}

int fact_list(sd_bus_message *m, const char *key, const char *const *values) {
        int r;

        if (!values)
                return 0;
        r = fact_open(m, key, "as");
        for (; r >= 0 && *values; values++) {
                _cleanup_free_ char *text = utf8_make_valid(*values);

                r = text ? sd_bus_message_append(m, "s", text) : -ENOMEM;
        }
        return r < 0 ? r : fact_close(m);
}

int facts_open(sd_bus_message *m) {
        return sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
}

int facts_close(sd_bus_message *m) {
        return sd_bus_message_close_container(m);
}
