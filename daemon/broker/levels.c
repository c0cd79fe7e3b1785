/*
 * Levels.
 *
 * Hot path, a missing name: one read(2), one openat2(2), one ioctl(2); nothing is allocated. A level keeps its host path as
 * text and no descriptor of the host's directory, so that the broker never keeps a host file system busy.
 *
 * Answering needs no capability: autofs lets its daemon's process group use AUTOFS_IOC_READY and AUTOFS_IOC_FAIL on a
 * level's root. FAIL can only say ENOENT; other errors are the monitor's, by /dev/autofs.
 *
 * A thread waits in one place at a time. So one entry per thread is kept of what waits, and a new packet of a thread is the proof
 * that its former request was answered, also when the monitor did it and nobody told us.
 *
 * Runs as: the user, in the broker, in the autofs daemon's process group.
 * Input: packets of the kernel (names chosen by hostile processes), level descriptors of the service.
 */
#include "daemon/broker/levels.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/auto_fs.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/error.h"
#include "common/fd.h"
#include "common/log.h"
#include "common/loop.h"
#include "daemon/broker/caller.h"
#include "daemon/broker/missing.h"
#include "daemon/broker/path.h"
#include "daemon/broker/peer.h"
#include "daemon/broker/resolve.h"

enum { LEVELS_BUCKETS = 256, LEVELS_ROUND = 32 /* packets per callback */ };

struct level {
        struct level *next_dev, *next_node;
        uint32_t node, dev;
        int fd;
        size_t n_path;
        char path[];
};

struct waiting {
        struct waiting *next_token, *next_tid;
        struct levels *levels;
        uint64_t tag;
        uint32_t token, node;
        pid_t tid;
        int fd_pid;
        struct loop_source *source;
};

struct deferred {
        struct deferred *next;
        struct autofs_v5_packet packet;
};

struct levels {
        struct loop *loop;
        struct peer *peer;
        struct missing *missing;
        int fd;
        struct loop_source *source;
        struct level *by_dev[LEVELS_BUCKETS], *by_node[LEVELS_BUCKETS];
        struct waiting *by_token[LEVELS_BUCKETS], *by_tid[LEVELS_BUCKETS];
        struct deferred *deferred, **deferred_last;
        size_t n_levels, n_waiting, n_deferred;
        uint64_t tag;
        bool orphan, over, full_logged;
};

static struct level **level_find_dev(const struct levels *l, uint32_t dev) {
        struct level **at = (struct level **)&l->by_dev[dev % LEVELS_BUCKETS];

        while (*at && (*at)->dev != dev)
                at = &(*at)->next_dev;
        return at;
}

static struct level **level_find_node(const struct levels *l, uint32_t node) {
        struct level **at = (struct level **)&l->by_node[node % LEVELS_BUCKETS];

        while (*at && (*at)->node != node)
                at = &(*at)->next_node;
        return at;
}

static struct waiting **waiting_find(const struct levels *l, uint32_t token) {
        struct waiting **at = (struct waiting **)&l->by_token[token % LEVELS_BUCKETS];

        while (*at && (*at)->token != token)
                at = &(*at)->next_token;
        return at;
}

static void waiting_drop(struct levels *l, struct waiting *w) {
        struct waiting **at = waiting_find(l, w->token);

        *at = w->next_token;
        for (at = &l->by_tid[(uint32_t)w->tid % LEVELS_BUCKETS]; *at; at = &(*at)->next_tid)
                if (*at == w) {
                        *at = w->next_tid;
                        break;
                }
        l->n_waiting--;
        loop_source_free(w->source);
        fd_close(&w->fd_pid);
        free(w);
}

/* EINVAL: somebody answered before. Nothing else can be done about an error here, so none is reported upwards. */
static void level_answer(const struct level *level, unsigned long request, uint32_t token) {
        if (ioctl(level->fd, request, (unsigned long)token) < 0 && errno != EINVAL)
                log_warning("level %u does not take the answer to token %u: %s", level->node, token, strerror(errno));
}

static void levels_answer(struct levels *l, uint32_t node, unsigned long request, uint32_t token) {
        const struct level *level = *level_find_node(l, node);

        if (level)
                level_answer(level, request, token);
}

/*
 * The caller was killed. Others may have joined its request, which the kernel keeps until it is answered: READY without
 * anything attached makes each of those ask again, under its own name.
 */
static void waiting_gone(struct waiting *w) {
        struct levels *l = w->levels;
        struct broker_message m = { .type = BROKER_GONE, .tag = w->tag, .node = w->node, .token = w->token };

        (void)peer_send(l->peer, &m, NULL, 0, NULL, 0);
        levels_answer(l, w->node, AUTOFS_IOC_READY, w->token);
        waiting_drop(l, w);
}

static void on_waiting_gone(int fd, unsigned ready, void *arg) {
        waiting_gone(arg);
}

/* Remembers who waits. Return: 0; 1: the caller is gone already, or there are too many. */
static int waiting_add(struct levels *l, uint32_t node, const struct autofs_v5_packet *p, struct waiting **ret) {
        struct waiting *w, **bucket;
        int fd;

        for (w = l->by_tid[p->pid % LEVELS_BUCKETS]; w; w = w->next_tid)
                if (w->tid == (pid_t)p->pid) {
                        struct pollfd dead = { .fd = w->fd_pid, .events = POLLIN };

                        if (poll(&dead, 1, 0) > 0)
                                waiting_gone(w); /* the number is another's by now */
                        else
                                waiting_drop(l, w); /* it moved on: the monitor answered */
                        break;
                }
        if (l->n_waiting >= BROKER_WAITING_MAX) {
                if (!l->full_logged)
                        log_warning("%d requests wait, further ones are denied", (int)BROKER_WAITING_MAX);
                l->full_logged = true;
                return 1;
        }
        fd = (int)syscall(SYS_pidfd_open, (pid_t)p->tgid, 0);
        if (fd < 0)
                return 1;
        w = calloc(1, sizeof(*w));
        if (!w || loop_io(l->loop, fd, LOOP_READ, on_waiting_gone, w, &w->source) != 0) {
                free(w);
                fd_close(&fd);
                return 1;
        }
        w->levels = l;
        w->fd_pid = fd;
        w->tag = ++l->tag;
        w->token = p->wait_queue_token;
        w->node = node;
        w->tid = (pid_t)p->pid;
        bucket = &l->by_token[w->token % LEVELS_BUCKETS];
        w->next_token = *bucket;
        *bucket = w;
        bucket = &l->by_tid[(uint32_t)w->tid % LEVELS_BUCKETS];
        w->next_tid = *bucket;
        *bucket = w;
        l->n_waiting++;
        *ret = w;
        return 0;
}

/* A question: what lies there, who asks, and what for. */
struct question {
        const struct level *level;
        const struct autofs_v5_packet *packet;
        const char *path; /* of the name, on the host */
        int fd;           /* of the object */
        struct caller_wish wish;
        struct resolved whole; /* the caller's full path, on the host */
        char target[PATH_BYTES];
        char canonical[PATH_BYTES];
        bool executable;
        enum object_kind kind;
        char full[PATH_BYTES]; /* "" when unknown */
        bool directory;
        bool unreachable; /* to this user, on the host, whatever we say */
};

/* What is found and may not be read or run is no question either. Writing is another matter: it may replace the name. */
static bool question_is_permitted(const struct question *q) {
        if (q->whole.error || q->whole.kind == OBJECT_SYMLINK)
                return true;
        if (q->wish.operation == OPERATION_READ)
                return resolve_may(q->whole.fd, R_OK);
        return q->wish.operation != OPERATION_EXECUTE || resolve_may(q->whole.fd, X_OK);
}

/* Looks up @path on the host as a whole. Return: true when it leads through the name that is asked for. */
static bool question_try(struct question *q, const char *path) {
        char normal[PATH_BYTES];
        int r;

        if (path[0] == '\0')
                return false;
        resolved_done(&q->whole);
        r = resolve_path(path, q->wish.follow ? 0 : RESOLVE_F_NO_FOLLOW, NULL, q->path, &q->whole);
        if (r == 0 && q->whole.passed)
                snprintf(q->full, sizeof(q->full), "%s", q->whole.rest);
        else if (path_normalise(path, normal) == 0 && path_is_below(normal, q->path))
                snprintf(q->full, sizeof(q->full), "%s", normal);
        else
                return false;
        q->directory = r == 0 && q->whole.error == 0 && q->whole.kind == OBJECT_DIR;
        q->unreachable = r == 0 && (q->whole.error == EACCES || !question_is_permitted(q));
        return true;
}

/*
 * A probe for something that the host does not have must not become a prompt for a folder above it.
 * Return: true when the full path is known and nothing is there.
 */
static bool question_is_void(struct question *q) {
        struct caller_call call;
        bool known;

        if (caller_call((pid_t)q->packet->pid, &call) != 0)
                call.nr = -1;
        caller_wish((pid_t)q->packet->pid, &call, &q->wish);
        known = question_try(q, q->wish.path);
        if (!known && question_try(q, q->wish.path2)) {
                known = true;
                q->wish.creates = q->wish.operation == OPERATION_RENAME;
        }
        if (!known || q->wish.creates)
                return false;
        /* a link may lead into a part of the view that the host does not have */
        return (q->whole.error == ENOENT || q->whole.error == ENOTDIR) && !path_is_private(q->whole.path);
}

static void question_describe(struct question *q) {
        struct resolved r = { .fd = -1 };
        struct stat st;

        q->target[0] = '\0';
        snprintf(q->canonical, sizeof(q->canonical), "%s", q->path);
        if (fstat(q->fd, &st) < 0)
                return;
        q->kind = resolve_kind(st.st_mode);
        q->executable = q->kind == OBJECT_FILE && resolve_may(q->fd, X_OK);
        if (q->kind == OBJECT_SYMLINK) {
                ssize_t n = readlinkat(q->fd, "", q->target, sizeof(q->target) - 1);

                q->target[n > 0 ? n : 0] = '\0';
                q->canonical[0] = '\0';
                if (resolve_path(q->path, 0, NULL, NULL, &r) == 0 && r.error == 0)
                        snprintf(q->canonical, sizeof(q->canonical), "%s", r.path);
                resolved_done(&r);
        } else
                (void)resolve_fd_path(q->fd, q->canonical);
}

static void question_send(struct levels *l, struct question *q) {
        const struct autofs_v5_packet *p = q->packet;
        char chain[CALLER_CHAIN_BYTES];
        struct waiting *w = NULL;
        int r;

        if (waiting_add(l, q->level->node, p, &w) != 0) {
                level_answer(q->level, AUTOFS_IOC_FAIL, p->wait_queue_token);
                return;
        }
        question_describe(q);
        caller_chain((pid_t)p->tgid, getpid(), chain, sizeof(chain));
        struct broker_message m = {
                .type = BROKER_REQUEST,
                .tag = w->tag,
                .token = w->token,
                .node = q->level->node,
                .dev = q->level->dev,
                .kind = q->kind,
                .operation = q->wish.operation,
                .access = q->wish.access,
                .flags = (q->executable ? BROKER_F_EXECUTABLE : 0U) | (q->directory ? BROKER_F_DIRECTORY : 0U) |
                         (q->unreachable ? BROKER_F_UNREACHABLE : 0U),
                .pid = (int32_t)p->tgid,
        };
        struct peer_text texts[] = { PEER_TEXT(p->name), PEER_TEXT(q->full), PEER_TEXT(q->canonical),
                                     PEER_TEXT(q->target), PEER_TEXT(chain) };
        int fds[] = { q->fd, w->fd_pid };

        r = peer_send(l->peer, &m, texts, ELEMENTSOF(texts), fds, ELEMENTSOF(fds));
        if (r) {
                level_answer(q->level, AUTOFS_IOC_FAIL, p->wait_queue_token);
                waiting_drop(l, w);
        }
}

static void levels_ask(struct levels *l, const struct level *level, const struct autofs_v5_packet *p, const char *path,
                       int fd) {
        struct question q;

        memset(&q, 0, offsetof(struct question, wish));
        q.level = level;
        q.packet = p;
        q.path = path;
        q.fd = fd;
        q.full[0] = '\0';
        q.kind = OBJECT_MISSING;
        q.executable = q.directory = q.unreachable = false;
        q.whole.fd = -1;
        q.whole.links = NULL;
        q.whole.error = 0;
        if (question_is_void(&q))
                level_answer(level, AUTOFS_IOC_FAIL, p->wait_queue_token);
        else
                question_send(l, &q);
        resolved_done(&q.whole);
}

static void levels_packet(struct levels *l, const struct level *level, const struct autofs_v5_packet *p) {
        char path[PATH_BYTES + NAME_MAX + 2];
        size_t n = level->n_path == 1 ? 0 : level->n_path; /* "/" */
        int fd;

        if ((*waiting_find(l, p->wait_queue_token)))
                return; /* told twice */
        memcpy(path, level->path, n);
        path[n] = '/';
        memcpy(path + n + 1, p->name, (size_t)p->len + 1);
        fd = l->orphan ? -ENOENT : resolve_exact(path);
        if (fd < 0) {
                level_answer(level, AUTOFS_IOC_FAIL, p->wait_queue_token);
                if (fd == -ENOENT && !l->orphan)
                        missing_note(l->missing, level->node, level->path, p->name);
                return;
        }
        if (n + 1 + p->len >= PATH_BYTES)
                level_answer(level, AUTOFS_IOC_FAIL, p->wait_queue_token);
        else
                levels_ask(l, level, p, path, fd);
        fd_close(&fd);
}

/* The level was mounted but its announcement is still on its way. */
static void levels_defer(struct levels *l, const struct autofs_v5_packet *p) {
        struct deferred *d = calloc(1, sizeof(*d));

        if (!d) {
                log_warning("out of memory, a packet of device %u stays unanswered", p->dev);
                return;
        }
        d->packet = *p;
        *l->deferred_last = d;
        l->deferred_last = &d->next;
        if (++l->n_deferred >= LEVELS_DEFERRED_MAX)
                (void)loop_io_want(l->source, 0);
}

static void levels_replay(struct levels *l, const struct level *level) {
        for (struct deferred **at = &l->deferred; *at;) {
                struct deferred *d = *at;

                if (d->packet.dev != level->dev) {
                        at = &d->next;
                        continue;
                }
                *at = d->next;
                if (!d->next)
                        l->deferred_last = at;
                l->n_deferred--;
                levels_packet(l, level, &d->packet);
                free(d);
        }
        if (l->source && l->n_deferred < LEVELS_DEFERRED_MAX)
                (void)loop_io_want(l->source, LOOP_READ);
}

/* Return: false when there is no further packet now. */
static bool levels_read(struct levels *l) {
        union {
                struct autofs_v5_packet packet;
                char bytes[512];
        } u;
        const struct level *level;
        ssize_t n = read(l->fd, &u, sizeof(u));

        if (n < 0)
                return false;
        if (n == 0) {
                l->over = true;
                l->source = loop_source_free(l->source);
                return false;
        }
        if (n < (ssize_t)sizeof(u.packet) - 4 || u.packet.hdr.proto_version != 5 ||
            u.packet.hdr.type != autofs_ptype_missing_indirect || u.packet.len == 0 || u.packet.len > NAME_MAX) {
                log_warning("autofs sent %zd bytes of type %d that are no question", n, (int)u.packet.hdr.type);
                return true;
        }
        u.packet.name[u.packet.len] = '\0';
        level = *level_find_dev(l, u.packet.dev);
        if (level)
                levels_packet(l, level, &u.packet);
        else
                levels_defer(l, &u.packet);
        return l->n_deferred < LEVELS_DEFERRED_MAX;
}

/* One packet is the rule: looking for a second costs a system call, so only every further round does. */
static void on_packets(int fd, unsigned ready, void *arg) {
        struct levels *l = arg;

        for (unsigned i = 0; i < LEVELS_ROUND && levels_read(l); i++)
                ;
}

int levels_new(struct loop *loop, struct peer *peer, int fd_packets, struct levels **ret) {
        _cleanup_(levels_freep) struct levels *l = NULL;
        int r;

        l = calloc(1, sizeof(*l));
        if (!l)
                return err_raise(-ENOMEM);
        l->fd = -1;
        l->loop = loop;
        l->peer = peer;
        l->deferred_last = &l->deferred;
        r = missing_new(loop, peer, &l->missing);
        if (r)
                return err_pass(r);
        r = fd_set_nonblock(fd_packets, true);
        if (r)
                return err_pass(r);
        r = loop_io(loop, fd_packets, LOOP_READ, on_packets, l, &l->source);
        if (r)
                return err_pass(r);
        l->fd = fd_packets;
        *ret = steal_ptr(&l);
        return 0;
}

struct levels *levels_free(struct levels *l) {
        if (!l)
                return NULL;
        for (size_t i = 0; i < LEVELS_BUCKETS; i++) {
                while (l->by_token[i])
                        waiting_drop(l, l->by_token[i]);
                while (l->by_node[i])
                        (void)levels_remove(l, l->by_node[i]->node);
        }
        while (l->deferred) {
                struct deferred *d = l->deferred;

                l->deferred = d->next;
                free(d);
        }
        missing_free(l->missing);
        loop_source_free(l->source);
        fd_close(&l->fd);
        free(l);
        return NULL;
}

/* Names the level's request as answered and lets the walk go on. */
static void levels_ready(struct levels *l, uint32_t token) {
        struct waiting *w = *waiting_find(l, token);

        if (!w)
                return; /* killed in the meantime, and answered then */
        levels_answer(l, w->node, AUTOFS_IOC_READY, token);
        waiting_drop(l, w);
}

/* new_encode_dev() of the kernel */
static uint32_t level_encode_dev(dev_t dev) {
        return (minor(dev) & 0xffU) | (major(dev) << 8) | ((minor(dev) & ~0xffU) << 12);
}

/* Anything else would be somebody's mistake, and an ioctl on the wrong file. */
static bool level_is_root(int fd, uint32_t dev) {
        struct statfs sf;
        struct stat st;

        return fstatfs(fd, &sf) == 0 && sf.f_type == AUTOFS_SUPER_MAGIC && fstat(fd, &st) == 0 &&
               level_encode_dev(st.st_dev) == dev;
}

int levels_add(struct levels *l, uint32_t node, uint32_t dev, const char *path, int fd, uint32_t token) {
        struct level *level;
        size_t n = strlen(path);

        if (l->n_levels >= LEVELS_MAX)
                return err_raise(-ENOSPC);
        if (n == 0 || n >= PATH_BYTES || path[0] != '/' || (n > 1 && path[n - 1] == '/') || !level_is_root(fd, dev))
                return err_raise(-EINVAL);
        if (*level_find_node(l, node) || *level_find_dev(l, dev))
                return err_raise(-EEXIST);
        level = calloc(1, sizeof(*level) + n + 1);
        if (!level)
                return err_raise(-ENOMEM);
        level->node = node;
        level->dev = dev;
        level->fd = fd;
        level->n_path = n;
        memcpy(level->path, path, n + 1);
        *level_find_node(l, node) = level;
        *level_find_dev(l, dev) = level;
        l->n_levels++;
        if (token)
                levels_ready(l, token);
        levels_replay(l, level);
        return 0;
}

bool levels_remove(struct levels *l, uint32_t node) {
        struct level **at = level_find_node(l, node), *level = *at;

        if (!level)
                return false;
        for (size_t i = 0; i < LEVELS_BUCKETS; i++)
                for (struct waiting *w = l->by_token[i], *next; w; w = next) {
                        next = w->next_token;
                        if (w->node != node)
                                continue;
                        level_answer(level, AUTOFS_IOC_FAIL, w->token);
                        waiting_drop(l, w);
                }
        *at = level->next_node;
        at = level_find_dev(l, level->dev);
        *at = level->next_dev;
        missing_forget(l->missing, node);
        l->n_levels--;
        fd_close(&level->fd);
        free(level);
        return true;
}

void levels_fail(struct levels *l, uint32_t token) {
        struct waiting *w = *waiting_find(l, token);

        if (!w)
                return;
        levels_answer(l, w->node, AUTOFS_IOC_FAIL, token);
        waiting_drop(l, w);
}

void levels_answered(struct levels *l, uint32_t token) {
        struct waiting *w = *waiting_find(l, token);

        if (w)
                waiting_drop(l, w);
}

void levels_orphan(struct levels *l) {
        l->orphan = true;
        for (size_t i = 0; i < LEVELS_BUCKETS; i++)
                while (l->by_token[i])
                        levels_fail(l, l->by_token[i]->token);
}

bool levels_are_over(const struct levels *l) {
        return l->over;
}

const char *levels_by_stat_dev(const struct levels *l, dev_t dev, uint32_t *ret_node) {
        const struct level *level = *level_find_dev(l, level_encode_dev(dev));

        if (!level)
                return NULL;
        *ret_node = level->node;
        return level->path;
}

const char *levels_by_node(const struct levels *l, uint32_t node) {
        const struct level *level = *level_find_node(l, node);

        return level ? level->path : NULL;
}

bool levels_is_planted(const struct levels *l, uint32_t node, const char *name) {
        return missing_is_planted(l->missing, node, name);
}

void levels_appeared(struct levels *l, uint32_t node, const char *name) {
        missing_appeared(l->missing, node, name);
}
