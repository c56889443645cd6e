/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "confine/confine.h"
#include "confine/confine_internal.h"

/* /proc/self/status is some 1,500 bytes, with many groups and CPUs a few thousand. */
#define STATUS_SIZE 16384

/* The text behind "\nNAME:\t", or NULL. */
static const char *status_field(const char *status, const char *name) {
        size_t size = strlen(name);

        for (const char *line = status; line; line = strchr(line, '\n')) {
                if (*line == '\n')
                        line++;
                if (strncmp(line, name, size) == 0 && line[size] == ':')
                        return line + size + 1 + strspn(line + size + 1, " \t");
        }
        return NULL;
}

static bool field_is(const char *status, const char *name, const char *value) {
        const char *field = status_field(status, name);
        size_t size = strlen(value);

        return field && strncmp(field, value, size) == 0 && field[size] == '\n';
}

static bool any_uid_is_root(const char *status) {
        const char *field = status_field(status, "Uid");
        unsigned uid[4];

        /* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers */
        if (!field || sscanf(field, "%u %u %u %u", &uid[0], &uid[1], &uid[2], &uid[3]) != 4)
                return true;
        return uid[0] == 0 || uid[1] == 0 || uid[2] == 0 || uid[3] == 0;
}

static int read_status(int fd, char *buf, size_t size) {
        size_t have = 0;

        while (have < size - 1) {
                ssize_t n = pread(fd, buf + have, size - 1 - have, (off_t)have);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                have += (size_t)n;
        }
        buf[have] = '\0';
        return 0;
}

static const char *find_gap(const char *status, uint32_t flags) {
        static const struct {
                const char *name, *value, *gap;
        } demands[] = {
                {"CapInh", "0000000000000000", "holds inheritable capabilities"},
                {"CapPrm", "0000000000000000", "holds permitted capabilities"},
                {"CapEff", "0000000000000000", "holds effective capabilities"},
                {"CapAmb", "0000000000000000", "holds ambient capabilities"},
                {"NoNewPrivs", "1", "has no_new_privs off"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(demands); i++)
                if (!field_is(status, demands[i].name, demands[i].value))
                        return demands[i].gap;

        if (flags & CONFINE_ALLOW_ROOT)
                return NULL;
        if (!field_is(status, "CapBnd", "0000000000000000"))
                return "has capabilities left in its bounding set";
        if (any_uid_is_root(status))
                return "runs as root";
        return NULL;
}

int confine_check(int status_fd, uint32_t flags, const char **reterr) {
        _cleanup_close_ int own_fd = -EBADF;
        char status[STATUS_SIZE];
        const char *gap;
        int r;

        if (status_fd < 0) {
                own_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
                if (own_fd < 0)
                        return -errno;
                status_fd = own_fd;
        }

        r = read_status(status_fd, status, sizeof(status));
        if (r < 0)
                return r;

        gap = find_gap(status, flags);
        if (!gap && CONFINE_LOADS_FILTER && !field_is(status, "Seccomp", "2"))
                gap = "has no seccomp filter";
        if (!gap)
                return 0;

        if (reterr)
                *reterr = gap;
        return -EPERM;
}

/* Before anything is tightened: were we started as we should be? */
static int check_start(int status_fd, uint32_t flags, const char **reterr) {
        char status[STATUS_SIZE];
        int r;

        if (flags & CONFINE_ALLOW_ROOT)
                return 0;

        r = read_status(status_fd, status, sizeof(status));
        if (r < 0)
                return r;

        if (any_uid_is_root(status)) {
                *reterr = "was started as root";
                return -EPERM;
        }
        if (!field_is(status, "CapPrm", "0000000000000000")) {
                *reterr = "was started with capabilities";
                return -EPERM;
        }
        return 0;
}

int confine_process(const ConfinePlan *plan, const char **reterr) {
        static const struct rlimit no_core = {0, 0};
        _cleanup_close_ int status_fd = -EBADF;
        const char *ignored;
        int r;

        assert(plan);

        if (!reterr)
                reterr = &ignored;

        *reterr = "cannot read /proc/self/status";
        status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        if (status_fd < 0)
                return -errno;
        r = check_start(status_fd, plan->flags, reterr);
        if (r < 0)
                return r;

        *reterr = "cannot switch core dumps off";
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0)
                return -errno;

        *reterr = "cannot drop capabilities";
        r = confine_drop_capabilities();
        if (r < 0)
                return r;

        *reterr = "cannot restrict itself with Landlock";
        r = confine_landlock(plan->paths, plan->n_paths);
        if (r < 0)
                return r;
        if (r == CONFINE_E_NO_LANDLOCK && !(plan->flags & CONFINE_LANDLOCK_OPTIONAL))
                return r;

        *reterr = "cannot load its seccomp filter";
        r = confine_seccomp(plan->syscalls, plan->n_syscalls, plan->flags);
        if (r < 0)
                return r;

        *reterr = "cannot read its confinement back";
        return confine_check(status_fd, plan->flags, reterr);
}
