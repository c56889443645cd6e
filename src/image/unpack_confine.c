/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The launcher has already given us namespaces, a throw-away uid, an empty bounding set
 * and locked securebits. What is left is done by the program itself, because it had to be
 * loaded from the host's file system first: CAP_SYS_ADMIN, the one capability it was
 * started with, changes the root and is gone before the first byte is read.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "confine/confine.h"
#include "image/unpack_confine.h"

/* Enough for a zstd window of 128 MiB and an xz dictionary of 1 GiB, and an end to it. */
#define MEMORY_MAX (UINT64_C(2) << 30)

/* A sanitizer's runtime reserves terabytes of addresses. */
#if defined(__SANITIZE_ADDRESS__)
#define LIMITS_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LIMITS_MEMORY 0
#endif
#endif
#ifndef LIMITS_MEMORY
#define LIMITS_MEMORY 1
#else
/* Its search for leaks at the end traces the process, which is not to be traced. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
        return "detect_leaks=0";
}
#endif

/* Descriptors: ours, one per folder that is walked, DEPTH_MAX of tree_remove.c and some. */
#define FILES_MAX 64

static const char *const fetch_syscalls[] = {
        "sync_file_range",
};

/* No chmod, chown, rename or open that takes a path from outside: all of it is below "/". */
static const char *const tree_syscalls[] = {
        "openat",
        "openat2",
        "newfstatat",
        "mkdirat",
        "symlinkat",
        "readlinkat",
        "linkat",
        "unlinkat",
        "renameat",
        "renameat2",
        "fchmod",
        "fchmodat",
        "utimensat",
        "ftruncate",
        "getdents64",
};

/* Makes the target our root and the rest of the host's files unreachable. */
static int enter_target(int target_fd) {
        if (fchdir(target_fd) < 0)
                return -errno;
        /* CAP_SYS_ADMIN: our mount namespace is our own, nobody else sees the change. */
        if (syscall(SYS_pivot_root, ".", ".") < 0)
                return -errno;
        /* The old root now lies over the new one; this takes it off. */
        if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
                return -errno;
        return 0;
}

static int limit_resources(void) {
        const struct rlimit none = {0, 0};
        const struct rlimit memory = {MEMORY_MAX, MEMORY_MAX};
        const struct rlimit files = {FILES_MAX, FILES_MAX};

        if (LIMITS_MEMORY && setrlimit(RLIMIT_AS, &memory) < 0)
                return -errno;
        if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
                return -errno;
        return 0;
}

int unpack_confine(UnpackMode mode, int target_fd) {
        const ConfinePath root = {
                .path = "/",
                .access = CONFINE_FS_READ | CONFINE_FS_WRITE | CONFINE_FS_LINK,
        };
        bool has_target = mode != UNPACK_FETCH;
        _cleanup_close_ int status_fd = -EBADF;
        int r;

        /* Again here: the kernel forgets it where a change of AppArmor profile came between. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
                return -errno;
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return -errno;
        status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        if (status_fd < 0)
                return -errno;

        if (has_target) {
                r = enter_target(target_fd);
                if (r < 0)
                        return r;
        }
        r = limit_resources();
        if (r == 0)
                r = confine_drop_capabilities();
        if (r < 0)
                return r;

        /* A kernel without Landlock: the mount namespace and the filter hold alone. */
        r = confine_landlock(&root, has_target ? 1 : 0);
        if (r < 0)
                return r;
        r = has_target ? confine_seccomp(tree_syscalls, ARRAY_SIZE(tree_syscalls), CONFINE_BASE)
                       : confine_seccomp(fetch_syscalls, ARRAY_SIZE(fetch_syscalls), CONFINE_BASE);
        if (r < 0)
                return r;
        return confine_check(status_fd, 0, NULL);
}
