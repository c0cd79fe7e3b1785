/*
 * One table row per message: how many texts, which of them are paths, how many descriptors. What does not fit its row ends
 * the conversation with that broker: its session keeps what it has and gets nothing more.
 *
 * Runs as: user nono.   Input: see broker-link.h.
 */
#include "daemon/service/broker-link.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/monitor/request.h"
#include "daemon/policy/policy.h"
#include "daemon/service/attach.h"
#include "daemon/service/change.h"
#include "daemon/service/channel.h"
#include "daemon/service/guard.h"
#include "daemon/service/pathname.h"
#include "daemon/service/request.h"
#include "daemon/service/run.h"
#include "daemon/service/tree.h"

enum {
        BROKER_LINK_QUEUE = 8 * 1024 * 1024,
        BROKER_LINK_TEXTS_MAX = 5,
};

int broker_link_send(struct run *r, struct broker_message *m, const char *text, const char *text2, int fd) {
        char data[sizeof(*m) + 2 * POLICY_PATH_MAX];
        size_t n = sizeof(*m);
        const char *texts[] = { text, text2 };

        if (!r->broker) {
                fd_close(&fd);
                return CHANNEL_E_CLOSED;
        }
        for (size_t i = 0; i < ELEMENTSOF(texts) && texts[i]; i++) {
                size_t len = strlen(texts[i]) + 1;

                if (len > POLICY_PATH_MAX) {
                        fd_close(&fd);
                        return err_raise(-ENAMETOOLONG);
                }
                memcpy(data + n, texts[i], len);
                n += len;
        }
        m->size = (uint32_t)(n - sizeof(*m));
        memcpy(data, m, sizeof(*m));
        return channel_send(r->broker, data, n, &fd, fd >= 0 ? 1 : 0);
}

/* --- resolving ---------------------------------------------------------------------------------------------------- */

struct broker_question {
        resolved_fn fn;
        void *arg;
};

static const char *broker_link_text(const char **at, const char *end) {
        const char *s = *at, *nul = s < end ? memchr(s, '\0', (size_t)(end - s)) : NULL;

        if (!nul)
                return NULL;
        *at = nul + 1;
        return s;
}

static bool broker_link_decode_links(const char *at, const char *end, const char **links, size_t *ret_n) {
        size_t n = 0;

        while (at < end) {
                const char *path = broker_link_text(&at, end), *target = broker_link_text(&at, end);

                if (!path || !target || n >= BROKER_LINK_LINKS_MAX || !policy_path_is_normalised(path) || !*target ||
                    strlen(target) >= POLICY_PATH_MAX)
                        return false;
                links[2 * n] = path;
                links[2 * n + 1] = target;
                n++;
        }
        *ret_n = n;
        return true;
}

static void on_broker_resolved(struct run *r, void *arg, const void *answer, const char *text, size_t n_text, int *fds,
                               size_t n_fds) {
        struct broker_question question = *(struct broker_question *)arg;
        const struct broker_message *m = answer;
        const char *links[2 * BROKER_LINK_LINKS_MAX], *at = text, *end = text ? text + n_text : NULL;
        struct resolved_object o = { .fd = -1, .error = ECANCELED, .canonical = "", .links = links };

        free(arg);
        if (m) {
                const char *canonical = broker_link_text(&at, end);

                o.error = m->error;
                o.kind = (enum object_kind)m->kind;
                if (o.error == 0 && (!canonical || !policy_path_is_normalised(canonical) || n_fds != 1 ||
                                     m->kind > OBJECT_DEVICE || !broker_link_decode_links(at, end, links, &o.n_links)))
                        o.error = EPROTO;
                if (o.error == 0) {
                        o.canonical = canonical;
                        o.fd = steal_fd(&fds[0]);
                } else if (o.error < 0)
                        o.error = EPROTO;
        }
        question.fn(r, question.arg, &o);
        fd_close(&o.fd);
}

int broker_link_resolve(struct run *r, const char *path, uint32_t flags, resolved_fn fn, void *arg) {
        struct broker_message m = { .type = BROKER_RESOLVE, .flags = flags };
        struct broker_question *q;
        int e;

        if (!r->broker)
                return err_raise(-ENOTCONN);
        q = malloc(sizeof(*q));
        if (!q)
                return err_raise(-ENOMEM);
        *q = (struct broker_question){ .fn = fn, .arg = arg };
        e = pending_add(r->pending, r, on_broker_resolved, q, &m.tag);
        if (e == 0) {
                e = broker_link_send(r, &m, path, flags & BROKER_F_CREATE_DIR ? r->home : NULL, -1);
                if (e)
                        pending_forget(r->pending, m.tag);
        }
        if (e) {
                free(q);
                return err_raise(e < 0 ? e : -ENOTCONN);
        }
        return 0;
}

/* --- what the broker says ----------------------------------------------------------------------------------------- */

struct broker_words {
        struct broker_message m;
        const char *texts[BROKER_LINK_TEXTS_MAX];
        int *fds;
        size_t n_fds;
};

static bool broker_link_is_path(const char *s) {
        return policy_path_is_normalised(s) && strlen(s) > 1;
}

static int on_request(struct run *r, struct broker_words *w) {
        const struct tree_node *level = tree_by_id(r->tree, w->m.node);
        char path[POLICY_PATH_MAX];
        struct request *q;

        if (!pathname_is_component(w->texts[0]) || (*w->texts[1] && !broker_link_is_path(w->texts[1])) ||
            (*w->texts[2] && !policy_path_is_normalised(w->texts[2])) || w->m.kind > OBJECT_DEVICE ||
            w->m.operation > OPERATION_CONNECT || !w->m.token || strlen(w->texts[3]) >= POLICY_PATH_MAX)
                return -EBADMSG;
        if (!level || level->kind != VIEW_LEVEL)
                return 0; /* detached meanwhile: the broker answers by itself */
        if (pathname_join(level->path, w->texts[0], path))
                return -EBADMSG;
        q = request_new(r, REQUEST_WALK, path, w->texts[1], w->texts[2], w->texts[3], NULL, w->texts[4]);
        if (!q) {
                attach_refuse(r, w->m.node, w->m.token, EACCES);
                return 0;
        }
        q->fd_object = steal_fd(&w->fds[0]);
        q->fd_pid = steal_fd(&w->fds[1]);
        q->tag = w->m.tag;
        q->token = w->m.token;
        q->node = w->m.node;
        q->kind = (enum object_kind)w->m.kind;
        q->operation = (enum operation)w->m.operation;
        q->access = w->m.access & (POLICY_READ | POLICY_WRITE);
        q->pid = w->m.pid;
        q->directory = w->m.flags & BROKER_F_DIRECTORY;
        q->executable = w->m.flags & BROKER_F_EXECUTABLE;
        q->unreachable = w->m.flags & BROKER_F_UNREACHABLE;
        request_judge(q);
        return 0;
}

static int on_change(struct run *r, struct broker_words *w) {
        struct broker_message refused = { .type = BROKER_VERDICT, .tag = w->m.tag, .error = EACCES };
        bool symlink = w->m.operation == OPERATION_SYMLINK;
        struct request *q;

        if (w->m.operation > OPERATION_CONNECT || w->m.kind > OBJECT_DEVICE || strlen(w->texts[1]) >= POLICY_PATH_MAX)
                return -EBADMSG;
        /* a path that is not one is the waiting process's affair, not the broker's: it is refused, no more */
        if (!broker_link_is_path(w->texts[0]) || (!symlink && *w->texts[1] && !broker_link_is_path(w->texts[1]))) {
                (void)broker_link_send(r, &refused, NULL, NULL, -1);
                return 0;
        }
        q = request_new(r, w->m.flags & BROKER_F_WIDEN ? REQUEST_WIDEN : REQUEST_CHANGE, w->texts[0], NULL, NULL,
                        symlink ? w->texts[1] : NULL, symlink ? NULL : w->texts[1], w->texts[2]);
        if (!q) {
                (void)broker_link_send(r, &refused, NULL, NULL, -1);
                return 0;
        }
        q->fd_pid = steal_fd(&w->fds[0]);
        q->tag = w->m.tag;
        q->node = w->m.node;
        q->operation = (enum operation)w->m.operation;
        q->kind = (enum object_kind)w->m.kind;
        q->access = POLICY_READ | POLICY_WRITE;
        q->pid = w->m.pid;
        q->directory = w->m.operation == OPERATION_MKDIR || w->m.flags & BROKER_F_DIRECTORY;
        request_judge(q);
        return 0;
}

static int on_changed(struct run *r, struct broker_words *w) {
        if (!broker_link_is_path(w->texts[0]) || w->m.operation > OPERATION_CONNECT || w->m.kind > OBJECT_DEVICE ||
            strlen(w->texts[1]) >= POLICY_PATH_MAX)
                return -EBADMSG;
        change_done(r, w->m.tag, (enum operation)w->m.operation, (enum object_kind)w->m.kind, w->texts[0], w->texts[1],
                    w->n_fds ? steal_fd(&w->fds[0]) : -1);
        return 0;
}

static int on_gone(struct run *r, struct broker_words *w) {
        struct request *q = request_find(r, w->m.tag);

        if (q)
                request_gone(q);
        return 0;
}

static int on_plant(struct run *r, struct broker_words *w) {
        if (!pathname_is_component(w->texts[0]))
                return -EBADMSG;
        if (w->m.type == BROKER_PLANT)
                attach_plant(r, w->m.node, w->texts[0]);
        else
                attach_unplant(r, w->m.node, w->texts[0]);
        return 0;
}

static int on_connected(struct run *r, struct broker_words *w) {
        struct feed_event e = {
                .type = NONO__EVENT_TYPE__EVENT_CONNECTED,
                .operation = NONO__OPERATION__OP_CONNECT,
                .port = w->m.port & 0xffff,
                .pid = w->m.pid,
                .error = w->m.error > 0 ? (uint32_t)w->m.error : 0,
        };

        run_tell_denied(r, &e);
        return 0;
}

static int on_touched(struct run *r, struct broker_words *w) {
        if (!policy_path_is_normalised(w->texts[0]))
                return -EBADMSG;
        if (r->state == RUN_STARTING || r->state == RUN_RUNNING)
                guard_touched(r, w->texts[0]);
        return 0;
}

static int on_broker_ready(struct run *r, struct broker_words *w) {
        return 0;
}

static const struct broker_row {
        uint32_t type;
        size_t n_texts, min_fds, max_fds;
        bool more; /* texts may follow */
        int (*handle)(struct run *r, struct broker_words *w);
} broker_rows[] = {
        { BROKER_READY, 0, 0, 0, false, on_broker_ready },
        { BROKER_RESOLVED, 0, 0, 1, true, NULL },
        { BROKER_REQUEST, 5, 2, 2, false, on_request },
        { BROKER_CHANGE, 3, 1, 1, false, on_change },
        { BROKER_CHANGED, 2, 0, 1, false, on_changed },
        { BROKER_GONE, 0, 0, 0, false, on_gone },
        { BROKER_PLANT, 1, 0, 0, false, on_plant },
        { BROKER_UNPLANT, 1, 0, 0, false, on_plant },
        { BROKER_CONNECTED, 0, 0, 0, false, on_connected },
        { BROKER_TOUCHED, 1, 0, 0, false, on_touched },
        { BROKER_HELD, 0, 0, 0, false, NULL },
};

static int broker_link_row(struct run *r, const struct broker_row *row, struct broker_words *w, const char *at,
                           const char *end) {
        if (w->n_fds < row->min_fds || w->n_fds > row->max_fds)
                return -EBADMSG;
        for (size_t i = 0; i < row->n_texts; i++) {
                w->texts[i] = broker_link_text(&at, end);
                if (!w->texts[i])
                        return -EBADMSG;
        }
        if (at != end && !row->more)
                return -EBADMSG;
        if (row->handle)
                return row->handle(r, w);
        (void)pending_answer(r->pending, w->m.tag, r, &w->m, at, (size_t)(end - at), w->fds, w->n_fds);
        return 0;
}

static void on_broker_message(void *arg, const void *data, size_t n, int *fds, size_t n_fds) {
        struct run *r = arg;
        struct broker_words w = { .fds = fds, .n_fds = n_fds };
        const char *at = (const char *)data + sizeof(w.m), *end = (const char *)data + n;
        int e = -EBADMSG;

        if (n >= sizeof(w.m) && n - sizeof(w.m) <= BROKER_PAYLOAD_MAX) {
                memcpy(&w.m, data, sizeof(w.m));
                for (size_t i = 0; i < ELEMENTSOF(broker_rows) && w.m.size == n - sizeof(w.m); i++)
                        if (broker_rows[i].type == w.m.type)
                                e = broker_link_row(r, &broker_rows[i], &w, at, end);
        }
        if (e) {
                log_warning("session %s: its broker sent message %u that does not fit, the conversation is over", r->id,
                            n >= sizeof(w.m) ? w.m.type : 0);
                run_lose_broker(r);
        }
}

static void on_broker_closed(void *arg) {
        run_lose_broker(arg);
}

int broker_link_open(struct run *r, int fd) {
        int e = channel_new(r->service->loop, fd, &broker_format, BROKER_LINK_QUEUE, on_broker_message,
                            on_broker_closed, r, &r->broker);

        if (e) {
                fd_close(&fd);
                return err_pass(e);
        }
        return 0;
}
