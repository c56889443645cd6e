/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "confine/confine.h"

/* Every bit that makes uid 0 special is off, and none of them can be changed again. */
#define SECUREBITS_LOCKED                                                                          \
        (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                           \
         SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |   \
         SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

int confine_no_new_privs(void) {
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* The kernel may know more capabilities than our headers: EINVAL says where its list ends. */
static int drop_bounding(uint64_t kept) {
        for (unsigned long cap = 0; cap < 64; cap++) {
                if (kept & UINT64_C(1) << cap || prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
                        continue;
                if (errno == EINVAL || errno == EPERM)
                        return 0;
                return -errno;
        }
        return 0;
}

int confine_keep_capabilities(uint64_t kept) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        const struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
                {.effective = (uint32_t)kept, .permitted = (uint32_t)kept},
                {.effective = (uint32_t)(kept >> 32), .permitted = (uint32_t)(kept >> 32)},
        };
        int r;

        /* While CAP_SETPCAP may still be held: first what needs it. */
        r = drop_bounding(kept);
        if (r < 0)
                return r;
        if (prctl(PR_SET_SECUREBITS, SECUREBITS_LOCKED, 0, 0, 0) < 0 && errno != EPERM)
                return -errno;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;

        /* Giving up is always allowed: safe whoever we are. */
        return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int confine_drop_capabilities(void) {
        return confine_keep_capabilities(0);
}
