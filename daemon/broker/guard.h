/*
 * Guard — watches denied paths below granted directories. The kernel takes a mask away when the host replaces what it
 * covers (an editor that saves by rename), and cannot cover what does not exist yet: the service is told, and masks again.
 */
#pragma once

#include "common/cleanup.h"

struct guard;
struct loop;
struct peer;

enum { GUARD_PATHS_MAX = 1024 };

/* @peer: borrowed; gets BROKER_TOUCHED. */
int guard_new(struct loop *l, struct peer *peer, struct guard **ret);
struct guard *guard_free(struct guard *g);
DEFINE_CLEANUP(struct guard, guard_free);
/* Watches every directory on the way to @path (absolute, normal). Return: 0; -ENOSPC; -ENOMEM; -errno. */
int guard_add(struct guard *g, const char *path);
