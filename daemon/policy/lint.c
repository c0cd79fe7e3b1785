/*
 * First the file alone, then what it refers to, then the plan it compiles to: a verdict on a path that
 * matters says more than looking at texts.
 * Runs as: anyone.   Input: a profile's text, foreign.
 */
#include "daemon/policy/lint.h"

#include <stdarg.h>
#include <string.h>

#include "common/error.h"
#include "common/escape.h"
#include "daemon/policy/extends.h"
#include "daemon/policy/lint-plan.h"
#include "daemon/policy/schema.h"
#include "daemon/policy/store.h"
#include "daemon/policy/vars.h"

void lint_done(struct lint *l) {
        free(l->findings);
        memset(l, 0, sizeof(*l));
}

int lint_add(struct lint *l, enum lint_severity severity, const char *code, unsigned line, unsigned column,
             const char *fix, const char *format, ...) {
        struct lint_finding *f;
        char text[sizeof(f->message)];
        va_list ap;

        if (l->n_findings >= LINT_FINDINGS_MAX)
                return 0;
        if (l->n_findings == l->cap_findings) {
                size_t cap = MAX_OF(l->cap_findings * 2, (size_t)16);

                f = reallocarray(l->findings, cap, sizeof(*f));
                if (!f)
                        return err_raise(-ENOMEM);
                l->findings = f;
                l->cap_findings = cap;
        }
        f = &l->findings[l->n_findings++];
        *f = (struct lint_finding){ .severity = severity, .code = code, .line = line, .column = column };
        va_start(ap, format);
        (void)vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        escape_str(text, f->message, sizeof(f->message));
        escape_str(fix ? fix : "", f->fix, sizeof(f->fix));
        l->n_errors += severity == LINT_ERROR;
        l->n_warnings += severity == LINT_WARNING;
        return 0;
}

static int lint_error(struct lint *l, const char *code, const struct policy_error *err) {
        return lint_add(l, LINT_ERROR, code, err->line, err->column, NULL, "%s", err->message);
}

/* Keys as they stand in the file: historic ones, and those that do nothing here. */
static int lint_keys(struct lint *l, const struct schema_key *keys, const struct node *object) {
        node_foreach(child, object) {
                const struct schema_key *k = schema_find(keys, child->key);
                char fix[128];
                int r = 0;

                if (k->canonical) {
                        (void)snprintf(fix, sizeof(fix), "write it as %s", k->canonical);
                        r = lint_add(l, LINT_WARNING, "W101", child->key_line, child->key_column, fix,
                                     "'%s' is a historic key", child->key);
                } else if (k->help && (strncmp(k->help, "kept for nono", 13) == 0 || strncmp(k->help, "historic", 8) == 0) &&
                           k->type != SCHEMA_OBJECT) {
                        r = lint_add(l, LINT_NOTE, "N101", child->key_line, child->key_column, NULL,
                                     "'%s' is accepted and has no effect here", child->key);
                } else if (k->type == SCHEMA_OBJECT && k->keys && child->type == NODE_OBJECT) {
                        r = lint_keys(l, k->keys, child);
                } else if (k->type == SCHEMA_PROFILE) {
                        r = lint_keys(l, schema_profile, child);
                }
                if (r)
                        return r;
        }
        return 0;
}

static int lint_empty_paths(struct lint *l, const struct schema_key *keys, const struct node *object) {
        node_foreach(child, object) {
                const struct schema_key *k = schema_find(keys, child->key);
                int r = 0;

                if (k && k->type == SCHEMA_OBJECT && k->keys && child->type == NODE_OBJECT)
                        r = lint_empty_paths(l, k->keys, child);
                if (r)
                        return r;
                if (!k || k->type != SCHEMA_PATHS)
                        continue;
                node_foreach(item, child) {
                        const struct node *text = item->type == NODE_OBJECT ? node_get(item, "path") : item;

                        if (node_string(text) && !*text->string)
                                r = lint_add(l, LINT_WARNING, "W102", text->line, text->column, "remove it",
                                             "empty path in '%s'", child->key);
                        if (r)
                                return r;
                }
        }
        return 0;
}

static const char *lint_name(const struct node *item) {
        return item->type == NODE_OBJECT ? node_string(node_get(item, "name")) : node_string(item);
}

static int lint_groups(struct lint *l, const struct policy_store *s, const struct node *root) {
        int r = 0;

        node_foreach(item, node_get_path(root, "groups.include")) {
                if (store_find(s, POLICY_GROUP, lint_name(item)))
                        continue;
                r = lint_add(l, LINT_ERROR, "E103", item->line, item->column, "nonoctl policy groups lists them",
                             "there is no group '%s'", lint_name(item));
                if (r)
                        return r;
        }
        node_foreach(item, node_get_path(root, "groups.exclude")) {
                const struct store_object *group = store_find(s, POLICY_GROUP, lint_name(item));

                if (!group)
                        r = lint_add(l, LINT_WARNING, "W103", item->line, item->column, "remove it",
                                     "there is no group '%s' to exclude", lint_name(item));
                else if (node_true(node_get(group->root, "required")))
                        r = lint_add(l, LINT_ERROR, "E104", item->line, item->column, "remove it",
                                     "group '%s' is required and cannot be excluded", group->name);
                if (r)
                        return r;
        }
        return 0;
}

static int lint_extends_one(struct lint *l, const struct policy_store *s, const struct node *name) {
        if (!node_string(name) || store_find(s, POLICY_PROFILE, name->string))
                return 0;
        return lint_add(l, LINT_ERROR, "E105", name->line, name->column, "nonoctl policy profiles lists them",
                        "there is no profile '%s' to extend", name->string);
}

static int lint_extends(struct lint *l, const struct policy_store *s, const struct node *root) {
        const struct node *extends = node_get(root, "extends");
        int r = lint_extends_one(l, s, extends);

        for (const struct node *n = extends ? extends->child : NULL; n && !r; n = n->next)
                r = lint_extends_one(l, s, n);
        return r;
}

static size_t lint_count_groups(const struct policy_store *s, const struct node *merged) {
        size_t n = 0;

        node_foreach(item, node_get_path(merged, "groups.include")) {
                bool excluded = false;

                node_foreach(out, node_get_path(merged, "groups.exclude"))
                        excluded |= strcmp(lint_name(out), lint_name(item)) == 0;
                n += !excluded && store_find(s, POLICY_GROUP, lint_name(item));
        }
        return n;
}

static int lint_compiled(struct lint *l, struct policy_store *s, const struct store_object *o,
                         const struct lint_options *options) {
        _cleanup_(policy_plan_freep) struct policy_plan *plan = NULL;
        _cleanup_(arena_done) struct arena a = { .blocks = NULL };
        struct extends_chain chain;
        struct policy_error err;
        int r;

        r = policy_compile(s, o->name, options->vars, &plan, &err);
        if (r < 0)
                return err_pass(r);
        if (r) /* what was said already is not said again */
                return l->n_errors ? 0 : lint_error(l, "E106", &err);
        r = extends_resolve(s, o->name, options->vars->macos, &a, &chain, &err);
        if (r)
                return err_pass(r);
        l->n_groups = lint_count_groups(s, chain.merged);
        return lint_plan(l, plan, o, options);
}

static int lint_order(const void *a, const void *b) {
        const struct lint_finding *x = a, *y = b;

        if (x->line != y->line)
                return x->line < y->line ? -1 : 1;
        if (x->column != y->column)
                return x->column < y->column ? -1 : 1;
        return strcmp(x->code, y->code);
}

int lint_profile(struct policy_store *s, const char *name, const char *text, size_t n, const char *source,
                 const struct lint_options *options, struct lint *ret) {
        _cleanup_(arena_done) struct arena a = { .blocks = NULL };
        const struct store_object *o;
        struct policy_error err;
        struct node *raw;
        int r;

        r = policy_store_add(s, POLICY_PROFILE, name, text, n, source, options->user, &err);
        if (r)
                return r < 0 ? err_pass(r) : lint_error(ret, "E101", &err);
        o = store_find(s, POLICY_PROFILE, name);
        r = node_parse(&a, text, n, source, &raw, &err); /* once more: the store's tree has no historic keys any more */
        if (!r)
                r = lint_keys(ret, schema_profile, raw);
        if (!r)
                r = lint_empty_paths(ret, schema_profile, o->root);
        if (!r)
                r = lint_groups(ret, s, o->root);
        if (!r)
                r = lint_extends(ret, s, o->root);
        if (!r)
                r = lint_compiled(ret, s, o, options);
        if (r)
                return err_pass(r);
        if (ret->n_findings)
                qsort(ret->findings, ret->n_findings, sizeof(*ret->findings), lint_order);
        return 0;
}
