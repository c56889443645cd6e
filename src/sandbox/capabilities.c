/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/capabilities.h"

_Static_assert(
        DYNO_SECUREBITS == (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                            SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                            SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED),
        "every securebit, locked");

int capabilities_raise(int capability) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;
        data[CAP_TO_INDEX(capability)].effective |= CAP_TO_MASK(capability);

        return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int capabilities_lock(void) {
        /* Beyond the last capability of this kernel the call says EINVAL. */
        for (unsigned long cap = 0; cap < 64; cap++)
                if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
                        if (errno == EINVAL && cap > CAP_CHECKPOINT_RESTORE)
                                break;
                        return -errno;
                }

        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;
        if (prctl(PR_SET_SECUREBITS, DYNO_SECUREBITS, 0, 0, 0) < 0)
                return -errno;

        return 0;
}

int capabilities_drop_all(void) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        memset(data, 0, sizeof(data));
        if (syscall(SYS_capset, &header, data) < 0)
                return -errno;

        /* /proc shows everything but the securebits: these are read back here. */
        return prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == DYNO_SECUREBITS ? 0 : -EPROTO;
}
