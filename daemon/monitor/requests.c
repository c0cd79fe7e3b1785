/*
 * The closed table of what the service may ask: `requests` below has type, state and number of descriptors. A record that
 * is not in it, or not allowed now, ends the service: one that breaks its own protocol is no longer ours.
 *
 * Runs as: root.   Input: request.h records of the service.
 */
#include <errno.h>
#include <linux/auto_dev-ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/monitor/state.h"
#include "daemon/target/mount.h"

static struct session *monitor_session(struct monitor *m, uint32_t id) {
        struct session *s = &m->sessions[id & 0xffff];

        return (id & 0xffff) <= MONITOR_SESSIONS_MAX && s->state != SESSION_FREE && s->id == id ? s : NULL;
}

static int on_session(struct monitor *m, struct session *unused, struct monitor_message *msg, int *fds, size_t n_fds) {
        const struct session_spawn spawn = monitor_spawn(m);
        struct monitor_message ok = { .type = MONITOR_SESSION_OK, .tag = msg->tag };
        struct session *s = NULL;
        int fds_service[] = { -1, -1, -1 }, r;

        for (uint32_t i = 1; i <= MONITOR_SESSIONS_MAX && !s; i++)
                if (m->sessions[i].state == SESSION_FREE) {
                        s = &m->sessions[i];
                        s->id = (++m->generation & 0xffff) << 16 | i;
                }
        if (!s) {
                monitor_reply(m, msg, 0, -EUSERS);
                return 0;
        }
        r = peer_identify(fds[0], m->options->socket_path, &s->peer, &m->identity);
        if (r) {
                monitor_reply(m, msg, 0, r > 0 ? -EPERM : r);
                return 0;
        }
        r = session_start(s, &spawn, &m->spare, &m->identity, &fds_service[0]);
        if (r) {
                monitor_reply(m, msg, 0, r);
                return 0;
        }
        if (msg->flags & SESSION_SENTRY) {
                r = sentry_start(&s->sentry, &m->identity, m->fd_lifeline[0], m->options->sentry_main, &fds_service[2]);
                if (r) {
                        fd_close(&fds_service[0]);
                        session_kill(s, &m->cgroup);
                        monitor_reply(m, msg, 0, r);
                        monitor_end(m, s);
                        return 0;
                }
                s->view.fd_sentry = s->sentry.fd_events;
        }
        r = monitor_watch(m, s->fd_builder, WATCH_BUILDER, s->id & 0xffff);
        ok.session = s->id;
        ok.uid = s->peer.uid;
        ok.gid = s->peer.gid;
        ok.pid = s->peer.pid;
        fds_service[1] = s->fd_control;
        monitor_send(m, &ok, fds_service, fds_service[2] >= 0 ? 3 : 2);
        fd_close(&fds_service[0]);
        fd_close(&fds_service[2]);
        if (r)
                session_kill(s, &m->cgroup);
        return 0;
}

/* What on_node() gathered goes to the builder; its mounts are then the builder's alone. */
void monitor_flush_nodes(struct monitor *m) {
        struct session *s = monitor_session(m, m->pack_session);
        size_t n_fds = m->pack.n_fds; /* sending forgets it */
        int r = 0;

        if (s && s->fd_builder >= 0)
                r = pack_send(&m->pack, s->fd_builder);
        fd_close_many(m->pack.fds, n_fds);
        m->pack.n = m->pack.n_fds = 0;
        if (r) {
                session_kill(s, &m->cgroup);
                monitor_end(m, s);
        }
}

/* Sources are cloned here, in the namespace they belong to, and travel to the builder as detached mounts. */
static int on_node(struct monitor *m, struct session *s, struct monitor_message *msg, int *fds, size_t n_fds) {
        int object = n_fds ? fds[0] : -1, mounts[2] = { -1, -1 }, r;
        bool hidden;
        size_t n = 0;

        r = view_check(&s->view, msg, object);
        if (r == 0)
                r = view_record(&s->view, msg);
        if (r == 0 && (msg->kind == VIEW_DIR || msg->kind == VIEW_FILE || msg->kind == VIEW_MASK)) {
                if (msg->kind == VIEW_MASK)
                        object = m->fd_mask[msg->flags & VIEW_MASK_DIR ? 1 : 0];
                hidden = msg->kind == VIEW_FILE && !(msg->flags & VIEW_INSIDE) &&
                         s->view.nodes[msg->parent].kind == VIEW_LEVEL;
                for (n = 0; r >= 0 && n < (hidden ? 2U : 1U); n++)
                        r = mounts[n] = msg->flags & VIEW_SENTRY
                                                ? sentry_clone(s->view.fd_sentry, object, msg->flags & VIEW_WRITE)
                                                : mount_clone(object, msg->flags & VIEW_WRITE);
        }
        if (r >= 0) {
                if (m->pack_session != s->id || !pack_fits(&m->pack, sizeof(*msg), n))
                        monitor_flush_nodes(m);
                if (s->state != SESSION_BUILDING)
                        r = -EPIPE;
        }
        if (r >= 0) {
                m->pack_session = s->id;
                pack_add(&m->pack, &monitor_format, msg, sizeof(*msg), mounts, n);
                return 0;
        }
        fd_close_many(mounts, n);
        log_debug("session %08x: node %u: %s", s->id, msg->node, strerror(-r));
        if (s->state == SESSION_BUILDING) {
                monitor_reply(m, msg, s->id, r);
                session_kill(s, &m->cgroup);
                monitor_end(m, s);
        }
        return 0;
}

static int on_start(struct monitor *m, struct session *s, struct monitor_message *msg, int *fds, size_t n_fds) {
        if (n_fds != 1 + (size_t)__builtin_popcount(msg->flags & 7))
                return -EBADMSG;
        monitor_flush_nodes(m);
        if (s->state != SESSION_BUILDING)
                return 0;
        s->start_tag = msg->tag;
        s->state = SESSION_STARTING;
        if (fd_send(s->fd_builder, msg, sizeof(*msg), fds, n_fds) != 0) {
                monitor_reply(m, msg, s->id, -EPIPE);
                session_kill(s, &m->cgroup);
                monitor_end(m, s);
        }
        return 0;
}

static int on_attach(struct monitor *m, struct session *s, struct monitor_message *msg, int *fds, size_t n_fds) {
        int object = n_fds ? fds[0] : -1, fd_level = -1, r;

        msg->name[MIN_OF(msg->name_len, (uint16_t)MONITOR_NAME_MAX)] = '\0';
        msg->target[MIN_OF(msg->target_len, (uint16_t)MONITOR_TARGET_MAX)] = '\0';
        r = view_check(&s->view, msg, object);
        if (msg->kind == VIEW_PROC || msg->kind == VIEW_DEV || msg->kind == VIEW_TMP)
                r = -EINVAL;
        if (msg->kind == VIEW_MASK)
                object = m->fd_mask[msg->flags & VIEW_MASK_DIR ? 1 : 0];
        if (r == 0)
                r = view_attach(&s->view, msg, object, &fd_level);
        if (r == 0 && fd_level >= 0) {
                struct monitor_message level = {
                        .type = MONITOR_LEVEL, .session = s->id, .tag = msg->tag, .node = msg->node, .token = msg->token,
                };

                r = mount_level_dev(fd_level, &level.dev);
                if (r == 0) {
                        monitor_send(m, &level, &fd_level, 1);
                        return 0;
                }
        }
        monitor_reply(m, msg, s->id, r);
        return 0;
}

static int on_refuse(struct monitor *m, struct session *s, struct monitor_message *msg, int *fds, size_t n_fds) {
        struct autofs_dev_ioctl param;
        uint32_t level = view_level_of(&s->view, msg->node);

        if (level != msg->node || msg->error <= 0 || msg->error > 4095)
                return -EBADMSG;
        init_autofs_dev_ioctl(&param);
        param.ioctlfd = s->view.nodes[level].fd;
        param.fail.token = msg->token;
        param.fail.status = -msg->error;
        if (m->fd_autofs < 0 || ioctl(m->fd_autofs, AUTOFS_DEV_IOCTL_FAIL, &param) < 0)
                /* without /dev/autofs the only refusal is ENOENT; EINVAL: nobody waits any more */
                if (ioctl(s->view.nodes[level].fd, AUTOFS_IOC_FAIL, (unsigned long)msg->token) < 0 && errno != EINVAL)
                        log_debug("session %08x: refuse: %s", s->id, strerror(errno));
        return 0;
}

static int on_revoke(struct monitor *m, struct session *s, struct monitor_message *msg, int *fds, size_t n_fds) {
        monitor_reply(m, msg, s->id, view_revoke(&s->view, msg->node));
        return 0;
}

static int on_widen(struct monitor *m, struct session *s, struct monitor_message *msg, int *fds, size_t n_fds) {
        monitor_reply(m, msg, s->id, view_widen(&s->view, msg->node, msg->flags & VIEW_WRITE));
        return 0;
}

void monitor_kill(struct monitor *m, struct session *s) {
        bool started = s->pidfd_init >= 0;

        if (s->state == SESSION_ENDING)
                return;
        session_kill(s, &m->cgroup);
        if (!started)
                monitor_end(m, s); /* no init whose end could tell us */
}

static int on_kill(struct monitor *m, struct session *s, struct monitor_message *msg, int *fds, size_t n_fds) {
        monitor_kill(m, s);
        return 0;
}

static const struct request {
        uint32_t type;
        unsigned states; /* bits of enum session_state */
        size_t min_fds, max_fds;
        int (*handle)(struct monitor *m, struct session *s, struct monitor_message *msg, int *fds, size_t n_fds);
} requests[] = {
        { MONITOR_SESSION, BIT(SESSION_FREE), 1, 1, on_session },
        { MONITOR_NODE, BIT(SESSION_BUILDING), 0, 1, on_node },
        { MONITOR_START, BIT(SESSION_BUILDING), 1, 4, on_start },
        { MONITOR_ATTACH, BIT(SESSION_RUNNING), 0, 1, on_attach },
        { MONITOR_REFUSE, BIT(SESSION_RUNNING), 0, 0, on_refuse },
        { MONITOR_REVOKE, BIT(SESSION_RUNNING), 0, 0, on_revoke },
        { MONITOR_WIDEN, BIT(SESSION_RUNNING), 0, 0, on_widen },
        { MONITOR_KILL, BIT(SESSION_BUILDING) | BIT(SESSION_STARTING) | BIT(SESSION_RUNNING) | BIT(SESSION_ENDING), 0, 0,
          on_kill },
};

/* A session may end while the service still speaks of it: that is answered, not punished. */
static int monitor_too_late(struct monitor *m, const struct monitor_message *msg) {
        if (msg->type == MONITOR_ATTACH || msg->type == MONITOR_REVOKE || msg->type == MONITOR_WIDEN ||
            msg->type == MONITOR_START)
                monitor_reply(m, msg, msg->session, -ESRCH);
        return 0;
}

int monitor_dispatch(struct monitor *m, struct monitor_message *msg, int *fds, size_t n_fds) {
        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                const struct request *q = &requests[i];
                struct session *s = NULL;

                if (q->type != msg->type)
                        continue;
                if (n_fds < q->min_fds || n_fds > q->max_fds)
                        return -EBADMSG;
                if (!(q->states & BIT(SESSION_FREE))) {
                        s = monitor_session(m, msg->session);
                        if (!s || s->state == SESSION_ENDING)
                                return monitor_too_late(m, msg);
                        if (!(q->states & BIT(s->state)))
                                return -EBADMSG;
                }
                return q->handle(m, s, msg, fds, n_fds);
        }
        return -EBADMSG;
}
