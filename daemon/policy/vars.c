/*
 * The names are a closed table: a name nobody knows is an error at load, because a deny that silently
 * names nothing protects nothing.
 * Runs as: anyone.   Input: foreign text.
 */
#include "daemon/policy/vars.h"

#include <stddef.h>
#include <string.h>

#include "daemon/policy/fault.h"
#include "daemon/policy/node.h"

static const struct vars_name {
        const char *name;
        size_t offset;      /* of the value in struct policy_vars */
        const char *suffix; /* appended to the value */
} vars_names[] = {
        { "HOME", offsetof(struct policy_vars, home), "" },
        { "WORKDIR", offsetof(struct policy_vars, workdir), "" },
        { "TMPDIR", offsetof(struct policy_vars, tmpdir), "" },
        { "XDG_CONFIG_HOME", offsetof(struct policy_vars, config_home), "" },
        { "XDG_DATA_HOME", offsetof(struct policy_vars, data_home), "" },
        { "XDG_STATE_HOME", offsetof(struct policy_vars, state_home), "" },
        { "XDG_CACHE_HOME", offsetof(struct policy_vars, cache_home), "" },
        { "XDG_RUNTIME_DIR", offsetof(struct policy_vars, runtime_dir), "" },
        { "NONO_CONFIG", offsetof(struct policy_vars, config_home), "/nono" },
        { "NONO_PACKAGES", offsetof(struct policy_vars, config_home), "/nono/packages" },
};

/* Known, but without a value here: $PACK_DIR names a place that only nono's packs have. */
static const char *const vars_without_value[] = { "PACK_DIR" };

static size_t vars_name_length(const char *s) {
        return strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
}

static const struct vars_name *vars_find(const char *s, size_t n) {
        for (size_t i = 0; i < ELEMENTSOF(vars_names); i++)
                if (strlen(vars_names[i].name) == n && memcmp(vars_names[i].name, s, n) == 0)
                        return &vars_names[i];
        return NULL;
}

static bool vars_is_known(const char *s, size_t n) {
        for (size_t i = 0; i < ELEMENTSOF(vars_without_value); i++)
                if (strlen(vars_without_value[i]) == n && memcmp(vars_without_value[i], s, n) == 0)
                        return true;
        return (n == 3 && memcmp(s, "UID", 3) == 0) || vars_find(s, n);
}

static const char *vars_value(const struct vars_name *name, const struct policy_vars *vars) {
        return *(const char *const *)((const char *)vars + name->offset);
}

bool vars_is_pattern(const char *text) {
        return strpbrk(text, "*?") != NULL;
}

static const char *vars_fault(const char *text, size_t *ret_at) {
        const char *s = text;

        *ret_at = 0;
        if (strnlen(text, POLICY_PATH_MAX) >= POLICY_PATH_MAX)
                return "is longer than a path can be";
        if (*s == '~') {
                if (s[1] && s[1] != '/')
                        return "names the home of another user, expected ~/ or an absolute path";
                s++;
        } else if (*s != '/' && *s != '$' && strncmp(s, "**/", 3) != 0) {
                return "is relative, expected an absolute path, ~/, $VARIABLE or a pattern that starts with **/";
        }
        if (*text == '$') {
                size_t n = vars_name_length(text + 1);

                if (n == 3 && memcmp(text + 1, "UID", 3) == 0)
                        return "is relative, expected an absolute path";
        }
        for (const char *dollar = strchr(s, '$'); dollar; dollar = strchr(dollar + 1, '$')) {
                size_t n = vars_name_length(dollar + 1);

                *ret_at = (size_t)(dollar - text);
                if (n == 0)
                        return "has a '$' without a variable name";
                if (!vars_is_known(dollar + 1, n))
                        return "uses an unknown variable";
        }
        for (const char *c = text; *c;) {
                size_t n = strcspn(c, "/");
                const char *next = c + n;

                *ret_at = (size_t)(c - text);
                if ((n == 1 && c[0] == '.') || (n == 2 && c[0] == '.' && c[1] == '.'))
                        return "has a '.' or '..' component";
                if (n == 0 && c != text)
                        return "has an empty component ('//')";
                c = *next ? next + 1 : next;
        }
        return NULL;
}

int vars_check_path(const struct node *item, struct policy_error *err) {
        const struct node *n = item->type == NODE_OBJECT ? node_get(item, "path") : item;
        const char *fault;
        size_t at;

        if (!n || !*n->string) /* an empty text names nothing; the linter says so */
                return 0;
        fault = vars_fault(n->string, &at);
        if (!fault)
                return 0;
        return fault_set(err, n->source, n->line, n->column + 1 + (unsigned)at, "path '%.200s' %s", n->string, fault);
}

bool vars_are_sane(const struct policy_vars *vars, const char **ret_name) {
        for (size_t i = 0; i < ELEMENTSOF(vars_names); i++) {
                const char *value = vars_value(&vars_names[i], vars);

                if (value && !policy_path_is_normalised(value)) {
                        *ret_name = vars_names[i].name;
                        return false;
                }
        }
        return true;
}

static bool vars_put(char *out, size_t cap, size_t *at, const char *s, size_t n) {
        if (n >= cap - *at)
                return false;
        memcpy(out + *at, s, n);
        *at += n;
        out[*at] = '\0';
        return true;
}

/* One variable; "/" as a value must not produce "//". */
static int vars_put_value(const struct vars_name *name, const struct policy_vars *vars, bool in_pattern,
                          const char *rest, char *out, size_t cap, size_t *at) {
        const char *value = vars_value(name, vars);
        size_t n;

        if (!value)
                return VARS_E_UNSET;
        if (in_pattern && vars_is_pattern(value))
                return VARS_E_BAD;
        n = strlen(value);
        if (n == 1 && (*rest == '/' || *name->suffix == '/'))
                n = 0;
        if (!vars_put(out, cap, at, value, n) || !vars_put(out, cap, at, name->suffix, strlen(name->suffix)))
                return VARS_E_BAD;
        return 0;
}

int vars_expand(const char *text, const struct policy_vars *vars, char *out, size_t cap) {
        bool pattern = vars_is_pattern(text);
        const char *s = text;
        size_t at = 0;
        int r;

        *out = '\0';
        if (strncmp(s, "**/", 3) == 0 && !vars_put(out, cap, &at, "/", 1))
                return VARS_E_BAD;
        if (*s == '~') {
                r = vars_put_value(&vars_names[0], vars, pattern, s + 1, out, cap, &at);
                if (r)
                        return r;
                s++;
        }
        while (*s) {
                size_t n = strcspn(s, "$");
                const struct vars_name *name;
                char uid[16];

                if (!vars_put(out, cap, &at, s, n))
                        return VARS_E_BAD;
                s += n;
                if (!*s)
                        break;
                n = vars_name_length(s + 1);
                if (n == 3 && memcmp(s + 1, "UID", 3) == 0) {
                        int len = snprintf(uid, sizeof(uid), "%u", vars->uid);

                        if (!vars_put(out, cap, &at, uid, (size_t)len))
                                return VARS_E_BAD;
                } else {
                        name = vars_find(s + 1, n);
                        if (!name)
                                return VARS_E_UNSET;
                        r = vars_put_value(name, vars, pattern, s + 1 + n, out, cap, &at);
                        if (r)
                                return r;
                }
                s += 1 + n;
        }
        if (at > 1 && out[at - 1] == '/')
                out[--at] = '\0';
        return policy_path_is_normalised(out) ? 0 : VARS_E_BAD;
}
