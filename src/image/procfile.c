/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "image/entry_name.h"
#include "image/procfile.h"

typedef struct Span {
        const char *text;
        size_t size;
} Span;

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

static Span trim(Span s) {
        while (s.size > 0 && is_blank(s.text[0])) {
                s.text++;
                s.size--;
        }
        while (s.size > 0 && is_blank(s.text[s.size - 1]))
                s.size--;
        return s;
}

static bool is_comment(Span line) {
        return line.text[0] == '#' ||
               (line.size >= 2 && line.text[0] == '/' && line.text[1] == '/');
}

/* Text that can go into a log line, a terminal and a NUL-terminated argument. */
static bool is_text(Span line) {
        for (size_t i = 0; i < line.size;) {
                size_t n = utf8_sequence(line.text + i, line.size - i);

                if (n == 0)
                        return false;
                if (n == 1 && (line.text[i] < ' ' || line.text[i] == 0x7f) && line.text[i] != '\t')
                        return false;
                i += n;
        }
        return true;
}

/*
 * A shell would ignore the comment itself, but not once a one-off's arguments are put
 * behind the command. Quotes are followed, so that "#" in a string stays.
 */
static Span cut_comment(Span command) {
        char quote = '\0';

        for (size_t i = 0; i < command.size; i++) {
                char c = command.text[i];

                if (c == '\\' && quote != '\'')
                        i++;
                else if (quote && c == quote)
                        quote = '\0';
                else if (quote)
                        continue;
                else if (c == '\'' || c == '"')
                        quote = c;
                else if (c == '#' && i > 0 && is_blank(command.text[i - 1]))
                        return trim((Span){command.text, i});
        }
        return command;
}

static bool is_known(const Procfile *procfile, const char *type) {
        for (size_t i = 0; i < procfile->n_processes; i++)
                if (strcmp(procfile->processes[i].type, type) == 0)
                        return true;
        return false;
}

static int add(Procfile *procfile, const char *type, Span command) {
        ProcfileProcess *process = &procfile->processes[procfile->n_processes];

        process->command = strndup(command.text, command.size);
        if (!process->command)
                return -ENOMEM;
        field_set(process->type, sizeof(process->type), type);
        procfile->n_processes++;
        return 0;
}

/* Sets *ret_why and returns -EINVAL if the line is bad. */
static int parse_line(Procfile *procfile, Span line, const char **ret_why) {
        char type[PROCESS_TYPE_SIZE] = {0};
        const char *colon;
        size_t type_size;
        Span command;

        *ret_why = "is not UTF-8 text";
        if (!is_text(line))
                return -EINVAL;
        line = trim(line);
        if (line.size == 0 || is_comment(line))
                return 0;

        *ret_why = "is not TYPE: COMMAND";
        colon = memchr(line.text, ':', line.size);
        if (!colon)
                return -EINVAL;
        type_size = (size_t)(colon - line.text);
        command = cut_comment(trim((Span){.text = colon + 1, .size = line.size - type_size - 1}));

        *ret_why = "has no process type of 1 to 63 letters, digits, - and _";
        if (type_size >= sizeof(type))
                return -EINVAL;
        memcpy(type, line.text, type_size);
        if (!process_type_is_valid(type))
                return -EINVAL;

        *ret_why = "has no command";
        if (command.size == 0 || command.text[0] == '#')
                return -EINVAL;
        *ret_why = "has too long a command";
        if (command.size >= PROCFILE_COMMAND_SIZE)
                return -EINVAL;
        *ret_why = "has a process type that was there before";
        if (is_known(procfile, type))
                return -EINVAL;
        *ret_why = "is one process type too many";
        if (procfile->n_processes == PROCFILE_TYPES_MAX)
                return -EINVAL;

        return add(procfile, type, command);
}

/* The next line without its end; moves @rest behind it. */
static Span next_line(Span *rest) {
        const char *end = memchr(rest->text, '\n', rest->size);
        Span line = {.text = rest->text, .size = end ? (size_t)(end - rest->text) : rest->size};
        size_t step = line.size + (end ? 1 : 0);

        rest->text += step;
        rest->size -= step;
        if (line.size > 0 && line.text[line.size - 1] == '\r')
                line.size--;
        return line;
}

int procfile_parse(Procfile *ret, const char *buf, size_t size, ProcfileError *reterr) {
        Procfile procfile = {0};
        Span rest = {.text = buf, .size = size};
        int r = 0;

        assert(ret);
        assert(buf || size == 0);
        assert(reterr);

        procfile.processes = calloc(PROCFILE_TYPES_MAX, sizeof(*procfile.processes));
        if (!procfile.processes)
                return -ENOMEM;

        /* Editors of another system put a byte order mark there. */
        if (size >= 3 && memcmp(buf, "\xef\xbb\xbf", 3) == 0)
                rest = (Span){.text = buf + 3, .size = size - 3};

        for (uint32_t n = 1; rest.size > 0 && r == 0; n++) {
                Span line = next_line(&rest);

                reterr->line = n;
                reterr->text = line.text;
                reterr->text_size = line.size;
                r = parse_line(&procfile, line, &reterr->why);
        }
        if (r < 0) {
                procfile_clear(&procfile);
                return r;
        }

        *ret = procfile;
        return 0;
}

void procfile_clear(Procfile *procfile) {
        for (size_t i = 0; i < procfile->n_processes; i++)
                free(procfile->processes[i].command);
        free(procfile->processes);
        *procfile = (Procfile){0};
}
