/*
 * One loop over four descriptors. Nothing is judged before BROKER_SERVE: until then opens wait.
 *
 * What may be opened is remembered in the kernel (an ignore mark on the inode, which the kernel drops when the content
 * changes or the inode leaves memory), so that repeats cost nothing. The mark is the inode's, not the name's: a file that
 * was readable and is then renamed to a denied name by the host would stay readable. So an allow is only remembered while
 * the directories above are watched, and whatever gets a denied name there makes the kernel forget all of them.
 * A file with several names is judged each time, and by its identity too: it may be what another name denies.
 *
 * Runs as: the user, no capabilities, not dumpable.   Input: fanotify events; patterns of the service (trusted).
 */
#include "daemon/broker/sentry.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/pack.h"
#include "daemon/broker/message.h"
#include "daemon/broker/path.h"
#include "daemon/broker/patterns.h"

#ifndef FAN_MARK_EVICTABLE
#define FAN_MARK_EVICTABLE 0x00000200 /* Linux 5.19 */
#endif

enum {
        SENTRY_SCAN_ENTRIES = 100000, /* of one granted directory */
        SENTRY_SCAN_MS = 300,
        SENTRY_DENIED_MAX = 4096,   /* files with several names, one of them denied */
        SENTRY_ALLOWED_MAX = 65536, /* ignore marks; then all are dropped */
        SENTRY_WATCHES_MAX = 8192,
        SENTRY_BUCKETS = 4096,
        SENTRY_LINGER_MS = 2000, /* after the monitor's death, until every session has ended with it */
};

/* Inode numbers come back when a file is deleted, births do not. */
struct sentry_identity {
        uint32_t major, minor;
        uint64_t ino;
        int64_t born;
};

struct sentry_tree {
        char *path;
        int fd; /* to be scanned; -1: done */
};

struct sentry_directory {
        struct sentry_directory *next;
        int watch;
        char path[];
};

struct sentry {
        struct sentry_options o;
        int fd_watch;
        struct patterns patterns;
        struct sentry_identity *denied;
        size_t n_denied;
        struct sentry_tree *trees;
        size_t n_trees, n_unscanned;
        struct sentry_directory *directories[SENTRY_BUCKETS];
        struct sentry_directory *watched[SENTRY_WATCHES_MAX + 1]; /* by number; they rise from 1 */
        size_t n_directories, n_allowed;
        bool serving, orphaned;
};

/* --- files with several names ------------------------------------------------------------------------------------- */

static bool sentry_identify(int fd, const char *path, int flags, struct sentry_identity *ret, unsigned *ret_links) {
        struct statx sx;

        if (statx(fd, path, flags | AT_NO_AUTOMOUNT, STATX_INO | STATX_NLINK | STATX_TYPE | STATX_BTIME, &sx) < 0)
                return false;
        *ret = (struct sentry_identity){ .major = sx.stx_dev_major, .minor = sx.stx_dev_minor, .ino = sx.stx_ino };
        if (sx.stx_mask & STATX_BTIME)
                ret->born = sx.stx_btime.tv_sec * 1000000000 + sx.stx_btime.tv_nsec;
        *ret_links = S_ISREG(sx.stx_mode) ? sx.stx_nlink : 1;
        return true;
}

static bool sentry_is_denied(const struct sentry *s, const struct sentry_identity *id) {
        for (size_t i = 0; i < s->n_denied; i++)
                if (s->denied[i].ino == id->ino && s->denied[i].minor == id->minor && s->denied[i].major == id->major &&
                    s->denied[i].born == id->born)
                        return true;
        return s->n_denied >= SENTRY_DENIED_MAX; /* they could not all be kept */
}

static void sentry_remember(struct sentry *s, const struct sentry_identity *id) {
        if (s->n_denied >= SENTRY_DENIED_MAX || sentry_is_denied(s, id))
                return;
        s->denied[s->n_denied++] = *id;
        if (s->n_denied == SENTRY_DENIED_MAX)
                log_warning(
                        "too many denied files have several names: no file with several names can be opened any more");
}

static int on_found(void *arg, const char *path, const char *access_path) {
        struct sentry_identity id;
        unsigned n_links;

        if (sentry_identify(AT_FDCWD, access_path, AT_SYMLINK_NOFOLLOW, &id, &n_links) && n_links > 1)
                sentry_remember(arg, &id);
        return 0;
}

static void sentry_scan(struct sentry *s) {
        for (size_t i = 0; i < s->n_trees; i++) {
                struct sentry_tree *t = &s->trees[i];

                if (t->fd >= 0 &&
                    patterns_walk(&s->patterns, t->fd, t->path, SENTRY_SCAN_ENTRIES, SENTRY_SCAN_MS, on_found, s) == 1)
                        log_warning("'%s' is too large to look for other names of denied files in all of it", t->path);
                fd_close(&t->fd);
        }
        s->n_unscanned = 0;
}

/* --- what the kernel remembers ------------------------------------------------------------------------------------ */

static void sentry_forget_allowed(struct sentry *s) {
        (void)fanotify_mark(s->o.fd_events, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL); /* those of inodes; the mounts' stay */
        s->n_allowed = 0;
}

static struct sentry_directory **sentry_bucket(struct sentry *s, const char *path) {
        uint32_t hash = 2166136261U;

        for (const char *c = path; *c; c++)
                hash = (hash ^ (unsigned char)*c) * 16777619U;
        return &s->directories[hash % SENTRY_BUCKETS];
}

static void sentry_unwatch_all(struct sentry *s) {
        for (size_t i = 0; i < SENTRY_BUCKETS; i++)
                while (s->directories[i]) {
                        struct sentry_directory *d = s->directories[i];

                        s->directories[i] = d->next;
                        free(d);
                }
        memset(s->watched, 0, sizeof(s->watched));
        s->n_directories = 0;
        fd_close(&s->fd_watch);
        s->fd_watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        sentry_forget_allowed(s);
}

/* Return: true when @path (a directory, on the host what it is in the view) is watched. */
static bool sentry_watch_one(struct sentry *s, const char *path) {
        struct sentry_directory **at = sentry_bucket(s, path), *d;
        size_t n = strlen(path) + 1;
        int watch;

        for (d = *at; d; d = d->next)
                if (strcmp(d->path, path) == 0)
                        return true;
        if (s->n_directories >= SENTRY_WATCHES_MAX)
                sentry_unwatch_all(s);
        watch = inotify_add_watch(s->fd_watch, path, IN_MOVED_TO | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW);
        d = watch <= 0 || watch > SENTRY_WATCHES_MAX ? NULL : malloc(sizeof(*d) + n);
        if (!d)
                return false;
        d->watch = watch;
        memcpy(d->path, path, n);
        d->next = *at;
        *at = d;
        s->watched[watch] = d;
        s->n_directories++;
        return true;
}

static const char *sentry_tree_of(const struct sentry *s, const char *path) {
        const char *best = NULL;

        for (size_t i = 0; i < s->n_trees; i++)
                if (path_is_below(path, s->trees[i].path) && (!best || strlen(s->trees[i].path) > strlen(best)))
                        best = s->trees[i].path;
        return best;
}

/* Every directory from the file's own up to the granted one. */
static bool sentry_watch(struct sentry *s, const char *path) {
        const char *tree = sentry_tree_of(s, path);
        char dir[PATH_BYTES];

        if (!tree || s->fd_watch < 0)
                return false;
        path_copy(dir, path);
        for (;;) {
                char *slash = strrchr(dir, '/');

                if (!slash || slash == dir)
                        return true;
                *slash = '\0';
                if (!path_is_below(dir, tree))
                        return true;
                if (!sentry_watch_one(s, dir))
                        return false;
        }
}

static void sentry_allow_again(struct sentry *s, int fd, const char *path) {
        if (!sentry_watch(s, path))
                return;
        if (s->n_allowed >= SENTRY_ALLOWED_MAX)
                sentry_forget_allowed(s);
        if (fanotify_mark(s->o.fd_events, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_EVICTABLE, FAN_OPEN_PERM, fd,
                          NULL) == 0)
                s->n_allowed++;
}

static void sentry_unwatch(struct sentry *s, struct sentry_directory *d) {
        struct sentry_directory **at = sentry_bucket(s, d->path);

        while (*at != d)
                at = &(*at)->next;
        *at = d->next;
        s->watched[d->watch] = NULL;
        free(d);
}

static void sentry_moved(struct sentry *s, const struct inotify_event *e) {
        struct sentry_directory *d = e->wd > 0 && e->wd <= SENTRY_WATCHES_MAX ? s->watched[e->wd] : NULL;
        char path[PATH_BYTES + NAME_MAX + 2];

        if (e->mask & (IN_MOVE_SELF | IN_Q_OVERFLOW))
                sentry_unwatch_all(s); /* we do not know any more what is where */
        else if (d && e->mask & IN_IGNORED)
                sentry_unwatch(s, d);
        else if (d && e->len) {
                snprintf(path, sizeof(path), "%s/%s", d->path, e->name);
                if (strlen(path) >= PATH_BYTES || patterns_match(&s->patterns, path) ||
                    (e->mask & IN_ISDIR && patterns_need_place(&s->patterns, path)))
                        sentry_forget_allowed(s);
        }
}

static void sentry_read_watch(struct sentry *s) {
        _Alignas(struct inotify_event) char buf[16384];
        int fd = s->fd_watch;
        ssize_t n;

        while (fd == s->fd_watch && (n = read(fd, buf, sizeof(buf))) > 0)
                for (ssize_t at = 0; fd == s->fd_watch && at + (ssize_t)sizeof(struct inotify_event) <= n;) {
                        const struct inotify_event *e = (const struct inotify_event *)(buf + at);

                        at += (ssize_t)(sizeof(*e) + e->len);
                        sentry_moved(s, e);
                }
}

/* --- messages of the service -------------------------------------------------------------------------------------- */

/* Only there can the user, or the session, have made a second name of something. */
static bool sentry_is_users(int fd) {
        char link[64];
        struct stat st;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        return fstat(fd, &st) == 0 && (st.st_uid == geteuid() || access(link, W_OK) == 0);
}

static int sentry_add_tree(struct sentry *s, const char *path, int fd) {
        struct sentry_tree *trees;

        if (path[0] != '/' || strlen(path) >= PATH_BYTES)
                return err_raise(-EBADMSG);
        trees = reallocarray(s->trees, s->n_trees + 1, sizeof(*trees));
        if (!trees)
                return err_raise(-ENOMEM);
        s->trees = trees;
        trees[s->n_trees] = (struct sentry_tree){ .path = strdup(path), .fd = -1 };
        if (!trees[s->n_trees].path)
                return err_raise(-ENOMEM);
        if (sentry_is_users(fd)) {
                trees[s->n_trees].fd = fd_dup(fd);
                s->n_unscanned++;
        }
        s->n_trees++;
        return 0;
}

static int sentry_record(struct sentry *s, const void *record, size_t n, const int *fds, size_t n_fds) {
        const char *text = (const char *)record + sizeof(struct broker_message);
        struct broker_message m;
        int r;

        memcpy(&m, record, sizeof(m));
        if (m.type == BROKER_SERVE && n_fds == 0) {
                s->serving = true;
                return 0;
        }
        if (m.size == 0 || text[m.size - 1] != '\0')
                return err_raise(-EBADMSG);
        if (m.type == BROKER_PATTERN && n_fds == 0) {
                r = patterns_add(&s->patterns, text, m.flags, m.access);
                sentry_forget_allowed(s);
                return r;
        }
        if (m.type == BROKER_SCAN && n_fds == 1)
                return sentry_add_tree(s, text, fds[0]);
        return err_raise(-EBADMSG);
}

/* Return: 0; -errno: what was to be known is not known. */
static int sentry_receive(struct sentry *s) {
        static char data[PACK_BYTES_MAX];
        int fds[PACK_FDS_MAX], *own, r;
        const void *record;
        size_t n, n_own;

        for (;;) {
                struct pack_reader reader = { .data = data, .fds = fds };

                if (s->o.fd_service < 0)
                        return 0;
                r = fd_recv_now(s->o.fd_service, data, sizeof(data), &reader.n, fds, ELEMENTSOF(fds), &reader.n_fds);
                if (r == FD_E_AGAIN)
                        return 0;
                if (r == FD_E_CLOSED || r == -ECONNRESET) { /* what runs keeps what it has, judged as before */
                        fd_close(&s->o.fd_service);
                        return s->serving ? 0 : err_raise(-EPIPE);
                }
                if (r)
                        return err_raise(r < 0 ? r : -EBADMSG);
                while ((r = pack_next(&reader, &broker_format, &record, &n, &own, &n_own)) == 0)
                        if ((r = sentry_record(s, record, n, own, n_own)) < 0)
                                break;
                fd_close_many(fds, reader.n_fds);
                if (r != PACK_E_END)
                        return err_raise(r < 0 ? r : -EBADMSG);
        }
}

/* --- events ------------------------------------------------------------------------------------------------------- */

/* Return: 1: yes; 0: no; -errno. */
static int sentry_may_open(struct sentry *s, int fd) {
        char link[64], path[PATH_BYTES];
        struct sentry_identity id;
        unsigned n_links;
        ssize_t n;
        int r;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path));
        if (s->orphaned || n <= 0 || n >= (ssize_t)sizeof(path) || path[0] != '/' ||
            !sentry_identify(fd, "", AT_EMPTY_PATH, &id, &n_links))
                return 0;
        path[n] = '\0';
        if (!sentry_tree_of(s, path)) { /* a grant we have not heard of yet; or one that was detached */
                r = sentry_receive(s);
                if (r)
                        return r;
                if (!sentry_tree_of(s, path))
                        return 0;
        }
        if (n_links > 1 && s->n_unscanned)
                sentry_scan(s);
        if (patterns_match_shown(&s->patterns, path)) {
                if (n_links > 1)
                        sentry_remember(s, &id);
                return 0;
        }
        if (n_links > 1)
                return !sentry_is_denied(s, &id);
        sentry_allow_again(s, fd, path);
        return 1;
}

static int sentry_events(struct sentry *s) {
        _Alignas(struct fanotify_event_metadata) char buf[4096];
        const struct fanotify_event_metadata *e = (const struct fanotify_event_metadata *)buf;
        ssize_t n = read(s->o.fd_events, buf, sizeof(buf));
        int failed = 0;

        /* of an object that the user cannot open for reading there is no descriptor: the kernel has refused it */
        if (n < 0)
                return errno == EINVAL || errno == EBADF || errno == EFAULT ? err_raise(-errno) : 0;
        if (s->fd_watch >= 0)
                sentry_read_watch(s);
        for (; FAN_EVENT_OK(e, n); e = FAN_EVENT_NEXT(e, n)) {
                struct fanotify_response answer = { .fd = e->fd, .response = FAN_DENY };
                int may, fd = e->fd;

                if (e->vers != FANOTIFY_METADATA_VERSION)
                        return err_raise(-EPROTO);
                if (fd < 0)
                        continue;
                may = sentry_may_open(s, fd);
                if (may > 0)
                        answer.response = FAN_ALLOW;
                else if (may < 0)
                        failed = may;
                fd_close(&fd); /* before the answer: a fifo must not find a reader in us */
                if (write(s->o.fd_events, &answer, sizeof(answer)) != sizeof(answer) && errno != ENOENT)
                        failed = -errno;
        }
        return failed;
}

static int sentry_loop(struct sentry *s) {
        int r = 0;

        while (r == 0) {
                struct pollfd p[] = {
                        { .fd = s->o.fd_service, .events = POLLIN },
                        { .fd = s->serving || s->orphaned ? s->o.fd_events : -1, .events = POLLIN },
                        { .fd = s->orphaned ? -1 : s->o.fd_lifeline, .events = POLLIN },
                        { .fd = s->fd_watch, .events = POLLIN },
                };
                int n = poll(p, ELEMENTSOF(p), s->orphaned ? SENTRY_LINGER_MS : s->serving && s->n_unscanned ? 0 : -1);

                if (n < 0 && errno != EINTR)
                        return err_raise(-errno);
                if (n == 0 && s->orphaned)
                        return 0;
                if (n == 0)
                        sentry_scan(s);
                if (n <= 0)
                        continue;
                if (p[2].revents)
                        s->orphaned = true; /* nobody may open anything on its last way */
                if (p[0].revents)
                        r = sentry_receive(s);
                if (r == 0 && p[3].revents)
                        sentry_read_watch(s);
                if (r == 0 && p[1].revents)
                        r = sentry_events(s);
        }
        return r;
}

int sentry_run(const struct sentry_options *options) {
        struct sentry s = { .o = *options };
        sigset_t none;
        int r;

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return 1;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        for (int n = 1; n < NSIG; n++)
                if (n == SIGINT || n == SIGHUP || n == SIGPIPE || n == SIGTERM || n == SIGQUIT)
                        (void)signal(n, SIG_IGN); /* only the monitor, or a SIGKILL, ends us */
        s.denied = calloc(SENTRY_DENIED_MAX, sizeof(*s.denied));
        s.fd_watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        r = s.denied ? sentry_loop(&s) : -ENOMEM;
        if (r)
                log_error("the sentry ends, and with it the session: %s", strerror(-r));
        return r ? 1 : 0;
}
