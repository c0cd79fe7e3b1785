/*
 * Lexical paths.
 * Runs as: the user, in the broker.   Input: strings of hostile processes, NUL-terminated and bounded by the reader.
 */
#include "daemon/broker/path.h"

#include <limits.h>
#include <string.h>

#include "common/cleanup.h"

void path_copy(char *ret, const char *path) {
        size_t n = strnlen(path, PATH_BYTES - 1);

        memcpy(ret, path, n);
        ret[n] = '\0';
}

int path_join(const char *base, const char *path, char *ret) {
        size_t n_path = strnlen(path, PATH_BYTES), n_base;

        if (n_path == 0 || n_path >= PATH_BYTES)
                return PATH_E_INVALID;
        if (path[0] == '/') {
                memcpy(ret, path, n_path + 1);
                return 0;
        }
        n_base = strnlen(base, PATH_BYTES);
        if (n_base == 0 || base[0] != '/' || n_base + 1 + n_path >= PATH_BYTES)
                return PATH_E_INVALID;
        memcpy(ret, base, n_base);
        ret[n_base] = '/';
        memcpy(ret + n_base + 1, path, n_path + 1);
        return 0;
}

int path_normalise(const char *path, char *ret) {
        size_t n = 0;

        if (path[0] != '/')
                return PATH_E_INVALID;
        for (const char *s = path; *s;) {
                size_t len;

                s += strspn(s, "/");
                len = strcspn(s, "/");
                if (len == 2 && s[0] == '.' && s[1] == '.') {
                        while (n > 0 && ret[--n] != '/')
                                ;
                } else if (len > 0 && !(len == 1 && s[0] == '.')) {
                        if (n + 1 + len >= PATH_BYTES)
                                return PATH_E_INVALID;
                        ret[n++] = '/';
                        memcpy(ret + n, s, len);
                        n += len;
                }
                s += len;
        }
        if (n == 0)
                ret[n++] = '/';
        ret[n] = '\0';
        return 0;
}

bool path_is_below(const char *path, const char *prefix) {
        size_t n = strlen(prefix);

        if (n == 1) /* "/" */
                return true;
        return strncmp(path, prefix, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

int path_split(const char *path, char *parent, const char **ret_name, size_t *ret_n, bool *ret_directory) {
        size_t end = strnlen(path, PATH_BYTES), begin;

        if (end == 0 || end >= PATH_BYTES || path[0] != '/')
                return PATH_E_INVALID;
        *ret_directory = path[end - 1] == '/';
        while (end > 0 && path[end - 1] == '/')
                end--;
        for (begin = end; begin > 0 && path[begin - 1] != '/'; begin--)
                ;
        if (begin == end || end - begin > NAME_MAX)
                return PATH_E_INVALID;
        if (path[begin] == '.' && (end - begin == 1 || (end - begin == 2 && path[begin + 1] == '.')))
                return PATH_E_INVALID;
        memcpy(parent, path, begin);
        parent[begin] = '\0';
        *ret_name = path + begin;
        *ret_n = end - begin;
        return 0;
}

bool path_is_private(const char *path) {
        static const char *const own[] = { "/tmp", "/dev", "/proc" };

        for (size_t i = 0; i < ELEMENTSOF(own); i++)
                if (path_is_below(path, own[i]))
                        return true;
        return false;
}
