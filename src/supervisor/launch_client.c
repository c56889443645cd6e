/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "supervisor/launch_client.h"

/* Messages handled in one go before other sources of the loop get their turn. */
#define RECEIVE_BATCH 64

typedef struct Pending {
        struct Pending *next;
        uint32_t seq;
        LaunchType type;  /* of the request */
        bool must_answer; /* at our end, too */
        LaunchDone done;
        void *userdata;
} Pending;

typedef struct Queued {
        struct Queued *next;
        LaunchFds fds; /* owned */
        LaunchMessage msg;
} Queued;

struct LaunchClient {
        int fd;
        uint32_t last_seq;
        LaunchHandler handler;
        sd_event_source *source;
        Pending *pending;
        Queued *queue, **queue_end;
};

static void launch_fds_close(LaunchFds *fds) {
        for (size_t i = 0; i < fds->n; i++)
                fds->fd[i] = safe_close(fds->fd[i]);
        fds->n = 0;
}

static void queue_pop(LaunchClient *client) {
        Queued *first = client->queue;

        client->queue = first->next;
        if (!client->queue)
                client->queue_end = &client->queue;
        launch_fds_close(&first->fds);
        free(first);
}

static void client_closed(LaunchClient *client) {
        (void)sd_event_source_set_enabled(client->source, SD_EVENT_OFF);
        client->handler.closed(client->handler.userdata);
}

/* Return: 0, also if the rest has to wait; CHANNEL_E_CLOSED; or a negative errno. */
static int queue_flush(LaunchClient *client) {
        int r = 0;

        while (client->queue && r == 0) {
                Queued *first = client->queue;

                r = channel_send(
                        client->fd,
                        &first->msg,
                        launch_message_size((LaunchType)first->msg.header.type),
                        first->fds.fd,
                        first->fds.n);
                if (r == 0)
                        queue_pop(client);
        }
        if (r == CHANNEL_E_AGAIN)
                r = 0;
        if (r != 0)
                return r;

        return sd_event_source_set_io_events(
                client->source, client->queue ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* All else from the launcher is an event. */
static bool is_answer(uint32_t type) {
        return type == LAUNCH_REPLY || type == LAUNCH_STARTED || type == LAUNCH_INSPECTED ||
               type == LAUNCH_HOSTED || type == LAUNCH_FETCHED || type == LAUNCH_EXTRACTED;
}

/* What answers a request of that type, besides REPLY to some. */
static const LaunchType answers[_LAUNCH_TYPE_MAX] = {
        [LAUNCH_START] = LAUNCH_STARTED,
        [LAUNCH_INSPECT] = LAUNCH_INSPECTED,
        [LAUNCH_HOST] = LAUNCH_HOSTED,
        [LAUNCH_FETCH] = LAUNCH_FETCHED,
        [LAUNCH_EXTRACT] = LAUNCH_EXTRACTED,
};

static bool answers_request(LaunchType request, uint32_t answer) {
        if (request == LAUNCH_FETCH || request == LAUNCH_EXTRACT)
                return answer == answers[request] || answer == LAUNCH_REPLY;
        return answer == (answers[request] != 0 ? answers[request] : LAUNCH_REPLY);
}

/*
 * A REPLY to FETCH or EXTRACT that is no refusal only says that the work has begun:
 * FETCHED or EXTRACTED is the answer.
 */
static bool is_receipt(const Pending *pending, const LaunchMessage *msg) {
        return msg->header.type == LAUNCH_REPLY && msg->reply.result == 0 &&
               (pending->type == LAUNCH_FETCH || pending->type == LAUNCH_EXTRACT);
}

static void handle_answer(LaunchClient *client, const LaunchMessage *msg) {
        for (Pending **p = &client->pending; *p; p = &(*p)->next) {
                Pending *pending = *p;

                if (pending->seq != msg->header.seq ||
                    !answers_request(pending->type, msg->header.type))
                        continue;
                if (is_receipt(pending, msg))
                        return;
                *p = pending->next;
                if (pending->done)
                        pending->done(msg, pending->userdata);
                free(pending);
                return;
        }
}

static int receive_one(LaunchClient *client) {
        _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
        LaunchMessage msg;
        size_t size = 0;
        int r;

        memset(&msg, 0, sizeof(msg));
        r = channel_recv(client->fd, &msg, sizeof(msg), &size, &fds);
        if (r != 0)
                return r;
        r = launch_message_check(&msg, size, fds.n, LAUNCH_FROM_LAUNCHER);
        if (r < 0)
                return r;

        if (!is_answer(msg.header.type))
                return client->handler.event(&msg, &fds, client->handler.userdata);

        handle_answer(client, &msg);
        return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        LaunchClient *client = userdata;
        int r = 0;

        if (revents & EPOLLOUT)
                r = queue_flush(client);
        for (int i = 0; i < RECEIVE_BATCH && r == 0; i++)
                r = receive_one(client);

        if (r == CHANNEL_E_AGAIN)
                return 0;
        if (r == CHANNEL_E_CLOSED) {
                client_closed(client);
                return 0;
        }
        if (r < 0) {
                (void)log_error_errno(r, "cannot go on with the launcher: %m");
                return sd_event_exit(sd_event_source_get_event(source), r);
        }

        return 0;
}

int launch_client_new(LaunchClient **ret, sd_event *event, int fd, const LaunchHandler *handler) {
        _cleanup_(launch_client_freep) LaunchClient *client = NULL;
        int r;

        assert(ret && event && fd >= 0 && handler);

        client = calloc(1, sizeof(*client));
        if (!client)
                return -ENOMEM;
        client->fd = -EBADF;
        client->handler = *handler;
        client->queue_end = &client->queue;

        r = sd_event_add_io(event, &client->source, fd, EPOLLIN, on_io, client);
        if (r < 0)
                return r;
        /* What the launcher has to say about dynos goes before what clients ask. */
        r = sd_event_source_set_priority(client->source, SD_EVENT_PRIORITY_IMPORTANT);
        if (r < 0)
                return r;

        client->fd = fd;
        *ret = TAKE_PTR(client);
        return 0;
}

LaunchClient *launch_client_free(LaunchClient *client) {
        if (!client)
                return NULL;

        client->source = sd_event_source_disable_unref(client->source);
        while (client->queue)
                queue_pop(client);
        while (client->pending) {
                Pending *pending = client->pending;
                const LaunchMessage lost = {
                        .reply =
                                {
                                        .header = {.type = LAUNCH_REPLY, .seq = pending->seq},
                                        .result = -ENOTCONN,
                                        .layer = _LAYER_ANY_MAX,
                                },
                };

                client->pending = pending->next;
                if (pending->done && pending->must_answer)
                        pending->done(&lost, pending->userdata);
                free(pending);
        }
        (void)safe_close(client->fd);
        free(client);
        return NULL;
}

int launch_client_ask(
        LaunchClient *client,
        LaunchMessage *msg,
        const LaunchFds *fds,
        LaunchDone done,
        void *userdata) {
        int r = launch_client_send(client, msg, fds, done, userdata);

        if (r == 0)
                client->pending->must_answer = true;
        return r;
}

int launch_client_send(
        LaunchClient *client,
        LaunchMessage *msg,
        const LaunchFds *fds,
        LaunchDone done,
        void *userdata) {
        LaunchFds owned = {0};
        Pending *pending;
        Queued *queued;

        if (fds)
                owned = *fds;
        pending = calloc(1, sizeof(*pending));
        queued = calloc(1, sizeof(*queued));
        if (!pending || !queued) {
                free(pending);
                free(queued);
                launch_fds_close(&owned);
                return -ENOMEM;
        }

        if (++client->last_seq == 0) /* events carry 0 */
                client->last_seq = 1;
        msg->header.seq = client->last_seq;
        *pending = (Pending){
                .next = client->pending,
                .seq = client->last_seq,
                .type = (LaunchType)msg->header.type,
                .done = done,
                .userdata = userdata,
        };
        client->pending = pending;

        queued->msg = *msg;
        queued->fds = owned;
        *client->queue_end = queued;
        client->queue_end = &queued->next;

        /* A failure to write shows at the next turn of the loop, as EPOLLHUP or again here. */
        if (queue_flush(client) != 0)
                (void)sd_event_source_set_io_events(client->source, EPOLLIN | EPOLLOUT);
        return 0;
}

void launch_client_forget(LaunchClient *client, void *userdata) {
        for (Pending *pending = client->pending; pending; pending = pending->next)
                if (pending->userdata == userdata)
                        pending->done = NULL;
}
