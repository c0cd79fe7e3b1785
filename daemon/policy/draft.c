/*
 * A grant is known by the file it was written in (its rank), so a profile can take away what it
 * inherited and keep what it says itself.
 * Runs as: anyone.   Input: checked trees; variables of the caller.
 */
#include "daemon/policy/draft.h"

#include <string.h>

#include "common/error.h"
#include "daemon/policy/arena.h"
#include "daemon/policy/fault.h"
#include "daemon/policy/glob.h"
#include "daemon/policy/node.h"
#include "daemon/policy/plan.h"
#include "daemon/policy/vars.h"
#include "daemon/policy/when.h"

/* @path is @tree, or lies below it. */
static bool draft_is_within(const char *path, const char *tree) {
        size_t n = strlen(tree);

        if (n == 1)
                return true;
        return strncmp(path, tree, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static const char *draft_text(const struct node *item) {
        return item->type == NODE_OBJECT ? node_string(node_get(item, "path")) : node_string(item);
}

/* Unknown predicates leave grants out and keep denies in. */
static bool draft_applies(const struct draft *d, const struct node *item, bool grants) {
        enum when_answer answer = when_holds(node_get(item, "when"), d->vars);

        return answer == WHEN_YES || (answer == WHEN_UNKNOWN && !grants);
}

/* Return: 0 with *@ret NULL when the item makes no rule here. */
static int draft_expand(struct draft *d, const struct node *item, const char *suffix, const char **ret) {
        char path[POLICY_PATH_MAX];
        const char *text = draft_text(item);
        size_t n;
        int r;

        *ret = NULL;
        if (!text || !*text)
                return 0;
        r = vars_expand(text, d->vars, path, sizeof(path));
        if (r == VARS_E_UNSET)
                return 0;
        n = strlen(path);
        if (!r && suffix && ((!vars_is_pattern(text) && vars_is_pattern(path)) || n + strlen(suffix) + 1 > sizeof(path)))
                r = VARS_E_BAD;
        if (r)
                return fault_set(d->err, item->source, item->line, item->column,
                                 "'%.200s' does not expand to a usable path", text);
        if (suffix)
                memcpy(path + (n == 1 ? 0 : n), suffix, strlen(suffix) + 1);
        *ret = arena_string(d->arena, path);
        return *ret ? 0 : err_raise(-ENOMEM);
}

int draft_add(struct draft *d, const char *path, const struct node *place, const struct draft_kind *kind) {
        const char *raw = draft_text(place);
        struct draft_rule *rule = arena_alloc(d->arena, sizeof(*rule));

        if (!rule)
                return err_raise(-ENOMEM);
        rule->rank = place->rank;
        rule->rule = (struct policy_rule){
                .effect = kind->effect,
                .origin = kind->origin,
                .access = kind->access,
                .file = kind->file,
                .pattern = (raw && vars_is_pattern(raw)) || (kind->suffix && vars_is_pattern(kind->suffix)),
                .path = (char *)path,
                .raw = raw && strcmp(raw, path) != 0 ? (char *)raw : NULL,
                .source = (char *)place->source,
                .group = (char *)kind->group,
                .line = place->line,
        };
        if (d->last)
                d->last->next = rule;
        else
                d->first = rule;
        d->last = rule;
        return 0;
}

int draft_add_list(struct draft *d, const struct node *list, const struct draft_kind *kind) {
        node_foreach(item, list) {
                const char *path;
                int r;

                if (!draft_applies(d, item, kind->effect == POLICY_ALLOW))
                        continue;
                r = draft_expand(d, item, kind->suffix, &path);
                if (!r && path)
                        r = draft_add(d, path, item, kind);
                if (r)
                        return r < 0 ? err_pass(r) : r;
        }
        return 0;
}

static bool draft_pattern_takes(const char *pattern, const struct policy_rule *rule) {
        return strcmp(pattern, rule->path) == 0 || (!rule->pattern && policy_glob_covers(pattern, rule->path));
}

/* The rule's whole object or tree is what @path names, or inside it. */
static bool draft_takes(const char *path, bool pattern, const struct policy_rule *rule) {
        return pattern ? draft_pattern_takes(path, rule) : draft_is_within(rule->path, path);
}

bool draft_names(const char *tree, bool tree_pattern, const char *path, bool path_pattern) {
        const struct policy_rule rule = { .path = (char *)path, .pattern = path_pattern };

        return draft_takes(tree, tree_pattern, &rule);
}

/* Some object that @path names may lie inside what the rule covers. */
static bool draft_reaches(const struct policy_rule *rule, const char *path, bool pattern) {
        if (rule->pattern && pattern)
                return true; /* two patterns may always meet */
        if (rule->pattern)
                return policy_glob_covers(rule->path, path) || policy_glob_reaches_below(rule->path, path);
        if (pattern)
                return policy_glob_covers(path, rule->path) || policy_glob_reaches_below(path, rule->path);
        return !rule->file && draft_is_within(path, rule->path);
}

/*
 * Grants inside @path: inherited ones go, the profile's own stay and will be lifted. Not inside a pattern: a lift
 * has no depth to compare with there, so revoking wins. Return: is there one to lift?
 */
static bool draft_take_away(struct draft *d, const char *path, bool pattern, unsigned rank) {
        bool kept = false;

        for (struct draft_rule *rule = d->first; rule; rule = rule->next) {
                if (rule->rule.effect != POLICY_ALLOW || rule->gone || !draft_takes(path, pattern, &rule->rule))
                        continue;
                if (rule->rank < rank) {
                        rule->gone = true;
                } else if (!pattern) {
                        rule->rule.lift |= POLICY_LIFT_REVOKE;
                        kept = true;
                }
        }
        return kept;
}

static int draft_revoke_one(struct draft *d, const struct node *item, const char *path) {
        const struct draft_kind kind = {
                .effect = POLICY_DENY, .origin = POLICY_FROM_PROFILE, .access = POLICY_READ | POLICY_WRITE,
        };
        bool pattern = vars_is_pattern(draft_text(item)), inside = false;
        bool kept = draft_take_away(d, path, pattern, item->rank);
        int r;

        for (struct draft_rule *rule = d->first; rule; rule = rule->next) {
                if (rule->rule.effect != POLICY_ALLOW || rule->gone ||
                    (!pattern && draft_takes(path, pattern, &rule->rule)) || !draft_reaches(&rule->rule, path, pattern))
                        continue;
                inside = true;
                /* What an earlier revoke let through must not get past this one. */
                if (kept && rule->rank < item->rank)
                        rule->rule.lift &= ~(unsigned)POLICY_LIFT_REVOKE;
        }
        if (!inside)
                return 0;
        r = draft_add(d, path, item, &kind);
        if (r)
                return err_pass(r);
        d->last->rule.revoke = kept; /* nothing to let through: an ordinary deny */
        return 0;
}

/* Bases first: the last profile in the chain has the last word. */
int draft_revoke(struct draft *d, const struct node *list) {
        unsigned last = 0;

        node_foreach(item, list)
                last = MAX_OF(last, item->rank);
        for (unsigned rank = 1; rank <= last; rank++)
                node_foreach(item, list) {
                        const char *path;
                        int r;

                        if (item->rank != rank || !draft_applies(d, item, false))
                                continue;
                        r = draft_expand(d, item, NULL, &path);
                        if (!r && path)
                                r = draft_revoke_one(d, item, path);
                        if (r)
                                return r;
                }
        return 0;
}

/* Grants at or below @path get the lift; of wider grants, @path gets a rule of its own. */
static int draft_bypass_one(struct draft *d, const struct node *item, const char *path, unsigned lift) {
        bool pattern = vars_is_pattern(draft_text(item));
        struct draft_kind kind = { .effect = POLICY_ALLOW, .origin = POLICY_FROM_PROFILE, .file = pattern };
        int r;

        for (struct draft_rule *rule = d->first; rule; rule = rule->next) {
                if (rule->rule.effect != POLICY_ALLOW || rule->gone)
                        continue;
                if (draft_takes(path, pattern, &rule->rule))
                        rule->rule.lift |= lift;
                else if (!pattern && !rule->rule.pattern && !rule->rule.file && draft_is_within(path, rule->rule.path))
                        kind.access |= rule->rule.access;
        }
        if (!kind.access)
                return 0; /* a bypass grants nothing of its own */
        r = draft_add(d, path, item, &kind);
        if (r)
                return err_pass(r);
        d->last->rule.lift = lift;
        return 0;
}

int draft_bypass(struct draft *d, const struct node *list, uint64_t required) {
        node_foreach(item, list) {
                unsigned lift = POLICY_LIFT_GROUP;
                const char *path;
                int r;

                if (!draft_applies(d, item, true))
                        continue;
                if (item->rank < 64 && (required >> item->rank & 1))
                        lift |= POLICY_LIFT_REQUIRED_GROUP;
                r = draft_expand(d, item, NULL, &path);
                if (!r && path)
                        r = draft_bypass_one(d, item, path, lift);
                if (r)
                        return r;
        }
        return 0;
}

int draft_finish(struct draft *d, struct policy_plan *plan) {
        for (const struct draft_rule *rule = d->first; rule; rule = rule->next) {
                int r;

                if (rule->gone || plan_find_covering_twin(plan, &rule->rule))
                        continue;
                r = policy_plan_add(plan, &rule->rule, NULL);
                if (r == POLICY_E_LIMIT)
                        fault_set(d->err, rule->rule.source, rule->rule.line, 1, "more than %d rules", POLICY_RULES_MAX);
                else if (r == POLICY_E_INVALID)
                        fault_set(d->err, rule->rule.source, rule->rule.line, 1, "'%.200s' is no usable path", rule->rule.path);
                if (r)
                        return r < 0 ? err_pass(r) : r;
        }
        return 0;
}
