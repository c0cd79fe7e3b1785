/*
 * A plan as text and back, so that a program inside a session can see what holds for it.
 * Runs as: anyone.   Input: our own text; inside a session a hostile neighbour may have written it, so it is checked again.
 */
#include <string.h>

#include "common/error.h"
#include "daemon/policy/fault.h"
#include "daemon/policy/node.h"
#include "daemon/policy/plan.h"
#include "daemon/policy/show.h"

static const char *const plan_origins[] = { "ceiling", "required_group", "group", "profile", "flag", "session" };
static const char *const plan_accesses[] = { "none", "read", "write", "readwrite" };

static void plan_put(json_t *o, const char *key, const char *s) {
        if (s)
                (void)json_object_set_new(o, key, json_string(s)); /* a name that is not UTF-8 stays out */
}

static void plan_put_true(json_t *o, const char *key, bool value) {
        if (value)
                (void)json_object_set_new(o, key, json_true());
}

static json_t *plan_rule(const struct policy_rule *rule) {
        json_t *o = json_object();

        (void)json_object_set_new(o, "id", json_integer((json_int_t)rule->id));
        plan_put(o, "effect", rule->effect == POLICY_DENY ? "deny" : "allow");
        plan_put(o, "origin", plan_origins[rule->origin]);
        plan_put(o, "access", plan_accesses[rule->access]);
        plan_put_true(o, "file", rule->file);
        plan_put_true(o, "pattern", rule->pattern);
        plan_put_true(o, "revoke", rule->revoke);
        if (rule->lift)
                (void)json_object_set_new(o, "lift", json_integer(rule->lift));
        plan_put(o, "path", rule->path);
        plan_put(o, "raw", rule->raw);
        plan_put(o, "source", rule->source);
        if (rule->line)
                (void)json_object_set_new(o, "line", json_integer(rule->line));
        plan_put(o, "group", rule->group);
        return o;
}

static void plan_put_strings(json_t *o, const char *key, const char *const *strings) {
        json_t *list = strings ? json_array() : NULL;

        for (; strings && *strings; strings++)
                (void)json_array_append_new(list, json_string(*strings));
        if (list)
                (void)json_object_set_new(o, key, list);
}

json_t *show_plan(const struct policy_plan *plan) {
        const struct policy_settings *t = policy_plan_settings(plan);
        json_t *out = json_object(), *network = json_object(), *rules = json_array(), *ports = json_array();

        plan_put(out, "profile", t->name);
        plan_put(out, "workdir", plan_accesses[t->workdir]);
        (void)json_object_set_new(network, "block", json_boolean(t->net_block));
        for (size_t i = 0; i < t->n_open_ports; i++)
                (void)json_array_append_new(ports, json_integer(t->open_ports[i]));
        (void)json_object_set_new(network, "open_port", ports);
        plan_put_strings(network, "allow_domain", t->allow_domains);
        plan_put_strings(network, "deny_domain", t->deny_domains);
        (void)json_object_set_new(out, "network", network);
        for (size_t i = 0; i < plan->n_rules; i++)
                (void)json_array_append_new(rules, plan_rule(&plan->rules[i]));
        (void)json_object_set_new(out, "rules", rules);
        return out;
}

char *show_plan_text(const struct policy_plan *plan) {
        json_t *o = show_plan(plan);
        char *text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;

        json_decref(o);
        return text;
}

void show_start(void) {
        json_object_seed(0);
}

static int plan_word(const struct node *n, const char *const *words, unsigned n_words, unsigned *ret) {
        for (unsigned i = 0; node_string(n) && i < n_words; i++)
                if (strcmp(n->string, words[i]) == 0) {
                        *ret = i;
                        return 0;
                }
        return POLICY_E_INVALID;
}

static int plan_load_rule(const struct node *n, struct policy_plan *plan) {
        const struct node *effect = node_get(n, "effect"), *line = node_get(n, "line"), *lift = node_get(n, "lift");
        struct policy_rule rule = { .path = (char *)node_string(node_get(n, "path")) };
        unsigned origin;

        if (!rule.path || !node_string(effect) ||
            plan_word(node_get(n, "origin"), plan_origins, ELEMENTSOF(plan_origins), &origin) ||
            plan_word(node_get(n, "access"), plan_accesses, ELEMENTSOF(plan_accesses), &rule.access))
                return POLICY_E_INVALID;
        rule.origin = (enum policy_origin)origin;
        rule.effect = strcmp(effect->string, "deny") == 0 ? POLICY_DENY : POLICY_ALLOW;
        rule.file = node_true(node_get(n, "file"));
        rule.pattern = node_true(node_get(n, "pattern"));
        rule.revoke = node_true(node_get(n, "revoke"));
        rule.raw = (char *)node_string(node_get(n, "raw"));
        rule.source = (char *)node_string(node_get(n, "source"));
        rule.group = (char *)node_string(node_get(n, "group"));
        rule.line = line && line->type == NODE_INT ? (unsigned)line->integer : 0;
        rule.lift = lift && lift->type == NODE_INT ? (unsigned)lift->integer & 7U : 0;
        return policy_plan_add(plan, &rule, NULL);
}

static int plan_load_strings(struct policy_plan *plan, const struct node *list, const char *const **ret) {
        const char **strings;
        size_t n = 0;

        if (!list)
                return 0;
        strings = arena_alloc(&plan->arena, (list->n_children + 1) * sizeof(*strings));
        if (!strings)
                return err_raise(-ENOMEM);
        node_foreach(item, list)
                if (node_string(item)) {
                        strings[n] = arena_string(&plan->arena, item->string);
                        if (!strings[n++])
                                return err_raise(-ENOMEM);
                }
        *ret = strings;
        return 0;
}

static int plan_load_network(struct policy_plan *plan, const struct node *network) {
        const struct node *ports = node_get(network, "open_port");
        uint16_t *list = arena_alloc(&plan->arena, ((ports ? ports->n_children : 0) + 1) * sizeof(*list));
        int r;

        if (!list)
                return err_raise(-ENOMEM);
        plan->settings.net_block = node_true(node_get(network, "block"));
        node_foreach(port, ports)
                if (port->type == NODE_INT && port->integer > 0 && port->integer <= UINT16_MAX)
                        list[plan->settings.n_open_ports++] = (uint16_t)port->integer;
        plan->settings.open_ports = list;
        r = plan_load_strings(plan, node_get(network, "allow_domain"), &plan->settings.allow_domains);
        return r ? r : plan_load_strings(plan, node_get(network, "deny_domain"), &plan->settings.deny_domains);
}

int show_plan_load(const char *text, size_t n, const char *source, struct policy_plan **ret, struct policy_error *err) {
        _cleanup_(policy_plan_freep) struct policy_plan *plan = policy_plan_new();
        _cleanup_(arena_done) struct arena a = { .blocks = NULL };
        struct node *root = NULL;
        const char *name;
        int r;

        if (!plan)
                return err_raise(-ENOMEM);
        r = node_parse(&a, text, n, source, &root, err);
        if (r)
                return r < 0 ? err_pass(r) : r;
        node_foreach(rule, node_get(root, "rules")) {
                r = plan_load_rule(rule, plan);
                if (r > 0)
                        return fault_set(err, rule->source, rule->line, rule->column, "no rule of a plan");
                if (r)
                        return err_pass(r);
        }
        name = node_string(node_get(root, "profile"));
        plan->settings.name = name ? arena_string(&plan->arena, name) : NULL;
        r = plan_load_network(plan, node_get(root, "network"));
        if (r)
                return err_pass(r);
        *ret = steal_ptr(&plan);
        return 0;
}
