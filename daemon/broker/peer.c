/*
 * Outgoing half of the broker's conversation with the service. The service may be slow, or hold a prompt open for minutes:
 * messages wait here, bounded; whoever finds the queue full denies what it wanted to ask.
 * Runs as: the user, in the broker.   Input: our own messages.
 */
#include "daemon/broker/peer.h"

#include <string.h>

#include "common/error.h"
#include "common/fd.h"
#include "common/loop.h"

enum { PEER_RETRY_US = 5000 };

struct peer_item {
        struct peer_item *next;
        int fds[PACK_FDS_MAX];
        size_t n_fds, n;
        char data[];
};

struct peer {
        struct loop *loop;
        int fd;
        struct loop_source *source, *retry;
        void (*on_ready)(void *arg);
        void *arg;
        struct peer_item *first, **last;
        size_t n_bytes, n_fds; /* of everything queued */
        struct pack *pack;     /* what was sent since peer_cork(), with its own copies of descriptors */
        bool corked;
};

static struct peer_item *peer_item_free(struct peer_item *i) {
        fd_close_many(i->fds, i->n_fds);
        free(i);
        return NULL;
}
DEFINE_CLEANUP(struct peer_item, peer_item_free);

static void peer_drop_first(struct peer *p) {
        struct peer_item *i = p->first;

        p->first = i->next;
        if (!p->first)
                p->last = &p->first;
        p->n_bytes -= i->n;
        p->n_fds -= i->n_fds;
        peer_item_free(i);
}

/* Sends what the socket takes. A full socket waits for writability; too many descriptors in flight for a moment. */
static void peer_flush(struct peer *p) {
        while (p->first) {
                int r = fd_send(p->fd, p->first->data, p->first->n, p->first->fds, p->first->n_fds);

                if (r == FD_E_AGAIN)
                        break;
                if (r == -ETOOMANYREFS || r == -ENOBUFS || r == -ENOMEM) {
                        (void)loop_io_want(p->source, LOOP_READ);
                        (void)loop_timer_set(p->retry, PEER_RETRY_US);
                        return;
                }
                peer_drop_first(p); /* sent; or a broken socket, which its reading side will report */
        }
        (void)loop_io_want(p->source, LOOP_READ | (p->first ? LOOP_WRITE : 0U));
}

static void on_peer(int fd, unsigned ready, void *arg) {
        struct peer *p = arg;

        if (ready & LOOP_WRITE)
                peer_flush(p);
        if (ready & LOOP_READ)
                p->on_ready(p->arg);
}

static void on_peer_retry(void *arg) {
        struct peer *p = arg;

        if (p->fd >= 0)
                peer_flush(p);
}

int peer_new(struct loop *l, int fd, void (*on_ready)(void *arg), void *arg, struct peer **ret) {
        _cleanup_(peer_freep) struct peer *p = NULL;
        int r;

        p = calloc(1, sizeof(*p));
        if (!p)
                return err_raise(-ENOMEM);
        p->fd = -1;
        p->loop = l;
        p->last = &p->first;
        p->on_ready = on_ready;
        p->arg = arg;
        r = fd_set_nonblock(fd, true);
        if (r)
                return err_pass(r);
        r = loop_timer(l, UINT64_MAX, on_peer_retry, p, &p->retry);
        if (r)
                return err_pass(r);
        r = loop_io(l, fd, LOOP_READ, on_peer, p, &p->source);
        if (r)
                return err_pass(r);
        p->fd = fd;
        *ret = steal_ptr(&p);
        return 0;
}

struct peer *peer_free(struct peer *p) {
        if (!p)
                return NULL;
        peer_close(p);
        loop_source_free(p->retry);
        free(p->pack);
        free(p);
        return NULL;
}

int peer_fd(const struct peer *p) {
        return p->fd;
}

void peer_close(struct peer *p) {
        while (p->first)
                peer_drop_first(p);
        if (p->pack) {
                fd_close_many(p->pack->fds, p->pack->n_fds);
                p->pack->n = p->pack->n_fds = 0;
        }
        p->source = loop_source_free(p->source);
        fd_close(&p->fd);
}

bool peer_is_closed(const struct peer *p) {
        return p->fd < 0;
}

bool peer_is_idle(const struct peer *p) {
        return !p->first;
}

static int peer_put(struct peer *p, const void *data, size_t n, const int *fds, size_t n_fds) {
        _cleanup_(peer_item_freep) struct peer_item *item = NULL;
        int r;

        if (!p->first) {
                r = fd_send(p->fd, data, n, fds, n_fds);
                if (r != FD_E_AGAIN && r != -ETOOMANYREFS && r != -ENOBUFS)
                        return r == -EPIPE || r == -ECONNRESET ? PEER_E_CLOSED : r ? err_pass(r) : 0;
        } else
                r = FD_E_AGAIN;
        if (p->n_bytes + n > PEER_QUEUE_BYTES || p->n_fds + n_fds > PEER_QUEUE_FDS)
                return PEER_E_FULL;
        item = calloc(1, sizeof(*item) + n);
        if (!item)
                return err_raise(-ENOMEM);
        memcpy(item->data, data, n);
        item->n = n;
        for (size_t i = 0; i < n_fds; i++) {
                item->fds[i] = fd_dup(fds[i]);
                if (item->fds[i] < 0)
                        return PEER_E_FULL;
                item->n_fds++;
        }
        p->n_bytes += n;
        p->n_fds += n_fds;
        *p->last = item;
        p->last = &item->next;
        item = NULL;
        if (r == FD_E_AGAIN)
                (void)loop_io_want(p->source, LOOP_READ | LOOP_WRITE);
        else
                (void)loop_timer_set(p->retry, PEER_RETRY_US);
        return 0;
}

static int peer_put_pack(struct peer *p) {
        int r;

        if (!p->pack || p->pack->n == 0)
                return 0;
        r = p->fd < 0 ? PEER_E_CLOSED : peer_put(p, p->pack->data, p->pack->n, p->pack->fds, p->pack->n_fds);
        fd_close_many(p->pack->fds, p->pack->n_fds);
        p->pack->n = p->pack->n_fds = 0;
        return r;
}

static int peer_pack(struct peer *p, const void *data, size_t n, const int *fds, size_t n_fds) {
        int own[PEER_FDS_MAX], r;

        if (!pack_fits(p->pack, n, n_fds)) {
                r = peer_put_pack(p);
                if (r)
                        return r;
        }
        for (size_t i = 0; i < n_fds; i++) {
                own[i] = fd_dup(fds[i]);
                if (own[i] < 0) {
                        r = own[i];
                        fd_close_many(own, i);
                        return r;
                }
        }
        pack_add(p->pack, &broker_format, data, n, own, n_fds);
        return 0;
}

int peer_send(struct peer *p, struct broker_message *m, const struct peer_text *texts, size_t n_texts, const int *fds,
              size_t n_fds) {
        char data[sizeof(*m) + BROKER_PAYLOAD_MAX];
        size_t n = sizeof(*m);

        if (p->fd < 0)
                return PEER_E_CLOSED;
        if (n_fds > PEER_FDS_MAX)
                return err_raise(-EINVAL);
        for (size_t i = 0; i < n_texts; i++) {
                size_t len = texts[i].raw ? texts[i].n : texts[i].text ? strlen(texts[i].text) : 0;
                size_t nul = texts[i].raw ? 0 : 1;

                if (len + nul > sizeof(data) - n)
                        return PEER_E_FULL;
                if (len > 0)
                        memcpy(data + n, texts[i].text, len);
                n += len;
                if (nul)
                        data[n++] = '\0';
        }
        m->size = (uint32_t)(n - sizeof(*m));
        memcpy(data, m, sizeof(*m));
        return p->corked ? peer_pack(p, data, n, fds, n_fds) : peer_put(p, data, n, fds, n_fds);
}

void peer_cork(struct peer *p) {
        if (!p->pack)
                p->pack = calloc(1, sizeof(*p->pack)); /* without memory everything travels alone */
        p->corked = p->pack != NULL;
}

void peer_uncork(struct peer *p) {
        (void)peer_put_pack(p);
        p->corked = false;
}

const char *peer_string(const char **cursor, const char *end) {
        const char *s = *cursor, *nul;

        if (s >= end)
                return NULL;
        nul = memchr(s, '\0', (size_t)(end - s));
        if (!nul)
                return NULL;
        *cursor = nul + 1;
        return s;
}
