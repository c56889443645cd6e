/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "base/patience.h"
#include "ipc/channel.h"
#include "launcher/discard.h"
#include "launcher/dynos.h"

/*
 * Messages that a slow supervisor has not read: its greeting has two for each dyno, and all of
 * them may end before it is through with that. More than those and some answers means that it
 * hangs, and it is started anew.
 */
#define LINK_QUEUE_PER_DYNO 3
#define LINK_QUEUE_ANSWERS 4096

/* Requests carried out in one turn of the loop, so that exits and signals get theirs too. */
#define LINK_REQUESTS_PER_TURN 16
#define LINK_TURN_USEC (5 * USEC_PER_MSEC) /* no further request after this long */

typedef struct Queued Queued;
struct Queued {
        Queued *next;
        ChannelFds fds;
        size_t size;
        char msg[];
};

struct Link {
        int fd;
        Source *source;
        Queued *first, **last;
        size_t n_queued, max_queued;
};

static void drop_first(Link *link) {
        Queued *queued = link->first;

        link->first = queued->next;
        if (!link->first)
                link->last = &link->first;
        link->n_queued--;
        channel_fds_clear(&queued->fds);
        free(queued);
}

void link_close(Launcher *launcher) {
        Link *link = launcher->link;

        if (!link)
                return;
        launcher->link = NULL;
        dynos_untell(launcher);
        execs_untell(launcher);
        starts_abort(launcher);
        store_abandon_all(launcher->store);
        while (link->first)
                drop_first(link);
        link->source = source_free(link->source);
        /* Something may lie in it that was never read. */
        link->fd = discard_socket(link->fd);
        free(link);
}

/* The peer is broken (@why) or gone: its exit, which follows, starts it anew. */
static void give_up(Launcher *launcher, const char *why) {
        if (why)
                log_warning("Lost dynod-supervisor: %s.", why);
        link_close(launcher);
        services_restart_supervisor(launcher);
}

static int flush(Launcher *launcher) {
        Link *link = launcher->link;

        while (link->first) {
                Queued *queued = link->first;
                int r = channel_send(
                        link->fd, queued->msg, queued->size, queued->fds.fd, queued->fds.n);

                if (r == CHANNEL_E_AGAIN)
                        return 0;
                if (r != 0)
                        return r;
                drop_first(link);
        }

        return source_set_events(link->source, EPOLLIN);
}

static int receive(Launcher *launcher) {
        Link *link = launcher->link;
        uint64_t end = clock_boottime_usec() + LINK_TURN_USEC;

        for (int i = 0; i < LINK_REQUESTS_PER_TURN && launcher->link == link &&
                        (i == 0 || clock_boottime_usec() < end);
             i++) {
                ChannelFds fds = CHANNEL_FDS_INIT;
                LaunchMessage msg;
                size_t size, n_foreign;
                int r;

                patience_begin(); /* the kernel closes what is too much in one message */
                r = channel_recv(link->fd, &msg, sizeof(msg), &size, &fds);
                patience_end();
                if (r == CHANNEL_E_AGAIN)
                        return 0;
                n_foreign = discard_foreign(&fds);
                launcher->n_foreign += n_foreign;
                if (n_foreign > 0)
                        r = -EBADMSG;
                if (r == 0)
                        r = launch_message_check(&msg, size, fds.n, LAUNCH_FROM_SUPERVISOR);
                if (r == 0)
                        r = request_dispatch(launcher, &msg, fds.fd, fds.n);
                discard_fds(&fds);
                if (r != 0)
                        return r;
        }

        return 0;
}

static int on_link(void *userdata, uint32_t events) {
        Launcher *launcher = userdata;
        int r = 0;

        if ((events & EPOLLOUT) != 0)
                r = flush(launcher);
        if (r == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
                r = receive(launcher);

        if (r == CHANNEL_E_CLOSED)
                give_up(launcher, NULL); /* it is ending, and its exit will be logged */
        else if (r == -EBADMSG)
                give_up(launcher, "it broke the protocol");
        else if (r < 0)
                give_up(launcher, strerror(-r));
        return 0;
}

/* Adopted ones may be more than there may be started, and those that have ended count, too. */
static unsigned most_dynos(const Launcher *launcher) {
        unsigned n = dynos_told(launcher);

        return n > launcher->config->max_dynos ? n : launcher->config->max_dynos;
}

int link_open(Launcher *launcher, int fd) {
        Link *link = calloc(1, sizeof(*link));
        int r;

        if (!link)
                return -ENOMEM;
        r = loop_add(launcher->loop, &link->source, fd, EPOLLIN, on_link, launcher);
        if (r < 0) {
                free(link);
                return r;
        }
        link->fd = fd;
        link->max_queued = LINK_QUEUE_ANSWERS + LINK_QUEUE_PER_DYNO * (size_t)most_dynos(launcher);
        link->last = &link->first;

        launcher->link = link;
        return 0;
}

static int enqueue(Link *link, const void *msg, size_t size, const int *fds, size_t n_fds) {
        Queued *queued;

        if (link->n_queued >= link->max_queued)
                return -ENOBUFS;
        queued = calloc(1, sizeof(*queued) + size);
        if (!queued)
                return -ENOMEM;
        queued->fds = (ChannelFds)CHANNEL_FDS_INIT;
        queued->size = size;
        memcpy(queued->msg, msg, size);
        for (size_t i = 0; i < n_fds; i++) {
                int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

                if (fd < 0) {
                        channel_fds_clear(&queued->fds);
                        free(queued);
                        return -errno;
                }
                queued->fds.fd[queued->fds.n++] = fd;
        }

        *link->last = queued;
        link->last = &queued->next;
        link->n_queued++;
        return source_set_events(link->source, EPOLLIN | EPOLLOUT);
}

void link_send(Launcher *launcher, const void *msg, size_t size, const int *fds, size_t n_fds) {
        Link *link = launcher->link;
        int r;

        if (!link)
                return;

        r = link->first ? CHANNEL_E_AGAIN : channel_send(link->fd, msg, size, fds, n_fds);
        if (r == CHANNEL_E_AGAIN)
                r = enqueue(link, msg, size, fds, n_fds);
        /* A closed channel is noticed by on_link(), which may free the link; we may not. */
        if (r < 0) {
                (void)log_warning_errno(r, "Cannot tell dynod-supervisor, starting it anew: %m");
                services_restart_supervisor(launcher);
        }
}

bool link_is_read(const Launcher *launcher) {
        const Link *link = launcher->link;
        int unread = 0;

        /* unix(7): bytes that the peer has not received */
        return link && !link->first && ioctl(link->fd, SIOCOUTQ, &unread) == 0 && unread == 0;
}

void link_reply(Launcher *launcher, uint32_t seq, uint32_t type, int result, uint32_t layer) {
        LaunchReply reply = {
                .header = {.type = type, .seq = seq},
                .result = result,
                .layer = layer,
        };

        link_send(launcher, &reply, sizeof(reply), NULL, 0);
}
