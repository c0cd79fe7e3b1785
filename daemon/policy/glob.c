/*
 * Patterns are judged per component: '*' and '?' never see a slash, a component "**" stands for any
 * number of components (at the end: at least one). Only the last star of each kind is ever retried,
 * which is enough and keeps the cost at length times length without recursion.
 * Runs as: anyone.   Input: patterns of policy files, paths of anyone.
 */
#include "daemon/policy/glob.h"

#include <string.h>

#include "daemon/policy/policy.h"

enum glob_want { GLOB_WHOLE, GLOB_COVER, GLOB_BELOW };

/* One component: @p has n_p bytes, @s has n_s. '?' takes one UTF-8 character, or one stray byte. */
static bool glob_component(const char *p, size_t n_p, const char *s, size_t n_s) {
        size_t i = 0, j = 0, star = SIZE_MAX, mark = 0;

        while (j < n_s) {
                if (i < n_p && p[i] == '*') {
                        star = ++i;
                        mark = j;
                } else if (i < n_p && p[i] == '?') {
                        i++;
                        j++;
                        while (j < n_s && ((unsigned char)s[j] & 0xc0) == 0x80)
                                j++;
                } else if (i < n_p && p[i] == s[j]) {
                        i++;
                        j++;
                } else if (star != SIZE_MAX) {
                        i = star;
                        j = ++mark;
                } else {
                        return false;
                }
        }
        while (i < n_p && p[i] == '*')
                i++;
        return i == n_p;
}

/* Both pointers stand at the start of a component or at the end. */
static const char *glob_next(const char *s, size_t len) {
        s += len;
        return *s == '/' ? s + 1 : s;
}

static bool glob_run(const char *p, const char *s, enum glob_want want) {
        const char *retry_p = NULL, *retry_s = NULL;

        if (*s != '/' || (*p != '/' && strncmp(p, "**/", 3) != 0))
                return false;
        s++;
        if (*p == '/')
                p++;
        for (;;) {
                size_t n_p = strcspn(p, "/"), n_s = strcspn(s, "/");

                if (n_p == 2 && p[0] == '*' && p[1] == '*') {
                        if (want == GLOB_BELOW)
                                return true;
                        p = glob_next(p, n_p);
                        if (!*p)
                                return *s != '\0';
                        retry_p = p;
                        retry_s = s;
                        continue;
                }
                if (!*p) {
                        if (want == GLOB_COVER || (want == GLOB_WHOLE && !*s))
                                return true;
                } else if (!*s) {
                        return want == GLOB_BELOW;
                } else if (glob_component(p, n_p, s, n_s)) {
                        p = glob_next(p, n_p);
                        s = glob_next(s, n_s);
                        continue;
                }
                if (!retry_p || !*retry_s)
                        return false;
                retry_s = glob_next(retry_s, strcspn(retry_s, "/"));
                p = retry_p;
                s = retry_s;
        }
}

bool policy_glob_match(const char *pattern, const char *path) {
        return glob_run(pattern, path, GLOB_WHOLE);
}

bool policy_glob_covers(const char *pattern, const char *path) {
        return glob_run(pattern, path, GLOB_COVER);
}

bool policy_glob_reaches_below(const char *pattern, const char *path) {
        return glob_run(pattern, path, GLOB_BELOW);
}
