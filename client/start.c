/*
 * Runs as: the user.   Input: see start.h.
 */
#include "client/start.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "client/connect.h"
#include "client/exec-spec.h"
#include "client/flags.h"
#include "client/grants.h"
#include "client/job.h"
#include "client/out.h"
#include "client/profile-file.h"
#include "client/say.h"
#include "client/tty.h"
#include "common/fd.h"

extern char **environ;

/* --- the environment, when the person's own profile speaks about it --- */

static bool start_matches(const char *const *list, const char *entry) {
        size_t n_name = strcspn(entry, "=");

        for (; *list; list++) {
                size_t n = strlen(*list);

                if (n > 0 && (*list)[n - 1] == '*' ? n_name >= n - 1 && memcmp(entry, *list, n - 1) == 0
                                                   : n_name == n && memcmp(entry, *list, n) == 0)
                        return true;
        }
        return false;
}

static bool start_is_set(const char *const *set, const char *entry) {
        size_t n = strcspn(entry, "=");

        for (; set && *set; set++)
                if (strncmp(*set, entry, n) == 0 && (*set)[n] == '=')
                        return true;
        return false;
}

/* Return: a heap list of borrowed strings. */
static char **start_environment(const struct policy_plan *plan) {
        const struct policy_settings *settings = plan ? policy_plan_settings(plan) : NULL;
        size_t n = 0, n_set = 0, used = 0;
        char **list;

        while (environ[n])
                n++;
        while (settings && settings->set_vars && settings->set_vars[n_set])
                n_set++;
        list = mem_need(calloc(n + n_set + 1, sizeof(*list)));
        for (size_t i = 0; i < n; i++) {
                if (!strchr(environ[i], '='))
                        continue;
                if (settings && settings->allow_vars && !start_matches(settings->allow_vars, environ[i]))
                        continue;
                if (settings && settings->deny_vars && start_matches(settings->deny_vars, environ[i]))
                        continue;
                if (settings && start_is_set(settings->set_vars, environ[i]))
                        continue;
                list[used++] = environ[i];
        }
        for (size_t i = 0; i < n_set; i++)
                list[used++] = (char *)settings->set_vars[i];
        return list;
}

/* --- the message --- */

static int start_send(const struct start *s, struct conn *c, int fd_spec, unsigned tty_mask, bool can_prompt) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Spawn spawn = NONO__SPAWN__INIT;
        Nono__Vars vars = NONO__VARS__INIT;
        const struct policy_vars *v = &s->vars->policy;
        int fds[4] = { fd_spec };
        size_t n_fds = 1;
        mode_t mask = umask(0);

        (void)umask(mask);
        vars.home = wire_bytes(v->home);
        vars.tmpdir = wire_bytes(v->tmpdir);
        vars.config_home = wire_bytes(v->config_home);
        vars.data_home = wire_bytes(v->data_home);
        vars.state_home = wire_bytes(v->state_home);
        vars.cache_home = wire_bytes(v->cache_home);
        vars.runtime_dir = wire_bytes(v->runtime_dir);
        spawn.profile = wire_bytes(s->profile);
        spawn.rules = s->flags->rules;
        spawn.n_rules = s->flags->n_rules;
        spawn.workdir = wire_bytes(s->workdir);
        spawn.vars = &vars;
        spawn.umask = mask;
        spawn.open_ports = s->flags->open_ports;
        spawn.n_open_ports = s->flags->n_open_ports;
        spawn.can_prompt = can_prompt;
        spawn.sealed = s->flags->sealed;
        spawn.name = wire_bytes(s->flags->name);
        spawn.allow_workdir = s->flags->allow_cwd;
        spawn.dry_run = s->flags->dry_run;
        spawn.user_profile = s->plan != NULL;
        spawn.program = s->program_of_profile;
        q.body_case = NONO__REQUEST__BODY_SPAWN;
        q.spawn = &spawn;
        for (int fd = 0; fd < 3; fd++)
                if (!(tty_mask & BIT(fd)))
                        fds[n_fds++] = fd;
        if (nono__request__get_packed_size(&q) > WIRE_FRAME_MAX)
                return say_error("%zu rules are too many for one session", s->flags->n_rules);
        return conn_send(c, &q, fds, n_fds);
}

static int start_dry_run(const struct start *s, struct conn *c) {
        struct grants_reply g = { 0 };
        int r;

        r = grants_receive(c, &g);
        if (r == 0)
                r = s->flags->json ? grants_print_json(&g) : grants_print(&g, true);
        grants_done(&g);
        return r || out_finish() ? EXIT_OWN : 0;
}

static bool start_is_pipe(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static int start_on_terminal(const struct start *s, struct conn *c, struct tty *tty, unsigned tty_mask) {
        _cleanup_free_ char **env = start_environment(s->plan);
        struct launch launch = { .program = s->program, .workdir = s->workdir, .argv = s->argv, .env = env, .tty_mask = tty_mask };
        struct job_options options = { .silent = s->flags->silent, .verbose = s->flags->verbose };
        bool can_prompt = tty && !s->flags->silent && !s->flags->sealed;
        _cleanup_close_ int fd = -1;
        int r;

        if (tty)
                launch.size = tty_size(tty);
        fd = launch_memfd(&launch);
        if (fd == -E2BIG) {
                (void)say_error("the arguments and the environment are too large");
                return EXIT_NOT_EXECUTABLE;
        }
        if (fd < 0)
                return say_errno(fd, "memfd"), EXIT_OWN;
        r = start_send(s, c, fd, tty_mask, can_prompt);
        if (r)
                return EXIT_OWN;
        fd_close(&fd);
        if (s->flags->dry_run)
                return start_dry_run(s, c);
        options.pipeline = tty_mask & BIT(0) && !(tty_mask & BIT(1)) && start_is_pipe(STDOUT_FILENO);
        return job_run(c, tty, &options);
}

int start_session(const struct start *s) {
        struct tty tty = { .fd = -1 };
        struct conn c = { 0 };
        unsigned tty_mask = 0;
        int r;

        if (conn_open(&c))
                return EXIT_OWN;
        r = tty_open(&tty, &tty_mask);
        if (r < 0) {
                (void)say_errno(r, "terminal");
                conn_close(&c);
                return EXIT_OWN;
        }
        if (tty_mask)
                tty_guard(&tty);
        r = start_on_terminal(s, &c, tty_mask ? &tty : NULL, tty_mask);
        conn_close(&c);
        tty_done(&tty);
        return r;
}
