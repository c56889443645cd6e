/* SPDX-License-Identifier: Apache-2.0 */

/* ps:scale, ps:restart, ps:stop, ps:wait, and the listings. */

#include <assert.h>
#include <string.h>

#include "supervisor/dyno.h"
#include "supervisor/job.h"

static FormationInfo formation_info(const Manager *manager, App *app, const char *type) {
        const Formation *formation = app_find_formation(app, type);
        const char *command = NULL;

        if (app->release)
                command = pairs_get(&app->release->processes, type);
        return (FormationInfo){
                .type = type,
                .quantity = formation ? formation->quantity : 0,
                .size = manager_formation_size(manager, formation)->name,
                .command = command ? command : "",
        };
}

int manager_visit_formation(
        const Manager *manager, App *app, FormationVisitor visit, void *userdata) {
        if (!app->release)
                return 0;
        for (size_t i = 0; i < app->release->processes.n; i++) {
                FormationInfo info =
                        formation_info(manager, app, app->release->processes.items[i].name);
                int r = visit(&info, userdata);

                if (r != 0)
                        return r;
        }

        return 0;
}

int manager_formation(
        Manager *manager,
        const char *app,
        FormationVisitor visit,
        void *userdata,
        ManagerError *reterr) {
        App *found = NULL;
        int r = manager_find_app(manager, app, &found, reterr);

        return r == 0 ? manager_visit_formation(manager, found, visit, userdata) : r;
}

int manager_list_dynos(
        Manager *manager,
        const char *app,
        DynoVisitor visit,
        void *userdata,
        ManagerError *reterr) {
        char address[DYNO_ADDRESS_SIZE];
        App *found = NULL;
        DynoInfo info;
        int r;

        if (app[0] != '\0') {
                r = manager_find_app(manager, app, &found, reterr);
                if (r != 0)
                        return r;
        }

        for (Dyno *dyno = manager->dynos; dyno; dyno = dyno->next) {
                if (found && dyno->app != found)
                        continue;
                dyno_info(dyno, &info, address);
                r = visit(&info, userdata);
                if (r != 0)
                        return r;
        }

        return 0;
}

/* ---- scale ---- */

/* @list: the formation that would be, by type. */
typedef struct NewFormation {
        Formation *list;
        size_t n;
} NewFormation;

static Formation *find_new(NewFormation *formation, const char *type) {
        for (size_t i = 0; i < formation->n; i++)
                if (strcmp(formation->list[i].type, type) == 0)
                        return &formation->list[i];

        return NULL;
}

static int apply_change(
        Manager *manager,
        NewFormation *formation,
        const ScaleChange *change,
        ManagerError *reterr) {
        Formation *f = find_new(formation, change->type);
        const DynoSize *size = NULL;
        int64_t quantity;
        int r;

        assert(f); /* a type that the release does not have was refused before */

        quantity = change->relative ? (int64_t)f->quantity + change->quantity : change->quantity;
        if (quantity < 0 || quantity > APP_DYNOS_MAX)
                return refuse(
                        reterr,
                        DYNOD_ERROR_LIMIT,
                        "%s=%lld: an app has 0 to %d dynos. Nothing was changed.",
                        change->type,
                        (long long)quantity,
                        APP_DYNOS_MAX);
        if (change->size[0] != '\0') {
                r = manager_find_size(manager, change->size, &size, reterr);
                if (r != 0)
                        return r;
                memcpy(f->size, size->name, sizeof(f->size));
        }

        f->quantity = (uint32_t)quantity;
        return 0;
}

/* Number and memory of all dynos that @formation wants, against the limits. */
static int
check_formation(Manager *manager, App *app, const NewFormation *formation, ManagerError *reterr) {
        uint64_t before = 0, after = 0;
        uint32_t n = 0, n_before = 0;

        for (size_t i = 0; i < formation->n; i++) {
                const Formation *f = &formation->list[i];

                n += f->quantity;
                n_before += app_quantity(app, f->type);
                after += f->quantity * manager_formation_size(manager, f)->memory_quota;
                before += app_quantity(app, f->type) *
                          manager_formation_size(manager, app_find_formation(app, f->type))
                                  ->memory_quota;
        }
        if (n > APP_DYNOS_MAX)
                return refuse(
                        reterr,
                        DYNOD_ERROR_LIMIT,
                        "%u dynos of %s: an app has at most %d. Nothing was changed.",
                        n,
                        app->row.name,
                        APP_DYNOS_MAX);

        return manager_check_room(
                manager,
                n > n_before ? n - n_before : 0,
                after > before ? after - before : 0,
                reterr);
}

static int store_formation(Manager *manager, App *app, const NewFormation *formation) {
        int r = store_begin(manager->store);

        for (size_t i = 0; i < formation->n && r == 0; i++)
                r = store_set_formation(manager->store, app->row.id, &formation->list[i]);
        if (r < 0) {
                store_rollback(manager->store);
                return r;
        }
        r = store_commit(manager->store);

        /* Only a type that was never scaled needs memory here; the store has it then. */
        for (size_t i = 0; i < formation->n && r == 0; i++)
                r = app_set_formation(app, &formation->list[i]);
        return r;
}

/* "Scaled to web@2:Standard-1X worker@1:Standard-2X", all types, as on Heroku. */
static void
log_scaled(Manager *manager, App *app, const NewFormation *formation, const char *user) {
        char text[2048];
        size_t used = 0;

        for (size_t i = 0; i < formation->n && used < sizeof(text); i++)
                used += (size_t)snprintf(
                        text + used,
                        sizeof(text) - used,
                        "%s%s@%u:%s",
                        i > 0 ? " " : "",
                        formation->list[i].type,
                        formation->list[i].quantity,
                        manager_formation_size(manager, &formation->list[i])->name);
        manager_log_api(manager, app, "Scaled to %s by user %s", text, user);
}

static int copy_formation(App *app, NewFormation *ret) {
        const Pairs *processes = &app->release->processes;

        ret->list = calloc(processes->n + 1, sizeof(*ret->list));
        if (!ret->list)
                return -ENOMEM;
        for (size_t i = 0; i < processes->n; i++) {
                const Formation *f = app_find_formation(app, processes->items[i].name);

                if (f)
                        ret->list[i] = *f;
                else
                        field_set(
                                ret->list[i].type,
                                sizeof(ret->list[i].type),
                                processes->items[i].name);
        }
        ret->n = processes->n;
        return 0;
}

static int
scale(Manager *manager, App *app, const ScaleRequest *request, Job *job, ManagerError *reterr) {
        NewFormation formation = {0};
        int r;

        for (size_t i = 0; i < request->n_changes; i++) {
                r = manager_check_type(app, request->changes[i].type, reterr);
                if (r != 0)
                        return r;
        }

        r = copy_formation(app, &formation);
        for (size_t i = 0; i < request->n_changes && r == 0; i++) {
                r = apply_change(manager, &formation, &request->changes[i], reterr);
                if (r == 0)
                        r = strings_add(&job->changed, request->changes[i].type);
        }
        if (r == 0)
                r = check_formation(manager, app, &formation, reterr);
        if (r == 0) {
                r = store_formation(manager, app, &formation);
                if (r < 0)
                        r = refuse_errno(reterr, r, "the formation cannot be stored");
        }
        if (r == 0)
                log_scaled(manager, app, &formation, job->user);

        free(formation.list);
        return r;
}

/* A stopped dyno of a type that is scaled comes back. */
static void wake_scaled(Manager *manager, App *app, const Strings *types) {
        for (Dyno *dyno = manager->dynos, *next; dyno; dyno = next) {
                next = dyno->next;
                if (dyno->app == app && !dyno->one_off && !dyno_is_leaving(dyno) &&
                    (dyno->state == DYNO_DOWN || dyno->state == DYNO_STOPPING) &&
                    strings_contain(types, dyno->type))
                        (void)dyno_replace(
                                dyno,
                                manager_formation_size(
                                        manager, app_find_formation(app, dyno->type)));
        }
}

int manager_scale(
        Manager *manager,
        const ManagerClient *client,
        const ScaleRequest *request,
        uint32_t *ret_job,
        ManagerError *reterr) {
        App *app = NULL;
        Job *job = NULL;
        int r;

        r = manager_find_deployed(manager, request->app, &app, reterr);
        if (r == 0)
                r = job_new(&job, manager, client, app, reterr);
        if (r == 0)
                r = scale(manager, app, request, job, reterr);
        if (r != 0) {
                (void)job_free(job);
                return r;
        }

        manager_reconcile(manager, app);
        wake_scaled(manager, app, &job->changed);
        job->with_formation = true;
        job_wait(job, JOB_WAIT_LAUNCHED);
        *ret_job = job->id;
        return 0;
}

/* ---- restart, stop ---- */

/* What "", TYPE, TYPE.N and an id mean. */
static bool is_target(const Dyno *dyno, const App *app, const char *target) {
        if (dyno->app != app)
                return false;
        if (target[0] == '\0' || strcmp(dyno->type, target) == 0)
                return true;
        return strcmp(dyno->id, target) == 0 ||
               (strcmp(dyno->name, target) == 0 && !dyno->has_heir);
}

/* A target that is neither a type of the release nor a dyno is refused. */
static int check_target(Manager *manager, App *app, const char *target, ManagerError *reterr) {
        Dyno *dyno = NULL;

        if (target[0] == '\0')
                return 0;
        if (strcmp(target, "run") == 0)
                return 0;
        return strchr(target, '.') ? manager_find_dyno(app, target, manager, &dyno, reterr)
                                   : manager_check_type(app, target, reterr);
}

static int
list_targets(Manager *manager, const App *app, const char *target, bool one_offs, Job *job) {
        int r = 0;

        for (const Dyno *dyno = manager->dynos; dyno && r == 0; dyno = dyno->next) {
                if (!is_target(dyno, app, target) || (dyno->one_off && !one_offs) ||
                    (dyno_is_leaving(dyno) && strcmp(dyno->id, target) != 0))
                        continue;
                r = strings_add(&job->ids, dyno->id);
                if (r == 0)
                        r = strings_add(&job->names, dyno->name);
        }

        return r;
}

int manager_restart_dynos(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        const char *target,
        uint32_t *ret_job,
        ManagerError *reterr) {
        App *found = NULL;
        Job *job = NULL;
        int r;

        r = manager_find_deployed(manager, app, &found, reterr);
        if (r == 0)
                r = check_target(manager, found, target, reterr);
        if (r == 0)
                r = job_new(&job, manager, client, found, reterr);
        if (r == 0)
                r = list_targets(manager, found, target, false, job);
        if (r != 0) {
                (void)job_free(job);
                return r;
        }

        for (size_t i = 0; i < job->ids.n; i++) {
                Dyno *dyno = manager_dyno_by_id(manager, job->ids.items[i]);

                if (!dyno || dyno_is_leaving(dyno))
                        continue;
                dyno_log(dyno, "Restarting");
                (void)dyno_replace(
                        dyno,
                        manager_formation_size(manager, app_find_formation(found, dyno->type)));
        }
        job_wait(job, JOB_WAIT_LAUNCHED);
        *ret_job = job->id;
        return 0;
}

int manager_stop_dynos(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        const char *target,
        uint32_t *ret_job,
        ManagerError *reterr) {
        App *found = NULL;
        Job *job = NULL;
        int r;

        r = manager_find_deployed(manager, app, &found, reterr);
        if (r == 0 && target[0] == '\0')
                r =
                        refuse(reterr,
                               DYNOD_ERROR_INVALID_ARGUMENT,
                               "Say what to stop: a process type, or a dyno. Nothing was changed.");
        if (r == 0)
                r = check_target(manager, found, target, reterr);
        if (r == 0)
                r = job_new(&job, manager, client, found, reterr);
        if (r == 0)
                r = list_targets(manager, found, target, true, job);
        if (r != 0) {
                (void)job_free(job);
                return r;
        }

        for (size_t i = 0; i < job->ids.n; i++) {
                Dyno *dyno = manager_dyno_by_id(manager, job->ids.items[i]);

                if (dyno)
                        dyno_stop(dyno, false); /* it stays as down */
        }
        job_wait(job, JOB_WAIT_GONE);
        *ret_job = job->id;
        return 0;
}

int manager_wait_dynos(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        uint64_t timeout_usec,
        uint32_t *ret_job,
        ManagerError *reterr) {
        App *found = NULL;
        Job *job = NULL;
        uint64_t now = manager_now(manager);
        int r;

        r = manager_find_deployed(manager, app, &found, reterr);
        if (r == 0)
                r = job_new(&job, manager, client, found, reterr);
        if (r != 0)
                return r;

        job->max_crashes = 2;
        job->deadline_usec = timeout_usec < UINT64_MAX - now ? now + timeout_usec : UINT64_MAX;
        job->result.release = found->release->number;
        job_wait(job, JOB_WAIT_UP);
        *ret_job = job->id;
        return 0;
}
