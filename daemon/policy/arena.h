/*
 * Arena — memory that is released all at once: parsed documents, merged profiles, a plan's settings.
 * Runs as: anyone.   Input: trusted sizes.
 */
#pragma once

#include <stddef.h>

#include "common/cleanup.h"

struct arena_block;
struct arena {
        struct arena_block *blocks; /* newest first */
};

void arena_done(struct arena *a);
/* Zeroed, aligned for any type, lives until arena_done(). NULL when memory is out. */
void *arena_alloc(struct arena *a, size_t n);
/* A NUL-terminated copy of @n bytes. */
char *arena_copy(struct arena *a, const char *s, size_t n);
char *arena_string(struct arena *a, const char *s);
