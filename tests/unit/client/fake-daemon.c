/*
 * A stand-in for nonod: `fake-daemon SOCKET DIRECTORY`. It speaks the protocol through wire.c and runs what it is asked to
 * run, in no box at all, under a pty as init would; one process per connection, which leads the terminal's session.
 *
 * Lines appended to DIRECTORY/control make it act on the running session; what clients ask is noted in DIRECTORY/log:
 *      request ID PATH read|write|readwrite    withdrawn ID    approved ID    denied ID PATH    die    malformed
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

#include "common/fd.h"
#include "common/wire.h"
#include "daemon/target/control.h"

struct fake {
        struct wire *wire;
        const char *dir;
        pid_t child;
        int fd_terminal, fd_control, fd_log;
        char line[512];
        size_t n_line;
        bool ended;
};

static void fake_log(struct fake *f, const char *format, ...) _printf_(2, 3);
static void fake_log(struct fake *f, const char *format, ...) {
        char line[8192];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(line, sizeof(line) - 1, format, ap);
        va_end(ap);
        line[n++] = '\n';
        (void)!write(f->fd_log, line, (size_t)n);
}

static void fake_reply(struct fake *f, uint32_t seq, Nono__Reply__BodyCase body, void *message, int fd) {
        Nono__Reply a = NONO__REPLY__INIT;

        a.seq = seq;
        a.body_case = body;
        a.hello = message; /* any member of the oneof */
        if (wire_send_reply(f->wire, &a, &fd, fd >= 0))
                exit(3);
}

static void fake_refuse(struct fake *f, uint32_t seq, Nono__ErrorCode code, const char *message, const char *hint) {
        Nono__Error e = NONO__ERROR__INIT;

        e.code = code;
        e.message = wire_bytes(message);
        e.hint = wire_bytes(hint);
        fake_reply(f, seq, NONO__REPLY__BODY_ERROR, &e, -1);
}

static void fake_event(struct fake *f, Nono__EventType type, unsigned id, const char *path, const char *access) {
        ProtobufCBinaryData programs[] = { wire_bytes("claude"), wire_bytes("bash"), wire_bytes("cat") };
        Nono__Event e = NONO__EVENT__INIT;

        e.seq = 1;
        e.time_us = 1700000000000000;
        e.type = type;
        e.session = wire_bytes("ab12cd34");
        e.profile = wire_bytes("claude-code");
        e.request = id;
        e.path = wire_bytes(path);
        e.access = strcmp(access, "read") == 0    ? NONO__ACCESS__ACCESS_READ
                   : strcmp(access, "write") == 0 ? NONO__ACCESS__ACCESS_WRITE
                                                  : NONO__ACCESS__ACCESS_READ_WRITE;
        e.operation = NONO__OPERATION__OP_READ;
        e.programs = programs;
        e.n_programs = 3;
        e.pid = 99;
        e.count = 1;
        if (type == NONO__EVENT_TYPE__EVENT_DENIED)
                e.reason = NONO__REASON__REASON_PERSON;
        fake_reply(f, 0, NONO__REPLY__BODY_EVENT, &e, -1);
}

/* --- the session --- */

struct command {
        char *memory, *program, *workdir, **argv, **env;
        struct exec_spec header;
};

static void command_open(int fd, struct command *c) {
        struct stat st;
        char *p;

        if (fcntl(fd, F_GET_SEALS) != (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) || fstat(fd, &st) < 0)
                exit(3);
        c->memory = calloc(1, (size_t)st.st_size + 1);
        if (pread(fd, c->memory, (size_t)st.st_size, 0) != st.st_size)
                exit(3);
        memcpy(&c->header, c->memory, sizeof(c->header));
        if (c->header.magic != EXEC_SPEC_MAGIC || c->header.size != (uint64_t)st.st_size)
                exit(3);
        p = c->memory + sizeof(c->header);
        c->program = p;
        c->workdir = p += strlen(p) + 1;
        p += strlen(p) + 1;
        c->argv = calloc(c->header.n_argv + 1, sizeof(char *));
        c->env = calloc(c->header.n_env + 1, sizeof(char *));
        for (uint32_t i = 0; i < c->header.n_argv; i++, p += strlen(p) + 1)
                c->argv[i] = p;
        for (uint32_t i = 0; i < c->header.n_env; i++, p += strlen(p) + 1)
                c->env[i] = p;
        if (p != c->memory + c->header.size)
                exit(3);
}

static void command_exec(struct command *c, const int stdio[3], int fd_failed) {
        sigset_t all;
        int e;

        setpgid(0, 0);
        for (int i = 0; i < 3; i++)
                if (dup2(stdio[i], i) < 0)
                        _exit(3);
        for (int n = 1; n < NSIG; n++)
                (void)signal(n, SIG_DFL);
        sigfillset(&all);
        sigprocmask(SIG_UNBLOCK, &all, NULL);
        if (chdir(c->workdir) == 0)
                execve(c->program, c->argv, c->env);
        e = errno;
        (void)!write(fd_failed, &e, sizeof(e));
        _exit(127);
}

/* The pty as init makes it: its session leader here, the program its foreground group. Return: the slave. */
static int fake_terminal(struct fake *f, const struct command *c) {
        struct winsize size = { .ws_row = c->header.rows, .ws_col = c->header.columns };
        int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
        Nono__Tty tty = NONO__TTY__INIT;

        if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
                exit(3);
        (void)ioctl(master, TIOCSWINSZ, &size);
        slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
        (void)setsid();
        if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
                exit(3);
        fake_reply(f, 0, NONO__REPLY__BODY_TTY, &tty, master);
        fd_close(&master);
        usleep(20 * 1000); /* as init, which waits for the view */
        return slave;
}

static void fake_spawn(struct fake *f, uint32_t seq, const Nono__Spawn *s, int *fds, size_t n_fds) {
        int stdio[3], failed[2], e = 0;
        Nono__Spawned spawned = NONO__SPAWNED__INIT;
        Nono__Started started = NONO__STARTED__INIT;
        struct command c = { 0 };
        size_t next = 1;

        if (n_fds < 1)
                exit(3);
        command_open(fds[0], &c);
        fake_log(f, "spawn program=%s argv0=%s workdir=%s mask=%u fds=%zu profile=%.*s user=%d of_profile=%d prompt=%d sealed=%d",
                 c.program, c.argv[0], c.workdir, c.header.tty_mask, n_fds, (int)s->profile.len, (char *)s->profile.data,
                 s->user_profile, s->program, s->can_prompt, s->sealed);
        for (size_t i = 0; i < s->n_rules; i++)
                fake_log(f, "rule %s%d %s %.*s from %.*s:%u", s->rules[i]->deny ? "deny " : "", s->rules[i]->access,
                         s->rules[i]->file ? "file" : "tree", (int)s->rules[i]->path.len, (char *)s->rules[i]->path.data,
                         (int)s->rules[i]->source.len, (char *)s->rules[i]->source.data, s->rules[i]->line);
        for (size_t i = 0; i < s->n_open_ports; i++)
                fake_log(f, "port %u", s->open_ports[i]);
        if (s->name.len == 6 && memcmp(s->name.data, "refuse", 6) == 0) {
                fake_refuse(f, seq, NONO__ERROR_CODE__ERROR_POLICY, "the ceiling forbids it", "ask the administrator");
                return;
        }
        if (s->dry_run) {
                Nono__GrantInfo info = NONO__GRANT_INFO__INIT, *infos[] = { &info };
                Nono__Grants g = NONO__GRANTS__INIT;

                info.access = NONO__ACCESS__ACCESS_READ;
                info.path = wire_bytes("/usr/sha\xffre");
                info.origin = wire_bytes("group");
                g.profile = wire_bytes("default");
                g.grants = infos;
                g.n_grants = 1;
                g.more = true;
                fake_reply(f, seq, NONO__REPLY__BODY_GRANTS, &g, -1);
                g.more = false;
                fake_reply(f, seq, NONO__REPLY__BODY_GRANTS, &g, -1);
                return;
        }
        spawned.session = wire_bytes("ab12cd34");
        spawned.pid = (uint32_t)getpid();
        fake_reply(f, seq, NONO__REPLY__BODY_SPAWNED, &spawned, -1);
        if (c.header.tty_mask)
                f->fd_terminal = fake_terminal(f, &c);
        for (int i = 0; i < 3; i++)
                stdio[i] = c.header.tty_mask & BIT(i) ? f->fd_terminal : next < n_fds ? fds[next++] : -1;
        if (pipe2(failed, O_CLOEXEC) < 0)
                exit(3);
        f->child = fork();
        if (f->child == 0)
                command_exec(&c, stdio, failed[1]);
        (void)setpgid(f->child, f->child);
        if (f->fd_terminal >= 0)
                (void)tcsetpgrp(f->fd_terminal, f->child);
        fd_close(&failed[1]);
        if (read(failed[0], &e, sizeof(e)) == sizeof(e)) {
                Nono__Failed why = NONO__FAILED__INIT;

                (void)waitpid(f->child, NULL, 0);
                why.step = CONTROL_STEP_EXEC;
                why.error = (uint32_t)e;
                f->ended = true;
                fake_reply(f, 0, NONO__REPLY__BODY_FAILED, &why, -1);
                return;
        }
        fd_close(&failed[0]);
        fake_reply(f, 0, NONO__REPLY__BODY_STARTED, &started, -1);
}

static void fake_reap(struct fake *f) {
        int status;

        if (f->child <= 0 || f->ended || waitpid(f->child, &status, WNOHANG | WUNTRACED) <= 0)
                return;
        if (WIFSTOPPED(status)) {
                Nono__Stopped stopped = NONO__STOPPED__INIT;

                fake_log(f, "stopped %d", WSTOPSIG(status));
                stopped.signal = (uint32_t)WSTOPSIG(status);
                fake_reply(f, 0, NONO__REPLY__BODY_STOPPED, &stopped, -1);
        } else {
                Nono__Exited exited = NONO__EXITED__INIT;

                exited.code = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0;
                exited.signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0;
                f->ended = true;
                fake_reply(f, 0, NONO__REPLY__BODY_EXITED, &exited, -1);
                fd_close(&f->fd_terminal);
        }
}

/* --- canned answers --- */

static void fake_sessions(struct fake *f, uint32_t seq) {
        Nono__SessionInfo a = NONO__SESSION_INFO__INIT, b = NONO__SESSION_INFO__INIT, *both[] = { &a, &b };
        Nono__Sessions s = NONO__SESSIONS__INIT;

        a.id = wire_bytes("ab12cd34");
        a.name = wire_bytes("first");
        a.profile = wire_bytes("claude-code");
        a.state = wire_bytes("running");
        a.command = wire_bytes("claude \033[31mred");
        a.workdir = wire_bytes("/home/u/a\xff");
        a.started_us = 1700000000000000;
        a.pid = 99;
        a.prompts = 1;
        b = a;
        b.id = wire_bytes("ab99");
        b.name = wire_bytes("second");
        s.sessions = both;
        s.n_sessions = 1;
        s.more = true;
        fake_reply(f, seq, NONO__REPLY__BODY_SESSIONS, &s, -1);
        s.sessions = both + 1;
        s.more = false;
        fake_reply(f, seq, NONO__REPLY__BODY_SESSIONS, &s, -1);
}

static void fake_prompts(struct fake *f, uint32_t seq) {
        ProtobufCBinaryData programs[] = { wire_bytes("claude"), wire_bytes("c\xff" "at") };
        Nono__Event e = NONO__EVENT__INIT, *events[] = { &e };
        Nono__Prompts p = NONO__PROMPTS__INIT;

        e.type = NONO__EVENT_TYPE__EVENT_REQUEST;
        e.request = 7;
        e.session = wire_bytes("ab12cd34");
        e.path = wire_bytes("/home/u/\xff\xe2\x80\xae.txt");
        e.access = NONO__ACCESS__ACCESS_READ;
        e.operation = NONO__OPERATION__OP_READ;
        e.programs = programs;
        e.n_programs = 2;
        e.time_us = 1700000000123456;
        e.count = 3;
        p.prompts = events;
        p.n_prompts = 1;
        fake_reply(f, seq, NONO__REPLY__BODY_PROMPTS, &p, -1);
}

static void fake_request(struct fake *f, Nono__Request *q, int *fds, size_t n_fds) {
        Nono__Ok ok = NONO__OK__INIT;

        switch (q->body_case) {
        case NONO__REQUEST__BODY_HELLO: {
                Nono__HelloReply h = NONO__HELLO_REPLY__INIT;

                h.version = WIRE_VERSION;
                fake_reply(f, q->seq, NONO__REPLY__BODY_HELLO, &h, -1);
                break;
        }
        case NONO__REQUEST__BODY_SPAWN:
                fake_spawn(f, q->seq, q->spawn, fds, n_fds);
                break;
        case NONO__REQUEST__BODY_SIGNAL:
                fake_log(f, "signal %u", q->signal->signal);
                (void)kill(-f->child, (int)q->signal->signal);
                fake_reply(f, q->seq, NONO__REPLY__BODY_OK, &ok, -1);
                break;
        case NONO__REQUEST__BODY_CONT:
                fake_log(f, "continue");
                if (f->fd_terminal >= 0)
                        (void)tcsetpgrp(f->fd_terminal, f->child);
                (void)kill(-f->child, SIGCONT);
                fake_reply(f, q->seq, NONO__REPLY__BODY_OK, &ok, -1);
                break;
        case NONO__REQUEST__BODY_APPROVE:
                fake_log(f, "approve %llu scope=%d for=%d write=%d", (unsigned long long)q->approve->request, q->approve->scope,
                         q->approve->duration, q->approve->write);
                fake_reply(f, q->seq, NONO__REPLY__BODY_OK, &ok, -1);
                break;
        case NONO__REQUEST__BODY_DENY:
                fake_log(f, "deny %llu", (unsigned long long)q->deny->request);
                fake_reply(f, q->seq, NONO__REPLY__BODY_OK, &ok, -1);
                break;
        case NONO__REQUEST__BODY_LIST_SESSIONS:
                fake_sessions(f, q->seq);
                break;
        case NONO__REQUEST__BODY_LIST_PROMPTS:
                fake_prompts(f, q->seq);
                break;
        case NONO__REQUEST__BODY_STOP:
                fake_log(f, "stop %.*s force=%d", (int)q->stop->session.len, (char *)q->stop->session.data, q->stop->force);
                fake_reply(f, q->seq, NONO__REPLY__BODY_OK, &ok, -1);
                break;
        case NONO__REQUEST__BODY_REVOKE: {
                Nono__Revoked v = NONO__REVOKED__INIT;

                fake_log(f, "revoke %llu kill=%d", (unsigned long long)q->revoke->grant, q->revoke->kill);
                v.path = wire_bytes("/srv/data");
                v.killed = q->revoke->kill ? 2 : 0;
                fake_reply(f, q->seq, NONO__REPLY__BODY_REVOKED, &v, -1);
                break;
        }
        case NONO__REQUEST__BODY_GRANT: {
                Nono__Granted g = NONO__GRANTED__INIT;

                fake_log(f, "grant %.*s rw=%d", (int)q->grant->path.len, (char *)q->grant->path.data, q->grant->write);
                g.grant = 12;
                fake_reply(f, q->seq, NONO__REPLY__BODY_GRANTED, &g, -1);
                break;
        }
        case NONO__REQUEST__BODY_WATCH:
                fake_log(f, "watch answers=%d", q->watch->answers);
                fake_event(f, NONO__EVENT_TYPE__EVENT_REQUEST, 5, "/home/u/watched\n", "read");
                break;
        default:
                fake_refuse(f, q->seq, NONO__ERROR_CODE__ERROR_NOT_FOUND, "nothing \033here", NULL);
                break;
        }
}

/* --- the control file --- */

static void fake_do(struct fake *f, char *line) {
        char word[32] = "", path[256] = "", access[16] = "";
        unsigned id = 0;

        (void)sscanf(line, "%31s %u %255s %15s", word, &id, path, access);
        if (strcmp(word, "request") == 0)
                fake_event(f, NONO__EVENT_TYPE__EVENT_REQUEST, id, path, access);
        else if (strcmp(word, "withdrawn") == 0)
                fake_event(f, NONO__EVENT_TYPE__EVENT_WITHDRAWN, id, path, "read");
        else if (strcmp(word, "approved") == 0)
                fake_event(f, NONO__EVENT_TYPE__EVENT_APPROVED, id, path, "read");
        else if (strcmp(word, "denied") == 0)
                fake_event(f, NONO__EVENT_TYPE__EVENT_DENIED, id, path, "read");
        else if (strcmp(word, "malformed") == 0)
                (void)!write(wire_fd(f->wire), "\xff\xff\xff\xff", 4);
        else if (strcmp(word, "die") == 0)
                raise(SIGKILL);
}

static void fake_control(struct fake *f) {
        while (f->child > 0 && read(f->fd_control, f->line + f->n_line, 1) == 1) {
                if (f->line[f->n_line] != '\n') {
                        f->n_line = MIN_OF(f->n_line + 1, sizeof(f->line) - 2);
                        continue;
                }
                f->line[f->n_line] = '\0';
                f->n_line = 0;
                fake_do(f, f->line);
        }
}

static int fake_open(const char *dir, const char *name, int flags) {
        char path[512];

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        return open(path, flags | O_CLOEXEC | O_CREAT, 0600);
}

static _Noreturn void fake_serve(int fd, const char *dir) {
        struct fake f = { .dir = dir, .fd_terminal = -1 };

        (void)signal(SIGTTOU, SIG_IGN);
        (void)signal(SIGHUP, SIG_IGN);
        f.fd_log = fake_open(dir, "log", O_WRONLY | O_APPEND);
        f.fd_control = fake_open(dir, "control", O_RDONLY);
        if (wire_new(fd, true, &f.wire))
                exit(3);
        for (;;) {
                struct pollfd p = { .fd = wire_fd(f.wire), .events = POLLIN };
                Nono__Request *q = NULL;
                int fds[WIRE_FDS_MAX], r;
                size_t n_fds = 0;

                (void)poll(&p, 1, 10);
                (void)wire_flush(f.wire);
                r = wire_recv_request(f.wire, &q, fds, &n_fds);
                if (r == 0) {
                        fake_request(&f, q, fds, n_fds);
                        fd_close_many(fds, n_fds);
                        wire_request_free(q);
                } else if (r != WIRE_E_AGAIN) {
                        if (f.child > 0 && !f.ended)
                                (void)kill(-f.child, SIGKILL);
                        exit(0);
                }
                fake_control(&f);
                fake_reap(&f);
        }
}

int main(int argc, char **argv) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (argc != 3 || fd < 0 || strlen(argv[1]) >= sizeof(address.sun_path))
                return 2;
        strcpy(address.sun_path, argv[1]);
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0)
                return 2;
        (void)signal(SIGCHLD, SIG_IGN); /* connections are reaped by themselves */
        for (;;) {
                int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

                if (peer < 0)
                        continue;
                if (fork() == 0) {
                        (void)signal(SIGCHLD, SIG_DFL);
                        fd_close(&fd);
                        fake_serve(peer, argv[2]);
                }
                fd_close(&peer);
        }
}
