/*
 * The person's files are parsed here and not in the daemon: text of a user never reaches a process that others share
 * without having been through the same decoder under that user's own rights. The daemon still applies its ceiling and the
 * required groups to whatever is sent.
 *
 * Runs as: the user.   Input: see profile-file.h.
 */
#include "client/profile-file.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "client/out.h"
#include "client/say.h"
#include "common/fd.h"
#include "config.h"

/* --- what ~ and $HOME are --- */

static const char *vars_keep(struct client_vars *v, char *s) {
        for (size_t i = 0; i < ELEMENTSOF(v->memory); i++)
                if (!v->memory[i])
                        return v->memory[i] = s;
        free(s);
        return NULL;
}

/* An absolute, normalised value of @name; else @home + @fallback; else NULL. */
static const char *vars_directory(struct client_vars *v, const char *name, const char *fallback) {
        const char *s = getenv(name), *home = v->policy.home;
        char *copy;

        if (s && *s == '/') {
                copy = mem_copy(s);
                for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
                        copy[n - 1] = '\0';
                if (policy_path_is_normalised(copy))
                        return vars_keep(v, copy);
                free(copy);
        }
        if (!fallback || (*fallback != '/' && !home))
                return NULL;
        copy = *fallback == '/' ? mem_copy(fallback) : mem_format("%s/%s", home, fallback);
        return vars_keep(v, copy);
}

/* os-release(5): NAME=value or NAME="value" with shell quoting. */
static const char *vars_os(struct client_vars *v, const char *text, const char *name) {
        size_t n = strlen(name);

        for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
                const char *s = line + n + 1;
                char quote = 0, *value, *out;

                if (strncmp(line, name, n) != 0 || line[n] != '=')
                        continue;
                if (*s == '"' || *s == '\'')
                        quote = *s++;
                value = out = mem_need(malloc(strcspn(s, "\n") + 1));
                for (; *s && *s != '\n' && *s != quote; s++) {
                        if (*s == '\\' && s[1] && s[1] != '\n')
                                s++;
                        *out++ = *s;
                }
                *out = '\0';
                return vars_keep(v, value);
        }
        return NULL;
}

/* Return: heap text of at most @max bytes, NUL-terminated; NULL with errno. */
static char *profile_read(const char *path, size_t max, size_t *ret_n) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        _cleanup_free_ char *text = NULL;
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0)
                return NULL;
        if (!S_ISREG(st.st_mode)) {
                errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
                return NULL;
        }
        text = mem_need(malloc(max + 2));
        n = fd_read_full(fd, text, max + 1);
        if (n < 0 || (size_t)n > max) {
                errno = n < 0 ? (int)-n : EFBIG;
                return NULL;
        }
        text[n] = '\0';
        *ret_n = (size_t)n;
        return steal_ptr(&text);
}

void client_vars_init(struct client_vars *v, const char *workdir) {
        _cleanup_free_ char *os = NULL;
        size_t n;

        *v = (struct client_vars){ .policy = { .workdir = workdir, .uid = getuid() } };
        v->policy.home = vars_directory(v, "HOME", NULL);
        if (!v->policy.home) {
                struct passwd *pw = getpwuid(getuid());

                if (pw && policy_path_is_normalised(pw->pw_dir))
                        v->policy.home = vars_keep(v, mem_copy(pw->pw_dir));
        }
        v->policy.tmpdir = vars_directory(v, "TMPDIR", "/tmp");
        v->policy.config_home = vars_directory(v, "XDG_CONFIG_HOME", ".config");
        v->policy.data_home = vars_directory(v, "XDG_DATA_HOME", ".local/share");
        v->policy.state_home = vars_directory(v, "XDG_STATE_HOME", ".local/state");
        v->policy.cache_home = vars_directory(v, "XDG_CACHE_HOME", ".cache");
        v->policy.runtime_dir = vars_directory(v, "XDG_RUNTIME_DIR", NULL);
        os = profile_read("/etc/os-release", 64 * 1024, &n);
        if (!os)
                return;
        v->policy.distro = vars_os(v, os, "ID");
        v->policy.distro_like = vars_os(v, os, "ID_LIKE");
        v->policy.os_version = vars_os(v, os, "VERSION_ID");
}

void client_vars_done(struct client_vars *v) {
        for (size_t i = 0; i < ELEMENTSOF(v->memory); i++)
                free(v->memory[i]);
        *v = (struct client_vars){ 0 };
}

/* --- the store --- */

static bool profile_stem(const char *file, char *ret, size_t cap) {
        size_t n = strlen(file);

        if (n <= 5 || n - 5 >= cap || file[0] == '.' || strcmp(file + n - 5, ".json") != 0)
                return false;
        memcpy(ret, file, n - 5);
        ret[n - 5] = '\0';
        return true;
}

/**
 * profile_add_directory() - every *.json of a directory
 * @user: files of the person's: one that does not parse is left out, as if it were not there, because another one is meant
 */
static int profile_add_directory(struct policy_store *s, const char *dir, enum policy_kind kind, const char *label,
                                 bool user) {
        _cleanup_closedir_ DIR *d = opendir(dir);
        struct dirent *e;

        if (!d)
                return errno == ENOENT || user ? 0 : PROFILE_E_UNREADABLE;
        while ((e = readdir(d))) {
                _cleanup_free_ char *path = NULL, *text = NULL, *source = NULL;
                struct policy_error error = { 0 };
                char name[256];
                size_t n;
                int r;

                if (!profile_stem(e->d_name, name, sizeof(name)))
                        continue;
                path = mem_format("%s/%s", dir, e->d_name);
                source = user ? mem_copy(path) : mem_format("%s/%s", label, e->d_name);
                text = profile_read(path, POLICY_TEXT_MAX, &n);
                if (!text && user)
                        continue;
                if (!text)
                        return PROFILE_E_UNREADABLE;
                r = policy_store_add(s, kind, name, text, n, source, user, &error);
                if (r < 0)
                        return say_errno(r, "policy");
                if (r && !user)
                        return say_error("%s:%u:%u: %s", error.source, error.line, error.column, error.message);
        }
        return 0;
}

/* The shipped policy of one directory. */
static int profile_add_shipped(struct policy_store *s, const char *dir) {
        static const struct {
                const char *name;
                enum policy_kind kind;
        } parts[] = { { "groups", POLICY_GROUP }, { "network", POLICY_NETWORK }, { "profiles", POLICY_PROFILE } };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                _cleanup_free_ char *path = mem_format("%s/%s", dir, parts[i].name);

                r = profile_add_directory(s, path, parts[i].kind, parts[i].name, false);
                if (r)
                        return r;
        }
        return 0;
}

/* $NONO_POLICY_DIR (build trees; several with ':') or where they are installed. */
static int profile_add_all_shipped(struct policy_store *s) {
        const char *dirs = getenv("NONO_POLICY_DIR");
        int r;

        dirs = dirs && *dirs ? dirs : NONOD_POLICY_DIR;
        for (const char *p = dirs; *p;) {
                size_t n = strcspn(p, ":");
                _cleanup_free_ char *dir = mem_format("%.*s", (int)n, p);

                r = n > 0 ? profile_add_shipped(s, dir) : 0;
                if (r)
                        return r;
                p += n + (p[n] == ':');
        }
        return 0;
}

static char *profile_own_directory(const struct client_vars *v) {
        return v->policy.config_home ? mem_format("%s/nono/profiles", v->policy.config_home) : NULL;
}

/* The path of the person's own profile of that name, when it exists. */
static char *profile_own_path(const char *name, const struct client_vars *v) {
        _cleanup_free_ char *dir = profile_own_directory(v), *path = NULL;

        if (!dir || strchr(name, '/') || name[0] == '.')
                return NULL;
        path = mem_format("%s/%s.json", dir, name);
        return access(path, F_OK) == 0 ? steal_ptr(&path) : NULL;
}

static bool profile_is_path(const char *profile) {
        size_t n = strlen(profile);

        return strchr(profile, '/') || (n > 5 && strcmp(profile + n - 5, ".json") == 0);
}

bool profile_is_file(const char *profile, const struct client_vars *v) {
        _cleanup_free_ char *own = profile_is_path(profile) ? NULL : profile_own_path(profile, v);

        return own || profile_is_path(profile);
}

/* Adds the one file that is meant; its errors are the person's to read. */
static int profile_add_file(struct policy_store *s, const char *path, const char *name) {
        _cleanup_free_ char *text = NULL, *shown = out_escaped(path);
        struct policy_error error = { 0 };
        size_t n = 0;
        int r;

        text = profile_read(path, POLICY_TEXT_MAX, &n);
        if (!text && errno == EFBIG)
                return say_error("%s: a profile has at most %d bytes", shown, POLICY_TEXT_MAX);
        if (!text)
                return say_error("%s: %s", shown, errno == EINVAL ? "not a regular file" : strerror(errno));
        r = policy_store_add(s, POLICY_PROFILE, name, text, n, path, true, &error);
        if (r < 0)
                return say_errno(r, "policy");
        if (r)
                return say_error("%s:%u:%u: %s", error.source, error.line, error.column, error.message);
        return 0;
}

static int profile_compile(const struct policy_store *s, const char *name, const struct client_vars *v, bool user,
                           struct policy_plan **ret) {
        struct policy_error error = { 0 };
        int r;

        r = policy_compile(s, name, &v->policy, ret, &error);
        if (r < 0)
                return say_errno(r, "policy");
        if (r == POLICY_E_NOT_FOUND && !user)
                return PROFILE_E_UNREADABLE;
        if (r && error.line)
                return say_error("%s:%u:%u: %s", error.source, error.line, error.column, error.message);
        if (r)
                return say_error("%s%s%s", error.source, *error.source ? ": " : "", error.message);
        return 0;
}

int profile_load(const char *profile, const struct client_vars *v, struct policy_plan **ret, bool *ret_user) {
        _cleanup_(policy_store_freep) struct policy_store *s = mem_need(policy_store_new());
        _cleanup_free_ char *own = profile_is_path(profile) ? mem_copy(profile) : profile_own_path(profile, v), *dir = NULL;
        char name[256];
        int r;

        *ret_user = own != NULL;
        r = profile_add_all_shipped(s);
        if (r == PROFILE_E_UNREADABLE && own)
                return say_error("the installed policy cannot be read, and '%s' may build on it", profile);
        if (r)
                return r;
        if (!own)
                return profile_compile(s, profile, v, false, ret);
        dir = profile_own_directory(v);
        r = dir ? profile_add_directory(s, dir, POLICY_PROFILE, "profiles", true) : 0;
        if (r)
                return r;
        {
                const char *file = strrchr(own, '/') ? strrchr(own, '/') + 1 : own;

                if (!profile_stem(file, name, sizeof(name)))
                        snprintf(name, sizeof(name), "%s", file);
        }
        r = profile_add_file(s, own, name);
        return r ? r : profile_compile(s, name, v, true, ret);
}
