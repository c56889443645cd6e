/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/parse.h"

/* Reads digits at *@p, moving it behind them. */
static int take_number(const char **p, uint64_t *ret) {
        uint64_t value = 0;

        if (**p < '0' || **p > '9')
                return -EINVAL;

        for (; **p >= '0' && **p <= '9'; (*p)++)
                if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(**p - '0'), &value))
                        return -ERANGE;

        *ret = value;
        return 0;
}

int parse_u64(const char *text, uint64_t *ret) {
        uint64_t value;
        int r;

        assert(text);

        r = take_number(&text, &value);
        if (r < 0)
                return r;
        if (*text != '\0')
                return -EINVAL;

        *ret = value;
        return 0;
}

int parse_u32(const char *text, uint32_t *ret) {
        uint64_t value;
        int r;

        r = parse_u64(text, &value);
        if (r < 0)
                return r;
        if (value > UINT32_MAX)
                return -ERANGE;

        *ret = (uint32_t)value;
        return 0;
}

int parse_bool(const char *text, bool *ret) {
        static const char *const yes[] = {"yes", "true", "on", "1"};
        static const char *const no[] = {"no", "false", "off", "0"};

        for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
                if (strcasecmp(text, yes[i]) == 0) {
                        *ret = true;
                        return 0;
                }
                if (strcasecmp(text, no[i]) == 0) {
                        *ret = false;
                        return 0;
                }
        }

        return -EINVAL;
}

int parse_size(const char *text, uint64_t *ret_bytes) {
        static const char units[] = "KMGT";
        unsigned shift = 0;
        uint64_t value;
        int r;

        assert(text);

        r = take_number(&text, &value);
        if (r < 0)
                return r;

        if (*text != '\0') {
                const char *unit = strchr(units, *text);

                if (!unit || (text[1] != '\0' && strcmp(text + 1, "B") != 0))
                        return -EINVAL;
                shift = 10 * ((unsigned)(unit - units) + 1);
        }
        if (value > (UINT64_MAX >> shift))
                return -ERANGE;

        *ret_bytes = value << shift;
        return 0;
}

int parse_duration(const char *text, uint64_t *ret_usec) {
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {
                {"ms", USEC_PER_MSEC}, /* before "m" and "s" */
                {"s", USEC_PER_SEC},
                {"m", 60 * USEC_PER_SEC},
                {"h", 3600 * USEC_PER_SEC},
                {"d", 86400 * USEC_PER_SEC},
        };
        uint64_t total = 0;
        int r;

        assert(text);

        do {
                uint64_t value, unit = 0;

                r = take_number(&text, &value);
                if (r < 0)
                        return r;
                for (size_t i = 0; i < ARRAY_SIZE(units); i++)
                        if (strncmp(text, units[i].name, strlen(units[i].name)) == 0) {
                                unit = units[i].usec;
                                text += strlen(units[i].name);
                                break;
                        }
                if (unit == 0 && *text == '\0' && total == 0)
                        unit = USEC_PER_SEC;
                if (unit == 0)
                        return -EINVAL;
                if (__builtin_mul_overflow(value, unit, &value) ||
                    __builtin_add_overflow(total, value, &total) || total == USEC_INFINITY)
                        return -ERANGE;
        } while (*text != '\0');

        *ret_usec = total;
        return 0;
}

int parse_ipv4(const char *text, struct in_addr *ret) {
        struct in_addr addr;

        if (inet_pton(AF_INET, text, &addr) != 1)
                return -EINVAL;

        *ret = addr;
        return 0;
}

int parse_ipv4_net(const char *text, struct in_addr *ret, uint8_t *ret_prefix) {
        char address[INET_ADDRSTRLEN];
        const char *slash = strchr(text, '/');
        size_t len = slash ? (size_t)(slash - text) : strlen(text);
        struct in_addr addr;
        uint32_t prefix = 32;
        int r;

        if (len >= sizeof(address))
                return -EINVAL;
        memcpy(address, text, len);
        address[len] = '\0';

        r = parse_ipv4(address, &addr);
        if (r < 0)
                return r;
        if (slash) {
                r = parse_u32(slash + 1, &prefix);
                if (r < 0)
                        return r;
                if (prefix > 32)
                        return -ERANGE;
        }
        if (prefix < 32 && (ntohl(addr.s_addr) & (UINT32_MAX >> prefix)) != 0)
                return -EINVAL;

        *ret = addr;
        *ret_prefix = (uint8_t)prefix;
        return 0;
}

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

int parse_digest(const char *text, uint8_t ret[DIGEST_SIZE]) {
        uint8_t digest[DIGEST_SIZE];

        assert(text);

        if (strncasecmp(text, "SHA256:", 7) == 0)
                text += 7;
        if (strlen(text) != 2 * (size_t)DIGEST_SIZE)
                return -EINVAL;

        for (size_t i = 0; i < DIGEST_SIZE; i++) {
                int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

                if (high < 0 || low < 0)
                        return -EINVAL;
                digest[i] = (uint8_t)(high << 4 | low);
        }

        memcpy(ret, digest, DIGEST_SIZE);
        return 0;
}

void format_digest(const uint8_t digest[DIGEST_SIZE], char ret[DIGEST_TEXT_SIZE]) {
        static const char hex[] = "0123456789abcdef";

        for (size_t i = 0; i < DIGEST_SIZE; i++) {
                ret[2 * i] = hex[digest[i] >> 4];
                ret[2 * i + 1] = hex[digest[i] & 0xf];
        }
        ret[DIGEST_TEXT_SIZE - 1] = '\0';
}

static uint64_t clock_usec(clockid_t clock) {
        struct timespec ts;

        if (clock_gettime(clock, &ts) < 0)
                return 0; /* cannot happen: both clocks exist since Linux 2.6.39 */
        return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_boottime_usec(void) {
        return clock_usec(CLOCK_BOOTTIME);
}

uint64_t clock_realtime_usec(void) {
        return clock_usec(CLOCK_REALTIME);
}
