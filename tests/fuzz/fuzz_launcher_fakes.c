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
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "ipc/unpack_proto.h"
#include "launcher/child.h"
#include "sandbox/cgroup.h"
#include "sandbox/net_plan.h"
#include "sandbox/net_policy.h"

#define PROCESSES_MAX 1024

typedef enum FakeKind {
        FAKE_DYNO,  /* or a ps:exec */
        FAKE_CHILD, /* of the store, or the sweeper */
        FAKE_SERVICE,
} FakeKind;

typedef struct FakeProcess {
        int fd; /* ours; the launcher has another one of the same eventfd */
        int launcher_fd;
        FakeKind kind;
        int result;
        UnpackMode mode;
        int out_fd, record_fd;
        char swept[DYNO_ID_SIZE]; /* whose trash it empties */
        unsigned service;
} FakeProcess;

SandboxHost *const fake_host = (SandboxHost *)&fake_now_usec;
uint64_t fake_now_usec = USEC_PER_SEC;
uint16_t fake_fail_next;
int fake_service_fd[2] = {-EBADF, -EBADF};
static FakeProcess processes[PROCESSES_MAX];
static unsigned n_processes;

static int fails(void) {
        static const int errors[] = {ENOMEM, EBUSY, EPROTO, ENOPROTOOPT, ESRCH, ENOENT, EAGAIN};
        uint16_t how = fake_fail_next;

        /* each call takes a bit: what fails is anywhere in a start */
        fake_fail_next >>= 1;
        return (how & 1) == 0 ? 0 : -errors[how % ARRAY_SIZE(errors)];
}

static bool is_held_up(void) {
        return (fake_fail_next & 0x80) != 0;
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

static FakeProcess *pick(unsigned which, FakeKind kind) {
        for (unsigned i = 0; i < n_processes; i++)
                if (processes[(which + i) % n_processes].kind == kind)
                        return &processes[(which + i) % n_processes];
        return NULL;
}

void fake_dyno_end(unsigned which) {
        FakeProcess *p = pick(which, FAKE_DYNO);

        if (p)
                process_end(p);
}

static void forget_news(void);
static void forget_trash(void);

void fake_reset(void) {
        while (n_processes > 0)
                process_forget(&processes[0]);
        for (size_t i = 0; i < ARRAY_SIZE(fake_service_fd); i++)
                fake_service_fd[i] = safe_close(fake_service_fd[i]);
        fake_fail_next = 0;
        fake_forget_policies();
        forget_trash();
        forget_news();
}

/* ---- supervisor and logger ---- */

static bool is_broken(int fd) {
        struct pollfd end = {.fd = fd, .events = POLLRDHUP};

        return poll(&end, 1, 0) != 0 && (end.revents & (POLLRDHUP | POLLHUP)) != 0;
}

int child_spawn(const ChildSpec *spec, pid_t *ret_pid, int *ret_pidfd) {
        unsigned service = strstr(spec->path, "dynod-logger") ? 1 : 0;
        FakeProcess *p;
        int r = fails();

        if (r < 0)
                return r;
        assert(!is_broken(spec->fds[0])); /* whatever its predecessor did */
        p = process_new(ret_pidfd);
        if (!p)
                return -EAGAIN;
        p->kind = FAKE_SERVICE;
        p->service = service;
        (void)safe_close(fake_service_fd[service]);
        fake_service_fd[service] = fcntl(spec->fds[0], F_DUPFD_CLOEXEC, 3);
        *ret_pid = 4714;
        return 0;
}

int child_wait(int pidfd) {
        FakeProcess *p = process_of(pidfd);

        if (!p)
                return -ECHILD;
        fake_service_fd[p->service] = safe_close(fake_service_fd[p->service]);
        process_forget(p);
        return 128 + SIGKILL;
}

void fake_service_end(unsigned service) {
        for (unsigned i = 0; i < n_processes; i++)
                if (processes[i].kind == FAKE_SERVICE && processes[i].service == service)
                        process_end(&processes[i]);
}

int host_listen(Launcher *launcher) {
        const struct sockaddr_un address = {.sun_family = AF_UNIX}; /* any, unix(7): autobind */
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(sa_family_t)) < 0 ||
            listen(fd, 8) < 0)
                abort();
        launcher->listen_fd = fd;
        return 0;
}

void fake_check_listener(int fd) {
        assert(!is_broken(fd));
}

/* ---- what dynos leave in scratch ---- */

#define TRASH_MAX 8

typedef struct Trash {
        char id[DYNO_ID_SIZE]; /* "": none */
        bool empty, aside;
} Trash;

static Trash trash[TRASH_MAX];
static char sweeps_next[DYNO_ID_SIZE]; /* what was asked for last */

static void forget_trash(void) {
        memset(trash, 0, sizeof(trash));
}

static Trash *trash_of(const char *id) {
        for (size_t i = 0; i < TRASH_MAX; i++)
                if (strcmp(trash[i].id, id) == 0)
                        return &trash[i];
        return NULL;
}

int scratch_discard(const Scratch *scratch, const char *id) {
        Trash *place = trash_of(id);
        int r = fails();

        if (r < 0)
                return r;
        if (!place)
                place = trash_of("");
        if (!place)
                return 0; /* it wrote nothing */
        *place = (Trash){.empty = false};
        field_set(place->id, sizeof(place->id), id);
        return 0;
}

int scratch_discard_others(
        const Scratch *scratch, bool (*is_known)(void *, const char *), void *userdata) {
        for (size_t i = 0; i < TRASH_MAX; i++)
                trash[i].aside = false;
        return fails();
}

int scratch_check_room(const Scratch *scratch, const LaunchStart *start) {
        return fails() < 0 ? -EDQUOT : 0;
}

int scratch_next_trash(
        const Scratch *scratch, const char *after, char ret_id[DYNO_ID_SIZE], int *ret_fd) {
        const Trash *last = after[0] ? trash_of(after) : NULL;
        size_t first = last ? (size_t)(last - trash) + 1 : 0;
        int r = fails();

        for (size_t i = 0; i < TRASH_MAX && r == 0; i++) {
                const Trash *next = &trash[(first + i) % TRASH_MAX];

                if (next->id[0] == '\0' || next->aside)
                        continue;
                field_set(ret_id, DYNO_ID_SIZE, next->id);
                field_set(sweeps_next, sizeof(sweeps_next), next->id);
                *ret_fd = open("/dev/null", O_PATH | O_CLOEXEC);
                return 1;
        }
        return r;
}

int scratch_end_trash(const Scratch *scratch, const char *id) {
        Trash *ended = trash_of(id);

        if (ended && !ended->empty)
                ended->aside = true;
        else if (ended)
                *ended = (Trash){.empty = false};
        return ended && ended->aside ? -ENOTEMPTY : 0;
}

bool fake_trash_is_left(void) {
        for (size_t i = 0; i < TRASH_MAX; i++)
                if (trash[i].id[0] && !trash[i].aside)
                        return true;
        return false;
}

/* ---- the store's children, and the sweeper ---- */

static void child_does_its_job(FakeProcess *p) {
        Trash *emptied = p->swept[0] ? trash_of(p->swept) : NULL;

        if (emptied && p->result == 0)
                emptied->empty = true;
        process_end(p);
}

void fake_sweeper_end(void) {
        for (unsigned i = 0; i < n_processes; i++)
                if (processes[i].swept[0])
                        child_does_its_job(&processes[i]);
}

void fake_child_end(Input *in) {
        static const int results[] = {0, 0, 0, -EBADMSG, -EPROTO, -ENOSPC};
        FakeProcess *p = pick(input_byte(in), FAKE_CHILD);
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
        child_does_its_job(p);
}

int unpack_spawn(int program_fd, const char *profile, const UnpackJob *job, UnpackChild *ret) {
        FakeProcess *p;
        int r = fails();

        if (r < 0)
                return r;
        p = process_new(&ret->pidfd);
        if (!p)
                return -EAGAIN;
        p->kind = FAKE_CHILD;
        p->mode = job->mode;
        if (job->root_uid != 0) /* the sweeper's, which was told of it just now */
                field_set(p->swept, sizeof(p->swept), sweeps_next);
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
        p->kind = FAKE_CHILD;
        p->mode = UNPACK_REMOVE;
        return 4712;
}

static int fake_signal(int pidfd) {
        FakeProcess *p = process_of(pidfd);
        int r = p && p->kind == FAKE_SERVICE ? 0 : fails();

        if (p && p->kind != FAKE_DYNO) { /* SIGKILL: it ends, and that is seen later */
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
                        .layer = LAYER_SECCOMP, .error = -r, .detail = "b\xc3\xbcro0 is down"};
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
        bool held_up = is_held_up();
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
                *reterr = (SandboxError){.layer = LAYER_SECCOMP, .detail = "b\xc3\xbcro0 is down"};
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
        bool held_up = is_held_up();
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
        (void)snprintf(detail, size, "slot %u of \x1b", slot);
        return fails();
}

int net_start(Net *net, const NetKeep *keep, size_t n_keep) {
        return fails();
}

const char *net_damage(const Net *net) {
        return (fake_fail_next & 0x100) != 0 ? "the nftables table was changed by nft (PID 4711)"
                                             : NULL;
}

/* The kernel's news: readable when there are some. */
static int news_fd = -EBADF;

int net_watch_fd(const Net *net) {
        if (news_fd < 0)
                news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return news_fd;
}

void fake_network_change(void) {
        (void)!eventfd_write(news_fd, 1);
}

int net_handle_watch(Net *net) {
        eventfd_t news;

        (void)!eventfd_read(news_fd, &news);
        return fails();
}

static void forget_news(void) {
        news_fd = safe_close(news_fd);
}

/* ---- policies ---- */

static LaunchPolicy policies[64];
static size_t n_policies, n_said;

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

bool net_policy_source_is_gone(const Net *net, uint32_t app_number) {
        const LaunchPolicy *policy = net_policy_find(net, app_number);

        return policy && policy->fixed_source % 2 == 1;
}

bool net_policy_source_news(Net *net, uint32_t *ret_app_number) {
        if (n_policies == n_said)
                return false;
        *ret_app_number = policies[n_said++].app_number;
        return true;
}

void fake_forget_policies(void) {
        n_policies = n_said = 0;
}

uint32_t sandbox_host_missing(const SandboxHost *host) {
        return 0;
}

uint32_t host_missing(const Launcher *launcher) {
        return UINT32_C(1) << MISSING_QUOTA;
}

void host_report(Launcher *launcher, LaunchInspected *ret) {
        (void)launcher;
        ret->result = fails();
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
