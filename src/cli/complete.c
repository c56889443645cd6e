/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Candidates for the last word of a command line, one per line: what the completion
 * script calls. The daemon gets 50 ms; without an answer there is none.
 */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "cli/parse.h"

#define ANSWER_WITHIN_USEC 50000 /* longer than this feels like a hang at the Tab key */

typedef struct Completion {
        Output *output;
        const char *word; /* that is completed */
        Invocation invocation;
} Completion;

static void candidate(const Completion *c, const char *prefix, const char *text) {
        size_t len = strlen(prefix);
        char whole[256];

        if (len + strlen(text) >= sizeof(whole))
                return;
        (void)snprintf(whole, sizeof(whole), "%s%s", prefix, text);
        if (strncmp(whole, c->word, strlen(c->word)) == 0)
                (void)fprintf(c->output->out, "%s\n", whole);
}

static void on_alarm(int signo) {
        (void)signo;
        _exit(0);
}

/* Nothing that was printed is lost: it is flushed before the daemon is asked. */
static bool connect_briefly(Completion *c) {
        struct itimerval timer = {.it_value = {.tv_usec = ANSWER_WITHIN_USEC}};
        _cleanup_failure_ Failure ignored = FAILURE_INIT;

        if (c->invocation.client)
                return true;
        (void)fflush(c->output->out);
        (void)signal(SIGALRM, on_alarm);
        (void)setitimer(ITIMER_REAL, &timer, NULL);
        return client_connect(
                       &c->invocation.client, c->invocation.options[OPT_SOCKET].text, &ignored) ==
               0;
}

static struct json_object *ask(Completion *c, const char *method, const char *app) {
        _cleanup_failure_ Failure ignored = FAILURE_INIT;
        struct json_object *answer = NULL;
        int r;

        if (!connect_briefly(c))
                return NULL;
        r = app ? client_call(c->invocation.client, &answer, &ignored, method, "s", app)
                : client_call(c->invocation.client, &answer, &ignored, method, "");
        return r < 0 ? NULL : answer;
}

static void complete_list(Completion *c, const char *method, const char *app, const char *key) {
        _cleanup_json_ struct json_object *list = ask(c, method, app);

        for (size_t i = 0; i < json_length(list); i++)
                candidate(c, "", json_text(json_at(list, i), key));
}

static void complete_releases(Completion *c) {
        _cleanup_json_ struct json_object *list = ask(c, "ListReleases", c->invocation.app);
        char text[32];

        for (size_t i = 0; i < json_length(list); i++) {
                (void)snprintf(
                        text,
                        sizeof(text),
                        "v%llu",
                        (unsigned long long)json_number(json_at(list, i), "release"));
                candidate(c, "", text);
        }
}

static void complete_config(Completion *c) {
        _cleanup_json_ struct json_object *config = ask(c, "GetConfig", c->invocation.app);

        if (json_members(config) == 0)
                return;
        json_object_object_foreach(config, name, value) {
                (void)value;
                candidate(c, "", name);
        }
}

/* Items of a list of the app's network policy: @member of each, or the items themselves. */
static void complete_network(Completion *c, const char *list, const char *member) {
        _cleanup_json_ struct json_object *network = NULL;

        if (!c->invocation.app)
                return;
        network = ask(c, "Network", c->invocation.app);
        for (size_t i = 0; i < json_length(json_get(network, list)); i++) {
                struct json_object *item = json_at(json_get(network, list), i);

                if (member)
                        item = json_get(item, member);
                candidate(c, "", json_object_get_string(item));
        }
}

static void complete_commands(Completion *c) {
        for (size_t i = 0; i < command_table_size; i++) {
                const Command *command = &command_table[i];

                candidate(c, "", command->name);
                /* an alias only when it has been begun: the list stays short */
                for (const char *const *a = command->aliases; *a && *c->word; a++)
                        candidate(c, "", *a);
        }
}

static void complete_argument(Completion *c, ArgumentKind kind) {
        const char *app = c->invocation.app;

        switch (kind) {
        case ARGUMENT_APP:
                complete_list(c, "ListApps", NULL, "name");
                break;
        case ARGUMENT_STACK:
                complete_list(c, "ListStacks", NULL, "name");
                break;
        case ARGUMENT_FILE:
                (void)fprintf(c->output->out, "--files--\n");
                break;
        case ARGUMENT_DYNO:
                if (app)
                        complete_list(c, "ListDynos", app, "name");
                if (app)
                        complete_list(c, "Formation", app, "type");
                break;
        case ARGUMENT_TYPE:
                if (app)
                        complete_list(c, "Formation", app, "type");
                break;
        case ARGUMENT_RELEASE:
                if (app)
                        complete_releases(c);
                break;
        case ARGUMENT_CONFIG:
                if (app)
                        complete_config(c);
                break;
        case ARGUMENT_RULE:
                complete_network(c, "rules", "number");
                break;
        case ARGUMENT_TRUSTED:
                complete_network(c, "trusted", NULL);
                break;
        case ARGUMENT_SERVICE:
                complete_network(c, "services", "name");
                break;
        case ARGUMENT_PUBLISHED:
                complete_network(c, "published", NULL);
                break;
        case ARGUMENT_COMMAND:
                complete_commands(c);
                break;
        case ARGUMENT_NONE:
                break;
        }
}

/* The option that takes the completed word as its value, or OPT_NONE. */
static OptionId option_before(const Completion *c, const char *word) {
        for (OptionId id = OPT_NONE + 1; id < _OPT_MAX; id++) {
                const OptionDef *def = &option_table[id];

                if (def->type == OPTION_FLAG || word[0] != '-')
                        continue;
                if (c->invocation.command && !command_takes(c->invocation.command, id))
                        continue;
                if (word[1] == '-' ? strcmp(word + 2, def->name) == 0
                                   : (word[1] == def->letter || word[1] == def->letter2) &&
                                             word[2] == '\0')
                        return id;
        }
        return OPT_NONE;
}

static void complete_option_value(Completion *c, OptionId id) {
        static const char *const sources[] = {"app", "heroku"};

        if (id == OPT_APP || id == OPT_CONFIRM)
                complete_list(c, "ListApps", NULL, "name");
        else if (id == OPT_STACK)
                complete_list(c, "ListStacks", NULL, "name");
        else if (id == OPT_SIZE)
                complete_list(c, "ListSizes", NULL, "name");
        else if (id == OPT_PS && c->invocation.app)
                complete_argument(c, ARGUMENT_DYNO);
        else if (option_table[id].type == OPTION_FILE)
                complete_argument(c, ARGUMENT_FILE);
        else if (id == OPT_SOURCE)
                for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
                        candidate(c, "", sources[i]);
}

static void complete_options(Completion *c) {
        for (OptionId id = OPT_NONE + 1; id < _OPT_MAX; id++)
                if (!option_table[id].hidden &&
                    (!c->invocation.command || command_takes(c->invocation.command, id)))
                        candidate(c, "--", option_table[id].name);
}

int complete_print(int argc, char **argv, Output *output) {
        Completion c = {.output = output, .word = argc > 0 ? argv[argc - 1] : ""};
        _cleanup_failure_ Failure ignored = FAILURE_INIT;
        _cleanup_free_ char **words = calloc((size_t)argc + 2, sizeof(char *));
        static char name[] = "herokuctl";
        OptionId option;
        size_t n;
        int r;

        if (!words)
                return 0;
        json_clean_texts(true);
        words[0] = name;
        for (int i = 0; i + 1 < argc; i++)
                words[i + 1] = argv[i];

        /* A line that is not complete is no valid one: what was understood is enough. */
        r = parse_command_line(&c.invocation, argc > 0 ? argc : 1, words, &ignored);
        (void)r;
        if (argc < 2)
                c.invocation.command = NULL;
        if (c.invocation.command)
                invocation_find_app(&c.invocation);

        option = argc > 1 ? option_before(&c, argv[argc - 2]) : OPT_NONE;
        n = c.invocation.n_args;
        if (option != OPT_NONE)
                complete_option_value(&c, option);
        else if (c.word[0] == '-')
                complete_options(&c);
        else if (!c.invocation.command)
                complete_commands(&c);
        else
                complete_argument(&c, c.invocation.command->kind[n < 1 ? 0 : 1]);

        (void)fflush(output->out);
        (void)client_free(c.invocation.client);
        invocation_clear(&c.invocation);
        return 0;
}
