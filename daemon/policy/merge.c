/*
 * Every list item keeps the place it was written at and gets the rank of its file, so that a rule can
 * say where it comes from and `revoke` can tell what was inherited.
 * Runs as: anyone.   Input: checked, canonical trees.
 */
#include "daemon/policy/merge.h"

#include <string.h>

#include "common/error.h"
#include "daemon/policy/arena.h"
#include "daemon/policy/node.h"
#include "daemon/policy/schema.h"

/* @rank 0: keep the item's own. */
static int merge_put(struct arena *a, struct node *parent, const struct node *n, const char *key, unsigned rank) {
        struct node *copy = node_share(a, n);

        if (!copy)
                return err_raise(-ENOMEM);
        copy->key = key;
        if (rank)
                copy->rank = rank;
        node_append(parent, copy);
        return 0;
}

static struct node *merge_find_item(const struct node *list, const struct node *item) {
        node_foreach(old, list)
                if (node_equal(old, item))
                        return old;
        return NULL;
}

static int merge_list(struct arena *a, struct node *out, const struct node *from, unsigned rank) {
        node_foreach(item, from) {
                struct node *old = merge_find_item(out, item);
                int r = 0;

                if (old)
                        old->rank = MAX_OF(old->rank, rank); /* granted again: no longer only inherited */
                else
                        r = merge_put(a, out, item, NULL, rank);
                if (r)
                        return r;
        }
        return 0;
}

static int merge_members(struct arena *a, struct node *out, const struct node *base, const struct node *child,
                         unsigned rank) {
        int r = 0;

        for (const struct node *n = base ? base->child : NULL; n && !r; n = n->next)
                if (!node_get(child, n->key))
                        r = merge_put(a, out, n, n->key, 0);
        for (const struct node *n = child ? child->child : NULL; n && !r; n = n->next)
                r = merge_put(a, out, n, n->key, rank);
        return r;
}

static int merge_joined(struct arena *a, const struct schema_key *k, const struct node *base, const struct node *child,
                        unsigned rank, struct node *out) {
        const struct node *place = child ? child : base;
        struct node *joined = node_new(a, place->type, k->name, place);
        int r;

        if (!joined)
                return err_raise(-ENOMEM);
        if (child)
                joined->rank = rank;
        if (place->type == NODE_LIST) {
                r = merge_list(a, joined, base, 0);
                if (!r)
                        r = merge_list(a, joined, child, rank);
        } else {
                r = merge_members(a, joined, base, child, rank);
        }
        if (r)
                return err_pass(r);
        node_append(out, joined);
        return 0;
}

static int merge_scalar(struct arena *a, const struct schema_key *k, const struct node *base, const struct node *child,
                        unsigned rank, struct node *out) {
        bool take_child = child != NULL;

        if (child && k->merge == MERGE_OR && base)
                take_child = node_true(child) && !node_true(base);
        if (child && k->merge == MERGE_UNLESS_NONE && base)
                take_child = strcmp(child->string, "none") != 0;
        if (take_child && child->type == NODE_NULL)
                return 0; /* cleared */
        if (take_child)
                return merge_put(a, out, child, k->name, rank);
        return base ? merge_put(a, out, base, k->name, 0) : 0;
}

static int merge_key(struct arena *a, const struct schema_key *k, const struct node *base, const struct node *child,
                     unsigned rank, struct node *out) {
        struct node *deep;
        int r;

        if (!base && !child)
                return 0;
        switch (k->merge) {
        case MERGE_OWN: /* a platform_overrides of the same file has no such key */
                if (child || base->rank == rank)
                        return merge_put(a, out, child ? child : base, k->name, rank);
                return 0;
        case MERGE_CLEAR:
                if (child && child->type == NODE_LIST && !child->child)
                        return merge_put(a, out, child, k->name, rank);
                return merge_joined(a, k, base, child, rank, out);
        case MERGE_APPEND:
        case MERGE_UNION:
                return merge_joined(a, k, base, child, rank, out);
        case MERGE_DEEP:
                r = merge_objects(a, k->keys, base, child, rank, &deep);
                if (r)
                        return err_pass(r);
                deep->key = k->name;
                node_append(out, deep);
                return 0;
        case MERGE_CHILD:
        case MERGE_OR:
        case MERGE_UNLESS_NONE:
                break;
        }
        return merge_scalar(a, k, base, child, rank, out);
}

int merge_objects(struct arena *a, const struct schema_key *keys, const struct node *base, const struct node *child,
                  unsigned rank, struct node **ret) {
        struct node *out = node_new(a, NODE_OBJECT, NULL, child ? child : base);
        int r = 0;

        if (!out)
                return err_raise(-ENOMEM);
        for (; keys->name && !r; keys++)
                if (!keys->canonical)
                        r = merge_key(a, keys, node_get(base, keys->name), node_get(child, keys->name), rank, out);
        if (r)
                return err_pass(r);
        *ret = out;
        return 0;
}
