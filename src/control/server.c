/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "base/log.h"
#include "control/connection.h"
#include "control/server.h"

#define ACCEPT_PAUSE_USEC 200000 /* while there is no descriptor or memory for a client */
#define CONNECTIONS_MAX 512 /* of all uids: a third of the descriptors of a process by default */

struct Server {
        sd_event *event;
        sd_event_source *source, *pause;
        int listen_fd;
        Manager *manager;
        QuotaSet *quota;
        Connection *connections[CONNECTIONS_MAX];
        unsigned n_connections;
};

static void on_closed(Connection *connection, void *userdata) {
        Server *server = userdata;

        for (unsigned i = 0; i < server->n_connections; i++)
                if (server->connections[i] == connection) {
                        server->connections[i] = server->connections[--server->n_connections];
                        (void)connection_free(connection);
                        return;
                }
        assert(false);
}

static void serve(Server *server, int fd) {
        const ConnectionOwner owner = {.closed = on_closed, .userdata = server};
        Connection *connection;
        int r;

        if (server->n_connections == CONNECTIONS_MAX) {
                log_warning("Refused a client: %d are connected.", CONNECTIONS_MAX);
                return;
        }
        r = connection_new(&connection, server->event, fd, server->manager, server->quota, &owner);
        if (r == QUOTA_E_EXCEEDED) {
                log_warning(
                        "Refused a client: its uid has %u connections.",
                        quota_limit(QUOTA_CONNECTIONS));
                return;
        }
        if (r < 0) {
                log_warning_errno(r, "Cannot serve a client: %m");
                return;
        }
        server->connections[server->n_connections++] = connection;
}

static int on_pause_end(sd_event_source *source, uint64_t usec, void *userdata) {
        const Server *server = userdata;

        return sd_event_source_set_enabled(server->source, SD_EVENT_ON);
}

/* Clients wait in the queue meanwhile; to look again at once would be to do nothing else. */
static void pause_accepting(Server *server) {
        if (sd_event_source_set_time_relative(server->pause, ACCEPT_PAUSE_USEC) >= 0 &&
            sd_event_source_set_enabled(server->pause, SD_EVENT_ONESHOT) >= 0)
                (void)sd_event_source_set_enabled(server->source, SD_EVENT_OFF);
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        _cleanup_close_ int client = -EBADF;
        const Server *server = userdata;

        /* Somebody with a copy has shut it down. Whoever starts us anew makes another. */
        if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0) {
                log_error("The control socket was shut down.");
                return sd_event_exit(server->event, -EPIPE);
        }
        client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client < 0) {
                if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                        log_warning_errno(-errno, "Cannot accept a client: %m");
                        pause_accepting(userdata);
                }
                return 0;
        }
        serve(userdata, client);
        return 0;
}

int server_new(Server **ret, sd_event *event, int listen_fd, Manager *manager) {
        _cleanup_(server_freep) Server *server = NULL;
        int r;

        assert(ret && event && manager);
        assert(listen_fd >= 0);

        server = calloc(1, sizeof(*server));
        if (!server)
                return -ENOMEM;
        server->listen_fd = -EBADF;
        server->event = sd_event_ref(event);
        server->manager = manager;
        server->quota = quota_set_new();
        if (!server->quota)
                return -ENOMEM;
        r = sd_event_add_io(
                event, &server->source, listen_fd, EPOLLIN | EPOLLRDHUP, on_accept, server);
        if (r < 0)
                return r;
        /* Now, because it takes a descriptor. */
        r = sd_event_add_time(event, &server->pause, CLOCK_MONOTONIC, 0, 0, on_pause_end, server);
        if (r >= 0)
                r = sd_event_source_set_enabled(server->pause, SD_EVENT_OFF);
        if (r < 0)
                return r;

        server->listen_fd = listen_fd;
        *ret = TAKE_PTR(server);
        return 0;
}

Server *server_free(Server *server) {
        if (!server)
                return NULL;

        (void)sd_event_source_disable_unref(server->pause);
        (void)sd_event_source_disable_unref(server->source);
        while (server->n_connections > 0)
                (void)connection_free(server->connections[--server->n_connections]);
        (void)quota_set_free(server->quota);
        (void)safe_close(server->listen_fd);
        (void)sd_event_unref(server->event);
        free(server);
        return NULL;
}

unsigned server_connections(const Server *server) {
        return server->n_connections;
}
