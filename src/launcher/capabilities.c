/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "launcher/capabilities.h"

/* clang-format off */
static const unsigned kept[] = {
        CAP_SYS_ADMIN,    /* namespaces, mounts, setns, seccomp without no_new_privs, eBPF */
        CAP_NET_ADMIN,    /* links, routes, nftables, tc */
        CAP_SETUID,       /* become a dyno, an import, a service; write uid_map */
        CAP_SETGID,       /* the same for groups; drop supplementary groups */
        CAP_SETPCAP,      /* empty the bounding set and lock the securebits of those */
        CAP_SETFCAP,      /* kernels from 5.12 ask for it where uid 0 is mapped (user_namespaces(7)) */
        CAP_CHOWN,        /* FIFOs and own folders of dynos and services, the control socket */
        CAP_FOWNER,       /* set the mode of what was given away */
        CAP_DAC_OVERRIDE, /* FIFOs without root's permission bits; folders of the services */
        CAP_MKNOD,        /* a dyno's /dev */
        CAP_KILL,         /* orders to dyno-init, SIGTERM to services */
        CAP_SYS_PTRACE,   /* read /proc/PID of dynos, which are other users: read-back */
        CAP_SYS_RESOURCE, /* limits above the host's, oom_score_adj of dyno-init */
        CAP_SYS_CHROOT,   /* setns(2) to a mount namespace, for ps:exec */
        CAP_BPF,          /* the tc program on kernels that ask for this instead of SYS_ADMIN */
        CAP_PERFMON,      /* the same, for its pointer arithmetic; the programs of dynod-guards */
};
/* clang-format on */

static bool is_kept(unsigned cap) {
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
                if (kept[i] == cap)
                        return true;

        return false;
}

int capabilities_bound(void) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

        /* The kernel may know more than our headers: EINVAL says where its list ends. */
        for (unsigned cap = 0; cap < 64; cap++)
                if (!is_kept(cap) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
                        if (errno == EINVAL)
                                break;
                        return -errno;
                }

        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;
        for (unsigned cap = 0; cap < 64; cap++)
                if (!is_kept(cap)) {
                        data[cap / 32].effective &= ~(UINT32_C(1) << cap % 32);
                        data[cap / 32].permitted &= ~(UINT32_C(1) << cap % 32);
                }
        data[0].inheritable = data[1].inheritable = 0;

        /* Giving up is always allowed: safe whoever we are. */
        return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}
