/*
 * A node is marked by the monitor before it can be walked into, and the sentry answers nothing before it knows the
 * patterns, so there is no moment in which a pattern does not hold yet.
 *
 * Runs as: see sentry.h.   Input: see sentry.h.
 */
#include "daemon/service/sentry.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/broker/message.h"
#include "daemon/monitor/request.h"
#include "daemon/policy/glob.h"
#include "daemon/policy/plan.h"
#include "daemon/policy/policy.h"
#include "daemon/service/broker-link.h"
#include "daemon/service/channel.h"
#include "daemon/service/pathname.h"
#include "daemon/service/run.h"
#include "daemon/service/tree.h"

enum { SENTRY_QUEUE = 64 * 1024 * 1024 };

static bool sentry_is_pattern(const struct policy_rule *rule, unsigned access) {
        return rule->effect == POLICY_DENY && rule->pattern && rule->access & access;
}

/*
 * A path that is denied inside a granted directory is masked, but the host takes a mask away when it replaces the file;
 * until it is masked anew the judge refuses the open.
 */
static bool sentry_is_hidden(const struct policy_plan *plan, const struct policy_rule *rule) {
        size_t n;
        const struct policy_rule *rules = policy_plan_rules(plan, &n);

        if (rule->effect != POLICY_DENY || rule->pattern || !(rule->access & POLICY_READ))
                return false;
        for (size_t i = 0; i < n; i++)
                if (rules[i].effect == POLICY_ALLOW && !rules[i].pattern && !rules[i].file && !rules[i].lift &&
                    strcmp(rules[i].path, rule->path) != 0 && pathname_is_below(rule->path, rules[i].path))
                        return true;
        return false;
}

static bool sentry_judges(const struct policy_plan *plan, const struct policy_rule *rule) {
        return sentry_is_pattern(rule, POLICY_READ) || sentry_is_hidden(plan, rule);
}

bool sentry_is_needed(const struct policy_plan *plan) {
        size_t n;
        const struct policy_rule *rules = policy_plan_rules(plan, &n);

        for (size_t i = 0; i < n; i++)
                if (sentry_judges(plan, &rules[i]))
                        return true;
        return false;
}

static void on_sentry_message(void *arg, const void *data, size_t n, int *fds, size_t n_fds) {
}

/* The monitor ends the session. */
static void on_sentry_closed(void *arg) {
        struct run *r = arg;

        r->sentry = channel_free(r->sentry);
}

static int sentry_send(struct run *r, struct broker_message m, const char *text, int *fd) {
        char record[sizeof(struct broker_message) + POLICY_PATH_MAX];
        int e;

        m.size = text ? (uint32_t)strlen(text) + 1 : 0;

        if (!r->sentry || m.size > POLICY_PATH_MAX) {
                fd_close(fd);
                return err_raise(r->sentry ? -ENAMETOOLONG : -ENOTCONN);
        }
        memcpy(record, &m, sizeof(m));
        if (text)
                memcpy(record + sizeof(m), text, m.size);
        e = channel_send(r->sentry, record, sizeof(m) + m.size, fd, *fd >= 0 ? 1 : 0);
        return e ? err_raise(e < 0 ? e : -EPIPE) : 0;
}

/* Nothing, unless it is a pattern that denies, or takes such a deny back. */
static int sentry_tell_rule(struct run *r, const struct policy_rule *rule) {
        struct broker_message m = { .type = BROKER_PATTERN, .flags = rule->file ? BROKER_F_FILE : 0 };
        bool lifts = r->sentry && rule->effect == POLICY_ALLOW && rule->lift &&
                     rule->access == (POLICY_READ | POLICY_WRITE); /* an open is not judged by its direction */
        int none = -1;

        if (!lifts && !sentry_is_pattern(rule, POLICY_READ | POLICY_WRITE) &&
            !(r->sentry && sentry_is_hidden(r->plan, rule)))
                return 0;
        m.access = lifts ? rule->lift : plan_deny_class(rule);
        m.flags |= (lifts ? BROKER_F_LIFTS : 0) | (rule->pattern ? 0 : BROKER_F_LITERAL);
        if (broker_link_send(r, &m, rule->path, NULL, -1) != 0)
                return err_raise(-EPIPE);
        return r->sentry && rule->access & POLICY_READ ? sentry_send(r, m, rule->path, &none) : 0;
}

void sentry_add(struct run *r, const struct policy_rule *rule) {
        size_t n = 0;

        if (sentry_tell_rule(r, rule) != 0)
                log_warning("session %s: a pattern cannot be denied inside granted directories", r->id);
        for (struct tree_node *d = tree_next(r->tree, 0); d; d = tree_next(r->tree, d->id))
                n += d->kind == VIEW_DIR && !(d->flags & VIEW_SENTRY) && policy_glob_reaches_below(rule->path, d->path);
        if (n > 0)
                log_warning(
                        "session %s: a pattern that is denied only now does not hold against opens in %zu directories that "
                        "were granted before",
                        r->id, n);
}

int sentry_open(struct run *r, int fd) {
        size_t n, n_writing = 0;
        const struct policy_rule *rules = policy_plan_rules(r->plan, &n);
        int e, none = -1;

        if (sentry_is_needed(r->plan) && fd < 0)
                return err_raise(-EPROTO);
        if (fd >= 0) {
                e = channel_new(r->service->loop, fd, &broker_format, SENTRY_QUEUE, on_sentry_message, on_sentry_closed,
                                r, &r->sentry);
                if (e) {
                        fd_close(&fd);
                        return err_pass(e);
                }
        }
        for (size_t i = 0; i < n; i++) {
                e = sentry_tell_rule(r, &rules[i]);
                if (e)
                        return err_pass(e);
                n_writing += sentry_is_pattern(&rules[i], POLICY_WRITE) && !sentry_is_pattern(&rules[i], POLICY_READ);
        }
        if (n_writing > 0)
                log_warning(
                        "session %s: %zu patterns deny only writing: inside granted directories they are held by name, "
                        "and a program that races its own calls gets past them",
                        r->id, n_writing);
        return r->sentry ? sentry_send(r, (struct broker_message){ .type = BROKER_SERVE }, NULL, &none) : 0;
}

uint32_t sentry_flag(const struct run *r, uint32_t kind, const char *path) {
        const struct policy_rule *rules;
        size_t n;

        if (kind != VIEW_DIR || !r->sentry || !r->plan)
                return 0;
        rules = policy_plan_rules(r->plan, &n);
        for (size_t i = 0; i < n; i++)
                if (rules[i].pattern ? sentry_is_pattern(&rules[i], POLICY_READ) && policy_glob_reaches_below(rules[i].path, path)
                                     : sentry_is_hidden(r->plan, &rules[i]) && pathname_is_below(rules[i].path, path))
                        return VIEW_SENTRY;
        return 0;
}

int sentry_tell(struct run *r, const char *path, int fd) {
        int fd_own = fd_dup(fd);

        return fd_own < 0 ? err_raise(fd_own)
                          : sentry_send(r, (struct broker_message){ .type = BROKER_SCAN }, path, &fd_own);
}
