/*
 * The way to the daemon. Every error says what the person can do.
 * Runs as: the user.   Input: see connect.h.
 */
#include "client/connect.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "client/out.h"
#include "common/fd.h"
#include "common/loop.h"
#include "config.h"

enum {
        CONN_HELLO_TIMEOUT_MS = 10 * 1000,
        CONN_ANSWER_TIMEOUT_MS = 60 * 1000, /* revoke --kill waits for processes to go */
};

const char *conn_path(void) {
        const char *s = getenv("NONO_SOCKET");

        return s && *s ? s : NONOD_RUNTIME_DIR "/nonod.sock";
}

/* @e: errno of connect(2). */
static int conn_refused(const char *path, int e) {
        _cleanup_free_ char *shown = out_escaped(path);
        bool usual = strcmp(path, NONOD_RUNTIME_DIR "/nonod.sock") == 0;

        if (getenv("NONO_STATE_FILE") && e == ENOENT) {
                (void)say_error("this is inside a session: the daemon cannot be reached from here");
                return CLIENT_E_TOLD;
        }
        switch (e) {
        case ENOENT:
        case ECONNREFUSED:
        case ENOTDIR:
                if (usual)
                        return say_error("nonod is not running: systemctl start nonod");
                (void)say_error("nonod is not running: nothing answers at '%s'", shown);
                say_hint("start it with nonod --socket='%s', or unset NONO_SOCKET for the system's", shown);
                return CLIENT_E_TOLD;
        case EACCES:
        case EPERM:
                (void)say_error("no permission to use '%s'", shown);
                say_hint("the administrator decides who may: look at its owner and group with ls -l");
                return CLIENT_E_TOLD;
        case EAGAIN:
                return say_error("nonod is busy: '%s' takes no more connections now; try again", shown);
        default:
                return say_error("%s: %s", shown, strerror(e));
        }
}

int conn_lost(int r) {
        switch (r) {
        case WIRE_E_CLOSED:
                return say_error("nonod closed the connection; see: journalctl -u nonod");
        case WIRE_E_MALFORMED:
                return say_error("nonod sent something that this nonoctl does not understand; are both the same version?");
        case WIRE_E_SLOW:
                return say_error("nonod does not read its socket");
        case -EMSGSIZE:
                return say_error("the request is too large for one message of %d bytes", WIRE_FRAME_MAX);
        default:
                return say_errno(r, "connection to nonod");
        }
}

int conn_tell(const Nono__Error *e) {
        _cleanup_free_ char *message = out_text(&e->message), *hint = out_text(&e->hint);

        if (*message)
                (void)say_error("%s", message);
        else
                (void)say_error("nonod refused the request (error %d)", (int)e->code);
        if (*hint)
                say_hint("%s", hint);
        return CLIENT_E_TOLD;
}

static int conn_wait(struct conn *c, uint64_t deadline_us) {
        for (;;) {
                struct pollfd p = { .fd = wire_fd(c->wire), .events = POLLIN };
                uint64_t now = loop_now_us();
                int n;

                if (wire_wants_write(c->wire))
                        p.events |= POLLOUT;
                if (now >= deadline_us)
                        return say_error("nonod does not answer; see: systemctl status nonod");
                n = poll(&p, 1, (int)((deadline_us - now) / 1000) + 1);
                if (n < 0 && errno != EINTR)
                        return say_errno(-errno, "poll");
                if (n > 0 && p.revents & POLLOUT) {
                        int r = wire_flush(c->wire);

                        if (r && r != WIRE_E_AGAIN)
                                return conn_lost(r);
                }
                if (n > 0 && p.revents & ~POLLOUT)
                        return 0;
        }
}

static int conn_receive(struct conn *c, uint64_t timeout_ms, Nono__Reply **ret) {
        uint64_t deadline = loop_now_us() + timeout_ms * 1000;

        for (;;) {
                int fds[WIRE_FDS_MAX], r;
                size_t n_fds = 0;

                r = wire_recv_reply(c->wire, ret, fds, &n_fds);
                if (r == WIRE_E_AGAIN) {
                        r = conn_wait(c, deadline);
                        if (r)
                                return r;
                        continue;
                }
                if (r)
                        return conn_lost(r);
                fd_close_many(fds, n_fds); /* no answer outside a session's stream carries any */
                if ((*ret)->seq == c->seq)
                        return 0;
                wire_reply_free(*ret);
        }
}

int conn_send(struct conn *c, Nono__Request *q, const int *fds, size_t n_fds) {
        int r;

        q->seq = ++c->seq;
        r = wire_send_request(c->wire, q, fds, n_fds);
        return r ? conn_lost(r) : 0;
}

static int conn_answer_within(struct conn *c, uint64_t timeout_ms, Nono__Reply__BodyCase want, Nono__Reply **ret) {
        Nono__Reply *a = NULL;
        int r;

        r = conn_receive(c, timeout_ms, &a);
        if (r)
                return r;
        if (a->body_case == NONO__REPLY__BODY_ERROR)
                r = conn_tell(a->error);
        else if (a->body_case != want)
                r = conn_lost(WIRE_E_MALFORMED);
        if (r) {
                wire_reply_free(a);
                return r;
        }
        *ret = a;
        return 0;
}

int conn_answer(struct conn *c, Nono__Reply__BodyCase want, Nono__Reply **ret) {
        return conn_answer_within(c, CONN_ANSWER_TIMEOUT_MS, want, ret);
}

int conn_call(struct conn *c, Nono__Request *q, Nono__Reply__BodyCase want, Nono__Reply **ret) {
        int r = conn_send(c, q, NULL, 0);

        return r ? r : conn_answer(c, want, ret);
}

static int conn_hello(struct conn *c) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Hello hello = NONO__HELLO__INIT;
        Nono__Reply *a = NULL;
        int r = 0;

        hello.version_min = hello.version_max = WIRE_VERSION;
        hello.client = wire_bytes("nonoctl " NONOD_VERSION);
        q.body_case = NONO__REQUEST__BODY_HELLO;
        q.hello = &hello;
        r = conn_send(c, &q, NULL, 0);
        if (r == 0)
                r = conn_answer_within(c, CONN_HELLO_TIMEOUT_MS, NONO__REPLY__BODY_HELLO, &a);
        if (r)
                return r;
        if (a->hello->version != WIRE_VERSION) {
                r = say_error("nonod speaks protocol %u and this nonoctl %d", a->hello->version, WIRE_VERSION);
                say_hint("install both from the same version, then: systemctl restart nonod");
        }
        wire_reply_free(a);
        return r;
}

int conn_open(struct conn *ret) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const char *path = conn_path();
        struct conn c = { 0 };
        int fd, r;

        if (strlen(path) >= sizeof(address.sun_path))
                return say_error("the socket's path is longer than %zu bytes", sizeof(address.sun_path) - 1);
        memcpy(address.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return say_errno(-errno, "socket");
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                r = conn_refused(path, errno);
                fd_close(&fd);
                return r;
        }
        r = wire_new(fd, false, &c.wire);
        if (r) {
                fd_close(&fd);
                return say_errno(r, "connection");
        }
        r = conn_hello(&c);
        if (r) {
                conn_close(&c);
                return r;
        }
        *ret = c;
        return 0;
}

void conn_close(struct conn *c) {
        c->wire = wire_free(c->wire);
}
