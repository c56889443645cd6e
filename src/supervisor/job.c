/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "supervisor/dyno.h"
#include "supervisor/job.h"

/*
 * Nothing tells when a worker has come up: it is up once it runs. A deploy looks twice, so
 * that one that ends at once, a command misspelt, is not reported as deployed.
 */
#define SETTLE_USEC USEC_PER_SEC

static void set_text(char *field, size_t size, const char *text) {
        (void)snprintf(field, size, "%s", text);
}

int job_new(
        Job **ret, Manager *manager, const ManagerClient *client, App *app, ManagerError *reterr) {
        unsigned n = 0;
        Job *job;

        assert(ret && manager && client && reterr);

        for (job = manager->jobs; job; job = job->next)
                n += job->uid == client->uid;
        if (n >= JOBS_PER_UID_MAX)
                return refuse(
                        reterr,
                        DYNOD_ERROR_LIMIT,
                        "%u jobs of yours are under way, which is the limit. Wait for one to end. "
                        "Nothing was changed.",
                        n);

        job = calloc(1, sizeof(*job));
        if (!job)
                return -ENOMEM;
        job->manager = manager;
        if (++manager->last_job == 0)
                manager->last_job = 1;
        job->id = manager->last_job;
        job->uid = client->uid;
        set_text(job->user, sizeof(job->user), client->user ? client->user : "");
        job->events = client->events;
        job->userdata = client->userdata;
        job->started_usec = manager_now(manager);
        job->app = app;
        if (app)
                set_text(job->app_name, sizeof(job->app_name), app->row.name);
        job->last_done = UINT64_MAX;
        job->wait = JOB_WAIT_IMPORT;
        job->next = manager->jobs;
        manager->jobs = job;

        *ret = job;
        return 0;
}

Job *job_free(Job *job) {
        if (!job)
                return NULL;

        for (Job **p = &job->manager->jobs; *p; p = &(*p)->next)
                if (*p == job) {
                        *p = job->next;
                        break;
                }
        (void)import_free(job->import);
        strings_clear(&job->ids);
        strings_clear(&job->names);
        strings_clear(&job->notes);
        strings_clear(&job->config);
        strings_clear(&job->changed);
        pairs_clear(&job->processes);
        free(job->formation);
        free(job);
        return NULL;
}

void job_wait(Job *job, JobWait wait) {
        job->wait = wait;
        jobs_poke(job->manager);
        manager_poke(job->manager); /* its deadline */
}

void job_finish(Job *job) {
        job_wait(job, JOB_WAIT_DONE);
}

void job_fail(Job *job) {
        job->failed = true;
        job_wait(job, JOB_WAIT_DONE);
}

void job_report_progress(Job *job, const JobProgress *progress) {
        JobProgress full = *progress;

        if (!job->events || !job->events->progress)
                return;
        if (!full.text)
                full.text = "";
        job->events->progress(job->id, &full, job->userdata);
}

void jobs_poke(Manager *manager) {
        if (manager->jobs && manager->jobs_source)
                (void)sd_event_source_set_enabled(manager->jobs_source, SD_EVENT_ONESHOT);
}

void jobs_forget_app(Manager *manager, const App *app, const Job *except) {
        for (Job *job = manager->jobs; job; job = job->next) {
                if (job->app != app || job == except)
                        continue;
                job->app = NULL;
                job->import = import_free(job->import);
                if (job->wait == JOB_WAIT_DONE)
                        continue;
                (void)refuse(
                        &job->error,
                        DYNOD_ERROR_CANCELLED,
                        "%s was destroyed meanwhile.",
                        job->app_name);
                job_fail(job);
        }
}

uint64_t jobs_deadline(const Manager *manager) {
        uint64_t next = UINT64_MAX;

        for (const Job *job = manager->jobs; job; job = job->next) {
                if (job->wait == JOB_WAIT_DONE)
                        continue;
                if (job->deadline_usec != 0 && job->deadline_usec < next)
                        next = job->deadline_usec;
                if (job->recheck_usec != 0 && job->recheck_usec < next)
                        next = job->recheck_usec;
        }

        return next;
}

/* ---- what jobs wait for ---- */

static void name_dyno(Job *job, const Dyno *dyno) {
        set_text(job->dyno, sizeof(job->dyno), dyno->name);
        set_text(job->dyno_id, sizeof(job->dyno_id), dyno->id);
        set_text(job->code, sizeof(job->code), dyno->code[0] ? dyno->code : "H10");
        job->result.dyno = job->dyno;
        job->result.dyno_id = job->dyno_id;
        job->result.code = job->code;
}

static void fail_refused(Job *job, const Dyno *dyno) {
        name_dyno(job, dyno);
        (void)refuse(
                &job->error,
                dyno->error ? dyno->error : DYNOD_ERROR_FAILED,
                "%s of %s cannot start: %s.",
                dyno->name,
                job->app_name,
                dyno->reason);
        if (dyno->error && strcmp(dyno->error, DYNOD_ERROR_LAYER_MISSING) == 0)
                (void)refuse_hint(&job->error, "herokuctl doctor");
        job_fail(job);
}

static void fail_not_up(Job *job, const Dyno *dyno) {
        if (dyno->refused) {
                fail_refused(job, dyno);
                return;
        }
        name_dyno(job, dyno);
        (void)refuse(
                &job->error,
                DYNOD_ERROR_NOT_UP,
                "%s of %s is not up on v%u: %s.",
                dyno->name,
                job->app_name,
                dyno->release,
                dyno->reason[0] ? dyno->reason : dyno_state_to_string(dyno->state));
        if (job->is_deploy && dyno->release > 1)
                (void)refuse_hint(&job->error, "herokuctl rollback -a %s", job->app_name);
        else
                (void)refuse_hint(
                        &job->error, "herokuctl logs -a %s --ps %s", job->app_name, dyno->name);
        job_fail(job);
}

static void check_launched(Job *job) {
        Dyno *refused = NULL;

        for (Dyno *dyno = job->manager->dynos; dyno; dyno = dyno->next) {
                if (dyno->app != job->app || dyno->one_off || dyno_is_leaving(dyno))
                        continue;
                if (dyno->state == DYNO_STARTING && dyno->place != DYNO_PLACE_RUNNING)
                        return;
                if (dyno->refused && dyno->state == DYNO_CRASHED)
                        refused = dyno;
        }

        if (refused)
                fail_refused(job, refused);
        else
                job_finish(job);
}

static void report_count(Job *job, const char *phase, uint64_t done, uint64_t total) {
        JobProgress progress = {
                .phase = phase,
                .done = done,
                .total = total,
                .dynos = (const char *const *)job->names.items,
        };

        if (job->last_done == done)
                return;
        job->last_done = done;
        job_report_progress(job, &progress);
}

/* The names of all that the formation wants, once per job. */
static int list_wanted(Job *job) {
        const Pairs *processes = &job->app->release->processes;

        for (size_t i = 0; i < processes->n; i++)
                for (uint32_t n = 1; n <= app_quantity(job->app, processes->items[i].name); n++) {
                        int r = strings_addf(&job->names, "%s.%u", processes->items[i].name, n);

                        if (r < 0)
                                return r;
                }

        return 0;
}

typedef struct UpCount {
        uint32_t up, total;
        const Dyno *late, *failed; /* the first of each */
        uint64_t recheck_usec;     /* when the next one has settled; 0: none */
} UpCount;

static bool is_settled(const Job *job, const Dyno *dyno, UpCount *count) {
        uint64_t settled = dyno->up_usec + SETTLE_USEC;

        if (!job->is_deploy || dyno->web_port != 0 || manager_now(job->manager) >= settled)
                return true;
        if (count->recheck_usec == 0 || settled < count->recheck_usec)
                count->recheck_usec = settled;
        return false;
}

static void count_dyno(const Job *job, const Dyno *dyno, UpCount *count) {
        if (dyno && dyno->state == DYNO_DOWN)
                return; /* `ps:stop`: nobody asks for it */

        count->total++;
        if (dyno && dyno->state == DYNO_UP && dyno->release == job->app->release->number)
                count->up += is_settled(job, dyno, count);
        else if (dyno && dyno->crashes >= job->max_crashes && !count->failed)
                count->failed = dyno;
        else if (dyno && !count->late)
                count->late = dyno;
}

static void count_up(const Job *job, UpCount *count) {
        const Pairs *processes = &job->app->release->processes;

        for (size_t i = 0; i < processes->n; i++) {
                const char *type = processes->items[i].name;

                for (uint32_t n = 1; n <= app_quantity(job->app, type); n++)
                        count_dyno(
                                job, manager_current_dyno(job->app, type, n, job->manager), count);
        }
}

static void fail_late(Job *job, const UpCount *count) {
        if (count->late)
                name_dyno(job, count->late);
        (void)refuse(
                &job->error,
                DYNOD_ERROR_TIMED_OUT,
                "%u of %u dynos of %s are up; %s is %s.",
                count->up,
                count->total,
                job->app_name,
                count->late ? count->late->name : "one",
                count->late ? dyno_state_to_string(count->late->state) : "missing");
        job_fail(job);
}

static void check_up(Job *job) {
        UpCount count = {0};

        if (!app_is_deployed(job->app)) {
                job_finish(job);
                return;
        }
        if (job->names.n == 0 && list_wanted(job) < 0)
                log_warning("no memory for the names of a job's dynos, going on without");

        count_up(job, &count);
        job->result.up = count.up;
        job->result.total = count.total;
        job->recheck_usec = count.recheck_usec;
        report_count(job, "start", count.up, count.total);
        if (count.failed)
                fail_not_up(job, count.failed);
        else if (count.up == count.total)
                job_finish(job);
        else if (job->deadline_usec != 0 && manager_now(job->manager) >= job->deadline_usec)
                fail_late(job, &count);
        else if (job->recheck_usec != 0)
                manager_poke(job->manager); /* arms the timer */
}

static void check_gone(Job *job) {
        uint64_t alive = 0;

        for (size_t i = 0; i < job->ids.n; i++) {
                const Dyno *dyno = manager_dyno_by_id(job->manager, job->ids.items[i]);

                alive += dyno && dyno_is_alive(dyno);
        }

        job->result.total = (uint32_t)job->ids.n;
        job->result.up = (uint32_t)(job->ids.n - alive);
        report_count(job, "stop", job->ids.n - alive, job->ids.n);
        if (alive > 0)
                return;
        if (job->gone)
                job->gone(job);
        else
                job_finish(job);
}

static void check(Job *job) {
        switch (job->wait) {
        case JOB_WAIT_LAUNCHED:
                check_launched(job);
                break;
        case JOB_WAIT_UP:
                check_up(job);
                break;
        case JOB_WAIT_GONE:
                check_gone(job);
                break;
        case JOB_WAIT_IMPORT:
        case JOB_WAIT_DONE:
        default:
                break;
        }
}

static int add_formation(const FormationInfo *info, void *userdata) {
        Job *job = userdata;
        FormationInfo *list =
                reallocarray(job->formation, job->result.n_formation + 1, sizeof(*list));

        if (!list)
                return -ENOMEM;
        job->formation = list;
        list[job->result.n_formation++] = *info;
        return 0;
}

static void complete_result(Job *job) {
        JobResult *result = &job->result;

        if (job->with_formation && job->app &&
            manager_visit_formation(job->manager, job->app, add_formation, job) < 0)
                log_warning("no memory for the formation of a job's result, going on without");

        result->duration_usec = manager_now(job->manager) - job->started_usec;
        result->slug = job->digest;
        result->notes = (const char *const *)job->notes.items;
        result->config = (const char *const *)job->config.items;
        result->changed = (const char *const *)job->changed.items;
        result->dynos = (const char *const *)job->names.items;
        result->formation = job->formation;
        result->dyno = job->dyno;
        result->dyno_id = job->dyno_id;
        result->code = job->code;
}

static void report_done(Job *job) {
        const JobEvents *events = job->events;

        complete_result(job);
        if (events && events->done)
                events->done(
                        job->id, job->failed ? &job->error : NULL, &job->result, job->userdata);
        (void)job_free(job);
}

/* A report may lead to anything, so that the list is looked at from its head again. */
static Job *next_done(const Manager *manager) {
        Job *oldest = NULL;

        for (Job *job = manager->jobs; job; job = job->next)
                if (job->wait == JOB_WAIT_DONE)
                        oldest = job;

        return oldest;
}

int jobs_dispatch(sd_event_source *source, void *userdata) {
        Manager *manager = userdata;
        Job *job, *next;

        for (job = manager->jobs; job; job = next) {
                next = job->next;
                check(job);
        }
        while ((job = next_done(manager)) != NULL)
                report_done(job);

        return 0;
}

void manager_client_gone(Manager *manager, void *userdata) {
        Job *job, *next;

        for (job = manager->jobs; job; job = next) {
                next = job->next;
                if (job->userdata != userdata || !job->events)
                        continue;
                job->events = NULL;
                job->userdata = NULL;
                if (job->wait == JOB_WAIT_IMPORT && (!job->import || !import_is_read(job->import)))
                        (void)job_free(job); /* cancels what is still read from the client */
        }
}
