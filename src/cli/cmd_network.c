/* SPDX-License-Identifier: Apache-2.0 */

/* firewall, trusted-ips, services, ps:publish: an app's network policy. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/render.h"
#include "cli/text.h"

typedef int (*Renderer)(const Output *output, struct json_object *network);

/* What is left out on the bus is null in --json: the keys are always there. */
static bool print_json(const Invocation *invocation, struct json_object *network) {
        static const char *const keys[] = {"source", "problem"};
        static const char *const rule_keys[] = {"protocol", "covered_by"};
        struct json_object *rules = json_get(network, "rules");

        json_complete(network, keys, ARRAY_SIZE(keys));
        for (size_t i = 0; i < json_length(rules); i++)
                json_complete(json_at(rules, i), rule_keys, ARRAY_SIZE(rule_keys));
        return cli_print_json(invocation, network);
}

static int show(Invocation *invocation, Renderer render, Failure *reterr) {
        _cleanup_json_ struct json_object *network = NULL;
        int r;

        if (client_call(invocation->client, &network, reterr, "Network", "s", invocation->app) < 0)
                return -1;
        if (print_json(invocation, network))
                return 0;
        r = render(invocation->output, network);
        return r < 0 ? cli_internal_error(reterr, r) : 0;
}

/* ChangeNetwork with the arguments of the command line. @ret: the policy as it is now. */
static int
send_change(Invocation *invocation, const char *change, struct json_object **ret, Failure *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        int r;

        r = client_message(invocation->client, &m, "ChangeNetwork");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", invocation->app, change);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "s");
        for (size_t i = 0; r >= 0 && i < invocation->n_args; i++)
                r = sd_bus_message_append(m, "s", invocation->args[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                return cli_internal_error(reterr, r);
        if (client_send(invocation->client, m, &reply, reterr) < 0)
                return -1;
        r = json_from_message(ret, reply);
        return r < 0 ? cli_internal_error(reterr, r) : 0;
}

/* "applied to 3 dynos" */
static const char *applied(struct json_object *network, char ret[static 64]) {
        uint64_t n = json_number(network, "dynos");

        if (n == 0)
                return "no dyno runs";
        (void)snprintf(ret, 64, "applied to %" PRIu64 " dyno%s", n, n == 1 ? "" : "s");
        return ret;
}

/* The arguments as typed, for the title of an action. Owned by the caller. */
static char *join_arguments(const Invocation *invocation) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        for (size_t i = 0; f && i < invocation->n_args; i++)
                (void)fprintf(f, "%s%s", i > 0 ? ", " : "", invocation->args[i]);
        if (f)
                (void)fclose(f);
        return text;
}

/* Runs @change. @note: what to add to "done, applied to 3 dynos", or NULL. */
static int change_network(
        Invocation *invocation,
        const char *change,
        Action *action,
        const char *(*note)(struct json_object *network),
        Failure *reterr) {
        _cleanup_json_ struct json_object *network = NULL;
        const char *more = NULL;
        char buf[64];

        if (send_change(invocation, change, &network, reterr) < 0)
                return -1;
        if (note)
                more = note(network);
        if (!json_flag(network, "changed"))
                action_end(action, "nothing to do, it is so already%s", more ?: "");
        else
                action_end(action, "done, %s%s", applied(network, buf), more ?: "");
        (void)print_json(invocation, network);
        return 0;
}

/* ---- firewall ---- */

int cmd_firewall(Invocation *invocation, Failure *reterr) {
        return show(invocation, render_firewall, reterr);
}

/* Whoever allows something may think that this closes the rest. */
static const char *note_open(struct json_object *network) {
        return strcmp(json_text(network, "firewall"), "open") == 0 &&
                               strcmp(json_text(network, "text"), "allow any") != 0
                       ? "; what no rule fits is allowed, too: firewall:deny any closes it"
                       : NULL;
}

int cmd_firewall_allow(Invocation *invocation, Failure *reterr) {
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        _cleanup_free_ char *what = join_arguments(invocation);

        action_begin(&action, "Allowing %s for %s", what ?: "", invocation->app);
        return change_network(invocation, "allow", &action, note_open, reterr);
}

/* "any" closes what no rule fits; rules that allow stay. */
static const char *note_rules(struct json_object *network) {
        if (strcmp(json_text(network, "text"), "deny any") != 0)
                return NULL;
        for (size_t i = 0; i < json_length(json_get(network, "rules")); i++)
                if (strcmp(json_text(json_at(json_get(network, "rules"), i), "action"), "allow") ==
                    0)
                        return "; rules that allow something stay: see herokuctl firewall";
        return NULL;
}

int cmd_firewall_deny(Invocation *invocation, Failure *reterr) {
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        _cleanup_free_ char *what = join_arguments(invocation);

        action_begin(&action, "Denying %s for %s", what ?: "", invocation->app);
        return change_network(invocation, "deny", &action, note_rules, reterr);
}

int cmd_firewall_remove(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *network = NULL;
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        const char *text;
        char buf[64];

        action_begin(&action, "Removing rule %s of %s", invocation->args[0], invocation->app);
        if (send_change(invocation, "remove", &network, reterr) < 0)
                return -1;
        /* "remove allow 10.0.0.0/8" */
        text = json_text(network, "text");
        text = strncmp(text, "remove ", 7) == 0 ? text + 7 : text;
        action_end(&action, "done, \"%s\" is gone, %s", text, applied(network, buf));
        (void)print_json(invocation, network);
        return 0;
}

int cmd_firewall_reset(Invocation *invocation, Failure *reterr) {
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);

        action_begin(&action, "Opening the firewall of %s and removing its rules", invocation->app);
        return change_network(invocation, "reset", &action, NULL, reterr);
}

int cmd_firewall_source(Invocation *invocation, Failure *reterr) {
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);

        action_begin(
                &action,
                "Setting the source address of %s to %s",
                invocation->app,
                invocation->args[0]);
        return change_network(invocation, "source", &action, NULL, reterr);
}

/* ---- trusted-ips, in Heroku's words ---- */

int cmd_trusted_ips(Invocation *invocation, Failure *reterr) {
        return show(invocation, render_trusted, reterr);
}

static const char *note_trusted(struct json_object *network) {
        if (!json_flag(network, "restricted"))
                return "; everybody may connect";
        return json_length(json_get(network, "trusted")) > 0
                       ? "; all others are shut out"
                       : "; nobody may connect: add one, or 0.0.0.0/0 for everybody";
}

int cmd_trusted_ips_add(Invocation *invocation, Failure *reterr) {
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        _cleanup_free_ char *what = join_arguments(invocation);

        action_begin(&action, "Adding %s to trusted IP ranges on %s", what ?: "", invocation->app);
        return change_network(invocation, "trust", &action, note_trusted, reterr);
}

int cmd_trusted_ips_remove(Invocation *invocation, Failure *reterr) {
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        _cleanup_free_ char *what = join_arguments(invocation);

        action_begin(
                &action, "Removing %s from trusted IP ranges on %s", what ?: "", invocation->app);
        return change_network(invocation, "distrust", &action, note_trusted, reterr);
}

/* ---- published ports ---- */

int cmd_ps_publish(Invocation *invocation, Failure *reterr) {
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);

        if (invocation->n_args == 0)
                return show(invocation, render_published, reterr);
        action_begin(
                &action,
                "Publishing port %s of this host for web dynos of %s",
                invocation->args[invocation->n_args - 1],
                invocation->app);
        return change_network(invocation, "publish", &action, note_trusted, reterr);
}

int cmd_ps_unpublish(Invocation *invocation, Failure *reterr) {
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);

        action_begin(
                &action,
                "Closing port %s of this host for %s",
                invocation->args[invocation->n_args - 1],
                invocation->app);
        return change_network(invocation, "unpublish", &action, NULL, reterr);
}

/* ---- services ---- */

int cmd_services(Invocation *invocation, Failure *reterr) {
        return show(invocation, render_services, reterr);
}

int cmd_services_add(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *network = NULL;
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        const char *port = invocation->args[1];
        char buf[64];

        action_begin(&action, "Opening %s (%s) to %s", invocation->args[0], port, invocation->app);
        if (send_change(invocation, "add-service", &network, reterr) < 0)
                return -1;
        if (!json_flag(network, "changed"))
                action_end(&action, "nothing to do, it is so already");
        else
                action_end(
                        &action,
                        "done, dynos reach it at %s:%.*s, %s%s",
                        json_text(network, "service_address"),
                        (int)strcspn(port, "/"),
                        port,
                        applied(network, buf),
                        strstr(port, "/udp")
                                ? "; it has to be bound to that address, not to 0.0.0.0"
                                : "");
        (void)print_json(invocation, network);
        return 0;
}

int cmd_services_remove(Invocation *invocation, Failure *reterr) {
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);

        action_begin(&action, "Closing %s to %s", invocation->args[0], invocation->app);
        return change_network(invocation, "remove-service", &action, NULL, reterr);
}
