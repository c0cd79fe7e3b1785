/*
 * The client's rules are added after the profile's and can only add: they lift nothing, and a deny wins whatever is allowed
 * later. A profile that the client read itself (a user's file) brings its own rules; required denies are still root's.
 *
 * Runs as: user nono.   Input: see rules.h.
 */
#include "daemon/service/rules.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/wire.h"
#include "config.h"
#include "daemon/service/core.h"
#include "daemon/service/decide.h"
#include "daemon/service/pathname.h"
#include "daemon/service/spawn.h"

static int rules_fail(struct policy_error *err, const char *source, const char *message) {
        snprintf(err->source, sizeof(err->source), "%s", source);
        snprintf(err->message, sizeof(err->message), "%s", message);
        err->line = err->column = 0;
        return RULES_E_POLICY;
}

/* Keeps only what @keep says. */
static int rules_filter(struct policy_plan *p, bool (*keep)(const struct policy_rule *rule, const void *arg),
                        const void *arg) {
        _cleanup_free_ uint64_t *ids = NULL;
        const struct policy_rule *rules;
        size_t n, m = 0;

        rules = policy_plan_rules(p, &n);
        ids = calloc(n + 1, sizeof(*ids));
        if (!ids)
                return err_raise(-ENOMEM);
        for (size_t i = 0; i < n; i++)
                if (!keep(&rules[i], arg))
                        ids[m++] = rules[i].id;
        for (size_t i = 0; i < m; i++)
                (void)policy_plan_remove(p, ids[i]);
        return 0;
}

static bool rule_is_roots_deny(const struct policy_rule *rule, const void *arg) {
        return rule->effect == POLICY_DENY &&
               (rule->origin == POLICY_FROM_CEILING || rule->origin == POLICY_FROM_REQUIRED_GROUP);
}

static bool rule_may_stay(const struct policy_rule *rule, const void *arg) {
        const char *tmpdir = arg;

        if (rule->effect != POLICY_ALLOW || rule->pattern)
                return true;
        if (!rule->file && strcmp(rule->path, "/") == 0)
                return false; /* a working directory of "/": never the whole file system */
        if (rule->origin != POLICY_FROM_GROUP && rule->origin != POLICY_FROM_REQUIRED_GROUP)
                return true;
        return strcmp(rule->path, "/tmp") != 0 && !(tmpdir && strcmp(rule->path, tmpdir) == 0);
}

static char *rules_copy(const char *s) {
        return s ? strdup(s) : NULL;
}

int rules_replace(struct policy_plan *p, uint64_t id, const char *path, unsigned access, uint64_t *ret_id) {
        _cleanup_free_ char *copy = NULL, *source = NULL, *group = NULL, *raw = NULL;
        const struct policy_rule *rules;
        struct policy_rule rule;
        size_t n, i;
        int r;

        rules = policy_plan_rules(p, &n);
        for (i = 0; i < n && rules[i].id != id; i++)
                ;
        if (i == n)
                return POLICY_E_NOT_FOUND;
        rule = rules[i];
        copy = strdup(path);
        source = rules_copy(rule.source);
        group = rules_copy(rule.group);
        raw = strdup(rule.raw ? rule.raw : rule.path);
        if (!copy || !raw || (rule.source && !source) || (rule.group && !group))
                return err_raise(-ENOMEM);
        rule.path = copy;
        rule.source = source;
        rule.group = group;
        rule.raw = raw;
        rule.access = access;
        r = policy_plan_add(p, &rule, ret_id);
        if (r == 0)
                (void)policy_plan_remove(p, id);
        return r;
}

/* Writing without reading is nothing that a view can give: who may write somewhere may read there. */
static int rules_let_writers_read(struct policy_plan *p) {
        for (;;) {
                const struct policy_rule *rules, *found = NULL;
                size_t n;
                int r;

                rules = policy_plan_rules(p, &n);
                for (size_t i = 0; i < n && !found; i++)
                        if (rules[i].effect == POLICY_ALLOW && rules[i].access == POLICY_WRITE)
                                found = &rules[i];
                if (!found)
                        return 0;
                r = rules_replace(p, found->id, found->path, POLICY_READ | POLICY_WRITE, NULL);
                if (r)
                        return r < 0 ? err_pass(r) : RULES_E_LIMIT;
        }
}

static enum policy_origin rules_origin(const Nono__Rule *m, bool user_profile) {
        if (!user_profile)
                return POLICY_FROM_FLAG;
        if (m->source.len >= 2 && memcmp(m->source.data, "--", 2) == 0)
                return POLICY_FROM_FLAG;
        return m->source.len >= 7 && memcmp(m->source.data, "groups/", 7) == 0 ? POLICY_FROM_GROUP
                                                                               : POLICY_FROM_PROFILE;
}

static int rules_add_client(struct policy_plan *p, const Nono__Rule *m, bool user_profile, struct policy_error *err) {
        _cleanup_free_ char *path = wire_string(&m->path), *source = wire_string(&m->source);
        struct policy_rule rule = {
                .effect = m->deny ? POLICY_DENY : POLICY_ALLOW,
                .origin = rules_origin(m, user_profile),
                .access = (unsigned)m->access & (POLICY_READ | POLICY_WRITE),
                .file = m->file,
                .pattern = m->pattern,
                .path = path,
                .source = source,
                .line = m->line,
        };
        int r;

        if (!path || !source)
                return err_raise(-ENOMEM);
        if (!*source)
                snprintf(err->source, sizeof(err->source), "command line");
        if (m->access == NONO__ACCESS__ACCESS_NONE)
                return rules_fail(err, *source ? source : "command line", "a rule without access");
        if (!m->deny && !m->pattern && strcmp(path, "/tmp") != 0 && strcmp(path, "/home") != 0 &&
            !pathname_is_below(path, "/proc") && !pathname_is_below(path, "/dev") && decide_is_too_wide(path))
                return rules_fail(err, *source ? source : "command line",
                                  strcmp(path, "/") == 0
                                          ? "the whole file system cannot be granted; name directories in it"
                                          : "the daemon's own directories cannot be granted");
        r = policy_plan_add(p, &rule, NULL);
        if (r == POLICY_E_LIMIT)
                return RULES_E_LIMIT;
        return r < 0 ? err_pass(r) : r ? rules_fail(err, source, "a path is not absolute, or not normalised") : 0;
}

static int rules_add_own(struct policy_plan *p, const char *path, bool file) {
        const struct policy_rule rule = {
                .effect = POLICY_DENY,
                .origin = POLICY_FROM_CEILING,
                .access = POLICY_READ | POLICY_WRITE,
                .file = file,
                .path = (char *)path,
                .source = (char *)"nonod",
        };
        int r = policy_plan_add(p, &rule, NULL);

        return r < 0 ? err_pass(r) : r == POLICY_E_LIMIT ? RULES_E_LIMIT : 0;
}

static int rules_add_workdir(struct policy_plan *p, const char *workdir) {
        enum policy_workdir level = policy_plan_settings(p)->workdir;
        const struct policy_rule rule = {
                .effect = POLICY_ALLOW,
                .origin = POLICY_FROM_FLAG,
                .access = level == POLICY_WORKDIR_NONE ? POLICY_READ : (unsigned)level,
                .path = (char *)workdir,
                .source = (char *)"--allow-cwd",
        };
        int r;

        if (decide_is_too_wide(workdir))
                return 0; /* asked for, name by name */
        r = policy_plan_add(p, &rule, NULL);
        return r < 0 ? err_pass(r) : r == POLICY_E_LIMIT ? RULES_E_LIMIT : 0;
}

static bool rules_grant_tmp(const struct policy_plan *p) {
        size_t n;
        const struct policy_rule *rules = policy_plan_rules(p, &n);

        for (size_t i = 0; i < n; i++)
                if (rules[i].effect == POLICY_ALLOW && !rules[i].pattern && !rules[i].file &&
                    strcmp(rules[i].path, "/tmp") == 0)
                        return policy_verdict(p, "/tmp", POLICY_READ).answer == POLICY_ANSWER_GRANT;
        return false;
}

static int rules_add_all(struct policy_plan *p, const struct rules_request *q, struct policy_error *err) {
        const Nono__Spawn *m = q->spawn;
        int r;

        for (size_t i = 0; i < m->n_rules; i++) {
                r = rules_add_client(p, m->rules[i], m->user_profile, err);
                if (r)
                        return r;
        }
        if (m->allow_workdir) {
                r = rules_add_workdir(p, q->workdir);
                if (r)
                        return r;
        }
        r = rules_add_own(p, NONOD_RUNTIME_DIR, false);
        if (r == 0)
                r = rules_add_own(p, NONOD_STATE_DIR, false);
        if (r == 0 && q->socket)
                r = rules_add_own(p, q->socket, true);
        return r;
}

int rules_make(const struct service *service, const struct rules_request *q, struct policy_plan **ret,
               bool *ret_own_tmp, struct policy_error *err) {
        _cleanup_(policy_plan_freep) struct policy_plan *p = NULL;
        const char *profile = q->spawn->user_profile || !*q->profile ? NULL : q->profile;
        int r;

        memset(err, 0, sizeof(*err));
        r = policy_compile(service->store, profile, &q->vars, &p, err);
        if (r)
                return r < 0 ? err_pass(r) : r == POLICY_E_NOT_FOUND ? RULES_E_NOT_FOUND : RULES_E_POLICY;
        if (q->spawn->user_profile) {
                r = rules_filter(p, rule_is_roots_deny, NULL);
                if (r)
                        return err_pass(r);
        }
        r = rules_add_all(p, q, err);
        if (r == 0)
                r = rules_filter(p, rule_may_stay, q->tmpdir);
        if (r == 0)
                r = rules_let_writers_read(p);
        if (r) {
                if (r == RULES_E_LIMIT)
                        (void)rules_fail(err, "rules", "there are too many of them");
                return r;
        }
        *ret_own_tmp = !rules_grant_tmp(p);
        *ret = steal_ptr(&p);
        return 0;
}
