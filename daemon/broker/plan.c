/*
 * Planning.
 *
 * Rules that keep "done on the host" from being more than the view would give:
 * - directories are never renamed across a level's edge: masks inside them would stay behind. EXDEV, and programs copy;
 * - what is linked or renamed out of a tree must be the very object that the view shows there, from a writable mount;
 * - the private directories of the view have no host side. EXDEV.
 *
 * Runs as: the user, in the broker.   Input: copies of what hostile processes passed.
 */
#include "daemon/broker/plan.h"

#include <fcntl.h>
#include <linux/auto_fs.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "daemon/broker/grants.h"
#include "daemon/broker/levels.h"
#include "daemon/broker/resolve.h"

struct planner {
        const struct levels *levels;
        const struct grants *grants;
        const struct plan_call *call;
        struct plan *plan;
        int fd_root;
};

static void plan_fail(struct planner *p, int error) {
        p->plan->action = PLAN_ERROR;
        p->plan->error = error;
}

static void plan_ask(struct planner *p, uint32_t node, enum operation operation) {
        p->plan->action = PLAN_ASK;
        p->plan->node = node;
        p->plan->operation = operation;
        snprintf(p->plan->path, sizeof(p->plan->path), "%s", p->plan->place.path);
        if (p->call->path2)
                snprintf(p->plan->path2, sizeof(p->plan->path2), "%s",
                         p->call->call == CALL_SYMLINK ? p->call->path2 : p->plan->place2.path);
}

static bool plan_is_autofs(int fd) {
        struct statfs sf;

        return fstatfs(fd, &sf) == 0 && sf.f_type == AUTOFS_SUPER_MAGIC;
}

/*
 * @fd (in the view) is what would have to be written. On a read-only grant, and when the user could write it on the host, the
 * grant might be widened. @path is where it stands, @also another name of it: a single file is mounted elsewhere.
 */
static void plan_widen(struct planner *p, int fd, const char *path, const char *also, enum operation operation) {
        const char *const names[] = { path, also };
        struct statfs sf;
        struct stat here;

        if (fstatfs(fd, &sf) < 0 || !(sf.f_flags & ST_RDONLY) || fstat(fd, &here) < 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const struct grant *g = names[i] ? grants_cover(p->grants, names[i]) : NULL;
                _cleanup_close_ int fd_host = -1;
                struct stat st;

                if (!g || g->write)
                        continue;
                fd_host = resolve_exact(names[i]);
                if (fd_host < 0)
                        continue;
                if (fstat(fd_host, &st) < 0 || st.st_dev != here.st_dev || st.st_ino != here.st_ino ||
                    !resolve_may(fd_host, W_OK))
                        continue;
                p->plan->action = PLAN_WIDEN;
                p->plan->node = g->node;
                p->plan->operation = operation;
                return;
        }
}

/* The parent of @place would have to be writable. */
static void plan_widen_parent(struct planner *p, const struct place *place, enum operation operation) {
        _cleanup_close_ int fd = -1;
        char parent[PATH_BYTES];
        const char *name;
        bool directory;
        size_t n;

        if (!place->read_only || path_split(place->path, parent, &name, &n, &directory) != 0)
                return;
        n = strlen(parent);
        if (n > 1)
                parent[n - 1] = '\0';
        fd = place_open(p->fd_root, parent, O_PATH | O_DIRECTORY);
        if (fd < 0)
                return;
        plan_widen(p, fd, parent, NULL, operation);
        snprintf(p->plan->path, sizeof(p->plan->path), "%s", place->path);
}

/* An open in a level of a name that the view does not have. */
static void plan_create(struct planner *p) {
        const uint64_t flags = p->call->flags;
        const struct side *s = &p->plan->side;
        _cleanup_close_ int fd = -1;
        bool write = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC, read = (flags & O_ACCMODE) != O_WRONLY;

        if (s->fd_dir < 0) {
                plan_fail(p, EACCES);
                return;
        }
        if (!s->exists) {
                if (!s->writable)
                        plan_fail(p, EACCES);
                else
                        plan_ask(p, p->plan->place.node, OPERATION_CREATE);
                return;
        }
        if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
                plan_fail(p, EEXIST);
        else if (s->kind == OBJECT_DIR)
                plan_fail(p, EISDIR);
        else if (s->kind == OBJECT_SYMLINK)
                plan_fail(p, flags & O_NOFOLLOW ? ELOOP : EACCES);
        else {
                fd = openat(s->fd_dir, p->plan->place.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
                if (s->kind != OBJECT_FILE || fd < 0 || !resolve_may(fd, (write ? W_OK : 0) | (read ? R_OK : 0)))
                        plan_fail(p, EACCES);
                else
                        plan_ask(p, p->plan->place.node, write ? OPERATION_WRITE : OPERATION_READ);
        }
}

/* The object itself, when it is there: it may lie behind a link, or be a mount of its own. */
static void plan_open_existing(struct planner *p) {
        uint64_t follow = p->call->flags & O_NOFOLLOW ? O_NOFOLLOW : 0;
        _cleanup_close_ int fd = place_open(p->fd_root, p->call->path, O_PATH | follow);
        char path[PATH_BYTES];

        if (fd < 0 || resolve_fd_path(fd, path) != 0) {
                if (p->call->flags & O_CREAT)
                        plan_widen_parent(p, &p->plan->place, OPERATION_CREATE);
                return;
        }
        plan_widen(p, fd, path, p->plan->place.path, OPERATION_WRITE);
        if (p->plan->action == PLAN_WIDEN)
                snprintf(p->plan->path, sizeof(p->plan->path), "%s",
                         grants_cover(p->grants, path) ? path : p->plan->place.path);
}

static void plan_open(struct planner *p) {
        const struct place *place = &p->plan->place;
        const uint64_t flags = p->call->flags;

        if (flags & O_PATH)
                return;
        if ((flags & O_TMPFILE) == O_TMPFILE) {
                _cleanup_close_ int fd = place_open(p->fd_root, p->call->path, O_PATH | O_DIRECTORY);
                char path[PATH_BYTES];

                if (fd >= 0 && plan_is_autofs(fd))
                        plan_fail(p, EOPNOTSUPP);
                else if (fd >= 0 && resolve_fd_path(fd, path) == 0) {
                        plan_widen(p, fd, path, NULL, OPERATION_CREATE);
                        snprintf(p->plan->path, sizeof(p->plan->path), "%s", path);
                }
                return;
        }
        if (place_find(p->levels, p->fd_root, p->call->path, &p->plan->place) != 0)
                return;
        if (place->level && !place->exists) {
                if (flags & O_CREAT && !place->directory && !(flags & O_DIRECTORY)) {
                        side_of_level(place, levels_by_node(p->levels, place->node), &p->plan->side);
                        plan_create(p);
                }
                return; /* without O_CREAT the walk itself asks */
        }
        plan_open_existing(p);
}

/* mkdir, mknod, symlink and the new name of a link. Return: true when the name may be made, asked for @operation. */
static bool plan_new_name(struct planner *p, enum operation operation) {
        const struct place *place = &p->plan->place;
        const struct side *s = &p->plan->side;

        if (place_find(p->levels, p->fd_root, p->call->path, &p->plan->place) != 0)
                return false;
        if (!place->level) {
                if (!place->exists)
                        plan_widen_parent(p, place, operation);
                return false;
        }
        if (place->exists || (place->directory && p->call->call != CALL_MKDIR))
                return false; /* EEXIST, ENOENT: the kernel says it */
        side_of_level(place, levels_by_node(p->levels, place->node), &p->plan->side);
        if (s->fd_dir < 0)
                plan_fail(p, EACCES);
        else if (s->exists)
                plan_fail(p, EEXIST);
        else if (!s->writable)
                plan_fail(p, EACCES);
        else
                return true;
        return false;
}

static void plan_mknod(struct planner *p) {
        mode_t type = p->call->mode & S_IFMT;

        /* devices: EPERM, as the kernel says to everybody without CAP_MKNOD */
        if (type == 0 || type == S_IFREG || type == S_IFIFO || type == S_IFSOCK)
                if (plan_new_name(p, OPERATION_CREATE))
                        plan_ask(p, p->plan->place.node, OPERATION_CREATE);
}

static void plan_link(struct planner *p) {
        struct plan *plan = p->plan;
        uint64_t follow = p->call->flags & AT_SYMLINK_FOLLOW ? 0 : O_NOFOLLOW;
        _cleanup_close_ int fd = -1;
        char path[PATH_BYTES];
        struct statfs sf;
        struct stat view, host;

        if (p->call->flags & AT_EMPTY_PATH || !plan_new_name(p, OPERATION_LINK))
                return;
        fd = place_open(p->fd_root, p->call->path2, O_PATH | follow);
        if (fd < 0) {
                plan_fail(p, -fd);
                return;
        }
        plan_fail(p, EXDEV);
        if (fstat(fd, &view) < 0 || fstatfs(fd, &sf) < 0 || !S_ISREG(view.st_mode) || sf.f_flags & ST_RDONLY)
                return;
        /* a single file's mount has another path in the view: place2 has the one it was called by */
        if (place_find(p->levels, p->fd_root, p->call->path2, &plan->place2) != 0)
                return;
        if (!plan->place2.level && resolve_fd_path(fd, path) == 0)
                snprintf(plan->place2.path, sizeof(plan->place2.path), "%s", path);
        if (path_is_private(plan->place2.path) && !grants_cover(p->grants, plan->place2.path))
                return;
        plan->fd_source = resolve_exact(plan->place2.path);
        if (plan->fd_source < 0) {
                plan->fd_source = -1;
                return;
        }
        if (fstat(plan->fd_source, &host) < 0 || host.st_dev != view.st_dev || host.st_ino != view.st_ino)
                return;
        plan_ask(p, plan->place.node, OPERATION_LINK);
}

static void plan_unlink(struct planner *p) {
        const struct place *place = &p->plan->place;
        const struct side *s = &p->plan->side;
        bool directory = p->call->call == CALL_RMDIR;

        if (place_find(p->levels, p->fd_root, p->call->path, &p->plan->place) != 0)
                return;
        if (!place->level) {
                if (place->exists)
                        plan_widen_parent(p, place, OPERATION_DELETE);
                return;
        }
        side_of_level(place, levels_by_node(p->levels, place->node), &p->plan->side);
        if (s->fd_dir < 0 || !s->exists) {
                if (!place->exists)
                        plan_fail(p, ENOENT);
                return; /* something of the view's own: the kernel refuses */
        }
        if (!directory && s->kind == OBJECT_DIR)
                plan_fail(p, EISDIR);
        else if ((directory || place->directory) && s->kind != OBJECT_DIR)
                plan_fail(p, ENOTDIR);
        else if (!s->writable)
                plan_fail(p, EACCES);
        else
                plan_ask(p, place->node, OPERATION_DELETE);
}

/* One end of a rename. Return: true when it can take part. */
static bool plan_rename_end(struct planner *p, const struct place *place, struct side *side) {
        if (place->level) {
                side_of_level(place, levels_by_node(p->levels, place->node), side);
                if (side->fd_dir < 0 || !side->writable)
                        plan_fail(p, EACCES);
                return side->fd_dir >= 0 && side->writable;
        }
        if (place->read_only)
                plan_fail(p, EROFS);
        else if (!side_of_tree(place, p->grants, side))
                plan_fail(p, EXDEV);
        else
                return true;
        return false;
}

static void plan_rename(struct planner *p) {
        struct plan *plan = p->plan;
        struct place *from = &plan->place, *to = &plan->place2;

        if (place_find(p->levels, p->fd_root, p->call->path, from) != 0 ||
            place_find(p->levels, p->fd_root, p->call->path2, to) != 0)
                return;
        if (!from->level && !to->level) {
                plan_widen_parent(p, from, OPERATION_RENAME);
                if (plan->action == PLAN_CONTINUE)
                        plan_widen_parent(p, to, OPERATION_RENAME);
                return;
        }
        if (p->call->flags & ~(uint64_t)RENAME_NOREPLACE) {
                plan_fail(p, EINVAL);
                return;
        }
        if (!from->level && !from->exists) {
                plan_fail(p, ENOENT);
                return;
        }
        if (!plan_rename_end(p, from, &plan->side))
                return;
        if (!plan->side.exists)
                plan_fail(p, ENOENT);
        else if (plan->side.kind == OBJECT_DIR)
                plan_fail(p, EXDEV);
        else if (from->directory || to->directory)
                plan_fail(p, ENOTDIR);
        else if (plan_rename_end(p, to, &plan->side2)) {
                if (plan->side2.exists && p->call->flags & RENAME_NOREPLACE)
                        plan_fail(p, EEXIST);
                else if (plan->side2.kind == OBJECT_DIR)
                        plan_fail(p, EISDIR);
                else
                        plan_ask(p, to->level ? to->node : from->node, OPERATION_RENAME);
        }
}

void plan_make(const struct levels *levels, const struct grants *grants, const struct plan_call *call,
               struct plan *ret) {
        _cleanup_close_ int fd_root = place_root(call->tid);
        struct planner p = { .levels = levels, .grants = grants, .call = call, .plan = ret, .fd_root = fd_root };

        memset(ret, 0, sizeof(*ret));
        ret->side.fd_dir = ret->side2.fd_dir = ret->fd_source = -1;
        if (fd_root < 0)
                return;
        switch (call->call) {
        case CALL_OPEN:
                plan_open(&p);
                break;
        case CALL_MKDIR:
                if (plan_new_name(&p, OPERATION_MKDIR))
                        plan_ask(&p, ret->place.node, OPERATION_MKDIR);
                break;
        case CALL_SYMLINK:
                if (plan_new_name(&p, OPERATION_SYMLINK))
                        plan_ask(&p, ret->place.node, OPERATION_SYMLINK);
                break;
        case CALL_MKNOD:
                plan_mknod(&p);
                break;
        case CALL_LINK:
                plan_link(&p);
                break;
        case CALL_UNLINK:
        case CALL_RMDIR:
                plan_unlink(&p);
                break;
        case CALL_RENAME:
                plan_rename(&p);
                break;
        default:
                break;
        }
}

void plan_done(struct plan *p) {
        side_done(&p->side);
        side_done(&p->side2);
        fd_close(&p->fd_source);
}
