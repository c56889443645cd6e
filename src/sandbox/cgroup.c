/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/file.h"
#include "base/parse.h"
#include "sandbox/cgroup.h"

#define CGROUP_MEMORY_CHILD "memory"
#define CGROUP2_MAGIC 0x63677270 /* CGROUP2_SUPER_MAGIC of linux/magic.h */
#define CGROUP_TEXT_SIZE 4096    /* the files read here hold a few lines */

static const struct {
        const char *name, *enable;
        uint32_t bit;
} controller_table[] = {
        {"cpu", "+cpu", CGROUP_CPU},
        {"memory", "+memory", CGROUP_MEMORY},
        {"pids", "+pids", CGROUP_PIDS},
        {"io", "+io", CGROUP_IO},
};

/* True if @word stands in @text, a list separated by spaces. */
static bool has_word(const char *text, const char *word) {
        size_t len = strlen(word);

        for (const char *p = text; (p = strstr(p, word)); p += len)
                if ((p == text || p[-1] == ' ') &&
                    (p[len] == ' ' || p[len] == '\n' || p[len] == '\0'))
                        return true;

        return false;
}

int cgroup_enable_controllers(int root_fd, uint32_t *ret_enabled) {
        char text[CGROUP_TEXT_SIZE];
        struct statfs sfs;
        uint32_t enabled = 0;
        ssize_t n;

        assert(ret_enabled);

        if (fstatfs(root_fd, &sfs) < 0)
                return -errno;
        if (sfs.f_type != CGROUP2_MAGIC)
                return -ENOTSUP;

        for (size_t i = 0; i < ARRAY_SIZE(controller_table); i++)
                /* One by one: the kernel takes all or nothing of a list. What fails is seen below. */
                (void)!write_text_at(root_fd, "cgroup.subtree_control", controller_table[i].enable);

        n = read_text_at(root_fd, "cgroup.subtree_control", text, sizeof(text));
        if (n < 0)
                return (int)n;
        for (size_t i = 0; i < ARRAY_SIZE(controller_table); i++)
                if (has_word(text, controller_table[i].name))
                        enabled |= controller_table[i].bit;

        *ret_enabled = enabled;
        return 0;
}

static int write_number(int cgroup_fd, const char *name, uint64_t value) {
        char text[32];

        (void)snprintf(text, sizeof(text), "%" PRIu64, value);
        return write_text_at(cgroup_fd, name, text);
}

/*
 * With swap the R15 point is reached by memory and swap together, so that a dyno over its
 * quota swaps (R14); without, memory alone reaches it. memory.high stays max: it stalls
 * a dyno for minutes instead of killing it.
 */
static int write_memory_limits(int cgroup_fd, const CgroupLimits *limits) {
        int r;

        assert(limits->memory_kill >= limits->memory_quota);

        r = write_number(
                cgroup_fd, "memory.max", limits->swap ? limits->memory_quota : limits->memory_kill);
        if (r < 0)
                return r;
        r = write_number(
                cgroup_fd,
                "memory.swap.max",
                limits->swap ? limits->memory_kill - limits->memory_quota : 0);
        if (r < 0 && (r != -ENOENT || limits->swap)) /* absent in a kernel without swap */
                return r;

        /* A dyno dies as a whole: half an app is no app. dyno-init, at -1000, is spared. */
        return write_number(cgroup_fd, "memory.oom.group", 1);
}

/*
 * The share of the disk's time is that of the processor, for io.cost and for BFQ, whichever
 * the device has; the file of what the kernel lacks is not there. No io.max: how many
 * requests are too many depends on the device, and an idle one is nobody's loss.
 */
static int write_io_weights(int cgroup_fd, uint32_t weight) {
        const struct {
                const char *name;
                uint32_t max;
        } table[] = {{"io.weight", 10000}, {"io.bfq.weight", 1000}};

        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
                int r = write_number(
                        cgroup_fd, table[i].name, weight < table[i].max ? weight : table[i].max);

                if (r < 0 && r != -ENOENT && r != -EOPNOTSUPP)
                        return r;
        }

        return 0;
}

static int write_limits(int cgroup_fd, uint32_t controllers, const CgroupLimits *limits) {
        int r = 0;

        if (controllers & CGROUP_MEMORY)
                r = write_memory_limits(cgroup_fd, limits);
        if (r == 0 && (controllers & CGROUP_CPU))
                r = write_number(cgroup_fd, "cpu.weight", limits->cpu_weight);
        if (r == 0 && (controllers & CGROUP_PIDS))
                r = write_number(cgroup_fd, "pids.max", limits->pids_max);
        if (r == 0 && (controllers & CGROUP_IO))
                r = write_io_weights(cgroup_fd, limits->cpu_weight);

        return r;
}

int cgroup_create(
        int root_fd,
        const char *name,
        uint32_t controllers,
        const CgroupLimits *limits,
        int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;
        int r = 0;

        assert(name && !strchr(name, '/') && name[0] != '.');
        assert(limits);
        assert(ret_fd);

        if (mkdirat(root_fd, name, 0755) < 0)
                return -errno;

        fd = cgroup_open(root_fd, name);
        if (fd < 0)
                r = fd;
        if (r == 0)
                r = write_limits(fd, controllers, limits);
        if (r == 0 && mkdirat(fd, CGROUP_MEMORY_CHILD, 0755) < 0)
                r = -errno;
        /* The dyno and the supervisor read in there, whatever the umask is. */
        if (r == 0 && (fchmod(fd, 0755) < 0 || fchmodat(fd, CGROUP_MEMORY_CHILD, 0755, 0) < 0))
                r = -errno;
        if (r < 0) {
                (void)!cgroup_remove(root_fd, name); /* nothing ever entered it */
                return r;
        }

        *ret_fd = TAKE_FD(fd);
        return 0;
}

int cgroup_open(int root_fd, const char *name) {
        int fd;

        assert(name && !strchr(name, '/') && name[0] != '.');

        fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        return fd;
}

int cgroup_kill(int cgroup_fd) {
        return write_text_at(cgroup_fd, "cgroup.kill", "1");
}

int cgroup_remove(int root_fd, const char *name) {
        _cleanup_close_ int fd = -EBADF;

        fd = cgroup_open(root_fd, name);
        if (fd < 0)
                return fd;

        if (unlinkat(fd, CGROUP_MEMORY_CHILD, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return -errno;

        return unlinkat(root_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int cgroup_open_events(int cgroup_fd) {
        int fd;

        fd = openat(cgroup_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        return fd;
}

/* The number behind "@key " at the start of a line of @text; false if there is none. */
static bool find_counter(const char *text, const char *key, uint64_t *ret) {
        size_t len = strlen(key);

        for (const char *line = text; *line;) {
                const char *end = strchrnul(line, '\n');
                char number[24];
                size_t n;

                n = (size_t)(end - line);
                if (n > len + 1 && strncmp(line, key, len) == 0 && line[len] == ' ' &&
                    n - len - 1 < sizeof(number)) {
                        memcpy(number, line + len + 1, n - len - 1);
                        number[n - len - 1] = '\0';
                        return parse_u64(number, ret) == 0;
                }
                line = *end ? end + 1 : end;
        }

        return false;
}

int cgroup_is_populated(int events_fd) {
        char text[CGROUP_TEXT_SIZE];
        uint64_t populated;
        ssize_t n;

        n = pread(events_fd, text, sizeof(text) - 1, 0);
        if (n < 0)
                return errno == ENODEV ? 0 : -errno; /* ENODEV: removed, so surely empty */
        text[n] = '\0';
        if (!find_counter(text, "populated", &populated))
                return -EPROTO;

        return populated != 0;
}

int cgroup_has_process(int cgroup_fd, pid_t pid) {
        _cleanup_fclose_ FILE *f = NULL;
        long number;
        int fd;

        fd = openat(cgroup_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        f = fdopen(fd, "re");
        if (!f) {
                (void)safe_close(fd);
                return -ENOMEM;
        }

        while (fscanf(f, "%ld", &number) == 1) /* NOLINT(cert-err34-c): the kernel wrote it */
                if (number == pid)
                        return 1;

        return 0;
}

static int read_counter(int cgroup_fd, const char *name, const char *key, uint64_t *ret) {
        char text[CGROUP_TEXT_SIZE];
        ssize_t n;

        n = read_text_at(cgroup_fd, name, text, sizeof(text));
        if (n == -ENOENT) {
                *ret = 0;
                return 0;
        }
        if (n < 0)
                return (int)n;

        return find_counter(text, key, ret) ? 0 : -EPROTO;
}

int cgroup_read_counters(int cgroup_fd, CgroupCounters *ret) {
        CgroupCounters counters;
        int r;

        assert(ret);

        r = read_counter(cgroup_fd, "memory.events", "oom_kill", &counters.oom_kill);
        if (r < 0)
                return r;
        r = read_counter(cgroup_fd, "pids.events", "max", &counters.pids_max);
        if (r < 0)
                return r;

        *ret = counters;
        return 0;
}
