/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/dotenv.h"
#include "cli/json.h"
#include "cli/render.h"
#include "cli/text.h"
#include "dynod/bus.h"

static int get_config(Invocation *invocation, struct json_object **ret, Failure *reterr) {
        return client_call(invocation->client, ret, reterr, "GetConfig", "s", invocation->app);
}

int cmd_config(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *config = NULL;

        if (get_config(invocation, &config, reterr) < 0)
                return -1;
        if (cli_print_json(invocation, config))
                return 0;
        if (option_is_set(invocation, OPT_SHELL))
                return render_config_shell(invocation->output, config);
        if (json_members(config) == 0) {
                (void)fprintf(
                        invocation->output->out,
                        "No config vars on %s. Set one: herokuctl config:set NAME=VALUE -a %s\n",
                        invocation->app,
                        invocation->app);
                return 0;
        }
        return render_config(invocation->output, config, invocation->app);
}

int cmd_config_get(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *config = NULL, *chosen = json_object_new_object();

        if (!chosen || get_config(invocation, &config, reterr) < 0)
                return -1;
        for (size_t i = 0; i < invocation->n_args; i++) {
                const char *name = invocation->args[i];
                struct json_object *value = json_get(config, name);

                if (!value) {
                        failure_setf(
                                reterr,
                                DYNOD_ERROR_NO_SUCH_CONFIG,
                                "%s has no config var %s.\nSee: herokuctl config -a %s",
                                invocation->app,
                                name,
                                invocation->app);
                        return -1;
                }
                (void)json_object_object_add(chosen, name, json_object_get(value));
        }
        if (cli_print_json(invocation, chosen))
                return 0;
        if (option_is_set(invocation, OPT_SHELL))
                return render_config_shell(invocation->output, chosen);
        for (size_t i = 0; i < invocation->n_args; i++)
                (void)fprintf(
                        invocation->output->out, "%s\n", json_text(chosen, invocation->args[i]));
        return 0;
}

/* What is to be set: names and values in order, later ones win. */
typedef struct ConfigSet {
        struct json_object *values; /* an object of strings */
        bool stdin_used;
} ConfigSet;

#define CONFIG_INPUT_MAX                                                                           \
        ((size_t)256 * 1024) /* bytes; more config vars than this no dyno can be given */

/* Reads all of @fd. Return: text owned by the caller, or NULL with errno set. */
static char *read_text(int fd) {
        char *text = malloc(CONFIG_INPUT_MAX + 1);
        size_t have = 0;

        if (!text)
                return NULL;
        while (have < CONFIG_INPUT_MAX) {
                ssize_t n = read(fd, text + have, CONFIG_INPUT_MAX - have);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        if (n == 0)
                                break;
                        free(text);
                        return NULL;
                }
                have += (size_t)n;
        }
        if (have == CONFIG_INPUT_MAX || memchr(text, '\0', have)) {
                free(text);
                errno = have == CONFIG_INPUT_MAX ? EFBIG : EINVAL;
                return NULL;
        }
        text[have] = '\0';
        return text;
}

static int set_value(ConfigSet *set, const char *name, size_t name_len, const char *value) {
        _cleanup_free_ char *key = strndup(name, name_len);
        struct json_object *text = json_object_new_string(value);

        if (!key || !text || json_object_object_add(set->values, key, text) < 0) {
                (void)json_object_put(text);
                return -ENOMEM;
        }
        return 0;
}

static int add_argument(ConfigSet *set, const char *argument, Failure *reterr) {
        const char *equals = strchr(argument, '=');
        _cleanup_free_ char *input = NULL;

        if (!equals || equals == argument) {
                failure_setf(
                        reterr,
                        DYNOD_ERROR_USAGE,
                        "\"%s\" is not NAME=VALUE. Nothing was changed.\n"
                        "Write: herokuctl config:set %s=VALUE",
                        argument,
                        equals ? "NAME" : argument);
                return -1;
        }
        if (strcmp(equals + 1, "-") != 0)
                return set_value(set, argument, (size_t)(equals - argument), equals + 1) < 0
                               ? cli_internal_error(reterr, ENOMEM)
                               : 0;

        if (set->stdin_used) {
                failure_set(
                        reterr,
                        DYNOD_ERROR_USAGE,
                        "Standard input has only one value. Nothing was changed.\n"
                        "Use --from-file for several.");
                return -1;
        }
        set->stdin_used = true;
        input = read_text(STDIN_FILENO);
        if (!input) {
                failure_setf(
                        reterr,
                        DYNOD_ERROR_FAILED,
                        "Cannot read the value from standard input: %m. Nothing was changed.");
                return -1;
        }
        /* `echo` ends its text with a newline that nobody means */
        if (*input && input[strlen(input) - 1] == '\n')
                input[strlen(input) - 1] = '\0';
        return set_value(set, argument, (size_t)(equals - argument), input) < 0
                       ? cli_internal_error(reterr, ENOMEM)
                       : 0;
}

static int on_dotenv(const char *name, const char *value, void *userdata) {
        return set_value(userdata, name, strlen(name), value);
}

static int add_file(ConfigSet *set, const char *path, Failure *reterr) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        unsigned line = 0;
        int r;

        if (strcmp(path, "-") == 0) {
                set->stdin_used = true;
                text = read_text(STDIN_FILENO);
        } else {
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
                text = fd < 0 ? NULL : read_text(fd);
        }
        if (!text) {
                failure_setf(
                        reterr,
                        DYNOD_ERROR_FAILED,
                        "Cannot read %s: %m. Nothing was changed.",
                        path);
                return -1;
        }
        r = dotenv_parse(text, on_dotenv, set, &line);
        if (r == -EINVAL) {
                failure_setf(
                        reterr,
                        DYNOD_ERROR_FAILED,
                        "%s line %u is not NAME=VALUE. Nothing was changed.",
                        path,
                        line);
                return -1;
        }
        return r < 0 ? cli_internal_error(reterr, r) : 0;
}

static int append_strings(sd_bus_message *m, struct json_object *values) {
        int r = sd_bus_message_open_container(m, 'a', "{ss}");

        if (r < 0)
                return r;
        if (values) {
                json_object_object_foreach(values, name, value) {
                        r = sd_bus_message_append(m, "{ss}", name, json_object_get_string(value));
                        if (r < 0)
                                return r;
                }
        }
        return sd_bus_message_close_container(m);
}

static int change_config(
        Invocation *invocation,
        struct json_object *set,
        const char *const *unset,
        struct json_object **ret,
        Failure *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = client_message(invocation->client, &m, "ChangeConfig");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", invocation->app);
        if (r >= 0)
                r = append_strings(m, set);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "s");
        for (; r >= 0 && unset && *unset; unset++)
                r = sd_bus_message_append(m, "s", *unset);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                return cli_internal_error(reterr, r);
        return client_run_job(invocation->client, m, NULL, ret, reterr);
}

/* @r: what client_run_job() returned, not negative. Return: exit status. */
static int end_change(Invocation *invocation, Action *action, int r, struct json_object *facts) {
        uint64_t release = json_number(facts, "release");

        if (r == JOB_E_INTERRUPTED) {
                action_end(action, "still under way");
                return 1;
        }
        if (release > 0)
                action_end(action, "done, v%" PRIu64, release);
        else
                action_end(action, "nothing to change");
        (void)cli_print_json(invocation, facts);
        return 0;
}

static int finish_set(Invocation *invocation, ConfigSet *set, Failure *reterr) {
        _cleanup_json_ struct json_object *facts = NULL;
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        char *names = NULL;
        size_t size = 0, n = 0;
        FILE *f = open_memstream(&names, &size);
        int r;

        if (!f)
                return cli_internal_error(reterr, ENOMEM);
        json_object_object_foreach(set->values, name, value) {
                (void)value;
                (void)fprintf(f, "%s%s", n++ > 0 ? ", " : "", name);
        }
        (void)fclose(f);
        if (n == 0) {
                free(names);
                failure_set(
                        reterr,
                        DYNOD_ERROR_USAGE,
                        "Nothing to set.\nWrite: herokuctl config:set NAME=VALUE");
                return -1;
        }
        action_begin(&action, "Setting %s and restarting %s", names, invocation->app);
        free(names);
        r = change_config(invocation, set->values, NULL, &facts, reterr);
        return r < 0 ? -1 : end_change(invocation, &action, r, facts);
}

int cmd_config_set(Invocation *invocation, Failure *reterr) {
        ConfigSet set = {.values = json_object_new_object()};
        int r = 0;

        if (!set.values)
                return cli_internal_error(reterr, ENOMEM);
        if (option_is_set(invocation, OPT_FROM_FILE))
                r = add_file(&set, option_text(invocation, OPT_FROM_FILE), reterr);
        for (size_t i = 0; r == 0 && i < invocation->n_args; i++)
                r = add_argument(&set, invocation->args[i], reterr);
        if (r == 0)
                r = finish_set(invocation, &set, reterr);
        (void)json_object_put(set.values);
        return r;
}

int cmd_config_unset(Invocation *invocation, Failure *reterr) {
        _cleanup_json_ struct json_object *facts = NULL;
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        _cleanup_free_ char *names = NULL;
        int r;

        for (size_t i = 0; i < invocation->n_args; i++)
                if (strchr(invocation->args[i], '=')) {
                        failure_setf(
                                reterr,
                                DYNOD_ERROR_USAGE,
                                "config:unset takes names alone, not \"%s\". Nothing was changed.",
                                invocation->args[i]);
                        return -1;
                } else if (text_append_quoted(&names, invocation->args[i]) < 0) {
                        return cli_internal_error(reterr, ENOMEM);
                }
        action_begin(&action, "Unsetting %s and restarting %s", names, invocation->app);
        r = change_config(invocation, NULL, invocation->args, &facts, reterr);
        return r < 0 ? -1 : end_change(invocation, &action, r, facts);
}
