/* SPDX-License-Identifier: Apache-2.0 */

/* Apps: making, listing, renaming, destroying. */

#include <string.h>

#include "base/log.h"
#include "supervisor/dyno.h"
#include "supervisor/job.h"

static int visit_app(Manager *manager, App *app, AppVisitor visit, void *userdata) {
        char slug[DIGEST_TEXT_SIZE] = "";
        AppInfo info = {
                .name = app->row.name,
                .stack = app->row.stack,
                .user = app->row.user,
                .created_usec = app->row.created_usec,
                .slug = slug,
                .policy = &app->network.policy,
        };
        int r;

        if (app->release) {
                info.release = app->release->number;
                info.stack_version = app->release->stack_version;
                info.slug_bytes = app->release->slug_bytes;
        }
        if (app_is_deployed(app))
                format_digest(app->release->slug, slug);
        for (const Dyno *dyno = manager->dynos; dyno; dyno = dyno->next) {
                info.dynos += dyno->app == app && dyno_is_alive(dyno);
                info.up += dyno->app == app && dyno->state == DYNO_UP;
        }
        r = store_count_releases(manager->store, app->row.id, &info.releases);
        if (r < 0)
                return r;

        return visit(&info, userdata);
}

int manager_list_apps(Manager *manager, AppVisitor visit, void *userdata) {
        for (App *app = manager->apps; app; app = app->next) {
                int r = app->destroying ? 0 : visit_app(manager, app, visit, userdata);

                if (r != 0)
                        return r;
        }

        return 0;
}

int manager_app_info(
        Manager *manager, const char *app, AppVisitor visit, void *userdata, ManagerError *reterr) {
        App *found = NULL;
        int r = manager_find_app(manager, app, &found, reterr);

        return r == 0 ? visit_app(manager, found, visit, userdata) : r;
}

static int check_new_name(Manager *manager, const char *name, ManagerError *reterr) {
        if (!app_name_is_valid(name))
                return refuse(
                        reterr,
                        DYNOD_ERROR_INVALID_NAME,
                        "\"%.40s\" cannot be an app's name: a small letter, then small letters, "
                        "digits and -, 3 to 30 characters. Nothing was changed.",
                        name);
        if (manager_app_by_name(manager, name))
                return refuse(
                        reterr,
                        DYNOD_ERROR_EXISTS,
                        "There is an app %s already. Nothing was changed.",
                        name);

        return 0;
}

/* Puts @app where its name belongs. */
static void link_app(Manager *manager, App *app) {
        App **p = &manager->apps;

        while (*p && strcmp((*p)->row.name, app->row.name) < 0)
                p = &(*p)->next;
        app->next = *p;
        *p = app;
}

static void unlink_app(Manager *manager, const App *app) {
        for (App **p = &manager->apps; *p; p = &(*p)->next)
                if (*p == app) {
                        *p = app->next;
                        return;
                }
}

/* @name: "" for the one that was imported last */
static int choose_stack(Manager *manager, const char *name, Stack **ret, ManagerError *reterr) {
        Stack *last = manager->stacks;

        if (name[0] != '\0' || !last)
                return manager_find_stack(manager, name, ret, reterr);

        while (last->next)
                last = last->next;
        *ret = last;
        return 0;
}

static void tell_logger(Manager *manager, const App *app, const char *name) {
        int r = log_client_app(manager->log, (uint32_t)app->row.id, name);

        if (r < 0)
                manager_fail(manager, r, "cannot tell the logger of an app");
}

int manager_create_app(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        const char *stack,
        ManagerError *reterr) {
        _cleanup_(app_freep) App *made = NULL;
        Stack *chosen = NULL;
        unsigned n = 0;
        int r;

        r = check_new_name(manager, app, reterr);
        if (r == 0)
                r = choose_stack(manager, stack, &chosen, reterr);
        if (r != 0)
                return r;
        for (const App *other = manager->apps; other; other = other->next)
                n++;
        if (n >= APPS_MAX)
                return refuse(
                        reterr,
                        DYNOD_ERROR_LIMIT,
                        "There are %u apps, which is the limit. Nothing was changed.",
                        n);

        made = calloc(1, sizeof(*made));
        if (!made)
                return -ENOMEM;
        field_set(made->row.name, sizeof(made->row.name), app);
        memcpy(made->row.stack, chosen->name, sizeof(made->row.stack));
        (void)snprintf(
                made->row.user, sizeof(made->row.user), "%s", client->user ? client->user : "");
        made->manager = manager;
        made->row.created_usec = manager_realtime(manager);
        r = store_add_app(manager->store, &made->row);
        if (r < 0)
                return refuse_errno(reterr, r, "the app cannot be stored");

        tell_logger(manager, made, made->row.name);
        manager_log_api(manager, made, "Create app by user %s", made->row.user);
        link_app(manager, TAKE_PTR(made));
        return 0;
}

/*
 * A living dyno keeps the app's name that root knows it under, for its facts are fixed for
 * its life. So all of them are replaced.
 */
int manager_rename_app(
        Manager *manager, const char *app, const char *new_name, ManagerError *reterr) {
        App *found = NULL;
        Dyno *dyno, *next;
        int r;

        r = manager_find_app(manager, app, &found, reterr);
        if (r == 0)
                r = check_new_name(manager, new_name, reterr);
        if (r != 0)
                return r;
        r = store_rename_app(manager->store, found->row.id, new_name);
        if (r < 0)
                return refuse_errno(reterr, r, "the new name cannot be stored");

        tell_logger(manager, found, new_name);
        unlink_app(manager, found);
        field_set(found->row.name, sizeof(found->row.name), new_name);
        link_app(manager, found);
        for (dyno = manager->dynos; dyno; dyno = next) {
                next = dyno->next;
                if (dyno->app == found && !dyno->one_off && !dyno_is_leaving(dyno) &&
                    dyno_is_alive(dyno) && dyno->state != DYNO_STOPPING) {
                        dyno_log(dyno, "Restarting");
                        (void)dyno_replace(dyno, &dyno->size);
                } else if (dyno->app == found) {
                        dyno_file_write(dyno);
                }
        }
        return 0;
}

int manager_set_stack(Manager *manager, const char *app, const char *stack, ManagerError *reterr) {
        App *found = NULL;
        Stack *chosen = NULL;
        int r;

        r = manager_find_app(manager, app, &found, reterr);
        if (r == 0)
                r = manager_find_stack(manager, stack, &chosen, reterr);
        if (r != 0)
                return r;
        r = store_set_app_stack(manager->store, found->row.id, chosen->name);
        if (r < 0)
                return refuse_errno(reterr, r, "the stack cannot be stored");

        memcpy(found->row.stack, chosen->name, sizeof(found->row.stack));
        return 0;
}

/* ---- destroy ---- */

typedef struct SlugSweep {
        Manager *manager;
        uint8_t (*digests)[DIGEST_SIZE];
        size_t n;
        uint64_t bytes;
} SlugSweep;

/* One whose release is gone already. Root would keep the slug, and nobody would ask again. */
static bool has_dyno(const Manager *manager, const uint8_t *digest) {
        for (const Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                if (dyno_is_alive(dyno) && memcmp(dyno->slug, digest, DIGEST_SIZE) == 0)
                        return true;

        return false;
}

static int collect_slug(const uint8_t *digest, uint64_t bytes, void *userdata) {
        SlugSweep *sweep = userdata;
        void *more;

        if (has_dyno(sweep->manager, digest))
                return 0; /* the next sweep takes it */
        more = reallocarray(sweep->digests, sweep->n + 1, sizeof(*sweep->digests));

        if (!more)
                return -ENOMEM;
        sweep->digests = more;
        memcpy(sweep->digests[sweep->n++], digest, DIGEST_SIZE);
        sweep->bytes += bytes;
        return 0;
}

static bool is_importing(const Manager *manager) {
        for (const Import *import = manager->imports; import; import = import_next(import))
                if (import_kind(import) == OBJECT_SLUG)
                        return true;

        return false;
}

/* Slugs that no release uses. While one is imported it is nobody's yet: then nothing goes. */
static void sweep_slugs(Manager *manager, Job *job) {
        SlugSweep sweep = {.manager = manager};
        int r = 0;

        if (is_importing(manager))
                return;
        r = store_unused_slugs(manager->store, collect_slug, &sweep);
        for (size_t i = 0; i < sweep.n && r == 0; i++) {
                r = store_remove_slug(manager->store, sweep.digests[i]);
                if (r == 0)
                        manager_remove_object(manager, OBJECT_SLUG, sweep.digests[i]);
        }
        if (r < 0)
                (void)log_warning_errno(r, "cannot remove unused slugs, they stay on disk: %m");
        else {
                job->result.slugs = (uint32_t)sweep.n;
                job->result.bytes = sweep.bytes;
        }
        free(sweep.digests);
}

/* All its dynos are gone: JOB_WAIT_GONE calls this. */
static void finish_destroy(Job *job) {
        Manager *manager = job->manager;
        App *app = job->app;
        int r;

        job->gone = NULL;
        strings_clear(&job->names); /* the result of a destroy has their number alone */
        job->result.rules = (uint32_t)app->network.policy.n_rules;
        job->result.published = (uint32_t)app->network.policy.n_published;
        job->result.services = (uint32_t)app->network.policy.n_services;
        job->result.trusted = (uint32_t)app->network.policy.n_trusted;
        network_forget(app); /* before the store does: else nobody would tell root any more */
        r = store_count_releases(manager->store, app->row.id, &job->result.releases);
        if (r == 0)
                r = store_remove_app(manager->store, app->row.id);
        if (r < 0) {
                app->destroying = false;
                (void)network_is_in_force(app); /* tells root again */
                (void)refuse_errno(&job->error, r, "the app cannot be removed from the store");
                job_fail(job);
                manager_reconcile(manager, app);
                return;
        }

        for (Dyno *dyno = manager->dynos, *next; dyno; dyno = next) {
                next = dyno->next;
                if (dyno->app == app) {
                        dyno_file_remove(manager, dyno->id);
                        (void)dyno_free(dyno);
                }
        }
        jobs_forget_app(manager, app, job);
        r = log_client_forget(manager->log, (uint32_t)app->row.id, app->row.name);
        if (r < 0)
                manager_fail(manager, r, "cannot tell the logger that an app is gone");
        unlink_app(manager, app);
        job->app = NULL;
        (void)app_free(app);
        sweep_slugs(manager, job);
        job_finish(job);
}

int manager_destroy_app(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        uint32_t *ret_job,
        ManagerError *reterr) {
        App *found = NULL;
        Job *job = NULL;
        int r;

        r = manager_find_app(manager, app, &found, reterr);
        if (r == 0)
                r = job_new(&job, manager, client, found, reterr);
        if (r != 0)
                return r;

        for (const Dyno *dyno = manager->dynos; dyno && r == 0; dyno = dyno->next)
                if (dyno->app == found && dyno_is_alive(dyno)) {
                        r = strings_add(&job->ids, dyno->id);
                        if (r == 0)
                                r = strings_add(&job->names, dyno->name);
                }
        if (r < 0) {
                (void)job_free(job);
                return r;
        }

        found->destroying = true;
        for (Dyno *dyno = manager->dynos, *next; dyno; dyno = next) {
                next = dyno->next;
                if (dyno->app == found)
                        dyno_stop(dyno, true);
        }
        job->gone = finish_destroy;
        job_wait(job, JOB_WAIT_GONE);
        *ret_job = job->id;
        return 0;
}
