/*
 * Live changes of a view. The monitor stays in the host's mount namespace: sources are cloned there, names are made
 * through the level's descriptor, and only the attach itself runs in a vfork-like helper that enters the session's
 * namespace (a descriptor is no way in: move_mount(2) checks the caller's namespace).
 *
 * Runs as: root, in the autofs daemon's group, so that none of its own walks is asked about.
 * Input: messages of the service, checked by view_check().
 */
#include "daemon/monitor/view.h"

#include <fcntl.h>
#include <linux/auto_fs.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/error.h"
#include "common/fd.h"
#include "daemon/monitor/sentry.h"
#include "daemon/target/mount.h"

enum { VIEW_HELPER_STACK = 64 * 1024 };

void view_init(struct view *v) {
        *v = (struct view){ .fd_namespace = -1, .fd_hidden = -1, .fd_pipe = -1, .fd_sentry = -1 };
}

static void view_forget(struct view_node *n) {
        fd_close(&n->fd);
        free(n->name);
        free(n->inside);
        *n = (struct view_node){ .fd = -1 };
}

void view_done(struct view *v) {
        for (size_t i = 0; i < v->n_nodes; i++)
                if (v->nodes[i].kind)
                        view_forget(&v->nodes[i]);
        free(v->nodes);
        fd_close(&v->fd_namespace);
        fd_close(&v->fd_hidden);
        fd_close(&v->fd_pipe);
        view_init(v);
}

static struct view_node *view_node(const struct view *v, uint32_t id) {
        return id > 0 && id < v->n_nodes && v->nodes[id].kind ? &v->nodes[id] : NULL;
}

uint32_t view_level_of(const struct view *v, uint32_t id) {
        for (const struct view_node *n = view_node(v, id); n; id = n->parent, n = view_node(v, id))
                if (n->kind == VIEW_LEVEL)
                        return id;
        return 0;
}

static bool view_name_is_component(const char *name, size_t len) {
        return len > 0 && len <= MONITOR_NAME_MAX && !memchr(name, '/', len) && !memchr(name, 0, len) &&
               !(len == 1 && name[0] == '.') && !(len == 2 && name[0] == '.' && name[1] == '.');
}

static int view_check_object(const struct monitor_message *m, int fd) {
        struct statfs fs;
        struct stat st;
        int flags;

        if (fd < 0 || fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
                return err_raise(-EBADF);
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || !(flags & O_PATH))
                return err_raise(-EINVAL);
        if ((m->kind == VIEW_DIR) != S_ISDIR(st.st_mode))
                return err_raise(-EINVAL);
        if (S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode) || S_ISLNK(st.st_mode))
                return err_raise(-EPERM);
        /* other processes' innards and other sessions' views are never anybody's to grant */
        if (fs.f_type == AUTOFS_SUPER_MAGIC || fs.f_type == PROC_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC)
                return err_raise(-EPERM);
        return 0;
}

int view_check(const struct view *v, const struct monitor_message *m, int fd) {
        const struct view_node *parent = view_node(v, m->parent);

        if (m->node == 0 || m->node > MONITOR_NODES_MAX)
                return err_raise(-EINVAL);
        if (view_node(v, m->node))
                return err_raise(-EEXIST);
        if (m->node == 1)
                return m->kind == VIEW_LEVEL && m->parent == 0 ? 0 : err_raise(-EINVAL);
        if (!parent)
                return err_raise(-ENOENT);
        if (m->flags & VIEW_SENTRY && (m->kind != VIEW_DIR || v->fd_sentry < 0))
                return err_raise(-EINVAL);
        if (m->parent >= m->node) /* younger than its parent: view_revoke() relies on it */
                return err_raise(-EINVAL);
        if (m->flags & VIEW_INSIDE) {
                if (parent->kind != VIEW_DIR || (m->kind != VIEW_DIR && m->kind != VIEW_FILE && m->kind != VIEW_MASK))
                        return err_raise(-EINVAL);
                if (m->target_len == 0 || m->target_len > MONITOR_TARGET_MAX || memchr(m->target, 0, m->target_len))
                        return err_raise(-EINVAL);
        } else {
                if (parent->kind != VIEW_LEVEL && parent->kind != VIEW_PLAIN && parent->kind != VIEW_TMP)
                        return err_raise(-EINVAL);
                if (!view_name_is_component(m->name, m->name_len))
                        return err_raise(-EINVAL);
                if (parent->kind == VIEW_LEVEL && m->parent == 1 && m->name_len == strlen(MOUNT_HIDDEN) &&
                    memcmp(m->name, MOUNT_HIDDEN, m->name_len) == 0)
                        return err_raise(-EPERM);
        }
        switch (m->kind) {
        case VIEW_DIR:
        case VIEW_FILE:
                return view_check_object(m, fd);
        case VIEW_SYMLINK:
                if (m->target_len == 0 || m->target_len > MONITOR_TARGET_MAX || memchr(m->target, 0, m->target_len))
                        return err_raise(-EINVAL);
                return 0;
        case VIEW_LEVEL:
        case VIEW_PLAIN:
        case VIEW_TMP:
        case VIEW_PROC:
        case VIEW_DEV:
                return 0;
        case VIEW_MASK:
                return m->flags & VIEW_INSIDE ? 0 : err_raise(-EINVAL);
        default:
                return err_raise(-EINVAL);
        }
}

int view_record(struct view *v, const struct monitor_message *m) {
        struct view_node *n;

        if (m->node >= v->n_nodes) {
                size_t size = MAX_OF((size_t)m->node + 1, MAX_OF(v->n_nodes * 2, (size_t)64));
                struct view_node *nodes = reallocarray(v->nodes, size, sizeof(*nodes));

                if (!nodes)
                        return err_raise(-ENOMEM);
                for (size_t i = v->n_nodes; i < size; i++)
                        nodes[i] = (struct view_node){ .fd = -1 };
                v->nodes = nodes;
                v->n_nodes = size;
        }
        n = &v->nodes[m->node];
        *n = (struct view_node){ .kind = m->kind, .flags = m->flags, .parent = m->parent, .fd = -1 };
        n->name = strndup(m->name, m->name_len);
        if (m->flags & VIEW_INSIDE)
                n->inside = strndup(m->target, m->target_len);
        if (!n->name || ((m->flags & VIEW_INSIDE) && !n->inside)) {
                view_forget(n);
                return err_raise(-ENOMEM);
        }
        return 0;
}

void view_unrecord(struct view *v, uint32_t id) {
        struct view_node *n = view_node(v, id);

        if (n && id != 1)
                view_forget(n);
}

int view_record_fd(struct view *v, uint32_t id, int fd) {
        struct view_node *n = view_node(v, id);

        if (!n || n->fd >= 0) {
                fd_close(&fd);
                return err_raise(-ENOENT);
        }
        n->fd = fd;
        return 0;
}

/* --- the helper inside the session's mount namespace -------------------------------------------------------------- */

struct view_call {
        int fd_namespace;
        int (*fn)(struct view_call *c);
        const struct view *view;
        const struct view_node *node, *parent;
        const char *hidden; /* name in the hidden tmpfs; NULL: none */
        int fds[2];         /* detached mounts */
        bool write;
        int ret_fd, r;
};

static int view_helper(void *arg) {
        struct view_call *c = arg;

        if (setns(c->fd_namespace, CLONE_NEWNS) < 0)
                c->r = -errno;
        else
                c->r = c->fn(c);
        _exit(0);
}

/* Shares memory and descriptors with us, as vfork(2) does, but not the working directory: setns(2) asks for that. */
static int view_run_inside(struct view_call *c) {
        static char stack[VIEW_HELPER_STACK] __attribute__((aligned(16)));
        pid_t pid;

        c->r = -ECHILD;
        pid = clone(view_helper, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, c);
        if (pid < 0)
                return err_raise(-errno);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return c->r ? err_raise(c->r) : 0;
}

static int view_place_inside(struct view_call *c) {
        int r;

        if (c->node->flags & VIEW_INSIDE) {
                int fd = mount_resolve_beneath(c->parent->fd, c->node->inside);

                if (fd < 0)
                        return fd;
                r = mount_place(c->fds[0], fd, "");
                fd_close(&fd);
                if (r == 0 && c->node->kind == VIEW_DIR) {
                        c->ret_fd = mount_resolve_beneath(c->parent->fd, c->node->inside);
                        r = c->ret_fd < 0 ? c->ret_fd : 0;
                }
                return r;
        }
        switch (c->node->kind) {
        case VIEW_LEVEL:
                c->ret_fd = mount_level(c->parent->fd, c->node->name, c->view->fd_pipe, c->view->pgrp);
                return c->ret_fd < 0 ? c->ret_fd : 0;
        case VIEW_DIR:
                r = mount_place(c->fds[0], c->parent->fd, c->node->name);
                if (r)
                        return r;
                c->ret_fd = openat(c->parent->fd, c->node->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                return c->ret_fd < 0 ? -errno : 0;
        case VIEW_FILE:
                r = c->hidden ? mount_place(c->fds[1], c->view->fd_hidden, c->hidden) : 0;
                return r ? r : mount_place(c->fds[0], c->parent->fd, c->node->name);
        default:
                return -EINVAL;
        }
}

/* "a/b/c" → working directory "a/b" below the parent's root; returns the last component. */
static const char *view_enter_directory_of(struct view_call *c) {
        char dir[MONITOR_TARGET_MAX + 1];
        const char *slash = strrchr(c->node->inside, '/');
        int fd, r;

        if (!slash)
                return fchdir(c->parent->fd) < 0 ? NULL : c->node->inside;
        snprintf(dir, sizeof(dir), "%.*s", (int)(slash - c->node->inside), c->node->inside);
        fd = mount_resolve_beneath(c->parent->fd, dir);
        if (fd < 0)
                return NULL;
        r = fchdir(fd);
        fd_close(&fd);
        return r < 0 ? NULL : slash + 1;
}

static int view_unmount_inside(struct view_call *c) {
        const char *name = view_enter_directory_of(c);

        if (!name)
                return -errno;
        return umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

static int view_widen_inside(struct view_call *c) {
        int r;

        if (c->node->flags & VIEW_INSIDE) {
                const char *name = view_enter_directory_of(c);

                return name ? mount_set_write(AT_FDCWD, name, c->write) : -errno;
        }
        r = mount_set_write(c->parent->fd, c->node->name, c->write);
        if (r == 0 && c->hidden)
                r = mount_set_write(c->view->fd_hidden, c->hidden, c->write);
        return r;
}

/* --- attach, revoke, widen ---------------------------------------------------------------------------------------- */

static const char *view_hidden_name(const struct view_node *node, const struct view_node *parent, uint32_t id, char buf[32]) {
        if (node->kind != VIEW_FILE || (node->flags & VIEW_INSIDE) || parent->kind != VIEW_LEVEL)
                return NULL;
        snprintf(buf, 32, "f%u", id);
        return buf;
}

static int view_touch(int fd_dir, const char *name) {
        int fd = openat(fd_dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0444);

        if (fd < 0)
                return err_raise(-errno);
        fd_close(&fd);
        return 0;
}

/* The names, made from our own namespace: nothing is mounted there, and the level's descriptor reaches the same tree. */
static int view_make_name(const struct view *v, const struct view_node *node, const struct view_node *parent,
                          const char *hidden, const struct monitor_message *m) {
        char target[64];

        if (node->flags & VIEW_INSIDE)
                return 0;
        switch (node->kind) {
        case VIEW_SYMLINK:
                return symlinkat(m->target, parent->fd, node->name) < 0 ? err_raise(-errno) : 0;
        case VIEW_FILE:
                if (!hidden)
                        return view_touch(parent->fd, node->name);
                snprintf(target, sizeof(target), "/" MOUNT_HIDDEN "/%s", hidden);
                if (view_touch(v->fd_hidden, hidden) < 0)
                        return err_raise(-EIO);
                return symlinkat(target, parent->fd, node->name) < 0 ? err_raise(-errno) : 0;
        default:
                return mkdirat(parent->fd, node->name, 0755) < 0 ? err_raise(-errno) : 0;
        }
}

static void view_remove_name(const struct view *v, const struct view_node *node, const struct view_node *parent,
                             const char *hidden) {
        bool file = node->kind == VIEW_FILE || node->kind == VIEW_SYMLINK;

        if (hidden)
                (void)unlinkat(v->fd_hidden, hidden, 0);
        (void)unlinkat(parent->fd, node->name, file ? 0 : AT_REMOVEDIR);
}

static void view_ready(const struct view *v, uint32_t node, uint32_t token) {
        const struct view_node *level = view_node(v, view_level_of(v, node));

        /* EINVAL: the waiting process was killed meanwhile, nobody waits for this token any more */
        if (level && token && ioctl(level->fd, AUTOFS_IOC_READY, (unsigned long)token) < 0 && errno != EINVAL)
                (void)err_raise(-errno);
}

void view_orphan(struct view *v) {
        for (size_t i = 0; i < v->n_nodes; i++)
                if (v->nodes[i].kind == VIEW_LEVEL && v->nodes[i].fd >= 0 &&
                    ioctl(v->nodes[i].fd, AUTOFS_IOC_CATATONIC, 0) < 0)
                        (void)err_raise(-errno);
}

int view_attach(struct view *v, const struct monitor_message *m, int fd, int *ret_level) {
        struct view_call c = { .fd_namespace = v->fd_namespace, .fn = view_place_inside, .view = v, .ret_fd = -1,
                               .fds = { -1, -1 } };
        const struct view_node *parent;
        struct view_node *node;
        char hidden[32];
        int r;

        r = view_record(v, m);
        if (r)
                return err_pass(r);
        node = view_node(v, m->node);
        parent = view_node(v, m->parent);
        c.node = node;
        c.parent = parent;
        c.hidden = view_hidden_name(node, parent, m->node, hidden);
        r = view_make_name(v, node, parent, c.hidden, m);
        if (r == 0 && fd >= 0)
                r = c.fds[0] = m->flags & VIEW_SENTRY ? sentry_clone(v->fd_sentry, fd, m->flags & VIEW_WRITE)
                                                      : mount_clone(fd, m->flags & VIEW_WRITE);
        if (r >= 0 && c.hidden)
                r = c.fds[1] = mount_clone(fd, m->flags & VIEW_WRITE);
        if (r >= 0)
                r = node->kind == VIEW_SYMLINK || node->kind == VIEW_PLAIN ? 0 : view_run_inside(&c);
        fd_close_many(c.fds, 2);
        if (r < 0) {
                fd_close(&c.ret_fd);
                if (!(node->flags & VIEW_INSIDE) && r != -EEXIST)
                        view_remove_name(v, node, parent, c.hidden);
                view_forget(node);
                if (r == -ENOENT)
                        /* the object was replaced after it was opened: nothing stands, so the kernel asks once more */
                        view_ready(v, m->parent, m->token);
                return err_raise(r);
        }
        if (node->kind == VIEW_PLAIN)
                c.ret_fd = openat(parent->fd, node->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        node->fd = c.ret_fd;
        if (node->kind == VIEW_LEVEL)
                *ret_level = node->fd;
        else
                view_ready(v, m->parent, m->token);
        return 0;
}

int view_revoke(struct view *v, uint32_t id) {
        struct view_node *node = view_node(v, id), *parent;
        char hidden[32];
        int r = 0;

        if (!node || id == 1)
                return err_raise(-ENOENT);
        parent = view_node(v, node->parent);
        if (!parent)
                return err_raise(-ENOENT);
        if (node->flags & VIEW_INSIDE) {
                struct view_call c = { .fd_namespace = v->fd_namespace, .fn = view_unmount_inside, .view = v,
                                       .node = node, .parent = parent, .fds = { -1, -1 } };

                r = view_run_inside(&c);
                if (r == -EINVAL || r == -ENOENT)
                        r = 0; /* the host replaced what it covered: the kernel has detached it already */
        } else {
                /* from a namespace where the name is no mount point, removing it detaches the mount everywhere: vfs_rmdir() */
                const char *hidden_name = view_hidden_name(node, parent, id, hidden);
                bool file = node->kind == VIEW_FILE || node->kind == VIEW_SYMLINK;

                if (hidden_name)
                        (void)unlinkat(v->fd_hidden, hidden_name, 0);
                if (unlinkat(parent->fd, node->name, file ? 0 : AT_REMOVEDIR) < 0)
                        r = err_raise(-errno);
        }
        if (r)
                return r;
        /* what stood below went with it; a node is always younger than its parent */
        view_forget(node);
        for (size_t i = id + 1; i < v->n_nodes; i++)
                if (v->nodes[i].kind && !view_node(v, v->nodes[i].parent)) {
                        char name[32];

                        if (v->nodes[i].kind == VIEW_FILE) {
                                snprintf(name, sizeof(name), "f%zu", i);
                                (void)unlinkat(v->fd_hidden, name, 0);
                        }
                        view_forget(&v->nodes[i]);
                }
        return 0;
}

int view_widen(struct view *v, uint32_t id, bool write) {
        struct view_node *node = view_node(v, id), *parent;
        struct view_call c = { .fd_namespace = v->fd_namespace, .fn = view_widen_inside, .view = v, .node = node,
                               .fds = { -1, -1 }, .write = write };
        char hidden[32];
        int r;

        if (!node || (node->kind != VIEW_DIR && node->kind != VIEW_FILE))
                return err_raise(-EINVAL);
        parent = view_node(v, node->parent);
        if (!parent)
                return err_raise(-ENOENT);
        c.parent = parent;
        c.hidden = view_hidden_name(node, parent, id, hidden);
        r = view_run_inside(&c);
        if (r == 0)
                node->flags = write ? node->flags | VIEW_WRITE : node->flags & ~(uint32_t)VIEW_WRITE;
        return r;
}
