/*
 * Order matters more than anything here. The broker learns of a grant before the monitor attaches it, so that a write
 * refused a microsecond later finds its grant; it learns of a level afterwards, with the level's descriptor. The monitor
 * works its messages off in order: a detach that is sent before an attach is done before it.
 *
 * Runs as: user nono.   Input: see attach.h.
 */
#include "daemon/service/attach.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/policy/policy.h"
#include "daemon/service/broker-link.h"
#include "daemon/service/monitor-link.h"
#include "daemon/service/pathname.h"
#include "daemon/service/request.h"
#include "daemon/service/revoke.h"
#include "daemon/service/run.h"
#include "daemon/service/sentry.h"
#include "daemon/service/tree.h"

struct attach {
        struct attach *also; /* asked for the same meanwhile */
        uint32_t node, level, token;
        bool write;
        attach_fn fn;
        void *arg;
};

static void attach_done(struct run *r, struct attach *a, int error) {
        attach_fn fn = a->fn;
        void *arg = a->arg;

        free(a);
        if (fn)
                fn(r, arg, error);
}

void attach_refuse(struct run *r, uint32_t level, uint32_t token, int error) {
        struct monitor_message m = { .type = MONITOR_REFUSE, .node = level, .token = token, .error = error };
        struct broker_message answered = { .type = BROKER_ANSWERED, .token = token };

        if (!token || !r->monitor_id || r->state < RUN_STARTING || r->killed)
                return;
        (void)monitor_link_send(r, &m, NULL, 0);
        (void)broker_link_send(r, &answered, NULL, NULL, -1);
}

/* Walks that asked for the same name meanwhile are judged now that it is known what stands there. */
static void attach_release_held(struct run *r, struct tree_node *n) {
        struct request *q = n->held;

        n->held = NULL;
        while (q) {
                struct request *next = q->held_next;

                q->held_next = NULL;
                q->lent = false;
                if (q->gone)
                        request_free(q);
                else
                        request_judge(q);
                q = next;
        }
}

static void attach_forget(void *arg, struct tree_node *n) {
        struct run *r = arg;
        struct broker_message ungrant = { .type = BROKER_UNGRANT, .node = n->id };

        if (n->kind == VIEW_DIR || n->kind == VIEW_FILE || n->kind == VIEW_LEVEL)
                (void)broker_link_send(r, &ungrant, NULL, NULL, -1);
        for (struct request *q = n->held, *next; q; q = next) {
                next = q->held_next;
                q->held_next = NULL;
                q->lent = false;
                if (q->gone)
                        request_free(q);
                else
                        request_refuse(q, EACCES);
        }
        n->held = NULL;
}

static void attach_level_stands(struct run *r, const struct monitor_message *m, const char *path, uint32_t token,
                                int *fd) {
        struct broker_message level = { .type = BROKER_LEVEL, .node = m->node, .dev = m->dev, .token = token };

        (void)broker_link_send(r, &level, path, NULL, steal_fd(fd));
}

static void on_attached(struct run *r, void *arg, const void *answer, const char *text, size_t n_text, int *fds,
                        size_t n_fds) {
        struct attach *a = arg;
        const struct monitor_message *m = answer;
        struct tree_node *n = tree_by_id(r->tree, a->node);
        int error = m ? m->error : ECANCELED;
        bool level = m && m->type == MONITOR_LEVEL && n_fds == 1;

        if (!m) {
                attach_done(r, a, error);
                return;
        }
        if (n && n->kind == VIEW_LEVEL && !level && error == 0)
                error = EPROTO;
        if (error || !n) {
                /* also when it was revoked meanwhile: what was sent last wins, and the walk finds nothing */
                if (error || level)
                        attach_refuse(r, a->level, a->token, EACCES);
                if (n)
                        tree_remove(r->tree, n, attach_forget, r);
                attach_done(r, a, error ? error : ECANCELED);
                return;
        }
        n->standing = true;
        if (level) {
                n->dev = m->dev;
                attach_level_stands(r, m, n->path, a->token, &fds[0]);
        } else if (a->token) {
                struct broker_message answered = { .type = BROKER_ANSWERED, .token = a->token };

                (void)broker_link_send(r, &answered, NULL, NULL, -1);
        }
        attach_release_held(r, n);
        attach_done(r, a, 0);
}

static int attach_fill(struct monitor_message *m, const struct tree_node *parent, const char *path,
                       const char *target) {
        const char *name = m->flags & VIEW_INSIDE ? pathname_relative(path, parent->path) : pathname_last(path);
        size_t n = name ? strlen(name) : 0, n_target = target ? strlen(target) : 0;

        if (n == 0 || n_target > MONITOR_TARGET_MAX)
                return n == 0 ? EINVAL : ENAMETOOLONG;
        if (m->flags & VIEW_INSIDE) {
                if (n > MONITOR_TARGET_MAX)
                        return ENAMETOOLONG;
                memcpy(m->target, name, n);
                m->target_len = (uint16_t)n;
                return 0;
        }
        if (n > MONITOR_NAME_MAX)
                return ENAMETOOLONG;
        memcpy(m->name, name, n);
        m->name_len = (uint16_t)n;
        if (n_target > 0)
                memcpy(m->target, target, n_target);
        m->target_len = (uint16_t)n_target;
        return 0;
}

static int attach_send(struct run *r, struct tree_node *n, struct monitor_message *m, int *fd, struct attach *a) {
        struct broker_message grant = { .type = BROKER_GRANT,
                                        .node = n->id,
                                        .flags = n->flags & VIEW_WRITE ? BROKER_F_WRITE : 0 };

        if (n->kind == VIEW_DIR || n->kind == VIEW_FILE)
                (void)broker_link_send(r, &grant, n->path, NULL, -1);
        if (n->flags & VIEW_SENTRY && sentry_tell(r, n->path, *fd) != 0)
                return err_raise(-EPIPE);
        m->node = n->id;
        return monitor_link_ask(r, m, fd, *fd >= 0 ? 1 : 0, on_attached, a);
}

int attach_node(struct run *r, uint32_t parent, uint32_t kind, uint32_t flags, const char *path, const char *target,
                int fd, uint32_t token, attach_fn fn, void *arg) {
        struct monitor_message m = {
                .type = MONITOR_ATTACH, .parent = parent, .kind = kind, .flags = flags, .token = token
        };
        _cleanup_close_ int fd_object = fd;
        const struct tree_node *up = tree_by_id(r->tree, parent);
        struct tree_node *n;
        struct attach *a;
        int e;

        m.flags = flags |= sentry_flag(r, kind, path);
        if (!up || r->state < RUN_STARTING || r->killed)
                return ECANCELED;
        e = attach_fill(&m, up, path, target);
        if (e)
                return e;
        e = tree_add(r->tree, parent, kind, flags, path, &n);
        if (e)
                return e == TREE_E_FULL ? ENOSPC : e == TREE_E_EXISTS ? EEXIST : -e;
        a = calloc(1, sizeof(*a));
        if (a)
                *a = (struct attach){ .node = n->id, .level = parent, .token = token, .fn = fn, .arg = arg };
        if (!a || attach_send(r, n, &m, &fd_object, a) != 0) {
                free(a);
                tree_remove(r->tree, n, attach_forget, r);
                return ENOMEM;
        }
        return 0;
}

static void on_detached(struct run *r, void *arg, const void *answer, const char *text, size_t n_text, int *fds,
                        size_t n_fds) {
        r->n_detaching--;
        if (answer && r->n_detaching == 0)
                revoke_detached(r);
}

void attach_revoke(struct run *r, struct tree_node *n) {
        struct monitor_message m = { .type = MONITOR_REVOKE, .node = n->id };

        if (n->id == TREE_ROOT)
                return;
        if (r->state >= RUN_STARTING && !r->killed && monitor_link_ask(r, &m, NULL, 0, on_detached, NULL) == 0)
                r->n_detaching++;
        tree_remove(r->tree, n, attach_forget, r);
}

static void on_write_set(struct run *r, void *arg, const void *answer, const char *text, size_t n_text, int *fds,
                         size_t n_fds) {
        struct attach *a = arg;
        const struct monitor_message *m = answer;
        struct tree_node *n = tree_by_id(r->tree, a->node);
        int error = m ? m->error : ECANCELED;

        if (n && n->switching == a)
                n->switching = NULL;
        if (error == 0 && n) {
                struct broker_message grant = { .type = BROKER_GRANT,
                                                .node = n->id,
                                                .flags = a->write ? BROKER_F_WRITE : 0 };

                n->flags = a->write ? n->flags | VIEW_WRITE : n->flags & ~(uint32_t)VIEW_WRITE;
                (void)broker_link_send(r, &grant, n->path, NULL, -1);
        }
        while (a) {
                struct attach *also = a->also;

                attach_done(r, a, error);
                a = also;
        }
}

int attach_set_write(struct run *r, struct tree_node *n, bool write, attach_fn fn, void *arg) {
        struct monitor_message m = { .type = MONITOR_WIDEN, .node = n->id, .flags = write ? VIEW_WRITE : 0 };
        struct attach *a;

        if (r->state < RUN_STARTING || r->killed)
                return ECANCELED;
        a = calloc(1, sizeof(*a));
        if (!a)
                return ENOMEM;
        *a = (struct attach){ .node = n->id, .write = write, .fn = fn, .arg = arg };
        if (n->switching && n->switching->write == write) {
                a->also = n->switching->also;
                n->switching->also = a;
                return 0;
        }
        if (monitor_link_ask(r, &m, NULL, 0, on_write_set, a) != 0) {
                free(a);
                return ENOMEM;
        }
        n->switching = a;
        return 0;
}

void attach_plant(struct run *r, uint32_t level, const char *name) {
        const struct tree_node *up = tree_by_id(r->tree, level);
        char path[POLICY_PATH_MAX];
        struct tree_node *n;
        struct policy_verdict v;

        if (!up || up->kind != VIEW_LEVEL || !up->standing || pathname_join(up->path, name, path) ||
            tree_by_path(r->tree, path) || tree_count_planted(r->tree) >= TREE_PLANTED_MAX)
                return;
        /* what may come into being is better asked for each time */
        v = policy_verdict(r->plan, path, POLICY_READ);
        if (v.answer == POLICY_ANSWER_GRANT || v.answer == POLICY_ANSWER_DESCEND)
                return;
        if (attach_node(r, level, VIEW_SYMLINK, 0, path, TREE_NOWHERE, -1, 0, NULL, NULL) != 0)
                return;
        n = tree_by_path(r->tree, path);
        if (n)
                tree_mark_planted(r->tree, n);
}

void attach_unplant(struct run *r, uint32_t level, const char *name) {
        struct tree_node *n = tree_child(r->tree, level, name);

        if (n && n->planted)
                attach_revoke(r, n);
}
