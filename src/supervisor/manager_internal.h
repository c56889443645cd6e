/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The Manager from within, for the files of this room and their tests. */

#include "config/config.h"
#include "dynod/bus.h"
#include "supervisor/app.h"
#include "supervisor/launch_client.h"
#include "supervisor/log_client.h"
#include "supervisor/manager.h"
#include "supervisor/store.h"

typedef struct Dyno Dyno;
typedef struct Import Import;
typedef struct Job Job;

/* Where time comes from: tests bring their own. */
typedef struct ManagerClock {
        uint64_t (*boottime_usec)(void); /* intervals */
        uint64_t (*realtime_usec)(void); /* for people */
} ManagerClock;

struct Manager {
        sd_event *event;
        ManagerHooks hooks;
        ManagerClock clock;
        Config *config;
        Store *store;
        LaunchClient *launch;
        LogClient *log;

        int listen_fd; /* until hooks.ready took it */
        int cgroup_fd; /* below it, one folder per living dyno, named by its id */
        int state_fd;  /* the dynos' state files */
        bool ready;    /* all living dynos were told */
        uint64_t memory_total;
        uint32_t allow_missing;
        uint64_t started_usec; /* CLOCK_REALTIME */

        Stack *stacks; /* oldest first */
        App *apps;     /* sorted by name */
        Dyno *dynos;   /* newest first */
        Import *imports;
        Job *jobs;
        uint32_t last_import, last_job;
        uint32_t n_launching; /* STARTs without an answer */

        sd_event_source *timer;
        uint64_t next_sample_usec; /* CLOCK_BOOTTIME */
        sd_event_source *jobs_source;
};

/* ---- manager.c ---- */

/* Runs what is due, and arms the timer for what comes next. The timer's callback calls it. */
void manager_tick(Manager *manager);
/* Some timer or queue changed: manager_tick() will run soon. */
void manager_poke(Manager *manager);
/* Ends the loop: something broke that this process cannot repair. Logs @what. */
void manager_fail(Manager *manager, int r, const char *what);

static inline uint64_t manager_now(const Manager *manager) {
        return manager->clock.boottime_usec();
}

static inline uint64_t manager_realtime(const Manager *manager) {
        return manager->clock.realtime_usec();
}

/* ---- refusal.c ---- */

/* Fills @err and returns MANAGER_E_REFUSED. @name: DYNOD_ERROR_* */
int refuse(ManagerError *err, const char *name, const char *fmt, ...) _printf_(3, 4);
/* Adds the hint to a refusal. Returns MANAGER_E_REFUSED. */
int refuse_hint(ManagerError *err, const char *fmt, ...) _printf_(2, 3);
/* Turns a failure of the store or of memory into words: what could not be done, and nothing was changed. */
int refuse_errno(ManagerError *err, int r, const char *what);

/* ---- lookup.c: by name, or a refusal with the nearest name ---- */

int manager_find_app(Manager *manager, const char *name, App **ret, ManagerError *reterr)
        _must_check_;
/* As above; refused with NO_RELEASE if nothing was deployed. */
int manager_find_deployed(Manager *manager, const char *name, App **ret, ManagerError *reterr)
        _must_check_;
App *manager_app_by_name(Manager *manager, const char *name);
App *manager_app_by_number(Manager *manager, uint32_t number);
/* Newest version of that name, or NULL. */
Stack *manager_newest_stack(Manager *manager, const char *name);
/* "NAME" (newest) or "NAME@VERSION". */
int manager_find_stack(Manager *manager, const char *name, Stack **ret, ManagerError *reterr)
        _must_check_;
int manager_find_size(
        Manager *manager, const char *name, const DynoSize **ret, ManagerError *reterr)
        _must_check_;
/* @type must be of the current release. */
int manager_check_type(App *app, const char *type, ManagerError *reterr) _must_check_;
/* By id, or the newest of that name. */
int manager_find_dyno(
        App *app, const char *name, Manager *manager, Dyno **ret, ManagerError *reterr)
        _must_check_;
Dyno *manager_dyno_by_id(Manager *manager, const char *id);

/* ---- reconcile.c: what the formation wants ---- */

/* Starts what is missing, stops what is too much, replaces what is of another release or size. */
void manager_reconcile(Manager *manager, App *app);
/* The dyno that has that name, stopped ones included; NULL if there is none. */
Dyno *manager_current_dyno(App *app, const char *type, uint32_t number, Manager *manager);
/* Bytes promised to all living dynos that are not on their way out. */
uint64_t manager_memory_promised(const Manager *manager);
/* Bytes that all formations and living one-offs ask for. */
uint64_t manager_memory_wanted(const Manager *manager);
/*
 * Refused with LIMIT or NO_MEMORY and the numbers if so many dynos and bytes more would go
 * over max_dynos or memory_overcommit.
 */
int manager_check_room(Manager *manager, uint32_t dynos, uint64_t bytes, ManagerError *reterr)
        _must_check_;
const DynoSize *manager_formation_size(const Manager *manager, const Formation *formation);
const DynoSize *manager_default_size(const Manager *manager);

/* All types of the current release. */
int manager_visit_formation(
        const Manager *manager, App *app, FormationVisitor visit, void *userdata) _must_check_;

/* ---- releases.c ---- */

/*
 * Makes the app's next release and has the formation follow it. @release is taken over in
 * any case; its number, user and time are set here. @first: a formation to begin with, or
 * NULL. Store first, then memory. Return: 0 or a negative errno, then nothing has changed.
 */
int manager_make_release(
        Manager *manager, App *app, const char *user, Release *release, const Formation *first)
        _must_check_;
/* A copy of the current release, or an empty one. NULL without memory. */
Release *manager_copy_release(const App *app);

/* ---- stacks.c ---- */

/* Nothing in the database names it any more: the launcher may delete it. */
void manager_remove_object(Manager *manager, ObjectKind kind, const uint8_t *digest);

/* ---- network.c ---- */

/*
 * Whether a START of @app may be sent. If root does not have its policy, it is told now,
 * and the loop comes back.
 */
bool network_is_in_force(App *app);
/* LAUNCH_SOURCE */
void network_on_source(Manager *manager, const LaunchSource *source);
/* When network_retry() is due next, or UINT64_MAX. */
uint64_t network_deadline(const Manager *manager);
/* Tells root once more what it did not take. */
void network_retry(Manager *manager, uint64_t now);
/* What is wrong with the policy of @app, half a sentence; empty: nothing. */
void network_problem(const App *app, char *buf, size_t size);
/* Root refused a START: it has another policy than we thought. */
void network_was_stale(App *app);
/* Tells root, which may know an older one: for every app, before any START. */
void network_tell_all(Manager *manager);
/* The app goes: root forgets its policy, whoever waits is answered. */
void network_forget(App *app);

/* ---- lines for the logs ---- */

/* source app, procid api: "Release v2 created by user alice" */
void manager_log_api(Manager *manager, const App *app, const char *fmt, ...) _printf_(3, 4);
