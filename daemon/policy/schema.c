/*
 * Checks a tree against the tables of schema-tables.c and moves historic keys.
 * Runs as: anyone.   Input: parsed trees of foreign files; depth was bounded by the parser.
 */
#include "daemon/policy/schema.h"

#include <string.h>

#include "common/error.h"
#include "daemon/policy/arena.h"
#include "daemon/policy/fault.h"
#include "daemon/policy/vars.h"
#include "daemon/policy/when.h"

const struct schema_key *schema_find(const struct schema_key *keys, const char *name) {
        for (; keys->name; keys++)
                if (strcmp(keys->name, name) == 0)
                        return keys;
        return NULL;
}

bool schema_is_value(const char *values, const char *s) {
        size_t n = strlen(s);

        while (*values) {
                size_t len = strcspn(values, "|");

                if (len == n && memcmp(values, s, n) == 0)
                        return true;
                values += len;
                values += *values == '|';
        }
        return false;
}

/* Levenshtein distance of two short names; anything long is far away. */
static size_t schema_distance(const char *a, const char *b) {
        enum { LONGEST = 40 };
        size_t n_a = strlen(a), n_b = strlen(b), row[LONGEST + 1];

        if (n_a > LONGEST || n_b > LONGEST)
                return LONGEST;
        for (size_t j = 0; j <= n_b; j++)
                row[j] = j;
        for (size_t i = 1; i <= n_a; i++) {
                size_t diagonal = row[0];

                row[0] = i;
                for (size_t j = 1; j <= n_b; j++) {
                        size_t up = row[j];

                        row[j] = MIN_OF(MIN_OF(row[j] + 1, row[j - 1] + 1), diagonal + (a[i - 1] != b[j - 1]));
                        diagonal = up;
                }
        }
        return row[n_b];
}

static int schema_unknown(const struct schema_key *keys, const struct node *object, const struct node *child,
                          struct policy_error *err) {
        const char *close = NULL;
        size_t best = 3;

        for (; keys->name; keys++) {
                size_t d = schema_distance(keys->name, child->key);

                if (d < best) {
                        best = d;
                        close = keys->name;
                }
        }
        return fault_set(err, child->source, child->key_line, child->key_column, "unknown key '%s'%s%s%s%s%s%s",
                         child->key, object->key ? " in '" : "", object->key ? object->key : "",
                         object->key ? "'" : "", close ? ", did you mean '" : "", close ? close : "", close ? "'?" : "");
}

static const char *schema_type_name(const struct node *n) {
        switch (n->type) {
        case NODE_NULL:
                return "null";
        case NODE_BOOL:
                return "true or false";
        case NODE_INT:
        case NODE_REAL:
                return "a number";
        case NODE_STRING:
                return "a string";
        case NODE_LIST:
                return "a list";
        case NODE_OBJECT:
                return "an object";
        }
        return "something else";
}

static int schema_expected(const struct node *n, const char *name, const char *what, struct policy_error *err) {
        return fault_set(err, n->source, n->line, n->column, "'%s': expected %s, found %s", name, what,
                         schema_type_name(n));
}

/* "any text", or {@name, "when"} where @name is "path" or "name". */
static int schema_check_conditional(const struct node *item, const char *key, const char *name, struct policy_error *err) {
        if (item->type == NODE_STRING)
                return 0;
        if (item->type != NODE_OBJECT)
                return schema_expected(item, key, "a string or an object", err);
        node_foreach(child, item) {
                if (strcmp(child->key, name) == 0) {
                        if (child->type != NODE_STRING)
                                return schema_expected(child, name, "a string", err);
                } else if (strcmp(child->key, "when") == 0) {
                        if (child->type == NODE_STRING)
                                continue;
                        if (child->type != NODE_LIST)
                                return schema_expected(child, "when", "a string or a list of strings", err);
                        node_foreach(one, child)
                                if (one->type != NODE_STRING)
                                        return schema_expected(one, "when", "a string", err);
                } else {
                        return fault_set(err, child->source, child->key_line, child->key_column,
                                         "unknown key '%s' in '%s', expected '%s' or 'when'", child->key, key, name);
                }
        }
        if (!node_get(item, name))
                return fault_set(err, item->source, item->line, item->column, "'%s': the object has no '%s'", key, name);
        return 0;
}

static int schema_check_domain(const struct node *item, const char *key, struct policy_error *err) {
        if (item->type == NODE_STRING)
                return 0;
        if (item->type != NODE_OBJECT)
                return schema_expected(item, key, "a string or an object", err);
        node_foreach(child, item)
                if (strcmp(child->key, "domain") != 0 && strcmp(child->key, "endpoints") != 0)
                        return fault_set(err, child->source, child->key_line, child->key_column,
                                         "unknown key '%s' in '%s', expected 'domain' or 'endpoints'", child->key, key);
        if (!node_string(node_get(item, "domain")))
                return fault_set(err, item->source, item->line, item->column, "'%s': the object has no 'domain'", key);
        return 0;
}

static int schema_check_item(enum schema_type type, const struct node *item, const char *key, struct policy_error *err) {
        switch (type) {
        case SCHEMA_PATHS:
                return schema_check_conditional(item, key, "path", err);
        case SCHEMA_NAMES:
                return schema_check_conditional(item, key, "name", err);
        case SCHEMA_DOMAINS:
                return schema_check_domain(item, key, err);
        case SCHEMA_PORTS:
                if (item->type == NODE_INT && item->integer > 0 && item->integer <= UINT16_MAX)
                        return 0;
                return schema_expected(item, key, "a port number from 1 to 65535", err);
        case SCHEMA_ANY_LIST:
                return 0;
        default:
                return item->type == NODE_STRING ? 0 : schema_expected(item, key, "a string", err);
        }
}

static int schema_check_list(const struct schema_key *k, const struct node *n, struct policy_error *err) {
        int r = 0;

        if (n->type != NODE_LIST)
                return schema_expected(n, k->name, "a list", err);
        for (const struct node *item = n->child; item && !r; item = item->next)
                r = schema_check_item(k->type, item, k->name, err);
        return r;
}

static int schema_check_map(const struct schema_key *k, const struct node *n, struct policy_error *err) {
        int r = 0;

        if (n->type != NODE_OBJECT)
                return schema_expected(n, k->name, "an object", err);
        for (const struct node *child = n->child; child && !r; child = child->next) {
                if (k->type == SCHEMA_STRING_MAP)
                        r = child->type == NODE_STRING ? 0 : schema_expected(child, child->key, "a string", err);
                else
                        r = child->type == NODE_OBJECT ? schema_check(k->keys, child, err) :
                                                         schema_expected(child, child->key, "an object", err);
        }
        return r;
}

static int schema_check_value(const struct schema_key *k, const struct node *n, struct policy_error *err) {
        static const struct schema_key no_keys[] = { { .name = NULL } };

        if (n->type == NODE_NULL && k->nullable)
                return 0;
        switch (k->type) {
        case SCHEMA_STRING:
                if (n->type != NODE_STRING)
                        return schema_expected(n, k->name, "a string", err);
                if (k->values && !schema_is_value(k->values, n->string))
                        return fault_set(err, n->source, n->line, n->column, "'%s': '%s' is not one of %s", k->name,
                                         n->string, k->values);
                return 0;
        case SCHEMA_BOOL:
                return n->type == NODE_BOOL ? 0 : schema_expected(n, k->name, "true or false", err);
        case SCHEMA_INT:
                if (n->type == NODE_INT && n->integer >= 0 && n->integer <= INT32_MAX)
                        return 0;
                return schema_expected(n, k->name, "a whole number from 0 to 2147483647", err);
        case SCHEMA_STRING_OR_LIST:
                if (n->type == NODE_STRING)
                        return 0;
                if (n->type != NODE_LIST)
                        return schema_expected(n, k->name, "a string or a list of strings", err);
                return schema_check_list(k, n, err);
        case SCHEMA_STRINGS:
        case SCHEMA_PATHS:
        case SCHEMA_NAMES:
        case SCHEMA_PORTS:
        case SCHEMA_DOMAINS:
        case SCHEMA_ANY_LIST:
                return schema_check_list(k, n, err);
        case SCHEMA_STRING_MAP:
        case SCHEMA_OBJECT_MAP:
                return schema_check_map(k, n, err);
        case SCHEMA_OBJECT:
                if (n->type != NODE_OBJECT)
                        return schema_expected(n, k->name, "an object", err);
                return schema_check(k->keys ? k->keys : no_keys, n, err);
        case SCHEMA_PROFILE:
                if (n->type != NODE_OBJECT)
                        return schema_expected(n, k->name, "an object", err);
                node_foreach(child, n)
                        if (schema_is_value("extends|platform_overrides|meta", child->key))
                                return fault_set(err, child->source, child->key_line, child->key_column,
                                                 "'%s' cannot stand in platform_overrides", child->key);
                return schema_check(schema_profile, n, err);
        case SCHEMA_ANY_OBJECT:
                return n->type == NODE_OBJECT ? 0 : schema_expected(n, k->name, "an object", err);
        }
        return 0;
}

int schema_check(const struct schema_key *keys, const struct node *object, struct policy_error *err) {
        node_foreach(child, object) {
                const struct schema_key *k = schema_find(keys, child->key);
                int r;

                if (!k)
                        return schema_unknown(keys, object, child, err);
                r = schema_check_value(k, child, err);
                if (r)
                        return r;
        }
        return 0;
}

int schema_check_narrows(const struct schema_key *keys, const struct node *object, struct policy_error *err) {
        node_foreach(child, object) {
                const struct schema_key *k = schema_find(keys, child->key);
                int r;

                if (!k || k->narrows)
                        continue;
                if (k->type != SCHEMA_OBJECT || !k->keys || k->nullable)
                        return fault_set(err, child->source, child->key_line, child->key_column,
                                         "a project's profile may only narrow, '%s' is not for it", child->key);
                r = schema_check_narrows(k->keys, child, err);
                if (r)
                        return r;
        }
        return 0;
}

static int schema_check_text(const struct schema_key *k, const struct node *item, struct policy_error *err) {
        int r = 0;

        if (k->type == SCHEMA_PATHS)
                r = vars_check_path(item, err);
        return r ? r : when_check(node_get(item, "when"), err);
}

int schema_check_texts(const struct schema_key *keys, const struct node *object, struct policy_error *err) {
        node_foreach(child, object) {
                const struct schema_key *k = schema_find(keys, child->key);
                int r = 0;

                if (k && (k->type == SCHEMA_PATHS || k->type == SCHEMA_NAMES))
                        for (const struct node *item = child->child; item && !r; item = item->next)
                                r = schema_check_text(k, item, err);
                else if (k && k->type == SCHEMA_OBJECT && k->keys)
                        r = schema_check_texts(k->keys, child, err);
                else if (k && k->type == SCHEMA_PROFILE)
                        r = schema_check_texts(schema_profile, child, err);
                if (r)
                        return r;
        }
        return 0;
}

/* The object that @path's last name lives in, made when missing; @ret_name is that last name. */
static struct node *schema_home(struct arena *a, struct node *root, const char *path, const struct node *place,
                                const char **ret_name) {
        const char *dot = strchr(path, '.');
        struct node *home;
        char *section;

        *ret_name = dot ? dot + 1 : path;
        if (!dot)
                return root;
        section = arena_copy(a, path, (size_t)(dot - path));
        if (!section)
                return NULL;
        home = node_get(root, section);
        if (!home) {
                home = node_new(a, NODE_OBJECT, section, place);
                if (home)
                        node_append(root, home);
        }
        return home;
}

/* Lists join, maps join, of two scalars the one under the present key stays. */
static int schema_move(struct arena *a, struct node *root, struct node *parent, struct node *child, const char *canonical) {
        const char *name;
        struct node *home, *there;

        node_unlink(parent, child);
        home = schema_home(a, root, canonical, child, &name);
        if (!home)
                return err_raise(-ENOMEM);
        there = node_get(home, name);
        if (!there) {
                child->key = name;
                node_append(home, child);
                return 0;
        }
        if (there->type != child->type || (there->type != NODE_LIST && there->type != NODE_OBJECT))
                return 0;
        while (child->child) {
                struct node *item = child->child;

                node_unlink(child, item);
                if (there->type == NODE_LIST || !node_get(there, item->key))
                        node_append(there, item);
        }
        return 0;
}

static int schema_move_members(struct arena *a, const struct schema_key *keys, struct node *root, struct node *object) {
        struct node *next;

        for (struct node *child = object->child; child; child = next) {
                const struct schema_key *k = schema_find(keys, child->key);
                int r = 0;

                next = child->next;
                if (k && k->canonical)
                        r = schema_move(a, root, object, child, k->canonical);
                else if (k && k->type == SCHEMA_OBJECT && k->keys)
                        r = schema_move_members(a, k->keys, root, child);
                else if (k && k->type == SCHEMA_PROFILE)
                        r = schema_move_members(a, schema_profile, child, child);
                if (r)
                        return r;
        }
        return 0;
}

int schema_canonicalise(struct arena *a, const struct schema_key *keys, struct node *root) {
        int r = schema_move_members(a, keys, root, root);
        struct node *old = node_get(root, "policy");

        if (!r && old && keys == schema_profile)
                node_unlink(root, old); /* empty by now */
        return r;
}
