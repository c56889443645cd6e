/* SPDX-License-Identifier: Apache-2.0 */

/* What the launcher reports of a dyno's layers and of the host's; logs; figures. */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "base/build_config.h"
#include "base/file.h"
#include "supervisor/doctor_network.h"
#include "supervisor/dyno.h"

typedef struct InspectCall {
        Manager *manager;
        char id[DYNO_ID_SIZE];
        InspectDone done;
        void *userdata;
} InspectCall;

#define PUBLIC_PORTS_TEXT_SIZE 200 /* bytes: 16 of them */

static const char *layer_fix(const LaunchLayerReport *report) {
        return report->verdict == VERDICT_FAILED ? "herokuctl doctor" : "";
}

static void fill_layers(const LaunchInspected *inspected, LayerInfo layers[_LAYER_MAX]) {
        for (unsigned i = 0; i < _LAYER_MAX; i++)
                layers[i] = (LayerInfo){
                        .layer = launch_layer_to_string((LaunchLayer)i),
                        .verdict =
                                layer_verdict_to_string((LayerVerdict)inspected->layers[i].verdict),
                        .detail = inspected->layers[i].detail,
                        .fix = layer_fix(&inspected->layers[i]),
                };
}

/* "443, 443/udp" */
static void write_public_ports(const Config *config, char *text, size_t size) {
        size_t used = 0;

        text[0] = '\0';
        for (size_t i = 0; i < config->n_public_ports && used < size; i++)
                used += (size_t)snprintf(
                        text + used,
                        size - used,
                        "%s%u%s",
                        i > 0 ? ", " : "",
                        config->public_ports[i].port,
                        config->public_ports[i].protocol == IPPROTO_UDP ? "/udp" : "");
}

/* Root's own words, then what it does not know by name: "(service postgres:5432)". */
static void name_policy(const App *app, const LaunchInspected *inspected, char *buf, size_t size) {
        const Config *config = app->manager->config;
        const Policy *policy = &app->network.policy;
        size_t used = (size_t)snprintf(buf, size, "%s", inspected->layers[LAYER_NETWORK].detail);

        if (inspected->layers[LAYER_NETWORK].verdict == VERDICT_FAILED)
                return; /* what is wrong stands alone */
        for (size_t i = 0; i < policy->n_services && used < size; i++)
                used += (size_t)snprintf(
                        buf + used,
                        size - used,
                        "%s%s:%u%s%s",
                        i > 0 ? ", " : " (service ",
                        policy->services[i].name,
                        policy->services[i].port.port,
                        policy->services[i].port.protocol == IPPROTO_UDP ? "/udp" : "",
                        i + 1 == policy->n_services ? ")" : "");
        if (config->n_public_ports > 0 && used < size) {
                char ports[PUBLIC_PORTS_TEXT_SIZE];

                write_public_ports(config, ports, sizeof(ports));
                (void)snprintf(buf + used, size - used, " (public ports %s)", ports);
        }
}

static void on_inspected(const LaunchMessage *msg, void *userdata) {
        const LaunchInspected *inspected = &msg->inspected;
        InspectCall *call = userdata;
        Dyno *dyno = manager_dyno_by_id(call->manager, call->id);
        char address[DYNO_ADDRESS_SIZE], network[600];
        ManagerError error = {0};
        InspectInfo info = {0};

        if (!dyno || msg->header.type != LAUNCH_INSPECTED || inspected->result < 0) {
                (void)refuse(
                        &error,
                        DYNOD_ERROR_NO_SUCH_DYNO,
                        "%s does not run any more: there is nothing to inspect.",
                        call->id);
                call->done(&error, NULL, call->userdata);
                free(call);
                return;
        }

        dyno_info(dyno, &info.dyno, address);
        fill_layers(inspected, info.layers);
        name_policy(dyno->app, inspected, network, sizeof(network));
        info.layers[LAYER_NETWORK].detail = network;
        memcpy(info.phase_usec, inspected->phase_usec, sizeof(info.phase_usec));
        info.duration_usec = inspected->duration_usec;
        call->done(NULL, &info, call->userdata);
        free(call);
}

static int
inspect(Manager *manager,
        const char *app,
        const char *name,
        InspectCall *call,
        ManagerError *reterr) {
        LaunchMessage msg;
        App *found = NULL;
        Dyno *dyno = NULL;
        int r;

        r = manager_find_app(manager, app, &found, reterr);
        if (r == 0)
                r = manager_find_dyno(found, name, manager, &dyno, reterr);
        if (r != 0)
                return r;
        if (dyno->place != DYNO_PLACE_RUNNING)
                return refuse(
                        reterr,
                        DYNOD_ERROR_NO_SUCH_DYNO,
                        "%s is %s: there is no process to inspect.",
                        dyno->name,
                        dyno_state_to_string(dyno->state));

        memcpy(call->id, dyno->id, sizeof(call->id));
        memset(&msg, 0, sizeof(msg));
        msg.dyno.header.type = LAUNCH_INSPECT;
        field_set(msg.dyno.id, sizeof(msg.dyno.id), dyno->id);
        return launch_client_ask(manager->launch, &msg, NULL, on_inspected, call);
}

void manager_inspect_query(
        Manager *manager, const char *app, const char *dyno, InspectDone done, void *userdata) {
        _cleanup_free_ InspectCall *call = calloc(1, sizeof(*call));
        ManagerError error = {0};
        int r = -ENOMEM;

        if (call) {
                *call = (InspectCall){.manager = manager, .done = done, .userdata = userdata};
                r = inspect(manager, app, dyno, call, &error);
        }
        if (r == 0) {
                (void)TAKE_PTR(call); /* on_inspected() frees it */
                return;
        }
        if (r < 0)
                (void)refuse_errno(&error, r, "the dyno cannot be inspected");
        done(&error, NULL, userdata);
}

/* ---- doctor ---- */

typedef struct DoctorCall {
        Manager *manager;
        DoctorDone done;
        void *userdata;
} DoctorCall;

static void
add_check(DoctorInfo *info, const char *check, bool ok, const char *bad, const char *detail) {
        if (info->n_checks < ARRAY_SIZE(info->checks))
                info->checks[info->n_checks++] = (CheckInfo){
                        .check = check,
                        .verdict = ok ? "ok" : bad,
                        .detail = detail,
                        .fix = "",
                };
}

#define MB(bytes) ((unsigned long long)(bytes) >> 20)
#define DISK_LOW_BYTES (UINT64_C(1024) * 1024 * 1024) /* a stack alone takes some hundred MB */

static void check_memory(const Manager *manager, DoctorInfo *info, char *text, size_t size) {
        uint64_t wanted = manager_memory_wanted(manager);
        bool ok = manager->memory_total == 0 || wanted <= manager->memory_total;

        (void)snprintf(
                text,
                size,
                "formations and one-offs ask for %llu of %llu MB",
                MB(wanted),
                MB(manager->memory_total));
        add_check(info, "memory", ok, "warning", text);
        if (!ok)
                info->checks[info->n_checks - 1].fix =
                        "herokuctl ps:scale, or memory_overcommit in dynod.conf";
}

static void check_disk(const Manager *manager, DoctorInfo *info, char *text, size_t size) {
        struct statvfs st;
        uint64_t room;
        char path[512];

        /* Its own folder: the rest of the state folder is not ours to see. */
        (void)snprintf(path, sizeof(path), "%s/supervisor", manager->config->state_dir);
        if (statvfs(path, &st) < 0)
                return;
        room = (uint64_t)st.f_bavail * st.f_frsize;
        (void)snprintf(text, size, "%llu MB free in %s", MB(room), manager->config->state_dir);
        add_check(info, "disk", room >= DISK_LOW_BYTES, "warning", text);
}

static void check_resolvers(const Manager *manager, DoctorInfo *info, char *text, size_t size) {
        (void)snprintf(text, size, "%zu usable", manager->config->n_resolvers);
        add_check(info, "resolvers", manager->config->n_resolvers > 0, "failed", text);
        if (manager->config->n_resolvers == 0)
                info->checks[info->n_checks - 1].fix =
                        "Set resolvers = 9.9.9.9 in dynod.conf, then: systemctl reload dynod";
}

#define KERNEL_MAJOR 6 /* 6.1: idmapped mounts below an overlay, cgroup.kill, Landlock 2 */
#define KERNEL_MINOR 1

static bool kernel_is(unsigned major, unsigned minor, unsigned *ret_major, unsigned *ret_minor) {
        struct utsname name;
        char *end;

        *ret_major = *ret_minor = 0;
        if (uname(&name) < 0)
                return false;
        *ret_major = (unsigned)strtoul(name.release, &end, 10);
        *ret_minor = *end == '.' ? (unsigned)strtoul(end + 1, NULL, 10) : 0;
        return *ret_major > major || (*ret_major == major && *ret_minor >= minor);
}

static void check_kernel(DoctorInfo *info, char *text, size_t size) {
        unsigned major, minor;
        bool ok = kernel_is(KERNEL_MAJOR, KERNEL_MINOR, &major, &minor);

        (void)snprintf(
                text, size, "%u.%u (%d.%d or newer)", major, minor, KERNEL_MAJOR, KERNEL_MINOR);
        add_check(info, "kernel", ok, "failed", text);
        if (!ok)
                info->checks[info->n_checks - 1].fix =
                        "Install a newer kernel; Debian 12 and later have one";
}

/*
 * A crash in a dyno hands no core to a file or a program, whose limit it has; to a socket (@, of
 * Linux 6.16) the kernel writes whatever the limit is.
 */
static void check_core_dumps(DoctorInfo *info) {
        char pattern[128];
        bool socket =
                read_text_at(AT_FDCWD, "/proc/sys/kernel/core_pattern", pattern, sizeof(pattern)) >
                        0 &&
                pattern[0] == '@';

        add_check(
                info,
                "core dumps",
                !socket,
                "warning",
                socket ? "kernel.core_pattern names a socket: the host takes in the memory of "
                         "whatever crashes in a dyno"
                       : "a crash in a dyno leaves none");
        if (socket)
                info->checks[info->n_checks - 1].fix =
                        "sudo sysctl kernel.core_pattern=core, or a program's (|/path)";
}

/* From 6.14 on no module is looked for when a program has an unknown format. */
#define QUIET_KERNEL_MAJOR 6
#define QUIET_KERNEL_MINOR 14

#define GUARD_TEXT_SIZE 160

static void
check_guard(Guard guard, GuardState state, DoctorInfo *info, char text[GUARD_TEXT_SIZE]) {
        static const struct {
                const char *name, *holds, *gap, *without_lsm;
        } guards[_GUARD_MAX] = {
                [GUARD_MODULES] =
                        {"modules",
                         "no dyno has the host start modprobe",
                         "dynos can have the host start modprobe, again and again",
                         "Boot with bpf added to the kernel's option lsm=, or, if the host needs "
                         "no more modules: sudo sysctl kernel.modprobe="},
                [GUARD_LOCKS] =
                        {"file locks",
                         "no dyno fills the host's memory with file locks",
                         "a dyno can fill the host's memory with file locks",
                         "Boot with bpf added to the kernel's option lsm="},
                [GUARD_SOCKETS] =
                        {"sockets",
                         "no dyno fills the host's memory or time with its sockets",
                         "a dyno can fill the host's memory and time with its sockets",
                         "Boot with bpf added to the kernel's option lsm="},
                [GUARD_FOLDERS] =
                        {"folders",
                         "no dyno fills the host's memory with folders that it reads",
                         "a dyno can fill the host's memory with folders that it reads",
                         "Boot with bpf added to the kernel's option lsm="},
                [GUARD_FLIGHT] =
                        {"descriptors",
                         "no dyno slows the host's Unix sockets down",
                         "a dyno can slow the host's Unix sockets down, with descriptors in flight",
                         "Boot with bpf added to the kernel's option lsm="},
                [GUARD_INTERRUPTS] =
                        {"interrupts",
                         "no dyno keeps a processor's interrupts off for long",
                         "a dyno can keep a processor's interrupts off, with timers, epolls, "
                         "polls, processes and semaphores",
                         "Boot with bpf added to the kernel's option lsm="},
                [GUARD_TERMINALS] =
                        {"terminals",
                         "no dyno keeps the host's terminals waiting or their workers busy",
                         "a dyno can have the host wait for its terminals, or work for them",
                         "Boot with bpf added to the kernel's option lsm="},
                [GUARD_SEMAPHORES] =
                        {"semaphores",
                         "no dyno keeps who makes cgroups, links or mounts waiting for long",
                         "a dyno can have whoever makes cgroups, links or mounts on the host wait",
                         "Boot with bpf added to the kernel's option lsm="},
        };
        unsigned major, minor;
        bool quiet = guard == GUARD_MODULES &&
                     kernel_is(QUIET_KERNEL_MAJOR, QUIET_KERNEL_MINOR, &major, &minor);
        bool ok = state == GUARD_HOLDS || state == GUARD_NOT_NEEDED || quiet;

        if (state == GUARD_HOLDS)
                (void)snprintf(text, GUARD_TEXT_SIZE, "%s", guards[guard].holds);
        else if (ok)
                (void)snprintf(
                        text,
                        GUARD_TEXT_SIZE,
                        "%s",
                        state == GUARD_NOT_NEEDED ? "this host starts no modprobe"
                                                  : "this kernel looks for none for dynos");
        else
                (void)snprintf(
                        text,
                        GUARD_TEXT_SIZE,
                        "%s: %s",
                        state == GUARD_NO_LSM ? "the kernel runs without the security module bpf"
                                              : "its program is not in /sys/fs/bpf",
                        guards[guard].gap);
        add_check(info, guards[guard].name, ok, "warning", text);
        if (!ok)
                info->checks[info->n_checks - 1].fix =
                        state == GUARD_NO_LSM
                                ? guards[guard].without_lsm
                                : "sudo systemctl restart dynod; its log says what is in the way";
}

/* The first policy that root does not have, or not all of, is the one to be named. */
static void check_policies(Manager *manager, DoctorInfo *info, char *text, size_t size) {
        unsigned n = 0, published = 0, services = 0;

        for (const App *app = manager->apps; app; app = app->next) {
                const AppNetwork *network = &app->network;
                char problem[sizeof(network->problem)];

                network_problem(app, problem, sizeof(problem));
                if (problem[0]) {
                        (void)snprintf(text, size, "%s: %s", app->row.name, problem);
                        add_check(info, "policies", false, "warning", text);
                        info->checks[info->n_checks - 1].fix =
                                network->problem[0]
                                        ? "herokuctl firewall -a APP shows it; its dynos start "
                                          "when it is in force"
                                        : "See ip -4 -brief address; herokuctl firewall:source "
                                          "auto -a APP does without it";
                        return;
                }
                n += policy_serial(&network->policy) != 0;
                published += (unsigned)network->policy.n_published;
                services += (unsigned)network->policy.n_services;
        }

        if (n == 0)
                (void)snprintf(text, size, "no app has one: dynos reach all networks outside");
        else
                (void)snprintf(
                        text,
                        size,
                        "%u app%s with one: %u published port%s, %u service%s of the host opened",
                        n,
                        n == 1 ? "" : "s",
                        published,
                        published == 1 ? "" : "s",
                        services,
                        services == 1 ? "" : "s");
        add_check(info, "policies", true, "warning", text);
}

/* An opening for all dynos: whoever looks after the host should see it. */
static void check_public_ports(
        const Manager *manager,
        const LaunchInspected *hosted,
        DoctorInfo *info,
        char *text,
        size_t size) {
        unsigned left_out = hosted->public_left_out;
        char ports[PUBLIC_PORTS_TEXT_SIZE];
        int used;

        if (manager->config->n_public_ports == 0)
                return;
        write_public_ports(manager->config, ports, sizeof(ports));
        used = snprintf(text, size, "%s: all dynos reach them at public addresses", ports);
        if (left_out > 0 && used > 0 && (size_t)used < size)
                (void)snprintf(
                        text + used,
                        size - (size_t)used,
                        ", but not at %u more of them: so many at once are too many",
                        left_out);
        add_check(info, "public ports", left_out == 0, "warning", text);
}

static void check_stacks(const Manager *manager, DoctorInfo *info, char *text, size_t size) {
        unsigned n = 0;

        for (const Stack *stack = manager->stacks; stack; stack = stack->next)
                n++;
        (void)snprintf(text, size, "%u imported", n);
        add_check(info, "stacks", n > 0, "warning", text);
        if (n == 0)
                info->checks[info->n_checks - 1].fix =
                        "herokuctl stacks:import debian-12 ROOT.tar.zst";
}

static void on_hosted(const LaunchMessage *msg, void *userdata) {
        DoctorCall *call = userdata;
        Manager *manager = call->manager;
        char kernel[80], memory[160], disk[400], resolvers[80], stacks[80], policies[300],
                public_ports[320], guards[_GUARD_MAX][GUARD_TEXT_SIZE];
        ManagerError error = {0};
        DoctorInfo info = {.can_start = true};
        DoctorNetwork network = {.n = 0};

        if (msg->header.type != LAUNCH_HOSTED || msg->inspected.result < 0) {
                (void)refuse(&error, DYNOD_ERROR_FAILED, "The launcher cannot look at the host.");
                call->done(&error, NULL, call->userdata);
                free(call);
                return;
        }

        fill_layers(&msg->inspected, info.layers);
        for (unsigned i = 0; i < _LAYER_MAX; i++) {
                info.layers[i].fix = "";
                info.can_start =
                        info.can_start && msg->inspected.layers[i].verdict != VERDICT_FAILED;
                info.gaps = info.gaps || msg->inspected.layers[i].verdict == VERDICT_ALLOWED;
        }
        check_kernel(&info, kernel, sizeof(kernel));
        check_core_dumps(&info);
        for (unsigned i = 0; i < _GUARD_MAX; i++)
                check_guard((Guard)i, (GuardState)msg->inspected.guards[i], &info, guards[i]);
        check_memory(manager, &info, memory, sizeof(memory));
        check_disk(manager, &info, disk, sizeof(disk));
        doctor_check_network(manager, &msg->inspected, &info, &network);
        check_resolvers(manager, &info, resolvers, sizeof(resolvers));
        check_stacks(manager, &info, stacks, sizeof(stacks));
        check_policies(manager, &info, policies, sizeof(policies));
        check_public_ports(manager, &msg->inspected, &info, public_ports, sizeof(public_ports));
        call->done(NULL, &info, call->userdata);
        free(call);
}

void manager_doctor_query(Manager *manager, DoctorDone done, void *userdata) {
        DoctorCall *call = calloc(1, sizeof(*call));
        ManagerError error = {0};
        LaunchMessage msg;
        int r = -ENOMEM;

        if (call) {
                *call = (DoctorCall){.manager = manager, .done = done, .userdata = userdata};
                memset(&msg, 0, sizeof(msg));
                msg.header.type = LAUNCH_HOST;
                r = launch_client_ask(manager->launch, &msg, NULL, on_hosted, call);
        }
        if (r < 0) {
                free(call);
                (void)refuse_errno(&error, r, "the host cannot be looked at");
                done(&error, NULL, userdata);
        }
}

/* ---- logs, host ---- */

int manager_logs(
        Manager *manager, const char *app, bool follow, int *ret_fd, ManagerError *reterr) {
        App *found = NULL;
        int fd[2], r;

        if (app[0] != '\0') {
                r = manager_find_app(manager, app, &found, reterr);
                if (r != 0)
                        return r;
        }

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
                return -errno;
        (void)shutdown(fd[0], SHUT_WR); /* it only reads */
        r = log_client_stream(
                manager->log, found ? (uint32_t)found->row.id : 0, app, follow, fd[1]);
        if (r < 0) {
                (void)safe_close(fd[0]);
                return r;
        }

        *ret_fd = fd[0];
        return 0;
}

void manager_host_info(Manager *manager, HostInfo *ret) {
        *ret = (HostInfo){
                .instance = manager->config->instance,
                .version = DYNOD_VERSION,
                .started_usec = manager->started_usec,
                .dynos_max = manager->config->max_dynos,
                .memory_total = manager->memory_total,
                .memory_promised = manager_memory_promised(manager),
                .allow_missing = manager->allow_missing,
        };
        for (const App *app = manager->apps; app; app = app->next)
                ret->apps++;
        for (const Stack *stack = manager->stacks; stack; stack = stack->next)
                ret->stacks++;
        for (const Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                ret->dynos += dyno_is_alive(dyno);
}
