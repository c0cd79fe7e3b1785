/*
 * What a client may say is a table: which message, in which states, how many descriptors. Anything else, and anything the
 * decoder refuses, is answered once and ends the connection.
 *
 * Runs as: user nono.   Input: see client.h.
 */
#include "daemon/service/client.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/wire.h"
#include "config.h"
#include "daemon/policy/policy.h"
#include "daemon/service/core.h"
#include "daemon/service/decide.h"
#include "daemon/service/feed.h"
#include "daemon/service/grant.h"
#include "daemon/service/report.h"
#include "daemon/service/request.h"
#include "daemon/service/revoke.h"
#include "daemon/service/run.h"
#include "daemon/service/spawn.h"

static void client_release(void *arg) {
        struct client *c = arg;

        free(c->watched);
        free(c);
}

static void client_update_attended(struct service *s) {
        for (struct run *r = s->runs; r; r = r->next)
                run_update_attended(r);
}

void client_close(struct client *c) {
        struct service *s = c->service;
        struct run *r = c->run;

        if (c->state == CLIENT_CLOSED)
                return;
        c->state = CLIENT_CLOSED;
        c->run = NULL;
        *c->at = c->next;
        if (c->next)
                c->next->at = c->at;
        c->io = loop_source_free(c->io);
        c->timer = loop_source_free(c->timer);
        c->wire = wire_free(c->wire);
        if (r)
                run_hang_up(r);
        client_update_attended(s);
        loop_defer(s->loop, client_release, c);
}

/* Closing inside a reply would pull the client from under its caller, who may be walking the list of clients. */
static void client_fail(struct client *c) {
        if (c->timer)
                (void)loop_timer_set(c->timer, 0);
        c->failed = true;
}

struct client *client_find(struct service *service, uint64_t id) {
        for (struct client *c = service->clients; c; c = c->next)
                if (c->id == id)
                        return c;
        return NULL;
}

static void client_want(struct client *c) {
        (void)loop_io_want(c->io, LOOP_READ | (wire_wants_write(c->wire) ? LOOP_WRITE : 0));
}

void client_reply(struct client *c, uint32_t seq, Nono__Reply *reply, const int *fds, size_t n_fds) {
        int r;

        if (c->state == CLIENT_CLOSED || c->failed)
                return;
        reply->seq = seq;
        r = wire_send_reply(c->wire, reply, fds, n_fds);
        if (r) {
                log_debug("client %d: reply: %d", c->pid, r);
                client_fail(c);
                return;
        }
        client_want(c);
}

void client_error(struct client *c, uint32_t seq, Nono__ErrorCode code, const char *message, const char *hint) {
        Nono__Reply reply = NONO__REPLY__INIT;
        Nono__Error error = NONO__ERROR__INIT;

        error.code = code;
        error.message = wire_bytes(message);
        error.hint = wire_bytes(hint ? hint : "");
        reply.body_case = NONO__REPLY__BODY_ERROR;
        reply.error = &error;
        client_reply(c, seq, &reply, NULL, 0);
}

void client_ok(struct client *c, uint32_t seq) {
        Nono__Reply reply = NONO__REPLY__INIT;
        Nono__Ok ok = NONO__OK__INIT;

        reply.body_case = NONO__REPLY__BODY_OK;
        reply.ok = &ok;
        client_reply(c, seq, &reply, NULL, 0);
}

void client_event(struct client *c, const struct feed_event *e) {
        Nono__Reply reply = NONO__REPLY__INIT;
        struct feed_packed packed;

        feed_pack(e, &packed);
        reply.body_case = NONO__REPLY__BODY_EVENT;
        reply.event = &packed.event;
        client_reply(c, 0, &reply, NULL, 0);
}

void client_attach(struct client *c, struct run *r) {
        c->state = CLIENT_ATTACHED;
        c->run = r;
        r->client = c;
        run_update_attended(r);
}

void client_detach(struct client *c) {
        c->run = NULL;
        if (c->state == CLIENT_ATTACHED)
                c->state = CLIENT_IDLE;
}

bool client_may(const struct client *c, const struct run *r) {
        return c->uid == 0 || c->uid == r->uid;
}

bool client_watches(const struct client *c, const struct run *r) {
        return c->state == CLIENT_WATCHING && client_may(c, r) && (!*c->watched || strcmp(c->watched, r->id) == 0);
}

bool client_can_answer(const struct client *c, const struct run *r) {
        if (c == r->client)
                return r->can_prompt;
        return c->answers && client_watches(c, r);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

struct client_call {
        const Nono__Request *m;
        uint32_t seq;
        int *fds;
        size_t n_fds;
};

/* A session that the client names and may see; else it is told. */
static struct run *client_run(struct client *c, const struct client_call *call, const ProtobufCBinaryData *session) {
        _cleanup_free_ char *text = wire_string(session);
        struct run *r = text ? run_find(c->service, c->uid, text) : NULL;

        if (!r)
                client_error(c, call->seq, NONO__ERROR_CODE__ERROR_NOT_FOUND, "no such session", "nonoctl ps");
        return r;
}

/* The same, for what needs the session's rules. */
static struct run *client_ruled_run(struct client *c, const struct client_call *call,
                                    const ProtobufCBinaryData *session) {
        struct run *r = client_run(c, call, session);

        if (!r || !r->adopted)
                return r;
        client_error(c, call->seq, NONO__ERROR_CODE__ERROR_STATE,
                     "nonod was restarted: what this session has, it keeps; nothing can be added",
                     "nonoctl stop SESSION");
        return NULL;
}

static void client_hello(struct client *c, const struct client_call *call) {
        const Nono__Hello *m = call->m->hello;
        Nono__Reply reply = NONO__REPLY__INIT;
        Nono__HelloReply hello = NONO__HELLO_REPLY__INIT;

        if (m->version_min > WIRE_VERSION || m->version_max < WIRE_VERSION) {
                client_error(c, call->seq, NONO__ERROR_CODE__ERROR_VERSION, "this nonod speaks another version",
                             "nonoctl and nonod come from one package: restart nonod after an upgrade");
                client_fail(c);
                return;
        }
        c->state = CLIENT_IDLE;
        (void)loop_timer_set(c->timer, UINT64_MAX);
        hello.version = WIRE_VERSION;
        hello.daemon = wire_bytes("nonod " NONOD_VERSION);
        reply.body_case = NONO__REPLY__BODY_HELLO;
        reply.hello = &hello;
        client_reply(c, call->seq, &reply, NULL, 0);
}

static void client_spawn(struct client *c, const struct client_call *call) {
        spawn_request(c, call->seq, call->m->spawn, call->fds, call->n_fds);
}

static void client_signal(struct client *c, const struct client_call *call) {
        uint32_t signo = call->m->signal->signal;

        if (signo == 0 || signo >= (uint32_t)NSIG) {
                client_error(c, call->seq, NONO__ERROR_CODE__ERROR_PROTOCOL, "no such signal", NULL);
                return;
        }
        run_signal(c->run, (int)signo);
        client_ok(c, call->seq);
}

static void client_continue(struct client *c, const struct client_call *call) {
        run_continue(c->run);
        client_ok(c, call->seq);
}

static void client_watch_recent(struct client *c, const struct run *r) {
        const struct feed_event *e;

        for (unsigned i = 0; (e = feed_ring_get(&r->recent, i)); i++)
                if (e->type != NONO__EVENT_TYPE__EVENT_REQUEST)
                        client_event(c, e);
        for (const struct prompt *p = decide_first(r->decide); p; p = p->next) {
                struct feed_event request = { .type = NONO__EVENT_TYPE__EVENT_REQUEST,
                                              .time_us = p->realtime_us,
                                              .seq = c->service->last_event,
                                              .session = r->id,
                                              .profile = r->profile };

                request_describe(p, &request);
                client_event(c, &request);
        }
}

static void client_watch(struct client *c, const struct client_call *call) {
        const Nono__Watch *m = call->m->watch;
        struct run *r = NULL;

        if (m->session.len > 0) {
                r = client_run(c, call, &m->session);
                if (!r)
                        return;
        }
        c->watched = strdup(r ? r->id : "");
        if (!c->watched) {
                client_error(c, call->seq, NONO__ERROR_CODE__ERROR_INTERNAL, "out of memory", NULL);
                return;
        }
        c->state = CLIENT_WATCHING;
        c->answers = m->answers;
        client_ok(c, call->seq);
        for (r = c->service->runs; r; r = r->next)
                if (client_watches(c, r))
                        client_watch_recent(c, r);
        client_update_attended(c->service);
}

static void client_list_prompts(struct client *c, const struct client_call *call) {
        _cleanup_free_ char *text = wire_string(&call->m->list_prompts->session);

        if (text && *text && !client_run(c, call, &call->m->list_prompts->session))
                return;
        report_prompts(c, call->seq, text ? text : "");
}

/* A prompt that still waits, of a session that the client may answer for. */
static struct prompt *client_prompt(struct client *c, const struct client_call *call, uint64_t id, struct run **ret) {
        for (struct run *r = c->service->runs; r; r = r->next) {
                struct prompt *p = client_may(c, r) ? decide_find(r->decide, id) : NULL;

                if (p) {
                        *ret = r;
                        return p;
                }
        }
        client_error(c, call->seq, NONO__ERROR_CODE__ERROR_NOT_FOUND, "no such request waits", "nonoctl prompts");
        return NULL;
}

static void client_granted(struct client *c, uint32_t seq, uint64_t id) {
        Nono__Reply reply = NONO__REPLY__INIT;
        Nono__Granted granted = NONO__GRANTED__INIT;

        granted.grant = id;
        reply.body_case = NONO__REPLY__BODY_GRANTED;
        reply.granted = &granted;
        client_reply(c, seq, &reply, NULL, 0);
}

static void client_refused_by(struct client *c, uint32_t seq, const char *why) {
        char message[600];

        snprintf(message, sizeof(message), "a rule denies it: %s", why);
        client_error(c, seq, NONO__ERROR_CODE__ERROR_REFUSED, message, NULL);
}

static void client_approve(struct client *c, const struct client_call *call) {
        const Nono__Approve *m = call->m->approve;
        uint64_t id = 0;
        char why[512] = "";
        struct prompt *p;
        struct run *r;

        p = client_prompt(c, call, m->request, &r);
        if (!p)
                return;
        switch (grant_approve(r, p, m->scope, m->duration, m->write, &id, why)) {
        case GRANT_OK:
                client_ok(c, call->seq); /* the grant's id is in the event, and in the list of grants */
                break;
        case GRANT_E_WIDE:
                client_error(c, call->seq, NONO__ERROR_CODE__ERROR_REFUSED, "that scope is too wide to be granted",
                             "choose a smaller one; the request still waits");
                break;
        case GRANT_E_DENIED:
                client_refused_by(c, call->seq, why);
                break;
        case GRANT_E_LIMIT:
                client_error(c, call->seq, NONO__ERROR_CODE__ERROR_LIMIT, "this session has too many grants", NULL);
                break;
        default:
                client_error(c, call->seq, NONO__ERROR_CODE__ERROR_INTERNAL, "the rule could not be made", NULL);
                break;
        }
}

static void client_deny(struct client *c, const struct client_call *call) {
        struct prompt *p;
        struct run *r;

        p = client_prompt(c, call, call->m->deny->request, &r);
        if (!p)
                return;
        grant_deny(r, p);
        client_ok(c, call->seq);
}

static void client_list_grants(struct client *c, const struct client_call *call) {
        struct run *r = client_ruled_run(c, call, &call->m->list_grants->session);
        struct report_plan report;

        if (!r)
                return;
        report = (struct report_plan){ .plan = r->plan, .run = r, .profile = r->profile };
        report_grants(c, call->seq, &report);
}

static void on_granted(uint64_t client, uint32_t seq, uint64_t id, int error, const char *why, void *arg) {
        struct client *c = client_find(arg, client);
        char message[256];

        if (!c)
                return;
        if (error == 0)
                client_granted(c, seq, id);
        else if (error == EACCES && why && *why)
                client_refused_by(c, seq, why);
        else if (error == EPERM)
                client_error(c, seq, NONO__ERROR_CODE__ERROR_REFUSED, "that is too wide to be granted", NULL);
        else {
                snprintf(message, sizeof(message), "it cannot be granted: %s", strerror(error));
                client_error(c, seq,
                             error == ENOENT || error == ENOTDIR ? NONO__ERROR_CODE__ERROR_NOT_FOUND
                                                                 : NONO__ERROR_CODE__ERROR_REFUSED,
                             message, NULL);
        }
}

static void client_grant(struct client *c, const struct client_call *call) {
        const Nono__Grant *m = call->m->grant;
        _cleanup_free_ char *path = wire_string(&m->path);
        struct run *r = client_ruled_run(c, call, &m->session);

        if (!r)
                return;
        if (!path || !policy_path_is_normalised(path) || strcmp(path, "/") == 0) {
                client_error(c, call->seq, NONO__ERROR_CODE__ERROR_PROTOCOL, "the path is not absolute and normalised",
                             NULL);
                return;
        }
        if (grant_path(r, path, m->write, m->duration, c->id, call->seq, on_granted, c->service) != 0)
                client_error(c, call->seq, NONO__ERROR_CODE__ERROR_STATE, "this session takes no grants now", NULL);
}

static void client_revoked(struct client *c, uint32_t seq, const char *path, uint32_t killed) {
        Nono__Reply reply = NONO__REPLY__INIT;
        Nono__Revoked revoked = NONO__REVOKED__INIT;

        revoked.path = wire_bytes(path);
        revoked.killed = killed;
        reply.body_case = NONO__REPLY__BODY_REVOKED;
        reply.revoked = &revoked;
        client_reply(c, seq, &reply, NULL, 0);
}

static void on_revoked(uint64_t client, uint32_t seq, int error, const char *path, uint32_t killed, void *arg) {
        struct client *c = client_find(arg, client);

        if (!c)
                return;
        switch (error) {
        case 0:
                client_revoked(c, seq, path, killed);
                break;
        case GRANT_E_NOT_FOUND:
                client_error(c, seq, NONO__ERROR_CODE__ERROR_NOT_FOUND, "no such grant in this session",
                             "nonoctl grants SESSION");
                break;
        case EPIPE:
                client_error(c, seq, NONO__ERROR_CODE__ERROR_STATE,
                             "revoked, but the session's broker is gone: nobody can say what still uses it",
                             "nonoctl stop --force SESSION");
                break;
        case ECANCELED:
                client_error(c, seq, NONO__ERROR_CODE__ERROR_STATE, "the session has ended", NULL);
                break;
        default:
                client_error(c, seq, NONO__ERROR_CODE__ERROR_INTERNAL, "it cannot be revoked", NULL);
                break;
        }
}

static void client_revoke(struct client *c, const struct client_call *call) {
        const Nono__Revoke *m = call->m->revoke;
        struct run *r = client_ruled_run(c, call, &m->session);
        char path[POLICY_PATH_MAX] = "";

        if (r && m->kill)
                revoke_and_kill(r, m->grant, c->id, call->seq, on_revoked, c->service);
        else if (r)
                on_revoked(c->id, call->seq, grant_revoke(r, m->grant, NONO__REASON__REASON_PERSON, path), path, 0,
                           c->service);
}

static void client_list_sessions(struct client *c, const struct client_call *call) {
        report_sessions(c, call->seq, call->m->list_sessions->all);
}

static void client_stop(struct client *c, const struct client_call *call) {
        struct run *r = client_run(c, call, &call->m->stop->session);

        if (!r)
                return;
        run_stop(r, call->m->stop->force);
        client_ok(c, call->seq);
}

enum { CLIENT_ANY = BIT(CLIENT_IDLE) | BIT(CLIENT_ATTACHED) | BIT(CLIENT_WATCHING) };

static const struct client_row {
        Nono__Request__BodyCase body;
        unsigned states;
        size_t max_fds;
        void (*handle)(struct client *c, const struct client_call *call);
} client_rows[] = {
        { NONO__REQUEST__BODY_HELLO, BIT(CLIENT_NEW), 0, client_hello },
        { NONO__REQUEST__BODY_SPAWN, BIT(CLIENT_IDLE), 4, client_spawn },
        { NONO__REQUEST__BODY_SIGNAL, BIT(CLIENT_ATTACHED), 0, client_signal },
        { NONO__REQUEST__BODY_CONT, BIT(CLIENT_ATTACHED), 0, client_continue },
        { NONO__REQUEST__BODY_WATCH, BIT(CLIENT_IDLE), 0, client_watch },
        { NONO__REQUEST__BODY_LIST_PROMPTS, CLIENT_ANY, 0, client_list_prompts },
        { NONO__REQUEST__BODY_APPROVE, CLIENT_ANY, 0, client_approve },
        { NONO__REQUEST__BODY_DENY, CLIENT_ANY, 0, client_deny },
        { NONO__REQUEST__BODY_LIST_GRANTS, CLIENT_ANY, 0, client_list_grants },
        { NONO__REQUEST__BODY_GRANT, CLIENT_ANY, 0, client_grant },
        { NONO__REQUEST__BODY_REVOKE, CLIENT_ANY, 0, client_revoke },
        { NONO__REQUEST__BODY_LIST_SESSIONS, CLIENT_ANY, 0, client_list_sessions },
        { NONO__REQUEST__BODY_STOP, CLIENT_ANY, 0, client_stop },
};

static void client_refuse(struct client *c, uint32_t seq) {
        client_error(c, seq, c->refusal,
                     c->refusal == NONO__ERROR_CODE__ERROR_LIMIT
                             ? "too many connections"
                             : "a process of another namespace, or inside a session, is not served",
                     NULL);
}

/* Return: false when the connection is over. */
static bool client_dispatch(struct client *c, const struct client_call *call) {
        if (c->refusal != NONO__ERROR_CODE__ERROR_NONE) {
                client_refuse(c, call->seq);
                return false;
        }
        for (size_t i = 0; i < ELEMENTSOF(client_rows); i++) {
                const struct client_row *row = &client_rows[i];

                if (row->body != call->m->body_case)
                        continue;
                if (call->n_fds > row->max_fds) {
                        client_error(c, call->seq, NONO__ERROR_CODE__ERROR_PROTOCOL, "unexpected descriptors", NULL);
                        return false;
                }
                if (!(row->states & BIT(c->state))) {
                        /* its session may have ended a moment ago: no reason to hang up */
                        client_error(c, call->seq, NONO__ERROR_CODE__ERROR_STATE, "not now",
                                     c->state == CLIENT_NEW ? "the first message is Hello" : NULL);
                        return c->state != CLIENT_NEW;
                }
                row->handle(c, call);
                return true;
        }
        client_error(c, call->seq, NONO__ERROR_CODE__ERROR_PROTOCOL, "unknown request", NULL);
        return false;
}

/* Return: false when the connection is over. */
static bool client_read_one(struct client *c, bool *ret_again) {
        int fds[WIRE_FDS_MAX], r;
        struct client_call call = { .fds = fds };
        Nono__Request *m = NULL;
        bool alive;

        r = wire_recv_request(c->wire, &m, fds, &call.n_fds);
        if (r == WIRE_E_AGAIN) {
                *ret_again = false;
                return true;
        }
        if (r) {
                if (r == WIRE_E_MALFORMED) {
                        log_info("client %d of user %u sent a malformed frame", c->pid, c->uid);
                        client_error(c, 0, NONO__ERROR_CODE__ERROR_PROTOCOL, "malformed frame", NULL);
                }
                return false;
        }
        call.m = m;
        call.seq = m->seq;
        alive = client_dispatch(c, &call);
        fd_close_many(fds, call.n_fds);
        wire_request_free(m);
        return alive;
}

static void client_read(struct client *c) {
        bool again = true;

        for (int i = 0; again && c->state != CLIENT_CLOSED && !c->failed; i++) {
                if (i == CLIENT_BURST_MAX) {
                        /* whole frames may lie in the decoder, where no socket event announces them */
                        c->more = true;
                        (void)loop_timer_set(c->timer, 0);
                        return;
                }
                if (!client_read_one(c, &again)) {
                        client_close(c);
                        return;
                }
        }
}

static void on_client_ready(int fd, unsigned ready, void *arg) {
        struct client *c = arg;

        if (ready & LOOP_WRITE) {
                int r = wire_flush(c->wire);

                if (r && r != WIRE_E_AGAIN) {
                        client_close(c);
                        return;
                }
                client_want(c);
        }
        if (ready & LOOP_READ)
                client_read(c);
}

static void on_client_timer(void *arg) {
        struct client *c = arg;

        if (c->failed || !c->more) {
                client_close(c); /* broken, or no hello in time */
                return;
        }
        c->more = false;
        if (c->state == CLIENT_NEW)
                (void)loop_timer_set(c->timer, CLIENT_HELLO_US);
        client_read(c);
}

/* Those that are served, and those that wait to hear that they are not, are counted apart: neither takes the others' room. */
static bool client_has_room(const struct service *s, uint32_t uid, bool refused) {
        size_t n = 0, all = 0;

        for (const struct client *c = s->clients; c; c = c->next) {
                if ((c->refusal != NONO__ERROR_CODE__ERROR_NONE) != refused)
                        continue;
                all++;
                n += c->uid == uid;
        }
        return n < CORE_CLIENTS_PER_UID_MAX && all < CORE_CLIENTS_MAX;
}

static int client_open(struct client *c, int fd) {
        int r;

        r = wire_new(fd, true, &c->wire);
        if (r) {
                fd_close(&fd);
                return err_pass(r);
        }
        r = loop_timer(c->service->loop, CLIENT_HELLO_US, on_client_timer, c, &c->timer);
        if (r == 0)
                r = loop_io(c->service->loop, fd, LOOP_READ, on_client_ready, c, &c->io);
        return r;
}

void client_accept(struct service *service, int fd, uint32_t uid, uint32_t gid, int32_t pid, int error) {
        Nono__ErrorCode refusal = error                                   ? NONO__ERROR_CODE__ERROR_REFUSED
                                  : !client_has_room(service, uid, false) ? NONO__ERROR_CODE__ERROR_LIMIT
                                                                          : NONO__ERROR_CODE__ERROR_NONE;
        struct client *c = calloc(1, sizeof(*c));

        if (!c || (refusal != NONO__ERROR_CODE__ERROR_NONE && !client_has_room(service, uid, true))) {
                free(c);
                fd_close(&fd);
                return;
        }
        c->service = service;
        c->uid = uid;
        c->gid = gid;
        c->pid = pid;
        c->refusal = refusal;
        c->id = ++service->last_client;
        if (client_open(c, fd) != 0) {
                c->timer = loop_source_free(c->timer);
                c->wire = wire_free(c->wire);
                free(c);
                return;
        }
        c->at = &service->clients;
        c->next = service->clients;
        if (c->next)
                c->next->at = &c->next;
        service->clients = c;
}
