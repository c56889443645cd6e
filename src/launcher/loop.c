/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/parse.h"
#include "launcher/loop.h"

/* Events taken from the kernel at once; more wait for the next turn. */
#define LOOP_EVENTS 32

struct Source {
        Loop *loop;
        Source *next, **link; /* of the loop's timers; garbage uses next alone */
        int fd;               /* borrowed; -EBADF: a timer */
        uint64_t usec;        /* of a timer: USEC_INFINITY while unarmed */
        bool dead;            /* freed while events for it may still be in hand */
        SourceCallback callback;
        void *userdata;
};

struct Loop {
        int epoll_fd;
        bool quit;
        Source *timers;  /* unordered: there are few */
        Source *garbage; /* freed at the end of a turn */
        IdleCallback idle;
        void *idle_userdata;
};

int loop_new(Loop **ret) {
        Loop *loop = calloc(1, sizeof(*loop));

        if (!loop)
                return -ENOMEM;
        loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (loop->epoll_fd < 0) {
                free(loop);
                return -errno;
        }

        *ret = loop;
        return 0;
}

static void list_add(Source **list, Source *source) {
        source->next = *list;
        source->link = list;
        if (source->next)
                source->next->link = &source->next;
        *list = source;
}

static void list_remove(Source *source) {
        *source->link = source->next;
        if (source->next)
                source->next->link = source->link;
}

static void collect_garbage(Loop *loop) {
        while (loop->garbage) {
                Source *source = loop->garbage;

                loop->garbage = source->next;
                free(source);
        }
}

Loop *loop_free(Loop *loop) {
        if (!loop)
                return NULL;

        collect_garbage(loop);
        assert(!loop->timers);
        (void)safe_close(loop->epoll_fd);
        free(loop);
        return NULL;
}

static Source *source_new(Loop *loop, SourceCallback callback, void *userdata) {
        Source *source = calloc(1, sizeof(*source));

        if (source)
                *source = (Source){
                        .loop = loop,
                        .fd = -EBADF,
                        .usec = USEC_INFINITY,
                        .callback = callback,
                        .userdata = userdata,
                };
        return source;
}

int loop_add(
        Loop *loop,
        Source **ret,
        int fd,
        uint32_t events,
        SourceCallback callback,
        void *userdata) {
        struct epoll_event event = {.events = events};
        Source *source = source_new(loop, callback, userdata);

        assert(fd >= 0);

        if (!source)
                return -ENOMEM;
        event.data.ptr = source;
        if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
                int r = -errno;

                free(source);
                return r;
        }
        source->fd = fd;

        *ret = source;
        return 0;
}

int source_set_events(Source *source, uint32_t events) {
        struct epoll_event event = {.events = events, .data = {.ptr = source}};

        if (epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0)
                return -errno;
        return 0;
}

int loop_add_timer(
        Loop *loop, Source **ret, uint64_t usec, SourceCallback callback, void *userdata) {
        Source *source = source_new(loop, callback, userdata);

        if (!source)
                return -ENOMEM;
        source->usec = usec;
        list_add(&loop->timers, source);

        *ret = source;
        return 0;
}

void source_set_time(Source *source, uint64_t usec) {
        assert(source->fd < 0);
        source->usec = usec;
}

Source *source_free(Source *source) {
        if (!source)
                return NULL;

        assert(!source->dead);
        if (source->fd >= 0)
                (void)epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
        else
                list_remove(source);
        source->dead = true;
        source->next = source->loop->garbage;
        source->loop->garbage = source;
        return NULL;
}

void loop_set_idle(Loop *loop, IdleCallback callback, void *userdata) {
        loop->idle = callback;
        loop->idle_userdata = userdata;
}

static uint64_t next_timer(const Loop *loop) {
        uint64_t next = USEC_INFINITY;

        for (const Source *s = loop->timers; s; s = s->next)
                if (s->usec < next)
                        next = s->usec;
        return next;
}

static int timeout_msec(uint64_t next_usec) {
        uint64_t now = clock_boottime_usec(), left;

        if (next_usec == USEC_INFINITY)
                return -1;
        if (next_usec <= now)
                return 0;
        left = (next_usec - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
        return left > INT32_MAX ? INT32_MAX : (int)left;
}

/* One expired timer at a time: its callback may free any other. */
static int run_timers(Loop *loop) {
        uint64_t now = clock_boottime_usec();

        for (Source *s = loop->timers; s;) {
                int r;

                if (s->usec > now) {
                        s = s->next;
                        continue;
                }
                s->usec = USEC_INFINITY;
                r = s->callback(s->userdata, 0);
                if (r < 0)
                        return r;
                s = loop->timers;
        }

        return 0;
}

static int run_turn(Loop *loop, int timeout) {
        struct epoll_event events[LOOP_EVENTS];
        int n, r;

        n = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, timeout);
        if (n < 0)
                return errno == EINTR ? 0 : -errno;

        for (int i = 0; i < n; i++) {
                Source *source = events[i].data.ptr;

                if (source->dead)
                        continue;
                r = source->callback(source->userdata, events[i].events);
                if (r < 0)
                        return r;
        }

        r = run_timers(loop);
        collect_garbage(loop);
        return r < 0 ? r : n;
}

int loop_run(Loop *loop) {
        bool more = true;

        loop->quit = false;
        while (!loop->quit) {
                int r = run_turn(loop, more ? 0 : timeout_msec(next_timer(loop)));

                if (r < 0)
                        return r;
                if (r > 0)
                        more = true;
                else
                        more = loop->idle && loop->idle(loop->idle_userdata);
        }

        return 0;
}

void loop_quit(Loop *loop) {
        loop->quit = true;
}
