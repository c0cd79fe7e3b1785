/*
 * The real service between a fake monitor, broker, init and clients: from hello to the end of a session.
 */
#include "tests/unit/service/fake-monitor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "daemon/service/tree.h"

enum { UID = 1000, OTHER = 1001 };

static const char *const host[] = {
        "/",
        "/usr/",
        "/usr/bin/true",
        "/home/",
        "/home/u/",
        "/home/u/proj/",
        "/home/u/docs/",
        "/home/u/.ssh/",
        "/home/u/work/",
        "/home/u/work/.env",
        "/home/u/other/",
        "/home/u/other/f",
        "/home/u/.agent.json",
        "/home/u/link -> /opt/data/",
        "/opt/data/",
        "/srv/web/x/",
        NULL,
};

struct world {
        struct fake f;
        struct fake_client c;
        struct fake_session s;
        uint32_t home; /* node of the level /home/u */
};

static void world_open(struct world *w) {
        Nono__Spawn m;
        Nono__Vars v;

        memset(w, 0, sizeof(*w));
        fake_host = host;
        fake_start(&w->f);
        w->c = fake_client(&w->f, UID);
        fake_spawn_init(&m, &v);
        fake_session(&w->f, &w->s, &w->c, UID, &m);
        w->home = fake_node_id(&w->s, "/home/u");
}

static void world_close(struct world *w) {
        fake_session_end(&w->s);
        if (w->c.wire)
                fake_hang_up(&w->c);
        fake_stop(&w->f);
}

static uint64_t prompt(struct fake_client *c, const char *path) {
        Nono__Reply *r = fake_expect_event(c, NONO__EVENT_TYPE__EVENT_REQUEST);
        uint64_t id = r->event->request;

        assert_int_equal(r->event->path.len, strlen(path));
        assert_memory_equal(r->event->path.data, path, strlen(path));
        wire_reply_free(r);
        return id;
}

static void send_approve(struct fake_client *c, uint64_t id, Nono__Scope scope, Nono__Duration duration) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Approve m = NONO__APPROVE__INIT;

        m.request = id;
        m.scope = scope;
        m.duration = duration;
        q.body_case = NONO__REQUEST__BODY_APPROVE;
        q.approve = &m;
        fake_send(c, &q, NULL, 0);
}

static void approve(struct fake_client *c, uint64_t id, Nono__Scope scope) {
        send_approve(c, id, scope, NONO__DURATION__DURATION_DEFAULT);
        wire_reply_free(fake_expect(c, NONO__REPLY__BODY_OK));
}

static void send_deny(struct fake_client *c, uint64_t id) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Deny m = NONO__DENY__INIT;

        m.request = id;
        q.body_case = NONO__REQUEST__BODY_DENY;
        q.deny = &m;
        fake_send(c, &q, NULL, 0);
}

static void reply_ok(struct world *w, const struct monitor_message *m) {
        struct monitor_message r = { .type = MONITOR_REPLY, .session = w->s.id, .tag = m->tag, .node = m->node };

        fake_monitor_send(&w->f, &r, NULL, 0);
}

static struct monitor_message attach(struct world *w, uint32_t kind, const char *name, uint32_t parent) {
        size_t n_fds = 0;
        int fds[FAKE_FDS];
        struct monitor_message m = fake_monitor_expect(&w->f, MONITOR_ATTACH, fds, &n_fds);

        assert_int_equal(m.kind, kind);
        assert_int_equal(m.parent, parent);
        assert_int_equal(n_fds, kind == VIEW_DIR || kind == VIEW_FILE);
        fd_close_many(fds, n_fds);
        m.name[m.name_len] = m.target[m.target_len] = '\0';
        assert_string_equal(m.flags & VIEW_INSIDE ? m.target : m.name, name);
        return m;
}

static void refused(struct world *w, uint32_t level, uint32_t token) {
        struct monitor_message m = fake_monitor_expect(&w->f, MONITOR_REFUSE, NULL, NULL);

        assert_int_equal(m.node, level);
        assert_int_equal(m.token, token);
        assert_int_equal(m.error, EACCES);
}

static struct monitor_message level_stands(struct world *w, const struct monitor_message *m) {
        struct monitor_message level = {
                .type = MONITOR_LEVEL, .session = w->s.id, .tag = m->tag, .node = m->node, .dev = 777
        };
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        struct broker_message b;

        fake_monitor_send(&w->f, &level, &null, 1);
        (void)close(null);
        b = fake_broker_expect(&w->s, BROKER_LEVEL, NULL, 0);
        assert_int_equal(b.node, m->node);
        assert_int_equal(b.dev, 777);
        assert_int_equal(b.token, m->token);
        return level;
}

/* --- clients ------------------------------------------------------------------------------------------------------ */

static void test_hello_comes_first_and_agrees_on_a_version(void **state) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__ListSessions list = NONO__LIST_SESSIONS__INIT;
        Nono__Hello hello = NONO__HELLO__INIT;
        struct fake_client c;
        struct fake f;

        fake_start(&f);
        c = fake_connect(&f, UID);
        q.body_case = NONO__REQUEST__BODY_LIST_SESSIONS;
        q.list_sessions = &list;
        fake_send(&c, &q, NULL, 0);
        fake_expect_error(&c, NONO__ERROR_CODE__ERROR_STATE);
        fake_expect_closed(&c);

        c = fake_connect(&f, UID);
        hello.version_min = 7;
        hello.version_max = 9;
        q.body_case = NONO__REQUEST__BODY_HELLO;
        q.hello = &hello;
        fake_send(&c, &q, NULL, 0);
        fake_expect_error(&c, NONO__ERROR_CODE__ERROR_VERSION);
        fake_expect_closed(&c);

        c = fake_client(&f, UID);
        fake_send(&c, &q, NULL, 0); /* a second hello is out of turn, no more */
        fake_expect_error(&c, NONO__ERROR_CODE__ERROR_STATE);
        fake_hang_up(&c);
        fake_stop(&f);
}

static void test_malformed_frames_end_only_their_connection(void **state) {
        static const char *const bad[] = {
                "\xff\xff\xff\xff",
                "\x01\x00\x00\x00\xff",
                "\x04\x00\x00\x00\x08\xff\xff\xff",
                "\x02\x00\x00\x00\x7a\x00",
        };
        static const size_t sizes[] = { 4, 5, 8, 6 };
        struct fake_client good, c;
        struct fake f;

        fake_start(&f);
        good = fake_client(&f, UID);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                c = fake_connect(&f, UID);
                assert_int_equal(send(wire_fd(c.wire), bad[i], sizes[i], MSG_NOSIGNAL), sizes[i]);
                fake_expect_closed(&c);
        }
        c = fake_client(&f, UID);
        fake_hang_up(&c);
        fake_hang_up(&good);
        fake_stop(&f);
}

static void send_hello(struct fake_client *c) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Hello hello = NONO__HELLO__INIT;

        hello.version_min = hello.version_max = WIRE_VERSION;
        q.body_case = NONO__REQUEST__BODY_HELLO;
        q.hello = &hello;
        fake_send(c, &q, NULL, 0);
}

/* In the answer to the hello, and no more. */
static void expect_refusal(struct fake_client *c, Nono__ErrorCode code) {
        Nono__Reply *reply = fake_receive(c);

        assert_non_null(reply);
        assert_int_equal(reply->body_case, NONO__REPLY__BODY_ERROR);
        assert_int_equal(reply->error->code, code);
        assert_int_equal(reply->seq, c->seq);
        wire_reply_free(reply);
        fake_expect_closed(c);
}

static void test_connections_of_one_user_are_limited(void **state) {
        struct fake_client c[33], unheard[32], other;
        struct fake f;

        fake_start(&f);
        for (int i = 0; i < 32; i++)
                c[i] = fake_client(&f, UID);
        c[32] = fake_connect(&f, UID);
        send_hello(&c[32]);
        expect_refusal(&c[32], NONO__ERROR_CODE__ERROR_LIMIT);
        /* those that wait to be told are no more than that either, and take no room of others */
        for (int i = 0; i < 32; i++)
                unheard[i] = fake_connect(&f, UID);
        c[32] = fake_connect(&f, UID);
        fake_expect_closed(&c[32]);
        other = fake_client(&f, OTHER);
        for (int i = 0; i < 32; i++)
                fake_hang_up(&unheard[i]);
        fake_hang_up(&other);
        for (int i = 0; i < 32; i++)
                fake_hang_up(&c[i]);
        fake_stop(&f);
}

static void test_a_client_the_monitor_does_not_trust_is_told_and_closed(void **state) {
        struct monitor_message m = { .type = MONITOR_CLIENT, .uid = UID, .error = EXDEV };
        struct fake_client c = { 0 };
        struct fake f;
        int pair[2];

        fake_start(&f);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        fake_monitor_send(&f, &m, &pair[1], 1);
        (void)close(pair[1]);
        assert_int_equal(wire_new(pair[0], false, &c.wire), 0);
        send_hello(&c);
        expect_refusal(&c, NONO__ERROR_CODE__ERROR_REFUSED);
        fake_stop(&f);
}

/* --- spawn -------------------------------------------------------------------------------------------------------- */

static void test_the_static_view_is_what_the_profile_grants(void **state) {
        const struct monitor_message *m;
        struct world w;
        char buf[4096];

        world_open(&w);
        m = fake_node(&w.s, "/home/u/proj", buf);
        assert_non_null(m);
        assert_int_equal(m->kind, VIEW_DIR);
        assert_int_equal(m->flags, VIEW_WRITE);
        m = fake_node(&w.s, "/home/u/docs", buf);
        assert_int_equal(m->kind, VIEW_DIR);
        assert_int_equal(m->flags, 0);
        m = fake_node(&w.s, "/usr", buf);
        assert_int_equal(m->kind, VIEW_DIR);
        m = fake_node(&w.s, "/home/u/.agent.json", buf);
        assert_int_equal(m->kind, VIEW_FILE);
        assert_int_equal(m->flags, VIEW_WRITE);
        assert_int_equal(fake_node(&w.s, "/tmp", buf)->kind, VIEW_TMP);
        assert_null(fake_node(&w.s, "/home/u/.ssh", buf));
        assert_null(fake_node(&w.s, "/home/u/.agent", buf)); /* does not exist */
        assert_int_equal(w.s.start.umask, 022);
        assert_int_equal(w.s.start.flags, 7);
        assert_int_equal(w.s.n_ports, 1);
        world_close(&w);
}

static void test_the_view_has_a_file_that_says_what_is_allowed(void **state) {
        const struct monitor_message *m;
        struct world w;
        char path[4096];

        world_open(&w);
        m = fake_node(&w.s, "/.nono-state.json", path);
        assert_non_null(m);
        assert_int_equal(m->kind, VIEW_FILE);
        assert_int_equal(m->flags, 0);
        assert_int_equal(m->parent, TREE_ROOT);
        /* it stands: its name on the host is gone */
        snprintf(path, sizeof(path), "%s/state/session-%s", w.f.dir, w.s.session);
        assert_int_equal(access(path, F_OK), -1);
        world_close(&w);
}

static void test_a_dry_run_starts_nothing(void **state) {
        Nono__Reply *r;
        Nono__Spawn m;
        Nono__Vars v;
        struct fake_client c;
        struct fake f;
        bool found = false;

        fake_start(&f);
        c = fake_client(&f, UID);
        fake_spawn_init(&m, &v);
        m.dry_run = true;
        fake_send_spawn(&c, &m);
        r = fake_expect(&c, NONO__REPLY__BODY_GRANTS);
        assert_false(r->grants->more);
        assert_int_equal(r->grants->n_open_ports, 1);
        for (size_t i = 0; i < r->grants->n_grants; i++)
                found = found || wire_is(&r->grants->grants[i]->path, "/home/u/docs");
        assert_true(found);
        wire_reply_free(r);
        fake_monitor_expect_silence(&f);
        fake_hang_up(&c);
        fake_stop(&f);
}

static void spawn_error(struct fake_client *c, const Nono__Spawn *m, Nono__ErrorCode code) {
        fake_send_spawn(c, m);
        fake_expect_error(c, code);
}

static void test_spawns_that_make_no_sense_are_refused_before_the_monitor_hears_of_them(void **state) {
        Nono__Rule rule = NONO__RULE__INIT, *rules[] = { &rule };
        struct fake_client c;
        struct fake f;
        Nono__Spawn m;
        Nono__Vars v;
        uint32_t port = 65536;

        fake_start(&f);
        c = fake_client(&f, UID);
        fake_spawn_init(&m, &v), m.profile = wire_bytes("nosuch"),
                                 spawn_error(&c, &m, NONO__ERROR_CODE__ERROR_NOT_FOUND);
        fake_spawn_init(&m, &v), m.profile = wire_bytes("../x"), spawn_error(&c, &m, NONO__ERROR_CODE__ERROR_PROTOCOL);
        fake_spawn_init(&m, &v), m.workdir = wire_bytes("proj"), spawn_error(&c, &m, NONO__ERROR_CODE__ERROR_PROTOCOL);
        fake_spawn_init(&m, &v), m.workdir = wire_bytes("/a/../b"),
                                 spawn_error(&c, &m, NONO__ERROR_CODE__ERROR_PROTOCOL);
        fake_spawn_init(&m, &v), v.home = wire_bytes(""), spawn_error(&c, &m, NONO__ERROR_CODE__ERROR_PROTOCOL);
        fake_spawn_init(&m, &v), m.umask = 01000, spawn_error(&c, &m, NONO__ERROR_CODE__ERROR_PROTOCOL);
        fake_spawn_init(&m, &v), m.open_ports = &port, m.n_open_ports = 1;
        spawn_error(&c, &m, NONO__ERROR_CODE__ERROR_PROTOCOL);
        fake_spawn_init(&m, &v), m.profile = wire_bytes("default"), m.program = true;
        spawn_error(&c, &m, NONO__ERROR_CODE__ERROR_POLICY);
        fake_spawn_init(&m, &v), m.rules = rules, m.n_rules = 1, rule.access = NONO__ACCESS__ACCESS_READ;
        rule.path = wire_bytes("/"), spawn_error(&c, &m, NONO__ERROR_CODE__ERROR_POLICY);
        rule.path = wire_bytes("/run/nonod"), spawn_error(&c, &m, NONO__ERROR_CODE__ERROR_POLICY);
        rule.path = wire_bytes("relative"), spawn_error(&c, &m, NONO__ERROR_CODE__ERROR_POLICY);
        rule.path = wire_bytes("/a"), rule.access = NONO__ACCESS__ACCESS_NONE;
        spawn_error(&c, &m, NONO__ERROR_CODE__ERROR_POLICY);
        fake_monitor_expect_silence(&f);
        fake_hang_up(&c);
        fake_stop(&f);
}

static void test_a_directory_as_standard_input_is_refused(void **state) {
        int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC);
        int fds[4] = { fake_spec(0), dir, null, null };
        Nono__Request q = NONO__REQUEST__INIT;
        struct fake_client c;
        struct fake f;
        Nono__Spawn m;
        Nono__Vars v;

        fake_start(&f);
        c = fake_client(&f, UID);
        fake_spawn_init(&m, &v);
        q.body_case = NONO__REQUEST__BODY_SPAWN;
        q.spawn = &m;
        fake_send(&c, &q, fds, 4);
        fake_expect_error(&c, NONO__ERROR_CODE__ERROR_PROTOCOL);
        fake_send(&c, &q, fds, 1); /* and missing ones are */
        fake_expect_error(&c, NONO__ERROR_CODE__ERROR_PROTOCOL);
        (void)close(fds[0]);
        (void)close(dir);
        (void)close(null);
        fake_hang_up(&c);
        fake_stop(&f);
}

static void test_a_client_that_changed_its_user_gets_no_session(void **state) {
        struct fake_session s;
        struct fake_client c;
        Nono__Reply *r;
        struct fake f;
        Nono__Spawn m;
        Nono__Vars v;

        fake_start(&f);
        c = fake_client(&f, UID);
        fake_spawn_init(&m, &v);
        fake_send_spawn(&c, &m);
        fake_session_begin(&f, &s, OTHER);
        r = fake_expect(&c, NONO__REPLY__BODY_FAILED);
        assert_int_equal(r->failed->error, EPERM);
        wire_reply_free(r);
        (void)fake_monitor_expect(&f, MONITOR_KILL, NULL, NULL);
        fake_session_end(&s);
        fake_hang_up(&c);
        fake_stop(&f);
}

static void test_a_session_the_monitor_refuses_is_told_to_the_client(void **state) {
        struct monitor_message m;
        struct fake_client c;
        struct fake f;
        Nono__Spawn spawn;
        Nono__Vars v;

        fake_start(&f);
        c = fake_client(&f, UID);
        fake_spawn_init(&spawn, &v);
        fake_send_spawn(&c, &spawn);
        m = fake_monitor_expect(&f, MONITOR_SESSION, NULL, NULL);
        fake_monitor_send(&f, &(struct monitor_message){ .type = MONITOR_REPLY, .tag = m.tag, .error = EPERM }, NULL,
                          0);
        wire_reply_free(fake_expect(&c, NONO__REPLY__BODY_FAILED));
        /* the same with a client that did not wait for it */
        fake_send_spawn(&c, &spawn);
        m = fake_monitor_expect(&f, MONITOR_SESSION, NULL, NULL);
        fake_hang_up(&c);
        c = fake_client(&f, UID);
        fake_monitor_send(&f, &(struct monitor_message){ .type = MONITOR_REPLY, .tag = m.tag, .error = EAGAIN }, NULL,
                          0);
        fake_hang_up(&c);
        fake_stop(&f);
}

static void test_a_view_that_cannot_be_built_fails_with_its_path(void **state) {
        struct fake_session s;
        struct fake_client c;
        Nono__Reply *r;
        struct fake f;
        Nono__Spawn m;
        Nono__Vars v;

        fake_host = host;
        fake_start(&f);
        c = fake_client(&f, UID);
        fake_spawn_init(&m, &v);
        fake_send_spawn(&c, &m);
        fake_session_begin(&f, &s, UID);
        fake_session_build(&s);
        fake_monitor_send(&f,
                          &(struct monitor_message){ .type = MONITOR_REPLY,
                                                     .session = s.id,
                                                     .error = ENODEV,
                                                     .node = fake_node_id(&s, "/home/u/docs") },
                          NULL, 0);
        r = fake_expect(&c, NONO__REPLY__BODY_FAILED);
        assert_int_equal(r->failed->error, ENODEV);
        assert_non_null(memmem(r->failed->message.data, r->failed->message.len, "/home/u/docs", 12));
        wire_reply_free(r);
        (void)fake_monitor_expect(&f, MONITOR_KILL, NULL, NULL);
        fake_session_end(&s);
        fake_hang_up(&c);
        fake_stop(&f);
}

static void test_a_missing_program_and_working_directory_fail_in_words(void **state) {
        static const char *const no_program[] = { "/usr/", "/home/u/proj/", NULL };
        static const char *const no_workdir[] = { "/usr/", "/usr/bin/true", NULL };
        const char *const *hosts[] = { no_program, no_workdir };
        static const uint32_t steps[] = { CONTROL_STEP_EXEC, CONTROL_STEP_CHDIR };
        struct fake_session s;
        struct fake_client c;
        struct fake f;
        Nono__Spawn m;
        Nono__Vars v;

        fake_start(&f);
        for (int i = 0; i < 2; i++) {
                Nono__Reply *r;

                fake_host = hosts[i];
                c = fake_client(&f, UID);
                fake_spawn_init(&m, &v);
                fake_send_spawn(&c, &m);
                fake_session_begin(&f, &s, UID);
                fake_session_resolve(&s);
                r = fake_expect(&c, NONO__REPLY__BODY_FAILED);
                assert_int_equal(r->failed->step, steps[i]);
                assert_int_equal(r->failed->error, ENOENT);
                wire_reply_free(r);
                (void)fake_monitor_expect(&f, MONITOR_KILL, NULL, NULL);
                fake_session_end(&s);
                fake_hang_up(&c);
        }
        fake_stop(&f);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static void test_an_approved_directory_is_attached_with_the_waiting_token(void **state) {
        struct monitor_message m;
        struct world w;
        uint64_t id;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "other", "/home/u/other", OBJECT_DIR, "/home/u/other", "", -1);
        id = prompt(&w.c, "/home/u/other");
        fake_monitor_expect_silence(&w.f);
        approve(&w.c, id, NONO__SCOPE__SCOPE_DEFAULT);
        m = attach(&w, VIEW_DIR, "other", w.home);
        assert_int_equal(m.token, 1001);
        assert_int_equal(m.flags, 0);
        reply_ok(&w, &m);
        wire_reply_free(fake_expect_event(&w.c, NONO__EVENT_TYPE__EVENT_GRANTED));
        /* the answer was for this question, once */
        send_approve(&w.c, id, NONO__SCOPE__SCOPE_DEFAULT, NONO__DURATION__DURATION_DEFAULT);
        fake_expect_error(&w.c, NONO__ERROR_CODE__ERROR_NOT_FOUND);
        /* asked again although it stands: an inner namespace that cannot see it */
        fake_walk(&w.s, 2, w.home, "other", "/home/u/other", OBJECT_DIR, "/home/u/other", "", -1);
        refused(&w, w.home, 1002);
        world_close(&w);
}

static void test_an_approved_file_is_reached_through_a_level_and_nothing_else(void **state) {
        struct monitor_message m;
        struct world w;
        uint32_t other;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "other", "/home/u/other/f", OBJECT_DIR, "/home/u/other", "", -1);
        approve(&w.c, prompt(&w.c, "/home/u/other/f"), NONO__SCOPE__SCOPE_FILE);
        m = attach(&w, VIEW_LEVEL, "other", w.home);
        assert_int_equal(m.token, 1001);
        other = m.node;
        level_stands(&w, &m);
        fake_walk(&w.s, 2, other, "f", "/home/u/other/f", OBJECT_FILE, "/home/u/other/f", "", -1);
        m = attach(&w, VIEW_FILE, "f", other);
        reply_ok(&w, &m);
        fake_walk(&w.s, 3, other, "g", "/home/u/other/g", OBJECT_FILE, "/home/u/other/g", "", -1);
        (void)prompt(&w.c, "/home/u/other/g");
        world_close(&w);
}

static void test_one_answer_is_replayed_over_all_that_wait(void **state) {
        struct monitor_message m;
        struct world w;
        uint64_t id;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "other", "/home/u/other/f", OBJECT_DIR, "/home/u/other", "", -1);
        id = prompt(&w.c, "/home/u/other/f");
        fake_walk(&w.s, 2, w.home, "x", "/home/u/x", OBJECT_FILE, "/home/u/x", "", -1);
        (void)prompt(&w.c, "/home/u/x");
        fake_walk(&w.s, 3, w.home, "x", "/home/u/x", OBJECT_FILE, "/home/u/x", "", -1); /* merged */
        approve(&w.c, id, NONO__SCOPE__SCOPE_PARENT);                                   /* the whole home */
        m = attach(&w, VIEW_DIR, "other", w.home);
        reply_ok(&w, &m);
        m = attach(&w, VIEW_FILE, "x", w.home);
        reply_ok(&w, &m);
        /* the second one for x came while its attach was under way: attached anew with its own token */
        (void)fake_monitor_expect(&w.f, MONITOR_REVOKE, NULL, NULL);
        m = attach(&w, VIEW_FILE, "x", w.home);
        assert_true(m.token == 1002 || m.token == 1003);
        reply_ok(&w, &m);
        world_close(&w);
}

static void test_a_refused_request_gets_eacces_and_is_not_asked_again(void **state) {
        Nono__Reply *r;
        struct world w;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "other", "/home/u/other", OBJECT_DIR, "/home/u/other", "", -1);
        send_deny(&w.c, prompt(&w.c, "/home/u/other"));
        wire_reply_free(fake_expect(&w.c, NONO__REPLY__BODY_OK));
        refused(&w, w.home, 1001);
        fake_walk(&w.s, 2, w.home, "other", "/home/u/other", OBJECT_DIR, "/home/u/other", "", -1);
        refused(&w, w.home, 1002);
        r = fake_expect_event(&w.c, NONO__EVENT_TYPE__EVENT_DENIED);
        assert_int_equal(r->event->reason, NONO__REASON__REASON_REMEMBERED);
        wire_reply_free(r);
        world_close(&w);
}

static void test_a_denied_path_never_asks(void **state) {
        Nono__Reply *r;
        struct world w;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, ".ssh", "/home/u/.ssh/id_rsa", OBJECT_DIR, "/home/u/.ssh", "", -1);
        refused(&w, w.home, 1001);
        r = fake_expect_event(&w.c, NONO__EVENT_TYPE__EVENT_DENIED);
        assert_int_equal(r->event->reason, NONO__REASON__REASON_RULE);
        assert_true(wire_is(&r->event->source, "groups/secrets.json"));
        wire_reply_free(r);
        /* the name is harmless, what the walk wants behind it is not */
        fake_walk(&w.s, 2, w.home, "work", "/home/u/work/.env", OBJECT_DIR, "/home/u/work", "", -1);
        refused(&w, w.home, 1002);
        world_close(&w);
}

static void test_a_link_into_something_denied_is_denied(void **state) {
        struct world w;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "keys", "/home/u/keys", OBJECT_SYMLINK, "/home/u/.ssh", ".ssh", -1);
        refused(&w, w.home, 1001);
        fake_walk(&w.s, 2, w.home, "dangling", "/home/u/dangling", OBJECT_SYMLINK, "", ".ssh/id", -1);
        refused(&w, w.home, 1002);
        world_close(&w);
}

static void test_a_link_is_planted_when_its_target_may_be_had(void **state) {
        struct monitor_message m;
        struct world w;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "p", "/home/u/p", OBJECT_SYMLINK, "/home/u/proj", "proj", -1);
        m = attach(&w, VIEW_SYMLINK, "p", w.home);
        assert_string_equal(m.target, "proj");
        reply_ok(&w, &m);
        fake_walk(&w.s, 2, w.home, "l", "/home/u/l/x", OBJECT_SYMLINK, "/opt/data", "/opt/data", -1);
        approve(&w.c, prompt(&w.c, "/opt/data/x"), NONO__SCOPE__SCOPE_FILE);
        m = attach(&w, VIEW_SYMLINK, "l", w.home);
        reply_ok(&w, &m);
        world_close(&w);
}

static void test_a_directory_with_something_denied_inside_becomes_a_level(void **state) {
        struct monitor_message m;
        struct world w;
        uint32_t work;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "work", "/home/u/work", OBJECT_DIR, "/home/u/work", "", -1);
        approve(&w.c, prompt(&w.c, "/home/u/work"), NONO__SCOPE__SCOPE_FILE);
        fake_broker_expect_resolve(&w.s, "/home/u/work/.env");
        m = attach(&w, VIEW_LEVEL, "work", w.home);
        work = m.node;
        level_stands(&w, &m);
        fake_walk(&w.s, 2, work, ".env", "", OBJECT_FILE, "/home/u/work/.env", "", -1);
        refused(&w, work, 1002);
        fake_walk(&w.s, 3, work, "src", "", OBJECT_DIR, "/home/u/work/src", "", -1);
        m = attach(&w, VIEW_DIR, "src", work);
        reply_ok(&w, &m);
        world_close(&w);
}

static void test_devices_and_lies_about_objects_are_refused(void **state) {
        struct world w;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "null", "/home/u/null", OBJECT_DEVICE, "/home/u/null", "", -1);
        refused(&w, w.home, 1001);
        /* a file that is said to be a directory, inside a grant of the session's own level */
        fake_walk(&w.s, 2, w.home, "proj2", "", OBJECT_FILE, "/home/u/.ssh/id", "", -1);
        (void)prompt(&w.c, "/home/u/proj2");
        world_close(&w);
}

static void test_an_attach_that_fails_refuses_the_walk(void **state) {
        struct monitor_message m;
        struct world w;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "other", "/home/u/other", OBJECT_DIR, "/home/u/other", "", -1);
        approve(&w.c, prompt(&w.c, "/home/u/other"), NONO__SCOPE__SCOPE_FILE);
        m = attach(&w, VIEW_DIR, "other", w.home);
        fake_monitor_send(
                &w.f,
                &(struct monitor_message){
                        .type = MONITOR_REPLY, .session = w.s.id, .tag = m.tag, .node = m.node, .error = EIO },
                NULL, 0);
        refused(&w, w.home, 1001);
        /* and the name may be tried again */
        fake_walk(&w.s, 2, w.home, "other", "/home/u/other", OBJECT_DIR, "/home/u/other", "", -1);
        m = attach(&w, VIEW_DIR, "other", w.home);
        reply_ok(&w, &m);
        world_close(&w);
}

static void test_a_killed_asker_withdraws_its_prompt(void **state) {
        struct broker_message gone = { .type = BROKER_GONE, .tag = 1 };
        Nono__Reply *r;
        struct world w;
        uint64_t id;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "other", "/home/u/other", OBJECT_DIR, "/home/u/other", "", -1);
        id = prompt(&w.c, "/home/u/other");
        fake_broker_send(&w.s, &gone, NULL, 0, NULL, 0);
        r = fake_expect_event(&w.c, NONO__EVENT_TYPE__EVENT_WITHDRAWN);
        assert_int_equal(r->event->request, id);
        wire_reply_free(r);
        send_approve(&w.c, id, NONO__SCOPE__SCOPE_FILE, NONO__DURATION__DURATION_DEFAULT);
        fake_expect_error(&w.c, NONO__ERROR_CODE__ERROR_NOT_FOUND);
        fake_monitor_expect_silence(&w.f);
        world_close(&w);
}

static void test_answers_that_are_too_wide_leave_the_question_waiting(void **state) {
        struct monitor_message m;
        struct world w;
        uint64_t id;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "x", "/home/u/x", OBJECT_FILE, "/home/u/x", "", -1);
        id = prompt(&w.c, "/home/u/x");
        send_approve(&w.c, id, NONO__SCOPE__SCOPE_PARENT, NONO__DURATION__DURATION_DEFAULT); /* /home */
        fake_expect_error(&w.c, NONO__ERROR_CODE__ERROR_REFUSED);
        approve(&w.c, id, NONO__SCOPE__SCOPE_FILE);
        m = attach(&w, VIEW_FILE, "x", w.home);
        reply_ok(&w, &m);
        world_close(&w);
}

static void test_only_the_sessions_user_and_root_may_answer(void **state) {
        struct fake_client other, root;
        struct monitor_message m;
        struct world w;
        uint64_t id;

        world_open(&w);
        other = fake_client(&w.f, OTHER);
        root = fake_client(&w.f, 0);
        fake_walk(&w.s, 1, w.home, "x", "/home/u/x", OBJECT_FILE, "/home/u/x", "", -1);
        id = prompt(&w.c, "/home/u/x");
        send_approve(&other, id, NONO__SCOPE__SCOPE_FILE, NONO__DURATION__DURATION_DEFAULT);
        fake_expect_error(&other, NONO__ERROR_CODE__ERROR_NOT_FOUND);
        send_deny(&other, id);
        fake_expect_error(&other, NONO__ERROR_CODE__ERROR_NOT_FOUND);
        approve(&root, id, NONO__SCOPE__SCOPE_FILE);
        m = attach(&w, VIEW_FILE, "x", w.home);
        reply_ok(&w, &m);
        fake_hang_up(&other);
        fake_hang_up(&root);
        world_close(&w);
}

static void test_a_sealed_session_asks_nobody(void **state) {
        struct fake_client c;
        struct world w = { 0 };
        Nono__Spawn m;
        Nono__Vars v;

        fake_host = host;
        fake_start(&w.f);
        c = fake_client(&w.f, UID);
        fake_spawn_init(&m, &v);
        m.sealed = true;
        fake_session(&w.f, &w.s, &c, UID, &m);
        fake_walk(&w.s, 1, fake_node_id(&w.s, "/home/u"), "x", "/home/u/x", OBJECT_FILE, "/home/u/x", "", -1);
        refused(&w, fake_node_id(&w.s, "/home/u"), 1001);
        fake_session_end(&w.s);
        fake_hang_up(&c);
        fake_stop(&w.f);
}

static void test_a_once_approval_ends_with_its_process(void **state) {
        struct monitor_message m, revoked;
        struct world w;
        pid_t pid = fork();
        int pidfd;

        if (pid == 0) {
                for (;;)
                        pause();
        }
        pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        world_open(&w);
        fake_walk(&w.s, 1, w.home, "x", "/home/u/x", OBJECT_FILE, "/home/u/x", "", pidfd);
        send_approve(&w.c, prompt(&w.c, "/home/u/x"), NONO__SCOPE__SCOPE_FILE, NONO__DURATION__DURATION_ONCE);
        wire_reply_free(fake_expect(&w.c, NONO__REPLY__BODY_OK));
        m = attach(&w, VIEW_FILE, "x", w.home);
        reply_ok(&w, &m);
        fake_monitor_expect_silence(&w.f);
        assert_int_equal(kill(pid, SIGKILL), 0);
        revoked = fake_monitor_expect(&w.f, MONITOR_REVOKE, NULL, NULL);
        assert_int_equal(revoked.node, m.node);
        reply_ok(&w, &revoked);
        fake_walk(&w.s, 2, w.home, "x", "/home/u/x", OBJECT_FILE, "/home/u/x", "", -1);
        (void)prompt(&w.c, "/home/u/x");
        (void)waitpid(pid, NULL, 0);
        (void)close(pidfd);
        world_close(&w);
}

/* --- changes ------------------------------------------------------------------------------------------------------ */

static void test_creating_a_name_asks_and_then_shows_it(void **state) {
        struct broker_message b,
                changed = { .type = BROKER_CHANGED, .tag = 50, .kind = OBJECT_FILE, .operation = OPERATION_CREATE };
        const char *texts[] = { "/home/u/new", "" };
        struct monitor_message m;
        struct world w;
        int fd = memfd_create("new", MFD_CLOEXEC);

        world_open(&w);
        fake_change(&w.s, 50, OPERATION_CREATE, w.home, 0, "/home/u/new", "");
        approve(&w.c, prompt(&w.c, "/home/u/new"), NONO__SCOPE__SCOPE_FILE);
        b = fake_broker_expect(&w.s, BROKER_VERDICT, NULL, 0);
        assert_int_equal(b.tag, 50);
        assert_int_equal(b.error, 0);
        fake_broker_send(&w.s, &changed, texts, 2, &fd, 1);
        m = attach(&w, VIEW_FILE, "new", w.home);
        assert_int_equal(m.flags, VIEW_WRITE);
        assert_int_equal(m.token, 0);
        reply_ok(&w, &m);
        b = fake_broker_expect(&w.s, BROKER_RELEASE, NULL, 0);
        assert_int_equal(b.tag, 50);
        (void)close(fd);
        world_close(&w);
}

static void test_a_rename_replaces_what_stands(void **state) {
        struct broker_message changed = {
                .type = BROKER_CHANGED, .tag = 51, .kind = OBJECT_FILE, .operation = OPERATION_RENAME
        };
        const char *texts[] = { "/home/u/.agent.json.tmp", "/home/u/.agent.json" };
        struct monitor_message m;
        struct world w;
        int fd = memfd_create("new", MFD_CLOEXEC);

        world_open(&w);
        fake_broker_send(&w.s, &changed, texts, 2, &fd, 1);
        m = fake_monitor_expect(&w.f, MONITOR_REVOKE, NULL, NULL);
        assert_int_equal(m.node, fake_node_id(&w.s, "/home/u/.agent.json"));
        reply_ok(&w, &m);
        m = attach(&w, VIEW_FILE, ".agent.json", w.home);
        reply_ok(&w, &m);
        (void)fake_broker_expect(&w.s, BROKER_RELEASE, NULL, 0);
        (void)close(fd);
        world_close(&w);
}

static void test_creating_something_denied_is_refused_at_once(void **state) {
        struct broker_message b;
        struct world w;

        world_open(&w);
        fake_change(&w.s, 50, OPERATION_MKDIR, w.home, 0, "/home/u/.ssh", "");
        b = fake_broker_expect(&w.s, BROKER_VERDICT, NULL, 0);
        assert_int_equal(b.error, EACCES);
        fake_change(&w.s, 52, OPERATION_RENAME, w.home, 0, "/home/u/proj/x", "/home/u/.ssh");
        b = fake_broker_expect(&w.s, BROKER_VERDICT, NULL, 0);
        assert_int_equal(b.error, EACCES);
        fake_change(&w.s, 53, OPERATION_CREATE, w.home, 0, "/home/u/../x", "");
        b = fake_broker_expect(&w.s, BROKER_VERDICT, NULL, 0);
        assert_int_equal(b.error, EACCES);
        world_close(&w);
}

static void test_writing_below_a_read_only_grant_widens_it_after_a_yes(void **state) {
        struct broker_message b;
        struct monitor_message m;
        struct world w;
        uint32_t docs;

        world_open(&w);
        docs = fake_node_id(&w.s, "/home/u/docs");
        /* a new file: the directory has to become writable, so that is what is asked */
        fake_change(&w.s, 50, OPERATION_CREATE, docs, BROKER_F_WIDEN, "/home/u/docs/new", "");
        approve(&w.c, prompt(&w.c, "/home/u/docs"), NONO__SCOPE__SCOPE_FILE);
        m = fake_monitor_expect(&w.f, MONITOR_WIDEN, NULL, NULL);
        assert_int_equal(m.node, docs);
        assert_int_equal(m.flags, VIEW_WRITE);
        reply_ok(&w, &m);
        b = fake_broker_expect(&w.s, BROKER_VERDICT, NULL, 0);
        assert_int_equal(b.tag, 50);
        assert_int_equal(b.error, 0);
        world_close(&w);
}

static void test_negative_names_are_planted_only_where_nothing_can_come(void **state) {
        struct broker_message plant = { .type = BROKER_PLANT }, unplant = { .type = BROKER_UNPLANT };
        const char *names[] = { "node_modules" }, *granted[] = { ".agent" }, *bad[] = { "a/b" };
        struct monitor_message m;
        struct world w;

        world_open(&w);
        plant.node = unplant.node = w.home;
        fake_broker_send(&w.s, &plant, granted, 1, NULL, 0);
        fake_monitor_expect_silence(&w.f);
        fake_broker_send(&w.s, &plant, names, 1, NULL, 0);
        m = attach(&w, VIEW_SYMLINK, "node_modules", w.home);
        assert_string_equal(m.target, "/.nono/none");
        reply_ok(&w, &m);
        fake_broker_send(&w.s, &unplant, names, 1, NULL, 0);
        assert_int_equal(fake_monitor_expect(&w.f, MONITOR_REVOKE, NULL, NULL).node, m.node);
        fake_broker_send(&w.s, &plant, bad, 1, NULL, 0); /* malformed: that broker is done with */
        fake_monitor_expect_silence(&w.f);
        world_close(&w);
}

/* --- grants ------------------------------------------------------------------------------------------------------- */

static void send_grant(struct world *w, const char *path, bool write) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Grant m = NONO__GRANT__INIT;

        m.session = wire_bytes(w->s.session);
        m.path = wire_bytes(path);
        m.write = write;
        q.body_case = NONO__REQUEST__BODY_GRANT;
        q.grant = &m;
        fake_send(&w->c, &q, NULL, 0);
}

static void send_revoke(struct world *w, uint64_t id, bool kill) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Revoke m = NONO__REVOKE__INIT;

        m.session = wire_bytes(w->s.session);
        m.grant = id;
        m.kill = kill;
        q.body_case = NONO__REQUEST__BODY_REVOKE;
        q.revoke = &m;
        fake_send(&w->c, &q, NULL, 0);
}

static uint64_t find_grant(struct world *w, const char *path) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__ListGrants m = NONO__LIST_GRANTS__INIT;
        Nono__Reply *r;
        uint64_t id = 0;

        m.session = wire_bytes(w->s.session);
        q.body_case = NONO__REQUEST__BODY_LIST_GRANTS;
        q.list_grants = &m;
        fake_send(&w->c, &q, NULL, 0);
        r = fake_expect(&w->c, NONO__REPLY__BODY_GRANTS);
        for (size_t i = 0; i < r->grants->n_grants; i++)
                if (wire_is(&r->grants->grants[i]->path, path) && !r->grants->grants[i]->deny)
                        id = r->grants->grants[i]->id;
        wire_reply_free(r);
        return id;
}

static void test_a_grant_stands_at_once_and_goes_when_revoked(void **state) {
        struct monitor_message m, revoked;
        Nono__Reply *r;
        struct world w;
        uint64_t id;

        world_open(&w);
        send_grant(&w, "/home/u/other", true);
        fake_broker_expect_resolve(&w.s, "/home/u/other");
        m = attach(&w, VIEW_DIR, "other", w.home);
        assert_int_equal(m.flags, VIEW_WRITE);
        reply_ok(&w, &m);
        r = fake_expect(&w.c, NONO__REPLY__BODY_GRANTED);
        id = r->granted->grant;
        wire_reply_free(r);
        assert_int_equal(find_grant(&w, "/home/u/other"), id);
        send_revoke(&w, id, false);
        revoked = fake_monitor_expect(&w.f, MONITOR_REVOKE, NULL, NULL);
        assert_int_equal(revoked.node, m.node);
        r = fake_expect(&w.c, NONO__REPLY__BODY_REVOKED);
        assert_int_equal(r->revoked->killed, 0);
        wire_reply_free(r);
        assert_int_equal(find_grant(&w, "/home/u/other"), 0);
        send_revoke(&w, id, false);
        fake_expect_error(&w.c, NONO__ERROR_CODE__ERROR_NOT_FOUND);
        world_close(&w);
}

static void test_the_way_to_a_grant_is_made_so_that_it_is_listed(void **state) {
        struct monitor_message m, level;
        struct world w;

        world_open(&w);
        send_grant(&w, "/opt/data", false);
        fake_broker_expect_resolve(&w.s, "/opt/data");
        level = attach(&w, VIEW_LEVEL, "opt", TREE_ROOT);
        level_stands(&w, &level);
        m = attach(&w, VIEW_DIR, "data", level.node);
        assert_int_equal(m.flags, 0);
        reply_ok(&w, &m);
        wire_reply_free(fake_expect(&w.c, NONO__REPLY__BODY_GRANTED));

        /* a way that cannot be made leaves the rule: it is attached when it is walked to */
        send_grant(&w, "/srv/web/x", false);
        fake_broker_expect_resolve(&w.s, "/srv/web/x");
        level = attach(&w, VIEW_LEVEL, "srv", TREE_ROOT);
        m = (struct monitor_message){
                .type = MONITOR_REPLY, .session = w.s.id, .tag = level.tag, .node = level.node, .error = EIO
        };
        fake_monitor_send(&w.f, &m, NULL, 0);
        wire_reply_free(fake_expect(&w.c, NONO__REPLY__BODY_GRANTED));
        assert_true(find_grant(&w, "/srv/web/x") > 0);
        world_close(&w);
}

static void test_grants_of_what_is_denied_or_missing_are_refused(void **state) {
        struct world w;

        world_open(&w);
        send_grant(&w, "/home/u/.ssh", false);
        fake_broker_expect_resolve(&w.s, "/home/u/.ssh");
        fake_expect_error(&w.c, NONO__ERROR_CODE__ERROR_REFUSED);
        send_grant(&w, "/nowhere", false);
        fake_broker_expect_resolve(&w.s, "/nowhere");
        fake_expect_error(&w.c, NONO__ERROR_CODE__ERROR_NOT_FOUND);
        send_grant(&w, "/home", false);
        fake_broker_expect_resolve(&w.s, "/home");
        fake_expect_error(&w.c, NONO__ERROR_CODE__ERROR_REFUSED);
        send_grant(&w, "/", false);
        fake_expect_error(&w.c, NONO__ERROR_CODE__ERROR_PROTOCOL);
        world_close(&w);
}

static void test_a_rule_of_the_profile_can_be_revoked_too(void **state) {
        struct monitor_message m;
        struct world w;

        world_open(&w);
        send_revoke(&w, find_grant(&w, "/home/u/docs"), false);
        m = fake_monitor_expect(&w.f, MONITOR_REVOKE, NULL, NULL);
        assert_int_equal(m.node, fake_node_id(&w.s, "/home/u/docs"));
        wire_reply_free(fake_expect(&w.c, NONO__REPLY__BODY_REVOKED));
        world_close(&w);
}

static void test_revoke_with_kill_looks_before_and_ends_after_the_detach(void **state) {
        struct broker_message held = { .type = BROKER_HELD }, ask;
        struct monitor_message m;
        Nono__Reply *reply;
        struct world w;
        char path[256];

        world_open(&w);
        send_revoke(&w, find_grant(&w, "/home/u/docs"), true);
        ask = fake_broker_expect(&w.s, BROKER_HOLDERS, path, sizeof(path));
        assert_string_equal(path, "/home/u/docs");
        assert_int_equal(ask.node, fake_node_id(&w.s, "/home/u/docs"));
        fake_monitor_expect_silence(&w.f);
        held.tag = ask.tag;
        fake_broker_send(&w.s, &held, NULL, 0, NULL, 0);
        m = fake_monitor_expect(&w.f, MONITOR_REVOKE, NULL, NULL);
        assert_int_equal(m.node, ask.node);
        reply_ok(&w, &m);
        ask = fake_broker_expect(&w.s, BROKER_END_HOLDERS, NULL, 0);
        held.tag = ask.tag;
        held.token = 2;
        fake_broker_send(&w.s, &held, NULL, 0, NULL, 0);
        reply = fake_expect(&w.c, NONO__REPLY__BODY_REVOKED);
        assert_int_equal(reply->revoked->killed, 2);
        assert_true(wire_is(&reply->revoked->path, "/home/u/docs"));
        wire_reply_free(reply);

        /* without a broker it is revoked all the same, and said that nobody knows */
        send_revoke(&w, find_grant(&w, "/usr"), true);
        (void)fake_broker_expect(&w.s, BROKER_HOLDERS, NULL, 0);
        fd_close(&w.s.fd_broker);
        m = fake_monitor_expect(&w.f, MONITOR_REVOKE, NULL, NULL);
        reply_ok(&w, &m);
        fake_expect_error(&w.c, NONO__ERROR_CODE__ERROR_STATE);
        world_close(&w);
}

static void test_a_write_grant_switches_what_stands_read_only(void **state) {
        struct monitor_message m;
        struct world w;

        world_open(&w);
        send_grant(&w, "/home/u/docs", true);
        fake_broker_expect_resolve(&w.s, "/home/u/docs");
        m = fake_monitor_expect(&w.f, MONITOR_WIDEN, NULL, NULL);
        assert_int_equal(m.node, fake_node_id(&w.s, "/home/u/docs"));
        reply_ok(&w, &m);
        wire_reply_free(fake_expect(&w.c, NONO__REPLY__BODY_GRANTED));
        world_close(&w);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static void test_the_programs_exit_is_told_and_leftovers_are_killed(void **state) {
        Nono__Reply *r;
        struct world w;

        world_open(&w);
        fake_init_send(&w.s, CONTROL_STOPPED, SIGTSTP, 0);
        r = fake_expect(&w.c, NONO__REPLY__BODY_STOPPED);
        assert_int_equal(r->stopped->signal, SIGTSTP);
        wire_reply_free(r);
        fake_init_send(&w.s, CONTROL_EXITED, 3 << 8, 0);
        r = fake_expect(&w.c, NONO__REPLY__BODY_EXITED);
        assert_int_equal(r->exited->code, 3);
        assert_int_equal(r->exited->signal, 0);
        wire_reply_free(r);
        (void)fake_monitor_expect(&w.f, MONITOR_KILL, NULL, NULL);
        world_close(&w);
}

static void test_a_program_that_cannot_be_executed_is_said_to_be_so(void **state) {
        struct monitor_message started = { .type = MONITOR_STARTED };
        struct fake_session s;
        struct fake_client c;
        Nono__Reply *r;
        struct fake f;
        Nono__Spawn m;
        Nono__Vars v;

        fake_host = host;
        fake_start(&f);
        c = fake_client(&f, UID);
        fake_spawn_init(&m, &v);
        fake_send_spawn(&c, &m);
        fake_session_begin(&f, &s, UID);
        fake_session_build(&s);
        started.session = s.id;
        fake_monitor_send(&f, &started, NULL, 0);
        wire_reply_free(fake_expect(&c, NONO__REPLY__BODY_SPAWNED));
        fake_init_send(&s, CONTROL_FAILED, ENOENT, CONTROL_STEP_EXEC);
        r = fake_expect(&c, NONO__REPLY__BODY_FAILED);
        assert_int_equal(r->failed->step, CONTROL_STEP_EXEC);
        assert_int_equal(r->failed->error, ENOENT);
        assert_true(r->failed->hint.len > 0);
        wire_reply_free(r);
        (void)fake_monitor_expect(&f, MONITOR_KILL, NULL, NULL);
        fake_session_end(&s);
        fake_hang_up(&c);
        fake_stop(&f);
}

static void test_a_vanished_client_hangs_up_its_session_and_then_ends_it(void **state) {
        struct world w;

        world_open(&w);
        fake_hang_up(&w.c);
        assert_int_equal(fake_init_expect(&w.s, CONTROL_SIGNAL).value, SIGHUP);
        assert_int_equal(fake_init_expect(&w.s, CONTROL_SIGNAL).value, SIGCONT);
        (void)fake_monitor_expect(&w.f, MONITOR_KILL, NULL, NULL);
        world_close(&w);
}

static void test_signals_reach_the_program(void **state) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Signal m = NONO__SIGNAL__INIT;
        struct world w;

        world_open(&w);
        m.signal = SIGUSR1;
        q.body_case = NONO__REQUEST__BODY_SIGNAL;
        q.signal = &m;
        fake_send(&w.c, &q, NULL, 0);
        assert_int_equal(fake_init_expect(&w.s, CONTROL_SIGNAL).value, SIGUSR1);
        wire_reply_free(fake_expect(&w.c, NONO__REPLY__BODY_OK));
        m.signal = 1000;
        fake_send(&w.c, &q, NULL, 0);
        fake_expect_error(&w.c, NONO__ERROR_CODE__ERROR_PROTOCOL);
        world_close(&w);
}

static void test_a_dead_broker_denies_what_waits_and_the_session_lives_on(void **state) {
        Nono__Reply *r;
        struct world w;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "x", "/home/u/x", OBJECT_FILE, "/home/u/x", "", -1);
        (void)prompt(&w.c, "/home/u/x");
        fd_close(&w.s.fd_broker);
        r = fake_expect_event(&w.c, NONO__EVENT_TYPE__EVENT_DENIED);
        assert_int_equal(r->event->reason, NONO__REASON__REASON_ERROR);
        wire_reply_free(r);
        refused(&w, w.home, 1001);
        fake_init_send(&w.s, CONTROL_EXITED, 0, 0);
        wire_reply_free(fake_expect(&w.c, NONO__REPLY__BODY_EXITED));
        (void)fake_monitor_expect(&w.f, MONITOR_KILL, NULL, NULL);
        world_close(&w);
}

static void broken(const struct broker_message *m, const void *payload, size_t n, size_t n_fds) {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC), fds[4] = { null, null, null, null };
        char data[sizeof(*m) + 256];
        struct world w;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "x", "/home/u/x", OBJECT_FILE, "/home/u/x", "", -1);
        (void)prompt(&w.c, "/home/u/x");
        memcpy(data, m, sizeof(*m));
        memcpy(data + sizeof(*m), payload, n);
        assert_int_equal(fd_send(w.s.fd_broker, data, sizeof(*m) + n, fds, n_fds), 0);
        (void)close(null);
        wire_reply_free(fake_expect_event(&w.c, NONO__EVENT_TYPE__EVENT_DENIED));
        refused(&w, w.home, 1001);
        world_close(&w);
}

static void test_malformed_messages_of_a_broker_end_its_conversation(void **state) {
        struct broker_message m = { .type = BROKER_REQUEST, .token = 5, .node = 1, .kind = OBJECT_DIR };

        m.size = 10;
        broken(&m, "a\0/a\0/a\0\0\0", 10, 1); /* a descriptor is missing */
        broken(&m, "a\0/a\0/a\0\0x", 10, 2);  /* the last string does not end */
        broken(&m, "..\0/\0/a\0\0\0", 10, 2); /* no name of a level */
        broken(&m, "a\0a/\0/a\0\0\0", 10, 2); /* no path */
        m.size = 9;
        broken(&m, "a\0/a\0/a\0\0\0", 10, 2); /* another size than it says */
        m.size = 10;
        m.kind = 77;
        broken(&m, "a\0/a\0/a\0\0\0", 10, 2);
        m.type = 4711;
        broken(&m, "a\0/a\0/a\0\0\0", 10, 0);
        m.type = BROKER_RESOLVE; /* ours to send */
        broken(&m, "a\0/a\0/a\0\0\0", 10, 0);
}

static void test_requests_about_unknown_levels_go_nowhere(void **state) {
        struct world w;

        world_open(&w);
        fake_walk(&w.s, 1, 4000, "x", "/home/u/x", OBJECT_FILE, "/home/u/x", "", -1);
        fake_walk(&w.s, 2, fake_node_id(&w.s, "/home/u/proj"), "x", "/home/u/x", OBJECT_FILE, "/home/u/x", "", -1);
        fake_monitor_expect_silence(&w.f);
        world_close(&w);
}

static void test_stop_asks_the_program_first_and_force_does_not(void **state) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Stop m = NONO__STOP__INIT;
        struct world w;

        world_open(&w);
        m.session = wire_bytes(w.s.session);
        q.body_case = NONO__REQUEST__BODY_STOP;
        q.stop = &m;
        fake_send(&w.c, &q, NULL, 0);
        assert_int_equal(fake_init_expect(&w.s, CONTROL_SIGNAL).value, SIGTERM);
        fake_monitor_expect_silence(&w.f);
        m.force = true;
        fake_send(&w.c, &q, NULL, 0);
        (void)fake_monitor_expect(&w.f, MONITOR_KILL, NULL, NULL);
        world_close(&w);
}

static void test_watchers_see_what_waits_and_may_answer(void **state) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Watch m = NONO__WATCH__INIT;
        struct fake_client watcher, stranger;
        struct monitor_message a;
        struct world w;
        uint64_t id;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "x", "/home/u/x", OBJECT_FILE, "/home/u/x", "", -1);
        id = prompt(&w.c, "/home/u/x");
        m.answers = true;
        q.body_case = NONO__REQUEST__BODY_WATCH;
        q.watch = &m;
        watcher = fake_client(&w.f, UID);
        fake_send(&watcher, &q, NULL, 0);
        assert_int_equal(prompt(&watcher, "/home/u/x"), id);
        stranger = fake_client(&w.f, OTHER);
        fake_send(&stranger, &q, NULL, 0);
        wire_reply_free(fake_expect(&stranger, NONO__REPLY__BODY_OK));
        approve(&watcher, id, NONO__SCOPE__SCOPE_FILE);
        a = attach(&w, VIEW_FILE, "x", w.home);
        reply_ok(&w, &a);
        wire_reply_free(fake_expect_event(&w.c, NONO__EVENT_TYPE__EVENT_APPROVED));
        send_deny(&stranger, id); /* the first thing it hears is the answer to this */
        fake_expect_error(&stranger, NONO__ERROR_CODE__ERROR_NOT_FOUND);
        fake_hang_up(&watcher);
        fake_hang_up(&stranger);
        world_close(&w);
}

static void test_a_session_from_before_a_restart_is_seen_and_stopped_but_gets_nothing(void **state) {
        struct monitor_message m = { .type = MONITOR_ADOPT, .session = 0x70001, .uid = UID, .gid = UID, .pid = 321 };
        struct fake_session s = { .fd_broker = -1, .fd_init = -1 };
        struct fake_client c, watcher;
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__ListSessions list = NONO__LIST_SESSIONS__INIT;
        Nono__ListGrants grants = NONO__LIST_GRANTS__INIT;
        Nono__Grant grant = NONO__GRANT__INIT;
        Nono__Revoke revoke = NONO__REVOKE__INIT;
        Nono__Watch watch = NONO__WATCH__INIT;
        Nono__Stop stop = NONO__STOP__INIT;
        char id[32];
        Nono__Reply *r;
        struct fake f;
        int pair[2];

        fake_start(&f);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        fake_monitor_send(&f, &m, &pair[1], 1);
        (void)close(pair[1]);
        s.fd_init = pair[0];
        c = fake_client(&f, UID);
        watcher = fake_client(&f, UID);
        q.body_case = NONO__REQUEST__BODY_WATCH;
        q.watch = &watch;
        fake_send(&watcher, &q, NULL, 0);
        wire_reply_free(fake_expect(&watcher, NONO__REPLY__BODY_OK));

        q.body_case = NONO__REQUEST__BODY_LIST_SESSIONS;
        q.list_sessions = &list;
        fake_send(&c, &q, NULL, 0);
        r = fake_expect(&c, NONO__REPLY__BODY_SESSIONS);
        assert_int_equal(r->sessions->n_sessions, 1);
        assert_true(wire_is(&r->sessions->sessions[0]->state, "adopted"));
        assert_int_equal(r->sessions->sessions[0]->pid, 321);
        snprintf(id, sizeof(id), "%.*s", (int)r->sessions->sessions[0]->id.len,
                 (const char *)r->sessions->sessions[0]->id.data);
        wire_reply_free(r);

        q.body_case = NONO__REQUEST__BODY_LIST_GRANTS;
        q.list_grants = &grants;
        grants.session = wire_bytes(id);
        fake_send(&c, &q, NULL, 0);
        fake_expect_error(&c, NONO__ERROR_CODE__ERROR_STATE);
        q.body_case = NONO__REQUEST__BODY_GRANT;
        q.grant = &grant;
        grant.session = wire_bytes(id);
        grant.path = wire_bytes("/home/u/other");
        fake_send(&c, &q, NULL, 0);
        fake_expect_error(&c, NONO__ERROR_CODE__ERROR_STATE);
        q.body_case = NONO__REQUEST__BODY_REVOKE;
        q.revoke = &revoke;
        revoke.session = wire_bytes(id);
        revoke.grant = 1;
        fake_send(&c, &q, NULL, 0);
        fake_expect_error(&c, NONO__ERROR_CODE__ERROR_STATE);

        q.body_case = NONO__REQUEST__BODY_STOP;
        q.stop = &stop;
        stop.session = wire_bytes(id);
        fake_send(&c, &q, NULL, 0);
        wire_reply_free(fake_expect(&c, NONO__REPLY__BODY_OK));
        assert_int_equal(fake_init_expect(&s, CONTROL_SIGNAL).value, SIGTERM);
        assert_int_equal(fake_init_expect(&s, CONTROL_SIGNAL).value, SIGCONT);
        stop.force = true;
        fake_send(&c, &q, NULL, 0);
        wire_reply_free(fake_expect(&c, NONO__REPLY__BODY_OK));
        assert_int_equal(fake_monitor_expect(&f, MONITOR_KILL, NULL, NULL).session, 0x70001);
        m = (struct monitor_message){ .type = MONITOR_EXITED, .session = 0x70001 };
        fake_monitor_send(&f, &m, NULL, 0);
        wire_reply_free(fake_expect_event(&watcher, NONO__EVENT_TYPE__EVENT_SESSION_ENDED));
        fd_close(&s.fd_init);
        fake_hang_up(&c);
        fake_hang_up(&watcher);
        fake_stop(&f);
}

static void test_the_service_ends_with_its_monitor(void **state) {
        struct world w;

        world_open(&w);
        fake_walk(&w.s, 1, w.home, "x", "/home/u/x", OBJECT_FILE, "/home/u/x", "", -1);
        (void)prompt(&w.c, "/home/u/x");
        fake_stop(&w.f);
        fake_expect_closed(&w.c);
        fd_close(&w.s.fd_broker);
        fd_close(&w.s.fd_init);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hello_comes_first_and_agrees_on_a_version),
                cmocka_unit_test(test_malformed_frames_end_only_their_connection),
                cmocka_unit_test(test_connections_of_one_user_are_limited),
                cmocka_unit_test(test_a_client_the_monitor_does_not_trust_is_told_and_closed),
                cmocka_unit_test(test_the_static_view_is_what_the_profile_grants),
                cmocka_unit_test(test_the_view_has_a_file_that_says_what_is_allowed),
                cmocka_unit_test(test_a_dry_run_starts_nothing),
                cmocka_unit_test(test_spawns_that_make_no_sense_are_refused_before_the_monitor_hears_of_them),
                cmocka_unit_test(test_a_directory_as_standard_input_is_refused),
                cmocka_unit_test(test_a_client_that_changed_its_user_gets_no_session),
                cmocka_unit_test(test_a_session_the_monitor_refuses_is_told_to_the_client),
                cmocka_unit_test(test_a_view_that_cannot_be_built_fails_with_its_path),
                cmocka_unit_test(test_a_missing_program_and_working_directory_fail_in_words),
                cmocka_unit_test(test_an_approved_directory_is_attached_with_the_waiting_token),
                cmocka_unit_test(test_an_approved_file_is_reached_through_a_level_and_nothing_else),
                cmocka_unit_test(test_one_answer_is_replayed_over_all_that_wait),
                cmocka_unit_test(test_a_refused_request_gets_eacces_and_is_not_asked_again),
                cmocka_unit_test(test_a_denied_path_never_asks),
                cmocka_unit_test(test_a_link_into_something_denied_is_denied),
                cmocka_unit_test(test_a_link_is_planted_when_its_target_may_be_had),
                cmocka_unit_test(test_a_directory_with_something_denied_inside_becomes_a_level),
                cmocka_unit_test(test_devices_and_lies_about_objects_are_refused),
                cmocka_unit_test(test_an_attach_that_fails_refuses_the_walk),
                cmocka_unit_test(test_a_killed_asker_withdraws_its_prompt),
                cmocka_unit_test(test_answers_that_are_too_wide_leave_the_question_waiting),
                cmocka_unit_test(test_only_the_sessions_user_and_root_may_answer),
                cmocka_unit_test(test_a_sealed_session_asks_nobody),
                cmocka_unit_test(test_a_once_approval_ends_with_its_process),
                cmocka_unit_test(test_creating_a_name_asks_and_then_shows_it),
                cmocka_unit_test(test_a_rename_replaces_what_stands),
                cmocka_unit_test(test_creating_something_denied_is_refused_at_once),
                cmocka_unit_test(test_writing_below_a_read_only_grant_widens_it_after_a_yes),
                cmocka_unit_test(test_negative_names_are_planted_only_where_nothing_can_come),
                cmocka_unit_test(test_a_grant_stands_at_once_and_goes_when_revoked),
                cmocka_unit_test(test_the_way_to_a_grant_is_made_so_that_it_is_listed),
                cmocka_unit_test(test_grants_of_what_is_denied_or_missing_are_refused),
                cmocka_unit_test(test_a_rule_of_the_profile_can_be_revoked_too),
                cmocka_unit_test(test_revoke_with_kill_looks_before_and_ends_after_the_detach),
                cmocka_unit_test(test_a_write_grant_switches_what_stands_read_only),
                cmocka_unit_test(test_the_programs_exit_is_told_and_leftovers_are_killed),
                cmocka_unit_test(test_a_program_that_cannot_be_executed_is_said_to_be_so),
                cmocka_unit_test(test_a_vanished_client_hangs_up_its_session_and_then_ends_it),
                cmocka_unit_test(test_signals_reach_the_program),
                cmocka_unit_test(test_a_dead_broker_denies_what_waits_and_the_session_lives_on),
                cmocka_unit_test(test_malformed_messages_of_a_broker_end_its_conversation),
                cmocka_unit_test(test_requests_about_unknown_levels_go_nowhere),
                cmocka_unit_test(test_stop_asks_the_program_first_and_force_does_not),
                cmocka_unit_test(test_watchers_see_what_waits_and_may_answer),
                cmocka_unit_test(test_a_session_from_before_a_restart_is_seen_and_stopped_but_gets_nothing),
                cmocka_unit_test(test_the_service_ends_with_its_monitor),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
