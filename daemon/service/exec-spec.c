/*
 * The environment is the part of a spec that reaches inside the session and runs things there: loaders, shells and
 * interpreters read their start-up code's location from it. Those names never pass. What else passes is the profile's to say.
 *
 * Runs as: user nono.   Input: see exec-spec.h.
 */
#include "daemon/service/exec-spec.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/error.h"
#include "common/fd.h"
#include "daemon/policy/policy.h"
#include "daemon/target/control.h"

enum { COMMAND_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

struct command *command_free(struct command *c) {
        if (!c)
                return NULL;
        free(c->argv);
        free(c->env);
        free(c->memory);
        free(c);
        return NULL;
}

/* Next NUL-terminated string of [*p, end); NULL when the bytes end first. */
static char *command_next(char **p, char *end) {
        char *s = *p, *nul = s < end ? memchr(s, '\0', (size_t)(end - s)) : NULL;

        if (!nul)
                return NULL;
        *p = nul + 1;
        return s;
}

static int command_list(char **p, char *end, uint32_t n, char ***ret) {
        _cleanup_free_ char **list = NULL;

        list = calloc((size_t)n + 1, sizeof(*list));
        if (!list)
                return err_raise(-ENOMEM);
        for (uint32_t i = 0; i < n; i++) {
                list[i] = command_next(p, end);
                if (!list[i])
                        return EXEC_SPEC_E_INVALID;
        }
        *ret = steal_ptr(&list);
        return 0;
}

static int command_map(int fd, char **ret_memory, struct exec_spec *ret_header, const char **ret_why) {
        _cleanup_free_ char *memory = NULL;
        struct exec_spec h;
        struct stat st;
        int seals;

        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & COMMAND_SEALS) != COMMAND_SEALS) {
                *ret_why = "the command is not in a sealed memfd";
                return EXEC_SPEC_E_INVALID;
        }
        if (fstat(fd, &st) < 0)
                return err_raise(-errno);
        if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(h) || st.st_size > EXEC_SPEC_MAX) {
                *ret_why = "arguments and environment are too large, or missing";
                return EXEC_SPEC_E_INVALID;
        }
        memory = malloc((size_t)st.st_size);
        if (!memory)
                return err_raise(-ENOMEM);
        for (off_t at = 0; at < st.st_size;) {
                ssize_t n = pread(fd, memory + at, (size_t)(st.st_size - at), at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return err_raise(n < 0 ? -errno : -EIO);
                at += n;
        }
        memcpy(&h, memory, sizeof(h));
        *ret_why = "the command is malformed";
        if (h.magic != EXEC_SPEC_MAGIC || h.size != (uint64_t)st.st_size || h.n_argv == 0 ||
            h.n_argv > EXEC_SPEC_ARGS_MAX || h.n_env > EXEC_SPEC_ARGS_MAX || h.tty_mask & ~7U)
                return EXEC_SPEC_E_INVALID;
        *ret_header = h;
        *ret_memory = steal_ptr(&memory);
        return 0;
}

int command_read(int fd, struct command **ret, const char **ret_why) {
        _cleanup_(command_freep) struct command *c = NULL;
        struct exec_spec h = { 0 };
        char *p, *end;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c)
                return err_raise(-ENOMEM);
        r = command_map(fd, &c->memory, &h, ret_why);
        if (r)
                return r;
        p = c->memory + sizeof(h);
        end = c->memory + h.size;
        c->program = command_next(&p, end);
        c->workdir = c->program ? command_next(&p, end) : NULL;
        if (!c->workdir)
                return EXEC_SPEC_E_INVALID;
        r = command_list(&p, end, h.n_argv, &c->argv);
        if (r == 0)
                r = command_list(&p, end, h.n_env, &c->env);
        if (r)
                return r;
        if (p != end)
                return EXEC_SPEC_E_INVALID;
        if (!*c->program || !policy_path_is_normalised(c->workdir)) {
                *ret_why = *c->program ? "the working directory is not an absolute path" : "no program is named";
                return EXEC_SPEC_E_INVALID;
        }
        if (strchr(c->program, '/') && !policy_path_is_normalised(c->program)) {
                *ret_why = "the program is neither a name nor an absolute path";
                return EXEC_SPEC_E_INVALID;
        }
        c->n_argv = h.n_argv;
        c->n_env = h.n_env;
        c->rows = h.rows;
        c->columns = h.columns;
        c->tty_mask = h.tty_mask;
        *ret = steal_ptr(&c);
        return 0;
}

bool environment_is_dangerous(const char *name, size_t n_name) {
        /* an entry that ends in '*' stands for every name that starts so */
        static const char *const names[] = {
                "LD_*",       "DYLD_*",        "GLIBC_TUNABLES", "GCONV_PATH", "BASH_ENV",
                "ENV",        "BASH_FUNC_*",   "PROMPT_COMMAND", "IFS",        "CDPATH",
                "GLOBIGNORE", "PYTHONSTARTUP", "PERL5OPT",       "RUBYOPT",    "NONO_*",
                "OLDPWD", /* runs nothing, but bash looks at it when it starts: a question about where the person was before */
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                size_t n = strlen(names[i]);

                if (names[i][n - 1] == '*' ? n_name >= n - 1 && memcmp(name, names[i], n - 1) == 0
                                           : n_name == n && memcmp(name, names[i], n) == 0)
                        return true;
        }
        return false;
}

const char *environment_get(char *const *env, const char *name) {
        size_t n = strlen(name);

        for (; *env; env++)
                if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
                        return *env + n + 1;
        return NULL;
}

static bool environment_matches(const char *const *list, const char *name, size_t n_name) {
        for (; *list; list++) {
                size_t n = strlen(*list);

                if (n > 0 && (*list)[n - 1] == '*' ? n_name >= n - 1 && memcmp(name, *list, n - 1) == 0
                                                   : n_name == n && memcmp(name, *list, n) == 0)
                        return true;
        }
        return false;
}

/* The profile sets it: the client's own value does not pass. Reserved names cannot be set. */
static const char *environment_set(const struct policy_settings *s, const char *name, size_t n_name) {
        for (const char *const *v = s->set_vars; v && *v; v++)
                if (strncmp(*v, name, n_name) == 0 && (*v)[n_name] == '=')
                        return *v;
        return NULL;
}

static bool environment_may_set(const char *entry) {
        size_t n = strcspn(entry, "=");

        return n > 0 && entry[n] && !environment_is_dangerous(entry, n) && !(n == 4 && memcmp(entry, "PATH", 4) == 0);
}

static bool environment_passes(const struct policy_settings *s, const char *entry, bool keep_tmpdir) {
        const char *equals = strchr(entry, '=');
        const char *set;
        size_t n;

        if (!equals || equals == entry)
                return false;
        n = (size_t)(equals - entry);
        if (environment_is_dangerous(entry, n))
                return false;
        if (!keep_tmpdir && n == 6 && memcmp(entry, "TMPDIR", 6) == 0)
                return false;
        set = environment_set(s, entry, n);
        if (set && environment_may_set(set))
                return false;
        if (s->deny_vars && environment_matches(s->deny_vars, entry, n))
                return false;
        return !s->allow_vars || environment_matches(s->allow_vars, entry, n);
}

struct command_buffer {
        char *data;
        size_t n, cap;
        bool failed;
};

static void command_put(struct command_buffer *b, const void *data, size_t n) {
        if (b->failed || n > EXEC_SPEC_MAX - b->n) {
                b->failed = true;
                return;
        }
        if (b->n + n > b->cap) {
                size_t cap = MIN_OF((size_t)EXEC_SPEC_MAX, (b->n + n) * 2);
                char *grown = realloc(b->data, cap);

                if (!grown) {
                        b->failed = true;
                        return;
                }
                b->data = grown;
                b->cap = cap;
        }
        memcpy(b->data + b->n, data, n);
        b->n += n;
}

static void command_put_string(struct command_buffer *b, const char *s) {
        command_put(b, s, strlen(s) + 1);
}

static void command_put_environment(struct command_buffer *b, const struct command *c, const struct policy_settings *s,
                                    bool keep_tmpdir, const char *session_id, const char *state_file, uint32_t *n_env) {
        char id[128];

        for (size_t i = 0; i < c->n_env; i++)
                if (environment_passes(s, c->env[i], keep_tmpdir)) {
                        command_put_string(b, c->env[i]);
                        (*n_env)++;
                }
        for (const char *const *v = s->set_vars; v && *v; v++)
                if (environment_may_set(*v) && (keep_tmpdir || strncmp(*v, "TMPDIR=", 7) != 0)) {
                        command_put_string(b, *v);
                        (*n_env)++;
                }
        if (!keep_tmpdir) {
                command_put_string(b, "TMPDIR=/tmp");
                (*n_env)++;
        }
        snprintf(id, sizeof(id), "NONO_SESSION=%s", session_id);
        command_put_string(b, id);
        (*n_env)++;
        if (state_file) {
                snprintf(id, sizeof(id), "NONO_STATE_FILE=%s", state_file);
                command_put_string(b, id);
                (*n_env)++;
        }
}

static int command_seal(const struct command_buffer *b) {
        _cleanup_close_ int fd = -1;
        int r;

        fd = memfd_create("nono-exec", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return err_raise(-errno);
        r = fd_write_full(fd, b->data, b->n);
        if (r)
                return err_pass(r);
        if (fcntl(fd, F_ADD_SEALS, COMMAND_SEALS | F_SEAL_SEAL) < 0)
                return err_raise(-errno);
        return steal_fd(&fd);
}

int command_write(const struct command *c, const struct policy_settings *settings, bool program_of_profile,
                  bool keep_tmpdir, const char *session_id, const char *state_file) {
        struct exec_spec h = {
                .magic = EXEC_SPEC_MAGIC, .rows = c->rows, .columns = c->columns, .tty_mask = c->tty_mask
        };
        struct command_buffer b = { 0 };
        const char *program = c->program;
        uint32_t n_argv = (uint32_t)c->n_argv, n_env = 0;
        int fd;

        if (program_of_profile) {
                if (!settings->program)
                        return err_raise(-EINVAL);
                program = settings->program;
        }
        command_put(&b, &h, sizeof(h));
        command_put_string(&b, program);
        command_put_string(&b, c->workdir);
        command_put_string(&b, program_of_profile ? program : c->argv[0]);
        for (const char *const *a = program_of_profile ? settings->args : NULL; a && *a; a++) {
                command_put_string(&b, *a);
                n_argv++;
        }
        for (size_t i = 1; i < c->n_argv; i++)
                command_put_string(&b, c->argv[i]);
        command_put_environment(&b, c, settings, keep_tmpdir, session_id, state_file, &n_env);
        if (b.failed || n_argv > EXEC_SPEC_ARGS_MAX || n_env > EXEC_SPEC_ARGS_MAX) {
                free(b.data);
                return err_raise(-E2BIG);
        }
        h.size = (uint32_t)b.n;
        h.n_argv = n_argv;
        h.n_env = n_env;
        memcpy(b.data, &h, sizeof(h));
        fd = command_seal(&b);
        free(b.data);
        return fd;
}

void command_describe(const struct command *c, const struct policy_settings *settings, bool program_of_profile,
                      char *ret, size_t cap) {
        size_t n = 0;

        ret[0] = '\0';
        for (size_t i = 0; i < c->n_argv && n + 2 < cap; i++) {
                const char *word = i == 0 && program_of_profile && settings->program ? settings->program : c->argv[i];

                n += (size_t)snprintf(ret + n, cap - n, "%s%s", i ? " " : "", word);
        }
}
