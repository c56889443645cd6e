/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Switches one layer of a dyno off, in a build for tests alone: the linker puts the
 * functions below in front of those that set the layers up (--wrap, see CMakeLists.txt),
 * and ESCAPE_LAYER_OFF in the environment names the one that does nothing, or several with
 * "+" between them. All others are what the product has; only the read-back, which would end
 * the dyno, is told off and prints what it saw. "switched=LAYER" at the end says that what
 * sets a layer up was called, and did nothing.
 *
 * A layer that is off is off for good: what would still hold by accident is undone, too,
 * as capabilities that an exec would drop, or descriptors that close themselves.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/apparmor.h"
#include "sandbox/capabilities.h"
#include "sandbox/inspect.h"
#include "sandbox/limits.h"
#include "sandbox/mount.h"
#include "sandbox/seccomp.h"

/* The linker's names. NOLINTBEGIN(bugprone-reserved-identifier) */
#define WRAP(type, name, ...)                                                                      \
        type __real_##name(__VA_ARGS__);                                                           \
        type __wrap_##name(__VA_ARGS__);                                                           \
        type __wrap_##name(__VA_ARGS__)

static const SandboxHost *the_host;
static uid_t the_uid;

#define LAYERS_MAX 4 /* that are off at once */

static pid_t driver;
static bool *switched; /* by their order in ESCAPE_LAYER_OFF; the dyno's processes write, too */

/* The place of @layer in ESCAPE_LAYER_OFF, or negative. */
static int find_off(const char *layer) {
        const char *off = getenv("ESCAPE_LAYER_OFF");
        size_t len = strlen(layer);

        for (int i = 0; off && i < LAYERS_MAX; i++) {
                size_t n = strcspn(off, "+");

                if (n == len && strncmp(off, layer, n) == 0)
                        return i;
                off = off[n] ? off + n + 1 : NULL;
        }
        return -1;
}

static bool is_off(const char *layer) {
        int i = find_off(layer);

        if (i >= 0)
                switched[i] = true;
        return i >= 0;
}

static void print_switched(void) {
        const char *off = getenv("ESCAPE_LAYER_OFF");

        if (getpid() != driver)
                return;
        for (int i = 0; off && i < LAYERS_MAX; i++) {
                size_t n = strcspn(off, "+");

                if (switched[i])
                        printf("switched=%.*s\n", (int)n, off);
                off = off[n] ? off + n + 1 : NULL;
        }
}

__attribute__((constructor)) static void begin(void) {
        driver = getpid();
        switched =
                mmap(NULL, LAYERS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (switched == MAP_FAILED || atexit(print_switched) != 0)
                abort();

        /* A key of root's, for attempts to find. */
        (void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0);
        (void)syscall(SYS_add_key, "user", "escape", "x", 1, KEY_SPEC_SESSION_KEYRING);
}

WRAP(int,
     sandbox_launch,
     SandboxHost *host,
     const SandboxLaunch *launch,
     SandboxDyno *ret,
     SandboxError *reterr) {
        the_host = host;
        the_uid = launch->slot->uid;
        /* Its own FIFOs are not for the host's uid 0. */
        if (is_off("uid") &&
            (fchmod(launch->app_fifo_fd, 0666) < 0 || fchmod(launch->log_fifo_fd, 0666) < 0))
                return -errno;
        return __real_sandbox_launch(host, launch, ret, reterr);
}

WRAP(int, inspect_verdict, const LaunchLayerReport reports[_LAYER_MAX], SandboxError *reterr) {
        for (int i = 0; i < _LAYER_MAX; i++)
                if (reports[i].verdict == VERDICT_FAILED)
                        printf("readback=%s %s\n",
                               launch_layer_to_string((LaunchLayer)i),
                               reports[i].detail);
        (void)reterr;
        return 0;
}

/* ---- filters, label, no_new_privs ---- */

WRAP(int, seccomp_filter_load, const SeccompFilter *filter) {
        bool of_dyno = the_host && filter == &the_host->filter;

        if (is_off("filters") || (of_dyno && is_off("seccomp")) ||
            (!of_dyno && is_off("own-filter")))
                return 0;
        if (of_dyno && find_off("no_new_privs") >= 0)
                return 0; /* it was loaded with the capabilities */
        return __real_seccomp_filter_load(filter);
}

WRAP(int, apparmor_change_profile, int proc_fd, const char *profile) {
        return is_off("apparmor") ? 0 : __real_apparmor_change_profile(proc_fd, profile);
}

int __real_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, ...);
int __wrap_prctl(int option, ...) {
        unsigned long arg[4];
        va_list ap;

        va_start(ap, option);
        for (size_t i = 0; i < 4; i++)
                arg[i] = va_arg(ap, unsigned long);
        va_end(ap);
        if (option == PR_SET_NO_NEW_PRIVS && is_off("no_new_privs"))
                return 0;
        return __real_prctl(option, arg[0], arg[1], arg[2], arg[3]);
}

/* ---- capabilities, user ---- */

WRAP(int, capabilities_lock, void) {
        if (is_off("capabilities"))
                return __real_prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
        return __real_capabilities_lock();
}

/* All of them, and so that the program that is executed has them. */
static int raise_all(void) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;
        for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
                data[i].effective = data[i].inheritable = data[i].permitted;
        if (syscall(SYS_capset, &header, data) < 0)
                return -errno;
        for (unsigned long cap = 0; cap < 64; cap++)
                (void)__real_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
        return 0;
}

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);

/* By number, and past what is in front of syscall(2) below: a keyring of the dyno's own. */
static int join_keyring(void) {
        return __real_syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0, 0) < 0 ? -errno
                                                                                          : 0;
}

WRAP(int, capabilities_drop_all, void) {
        if (is_off("capabilities"))
                return raise_all();
        if (find_off("no_new_privs") >= 0) {
                int r;

                /* Without the flag a filter needs a capability, so it comes before they go. */
                r = capabilities_raise(CAP_SYS_ADMIN);
                if (r == 0)
                        r = join_keyring();
                if (r == 0)
                        r = __real_seccomp_filter_load(&the_host->filter);
                if (r < 0)
                        return r;
        }
        return __real_capabilities_drop_all();
}

WRAP(int, setresuid, uid_t real, uid_t effective, uid_t saved) {
        if (effective == SANDBOX_DYNO_UID && is_off("uid"))
                return 0;
        if (effective == SANDBOX_DYNO_UID && is_off("user"))
                return __real_setresuid(the_uid, the_uid, the_uid);
        return __real_setresuid(real, effective, saved);
}

WRAP(int, setresgid, gid_t real, gid_t effective, gid_t saved) {
        if (effective == SANDBOX_DYNO_UID && is_off("uid"))
                return 0;
        if (effective == SANDBOX_DYNO_UID && is_off("user"))
                return __real_setresgid(the_uid, the_uid, the_uid);
        return __real_setresgid(real, effective, saved);
}

WRAP(int, write_text_at, int dir_fd, const char *name, const char *text) {
        if (strncmp(name, "/proc/sys/user/", 15) == 0 && is_off("namespace-limits"))
                return 0;
        return __real_write_text_at(dir_fd, name, text);
}

/* ---- namespaces ---- */

WRAP(int, setns, int fd, int kind) {
        if ((kind == CLONE_NEWUSER && is_off("user")) || (kind == CLONE_NEWNET && is_off("net")))
                return 0;
        return __real_setns(fd, kind);
}

WRAP(int, unshare, int flags) {
        return flags == CLONE_NEWCGROUP && is_off("cgroup") ? 0 : __real_unshare(flags);
}

WRAP(int, sethostname, const char *name, size_t size) {
        /* It would be the host's. */
        return is_off("uts") ? 0 : __real_sethostname(name, size);
}

WRAP(int, setdomainname, const char *name, size_t size) {
        return is_off("uts") ? 0 : __real_setdomainname(name, size);
}

long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
        struct clone_args clone;
        long arg[6];
        va_list ap;

        va_start(ap, number);
        for (size_t i = 0; i < 6; i++)
                arg[i] = va_arg(ap, long);
        va_end(ap);
        if (number == SYS_keyctl && the_host &&
            (is_off("keyring") || find_off("no_new_privs") >= 0))
                return 0; /* of no_new_privs: done with the filter */
        /* What a launcher without pivot_root(2) does: the host's tree stays mounted above. */
        if (number == SYS_pivot_root && is_off("pivot"))
                return chroot(".");
        if (number == SYS_clone3 && the_host) {
                memcpy(&clone, (const void *)arg[0], sizeof(clone)); /* NOLINT */
                if (is_off("pid"))
                        clone.flags &= ~(uint64_t)CLONE_NEWPID;
                if (is_off("ipc"))
                        clone.flags &= ~(uint64_t)CLONE_NEWIPC;
                if (is_off("uts"))
                        clone.flags &= ~(uint64_t)CLONE_NEWUTS;
                arg[0] = (long)&clone;
        }
        return __real_syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

/* ---- files ---- */

static uint64_t without(uint64_t attributes) {
        if (is_off("readonly"))
                attributes &= ~(uint64_t)MOUNT_ATTR_RDONLY;
        if (is_off("nosuid"))
                attributes &= ~(uint64_t)MOUNT_STRICT;
        return attributes;
}

WRAP(int,
     mount_new,
     const char *type,
     const MountOption *options,
     size_t n_options,
     uint64_t attributes) {
        return __real_mount_new(type, options, n_options, without(attributes));
}

WRAP(int, mount_restrict, int mount_fd, uint64_t attributes, int idmap_fd) {
        return __real_mount_restrict(mount_fd, without(attributes), idmap_fd);
}

WRAP(int,
     mount,
     const char *source,
     const char *target,
     const char *type,
     unsigned long flags,
     const void *data) {
        /* The masks are the only ones that are made by path. */
        return flags == MS_BIND && is_off("masks")
                       ? 0
                       : __real_mount(source, target, type, flags, data);
}

WRAP(int, mount_bind, int from_fd, const char *from, int dir_fd, const char *path) {
        /* The folder for it is in the dyno's group, which is not the top then. */
        if (is_off("cgroup") && strcmp(path, "memory") == 0)
                return 0;
        return __real_mount_bind(from_fd, from, dir_fd, path);
}

WRAP(int, umount2, const char *target, int flags) {
        /* After a chroot(2) there is no old root on top. */
        return strcmp(target, ".") == 0 && (is_off("old-root") || find_off("pivot") >= 0)
                       ? 0
                       : __real_umount2(target, flags);
}

/* ---- limits, descriptors ---- */

WRAP(int, limits_apply, uint32_t process_limit) {
        return is_off("limits") ? 0 : __real_limits_apply(process_limit);
}

WRAP(int, close_range, unsigned first, unsigned last, int flags) {
        if (flags != 0 && is_off("descriptors")) {
                for (int fd = (int)first; fd < 1024; fd++) {
                        struct stat st;

                        /* The launcher waits for the end of the pipe of reports. */
                        if (fstat(fd, &st) == 0 && !S_ISFIFO(st.st_mode))
                                (void)fcntl(fd, F_SETFD, 0);
                }
                return 0;
        }
        return __real_close_range(first, last, flags);
}
/* NOLINTEND(bugprone-reserved-identifier) */
