/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A process is read through one descriptor of its /proc folder. The descriptor stays
 * with that process for good; that it is the right one is known because the pidfd still
 * lives after the folder was opened.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/apparmor.h"
#include "sandbox/cgroup.h"
#include "sandbox/inspect.h"
#include "sandbox/inspect_parse.h"
#include "sandbox/limits.h"
#include "sandbox/namespaces.h"
#include "sandbox/rootfs_plan.h"

#define NET_DEV_SIZE 4096 /* bytes of /proc/PID/net/dev; two headers and a line per link */
#define SECCOMP_MODE 2    /* SECCOMP_MODE_FILTER */

typedef struct Inspection {
        const SandboxHost *host;
        const SandboxDyno *dyno;
        const SandboxExpect *expect;
        InspectScope scope;
        int proc_fd; /* /proc/PID */
        ProcStatus status;
} Inspection;

static int report(LaunchLayerReport *out, LayerVerdict verdict, const char *fmt, ...)
        _printf_(3, 4);
static int report(LaunchLayerReport *out, LayerVerdict verdict, const char *fmt, ...) {
        va_list ap;

        out->verdict = verdict;
        va_start(ap, fmt);
        (void)vsnprintf(out->detail, sizeof(out->detail), fmt, ap);
        va_end(ap);

        launch_line_clean(out->detail); /* a label or mount point is not ours */
        return 0;
}

/* True if @fd is unknown or a namespace with that inode number. */
static bool is_namespace(int fd, ino_t inode) {
        struct stat st;

        return fd < 0 || (fstat(fd, &st) == 0 && st.st_ino == inode);
}

static int check_namespaces(const Inspection *in, LaunchLayerReport *out) {
        ino_t inodes[_NAMESPACE_MAX];
        int r;

        r = namespaces_read(in->proc_fd, inodes);
        if (r < 0)
                return r;

        for (size_t i = 0; i < _NAMESPACE_MAX; i++)
                if (inodes[i] == in->host->namespaces[i])
                        return report(out, VERDICT_FAILED, "%s is the host's", namespace_names[i]);
        if (!is_namespace(in->expect->userns_fd, inodes[NAMESPACE_USER]))
                return report(out, VERDICT_FAILED, "user is not the one made for this dyno");
        if (in->scope == INSPECT_DYNO && in->status.innermost_pid != 1)
                return report(
                        out,
                        VERDICT_FAILED,
                        "dyno-init is PID %d inside, must be 1",
                        in->status.innermost_pid);

        return report(out, VERDICT_OK, "mount pid net ipc uts cgroup user: none is the host's");
}

static int check_user(const Inspection *in, LaunchLayerReport *out) {
        uint32_t stack_root = in->host->config->uid_base + CONFIG_UID_STACK_ROOT;
        uid_t uid = in->expect->uid;
        const uint32_t ranges[][3] = {{0, stack_root, 1}, {SANDBOX_DYNO_UID, uid, 1}};
        const uint32_t projects[][3] = {{USERNS_PROJECT, USERNS_PROJECT, 1}};
        char uid_map[512], gid_map[512], projid_map[512], setgroups[16];

        for (size_t i = 0; i < 4; i++)
                if (in->status.uid[i] != uid || in->status.gid[i] != uid)
                        return report(
                                out,
                                VERDICT_FAILED,
                                "runs as %u:%u, must be %u:%u",
                                in->status.uid[i],
                                in->status.gid[i],
                                uid,
                                uid);
        if (in->status.n_groups != 0)
                return report(out, VERDICT_FAILED, "has supplementary groups");

        if (read_text_at(in->proc_fd, "uid_map", uid_map, sizeof(uid_map)) < 0 ||
            read_text_at(in->proc_fd, "gid_map", gid_map, sizeof(gid_map)) < 0 ||
            read_text_at(in->proc_fd, "projid_map", projid_map, sizeof(projid_map)) < 0 ||
            read_text_at(in->proc_fd, "setgroups", setgroups, sizeof(setgroups)) < 0)
                return report(out, VERDICT_FAILED, "the mapping cannot be read");
        if (!id_map_is(uid_map, ranges, ARRAY_SIZE(ranges)) ||
            !id_map_is(gid_map, ranges, ARRAY_SIZE(ranges)))
                return report(out, VERDICT_FAILED, "maps other ids than its own and the stack's");
        if (!id_map_is(projid_map, projects, ARRAY_SIZE(projects)))
                return report(out, VERDICT_FAILED, "maps projects of quotas");
        if (strcmp(setgroups, "deny\n") != 0)
                return report(out, VERDICT_FAILED, "setgroups is not denied");

        return report(
                out,
                VERDICT_OK,
                "uid %u -> %u, 0 -> %u (stack owner), setgroups denied",
                SANDBOX_DYNO_UID,
                uid,
                stack_root);
}

/* True if a file of the group holds exactly @value. */
static bool cgroup_value_is(int cgroup_fd, const char *name, uint64_t value) {
        char text[64], wanted[32];

        (void)snprintf(wanted, sizeof(wanted), "%" PRIu64 "\n", value);
        return read_text_at(cgroup_fd, name, text, sizeof(text)) >= 0 && strcmp(text, wanted) == 0;
}

/* Of a kernel without io.cost there is nothing to read. Weights of single devices may follow. */
static bool io_weight_is(int cgroup_fd, uint32_t value) {
        char text[1024], wanted[32];
        ssize_t n;

        (void)snprintf(wanted, sizeof(wanted), "default %" PRIu32 "\n", value);
        n = read_text_at(cgroup_fd, "io.weight", text, sizeof(text));
        return n == -ENOENT || (n >= 0 && strncmp(text, wanted, strlen(wanted)) == 0);
}

/* The first limit of the group that differs from what was asked for, or NULL. */
static const char *find_wrong_limit(const Inspection *in) {
        const SandboxHost *host = in->host;
        const LaunchStart *start = in->expect->start;
        const struct {
                uint32_t controller;
                const char *name;
                uint64_t value;
        } table[] = {
                {CGROUP_MEMORY,
                 "memory.max",
                 host->swap ? start->memory_quota : start->memory_kill},
                {host->swap ? CGROUP_MEMORY : 0,
                 "memory.swap.max",
                 start->memory_kill - start->memory_quota},
                {CGROUP_MEMORY, "memory.oom.group", 1},
                {CGROUP_CPU, "cpu.weight", start->cpu_weight},
                {CGROUP_PIDS, "pids.max", cgroup_pids_max(start->process_limit)},
        };

        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if ((host->controllers & table[i].controller) != 0 &&
                    !cgroup_value_is(in->dyno->cgroup_fd, table[i].name, table[i].value))
                        return table[i].name;

        return (host->controllers & CGROUP_IO) == 0 ||
                               io_weight_is(in->dyno->cgroup_fd, start->cpu_weight)
                       ? NULL
                       : "io.weight";
}

static int check_cgroup(const Inspection *in, LaunchLayerReport *out) {
        const SandboxHost *host = in->host;
        const LaunchStart *start = in->expect->start;
        const char *wrong;
        char missing[64] = "";
        size_t n = 0;
        int r;

        r = cgroup_has_process(in->dyno->cgroup_fd, in->dyno->pid);
        if (r < 0)
                return r;
        if (r == 0)
                return report(out, VERDICT_FAILED, "the process is not in the dyno's cgroup");

        wrong = find_wrong_limit(in);
        if (wrong)
                return report(out, VERDICT_FAILED, "%s is not as asked for", wrong);

        for (MissingLayer layer = 0; layer < _MISSING_MAX; layer++)
                if (layer != MISSING_APPARMOR && layer != MISSING_QUOTA &&
                    sandbox_host_lacks(host, layer))
                        n += (size_t)snprintf(
                                missing + n,
                                sizeof(missing) - n,
                                " %s",
                                missing_layer_to_string(layer) + strlen("cgroup-"));
        if (n > 0)
                return report(out, VERDICT_ALLOWED, "%s, without limits:%s", start->id, missing);

        return report(
                out,
                VERDICT_OK,
                "%s: quota %" PRIu64 " MB, kill %" PRIu64 " MB, pids %" PRIu32
                ", cpu.weight %" PRIu32,
                start->id,
                start->memory_quota >> 20,
                start->memory_kill >> 20,
                cgroup_pids_max(start->process_limit),
                start->cpu_weight);
}

/* The namespaces that this dynod made are known; those of an earlier one's dyno are not. */
static bool is_adopted(const Inspection *in) {
        return in->scope == INSPECT_DYNO && in->expect->userns_fd < 0;
}

static int check_seccomp(const Inspection *in, LaunchLayerReport *out) {
        unsigned wanted = in->host->seccomp_levels + 1;

        if (in->status.seccomp != SECCOMP_MODE)
                return report(
                        out, VERDICT_FAILED, "mode is %u, must be 2 (filter)", in->status.seccomp);
        /* An earlier dynod may have been started behind other filters, or had another policy. */
        if (is_adopted(in))
                return report(
                        out,
                        VERDICT_OK,
                        "filter, %u levels, by an earlier dynod",
                        in->status.seccomp_filters);
        if (in->status.seccomp_filters != wanted)
                return report(
                        out,
                        VERDICT_FAILED,
                        "%u levels, must be %u",
                        in->status.seccomp_filters,
                        wanted);

        return report(
                out,
                VERDICT_OK,
                "filter, %u level%s, policy %s",
                wanted,
                wanted == 1 ? "" : "s",
                in->host->filter.id);
}

static int check_apparmor(const Inspection *in, LaunchLayerReport *out) {
        char label[APPARMOR_LABEL_MAX];
        int r;

        if (sandbox_host_lacks(in->host, MISSING_APPARMOR))
                return report(
                        out,
                        VERDICT_ALLOWED,
                        "%s",
                        in->host->apparmor_kernel ? "the profile is not loaded"
                                                  : "the kernel runs without it");

        r = apparmor_read_label(in->proc_fd, label);
        if (r < 0)
                return r;
        if (!apparmor_label_is(label, in->host->label))
                return report(
                        out,
                        VERDICT_FAILED,
                        "is \"%.80s\", must be \"%s (enforce)\"",
                        label,
                        in->host->label);

        return report(out, VERDICT_OK, "%s", label);
}

static int check_capabilities(const Inspection *in, LaunchLayerReport *out) {
        const struct {
                const char *name;
                uint64_t set;
        } sets[] = {
                {"inheritable", in->status.cap_inheritable},
                {"permitted", in->status.cap_permitted},
                {"effective", in->status.cap_effective},
                {"bounding", in->status.cap_bounding},
                {"ambient", in->status.cap_ambient},
        };

        for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
                if (sets[i].set != 0)
                        return report(
                                out,
                                VERDICT_FAILED,
                                "%s is %016" PRIx64 ", must be empty",
                                sets[i].name,
                                sets[i].set);

        return report(out, VERDICT_OK, "all five sets empty, securebits locked");
}

static int check_no_new_privs(const Inspection *in, LaunchLayerReport *out) {
        return in->status.no_new_privs == 1 ? report(out, VERDICT_OK, "set")
                                            : report(out, VERDICT_FAILED, "is not set");
}

/*
 * What is masked need not be there: the host's /proc has it if the dyno's has. A module
 * that was loaded since the start may have brought it; that is no reason to refuse an exec.
 */
static bool must_be_mounted(const Inspection *in, const RootfsMount *m) {
        if ((m->flags & ROOTFS_OPTIONAL) == 0)
                return true;
        return in->scope == INSPECT_DYNO && faccessat(AT_FDCWD, m->point, F_OK, 0) == 0;
}

static int check_rootfs(const Inspection *in, LaunchLayerReport *out) {
        _cleanup_free_ char *text = NULL;
        bool seen[ROOTFS_MOUNTS_MAX] = {false};
        const char *p;
        size_t n = 0;
        MountLine line;
        int r;

        text = malloc(PROC_MOUNTS_SIZE);
        if (!text)
                return -ENOMEM;
        if (read_text_at(in->proc_fd, "mountinfo", text, PROC_MOUNTS_SIZE) < 0)
                return report(out, VERDICT_FAILED, "the mounts cannot be read");

        for (p = text; (r = mount_line_parse(&p, &line)) > 0; n++) {
                const RootfsMount *m = rootfs_find(line.point);
                unsigned wanted;

                if (!m || seen[m - rootfs_mounts])
                        return report(out, VERDICT_FAILED, "%.80s must not be mounted", line.point);
                seen[m - rootfs_mounts] = true;
                wanted = m->flags & ~ROOTFS_OPTIONAL;
                if ((line.flags & wanted) != wanted || (line.flags & ROOTFS_SHARED) != 0 ||
                    (m->fstype && strcmp(m->fstype, line.fstype) != 0))
                        return report(
                                out, VERDICT_FAILED, "%s is not mounted as it must be", m->point);
        }
        if (r < 0)
                return report(out, VERDICT_FAILED, "the mounts cannot be read");
        for (size_t i = 0; i < n_rootfs_mounts; i++)
                if (!seen[i] && must_be_mounted(in, &rootfs_mounts[i]))
                        return report(
                                out, VERDICT_FAILED, "%s is not mounted", rootfs_mounts[i].point);

        return report(
                out, VERDICT_OK, "/ read-only, /app its own; %zu mounts, none of the host's", n);
}

/* The links of a namespace: lo and eth0, nothing else. */
static int check_links(const Inspection *in, LaunchLayerReport *out) {
        char text[NET_DEV_SIZE];
        bool lo = false, eth0 = false;
        size_t n_line = 0;
        char *save = NULL;

        if (read_text_at(in->proc_fd, "net/dev", text, sizeof(text)) < 0)
                return report(out, VERDICT_FAILED, "the links cannot be read");

        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                line += strspn(line, " ");
                line[strcspn(line, ":")] = '\0';
                if (n_line++ < 2)
                        continue; /* two lines of headings */
                if (strcmp(line, "lo") == 0)
                        lo = true;
                else if (strcmp(line, "eth0") == 0)
                        eth0 = true;
                else
                        return report(out, VERDICT_FAILED, "%.40s must not be there", line);
        }
        if (!lo || !eth0)
                return report(out, VERDICT_FAILED, "%s is missing", lo ? "eth0" : "lo");

        return 0;
}

static int check_network(const Inspection *in, LaunchLayerReport *out) {
        const uint8_t *a = (const uint8_t *)&in->expect->address.s_addr;
        ino_t inodes[_NAMESPACE_MAX];
        int r;

        r = namespaces_read(in->proc_fd, inodes);
        if (r < 0)
                return r;
        if (!is_namespace(in->expect->netns_fd, inodes[NAMESPACE_NET]))
                return report(out, VERDICT_FAILED, "not the namespace made for this dyno");

        out->verdict = _VERDICT_MAX;
        r = check_links(in, out);
        if (r < 0 || out->verdict != _VERDICT_MAX)
                return r;

        return report(out, VERDICT_OK, "%u.%u.%u.%u/30 on eth0, own lo", a[0], a[1], a[2], a[3]);
}

/* Of the dyno's own mounts; a ps:exec has the same. */
static LayerVerdict check_scratch(const Inspection *in, char *ret, size_t size) {
        _cleanup_close_ int root_fd = -EBADF;

        if (in->scope != INSPECT_DYNO)
                return VERDICT_OK;
        root_fd = openat(in->proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0) {
                (void)snprintf(ret, size, "the dyno's root cannot be opened");
                return VERDICT_FAILED;
        }

        return scratch_check(
                &in->host->scratch, in->expect->start, root_fd, is_adopted(in), ret, size);
}

static int check_limits(const Inspection *in, LaunchLayerReport *out) {
        const struct {
                const char *name;
                uint64_t wanted;
                bool exact; /* less is not better */
        } table[] = {
                {"Max processes",
                 in->expect->start->process_limit +
                         (in->scope == INSPECT_EXEC ? CGROUP_EXTRA_PIDS : 0),
                 false},
                {"Max open files", limits_files(), false},
                {"Max core file size", LIMITS_CORE, true},
                {"Max locked memory", LIMITS_MEMLOCK, false},
                {"Max pending signals", LIMITS_SIGNALS, false},
                {"Max msgqueue size", LIMITS_QUEUES, false},
                {"Max nice priority", 0, false},
                {"Max realtime priority", 0, false},
        };
        char text[PROC_LIMITS_SIZE], scratch[100] = "";
        LayerVerdict verdict;

        if (read_text_at(in->proc_fd, "limits", text, sizeof(text)) < 0)
                return report(out, VERDICT_FAILED, "the limits cannot be read");

        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
                uint64_t soft, hard;

                if (proc_limit_parse(text, table[i].name, &soft, &hard) < 0)
                        return report(out, VERDICT_FAILED, "the limits cannot be read");
                if (hard > table[i].wanted || soft > table[i].wanted ||
                    (table[i].exact && soft != table[i].wanted))
                        return report(
                                out,
                                VERDICT_FAILED,
                                "%s is %" PRIu64 ", must be %" PRIu64,
                                table[i].name,
                                hard > table[i].wanted ? hard : soft,
                                table[i].wanted);
        }

        verdict = check_scratch(in, scratch, sizeof(scratch));
        if (verdict == VERDICT_FAILED)
                return report(out, verdict, "%s", scratch);

        return report(
                out,
                verdict,
                "processes %" PRIu32 ", files %" PRIu64 ", core 0%s%s",
                in->expect->start->process_limit,
                limits_files(),
                scratch[0] ? "; " : "",
                scratch);
}

/* Opens /proc/PID. The number may be somebody else's already: the pidfd tells, afterwards. */
static int open_process(const SandboxDyno *dyno, int *ret_fd) {
        struct pollfd p = {.fd = dyno->pidfd, .events = POLLIN};
        char path[32];

        (void)snprintf(path, sizeof(path), "/proc/%d", dyno->pid);
        *ret_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (*ret_fd < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        if (poll(&p, 1, 0) < 0)
                return -errno;

        return p.revents != 0 ? -ESRCH : 0;
}

int inspect_process(
        const SandboxHost *host,
        const SandboxDyno *dyno,
        const SandboxExpect *expect,
        InspectScope scope,
        LaunchLayerReport ret[_LAYER_MAX]) {
        static int (*const checks[_LAYER_MAX])(const Inspection *, LaunchLayerReport *) = {
                [LAYER_NAMESPACES] = check_namespaces,
                [LAYER_USER] = check_user,
                [LAYER_CGROUP] = check_cgroup,
                [LAYER_SECCOMP] = check_seccomp,
                [LAYER_APPARMOR] = check_apparmor,
                [LAYER_CAPABILITIES] = check_capabilities,
                [LAYER_NO_NEW_PRIVS] = check_no_new_privs,
                [LAYER_ROOTFS] = check_rootfs,
                [LAYER_NETWORK] = check_network,
                [LAYER_LIMITS] = check_limits,
        };
        _cleanup_close_ int proc_fd = -EBADF;
        Inspection in = {.host = host, .dyno = dyno, .expect = expect, .scope = scope};
        char text[PROC_STATUS_SIZE];
        ssize_t n;
        int r;

        assert(host && dyno && expect && ret);

        r = open_process(dyno, &proc_fd);
        if (r < 0)
                return r;
        in.proc_fd = proc_fd;

        n = read_text_at(proc_fd, "status", text, sizeof(text));
        if (n < 0)
                return (int)n;
        r = proc_status_parse(text, &in.status);
        if (r < 0)
                return r;

        memset(ret, 0, sizeof(*ret) * _LAYER_MAX);
        for (LaunchLayer layer = 0; layer < _LAYER_MAX; layer++) {
                r = checks[layer](&in, &ret[layer]);
                if (r == -ESRCH)
                        return r;
                if (r < 0)
                        (void)report(
                                &ret[layer],
                                VERDICT_FAILED,
                                "cannot be read back: %s",
                                strerrordesc_np(-r));
        }

        return 0;
}

int inspect_verdict(const LaunchLayerReport reports[_LAYER_MAX], SandboxError *reterr) {
        for (LaunchLayer layer = 0; layer < _LAYER_MAX; layer++)
                if (reports[layer].verdict != VERDICT_OK &&
                    reports[layer].verdict != VERDICT_ALLOWED) {
                        reterr->layer = layer;
                        reterr->error = EPROTO;
                        (void)snprintf(
                                reterr->detail,
                                sizeof(reterr->detail),
                                "%.*s",
                                (int)sizeof(reterr->detail) - 1,
                                reports[layer].detail);
                        return -EPROTO;
                }

        return 0;
}

int sandbox_inspect(
        SandboxHost *host,
        const SandboxDyno *dyno,
        const SandboxExpect *expect,
        LaunchLayerReport ret[_LAYER_MAX]) {
        return inspect_process(host, dyno, expect, INSPECT_DYNO, ret);
}
