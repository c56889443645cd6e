/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "ipc/channel.h"
#include "supervisor/log_client.h"

/* Messages kept while there is no logger: some seconds of a busy host. */
#define QUEUE_MAX 8192

typedef struct Queued {
        struct Queued *next;
        int fd; /* goes with it; owned, -EBADF for none */
        size_t size;
        char data[];
} Queued;

struct LogClient {
        sd_event *event;
        sd_event_source *source;
        int fd;
        Queued *queue, **queue_end;
        size_t n_queued;
        uint64_t lost;
};

static void queued_free(Queued *queued) {
        (void)safe_close(queued->fd);
        free(queued);
}

static void queue_pop(LogClient *client) {
        Queued *first = client->queue;

        client->queue = first->next;
        if (!client->queue)
                client->queue_end = &client->queue;
        client->n_queued--;
        queued_free(first);
}

/* How all messages begin; with LogApps the number is none of an app. */
typedef struct Head {
        uint32_t type, app_number;
} Head;

static bool is_about_apps(const Head *head, uint32_t app_number) {
        return head->type != LOG_LINE && head->type != LOG_STREAM;
}

static bool is_of_app(const Head *head, uint32_t app_number) {
        return head->app_number == app_number && head->type != LOG_APPS &&
               head->type != LOG_APPS_END;
}

static void queue_drop(
        LogClient *client,
        bool (*is_unwanted)(const Head *head, uint32_t number),
        uint32_t number) {
        Queued **at = &client->queue;

        while (*at) {
                Queued *queued = *at;
                Head head;

                memcpy(&head, queued->data, sizeof(head));
                if (!is_unwanted(&head, number)) {
                        at = &queued->next;
                        continue;
                }
                *at = queued->next;
                queued_free(queued);
                client->n_queued--;
        }
        client->queue_end = at;
}

/* What the one that is gone was to be told of apps is not for the next: that is told all. */
static void disconnect(LogClient *client) {
        client->source = sd_event_source_disable_unref(client->source);
        client->fd = safe_close(client->fd);
        queue_drop(client, is_about_apps, 0);
}

static void flush(LogClient *client) {
        int r = 0;

        while (client->queue && r == 0) {
                Queued *first = client->queue;

                r = channel_send(client->fd, first->data, first->size, &first->fd, first->fd >= 0);
                /* ETOOMANYREFS, say: that reader sees its end, and the others get theirs. */
                if (r == 0 || (r < 0 && first->fd >= 0)) {
                        queue_pop(client);
                        r = 0;
                }
        }

        if (r != CHANNEL_E_CLOSED) /* else no memory, or no room: later */
                r = sd_event_source_set_io_events(client->source, r == 0 ? 0 : EPOLLOUT);
        if (r != 0)
                disconnect(client); /* the launcher brings the next one */
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        LogClient *client = userdata;

        if (revents & (EPOLLHUP | EPOLLERR))
                disconnect(client);
        else
                flush(client);

        return 0;
}

int log_client_new(LogClient **ret, sd_event *event) {
        LogClient *client = calloc(1, sizeof(*client));

        if (!client)
                return -ENOMEM;

        client->event = sd_event_ref(event);
        client->fd = -EBADF;
        client->queue_end = &client->queue;
        *ret = client;
        return 0;
}

LogClient *log_client_free(LogClient *client) {
        if (!client)
                return NULL;

        disconnect(client);
        while (client->queue)
                queue_pop(client);
        client->event = sd_event_unref(client->event);
        free(client);
        return NULL;
}

/* Takes @fd over in any case. */
static int queue_add(LogClient *client, const void *data, size_t size, int fd) {
        Queued *queued = malloc(sizeof(*queued) + size);

        if (!queued) {
                (void)safe_close(fd);
                return -ENOMEM;
        }
        queued->next = NULL;
        queued->fd = fd;
        queued->size = size;
        memcpy(queued->data, data, size);
        *client->queue_end = queued;
        client->queue_end = &queued->next;
        client->n_queued++;
        return 0;
}

static int queue_apps(LogClient *client, const LogApp *apps, size_t n_apps, uint32_t last_number) {
        LogApps begin = {LOG_APPS, last_number}, end = {LOG_APPS_END, last_number};
        int r = queue_add(client, &begin, sizeof(begin), -EBADF);

        for (size_t i = 0; i < n_apps && r == 0; i++) {
                LogApp msg = apps[i];

                msg.type = LOG_APP;
                r = queue_add(client, &msg, sizeof(msg), -EBADF);
        }
        return r < 0 ? r : queue_add(client, &end, sizeof(end), -EBADF);
}

int log_client_connect(
        LogClient *client, int fd, const LogApp *apps, size_t n_apps, uint32_t last_number) {
        Queued *waiting, **waiting_end;
        int r;

        assert(fd >= 0);

        disconnect(client);
        client->fd = fd;
        r = sd_event_add_io(client->event, &client->source, fd, 0, on_io, client);
        if (r < 0) {
                client->fd = safe_close(client->fd);
                return r;
        }

        waiting = client->queue;
        waiting_end = client->queue_end;
        client->queue = NULL;
        client->queue_end = &client->queue;
        r = queue_apps(client, apps, n_apps, last_number);
        if (waiting) {
                *client->queue_end = waiting;
                client->queue_end = waiting_end;
        }
        if (r < 0)
                return r;

        if (client->lost > 0)
                log_warning(
                        "%" PRIu64 " lines and readers of logs were lost while there was no logger",
                        client->lost);
        client->lost = 0;
        flush(client);
        return 0;
}

/* Takes @fd over in any case. */
static int enqueue(LogClient *client, const void *data, size_t size, int fd) {
        if (client->n_queued >= QUEUE_MAX) {
                (void)safe_close(fd);
                client->lost++;
                return -ENOBUFS;
        }
        if (queue_add(client, data, size, fd) < 0) {
                client->lost++;
                return -ENOBUFS;
        }
        if (client->fd >= 0)
                flush(client);
        return 0;
}

void log_client_line(LogClient *client, const LogPlace *place, const char *fmt, va_list ap) {
        LogLine line;
        int n;

        memset(&line, 0, offsetof(LogLine, text));
        line.type = LOG_LINE;
        line.app_number = place->app_number;
        line.record.magic = LOG_RECORD_MAGIC;
        line.record.source = (uint16_t)place->source;
        line.record.usec = place->usec;
        field_set(line.record.app, sizeof(line.record.app), place->app);
        field_set(line.record.procid, sizeof(line.record.procid), place->procid);

        n = vsnprintf(line.text, sizeof(line.text), fmt, ap);
        if (n < 0)
                return;
        line.record.text_size = (uint16_t)strnlen(line.text, sizeof(line.text) - 1);
        for (size_t i = 0; i < line.record.text_size; i++)
                if ((unsigned char)line.text[i] < ' ' || line.text[i] == 0x7f)
                        line.text[i] = '?';

        (void)enqueue(client, &line, offsetof(LogLine, text) + line.record.text_size, -EBADF);
}

int log_client_stream(
        LogClient *client, uint32_t app_number, const char *app, bool follow, int fd) {
        LogStream stream = {.type = LOG_STREAM, .app_number = app_number, .follow = follow};

        field_set(stream.app, sizeof(stream.app), app);
        return enqueue(client, &stream, sizeof(stream), fd);
}

/* Room or not: a change that got lost would be noticed by the next logger only. */
static int tell_app(LogClient *client, LogType type, uint32_t app_number, const char *app) {
        LogApp msg = {.type = type, .app_number = app_number};
        int r;

        if (client->fd < 0)
                return 0;
        field_set(msg.app, sizeof(msg.app), app);
        r = queue_add(client, &msg, sizeof(msg), -EBADF);
        if (r == 0)
                flush(client);
        return r;
}

int log_client_app(LogClient *client, uint32_t app_number, const char *app) {
        for (Queued *queued = client->queue; queued; queued = queued->next) {
                LogApp msg;

                if (queued->size != sizeof(msg))
                        continue;
                memcpy(&msg, queued->data, sizeof(msg));
                if (msg.type != LOG_APP || msg.app_number != app_number)
                        continue;
                /* Alone or in a list: its place does not matter, names are only shown. */
                field_set(msg.app, sizeof(msg.app), app);
                memcpy(queued->data, &msg, sizeof(msg));
                return 0;
        }
        return tell_app(client, LOG_APP, app_number, app);
}

int log_client_forget(LogClient *client, uint32_t app_number, const char *app) {
        queue_drop(client, is_of_app, app_number);
        return tell_app(client, LOG_FORGET, app_number, app);
}
