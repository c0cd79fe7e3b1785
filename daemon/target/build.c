/*
 * The view, node by node. Parents come first; each node is mkdir + attach below its parent's descriptor.
 *
 * Everything is mounted from inside the session's own mount namespace: levels mounted from elsewhere loop inner
 * namespaces and are dead on Linux 7.3.
 *
 * Runs as: root.   Input: see build.h.
 */
#include "daemon/target/build.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/monitor/request.h"
#include "daemon/target/devices.h"
#include "daemon/target/init.h"
#include "daemon/target/mount.h"

/* Where /dev goes; it is made before anybody says so. */
#define BUILD_DEV "dev"

struct build_node {
        int fd; /* what children are placed below; -1: nothing can be */
        uint32_t kind;
        uint32_t flags;
};

struct build {
        const struct build_options *options;
        struct identity identity;
        int fd_cgroup; /* directory of the session's control group; -1: none */
        struct build_node *nodes; /* indexed by node id */
        size_t n_nodes;
        struct pack out; /* records on their way to the monitor */
        int fd_hidden; /* tmpfs with the bind mounts of single files */
        int fd_namespace; /* the session's mount namespace */
        int fd_dev;    /* /dev, until its node comes */
        char proc[MONITOR_NAME_MAX + 1]; /* name of procfs in the root; "": the view has none */
};

static struct build_node *build_node(struct build *b, uint32_t id) {
        return id > 0 && id < b->n_nodes && b->nodes[id].kind ? &b->nodes[id] : NULL;
}

static int build_add(struct build *b, uint32_t id, uint32_t kind, uint32_t flags, int fd) {
        if (id == 0 || id > MONITOR_NODES_MAX)
                return err_raise(-EINVAL);
        if (id >= b->n_nodes) {
                size_t n = MAX_OF((size_t)id + 1, b->n_nodes * 2);
                struct build_node *nodes = reallocarray(b->nodes, n, sizeof(*nodes));

                if (!nodes)
                        return err_raise(-ENOMEM);
                memset(nodes + b->n_nodes, 0, (n - b->n_nodes) * sizeof(*nodes));
                b->nodes = nodes;
                b->n_nodes = n;
        }
        b->nodes[id] = (struct build_node){ .fd = fd, .kind = kind, .flags = flags };
        return 0;
}

/* pivot_root(2), NOTES: the same directory twice stacks the old root below, and it is detached at once. */
static int build_enter_root(int fd_root) {
        if (fchdir(fd_root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
                return err_raise(-errno);
        return chdir("/") < 0 ? err_raise(-errno) : 0;
}

/* The empty network namespace gets its private loopback; nothing else ever appears in it. */
static int build_loopback(void) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
                return err_raise(-errno);
        return 0;
}

/*
 * What does not depend on whose session it will be. The host's mounts are left behind at once, so that waiting here
 * keeps none of them busy.
 */
static int build_prepare(struct build *b) {
        _cleanup_close_ int fd_root = -1;
        int r;

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return err_raise(-errno);
        fd_root = mount_level(AT_FDCWD, b->options->staging, b->options->fd_pipe, b->options->pgrp);
        if (fd_root < 0)
                return err_pass(fd_root);
        b->fd_namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
        if (b->fd_namespace < 0)
                return err_raise(-errno);
        r = build_enter_root(fd_root);
        if (r)
                return err_pass(r);
        if (mkdirat(fd_root, MOUNT_HIDDEN, 0711) < 0 || mkdirat(fd_root, BUILD_DEV, 0755) < 0)
                return err_raise(-errno);
        b->fd_hidden = mount_type(fd_root, MOUNT_HIDDEN, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0711,size=1m");
        if (b->fd_hidden < 0)
                return err_pass(b->fd_hidden);
        b->fd_dev = devices_build(fd_root, BUILD_DEV);
        if (b->fd_dev < 0)
                return err_pass(b->fd_dev);
        if (unshare(CLONE_NEWIPC | CLONE_NEWNET) < 0)
                return err_raise(-errno);
        r = build_loopback();
        if (r == 0)
                r = build_add(b, 1, VIEW_LEVEL, 0, fd_root);
        if (r == 0)
                (void)steal_fd(&fd_root);
        return r;
}

/* An empty file to mount over; in a level that is not possible (autofs has no files), see build_file(). */
static int build_touch(int fd_dir, const char *name) {
        _cleanup_close_ int fd = openat(fd_dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);

        return fd >= 0 || errno == EEXIST ? 0 : err_raise(-errno);
}

/*
 * A single file in a level: symlink to a bind mount in the hidden tmpfs, and the file itself mounted over that symlink. A
 * first walk that races follows the link and still finds the file; every later one meets a regular file.
 */
static int build_file(struct build *b, const struct build_node *parent, const struct monitor_message *m, int *fds) {
        char hidden[32], target[64];
        int r;

        if (parent->kind != VIEW_LEVEL) {
                r = build_touch(parent->fd, m->name);
                return r ? r : mount_place(fds[0], parent->fd, m->name);
        }
        snprintf(hidden, sizeof(hidden), "f%u", m->node);
        snprintf(target, sizeof(target), "/" MOUNT_HIDDEN "/%s", hidden);
        r = build_touch(b->fd_hidden, hidden);
        if (r == 0)
                r = mount_place(fds[0], b->fd_hidden, hidden);
        if (r == 0 && symlinkat(target, parent->fd, m->name) < 0)
                r = err_raise(-errno);
        if (r == 0)
                r = mount_place(fds[1], parent->fd, m->name);
        return r;
}

/* DIR, FILE or MASK below a granted tree: the place exists on the host and is found without following anything. */
static int build_inside(struct build *b, const struct build_node *parent, const struct monitor_message *m, int fd_mount) {
        _cleanup_close_ int fd_place = mount_resolve_beneath(parent->fd, m->target);
        int fd = -1, r;

        if (fd_place < 0)
                return err_pass(fd_place);
        r = mount_place(fd_mount, fd_place, "");
        if (r)
                return err_pass(r);
        if (m->kind == VIEW_DIR) {
                fd = mount_resolve_beneath(parent->fd, m->target);
                if (fd < 0)
                        return err_pass(fd);
        }
        return build_add(b, m->node, m->kind, m->flags, fd);
}

static int build_one(struct build *b, const struct monitor_message *m, int *fds) {
        const struct build_options *o = b->options;
        const struct build_node *parent = build_node(b, m->parent);
        int fd = -1, r = 0;

        if (m->node == 1 && m->kind == VIEW_LEVEL)
                return 0; /* stands since build_prepare() */
        if (!parent || parent->fd < 0)
                return err_raise(-EINVAL);
        if (m->flags & VIEW_INSIDE)
                return build_inside(b, parent, m, fds[0]);
        if (m->kind == VIEW_DEV) {
                if (m->parent != 1 || strcmp(m->name, BUILD_DEV) != 0 || b->fd_dev < 0)
                        return err_raise(-EINVAL);
                return build_add(b, m->node, m->kind, m->flags, steal_fd(&b->fd_dev));
        }
        if (m->kind != VIEW_FILE && m->kind != VIEW_SYMLINK && mkdirat(parent->fd, m->name, 0755) < 0)
                return err_raise(-errno);
        switch (m->kind) {
        case VIEW_LEVEL:
                fd = mount_level(parent->fd, m->name, o->fd_pipe, o->pgrp);
                break;
        case VIEW_DIR:
                r = mount_place(fds[0], parent->fd, m->name);
                if (r == 0)
                        fd = openat(parent->fd, m->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                break;
        case VIEW_FILE:
                r = build_file(b, parent, m, fds);
                return r ? err_pass(r) : build_add(b, m->node, m->kind, m->flags, -1);
        case VIEW_SYMLINK:
                if (symlinkat(m->target, parent->fd, m->name) < 0)
                        return err_raise(-errno);
                return build_add(b, m->node, m->kind, m->flags, -1);
        case VIEW_PLAIN:
                fd = openat(parent->fd, m->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                break;
        case VIEW_TMP:
                fd = mount_type(parent->fd, m->name, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
                break;
        case VIEW_PROC: /* mounted by init, inside the pid namespace */
                if (m->parent != 1)
                        return err_raise(-EINVAL);
                strcpy(b->proc, m->name);
                return build_add(b, m->node, m->kind, m->flags, -1);
        default:
                return err_raise(-EINVAL);
        }
        if (r)
                return err_pass(r);
        if (fd < 0)
                return err_raise(fd == -1 ? -errno : fd);
        return build_add(b, m->node, m->kind, m->flags, fd);
}

static int build_send(struct build *b, struct monitor_message *m, const int *fds, size_t n_fds) {
        int r = 0;

        if (!pack_fits(&b->out, sizeof(*m), n_fds))
                r = pack_send(&b->out, b->options->fd_monitor);
        if (r)
                return err_raise(r < 0 ? r : -EPIPE);
        pack_add(&b->out, &monitor_format, m, sizeof(*m), fds, n_fds);
        return 0;
}

static int build_flush(struct build *b) {
        int r = pack_send(&b->out, b->options->fd_monitor);

        return r ? err_raise(r < 0 ? r : -EPIPE) : 0;
}

static int build_send_levels(struct build *b) {
        for (uint32_t id = 1; id < b->n_nodes; id++) {
                struct monitor_message m = { .type = MONITOR_LEVEL, .node = id };
                int fds[2], r;

                if (b->nodes[id].kind == VIEW_LEVEL) {
                        r = mount_level_dev(b->nodes[id].fd, &m.dev);
                        if (r == 0)
                                r = build_send(b, &m, &b->nodes[id].fd, 1);
                        if (r)
                                return err_pass(r);
                } else if (b->nodes[id].kind && b->nodes[id].fd >= 0) {
                        /* the monitor places live nodes below these too */
                        m.type = MONITOR_REPLY;
                        m.kind = b->nodes[id].kind;
                        fds[0] = b->nodes[id].fd;
                        r = build_send(b, &m, fds, 1);
                        if (r)
                                return err_pass(r);
                }
        }
        return build_flush(b); /* they travel on while the namespaces are made */
}

/*
 * Init becomes a child of the broker (CLONE_PARENT), so that Yama's "descendants only" lets the broker read the
 * session's memory. The namespaces of processes are unshared here, after every mount: an autofs mount resolves the
 * daemon's group in the caller's pid namespace.
 */
static int build_start(struct build *b, const struct monitor_message *m, int *fds, size_t n_fds) {
        const struct build_options *o = b->options;
        struct monitor_message started = { .type = MONITOR_STARTED };
        struct init_options init = {
                .identity = &b->identity,
                .filter = o->filter,
                .fd_root = b->nodes[1].fd,
                .proc = b->proc,
                .fd_control = o->fd_control,
                .fd_lifeline = o->fd_lifeline,
                .fd_spec = fds[0],
                .fd_stdio = { -1, -1, -1 },
                .umask = m->umask & 0777,
        };
        /* born in its control group: moving there would wait for an RCU grace period, 10 ms and more (Linux 5.7) */
        struct clone_args args = { .flags = CLONE_PARENT | CLONE_PIDFD };
        int send_fds[3], pidfd = -1, r;
        size_t used = 1;
        long pid;

        for (unsigned n = 0; n < 3; n++)
                if (m->flags & BIT(n)) {
                        if (used >= n_fds)
                                return err_raise(-EBADMSG);
                        init.fd_stdio[n] = fds[used++];
                }
        r = build_send_levels(b);
        if (r)
                return err_pass(r);
        if (unshare(CLONE_NEWPID) < 0)
                return err_raise(-errno);
        if (b->fd_cgroup >= 0) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)b->fd_cgroup;
        }
        args.pidfd = (uint64_t)(uintptr_t)&pidfd;
        pid = syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0)
                return err_raise(-errno);
        if (pid == 0)
                init_run(&init);
        started.pid = (int)pid;
        send_fds[0] = pidfd;
        send_fds[1] = b->fd_namespace;
        send_fds[2] = b->fd_hidden;
        r = build_send(b, &started, send_fds, 3);
        return r ? r : build_flush(b);
}

/*
 * Somebody on the host replaced the object after the broker had opened it (an editor saves, useradd writes
 * /etc/passwd): the old one can no longer be attached, move_mount(2) says ENOENT. Not a reason to refuse the session:
 * without the node the name asks, and the new object is judged then.
 */
static int build_gone(struct build *b, const struct monitor_message *m) {
        const struct build_node *parent = build_node(b, m->parent);
        struct monitor_message gone = { .type = MONITOR_GONE, .node = m->node };
        char hidden[32];

        if (parent && !(m->flags & VIEW_INSIDE)) {
                snprintf(hidden, sizeof(hidden), "f%u", m->node);
                (void)unlinkat(b->fd_hidden, hidden, 0);
                (void)unlinkat(parent->fd, m->name, m->kind == VIEW_DIR ? AT_REMOVEDIR : 0);
        }
        return build_send(b, &gone, NULL, 0);
}

static bool build_is_gone(struct build *b, const struct monitor_message *m, int r) {
        const struct build_node *parent = build_node(b, m->parent);

        if (m->flags & VIEW_INSIDE && !parent)
                return true; /* went with what it was inside of */
        return r == -ENOENT && parent && (m->kind == VIEW_DIR || m->kind == VIEW_FILE || m->kind == VIEW_MASK);
}

static int build_record(struct build *b, const void *record, int *fds, size_t n_fds) {
        int own[4] = { -1, -1, -1, -1 }; /* a missing descriptor is EBADF, not somebody else's */
        struct monitor_message m;
        int r;

        memcpy(&m, record, sizeof(m));
        m.name[MONITOR_NAME_MAX] = m.target[MONITOR_TARGET_MAX] = '\0';
        for (size_t i = 0; i < n_fds && i < ELEMENTSOF(own); i++)
                own[i] = fds[i];
        if (m.type == MONITOR_START) {
                r = n_fds >= 1 && build_node(b, 1) ? build_start(b, &m, own, n_fds) : -EINVAL;
                if (r == 0)
                        _exit(0);
        } else
                r = build_one(b, &m, own);
        if (r && build_is_gone(b, &m, r))
                r = build_gone(b, &m);
        if (r) {
                struct monitor_message failed = { .type = MONITOR_REPLY, .node = m.node, .error = -r };

                if (build_send(b, &failed, NULL, 0) == 0)
                        (void)build_flush(b);
        }
        return r;
}

static int build_take_identity(struct build *b) {
        size_t n, n_fds;
        int r;

        r = fd_recv(b->options->fd_monitor, &b->identity, sizeof(b->identity), &n, &b->fd_cgroup, 1, &n_fds);
        return r == 0 && n == sizeof(b->identity) && b->identity.n_groups <= IDENTITY_GROUPS_MAX ? 0 : -EPIPE;
}

_Noreturn void build_run(const struct build_options *options) {
        static struct build b;
        static char data[PACK_BYTES_MAX];

        b.options = options;
        b.fd_hidden = b.fd_namespace = b.fd_dev = b.fd_cgroup = -1;
        prctl(PR_SET_NAME, "nono-spare");
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        log_init("nonod[builder]", log_max_level());
        umask(0);
        if (build_prepare(&b) != 0 || build_take_identity(&b) != 0)
                _exit(1); /* the monitor sees the socket close */
        prctl(PR_SET_NAME, "nono-builder");
        for (;;) {
                struct pack_reader reader = { .data = data };
                int fds[PACK_FDS_MAX], *own, r;
                const void *record;
                size_t n, n_own;

                if (fd_recv(options->fd_monitor, data, sizeof(data), &reader.n, fds, ELEMENTSOF(fds), &reader.n_fds) != 0)
                        _exit(1); /* the monitor gave the session up */
                reader.fds = fds;
                do {
                        r = pack_next(&reader, &monitor_format, &record, &n, &own, &n_own);
                        if (r == 0)
                                r = build_record(&b, record, own, n_own);
                } while (r == 0);
                fd_close_many(fds, reader.n_fds);
                if (r != PACK_E_END)
                        _exit(1);
        }
}
