/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Processes are eventfds: readable is ended. What needs root (owners, cgroups, namespaces,
 * the network) says yes, or fails when the input wants it to. The linker's --wrap puts the
 * system calls among them in the launcher's way.
 */

#include "fuzz_launcher_fakes.h"

#include <assert.h>
#include <errno.h>
#include <linux/sched.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "ipc/unpack_proto.h"
#include "sandbox/cgroup.h"
#include "sandbox/net_plan.h"
#include "sandbox/net_policy.h"

#define PROCESSES_MAX 1024

typedef struct FakeProcess {
        int fd; /* ours; the launcher has another one of the same eventfd */
        int launcher_fd;
        bool is_child; /* of the store */
        int result;
        UnpackMode mode;
        int out_fd, record_fd;
} FakeProcess;

SandboxHost *const fake_host = (SandboxHost *)&fake_now_usec;
uint64_t fake_now_usec = USEC_PER_SEC;
uint8_t fake_fail_next;
bool fake_supervisor_killed;
static FakeProcess processes[PROCESSES_MAX];
static unsigned n_processes;

static int fails(void) {
        static const int errors[] = {ENOMEM, EBUSY, EPROTO, ENOPROTOOPT, ESRCH, ENOENT, EAGAIN};
        uint8_t how = fake_fail_next;

        /* each call takes a bit: what fails is anywhere in a start */
        fake_fail_next >>= 1;
        return (how & 1) == 0 ? 0 : -errors[how % ARRAY_SIZE(errors)];
}

static void process_forget(FakeProcess *p) {
        (void)safe_close(p->fd);
        (void)safe_close(p->out_fd);
        (void)safe_close(p->record_fd);
        *p = processes[--n_processes];
}

static FakeProcess *process_of(int launcher_fd) {
        for (unsigned i = 0; i < n_processes; i++)
                if (processes[i].launcher_fd == launcher_fd)
                        return &processes[i];
        return NULL;
}

static FakeProcess *process_new(int *ret_fd) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), launcher_fd;
        FakeProcess *p;

        launcher_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        p = process_of(launcher_fd); /* the launcher has closed it meanwhile */
        if (p)
                process_forget(p);
        if (n_processes == PROCESSES_MAX) {
                (void)close(fd);
                (void)close(launcher_fd);
                return NULL;
        }
        p = &processes[n_processes++];
        *p = (FakeProcess){.fd = fd, .launcher_fd = launcher_fd, .out_fd = -1, .record_fd = -1};
        *ret_fd = launcher_fd;
        return p;
}

static void process_end(FakeProcess *p) {
        uint64_t one = 1;

        (void)!write(p->fd, &one, sizeof(one));
}

static FakeProcess *pick(unsigned which, bool is_child) {
        for (unsigned i = 0; i < n_processes; i++)
                if (processes[(which + i) % n_processes].is_child == is_child)
                        return &processes[(which + i) % n_processes];
        return NULL;
}

void fake_dyno_end(unsigned which) {
        FakeProcess *p = pick(which, false);

        if (p)
                process_end(p);
}

void fake_reset(void) {
        while (n_processes > 0)
                process_forget(&processes[0]);
        fake_fail_next = 0;
        fake_forget_policies();
}

/* ---- the store's children ---- */

void fake_child_end(Input *in) {
        static const int results[] = {0, 0, 0, -EBADMSG, -EPROTO, -ENOSPC};
        FakeProcess *p = pick(input_byte(in), true);
        FetchRecord record = {.bytes = 4};

        if (!p)
                return;
        p->result = results[input_pick(in, ARRAY_SIZE(results))];
        memset(record.digest, (int)input_pick(in, 4), sizeof(record.digest));
        if (p->mode == UNPACK_FETCH && p->record_fd >= 0) {
                uint8_t how = input_byte(in);

                (void)!write(p->out_fd, "tar\n", 4);
                if (how > 250) /* it was taken over, and lies */
                        record.bytes = how;
                (void)!write(p->record_fd, &record, how == 249 ? 7 : sizeof(record));
        }
        if (p->out_fd >= 0 && p->mode == UNPACK_EXTRACT_SLUG)
                (void)mkdirat(p->out_fd, "tree", 0755);
        process_end(p);
}

int unpack_spawn(int program_fd, const char *profile, const UnpackJob *job, UnpackChild *ret) {
        FakeProcess *p;
        int r = fails();

        if (r < 0)
                return r;
        p = process_new(&ret->pidfd);
        if (!p)
                return -EAGAIN;
        p->is_child = true;
        p->mode = job->mode;
        p->out_fd = job->mode == UNPACK_REMOVE ? -1 : fcntl(job->out_fd, F_DUPFD_CLOEXEC, 3);
        p->record_fd = job->mode == UNPACK_FETCH ? fcntl(job->record_fd, F_DUPFD_CLOEXEC, 3) : -1;
        ret->pid = 4711;
        return 0;
}

int unpack_reap(UnpackChild *child) {
        FakeProcess *p = process_of(child->pidfd);
        int r = p ? p->result : -EPROTO;

        if (p)
                process_forget(p);
        child->pidfd = safe_close(child->pidfd);
        return r;
}

void unpack_child_kill(UnpackChild *child) {
        (void)!unpack_reap(child);
}

static long fake_clone(const struct clone_args *args) {
        FakeProcess *p = process_new((int *)(uintptr_t)args->pidfd);

        if (!p) {
                errno = EAGAIN;
                return -1;
        }
        p->is_child = true;
        p->mode = UNPACK_REMOVE;
        return 4712;
}

static int fake_signal(int pidfd) {
        FakeProcess *p = process_of(pidfd);
        int r = fails();

        if (p && p->is_child) { /* SIGKILL: it ends, and that is seen later */
                p->result = -EPROTO;
                process_end(p);
        }
        errno = -r;
        return r < 0 ? -1 : 0;
}

long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
        long r = -1;
        va_list ap;

        va_start(ap, number);
        if (number == SYS_clone3)
                r = fake_clone(va_arg(ap, const struct clone_args *));
        else if (number == SYS_pidfd_send_signal)
                r = fake_signal(va_arg(ap, int));
        else
                abort();
        va_end(ap);
        return r;
}

/* ---- what only root may ---- */

uint64_t __wrap_clock_boottime_usec(void);
uint64_t __wrap_clock_boottime_usec(void) {
        return fake_now_usec;
}

int __wrap_setresuid(uid_t real, uid_t effective, uid_t saved);
int __wrap_setresuid(uid_t real, uid_t effective, uid_t saved) {
        return 0;
}

int __wrap_fchown(int fd, uid_t uid, gid_t gid);
int __wrap_fchown(int fd, uid_t uid, gid_t gid) {
        return 0;
}

int __wrap_fchownat(int fd, const char *name, uid_t uid, gid_t gid, int flags);
int __wrap_fchownat(int fd, const char *name, uid_t uid, gid_t gid, int flags) {
        return 0;
}

int __wrap_fchmodat(int fd, const char *name, mode_t mode, int flags);
int __wrap_fchmodat(int fd, const char *name, mode_t mode, int flags) {
        int r;

        (void)mode; /* 0420, which only root can open for both */
        r = openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (r >= 0) {
                char path[64];

                (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", r);
                (void)chmod(path, 0600);
                (void)close(r);
        }
        return 0;
}

/* ---- rooms below ---- */

int sandbox_slot_prepare(
        SandboxHost *host, uint32_t index, SandboxSlot *ret, SandboxError *reterr) {
        ret->index = index;
        ret->uid = 1001024 + index;
        return fails();
}

void sandbox_slot_release(SandboxSlot *slot) {
        slot->netns_fd = safe_close(slot->netns_fd);
        slot->userns_fd = safe_close(slot->userns_fd);
        slot->slug_idmap_fd = safe_close(slot->slug_idmap_fd);
}

static int start_process(SandboxDyno *ret, SandboxError *reterr) {
        int r = fails();

        if (r < 0) {
                *reterr = (SandboxError){
                        .layer = LAYER_SECCOMP, .error = -r, .detail = "is not as it must be"};
                return r;
        }
        ret->pid = 4713;
        return process_new(&ret->pidfd) ? 0 : -EAGAIN;
}

/* A process that is held up is one whose descriptor is never readable. */
struct SandboxStart {
        SandboxDyno process;
        int fd;
};

int sandbox_launch_begin(
        SandboxHost *host, const SandboxLaunch *launch, SandboxStart **ret, SandboxError *reterr) {
        bool held_up = (fake_fail_next & 0x80) != 0;
        SandboxDyno process = SANDBOX_DYNO_INIT;
        int r = start_process(&process, reterr);

        if (r < 0)
                return r;
        process.cgroup_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        *ret = malloc(sizeof(**ret));
        if (!*ret)
                abort();
        (*ret)->process = process;
        (*ret)->fd = eventfd(held_up ? 0 : 1, EFD_CLOEXEC | EFD_NONBLOCK);
        return 0;
}

int sandbox_start_fd(const SandboxStart *start) {
        return start->fd;
}

int sandbox_start_continue(SandboxStart *start, SandboxError *reterr) {
        int r = fails();

        if (r < 0)
                *reterr = (SandboxError){.layer = LAYER_SECCOMP, .detail = "is not as it must be"};
        return r == -EAGAIN ? SANDBOX_E_AGAIN : r;
}

void sandbox_start_take(SandboxStart *start, SandboxDyno *ret) {
        *ret = start->process;
        start->process = (SandboxDyno)SANDBOX_DYNO_INIT;
}

SandboxStart *sandbox_start_free(SandboxStart *start) {
        if (!start)
                return NULL;
        sandbox_dyno_clear(&start->process);
        (void)close(start->fd);
        free(start);
        return NULL;
}

struct SandboxJoin {
        int fd;
};

int sandbox_exec_begin(
        SandboxHost *host,
        const SandboxExec *exec,
        SandboxJoin **ret,
        int *ret_pidfd,
        SandboxError *reterr) {
        SandboxDyno process = SANDBOX_DYNO_INIT;
        bool held_up = (fake_fail_next & 0x80) != 0;
        int r = start_process(&process, reterr);

        if (r < 0)
                return r;
        *ret = malloc(sizeof(**ret));
        if (!*ret)
                abort();
        (*ret)->fd = eventfd(held_up ? 0 : 1, EFD_CLOEXEC | EFD_NONBLOCK);
        *ret_pidfd = process.pidfd;
        return 0;
}

int sandbox_join_fd(const SandboxJoin *join) {
        return join->fd;
}

int sandbox_join_continue(SandboxJoin *join, SandboxError *reterr) {
        int r = fails();

        if (r < 0)
                *reterr = (SandboxError){.layer = LAYER_SECCOMP, .detail = "is not as it must be"};
        return r == -EAGAIN ? SANDBOX_E_AGAIN : r;
}

SandboxJoin *sandbox_join_free(SandboxJoin *join) {
        if (join)
                (void)close(join->fd);
        free(join);
        return NULL;
}

int sandbox_adopt(SandboxHost *host, const char *id, uid_t uid, pid_t pid, SandboxDyno *ret) {
        SandboxError error;
        int r = start_process(ret, &error);

        if (r == 0)
                ret->cgroup_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return r;
}

/* A tmpfs each: nothing to discard. */
const Scratch *sandbox_host_scratch(const SandboxHost *host) {
        static const Scratch none = SCRATCH_INIT;

        return &none;
}

void sandbox_host_limit(SandboxHost *host, uint64_t memory_total, LaunchStart *start) {
        start->disk = start->disk_files = 1;
}

int sandbox_inspect(
        SandboxHost *host,
        const SandboxDyno *dyno,
        const SandboxExpect *expect,
        LaunchLayerReport ret[_LAYER_MAX]) {
        return fails();
}

void sandbox_dyno_clear(SandboxDyno *dyno) {
        FakeProcess *p = process_of(dyno->pidfd);

        if (dyno->pidfd >= 0 && p)
                process_forget(p);
        dyno->pidfd = safe_close(dyno->pidfd);
        dyno->cgroup_fd = safe_close(dyno->cgroup_fd);
}

int cgroup_open(int root_fd, const char *name) {
        return fails() < 0 ? -ENOENT : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int cgroup_kill(int cgroup_fd) {
        return fails();
}

int cgroup_remove(int root_fd, const char *name) {
        return fails();
}

int cgroup_read_counters(int cgroup_fd, CgroupCounters *ret) {
        int r = fails();

        *ret = (CgroupCounters){.oom_kill = r == -EBUSY, .pids_max = r == -ENOENT};
        return r == -EPROTO ? r : 0;
}

bool net_slot_usable(const Net *net, uint32_t slot) {
        return true;
}

int net_slot_create(Net *net, uint32_t slot, int *ret_netns_fd) {
        int r = fails();

        if (r == 0)
                *ret_netns_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return r;
}

int net_slot_begin(Net *net, uint32_t slot, int netns_fd, const NetDyno *dyno) {
        return fails();
}

int net_slot_listens(Net *net, uint32_t slot, bool listens) {
        return fails();
}

int net_slot_destroy(Net *net, uint32_t slot) {
        return fails();
}

int net_web_allow(Net *net, uint32_t slot, uint32_t port) {
        return fails();
}

int net_check_slot(Net *net, uint32_t slot, int netns_fd, char *detail, size_t size) {
        (void)snprintf(detail, size, "slot %u", slot);
        return fails();
}

int net_start(Net *net, const NetKeep *keep, size_t n_keep) {
        return fails();
}

const char *net_damage(const Net *net) {
        return (fake_fail_next & 0x40) != 0 ? "the nftables table was changed by nft (PID 4711)"
                                            : NULL;
}

int net_handle_watch(Net *net) {
        return fails();
}

/* ---- policies ---- */

static LaunchPolicy policies[64];
static size_t n_policies;

const LaunchPolicy *net_policy_find(const Net *net, uint32_t app_number) {
        for (size_t i = 0; i < n_policies; i++)
                if (policies[i].app_number == app_number)
                        return &policies[i];
        return NULL;
}

size_t net_policy_count(const Net *net) {
        return n_policies;
}

int net_policy_check(Net *net, const LaunchPolicy *policy, uint16_t *ret_taken) {
        return fails();
}

int net_policy_restore(Net *net, const LaunchPolicy *policy) {
        LaunchMessage msg = {0};
        size_t i = 0;

        /* wherever it comes from: what gets here goes into the kernel's table */
        msg.policy = *policy;
        msg.header.type = LAUNCH_POLICY;
        assert(launch_message_check(&msg, sizeof(msg.policy), 0, LAUNCH_FROM_SUPERVISOR) == 0);

        while (i < n_policies && policies[i].app_number != policy->app_number)
                i++;
        if (i == ARRAY_SIZE(policies))
                return -ENOMEM;
        policies[i] = *policy;
        if (i == n_policies)
                n_policies++;
        return 0;
}

int net_policy_set(Net *net, const LaunchPolicy *policy) {
        int r = fails();

        return r == -EBUSY ? NET_E_FIREWALL : r < 0 ? r : net_policy_restore(net, policy);
}

void fake_forget_policies(void) {
        n_policies = 0;
}

uint32_t host_missing(const Launcher *launcher) {
        return UINT32_C(1) << MISSING_QUOTA;
}

void host_report(Launcher *launcher, LaunchInspected *ret) {
        (void)launcher;
        ret->result = fails();
}

void services_restart_supervisor(Launcher *launcher) {
        fake_supervisor_killed = true;
}

/* ---- what is there at first ---- */

static void make_object(const char *folder, const char *kind, uint8_t byte) {
        uint8_t digest[DIGEST_SIZE];
        char hex[DIGEST_TEXT_SIZE], name[160], marker[128];
        struct statx st;
        int fd, n;

        memset(digest, byte, sizeof(digest));
        format_digest(digest, hex);
        (void)snprintf(name, sizeof(name), "state/archives/%s", hex);
        fuzz_write(folder, name, "tar\n", 4);
        (void)snprintf(name, sizeof(name), "state/%ss/%s", kind, hex);
        fuzz_mkdir(folder, name);
        (void)snprintf(name, sizeof(name), "state/%ss/%s/tree", kind, hex);
        fuzz_mkdir(folder, name);

        (void)snprintf(name, sizeof(name), "state/%ss/%s", kind, hex);
        fd = fuzz_open(folder, name, O_PATH);
        if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) < 0)
                abort();
        (void)close(fd);
        n = snprintf(
                marker,
                sizeof(marker),
                "synced %llu %lld.%09u",
                (unsigned long long)st.stx_ino,
                (long long)st.stx_btime.tv_sec,
                st.stx_btime.tv_nsec);
        (void)snprintf(name, sizeof(name), "state/boot/%s-%s", kind, hex);
        fuzz_write(folder, name, marker, (size_t)n);
}

void fake_objects(const char *folder) {
        static const char *const names[] = {"archives", "stacks", "slugs", "boot", "tmp"};
        char name[64];

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                (void)snprintf(name, sizeof(name), "state/%s", names[i]);
                fuzz_mkdir(folder, name);
        }
        make_object(folder, "stack", FAKE_STACK);
        make_object(folder, "slug", FAKE_SLUG);
}
