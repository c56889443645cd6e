/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/parse.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/render.h"
#include "cli/rollout.h"
#include "dynod/bus.h"

int cmd_releases(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *releases = NULL;

        if (client_call(
                    invocation->client, &releases, reterr, "ListReleases", "s", invocation->app) <
            0)
                return -1;
        if (cli_print_json(invocation, releases))
                return 0;
        if (json_length(releases) == 0) {
                (void)fprintf(
                        invocation->output->out,
                        "%s has no releases. Make one: herokuctl deploy FILE -a %s\n",
                        invocation->app,
                        invocation->app);
                return 0;
        }
        return render_releases(invocation->output, releases, invocation->app);
}

/* "v14" or "14"; without an argument 0. */
static int release_argument(const Invocation *invocation, uint32_t *ret, Failure *reterr) {
        const char *text = invocation->n_args > 0 ? invocation->args[0] : "0";
        uint32_t release;

        if (parse_u32(*text == 'v' ? text + 1 : text, &release) < 0 ||
            (invocation->n_args > 0 && release == 0)) {
                failure_setf(
                        reterr,
                        DYNOD_ERROR_USAGE,
                        "\"%s\" is not a release.\nWrite: v14, and see: herokuctl releases -a %s",
                        text,
                        invocation->app);
                return -1;
        }
        *ret = release;
        return 0;
}

int cmd_releases_info(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *release = NULL;
        uint32_t number;

        if (release_argument(invocation, &number, reterr) < 0)
                return -1;
        if (client_call(
                    invocation->client,
                    &release,
                    reterr,
                    "ReleaseInfo",
                    "su",
                    invocation->app,
                    number) < 0)
                return -1;
        if (cli_print_json(invocation, release))
                return 0;
        return render_release_info(invocation->output, release, invocation->app);
}

int cmd_releases_rollback(Invocation *invocation, Failure *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        Rollout rollout = {.invocation = invocation, .kind = ROLLOUT_ROLLBACK};
        uint32_t number;
        int r;

        if (release_argument(invocation, &number, reterr) < 0)
                return -1;
        r = client_message(invocation->client, &m, "Rollback");
        if (r >= 0)
                r = sd_bus_message_append(m, "su", invocation->app, number);
        if (r < 0)
                return cli_internal_error(reterr, r);
        rollout.release = number;
        return rollout_run(&rollout, m, reterr);
}
