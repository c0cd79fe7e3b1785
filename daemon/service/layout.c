/*
 * Entries become a tree of path components; walking it once, parents first, gives the nodes:
 *
 *      outside any grant   ancestors of anything are levels, grants are attached, links are links
 *      inside a grant      what is granted as well disappears in it; wider access, denies and read-only parts are
 *                          attached over it
 *      below /tmp          plain directories instead of levels: nothing there is ever asked for
 *
 * A grant below a deny below a grant cannot be had by covering: nothing can be attached below a mask. There the outer grant
 * itself becomes a level, and each name in it is judged when it is walked to.
 *
 * Runs as: user nono.   Input: see layout.h.
 */
#include "daemon/service/layout.h"

#include <string.h>

#include "common/error.h"
#include "daemon/monitor/request.h"
#include "daemon/policy/policy.h"
#include "daemon/service/pathname.h"

struct layout_tree {
        struct layout_tree *parent, *children, **last, *next;
        const char *name; /* borrowed from an entry's path; not NUL-terminated */
        size_t n_name;
        const struct layout_entry *grant, *link;
        bool write, mask, mask_directory, fixed, walk;
        const struct layout_entry *fixed_entry;
        bool open; /* a grant that has to be a level */
};

struct layout_context {
        struct layout *plan;
        size_t cap;
};

static struct layout_tree *layout_tree_free(struct layout_tree *t) {
        while (t) {
                struct layout_tree *leaf = t, *up;

                while (leaf->children)
                        leaf = leaf->children;
                up = leaf->parent;
                if (up)
                        up->children = leaf->next;
                if (leaf == t)
                        t = NULL;
                free(leaf);
        }
        return NULL;
}
DEFINE_CLEANUP(struct layout_tree, layout_tree_free);

static struct layout_tree *layout_tree_new(struct layout_tree *parent, const char *name, size_t n) {
        struct layout_tree *t = calloc(1, sizeof(*t));

        if (!t)
                return NULL;
        t->last = &t->children;
        t->parent = parent;
        t->name = name;
        t->n_name = n;
        if (parent) {
                *parent->last = t;
                parent->last = &t->next;
        }
        return t;
}

static struct layout_tree *layout_tree_enter(struct layout_tree *root, const char *path) {
        struct layout_tree *t = root;

        while (*path == '/')
                path++;
        while (*path) {
                size_t n = strcspn(path, "/");
                struct layout_tree *c;

                for (c = t->children; c; c = c->next)
                        if (c->n_name == n && memcmp(c->name, path, n) == 0)
                                break;
                if (!c)
                        c = layout_tree_new(t, path, n);
                if (!c)
                        return NULL;
                t = c;
                path += n;
                while (*path == '/')
                        path++;
        }
        return t;
}

static int layout_enter(struct layout_tree *root, const struct layout_entry *e) {
        struct layout_tree *t;

        if (pathname_is_below(e->path, "/proc") || pathname_is_below(e->path, "/dev"))
                return 0;
        t = layout_tree_enter(root, e->path);
        if (!t)
                return err_raise(-ENOMEM);
        switch (e->what) {
        case LAYOUT_GRANT:
                if (t == root)
                        break;
                if (!t->grant)
                        t->grant = e;
                t->write = t->write || e->write;
                break;
        case LAYOUT_LINK:
                t->link = e;
                break;
        case LAYOUT_MASK:
                t->mask = true;
                t->mask_directory = e->directory;
                break;
        case LAYOUT_FIXED:
                t->fixed = true;
                t->fixed_entry = e;
                break;
        case LAYOUT_WALK:
                t->walk = true;
                break;
        }
        return 0;
}

/* Next of a walk in depth-first order, parents first; below @t only when @down. */
static struct layout_tree *layout_tree_next(struct layout_tree *root, struct layout_tree *t, bool down) {
        if (down && t->children)
                return t->children;
        while (t != root && !t->next)
                t = t->parent;
        return t == root ? NULL : t->next;
}

/* A grant inside a mask inside a grant: every grant around it opens. */
static void layout_mark_open(struct layout_tree *root) {
        for (struct layout_tree *t = root; t; t = layout_tree_next(root, t, true)) {
                bool masked = false;

                if (!t->grant || t->mask)
                        continue;
                for (struct layout_tree *up = t->parent; up; up = up->parent) {
                        masked = masked || up->mask;
                        if (masked && up->grant)
                                up->open = true;
                }
        }
}

static bool layout_is_needed(const struct layout_tree *t) {
        return (t->grant && !t->mask) || t->link || t->walk;
}

/* Something below @t has to be reached through it. Masks alone need nothing where no grant shows them. */
static bool layout_leads_on(struct layout_tree *t) {
        for (struct layout_tree *c = layout_tree_next(t, t, true); c; c = layout_tree_next(t, c, true))
                if (layout_is_needed(c))
                        return true;
        return false;
}

static int layout_add(struct layout_context *x, uint32_t parent, uint32_t kind, uint32_t flags, const char *path,
                      size_t n_prefix, struct layout_node **ret) {
        struct layout *p = x->plan;
        struct layout_node *n;

        if (p->n_nodes >= LAYOUT_NODES_MAX)
                return LAYOUT_E_LIMIT;
        if (p->n_nodes == x->cap) {
                size_t cap = x->cap ? x->cap * 2 : 64;
                struct layout_node *list = reallocarray(p->nodes, cap, sizeof(*list));

                if (!list)
                        return err_raise(-ENOMEM);
                p->nodes = list;
                x->cap = cap;
        }
        n = &p->nodes[p->n_nodes];
        *n = (struct layout_node){ .parent = parent, .kind = kind, .flags = flags, .source = -1 };
        n->path = strdup(path);
        if (!n->path)
                return err_raise(-ENOMEM);
        n->name = flags & VIEW_INSIDE ? n->path + n_prefix : pathname_last(n->path);
        n->id = (uint32_t)++p->n_nodes;
        *ret = n;
        return 0;
}

/* What one place of the tree is, given what is around it. */
struct layout_place {
        uint32_t node;   /* id of the node that holds it */
        uint32_t kind;   /* of that node: VIEW_LEVEL, VIEW_TMP, VIEW_PLAIN, VIEW_DIR */
        bool write;      /* of a VIEW_DIR */
        size_t n_inside; /* VIEW_DIR: bytes of its path and the slash */
        bool stop;       /* nothing below is in the view */
};

static int layout_object(struct layout_context *x, const struct layout_place *at, const char *path,
                         const struct layout_entry *e, bool write, bool inside, struct layout_place *below) {
        struct layout_node *n;
        int r;

        r = layout_add(x, at->node, e->directory ? VIEW_DIR : VIEW_FILE,
                       (write ? VIEW_WRITE : 0) | (inside ? VIEW_INSIDE : 0), path, at->n_inside, &n);
        if (r)
                return r;
        n->source = e->source;
        *below = (struct layout_place){
                .node = n->id, .kind = n->kind, .write = write, .n_inside = strlen(path) + 1, .stop = !e->directory
        };
        return 0;
}

static int layout_inside(struct layout_context *x, struct layout_tree *t, const struct layout_place *at,
                         const char *path, struct layout_place *below) {
        struct layout_node *n;
        int r;

        *below = *at;
        if (t->mask) {
                below->stop = true;
                return layout_add(x, at->node, VIEW_MASK, VIEW_INSIDE | (t->mask_directory ? VIEW_MASK_DIR : 0), path,
                                  at->n_inside, &n);
        }
        if (t->fixed && at->write)
                r = layout_object(x, at, path, t->fixed_entry, false, true, below);
        else if (t->grant && t->write && !at->write)
                r = layout_object(x, at, path, t->grant, true, true, below);
        else
                r = 0;
        return r;
}

static int layout_outside(struct layout_context *x, struct layout_tree *t, const struct layout_place *at,
                          const char *path, bool own_tmp, struct layout_place *below) {
        struct layout_node *n;
        uint32_t kind;
        int r;

        *below = (struct layout_place){ .stop = true };
        if (t->link && !t->grant) {
                r = layout_add(x, at->node, VIEW_SYMLINK, 0, path, 0, &n);
                if (r == 0)
                        n->target = t->link->target;
                return r;
        }
        if (own_tmp && strcmp(path, "/tmp") == 0)
                kind = VIEW_TMP;
        else if (t->grant && !t->mask && !t->open)
                return layout_object(x, at, path, t->grant, t->write && !t->fixed, false, below);
        else if (t->grant && t->open)
                kind = at->kind == VIEW_LEVEL ? VIEW_LEVEL : VIEW_PLAIN;
        else if (t->walk || layout_leads_on(t))
                kind = at->kind == VIEW_LEVEL ? VIEW_LEVEL : VIEW_PLAIN;
        else
                return 0;
        r = layout_add(x, at->node, kind, 0, path, 0, &n);
        if (r == 0)
                *below = (struct layout_place){ .node = n->id, .kind = kind };
        return r;
}

static int layout_own(struct layout_context *x, const char *path, uint32_t kind) {
        struct layout_node *n;

        return layout_add(x, 1, kind, 0, path, 0, &n);
}

static int layout_walk(struct layout_context *x, struct layout_tree *root, bool own_tmp) {
        struct layout_place stack[POLICY_PATH_MAX / 2]; /* by depth; each component takes two bytes at least */
        char path[POLICY_PATH_MAX] = "/";
        struct layout_node *n;
        size_t depth = 0;
        int r;

        r = layout_add(x, 0, VIEW_LEVEL, 0, "/", 0, &n);
        if (r == 0)
                r = layout_own(x, "/proc", VIEW_PROC);
        if (r == 0)
                r = layout_own(x, "/dev", VIEW_DEV);
        if (r)
                return r;
        stack[0] = (struct layout_place){ .node = 1, .kind = VIEW_LEVEL };
        for (struct layout_tree *t = layout_tree_next(root, root, true), *before = root; t;) {
                bool down;

                /* path and depth follow the walk */
                while (before != t->parent) {
                        (void)pathname_parent(path, path);
                        before = before->parent;
                        depth--;
                }
                size_t used = strlen(path) == 1 ? 0 : strlen(path);

                path[used] = '/';
                memcpy(path + used + 1, t->name, t->n_name);
                path[used + 1 + t->n_name] = '\0';
                depth++;
                if (stack[depth - 1].kind == VIEW_DIR)
                        r = layout_inside(x, t, &stack[depth - 1], path, &stack[depth]);
                else
                        r = layout_outside(x, t, &stack[depth - 1], path, own_tmp, &stack[depth]);
                if (r)
                        return r;
                before = t;
                down = !stack[depth].stop;
                t = layout_tree_next(root, t, down);
        }
        return 0;
}

int layout_make(const struct layout_entry *entries, size_t n_entries, bool own_tmp, struct layout **ret) {
        _cleanup_(layout_tree_freep) struct layout_tree *root = NULL;
        _cleanup_(layout_freep) struct layout *p = NULL;
        struct layout_context x = { 0 };
        int r;

        if (n_entries > LAYOUT_ENTRIES_MAX)
                return LAYOUT_E_LIMIT;
        root = layout_tree_new(NULL, "", 0);
        p = calloc(1, sizeof(*p));
        if (!root || !p)
                return err_raise(-ENOMEM);
        x.plan = p;
        if (own_tmp && !layout_tree_enter(root, "/tmp"))
                return err_raise(-ENOMEM);
        for (size_t i = 0; i < n_entries; i++) {
                r = layout_enter(root, &entries[i]);
                if (r)
                        return r;
        }
        layout_mark_open(root);
        r = layout_walk(&x, root, own_tmp);
        if (r)
                return r;
        *ret = steal_ptr(&p);
        return 0;
}

struct layout *layout_free(struct layout *p) {
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->n_nodes; i++)
                free(p->nodes[i].path);
        free(p->nodes);
        free(p);
        return NULL;
}
