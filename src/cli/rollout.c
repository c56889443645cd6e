/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/logs.h"
#include "cli/rollout.h"
#include "cli/text.h"
#include "dynod/bus.h"

#define LAST_LINES 20 /* of the log of a dyno that did not come up */

typedef struct Follow {
        Rollout *rollout;
        Action action;
        uint32_t release; /* made by the job, 0: none yet */
        bool starting;
        bool imported;
        uint64_t read_usec; /* when the import was done, since its begin */
} Follow;

/* Ends when the file does, or when nobody reads any more. */
static _Noreturn void pump(int from, int to) {
        static char buf[65536];
        ssize_t n;

        while ((n = read(from, buf, sizeof(buf))) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        _exit(1);
                for (ssize_t done = 0, written; done < n; done += written) {
                        written = write(to, buf + done, (size_t)(n - done));
                        if (written < 0)
                                _exit(1);
                }
        }
        _exit(0);
}

/*
 * The daemon takes a pipe, or a file of a block device: it could not close one whose file
 * system does not answer. Of any other it gets the content.
 */
static int make_closeable(int *fd, const struct stat *st) {
        int ends[2];
        pid_t pid;

        if (S_ISFIFO(st->st_mode) || (S_ISREG(st->st_mode) && major(st->st_dev) != 0))
                return 0;
        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        pid = fork();
        if (pid == 0) {
                (void)close(ends[0]);
                (void)signal(SIGPIPE, SIG_DFL);
                pump(*fd, ends[1]);
        }
        (void)close(ends[1]);
        (void)close(*fd);
        *fd = ends[0];
        return pid < 0 ? -EAGAIN : 0;
}

int rollout_open(Rollout *rollout, const char *path, int *ret_fd, Failure *reterr) {
        const char *name = option_text(rollout->invocation, OPT_FILE_NAME);
        const char *slash = strrchr(path, '/');
        bool standard_input = strcmp(path, "-") == 0;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = standard_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                            : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0) {
                failure_setf(
                        reterr,
                        DYNOD_ERROR_FAILED,
                        "Cannot open %s: %m. Nothing was changed.",
                        path);
                return -1;
        }
        if (S_ISDIR(st.st_mode)) {
                failure_setf(
                        reterr,
                        DYNOD_ERROR_BAD_ARCHIVE,
                        "%s is a folder, not an archive. Nothing was changed.\n"
                        "Pack it: tar czf slug.tgz ./app",
                        path);
                return -1;
        }
        if (standard_input && isatty(fd) == 1) {
                failure_set(
                        reterr,
                        DYNOD_ERROR_USAGE,
                        "Standard input is a terminal, not an archive.\nName the file instead of "
                        "-.");
                return -1;
        }
        if (make_closeable(&fd, &st) < 0) {
                failure_setf(
                        reterr, DYNOD_ERROR_FAILED, "Cannot read %s. Nothing was changed.", path);
                return -1;
        }
        rollout->file = *name ? name : standard_input ? "standard input" : slash ? slash + 1 : path;
        rollout->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* "62 % of 15.2 MB, 4,935 files, 57.8 MB unpacked, 1 s left" */
static void show_import(Follow *follow, struct json_object *facts) {
        char read[TEXT_NUMBER_SIZE], files[TEXT_NUMBER_SIZE], bytes[TEXT_NUMBER_SIZE];
        uint64_t done = json_number(facts, "done"), total = json_number(facts, "total");
        uint64_t elapsed = action_duration(&follow->action);
        char left[TEXT_NUMBER_SIZE + 16] = "";
        char text[256];

        if (total == 0)
                total = follow->rollout->size;
        text_bytes(read, total > 0 ? total : done);
        text_count(files, json_number(facts, "files"));
        text_bytes(bytes, json_number(facts, "bytes"));
        if (total > 0 && done > 0 && done <= total) {
                double rest = (double)elapsed * (double)(total - done) / (double)done;

                (void)snprintf(
                        left, sizeof(left), ", %.0f s left", rest / (double)USEC_PER_SEC + 0.5);
                (void)snprintf(
                        text,
                        sizeof(text),
                        "%.0f %% of %s, %s files, %s unpacked%s",
                        (double)done * 100 / (double)total,
                        read,
                        files,
                        bytes,
                        left);
        } else {
                (void)snprintf(
                        text, sizeof(text), "%s read, %s files, %s unpacked", read, files, bytes);
        }
        action_progress(&follow->action, text);
}

/* Ends the line "Importing slug.tgz... ". */
static void end_import(Follow *follow, struct json_object *facts, const char *digest) {
        char files[TEXT_NUMBER_SIZE], bytes[TEXT_NUMBER_SIZE], took[TEXT_NUMBER_SIZE];
        struct json_object *notes = json_get(facts, "notes");
        Output *output = follow->rollout->invocation->output;

        if (follow->imported)
                return;
        follow->imported = true;
        if (json_flag(facts, "already")) {
                action_end(&follow->action, "already here (SHA256:%.8s…)", digest);
                return;
        }
        text_count(files, json_number(facts, "files"));
        text_bytes(bytes, json_number(facts, "bytes"));
        text_seconds(took, action_duration(&follow->action));
        action_end(
                &follow->action,
                "done, %s files, %s in %s (SHA256:%.8s…)",
                files,
                bytes,
                took,
                digest);
        for (size_t i = 0; i < json_length(notes); i++)
                output_note(output, "  %s", json_object_get_string(json_at(notes, i)));
}

/* "web and worker changed" */
static void end_release(Follow *follow, struct json_object *facts) {
        struct json_object *changed = json_get(facts, "changed");
        size_t n = json_length(changed);
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        for (size_t i = 0; f && i < n; i++)
                (void)fprintf(
                        f,
                        "%s%s",
                        i == 0       ? ", "
                        : i + 1 == n ? " and "
                                     : ", ",
                        json_object_get_string(json_at(changed, i)));
        if (f && n > 0)
                (void)fputs(" changed", f);
        if (f)
                (void)fclose(f);
        action_end(&follow->action, "done%s", text ?: "");
        free(text);
}

static void begin_release(Follow *follow, struct json_object *facts) {
        const Rollout *rollout = follow->rollout;
        const char *app = rollout->invocation->app;

        follow->release = (uint32_t)json_number(facts, "release");
        if (rollout->kind == ROLLOUT_DEPLOY) {
                end_import(follow, facts, json_text(facts, "slug"));
                action_begin(&follow->action, "Releasing v%" PRIu32 " of %s", follow->release, app);
                end_release(follow, facts);
                return;
        }

        _cleanup_free_ char *config = json_join(json_get(facts, "config"), ", ");
        uint64_t to = json_number(facts, "to");

        action_begin(
                &follow->action,
                "Rolling back %s to v%" PRIu64 " (slug %.8s%s%s)",
                app,
                to,
                json_text(facts, "slug"),
                config && *config ? ", config: " : "",
                config ?: "");
        action_end(&follow->action, "done, v%" PRIu32, follow->release);
}

static void begin_start(Follow *follow, struct json_object *facts) {
        _cleanup_free_ char *names = json_join(json_get(facts, "dynos"), ", ");

        follow->starting = true;
        action_begin(&follow->action, "Starting %s", names && *names ? names : "dynos");
}

static void on_progress(struct json_object *facts, void *userdata) {
        const char *phase = json_text(facts, "phase");
        Follow *follow = userdata;
        char text[64];

        if (strcmp(phase, "read") == 0 || strcmp(phase, "unpack") == 0) {
                show_import(follow, facts);
        } else if (strcmp(phase, "release") == 0) {
                begin_release(follow, facts);
        } else if (strcmp(phase, "start") == 0) {
                if (!follow->starting)
                        begin_start(follow, facts);
                (void)snprintf(
                        text,
                        sizeof(text),
                        "%" PRIu64 " of %" PRIu64 " up",
                        json_number(facts, "done"),
                        json_number(facts, "total"));
                action_progress(&follow->action, text);
        }
}

static void end_start(Follow *follow, struct json_object *facts) {
        char took[TEXT_NUMBER_SIZE];

        if (!follow->starting)
                return;
        text_seconds(took, action_duration(&follow->action));
        action_end(
                &follow->action,
                "done, %" PRIu64 " of %" PRIu64 " up in %s",
                json_number(facts, "up"),
                json_number(facts, "total"),
                took);
}

/* The new release does not come up: why, its last lines, and the way back. */
static void explain_failure(Follow *follow, struct json_object *facts) {
        Invocation *invocation = follow->rollout->invocation;
        Output *output = invocation->output;
        const char *dyno = json_text(facts, "dyno"), *code = json_text(facts, "code");
        char took[TEXT_NUMBER_SIZE];

        if (follow->starting) {
                text_seconds(took, action_duration(&follow->action));
                action_end(&follow->action, "failed (%s%safter %s)", code, *code ? " " : "", took);
        }
        if (*dyno && !output->json)
                (void)logs_print_last(invocation, dyno, LAST_LINES, output->err);
}

static void add_way_back(Follow *follow, Failure *failure) {
        const char *app = follow->rollout->invocation->app;

        if (follow->release > 0 && strcmp(failure->name, DYNOD_ERROR_UNREACHABLE) == 0) {
                failure_setf(
                        failure,
                        DYNOD_ERROR_UNREACHABLE,
                        "dynod closed the connection. v%" PRIu32
                        " of %s is released, its dynos go on starting.\nherokuctl ps -a %s",
                        follow->release,
                        app,
                        app);
                return;
        }
        if (follow->release < 2 || failure->hint)
                return;
        if (asprintf(&failure->hint, "Go back: herokuctl rollback -a %s", app) < 0)
                failure->hint = NULL;
}

static int interrupted(Follow *follow, Failure *reterr) {
        const char *app = follow->rollout->invocation->app;

        if (follow->release == 0) {
                action_clear(&follow->action);
                failure_set(
                        reterr,
                        DYNOD_ERROR_CANCELLED,
                        follow->rollout->kind == ROLLOUT_ROLLBACK
                                ? "Stopped."
                                : "Stopped. Nothing was imported.");
                return -1;
        }
        action_end(&follow->action, "still under way");
        failure_setf(
                reterr,
                DYNOD_ERROR_CANCELLED,
                "Stopped waiting. v%" PRIu32 " of %s is released, its dynos go on starting.\n"
                "See: herokuctl ps -a %s",
                follow->release,
                app,
                app);
        return -1;
}

static void finish(Follow *follow, struct json_object *facts) {
        if (follow->rollout->kind == ROLLOUT_IMPORT) {
                struct json_object *stack = json_get(facts, "stack");

                end_import(follow, facts, json_text(stack, "digest"));
                output_note(
                        follow->rollout->invocation->output,
                        "Stack is %s@%" PRIu64 ".",
                        json_text(stack, "name"),
                        json_number(stack, "version"));
        } else if (follow->release == 0 && json_number(facts, "release") > 0) {
                begin_release(follow, facts);
        }
        end_start(follow, facts);
}

int rollout_run(Rollout *rollout, sd_bus_message *message, Failure *reterr) {
        Invocation *invocation = rollout->invocation;
        _cleanup_json_ struct json_object *facts = NULL;
        Follow follow = {.rollout = rollout, .action = ACTION_INIT(invocation->output)};
        JobWait wait = {.progress = on_progress, .userdata = &follow};
        int r;

        assert(message);

        if (rollout->kind != ROLLOUT_ROLLBACK)
                action_begin(&follow.action, "Importing %s", rollout->file);
        if (option_is_set(invocation, OPT_NO_WAIT))
                wait.until_phase = "release";

        r = client_run_job(invocation->client, message, &wait, &facts, reterr);
        if (r == JOB_E_INTERRUPTED)
                return interrupted(&follow, reterr);
        if (r < 0) {
                if (follow.release > 0 && facts)
                        explain_failure(&follow, facts);
                add_way_back(&follow, reterr);
                action_clear(&follow.action);
                return -1;
        }
        if (r == 0)
                finish(&follow, facts);
        action_clear(&follow.action);
        (void)cli_print_json(invocation, facts);
        return 0;
}
