/*
 * Grants — which trees of the view are granted, and how. For looking things up only: the kernel enforces the view.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

enum { GRANTS_MAX = 8192 };

struct grant {
        uint32_t node;
        bool write;
        char path[];
};
struct grants;

int grants_new(struct grants **ret);
struct grants *grants_free(struct grants *g);
DEFINE_CLEANUP(struct grants, grants_free);

/* Adds a grant, or changes the one of @node. Return: 0; -EINVAL (path); -ENOSPC; -ENOMEM. */
int grants_set(struct grants *g, uint32_t node, const char *path, bool write);
bool grants_remove(struct grants *g, uint32_t node);
/* The grant with the longest path that @path (normalised) lies in; NULL: none. Valid until the next change. */
const struct grant *grants_cover(const struct grants *g, const char *path);
