/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/apparmor.h"
#include "sandbox/cgroup.h"
#include "sandbox/inspect.h"
#include "sandbox/inspect_parse.h"
#include "sandbox/namespaces.h"
#include "sandbox/rootfs.h"
#include "sandbox/sandbox_internal.h"

#define INIT_PROGRAM "dyno-init"
#define MEMINFO_SIZE 8192 /* bytes of /proc/meminfo, about 1,500 today */

const char *const namespace_names[_NAMESPACE_MAX] = {
        [NAMESPACE_MNT] = "mnt",
        [NAMESPACE_PID] = "pid",
        [NAMESPACE_NET] = "net",
        [NAMESPACE_IPC] = "ipc",
        [NAMESPACE_UTS] = "uts",
        [NAMESPACE_CGROUP] = "cgroup",
        [NAMESPACE_USER] = "user",
};

int namespaces_read(int proc_pid_fd, ino_t ret[_NAMESPACE_MAX]) {
        for (size_t i = 0; i < _NAMESPACE_MAX; i++) {
                char path[16];
                struct stat st;

                (void)snprintf(path, sizeof(path), "ns/%s", namespace_names[i]);
                if (fstatat(proc_pid_fd, path, &st, 0) < 0)
                        return -errno;
                ret[i] = st.st_ino;
        }

        return 0;
}

int sandbox_fail(SandboxError *reterr, LaunchLayer layer, int r, const char *fmt, ...) {
        va_list ap;
        int n;

        reterr->layer = layer;
        reterr->error = r < 0 ? -r : r;

        va_start(ap, fmt);
        n = vsnprintf(reterr->detail, sizeof(reterr->detail), fmt, ap);
        va_end(ap);
        if (r != 0 && n >= 0 && (size_t)n < sizeof(reterr->detail))
                (void)snprintf(
                        reterr->detail + n,
                        sizeof(reterr->detail) - (size_t)n,
                        ": %s",
                        strerrordesc_np(reterr->error));

        return r;
}

/* Reads what this process is itself: what dynos must not share, and must have more of. */
static int read_self(SandboxHost *host) {
        _cleanup_close_ int self_fd = -EBADF;
        char text[PROC_STATUS_SIZE];
        ProcStatus status;
        ssize_t n;
        int r;

        self_fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (self_fd < 0)
                return -errno;
        r = namespaces_read(self_fd, host->namespaces);
        if (r < 0)
                return r;

        n = read_text_at(self_fd, "status", text, sizeof(text));
        if (n < 0)
                return (int)n;
        r = proc_status_parse(text, &status);
        if (r < 0)
                return r;

        host->seccomp_levels = status.seccomp_filters;
        return 0;
}

static bool host_has_swap(void) {
        char text[MEMINFO_SIZE];
        const char *p;

        if (read_text_at(AT_FDCWD, "/proc/meminfo", text, sizeof(text)) < 0)
                return false;
        p = strstr(text, "SwapTotal:");

        return p && strtoull(p + strlen("SwapTotal:"), NULL, 10) > 0;
}

static void find_missing(SandboxHost *host) {
        static const struct {
                uint32_t controller;
                MissingLayer layer;
        } table[] = {
                {CGROUP_MEMORY, MISSING_CGROUP_MEMORY},
                {CGROUP_CPU, MISSING_CGROUP_CPU},
                {CGROUP_PIDS, MISSING_CGROUP_PIDS},
                {CGROUP_IO, MISSING_CGROUP_IO},
        };

        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if (!(host->controllers & table[i].controller))
                        host->missing |= UINT32_C(1) << table[i].layer;

        host->apparmor_kernel = apparmor_is_enabled();
        host->apparmor_profile = host->apparmor_kernel && apparmor_has_profile(host->label);
        if (!host->apparmor_profile)
                host->missing |= UINT32_C(1) << MISSING_APPARMOR;
}

static void make_resolv_conf(SandboxHost *host) {
        const Config *config = host->config;
        size_t n = 0;

        for (size_t i = 0; i < config->n_resolvers; i++) {
                const uint8_t *a = (const uint8_t *)&config->resolvers[i].s_addr;

                n += (size_t)snprintf(
                        host->resolv_conf + n,
                        sizeof(host->resolv_conf) - n,
                        "nameserver %u.%u.%u.%u\n",
                        a[0],
                        a[1],
                        a[2],
                        a[3]);
        }
}

static int read_filters(SandboxHost *host, SandboxError *reterr) {
        SeccompError error = {.text = ""};
        int r;

        r = seccomp_filter_read(host->config->data_dir, SECCOMP_DYNO_POLICY, &host->filter, &error);
        if (r == 0)
                r = seccomp_filter_read(
                        host->config->data_dir, SECCOMP_DYNOD_POLICY, &host->own_filter, &error);

        return r < 0 ? sandbox_fail(reterr, LAYER_SECCOMP, r, "%.90s", error.text) : 0;
}

static int open_init(SandboxHost *host, SandboxError *reterr) {
        _cleanup_close_ int dir_fd = -EBADF;

        dir_fd = open(host->config->libexec_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd >= 0)
                host->init_fd = openat(dir_fd, INIT_PROGRAM, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (host->init_fd < 0)
                return sandbox_fail(
                        reterr,
                        LAYER_PROCESS,
                        -errno,
                        "cannot open %.60s/" INIT_PROGRAM,
                        host->config->libexec_dir);

        return 0;
}

static int fill(SandboxHost *host, SandboxError *reterr) {
        uint32_t base = host->config->uid_base;
        const IdRange trees = {
                .inside = base + CONFIG_UID_TREES,
                .outside = base + CONFIG_UID_STACK_ROOT,
                .count = 1,
        };
        int r;

        r = open_init(host, reterr);
        if (r == 0)
                r = read_filters(host, reterr);
        if (r < 0)
                return r;

        r = read_self(host);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_NAMESPACES, r, "cannot read /proc/self");
        r = cgroup_enable_controllers(host->cgroup_root_fd, &host->controllers);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_CGROUP, r, "not a usable cgroup v2 folder");
        r = userns_create(0, &trees, 1, &host->stack_idmap_fd);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_USER, r, "cannot make a user namespace");
        r = rootfs_make_templates(host->config->run_dir, &host->templates_fd);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_ROOTFS, r, "cannot make /dev and /sys");

        return 0;
}

int sandbox_host_new(
        SandboxHost **ret, const Config *config, int cgroup_root_fd, SandboxError *reterr) {
        _cleanup_(sandbox_host_freep) SandboxHost *host = NULL;
        int r;

        assert(ret);
        assert(config);
        assert(reterr);

        host = calloc(1, sizeof(*host));
        if (!host)
                return sandbox_fail(reterr, LAYER_PROCESS, -ENOMEM, "cannot prepare");
        host->config = config;
        host->cgroup_root_fd = cgroup_root_fd;
        host->init_fd = host->stack_idmap_fd = host->templates_fd = -EBADF;
        host->scratch = (Scratch)SCRATCH_INIT;
        (void)snprintf(host->label, sizeof(host->label), "%s-dyno", config->instance);
        make_resolv_conf(host);
        host->swap = host_has_swap();

        r = fill(host, reterr);
        if (r < 0)
                return r;
        find_missing(host);
        sandbox_host_find_scratch(host);

        *ret = TAKE_PTR(host);
        return 0;
}

SandboxHost *sandbox_host_free(SandboxHost *host) {
        if (!host)
                return NULL;

        (void)safe_close(host->init_fd);
        (void)safe_close(host->stack_idmap_fd);
        (void)safe_close(host->templates_fd);
        scratch_close(&host->scratch);
        seccomp_filter_clear(&host->filter);
        seccomp_filter_clear(&host->own_filter);
        free(host);
        return NULL;
}

int sandbox_host_regroup(SandboxHost *host) {
        return cgroup_enable_controllers(host->cgroup_root_fd, &host->controllers);
}

uint32_t sandbox_host_missing(const SandboxHost *host) {
        return host->missing;
}

const Scratch *sandbox_host_scratch(const SandboxHost *host) {
        return &host->scratch;
}

void sandbox_host_find_scratch(SandboxHost *host) {
        /* It says why by itself, in host->scratch.error. */
        if (scratch_open(&host->scratch, host->config) < 0)
                return;
        if (scratch_is_shared(host->config) && !host->scratch.quota)
                host->missing |= UINT32_C(1) << MISSING_QUOTA;
}

void sandbox_host_limit(SandboxHost *host, uint64_t memory_total, LaunchStart *start) {
        sandbox_host_find_scratch(host);
        scratch_limit(&host->scratch, memory_total, start);
}

int sandbox_host_check(SandboxHost *host, SandboxError *reterr) {
        uint32_t refused;

        sandbox_host_find_scratch(host);
        if (host->scratch.error[0])
                return sandbox_fail(reterr, LAYER_ROOTFS, -ENODEV, "%s", host->scratch.error);

        refused = host->missing & ~host->config->allow_missing;
        for (unsigned layer = 0; layer < _MISSING_MAX; layer++)
                if (refused & (UINT32_C(1) << layer))
                        return sandbox_fail(
                                reterr,
                                layer == MISSING_APPARMOR ? LAYER_APPARMOR
                                : layer == MISSING_QUOTA  ? LAYER_LIMITS
                                                          : LAYER_CGROUP,
                                -ENOPROTOOPT,
                                "%s is missing on this host",
                                missing_layer_to_string((MissingLayer)layer));

        return 0;
}

int sandbox_confine_self(SandboxHost *host) {
        int r;

        r = seccomp_filter_load(&host->own_filter);
        if (r < 0)
                return r;

        return read_self(host);
}

int sandbox_slot_prepare(
        SandboxHost *host, uint32_t index, SandboxSlot *ret, SandboxError *reterr) {
        uint32_t base = host->config->uid_base;
        uid_t uid = base + CONFIG_UID_DYNOS + index;
        const IdRange dyno[] = {
                {.inside = 0, .outside = base + CONFIG_UID_STACK_ROOT, .count = 1},
                {.inside = SANDBOX_DYNO_UID, .outside = uid, .count = 1},
        };
        const IdRange slug = {.inside = base + CONFIG_UID_TREES, .outside = uid, .count = 1};
        _cleanup_close_ int userns_fd = -EBADF;
        int r;

        assert(index < CONFIG_DYNOS_MAX);
        assert(ret);

        r = userns_create(uid, dyno, ARRAY_SIZE(dyno), &userns_fd);
        if (r == 0)
                r = userns_create(0, &slug, 1, &ret->slug_idmap_fd);
        if (r < 0)
                return sandbox_fail(reterr, LAYER_USER, r, "cannot make a user namespace");

        ret->index = index;
        ret->uid = uid;
        ret->userns_fd = TAKE_FD(userns_fd);
        return 0;
}

void sandbox_slot_release(SandboxSlot *slot) {
        slot->netns_fd = safe_close(slot->netns_fd);
        slot->userns_fd = safe_close(slot->userns_fd);
        slot->slug_idmap_fd = safe_close(slot->slug_idmap_fd);
}

void sandbox_dyno_clear(SandboxDyno *dyno) {
        dyno->pidfd = safe_close(dyno->pidfd);
        dyno->cgroup_fd = safe_close(dyno->cgroup_fd);
}
