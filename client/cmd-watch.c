/*
 * nonoctl watch — what happens in sessions, as it happens; and with --answer, a place to answer from.
 * Runs as: the user.   Input: events (foreign paths and program names); keys.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client/asker.h"
#include "client/connect.h"
#include "client/event.h"
#include "client/options.h"
#include "client/out.h"
#include "client/sessions.h"
#include "client/tty.h"
#include "client/verbs.h"
#include "common/fd.h"
#include "common/loop.h"

static const char help_watch[] =
        "Usage: nonoctl watch [SESSION] [--json] [--answer]\n"
        "\n"
        "Shows requests, denials and grants of all your sessions, or of one, until you press ^C or the one session ends.\n"
        "\n"
        "      --answer       put requests before you here, and answer them with one key\n"
        "      --json         one JSON object per line\n"
        "      --socket PATH  the daemon's socket\n"
        "  -h, --help         this text\n"
        "\n"
        "Examples:\n"
        "  nonoctl watch\n"
        "  nonoctl watch my-agent --answer\n"
        "  nonoctl watch --json | jq -r 'select(.type == \"denied\").path'\n";

struct watch {
        struct loop *loop;
        struct conn conn;
        struct tty tty;
        struct asker *asker;
        struct loop_source *wire, *keys, *signals[4];
        size_t n_signals;
        const char *session; /* id; NULL: all */
        uint32_t seq;        /* of the Watch message */
        bool json;
};

static void watch_send(struct watch *w, Nono__Request *q) {
        if (conn_send(&w->conn, q, NULL, 0))
                loop_stop(w->loop, 1);
        (void)loop_io_want(w->wire, LOOP_READ | (wire_wants_write(w->conn.wire) ? LOOP_WRITE : 0));
}

static void watch_print(struct watch *w, const Nono__Event *e) {
        _cleanup_free_ char *line = NULL;
        bool lost;

        if (w->json)
                lost = out_json_print(event_json(e), true) < 0;
        else {
                line = event_line(e);
                /* raw while a prompt is being asked: the carriage return is ours to write */
                lost = printf("%s%s\n", line, asker_is_active(w->asker) ? "\r" : "") < 0 || fflush(stdout) != 0;
        }
        if (lost)
                loop_stop(w->loop, 1);
}

/* Return: true when @a is kept. */
static bool watch_event(struct watch *w, Nono__Reply *a) {
        const Nono__Event *e = a->event;

        if (w->asker && e->type != NONO__EVENT_TYPE__EVENT_REQUEST && e->request)
                asker_remove(w->asker, e->request, NULL);
        /* what is printed goes above the block, so take it away for that long */
        if (asker_is_active(w->asker)) {
                asker_set_available(w->asker, false);
                watch_print(w, e);
                asker_set_available(w->asker, true);
        } else
                watch_print(w, e);
        if (e->type == NONO__EVENT_TYPE__EVENT_SESSION_ENDED && w->session && wire_is(&e->session, w->session))
                loop_stop(w->loop, 0);
        if (w->asker && e->type == NONO__EVENT_TYPE__EVENT_REQUEST) {
                asker_add(w->asker, a);
                return true;
        }
        return false;
}

static bool watch_reply(struct watch *w, Nono__Reply *a) {
        if (a->body_case == NONO__REPLY__BODY_EVENT)
                return watch_event(w, a);
        if (a->body_case == NONO__REPLY__BODY_ERROR) {
                asker_set_available(w->asker, false);
                (void)conn_tell(a->error);
                asker_set_available(w->asker, true);
                if (a->seq == w->seq)
                        loop_stop(w->loop, 1);
        }
        return false;
}

static void on_watch(int fd, unsigned ready, void *arg) {
        struct watch *w = arg;
        int r = 0;

        if (ready & LOOP_WRITE)
                (void)wire_flush(w->conn.wire);
        while (r == 0) {
                Nono__Reply *a = NULL;
                int fds[WIRE_FDS_MAX];
                size_t n_fds = 0;

                r = wire_recv_reply(w->conn.wire, &a, fds, &n_fds);
                if (r)
                        break;
                fd_close_many(fds, n_fds);
                if (!watch_reply(w, a))
                        wire_reply_free(a);
        }
        if (r != WIRE_E_AGAIN) {
                asker_set_available(w->asker, false);
                (void)conn_lost(r);
                loop_stop(w->loop, 1);
                return;
        }
        (void)loop_io_want(w->wire, LOOP_READ | (wire_wants_write(w->conn.wire) ? LOOP_WRITE : 0));
}

static void on_watch_key(int fd, unsigned ready, void *arg) {
        struct watch *w = arg;
        unsigned char data[256];
        ssize_t n = read(fd, data, sizeof(data));

        if (n > 0)
                asker_input(w->asker, data, (size_t)n);
        else if (n == 0 || errno != EAGAIN)
                loop_stop(w->loop, 1); /* the terminal is gone */
}

static void on_watch_signal(int signo, void *arg) {
        struct watch *w = arg;

        if (signo == SIGWINCH)
                asker_resized(w->asker);
        else
                loop_stop(w->loop, signo == SIGINT ? 0 : 1);
}

static void watch_answer(const Nono__Event *e, enum prompt_answer a, void *arg) {
        Nono__Approve approve;
        Nono__Request q;
        Nono__Deny deny;

        prompt_request(e, a, &q, &approve, &deny);
        watch_send(arg, &q);
}

/* Keys are read only while a question is on the screen: what is typed otherwise is for the shell. */
static void watch_asker_changed(void *arg) {
        struct watch *w = arg;

        (void)loop_io_want(w->keys, asker_is_active(w->asker) ? LOOP_READ : 0);
}

static int watch_start(struct watch *w, bool answer) {
        static const struct asker_calls calls = { .answer = watch_answer, .changed = watch_asker_changed };
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGWINCH };
        int r;

        r = loop_new(&w->loop);
        if (r)
                return say_errno(r, "event loop");
        r = loop_io(w->loop, wire_fd(w->conn.wire), LOOP_READ, on_watch, w, &w->wire);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(signals); i++) {
                r = loop_signal(w->loop, signals[i], on_watch_signal, w, &w->signals[i]);
                w->n_signals += r == 0;
        }
        if (r == 0 && answer) {
                if (tty_open_controlling(&w->tty))
                        return say_error("--answer needs a terminal");
                tty_guard(&w->tty);
                r = loop_io(w->loop, w->tty.fd, 0, on_watch_key, w, &w->keys);
                if (r == 0)
                        r = asker_new(w->loop, &w->tty, NULL, &calls, w, &w->asker);
        }
        return r ? say_errno(r, "event loop") : 0;
}

static void watch_done(struct watch *w) {
        w->asker = asker_free(w->asker);
        for (size_t i = 0; i < w->n_signals; i++)
                loop_source_free(w->signals[i]);
        loop_source_free(w->keys);
        loop_source_free(w->wire);
        loop_free(w->loop);
        tty_done(&w->tty);
        conn_close(&w->conn);
}

static int watch_run(struct watch *w, bool answer) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Watch watch = NONO__WATCH__INIT;

        watch.session = wire_bytes(w->session);
        watch.answers = answer;
        q.body_case = NONO__REQUEST__BODY_WATCH;
        q.watch = &watch;
        if (watch_start(w, answer))
                return 1;
        watch_send(w, &q);
        w->seq = w->conn.seq;
        return loop_run(w->loop) == 0 ? 0 : 1;
}

int cmd_watch(int argc, char **argv) {
        bool json = false, answer = false;
        const struct option_spec specs[] = { { "json", &json, NULL }, { "answer", &answer, NULL }, { NULL } };
        _cleanup_free_ char *id = NULL;
        struct watch w = { .tty = { .fd = -1 } };
        char **args;
        int n, r;

        r = options_parse(argc, argv, help_watch, specs, 0, 1, &args, &n);
        if (r)
                return options_status(r);
        if (conn_open(&w.conn))
                return 1;
        w.json = json;
        r = n > 0 ? session_resolve(&w.conn, args[0], &id) : 0;
        w.session = id;
        if (r == 0)
                r = watch_run(&w, answer);
        watch_done(&w);
        return r || out_finish() ? 1 : 0;
}
