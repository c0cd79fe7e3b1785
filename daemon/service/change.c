/*
 * The host's names are changed already when this runs. What the rules grant is attached, what stands under a name that is
 * gone or has another object now is detached, and then the waiting call returns.
 *
 * Runs as: user nono.   Input: see change.h.
 */
#include "daemon/service/change.h"

#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "daemon/monitor/request.h"
#include "daemon/policy/policy.h"
#include "daemon/service/attach.h"
#include "daemon/service/broker-link.h"
#include "daemon/service/pathname.h"
#include "daemon/service/run.h"
#include "daemon/service/tree.h"

struct change {
        uint64_t tag;
};

static void change_release(struct run *r, uint64_t tag) {
        struct broker_message m = { .type = BROKER_RELEASE, .tag = tag };

        (void)broker_link_send(r, &m, NULL, NULL, -1);
}

static void on_change_attached(struct run *r, void *arg, int error) {
        struct change *c = arg;

        if (error != ECANCELED || r->state != RUN_ENDING)
                change_release(r, c->tag);
        free(c);
}

static void change_detach(struct run *r, const char *path) {
        struct tree_node *n = tree_by_path(r->tree, path);

        if (n && n->id != TREE_ROOT && n->kind != VIEW_LEVEL)
                attach_revoke(r, n);
}

/* Where and how a new object at @path is attached. Return: false when it is visible anyway, or must not be. */
static bool change_place(const struct run *r, const char *path, uint32_t *ret_parent, uint32_t *ret_flags) {
        const struct tree_node *up = tree_parent_of(r->tree, path);
        const struct tree_node *around;

        *ret_flags = 0;
        if (up && up->kind == VIEW_LEVEL && up->standing) {
                *ret_parent = up->id;
                return true;
        }
        around = tree_covering(r->tree, path);
        if (!around || around->flags & VIEW_WRITE || !around->standing)
                return false;
        *ret_parent = around->id;
        *ret_flags = VIEW_INSIDE;
        return true;
}

/* Return: true when an answer is awaited, which releases the caller. */
static bool change_attach(struct run *r, uint64_t tag, enum object_kind kind, const char *path, const char *target,
                          int fd) {
        _cleanup_close_ int fd_object = fd;
        struct policy_verdict v = policy_verdict(r->plan, path, POLICY_READ);
        uint32_t parent, flags, what;
        struct change *c;
        struct stat st;

        if (!change_place(r, path, &parent, &flags))
                return false;
        if (v.answer != POLICY_ANSWER_GRANT)
                return false;
        if (kind == OBJECT_SYMLINK) {
                if (!*target || flags & VIEW_INSIDE)
                        return false;
                what = VIEW_SYMLINK;
        } else {
                if (fd_object < 0 || fstat(fd_object, &st) < 0 || (kind == OBJECT_DIR) != S_ISDIR(st.st_mode) ||
                    S_ISLNK(st.st_mode) || S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
                        return false;
                what = kind == OBJECT_DIR ? VIEW_DIR : VIEW_FILE;
                flags |= v.granted & POLICY_WRITE ? VIEW_WRITE : 0;
                if (kind == OBJECT_DIR && (v.deny_below || v.rule->file))
                        what = VIEW_LEVEL; /* it is empty still, and each name in it will be judged */
                if (what == VIEW_LEVEL && flags & VIEW_INSIDE)
                        return false;
                if (what == VIEW_LEVEL) {
                        flags = 0;
                        fd_close(&fd_object);
                }
        }
        c = calloc(1, sizeof(*c));
        if (!c)
                return false;
        c->tag = tag;
        if (what == VIEW_SYMLINK)
                fd_close(&fd_object);
        if (attach_node(r, parent, what, flags, path, what == VIEW_SYMLINK ? target : NULL, steal_fd(&fd_object), 0,
                        on_change_attached, c) != 0) {
                free(c);
                return false;
        }
        return true;
}

/* An opened file that is attached as it should be already: nothing changed but its content. */
static bool change_stands(const struct run *r, const char *path, enum object_kind kind) {
        const struct tree_node *n = tree_by_path(r->tree, path);

        return n && n->standing && n->kind == VIEW_FILE && kind != OBJECT_DIR && n->flags & VIEW_WRITE;
}

void change_done(struct run *r, uint64_t tag, enum operation operation, enum object_kind kind, const char *path,
                 const char *second, int fd) {
        _cleanup_close_ int fd_object = fd;
        const char *made = path, *target = "";

        switch (operation) {
        case OPERATION_DELETE:
                change_detach(r, path);
                made = NULL;
                break;
        case OPERATION_RENAME:
                change_detach(r, path);
                made = second;
                break;
        case OPERATION_SYMLINK:
                kind = OBJECT_SYMLINK;
                target = second;
                break;
        default:
                break;
        }
        if (made && *made == '/' && policy_path_is_normalised(made)) {
                if (operation == OPERATION_CREATE && change_stands(r, made, kind)) {
                        change_release(r, tag);
                        return;
                }
                change_detach(r, made);
                if (change_attach(r, tag, kind, made, target, steal_fd(&fd_object)))
                        return;
        }
        change_release(r, tag);
}
