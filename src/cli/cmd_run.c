/* SPDX-License-Identifier: Apache-2.0 */

/*
 * `run` and `ps:exec`. herokuctl makes the attach socket and keeps one end; dyno-init
 * gets the other and answers with the terminal's master end, so that no terminal byte
 * passes through the daemon.
 */

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "cli/attach.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/text.h"
#include "dynod/bus.h"
#include "dynod/exit_status.h"

#define SHELL_DEFAULT "bash" /* of a stack; Heroku's have it */

typedef struct Terminal {
        bool tty;
        uint16_t rows, columns;
} Terminal;

static void find_terminal(const Invocation *invocation, Terminal *ret) {
        struct winsize size = {};

        *ret = (Terminal){
                .tty = !option_is_set(invocation, OPT_NO_TTY) && isatty(STDIN_FILENO) == 1 &&
                       isatty(STDOUT_FILENO) == 1,
        };
        if (ret->tty && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) {
                ret->rows = size.ws_row;
                ret->columns = size.ws_col;
        }
}

static int append_env(sd_bus_message *m, const Invocation *invocation, const Terminal *terminal) {
        const OptionValue *env = &invocation->options[OPT_ENV];
        const char *term = getenv("TERM"); /* NOLINT(concurrency-mt-unsafe): one thread */
        int r = sd_bus_message_open_container(m, 'a', "{ss}");
        bool has_term = false;

        for (size_t i = 0; r >= 0 && i < env->n; i++) {
                const char *equals = strchr(env->values[i], '=');
                _cleanup_free_ char *name =
                        strndup(env->values[i], (size_t)(equals - env->values[i]));

                r = name ? sd_bus_message_append(m, "{ss}", name, equals + 1) : -ENOMEM;
                if (name && strcmp(name, "TERM") == 0)
                        has_term = true;
        }
        if (r >= 0 && terminal->tty && term && *term && !has_term)
                r = sd_bus_message_append(m, "{ss}", "TERM", term);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* One word goes to the shell as it is, several are quoted: as the Heroku CLI does. */
static char *shell_line(const char *const *words, size_t n) {
        char *line = NULL;

        if (n == 1)
                return strdup(words[0]);
        for (size_t i = 0; i < n; i++)
                if (text_append_quoted(&line, words[i]) < 0) {
                        free(line);
                        return NULL;
                }
        return line;
}

static int append_words(sd_bus_message *m, const char *const *words, size_t n) {
        int r = sd_bus_message_open_container(m, 'a', "s");

        for (size_t i = 0; r >= 0 && i < n; i++)
                r = sd_bus_message_append(m, "s", words[i]);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int run_message(
        Invocation *invocation,
        const Terminal *terminal,
        const char *line,
        int attach_fd,
        sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_close_ int nothing_fd = -EBADF;
        int r;

        if (attach_fd < 0) {
                /* Some descriptor goes along in any case, of a kind that the daemon takes. */
                nothing_fd = memfd_create("detached", MFD_CLOEXEC);
                if (nothing_fd < 0)
                        return -errno;
        }
        r = client_message(invocation->client, &m, "Run");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", invocation->app);
        if (r >= 0)
                r = append_words(m, &line, 1);
        if (r >= 0)
                r = append_env(m, invocation, terminal);
        if (r >= 0)
                r = sd_bus_message_append(
                        m,
                        "sbbbqqh",
                        option_text(invocation, OPT_SIZE),
                        /* shell= */ true,
                        /* attached= */ attach_fd >= 0,
                        terminal->tty,
                        terminal->rows,
                        terminal->columns,
                        attach_fd >= 0 ? attach_fd : nothing_fd);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

/* Sends @m and returns its facts. */
static int
send_run(Invocation *invocation, sd_bus_message *m, struct json_object **ret, Failure *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        if (client_send(invocation->client, m, &reply, reterr) < 0)
                return -1;
        r = json_from_message(ret, reply);
        return r < 0 ? cli_internal_error(reterr, r) : 0;
}

static int run_detached(Invocation *invocation, const char *line, Failure *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_json_ struct json_object *facts = NULL;
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        Terminal terminal = {};
        int r;

        action_begin(&action, "Running %s on %s", line, invocation->app);
        r = run_message(invocation, &terminal, line, -EBADF, &m);
        if (r < 0)
                return cli_internal_error(reterr, r);
        if (send_run(invocation, m, &facts, reterr) < 0)
                return -1;
        action_end(&action, "done, %s", json_text(facts, "dyno"));
        if (!cli_print_json(invocation, facts))
                output_note(
                        invocation->output,
                        "Run herokuctl logs -a %s --ps %s to see its output.",
                        invocation->app,
                        json_text(facts, "dyno"));
        return 0;
}

static int make_attach_pair(int fds[2], Failure *reterr) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return cli_internal_error(reterr, -errno);
        return 0;
}

/* Sends *@m with the far end in it, then hands the terminal over until the command ends. */
static int
attach(Invocation *invocation,
       sd_bus_message **m,
       int fds[2],
       const Terminal *terminal,
       Action *action,
       Failure *reterr) {
        _cleanup_json_ struct json_object *facts = NULL;
        int status, r;

        if (send_run(invocation, *m, &facts, reterr) < 0)
                return -1;
        /* No copy of the far end may be left here, or its death goes unseen: @m has one, too. */
        *m = sd_bus_message_unref(*m);
        fds[1] = safe_close(fds[1]);
        action_end(action, "up, %s", json_text(facts, "dyno"));

        r = attach_run(fds[0], terminal->tty, &status);
        if (r == ATTACH_E_LOST) {
                failure_setf(
                        reterr,
                        DYNOD_ERROR_FAILED,
                        "%s ended without saying how.\nSee: herokuctl logs -a %s --ps %s",
                        json_text(facts, "dyno"),
                        invocation->app,
                        json_text(facts, "dyno"));
                return -1;
        }
        if (r < 0) {
                errno = -r;
                failure_setf(
                        reterr,
                        DYNOD_ERROR_FAILED,
                        "Lost the connection to %s: %m.\nSee: herokuctl ps -a %s",
                        json_text(facts, "dyno"),
                        invocation->app);
                return -1;
        }
        return status;
}

static int run_attached(Invocation *invocation, const char *line, Failure *reterr) {
        _cleanup_action_ Action action = ACTION_INIT(invocation->output);
        sd_bus_message *m = NULL;
        int fds[2] = {-EBADF, -EBADF};
        Terminal terminal;
        int r;

        if (make_attach_pair(fds, reterr) < 0)
                return -1;
        find_terminal(invocation, &terminal);
        action_begin(&action, "Running %s on %s", line, invocation->app);
        r = run_message(invocation, &terminal, line, fds[1], &m);
        if (r < 0)
                r = cli_internal_error(reterr, r);
        else
                r = attach(invocation, &m, fds, &terminal, &action, reterr);
        (void)sd_bus_message_unref(m);
        (void)safe_close(fds[0]);
        (void)safe_close(fds[1]);
        return r;
}

int cmd_run(Invocation *invocation, Failure *reterr) {
        _cleanup_free_ char *line = shell_line(invocation->args, invocation->n_args);

        if (!line)
                return cli_internal_error(reterr, ENOMEM);
        if (option_is_set(invocation, OPT_DETACHED))
                return run_detached(invocation, line, reterr);
        return run_attached(invocation, line, reterr);
}

int cmd_run_detached(Invocation *invocation, Failure *reterr) {
        _cleanup_free_ char *line = shell_line(invocation->args, invocation->n_args);

        if (!line)
                return cli_internal_error(reterr, ENOMEM);
        return run_detached(invocation, line, reterr);
}

static int exec_message(
        Invocation *invocation, const Terminal *terminal, int attach_fd, sd_bus_message **ret) {
        static const char *const shell[] = {SHELL_DEFAULT};
        const char *const *words = invocation->n_args > 1 ? invocation->args + 1 : shell;
        size_t n = invocation->n_args > 1 ? invocation->n_args - 1 : 1;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = client_message(invocation->client, &m, "Exec");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", invocation->app, invocation->args[0]);
        if (r >= 0)
                r = append_words(m, words, n);
        if (r >= 0)
                r = append_env(m, invocation, terminal);
        if (r >= 0)
                r = sd_bus_message_append(
                        m, "bqqh", terminal->tty, terminal->rows, terminal->columns, attach_fd);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

int cmd_ps_exec(Invocation *invocation, Failure *reterr) {
        Action silent = ACTION_INIT(invocation->output);
        sd_bus_message *m = NULL;
        int fds[2] = {-EBADF, -EBADF};
        Terminal terminal;
        int r;

        if (make_attach_pair(fds, reterr) < 0)
                return -1;
        find_terminal(invocation, &terminal);
        r = exec_message(invocation, &terminal, fds[1], &m);
        if (r < 0)
                r = cli_internal_error(reterr, r);
        else
                r = attach(invocation, &m, fds, &terminal, &silent, reterr);
        (void)sd_bus_message_unref(m);
        (void)safe_close(fds[0]);
        (void)safe_close(fds[1]);
        return r;
}
