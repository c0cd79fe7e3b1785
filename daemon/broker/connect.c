/*
 * Connects.
 *
 * Everything not ours is CONTINUE: the namespace is empty, so it reaches the session's own loopback or nothing. A socket of
 * ours that comes back here is the exception: it is answered, never continued (socket.c holds it should that be raced).
 *
 * A socket is handed over when it is connected, also to a caller that does not want to wait: it is told EINPROGRESS all
 * the same and finds the socket writable. An unconnected one would be a socket of the host's to play with.
 *
 * Runs as: the user, in the broker, in the host's network namespace.
 * Input: socket addresses of hostile processes, copied once.
 */
#include "daemon/broker/connect.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/loop.h"
#include "daemon/broker/caller.h"
#include "daemon/broker/notify.h"
#include "daemon/broker/peer.h"
#include "daemon/broker/socket.h"

struct connection {
        struct connection *next;
        struct connects *owner;
        uint64_t id;
        pid_t tid;
        int number; /* the caller's descriptor */
        int fd_old, fd_new;
        bool nonblock, close_on_exec;
        uint16_t port;
        struct loop_source *source, *timer;
};

struct connects {
        struct loop *loop;
        struct peer *peer;
        struct notify *notify;
        struct connection *first;
        size_t n;
        uint8_t ports[65536 / 8];
};

union address {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage storage;
};

static struct connection *connection_free(struct connection *c) {
        loop_source_free(c->source);
        loop_source_free(c->timer);
        fd_close(&c->fd_old);
        fd_close(&c->fd_new);
        free(c);
        return NULL;
}
DEFINE_CLEANUP(struct connection, connection_free);

static void connection_drop(struct connection *c) {
        struct connection **at = &c->owner->first;

        while (*at != c)
                at = &(*at)->next;
        *at = c->next;
        c->owner->n--;
        connection_free(c);
}

int connects_new(struct loop *l, struct peer *peer, struct notify *notify, struct connects **ret) {
        struct connects *c = calloc(1, sizeof(*c));

        if (!c)
                return err_raise(-ENOMEM);
        c->loop = l;
        c->peer = peer;
        c->notify = notify;
        *ret = c;
        return 0;
}

struct connects *connects_free(struct connects *c) {
        if (!c)
                return NULL;
        while (c->first)
                connection_drop(c->first);
        free(c);
        return NULL;
}

int connects_allow_port(struct connects *c, uint32_t port) {
        if (port == 0 || port > 65535)
                return err_raise(-EINVAL);
        c->ports[port / 8] |= (uint8_t)(1U << port % 8);
        return 0;
}

/* The decision: where a stream socket may be connected to outside of the session. Return: port, 0 for none. */
static uint16_t connects_permit(const struct connects *c, const union address *a, size_t n) {
        uint16_t port;

        if (a->sa.sa_family == AF_INET && n >= sizeof(a->v4)) {
                if (ntohl(a->v4.sin_addr.s_addr) >> 24 != 127)
                        return 0;
                port = ntohs(a->v4.sin_port);
        } else if (a->sa.sa_family == AF_INET6 && n >= sizeof(a->v6)) {
                const struct in6_addr *in6 = &a->v6.sin6_addr;

                if (!IN6_IS_ADDR_LOOPBACK(in6) && !(IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127))
                        return 0;
                port = ntohs(a->v6.sin6_port);
        } else
                return 0;
        return c->ports[port / 8] & 1U << port % 8 ? port : 0;
}

static void connects_report(struct connects *c, pid_t tid, uint16_t port, int error) {
        struct broker_message m = { .type = BROKER_CONNECTED, .port = port, .error = error };
        mode_t unused;
        pid_t tgid;

        if (caller_status(tid, &tgid, &unused) == 0)
                m.pid = (int32_t)tgid;
        (void)peer_send(c->peer, &m, NULL, 0, NULL, 0);
}

/* The connection stands or has failed: the caller gets its socket, or the error. Frees @c. */
static void connection_finish(struct connection *c, int error) {
        struct connects *owner = c->owner;
        int r;

        c->source = loop_source_free(c->source);
        if (!notify_is_valid(owner->notify, c->id)) {
                connection_drop(c);
                return;
        }
        if (error == 0 && !c->nonblock && fd_set_nonblock(c->fd_new, false) != 0)
                error = EIO;
        if (error == 0) {
                socket_repair_epoll(c->tid, c->number, c->fd_old, c->fd_new);
                r = notify_replace_fd(owner->notify, c->id, c->fd_new, c->number, c->close_on_exec);
                error = -r;
        }
        connects_report(owner, c->tid, c->port, error);
        if (error == 0 && c->nonblock)
                error = EINPROGRESS;
        if (error)
                notify_error(owner->notify, c->id, error);
        else
                notify_value(owner->notify, c->id, 0);
        connection_drop(c);
}

static void on_connected(int fd, unsigned ready, void *arg) {
        struct connection *c = arg;
        int error = EIO;
        socklen_t n = sizeof(error);

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
                error = errno;
        connection_finish(c, error);
}

static void on_connect_late(void *arg) {
        connection_finish(arg, ETIMEDOUT);
}

/* Return: errno, positive, when it could not even begin. */
static int connects_begin(struct connects *owner, const struct notice *n, int *fd_old, const struct socket_facts *facts,
                          const union address *a, socklen_t n_address, uint16_t port) {
        _cleanup_(connection_freep) struct connection *c = NULL;
        struct connection *begun;
        int r;

        if (owner->n >= CONNECTS_MAX)
                return EAGAIN;
        c = calloc(1, sizeof(*c));
        if (!c)
                return ENOMEM;
        c->owner = owner;
        c->fd_new = -1;
        c->fd_old = steal_fd(fd_old);
        c->id = n->id;
        c->tid = n->tid;
        c->number = (int)n->args[0];
        c->port = port;
        c->nonblock = facts->nonblock;
        c->close_on_exec = socket_closes_on_exec(n->tid, c->number);
        c->fd_new = socket_stand_in(c->fd_old, facts, &a->sa);
        if (c->fd_new < 0) {
                r = -c->fd_new;
                c->fd_new = -1;
                return r;
        }
        r = connect(c->fd_new, &a->sa, n_address) < 0 ? errno : 0;
        if (r && r != EINPROGRESS)
                return r;
        if (r && (loop_io(owner->loop, c->fd_new, LOOP_WRITE, on_connected, c, &c->source) != 0 ||
                  loop_timer(owner->loop, CONNECTS_WAIT_US, on_connect_late, c, &c->timer) != 0))
                return ENOMEM;
        begun = steal_ptr(&c);
        begun->next = owner->first;
        owner->first = begun;
        owner->n++;
        if (r == 0)
                connection_finish(begun, 0);
        return 0;
}

/* A socket that is already ours. The kernel's answers, without the kernel: it must not act on an address we have not read. */
static int connects_again(const struct socket_facts *facts) {
        return facts->connected ? EISCONN : EACCES;
}

void connects_handle(struct connects *c, const struct notice *n) {
        _cleanup_close_ int fd_old = -1;
        struct socket_facts facts;
        union address a;
        socklen_t n_address = (socklen_t)n->args[2];
        uint16_t port;
        int error;

        memset(&a, 0, sizeof(a));
        if (n_address < sizeof(sa_family_t) || n_address > sizeof(a) || caller_read(n->tid, n->args[1], &a, n_address) != 0) {
                notify_continue(c->notify, n->id);
                return;
        }
        if (a.sa.sa_family == AF_INET || a.sa.sa_family == AF_INET6 || a.sa.sa_family == AF_UNSPEC)
                fd_old = socket_take(n->tid, (int)n->args[0]);
        if (fd_old < 0 || socket_facts(fd_old, &facts) != 0 || !notify_is_valid(c->notify, n->id)) {
                if (fd_old < 0)
                        fd_old = -1;
                notify_continue(c->notify, n->id);
                return;
        }
        if (facts.outside && facts.type == SOCK_STREAM && (facts.domain == AF_INET || facts.domain == AF_INET6)) {
                notify_error(c->notify, n->id, connects_again(&facts));
                return;
        }
        port = connects_permit(c, &a, n_address);
        if (port == 0 || facts.type != SOCK_STREAM || facts.protocol != IPPROTO_TCP || facts.domain != a.sa.sa_family ||
            facts.connected) {
                notify_continue(c->notify, n->id);
                return;
        }
        error = connects_begin(c, n, &fd_old, &facts, &a, n_address, port);
        if (error) {
                connects_report(c, n->tid, port, error);
                notify_error(c->notify, n->id, error);
        }
}
