/*
 * Client — one connection of nonoctl.
 * Runs as: user nono.   Input: frames of any local user (hostile); common/wire.c decodes and bounds them.
 *
 * One that is not served stays until its first frame, to be told so in the answer to it.
 *
 *      NEW ─Hello─► IDLE ─Spawn─► ATTACHED (until the program ends, then IDLE)
 *                     └──Watch──► WATCHING
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nono.pb-c.h"

struct feed_event;
struct loop_source;
struct run;
struct service;
struct wire;

enum client_state { CLIENT_NEW, CLIENT_IDLE, CLIENT_ATTACHED, CLIENT_WATCHING, CLIENT_CLOSED };

enum { CLIENT_HELLO_US = 5 * 1000000, CLIENT_BURST_MAX = 32 /* frames taken in one round */ };

struct client {
        struct client *next, **at;
        struct service *service;
        uint64_t id; /* never used twice: what waits for a client names it so */
        uint32_t uid, gid;
        int32_t pid;
        enum client_state state;
        struct wire *wire;
        struct loop_source *io, *timer;
        struct run *run;         /* ATTACHED */
        char *watched;           /* WATCHING: id of a session; "": all */
        bool answers;            /* WATCHING: can answer prompts */
        bool failed;             /* to be closed when it is safe */
        bool more;               /* frames are left for the next round */
        Nono__ErrorCode refusal; /* the answer to its first frame; ERROR_NONE: it is served */
};

/* @fd: consumed. @error: errno of the monitor's own check; the client is told when it has spoken, and closed. */
void client_accept(struct service *service, int fd, uint32_t uid, uint32_t gid, int32_t pid, int error);
void client_close(struct client *c);
struct client *client_find(struct service *service, uint64_t id);

/* @fds: borrowed. A client that does not read is closed. */
void client_reply(struct client *c, uint32_t seq, Nono__Reply *reply, const int *fds, size_t n_fds);
/* @hint may be NULL. */
void client_error(struct client *c, uint32_t seq, Nono__ErrorCode code, const char *message, const char *hint);
void client_ok(struct client *c, uint32_t seq);
void client_event(struct client *c, const struct feed_event *e);
void client_attach(struct client *c, struct run *r);
/* Its session is over. */
void client_detach(struct client *c);
/* May it see and answer for this session? */
bool client_may(const struct client *c, const struct run *r);
bool client_watches(const struct client *c, const struct run *r);
bool client_can_answer(const struct client *c, const struct run *r);
