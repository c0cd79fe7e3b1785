/*
 * Grant — rules that come and go while a session runs: answers of a person, `nonoctl grant`, `nonoctl revoke`, expiry.
 * Runs as: user nono.   Input: decoded client messages; the caller has checked whose session it is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nono.pb-c.h"

struct prompt;
struct run;

/* One approval: the rules it made, and how long they last. */
struct approval {
        struct approval *next, **at;
        struct run *run;
        uint64_t id; /* of its first rule; what `nonoctl revoke` names */
        uint64_t rules[2];
        unsigned n_rules;
        Nono__Scope scope;
        Nono__Duration duration;
        uint64_t since_us, expires_us; /* realtime; 0: never */
        struct loop_source *timer;
        struct approval_process *processes; /* ONCE: until all of them are gone */
        char *path;
};

enum { GRANT_OK = 0, GRANT_E_WIDE = 1, GRANT_E_DENIED, GRANT_E_LIMIT, GRANT_E_NOT_FOUND };

/**
 * grant_approve() - a person said yes; the prompt is used up
 * @ret_why: with GRANT_E_DENIED: "source:line" of the rule; 512 bytes
 * Return: 0; GRANT_E_WIDE, GRANT_E_DENIED, GRANT_E_LIMIT: the prompt still waits; -errno.
 */
int grant_approve(struct run *r, struct prompt *p, Nono__Scope scope, Nono__Duration duration, bool write,
                  uint64_t *ret_id, char *ret_why);
/* A person said no. */
void grant_deny(struct run *r, struct prompt *p);

/* @error: 0; errno of the path; EACCES: @why names the rule; EPERM: too wide; ENOSPC: too many. */
typedef void (*grant_fn)(uint64_t client, uint32_t seq, uint64_t id, int error, const char *why, void *arg);
/* `nonoctl grant`. @fn is called once, later, unless an error is returned. */
int grant_path(struct run *r, const char *path, bool write, Nono__Duration duration, uint64_t client, uint32_t seq,
               grant_fn fn, void *arg);

/**
 * grant_revoke() - take a rule back
 * Approved rules go; a rule of the profile is overruled by a deny. @ret_path: POLICY_PATH_MAX bytes.
 */
int grant_revoke(struct run *r, uint64_t id, Nono__Reason reason, char *ret_path);
struct approval *grant_find(const struct run *r, uint64_t id);
void grant_free_all(struct run *r);
