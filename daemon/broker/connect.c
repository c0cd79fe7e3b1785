/*
 * Connects.
 *
 * A call on an internet socket is never continued. The caller's threads could exchange descriptor and address behind our
 * back, and once a socket of the host's network is in the session, CONTINUE would act on it. So the session's own
 * connects (the namespace is empty: its own loopback or nothing) are made here as well, on a duplicate of the socket, with our copy
 * of the address; a socket belongs to its namespace wherever it is used. Unix sockets are continued: their names are
 * the view's.
 *
 * A stand-in is handed over when it is connected, also to a caller that does not want to wait: it is told EINPROGRESS all
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
        int fd_old; /* duplicate of the caller's socket */
        int fd_new; /* its stand-in; -1: the session's own connect */
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
        struct socket_template template;
        uint8_t ports[65536 / 8];
        bool any_port;
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
        socket_template_init(&c->template);
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
        c->any_port = true;
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
        struct broker_message m = { .type = BROKER_CONNECTED, .pid = (int32_t)tid, .port = port, .error = error };

        (void)peer_send(c->peer, &m, NULL, 0, NULL, 0);
}

/* The session's own connect: the caller's file, whose O_NONBLOCK was ours for the while. Frees @c. */
static void connection_finish_own(struct connection *c, int error) {
        c->source = loop_source_free(c->source);
        (void)fd_set_nonblock(c->fd_old, false);
        if (error)
                notify_error(c->owner->notify, c->id, error);
        else
                notify_value(c->owner->notify, c->id, 0);
        connection_drop(c);
}

/* The connection stands or has failed: the caller gets its socket, or the error. Frees @c. */
static void connection_finish(struct connection *c, int error) {
        struct connects *owner = c->owner;
        int r;

        c->source = loop_source_free(c->source);
        if (error == 0 && !c->nonblock && fd_set_nonblock(c->fd_new, false) != 0)
                error = EIO;
        if (error == 0) {
                if (c->nonblock) /* event loops have no blocking sockets */
                        socket_repair_epoll(c->tid, c->number, c->fd_old, c->fd_new);
                r = notify_replace_fd(owner->notify, c->id, c->fd_new, c->number, c->close_on_exec);
                if (r == -ENOENT) { /* killed */
                        connection_drop(c);
                        return;
                }
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
        if (c->fd_new < 0)
                connection_finish_own(c, error);
        else
                connection_finish(c, error);
}

static void on_connect_late(void *arg) {
        connection_finish(arg, ETIMEDOUT);
}

static struct connection *connection_new(struct connects *owner, const struct notice *n, int *fd_old) {
        struct connection *c = owner->n < CONNECTS_MAX ? calloc(1, sizeof(*c)) : NULL;

        if (!c)
                return NULL;
        c->owner = owner;
        c->fd_new = -1;
        c->fd_old = steal_fd(fd_old);
        c->id = n->id;
        c->tid = n->tid;
        c->number = (int)n->args[0];
        return c;
}

static void connection_link(struct connection *c) {
        c->next = c->owner->first;
        c->owner->first = c;
        c->owner->n++;
}

/* Return: errno, positive, when it could not even begin. */
static int connects_begin(struct connects *owner, const struct notice *n, int *fd_old, const struct socket_facts *facts,
                          const union address *a, socklen_t n_address, uint16_t port) {
        _cleanup_(connection_freep) struct connection *c = connection_new(owner, n, fd_old);
        socklen_t n_now = sizeof(union address);
        union address now;
        int r;

        if (!c)
                return EAGAIN;
        c->port = port;
        c->nonblock = facts->nonblock;
        c->close_on_exec = socket_closes_on_exec(n->tid, c->number);
        c->fd_new = socket_stand_in(&owner->template, c->fd_old, facts, &a->sa);
        if (c->fd_new < 0) {
                r = -c->fd_new;
                c->fd_new = -1;
                return r;
        }
        r = connect(c->fd_new, &a->sa, n_address) < 0 ? errno : 0;
        if (r == EINPROGRESS && getpeername(c->fd_new, &now.sa, &n_now) == 0)
                r = 0; /* loopback: the handshake was over before connect(2) returned */
        if (r && r != EINPROGRESS)
                return r;
        if (r && (loop_io(owner->loop, c->fd_new, LOOP_WRITE, on_connected, c, &c->source) != 0 ||
                  loop_timer(owner->loop, CONNECTS_WAIT_US, on_connect_late, c, &c->timer) != 0))
                return ENOMEM;
        connection_link(c);
        if (r == 0)
                connection_finish(c, 0);
        c = NULL;
        return 0;
}

/* Inside the session. Answers the call now, or when the connection stands. */
static void connects_own(struct connects *owner, const struct notice *n, int *fd_old, const struct socket_facts *facts,
                         const union address *a, socklen_t n_address) {
        bool waits = facts->type == SOCK_STREAM && !facts->nonblock;
        struct connection *c;
        int r;

        /* nobody else can have a use for the file while it is being connected */
        if (waits && fd_set_nonblock(*fd_old, true) != 0) {
                notify_error(owner->notify, n->id, EIO);
                return;
        }
        r = connect(*fd_old, &a->sa, n_address) < 0 ? errno : 0;
        if (waits && r == EINPROGRESS) {
                c = connection_new(owner, n, fd_old);
                if (c && loop_io(owner->loop, c->fd_old, LOOP_WRITE, on_connected, c, &c->source) == 0) {
                        connection_link(c);
                        return;
                }
                if (c) {
                        *fd_old = steal_fd(&c->fd_old);
                        connection_free(c);
                }
                r = EAGAIN;
        }
        if (waits)
                (void)fd_set_nonblock(*fd_old, false);
        if (r)
                notify_error(owner->notify, n->id, r);
        else
                notify_value(owner->notify, n->id, 0);
}

/* A socket that is already ours: the kernel's answers, without the kernel. */
static int connects_again(const struct socket_facts *facts) {
        return facts->connected ? EISCONN : EACCES;
}

/* A caller that cannot be looked at. As long as nothing of ours can be in the session, the kernel may go on. */
static void connects_unclear(struct connects *c, const struct notice *n, int error) {
        if (c->any_port)
                notify_error(c->notify, n->id, error);
        else
                notify_continue(c->notify, n->id);
}

static void connects_internet(struct connects *c, const struct notice *n, const union address *a, socklen_t n_address) {
        _cleanup_close_ int fd_old = socket_take(n->tid, (int)n->args[0]);
        struct socket_facts facts = { 0 };
        uint16_t port;
        int error;

        error = fd_old < 0 ? -fd_old : -socket_facts(&c->template, fd_old, &facts);
        if (!notify_is_valid(c->notify, n->id))
                return;
        if (error == EPERM || error == EMFILE || error == ENFILE) {
                connects_unclear(c, n, EACCES); /* not dumpable, or we are short of descriptors */
                return;
        }
        if (error) {
                notify_error(c->notify, n->id, error);
                return;
        }
        if (facts.outside && (facts.domain == AF_INET || facts.domain == AF_INET6)) {
                error = a->sa.sa_family == AF_UNSPEC ? EACCES : connects_again(&facts);
                notify_error(c->notify, n->id, error);
                return;
        }
        port = connects_permit(c, a, n_address);
        if (port == 0 || facts.type != SOCK_STREAM || facts.protocol != IPPROTO_TCP ||
            facts.domain != a->sa.sa_family || facts.connected) {
                connects_own(c, n, &fd_old, &facts, a, n_address);
                return;
        }
        error = connects_begin(c, n, &fd_old, &facts, a, n_address, port);
        if (error) {
                connects_report(c, n->tid, port, error);
                notify_error(c->notify, n->id, error);
        }
}

void connects_handle(struct connects *c, const struct notice *n) {
        socklen_t n_address = (socklen_t)n->args[2];
        union address a;
        int r;

        memset(&a, 0, sizeof(a));
        if (n_address < sizeof(sa_family_t) || n_address > sizeof(a)) {
                notify_continue(c->notify, n->id); /* EINVAL by the length alone, whatever lies there */
                return;
        }
        r = caller_read(n->tid, n->args[1], &a, n_address);
        if (r)
                connects_unclear(c, n, r == CALLER_E_DENIED ? EACCES : EFAULT);
        else if (a.sa.sa_family == AF_INET || a.sa.sa_family == AF_INET6 || a.sa.sa_family == AF_UNSPEC)
                connects_internet(c, n, &a, n_address);
        else
                notify_continue(c->notify, n->id);
}
