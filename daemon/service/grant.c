/*
 * Rules of a running session. A rule is added first and the view follows; taking one back goes the same way: the rules are
 * the truth, and every node that no rule supports any more is detached.
 *
 * Runs as: user nono.   Input: see grant.h.
 */
#include "daemon/service/grant.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/loop.h"
#include "daemon/monitor/request.h"
#include "daemon/policy/policy.h"
#include "daemon/service/attach.h"
#include "daemon/service/broker-link.h"
#include "daemon/service/guard.h"
#include "daemon/service/pathname.h"
#include "daemon/service/request.h"
#include "daemon/service/run.h"
#include "daemon/service/sentry.h"
#include "daemon/service/tree.h"

enum { GRANT_15M_US = 900 * 1000000, GRANT_PROCESSES_MAX = 32 };

struct approval_process {
        struct approval_process *next;
        struct approval *approval;
        struct loop_source *source;
        int fd;
};

struct approval *grant_find(const struct run *r, uint64_t id) {
        for (struct approval *a = r->approvals; a; a = a->next)
                for (unsigned i = 0; i < a->n_rules; i++)
                        if (a->rules[i] == id)
                                return a;
        return NULL;
}

static void approval_drop_process(struct approval_process **at) {
        struct approval_process *p = *at;

        *at = p->next;
        loop_source_free(p->source);
        fd_close(&p->fd);
        free(p);
}

static void approval_free(struct approval *a) {
        *a->at = a->next;
        if (a->next)
                a->next->at = a->at;
        a->run->n_approvals--;
        while (a->processes)
                approval_drop_process(&a->processes);
        loop_source_free(a->timer);
        free(a->path);
        free(a);
}

void grant_free_all(struct run *r) {
        while (r->approvals)
                approval_free(r->approvals);
}

static struct approval *approval_new(struct run *r, const char *path, Nono__Scope scope, Nono__Duration duration) {
        struct approval *a;

        if (r->n_approvals >= RUN_APPROVALS_MAX)
                return NULL;
        a = calloc(1, sizeof(*a));
        if (!a)
                return NULL;
        a->path = strdup(path);
        if (!a->path) {
                free(a);
                return NULL;
        }
        a->run = r;
        a->scope = scope;
        a->duration = duration;
        a->since_us = loop_realtime_us();
        a->at = &r->approvals;
        a->next = r->approvals;
        if (a->next)
                a->next->at = &a->next;
        r->approvals = a;
        r->n_approvals++;
        return a;
}

static void approval_expire(struct approval *a) {
        char path[POLICY_PATH_MAX];

        (void)grant_revoke(a->run, a->id, NONO__REASON__REASON_EXPIRED, path);
}

static void on_approval_time(void *arg) {
        approval_expire(arg);
}

static void on_process_gone(int fd, unsigned ready, void *arg) {
        struct approval_process *p = arg;
        struct approval *a = p->approval;

        for (struct approval_process **at = &a->processes; *at; at = &(*at)->next)
                if (*at == p) {
                        approval_drop_process(at);
                        break;
                }
        if (!a->processes)
                approval_expire(a);
}

static void approval_watch(struct approval *a, int fd_pid) {
        struct approval_process *p;
        size_t n = 0;

        for (p = a->processes; p; p = p->next)
                n++;
        if (fd_pid < 0 || n >= GRANT_PROCESSES_MAX)
                return;
        p = calloc(1, sizeof(*p));
        if (!p)
                return;
        p->fd = fd_dup(fd_pid);
        if (p->fd < 0 || loop_io(a->run->service->loop, p->fd, LOOP_READ, on_process_gone, p, &p->source) != 0) {
                fd_close(&p->fd);
                free(p);
                return;
        }
        p->approval = a;
        p->next = a->processes;
        a->processes = p;
}

/* Starts its time: what was answered, or what the administrator allows at most. */
static bool approval_limit(struct approval *a) {
        uint64_t most = policy_store_ceiling(a->run->service->store).grant_max_us;
        uint64_t us = a->duration == NONO__DURATION__DURATION_15M ? GRANT_15M_US : UINT64_MAX;

        if (most > 0)
                us = MIN_OF(us, most);
        if (us == UINT64_MAX)
                return true;
        a->expires_us = a->since_us + us;
        return loop_timer(a->run->service->loop, us, on_approval_time, a, &a->timer) == 0;
}

/* Adds one rule to @a. Return: 0 or an outcome. */
static int approval_add_rule(struct approval *a, const char *path, bool file, unsigned access, char *ret_why) {
        const struct policy_rule rule = {
                .effect = POLICY_ALLOW,
                .origin = POLICY_FROM_SESSION,
                .access = access,
                .file = file,
                .path = (char *)path,
                .source = (char *)"approved",
        };
        struct policy_verdict v = policy_verdict(a->run->plan, path, access);
        int e;

        if (v.answer == POLICY_ANSWER_DENY) {
                snprintf(ret_why, 512, "%s:%u", v.rule && v.rule->source ? v.rule->source : "a rule",
                         v.rule ? v.rule->line : 0);
                return GRANT_E_DENIED;
        }
        e = policy_plan_add(a->run->plan, &rule, &a->rules[a->n_rules]);
        if (e)
                return e < 0 ? err_pass(e) : e == POLICY_E_LIMIT ? GRANT_E_LIMIT : GRANT_E_WIDE;
        a->n_rules++;
        return 0;
}

static void approval_undo(struct approval *a) {
        for (unsigned i = 0; i < a->n_rules; i++)
                (void)policy_plan_remove(a->run->plan, a->rules[i]);
        approval_free(a);
}

static void on_grant_widened(struct run *r, void *arg, int error) {
}

/* What stands read-only and may be written now is switched; what was planted as missing and may be had now is taken away. */
static void grant_apply(struct run *r, const char *path) {
        uint32_t id = TREE_ROOT;

        for (struct tree_node *n = tree_next(r->tree, id); n; n = tree_next(r->tree, id)) {
                id = n->id;
                if (n->planted && (pathname_is_below(n->path, path) || pathname_is_below(path, n->path)))
                        attach_revoke(r, n);
                else if ((n->kind == VIEW_DIR || n->kind == VIEW_FILE) && !(n->flags & VIEW_WRITE) &&
                         pathname_is_below(n->path, path) &&
                         policy_verdict(r->plan, n->path, POLICY_READ | POLICY_WRITE).answer == POLICY_ANSWER_GRANT)
                        (void)attach_set_write(r, n, true, on_grant_widened, NULL);
        }
}

static const struct policy_rule *grant_rule(const struct run *r, uint64_t id);

static void grant_apply_rules(struct approval *a) {
        char path[POLICY_PATH_MAX];

        for (unsigned i = 0; i < a->n_rules; i++) {
                const struct policy_rule *rule = grant_rule(a->run, a->rules[i]);

                if (!rule)
                        continue;
                snprintf(path, sizeof(path), "%s", rule->path);
                decide_forget(a->run->decide, path);
                grant_apply(a->run, path);
        }
}

static int approval_scope(const char *path, bool directory, Nono__Scope scope, char *ret, bool *ret_file) {
        return decide_scope(path, directory, scope, ret, ret_file) ? GRANT_E_WIDE : 0;
}

static int grant_approve_rules(struct approval *a, const struct prompt *p, Nono__Scope scope, unsigned access,
                               char *ret_why) {
        char path[POLICY_PATH_MAX];
        bool file;
        int e;

        e = approval_scope(p->path, p->directory, scope, path, &file);
        if (e == 0)
                e = approval_add_rule(a, path, file, access, ret_why);
        if (e || !p->second)
                return e;
        e = approval_scope(p->second, p->directory, scope, path, &file);
        return e ? e : approval_add_rule(a, path, file, access, ret_why);
}

int grant_approve(struct run *r, struct prompt *p, Nono__Scope scope, Nono__Duration duration, bool write,
                  uint64_t *ret_id, char *ret_why) {
        unsigned access = p->access | POLICY_READ | (write ? POLICY_WRITE : 0U);
        struct feed_event e = { .type = NONO__EVENT_TYPE__EVENT_APPROVED };
        struct waiting *first, *w;
        struct approval *a;
        int err;

        if (scope == NONO__SCOPE__SCOPE_DEFAULT)
                scope = NONO__SCOPE__SCOPE_FILE;
        if (duration == NONO__DURATION__DURATION_DEFAULT)
                duration = NONO__DURATION__DURATION_SESSION;
        a = approval_new(r, p->path, scope, duration);
        if (!a)
                return GRANT_E_LIMIT;
        err = grant_approve_rules(a, p, scope, access, ret_why);
        if (err || !approval_limit(a)) {
                approval_undo(a);
                return err ? err : -ENOMEM;
        }
        a->id = a->rules[0];
        *ret_id = a->id;
        if (duration == NONO__DURATION__DURATION_ONCE)
                for (w = p->waiting; w; w = w->next)
                        approval_watch(a, ((struct request *)w)->fd_pid);
        request_describe(p, &e);
        e.access = access;
        e.grant = a->id;
        e.scope = scope;
        e.duration = duration;
        e.expires_us = a->expires_us;
        run_tell(r, &e);

        grant_apply_rules(a);
        /* the prompt is used up: its requests are judged by the new rules, and may ask something else */
        first = p->waiting;
        p->waiting = NULL;
        for (w = first; w; w = w->next)
                w->prompt = NULL;
        decide_drop(r->decide, p);
        while (first) {
                w = first;
                first = w->next;
                *w = (struct waiting){ 0 };
                request_judge((struct request *)w);
        }
        request_replay(r);
        run_arm_deadline(r);
        return 0;
}

void grant_deny(struct run *r, struct prompt *p) {
        decide_remember(r->decide, p->path, p->access, loop_now_us());
        request_deny_prompt(r, p, NONO__REASON__REASON_PERSON);
}

/* --- nonoctl grant ------------------------------------------------------------------------------------------------ */

struct grant_question {
        uint64_t client, id;
        uint32_t seq;
        bool write;
        Nono__Duration duration;
        grant_fn fn;
        void *arg;
        char *path; /* what was found, from here on */
        int fd;
        bool directory;
};

static void grant_answer(struct grant_question *q, int error, const char *why) {
        q->fn(q->client, q->seq, q->id, error, why, q->arg);
        fd_close(&q->fd);
        free(q->path);
        free(q);
}

/* In a level the rule alone would do: what could not be attached now is attached when it is walked to. Elsewhere nothing
 * asks, and a grant that cannot be seen is none. */
static void on_grant_attached(struct run *r, void *arg, int error) {
        struct grant_question *q = arg;
        char path[POLICY_PATH_MAX];

        if (error && error != ECANCELED)
                (void)grant_revoke(r, q->id, NONO__REASON__REASON_ERROR, path);
        grant_answer(q, error, NULL);
}

static bool grant_takes_names(const struct tree_node *n) {
        return n && n->standing && (n->kind == VIEW_LEVEL || n->kind == VIEW_TMP || n->kind == VIEW_PLAIN);
}

/* The object itself. Return: true when on_grant_attached() will be called. */
static bool grant_attach_object(struct run *r, struct grant_question *q, const struct policy_verdict *v) {
        const struct tree_node *up = tree_parent_of(r->tree, q->path), *around = tree_covering(r->tree, q->path);
        uint32_t flags = v->granted & POLICY_WRITE ? VIEW_WRITE : 0, kind = q->directory ? VIEW_DIR : VIEW_FILE;

        if (q->directory && v->deny_below)
                return false; /* when it is walked to, it is known what is in it */
        if (grant_takes_names(up))
                return attach_node(r, up->id, kind, flags, q->path, NULL, steal_fd(&q->fd), 0, on_grant_attached, q) ==
                       0;
        if (around && around->standing && flags & VIEW_WRITE && !(around->flags & VIEW_WRITE))
                return attach_node(r, around->id, kind, flags | VIEW_INSIDE, q->path, NULL, steal_fd(&q->fd), 0,
                                   on_grant_attached, q) == 0;
        return false;
}

static void on_grant_level(struct run *r, void *arg, int error);

/* The next directory that is missing on the way to it, so that it is listed. Return: true when on_grant_level() follows. */
static bool grant_attach_level(struct run *r, struct grant_question *q) {
        char path[POLICY_PATH_MAX], up[POLICY_PATH_MAX];
        struct tree_node *n = NULL;
        enum policy_answer answer;

        snprintf(up, sizeof(up), "%s", q->path);
        do {
                snprintf(path, sizeof(path), "%s", up);
                if (pathname_parent(path, up) != 0)
                        return false;
                n = tree_by_path(r->tree, up);
                if (n && n->planted) {
                        attach_revoke(r, n); /* it was said not to exist */
                        n = NULL;
                }
        } while (!n);
        answer = policy_verdict(r->plan, path, POLICY_READ).answer;
        if (!grant_takes_names(n) || strcmp(path, q->path) == 0 || answer == POLICY_ANSWER_DENY)
                return false;
        return attach_node(r, n->id, n->kind == VIEW_LEVEL ? VIEW_LEVEL : VIEW_PLAIN, 0, path, NULL, -1, 0,
                           on_grant_level, q) == 0;
}

static void grant_show(struct run *r, struct grant_question *q) {
        struct tree_node *there = tree_by_path(r->tree, q->path);
        struct policy_verdict v = policy_verdict(r->plan, q->path, POLICY_READ);

        if (there && there->planted) {
                attach_revoke(r, there);
                there = NULL;
        }
        if (there || v.answer != POLICY_ANSWER_GRANT || (!grant_attach_object(r, q, &v) && !grant_attach_level(r, q)))
                grant_answer(q, 0, NULL);
}

static void on_grant_level(struct run *r, void *arg, int error) {
        if (error == 0)
                grant_show(r, arg);
        else
                grant_answer(arg, error == ECANCELED ? ECANCELED : 0, NULL);
}

static void on_grant_resolved(struct run *r, void *arg, struct resolved_object *o) {
        struct grant_question *q = arg;
        unsigned access = POLICY_READ | (q->write ? POLICY_WRITE : 0U);
        struct feed_event e = { .type = NONO__EVENT_TYPE__EVENT_APPROVED };
        char why[512] = "";
        struct approval *a;
        int err;

        if (o->error || o->kind == OBJECT_DEVICE || decide_is_too_wide(o->canonical)) {
                grant_answer(q, o->error ? o->error : EPERM, NULL);
                return;
        }
        a = approval_new(r, o->canonical, NONO__SCOPE__SCOPE_FILE, q->duration);
        if (!a) {
                grant_answer(q, ENOSPC, NULL);
                return;
        }
        err = approval_add_rule(a, o->canonical, o->kind != OBJECT_DIR, access, why);
        if (err || !approval_limit(a)) {
                approval_undo(a);
                grant_answer(q, err == GRANT_E_DENIED ? EACCES : err == GRANT_E_WIDE ? EPERM : ENOSPC, why);
                return;
        }
        a->id = q->id = a->rules[0];
        e.path = a->path;
        e.access = access;
        e.directory = o->kind == OBJECT_DIR;
        e.grant = a->id;
        e.duration = a->duration;
        e.expires_us = a->expires_us;
        run_tell(r, &e);
        grant_apply_rules(a);
        q->path = strdup(o->canonical);
        q->directory = o->kind == OBJECT_DIR;
        q->fd = steal_fd(&o->fd);
        if (q->path)
                grant_show(r, q);
        else
                grant_answer(q, 0, NULL);
        request_replay(r);
}

int grant_path(struct run *r, const char *path, bool write, Nono__Duration duration, uint64_t client, uint32_t seq,
               grant_fn fn, void *arg) {
        struct grant_question *q;
        int e;

        if (r->state < RUN_STARTING || r->state == RUN_ENDING)
                return err_raise(-ESRCH);
        if (duration != NONO__DURATION__DURATION_15M)
                duration = NONO__DURATION__DURATION_SESSION; /* nobody asked: there is no process to wait for */
        q = calloc(1, sizeof(*q));
        if (!q)
                return err_raise(-ENOMEM);
        *q = (struct grant_question){
                .client = client, .seq = seq, .write = write, .duration = duration, .fn = fn, .arg = arg, .fd = -1
        };
        e = broker_link_resolve(r, path, 0, on_grant_resolved, q);
        if (e) {
                free(q);
                return err_pass(e);
        }
        return 0;
}

/* --- revoke ------------------------------------------------------------------------------------------------------- */

/* Detaches what no rule grants any more, and takes away writing that no rule grants. */
static void grant_enforce(struct run *r, const char *path) {
        uint32_t id = TREE_ROOT;

        for (struct tree_node *n = tree_next(r->tree, id); n; n = tree_next(r->tree, id)) {
                struct policy_verdict v;

                id = n->id;
                if (n->own || (n->kind != VIEW_DIR && n->kind != VIEW_FILE) || !pathname_is_below(n->path, path))
                        continue;
                v = policy_verdict(r->plan, n->path, POLICY_READ);
                if (v.answer != POLICY_ANSWER_GRANT)
                        attach_revoke(r, n);
                else if (n->flags & VIEW_WRITE && !(v.granted & POLICY_WRITE))
                        (void)attach_set_write(r, n, false, on_grant_widened, NULL);
        }
}

static const struct policy_rule *grant_rule(const struct run *r, uint64_t id) {
        size_t n;
        const struct policy_rule *rules = policy_plan_rules(r->plan, &n);

        for (size_t i = 0; i < n; i++)
                if (rules[i].id == id && rules[i].effect == POLICY_ALLOW)
                        return &rules[i];
        return NULL;
}

/* A rule that was not made in this session is overruled, not removed: what the profile says stays readable. */
static int grant_overrule(struct run *r, const struct policy_rule *rule, char *ret_path) {
        struct policy_rule deny = {
                .effect = POLICY_DENY,
                .origin = POLICY_FROM_SESSION,
                .access = POLICY_READ | POLICY_WRITE,
                .file = rule->file,
                .pattern = rule->pattern,
                .path = ret_path,
                .source = (char *)"revoked",
        };
        int e;

        snprintf(ret_path, POLICY_PATH_MAX, "%s", rule->path);
        e = policy_plan_add(r->plan, &deny, NULL);
        if (e)
                return e < 0 ? err_pass(e) : GRANT_E_LIMIT;
        if (deny.pattern)
                sentry_add(r, &deny);
        else if (tree_covering(r->tree, ret_path))
                guard_mask(r, ret_path);
        return 0;
}

int grant_revoke(struct run *r, uint64_t id, Nono__Reason reason, char *ret_path) {
        struct feed_event e = { .type = NONO__EVENT_TYPE__EVENT_REVOKED, .grant = id, .reason = reason };
        struct approval *a = grant_find(r, id);
        const struct policy_rule *rule;
        int err;

        if (a) {
                char paths[2][POLICY_PATH_MAX];
                unsigned n = a->n_rules;

                for (unsigned i = 0; i < n; i++) {
                        rule = grant_rule(r, a->rules[i]);
                        snprintf(paths[i], POLICY_PATH_MAX, "%s", rule ? rule->path : a->path);
                        (void)policy_plan_remove(r->plan, a->rules[i]);
                }
                snprintf(ret_path, POLICY_PATH_MAX, "%s", paths[0]);
                approval_free(a);
                for (unsigned i = 0; i < n; i++)
                        grant_enforce(r, paths[i]);
        } else {
                rule = grant_rule(r, id);
                if (!rule)
                        return GRANT_E_NOT_FOUND;
                err = grant_overrule(r, rule, ret_path);
                if (err)
                        return err;
                grant_enforce(r, rule->pattern ? "/" : ret_path);
        }
        e.path = ret_path;
        run_tell(r, &e);
        request_replay(r);
        return 0;
}
