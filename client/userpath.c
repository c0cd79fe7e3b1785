/*
 * Paths are made absolute here, where the person's working directory is known, and with the person's rights; the broker
 * opens them again with the same rights and judges what it opened, so nothing depends on the answers given here.
 * Runs as: the user.   Input: see userpath.h.
 */
#include "client/userpath.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/out.h"
#include "client/say.h"
#include "daemon/policy/policy.h"

static int userpath_bad(const char *what, const char *raw, const char *why) {
        _cleanup_free_ char *shown = out_escaped(raw);

        return say_error("%s: '%s': %s", what, shown, why);
}

/* Resolves all but a last component that is a plain name. Return: heap path; NULL with errno. */
static char *userpath_absolute(const char *raw) {
        _cleanup_free_ char *copy = mem_copy(raw), *parent = NULL;
        char *end = copy + strlen(copy), *last;

        while (end > copy + 1 && end[-1] == '/')
                *--end = '\0';
        last = strrchr(copy, '/');
        last = last ? last + 1 : copy;
        if (!*last || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
                return realpath(raw, NULL);
        if (last == copy)
                parent = realpath(".", NULL);
        else {
                char saved = *last;

                *last = '\0';
                parent = realpath(copy, NULL);
                *last = saved;
        }
        if (!parent)
                return NULL;
        return mem_format("%s/%s", strcmp(parent, "/") == 0 ? "" : parent, last);
}

int userpath_resolve(const char *what, const char *raw, enum userpath_kind kind, char **ret) {
        _cleanup_free_ char *path = NULL;
        struct stat st;

        if (!*raw)
                return say_error("%s: the path is empty", what);
        if (strlen(raw) >= POLICY_PATH_MAX)
                return userpath_bad(what, raw, "the path is too long");
        path = userpath_absolute(raw);
        if (!path || stat(path, &st) < 0)
                return userpath_bad(what, raw, strerror(errno));
        if (kind == USERPATH_DIRECTORY && !S_ISDIR(st.st_mode)) {
                (void)userpath_bad(what, raw, "not a directory");
                say_hint("for a single file there is %s", strcmp(what, "--read") == 0    ? "--read-file"
                                                          : strcmp(what, "--write") == 0 ? "--write-file"
                                                                                         : "--allow-file");
                return CLIENT_E_TOLD;
        }
        if (kind == USERPATH_FILE && S_ISDIR(st.st_mode)) {
                (void)userpath_bad(what, raw, "a directory");
                say_hint("for a directory and all below it there is %s", strcmp(what, "--read-file") == 0    ? "--read"
                                                                         : strcmp(what, "--write-file") == 0 ? "--write"
                                                                                                             : "--allow");
                return CLIENT_E_TOLD;
        }
        if (!policy_path_is_normalised(path))
                return userpath_bad(what, raw, "the path is too long");
        *ret = steal_ptr(&path);
        return 0;
}

int userpath_workdir(const char *raw, char **ret) {
        _cleanup_free_ char *path = NULL;
        struct stat st;

        if (raw && !*raw)
                return say_error("--workdir: the path is empty");
        path = realpath(raw ? raw : ".", NULL);
        if (!path && !raw)
                return say_error("the working directory cannot be used: %s",
                                 errno == ENOENT ? "it was deleted" : strerror(errno));
        if (!path || stat(path, &st) < 0)
                return userpath_bad("--workdir", raw ? raw : ".", strerror(errno));
        if (!S_ISDIR(st.st_mode))
                return userpath_bad("--workdir", raw ? raw : ".", "not a directory");
        *ret = steal_ptr(&path);
        return 0;
}

/* Return: 0; -ENOENT; -EACCES, -EISDIR: there, but nothing to execute. */
static int userpath_try(const char *path) {
        struct stat st;

        if (stat(path, &st) < 0)
                return errno == EACCES ? -EACCES : -ENOENT;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : -EACCES;
}

static int userpath_found(const char *path, char **ret) {
        *ret = policy_path_is_normalised(path) ? mem_copy(path) : userpath_absolute(path);
        if (*ret && policy_path_is_normalised(*ret))
                return 0;
        return say_error("the path of the program is too long"), EXIT_NOT_FOUND;
}

static int userpath_not(const char *name, int r) {
        _cleanup_free_ char *shown = out_escaped(name);

        switch (r) {
        case -EISDIR:
                (void)say_error("%s: is a directory", shown);
                return EXIT_NOT_EXECUTABLE;
        case -EACCES:
                (void)say_error("%s: permission denied", shown);
                return EXIT_NOT_EXECUTABLE;
        default:
                (void)say_error("%s: %s", shown, strchr(name, '/') ? "no such file" : "command not found");
                return EXIT_NOT_FOUND;
        }
}

int userpath_program(const char *name, char **ret) {
        const char *path = getenv("PATH");
        int r = *name ? userpath_try(name) : -ENOENT, worst = -ENOENT;

        if (strchr(name, '/') || !*name)
                return r ? userpath_not(name, r) : userpath_found(name, ret);
        for (const char *p = path ? path : "/usr/local/bin:/usr/bin:/bin";; p++) {
                size_t n = strcspn(p, ":");
                /* an empty entry is the current directory, to every shell */
                _cleanup_free_ char *one = mem_format("%.*s%s%s", (int)n, p, n > 0 ? "/" : "./", name);

                r = userpath_try(one);
                if (r == 0)
                        return userpath_found(one, ret);
                if (r == -EACCES)
                        worst = r; /* a later directory may still have it, as in execvp(3) */
                p += n;
                if (!*p)
                        break;
        }
        return userpath_not(name, worst);
}
