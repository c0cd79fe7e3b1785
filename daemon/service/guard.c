/*
 * A mask is a mount on a name. Replacing the name on the host detaches it, so the broker watches and we mask again; a
 * program that reads in the moment between has won a race (docs/security.md says so).
 *
 * Runs as: user nono.   Input: see guard.h.
 */
#include "daemon/service/guard.h"

#include "daemon/broker/message.h"
#include "daemon/monitor/request.h"
#include "daemon/policy/policy.h"
#include "daemon/service/attach.h"
#include "daemon/service/broker-link.h"
#include "daemon/service/run.h"
#include "daemon/service/tree.h"

static void on_mask_resolved(struct run *r, void *arg, struct resolved_object *o) {
        struct tree_node *around;

        if (o->error || policy_verdict(r->plan, o->canonical, POLICY_READ).answer != POLICY_ANSWER_DENY)
                return;
        around = tree_covering(r->tree, o->canonical);
        if (around && !tree_by_path(r->tree, o->canonical))
                (void)attach_node(r, around->id, VIEW_MASK, VIEW_INSIDE | (o->kind == OBJECT_DIR ? VIEW_MASK_DIR : 0),
                                  o->canonical, NULL, -1, 0, NULL, NULL);
}

void guard_mask(struct run *r, const char *path) {
        (void)broker_link_resolve(r, path, 0, on_mask_resolved, NULL);
}

void guard_start(struct run *r) {
        size_t n;
        const struct policy_rule *rules = policy_plan_rules(r->plan, &n);

        for (size_t i = 0; i < n; i++) {
                struct broker_message m = { .type = BROKER_GUARD };

                if (rules[i].effect == POLICY_DENY && !rules[i].pattern && rules[i].access & POLICY_READ &&
                    tree_covering(r->tree, rules[i].path))
                        (void)broker_link_send(r, &m, rules[i].path, NULL, -1);
        }
}

void guard_touched(struct run *r, const char *path) {
        struct tree_node *n = tree_by_path(r->tree, path);

        if (n && n->kind == VIEW_MASK)
                attach_revoke(r, n); /* what it covered is gone, and the kernel has detached it */
        guard_mask(r, path);
}
