/*
 * Everything the user named is looked at by the broker, with the user's rights, before anything is decided: what counts is
 * the canonical path of what is there. The rules are judged once more on those paths, so that a link inside the home that
 * leads into something denied grants nothing.
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
#include <sys/vfs.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/escape.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/wire.h"
#include "daemon/monitor/request.h"
#include "daemon/policy/policy.h"
#include "daemon/service/broker-link.h"
#include "daemon/service/channel.h"
#include "daemon/service/client.h"
#include "daemon/service/exec-spec.h"
#include "daemon/service/guard.h"
#include "daemon/service/layout.h"
#include "daemon/service/monitor-link.h"
#include "daemon/service/pathname.h"
#include "daemon/service/report.h"
#include "daemon/service/rules.h"
#include "daemon/service/sentry.h"
#include "daemon/service/run.h"
#include "daemon/service/state-file.h"
#include "daemon/service/tree.h"
#include "daemon/target/control.h"

enum { SPAWN_ITEMS_MAX = 6000 };

enum spawn_purpose { SPAWN_RULE, SPAWN_DENY, SPAWN_WORKDIR, SPAWN_PROGRAM };

/* One path that the broker looks at. */
struct spawn_item {
        struct run *run;
        enum spawn_purpose purpose;
        uint64_t rule;
        unsigned access; /* of the rule */
        bool file;
        char *path, *canonical; /* canonical: NULL until known */
        int error;
        enum object_kind kind;
        int fd;
};

struct spawn_link {
        char *path, *target;
};

struct spawn {
        struct command *command;
        char *program;
        int fd_spec, fds_stdio[3], fd_notifier;
        uint32_t umask;
        uint32_t ports[2 * SPAWN_PORTS_MAX];
        size_t n_ports;
        struct spawn_item *items;
        size_t n_items, n_left;
        struct spawn_link *links;
        size_t n_links, cap_links;
        uint32_t levels_left;
        bool failed;
};

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

/* --- what is there? ----------------------------------------------------------------------------------------------- */

static struct spawn_item *spawn_add_item(struct run *r, enum spawn_purpose purpose, const char *path) {
        struct spawn *s = r->spawn;
        struct spawn_item *i;

        if (s->n_items >= SPAWN_ITEMS_MAX)
                return NULL;
        i = &s->items[s->n_items];
        *i = (struct spawn_item){ .run = r, .purpose = purpose, .fd = -1 };
        i->path = strdup(path);
        if (!i->path)
                return NULL;
        s->n_items++;
        return i;
}

/* Nothing of the host's is attached there. */
static bool spawn_is_own_place(const struct run *r, const char *path) {
        return strcmp(path, "/") == 0 || pathname_is_below(path, "/proc") || pathname_is_below(path, "/dev") ||
               pathname_is_below(path, "/.nono") || (r->own_tmp && strcmp(path, "/tmp") == 0);
}

/* Is the place around @path granted, so that something denied in it would be seen? */
static bool spawn_deny_matters(const struct run *r, const struct policy_rule *rule) {
        char up[POLICY_PATH_MAX];

        return pathname_parent(rule->path, up) == 0 &&
               policy_verdict(r->plan, up, POLICY_READ).answer == POLICY_ANSWER_GRANT;
}

static bool spawn_add_rules(struct run *r) {
        const struct policy_rule *rules;
        struct spawn_item *i;
        size_t n;

        rules = policy_plan_rules(r->plan, &n);
        for (size_t k = 0; k < n; k++) {
                const struct policy_rule *rule = &rules[k];
                bool deny = rule->effect == POLICY_DENY;

                if (rule->pattern || spawn_is_own_place(r, rule->path) || (deny && !spawn_deny_matters(r, rule)))
                        continue;
                i = spawn_add_item(r, deny ? SPAWN_DENY : SPAWN_RULE, rule->path);
                if (!i)
                        return false;
                i->rule = rule->id;
                i->access = rule->access;
                i->file = rule->file;
                /* only root's and the user's own profiles may ask for directories to be made */
                if (!deny && rule->origin == POLICY_FROM_PROFILE && !rule->file && rule->access & POLICY_WRITE &&
                    pathname_is_strictly_below(rule->path, r->home))
                        i->kind = OBJECT_DIR; /* until it is resolved: may be created */
        }
        return true;
}

static void spawn_compose(struct run *r);

static bool spawn_keep_links(struct spawn *s, const struct resolved_object *o) {
        for (size_t i = 0; i < o->n_links; i++) {
                if (s->n_links == s->cap_links) {
                        size_t cap = s->cap_links ? s->cap_links * 2 : 32;
                        struct spawn_link *list = reallocarray(s->links, cap, sizeof(*list));

                        if (!list)
                                return false;
                        s->links = list;
                        s->cap_links = cap;
                }
                s->links[s->n_links] = (struct spawn_link){ strdup(o->links[2 * i]), strdup(o->links[2 * i + 1]) };
                s->n_links++;
                if (!s->links[s->n_links - 1].path || !s->links[s->n_links - 1].target)
                        return false;
        }
        return true;
}

static void on_item_resolved(struct run *r, void *arg, struct resolved_object *o) {
        struct spawn_item *i = arg;
        struct spawn *s = r->spawn;

        if (o->error == ECANCELED)
                s->failed = true;
        i->error = o->error;
        i->kind = o->kind;
        if (o->error == 0) {
                i->fd = steal_fd(&o->fd);
                i->canonical = strdup(o->canonical);
                if (!i->canonical || !spawn_keep_links(s, o))
                        s->failed = true;
        }
        if (--s->n_left > 0)
                return;
        if (r->state != RUN_RESOLVING)
                return;
        if (s->failed)
                run_fail(r, CONTROL_STEP_SETUP, EPIPE, "the session's broker is gone", NULL);
        else
                spawn_compose(r);
}

static void spawn_resolve(struct run *r) {
        struct spawn *s = r->spawn;
        size_t n;

        (void)policy_plan_rules(r->plan, &n);
        s->items = calloc(MIN_OF(n + 2, (size_t)SPAWN_ITEMS_MAX), sizeof(*s->items));
        if (!s->items || !spawn_add_rules(r) || !spawn_add_item(r, SPAWN_WORKDIR, r->workdir) ||
            (strchr(s->program, '/') && !spawn_add_item(r, SPAWN_PROGRAM, s->program))) {
                run_fail(r, CONTROL_STEP_SETUP, ENOMEM, "too many rules", NULL);
                return;
        }
        run_set_state(r, RUN_RESOLVING);
        for (size_t i = 0; i < s->n_items; i++) {
                struct spawn_item *item = &s->items[i];
                uint32_t flags = item->purpose == SPAWN_RULE && item->kind == OBJECT_DIR ? BROKER_F_CREATE_DIR : 0;

                item->kind = OBJECT_MISSING;
                s->n_left++;
                if (broker_link_resolve(r, item->path, flags, on_item_resolved, item) != 0) {
                        run_fail(r, CONTROL_STEP_SETUP, EPIPE, "the session's broker is gone", NULL);
                        return;
                }
        }
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

/* --- the view ----------------------------------------------------------------------------------------------------- */

/* These are refused by the monitor, and would end the session there: other processes' innards, other automounts. */
static bool spawn_is_attachable(const struct spawn_item *i) {
        enum { MAGIC_AUTOFS = 0x0187, MAGIC_PROC = 0x9fa0, MAGIC_CGROUP2 = 0x63677270 };
        struct statfs fs;
        struct stat st;

        if (i->fd < 0 || fstatfs(i->fd, &fs) < 0 || fstat(i->fd, &st) < 0)
                return false;
        if (fs.f_type == MAGIC_AUTOFS || fs.f_type == MAGIC_PROC || fs.f_type == MAGIC_CGROUP2)
                return false;
        return (i->kind == OBJECT_DIR) == S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode) && !S_ISCHR(st.st_mode) &&
               !S_ISBLK(st.st_mode);
}

/* What is denied under one name is denied under its real one. */
static int spawn_deny_canonical(struct run *r, const struct spawn_item *i) {
        const struct policy_rule rule = {
                .effect = POLICY_DENY,
                .origin = POLICY_FROM_REQUIRED_GROUP,
                .access = i->access,
                .file = i->file,
                .path = i->canonical,
                .raw = i->path,
                .source = (char *)"link",
        };

        if (strcmp(i->path, i->canonical) == 0 ||
            policy_verdict(r->plan, i->path, i->access & POLICY_READ ? POLICY_READ : POLICY_WRITE).answer !=
                    POLICY_ANSWER_DENY)
                return 0; /* its own name; or lifted by a rule that may */
        return policy_plan_add(r->plan, &rule, NULL);
}

static int spawn_allow_program(struct run *r, const struct spawn_item *i) {
        const struct policy_rule rule = {
                .effect = POLICY_ALLOW,
                .origin = POLICY_FROM_FLAG,
                .access = POLICY_READ,
                .file = true,
                .path = i->canonical,
                .source = (char *)"command",
        };

        if (policy_verdict(r->plan, i->canonical, POLICY_READ).answer != POLICY_ANSWER_ASK)
                return 0;
        return policy_plan_add(r->plan, &rule, NULL);
}

/* The rules on real paths. Denies first: they decide about the rest. */
static int spawn_settle_rules(struct run *r) {
        struct spawn *s = r->spawn;
        int e = 0;

        for (size_t k = 0; k < s->n_items && e == 0; k++)
                if (s->items[k].purpose == SPAWN_DENY && s->items[k].canonical)
                        e = spawn_deny_canonical(r, &s->items[k]);
        for (size_t k = 0; k < s->n_items && e == 0; k++) {
                struct spawn_item *i = &s->items[k];

                if (!i->canonical || spawn_is_own_place(r, i->canonical) ||
                    policy_verdict(r->plan, i->canonical, POLICY_READ).answer == POLICY_ANSWER_DENY)
                        continue;
                if (i->purpose == SPAWN_PROGRAM)
                        e = spawn_allow_program(r, i);
                else if (i->purpose == SPAWN_RULE && strcmp(i->path, i->canonical) != 0)
                        e = rules_replace(r->plan, i->rule, i->canonical, i->access, &i->rule);
        }
        return e;
}

static bool spawn_entry(struct run *r, const struct spawn_item *i, int index, struct layout_entry *e) {
        bool directory = i->kind == OBJECT_DIR;
        struct policy_verdict v;

        *e = (struct layout_entry){ .path = i->canonical, .directory = directory, .source = index };
        if (!i->canonical || (i->purpose != SPAWN_WORKDIR && spawn_is_own_place(r, i->canonical)))
                return false;
        v = policy_verdict(r->plan, i->canonical, POLICY_READ);
        switch (i->purpose) {
        case SPAWN_DENY:
                if (v.answer == POLICY_ANSWER_DENY) {
                        e->what = LAYOUT_MASK;
                        return true;
                }
                e->what = LAYOUT_FIXED;
                return v.answer == POLICY_ANSWER_GRANT && !(v.granted & POLICY_WRITE) && spawn_is_attachable(i);
        case SPAWN_WORKDIR:
                e->what = LAYOUT_WALK;
                return v.answer != POLICY_ANSWER_DENY;
        default:
                /* a rule for one object that is a directory grants nothing in it: its level will be made when walked to */
                if (v.answer != POLICY_ANSWER_GRANT || (directory && i->file) || i->kind == OBJECT_DEVICE ||
                    !spawn_is_attachable(i))
                        return false;
                e->what = LAYOUT_GRANT;
                e->write = v.granted & POLICY_WRITE;
                return true;
        }
}

static int spawn_layout(struct run *r, struct layout **ret) {
        _cleanup_free_ struct layout_entry *entries = NULL;
        struct spawn *s = r->spawn;
        size_t n = 0;

        entries = calloc(s->n_items + s->n_links + 1, sizeof(*entries));
        if (!entries)
                return err_raise(-ENOMEM);
        for (size_t k = 0; k < s->n_items; k++)
                if (spawn_entry(r, &s->items[k], (int)k, &entries[n]))
                        n++;
        for (size_t k = 0; k < s->n_links && n < LAYOUT_ENTRIES_MAX; k++) {
                if (spawn_is_own_place(r, s->links[k].path) || strlen(s->links[k].target) > MONITOR_TARGET_MAX ||
                    policy_verdict(r->plan, s->links[k].path, POLICY_READ).answer == POLICY_ANSWER_DENY)
                        continue;
                entries[n++] = (struct layout_entry){ .what = LAYOUT_LINK,
                                                      .path = s->links[k].path,
                                                      .target = s->links[k].target };
        }
        return layout_make(entries, n, r->own_tmp, ret);
}

static int spawn_send_node(struct run *r, const struct layout_node *n) {
        struct monitor_message m = {
                .type = MONITOR_NODE, .node = n->id, .parent = n->parent, .kind = n->kind, .flags = n->flags
        };
        struct broker_message grant = { .type = BROKER_GRANT,
                                        .node = n->id,
                                        .flags = n->flags & VIEW_WRITE ? BROKER_F_WRITE : 0 };
        const char *text = n->flags & VIEW_INSIDE ? n->name : n->target;
        size_t n_name = n->flags & VIEW_INSIDE || n->id == TREE_ROOT ? 0 : strlen(n->name),
               n_text = text ? strlen(text) : 0;
        struct tree_node *node;
        int fd = -1, e;

        if (n_name > MONITOR_NAME_MAX || n_text > MONITOR_TARGET_MAX)
                return err_raise(-ENAMETOOLONG);
        m.flags |= sentry_flag(r, n->kind, n->path);
        memcpy(m.name, n->name, n_name);
        m.name_len = (uint16_t)n_name;
        if (text)
                memcpy(m.target, text, n_text);
        m.target_len = (uint16_t)n_text;
        e = tree_add(r->tree, n->parent, n->kind, m.flags, n->path, &node);
        if (e || node->id != n->id)
                return err_raise(e < 0 ? e : -ENOSPC);
        if (n->kind == VIEW_DIR || n->kind == VIEW_FILE) {
                fd = n->source >= 0 ? steal_fd(&r->spawn->items[n->source].fd) : -1;
                if (fd < 0)
                        return err_raise(-EBADF);
                (void)broker_link_send(r, &grant, n->path, NULL, -1);
                if (m.flags & VIEW_SENTRY && (e = sentry_tell(r, n->path, fd)) != 0) {
                        fd_close(&fd);
                        return err_pass(e);
                }
        }
        if (n->kind == VIEW_LEVEL)
                r->spawn->levels_left++;
        return monitor_link_send(r, &m, &fd, fd >= 0 ? 1 : 0);
}

/* No rule speaks of it, and the broker does not hear of it: it is never written, revoked or asked for. */
static int spawn_send_state_file(struct run *r) {
        struct monitor_message m = { .type = MONITOR_NODE, .parent = TREE_ROOT, .kind = VIEW_FILE };
        const char *name = pathname_last(STATE_FILE_PATH);
        struct tree_node *n;
        int fd, e;

        if (r->service->fd_state < 0)
                return 0;
        e = tree_add(r->tree, TREE_ROOT, VIEW_FILE, 0, STATE_FILE_PATH, &n);
        if (e)
                return err_raise(e < 0 ? e : -ENOSPC);
        n->own = true;
        m.node = n->id;
        m.name_len = (uint16_t)strlen(name);
        memcpy(m.name, name, m.name_len);
        fd = state_file_make(r);
        return fd >= 0 ? monitor_link_send(r, &m, &fd, 1) : err_pass(fd);
}

static void on_start(struct run *r, void *arg, const void *answer, const char *text, size_t n_text, int *fds,
                     size_t n_fds) {
        const struct monitor_message *m = answer;

        if (m && m->type == MONITOR_REPLY && m->error)
                spawn_view_failed(r, m->node, m->error);
}

static int spawn_send_start(struct run *r) {
        struct monitor_message m = { .type = MONITOR_START, .umask = r->spawn->umask };
        struct spawn *s = r->spawn;
        int fds[4] = { steal_fd(&s->fd_spec), -1, -1, -1 };
        size_t n = 1;

        for (int k = 0; k < 3; k++)
                if (s->fds_stdio[k] >= 0) {
                        m.flags |= BIT(k);
                        fds[n++] = steal_fd(&s->fds_stdio[k]);
                }
        return monitor_link_ask(r, &m, fds, n, on_start, NULL);
}

static const struct spawn_item *spawn_find(const struct spawn *s, enum spawn_purpose purpose) {
        for (size_t i = 0; i < s->n_items; i++)
                if (s->items[i].purpose == purpose)
                        return &s->items[i];
        return NULL;
}

/* What cannot work is said now, in words, rather than by the kernel later. */
static bool spawn_check_command(struct run *r) {
        const struct spawn_item *workdir = spawn_find(r->spawn, SPAWN_WORKDIR),
                                *program = spawn_find(r->spawn, SPAWN_PROGRAM);
        char path[1024], message[1200];

        if (workdir->error || workdir->kind != OBJECT_DIR) {
                snprintf(message, sizeof(message), "%s: %s", escape_str(workdir->path, path, sizeof(path)),
                         workdir->error == EACCES ? "no permission for the working directory"
                                                  : "the working directory does not exist");
                run_fail(r, CONTROL_STEP_CHDIR, workdir->error ? workdir->error : ENOTDIR, message, NULL);
                return false;
        }
        if (program && program->error) {
                snprintf(message, sizeof(message), "%s: %s", escape_str(program->path, path, sizeof(path)),
                         strerror(program->error));
                run_fail(r, CONTROL_STEP_EXEC, program->error, message, NULL);
                return false;
        }
        if (program && (program->kind == OBJECT_DIR || program->kind == OBJECT_DEVICE)) {
                snprintf(message, sizeof(message), "%s: not a program", escape_str(program->path, path, sizeof(path)));
                run_fail(r, CONTROL_STEP_EXEC, EACCES, message, NULL);
                return false;
        }
        return true;
}

static void spawn_compose(struct run *r) {
        _cleanup_(layout_freep) struct layout *layout = NULL;
        int e;

        if (!spawn_check_command(r))
                return;
        e = spawn_settle_rules(r);
        if (e == 0)
                e = spawn_layout(r, &layout);
        if (e) {
                run_fail(r, CONTROL_STEP_SETUP, e < 0 ? -e : ENOSPC, "the view would have too many parts", NULL);
                return;
        }
        run_set_state(r, RUN_BUILDING);
        for (size_t i = 0; i < layout->n_nodes && e == 0; i++)
                e = spawn_send_node(r, &layout->nodes[i]);
        if (e == 0)
                e = spawn_send_state_file(r);
        if (e == 0)
                e = spawn_send_start(r);
        if (e)
                run_fail(r, CONTROL_STEP_SETUP, e < 0 ? -e : EIO, "the view cannot be built", NULL);
        log_debug("session %s: %zu nodes", r->id, layout->n_nodes);
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
        else
                r->spawn_gone = true;
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
