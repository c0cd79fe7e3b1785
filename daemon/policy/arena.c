/*
 * A chain of blocks; nothing is freed before the end, so trees may point into each other freely.
 * Runs as: anyone.   Input: sizes computed by this folder.
 */
#include "daemon/policy/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

enum { ARENA_BLOCK = 4 * 1024 };

struct arena_block {
        struct arena_block *next;
        size_t used, size;
        alignas(max_align_t) char data[];
};

void arena_done(struct arena *a) {
        while (a->blocks) {
                struct arena_block *b = a->blocks;

                a->blocks = b->next;
                free(b);
        }
}

void *arena_alloc(struct arena *a, size_t n) {
        struct arena_block *b = a->blocks;
        void *p;

        if (n > SIZE_MAX / 2)
                return NULL;
        n = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
        if (!b || b->size - b->used < n) {
                size_t size = MAX_OF(n, (size_t)ARENA_BLOCK);

                b = calloc(1, sizeof(*b) + size); /* zeroed here once, never reused */
                if (!b)
                        return NULL;
                b->size = size;
                b->next = a->blocks;
                a->blocks = b;
        }
        p = b->data + b->used;
        b->used += n;
        return p;
}

char *arena_copy(struct arena *a, const char *s, size_t n) {
        char *p = arena_alloc(a, n + 1);

        if (p && n)
                memcpy(p, s, n);
        return p;
}

char *arena_string(struct arena *a, const char *s) {
        return arena_copy(a, s, strlen(s));
}
