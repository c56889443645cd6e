/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "cli/text.h"

/* Bytes of the UTF-8 character at @p, or 0 if there is none (RFC 3629: shortest form only). */
static size_t utf8_length(const unsigned char *p, size_t left) {
        size_t n;

        if (left == 0)
                return 0;
        if (p[0] < 0x80)
                return 1;
        if (p[0] >= 0xc2 && p[0] <= 0xdf)
                n = 2;
        else if ((p[0] & 0xf0) == 0xe0)
                n = 3;
        else if (p[0] >= 0xf0 && p[0] <= 0xf4)
                n = 4;
        else
                return 0;
        if (n > left)
                return 0;
        for (size_t i = 1; i < n; i++)
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
            (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
                return 0;
        return n;
}

/* Bytes of the escape sequence at @p (which is ESC): CSI, OSC up to its end, or two bytes. */
static size_t escape_length(const char *p, size_t left) {
        size_t i = 2;

        if (left < 2)
                return 1;
        if (p[1] == '[') {
                while (i < left && p[i] >= 0x20 && p[i] <= 0x3f)
                        i++;
                return i < left && p[i] >= 0x40 && p[i] <= 0x7e ? i + 1 : i;
        }
        if (p[1] == ']') {
                while (i < left && p[i] != '\a' && p[i] != 0x1b)
                        i++;
                return i < left && p[i] == '\a' ? i + 1 : i;
        }
        return p[1] >= 0x20 && p[1] <= 0x7e ? 2 : 1;
}

/* Controls of more than one byte: C1, and what turns or breaks the line for who reads it. */
static bool is_control(const unsigned char *p, size_t n) {
        if (n == 2)
                return p[0] == 0xc2 && p[1] < 0xa0; /* U+0080 to U+009F */
        if (n != 3 || p[0] != 0xe2)
                return false;
        return (p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae) || /* U+2028 to U+202E */
               (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);   /* U+2066 to U+2069 */
}

char *text_clean(const char *text, size_t size) {
        char *out = malloc(size + 1);
        size_t used = 0;

        if (!out)
                return NULL;

        for (size_t i = 0; i < size;) {
                unsigned char c = (unsigned char)text[i];
                size_t n;

                if (c == 0x1b) {
                        i += escape_length(text + i, size - i);
                        continue;
                }
                n = utf8_length((const unsigned char *)text + i, size - i);
                if (n == 0 || (n == 1 && (c < 0x20 || c == 0x7f) && c != '\t') ||
                    is_control((const unsigned char *)text + i, n)) {
                        out[used++] = '?';
                        i += n == 0 ? 1 : n;
                        continue;
                }
                memcpy(out + used, text + i, n);
                used += n;
                i += n;
        }
        out[used] = '\0';

        return out;
}

char *text_to_utf8(const char *text, size_t size) {
        static const char replacement[] = "\xef\xbf\xbd";
        char *out = malloc(size * 3 + 1);
        size_t used = 0;

        if (!out)
                return NULL;

        for (size_t i = 0; i < size;) {
                size_t n = utf8_length((const unsigned char *)text + i, size - i);

                if (n == 0 || text[i] == '\0') {
                        memcpy(out + used, replacement, 3);
                        used += 3;
                        i++;
                        continue;
                }
                memcpy(out + used, text + i, n);
                used += n;
                i += n;
        }
        out[used] = '\0';

        return out;
}

static bool local_time(uint64_t usec, struct tm *ret) {
        time_t t = (time_t)(usec / USEC_PER_SEC);

        return localtime_r(&t, ret) != NULL;
}

void text_time_ago(char ret[TEXT_TIME_SIZE], uint64_t usec, uint64_t now_usec) {
        uint64_t age = now_usec > usec ? (now_usec - usec) / USEC_PER_SEC : 0;
        char when[40] = "?";
        struct tm tm;

        if (local_time(usec, &tm))
                (void)strftime(when, sizeof(when), "%Y/%m/%d %H:%M:%S %z", &tm);

        if (age < 60)
                (void)snprintf(ret, TEXT_TIME_SIZE, "%s (~ %" PRIu64 "s ago)", when, age);
        else if (age < 3600)
                (void)snprintf(ret, TEXT_TIME_SIZE, "%s (~ %" PRIu64 "m ago)", when, age / 60);
        else if (age < UINT64_C(25) * 3600)
                (void)snprintf(ret, TEXT_TIME_SIZE, "%s (~ %" PRIu64 "h ago)", when, age / 3600);
        else
                (void)snprintf(ret, TEXT_TIME_SIZE, "%s", when);
}

void text_time_of_day(char ret[TEXT_TIME_SIZE], uint64_t usec) {
        struct tm tm;

        if (!local_time(usec, &tm) || strftime(ret, TEXT_TIME_SIZE, "%H:%M:%S", &tm) == 0)
                (void)snprintf(ret, TEXT_TIME_SIZE, "?");
}

void text_time_log(char ret[TEXT_TIME_SIZE], uint64_t usec, bool json) {
        time_t t = (time_t)(usec / USEC_PER_SEC);
        char when[32] = "?";
        struct tm tm;

        if (gmtime_r(&t, &tm))
                (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(
                ret,
                TEXT_TIME_SIZE,
                "%s.%06u%s",
                when,
                (unsigned)(usec % USEC_PER_SEC),
                json ? "Z" : "+00:00");
}

int text_parse_time(const char *text, uint64_t *ret_usec) {
        uint64_t fraction = 0, unit = USEC_PER_SEC;
        struct tm tm = {};
        const char *p;
        time_t t;

        p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
        if (!p)
                return -EINVAL;
        if (*p == '.')
                for (p++; isdigit((unsigned char)*p); p++)
                        if (unit > 1) {
                                unit /= 10;
                                fraction += unit * (uint64_t)(*p - '0');
                        }
        if (strcmp(p, "Z") != 0 && strcmp(p, "+00:00") != 0)
                return -EINVAL;
        t = timegm(&tm);
        if (t < 0)
                return -EINVAL;

        *ret_usec = (uint64_t)t * USEC_PER_SEC + fraction;
        return 0;
}

void text_bytes(char ret[TEXT_NUMBER_SIZE], uint64_t bytes) {
        static const char *const units[] = {"bytes", "KB", "MB", "GB", "TB"};
        double value = (double)bytes;
        size_t unit = 0;

        while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
                value /= 1024;
                unit++;
        }
        /* one decimal, unless it says nothing */
        if (unit == 0 || value >= 1000 || (uint64_t)(value * 10 + 0.5) % 10 == 0)
                (void)snprintf(ret, TEXT_NUMBER_SIZE, "%.0f %s", value, units[unit]);
        else
                (void)snprintf(ret, TEXT_NUMBER_SIZE, "%.1f %s", value, units[unit]);
}

void text_count(char ret[TEXT_NUMBER_SIZE], uint64_t n) {
        char digits[24];
        int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
        size_t used = 0;

        for (int i = 0; i < len; i++) {
                if (i > 0 && (len - i) % 3 == 0)
                        ret[used++] = ',';
                ret[used++] = digits[i];
        }
        ret[used] = '\0';
}

void text_seconds(char ret[TEXT_NUMBER_SIZE], uint64_t usec) {
        (void)snprintf(
                ret,
                TEXT_NUMBER_SIZE,
                usec < 100 * USEC_PER_SEC ? "%.1f s" : "%.0f s",
                (double)usec / (double)USEC_PER_SEC);
}

void text_age(char ret[TEXT_NUMBER_SIZE], uint64_t usec) {
        uint64_t s = usec / USEC_PER_SEC;

        if (s < 60)
                (void)snprintf(ret, TEXT_NUMBER_SIZE, "%" PRIu64 "s", s);
        else if (s < 3600)
                (void)snprintf(ret, TEXT_NUMBER_SIZE, "%" PRIu64 "m", s / 60);
        else if (s < UINT64_C(48) * 3600)
                (void)snprintf(ret, TEXT_NUMBER_SIZE, "%" PRIu64 "h", s / 3600);
        else
                (void)snprintf(ret, TEXT_NUMBER_SIZE, "%" PRIu64 "d", s / 86400);
}

const char *text_ordinal(char ret[TEXT_NUMBER_SIZE], uint64_t n) {
        static const char *const endings[] = {"th", "st", "nd", "rd"};
        const char *ending = n % 10 < 4 && n % 100 / 10 != 1 ? endings[n % 10] : "th";

        (void)snprintf(ret, TEXT_NUMBER_SIZE, "%" PRIu64 "%s", n, ending);
        return ret;
}

size_t text_width(const char *text) {
        size_t n = 0;

        for (; *text; text++)
                n += ((unsigned char)*text & 0xc0) != 0x80;
        return n;
}

char *text_cut(const char *text, size_t width) {
        static const char ellipsis[] = "\xe2\x80\xa6";
        char *out = malloc(strlen(text) + sizeof(ellipsis));
        size_t n = 0, keep = 0;

        if (!out)
                return NULL;
        if (width == 0 || text_width(text) <= width)
                return memcpy(out, text, strlen(text) + 1);

        for (; text[keep]; keep++) {
                n += ((unsigned char)text[keep] & 0xc0) != 0x80;
                if (n == width)
                        break;
        }
        memcpy(out, text, keep);
        memcpy(out + keep, ellipsis, sizeof(ellipsis));
        return out;
}

#define DISTANCE_MAX 64 /* characters that are compared; no name of ours is longer */

size_t text_distance(const char *a, const char *b) {
        size_t row[DISTANCE_MAX + 1];
        size_t na = strnlen(a, DISTANCE_MAX), nb = strnlen(b, DISTANCE_MAX);

        for (size_t j = 0; j <= nb; j++)
                row[j] = j;
        for (size_t i = 1; i <= na; i++) {
                size_t diagonal = row[0];

                row[0] = i;
                for (size_t j = 1; j <= nb; j++) {
                        size_t above = row[j];
                        size_t best = diagonal + (a[i - 1] != b[j - 1]);

                        if (above + 1 < best)
                                best = above + 1;
                        if (row[j - 1] + 1 < best)
                                best = row[j - 1] + 1;
                        row[j] = best;
                        diagonal = above;
                }
        }
        return row[nb];
}

const char *text_nearest(const char *name, const char *const *names) {
        const char *best = NULL;
        size_t best_distance = strlen(name) / 3 + 2;

        for (; *names; names++) {
                size_t d = text_distance(name, *names);

                if (d < best_distance) {
                        best_distance = d;
                        best = *names;
                }
        }
        return best;
}

uint32_t text_hash(const char *text) {
        uint32_t hash = UINT32_C(2166136261);

        for (; *text; text++)
                hash = (hash ^ (unsigned char)*text) * UINT32_C(16777619);
        return hash;
}

int text_append_quoted(char **line, const char *word) {
        static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "0123456789_-./:=@%+,";
        size_t have = *line ? strlen(*line) : 0;
        bool plain = *word != '\0' && strspn(word, safe) == strlen(word);
        char *p = realloc(*line, have + 4 * strlen(word) + 4);

        if (!p)
                return -ENOMEM;
        *line = p;
        p += have;
        if (have > 0)
                *p++ = ' ';
        if (plain) {
                memcpy(p, word, strlen(word) + 1);
                return 0;
        }
        *p++ = '\'';
        for (; *word; word++) {
                if (*word == '\'') {
                        memcpy(p, "'\\''", 4);
                        p += 4;
                } else {
                        *p++ = *word;
                }
        }
        *p++ = '\'';
        *p = '\0';
        return 0;
}
