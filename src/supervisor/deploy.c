/* SPDX-License-Identifier: Apache-2.0 */

/* Deploy: import a slug, make it a release, wait for its dynos. */

#include <string.h>

#include "supervisor/dyno.h"
#include "supervisor/job.h"

static int refuse_no_types(Job *job) {
        (void)refuse(
                &job->error,
                DYNOD_ERROR_NO_PROCESS_TYPES,
                "The slug has no Procfile, and no --process was given, so there is nothing to run. "
                "Nothing was changed.");
        return refuse_hint(
                &job->error, "herokuctl deploy FILE -a %s --process web='COMMAND'", job->app_name);
}

/* What of the old and the new release differs, for "web and worker changed". */
static int list_changed(const App *app, const Release *release, Strings *ret) {
        int r = 0;

        for (size_t i = 0; i < release->processes.n && r == 0; i++)
                r = strings_add(ret, release->processes.items[i].name);
        for (size_t i = 0; app->release && i < app->release->processes.n && r == 0; i++)
                if (!pairs_get(&release->processes, app->release->processes.items[i].name))
                        r = strings_add(ret, app->release->processes.items[i].name);

        return r;
}

/*
 * Before the commit: from then on an import of the same slug finds the tree there and
 * reads no Procfile, so that the store must know its process types.
 */
static int on_extracted(Import *import, void *userdata) {
        const UnpackCounts *counts = import_counts(import);
        Job *job = userdata;
        Slug slug = {
                .bytes = counts->tree_bytes,
                .files = counts->entries,
                .imported_usec = manager_realtime(job->manager),
        };
        int r;

        if (import_already(import))
                return 0;
        memcpy(slug.digest, import_digest(import), DIGEST_SIZE);
        r = pairs_copy(&slug.processes, import_processes(import));
        if (r == 0)
                r = store_add_slug(job->manager->store, &slug);
        slug_clear(&slug);
        return r;
}

/* Return: 0, MANAGER_E_REFUSED with job->error filled, or a negative errno. */
static int read_slug(Job *job, const Import *import, Slug *slug) {
        int r = store_read_slug(job->manager->store, import_digest(import), slug);

        if (r != STORE_E_NOT_FOUND)
                return r;

        /* A tree of a database that was lost: unpacked again, its Procfile is read. */
        manager_remove_object(job->manager, OBJECT_SLUG, import_digest(import));
        return refuse(
                &job->error,
                DYNOD_ERROR_FAILED,
                "The slug was left in the store by a database that is gone. It was cleared away: "
                "deploy it again. Nothing else was changed.");
}

/* Return: 0, MANAGER_E_REFUSED with job->error filled, or a negative errno. */
static int fill_release(Job *job, const Slug *slug, Release *release) {
        App *app = job->app;
        const Stack *stack = manager_newest_stack(job->manager, app->row.stack);
        char digest[DIGEST_TEXT_SIZE];
        int r = 0;

        if (!stack)
                return refuse(
                        &job->error,
                        DYNOD_ERROR_NO_SUCH_STACK,
                        "The stack %s of %s was removed. Nothing was changed.",
                        app->row.stack,
                        app->row.name);

        release->has_slug = true;
        memcpy(release->slug, slug->digest, DIGEST_SIZE);
        release->slug_bytes = slug->bytes;
        memcpy(release->stack, stack->name, sizeof(release->stack));
        release->stack_version = stack->version;
        memcpy(release->stack_digest, stack->digest, DIGEST_SIZE);

        pairs_clear(&release->processes);
        r = pairs_copy(&release->processes, &slug->processes);
        for (size_t i = 0; i < job->processes.n && r == 0; i++)
                r = pairs_set(
                        &release->processes,
                        job->processes.items[i].name,
                        job->processes.items[i].value);
        if (r < 0)
                return r;
        if (release->processes.n == 0)
                return refuse_no_types(job);

        format_digest(slug->digest, digest);
        if (asprintf(&release->description, "Deploy %.8s", digest) < 0) {
                release->description = NULL; /* asprintf() leaves it undefined */
                return -ENOMEM;
        }

        return 0;
}

static int make_release(Job *job, const Slug *slug) {
        Formation first = {.type = "web", .quantity = 1};
        _cleanup_(release_freep) Release *release = manager_copy_release(job->app);
        App *app = job->app;
        bool begin;
        int r;

        if (!release)
                return -ENOMEM;
        r = fill_release(job, slug, release);
        if (r != 0)
                return r;
        r = list_changed(app, release, &job->changed);
        if (r < 0)
                return r;

        /* web=1 for an app that was never scaled, as on Heroku. */
        begin = !app->formation && pairs_get(&release->processes, "web");
        if (begin) {
                r = manager_check_room(
                        job->manager,
                        1,
                        manager_formation_size(job->manager, &first)->memory_quota,
                        &job->error);
                if (r != 0)
                        return r;
        }
        return manager_make_release(
                job->manager, app, job->user, TAKE_PTR(release), begin ? &first : NULL);
}

static void report_release(Job *job, const Slug *slug) {
        JobProgress progress = {.phase = "release", .result = &job->result};

        job->result.release = job->app->release->number;
        job->result.files = slug->files;
        job->result.bytes = slug->bytes;
        format_digest(slug->digest, job->digest);

        /* Lent for this one report; they are set again at the end. */
        job->result.slug = job->digest;
        job->result.changed = (const char *const *)job->changed.items;
        job->result.notes = (const char *const *)job->notes.items;
        job->result.dyno = job->result.dyno_id = job->result.code = "";
        job_report_progress(job, &progress);
}

static void on_imported(Import *import, const ManagerError *error, void *userdata) {
        Job *job = userdata;
        Slug slug = {0};
        int r;

        job->import = NULL; /* freed by its owner after this */
        if (error) {
                job->error = *error;
                job_fail(job);
                return;
        }

        job->result.already = import_already(import);
        job->result.archive_bytes = import_total(import);
        r = import_notes(import_counts(import), &job->notes);
        if (r == 0)
                r = read_slug(job, import, &slug);
        if (r == 0)
                r = make_release(job, &slug);
        if (r < 0)
                (void)refuse_errno(&job->error, r, "the release cannot be stored");
        if (r != 0)
                job_fail(job);
        else {
                report_release(job, &slug);
                job->is_deploy = true;
                job->max_crashes = 1;
                job_wait(job, JOB_WAIT_UP);
        }
        slug_clear(&slug);
}

static void on_progress(Import *import, void *userdata) {
        const UnpackCounts *counts = import_counts(import);
        JobProgress progress = {
                .phase = import_is_read(import) ? "unpack" : "read",
                .done = counts->archive_bytes,
                .total = import_total(import),
                .files = counts->entries,
                .bytes = counts->tree_bytes,
        };

        job_report_progress(userdata, &progress);
}

/* --process TYPE=CMD */
static int take_processes(Job *job, const char *const *processes, ManagerError *reterr) {
        for (size_t i = 0; processes && processes[i]; i += 2) {
                int r;

                if (!process_type_is_valid(processes[i]))
                        return refuse(
                                reterr,
                                DYNOD_ERROR_INVALID_NAME,
                                "\"%.40s\" cannot be a process type: letters, digits, - and _, at "
                                "most %d characters. Nothing was changed.",
                                processes[i],
                                PROCESS_TYPE_SIZE - 1);
                if (processes[i + 1][0] == '\0' || strlen(processes[i + 1]) >= UNPACK_TEXT_SIZE ||
                    strchr(processes[i + 1], '\n'))
                        return refuse(
                                reterr,
                                DYNOD_ERROR_INVALID_ARGUMENT,
                                "The command of %s must be one line of 1 to %d bytes. Nothing was "
                                "changed.",
                                processes[i],
                                UNPACK_TEXT_SIZE - 1);
                r = pairs_set(&job->processes, processes[i], processes[i + 1]);
                if (r < 0)
                        return r;
        }

        return 0;
}

int manager_deploy(
        Manager *manager,
        const ManagerClient *client,
        const ImportRequest *request,
        uint32_t *ret_job,
        ManagerError *reterr) {
        ImportEvents events = {
                .progress = on_progress, .extracted = on_extracted, .done = on_imported};
        App *app = NULL;
        Stack *stack = NULL;
        Job *job = NULL;
        int r;

        r = manager_find_app(manager, request->name, &app, reterr);
        if (r == 0)
                r = manager_find_stack(manager, app->row.stack, &stack, reterr);
        if (r == 0)
                r = job_new(&job, manager, client, app, reterr);
        if (r == 0)
                r = take_processes(job, request->processes, reterr);
        if (r != 0) {
                (void)safe_close(request->fd);
                (void)job_free(job);
                return r;
        }

        events.userdata = job;
        r = import_start(&job->import, manager, OBJECT_SLUG, request, &events, reterr);
        if (r != 0) {
                (void)job_free(job);
                return r;
        }

        *ret_job = job->id;
        return 0;
}
