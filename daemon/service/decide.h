/*
 * Decide — what waits for a person in one session: prompts, merged requests, deadlines, remembered denials. Pure: the
 * clock is an argument, nothing is sent from here.
 * Runs as: user nono.   Input: paths checked by the caller; counts and rates are the session's to choose (hostile).
 *
 *      request     one process waits in the kernel; answered exactly once, by its owner
 *      prompt      one question for a person: all requests with the same path and access
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "nono.pb-c.h"

struct decide_limits {
        uint64_t attended_us;   /* a prompt's life while somebody can answer */
        uint64_t unattended_us; /* and while nobody can */
        uint64_t remember_us;   /* how long a person's no answers the same question */
        size_t prompts_max;     /* waiting at once */
        size_t remember_max;
};
extern const struct decide_limits decide_default_limits;

/* Links a request into its prompt; embedded in what waits. */
struct waiting {
        struct waiting *next, **at;
        struct prompt *prompt; /* NULL: does not wait */
};

struct prompt {
        struct prompt *next, **at;
        uint64_t id;
        char *path, *second; /* owned; second may be NULL */
        unsigned access;     /* POLICY_READ | POLICY_WRITE */
        bool directory, executable;
        Nono__Operation operation;
        char *chain; /* owned; program names joined by \x1f */
        int32_t pid;
        uint64_t since_us, deadline_us; /* monotonic */
        uint64_t realtime_us;
        uint32_t count; /* requests merged so far */
        struct waiting *waiting;
};

struct decide;

struct decide_question {
        const char *path, *second, *chain;
        unsigned access;
        bool directory, executable;
        Nono__Operation operation;
        int32_t pid;
};

int decide_new(const struct decide_limits *limits, struct decide **ret);
/* Every request must have left before. */
struct decide *decide_free(struct decide *d);

/* Nobody is ever asked. */
void decide_set_sealed(struct decide *d, bool sealed);
/* Somebody can answer from now on, or nobody can any more: deadlines follow. */
void decide_set_attended(struct decide *d, bool attended, uint64_t now_us);

enum { DECIDE_WAIT = 0, DECIDE_MERGED = 1, DECIDE_DENY = 2 };
/**
 * decide_ask() - a request that no rule answers
 * @new_id:     id for a new prompt, from a counter of the service
 * @w:          linked into the prompt unless the answer is DECIDE_DENY
 * @ret_prompt: the prompt; with DECIDE_DENY untouched
 * @ret_reason: set with DECIDE_DENY. REASON_LIMIT is returned for each, but *ret_first only for the first of a flood
 * Return: DECIDE_WAIT (a new prompt), DECIDE_MERGED, DECIDE_DENY; -ENOMEM.
 */
int decide_ask(struct decide *d, const struct decide_question *q, uint64_t new_id, uint64_t now_us,
               uint64_t realtime_us, struct waiting *w, struct prompt **ret_prompt, Nono__Reason *ret_reason,
               bool *ret_first);
/* The request goes (answered, or its process died). The prompt stays, maybe empty: the caller looks and drops it. */
void decide_leave(struct waiting *w);
/* Takes an empty or answered prompt out; its requests have left. */
void decide_drop(struct decide *d, struct prompt *p);

struct prompt *decide_first(const struct decide *d);
struct prompt *decide_find(const struct decide *d, uint64_t id);
size_t decide_count(const struct decide *d);

/* A person said no: the same question is answered so for a while. */
void decide_remember(struct decide *d, const char *path, unsigned access, uint64_t now_us);
/* A person said yes, or revoked a rule: old noes no longer speak for this path and below. */
void decide_forget(struct decide *d, const char *path);

/* A prompt whose time is over, with the reason; NULL when none is. The caller denies its requests and drops it. */
struct prompt *decide_overdue(struct decide *d, uint64_t now_us, Nono__Reason *ret_reason);
/* When the next one is over; UINT64_MAX: never. */
uint64_t decide_deadline(const struct decide *d);

/* Outcomes of decide_scope(): too wide to be granted by an answer. */
enum { DECIDE_SCOPE_OK = 0, DECIDE_SCOPE_E_WIDE = 1 };
/**
 * decide_scope() - from the answer's scope to the path of a rule
 * @ret:      POLICY_PATH_MAX bytes
 * @ret_file: the rule is for one object, not a tree
 */
int decide_scope(const char *path, bool directory, Nono__Scope scope, char *ret, bool *ret_file);
/* "/" and what holds everybody's homes, the daemon's own directories, and the session's own /proc, /dev and /tmp. */
bool decide_is_too_wide(const char *path);
