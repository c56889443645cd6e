/* SPDX-License-Identifier: Apache-2.0 */

/* Things by the names that users type; what is not there is refused with the nearest name. */

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/dyno.h"
#include "supervisor/suggest.h"

#define SHOWN_NAME 40 /* characters of a wrong name that a text repeats */

/* " Did you mean web?" or nothing. */
static void suggest_text(const Suggestion *s, char *buf, size_t size) {
        buf[0] = '\0';
        if (s->best)
                (void)snprintf(buf, size, " Did you mean %s?", s->best);
}

App *manager_app_by_name(Manager *manager, const char *name) {
        for (App *app = manager->apps; app; app = app->next)
                if (strcmp(app->row.name, name) == 0)
                        return app;

        return NULL;
}

App *manager_app_by_number(Manager *manager, uint32_t number) {
        for (App *app = manager->apps; app; app = app->next)
                if ((uint32_t)app->row.id == number)
                        return app;

        return NULL;
}

int manager_find_app(Manager *manager, const char *name, App **ret, ManagerError *reterr) {
        Suggestion s = {.wanted = name};
        App *app = manager_app_by_name(manager, name);
        char near[64];

        if (app && !app->destroying) {
                *ret = app;
                return 0;
        }

        for (App *other = manager->apps; other; other = other->next)
                if (!other->destroying)
                        suggestion_offer(&s, other->row.name);
        suggest_text(&s, near, sizeof(near));
        (void)refuse(reterr, DYNOD_ERROR_NO_SUCH_APP, "No app \"%.*s\".%s", SHOWN_NAME, name, near);
        return refuse_hint(reterr, manager->apps ? "herokuctl apps" : "herokuctl apps:create APP");
}

int manager_find_deployed(Manager *manager, const char *name, App **ret, ManagerError *reterr) {
        App *app = NULL;
        int r;

        r = manager_find_app(manager, name, &app, reterr);
        if (r != 0)
                return r;
        assert(app);
        if (!app_is_deployed(app)) {
                (void)refuse(
                        reterr,
                        DYNOD_ERROR_NO_RELEASE,
                        "Nothing was deployed to %s yet.",
                        app->row.name);
                return refuse_hint(reterr, "herokuctl deploy SLUG.tgz -a %s", app->row.name);
        }

        *ret = app;
        return 0;
}

Stack *manager_newest_stack(Manager *manager, const char *name) {
        Stack *newest = NULL;

        for (Stack *stack = manager->stacks; stack; stack = stack->next)
                if (strcmp(stack->name, name) == 0 && (!newest || stack->version > newest->version))
                        newest = stack;

        return newest;
}

static Stack *stack_version(Manager *manager, const char *name, uint32_t version) {
        for (Stack *stack = manager->stacks; stack; stack = stack->next)
                if (strcmp(stack->name, name) == 0 && stack->version == version)
                        return stack;

        return NULL;
}

int manager_find_stack(Manager *manager, const char *name, Stack **ret, ManagerError *reterr) {
        char plain[STACK_NAME_SIZE], near[64];
        const char *at = strchr(name, '@');
        Suggestion s = {.wanted = plain};
        uint32_t version = 0;
        Stack *stack = NULL;

        (void)snprintf(
                plain, sizeof(plain), "%.*s", at ? (int)(at - name) : (int)sizeof(plain) - 1, name);
        if (!at)
                stack = manager_newest_stack(manager, name);
        else if (parse_u32(at + 1, &version) == 0)
                stack = stack_version(manager, plain, version);
        if (stack) {
                *ret = stack;
                return 0;
        }

        if (!manager->stacks) {
                (void)refuse(
                        reterr,
                        DYNOD_ERROR_NO_STACK,
                        "No stack was imported yet, and every app needs one. Make one with "
                        "mmdebstrap, or use the tar of a stack image.");
                return refuse_hint(reterr, "herokuctl stacks:import debian-12 ROOT.tar.zst");
        }
        for (Stack *other = manager->stacks; other; other = other->next)
                suggestion_offer(&s, other->name);
        suggest_text(&s, near, sizeof(near));
        (void)refuse(
                reterr, DYNOD_ERROR_NO_SUCH_STACK, "No stack \"%.*s\".%s", SHOWN_NAME, name, near);
        return refuse_hint(reterr, "herokuctl stacks");
}

int manager_find_size(
        Manager *manager, const char *name, const DynoSize **ret, ManagerError *reterr) {
        const DynoSize *size = config_find_size(manager->config, name);
        Suggestion s = {.wanted = name};
        char near[64];

        if (size) {
                *ret = size;
                return 0;
        }

        for (size_t i = 0; i < manager->config->n_sizes; i++)
                suggestion_offer(&s, manager->config->sizes[i].name);
        suggest_text(&s, near, sizeof(near));
        (void)refuse(
                reterr,
                DYNOD_ERROR_NO_SUCH_SIZE,
                "No size \"%.*s\".%s Nothing was changed.",
                SHOWN_NAME,
                name,
                near);
        return refuse_hint(reterr, "herokuctl sizes");
}

int manager_check_type(App *app, const char *type, ManagerError *reterr) {
        const Pairs *processes = &app->release->processes;
        Suggestion s = {.wanted = type};
        char near[128], has[160] = "";
        size_t used = 0;

        if (pairs_get(processes, type))
                return 0;

        for (size_t i = 0; i < processes->n; i++) {
                suggestion_offer(&s, processes->items[i].name);
                if (used < sizeof(has))
                        used += (size_t)snprintf(
                                has + used,
                                sizeof(has) - used,
                                "%s%s",
                                i > 0 ? ", " : "",
                                processes->items[i].name);
        }
        suggest_text(&s, near, sizeof(near));
        return refuse(
                reterr,
                DYNOD_ERROR_NO_SUCH_TYPE,
                "No process type \"%.*s\" in release v%" PRIu32 " of %s.%s It has: %s.",
                SHOWN_NAME,
                type,
                app->release->number,
                app->row.name,
                near,
                has);
}

Dyno *manager_dyno_by_id(Manager *manager, const char *id) {
        for (Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                if (strcmp(dyno->id, id) == 0)
                        return dyno;

        return NULL;
}

int manager_find_dyno(
        App *app, const char *name, Manager *manager, Dyno **ret, ManagerError *reterr) {
        Suggestion s = {.wanted = name};
        char near[128];

        /* The list is newest first, so a name means its newest dyno. */
        for (Dyno *dyno = manager->dynos; dyno; dyno = dyno->next) {
                if (dyno->app != app)
                        continue;
                if (strcmp(dyno->id, name) == 0 ||
                    (strcmp(dyno->name, name) == 0 && !dyno->has_heir)) {
                        *ret = dyno;
                        return 0;
                }
                suggestion_offer(&s, dyno->name);
        }

        suggest_text(&s, near, sizeof(near));
        (void)refuse(
                reterr,
                DYNOD_ERROR_NO_SUCH_DYNO,
                "No dyno \"%.*s\" of %s.%s",
                SHOWN_NAME,
                name,
                app->row.name,
                near);
        return refuse_hint(reterr, "herokuctl ps -a %s", app->row.name);
}
