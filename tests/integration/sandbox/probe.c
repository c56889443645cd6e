/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Stands in for dyno-init: says what a dyno is like from inside. Static; one line per
 * fact, "name=value", to the app's FIFO. The spec is one word: what to do.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/init_fds.h"

static int out = STDOUT_FILENO;

static void say(const char *name, const char *value) {
        dprintf(out, "%s=%s\n", name, value);
}

/* Says the errno of something that returned @r: "0" for success. */
static void say_result(const char *name, long r) {
        say(name, r < 0 ? strerrorname_np(errno) : "0");
}

static void say_file(const char *name, const char *path) {
        char text[16384];
        ssize_t n;
        int fd;

        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (n < 0) {
                say(name, strerrorname_np(errno));
                return;
        }
        text[n] = '\0';
        for (char *p = text; *p; p++)
                if (*p == '\n')
                        *p = '|';
        say(name, text);
        (void)close(fd);
}

static void say_open(const char *name, const char *path, int flags) {
        int fd;

        fd = open(path, flags | O_CLOEXEC, 0600);
        say_result(name, fd);
        if (fd >= 0)
                (void)close(fd);
}

static void say_fds(void) {
        DIR *dir = opendir("/proc/self/fd");
        char list[256] = "";

        while (dir) {
                struct dirent *e = readdir(dir);

                if (!e)
                        break;
                if (e->d_name[0] != '.' && strtol(e->d_name, NULL, 10) != dirfd(dir)) {
                        strncat(list, e->d_name, sizeof(list) - strlen(list) - 2);
                        strcat(list, " ");
                }
        }
        say("fds", list);
}

/* Runs @call in a child; says "signal N" or its result. */
static void say_child(const char *name, long (*call)(void)) {
        char text[32];
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                long r = call();

                _exit(r < 0 ? errno : 0);
        }
        if (waitpid(pid, &status, 0) != pid)
                return;
        if (WIFSIGNALED(status))
                (void)snprintf(text, sizeof(text), "signal %d", WTERMSIG(status));
        else if (WEXITSTATUS(status) != 0)
                (void)snprintf(text, sizeof(text), "%s", strerrorname_np(WEXITSTATUS(status)));
        else
                (void)snprintf(text, sizeof(text), "0");
        say(name, text);
}

static long call_clone3(void) {
        struct clone_args args = {.exit_signal = SIGCHLD};
        long r = syscall(SYS_clone3, &args, sizeof(args));

        if (r == 0)
                _exit(0);
        return r;
}

static long call_clone_newuser(void) {
        long r = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

        if (r == 0)
                _exit(0);
        return r;
}

#ifdef __x86_64__
static long call_i386(void) {
        long r;

        __asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory"); /* getpid there */
        return r;
}

static long call_x32(void) {
        return syscall(0x40000000 | SYS_getpid);
}
#endif

/* How many children it can have at once, at most 400. */
static void say_forks(void) {
        static pid_t pids[400];
        int n = 0;

        while (n < 400 && (pids[n] = fork()) > 0)
                n++;
        if (n < 400 && pids[n] == 0)
                for (;;)
                        (void)pause();
        dprintf(out, "forks=%d\n", n);
        for (int i = 0; i < n; i++) {
                (void)kill(pids[i], SIGKILL);
                (void)waitpid(pids[i], NULL, 0);
        }
}

static void say_calls(void) {
        int tiocsti = 'x';
        struct rlimit limit = {10, 10};

        say_result("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
        say_result("unshare_user", unshare(CLONE_NEWUSER));
        say_result("setns", setns(0, 0));
        say_result("chroot", chroot("/tmp"));
        say_result("bpf", syscall(SYS_bpf, 0, NULL, 0));
        say_result("keyctl", syscall(SYS_keyctl, 0, 0, 0, 0, 0));
        say_result("io_uring", syscall(SYS_io_uring_setup, 1, NULL));
        say_result("ptrace", syscall(SYS_ptrace, 0, 0, 0, 0));
        say_result("userfaultfd", syscall(SYS_userfaultfd, 0));
        say_result("unknown_call", syscall(1000));
        say_result("reboot", syscall(SYS_reboot, 0, 0, 0, 0));
        say_result("ioctl_tiocsti", ioctl(STDIN_FILENO, 0x5412, &tiocsti));
        say_result(
                "ioctl_tiocsti_high",
                syscall(SYS_ioctl, STDIN_FILENO, UINT64_C(0x100005412), &tiocsti));
        say_result("socket_unix", socket(AF_UNIX, SOCK_STREAM, 0));
        say_result("socket_inet", socket(AF_INET, SOCK_STREAM, 0));
        say_result("socket_route", socket(AF_NETLINK, SOCK_RAW, 0));
        say_result("socket_netfilter", socket(AF_NETLINK, SOCK_RAW, 12));
        say_result("socket_packet", socket(AF_PACKET, SOCK_RAW, 0));
        say_result("socket_vsock", socket(40, SOCK_STREAM, 0));
        say_result("socket_alg", socket(38, SOCK_SEQPACKET, 0));
        say_result("socket_sctp", socket(AF_INET, SOCK_STREAM, 132));
        say_result("prlimit_self", syscall(SYS_prlimit64, 0, RLIMIT_CORE, NULL, &limit));
        say_result("prlimit_other", syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, &limit, NULL));
        say_result("personality", syscall(SYS_personality, 0x0040000));
        say_child("clone3", call_clone3);
        say_child("clone_newuser", call_clone_newuser);
#ifdef __x86_64__
        say_child("i386", call_i386);
        say_child("x32", call_x32);
#endif
        say_result("setuid_0", setuid(0));
}

/* What the OOM killer thinks of dyno-init, and whether an app could have it think so again. */
static void say_oom_score(void) {
        int fd;

        say_file("oom_score_adj", "/proc/self/oom_score_adj");
        /* As its command is. */
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        say_result("oom_zero", write(fd, "0", 1));
        say_result("oom_back", write(fd, "-1000", 5));
        (void)close(fd);
}

static void say_files(void) {
        struct stat st;
        char link[64];
        ssize_t n;

        say_open("write_root", "/new", O_WRONLY | O_CREAT);
        say_open("write_etc", "/etc/passwd", O_WRONLY);
        say_open("write_dev", "/dev/new", O_WRONLY | O_CREAT);
        say_open("write_sys", "/sys/new", O_WRONLY | O_CREAT);
        say_open("write_cgroup", "/sys/fs/cgroup/cgroup.procs", O_WRONLY);
        say_open("write_sysctl", "/proc/sys/kernel/hostname", O_WRONLY);
        say_open("write_ptmx", "/dev/ptmx", O_RDWR | O_NOCTTY);
        say_open("write_null", "/dev/null", O_WRONLY);
        say_open("write_app", "/app/new", O_WRONLY | O_CREAT);
        say_open("write_slug", "/app/hello", O_WRONLY | O_APPEND);
        say_open("write_tmp", "/tmp/new", O_WRONLY | O_CREAT);
        say_open("write_var_tmp", "/var/tmp/new", O_WRONLY | O_CREAT);
        say_open("write_shm", "/dev/shm/new", O_WRONLY | O_CREAT);
        say_open("read_kcore", "/proc/kcore", O_RDONLY);
        say_open("read_bus", "/proc/bus/pci", O_RDONLY);
        say_file("kallsyms", "/proc/kallsyms");
        say_file("sysrq", "/proc/sysrq-trigger");
        say_open("write_sysrq", "/proc/sysrq-trigger", O_WRONLY);
        say_result("rename_dir", rename("/app/dir", "/app/dir2"));
        say_result("stat_app", stat("/app/new", &st));
        dprintf(out, "app_owner=%u:%u\n", st.st_uid, st.st_gid);
        (void)stat("/etc", &st);
        dprintf(out, "etc_owner=%u:%u\n", st.st_uid, st.st_gid);
        (void)stat("/app/hello", &st);
        dprintf(out, "slug_owner=%u:%u\n", st.st_uid, st.st_gid);

        say_file("passwd", "/etc/passwd");
        say_file("hosts", "/etc/hosts");
        say_file("hostname", "/etc/hostname");
        say_file("resolv_conf", "/etc/resolv.conf");
        say_file("memory_limit", "/sys/fs/cgroup/memory/memory.limit_in_bytes");
        say_file("cpu_online", "/sys/devices/system/cpu/online");
        say_file("sys_cgroup", "/sys/fs/cgroup/cgroup.controllers");
        n = readlink("/proc/self/exe", link, sizeof(link) - 1);
        link[n > 0 ? n : 0] = '\0';
        say("exe", link);
}

static void say_facts(void) {
        char cwd[256], host[128];

        dprintf(out, "pid=%d\n", getpid());
        dprintf(out, "ids=%u:%u\n", getuid(), getgid());
        dprintf(out, "umask=%03o\n", umask(022));
        say("cwd", getcwd(cwd, sizeof(cwd)) ? cwd : "?");
        say("host", gethostname(host, sizeof(host)) == 0 ? host : "?");
        dprintf(out, "securebits=%#x\n", (unsigned)prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
        say_fds();
        say_file("status", "/proc/self/status");
        say_file("uid_map", "/proc/self/uid_map");
        say_file("gid_map", "/proc/self/gid_map");
        say_file("projid_map", "/proc/self/projid_map");
        say_file("setgroups", "/proc/self/setgroups");
        say_file("cgroup", "/proc/self/cgroup");
        say_file("mountinfo", "/proc/self/mountinfo");
        say_file("limits", "/proc/self/limits");
        say_file("net_dev", "/proc/self/net/dev");
        say_file("label", "/proc/self/attr/apparmor/current");
        say_files();
        say_forks();
        say_calls();
        say_oom_score();
}

int main(void) {
        char spec[64] = "", go = 0;

        /* What dyno-init must do, too: wait for the read-back. */
        if (read(INIT_FD_GO, &go, 1) != 1 || go != INIT_GO)
                return 99;
        out = INIT_FD_APP_FIFO;
        if (pread(INIT_FD_SPEC, spec, sizeof(spec) - 1, 0) < 0)
                return 98;

        if (strcmp(spec, "facts") == 0)
                say_facts();
        else if (strcmp(spec, "hold") == 0) {
                say("held", "1");
                for (;;)
                        (void)pause();
        } else if (strncmp(spec, "exec ", 5) == 0) {
                /* The app's FIFO is not a ps:exec's: it answers where it is attached. */
                out = INIT_FD_ATTACH;
                say_facts();
        } else if (strncmp(spec, "exit ", 5) == 0)
                return (int)strtol(spec + 5, NULL, 10);

        return 0;
}
