/*
 * Host names of network rules.
 * Runs as: anyone.   Input: names of policy files, names that programs ask for.
 */
#include <string.h>
#include <strings.h>

#include "daemon/policy/policy.h"

static size_t host_length(const char *s) {
        size_t n = strlen(s);

        return n > 0 && s[n - 1] == '.' ? n - 1 : n;
}

bool policy_host_match(const char *pattern, const char *host) {
        size_t n_pattern = host_length(pattern), n_host = host_length(host);

        if (n_host == 0)
                return false;
        if (strncmp(pattern, "*.", 2) != 0)
                return n_pattern == n_host && strncasecmp(pattern, host, n_host) == 0;
        if (n_pattern < 3)
                return false;
        n_pattern--; /* the star; its dot has to match */
        return n_host > n_pattern && strncasecmp(pattern + 1, host + n_host - n_pattern, n_pattern) == 0;
}
