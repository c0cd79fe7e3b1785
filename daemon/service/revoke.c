/*
 * The broker must see the mounts while they stand, and look for what is open in them when they are gone: what is opened in
 * between is found as well.
 *
 * Runs as: user nono.   Input: see revoke.h.
 */
#include "daemon/service/revoke.h"

#include <stdbool.h>
#include <string.h>

#include "common/error.h"
#include "daemon/broker/message.h"
#include "daemon/monitor/request.h"
#include "daemon/policy/policy.h"
#include "daemon/service/broker-link.h"
#include "daemon/service/grant.h"
#include "daemon/service/pathname.h"
#include "daemon/service/run.h"
#include "daemon/service/tree.h"

enum { REVOKE_MOUNTS_MAX = 128 };

struct revoke {
        struct revoke *next, **at;
        uint64_t grant, client;
        uint32_t seq;
        revoke_fn fn;
        void *arg;
        bool detaching;
        char path[POLICY_PATH_MAX];
};

/* Answers and frees. */
static void revoke_done(struct revoke *v, int error, uint32_t killed) {
        *v->at = v->next;
        if (v->next)
                v->next->at = v->at;
        v->fn(v->client, v->seq, error, v->path, killed, v->arg);
        free(v);
}

void revoke_free_all(struct run *r) {
        while (r->revokes)
                revoke_done(r->revokes, ECANCELED, 0);
}

static void on_ended(struct run *r, void *arg, const void *answer, const char *text, size_t n_text, int *fds,
                     size_t n_fds) {
        const struct broker_message *m = answer;

        revoke_done(arg, m ? 0 : r->broker_lost ? EPIPE : ECANCELED, m ? m->token : 0);
}

/* Return: 0 when @fn will be called. */
static int revoke_ask(struct run *r, struct broker_message *m, const char *path, pending_fn fn, struct revoke *v) {
        int e = pending_add(r->pending, r, fn, v, &m->tag);

        if (e == 0) {
                e = broker_link_send(r, m, path, NULL, -1);
                if (e)
                        pending_forget(r->pending, m->tag);
        }
        return e;
}

void revoke_detached(struct run *r) {
        for (struct revoke *v = r->revokes, *next; v; v = next) {
                struct broker_message m = { .type = BROKER_END_HOLDERS };

                next = v->next;
                if (!v->detaching)
                        continue;
                v->detaching = false;
                if (revoke_ask(r, &m, NULL, on_ended, v) != 0)
                        revoke_done(v, EPIPE, 0);
        }
}

static void revoke_go(struct run *r, struct revoke *v) {
        int e = grant_revoke(r, v->grant, NONO__REASON__REASON_PERSON, v->path);

        if (e) {
                revoke_done(v, e, 0);
                return;
        }
        v->detaching = true;
        if (r->n_detaching == 0)
                revoke_detached(r);
}

static void on_remembered(struct run *r, void *arg, const void *answer, const char *text, size_t n_text, int *fds,
                          size_t n_fds) {
        struct revoke *v = arg;

        if (!answer && !r->broker_lost)
                revoke_done(v, ECANCELED, 0); /* the session is being freed */
        else
                revoke_go(r, v);
}

/* What may be detached with @rule. Return: how many mounts, the last one not sent yet but in *ret_last. */
static void revoke_remember(struct run *r, const struct policy_rule *rule, const struct tree_node **last, unsigned *n) {
        for (struct tree_node *k = tree_next(r->tree, TREE_ROOT); k && *n < REVOKE_MOUNTS_MAX;
             k = tree_next(r->tree, k->id)) {
                struct broker_message m = { .type = BROKER_HOLDERS };

                if ((k->kind != VIEW_DIR && k->kind != VIEW_FILE) || !k->standing ||
                    !(rule->pattern ? policy_glob_match(rule->path, k->path) : pathname_is_below(k->path, rule->path)))
                        continue;
                if (*last) {
                        m.node = (*last)->id;
                        (void)broker_link_send(r, &m, (*last)->path, NULL, -1);
                }
                *last = k;
                ++*n;
        }
}

void revoke_and_kill(struct run *r, uint64_t grant, uint64_t client, uint32_t seq, revoke_fn fn, void *arg) {
        struct broker_message m = { .type = BROKER_HOLDERS };
        const struct approval *a = grant_find(r, grant);
        const struct tree_node *last = NULL;
        const struct policy_rule *rules;
        unsigned n_mounts = 0;
        struct revoke *v = calloc(1, sizeof(*v));
        size_t n;

        if (!v) {
                fn(client, seq, -ENOMEM, "", 0, arg);
                return;
        }
        v->grant = grant;
        v->client = client;
        v->seq = seq;
        v->fn = fn;
        v->arg = arg;
        v->at = &r->revokes;
        v->next = r->revokes;
        if (v->next)
                v->next->at = &v->next;
        r->revokes = v;
        rules = policy_plan_rules(r->plan, &n);
        for (size_t i = 0; i < n; i++)
                if (rules[i].effect == POLICY_ALLOW &&
                    (rules[i].id == grant ||
                     (a && (a->rules[0] == rules[i].id || (a->n_rules > 1 && a->rules[1] == rules[i].id)))))
                        revoke_remember(r, &rules[i], &last, &n_mounts);
        if (last)
                m.node = last->id;
        /* without one: nothing of it stands, or it does not exist */
        if (!last || revoke_ask(r, &m, last->path, on_remembered, v) != 0)
                revoke_go(r, v);
}
