/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/ptrace.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attempts.h"
#include "ipc/watchdog.h"

/* ---- being taken for alive ---- */

static int watchdog_fd = -1;

static void on_alarm(int signo) {
        watchdog_answer(watchdog_fd);
}

void answer_watchdog(int fd) {
        const struct itimerval often = {
                .it_interval = {.tv_usec = 500000}, .it_value = {.tv_sec = 1}};
        struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};

        watchdog_fd = fd;
        if (sigaction(SIGALRM, &action, NULL) < 0 || setitimer(ITIMER_REAL, &often, NULL) < 0)
                _exit(1);
}

int wait_for(int fd, short events, int msec) {
        struct pollfd p = {.fd = fd, .events = events};
        int r;

        do
                r = poll(&p, 1, msec);
        while (r < 0 && errno == EINTR);
        return r;
}

/* ---- calls ---- */

typedef struct Call {
        const char *name;
        long number;
        long arguments[6];
} Call;

#define NOWHERE 1 /* an address that is none */

static const Call calls[] = {
        {"execve", SYS_execve, {(long)"", 0, 0}},
        {"execveat", SYS_execveat, {-1, (long)"x", 0, 0, 0}},
        {"socket-inet", SYS_socket, {AF_INET, SOCK_STREAM, 0}},
        {"socket-inet6", SYS_socket, {AF_INET6, SOCK_DGRAM, 0}},
        {"socket-netlink", SYS_socket, {AF_NETLINK, SOCK_RAW, 0}},
        {"socket-packet", SYS_socket, {AF_PACKET, SOCK_RAW, 0}},
        {"socket-vsock", SYS_socket, {AF_VSOCK, SOCK_STREAM, 0}},
        {"socket-unix", SYS_socket, {AF_UNIX, SOCK_STREAM, 0}},
        {"pair-datagram", SYS_socketpair, {AF_UNIX, SOCK_DGRAM, 0, NOWHERE}},
        {"sendto-address", SYS_sendto, {-1, 0, 0, 0, NOWHERE, 1}},
        {"socket-alg", SYS_socket, {AF_ALG, SOCK_SEQPACKET, 0}},
        {"bind", SYS_bind, {-1, 0, 0}},
        {"listen", SYS_listen, {-1, 1}},
        {"connect", SYS_connect, {-1, 0, 0}},
        {"mount", SYS_mount, {NOWHERE, NOWHERE, 0, 0, 0}},
        {"umount2", SYS_umount2, {NOWHERE, 0}},
        {"open_tree", SYS_open_tree, {-1, NOWHERE, 0}},
        {"fsopen", SYS_fsopen, {NOWHERE, 0}},
        {"pivot_root", SYS_pivot_root, {NOWHERE, NOWHERE}},
        {"chroot", SYS_chroot, {NOWHERE}},
        {"unshare", SYS_unshare, {0}},
        {"setns", SYS_setns, {-1, 0}},
        {"clone", SYS_clone, {CLONE_SIGHAND, 0, 0, 0, 0}}, /* which wants CLONE_VM */
        {"clone3", SYS_clone3, {NOWHERE, 1}},
        {"ptrace", SYS_ptrace, {PTRACE_PEEKDATA, 1, 0, 0}},
        {"process_vm_readv", SYS_process_vm_readv, {1, 0, 0, 0, 0, 0}},
        {"process_vm_writev", SYS_process_vm_writev, {1, 0, 0, 0, 0, 0}},
        {"pidfd_open", SYS_pidfd_open, {1, 0}},
        {"pidfd_getfd", SYS_pidfd_getfd, {-1, 0, 0}},
        {"kill", SYS_kill, {0x3fffffff, 0}},
        {"tkill", SYS_tkill, {0x3fffffff, 0}},
        {"bpf", SYS_bpf, {-1, 0, 0}},
        {"perf_event_open", SYS_perf_event_open, {NOWHERE, 0, 0, 0, 0}},
        {"userfaultfd", SYS_userfaultfd, {-1}},
        {"io_uring_setup", SYS_io_uring_setup, {1, NOWHERE}},
        {"keyctl", SYS_keyctl, {KEYCTL_GET_KEYRING_ID, 0, 0}},
        {"add_key", SYS_add_key, {NOWHERE, 0, 0, 0, 0}},
        {"init_module", SYS_init_module, {NOWHERE, 0, 0}},
        {"kexec_load", SYS_kexec_load, {0, 0, 0, 0}},
        {"reboot", SYS_reboot, {0, 0, 0, 0}},
        {"setresuid", SYS_setresuid, {-1, -1, -1}},
        {"setgroups", SYS_setgroups, {1, NOWHERE}},
        {"capset", SYS_capset, {NOWHERE, 0}},
        {"prctl", SYS_prctl, {PR_GET_DUMPABLE, 0, 0, 0, 0}},
        {"seccomp", SYS_seccomp, {-1, 0, 0}},
        {"personality", SYS_personality, {-1}},
        {"setpriority", SYS_setpriority, {-1, 0, 0}},
        {"prlimit64", SYS_prlimit64, {0, RLIMIT_NOFILE, NOWHERE, 0}},
        {"mknodat", SYS_mknodat, {-1, (long)"x", S_IFIFO, 0}},
        {"fchownat", SYS_fchownat, {-1, (long)"x", 0, 0, 0}},
        {"setxattr", SYS_setxattr, {NOWHERE, NOWHERE, 0, 0, 0}},
        {"name_to_handle_at", SYS_name_to_handle_at, {-1, (long)"x", 0, 0, 0}},
        {"open_by_handle_at", SYS_open_by_handle_at, {-1, 0, 0}},
        {"quotactl", SYS_quotactl, {-1, 0, 0, 0}},
        {"shmget", SYS_shmget, {0, 0, 0}},
        {"msgget", SYS_msgget, {1, 0}},
        {"mq_open", SYS_mq_open, {NOWHERE, 0, 0, 0}},
        {"fanotify_init", SYS_fanotify_init, {-1, 0}},
        {"sethostname", SYS_sethostname, {NOWHERE, 1}},
        {"syslog", SYS_syslog, {10, 0, 0}},
        {"ioctl-tiocsti", SYS_ioctl, {-1, TIOCSTI, NOWHERE}},
        {"ioctl-any", SYS_ioctl, {-1, FIOASYNC, NOWHERE}},
        {"mmap-exec", SYS_mmap, {0, 0, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
        {"mprotect-exec", SYS_mprotect, {NOWHERE, 1, PROT_READ | PROT_EXEC}},
};

void attempt_calls(AttemptSay say) {
        for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
                const long *a = calls[i].arguments;
                long r = syscall(calls[i].number, a[0], a[1], a[2], a[3], a[4], a[5]);

                say(calls[i].name, r < 0 ? -errno : 0);
                if (r >= 0 && calls[i].number == SYS_socket)
                        (void)close((int)r);
        }
}

/* ---- files ---- */

static char path[512], other_path[512];

static const char *in(char ret[static sizeof(path)], const char *folder, const char *name) {
        (void)snprintf(ret, sizeof(path), "%s/%s", folder, name);
        return ret;
}

static int result(long r) {
        return r < 0 ? -errno : 0;
}

static int try_open(const char *folder, const char *name, int flags) {
        int fd = open(in(path, folder, name), flags | O_CLOEXEC, 0600);

        if (fd < 0)
                return -errno;
        (void)close(fd);
        return 0;
}

static int try_execute(void) {
        char name[] = "/bin/true", *argv[] = {name, NULL}, *envp[] = {NULL};
        pid_t pid = fork();
        int status = 0;

        if (pid < 0)
                return -errno;
        if (pid == 0) {
                (void)execve(name, argv, envp);
                _exit(errno);
        }
        return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int try_unix(const char *own, const char *abstract) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

        if (fd < 0)
                return -errno;
        if (own) {
                (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/hostile.s", own);
                r = result(bind(fd, (struct sockaddr *)&address, sizeof(address)));
                (void)unlinkat(AT_FDCWD, address.sun_path, 0);
        } else {
                size_t size = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(abstract);

                memcpy(address.sun_path + 1, abstract, strlen(abstract));
                r = result(connect(fd, (struct sockaddr *)&address, (socklen_t)size));
        }
        (void)close(fd);
        return r;
}

/* Of a pair one end may still name any other socket. @by_message: which no filter can see. */
static int try_datagram(const char *outside, bool by_message) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct msghdr message = {.msg_name = &address, .msg_namelen = sizeof(address)};
        int fd[2], r;

        if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd) < 0)
                return -errno;
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/datagram", outside);
        r = result(
                by_message ? sendmsg(fd[0], &message, 0)
                           : sendto(fd[0], "", 0, 0, (struct sockaddr *)&address, sizeof(address)));
        (void)close(fd[0]);
        (void)close(fd[1]);
        return r;
}

static int try_tcp(bool bind_it) {
        struct sockaddr_in address = {.sin_family = AF_INET};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

        if (fd < 0)
                return -errno;
        if (!bind_it) {
                address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                address.sin_port = htons(1);
        }
        r =
                result(bind_it ? bind(fd, (struct sockaddr *)&address, sizeof(address))
                               : connect(fd, (struct sockaddr *)&address, sizeof(address)));
        (void)close(fd);
        return r;
}

/* A file from one of the own folders to another. */
static int try_across(const char *own, bool by_rename) {
        int r;

        (void)mkdirat(AT_FDCWD, in(path, own, "hostile.a"), 0700);
        (void)mkdirat(AT_FDCWD, in(path, own, "hostile.b"), 0700);
        r = try_open(own, "hostile.a/file", O_WRONLY | O_CREAT);
        if (r < 0)
                return -EIO; /* of its own it may do that */
        (void)in(other_path, own, "hostile.b/file");
        r =
                result(by_rename ? renameat(AT_FDCWD, path, AT_FDCWD, other_path)
                                 : linkat(AT_FDCWD, path, AT_FDCWD, other_path, 0));
        (void)unlinkat(AT_FDCWD, path, 0);
        (void)unlinkat(AT_FDCWD, other_path, 0);
        (void)unlinkat(AT_FDCWD, in(path, own, "hostile.a"), AT_REMOVEDIR);
        (void)unlinkat(AT_FDCWD, in(path, own, "hostile.b"), AT_REMOVEDIR);
        return r;
}

void attempt_own(const char *own, AttemptSay say) {
        say("fifo", result(mkfifoat(AT_FDCWD, in(path, own, "hostile.f"), 0600)));
        (void)unlinkat(AT_FDCWD, path, 0);
        say("socket", try_unix(own, NULL));
        say("tcp-bind", try_tcp(true));
        say("tcp-connect", try_tcp(false));
}

void attempt_files(const char *own, const char *outside, int pid, AttemptSay say) {
        attempt_own(own, say);
        say("execute", try_execute());
        say("symlink", result(symlinkat("x", AT_FDCWD, in(path, own, "hostile.l"))));
        (void)unlinkat(AT_FDCWD, path, 0);
        say("link-across", try_across(own, false));
        say("rename-across", try_across(own, true));
        say("abstract", try_unix(NULL, "dynod-hostile"));
        say("datagram", try_datagram(outside, false));
        say("message", try_datagram(outside, true));
        say("signal", result(kill(pid, 0)));

        say("list", try_open(outside, ".", O_RDONLY | O_DIRECTORY));
        say("read", try_open(outside, "victim", O_RDONLY));
        say("write", try_open(outside, "victim", O_WRONLY));
        say("append", try_open(outside, "victim", O_WRONLY | O_APPEND));
        say("truncate", result(truncate(in(path, outside, "victim"), 0)));
        say("truncate-by-open", try_open(outside, "victim", O_WRONLY | O_TRUNC));
        say("create", try_open(outside, "created", O_WRONLY | O_CREAT | O_EXCL));
        say("mkdir", result(mkdirat(AT_FDCWD, in(path, outside, "made"), 0700)));
        (void)in(path, outside, "other");
        say("rename",
            result(renameat(AT_FDCWD, path, AT_FDCWD, in(other_path, outside, "renamed"))));
        say("remove", result(unlinkat(AT_FDCWD, in(path, outside, "spare"), 0)));
}
