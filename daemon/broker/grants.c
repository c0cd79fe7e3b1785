/*
 * Table of grants, sorted by path. One lookup is a binary search per component of the path, longest first.
 * Runs as: the user, in the broker.   Input: the service; looked up with paths of hostile processes.
 */
#include "daemon/broker/grants.h"

#include <string.h>

#include "common/error.h"
#include "daemon/broker/path.h"

struct grants {
        struct grant **items;
        size_t n, capacity;
};

int grants_new(struct grants **ret) {
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : err_raise(-ENOMEM);
}

struct grants *grants_free(struct grants *g) {
        if (!g)
                return NULL;
        for (size_t i = 0; i < g->n; i++)
                free(g->items[i]);
        free(g->items);
        free(g);
        return NULL;
}

/* Order of @path's first @n bytes against @g; as strcmp() of the two strings. */
static int grant_compare(const char *path, size_t n, const struct grant *g) {
        int r = strncmp(path, g->path, n);

        return r ? r : g->path[n] == '\0' ? 0 : -1;
}

/* Return: index of the first grant not before the path. */
static size_t grants_search(const struct grants *g, const char *path, size_t n) {
        size_t low = 0, high = g->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (grant_compare(path, n, g->items[middle]) > 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

int grants_set(struct grants *g, uint32_t node, const char *path, bool write) {
        _cleanup_free_ struct grant *grant = NULL;
        char normal[PATH_BYTES];
        size_t at, n = strnlen(path, PATH_BYTES);

        if (n >= PATH_BYTES || path_normalise(path, normal) != 0 || strcmp(path, normal) != 0)
                return err_raise(-EINVAL);
        (void)grants_remove(g, node);
        if (g->n >= GRANTS_MAX)
                return err_raise(-ENOSPC);
        if (g->n == g->capacity) {
                size_t capacity = g->capacity ? g->capacity * 2 : 64;
                struct grant **items = reallocarray(g->items, capacity, sizeof(*items));

                if (!items)
                        return err_raise(-ENOMEM);
                g->items = items;
                g->capacity = capacity;
        }
        grant = malloc(sizeof(*grant) + n + 1);
        if (!grant)
                return err_raise(-ENOMEM);
        grant->node = node;
        grant->write = write;
        memcpy(grant->path, path, n + 1);
        at = grants_search(g, path, n);
        memmove(g->items + at + 1, g->items + at, (g->n - at) * sizeof(*g->items));
        g->items[at] = steal_ptr(&grant);
        g->n++;
        return 0;
}

bool grants_remove(struct grants *g, uint32_t node) {
        for (size_t i = 0; i < g->n; i++)
                if (g->items[i]->node == node) {
                        free(g->items[i]);
                        memmove(g->items + i, g->items + i + 1, (g->n - i - 1) * sizeof(*g->items));
                        g->n--;
                        return true;
                }
        return false;
}

const struct grant *grants_cover(const struct grants *g, const char *path) {
        size_t n = strlen(path), at;

        for (;;) {
                at = grants_search(g, path, n);
                if (at < g->n && grant_compare(path, n, g->items[at]) == 0)
                        return g->items[at];
                if (n <= 1)
                        return NULL;
                while (n > 1 && path[n - 1] != '/')
                        n--;
                if (n > 1)
                        n--; /* the slash, but not the root's */
        }
}
