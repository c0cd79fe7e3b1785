/*
 * The queue has no limit: the kernel allows an open whose event finds it full, and every event is a thread that waits.
 * Nor have the marks: those of one user's sessions must not use up what another's mounts need; the reader bounds them.
 *
 * Runs as: root; the reader becomes the user at once.   Input: none.
 */
#include "daemon/monitor/sentry.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "daemon/broker/sentry.h"
#include "daemon/target/identity.h"

void sentry_init(struct sentry *s) {
        *s = (struct sentry){ .fd_events = -1 };
}

static _Noreturn void sentry_child(const struct identity *identity, struct sentry_options *o,
                                   int (*main)(const struct sentry_options *options)) {
        int *const keep[] = { &o->fd_service, &o->fd_events, &o->fd_lifeline };

        prctl(PR_SET_NAME, "nono-sentry");
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        log_init("nonod[sentry]", log_max_level());
        fd_keep_only(keep, ELEMENTSOF(keep));
        umask(0077);
        if (identity_assume(identity) < 0)
                _exit(1);
        _exit(main(o));
}

int sentry_clone(int fd_events, int fd, bool write) {
        struct mount_attr attr = {
                .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (write ? 0 : MOUNT_ATTR_RDONLY),
                .propagation = MS_PRIVATE,
        };
        _cleanup_close_ int fd_mount = -1;

        if (fd_events < 0)
                return err_raise(-EINVAL);
        fd_mount = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (fd_mount < 0)
                return err_raise(-errno);
        if (mount_setattr(fd_mount, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                return err_raise(-errno);
        if (fanotify_mark(fd_events, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN_PERM, fd_mount, ".") < 0)
                return err_raise(errno == EINVAL ? -EOPNOTSUPP : -errno);
        return steal_fd(&fd_mount);
}

/* Tried on a clone that nobody can reach: a kernel without permission events takes the group and refuses the mark. */
static int sentry_probe(int fd_events) {
        _cleanup_close_ int fd_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), fd_clone = -1;

        if (fd_root < 0)
                return err_raise(-errno);
        fd_clone = sentry_clone(fd_events, fd_root, false);
        return fd_clone < 0 ? err_pass(fd_clone) : 0;
}

int sentry_start(struct sentry *s, const struct identity *identity, int fd_lifeline,
                 int (*main)(const struct sentry_options *options), int *ret) {
        _cleanup_close_ int fd_events = -1, fd_ours = -1, fd_theirs = -1;
        struct sentry_options o;
        int pair[2], r;
        pid_t pid;

        fd_events = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE |
                                          FAN_UNLIMITED_MARKS,
                                  O_RDONLY | O_NONBLOCK | O_LARGEFILE | O_CLOEXEC);
        if (fd_events < 0)
                return err_raise(errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : -EOPNOTSUPP);
        r = sentry_probe(fd_events);
        if (r)
                return err_pass(r);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return err_raise(-errno);
        fd_ours = pair[0];
        fd_theirs = pair[1];
        o = (struct sentry_options){ .fd_service = fd_theirs, .fd_events = fd_events, .fd_lifeline = fd_lifeline };
        pid = fork();
        if (pid < 0)
                return err_raise(-errno);
        if (pid == 0)
                sentry_child(identity, &o, main);
        s->pid = pid;
        s->fd_events = steal_fd(&fd_events);
        *ret = steal_fd(&fd_ours);
        return 0;
}

void sentry_release(struct sentry *s) {
        if (s->pid > 0)
                (void)kill(s->pid, SIGKILL); /* our child, not yet reaped: the pid is still its own */
        fd_close(&s->fd_events);
        s->pid = 0;
}
