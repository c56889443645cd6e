/* SPDX-License-Identifier: Apache-2.0 */

/*
 * -H [USER@]HOST: the same command line by herokuctl over there, through ssh.
 *
 * A FILE is opened here and becomes the remote command's standard input, since it is a
 * file of this host.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/text.h"
#include "dynod/bus.h"

typedef struct Remote {
        const Invocation *invocation;
        const char *file; /* the word of argv that is a FILE, or NULL */
        char *line;       /* for the remote shell */
} Remote;

/* The word that names a file of this host: an argument, or --from-file's value. */
static const char *find_file(const Invocation *invocation) {
        const Command *command = invocation->command;

        for (size_t i = 0; i < ARRAY_SIZE(command->kind) && i < invocation->n_args; i++)
                if (command->kind[i] == ARGUMENT_FILE)
                        return invocation->args[i];
        for (OptionId id = OPT_NONE + 1; id < _OPT_MAX; id++)
                if (option_table[id].type == OPTION_FILE && invocation->options[id].set)
                        return invocation->options[id].text;
        return NULL;
}

static int append_word(Remote *remote, const char *word) {
        /* compared as pointers: this word of argv, not one that looks the same */
        if (remote->file && word == remote->file)
                word = "-";
        return text_append_quoted(&remote->line, word);
}

static int build_line(Remote *remote, int argc, char **argv) {
        const OptionValue *host = &remote->invocation->options[OPT_HOST];
        const char *slash;
        int r = text_append_quoted(&remote->line, "herokuctl");

        if (r == 0 && remote->file && strcmp(remote->file, "-") != 0) {
                slash = strrchr(remote->file, '/');
                r = text_append_quoted(&remote->line, "--file-name");
                if (r == 0)
                        r = text_append_quoted(&remote->line, slash ? slash + 1 : remote->file);
        }
        for (int i = 1; r == 0 && i < argc; i++) {
                /* without -H HOST, -HHOST, --host HOST and --host=HOST */
                if (argv[i] == host->text)
                        continue;
                if (i + 1 < argc && argv[i + 1] == host->text)
                        continue;
                if (host->text > argv[i] && host->text <= argv[i] + strlen(argv[i]))
                        continue;
                r = append_word(remote, argv[i]);
        }
        return r;
}

int remote_run(const Invocation *invocation, int argc, char **argv, Failure *reterr) {
        Remote remote = {.invocation = invocation, .file = find_file(invocation)};
        const char *host = invocation->options[OPT_HOST].text;
        bool terminal = (invocation->command->flags & COMMAND_RUN) != 0 &&
                        !option_is_set(invocation, OPT_NO_TTY) && isatty(STDIN_FILENO) == 1 &&
                        isatty(STDOUT_FILENO) == 1;

        if (host[0] == '-' || host[0] == '\0') {
                failure_setf(reterr, DYNOD_ERROR_USAGE, "\"%s\" is not a host.", host);
                return -1;
        }
        if (remote.file && strcmp(remote.file, "-") != 0) {
                _cleanup_close_ int fd = open(remote.file, O_RDONLY | O_CLOEXEC | O_NOCTTY);

                if (fd < 0 || dup2(fd, STDIN_FILENO) < 0) {
                        failure_setf(
                                reterr,
                                DYNOD_ERROR_FAILED,
                                "Cannot open %s: %m. Nothing was changed.",
                                remote.file);
                        return -1;
                }
        }
        if (build_line(&remote, argc, argv) < 0)
                return cli_internal_error(reterr, ENOMEM);

        (void)execlp("ssh", "ssh", terminal ? "-t" : "-T", "--", host, remote.line, NULL);
        failure_setf(
                reterr,
                DYNOD_ERROR_FAILED,
                "Cannot run ssh: %m.\nInstall it: sudo apt install openssh-client");
        free(remote.line);
        return -1;
}
