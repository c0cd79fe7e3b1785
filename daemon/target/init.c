/*
 * Init: finishes the view from inside (procfs, root), becomes the user, starts the program under the filter, reaps.
 *
 * Init leads the terminal's session and the program is its foreground group, so a stopped program has a parent in
 * its session (an orphaned group would ignore ^Z) and init can tell the client to stop too.
 *
 * Runs as: root, then the user; see init.h.   Input: see init.h.
 */
#include "daemon/target/init.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/target/control.h"
#include "daemon/target/filter.h"
#include "daemon/target/landlock-linux.h"
#include "daemon/target/mount.h"
#include "daemon/target/spec.h"

static void init_tell(int fd_control, enum control_type type, int value, int pid, uint32_t step, int fd) {
        struct control_message m = { .type = type, .value = value, .pid = pid, .step = step };

        (void)fd_send(fd_control, &m, sizeof(m), &fd, fd >= 0 ? 1 : 0);
}

static _Noreturn void init_fail(int fd_control, int r, uint32_t step) {
        init_tell(fd_control, CONTROL_FAILED, -r, 0, step, -1);
        _exit(125);
}

/* uid 0 owns these even without capabilities; for everyone else the modes suffice. */
static int init_protect_proc(int fd_proc) {
        static const char *const read_only[] = { "sys", "sysrq-trigger", "irq", "bus", "fs" };

        for (size_t i = 0; i < ELEMENTSOF(read_only); i++) {
                struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
                _cleanup_close_ int fd_tree = open_tree(fd_proc, read_only[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

                if (fd_tree < 0 && errno == ENOENT)
                        continue; /* not built into this kernel */
                if (fd_tree < 0 || mount_setattr(fd_tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                        return err_raise(-errno);
                if (mount_place(fd_tree, fd_proc, read_only[i]) < 0)
                        return err_raise(-EIO);
        }
        return 0;
}

static int init_mount_proc(const struct init_options *o) {
        int fd, r;

        fd = mount_type(o->fd_root, o->proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
        if (fd < 0)
                return err_pass(fd);
        r = o->identity->uid == 0 ? init_protect_proc(fd) : 0;
        fd_close(&fd);
        return r;
}

static int init_setup(const struct init_options *o) {
        int r;

        /* the group namespace's root is the group of whoever makes it: ours, not the builder's */
        if (setsid() < 0 || unshare(CLONE_NEWCGROUP) < 0)
                return err_raise(-errno);
        if (o->proc[0]) {
                r = init_mount_proc(o);
                if (r)
                        return err_pass(r);
        }
        /* shared, so that mount namespaces a program makes inside see live grants too */
        if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0 || chdir("/") < 0)
                return err_raise(-errno);
        r = identity_limit(o->identity);
        if (r == 0)
                r = identity_assume(o->identity);
        umask(o->umask);
        return r;
}

/* As the user, so that the terminal is theirs. Return: the slave; *ret_master for the client. */
static int init_terminal(const struct spec *spec, int *ret_master) {
        struct winsize size = { .ws_row = spec->rows, .ws_col = spec->columns };
        _cleanup_close_ int fd_master = -1;
        int fd_slave, zero = 0;

        fd_master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (fd_master < 0 || ioctl(fd_master, TIOCSPTLCK, &zero) < 0)
                return err_raise(-errno);
        if (size.ws_row && ioctl(fd_master, TIOCSWINSZ, &size) < 0)
                return err_raise(-errno);
        fd_slave = ioctl(fd_master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (fd_slave < 0)
                return err_raise(-errno);
        if (ioctl(fd_slave, TIOCSCTTY, 0) < 0) {
                int r = -errno;

                fd_close(&fd_slave);
                return err_raise(r);
        }
        *ret_master = steal_fd(&fd_master);
        return fd_slave;
}

static void init_wait_for_go(int fd_control) {
        struct control_message m;
        size_t n, n_fds;
        int fds[1];

        for (;;) {
                int r = fd_recv(fd_control, &m, sizeof(m), &n, fds, 0, &n_fds);

                if (r || n != sizeof(m))
                        _exit(125);
                if (m.type == CONTROL_GO)
                        return;
        }
}

/* Runs in the child: under the filter, with the standard descriptors in place. Never returns. */
static _Noreturn void init_exec(const struct init_options *o, const struct spec *spec, const int stdio[3], int fd_alive) {
        int fd_listener, r;

        r = landlock_scope();
        if (r)
                init_fail(o->fd_control, r, CONTROL_STEP_SETUP);
        /* 0, 1, 2 are the only descriptors that lose close-on-exec; they were all moved above 2 before */
        for (int i = 0; i < 3; i++)
                if (dup2(stdio[i], i) < 0)
                        init_fail(o->fd_control, -errno, CONTROL_STEP_SETUP);
        fd_listener = filter_install(o->filter);
        if (fd_listener < 0)
                init_fail(o->fd_control, fd_listener, CONTROL_STEP_SETUP);
        init_tell(o->fd_control, CONTROL_NOTIFIER, 0, 0, 0, fd_listener);
        fd_close(&fd_listener); /* a copy of it here would keep denied calls waiting when the broker dies */
        init_wait_for_go(o->fd_control);
        if (chdir(spec->workdir) < 0) {
                r = -errno;
                (void)!write(fd_alive, "", 1);
                init_fail(o->fd_control, r, CONTROL_STEP_CHDIR);
        }
        r = spec_exec(spec);
        (void)!write(fd_alive, "", 1);
        init_tell(o->fd_control, CONTROL_FAILED, -r, 0, CONTROL_STEP_EXEC, -1);
        _exit(r == -ENOENT || r == -ENOTDIR ? 127 : 126);
}

struct init {
        pid_t child, group;
        int fd_control, fd_terminal; /* -1: none */
};

/* Return: true when the program itself has ended. */
static bool init_reap(struct init *i) {
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
                if (pid != i->child)
                        continue;
                if (WIFSTOPPED(status)) {
                        init_tell(i->fd_control, CONTROL_STOPPED, WSTOPSIG(status), 0, 0, -1);
                        continue;
                }
                init_tell(i->fd_control, CONTROL_EXITED, status, 0, 0, -1);
                return true;
        }
        return false;
}

static void init_control(struct init *i, struct pollfd *p) {
        struct control_message m;
        size_t n, n_fds;
        int fds[1], r;

        r = fd_recv(i->fd_control, &m, sizeof(m), &n, fds, 0, &n_fds);
        if (r || n != sizeof(m)) {
                p->fd = -1; /* the service is gone: the program goes on with what it has */
                return;
        }
        switch (m.type) {
        case CONTROL_SIGNAL:
                if (m.value > 0 && m.value < NSIG)
                        (void)kill(-i->group, m.value);
                break;
        case CONTROL_CONTINUE:
                if (i->fd_terminal >= 0)
                        (void)tcsetpgrp(i->fd_terminal, i->group);
                (void)kill(-i->group, SIGCONT);
                break;
        default:
                break;
        }
}

static _Noreturn void init_loop(struct init *i, int fd_lifeline, int fd_signals, int fd_alive) {
        struct pollfd p[] = {
                { .fd = fd_signals, .events = POLLIN },
                { .fd = -1, .events = POLLIN }, /* control: the child reads it until exec succeeds */
                { .fd = fd_lifeline, .events = POLLIN },
                { .fd = fd_alive, .events = POLLIN },
        };

        for (;;) {
                if (poll(p, ELEMENTSOF(p), -1) < 0)
                        continue;
                if (p[3].revents) {
                        char failed;

                        if (read(fd_alive, &failed, 1) == 0)
                                init_tell(i->fd_control, CONTROL_STARTED, 0, i->child, 0, -1);
                        p[3].fd = -1;
                        p[1].fd = i->fd_control;
                }
                if (p[0].revents) {
                        struct signalfd_siginfo info;

                        if (read(fd_signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGHUP) {
                                /* the terminal's other end is gone */
                                (void)kill(-i->group, SIGHUP);
                                (void)kill(-i->group, SIGCONT);
                        }
                        if (init_reap(i))
                                _exit(0);
                }
                if (p[1].revents)
                        init_control(i, &p[1]);
                if (p[2].revents)
                        _exit(0); /* the monitor is gone: the kernel ends everything in this pid namespace with us */
        }
}

_Noreturn void init_run(const struct init_options *options) {
        struct init_options o = *options;
        int *const keep[] = { &o.fd_root,     &o.fd_control,  &o.fd_lifeline, &o.fd_spec,
                              &o.fd_stdio[0], &o.fd_stdio[1], &o.fd_stdio[2] };
        struct init i = { .fd_terminal = -1 };
        int alive[2], fd_signals, fd_master = -1, stdio[3], r;
        struct spec spec;
        sigset_t all;

        prctl(PR_SET_NAME, "nono-init");
        log_init("nonod[init]", log_max_level());
        fd_keep_only(keep, ELEMENTSOF(keep));
        r = init_setup(&o);
        if (r)
                init_fail(o.fd_control, r, CONTROL_STEP_SETUP);
        r = spec_open(o.fd_spec, &spec);
        if (r)
                init_fail(o.fd_control, r, CONTROL_STEP_SETUP);
        fd_close(&o.fd_spec);
        fd_close(&o.fd_root);
        if (spec.tty_mask) {
                i.fd_terminal = init_terminal(&spec, &fd_master);
                if (i.fd_terminal < 0)
                        init_fail(o.fd_control, i.fd_terminal, CONTROL_STEP_SETUP);
                init_tell(o.fd_control, CONTROL_TTY, 0, 0, 0, fd_master);
                fd_close(&fd_master); /* ours would keep the terminal alive after the client is gone */
        }
        for (int n = 0; n < 3; n++) {
                stdio[n] = o.fd_stdio[n] >= 0 ? o.fd_stdio[n] : i.fd_terminal;
                if (stdio[n] < 0)
                        init_fail(o.fd_control, -EBADF, CONTROL_STEP_SETUP);
        }

        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        fd_signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
        if (fd_signals < 0 || pipe2(alive, O_CLOEXEC) < 0)
                init_fail(o.fd_control, -errno, CONTROL_STEP_SETUP);
        /* vfork: nothing of ours is copied, and its return says that the program runs, or that the child has ended */
        i.child = vfork();
        if (i.child < 0)
                init_fail(o.fd_control, -errno, CONTROL_STEP_SETUP);
        if (i.child == 0) {
                setpgid(0, 0);
                if (i.fd_terminal >= 0)
                        (void)tcsetpgrp(i.fd_terminal, getpid());
                for (int n = 1; n < NSIG; n++)
                        (void)signal(n, SIG_DFL);
                sigprocmask(SIG_UNBLOCK, &all, NULL);
                init_exec(&o, &spec, stdio, alive[1]);
        }
        i.group = i.child;
        i.fd_control = o.fd_control;
        (void)setpgid(i.child, i.child);
        if (i.fd_terminal >= 0)
                (void)tcsetpgrp(i.fd_terminal, i.group);
        fd_close(&alive[1]);
        for (int n = 0; n < 3; n++)
                fd_close(&o.fd_stdio[n]);
        if (log_max_level() < LOG_LEVEL_DEBUG)
                (void)close_range(0, 2, 0);
        init_loop(&i, o.fd_lifeline, fd_signals, alive[0]);
}
