/*
 * Plan — the insides that compile.c fills and verdict.c reads.
 * Runs as: anyone.   Input: checked rules.
 */
#pragma once

#include "daemon/policy/arena.h"
#include "daemon/policy/policy.h"
#include "daemon/policy/trie.h"

struct policy_plan {
        struct policy_rule *rules; /* in file order */
        size_t n_rules, cap_rules;
        uint32_t *patterns; /* indices of the rules with a pattern */
        size_t n_patterns, cap_patterns;
        struct trie trie; /* the others */
        uint64_t last_id;
        struct arena arena; /* owns what settings point to */
        struct policy_settings settings;
};

/* Same effect, path and kind, at least the same access and lift, not weaker in origin. NULL when there is none. */
const struct policy_rule *plan_find_covering_twin(const struct policy_plan *p, const struct policy_rule *rule);
/* POLICY_LIFT_* that would override this deny; 0: nothing does. */
unsigned plan_deny_class(const struct policy_rule *rule);
