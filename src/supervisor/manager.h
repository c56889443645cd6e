/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Manager: everything that the supervisor knows and decides, and all that the control
 * socket may ask of it. There is one, on the sd-event loop of dynod-supervisor; it
 * knows nothing of D-Bus.
 *
 * Three kinds of request. Plain calls answer at once. Queries (`..._query`) have to ask
 * the launcher: their callback is called exactly once, perhaps before the call returns.
 * Jobs return a number at once and report through the client's callbacks, never
 * before the call has returned.
 *
 * Strings and structs that a callback or visitor is given are valid until it returns. A
 * callback of a job must not call back into the manager.
 * A `const char *` of them is never NULL unless its comment says so; it is empty instead.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "config/config.h"
#include "ipc/launch_proto.h"
#include "ipc/unpack_proto.h"

typedef struct Manager Manager;
typedef struct Policy Policy; /* supervisor/policy.h */

/* A documented refusal: what, why and what to do, for the user to read. */
typedef struct ManagerError {
        const char *name;  /* DYNOD_ERROR_* of include/dynod/bus.h, static; NULL: none */
        char message[512]; /* one line without hint */
        char hint[256];    /* a command to type, or empty */
} ManagerError;

/*
 * What calls with a ManagerError return beside 0 and a negative errno (which is an
 * internal failure: log it and answer DYNOD_ERROR_FAILED).
 */
enum {
        _MANAGER_E_OK,

        MANAGER_E_REFUSED, /* *reterr is filled */
};

/* ---- life ---- */

typedef struct ManagerHooks {
        /*
         * The configuration was read, the store is open, all living dynos were adopted:
         * accept clients. Called once. @listen_fd is the control socket, owned by the
         * callee. A negative errno ends the loop.
         */
        int (*ready)(Manager *manager, int listen_fd, void *userdata);
        void *userdata;
} ManagerHooks;

/**
 * manager_new() - create the manager and attach it to the loop
 * @ret:        owned by the caller
 * @event:      the loop; a reference is taken
 * @launch_fd:  channel to the launcher; owned by the manager on success only
 * @hooks:      copied
 *
 * Reads nothing yet: LAUNCH_HELLO brings the configuration. When the channel closes
 * or something breaks that cannot be repaired (a damaged store), the manager logs one
 * line and ends the loop by sd_event_exit().
 *
 * Return: 0 or a negative errno.
 */
int manager_new(Manager **ret, sd_event *event, int launch_fd, const ManagerHooks *hooks)
        _must_check_;
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager, manager_free)

/* The configuration that is in force; replaced at a reload. NULL before `ready`. */
const Config *manager_config(const Manager *manager);

/* ---- who asks, and jobs ---- */

typedef struct FormationInfo {
        const char *type, *size, *command;
        uint32_t quantity;
} FormationInfo;

typedef struct StackInfo {
        const char *name, *digest; /* hex */
        uint32_t version;
        uint64_t bytes, files; /* unpacked */
        uint64_t imported_usec;
        const char *const *apps; /* that use this version, NULL-terminated */
} StackInfo;

/*
 * Only what the kind of job is about is set; the rest is 0, false, empty or, for
 * lists, NULL. Lists of strings are NULL-terminated.
 */
typedef struct JobResult {
        uint64_t duration_usec;

        /* import and deploy */
        bool already;             /* nothing had to be unpacked */
        const StackInfo *stack;   /* import; else NULL */
        const char *slug;         /* deploy, rollback: hex */
        uint64_t files, bytes;    /* unpacked; destroy: bytes freed */
        uint64_t archive_bytes;   /* read */
        const char *const *notes; /* what was changed while unpacking, a line each */

        /* deploy, config, rollback */
        uint32_t release;           /* that was made; 0: none (nothing changed) */
        uint32_t rollback_to;       /* rollback: the release it restores */
        const char *const *config;  /* rollback: "REDIS_URL leaves"; config: names that changed */
        const char *const *changed; /* process types: deploy, scale */

        /* deploy, scale, restart, stop, wait, destroy */
        const char *const *dynos;       /* their names; restart, stop */
        uint32_t total, up;             /* dynos that it is about; those that are up (or gone) */
        const char *dyno, *dyno_id;     /* NotUp, TimedOut: the first that is not up */
        const char *code;               /* of its failure: "R10", "H10" */
        const FormationInfo *formation; /* scale: all of it */
        size_t n_formation;
        uint32_t releases, slugs; /* destroy: how many went */
        uint32_t rules, published, services, trusted;
} JobResult;

typedef struct JobProgress {
        const char *phase;        /* "read", "unpack", "release", "start", "stop" */
        uint64_t done, total;     /* bytes; for start and stop dynos; total 0: unknown */
        uint64_t files;           /* extracted so far */
        uint64_t bytes;           /* unpacked so far */
        const char *text;         /* what to show, or empty */
        const char *const *dynos; /* "start", "stop": their names; else NULL */
        const JobResult *result;  /* "release": what there is so far; else NULL */
} JobProgress;

typedef struct JobEvents {
        void (*progress)(uint32_t job, const JobProgress *progress, void *userdata);
        /* @error: NULL if it went well. @result is never NULL. The last call for @job. */
        void (*done)(
                uint32_t job, const ManagerError *error, const JobResult *result, void *userdata);
} JobEvents;

/* Who asks. Jobs keep @events and @userdata until manager_client_gone(). */
typedef struct ManagerClient {
        uid_t uid;
        const char *user; /* for "by user alice"; copied */
        const JobEvents *events;
        void *userdata; /* the connection */
} ManagerClient;

/**
 * manager_client_gone() - a connection closed
 * @manager:   the manager
 * @userdata:  that of its ManagerClient
 *
 * No job reports to that @userdata any more. Its imports that are still read from it are
 * cancelled; its other jobs go on. Queries still call back once, whoever is gone.
 */
void manager_client_gone(Manager *manager, void *userdata);

/* ---- visitors ---- */

typedef struct AppInfo {
        const char *name;
        const char *stack; /* that the next release will use */
        const char *user;  /* who created it */
        uint64_t created_usec;
        uint32_t release;       /* the current one; 0: none */
        uint32_t stack_version; /* of the current release; 0: none */
        const char *slug;       /* hex; empty: nothing deployed */
        uint64_t slug_bytes;    /* unpacked */
        uint32_t dynos, up;     /* live ones */
        uint32_t releases;
        const Policy *policy; /* of the network */
} AppInfo;

typedef struct ReleaseInfo {
        uint32_t number;
        bool current;
        const char *description, *user;
        uint64_t created_usec;
        const char *slug; /* hex; empty: none */
        uint64_t slug_bytes;
        const char *stack;
        uint32_t stack_version; /* 0: none */
        /* both NULL-terminated lists of pairs: type, command; empty in ListReleases */
        const char *const *processes;
        const char *const *config_names; /* names only, NULL-terminated */
} ReleaseInfo;

typedef struct DynoInfo {
        const char *id, *name, *app, *type, *command, *size;
        const char *state;  /* "starting", "up", "crashed", "down", "complete", "stopping" */
        const char *reason; /* NULL: none */
        uint32_t release;
        const char *stack;
        uint32_t stack_version;
        uint32_t pid; /* of dyno-init on the host; 0: none */
        uint32_t uid;
        const char *address;           /* empty: none */
        uint32_t port;                 /* web only; else 0 */
        uint64_t since_usec;           /* CLOCK_REALTIME */
        uint32_t crashes;              /* in a row */
        uint64_t next_start_usec;      /* CLOCK_REALTIME; 0: none */
        uint64_t boot_left_usec;       /* starting web dyno: time left to bind; else 0 */
        int exit_status;               /* of the last process; -1: none */
        uint64_t memory, memory_limit; /* bytes; limit: the quota */
        uint64_t cpu_usec;
        double cpu_percent; /* of one core, lately; below 0: not known yet */
        bool one_off;
        const Policy *policy; /* whose published ports lead to it; NULL: none do */
} DynoInfo;

typedef struct LayerInfo {
        const char *layer;   /* launch_layer_to_string() */
        const char *verdict; /* "ok", "allowed", "failed" */
        const char *detail, *fix;
} LayerInfo;

/* A visitor returns 0 to go on; anything else stops and is returned. */
typedef int (*StackVisitor)(const StackInfo *info, void *userdata);
typedef int (*AppVisitor)(const AppInfo *info, void *userdata);
typedef int (*ReleaseVisitor)(const ReleaseInfo *info, void *userdata);
typedef int (*FormationVisitor)(const FormationInfo *info, void *userdata);
typedef int (*DynoVisitor)(const DynoInfo *info, void *userdata);
typedef int (*PairVisitor)(const char *name, const char *value, void *userdata);

/* ---- stacks ---- */

int manager_list_stacks(Manager *manager, StackVisitor visit, void *userdata) _must_check_;

/* What a client offers to be imported. */
typedef struct ImportRequest {
        const char *name;             /* stack; or app of a deploy */
        int fd;                       /* regular file or pipe; owned by the callee in any case */
        uint64_t size;                /* bytes, 0: unknown */
        const char *checksum;         /* "SHA256:…" or empty */
        const char *file;             /* name to show in errors; may be empty */
        const char *const *processes; /* deploy: type, command, …, NULL-terminated; may be NULL */
} ImportRequest;

int manager_import_stack(
        Manager *manager,
        const ManagerClient *client,
        const ImportRequest *request,
        uint32_t *ret_job,
        ManagerError *reterr) _must_check_;

/* @name: NAME (all versions) or NAME@VERSION. @ret_versions: how many went. */
int manager_remove_stack(
        Manager *manager, const char *name, uint32_t *ret_versions, ManagerError *reterr)
        _must_check_;

/* ---- apps ---- */

int manager_list_apps(Manager *manager, AppVisitor visit, void *userdata) _must_check_;
int manager_app_info(
        Manager *manager, const char *app, AppVisitor visit, void *userdata, ManagerError *reterr)
        _must_check_;
/* @stack: "" for the only or newest one. */
int manager_create_app(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        const char *stack,
        ManagerError *reterr) _must_check_;
int manager_rename_app(
        Manager *manager, const char *app, const char *new_name, ManagerError *reterr) _must_check_;
int manager_destroy_app(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        uint32_t *ret_job,
        ManagerError *reterr) _must_check_;
/* Takes effect with the next deploy. */
int manager_set_stack(Manager *manager, const char *app, const char *stack, ManagerError *reterr)
        _must_check_;

/* ---- releases and config vars ---- */

int manager_deploy(
        Manager *manager,
        const ManagerClient *client,
        const ImportRequest *request,
        uint32_t *ret_job,
        ManagerError *reterr) _must_check_;

/* Newest first; without processes and config_names. */
int manager_list_releases(
        Manager *manager,
        const char *app,
        ReleaseVisitor visit,
        void *userdata,
        ManagerError *reterr) _must_check_;
/* @release: 0 for the current one. */
int manager_release_info(
        Manager *manager,
        const char *app,
        uint32_t release,
        ReleaseVisitor visit,
        void *userdata,
        ManagerError *reterr) _must_check_;
/* @release: 0 for the one before. */
int manager_rollback(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        uint32_t release,
        uint32_t *ret_job,
        ManagerError *reterr) _must_check_;

int manager_get_config(
        Manager *manager, const char *app, PairVisitor visit, void *userdata, ManagerError *reterr)
        _must_check_;

typedef struct ConfigChange {
        const char *const *set;   /* name, value, …, NULL-terminated; may be NULL */
        const char *const *unset; /* names, NULL-terminated; may be NULL */
} ConfigChange;

int manager_change_config(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        const ConfigChange *change,
        uint32_t *ret_job,
        ManagerError *reterr) _must_check_;

/* ---- formation and dynos ---- */

int manager_formation(
        Manager *manager,
        const char *app,
        FormationVisitor visit,
        void *userdata,
        ManagerError *reterr) _must_check_;

typedef struct ScaleChange {
        const char *type;
        bool relative; /* @quantity is added */
        int32_t quantity;
        const char *size; /* "": keep */
} ScaleChange;

typedef struct ScaleRequest {
        const char *app;
        const ScaleChange *changes;
        size_t n_changes;
} ScaleRequest;

int manager_scale(
        Manager *manager,
        const ManagerClient *client,
        const ScaleRequest *request,
        uint32_t *ret_job,
        ManagerError *reterr) _must_check_;

/* @app: "" for all apps. */
int manager_list_dynos(
        Manager *manager, const char *app, DynoVisitor visit, void *userdata, ManagerError *reterr)
        _must_check_;
/* @target: "" (all), TYPE, TYPE.N or an id. */
int manager_restart_dynos(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        const char *target,
        uint32_t *ret_job,
        ManagerError *reterr) _must_check_;
int manager_stop_dynos(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        const char *target,
        uint32_t *ret_job,
        ManagerError *reterr) _must_check_;
int manager_wait_dynos(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        uint64_t timeout_usec,
        uint32_t *ret_job,
        ManagerError *reterr) _must_check_;

/* ---- queries ---- */

typedef struct InspectInfo {
        DynoInfo dyno;
        LayerInfo layers[_LAYER_MAX];
        uint32_t phase_usec[_PHASE_MAX]; /* names: launch_phase_to_string(); zeroes: unknown */
        uint64_t duration_usec;
} InspectInfo;

typedef struct CheckInfo {
        const char *check;   /* "resolvers", "memory", … */
        const char *verdict; /* "ok", "warning", "failed" */
        const char *detail, *fix;
} CheckInfo;

typedef struct DoctorInfo {
        LayerInfo layers[_LAYER_MAX];
        CheckInfo checks[32];
        size_t n_checks;
        bool can_start; /* nothing failed */
        bool gaps;      /* something is missing and allowed */
} DoctorInfo;

/* Exactly one of @error and @info is not NULL. @userdata is that of the call. */
typedef void (*InspectDone)(const ManagerError *error, const InspectInfo *info, void *userdata);
typedef void (*DoctorDone)(const ManagerError *error, const DoctorInfo *info, void *userdata);
typedef void (*RunDone)(const ManagerError *error, const DynoInfo *info, void *userdata);

void manager_inspect_query(
        Manager *manager, const char *app, const char *dyno, InspectDone done, void *userdata);
void manager_doctor_query(Manager *manager, DoctorDone done, void *userdata);

typedef struct RunRequest {
        const char *app;
        const char *dyno;           /* exec: where; run: NULL */
        const char *const *command; /* NULL-terminated, at least one */
        const char *const *env;     /* name, value, …, NULL-terminated; may be NULL */
        const char *size;           /* "": default */
        bool shell;                 /* one argument for bash -c */
        bool attached, tty;
        uint16_t rows, columns;
        int attach_fd; /* owned by the callee in any case; -EBADF: none */
} RunRequest;

/* @done is called when the command runs, or did not start. */
void manager_run_query(
        Manager *manager,
        const ManagerClient *client,
        const RunRequest *request,
        RunDone done,
        void *userdata);
void manager_exec_query(
        Manager *manager,
        const ManagerClient *client,
        const RunRequest *request,
        RunDone done,
        void *userdata);

/* ---- network policy ---- */

typedef struct NetworkInfo {
        const char *app;
        const Policy *policy;
        const char *service_address;
        uint32_t dynos;      /* that run */
        bool in_force;       /* root has it */
        const char *problem; /* why not, or what its dynos lack all the same; or empty */

        /* after a change */
        bool changed;     /* false: it was so before */
        const char *text; /* "allow 10.0.0.0/8:5432/tcp"; else empty */
} NetworkInfo;

typedef int (*NetworkVisitor)(const NetworkInfo *info, void *userdata);
int manager_network(
        Manager *manager,
        const char *app,
        NetworkVisitor visit,
        void *userdata,
        ManagerError *reterr) _must_check_;

typedef struct NetworkRequest {
        const char *app, *change;     /* see ChangeNetwork in include/dynod/bus.h */
        const char *const *arguments; /* NULL-terminated */
} NetworkRequest;

typedef void (*NetworkDone)(const ManagerError *error, const NetworkInfo *info, void *userdata);

/*
 * Changes the policy of an app: root applies it, to running dynos too, and then it is
 * stored. Of two changes of one app the second begins when the first has ended.
 */
void manager_change_network_query(
        Manager *manager,
        const ManagerClient *client,
        const NetworkRequest *request,
        NetworkDone done,
        void *userdata);

/* ---- logs, host ---- */

/* @app: "" for all apps. @ret_fd: stream of LogRecord, owned by the caller. */
int manager_logs(Manager *manager, const char *app, bool follow, int *ret_fd, ManagerError *reterr)
        _must_check_;

typedef struct HostInfo {
        const char *instance, *version;
        uint64_t started_usec; /* of the supervisor, CLOCK_REALTIME */
        uint32_t apps, stacks, dynos, dynos_max;
        uint64_t memory_total;    /* that dynos may be promised */
        uint64_t memory_promised; /* to those that live */
        uint32_t allow_missing;   /* bit per MissingLayer that really is missing */
} HostInfo;

void manager_host_info(Manager *manager, HostInfo *ret);
