/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What host.c, launch.c, exec.c and inspect.c share: the host, and how errors are told. */

#include <sys/types.h>

#include "base/cleanup.h"
#include "sandbox/sandbox.h"
#include "sandbox/seccomp.h"

#define SANDBOX_LABEL_SIZE (INSTANCE_NAME_SIZE + 8) /* INSTANCE-dyno */
#define SANDBOX_RESOLV_SIZE (CONFIG_RESOLVERS_MAX * 32 + 1)

/* The namespaces of /proc/PID/ns that a dyno has for itself. */
typedef enum NamespaceKind {
        NAMESPACE_MNT,
        NAMESPACE_PID,
        NAMESPACE_NET,
        NAMESPACE_IPC,
        NAMESPACE_UTS,
        NAMESPACE_CGROUP,
        NAMESPACE_USER,
        _NAMESPACE_MAX,
} NamespaceKind;

struct SandboxHost {
        const Config *config;
        int cgroup_root_fd;   /* borrowed */
        uint32_t controllers; /* CGROUP_* that dynos' groups have */
        bool swap;            /* the host has swap */
        uint32_t missing;     /* set of MissingLayer */

        int init_fd;          /* dyno-init */
        int stack_idmap_fd;   /* user namespace that turns TREES into STACK_ROOT */
        int templates_fd;     /* attached tmpfs, see rootfs_make_templates() */
        SeccompFilter filter; /* of dynos */
        SeccompFilter own_filter;
        unsigned seccomp_levels;          /* filters that this process has itself */
        ino_t namespaces[_NAMESPACE_MAX]; /* of this process */
        char label[SANDBOX_LABEL_SIZE];   /* AppArmor profile of dynos */
        char resolv_conf[SANDBOX_RESOLV_SIZE];
        Scratch scratch;
        bool apparmor_kernel, apparmor_profile; /* the kernel has it, the profile is loaded */
};

extern const char *const namespace_names[_NAMESPACE_MAX]; /* "mnt", … as in /proc/PID/ns */

/* Inode numbers of the namespaces below @proc_pid_fd, an open /proc/PID. 0 or negative errno. */
int namespaces_read(int proc_pid_fd, ino_t ret[_NAMESPACE_MAX]) _must_check_;

/**
 * sandbox_fail() - fill an error and pass the result on
 * @reterr:  filled
 * @layer:   to blame
 * @r:       negative errno
 * @fmt:     what was being done: "cannot mount /proc"; the errno's text is added
 *
 * Return: @r.
 */
int sandbox_fail(SandboxError *reterr, LaunchLayer layer, int r, const char *fmt, ...)
        _printf_(4, 5);

/* Looks for scratch once more if it was not there, and notes whether it has quotas. */
void sandbox_host_find_scratch(SandboxHost *host);

/* Fails with the first layer that is missing here and not allowed to be; 0 if there is none. */
int sandbox_host_check(SandboxHost *host, SandboxError *reterr) _must_check_;

/* True if @layer is missing. Whether that is allowed was checked before the start. */
static inline bool sandbox_host_lacks(const SandboxHost *host, MissingLayer layer) {
        return (host->missing & (UINT32_C(1) << layer)) != 0;
}
