/*
 * The monitor's loop: one epoll set, the service's life, a record per session. What the service may ask is in requests.c.
 *
 * Runs as: root.   Input: request.h messages of the service and of builders; credentials from the kernel.
 */
#include "daemon/monitor/monitor.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/broker/broker.h"
#include "daemon/monitor/probe.h"
#include "daemon/monitor/request.h"
#include "daemon/monitor/session.h"
#include "daemon/monitor/state.h"
#include "daemon/service/service.h"
#include "daemon/target/filter.h"
#include "daemon/target/mount.h"

enum {
        MONITOR_BURST = 32,      /* messages of the service per round */
        MONITOR_IDLE_MS = 3,     /* of quiet until a spare broker and builder are made */
        MONITOR_RETRY_MS = 20,   /* between attempts to remove control groups that still empty themselves */
        MONITOR_BUFFER = 1 << 20,
        MONITOR_RESTARTS_MAX = 100, /* of the service, in our life */
};

/* Stand-ins below the runtime directory, mode 0: what a mask shows. */
#define MONITOR_MASK_FILE "mask"
#define MONITOR_MASK_DIR "mask.d"

int monitor_watch(struct monitor *m, int fd, enum monitor_watch watch, uint32_t index) {
        struct epoll_event e = { .events = EPOLLIN, .data.u64 = (uint64_t)watch << 32 | index };

        return epoll_ctl(m->fd_epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? err_raise(-errno) : 0;
}

void monitor_send(struct monitor *m, struct monitor_message *message, const int *fds, size_t n_fds) {
        if (m->fd_service >= 0 && fd_send(m->fd_service, message, sizeof(*message), fds, n_fds) != 0)
                log_debug("the service does not take message %u any more", message->type);
}

void monitor_reply(struct monitor *m, const struct monitor_message *request, uint32_t session, int r) {
        struct monitor_message reply = {
                .type = MONITOR_REPLY, .session = session, .tag = request->tag, .node = request->node, .error = -r,
        };

        monitor_send(m, &reply, NULL, 0);
}

/* --- sessions ----------------------------------------------------------------------------------------------------- */

void monitor_remove_cgroups(struct monitor *m) {
        size_t kept = 0;

        for (size_t i = 0; i < m->n_leaving; i++)
                if (cgroup_remove(&m->cgroup, m->leaving[i]) == -EBUSY)
                        m->leaving[kept++] = m->leaving[i];
        m->n_leaving = kept;
}

/* Every way a session ends leads here, once. */
void monitor_end(struct monitor *m, struct session *s) {
        struct monitor_message exited = { .type = MONITOR_EXITED, .session = s->id };

        log_debug("session %08x: over", s->id);
        cgroup_kill(&m->cgroup, s->id);
        if (m->n_leaving < ELEMENTSOF(m->leaving))
                m->leaving[m->n_leaving++] = s->id;
        session_release(s);
        monitor_remove_cgroups(m);
        monitor_send(m, &exited, NULL, 0);
}

struct session_spawn monitor_spawn(struct monitor *m) {
        return (struct session_spawn){
                .filter = &m->filter,
                .staging = m->staging,
                .fd_lifeline = m->fd_lifeline[0],
                .pgrp = m->pgrp,
                .broker_main = m->options->broker_main,
                .cgroup = &m->cgroup,
        };
}

/* When nothing else is to do. A failure is no reason to try again and again: the next session tells what is wrong. */
static void monitor_make_spare(struct monitor *m) {
        const struct session_spawn spawn = monitor_spawn(m);

        m->no_spare = session_prepare(&m->spare, &spawn) != 0;
}

static int monitor_records(struct monitor *m, struct pack_reader *reader) {
        const void *record;
        size_t n, n_own;
        int *own, r;

        while ((r = pack_next(reader, &monitor_format, &record, &n, &own, &n_own)) == 0) {
                struct monitor_message msg;

                memcpy(&msg, record, sizeof(msg));
                r = monitor_dispatch(m, &msg, own, n_own);
                if (r) {
                        log_error("the service broke the protocol (message %u)", msg.type);
                        return r;
                }
        }
        return r == PACK_E_END ? 0 : -EBADMSG;
}

/* Return: true when there may be more. */
static bool monitor_serve_one(struct monitor *m) {
        static char data[PACK_BYTES_MAX];
        struct pack_reader reader = { .data = data };
        int fds[PACK_FDS_MAX], r;

        r = fd_recv_now(m->fd_service, data, sizeof(data), &reader.n, fds, ELEMENTSOF(fds), &reader.n_fds);
        if (r == FD_E_AGAIN)
                return false;
        if (r == 0) {
                reader.fds = fds;
                r = monitor_records(m, &reader);
                fd_close_many(fds, reader.n_fds);
        }
        if (r) {
                /* gone, or not to be trusted any more: ends here, and on_signals() starts another */
                if (m->service > 0)
                        (void)kill(m->service, SIGKILL);
                fd_close(&m->fd_service);
        }
        return r == 0;
}

static void on_service(struct monitor *m) {
        for (int i = 0; i < MONITOR_BURST && m->fd_service >= 0 && monitor_serve_one(m); i++)
                ;
        monitor_flush_nodes(m);
}

/* One record of a builder. Return: 0; -errno: the view cannot be built. */
static int monitor_built(struct monitor *m, struct session *s, struct monitor_message *msg, int *fds, size_t n_fds) {
        msg->session = s->id;
        msg->tag = s->start_tag;
        if (msg->type == MONITOR_LEVEL && n_fds == 1) {
                monitor_send(m, msg, fds, 1);
                return view_record_fd(&s->view, msg->node, steal_fd(&fds[0]));
        }
        if (msg->type == MONITOR_REPLY && msg->error == 0 && n_fds == 1)
                return view_record_fd(&s->view, msg->node, steal_fd(&fds[0]));
        if (msg->type == MONITOR_GONE && n_fds == 0) {
                view_unrecord(&s->view, msg->node);
                monitor_send(m, msg, NULL, 0);
                return 0;
        }
        if (msg->type == MONITOR_STARTED && n_fds == 3) {
                s->init = msg->pid;
                s->pidfd_init = steal_fd(&fds[0]);
                s->view.fd_namespace = steal_fd(&fds[1]);
                s->view.fd_hidden = steal_fd(&fds[2]);
                fd_close(&s->fd_builder);
                s->state = SESSION_RUNNING;
                monitor_send(m, msg, NULL, 0);
                if (monitor_watch(m, s->pidfd_init, WATCH_INIT, s->id & 0xffff))
                        session_kill(s, &m->cgroup);
                return 0;
        }
        return msg->error > 0 ? -msg->error : -EPIPE;
}

static void on_builder(struct monitor *m, struct session *s) {
        static char data[PACK_BYTES_MAX];
        struct pack_reader reader = { .data = data };
        struct monitor_message failed = { .type = MONITOR_REPLY, .session = s->id, .tag = s->start_tag };
        int fds[PACK_FDS_MAX], *own, r;
        const void *record;
        size_t n, n_own;

        r = fd_recv_now(s->fd_builder, data, sizeof(data), &reader.n, fds, ELEMENTSOF(fds), &reader.n_fds);
        if (r == FD_E_AGAIN)
                return;
        if (r == 0) {
                reader.fds = fds;
                while (r == 0 && (r = pack_next(&reader, &monitor_format, &record, &n, &own, &n_own)) == 0) {
                        struct monitor_message msg;

                        memcpy(&msg, record, sizeof(msg));
                        failed.node = msg.node;
                        r = monitor_built(m, s, &msg, own, n_own);
                }
                fd_close_many(fds, reader.n_fds);
                if (r == PACK_E_END)
                        return;
        }
        failed.error = r < 0 ? -r : EPIPE;
        log_warning("session %08x: building the view failed at node %u: %s", s->id, failed.node, strerror(failed.error));
        monitor_send(m, &failed, NULL, 0);
        session_kill(s, &m->cgroup);
        monitor_end(m, s);
}

static void on_client(struct monitor *m) {
        _cleanup_close_ int fd = -1;
        struct monitor_message msg = { .type = MONITOR_CLIENT };
        struct peer peer = { 0 };
        int r;

        fd = accept4(m->options->fd_listen, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
                return;
        r = peer_check(fd, &peer);
        if (r < 0 || r == PEER_E_GONE)
                return;
        msg.error = r == PEER_E_FOREIGN ? EXDEV : 0; /* the service says so in the client's language, and closes */
        msg.uid = peer.uid;
        msg.gid = peer.gid;
        msg.pid = peer.pid;
        monitor_send(m, &msg, &fd, 1);
}

static int monitor_start_service(struct monitor *m);

/*
 * Sessions outlive the service: what they have, they keep; their brokers, whose sockets ended with it, refuse whatever
 * is asked from now on. A new service process lists them and can stop them. A service that cannot live ends us.
 */
static void on_service_end(struct monitor *m, int status) {
        log_error("the service ended (wait status 0x%x)", (unsigned)status);
        m->service = 0;
        fd_close(&m->fd_service);
        if (m->stopping)
                return;
        for (uint32_t i = 1; i <= MONITOR_SESSIONS_MAX; i++)
                if (m->sessions[i].state == SESSION_BUILDING || m->sessions[i].state == SESSION_STARTING) {
                        session_kill(&m->sessions[i], &m->cgroup);
                        monitor_end(m, &m->sessions[i]);
                }
        if (time(NULL) - m->service_start < 1 || ++m->n_restarts > MONITOR_RESTARTS_MAX || monitor_start_service(m) != 0) {
                m->stopping = true;
                m->status = 1;
                return;
        }
        for (uint32_t i = 1; i <= MONITOR_SESSIONS_MAX; i++) {
                struct session *s = &m->sessions[i];
                struct monitor_message adopt = { .type = MONITOR_ADOPT, .session = s->id, .uid = s->peer.uid,
                                                 .gid = s->peer.gid, .pid = s->init };

                if (s->state == SESSION_RUNNING)
                        monitor_send(m, &adopt, &s->fd_control, 1);
        }
        log_info("a new service process serves");
}

/* Opens of that session wait, for we hold the other descriptor; nobody will judge them any more. */
static void monitor_lost_sentry(struct monitor *m, pid_t pid) {
        for (uint32_t i = 1; i <= MONITOR_SESSIONS_MAX; i++) {
                struct session *s = &m->sessions[i];

                if (s->state == SESSION_FREE || s->sentry.pid != pid)
                        continue;
                log_error("session %08x: its sentry died, it ends", s->id);
                s->sentry.pid = 0;
                monitor_kill(m, s);
        }
}

static void on_signals(struct monitor *m) {
        struct signalfd_siginfo info;
        int status;
        pid_t pid;

        while (read(m->fd_signals, &info, sizeof(info)) == sizeof(info))
                if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT || info.ssi_signo == SIGHUP)
                        m->stopping = true;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                monitor_lost_sentry(m, pid);
                if (pid == m->spare.broker)
                        session_spare_drop(&m->spare);
                if (pid == m->service)
                        on_service_end(m, status);
                for (uint32_t i = 1; i <= MONITOR_SESSIONS_MAX; i++)
                        if (m->sessions[i].state != SESSION_FREE && m->sessions[i].broker == pid) {
                                m->sessions[i].broker = 0; /* that session now gets no more than it has */
                                view_orphan(&m->sessions[i].view);
                        }
        }
}

/* --- start and stop ----------------------------------------------------------------------------------------------- */

static int monitor_make_mask(struct monitor *m, const char *name, bool directory, int *ret) {
        char path[600];
        int fd;

        snprintf(path, sizeof(path), "%s/%s", m->options->runtime_dir, name);
        if (directory ? mkdir(path, 0) < 0 && errno != EEXIST : false)
                return err_raise(-errno);
        if (!directory) {
                fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
                if (fd < 0)
                        return err_raise(-errno);
                fd_close(&fd);
        }
        *ret = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW | (directory ? O_DIRECTORY : 0));
        return *ret < 0 ? err_raise(-errno) : 0;
}

static void monitor_remove_mask(struct monitor *m, const char *name, int flags) {
        int fd = open(m->options->runtime_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd >= 0)
                (void)unlinkat(fd, name, flags);
        fd_close(&fd);
}

/* /dev/autofs, or a node of our own where /dev is a minimal one (10:235, Documentation/admin-guide/devices.txt). */
static int monitor_open_autofs(struct monitor *m) {
        char path[600];
        int fd = open("/dev/autofs", O_RDWR | O_CLOEXEC);

        if (fd >= 0)
                return fd;
        snprintf(path, sizeof(path), "%s/autofs", m->options->runtime_dir);
        if (mknod(path, S_IFCHR | 0600, makedev(10, 235)) == 0) {
                fd = open(path, O_RDWR | O_CLOEXEC);
                (void)unlink(path);
        }
        if (fd < 0)
                log_warning("/dev/autofs is missing: refused names look missing (ENOENT) instead of forbidden (EACCES)");
        return fd;
}

static _Noreturn void monitor_become_service(struct monitor *m, int fd_monitor) {
        const struct monitor_options *o = m->options;
        struct identity id = { .uid = o->service_uid, .gid = o->service_gid };
        struct service_options options = {
                .fd_monitor = fd_monitor, .policy_dirs = o->policy_dirs, .ceiling_dir = o->ceiling_dir,
        };
        int *const keep[] = { &options.fd_monitor, &options.fd_state };
        sigset_t none;

        prctl(PR_SET_NAME, "nono-service");
        log_init("nonod[service]", log_max_level());
        options.fd_state = open(o->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (options.fd_state < 0)
                _exit(1);
        for (int n = 1; n < NSIG; n++)
                (void)signal(n, SIG_DFL);
        (void)signal(SIGPIPE, SIG_IGN);
        (void)signal(SIGINT, SIG_IGN); /* a terminal's ^C is the monitor's to handle */
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        fd_keep_only(keep, ELEMENTSOF(keep));
        if (identity_assume(&id) < 0)
                _exit(1);
        _exit(o->service_main(&options));
}

static int monitor_start_service(struct monitor *m) {
        int pair[2], bytes = MONITOR_BUFFER;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return err_raise(-errno);
        for (int i = 0; i < 2; i++) {
                (void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
                (void)setsockopt(pair[i], SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
        }
        m->service_start = time(NULL);
        m->service = fork();
        if (m->service < 0)
                return err_raise(-errno);
        if (m->service == 0)
                monitor_become_service(m, pair[1]);
        fd_close(&pair[1]);
        m->fd_service = pair[0];
        return monitor_watch(m, m->fd_service, WATCH_SERVICE, 0);
}

static int monitor_start(struct monitor *m) {
        const struct monitor_options *o = m->options;
        struct rlimit limit;
        char reason[256];
        struct stat st;
        sigset_t set;
        int r;

        if (stat(o->runtime_dir, &st) < 0)
                return err_raise(-errno);
        snprintf(m->staging, sizeof(m->staging), "%s/root", o->runtime_dir);
        if (mkdir(m->staging, 0700) < 0 && errno != EEXIST)
                return err_raise(-errno);
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max; /* a descriptor per level of every session */
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
        /* levels never ask this process group; sessions leave it with setsid(2) */
        if (getpgrp() != getpid() && setpgid(0, 0) < 0)
                return err_raise(-errno);
        m->pgrp = getpgrp();
        if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return err_raise(-errno);
        r = filter_build(&m->filter);
        if (r)
                return err_pass(r);
        r = probe_run(m->staging, &m->filter, reason, sizeof(reason));
        if (r == -EOPNOTSUPP)
                log_error("this system cannot run live sessions: %s", reason);
        if (r)
                return r;
        m->fd_autofs = monitor_open_autofs(m);
        r = monitor_make_mask(m, MONITOR_MASK_FILE, false, &m->fd_mask[0]);
        if (r == 0)
                r = monitor_make_mask(m, MONITOR_MASK_DIR, true, &m->fd_mask[1]);
        if (r == 0)
                r = cgroup_init(&m->cgroup, (uint32_t)(st.st_ino ^ st.st_dev << 20));
        if (r)
                return err_pass(r);
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGCHLD);
        sigprocmask(SIG_BLOCK, &set, NULL);
        m->fd_signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        m->fd_epoll = epoll_create1(EPOLL_CLOEXEC);
        if (m->fd_signals < 0 || m->fd_epoll < 0 || pipe2(m->fd_lifeline, O_CLOEXEC) < 0)
                return err_raise(-errno);
        r = monitor_watch(m, m->fd_signals, WATCH_SIGNALS, 0);
        if (r == 0)
                r = monitor_start_service(m);
        if (r == 0)
                r = monitor_watch(m, o->fd_listen, WATCH_LISTEN, 0);
        return r;
}

static void monitor_event(struct monitor *m, uint64_t data) {
        struct session *s = &m->sessions[data & 0xffff];

        switch ((enum monitor_watch)(data >> 32)) {
        case WATCH_LISTEN:
                on_client(m);
                break;
        case WATCH_SERVICE:
                on_service(m);
                break;
        case WATCH_SIGNALS:
                on_signals(m);
                break;
        case WATCH_BUILDER:
                if (s->state != SESSION_FREE && s->fd_builder >= 0)
                        on_builder(m, s);
                break;
        case WATCH_INIT:
                if (s->state != SESSION_FREE && s->pidfd_init >= 0)
                        monitor_end(m, s);
                break;
        }
}

static void monitor_stop(struct monitor *m) {
        sd_notify(0, "STOPPING=1");
        session_spare_drop(&m->spare);
        fd_close(&m->fd_service); /* the service ends with its socket, brokers with theirs */
        for (uint32_t i = 1; i <= MONITOR_SESSIONS_MAX; i++)
                if (m->sessions[i].state != SESSION_FREE) {
                        session_kill(&m->sessions[i], &m->cgroup);
                        session_release(&m->sessions[i]);
                }
        if (m->service > 0) {
                (void)kill(m->service, SIGTERM);
                for (int i = 0; i < 100 && waitpid(m->service, NULL, WNOHANG) == 0; i++) {
                        if (i == 50)
                                (void)kill(m->service, SIGKILL);
                        usleep(10000);
                }
        }
        fd_close(&m->fd_lifeline[1]);
        for (int i = 0; i < 200 && (waitpid(-1, NULL, WNOHANG) >= 0 || errno == EINTR); i++)
                usleep(5000);
        cgroup_done(&m->cgroup);
        (void)rmdir(m->staging);
        monitor_remove_mask(m, MONITOR_MASK_FILE, 0);
        monitor_remove_mask(m, MONITOR_MASK_DIR, AT_REMOVEDIR);
}

int monitor_run(const struct monitor_options *options) {
        struct monitor m = { .options = options, .fd_epoll = -1, .fd_service = -1, .fd_signals = -1, .fd_autofs = -1,
                             .fd_lifeline = { -1, -1 }, .fd_mask = { -1, -1 }, .cgroup.fd_base = -1 };
        int r;

        m.sessions = calloc(MONITOR_SESSIONS_MAX + 1, sizeof(*m.sessions));
        if (!m.sessions)
                return 1;
        for (uint32_t i = 0; i <= MONITOR_SESSIONS_MAX; i++)
                session_init(&m.sessions[i]);
        r = monitor_start(&m);
        if (r) {
                if (r != -EOPNOTSUPP)
                        log_error("cannot start: %s", strerror(r < 0 ? -r : EINVAL));
                m.status = 1;
                m.stopping = true;
        } else {
                sd_notify(0, "READY=1\nSTATUS=serving");
                log_info("serving on %s", options->socket_path);
        }
        while (!m.stopping) {
                struct epoll_event events[64];
                int n = epoll_wait(m.fd_epoll, events, ELEMENTSOF(events),
                                   !m.spare.broker && !m.no_spare ? MONITOR_IDLE_MS : m.n_leaving ? MONITOR_RETRY_MS : -1);

                for (int i = 0; i < n && !m.stopping; i++)
                        monitor_event(&m, events[i].data.u64);
                if (n == 0 && !m.spare.broker)
                        monitor_make_spare(&m);
                if (m.n_leaving)
                        monitor_remove_cgroups(&m);
        }
        monitor_stop(&m);
        free(m.filter.filter);
        free(m.sessions);
        return m.status;
}
