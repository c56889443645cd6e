/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Writer and parser share spec_header_check(), so that what the supervisor writes is
 * exactly what dyno-init accepts.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/file.h"
#include "ipc/dyno_spec.h"

#define SPEC_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static bool flags_are_valid(uint32_t flags) {
        if ((flags & ~DYNO_SPEC_FLAGS_ALL) != 0)
                return false;
        if ((flags & (DYNO_SPEC_TTY | DYNO_SPEC_EXEC)) != 0 && (flags & DYNO_SPEC_ATTACH) == 0)
                return false;
        return true;
}

/* Return: 0 or -EBADMSG. @size: of everything, the header included */
static int spec_header_check(const DynoSpecHeader *h, size_t size) {
        if (h->magic != DYNO_SPEC_MAGIC || h->reserved != 0 || !flags_are_valid(h->flags))
                return -EBADMSG;
        if (h->n_args < 1 || h->n_args > DYNO_SPEC_STRINGS_MAX || h->n_env > DYNO_SPEC_STRINGS_MAX)
                return -EBADMSG;
        if ((h->flags & DYNO_SPEC_SHELL) != 0 && h->n_args != 1)
                return -EBADMSG;
        if (h->web_port > UINT16_MAX || (h->web_port != 0 && (h->flags & DYNO_SPEC_EXEC) != 0))
                return -EBADMSG;
        if ((h->flags & DYNO_SPEC_TTY) == 0 && (h->rows != 0 || h->columns != 0))
                return -EBADMSG;
        if (size > DYNO_SPEC_MAX || h->strings_size != size - sizeof(*h))
                return -EBADMSG;
        return 0;
}

/* NAME=value, NAME being [A-Za-z_][A-Za-z0-9_]*: anything else a shell would drop or misread. */
static bool variable_is_valid(const char *text) {
        const char *p = text;

        if (*p >= '0' && *p <= '9')
                return false;
        while ((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
               *p == '_')
                p++;
        return p > text && *p == '=';
}

/* Counts @strings and adds their bytes with NULs to @size. Return: 0 or -E2BIG. */
static int strings_measure(char *const *strings, uint32_t *ret_n, size_t *size) {
        uint32_t n = 0;

        for (; strings[n]; n++) {
                size_t len = strlen(strings[n]) + 1;

                if (n == DYNO_SPEC_STRINGS_MAX || len > DYNO_SPEC_MAX - *size)
                        return -E2BIG;
                *size += len;
        }

        *ret_n = n;
        return 0;
}

static char *strings_copy(char *to, char *const *strings) {
        for (; *strings; strings++)
                to = stpcpy(to, *strings) + 1;
        return to;
}

int dyno_spec_write(
        int *ret_fd, const DynoSpecHeader *header, char *const *args, char *const *env) {
        DynoSpecHeader h = {.magic = DYNO_SPEC_MAGIC};
        _cleanup_free_ char *buf = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t size = sizeof(h);
        int r;

        assert(ret_fd && header && args && env);

        h.flags = header->flags;
        h.web_port = header->web_port;
        if ((h.flags & DYNO_SPEC_TTY) != 0) {
                h.rows = header->rows;
                h.columns = header->columns;
        }

        r = strings_measure(args, &h.n_args, &size);
        if (r < 0)
                return r;
        r = strings_measure(env, &h.n_env, &size);
        if (r < 0)
                return r;
        h.strings_size = (uint32_t)(size - sizeof(h));
        if (spec_header_check(&h, size) < 0 || args[0][0] == '\0')
                return -EINVAL;
        for (uint32_t i = 0; i < h.n_env; i++)
                if (!variable_is_valid(env[i]))
                        return -EINVAL;

        buf = malloc(size);
        if (!buf)
                return -ENOMEM;
        memcpy(buf, &h, sizeof(h));
        (void)strings_copy(strings_copy(buf + sizeof(h), args), env);

        fd = memfd_create("dyno-spec", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        r = write_all(fd, buf, size);
        if (r < 0)
                return r;
        if (fcntl(fd, F_ADD_SEALS, SPEC_SEALS) < 0)
                return -errno;

        *ret_fd = TAKE_FD(fd);
        return 0;
}

int dyno_spec_check_fd(int fd) {
        struct stat st;
        int seals;

        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0)
                return errno == EBADF ? -EBADF : -EBADMSG;
        if ((seals & SPEC_SEALS) != SPEC_SEALS)
                return -EBADMSG;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size <= (off_t)sizeof(DynoSpecHeader) ||
            st.st_size > DYNO_SPEC_MAX)
                return -EBADMSG;

        return 0;
}

/* Takes @n strings off *p. Each ends before @end, or this fails. */
static int strings_take(char **ret, uint32_t n, char **p, const char *end) {
        for (uint32_t i = 0; i < n; i++) {
                char *nul = memchr(*p, '\0', (size_t)(end - *p));

                if (!nul)
                        return -EBADMSG;
                ret[i] = *p;
                *p = nul + 1;
        }
        ret[n] = NULL;
        return 0;
}

int dyno_spec_parse(DynoSpec *ret, char *buf, size_t size) {
        _cleanup_free_ char **strings = NULL;
        char **env;
        DynoSpecHeader h;
        char *p;
        int r;

        assert(ret && buf);

        if (size <= sizeof(h))
                return -EBADMSG;
        memcpy(&h, buf, sizeof(h));
        r = spec_header_check(&h, size);
        if (r < 0)
                return r;

        /* Both lists, each with its NULL. */
        strings = calloc((size_t)h.n_args + h.n_env + 2, sizeof(char *));
        if (!strings)
                return -ENOMEM;
        env = strings + h.n_args + 1;

        p = buf + sizeof(h);
        r = strings_take(strings, h.n_args, &p, buf + size);
        if (r < 0)
                return r;
        r = strings_take(env, h.n_env, &p, buf + size);
        if (r < 0)
                return r;
        if (p != buf + size || strings[0][0] == '\0')
                return -EBADMSG;
        for (uint32_t i = 0; i < h.n_env; i++)
                if (!variable_is_valid(env[i]))
                        return -EBADMSG;

        ret->header = h;
        ret->args = TAKE_PTR(strings);
        ret->env = env;
        return 0;
}

void dyno_spec_clear(DynoSpec *spec) {
        free(spec->args); /* env is its second half */
        spec->args = NULL;
        spec->env = NULL;
}
