/*
 * Missing — names that levels are asked for again and again although the host has nothing there.
 *
 * The third miss plants a dangling symlink of that name in the level, so that the kernel answers by itself; inotify on the
 * host's directory takes it back when the name appears.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

struct loop;
struct peer;
struct missing;

int missing_new(struct loop *l, struct peer *peer, struct missing **ret);
struct missing *missing_free(struct missing *m);
DEFINE_CLEANUP(struct missing, missing_free);

/* One more miss of @name in level @node, whose host directory is @directory. Does not allocate before the name is planted. */
void missing_note(struct missing *m, uint32_t node, const char *directory, const char *name);
bool missing_is_planted(const struct missing *m, uint32_t node, const char *name);
/* The name exists now. */
void missing_appeared(struct missing *m, uint32_t node, const char *name);
/* The level is gone, and its planted names with it. */
void missing_forget(struct missing *m, uint32_t node);
