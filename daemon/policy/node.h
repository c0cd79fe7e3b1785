/*
 * Node — one JSON value of a policy file, with the place it was written at.
 * Runs as: anyone.   Input: foreign bytes, bounded and checked by node_parse().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct policy_error;

enum node_type { NODE_NULL, NODE_BOOL, NODE_INT, NODE_REAL, NODE_STRING, NODE_LIST, NODE_OBJECT };

struct node {
        enum node_type type;
        const char *key;            /* its name inside an object; NULL elsewhere */
        struct node *child, *last;  /* of lists and objects, in file order */
        struct node *next;
        size_t n_children;
        const char *string;         /* UTF-8 without NUL */
        int64_t integer;            /* also 0 and 1 for booleans */
        double real;
        const char *source;         /* label of the file; lives as long as the arena */
        unsigned line, column;      /* 1-based, of the value */
        unsigned key_line, key_column;
        uint32_t start, end;        /* byte offsets of the value in the text */
        uint32_t key_start;
        unsigned rank;              /* after merging: place of its file in the chain of extends, base first */
};

/**
 * node_parse() - strict JSON with comments to a tree
 * @a:      owns the tree
 * @source: copied
 * Return: 0; POLICY_E_INVALID with @err set; -ENOMEM.
 */
int node_parse(struct arena *a, const char *text, size_t n, const char *source, struct node **ret,
               struct policy_error *err);

/* NULL when @object is NULL, no object, or has no such member. */
struct node *node_get(const struct node *object, const char *key);
/* A dotted path of at most two names, "filesystem.allow". */
struct node *node_get_path(const struct node *object, const char *path);
/* The string of a string node; NULL for anything else, NULL included. */
const char *node_string(const struct node *n);
bool node_true(const struct node *n);

struct node *node_new(struct arena *a, enum node_type type, const char *key, const struct node *place);
/* A copy that can be linked elsewhere; children are shared. */
struct node *node_share(struct arena *a, const struct node *n);
void node_append(struct node *parent, struct node *child);
/* Unlinks @child from @parent. */
void node_unlink(struct node *parent, struct node *child);
bool node_equal(const struct node *a, const struct node *b);

#define node_foreach(item, parent)                                                                 \
        for (struct node *item = (parent) ? (parent)->child : NULL; item; item = item->next)
