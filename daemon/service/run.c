/*
 * Everything a session owns hangs off its struct run and is torn down by run_free(), which is called once: when the monitor
 * says that all processes are gone, or when there never were any.
 *
 * Runs as: user nono.   Input: see run.h.
 */
#include "daemon/service/run.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/escape.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/wire.h"
#include "daemon/policy/policy.h"
#include "daemon/service/broker-link.h"
#include "daemon/service/channel.h"
#include "daemon/service/client.h"
#include "daemon/service/grant.h"
#include "daemon/service/monitor-link.h"
#include "daemon/service/request.h"
#include "daemon/service/revoke.h"
#include "daemon/service/spawn.h"
#include "daemon/service/state-file.h"
#include "daemon/service/tree.h"
#include "daemon/target/control.h"

enum { RUN_INIT_QUEUE = 64 * 1024 };

static const unsigned run_moves[] __attribute__((unused)) = {
        /* read by assert(3) only */
        [RUN_NEW] = BIT(RUN_RESOLVING) | BIT(RUN_RUNNING) | BIT(RUN_ENDING),
        [RUN_RESOLVING] = BIT(RUN_BUILDING) | BIT(RUN_ENDING),
        [RUN_BUILDING] = BIT(RUN_STARTING) | BIT(RUN_ENDING),
        [RUN_STARTING] = BIT(RUN_RUNNING) | BIT(RUN_ENDING),
        [RUN_RUNNING] = BIT(RUN_ENDING),
        [RUN_ENDING] = 0,
};

const char *run_state_name(enum run_state state) {
        static const char *const names[] = {
                [RUN_NEW] = "new",           [RUN_RESOLVING] = "resolving", [RUN_BUILDING] = "building",
                [RUN_STARTING] = "starting", [RUN_RUNNING] = "running",     [RUN_ENDING] = "ending",
        };

        return names[state];
}

const char *run_describe(const struct run *r) {
        return r->adopted && r->state == RUN_RUNNING ? "adopted" : run_state_name(r->state);
}

void run_set_state(struct run *r, enum run_state state) {
        assert(run_moves[r->state] & BIT(state));
        log_debug("session %s: %s → %s", r->id, run_state_name(r->state), run_state_name(state));
        r->state = state;
}

static void on_deadline(void *arg);
static void on_timer(void *arg);

static int run_make_id(struct run *r) {
        unsigned char bytes[6];

        if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
                return err_raise(-EIO);
        for (size_t i = 0; i < sizeof(bytes); i++)
                snprintf(r->id + 2 * i, 3, "%02x", bytes[i]);
        return 0;
}

static void run_release(void *arg) {
        struct run *r = arg;

        free(r->name);
        free(r->profile);
        free(r->command);
        free(r->workdir);
        free(r->home);
        free(r);
}

/* Everything but the memory. */
static void run_dismantle(struct run *r) {
        state_file_unlink(r);
        r->sentry = channel_free(r->sentry);
        r->broker = channel_free(r->broker);
        r->init = channel_free(r->init);
        if (r->pending)
                pending_give_up(r->pending, NULL);
        pending_give_up(r->service->pending, r);
        revoke_free_all(r);
        grant_free_all(r);
        while (r->requests)
                request_free(r->requests);
        r->decide = decide_free(r->decide);
        r->pending = pending_free(r->pending);
        r->spawn = spawn_free(r->spawn);
        r->tree = tree_free(r->tree);
        r->plan = policy_plan_free(r->plan);
        r->deadline = loop_source_free(r->deadline);
        r->timer = loop_source_free(r->timer);
        feed_ring_done(&r->recent);
}

static int run_make(struct service *service, uint32_t uid, struct run **ret) {
        struct run *r;
        int e;

        r = calloc(1, sizeof(*r));
        if (!r)
                return err_raise(-ENOMEM);
        r->service = service;
        r->uid = uid;
        r->started_us = loop_realtime_us();
        e = run_make_id(r);
        r->tree = tree_new();
        r->pending = pending_new();
        if (e == 0 && (!r->tree || !r->pending))
                e = -ENOMEM;
        if (e == 0)
                e = decide_new(service->limits, &r->decide);
        if (e == 0)
                e = loop_timer(service->loop, UINT64_MAX, on_deadline, r, &r->deadline);
        if (e == 0)
                e = loop_timer(service->loop, RUN_START_US, on_timer, r, &r->timer);
        if (e) {
                run_dismantle(r);
                run_release(r);
                return err_pass(e);
        }
        r->at = &service->runs;
        r->next = service->runs;
        if (r->next)
                r->next->at = &r->next;
        service->runs = r;
        service->n_runs++;
        *ret = r;
        return 0;
}

int run_new(struct service *service, uint32_t uid, struct run **ret) {
        size_t n = 0;

        for (const struct run *r = service->runs; r; r = r->next)
                n += r->uid == uid;
        if (n >= CORE_RUNS_PER_UID_MAX || service->n_runs >= CORE_RUNS_MAX)
                return RUN_E_QUOTA;
        return run_make(service, uid, ret);
}

/* Charged, but never refused: it runs already, and must be seen and stopped. */
void run_adopt(struct service *service, uint32_t monitor_id, uint32_t uid, uint32_t gid, int32_t pid, int fd) {
        uint64_t most = policy_store_ceiling(service->store).session_max_us;
        struct run *r;

        if (run_make(service, uid, &r) != 0) {
                log_error("a session of user %u cannot be adopted, it goes on unseen", uid);
                fd_close(&fd);
                return;
        }
        r->monitor_id = monitor_id;
        r->gid = gid;
        r->pid = pid;
        r->adopted = r->broker_lost = true;
        r->command = strdup("(from before a restart)");
        run_set_state(r, RUN_RUNNING);
        (void)loop_timer_set(r->timer, most ? most : UINT64_MAX); /* when it began is not known: its time begins anew */
        if (run_take_init(r, fd) != 0)
                log_warning("session %s: its first process cannot be reached, only ended", r->id);
}

static void run_tell_exited(struct run *r, int status) {
        Nono__Reply reply = NONO__REPLY__INIT;
        Nono__Exited exited = NONO__EXITED__INIT;
        struct feed_event e = { .type = NONO__EVENT_TYPE__EVENT_SESSION_ENDED, .command = r->command };

        if (r->exit_told)
                return;
        r->exit_told = true;
        if (WIFSIGNALED(status))
                exited.signal = (uint32_t)WTERMSIG(status);
        else
                exited.code = (uint32_t)WEXITSTATUS(status);
        reply.body_case = NONO__REPLY__BODY_EXITED;
        reply.exited = &exited;
        e.code = exited.code;
        e.signal = exited.signal;
        run_tell(r, &e);
        if (r->client)
                client_reply(r->client, r->client_seq, &reply, NULL, 0);
}

void run_free(struct run *r) {
        struct client *c;

        if (r->state < RUN_STARTING && r->monitor_id)
                run_fail(r, CONTROL_STEP_SETUP, EPIPE, "the session ended before it began", NULL);
        else
                run_tell_exited(r, SIGKILL); /* nobody said otherwise: it was killed */
        c = r->client;
        if (r->state != RUN_ENDING)
                run_set_state(r, RUN_ENDING);
        r->killed = true;
        r->client = NULL;
        if (c)
                client_detach(c);
        *r->at = r->next;
        if (r->next)
                r->next->at = r->at;
        r->service->n_runs--;
        run_dismantle(r);
        loop_defer(r->service->loop, run_release, r);
}

static void on_run_unknown(void *arg) {
        run_free(arg);
}

void run_kill(struct run *r) {
        struct monitor_message m = { .type = MONITOR_KILL };

        if (r->killed)
                return;
        if (!r->monitor_id) {
                /* the monitor has not answered yet; its answer, when it comes, is answered with a kill */
                if (r->state != RUN_ENDING)
                        run_set_state(r, RUN_ENDING);
                return;
        }
        if (r->state != RUN_ENDING)
                run_set_state(r, RUN_ENDING);
        (void)loop_timer_set(r->timer, UINT64_MAX);
        (void)monitor_link_send(r, &m, NULL, 0);
        r->killed = true;
}

void run_signal(struct run *r, int signo) {
        struct control_message m = { .type = CONTROL_SIGNAL, .value = signo };

        /* once told to go, init reads it as soon as the program runs; before, there is nobody to signal yet */
        if (r->init && (r->state == RUN_RUNNING || (r->state == RUN_STARTING && r->spawn_gone)))
                (void)channel_send(r->init, &m, sizeof(m), NULL, 0);
        else if (r->state < RUN_RUNNING)
                r->early_signal = signo;
}

void run_continue(struct run *r) {
        struct control_message m = { .type = CONTROL_CONTINUE };

        if (r->init && r->state == RUN_RUNNING)
                (void)channel_send(r->init, &m, sizeof(m), NULL, 0);
}

void run_stop(struct run *r, bool force) {
        if (force || r->state != RUN_RUNNING) {
                run_kill(r);
                return;
        }
        run_signal(r, SIGTERM);
        run_signal(r, SIGCONT);
        (void)loop_timer_set(r->timer, RUN_STOP_US);
}

void run_hang_up(struct run *r) {
        r->client = NULL;
        run_update_attended(r);
        if (r->state != RUN_RUNNING) {
                run_kill(r);
                return;
        }
        run_signal(r, SIGHUP);
        run_signal(r, SIGCONT);
        (void)loop_timer_set(r->timer, RUN_HANGUP_US);
}

static void on_timer(void *arg) {
        struct run *r = arg;

        if (r->state < RUN_RUNNING)
                run_fail(r, CONTROL_STEP_SETUP, ETIMEDOUT, "starting took too long", "a file system may hang");
        else
                run_kill(r);
}

void run_fail(struct run *r, uint32_t step, int error, const char *message, const char *hint) {
        Nono__Reply reply = NONO__REPLY__INIT;
        Nono__Failed failed = NONO__FAILED__INIT;

        if (r->state == RUN_ENDING)
                return;
        failed.step = step;
        failed.error = (uint32_t)error;
        failed.message = wire_bytes(message);
        failed.hint = wire_bytes(hint ? hint : "");
        reply.body_case = NONO__REPLY__BODY_FAILED;
        reply.failed = &failed;
        log_info("session %s: not started: %s", r->id, message);
        r->exit_told = true;
        if (r->client)
                client_reply(r->client, r->client_seq, &reply, NULL, 0);
        if (r->monitor_id) {
                run_kill(r);
                return;
        }
        /* the monitor knows of nothing; or will, when its answer is still to come: then on_session() ends it */
        run_set_state(r, RUN_ENDING);
        if (!pending_has(r->service->pending, r))
                loop_defer(r->service->loop, on_run_unknown, r);
}

void run_lose_broker(struct run *r) {
        if (r->broker_lost)
                return;
        r->broker_lost = true;
        r->broker = channel_free(r->broker);
        pending_give_up(r->pending, NULL);
        if (r->state < RUN_RUNNING) {
                run_fail(r, CONTROL_STEP_SETUP, EPIPE, "the session's broker is gone", NULL);
                return;
        }
        if (r->state == RUN_RUNNING)
                log_warning("session %s: its broker is gone, it gets nothing more", r->id);
        while (decide_first(r->decide))
                request_deny_prompt(r, decide_first(r->decide), NONO__REASON__REASON_ERROR);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

void run_tell(struct run *r, struct feed_event *e) {
        struct service *s = r->service;

        e->seq = ++s->last_event;
        e->time_us = loop_realtime_us();
        e->session = r->id;
        e->profile = r->profile;
        feed_ring_add(&r->recent, e);
        for (struct client *c = s->clients, *next; c; c = next) {
                next = c->next;
                if (client_watches(c, r) || (c == r->client && r->can_prompt))
                        client_event(c, e);
        }
}

void run_tell_denied(struct run *r, struct feed_event *e) {
        if (feed_rate_pass(&r->rate, loop_now_us(), &e->count))
                run_tell(r, e);
}

void run_update_attended(struct run *r) {
        bool attended = false;

        for (struct client *c = r->service->clients; c && !attended; c = c->next)
                attended = client_can_answer(c, r);
        if (attended == r->attended)
                return;
        r->attended = attended;
        decide_set_attended(r->decide, attended, loop_now_us());
        run_arm_deadline(r);
}

void run_arm_deadline(struct run *r) {
        uint64_t at, now = loop_now_us();

        if (!r->decide)
                return;
        at = decide_deadline(r->decide);
        (void)loop_timer_set(r->deadline, at == UINT64_MAX ? UINT64_MAX : at > now ? at - now : 0);
}

static void on_deadline(void *arg) {
        struct run *r = arg;
        Nono__Reason reason = NONO__REASON__REASON_NONE;
        struct prompt *p;

        while ((p = decide_overdue(r->decide, loop_now_us(), &reason)))
                request_deny_prompt(r, p, reason);
        run_arm_deadline(r);
}

/* --- finding ------------------------------------------------------------------------------------------------------ */

struct run *run_find(struct service *service, uint32_t uid, const char *text) {
        struct run *found = NULL;
        size_t n = strlen(text);

        for (struct run *r = service->runs; r; r = r->next) {
                if (uid != 0 && r->uid != uid)
                        continue;
                if (strcmp(r->id, text) == 0)
                        return r;
                if ((n >= 4 && strncmp(r->id, text, n) == 0) || (r->name && *r->name && strcmp(r->name, text) == 0)) {
                        if (found)
                                return NULL;
                        found = r;
                }
        }
        return found;
}

struct run *run_by_monitor_id(struct service *service, uint32_t id) {
        for (struct run *r = service->runs; r && id; r = r->next)
                if (r->monitor_id == id)
                        return r;
        return NULL;
}

/* --- init --------------------------------------------------------------------------------------------------------- */

static void run_forward_tty(struct run *r, int fd) {
        Nono__Reply reply = NONO__REPLY__INIT;
        Nono__Tty tty = NONO__TTY__INIT;

        reply.body_case = NONO__REPLY__BODY_TTY;
        reply.tty = &tty;
        if (r->client)
                client_reply(r->client, r->client_seq, &reply, &fd, 1);
}

static void run_started(struct run *r) {
        Nono__Reply reply = NONO__REPLY__INIT;
        Nono__Started started = NONO__STARTED__INIT;
        struct feed_event e = { .type = NONO__EVENT_TYPE__EVENT_SESSION_STARTED,
                                .command = r->command,
                                .path = r->workdir,
                                .pid = r->pid };
        uint64_t most = policy_store_ceiling(r->service->store).session_max_us;

        run_set_state(r, RUN_RUNNING);
        (void)loop_timer_set(r->timer, most ? most : UINT64_MAX);
        r->spawn = spawn_free(r->spawn);
        reply.body_case = NONO__REPLY__BODY_STARTED;
        reply.started = &started;
        if (r->client)
                client_reply(r->client, r->client_seq, &reply, NULL, 0);
        run_tell(r, &e);
}

static void run_not_started(struct run *r, const struct control_message *m) {
        char command[256], message[512];
        const char *what = strerror(m->value > 0 && m->value < 4096 ? m->value : EIO), *hint = NULL;

        escape_str(r->command ? r->command : "", command, sizeof(command));
        switch (m->step) {
        case CONTROL_STEP_CHDIR:
                escape_str(r->workdir, command, sizeof(command));
                snprintf(message, sizeof(message), "%s: cannot be entered: %s", command, what);
                hint = "grant it: --allow-cwd, or --read DIR";
                break;
        case CONTROL_STEP_EXEC:
                if (m->value == ENOENT) {
                        snprintf(message, sizeof(message), "%s: not found in the session", command);
                        hint = "the program, its interpreter, or a library may lie outside the grants";
                } else if (m->value == EACCES) {
                        snprintf(message, sizeof(message), "%s: not executable, or refused", command);
                } else
                        snprintf(message, sizeof(message), "%s: %s", command, what);
                break;
        default:
                snprintf(message, sizeof(message), "the session cannot be set up: %s", what);
                break;
        }
        run_fail(r, m->step, m->value > 0 ? m->value : EIO, message, hint);
}

static void run_stopped(struct run *r, int signo) {
        Nono__Reply reply = NONO__REPLY__INIT;
        Nono__Stopped stopped = NONO__STOPPED__INIT;

        stopped.signal = (uint32_t)signo;
        reply.body_case = NONO__REPLY__BODY_STOPPED;
        reply.stopped = &stopped;
        if (r->client)
                client_reply(r->client, r->client_seq, &reply, NULL, 0);
}

static void on_init_message(void *arg, const void *data, size_t n, int *fds, size_t n_fds) {
        struct run *r = arg;
        struct control_message m;

        if (n != sizeof(m) || r->state == RUN_ENDING)
                return;
        memcpy(&m, data, sizeof(m));
        switch (m.type) {
        case CONTROL_NOTIFIER:
                if (n_fds == 1)
                        spawn_notifier(r, steal_fd(&fds[0]));
                break;
        case CONTROL_TTY:
                if (n_fds == 1 && r->state < RUN_RUNNING)
                        run_forward_tty(r, fds[0]);
                break;
        case CONTROL_STARTED:
                if (r->state == RUN_STARTING && r->spawn && r->spawn_gone)
                        run_started(r);
                break;
        case CONTROL_FAILED:
                if (r->state < RUN_RUNNING)
                        run_not_started(r, &m);
                break;
        case CONTROL_STOPPED:
                if (r->state == RUN_RUNNING && m.value > 0 && m.value < NSIG)
                        run_stopped(r, m.value);
                break;
        case CONTROL_EXITED:
                /* a program that ends at once may be reaped before init saw that it had started */
                if (r->state == RUN_STARTING && r->spawn && r->spawn_gone)
                        run_started(r);
                if (r->state == RUN_RUNNING) {
                        run_tell_exited(r, m.value);
                        run_kill(r); /* what it left behind goes with it */
                }
                break;
        default:
                break;
        }
}

/* It ends with its last message, or was killed: MONITOR_EXITED follows either way, once the program is gone. */
static void on_init_closed(void *arg) {
        struct run *r = arg;

        r->init = channel_free(r->init);
        if (r->state < RUN_RUNNING && r->monitor_id)
                run_fail(r, CONTROL_STEP_SETUP, EPIPE, "the session's first process is gone", NULL);
        else
                run_kill(r);
}

int run_take_init(struct run *r, int fd) {
        int e = channel_new(r->service->loop, fd, NULL, RUN_INIT_QUEUE, on_init_message, on_init_closed, r, &r->init);

        if (e) {
                fd_close(&fd);
                return err_pass(e);
        }
        return 0;
}
