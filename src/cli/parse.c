/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/parse.h"
#include "cli/parse.h"
#include "cli/text.h"
#include "dynod/bus.h"

typedef struct Parser {
        Invocation *invocation;
        Failure *reterr;
        char **argv;
        int argc, next; /* next: index of the word behind the current one */
        bool ended;     /* behind "--" */
        bool passing;   /* within a command line that is not ours */
} Parser;

static int usage(Parser *p, const char *fmt, ...) _printf_(2, 3);
static int usage(Parser *p, const char *fmt, ...) {
        _cleanup_free_ char *text = NULL;
        const Command *command = p->invocation->command;
        va_list ap;
        int r;

        va_start(ap, fmt);
        r = vasprintf(&text, fmt, ap);
        va_end(ap);
        if (r < 0)
                text = NULL;
        failure_setf(
                p->reterr,
                DYNOD_ERROR_USAGE,
                "%s\nSee: herokuctl help%s%s",
                text ?: "Out of memory.",
                command ? " " : "",
                command ? command->name : "");
        return -EINVAL;
}

/* The option of that long name, as the command (or, before one is known, any) takes it. */
static OptionId find_long(const Parser *p, const char *name, size_t len) {
        for (OptionId id = OPT_NONE + 1; id < _OPT_MAX; id++) {
                const OptionDef *def = &option_table[id];

                if (p->invocation->command ? !command_takes(p->invocation->command, id)
                                           : id > OPT_FILE_NAME)
                        continue;
                if (strlen(def->name) == len && strncmp(def->name, name, len) == 0)
                        return id;
                if (def->alias && strlen(def->alias) == len && strncmp(def->alias, name, len) == 0)
                        return id;
        }
        return OPT_NONE;
}

static OptionId find_letter(const Parser *p, char letter) {
        for (OptionId id = OPT_NONE + 1; id < _OPT_MAX; id++) {
                if (p->invocation->command ? !command_takes(p->invocation->command, id)
                                           : id > OPT_FILE_NAME)
                        continue;
                if (option_table[id].letter == letter || option_table[id].letter2 == letter)
                        return id;
        }
        return OPT_NONE;
}

static int set_typed(Parser *p, const OptionDef *def, OptionValue *value) {
        uint8_t digest[DIGEST_SIZE];
        int r = 0;

        switch (def->type) {
        case OPTION_NUMBER:
                r = parse_u64(value->text, &value->number);
                break;
        case OPTION_DURATION:
                r = parse_duration(value->text, &value->number);
                break;
        case OPTION_DIGEST:
                r = parse_digest(value->text, digest);
                break;
        case OPTION_PAIRS:
                if (value->n == OPTION_VALUES_MAX)
                        return usage(
                                p,
                                "--%s can be given %d times at most.",
                                def->name,
                                OPTION_VALUES_MAX);
                if (!strchr(value->text, '=') || value->text[0] == '=')
                        r = -EINVAL;
                else
                        value->values[value->n++] = value->text;
                break;
        case OPTION_FLAG:
        case OPTION_TEXT:
        case OPTION_FILE:
                break;
        }
        if (r < 0)
                return usage(p, "--%s wants %s, not \"%s\".", def->name, def->value, value->text);
        return 0;
}

static int set_option(Parser *p, OptionId id, const char *text) {
        const OptionDef *def = &option_table[id];
        OptionValue *value = &p->invocation->options[id];

        if (def->type == OPTION_FLAG) {
                if (text)
                        return usage(p, "--%s takes no value.", def->name);
                value->set = true;
                return 0;
        }
        if (!text) {
                if (p->next >= p->argc)
                        return usage(p, "--%s wants a value: %s.", def->name, def->value);
                text = p->argv[p->next++];
        }
        value->set = true;
        value->text = text;

        return set_typed(p, def, value);
}

static int unknown_option(Parser *p, const char *word) {
        const Command *command = p->invocation->command;
        const char *names[_OPT_MAX + 1] = {};
        size_t n = 0;
        const char *nearest;

        for (OptionId id = OPT_NONE + 1; id < _OPT_MAX; id++)
                if (!option_table[id].hidden && (!command || command_takes(command, id)))
                        names[n++] = option_table[id].name;
        nearest = word[1] == '-' ? text_nearest(word + 2, names) : NULL;
        return usage(
                p,
                "%s%sno option %s.%s%s%s",
                command ? command->name : "There is ",
                command ? " has " : "",
                word,
                nearest ? " Did you mean --" : "",
                nearest ?: "",
                nearest ? "?" : "");
}

static int parse_option_word(Parser *p, const char *word) {
        if (word[1] == '-') {
                const char *name = word + 2, *equals = strchr(name, '=');
                size_t len = equals ? (size_t)(equals - name) : strlen(name);
                OptionId id = find_long(p, name, len);

                if (id == OPT_NONE)
                        return unknown_option(p, word);
                return set_option(p, id, equals ? equals + 1 : NULL);
        }

        for (const char *letter = word + 1; *letter; letter++) {
                OptionId id = find_letter(p, *letter);
                int r;

                if (id == OPT_NONE)
                        return unknown_option(p, word);
                if (option_table[id].type != OPTION_FLAG)
                        return set_option(
                                p, id, letter[1] == '\0' ? NULL : letter + 1 + (letter[1] == '='));
                r = set_option(p, id, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int find_command(Parser *p, const char *word) {
        const char **names;
        const char *nearest;
        size_t n = 0;
        int r;

        p->invocation->command = command_find(word);
        if (p->invocation->command)
                return 0;

        names = calloc(command_table_size * (COMMAND_ALIASES_MAX + 1) + 1, sizeof(char *));
        if (!names)
                return -ENOMEM;
        for (size_t i = 0; i < command_table_size; i++) {
                names[n++] = command_table[i].name;
                for (const char *const *a = command_table[i].aliases; *a; a++)
                        names[n++] = *a;
        }
        nearest = text_nearest(word, names);
        free(names);
        r =
                usage(p,
                      "%s is not a herokuctl command.%s%s%s",
                      word,
                      nearest ? " Did you mean " : "",
                      nearest ?: "",
                      nearest ? "?" : "");
        return r;
}

static int parse_word(Parser *p, const char *word) {
        Invocation *invocation = p->invocation;

        if (!p->ended && !p->passing && strcmp(word, "--") == 0) {
                p->ended = true;
                return 0;
        }
        if (!p->ended && !p->passing && word[0] == '-' && word[1] != '\0')
                return parse_option_word(p, word);

        if (!invocation->command)
                return find_command(p, word);

        invocation->args[invocation->n_args++] = word;
        if ((invocation->command->flags & COMMAND_PASS) != 0) {
                size_t own = invocation->command->kind[0] == ARGUMENT_DYNO ? 2 : 1;

                p->passing = invocation->n_args >= own;
        }
        return 0;
}

/* `run bash -a shop`: Heroku takes the app there, too. */
static void take_trailing_app(Parser *p) {
        Invocation *invocation = p->invocation;
        size_t n = invocation->n_args;
        const char *word;

        if (!p->passing || p->ended || invocation->options[OPT_APP].set || n < 3)
                return;
        word = invocation->args[n - 2];
        if (strcmp(word, "-a") != 0 && strcmp(word, "--app") != 0)
                return;
        invocation->options[OPT_APP].set = true;
        invocation->options[OPT_APP].text = invocation->args[n - 1];
        invocation->n_args -= 2;
}

static int check_arguments(Parser *p) {
        const Command *command = p->invocation->command;
        size_t n = p->invocation->n_args;

        if (option_is_set(p->invocation, OPT_HELP))
                return 0;
        if (n < command->min_args)
                return usage(
                        p,
                        "Usage: herokuctl %s %s%s",
                        command->name,
                        command->arguments,
                        command->arguments[strlen(command->arguments) - 1] == '.' ? "" : ".");
        if (n > command->max_args)
                return usage(
                        p,
                        "%s takes %s%s, not \"%s\".",
                        command->name,
                        command->max_args == 0 ? "no argument" : "only ",
                        command->max_args == 0 ? "" : command->arguments,
                        p->invocation->args[command->max_args]);
        return 0;
}

int parse_command_line(Invocation *ret, int argc, char **argv, Failure *reterr) {
        Parser p = {.invocation = ret, .reterr = reterr, .argv = argv, .argc = argc, .next = 1};
        int r;

        assert(ret && reterr);

        *ret = (Invocation){};
        ret->args = calloc((size_t)argc + 1, sizeof(char *));
        if (!ret->args)
                return -ENOMEM;

        while (p.next < argc) {
                const char *word = argv[p.next++];

                if (!ret->command && strcmp(word, "--version") == 0)
                        word = "version";
                r = parse_word(&p, word);
                if (r < 0)
                        return r;
        }
        if (!ret->command)
                ret->command = command_find("help");
        take_trailing_app(&p);

        /* `-a` before a command that takes none was accepted before the command was known */
        if (option_is_set(ret, OPT_APP) && !command_takes(ret->command, OPT_APP))
                return usage(&p, "%s takes no app.", ret->command->name);

        return check_arguments(&p);
}

void invocation_find_app(Invocation *invocation) {
        const char *app = getenv("HEROKU_APP"); /* NOLINT(concurrency-mt-unsafe): one thread */

        if (option_is_set(invocation, OPT_APP))
                invocation->app = invocation->options[OPT_APP].text;
        else if (
                (invocation->command->flags & (COMMAND_APP | COMMAND_APP_OR_ALL)) != 0 && app &&
                *app && !option_is_set(invocation, OPT_ALL))
                invocation->app = app;
}

void invocation_clear(Invocation *invocation) {
        free(invocation->args);
        invocation->args = NULL;
}
