/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Landlock by bare system calls: libc has no wrappers, and Debian 12's headers end at
 * ABI 2. The rights of later kernels are therefore named here.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "confine/confine.h"

#define RIGHT(n) (UINT64_C(1) << (n))

/* linux/landlock.h of 6.12; the numbers are ABI. */
#define FS_EXECUTE RIGHT(0)
#define FS_WRITE_FILE RIGHT(1)
#define FS_READ_FILE RIGHT(2)
#define FS_READ_DIR RIGHT(3)
#define FS_REMOVE_DIR RIGHT(4)
#define FS_REMOVE_FILE RIGHT(5)
#define FS_MAKE_CHAR RIGHT(6)
#define FS_MAKE_DIR RIGHT(7)
#define FS_MAKE_REG RIGHT(8)
#define FS_MAKE_SOCK RIGHT(9)
#define FS_MAKE_FIFO RIGHT(10)
#define FS_MAKE_BLOCK RIGHT(11)
#define FS_MAKE_SYM RIGHT(12)
#define FS_REFER RIGHT(13)              /* ABI 2, Linux 5.19 */
#define FS_TRUNCATE RIGHT(14)           /* ABI 3, Linux 6.2 */
#define FS_IOCTL_DEV RIGHT(15)          /* ABI 5, Linux 6.10 */
#define NET_ALL (RIGHT(0) | RIGHT(1))   /* ABI 4, Linux 6.7: TCP bind and connect */
#define SCOPE_ALL (RIGHT(0) | RIGHT(1)) /* ABI 6, Linux 6.12: abstract sockets, signals */

/* The rights that a rule for a file may hold; the rest is for folders only. */
#define FS_FILE_RIGHTS (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

typedef struct RulesetAttr {
        uint64_t fs;
        uint64_t net;   /* ABI 4 */
        uint64_t scope; /* ABI 6 */
} RulesetAttr;

static uint64_t handled_rights(long abi) {
        uint64_t rights = RIGHT(13) - 1;

        if (abi >= 2)
                rights |= FS_REFER;
        if (abi >= 3)
                rights |= FS_TRUNCATE;
        if (abi >= 5)
                rights |= FS_IOCTL_DEV;
        return rights;
}

static uint64_t granted_rights(uint32_t access) {
        uint64_t rights = 0;

        if (access & CONFINE_FS_READ)
                rights |= FS_READ_FILE | FS_READ_DIR;
        if (access & CONFINE_FS_WRITE)
                rights |= FS_WRITE_FILE | FS_TRUNCATE | FS_REMOVE_DIR | FS_REMOVE_FILE |
                          FS_MAKE_DIR | FS_MAKE_REG;
        if (access & CONFINE_FS_LINK)
                rights |= FS_MAKE_SYM | FS_REFER;
        if (access & CONFINE_FS_SOCKET)
                rights |= FS_MAKE_SOCK | FS_MAKE_FIFO;
        return rights;
}

static int add_rule(int ruleset, const ConfinePath *path, uint64_t handled) {
        struct landlock_path_beneath_attr rule = {
                .allowed_access = granted_rights(path->access) & handled,
                .parent_fd = path->fd,
        };
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (path->path) {
                fd = open(path->path, O_PATH | O_CLOEXEC);
                if (fd < 0)
                        return -errno;
                rule.parent_fd = fd;
        }

        if (fstat(rule.parent_fd, &st) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode))
                rule.allowed_access &= FS_FILE_RIGHTS;
        if (rule.allowed_access == 0)
                return -EINVAL;

        if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
                return -errno;
        return 0;
}

int confine_landlock(const ConfinePath *paths, size_t n) {
        _cleanup_close_ int ruleset = -EBADF;
        RulesetAttr attr = {0};
        size_t size;
        long abi;
        int r;

        assert(paths || n == 0);

        abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        if (abi < 0)
                return errno == ENOSYS || errno == EOPNOTSUPP ? CONFINE_E_NO_LANDLOCK : -errno;

        attr.fs = handled_rights(abi);
        attr.net = abi >= 4 ? NET_ALL : 0;
        attr.scope = abi >= 6 ? SCOPE_ALL : 0;
        /* An older kernel refuses a longer struct only if the rest is not zero; be exact. */
        size = abi >= 6 ? sizeof(attr) : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);

        ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
        if (ruleset < 0)
                return -errno;

        for (size_t i = 0; i < n; i++) {
                r = add_rule(ruleset, &paths[i], attr.fs);
                if (r < 0)
                        return r;
        }

        /* Where the filter is loaded already it refuses prctl(2), and has brought the flag along. */
        r = confine_no_new_privs();
        if (r < 0 && r != -ENOSYS)
                return r;
        /* Taking rights from ourselves needs none but no_new_privs. */
        return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
