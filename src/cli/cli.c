/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/parse.h"
#include "dynod/bus.h"
#include "dynod/exit_status.h"

bool cli_print_json(const Invocation *invocation, struct json_object *value) {
        if (!invocation->output->json)
                return false;
        json_print(value, invocation->output->out, /* line= */ false);
        return true;
}

int cli_internal_error(Failure *reterr, int r) {
        errno = r < 0 ? -r : r;
        failure_setf(reterr, DYNOD_ERROR_FAILED, "herokuctl failed: %m.");
        return -1;
}

/* No app was named: the apps there are belong into the answer. */
static int fail_without_app(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *apps = NULL;
        _cleanup_free_ char *names = NULL;
        _cleanup_failure_ Failure ignored = FAILURE_INIT;
        char *text = NULL;
        size_t size = 0;
        FILE *f;

        if (client_call(invocation->client, &apps, &ignored, "ListApps", "") < 0)
                apps = NULL;
        f = open_memstream(&text, &size);
        if (f) {
                for (size_t i = 0; i < json_length(apps); i++)
                        (void)fprintf(
                                f, "%s%s", i > 0 ? ", " : "", json_text(json_at(apps, i), "name"));
                if (fclose(f) == 0)
                        names = text;
        }

        failure_setf(
                reterr,
                DYNOD_ERROR_USAGE,
                "Which app? Name it with -a APP, or set HEROKU_APP.\n%s%s%s",
                names && *names ? "There are: " : "There is none yet: herokuctl apps:create APP",
                names ?: "",
                names && *names ? "." : "");
        return -1;
}

static int connect_client(Invocation *invocation, int fd, Failure *reterr) {
        if (fd >= 0)
                return client_new(&invocation->client, fd, reterr);
        if ((invocation->command->flags & COMMAND_LOCAL) != 0)
                return 0;
        return client_connect(&invocation->client, invocation->options[OPT_SOCKET].text, reterr);
}

static int run_command(Invocation *invocation, int fd, int argc, char **argv, Failure *reterr) {
        const Command *command = invocation->command;

        invocation_find_app(invocation);
        if (option_is_set(invocation, OPT_HELP))
                return help_print(invocation->output, command->name, NULL, reterr);
        if (option_is_set(invocation, OPT_HOST))
                return remote_run(invocation, argc, argv, reterr);
        if (connect_client(invocation, fd, reterr) < 0)
                return -1;

        /* The first argument of apps:info, apps:destroy and apps:rename may be the app. */
        if (!option_is_set(invocation, OPT_APP) && command->kind[0] == ARGUMENT_APP &&
            invocation->n_args == command->max_args) {
                invocation->app = invocation->args[0];
                invocation->n_args--;
                memmove(invocation->args,
                        invocation->args + 1,
                        invocation->n_args * sizeof(*invocation->args));
        }
        if (!invocation->app &&
            ((command->flags & COMMAND_APP) != 0 ||
             ((command->flags & COMMAND_APP_OR_ALL) != 0 && !option_is_set(invocation, OPT_ALL))))
                return fail_without_app(invocation, reterr);

        return command->run(invocation, reterr);
}

int cli_main_on(int argc, char **argv, Output *output, int fd) {
        _cleanup_failure_ Failure failure = FAILURE_INIT;
        Invocation invocation = {};
        int r;

        assert(output);

        if (argc > 1 && strcmp(argv[1], "--generate") == 0 && argc == 3) {
                if (strcmp(argv[2], "man") == 0)
                        return generate_man(output->out);
                if (strcmp(argv[2], "completion") == 0)
                        return generate_completion(output->out);
        }
        if (argc > 1 && strcmp(argv[1], "--complete") == 0)
                return complete_print(argc - 2, argv + 2, output);

        r = parse_command_line(&invocation, argc, argv, &failure);
        output->json = option_is_set(&invocation, OPT_JSON);
        output->quiet = option_is_set(&invocation, OPT_QUIET);
        json_clean_texts(output->out_terminal && !output->json);
        if (option_is_set(&invocation, OPT_NO_COLOR))
                output->color = false;
        invocation.output = output;
        if (r == 0)
                r = run_command(&invocation, fd, argc, argv, &failure);
        else if (r != -EINVAL)
                (void)cli_internal_error(&failure, r);

        if (r < 0) {
                if (!failure.name)
                        (void)cli_internal_error(&failure, ENOMEM);
                output_failure(output, &failure);
                r = failure_exit_status(&failure);
                if (invocation.command && (invocation.command->flags & COMMAND_RUN) != 0 &&
                    r != DYNOD_EXIT_USAGE)
                        r = DYNOD_EXIT_RUN_FAILED;
        }
        (void)client_free(invocation.client);
        invocation_clear(&invocation);

        if (fflush(output->out) != 0 && r == 0) {
                failure_set(&failure, DYNOD_ERROR_FAILED, "Cannot write to standard output.");
                output_failure(output, &failure);
                r = DYNOD_EXIT_FAILED;
        }
        return r;
}

int cli_main(int argc, char **argv, Output *output) {
        return cli_main_on(argc, argv, output, -EBADF);
}
