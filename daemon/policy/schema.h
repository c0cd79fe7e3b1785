/*
 * Schema — every key a policy file may have, as tables. One set of tables checks files, moves historic
 * keys to their present place, merges profiles and prints the JSON Schema.
 * Runs as: anyone.   Input: parsed trees of foreign files.
 */
#pragma once

#include <stdbool.h>

#include "daemon/policy/node.h"

struct policy_error;

enum schema_type {
        SCHEMA_STRING,
        SCHEMA_BOOL,
        SCHEMA_INT,
        SCHEMA_STRINGS,         /* list of strings */
        SCHEMA_STRING_OR_LIST,  /* extends */
        SCHEMA_PATHS,           /* list of paths, or {path, when} */
        SCHEMA_NAMES,           /* list of names, or {name, when} */
        SCHEMA_PORTS,           /* list of 1..65535 */
        SCHEMA_DOMAINS,         /* list of hosts, or {domain, endpoints} */
        SCHEMA_STRING_MAP,      /* any member name, string values */
        SCHEMA_OBJECT,          /* the members in `keys` */
        SCHEMA_OBJECT_MAP,      /* any member name, each with the members in `keys` */
        SCHEMA_ANY_OBJECT,      /* kept for other programs, not looked into */
        SCHEMA_ANY_LIST,
        SCHEMA_PROFILE,         /* platform_overrides: the keys of a profile again */
};

enum schema_merge {
        MERGE_CHILD,   /* the child's value when it has one; its null clears */
        MERGE_OWN,     /* never inherited */
        MERGE_APPEND,  /* base, then child, without repeats */
        MERGE_CLEAR,   /* like append, but an empty list of the child clears */
        MERGE_UNION,   /* member by member, the child wins */
        MERGE_DEEP,    /* by the tables below */
        MERGE_OR,      /* true stays true */
        MERGE_UNLESS_NONE, /* the child's value unless it is "none" */
};

struct schema_key {
        const char *name;
        enum schema_type type;
        enum schema_merge merge;
        const struct schema_key *keys; /* SCHEMA_OBJECT, SCHEMA_OBJECT_MAP */
        const char *values;            /* SCHEMA_STRING: "a|b|c" when only these are allowed */
        const char *canonical;         /* historic key: the dotted path of the present one */
        const char *help;
        bool nullable;
        bool narrows; /* can only take away: allowed in a project's own profile */
};

/* Tables end with an entry whose name is NULL. */
extern const struct schema_key schema_profile[];
extern const struct schema_key schema_group[];
extern const struct schema_key schema_network[];
extern const struct schema_key schema_ceiling[];

/**
 * schema_check() - does the tree have known keys and right types
 * Return: 0; POLICY_E_INVALID with @err set: file, line, column, what was expected.
 */
int schema_check(const struct schema_key *keys, const struct node *object, struct policy_error *err);
/**
 * schema_canonicalise() - move historic keys to their present place; lists join what is there
 * Return: 0; -ENOMEM.
 */
int schema_canonicalise(struct arena *a, const struct schema_key *keys, struct node *root);
/* Return: 0; POLICY_E_INVALID with @err set at the first key of a project's profile that could widen. */
int schema_check_narrows(const struct schema_key *keys, const struct node *object, struct policy_error *err);
/* Return: 0; POLICY_E_INVALID with @err set at the first path or predicate that cannot mean anything. */
int schema_check_texts(const struct schema_key *keys, const struct node *object, struct policy_error *err);
const struct schema_key *schema_find(const struct schema_key *keys, const char *name);
/* Is @s one of "a|b|c"? */
bool schema_is_value(const char *values, const char *s);
