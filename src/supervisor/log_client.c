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

static void queue_pop(LogClient *client) {
        Queued *first = client->queue;

        client->queue = first->next;
        if (!client->queue)
                client->queue_end = &client->queue;
        client->n_queued--;
        (void)safe_close(first->fd);
        free(first);
}

static void disconnect(LogClient *client) {
        client->source = sd_event_source_disable_unref(client->source);
        client->fd = safe_close(client->fd);
}

static void flush(LogClient *client) {
        int r = 0;

        while (client->fd >= 0 && client->queue && r == 0) {
                Queued *first = client->queue;

                r = channel_send(client->fd, first->data, first->size, &first->fd, first->fd >= 0);
                if (r == 0)
                        queue_pop(client);
        }
        if (client->fd < 0)
                return;

        if (r == 0)
                r = sd_event_source_set_io_events(client->source, 0);
        else if (r == CHANNEL_E_AGAIN)
                r = sd_event_source_set_io_events(client->source, EPOLLOUT);
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

int log_client_connect(LogClient *client, int fd) {
        int r;

        assert(fd >= 0);

        disconnect(client);
        client->fd = fd;
        r = sd_event_add_io(client->event, &client->source, fd, 0, on_io, client);
        if (r < 0) {
                client->fd = safe_close(client->fd);
                return r;
        }

        if (client->lost > 0)
                log_warning(
                        "%" PRIu64 " log lines were lost while there was no logger", client->lost);
        client->lost = 0;
        flush(client);
        return 0;
}

/* Takes @fd over in any case. */
static int enqueue(LogClient *client, const void *data, size_t size, int fd) {
        Queued *queued = NULL;

        if (client->n_queued < QUEUE_MAX)
                queued = malloc(sizeof(*queued) + size);
        if (!queued) {
                client->lost++;
                (void)safe_close(fd);
                return -ENOBUFS;
        }

        queued->next = NULL;
        queued->fd = fd;
        queued->size = size;
        memcpy(queued->data, data, size);
        *client->queue_end = queued;
        client->queue_end = &queued->next;
        client->n_queued++;
        flush(client);
        return 0;
}

void log_client_line(LogClient *client, const LogPlace *place, const char *fmt, va_list ap) {
        LogLine line;
        int n;

        memset(&line, 0, offsetof(LogLine, text));
        line.type = LOG_LINE;
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

int log_client_stream(LogClient *client, const char *app, bool follow, int fd) {
        LogStream stream = {.type = LOG_STREAM, .follow = follow};

        field_set(stream.app, sizeof(stream.app), app);
        return enqueue(client, &stream, sizeof(stream), fd);
}

void log_client_forget(LogClient *client, const char *app) {
        LogApp msg = {.type = LOG_FORGET};

        field_set(msg.app, sizeof(msg.app), app);
        (void)enqueue(client, &msg, sizeof(msg), -EBADF); /* its history stays then, harmless */
}

void log_client_rename(LogClient *client, const char *app, const char *new_name) {
        LogApp msg = {.type = LOG_RENAME};

        field_set(msg.app, sizeof(msg.app), app);
        field_set(msg.new_name, sizeof(msg.new_name), new_name);
        (void)enqueue(client, &msg, sizeof(msg), -EBADF);
}
