/* SPDX-License-Identifier: Apache-2.0 */

/* Releases: each deploy, config change and rollback is one. */

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "supervisor/dyno.h"
#include "supervisor/job.h"

Release *manager_copy_release(const App *app) {
        _cleanup_(release_freep) Release *copy = calloc(1, sizeof(*copy));
        const Release *from = app->release;

        if (!copy || !from)
                return TAKE_PTR(copy);

        copy->has_slug = from->has_slug;
        memcpy(copy->slug, from->slug, DIGEST_SIZE);
        copy->slug_bytes = from->slug_bytes;
        memcpy(copy->stack, from->stack, sizeof(copy->stack));
        copy->stack_version = from->stack_version;
        memcpy(copy->stack_digest, from->stack_digest, DIGEST_SIZE);
        if (pairs_copy(&copy->processes, &from->processes) < 0 ||
            pairs_copy(&copy->config, &from->config) < 0)
                return NULL;

        return TAKE_PTR(copy);
}

int manager_make_release(
        Manager *manager, App *app, const char *user, Release *release, const Formation *first) {
        _cleanup_(release_freep) Release *owned = release;
        int r;

        assert(release->description);

        owned->number = app->release ? app->release->number + 1 : 1;
        owned->created_usec = manager_realtime(manager);
        (void)snprintf(owned->user, sizeof(owned->user), "%s", user);

        r = store_begin(manager->store);
        if (r < 0)
                return r;
        r = store_add_release(manager->store, app->row.id, owned);
        if (r == 0 && first)
                r = store_set_formation(manager->store, app->row.id, first);
        if (r == 0 && first)
                r = app_set_formation(app, first);
        if (r < 0) {
                store_rollback(manager->store);
                return r;
        }
        r = store_commit(manager->store);
        if (r < 0)
                return r;

        (void)release_free(app->release);
        app->release = TAKE_PTR(owned);
        manager_log_api(manager, app, "%s by user %s", app->release->description, user);
        manager_log_api(manager, app, "Release v%u created by user %s", app->release->number, user);
        manager_reconcile(manager, app);
        return 0;
}

/* ---- listing ---- */

typedef struct ReleaseList {
        const App *app;
        ReleaseVisitor visit;
        void *userdata;
} ReleaseList;

static int visit_release(const Release *release, void *userdata) {
        const ReleaseList *list = userdata;
        char slug[DIGEST_TEXT_SIZE] = "";
        ReleaseInfo info = {
                .number = release->number,
                .current = list->app->release && release->number == list->app->release->number,
                .description = release->description,
                .user = release->user,
                .created_usec = release->created_usec,
                .slug = slug,
                .slug_bytes = release->slug_bytes,
                .stack = release->stack,
                .stack_version = release->stack_version,
        };
        _cleanup_strings_ Strings processes = {0}, names = {0};
        int r = 0;

        if (release->has_slug)
                format_digest(release->slug, slug);
        for (size_t i = 0; i < release->processes.n && r == 0; i++) {
                r = strings_add(&processes, release->processes.items[i].name);
                if (r == 0)
                        r = strings_add(&processes, release->processes.items[i].value);
        }
        for (size_t i = 0; i < release->config.n && r == 0; i++)
                r = strings_add(&names, release->config.items[i].name);
        if (r < 0)
                return r;

        info.processes = (const char *const *)processes.items;
        info.config_names = (const char *const *)names.items;
        return list->visit(&info, list->userdata);
}

int manager_list_releases(
        Manager *manager,
        const char *app,
        ReleaseVisitor visit,
        void *userdata,
        ManagerError *reterr) {
        ReleaseList list = {.visit = visit, .userdata = userdata};
        App *found = NULL;
        int r;

        r = manager_find_app(manager, app, &found, reterr);
        if (r != 0)
                return r;

        list.app = found;
        return store_list_releases(manager->store, found->row.id, visit_release, &list);
}

/* An older release from the store. @number: not 0 */
static int read_release(
        Manager *manager, const App *app, uint32_t number, Release **ret, ManagerError *reterr) {
        int r = store_read_release(manager->store, app->row.id, number, ret);

        if (r != STORE_E_NOT_FOUND)
                return r;
        (void)refuse(
                reterr,
                DYNOD_ERROR_NO_SUCH_RELEASE,
                "No release v%u of %s.",
                number,
                app->row.name);
        return refuse_hint(reterr, "herokuctl releases -a %s", app->row.name);
}

int manager_release_info(
        Manager *manager,
        const char *app,
        uint32_t release,
        ReleaseVisitor visit,
        void *userdata,
        ManagerError *reterr) {
        _cleanup_(release_freep) Release *read = NULL;
        ReleaseList list = {.visit = visit, .userdata = userdata};
        App *found = NULL;
        int r;

        r = manager_find_app(manager, app, &found, reterr);
        if (r != 0)
                return r;
        list.app = found;
        if (release == 0 && !found->release) {
                (void)refuse(
                        reterr, DYNOD_ERROR_NO_RELEASE, "%s has no release yet.", found->row.name);
                return refuse_hint(reterr, "herokuctl deploy SLUG.tgz -a %s", found->row.name);
        }
        if (release == 0 || (found->release && release == found->release->number))
                return visit_release(found->release, &list);

        r = read_release(manager, found, release, &read, reterr);
        if (r != 0)
                return r;
        return visit_release(read, &list);
}

/* ---- rollback ---- */

/* "REDIS_URL leaves", "KEY comes back", "KEY changes": what a rollback does to the config vars. */
static int describe_config(const Pairs *now, const Pairs *then, Strings *ret) {
        int r = 0;

        for (size_t i = 0; i < now->n && r == 0; i++) {
                const char *value = pairs_get(then, now->items[i].name);

                if (!value)
                        r = strings_addf(ret, "%s leaves", now->items[i].name);
                else if (strcmp(value, now->items[i].value) != 0)
                        r = strings_addf(ret, "%s changes", now->items[i].name);
        }
        for (size_t i = 0; i < then->n && r == 0; i++)
                if (!pairs_get(now, then->items[i].name))
                        r = strings_addf(ret, "%s comes back", then->items[i].name);

        return r;
}

/* The newest release before the current one that has a slug. Return: 0 or as read_release(). */
static int find_previous(Manager *manager, const App *app, Release **ret, ManagerError *reterr) {
        for (uint32_t n = app->release->number; n > 1; n--) {
                _cleanup_(release_freep) Release *release = NULL;
                int r = store_read_release(manager->store, app->row.id, n - 1, &release);

                if (r < 0)
                        return r;
                if (r == 0 && release->has_slug) {
                        *ret = TAKE_PTR(release);
                        return 0;
                }
        }

        return refuse(
                reterr,
                DYNOD_ERROR_NO_SUCH_RELEASE,
                "%s has no release before v%u to go back to. Nothing was changed.",
                app->row.name,
                app->release->number);
}

static int
check_rollback(Manager *manager, const App *app, const Release *target, ManagerError *reterr) {
        if (!target->has_slug)
                return refuse(
                        reterr,
                        DYNOD_ERROR_NO_SUCH_RELEASE,
                        "v%u of %s has no slug: nothing was deployed then. Nothing was changed.",
                        target->number,
                        app->row.name);
        if (target->number == app->release->number)
                return refuse(
                        reterr,
                        DYNOD_ERROR_INVALID_ARGUMENT,
                        "v%u is the current release of %s. Nothing was changed.",
                        target->number,
                        app->row.name);

        for (const Stack *stack = manager->stacks; stack; stack = stack->next)
                if (memcmp(stack->digest, target->stack_digest, DIGEST_SIZE) == 0)
                        return 0;
        return refuse(
                reterr,
                DYNOD_ERROR_NO_SUCH_STACK,
                "v%u of %s needs the stack %s@%u, which was removed. Nothing was changed.",
                target->number,
                app->row.name,
                target->stack,
                target->stack_version);
}

int manager_rollback(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        uint32_t release,
        uint32_t *ret_job,
        ManagerError *reterr) {
        _cleanup_(release_freep) Release *target = NULL;
        App *found = NULL;
        Job *job = NULL;
        uint32_t to;
        int r;

        r = manager_find_deployed(manager, app, &found, reterr);
        if (r == 0)
                r = release == 0 ? find_previous(manager, found, &target, reterr)
                                 : read_release(manager, found, release, &target, reterr);
        assert(r != 0 || target);
        if (r == 0)
                r = check_rollback(manager, found, target, reterr);
        if (r == 0)
                r = job_new(&job, manager, client, found, reterr);
        if (r != 0)
                return r;

        assert(target);
        to = target->number;
        free(target->description);
        target->description = NULL;
        if (asprintf(&target->description, "Rollback to v%u", to) < 0) {
                target->description = NULL; /* asprintf() leaves it undefined */
                (void)job_free(job);
                return -ENOMEM;
        }
        r = describe_config(&found->release->config, &target->config, &job->config);
        if (r == 0)
                r = manager_make_release(manager, found, job->user, TAKE_PTR(target), NULL);
        if (r < 0) {
                (void)job_free(job);
                return refuse_errno(reterr, r, "the rollback cannot be stored");
        }

        job->result.release = found->release->number;
        job->result.rollback_to = to;
        format_digest(found->release->slug, job->digest);
        job_wait(job, JOB_WAIT_LAUNCHED);
        *ret_job = job->id;
        return 0;
}

/* ---- config vars ---- */

int manager_get_config(
        Manager *manager,
        const char *app,
        PairVisitor visit,
        void *userdata,
        ManagerError *reterr) {
        const Pairs *config;
        App *found = NULL;
        int r;

        r = manager_find_app(manager, app, &found, reterr);
        if (r != 0 || !found->release)
                return r;

        config = &found->release->config;
        for (size_t i = 0; i < config->n; i++) {
                r = visit(config->items[i].name, config->items[i].value, userdata);
                if (r != 0)
                        return r;
        }

        return 0;
}

static int check_config_name(const char *name, ManagerError *reterr) {
        if (config_name_is_valid(name))
                return 0;
        return refuse(
                reterr,
                DYNOD_ERROR_INVALID_NAME,
                "\"%.80s\" cannot be a config var: letters, digits and _, not a digit first, at "
                "most "
                "%d characters, neither __ nor HEROKU_ at the beginning. Nothing was changed.",
                name,
                CONFIG_NAME_MAX);
}

/* Applies @change to @config. @set, @unset: names that really change. */
static int apply_change(
        Pairs *config,
        const ConfigChange *change,
        Strings *set,
        Strings *unset,
        ManagerError *reterr) {
        int r;

        for (size_t i = 0; change->set && change->set[i]; i += 2) {
                const char *old = pairs_get(config, change->set[i]);

                r = check_config_name(change->set[i], reterr);
                if (r != 0)
                        return r;
                if (old && strcmp(old, change->set[i + 1]) == 0)
                        continue;
                r = pairs_set(config, change->set[i], change->set[i + 1]);
                if (r == 0)
                        r = strings_add(set, change->set[i]);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; change->unset && change->unset[i]; i++) {
                r = check_config_name(change->unset[i], reterr);
                if (r == 0 && pairs_unset(config, change->unset[i]))
                        r = strings_add(unset, change->unset[i]);
                if (r != 0)
                        return r;
        }

        return 0;
}

/* "Set A, B config vars", "Remove C config vars", as on Heroku: names, never values. */
static char *describe_change(const Strings *set, const Strings *unset) {
        _cleanup_free_ char *a = strings_join((const char *const *)set->items, ", ");
        _cleanup_free_ char *b = strings_join((const char *const *)unset->items, ", ");
        char *text = NULL;
        int n;

        if (!a || !b)
                return NULL;
        if (set->n > 0 && unset->n > 0)
                n = asprintf(&text, "Set %s config vars, remove %s", a, b);
        else if (set->n > 0)
                n = asprintf(&text, "Set %s config vars", a);
        else
                n = asprintf(&text, "Remove %s config vars", b);

        return n < 0 ? NULL : text;
}

static int make_changed_release(
        Manager *manager, App *app, const ConfigChange *change, Job *job, ManagerError *reterr) {
        _cleanup_(release_freep) Release *release = manager_copy_release(app);
        _cleanup_strings_ Strings set = {0}, unset = {0};
        size_t bytes;
        int r;

        if (!release)
                return -ENOMEM;
        r = apply_change(&release->config, change, &set, &unset, reterr);
        if (r != 0)
                return r;
        if (set.n == 0 && unset.n == 0)
                return 0;

        if (release->config.n > APP_CONFIG_VARS_MAX)
                return refuse(
                        reterr,
                        DYNOD_ERROR_LIMIT,
                        "%s would have %zu config vars, %d are the limit. Nothing was changed.",
                        app->row.name,
                        release->config.n,
                        APP_CONFIG_VARS_MAX);
        bytes = pairs_bytes(&release->config);
        if (bytes > APP_CONFIG_MAX)
                return refuse(
                        reterr,
                        DYNOD_ERROR_LIMIT,
                        "The config vars of %s would be %zu bytes, %d are the limit. Nothing was "
                        "changed.",
                        app->row.name,
                        bytes,
                        APP_CONFIG_MAX);

        release->description = describe_change(&set, &unset);
        if (!release->description)
                return -ENOMEM;
        r = manager_make_release(manager, app, job->user, TAKE_PTR(release), NULL);
        if (r < 0)
                return refuse_errno(reterr, r, "the config vars cannot be stored");

        job->result.release = app->release->number;
        for (size_t i = 0; i < set.n && r == 0; i++)
                r = strings_add(&job->config, set.items[i]);
        for (size_t i = 0; i < unset.n && r == 0; i++)
                r = strings_add(&job->config, unset.items[i]);
        return 0; /* the names are for show */
}

int manager_change_config(
        Manager *manager,
        const ManagerClient *client,
        const char *app,
        const ConfigChange *change,
        uint32_t *ret_job,
        ManagerError *reterr) {
        App *found = NULL;
        Job *job = NULL;
        int r;

        r = manager_find_app(manager, app, &found, reterr);
        if (r == 0)
                r = job_new(&job, manager, client, found, reterr);
        if (r == 0)
                r = make_changed_release(manager, found, change, job, reterr);
        if (r != 0) {
                (void)job_free(job);
                return r;
        }

        job_wait(job, JOB_WAIT_LAUNCHED);
        *ret_job = job->id;
        return 0;
}
