/*
 * Unlike a session, which needs one profile, these verbs look at all of them: a broken file of the
 * person's is listed with its error and hides nothing else.
 * Runs as: the user.   Input: see library.h.
 */
#include "client/library.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "client/out.h"
#include "client/say.h"
#include "common/fd.h"
#include "config.h"

int library_tell(const struct policy_error *err) {
        if (err->line)
                return say_error("%s:%u:%u: %s", err->source, err->line, err->column, err->message);
        return say_error("%s%s%s", err->source, *err->source ? ": " : "", err->message);
}

static char *library_error_text(const struct policy_error *err) {
        return err->line ? mem_format("%s:%u:%u: %s", err->source, err->line, err->column, err->message)
                         : mem_format("%s: %s", err->source, err->message);
}

/*
 * @foreign: may the file belong to just anybody: one that the person named may, one that merely lies in the directory
 * of profiles must be the person's or root's (else EPERM).
 * Return: heap text; NULL with errno (EFBIG: longer than a policy file may be).
 */
static char *library_slurp(const char *path, bool foreign, size_t *ret_n) {
        _cleanup_close_ int fd = strcmp(path, "-") == 0 ? fd_dup(STDIN_FILENO)
                                                        : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        _cleanup_free_ char *text = mem_need(malloc(POLICY_TEXT_MAX + 2));
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0)
                return NULL;
        if (S_ISDIR(st.st_mode)) {
                errno = EISDIR;
                return NULL;
        }
        if (!foreign && st.st_uid != getuid() && st.st_uid != 0) {
                errno = EPERM;
                return NULL;
        }
        n = fd_read_full(fd, text, POLICY_TEXT_MAX + 1);
        if (n < 0 || n > POLICY_TEXT_MAX) {
                errno = n < 0 ? (int)-n : EFBIG;
                return NULL;
        }
        text[n] = '\0';
        *ret_n = (size_t)n;
        return steal_ptr(&text);
}

char *library_read(const char *path, size_t *ret_n) {
        char *text = library_slurp(path, true, ret_n);

        if (!text) {
                _cleanup_free_ char *shown = out_escaped(path);
                int e = errno;

                if (e == EFBIG)
                        (void)say_error("%s: a policy file has at most %d bytes", shown, POLICY_TEXT_MAX);
                else
                        (void)say_error("%s: %s", shown, strerror(e));
        }
        return text;
}

/* "a.json" and "a.jsonc" are "a". */
static char *library_stem(const char *file) {
        const char *dot = strrchr(file, '.');

        if (!dot || dot == file || (strcmp(dot, ".json") != 0 && strcmp(dot, ".jsonc") != 0))
                return NULL;
        return mem_format("%.*s", (int)(dot - file), file);
}

static struct library_profile *library_entry(struct library *l, const char *name) {
        for (size_t i = 0; i < l->n_profiles; i++)
                if (strcmp(l->profiles[i].name, name) == 0)
                        return &l->profiles[i];
        l->profiles = mem_need(reallocarray(l->profiles, l->n_profiles + 1, sizeof(*l->profiles)));
        l->profiles[l->n_profiles] = (struct library_profile){ .name = mem_copy(name) };
        return &l->profiles[l->n_profiles++];
}

static int library_add_file(struct library *l, enum policy_kind kind, const char *path, const char *name, bool user) {
        struct library_profile *entry = kind == POLICY_PROFILE ? library_entry(l, name) : NULL;
        _cleanup_free_ char *text = NULL;
        struct policy_error err = { .line = 0 };
        size_t n = 0;
        int r;

        text = library_slurp(path, !user, &n);
        if (!text && !user)
                return say_error("%s: %s", path, strerror(errno));
        if (entry && user) {
                entry->overrides = !entry->user && policy_store_has(l->store, kind, name);
                entry->user = true;
        }
        if (!text) {
                entry->error = mem_format("%s: %s", path, errno == EPERM ? "belongs to another user" : strerror(errno));
                return 0;
        }
        r = policy_store_add(l->store, kind, name, text, n, path, user, &err);
        if (r < 0)
                return say_errno(r, "policy");
        if (r && user)
                entry->error = library_error_text(&err);
        return r && !user ? library_tell(&err) : 0;
}

/* @user: a missing directory is fine. */
static int library_add_directory(struct library *l, const char *dir, enum policy_kind kind, bool user) {
        _cleanup_closedir_ DIR *d = opendir(dir);
        struct dirent *e;

        if (!d)
                return user && errno == ENOENT ? 0 : say_error("%s: %s", dir, strerror(errno));
        while ((e = readdir(d))) {
                _cleanup_free_ char *name = e->d_name[0] != '.' ? library_stem(e->d_name) : NULL, *path = NULL;
                int r;

                if (!name)
                        continue;
                path = mem_format("%s/%s", dir, e->d_name);
                r = library_add_file(l, kind, path, name, user);
                if (r)
                        return r;
        }
        return 0;
}

static int library_add_shipped(struct library *l) {
        static const struct {
                const char *name;
                enum policy_kind kind;
        } parts[] = { { "groups", POLICY_GROUP }, { "network", POLICY_NETWORK }, { "profiles", POLICY_PROFILE } };
        const char *dirs = getenv("NONO_POLICY_DIR");

        for (const char *p = dirs && *dirs ? dirs : NONOD_POLICY_DIR; *p;) {
                size_t n = strcspn(p, ":");

                for (size_t i = 0; n > 0 && i < ELEMENTSOF(parts); i++) {
                        _cleanup_free_ char *dir = mem_format("%.*s/%s", (int)n, p, parts[i].name);
                        int r = library_add_directory(l, dir, parts[i].kind, false);

                        if (r)
                                return r;
                }
                p += n + (p[n] == ':');
        }
        return 0;
}

static int library_order(const void *a, const void *b) {
        return strcmp(((const struct library_profile *)a)->name, ((const struct library_profile *)b)->name);
}

int library_load(struct library *ret) {
        _cleanup_free_ char *own = NULL;
        int r;

        *ret = (struct library){ .store = mem_need(policy_store_new()) };
        ret->workdir = getcwd(NULL, 0);
        client_vars_init(&ret->vars, ret->workdir && policy_path_is_normalised(ret->workdir) ? ret->workdir : NULL);
        r = library_add_shipped(ret);
        if (r)
                return r;
        if (ret->vars.policy.config_home) {
                own = mem_format("%s/nono/profiles", ret->vars.policy.config_home);
                r = library_add_directory(ret, own, POLICY_PROFILE, true);
                if (r)
                        return r;
        }
        if (ret->n_profiles)
                qsort(ret->profiles, ret->n_profiles, sizeof(*ret->profiles), library_order);
        return 0;
}

void library_done(struct library *l) {
        for (size_t i = 0; i < l->n_profiles; i++) {
                free(l->profiles[i].name);
                free(l->profiles[i].error);
        }
        free(l->profiles);
        policy_store_free(l->store);
        client_vars_done(&l->vars);
        free(l->workdir);
        *l = (struct library){ .store = NULL };
}

const struct library_profile *library_find(const struct library *l, const char *name) {
        for (size_t i = 0; i < l->n_profiles; i++)
                if (strcmp(l->profiles[i].name, name) == 0)
                        return &l->profiles[i];
        return NULL;
}

int library_name(struct library *l, const char *arg, char **ret) {
        _cleanup_free_ char *stem = NULL, *text = NULL, *shown = NULL;
        const char *file = strrchr(arg, '/') ? strrchr(arg, '/') + 1 : arg;
        const struct library_profile *known;
        struct policy_error err = { .line = 0 };
        size_t n;
        int r;

        stem = library_stem(file);
        if (strchr(arg, '/') || stem) {
                if (!stem)
                        stem = mem_copy(file);
                text = library_read(arg, &n);
                if (!text)
                        return CLIENT_E_TOLD;
                r = policy_store_add(l->store, POLICY_PROFILE, stem, text, n, arg, true, &err);
                if (r < 0)
                        return say_errno(r, "policy");
                if (r)
                        return library_tell(&err);
                *ret = steal_ptr(&stem);
                return 0;
        }
        known = library_find(l, arg);
        if (known && known->error)
                return say_error("%s", known->error);
        shown = out_escaped(arg);
        if (!known)
                return say_error("there is no profile '%s'; nonoctl profile list shows them", shown);
        *ret = mem_copy(arg);
        return 0;
}

char *library_own_path(const struct library *l, const char *name) {
        return l->vars.policy.config_home ? mem_format("%s/nono/profiles/%s.json", l->vars.policy.config_home, name) : NULL;
}

/* mkdir -p of the directory @path is in; others need not see what a person's profiles are called. */
static int library_make_parents(const char *path) {
        _cleanup_free_ char *copy = mem_copy(path);

        for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(copy, 0700) < 0 && errno != EEXIST)
                        return -errno;
                *slash = '/';
        }
        return 0;
}

static int library_put(const char *path, const char *beside, int fd, const char *text, size_t n, bool force) {
        int r = fd_write_full(fd, text, n);

        if (!r && fsync(fd) < 0)
                r = -errno;
        if (!r && force && rename(beside, path) < 0)
                r = -errno;
        if (!r && !force && renameat2(AT_FDCWD, beside, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
                r = -errno;
        return r;
}

int library_write(const char *path, const char *text, size_t n, bool force) {
        _cleanup_free_ char *beside = mem_format("%s.XXXXXX", path), *shown = out_escaped(path);
        _cleanup_close_ int fd = -1;
        int r;

        r = library_make_parents(path);
        if (r)
                return say_error("%s: %s", shown, strerror(-r));
        fd = mkostemp(beside, O_CLOEXEC);
        if (fd < 0)
                return say_error("%s: %s", shown, strerror(errno));
        r = library_put(path, beside, fd, text, n, force);
        if (!r)
                return 0;
        (void)unlink(beside);
        if (r == -EEXIST)
                return say_error("%s exists; --force replaces it", shown);
        return say_error("%s: %s", shown, strerror(-r));
}
