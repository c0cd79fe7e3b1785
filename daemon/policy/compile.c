/*
 * Order of the rules in a plan: ceiling, required groups, groups as named, the working
 * directory, the profile's own. The verdict does not depend on it; listings do.
 * Runs as: anyone.   Input: a store of checked trees; variables of the caller.
 */
#include <string.h>

#include "common/error.h"
#include "daemon/policy/draft.h"
#include "daemon/policy/extends.h"
#include "daemon/policy/fault.h"
#include "daemon/policy/merge.h"
#include "daemon/policy/plan.h"
#include "daemon/policy/schema.h"
#include "daemon/policy/settings.h"
#include "daemon/policy/store.h"
#include "daemon/policy/vars.h"
#include "daemon/policy/when.h"

enum { COMPILE_RW = POLICY_READ | POLICY_WRITE };

struct compile {
        const struct policy_store *store;
        const struct policy_vars *vars;
        struct arena arena;
        struct extends_chain chain;
        struct draft draft;
        struct node *deny_commands;
        struct policy_error *err;
};

static void compile_done(struct compile *c) {
        arena_done(&c->arena);
}

static const struct {
        const char *key;
        struct draft_kind kind;
} compile_lists[] = {
        { "allow", { .effect = POLICY_ALLOW, .access = COMPILE_RW } },
        { "read", { .effect = POLICY_ALLOW, .access = POLICY_READ } },
        { "write", { .effect = POLICY_ALLOW, .access = POLICY_WRITE } },
        { "allow_file", { .effect = POLICY_ALLOW, .access = COMPILE_RW, .file = true } },
        { "read_file", { .effect = POLICY_ALLOW, .access = POLICY_READ, .file = true } },
        { "write_file", { .effect = POLICY_ALLOW, .access = POLICY_WRITE, .file = true } },
        /* connect(2) needs write permission on the socket's inode. */
        { "unix_socket", { .effect = POLICY_ALLOW, .access = COMPILE_RW, .file = true } },
        { "unix_socket_bind", { .effect = POLICY_ALLOW, .access = COMPILE_RW, .file = true } },
        { "unix_socket_dir", { .effect = POLICY_ALLOW, .access = COMPILE_RW, .file = true, .suffix = "/*" } },
        { "unix_socket_dir_bind", { .effect = POLICY_ALLOW, .access = COMPILE_RW, .file = true, .suffix = "/*" } },
        { "unix_socket_subtree", { .effect = POLICY_ALLOW, .access = COMPILE_RW } },
        { "unix_socket_subtree_bind", { .effect = POLICY_ALLOW, .access = COMPILE_RW } },
        { "deny", { .effect = POLICY_DENY, .access = COMPILE_RW } },
        { "deny_write", { .effect = POLICY_DENY, .access = POLICY_WRITE } },
};

static bool compile_group_is_here(const struct compile *c, const struct store_object *group) {
        const char *platform = node_string(node_get(group->root, "platform"));

        return !platform || strcmp(platform, "any") == 0 || strcmp(platform, c->vars->macos ? "macos" : "linux") == 0;
}

static bool compile_group_is_required(const struct store_object *group) {
        return node_true(node_get(group->root, "required"));
}

/* @grants: false when only the denies of the group are wanted. */
static int compile_group(struct compile *c, const struct store_object *group, bool grants) {
        const struct node *allow = node_get(group->root, "allow"), *deny = node_get(group->root, "deny");
        struct draft_kind kind = {
                .origin = compile_group_is_required(group) ? POLICY_FROM_REQUIRED_GROUP : POLICY_FROM_GROUP,
                .group = group->name,
        };
        int r;

        kind.effect = POLICY_DENY;
        kind.access = COMPILE_RW;
        r = draft_add_list(&c->draft, node_get(deny, "access"), &kind);
        if (r)
                return r;
        kind.access = POLICY_WRITE;
        r = draft_add_list(&c->draft, node_get(deny, "write"), &kind);
        if (r)
                return r;
        node_foreach(name, node_get(deny, "commands")) {
                struct node *copy = node_share(&c->arena, name);

                if (!copy)
                        return err_raise(-ENOMEM);
                node_append(c->deny_commands, copy);
        }
        if (!grants)
                return 0;
        kind.effect = POLICY_ALLOW;
        kind.access = POLICY_READ;
        r = draft_add_list(&c->draft, node_get(allow, "read"), &kind);
        if (r)
                return r;
        kind.access = POLICY_WRITE;
        r = draft_add_list(&c->draft, node_get(allow, "write"), &kind);
        if (r)
                return r;
        kind.access = COMPILE_RW;
        return draft_add_list(&c->draft, node_get(allow, "readwrite"), &kind);
}

static const char *compile_name(const struct node *item) {
        return item->type == NODE_OBJECT ? node_string(node_get(item, "name")) : node_string(item);
}

/* WHEN_YES: left out altogether; WHEN_UNKNOWN: its grants are. */
static enum when_answer compile_is_excluded(const struct compile *c, const char *name) {
        enum when_answer excluded = WHEN_NO;

        node_foreach(item, node_get_path(c->chain.merged, "groups.exclude")) {
                enum when_answer answer;

                if (strcmp(compile_name(item), name) != 0)
                        continue;
                answer = when_holds(node_get(item, "when"), c->vars);
                if (answer == WHEN_YES)
                        return WHEN_YES;
                if (answer == WHEN_UNKNOWN)
                        excluded = WHEN_UNKNOWN;
        }
        return excluded;
}

static int compile_check_excluded(const struct compile *c) {
        node_foreach(item, node_get_path(c->chain.merged, "groups.exclude")) {
                const struct store_object *group = store_find(c->store, POLICY_GROUP, compile_name(item));

                if (group && compile_group_is_required(group))
                        return fault_set(c->err, item->source, item->line, item->column,
                                         "group '%s' is required and cannot be excluded", group->name);
        }
        return 0;
}

static int compile_required_groups(struct compile *c) {
        size_t n;
        struct store_object *const *groups = store_range(c->store, POLICY_GROUP, &n);
        int r = 0;

        for (size_t i = 0; i < n && !r; i++)
                if (compile_group_is_required(groups[i]) && compile_group_is_here(c, groups[i]))
                        r = compile_group(c, groups[i], true);
        return r;
}

static int compile_groups(struct compile *c) {
        int r = 0;

        for (const struct node *item = node_get_path(c->chain.merged, "groups.include") ?
                                               node_get_path(c->chain.merged, "groups.include")->child : NULL;
             item && !r; item = item->next) {
                const struct store_object *group = store_find(c->store, POLICY_GROUP, compile_name(item));
                enum when_answer wanted = when_holds(node_get(item, "when"), c->vars), excluded;

                if (!group)
                        return fault_set(c->err, item->source, item->line, item->column, "there is no group '%s'",
                                         compile_name(item));
                excluded = compile_is_excluded(c, group->name);
                if (compile_group_is_required(group) || !compile_group_is_here(c, group) || wanted == WHEN_NO ||
                    excluded == WHEN_YES)
                        continue;
                r = compile_group(c, group, wanted == WHEN_YES && excluded == WHEN_NO);
        }
        return r;
}

static int compile_ceiling(struct compile *c) {
        struct draft_kind kind = { .effect = POLICY_DENY, .origin = POLICY_FROM_CEILING };
        size_t n;
        struct store_object *const *files = store_range(c->store, POLICY_CEILING, &n);
        int r = 0;

        for (size_t i = 0; i < n && !r; i++) {
                kind.access = COMPILE_RW;
                r = draft_add_list(&c->draft, node_get(files[i]->root, "deny"), &kind);
                if (r)
                        break;
                kind.access = POLICY_WRITE;
                r = draft_add_list(&c->draft, node_get(files[i]->root, "deny_write"), &kind);
        }
        return r;
}

static int compile_own_paths(struct compile *c) {
        const struct node *filesystem = node_get(c->chain.merged, "filesystem");
        uint64_t required = 0;
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(compile_lists) && !r; i++) {
                struct draft_kind kind = compile_lists[i].kind;

                kind.origin = POLICY_FROM_PROFILE;
                r = draft_add_list(&c->draft, node_get(filesystem, compile_lists[i].key), &kind);
        }
        for (unsigned i = 1; i <= c->chain.n_files && i < 64; i++)
                if (!c->chain.files[i]->user)
                        required |= 1ULL << i;
        if (!r)
                r = draft_revoke(&c->draft, node_get(filesystem, "revoke"));
        if (!r)
                r = draft_bypass(&c->draft, node_get(filesystem, "bypass_protection"), required);
        return r;
}

static int compile_workdir(struct compile *c, enum policy_workdir access) {
        struct draft_kind kind = { .effect = POLICY_ALLOW, .origin = POLICY_FROM_PROFILE, .access = access };
        struct node *place;

        if (access == POLICY_WORKDIR_NONE || !c->vars->workdir)
                return 0;
        place = node_new(&c->arena, NODE_STRING, NULL, c->chain.workdir);
        if (!place)
                return err_raise(-ENOMEM);
        place->string = "$WORKDIR";
        return draft_add(&c->draft, c->vars->workdir, place, &kind);
}

static int compile_check(const struct compile *c, const char *profile) {
        const char *const *allowed = c->store->ceiling.allowed_profiles;
        const char *bad;

        if (!vars_are_sane(c->vars, &bad))
                return fault_set(c->err, NULL, 0, 0, "$%s is not an absolute, normalised path", bad);
        while (allowed && *allowed && strcmp(*allowed, profile) != 0)
                allowed++;
        if (!allowed || *allowed)
                return 0;
        fault_set(c->err, NULL, 0, 0, "the administrator does not allow the profile '%s'", profile);
        return POLICY_E_LIMIT;
}

static int compile_name_plan(const struct compile *c, const char *profile, struct policy_plan *plan) {
        const struct store_object *o = store_find(c->store, POLICY_PROFILE, profile);
        const char *description = node_string(node_get_path(o->root, "meta.description"));

        plan->settings.name = arena_string(&plan->arena, profile);
        plan->settings.description = description ? arena_string(&plan->arena, description) : NULL;
        return plan->settings.name && (!description || plan->settings.description) ? 0 : err_raise(-ENOMEM);
}

int policy_compile(const struct policy_store *s, const char *profile, const struct policy_vars *vars,
                   struct policy_plan **ret, struct policy_error *err) {
        _cleanup_(policy_plan_freep) struct policy_plan *plan = policy_plan_new();
        _cleanup_(compile_done) struct compile c = { .store = s, .vars = vars, .err = err };
        int r;

        if (!profile)
                profile = "default";
        if (!plan)
                return err_raise(-ENOMEM);
        c.draft = (struct draft){ .arena = &c.arena, .vars = vars, .err = err };
        c.deny_commands = node_new(&c.arena, NODE_LIST, NULL, NULL);
        if (!c.deny_commands)
                return err_raise(-ENOMEM);
        r = compile_check(&c, profile);
        if (!r)
                r = extends_resolve(s, profile, vars->macos, &c.arena, &c.chain, err);
        if (!r)
                r = compile_check_excluded(&c);
        if (!r)
                r = compile_ceiling(&c);
        if (!r)
                r = compile_required_groups(&c);
        if (!r)
                r = compile_groups(&c);
        if (!r)
                r = compile_name_plan(&c, profile, plan);
        if (!r)
                r = settings_fill(s, &c.chain, c.deny_commands, plan, err);
        if (!r)
                r = compile_workdir(&c, plan->settings.workdir);
        if (!r)
                r = compile_own_paths(&c); /* last: it revokes */
        if (!r)
                r = draft_finish(&c.draft, plan);
        if (r)
                return r < 0 ? err_pass(r) : r;
        *ret = steal_ptr(&plan);
        return 0;
}
