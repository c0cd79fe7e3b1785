/*
 * Store — the insides that extends.c and compile.c read.
 * Runs as: anyone.   Input: checked trees.
 */
#pragma once

#include "daemon/policy/arena.h"
#include "daemon/policy/node.h"
#include "daemon/policy/policy.h"

enum { STORE_OBJECTS_MAX = 1024, STORE_NAME_MAX = 128 };

struct store_object {
        enum policy_kind kind;
        char *name;
        char *source;
        bool user;
        struct arena arena;
        struct node *root; /* canonical */
};

struct policy_store {
        struct store_object **objects; /* by kind, then by name */
        size_t n_objects, cap_objects;
        struct arena arena; /* strings of the ceiling */
        struct policy_ceiling ceiling;
};

/* Borrowed; NULL when there is none. */
const struct store_object *store_find(const struct policy_store *s, enum policy_kind kind, const char *name);
/* The first object of a kind; the next ones follow in the array, up to *ret_n. */
struct store_object *const *store_range(const struct policy_store *s, enum policy_kind kind, size_t *ret_n);
/**
 * store_parse() - text to a checked, canonical tree, without keeping it
 * @a: owns the tree
 * Return: as policy_store_add().
 */
int store_parse(struct arena *a, enum policy_kind kind, const char *name, const char *text, size_t n,
                const char *source, struct node **ret, struct policy_error *err);
