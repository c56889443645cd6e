/* SPDX-License-Identifier: Apache-2.0 */

/* herokuctl(1) and the bash completion, from the table. */

#include <stdio.h>
#include <string.h>

#include "base/build_config.h"
#include "cli/cli.h"

/* Text within a roff line: a backslash is "\e", a dash "\-", a dot or quote first is guarded. */
static void roff(FILE *out, const char *text) {
        if (*text == '.' || *text == '\'')
                (void)fputs("\\&", out);
        for (; *text; text++)
                switch (*text) {
                case '\\':
                        (void)fputs("\\e", out);
                        break;
                case '-':
                        (void)fputs("\\-", out);
                        break;
                default:
                        (void)fputc(*text, out);
                }
}

static void man_option(FILE *out, OptionId id) {
        const OptionDef *def = &option_table[id];

        if (def->hidden)
                return;
        (void)fprintf(out, ".TP\n");
        if (def->letter)
                (void)fprintf(out, "\\fB\\-%c\\fR, ", def->letter);
        if (def->letter2)
                (void)fprintf(out, "\\fB\\-%c\\fR, ", def->letter2);
        (void)fputs("\\fB\\-\\-", out);
        roff(out, def->name);
        (void)fputs("\\fR", out);
        if (def->value) {
                (void)fputs(" \\fI", out);
                roff(out, def->value);
                (void)fputs("\\fR", out);
        }
        (void)fputc('\n', out);
        roff(out, def->help);
        (void)fputs(".\n", out);
}

static void man_command(FILE *out, const Command *command) {
        (void)fputs(".SS \"", out);
        roff(out, command->name);
        if (*command->arguments) {
                (void)fputc(' ', out);
                roff(out, command->arguments);
        }
        (void)fputs("\"\n", out);
        roff(out, command->summary);
        (void)fputs(".\n", out);
        if (command->text) {
                roff(out, command->text);
                (void)fputc('\n', out);
        }
        if (command->aliases[0]) {
                (void)fputs("Also:", out);
                for (const char *const *a = command->aliases; *a; a++) {
                        (void)fputs(a == command->aliases ? " \\fB" : ", \\fB", out);
                        roff(out, *a);
                        (void)fputs("\\fR", out);
                }
                (void)fputs(".\n", out);
        }
        if (command->examples[0]) {
                (void)fputs(".PP\n.RS 4\n.nf\n", out);
                for (size_t i = 0; i < COMMAND_EXAMPLES_MAX && command->examples[i]; i++) {
                        roff(out, command->examples[i]);
                        (void)fputc('\n', out);
                }
                (void)fputs(".fi\n.RE\n", out);
        }
        for (OptionId id = OPT_FILE_NAME + 1; id < _OPT_MAX; id++)
                if (command_takes(command, id))
                        man_option(out, id);
}

static const char man_head[] =
        ".SH NAME\n"
        "herokuctl \\- control Heroku\\-style dynos on this host\n"
        ".SH SYNOPSIS\n"
        ".B herokuctl\n"
        ".I COMMAND\n"
        ".RB [ \\-a\n"
        ".IR APP ]\n"
        ".RI [ OPTIONS ]\n"
        ".RI [ ARGUMENTS ]\n"
        ".SH DESCRIPTION\n"
        "herokuctl is the client of\n"
        ".BR dynod (8).\n"
        "Its commands are those of the Heroku command line: topic:command, with the same aliases.\n"
        "Results are written to standard output, what is being done to standard error.\n"
        ".PP\n"
        "The app is named by \\fB\\-a\\fR, before or behind the command, else by HEROKU_APP.\n"
        "Whoever may use the control socket controls every app and reads every secret.\n";

static const char man_tail[] =
        ".SH EXIT STATUS\n"
        ".TP\n.B 0\ndone\n"
        ".TP\n.B 1\nrefused or failed\n"
        ".TP\n.B 2\nusage\n"
        ".TP\n.B 3\nthe daemon cannot be reached\n"
        ".TP\n.B 4\nnot permitted\n"
        ".TP\n.B 5\ntimed out\n"
        ".PP\n"
        "\\fBrun\\fR and \\fBps:exec\\fR end with the command's own status (128+n for signal n), "
        "125 "
        "when\nherokuctl or dynod failed, 126 when the command is not executable, 127 when it is "
        "not "
        "found.\n"
        ".SH ENVIRONMENT\n"
        ".TP\n.B HEROKU_APP\nthe app, without \\fB\\-a\\fR\n"
        ".TP\n.B DYNOD_SOCKET\nthe control socket, without \\fB\\-\\-socket\\fR\n"
        ".TP\n.B NO_COLOR\nno colour, if it is set and not empty\n"
        ".SH FILES\n"
        ".TP\n.I /run/dynod/control.sock\nthe control socket; group dynod may use it\n"
        ".SH SEE ALSO\n"
        ".BR dynod (8),\n"
        ".BR dynod.conf (5)\n";

int generate_man(FILE *out) {
        (void)fprintf(
                out,
                ".\\\" Made by herokuctl --generate man: do not edit.\n"
                ".TH HEROKUCTL 1 \"2026-11-23\" \"dynod %s\" \"dynod\"\n%s",
                DYNOD_VERSION,
                man_head);
        (void)fputs(".SH OPTIONS\nEvery command takes these.\n", out);
        for (OptionId id = OPT_APP; id <= OPT_FILE_NAME; id++)
                man_option(out, id);
        (void)fputs(".SH COMMANDS\n", out);
        for (size_t i = 0; i < command_table_size; i++)
                man_command(out, &command_table[i]);
        (void)fputs(man_tail, out);
        return ferror(out) ? 1 : 0;
}

/* COMP_WORDBREAKS splits at ':', so the part before the last colon is taken off again. */
static const char completion_head[] =
        "# bash completion for herokuctl; made by herokuctl --generate completion: do not edit.\n"
        "\n"
        "_herokuctl() {\n"
        "        local line=${COMP_LINE:0:COMP_POINT} cur words prefix\n"
        "        read -ra words <<<\"$line\"\n"
        "        [[ $line == *' ' ]] && words+=('')\n"
        "        cur=${words[-1]}\n"
        "        mapfile -t COMPREPLY < <(herokuctl --complete \"${words[@]:1}\" 2>/dev/null)\n"
        "        if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == --files-- ]]; then\n"
        "                compopt -o filenames\n"
        "                mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
        "                return\n"
        "        fi\n"
        "        if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then\n"
        "                prefix=${cur%:*}:\n"
        "                COMPREPLY=(\"${COMPREPLY[@]#\"$prefix\"}\")\n"
        "        fi\n"
        "}\n"
        "\n"
        "complete -F _herokuctl herokuctl\n";

int generate_completion(FILE *out) {
        (void)fputs(completion_head, out);
        return ferror(out) ? 1 : 0;
}
