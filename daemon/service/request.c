/*
 * From a ruling to its effect. The only way from a request to an attach is request_apply(), and it is only reached with a
 * ruling of judge.c about the rules as they are now; what came with an older set of rules is judged again.
 *
 * A granted directory with something denied inside is attached as a level, not as a whole: attaching it first and masking
 * afterwards would leave a moment in which the denied part is open, and a second process of the session could wait for it.
 * (Before the program runs there is no such moment, so the static view uses masks.)
 *
 * Runs as: user nono.   Input: see request.h.
 */
#include "daemon/service/request.h"

#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/loop.h"
#include "daemon/monitor/request.h"
#include "daemon/policy/policy.h"
#include "daemon/service/attach.h"
#include "daemon/service/broker-link.h"
#include "daemon/service/judge.h"
#include "daemon/service/pathname.h"
#include "daemon/service/run.h"
#include "daemon/service/tree.h"

enum { REQUEST_DENIES_MAX = 128 };

static bool request_copy(char **ret, const char *text) {
        *ret = strdup(text ? text : "");
        return *ret;
}

struct request *request_new(struct run *run, enum request_type type, const char *path, const char *full,
                            const char *canonical, const char *target, const char *second, const char *chain) {
        struct request *q;

        if (run->n_requests >= REQUESTS_MAX)
                return NULL;
        q = calloc(1, sizeof(*q));
        if (!q)
                return NULL;
        q->run = run;
        q->type = type;
        q->fd_object = q->fd_pid = -1;
        q->at = &run->requests;
        q->next = run->requests;
        if (q->next)
                q->next->at = &q->next;
        run->requests = q;
        run->n_requests++;
        if (!request_copy(&q->path, path) || !request_copy(&q->full, full) || !request_copy(&q->canonical, canonical) ||
            !request_copy(&q->target, target) || !request_copy(&q->second, second) || !request_copy(&q->chain, chain))
                return request_free(q);
        return q;
}

struct request *request_free(struct request *q) {
        if (!q)
                return NULL;
        decide_leave(&q->waiting);
        *q->at = q->next;
        if (q->next)
                q->next->at = q->at;
        q->run->n_requests--;
        fd_close(&q->fd_object);
        fd_close(&q->fd_pid);
        free(q->path);
        free(q->full);
        free(q->canonical);
        free(q->target);
        free(q->second);
        free(q->chain);
        free(q);
        return NULL;
}

static void request_verdict(struct request *q, int error) {
        struct broker_message m = { .type = BROKER_VERDICT, .tag = q->tag, .error = error };

        (void)broker_link_send(q->run, &m, NULL, NULL, -1);
        request_free(q);
}

void request_refuse(struct request *q, int error) {
        if (q->type != REQUEST_WALK) {
                request_verdict(q, error);
                return;
        }
        attach_refuse(q->run, q->node, q->token, error);
        request_free(q);
}

void request_allow(struct request *q) {
        request_verdict(q, 0);
}

struct request *request_find(struct run *run, uint64_t tag) {
        for (struct request *q = run->requests; q; q = q->next)
                if (q->tag == tag)
                        return q;
        return NULL;
}

void request_gone(struct request *q) {
        struct prompt *p = q->waiting.prompt;
        struct run *r = q->run;

        if (q->lent) {
                q->gone = true;
                return;
        }
        request_free(q);
        if (p)
                request_prompt_left(r, p);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void request_tell_denied(struct request *q, const char *path, unsigned access, const struct policy_rule *rule,
                                Nono__Reason reason) {
        struct feed_event e = {
                .type = NONO__EVENT_TYPE__EVENT_DENIED,
                .path = path,
                .chain = q->chain,
                .pid = q->pid,
                .access = access,
                .directory = q->directory,
                .executable = q->executable,
                .operation = (Nono__Operation)q->operation,
                .reason = reason,
                .source = rule ? rule->source : NULL,
                .line = rule ? rule->line : 0,
        };

        run_tell_denied(q->run, &e);
}

void request_describe(const struct prompt *p, struct feed_event *e) {
        e->request = p->id;
        e->path = p->path;
        e->second = p->second;
        e->directory = p->directory;
        e->executable = p->executable;
        e->access = p->access;
        e->operation = p->operation;
        e->chain = p->chain;
        e->pid = p->pid;
        e->count = p->count;
}

void request_prompt_left(struct run *run, struct prompt *p) {
        struct feed_event e = { .type = NONO__EVENT_TYPE__EVENT_WITHDRAWN };

        if (p->waiting)
                return;
        request_describe(p, &e);
        run_tell(run, &e);
        decide_drop(run->decide, p);
        run_arm_deadline(run);
}

void request_deny_prompt(struct run *run, struct prompt *p, Nono__Reason reason) {
        struct feed_event e = { .type = NONO__EVENT_TYPE__EVENT_DENIED, .reason = reason };

        request_describe(p, &e);
        run_tell(run, &e);
        while (p->waiting)
                request_refuse((struct request *)p->waiting, EACCES);
        decide_drop(run->decide, p);
        run_arm_deadline(run);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static void request_ask(struct request *q, const struct ruling *ruling) {
        struct run *r = q->run;
        const struct decide_question question = {
                .path = ruling->path,
                .second = *ruling->second ? ruling->second : NULL,
                .chain = q->chain,
                .access = ruling->access,
                .directory = ruling->directory,
                .executable = q->executable,
                .operation = (Nono__Operation)q->operation,
                .pid = q->pid,
        };
        struct feed_event e = { .type = NONO__EVENT_TYPE__EVENT_REQUEST };
        Nono__Reason reason = NONO__REASON__REASON_ERROR;
        struct prompt *p = NULL;
        bool first = true;
        int a;

        a = decide_ask(r->decide, &question, r->service->last_request + 1, loop_now_us(), loop_realtime_us(),
                       &q->waiting, &p, &reason, &first);
        switch (a) {
        case DECIDE_WAIT:
                r->service->last_request++;
                request_describe(p, &e);
                run_tell(r, &e);
                run_arm_deadline(r);
                break;
        case DECIDE_MERGED:
                break;
        default:
                if (first)
                        request_tell_denied(q, ruling->path, ruling->access, NULL, reason);
                request_refuse(q, EACCES);
                break;
        }
}

/* --- is something denied inside a directory? ----------------------------------------------------------------------- */

struct request_check {
        struct request *q;
        size_t left;
};

static void on_deny_resolved(struct run *r, void *arg, struct resolved_object *o) {
        struct request_check *c = arg;
        struct request *q = c->q;

        if (o->error == 0 && (!*o->canonical || pathname_is_strictly_below(o->canonical, q->path)))
                q->denies_below = true;
        else if (o->error != 0 && o->error != ENOENT && o->error != ENOTDIR)
                q->denies_below = true; /* nobody can say: take the careful way */
        if (--c->left > 0)
                return;
        free(c);
        q->lent = false;
        q->below_checked = true;
        if (q->gone)
                request_free(q);
        else
                request_judge(q);
}

/* Return: true when answers are awaited; the request comes back by itself. */
static bool request_check_below(struct request *q) {
        struct run *r = q->run;
        struct request_check *c;
        const struct policy_rule *rules;
        size_t n;

        rules = policy_plan_rules(r->plan, &n);
        c = calloc(1, sizeof(*c));
        if (!c) {
                q->below_checked = q->denies_below = true;
                return false;
        }
        c->q = q;
        for (size_t i = 0; i < n; i++) {
                if (rules[i].effect != POLICY_DENY || rules[i].pattern ||
                    !pathname_is_strictly_below(rules[i].path, q->path))
                        continue;
                if (c->left >= REQUEST_DENIES_MAX || broker_link_resolve(r, rules[i].path, 0, on_deny_resolved, c) != 0)
                        q->denies_below = true;
                else
                        c->left++;
        }
        if (c->left == 0) {
                free(c);
                q->below_checked = true;
                return false;
        }
        q->lent = true;
        return true;
}

/* --- walks -------------------------------------------------------------------------------------------------------- */

static void request_tell_granted(struct run *r, const char *path, bool write, bool directory, uint64_t grant) {
        struct feed_event e = {
                .type = NONO__EVENT_TYPE__EVENT_GRANTED,
                .path = path,
                .access = POLICY_READ | (write ? POLICY_WRITE : 0U),
                .directory = directory,
                .grant = grant,
        };

        run_tell_denied(r, &e);
}

struct request_attach {
        char *path;
        bool write, directory, silent;
        uint64_t grant;
};

static void on_request_attached(struct run *r, void *arg, int error) {
        struct request_attach *a = arg;
        struct feed_event e = { .type = NONO__EVENT_TYPE__EVENT_DENIED,
                                .path = a->path,
                                .reason = NONO__REASON__REASON_ERROR,
                                .error = (uint32_t)error };

        if (error == 0 && !a->silent)
                request_tell_granted(r, a->path, a->write, a->directory, a->grant);
        else if (error && error != ECANCELED)
                run_tell_denied(r, &e);
        free(a->path);
        free(a);
}

/* Consumes the request: the attach answers its token, or refuses it. */
static void request_attach_walk(struct request *q, uint32_t kind, uint32_t flags, const char *target,
                                const struct policy_rule *rule) {
        struct run *r = q->run;
        struct request_attach *a = calloc(1, sizeof(*a));
        int e;

        if (!a || !(a->path = strdup(q->path))) {
                free(a);
                request_refuse(q, EACCES);
                return;
        }
        a->write = flags & VIEW_WRITE;
        a->directory = kind == VIEW_DIR;
        a->silent = kind == VIEW_LEVEL || kind == VIEW_SYMLINK;
        a->grant = rule ? rule->id : 0;
        e = attach_node(r, q->node, kind, flags, q->path, target,
                        kind == VIEW_DIR || kind == VIEW_FILE ? steal_fd(&q->fd_object) : -1, q->token,
                        on_request_attached, a);
        if (e == 0) {
                request_free(q);
                return;
        }
        on_request_attached(r, a, e);
        request_refuse(q, EACCES);
}

/* What the broker sent must be what it says: the kind decides how the monitor attaches it. */
static bool request_object_fits(const struct request *q) {
        struct stat st;

        if (q->fd_object < 0 || fstat(q->fd_object, &st) < 0)
                return false;
        return (q->kind == OBJECT_DIR) == S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode) && !S_ISCHR(st.st_mode) &&
               !S_ISBLK(st.st_mode);
}

static void request_apply_walk(struct request *q, const struct ruling *ruling) {
        struct broker_message missing = { .type = BROKER_FAIL, .node = q->node, .token = q->token };

        switch (ruling->what) {
        case RULING_MISSING:
                (void)broker_link_send(q->run, &missing, NULL, NULL, -1);
                request_free(q);
                break;
        case RULING_ATTACH:
                if (q->kind == OBJECT_DIR && ruling->deny_below && !q->below_checked && request_check_below(q))
                        break;
                if (!request_object_fits(q))
                        request_refuse(q, EACCES);
                else if (q->kind != OBJECT_DIR)
                        request_attach_walk(q, VIEW_FILE, ruling->write ? VIEW_WRITE : 0, NULL, ruling->rule);
                else if (ruling->deny_below && q->denies_below)
                        request_attach_walk(q, VIEW_LEVEL, 0, NULL, NULL);
                else
                        request_attach_walk(q, VIEW_DIR, ruling->write ? VIEW_WRITE : 0, NULL, ruling->rule);
                break;
        case RULING_LEVEL:
                request_attach_walk(q, VIEW_LEVEL, 0, NULL, NULL);
                break;
        case RULING_LINK:
                if (*q->target)
                        request_attach_walk(q, VIEW_SYMLINK, 0, q->target, NULL);
                else
                        request_refuse(q, EACCES);
                break;
        case RULING_ASK:
                request_ask(q, ruling);
                break;
        case RULING_HOST:
                request_refuse(q, EACCES); /* as the host does; no news for anybody */
                break;
        default:
                request_tell_denied(q, q->path, ruling->access, ruling->rule, ruling->reason);
                request_refuse(q, EACCES);
                break;
        }
}

static void request_judge_walk(struct request *q) {
        struct run *r = q->run;
        struct tree_node *level = tree_by_id(r->tree, q->node), *there;
        struct ruling ruling;

        if (!level || level->kind != VIEW_LEVEL) {
                request_free(q); /* the level is gone, and with it whoever waited */
                return;
        }
        there = tree_by_path(r->tree, q->path);
        if (there && !there->standing && !there->planted) {
                q->lent = q->late = true;
                q->held_next = there->held;
                there->held = q;
                return;
        }
        if (there && (!q->late || there->kind == VIEW_LEVEL) && !there->planted) {
                request_refuse(q, EACCES); /* an inner mount namespace that does not see it: it would ask for ever */
                return;
        }
        judge_walk(r->plan, q, r->own_tmp, &ruling);
        if (there && ruling.what != RULING_ASK && ruling.what != RULING_HOST && ruling.what != RULING_REFUSE &&
            ruling.what != RULING_MISSING)
                attach_revoke(r, there);
        request_apply_walk(q, &ruling);
}

/* --- changes ------------------------------------------------------------------------------------------------------ */

static void on_widened(struct run *r, void *arg, int error) {
        struct request *q = arg;

        q->lent = false;
        if (q->gone)
                request_free(q);
        else if (error)
                request_refuse(q, EACCES);
        else
                request_judge(q); /* a rename has a second place; and the rules may be others by now */
}

/* A part of a read-only grant becomes writable: attached over it, read-write. */
static void on_part_resolved(struct run *r, void *arg, struct resolved_object *o) {
        struct request *q = arg;
        struct tree_node *around = NULL;
        char place[POLICY_PATH_MAX];
        bool directory = o->kind == OBJECT_DIR;
        int e = EACCES;

        if (o->error == 0 && !q->gone && o->kind != OBJECT_DEVICE)
                around = tree_covering(r->tree, o->canonical);
        for (int i = 0; around && e && i < 2; i++)
                if (judge_place(q, i == 1, place) && strcmp(place, o->canonical) == 0)
                        e = attach_node(r, around->id, directory ? VIEW_DIR : VIEW_FILE, VIEW_WRITE | VIEW_INSIDE,
                                        place, NULL, steal_fd(&o->fd), 0, on_widened, q);
        if (e)
                on_widened(r, q, e);
}

/* Is everything in @n that is attached separately writable as well? Then the whole may become so. */
static bool request_whole_is_writable(const struct run *r, const struct tree_node *n) {
        struct policy_verdict v = policy_verdict(r->plan, n->path, POLICY_READ | POLICY_WRITE);

        if (v.answer != POLICY_ANSWER_GRANT)
                return false;
        for (const struct tree_node *c = n->children; c; c = c->next)
                if ((c->kind == VIEW_DIR || c->kind == VIEW_FILE) && !(c->flags & VIEW_WRITE) &&
                    policy_verdict(r->plan, c->path, POLICY_READ | POLICY_WRITE).answer != POLICY_ANSWER_GRANT)
                        return false;
        return true;
}

/* What keeps @path from being written: the node that stands there, or the directory grant around it. */
static struct tree_node *request_read_only(const struct run *r, const char *path) {
        struct tree_node *n = tree_by_path(r->tree, path);

        if (!n)
                n = tree_covering(r->tree, path);
        return n && (n->kind == VIEW_DIR || n->kind == VIEW_FILE) && !(n->flags & VIEW_WRITE) ? n : NULL;
}

/* Ruled: everything the call needs is granted for writing. One place after the other is made so. */
static void request_widen(struct request *q) {
        struct run *r = q->run;
        struct tree_node *n = NULL;
        char place[POLICY_PATH_MAX];
        int e = 0;

        for (int i = 0; i < 2 && !n; i++)
                if (judge_place(q, i == 1, place))
                        n = request_read_only(r, place);
        if (!n) {
                request_allow(q);
                return;
        }
        q->lent = true;
        if (!n->standing || ++q->widened > 2)
                e = EACCES;
        else if (request_whole_is_writable(r, n))
                e = attach_set_write(r, n, true, on_widened, q);
        else if (strcmp(n->path, place) != 0)
                e = broker_link_resolve(r, place, 0, on_part_resolved, q) ? EIO : 0;
        else
                e = EACCES;
        if (e)
                on_widened(r, q, e);
}

static void request_judge_change(struct request *q) {
        struct ruling ruling;

        judge_change(q->run->plan, q, &ruling);
        switch (ruling.what) {
        case RULING_ALLOW:
                if (q->type == REQUEST_WIDEN)
                        request_widen(q);
                else
                        request_allow(q);
                break;
        case RULING_ASK:
                request_ask(q, &ruling);
                break;
        default:
                request_tell_denied(q, q->path, ruling.access, ruling.rule, ruling.reason);
                request_refuse(q, EACCES);
                break;
        }
}

void request_judge(struct request *q) {
        if (q->run->killed || q->run->state == RUN_ENDING)
                request_refuse(q, EACCES);
        else if (q->type == REQUEST_WALK)
                request_judge_walk(q);
        else
                request_judge_change(q);
}

static bool request_still_asks(struct request *q, const struct prompt *p) {
        struct ruling ruling;

        if (q->type == REQUEST_WALK)
                judge_walk(q->run->plan, q, q->run->own_tmp, &ruling);
        else
                judge_change(q->run->plan, q, &ruling);
        return ruling.what == RULING_ASK && ruling.access == p->access && strcmp(ruling.path, p->path) == 0;
}

/* Return: true when one was judged again; the lists may have changed then. */
static bool request_replay_one(struct run *run) {
        for (struct prompt *p = decide_first(run->decide); p; p = p->next)
                for (struct waiting *w = p->waiting; w; w = w->next) {
                        struct request *q = (struct request *)w;
                        struct feed_event e = { .type = NONO__EVENT_TYPE__EVENT_APPROVED };

                        if (request_still_asks(q, p))
                                continue;
                        decide_leave(w);
                        if (!p->waiting) {
                                /* whoever shows this prompt learns that it is answered */
                                request_describe(p, &e);
                                run_tell(run, &e);
                                decide_drop(run->decide, p);
                        }
                        request_judge(q);
                        return true;
                }
        return false;
}

void request_replay(struct run *run) {
        if (run->replaying) {
                run->replay_again = true;
                return;
        }
        run->replaying = true;
        do {
                run->replay_again = false;
                while (request_replay_one(run))
                        ;
        } while (run->replay_again);
        run->replaying = false;
        run_arm_deadline(run);
}
