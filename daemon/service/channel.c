/*
 * Outgoing messages wait in a list while the socket is full; a peer that does not read is cut off, not waited for.
 * The channel outlives its own callbacks: channel_free() inside one is fine, the memory goes after the round.
 *
 * Runs as: user nono.   Input: see channel.h.
 */
#include "daemon/service/channel.h"

#include <stdbool.h>
#include <string.h>

#include "common/error.h"
#include "common/fd.h"
#include "common/loop.h"

enum { CHANNEL_RETRY_US = 1000 };

struct channel_message {
        struct channel_message *next;
        size_t n, n_fds;
        int fds[CHANNEL_FDS_MAX];
        char data[];
};

struct channel {
        struct loop *loop;
        struct loop_source *io, *retry;
        int fd;
        const struct pack_format *format; /* NULL: one record per message */
        struct pack *out;                 /* records of this round */
        bool flushing;                    /* on_channel_round() is due */
        channel_message_fn on_message;
        channel_closed_fn on_closed;
        void *arg;
        struct channel_message *first, **last;
        size_t queued, queue_max;
        bool closed, freed;
};

static void channel_release(void *arg) {
        struct channel *c = arg;

        free(c->out);
        free(c);
}

static void channel_drop_queue(struct channel *c) {
        while (c->first) {
                struct channel_message *m = c->first;

                c->first = m->next;
                fd_close_many(m->fds, m->n_fds);
                free(m);
        }
        c->last = &c->first;
        c->queued = 0;
        if (c->out) {
                fd_close_many(c->out->fds, c->out->n_fds);
                c->out->n = c->out->n_fds = 0;
        }
}

struct channel *channel_free(struct channel *c) {
        if (!c || c->freed)
                return NULL;
        c->freed = c->closed = true;
        c->io = loop_source_free(c->io);
        c->retry = loop_source_free(c->retry);
        fd_close(&c->fd);
        channel_drop_queue(c);
        loop_defer(c->loop, channel_release, c);
        return NULL;
}

static void on_channel_closed(void *arg) {
        struct channel *c = arg;

        if (!c->freed && c->on_closed)
                c->on_closed(c->arg);
}

/* From inside channel_send() the callback would meet a caller in the middle of its work: the next round tells it. */
static void channel_close(struct channel *c) {
        if (c->closed)
                return;
        c->closed = true;
        c->io = loop_source_free(c->io);
        channel_drop_queue(c);
        if (loop_timer_set(c->retry, 0) < 0)
                loop_defer(c->loop, on_channel_closed, c);
}

/* Return: 0; FD_E_AGAIN (also when too many descriptors of this user are in flight: unix(7), ETOOMANYREFS); -errno. */
static int channel_transmit(struct channel *c, const void *data, size_t n, const int *fds, size_t n_fds) {
        int r = fd_send(c->fd, data, n, fds, n_fds);

        if (r == -ETOOMANYREFS) {
                (void)loop_timer_set(c->retry, CHANNEL_RETRY_US);
                return FD_E_AGAIN;
        }
        return r;
}

static void channel_flush(struct channel *c) {
        while (c->first) {
                struct channel_message *m = c->first;
                int r = channel_transmit(c, m->data, m->n, m->fds, m->n_fds);

                if (r == FD_E_AGAIN)
                        break;
                if (r) {
                        channel_close(c);
                        return;
                }
                c->first = m->next;
                if (!c->first)
                        c->last = &c->first;
                c->queued -= m->n;
                fd_close_many(m->fds, m->n_fds);
                free(m);
        }
        (void)loop_io_want(c->io, LOOP_READ | (c->first ? LOOP_WRITE : 0));
}

static void on_channel_timer(void *arg) {
        struct channel *c = arg;

        if (c->closed)
                on_channel_closed(c);
        else
                channel_flush(c);
}

static void channel_deliver(struct channel *c, const char *data, size_t n, int *fds, size_t n_fds) {
        struct pack_reader reader = { .data = data, .n = n, .fds = fds, .n_fds = n_fds };
        const void *record;
        size_t n_record, n_own;
        int *own, r;

        if (!c->format) {
                c->on_message(c->arg, data, n, fds, n_fds);
                return;
        }
        while (!c->closed && (r = pack_next(&reader, c->format, &record, &n_record, &own, &n_own)) != PACK_E_END) {
                if (r) {
                        channel_close(c);
                        return;
                }
                c->on_message(c->arg, record, n_record, own, n_own);
        }
}

static void channel_read(struct channel *c) {
        static _Alignas(max_align_t) char data[CHANNEL_MESSAGE_MAX]; /* one thread; too large for the stack */

        for (int i = 0; i < CHANNEL_BURST_MAX && !c->closed; i++) {
                int fds[CHANNEL_FDS_MAX];
                size_t n, n_fds;
                int r = fd_recv(c->fd, data, sizeof(data), &n, fds, ELEMENTSOF(fds), &n_fds);

                if (r == FD_E_AGAIN)
                        return;
                if (r) {
                        channel_close(c);
                        return;
                }
                channel_deliver(c, data, n, fds, n_fds);
                fd_close_many(fds, n_fds);
        }
}

static void on_channel_ready(int fd, unsigned ready, void *arg) {
        struct channel *c = arg;

        if (ready & LOOP_WRITE)
                channel_flush(c);
        if (ready & LOOP_READ)
                channel_read(c);
}

int channel_new(struct loop *loop, int fd, const struct pack_format *format, size_t queue_max,
                channel_message_fn on_message, channel_closed_fn on_closed, void *arg, struct channel **ret) {
        struct channel *c;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c)
                return err_raise(-ENOMEM);
        c->loop = loop;
        c->fd = -1;
        c->last = &c->first;
        c->queue_max = queue_max;
        c->format = format;
        if (format) {
                c->out = malloc(sizeof(*c->out));
                if (!c->out) {
                        channel_free(c);
                        return err_raise(-ENOMEM);
                }
                c->out->n = c->out->n_fds = 0;
        }
        c->on_message = on_message;
        c->on_closed = on_closed;
        c->arg = arg;
        r = fd_set_nonblock(fd, true);
        if (r == 0)
                r = loop_timer(loop, UINT64_MAX, on_channel_timer, c, &c->retry);
        if (r == 0)
                r = loop_io(loop, fd, LOOP_READ, on_channel_ready, c, &c->io);
        if (r) {
                channel_free(c);
                return err_pass(r);
        }
        c->fd = fd;
        *ret = c;
        return 0;
}

static int channel_enqueue(struct channel *c, const void *data, size_t n, int *fds, size_t n_fds) {
        struct channel_message *m;

        if (n > c->queue_max - c->queued)
                return CHANNEL_E_FULL;
        m = malloc(sizeof(*m) + n);
        if (!m)
                return err_raise(-ENOMEM);
        m->next = NULL;
        m->n = n;
        m->n_fds = n_fds;
        memcpy(m->data, data, n);
        for (size_t i = 0; i < n_fds; i++)
                m->fds[i] = steal_fd(&fds[i]);
        *c->last = m;
        c->last = &m->next;
        c->queued += n;
        return 0;
}

/* Sends, or queues behind what waits already. Descriptors are consumed in every case. */
static int channel_put(struct channel *c, const void *data, size_t n, int *fds, size_t n_fds) {
        int r = FD_E_AGAIN;

        if (!c->first)
                r = channel_transmit(c, data, n, fds, n_fds);
        if (r == FD_E_AGAIN) {
                r = channel_enqueue(c, data, n, fds, n_fds);
                if (r == 0)
                        r = loop_io_want(c->io, LOOP_READ | LOOP_WRITE);
        }
        fd_close_many(fds, n_fds);
        if (r)
                channel_close(c);
        return r;
}

static int channel_put_pack(struct channel *c) {
        int r = channel_put(c, c->out->data, c->out->n, c->out->fds, c->out->n_fds);

        c->out->n = c->out->n_fds = 0;
        return r;
}

static void on_channel_round(void *arg) {
        struct channel *c = arg;

        c->flushing = false;
        if (!c->closed && c->out->n)
                (void)channel_put_pack(c); /* a failure has closed the channel, which tells its owner */
}

int channel_send(struct channel *c, const void *data, size_t n, int *fds, size_t n_fds) {
        int r = 0;

        if (c->closed || n > CHANNEL_MESSAGE_MAX || n_fds > CHANNEL_FDS_MAX) {
                fd_close_many(fds, n_fds);
                return c->closed ? CHANNEL_E_CLOSED : err_raise(-EMSGSIZE);
        }
        if (!c->format)
                return channel_put(c, data, n, fds, n_fds);
        if (!pack_fits(c->out, n, n_fds))
                r = channel_put_pack(c);
        if (r) {
                fd_close_many(fds, n_fds);
                return r;
        }
        pack_add(c->out, c->format, data, n, fds, n_fds);
        for (size_t i = 0; i < n_fds; i++)
                fds[i] = -1;
        if (!c->flushing) {
                c->flushing = true;
                loop_defer(c->loop, on_channel_round, c);
        }
        return 0;
}
