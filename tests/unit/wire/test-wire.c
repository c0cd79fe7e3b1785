/*
 * Wire: what one side sends the other gets, and nothing else is ever believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/wire.h"

struct pair {
        struct wire *server, *client; /* client: NULL when the test writes raw bytes */
        int fd_raw;
};

static void pair_open(struct pair *p, bool raw) {
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        *p = (struct pair){ .fd_raw = -1 };
        assert_int_equal(wire_new(fds[0], true, &p->server), 0);
        if (raw)
                p->fd_raw = fds[1];
        else
                assert_int_equal(wire_new(fds[1], false, &p->client), 0);
}

static void pair_close(struct pair *p) {
        wire_free(p->server);
        wire_free(p->client);
        fd_close(&p->fd_raw);
}

static unsigned open_fds(void) {
        unsigned n = 0;

        for (int fd = 0; fd < 512; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

/* Sends a frame of @n bytes as they are. */
static void raw_frame(int fd, const void *body, size_t n) {
        unsigned char header[4] = { (unsigned char)n, (unsigned char)(n >> 8), (unsigned char)(n >> 16), 0 };

        assert_int_equal(fd_write_full(fd, header, sizeof(header)), 0);
        if (n > 0)
                assert_int_equal(fd_write_full(fd, body, n), 0);
}

/* The server's view of one raw frame. */
static int judge(const void *body, size_t n) {
        Nono__Request *m = NULL;
        int fds[WIRE_FDS_MAX];
        size_t n_fds = 0;
        struct pair p;
        int r;

        pair_open(&p, true);
        raw_frame(p.fd_raw, body, n);
        r = wire_recv_request(p.server, &m, fds, &n_fds);
        if (r == 0)
                wire_request_free(m);
        else
                assert_int_equal(wire_recv_request(p.server, &m, fds, &n_fds), WIRE_E_MALFORMED);
        pair_close(&p);
        return r;
}
#define judge_bytes(...)                                                                                               \
        ({                                                                                                             \
                static const unsigned char bytes_[] = { __VA_ARGS__ };                                                 \
                judge(bytes_, sizeof(bytes_));                                                                         \
        })

static int judge_message(const Nono__Request *m) {
        unsigned char buf[WIRE_FRAME_MAX];

        return judge(buf, nono__request__pack(m, buf));
}

static void test_a_request_and_its_reply_round_trip(void **state) {
        Nono__Hello hello = NONO__HELLO__INIT;
        Nono__Request q = NONO__REQUEST__INIT, *got = NULL;
        Nono__HelloReply hr = NONO__HELLO_REPLY__INIT;
        Nono__Reply a = NONO__REPLY__INIT, *answer = NULL;
        int fds[WIRE_FDS_MAX];
        size_t n_fds = 7;
        struct pair p;

        pair_open(&p, false);
        assert_int_equal(wire_recv_request(p.server, &got, fds, &n_fds), WIRE_E_AGAIN);
        hello.version_max = WIRE_VERSION;
        hello.client = wire_bytes("nonoctl");
        q.seq = 9;
        q.body_case = NONO__REQUEST__BODY_HELLO;
        q.hello = &hello;
        assert_int_equal(wire_send_request(p.client, &q, NULL, 0), 0);
        assert_int_equal(wire_recv_request(p.server, &got, fds, &n_fds), 0);
        assert_int_equal(n_fds, 0);
        assert_int_equal(got->seq, 9);
        assert_int_equal(got->body_case, NONO__REQUEST__BODY_HELLO);
        assert_true(wire_is(&got->hello->client, "nonoctl"));
        wire_request_free(got);

        hr.version = WIRE_VERSION;
        a.seq = 9;
        a.body_case = NONO__REPLY__BODY_HELLO;
        a.hello = &hr;
        assert_int_equal(wire_send_reply(p.server, &a, NULL, 0), 0);
        assert_int_equal(wire_recv_reply(p.client, &answer, fds, &n_fds), 0);
        assert_int_equal(answer->hello->version, WIRE_VERSION);
        wire_reply_free(answer);
        p.client = wire_free(p.client);
        assert_int_equal(wire_recv_request(p.server, &got, fds, &n_fds), WIRE_E_CLOSED);
        pair_close(&p);
}

static void fill_signal(Nono__Request *q, Nono__Signal *s, unsigned n) {
        nono__request__init(q);
        nono__signal__init(s);
        s->signal = n;
        q->seq = n;
        q->body_case = NONO__REQUEST__BODY_SIGNAL;
        q->signal = s;
}

static void test_descriptors_arrive_with_their_own_frame(void **state) {
        Nono__Request q, *got = NULL;
        int fds[WIRE_FDS_MAX], out[2];
        struct stat a, b;
        Nono__Signal s;
        size_t n_fds;
        struct pair p;

        pair_open(&p, false);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        for (unsigned i = 1; i <= 6; i++) {
                fill_signal(&q, &s, i);
                assert_int_equal(wire_send_request(p.client, &q, out, i % 3), 0);
        }
        for (unsigned i = 1; i <= 6; i++) {
                assert_int_equal(wire_recv_request(p.server, &got, fds, &n_fds), 0);
                assert_int_equal(got->seq, i);
                assert_int_equal(n_fds, i % 3);
                for (size_t k = 0; k < n_fds; k++) {
                        assert_true(fcntl(fds[k], F_GETFD) & FD_CLOEXEC);
                        assert_int_equal(fstat(fds[k], &a), 0);
                        assert_int_equal(fstat(out[k], &b), 0);
                        assert_true(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
                }
                fd_close_many(fds, n_fds);
                wire_request_free(got);
        }
        fd_close_many(out, 2);
        pair_close(&p);
}

static void test_a_frame_in_single_bytes_is_put_together(void **state) {
        static const unsigned char frame[] = { 6, 0, 0, 0, 0x08, 0x05, 0x1a + 8, 2, 0x08, 15 };
        Nono__Request *got = NULL;
        int fds[WIRE_FDS_MAX];
        size_t n_fds;
        struct pair p;

        pair_open(&p, true);
        for (size_t i = 0; i < sizeof(frame); i++) {
                assert_int_equal(wire_recv_request(p.server, &got, fds, &n_fds), WIRE_E_AGAIN);
                assert_int_equal(fd_write_full(p.fd_raw, frame + i, 1), 0);
        }
        assert_int_equal(wire_recv_request(p.server, &got, fds, &n_fds), 0);
        assert_int_equal(got->body_case, NONO__REQUEST__BODY_SIGNAL);
        assert_int_equal(got->signal->signal, 15);
        wire_request_free(got);
        pair_close(&p);
}

static void test_a_full_socket_queues_and_keeps_order_and_descriptors(void **state) {
        Nono__Request q = NONO__REQUEST__INIT, *got = NULL;
        Nono__Grant grant = NONO__GRANT__INIT;
        char path[32 * 1024];
        int fds[WIRE_FDS_MAX], out[2], r;
        unsigned sent = 0, received = 0, with_fd = 0;
        size_t n_fds;
        struct pair p;

        pair_open(&p, false);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        memset(path, 'a', sizeof(path));
        grant.path = (ProtobufCBinaryData){ sizeof(path), (uint8_t *)path };
        q.body_case = NONO__REQUEST__BODY_GRANT;
        q.grant = &grant;
        while (sent < 60) {
                q.seq = ++sent;
                assert_int_equal(wire_send_request(p.client, &q, out, sent % 10 == 0), 0);
        }
        assert_true(wire_wants_write(p.client));
        while (received < sent) {
                r = wire_recv_request(p.server, &got, fds, &n_fds);
                if (r == WIRE_E_AGAIN) {
                        assert_true(wire_flush(p.client) <= WIRE_E_AGAIN);
                        continue;
                }
                assert_int_equal(r, 0);
                assert_int_equal(got->seq, ++received);
                assert_int_equal(n_fds, received % 10 == 0);
                with_fd += (unsigned)n_fds;
                fd_close_many(fds, n_fds);
                wire_request_free(got);
        }
        assert_false(wire_wants_write(p.client));
        assert_int_equal(with_fd, 6);
        fd_close_many(out, 2);
        pair_close(&p);
}

static void test_a_peer_that_does_not_read_is_too_slow(void **state) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Grant grant = NONO__GRANT__INIT;
        unsigned before = open_fds();
        char path[60 * 1024];
        int out[2], r = 0;
        struct pair p;

        pair_open(&p, false);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        memset(path, 'a', sizeof(path));
        grant.path = (ProtobufCBinaryData){ sizeof(path), (uint8_t *)path };
        q.body_case = NONO__REQUEST__BODY_GRANT;
        q.grant = &grant;
        for (unsigned i = 0; r == 0 && i < 1000; i++)
                r = wire_send_request(p.client, &q, out, 0);
        assert_int_equal(r, WIRE_E_SLOW);
        pair_close(&p);

        pair_open(&p, false);
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(wire_send_request(p.client, &q, NULL, 0), 0);
        r = 0;
        for (unsigned i = 0; r == 0 && i < 1000; i++) /* few bytes, many descriptors */
                r = wire_send_request(p.client, &q, out, 2);
        assert_int_equal(r, WIRE_E_SLOW);
        pair_close(&p);
        fd_close_many(out, 2);
        assert_int_equal(open_fds(), before);
}

static void test_a_message_above_the_limit_is_not_sent(void **state) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Grant grant = NONO__GRANT__INIT;
        static char path[WIRE_FRAME_MAX];
        int many[WIRE_FDS_MAX + 1] = { 0 };
        struct pair p;

        pair_open(&p, false);
        memset(path, 'a', sizeof(path));
        grant.path = (ProtobufCBinaryData){ sizeof(path), (uint8_t *)path };
        q.body_case = NONO__REQUEST__BODY_GRANT;
        q.grant = &grant;
        assert_int_equal(wire_send_request(p.client, &q, NULL, 0), -EMSGSIZE);
        grant.path.len = 1;
        assert_int_equal(wire_send_request(p.client, &q, many, ELEMENTSOF(many)), -EINVAL);
        p.server = wire_free(p.server);
        assert_int_equal(wire_send_request(p.client, &q, NULL, 0), WIRE_E_CLOSED);
        pair_close(&p);
}

static void test_lengths_outside_the_limits_are_malformed(void **state) {
        static const unsigned char zero[4], over[4] = { 1, 0, 1, 0 }, huge[4] = { 255, 255, 255, 255 };
        const unsigned char *headers[] = { zero, over, huge };
        Nono__Request *got = NULL;
        int fds[WIRE_FDS_MAX];
        size_t n_fds;

        for (size_t i = 0; i < ELEMENTSOF(headers); i++) {
                struct pair p;

                pair_open(&p, true);
                assert_int_equal(fd_write_full(p.fd_raw, headers[i], 4), 0);
                assert_int_equal(wire_recv_request(p.server, &got, fds, &n_fds), WIRE_E_MALFORMED);
                pair_close(&p);
        }
}

static void test_a_truncated_frame_ends_as_closed(void **state) {
        Nono__Request *got = NULL;
        int fds[WIRE_FDS_MAX];
        size_t n_fds;
        struct pair p;

        for (size_t n = 1; n < 8; n++) {
                static const unsigned char frame[] = { 6, 0, 0, 0, 0x08, 0x05, 0x22, 2 };

                pair_open(&p, true);
                assert_int_equal(fd_write_full(p.fd_raw, frame, n), 0);
                fd_close(&p.fd_raw);
                assert_int_equal(wire_recv_request(p.server, &got, fds, &n_fds), WIRE_E_CLOSED);
                pair_close(&p);
        }
}

static void test_descriptors_of_bad_frames_are_closed(void **state) {
        static const unsigned char bad[] = { 2, 0, 0, 0, 0xff, 0xff }, part[] = { 9, 0, 0 }, late[] = { 0 };
        unsigned before = open_fds();
        Nono__Request *got = NULL;
        int fds[WIRE_FDS_MAX], out[2], many[40];
        size_t n_fds;
        struct pair p;

        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        pair_open(&p, true); /* malformed body */
        assert_int_equal(fd_send(p.fd_raw, bad, sizeof(bad), out, 2), 0);
        assert_int_equal(wire_recv_request(p.server, &got, fds, &n_fds), WIRE_E_MALFORMED);
        pair_close(&p);

        pair_open(&p, true); /* never completed */
        assert_int_equal(fd_send(p.fd_raw, part, sizeof(part), out, 2), 0);
        assert_int_equal(wire_recv_request(p.server, &got, fds, &n_fds), WIRE_E_AGAIN);
        pair_close(&p);

        pair_open(&p, true); /* descriptors in the middle of a frame */
        assert_int_equal(fd_write_full(p.fd_raw, part, sizeof(part)), 0);
        assert_int_equal(wire_recv_request(p.server, &got, fds, &n_fds), WIRE_E_AGAIN);
        assert_int_equal(fd_send(p.fd_raw, late, sizeof(late), out, 1), 0);
        assert_int_equal(wire_recv_request(p.server, &got, fds, &n_fds), WIRE_E_MALFORMED);
        pair_close(&p);

        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                many[i] = out[0];
        pair_open(&p, true); /* more than a frame may carry */
        assert_int_equal(fd_send(p.fd_raw, part, sizeof(part), many, ELEMENTSOF(many)), 0);
        assert_int_equal(wire_recv_request(p.server, &got, fds, &n_fds), WIRE_E_MALFORMED);
        pair_close(&p);
        fd_close_many(out, 2);
        assert_int_equal(open_fds(), before);
}

static void test_what_the_schema_does_not_name_is_malformed(void **state) {
        assert_int_equal(judge_bytes(0x22, 0x02, 0x08, 0x0f), 0);                      /* signal 15 */
        assert_int_equal(judge_bytes(0x08, 0x01), WIRE_E_MALFORMED);                   /* no body */
        assert_int_equal(judge_bytes(0xf8, 0x07, 0x01), WIRE_E_MALFORMED);             /* field 127 */
        assert_int_equal(judge_bytes(0x22, 0x04, 0x08, 0x0f, 0x50, 0x01), WIRE_E_MALFORMED); /* unknown inside */
        assert_int_equal(judge_bytes(0x00, 0x01), WIRE_E_MALFORMED);                   /* field 0 */
        assert_int_equal(judge_bytes(0x22, 0x02, 0x0d, 0x0f), WIRE_E_MALFORMED);       /* wire type 5 for a varint */
        assert_int_equal(judge_bytes(0x23, 0x08, 0x0f, 0x24), WIRE_E_MALFORMED);       /* group */
        assert_int_equal(judge_bytes(0x22, 0x05, 0x08, 0x0f), WIRE_E_MALFORMED);       /* length beyond the frame */
        assert_int_equal(judge_bytes(0x22, 0x02, 0x08, 0x8f), WIRE_E_MALFORMED);       /* varint beyond the message */
        assert_int_equal(judge_bytes(0x22, 0x03, 0x08, 0x8f, 0x00), WIRE_E_MALFORMED); /* not the shortest varint */
        assert_int_equal(judge_bytes(0x22, 0x06, 0x08, 0xff, 0xff, 0xff, 0xff, 0x1f), WIRE_E_MALFORMED); /* > 2^32 */
        assert_int_equal(judge_bytes(0x08, 0x01, 0x08, 0x02, 0x22, 0x00), WIRE_E_MALFORMED); /* seq twice */
        assert_int_equal(judge_bytes(0x22, 0x00, 0x22, 0x00), WIRE_E_MALFORMED);       /* body twice */
        assert_int_equal(judge_bytes(0x22, 0x00, 0x2a, 0x00), WIRE_E_MALFORMED);       /* two bodies */
        assert_int_equal(judge_bytes(0x22, 0xff, 0xff, 0xff, 0xff, 0x0f), WIRE_E_MALFORMED);
        assert_int_equal(judge_bytes(0x0b), WIRE_E_MALFORMED);
}

static void test_unknown_enum_values_are_malformed(void **state) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Approve approve = NONO__APPROVE__INIT;
        Nono__Rule rule = NONO__RULE__INIT, *rules[] = { &rule };
        Nono__Spawn spawn = NONO__SPAWN__INIT;

        q.body_case = NONO__REQUEST__BODY_APPROVE;
        q.approve = &approve;
        approve.scope = NONO__SCOPE__SCOPE_PARENT;
        assert_int_equal(judge_message(&q), 0);
        approve.scope = 4;
        assert_int_equal(judge_message(&q), WIRE_E_MALFORMED);
        approve.scope = -1;
        assert_int_equal(judge_message(&q), WIRE_E_MALFORMED);
        q.body_case = NONO__REQUEST__BODY_SPAWN;
        q.spawn = &spawn;
        spawn.n_rules = 1;
        spawn.rules = rules;
        rule.access = NONO__ACCESS__ACCESS_READ_WRITE;
        assert_int_equal(judge_message(&q), 0);
        rule.access = 9; /* inside a repeated message */
        assert_int_equal(judge_message(&q), WIRE_E_MALFORMED);
}

static void test_nul_in_bytes_is_malformed(void **state) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Rule rule = NONO__RULE__INIT, *rules[] = { &rule };
        Nono__Spawn spawn = NONO__SPAWN__INIT;
        Nono__Vars vars = NONO__VARS__INIT;

        q.body_case = NONO__REQUEST__BODY_SPAWN;
        q.spawn = &spawn;
        spawn.workdir = (ProtobufCBinaryData){ 4, (uint8_t *)"/a\0b" };
        assert_int_equal(judge_message(&q), WIRE_E_MALFORMED);
        spawn.workdir = wire_bytes("/a");
        spawn.n_rules = 1;
        spawn.rules = rules;
        rule.path = (ProtobufCBinaryData){ 2, (uint8_t *)"/\0" };
        assert_int_equal(judge_message(&q), WIRE_E_MALFORMED);
        rule.path = wire_bytes("/");
        spawn.vars = &vars;
        vars.home = (ProtobufCBinaryData){ 1, (uint8_t *)"" };
        assert_int_equal(judge_message(&q), WIRE_E_MALFORMED);
        vars.home = wire_bytes("\xff\xfe");
        assert_int_equal(judge_message(&q), 0); /* not UTF-8 is fine: names are bytes */
}

static void test_a_small_frame_cannot_unfold_without_limit(void **state) {
        static unsigned char body[WIRE_FRAME_MAX];
        size_t n = 0;

        /* spawn with as many empty rules as fit: 2 bytes each on the wire, a hundred in memory */
        body[n++] = 0x1a;
        body[n++] = 0xf0;
        body[n++] = 0xff;
        body[n++] = 0x03;
        for (; n + 2 <= 4 + 0xfff0; n += 2)
                body[n] = 0x12, body[n + 1] = 0;
        assert_int_equal(judge(body, 4 + 0xfff0), WIRE_E_MALFORMED);
}

static void test_helpers_copy_bytes(void **state) {
        ProtobufCBinaryData empty = { 0, NULL }, b = wire_bytes("abc");
        char *s;

        s = wire_string(&empty);
        assert_string_equal(s, "");
        free(s);
        s = wire_string(&b);
        assert_string_equal(s, "abc");
        free(s);
        assert_true(wire_is(&empty, ""));
        assert_false(wire_is(&b, "ab"));
        assert_int_equal(wire_bytes(NULL).len, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_request_and_its_reply_round_trip),
                cmocka_unit_test(test_descriptors_arrive_with_their_own_frame),
                cmocka_unit_test(test_a_frame_in_single_bytes_is_put_together),
                cmocka_unit_test(test_a_full_socket_queues_and_keeps_order_and_descriptors),
                cmocka_unit_test(test_a_peer_that_does_not_read_is_too_slow),
                cmocka_unit_test(test_a_message_above_the_limit_is_not_sent),
                cmocka_unit_test(test_lengths_outside_the_limits_are_malformed),
                cmocka_unit_test(test_a_truncated_frame_ends_as_closed),
                cmocka_unit_test(test_descriptors_of_bad_frames_are_closed),
                cmocka_unit_test(test_what_the_schema_does_not_name_is_malformed),
                cmocka_unit_test(test_unknown_enum_values_are_malformed),
                cmocka_unit_test(test_nul_in_bytes_is_malformed),
                cmocka_unit_test(test_a_small_frame_cannot_unfold_without_limit),
                cmocka_unit_test(test_helpers_copy_bytes),
        };

        return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
