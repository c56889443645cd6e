/* SPDX-License-Identifier: Apache-2.0 */

/* The host's side of each layer, for `doctor`. */

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "sandbox/cgroup.h"
#include "sandbox/limits.h"
#include "sandbox/sandbox_internal.h"

static void tell(LaunchLayerReport *out, LayerVerdict verdict, const char *fmt, ...) _printf_(3, 4);
static void tell(LaunchLayerReport *out, LayerVerdict verdict, const char *fmt, ...) {
        va_list ap;

        out->verdict = verdict;
        va_start(ap, fmt);
        (void)vsnprintf(out->detail, sizeof(out->detail), fmt, ap);
        va_end(ap);
}

/* Missing is allowed or a failure: the configuration says. */
static LayerVerdict missing_verdict(const SandboxHost *host, uint32_t layers) {
        return host->missing & layers & ~host->config->allow_missing ? VERDICT_FAILED
                                                                     : VERDICT_ALLOWED;
}

static void tell_cgroup(const SandboxHost *host, LaunchLayerReport *out) {
        const uint32_t others = UINT32_C(1) << MISSING_APPARMOR | UINT32_C(1) << MISSING_QUOTA;
        uint32_t layers = host->missing & ~others;
        char text[96] = "";
        size_t n = 0;

        if (layers == 0) {
                tell(out, VERDICT_OK, "v2: cpu memory pids io");
                return;
        }

        for (MissingLayer layer = 0; layer < _MISSING_MAX; layer++)
                if (layers & (UINT32_C(1) << layer))
                        n += (size_t)snprintf(
                                text + n, sizeof(text) - n, " %s", missing_layer_to_string(layer));
        tell(out, missing_verdict(host, layers), "v2, missing:%s", text);
}

static void tell_apparmor(const SandboxHost *host, LaunchLayerReport *out) {
        LayerVerdict verdict = missing_verdict(host, UINT32_C(1) << MISSING_APPARMOR);

        if (host->apparmor_profile)
                tell(out, VERDICT_OK, "%s is loaded", host->label);
        else if (host->apparmor_kernel)
                tell(out, verdict, "the profile %s is not loaded", host->label);
        else
                tell(out, verdict, "the kernel runs without it");
}

static void tell_rootfs(const SandboxHost *host, LaunchLayerReport *out) {
        const Scratch *scratch = &host->scratch;
        struct statfs sfs;

        if (scratch->error[0])
                tell(out, VERDICT_FAILED, "%s", scratch->error);
        else if (!scratch_is_shared(host->config))
                tell(out,
                     VERDICT_OK,
                     "idmapped mounts, overlayfs; scratch in memory, a tmpfs each: disk counts as "
                     "memory");
        else if (fstatfs(scratch->root_fd, &sfs) < 0)
                tell(out, VERDICT_FAILED, "scratch does not answer");
        else if ((sfs.f_flags & ST_RDONLY) != 0)
                tell(out, VERDICT_FAILED, "scratch is damaged, so the kernel made it read-only");
        else
                tell(out,
                     VERDICT_OK,
                     "idmapped mounts, overlayfs; scratch %" PRIu64 " MB, %u %% free",
                     scratch->bytes >> 20,
                     (unsigned)((uint64_t)sfs.f_bavail * 100 / ((uint64_t)sfs.f_blocks + 1)));
}

static void tell_limits(const SandboxHost *host, LaunchLayerReport *out) {
        LayerVerdict verdict = VERDICT_OK;
        const char *quota = "";

        if (sandbox_host_lacks(host, MISSING_QUOTA)) {
                verdict = missing_verdict(host, UINT32_C(1) << MISSING_QUOTA);
                quota = "; scratch has no project quota";
        }
        if (limits_files() < LIMITS_FILES)
                tell(out,
                     verdict,
                     "files %" PRIu64 ", fewer than the usual %u: this process's own limit%s",
                     limits_files(),
                     LIMITS_FILES,
                     quota);
        else
                tell(out, verdict, "files %" PRIu64 "%s", limits_files(), quota);
}

void sandbox_host_report(const SandboxHost *host, LaunchLayerReport ret[_LAYER_MAX]) {
        uint32_t base;

        assert(host);
        assert(ret);

        /* What is only "ok" here was tried by sandbox_host_new(), or it would have failed. */
        memset(ret, 0, sizeof(*ret) * _LAYER_MAX);
        base = host->config->uid_base;
        tell(&ret[LAYER_NAMESPACES], VERDICT_OK, "mount pid net ipc uts cgroup user");
        tell(&ret[LAYER_USER],
             VERDICT_OK,
             "uids %" PRIu32 " to %" PRIu32,
             base,
             base + (uint32_t)CONFIG_UIDS - 1);
        tell_cgroup(host, &ret[LAYER_CGROUP]);
        tell(&ret[LAYER_SECCOMP],
             VERDICT_OK,
             "policy %s, %u instructions; dynod's own %s",
             host->filter.id,
             host->filter.n_code,
             host->own_filter.id);
        tell_apparmor(host, &ret[LAYER_APPARMOR]);
        tell(&ret[LAYER_CAPABILITIES], VERDICT_OK, "%s", "");
        tell(&ret[LAYER_NO_NEW_PRIVS], VERDICT_OK, "%s", "");
        tell_rootfs(host, &ret[LAYER_ROOTFS]);
        tell(&ret[LAYER_NETWORK], VERDICT_OK, "%s", "");
        tell_limits(host, &ret[LAYER_LIMITS]);
}
