/*
 * Runs as: user nono.   Input: see load.h.
 */
#include "daemon/service/load.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/policy/policy.h"
#include "daemon/service/core.h"

enum { LOAD_NAME_MAX = 64, LOAD_FILES_MAX = 1024, LOAD_RELEASE_MAX = 16 * 1024 };

/* "NAME.json" → NAME. Return: false for what is no policy file. */
static bool load_name(const char *file, char ret[LOAD_NAME_MAX + 1]) {
        size_t n = strlen(file);

        if (file[0] == '.' || n < 6 || n - 5 > LOAD_NAME_MAX || strcmp(file + n - 5, ".json") != 0)
                return false;
        memcpy(ret, file, n - 5);
        ret[n - 5] = '\0';
        return true;
}

static int load_file(struct policy_store *store, int fd_dir, const char *file, enum policy_kind kind, const char *name,
                     const char *label) {
        _cleanup_close_ int fd = openat(fd_dir, file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        _cleanup_free_ char *text = NULL;
        struct policy_error err = { 0 };
        char source[256];
        struct stat st;
        ssize_t n;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0) {
                log_error("%s%s: %s", label, file, strerror(errno));
                return err_raise(-errno);
        }
        if (!S_ISREG(st.st_mode) || st.st_size > POLICY_TEXT_MAX) {
                log_error("%s%s: not a file, or larger than %d bytes", label, file, POLICY_TEXT_MAX);
                return err_raise(-EFBIG);
        }
        text = malloc(POLICY_TEXT_MAX + 1);
        if (!text)
                return err_raise(-ENOMEM);
        n = fd_read_full(fd, text, POLICY_TEXT_MAX + 1);
        if (n < 0 || n > POLICY_TEXT_MAX)
                return err_raise(n < 0 ? (int)n : -EFBIG);
        snprintf(source, sizeof(source), "%s%s", label, file);
        r = policy_store_add(store, kind, name, text, (size_t)n, source, false, &err);
        if (r > 0) {
                log_error("%s:%u:%u: %s", err.source[0] ? err.source : source, err.line, err.column, err.message);
                return err_raise(-EINVAL);
        }
        return r ? err_pass(r) : 0;
}

static int load_compare(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static int load_each(struct policy_store *store, DIR *dir, enum policy_kind kind, const char *label) {
        char *files[LOAD_FILES_MAX];
        size_t n = 0;
        struct dirent *d;
        int r = 0;

        while (r == 0 && (d = readdir(dir))) {
                char name[LOAD_NAME_MAX + 1];

                if (!load_name(d->d_name, name))
                        continue;
                if (n == ELEMENTSOF(files))
                        r = -EFBIG;
                else if (!(files[n] = strdup(d->d_name)))
                        r = -ENOMEM;
                else
                        n++;
        }
        /* the same order on every file system: what replaces what must not depend on luck */
        qsort(files, n, sizeof(*files), load_compare);
        for (size_t i = 0; i < n; i++) {
                char name[LOAD_NAME_MAX + 1];

                if (r == 0 && load_name(files[i], name))
                        r = load_file(store, dirfd(dir), files[i], kind, name, label);
                free(files[i]);
        }
        return r ? err_pass(r) : 0;
}

static int load_dir(struct policy_store *store, const char *dir, const char *sub, enum policy_kind kind) {
        _cleanup_closedir_ DIR *d = NULL;
        char path[4096], label[64];

        if (snprintf(path, sizeof(path), "%s%s%s", dir, *sub ? "/" : "", sub) >= (int)sizeof(path))
                return err_raise(-ENAMETOOLONG);
        snprintf(label, sizeof(label), "%s%s", sub, *sub ? "/" : "ceiling/");
        d = opendir(path);
        if (!d) {
                if (errno == ENOENT)
                        return 0;
                log_error("%s: %s", path, strerror(errno));
                return err_raise(-errno);
        }
        return load_each(store, d, kind, *sub ? label : "ceiling/");
}

int load_policy(struct policy_store *store, const char *const *dirs, const char *ceiling_dir) {
        static const struct {
                const char *name;
                enum policy_kind kind;
        } subs[] = { { "groups", POLICY_GROUP }, { "network", POLICY_NETWORK }, { "profiles", POLICY_PROFILE } };
        int r = 0;

        for (; dirs && *dirs && r == 0; dirs++)
                for (size_t i = 0; i < ELEMENTSOF(subs) && r == 0; i++)
                        r = load_dir(store, *dirs, subs[i].name, subs[i].kind);
        if (r == 0 && ceiling_dir)
                r = load_dir(store, ceiling_dir, "", POLICY_CEILING);
        return r ? err_pass(r) : 0;
}

static char *load_release_value(const char *text, const char *key) {
        size_t n = strlen(key);

        for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
                if (strncmp(line, key, n) == 0 && line[n] == '=') {
                        const char *value = line + n + 1;
                        char quote = *value == '"' || *value == '\'' ? *value++ : '\0';

                        return strndup(value,
                                       quote ? strcspn(value, quote == '"' ? "\"\n" : "'\n") : strcspn(value, "\n"));
                }
        return NULL;
}

void load_os_release(struct service *service) {
        static const char *const files[] = { "/etc/os-release", "/usr/lib/os-release" };
        _cleanup_close_ int fd = -1;
        char text[LOAD_RELEASE_MAX];
        ssize_t n;

        for (size_t i = 0; i < ELEMENTSOF(files) && fd < 0; i++)
                fd = open(files[i], O_RDONLY | O_CLOEXEC);
        n = fd >= 0 ? fd_read_full(fd, text, sizeof(text) - 1) : -1;
        if (n < 0)
                return;
        text[n] = '\0';
        service->distro = load_release_value(text, "ID");
        service->distro_like = load_release_value(text, "ID_LIKE");
        service->os_version = load_release_value(text, "VERSION_ID");
}
