/*
 * A predicate is [!]PLATFORM[:DISTRIBUTION[-like]][:COMPARISON VERSION]. What is not known about this
 * system makes the answer unknown; the caller then applies denies and leaves out grants.
 * Runs as: anyone.   Input: foreign text, checked by when_check() at load.
 */
#include "daemon/policy/when.h"

#include <string.h>

#include "daemon/policy/fault.h"
#include "daemon/policy/node.h"

enum when_compare { WHEN_ANY, WHEN_LT, WHEN_LE, WHEN_EQ, WHEN_GE, WHEN_GT };

struct when_predicate {
        bool negated;
        const char *platform, *distro, *version;
        size_t n_platform, n_distro;
        bool like;
        enum when_compare compare;
};

static enum when_compare when_operator(const char **s) {
        static const struct {
                const char *text;
                enum when_compare compare;
        } operators[] = {
                { ">=", WHEN_GE }, { "<=", WHEN_LE }, { "==", WHEN_EQ }, { ">", WHEN_GT }, { "<", WHEN_LT }, { "=", WHEN_EQ },
        };

        for (size_t i = 0; i < ELEMENTSOF(operators); i++) {
                size_t n = strlen(operators[i].text);

                if (strncmp(*s, operators[i].text, n) == 0) {
                        *s += n;
                        return operators[i].compare;
                }
        }
        return WHEN_ANY;
}

static bool when_is_word(const char *s, size_t n) {
        if (n == 0)
                return false;
        for (size_t i = 0; i < n; i++)
                if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789._-", s[i]))
                        return false;
        return true;
}

static bool when_is_version(const char *s) {
        return *s >= '0' && *s <= '9' && s[strspn(s, "0123456789.")] == '\0';
}

static bool when_parse(const char *s, struct when_predicate *ret) {
        struct when_predicate p = { .compare = WHEN_ANY };
        size_t n;

        if (*s == '!') {
                p.negated = true;
                s++;
        }
        p.platform = s;
        p.n_platform = n = strcspn(s, ":");
        if (!((n == 5 && (memcmp(s, "linux", 5) == 0 || memcmp(s, "macos", 5) == 0)) ||
              (n == 7 && memcmp(s, "windows", 7) == 0)))
                return false;
        s += n;
        if (*s == ':' && !strchr("<>=", s[1])) {
                p.distro = ++s;
                n = strcspn(s, ":");
                if (!when_is_word(s, n))
                        return false;
                p.n_distro = n;
                if (n > 5 && memcmp(s + n - 5, "-like", 5) == 0) {
                        p.like = true;
                        p.n_distro -= 5;
                }
                s += n;
        }
        if (*s == ':') {
                s++;
                p.compare = when_operator(&s);
                p.version = s;
                if (p.compare == WHEN_ANY || !when_is_version(s))
                        return false;
                s += strlen(s);
        }
        *ret = p;
        return *s == '\0';
}

/* Dotted numbers; missing parts count as 0. */
static int when_version_compare(const char *a, const char *b) {
        while (*a || *b) {
                char *end_a, *end_b;
                unsigned long x = strtoul(a, &end_a, 10), y = strtoul(b, &end_b, 10);

                if (x != y)
                        return x < y ? -1 : 1;
                a = *end_a == '.' ? end_a + 1 : "";
                b = *end_b == '.' ? end_b + 1 : "";
        }
        return 0;
}

static bool when_compare_holds(enum when_compare c, int order) {
        switch (c) {
        case WHEN_LT:
                return order < 0;
        case WHEN_LE:
                return order <= 0;
        case WHEN_EQ:
                return order == 0;
        case WHEN_GE:
                return order >= 0;
        case WHEN_GT:
                return order > 0;
        case WHEN_ANY:
                break;
        }
        return true;
}

static bool when_has_word(const char *list, const char *word, size_t n) {
        while (list && *list) {
                size_t len = strcspn(list, " ");

                if (len == n && memcmp(list, word, n) == 0)
                        return true;
                list += len + (list[len] == ' ');
        }
        return false;
}

static enum when_answer when_plain(const struct when_predicate *p, const struct policy_vars *vars) {
        const char *here = vars->macos ? "macos" : "linux";

        if (p->n_platform != strlen(here) || memcmp(p->platform, here, p->n_platform) != 0)
                return WHEN_NO;
        if (p->distro) {
                if (!vars->distro)
                        return WHEN_UNKNOWN;
                if (!when_has_word(vars->distro, p->distro, p->n_distro) &&
                    !(p->like && when_has_word(vars->distro_like, p->distro, p->n_distro)))
                        return WHEN_NO;
        }
        if (p->compare == WHEN_ANY)
                return WHEN_YES;
        if (!vars->os_version || !when_is_version(vars->os_version))
                return WHEN_UNKNOWN;
        return when_compare_holds(p->compare, when_version_compare(vars->os_version, p->version)) ? WHEN_YES : WHEN_NO;
}

static enum when_answer when_one(const char *s, const struct policy_vars *vars) {
        struct when_predicate p;
        enum when_answer answer;

        if (!s || !when_parse(s, &p))
                return WHEN_UNKNOWN;
        answer = when_plain(&p, vars);
        if (!p.negated || answer == WHEN_UNKNOWN)
                return answer;
        return answer == WHEN_YES ? WHEN_NO : WHEN_YES;
}

enum when_answer when_holds(const struct node *when, const struct policy_vars *vars) {
        enum when_answer best = WHEN_NO;

        if (!when)
                return WHEN_YES;
        if (when->type == NODE_STRING)
                return when_one(when->string, vars);
        node_foreach(item, when) {
                enum when_answer answer = when_one(node_string(item), vars);

                if (answer == WHEN_YES)
                        return WHEN_YES;
                if (answer == WHEN_UNKNOWN)
                        best = WHEN_UNKNOWN;
        }
        return best;
}

static int when_check_one(const struct node *n, struct policy_error *err) {
        struct when_predicate p;

        if (n->type == NODE_STRING && when_parse(n->string, &p))
                return 0;
        return fault_set(err, n->source, n->line, n->column,
                         "'when': '%s' is no predicate, expected for example linux, macos:>=15 or !linux:nixos",
                         n->type == NODE_STRING ? n->string : "");
}

int when_check(const struct node *when, struct policy_error *err) {
        int r = 0;

        if (!when)
                return 0;
        if (when->type != NODE_LIST)
                return when_check_one(when, err);
        for (const struct node *item = when->child; item && !r; item = item->next)
                r = when_check_one(item, err);
        return r;
}
