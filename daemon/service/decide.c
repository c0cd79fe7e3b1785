/*
 * Every way out that is not a person's yes is a no: no time, no room, nobody there, asked before. A flood costs the
 * flooder its own prompts only: the number of prompts and of remembered answers is bounded, requests beyond are denied.
 *
 * Runs as: user nono.   Input: see decide.h.
 */
#include "daemon/service/decide.h"

#include <string.h>

#include "common/error.h"
#include "config.h"
#include "daemon/policy/policy.h"
#include "daemon/service/pathname.h"

const struct decide_limits decide_default_limits = {
        .attended_us = 600 * UINT64_C(1000000),
        .unattended_us = 10 * UINT64_C(1000000),
        .remember_us = 60 * UINT64_C(1000000),
        .prompts_max = 64,
        .remember_max = 1024,
};

struct remembered {
        struct remembered *next;
        unsigned access;
        uint64_t until_us;
        char path[];
};

struct decide {
        struct decide_limits limits;
        struct prompt *prompts, **last;
        struct remembered *noes;
        size_t n_prompts, n_noes;
        bool sealed, attended;
        bool unanswered; /* a prompt ran out with nobody there: do not wait again until somebody comes */
        bool flooded;    /* the limit was reached and said */
};

int decide_new(const struct decide_limits *limits, struct decide **ret) {
        struct decide *d = calloc(1, sizeof(*d));

        if (!d)
                return err_raise(-ENOMEM);
        d->limits = *limits;
        d->last = &d->prompts;
        *ret = d;
        return 0;
}

static void prompt_free(struct prompt *p) {
        free(p->path);
        free(p->second);
        free(p->chain);
        free(p);
}

struct decide *decide_free(struct decide *d) {
        if (!d)
                return NULL;
        while (d->prompts)
                decide_drop(d, d->prompts);
        while (d->noes) {
                struct remembered *n = d->noes;

                d->noes = n->next;
                free(n);
        }
        free(d);
        return NULL;
}

void decide_set_sealed(struct decide *d, bool sealed) {
        d->sealed = sealed;
}

void decide_set_attended(struct decide *d, bool attended, uint64_t now_us) {
        if (attended == d->attended)
                return;
        d->attended = attended;
        if (attended)
                d->unanswered = false;
        for (struct prompt *p = d->prompts; p; p = p->next)
                p->deadline_us = attended ? p->since_us + d->limits.attended_us
                                          : MIN_OF(p->deadline_us, now_us + d->limits.unattended_us);
}

/* Also forgets what is too old. */
static bool decide_was_denied(struct decide *d, const char *path, unsigned access, uint64_t now_us) {
        bool found = false;

        for (struct remembered **at = &d->noes; *at;) {
                struct remembered *n = *at;

                if (n->until_us <= now_us) {
                        *at = n->next;
                        free(n);
                        d->n_noes--;
                        continue;
                }
                if (n->access == access && strcmp(n->path, path) == 0)
                        found = true;
                at = &n->next;
        }
        return found;
}

static void decide_link(struct prompt *p, struct waiting *w) {
        w->prompt = p;
        w->next = p->waiting;
        w->at = &p->waiting;
        if (w->next)
                w->next->at = &w->next;
        p->waiting = w;
        if (p->count < UINT32_MAX)
                p->count++;
}

static bool prompt_is(const struct prompt *p, const struct decide_question *q) {
        if (p->access != q->access || strcmp(p->path, q->path) != 0)
                return false;
        return p->second && q->second ? strcmp(p->second, q->second) == 0 : !p->second && !q->second;
}

static struct prompt *prompt_new(const struct decide_question *q) {
        struct prompt *p = calloc(1, sizeof(*p));

        if (!p)
                return NULL;
        p->path = strdup(q->path);
        p->second = q->second ? strdup(q->second) : NULL;
        p->chain = strdup(q->chain ? q->chain : "");
        if (!p->path || !p->chain || (q->second && !p->second)) {
                prompt_free(p);
                return NULL;
        }
        p->access = q->access;
        p->directory = q->directory;
        p->executable = q->executable;
        p->operation = q->operation;
        p->pid = q->pid;
        return p;
}

int decide_ask(struct decide *d, const struct decide_question *q, uint64_t new_id, uint64_t now_us,
               uint64_t realtime_us, struct waiting *w, struct prompt **ret_prompt, Nono__Reason *ret_reason,
               bool *ret_first) {
        struct prompt *p;

        *ret_first = true;
        for (p = d->prompts; p; p = p->next)
                if (prompt_is(p, q)) {
                        decide_link(p, w);
                        *ret_prompt = p;
                        return DECIDE_MERGED;
                }
        if (d->sealed) {
                *ret_reason = NONO__REASON__REASON_SEALED;
                return DECIDE_DENY;
        }
        if (decide_was_denied(d, q->path, q->access, now_us)) {
                *ret_reason = NONO__REASON__REASON_REMEMBERED;
                return DECIDE_DENY;
        }
        if (!d->attended && d->unanswered) {
                *ret_reason = NONO__REASON__REASON_NOBODY;
                return DECIDE_DENY;
        }
        if (d->n_prompts >= d->limits.prompts_max) {
                *ret_first = !d->flooded;
                d->flooded = true;
                *ret_reason = NONO__REASON__REASON_LIMIT;
                return DECIDE_DENY;
        }
        d->flooded = false;
        p = prompt_new(q);
        if (!p)
                return err_raise(-ENOMEM);
        p->id = new_id;
        p->since_us = now_us;
        p->realtime_us = realtime_us;
        p->deadline_us = now_us + (d->attended ? d->limits.attended_us : d->limits.unattended_us);
        p->at = d->last;
        *d->last = p;
        d->last = &p->next;
        d->n_prompts++;
        decide_link(p, w);
        *ret_prompt = p;
        return DECIDE_WAIT;
}

void decide_leave(struct waiting *w) {
        if (!w->prompt)
                return;
        *w->at = w->next;
        if (w->next)
                w->next->at = w->at;
        *w = (struct waiting){ 0 };
}

void decide_drop(struct decide *d, struct prompt *p) {
        while (p->waiting)
                decide_leave(p->waiting);
        *p->at = p->next;
        if (p->next)
                p->next->at = p->at;
        else
                d->last = p->at;
        d->n_prompts--;
        prompt_free(p);
}

struct prompt *decide_first(const struct decide *d) {
        return d->prompts;
}

struct prompt *decide_find(const struct decide *d, uint64_t id) {
        for (struct prompt *p = d->prompts; p; p = p->next)
                if (p->id == id)
                        return p;
        return NULL;
}

size_t decide_count(const struct decide *d) {
        return d->n_prompts;
}

void decide_remember(struct decide *d, const char *path, unsigned access, uint64_t now_us) {
        size_t n = strlen(path) + 1;
        struct remembered *no;

        if (decide_was_denied(d, path, access, now_us) || d->n_noes >= d->limits.remember_max)
                return; /* a full memory only means that the person is asked again */
        no = malloc(sizeof(*no) + n);
        if (!no)
                return;
        no->access = access;
        no->until_us = now_us + d->limits.remember_us;
        memcpy(no->path, path, n);
        no->next = d->noes;
        d->noes = no;
        d->n_noes++;
}

void decide_forget(struct decide *d, const char *path) {
        for (struct remembered **at = &d->noes; *at;) {
                struct remembered *n = *at;

                if (pathname_is_below(n->path, path)) {
                        *at = n->next;
                        free(n);
                        d->n_noes--;
                } else
                        at = &n->next;
        }
}

struct prompt *decide_overdue(struct decide *d, uint64_t now_us, Nono__Reason *ret_reason) {
        for (struct prompt *p = d->prompts; p; p = p->next)
                if (p->deadline_us <= now_us) {
                        *ret_reason = d->attended ? NONO__REASON__REASON_TIMEOUT : NONO__REASON__REASON_NOBODY;
                        d->unanswered = d->unanswered || !d->attended;
                        return p;
                }
        return NULL;
}

uint64_t decide_deadline(const struct decide *d) {
        uint64_t first = UINT64_MAX;

        for (struct prompt *p = d->prompts; p; p = p->next)
                first = MIN_OF(first, p->deadline_us);
        return first;
}

bool decide_is_too_wide(const char *path) {
        static const char *const never[] = { "/", "/home", "/tmp" };
        static const char *const own[] = { "/proc", "/dev", "/.nono", NONOD_RUNTIME_DIR, NONOD_STATE_DIR };

        for (size_t i = 0; i < ELEMENTSOF(never); i++)
                if (strcmp(path, never[i]) == 0)
                        return true;
        for (size_t i = 0; i < ELEMENTSOF(own); i++)
                if (pathname_is_below(path, own[i]))
                        return true;
        return false;
}

int decide_scope(const char *path, bool directory, Nono__Scope scope, char *ret, bool *ret_file) {
        size_t n = strlen(path);
        int up = 0;

        *ret_file = false;
        switch (scope) {
        case NONO__SCOPE__SCOPE_FOLDER:
                up = directory ? 0 : 1;
                break;
        case NONO__SCOPE__SCOPE_PARENT:
                up = directory ? 1 : 2;
                break;
        default:
                *ret_file = !directory;
                break;
        }
        if (n >= POLICY_PATH_MAX)
                return DECIDE_SCOPE_E_WIDE;
        memcpy(ret, path, n + 1);
        for (; up > 0; up--)
                if (pathname_parent(ret, ret))
                        return DECIDE_SCOPE_E_WIDE;
        return decide_is_too_wide(ret) ? DECIDE_SCOPE_E_WIDE : DECIDE_SCOPE_OK;
}
