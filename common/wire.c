/*
 * Wire: frames on a stream socket, and the one place where bytes of a peer become protobuf messages.
 *
 * protobuf-c 1.4 has no limit on what a message unfolds to and keeps quiet about unknown fields, unknown enum values
 * and repeated singular fields (which it merges, in code that few people run). So every frame is first walked against
 * the descriptors (wire_scan), then unpacked with an allocator that has a budget, then walked once more as a tree
 * (wire_check). What comes out is bounded, and every value in it is one that nono.proto names.
 *
 * The header is read exactly, never together with what precedes it: a stream socket hands descriptors over with the
 * bytes of the sendmsg(2) that carried them (unix(7)), so a read that crosses two frames would give the descriptors
 * of the second to the first.
 *
 * Runs as: service and client.   Input: any bytes and any descriptors of a hostile peer.
 */
#include "common/wire.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

#include "common/error.h"
#include "common/fd.h"

enum {
        WIRE_HEADER_SIZE = 4,
        WIRE_DEPTH_MAX = 4,      /* Reply → Sessions → SessionInfo is 3 */
        WIRE_QUEUED_FDS_MAX = 64,
        WIRE_ALLOC_OVERHEAD = 16, /* what malloc(3) adds, charged to the budget */
};

struct wire_frame {
        struct wire_frame *next;
        size_t size, sent;
        size_t n_fds;
        int fds[WIRE_FDS_MAX]; /* ours, closed with the frame */
        unsigned char data[];
};

struct wire {
        int fd;
        bool server;
        bool bad_in;  /* a malformed frame was seen: nothing after it can be trusted */
        bool bad_out; /* a frame left in part and the rest is lost: nothing after it would be understood */

        unsigned char header[WIRE_HEADER_SIZE];
        size_t n_header;
        unsigned char *body; /* NULL until the header is complete */
        size_t size, n_body;
        int fds[WIRE_FDS_MAX];
        size_t n_fds;

        struct wire_frame *first, **last;
        size_t queued, queued_fds;
};

int wire_new(int fd, bool server, struct wire **ret) {
        struct wire *w;
        int r;

        r = fd_set_nonblock(fd, true);
        if (r)
                return err_pass(r);
        w = calloc(1, sizeof(*w));
        if (!w)
                return err_raise(-ENOMEM);
        w->fd = fd;
        w->server = server;
        w->last = &w->first;
        *ret = w;
        return 0;
}

static void wire_frame_free(struct wire_frame *f) {
        fd_close_many(f->fds, f->n_fds);
        free(f);
}

/* Forgets the frame being read; descriptors that came with it are closed. */
static void wire_reset(struct wire *w) {
        fd_close_many(w->fds, w->n_fds);
        w->n_fds = 0;
        free(w->body);
        w->body = NULL;
        w->n_header = w->n_body = w->size = 0;
}

struct wire *wire_free(struct wire *w) {
        if (!w)
                return NULL;
        while (w->first) {
                struct wire_frame *f = w->first;

                w->first = f->next;
                wire_frame_free(f);
        }
        wire_reset(w);
        fd_close(&w->fd);
        free(w);
        return NULL;
}

int wire_fd(const struct wire *w) {
        return w->fd;
}

bool wire_wants_write(const struct wire *w) {
        return w->first != NULL;
}

/* --- sending --- */

/* Sends a part of one frame. Return: 0 when all of it is out; WIRE_E_AGAIN; WIRE_E_CLOSED; -errno. */
static int wire_push(struct wire *w, const unsigned char *data, size_t n, size_t *sent, const int *fds, size_t n_fds) {
        union {
                struct cmsghdr align;
                char buf[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
        } control;

        while (*sent < n) {
                struct iovec iov = { .iov_base = (void *)(data + *sent), .iov_len = n - *sent };
                struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
                ssize_t m;

                if (*sent == 0 && n_fds > 0) {
                        struct cmsghdr *c;

                        memset(&control, 0, sizeof(control));
                        msg.msg_control = control.buf;
                        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                        c = CMSG_FIRSTHDR(&msg);
                        c->cmsg_level = SOL_SOCKET;
                        c->cmsg_type = SCM_RIGHTS;
                        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
                }
                m = sendmsg(w->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (m < 0) {
                        if (errno == EINTR)
                                continue;
                        if (errno == EAGAIN)
                                return WIRE_E_AGAIN;
                        return errno == EPIPE || errno == ECONNRESET ? WIRE_E_CLOSED : err_raise(-errno);
                }
                *sent += (size_t)m;
        }
        return 0;
}

int wire_flush(struct wire *w) {
        while (w->first) {
                struct wire_frame *f = w->first;
                size_t before = f->sent;
                int r = wire_push(w, f->data, f->size, &f->sent, f->fds, f->n_fds);

                w->queued -= f->sent - before;
                if (f->sent > 0) { /* the descriptors left with the first byte */
                        fd_close_many(f->fds, f->n_fds);
                        w->queued_fds -= f->n_fds;
                        f->n_fds = 0;
                }
                if (r)
                        return r;
                w->first = f->next;
                if (!w->first)
                        w->last = &w->first;
                wire_frame_free(f);
        }
        return 0;
}

/* Sends what goes at once and queues the rest. @f: consumed */
static int wire_queue(struct wire *w, struct wire_frame *f, const int *fds, size_t n_fds) {
        int r = WIRE_E_AGAIN;

        if (!w->first)
                r = wire_push(w, f->data, f->size, &f->sent, fds, n_fds);
        if (r != WIRE_E_AGAIN) {
                w->bad_out = f->sent > 0 && f->sent < f->size;
                wire_frame_free(f);
                return r;
        }
        if (w->queued + (f->size - f->sent) > WIRE_QUEUE_MAX || w->queued_fds + n_fds > WIRE_QUEUED_FDS_MAX) {
                w->bad_out = f->sent > 0;
                wire_frame_free(f);
                return WIRE_E_SLOW;
        }
        if (f->sent == 0)
                for (size_t i = 0; i < n_fds; i++) {
                        r = fd_dup(fds[i]);
                        if (r < 0) {
                                wire_frame_free(f);
                                return err_pass(r);
                        }
                        f->fds[f->n_fds++] = r;
                }
        w->queued += f->size - f->sent;
        w->queued_fds += f->n_fds;
        *w->last = f;
        w->last = &f->next;
        return 0;
}

static int wire_send(struct wire *w, const ProtobufCMessage *m, const int *fds, size_t n_fds) {
        struct wire_frame *f;
        size_t n;

        if (w->bad_out)
                return WIRE_E_CLOSED;
        if (n_fds > WIRE_FDS_MAX)
                return err_raise(-EINVAL);
        n = protobuf_c_message_get_packed_size(m);
        if (n == 0 || n > WIRE_FRAME_MAX)
                return err_raise(-EMSGSIZE);
        f = malloc(sizeof(*f) + WIRE_HEADER_SIZE + n);
        if (!f)
                return err_raise(-ENOMEM);
        *f = (struct wire_frame){ .size = WIRE_HEADER_SIZE + n };
        for (size_t i = 0; i < WIRE_HEADER_SIZE; i++)
                f->data[i] = (unsigned char)(n >> (8 * i));
        protobuf_c_message_pack(m, f->data + WIRE_HEADER_SIZE);
        return wire_queue(w, f, fds, n_fds);
}

int wire_send_request(struct wire *w, const Nono__Request *m, const int *fds, size_t n_fds) {
        assert(!w->server && m->body_case != NONO__REQUEST__BODY__NOT_SET);
        return wire_send(w, &m->base, fds, n_fds);
}

int wire_send_reply(struct wire *w, const Nono__Reply *m, const int *fds, size_t n_fds) {
        assert(w->server && m->body_case != NONO__REPLY__BODY__NOT_SET);
        return wire_send(w, &m->base, fds, n_fds);
}

/* --- checking --- */

enum wire_type { WIRE_TYPE_VARINT = 0, WIRE_TYPE_64 = 1, WIRE_TYPE_BYTES = 2, WIRE_TYPE_32 = 5 };

/* A varint of at most 10 bytes, in the shortest form that every encoder writes. */
static bool wire_varint(const unsigned char **p, const unsigned char *end, uint64_t *ret) {
        uint64_t v = 0;

        for (unsigned i = 0; i < 10 && *p < end; i++) {
                unsigned char c = *(*p)++;

                if (i == 9 && c > 1)
                        return false;
                v |= (uint64_t)(c & 0x7f) << (7 * i);
                if (!(c & 0x80)) {
                        *ret = v;
                        return i == 0 || c != 0;
                }
        }
        return false;
}

static enum wire_type wire_type_of(const ProtobufCFieldDescriptor *f) {
        switch (f->type) {
        case PROTOBUF_C_TYPE_STRING:
        case PROTOBUF_C_TYPE_BYTES:
        case PROTOBUF_C_TYPE_MESSAGE:
                return WIRE_TYPE_BYTES;
        case PROTOBUF_C_TYPE_SFIXED64:
        case PROTOBUF_C_TYPE_FIXED64:
        case PROTOBUF_C_TYPE_DOUBLE:
                return WIRE_TYPE_64;
        case PROTOBUF_C_TYPE_SFIXED32:
        case PROTOBUF_C_TYPE_FIXED32:
        case PROTOBUF_C_TYPE_FLOAT:
                return WIRE_TYPE_32;
        default:
                return WIRE_TYPE_VARINT;
        }
}

static bool wire_is_packed(const ProtobufCFieldDescriptor *f) {
        return f->label == PROTOBUF_C_LABEL_REPEATED && wire_type_of(f) != WIRE_TYPE_BYTES;
}

/* An integer that fits its field: protobuf-c would cut the upper bits off and call the rest a value. */
static bool wire_fits(const ProtobufCFieldDescriptor *f, uint64_t v) {
        switch (f->type) {
        case PROTOBUF_C_TYPE_BOOL:
                return v <= 1;
        case PROTOBUF_C_TYPE_UINT32:
                return v <= UINT32_MAX;
        case PROTOBUF_C_TYPE_ENUM:
                return v <= INT32_MAX;
        default:
                return true;
        }
}

static bool wire_scan_packed(const ProtobufCFieldDescriptor *f, const unsigned char *p, const unsigned char *end) {
        while (p < end) {
                uint64_t v;

                if (wire_type_of(f) != WIRE_TYPE_VARINT || !wire_varint(&p, end, &v) || !wire_fits(f, v))
                        return false;
        }
        return true;
}

/*
 * Walks the bytes of one message: every field is known, has the wire type of its descriptor, lies inside, and comes
 * once unless repeated; of a oneof at most one member. The schema is not recursive; the depth says so again.
 */
static bool wire_scan(const ProtobufCMessageDescriptor *d, const unsigned char *p, const unsigned char *end,
                      unsigned depth) {
        uint64_t seen = 0, v, size;
        bool one = false;

        if (depth > WIRE_DEPTH_MAX || d->n_fields > 64)
                return false;
        while (p < end) {
                const ProtobufCFieldDescriptor *f;

                if (!wire_varint(&p, end, &v) || v >> 3 > UINT32_MAX)
                        return false;
                f = protobuf_c_message_descriptor_get_field(d, (unsigned)(v >> 3));
                if (!f)
                        return false;
                if (f->label != PROTOBUF_C_LABEL_REPEATED) {
                        uint64_t bit = UINT64_C(1) << (f - d->fields);

                        if (seen & bit)
                                return false;
                        seen |= bit;
                }
                if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
                        if (one) /* nono.proto has one oneof per message */
                                return false;
                        one = true;
                }
                if ((v & 7) != wire_type_of(f) && !(wire_is_packed(f) && (v & 7) == WIRE_TYPE_BYTES))
                        return false;
                switch (v & 7) {
                case WIRE_TYPE_VARINT:
                        if (!wire_varint(&p, end, &v) || !wire_fits(f, v))
                                return false;
                        break;
                case WIRE_TYPE_64:
                case WIRE_TYPE_32:
                        size = (v & 7) == WIRE_TYPE_64 ? 8 : 4;
                        if (size > (size_t)(end - p))
                                return false;
                        p += size;
                        break;
                case WIRE_TYPE_BYTES:
                        if (!wire_varint(&p, end, &size) || size > (size_t)(end - p))
                                return false;
                        if (f->type == PROTOBUF_C_TYPE_MESSAGE && !wire_scan(f->descriptor, p, p + size, depth + 1))
                                return false;
                        if (wire_is_packed(f) && !wire_scan_packed(f, p, p + size))
                                return false;
                        p += size;
                        break;
                default:
                        return false;
                }
        }
        return true;
}

static bool wire_check(const ProtobufCMessage *m);

static bool wire_check_value(const ProtobufCFieldDescriptor *f, const void *value) {
        const ProtobufCBinaryData *bytes = value;
        ProtobufCMessage *const *sub = value;

        switch (f->type) {
        case PROTOBUF_C_TYPE_ENUM:
                return protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)value) != NULL;
        case PROTOBUF_C_TYPE_BYTES: /* paths, names, arguments: C strings on every later way */
                return bytes->len == 0 || !memchr(bytes->data, '\0', bytes->len);
        case PROTOBUF_C_TYPE_MESSAGE:
                return !*sub || wire_check(*sub);
        default:
                return true;
        }
}

static size_t wire_sizeof(const ProtobufCFieldDescriptor *f) {
        switch (f->type) {
        case PROTOBUF_C_TYPE_ENUM:
                return sizeof(int);
        case PROTOBUF_C_TYPE_BYTES:
                return sizeof(ProtobufCBinaryData);
        case PROTOBUF_C_TYPE_MESSAGE:
                return sizeof(ProtobufCMessage *);
        default:
                return 0; /* nothing to check in numbers */
        }
}

/* The same question asked of the tree that protobuf-c made: enum values known, no NUL in bytes, nothing unknown. */
static bool wire_check(const ProtobufCMessage *m) {
        const ProtobufCMessageDescriptor *d = m->descriptor;

        if (m->n_unknown_fields > 0)
                return false;
        for (unsigned i = 0; i < d->n_fields; i++) {
                const ProtobufCFieldDescriptor *f = &d->fields[i];
                const char *at = (const char *)m + f->offset;

                if (f->label == PROTOBUF_C_LABEL_REPEATED) {
                        size_t n = *(const size_t *)((const char *)m + f->quantifier_offset);
                        const char *array = *(const char *const *)at;

                        for (size_t k = 0; k < n && wire_sizeof(f) > 0; k++)
                                if (!wire_check_value(f, array + k * wire_sizeof(f)))
                                        return false;
                        continue;
                }
                if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
                    *(const uint32_t *)((const char *)m + f->quantifier_offset) != f->id)
                        continue;
                if (!wire_check_value(f, at))
                        return false;
        }
        return true;
}

/* --- receiving --- */

struct wire_budget {
        size_t left;
        bool failed; /* malloc said no: our trouble, not the peer's */
};

static void *wire_alloc(void *data, size_t n) {
        struct wire_budget *b = data;
        void *p;

        if (n > b->left || b->left - n < WIRE_ALLOC_OVERHEAD)
                return NULL;
        b->left -= n + WIRE_ALLOC_OVERHEAD;
        p = malloc(n);
        if (!p)
                b->failed = true;
        return p;
}

static void wire_dealloc(void *data, void *p) {
        free(p); /* the budget counts what was ever taken: freeing gives nothing back */
}

static int wire_decode(const ProtobufCMessageDescriptor *d, const unsigned char *data, size_t n,
                       ProtobufCMessage **ret) {
        struct wire_budget budget = { .left = WIRE_ARENA_MAX };
        ProtobufCAllocator allocator = { .alloc = wire_alloc, .free = wire_dealloc, .allocator_data = &budget };
        ProtobufCMessage *m;

        if (!wire_scan(d, data, data + n, 1))
                return WIRE_E_MALFORMED;
        m = protobuf_c_message_unpack(d, &allocator, n, data);
        if (!m)
                return budget.failed ? err_raise(-ENOMEM) : WIRE_E_MALFORMED;
        if (!wire_check(m)) {
                protobuf_c_message_free_unpacked(m, &allocator);
                return WIRE_E_MALFORMED;
        }
        *ret = m;
        return 0;
}

/* Reads at most @n bytes; descriptors are welcome only where a frame begins. */
static int wire_pull(struct wire *w, unsigned char *data, size_t n, bool begins, size_t *ret_n) {
        size_t n_fds = 0;
        int fds[WIRE_FDS_MAX];
        int r;

        r = fd_recv(w->fd, data, n, ret_n, fds, WIRE_FDS_MAX, &n_fds);
        switch (r) {
        case 0:
                break;
        case FD_E_AGAIN:
                return WIRE_E_AGAIN;
        case FD_E_CLOSED:
                return WIRE_E_CLOSED;
        case FD_E_MALFORMED:
                return WIRE_E_MALFORMED;
        default:
                return err_pass(r);
        }
        if (n_fds > 0 && !begins) {
                fd_close_many(fds, n_fds);
                return WIRE_E_MALFORMED;
        }
        if (n_fds > 0) {
                memcpy(w->fds, fds, n_fds * sizeof(int));
                w->n_fds = n_fds;
        }
        return *ret_n > 0 ? 0 : WIRE_E_CLOSED;
}

/* Reads until one frame is complete in @w. */
static int wire_fill(struct wire *w) {
        size_t n;
        int r;

        while (w->n_header < WIRE_HEADER_SIZE) {
                r = wire_pull(w, w->header + w->n_header, WIRE_HEADER_SIZE - w->n_header, w->n_header == 0, &n);
                if (r)
                        return r;
                w->n_header += n;
        }
        if (!w->body) {
                w->size = 0;
                for (size_t i = 0; i < WIRE_HEADER_SIZE; i++)
                        w->size |= (size_t)w->header[i] << (8 * i);
                if (w->size < 1 || w->size > WIRE_FRAME_MAX)
                        return WIRE_E_MALFORMED;
                w->body = malloc(w->size);
                if (!w->body)
                        return err_raise(-ENOMEM);
                w->n_body = 0;
        }
        while (w->n_body < w->size) {
                r = wire_pull(w, w->body + w->n_body, w->size - w->n_body, false, &n);
                if (r)
                        return r;
                w->n_body += n;
        }
        return 0;
}

static int wire_recv(struct wire *w, const ProtobufCMessageDescriptor *d, ProtobufCMessage **ret, int *fds,
                     size_t *ret_n_fds) {
        int r;

        if (w->bad_in)
                return WIRE_E_MALFORMED;
        r = wire_fill(w);
        if (r == WIRE_E_AGAIN)
                return r;
        if (r == 0)
                r = wire_decode(d, w->body, w->size, ret);
        if (r) {
                w->bad_in = r != WIRE_E_CLOSED;
                wire_reset(w);
                return r;
        }
        memcpy(fds, w->fds, w->n_fds * sizeof(int));
        *ret_n_fds = w->n_fds;
        w->n_fds = 0;
        wire_reset(w);
        return 0;
}

int wire_recv_request(struct wire *w, Nono__Request **ret, int *fds, size_t *ret_n_fds) {
        ProtobufCMessage *m = NULL;
        Nono__Request *request;
        int r;

        assert(w->server);
        r = wire_recv(w, &nono__request__descriptor, &m, fds, ret_n_fds);
        if (r)
                return r;
        request = (Nono__Request *)m;
        if (request->body_case == NONO__REQUEST__BODY__NOT_SET) {
                wire_request_free(request);
                fd_close_many(fds, *ret_n_fds);
                *ret_n_fds = 0;
                w->bad_in = true;
                return WIRE_E_MALFORMED;
        }
        *ret = request;
        return 0;
}

int wire_recv_reply(struct wire *w, Nono__Reply **ret, int *fds, size_t *ret_n_fds) {
        ProtobufCMessage *m = NULL;
        Nono__Reply *reply;
        int r;

        assert(!w->server);
        r = wire_recv(w, &nono__reply__descriptor, &m, fds, ret_n_fds);
        if (r)
                return r;
        reply = (Nono__Reply *)m;
        if (reply->body_case == NONO__REPLY__BODY__NOT_SET) {
                wire_reply_free(reply);
                fd_close_many(fds, *ret_n_fds);
                *ret_n_fds = 0;
                w->bad_in = true;
                return WIRE_E_MALFORMED;
        }
        *ret = reply;
        return 0;
}

void wire_request_free(Nono__Request *m) {
        if (m)
                nono__request__free_unpacked(m, NULL);
}

void wire_reply_free(Nono__Reply *m) {
        if (m)
                nono__reply__free_unpacked(m, NULL);
}

/* --- bytes fields --- */

ProtobufCBinaryData wire_bytes(const char *s) {
        return (ProtobufCBinaryData){ .len = s ? strlen(s) : 0, .data = (uint8_t *)s };
}

char *wire_string(const ProtobufCBinaryData *b) {
        return strndup(b->len > 0 ? (const char *)b->data : "", b->len);
}

bool wire_is(const ProtobufCBinaryData *b, const char *s) {
        return b->len == strlen(s) && (b->len == 0 || memcmp(b->data, s, b->len) == 0);
}
