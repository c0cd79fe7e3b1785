/*
 * Runs as: user nono.   Input: see pathname.h.
 */
#include "daemon/service/pathname.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/policy/policy.h"

bool pathname_is_component(const char *name) {
        size_t n = strlen(name);

        return n > 0 && n <= 255 && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int pathname_join(const char *dir, const char *name, char *ret) {
        size_t n = strlen(dir), m = strlen(name);

        if (n == 1)
                n = 0; /* "/" */
        if (n + 1 + m >= POLICY_PATH_MAX)
                return -ENAMETOOLONG;
        memmove(ret, dir, n);
        ret[n] = '/';
        memcpy(ret + n + 1, name, m + 1);
        return 0;
}

int pathname_parent(const char *path, char *ret) {
        const char *slash = strrchr(path, '/');
        size_t n;

        if (!slash || !slash[1])
                return -ENOENT;
        n = slash == path ? 1 : (size_t)(slash - path);
        if (n >= POLICY_PATH_MAX)
                return -ENOENT;
        memmove(ret, path, n);
        ret[n] = '\0';
        return 0;
}

const char *pathname_last(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

const char *pathname_relative(const char *path, const char *dir) {
        size_t n = strlen(dir);

        if (n == 1 && *dir == '/')
                return *path == '/' ? path + 1 : NULL;
        if (strncmp(path, dir, n) != 0)
                return NULL;
        if (path[n] == '\0')
                return path + n;
        return path[n] == '/' ? path + n + 1 : NULL;
}

bool pathname_is_below(const char *path, const char *dir) {
        return pathname_relative(path, dir) != NULL;
}

bool pathname_is_strictly_below(const char *path, const char *dir) {
        const char *rest = pathname_relative(path, dir);

        return rest && *rest;
}

int pathname_normalise(const char *dir, const char *path, char *ret) {
        char result[POLICY_PATH_MAX] = "/";

        if (!*path)
                return -EINVAL;
        if (*path != '/' && snprintf(result, sizeof(result), "%s", dir) >= (int)sizeof(result))
                return -ENAMETOOLONG;
        while (*path) {
                char name[256];
                size_t n = strcspn(path, "/");

                if (n > 255)
                        return -ENAMETOOLONG;
                memcpy(name, path, n);
                name[n] = '\0';
                path += n + (path[n] == '/');
                if (n == 0 || strcmp(name, ".") == 0)
                        continue;
                if (strcmp(name, "..") == 0)
                        (void)pathname_parent(result, result);
                else if (pathname_join(result, name, result))
                        return -ENAMETOOLONG;
        }
        memcpy(ret, result, strlen(result) + 1);
        return 0;
}
