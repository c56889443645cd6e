/* SPDX-License-Identifier: Apache-2.0 */

/* What belongs to the host as a whole: its clock, name, power, swap, ports, priorities. */

#include <fcntl.h>
#include <linux/reboot.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/acct.h>
#include <sys/io.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "escape.h"

/* ---- power: the forms that change next to nothing ---- */

static int reboot_key(void) {
        return attempt_result(
                syscall(SYS_reboot,
                        LINUX_REBOOT_MAGIC1,
                        LINUX_REBOOT_MAGIC2,
                        LINUX_REBOOT_CMD_CAD_OFF,
                        NULL));
}

static int swap_on(void) {
        static const char path[] = "/var/tmp/escape-swap";
        static char page[4096];
        const uint32_t header[] = {1, 15, 0}; /* version, last page, bad pages */
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        int r;

        if (fd < 0)
                return -errno;
        for (size_t i = 0; i < 16; i++)
                (void)!write(fd, page, sizeof(page));
        memcpy(page + 1024, header, sizeof(header));
        memcpy(page + sizeof(page) - 10, "SWAPSPACE2", 10);
        (void)!pwrite(fd, page, sizeof(page), 0);
        (void)fsync(fd);
        (void)close(fd);
        r = attempt_result(swapon(path, 0));
        if (r == 0)
                (void)swapoff(path);
        (void)unlink(path);
        return r;
}

/* Nothing of that name is swapped to: who may switch swap off hears that. */
static int swap_off(void) {
        int r;

        (void)close(open("/tmp/escape-no-swap", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        r = attempt_result(swapoff("/tmp/escape-no-swap"));
        return r == -EINVAL ? 0 : r;
}

static int account(void) {
        int fd = open("/tmp/escape-acct", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0)
                return -errno;
        if (acct("/tmp/escape-acct") < 0)
                return -errno;
        (void)acct(NULL);
        return 0;
}

static int quota_off(void) {
        return attempt_result(quotactl(QCMD(Q_SYNC, USRQUOTA), NULL, 0, NULL));
}

/* ---- names and time: set to what they are ---- */

static int host_name(void) {
        return attempt_result(sethostname("escaped", 7));
}

static int domain_name(void) {
        return attempt_result(setdomainname("escaped", 7));
}

static int set_time_of_day(void) {
        struct timeval now;

        (void)gettimeofday(&now, NULL);
        return attempt_result(settimeofday(&now, NULL));
}

static int set_clock(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        return attempt_result(clock_settime(CLOCK_REALTIME, &now));
}

static int adjust(int (*call)(struct timex *)) {
        struct timex t = {.modes = 0};

        (void)call(&t);
        t.modes = ADJ_FREQUENCY;
        return attempt_result(call(&t));
}

static int adjust_clock(void) {
        return adjust(adjtimex);
}

static int clock_adjust(struct timex *t) {
        return clock_adjtime(CLOCK_REALTIME, t);
}

static int adjust_clock_by_id(void) {
        return adjust(clock_adjust);
}

static int wake_host(void) {
        return attempt_result(timerfd_create(CLOCK_BOOTTIME_ALARM, TFD_CLOEXEC));
}

/* ---- the machine ---- */

static int io_privilege(void) {
        return attempt_result(iopl(3));
}

static int io_port(void) {
        return attempt_result(ioperm(0x80, 1, 1)); /* of the power-on self test: does nothing */
}

static int local_descriptors(void) {
        char buf[64];

        return attempt_result(syscall(SYS_modify_ldt, 0, buf, sizeof(buf)));
}

static int kernel_log(void) {
        static char buf[4096];

        return attempt_result(klogctl(3 /* SYSLOG_ACTION_READ_ALL */, buf, sizeof(buf)));
}

static int hang_up(void) {
        (void)setsid(); /* no terminal: nobody is hung up */
        return attempt_result(vhangup());
}

/* ---- more than a fair share ---- */

#define IO_PROCESS 1 /* IOPRIO_WHO_PROCESS */
#define IO_CLASS_SHIFT 13
enum {
        IO_REALTIME = 1,
        IO_IDLE = 3,
};

/* To be told that it was done is not to have it. */
static int be_nice(int which, int nice) {
        if (setpriority(which, 0, nice) < 0)
                return -errno;
        return getpriority(which, 0) == nice ? 0 : ATTEMPT_NOTHING;
}

static int nice_less(void) {
        return be_nice(PRIO_PROCESS, -5);
}

static int io_class(int class) {
        if (syscall(SYS_ioprio_set, IO_PROCESS, 0, class << IO_CLASS_SHIFT) < 0)
                return -errno;
        return syscall(SYS_ioprio_get, IO_PROCESS, 0) >> IO_CLASS_SHIFT == class ? 0
                                                                                 : ATTEMPT_NOTHING;
}

static int io_realtime(void) {
        return io_class(IO_REALTIME);
}

static int schedule(int policy, int priority) {
        struct sched_param param = {.sched_priority = priority};

        if (sched_setscheduler(0, policy, &param) < 0)
                return -errno;
        return sched_getscheduler(0) == policy ? 0 : ATTEMPT_NOTHING;
}

static int realtime_fifo(void) {
        return schedule(SCHED_FIFO, 1);
}

static int realtime_rr(void) {
        return schedule(SCHED_RR, 1);
}

typedef struct Attributes {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
} Attributes;

static int deadline(void) {
        const Attributes attr = {
                .size = sizeof(attr),
                .policy = 6, /* SCHED_DEADLINE */
                .runtime = 1000000,
                .deadline = 100000000,
                .period = 100000000,
        };

        return attempt_result(syscall(SYS_sched_setattr, 0, &attr, 0));
}

/* ---- less than a fair share: whoever waits for a lock that it holds waits for its turn ---- */

static int nice_more(void) {
        return be_nice(PRIO_PROCESS, 19);
}

/* Of a group of its own. */
static int nice_more_by_group(void) {
        return be_nice(PRIO_PGRP, 19);
}

static int io_idle(void) {
        return io_class(IO_IDLE);
}

static int idle(void) {
        return schedule(SCHED_IDLE, 0);
}

static int idle_to_the_child(void) {
        return schedule(SCHED_IDLE | SCHED_RESET_ON_FORK, 0);
}

static int batch(void) {
        return schedule(SCHED_BATCH, 0);
}

static int batch_to_the_child(void) {
        return schedule(SCHED_BATCH | SCHED_RESET_ON_FORK, 0);
}

static int idle_by_attributes(void) {
        const Attributes attr = {.size = sizeof(attr), .policy = SCHED_IDLE};

        return attempt_result(syscall(SYS_sched_setattr, 0, &attr, 0));
}

static int nice_by_attributes(void) {
        const Attributes attr = {.size = sizeof(attr), .nice = 19};

        return attempt_result(syscall(SYS_sched_setattr, 0, &attr, 0));
}

static int raise_limit(__rlimit_resource_t resource, rlim_t to) {
        struct rlimit limit = {.rlim_cur = to, .rlim_max = to};

        return attempt_result(setrlimit(resource, &limit));
}

static int raise_files(void) {
        return raise_limit(RLIMIT_NOFILE, 1048576);
}

static int raise_processes(void) {
        return raise_limit(RLIMIT_NPROC, RLIM_INFINITY);
}

static int raise_signals(void) {
        return raise_limit(RLIMIT_SIGPENDING, 10000000);
}

static int raise_queues(void) {
        return raise_limit(RLIMIT_MSGQUEUE, RLIM_INFINITY);
}

static int lock_memory(void) {
        size_t size = 64 << 20;
        void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        return p == MAP_FAILED ? -errno : attempt_result(mlock2(p, size, MLOCK_ONFAULT));
}

static int large_pipe(void) {
        int fds[2];

        if (pipe(fds) < 0)
                return -errno;
        return attempt_result(fcntl(fds[1], F_SETPIPE_SZ, 64 << 20));
}

#define ATTEMPT(n, what, layers, wanted, how, call)                                                \
        {                                                                                          \
                .name = "host/" n, .tries = what, .stopped_by = layers, .error = wanted,           \
                .control = how, .run = call                                                        \
        }
#define ROOT CONTROL_ROOT
#define GUEST (CONTROL_ROOT | CONTROL_VM)
#define BY_ALL "seccomp capabilities user apparmor"
#define BY_CAPS "capabilities user apparmor"
#define PRETENDED(n, what, call) ATTEMPT(n, what, "seccomp", ATTEMPT_NOTHING, CONTROL_USER, call)

const Attempt attempts_host[] = {
        ATTEMPT("reboot", "change what Ctrl-Alt-Del does", BY_ALL, EPERM, GUEST, reboot_key),
        ATTEMPT("swapon", "swap to an own file", BY_ALL, EPERM, GUEST, swap_on),
        ATTEMPT("swapoff", "switch swap off", BY_ALL, EPERM, ROOT, swap_off),
        ATTEMPT("acct", "write down every process that ends", BY_ALL, EPERM, GUEST, account),
        ATTEMPT("quotactl", "reach the quota of a file system", "seccomp", EPERM, GUEST, quota_off),
        ATTEMPT("sethostname", "change the host name", BY_ALL, EPERM, ROOT, host_name),
        ATTEMPT("setdomainname", "change the domain name", BY_ALL, EPERM, ROOT, domain_name),
        ATTEMPT("settimeofday", "set the clock", BY_ALL, EPERM, GUEST, set_time_of_day),
        ATTEMPT("clock-settime", "set the clock by its id", BY_ALL, EPERM, GUEST, set_clock),
        ATTEMPT("adjtimex", "change the clock's speed", BY_ALL, EPERM, GUEST, adjust_clock),
        ATTEMPT("clock-adjtime",
                "change the clock's speed by its id",
                BY_ALL,
                EPERM,
                GUEST,
                adjust_clock_by_id),
        ATTEMPT("wake-alarm", "wake the host from sleep", BY_CAPS, EPERM, GUEST, wake_host),
        ATTEMPT("iopl", "reach every port of the machine", BY_ALL, EPERM, GUEST, io_privilege),
        ATTEMPT("ioperm", "reach a port of the machine", BY_ALL, EPERM, GUEST, io_port),
        ATTEMPT("modify-ldt",
                "have segments of its own",
                "seccomp",
                EPERM,
                CONTROL_USER | CONTROL_VM,
                local_descriptors),
        ATTEMPT("syslog", "read the kernel's log", BY_ALL, EPERM, ROOT, kernel_log),
        ATTEMPT("vhangup", "hang up a terminal", BY_ALL, EPERM, ROOT, hang_up),
        ATTEMPT("nice",
                "run before others",
                "seccomp limits user capabilities",
                ATTEMPT_NOTHING,
                ROOT,
                nice_less),
        ATTEMPT("ioprio",
                "read and write before others",
                BY_ALL,
                ATTEMPT_NOTHING,
                ROOT,
                io_realtime),
        PRETENDED("nice-more", "keep a lock of all dynos for long, by a low priority", nice_more),
        PRETENDED("nice-more-by-group", "the same for a group of processes", nice_more_by_group),
        PRETENDED("ioprio-idle", "the same by a low priority at the disk", io_idle),
        PRETENDED("sched-idle", "the same by the lowest class", idle),
        PRETENDED("sched-idle-to-the-child", "the same by another number", idle_to_the_child),
        PRETENDED("sched-batch", "the same by the class for long work", batch),
        PRETENDED("sched-batch-to-the-child", "the same by another number", batch_to_the_child),
        ATTEMPT("sched-idle-by-attributes",
                "the same by the newer call",
                "seccomp",
                EPERM,
                CONTROL_USER,
                idle_by_attributes),
        ATTEMPT("nice-by-attributes",
                "the same by the newer call, too",
                "seccomp",
                EPERM,
                CONTROL_USER,
                nice_by_attributes),
        ATTEMPT("sched-fifo",
                "never be interrupted",
                "limits user capabilities",
                EPERM,
                GUEST,
                realtime_fifo),
        ATTEMPT("sched-rr",
                "never be interrupted, in turns",
                "limits user capabilities",
                EPERM,
                GUEST,
                realtime_rr),
        ATTEMPT("sched-deadline", "reserve a share of a processor", BY_ALL, EPERM, GUEST, deadline),
        ATTEMPT("rlimit-nofile", "have more descriptors", BY_CAPS, EPERM, GUEST, raise_files),
        ATTEMPT("rlimit-nproc", "have more processes", BY_CAPS, EPERM, GUEST, raise_processes),
        ATTEMPT("rlimit-sigpending",
                "have more queued signals",
                BY_CAPS,
                EPERM,
                GUEST,
                raise_signals),
        ATTEMPT("rlimit-msgqueue", "have more message queues", BY_CAPS, EPERM, GUEST, raise_queues),
        ATTEMPT("mlock", "lock much memory", "limits user", ENOMEM, ROOT, lock_memory),
        ATTEMPT("pipe-size",
                "have pipes that are larger than others'",
                BY_CAPS,
                EPERM,
                GUEST,
                large_pipe),
        {.name = NULL},
};
