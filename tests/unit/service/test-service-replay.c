/*
 * Plays scenarios (tests/replay) through the real service: what a session's processes ask, what people answer, how time
 * passes, and what must come of it. One line is one step; see tests/replay/README.md for the words.
 */
#include "tests/unit/service/fake-monitor.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/fd.h"
#include "daemon/service/decide.h"

enum { UID = 1000, SCALE = 100, WORDS = 8 };

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
        "/home/u/.agent.json",
        NULL,
};

/* A hundred times faster than life. */
static const struct decide_limits limits = {
        .attended_us = 600 * UINT64_C(1000000) / SCALE,
        .unattended_us = 10 * UINT64_C(1000000) / SCALE,
        .remember_us = 60 * UINT64_C(1000000) / SCALE,
        .prompts_max = 4,
        .remember_max = 16,
};

struct replay {
        struct fake f;
        struct fake_client c, watcher;
        struct fake_session s;
        const char *file;
        unsigned line;
};

static uint32_t node_of(struct replay *p, const char *path) {
        for (size_t i = 0; i < p->s.n_nodes; i++) {
                char buf[4096];
                const struct monitor_message *m = fake_node(&p->s, path, buf);

                if (m)
                        return m->node;
        }
        fail_msg("%s:%u: no level %s", p->file, p->line, path);
        return 0;
}

static int number(const char *const *list, const char *word) {
        for (int i = 0; list[i]; i++)
                if (strcmp(list[i], word) == 0)
                        return i;
        fail_msg("unknown word '%s'", word);
        return -1;
}

/* Who hears of events: the person at the session, else the one who watches. */
static struct fake_client *listener(struct replay *p) {
        return p->c.wire ? &p->c : &p->watcher;
}

static void reply(struct replay *p, const struct monitor_message *m) {
        struct monitor_message r = { .type = MONITOR_REPLY, .session = p->s.id, .tag = m->tag, .node = m->node };
        int null;

        if (m->kind != VIEW_LEVEL) {
                fake_monitor_send(&p->f, &r, NULL, 0);
                return;
        }
        null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        r.type = MONITOR_LEVEL;
        r.dev = 1000 + m->node;
        fake_monitor_send(&p->f, &r, &null, 1);
        (void)close(null);
        (void)fake_broker_expect(&p->s, BROKER_LEVEL, NULL, 0);
        assert_true(p->s.n_nodes < FAKE_NODES);
        /* nodes are found by their place in the list: fill the gap up to this id */
        while (p->s.n_nodes < m->node)
                p->s.nodes[p->s.n_nodes++] = (struct monitor_message){ .node = 1, .parent = 0 };
        p->s.nodes[m->node - 1] = *m;
}

static void step_walk(struct replay *p, char **w) {
        static const char *const kinds[] = { "missing", "dir", "file", "link", "socket", "fifo", "device", NULL };
        char path[512], parent[512];
        enum object_kind kind = (enum object_kind)number(kinds, w[3]);
        bool link = kind == OBJECT_SYMLINK;
        char *name;

        snprintf(path, sizeof(path), "%s", w[2]);
        name = strrchr(path, '/') + 1;
        snprintf(parent, sizeof(parent), "%.*s", (int)(name - path - 1), path);
        fake_walk(&p->s, strtoul(w[1], NULL, 10), node_of(p, *parent ? parent : "/"), name, w[4] && !link ? w[4] : w[2],
                  kind, link ? w[4] : path, link ? w[4] : "", -1);
}

static void step_asks(struct replay *p, char **w) {
        Nono__Reply *r = fake_expect_event(listener(p), NONO__EVENT_TYPE__EVENT_REQUEST);

        assert_true(wire_is(&r->event->path, w[1]));
        wire_reply_free(r);
}

static uint64_t waiting(struct replay *p, const char *path) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__ListPrompts m = NONO__LIST_PROMPTS__INIT;
        struct fake_client c = fake_client(&p->f, UID);
        uint64_t id = 0;
        Nono__Reply *r;

        q.body_case = NONO__REQUEST__BODY_LIST_PROMPTS;
        q.list_prompts = &m;
        fake_send(&c, &q, NULL, 0);
        r = fake_expect(&c, NONO__REPLY__BODY_PROMPTS);
        for (size_t i = 0; i < r->prompts->n_prompts; i++)
                if (wire_is(&r->prompts->prompts[i]->path, path))
                        id = r->prompts->prompts[i]->request;
        wire_reply_free(r);
        fake_hang_up(&c);
        return id;
}

static void step_answer(struct replay *p, char **w) {
        static const char *const scopes[] = { "default", "file", "folder", "parent", NULL };
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Approve yes = NONO__APPROVE__INIT;
        Nono__Deny no = NONO__DENY__INIT;
        struct fake_client c = fake_client(&p->f, UID);
        bool too_wide = w[2] && w[3] && strcmp(w[3], "refused") == 0;

        yes.request = no.request = waiting(p, w[1]);
        assert_int_not_equal(yes.request, 0);
        if (strcmp(w[0], "approve") == 0) {
                yes.scope = w[2] ? (Nono__Scope)number(scopes, w[2]) : NONO__SCOPE__SCOPE_DEFAULT;
                q.body_case = NONO__REQUEST__BODY_APPROVE;
                q.approve = &yes;
        } else {
                q.body_case = NONO__REQUEST__BODY_DENY;
                q.deny = &no;
        }
        fake_send(&c, &q, NULL, 0);
        if (too_wide)
                fake_expect_error(&c, NONO__ERROR_CODE__ERROR_REFUSED);
        else
                wire_reply_free(fake_expect(&c, NONO__REPLY__BODY_OK));
        fake_hang_up(&c);
}

static void step_attach(struct replay *p, char **w) {
        static const char *const kinds[] = { "none", "level", "dir", "file", "link", NULL };
        struct monitor_message m;

        fake_broker_answer(&p->s);
        m = fake_monitor_expect(&p->f, MONITOR_ATTACH, NULL, NULL);
        m.name[m.name_len] = '\0';
        assert_int_equal(m.kind, number(kinds, w[1]));
        assert_string_equal(m.name, strrchr(w[2], '/') + 1);
        assert_int_equal(m.flags & VIEW_WRITE, w[3] && strcmp(w[3], "rw") == 0 ? VIEW_WRITE : 0);
        reply(p, &m);
}

static void step_refused(struct replay *p, char **w) {
        struct monitor_message m = fake_monitor_expect(&p->f, MONITOR_REFUSE, NULL, NULL);

        assert_int_equal(m.token, strtoul(w[1], NULL, 10) + 1000);
        assert_int_equal(m.error, EACCES);
}

static void step_denied(struct replay *p, char **w) {
        static const char *const reasons[] = { "none",       "rule",  "person",  "timeout", "nobody", "limit",
                                               "remembered", "error", "expired", "sealed",  NULL };
        Nono__Reply *r = fake_expect_event(listener(p), NONO__EVENT_TYPE__EVENT_DENIED);

        assert_true(wire_is(&r->event->path, w[1]));
        assert_int_equal(r->event->reason, number(reasons, w[2]));
        wire_reply_free(r);
}

static void step_wait(struct replay *p, char **w) {
        usleep((useconds_t)(strtoul(w[1], NULL, 10) * 1000000 / SCALE));
}

static void step_silence(struct replay *p, char **w) {
        fake_monitor_expect_silence(&p->f);
}

/* The session goes on without anybody who could answer: only a log is kept. */
static void step_start(struct replay *p, char **w) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Watch watch = NONO__WATCH__INIT;
        Nono__Spawn m;
        Nono__Vars v;

        fake_spawn_init(&m, &v);
        m.can_prompt = strcmp(w[1], "attended") == 0;
        m.sealed = strcmp(w[1], "sealed") == 0;
        p->c = fake_client(&p->f, UID);
        fake_session(&p->f, &p->s, &p->c, UID, &m);
        p->watcher = fake_client(&p->f, UID);
        q.body_case = NONO__REQUEST__BODY_WATCH;
        q.watch = &watch;
        fake_send(&p->watcher, &q, NULL, 0);
        wire_reply_free(fake_expect(&p->watcher, NONO__REPLY__BODY_OK));
}

static const struct {
        const char *word;
        int n; /* words that must follow */
        void (*step)(struct replay *p, char **w);
} steps[] = {
        { "start", 1, step_start },     { "walk", 3, step_walk },     { "asks", 1, step_asks },
        { "approve", 1, step_answer },  { "deny", 1, step_answer },   { "attach", 2, step_attach },
        { "refused", 1, step_refused }, { "denied", 2, step_denied }, { "wait", 1, step_wait },
        { "silence", 0, step_silence },
};

static void step(struct replay *p, char *line) {
        char *w[WORDS + 1] = { NULL }, *save = NULL;
        int n = 0;

        line[strcspn(line, "#\n")] = '\0';
        for (char *word = strtok_r(line, " \t", &save); word && n < WORDS; word = strtok_r(NULL, " \t", &save))
                w[n++] = word;
        if (n == 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(steps); i++)
                if (strcmp(steps[i].word, w[0]) == 0 && n > steps[i].n) {
                        steps[i].step(p, w);
                        return;
                }
        fail_msg("%s:%u: '%s' is not a step", p->file, p->line, w[0]);
}

static void replay(void **state) {
        struct replay p = { .file = *state };
        FILE *file = fopen(p.file, "re");
        char line[1024];

        assert_non_null(file);
        fake_host = host;
        fake_start_with(&p.f, &limits);
        while (fgets(line, sizeof(line), file)) {
                char shown[1024];

                p.line++;
                snprintf(shown, sizeof(shown), "%s", line);
                print_message("%s:%u: %s", p.file, p.line, shown);
                step(&p, line);
        }
        (void)fclose(file);
        fake_session_end(&p.s);
        fake_hang_up(&p.c);
        fake_hang_up(&p.watcher);
        fake_stop(&p.f);
}

int main(int argc, char **argv) {
        int failed = 0;

        for (int i = 1; i < argc; i++) {
                const struct CMUnitTest test[] = { { .name = argv[i], .test_func = replay, .initial_state = argv[i] } };

                failed += cmocka_run_group_tests(test, NULL, NULL);
        }
        return failed;
}
