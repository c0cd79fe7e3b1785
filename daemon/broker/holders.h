/*
 * Holders — which processes of the session still hold something below a grant that was taken back, and their end.
 *
 * A mount that was detached has no path any more, but what is open in it still names its mount: so the mount is remembered
 * while it stands, and looked for in descriptors, working directories, roots and programs afterwards.
 */
#pragma once

#include <stdint.h>

#include "common/cleanup.h"

struct holders;
struct levels;

int holders_new(const struct levels *levels, struct holders **ret);
struct holders *holders_free(struct holders *h);
DEFINE_CLEANUP(struct holders, holders_free);

/**
 * holders_remember() - the mount that stands at @path in the session now, under every root that begins with our view
 * Return: 0; -ENOMEM. That nothing stands there is no error.
 */
int holders_remember(struct holders *h, uint32_t node, const char *path);
/* The grant @node was taken back. */
void holders_taken(struct holders *h, uint32_t node);
/*
 * Ends every process of the session, but its init, that holds something of what was taken back since it was remembered; and
 * forgets all that was remembered. One that lets nobody look into it counts as one that holds something.
 * Return: how many were ended.
 */
unsigned holders_end(struct holders *h);
