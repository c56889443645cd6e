/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/render.h"
#include "cli/text.h"
#include "dynod/bus.h"

int cmd_apps(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *apps = NULL;

        if (client_call(invocation->client, &apps, reterr, "ListApps", "") < 0)
                return -1;
        if (cli_print_json(invocation, apps))
                return 0;
        if (json_length(apps) == 0) {
                (void)fprintf(
                        invocation->output->out,
                        "No apps yet. Make one: herokuctl apps:create APP\n");
                return 0;
        }
        return render_apps(invocation->output, apps);
}

int cmd_apps_create(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *facts = NULL;
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        const char *app = invocation->n_args > 0 ? invocation->args[0] : invocation->app;

        if (!app) {
                failure_set(
                        reterr,
                        DYNOD_ERROR_USAGE,
                        "An app needs a name.\nWrite: herokuctl apps:create shop");
                return -1;
        }
        action_begin(&action, "Creating %s", app);
        if (client_call(
                    invocation->client,
                    &facts,
                    reterr,
                    "CreateApp",
                    "ss",
                    app,
                    option_text(invocation, OPT_STACK)) < 0)
                return -1;
        if (json_has(facts, "stack"))
                action_end(&action, "done, stack is %s", json_text(facts, "stack"));
        else
                action_end(&action, "done");
        (void)cli_print_json(invocation, facts);
        return 0;
}

int cmd_apps_info(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *app = NULL;

        if (client_call(invocation->client, &app, reterr, "AppInfo", "s", invocation->app) < 0)
                return -1;
        if (cli_print_json(invocation, app))
                return 0;
        return render_app_info(invocation->output, app);
}

int cmd_apps_rename(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *facts = NULL;
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        const char *name = invocation->args[0];

        if (invocation->n_args != 1) {
                failure_set(
                        reterr,
                        DYNOD_ERROR_USAGE,
                        "One new name is needed.\nWrite: herokuctl apps:rename NEW -a OLD");
                return -1;
        }
        action_begin(&action, "Renaming %s to %s and restarting its dynos", invocation->app, name);
        if (client_call(
                    invocation->client, &facts, reterr, "RenameApp", "ss", invocation->app, name) <
            0)
                return -1;
        action_end(&action, "done");
        (void)cli_print_json(invocation, facts);
        return 0;
}

/* Asks on the terminal. Return: whether the app's name was typed. */
static bool confirmed_on_terminal(Invocation *invocation) {
        _cleanup_json_ struct json_object *app = NULL;
        _cleanup_failure_ Failure ignored = FAILURE_INIT;
        _cleanup_free_ char *line = NULL;
        uint64_t releases = 0;
        size_t size = 0;

        if (client_call(invocation->client, &app, &ignored, "AppInfo", "s", invocation->app) == 0)
                releases = json_number(app, "releases");
        (void)fprintf(
                invocation->output->err,
                "Type %s to destroy %s and its %" PRIu64 " release%s: ",
                invocation->app,
                invocation->app,
                releases,
                releases == 1 ? "" : "s");
        (void)fflush(invocation->output->err);
        if (getline(&line, &size, stdin) < 0)
                return false;
        line[strcspn(line, "\n")] = '\0';
        return strcmp(line, invocation->app) == 0;
}

static bool destroy_confirmed(Invocation *invocation, Failure *reterr) {
        if (option_is_set(invocation, OPT_CONFIRM)) {
                if (strcmp(option_text(invocation, OPT_CONFIRM), invocation->app) == 0)
                        return true;
                failure_setf(
                        reterr,
                        DYNOD_ERROR_FAILED,
                        "--confirm says \"%s\", the app is \"%s\". Nothing was destroyed.",
                        option_text(invocation, OPT_CONFIRM),
                        invocation->app);
                return false;
        }
        if (isatty(STDIN_FILENO) != 1 || !invocation->output->err_terminal) {
                failure_setf(
                        reterr,
                        DYNOD_ERROR_USAGE,
                        "Destroying %s needs its name twice. Nothing was destroyed.\n"
                        "Write: herokuctl apps:destroy %s --confirm %s",
                        invocation->app,
                        invocation->app,
                        invocation->app);
                return false;
        }
        if (confirmed_on_terminal(invocation))
                return true;
        failure_set(reterr, DYNOD_ERROR_FAILED, "That was another name. Nothing was destroyed.");
        return false;
}

static int send_destroy(Invocation *invocation, struct json_object **ret, Failure *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = client_message(invocation->client, &m, "DestroyApp");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", invocation->app);
        if (r < 0)
                return cli_internal_error(reterr, r);
        return client_run_job(invocation->client, m, NULL, ret, reterr);
}

/* ", 2 firewall rules", or nothing. */
static void append_count(char *text, size_t size, uint64_t n, const char *what) {
        size_t used = strlen(text);

        if (n > 0 && used < size)
                (void)snprintf(
                        text + used, size - used, ", %" PRIu64 " %s%s", n, what, n == 1 ? "" : "s");
}

static void end_destroy(Action *action, struct json_object *facts) {
        uint64_t dynos = json_number(facts, "dynos"), slugs = json_number(facts, "slugs");
        uint64_t releases = json_number(facts, "releases");
        char size[TEXT_NUMBER_SIZE], network[128] = "";

        text_bytes(size, json_number(facts, "bytes"));
        append_count(network, sizeof(network), json_number(facts, "rules"), "firewall rule");
        append_count(network, sizeof(network), json_number(facts, "trusted"), "trusted network");
        append_count(network, sizeof(network), json_number(facts, "published"), "published port");
        append_count(network, sizeof(network), json_number(facts, "services"), "service");
        action_end(
                action,
                "done: %" PRIu64 " dyno%s stopped, %" PRIu64 " release%s, %" PRIu64
                " slug%s (%s)%s",
                dynos,
                dynos == 1 ? "" : "s",
                releases,
                releases == 1 ? "" : "s",
                slugs,
                slugs == 1 ? "" : "s",
                size,
                network);
}

int cmd_apps_destroy(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *facts = NULL;
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        int r;

        if (!destroy_confirmed(invocation, reterr))
                return -1;
        action_begin(&action, "Destroying %s", invocation->app);
        r = send_destroy(invocation, &facts, reterr);
        if (r < 0)
                return -1;
        if (r == JOB_E_INTERRUPTED) {
                action_end(&action, "going on in the background");
                return 1;
        }
        end_destroy(&action, facts);
        (void)cli_print_json(invocation, facts);
        return 0;
}
