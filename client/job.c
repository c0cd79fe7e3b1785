/*
 * The session as a job of the person's shell. Modes of the terminal:
 *
 *      ATTACHED    raw: every key goes to the session's pty, which makes ^C and ^Z of it inside
 *      LAZY        in a pipeline: cooked, lines are passed on while no other program has taken the terminal; ATTACHED as
 *                  long as the program inside wants single keys or hides what is typed
 *      BACKGROUND  hands off: only output
 *
 * When the program inside is stopped we give the terminal back and stop as the shell's job; SIGCONT brings both back.
 *
 * Runs as: the user.   Input: see job.h. Output bytes go to the terminal as they are: that is what a terminal is for.
 */
#include "client/job.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client/asker.h"
#include "client/connect.h"
#include "client/event.h"
#include "client/out.h"
#include "client/say.h"
#include "client/screen.h"
#include "client/tty.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/loop.h"
#include "daemon/target/control.h"

enum {
        JOB_POLL_US = 200 * 1000,          /* background and pipelines: has the terminal changed hands? */
        JOB_DRAIN_US = 1000 * 1000,        /* output after the end */
        JOB_HANGUP_US = 5 * 1000 * 1000,   /* a session whose terminal is gone may still clean up */
        JOB_JIGGLE_US = 60 * 1000,         /* between two sizes, so that a program sees both */
        JOB_DENIED_MAX = 10,
};

enum job_mode { JOB_BACKGROUND, JOB_LAZY, JOB_ATTACHED };

struct relay {
        char data[16 * 1024];
        size_t at, n; /* bytes [at, n) still have to be written */
};

struct denied {
        char *line;
        unsigned count;
};

struct job {
        struct loop *loop;
        struct conn *conn;
        struct tty *tty;
        struct job_options options;
        uint32_t seq; /* of the Spawn message */
        struct loop_source *wire, *keys, *output, *poll, *drain, *jiggle, *signals[10];
        size_t n_signals;
        int fd_master;
        struct relay in, out; /* keys to the session; output to the terminal */
        struct screen screen;
        struct asker *asker;
        enum job_mode mode;
        bool inherited, told_waiting, ended, hung_up;
        int status; /* once ended */
        bool mid_line; /* the program's last output was no newline */
        char *session;
        char *failure; /* to be told once the terminal is back */
        char *hint;
        struct denied denied[JOB_DENIED_MAX];
        size_t n_denied, n_denied_more;
};

static void job_update(struct job *j);

static void job_end(struct job *j, int status) {
        loop_stop(j->loop, status);
}

static void job_fail(struct job *j, int status, const char *message, const char *hint) {
        if (!j->failure) {
                j->failure = mem_copy(message);
                j->hint = mem_copy(hint);
        }
        job_end(j, status);
}

static void job_request(struct job *j, Nono__Request *q) {
        int r;

        q->seq = ++j->conn->seq;
        r = wire_send_request(j->conn->wire, q, NULL, 0);
        if (r)
                job_fail(j, EXIT_OWN, "nonod does not take requests any more", "");
        job_update(j);
}

static void job_signal(struct job *j, int signo) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Signal s = NONO__SIGNAL__INIT;

        s.signal = (uint32_t)signo;
        q.body_case = NONO__REQUEST__BODY_SIGNAL;
        q.signal = &s;
        job_request(j, &q);
}

/* --- the two directions --- */

/* Return: true when nothing is left to write. */
static bool relay_flush(struct relay *r, int fd) {
        while (r->at < r->n) {
                ssize_t m = write(fd, r->data + r->at, r->n - r->at);

                if (m < 0 && errno == EINTR)
                        continue;
                if (m < 0 && errno == EAGAIN)
                        return false;
                if (m < 0) {
                        r->at = r->n; /* the other end is gone; reading it tells the rest */
                        break;
                }
                r->at += (size_t)m;
        }
        r->at = r->n = 0;
        return true;
}

static bool relay_is_empty(const struct relay *r) {
        return r->at == r->n;
}

/* The program's output to the terminal, as far as the asker lets it: before a prompt only to the end of a sequence. */
static void job_flush_output(struct job *j) {
        while (!relay_is_empty(&j->out)) {
                size_t n = j->out.n - j->out.at;
                ssize_t m;

                if (asker_is_active(j->asker)) {
                        struct screen ahead = j->screen;

                        if (!asker_is_settling(j->asker) || screen_is_at_rest(&ahead))
                                break;
                        n = screen_feed_to_rest(&ahead, j->out.data + j->out.at, n);
                }
                m = write(j->tty->fd, j->out.data + j->out.at, n);
                if (m < 0 && errno == EINTR)
                        continue;
                if (m < 0 && errno == EAGAIN)
                        break;
                if (m < 0)
                        m = (ssize_t)n;
                screen_feed(&j->screen, j->out.data + j->out.at, (size_t)m);
                j->out.at += (size_t)m;
                j->mid_line = m > 0 ? j->out.data[j->out.at - 1] != '\n' : j->mid_line;
        }
        if (relay_is_empty(&j->out))
                j->out.at = j->out.n = 0;
        if (asker_is_settling(j->asker) && screen_is_at_rest(&j->screen))
                asker_settled(j->asker);
}

static void job_output_ended(struct job *j) {
        j->output = loop_source_free(j->output);
        fd_close(&j->fd_master);
        if (j->ended)
                job_end(j, j->status);
}

static void on_output(int fd, unsigned ready, void *arg) {
        struct job *j = arg;
        ssize_t n;

        if (ready & LOOP_WRITE && !relay_is_empty(&j->in))
                (void)relay_flush(&j->in, fd);
        if (ready & LOOP_READ && relay_is_empty(&j->out) && (!asker_is_active(j->asker) || asker_is_settling(j->asker))) {
                n = read(fd, j->out.data, sizeof(j->out.data));
                if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) { /* EIO: no slave is open any more */
                        job_output_ended(j);
                        return;
                }
                j->out.at = 0;
                j->out.n = n > 0 ? (size_t)n : 0;
                job_flush_output(j);
        }
        job_update(j);
}

static void job_hang_up(struct job *j) {
        j->keys = loop_source_free(j->keys);
        j->hung_up = true;
        asker_set_available(j->asker, false);
        if (!j->session) {
                job_end(j, EXIT_SIGNAL + SIGHUP);
                return;
        }
        job_signal(j, SIGHUP);
        (void)loop_timer_set(j->drain, JOB_HANGUP_US);
}

static void job_set_mode(struct job *j);

static void on_keys(int fd, unsigned ready, void *arg) {
        struct job *j = arg;
        char data[4096];
        ssize_t n;

        if (ready & LOOP_WRITE)
                job_flush_output(j);
        if (ready & LOOP_READ && (asker_is_active(j->asker) || relay_is_empty(&j->in))) {
                n = read(fd, data, sizeof(data));
                if (n == 0 && j->mode == JOB_LAZY && !asker_is_active(j->asker)) { /* ^D on an empty line */
                        j->in.data[0] = '\x04';
                        j->in.at = 0;
                        j->in.n = 1;
                } else if (n == 0 || (n < 0 && errno == EIO)) {
                        job_set_mode(j); /* EIO also says: read from the background */
                        if (n == 0 || j->mode != JOB_BACKGROUND) {
                                job_hang_up(j);
                                return;
                        }
                } else if (n > 0 && asker_is_active(j->asker))
                        asker_input(j->asker, (unsigned char *)data, (size_t)n);
                else if (n > 0 && j->mode != JOB_BACKGROUND) {
                        memcpy(j->in.data, data, (size_t)n);
                        j->in.at = 0;
                        j->in.n = (size_t)n;
                }
                if (j->fd_master >= 0)
                        (void)relay_flush(&j->in, j->fd_master);
        }
        job_update(j);
}

/* --- the terminal --- */

static bool job_takes_keys(const struct job *j) {
        if (asker_is_active(j->asker))
                return true;
        if (j->fd_master < 0 || !relay_is_empty(&j->in))
                return false;
        return j->mode == JOB_ATTACHED || (j->mode == JOB_LAZY && tty_is_canonical(j->tty));
}

/* Which descriptors we wait for, from the state of everything. */
static void job_update(struct job *j) {
        bool hold = asker_is_active(j->asker) && !asker_is_settling(j->asker);
        unsigned want;

        if (j->wire)
                (void)loop_io_want(j->wire, LOOP_READ | (wire_wants_write(j->conn->wire) ? LOOP_WRITE : 0));
        if (j->keys) {
                want = (job_takes_keys(j) ? LOOP_READ : 0) | (!relay_is_empty(&j->out) && !hold ? LOOP_WRITE : 0);
                (void)loop_io_want(j->keys, want);
        }
        if (j->output) {
                want = (relay_is_empty(&j->out) && !hold ? LOOP_READ : 0) | (!relay_is_empty(&j->in) ? LOOP_WRITE : 0);
                (void)loop_io_want(j->output, want);
        }
}

static void job_resize(struct job *j) {
        struct winsize size;

        if (!j->tty || j->fd_master < 0)
                return;
        size = tty_size(j->tty);
        if (size.ws_row && size.ws_col)
                (void)ioctl(j->fd_master, TIOCSWINSZ, &size);
}

/* The program inside reads single keys, or hides what is typed. */
static bool job_wants_keys(const struct job *j) {
        struct termios t;

        return j->fd_master >= 0 && tcgetattr(j->fd_master, &t) == 0 && (t.c_lflag & (ICANON | ECHO)) != (ICANON | ECHO);
}

static enum job_mode job_find_mode(const struct job *j) {
        if (!tty_is_foreground(j->tty))
                return JOB_BACKGROUND;
        if (!j->options.pipeline)
                return JOB_ATTACHED;
        if (!job_wants_keys(j))
                return JOB_LAZY;
        return j->tty->raw || tty_is_canonical(j->tty) ? JOB_ATTACHED : JOB_LAZY;
}

static void job_set_mode(struct job *j) {
        enum job_mode mode;

        if (!j->tty || j->fd_master < 0 || j->hung_up)
                return;
        mode = job_find_mode(j);
        if (asker_is_active(j->asker) && mode != JOB_BACKGROUND)
                return; /* the asker has the terminal; when it is done this is asked again */
        if (mode == JOB_BACKGROUND) {
                asker_set_available(j->asker, false);
                j->tty->raw = false; /* not ours to change any more; whoever has it set it as they like */
        } else if (mode == JOB_ATTACHED && !j->tty->raw) {
                struct termios t;

                /* the person's erase character and so on, once, before a program has changed anything */
                if (!j->inherited && tcgetattr(j->tty->fd, &t) == 0 && t.c_lflag & ICANON)
                        (void)tcsetattr(j->fd_master, TCSANOW, &t);
                (void)tty_raw(j->tty);
                job_resize(j);
        } else if (mode == JOB_LAZY)
                tty_cooked(j->tty);
        j->inherited = true;
        j->mode = mode;
        (void)loop_timer_set(j->poll, mode == JOB_BACKGROUND || j->options.pipeline ? JOB_POLL_US : UINT64_MAX);
        if (mode != JOB_BACKGROUND)
                asker_set_available(j->asker, mode == JOB_ATTACHED || tty_is_canonical(j->tty));
}

static void on_poll(void *arg) {
        struct job *j = arg;

        job_set_mode(j);
        (void)loop_timer_set(j->poll, j->mode == JOB_BACKGROUND || j->options.pipeline ? JOB_POLL_US : UINT64_MAX);
        job_update(j);
}

static void job_attach(struct job *j, int fd) {
        if (!j->tty || j->fd_master >= 0 || fd_set_nonblock(fd, true) ||
            loop_io(j->loop, fd, LOOP_READ, on_output, j, &j->output)) {
                fd_close(&fd);
                return;
        }
        j->fd_master = fd;
        job_resize(j);
        job_set_mode(j);
}

/* --- stop and go --- */

static void job_continue(struct job *j) {
        Nono__Request q = NONO__REQUEST__INIT;
        Nono__Continue cont = NONO__CONTINUE__INIT;

        q.body_case = NONO__REQUEST__BODY_CONT;
        q.cont = &cont;
        job_set_mode(j);
        job_resize(j);
        job_request(j, &q);
}

/*
 * The program inside was stopped, so this job stops: SIGTSTP with its default action, to our whole group, as the kernel
 * would have done for ^Z. In an orphaned group (nobody could continue it) the kernel discards it and we go on at once.
 */
static void job_suspend(struct job *j) {
        struct sigaction stop = { .sa_handler = SIG_DFL }, ours;

        asker_set_available(j->asker, false);
        if (j->tty)
                tty_cooked(j->tty);
        (void)sigaction(SIGTSTP, &stop, &ours);
        (void)kill(0, SIGTSTP);
        (void)sigaction(SIGTSTP, &ours, NULL);
        job_continue(j);
}

static void on_signal(int signo, void *arg) {
        struct job *j = arg;

        switch (signo) {
        case SIGWINCH:
                job_resize(j);
                asker_resized(j->asker);
                break;
        case SIGCONT: /* also after a SIGSTOP that nobody told us about: the shell has set its own modes then */
                if (j->tty && !tty_is_as_set(j->tty))
                        asker_set_available(j->asker, false);
                job_set_mode(j);
                job_resize(j);
                break;
        default:
                if (!j->session && signo != SIGTSTP)
                        job_end(j, EXIT_SIGNAL + signo);
                else if (j->session && !j->ended)
                        job_signal(j, signo);
                break;
        }
        job_update(j);
}

static void on_jiggle(void *arg) {
        job_resize(arg);
}

/* A full-screen program draws everything again when the size changes. */
static void job_repaint(void *arg) {
        struct job *j = arg;
        struct winsize size = tty_size(j->tty);

        if (j->fd_master < 0 || size.ws_row < 2)
                return;
        size.ws_row--;
        (void)ioctl(j->fd_master, TIOCSWINSZ, &size);
        (void)loop_timer_set(j->jiggle, JOB_JIGGLE_US);
}

/* --- questions --- */

static void job_answer(const Nono__Event *e, enum prompt_answer a, void *arg) {
        Nono__Approve approve;
        Nono__Request q;
        Nono__Deny deny;

        prompt_request(e, a, &q, &approve, &deny);
        job_request(arg, &q);
}

static void job_asker_changed(void *arg) {
        struct job *j = arg;

        if (asker_is_settling(j->asker) && j->tty && screen_is_at_rest(&j->screen))
                asker_settled(j->asker);
        job_update(j);
}

static void job_note_denied(struct job *j, const Nono__Event *e) {
        _cleanup_free_ char *path = out_text(&e->path), *reason = event_reason(e);
        _cleanup_free_ char *line = mem_format("%s %s%s%s", event_access(e->access), path, *reason ? ": " : "", reason);

        for (size_t i = 0; i < j->n_denied; i++)
                if (strcmp(j->denied[i].line, line) == 0) {
                        j->denied[i].count++;
                        return;
                }
        if (j->n_denied == JOB_DENIED_MAX) {
                j->n_denied_more++;
                return;
        }
        j->denied[j->n_denied++] = (struct denied){ steal_ptr(&line), 1 };
}

static void job_waits(struct job *j, const Nono__Event *e) {
        _cleanup_free_ char *line = NULL;

        if (j->options.silent || j->told_waiting)
                return;
        j->told_waiting = true;
        line = mem_format("\r\nnonoctl: session %s waits for an answer (#%llu): bring it to the foreground, or nonoctl prompts\r\n",
                          j->session ? j->session : "?", (unsigned long long)e->request);
        (void)!write(STDERR_FILENO, line, strlen(line));
}

/* Return: true when @a is kept. */
static bool job_event(struct job *j, Nono__Reply *a) {
        const Nono__Event *e = a->event;

        switch (e->type) {
        case NONO__EVENT_TYPE__EVENT_REQUEST:
                if (!j->asker)
                        return false;
                if (j->fd_master >= 0 && j->mode == JOB_BACKGROUND)
                        job_waits(j, e);
                asker_add(j->asker, a);
                return true;
        case NONO__EVENT_TYPE__EVENT_WITHDRAWN:
                if (j->asker)
                        asker_remove(j->asker, e->request, "the question is withdrawn: the process that asked is gone");
                return false;
        case NONO__EVENT_TYPE__EVENT_APPROVED:
                if (j->asker)
                        asker_remove(j->asker, e->request, "approved elsewhere");
                return false;
        case NONO__EVENT_TYPE__EVENT_DENIED:
                if (j->asker && e->request)
                        asker_remove(j->asker, e->request,
                                     e->reason == NONO__REASON__REASON_TIMEOUT ? "denied: nobody answered in time"
                                                                               : "denied elsewhere");
                job_note_denied(j, e);
                return false;
        default:
                return false;
        }
}

/* --- the daemon --- */

static void job_failed(struct job *j, const Nono__Failed *f) {
        _cleanup_free_ char *message = out_text(&f->message), *hint = out_text(&f->hint), *said = NULL;
        int status = EXIT_OWN;

        if (f->step == CONTROL_STEP_EXEC)
                status = f->error == ENOENT || f->error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
        else if (f->step == CONTROL_STEP_CHDIR)
                status = EXIT_NOT_EXECUTABLE;
        said = *message ? mem_copy(message)
                        : mem_format("%s: %s",
                                     f->step == CONTROL_STEP_EXEC    ? "the program cannot be started"
                                     : f->step == CONTROL_STEP_CHDIR ? "the working directory cannot be entered"
                                                                     : "the session cannot be set up",
                                     strerror((int)f->error));
        job_fail(j, status, said, hint);
}

static void job_error(struct job *j, const Nono__Reply *a) {
        _cleanup_free_ char *message = out_text(&a->error->message), *hint = out_text(&a->error->hint);

        if (a->seq == j->seq || !j->session) {
                job_fail(j, EXIT_OWN, *message ? message : "nonod refused the session", hint);
                return;
        }
        if (j->asker && !asker_is_active(j->asker)) /* an answer came too late, or the administrator forbids it */
                asker_note(j->asker, message);
}

static void job_exited(struct job *j, const Nono__Exited *e) {
        j->ended = true;
        j->status = e->signal ? EXIT_SIGNAL + (int)e->signal : (int)e->code;
        asker_set_available(j->asker, false);
        if (j->fd_master < 0)
                job_end(j, j->status);
        else /* what it wrote last is still in the pty */
                (void)loop_timer_set(j->drain, JOB_DRAIN_US);
}

/* Return: true when @a is kept. */
static bool job_reply(struct job *j, Nono__Reply *a, int *fds, size_t *n_fds) {
        switch (a->body_case) {
        case NONO__REPLY__BODY_SPAWNED:
                if (!j->session)
                        j->session = out_text(&a->spawned->session);
                if (j->options.verbose)
                        fprintf(stderr, "nonoctl: session %s, process %u\n", j->session, a->spawned->pid);
                return false;
        case NONO__REPLY__BODY_TTY:
                if (*n_fds == 1)
                        job_attach(j, fds[--*n_fds]);
                return false;
        case NONO__REPLY__BODY_STOPPED:
                job_suspend(j);
                return false;
        case NONO__REPLY__BODY_EXITED:
                job_exited(j, a->exited);
                return false;
        case NONO__REPLY__BODY_FAILED:
                job_failed(j, a->failed);
                return false;
        case NONO__REPLY__BODY_ERROR:
                job_error(j, a);
                return false;
        case NONO__REPLY__BODY_EVENT:
                return job_event(j, a);
        default: /* Started, Ok: nothing to do */
                return false;
        }
}

static void on_wire(int fd, unsigned ready, void *arg) {
        struct job *j = arg;
        int r = 0;

        if (ready & LOOP_WRITE)
                (void)wire_flush(j->conn->wire); /* reading tells when it is closed */
        while (r == 0) {
                Nono__Reply *a = NULL;
                int fds[WIRE_FDS_MAX];
                size_t n_fds = 0;

                r = wire_recv_reply(j->conn->wire, &a, fds, &n_fds);
                if (r)
                        break;
                if (!job_reply(j, a, fds, &n_fds))
                        wire_reply_free(a);
                fd_close_many(fds, n_fds);
        }
        if (r != WIRE_E_AGAIN) {
                j->wire = loop_source_free(j->wire);
                if (!j->ended)
                        job_fail(j, EXIT_OWN,
                                 r == WIRE_E_MALFORMED ? "nonod sent something that this nonoctl does not understand"
                                                       : "nonod closed the connection before the program ended",
                                 "see: journalctl -u nonod");
        }
        job_update(j);
}

static void on_drain(void *arg) {
        struct job *j = arg;

        job_end(j, j->ended ? j->status : EXIT_SIGNAL + SIGHUP);
}

static int job_listen(struct job *j) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT, SIGWINCH };
        int r;

        (void)signal(SIGPIPE, SIG_IGN);
        (void)signal(SIGTTOU, SIG_IGN); /* we ask before we touch the terminal */
        (void)signal(SIGTTIN, SIG_IGN);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                r = loop_signal(j->loop, signals[i], on_signal, j, &j->signals[j->n_signals]);
                if (r)
                        return err_pass(r);
                j->n_signals++;
        }
        r = loop_io(j->loop, wire_fd(j->conn->wire), LOOP_READ, on_wire, j, &j->wire);
        if (r == 0)
                r = loop_timer(j->loop, UINT64_MAX, on_poll, j, &j->poll);
        if (r == 0)
                r = loop_timer(j->loop, UINT64_MAX, on_drain, j, &j->drain);
        if (r == 0)
                r = loop_timer(j->loop, UINT64_MAX, on_jiggle, j, &j->jiggle);
        if (r == 0 && j->tty)
                r = loop_io(j->loop, j->tty->fd, 0, on_keys, j, &j->keys);
        return r ? err_pass(r) : 0;
}

static int job_start_asker(struct job *j) {
        static const struct asker_calls calls = { .answer = job_answer,
                                                  .changed = job_asker_changed,
                                                  .repaint = job_repaint };

        if (!j->tty || j->options.silent)
                return 0;
        return asker_new(j->loop, j->tty, &j->screen, &calls, j, &j->asker);
}

/* Gives the terminal back: modes that the program left set, then the line discipline. */
static void job_leave_terminal(struct job *j) {
        char undo[512];

        if (!j->tty || j->hung_up)
                return;
        if (!relay_is_empty(&j->out)) {
                (void)tty_write(j->tty, j->out.data + j->out.at, j->out.n - j->out.at, 1000);
                screen_feed(&j->screen, j->out.data + j->out.at, j->out.n - j->out.at);
                j->mid_line = j->out.data[j->out.n - 1] != '\n';
        }
        screen_undo(&j->screen, undo, sizeof(undo));
        if (*undo && j->mode != JOB_BACKGROUND)
                (void)tty_write(j->tty, undo, strlen(undo), 1000);
        /* after "^C" a shell begins a new line when its job died of it; ours exits with 130, so we do */
        if (j->ended && j->mid_line && (j->status == EXIT_SIGNAL + SIGINT || j->status == EXIT_SIGNAL + SIGQUIT))
                (void)tty_write(j->tty, "\r\n", 2, 1000);
        tty_cooked(j->tty);
}

static void job_tell(const struct job *j) {
        bool show = j->options.verbose || (!j->options.silent && isatty(STDERR_FILENO));

        if (j->failure)
                (void)say_error("%s", j->failure);
        if (j->failure && *j->hint)
                say_hint("%s", j->hint);
        if (!show || j->n_denied == 0)
                return;
        (void)say_error("denied in session %s:", j->session ? j->session : "?");
        for (size_t i = 0; i < j->n_denied; i++)
                if (j->denied[i].count > 1)
                        say_hint("%s (%u times)", j->denied[i].line, j->denied[i].count);
                else
                        say_hint("%s", j->denied[i].line);
        if (j->n_denied_more > 0)
                say_hint("and %zu more", j->n_denied_more);
}

static void job_done(struct job *j) {
        asker_free(j->asker);
        for (size_t i = 0; i < j->n_signals; i++)
                loop_source_free(j->signals[i]);
        loop_source_free(j->wire);
        loop_source_free(j->keys);
        loop_source_free(j->output);
        loop_source_free(j->poll);
        loop_source_free(j->drain);
        loop_source_free(j->jiggle);
        loop_free(j->loop);
        fd_close(&j->fd_master);
        for (size_t i = 0; i < j->n_denied; i++)
                free(j->denied[i].line);
        free(j->session);
        free(j->failure);
        free(j->hint);
        free(j);
}

int job_run(struct conn *c, struct tty *tty, const struct job_options *options) {
        struct job *j = mem_need(calloc(1, sizeof(*j)));
        int r;

        j->conn = c;
        j->tty = tty;
        j->options = *options;
        j->seq = c->seq;
        j->fd_master = -1;
        r = loop_new(&j->loop);
        if (r == 0)
                r = job_listen(j);
        if (r == 0)
                r = job_start_asker(j);
        if (r == 0) {
                job_update(j);
                r = loop_run(j->loop);
        }
        if (r < 0) {
                (void)say_errno(r, "event loop");
                r = EXIT_OWN;
        }
        j->asker = asker_free(j->asker);
        job_leave_terminal(j);
        job_tell(j);
        job_done(j);
        return r;
}
