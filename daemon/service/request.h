/*
 * Request — one process of a session that waits in the kernel, from the broker's message to its answer.
 * Runs as: user nono.   Input: the broker's claims, decoded and bounded by broker-link.c.
 *
 * Owned by its run until it is answered, exactly once, by request_refuse(), request_allow(), or by an attach that carries
 * its token.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/broker/message.h"
#include "daemon/service/decide.h"

struct run;

enum { REQUESTS_MAX = 1024 /* of one run; each holds two descriptors */ };

enum request_type {
        REQUEST_WALK,   /* a name of a level; answered by an attach, or by the monitor's refusal of the token */
        REQUEST_CHANGE, /* a call that creates a name in a level; answered by a verdict to the broker */
        REQUEST_WIDEN,  /* a call that writes below a read-only grant; the same */
};

struct request {
        struct waiting waiting; /* first: what decide.c gives back is cast to this */
        struct request *next, **at;
        struct run *run;
        enum request_type type;
        uint64_t tag;
        uint32_t token, node;
        enum object_kind kind;
        enum operation operation;
        unsigned access;
        int32_t pid;
        bool directory, executable;
        bool unreachable;                 /* WALK: on the host this user is refused */
        bool below_checked, denies_below; /* of a directory: is something inside it denied? */
        bool lent;                        /* somebody waits for an answer on its behalf: not to be freed */
        bool gone;                        /* its process was killed meanwhile */
        bool late;                        /* came while an attach at the same place was under way */
        unsigned widened;                 /* WIDEN: places made writable so far */
        struct request *held_next;
        char *path;      /* level's path and name; of a change: what is created, or written */
        char *full;      /* WALK: the whole path that is wanted, "" when unknown */
        char *canonical; /* WALK: of the object, of a link's target; "" when unknown */
        char *target;    /* WALK, of a link; CHANGE: a symlink's target text */
        char *second;    /* CHANGE: the other name of a rename or link; "" */
        char *chain;
        int fd_object, fd_pid;
};

/* Takes nothing over but the numbers; texts may be NULL. Return: NULL when there are too many, or no memory. */
struct request *request_new(struct run *run, enum request_type type, const char *path, const char *full,
                            const char *canonical, const char *target, const char *second, const char *chain);
/* The process was killed: leaves its prompt, frees it now or when it comes back. */
void request_gone(struct request *q);
/* Leaves its prompt, closes its descriptors. Answers nothing. */
struct request *request_free(struct request *q);
/* Answers and frees. @error: errno, positive. */
void request_refuse(struct request *q, int error);
/* CHANGE and WIDEN: the broker may do it. Frees. */
void request_allow(struct request *q);
struct request *request_find(struct run *run, uint64_t tag);

/* Judges as if it had just come in: refuses, attaches, allows, or lets it wait for a person. Consumes. */
void request_judge(struct request *q);
/* After a rule came or went: every waiting request whose answer is another one now is judged again. */
void request_replay(struct run *run);
/* The prompt's requests are refused with one event; the prompt is dropped. */
void request_deny_prompt(struct run *run, struct prompt *p, Nono__Reason reason);
/* EVENT_WITHDRAWN and drop, when nobody is left in it. */
void request_prompt_left(struct run *run, struct prompt *p);
/* Event fields of a prompt. */
struct feed_event;
void request_describe(const struct prompt *p, struct feed_event *e);
