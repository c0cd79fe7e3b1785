/*
 * Runs as: the user, in init.   Input: the user's own bytes, checked by the service and sealed.
 */
#include "daemon/target/spec.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"
#include "daemon/target/control.h"

/* Next NUL-terminated string; NULL when the bytes end first. */
static char *spec_next(char **p, char *end) {
        char *s = *p, *nul = memchr(s, 0, (size_t)(end - s));

        if (!nul)
                return NULL;
        *p = nul + 1;
        return s;
}

static char **spec_list(char **p, char *end, uint32_t n) {
        char **list = calloc((size_t)n + 1, sizeof(*list));

        for (uint32_t i = 0; list && i < n; i++) {
                list[i] = spec_next(p, end);
                if (!list[i])
                        return NULL;
        }
        return list;
}

int spec_open(int fd, struct spec *ret) {
        struct exec_spec *header;
        struct stat st;
        char *p, *end;

        if (fstat(fd, &st) < 0)
                return err_raise(-errno);
        if (st.st_size < (off_t)sizeof(*header) || st.st_size > EXEC_SPEC_MAX)
                return err_raise(-EBADMSG);
        header = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        if (header == MAP_FAILED)
                return err_raise(-errno);
        if (header->magic != EXEC_SPEC_MAGIC || header->size != st.st_size || header->n_argv == 0 ||
            header->n_argv > EXEC_SPEC_ARGS_MAX || header->n_env > EXEC_SPEC_ARGS_MAX)
                return err_raise(-EBADMSG);
        p = (char *)(header + 1);
        end = (char *)header + st.st_size;
        ret->program = spec_next(&p, end);
        ret->workdir = ret->program ? spec_next(&p, end) : NULL;
        ret->argv = ret->workdir ? spec_list(&p, end, header->n_argv) : NULL;
        ret->envp = ret->argv ? spec_list(&p, end, header->n_env) : NULL;
        if (!ret->envp)
                return err_raise(-EBADMSG);
        ret->rows = header->rows;
        ret->columns = header->columns;
        ret->tty_mask = header->tty_mask;
        return 0;
}

/* A shell script without "#!" is text; a broken or foreign binary is not, and no shell should chew on it. */
static bool spec_is_text(const char *path) {
        char head[128];
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head));

        if (fd >= 0)
                close(fd);
        return n >= 0 && !memchr(head, 0, (size_t)n) && !(n >= 4 && memcmp(head, "\177ELF", 4) == 0);
}

static int spec_exec_path(const struct spec *spec, const char *path) {
        char **argv;
        size_t n = 0;

        execve(path, spec->argv, spec->envp);
        if (errno != ENOEXEC)
                return -errno;
        if (!spec_is_text(path))
                return -ENOEXEC;
        while (spec->argv[n])
                n++;
        argv = calloc(n + 2, sizeof(*argv));
        if (!argv)
                return -ENOMEM;
        argv[0] = (char *)"/bin/sh";
        argv[1] = (char *)path;
        memcpy(argv + 2, spec->argv + 1, n * sizeof(*argv));
        execve(argv[0], argv, spec->envp);
        return -ENOEXEC;
}

/* A script's $0 is the path that was executed: "bin/tool" as it was typed, when that still leads to the same file. */
static const char *spec_as_typed(const struct spec *spec) {
        const char *typed = spec->argv[0];
        struct stat program, st;

        if (typed[0] == '/' || !strchr(typed, '/') || stat(typed, &st) < 0 || stat(spec->program, &program) < 0)
                return spec->program;
        return st.st_dev == program.st_dev && st.st_ino == program.st_ino ? typed : spec->program;
}

int spec_exec(const struct spec *spec) {
        const char *dirs = "/usr/local/bin:/usr/bin:/bin";
        int best = -ENOENT;

        if (strchr(spec->program, '/'))
                return spec_exec_path(spec, spec_as_typed(spec));
        for (char **e = spec->envp; *e; e++)
                if (strncmp(*e, "PATH=", 5) == 0)
                        dirs = *e + 5;
        for (const char *d = dirs;;) {
                size_t n = strcspn(d, ":");
                char path[PATH_MAX];

                if (n > 0 && snprintf(path, sizeof(path), "%.*s/%s", (int)n, d, spec->program) < (int)sizeof(path)) {
                        int r = spec_exec_path(spec, path);

                        if (r != -ENOENT && r != -ENOTDIR)
                                best = r;
                        if (r != -ENOENT && r != -ENOTDIR && r != -EACCES)
                                return r;
                }
                if (!d[n])
                        return best;
                d += n + 1;
        }
}
