/*
 * One watch per directory on the way to a denied path, so that it is also noticed when a directory above is replaced or
 * made. A lost event (queue overflow) counts as one for every path.
 *
 * Runs as: the user, in the broker.   Input: inotify events; paths of the service.
 */
#include "daemon/broker/guard.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "common/error.h"
#include "common/log.h"
#include "common/loop.h"
#include "daemon/broker/message.h"
#include "daemon/broker/path.h"
#include "daemon/broker/peer.h"

#define GUARD_EVENTS (IN_CREATE | IN_MOVED_TO | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK)

struct guard_directory {
        struct guard_directory *next;
        int watch;
        char path[];
};

struct guard_path {
        struct guard_path *next;
        char path[];
};

struct guard {
        struct peer *peer;
        int fd;
        struct loop_source *source;
        struct guard_directory *directories;
        struct guard_path *paths;
        size_t n_paths;
};

static struct guard_directory *guard_directory(struct guard *g, int watch) {
        struct guard_directory *d = g->directories;

        while (d && d->watch != watch)
                d = d->next;
        return d;
}

/* inotify gives the same number for the same directory, so a directory may be watched again at any time. */
static int guard_watch(struct guard *g, const char *path) {
        size_t n = strlen(path) + 1;
        struct guard_directory *d;
        int watch = inotify_add_watch(g->fd, path, GUARD_EVENTS);

        if (watch < 0)
                return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : err_raise(-errno);
        d = guard_directory(g, watch);
        if (d && strcmp(d->path, path) == 0)
                return 0;
        if (d)
                d->watch = -1; /* the directory moved: events are about its new place */
        d = calloc(1, sizeof(*d) + n);
        if (!d)
                return err_raise(-ENOMEM);
        d->watch = watch;
        memcpy(d->path, path, n);
        d->next = g->directories;
        g->directories = d;
        return 0;
}

/* The directories above @path, "/" left out: whoever can replace those is not stopped by a mask. */
static int guard_watch_all(struct guard *g, const char *path) {
        char dir[PATH_BYTES];

        for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                int r;

                snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
                r = guard_watch(g, dir);
                if (r)
                        return err_pass(r);
        }
        return 0;
}

static void guard_touched(struct guard *g, const struct guard_path *p) {
        struct broker_message m = { .type = BROKER_TOUCHED };
        struct peer_text text = PEER_TEXT(p->path);

        if (guard_watch_all(g, p->path) < 0)
                log_warning("a denied path can no longer be watched");
        (void)peer_send(g->peer, &m, &text, 1, NULL, 0);
}

static void guard_event(struct guard *g, const struct inotify_event *e) {
        const struct guard_directory *d = guard_directory(g, e->wd);
        char path[PATH_BYTES + NAME_MAX + 2];

        if (d && e->len)
                snprintf(path, sizeof(path), "%s/%s", d->path, e->name);
        for (struct guard_path *p = g->paths; p; p = p->next)
                if (e->mask & IN_Q_OVERFLOW || (d && e->len && path_is_below(p->path, path)))
                        guard_touched(g, p);
}

static void on_guard(int fd, unsigned ready, void *arg) {
        _Alignas(struct inotify_event) char buf[4096];
        struct guard *g = arg;
        ssize_t n = read(fd, buf, sizeof(buf));

        for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
                const struct inotify_event *e = (const struct inotify_event *)(buf + at);

                guard_event(g, e);
                at += (ssize_t)(sizeof(*e) + e->len);
        }
}

int guard_new(struct loop *l, struct peer *peer, struct guard **ret) {
        _cleanup_(guard_freep) struct guard *g = calloc(1, sizeof(*g));
        int r;

        if (!g)
                return err_raise(-ENOMEM);
        g->peer = peer;
        g->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (g->fd < 0)
                return err_raise(-errno);
        r = loop_io(l, g->fd, LOOP_READ, on_guard, g, &g->source);
        if (r)
                return err_pass(r);
        *ret = steal_ptr(&g);
        return 0;
}

struct guard *guard_free(struct guard *g) {
        if (!g)
                return NULL;
        loop_source_free(g->source);
        fd_close(&g->fd);
        while (g->directories) {
                struct guard_directory *d = g->directories;

                g->directories = d->next;
                free(d);
        }
        while (g->paths) {
                struct guard_path *p = g->paths;

                g->paths = p->next;
                free(p);
        }
        free(g);
        return NULL;
}

int guard_add(struct guard *g, const char *path) {
        size_t n = strlen(path) + 1;
        struct guard_path *p;
        int r;

        if (path[0] != '/' || n > PATH_BYTES)
                return err_raise(-EINVAL);
        for (p = g->paths; p; p = p->next)
                if (strcmp(p->path, path) == 0)
                        return 0;
        if (g->n_paths >= GUARD_PATHS_MAX)
                return err_raise(-ENOSPC);
        r = guard_watch_all(g, path);
        if (r)
                return err_pass(r);
        p = calloc(1, sizeof(*p) + n);
        if (!p)
                return err_raise(-ENOMEM);
        memcpy(p->path, path, n);
        p->next = g->paths;
        g->paths = p;
        g->n_paths++;
        return 0;
}
