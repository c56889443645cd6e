/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The one table of commands: parser, help, man page and completion are made from it.
 *
 * A command is one row in command_table.c; its options are rows of option_table, named
 * by OptionId. Nothing else in the program knows how a command line looks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/output.h"

typedef enum OptionId {
        OPT_NONE,
        /* every command takes these */
        OPT_APP,
        OPT_JSON,
        OPT_SOCKET,
        OPT_HOST,
        OPT_QUIET,
        OPT_NO_COLOR,
        OPT_HELP,
        OPT_FILE_NAME, /* hidden: what -H calls the file that it sends as stdin */
        /* of some commands */
        OPT_ALL,
        OPT_CHECKSUM,
        OPT_STACK,
        OPT_CONFIRM,
        OPT_PROCESS,
        OPT_NO_WAIT,
        OPT_SHELL,
        OPT_FROM_FILE,
        OPT_TIMEOUT,
        OPT_TIMING,
        OPT_DETACHED,
        OPT_SIZE,
        OPT_ENV,
        OPT_NO_TTY,
        OPT_NUM,
        OPT_TAIL,
        OPT_PS,
        OPT_SOURCE,
        OPT_SINCE,
        OPT_GREP,
        OPT_STRICT,
        _OPT_MAX,
} OptionId;

typedef enum OptionType {
        OPTION_FLAG,
        OPTION_TEXT,
        OPTION_NUMBER,
        OPTION_DURATION,
        OPTION_DIGEST,
        OPTION_PAIRS, /* K=V, may be repeated */
        OPTION_FILE,  /* opened here, even when the command runs on another host */
} OptionType;

typedef struct OptionDef {
        const char *name;  /* long name */
        const char *alias; /* another long name, or NULL */
        char letter;       /* 0: none */
        char letter2;      /* another letter, 0: none */
        OptionType type;
        const char *value; /* what the help calls the value */
        const char *help;
        bool hidden;
} OptionDef;

extern const OptionDef option_table[_OPT_MAX];

#define OPTION_VALUES_MAX 64 /* repeats of one option */

typedef struct OptionValue {
        bool set;
        const char *text;                      /* as given; the last one */
        uint64_t number;                       /* NUMBER, or µs for DURATION */
        const char *values[OPTION_VALUES_MAX]; /* PAIRS, n of them */
        size_t n;
} OptionValue;

typedef struct Command Command;

/* One call of a command. */
typedef struct Invocation {
        const Command *command;
        OptionValue options[_OPT_MAX];
        const char **args; /* the arguments, owned array of borrowed strings */
        size_t n_args;
        const char *app; /* NULL: none given */
        Client *client;
        Output *output;
} Invocation;

#define COMMAND_APP (1u << 0)          /* needs an app */
#define COMMAND_APP_OR_ALL (1u << 1)   /* an app, or -A */
#define COMMAND_APP_OPTIONAL (1u << 2) /* takes -a, works without */
#define COMMAND_PASS                                                                               \
        (1u << 3) /* behind the first arguments comes a command line: no options there */
#define COMMAND_RUN (1u << 4)   /* failures end with 125 */
#define COMMAND_DAILY (1u << 5) /* on the first help page */
#define COMMAND_LOCAL (1u << 6) /* needs no daemon */

#define COMMAND_ALIASES_MAX 4
#define COMMAND_OPTIONS_MAX 10
#define COMMAND_EXAMPLES_MAX 3

/* What a command's argument names, for completion. */
typedef enum ArgumentKind {
        ARGUMENT_NONE,
        ARGUMENT_APP,
        ARGUMENT_STACK,
        ARGUMENT_FILE,
        ARGUMENT_DYNO,
        ARGUMENT_TYPE,
        ARGUMENT_RELEASE,
        ARGUMENT_CONFIG,
        ARGUMENT_COMMAND,
        ARGUMENT_RULE,
        ARGUMENT_TRUSTED,
        ARGUMENT_SERVICE,
        ARGUMENT_PUBLISHED,
} ArgumentKind;

struct Command {
        const char *name;
        const char *aliases[COMMAND_ALIASES_MAX + 1];
        const char *arguments; /* as the help shows them; "" for none */
        const char *summary;
        const char *text; /* more, or NULL */
        const char *examples[COMMAND_EXAMPLES_MAX];
        unsigned flags;              /* COMMAND_* */
        unsigned min_args, max_args; /* max UINT_MAX: any number */
        ArgumentKind kind[2];        /* of the first argument, and of those behind it */
        OptionId options[COMMAND_OPTIONS_MAX];
        int (*run)(Invocation *invocation, Failure *reterr); /* exit status, or -1 with @reterr */
};

extern const Command command_table[];
extern const size_t command_table_size;

/* By name or alias; NULL if there is none. */
const Command *command_find(const char *name);

/* Whether @command takes @option: its own and those that every command takes. */
bool command_takes(const Command *command, OptionId option);

static inline bool option_is_set(const Invocation *invocation, OptionId id) {
        return invocation->options[id].set;
}

static inline const char *option_text(const Invocation *invocation, OptionId id) {
        return invocation->options[id].text ?: "";
}
