#include "tests/unit/service/fake-monitor.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "daemon/service/serve.h"
#include "daemon/service/service.h"

enum { FAKE_PATIENCE_MS = 5000, FAKE_SILENCE_MS = 100 };

const char *const *fake_host;

static void write_policy(const char *dir, const char *name, const char *text) {
        char path[256];
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void make_policy(struct fake *f) {
        char path[128];

        snprintf(f->dir, sizeof(f->dir), "/tmp/nono-test-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        snprintf(path, sizeof(path), "%s/groups", f->dir);
        assert_int_equal(mkdir(path, 0755), 0);
        snprintf(path, sizeof(path), "%s/profiles", f->dir);
        assert_int_equal(mkdir(path, 0755), 0);
        snprintf(path, sizeof(path), "%s/state", f->dir);
        assert_int_equal(mkdir(path, 0700), 0);
        write_policy(f->dir, "state/session-0", "left by one that was killed");
        write_policy(f->dir, "groups/system.json",
                     "{ \"allow\": { \"read\": [\"/usr\"], \"readwrite\": [\"/tmp\"] } }");
        write_policy(f->dir, "groups/secrets.json",
                     "{ \"required\": true, \"deny\": { \"access\": [\"~/.ssh\", \"~/work/.env\"] } }");
        write_policy(f->dir, "profiles/default.json", "{ \"groups\": { \"include\": [\"system\"] } }");
        write_policy(
                f->dir, "profiles/agent.json",
                "{ \"extends\": \"default\", \"binary\": \"agent\", \"workdir\": { \"access\": \"readwrite\" },"
                " \"network\": { \"open_port\": [8080] },"
                " \"filesystem\": { \"allow\": [\"~/.agent\"], \"read\": [\"~/docs\"], \"allow_file\": [\"~/.agent.json\"] } }");
}

static void remove_policy(const struct fake *f) {
        static const char *const names[] = { "groups/system.json",
                                             "groups/secrets.json",
                                             "profiles/default.json",
                                             "profiles/agent.json",
                                             "groups",
                                             "profiles",
                                             "state",
                                             "." };
        char path[256];

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
                assert_int_equal(i < 4 ? unlink(path) : i < 7 ? rmdir(path) : rmdir(f->dir), 0); /* nothing is left */
        }
}

void fake_start(struct fake *f) {
        fake_start_with(f, NULL);
}

void fake_start_with(struct fake *f, const struct decide_limits *limits) {
        int pair[2];

        make_policy(f);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        f->pid = fork();
        assert_true(f->pid >= 0);
        if (f->pid == 0) {
                const char *const dirs[] = { f->dir, NULL };
                struct service_options o = { .fd_monitor = pair[1], .policy_dirs = dirs };
                char state[128];

                (void)close(pair[0]);
                snprintf(state, sizeof(state), "%s/state", f->dir);
                o.fd_state = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                log_init("service", LOG_LEVEL_ERROR);
                exit(serve(&o, false, limits)); /* not _exit(): leaks are reported */
        }
        (void)close(pair[1]);
        f->fd_monitor = pair[0];
        f->inbox.reader = (struct pack_reader){ 0 };
}

void fake_stop(struct fake *f) {
        int status = 0;

        fd_close(&f->fd_monitor);
        assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
        remove_policy(f);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- monitor ------------------------------------------------------------------------------------------------------ */

static bool readable(int fd, int ms) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return poll(&p, 1, ms) == 1;
}

void fake_monitor_send(struct fake *f, struct monitor_message *m, const int *fds, size_t n_fds) {
        assert_int_equal(fd_send(f->fd_monitor, m, sizeof(*m), fds, n_fds), 0);
}

/* The next record. Return: false when none comes in time, or the other end is closed. */
static bool take(int fd, struct fake_inbox *in, const struct pack_format *f, int ms, void *ret, size_t cap,
                 size_t *ret_n, int *fds, size_t *n_fds) {
        const void *record;
        int *own, r;

        r = pack_next(&in->reader, f, &record, ret_n, &own, n_fds);
        if (r == PACK_E_END) {
                size_t n = 0, m = 0;

                if (!readable(fd, ms) || fd_recv(fd, in->data, sizeof(in->data), &n, in->fds, PACK_FDS_MAX, &m) != 0)
                        return false;
                in->reader = (struct pack_reader){ .data = in->data, .n = n, .fds = in->fds, .n_fds = m };
                r = pack_next(&in->reader, f, &record, ret_n, &own, n_fds);
        }
        assert_int_equal(r, 0);
        assert_true(*ret_n <= cap && *n_fds <= FAKE_FDS);
        memcpy(ret, record, *ret_n);
        if (*n_fds)
                memcpy(fds, own, *n_fds * sizeof(int));
        return true;
}

static bool monitor_take(struct fake *f, int ms, struct monitor_message *m, int *fds, size_t *n_fds) {
        size_t n;

        return take(f->fd_monitor, &f->inbox, &monitor_format, ms, m, sizeof(*m), &n, fds, n_fds);
}

struct monitor_message fake_monitor_expect(struct fake *f, uint32_t type, int *fds, size_t *n_fds) {
        struct monitor_message m;
        int got[FAKE_FDS];
        size_t n_got = 0;

        assert_true(monitor_take(f, FAKE_PATIENCE_MS, &m, got, &n_got));
        assert_int_equal(m.type, type);
        if (fds) {
                memcpy(fds, got, n_got * sizeof(int));
                *n_fds = n_got;
        } else
                fd_close_many(got, n_got);
        return m;
}

void fake_monitor_expect_silence(struct fake *f) {
        struct monitor_message m;
        int fds[FAKE_FDS];
        size_t n_fds;

        if (monitor_take(f, FAKE_SILENCE_MS, &m, fds, &n_fds))
                fail_msg("monitor: message %u", m.type);
}

/* --- clients ------------------------------------------------------------------------------------------------------ */

struct fake_client fake_connect(struct fake *f, uint32_t uid) {
        struct monitor_message m = { .type = MONITOR_CLIENT, .uid = uid, .gid = uid, .pid = 4711 };
        struct fake_client c = { .fake = f };
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        fake_monitor_send(f, &m, &pair[1], 1);
        (void)close(pair[1]);
        assert_int_equal(wire_new(pair[0], false, &c.wire), 0);
        return c;
}

void fake_hang_up(struct fake_client *c) {
        c->wire = wire_free(c->wire);
}

void fake_send(struct fake_client *c, Nono__Request *q, const int *fds, size_t n_fds) {
        q->seq = ++c->seq;
        assert_int_equal(wire_send_request(c->wire, q, fds, n_fds), 0);
        while (wire_wants_write(c->wire))
                assert_true(wire_flush(c->wire) <= WIRE_E_AGAIN);
}

Nono__Reply *fake_receive(struct fake_client *c) {
        for (;;) {
                int fds[WIRE_FDS_MAX];
                Nono__Reply *reply = NULL;
                size_t n_fds = 0;
                int r = wire_recv_reply(c->wire, &reply, fds, &n_fds);

                if (r == 0) {
                        fd_close_many(fds, n_fds);
                        return reply;
                }
                if (r != WIRE_E_AGAIN)
                        return NULL;
                assert_true(readable(wire_fd(c->wire), FAKE_PATIENCE_MS));
        }
}

Nono__Reply *fake_expect(struct fake_client *c, Nono__Reply__BodyCase body) {
        for (;;) {
                Nono__Reply *reply = fake_receive(c);

                assert_non_null(reply);
                if (reply->body_case == body)
                        return reply;
                if (reply->body_case == NONO__REPLY__BODY_ERROR)
                        print_message("error: %.*s\n", (int)reply->error->message.len, reply->error->message.data);
                if (reply->body_case == NONO__REPLY__BODY_FAILED)
                        print_message("failed: %.*s\n", (int)reply->failed->message.len, reply->failed->message.data);
                assert_int_equal(reply->body_case, NONO__REPLY__BODY_EVENT);
                wire_reply_free(reply);
        }
}

Nono__Reply *fake_expect_event(struct fake_client *c, Nono__EventType type) {
        for (;;) {
                Nono__Reply *reply = fake_receive(c);

                assert_non_null(reply);
                if (reply->body_case == NONO__REPLY__BODY_EVENT && reply->event->type == type)
                        return reply;
                wire_reply_free(reply);
        }
}

void fake_expect_error(struct fake_client *c, Nono__ErrorCode code) {
        Nono__Reply *reply = fake_expect(c, NONO__REPLY__BODY_ERROR);

        assert_int_equal(reply->error->code, code);
        assert_true(reply->error->message.len > 0);
        wire_reply_free(reply);
}

void fake_expect_closed(struct fake_client *c) {
        for (Nono__Reply *reply; (reply = fake_receive(c));)
                wire_reply_free(reply);
        fake_hang_up(c);
}

struct fake_client fake_client(struct fake *f, uint32_t uid) {
        struct fake_client c = fake_connect(f, uid);
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Hello hello = NONO__HELLO__INIT;

        hello.version_min = hello.version_max = WIRE_VERSION;
        q.body_case = NONO__REQUEST__BODY_HELLO;
        q.hello = &hello;
        fake_send(&c, &q, NULL, 0);
        wire_reply_free(fake_expect(&c, NONO__REPLY__BODY_HELLO));
        return c;
}

/* --- a session ---------------------------------------------------------------------------------------------------- */

int fake_spec(unsigned tty_mask) {
        static const char text[] = "/usr/bin/true\0/home/u/proj\0true\0PATH=/usr/bin";
        struct exec_spec h = { .magic = EXEC_SPEC_MAGIC,
                               .size = sizeof(h) + sizeof(text),
                               .n_argv = 1,
                               .n_env = 1,
                               .tty_mask = tty_mask };
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        assert_int_equal(write(fd, &h, sizeof(h)), sizeof(h));
        assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
        return fd;
}

void fake_spawn_init(Nono__Spawn *m, Nono__Vars *v) {
        nono__spawn__init(m);
        nono__vars__init(v);
        v->home = wire_bytes("/home/u");
        m->vars = v;
        m->workdir = wire_bytes("/home/u/proj");
        m->profile = wire_bytes("agent");
        m->umask = 022;
        m->can_prompt = true;
}

void fake_send_spawn(struct fake_client *c, const Nono__Spawn *m) {
        Nono__Request q = NONO__REQUEST__INIT;
        int null = open("/dev/null", O_RDWR | O_CLOEXEC), fds[4] = { fake_spec(0), null, null, null };

        q.body_case = NONO__REQUEST__BODY_SPAWN;
        q.spawn = (Nono__Spawn *)m;
        fake_send(c, &q, fds, 4);
        (void)close(fds[0]);
        (void)close(null);
}

void fake_session_begin(struct fake *f, struct fake_session *s, uint32_t uid) {
        static uint32_t last;
        struct monitor_message m = fake_monitor_expect(f, MONITOR_SESSION, NULL, NULL);
        struct monitor_message ok = { .type = MONITOR_SESSION_OK, .tag = m.tag, .uid = uid, .gid = uid, .pid = 4711 };
        int broker[2], control[2];

        memset(s, 0, sizeof(*s));
        s->fake = f;
        s->id = ok.session = 0x10000U + ++last;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, broker), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
        fake_monitor_send(f, &ok, (int[]){ broker[1], control[1] }, 2);
        (void)close(broker[1]);
        (void)close(control[1]);
        s->fd_broker = broker[0];
        s->fd_init = control[0];
}

void fake_broker_send(struct fake_session *s, struct broker_message *m, const char *const *texts, size_t n_texts,
                      const int *fds, size_t n_fds) {
        char data[sizeof(*m) + BROKER_PAYLOAD_MAX];
        size_t n = sizeof(*m);

        for (size_t i = 0; i < n_texts; i++) {
                memcpy(data + n, texts[i], strlen(texts[i]) + 1);
                n += strlen(texts[i]) + 1;
        }
        m->size = (uint32_t)(n - sizeof(*m));
        memcpy(data, m, sizeof(*m));
        assert_int_equal(fd_send(s->fd_broker, data, n, fds, n_fds), 0);
}

static int object_fd(enum object_kind kind) {
        int fd = kind == OBJECT_DIR       ? open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC)
                 : kind == OBJECT_SYMLINK ? open("/proc/self", O_PATH | O_NOFOLLOW | O_CLOEXEC)
                                          : memfd_create("object", MFD_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

/* Looks @path up in fake_host, following its links. */
static enum object_kind host_find(const char *path, char *canonical, char *link, char *target) {
        snprintf(canonical, 256, "%s", path);
        link[0] = '\0';
        for (const char *const *h = fake_host; *h; h++) {
                size_t n = strlen(path);
                const char *arrow = strstr(*h, " -> ");

                if (arrow && (size_t)(arrow - *h) == n && strncmp(*h, path, n) == 0) {
                        char unused[2][256];
                        enum object_kind kind = host_find(arrow + 4, canonical, unused[0], unused[1]);

                        snprintf(link, 256, "%s", path);
                        snprintf(target, 256, "%s", arrow + 4);
                        return kind;
                }
                if (strncmp(*h, path, n) == 0 && strcmp(*h + n, "/") == 0)
                        return OBJECT_DIR;
                if (strcmp(*h, path) == 0)
                        return OBJECT_FILE;
        }
        return OBJECT_MISSING;
}

static void answer_resolve(struct fake_session *s, uint64_t tag, const char *path) {
        struct broker_message m = { .type = BROKER_RESOLVED, .tag = tag };
        char canonical[256], link[256], target[256];
        const char *texts[] = { canonical, link, target };
        int fd = -1;

        m.kind = host_find(path, canonical, link, target);
        if (m.kind == OBJECT_MISSING)
                m.error = ENOENT;
        else
                fd = object_fd((enum object_kind)m.kind);
        fake_broker_send(s, &m, texts, link[0] ? 3 : 1, &fd, fd >= 0 ? 1 : 0);
        fd_close(&fd);
}

/* @text: 4096 bytes, the first string. */
static bool broker_take(struct fake_session *s, int ms, struct broker_message *m, char *text) {
        char data[sizeof(*m) + BROKER_PAYLOAD_MAX];
        int fds[FAKE_FDS];
        size_t n, n_fds = 0;

        if (!take(s->fd_broker, &s->inbox, &broker_format, ms, data, sizeof(data), &n, fds, &n_fds))
                return false;
        fd_close_many(fds, n_fds);
        memcpy(m, data, sizeof(*m));
        assert_int_equal(m->size, n - sizeof(*m));
        snprintf(text, 4096, "%.4095s", m->size ? data + sizeof(*m) : "");
        return true;
}

struct broker_message fake_broker_expect(struct fake_session *s, uint32_t type, char *text, size_t cap) {
        char path[4096];

        for (;;) {
                struct broker_message m;

                assert_true(broker_take(s, FAKE_PATIENCE_MS, &m, path));
                if (m.type == type) {
                        if (text)
                                snprintf(text, cap, "%s", path);
                        return m;
                }
                if (m.type == BROKER_RESOLVE)
                        answer_resolve(s, m.tag, path);
                else if (m.type == BROKER_PORT)
                        s->n_ports++;
                else if (m.type != BROKER_GRANT && m.type != BROKER_UNGRANT && m.type != BROKER_ANSWERED)
                        fail_msg("broker: message %u instead of %u", m.type, type);
        }
}

void fake_broker_expect_resolve(struct fake_session *s, const char *path) {
        char text[4096];
        struct broker_message m = fake_broker_expect(s, BROKER_RESOLVE, text, sizeof(text));

        assert_string_equal(text, path);
        answer_resolve(s, m.tag, text);
}

void fake_broker_answer(struct fake_session *s) {
        struct broker_message m;
        char path[4096];

        while (broker_take(s, 20, &m, path))
                if (m.type == BROKER_RESOLVE)
                        answer_resolve(s, m.tag, path);
}

void fake_session_resolve(struct fake_session *s) {
        struct broker_message m;
        char path[4096];

        while (broker_take(s, FAKE_SILENCE_MS, &m, path))
                if (m.type == BROKER_RESOLVE)
                        answer_resolve(s, m.tag, path);
}

void fake_session_build(struct fake_session *s) {
        char path[4096];

        for (;;) {
                struct monitor_message m;
                struct broker_message b;
                int fds[FAKE_FDS];
                size_t n_fds = 0;

                if (broker_take(s, 0, &b, path)) {
                        if (b.type == BROKER_RESOLVE)
                                answer_resolve(s, b.tag, path);
                        continue;
                }
                if (!monitor_take(s->fake, 10, &m, fds, &n_fds))
                        continue;
                fd_close_many(fds, n_fds);
                if (m.type == MONITOR_NODE) {
                        assert_true(s->n_nodes < FAKE_NODES);
                        assert_int_equal(n_fds, m.kind == VIEW_DIR || m.kind == VIEW_FILE ? 1 : 0);
                        s->nodes[s->n_nodes++] = m;
                        continue;
                }
                assert_int_equal(m.type, MONITOR_START);
                s->start = m;
                return;
        }
}

void fake_session_run(struct fake_session *s, struct fake_client *c) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        struct monitor_message started = { .type = MONITOR_STARTED, .session = s->id, .tag = s->start.tag, .pid = 99 };
        struct control_message notifier = { .type = CONTROL_NOTIFIER };
        Nono__Reply *reply;

        for (size_t i = 0; i < s->n_nodes; i++) {
                struct monitor_message level = { .type = MONITOR_LEVEL,
                                                 .session = s->id,
                                                 .tag = s->start.tag,
                                                 .node = s->nodes[i].node,
                                                 .dev = s->nodes[i].node + 100 };

                if (s->nodes[i].kind == VIEW_LEVEL)
                        fake_monitor_send(s->fake, &level, &null, 1);
        }
        assert_int_equal(fd_send(s->fd_init, &notifier, sizeof(notifier), &null, 1), 0);
        fake_monitor_send(s->fake, &started, NULL, 0);
        (void)close(null);
        reply = fake_expect(c, NONO__REPLY__BODY_SPAWNED);
        snprintf(s->session, sizeof(s->session), "%.*s", (int)reply->spawned->session.len,
                 reply->spawned->session.data);
        wire_reply_free(reply);
        for (size_t i = 0; i < s->n_nodes; i++)
                if (s->nodes[i].kind == VIEW_LEVEL)
                        (void)fake_broker_expect(s, BROKER_LEVEL, NULL, 0);
        (void)fake_broker_expect(s, BROKER_NOTIFIER, NULL, 0);
        (void)fake_init_expect(s, CONTROL_GO);
        fake_init_send(s, CONTROL_STARTED, 0, 0);
        wire_reply_free(fake_expect(c, NONO__REPLY__BODY_STARTED));
}

void fake_session(struct fake *f, struct fake_session *s, struct fake_client *c, uint32_t uid, const Nono__Spawn *m) {
        fake_send_spawn(c, m);
        fake_session_begin(f, s, uid);
        fake_session_build(s);
        fake_session_run(s, c);
}

void fake_session_end(struct fake_session *s) {
        struct monitor_message m = { .type = MONITOR_EXITED, .session = s->id };

        fake_monitor_send(s->fake, &m, NULL, 0);
        fd_close(&s->fd_broker);
        fd_close(&s->fd_init);
}

const struct monitor_message *fake_node(const struct fake_session *s, const char *path, char *buf) {
        for (size_t i = 0; i < s->n_nodes; i++) {
                const struct monitor_message *m = &s->nodes[i];
                char text[4096];

                /* builds the path upwards */
                snprintf(buf, 4096, "%s", m->node == 1 ? "" : m->flags & VIEW_INSIDE ? m->target : m->name);
                for (const struct monitor_message *up = m; up->parent > 1;) {
                        up = &s->nodes[up->parent - 1];
                        snprintf(text, sizeof(text), "%.255s/%.3000s", up->flags & VIEW_INSIDE ? up->target : up->name,
                                 buf);
                        snprintf(buf, 4096, "%s", text);
                }
                if (strcmp(buf, path + 1) == 0)
                        return m;
        }
        return NULL;
}

uint32_t fake_node_id(const struct fake_session *s, const char *path) {
        char buf[4096];
        const struct monitor_message *m = fake_node(s, path, buf);

        assert_non_null(m);
        return m->node;
}

void fake_walk(struct fake_session *s, uint64_t tag, uint32_t level, const char *name, const char *full,
               enum object_kind kind, const char *canonical, const char *target, int pidfd) {
        struct broker_message m = { .type = BROKER_REQUEST,
                                    .tag = tag,
                                    .token = (uint32_t)tag + 1000,
                                    .node = level,
                                    .kind = kind,
                                    .operation = OPERATION_READ,
                                    .access = 1,
                                    .pid = 77 };
        const char *texts[] = { name, full, canonical, target,
                                "agent\x1f"
                                "bash" };
        int fds[2] = { object_fd(kind), pidfd >= 0 ? dup(pidfd) : (int)syscall(SYS_pidfd_open, getpid(), 0) };

        fake_broker_send(s, &m, texts, ELEMENTSOF(texts), fds, 2);
        fd_close_many(fds, 2);
}

void fake_change(struct fake_session *s, uint64_t tag, enum operation operation, uint32_t node, uint32_t flags,
                 const char *path, const char *second) {
        struct broker_message m = { .type = BROKER_CHANGE,
                                    .tag = tag,
                                    .node = node,
                                    .operation = operation,
                                    .access = 2,
                                    .flags = flags,
                                    .pid = 77 };
        const char *texts[] = { path, second, "agent" };
        int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

        fake_broker_send(s, &m, texts, ELEMENTSOF(texts), &fd, 1);
        (void)close(fd);
}

void fake_init_send(struct fake_session *s, uint32_t type, int32_t value, uint32_t step) {
        struct control_message m = { .type = type, .value = value, .step = step };

        assert_int_equal(fd_send(s->fd_init, &m, sizeof(m), NULL, 0), 0);
}

struct control_message fake_init_expect(struct fake_session *s, uint32_t type) {
        struct control_message m;
        int fds[FAKE_FDS];
        size_t n, n_fds;

        assert_true(readable(s->fd_init, FAKE_PATIENCE_MS));
        assert_int_equal(fd_recv(s->fd_init, &m, sizeof(m), &n, fds, FAKE_FDS, &n_fds), 0);
        assert_int_equal(n, sizeof(m));
        assert_int_equal(m.type, type);
        return m;
}
