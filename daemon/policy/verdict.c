/*
 * One walk from the root to the path. Denies met on the way are kept per class, because an allow further
 * down may lift a class of denies (bypass_protection), and per access bit, because a deny of writing
 * leaves reading alone.
 * Runs as: anyone.   Input: a normalised path of anyone. Allocates nothing.
 */
#include <string.h>

#include "daemon/policy/glob.h"
#include "daemon/policy/plan.h"

enum { VERDICT_BITS = 2, VERDICT_CLASSES = 4 };

/* Class 0 is never lifted; class k is lifted by bit k - 1 of POLICY_LIFT_*. */
struct verdict_state {
        const struct policy_rule *deny[VERDICT_CLASSES][VERDICT_BITS];
        const struct policy_rule *allow[VERDICT_BITS]; /* the closest */
        unsigned granted;
};

static unsigned verdict_class(const struct policy_rule *rule) {
        return (unsigned)__builtin_ffs((int)plan_deny_class(rule));
}

/* Which of two denies is named: the stronger origin, then the longer path, then the older rule. */
static bool verdict_is_stronger(const struct policy_rule *a, const struct policy_rule *b) {
        size_t n_a, n_b;

        if (!b || a->origin != b->origin)
                return !b || a->origin < b->origin;
        n_a = strlen(a->path);
        n_b = strlen(b->path);
        return n_a != n_b ? n_a > n_b : a->id < b->id;
}

static void verdict_take_deny(struct verdict_state *v, const struct policy_rule *rule) {
        for (unsigned bit = 0; bit < VERDICT_BITS; bit++) {
                const struct policy_rule **slot = &v->deny[verdict_class(rule)][bit];

                if ((rule->access & BIT(bit)) && verdict_is_stronger(rule, *slot))
                        *slot = rule;
        }
}

static void verdict_take_allow(struct verdict_state *v, const struct policy_rule *rule) {
        v->granted |= rule->access;
        for (unsigned bit = 0; bit < VERDICT_BITS; bit++) {
                if (!(rule->access & BIT(bit)))
                        continue;
                v->allow[bit] = rule;
                for (unsigned c = 1; c < VERDICT_CLASSES; c++)
                        if (rule->lift & BIT(c - 1))
                                v->deny[c][bit] = NULL;
        }
}

static bool verdict_pattern_covers(const struct policy_rule *rule, const char *path) {
        return rule->file ? policy_glob_match(rule->path, path) : policy_glob_covers(rule->path, path);
}

static void verdict_scan_patterns(const struct policy_plan *p, const char *path, enum policy_effect effect,
                                  struct verdict_state *v) {
        for (size_t i = 0; i < p->n_patterns; i++) {
                const struct policy_rule *rule = &p->rules[p->patterns[i]];

                if (rule->effect != effect || !verdict_pattern_covers(rule, path))
                        continue;
                if (effect == POLICY_DENY)
                        verdict_take_deny(v, rule);
                else
                        verdict_take_allow(v, rule);
        }
}

/* Denies of one node first: an allow of the same path lifts them too. */
static void verdict_visit(const struct policy_plan *p, uint32_t at, bool last, struct verdict_state *v) {
        const struct trie_node *node = &p->trie.nodes[at];

        for (uint32_t i = node->rules; i != TRIE_NONE; i = p->trie.links[i])
                if (p->rules[i].effect == POLICY_DENY && (last || !p->rules[i].file))
                        verdict_take_deny(v, &p->rules[i]);
        for (uint32_t i = node->rules; i != TRIE_NONE; i = p->trie.links[i])
                if (p->rules[i].effect == POLICY_ALLOW && (last || !p->rules[i].file))
                        verdict_take_allow(v, &p->rules[i]);
}

/* Return: the node of @path itself, TRIE_NONE when no literal rule is at or below it. */
static uint32_t verdict_walk(const struct policy_plan *p, const char *path, struct verdict_state *v) {
        uint32_t at = p->trie.n_nodes ? TRIE_ROOT : TRIE_NONE;
        const char *s = path + 1;

        while (at != TRIE_NONE) {
                size_t n = strcspn(s, "/");

                verdict_visit(p, at, !*s, v);
                if (!*s)
                        break;
                at = trie_child(&p->trie, at, s, n);
                s += n;
                if (*s == '/')
                        s++;
        }
        return at;
}

static bool verdict_pattern_below(const struct policy_plan *p, const char *path, enum policy_effect effect,
                                  unsigned access) {
        for (size_t i = 0; i < p->n_patterns; i++) {
                const struct policy_rule *rule = &p->rules[p->patterns[i]];

                if (rule->effect == effect && (rule->access & access) && policy_glob_reaches_below(rule->path, path))
                        return true;
        }
        return false;
}

static bool verdict_deny_below(const struct policy_plan *p, uint32_t at, const char *path, unsigned access) {
        for (unsigned bit = 0; at != TRIE_NONE && bit < VERDICT_BITS; bit++)
                if ((access & BIT(bit)) && p->trie.nodes[at].n_deny_below[bit])
                        return true;
        return verdict_pattern_below(p, path, POLICY_DENY, access);
}

/* The strongest deny of the asked access; @ret_lifted: every class that denies is lifted again somewhere below. */
static const struct policy_rule *verdict_denying(const struct policy_plan *p, const struct verdict_state *v, uint32_t at,
                                                 unsigned access, bool *ret_lifted) {
        const struct policy_rule *best = NULL;

        *ret_lifted = true;
        for (unsigned c = 0; c < VERDICT_CLASSES; c++) {
                for (unsigned bit = 0; bit < VERDICT_BITS; bit++) {
                        const struct policy_rule *rule = v->deny[c][bit];

                        if (!rule || !(access & BIT(bit)))
                                continue;
                        if (c == 0 || at == TRIE_NONE || !p->trie.nodes[at].n_lift_below[c - 1])
                                *ret_lifted = false;
                        if (verdict_is_stronger(rule, best))
                                best = rule;
                }
        }
        return best;
}

struct policy_verdict policy_verdict(const struct policy_plan *p, const char *path, unsigned access) {
        struct policy_verdict ret = { .answer = POLICY_ANSWER_ASK };
        struct verdict_state v = { .granted = 0 };
        const struct policy_rule *deny;
        bool lifted;
        uint32_t at;

        verdict_scan_patterns(p, path, POLICY_DENY, &v);
        at = verdict_walk(p, path, &v);
        verdict_scan_patterns(p, path, POLICY_ALLOW, &v);
        ret.granted = v.granted;
        for (unsigned c = 0; c < VERDICT_CLASSES; c++)
                for (unsigned bit = 0; bit < VERDICT_BITS; bit++)
                        if (v.deny[c][bit])
                                ret.granted &= ~BIT(bit);

        deny = verdict_denying(p, &v, at, access, &lifted);
        if (deny) {
                ret.answer = lifted ? POLICY_ANSWER_DESCEND : POLICY_ANSWER_DENY;
                ret.rule = lifted ? NULL : deny;
        } else if (access && (ret.granted & access) == access) {
                ret.answer = POLICY_ANSWER_GRANT;
                for (unsigned bit = 0; bit < VERDICT_BITS; bit++) {
                        const struct policy_rule *allow = v.allow[bit];

                        if ((access & BIT(bit)) && allow &&
                            (!ret.rule || strlen(allow->path) > strlen(ret.rule->path)))
                                ret.rule = allow;
                }
                ret.deny_below = verdict_deny_below(p, at, path, ret.granted);
        } else if (!v.granted &&
                   ((at != TRIE_NONE && p->trie.nodes[at].n_allow_below) ||
                    verdict_pattern_below(p, path, POLICY_ALLOW, POLICY_READ | POLICY_WRITE))) {
                ret.answer = POLICY_ANSWER_DESCEND;
        }
        return ret;
}
