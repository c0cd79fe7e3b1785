/*
 * From a request to a session, and from the monitor's answers to a running program. What lies between: spawn-resolve.c,
 * spawn-view.c.
 *
 * Runs as: user nono.   Input: see spawn.h.
 */
#include "daemon/service/spawn.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "common/escape.h"
#include "common/fd.h"
#include "common/loop.h"
#include "common/wire.h"
#include "daemon/monitor/request.h"
#include "daemon/policy/policy.h"
#include "daemon/service/broker-link.h"
#include "daemon/service/channel.h"
#include "daemon/service/client.h"
#include "daemon/service/decide.h"
#include "daemon/service/exec-spec.h"
#include "daemon/service/guard.h"
#include "daemon/service/monitor-link.h"
#include "daemon/service/report.h"
#include "daemon/service/rules.h"
#include "daemon/service/run.h"
#include "daemon/service/sentry.h"
#include "daemon/service/spawn-steps.h"
#include "daemon/service/state-file.h"
#include "daemon/service/tree.h"
#include "daemon/target/control.h"

struct spawn *spawn_free(struct spawn *s) {
        if (!s)
                return NULL;
        command_free(s->command);
        free(s->program);
        fd_close(&s->fd_spec);
        fd_close(&s->fd_notifier);
        fd_close_many(s->fds_stdio, 3);
        for (size_t i = 0; i < s->n_items; i++) {
                free(s->items[i].path);
                free(s->items[i].canonical);
                fd_close(&s->items[i].fd);
        }
        free(s->items);
        for (size_t i = 0; i < s->n_links; i++) {
                free(s->links[i].path);
                free(s->links[i].target);
        }
        free(s->links);
        free(s);
        return NULL;
}
DEFINE_CLEANUP(struct spawn, spawn_free);

/* --- the request -------------------------------------------------------------------------------------------------- */

struct spawn_texts {
        char *profile, *workdir, *name, *home, *tmpdir, *config_home, *data_home, *state_home, *cache_home,
                *runtime_dir;
};

static void spawn_texts_done(struct spawn_texts *t) {
        char **all[] = { &t->profile,     &t->workdir,   &t->name,       &t->home,       &t->tmpdir,
                         &t->config_home, &t->data_home, &t->state_home, &t->cache_home, &t->runtime_dir };

        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                free(*all[i]);
}

/* An optional absolute path. Return: false when it is something else. */
static bool spawn_text_path(const ProtobufCBinaryData *b, char **ret) {
        if (b->len == 0)
                return true;
        *ret = wire_string(b);
        return *ret && policy_path_is_normalised(*ret);
}

static bool spawn_is_token(const char *s) {
        size_t n = strlen(s);

        for (size_t i = 0; i < n; i++)
                if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9') ||
                      s[i] == '-' || s[i] == '_' || s[i] == '.'))
                        return false;
        return n <= SPAWN_NAME_MAX && s[0] != '.';
}

/* Return: NULL, or what is wrong. */
static const char *spawn_decode(const Nono__Spawn *m, struct spawn_texts *t) {
        static const Nono__Vars none = NONO__VARS__INIT;
        const Nono__Vars *v = m->vars ? m->vars : &none;

        t->profile = wire_string(&m->profile);
        t->name = wire_string(&m->name);
        if (!t->profile || !t->name)
                return "out of memory";
        if (!m->user_profile && !spawn_is_token(t->profile))
                return "a profile's name has letters, digits, '-', '_' and '.', 64 at most";
        if (strlen(t->profile) > 4 * SPAWN_NAME_MAX || strlen(t->name) > SPAWN_NAME_MAX)
                return "a name is too long";
        if (!spawn_text_path(&m->workdir, &t->workdir) || !t->workdir)
                return "the working directory is not an absolute, normalised path";
        if (!spawn_text_path(&v->home, &t->home) || !t->home)
                return "the home directory is not an absolute, normalised path";
        if (!spawn_text_path(&v->tmpdir, &t->tmpdir) || !spawn_text_path(&v->config_home, &t->config_home) ||
            !spawn_text_path(&v->data_home, &t->data_home) || !spawn_text_path(&v->state_home, &t->state_home) ||
            !spawn_text_path(&v->cache_home, &t->cache_home) || !spawn_text_path(&v->runtime_dir, &t->runtime_dir))
                return "a variable is not an absolute, normalised path";
        if (m->n_rules > SPAWN_RULES_MAX || m->n_open_ports > SPAWN_PORTS_MAX)
                return "too many rules or ports";
        for (size_t i = 0; i < m->n_open_ports; i++)
                if (m->open_ports[i] == 0 || m->open_ports[i] > 65535)
                        return "a port is not between 1 and 65535";
        if (m->umask > 0777)
                return "the umask is not one";
        return NULL;
}

/* Standard descriptors must not be a way out of the view. */
static bool spawn_is_stream(int fd) {
        struct stat st;
        int flags = fcntl(fd, F_GETFL);

        return flags >= 0 && !(flags & O_PATH) && fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode) && !S_ISBLK(st.st_mode);
}

/* Return: NULL, or what is wrong. Takes the standard descriptors. */
static const char *spawn_take_fds(struct spawn *s, int *fds, size_t n_fds) {
        const char *why = "the command cannot be read";
        size_t used = 1;

        if (n_fds < 1)
                return "no command was sent";
        if (command_read(fds[0], &s->command, &why))
                return why;
        for (int n = 0; n < 3; n++) {
                if (s->command->tty_mask & BIT(n))
                        continue;
                if (used >= n_fds || !spawn_is_stream(fds[used]))
                        return "a standard descriptor is missing, or is a directory";
                s->fds_stdio[n] = steal_fd(&fds[used++]);
        }
        return used == n_fds ? NULL : "too many descriptors";
}

static struct spawn *spawn_new(void) {
        struct spawn *s = calloc(1, sizeof(*s));

        if (!s)
                return NULL;
        s->fd_spec = s->fd_notifier = s->fds_stdio[0] = s->fds_stdio[1] = s->fds_stdio[2] = -1;
        return s;
}

static void spawn_ports(struct spawn *s, const Nono__Spawn *m, const struct policy_settings *settings, bool none) {
        if (none)
                return;
        for (size_t i = 0; i < m->n_open_ports; i++)
                s->ports[s->n_ports++] = m->open_ports[i];
        for (size_t i = 0; !settings->net_block && i < settings->n_open_ports && i < SPAWN_PORTS_MAX; i++)
                s->ports[s->n_ports++] = settings->open_ports[i];
}

/* Where the client found us: that name is nothing for a session. */
static const char *spawn_socket_path(const struct client *c, struct sockaddr_un *ret) {
        socklen_t n = sizeof(*ret);

        memset(ret, 0, sizeof(*ret));
        if (getsockname(wire_fd(c->wire), (struct sockaddr *)ret, &n) < 0 || n >= sizeof(*ret) ||
            !policy_path_is_normalised(ret->sun_path))
                return NULL;
        return ret->sun_path;
}

static int spawn_rules(struct client *c, uint32_t seq, const Nono__Spawn *m, const struct spawn_texts *t,
                       struct policy_plan **ret, bool *ret_own_tmp) {
        struct sockaddr_un socket;
        const struct rules_request q = {
                .spawn = m,
                .uid = c->uid,
                .profile = t->profile,
                .home = t->home,
                .tmpdir = t->tmpdir,
                .workdir = t->workdir,
                .socket = spawn_socket_path(c, &socket),
                .vars = { .home = t->home,
                          .workdir = t->workdir,
                          .tmpdir = t->tmpdir,
                          .config_home = t->config_home,
                          .data_home = t->data_home,
                          .state_home = t->state_home,
                          .cache_home = t->cache_home,
                          .runtime_dir = t->runtime_dir,
                          .uid = c->uid,
                          .distro = c->service->distro,
                          .distro_like = c->service->distro_like,
                          .os_version = c->service->os_version },
        };
        struct policy_error err;
        char message[1024];
        int r;

        r = rules_make(c->service, &q, ret, ret_own_tmp, &err);
        if (r == 0)
                return 0;
        if (r < 0)
                client_error(c, seq, NONO__ERROR_CODE__ERROR_INTERNAL, "the rules could not be made", NULL);
        else {
                if (err.line)
                        snprintf(message, sizeof(message), "%s:%u:%u: %s", err.source, err.line, err.column,
                                 err.message);
                else
                        snprintf(message, sizeof(message), "%s%s%s", err.source, *err.source ? ": " : "", err.message);
                client_error(c, seq,
                             r == RULES_E_NOT_FOUND ? NONO__ERROR_CODE__ERROR_NOT_FOUND
                                                    : NONO__ERROR_CODE__ERROR_POLICY,
                             message, NULL);
        }
        return r;
}

static const char *spawn_profile_name(const Nono__Spawn *m, const struct spawn_texts *t) {
        return *t->profile ? t->profile : m->user_profile ? "user" : "default";
}

static void spawn_answer_dry(struct client *c, uint32_t seq, const Nono__Spawn *m, const struct spawn_texts *t,
                             const struct policy_plan *plan, struct spawn *s) {
        const struct policy_settings *settings = policy_plan_settings(plan);
        struct report_plan report = { .plan = plan, .profile = spawn_profile_name(m, t), .ports = s->ports };

        spawn_ports(s, m, settings, policy_store_ceiling(c->service->store).net_block);
        report.n_ports = s->n_ports;
        report.program = m->program ? settings->program : s->command ? s->command->program : NULL;
        report_grants(c, seq, &report);
}

static void on_session(struct run *r, void *arg, const void *answer, const char *text, size_t n_text, int *fds,
                       size_t n_fds);

static bool spawn_make_spec(struct run *r, struct spawn *s, const Nono__Spawn *m) {
        const struct policy_settings *settings = policy_plan_settings(r->plan);
        const char *tmpdir = environment_get(s->command->env, "TMPDIR");
        char command[1024];
        bool keep;

        keep = tmpdir && policy_path_is_normalised(tmpdir) &&
               policy_verdict(r->plan, tmpdir, POLICY_READ | POLICY_WRITE).answer == POLICY_ANSWER_GRANT;
        s->fd_spec = command_write(s->command, settings, m->program, keep, r->id,
                                   r->service->fd_state >= 0 ? STATE_FILE_PATH : NULL);
        command_describe(s->command, settings, m->program, command, sizeof(command));
        r->command = strdup(command);
        s->program = strdup(m->program ? settings->program : s->command->program);
        return s->fd_spec >= 0 && r->command && s->program;
}

/* The session exists from here on; every failure goes through run_fail(). */
static void spawn_start(struct client *c, uint32_t seq, const Nono__Spawn *m, struct spawn_texts *t, struct run *r) {
        struct monitor_message ask = { .type = MONITOR_SESSION };
        struct spawn *s = r->spawn;
        int fd;

        r->name = steal_ptr(&t->name);
        r->profile = strdup(spawn_profile_name(m, t));
        r->workdir = steal_ptr(&t->workdir);
        r->home = steal_ptr(&t->home);
        r->gid = c->gid;
        r->can_prompt = m->can_prompt && !m->sealed;
        decide_set_sealed(r->decide, m->sealed);
        ask.flags = sentry_is_needed(r->plan) ? SESSION_SENTRY : 0;
        s->umask = m->umask;
        spawn_ports(s, m, policy_plan_settings(r->plan), policy_store_ceiling(c->service->store).net_block);
        client_attach(c, r);
        r->client_seq = seq;
        if (!r->profile || !spawn_make_spec(r, s, m)) {
                run_fail(r, CONTROL_STEP_SETUP, E2BIG, "the command does not fit", NULL);
                return;
        }
        fd = fd_dup(wire_fd(c->wire));
        if (fd < 0 || monitor_link_ask(r, &ask, &fd, 1, on_session, NULL) != 0)
                run_fail(r, CONTROL_STEP_SETUP, EIO, "no session can be made now", NULL);
}

void spawn_request(struct client *c, uint32_t seq, const Nono__Spawn *m, int *fds, size_t n_fds) {
        _cleanup_(spawn_texts_done) struct spawn_texts t = { 0 };
        _cleanup_(policy_plan_freep) struct policy_plan *plan = NULL;
        _cleanup_(spawn_freep) struct spawn *s = NULL;
        const char *why;
        struct run *r;
        bool own_tmp;
        int e;

        s = spawn_new();
        why = s ? spawn_decode(m, &t) : "out of memory";
        if (!why && !(m->dry_run && n_fds == 0))
                why = spawn_take_fds(s, fds, n_fds);
        if (!why && s->command && strcmp(s->command->workdir, t.workdir) != 0)
                why = "the command's working directory is not the one that was asked for";
        if (why) {
                client_error(c, seq, NONO__ERROR_CODE__ERROR_PROTOCOL, why, NULL);
                return;
        }
        if (spawn_rules(c, seq, m, &t, &plan, &own_tmp))
                return;
        if (m->program && !policy_plan_settings(plan)->program) {
                client_error(c, seq, NONO__ERROR_CODE__ERROR_POLICY, "this profile names no program",
                             "name one: nonoctl run --profile NAME -- COMMAND");
                return;
        }
        if (m->dry_run) {
                spawn_answer_dry(c, seq, m, &t, plan, s);
                return;
        }
        e = run_new(c->service, c->uid, &r);
        if (e) {
                client_error(c, seq, e > 0 ? NONO__ERROR_CODE__ERROR_LIMIT : NONO__ERROR_CODE__ERROR_INTERNAL,
                             e > 0 ? "too many sessions" : "no session can be made now", e > 0 ? "nonoctl ps" : NULL);
                return;
        }
        r->plan = steal_ptr(&plan);
        r->own_tmp = own_tmp;
        r->spawn = steal_ptr(&s);
        spawn_start(c, seq, m, &t, r);
}
static void spawn_never_was(void *arg) {
        run_free(arg);
}

static void on_session(struct run *r, void *arg, const void *answer, const char *text, size_t n_text, int *fds,
                       size_t n_fds) {
        const struct monitor_message *m = answer;

        if (!m)
                return; /* the run is being freed */
        if (m->type != MONITOR_SESSION_OK || n_fds < 2 || n_fds > 3) {
                if (r->state == RUN_ENDING)
                        loop_defer(r->service->loop, spawn_never_was, r); /* given up before the monitor answered */
                else if (m->error == EPERM)
                        run_fail(r, CONTROL_STEP_SETUP, EPERM, "this process may not start a session",
                                 "from inside a session, or from another namespace, no session can be started");
                else if (m->error == EOPNOTSUPP)
                        run_fail(r, CONTROL_STEP_SETUP, EOPNOTSUPP,
                                 "the rules deny name patterns, and this kernel cannot judge single opens",
                                 "fanotify permission events are missing (CONFIG_FANOTIFY_ACCESS_PERMISSIONS)");
                else
                        run_fail(r, CONTROL_STEP_SETUP, m->error > 0 ? m->error : EIO, "no session can be made now",
                                 NULL);
                return;
        }
        r->monitor_id = m->session;
        if (r->state == RUN_ENDING) {
                run_kill(r); /* the client left meanwhile */
                return;
        }
        if (m->uid != r->uid || m->gid != r->gid) {
                run_fail(r, CONTROL_STEP_SETUP, EPERM, "the client is not who it was", NULL);
                return;
        }
        if (broker_link_open(r, steal_fd(&fds[0])) != 0 || run_take_init(r, steal_fd(&fds[1])) != 0 ||
            sentry_open(r, n_fds == 3 ? steal_fd(&fds[2]) : -1) != 0) {
                run_fail(r, CONTROL_STEP_SETUP, ENOMEM, "no session can be made now", NULL);
                return;
        }
        spawn_resolve(r);
}
/* --- answers ------------------------------------------------------------------------------------------------------ */

void spawn_view_failed(struct run *r, uint32_t node, int error) {
        const struct tree_node *n = tree_by_id(r->tree, node);
        char path[1024], message[1200];

        if (n)
                snprintf(message, sizeof(message), "the view cannot be built: %s: %s",
                         escape_str(n->path, path, sizeof(path)), strerror(error));
        else
                snprintf(message, sizeof(message), "the view cannot be built: %s", strerror(error));
        run_fail(r, CONTROL_STEP_SETUP, error, message, NULL);
}

void spawn_level(struct run *r, const struct monitor_message *m, int *fd) {
        struct broker_message level = { .type = BROKER_LEVEL, .node = m->node, .dev = m->dev };
        struct tree_node *n = tree_by_id(r->tree, m->node);

        if (!r->spawn || !n || n->kind != VIEW_LEVEL || n->standing)
                return;
        n->standing = true;
        n->dev = m->dev;
        r->spawn->levels_left--;
        (void)broker_link_send(r, &level, n->path, NULL, steal_fd(fd));
}

/* Only now may the program's first instruction run: everybody who answers for it is in place. */
static void spawn_go(struct run *r) {
        struct broker_message notifier = { .type = BROKER_NOTIFIER };
        struct control_message go = { .type = CONTROL_GO };
        struct spawn *s = r->spawn;

        if (r->state != RUN_STARTING || !s || s->fd_notifier < 0 || s->levels_left > 0)
                return;
        for (size_t i = 0; i < s->n_ports; i++) {
                struct broker_message port = { .type = BROKER_PORT, .port = s->ports[i] };

                (void)broker_link_send(r, &port, NULL, NULL, -1);
        }
        if (broker_link_send(r, &notifier, NULL, NULL, steal_fd(&s->fd_notifier)) != 0 ||
            channel_send(r->init, &go, sizeof(go), NULL, 0) != 0)
                run_fail(r, CONTROL_STEP_SETUP, EPIPE, "the session's broker is gone", NULL);
        else {
                r->spawn_gone = true;
                if (r->early_signal)
                        run_signal(r, r->early_signal);
        }
}

void spawn_started(struct run *r, int32_t pid) {
        Nono__Reply reply = NONO__REPLY__INIT;
        Nono__Spawned spawned = NONO__SPAWNED__INIT;

        r->pid = pid;
        state_file_unlink(r); /* attached: the view has it for as long as it stands */
        for (struct tree_node *n = tree_next(r->tree, 0); n; n = tree_next(r->tree, n->id))
                n->standing = true;
        run_set_state(r, RUN_STARTING);
        spawned.session = wire_bytes(r->id);
        spawned.pid = (uint32_t)pid;
        reply.body_case = NONO__REPLY__BODY_SPAWNED;
        reply.spawned = &spawned;
        if (r->client)
                client_reply(r->client, r->client_seq, &reply, NULL, 0);
        guard_start(r);
        spawn_go(r);
}

void spawn_notifier(struct run *r, int fd) {
        if (!r->spawn || r->spawn->fd_notifier >= 0 || (r->state != RUN_BUILDING && r->state != RUN_STARTING)) {
                fd_close(&fd);
                return;
        }
        r->spawn->fd_notifier = fd;
        spawn_go(r);
}
