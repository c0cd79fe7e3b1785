/*
 * A name in a level is judged by its own path; the full path of the walk, read from the waiting process, decides only what
 * is shown and whether the name becomes one more level. A false full path wins nothing but a level to walk on in.
 *
 * Runs as: user nono.   Input: see judge.h.
 */
#include "daemon/service/judge.h"

#include <string.h>

#include "daemon/service/pathname.h"

static void judge_copy(char *to, const char *from) {
        size_t n = strnlen(from, POLICY_PATH_MAX - 1);

        memcpy(to, from, n);
        to[n] = '\0';
}

static void judge_refuse(struct ruling *r, const struct policy_rule *rule) {
        r->what = RULING_REFUSE;
        r->rule = rule;
        r->reason = NONO__REASON__REASON_RULE;
}

static void judge_ask(struct ruling *r, const char *path, bool directory) {
        r->what = RULING_ASK;
        r->directory = directory;
        judge_copy(r->path, path);
}

/* Where the session has a place of its own, a link that leads there shows nothing of the host's. */
static bool judge_is_private(const char *path, bool own_tmp) {
        return pathname_is_below(path, "/proc") || pathname_is_below(path, "/dev") ||
               (own_tmp && pathname_is_below(path, "/tmp"));
}

static void judge_link(const struct policy_plan *plan, const struct request *q, bool granted, bool own_tmp,
                       struct ruling *r) {
        char target[POLICY_PATH_MAX], dir[POLICY_PATH_MAX];
        struct policy_verdict v;
        const char *rest;

        judge_copy(target, q->canonical);
        if (!*target && (pathname_parent(q->path, dir) || pathname_normalise(dir, q->target, target))) {
                judge_refuse(r, NULL);
                r->reason = NONO__REASON__REASON_ERROR;
                return;
        }
        r->what = RULING_LINK;
        if (judge_is_private(target, own_tmp))
                return;
        v = policy_verdict(plan, target, POLICY_READ);
        if (v.answer == POLICY_ANSWER_DENY)
                judge_refuse(r, v.rule);
        if (v.answer != POLICY_ANSWER_ASK || granted)
                return;
        /* what lies behind the link, as far as the walk wants to go */
        rest = *q->full ? pathname_relative(q->full, q->path) : NULL;
        judge_ask(r, target, q->directory);
        if (rest && *rest && pathname_join(target, rest, r->path) == 0) {
                v = policy_verdict(plan, r->path, POLICY_READ);
                if (v.answer == POLICY_ANSWER_DENY)
                        judge_refuse(r, v.rule);
                else if (v.answer != POLICY_ANSWER_ASK)
                        r->what = RULING_LINK;
        }
}

static void judge_object(const struct policy_plan *plan, const struct request *q, const struct policy_verdict *v,
                         struct ruling *r) {
        unsigned granted = v->granted;

        if (*q->canonical && strcmp(q->canonical, q->path) != 0) {
                /* the host changed under the name: the object is what counts */
                struct policy_verdict w = policy_verdict(plan, q->canonical, POLICY_READ);

                if (w.answer == POLICY_ANSWER_DENY) {
                        judge_refuse(r, w.rule);
                        return;
                }
                if (w.answer != POLICY_ANSWER_GRANT) {
                        judge_ask(r, q->canonical, q->kind == OBJECT_DIR);
                        return;
                }
                granted &= w.granted;
        }
        r->rule = v->rule;
        r->write = granted & POLICY_WRITE;
        r->deny_below = v->deny_below;
        /* a rule for one object that is a directory: itself, not what is in it */
        r->what = q->kind == OBJECT_DIR && v->rule && v->rule->file ? RULING_LEVEL : RULING_ATTACH;
}

static void judge_unknown(const struct policy_plan *plan, const struct request *q, struct ruling *r) {
        struct policy_verdict v;

        judge_ask(r, q->path, q->kind == OBJECT_DIR);
        if (q->kind != OBJECT_DIR || !*q->full || !pathname_is_strictly_below(q->full, q->path))
                return;
        v = policy_verdict(plan, q->full, POLICY_READ);
        if (v.answer == POLICY_ANSWER_DENY)
                judge_refuse(r, v.rule);
        else if (v.answer != POLICY_ANSWER_ASK)
                r->what = RULING_LEVEL;
        else
                judge_ask(r, q->full, q->directory);
}

static void judge_name(const struct policy_plan *plan, const struct request *q, bool own_tmp, struct ruling *ret) {
        struct policy_verdict v;

        memset(ret, 0, offsetof(struct ruling, path));
        ret->path[0] = ret->second[0] = '\0';
        ret->access = POLICY_READ | (q->access & POLICY_WRITE);
        if (q->kind == OBJECT_MISSING) {
                ret->what = RULING_MISSING;
                return;
        }
        v = policy_verdict(plan, q->path, POLICY_READ);
        if (v.answer == POLICY_ANSWER_DENY) {
                judge_refuse(ret, v.rule);
                return;
        }
        switch (q->kind) {
        case OBJECT_SYMLINK:
                judge_link(plan, q, v.answer == POLICY_ANSWER_GRANT, own_tmp, ret);
                return;
        case OBJECT_DEVICE:
                judge_refuse(ret, NULL);
                ret->reason = NONO__REASON__REASON_ERROR;
                return;
        default:
                break;
        }
        if (v.answer == POLICY_ANSWER_GRANT)
                judge_object(plan, q, &v, ret);
        else if (v.answer == POLICY_ANSWER_DESCEND && q->kind == OBJECT_DIR)
                ret->what = RULING_LEVEL;
        else
                judge_unknown(plan, q, ret);
}

void judge_walk(const struct policy_plan *plan, const struct request *q, bool own_tmp, struct ruling *ret) {
        judge_name(plan, q, own_tmp, ret);
        if (ret->what == RULING_ASK && q->unreachable)
                ret->what = RULING_HOST;
}

/* Only these name two places that are written. */
static bool judge_has_second(const struct request *q) {
        return *q->second && (q->operation == OPERATION_RENAME || q->operation == OPERATION_LINK);
}

bool judge_place(const struct request *q, bool second, char ret[POLICY_PATH_MAX]) {
        bool whole = q->type == REQUEST_WIDEN && (q->operation == OPERATION_MKDIR || q->operation == OPERATION_RENAME ||
                                                  q->operation == OPERATION_LINK || q->operation == OPERATION_SYMLINK ||
                                                  q->operation == OPERATION_DELETE ||
                                                  (q->operation == OPERATION_CREATE && q->kind == OBJECT_MISSING));

        if (second && !judge_has_second(q))
                return false;
        judge_copy(ret, second ? q->second : q->path);
        return !whole || pathname_parent(ret, ret) == 0;
}

void judge_change(const struct policy_plan *plan, const struct request *q, struct ruling *ret) {
        const unsigned access = POLICY_READ | POLICY_WRITE;
        struct policy_verdict v, w = { .answer = POLICY_ANSWER_GRANT };
        char place[POLICY_PATH_MAX], other[POLICY_PATH_MAX];
        bool two;

        memset(ret, 0, offsetof(struct ruling, path));
        ret->path[0] = ret->second[0] = '\0';
        ret->access = access;
        two = judge_place(q, true, other);
        if (!judge_place(q, false, place)) {
                judge_refuse(ret, NULL);
                ret->reason = NONO__REASON__REASON_ERROR;
                return;
        }
        /* the names themselves are judged too: a directory may be granted, and something denied in it */
        v = policy_verdict(plan, q->path, access);
        if (v.answer != POLICY_ANSWER_DENY && strcmp(place, q->path) != 0)
                v = policy_verdict(plan, place, access);
        if (two) {
                w = policy_verdict(plan, q->second, access);
                if (w.answer != POLICY_ANSWER_DENY && strcmp(other, q->second) != 0)
                        w = policy_verdict(plan, other, access);
        }
        if (v.answer == POLICY_ANSWER_DENY || w.answer == POLICY_ANSWER_DENY) {
                judge_refuse(ret, v.answer == POLICY_ANSWER_DENY ? v.rule : w.rule);
                return;
        }
        if (v.answer == POLICY_ANSWER_GRANT && w.answer == POLICY_ANSWER_GRANT) {
                ret->what = RULING_ALLOW;
                ret->rule = v.rule;
                return;
        }
        judge_ask(ret, v.answer == POLICY_ANSWER_GRANT ? other : place,
                  strcmp(place, q->path) != 0 || (q->type == REQUEST_CHANGE && q->operation == OPERATION_MKDIR));
        if (v.answer != POLICY_ANSWER_GRANT && w.answer != POLICY_ANSWER_GRANT && strcmp(place, other) != 0)
                judge_copy(ret->second, other);
}
