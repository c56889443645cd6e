/* SPDX-License-Identifier: Apache-2.0 */

/* Being somebody else, or having more rights. */

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "escape.h"

#define SOMEBODY 4711 /* no id that any dyno has mapped */
#define OWN_FILE "/tmp/escape-own"

/*
 * Root, and capabilities, of a user namespace of one's own that owns nothing else are
 * nothing: what counts is whether it is the host's.
 */
static int judge(int r) {
        char text[64] = "";
        unsigned inside = 1, outside = 1;
        FILE *f;

        if (r < 0)
                return -errno;
        f = fopen("/proc/self/uid_map", "re");
        if (f && fgets(text, sizeof(text), f))
                (void)sscanf(text, "%u %u", &inside, &outside); /* NOLINT */
        if (f)
                (void)fclose(f);
        return inside == 0 && outside == 0 ? 0 : ATTEMPT_NOTHING;
}

static int be_root(void) {
        return judge(setuid(0));
}

static int be_root_group(void) {
        return judge(setgid(0));
}

static int be_root_for_files(void) {
        (void)setfsuid(0);
        return setfsuid((uid_t)-1) == 0 ? judge(0) : -EPERM;
}

static int be_somebody(void) {
        return attempt_result(setresuid(SOMEBODY, SOMEBODY, SOMEBODY));
}

static int be_somebodys_group(void) {
        return attempt_result(setresgid(SOMEBODY, SOMEBODY, SOMEBODY));
}

static int have_groups(void) {
        gid_t group = 0;

        return judge(setgroups(1, &group));
}

static int drop_groups(void) {
        return attempt_result(setgroups(0, NULL)); /* a group may be what is denied a file */
}

static int make_own_file(void) {
        int fd = open(OWN_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0755);

        return fd < 0 ? -errno : close(fd);
}

static int give_to_root(void) {
        int r = make_own_file();

        if (r == 0)
                r = judge(chown(OWN_FILE, 0, 0));
        return r;
}

static int give_away(void) {
        int r = make_own_file();

        return r < 0 ? r : attempt_result(chown(OWN_FILE, SOMEBODY, SOMEBODY));
}

/* ---- capabilities ---- */

static int have_all(void) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[2] = {
                {.effective = ~0U, .permitted = ~0U},
                {.effective = 0x1ff, .permitted = 0x1ff},
        };

        /* Those that this kernel's root has: all of them need not be. */
        if (escape_is_control && syscall(SYS_capget, &header, data) < 0)
                return -errno;
        if (escape_is_control)
                data[0].effective = data[0].permitted;
        return judge((int)syscall(SYS_capset, &header, data));
}

static int have_inheritable(void) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[2];

        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;
        data[0].inheritable |= 1U << CAP_CHOWN;
        return judge((int)syscall(SYS_capset, &header, data));
}

static int raise_ambient(void) {
        (void)have_inheritable();
        return judge(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
}

static int change_securebits(void) {
        return judge(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0));
}

static int keep_capabilities(void) {
        return judge(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
}

static int own_file_capability(void) {
        static const struct vfs_cap_data all = {
                .magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
                .data = {{.permitted = ~0U}, {.permitted = 0x1ff}},
        };
        int r = make_own_file();

        if (r < 0)
                return r;
        return judge(setxattr(OWN_FILE, "security.capability", &all, sizeof(all), 0));
}

/* overlayfs believes these: with them /app could show what is not in it. */
static int overlay_attribute(void) {
        int r = make_own_file();

        if (r < 0)
                return r;
        return attempt_result(setxattr(OWN_FILE, "trusted.overlay.redirect", "/etc", 4, 0));
}

/* A file that nobody can remove would stay for ever in scratch that outlives the dyno. */
static int immutable(void) {
        int fd, r = make_own_file();
        unsigned flags = 0;

        fd = open(OWN_FILE, O_RDWR | O_CLOEXEC);
        if (r < 0 || fd < 0)
                return -errno;
        flags = 0x10; /* FS_IMMUTABLE_FL */
        if (syscall(SYS_ioctl, fd, 0x40086602 /* FS_IOC_SETFLAGS */, &flags) < 0)
                return -errno;
        flags = 0;
        (void)syscall(SYS_ioctl, fd, 0x40086602, &flags);
        return 0;
}

/* ---- what a process is ---- */

static int change_mm(void) {
        static char at[1];

        return attempt_result(prctl(PR_SET_MM, PR_SET_MM_ARG_START, at, 0, 0));
}

static int use_reserves(void) {
        return attempt_result(prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
}

static int persona_is(unsigned long bits) {
        int old = personality(0xffffffff);

        if (old < 0 || personality((unsigned)old | bits) < 0)
                return -errno;
        return 0;
}

static int no_randomize(void) {
        return persona_is(ADDR_NO_RANDOMIZE);
}

static int read_implies_exec(void) {
        return persona_is(READ_IMPLIES_EXEC);
}

static int map_page_zero(void) {
        return persona_is(MMAP_PAGE_ZERO);
}

#define ATTEMPT(n, what, layers, wanted, how, call)                                                \
        {                                                                                          \
                .name = "identity/" n, .tries = what, .stopped_by = layers, .error = wanted,       \
                .control = how, .run = call                                                        \
        }
#define ROOT CONTROL_ROOT

const Attempt attempts_identity[] = {
        ATTEMPT("setuid-root", "be root", "capabilities user apparmor", EPERM, ROOT, be_root),
        ATTEMPT("setgid-root",
                "be of root's group",
                "capabilities user apparmor",
                EPERM,
                ROOT,
                be_root_group),
        ATTEMPT("setfsuid-root",
                "be root to files",
                "capabilities user apparmor",
                EPERM,
                ROOT,
                be_root_for_files),
        ATTEMPT("setresuid-other",
                "be another user of the host",
                "user capabilities apparmor",
                EINVAL,
                ROOT,
                be_somebody),
        ATTEMPT("setresgid-other",
                "be of another group of the host",
                "user capabilities apparmor",
                EINVAL,
                ROOT,
                be_somebodys_group),
        ATTEMPT("setgroups-root",
                "have root's group beside the own",
                "user capabilities apparmor",
                EPERM,
                ROOT,
                have_groups),
        ATTEMPT("setgroups-none",
                "leave groups that a file's mode denies",
                "user capabilities",
                EPERM,
                ROOT,
                drop_groups),
        ATTEMPT("chown-root",
                "give a file to root",
                "capabilities user apparmor",
                EPERM,
                ROOT,
                give_to_root),
        ATTEMPT("chown-other",
                "give a file to another user",
                "user capabilities apparmor",
                EINVAL,
                ROOT,
                give_away),
        ATTEMPT("capset-all", "have every capability", "capabilities user", EPERM, ROOT, have_all),
        ATTEMPT("capset-inheritable",
                "have a capability that programs inherit",
                "capabilities user",
                EPERM,
                ROOT,
                have_inheritable),
        ATTEMPT("ambient",
                "have an ambient capability",
                "capabilities user",
                EPERM,
                ROOT,
                raise_ambient),
        ATTEMPT("securebits",
                "unlock what root's uid means",
                "capabilities user",
                EPERM,
                ROOT,
                change_securebits),
        ATTEMPT("keepcaps",
                "keep capabilities over a change of user",
                "capabilities user",
                EPERM,
                CONTROL_USER,
                keep_capabilities),
        ATTEMPT("file-capability",
                "make a program with capabilities",
                "capabilities user apparmor",
                EPERM,
                ROOT,
                own_file_capability),
        ATTEMPT("overlay-xattr",
                "lead the overlay of /app elsewhere",
                "capabilities user apparmor",
                EPERM,
                ROOT,
                overlay_attribute),
        ATTEMPT("immutable",
                "make a file that cannot be removed",
                "capabilities user apparmor",
                EPERM,
                ROOT,
                immutable),
        ATTEMPT("mm-arg-start",
                "change how the kernel sees the memory",
                "capabilities user apparmor",
                EPERM,
                ROOT | CONTROL_VM,
                change_mm),
        ATTEMPT("io-flusher",
                "use the kernel's memory reserves",
                "capabilities user apparmor",
                EPERM,
                ROOT | CONTROL_VM,
                use_reserves),
        ATTEMPT("no-randomize",
                "have addresses that are known",
                "seccomp",
                EPERM,
                CONTROL_USER,
                no_randomize),
        ATTEMPT("read-implies-exec",
                "have every page executable",
                "seccomp",
                EPERM,
                CONTROL_USER,
                read_implies_exec),
        ATTEMPT("map-page-zero",
                "have a page at address 0",
                "seccomp",
                EPERM,
                CONTROL_USER,
                map_page_zero),
        {.name = NULL},
};
