/*
 * Change — trapped calls that create, remove, rename, or open for writing.
 *
 * In a level the kernel would refuse them all without asking: there the broker asks the service (BROKER_CHANGE), does it
 * on the host with the user's rights (BROKER_CHANGED), and answers once the view shows it (BROKER_RELEASE). On a
 * read-only grant it asks for it to be widened (BROKER_F_WIDEN), and the kernel decides afterwards. Everything else goes on.
 */
#pragma once

#include <stdint.h>

#include "common/cleanup.h"

struct change;
struct grants;
struct levels;
struct loop;
struct notice;
struct notify;
struct patterns;
struct peer;

struct change_context {
        struct loop *loop;
        struct peer *peer;
        struct levels *levels;
        struct grants *grants;
        struct notify *notify;
        const struct patterns *patterns; /* denied names inside grants */
};

int change_new(const struct change_context *context, struct change **ret);
struct change *change_free(struct change *c);
DEFINE_CLEANUP(struct change, change_free);

void change_handle(struct change *c, const struct notice *notice);
/* BROKER_VERDICT and BROKER_RELEASE. Unknown tags are ignored: their caller was killed. */
void change_verdict(struct change *c, uint64_t tag, int error);
void change_release(struct change *c, uint64_t tag);
/* The service is gone: what waits is denied. */
void change_orphan(struct change *c);
