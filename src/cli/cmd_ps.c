/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "base/parse.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/logs.h"
#include "cli/render.h"
#include "cli/scale.h"
#include "cli/text.h"
#include "dynod/bus.h"

#define WAIT_DEFAULT_USEC (120 * USEC_PER_SEC) /* `ps:wait` of the contract */

/* What every dyno of `ps --json` has, null where there is none. */
static const char *const dyno_keys[] = {
        "id",          "name",    "app",          "type",        "command",       "size",
        "state",       "reason",  "release",      "stack",       "stack_version", "pid",
        "uid",         "address", "port",         "since",       "crashes",       "next_start",
        "exit_status", "memory",  "memory_limit", "cpu_seconds", "published",
};

/* Those of @dynos whose type or name is among @wanted; all if there is none. */
static struct json_object *
choose_dynos(struct json_object *dynos, const char *const *wanted, size_t n) {
        struct json_object *chosen = json_object_new_array();

        for (size_t i = 0; chosen && i < json_length(dynos); i++) {
                struct json_object *dyno = json_at(dynos, i);
                bool take = n == 0;

                for (size_t j = 0; j < n && !take; j++)
                        take = strcmp(wanted[j], json_text(dyno, "type")) == 0 ||
                               strcmp(wanted[j], json_text(dyno, "name")) == 0 ||
                               strcmp(wanted[j], json_text(dyno, "id")) == 0;
                if (take)
                        (void)json_object_array_add(chosen, json_object_get(dyno));
        }
        return chosen;
}

#define LAST_WORDS_MAX 8 /* crashed dynos whose log is asked for: history is read for each */

/* What a crashed dyno wrote last often says it all. */
static void add_last_words(Invocation *invocation, struct json_object *dynos) {
        size_t left = LAST_WORDS_MAX;

        for (size_t i = 0; i < json_length(dynos) && left > 0; i++) {
                struct json_object *dyno = json_at(dynos, i);
                _cleanup_free_ char *words = NULL;

                if (strcmp(json_text(dyno, "state"), "crashed") != 0)
                        continue;
                left--;
                words = logs_last_words(
                        invocation, json_text(dyno, "app"), json_text(dyno, "name"));
                if (words && *words)
                        (void)json_object_object_add(
                                dyno, "last_words", json_object_new_string(words));
        }
}

static void print_no_dynos(const Invocation *invocation) {
        if (!invocation->app)
                (void)fprintf(invocation->output->out, "No dynos on this host.\n");
        else if (invocation->n_args > 0)
                (void)fprintf(
                        invocation->output->out,
                        "No %s dynos on %s. Start one: herokuctl ps:scale %s=1 -a %s\n",
                        invocation->args[0],
                        invocation->app,
                        invocation->args[0],
                        invocation->app);
        else
                (void)fprintf(
                        invocation->output->out,
                        "No dynos on %s. Start one: herokuctl ps:scale web=1 -a %s\n",
                        invocation->app,
                        invocation->app);
}

int cmd_ps(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *dynos = NULL, *chosen = NULL;

        if (client_call(
                    invocation->client, &dynos, reterr, "ListDynos", "s", invocation->app ?: "") <
            0)
                return -1;
        chosen = choose_dynos(dynos, invocation->args, invocation->n_args);
        add_last_words(invocation, chosen);
        for (size_t i = 0; i < json_length(chosen); i++)
                json_complete(json_at(chosen, i), dyno_keys, ARRAY_SIZE(dyno_keys));
        if (cli_print_json(invocation, chosen))
                return 0;
        if (json_length(chosen) == 0) {
                print_no_dynos(invocation);
                return 0;
        }
        return render_ps(invocation->output, chosen, invocation->app == NULL);
}

static int show_formation(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *formation = NULL;

        if (client_call(invocation->client, &formation, reterr, "Formation", "s", invocation->app) <
            0)
                return -1;
        if (cli_print_json(invocation, formation))
                return 0;
        if (json_length(formation) == 0) {
                (void)fprintf(
                        invocation->output->out,
                        "%s has no process types yet. Deploy first: herokuctl deploy FILE -a %s\n",
                        invocation->app,
                        invocation->app);
                return 0;
        }
        return render_formation(invocation->output, formation);
}

static int scale_message(Invocation *invocation, sd_bus_message **ret, Failure *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = client_message(invocation->client, &m, "Scale");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", invocation->app);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sbis)");
        for (size_t i = 0; r >= 0 && i < invocation->n_args; i++) {
                ScaleArgument change;

                if (scale_parse(&change, invocation->args[i]) < 0) {
                        failure_setf(
                                reterr,
                                DYNOD_ERROR_USAGE,
                                "\"%s\" is not TYPE=N[:SIZE]. Nothing was changed.\n"
                                "Write: herokuctl ps:scale web=2:standard-2x worker+1",
                                invocation->args[i]);
                        return -1;
                }
                r = sd_bus_message_append(
                        m, "(sbis)", change.type, change.relative, change.quantity, change.size);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                return cli_internal_error(reterr, r);
        *ret = TAKE_PTR(m);
        return 0;
}

/* "web at 2:Standard-1X, worker at 1:Standard-2X": those that were asked for, as on Heroku. */
static void end_scale(Invocation *invocation, Action *action, struct json_object *facts) {
        struct json_object *formation = json_get(facts, "formation");
        const char *separator = "";
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        for (size_t i = 0; f && i < json_length(formation); i++) {
                struct json_object *item = json_at(formation, i);
                bool asked = false;

                for (size_t j = 0; j < invocation->n_args && !asked; j++) {
                        ScaleArgument change;

                        asked = scale_parse(&change, invocation->args[j]) == 0 &&
                                strcmp(change.type, json_text(item, "type")) == 0;
                }
                if (!asked)
                        continue;
                (void)fprintf(
                        f,
                        "%s%s at %" PRIu64 ":%s",
                        separator,
                        json_text(item, "type"),
                        json_number(item, "quantity"),
                        json_text(item, "size"));
                separator = ", ";
        }
        if (f)
                (void)fclose(f);
        action_end(action, "done, now running %s", text ?: "");
        free(text);
}

int cmd_ps_scale(Invocation *invocation, Failure *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_json_ struct json_object *facts = NULL;
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        int r;

        if (invocation->n_args == 0)
                return show_formation(invocation, reterr);
        if (scale_message(invocation, &m, reterr) < 0)
                return -1;
        action_begin(&action, "Scaling dynos");
        r = client_run_job(invocation->client, m, NULL, &facts, reterr);
        if (r < 0)
                return -1;
        if (r == JOB_E_INTERRUPTED) {
                action_end(&action, "still under way");
                return 1;
        }
        end_scale(invocation, &action, facts);
        (void)cli_print_json(invocation, facts);
        return 0;
}

/* RestartDynos and StopDynos: a job about @target. */
static int
target_job(Invocation *invocation, const char *method, struct json_object **ret, Failure *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = client_message(invocation->client, &m, method);
        if (r >= 0)
                r = sd_bus_message_append(
                        m,
                        "ss",
                        invocation->app,
                        invocation->n_args > 0 ? invocation->args[0] : "");
        if (r < 0)
                return cli_internal_error(reterr, r);
        return client_run_job(invocation->client, m, NULL, ret, reterr);
}

static int
run_on_target(Invocation *invocation, const char *method, Action *action, Failure *reterr) {
        _cleanup_json_ struct json_object *facts = NULL;
        int r = target_job(invocation, method, &facts, reterr);

        if (r < 0)
                return -1;
        action_end(action, r == JOB_E_INTERRUPTED ? "still under way" : "done");
        (void)cli_print_json(invocation, facts);
        return r == JOB_E_INTERRUPTED;
}

int cmd_ps_restart(Invocation *invocation, Failure *reterr) {
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        const char *target = invocation->n_args > 0 ? invocation->args[0] : NULL;

        if (target && strchr(target, '.'))
                action_begin(&action, "Restarting %s of %s", target, invocation->app);
        else if (target)
                action_begin(&action, "Restarting %s dynos of %s", target, invocation->app);
        else
                action_begin(&action, "Restarting dynos of %s", invocation->app);
        return run_on_target(invocation, "RestartDynos", &action, reterr);
}

int cmd_ps_stop(Invocation *invocation, Failure *reterr) {
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        const char *target = invocation->args[0];

        action_begin(
                &action,
                "Stopping %s%s of %s",
                target,
                strchr(target, '.') ? "" : " dynos",
                invocation->app);
        return run_on_target(invocation, "StopDynos", &action, reterr);
}

int cmd_ps_wait(Invocation *invocation, Failure *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_json_ struct json_object *facts = NULL;
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        uint64_t timeout = option_is_set(invocation, OPT_TIMEOUT)
                                   ? invocation->options[OPT_TIMEOUT].number
                                   : WAIT_DEFAULT_USEC;
        int r;

        r = client_message(invocation->client, &m, "WaitDynos");
        if (r >= 0)
                r = sd_bus_message_append(m, "st", invocation->app, timeout);
        if (r < 0)
                return cli_internal_error(reterr, r);
        action_begin(&action, "Waiting for the dynos of %s", invocation->app);
        r = client_run_job(invocation->client, m, NULL, &facts, reterr);
        if (r < 0)
                return -1;
        if (r == JOB_E_INTERRUPTED) {
                action_end(&action, "stopped");
                return 1;
        }
        action_end(
                &action,
                "done, %" PRIu64 " of %" PRIu64 " up",
                json_number(facts, "up"),
                json_number(facts, "total"));
        (void)cli_print_json(invocation, facts);
        return 0;
}

int cmd_ps_inspect(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *facts = NULL;
        bool failed = false;

        if (client_call(
                    invocation->client,
                    &facts,
                    reterr,
                    "Inspect",
                    "ss",
                    invocation->app,
                    invocation->args[0]) < 0)
                return -1;
        if (!invocation->output->json)
                return render_inspect(
                        invocation->output,
                        facts,
                        invocation->app,
                        option_is_set(invocation, OPT_TIMING));

        (void)cli_print_json(invocation, facts);
        for (size_t i = 0; i < json_length(json_get(facts, "layers")); i++)
                if (strcmp(json_text(json_at(json_get(facts, "layers"), i), "verdict"), "failed") ==
                    0)
                        failed = true;
        return failed;
}
