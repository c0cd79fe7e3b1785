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
#include "daemon/service/run.h"

enum { SENTRY_QUEUE = 64 * 1024 * 1024 };

static bool sentry_is_pattern(const struct policy_rule *rule, unsigned access) {
        return rule->effect == POLICY_DENY && rule->pattern && rule->access & access;
}

bool sentry_is_needed(const struct policy_plan *plan) {
        size_t n;
        const struct policy_rule *rules = policy_plan_rules(plan, &n);

        for (size_t i = 0; i < n; i++)
                if (sentry_is_pattern(&rules[i], POLICY_READ))
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

int sentry_open(struct run *r, int fd) {
        size_t n, n_writing = 0;
        const struct policy_rule *rules = policy_plan_rules(r->plan, &n);
        int e, none = -1;

        if (sentry_is_needed(r->plan) && fd < 0)
                return err_raise(-EPROTO);
        if (fd >= 0) {
                e = channel_new(r->service->loop, fd, &broker_format, SENTRY_QUEUE, on_sentry_message, on_sentry_closed, r,
                                &r->sentry);
                if (e) {
                        fd_close(&fd);
                        return err_pass(e);
                }
        }
        for (size_t i = 0; i < n; i++) {
                struct broker_message m = { .type = BROKER_PATTERN, .flags = rules[i].file ? BROKER_F_FILE : 0 };
                bool lifts = r->sentry && rules[i].effect == POLICY_ALLOW && rules[i].lift &&
                             rules[i].access == (POLICY_READ | POLICY_WRITE); /* an open is not judged by its direction */

                if (!lifts && !sentry_is_pattern(&rules[i], POLICY_READ | POLICY_WRITE))
                        continue;
                m.access = lifts ? rules[i].lift : plan_deny_class(&rules[i]);
                m.flags |= (lifts ? BROKER_F_LIFTS : 0) | (rules[i].pattern ? 0 : BROKER_F_LITERAL);
                if (broker_link_send(r, &m, rules[i].path, NULL, -1) != 0)
                        return err_raise(-EPIPE);
                if (!(rules[i].access & POLICY_READ))
                        n_writing++;
                else if (r->sentry && (e = sentry_send(r, m, rules[i].path, &none)) != 0)
                        return err_pass(e);
        }
        if (n_writing > 0)
                log_warning("session %s: %zu patterns deny only writing: inside granted directories they are held by name, "
                            "and a program that races its own calls gets past them", r->id, n_writing);
        return r->sentry ? sentry_send(r, (struct broker_message){ .type = BROKER_SERVE }, NULL, &none) : 0;
}

uint32_t sentry_flag(const struct run *r, uint32_t kind, const char *path) {
        const struct policy_rule *rules;
        size_t n;

        if (kind != VIEW_DIR || !r->sentry || !r->plan)
                return 0;
        rules = policy_plan_rules(r->plan, &n);
        for (size_t i = 0; i < n; i++)
                if (sentry_is_pattern(&rules[i], POLICY_READ) && policy_glob_reaches_below(rules[i].path, path))
                        return VIEW_SENTRY;
        return 0;
}

int sentry_tell(struct run *r, const char *path, int fd) {
        int fd_own = fd_dup(fd);

        return fd_own < 0 ? err_raise(fd_own) : sentry_send(r, (struct broker_message){ .type = BROKER_SCAN }, path, &fd_own);
}
