/*
 * Found by id (an array), and by path (a hash), because the broker speaks in levels and the policy in paths. Ids are never
 * used a second time while others are left: a late answer about a node that went away finds nothing instead of its successor.
 *
 * Runs as: user nono.   Input: see tree.h.
 */
#include "daemon/service/tree.h"

#include <string.h>

#include "common/error.h"
#include "daemon/monitor/request.h"
#include "daemon/policy/policy.h"
#include "daemon/service/pathname.h"

enum { TREE_BUCKETS = 512 };

struct tree {
        struct tree_node *by_path[TREE_BUCKETS];
        struct tree_node **by_id; /* MONITOR_NODES_MAX + 1 entries at most */
        uint32_t cap_ids, last_id;
        size_t n_planted;
};

static size_t tree_bucket(const char *path) {
        uint32_t h = 2166136261U; /* FNV-1a */

        for (; *path; path++)
                h = (h ^ (unsigned char)*path) * 16777619U;
        return h % TREE_BUCKETS;
}

struct tree *tree_new(void) {
        return calloc(1, sizeof(struct tree));
}

static void tree_node_free(struct tree_node *n) {
        free(n->path);
        free(n);
}

struct tree *tree_free(struct tree *v) {
        if (!v)
                return NULL;
        for (uint32_t i = 0; i < v->cap_ids; i++)
                if (v->by_id[i])
                        tree_node_free(v->by_id[i]);
        free(v->by_id);
        free(v);
        return NULL;
}

static int tree_reserve(struct tree *v, uint32_t id) {
        uint32_t cap = v->cap_ids ? v->cap_ids : 64;
        struct tree_node **list;

        while (cap <= id)
                cap *= 2;
        if (cap == v->cap_ids)
                return 0;
        list = reallocarray(v->by_id, cap, sizeof(*list));
        if (!list)
                return err_raise(-ENOMEM);
        memset(list + v->cap_ids, 0, (cap - v->cap_ids) * sizeof(*list));
        v->by_id = list;
        v->cap_ids = cap;
        return 0;
}

/* Return: 0 when none is left. */
static uint32_t tree_free_id(const struct tree *v, uint32_t parent) {
        if (v->last_id < MONITOR_NODES_MAX)
                return v->last_id + 1;
        for (uint32_t id = parent + 1; id <= MONITOR_NODES_MAX; id++)
                if (!v->by_id[id])
                        return id;
        return 0;
}

int tree_add(struct tree *v, uint32_t parent, uint32_t kind, uint32_t flags, const char *path, struct tree_node **ret) {
        struct tree_node *n, *up = parent ? tree_by_id(v, parent) : NULL;
        size_t bucket = tree_bucket(path);
        uint32_t id;
        int r;

        if (parent && !up)
                return err_raise(-ENOENT);
        if (tree_by_path(v, path))
                return TREE_E_EXISTS;
        id = tree_free_id(v, parent);
        if (id == 0)
                return TREE_E_FULL;
        r = tree_reserve(v, id);
        if (r)
                return err_pass(r);
        n = calloc(1, sizeof(*n));
        if (!n || !(n->path = strdup(path))) {
                free(n);
                return err_raise(-ENOMEM);
        }
        n->id = id;
        v->last_id = MAX_OF(v->last_id, id);
        n->kind = kind;
        n->flags = flags;
        n->parent = up;
        if (up) {
                n->next = up->children;
                up->children = n;
        }
        n->hash_path = v->by_path[bucket];
        v->by_path[bucket] = n;
        v->by_id[n->id] = n;
        *ret = n;
        return 0;
}

static void tree_unlink(struct tree *v, struct tree_node *n) {
        struct tree_node **p;

        if (n->parent) {
                for (p = &n->parent->children; *p != n; p = &(*p)->next)
                        ;
                *p = n->next;
        }
        for (p = &v->by_path[tree_bucket(n->path)]; *p != n; p = &(*p)->hash_path)
                ;
        *p = n->hash_path;
        v->by_id[n->id] = NULL;
        if (n->planted)
                v->n_planted--;
}

void tree_remove(struct tree *v, struct tree_node *n, void (*gone)(void *arg, struct tree_node *n), void *arg) {
        /* the tree is as deep as a path has components; walked without recursion all the same */
        while (n) {
                struct tree_node *leaf = n;

                while (leaf->children)
                        leaf = leaf->children;
                tree_unlink(v, leaf);
                if (gone)
                        gone(arg, leaf);
                if (leaf == n)
                        n = NULL;
                tree_node_free(leaf);
        }
}

struct tree_node *tree_by_id(const struct tree *v, uint32_t id) {
        return id > 0 && id < v->cap_ids ? v->by_id[id] : NULL;
}

struct tree_node *tree_by_path(const struct tree *v, const char *path) {
        for (struct tree_node *n = v->by_path[tree_bucket(path)]; n; n = n->hash_path)
                if (strcmp(n->path, path) == 0)
                        return n;
        return NULL;
}

struct tree_node *tree_child(const struct tree *v, uint32_t id, const char *name) {
        const struct tree_node *level = tree_by_id(v, id);
        char path[POLICY_PATH_MAX];

        return level && pathname_join(level->path, name, path) == 0 ? tree_by_path(v, path) : NULL;
}

struct tree_node *tree_covering(const struct tree *v, const char *path) {
        char up[POLICY_PATH_MAX];

        for (int r = pathname_parent(path, up); r == 0; r = pathname_parent(up, up)) {
                struct tree_node *n = tree_by_path(v, up);

                if (n && n->kind == VIEW_DIR)
                        return n;
                if (n)
                        return NULL; /* a level, a mask or a plain directory stands between */
        }
        return NULL;
}

struct tree_node *tree_parent_of(const struct tree *v, const char *path) {
        char up[POLICY_PATH_MAX];

        return pathname_parent(path, up) == 0 ? tree_by_path(v, up) : NULL;
}

void tree_mark_planted(struct tree *v, struct tree_node *n) {
        n->planted = true;
        v->n_planted++;
}

size_t tree_count_planted(const struct tree *v) {
        return v->n_planted;
}

struct tree_node *tree_next(const struct tree *v, uint32_t after_id) {
        for (uint32_t id = after_id + 1; id < v->cap_ids; id++)
                if (v->by_id[id])
                        return v->by_id[id];
        return NULL;
}
