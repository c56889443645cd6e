/* SPDX-License-Identifier: Apache-2.0 */

/* `run` and `ps:exec`: a command of the user's, in a dyno of its own or in a living one. */

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "ipc/channel.h"
#include "ipc/dyno_spec.h"
#include "supervisor/dyno.h"

#define ONE_OFFS_MAX 50 /* living ones of one app: Heroku's default for one-off dynos */

static int check_env(const char *const *env, ManagerError *reterr) {
        for (size_t i = 0; env && env[i]; i += 2)
                if (!config_name_is_valid(env[i]))
                        return refuse(
                                reterr,
                                DYNOD_ERROR_INVALID_NAME,
                                "\"%.80s\" cannot be the name of a variable.",
                                env[i]);

        return 0;
}

static int check_request(const RunRequest *request, ManagerError *reterr) {
        if (!request->command || !request->command[0] || request->command[0][0] == '\0')
                return refuse(reterr, DYNOD_ERROR_INVALID_ARGUMENT, "There is no command to run.");
        /* Root takes nothing else of a client's. */
        if (request->attach_fd >= 0 && !fd_is_unix_socket(request->attach_fd))
                return refuse(
                        reterr,
                        DYNOD_ERROR_INVALID_ARGUMENT,
                        "The descriptor to attach to must be a Unix socket.");
        return check_env(request->env, reterr);
}

/* Heroku's numbers have up to four digits and say nothing. */
static uint32_t choose_number(Manager *manager, const App *app) {
        for (unsigned i = 0; i < 1000; i++) {
                uint16_t random = 0;
                uint32_t number;
                bool taken = false;

                if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
                        random = (uint16_t)i;
                number = 1000 + random % 9000;
                for (const Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                        taken = taken ||
                                (dyno->app == app && dyno->one_off && dyno->number == number);
                if (!taken)
                        return number;
        }

        return 10000;
}

/* The words as one line for bash; a process type as first word stands for its command. */
static char *join_shell(const App *app, const RunRequest *request) {
        const char *command = pairs_get(&app->release->processes, request->command[0]);
        _cleanup_strings_ Strings words = {0};
        int r;

        r = strings_add(&words, command ? command : request->command[0]);
        for (size_t i = 1; request->command[i] && r == 0; i++)
                r = strings_add(&words, request->command[i]);

        return r < 0 ? NULL : strings_join((const char *const *)words.items, " ");
}

static uint32_t spec_flags(const RunRequest *request, bool shell) {
        return (shell ? DYNO_SPEC_SHELL : 0) | (request->attached ? DYNO_SPEC_ATTACH : 0) |
               (request->attached && request->tty ? DYNO_SPEC_TTY : 0);
}

static int make_spec(Dyno *dyno, const App *app, const RunRequest *request) {
        bool shell = request->shell || pairs_get(&app->release->processes, request->command[0]);
        const char *const *args = request->command;
        const char *line[2] = {NULL};
        DynoCommand command = {
                .flags = spec_flags(request, shell),
                .env = request->env,
                .rows = request->rows,
                .columns = request->columns,
        };

        dyno->command = shell ? join_shell(app, request) : strings_join(args, " ");
        if (!dyno->command)
                return -ENOMEM;
        line[0] = dyno->command;
        command.args = shell ? line : args;
        return dyno_make_spec(dyno, app->release, &command, &dyno->spec_fd);
}

static int
prepare(Manager *manager,
        const RunRequest *request,
        App **ret_app,
        const DynoSize **ret_size,
        ManagerError *reterr) {
        const Dyno *dyno;
        unsigned n = 0;
        int r;

        r = check_request(request, reterr);
        if (r == 0)
                r = manager_find_deployed(manager, request->app, ret_app, reterr);
        *ret_size = manager_default_size(manager);
        if (r == 0 && request->size && request->size[0])
                r = manager_find_size(manager, request->size, ret_size, reterr);
        if (r != 0)
                return r;

        for (dyno = manager->dynos; dyno; dyno = dyno->next)
                n += dyno->app == *ret_app && dyno->one_off;
        if (n >= ONE_OFFS_MAX)
                return refuse(
                        reterr,
                        DYNOD_ERROR_LIMIT,
                        "%u one-off dynos of %s are running, which is the limit.",
                        n,
                        (*ret_app)->row.name);

        return manager_check_room(manager, 1, (*ret_size)->memory_quota, reterr);
}

static int
run(Manager *manager,
    const ManagerClient *client,
    const RunRequest *request,
    Dyno **ret,
    ManagerError *reterr) {
        const DynoSize *size = NULL;
        Dyno *dyno = NULL;
        App *app = NULL;
        int r;

        r = prepare(manager, request, &app, &size, reterr);
        if (r == 0)
                r = dyno_new(&dyno, manager, app, "run", choose_number(manager, app));
        if (r != 0)
                return r;

        dyno->one_off = true;
        dyno->size = *size;
        r = dyno_choose_id(dyno);
        if (r == 0)
                r = make_spec(dyno, app, request);
        if (r < 0) {
                (void)dyno_free(dyno);
                if (r == -E2BIG)
                        return refuse(
                                reterr,
                                DYNOD_ERROR_LIMIT,
                                "Command, environment and config vars are over 256 KiB together.");
                return r;
        }

        manager_log_api(
                manager,
                app,
                "Starting process with command `%.500s` by user %s",
                dyno->command,
                client->user ? client->user : "");
        *ret = dyno;
        return 0;
}

void manager_run_query(
        Manager *manager,
        const ManagerClient *client,
        const RunRequest *request,
        RunDone done,
        void *userdata) {
        _cleanup_close_ int attach_fd = request->attach_fd;
        ManagerError error = {0};
        Dyno *dyno = NULL;
        int r;

        r = run(manager, client, request, &dyno, &error);
        if (r < 0)
                (void)refuse_errno(&error, r, "the dyno cannot be made");
        if (r != 0) {
                done(&error, NULL, userdata);
                return;
        }
        assert(dyno);

        if (request->attached)
                dyno->attach_fd = TAKE_FD(attach_fd);
        dyno->run_done = done;
        dyno->run_userdata = userdata;
        dyno_handle_event(dyno, DYNO_EV_START);
}

/* ---- exec ---- */

typedef struct ExecCall {
        Manager *manager;
        char id[DYNO_ID_SIZE];
        RunDone done;
        void *userdata;
} ExecCall;

static void on_exec(const LaunchMessage *msg, void *userdata) {
        ExecCall *call = userdata;
        Dyno *dyno = manager_dyno_by_id(call->manager, call->id);
        char address[DYNO_ADDRESS_SIZE];
        ManagerError error = {0};
        DynoInfo info;

        if (msg->reply.result == 0 && dyno) {
                dyno_info(dyno, &info, address);
                call->done(NULL, &info, call->userdata);
        } else if (!dyno || msg->reply.result == -ESRCH || msg->reply.result == -ENOENT) {
                (void)refuse(
                        &error, DYNOD_ERROR_NO_SUCH_DYNO, "%s does not run any more.", call->id);
                call->done(&error, NULL, call->userdata);
        } else {
                (void)refuse(
                        &error,
                        msg->reply.layer < _LAYER_MAX ? DYNOD_ERROR_LAYER_MISSING
                                                      : DYNOD_ERROR_FAILED,
                        "The command was not started in %s: %s: %s.",
                        dyno->name,
                        launch_layer_to_string((LaunchLayer)msg->reply.layer),
                        strerrordesc_np(-msg->reply.result));
                call->done(&error, NULL, call->userdata);
        }
        free(call);
}

static int exec_spec(const Dyno *dyno, const RunRequest *request, int *ret_fd) {
        DynoCommand command = {
                .flags = DYNO_SPEC_EXEC | DYNO_SPEC_ATTACH | (request->tty ? DYNO_SPEC_TTY : 0) |
                         (request->shell ? DYNO_SPEC_SHELL : 0),
                .args = request->command,
                .env = request->env,
                .rows = request->rows,
                .columns = request->columns,
        };
        _cleanup_free_ char *line = NULL;
        const char *lines[2] = {NULL};

        if (request->shell) {
                line = strings_join(request->command, " ");
                if (!line)
                        return -ENOMEM;
                lines[0] = line;
                command.args = lines;
        }
        return dyno_make_spec(dyno, dyno->app->release, &command, ret_fd);
}

static int
exec(Manager *manager,
     const RunRequest *request,
     int *attach_fd,
     ExecCall *call,
     ManagerError *reterr) {
        LaunchFds fds = {0};
        LaunchMessage msg;
        Dyno *dyno = NULL;
        App *app = NULL;
        int r, fd = -EBADF;

        r = check_request(request, reterr);
        if (r == 0 && *attach_fd < 0)
                r = refuse(
                        reterr, DYNOD_ERROR_INVALID_ARGUMENT, "ps:exec needs an attached client.");
        if (r == 0)
                r = manager_find_deployed(manager, request->app, &app, reterr);
        if (r == 0)
                r = manager_find_dyno(app, request->dyno, manager, &dyno, reterr);
        if (r == 0 && dyno->place != DYNO_PLACE_RUNNING)
                r =
                        refuse(reterr,
                               DYNOD_ERROR_NO_SUCH_DYNO,
                               "%s is %s: there is no process to join.",
                               dyno->name,
                               dyno_state_to_string(dyno->state));
        if (r == 0)
                r = exec_spec(dyno, request, &fd);
        if (r != 0)
                return r;

        memcpy(call->id, dyno->id, sizeof(call->id));
        fds = (LaunchFds){.fd = {fd, *attach_fd}, .n = 2};
        *attach_fd = -EBADF;
        memset(&msg, 0, sizeof(msg));
        msg.dyno.header.type = LAUNCH_EXEC;
        field_set(msg.dyno.id, sizeof(msg.dyno.id), dyno->id);
        return launch_client_ask(manager->launch, &msg, &fds, on_exec, call);
}

void manager_exec_query(
        Manager *manager,
        const ManagerClient *client,
        const RunRequest *request,
        RunDone done,
        void *userdata) {
        _cleanup_close_ int attach_fd = request->attach_fd;
        _cleanup_free_ ExecCall *call = calloc(1, sizeof(*call));
        ManagerError error = {0};
        int r = -ENOMEM;

        if (call) {
                *call = (ExecCall){.manager = manager, .done = done, .userdata = userdata};
                r = exec(manager, request, &attach_fd, call, &error);
        }
        if (r == 0) {
                (void)TAKE_PTR(call); /* on_exec() frees it */
                return;
        }
        if (r < 0)
                (void)refuse_errno(&error, r, "the command cannot be started");
        done(&error, NULL, userdata);
}
