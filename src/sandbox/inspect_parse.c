/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/inspect_parse.h"
#include "sandbox/rootfs_plan.h"

/* What stands behind "@key:" at the start of a line, NULL if there is no such line. */
static const char *find_line(const char *text, const char *key) {
        size_t len = strlen(key);

        for (const char *line = text; *line;) {
                if (strncmp(line, key, len) == 0 && line[len] == ':')
                        return line + len + 1;
                line = strchrnul(line, '\n');
                if (*line)
                        line++;
        }

        return NULL;
}

/* Reads numbers up to the end of the line. Return: how many, or -EPROTO. */
static int read_numbers(const char *p, int base, uint64_t *ret, size_t max) {
        size_t n = 0;

        for (;;) {
                char *end;

                p += strspn(p, " \t");
                if (*p == '\n' || *p == '\0')
                        return (int)n;
                if (!isxdigit((unsigned char)*p) || n == max)
                        return -EPROTO;
                errno = 0;
                ret[n++] = strtoull(p, &end, base);
                if (errno != 0 || end == p)
                        return -EPROTO;
                p = end;
        }
}

static int get_numbers(const char *text, const char *key, int base, uint64_t *ret, size_t n) {
        const char *p = find_line(text, key);

        return p && read_numbers(p, base, ret, n) == (int)n ? 0 : -EPROTO;
}

static int get_unsigned(const char *text, const char *key, unsigned *ret) {
        uint64_t value;
        int r;

        r = get_numbers(text, key, 10, &value, 1);
        if (r < 0 || value > UINT32_MAX)
                return -EPROTO;

        *ret = (unsigned)value;
        return 0;
}

static int get_ids(const char *text, const char *key, uint32_t ret[4]) {
        uint64_t values[4];

        if (get_numbers(text, key, 10, values, 4) < 0)
                return -EPROTO;
        for (size_t i = 0; i < 4; i++)
                ret[i] = (uint32_t)values[i];

        return 0;
}

int proc_status_parse(const char *text, ProcStatus *ret) {
        uint64_t numbers[64];
        ProcStatus s;
        const char *p;
        int n;

        assert(text);
        assert(ret);

        if (get_ids(text, "Uid", s.uid) < 0 || get_ids(text, "Gid", s.gid) < 0 ||
            get_numbers(text, "CapInh", 16, &s.cap_inheritable, 1) < 0 ||
            get_numbers(text, "CapPrm", 16, &s.cap_permitted, 1) < 0 ||
            get_numbers(text, "CapEff", 16, &s.cap_effective, 1) < 0 ||
            get_numbers(text, "CapBnd", 16, &s.cap_bounding, 1) < 0 ||
            get_numbers(text, "CapAmb", 16, &s.cap_ambient, 1) < 0 ||
            get_unsigned(text, "NoNewPrivs", &s.no_new_privs) < 0 ||
            get_unsigned(text, "Seccomp", &s.seccomp) < 0 ||
            get_unsigned(text, "Seccomp_filters", &s.seccomp_filters) < 0)
                return -EPROTO;

        p = find_line(text, "Groups");
        n = p ? read_numbers(p, 10, numbers, ARRAY_SIZE(numbers)) : -EPROTO;
        if (n < 0)
                return -EPROTO;
        s.n_groups = (unsigned)n;

        p = find_line(text, "NSpid");
        n = p ? read_numbers(p, 10, numbers, ARRAY_SIZE(numbers)) : -EPROTO;
        if (n < 1)
                return -EPROTO;
        s.innermost_pid = (pid_t)numbers[n - 1];

        *ret = s;
        return 0;
}

bool id_map_is(const char *text, const uint32_t (*ranges)[3], size_t n_ranges) {
        for (size_t i = 0; i < n_ranges; i++) {
                uint64_t numbers[3];

                if (read_numbers(text, 10, numbers, 3) != 3)
                        return false;
                for (size_t k = 0; k < 3; k++)
                        if (numbers[k] != ranges[i][k])
                                return false;
                text = strchrnul(text, '\n');
                if (*text)
                        text++;
        }

        return *text == '\0';
}

/* Copies the next word of a line. Return: what follows it, NULL if there is none or no room. */
static const char *next_word(const char *p, char *ret, size_t size) {
        size_t len;

        p += strspn(p, " ");
        len = strcspn(p, " \n");
        if (len == 0 || len >= size)
                return NULL;
        memcpy(ret, p, len);
        ret[len] = '\0';

        return p + len;
}

static unsigned parse_flags(char *options) {
        static const struct {
                const char *name;
                unsigned flag;
        } table[] = {
                {"ro", ROOTFS_RO},
                {"nosuid", ROOTFS_NOSUID},
                {"nodev", ROOTFS_NODEV},
                {"noexec", ROOTFS_NOEXEC},
        };
        unsigned flags = 0;
        char *save = NULL;

        for (char *word = strtok_r(options, ",", &save); word; word = strtok_r(NULL, ",", &save))
                for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                        if (strcmp(word, table[i].name) == 0)
                                flags |= table[i].flag;

        return flags;
}

/* "36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda rw": proc(5). */
int mount_line_parse(const char **text, MountLine *ret) {
        char skipped[4096], options[256];
        const char *p = *text, *end;

        if (!*p)
                return 0;
        end = strchrnul(p, '\n');

        for (int i = 0; p && i < 4; i++)
                p = next_word(p, skipped, sizeof(skipped));
        if (p)
                p = next_word(p, ret->point, sizeof(ret->point));
        if (p)
                p = next_word(p, options, sizeof(options));
        ret->flags = p ? parse_flags(options) : 0;
        for (;;) { /* optional fields, up to a dash: all tell of propagation */
                p = p ? next_word(p, skipped, sizeof(skipped)) : NULL;
                if (!p || strcmp(skipped, "-") == 0)
                        break;
                ret->flags |= ROOTFS_SHARED;
        }
        if (p)
                p = next_word(p, ret->fstype, sizeof(ret->fstype));
        if (!p || p > end)
                return -EPROTO;

        *text = *end ? end + 1 : end;
        return 1;
}

static int parse_limit(const char **p, uint64_t *ret) {
        char word[32], *end;

        *p = next_word(*p, word, sizeof(word));
        if (!*p)
                return -EPROTO;
        if (strcmp(word, "unlimited") == 0) {
                *ret = UINT64_MAX;
                return 0;
        }
        errno = 0;
        *ret = strtoull(word, &end, 10);

        return *end || errno != 0 || !isdigit((unsigned char)word[0]) ? -EPROTO : 0;
}

int proc_limit_parse(const char *text, const char *name, uint64_t *ret_soft, uint64_t *ret_hard) {
        size_t len = strlen(name);

        for (const char *line = text; *line;) {
                if (strncmp(line, name, len) == 0 && line[len] == ' ') {
                        const char *p = line + len;

                        return parse_limit(&p, ret_soft) < 0 || parse_limit(&p, ret_hard) < 0
                                       ? -EPROTO
                                       : 0;
                }
                line = strchrnul(line, '\n');
                if (*line)
                        line++;
        }

        return -EPROTO;
}
