/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/apparmor.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/parse.h"
#include "confine/confine.h"
#include "launcher/child.h"

/* Descriptors are first moved above this, so that placing one cannot hit another. */
#define FD_PARKING 100

/* From fork to exec, which reads a program from disk; milliseconds are usual. */
#define SPAWN_USEC (10 * USEC_PER_SEC)
#define SPAWN_KILL_MSEC 1000

/* In the child: an empty read-only tmpfs over the state folder, with its own folder in it. */
static int hide_state(const char *state_dir, const char *own_dir) {
        _cleanup_close_ int tree_fd = -EBADF, dir_fd = -EBADF;
        struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};

        /*
         * Safe: a namespace of this child alone; nothing propagates to the host. What the
         * host unmounts goes here too, or a service would keep a file system busy for ever.
         */
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
                return -errno;

        dir_fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (dir_fd < 0)
                return -errno;
        tree_fd = (int)syscall(SYS_open_tree, dir_fd, own_dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (tree_fd < 0)
                return -errno;
        if (mount("dynod-hidden",
                  state_dir,
                  "tmpfs",
                  MS_NOSUID | MS_NODEV | MS_NOEXEC,
                  "mode=0711,size=4k,nr_inodes=4") < 0)
                return -errno;

        (void)safe_close(dir_fd);
        dir_fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (dir_fd < 0 || mkdirat(dir_fd, own_dir, 0700) < 0)
                return -errno;
        if (syscall(SYS_move_mount, tree_fd, "", dir_fd, own_dir, MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return -errno;
        if (syscall(SYS_mount_setattr, dir_fd, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) <
            0)
                return -errno;

        return 0;
}

/* In the child: makes spec->fds 3, 4, …, the error pipe the one behind, and closes the rest. */
static int place_fds(const ChildSpec *spec, int *error_fd) {
        int parked[16];
        int n = (int)spec->n_fds, last = 3 + n;

        assert(spec->n_fds < ARRAY_SIZE(parked));

        for (int i = 0; i < n; i++) {
                parked[i] = fcntl(spec->fds[i], F_DUPFD_CLOEXEC, FD_PARKING);
                if (parked[i] < 0)
                        return -errno;
        }
        parked[n] = fcntl(*error_fd, F_DUPFD_CLOEXEC, FD_PARKING);
        if (parked[n] < 0)
                return -errno;
        for (int i = 0; i < n; i++)
                if (dup2(parked[i], 3 + i) < 0)
                        return -errno;
        if (dup3(parked[n], last, O_CLOEXEC) < 0)
                return -errno;
        *error_fd = last;

        return syscall(SYS_close_range, last + 1, ~0U, 0) < 0 ? -errno : 0;
}

/* In the child: from root to @uid for good. */
static int give_up_root(const ChildSpec *spec) {
        int r;

        /* Keeps the capabilities over the change of uid, so that they can be given up in order. */
        if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
                return -errno;
        if (setgroups(0, NULL) < 0 || setresgid(spec->gid, spec->gid, spec->gid) < 0 ||
            setresuid(spec->uid, spec->uid, spec->uid) < 0)
                return -errno;
        if (getuid() != spec->uid || geteuid() != spec->uid || getgid() != spec->gid)
                return -EPERM; /* an id of -1 leaves root in place, and says nothing */
        /* Before the profile, which allows no capability, not even the one for dropping. */
        r = confine_drop_capabilities();
        if (r < 0)
                return r;
        /* Before no_new_privs: AppArmor refuses a change of profile after it. */
        if (spec->profile && aa_change_profile(spec->profile) < 0)
                return -errno;

        return confine_no_new_privs();
}

static int prepare_child(const ChildSpec *spec, pid_t parent, int *error_fd) {
        sigset_t none;
        int r, null_fd;

        (void)setsid();
        null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0)
                return -errno;

        /* Safe: an empty network namespace can do less than the one we are in. */
        if (spec->no_network && unshare(CLONE_NEWNET | CLONE_NEWIPC) < 0)
                return -errno;
        if (spec->state_dir) {
                r = hide_state(spec->state_dir, spec->own_dir);
                if (r < 0)
                        return r;
        }
        r = place_fds(spec, error_fd);
        if (r < 0)
                return r;
        if (spec->uid != 0) {
                r = give_up_root(spec);
                if (r < 0)
                        return r;
        }

        /*
         * After the change of uid, which resets it. The parent may have died before. SIGKILL,
         * since the next dynod starts at once: nobody it finds may have blocked the signal, or
         * hang. What the services write survives that at any time.
         */
        if (!spec->outlives_us &&
            (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent))
                return -ECHILD;

        (void)sigemptyset(&none);
        return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

/* The child's whole life before exec. Tells @error_fd what went wrong. */
static _Noreturn void run_child(const ChildSpec *spec, pid_t parent, int error_fd) {
        static char journal[64]; /* whether stderr is the journal: base/log.h */
        char *envp[] = {NULL, NULL};
        const char *value = getenv("JOURNAL_STREAM");
        int r;

        if (value &&
            snprintf(journal, sizeof(journal), "JOURNAL_STREAM=%s", value) < (int)sizeof(journal))
                envp[0] = journal;

        r = prepare_child(spec, parent, &error_fd);
        if (r == 0) {
                (void)execve(spec->path, spec->argv, envp);
                r = -errno;
        }
        (void)!write(error_fd, &r, sizeof(r));
        _exit(127);
}

/* Until the program runs, and the kernel has closed the other end. */
static int read_error(int fd) {
        struct pollfd answer = {.fd = fd, .events = POLLIN};
        uint64_t end = clock_boottime_usec() + SPAWN_USEC, now;
        int error = 0, r;

        do {
                now = clock_boottime_usec();
                r = poll(&answer, 1, now < end ? (int)((end - now) / USEC_PER_MSEC) + 1 : 0);
        } while (r < 0 && errno == EINTR);
        if (r <= 0)
                return r < 0 ? -errno : -ETIMEDOUT;
        if (read(fd, &error, sizeof(error)) != (ssize_t)sizeof(error))
                return 0;
        return error < 0 ? error : -EIO;
}

int child_spawn(const ChildSpec *spec, pid_t *ret_pid, int *ret_pidfd) {
        _cleanup_close_ int pidfd = -EBADF, read_fd = -EBADF, write_fd = -EBADF;
        pid_t pid, parent = getpid();
        int pipe_fds[2], r;

        assert(spec->path && spec->argv);
        assert(!spec->state_dir || spec->own_dir);

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return -errno;
        read_fd = pipe_fds[0];
        write_fd = pipe_fds[1];

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                run_child(spec, parent, write_fd);

        (void)safe_close(TAKE_FD(write_fd));
        /* Safe: the child is ours and not yet waited for, so its pid is still its own. */
        pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        r = pidfd < 0 ? -errno : read_error(read_fd);
        if (r < 0) {
                struct pollfd end = {.fd = pidfd, .events = POLLIN};

                (void)kill(pid, SIGKILL);
                /* One that waits for the disk does not even die, and stays a zombie later. */
                (void)poll(&end, 1, SPAWN_KILL_MSEC);
                (void)waitpid(pid, NULL, WNOHANG);
                return r;
        }

        *ret_pid = pid;
        *ret_pidfd = TAKE_FD(pidfd);
        return 0;
}

int child_wait(int pidfd) {
        siginfo_t si = {0};

        while (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED) < 0)
                if (errno != EINTR)
                        return -errno;

        return si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
}
