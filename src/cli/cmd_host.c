/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/build_config.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/render.h"
#include "cli/text.h"
#include "dynod/bus.h"
#include "dynod/exit_status.h"

int cmd_sizes(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *sizes = NULL;

        if (client_call(invocation->client, &sizes, reterr, "ListSizes", "") < 0)
                return -1;
        if (cli_print_json(invocation, sizes))
                return 0;
        return render_sizes(invocation->output, sizes);
}

int cmd_host_info(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *host = NULL;

        if (client_call(invocation->client, &host, reterr, "HostInfo", "") < 0)
                return -1;
        if (cli_print_json(invocation, host))
                return 0;
        return render_host(invocation->output, host);
}

int cmd_doctor(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *facts = NULL;
        bool strict = option_is_set(invocation, OPT_STRICT);
        int r;

        if (client_call(invocation->client, &facts, reterr, "Doctor", "") < 0)
                return -1;
        if (cli_print_json(invocation, facts)) {
                if (!json_flag(facts, "can_start"))
                        return DYNOD_EXIT_FAILED;
                return strict && json_length(json_get(facts, "allowed")) > 0 ? DYNOD_EXIT_FAILED
                                                                             : DYNOD_EXIT_OK;
        }
        r = render_doctor(invocation->output, facts);
        if (r < 0)
                return cli_internal_error(reterr, r);
        return r == 1 || (r == 2 && strict) ? DYNOD_EXIT_FAILED : DYNOD_EXIT_OK;
}

/* Works without the daemon: whoever asks for the version wants to know that, too. */
int cmd_version(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *facts = NULL;
        _cleanup_failure_ Failure failure = FAILURE_INIT;
        const char *daemon = NULL;

        if (!invocation->client &&
            client_connect(&invocation->client, invocation->options[OPT_SOCKET].text, &failure) < 0)
                invocation->client = NULL;
        if (invocation->client &&
            client_call(invocation->client, &facts, &failure, "Version", "") == 0)
                daemon = json_text(facts, "version");

        if (invocation->output->json) {
                _cleanup_json_ struct json_object *both = json_object_new_object();

                (void)json_object_object_add(
                        both, "herokuctl", json_object_new_string(DYNOD_VERSION));
                (void)json_object_object_add(
                        both, "dynod", daemon ? json_object_new_string(daemon) : NULL);
                (void)cli_print_json(invocation, both);
                return 0;
        }
        (void)fprintf(invocation->output->out, "herokuctl %s\n", DYNOD_VERSION);
        if (daemon)
                (void)fprintf(invocation->output->out, "dynod %s\n", daemon);
        else
                (void)fprintf(invocation->output->out, "dynod does not answer\n");
        return 0;
}

/* "runtime-17: dynos can start. 12 dynos, 3 apps", or why the daemon does not answer. */
static char *host_line(Invocation *invocation) {
        _cleanup_json_ struct json_object *host = NULL, *doctor = NULL;
        _cleanup_failure_ Failure failure = FAILURE_INIT;
        const char *verdict = "dynos cannot start, see herokuctl doctor";
        uint64_t dynos, apps;
        char *line = NULL;

        if (client_connect(&invocation->client, invocation->options[OPT_SOCKET].text, &failure) <
                    0 ||
            client_call(invocation->client, &host, &failure, "HostInfo", "") < 0 ||
            client_call(invocation->client, &doctor, &failure, "Doctor", "") < 0) {
                if (asprintf(&line, "%s %s", failure.message, failure.hint ?: "") < 0)
                        return NULL;
                return line;
        }
        if (json_flag(doctor, "can_start"))
                verdict = json_length(json_get(doctor, "allowed")) > 0
                                  ? "dynos can start, with gaps: see herokuctl doctor"
                                  : "dynos can start";
        dynos = json_number(host, "dynos");
        apps = json_number(host, "apps");
        if (asprintf(
                    &line,
                    "%s: %s. %" PRIu64 " dyno%s, %" PRIu64 " app%s",
                    json_text(host, "hostname"),
                    verdict,
                    dynos,
                    dynos == 1 ? "" : "s",
                    apps,
                    apps == 1 ? "" : "s") < 0)
                return NULL;
        return line;
}

int cmd_help(Invocation *invocation, Failure *reterr) {
        _cleanup_free_ char *line = NULL, *clean = NULL;

        if (invocation->n_args > 0)
                return help_print(invocation->output, invocation->args[0], NULL, reterr);
        if (!invocation->client)
                line = host_line(invocation);
        if (line)
                clean = text_clean(line, strlen(line));
        return help_print(invocation->output, NULL, clean ?: "", reterr);
}
