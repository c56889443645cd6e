/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>

#include "supervisor/app.h"

App *app_free(App *app) {
        if (!app)
                return NULL;

        policy_calls_free(app->network.calls);
        app->release = release_free(app->release);
        while (app->formation) {
                Formation *next = app->formation->next;

                free(app->formation);
                app->formation = next;
        }
        free(app);
        return NULL;
}

Formation *app_find_formation(App *app, const char *type) {
        for (Formation *f = app->formation; f; f = f->next)
                if (strcmp(f->type, type) == 0)
                        return f;

        return NULL;
}

uint32_t app_quantity(App *app, const char *type) {
        Formation *formation = app_find_formation(app, type);

        if (!formation || !app_is_deployed(app) || app->destroying ||
            !pairs_get(&app->release->processes, type))
                return 0;

        return formation->quantity;
}

int app_set_formation(App *app, const Formation *formation) {
        Formation *f = app_find_formation(app, formation->type);
        Formation **place = &app->formation;
        Formation *next;

        if (!f) {
                f = calloc(1, sizeof(*f));
                if (!f)
                        return -ENOMEM;
                while (*place && strcmp((*place)->type, formation->type) < 0)
                        place = &(*place)->next;
                f->next = *place;
                *place = f;
        }

        next = f->next;
        *f = *formation;
        f->next = next;
        return 0;
}
