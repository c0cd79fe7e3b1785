/*
 * Loop: libevent's epoll base behind our own types.
 * Runs as: service, broker, client.   Input: none.
 */
#include "common/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>
#include <time.h>

#include "common/error.h"

struct loop_deferred {
        struct loop_deferred *next;
        loop_time_fn fn;
        void *arg;
};

struct loop {
        struct event_base *base;
        struct event *wake; /* runs the deferred calls */
        struct loop_deferred *first, **last;
        int value;
        bool stopped;
};

enum loop_source_type { LOOP_SOURCE_IO, LOOP_SOURCE_TIME, LOOP_SOURCE_SIGNAL };

struct loop_source {
        struct loop *loop;
        struct event *event;
        enum loop_source_type type;
        union {
                loop_io_fn io;
                loop_time_fn time;
                loop_signal_fn signal;
        } fn;
        void *arg;
};

static void on_deferred(evutil_socket_t fd, short what, void *arg) {
        struct loop *l = arg;

        while (l->first) {
                struct loop_deferred *d = l->first;

                l->first = d->next;
                if (!l->first)
                        l->last = &l->first;
                d->fn(d->arg);
                free(d);
        }
}

int loop_new(struct loop **ret) {
        _cleanup_(loop_freep) struct loop *l = NULL;
        struct event_config *config;

        l = calloc(1, sizeof(*l));
        config = event_config_new();
        if (!l || !config)
                return err_raise(-ENOMEM);
        l->last = &l->first;
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK); /* millisecond timers: a precise one costs a system call per round */
        l->base = event_base_new_with_config(config);
        event_config_free(config);
        if (!l->base)
                return err_raise(-ENOMEM);
        l->wake = event_new(l->base, -1, 0, on_deferred, l);
        if (!l->wake)
                return err_raise(-ENOMEM);
        *ret = steal_ptr(&l);
        return 0;
}

struct loop *loop_free(struct loop *l) {
        if (!l)
                return NULL;
        if (l->wake) {
                on_deferred(-1, 0, l);
                event_free(l->wake);
        }
        if (l->base)
                event_base_free(l->base);
        free(l);
        return NULL;
}

int loop_run(struct loop *l) {
        while (!l->stopped)
                if (event_base_loop(l->base, EVLOOP_ONCE) < 0)
                        return err_raise(-EIO);
        return l->value;
}

void loop_stop(struct loop *l, int value) {
        l->stopped = true;
        l->value = value;
        event_base_loopbreak(l->base);
}

static void on_event(evutil_socket_t fd, short what, void *arg) {
        struct loop_source *s = arg;

        switch (s->type) {
        case LOOP_SOURCE_IO:
                s->fn.io(fd, (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0), s->arg);
                break;
        case LOOP_SOURCE_TIME:
                s->fn.time(s->arg);
                break;
        case LOOP_SOURCE_SIGNAL:
                s->fn.signal(fd, s->arg);
                break;
        }
}

static short loop_events(unsigned want) {
        return (short)(EV_PERSIST | (want & LOOP_READ ? EV_READ : 0) | (want & LOOP_WRITE ? EV_WRITE : 0));
}

static int loop_source_new(struct loop *l, enum loop_source_type type, int fd, short events, void *arg,
                           struct loop_source **ret) {
        struct loop_source *s = calloc(1, sizeof(*s));

        if (!s)
                return err_raise(-ENOMEM);
        s->loop = l;
        s->type = type;
        s->arg = arg;
        s->event = event_new(l->base, fd, events, on_event, s);
        if (!s->event) {
                free(s);
                return err_raise(-ENOMEM);
        }
        *ret = s;
        return 0;
}

int loop_io(struct loop *l, int fd, unsigned want, loop_io_fn fn, void *arg, struct loop_source **ret) {
        int r = loop_source_new(l, LOOP_SOURCE_IO, fd, loop_events(want), arg, ret);

        if (r)
                return r;
        (*ret)->fn.io = fn;
        if (want && event_add((*ret)->event, NULL) < 0) {
                *ret = loop_source_free(*ret);
                return err_raise(-EIO);
        }
        return 0;
}

int loop_io_want(struct loop_source *s, unsigned want) {
        int fd = event_get_fd(s->event);

        if (event_get_events(s->event) == loop_events(want))
                return 0;
        event_del(s->event);
        event_assign(s->event, s->loop->base, fd, loop_events(want), on_event, s);
        if (want && event_add(s->event, NULL) < 0)
                return err_raise(-EIO);
        return 0;
}

int loop_timer(struct loop *l, uint64_t delay_us, loop_time_fn fn, void *arg, struct loop_source **ret) {
        int r = loop_source_new(l, LOOP_SOURCE_TIME, -1, 0, arg, ret);

        if (r)
                return r;
        (*ret)->fn.time = fn;
        return loop_timer_set(*ret, delay_us);
}

int loop_timer_set(struct loop_source *s, uint64_t delay_us) {
        struct timeval tv = { .tv_sec = (time_t)(delay_us / 1000000), .tv_usec = (suseconds_t)(delay_us % 1000000) };

        if (delay_us == UINT64_MAX)
                return event_del(s->event) < 0 ? err_raise(-EIO) : 0;
        return event_add(s->event, &tv) < 0 ? err_raise(-EIO) : 0;
}

int loop_signal(struct loop *l, int signo, loop_signal_fn fn, void *arg, struct loop_source **ret) {
        int r = loop_source_new(l, LOOP_SOURCE_SIGNAL, signo, EV_SIGNAL | EV_PERSIST, arg, ret);

        if (r)
                return r;
        (*ret)->fn.signal = fn;
        if (event_add((*ret)->event, NULL) < 0) {
                *ret = loop_source_free(*ret);
                return err_raise(-EIO);
        }
        return 0;
}

/* libevent touches a signal event once more after its callback: the memory goes in the next round. */
static void loop_source_release(void *arg) {
        struct loop_source *s = arg;

        event_free(s->event);
        free(s);
}

struct loop_source *loop_source_free(struct loop_source *s) {
        if (!s)
                return NULL;
        event_del(s->event);
        if (s->type == LOOP_SOURCE_SIGNAL && s->loop->wake)
                loop_defer(s->loop, loop_source_release, s);
        else
                loop_source_release(s);
        return NULL;
}

void loop_defer(struct loop *l, loop_time_fn fn, void *arg) {
        struct loop_deferred *d = calloc(1, sizeof(*d));

        if (!d)
                abort(); /* whoever relies on it would wait for ever; the death of a process of ours only removes access */
        d->fn = fn;
        d->arg = arg;
        *l->last = d;
        l->last = &d->next;
        event_active(l->wake, EV_TIMEOUT, 0);
}

uint64_t loop_now_us(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t loop_realtime_us(void) {
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}
