/*
 * What counts as a normal path. Everything behind policy_plan_add() may compare paths byte by byte.
 * Runs as: anyone.   Input: foreign paths.
 */
#include <string.h>

#include "daemon/policy/policy.h"

bool policy_path_is_normalised(const char *path) {
        size_t n = strnlen(path, POLICY_PATH_MAX);

        if (n == 0 || n >= POLICY_PATH_MAX || path[0] != '/')
                return false;
        if (n == 1)
                return true;
        for (const char *s = path; *s;) { /* s is on a slash */
                size_t len = strcspn(s + 1, "/");

                if (len == 0 || (len == 1 && s[1] == '.') || (len == 2 && s[1] == '.' && s[2] == '.'))
                        return false;
                s += 1 + len;
        }
        return true;
}
