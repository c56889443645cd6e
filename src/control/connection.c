/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bounds. sd-bus queues without end what a client does not read, so a client whose
 * queue is long is dropped before its next call is looked at, and progress of jobs is
 * left out while it does not read. How much one message may be is bounded in front of
 * sd-bus, see relay.c.
 */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-id128.h>

#include "base/log.h"
#include "control/bus_manager.h"
#include "control/connection.h"
#include "control/facts.h"
#include "control/relay.h"
#include "dynod/bus.h"

#define QUEUE_PROGRESS_MAX 16 /* messages: beyond it progress is left out */
#define QUEUE_MAX 64          /* messages: beyond it the client is dropped */
#define USER_NAME_SIZE 64

struct Connection {
        sd_bus *bus;
        Relay *relay;
        sd_event_source *closing; /* frees the connection outside of its callbacks */
        Manager *manager;
        ManagerClient client;
        QuotaUser *user;
        ConnectionOwner owner;
        unsigned charged[_QUOTA_SLOT_MAX];
        char user_name[USER_NAME_SIZE];
        bool connected; /* charged for itself, and known to the manager */
};

Manager *connection_manager(Connection *connection) {
        return connection->manager;
}

const ManagerClient *connection_client(Connection *connection) {
        return &connection->client;
}

QuotaUser *connection_user(Connection *connection) {
        return connection->user;
}

int connection_charge(Connection *connection, QuotaSlot slot, sd_bus_error *reterr) {
        if (quota_take(connection->user, slot) == QUOTA_E_EXCEEDED)
                return sd_bus_error_setf(
                        reterr,
                        DYNOD_ERROR_LIMIT,
                        "You have %u %s under way, which is the limit.\nWait for one to end.",
                        quota_limit(slot),
                        quota_slot_to_string(slot));
        connection->charged[slot]++;
        return 0;
}

void connection_discharge(Connection *connection, QuotaSlot slot) {
        assert(connection->charged[slot] > 0);

        connection->charged[slot]--;
        quota_give(connection->user, slot, 1);
}

/* Ends the connection from within one of its own callbacks. */
static void close_later(Connection *connection) {
        if (sd_event_source_set_enabled(connection->closing, SD_EVENT_ONESHOT) < 0)
                log_warning("Cannot close a connection of uid %u.", connection->client.uid);
}

static int on_closing(sd_event_source *source, void *userdata) {
        Connection *connection = userdata;

        connection->owner.closed(connection, connection->owner.userdata);
        return 0;
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        close_later(userdata);
        return 0;
}

static void on_relay_closed(const char *why, void *userdata) {
        Connection *connection = userdata;

        if (why)
                log_warning("Dropped a client of uid %u: %s.", connection->client.uid, why);
        close_later(connection);
}

static uint64_t queued(const Connection *connection) {
        uint64_t n = 0;

        return sd_bus_get_n_queued_write(connection->bus, &n) < 0 ? 0 : n;
}

/* Sees every message before its method does. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Connection *connection = userdata;

        if (queued(connection) <= QUEUE_MAX)
                return 0;
        log_warning(
                "Dropped a client of uid %u: it does not read its answers.",
                connection->client.uid);
        close_later(connection);
        return 1; /* not answered */
}

static int new_signal(Connection *connection, sd_bus_message **ret, const char *member) {
        return sd_bus_message_new_signal(
                connection->bus, ret, DYNOD_BUS_PATH, DYNOD_BUS_INTERFACE, member);
}

static void on_job_progress(uint32_t job, const JobProgress *progress, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        Connection *connection = userdata;
        int r;

        /* the phases "release" and "start" are told once: they are not left out */
        if (queued(connection) > QUEUE_PROGRESS_MAX && !progress->result && !progress->dynos)
                return;

        r = new_signal(connection, &m, "JobProgress");
        if (r >= 0)
                r = sd_bus_message_append(m, "u", job);
        if (r >= 0)
                r = facts_open(m);
        if (r >= 0)
                r = facts_of_progress(m, progress);
        if (r >= 0)
                r = facts_close(m);
        if (r >= 0)
                r = sd_bus_send(connection->bus, m, NULL);
        if (r < 0 && r != -ENOTCONN)
                log_warning_errno(r, "Cannot report progress of job %u: %m", job);
}

static void
on_job_done(uint32_t job, const ManagerError *error, const JobResult *result, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        Connection *connection = userdata;
        int r;

        connection_discharge(connection, QUOTA_JOBS);

        r = new_signal(connection, &m, "JobDone");
        if (r >= 0)
                r = bus_append_job_end(m, job, error);
        if (r >= 0)
                r = facts_open(m);
        if (r >= 0)
                r = facts_of_result(m, result);
        if (r >= 0)
                r = facts_close(m);
        if (r >= 0)
                r = sd_bus_send(connection->bus, m, NULL);
        if (r < 0 && r != -ENOTCONN) {
                log_warning_errno(r, "Cannot report the end of job %u: %m", job);
                close_later(connection); /* the client would wait for ever */
        }
}

static const JobEvents job_events = {
        .progress = on_job_progress,
        .done = on_job_done,
};

/* For "created by user alice". NSS would need more system calls than this process has. */
static void find_user_name(char *ret, size_t size, uid_t uid) {
        FILE *f = fopen("/etc/passwd", "re");
        struct passwd *pw;

        (void)snprintf(ret, size, "uid %u", uid);
        if (!f)
                return;
        while ((pw = fgetpwent(f))) /* NOLINT(concurrency-mt-unsafe): one thread */
                if (pw->pw_uid == uid) {
                        (void)snprintf(ret, size, "%s", pw->pw_name);
                        break;
                }
        (void)fclose(f);
}

static int identify(Connection *connection, int fd, QuotaSet *quota) {
        struct ucred creds;
        socklen_t size = sizeof(creds);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &creds, &size) < 0)
                return -errno;
        connection->user = quota_user_ref(quota, creds.uid);
        if (!connection->user)
                return -ENOMEM;
        if (quota_take(connection->user, QUOTA_CONNECTIONS) == QUOTA_E_EXCEEDED)
                return QUOTA_E_EXCEEDED;
        connection->connected = true;

        find_user_name(connection->user_name, sizeof(connection->user_name), creds.uid);
        connection->client = (ManagerClient){
                .uid = creds.uid,
                .user = connection->user_name,
                .events = &job_events,
                .userdata = connection,
        };
        return 0;
}

/* Messages come through the relay, answers go to the client's socket directly. */
static int start_bus(Connection *connection, sd_event *event, int fd) {
        sd_id128_t id;
        RelayEnds ends;
        int r;

        r = sd_bus_new(&connection->bus);
        if (r < 0)
                return r;
        r = relay_new(&connection->relay, event, fd, on_relay_closed, connection, &ends);
        if (r < 0)
                return r;
        r = sd_bus_set_fd(connection->bus, ends.input, ends.output);
        if (r < 0) {
                (void)close(ends.input);
                (void)close(ends.output);
                return r;
        }
        r = sd_id128_randomize(&id);
        if (r >= 0)
                r = sd_bus_set_server(connection->bus, true, id);
        /* Who it is was asked of the kernel at accept, see identify(). */
        if (r >= 0)
                r = sd_bus_set_anonymous(connection->bus, true);
        if (r >= 0)
                r = sd_bus_negotiate_fds(connection->bus, true);
        if (r >= 0)
                r = sd_bus_add_filter(connection->bus, NULL, on_message, connection);
        if (r >= 0)
                r = sd_bus_match_signal(
                        connection->bus,
                        NULL,
                        NULL,
                        "/org/freedesktop/DBus/Local",
                        "org.freedesktop.DBus.Local",
                        "Disconnected",
                        on_disconnected,
                        connection);
        if (r >= 0)
                r = bus_manager_attach(connection->bus, connection);
        if (r >= 0)
                r = sd_bus_start(connection->bus);
        if (r >= 0)
                r = sd_bus_attach_event(connection->bus, event, SD_EVENT_PRIORITY_NORMAL);
        return r;
}

int connection_new(
        Connection **ret,
        sd_event *event,
        int fd,
        Manager *manager,
        QuotaSet *quota,
        const ConnectionOwner *owner) {
        _cleanup_(connection_freep) Connection *connection = NULL;
        int r;

        assert(ret && event && manager && quota && owner);
        assert(fd >= 0);

        connection = calloc(1, sizeof(*connection));
        if (!connection)
                return -ENOMEM;
        connection->manager = manager;
        connection->owner = *owner;

        r = identify(connection, fd, quota);
        if (r != 0)
                return r;
        r = sd_event_add_defer(event, &connection->closing, on_closing, connection);
        if (r >= 0)
                r = sd_event_source_set_enabled(connection->closing, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = start_bus(connection, event, fd);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(connection);
        return 0;
}

Connection *connection_free(Connection *connection) {
        if (!connection)
                return NULL;

        if (connection->client.userdata)
                manager_client_gone(connection->manager, connection->client.userdata);
        for (QuotaSlot slot = 0; slot < _QUOTA_SLOT_MAX; slot++)
                if (connection->charged[slot] > 0)
                        quota_give(connection->user, slot, connection->charged[slot]);
        /* What stays open counts as a connection of its uid for ever: so it has an end. */
        if (connection->connected && relay_keeps(connection->relay))
                connection->user = quota_user_hold(connection->user);
        else if (connection->connected)
                quota_give(connection->user, QUOTA_CONNECTIONS, 1);
        (void)quota_user_unref(connection->user);

        (void)sd_event_source_disable_unref(connection->closing);
        if (connection->bus) {
                (void)sd_bus_detach_event(connection->bus);
                sd_bus_close(connection->bus);
                (void)sd_bus_unref(connection->bus);
        }
        (void)relay_free(connection->relay);
        free(connection);
        return NULL;
}
