/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From the formation to dynos. Idempotent: it looks at what there is and does what is
 * missing, whatever has happened before.
 */

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "supervisor/dyno.h"
#include "supervisor/job.h"

const DynoSize *manager_default_size(const Manager *manager) {
        const DynoSize *size = config_find_size(manager->config, "Standard-1X");

        return size ? size : &manager->config->sizes[0];
}

const DynoSize *manager_formation_size(const Manager *manager, const Formation *formation) {
        const DynoSize *size = NULL;

        if (formation && formation->size[0])
                size = config_find_size(manager->config, formation->size);

        return size ? size : manager_default_size(manager);
}

Dyno *manager_current_dyno(App *app, const char *type, uint32_t number, Manager *manager) {
        for (Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                if (dyno->app == app && dyno->number == number && !dyno->one_off &&
                    !dyno_is_leaving(dyno) && strcmp(dyno->type, type) == 0)
                        return dyno;

        return NULL;
}

uint64_t manager_memory_promised(const Manager *manager) {
        uint64_t bytes = 0;

        for (const Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                if (dyno_is_alive(dyno) && !dyno_is_leaving(dyno))
                        bytes += dyno->size.memory_quota;

        return bytes;
}

uint64_t manager_memory_wanted(const Manager *manager) {
        uint64_t bytes = 0;

        for (App *app = manager->apps; app; app = app->next)
                for (const Formation *f = app->formation; f; f = f->next)
                        bytes += app_quantity(app, f->type) *
                                 manager_formation_size(manager, f)->memory_quota;
        for (const Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                if (dyno->one_off && dyno_is_alive(dyno))
                        bytes += dyno->size.memory_quota;

        return bytes;
}

static uint32_t dynos_wanted(const Manager *manager) {
        uint32_t n = 0;

        for (App *app = manager->apps; app; app = app->next)
                for (const Formation *f = app->formation; f; f = f->next)
                        n += app_quantity(app, f->type);
        for (const Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                n += dyno->one_off && dyno_is_alive(dyno);

        return n;
}

int manager_check_room(Manager *manager, uint32_t dynos, uint64_t bytes, ManagerError *reterr) {
        uint64_t wanted = manager_memory_wanted(manager), limit = manager->memory_total;
        uint32_t n = dynos_wanted(manager);

        if (dynos > 0 && n + dynos > manager->config->max_dynos)
                return refuse(
                        reterr,
                        DYNOD_ERROR_LIMIT,
                        "%" PRIu32 " dynos more would be too many: this host has %" PRIu32
                        " of max_dynos = %" PRIu32 ". Nothing was changed.",
                        dynos,
                        n,
                        manager->config->max_dynos);
        if (bytes == 0 || limit == 0 || wanted + bytes <= limit)
                return 0;

        (void)refuse(
                reterr,
                DYNOD_ERROR_NO_MEMORY,
                "No memory for that: %" PRIu64 " MB more, %" PRIu64 " of %" PRIu64
                " MB are promised already. Nothing was changed. Scale something down, take a "
                "smaller size, or raise memory_overcommit in dynod.conf.",
                bytes >> 20,
                wanted >> 20,
                limit >> 20);
        return refuse_hint(reterr, "herokuctl ps -A");
}

static int make_missing(Manager *manager, App *app, const char *type, uint32_t number) {
        const DynoSize *size = manager_formation_size(manager, app_find_formation(app, type));
        Dyno *dyno;
        int r;

        r = dyno_new(&dyno, manager, app, type, number);
        if (r < 0)
                return r;
        dyno->size = *size;
        dyno_handle_event(dyno, DYNO_EV_START);
        return 0;
}

static int reconcile_one(Manager *manager, App *app, const char *type, uint32_t number) {
        const DynoSize *size = manager_formation_size(manager, app_find_formation(app, type));
        Dyno *dyno = manager_current_dyno(app, type, number, manager);

        if (!dyno)
                return make_missing(manager, app, type, number);
        if (dyno->release == app->release->number && strcmp(dyno->size.name, size->name) == 0)
                return 0;

        if (dyno_is_alive(dyno))
                dyno_log(dyno, "Restarting");
        return dyno_replace(dyno, size) ? 0 : -ENOMEM;
}

void manager_reconcile(Manager *manager, App *app) {
        Dyno *dyno, *next;

        if (!manager->ready)
                return;

        /* Stopping one may free it, but no other. */
        for (dyno = manager->dynos; dyno; dyno = next) {
                next = dyno->next;
                if (dyno->app == app && !dyno->one_off && !dyno_is_leaving(dyno) &&
                    dyno->number > app_quantity(app, dyno->type))
                        dyno_stop(dyno, true);
        }

        if (!app_is_deployed(app))
                return;
        for (size_t i = 0; i < app->release->processes.n; i++) {
                const char *type = app->release->processes.items[i].name;

                for (uint32_t n = 1; n <= app_quantity(app, type); n++) {
                        int r = reconcile_one(manager, app, type, n);

                        if (r < 0)
                                (void)log_error_errno(
                                        r, "%s: cannot make %s.%u: %m", app->row.name, type, n);
                }
        }
        jobs_poke(manager);
}
