/*
 * Revoke — `nonoctl revoke --kill`: a grant is taken back, and the processes that still hold something of it are ended.
 * Runs as: user nono.   Input: decoded client messages; the caller has checked whose session it is.
 *
 *      broker: remember the mounts ─► rules and view: grant_revoke() ─► monitor: detached ─► broker: end who holds them
 */
#pragma once

#include <stdint.h>

struct revoke;
struct run;

/*
 * @error: 0: @path is taken back, @killed processes were ended; GRANT_E_… or -errno: nothing was done; EPIPE: @path is taken
 * back, but nobody could say who holds something of it; ECANCELED: the session ended meanwhile.
 */
typedef void (*revoke_fn)(uint64_t client, uint32_t seq, int error, const char *path, uint32_t killed, void *arg);

/* @fn is called once, maybe at once. */
void revoke_and_kill(struct run *r, uint64_t grant, uint64_t client, uint32_t seq, revoke_fn fn, void *arg);
/* The monitor has detached everything that it was asked to. */
void revoke_detached(struct run *r);
void revoke_free_all(struct run *r);
