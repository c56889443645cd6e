/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* App: one app in memory, with its current release. Belongs to the Manager. */

#include "supervisor/model.h"
#include "supervisor/policy.h"
#include "supervisor/store.h"

#define APP_CONFIG_MAX 65536     /* bytes of all names and values: Heroku's limit */
#define APP_CONFIG_VARS_MAX 4000 /* a spec holds 4096 variables, ours and theirs */
#define APP_DYNOS_MAX 100        /* of its formation: Heroku's limit */
#define APPS_MAX 1000            /* per instance: a listing must stay cheap */

typedef struct PolicyCall PolicyCall;

/* The app's network policy and how far root has it; see network.c. */
typedef struct AppNetwork {
        Policy policy;       /* as in the store */
        uint64_t in_force;   /* serial that root has, or POLICY_UNKNOWN */
        bool under_way;      /* a LAUNCH_POLICY without an answer: no START meanwhile */
        char problem[200];   /* why root did not take it; empty: it did, or was not asked yet */
        uint64_t retry_usec; /* when root is told again, for it did not take it; else 0 */
        bool source_is_gone; /* the host has not the fixed source: its dynos reach nothing */
        PolicyCall *calls;   /* changes that were asked for, oldest first */
} AppNetwork;

#define POLICY_UNKNOWN UINT64_MAX /* root has to be told before the next START */

typedef struct App {
        struct App *next; /* sorted by name */
        Manager *manager;
        AppRow row;
        Release *release;     /* current; NULL: none yet */
        Formation *formation; /* sorted by type */
        bool destroying;      /* its dynos are on their way out */
        AppNetwork network;
} App;

void policy_calls_free(PolicyCall *calls);
App *app_free(App *app);
DEFINE_CLEANUP(App, app_free)

/* Something was deployed. */
static inline bool app_is_deployed(const App *app) {
        return app->release && app->release->has_slug;
}

/* The formation of @type; NULL if it was never scaled. */
Formation *app_find_formation(App *app, const char *type);
/* How many dynos of @type there should be: 0 for a type that the release does not have. */
uint32_t app_quantity(App *app, const char *type);
/* Sets it in memory. Return: 0 or -ENOMEM. */
int app_set_formation(App *app, const Formation *formation) _must_check_;
