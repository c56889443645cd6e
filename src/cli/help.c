/* SPDX-License-Identifier: Apache-2.0 */

/* Help from the table: the first page, a topic, a command (examples first). */

#include <stdio.h>
#include <string.h>

#include "base/build_config.h"
#include "cli/cli.h"
#include "dynod/bus.h"

#define OPTION_WIDTH 28

static size_t topic_length(const char *name) {
        return strcspn(name, ":");
}

static void print_command_line(const Output *output, const Command *command, size_t width) {
        char head[96];

        (void)snprintf(
                head,
                sizeof(head),
                "%s%s%s",
                command->name,
                *command->arguments ? " " : "",
                command->arguments);
        (void)fprintf(output->out, "  %-*s  %s\n", (int)width, head, command->summary);
}

static size_t line_width(const Command *command) {
        return strlen(command->name) + 1 + strlen(command->arguments);
}

static void print_topics(const Output *output) {
        (void)fprintf(output->out, "Topics (herokuctl help TOPIC):\n ");
        for (size_t i = 0; i < command_table_size; i++) {
                const char *name = command_table[i].name;
                size_t len = topic_length(name);
                bool first = true;

                for (size_t j = 0; j < i && first; j++)
                        first = topic_length(command_table[j].name) != len ||
                                strncmp(command_table[j].name, name, len) != 0;
                if (first)
                        (void)fprintf(output->out, " %.*s", (int)len, name);
        }
        (void)fprintf(output->out, "\n");
}

static void print_first_page(const Output *output, const char *host_line) {
        size_t width = 0;

        (void)fprintf(
                output->out,
                "herokuctl %s - Heroku-style dynos on this host\n%s\n\n"
                "Usage: herokuctl COMMAND [-a APP] [OPTIONS]\n\nEvery day:\n",
                DYNOD_VERSION,
                host_line ?: "");
        for (size_t i = 0; i < command_table_size; i++)
                if ((command_table[i].flags & COMMAND_DAILY) != 0 &&
                    line_width(&command_table[i]) > width)
                        width = line_width(&command_table[i]);
        for (size_t i = 0; i < command_table_size; i++)
                if ((command_table[i].flags & COMMAND_DAILY) != 0)
                        print_command_line(output, &command_table[i], width);
        (void)fputc('\n', output->out);
        print_topics(output);
}

static void print_option(const Output *output, OptionId id) {
        const OptionDef *def = &option_table[id];
        char head[96], letters[16] = "    ";

        if (def->hidden)
                return;
        if (def->letter2)
                (void)snprintf(letters, sizeof(letters), "-%c, -%c, ", def->letter, def->letter2);
        else if (def->letter)
                (void)snprintf(letters, sizeof(letters), "-%c, ", def->letter);
        (void)snprintf(
                head,
                sizeof(head),
                "%s--%s%s%s",
                letters,
                def->name,
                def->value ? " " : "",
                def->value ?: "");
        (void)fprintf(output->out, "  %-*s  %s\n", OPTION_WIDTH, head, def->help);
}

static void print_command(const Output *output, const Command *command) {
        for (size_t i = 0; i < COMMAND_EXAMPLES_MAX && command->examples[i]; i++)
                (void)fprintf(output->out, "  $ %s\n", command->examples[i]);
        (void)fprintf(
                output->out,
                "\n%s%s%s: %s\n",
                command->name,
                *command->arguments ? " " : "",
                command->arguments,
                command->summary);
        if (command->text)
                (void)fprintf(output->out, "\n%s\n", command->text);
        if (command->aliases[0]) {
                (void)fprintf(output->out, "\nAlso:");
                for (const char *const *a = command->aliases; *a; a++)
                        (void)fprintf(output->out, " %s", *a);
                (void)fputc('\n', output->out);
        }
        (void)fprintf(output->out, "\nOptions:\n");
        for (OptionId id = OPT_FILE_NAME + 1; id < _OPT_MAX; id++)
                if (command_takes(command, id))
                        print_option(output, id);
        for (OptionId id = OPT_APP; id <= OPT_FILE_NAME; id++)
                if (command_takes(command, id))
                        print_option(output, id);
}

/* Return: whether there is such a topic with more than its own command. */
static bool print_topic(const Output *output, const char *topic) {
        size_t width = 0, n = 0;

        for (size_t i = 0; i < command_table_size; i++) {
                const Command *c = &command_table[i];

                if (topic_length(c->name) != strlen(topic) ||
                    strncmp(c->name, topic, strlen(topic)) != 0)
                        continue;
                n++;
                width = line_width(c) > width ? line_width(c) : width;
        }
        if (n == 0 || (n == 1 && command_find(topic)))
                return false;
        (void)fprintf(output->out, "\nCommands of %s:\n", topic);
        for (size_t i = 0; i < command_table_size; i++)
                if (topic_length(command_table[i].name) == strlen(topic) &&
                    strncmp(command_table[i].name, topic, strlen(topic)) == 0)
                        print_command_line(output, &command_table[i], width);
        return true;
}

int help_print(const Output *output, const char *topic, const char *host_line, Failure *reterr) {
        const Command *command = topic ? command_find(topic) : NULL;

        if (!topic) {
                print_first_page(output, host_line);
                return 0;
        }
        if (command)
                print_command(output, command);
        /* `help ps` is about the command and its family, `help ps:scale` about one */
        if (!print_topic(output, topic) && !command) {
                failure_setf(
                        reterr,
                        DYNOD_ERROR_USAGE,
                        "There is no command or topic \"%s\".\nSee: herokuctl help",
                        topic);
                return -1;
        }
        return 0;
}
