/*
 * Runs as: user nono.   Input: see report.h.
 */
#include "daemon/service/report.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/wire.h"
#include "daemon/monitor/request.h"
#include "daemon/policy/policy.h"
#include "daemon/service/client.h"
#include "daemon/service/core.h"
#include "daemon/service/decide.h"
#include "daemon/service/feed.h"
#include "daemon/service/grant.h"
#include "daemon/service/request.h"
#include "daemon/service/run.h"
#include "daemon/service/tree.h"

enum {
        REPORT_FRAME_MAX = WIRE_FRAME_MAX - 4096, /* leaves room for what a frame holds once */
        REPORT_ITEMS_MAX = 512,
};

static const char *report_origin(enum policy_origin origin) {
        static const char *const names[] = {
                [POLICY_FROM_CEILING] = "ceiling", [POLICY_FROM_REQUIRED_GROUP] = "required group",
                [POLICY_FROM_GROUP] = "group",     [POLICY_FROM_PROFILE] = "profile",
                [POLICY_FROM_FLAG] = "flag",       [POLICY_FROM_SESSION] = "session",
        };

        return origin < ELEMENTSOF(names) ? names[origin] : "";
}

static bool report_is_attached(const struct run *r, const char *path) {
        const struct tree_node *n;

        if (!r)
                return false;
        n = tree_by_path(r->tree, path);
        if (n)
                return n->standing && (n->kind == VIEW_DIR || n->kind == VIEW_FILE);
        return tree_covering(r->tree, path);
}

static void report_grant(const struct report_plan *what, const struct policy_rule *rule, Nono__GrantInfo *g) {
        const struct approval *a = what->run ? grant_find(what->run, rule->id) : NULL;

        nono__grant_info__init(g);
        g->id = rule->id;
        g->path = wire_bytes(rule->path);
        g->access = (Nono__Access)(rule->access & 3);
        g->file = rule->file;
        g->origin = wire_bytes(report_origin(rule->origin));
        g->source = wire_bytes(rule->source ? rule->source : "");
        g->line = rule->line;
        g->deny = rule->effect == POLICY_DENY;
        g->attached = !g->deny && !rule->pattern && report_is_attached(what->run, rule->path);
        g->since_us = a ? a->since_us : what->run ? what->run->started_us : 0;
        g->duration = a ? a->duration : NONO__DURATION__DURATION_SESSION;
        g->expires_us = a ? a->expires_us : 0;
}

void report_grants(struct client *c, uint32_t seq, const struct report_plan *what) {
        _cleanup_free_ Nono__GrantInfo *infos = NULL;
        _cleanup_free_ Nono__GrantInfo **list = NULL;
        const struct policy_rule *rules;
        size_t n, at = 0;

        rules = policy_plan_rules(what->plan, &n);
        infos = calloc(REPORT_ITEMS_MAX, sizeof(*infos));
        list = calloc(REPORT_ITEMS_MAX, sizeof(Nono__GrantInfo *));
        if (!infos || !list) {
                client_error(c, seq, NONO__ERROR_CODE__ERROR_INTERNAL, "out of memory", NULL);
                return;
        }
        do {
                Nono__Reply reply = NONO__REPLY__INIT;
                Nono__Grants grants = NONO__GRANTS__INIT;
                size_t bytes = 0, k = 0;

                while (at < n && k < REPORT_ITEMS_MAX) {
                        size_t size;

                        report_grant(what, &rules[at], &infos[k]);
                        size = nono__grant_info__get_packed_size(&infos[k]) + 8;
                        if (bytes + size > REPORT_FRAME_MAX)
                                break;
                        bytes += size;
                        list[k] = &infos[k];
                        k++;
                        at++;
                }
                grants.grants = list;
                grants.n_grants = k;
                grants.more = at < n;
                grants.profile = wire_bytes(what->profile ? what->profile : "");
                grants.program = wire_bytes(what->program && strlen(what->program) < 2048 ? what->program : "");
                grants.open_ports = (uint32_t *)what->ports;
                grants.n_open_ports = what->n_ports;
                reply.body_case = NONO__REPLY__BODY_GRANTS;
                reply.grants = &grants;
                client_reply(c, seq, &reply, NULL, 0);
        } while (at < n);
}

struct report_prompts {
        struct feed_packed *packed;
        Nono__Event **list;
        size_t n, bytes;
};

/* Oldest first; what does not fit in one frame is shown when those are answered. */
static void report_prompts_of(struct report_prompts *all, const struct run *r) {
        for (const struct prompt *p = decide_first(r->decide); p && all->n < REPORT_ITEMS_MAX; p = p->next) {
                struct feed_event e = { .type = NONO__EVENT_TYPE__EVENT_REQUEST,
                                        .time_us = p->realtime_us,
                                        .session = r->id,
                                        .profile = r->profile };
                size_t size;

                request_describe(p, &e);
                feed_pack(&e, &all->packed[all->n]);
                size = nono__event__get_packed_size(&all->packed[all->n].event) + 8;
                if (all->bytes + size > REPORT_FRAME_MAX)
                        return;
                all->bytes += size;
                all->list[all->n] = &all->packed[all->n].event;
                all->n++;
        }
}

void report_prompts(struct client *c, uint32_t seq, const char *text) {
        _cleanup_free_ struct feed_packed *packed = calloc(REPORT_ITEMS_MAX, sizeof(*packed));
        _cleanup_free_ Nono__Event **list = calloc(REPORT_ITEMS_MAX, sizeof(Nono__Event *));
        struct report_prompts all = { .packed = packed, .list = list };
        Nono__Reply reply = NONO__REPLY__INIT;
        Nono__Prompts prompts = NONO__PROMPTS__INIT;
        const struct run *only = *text ? run_find(c->service, c->uid, text) : NULL;

        if (!packed || !list) {
                client_error(c, seq, NONO__ERROR_CODE__ERROR_INTERNAL, "out of memory", NULL);
                return;
        }
        for (const struct run *r = c->service->runs; r; r = r->next)
                if (only ? r == only : client_may(c, r))
                        report_prompts_of(&all, r);
        prompts.prompts = list;
        prompts.n_prompts = all.n;
        reply.body_case = NONO__REPLY__BODY_PROMPTS;
        reply.prompts = &prompts;
        client_reply(c, seq, &reply, NULL, 0);
}

static void report_session(const struct run *r, Nono__SessionInfo *i) {
        nono__session_info__init(i);
        i->id = wire_bytes(r->id);
        i->name = wire_bytes(r->name ? r->name : "");
        i->profile = wire_bytes(r->profile ? r->profile : "");
        i->uid = r->uid;
        i->pid = (uint32_t)r->pid;
        i->started_us = r->started_us;
        i->state = wire_bytes(run_describe(r));
        i->command = wire_bytes(r->command ? r->command : "");
        i->workdir = wire_bytes(r->workdir ? r->workdir : "");
        i->prompts = (uint32_t)decide_count(r->decide);
        i->attended = r->attended;
}

void report_sessions(struct client *c, uint32_t seq, bool all) {
        Nono__SessionInfo infos[16], *list[16];
        const struct run *r = c->service->runs;

        do {
                Nono__Reply reply = NONO__REPLY__INIT;
                Nono__Sessions sessions = NONO__SESSIONS__INIT;
                size_t k = 0, bytes = 0;

                for (; r && k < ELEMENTSOF(infos); r = r->next) {
                        size_t size;

                        if (r->uid != c->uid && !(all && c->uid == 0))
                                continue;
                        report_session(r, &infos[k]);
                        size = nono__session_info__get_packed_size(&infos[k]) + 8;
                        if (bytes + size > REPORT_FRAME_MAX)
                                break;
                        bytes += size;
                        list[k] = &infos[k];
                        k++;
                }
                sessions.sessions = list;
                sessions.n_sessions = k;
                sessions.more = r != NULL;
                reply.body_case = NONO__REPLY__BODY_SESSIONS;
                reply.sessions = &sessions;
                client_reply(c, seq, &reply, NULL, 0);
        } while (r);
}
