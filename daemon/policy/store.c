/*
 * Objects are parsed and checked when they are added, so that an error names its place at once; what
 * refers to other objects (extends, groups) is looked up when a plan is compiled.
 * Runs as: anyone.   Input: foreign bytes.
 */
#include "daemon/policy/store.h"

#include <string.h>

#include "common/error.h"
#include "daemon/policy/fault.h"
#include "daemon/policy/schema.h"

static struct store_object *store_object_free(struct store_object *o) {
        if (!o)
                return NULL;
        free(o->name);
        free(o->source);
        arena_done(&o->arena);
        free(o);
        return NULL;
}
DEFINE_CLEANUP(struct store_object, store_object_free);

struct policy_store *policy_store_new(void) {
        return calloc(1, sizeof(struct policy_store));
}

struct policy_store *policy_store_free(struct policy_store *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->n_objects; i++)
                store_object_free(s->objects[i]);
        free(s->objects);
        arena_done(&s->arena);
        free(s);
        return NULL;
}

/* Where the object is, or would be. */
static size_t store_place(const struct policy_store *s, enum policy_kind kind, const char *name, bool *ret_found) {
        size_t low = 0, high = s->n_objects;

        *ret_found = false;
        while (low < high) {
                size_t mid = low + (high - low) / 2;
                const struct store_object *o = s->objects[mid];
                int order = o->kind != kind ? (o->kind < kind ? -1 : 1) : strcmp(o->name, name);

                if (order == 0) {
                        *ret_found = true;
                        return mid;
                }
                if (order < 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

const struct store_object *store_find(const struct policy_store *s, enum policy_kind kind, const char *name) {
        bool found;
        size_t i = store_place(s, kind, name, &found);

        return found ? s->objects[i] : NULL;
}

bool policy_store_has(const struct policy_store *s, enum policy_kind kind, const char *name) {
        return store_find(s, kind, name) != NULL;
}

struct store_object *const *store_range(const struct policy_store *s, enum policy_kind kind, size_t *ret_n) {
        bool found;
        size_t first = store_place(s, kind, "", &found), end = first;

        while (end < s->n_objects && s->objects[end]->kind == kind)
                end++;
        *ret_n = end - first;
        return s->objects + first;
}

int policy_store_names(const struct policy_store *s, enum policy_kind kind, const char ***ret_names, size_t *ret_n) {
        size_t n;
        struct store_object *const *objects = store_range(s, kind, &n);
        const char **names = reallocarray(NULL, n + 1, sizeof(*names));

        if (!names)
                return err_raise(-ENOMEM);
        for (size_t i = 0; i < n; i++)
                names[i] = objects[i]->name;
        names[n] = NULL;
        *ret_names = names;
        *ret_n = n;
        return 0;
}

static bool store_name_is_good(const char *name) {
        size_t n = strnlen(name, STORE_NAME_MAX + 1);

        return n > 0 && n <= STORE_NAME_MAX && name[0] != '.' && name[0] != '-' &&
               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n;
}

static const struct schema_key *store_schema(enum policy_kind kind) {
        switch (kind) {
        case POLICY_GROUP:
                return schema_group;
        case POLICY_NETWORK:
                return schema_network;
        case POLICY_CEILING:
                return schema_ceiling;
        case POLICY_PROFILE:
        case POLICY_PROJECT:
                break;
        }
        return schema_profile;
}

int store_parse(struct arena *a, enum policy_kind kind, const char *name, const char *text, size_t n,
                const char *source, struct node **ret, struct policy_error *err) {
        const struct schema_key *keys = store_schema(kind);
        const struct node *own_name;
        struct node *root = NULL;
        int r;

        r = node_parse(a, text, n, source, &root, err);
        if (!r)
                r = schema_check(keys, root, err);
        if (!r)
                r = schema_canonicalise(a, keys, root);
        if (!r)
                r = schema_check_texts(keys, root, err);
        if (!r && kind == POLICY_PROJECT)
                r = schema_check_narrows(keys, root, err);
        if (r)
                return r < 0 ? err_pass(r) : r;
        own_name = node_get_path(root, "meta.name");
        if (kind == POLICY_PROFILE && own_name && *own_name->string && strcmp(own_name->string, name) != 0)
                return fault_set(err, own_name->source, own_name->line, own_name->column,
                                 "the profile calls itself '%s', its file is named '%s'", own_name->string, name);
        *ret = root;
        return 0;
}

static int store_ceiling_strings(struct policy_store *s, const struct node *list, const char *const **ret) {
        const char **strings = arena_alloc(&s->arena, (list->n_children + 1) * sizeof(*strings));
        size_t n = 0;

        if (!strings)
                return err_raise(-ENOMEM);
        node_foreach(item, list)
                strings[n++] = item->string;
        *ret = strings;
        return 0;
}

static bool store_has_string(const char *const *list, const char *s) {
        for (; *list; list++)
                if (strcmp(*list, s) == 0)
                        return true;
        return false;
}

/* Two lists of allowed profiles: what both allow. */
static int store_ceiling_intersect(struct policy_store *s, const struct node *list, const char *const **both) {
        const char *const *more = NULL;
        const char **out;
        size_t n = 0;
        int r;

        r = store_ceiling_strings(s, list, &more);
        if (r)
                return r;
        if (!*both) {
                *both = more;
                return 0;
        }
        out = arena_alloc(&s->arena, (list->n_children + 1) * sizeof(*out));
        if (!out)
                return err_raise(-ENOMEM);
        for (; *more; more++)
                if (store_has_string(*both, *more))
                        out[n++] = *more;
        *both = out;
        return 0;
}

/* The shorter of two limits, 0 being none. */
static void store_ceiling_shorten(uint64_t *limit_us, const struct node *seconds) {
        uint64_t us = seconds ? (uint64_t)seconds->integer * 1000000U : 0;

        if (us && (!*limit_us || us < *limit_us))
                *limit_us = us;
}

static int store_update_ceiling(struct policy_store *s) {
        struct policy_ceiling c = { .net_block = false };
        size_t n;
        struct store_object *const *objects = store_range(s, POLICY_CEILING, &n);

        for (size_t i = 0; i < n; i++) {
                const struct node *root = objects[i]->root, *allowed = node_get(root, "allowed_profiles");
                int r;

                c.net_block |= node_true(node_get(root, "net_block"));
                c.forbid_always |= node_true(node_get(root, "forbid_always"));
                store_ceiling_shorten(&c.grant_max_us, node_get(root, "grant_max_seconds"));
                store_ceiling_shorten(&c.session_max_us, node_get(root, "session_max_seconds"));
                r = allowed ? store_ceiling_intersect(s, allowed, &c.allowed_profiles) : 0;
                if (r)
                        return err_pass(r);
        }
        s->ceiling = c;
        return 0;
}

struct policy_ceiling policy_store_ceiling(const struct policy_store *s) {
        return s->ceiling;
}

/* Takes @o. The old one of the same name goes, unless it is root's and the new one is not. */
static int store_insert(struct policy_store *s, struct store_object *o, struct policy_error *err) {
        struct store_object **objects;
        size_t i, cap;
        bool found;

        i = store_place(s, o->kind, o->name, &found);
        if (found) {
                if (o->user && !s->objects[i]->user && o->kind != POLICY_PROFILE && o->kind != POLICY_PROJECT)
                        return fault_set(err, o->source, 0, 0, "'%s' exists and belongs to the system", o->name);
                store_object_free(s->objects[i]);
                s->objects[i] = o;
                return 0;
        }
        if (s->n_objects >= STORE_OBJECTS_MAX) {
                fault_set(err, o->source, 0, 0, "more than %d policy files", STORE_OBJECTS_MAX);
                return POLICY_E_LIMIT;
        }
        if (s->n_objects == s->cap_objects) {
                cap = MAX_OF(s->cap_objects * 2, (size_t)64);
                objects = reallocarray(s->objects, cap, sizeof(struct store_object *));
                if (!objects)
                        return err_raise(-ENOMEM);
                s->objects = objects;
                s->cap_objects = cap;
        }
        memmove(&s->objects[i + 1], &s->objects[i], (s->n_objects - i) * sizeof(*s->objects));
        s->objects[i] = o;
        s->n_objects++;
        return 0;
}

int policy_store_add(struct policy_store *s, enum policy_kind kind, const char *name, const char *text, size_t n,
                     const char *source, bool user, struct policy_error *err) {
        _cleanup_(store_object_freep) struct store_object *o = NULL;
        int r;

        if (!store_name_is_good(name))
                return fault_set(err, source, 0, 0, "'%.140s' is no name: letters, digits, '_', '.' and '-', at most %d",
                                 name, STORE_NAME_MAX);
        o = calloc(1, sizeof(*o));
        if (!o)
                return err_raise(-ENOMEM);
        o->kind = kind;
        o->user = user;
        o->name = strdup(name);
        o->source = strdup(source);
        if (!o->name || !o->source)
                return err_raise(-ENOMEM);
        r = store_parse(&o->arena, kind, name, text, n, source, &o->root, err);
        if (!r)
                r = store_insert(s, o, err);
        if (r)
                return r < 0 ? err_pass(r) : r;
        o = NULL; /* the store's now */
        return kind == POLICY_CEILING ? store_update_ceiling(s) : 0;
}
