/*
 * Runs as: user nono.   Input: see feed.h.
 */
#include "daemon/service/feed.h"

#include <string.h>

#include "common/wire.h"

void feed_pack(const struct feed_event *e, struct feed_packed *ret) {
        Nono__Event *v = &ret->event;
        const char *chain = e->chain;

        nono__event__init(v);
        v->seq = e->seq;
        v->time_us = e->time_us;
        v->type = e->type;
        v->session = wire_bytes(e->session ? e->session : "");
        v->profile = wire_bytes(e->profile ? e->profile : "");
        v->request = e->request;
        v->path = wire_bytes(e->path ? e->path : "");
        v->second_path = wire_bytes(e->second ? e->second : "");
        v->directory = e->directory;
        v->executable = e->executable;
        v->access = (Nono__Access)e->access;
        v->operation = e->operation;
        v->pid = (uint32_t)e->pid;
        v->reason = e->reason;
        v->source = wire_bytes(e->source ? e->source : "");
        v->line = e->line;
        v->grant = e->grant;
        v->scope = e->scope;
        v->duration = e->duration;
        v->expires_us = e->expires_us;
        v->count = e->count;
        v->code = e->code;
        v->signal = e->signal;
        v->port = e->port;
        v->error = e->error;
        v->command = wire_bytes(e->command ? e->command : "");
        v->programs = ret->programs;
        while (chain && *chain && v->n_programs < FEED_PROGRAMS_MAX) {
                size_t n = strcspn(chain, "\x1f");

                ret->programs[v->n_programs].data = (uint8_t *)chain;
                ret->programs[v->n_programs++].len = n;
                chain += n + (chain[n] != '\0');
        }
}

static void feed_event_free(struct feed_event *e) {
        if (!e)
                return;
        free((char *)e->session);
        free((char *)e->profile);
        free((char *)e->path);
        free((char *)e->second);
        free((char *)e->chain);
        free((char *)e->source);
        free((char *)e->command);
        free(e);
}

static bool feed_copy(const char **at) {
        if (!*at)
                return true;
        *at = strdup(*at);
        return *at;
}

void feed_ring_add(struct feed_ring *r, const struct feed_event *e) {
        struct feed_event *copy = malloc(sizeof(*copy));
        const char **texts[] = { &copy->session, &copy->profile, &copy->path,   &copy->second,
                                 &copy->chain,   &copy->source,  &copy->command };

        if (!copy)
                return;
        *copy = *e;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (!feed_copy(texts[i])) {
                        while (++i < ELEMENTSOF(texts))
                                *texts[i] = NULL;
                        feed_event_free(copy);
                        return;
                }
        feed_event_free(r->events[r->next]);
        r->events[r->next] = copy;
        r->next = (r->next + 1) % FEED_RECENT_MAX;
}

const struct feed_event *feed_ring_get(const struct feed_ring *r, unsigned i) {
        unsigned first = r->events[r->next] ? r->next : 0;

        return i < FEED_RECENT_MAX ? r->events[(first + i) % FEED_RECENT_MAX] : NULL;
}

void feed_ring_done(struct feed_ring *r) {
        for (unsigned i = 0; i < FEED_RECENT_MAX; i++) {
                feed_event_free(r->events[i]);
                r->events[i] = NULL;
        }
}

bool feed_rate_pass(struct feed_rate *r, uint64_t now_us, uint32_t *ret_dropped) {
        uint64_t second = now_us / 1000000;

        *ret_dropped = 0;
        if (second != r->second) {
                r->second = second;
                r->n = 0;
                *ret_dropped = r->dropped;
                r->dropped = 0;
        }
        if (r->n >= FEED_RATE_MAX) {
                r->dropped++;
                return false;
        }
        r->n++;
        return true;
}
