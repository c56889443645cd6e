/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dynod-scope INSTANCE GRACE_SECONDS UID TASKS: makes INSTANCE-dynos.scope if it is missing,
 * sets its limits and writes the path of its cgroup to descriptor 3. Short-lived, so that the
 * launcher needs no D-Bus library.
 *
 * Dynos live in a scope of their own, never below dynod.service, because systemd 252
 * cannot restart a service whose cgroup has delegated children. A scope ends with its
 * last process, so one idle process, the keeper, stays in a leaf of it, under a uid that is
 * nobody else's, for a process of the same one could end it.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <systemd/sd-bus.h>

#include "base/file.h"
#include "base/log.h"
#include "base/names.h"
#include "base/parse.h"
#include "confine/confine.h"

#define RESULT_FD 3
#define JOB_TIMEOUT_USEC (20 * USEC_PER_SEC)

/*
 * All dynos together against one service (100), when the processors are busy: dynod.service has
 * a fifth then, to answer with, and a logger that tenants flood takes no more from the others.
 */
#define CPU_WEIGHT UINT64_C(400)

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"

static _Noreturn void keep(uid_t uid) {
        (void)prctl(PR_SET_NAME, "dynod-keeper", 0, 0, 0);
        (void)setsid();
        (void)syscall(SYS_close_range, 0, ~0U, 0);
        /* Nothing is left to do for it but to be there; a failure to drop root ends it. */
        if (chdir("/") < 0 || setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
            setresuid(uid, uid, uid) < 0 || confine_drop_capabilities() < 0)
                _exit(1);
        for (;;)
                (void)pause();
}

static pid_t start_keeper(uid_t uid) {
        pid_t pid = fork();

        if (pid == 0)
                keep(uid);
        return pid < 0 ? -errno : pid;
}

/* Moves the keeper to a leaf: a group with controllers for its children holds no process. */
static int place_keeper(const char *group, pid_t keeper) {
        _cleanup_close_ int fd = -EBADF;
        char text[32];

        fd = open(group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (mkdirat(fd, "keeper", 0755) < 0 && errno != EEXIST)
                return -errno;
        (void)snprintf(text, sizeof(text), "%d", keeper);
        return write_text_at(fd, "keeper/cgroup.procs", text);
}

static bool has_keeper(const char *group) {
        char path[600], text[256];

        (void)snprintf(path, sizeof(path), "%s/keeper/cgroup.events", group);
        return read_text_at(AT_FDCWD, path, text, sizeof(text)) > 0 && strstr(text, "populated 1");
}

/* The folder of the scope's cgroup. Return: 0, -ENOENT if the scope is not active, -errno. */
static int find_group(sd_bus *bus, const char *unit, char *ret, size_t size) {
        _cleanup_free_ char *path = NULL, *group = NULL;
        int r;

        r = sd_bus_path_encode(SYSTEMD_PATH "/unit", unit, &path);
        if (r < 0)
                return r;
        r = sd_bus_get_property_string(
                bus, SYSTEMD, path, SYSTEMD ".Scope", "ControlGroup", NULL, &group);
        if (r < 0)
                return r;
        if (group[0] != '/')
                return -ENOENT;
        (void)snprintf(ret, size, "/sys/fs/cgroup%s", group);
        return 0;
}

typedef struct Wanted {
        const char *unit;
        bool done;
} Wanted;

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Wanted *wanted = userdata;
        const char *unit;
        uint32_t id;
        int r;

        /* Jobs of other units end at the same time, at boot most of all. */
        r = sd_bus_message_read(m, "uos", &id, NULL, &unit);
        if (r >= 0 && strcmp(unit, wanted->unit) == 0)
                wanted->done = true; /* find_group() tells how it went */
        return 0;
}

static int make_scope(sd_bus *bus, const char *unit, pid_t keeper, uint64_t stop_usec) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        uint64_t end = clock_boottime_usec() + JOB_TIMEOUT_USEC;
        Wanted wanted = {.unit = unit};
        int r;

        r = sd_bus_match_signal(
                bus,
                NULL,
                NULL,
                SYSTEMD_PATH,
                SYSTEMD ".Manager",
                "JobRemoved",
                on_job_removed,
                &wanted);
        if (r < 0)
                return r;
        r = sd_bus_call_method(
                bus, SYSTEMD, SYSTEMD_PATH, SYSTEMD ".Manager", "Subscribe", &error, NULL, NULL);
        if (r >= 0)
                r = sd_bus_call_method(
                        bus,
                        SYSTEMD,
                        SYSTEMD_PATH,
                        SYSTEMD ".Manager",
                        "StartTransientUnit",
                        &error,
                        NULL,
                        "ssa(sv)a(sa(sv))",
                        unit,
                        "fail",
                        4,
                        "Description",
                        "s",
                        "Dynos of dynod",
                        "PIDs",
                        "au",
                        1,
                        (uint32_t)keeper,
                        "Delegate",
                        "b",
                        1,
                        "TimeoutStopUSec",
                        "t",
                        stop_usec,
                        0);
        if (r < 0) {
                log_error(
                        "systemd refuses %s: %s",
                        unit,
                        error.message ? error.message : strerror(-r));
                return r;
        }

        while (!wanted.done && clock_boottime_usec() < end) {
                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (r == 0)
                        r = sd_bus_wait(bus, USEC_PER_SEC);
                if (r < 0 && r != -EINTR)
                        return r;
        }

        return wanted.done ? 0 : -ETIMEDOUT;
}

/*
 * Also for a scope that an earlier dynod made. TasksMax and not TasksMaxScale: of the latter
 * systemd 252 writes down a tenth, which holds from the next daemon-reload on.
 */
static int set_limits(sd_bus *bus, const char *unit, uint64_t tasks) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_call_method(
                bus,
                SYSTEMD,
                SYSTEMD_PATH,
                SYSTEMD ".Manager",
                "SetUnitProperties",
                &error,
                NULL,
                "sba(sv)",
                unit,
                1,
                2,
                "CPUWeight",
                "t",
                CPU_WEIGHT,
                "TasksMax",
                "t",
                tasks == 0 ? UINT64_MAX : tasks); /* UINT64_MAX: infinity */
        if (r < 0)
                log_error(
                        "systemd refuses the limits of %s: %s",
                        unit,
                        error.message ? error.message : strerror(-r));
        return r < 0 ? r : 0;
}

static int
get_scope(sd_bus *bus, const char *unit, uint64_t stop_usec, uid_t uid, char *group, size_t size) {
        pid_t keeper;
        int r;

        r = find_group(bus, unit, group, size);
        if (r == 0 && has_keeper(group))
                return 0;

        keeper = start_keeper(uid);
        if (keeper < 0)
                return keeper;
        if (r != 0) {
                r = make_scope(bus, unit, keeper, stop_usec);
                if (r == 0)
                        r = find_group(bus, unit, group, size);
        }
        if (r == 0)
                r = place_keeper(group, keeper);
        if (r < 0)
                (void)kill(keeper, SIGKILL);
        return r;
}

/* CAP_SETPCAP: the keeper empties its bounding set. To systemd it is root by its uid. */
static int drop_privileges(void) {
        static const unsigned kept[] = {CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_KILL};
        uint64_t bits = 0;
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
                bits |= UINT64_C(1) << kept[i];
        r = confine_no_new_privs();
        return r < 0 ? r : confine_keep_capabilities(bits);
}

int main(int argc, char **argv) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        uint64_t grace_sec, uid, tasks;
        char unit[64], group[512];
        int r;

        log_open("dynod-scope", false);
        if (argc != 5 || !instance_name_is_valid(argv[1]) || parse_u64(argv[2], &grace_sec) < 0 ||
            parse_u64(argv[3], &uid) < 0 || uid == 0 || uid >= UINT32_MAX ||
            parse_u64(argv[4], &tasks) < 0) {
                log_error("Started by dynod only.");
                return 2;
        }
        r = drop_privileges();
        if (r < 0) {
                (void)log_error_errno(r, "Cannot drop privileges: %m");
                return 1;
        }
        (void)snprintf(unit, sizeof(unit), "%s-dynos.scope", argv[1]);

        /* systemd's own socket, as systemctl uses it: no bus daemon has to run. */
        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, "unix:path=/run/systemd/private");
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r >= 0)
                r = get_scope(
                        bus, unit, grace_sec * USEC_PER_SEC, (uid_t)uid, group, sizeof(group));
        if (r == 0)
                r = set_limits(bus, unit, tasks);
        if (r < 0) {
                (void)log_error_errno(r, "Cannot get %s: %m", unit);
                return 1;
        }

        return write_all(RESULT_FD, group, strlen(group)) < 0;
}
