/*
 * A difference is taken between two shown profiles, so what people read and what is compared is the same.
 * Runs as: anyone.   Input: JSON made by show.c.
 */
#include <string.h>

#include "common/error.h"
#include "daemon/policy/show.h"

static json_t *diff_missing_items(const json_t *from, const json_t *in) {
        json_t *out = json_array(), *item, *other;
        size_t i, k;

        json_array_foreach(from, i, item) {
                bool found = false;

                json_array_foreach(in, k, other)
                        found |= json_equal(item, other);
                if (!found)
                        (void)json_array_append(out, item);
        }
        return out;
}

static json_t *diff_lists(const json_t *a, const json_t *b) {
        json_t *out = json_object();

        (void)json_object_set_new(out, "added", diff_missing_items(b, a));
        (void)json_object_set_new(out, "removed", diff_missing_items(a, b));
        return out;
}

static json_t *diff_values(json_t *a, json_t *b) {
        json_t *out = json_object();

        (void)json_object_set_new(out, "profile1", a ? json_incref(a) : json_null());
        (void)json_object_set_new(out, "profile2", b ? json_incref(b) : json_null());
        (void)json_object_set_new(out, "changed", json_boolean(a && b ? !json_equal(a, b) : a != b));
        return out;
}

/* Maps whose member names people choose: names added, removed, and those whose value differs. */
static json_t *diff_maps(json_t *a, json_t *b) {
        json_t *out = json_object(), *added = json_array(), *removed = json_array(), *changed = json_array(), *value;
        const char *key;

        json_object_foreach(b, key, value) {
                json_t *old = json_object_get(a, key);

                if (!old)
                        (void)json_array_append_new(added, json_string(key));
                else if (!json_equal(old, value))
                        (void)json_array_append_new(changed, json_string(key));
        }
        json_object_foreach(a, key, value)
                if (!json_object_get(b, key))
                        (void)json_array_append_new(removed, json_string(key));
        (void)json_object_set_new(out, "added", added);
        (void)json_object_set_new(out, "removed", removed);
        (void)json_object_set_new(out, "changed", changed);
        return out;
}

static bool diff_is_map(const char *key) {
        static const char *const maps[] = { "env_credentials", "hooks", "custom_credentials", "set_vars" };

        for (size_t i = 0; i < ELEMENTSOF(maps); i++)
                if (strcmp(key, maps[i]) == 0)
                        return true;
        return false;
}

static json_t *diff_any(const char *key, json_t *a, json_t *b);

static json_t *diff_sections(json_t *a, json_t *b) {
        json_t *out = json_object(), *value;
        const char *key;

        json_object_foreach(a, key, value)
                (void)json_object_set_new(out, key, diff_any(key, value, json_object_get(b, key)));
        json_object_foreach(b, key, value)
                if (!json_object_get(a, key))
                        (void)json_object_set_new(out, key, diff_any(key, NULL, value));
        return out;
}

static json_t *diff_any(const char *key, json_t *a, json_t *b) {
        const json_t *one = a ? a : b;

        if (json_is_array(one) && (!b || json_is_array(b)))
                return diff_lists(a, b);
        if (diff_is_map(key))
                return diff_maps(a, b);
        if (json_is_object(one) && (!b || json_is_object(b)))
                return diff_sections(a, b);
        return diff_values(a, b);
}

int show_diff(const struct policy_store *s, const char *a, const char *b, const struct policy_vars *vars, json_t **ret,
              struct policy_error *err) {
        json_t *one = NULL, *two = NULL, *parts, *out, *value;
        const char *key;
        int r;

        r = show_profile(s, a, vars, &one, err);
        if (!r)
                r = show_profile(s, b, vars, &two, err);
        if (r) {
                json_decref(one);
                return r < 0 ? err_pass(r) : r;
        }
        out = json_object();
        (void)json_object_set_new(out, "profile1", json_string(a));
        (void)json_object_set_new(out, "profile2", json_string(b));
        (void)json_object_del(one, "name");
        (void)json_object_del(two, "name");
        parts = diff_sections(one, two);
        /* What nono has at the top is at the top here. */
        (void)json_object_set(out, "groups", json_object_get(json_object_get(parts, "groups"), "include"));
        (void)json_object_set(out, "excluded_groups", json_object_get(json_object_get(parts, "groups"), "exclude"));
        (void)json_object_set(out, "allowed_commands", json_object_get(json_object_get(parts, "commands"), "allow"));
        (void)json_object_set(out, "workdir", json_object_get(json_object_get(parts, "workdir"), "access"));
        (void)json_object_del(json_object_get(parts, "security"), "groups"); /* said already */
        (void)json_object_del(json_object_get(parts, "security"), "allowed_commands");
        value = json_object_get(json_object_get(parts, "security"), "capability_elevation");
        if (value)
                (void)json_object_set(out, "capability_elevation", value);
        json_object_foreach(parts, key, value)
                if (!json_object_get(out, key))
                        (void)json_object_set(out, key, value);
        json_decref(parts);
        json_decref(one);
        json_decref(two);
        *ret = out;
        return 0;
}

bool show_diff_is_empty(const json_t *diff) {
        const char *key;
        json_t *value;

        if (json_is_true(json_object_get(diff, "changed")) || json_array_size(json_object_get(diff, "changed")) ||
            json_array_size(json_object_get(diff, "added")) || json_array_size(json_object_get(diff, "removed")))
                return false;
        if (json_object_get(diff, "changed") || json_object_get(diff, "added"))
                return true;
        json_object_foreach((json_t *)diff, key, value)
                if (json_is_object(value) && !show_diff_is_empty(value))
                        return false;
        return true;
}
