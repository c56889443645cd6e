/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Parent: clone the target as a mount of its own that turns the owner on disk into the
 * throw-away uid. Child: namespaces, descriptors, uid, and the one capability that the
 * program needs to make the target its root (image/unpack_confine.c does the rest).
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/log.h"
#include "image/idmap.h"
#include "image/unpack_spawn.h"
#include "ipc/unpack_proto.h"

#define FIRST_FREE_FD 7     /* behind UNPACK_FD_RECORD */
#define FD_PARKING 64       /* where descriptors wait until their places are free */
#define KILL_WAIT_MSEC 1000 /* milliseconds are usual */
#define EXIT_SETUP EPROTO   /* as the program itself says it */

#define SECUREBITS_LOCKED                                                                          \
        (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                           \
         SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |   \
         SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static const char *const mode_names[_UNPACK_MODE_MAX] = {
        [UNPACK_FETCH] = "fetch",
        [UNPACK_EXTRACT_STACK] = "extract-stack",
        [UNPACK_EXTRACT_SLUG] = "extract-slug",
        [UNPACK_REMOVE] = "remove",
};

/* What the child needs; nothing of it is freed there. */
typedef struct Spawn {
        const UnpackJob *job;
        const char *profile;
        int program_fd;
        int target_fd; /* detached mount of the target, or -EBADF */
        int parent_fd; /* pidfd of the launcher */
} Spawn;

static int clone_target(const UnpackJob *job, int *ret_fd) {
        _cleanup_close_ int tree_fd = -EBADF, userns_fd = -EBADF;
        const IdmapPair pairs[] = {{job->tree_uid, job->uid}, {0, job->root_uid}};
        struct mount_attr attr = {
                .attr_set =
                        MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                /* The copy of a shared mount is shared too, and pivot_root(2) refuses that. */
                .propagation = MS_PRIVATE,
        };
        int r;

        r = idmap_open(pairs, job->root_uid != 0 ? 2 : 1, &userns_fd);
        if (r < 0)
                return r;

        /* CAP_SYS_ADMIN: a copy of one mount, attached nowhere, of a folder of the store. */
        tree_fd = (int)syscall(
                SYS_open_tree,
                job->out_fd,
                "",
                AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (tree_fd < 0)
                return -errno;
        attr.userns_fd = (uint32_t)userns_fd;
        /* EINVAL is the kernel's word for a file system that cannot map owners, as tmpfs before 6.3. */
        if (syscall(SYS_mount_setattr, tree_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                return errno == EINVAL ? -EOPNOTSUPP : -errno;

        *ret_fd = TAKE_FD(tree_fd);
        return 0;
}

/* The launcher may have died before PR_SET_PDEATHSIG was set. */
static int follow_parent(int parent_fd) {
        struct pollfd pfd = {.fd = parent_fd, .events = POLLIN};

        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
                return -errno;
        return poll(&pfd, 1, 0) == 0 ? 0 : -ESRCH;
}

/* Attaches the target over "/": reachable only by its descriptor, and soon the root itself. */
static int attach_target(int target_fd) {
        /* Our own mount namespace: nothing of this leaves it. */
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return -errno;
        if (target_fd < 0)
                return 0;
        if (syscall(SYS_move_mount, target_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return -errno;
        return 0;
}

/* Puts @from[i] in place 0 + i, by way of numbers that none of them has. */
static int place_fds(const int from[FIRST_FREE_FD], int *program_fd) {
        int parked[FIRST_FREE_FD];

        for (int i = 0; i < FIRST_FREE_FD; i++) {
                parked[i] = from[i] < 0 ? -EBADF : fcntl(from[i], F_DUPFD_CLOEXEC, FD_PARKING);
                if (from[i] >= 0 && parked[i] < 0)
                        return -errno;
        }
        *program_fd = fcntl(*program_fd, F_DUPFD_CLOEXEC, FD_PARKING);
        if (*program_fd < 0)
                return -errno;

        for (int i = 0; i < FIRST_FREE_FD; i++) {
                if (parked[i] < 0)
                        (void)close(i);
                else if (dup2(parked[i], i) < 0)
                        return -errno;
        }
        return 0;
}

static int close_others(void) {
        /* All that is left is marked, so that the program can still be executed by its fd. */
        return syscall(SYS_close_range, FIRST_FREE_FD, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

static int arrange_fds(Spawn *spawn) {
        const UnpackJob *job = spawn->job;
        /* Not closed here: its number may be one of the places, and the rest goes at exec. */
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        int from[FIRST_FREE_FD] = {
                null_fd,
                null_fd,
                null_fd,
                [UNPACK_FD_ARCHIVE] = job->archive_fd,
                [UNPACK_FD_OUT] = spawn->target_fd >= 0 ? spawn->target_fd : job->out_fd,
                [UNPACK_FD_REPORT] = job->report_fd,
                [UNPACK_FD_RECORD] = job->record_fd,
        };
        int r;

        if (null_fd < 0)
                return -errno;
        r = place_fds(from, &spawn->program_fd);
        return r < 0 ? r : close_others();
}

static int set_capabilities(uint64_t permitted, uint64_t inheritable) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
                data[i].permitted = data[i].effective = (uint32_t)(permitted >> (32 * i));
                data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
        }
        return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int drop_bounding_set(void) {
        for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
                if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
                        return -errno;
        return 0;
}

/*
 * Becomes the throw-away uid for good. The order is the kernel's: what is inheritable must
 * be so before the bounding set is emptied, an ambient capability must be raised before the
 * securebits forbid it, and all of that needs CAP_SETPCAP.
 */
static int become(uid_t uid, bool keep_admin) {
        const uint64_t admin = UINT64_C(1) << CAP_SYS_ADMIN, kept = keep_admin ? admin : 0;
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct now[_LINUX_CAPABILITY_U32S_3];
        int r;

        if (syscall(SYS_capget, &header, now) < 0)
                return -errno;
        r = set_capabilities((uint64_t)now[1].permitted << 32 | now[0].permitted, kept);
        if (r < 0)
                return r;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;
        if (keep_admin && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0) < 0)
                return -errno;
        r = drop_bounding_set();
        if (r < 0)
                return r;
        if (prctl(PR_SET_SECUREBITS, SECUREBITS_LOCKED, 0, 0, 0) < 0)
                return -errno;

        if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
                return -errno;
        return set_capabilities(kept, kept);
}

static int set_profile(int proc_fd, const char *profile) {
        char text[128];
        int n;

        if (!profile)
                return 0;
        n = snprintf(text, sizeof(text), "exec %s", profile);
        if (n < 0 || (size_t)n >= sizeof(text))
                return -ENAMETOOLONG;
        return write_text_at(proc_fd, "attr/apparmor/exec", text);
}

static int set_up_child(Spawn *spawn) {
        _cleanup_close_ int proc_fd = -EBADF;
        int r;

        r = follow_parent(spawn->parent_fd);
        if (r < 0)
                return r;
        proc_fd = open("/proc/thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (proc_fd < 0)
                return -errno;
        r = set_profile(proc_fd, spawn->profile);
        if (r == 0)
                r = attach_target(spawn->target_fd);
        if (r == 0)
                r = become(spawn->job->uid, spawn->target_fd >= 0);
        if (r == 0) /* the change of uid has cleared it */
                r = follow_parent(spawn->parent_fd);
        return r;
}

static int unblock_signals(void) {
        sigset_t none;

        if (sigemptyset(&none) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
                return -errno;
        return 0;
}

static _Noreturn void run_child(Spawn *spawn) {
        const UnpackLimits *limits = &spawn->job->limits;
        char max_bytes[24], max_entries[24], max_ratio[24], name[] = "dynod-unpacker";
        char mode[16], *argv[] = {name, mode, max_bytes, max_entries, max_ratio, NULL};
        char *envp[] = {NULL};
        int log_fd, r;

        (void)snprintf(mode, sizeof(mode), "%s", mode_names[spawn->job->mode]);
        (void)snprintf(max_bytes, sizeof(max_bytes), "%" PRIu64, limits->max_bytes);
        (void)snprintf(max_entries, sizeof(max_entries), "%" PRIu64, limits->max_entries);
        (void)snprintf(max_ratio, sizeof(max_ratio), "%" PRIu64, limits->max_ratio);

        /* For this function's own last words; the program gets /dev/null. */
        log_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, FD_PARKING);
        r = set_up_child(spawn);
        if (r == 0)
                r = unblock_signals();
        if (r == 0)
                r = arrange_fds(spawn);
        if (r == 0) {
                (void)syscall(SYS_execveat, spawn->program_fd, "", argv, envp, AT_EMPTY_PATH);
                r = -errno;
        }
        if (log_fd >= 0)
                (void)dup2(log_fd, STDERR_FILENO);
        log_error_errno(r, "Cannot start dynod-unpacker: %m");
        _exit(EXIT_SETUP);
}

int unpack_spawn(int program_fd, const char *profile, const UnpackJob *job, UnpackChild *ret) {
        _cleanup_close_ int target_fd = -EBADF, parent_fd = -EBADF;
        Spawn spawn = {.job = job, .profile = profile, .program_fd = program_fd};
        int pidfd = -EBADF, r;
        struct clone_args args = {
                .flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND | CLONE_NEWNS | CLONE_NEWPID |
                         CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP,
                .pidfd = (uint64_t)(uintptr_t)&pidfd,
                .exit_signal = SIGCHLD,
        };
        pid_t pid;

        assert(program_fd >= 0);
        assert(job && job->mode < _UNPACK_MODE_MAX);
        assert(job->uid != 0);
        assert(ret);

        if (job->mode != UNPACK_FETCH) {
                r = clone_target(job, &target_fd);
                if (r < 0)
                        return r;
        }
        parent_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
        if (parent_fd < 0)
                return -errno;
        spawn.target_fd = target_fd;
        spawn.parent_fd = parent_fd;

        pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0)
                return -errno;
        if (pid == 0)
                run_child(&spawn);

        *ret = (UnpackChild){.pid = pid, .pidfd = pidfd};
        return 0;
}

static int collect(UnpackChild *child) {
        siginfo_t info = {0};
        int r;

        while ((r = waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG)) < 0 &&
               errno == EINTR)
                ;
        if (r < 0)
                return -errno;
        if (info.si_pid == 0)
                return -EAGAIN;

        safe_close(child->pidfd);
        *child = (UnpackChild)UNPACK_CHILD_INIT;
        if (info.si_code != CLD_EXITED)
                return -EPROTO;
        /* Whoever took it over chooses its status: none says that it still runs. */
        if (info.si_status == EAGAIN)
                return -EPROTO;
        /* 1 stands for a refusal, everything else is an errno: see image/unpacker.c. */
        return info.si_status == 1 ? -EBADMSG : -info.si_status;
}

int unpack_reap(UnpackChild *child) {
        return collect(child);
}

void unpack_child_signal(const UnpackChild *child) {
        /* Safe: by pidfd, our own child. */
        if (child->pidfd >= 0)
                (void)syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
}

void unpack_child_leave(UnpackChild *child, int wait_msec) {
        struct pollfd pfd = {.fd = child->pidfd, .events = POLLIN};

        if (child->pidfd < 0)
                return;
        (void)poll(&pfd, 1, wait_msec);
        (void)collect(child);
        child->pidfd = safe_close(child->pidfd);
}

void unpack_child_kill(UnpackChild *child) {
        if (child->pidfd < 0)
                return;
        unpack_child_signal(child);
        unpack_child_leave(child, KILL_WAIT_MSEC);
}
