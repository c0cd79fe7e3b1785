/*
 * Draft — the rules of a plan while they are being collected: still open to `revoke` and bypass.
 * Runs as: anyone.   Input: checked trees.
 */
#pragma once

#include <stdbool.h>

#include "daemon/policy/policy.h"

struct arena;
struct node;

struct draft_rule {
        struct draft_rule *next;
        struct policy_rule rule; /* strings borrowed or in the arena */
        unsigned rank;           /* of the profile in its chain; 0: a group, the ceiling */
        bool gone;
};

struct draft {
        struct arena *arena;
        const struct policy_vars *vars;
        struct draft_rule *first, *last;
        struct policy_error *err;
};

/* What all rules of one list have in common. */
struct draft_kind {
        enum policy_effect effect;
        enum policy_origin origin;
        unsigned access;
        bool file;
        const char *group;  /* borrowed; NULL outside groups */
        const char *suffix; /* appended to each path; NULL for none */
};

/**
 * draft_add_list() - one rule per path of a list
 * @list: may be NULL
 * Paths whose variables have no value, and those whose `when` does not hold here, make no rule.
 * Return: 0; POLICY_E_INVALID with the error set; -ENOMEM.
 */
int draft_add_list(struct draft *d, const struct node *list, const struct draft_kind *kind);
/* One rule of an already expanded path, named by @place. */
int draft_add(struct draft *d, const char *path, const struct node *place, const struct draft_kind *kind);
/**
 * draft_revoke() - take paths out of what groups and base profiles granted
 * @list: filesystem.revoke, merged: an item takes from all ranks below its own
 * A path inside a wider grant becomes a deny, which grants of the same or a later profile may lift.
 */
int draft_revoke(struct draft *d, const struct node *list);
/**
 * draft_bypass() - let grants through the denies of groups
 * @list:     filesystem.bypass_protection, merged; may be NULL
 * @required: bit k set: the file of rank k may lift required groups too
 */
int draft_bypass(struct draft *d, const struct node *list, uint64_t required);
/* Hands the rules that are left to the plan, without twins. */
int draft_finish(struct draft *d, struct policy_plan *plan);
/* Does @path, with @path_pattern a pattern, lie wholly in what @tree names? */
bool draft_names(const char *tree, bool tree_pattern, const char *path, bool path_pattern);
