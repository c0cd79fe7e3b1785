/*
 * Runs as: user nono.   Input: see monitor-link.h.
 */
#include "daemon/service/monitor-link.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/loop.h"
#include "daemon/service/channel.h"
#include "daemon/service/client.h"
#include "daemon/service/core.h"
#include "daemon/service/run.h"
#include "daemon/service/spawn.h"
#include "daemon/service/tree.h"

enum { MONITOR_LINK_QUEUE = 64 * 1024 * 1024 };

int monitor_link_send(struct run *r, struct monitor_message *m, int *fds, size_t n_fds) {
        int e;

        m->session = r->monitor_id;
        e = channel_send(r->service->monitor, m, sizeof(*m), fds, n_fds);
        return e ? err_raise(e < 0 ? e : -EPIPE) : 0;
}

static void on_nothing(struct run *r, void *arg, const void *answer, const char *text, size_t n_text, int *fds,
                       size_t n_fds) {
}

int monitor_link_ask(struct run *r, struct monitor_message *m, int *fds, size_t n_fds, pending_fn fn, void *arg) {
        int e;

        e = pending_add(r->service->pending, r, fn ? fn : on_nothing, arg, &m->tag);
        if (e) {
                fd_close_many(fds, n_fds);
                return err_pass(e);
        }
        e = monitor_link_send(r, m, fds, n_fds);
        if (e)
                pending_forget(r->service->pending, m->tag);
        return e;
}

static void monitor_link_answer(struct service *s, const struct monitor_message *m, int *fds, size_t n_fds) {
        if (m->tag)
                (void)pending_answer(s->pending, m->tag, NULL, m, NULL, 0, fds, n_fds);
}

static void on_monitor_message(void *arg, const void *data, size_t n, int *fds, size_t n_fds) {
        struct service *s = arg;
        struct monitor_message m;
        struct run *r;

        if (n != sizeof(m))
                return;
        memcpy(&m, data, sizeof(m));
        switch (m.type) {
        case MONITOR_CLIENT:
                if (n_fds == 1)
                        client_accept(s, steal_fd(&fds[0]), m.uid, m.gid, m.pid, m.error);
                break;
        case MONITOR_ADOPT:
                if (n_fds == 1 && m.session)
                        run_adopt(s, m.session, m.uid, m.gid, m.pid, steal_fd(&fds[0]));
                break;
        case MONITOR_SESSION_OK:
        case MONITOR_REPLY:
                r = m.type == MONITOR_REPLY ? run_by_monitor_id(s, m.session) : NULL;
                if (r && r->state == RUN_BUILDING && m.error)
                        spawn_view_failed(r, m.node, m.error); /* of a node: those have no tag of their own */
                else
                        monitor_link_answer(s, &m, fds, n_fds);
                break;
        case MONITOR_LEVEL:
                r = run_by_monitor_id(s, m.session);
                if (r && r->state == RUN_BUILDING && n_fds == 1)
                        spawn_level(r, &m, &fds[0]);
                else
                        monitor_link_answer(s, &m, fds, n_fds);
                break;
        case MONITOR_GONE:
                r = run_by_monitor_id(s, m.session);
                if (r && r->state == RUN_BUILDING && m.node != TREE_ROOT && tree_by_id(r->tree, m.node))
                        tree_remove(r->tree, tree_by_id(r->tree, m.node), NULL, NULL);
                break;
        case MONITOR_STARTED:
                r = run_by_monitor_id(s, m.session);
                if (r && r->state == RUN_BUILDING)
                        spawn_started(r, m.pid);
                break;
        case MONITOR_EXITED:
                r = run_by_monitor_id(s, m.session);
                if (r)
                        run_free(r);
                break;
        default:
                break;
        }
}

static void on_monitor_closed(void *arg) {
        struct service *s = arg;

        log_debug("the monitor is gone");
        loop_stop(s->loop, 0);
}

int monitor_link_open(struct service *service, int fd) {
        int r = channel_new(service->loop, fd, &monitor_format, MONITOR_LINK_QUEUE, on_monitor_message,
                            on_monitor_closed, service, &service->monitor);

        return r ? err_pass(r) : 0;
}
