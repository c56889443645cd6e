/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/parse.h"
#include "cli/client.h"
#include "cli/json.h"
#include "dynod/bus.h"

/* A supervisor that was just killed is back within a second; this is for a busy host. */
#define CLIENT_READY_USEC (10 * USEC_PER_SEC)

struct Client {
        sd_bus *bus;
        int signal_fd; /* SIGINT, while a job is waited for */

        /* the job that is waited for; 0: its number is not known yet */
        uint32_t job;
        const JobWait *wait;
        struct json_object *result;
        Failure failure;
        bool done, failed, phase_reached;
};

static void failure_unreachable(Failure *failure, const char *path, int r) {
        if (r == -EACCES || r == -EPERM) {
                struct stat st;
                struct group *group = stat(path, &st) == 0 ? getgrgid(st.st_gid) : NULL;
                struct passwd *user = getpwuid(getuid());
                const char *name = group ? group->gr_name : "dynod";

                failure_setf(
                        failure,
                        DYNOD_ERROR_NOT_PERMITTED,
                        "You are not in group %s.\nAsk for: sudo adduser %s %s, then log in again.",
                        name,
                        user ? user->pw_name : "YOU",
                        name);
                return;
        }
        if (r == -ENOENT || r == -ECONNREFUSED) {
                failure_setf(
                        failure,
                        DYNOD_ERROR_UNREACHABLE,
                        "dynod does not answer on %s: it is not running.\n%s",
                        path,
                        strcmp(path, DYNOD_SOCKET_PATH) == 0 ? "Try: sudo systemctl start dynod"
                                                             : "Start the dynod of this socket.");
                return;
        }
        if (r == -ETIMEDOUT || r == -EAGAIN) {
                failure_setf(
                        failure,
                        DYNOD_ERROR_UNREACHABLE,
                        "dynod does not answer on %s: it runs, but its supervisor hangs or does "
                        "not start.\n%s",
                        path,
                        "See: journalctl -u dynod");
                return;
        }
        if (r == -ECONNRESET || r == -EPIPE || r == -ENOTCONN) {
                failure_set(
                        failure,
                        DYNOD_ERROR_UNREACHABLE,
                        "dynod closed the connection.\nTry again; dynos keep running meanwhile.");
                return;
        }
        errno = -r;
        failure_setf(failure, DYNOD_ERROR_UNREACHABLE, "dynod does not answer on %s: %m.", path);
}

static int on_progress(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Client *client = userdata;
        _cleanup_json_ struct json_object *facts = NULL;
        uint32_t job;

        if (sd_bus_message_read(m, "u", &job) < 0 || job != client->job || job == 0)
                return 0;
        if (client->phase_reached || json_from_message(&facts, m) < 0)
                return 0; /* a line of progress less */

        if (client->wait->progress)
                client->wait->progress(facts, client->wait->userdata);
        if (client->wait->until_phase &&
            strcmp(json_text(facts, "phase"), client->wait->until_phase) == 0) {
                client->phase_reached = true;
                client->result = TAKE_PTR(facts);
        }
        return 0;
}

static int on_done(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        _cleanup_free_ char *text = NULL;
        const char *error, *message, *hint;
        Client *client = userdata;
        uint32_t job;

        if (sd_bus_message_read(m, "u", &job) < 0 || job != client->job || job == 0)
                return 0;
        client->done = true;
        if (sd_bus_message_read(m, "sss", &error, &message, &hint) < 0)
                return 0;
        if (!client->result && json_from_message(&client->result, m) < 0)
                client->result = NULL; /* the facts are for show: the job is done all the same */
        if (*error != '\0') {
                client->failed = true;
                if (asprintf(&text, "%s%s%s", message, *hint ? "\n" : "", hint) < 0)
                        text = NULL;
                failure_set(&client->failure, error, text ?: message);
        }
        return 0;
}

int client_new(Client **ret, int fd, Failure *reterr) {
        _cleanup_(client_freep) Client *client = NULL;
        int r;

        client = calloc(1, sizeof(*client));
        if (!client) {
                (void)close(fd);
                return -ENOMEM;
        }
        client->signal_fd = -EBADF;

        r = sd_bus_new(&client->bus);
        if (r >= 0)
                r = sd_bus_set_fd(client->bus, fd, fd);
        if (r < 0)
                (void)close(fd);
        if (r >= 0)
                r = sd_bus_negotiate_fds(client->bus, true);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(client->bus, UINT64_MAX);
        if (r >= 0)
                r = sd_bus_start(client->bus);
        if (r >= 0)
                r = sd_bus_match_signal(
                        client->bus,
                        NULL,
                        NULL,
                        DYNOD_BUS_PATH,
                        DYNOD_BUS_INTERFACE,
                        "JobProgress",
                        on_progress,
                        client);
        if (r >= 0)
                r = sd_bus_match_signal(
                        client->bus,
                        NULL,
                        NULL,
                        DYNOD_BUS_PATH,
                        DYNOD_BUS_INTERFACE,
                        "JobDone",
                        on_done,
                        client);
        if (r < 0) {
                failure_unreachable(reterr, "the control socket", r);
                return r;
        }

        *ret = TAKE_PTR(client);
        return 0;
}

/* The server has said its first words, or it never will: sd-bus itself waits for 90 s. */
static int wait_ready(sd_bus *bus) {
        uint64_t end = clock_boottime_usec() + CLIENT_READY_USEC, now;
        int r;

        while ((r = sd_bus_is_ready(bus)) == 0) {
                now = clock_boottime_usec();
                if (now >= end)
                        return -ETIMEDOUT;
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, end - now);
                if (r < 0 && r != -EINTR)
                        return r;
        }

        return r < 0 ? r : 0;
}

int client_connect(Client **ret, const char *path, Failure *reterr) {
        const struct timeval timeout = {.tv_sec = CLIENT_READY_USEC / USEC_PER_SEC};
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!path)
                path = getenv("DYNOD_SOCKET"); /* NOLINT(concurrency-mt-unsafe): one thread */
        if (!path || !*path)
                path = DYNOD_SOCKET_PATH;
        if (strlen(path) >= sizeof(addr.sun_path)) {
                failure_setf(reterr, DYNOD_ERROR_USAGE, "%s is too long for a socket.", path);
                return -EINVAL;
        }
        memcpy(addr.sun_path, path, strlen(path) + 1);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        /* The timeout ends a connect() to a full backlog, see unix(7) and socket(7). */
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
            connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
                r = -errno;
                failure_unreachable(reterr, path, r);
                return r;
        }
        r = client_new(&client, TAKE_FD(fd), reterr);
        if (r < 0)
                return r;
        r = wait_ready(client->bus);
        if (r < 0) {
                failure_unreachable(reterr, path, r);
                return r;
        }

        *ret = TAKE_PTR(client);
        return 0;
}

Client *client_free(Client *client) {
        if (!client)
                return NULL;

        /* Flushing would wait for a peer that never said hello. */
        if (client->bus && sd_bus_is_ready(client->bus) > 0)
                (void)sd_bus_flush_close_unref(client->bus);
        else
                (void)sd_bus_close_unref(client->bus);
        (void)safe_close(client->signal_fd);
        (void)json_object_put(client->result);
        failure_clear(&client->failure);
        free(client);
        return NULL;
}

int client_message(Client *client, sd_bus_message **ret, const char *method) {
        return sd_bus_message_new_method_call(
                client->bus, ret, NULL, DYNOD_BUS_PATH, DYNOD_BUS_INTERFACE, method);
}

/* @error: what the daemon answered, NULL where there was no answer. */
static int failure_from_bus(Failure *failure, const sd_bus_error *error, int r) {
        if (error && error->name &&
            strncmp(error->name, DYNOD_ERROR_PREFIX, strlen(DYNOD_ERROR_PREFIX)) == 0) {
                failure_set(failure, error->name, error->message ?: error->name);
        } else if (sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_METHOD)) {
                failure_set(
                        failure,
                        DYNOD_ERROR_FAILED,
                        "The running dynod does not know this command.\n"
                        "Update it: see herokuctl version");
        } else if (r == -ECONNRESET || r == -EPIPE || r == -ENOTCONN) {
                failure_unreachable(failure, "", r);
        } else {
                errno = -r;
                failure_setf(
                        failure,
                        DYNOD_ERROR_FAILED,
                        "dynod could not answer: %s.",
                        error && error->message ? error->message : strerror(-r));
        }
        return r;
}

int client_send(Client *client, sd_bus_message *message, sd_bus_message **ret, Failure *reterr) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_call(client->bus, message, UINT64_MAX, &error, ret);
        if (r < 0)
                (void)failure_from_bus(reterr, &error, r);
        sd_bus_error_free(&error);
        return r < 0 ? r : 0;
}

int client_call(
        Client *client,
        struct json_object **ret,
        Failure *reterr,
        const char *method,
        const char *types,
        ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        va_list ap;
        int r;

        r = client_message(client, &m, method);
        if (r < 0)
                return failure_from_bus(reterr, NULL, r);
        va_start(ap, types);
        r = *types ? sd_bus_message_appendv(m, types, ap) : 0;
        va_end(ap);
        if (r < 0)
                return failure_from_bus(reterr, NULL, r);

        r = client_send(client, m, &reply, reterr);
        if (r < 0)
                return r;
        r = json_from_message(ret, reply);
        if (r < 0)
                return failure_from_bus(reterr, NULL, r);
        return 0;
}

/* Waits until the socket or SIGINT wants something. */
static int wait_for_input(Client *client) {
        struct pollfd fds[2] = {
                {.fd = sd_bus_get_fd(client->bus)},
                {.fd = client->signal_fd, .events = POLLIN},
        };
        uint64_t until = 0;
        int events, timeout = -1;

        events = sd_bus_get_events(client->bus);
        if (events < 0)
                return events;
        fds[0].events = (short)events;
        if (sd_bus_get_timeout(client->bus, &until) >= 0 && until == 0)
                timeout = 0;

        if (poll(fds, ARRAY_SIZE(fds), timeout) < 0 && errno != EINTR)
                return -errno;
        if (fds[1].revents != 0) {
                struct signalfd_siginfo info;

                /* taken, or it would still be delivered when it is unblocked */
                (void)!read(client->signal_fd, &info, sizeof(info));
                return JOB_E_INTERRUPTED;
        }
        return 0;
}

static int wait_loop(Client *client) {
        while (!client->done && !client->phase_reached) {
                int r = sd_bus_process(client->bus, NULL);

                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                r = wait_for_input(client);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* The answer to the call: the job's number. Its signals come behind it. */
static int on_started(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Client *client = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(m);

        if (error || sd_bus_message_read(m, "u", &client->job) < 0 || client->job == 0) {
                (void)failure_from_bus(
                        &client->failure, error, error ? -sd_bus_error_get_errno(error) : -EBADMSG);
                client->done = client->failed = true;
        }
        return 0;
}

static int start_and_wait(Client *client, sd_bus_message *message) {
        _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
        int r;

        r = sd_bus_call_async(client->bus, &slot, message, on_started, client, UINT64_MAX);
        if (r < 0)
                return r;
        return wait_loop(client);
}

int client_run_job(
        Client *client,
        sd_bus_message *message,
        const JobWait *wait,
        struct json_object **ret,
        Failure *reterr) {
        static const JobWait silent = {};
        sigset_t interrupt, before;
        int r;

        assert(client && message);

        client->job = 0;
        client->wait = wait ?: &silent;
        client->done = client->failed = client->phase_reached = false;
        client->result = json_object_freed(client->result);

        /* SIGINT is read from a descriptor, so that it cannot slip in before the poll. */
        (void)sigemptyset(&interrupt);
        (void)sigaddset(&interrupt, SIGINT);
        if (sigprocmask(SIG_BLOCK, &interrupt, &before) < 0)
                return -errno;
        client->signal_fd = signalfd(-1, &interrupt, SFD_CLOEXEC | SFD_NONBLOCK);

        r = start_and_wait(client, message);

        client->signal_fd = safe_close(client->signal_fd);
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        client->job = 0;

        *ret = TAKE_PTR(client->result);
        if (r < 0)
                return failure_from_bus(reterr, NULL, r);
        if (r > 0)
                return r;
        if (client->failed) {
                failure_clear(reterr);
                *reterr = client->failure;
                client->failure = (Failure)FAILURE_INIT;
                return -EREMOTEIO;
        }
        return client->phase_reached ? JOB_E_PHASE : 0;
}
