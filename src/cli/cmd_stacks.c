/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/render.h"
#include "cli/rollout.h"
#include "dynod/bus.h"

int cmd_stacks(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *stacks = NULL;

        if (client_call(invocation->client, &stacks, reterr, "ListStacks", "") < 0)
                return -1;
        if (cli_print_json(invocation, stacks))
                return 0;
        if (json_length(stacks) == 0) {
                (void)fprintf(
                        invocation->output->out,
                        "No stacks yet. Make one:\n"
                        "  mmdebstrap bookworm - | herokuctl stacks:import debian-12 -\n");
                return 0;
        }
        return render_stacks(invocation->output, stacks);
}

int cmd_stacks_import(Invocation *invocation, Failure *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        Rollout rollout = {.invocation = invocation, .kind = ROLLOUT_IMPORT};
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (rollout_open(&rollout, invocation->args[1], &fd, reterr) < 0)
                return -1;
        r = client_message(invocation->client, &m, "ImportStack");
        if (r >= 0)
                r = sd_bus_message_append(
                        m,
                        "shts",
                        invocation->args[0],
                        fd,
                        rollout.size,
                        option_text(invocation, OPT_CHECKSUM));
        if (r < 0)
                return cli_internal_error(reterr, r);
        return rollout_run(&rollout, m, reterr);
}

int cmd_stacks_remove(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *facts = NULL;
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);

        action_begin(&action, "Removing stack %s", invocation->args[0]);
        if (client_call(
                    invocation->client, &facts, reterr, "RemoveStack", "s", invocation->args[0]) <
            0)
                return -1;
        action_end(&action, "done");
        (void)cli_print_json(invocation, facts);
        return 0;
}

int cmd_stack(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *app = NULL;

        if (client_call(invocation->client, &app, reterr, "AppInfo", "s", invocation->app) < 0)
                return -1;
        if (cli_print_json(invocation, app))
                return 0;
        (void)fprintf(invocation->output->out, "%s", json_text(app, "stack"));
        if (json_number(app, "stack_version") > 0)
                (void)fprintf(
                        invocation->output->out, "@%" PRIu64, json_number(app, "stack_version"));
        (void)fputc('\n', invocation->output->out);
        return 0;
}

int cmd_stack_set(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *facts = NULL;
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);

        action_begin(&action, "Setting stack of %s to %s", invocation->app, invocation->args[0]);
        if (client_call(
                    invocation->client,
                    &facts,
                    reterr,
                    "SetStack",
                    "ss",
                    invocation->app,
                    invocation->args[0]) < 0)
                return -1;
        action_end(&action, "done, its next release runs on it");
        (void)cli_print_json(invocation, facts);
        return 0;
}

static int append_processes(sd_bus_message *m, const OptionValue *processes) {
        int r = sd_bus_message_open_container(m, 'a', "{ss}");

        for (size_t i = 0; r >= 0 && i < processes->n; i++) {
                const char *equals = strchr(processes->values[i], '=');
                _cleanup_free_ char *type =
                        strndup(processes->values[i], (size_t)(equals - processes->values[i]));

                r = type ? sd_bus_message_append(m, "{ss}", type, equals + 1) : -ENOMEM;
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int cmd_deploy(Invocation *invocation, Failure *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        Rollout rollout = {.invocation = invocation, .kind = ROLLOUT_DEPLOY};
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (rollout_open(&rollout, invocation->args[0], &fd, reterr) < 0)
                return -1;
        r = client_message(invocation->client, &m, "Deploy");
        if (r >= 0)
                r = sd_bus_message_append(
                        m,
                        "shts",
                        invocation->app,
                        fd,
                        rollout.size,
                        option_text(invocation, OPT_CHECKSUM));
        if (r >= 0)
                r = append_processes(m, &invocation->options[OPT_PROCESS]);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", rollout.file);
        if (r < 0)
                return cli_internal_error(reterr, r);
        return rollout_run(&rollout, m, reterr);
}
