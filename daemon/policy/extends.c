/*
 * Bases are folded depth first and each of them once, so a base that two paths lead to does not win over
 * what came after it, and a wide graph costs no more than its files.
 * Runs as: anyone.   Input: a store; names in it are foreign.
 */
#include "daemon/policy/extends.h"

#include <string.h>

#include "common/error.h"
#include "daemon/policy/fault.h"
#include "daemon/policy/merge.h"
#include "daemon/policy/schema.h"
#include "daemon/policy/store.h"

struct extends_walk {
        const struct policy_store *store;
        struct arena *arena;
        struct extends_chain *chain;
        struct policy_error *err;
        bool macos;
        const struct store_object *path[POLICY_EXTENDS_DEPTH_MAX + 1]; /* being resolved right now */
        unsigned depth;
};

static int extends_fold(struct extends_walk *w, const struct store_object *o) {
        struct extends_chain *chain = w->chain;
        const struct node *here = node_get_path(o->root, w->macos ? "platform_overrides.macos" : "platform_overrides.linux");
        int r;

        if (chain->n_files == EXTENDS_FILES_MAX) {
                fault_set(w->err, o->source, 0, 0, "more than %d profiles in one chain", EXTENDS_FILES_MAX);
                return POLICY_E_LIMIT;
        }
        chain->files[++chain->n_files] = o;
        r = merge_objects(w->arena, schema_profile, chain->merged, o->root, chain->n_files, &chain->merged);
        if (!r && here)
                r = merge_objects(w->arena, schema_profile, chain->merged, here, chain->n_files, &chain->merged);
        return r ? err_pass(r) : 0;
}

static bool extends_is_folded(const struct extends_walk *w, const struct store_object *o) {
        for (unsigned i = 1; i <= w->chain->n_files; i++)
                if (w->chain->files[i] == o)
                        return true;
        return false;
}

static int extends_visit(struct extends_walk *w, const struct store_object *o, const struct node *named);

static int extends_visit_base(struct extends_walk *w, const struct node *named) {
        const struct store_object *base = store_find(w->store, POLICY_PROFILE, named->string);

        if (!base)
                return fault_set(w->err, named->source, named->line, named->column,
                                 "'extends': there is no profile '%s'", named->string);
        return extends_visit(w, base, named);
}

/* @named: where the profile was named; NULL at the top. */
static int extends_visit(struct extends_walk *w, const struct store_object *o, const struct node *named) {
        const struct node *extends = node_get(o->root, "extends");
        int r = 0;

        if (extends_is_folded(w, o))
                return 0;
        for (unsigned i = 0; i < w->depth; i++)
                if (w->path[i] == o)
                        return fault_set(w->err, named ? named->source : o->source, named ? named->line : 0,
                                         named ? named->column : 0, "'extends': '%s' ends up extending itself", o->name);
        if (w->depth > POLICY_EXTENDS_DEPTH_MAX) {
                fault_set(w->err, named ? named->source : o->source, named ? named->line : 0, named ? named->column : 0,
                          "'extends' is deeper than %d levels", POLICY_EXTENDS_DEPTH_MAX);
                return POLICY_E_LIMIT;
        }
        w->path[w->depth++] = o;
        if (extends && extends->type == NODE_STRING)
                r = extends_visit_base(w, extends);
        for (const struct node *n = extends ? extends->child : NULL; n && !r; n = n->next)
                r = extends_visit_base(w, n);
        w->depth--;
        return r ? r : extends_fold(w, o);
}

int extends_resolve(const struct policy_store *s, const char *profile, bool macos, struct arena *a,
                    struct extends_chain *ret, struct policy_error *err) {
        const struct store_object *o = store_find(s, POLICY_PROFILE, profile);
        const struct store_object *base = store_find(s, POLICY_PROFILE, "default");
        struct extends_walk w = { .store = s, .arena = a, .chain = ret, .err = err, .macos = macos };
        struct store_object *const *project;
        size_t n_projects;
        int r = 0;

        memset(ret, 0, sizeof(*ret));
        if (!o) {
                fault_set(err, NULL, 0, 0, "there is no profile '%s'", profile);
                return POLICY_E_NOT_FOUND;
        }
        if (base && base != o)
                r = extends_visit(&w, base, NULL);
        if (!r)
                r = extends_visit(&w, o, NULL);
        ret->workdir = node_get_path(ret->merged, "workdir.access");
        project = store_range(s, POLICY_PROJECT, &n_projects);
        for (size_t i = 0; i < n_projects && !r; i++)
                r = extends_fold(&w, project[i]);
        return r;
}
