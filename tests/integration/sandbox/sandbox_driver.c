/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Drives the sandbox room as the launcher does, for test_sandbox.py.
 *
 *      sandbox_driver CONFIG WORK CGROUP COMMAND [ARGUMENT]
 *
 * WORK holds stack/ (tree, passwd, group), slug/ and net (a network namespace). Output:
 * lines of the probe inside, then "name=value" lines of this program.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parse.h"
#include "config/config.h"
#include "ipc/dyno_spec.h"
#include "ipc/init_fds.h"
#include "launch_wait.h"
#include "one_by_one.h"
#include "sandbox/cgroup.h"
#include "sandbox/namespaces.h"
#include "sandbox/sandbox.h"
#include "sandbox/sandbox_internal.h"

#define DYNO_ID "web.1-7f3a9c"

typedef struct Driver {
        Config *config;
        SandboxHost *host;
        SandboxSlot slot;
        LaunchStart start;
        const char *work;
        int cgroup_fd, stack_fd, slug_fd, status_fd, app_fd, log_fd;
} Driver;

static _Noreturn void die(const char *what, int r) {
        (void)fprintf(stderr, "%s: %s\n", what, strerror(r < 0 ? -r : r));
        exit(2);
}

static _Noreturn void die_of(const char *what, const SandboxError *error) {
        (void)fprintf(
                stderr, "%s: %s: %s\n", what, launch_layer_to_string(error->layer), error->detail);
        exit(2);
}

static int open_below(const char *dir, const char *name, int flags) {
        char path[512];
        int fd;

        (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
        fd = open(path, flags | O_CLOEXEC, 0600);
        if (fd < 0)
                die(path, errno);
        return fd;
}

static int make_fifo(const char *dir, const char *name, uid_t uid) {
        char path[512];

        (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
        (void)unlink(path);
        if (mkfifo(path, 0420) < 0 || chown(path, 0, uid) < 0 || chmod(path, 0420) < 0)
                die(path, errno);
        return open_below(dir, name, O_RDWR | O_NONBLOCK);
}

static int make_spec(const char *text) {
        int fd = memfd_create("spec", MFD_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                die("spec", errno);
        return fd;
}

static void set_up(Driver *d, const char *config, const char *work, const char *cgroup) {
        ConfigError config_error = {.line = 0};
        SandboxError error = {.error = 0};
        int r;

        r = sandbox_isolate_mounts();
        if (r < 0)
                die("mounts", r);
        r = config_read(&d->config, "sbx", config, &config_error);
        if (r < 0)
                die(config_error.text, r);
        d->work = work;
        d->cgroup_fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (d->cgroup_fd < 0)
                die(cgroup, errno);
        r = sandbox_host_new(&d->host, d->config, d->cgroup_fd, &error);
        if (r < 0)
                die_of("host", &error);
        r = sandbox_slot_prepare(d->host, 0, &d->slot, &error);
        if (r < 0)
                die_of("slot", &error);
        d->slot.netns_fd = open_below(work, "net", O_RDONLY);
        d->slot.address.s_addr = htonl(0xac10001e); /* 172.16.0.30 */

        d->stack_fd = open_below(work, "stack", O_RDONLY | O_DIRECTORY);
        d->slug_fd = open_below(work, "slug", O_RDONLY | O_DIRECTORY);
        d->status_fd = open_below(work, "status", O_RDWR | O_CREAT);
        d->app_fd = make_fifo(work, "app", d->slot.uid);
        d->log_fd = make_fifo(work, "log", d->slot.uid);

        d->start = (LaunchStart){
                .number = 1,
                .release = 1,
                .web_port = 5000,
                .cpu_weight = 100,
                .process_limit = 256,
                .app_number = 1,
                .memory_quota = UINT64_C(512) << 20,
                .memory_kill = UINT64_C(1) << 30,
                .id = DYNO_ID,
        };
        sandbox_host_limit(d->host, UINT64_C(1) << 30, &d->start);
}

static int launch(Driver *d, int spec_fd, SandboxDyno *ret, SandboxError *reterr) {
        SandboxLaunch how = {
                .slot = &d->slot,
                .start = &d->start,
                .received_usec = clock_boottime_usec(),
                .stack_fd = d->stack_fd,
                .slug_fd = d->slug_fd,
                .spec_fd = spec_fd,
                .attach_fd = -EBADF,
                .status_fd = d->status_fd,
                .app_fifo_fd = d->app_fd,
                .log_fifo_fd = d->log_fd,
        };
        int r;

        r = sandbox_launch(d->host, &how, ret, reterr);
        (void)close(spec_fd);
        return r;
}

static int try_launch(Driver *d, const char *spec, SandboxDyno *ret, SandboxError *reterr) {
        return launch(d, make_spec(spec), ret, reterr);
}

static SandboxDyno launch_or_die(Driver *d, const char *spec) {
        SandboxDyno dyno = SANDBOX_DYNO_INIT;
        SandboxError error = {.error = 0};

        if (try_launch(d, spec, &dyno, &error) < 0)
                die_of("launch", &error);
        return dyno;
}

/* Copies what is in @fd now to standard output. */
static void drain(int fd) {
        char buf[65536];
        ssize_t n;

        while ((n = read(fd, buf, sizeof(buf))) > 0)
                (void)!write(STDOUT_FILENO, buf, (size_t)n);
}

/* Waits for the end, copying output meanwhile. Returns the status as a shell has it. */
static int wait_end(SandboxDyno *dyno, int out_fd) {
        siginfo_t si = {.si_pid = 0};

        for (;;) {
                struct pollfd p[] = {
                        {.fd = dyno->pidfd, .events = POLLIN},
                        {.fd = out_fd, .events = POLLIN},
                };

                if (poll(p, out_fd < 0 ? 1 : 2, 20000) <= 0)
                        die("wait", ETIMEDOUT);
                if (out_fd >= 0)
                        drain(out_fd);
                if (p[0].revents != 0)
                        break;
        }
        if (waitid(P_PIDFD, (id_t)dyno->pidfd, &si, WEXITED) < 0)
                die("waitid", errno);
        return si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
}

/* A process that was waited for may still be on its way out of the group, for a moment. */
static int remove_group(Driver *d) {
        int r;

        for (int i = 0; i < 500; i++) {
                r = cgroup_remove(d->cgroup_fd, DYNO_ID);
                if (r != -EBUSY)
                        break;
                (void)poll(NULL, 0, 10);
        }
        return r;
}

static void end(Driver *d, SandboxDyno *dyno) {
        int r;

        r = cgroup_kill(dyno->cgroup_fd);
        if (r < 0)
                die("cgroup_kill", r);
        printf("killed=%d\n", wait_end(dyno, d->app_fd));
        sandbox_dyno_clear(dyno);
        r = remove_group(d);
        printf("removed=%d\n", r);
}

static int run(Driver *d, const char *spec) {
        SandboxDyno dyno = launch_or_die(d, spec);
        int events_fd = cgroup_open_events(dyno.cgroup_fd);
        struct pollfd change = {.fd = events_fd, .events = POLLPRI};
        int status = wait_end(&dyno, d->app_fd);

        printf("exit=%d\n", status);
        for (int i = 0; i < _PHASE_MAX; i++)
                printf("phase_%s=%u\n", launch_phase_to_string((LaunchPhase)i), dyno.phase_usec[i]);
        /* The group may hear of it a moment later. */
        while (cgroup_is_populated(events_fd) > 0 && poll(&change, 1, 20000) > 0)
                ;
        printf("populated=%d\n", cgroup_is_populated(events_fd));
        sandbox_dyno_clear(&dyno);
        printf("removed=%d\n", remove_group(d));
        return 0;
}

/* Both of the dyno's FIFOs until its end: the app's lines come out, dyno-init's go nowhere. */
static int wait_app(Driver *d, SandboxDyno *dyno) {
        char buf[4096];

        for (;;) {
                struct pollfd p[] = {
                        {.fd = dyno->pidfd, .events = POLLIN},
                        {.fd = d->app_fd, .events = POLLIN},
                        {.fd = d->log_fd, .events = POLLIN},
                };

                if (poll(p, ARRAY_SIZE(p), 60000) <= 0)
                        die("wait", ETIMEDOUT);
                drain(d->app_fd);
                while (read(d->log_fd, buf, sizeof(buf)) > 0)
                        ;
                if (p[0].revents != 0)
                        return wait_end(dyno, d->app_fd);
        }
}

/* A command, words apart, under the real dyno-init. */
static int app(Driver *d, const char *command) {
        static char path[] = "PATH=/app:/bin";
        char *copy = strdup(command), *save = NULL, *args[64], *const env[] = {path, NULL};
        const DynoSpecHeader header = {.magic = DYNO_SPEC_MAGIC};
        SandboxDyno dyno = SANDBOX_DYNO_INIT;
        SandboxError error = {.error = 0};
        size_t n = 0;
        int spec_fd, r;

        for (char *word = strtok_r(copy, " ", &save); word && n + 1 < ARRAY_SIZE(args);
             word = strtok_r(NULL, " ", &save))
                args[n++] = word;
        args[n] = NULL;
        r = dyno_spec_write(&spec_fd, &header, args, env);
        if (r < 0)
                die("spec", r);
        if (launch(d, spec_fd, &dyno, &error) < 0)
                die_of("launch", &error);
        printf("exit=%d\n", wait_app(d, &dyno));
        sandbox_dyno_clear(&dyno);
        printf("removed=%d\n", remove_group(d));
        free(copy);
        return 0;
}

static void print_reports(const LaunchLayerReport *reports) {
        for (int i = 0; i < _LAYER_MAX; i++)
                printf("%s=%s %s\n",
                       launch_layer_to_string((LaunchLayer)i),
                       layer_verdict_to_string((LayerVerdict)reports[i].verdict),
                       reports[i].detail);
}

#define OTHER_ID "web.2-000000"

/* What is not in the group of that name, and what is in it and not its first process. */
static void adopt_others(Driver *d, const SandboxDyno *dyno) {
        SandboxDyno again = SANDBOX_DYNO_INIT;
        pid_t pid;

        if (mkdirat(d->cgroup_fd, OTHER_ID, 0755) < 0)
                die(OTHER_ID, errno);
        printf("adopt_other_group=%d\n",
               sandbox_adopt(d->host, OTHER_ID, d->slot.uid, dyno->pid, &again));
        (void)unlinkat(d->cgroup_fd, OTHER_ID, AT_REMOVEDIR);

        pid = fork();
        if (pid == 0) {
                if (write_text_at(dyno->cgroup_fd, "cgroup.procs", "0") < 0 ||
                    setresuid(d->slot.uid, d->slot.uid, d->slot.uid) < 0)
                        _exit(1);
                (void)kill(getpid(), SIGSTOP);
                _exit(0);
        }
        if (pid < 0 || waitpid(pid, NULL, WUNTRACED) != pid)
                die("another process", errno);
        printf("adopt_other_process=%d\n",
               sandbox_adopt(d->host, DYNO_ID, d->slot.uid, pid, &again));
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
}

/* sandbox_exec_begin() and all that follows, waiting. */
static int
exec_and_wait(Driver *d, const SandboxExec *exec, SandboxDyno *ret, SandboxError *error) {
        SandboxDyno process = SANDBOX_DYNO_INIT;
        SandboxJoin *join = NULL;
        struct pollfd p = {.events = POLLIN};
        int r;

        r = sandbox_exec_begin(d->host, exec, &join, &process.pidfd, error);
        if (r < 0)
                return r;
        p.fd = sandbox_join_fd(join);
        while ((r = sandbox_join_continue(join, error)) == SANDBOX_E_AGAIN)
                if (poll(&p, 1, 20000) <= 0)
                        die("join", ETIMEDOUT);
        (void)sandbox_join_free(join);
        if (r < 0) /* it was not told to go on, and ends */
                (void)wait_end(&process, -1);
        *ret = process;
        return r;
}

static void say_layer(
        Driver *d,
        const char *name,
        const SandboxDyno *dyno,
        SandboxExpect expect,
        LaunchLayer layer) {
        LaunchLayerReport reports[_LAYER_MAX];
        int r = sandbox_inspect(d->host, dyno, &expect, reports);

        printf("%s=%s\n", name, r < 0 ? strerrorname_np(-r) : reports[layer].detail);
}

/* A process of the dyno's uid that is in none of its layers: with a group, or without. */
static void
inspect_stranger(Driver *d, const SandboxExpect *expect, int cgroup_fd, size_t n_groups) {
        static const gid_t group = 4;
        SandboxDyno stranger = {.pidfd = -EBADF, .cgroup_fd = cgroup_fd};
        const char *names[] = {"not_mapped", "not_in_group", "with_groups", "of_host"};

        stranger.pid = fork();
        if (stranger.pid == 0) {
                if (setgroups(n_groups, &group) < 0 ||
                    setresgid(d->slot.uid, d->slot.uid, d->slot.uid) < 0 ||
                    setresuid(d->slot.uid, d->slot.uid, d->slot.uid) < 0)
                        _exit(1);
                (void)kill(getpid(), SIGSTOP);
                _exit(0);
        }
        if (stranger.pid < 0 || waitpid(stranger.pid, NULL, WUNTRACED) != stranger.pid)
                die("a stranger", errno);
        stranger.pidfd = (int)syscall(SYS_pidfd_open, stranger.pid, 0);
        say_layer(d, names[n_groups * 2], &stranger, *expect, LAYER_USER);
        say_layer(
                d,
                names[n_groups * 2 + 1],
                &stranger,
                *expect,
                n_groups ? LAYER_NAMESPACES : LAYER_CGROUP);
        (void)kill(stranger.pid, SIGKILL);
        (void)waitpid(stranger.pid, NULL, 0);
        (void)close(stranger.pidfd);
}

/* In a user namespace as a dyno's, whose maker left setgroups and projects to who is in there. */
static void inspect_other_userns(Driver *d, const SandboxExpect *expect, int cgroup_fd) {
        SandboxDyno stranger = {.pidfd = -EBADF, .cgroup_fd = cgroup_fd};
        uint32_t stack_root = d->config->uid_base + CONFIG_UID_STACK_ROOT;
        char map[64];
        int status, proc_fd;

        stranger.pid = fork();
        if (stranger.pid == 0) {
                if (setgroups(0, NULL) < 0 || unshare(CLONE_NEWUSER) < 0)
                        _exit(1);
                (void)kill(getpid(), SIGSTOP);
                if (setresgid(SANDBOX_DYNO_UID, SANDBOX_DYNO_UID, SANDBOX_DYNO_UID) < 0 ||
                    setresuid(SANDBOX_DYNO_UID, SANDBOX_DYNO_UID, SANDBOX_DYNO_UID) < 0)
                        _exit(1);
                (void)kill(getpid(), SIGSTOP);
                _exit(0);
        }
        (void)snprintf(map, sizeof(map), "/proc/%d", stranger.pid);
        proc_fd = open(map, O_PATH | O_DIRECTORY | O_CLOEXEC);
        (void)snprintf(
                map, sizeof(map), "0 %u 1\n%u %u 1\n", stack_root, SANDBOX_DYNO_UID, d->slot.uid);
        if (waitpid(stranger.pid, &status, WUNTRACED) < 0 || !WIFSTOPPED(status) ||
            write_text_at(proc_fd, "uid_map", map) < 0 ||
            write_text_at(proc_fd, "gid_map", map) < 0 || kill(stranger.pid, SIGCONT) < 0 ||
            waitpid(stranger.pid, &status, WUNTRACED) < 0 || !WIFSTOPPED(status))
                die("a stranger in a user namespace", errno);
        stranger.pidfd = (int)syscall(SYS_pidfd_open, stranger.pid, 0);
        say_layer(d, "with_projects", &stranger, *expect, LAYER_USER);
        (void)snprintf(map, sizeof(map), "%u %u 1\n", USERNS_PROJECT, USERNS_PROJECT);
        if (write_text_at(proc_fd, "projid_map", map) < 0)
                die("a stranger without projects", errno);
        say_layer(d, "with_setgroups", &stranger, *expect, LAYER_USER);
        (void)kill(stranger.pid, SIGKILL);
        (void)waitpid(stranger.pid, NULL, 0);
        (void)close(stranger.pidfd);
        (void)close(proc_fd);
}

/* A dyno with more processes and other scratch than was asked for. */
static void inspect_limits(Driver *d, const SandboxDyno *dyno, SandboxExpect expect) {
        LaunchStart other = d->start;

        expect.start = &other;
        other.process_limit--;
        say_layer(d, "more_processes", dyno, expect, LAYER_LIMITS);
        other = d->start;
        other.disk *= 2;
        say_layer(d, "less_scratch", dyno, expect, LAYER_LIMITS);
        other = d->start;
        other.disk_files *= 2;
        say_layer(d, "fewer_files", dyno, expect, LAYER_LIMITS);
}

/* What joined a dyno is not its first process. */
static void inspect_joined(Driver *d, const SandboxDyno *dyno, SandboxExpect expect) {
        SandboxDyno process = SANDBOX_DYNO_INIT;
        SandboxError error = {.error = 0};
        const SandboxExec exec = {
                .dyno = dyno,
                .start = &d->start,
                .uid = d->slot.uid,
                .spec_fd = make_spec("hold"),
                .attach_fd = d->app_fd,
                .death_fd = -EBADF,
        };
        char path[64], text[512];
        const char *pid;

        if (exec_and_wait(d, &exec, &process, &error) < 0)
                die_of("exec", &error);
        (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", process.pidfd);
        if (read_text_at(AT_FDCWD, path, text, sizeof(text)) < 0 || !(pid = strstr(text, "Pid:\t")))
                die(path, errno);
        process.pid = (pid_t)strtol(pid + strlen("Pid:\t"), NULL, 10);
        process.cgroup_fd = dyno->cgroup_fd;
        expect.start = &(LaunchStart){.process_limit = 1000};
        say_layer(d, "not_first", &process, expect, LAYER_NAMESPACES);
        (void)kill(process.pid, SIGKILL);
        (void)wait_end(&process, -1);
        (void)close(process.pidfd);
        (void)close(exec.spec_fd);
}

static int inspect(Driver *d, const char *what) {
        SandboxDyno dyno = launch_or_die(d, "hold"), again = SANDBOX_DYNO_INIT;
        SandboxExpect expect = {
                .start = &d->start,
                .uid = d->slot.uid,
                .address = d->slot.address,
                .netns_fd = d->slot.netns_fd,
                .userns_fd = d->slot.userns_fd,
        };
        LaunchLayerReport reports[_LAYER_MAX];
        uint64_t before;
        int r;

        (void)what;
        before = clock_boottime_usec();
        r = sandbox_inspect(d->host, &dyno, &expect, reports);
        printf("inspect=%d\nusec=%u\n", r, (unsigned)(clock_boottime_usec() - before));
        print_reports(reports);
        inspect_stranger(d, &expect, dyno.cgroup_fd, 0);
        inspect_stranger(d, &expect, dyno.cgroup_fd, 1);
        inspect_other_userns(d, &expect, dyno.cgroup_fd);
        expect.userns_fd = d->slot.slug_idmap_fd;
        say_layer(d, "other_userns", &dyno, expect, LAYER_NAMESPACES);
        expect.userns_fd = d->slot.userns_fd;
        inspect_joined(d, &dyno, expect);
        inspect_limits(d, &dyno, expect);

        printf("adopt=%d\n", sandbox_adopt(d->host, DYNO_ID, d->slot.uid, dyno.pid, &again));
        printf("adopt_pid=%d\n", again.pid == dyno.pid);
        sandbox_dyno_clear(&again);
        r = sandbox_adopt(d->host, DYNO_ID, d->slot.uid + 1, dyno.pid, &again);
        printf("adopt_other_uid=%d\n", r);
        printf("adopt_self=%d\n", sandbox_adopt(d->host, DYNO_ID, 0, getpid(), &again));
        adopt_others(d, &dyno);
        end(d, &dyno);
        printf("inspect_gone=%d\n", sandbox_adopt(d->host, DYNO_ID, d->slot.uid, dyno.pid, &again));
        return 0;
}

static int one_by_one(Driver *d, const char *what) {
        SandboxDyno dyno = launch_or_die(d, "hold");
        const SandboxExpect expect = {
                .start = &d->start,
                .uid = d->slot.uid,
                .address = d->slot.address,
                .netns_fd = d->slot.netns_fd,
                .userns_fd = d->slot.userns_fd,
        };

        inspect_one_by_one(d->host, &dyno, &expect, d->work);
        end(d, &dyno);
        return 0;
}

static int exec_in(Driver *d, const char *spec) {
        SandboxDyno dyno = launch_or_die(d, "hold"), process = SANDBOX_DYNO_INIT;
        SandboxError error = {.error = 0};
        int pair[2];
        SandboxExec exec = {
                .dyno = &dyno,
                .start = &d->start,
                .uid = d->slot.uid,
                .spec_fd = make_spec(spec),
                .death_fd = -EBADF,
        };
        uint64_t before;
        int r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                die("socketpair", errno);
        if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
                die("fcntl", errno);
        exec.attach_fd = pair[1];
        before = clock_boottime_usec();
        r = exec_and_wait(d, &exec, &process, &error);
        if (r < 0)
                die_of("exec", &error);
        printf("exec_usec=%u\n", (unsigned)(clock_boottime_usec() - before));
        (void)close(pair[1]);
        printf("exec_exit=%d\n", wait_end(&process, pair[0]));
        sandbox_dyno_clear(&process);
        end(d, &dyno);

        r = exec_and_wait(d, &exec, &process, &error);
        printf("exec_gone=%d\n", r);
        return 0;
}

/* A dyno that is as it must be, and a process that joins it without a layer. */
static int exec_sabotaged(Driver *d, const char *spec) {
        SandboxDyno dyno = launch_or_die(d, "hold"), process = SANDBOX_DYNO_INIT;
        SandboxError error = {.error = 0};
        SandboxExec exec = {
                .dyno = &dyno,
                .start = &d->start,
                .uid = d->slot.uid,
                .spec_fd = make_spec(spec),
                .attach_fd = d->app_fd,
                .death_fd = -EBADF,
        };
        int r;

        d->host->seccomp_levels++;
        r = exec_and_wait(d, &exec, &process, &error);
        printf("exec=%s\nlayer=%s\n",
               r < 0 ? strerrorname_np(-r) : "0",
               launch_layer_to_string(error.layer));
        if (r == 0)
                (void)wait_end(&process, -1);
        end(d, &dyno);
        return 0;
}

/* Breaks one layer and says how the start failed. */
static int sabotage(Driver *d, const char *what) {
        SandboxDyno dyno = SANDBOX_DYNO_INIT;
        SandboxError error = {.error = 0};
        int r;

        if (strcmp(what, "seccomp") == 0)
                d->host->seccomp_levels++;
        else if (strcmp(what, "user") == 0)
                d->slot.uid++;
        else if (strcmp(what, "network") == 0)
                d->slot.netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        else if (strcmp(what, "namespaces") == 0)
                d->host->namespaces[NAMESPACE_IPC] = 0, d->slot.userns_fd = d->slot.slug_idmap_fd;
        else if (strcmp(what, "apparmor") == 0) {
                d->host->missing &= ~(UINT32_C(1) << MISSING_APPARMOR);
                (void)snprintf(d->host->label, sizeof(d->host->label), "no-such");
        } else if (strcmp(what, "filter") == 0)
                d->host->filter.n_code = 0;
        else if (strcmp(what, "store") == 0)
                d->stack_fd = d->slug_fd;

        r = try_launch(d, "hold", &dyno, &error);
        printf("launch=%s\n", r < 0 ? strerrorname_np(-r) : "0");
        if (r == 0)
                end(d, &dyno);
        else if (dyno.cgroup_fd >= 0) { /* ours to end: not all of it had gone */
                (void)remove_group(d);
                sandbox_dyno_clear(&dyno);
        }
        printf("layer=%s\n", launch_layer_to_string(error.layer));
        printf("detail=%s\n", error.detail);
        printf("left=%d\n", cgroup_remove(d->cgroup_fd, DYNO_ID));
        printf("children=%d\n", waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? 0 : 1);
        return 0;
}

static unsigned count_fds(void) {
        unsigned n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

static int by_number(const void *a, const void *b) {
        const unsigned *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/* Launches @count dynos one after another; the time is until the read-back is done. */
static int bench(Driver *d, const char *count) {
        size_t n = strtoul(count, NULL, 10);
        unsigned *usec = calloc(n, sizeof(*usec)), *fork_usec = calloc(n, sizeof(*fork_usec));
        unsigned phases[_PHASE_MAX] = {0}, fds = 0;
        char init[512];

        (void)snprintf(init, sizeof(init), "%s/dyno-init", d->config->libexec_dir);
        for (size_t i = 0; i < n; i++) {
                uint64_t before = clock_boottime_usec();
                SandboxDyno dyno = launch_or_die(d, "exit 0");
                int status[2];
                char byte;
                pid_t pid;

                usec[i] = (unsigned)(clock_boottime_usec() - before);
                for (int k = 0; k < _PHASE_MAX; k++)
                        phases[k] += dyno.phase_usec[k];
                (void)wait_end(&dyno, -1);
                sandbox_dyno_clear(&dyno);
                (void)!remove_group(d);
                if (i == 0)
                        fds = count_fds();

                /* fork and exec of the same program, for comparison: to its exec. */
                if (pipe2(status, O_CLOEXEC) < 0)
                        die("pipe", errno);
                before = clock_boottime_usec();
                pid = fork();
                if (pid == 0) {
                        (void)close(INIT_FD_GO); /* it ends at once */
                        (void)execl(init, "dyno-init", (char *)NULL);
                        _exit(1);
                }
                (void)close(status[1]);
                (void)!read(status[0], &byte, 1);
                fork_usec[i] = (unsigned)(clock_boottime_usec() - before);
                (void)close(status[0]);
                (void)waitpid(pid, NULL, 0);
        }
        printf("fds_leaked=%d\n", (int)count_fds() - (int)fds);
        qsort(usec, n, sizeof(*usec), by_number);
        qsort(fork_usec, n, sizeof(*fork_usec), by_number);
        printf("launch_usec=%u\nlaunch_p99_usec=%u\nfork_exec_usec=%u\n",
               usec[n / 2],
               usec[n * 99 / 100],
               fork_usec[n / 2]);
        for (int k = 0; k < _PHASE_MAX; k++)
                printf("mean_%s=%u\n",
                       launch_phase_to_string((LaunchPhase)k),
                       (unsigned)(phases[k] / n));
        free(usec);
        free(fork_usec);
        return 0;
}

static int host(Driver *d, const char *what) {
        LaunchLayerReport reports[_LAYER_MAX];

        (void)what;
        sandbox_host_report(d->host, reports);
        print_reports(reports);
        return 0;
}

int main(int argc, char **argv) {
        static const struct {
                const char *name;
                int (*call)(Driver *d, const char *argument);
        } commands[] = {
                {"run", run},
                {"app", app},
                {"inspect", inspect},
                {"one-by-one", one_by_one},
                {"exec", exec_in},
                {"exec-sabotaged", exec_sabotaged},
                {"sabotage", sabotage},
                {"bench", bench},
                {"host", host},
        };
        Driver d = {.slot = SANDBOX_SLOT_INIT};

        if (argc != 6)
                return 2;
        (void)setvbuf(stdout, NULL, _IONBF, 0);
        (void)umask(0077); /* as in the unit */
        set_up(&d, argv[1], argv[2], argv[3]);
        if (getenv("CONFINE") && sandbox_confine_self(d.host) < 0)
                die("own filter", EINVAL);
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                if (strcmp(argv[4], commands[i].name) == 0) {
                        int r = commands[i].call(&d, argv[5]);

                        sandbox_slot_release(&d.slot);
                        d.host = sandbox_host_free(d.host);
                        d.config = config_free(d.config);
                        return r;
                }
        return 2;
}
