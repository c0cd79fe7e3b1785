/*
 * Tree — the nodes that stand (or are being attached) in one session's view, as the service ordered them.
 * Runs as: user nono.   Input: paths checked by the caller.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct attach;
struct request;
struct tree;

enum { TREE_ROOT = 1, TREE_PLANTED_MAX = 2048 };
/* A name that never exists in any view: target of planted negative names. */
#define TREE_NOWHERE "/.nono/none"

struct tree_node {
        uint32_t id;
        uint32_t kind, flags;                       /* enum view_kind, VIEW_WRITE … */
        struct tree_node *parent, *children, *next; /* siblings */
        struct tree_node *hash_path;
        char *path;               /* owned; where it stands, which is also its canonical path on the host */
        bool standing;            /* the monitor said so */
        bool planted;             /* negative name */
        bool own;                 /* of nonod's, no rule speaks of it */
        uint32_t dev;             /* of a level */
        struct attach *switching; /* an answer about its writability is awaited */
        struct request *held;     /* walks that arrived while the attach was under way; owned by the session */
};

enum { TREE_OK = 0, TREE_E_FULL = 1, TREE_E_EXISTS };

struct tree *tree_new(void);
struct tree *tree_free(struct tree *v);
DEFINE_CLEANUP(struct tree, tree_free);

/**
 * tree_add() - enter a node, not standing yet
 * @parent: 0 only for the root
 * Ids rise; only when all MONITOR_NODES_MAX were used does one come back, and a child's is always above its parent's.
 * Return: 0; TREE_E_FULL; TREE_E_EXISTS; -ENOENT without the parent; -ENOMEM.
 */
int tree_add(struct tree *v, uint32_t parent, uint32_t kind, uint32_t flags, const char *path, struct tree_node **ret);
/* Forgets the node and everything below it. @gone (may be NULL) is called for each, children first. */
void tree_remove(struct tree *v, struct tree_node *n, void (*gone)(void *arg, struct tree_node *n), void *arg);

struct tree_node *tree_by_id(const struct tree *v, uint32_t id);
struct tree_node *tree_by_path(const struct tree *v, const char *path);
/* What stands under @name in the level @id; NULL: nothing. */
struct tree_node *tree_child(const struct tree *v, uint32_t id, const char *name);
/* The granted directory (VIEW_DIR) that holds @path strictly below it, closest first; NULL. */
struct tree_node *tree_covering(const struct tree *v, const char *path);
/* The node whose directory directly holds @path; NULL when nothing stands there. */
struct tree_node *tree_parent_of(const struct tree *v, const char *path);
/* A negative name: counted, see TREE_PLANTED_MAX. */
void tree_mark_planted(struct tree *v, struct tree_node *n);
size_t tree_count_planted(const struct tree *v);
/* Every node, in order of id. Nodes may be removed meanwhile. */
struct tree_node *tree_next(const struct tree *v, uint32_t after_id);
