/*
 * Everything is copied into the plan's own arena: a plan outlives the trees it was made of.
 * Runs as: anyone.   Input: checked trees.
 */
#include "daemon/policy/settings.h"

#include <string.h>

#include "common/error.h"
#include "daemon/policy/extends.h"
#include "daemon/policy/fault.h"
#include "daemon/policy/node.h"
#include "daemon/policy/plan.h"
#include "daemon/policy/store.h"

/* A growing NULL-terminated list in an arena; it is filled once, so what growing leaves behind is little. */
struct settings_list {
        struct arena *arena;
        const char **strings;
        size_t n, cap;
};

static int settings_push(struct settings_list *l, const char *s) {
        if (l->n + 1 >= l->cap) {
                size_t cap = MAX_OF(l->cap * 2, (size_t)16);
                const char **strings = arena_alloc(l->arena, cap * sizeof(*strings));

                if (!strings)
                        return err_raise(-ENOMEM);
                if (l->n)
                        memcpy(strings, l->strings, l->n * sizeof(*strings));
                l->strings = strings;
                l->cap = cap;
        }
        l->strings[l->n] = arena_string(l->arena, s);
        return l->strings[l->n++] ? 0 : err_raise(-ENOMEM);
}

static bool settings_has(const struct settings_list *l, const char *s) {
        for (size_t i = 0; i < l->n; i++)
                if (strcmp(l->strings[i], s) == 0)
                        return true;
        return false;
}

/* An absent list stays NULL, an empty one becomes an empty array: environment.allow_vars tells them apart. */
static int settings_strings(struct policy_plan *plan, const struct node *list, const char *const **ret) {
        struct settings_list l = { .arena = &plan->arena };

        if (!list)
                return 0;
        l.cap = list->n_children + 1;
        l.strings = arena_alloc(l.arena, l.cap * sizeof(*l.strings));
        if (!l.strings)
                return err_raise(-ENOMEM);
        node_foreach(item, list) {
                const char *s = item->type == NODE_OBJECT ? node_string(node_get(item, "domain")) : node_string(item);
                int r = s ? settings_push(&l, s) : 0;

                if (r)
                        return r;
        }
        *ret = l.strings;
        return 0;
}

static int settings_string(struct policy_plan *plan, const struct node *n, const char **ret) {
        if (!node_string(n))
                return 0;
        *ret = arena_string(&plan->arena, n->string);
        return *ret ? 0 : err_raise(-ENOMEM);
}

static int settings_ports(struct policy_plan *plan, const struct node *list, const uint16_t **ret, size_t *ret_n) {
        uint16_t *ports;
        size_t n = 0;

        if (!list)
                return 0;
        ports = arena_alloc(&plan->arena, (list->n_children + 1) * sizeof(*ports));
        if (!ports)
                return err_raise(-ENOMEM);
        node_foreach(item, list)
                ports[n++] = (uint16_t)item->integer;
        *ret = ports;
        *ret_n = n;
        return 0;
}

static int settings_variables(struct policy_plan *plan, const struct node *map) {
        struct settings_list l = { .arena = &plan->arena };

        node_foreach(child, map) {
                _cleanup_free_ char *assignment = NULL;
                int r;

                if (asprintf(&assignment, "%s=%s", child->key, child->string) < 0) {
                        assignment = NULL;
                        return err_raise(-ENOMEM);
                }
                r = settings_push(&l, assignment);
                if (r)
                        return r;
        }
        plan->settings.set_vars = l.strings;
        return 0;
}

/* A member of `section` in any of the network files; later names win, as everywhere. */
static const struct node *settings_find_network(const struct policy_store *s, const char *section, const char *name) {
        const struct node *found = NULL;
        size_t n;
        struct store_object *const *objects = store_range(s, POLICY_NETWORK, &n);

        for (size_t i = 0; i < n; i++) {
                const struct node *here = node_get(node_get(objects[i]->root, section), name);

                if (here)
                        found = here;
        }
        return found;
}

static int settings_network_group(struct settings_list *l, const struct node *group) {
        int r = 0;

        for (const struct node *n = node_get(group, "hosts") ? node_get(group, "hosts")->child : NULL; n && !r; n = n->next)
                r = settings_push(l, n->string);
        for (const struct node *n = node_get(group, "suffixes") ? node_get(group, "suffixes")->child : NULL; n && !r;
             n = n->next) {
                char suffix[256];

                (void)snprintf(suffix, sizeof(suffix), "*%s%.250s", *n->string == '.' ? "" : ".", n->string);
                r = settings_push(l, suffix);
        }
        return r;
}

static int settings_domains(const struct policy_store *s, const struct node *network, struct policy_plan *plan,
                            struct policy_error *err) {
        const struct node *name = node_get(network, "network_profile"), *profile, *own = node_get(network, "allow_domain");
        struct settings_list l = { .arena = &plan->arena };
        int r = 0;

        profile = node_string(name) ? settings_find_network(s, "profiles", name->string) : NULL;
        if (node_string(name) && !profile)
                return fault_set(err, name->source, name->line, name->column, "there is no network profile '%s'",
                                 name->string);
        node_foreach(group, node_get(profile, "groups")) {
                const struct node *hosts = settings_find_network(s, "groups", group->string);

                if (!hosts)
                        return fault_set(err, group->source, group->line, group->column,
                                         "there is no network group '%s'", group->string);
                r = settings_network_group(&l, hosts);
                if (r)
                        return err_pass(r);
        }
        node_foreach(item, own) {
                const char *host = item->type == NODE_OBJECT ? node_string(node_get(item, "domain")) : node_string(item);

                r = host ? settings_push(&l, host) : 0;
                if (r)
                        return err_pass(r);
        }
        plan->settings.allow_domains = l.strings;
        return settings_strings(plan, node_get(network, "deny_domain"), &plan->settings.deny_domains);
}

static int settings_commands(const struct node *commands, const struct node *from_groups, struct policy_plan *plan) {
        struct settings_list allowed = { .arena = &plan->arena }, l = { .arena = &plan->arena };
        const struct node *lists[] = { from_groups, node_get(commands, "deny") };
        int r = 0;

        node_foreach(item, node_get(commands, "allow")) {
                r = settings_push(&allowed, item->string);
                if (r)
                        return r;
        }
        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                node_foreach(item, lists[i]) {
                        if (settings_has(&allowed, item->string) || settings_has(&l, item->string))
                                continue;
                        r = settings_push(&l, item->string);
                        if (r)
                                return r;
                }
        plan->settings.deny_commands = l.strings;
        return 0;
}

static enum policy_workdir settings_workdir(const struct node *access) {
        static const char *const names[] = { "none", "read", "write", "readwrite" };

        for (unsigned i = 0; node_string(access) && i < ELEMENTSOF(names); i++)
                if (strcmp(access->string, names[i]) == 0)
                        return (enum policy_workdir)i;
        return POLICY_WORKDIR_NONE;
}

int settings_fill(const struct policy_store *s, const struct extends_chain *chain, const struct node *deny_commands,
                  struct policy_plan *plan, struct policy_error *err) {
        const struct node *merged = chain->merged, *network = node_get(merged, "network");
        const struct node *environment = node_get(merged, "environment");
        struct policy_settings *t = &plan->settings;
        int r;

        t->net_block = node_true(node_get(network, "block")) || s->ceiling.net_block;
        t->workdir = settings_workdir(chain->workdir);
        for (unsigned i = 1; i <= chain->n_files; i++) {
                const struct node *own = node_get_path(chain->files[i]->root, "workdir.access");

                if (own && chain->files[i]->kind == POLICY_PROJECT)
                        t->workdir &= settings_workdir(own);
        }
        r = settings_string(plan, node_get(merged, "binary"), &t->program);
        if (!r)
                r = settings_strings(plan, node_get(merged, "command_args"), &t->args);
        if (!r)
                r = settings_ports(plan, node_get(network, "open_port"), &t->open_ports, &t->n_open_ports);
        if (!r)
                r = settings_ports(plan, node_get(network, "listen_port"), &t->listen_ports, &t->n_listen_ports);
        if (!r)
                r = settings_strings(plan, node_get(environment, "allow_vars"), &t->allow_vars);
        if (!r)
                r = settings_strings(plan, node_get(environment, "deny_vars"), &t->deny_vars);
        if (!r)
                r = settings_variables(plan, node_get(environment, "set_vars"));
        if (!r)
                r = settings_commands(node_get(merged, "commands"), deny_commands, plan);
        if (r)
                return err_pass(r);
        return settings_domains(s, network, plan, err);
}
