/*
 * Life of a trapped path call: decoded, planned, asked, performed, shown in the view, answered.
 *
 *   arrives ──► CONTINUE or errno at once          (nearly all: a write-open in a granted tree)
 *      │
 *      └─► ASKED ──verdict──► DONE ──release──► answered
 *             │ killed: BROKER_GONE    │ killed: forgotten, it is done on the host all the same
 *
 * Runs as: the user, in the broker.   Input: arguments and memory of hostile processes, copied once into struct plan_call.
 */
#include "daemon/broker/change.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/error.h"
#include "common/log.h"
#include "common/loop.h"
#include "daemon/broker/caller.h"
#include "daemon/broker/grants.h"
#include "daemon/broker/levels.h"
#include "daemon/broker/names.h"
#include "daemon/broker/notify.h"
#include "daemon/broker/peer.h"
#include "daemon/broker/plan.h"

enum {
        CHANGE_BUCKETS = 64,
};
#define CHANGE_TAG_FIRST (1ULL << 62) /* BROKER_GONE speaks of requests and changes alike: their tags must differ */

struct change_entry {
        struct change_entry *next;
        struct change *owner;
        uint64_t tag, id;
        struct plan_call call;
        enum plan_action action;
        uint32_t node;
        char *told, *told2; /* the paths of the question */
        bool done;
        struct performed performed;
        int fd_pid;
        struct loop_source *source;
};

struct change {
        struct change_context x;
        struct change_entry *buckets[CHANGE_BUCKETS];
        size_t n;
        uint64_t tag;
};

static struct change_entry *change_entry_free(struct change_entry *e) {
        loop_source_free(e->source);
        fd_close(&e->fd_pid);
        performed_done(&e->performed);
        free(e->call.path);
        free(e->call.path2);
        free(e->told);
        free(e->told2);
        free(e);
        return NULL;
}
DEFINE_CLEANUP(struct change_entry, change_entry_free);

static struct change_entry **change_find(struct change *c, uint64_t tag) {
        struct change_entry **at = &c->buckets[tag % CHANGE_BUCKETS];

        while (*at && (*at)->tag != tag)
                at = &(*at)->next;
        return at;
}

static void change_drop(struct change *c, struct change_entry *e) {
        *change_find(c, e->tag) = e->next;
        c->n--;
        change_entry_free(e);
}

int change_new(const struct change_context *context, struct change **ret) {
        struct change *c = calloc(1, sizeof(*c));

        if (!c)
                return err_raise(-ENOMEM);
        c->x = *context;
        c->tag = CHANGE_TAG_FIRST;
        *ret = c;
        return 0;
}

struct change *change_free(struct change *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < CHANGE_BUCKETS; i++)
                while (c->buckets[i])
                        change_drop(c, c->buckets[i]);
        free(c);
        return NULL;
}

/* Reads a path argument. Return: 0 and a heap copy, absolute; 1: the kernel shall say what is wrong with it. */
static int change_read_path(const struct notice *n, int8_t dir, int8_t path, char *ret) {
        char text[PATH_BYTES];

        if (path < 0 || caller_read_string(n->tid, n->args[path], text, sizeof(text)) != 0 || text[0] == '\0')
                return 1;
        return caller_absolute(n->tid, dir >= 0 ? (int)n->args[dir] : AT_FDCWD, text, ret) != 0;
}

struct change_paths {
        char path[PATH_BYTES], path2[PATH_BYTES];
        bool two;
};

/* Copies the arguments. Return: 0; 1: nothing here is ours to decide. */
static int change_decode(const struct notice *n, struct plan_call *call, struct change_paths *paths) {
        const struct call_shape *shape = n->shape;

        call->tid = n->tid;
        call->call = shape->call;
        call->flags = shape->flags >= 0 ? (uint32_t)n->args[shape->flags] : 0;
        call->mode = shape->mode >= 0 ? (mode_t)n->args[shape->mode] : 0;
        switch (shape->call) {
        case CALL_OPENAT2: {
                struct open_how how;

                if (n->args[3] < sizeof(how) || caller_read(n->tid, n->args[2], &how, sizeof(how)) != 0 ||
                    how.resolve != 0)
                        return 1;
                call->call = CALL_OPEN;
                call->flags = how.flags;
                call->mode = (mode_t)how.mode;
                break;
        }
        case CALL_CREAT:
                call->call = CALL_OPEN;
                call->flags = O_CREAT | O_WRONLY | O_TRUNC;
                break;
        case CALL_UNLINK:
                if (call->flags & AT_REMOVEDIR)
                        call->call = CALL_RMDIR;
                break;
        default:
                break;
        }
        if (call->call == CALL_OPEN && (call->flags & O_ACCMODE) == O_RDONLY &&
            !(call->flags & (O_CREAT | O_TRUNC | O_TMPFILE)))
                return 1;
        paths->two = call->call == CALL_RENAME || call->call == CALL_LINK || call->call == CALL_SYMLINK;
        if (change_read_path(n, shape->dir, shape->path, paths->path) != 0)
                return 1;
        if (call->call == CALL_SYMLINK)
                return caller_read_string(n->tid, n->args[shape->path2], paths->path2, sizeof(paths->path2)) != 0 ||
                       paths->path2[0] == '\0';
        return paths->two && change_read_path(n, shape->dir2, shape->path2, paths->path2) != 0;
}

/*
 * In a writable grant, or in a directory of the view's own: the kernel needs no help. By text, for CONTINUE grants nothing.
 * @name: not the object but its name is changed, and the name of a grant itself is its level's.
 */
static bool change_is_free(const struct change *c, const char *path, bool name) {
        const struct grant *g;
        char normal[PATH_BYTES];

        if (path_normalise(path, normal) != 0)
                return true;
        g = grants_cover(c->x.grants, normal);
        if (g && name && strcmp(g->path, normal) == 0)
                return false;
        return g ? g->write : path_is_private(normal);
}

static void on_change_gone(int fd, unsigned ready, void *arg) {
        struct change_entry *e = arg;
        struct change *c = e->owner;
        struct broker_message m = { .type = BROKER_GONE, .tag = e->tag, .node = e->node };

        if (!e->done)
                (void)peer_send(c->x.peer, &m, NULL, 0, NULL, 0);
        change_drop(c, e);
}

/* The kernel goes on; or we do, on our copy, where a second look at the arguments could take a denied name off an object. */
static void change_go_on(struct change *c, uint64_t id, const struct plan_call *call) {
        int e;

        if (!names_own(c->x.patterns, call->call)) {
                notify_continue(c->x.notify, id);
                return;
        }
        e = notify_is_valid(c->x.notify, id) ? names_perform(c->x.patterns, c->x.grants, call) : EINTR;
        if (e)
                notify_error(c->x.notify, id, e);
        else
                notify_value(c->x.notify, id, 0);
}

/* What a question that cannot be put means. */
static void change_deny(struct change *c, const struct change_entry *e) {
        if (e->action == PLAN_WIDEN)
                change_go_on(c, e->id, &e->call); /* EROFS */
        else
                notify_error(c->x.notify, e->id, EACCES);
}

static int change_entry_new(struct change *c, const struct notice *n, const struct plan_call *call,
                            const struct change_paths *paths, const struct plan *plan, pid_t tgid,
                            struct change_entry **ret) {
        _cleanup_(change_entry_freep) struct change_entry *e = calloc(1, sizeof(*e));
        int r;

        if (!e)
                return err_raise(-ENOMEM);
        e->owner = c;
        e->fd_pid = -1;
        e->performed = (struct performed){ .fd = -1, .fd_object = -1 };
        e->id = n->id;
        e->call = *call;
        e->call.path = strdup(paths->path);
        e->call.path2 = paths->two ? strdup(paths->path2) : NULL;
        e->told = strdup(plan->path);
        e->told2 = strdup(plan->path2);
        e->action = plan->action;
        e->node = plan->node;
        if (!e->call.path || (paths->two && !e->call.path2) || !e->told || !e->told2)
                return err_raise(-ENOMEM);
        e->fd_pid = (int)syscall(SYS_pidfd_open, tgid, 0);
        if (e->fd_pid < 0)
                return -errno;
        r = loop_io(c->x.loop, e->fd_pid, LOOP_READ, on_change_gone, e, &e->source);
        if (r)
                return err_pass(r);
        *ret = steal_ptr(&e);
        return 0;
}

static void change_ask(struct change *c, const struct notice *n, const struct plan_call *call,
                       const struct change_paths *paths, const struct plan *plan) {
        struct change_entry *e = NULL;
        char chain[CALLER_CHAIN_BYTES];
        mode_t unused;
        pid_t tgid;
        int r;

        if (peer_is_closed(c->x.peer) || c->n >= BROKER_WAITING_MAX || caller_status(n->tid, &tgid, &unused) != 0 ||
            change_entry_new(c, n, call, paths, plan, tgid, &e) != 0) {
                change_deny(c, &(struct change_entry){ .action = plan->action, .id = n->id, .call = *call });
                return;
        }
        caller_chain(tgid, getpid(), chain, sizeof(chain));
        if (!notify_is_valid(c->x.notify, n->id)) { /* what was read may be another process's */
                change_entry_free(e);
                return;
        }
        e->tag = ++c->tag;
        e->next = c->buckets[e->tag % CHANGE_BUCKETS];
        c->buckets[e->tag % CHANGE_BUCKETS] = e;
        c->n++;
        struct broker_message m = {
                .type = BROKER_CHANGE,
                .tag = e->tag,
                .node = plan->node,
                .kind = plan->side.kind,
                .operation = plan->operation,
                .access = 2,
                .flags = plan->action == PLAN_WIDEN ? BROKER_F_WIDEN : 0,
                .pid = (int32_t)tgid,
        };
        struct peer_text texts[] = { PEER_TEXT(plan->path), PEER_TEXT(plan->path2), PEER_TEXT(chain) };

        r = peer_send(c->x.peer, &m, texts, ELEMENTSOF(texts), &e->fd_pid, 1);
        if (r) {
                change_deny(c, e);
                change_drop(c, e);
        }
}

/* Apart from change_handle() for its large frame, which most calls do not need. */
__attribute__((noinline)) static void change_judge(struct change *c, const struct notice *n,
                                                   const struct plan_call *call, const struct change_paths *paths) {
        struct plan plan;

        plan_make(c->x.levels, c->x.grants, call, &plan);
        switch (plan.action) {
        case PLAN_CONTINUE:
                change_go_on(c, n->id, call);
                break;
        case PLAN_ERROR:
                notify_error(c->x.notify, n->id, plan.error);
                break;
        case PLAN_ASK:
        case PLAN_WIDEN:
                change_ask(c, n, call, paths, &plan);
                break;
        }
        plan_done(&plan);
}

void change_handle(struct change *c, const struct notice *n) {
        struct plan_call call = { .tid = n->tid };
        struct change_paths paths;
        bool free;

        if (change_decode(n, &call, &paths) != 0) {
                if (names_own(c->x.patterns, n->shape->call))
                        notify_error(c->x.notify, n->id, ENOENT); /* a name that we cannot read is none */
                else
                        notify_continue(c->x.notify, n->id);
                return;
        }
        call.path = paths.path;
        call.path2 = paths.two ? paths.path2 : NULL;
        free = change_is_free(c, paths.path, call.call != CALL_OPEN) &&
               (!paths.two || call.call == CALL_SYMLINK || change_is_free(c, paths.path2, call.call == CALL_RENAME));
        if (free && names_own(c->x.patterns, call.call))
                change_go_on(c, n->id, &call); /* looks at the names itself */
        else if (names_deny(c->x.patterns, c->x.grants, &call))
                notify_error(c->x.notify, n->id, EACCES);
        else if (free)
                change_go_on(c, n->id, &call);
        else
                change_judge(c, n, &call, &paths);
}

/*
 * Opens in the view what was opened on the host: a descriptor of the host's mount could be opened anew, by way of /proc, for
 * more than was granted.
 */
static int change_open_in_view(const struct change_entry *e) {
        _cleanup_close_ int fd_root = place_root(e->call.tid), fd = -1;
        uint64_t flags = e->call.flags & ~(uint64_t)(O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
        struct stat view, host;

        if (fd_root < 0)
                return -EACCES;
        fd = place_open(fd_root, e->told, flags | O_NOCTTY);
        if (fd < 0)
                return steal_fd(&fd);
        if (fstat(fd, &view) < 0 || fstat(e->performed.fd, &host) < 0 || view.st_dev != host.st_dev ||
            view.st_ino != host.st_ino)
                return -EACCES;
        return steal_fd(&fd);
}

static void change_answer(struct change *c, struct change_entry *e) {
        _cleanup_close_ int fd = -1;
        int r;

        if (e->call.call != CALL_OPEN) {
                notify_value(c->x.notify, e->id, 0);
                return;
        }
        fd = change_open_in_view(e);
        /* a file that this very call made is the session's own, whatever the view shows of it */
        if (fd < 0 && e->performed.created)
                fd = steal_fd(&e->performed.fd);
        if (fd < 0) {
                fd = -1;
                notify_error(c->x.notify, e->id, EACCES);
                return;
        }
        r = notify_return_fd(c->x.notify, e->id, fd, e->call.flags & O_CLOEXEC);
        if (r && r != -ENOENT)
                notify_error(c->x.notify, e->id, -r); /* EMFILE */
}

/* Tells the service what stands on the host now. */
static void change_tell(struct change *c, struct change_entry *e, const struct plan *plan) {
        struct broker_message m = {
                .type = BROKER_CHANGED,
                .tag = e->tag,
                .node = plan->node,
                .kind = e->performed.kind,
                .operation = plan->operation,
        };
        struct peer_text texts[] = { PEER_TEXT(plan->path), PEER_TEXT(plan->path2) };
        int r;

        if (plan->operation != OPERATION_DELETE) {
                const struct place *made = e->call.call == CALL_RENAME ? &plan->place2 : &plan->place;

                if (made->level)
                        levels_appeared(c->x.levels, made->node, made->name);
        }
        r = peer_send(c->x.peer, &m, texts, ELEMENTSOF(texts), &e->performed.fd_object,
                      e->performed.fd_object >= 0 ? 1 : 0);
        if (r) {
                change_answer(c, e);
                change_drop(c, e);
        }
}

static void change_perform(struct change *c, struct change_entry *e) {
        mode_t mask;
        pid_t tgid;
        struct plan plan;
        int error = EACCES;

        plan_make(c->x.levels, c->x.grants, &e->call, &plan);
        if (plan.action == PLAN_ASK && plan.node == e->node && strcmp(plan.path, e->told) == 0 &&
            strcmp(plan.path2, e->told2) == 0) {
                if (caller_status(e->call.tid, &tgid, &mask) != 0 || !notify_is_valid(c->x.notify, e->id)) {
                        change_drop(c, e); /* killed; nothing was done */
                        plan_done(&plan);
                        return;
                }
                error = plan_perform(&e->call, &plan, mask, &e->performed);
                e->done = error == 0;
        } else if (plan.action == PLAN_ERROR)
                error = plan.error;
        if (e->done)
                change_tell(c, e, &plan);
        else {
                notify_error(c->x.notify, e->id, error);
                change_drop(c, e);
        }
        plan_done(&plan);
}

void change_verdict(struct change *c, uint64_t tag, int error) {
        struct change_entry *e = *change_find(c, tag);

        if (!e || e->done)
                return;
        if (e->action == PLAN_WIDEN)
                change_go_on(c, e->id, &e->call); /* the grant is what it is now */
        else if (error)
                notify_error(c->x.notify, e->id, error > 0 && error < 4096 ? error : EACCES);
        else {
                change_perform(c, e);
                return;
        }
        change_drop(c, e);
}

void change_release(struct change *c, uint64_t tag) {
        struct change_entry *e = *change_find(c, tag);

        if (!e || !e->done)
                return;
        change_answer(c, e);
        change_drop(c, e);
}

void change_orphan(struct change *c) {
        for (size_t i = 0; i < CHANGE_BUCKETS; i++)
                while (c->buckets[i]) {
                        struct change_entry *e = c->buckets[i];

                        if (e->done)
                                change_answer(c, e);
                        else
                                change_deny(c, e);
                        change_drop(c, e);
                }
}
