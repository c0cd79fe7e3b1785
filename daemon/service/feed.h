/*
 * Feed — what happened, told to those who watch: one event, packed once per watcher, and the recent ones of each session.
 * Runs as: user nono.   Input: ours; foreign text inside is passed on as bytes, escaped by whoever prints it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "nono.pb-c.h"

enum {
        FEED_RECENT_MAX = 64,   /* events kept per session */
        FEED_PROGRAMS_MAX = 16, /* of one chain */
        FEED_RATE_MAX = 200,    /* rule denials told per second and session; beyond, they are counted */
};

struct feed_event {
        Nono__EventType type;
        uint64_t seq, time_us;
        const char *session, *profile, *path, *second, *chain, *source,
                *command; /* NULL: none; borrowed, owned in a ring */
        uint64_t request, grant, expires_us;
        bool directory, executable;
        unsigned access;
        Nono__Operation operation;
        Nono__Reason reason;
        Nono__Scope scope;
        Nono__Duration duration;
        int32_t pid;
        uint32_t line, count, code, signal, port, error;
};

struct feed_packed {
        Nono__Event event;
        ProtobufCBinaryData programs[FEED_PROGRAMS_MAX];
};

/* Borrows everything from @e. */
void feed_pack(const struct feed_event *e, struct feed_packed *ret);

struct feed_ring {
        struct feed_event *events[FEED_RECENT_MAX];
        unsigned next;
};
/* Keeps a copy; the oldest goes. Out of memory only means a shorter memory. */
void feed_ring_add(struct feed_ring *r, const struct feed_event *e);
/* From the oldest (0) on; NULL at the end. */
const struct feed_event *feed_ring_get(const struct feed_ring *r, unsigned i);
void feed_ring_done(struct feed_ring *r);

struct feed_rate {
        uint64_t second;
        uint32_t n, dropped;
};
/* May one more be told now? *ret_dropped: how many were not, told with the next one that is. */
bool feed_rate_pass(struct feed_rate *r, uint64_t now_us, uint32_t *ret_dropped);
