/*
 * The broker's process: start, messages of the service, end.
 *
 * The service may vanish at any time. Then nothing new is granted, but the session's processes must get answers, not
 * hang: walks ENOENT, creating calls EACCES, until the session itself is gone.
 *
 * Runs as: the user, no capabilities, not dumpable.   Input: the service (trusted; a message that does not fit its row ends
 * the conversation).
 */
#include "daemon/broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/loop.h"
#include "daemon/broker/change.h"
#include "daemon/broker/connect.h"
#include "daemon/broker/grants.h"
#include "daemon/broker/guard.h"
#include "daemon/broker/holders.h"
#include "daemon/broker/levels.h"
#include "daemon/broker/message.h"
#include "daemon/broker/notify.h"
#include "daemon/broker/patterns.h"
#include "daemon/broker/peer.h"
#include "daemon/broker/resolve.h"

struct broker {
        struct loop *loop;
        struct peer *peer;
        struct levels *levels;
        struct grants *grants;
        struct notify *notify;
        struct change *change;
        struct connects *connects;
        struct patterns patterns; /* denied names inside grants */
        struct guard *guard; /* from the first BROKER_GUARD on */
        struct holders *holders;
        struct loop_source *child;
        uid_t uid;
        char home[PATH_BYTES]; /* "" until asked for */
        bool childless;        /* the builder ends early: alone it means nothing */
        bool listened;         /* there was a listener */
};

/* One received message; its descriptors are closed unless a handler takes them. */
struct incoming {
        struct broker_message m;
        const char *cursor, *end;
        int fd;
};

/* Init and builder are our children. A signal may have come before we listened for it, so this is asked anew each time. */
static void broker_reap(struct broker *b) {
        pid_t pid;

        do
                pid = waitpid(-1, NULL, WNOHANG);
        while (pid > 0);
        b->childless = pid < 0 && errno == ECHILD;
}

/* Nobody is left who could be answered. As long as the service is there the session may only be about to start. */
static void broker_check_end(struct broker *b) {
        bool filtered = notify_has_listener(b->notify), over;

        broker_reap(b);
        over = peer_is_closed(b->peer) ? !filtered && (b->childless || levels_are_over(b->levels))
                                       : !filtered && b->listened && b->childless;

        if (over)
                loop_stop(b->loop, 0);
}

static void broker_orphan(struct broker *b) {
        if (peer_is_closed(b->peer))
                return;
        peer_close(b->peer);
        levels_orphan(b->levels);
        change_orphan(b->change);
        broker_check_end(b);
}

static void broker_home(struct broker *b, const char *given) {
        struct resolved r;

        if (b->home[0] != '\0')
                return;
        if (!given) {
                (void)resolve_home(b->uid, b->home);
                return;
        }
        if (resolve_path(given, 0, NULL, NULL, &r) == 0 && r.error == 0 && r.kind == OBJECT_DIR)
                path_copy(b->home, r.path);
        resolved_done(&r);
}

static int broker_resolve(struct broker *b, struct incoming *in) {
        const char *path = peer_string(&in->cursor, in->end);
        bool create = in->m.flags & BROKER_F_CREATE_DIR;
        struct broker_message m = { .type = BROKER_RESOLVED, .tag = in->m.tag };
        struct peer_text texts[2];
        struct resolved r;
        int e;

        if (!path)
                return -EBADMSG;
        if (create)
                broker_home(b, peer_string(&in->cursor, in->end));
        e = resolve_path(path, create ? RESOLVE_F_CREATE_DIR : 0, b->home[0] ? b->home : NULL, NULL, &r);
        m.error = e < 0 ? -e : r.error;
        m.kind = r.kind;
        m.flags = r.executable ? BROKER_F_EXECUTABLE : 0;
        texts[0] = PEER_TEXT(r.path);
        texts[1] = (struct peer_text){ .text = r.links, .n = r.n_links_bytes, .raw = true };
        e = peer_send(b->peer, &m, texts, ELEMENTSOF(texts), &r.fd, r.fd >= 0 ? 1 : 0);
        if (e == PEER_E_FULL ||
            e == -EMFILE) { /* the links do not fit, or there is no room: an answer is owed all the same */
                m = (struct broker_message){ .type = BROKER_RESOLVED, .tag = in->m.tag, .error = ENOBUFS };
                e = peer_send(b->peer, &m, NULL, 0, NULL, 0);
        }
        resolved_done(&r);
        return e < 0 ? e : 0;
}

static int broker_level(struct broker *b, struct incoming *in) {
        const char *path = peer_string(&in->cursor, in->end);
        int r;

        if (!path)
                return -EBADMSG;
        r = levels_add(b->levels, in->m.node, in->m.dev, path, in->fd, in->m.token);
        if (r == 0)
                in->fd = -1;
        return r;
}

static int broker_fail(struct broker *b, struct incoming *in) {
        levels_fail(b->levels, in->m.token);
        return 0;
}

static int broker_answered(struct broker *b, struct incoming *in) {
        levels_answered(b->levels, in->m.token);
        return 0;
}

static int broker_notifier(struct broker *b, struct incoming *in) {
        int r = notify_listen(b->notify, in->fd);

        if (r == 0) {
                in->fd = -1;
                b->listened = true;
        }
        return r;
}

static int broker_verdict(struct broker *b, struct incoming *in) {
        change_verdict(b->change, in->m.tag, in->m.error);
        return 0;
}

static int broker_release(struct broker *b, struct incoming *in) {
        change_release(b->change, in->m.tag);
        return 0;
}

static int broker_port(struct broker *b, struct incoming *in) {
        return connects_allow_port(b->connects, in->m.port);
}

static int broker_grant(struct broker *b, struct incoming *in) {
        const char *path = peer_string(&in->cursor, in->end);

        return path ? grants_set(b->grants, in->m.node, path, in->m.flags & BROKER_F_WRITE) : -EBADMSG;
}

static int broker_ungrant(struct broker *b, struct incoming *in) {
        if (!levels_remove(b->levels, in->m.node))
                (void)grants_remove(b->grants, in->m.node);
        holders_taken(b->holders, in->m.node);
        return 0;
}

static int broker_held(struct broker *b, uint64_t tag, unsigned n) {
        struct broker_message m = { .type = BROKER_HELD, .tag = tag, .token = n };
        int r = peer_send(b->peer, &m, NULL, 0, NULL, 0);

        return r < 0 ? r : 0;
}

static int broker_holders(struct broker *b, struct incoming *in) {
        const char *path = peer_string(&in->cursor, in->end);

        if (!path)
                return -EBADMSG;
        if (holders_remember(b->holders, in->m.node, path) < 0)
                log_warning("who holds a grant that is taken back cannot be found out");
        return in->m.tag ? broker_held(b, in->m.tag, 0) : 0;
}

static int broker_end_holders(struct broker *b, struct incoming *in) {
        return broker_held(b, in->m.tag, holders_end(b->holders));
}

static int broker_pattern(struct broker *b, struct incoming *in) {
        const char *text = peer_string(&in->cursor, in->end);

        return text ? patterns_add(&b->patterns, text, in->m.flags, in->m.access) : -EBADMSG;
}

static int broker_guard(struct broker *b, struct incoming *in) {
        const char *path = peer_string(&in->cursor, in->end);
        int r = 0;

        if (!path)
                return -EBADMSG;
        if (!b->guard)
                r = guard_new(b->loop, b->peer, &b->guard);
        if (r == 0)
                r = guard_add(b->guard, path);
        if (r < 0) /* the mask stands; only its replacement on the host would go unnoticed */
                log_warning("a denied path cannot be watched: %s", strerror(-r));
        return 0;
}

/* clang-format off */
static const struct broker_row {
        uint32_t type;
        unsigned n_fds;
        int (*handle)(struct broker *b, struct incoming *in);
} rows[] = {
        { BROKER_RESOLVE, 0, broker_resolve },
        { BROKER_LEVEL, 1, broker_level },
        { BROKER_FAIL, 0, broker_fail },
        { BROKER_ANSWERED, 0, broker_answered },
        { BROKER_NOTIFIER, 1, broker_notifier },
        { BROKER_VERDICT, 0, broker_verdict },
        { BROKER_RELEASE, 0, broker_release },
        { BROKER_PORT, 0, broker_port },
        { BROKER_GRANT, 0, broker_grant },
        { BROKER_UNGRANT, 0, broker_ungrant },
        { BROKER_GUARD, 0, broker_guard },
        { BROKER_PATTERN, 0, broker_pattern },
        { BROKER_HOLDERS, 0, broker_holders },
        { BROKER_END_HOLDERS, 0, broker_end_holders },
};
/* clang-format on */

static int broker_dispatch(struct broker *b, struct incoming *in, size_t n_fds) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].type == in->m.type)
                        return n_fds == rows[i].n_fds ? rows[i].handle(b, in) : err_raise(-EBADMSG);
        return err_raise(-EBADMSG);
}

static int broker_record(struct broker *b, const void *record, size_t n, int *fds, size_t n_fds) {
        struct incoming in = { .fd = n_fds ? steal_fd(&fds[0]) : -1 };
        int r;

        memcpy(&in.m, record, sizeof(in.m));
        in.cursor = (const char *)record + sizeof(in.m);
        in.end = (const char *)record + n;
        r = broker_dispatch(b, &in, n_fds);
        fd_close(&in.fd);
        return r;
}

/* Return: 0; 1: nothing to read; -errno: the conversation is over. */
static int broker_receive(struct broker *b) {
        static char data[PACK_BYTES_MAX]; /* one process, one conversation; too large to clear for each message */
        struct pack_reader reader = { .data = data };
        int fds[PACK_FDS_MAX], *own, r;
        const void *record;
        size_t n, n_own;

        r = fd_recv(peer_fd(b->peer), data, sizeof(data), &reader.n, fds, ELEMENTSOF(fds), &reader.n_fds);
        if (r == FD_E_AGAIN)
                return 1;
        if (r)
                return r == FD_E_CLOSED ? -EPIPE : -EBADMSG;
        reader.fds = fds;
        if (reader.n > sizeof(struct broker_message) && broker_message_size(data) < reader.n)
                peer_cork(b->peer); /* many questions: the answers travel together too */
        do {
                r = pack_next(&reader, &broker_format, &record, &n, &own, &n_own);
                if (r == PACK_E_MALFORMED)
                        r = err_raise(-EBADMSG);
                else if (r == 0)
                        r = broker_record(b, record, n, own, n_own);
        } while (r == 0);
        peer_uncork(b->peer);
        fd_close_many(fds, reader.n_fds);
        return r < 0 ? r : 0;
}

static void on_service(void *arg) {
        struct broker *b = arg;
        int r = broker_receive(b);

        if (r >= 0)
                return;
        if (r != -EPIPE)
                log_error("the service sent something that cannot be: %s", strerror(-r));
        broker_orphan(b);
}

static void on_child(int signo, void *arg) {
        broker_check_end(arg);
}

static void on_unfiltered(void *arg) {
        broker_check_end(arg);
}

/* The monitor dropped everything before; this only refuses to work when that is not so. */
static int broker_confine(const struct broker_options *o) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct caps[2] = { 0 };
        uid_t ruid, euid, suid;
        gid_t rgid, egid, sgid;

        if (getresuid(&ruid, &euid, &suid) < 0 || getresgid(&rgid, &egid, &sgid) < 0)
                return err_raise(-errno);
        if (ruid != o->uid || euid != o->uid || suid != o->uid || rgid != o->gid || egid != o->gid || sgid != o->gid)
                return err_raise(-EPERM);
        if (syscall(SYS_capget, &header, caps) < 0)
                return err_raise(-errno);
        for (size_t i = 0; i < ELEMENTSOF(caps); i++)
                if (caps[i].effective || caps[i].permitted || caps[i].inheritable)
                        return err_raise(-EPERM);
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return err_raise(-errno);
        return 0;
}

/* Whatever else the parent had open is not ours: a kept write end of the pipe would hide that the session is over. */
static void broker_close_others(const struct broker_options *o) {
        unsigned low = (unsigned)MIN_OF(o->fd_service, o->fd_packets);
        unsigned high = (unsigned)MAX_OF(o->fd_service, o->fd_packets);

        if (low > 3)
                (void)close_range(3, low - 1, 0);
        if (high > low + 1)
                (void)close_range(MAX_OF(low + 1, 3U), high - 1, 0);
        (void)close_range(MAX_OF(high + 1, 3U), ~0U, 0);
}

/* One pidfd per waiting request, and as many on their way to the service. */
static void broker_raise_limits(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
}

static int broker_start(struct broker *b, const struct broker_options *o) {
        struct broker_message ready = { .type = BROKER_READY, .pid = (int32_t)getpid() };
        int fd_service = o->fd_service, fd_packets = o->fd_packets, r;

        fcntl(fd_service, F_SETFD, FD_CLOEXEC);
        fcntl(fd_packets, F_SETFD, FD_CLOEXEC);
        r = loop_new(&b->loop);
        if (r)
                return err_pass(r);
        r = peer_new(b->loop, fd_service, on_service, b, &b->peer);
        if (r)
                return err_pass(r);
        r = levels_new(b->loop, b->peer, fd_packets, &b->levels);
        if (r)
                return err_pass(r);
        r = grants_new(&b->grants);
        if (r)
                return err_pass(r);
        r = holders_new(b->levels, &b->holders);
        if (r)
                return err_pass(r);
        r = notify_new(b->loop, on_unfiltered, b, &b->notify);
        if (r)
                return err_pass(r);
        struct change_context context = {
                .loop = b->loop, .peer = b->peer, .levels = b->levels, .grants = b->grants, .notify = b->notify,
                .patterns = &b->patterns
        };
        r = change_new(&context, &b->change);
        if (r)
                return err_pass(r);
        r = connects_new(b->loop, b->peer, b->notify, &b->connects);
        if (r)
                return err_pass(r);
        notify_set_handlers(b->notify, b->change, b->connects);
        r = loop_signal(b->loop, SIGCHLD, on_child, b, &b->child);
        if (r)
                return err_pass(r);
        return peer_send(b->peer, &ready, NULL, 0, NULL, 0);
}

static void broker_stop(struct broker *b) {
        loop_source_free(b->child);
        guard_free(b->guard);
        connects_free(b->connects);
        change_free(b->change);
        notify_free(b->notify);
        grants_free(b->grants);
        holders_free(b->holders);
        levels_free(b->levels);
        patterns_done(&b->patterns);
        peer_free(b->peer);
        loop_free(b->loop);
}

int broker_run(const struct broker_options *options) {
        struct broker b = { .uid = options->uid };
        sigset_t none;
        int r;

        broker_close_others(options);
        r = broker_confine(options);
        if (r) {
                log_error("broker keeps privileges, not started: %s", strerror(-r));
                return 1;
        }
        broker_raise_limits();
        umask(077);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGINT, SIG_IGN); /* a restart of the daemon from a terminal ends no session */
        signal(SIGHUP, SIG_IGN);
        r = broker_start(&b, options);
        if (r == 0)
                r = loop_run(b.loop);
        else
                log_error("broker cannot start: %s", r < 0 ? strerror(-r) : "the service is gone");
        broker_stop(&b);
        return r ? 1 : 0;
}
