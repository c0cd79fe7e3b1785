/*
 * Everything the user named is looked at by the broker, with the user's rights, before anything is decided: what counts is
 * the canonical path of what is there.
 *
 * Runs as: user nono.   Input: the broker's answers, checked by broker-link.c.
 */
#include <string.h>

#include "common/cleanup.h"
#include "daemon/policy/policy.h"
#include "daemon/service/broker-link.h"
#include "daemon/service/pathname.h"
#include "daemon/service/run.h"
#include "daemon/service/spawn-steps.h"
#include "daemon/target/control.h"

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

bool spawn_is_own_place(const struct run *r, const char *path) {
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

void spawn_resolve(struct run *r) {
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
