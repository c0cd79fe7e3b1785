/*
 * A plan owns its rules and keeps two indices over them: a trie for literal paths, a list for patterns.
 * Runs as: anyone.   Input: rules of files, flags and approvals; each path is checked here, once.
 */
#include "daemon/policy/plan.h"

#include <assert.h>
#include <string.h>

#include "common/error.h"

static void plan_rule_done(struct policy_rule *r) {
        free(r->path);
        free(r->raw);
        free(r->source);
        free(r->group);
        memset(r, 0, sizeof(*r));
}

struct policy_plan *policy_plan_new(void) {
        return calloc(1, sizeof(struct policy_plan));
}

struct policy_plan *policy_plan_free(struct policy_plan *p) {
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->n_rules; i++)
                plan_rule_done(&p->rules[i]);
        free(p->rules);
        free(p->patterns);
        trie_done(&p->trie);
        arena_done(&p->arena);
        free(p);
        return NULL;
}

const struct policy_settings *policy_plan_settings(const struct policy_plan *p) {
        return &p->settings;
}

const struct policy_rule *policy_plan_rules(const struct policy_plan *p, size_t *ret_n) {
        *ret_n = p->n_rules;
        return p->rules;
}

unsigned plan_deny_class(const struct policy_rule *rule) {
        if (rule->revoke)
                return POLICY_LIFT_REVOKE;
        if (rule->origin == POLICY_FROM_GROUP)
                return POLICY_LIFT_GROUP;
        return rule->origin == POLICY_FROM_REQUIRED_GROUP ? POLICY_LIFT_REQUIRED_GROUP : 0;
}

static int plan_copy_string(const char *s, char **ret) {
        if (!s)
                return 0;
        *ret = strdup(s);
        return *ret ? 0 : err_raise(-ENOMEM);
}

/* A pattern may leave out the root of a leading "**"; inside it never does. */
static int plan_copy_path(const struct policy_rule *rule, char **ret) {
        if (!rule->path || strnlen(rule->path, POLICY_PATH_MAX) >= POLICY_PATH_MAX)
                return POLICY_E_INVALID;
        if (rule->pattern && strncmp(rule->path, "**/", 3) == 0) {
                if (asprintf(ret, "/%s", rule->path) < 0) {
                        *ret = NULL;
                        return err_raise(-ENOMEM);
                }
        } else {
                *ret = strdup(rule->path);
                if (!*ret)
                        return err_raise(-ENOMEM);
        }
        return policy_path_is_normalised(*ret) ? 0 : POLICY_E_INVALID;
}

static int plan_rule_copy(const struct policy_rule *from, struct policy_rule *to) {
        int r;

        *to = *from;
        to->path = to->raw = to->source = to->group = NULL;
        /* A lift holds from its own depth down, and a pattern for trees has no single depth. */
        if (to->effect != POLICY_ALLOW || (to->pattern && !to->file))
                to->lift = 0;
        r = plan_copy_path(from, &to->path);
        if (!r)
                r = plan_copy_string(from->raw, &to->raw);
        if (!r)
                r = plan_copy_string(from->source, &to->source);
        if (!r)
                r = plan_copy_string(from->group, &to->group);
        if (r)
                plan_rule_done(to);
        return r;
}

static int plan_index(struct policy_plan *p, uint32_t index) {
        const struct policy_rule *rule = &p->rules[index];
        uint32_t *patterns;
        size_t cap;

        if (!rule->pattern)
                return trie_add(&p->trie, rule, index);
        if (p->n_patterns == p->cap_patterns) {
                cap = MAX_OF(p->cap_patterns * 2, (size_t)16);
                patterns = reallocarray(p->patterns, cap, sizeof(*patterns));
                if (!patterns)
                        return err_raise(-ENOMEM);
                p->patterns = patterns;
                p->cap_patterns = cap;
        }
        p->patterns[p->n_patterns++] = index;
        return 0;
}

int policy_plan_add(struct policy_plan *p, const struct policy_rule *rule, uint64_t *ret_id) {
        struct policy_rule *rules;
        size_t cap;
        int r;

        if (rule->access == 0 || (rule->access & ~(unsigned)(POLICY_READ | POLICY_WRITE)))
                return POLICY_E_INVALID;
        if (p->n_rules >= POLICY_RULES_MAX)
                return POLICY_E_LIMIT;
        if (p->n_rules == p->cap_rules) {
                cap = MAX_OF(p->cap_rules * 2, (size_t)128);
                rules = reallocarray(p->rules, cap, sizeof(*rules));
                if (!rules)
                        return err_raise(-ENOMEM);
                p->rules = rules;
                p->cap_rules = cap;
        }
        r = plan_rule_copy(rule, &p->rules[p->n_rules]);
        if (r)
                return r < 0 ? err_pass(r) : r;
        r = plan_index(p, (uint32_t)p->n_rules);
        if (r) {
                plan_rule_done(&p->rules[p->n_rules]);
                return err_pass(r);
        }
        p->rules[p->n_rules].id = ++p->last_id;
        p->n_rules++;
        if (ret_id)
                *ret_id = p->last_id;
        return 0;
}

int policy_plan_remove(struct policy_plan *p, uint64_t id) {
        size_t i = 0;

        while (i < p->n_rules && p->rules[i].id != id)
                i++;
        if (i == p->n_rules)
                return POLICY_E_NOT_FOUND;
        plan_rule_done(&p->rules[i]);
        memmove(&p->rules[i], &p->rules[i + 1], (p->n_rules - i - 1) * sizeof(*p->rules));
        p->n_rules--;
        /* The trie borrows names of any rule, so it is built again; the memory is there already. */
        trie_clear(&p->trie);
        p->n_patterns = 0;
        for (uint32_t k = 0; k < p->n_rules; k++) {
                int r = plan_index(p, k);

                assert(r == 0);
                (void)r;
        }
        return 0;
}

static bool plan_is_twin(const struct policy_rule *old, const struct policy_rule *rule) {
        unsigned class = plan_deny_class(old);

        /* A deny that something may lift does not stand in for one that nothing may. */
        if (rule->effect == POLICY_DENY && class && class != plan_deny_class(rule))
                return false;
        return old->effect == rule->effect && old->file == rule->file && old->pattern == rule->pattern &&
               (old->access & rule->access) == rule->access && (old->lift & rule->lift) == rule->lift &&
               old->origin <= rule->origin && strcmp(old->path, rule->path) == 0;
}

const struct policy_rule *plan_find_covering_twin(const struct policy_plan *p, const struct policy_rule *rule) {
        uint32_t at = p->trie.n_nodes ? TRIE_ROOT : TRIE_NONE;

        if (rule->pattern) {
                for (size_t i = 0; i < p->n_patterns; i++)
                        if (plan_is_twin(&p->rules[p->patterns[i]], rule))
                                return &p->rules[p->patterns[i]];
                return NULL;
        }
        for (const char *s = rule->path + 1; *s && at != TRIE_NONE;) {
                size_t n = strcspn(s, "/");

                at = trie_child(&p->trie, at, s, n);
                s += n;
                if (*s == '/')
                        s++;
        }
        if (at == TRIE_NONE)
                return NULL;
        for (uint32_t i = p->trie.nodes[at].rules; i != TRIE_NONE; i = p->trie.links[i])
                if (plan_is_twin(&p->rules[i], rule))
                        return &p->rules[i];
        return NULL;
}
