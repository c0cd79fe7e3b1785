/*
 * Values come from the merged tree and keep the order of the files; keys come in the order of the
 * schema's tables.
 * Runs as: anyone.   Input: a store of checked files.
 */
#include "daemon/policy/show.h"

#include <string.h>

#include "common/error.h"
#include "daemon/policy/draft.h"
#include "daemon/policy/extends.h"
#include "daemon/policy/schema.h"
#include "daemon/policy/store.h"
#include "daemon/policy/vars.h"

static json_t *show_node(const struct node *n) {
        json_t *out;

        switch (n->type) {
        case NODE_BOOL:
                return json_boolean(n->integer);
        case NODE_INT:
                return json_integer(n->integer);
        case NODE_REAL:
                return json_real(n->real);
        case NODE_STRING:
                return json_string(n->string);
        case NODE_LIST:
                out = json_array();
                node_foreach(item, n)
                        (void)json_array_append_new(out, show_node(item));
                return out;
        case NODE_OBJECT:
                out = json_object();
                node_foreach(child, n)
                        (void)json_object_set_new(out, child->key, show_node(child));
                return out;
        case NODE_NULL:
                break;
        }
        return json_null();
}

/* An absent list is an empty one. */
static json_t *show_list(const struct node *n) {
        return n ? show_node(n) : json_array();
}

static json_t *show_value(const struct node *n) {
        return n ? show_node(n) : json_null();
}

/* Absent members stay absent. */
static void show_put(json_t *out, const char *key, const struct node *n) {
        if (n)
                (void)json_object_set_new(out, key, show_node(n));
}

static json_t *show_text(const struct node *n) {
        return json_string(node_string(n) ? n->string : "");
}

char *show_expanded(const char *raw, const struct policy_vars *vars) {
        char path[POLICY_PATH_MAX];

        if (vars_expand(raw, vars, path, sizeof(path)) || strcmp(raw, path) == 0)
                return NULL;
        return strdup(path);
}

static const char *show_platform(const struct store_object *group) {
        const char *platform = node_string(node_get(group->root, "platform"));

        return platform && strcmp(platform, "any") != 0 ? platform : "cross-platform";
}

static size_t show_count(const struct node *n) {
        return n ? n->n_children : 0;
}

static void show_group_counts(json_t *out, const struct node *root) {
        const struct node *allow = node_get(root, "allow"), *deny = node_get(root, "deny");
        json_t *counts = json_object();

        if (allow) {
                (void)json_object_set_new(counts, "read", json_integer((json_int_t)show_count(node_get(allow, "read"))));
                (void)json_object_set_new(counts, "write", json_integer((json_int_t)show_count(node_get(allow, "write"))));
                (void)json_object_set_new(counts, "readwrite",
                                          json_integer((json_int_t)show_count(node_get(allow, "readwrite"))));
        }
        (void)json_object_set_new(out, "allow", counts);
        counts = json_object();
        if (deny) {
                (void)json_object_set_new(counts, "access", json_integer((json_int_t)show_count(node_get(deny, "access"))));
                (void)json_object_set_new(counts, "commands",
                                          json_integer((json_int_t)show_count(node_get(deny, "commands"))));
                (void)json_object_set_new(counts, "unlink", json_boolean(node_true(node_get(deny, "unlink"))));
        }
        (void)json_object_set_new(out, "deny", counts);
}

static json_t *show_group_head(const struct store_object *group) {
        json_t *out = json_object();

        (void)json_object_set_new(out, "name", json_string(group->name));
        (void)json_object_set_new(out, "description", show_text(node_get(group->root, "description")));
        (void)json_object_set_new(out, "platform", json_string(show_platform(group)));
        (void)json_object_set_new(out, "required", json_boolean(node_true(node_get(group->root, "required"))));
        return out;
}

int show_groups(const struct policy_store *s, const struct policy_vars *vars, bool all, json_t **ret) {
        json_t *out = json_array();
        size_t n;
        struct store_object *const *groups = store_range(s, POLICY_GROUP, &n);

        if (!out)
                return err_raise(-ENOMEM);
        for (size_t i = 0; i < n; i++) {
                const char *platform = show_platform(groups[i]);
                json_t *group;

                if (!all && strcmp(platform, "cross-platform") != 0 && strcmp(platform, vars->macos ? "macos" : "linux") != 0)
                        continue;
                group = show_group_head(groups[i]);
                show_group_counts(group, groups[i]->root);
                (void)json_array_append_new(out, group);
        }
        *ret = out;
        return 0;
}

static json_t *show_paths(const struct node *list, const struct policy_vars *vars) {
        json_t *out = json_array();

        node_foreach(item, list) {
                const char *raw = item->type == NODE_OBJECT ? node_string(node_get(item, "path")) : node_string(item);
                _cleanup_free_ char *expanded = show_expanded(raw, vars);
                json_t *path = json_object();

                (void)json_object_set_new(path, "raw", json_string(raw));
                (void)json_object_set_new(path, "expanded", json_string(expanded ? expanded : raw));
                show_put(path, "when", node_get(item, "when"));
                (void)json_array_append_new(out, path);
        }
        return out;
}

/* Members of @from that are lists with something in them. */
static void show_path_lists(json_t *out, const char *section, const struct node *from, const char *const *keys,
                            const struct policy_vars *vars) {
        json_t *lists = json_object();

        for (; *keys; keys++)
                if (show_count(node_get(from, *keys)))
                        (void)json_object_set_new(lists, *keys, show_paths(node_get(from, *keys), vars));
        if (from)
                (void)json_object_set_new(out, section, lists);
        else
                json_decref(lists);
}

int show_group(const struct policy_store *s, const char *name, const struct policy_vars *vars, json_t **ret) {
        static const char *const allows[] = { "read", "write", "readwrite", NULL };
        static const char *const denies[] = { "access", "write", NULL };
        const struct store_object *group = store_find(s, POLICY_GROUP, name);
        const struct node *deny;
        json_t *out;

        if (!group)
                return POLICY_E_NOT_FOUND;
        out = show_group_head(group);
        deny = node_get(group->root, "deny");
        show_path_lists(out, "allow", node_get(group->root, "allow"), allows, vars);
        show_path_lists(out, "deny", deny, denies, vars);
        if (show_count(node_get(deny, "commands")))
                show_put(json_object_get(out, "deny"), "commands", node_get(deny, "commands"));
        if (node_true(node_get(deny, "unlink")))
                (void)json_object_set_new(json_object_get(out, "deny"), "unlink", json_true());
        show_put(out, "symlink_pairs", node_get(group->root, "symlink_pairs"));
        *ret = out;
        return 0;
}

static json_t *show_extends(const struct node *extends) {
        json_t *out = json_array();

        if (node_string(extends))
                (void)json_array_append_new(out, json_string(extends->string));
        else
                node_foreach(item, extends)
                        (void)json_array_append_new(out, json_string(item->string));
        return out;
}

int show_profile_head(const struct policy_store *s, const char *name, json_t **ret) {
        const struct store_object *o = store_find(s, POLICY_PROFILE, name);
        json_t *out;

        if (!o)
                return POLICY_E_NOT_FOUND;
        out = json_object();
        (void)json_object_set_new(out, "name", json_string(name));
        (void)json_object_set_new(out, "description", show_text(node_get_path(o->root, "meta.description")));
        (void)json_object_set_new(out, "extends", show_extends(node_get(o->root, "extends")));
        *ret = out;
        return 0;
}

/* Was the item inherited, and revoked by a later profile? */
static bool show_is_revoked(const struct node *item, const struct node *revoke, const struct policy_vars *vars) {
        const char *text = item->type == NODE_OBJECT ? node_string(node_get(item, "path")) : node_string(item);
        char path[POLICY_PATH_MAX], taken[POLICY_PATH_MAX];

        if (!text || vars_expand(text, vars, path, sizeof(path)))
                return false;
        node_foreach(one, revoke) {
                const char *what = one->type == NODE_OBJECT ? node_string(node_get(one, "path")) : node_string(one);

                if (item->rank >= one->rank || !what || vars_expand(what, vars, taken, sizeof(taken)))
                        continue;
                if (draft_names(taken, vars_is_pattern(what), path, vars_is_pattern(text)))
                        return true;
        }
        return false;
}

/* Takes out of the merged tree what is revoked, so that reading it shows what holds. */
static void show_drop_revoked(struct node *merged, const struct policy_vars *vars) {
        static const char *const lists[] = {
                "allow", "read", "write", "allow_file", "read_file", "write_file", "unix_socket", "unix_socket_bind",
                "unix_socket_dir", "unix_socket_dir_bind", "unix_socket_subtree", "unix_socket_subtree_bind",
        };
        const struct node *filesystem = node_get(merged, "filesystem"), *revoke = node_get(filesystem, "revoke");

        for (size_t i = 0; revoke && i < ELEMENTSOF(lists); i++) {
                struct node *list = node_get(filesystem, lists[i]), *next;

                for (struct node *item = list ? list->child : NULL; item; item = next) {
                        next = item->next;
                        if (show_is_revoked(item, revoke, vars))
                                node_unlink(list, item);
                }
        }
}

static void show_security(json_t *out, const struct node *merged) {
        const struct node *security = node_get(merged, "security");
        json_t *o = json_object();

        (void)json_object_set_new(o, "groups", show_list(node_get_path(merged, "groups.include")));
        (void)json_object_set_new(o, "allowed_commands", show_list(node_get_path(merged, "commands.allow")));
        node_foreach(child, security)
                show_put(o, child->key, child);
        (void)json_object_set_new(out, "security", o);
}

/* Every list of a section, the empty ones too; other values when they are there. */
static void show_section(json_t *out, const struct schema_key *section, const struct node *merged) {
        const struct node *from = node_get(merged, section->name);
        json_t *o = json_object();

        for (const struct schema_key *k = section->keys; k->name; k++) {
                const struct node *n = node_get(from, k->name);

                if (k->canonical)
                        continue;
                if (k->merge == MERGE_APPEND || k->merge == MERGE_CLEAR)
                        (void)json_object_set_new(o, k->name, show_list(n));
                else
                        show_put(o, k->name, n);
        }
        (void)json_object_set_new(out, section->name, o);
}

static void show_policy(json_t *out, const struct node *merged) {
        static const char *const lists[][2] = {
                { "exclude_groups", "groups.exclude" },       { "add_allow_read", NULL },
                { "add_allow_write", NULL },                  { "add_allow_readwrite", NULL },
                { "add_deny_access", "filesystem.deny" },     { "add_deny_commands", "commands.deny" },
                { "override_deny", "filesystem.bypass_protection" },
        };
        json_t *o = json_object();

        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                (void)json_object_set_new(o, lists[i][0],
                                          show_list(lists[i][1] ? node_get_path(merged, lists[i][1]) : NULL));
        (void)json_object_set_new(out, "policy", o);
}

static int show_resolve(const struct policy_store *s, const char *name, const struct policy_vars *vars, struct arena *a,
                        struct extends_chain *chain, struct policy_error *err) {
        int r = extends_resolve(s, name, vars->macos, a, chain, err);

        if (r)
                return r < 0 ? err_pass(r) : r;
        show_drop_revoked(chain->merged, vars);
        return 0;
}

int show_profile(const struct policy_store *s, const char *name, const struct policy_vars *vars, json_t **ret,
                 struct policy_error *err) {
        static const char *const always[] = { "groups", "filesystem", "commands", "rollback" };
        _cleanup_(arena_done) struct arena a = { .blocks = NULL };
        struct extends_chain chain;
        const struct node *merged, *access;
        json_t *out, *section;
        int r;

        r = show_resolve(s, name, vars, &a, &chain, err);
        if (r)
                return r;
        merged = chain.merged;
        r = show_profile_head(s, name, &out);
        if (r)
                return err_pass(r);
        show_put(out, "binary", node_get(merged, "binary"));
        show_put(out, "command_args", node_get(merged, "command_args"));
        show_security(out, merged);
        for (size_t i = 0; i < ELEMENTSOF(always); i++)
                show_section(out, schema_find(schema_profile, always[i]), merged);
        show_policy(out, merged);
        show_section(out, schema_find(schema_profile, "network"), merged);
        section = json_object_get(out, "network");
        (void)json_object_set_new(section, "block", json_boolean(node_true(node_get_path(merged, "network.block"))));
        (void)json_object_set_new(section, "network_profile", show_value(node_get_path(merged, "network.network_profile")));
        access = node_get_path(merged, "workdir.access");
        section = json_object();
        (void)json_object_set_new(section, "access", json_string(node_string(access) ? access->string : "none"));
        (void)json_object_set_new(out, "workdir", section);
        for (const struct schema_key *k = schema_profile; k->name; k++) {
                const struct node *n = node_get(merged, k->name);

                /* "meta" and "extends" are in the head; an empty section says nothing. */
                if (n && k->merge != MERGE_OWN && !json_object_get(out, k->name) &&
                    !(n->type == NODE_OBJECT && !n->n_children))
                        show_put(out, k->name, n);
        }
        *ret = out;
        return 0;
}

int show_profile_file(const struct policy_store *s, const char *name, const struct policy_vars *vars, json_t **ret,
                      struct policy_error *err) {
        _cleanup_(arena_done) struct arena a = { .blocks = NULL };
        struct extends_chain chain;
        json_t *out, *meta;
        int r;

        r = show_resolve(s, name, vars, &a, &chain, err);
        if (r)
                return r;
        out = json_object();
        meta = json_object();
        node_foreach(child, node_get(chain.merged, "meta"))
                show_put(meta, child->key, child);
        (void)json_object_set_new(meta, "name", json_string(name));
        (void)json_object_set_new(out, "meta", meta);
        for (const struct schema_key *k = schema_profile; k->name; k++) {
                const struct node *n = node_get(chain.merged, k->name);

                if (n && k->merge != MERGE_OWN && !(n->type == NODE_OBJECT && !n->n_children))
                        show_put(out, k->name, n);
        }
        *ret = out;
        return 0;
}
