/*
 * One session's processes. The broker is forked first and forks the builder before it gives up root, so that init, a
 * CLONE_PARENT child of the builder, is the broker's child: Yama then lets the broker read the session's memory.
 *
 * Runs as: root; the forked children take their own roles at once.   Input: none.
 */
#include "daemon/monitor/session.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/broker/broker.h"
#include "daemon/target/build.h"

enum { SESSION_PIPE_BYTES = 1 << 20 }; /* a full packet pipe would turn signals into EINTR for whoever walks */

struct session_fds {
        int packets[2], broker[2], control[2], builder[2], assign[2];
};

static void session_fds_close(struct session_fds *f) {
        fd_close_many(f->packets, 2);
        fd_close_many(f->broker, 2);
        fd_close_many(f->control, 2);
        fd_close_many(f->builder, 2);
        fd_close_many(f->assign, 2);
}

static int session_fds_open(struct session_fds *f) {
        int *const pairs[] = { f->broker, f->control, f->builder, f->assign };

        if (pipe2(f->packets, O_DIRECT | O_CLOEXEC) < 0)
                return err_raise(-errno);
        if (fcntl(f->packets[1], F_SETPIPE_SZ, SESSION_PIPE_BYTES) < 0)
                return err_raise(-errno);
        for (size_t i = 0; i < ELEMENTSOF(pairs); i++)
                if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pairs[i]) < 0)
                        return err_raise(-errno);
        return 0;
}

static void session_reset_signals(void) {
        sigset_t none;

        (void)signal(SIGPIPE, SIG_IGN); /* the monitor has no handlers; init resets what it inherited */
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void session_builder(const struct session_spawn *spawn, struct session_fds *f) {
        struct build_options o = {
                .filter = spawn->filter,
                .staging = spawn->staging,
                .fd_monitor = f->builder[1],
                .fd_pipe = f->packets[1],
                .fd_control = f->control[1],
                .fd_lifeline = spawn->fd_lifeline,
                .pgrp = spawn->pgrp,
        };
        int *const keep[] = { &o.fd_monitor, &o.fd_pipe, &o.fd_control, &o.fd_lifeline };

        session_reset_signals();
        fd_keep_only(keep, ELEMENTSOF(keep));
        build_run(&o);
}

static _Noreturn void session_broker(const struct session_spawn *spawn, struct session_fds *f) {
        struct broker_options o = { .fd_service = f->broker[1], .fd_packets = f->packets[0] };
        static struct identity identity;
        int fd_assign = f->assign[1];
        int *const keep[] = { &o.fd_service, &o.fd_packets, &fd_assign };
        size_t n, n_fds;
        pid_t builder;

        builder = fork();
        if (builder < 0)
                _exit(1);
        if (builder == 0)
                session_builder(spawn, f);
        prctl(PR_SET_NAME, "nono-spare");
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        log_init("nonod[broker]", log_max_level());
        session_reset_signals();
        fd_keep_only(keep, ELEMENTSOF(keep));
        umask(0077);
        if (fd_recv(fd_assign, &identity, sizeof(identity), &n, NULL, 0, &n_fds) != 0 || n != sizeof(identity) ||
            identity.n_groups > IDENTITY_GROUPS_MAX)
                _exit(0); /* never needed */
        fd_close(&fd_assign);
        if (identity_assume(&identity) < 0)
                _exit(1);
        prctl(PR_SET_NAME, "nono-broker");
        o.uid = identity.uid;
        o.gid = identity.gid;
        _exit(spawn->broker_main(&o));
}

void session_init(struct session *s) {
        *s = (struct session){ .fd_builder = -1, .fd_control = -1, .pidfd_init = -1 };
        view_init(&s->view);
        sentry_init(&s->sentry);
}

int session_prepare(struct session_spare *spare, const struct session_spawn *spawn) {
        struct session_fds f = { { -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 } };
        int r;

        r = session_fds_open(&f);
        if (r == 0) {
                spare->broker = fork();
                if (spare->broker < 0)
                        r = -errno;
                if (spare->broker == 0)
                        session_broker(spawn, &f);
        }
        if (r) {
                spare->broker = 0;
                session_fds_close(&f);
                return err_raise(r);
        }
        spare->fd_pipe = steal_fd(&f.packets[1]);
        spare->fd_builder = steal_fd(&f.builder[0]);
        spare->fd_broker = steal_fd(&f.broker[0]);
        spare->fd_control = steal_fd(&f.control[0]);
        spare->fd_assign = steal_fd(&f.assign[0]);
        session_fds_close(&f);
        return 0;
}

void session_spare_drop(struct session_spare *spare) {
        if (spare->broker <= 0)
                return;
        fd_close(&spare->fd_pipe);
        fd_close(&spare->fd_builder);
        fd_close(&spare->fd_broker);
        fd_close(&spare->fd_control);
        fd_close(&spare->fd_assign);
        spare->broker = 0;
}

static int session_assign(const struct session_spare *spare, const struct identity *identity, int fd_cgroup) {
        int r;

        r = fd_send(spare->fd_builder, identity, sizeof(*identity), &fd_cgroup, fd_cgroup >= 0 ? 1 : 0);
        if (r == 0)
                r = fd_send(spare->fd_assign, identity, sizeof(*identity), NULL, 0);
        return r ? err_raise(r < 0 ? r : -EPIPE) : 0;
}

int session_start(struct session *s, const struct session_spawn *spawn, struct session_spare *spare,
                  const struct identity *identity, int *ret_broker) {
        _cleanup_close_ int fd_cgroup = -1;
        int r;

        r = spare->broker ? 0 : session_prepare(spare, spawn);
        if (r == 0)
                r = cgroup_create(spawn->cgroup, s->id, &fd_cgroup);
        if (r)
                return err_pass(r);
        r = session_assign(spare, identity, fd_cgroup);
        if (r) {
                session_spare_drop(spare);
                (void)cgroup_remove(spawn->cgroup, s->id);
                return err_pass(r);
        }
        view_init(&s->view);
        s->broker = spare->broker;
        s->view.pgrp = spawn->pgrp;
        s->view.fd_pipe = steal_fd(&spare->fd_pipe);
        s->fd_builder = steal_fd(&spare->fd_builder);
        s->fd_control = steal_fd(&spare->fd_control);
        s->pidfd_init = -1;
        s->state = SESSION_BUILDING;
        *ret_broker = steal_fd(&spare->fd_broker);
        fd_close(&spare->fd_assign);
        spare->broker = 0;
        return 0;
}

void session_kill(struct session *s, struct cgroup *cgroup) {
        cgroup_kill(cgroup, s->id);
        if (s->pidfd_init >= 0)
                (void)syscall(SYS_pidfd_send_signal, s->pidfd_init, SIGKILL, NULL, 0);
        fd_close(&s->fd_builder); /* a builder that still waits gives up */
        s->state = SESSION_ENDING;
}

void session_release(struct session *s) {
        if (s->broker > 0)
                (void)kill(s->broker, SIGKILL); /* our child, not yet reaped: the pid is still its own */
        fd_close(&s->fd_builder);
        fd_close(&s->fd_control);
        fd_close(&s->pidfd_init);
        sentry_release(&s->sentry);
        view_done(&s->view);
        s->state = SESSION_FREE;
        s->broker = s->init = 0;
}
