/*
 * Negative names.
 *
 * The watch is set before the last look at the host, so no appearance falls between. A directory that cannot be watched gets no
 * planted names: its misses stay questions. Each lost certainty (queue overflow, directory moved, unmounted) takes
 * names back rather than keep them: a wrong negative would hide a real file.
 *
 * Runs as: the user, in the broker.   Input: names of hostile walks (counted in a fixed table); inotify events.
 */
#include "daemon/broker/missing.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "common/error.h"
#include "common/log.h"
#include "common/loop.h"
#include "daemon/broker/levels.h"
#include "daemon/broker/path.h"
#include "daemon/broker/peer.h"
#include "daemon/broker/resolve.h"

enum { MISSING_WAYS = 4, MISSING_SETS = LEVELS_MISSES / MISSING_WAYS };

struct missing_count {
        uint32_t node, stamp;
        unsigned n;
        char name[64]; /* longer names are not planted */
};

struct missing_directory {
        struct missing_directory *next;
        uint32_t node;
        int watch;
        size_t n_names;
        char path[];
};

struct missing_name {
        struct missing_name *next;
        struct missing_directory *directory;
        char name[];
};

struct missing {
        struct peer *peer;
        int fd;
        struct loop_source *source;
        uint32_t clock;
        struct missing_count counts[MISSING_SETS][MISSING_WAYS];
        struct missing_directory *directories;
        struct missing_name *buckets[256];
        size_t n_names;
};

static uint32_t missing_hash(uint32_t node, const char *name) {
        uint32_t h = 2166136261U ^ node;

        for (; *name; name++)
                h = (h ^ (unsigned char)*name) * 16777619U;
        return h ^ h >> 15;
}

static struct missing_name **missing_find(const struct missing *m, uint32_t node, const char *name) {
        struct missing_name **at =
                (struct missing_name **)&m->buckets[missing_hash(node, name) % ELEMENTSOF(m->buckets)];

        while (*at && ((*at)->directory->node != node || strcmp((*at)->name, name) != 0))
                at = &(*at)->next;
        return at;
}

static void missing_send(struct missing *m, uint32_t type, uint32_t node, const char *name) {
        struct broker_message msg = { .type = type, .node = node };
        struct peer_text text = PEER_TEXT(name);

        if (peer_send(m->peer, &msg, &text, 1, NULL, 0) == PEER_E_FULL)
                log_warning("queue to the service is full, a negative name stays as it is");
}

/* Frees the directory and its watch when no name is left in it. */
static void missing_directory_drop(struct missing *m, struct missing_directory *d) {
        if (d->n_names > 0)
                return;
        for (struct missing_directory **at = &m->directories; *at; at = &(*at)->next)
                if (*at == d) {
                        *at = d->next;
                        break;
                }
        if (d->watch >= 0)
                (void)inotify_rm_watch(m->fd, d->watch);
        free(d);
}

static void missing_take(struct missing *m, struct missing_name **at, bool tell) {
        struct missing_name *n = *at;

        *at = n->next;
        m->n_names--;
        n->directory->n_names--;
        if (tell)
                missing_send(m, BROKER_UNPLANT, n->directory->node, n->name);
        free(n);
}

/* Takes back all names of @d, or of every directory; with @check only those that exist now. */
static void missing_sweep(struct missing *m, const struct missing_directory *d, bool check, bool tell) {
        for (size_t i = 0; i < ELEMENTSOF(m->buckets); i++)
                for (struct missing_name **at = &m->buckets[i]; *at;) {
                        struct missing_name *n = *at;
                        bool take = !d || n->directory == d;

                        if (take && check) {
                                char path[PATH_BYTES + NAME_MAX + 2];
                                int fd;

                                snprintf(path, sizeof(path), "%s/%s", n->directory->path, n->name);
                                fd = resolve_exact(path);
                                take = fd >= 0;
                                fd_close(&fd);
                        }
                        if (take)
                                missing_take(m, at, tell);
                        else
                                at = &n->next;
                }
}

static void missing_event(struct missing *m, const struct inotify_event *e) {
        struct missing_directory *next;

        if (e->mask & IN_Q_OVERFLOW)
                missing_sweep(m, NULL, true, true);
        for (struct missing_directory *d = m->directories; d; d = next) {
                next = d->next;
                if (d->watch != e->wd)
                        continue;
                if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) {
                        if (e->mask & (IN_IGNORED | IN_UNMOUNT | IN_DELETE_SELF))
                                d->watch = -1;
                        missing_sweep(m, d, false, true);
                        missing_directory_drop(m, d);
                } else if (e->len > 0)
                        missing_appeared(m, d->node, e->name);
        }
}

static void on_missing(int fd, unsigned ready, void *arg) {
        struct missing *m = arg;
        _Alignas(struct inotify_event) char buf[4096];
        ssize_t n = read(fd, buf, sizeof(buf));

        for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
                const struct inotify_event *e = (const struct inotify_event *)(buf + at);

                missing_event(m, e);
                at += (ssize_t)sizeof(*e) + (ssize_t)e->len;
        }
}

int missing_new(struct loop *l, struct peer *peer, struct missing **ret) {
        _cleanup_(missing_freep) struct missing *m = NULL;
        int r;

        m = calloc(1, sizeof(*m));
        if (!m)
                return err_raise(-ENOMEM);
        m->peer = peer;
        m->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (m->fd >= 0) { /* the user's limit of instances may be reached: then nothing is planted */
                r = loop_io(l, m->fd, LOOP_READ, on_missing, m, &m->source);
                if (r)
                        return err_pass(r);
        }
        *ret = steal_ptr(&m);
        return 0;
}

struct missing *missing_free(struct missing *m) {
        if (!m)
                return NULL;
        missing_sweep(m, NULL, false, false);
        while (m->directories)
                missing_directory_drop(m, m->directories);
        loop_source_free(m->source);
        fd_close(&m->fd);
        free(m);
        return NULL;
}

static struct missing_directory *missing_directory(struct missing *m, uint32_t node, const char *path) {
        struct missing_directory *d;
        int watch;

        for (d = m->directories; d; d = d->next)
                if (d->node == node)
                        return d;
        watch = inotify_add_watch(
                m->fd, path, IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW);
        if (watch < 0)
                return NULL;
        d = calloc(1, sizeof(*d) + strlen(path) + 1);
        if (!d) {
                (void)inotify_rm_watch(m->fd, watch);
                return NULL;
        }
        memcpy(d->path, path, strlen(path) + 1);
        d->node = node;
        d->watch = watch;
        d->next = m->directories;
        m->directories = d;
        return d;
}

static void missing_plant(struct missing *m, uint32_t node, const char *directory, const char *name) {
        _cleanup_close_ int fd = -1;
        char path[PATH_BYTES + NAME_MAX + 2];
        struct missing_directory *d;
        struct missing_name *n, **bucket;

        if (m->fd < 0 || m->n_names >= LEVELS_PLANTED_MAX || peer_is_closed(m->peer) ||
            missing_is_planted(m, node, name))
                return;
        d = missing_directory(m, node, directory);
        if (!d)
                return;
        snprintf(path, sizeof(path), "%s/%s", directory, name);
        fd = resolve_exact(path);
        n = fd == -ENOENT ? calloc(1, sizeof(*n) + strlen(name) + 1) : NULL;
        if (!n) {
                missing_directory_drop(m, d);
                return;
        }
        memcpy(n->name, name, strlen(name) + 1);
        n->directory = d;
        bucket = &m->buckets[missing_hash(node, name) % ELEMENTSOF(m->buckets)];
        n->next = *bucket;
        *bucket = n;
        d->n_names++;
        m->n_names++;
        missing_send(m, BROKER_PLANT, node, name);
}

void missing_note(struct missing *m, uint32_t node, const char *directory, const char *name) {
        size_t n = strlen(name);
        struct missing_count *set, *oldest;

        if (n >= sizeof(set->name))
                return;
        set = m->counts[missing_hash(node, name) % MISSING_SETS];
        oldest = set;
        m->clock++;
        for (size_t i = 0; i < MISSING_WAYS; i++) {
                if (set[i].node == node && strcmp(set[i].name, name) == 0) {
                        set[i].stamp = m->clock;
                        if (++set[i].n >= LEVELS_MISSES_PLANT) {
                                set[i].n = 0;
                                missing_plant(m, node, directory, name);
                        }
                        return;
                }
                if (m->clock - set[i].stamp > m->clock - oldest->stamp)
                        oldest = &set[i];
        }
        *oldest = (struct missing_count){ .node = node, .stamp = m->clock, .n = 1 };
        memcpy(oldest->name, name, n + 1);
}

bool missing_is_planted(const struct missing *m, uint32_t node, const char *name) {
        return *missing_find(m, node, name) != NULL;
}

void missing_appeared(struct missing *m, uint32_t node, const char *name) {
        struct missing_name **at = missing_find(m, node, name);
        struct missing_directory *d;

        if (!*at)
                return;
        d = (*at)->directory;
        missing_take(m, at, true);
        missing_directory_drop(m, d);
}

void missing_forget(struct missing *m, uint32_t node) {
        for (struct missing_directory *d = m->directories; d; d = d->next)
                if (d->node == node) {
                        missing_sweep(m, d, false, false);
                        missing_directory_drop(m, d);
                        return;
                }
}
